/*
 * temp_dir.h - a folder of its own for a test, below $TMPDIR, or else in memory (a disk's flushes
 * would be what takes the time), or else in /tmp; removed with all that is in it.
 */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP_PATH_MAX 512

static inline void temp_dir_make(char ret[TEMP_PATH_MAX])
{
	const char *base = getenv("TMPDIR");

	if (!base || !*base)
		base = access("/dev/shm", W_OK | X_OK) ? "/tmp" : "/dev/shm";
	snprintf(ret, TEMP_PATH_MAX, "%s/tradewind-test-XXXXXX", base);
	if (!mkdtemp(ret)) {
		perror(ret);
		abort();
	}
}

/* Everything below the folder @fd, whatever its modes; takes @fd. */
static inline void temp_dir_empty(int fd)
{
	DIR *directory = fdopendir(fd);
	const struct dirent *entry;

	if (!directory) {
		close(fd);
		return;
	}
	while ((entry = readdir(directory))) {
		int child;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (!unlinkat(dirfd(directory), entry->d_name, 0))
			continue;
		fchmodat(dirfd(directory), entry->d_name, 0700, 0);
		child = openat(dirfd(directory), entry->d_name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child >= 0)
			temp_dir_empty(child);
		unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR);
	}
	closedir(directory);
}

static inline void temp_dir_remove(const char *path)
{
	int fd;

	chmod(path, 0700);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		temp_dir_empty(fd);
	rmdir(path);
}
