/*
 * sink_internal.h - what the files of the sink share.
 *
 *   sink.c          opens and closes, takes the manifest, hands out events, held ranges, progress
 *   sink_resume.c   the journal of earlier attempts: what it says of each path
 *   sink_prepare.c  an entry's first look at the destination: skip, hold, go on, begin
 *   sink_file.c     a file under way: its part file, its digests, its end by failure
 *   sink_chunk.c    bytes into chunks: writing, hashing as they pass, checking
 *   sink_hole.c     zeros that need not be written
 *   sink_finish.c   flush, journal, names; the end of the transfer
 *   sink_quick.c    what of all this keeps nobody waiting
 *
 * Every entry has one byte of state and room for a digest. What costs more (struct sink_file,
 * struct sink_chunk) exists only while a file or a chunk is under way.
 */
#pragma once

#include "content/journal.h"
#include "content/map.h"
#include "content/sink.h"

/* A destination folder and a path below it. */
#define SINK_PATH_MAX (2 * TW_PATH_MAX + 1)
/* Files open at a time; chunks hashed as they fill; chunks under way, and pieces of each. */
#define SINK_OPEN_MAX 64
#define SINK_HASHES 256
#define SINK_CHUNKS_MAX (1u << 18)
#define SINK_CHUNK_RANGES_MAX 4096
/* Chunks kept in memory because nothing is written and they do not fill in order. */
#define SINK_BUFFERS_MAX 64
/* Pieces in one write to a file. */
#define SINK_RUN_MAX 128
#define SINK_TRIES_MAX 3
/* So many files, or bytes of them, are finished together. */
#define SINK_BATCH_FILES 1024
#define SINK_BATCH_BYTES (UINT64_C(64) << 20)
/* Up to so many changed files are flushed one by one, more of them by one flush of everything. */
#define SINK_SYNC_SINGLY_MAX 4
#define SINK_JOURNAL_BYTES (UINT64_C(16) << 20)
/* How much of a chunk that was never checked is asked for again, so that its digest comes. */
#define SINK_TAIL 1024u

enum sink_state {
	SINK_NEW = 0,    /* not looked at yet */
	SINK_OWED,       /* a file whose bytes are awaited */
	SINK_UNPROVEN,   /* all bytes are there; its SHA-256 is not */
	SINK_WHOLE,      /* waits for its name */
	SINK_FOLDER,     /* waits for its mode and time, at the very end */
	SINK_OLD_FOLDER, /* the same; it was there before */
	SINK_DONE,
	SINK_HELD, /* delivered by an earlier attempt */
	SINK_SKIPPED,
	SINK_FAILED,
	SINK_ABANDONED,
};

/* A chunk that has some of its bytes, or a digest to come true. */
struct sink_chunk {
	uint64_t number; /* in the manifest */
	uint64_t entry;
	uint64_t start; /* in its file */
	uint32_t length;
	uint32_t hashed; /* so many bytes have gone into @hash */
	uint32_t held;   /* bytes that an earlier attempt wrote */
	uint8_t tries;
	bool expected_known, computed_known, dirty;
	struct sink_hash *hash;           /* lent; NULL: none */
	struct tw_ranges have, journaled; /* places in the chunk */
	struct tw_digest expected, computed;
	uint8_t *buffer;                    /* owned; only when nothing is written */
	struct sink_chunk *next, *previous; /* dirty: bytes that the journal does not know */
};

struct sink_hash {
	struct tw_digest_state *state; /* owned, made at first use */
	struct sink_chunk *chunk;      /* NULL: free */
	uint64_t used;
};

#define SINK_PAGE_DIGESTS 256

/* A file under way. */
struct sink_file {
	uint64_t entry, chunks;
	struct tw_file *handle; /* owned; NULL: closed */
	uint64_t used;          /* when it was, for closing the one that rested longest */
	uint64_t changed;       /* the sink's flush number in which it was written to */
	bool exists;            /* made by this sink, or taken over from an earlier attempt */
	bool fresh;             /* made by this sink: what was not written is zero */
	bool sized, journaled, meta_set, proven, renamed;
	struct evp_md_ctx_st *proof; /* owned; so much of its SHA-256 is known; NULL: not begun */
	uint64_t proof_at;
	struct tw_ranges whole,
		zeros;           /* chunks of the file that are checked; those that are holes */
	struct tw_digest digest; /* of the only chunk, or of the file once @folded == @chunks */
	/* More chunks than one: digests go into @fold in order, and wait in pages until then. */
	struct tw_digest_state *fold;
	uint64_t folded;
	struct tw_map pages; /* by number; owned: a file may be far longer than what comes of it */
};

