/*
 * two_folders.h - a folder with one file, "file", of random content, and an empty one, for tests
 * that send from the first to the second.
 */
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "content/fs.h"
#include "temp_dir.h"

struct two_folders {
	char place[TEMP_PATH_MAX];
	struct tw_fs from, to;
};

/* Lent until the next call. */
static inline const char *two_folders_path(const struct two_folders *folders, const char *name)
{
	static char path[2 * TEMP_PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", folders->place, name);
	return path;
}

/* Fills in @content too. */
static inline void two_folders_make(struct two_folders *folders, uint8_t *content, size_t size)
{
	struct tw_random random = tw_system_random();
	int fd;

	temp_dir_make(folders->place);
	assert_int_equal(mkdir(two_folders_path(folders, "from"), 0755), 0);
	assert_int_equal(mkdir(two_folders_path(folders, "to"), 0755), 0);
	tw_random_fill(&random, content, size);
	fd = open(two_folders_path(folders, "from/file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, content, size), size);
	close(fd);
	assert_int_equal(
		tw_fs_posix_open(two_folders_path(folders, "from"), false, &folders->from), 0);
	assert_int_equal(tw_fs_posix_open(two_folders_path(folders, "to"), true, &folders->to), 0);
}

static inline void two_folders_remove(struct two_folders *folders)
{
	tw_fs_posix_close(&folders->from);
	tw_fs_posix_close(&folders->to);
	temp_dir_remove(folders->place);
}
