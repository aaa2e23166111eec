/*
 * Several transfers over one connection: each case makes its transfers and orders, and judges what
 * is particular to it.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cases.h"
#include "many.h"
#include "session/message.h"

#define FAST \
	{ \
		{ .latency = 50 * TW_USEC, .rate = 2000000000 }, \
		{ \
			.latency = 50 * TW_USEC, .rate = 2000000000 \
		} \
	}

#define HISTORIES 40

#define RUN struct many *many = many_new(test, seed, verbose)
#define PARAMETERS \
	const struct sim_case *test, uint64_t seed, bool verbose, struct sim_measures *ret, \
		char *ret_failure

static void expect_connections(struct many *many, unsigned most)
{
	if (many->connections > most)
		sim_fail(&many->sim, "%u connections, at most %u", many->connections, most);
}

static void expect_took(struct many *many, unsigned lane, double least, double most)
{
	double took = many_took(&many->lanes[lane]);

	if (took < least || took > most)
		sim_fail(&many->sim, "lane %u took %.3f s, not %.3f to %.3f", lane, took, least,
			 most);
}

static void order(struct many *many, tw_ns at, enum many_act act, unsigned lane, uint64_t value)
{
	many_order(many, &(struct many_order){ at, act, lane, value });
}

/* The best goes first, and what it does not need goes to the next. */
static void judge_ranks(struct many *many)
{
	expect_connections(many, 1);
	expect_took(many, 2, 0.3, 0.6);
	expect_took(many, 1, 1.5, 2.3);
	if (many->lanes[1].over_at > many->lanes[0].over_at)
		sim_fail(&many->sim, "the worse one was over first");
}

static bool run_ranks(PARAMETERS)
{
	RUN;

	many_lane(many, 1, 16 * MIB, 2);
	many_lane(many, 40, 400 * KIB, 1);
	many_lane(many, 3, MIB, 0);
	order(many, 1, MANY_ADD, 0, 0);
	order(many, 1, MANY_ADD, 1, 0);
	order(many, TW_SECOND, MANY_ADD, 2, 0);
	return many_run(many, ret, ret_failure, judge_ranks);
}

/* A better one comes: the running one is paused, and goes on from the journal. */
static void judge_preemption(struct many *many)
{
	const struct many_lane *lane = &many->lanes[0];

	expect_connections(many, 1);
	expect_took(many, 1, 0.6, 1.1);
	if (lane->attempts != 2 || lane->last.bytes_held < 8 * MIB)
		sim_fail(&many->sim, "attempt %u held %" PRIu64, lane->attempts,
			 lane->last.bytes_held);
	if (lane->sent_before > lane->content_bytes + 3 * MIB)
		sim_fail(&many->sim, "%" PRIu64 " bytes sent of %" PRIu64, lane->sent_before,
			 lane->content_bytes);
	if (many->receiver.transfers_cancelled)
		sim_fail(&many->sim, "a pause was told as the end of a transfer");
}

static bool run_preemption(PARAMETERS)
{
	RUN;

	many_lane(many, 30, MIB, 5);
	many_lane(many, 1, 8 * MIB, 0);
	order(many, 1, MANY_ADD, 0, 0);
	order(many, 1500 * TW_MSEC, MANY_PAUSE, 0, 0);
	order(many, 1500 * TW_MSEC, MANY_ADD, 1, 0);
	order(many, 2500 * TW_MSEC, MANY_ADD, 0, 0);
	return many_run(many, ret, ret_failure, judge_preemption);
}

static void judge_small(struct many *many)
{
	expect_connections(many, 1);
	/* The control streams; of each live transfer two, and as many that end behind it, with the
	 * gaps between them in the memory of ended ones. */
	if (many->streams_most > 10 * (many->live_max + 4))
		sim_fail(&many->sim, "%zu streams at a time", many->streams_most);
	if (tw_receiver_count(many->receiver.hub) > 70 + many->live_max)
		sim_fail(&many->sim, "%zu transfers are remembered",
			 tw_receiver_count(many->receiver.hub));
}

static bool run_small(PARAMETERS, unsigned live)
{
	RUN;

	many->live_max = live;
	for (unsigned i = 0; i < 1000; i++)
		many_lane(many, 1, 10 * KIB, i % 7);
	return many_run(many, ret, ret_failure, judge_small);
}