/* What the journal says of a path. */
struct sink_resumed {
	uint64_t size;
	int64_t mtime_ns;
	bool done;
	struct tw_digest digest;      /* done */
	struct sink_remains *remains; /* owned; NULL: nothing */
};

struct sink_chunk_note {
	uint64_t index; /* in the file */
	struct tw_digest digest;
};

struct sink_remains {
	struct tw_ranges bytes, zeros;  /* bytes of the file; chunks of it */
	struct sink_chunk_note *chunks; /* owned */
	size_t count, room;
};

struct sink_note {
	enum tw_sink_event_type type;
	int error;
	uint64_t entry;
	struct tw_range range;
};

/* Bytes at a place of a file, within one chunk. */
struct sink_segment {
	uint64_t at;
	const uint8_t *bytes;
	uint32_t length;
};

/* Contiguous bytes of one file on their way to it. */
struct sink_run {
	uint64_t entry, start, end; /* places in the file */
	int count;
	struct iovec pieces[SINK_RUN_MAX];
	struct sink_chunk *chunks[SINK_RUN_MAX];
};

struct tw_sink {
	struct tw_fs fs;
	struct tw_sink_options options;
	char *destination; /* owned; "" or without a slash at its end */
	int broken;        /* a flush failed: nothing may be promised any more */
	bool finished;

	struct tw_manifest *manifest; /* owned */
	struct tw_manifest_decoder *decoder;
	bool manifest_complete;
	uint64_t prepared, files_final;
	uint8_t *states;           /* owned, by entry: enum sink_state */
	struct tw_digest *digests; /* owned, by entry: of files that are done or held */
	uint64_t entry_room;

	struct tw_journal *journal; /* owned; NULL when nothing is written */
	char journal_path[64];
	uint64_t since_journal; /* bytes written since the journal was */
	bool journal_due;       /* it must be on storage before anything else is written */
	bool journal_named;     /* its name is on storage */
	bool journal_changed;   /* records that no FLUSHED covers */
	struct tw_map resumed;  /* path hash -> struct sink_resumed */
	struct tw_map seen;     /* path hashes of the files looked at */
	struct tw_map files, chunks, proofs; /* by entry; by number; by entry: SHA-256 */

	struct sink_hash hashes[SINK_HASHES];
	struct sink_file *open[SINK_OPEN_MAX];
	unsigned open_count, buffer_count;
	uint64_t clock;
	struct sink_chunk *dirty;
	uint64_t flush; /* number of the flush to come, from 1 */
	uint64_t changed[SINK_SYNC_SINGLY_MAX];
	unsigned changed_count; /* files written to since the last flush */
	bool names_changed;     /* names made since the last flush of everything */

	uint64_t *whole; /* owned: entries that wait for their names */
	size_t whole_count, whole_room;
	uint64_t whole_bytes;

	struct tw_range *held; /* owned */
	size_t held_first, held_count, held_room;
	struct sink_note *notes; /* owned */
	size_t note_first, note_count, note_room;

	struct tw_sink_progress progress;
	uint64_t found; /* the entry that tape places were in last */
	struct sink_run run;
	char path[SINK_PATH_MAX + 1], part[SINK_PATH_MAX + 1];
	struct tw_digest zeros; /* of a whole chunk of them, once @zeros_known */
	bool zeros_known;
	uint8_t *scratch; /* owned: SINK_SCRATCH bytes for reading back */
	uint64_t proof_step; /* of a file's SHA-256, at a time */
};

#define SINK_SCRATCH (UINT64_C(256) << 10)
#define SINK_PROOF_STEP (UINT64_C(8) << 30) /* some seconds */

static inline bool sink_in_place(const struct tw_sink *sink)
{
	return sink->options.overwrite <= TW_OVERWRITE_IN_PLACE_SAME_SIZE;
}

static inline bool sink_state_final(enum sink_state state)
{
	return state >= SINK_DONE;
}

/* sink.c */
/* The path of @entry below the root, destination included. Lent until the next call. */
const char *tw_sink_path(struct tw_sink *sink, uint64_t entry);
int tw_sink_add_event(struct tw_sink *sink, enum tw_sink_event_type type, uint64_t entry,
		      int error);
