/*
 * flight.h - the packets that are on the line, by the time they arrive.
 *
 * Those whose time is not before the last one's go to a ring, which without jitter and reordering
 * is all of them; the others go to a heap. The earliest is the smaller of both fronts; at equal
 * times the one that was sent first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link_train;

struct link_flying {
	int64_t due;
	uint64_t order;                 /* set by link_flight_push() */
	struct link_train *train;
	uint16_t segment;
	bool corrupt;
};

struct link_flight {
	struct link_flying *ring;
	size_t ring_size;               /* a power of two */
	size_t ring_first, ring_count;
	struct link_flying *heap;
	size_t heap_size, heap_count;
	uint64_t order;
};

/* -ENOMEM when the memory cannot be had. */
int link_flight_init(struct link_flight *flight, size_t packets_max);
void link_flight_deinit(struct link_flight *flight);

/* False when it is full. */
bool link_flight_push(struct link_flight *flight, struct link_flying flying);

/* The next to arrive, or NULL; lent until the next call. */
const struct link_flying *link_flight_peek(const struct link_flight *flight);
void link_flight_pop(struct link_flight *flight);
