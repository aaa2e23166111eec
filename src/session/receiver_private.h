/*
 * receiver_private.h - the parts of the receiving side. receiver_hub.c: the hub, connections,
 * timers, status. receiver_transfer.c: the life of a transfer and the results of its jobs.
 * receiver_data.c: pieces of the tape on their way to the sink. receiver_early.c: those that come
 * before they can be taken. receiver_control.c: messages.
 * receiver_streams.c: manifest and digests. receiver_lanes.c: what comes over lanes.
 */
#pragma once

#include "session/inbox.h"
#include "session/message.h"
#include "session/outbox.h"
#include "session/receiver.h"

#define TW_RECEIVER_TRANSFERS_MAX 1024
/* Of one key: the rest is for others. */
#define TW_RECEIVER_TRANSFERS_PEER (TW_RECEIVER_TRANSFERS_MAX / 2)
#define TW_RECEIVER_CONNS_PEER 256
#define TW_RECEIVER_RANGES_MAX ((size_t)1 << 20)
#define TW_RECEIVER_DATA_JOBS_MAX 1024
/*
 * Those of one connection may have such a part of the memory, and letters that make such a part of
 * as many jobs again; all of a hub so many such parts of the memory, and one with less is none.
 */
#define TW_RECEIVER_LANES_PART 3
#define TW_RECEIVER_LANES_PARTS 2
#define TW_RECEIVER_LANE_ROOM_MIN (UINT64_C(64) << 10)
#define TW_RECEIVER_PROBLEMS 64
/* Jobs of one transfer that messages cause: more, and the messages wait. */
#define TW_RECEIVER_CONTROL_JOBS 32
#define TW_RECEIVER_DIGEST_JOBS 8
#define TW_RECEIVER_COPY_SIZE ((size_t)64 << 10)

struct tw_receiver_conn;
struct tw_receiver_transfer;
struct tw_letter_pieces;
struct berth_receiving;

/* A job and what comes back to its transfer with it. */
struct tw_receiver_job {
	struct tw_job job;            /* first: a job that is back is its tw_receiver_job */
	struct tw_receiver_job *next; /* in the hub's list of free ones */
	struct tw_receiver_transfer *transfer;
	struct tw_receiver_conn *conn; /* WRITE: whose window the bytes count against */
	/* WRITE: that holds the bytes, in place of the carrier's buffer; they count in its lane */
	struct tw_letter_pieces *letter;
	uint8_t *copy;                 /* TW_RECEIVER_COPY_SIZE, made at first use */
	size_t copy_length;
	bool control; /* caused by a message */
};

enum tw_receiver_state {
	TW_RECEIVING_WAITING, /* for an earlier sink of the same transfer to be put away */
	TW_RECEIVING_OPENING,
	TW_RECEIVING_RUNNING,
	TW_RECEIVING_ENDING,  /* the outcome is fixed; the sink is being put away */
	TW_RECEIVING_OVER,    /* no sink any more; DONE is said to whoever asks */
	TW_RECEIVING_DROPPED, /* replaced or put away: goes when its last job is back */
	TW_RECEIVING_COUNT,
};

struct tw_receiver_problem {
	uint64_t entry;
	int error;
	char path[256];
};

/* What came of the start of a tape before it could be taken. */
struct tw_receiver_early {
	uint64_t number;
	struct tw_ranges have;
	uint8_t bytes[TW_SESSION_EARLY_MAX];
};

struct tw_receiver_transfer {
	struct tw_receiver_hub *hub;
	uint64_t id;
	enum tw_receiver_state state;
	struct tw_public_key peer;
	struct tw_path path;
	struct tw_sink_options sink_options;
	char *destination;
	char destination_shown[256];
	uint64_t instance, attempt; /* as the newest offer says */
	unsigned checkpoint_seconds;

	struct tw_receiver_conn *conn; /* NULL: none now */
	uint64_t number;               /* within @conn */
	bool let_go;                   /* the sender has said its last words */
	bool held;                     /* counted by tw_receiver_held() */
	bool paused;                   /* and goes on another time */
	bool answer_unsaid;
	uint64_t answer_flags;

	struct tw_sink *sink;
	unsigned jobs_out, control_jobs, digest_jobs;
	struct tw_receiver_job *close_job; /* SINK_OPEN and SINK_FREE: always there */
	struct tw_receiver_job *checkpoint_job;
	bool checkpoint_busy, settle_busy;
	bool put_away; /* dropped before its end: another attempt goes on from the journal */
	bool final_checkpoint; /* ENDING, DROPPED: wanted and not yet submitted */

