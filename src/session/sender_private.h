/*
 * sender_private.h - the parts of a sender. sender.c: life, its part in a connection, status.
 * sender_blocks.c: reading ahead, the cache of blocks, the next piece. sender_control.c: messages.
 * sender_walk.c: walk, manifest, SHA-256. sender_digests.c: the digest stream. sender_loans.c: what
 * lanes send.
 */
#pragma once

#include "session/message.h"
#include "session/outbox.h"
#include "session/owed.h"
#include "session/sender.h"

struct tw_outgoing;

#define TW_SENDER_PROBLEMS 256
#define TW_SENDER_ABANDONS 64
#define TW_SENDER_AGAIN_PLACES 32

enum tw_sender_block_state {
	TW_BLOCK_FREE = 0,
	TW_BLOCK_READING,
	TW_BLOCK_LOADED,
};

struct tw_sender_block {
	struct tw_job job; /* first: a job that is back is its block */
	enum tw_sender_block_state state;
	bool ahead;                /* READING: for fresh bytes, not for lost ones */
	bool stale;                /* its bytes must not be used any more */
	uint8_t *bytes;            /* TW_CHUNK_SIZE */
	struct tw_digest *digests; /* TW_BLOCK_CHUNKS_MAX */
	uint64_t start, end;       /* LOADED: of the tape. READING: what was asked for */
	size_t digest_next;        /* digests below have been handed to the digest stream */
	uint64_t used;             /* the sender's clock of use */
	unsigned loans; /* LOADED: lanes send from it; stale: it is free when they have */
};

enum tw_run_kind {
	TW_RUN_NONE = 0,
	TW_RUN_LOST,
	TW_RUN_FRESH,
	TW_RUN_ECHO,
	TW_RUN_TAIL,
};

/* The stretch that data_next() offers pieces of. */
struct tw_sender_run {
	enum tw_run_kind kind;
	uint64_t start, end;
	struct tw_sender_block *block;
};

struct tw_sender_walk {
	struct tw_job job;
	bool busy;
	bool restart;  /* the manifest must be encoded from its start again */
	bool open;     /* its bytes may go to the connection */
	bool over;     /* the encoder has given its last byte */
	bool finished; /* the stream has been finished */
	uint8_t *bytes;
	size_t at, length; /* bytes not yet written to the stream */
	uint64_t written;  /* over this connection */
};

struct tw_sender_sha {
	struct tw_job job;
	bool busy, over, wait;
	bool stale;     /* the job under way belongs to an earlier connection */
	uint64_t entry; /* next */
	bool ready;     /* @job holds a digest to be sent */
};

/* Records in the form of the digest stream; those that may not have reached the peer are kept for
 * the next connection. */
struct tw_sender_digests {
	struct tw_ranges sent; /* chunks with a record in the log, now or once */
	uint8_t *log;
	size_t length, room, written; /* bytes below @written are in the stream */
};

struct tw_sender_abandon {
	uint64_t entry;
	int error;
	struct tw_range range;
};

/* Repeats of what nobody knows to be lost, when everything has been sent. */
struct tw_sender_tail {
	bool armed, active;
	tw_ns next_at;
	uint64_t cursor, budget;
	/* Sent again lately; waiting for their echo; and those whose echo is due. */
	struct tw_ranges young, waiting, due;
	tw_ns echo_at;  /* when each moves on */
	uint64_t spent; /* bytes so repeated */
};

struct tw_sender {
	struct tw_sender_options options;
	char *destination;
	struct tw_job_port port;
	tw_ns now;
	uint64_t instance, attempts;
	unsigned jobs_out;
	bool source_freed;

	/* The outgoing's to write. */
	struct tw_outgoing *outgoing; /* NULL: takes part in none */
	unsigned place;               /* among its seats */

	struct tw_conn *conn; /* NULL: not offered at present */
	uint64_t number;      /* within @conn */
	struct tw_outbox *outbox;
	bool offer_unsaid;
	bool answered;
	bool starved; /* data_next() had nothing */
	uint64_t ready;
	uint64_t ready_before, acked_before; /* when the connection before ended */

	bool total_known; /* the walk is over: totals are final */
	uint64_t total_bytes, total_files, total_entries, total_chunks;
	bool total_unsaid;

	struct tw_owed owed;
	struct tw_sender_run run;
	/* The connection reads from it until it asks for the next piece. */
	const struct tw_sender_block *lent;
	struct tw_sender_tail tail;
	struct tw_sender_block *blocks[TW_SENDER_BLOCKS];
	size_t block_count;
	unsigned loans; /* of all of them */
	tw_ns sent_at; /* about when it was last asked for a piece */
	uint64_t use_clock;
	bool whole_chunks;      /* the last block read ahead was one chunk of full length */
	bool reads_at_once;     /* the last block was read where that was asked for */
	struct tw_ranges holes; /* to be told */
	struct tw_sender_abandon abandons[TW_SENDER_ABANDONS]; /* to be told */
	size_t abandon_count;
	struct tw_ranges abandoned; /* entries, over this connection */
	uint64_t abandoned_bytes;

	struct {
		uint64_t start;
		unsigned count;
		uint64_t bytes_sent; /* when it was counted */
	} again[TW_SENDER_AGAIN_PLACES];
	size_t again_next;
	struct tw_job *entry_job; /* made at first use */
	bool entry_busy;

	struct tw_sender_walk walk;
	struct tw_sender_sha sha;
	struct tw_sender_digests digests;

	struct tw_problem problems[TW_SENDER_PROBLEMS];
	size_t problem_first, problem_count;
	struct tw_ranges problem_entries;
	uint64_t problems_bad; /* not harmless ones, told or not */

