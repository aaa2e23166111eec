/*
 * worker.h - one data worker: a thread that owns its sockets, an endpoint with its connections, any
 * number of destinations with the transfers that go to them, a receiving hub, and disk threads. It
 * shares nothing mutable and takes no lock.
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
 * A destination is dialled when it has a transfer, through connected sockets of its own, one for
 * each of its addresses; its connection stays for TW_WORKER_LINGER after the last transfer. Which
 * transfers a worker has is the control thread's choice (the queue is there); the worker serves
 * those it has by rank. A hub listens on the sockets that it was told to bind. All functions below
 * are the control thread's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/endpoint.h"
#include "netio/crew.h"
#include "netio/udp.h"
#include "session/dialer.h"
#include "session/receiver.h"
#include "session/sender.h"

#define TW_WORKER_BINDS_MAX 32
#define TW_WORKER_DESTINATIONS_MAX 4096
#define TW_WORKER_TRANSFERS_MAX 4096
/* Waiting for the control thread; file events beyond three quarters are counted only, ends of
 * transfers wait in the worker until there is room. */
#define TW_WORKER_EVENTS 1024
#define TW_WORKER_LANES_AUTO UINT32_MAX
#define TW_WORKER_LINGER (30 * TW_SECOND)
#define TW_WORKER_STOP_LIMIT (30 * TW_SECOND) /* longest wait for the disk at the end */

/* Who may send to us. */
struct tw_worker_admission {
	bool only_listed;
	struct tw_public_key *keys; /* malloc'd array, taken */
	size_t key_count;
};

struct tw_worker_receiving {
	struct tw_address binds[TW_WORKER_BINDS_MAX];
	unsigned bind_count;
	const struct tw_fs *fs; /* borrowed for the life of the worker */
	enum tw_cipher cipher_min;
	bool file_events;                                 /* report every file that is done */
	uint32_t socket_receive_bytes, socket_send_bytes; /* 0: the default */
	struct tw_worker_admission admission;
};

struct tw_worker_options {
	const struct tw_identity *identity; /* borrowed for the life of the worker */
	uint8_t server_id[TW_ID_SIZE], server_uid[TW_ID_SIZE];
	const struct tw_worker_receiving *receiving; /* NULL: takes no connections */
	tw_ns publish_every;                         /* 0: a second */
	unsigned disk_threads;                       /* 0: 2 */
	struct tw_udp_helper helper;                 /* copied; without a function: none */
	/*
	 * One of several that take connections at the same addresses, or none of them does, and
	 * that help each other by lanes; borrowed; NULL: it is alone. They are made in the order of
	 * their places; @receiving of all has the same binds, those behind the first one with the
	 * ports that its sockets have got. They are stopped and freed in any order, but a worker
	 * that has lanes with others ends only when they have let go of them.
	 */
	struct tw_crew *crew;
	unsigned place;
};

/* A destination, as it is added or changed. */
struct tw_worker_destination {
	uint64_t id; /* the control thread's own number, never used for another one */
	struct tw_address remotes[TW_DIALER_ADDRESSES_MAX]; /* none yet: it waits for some */
	unsigned remote_count;
	/* The remotes are a relay's (netio/relay_agent.h): what to show it, beside each. */
	bool ticketed;
	struct tw_ticket tickets[TW_DIALER_ADDRESSES_MAX];
	/* Our own address and port for it; family NONE, port 0: as the system likes. */
	struct tw_address local;
	uint32_t socket_receive_bytes, socket_send_bytes; /* 0: the default */
	struct tw_public_key peer_key;
	enum tw_cipher cipher;
	enum tw_rate_method method;
	struct tw_rate_limits limits;
	tw_ns rate_window; /* over which rate_window_bps is measured; 0: a second */
	/*
	 * Patient: silence and refusals are told in the status, and it is tried again for ever
	 * (once a second; refusals every ten). Otherwise it fails: after @first_timeout (0: 10 s)
	 * without any answer, at once at a refusal.
	 */
	bool patient;
	tw_ns first_timeout;
	/* At most so many lanes by other workers of the crew (session/lane.h), at once; AUTO: as
	 * many as help, when this worker's thread is the limit. */
	uint32_t lanes;
};

