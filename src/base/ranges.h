/*
 * ranges.h - an ordered set of 64-bit numbers kept as disjoint, non-adjacent half-open ranges.
 *
 * Used for packet numbers (what has arrived), tape offsets (what is owed, what is held) and chunk
 * numbers. The ranges sit in one sorted array: a look-up is a binary search, a change moves what
 * lies behind it. The array grows by doubling up to @count_max ranges and never shrinks until
 * deinit.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tw_range {
	uint64_t start, end; /* [start, end), start < end */
};

struct tw_ranges {
	struct tw_range *at; /* owned, @count in use */
	size_t count, room, count_max;
	uint64_t total; /* sum of the lengths */
};

/* @count_max: the most ranges it may hold, at least 1. Allocates nothing yet. */
void tw_ranges_init(struct tw_ranges *ranges, size_t count_max);
void tw_ranges_deinit(struct tw_ranges *ranges);
void tw_ranges_clear(struct tw_ranges *ranges);

/*
 * Adds [start, end); what is there already stays. An empty range does nothing. TW_E_FULL: it would
 * take more than @count_max ranges; -ENOMEM. In both cases nothing has changed.
 */
int tw_ranges_add(struct tw_ranges *ranges, uint64_t start, uint64_t end);
/* Takes [start, end) out. A cut inside a range makes two: TW_E_FULL or -ENOMEM as above. */
int tw_ranges_remove(struct tw_ranges *ranges, uint64_t start, uint64_t end);

/* True when all of [start, end) is in the set (an empty range always is). */
bool tw_ranges_contain(const struct tw_ranges *ranges, uint64_t start, uint64_t end);
/* How much of [start, end) is in the set. */
uint64_t tw_ranges_overlap(const struct tw_ranges *ranges, uint64_t start, uint64_t end);
/* The first stretch inside [start, end) that is in the set; false when there is none. */
bool tw_ranges_next(const struct tw_ranges *ranges, uint64_t start, uint64_t end,
		    struct tw_range *ret);
/* The first stretch inside [start, end) that is not in the set; false when there is none. */
bool tw_ranges_next_gap(const struct tw_ranges *ranges, uint64_t start, uint64_t end,
			struct tw_range *ret);
