/*
 * sink.h - the receiving side of content: takes the manifest, bytes at any place of the tape and
 * digests, in any order, and makes files of them. Lives on a disk thread; blocking calls, one
 * thread.
 *
 * A file's way: part file (or the file itself, with the in-place overwrite modes) -> all bytes
 * written -> every chunk's digest equals the sender's -> mode and time set -> flushed -> renamed to
 * its own name -> folder flushed -> journal. A part file is called ".tradewind-<16 hex
 * digits>.part", in the folder of its file, and takes its final name only when it is whole. Small
 * files are flushed together (one sync for many) to keep thousands a second possible. Folders'
 * modes and times are set at the end. Zeros of sparse files are not written.
 *
 * Resume: the journal of a transfer (folder ".tradewind" in the root, file <transfer key>.journal)
 * records, per entry, the ranges written and the digests of whole chunks. A record is valid after a
 * crash of the program; after a crash of the machine (another boot id) only what was flushed before
 * it counts. What is journaled is never read again to be hashed. An entry counts as held only if
 * path, size and modification time in the new manifest equal those in the journal. Records are
 * length-prefixed and carry a checksum; a torn tail is cut off. The journal goes when the transfer
 * is done.
 *
 * Digests are computed while bytes pass: a chunk that fills in order is hashed from the caller's
 * buffer; only a gap makes the rest of that chunk be read back. A chunk whose digest does not come
 * true is asked for again, three times, then its file fails.
 *
 * Flushing that fails (-EIO from checkpoint or settle) is final: storage may have dropped what it
 * had taken, and trying again would hide it. Every later call gives the same error, and the next
 * attempt at the job holds only what was flushed before. -ENOSPC and its like from a write are not:
 * nothing is lost, call again when there is room.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ranges.h"
#include "base/time.h"
#include "content/digest.h"
#include "content/fs.h"
#include "content/manifest.h"

/* Numbers of the API's constants. */
enum tw_overwrite {
	TW_OVERWRITE_IN_PLACE_NEVER = 0,
	TW_OVERWRITE_IN_PLACE_ALWAYS = 1,
	TW_OVERWRITE_IN_PLACE_SAME_SIZE = 2,
	TW_OVERWRITE_WITH_PARTFILE_NEVER = 3,
	TW_OVERWRITE_WITH_PARTFILE_ALWAYS = 4,
	TW_OVERWRITE_WITH_PARTFILE_BACKUP = 5,
	TW_OVERWRITE_COUNT,
};

/*
 * "in-place-never", ..., "partfile-backup"; also the number, and the short forms "never", "always",
 * "backup".
 */
bool tw_overwrite_parse(const char *name, enum tw_overwrite *ret);
const char *tw_overwrite_name(enum tw_overwrite overwrite);

#define TW_TRANSFER_KEY_SIZE 16

struct tw_sink_options {
	uint8_t transfer_key[TW_TRANSFER_KEY_SIZE]; /* the same for every attempt at the same job */
	/* folder below the root, made when missing; "" is the root */
	const char *destination;
	enum tw_overwrite overwrite;
	/* false (TRANSFER_FLAG_WRITE off): content is checked and dropped */
	bool write_content;
	/* the sender gives the SHA-256 of every file: none takes its name before that */
	bool sha256;
	uint64_t journal_bytes;         /* write a record after so many bytes; 0: 16 MiB */
};

struct tw_sink;

/* -errno, TW_E_UNSAFE (the destination leaves the root). @fs borrowed, options copied. */
int tw_sink_new(const struct tw_fs *fs, const struct tw_sink_options *options,
		struct tw_sink **ret);
/* Closes files; part files and journal stay for the next attempt. */
void tw_sink_free(struct tw_sink *sink);

/*
 * The next piece of the manifest's wire form. Errors as tw_manifest_decode(); TW_E_END: complete.
 */
int tw_sink_manifest(struct tw_sink *sink, const uint8_t *bytes, size_t length);
/*
 * After TW_E_UNSAFE from tw_sink_manifest() or tw_sink_prepare(): the path, cleaned for display
 * (lent), or "".
 */
const char *tw_sink_offender(const struct tw_sink *sink);
/* How many entries of the manifest have arrived. */
uint64_t tw_sink_entries(const struct tw_sink *sink);
/* Chunks of entries that are prepared: digests of those below may come. */
uint64_t tw_sink_chunks(const struct tw_sink *sink);
/*
 * Prepares the entries that have arrived: checks what is there, reads the journal, finds what is
 * held. About @entries at a time; 0: more to do, TW_E_AGAIN: all that have arrived are prepared,
 * TW_E_END: all, and the manifest is complete. @ret_ready: every tape offset below it may now be
 * written.
 */