	tw_ns cut_at; /* the manifest ended too early; 0: it did not */
	bool manifest_busy, manifest_ended, manifest_complete, prepare_wanted;
	uint64_t entries_known; /* of the manifest */
	struct tw_inbox digests;
	struct tw_ranges received;  /* of the tape, held ones included */
	struct tw_ranges chunks;    /* whose digests have come */
	struct tw_ranges abandoned; /* entries */
	struct tw_ranges held_unsaid, again_unsaid, missed_unsaid;
	struct tw_ranges again; /* asked for again since it was attached */
	uint64_t ready, ready_said, chunks_ready;
	/* What came before it could be taken (receiver_early.c). */
	struct tw_receiver_early *early; /* owned; NULL: nothing. Only while @conn is set */
	/* Pieces of the buffer being handed in, and copied ones (receiver_data.c). */
	struct tw_receiver_job *gather, *crumbs;
	unsigned writes_out;
	bool dirty;          /* something came since the last checkpoint */
	bool unsettled;      /* something was written since the last settling */
	bool events_waiting; /* in the sink: they come with the next job */
	bool all_done;

	struct tw_receiver_problem problems[TW_RECEIVER_PROBLEMS];
	size_t problem_first, problem_count;
	struct tw_sink_progress progress;
	struct tw_message_progress progress_said;
	uint64_t bytes_received;

	bool total_known;
	uint64_t total_bytes, total_files;
	enum tw_transfer_error error;
	char message[256];
	bool done_unsaid, finished;
	tw_ns received_at, sent_at, failed_at; /* newest; 0: never */
	tw_ns started_at, finished_at, disconnected_at, checkpoint_at, progress_at, written_at;
};

struct tw_receiver_conn {
	struct tw_receiver_hub *hub;
	struct tw_conn *conn; /* NULL before the first call and after closed() */
	struct tw_public_key peer;
	/* By number modulo their count. */
	struct tw_receiver_transfer *transfers[TW_SESSION_TRANSFERS_MAX];
	uint64_t number_next; /* every number below has been offered, or never will be */
	/* Streams may come before their offers; as many transfers as can be live. 0: free. */
	uint64_t early_streams[TW_SESSION_TRANSFERS_MAX]; /* number + 1 */
	/* And so may DATA; by number modulo their count, owned. */
	struct tw_receiver_early *early[TW_SESSION_TRANSFERS_MAX];
	struct tw_inbox inbox;
	struct tw_outbox outbox;
	bool hello_unsaid, limit_unsaid, refused, closed;
	uint64_t max_bps; /* what the peer shall keep to; 0: no limit */
	unsigned jobs_out;
	uint8_t lane_token[TW_LANE_TOKEN_SIZE]; /* where the hub takes lanes */
};

struct tw_receiver_hub {
	struct tw_receiver_options options;
	tw_ns now;
	uint64_t memory; /* bytes of pieces waiting for the disk */
	unsigned jobs_out, data_jobs, lane_jobs; /* pieces': of the main connections; of lanes */
	struct tw_receiver_job *jobs_free;
	struct tw_receiver_conn **conns;
	size_t conn_count, conn_room;
	struct tw_receiver_transfer **transfers;
	size_t transfer_count;
	struct tw_receiver_transfer *gathering[TW_SESSION_TRANSFERS_MAX];
	size_t gathering_count;
	void *buffer; /* being handed in, once asked for */
	bool buffer_known;
	struct berth_receiving *berths;  /* moored here */
	uint64_t lane_room;              /* given to them */
	struct tw_letter_pieces *letter; /* being taken in; NULL: none */
	uint64_t id_next;
	bool stopping;
};

/* receiver_hub.c */
struct tw_receiver_job *tw_receiver_job_new(struct tw_receiver_hub *hub);
/* Its own buffer of TW_RECEIVER_COPY_SIZE; NULL: no memory. */
uint8_t *tw_receiver_job_copy(struct tw_receiver_job *job);
void tw_receiver_job_free(struct tw_receiver_hub *hub, struct tw_receiver_job *job);
void tw_receiver_submit(struct tw_receiver_transfer *transfer, struct tw_receiver_job *job,
			enum tw_job_type type);
/* The peer broke the rules. */
void tw_receiver_refuse(struct tw_receiver_conn *conn, enum tw_session_close code,
			const char *reason);
void tw_receiver_conn_put(struct tw_receiver_conn *conn);
/* Tells whoever wants to know (tw_receiver_options.held). */
void tw_receiver_held(struct tw_receiver_hub *hub, const struct tw_public_key *peer,
		      enum tw_receiver_held what, int change);
/* The transfer with this number in @conn; NULL: none now. */
struct tw_receiver_transfer *tw_receiver_transfer_of(const struct tw_receiver_conn *conn,
						     uint64_t number);
/* Throws away what the streams of transfer @number hold. */
void tw_receiver_streams_drain(struct tw_receiver_conn *conn, uint64_t number);
extern const struct tw_conn_app tw_receiver_app;

