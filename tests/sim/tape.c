#include "tape.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conn_internal.h"

#define TRANSFER 7
/* Not a power of two, so that a piece at a wrong place never fits by chance. */
#define PATTERN 1000003
#define PIECE_MAX 65536

static uint8_t pattern[PATTERN + PIECE_MAX];

static const uint8_t *tape_at(uint64_t offset)
{
	if (!pattern[0]) {
		struct tw_prng prng;

		tw_prng_init(&prng, 1);
		for (size_t i = 0; i < PATTERN; i++)
			pattern[i] = (uint8_t)(1 + tw_prng_below(&prng, 255));
		memcpy(pattern + PATTERN, pattern, PIECE_MAX);
	}
	return pattern + offset % PATTERN;
}

static void must(struct tape_side *side, int error)
{
	if (error)
		sim_fail(&side->world->sim, "ranges: error %d", error);
}

static void on_established(void *app, struct tw_conn *conn)
{
	struct tape_side *side = app;

	side->conn = conn;
	side->established = true;
	if (side->world->test->key_packets)
		conn->seal.key_packets_max = side->world->test->key_packets;
	tw_conn_wake(conn);
}

static void on_closed(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
		      const char *reason)
{
	struct tape_side *side = app;

	(void)conn;
	sim_note(&side->world->sim, "closed: %d, code %llu, %s", end, (unsigned long long)code,
		 reason);
	side->closed = true;
	side->conn = NULL;
	side->end = end;
}

static bool on_next(void *app, struct tw_conn *conn, struct tw_data_ref *ret)
{
	struct tape_side *side = app;
	struct tw_range range;

	(void)conn;
	if (!tw_ranges_next(&side->owed, 0, UINT64_MAX, &range))
		return false;
	*ret = (struct tw_data_ref){ TRANSFER, range.start, range.end - range.start };
	return true;
}

static const uint8_t *on_take(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	struct tape_side *side = app;

	(void)conn;
	assert(piece->length <= PIECE_MAX);
	must(side, tw_ranges_remove(&side->owed, piece->offset, piece->offset + piece->length));
	return tape_at(piece->offset);
}

static void on_acked(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	struct tape_side *side = app;

	(void)conn;
	must(side, tw_ranges_add(&side->acked, piece->offset, piece->offset + piece->length));
	must(side, tw_ranges_remove(&side->owed, piece->offset, piece->offset + piece->length));
}

static void on_lost(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	struct tape_side *side = app;
	uint64_t at = piece->offset, end = piece->offset + piece->length;
	struct tw_range gap;

	(void)conn;
	/* What was acknowledged by an earlier copy need not go again. */
	while (tw_ranges_next_gap(&side->acked, at, end, &gap)) {
		must(side, tw_ranges_add(&side->owed, gap.start, gap.end));
		at = gap.end;
	}
}

static bool on_data(void *app, struct tw_conn *conn, const struct tw_data_ref *piece,
		    const uint8_t *bytes)
{
	struct tape_side *side = app;
	uint64_t end = piece->offset + piece->length;

	if (piece->transfer != TRANSFER || piece->length > PIECE_MAX ||
	    memcmp(bytes, tape_at(piece->offset), piece->length) != 0)
		sim_fail(&side->world->sim, "wrong bytes accepted at %llu",
			 (unsigned long long)piece->offset);
	side->arrived += piece->length;
	side->repeated += tw_ranges_overlap(&side->received, piece->offset, end);
	must(side, tw_ranges_add(&side->received, piece->offset, end));
	tw_conn_data_consumed(conn, piece->length);
	return true;
}

static void on_stream(void *app, struct tw_conn *conn, uint64_t stream)
{
	struct tape_side *side = app;

	(void)conn;
	sim_fail(&side->world->sim, "stream %llu came from nowhere", (unsigned long long)stream);
}

static const struct tw_conn_app tape_app = {
	.established = on_established,
	.closed = on_closed,
	.data_next = on_next,
	.data_take = on_take,
	.data_acked = on_acked,
	.data_lost = on_lost,
	.data_received = on_data,
	.stream_readable = on_stream,
	.stream_writable = on_stream,
};

static void no_turn(void *context, tw_ns now)
{
	(void)context;
	(void)now;
}

static tw_ns no_deadline(void *context)
{
	(void)context;
	return TW_NEVER;
}

static const struct sim_program tape_program = { .turn = no_turn, .deadline = no_deadline };

static struct tw_conn_config conn_config(const struct sim_case *test)
{
	return (struct tw_conn_config){
		.method = test->fixed ? TW_RATE_FIXED : TW_RATE_DEFAULT,
		.limits = { .rate_bps = test->fixed ? test->rate_bps * 9 / 10 : 0,
			    .max_bps = UINT64_MAX },
		.idle_timeout = test->idle_timeout,
		.datagram_max = test->datagram_max,
	};
}

