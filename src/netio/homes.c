#include "netio/homes.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/table.h"
#include "crypto/siphash.h"
#include "wire/steer.h"

#define SWEPT_AT_A_TIME 8 /* at every knock: so that those who never came are forgotten */

struct home {
	uint64_t name; /* keyed hash of the peer's key */
	size_t index;  /* in homes->all */
	unsigned place;
	unsigned held[TW_RECEIVER_HELD_COUNT], lanes;
	tw_ns reserved_until;
};

struct tw_homes {
	pthread_mutex_t lock;
	unsigned places;
	uint8_t key[TW_SIPHASH_KEY];
	struct tw_table by_name;
	struct home **all; /* owned array of owned ones */
	size_t count, room, swept;
	/* Of each place: peers that are there or expected, and destinations that are busy. */
	unsigned peers[TW_STEER_PLACES_MAX], busy[TW_STEER_PLACES_MAX];
};

int tw_homes_new(unsigned places, const struct tw_random *random, struct tw_homes **ret)
{
	struct tw_homes *homes = calloc(1, sizeof *homes);

	assert(places && places <= TW_STEER_PLACES_MAX);
	if (!homes)
		return -ENOMEM;
	pthread_mutex_init(&homes->lock, NULL);
	homes->places = places;
	tw_random_fill(random, homes->key, sizeof homes->key);
	tw_table_init(&homes->by_name, tw_random_u64(random));
	*ret = homes;
	return 0;
}

void tw_homes_free(struct tw_homes *homes)
{
	if (!homes)
		return;
	while (homes->count)
		free(homes->all[--homes->count]);
	free(homes->all);
	tw_table_deinit(&homes->by_name);
	pthread_mutex_destroy(&homes->lock);
	free(homes);
}

static uint64_t name_of(const struct tw_homes *homes, const struct tw_public_key *peer)
{
	uint8_t hash[TW_SIPHASH_SIZE];
	uint64_t name;

	tw_siphash(homes->key, peer->bytes, sizeof peer->bytes, hash);
	memcpy(&name, hash, sizeof name);
	return name;
}

static bool is_held(const struct home *home)
{
	for (unsigned i = 0; i < TW_RECEIVER_HELD_COUNT; i++)
		if (home->held[i])
			return true;
	return home->lanes != 0;
}

/* A transfer that waits for its sender is no work. */
static bool counts(const struct home *home)
{
	return home->held[TW_RECEIVER_HELD_CONN] || home->reserved_until;
}

static void forget(struct tw_homes *homes, struct home *home)
{
	struct home *last = homes->all[--homes->count];

	homes->peers[home->place] -= counts(home);
	homes->all[home->index] = last;
	last->index = home->index;
	tw_table_remove(&homes->by_name, home->name);
	free(home);
}

static void reserve(struct tw_homes *homes, struct home *home, tw_ns until)
{
	homes->peers[home->place] -= counts(home);
	home->reserved_until = until;
	homes->peers[home->place] += counts(home);
}

static bool is_gone(const struct home *home, tw_ns now)
{
	return !is_held(home) && home->reserved_until <= now;
}

static void sweep(struct tw_homes *homes, tw_ns now)
{
	for (unsigned i = 0; i < SWEPT_AT_A_TIME && homes->count; i++) {
		struct home *home;

		homes->swept = (homes->swept + 1) % homes->count;
		home = homes->all[homes->swept];
		if (home->reserved_until && home->reserved_until <= now)
			reserve(homes, home, 0);
		if (is_gone(home, now))
			forget(homes, home);
	}
}

static unsigned least_loaded(const struct tw_homes *homes, unsigned asks)
{
	unsigned best = asks;

	for (unsigned i = 0; i < homes->places; i++)
		if (homes->peers[i] + homes->busy[i] < homes->peers[best] + homes->busy[best])
			best = i;
	return best;
}

static struct home *add(struct tw_homes *homes, uint64_t name, unsigned place)
{
	size_t room = homes->room ? 2 * homes->room : 64;
	struct home *home;

