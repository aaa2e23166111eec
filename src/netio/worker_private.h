/*
 * worker_private.h - the worker's state, shared by the files that make it up: worker.c (life and
 * loop), worker_io.c (datagrams), worker_publish.c (what the control thread sees).
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/ring.h"
#include "netio/buffers.h"
#include "netio/disk.h"
#include "netio/worker.h"

#define SOCKETS_MAX (TW_WORKER_BINDS_MAX + TW_DIALER_ADDRESSES_MAX)
#define TRAIN_ROOM ((size_t)65536)

enum command_type {
	COMMAND_RATE = 1,
	COMMAND_CANCEL,
	COMMAND_STOP,
};

struct command {
	enum command_type type;
	enum tw_rate_method method;
	struct tw_rate_limits limits;
};

struct slot {
	bool open;
	struct tw_udp udp;
	bool watching_writable; /* epoll also waits for room */
	tw_ns renewed_at;       /* when its own address was last chosen anew */
};

/* Where finished jobs go. */
struct client {
	void (*done)(struct tw_worker *worker, struct tw_job *job, tw_ns now);
};

/* What of a snapshot is more than figures: one that differs in it is published at once. */
struct signature {
	/* Compared byte by byte: no padding may come between. */
	uint64_t flags, conn_id, transfers, transfers_finished, transfers_connected;
};

struct tw_worker {
	/* Set up before the thread starts. */
	struct tw_endpoint *endpoint;
	struct tw_sender *sender;
	struct tw_outgoing *outgoing; /* of one sender */
	struct tw_dialer *dialer;
	struct tw_receiver_hub *hub;
	bool file_events;
	struct tw_disk *disk;
	struct client sender_client, hub_client;
	int epoll_fd, control_fd, command_fd, timer_fd;
	tw_ns publish_every;
	pthread_t thread;
	bool started;

	/* The thread's own. */
	struct slot slots[SOCKETS_MAX];
	unsigned listening; /* slots [0, listening) are bound, the others connected */
	struct tw_buffers buffers;
	struct tw_buffer *armed[TW_UDP_BATCH];
	struct tw_buffer *current; /* its datagrams are being handed in; NULL: to be copied */
	struct tw_train train;
	size_t train_sent;
	struct slot *train_slot; /* a train waits for room in this socket */
	int socket_error;
	tw_ns tick_at, publish_at;
	tw_ns flush_at;      /* copied pieces leave for the disk; TW_NEVER: there are none */
	bool stopping, done; /* good-byes are said; the loop is over */
	bool no_pwait2;      /* the kernel has no epoll_pwait2 */
	tw_ns stop_limit;
	tw_ns finished_at; /* sending is over; 0: not yet */
	bool failed;
	enum tw_conn_end failure;
	char failure_message[256];
	struct tw_conn_info last_conn; /* the sender's newest */
	struct signature published;

	/* Between the threads. */
	struct tw_ring commands, events;
	uint64_t events_lost; /* the worker's; shown in snapshots */
	_Alignas(64) atomic_bool command_asleep;
	atomic_bool quit; /* end at once */
	struct tw_worker_snapshot snapshots[3];
	unsigned writing, reading;        /* the worker's, the control thread's */
	_Alignas(64) atomic_uint offered; /* index of the third, | FRESH */
};

/* worker_io.c */
int tw_worker_io_open(struct tw_worker *worker, const struct tw_worker_receiving *receiving,
		      struct tw_address *ret_failed);
void tw_worker_io_close(struct tw_worker *worker);
/* A socket is readable: takes a bounded number of batches. */
void tw_worker_io_receive(struct tw_worker *worker, struct slot *slot);
/* Gathered pieces leave for the disk. */
void tw_worker_io_flush(struct tw_worker *worker, tw_ns now);
/* Sends what may leave. True: there may be more, the budget of a turn is used up. */
bool tw_worker_io_send(struct tw_worker *worker, tw_ns now);
/* The waiting train's socket has room. */
void tw_worker_io_writable(struct tw_worker *worker, struct slot *slot);

/* worker_publish.c */
struct tw_receiver_events tw_worker_receiver_events(void);
void tw_worker_publish(struct tw_worker *worker, tw_ns now);
/* Publishes when the interval is over or something other than a figure has changed. */
void tw_worker_publish_due(struct tw_worker *worker, tw_ns now);
/* Keeps the figures of the sender's connection, which may go soon. */
void tw_worker_note_conn(struct tw_worker *worker);
void tw_worker_take_problems(struct tw_worker *worker);
