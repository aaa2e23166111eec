#include "api/penalty.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "crypto/hash.h"
#include "netio/clock.h"

#define CLOSED_FIRST TW_SECOND
#define DELAY_FIRST (250 * TW_MSEC)

/* Buckets of a few rows each: looking one up costs the same however full the table is. */
#define WAYS 8
#define BUCKETS (TW_PENALTY_ROWS / WAYS)

struct row {
	uint8_t key[TW_PENALTY_KEY];
	tw_ns paid_at; /* when all is worked off; what is owed at @now: paid_at - now */
	tw_ns closed_until;
	bool used;
};

struct table {
	struct row rows[BUCKETS][WAYS];
};

struct tw_penalties {
	struct table sources, names;
	uint8_t salt[TW_HASH_SIZE]; /* nobody can choose names that fall together */
};

struct tw_penalty_source tw_penalty_source_of(const struct tw_address *address)
{
	struct tw_penalty_source source = { { address->family } };

	memcpy(source.key + 1, address->ip, address->family == TW_FAMILY_IPV4 ? 4 : 8);
	return source;
}

struct tw_penalty_source tw_penalty_source_account(unsigned uid)
{
	struct tw_penalty_source source = { { 'u' } };

	memcpy(source.key + 1, &uid, sizeof uid);
	return source;
}

int tw_penalties_new(struct tw_penalties **ret)
{
	struct tw_penalties *penalties = calloc(1, sizeof *penalties);
	struct tw_random random = tw_system_random();

	if (!penalties)
		return -ENOMEM;
	tw_random_fill(&random, penalties->salt, sizeof penalties->salt);
	*ret = penalties;
	return 0;
}

void tw_penalties_free(struct tw_penalties *penalties)
{
	free(penalties);
}

static tw_ns owed(const struct row *row, tw_ns now)
{
	return row->paid_at > now ? row->paid_at - now : 0;
}

static void hash_key(const struct tw_penalties *penalties, const void *bytes, size_t length,
		     uint8_t ret[TW_HASH_SIZE])
{
	struct tw_hash hash;

	tw_hash_init(&hash);
	tw_hash_update(&hash, penalties->salt, sizeof penalties->salt);
	tw_hash_update(&hash, bytes, length);
	tw_hash_final(&hash, ret);
}

/* The row of a key; where there is none, that of its bucket that owes least becomes it. */
static struct row *find(struct table *table, const uint8_t hash[TW_HASH_SIZE], tw_ns now)
{
	struct row *bucket = table->rows[((size_t)hash[16] << 8 | hash[17]) % BUCKETS];
	struct row *least = bucket;

	for (size_t i = 0; i < WAYS; i++) {
		struct row *row = &bucket[i];

		if (row->used && memcmp(row->key, hash, TW_PENALTY_KEY) == 0)
			return row;
		if (owed(row, now) < owed(least, now))
			least = row;
	}
	*least = (struct row){ .used = true };
	memcpy(least->key, hash, TW_PENALTY_KEY);
	return least;
}

static struct row *find_source(struct tw_penalties *penalties,
			       const struct tw_penalty_source *source, tw_ns now)
{
	uint8_t hash[TW_HASH_SIZE];

	hash_key(penalties, source->key, sizeof source->key, hash);
	return find(&penalties->sources, hash, now);
}

static struct row *find_name(struct tw_penalties *penalties, const char *name, tw_ns now)
{
	uint8_t hash[TW_HASH_SIZE];

	hash_key(penalties, name, strlen(name), hash);
	return find(&penalties->names, hash, now);
}

/* @first, doubled for each guess beyond one that is owed, and at most @most. */
static tw_ns doubled(tw_ns debt, tw_ns first, tw_ns most)
{
	tw_ns guesses = (debt + TW_PENALTY_COST - 1) / TW_PENALTY_COST;

	if (guesses == 0)
		return 0;
	if (guesses > 20 || first << (guesses - 1) > most)
		return most;
	return first << (guesses - 1);
}

static void charge(struct row *row, tw_ns now)
{
	row->paid_at = now + owed(row, now) + TW_PENALTY_COST;
}

tw_ns tw_penalty_begin(struct tw_penalties *penalties, const struct tw_penalty_source *source,
		       tw_ns now)
{
	struct row *row = find_source(penalties, source, now);
	tw_ns full = TW_PENALTY_BURST * TW_PENALTY_COST, debt = owed(row, now);

	if (now < row->closed_until)
		return row->closed_until - now;
	if (debt + TW_PENALTY_COST > full)
		return debt + TW_PENALTY_COST - full;
	charge(row, now);
	return 0;
}

tw_ns tw_penalty_delay(struct tw_penalties *penalties, const char *name, tw_ns now)
{
	return doubled(owed(find_name(penalties, name, now), now), DELAY_FIRST,
		       TW_PENALTY_DELAY_MAX);
}

void tw_penalty_right(struct tw_penalties *penalties, const struct tw_penalty_source *source,
		      tw_ns now)
{
	struct row *row = find_source(penalties, source, now);
	tw_ns debt = owed(row, now);

	row->paid_at = now + (debt > TW_PENALTY_COST ? debt - TW_PENALTY_COST : 0);
}

void tw_penalty_wrong(struct tw_penalties *penalties, const struct tw_penalty_source *source,
		      const char *name, tw_ns now)
{
	struct row *row = find_source(penalties, source, now);
	struct row *named = find_name(penalties, name, now);
	tw_ns most = TW_PENALTY_BURST * TW_PENALTY_COST;

	tw_ns debt = owed(row, now), first = TW_PENALTY_COST;

	row->closed_until =
		now + doubled(debt > first ? debt - first : 0, CLOSED_FIRST, TW_PENALTY_CLOSED_MAX);
	charge(named, now);
	/* A name owes no more than a burst: it is forgotten in a bounded time. */
	if (owed(named, now) > most)
		named->paid_at = now + most;
}
