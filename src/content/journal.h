/*
 * journal.h - the append-only record of what a transfer has stored: see sink.h for what it
 * promises. Record format: u32 length | u8 type | body | u64 XXH3 of all before (docs/protocol.md
 * does not cover it: it is local).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "content/digest.h"
#include "content/fs.h"

struct tw_journal;

enum tw_journal_type {
	/* boot id: records behind it were written in this run of the machine */
	TW_JOURNAL_BOOT = 1,
	/* a file is begun: size, mtime. Claims nothing about bytes, so it needs no FLUSHED */
	TW_JOURNAL_ENTRY,
	TW_JOURNAL_RANGE, /* entry, [start, end) of the file written */
	TW_JOURNAL_CHUNK, /* entry, chunk of the file, digest: verified */
	TW_JOURNAL_DONE,  /* entry finished under its own name, with its digest */
	/* all before it about this path is void; needs no FLUSHED either */
	TW_JOURNAL_ABANDONED,
	TW_JOURNAL_FLUSHED, /* everything before this record is on storage */
	/* flushing failed: what was not flushed before is void, as after another boot */
	TW_JOURNAL_LOST,
	/* entry, [start, end) chunks of the file that are zeros: verified */
	TW_JOURNAL_HOLE,
};

struct tw_journal_record {
	enum tw_journal_type type;
	uint8_t boot_id[16];
	/* with size and mtime: which file; entries are matched by it, not by index */
	uint64_t path_hash;
	uint64_t size;
	int64_t mtime_ns;
	uint64_t start, end; /* RANGE; CHUNK: chunk number in start */
	struct tw_digest digest;
};

/*
 * Opens or makes the journal at @path and hands every valid record to @each (what counts after
 * another boot is already applied: unflushed records of an earlier boot are left out). The first
 * nonzero result of @each ends it. A torn or damaged tail is cut off. -errno.
 */
int tw_journal_open(const struct tw_fs *fs, const char *path,
		    int (*each)(void *context, const struct tw_journal_record *record),
		    void *context, struct tw_journal **ret);
void tw_journal_close(struct tw_journal *journal);
/*
 * Buffered; tw_journal_write() appends the buffer to the file, tw_journal_sync() flushes it to
 * storage.
 */
int tw_journal_add(struct tw_journal *journal, const struct tw_journal_record *record);
int tw_journal_write(struct tw_journal *journal);
int tw_journal_sync(struct tw_journal *journal);
