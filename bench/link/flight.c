#include "flight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int link_flight_init(struct link_flight *flight, size_t packets_max)
{
	size_t size = 1024;

	while (size < packets_max)
		size *= 2;
	memset(flight, 0, sizeof(*flight));
	flight->ring = calloc(size, sizeof(*flight->ring));
	flight->heap = calloc(size, sizeof(*flight->heap));
	if (!flight->ring || !flight->heap) {
		link_flight_deinit(flight);
		return -ENOMEM;
	}
	flight->ring_size = flight->heap_size = size;
	return 0;
}

void link_flight_deinit(struct link_flight *flight)
{
	free(flight->ring);
	free(flight->heap);
	memset(flight, 0, sizeof(*flight));
}

static bool before(const struct link_flying *a, const struct link_flying *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void heap_push(struct link_flight *flight, const struct link_flying *flying)
{
	size_t at = flight->heap_count++;

	while (at > 0 && before(flying, &flight->heap[(at - 1) / 2])) {
		flight->heap[at] = flight->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	flight->heap[at] = *flying;
}

static void heap_pop(struct link_flight *flight)
{
	struct link_flying last = flight->heap[--flight->heap_count];
	size_t at = 0;
	size_t child;

	while ((child = 2 * at + 1) < flight->heap_count) {
		if (child + 1 < flight->heap_count &&
		    before(&flight->heap[child + 1], &flight->heap[child]))
			child++;
		if (!before(&flight->heap[child], &last))
			break;
		flight->heap[at] = flight->heap[child];
		at = child;
	}
	flight->heap[at] = last;
}

static struct link_flying *ring_at(const struct link_flight *flight, size_t i)
{
	return &flight->ring[(flight->ring_first + i) & (flight->ring_size - 1)];
}

bool link_flight_push(struct link_flight *flight, struct link_flying flying)
{
	flying.order = flight->order++;
	if (flight->ring_count == 0 || flying.due >= ring_at(flight, flight->ring_count - 1)->due) {
		if (flight->ring_count == flight->ring_size)
			return false;
		*ring_at(flight, flight->ring_count++) = flying;
		return true;
	}
	if (flight->heap_count == flight->heap_size)
		return false;
	heap_push(flight, &flying);
	return true;
}

static bool heap_is_next(const struct link_flight *flight)
{
	if (flight->heap_count == 0)
		return false;
	return flight->ring_count == 0 || before(&flight->heap[0], ring_at(flight, 0));
}

const struct link_flying *link_flight_peek(const struct link_flight *flight)
{
	if (heap_is_next(flight))
		return &flight->heap[0];
	return flight->ring_count > 0 ? ring_at(flight, 0) : NULL;
}

void link_flight_pop(struct link_flight *flight)
{
	if (heap_is_next(flight)) {
		heap_pop(flight);
		return;
	}
	flight->ring_first = (flight->ring_first + 1) & (flight->ring_size - 1);
	flight->ring_count--;
}
