/*
 * receiver.h - the receiving side: all transfers that arrive over one connection. A transfer
 * outlives its connection: the set of live transfers belongs to a `tw_receiver_hub`, keyed by (peer
 * key, transfer key), so that a sender that comes back over a new connection finds its transfer,
 * its open sink and what it holds.
 *
 * Bytes go from the datagram to the sink without another copy: the pieces of one receive buffer are
 * gathered in one job, and the buffer is released when that job is back. Memory in use counts
 * against the connection's data window, so that a slow disk slows the sender and never loses a
 * packet. Sans-IO.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "base/secret.h"
#include "base/time.h"
#include "content/job.h"
#include "core/conn.h"
#include "session/sender.h"

struct tw_receiver_hub;

struct tw_receiver_events {
	/* A transfer begins (or goes on over a new connection: @resumed). */
	void (*started)(void *context, uint64_t id, const char *destination, bool resumed);
	void (*file_done)(void *context, uint64_t id, const char *path);
	void (*file_failed)(void *context, uint64_t id, const char *path, int error);
	/* Over, well or not. One that its sender pauses is put away without a word. */
	void (*finished)(void *context, uint64_t id, enum tw_transfer_error error,
			 const char *message);
};

/* What a hub has of a peer. */
enum tw_receiver_held {
	TW_RECEIVER_HELD_CONN,
	/* One that another connection of his may have to find here. */
	TW_RECEIVER_HELD_TRANSFER,
	TW_RECEIVER_HELD_COUNT,
};

struct tw_receiver_options {
	const struct tw_fs *fs;                 /* borrowed */
	struct tw_job_port port;
	/*
	 * Gives the buffer that is being handed to tw_endpoint_receive() right now (opaque). The
	 * carrier of jobs keeps it from the submission of a WRITE job with this @buffer until that
	 * job is back; there may be several for one (two transfers, very many datagrams). Asked for
	 * once between two flushes. NULL: the bytes are copied.
	 */
	void *(*current_buffer)(void *context);
	void *buffer_context;
	uint64_t memory_max;                    /* bytes waiting for the disk; 0: 48 MiB */
	/* a transfer without connection is put away after so long; 0: 60 s */
	tw_ns linger;
	struct tw_receiver_events events;
	void *events_context;
	/* Numbers of transfers begin with this one and grow by @id_step; 0: 1. */
	uint64_t id_first, id_step;
	/*
	 * It has one more (@change 1) or less (-1) of @peer's; for whoever must send him here again
	 * (netio/homes.h). NULL: nobody has to know. With the hub's end all is given up unsaid.
	 */
	void (*held)(void *context, const struct tw_public_key *peer, enum tw_receiver_held what,
		     int change);
	void *held_context;
	/*
	 * So many lanes (lane.h) each connection is offered, at most TW_LANES_MAX; 0: none.
	 * @random, borrowed, is for the secrets that tell whose lane one is: needed where there are
	 * any.
	 */
	unsigned lanes;
	const struct tw_random *random;
	uint8_t server_id[TW_ID_SIZE], server_uid[TW_ID_SIZE];
};

int tw_receiver_hub_new(const struct tw_receiver_options *options, tw_ns now,
			struct tw_receiver_hub **ret);
void tw_receiver_hub_free(struct tw_receiver_hub *hub);
/* No job under way. To stop in order: close the connections, stop(), run until idle and until all
 * berths of it (lane.h) are over, free(). */
bool tw_receiver_hub_idle(const struct tw_receiver_hub *hub);
void tw_receiver_hub_stop(struct tw_receiver_hub *hub);

/*
 * For tw_endpoint_config.admit(): makes the per-connection object. *@ret_context belongs to the
 * hub. -ENOMEM; TW_E_FULL: @peer has as many as one may have; TW_E_CLOSED: stopping.
 */
int tw_receiver_admit(struct tw_receiver_hub *hub, const struct tw_public_key *peer,
		      const struct tw_conn_app **ret_app, void **ret_context);
/*
 * How many bytes that wait for the disk each lane may have, where there are any: what its
 * connection should have as its data window at first (tw_conn_config.data_window, in admit()).
 */
uint64_t tw_receiver_lane_room(const struct tw_receiver_hub *hub);
/* All datagrams of the current buffer have been handed in: its pieces leave as jobs. */
void tw_receiver_flush(struct tw_receiver_hub *hub, tw_ns now);
/*
 * What the peer shall send at most over @conn, one that came in, from now on; UINT64_MAX: no limit.
 * It is asked, not forced: the data window is what protects memory.
 */
void tw_receiver_set_limit(struct tw_receiver_hub *hub, const struct tw_conn *conn,
			   uint64_t max_bps);
void tw_receiver_job_done(struct tw_receiver_hub *hub, struct tw_job *job, tw_ns now);
/* Timers: checkpoints, settling, putting away. At least every 100 ms. */
void tw_receiver_tick(struct tw_receiver_hub *hub, tw_ns now);

struct tw_receiver_status {
	uint64_t id;
	struct tw_public_key peer;
	uint8_t key[TW_TRANSFER_KEY_SIZE]; /* the sender's, the same for every attempt */
	struct tw_path path;
	char destination[256];          /* cleaned for display */
	bool connected, finished;
	bool paused; /* by its sender, and being put away: it goes on another time */
	/* finished, TW_TRANSFER_CANCELLED: its sender is gone or began anew; it goes on then */
	bool put_away;
	enum tw_transfer_error error;
	char message[256];
	bool total_known;
	uint64_t total_bytes, total_files;
	uint64_t bytes_received;        /* new tape bytes, held ones included */
	uint64_t bytes_durable, bytes_held;
	uint64_t files_done, files_skipped, files_failed;
	struct tw_digest digest;
	tw_ns started_at, finished_at;
	/* Newest piece or message about it, newest message of ours, newest failure of a file or of
	 * the whole; 0: never. */
	tw_ns last_received_at, last_sent_at, last_error_at;
};
size_t tw_receiver_count(const struct tw_receiver_hub *hub);
bool tw_receiver_status(const struct tw_receiver_hub *hub, size_t index,
			struct tw_receiver_status *ret);
