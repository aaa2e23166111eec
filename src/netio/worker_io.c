/* worker_io.c - datagrams of a worker: sockets to buffers to the endpoint, and trains to sockets.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "netio/clock.h"
#include "netio/worker_private.h"

#define RECEIVE_ROUNDS 2 /* batches a turn: acknowledgements and timers must not wait longer */
#define SEND_TRAINS 16   /* trains a turn */
#define SPARSE (TW_BUFFER_SIZE / 2) /* less content than this does not hold a buffer */
/* How long copied pieces are gathered for one job: longer where nobody is in a hurry. */
#define GATHER TW_MSEC
#define GATHER_PATIENCES 4
#define RENEW_EVERY (500 * TW_MSEC)

/*
 * Hands in every datagram of one message; @buffer holds it. What lies in a buffer that is well
 * filled leaves for the disk at once, in place. What a sparse one holds is copied and gathered for
 * a moment: on a path whose datagrams come one by one, a job for each would cost more than writing.
 */
static void hand_in(struct tw_worker *worker, const struct tw_udp_message *message,
		    struct tw_buffer *buffer, bool content, tw_ns now)
{
	bool in_place = content && message->length >= SPARSE &&
			worker->buffers.free_count >= 2 * TW_UDP_BATCH;
	bool shared = content && worker->crew;

	if (in_place)
		tw_worker_io_flush(worker, now);
	worker->current = in_place ? buffer : NULL;
	for (size_t at = 0; at < message->length; at += message->segment) {
		size_t length = message->length - at;

		if (length > message->segment)
			length = message->segment;
		if (shared)
			tw_worker_crew_receive(worker, &message->path, message->bytes + at, length,
					       now);
		else
			tw_endpoint_receive(worker->endpoint, &message->path, message->bytes + at,
					    length, now);
	}
	worker->current = NULL;
	if (in_place)
		tw_worker_io_flush(worker, now);
	else if (content && worker->flush_at == TW_NEVER)
		worker->flush_at = now + GATHER +
				   GATHER_PATIENCES * tw_endpoint_patience(worker->endpoint, now);
}

