/*
 * heap.h - a binary heap of deadlines, intrusive: the node lives in its owner, so that moving or
 * removing a timer never allocates. The earliest deadline is at the top. Only the array of pointers
 * grows (by doubling).
 */
#pragma once

#include <stddef.h>

#include "base/time.h"

struct tw_timer {
	tw_ns at;
	size_t place; /* 1-based position in the heap, 0 when not in it */
};

struct tw_heap {
	struct tw_timer **timers; /* owned array of borrowed timers */
	size_t count, room;
};

void tw_heap_init(struct tw_heap *heap);
void tw_heap_deinit(struct tw_heap *heap);
/* Puts @timer in, or moves it, to fire at @at. TW_NEVER takes it out. -ENOMEM. */
int tw_heap_set(struct tw_heap *heap, struct tw_timer *timer, tw_ns at);
void tw_heap_remove(struct tw_heap *heap, struct tw_timer *timer);
/* The earliest timer (borrowed), or NULL. */
struct tw_timer *tw_heap_top(const struct tw_heap *heap);