static enum tw_verdict on_admit(void *context, const struct tw_public_key *peer,
				const struct tw_path *path, struct tw_conn_config *ret_config,
				const struct tw_conn_app **ret_app, void **ret_context)
{
	struct tape_world *world = context;

	(void)peer;
	(void)path;
	*ret_config = conn_config(world->test);
	*ret_app = &tape_app;
	*ret_context = &world->sides[1];
	return TW_ACCEPT_YES;
}

void sim_case_link(const struct sim_case *test, struct sim_link_config *ret)
{
	*ret = test->link;
	for (unsigned to = 0; to < 2; to++) {
		struct sim_road_config *road = &ret->to[to];

		if (!road->rate_bps)
			road->rate_bps = test->rate_bps;
		if (!road->delay)
			road->delay = test->rtt / 2;
		if (road->loss <= 0)
			road->loss = test->loss;
		if (!road->mtu)
			road->mtu = SIM_ETHERNET;
		if (!road->queue_bytes && road->rate_bps) {
			double product = (double)road->rate_bps / 8e9 * (double)test->rtt;
			double bytes = (test->queue > 0 ? test->queue : 1) * product;

			road->queue_bytes = bytes > 65536 ? (uint64_t)bytes : 65536;
		}
	}
}

struct act {
	struct tape_world *world;
	const struct sim_change *change;
};

static void act(void *context)
{
	struct act act = *(struct act *)context;
	struct sim_link *link = &act.world->link;
	struct sim_link_config config = link->config;
	const struct sim_change *change = act.change;

	free(context);
	for (unsigned to = 0; to < 2; to++) {
		if (change->act == SIM_RATE)
			config.to[to].rate_bps = change->value;
		if (change->act == SIM_DELAY)
			config.to[to].delay = change->value;
		if (change->act == SIM_MTU)
			config.to[to].mtu = (uint32_t)change->value;
		if (change->act == SIM_CLEAN)
			config.to[to].loss = config.to[to].corrupt = 0;
	}
	sim_note(link->sim, "change %d to %llu", change->act, (unsigned long long)change->value);
	sim_link_set(link, &config);
	if (change->act == SIM_SILENCE || change->act == SIM_SOUND)
		sim_link_silence(link, change->act == SIM_SILENCE);
	if (change->act == SIM_REBIND)
		sim_link_rebind(link);
}

static void plan(struct tape_world *world)
{
	for (const struct sim_change *change = world->test->changes; change->at; change++) {
		struct act *planned = sim_alloc(sizeof(*planned));

		*planned = (struct act){ world, change };
		sim_call(&world->sim, world->sim.now + change->at, act, free, planned);
	}
}

static struct tw_endpoint *make_endpoint(struct tape_world *world, unsigned side)
{
	const struct tw_endpoint_config config = {
		.identity = &world->identities[side],
		.server_id = { (uint8_t)(side + 1) },
		.cipher_min = world->test->plain ? TW_CIPHER_NONE : TW_CIPHER_AUTH,
		.random = tw_prng_random(&world->prngs[side]),
		.accept = side == 1,
		.admit = on_admit,
		.context = world,
	};
	struct tw_endpoint *endpoint;

	if (tw_endpoint_new(&config, world->sim.now, &endpoint))
		abort();
	return endpoint;
}

struct tape_world *tape_new(const struct sim_case *test, uint64_t seed, bool verbose)
{
	struct tape_world *world = sim_alloc(sizeof(*world));
	struct sim_link_config config;

	sim_init(&world->sim, seed);
	world->sim.verbose = verbose;
	world->test = test;
	sim_case_link(test, &config);
	sim_link_init(&world->link, &world->sim, &config);
	for (unsigned side = 0; side < 2; side++) {
		struct tw_random random = tw_prng_random(&world->prngs[side]);

		tw_prng_init(&world->prngs[side], seed * 2 + side);
		if (tw_identity_generate(&random, &world->identities[side]))
			abort();
		world->sides[side].world = world;
		tw_ranges_init(&world->sides[side].owed, 1 << 22);
		tw_ranges_init(&world->sides[side].acked, 1 << 22);
		tw_ranges_init(&world->sides[side].received, 1 << 22);
		sim_host_init(&world->hosts[side], &world->sim, &world->link, side);
		sim_host_start(&world->hosts[side], make_endpoint(world, side), &tape_program,
			       world);
	}
	world->started_at = world->sim.now;
	plan(world);
	return world;
}