	if (homes->count == TW_HOMES_MAX)
		return NULL;
	if (homes->count == homes->room) {
		struct home **larger = realloc(homes->all, room * sizeof *larger);

		if (!larger)
			return NULL;
		homes->all = larger;
		homes->room = room;
	}
	home = calloc(1, sizeof *home);
	if (!home)
		return NULL;
	*home = (struct home){ .name = name, .index = homes->count, .place = place };
	if (tw_table_put(&homes->by_name, name, home)) {
		free(home);
		return NULL;
	}
	homes->all[homes->count++] = home;
	return home;
}

static unsigned find(struct tw_homes *homes, uint64_t name, unsigned asks, tw_ns now)
{
	struct home *home = tw_table_get(&homes->by_name, name);

	if (home && is_gone(home, now)) {
		forget(homes, home);
		home = NULL;
	}
	if (!home) {
		home = add(homes, name, least_loaded(homes, asks));
		if (!home)
			return asks;
	}
	reserve(homes, home, now + TW_HOMES_RESERVED);
	return home->place;
}

unsigned tw_homes_find(struct tw_homes *homes, const struct tw_public_key *peer, unsigned asks,
		       tw_ns now)
{
	uint64_t name = name_of(homes, peer);
	unsigned place;

	pthread_mutex_lock(&homes->lock);
	sweep(homes, now);
	place = find(homes, name, asks, now);
	pthread_mutex_unlock(&homes->lock);
	return place;
}

bool tw_homes_lane(struct tw_homes *homes, const struct tw_public_key *peer, unsigned lane,
		   unsigned *ret_place)
{
	uint64_t name = name_of(homes, peer);
	const struct home *home;
	bool found;

	if (lane >= homes->places)
		return false;
	pthread_mutex_lock(&homes->lock);
	home = tw_table_get(&homes->by_name, name);
	found = home && home->held[TW_RECEIVER_HELD_CONN] && home->lanes < TW_HOMES_LANES_MAX;
	if (found)
		*ret_place = (home->place + lane) % homes->places;
	pthread_mutex_unlock(&homes->lock);
	return found;
}

void tw_homes_hold_lane(struct tw_homes *homes, const struct tw_public_key *peer, int change)
{
	uint64_t name = name_of(homes, peer);
	struct home *home;

	pthread_mutex_lock(&homes->lock);
	home = tw_table_get(&homes->by_name, name);
	if (home && (change > 0 || home->lanes))
		home->lanes += (unsigned)change;
	if (home && !is_held(home) && !home->reserved_until)
		forget(homes, home);
	pthread_mutex_unlock(&homes->lock);
}

/* Who is served elsewhere than he was expected (the table was full) is at home there from now on.
 */
static void move(struct tw_homes *homes, struct home *home, unsigned place)
{
	homes->peers[home->place] -= counts(home);
	home->place = place;
	homes->peers[home->place] += counts(home);
}

static void hold(struct tw_homes *homes, struct home *home, enum tw_receiver_held what, int change)
{
	homes->peers[home->place] -= counts(home);
	if (change > 0)
		home->held[what]++;
	else if (home->held[what])
		home->held[what]--;
	/* The connection that was expected is there. */
	if (what == TW_RECEIVER_HELD_CONN && change > 0)
		home->reserved_until = 0;
	homes->peers[home->place] += counts(home);
	if (!is_held(home) && !home->reserved_until)
		forget(homes, home);
}

void tw_homes_hold(struct tw_homes *homes, const struct tw_public_key *peer, unsigned place,
		   enum tw_receiver_held what, int change)
{
	uint64_t name = name_of(homes, peer);
	struct home *home;

	pthread_mutex_lock(&homes->lock);
	home = tw_table_get(&homes->by_name, name);
	if (!home && change > 0)
		home = add(homes, name, place);
	if (home && home->place != place && change > 0)
		move(homes, home, place);
	if (home)
		hold(homes, home, what, change);
	pthread_mutex_unlock(&homes->lock);
}

void tw_homes_busy(struct tw_homes *homes, unsigned place, unsigned destinations)
{
	pthread_mutex_lock(&homes->lock);
	homes->busy[place] = destinations;
	pthread_mutex_unlock(&homes->lock);
}