static bool run_row(PARAMETERS)
{
	return run_small(test, seed, verbose, ret, ret_failure, 1);
}

static bool run_swarm(PARAMETERS)
{
	return run_small(test, seed, verbose, ret, ret_failure, TW_SESSION_TRANSFERS_MAX);
}

/* 20 Mbit/s are the first one's own; the rest of 100 is left to a worse one. */
static void judge_own_rate(struct many *many)
{
	expect_connections(many, 1);
	expect_took(many, 0, 4 * 1.048576 * 8 / 20, 4 * 1.048576 * 8 / 20 + 0.6);
	expect_took(many, 1, 8 * 1.048576 * 8 / 96, 8 * 1.048576 * 8 / 70 + 0.4);
}

static bool run_own_rate(PARAMETERS)
{
	RUN;

	many_lane(many, 1, 4 * MIB, 0)->max_bps = 20 * MBIT;
	many_lane(many, 1, 8 * MIB, 1);
	order(many, 1, MANY_ADD, 0, 0);
	order(many, 1, MANY_ADD, 1, 0);
	return many_run(many, ret, ret_failure, judge_own_rate);
}

/* One second at full rate, two at 10 Mbit/s, the rest at full rate. */
static void judge_limit(struct many *many)
{
	expect_connections(many, 1);
	expect_took(many, 0, 3.2, 4.4);
}

static bool run_limit(PARAMETERS)
{
	RUN;

	many_lane(many, 1, 20 * MIB, 0);
	order(many, 1, MANY_ADD, 0, 0);
	order(many, TW_SECOND, MANY_LIMIT, 0, 10 * MBIT);
	order(many, 3 * TW_SECOND, MANY_LIMIT, 0, 0);
	return many_run(many, ret, ret_failure, judge_limit);
}

static void five_lanes(struct many *many)
{
	for (unsigned i = 0; i < 5; i++) {
		many_lane(many, 1 + 20 * i, 6 * MIB / (1 + 20 * i), i % 3);
		order(many, 1, MANY_ADD, i, 0);
	}
}

/* Nothing arrives twice but what was on its way when the break came. */
static void judge_break(struct many *many)
{
	uint64_t sent = 0, content = 0;

	for (unsigned i = 0; i < many->lane_count; i++) {
		sent += many->lanes[i].sent_before;
		content += many->lanes[i].content_bytes;
	}
	expect_connections(many, 2);
	if (sent > content + content / 3)
		sim_fail(&many->sim, "%" PRIu64 " bytes sent of %" PRIu64, sent, content);
}

static bool run_lost(PARAMETERS)
{
	RUN;

	five_lanes(many);
	order(many, TW_SECOND, MANY_SILENCE, 0, 40 * TW_SECOND);
	return many_run(many, ret, ret_failure, judge_break);
}

static bool run_restart(PARAMETERS)
{
	RUN;

	five_lanes(many);
	order(many, TW_SECOND, MANY_KILL, 0, 300 * TW_MSEC);
	return many_run(many, ret, ret_failure, judge_break);
}

static bool run_sender_restart(PARAMETERS)
{
	RUN;

	five_lanes(many);
	order(many, TW_SECOND, MANY_KILL_SENDER, 0, 300 * TW_MSEC);
	return many_run(many, ret, ret_failure, judge_break);
}

/* The connection goes when nothing has been sent for long, and another one comes for the next. */
static void judge_idle(struct many *many)
{
	if (many->connections != 2)
		sim_fail(&many->sim, "%u connections, not 2", many->connections);
	expect_took(many, 1, 0.1, 0.5);
}

static bool run_idle(PARAMETERS)
{
	RUN;

	many_lane(many, 1, MIB, 0);
	many_lane(many, 1, MIB, 0);
	many_lane(many, 1, MIB, 0);
	order(many, 1, MANY_ADD, 0, 0);
	order(many, 3 * TW_SECOND, MANY_ADD, 1, 0);
	order(many, 20 * TW_SECOND, MANY_ADD, 2, 0);
	return many_run(many, ret, ret_failure, judge_idle);
}

/* One transfer at once, and another like it @later. */
static void same_again(struct many *many, uint64_t size, tw_ns later)
{
	many_lane(many, 1, size, 0);
	many_lane(many, 1, size, 0);
	order(many, 1, MANY_ADD, 0, 0);
	order(many, later, MANY_ADD, 1, 0);
}

