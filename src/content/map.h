/*
 * map.h - from 64-bit numbers to pointers. Open addressing with linear steps, at most three
 * quarters full; taking one out closes its gap, so that nothing is left behind. Keys are spread
 * inside by a secret of the process: any will do, also those that somebody else chose.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tw_map_slot {
	uint64_t key;
	void *value; /* NULL: free */
};

struct tw_map {
	struct tw_map_slot *slots; /* owned */
	size_t count, room;        /* @room: 0 or a power of two */
	uint64_t secret[2];
};

void tw_map_deinit(struct tw_map *map);
/* NULL: not there. */
void *tw_map_get(const struct tw_map *map, uint64_t key);
/* @value is not NULL; what was there is replaced. -ENOMEM. */
int tw_map_set(struct tw_map *map, uint64_t key, void *value);
/* Takes it out; NULL: it was not there. */
void *tw_map_take(struct tw_map *map, uint64_t key);
/* Any one at or behind slot *@at, which is moved behind it; NULL at the end. No change meanwhile.
 */
void *tw_map_next(const struct tw_map *map, size_t *at, uint64_t *ret_key);
