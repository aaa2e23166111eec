/*
 * rooted.h - a folder of its own for a test, and the system's storage below it.
 */
#pragma once

#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "../support/temp_dir.h"
#include "content/fs.h"

static char root[TEMP_PATH_MAX];
static struct tw_fs fs;

/* @beneath: the receiving kind of storage (fs.h). */
static inline int root_make(bool beneath)
{
	temp_dir_make(root);
	return tw_fs_posix_open(root, beneath, &fs);
}

static inline int root_free(void **state)
{
	(void)state;
	tw_fs_posix_close(&fs);
	temp_dir_remove(root);
	return 0;
}

/* Where @path is. Lent until the next call. */
static inline const char *at(const char *path)
{
	static char full[TEMP_PATH_MAX + 8192];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	return full;
}

static inline void put(const char *path, const void *bytes, size_t length)
{
	int fd = open(at(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	close(fd);
}
