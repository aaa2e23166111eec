/*
 * memory_fs.h - storage in memory for tests of what survives: every file and name has two states,
 * as the program sees it and as it is on the platter. memory_fs_reboot() keeps the second alone.
 *
 * Kill: set @frozen; from then on calls fail and change nothing, whatever the dying code still
 * tries.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "content/fs.h"

struct memory_node {
	enum tw_file_kind kind;
	uint8_t *bytes, *stored; /* owned */
	size_t size, stored_size, room;
	uint32_t mode, stored_mode;
	int64_t mtime_ns, stored_mtime_ns;
	uint64_t inode;
	struct memory_node *next;
};

struct memory_name {
	char *path; /* owned, whole */
	struct memory_node *node;
};

struct memory_names {
	struct memory_name *at;
	size_t count, room;
};

struct memory_fs {
	struct memory_node *nodes;
	struct memory_names now, stored;
	uint64_t inodes;
	uint8_t boot;
	bool frozen;
	uint64_t room;  /* bytes that may still be written; then -ENOSPC */
	int sync_error; /* every flush fails with it, and drops what it should keep */
	int open_error; /* opening a path that holds @open_error_name fails with it */
	const char *open_error_name;
	uint64_t calls, calls_max; /* @frozen by itself after so many changes; 0: never */
	uint64_t writes, reads, syncs;
	/* Asked before a name appears: what a watcher of the folder would see. May be NULL. */
	void (*named)(struct memory_fs *fs, const char *path, struct memory_node *node);
};

void memory_fs_init(struct memory_fs *fs);
void memory_fs_deinit(struct memory_fs *fs);
struct tw_fs memory_fs_view(struct memory_fs *fs);
void memory_fs_reboot(struct memory_fs *fs);
/* NULL: no such name. */
struct memory_node *memory_fs_find(struct memory_fs *fs, const char *path);
/* A file that is on storage already. */
void memory_fs_put(struct memory_fs *fs, const char *path, const void *bytes, size_t length);
