/*
 * sender.h - the sending side of one transfer, over whatever connection its outgoing (outgoing.h)
 * has at the moment.
 *
 * Owns the truth of what is owed: tape ranges that the receiver has not yet been given, those lost
 * on the way first. It walks the source into a manifest, streams that, and sends data as soon as
 * the receiver says up to where it is ready (it answers with what it already holds: resume is the
 * ordinary case). When the connection dies, everything not reported as stored is asked about again
 * over the next one; nothing is remembered on this side's disk.
 *
 * Blocks of content come from a disk thread through jobs: up to TW_SENDER_BLOCKS blocks of 1 MiB
 * are kept, read ahead of the transport; a lost piece whose block is gone is read again. Many
 * senders may share a budget of blocks. Sans-IO; allocations only per block and per message.
 *
 * Streams (docs/protocol.md, "Session messages"): 0 control; 1 + 2k the manifest and 2 + 2k the
 * digests of transfer k.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "base/time.h"
#include "content/job.h"
#include "core/conn.h"

#define TW_SENDER_BLOCKS 40

enum tw_transfer_flags {
	TW_TRANSFER_READ = 1,
	TW_TRANSFER_WRITE = 2,
};

/* Why a transfer did not become complete; also the code on the wire. */
enum tw_transfer_error {
	TW_TRANSFER_OK = 0,
	/* done, but some entries were left out (see the problems) */
	TW_TRANSFER_ENTRIES,
	TW_TRANSFER_SOURCE,             /* a named source is missing or unreadable */
	/* the receiver's storage failed: full, read-only, damaged */
	TW_TRANSFER_STORAGE,
	TW_TRANSFER_UNSAFE,             /* a path would leave the destination folder */
	TW_TRANSFER_DENIED,             /* the receiver's policy */
	TW_TRANSFER_CANCELLED,
	TW_TRANSFER_PROTOCOL,
	TW_TRANSFER_RESOURCES,
};

/* Blocks of all senders of a thread; each may hold two, whatever the others have: one while they go
 * before it. */
struct tw_sender_budget {
	size_t blocks_used, blocks_max;
};

struct tw_sender_options {
	struct tw_source *source;       /* taken */
	uint8_t transfer_key[TW_TRANSFER_KEY_SIZE];
	const char *destination;        /* copied */
	enum tw_overwrite overwrite;
	unsigned flags;                 /* enum tw_transfer_flags */
	unsigned checkpoint_seconds;    /* 0: at the end only */
	bool sha256;
	struct tw_sender_budget *budget; /* borrowed; NULL: TW_SENDER_BLOCKS of its own */
};

struct tw_sender_status {
	bool walk_over;
	uint64_t total_bytes, total_files, total_entries;
	uint64_t bytes_sent;            /* tape bytes put on the wire, repeats included */
	/* tape bytes at the receiver, held ones and holes included */
	uint64_t bytes_acked;
	uint64_t bytes_held;            /* of these: never had to be sent */
	uint64_t bytes_retransmitted;
	uint64_t bytes_durable;
	uint64_t files_done, files_skipped, files_failed;
	uint64_t bytes_read;                                      /* from storage, for sending */
	uint64_t pieces_sent, pieces_acked, pieces_retransmitted; /* DATA frames */
	uint64_t piece_bytes; /* tape bytes of a full datagram now; 0: unknown */
	bool running;         /* the receiver has accepted it over this connection */
	bool finished;
	bool paused;                    /* finished by tw_sender_pause() */
	enum tw_transfer_error error;   /* once finished */
	char message[256];              /* a sentence for people, "" when all is well */
	struct tw_digest digest;
	tw_ns started_at, finished_at;
};

struct tw_sender;

int tw_sender_new(const struct tw_sender_options *options, const struct tw_job_port *port,
		  tw_ns now, struct tw_sender **ret);
/* Only when no job of it is under way and no lane has bytes of it (tw_sender_idle()). */
void tw_sender_free(struct tw_sender *sender);
bool tw_sender_idle(const struct tw_sender *sender);

/* A job is back. */
void tw_sender_job_done(struct tw_sender *sender, struct tw_job *job, tw_ns now);
void tw_sender_cancel(struct tw_sender *sender);
/* Ends this attempt; the receiver is told that there will be another, and keeps what it has. */
void tw_sender_pause(struct tw_sender *sender);
bool tw_sender_finished(const struct tw_sender *sender);
/* Finished, and the receiver has acknowledged its last words (or there is no connection). */
bool tw_sender_farewell_said(const struct tw_sender *sender);
/* Timers (none of them is needed for correctness between two calls of less than 100 ms); called by
 * tw_outgoing_tick() while it takes part in one. */
void tw_sender_tick(struct tw_sender *sender, tw_ns now);
void tw_sender_status(const struct tw_sender *sender, struct tw_sender_status *ret);
/* The next thing a person should know of (an unreadable file, ...). */
bool tw_sender_problem(struct tw_sender *sender, struct tw_problem *ret);