void tw_worker_io_flush(struct tw_worker *worker, tw_ns now)
{
	tw_receiver_flush(worker->hub, now);
	if (worker->lanes_in)
		tw_worker_lanes_flush(worker, now);
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

static void take_batch(struct tw_worker *worker, struct slot *slot,
		       const struct tw_udp_message *messages, unsigned count, tw_ns now)
{
	/* Content comes to those who listen only. */
	bool content = worker->hub && !slot->destination;

	worker->content_came |= content;
	for (unsigned i = 0; i < count; i++) {
		struct tw_buffer *buffer = worker->armed[i];

		/* Of what comes merged the parts are alike. */
		if (messages[i].length > 0)
			tw_valve_count(&slot->valve, messages[i].bytes[0],
				       (messages[i].length - 1) / messages[i].segment + 1);
		hand_in(worker, &messages[i], buffer, content, now);
		if (buffer->references > 1) {
			tw_buffers_drop(&worker->buffers, buffer);
			worker->armed[i] = NULL;
		}
	}
	if (slot->destination) {
		slot->destination->status.last_received_at = now;
		tw_worker_touch(worker, slot->destination);
		if (slot->destination->is_line)
			tw_worker_line_flush(slot->destination, now);
	}
}

static void refused(struct tw_worker *worker, struct slot *slot, tw_ns now)
{
	if (slot->destination) {
		if (tw_worker_is_current(slot->destination, &slot->udp.remote))
			slot->destination->status.socket_error = slot->udp.error;
		tw_worker_touch(worker, slot->destination);
	}
	tw_endpoint_unreachable(worker->endpoint, &slot->udp.remote, now);
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
			refused(worker, slot, now);
			continue;
		}
		if (r)
			return;
		take_batch(worker, slot, messages, count, now);
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

static void note_error(struct slot *slot, const struct tw_train *train, int error)
{
	if (slot->destination && !train->aside)
		slot->destination->status.socket_error = error;
}

static void note_sent(struct slot *slot, const struct tw_train *train, tw_ns now)
{
	struct destination *destination = slot->destination;

	if (!destination || train->aside)
		return;
	destination->status.socket_error = 0;
	destination->status.last_sent_at = now;
	destination->status.local = slot->udp.local;
	destination->status.remote = slot->udp.remote;
	destination->status.receive_granted = slot->udp.receive_granted;
	destination->status.send_granted = slot->udp.send_granted;
}

/*
 * Sends what is left of @train. False: the socket is full. @fresh: its connection is sure to exist
 * still.
 */
static bool send_train(struct tw_worker *worker, struct slot *slot, const struct tw_train *train,
		       size_t *sent, bool fresh)
{
	tw_ns now = tw_clock_now();
	int r = tw_udp_send(&slot->udp, train, sent);

	if (r == TW_E_UNREACHABLE) {
		note_error(slot, train, slot->udp.error);
		tw_endpoint_unreachable(worker->endpoint, &train->path.remote, now);
		/* A refusal of earlier datagrams is told once; what is at hand has not been tried
		 * yet. */
		if (slot->udp.error == ECONNREFUSED)
			r = tw_udp_send(&slot->udp, train, sent);
		else
			renew(slot, now);
		fresh = false;
	}
	if (r == TW_E_AGAIN)
		return false;
	if (r == -EMSGSIZE) {
		if (fresh && train->conn)
			tw_endpoint_too_long(worker->endpoint, train->conn, train->segment, now);
	} else if (r < 0) {
		note_error(slot, train, -r);
		renew(slot, now);
	} else if (r == 0) {
		note_sent(slot, train, now);
	}
	return true;
}

/* The socket is full: the train waits, and its connection with it. Answers to strangers do not:
 * these ask again. */
static void lay_by(struct tw_worker *worker, struct slot *slot, const struct tw_train *train,
		   size_t sent)
{
	size_t left = train->length - sent;
	struct parcel *parcel = train->conn ? malloc(sizeof *parcel + left) : NULL;

	tw_worker_slot_watch(worker, slot, true);
	if (!parcel)
		return;
	*parcel = (struct parcel){ .train = *train };
	parcel->train.bytes = (uint8_t *)(parcel + 1);
	parcel->train.length = left;
	memcpy(parcel->train.bytes, train->bytes + sent, left);
	parcel->held = tw_endpoint_hold(worker->endpoint, train->conn);
	*slot->waiting_end = parcel;
	slot->waiting_end = &parcel->next;
	worker->parcels++;
}

static struct slot *route(struct tw_worker *worker, const struct tw_train *train, tw_ns now)
{
	uint64_t tag = train->conn ? tw_conn_tag(train->conn) : 0;
	struct destination *destination;

	/* A connection that came in is answered from where it came to. */
	if (!train->conn || tw_worker_came_in(train->conn))
		return tw_worker_slot_listening(worker, &train->path);
	destination = tw_worker_destination(worker, tag - 1);
	if (!destination)
		return NULL;
	tw_worker_touch_sent(worker, destination);
	return tw_worker_slot_connected(worker, destination, &train->path.remote, now);
}

bool tw_worker_io_send(struct tw_worker *worker, tw_ns now)
{
	struct tw_train *train = &worker->train;

	for (unsigned i = 0; i < SEND_TRAINS; i++) {
		struct slot *slot;
		size_t sent = 0;

		train->room = TW_UDP_TRAIN_MAX;
		train->length = 0;
		if (!tw_endpoint_send(worker->endpoint, train, now))
			return false;
		slot = route(worker, train, now);
		if (!slot)
			tw_endpoint_unreachable(worker->endpoint, &train->path.remote, now);
		else if (slot->waiting || !send_train(worker, slot, train, &sent, true))
			lay_by(worker, slot, train, sent);
		now = tw_clock_now();
	}
	return true;
}

void tw_worker_io_writable(struct tw_worker *worker, struct slot *slot)
{
	while (slot->waiting) {
		struct parcel *parcel = slot->waiting;

		if (!send_train(worker, slot, &parcel->train, &parcel->sent, false))
			return;
		tw_worker_parcel_drop(worker, slot);
	}
	if (slot->destination)
		tw_worker_touch(worker, slot->destination);
	tw_worker_slot_watch(worker, slot, false);
}