void tape_connect(struct tape_world *world)
{
	const struct sim_case *test = world->test;
	const struct tw_connect connect = {
		.remote = world->hosts[1].address,
		.peer_key = world->identities[1].public_key,
		.cipher = test->plain    ? TW_CIPHER_NONE
			  : test->cipher ? test->cipher
					 : TW_CIPHER_128,
		.config = conn_config(test),
		.app = &tape_app,
		.app_context = &world->sides[0],
		.handshake_timeout = 60 * TW_SECOND,
	};

	must(&world->sides[0], tw_ranges_add(&world->sides[0].owed, 0, test->size));
	if (tw_endpoint_connect(world->hosts[0].endpoint, &connect, world->sim.now,
				&world->sides[0].conn))
		abort();
	if (world->sim.verbose)
		sim_host_observe(&world->hosts[0], 100 * TW_MSEC);
	sim_host_wake(&world->hosts[0]);
}

void tape_free(struct tape_world *world)
{
	for (unsigned side = 0; side < 2; side++) {
		sim_host_deinit(&world->hosts[side]);
		tw_ranges_deinit(&world->sides[side].owed);
		tw_ranges_deinit(&world->sides[side].acked);
		tw_ranges_deinit(&world->sides[side].received);
		tw_identity_wipe(&world->identities[side]);
	}
	sim_deinit(&world->sim);
	free(world);
}

bool tape_done(void *context)
{
	struct tape_world *world = context;

	return world->sides[0].acked.total == world->test->size || world->sides[0].closed;
}

static void measure(const struct tape_world *world, struct sim_measures *ret)
{
	const struct sim_case *test = world->test;
	const struct sim_road *there = &world->link.roads[1], *back = &world->link.roads[0];
	double size = (double)test->size;
	struct tw_digest digest = tw_digest_final(world->sim.digest);
	struct tw_conn_info info;

	*ret = (struct sim_measures){
		.took = world->sim.now - world->started_at,
		.ideal = test->rtt,
		.wire = (double)there->stats.bytes / size,
		.needless = (double)world->sides[1].repeated / size,
		.return_share = (double)back->stats.bytes / size,
		.delay_95 = sim_road_delay(there, 0.95),
	};
	if (there->config.rate_bps)
		ret->ideal += (tw_ns)(size * 8e9 / (double)there->config.rate_bps);
	memcpy(&ret->digest, digest.bytes, sizeof(ret->digest));
	if (world->sides[0].conn) {
		tw_conn_info(world->sides[0].conn, &info);
		ret->packets_lost = info.packets_lost;
		ret->packets_spurious = info.packets_spurious;
		ret->key_updates = info.key_updates;
	}
	if (world->sides[1].conn) {
		tw_conn_info(world->sides[1].conn, &info);
		ret->forged = info.forged;
	}
}

static void judge(struct tape_world *world, const struct sim_measures *got)
{
	const struct sim_case *test = world->test;
	struct sim *sim = &world->sim;

	if (world->sides[0].closed)
		sim_fail(sim, "the connection ended: %d", world->sides[0].end);
	if (world->sides[0].acked.total != test->size)
		sim_fail(sim, "not done: %llu of %llu bytes acknowledged, %llu arrived",
			 (unsigned long long)world->sides[0].acked.total,
			 (unsigned long long)test->size,
			 (unsigned long long)world->sides[1].received.total);
	if (world->sides[1].received.total != test->size)
		sim_fail(sim, "acknowledged, but not all there");
	if (test->limit && got->took > test->limit)
		sim_fail(sim, "took %.3f s, must finish within %.3f s", (double)got->took / 1e9,
			 (double)test->limit / 1e9);
	if (test->wire_max > 0 && got->wire > test->wire_max)
		sim_fail(sim, "%.4f bytes on the wire for each of content, at most %.4f", got->wire,
			 test->wire_max);
	if (got->needless > sim_needless_max(test, got->content_bytes))
		sim_fail(sim, "%.2f %% of the content came again for nothing, at most %.2f",
			 100 * got->needless, 100 * sim_needless_max(test, got->content_bytes));
	if (test->return_max > 0 && got->return_share > test->return_max)
		sim_fail(sim, "return path %.3f %% of the content, at most %.3f",
			 100 * got->return_share, 100 * test->return_max);
	if (got->key_updates < test->key_updates_min)
		sim_fail(sim, "%" PRIu64 " key updates, at least %" PRIu64, got->key_updates,
			 test->key_updates_min);
}

bool tape_run(const struct sim_case *test, uint64_t seed, bool verbose, struct sim_measures *ret,
	      char *ret_failure)
{
	struct tape_world *world = tape_new(test, seed, verbose);
	tw_ns patience = test->limit ? test->limit * 4 : 600 * TW_SECOND;
	bool good;

	tape_connect(world);
	sim_run(&world->sim, world->started_at + patience, tape_done, world);
	measure(world, ret);
	judge(world, ret);
	good = !world->sim.failed;
	if (!good)
		memcpy(ret_failure, world->sim.failure, sizeof(world->sim.failure));
	tape_free(world);
	return good;
}
