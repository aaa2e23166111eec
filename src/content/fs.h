/*
 * fs.h - the seam between content and storage: one vtable that POSIX and the simulator's disk both
 * implement.
 *
 * A `tw_fs` is a view of one folder (its root). Every path is relative to it, with '/' between
 * components; a receiving view never leaves its root, whatever names and links it meets (openat2
 * with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS on Linux): such a path gives TW_E_UNSAFE. A sending
 * view follows links, because its user named the sources. Calls may block; they run on disk
 * threads, never on a data worker, but for reading and writing open files in memory. Errors are
 * negative errno unless said otherwise. Several threads may use a view at a time, and each open
 * file one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum tw_file_kind {
	TW_KIND_FILE = 1,
	TW_KIND_DIRECTORY,
	TW_KIND_SYMLINK,
	TW_KIND_OTHER,                  /* sockets, devices, pipes: never sent */
};

struct tw_file_stat {
	enum tw_file_kind kind;
	uint64_t size;
	uint64_t allocated;             /* bytes on storage: below @size for a sparse file */
	uint32_t mode;                  /* permission bits, 0777 */
	int64_t mtime_ns, ctime_ns;     /* since 1970 */
	uint64_t device, inode;
};

enum tw_open_flags {
	TW_OPEN_READ = 1,
	TW_OPEN_WRITE = 2,
	TW_OPEN_CREATE = 4,             /* with 0600 */
	TW_OPEN_EXCLUSIVE = 8,
	TW_OPEN_TRUNCATE = 16,
};

struct tw_file;                         /* an open file, of the implementation's own shape */

struct tw_fs {
	const struct tw_fs_ops *ops;
	void *context;
};

struct tw_fs_ops {
	int (*open)(void *fs, const char *path, unsigned flags, struct tw_file **ret);
	/*
	 * Opens some of @paths for reading at one go, for views to which each call is a long way:
	 * the first ones, as many as lie in one folder. Returns how many it has tried; @ret is NULL
	 * where that failed, which open() will explain. NULL: nothing is gained by it.
	 */
	unsigned (*open_several)(void *fs, const char *const *paths, unsigned count,
				 struct tw_file **ret);
	void (*close)(struct tw_file *file);
	/* Short only at the end of the file. Negative errno. */
	int64_t (*read)(struct tw_file *file, void *bytes, size_t length, uint64_t offset);
	/* Writes all of it or fails. */
	int (*write)(struct tw_file *file, const struct iovec *pieces, int count, uint64_t offset);
	int (*resize)(struct tw_file *file, uint64_t size);
	int (*stat_file)(struct tw_file *file, struct tw_file_stat *ret);
	/* Flushes content (and size) to storage. */
	int (*sync)(struct tw_file *file);
	/* Sets permission bits and modification time on the open file. */
	int (*set_meta)(struct tw_file *file, uint32_t mode, int64_t mtime_ns);
	/* The first stretch of data at or behind @offset; TW_E_END when only a hole follows. */
	int (*next_data)(struct tw_file *file, uint64_t offset, uint64_t *ret_start,
			 uint64_t *ret_end);

	/* @follow: look through a symbolic link at the end (a sending view only). */
	int (*stat)(void *fs, const char *path, bool follow, struct tw_file_stat *ret);
	int (*mkdir)(void *fs, const char *path, uint32_t mode);
	/* @replace false: -EEXIST when @to exists (atomically). */
	int (*rename)(void *fs, const char *from, const char *to, bool replace);
	/* An empty folder too; -ENOTEMPTY. */
	int (*unlink)(void *fs, const char *path);
	int (*set_directory_meta)(void *fs, const char *path, uint32_t mode, int64_t mtime_ns);
	/* Flushes a folder's own entries (creations, renames). */
	int (*sync_directory)(void *fs, const char *path);
	/* Flushes everything on the storage below the root. */
	int (*sync_all)(void *fs);
	/*
	 * Calls @each for every name but "." and ".." in the order of their bytes; stops at its
	 * first nonzero result.
	 */
	int (*list)(void *fs, const char *path, int (*each)(void *context, const char *name),
		    void *context);
	/* True when its content lies in memory, so that reading and writing never wait. NULL: it
	 * does not. */
	bool (*in_memory)(struct tw_file *file);
	/*
	 * What a crash of the machine (not of the program) changes: 16 bytes, the same until the
	 * next boot.
	 */
	void (*boot_id)(void *fs, uint8_t ret[16]);
	/*
	 * Adds the folder at @path to the inotify queue @inotify, with @mask. NULL: changes cannot
	 * be heard of.
	 */
	int (*listen)(void *fs, const char *path, int inotify, uint32_t mask);
	/* For a view whose users come and go, each with a reference. NULL: its owner keeps it. */
	void (*hold)(void *fs);
	void (*drop)(void *fs);
};

static inline void tw_fs_hold(const struct tw_fs *fs)
{
	if (fs->ops->hold)
		fs->ops->hold(fs->context);
}

static inline void tw_fs_drop(const struct tw_fs *fs)
{
	if (fs->ops->drop)
		fs->ops->drop(fs->context);
}

/*
 * The system's storage. @beneath: the receiving kind, as told above; else the sending kind. -errno.
 */
int tw_fs_posix_open(const char *root, bool beneath, struct tw_fs *ret);
void tw_fs_posix_close(struct tw_fs *fs);
