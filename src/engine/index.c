#include "engine/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/random.h"
#include "netio/clock.h"

#define ROOM_FIRST 64

void tw_index_init(struct tw_index *table)
{
	struct tw_random random = tw_system_random();

	*table = (struct tw_index){ .seed = tw_random_u64(&random) };
}

void tw_index_deinit(struct tw_index *table)
{
	free(table->slots);
	table->slots = NULL;
	table->count = table->room = 0;
}

static uint64_t hash_text(const struct tw_index *table, const char *key)
{
	return XXH3_64bits_withSeed(key, strlen(key), table->seed);
}

/* Numbers count up: without mixing the keyed slots would be fine, but the high bits would not. */
static size_t slot_of(const struct tw_index *table, uint64_t hash)
{
	hash = (hash ^ hash >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(hash >> 32) & (table->room - 1);
}

static int grow(struct tw_index *table)
{
	struct tw_index larger = *table;

	if (table->count < table->room)
		return 0;
	larger.room = table->room ? table->room * 2 : ROOM_FIRST;
	larger.slots = calloc(larger.room, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < table->room; i++) {
		struct tw_index_node *node = table->slots[i];

		while (node) {
			struct tw_index_node *next = node->next;
			struct tw_index_node **slot = &larger.slots[slot_of(&larger, node->hash)];

			node->next = *slot;
			*slot = node;
			node = next;
		}
	}
	free(table->slots);
	*table = larger;
	return 0;
}

static int add(struct tw_index *table, struct tw_index_node *node)
{
	struct tw_index_node **slot;
	int r = grow(table);

	if (r)
		return r;
	slot = &table->slots[slot_of(table, node->hash)];
	node->next = *slot;
	*slot = node;
	table->count++;
	return 0;
}

int tw_index_add(struct tw_index *table, struct tw_index_node *node, const char *key)
{
	node->key = key;
	node->hash = hash_text(table, key);
	return add(table, node);
}

int tw_index_add_number(struct tw_index *table, struct tw_index_node *node, uint64_t number)
{
	node->key = NULL;
	node->hash = number;
	return add(table, node);
}

void tw_index_remove(struct tw_index *table, struct tw_index_node *node)
{
	if (!table->room)
		return;
	for (struct tw_index_node **at = &table->slots[slot_of(table, node->hash)]; *at;
	     at = &(*at)->next)
		if (*at == node) {
			*at = node->next;
			node->next = NULL;
			table->count--;
			return;
		}
}

struct tw_index_node *tw_index_find(const struct tw_index *table, const char *key)
{
	uint64_t hash;

	if (!table->room || !key)
		return NULL;
	hash = hash_text(table, key);
	for (struct tw_index_node *node = table->slots[slot_of(table, hash)]; node;
	     node = node->next)
		if (node->hash == hash && node->key && !strcmp(node->key, key))
			return node;
	return NULL;
}

struct tw_index_node *tw_index_find_number(const struct tw_index *table, uint64_t number)
{
	if (!table->room)
		return NULL;
	for (struct tw_index_node *node = table->slots[slot_of(table, number)]; node;
	     node = node->next)
		if (node->hash == number && !node->key)
			return node;
	return NULL;
}