int tw_sink_ask_again(struct tw_sink *sink, uint64_t entry, uint64_t start, uint64_t end);
int tw_sink_add_held(struct tw_sink *sink, uint64_t start, uint64_t end);
/* Is it a trouble of one entry alone? Anything else is the storage's, and the caller's. */
bool tw_sink_entry_error(int error);
/* Makes the folders above @path. */
int tw_sink_make_parents(struct tw_sink *sink, const char *path);
/* Of a folder. TW_E_UNSAFE: a link is there; -ENOTDIR: something else; -errno. */
int tw_sink_stat_folder(struct tw_sink *sink, const char *path, struct tw_file_stat *ret);

/* sink_resume.c */
int tw_sink_load_journal(struct tw_sink *sink);
void tw_sink_forget_resumed(struct tw_sink *sink, uint64_t path_hash);
void tw_sink_free_resumed(struct tw_sink *sink);
/* Takes over what is left of @entry from an earlier attempt; its held ranges are told. */
int tw_sink_restore(struct tw_sink *sink, uint64_t entry, struct sink_remains *remains);
/* Are all chunks of @entry in there? Then *@ret is the file's digest. */
bool tw_sink_remains_whole(struct tw_sink *sink, const struct tw_entry *entry,
			   const struct sink_remains *remains, struct tw_digest *ret);

/* sink_file.c */
/* A chunk of zeros. */
const uint8_t *tw_sink_zeros(void);
/* The digest of chunk @index of @entry, were it nothing but zeros. */
struct tw_digest tw_sink_zeros_digest(struct tw_sink *sink, const struct tw_entry *entry,
				      uint64_t index);
uint64_t tw_sink_path_hash(const struct tw_sink *sink, const char *path);
/* Where the bytes of @entry go: the part file or the file itself. Lent until the next call. */
const char *tw_sink_work_path(struct tw_sink *sink, uint64_t entry);
int tw_sink_file_get(struct tw_sink *sink, uint64_t entry, struct sink_file **ret);
/* Opens or makes it. @whole: the next write gives it its size. */
int tw_sink_file_open(struct tw_sink *sink, struct sink_file *file, bool whole);
void tw_sink_file_close(struct tw_sink *sink, struct sink_file *file);
/* Frees all that is kept for @entry; its chunks too. */
void tw_sink_file_drop(struct tw_sink *sink, uint64_t entry);
void tw_sink_file_changed(struct tw_sink *sink, struct sink_file *file);
/* ENTRY, once, before the first other record. */
int tw_sink_file_journal(struct tw_sink *sink, struct sink_file *file);
/* Chunk @index is checked, with @digest; holes: chunks [first, past) are zeros. */
int tw_sink_file_add_chunk(struct tw_sink *sink, struct sink_file *file, uint64_t index,
			   const struct tw_digest *digest);
int tw_sink_file_add_holes(struct tw_sink *sink, struct sink_file *file, uint64_t first,
			   uint64_t past);
/* All chunks are there: mode and time, then it waits for its name. */
int tw_sink_file_whole(struct tw_sink *sink, struct sink_file *file);
int tw_sink_file_set_meta(struct tw_sink *sink, struct sink_file *file);
int tw_sink_await_name(struct tw_sink *sink, uint64_t entry);
/* Ends @entry with @state; what was written of it goes. 0 or -ENOMEM. */
int tw_sink_end_entry(struct tw_sink *sink, uint64_t entry, enum sink_state state, int error);

/* sink_chunk.c */
/* Chunk @number, of entry @index. TW_E_FULL: too many are under way. */
int tw_sink_chunk_get(struct tw_sink *sink, uint64_t index, uint64_t number,
		      struct sink_chunk **ret);
void tw_sink_chunk_free(struct tw_sink *sink, struct sink_chunk *chunk);
void tw_sink_chunk_mark(struct tw_sink *sink, struct sink_chunk *chunk);
/* The entry that holds tape @offset, fast when it is near the last one asked for. */
uint64_t tw_sink_find(struct tw_sink *sink, uint64_t offset);
/* Every tape place below it belongs to an entry that has been looked at. */
uint64_t tw_sink_ready(const struct tw_sink *sink);
/* Bytes of one owed file. What can be is left in the run. */
int tw_sink_take(struct tw_sink *sink, uint64_t index, uint64_t at, const uint8_t *bytes,
		 uint64_t length);
int tw_sink_flush_run(struct tw_sink *sink);

/* sink_finish.c */
/* Writes out the journal, with what chunks have got since. */
int tw_sink_write_journal(struct tw_sink *sink);
/* tw_sink_settle() would finish files. */
bool tw_sink_settle_is_due(const struct tw_sink *sink);
int tw_sink_journal_add(struct tw_sink *sink, const struct tw_journal_record *record);
