/*
 * worker.h - one data worker: a thread that owns its sockets, an endpoint with its connections, one
 * sending transfer or a receiving hub (or both), and disk threads. It shares nothing mutable and
 * takes no lock.
 *
 * The control thread talks to it in three ways, none of which can hold up a packet: commands go in
 * through a ring; events come out through a ring; and the state of everything comes out as
 * snapshots, made once an interval and after every change of state, which the control thread swaps
 * for its own (three copies: one being written, one on offer, one being read). tw_worker_fd() is
 * readable when there is something new.
 *
 * The loop: take what came in, merged train by merged train, hand its pieces to the disk; take what
 * the disk has done; run timers; send trains until nothing may leave or the socket is full; sleep
 * until the next deadline. It never spins.
 *
 * A sender talks through connected sockets, one for each address of the destination; a hub listens
 * on the sockets that it was told to bind. All functions below are the control thread's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/endpoint.h"
#include "netio/udp.h"
#include "session/dialer.h"
#include "session/receiver.h"
#include "session/sender.h"

#define TW_WORKER_BINDS_MAX 4
#define TW_WORKER_EVENTS \
	1024 /* waiting for the control thread; file events beyond three quarters are counted only \
	      */
#define TW_WORKER_STOP_LIMIT (30 * TW_SECOND) /* longest wait for the disk at the end */

struct tw_worker_sending {
	struct tw_sender_options sender; /* the source is taken, whatever tw_worker_new() returns */
	struct tw_dialer_options dialer;
};

struct tw_worker_receiving {
	struct tw_address binds[TW_WORKER_BINDS_MAX];
	unsigned bind_count;
	const struct tw_fs *fs; /* borrowed for the life of the worker */
	enum tw_cipher cipher_min;
	bool file_events; /* report every file that is done */
};

struct tw_worker_options {
	const struct tw_identity *identity; /* borrowed for the life of the worker */
	uint8_t server_id[TW_ID_SIZE], server_uid[TW_ID_SIZE];
	const struct tw_worker_sending *sending;     /* NULL: sends nothing */
	const struct tw_worker_receiving *receiving; /* NULL: takes no connections */
	tw_ns publish_every;                         /* 0: a second */
	unsigned disk_threads;                       /* 0: 1 for a sender, 2 for a hub */
};

enum tw_worker_event_type {
	TW_WORKER_STARTED = 1, /* receiving: @text is the destination */
	TW_WORKER_RESUMED,
	TW_WORKER_FILE_DONE,   /* @text is the path, cleaned for display; so below */
	TW_WORKER_FILE_FAILED, /* @error */
	TW_WORKER_FINISHED,    /* @error: enum tw_transfer_error, @text: its message */
	TW_WORKER_PROBLEM, /* sending: something was left out: @text, @error, @harmless, @fatal */
};

struct tw_worker_event {
	enum tw_worker_event_type type;
	uint64_t id; /* of the receiving transfer */
	int error;
	bool harmless, fatal;
	char text[256];
	struct tw_receiver_status transfer; /* STARTED, RESUMED, FINISHED: as it is then */
};

struct tw_worker_snapshot {
	tw_ns at;
	uint64_t serial;                        /* grows with every snapshot; 0: none yet */
	bool stopped;                           /* the last one */
	uint64_t events_lost;                   /* file events that found no room */
	struct tw_udp_counters udp;             /* all sockets together */
	uint32_t receive_granted, send_granted; /* socket buffers of the socket in use */

	/* Sending. */
	struct tw_sender_status sender;
	bool connected; /* @conn is set */
	struct tw_conn_info conn;
	struct tw_address local,
		remote; /* of the socket in use; family NONE before the first send */
	bool waiting;   /* for the destination to answer, since: */
	tw_ns waiting_since;
	bool failed; /* given up: */
	enum tw_conn_end failure;
	char failure_message[256];
	int socket_error; /* newest errno by which the system refused to send; 0: none */

	/* Receiving. */
	struct tw_receiver_status *transfers; /* owned by the snapshot */
	size_t transfer_count, transfer_room;
	struct tw_conn_info *conns; /* owned by the snapshot */
	size_t conn_count, conn_room;
	unsigned buffers_used;
};

struct tw_worker;

/*
 * Opens the listening sockets, makes everything, starts nothing yet. -errno as tw_udp_open(),
 * *@ret_failed being the bind that failed; -ENOMEM; TW_E_WEAK as tw_endpoint_connect().
 */
int tw_worker_new(const struct tw_worker_options *options, struct tw_worker **ret,
		  struct tw_address *ret_failed);
/* Starts the thread. -EAGAIN. */
int tw_worker_start(struct tw_worker *worker);
/* Stops at once if it still runs, waits for the thread and the disk, frees. */
void tw_worker_free(struct tw_worker *worker);

/* In effect within a turn of the loop, some milliseconds. TW_E_FULL: too many commands wait; try
 * again. */
int tw_worker_set_rate(struct tw_worker *worker, enum tw_rate_method method,
		       const struct tw_rate_limits *limits);
/* Gives up the sending transfer; the receiver is told. */
int tw_worker_cancel(struct tw_worker *worker);
/* Ends in order: checkpoints what has been received, closes the connections. The last snapshot says
 * @stopped. */
int tw_worker_stop(struct tw_worker *worker);

/* Readable when an event or a snapshot is new; emptied by tw_worker_snapshot(). */
int tw_worker_fd(const struct tw_worker *worker);
bool tw_worker_event(struct tw_worker *worker, struct tw_worker_event *ret);
/* The newest snapshot (lent until the next call); NULL before the first. */
const struct tw_worker_snapshot *tw_worker_snapshot(struct tw_worker *worker);
/* The listening sockets as bound; @ret_advice as tw_udp_advice(). Before start() only. */
const struct tw_udp *tw_worker_socket(const struct tw_worker *worker, unsigned index);
