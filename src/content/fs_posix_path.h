/*
 * fs_posix_path.h - from a path to (descriptor of its folder, last component), private to fs_posix.
 *
 * Descriptors of the folders used last are kept, so that a thousand small files in one folder cost
 * one look-up. A receiving view resolves every folder beneath its root and through no link: openat2
 * where the kernel has it, else component by component with O_NOFOLLOW. Kept descriptors are
 * dropped at every sync_all, so that a folder that somebody moves away meanwhile is soon let go of.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_FS_FOLDERS_MAX 16

struct tw_fs_folder {
	char *path;                     /* owned; NULL: free */
	int fd;
	uint64_t used;
};

struct tw_fs_posix {
	int root;
	bool beneath, have_openat2;
	bool boot_id_made;
	uint8_t boot_id[16];
	uint64_t clock;
	struct tw_fs_folder folders[TW_FS_FOLDERS_MAX];
};

/*
 * The folder of @path and its last component (both lent, valid until the next call). The root
 * itself ("" or ".") gives the name ".". TW_E_UNSAFE, -errno.
 */
int tw_fs_posix_locate(struct tw_fs_posix *fs, const char *path, int *ret_folder,
		       const char **ret_name);
void tw_fs_posix_forget(struct tw_fs_posix *fs);
/* Is openat2 there, and does it know what is asked of it? */
bool tw_fs_posix_probe_openat2(int root);
/* ELOOP, EXDEV: somebody else's link is in the way. */
int tw_fs_posix_error(const struct tw_fs_posix *fs, int error);
