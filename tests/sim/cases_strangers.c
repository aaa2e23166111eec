/*
 * What strangers and unlike versions do to an endpoint: more than one transfer, so each has a run
 * of its own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "wire/datagram.h"

#define OTHER_VERSION UINT32_C(0x54570077)
#define VERSION_AT 1 /* in an INIT */
#define VERSIONS_AT 10 /* the first of a VERSIONS */
#define FLOOD 3000
#define FLOOD_STEP (500 * TW_USEC)

static bool finish(struct tape_world *world, struct sim_measures *ret, char *ret_failure)
{
	bool good = !world->sim.failed;
	struct tw_digest digest = tw_digest_final(world->sim.digest);

	*ret = (struct sim_measures){ .took = world->sim.now - world->started_at };
	memcpy(&ret->digest, digest.bytes, sizeof(ret->digest));
	if (!good)
		memcpy(ret_failure, world->sim.failure, sizeof(world->sim.failure));
	tape_free(world);
	return good;
}

static void put_version(uint8_t *at, uint32_t version)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(version >> (24 - 8 * i));
}

/* Host 0 speaks another version only: its INIT says so, and it knows ours as little. */
static bool other_version(void *context, unsigned to, uint8_t *bytes, size_t *length)
{
	struct tape_world *world = context;

	if (to == 1 && bytes[0] == TW_DATAGRAM_INIT)
		put_version(bytes + VERSION_AT, OTHER_VERSION);
	if (to == 1)
		return true;
	if (bytes[0] != TW_DATAGRAM_VERSIONS)
		sim_fail(&world->sim, "an INIT of another version was answered with type %u",
			 bytes[0]);
	if (*length > TW_DATAGRAM_INIT_MIN)
		sim_fail(&world->sim, "the answer is longer than the question");
	put_version(bytes + VERSIONS_AT, OTHER_VERSION);
	return true;
}

static bool is_closed(void *context)
{
	return ((struct tape_world *)context)->sides[0].closed;
}

static bool run_versions(const struct sim_case *test, uint64_t seed, bool verbose,
			 struct sim_measures *ret, char *ret_failure)
{
	struct tape_world *world = tape_new(test, seed, verbose);

	world->link.watch = other_version;
	world->link.watch_context = world;
	tape_connect(world);
	if (!sim_run(&world->sim, world->started_at + test->limit, is_closed, world))
		sim_fail(&world->sim, "nobody noticed");
	else if (world->sides[0].end != TW_CONN_VERSION)
		sim_fail(&world->sim, "ended with %d", world->sides[0].end);
	if (tw_endpoint_count(world->hosts[1].endpoint))
		sim_fail(&world->sim, "a connection was made for another version");
	return finish(world, ret, ret_failure);
}

/* An endpoint that only asks, from as many addresses as it likes. */
struct crowd {
	struct tape_world *world;
	struct tw_identity identity;
	struct tw_prng prng;
	struct tw_endpoint *endpoint;
	unsigned asked;
	size_t most; /* connections that the receiver had at a time */
	uint64_t bytes_out;
};

static enum tw_verdict nobody(void *context, const struct tw_public_key *peer,
			      const struct tw_path *path, struct tw_conn_config *ret_config,
			      const struct tw_conn_app **ret_app, void **ret_context)
{
	(void)context, (void)peer, (void)path, (void)ret_config, (void)ret_app, (void)ret_context;
	return TW_ACCEPT_NOT_AUTHORIZED;
}

static void crowd_asks(void *context)
{
	static uint8_t bytes[65536];
	struct crowd *crowd = context;
	struct tape_world *world = crowd->world;
	struct tw_train train = { .bytes = bytes, .room = sizeof(bytes) };
	const struct tw_connect connect = {
		.remote = world->hosts[1].address,
		.peer_key = world->identities[1].public_key,
		.cipher = TW_CIPHER_128,
	};
	struct tw_path seen = { .local = world->hosts[1].address,
				.remote = { .family = TW_FAMILY_IPV4,
					    .ip = { 203, 0, 113, (uint8_t)crowd->asked },
					    .port = (uint16_t)(1000 + crowd->asked) } };
	struct tw_conn *conn;
	size_t half_open = tw_endpoint_count(world->hosts[1].endpoint);

	if (half_open > crowd->most)
		crowd->most = half_open;
	if (half_open > TW_HALF_OPEN_COOKIE + 4)
		sim_fail(&world->sim, "%zu connections for strangers who proved nothing",
			 half_open);
	if (tw_endpoint_connect(crowd->endpoint, &connect, world->sim.now, &conn))
		abort();
	while (tw_endpoint_send(crowd->endpoint, &train, world->sim.now)) {
		sim_link_forge(&world->link, 1, &seen, bytes, train.length);
		crowd->bytes_out += train.length;
	}
	tw_conn_close(conn, 0, "");
	if (++crowd->asked == FLOOD / 3)
		tape_connect(world);
	if (crowd->asked < FLOOD)
		sim_call(&world->sim, world->sim.now + FLOOD_STEP, crowd_asks, NULL, crowd);
}

static bool flood_over(void *context)
{
	struct crowd *crowd = context;

	return crowd->asked == FLOOD && tape_done(crowd->world);
}

/*
 * Thousands ask with forged addresses; somebody comes in the middle of it and is served. Nothing
 * that was sent to the forged ones was longer than what came from them.
 */
static bool run_flood(const struct sim_case *test, uint64_t seed, bool verbose,
		      struct sim_measures *ret, char *ret_failure)
{
	struct tape_world *world = tape_new(test, seed, verbose);
	struct crowd crowd = { .world = world };
	struct tw_random random = tw_prng_random(&crowd.prng);
	struct tw_endpoint_config config = {
		.identity = &crowd.identity, .random = random, .admit = nobody
	};

	tw_prng_init(&crowd.prng, seed + 77);
	if (tw_identity_generate(&random, &crowd.identity) ||
	    tw_endpoint_new(&config, world->sim.now, &crowd.endpoint))
		abort();
	sim_call(&world->sim, world->sim.now + FLOOD_STEP, crowd_asks, NULL, &crowd);
	if (!sim_run(&world->sim, world->started_at + test->limit, flood_over, &crowd))
		sim_fail(&world->sim, "not served within %.1f s: %" PRIu64 " of %" PRIu64 " bytes",
			 (double)test->limit / 1e9, world->sides[0].acked.total, test->size);
	if (world->link.roads[0].stats.bytes > crowd.bytes_out)
		sim_fail(&world->sim, "answered %" PRIu64 " bytes to %" PRIu64,
			 world->link.roads[0].stats.bytes, crowd.bytes_out);
	if (crowd.most < TW_HALF_OPEN_COOKIE)
		sim_fail(&world->sim, "only %zu connections at a time: no flood", crowd.most);
	tw_endpoint_free(crowd.endpoint);
	tw_identity_wipe(&crowd.identity);
	return finish(world, ret, ret_failure);
}

const struct sim_case stranger_cases[] = {
	{ .name = "strangers: another version", .rate_bps = 10 * MBIT, .rtt = 40 * TW_MSEC,
	  .size = MIB, .limit = 2 * TW_SECOND, .run = run_versions },
	{ .name = "strangers: half-open flood", .rate_bps = 100 * MBIT, .rtt = 40 * TW_MSEC,
	  .size = 4 * MIB, .limit = 3 * TW_SECOND, .run = run_flood },
};

const size_t stranger_case_count = sizeof(stranger_cases) / sizeof(stranger_cases[0]);