int tw_sink_prepare(struct tw_sink *sink, unsigned entries, uint64_t *ret_ready);
/*
 * Takes out a tape range that need not be sent (held or skipped), in ascending order; false: no
 * more for now. A chunk that was written whole but never checked is not held: its digest would not
 * be sent again.
 */
bool tw_sink_held(struct tw_sink *sink, struct tw_range *ret);

struct tw_sink_piece {
	uint64_t offset;                /* tape */
	const uint8_t *bytes;           /* borrowed for the call */
	size_t length;
};
/*
 * Writes pieces (any order, any overlap with files' borders; the caller never hands the same byte
 * in twice unless the sink asked for it again). -ENOSPC, -EDQUOT, -EIO, ...: storage failed, and
 * how much was written is in the sink's own record: call again with the same pieces is allowed. A
 * trouble with one entry alone becomes an event instead. TW_E_FORMAT: bytes at or behind what
 * tw_sink_prepare() said; nothing was written.
 */
int tw_sink_write(struct tw_sink *sink, const struct tw_sink_piece *pieces, size_t count);
/*
 * True when tw_sink_write() of these pieces, or tw_sink_digests() of that many chunks, and
 * tw_sink_settle() behind it would do no more than copy and hash: they belong to one file, which is
 * open, in memory, and does not become whole by them.
 */
bool tw_sink_write_is_quick(struct tw_sink *sink, const struct tw_sink_piece *pieces, size_t count);
bool tw_sink_digests_are_quick(struct tw_sink *sink, uint64_t chunk_first, size_t count);
/* [start, end) is zeros. Same errors. */
int tw_sink_hole(struct tw_sink *sink, uint64_t start, uint64_t end);
/*
 * Digests of @count chunks from @chunk_first on; known ones may come again. TW_E_FORMAT: no such
 * chunks; TW_E_FULL: they are 2^18 chunks ahead of their bytes, which no honest sender is.
 */
int tw_sink_digests(struct tw_sink *sink, uint64_t chunk_first, const struct tw_digest *digests,
		    size_t count);
/*
 * The sender cannot deliver this entry (it changed, cannot be read). Its part file goes; no event,
 * but it counts as failed. TW_E_FORMAT: no such file.
 */
int tw_sink_abandon(struct tw_sink *sink, uint64_t entry);
/* SHA-256 of the whole file as the sender read it: checked before it takes its name. */
int tw_sink_sha256(struct tw_sink *sink, uint64_t entry, const uint8_t sha256[32]);

/*
 * Flushes and journals all there is, and finishes the files that are whole. Every @checkpoint
 * seconds and at the end.
 */
int tw_sink_checkpoint(struct tw_sink *sink);
/*
 * Finishes some whole files if enough have gathered (by count or bytes); cheap when there is
 * nothing to do.
 */
int tw_sink_settle(struct tw_sink *sink);
/* True when there is nothing to do for it, and the sink's files are in memory. */
bool tw_sink_settle_is_quick(const struct tw_sink *sink);

enum tw_sink_event_type {
	TW_SINK_FILE_DONE = 1,          /* whole, checked and under its own name */
	/* an overwrite mode or an identical earlier delivery: nothing to do */
	TW_SINK_FILE_SKIPPED,
	TW_SINK_FILE_FAILED,            /* @error; the others go on */
	TW_SINK_AGAIN,                  /* [range) failed its digest and must be sent again */
	/* every entry is done, skipped, failed or abandoned; journal gone */
	TW_SINK_ALL_DONE,
};
struct tw_sink_event {
	enum tw_sink_event_type type;
	uint64_t entry;
	int error;
	struct tw_range range;
	char path[256];                 /* of the entry at the destination, cleaned for display */
};
bool tw_sink_event(struct tw_sink *sink, struct tw_sink_event *ret);

struct tw_sink_progress {
	/* of the tape; durable counts held ones too */
	uint64_t bytes_written, bytes_durable, bytes_held;
	uint64_t files_done, files_skipped, files_failed;
	/*
	 * Of the transfer, valid after TW_SINK_ALL_DONE: over the files that are done or were
	 * delivered by an earlier attempt, by their paths in the manifest.
	 */
	struct tw_digest digest;
};
void tw_sink_progress(const struct tw_sink *sink, struct tw_sink_progress *ret);