/* A connection that has rested goes on about as fast as a new one begins. */
static void judge_rested(struct many *many)
{
	expect_connections(many, 1);
	expect_took(many, 0, 0.7, 1.5);
	expect_took(many, 1, 0.7, 1.5);
}

static bool run_rested(PARAMETERS)
{
	RUN;

	same_again(many, 8 * MIB, 20 * TW_SECOND);
	return many_run(many, ret, ret_failure, judge_rested);
}

/*
 * The second connection starts from what the first one learned of the path: handshake, first
 * flight, content at its rate, confirmation and the farewell's acknowledgement take 1.08 s. The
 * first needs half a round trip more until it knows as much.
 */
static void judge_known(struct many *many)
{
	double first = many_took(&many->lanes[0]), again = many_took(&many->lanes[1]);

	expect_connections(many, 2);
	if (many->connections != 2)
		sim_fail(&many->sim, "the first connection was still there");
	if (first > 1.25 || again > 1.13 || again > first - 0.05)
		sim_fail(&many->sim, "took %.3f s and again %.3f s", first, again);
}

static bool run_known(PARAMETERS)
{
	RUN;

	same_again(many, 16 * MIB, 60 * TW_SECOND);
	return many_run(many, ret, ret_failure, judge_known);
}

/* A long list of files does not hold up the content of a better one. */
static void judge_list(struct many *many)
{
	expect_connections(many, 1);
	expect_took(many, 2, 1.0, 1.7);
}

static bool run_list(PARAMETERS)
{
	RUN;

	many_lane(many, 1, 512 * KIB, 0); /* the rate is found */
	many_lane(many, 20000, 0, 5);
	many_lane(many, 1, 256 * KIB, 0);
	order(many, 1, MANY_ADD, 0, 0);
	order(many, 4 * TW_SECOND, MANY_ADD, 1, 0);
	order(many, 4200 * TW_MSEC, MANY_ADD, 2, 0);
	return many_run(many, ret, ret_failure, judge_list);
}

/* Anything at any time; when it stops, everything arrives. */
static bool run_history(PARAMETERS)
{
	RUN;
	struct tw_prng prng;
	unsigned lanes;

	tw_prng_init(&prng, seed ^ UINT64_C(0x6d616e79));
	lanes = 2 + (unsigned)tw_prng_below(&prng, 10);
	for (unsigned i = 0; i < lanes; i++) {
		uint64_t size = tw_prng_below(&prng, 3) ? tw_prng_below(&prng, 300 * KIB)
							: tw_prng_below(&prng, 4 * MIB);
		unsigned files = 1 + (unsigned)tw_prng_below(&prng, 20);

		many_lane(many, files, size / files, tw_prng_below(&prng, 4));
		order(many, 1 + tw_prng_below(&prng, 3 * TW_SECOND), MANY_ADD, i, 0);
	}
	for (unsigned i = 0; i < 12; i++) {
		enum many_act act = MANY_PAUSE + (enum many_act)tw_prng_below(&prng, 7);
		tw_ns at = 1 + tw_prng_below(&prng, 8 * TW_SECOND);
		unsigned lane = (unsigned)tw_prng_below(&prng, lanes);
		uint64_t value = tw_prng_below(&prng, 4);

		if (act == MANY_RATE || act == MANY_LIMIT)
			value = MBIT + tw_prng_below(&prng, 50 * MBIT);
		else if (act >= MANY_SILENCE)
			value = 1 + tw_prng_below(&prng, 2 * TW_SECOND);
		order(many, at, act, lane, value);
		if (act == MANY_PAUSE)
			order(many, at + tw_prng_below(&prng, 2 * TW_SECOND), MANY_ADD, lane, 0);
	}
	for (unsigned i = 0; i < lanes; i++) {
		order(many, 10 * TW_SECOND, MANY_ADD, i, 0);
		order(many, 10 * TW_SECOND, MANY_RATE, i, 0);
	}
	order(many, 10 * TW_SECOND, MANY_LIMIT, 0, 0);
	return many_run(many, ret, ret_failure, NULL);
}

