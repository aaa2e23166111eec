/*
 * root.h - a folder that is held open, and paths that stay in it.
 *
 * The kernel resolves every path (openat2 with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS), so that
 * neither ".." nor a link leads out, whoever swaps folders meanwhile; links that stay inside are
 * followed on the way. Beneath the system's own root there is no outside: links go where they
 * always do, but for those of /proc that lead to somebody's open files. Without openat2 no link is
 * followed at all below another root than that one.
 *
 * Names are any bytes but '/' and NUL. Nothing here asks who the caller is: it runs with the rights
 * of the process. A root is not changed after it was opened: any number of threads may use it.
 */
#pragma once

#include <stdbool.h>

/* Longest path; the system's own limit, NUL included. */
#define TW_ROOT_PATH_ROOM 4096

struct tw_root {
	int fd;      /* owned */
	bool system; /* it is "/" */
	bool openat2;
};

/* @path: an absolute path, trusted: links in it are followed. -errno. */
int tw_root_open(const char *path, struct tw_root *ret);
/* A folder below @root becomes a root of its own. @path is not trusted. As tw_root_open_in(). */
int tw_root_narrow(const struct tw_root *root, const char *path, struct tw_root *ret);
void tw_root_close(struct tw_root *root);
/* -EMFILE. */
int tw_root_copy(const struct tw_root *root, struct tw_root *ret);

/*
 * Opens what is at @path: "" and "." are the root itself; slashes in front do not count. @flags as
 * for open(), @mode with O_CREAT. -errno; TW_E_UNSAFE: it would lead out; -ENAMETOOLONG.
 */
int tw_root_open_in(const struct tw_root *root, const char *path, int flags, unsigned mode,
		    int *ret_fd);

/* A path in two: the folder that holds it, opened, and its last component. */
struct tw_place {
	int folder; /* owned: close() it */
	char path[TW_ROOT_PATH_ROOM];
	const char *name; /* within @path */
};

/*
 * Where @path ends: in which folder, under which name; a link there is not looked through. As
 * tw_root_open_in(), and -EBUSY: it is the root itself, -EINVAL: its last part is "." or "..".
 */
int tw_root_find_place(const struct tw_root *root, const char *path, struct tw_place *ret);
