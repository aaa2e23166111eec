/*
 * watch_scan.h - one look at a watched folder: what is there, what changed since the last look,
 * what is ready to go. Blocking calls; whoever scans owns the table meanwhile.
 *
 * The table remembers every file by its path below the folder: what the last scan saw of it (size,
 * modification time), since when that has been so, and what was sent of it. A file is ready when it
 * differs from what was sent and has been as it is for the settling time: by our own clock, or, the
 * first time it is seen, by the file's own times. Symbolic links and what is no regular file are
 * passed over.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"
#include "content/fs.h"

/* Files remembered, and what those of all watches of an owner take; what comes beyond is left out,
 * and said. */
#define TW_WATCH_TABLE_MAX 200000
#define TW_WATCH_OWNER_BYTES ((size_t)512 << 20)

struct tw_watch_file {
	char *path; /* owned; below the folder */
	uint64_t size, sent_size;
	int64_t mtime_ns, sent_mtime_ns;
	tw_ns since; /* it has been as it is */
	bool present, sent;
	bool unknown; /* not present, but nobody could see that it is gone */
	/* In the batch under way, as it was then; or its removal is. */
	bool busy, busy_removed;
	uint64_t busy_size;
	int64_t busy_mtime_ns;
};

/* In the order of the paths' bytes. */
struct tw_watch_table {
	struct tw_watch_file *files; /* owned */
	size_t count;
};

void tw_watch_table_deinit(struct tw_watch_table *table);
/* The memory that it takes, about. */
size_t tw_watch_table_bytes(const struct tw_watch_table *table);
/* It differs from what was sent, settled, and is in no batch. */
bool tw_watch_file_ready(const struct tw_watch_file *file, tw_ns now, tw_ns settle_ns);

struct tw_watch_scan {
	/* In. */
	const struct tw_fs *fs; /* a sending view; borrowed */
	const char *folder;     /* in it */
	const char *const *include, *const *exclude;
	size_t include_count, exclude_count;
	tw_ns now, settle_ns;
	int64_t wall_ns;
	size_t others;     /* bytes of the tables of the owner's other watches */
	int inotify_fd;    /* every folder found is added to it; -1: none */
	bool want_removed; /* sent files that are gone are kept in the table */
	bool (*cancelled)(void *context);
	void *context;
	/* Out. */
	size_t ready, waiting;    /* waiting: to settle */
	size_t removed;           /* sent once, gone now */
	tw_ns settles_in;         /* until the next one is ready; TW_NEVER: none waits */
	bool too_many, unwatched; /* beyond those limits; inotify took not every folder */
	size_t unreadable;        /* files and folders that could not be looked at */
};

/*
 * Looks and brings @table up to date. -errno when the folder itself cannot be read (@table is as
 * before), TW_E_CLOSED: cancelled, -ENOMEM.
 */
int tw_watch_scan_run(struct tw_watch_scan *scan, struct tw_watch_table *table);

/* What was sent and what is on its way, as bytes to be stored. @ret malloc'd. -ENOMEM. */
int tw_watch_table_encode(const struct tw_watch_table *table, void **ret, size_t *ret_length);
/* TW_E_FORMAT, -ENOMEM. Nothing in it is present until the next scan. */
int tw_watch_table_decode(const void *bytes, size_t length, struct tw_watch_table *ret);
