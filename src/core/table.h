/*
 * table.h - a hash table from 64-bit connection ids to pointers: open addressing, linear probing,
 * at most half full. The ids we choose are random, so they are their own hash; of ids that others
 * choose it is a keyed one (SipHash), so that nobody can find many that fall on one place.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct tw_table_slot {
	uint64_t key;
	void *value; /* NULL: free */
};

struct tw_table {
	struct tw_table_slot *slots; /* owned */
	size_t size, count;
	uint64_t secret;
};

/* @secret: 0: all keys are ours, or random anyway. */
void tw_table_init(struct tw_table *table, uint64_t secret);
void tw_table_deinit(struct tw_table *table);
/* -EEXIST, -ENOMEM. @value is borrowed, not NULL. */
int tw_table_put(struct tw_table *table, uint64_t key, void *value);
/* NULL: not there. */
void *tw_table_get(const struct tw_table *table, uint64_t key);
void tw_table_remove(struct tw_table *table, uint64_t key);