static bool run_histories(PARAMETERS)
{
	struct sim_measures got;
	uint64_t sum = 0;

	/* One alone is run again with --seed. */
	for (unsigned i = 0; i < (seed == 1 ? HISTORIES : 1); i++) {
		struct sim_case one = *test;

		one.loss = (seed + i) % 4 ? 0 : 0.05;
		one.lanes = (unsigned)((seed + i) % 3);
		if (!run_history(&one, seed + i, verbose, ret, ret_failure)) {
			printf("# seed %" PRIu64 " of these\n", seed + i);
			return false;
		}
		got = *ret;
		sum = sum * 31 + got.digest;
	}
	ret->digest = sum;
	return true;
}

#define PATH .rate_bps = 100 * MBIT, .rtt = 40 * TW_MSEC, .disks = FAST

const struct sim_case many_cases[] = {
	{ .name = "many: ranks", PATH, .limit = 3800 * TW_MSEC, .run = run_ranks },
	{ .name = "many: paused for a better one",
	  PATH,
	  .limit = 4 * TW_SECOND,
	  .run = run_preemption },
	{ .name = "many: 1000 in a row",
	  .rate_bps = GBIT,
	  .rtt = 2 * TW_MSEC,
	  .disks = FAST,
	  .limit = 12 * TW_SECOND,
	  .run = run_row },
	{ .name = "many: 1000, 64 at a time",
	  .rate_bps = 100 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .loss = 0.01,
	  .disks = FAST,
	  .limit = 8 * TW_SECOND,
	  .run = run_swarm },
	{ .name = "many: a rate of its own", PATH, .limit = 3 * TW_SECOND, .run = run_own_rate },
	{ .name = "many: the receiver's limit", PATH, .limit = 5 * TW_SECOND, .run = run_limit },
	{ .name = "many: connection lost", PATH, .limit = 46 * TW_SECOND, .run = run_lost },
	{ .name = "many: receiver restarts", PATH, .limit = 7 * TW_SECOND, .run = run_restart },
	{ .name = "many: sender restarts",
	  PATH,
	  .limit = 7 * TW_SECOND,
	  .run = run_sender_restart },
	{ .name = "many: a known destination",
	  .rate_bps = 500 * MBIT,
	  .rtt = 200 * TW_MSEC,
	  .disks = FAST,
	  .limit = 67 * TW_SECOND,
	  .run = run_known },
	{ .name = "many: idle",
	  PATH,
	  .limit = 21 * TW_SECOND,
	  .idle_timeout = 5 * TW_SECOND,
	  .run = run_idle },
	{ .name = "many: rested", PATH, .limit = 22 * TW_SECOND, .run = run_rested },
	{ .name = "many: a long list",
	  .rate_bps = 2 * MBIT,
	  .rtt = 40 * TW_MSEC,
	  .disks = FAST,
	  .limit = 9 * TW_SECOND,
	  .run = run_list },
	{ .name = "many: ranks, over three connections",
	  PATH,
	  .lanes = 2,
	  .limit = 3800 * TW_MSEC,
	  .run = run_ranks },
	{ .name = "many: paused for a better one, over three connections",
	  PATH,
	  .lanes = 2,
	  .limit = 4 * TW_SECOND,
	  .run = run_preemption },
	{ .name = "many: 1000, 64 at a time, over three connections",
	  .rate_bps = 100 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .loss = 0.01,
	  .lanes = 2,
	  .disks = FAST,
	  .limit = 10 * TW_SECOND,
	  .run = run_swarm },
	{ .name = "many: a rate of its own, over three connections",
	  PATH,
	  .lanes = 2,
	  .limit = 3 * TW_SECOND,
	  .run = run_own_rate },
	{ .name = "many: connection lost, of three",
	  PATH,
	  .lanes = 2,
	  .limit = 46 * TW_SECOND,
	  .run = run_lost },
	{ .name = "many: receiver restarts, three connections",
	  PATH,
	  .lanes = 2,
	  .limit = 7 * TW_SECOND,
	  .run = run_restart },
	{ .name = "many: sender restarts, three connections",
	  PATH,
	  .lanes = 2,
	  .limit = 7 * TW_SECOND,
	  .run = run_sender_restart },
	{ .name = "many: histories",
	  .rate_bps = 50 * MBIT,
	  .rtt = 30 * TW_MSEC,
	  .disks = FAST,
	  .limit = 60 * TW_SECOND,
	  .run = run_histories },
};

const size_t many_case_count = sizeof(many_cases) / sizeof(many_cases[0]);
