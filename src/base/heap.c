#include "base/heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void tw_heap_init(struct tw_heap *heap)
{
	*heap = (struct tw_heap){ 0 };
}

void tw_heap_deinit(struct tw_heap *heap)
{
	for (size_t i = 0; i < heap->count; i++)
		heap->timers[i]->place = 0;
	free(heap->timers);
	*heap = (struct tw_heap){ 0 };
}

static void put(struct tw_heap *heap, struct tw_timer *timer, size_t place)
{
	heap->timers[place - 1] = timer;
	timer->place = place;
}

static void rise(struct tw_heap *heap, struct tw_timer *timer)
{
	size_t place = timer->place;

	for (; place > 1 && heap->timers[place / 2 - 1]->at > timer->at; place /= 2)
		put(heap, heap->timers[place / 2 - 1], place);
	put(heap, timer, place);
}

static void sink(struct tw_heap *heap, struct tw_timer *timer)
{
	size_t place = timer->place;

	for (;;) {
		size_t child = place * 2;

		if (child > heap->count)
			break;
		if (child < heap->count && heap->timers[child]->at < heap->timers[child - 1]->at)
			child++;
		if (heap->timers[child - 1]->at >= timer->at)
			break;
		put(heap, heap->timers[child - 1], place);
		place = child;
	}
	put(heap, timer, place);
}

static void settle(struct tw_heap *heap, struct tw_timer *timer)
{
	rise(heap, timer);
	sink(heap, timer);
}

int tw_heap_set(struct tw_heap *heap, struct tw_timer *timer, tw_ns at)
{
	if (at == TW_NEVER) {
		tw_heap_remove(heap, timer);
		return 0;
	}
	if (timer->place && timer->at == at)
		return 0;
	if (!timer->place) {
		if (heap->count == heap->room) {
			size_t room = heap->room ? heap->room * 2 : 16;
			struct tw_timer **timers = realloc(heap->timers, room * sizeof(*timers));

			if (!timers)
				return -ENOMEM;
			heap->timers = timers;
			heap->room = room;
		}
		put(heap, timer, ++heap->count);
	}
	timer->at = at;
	settle(heap, timer);
	return 0;
}

void tw_heap_remove(struct tw_heap *heap, struct tw_timer *timer)
{
	size_t place = timer->place;
	struct tw_timer *last;

	timer->at = TW_NEVER;
	if (!place)
		return;
	assert(place <= heap->count && heap->timers[place - 1] == timer);
	last = heap->timers[--heap->count];
	timer->place = 0;
	if (last == timer)
		return;
	put(heap, last, place);
	settle(heap, last);
}

struct tw_timer *tw_heap_top(const struct tw_heap *heap)
{
	return heap->count ? heap->timers[0] : NULL;
}