	struct tw_message_progress progress;
	uint64_t bytes_sent, bytes_retransmitted, bytes_read;
	uint64_t pieces_sent, pieces_acked, pieces_retransmitted;
	bool done_ack_unsaid, cancel_unsaid;
	bool farewell_said;     /* all of it has been written, up to: */
	uint64_t farewell_mark; /* in the control stream */
	bool finished, paused;
	enum tw_transfer_error error;
	char message[256];
	struct tw_digest digest;
	tw_ns started_at, finished_at;
};

/* sender.c */
void tw_sender_submit(struct tw_sender *sender, struct tw_job *job);
void tw_sender_finish(struct tw_sender *sender, enum tw_transfer_error error, const char *message);
/* The peer broke the rules: the transfer ends. */
void tw_sender_fail(struct tw_sender *sender, enum tw_session_close code, const char *reason);
/* And closes the connection. */
void tw_sender_refuse(struct tw_sender *sender, enum tw_session_close code, const char *reason);
void tw_sender_note(struct tw_sender *sender, const struct tw_problem *problem);
/* Does whatever can be done now: messages, streams, jobs. */
void tw_sender_pump(struct tw_sender *sender);
/* An entry cannot be sent. */
void tw_sender_abandon(struct tw_sender *sender, uint64_t entry, int error, uint64_t start,
		       uint64_t end);

/* For the outgoing: transfer @number of @conn from now on; offers itself. */
void tw_sender_attach(struct tw_sender *sender, struct tw_conn *conn, struct tw_outbox *outbox,
		      uint64_t number);
/* The connection is gone, or is left. */
void tw_sender_detach(struct tw_sender *sender);
/* The receiver was told of it, and not yet that it is over. */
bool tw_sender_owes_words(const struct tw_sender *sender);
bool tw_sender_data_next(struct tw_sender *sender, struct tw_data_ref *ret);
const uint8_t *tw_sender_data_take(struct tw_sender *sender, const struct tw_data_ref *piece);
void tw_sender_data_acked(struct tw_sender *sender, const struct tw_data_ref *piece);
void tw_sender_data_lost(struct tw_sender *sender, const struct tw_data_ref *piece);

/* sender_blocks.c */
void tw_sender_blocks_deinit(struct tw_sender *sender);
void tw_sender_blocks_pump(struct tw_sender *sender);
void tw_sender_blocks_tick(struct tw_sender *sender);
void tw_sender_block_done(struct tw_sender *sender, struct tw_sender_block *block);
bool tw_sender_is_block(const struct tw_sender *sender, const struct tw_job *job);
/* Tape offsets below may be sent now. */
uint64_t tw_sender_limit(const struct tw_sender *sender);
/* Forgets cached bytes of [start, end). */
void tw_sender_blocks_drop(struct tw_sender *sender, uint64_t start, uint64_t end);
/* Makes @sender->run a stretch that can be sent; false: nothing is loaded or owed. */
bool tw_sender_run_find(struct tw_sender *sender);
void tw_sender_run_reset(struct tw_sender *sender);
/* The same without repeats at the end of a transfer. */
bool tw_sender_run_owed(struct tw_sender *sender);
/* Where fresh bytes begin; the tape's end as far as known when there are none. */
uint64_t tw_sender_fresh_start(const struct tw_sender *sender);

/* sender_tail.c */
void tw_sender_tail_init(struct tw_sender *sender);
void tw_sender_tail_deinit(struct tw_sender *sender);
/* A new connection. */
void tw_sender_tail_restart(struct tw_sender *sender);
void tw_sender_tail_tick(struct tw_sender *sender);
/* What may be repeated next, and as what; false: nothing now. */
bool tw_sender_tail_next(struct tw_sender *sender, enum tw_run_kind *ret_kind,
			 struct tw_range *ret);
/* Its bytes are not at hand: what lies behind goes first. */
void tw_sender_tail_pass(struct tw_sender *sender, enum tw_run_kind kind, uint64_t end);
/* [start, end) leaves as a piece of a run of @kind. */
void tw_sender_tail_taken(struct tw_sender *sender, enum tw_run_kind kind, uint64_t start,
			  uint64_t end);

/* sender_loans.c: stretches that lanes send (outgoing_lanes.c) */
/* What can be lent now, at most @most bytes of one block; false: nothing is loaded or owed. */
bool tw_sender_loan_find(struct tw_sender *sender, uint64_t most, struct tw_range *ret);
/* Lends what was just found; returns its bytes, there until tw_sender_loan_over(). */
const uint8_t *tw_sender_loan_take(struct tw_sender *sender, const struct tw_range *range,
				   struct tw_sender_block **ret_block);
/* Of a loan, [start, end) has gone on the wire in so many pieces; the rest has not and is owed as
 * before. */
void tw_sender_loan_sent(struct tw_sender *sender, uint64_t start, uint64_t end, uint64_t pieces);
void tw_sender_loan_unsent(struct tw_sender *sender, uint64_t start, uint64_t end);
void tw_sender_loan_over(struct tw_sender *sender, struct tw_sender_block *block);

/* sender_control.c */
void tw_sender_control_pump(struct tw_sender *sender);
void tw_sender_message(struct tw_sender *sender, struct tw_message *message);
void tw_sender_leave_streams(struct tw_sender *sender);
void tw_sender_entry_done(struct tw_sender *sender);

/* sender_walk.c */
void tw_sender_walk_pump(struct tw_sender *sender);
void tw_sender_walk_done(struct tw_sender *sender);
void tw_sender_sha_pump(struct tw_sender *sender);
void tw_sender_sha_done(struct tw_sender *sender);

/* sender_digests.c */
/* @live: the receiver has all that reached it over the connection before. */
void tw_sender_digests_restart(struct tw_sender *sender, bool live);
void tw_sender_digests_pump(struct tw_sender *sender);
