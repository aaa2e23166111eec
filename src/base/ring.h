/*
 * ring.h - a bounded queue of fixed-size items between exactly one producer thread and one consumer
 * thread, without locks. Items are copied in and out. The capacity is a power of two and never
 * changes. Waking the other side is the caller's matter (an eventfd in src/netio). The two
 * positions lie on cache lines of their own; padding does it rather than alignment, so that a ring
 * may live in any malloc'd structure.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tw_ring {
	uint8_t *items; /* owned */
	size_t item_size, capacity;
	uint8_t apart_from_items[64];
	atomic_size_t head; /* the consumer's: next to take */
	uint8_t apart_from_head[64];
	atomic_size_t tail; /* the producer's: next to fill */
	uint8_t apart_from_tail[64];
};

/* @capacity: a power of two. -ENOMEM. */
int tw_ring_init(struct tw_ring *ring, size_t item_size, size_t capacity);
void tw_ring_deinit(struct tw_ring *ring);
/* Producer only. False when full; nothing was taken. */
bool tw_ring_push(struct tw_ring *ring, const void *item);
/* Consumer only. False when empty; @ret is untouched. */
bool tw_ring_pop(struct tw_ring *ring, void *ret);
/* Either side; exact for the side that asks about what only it can change. */
size_t tw_ring_count(struct tw_ring *ring);