struct tw_worker_transfer {
	uint64_t id; /* the control thread's own number, never used for another one */
	uint64_t destination;
	uint64_t rank;    /* lower goes first */
	uint64_t max_bps; /* UINT64_MAX: none of its own */
	/* The source is taken when tw_worker_add_transfer() returns 0. @destination is copied. */
	struct tw_sender_options sender;
};

enum tw_worker_ending {
	TW_WORKER_CANCEL = 1, /* over for good; the receiver is told */
	/* It goes on another time: the receiver checkpoints and keeps what it has. */
	TW_WORKER_PAUSE,
};

enum tw_worker_event_type {
	/* Receiving. */
	TW_WORKER_STARTED = 1, /* @text is the destination */
	TW_WORKER_RESUMED,
	TW_WORKER_FILE_DONE,   /* @text is the path, cleaned for display; so below */
	TW_WORKER_FILE_FAILED, /* @error */
	TW_WORKER_FINISHED,    /* @error: enum tw_transfer_error, @text: its message */
	/* Sending. */
	TW_WORKER_PROBLEM,    /* something was left out: @text, @error, @harmless, @fatal */
	TW_WORKER_ENDED,      /* the transfer has left the worker, its source is freed: @sending */
	TW_WORKER_DISCOVERED, /* the answer to tw_worker_discover(): @id, @discovered */
};

struct tw_worker_transfer_status {
	uint64_t id, destination;
	struct tw_sender_status sender;
	bool paused; /* ENDED: by TW_WORKER_PAUSE, not finished */
	/* Offered over the present connection and answered: bytes may flow. */
	bool running;
	/* Datagrams and UDP payload bytes of its connection while it took part; with several at a
	 * time each counts what carried its own pieces, and its share of the rest. */
	uint64_t packets_sent, packets_received, bytes_sent, bytes_received;
	uint32_t block_bytes; /* tape bytes of a full datagram on this path */
};

struct tw_worker_event {
	enum tw_worker_event_type type;
	uint64_t id; /* of the receiving transfer, or of the sending one */
	int error;
	bool harmless, fatal;
	char text[256];
	union {
		struct tw_receiver_status transfer; /* STARTED, RESUMED, FINISHED: as it is then */
		struct tw_worker_transfer_status sending; /* ENDED: as it was at its end */
		struct {
			struct tw_address observed; /* our listening socket, seen from there */
			tw_ns rtt;
		} discovered;
	};
};

struct tw_worker_destination_status {
	uint64_t id;
	bool connected, negotiating; /* else: not dialled, or between two attempts */
	bool waiting;                /* for it to answer, since: */
	tw_ns waiting_since;
	/* What stands in the way; cleared by the next connection that is established. */
	bool failed;
	enum tw_conn_end failure;
	char failure_message[256];
	int socket_error; /* newest errno by which the system refused to send; 0: none */
	/* Of the connection in use, or the last one there was. */
	struct tw_conn_info conn;
	bool conn_known;
	/* The socket in use; family NONE before the first. */
	struct tw_address local, remote;
	uint32_t receive_granted, send_granted; /* its buffers, as the kernel counts them */
	/* Over all its connections: UDP payload bytes, repeats and handshakes included. */
	uint64_t bytes_sent, bytes_received, packets_sent, packets_received;
	uint64_t rate_window_bps;             /* sent within the newest window */
	tw_ns last_sent_at, last_received_at; /* 0: never */
	unsigned transfers;
	unsigned lanes; /* there are beside the connection; what they carry is in all above */
};

struct tw_worker_snapshot {
	tw_ns at;
	uint64_t serial;                        /* grows with every snapshot; 0: none yet */
	bool stopped;                           /* the last one */
	uint64_t events_lost;                   /* file events that found no room */
	struct tw_udp_counters udp;             /* all sockets together */
	uint32_t receive_granted, send_granted; /* of the first listening socket */
	/* The first socket whose buffers are too small for its paths and were not granted larger
	 * (tw_udp_advice()), "" none; and how much it has, the smaller of both ways. */
	char buffer_advice[TW_UDP_ADVICE];
	uint32_t buffer_bytes;

	/* Sending. Arrays owned by the snapshot. */
	struct tw_worker_destination_status *destinations;
	size_t destination_count, destination_room;
	struct tw_worker_transfer_status *sending;
	size_t sending_count, sending_room;

