/*
 * corewire.h - two endpoints and a wire between them, in memory and in virtual time: delay, a rate,
 * independent loss, and a hook that may change or drop each datagram. Small on purpose; tests/sim
 * is the full simulator.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "core/endpoint.h"
#include "wire/datagram.h"

struct wire_datagram {
	tw_ns arrives;
	struct tw_path path;
	size_t length;
	uint8_t bytes[TW_DATAGRAM_MAX];
};

struct wire_direction {
	struct wire_datagram **queue;
	size_t count, room;
	tw_ns busy_until;
};

struct wire {
	tw_ns now, delay;
	uint64_t rate_bps; /* 0: endless */
	double loss;
	uint32_t mtu; /* longer datagrams vanish; 0: no limit */
	struct tw_prng prng;
	struct tw_endpoint *ends[2];
	struct tw_address addresses[2];
	struct wire_direction to[2];
	uint64_t datagrams[2], bytes[2];
	/* May change @bytes; false drops the datagram. */
	bool (*hook)(struct wire *wire, int to, uint8_t *bytes, size_t *length);
	void (*each_turn)(struct wire *wire);
	/* Sees each datagram right before it is received. */
	void (*before)(struct wire *wire, int to, const struct wire_datagram *datagram);
	void *context; /* for the hooks */
};

static inline struct tw_address wire_address(uint8_t last, uint16_t port)
{
	return (struct tw_address){ .family = TW_FAMILY_IPV4,
				    .ip = { 192, 0, 2, last },
				    .port = port };
}

static inline void wire_init(struct wire *wire, uint64_t seed)
{
	memset(wire, 0, sizeof(*wire));
	wire->now = TW_SECOND;
	wire->delay = 10 * TW_MSEC;
	tw_prng_init(&wire->prng, seed);
	wire->addresses[0] = wire_address(1, 1111);
	wire->addresses[1] = wire_address(2, 8886);
}

static inline void wire_deinit(struct wire *wire)
{
	for (int to = 0; to < 2; to++) {
		for (size_t i = 0; i < wire->to[to].count; i++)
			free(wire->to[to].queue[i]);
		free(wire->to[to].queue);
		tw_endpoint_free(wire->ends[to]);
	}
}

static inline void wire_put(struct wire *wire, int to, const struct tw_path *path,
			    const uint8_t *bytes, size_t length)
{
	struct wire_direction *direction = &wire->to[to];
	wire->datagrams[to]++;
	wire->bytes[to] += length;
	if (tw_prng_unit(&wire->prng) < wire->loss || (wire->mtu && length > wire->mtu))
		return;
	/* Nobody is there. */
	if (!tw_address_equal(&path->remote, &wire->addresses[to]))
		return;
	struct wire_datagram *datagram = malloc(sizeof(*datagram));
	memcpy(datagram->bytes, bytes, length);
	datagram->length = length;
	/* Seen from the other end. */
	datagram->path = (struct tw_path){ path->remote, wire->addresses[!to] };
	if (wire->hook && !wire->hook(wire, to, datagram->bytes, &datagram->length)) {
		free(datagram);
		return;
	}
	tw_ns start = wire->now > direction->busy_until ? wire->now : direction->busy_until;
	if (wire->rate_bps)
		start += length * 8 * TW_SECOND / wire->rate_bps;
	direction->busy_until = start;
	datagram->arrives = start + wire->delay;
	if (direction->count == direction->room) {
		direction->room = direction->room ? direction->room * 2 : 64;
		direction->queue = realloc(direction->queue, direction->room * sizeof(datagram));
	}
	direction->queue[direction->count++] = datagram;
}

static inline void wire_deliver(struct wire *wire, int to)
{
	struct wire_direction *direction = &wire->to[to];
	size_t done = 0;
	while (done < direction->count && direction->queue[done]->arrives <= wire->now) {
		struct wire_datagram *datagram = direction->queue[done++];
		if (wire->before)
			wire->before(wire, to, datagram);
		tw_endpoint_receive(wire->ends[to], &datagram->path, datagram->bytes,
				    datagram->length, wire->now);
		free(datagram);
	}
	direction->count -= done;
	if (done)
		memmove(direction->queue, direction->queue + done,
			direction->count * sizeof(*direction->queue));
}

static inline void wire_pump(struct wire *wire, int from)
{
	static uint8_t buffer[65536];
	struct tw_train train = { .bytes = buffer, .room = sizeof(buffer) };
	tw_endpoint_timeout(wire->ends[from], wire->now);
	while (tw_endpoint_send(wire->ends[from], &train, wire->now)) {
		for (size_t at = 0; at < train.length; at += train.segment) {
			size_t left = train.length - at;
			wire_put(wire, !from, &train.path, buffer + at,
				 left < train.segment ? left : train.segment);
		}
	}
}

/* Runs until @until, or until @done (may be NULL) says so. */
static inline bool wire_run(struct wire *wire, tw_ns until, bool (*done)(void *), void *context)
{
	while (wire->now < until) {
		for (int end = 0; end < 2; end++)
			wire_deliver(wire, end);
		if (wire->each_turn)
			wire->each_turn(wire);
		for (int end = 0; end < 2; end++)
			wire_pump(wire, end);
		if (done && done(context))
			return true;
		tw_ns next = until;
		for (int end = 0; end < 2; end++) {
			next = tw_ns_min(next, tw_endpoint_deadline(wire->ends[end]));
			if (wire->to[end].count)
				next = tw_ns_min(next, wire->to[end].queue[0]->arrives);
		}
		wire->now = tw_ns_max(next, wire->now + TW_USEC);
	}
	return false;
}