/* receiver_transfer.c */
/* -ENOMEM, TW_E_FULL. */
int tw_receiver_transfer_new(struct tw_receiver_conn *conn, const struct tw_message *offer,
			     struct tw_receiver_transfer **ret);
/* An offer of an older connection that comes behind that of a newer one. */
bool tw_receiver_offer_is_late(const struct tw_receiver_conn *conn, const struct tw_message *offer);
/* A live or finished one for the same job; NULL: none that can go on. */
struct tw_receiver_transfer *tw_receiver_transfer_find(struct tw_receiver_conn *conn,
						       const struct tw_message *offer);
void tw_receiver_transfer_attach(struct tw_receiver_transfer *transfer,
				 struct tw_receiver_conn *conn, uint64_t number);
/* @lost: the connection ended without the peer saying so. */
void tw_receiver_transfer_detach(struct tw_receiver_transfer *transfer, bool lost);
/* The sender has said its last words about it: its place in the connection is free. */
void tw_receiver_transfer_let_go(struct tw_receiver_transfer *transfer);
void tw_receiver_transfer_end(struct tw_receiver_transfer *transfer, enum tw_transfer_error error,
			      const char *message);
/* The sender ends it, for good or (@transfer->paused) for now. */
void tw_receiver_transfer_cancel(struct tw_receiver_transfer *transfer,
				 enum tw_transfer_error error);
void tw_receiver_transfer_drop(struct tw_receiver_transfer *transfer);
/* The user's program may be told: nothing more comes. */
void tw_receiver_transfer_finish(struct tw_receiver_transfer *transfer);
void tw_receiver_transfer_job_done(struct tw_receiver_transfer *transfer,
				   struct tw_receiver_job *job);
void tw_receiver_transfer_tick(struct tw_receiver_transfer *transfer);
/* Does whatever can be done now. The transfer may be gone afterwards. */
void tw_receiver_transfer_pump(struct tw_receiver_transfer *transfer);
void tw_receiver_transfer_progress(const struct tw_receiver_transfer *transfer,
				   struct tw_message_progress *ret);
/* A bug or a lie in @transfer's streams: ends it and its connection. */
void tw_receiver_transfer_refuse(struct tw_receiver_transfer *transfer, const char *reason);
void tw_receiver_transfer_free(struct tw_receiver_transfer *transfer);

/* receiver_data.c */
bool tw_receiver_data(struct tw_receiver_conn *conn, const struct tw_data_ref *piece,
		      const uint8_t *bytes);
/* The same, behind all checks; @copied: @bytes are not in the buffer being handed in. */
bool tw_receiver_take_piece(struct tw_receiver_transfer *transfer, struct tw_receiver_conn *conn,
			    const struct tw_data_ref *piece, const uint8_t *bytes, bool copied);
/* A WRITE job is back. */
void tw_receiver_write_done(struct tw_receiver_transfer *transfer);
/* Submits what is gathered. */
void tw_receiver_gather_leave(struct tw_receiver_transfer *transfer);

/* receiver_lanes.c */
/* The connection is gone, or the hub is: lanes end. */
void tw_receiver_lanes_leave(struct tw_receiver_conn *conn);
void tw_receiver_lanes_stop(struct tw_receiver_hub *hub);
/* A job of its pieces is back. */
void tw_receiver_letter_put(struct tw_letter_pieces *letter);
/* One more is made of them. */
void tw_receiver_letter_hold(struct tw_letter_pieces *letter);

/* receiver_early.c */
bool tw_receiver_early_take(struct tw_receiver_transfer *transfer, const struct tw_data_ref *piece,
			    const uint8_t *bytes);
/* Hands on what may be taken by now. */
void tw_receiver_early_pump(struct tw_receiver_transfer *transfer);
/* Of a transfer that has not been offered yet. */
bool tw_receiver_early_keep(struct tw_receiver_conn *conn, const struct tw_data_ref *piece,
			    const uint8_t *bytes);
/* It has, and @transfer (NULL: none) is what came of it: what was kept is its, or nobody's. */
void tw_receiver_early_offered(struct tw_receiver_conn *conn, uint64_t number,
			       struct tw_receiver_transfer *transfer);
void tw_receiver_early_drop(struct tw_receiver_conn *conn, struct tw_receiver_early **slot);

/* receiver_control.c */
void tw_receiver_control_read(struct tw_receiver_conn *conn);
void tw_receiver_control_pump(struct tw_receiver_transfer *transfer);
/* What concerns the connection as a whole. False: the stream has no room now. */
bool tw_receiver_conn_pump(struct tw_receiver_conn *conn);

/* receiver_streams.c */
void tw_receiver_manifest_pump(struct tw_receiver_transfer *transfer);
void tw_receiver_digests_pump(struct tw_receiver_transfer *transfer);
