/*
 * job.h - what a disk thread does for a session: one struct a job, filled in by the session,
 * carried to a disk thread, executed by tw_job_run(), carried back with its results in the same
 * struct. Jobs of one transfer run in the order they were submitted, one at a time, so that a
 * source or a sink has one owner at a time. Whoever carries jobs (src/netio, the simulator) never
 * looks inside but for @transfer, to keep that order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ranges.h"
#include "content/sink.h"
#include "content/source.h"

#define TW_JOB_PIECES_MAX 128
#define TW_JOB_EVENTS_MAX 32
#define TW_JOB_HELD_MAX 64

enum tw_job_type {
	/*
	 * source: walk about @limit entries on and encode the manifest into @bytes; makes @encoder
	 * where it is NULL, and anew with @restart
	 */
	TW_JOB_WALK = 1,
	/*
	 * source: read a block at @offset into @bytes. On failure @entry, and its tape range in
	 * @block
	 */
	TW_JOB_READ,
	/*
	 * source: of the first file from @entry on, which becomes @entry. TW_E_AGAIN: that file
	 * does not end at or below tape offset @limit. TW_E_END: no file there. On failure as READ.
	 */
	TW_JOB_SHA256,
	/*
	 * source: the entry that holds tape @offset, its tape range in @block, its path in
	 * @offender
	 */
	TW_JOB_ENTRY,
	TW_JOB_SOURCE_FREE,             /* and @encoder */
	TW_JOB_SINK_OPEN,               /* sink: new, from @fs and @sink_options */
	/* sink: @length @bytes, then prepare. TW_E_END: complete and all prepared */
	TW_JOB_MANIFEST,
	TW_JOB_PREPARE,                 /* sink: prepare on. TW_E_END as MANIFEST */
	TW_JOB_WRITE,                   /* sink: @pieces */
	TW_JOB_HOLE,                    /* sink: [@offset, @limit) */
	/* sink: @block.chunk_first, @block.chunk_count, @block.digests */
	TW_JOB_DIGESTS,
	TW_JOB_CHECK_SHA256,
	TW_JOB_ABANDON,
	TW_JOB_SETTLE,
	TW_JOB_CHECKPOINT,
	TW_JOB_SINK_FREE,
};

struct tw_job {
	enum tw_job_type type;
	void *owner;                    /* the session object that submitted it */
	/* orders jobs: the owner's address or a number of its own */
	uint64_t transfer;

	/* In and out. */
	struct tw_source *source;
	struct tw_manifest_encoder *encoder;
	bool restart;                   /* WALK: encode the manifest from its start again */
	struct tw_sink *sink;           /* SINK_OPEN makes it */
	const struct tw_fs *fs;
	const struct tw_sink_options *sink_options;
	uint64_t offset, limit, entry;
	uint8_t *bytes;
	size_t room, length;
	struct tw_sink_piece pieces[TW_JOB_PIECES_MAX];
	size_t piece_count;
	uint64_t piece_bytes;
	/* WRITE: the carrier's buffer that holds the pieces, released when the job is back */
	void *buffer;
	struct tw_block block;
	uint8_t sha256[32];

	/* Results. */
	int result;
	bool at_once;                   /* set by a carrier that ran it where it was submitted */
	/* WALK: totals below are final and @bytes ends the stream */
	bool walk_over;
	uint64_t total_bytes, total_files, total_entries, total_chunks; /* so far */
	/*
	 * MANIFEST, PREPARE: tape offsets below may be written, held ones below are all in @held;
	 * 0: no statement
	 */
	uint64_t ready;
	/* with @ready, @total_chunks: digests of chunks below it may come */
	bool prepare_more;              /* MANIFEST, PREPARE: submit PREPARE again */
	struct tw_range held[TW_JOB_HELD_MAX];
	size_t held_count;
	struct tw_sink_event events[TW_JOB_EVENTS_MAX];
	size_t event_count;
	bool events_more;               /* more are waiting in the sink: submit SETTLE */
	struct tw_problem problems[TW_JOB_EVENTS_MAX];
	size_t problem_count;
	struct tw_sink_progress progress;
	/* ENTRY: its path; else the path behind TW_E_UNSAFE; cleaned for display */
	char offender[256];
};

/* Executes @job; every error ends up in @result. */
void tw_job_run(struct tw_job *job);
/*
 * True when that would keep the caller no longer than copying and hashing in memory do. @job's
 * source or sink must be at rest: no job of its transfer is under way.
 */
bool tw_job_is_quick(const struct tw_job *job);

/* How a session reaches a disk thread. */
struct tw_job_port {
	/*
	 * Takes the job; it comes back through the session's job_done(). Never fails: the number of
	 * jobs is bounded.
	 */
	void (*submit)(void *context, struct tw_job *job);
	void *context;
};
