/*
 * fs_fd.h - the half of a file system view that needs nothing but a descriptor: what fs_posix.c and
 * the view through a file agent share. Meanings and errors are those of fs.h.
 */
#pragma once

#include "content/fs.h"

struct stat;

struct tw_file {
	int fd;        /* owned */
	void *context; /* the view's own, borrowed */
	bool memory_known, memory;
};

/* Takes @fd, even when it fails. -ENOMEM. */
int tw_fd_file(int fd, void *context, struct tw_file **ret);
void tw_fd_close(struct tw_file *file);
int64_t tw_fd_read(struct tw_file *file, void *bytes, size_t length, uint64_t offset);
int tw_fd_write(struct tw_file *file, const struct iovec *pieces, int count, uint64_t offset);
int tw_fd_resize(struct tw_file *file, uint64_t size);
int tw_fd_stat_file(struct tw_file *file, struct tw_file_stat *ret);
int tw_fd_sync(struct tw_file *file);
int tw_fd_set_meta(struct tw_file *file, uint32_t mode, int64_t mtime_ns);
bool tw_fd_in_memory(struct tw_file *file);
int tw_fd_next_data(struct tw_file *file, uint64_t offset, uint64_t *ret_start, uint64_t *ret_end);

/* TW_OPEN_... to those of open(). */
int tw_fd_open_flags(unsigned flags);
/*
 * After opening with @flags: a new file is certainly a plain one; anything else may be a folder
 * (-EISDIR) or a device (-EINVAL), and only a plain file is cut when @flags say so.
 */
int tw_fd_check_opened(int fd, unsigned flags);
void tw_fd_stat(const struct stat *st, struct tw_file_stat *ret);
int tw_fd_set_times(int fd, uint32_t mode, int64_t mtime_ns);
/* Takes @fd, a folder opened for reading. */
int tw_fd_list(int fd, int (*each)(void *context, const char *name), void *context);
/*
 * Renames @from in one folder to @to in another. @replace false: -EEXIST when @to exists,
 * atomically also on storage that cannot refuse to replace, but for folders there.
 */
int tw_fd_rename(int from_folder, const char *from, int to_folder, const char *to, bool replace);
/* Adds the folder @fd, opened for reading, to the queue @inotify with @mask. */
int tw_fd_listen(int fd, int inotify, uint32_t mask);
/*
 * The present boot of the machine. Where the system does not say, every call counts as another one:
 * less is trusted, nothing wrongly.
 */
void tw_fd_boot_id(uint8_t ret[16]);
