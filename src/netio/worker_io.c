/* worker_io.c - datagrams of a worker: sockets to buffers to the endpoint, and trains to sockets.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/error.h"
#include "netio/clock.h"
#include "netio/worker_private.h"

#define RECEIVE_ROUNDS 4 /* batches a turn: acknowledgements and timers must not wait longer */
#define SEND_TRAINS 16   /* trains a turn */
#define SPARSE (TW_BUFFER_SIZE / 4) /* less content than this does not hold a buffer */
/* How long copied pieces are gathered for one job. */
#define GATHER TW_MSEC
#define RENEW_EVERY (500 * TW_MSEC)

static int watch(struct tw_worker *worker, struct slot *slot, int operation, bool writable)
{
	struct epoll_event event = {
		.events = EPOLLIN | (writable ? EPOLLOUT : 0),
		.data.u32 = (uint32_t)(slot - worker->slots),
	};

	if (epoll_ctl(worker->epoll_fd, operation, slot->udp.fd, &event))
		return -errno;
	slot->watching_writable = writable;
	return 0;
}

static int open_slot(struct tw_worker *worker, struct slot *slot,
		     const struct tw_udp_options *options)
{
	int r = tw_udp_open(options, &slot->udp);

	if (r)
		return r;
	r = watch(worker, slot, EPOLL_CTL_ADD, false);
	if (r) {
		tw_udp_close(&slot->udp);
		return r;
	}
	slot->open = true;
	return 0;
}

int tw_worker_io_open(struct tw_worker *worker, const struct tw_worker_receiving *receiving,
		      struct tw_address *ret_failed)
{
	int r = tw_buffers_init(&worker->buffers, TW_BUFFERS_DEFAULT);

	if (r)
		return r;
	worker->train.bytes = aligned_alloc(64, TRAIN_ROOM);
	if (!worker->train.bytes)
		return -ENOMEM;
	for (unsigned i = 0; receiving && i < receiving->bind_count; i++) {
		struct tw_udp_options options = { .local = receiving->binds[i] };

		r = open_slot(worker, &worker->slots[i], &options);
		if (r) {
			*ret_failed = receiving->binds[i];
			return r;
		}
		worker->listening = i + 1;
	}
	return 0;
}

void tw_worker_io_close(struct tw_worker *worker)
{
	for (unsigned i = 0; i < SOCKETS_MAX; i++)
		if (worker->slots[i].open)
			tw_udp_close(&worker->slots[i].udp);
	free(worker->train.bytes);
	tw_buffers_deinit(&worker->buffers);
}

/* The connected socket for @remote, opened when first needed. NULL: the system refuses, or there
 * are too many. */
static struct slot *connected_slot(struct tw_worker *worker, const struct tw_address *remote)
{
	struct tw_udp_options options = { .remote = *remote };
	int r;

	for (unsigned i = worker->listening; i < SOCKETS_MAX; i++) {
		struct slot *slot = &worker->slots[i];

		if (slot->open && tw_address_equal(&slot->udp.remote, remote))
			return slot;
		if (slot->open)
			continue;
		r = open_slot(worker, slot, &options);
		if (r)
			worker->socket_error = -r;
		return r ? NULL : slot;
	}
	return NULL;
}

/* A connection that came in is answered from where it came to. */
static struct slot *listening_slot(struct tw_worker *worker, const struct tw_path *path)
{
	for (unsigned i = 0; i < worker->listening; i++) {
		struct slot *slot = &worker->slots[i];

		if (slot->udp.local.family == path->remote.family &&
		    (path->local.family == TW_FAMILY_NONE ||
		     slot->udp.local.port == path->local.port))
			return slot;
	}
	return NULL;
}

static struct slot *slot_for(struct tw_worker *worker, const struct tw_path *path)
{
	struct slot *slot = worker->listening ? listening_slot(worker, path) : NULL;

	return slot || !worker->sender ? slot : connected_slot(worker, &path->remote);
}

/*
 * Hands in every datagram of one message; @buffer holds it. What lies in a buffer that is well
 * filled leaves for the disk at once, in place. What a sparse one holds is copied and gathered for
 * a moment: on a path whose datagrams come one by one, a job for each would cost more than writing.
 */
static void hand_in(struct tw_worker *worker, const struct tw_udp_message *message,
		    struct tw_buffer *buffer, tw_ns now)
{
	bool in_place = worker->hub && message->length >= SPARSE &&
			worker->buffers.free_count >= 2 * TW_UDP_BATCH;

	if (in_place)
		tw_worker_io_flush(worker, now);
	worker->current = in_place ? buffer : NULL;
	for (size_t at = 0; at < message->length; at += message->segment) {
		size_t length = message->length - at;

		if (length > message->segment)
			length = message->segment;
		tw_endpoint_receive(worker->endpoint, &message->path, message->bytes + at, length,
				    now);
	}
	worker->current = NULL;
	if (in_place)
		tw_worker_io_flush(worker, now);
	else if (worker->hub && worker->flush_at == TW_NEVER)
		worker->flush_at = now + GATHER;
}

