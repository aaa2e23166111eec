#include "content/map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "crypto/siphash.h"

void tw_map_deinit(struct tw_map *map)
{
	free(map->slots);
	*map = (struct tw_map){ 0 };
}

/* Made of the random bytes that the kernel gives every program: senders choose the keys, and must
 * not be able to choose those that meet. */
static void make_secret(struct tw_map *map)
{
	static const char what[] = "places in a map";
	uint8_t hash[TW_SIPHASH_SIZE];

	static_assert(sizeof(hash) == sizeof(map->secret), "two words");
	tw_siphash((const uint8_t *)getauxval(AT_RANDOM), what, sizeof(what), hash);
	memcpy(map->secret, hash, sizeof(hash));
}

static size_t home(const struct tw_map *map, uint64_t key)
{
	/* Two long products, both of whose halves count: cheap, for it is asked with every piece,
	 * and no row of keys becomes a row of places. */
	unsigned __int128 x = (unsigned __int128)(key ^ map->secret[0]) * (map->secret[1] | 1);

	x = (unsigned __int128)((uint64_t)x ^ map->secret[0]) *
	    ((uint64_t)(x >> 64) ^ map->secret[1]);
	return (size_t)((uint64_t)x ^ (uint64_t)(x >> 64)) & (map->room - 1);
}

/* The slot of @key, or the free one where it would go. */
static size_t find(const struct tw_map *map, uint64_t key)
{
	size_t i = home(map, key);

	while (map->slots[i].value && map->slots[i].key != key)
		i = (i + 1) & (map->room - 1);
	return i;
}

static int grow(struct tw_map *map)
{
	struct tw_map larger = { .count = map->count, .room = map->room ? map->room * 2 : 16 };

	larger.slots = calloc(larger.room, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	make_secret(&larger);
	for (size_t i = 0; i < map->room; i++) {
		if (map->slots[i].value)
			larger.slots[find(&larger, map->slots[i].key)] = map->slots[i];
	}
	free(map->slots);
	*map = larger;
	return 0;
}

void *tw_map_get(const struct tw_map *map, uint64_t key)
{
	return map->count ? map->slots[find(map, key)].value : NULL;
}

int tw_map_set(struct tw_map *map, uint64_t key, void *value)
{
	size_t i;

	assert(value);
	if (map->count >= map->room / 4 * 3) {
		int r = grow(map);

		if (r)
			return r;
	}
	i = find(map, key);
	map->count += !map->slots[i].value;
	map->slots[i] = (struct tw_map_slot){ key, value };
	return 0;
}

void *tw_map_take(struct tw_map *map, uint64_t key)
{
	size_t gap, i;
	void *value;

	if (!map->count)
		return NULL;
	gap = i = find(map, key);
	value = map->slots[gap].value;
	if (!value)
		return NULL;
	/* Move back whatever the gap would cut off from its home. */
	for (;;) {
		size_t wanted;

		i = (i + 1) & (map->room - 1);
		if (!map->slots[i].value)
			break;
		wanted = home(map, map->slots[i].key);
		if (((i - wanted) & (map->room - 1)) < ((i - gap) & (map->room - 1)))
			continue;
		map->slots[gap] = map->slots[i];
		gap = i;
	}
	map->slots[gap].value = NULL;
	map->count--;
	return value;
}

void *tw_map_next(const struct tw_map *map, size_t *at, uint64_t *ret_key)
{
	while (*at < map->room) {
		const struct tw_map_slot *slot = &map->slots[(*at)++];

		if (slot->value) {
			*ret_key = slot->key;
			return slot->value;
		}
	}
	return NULL;
}
