#include "base/ranges.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

void tw_ranges_init(struct tw_ranges *ranges, size_t count_max)
{
	assert(count_max >= 1 && count_max <= SIZE_MAX / sizeof(struct tw_range));
	*ranges = (struct tw_ranges){ .count_max = count_max };
}

void tw_ranges_deinit(struct tw_ranges *ranges)
{
	free(ranges->at);
	*ranges = (struct tw_ranges){ .count_max = ranges->count_max };
}

void tw_ranges_clear(struct tw_ranges *ranges)
{
	ranges->count = 0;
	ranges->total = 0;
}

/* Index of the first range that ends at or after @value; @count when there is none. */
static size_t find_end(const struct tw_ranges *ranges, uint64_t value)
{
	size_t low = 0, high = ranges->count;

	/* Most changes happen at the top: packet numbers rise, files are read forward. */
	if (high && ranges->at[high - 1].end < value)
		return high;
	if (high > 1 && ranges->at[high - 2].end < value)
		return high - 1;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges->at[middle].end < value)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The same, for the first range that holds @value or lies behind it. */
static size_t find_past(const struct tw_ranges *ranges, uint64_t value)
{
	size_t i;

	if (!ranges->count || ranges->at[ranges->count - 1].end <= value)
		return ranges->count;
	i = find_end(ranges, value);
	return i < ranges->count && ranges->at[i].end == value ? i + 1 : i;
}

/* Makes a hole of one range at @place. */
static int open_place(struct tw_ranges *ranges, size_t place)
{
	if (ranges->count == ranges->count_max)
		return TW_E_FULL;
	if (ranges->count == ranges->room) {
		size_t room = ranges->room ? ranges->room * 2 : 8;
		struct tw_range *at;

		if (room > ranges->count_max)
			room = ranges->count_max;
		at = realloc(ranges->at, room * sizeof(*at));
		if (!at)
			return -ENOMEM;
		ranges->at = at;
		ranges->room = room;
	}
	memmove(&ranges->at[place + 1], &ranges->at[place],
		(ranges->count - place) * sizeof(*ranges->at));
	ranges->count++;
	return 0;
}

/* Drops the ranges [first, past). */
static void close_places(struct tw_ranges *ranges, size_t first, size_t past)
{
	if (first == past)
		return;
	memmove(&ranges->at[first], &ranges->at[past],
		(ranges->count - past) * sizeof(*ranges->at));
	ranges->count -= past - first;
}

int tw_ranges_add(struct tw_ranges *ranges, uint64_t start, uint64_t end)
{
	size_t first, past;
	int r;

	if (start >= end)
		return 0;
	/* What comes in order makes the last range longer: by far the most frequent case. */
	if (ranges->count && ranges->at[ranges->count - 1].end == start) {
		ranges->at[ranges->count - 1].end = end;
		ranges->total += end - start;
		return 0;
	}
	first = find_end(ranges, start);
	if (first == ranges->count || ranges->at[first].start > end) {
		r = open_place(ranges, first);
		if (r)
			return r;
		ranges->at[first] = (struct tw_range){ start, end };
		ranges->total += end - start;
		return 0;
	}
	/* All of [first, past) touch the new range and become one with it. */
	for (past = first; past < ranges->count && ranges->at[past].start <= end; past++)
		ranges->total -= ranges->at[past].end - ranges->at[past].start;
	if (ranges->at[first].start < start)
		start = ranges->at[first].start;
	if (ranges->at[past - 1].end > end)
		end = ranges->at[past - 1].end;
	ranges->at[first] = (struct tw_range){ start, end };
	ranges->total += end - start;
	close_places(ranges, first + 1, past);
	return 0;
}

int tw_ranges_remove(struct tw_ranges *ranges, uint64_t start, uint64_t end)
{
	size_t first, past;
	int r;

	if (start >= end)
		return 0;
	first = find_past(ranges, start);
	if (first == ranges->count || ranges->at[first].start >= end)
		return 0;
	if (ranges->at[first].start < start && ranges->at[first].end > end) {
		r = open_place(ranges, first);
		if (r)
			return r;
		ranges->at[first].end = start;
		ranges->at[first + 1].start = end;
		ranges->total -= end - start;
		return 0;
	}
	if (ranges->at[first].start < start) {
		ranges->total -= ranges->at[first].end - start;
		ranges->at[first++].end = start;
	}
	for (past = first; past < ranges->count && ranges->at[past].end <= end; past++)
		ranges->total -= ranges->at[past].end - ranges->at[past].start;
	if (past < ranges->count && ranges->at[past].start < end) {
		ranges->total -= end - ranges->at[past].start;
		ranges->at[past].start = end;
	}
	close_places(ranges, first, past);
	return 0;
}

bool tw_ranges_contain(const struct tw_ranges *ranges, uint64_t start, uint64_t end)
{
	size_t i;

	if (start >= end)
		return true;
	i = find_past(ranges, start);
	return i < ranges->count && ranges->at[i].start <= start && ranges->at[i].end >= end;
}

uint64_t tw_ranges_overlap(const struct tw_ranges *ranges, uint64_t start, uint64_t end)
{
	uint64_t sum = 0;

	if (start >= end)
		return 0;
	for (size_t i = find_past(ranges, start); i < ranges->count && ranges->at[i].start < end;
	     i++) {
		uint64_t low = ranges->at[i].start > start ? ranges->at[i].start : start;
		uint64_t high = ranges->at[i].end < end ? ranges->at[i].end : end;

		sum += high - low;
	}
	return sum;
}

bool tw_ranges_next(const struct tw_ranges *ranges, uint64_t start, uint64_t end,
		    struct tw_range *ret)
{
	size_t i;

	if (start >= end)
		return false;
	i = find_past(ranges, start);
	if (i == ranges->count || ranges->at[i].start >= end)
		return false;
	ret->start = ranges->at[i].start > start ? ranges->at[i].start : start;
	ret->end = ranges->at[i].end < end ? ranges->at[i].end : end;
	return true;
}

bool tw_ranges_next_gap(const struct tw_ranges *ranges, uint64_t start, uint64_t end,
			struct tw_range *ret)
{
	size_t i;

	if (start >= end)
		return false;
	i = find_past(ranges, start);
	/* Ranges never touch, so what follows a range is a gap. */
	if (i < ranges->count && ranges->at[i].start <= start)
		start = ranges->at[i++].end;
	if (start >= end)
		return false;
	ret->start = start;
	ret->end = i < ranges->count && ranges->at[i].start < end ? ranges->at[i].start : end;
	return true;
}
