/*
 * fs_posix_path.h - from a path to (descriptor of its folder, last component), private to fs_posix.
 *
 * Descriptors of the folders used last are kept, so that a thousand small files in one folder cost
 * one look-up. A receiving view resolves every folder beneath its root and through no link: openat2
 * where the kernel has it, else component by component with O_NOFOLLOW. Kept descriptors are
 * dropped at every sync_all, so that a folder that somebody moves away meanwhile is soon let go of.
 * Threads share them: one that is in use is closed by whoever leaves it last.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_FS_FOLDERS_MAX 16

struct tw_fs_folder {
	char *path;     /* owned */
	int fd;         /* owned */
	unsigned users; /* its place among those kept is one */
	uint64_t used;
};

struct tw_fs_posix {
	int root;
	bool beneath, have_openat2;
	uint8_t boot_id[16];

	pthread_mutex_t lock; /* over what follows */
	uint64_t clock;
	struct tw_fs_folder *folders[TW_FS_FOLDERS_MAX]; /* NULL: free */
};

/* Where a path leads: @name in the folder with descriptor @folder. */
struct tw_fs_place {
	int folder;                /* lent until it is left */
	const char *name;          /* lent: within the path */
	struct tw_fs_folder *held; /* NULL: the root */
};

/*
 * The root itself ("" or ".") gives the name ".". TW_E_UNSAFE, -errno; after 0 the place has to be
 * left.
 */
int tw_fs_posix_locate(struct tw_fs_posix *fs, const char *path, struct tw_fs_place *ret);
void tw_fs_posix_leave(struct tw_fs_posix *fs, const struct tw_fs_place *place);
void tw_fs_posix_forget(struct tw_fs_posix *fs);
/* Is openat2 there, and does it know what is asked of it? */
bool tw_fs_posix_probe_openat2(int root);
/* ELOOP, EXDEV: somebody else's link is in the way. */
int tw_fs_posix_error(const struct tw_fs_posix *fs, int error);
