#include "base/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Both positions only ever grow; the slot is the position modulo the capacity, a power of two, so
 * that wrapping around is harmless. A release store of a position hands over what was done to the
 * items before it.
 */
int tw_ring_init(struct tw_ring *ring, size_t item_size, size_t capacity)
{
	assert(item_size && capacity && !(capacity & (capacity - 1)));
	memset(ring, 0, sizeof(*ring));
	ring->items = calloc(capacity, item_size);
	if (!ring->items)
		return -ENOMEM;
	ring->item_size = item_size;
	ring->capacity = capacity;
	atomic_init(&ring->head, 0);
	atomic_init(&ring->tail, 0);
	return 0;
}

void tw_ring_deinit(struct tw_ring *ring)
{
	free(ring->items);
	ring->items = NULL;
}

static uint8_t *slot(struct tw_ring *ring, size_t position)
{
	return ring->items + (position & (ring->capacity - 1)) * ring->item_size;
}

bool tw_ring_push(struct tw_ring *ring, const void *item)
{
	size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

	if (tail - head == ring->capacity)
		return false;
	memcpy(slot(ring, tail), item, ring->item_size);
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	return true;
}

bool tw_ring_pop(struct tw_ring *ring, void *ret)
{
	size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	size_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	if (head == tail)
		return false;
	memcpy(ret, slot(ring, head), ring->item_size);
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
	return true;
}

size_t tw_ring_count(struct tw_ring *ring)
{
	/* Head first: read the other way round, it could have passed the tail that was seen. */
	size_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
	size_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	size_t count = tail - head;

	return count < ring->capacity ? count : ring->capacity;
}
