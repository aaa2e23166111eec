/*
 * index.h - looks objects up by a text or by a number in constant time. Intrusive: the node lives
 * in its owner, so that adding and removing never allocate but for the array of slots, which
 * doubles.
 *
 * Texts may come from strangers: their hash is keyed with a number drawn at the start, so that
 * nobody can choose texts that collide.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct tw_index_node {
	struct tw_index_node *next;
	uint64_t hash; /* of the text; or the number */
	const char
		*key; /* borrowed from the owner, lives as long as the node is in; NULL: a number */
};

struct tw_index {
	struct tw_index_node **slots; /* owned array of borrowed nodes */
	size_t count, room;           /* room: a power of two, or 0 */
	uint64_t seed;
};

void tw_index_init(struct tw_index *table);
void tw_index_deinit(struct tw_index *table);
/* The key must not be in yet. -ENOMEM. */
int tw_index_add(struct tw_index *table, struct tw_index_node *node, const char *key);
int tw_index_add_number(struct tw_index *table, struct tw_index_node *node, uint64_t number);
/* Nothing happens to a node that is not in. */
void tw_index_remove(struct tw_index *table, struct tw_index_node *node);
/* NULL: not there. */
struct tw_index_node *tw_index_find(const struct tw_index *table, const char *key);
struct tw_index_node *tw_index_find_number(const struct tw_index *table, uint64_t number);

/* The struct of @type whose member @member is at @pointer. */
#define TW_OWNER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