	/* Receiving. Arrays owned by the snapshot. */
	struct tw_receiver_status *transfers;
	size_t transfer_count, transfer_room;
	struct tw_conn_info *conns; /* those that came in */
	size_t conn_count, conn_room;
	uint64_t received_window_bps; /* UDP payload that came in within the last second */
	unsigned buffers_used;

	/*
	 * Lanes whose connections this worker carries for transfers of others. And what lanes that
	 * others carry, or carried, for its own have sent and received, less what it carried for
	 * others: with @udp's counts it is what its own transfers have moved.
	 */
	unsigned lanes;
	int64_t lanes_sent, lanes_received;
};

struct tw_worker;

/*
 * Opens the listening sockets, makes everything, starts nothing yet. -errno as tw_udp_open(),
 * *@ret_failed being the bind that failed; -ENOMEM.
 */
int tw_worker_new(const struct tw_worker_options *options, struct tw_worker **ret,
		  struct tw_address *ret_failed);
/* Starts the thread. -EAGAIN. */
int tw_worker_start(struct tw_worker *worker);
/* Stops at once if it still runs, waits for the thread and the disk, frees. */
void tw_worker_free(struct tw_worker *worker);

/*
 * Commands: in effect within a turn of the loop, some milliseconds. All give TW_E_FULL when too
 * many wait already (try again after tw_worker_fd()), -ENOMEM; what they take is the caller's then.
 * A number that the worker does not know (any more) is passed over: an ENDED is on its way.
 */
int tw_worker_add_destination(struct tw_worker *worker,
			      const struct tw_worker_destination *destination);
/* New rates at once; new addresses with the next dial (or now, when the present ones are silent);
 * key, cipher, own address or buffers that differ dial anew. One that has failed is tried at once.
 */
int tw_worker_change_destination(struct tw_worker *worker,
				 const struct tw_worker_destination *destination);
/* Its transfers end as by TW_WORKER_CANCEL. */
int tw_worker_remove_destination(struct tw_worker *worker, uint64_t destination);
int tw_worker_add_transfer(struct tw_worker *worker, const struct tw_worker_transfer *transfer);
int tw_worker_change_transfer(struct tw_worker *worker, uint64_t transfer, uint64_t rank,
			      uint64_t max_bps);
/* ENDED follows, within a second also where the peer is silent. */
int tw_worker_end_transfer(struct tw_worker *worker, uint64_t transfer,
			   enum tw_worker_ending ending);
/*
 * What all destinations together may send, and what all peers together may send to us; UINT64_MAX:
 * no limit. Shares go by need: what one does not use the others may.
 */
int tw_worker_set_limits(struct tw_worker *worker, uint64_t outgoing_bps, uint64_t incoming_bps);
/* Connections of peers that are no longer listed are closed. */
int tw_worker_set_admission(struct tw_worker *worker, const struct tw_worker_admission *admission);
/* Ends in order: pauses what is being sent, checkpoints what has been received, closes the
 * connections. The last snapshot says @stopped. */
int tw_worker_stop(struct tw_worker *worker);
/*
 * Asks @remote, by one datagram from a listening socket of its family, as whom it sees that. May be
 * lost, both ways: to be repeated under the same @id until DISCOVERED tells of it.
 */
int tw_worker_discover(struct tw_worker *worker, uint64_t id, const struct tw_address *remote);

/*
 * Readable when there may be an event or a newer snapshot, until tw_worker_heard() or
 * tw_worker_snapshot(). Behind these events are taken until there are none; a snapshot may be
 * taken later.
 */
int tw_worker_fd(const struct tw_worker *worker);
/* Whether it had rung. */
bool tw_worker_heard(struct tw_worker *worker);
/* False: none now. */
bool tw_worker_event(struct tw_worker *worker, struct tw_worker_event *ret);
/* The newest; valid until the next call. NULL: none yet. */
const struct tw_worker_snapshot *tw_worker_snapshot(struct tw_worker *worker);
/* Where peers that come by a relay from now on may reach us without it (tw_endpoint_set_offers()).
 */
int tw_worker_set_offers(struct tw_worker *worker, const struct tw_address *offers, unsigned count);
/* The @index-th listening socket, for messages; NULL: no such. Only before start. */
const struct tw_udp *tw_worker_socket(const struct tw_worker *worker, unsigned index);
