#include "core/table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/siphash.h"

#define SIZE_MIN 64

void tw_table_init(struct tw_table *table, uint64_t secret)
{
	*table = (struct tw_table){ .secret = secret };
}

void tw_table_deinit(struct tw_table *table)
{
	free(table->slots);
	*table = (struct tw_table){ 0 };
}

static size_t home(const struct tw_table *table, uint64_t key)
{
	uint64_t x = key;
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	/* A secret that is only mixed in would not do: what collides with one collides with all. */
	if (table->secret) {
		const uint64_t secret[2] = { table->secret, ~table->secret };
		uint8_t sip[TW_SIPHASH_KEY], hash[TW_SIPHASH_SIZE];

		static_assert(sizeof(secret) == sizeof(sip), "a whole key");
		memcpy(sip, secret, sizeof(sip));
		tw_siphash(sip, &key, sizeof(key), hash);
		memcpy(&x, hash, sizeof(x));
	}
	return (size_t)x & (table->size - 1);
}

static struct tw_table_slot *find(const struct tw_table *table, uint64_t key)
{
	size_t place = home(table, key);
	while (table->slots[place].value && table->slots[place].key != key)
		place = (place + 1) & (table->size - 1);
	return &table->slots[place];
}

static int grow(struct tw_table *table)
{
	struct tw_table bigger = { .size = table->size ? table->size * 2 : SIZE_MIN,
				   .secret = table->secret };
	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < table->size; i++) {
		if (table->slots[i].value)
			*find(&bigger, table->slots[i].key) = table->slots[i];
	}
	bigger.count = table->count;
	free(table->slots);
	*table = bigger;
	return 0;
}

int tw_table_put(struct tw_table *table, uint64_t key, void *value)
{
	if ((table->count + 1) * 2 > table->size) {
		int error = grow(table);
		if (error)
			return error;
	}
	struct tw_table_slot *slot = find(table, key);
	if (slot->value)
		return -EEXIST;
	*slot = (struct tw_table_slot){ key, value };
	table->count++;
	return 0;
}

void *tw_table_get(const struct tw_table *table, uint64_t key)
{
	return table->size ? find(table, key)->value : NULL;
}

void tw_table_remove(struct tw_table *table, uint64_t key)
{
	if (!table->size)
		return;
	struct tw_table_slot *slot = find(table, key);
	if (!slot->value)
		return;
	slot->value = NULL;
	table->count--;
	/* Whatever stands behind the hole may have been pushed there by it: put it in again. */
	size_t place = ((size_t)(slot - table->slots) + 1) & (table->size - 1);
	while (table->slots[place].value) {
		struct tw_table_slot moved = table->slots[place];
		table->slots[place].value = NULL;
		*find(table, moved.key) = moved;
		place = (place + 1) & (table->size - 1);
	}
}