void tw_worker_io_flush(struct tw_worker *worker, tw_ns now)
{
	tw_receiver_flush(worker->hub, now);
	worker->flush_at = TW_NEVER;
}

/* Buffers to receive into; those whose content a job still needs were replaced. Returns how many,
 * at least 1. */
static unsigned arm(struct tw_worker *worker)
{
	unsigned count = 0;

	while (count < TW_UDP_BATCH) {
		if (!worker->armed[count])
			worker->armed[count] = tw_buffers_take(&worker->buffers);
		if (!worker->armed[count])
			break;
		count++;
	}
	/* Jobs are not given the last two batches (hand_in()). */
	assert(count > 0);
	return count;
}

void tw_worker_io_receive(struct tw_worker *worker, struct slot *slot)
{
	struct tw_udp_message messages[TW_UDP_BATCH];

	for (unsigned round = 0; round < RECEIVE_ROUNDS; round++) {
		unsigned armed = arm(worker), count;
		tw_ns now;
		int r;

		for (unsigned i = 0; i < armed; i++) {
			messages[i].bytes = worker->armed[i]->bytes;
			messages[i].room = TW_BUFFER_SIZE;
		}
		r = tw_udp_receive(&slot->udp, messages, armed, &count);
		now = tw_clock_now();
		if (r == TW_E_UNREACHABLE) {
			worker->socket_error = slot->udp.error;
			tw_endpoint_unreachable(worker->endpoint, &slot->udp.remote, now);
			continue;
		}
		if (r)
			return;
		for (unsigned i = 0; i < count; i++) {
			struct tw_buffer *buffer = worker->armed[i];

			hand_in(worker, &messages[i], buffer, now);
			if (buffer->references > 1) {
				tw_buffers_drop(&worker->buffers, buffer);
				worker->armed[i] = NULL;
			}
		}
		if (count < armed)
			return;
	}
}

/* The system refuses to send at all: its own address or its way out may have gone. */
static void renew(struct slot *slot, tw_ns now)
{
	if (!slot->udp.connected || tw_ns_since(now, slot->renewed_at) < RENEW_EVERY)
		return;
	slot->renewed_at = now;
	tw_udp_reconnect(&slot->udp);
}

/*
 * Sends what is left of the train at hand. False: the socket is full, the train is kept. @fresh:
 * its connection is sure to exist still.
 */
static bool send_train(struct tw_worker *worker, struct slot *slot, bool fresh, tw_ns now)
{
	int r = tw_udp_send(&slot->udp, &worker->train, &worker->train_sent);

	if (r == TW_E_UNREACHABLE) {
		worker->socket_error = slot->udp.error;
		tw_endpoint_unreachable(worker->endpoint, &worker->train.path.remote, now);
		/* A refusal of earlier datagrams is told once; what is at hand has not been tried
		 * yet. */
		if (slot->udp.error == ECONNREFUSED)
			r = tw_udp_send(&slot->udp, &worker->train, &worker->train_sent);
		else
			renew(slot, now);
		fresh = false;
	}
	if (r == TW_E_AGAIN) {
		worker->train_slot = slot;
		watch(worker, slot, EPOLL_CTL_MOD, true);
		return false;
	}
	if (r == -EMSGSIZE) {
		if (fresh && worker->train.conn)
			tw_endpoint_too_long(worker->endpoint, worker->train.conn,
					     worker->train.segment, now);
	} else if (r < 0) {
		worker->socket_error = -r;
		renew(slot, now);
	} else if (r == 0) {
		worker->socket_error = 0;
	}
	return true;
}

bool tw_worker_io_send(struct tw_worker *worker, tw_ns now)
{
	if (worker->train_slot)
		return false;
	for (unsigned i = 0; i < SEND_TRAINS; i++) {
		struct slot *slot;

		worker->train.room = TW_UDP_TRAIN_MAX;
		worker->train.length = 0;
		worker->train_sent = 0;
		if (!tw_endpoint_send(worker->endpoint, &worker->train, now))
			return false;
		slot = slot_for(worker, &worker->train.path);
		if (slot && !send_train(worker, slot, true, now))
			return false;
		if (!slot)
			tw_endpoint_unreachable(worker->endpoint, &worker->train.path.remote, now);
		now = tw_clock_now();
	}
	return true;
}

void tw_worker_io_writable(struct tw_worker *worker, struct slot *slot)
{
	if (slot->watching_writable)
		watch(worker, slot, EPOLL_CTL_MOD, false);
	if (worker->train_slot != slot)
		return;
	worker->train_slot = NULL;
	send_train(worker, slot, false, tw_clock_now());
}
