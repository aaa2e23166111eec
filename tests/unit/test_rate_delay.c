/*
 * The controllers `delay` and `ledbat` in a closed loop over a simulated path (pathsim.h), in
 * virtual time. Each row states what must hold.
 */
#include "unit.h"

#include <inttypes.h>

#include "pathsim_tcp.h"

#define MBIT UINT64_C(1000000)
#define SEEDS 2
#define LOSSY_SEEDS 4
#define BURST_SEEDS 8

static const struct tw_rate_limits no_limits = { .max_bps = UINT64_MAX };

static struct sim_link link_of(uint64_t rate_bps, tw_ns rtt, double queue, double loss)
{
	return (struct sim_link){
		.rate_bps = rate_bps,
		.rtt = rtt,
		.queue_bytes = (uint64_t)((double)tw_rate_bytes(rate_bps, rtt) * queue),
		.loss = loss,
	};
}

static void begin(struct sim *sim, const struct sim_link *link, unsigned flows, uint64_t seed)
{
	sim_init(sim, link, flows, &no_limits, seed);
	for (unsigned i = 0; i < flows; i++)
		sim->flows[i].send_at = TW_NEVER;
}

/* One flow: goodput over the whole run as a share of what there is, the queue that stands. */
static const struct alone {
	const char *name;
	enum tw_rate_method method;
	uint64_t rate_bps;
	tw_ns rtt;
	double queue, loss;
	tw_ns run;
	double whole_min;
	tw_ns queue_max; /* median */
} alone[] = {
	{ "delay, ocean", TW_RATE_DELAY, 500 * MBIT, 100 * TW_MSEC, 1, 0, 20 * TW_SECOND, 0.96,
	  25 * TW_MSEC },
	{ "delay, deep buffer", TW_RATE_DELAY, 500 * MBIT, 100 * TW_MSEC, 5, 0, 20 * TW_SECOND,
	  0.96, 25 * TW_MSEC },
	{ "delay, shallow buffer", TW_RATE_DELAY, 500 * MBIT, 100 * TW_MSEC, 0.2, 0, 20 * TW_SECOND,
	  0.93, 20 * TW_MSEC },
	{ "delay, 5 % loss", TW_RATE_DELAY, 500 * MBIT, 100 * TW_MSEC, 1, 0.05, 20 * TW_SECOND,
	  0.94, 25 * TW_MSEC },
	{ "delay, 30 % loss", TW_RATE_DELAY, 500 * MBIT, 100 * TW_MSEC, 1, 0.3, 20 * TW_SECOND,
	  0.88, 30 * TW_MSEC },
	{ "delay, wide ocean, 1 % loss", TW_RATE_DELAY, 1000 * MBIT, 200 * TW_MSEC, 1, 0.01,
	  12 * TW_SECOND, 0.90, 50 * TW_MSEC },
	{ "delay, line", TW_RATE_DELAY, 10 * MBIT, 15 * TW_MSEC, 1, 0, 20 * TW_SECOND, 0.92,
	  15 * TW_MSEC },
	{ "ledbat, line", TW_RATE_LEDBAT, 10 * MBIT, 15 * TW_MSEC, 1, 0, 20 * TW_SECOND, 0.6,
	  12 * TW_MSEC },
	{ "ledbat, ocean", TW_RATE_LEDBAT, 100 * MBIT, 100 * TW_MSEC, 1, 0, 30 * TW_SECOND, 0.55,
	  15 * TW_MSEC },
	{ "ledbat, shallow buffer", TW_RATE_LEDBAT, 500 * MBIT, 100 * TW_MSEC, 0.2, 0,
	  20 * TW_SECOND, 0.75, 15 * TW_MSEC },
	{ "ledbat, slow, 1 % loss", TW_RATE_LEDBAT, 10 * MBIT, 15 * TW_MSEC, 1, 0.01,
	  20 * TW_SECOND, 0.55, 12 * TW_MSEC },
	{ "ledbat, fast ocean", TW_RATE_LEDBAT, 500 * MBIT, 100 * TW_MSEC, 1, 0, 20 * TW_SECOND,
	  0.75, 20 * TW_MSEC },
};

static void test_alone(void **state)
{
	struct sim *sim = *state;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		for (size_t i = 0; i < ARRAY_SIZE(alone); i++) {
			const struct alone *row = &alone[i];
			struct sim_link link =
				link_of(row->rate_bps, row->rtt, row->queue, row->loss);
			uint64_t free_bytes = tw_rate_bytes(
				tw_rate_scale(row->rate_bps, 1 - row->loss), row->run);
			double whole;

			begin(sim, &link, 1, seed);
			sim_begin_flow(sim, 0, row->method, &no_limits, 0);
			sim_run(sim, row->run / 5);
			sim_clear_queue_stats(sim);
			sim_run(sim, row->run);
			whole = (double)sim_received(sim, 0) / (double)free_bytes;
			print_message("# %-28s whole %.3f, queue median %u ms\n", row->name, whole,
				      (unsigned)(sim_queue_quantile(sim, 0.5) / TW_MSEC));
			if (whole < row->whole_min || sim_queue_quantile(sim, 0.5) > row->queue_max)
				fail_msg("%s, seed %" PRIu64 ": %.3f", row->name, seed, whole);
			sim_deinit(sim);
		}
	}
}

/* Beside one of TCP's cubic: our part of what both got in a minute, whoever was first. */
static const struct beside {
	const char *name;
	enum tw_rate_method method;
	uint64_t rate_bps;
	tw_ns rtt;
	double queue, ours_min, ours_max;
} beside[] = {
	{ "delay, 100 Mbit/s, 100 ms", TW_RATE_DELAY, 100 * MBIT, 100 * TW_MSEC, 1, 0.25, 0.75 },
	{ "delay, 100 Mbit/s, 40 ms", TW_RATE_DELAY, 100 * MBIT, 40 * TW_MSEC, 1, 0.25, 0.75 },
	{ "delay, 2 products", TW_RATE_DELAY, 100 * MBIT, 100 * TW_MSEC, 2, 0.25, 0.75 },
	{ "ledbat, 100 Mbit/s, 100 ms", TW_RATE_LEDBAT, 100 * MBIT, 100 * TW_MSEC, 1, 0, 0.1 },
	{ "ledbat, 100 Mbit/s, 40 ms", TW_RATE_LEDBAT, 100 * MBIT, 40 * TW_MSEC, 1, 0, 0.1 },
	{ "ledbat, 2 products", TW_RATE_LEDBAT, 100 * MBIT, 100 * TW_MSEC, 2, 0, 0.1 },
	{ "ledbat, a half, far", TW_RATE_LEDBAT, 100 * MBIT, 100 * TW_MSEC, 0.5, 0, 0.05 },
	{ "ledbat, a fifth, far", TW_RATE_LEDBAT, 100 * MBIT, 100 * TW_MSEC, 0.2, 0, 0.1 },
	{ "ledbat, a fifth", TW_RATE_LEDBAT, 100 * MBIT, 40 * TW_MSEC, 0.2, 0, 0.1 },
	{ "ledbat, a fifth, slow", TW_RATE_LEDBAT, 20 * MBIT, 20 * TW_MSEC, 0.2, 0, 0.1 },
	{ "ledbat, a fifth, fast", TW_RATE_LEDBAT, 200 * MBIT, 20 * TW_MSEC, 0.2, 0, 0.1 },
};

static void test_beside_tcp(void **state)
{
	struct sim *sim = *state;

	for (unsigned first = 0; first < 2; first++) {
		for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
			const struct beside *row = &beside[i];
			struct sim_link link = link_of(row->rate_bps, row->rtt, row->queue, 0);
			uint64_t ours, theirs;
			double part;

			begin(sim, &link, 2, 1);
			if (first == 0)
				sim_begin_flow(sim, 0, row->method, &no_limits, 0);
			else
				sim_begin_tcp(sim, 1, &cubic_ops, 0);
			sim_run(sim, 2 * TW_SECOND);
			if (first == 0)
				sim_begin_tcp(sim, 1, &cubic_ops, sim->now);
			else
				sim_begin_flow(sim, 0, row->method, &no_limits, sim->now);
			sim_run(sim, 12 * TW_SECOND);
			ours = sim_received(sim, 0);
			theirs = sim_received(sim, 1);
			sim_run(sim, 72 * TW_SECOND);
			ours = sim_received(sim, 0) - ours;
			theirs = sim_received(sim, 1) - theirs;
			part = (double)ours / (double)(ours + theirs);
			print_message("# %-28s %s: we take %.3f\n", row->name,
				      first ? "TCP first" : "we first", part);
			if (part < row->ours_min || part > row->ours_max)
				fail_msg("%s: we take %.3f", row->name, part);
			sim_deinit(sim);
		}
	}
}

/* Two to eight that start within a round trip: Jain's index of round trips 21 to 40. */
static void test_alike(void **state)
{
	static const unsigned counts[] = { 2, 3, 4, 6, 8 };
	static const double least[] = { 0.97, 0.96, 0.96, 0.95, 0.95 };
	struct sim_link link = link_of(200 * MBIT, 50 * TW_MSEC, 1, 0);
	struct sim *sim = *state;

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		double index = 0;

		for (uint64_t seed = 1; seed <= 3; seed++) {
			uint64_t before[SIM_FLOWS];
			double sum = 0, squares = 0;

			begin(sim, &link, counts[i], seed);
			for (unsigned flow = 0; flow < counts[i]; flow++)
				sim_begin_flow(sim, flow, TW_RATE_DELAY, &no_limits,
					       tw_prng_below(&sim->prng, link.rtt));
			sim_run(sim, 20 * link.rtt);
			for (unsigned flow = 0; flow < counts[i]; flow++)
				before[flow] = sim_received(sim, flow);
			sim_run(sim, 40 * link.rtt);
			for (unsigned flow = 0; flow < counts[i]; flow++) {
				double got = (double)(sim_received(sim, flow) - before[flow]);

				sum += got;
				squares += got * got;
			}
			index += sum * sum / (counts[i] * squares) / 3;
			sim_deinit(sim);
		}
		print_message("# %u flows: Jain's index %.3f\n", counts[i], index);
		if (index < least[i])
			fail_msg("%u flows: Jain's index %.3f", counts[i], index);
	}
}

/* A path that changes: goodput in round trips 11 to 30 of the new one. */
static const struct change {
	const char *name;
	uint64_t rate_before, rate_after;
	tw_ns rtt_before, rtt_after, outage;
	double queue, after_min;
} changes[] = {
	{ "ten times the rate", 50 * MBIT, 500 * MBIT, 100 * TW_MSEC, 100 * TW_MSEC, 0, 10, 0.95 },
	{ "a tenth of the rate", 500 * MBIT, 50 * MBIT, 100 * TW_MSEC, 100 * TW_MSEC, 0, 1, 0.85 },
	{ "three times the round trip", 100 * MBIT, 100 * MBIT, 100 * TW_MSEC, 300 * TW_MSEC, 0, 1,
	  0.8 },
	{ "a third of the round trip", 100 * MBIT, 100 * MBIT, 150 * TW_MSEC, 50 * TW_MSEC, 0, 1,
	  0.85 },
	{ "5 s of silence", 200 * MBIT, 200 * MBIT, 100 * TW_MSEC, 100 * TW_MSEC, 5 * TW_SECOND, 1,
	  0.9 },
	{ "silence, then five times the rate", 100 * MBIT, 500 * MBIT, 100 * TW_MSEC, 100 * TW_MSEC,
	  5 * TW_SECOND, 5, 0.9 },
};

static void test_changes(void **state)
{
	struct sim *sim = *state;

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		const struct change *row = &changes[i];
		struct sim_link link = link_of(row->rate_before, row->rtt_before, row->queue, 0);
		uint64_t before;
		double after;

		begin(sim, &link, 1, 1);
		sim_begin_flow(sim, 0, TW_RATE_DELAY, &no_limits, 0);
		sim_run(sim, 5 * TW_SECOND);
		sim->outage = row->outage > 0;
		sim_run(sim, sim->now + row->outage);
		sim->outage = false;
		sim->link.rate_bps = row->rate_after;
		sim->link.rtt = row->rtt_after;
		before = sim->flows[0].delivered;
		while (row->outage > 0 && sim->flows[0].delivered == before)
			sim_run(sim, sim->now + TW_MSEC);
		sim_run(sim, sim->now + 10 * tw_ns_max(row->rtt_after, row->rtt_before));
		before = sim_received(sim, 0);
		sim_run(sim, sim->now + 20 * row->rtt_after);
		after = (double)(sim_received(sim, 0) - before) /
			(double)tw_rate_bytes(row->rate_after, 20 * row->rtt_after);
		print_message("# %-28s %.3f\n", row->name, after);
		if (after < row->after_min)
			fail_msg("%s: %.3f", row->name, after);
		sim_deinit(sim);
	}
}

/*
 * What is lost without a queue to be seen: one flow and four behind a policer, and four in a buffer
 * of a fifth of a product. Bytes sent over bytes that arrive: on average, and a tenth more in any
 * one run.
 */
static const struct lossy {
	const char *name;
	unsigned flows;
	tw_ns bucket;
	double queue, sent_max, used_min;
} lossy[] = {
	{ "policer", 1, 5 * TW_MSEC, 1, 1.12, 0.95 },
	{ "four behind a policer", 4, 10 * TW_MSEC, 1, 1.3, 0.97 },
	{ "four in a short buffer", 4, 0, 0.2, 1.15, 0.95 },
};

static double run_lossy(struct sim *sim, const struct lossy *row, uint64_t seed)
{
	struct sim_link link = link_of(200 * MBIT, 50 * TW_MSEC, row->queue, 0);
	uint64_t sent = 0, got = 0;
	double used, over;

	link.bucket_bytes = tw_rate_bytes(link.rate_bps, row->bucket);
	begin(sim, &link, row->flows, seed);
	for (unsigned flow = 0; flow < row->flows; flow++)
		sim_begin_flow(sim, flow, TW_RATE_DELAY, &no_limits,
			       tw_prng_below(&sim->prng, link.rtt));
	sim_run(sim, 20 * TW_SECOND);
	for (unsigned flow = 0; flow < row->flows; flow++) {
		sent += sim->flows[flow].sent_bytes;
		got += sim_received(sim, flow);
	}
	over = (double)sent / (double)got;
	used = (double)got / (double)tw_rate_bytes(link.rate_bps, 20 * TW_SECOND);
	print_message("# %-28s sent %.3f, used %.3f\n", row->name, over, used);
	if (over > row->sent_max + 0.1 || used < row->used_min)
		fail_msg("%s, seed %" PRIu64 ": sent %.3f, used %.3f", row->name, seed, over, used);
	sim_deinit(sim);
	return over;
}

static void test_lossy(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(lossy); i++) {
		double sum = 0;

		for (uint64_t seed = 1; seed <= LOSSY_SEEDS; seed++)
			sum += run_lossy(*state, &lossy[i], seed);
		if (sum > LOSSY_SEEDS * lossy[i].sent_max)
			fail_msg("%s: sent %.3f", lossy[i].name, sum / LOSSY_SEEDS);
	}
}

/* `ledbat` doubles again after a silence, whatever was lost with it. */
static void test_ledbat_silence(void **state)
{
	struct sim_link link = link_of(200 * MBIT, 100 * TW_MSEC, 1, 0);
	struct sim *sim = *state;
	uint64_t before;
	double part;

	begin(sim, &link, 1, 1);
	sim_begin_flow(sim, 0, TW_RATE_LEDBAT, &no_limits, 0);
	sim_run(sim, 5 * TW_SECOND);
	sim->outage = true;
	sim_run(sim, sim->now + 5 * TW_SECOND);
	sim->outage = false;
	before = sim->flows[0].delivered;
	while (sim->flows[0].delivered == before && sim->now < 60 * TW_SECOND)
		sim_run(sim, sim->now + TW_MSEC);
	sim_run(sim, sim->now + 20 * link.rtt);
	before = sim_received(sim, 0);
	sim_run(sim, sim->now + 20 * link.rtt);
	part = (double)(sim_received(sim, 0) - before) /
	       (double)tw_rate_bytes(link.rate_bps, 20 * link.rtt);
	print_message("# ledbat, round trips 21 to 40 after a silence: %.3f\n", part);
	assert_true(part > 0.4);
	sim_deinit(sim);
}

/*
 * A line that loses a tenth in bursts of five, whatever is sent: 128 MiB over 100 Mbit/s and 300
 * ms, the start included, as a part of what there is. Chance may cost a single run a little.
 */
static void test_bursts(void **state)
{
	const uint64_t size = UINT64_C(128) << 20;
	struct sim_link link = link_of(100 * MBIT, 300 * TW_MSEC, 1, 0.1);
	struct sim *sim = *state;
	double sum = 0;

	link.burst = 5;
	for (uint64_t seed = 1; seed <= BURST_SEEDS; seed++) {
		double part;

		begin(sim, &link, 1, seed);
		sim_begin_flow(sim, 0, TW_RATE_DELAY, &no_limits, 0);
		while (sim_received(sim, 0) < size && sim->now < 30 * TW_SECOND)
			sim_run(sim, sim->now + 10 * TW_MSEC);
		part = (double)sim_received(sim, 0) /
		       ((1 - link.loss) * (double)tw_rate_bytes(link.rate_bps, sim->now));
		print_message("# bursts, seed %" PRIu64 ": %.3f\n", seed, part);
		if (part < 0.86)
			fail_msg("seed %" PRIu64 ": %.3f", seed, part);
		sum += part / BURST_SEEDS;
		sim_deinit(sim);
	}
	if (sum < 0.92)
		fail_msg("on average %.3f", sum);
}

/* Seconds until 25 MB have arrived at 500 Mbit/s and 100 ms, and the most of a queue on the way. */
static double fetch(struct sim *sim, enum tw_rate_method method, const struct tw_rate_hint *hint,
		    uint64_t rate_bps, tw_ns *ret_queue)
{
	struct sim_link link = link_of(rate_bps, 100 * TW_MSEC, 1, 0);
	double seconds;

	begin(sim, &link, 1, 1);
	sim_begin_flow(sim, 0, method, &no_limits, 0);
	tw_rate_controller_hint(&sim->flows[0].controller, hint, &sim->flows[0].path, 0);
	while (sim_received(sim, 0) < 25000000 && sim->now < 60 * TW_SECOND)
		sim_run(sim, sim->now + TW_MSEC);
	seconds = (double)sim->now / (double)TW_SECOND;
	*ret_queue = sim_queue_quantile(sim, 0.99);
	sim_deinit(sim);
	return seconds;
}

/*
 * What is remembered is used when it fits, and harms little when it is wrong: too old, of another
 * path, or of a path that has a tenth of that rate now.
 */
static void test_resume(void **state)
{
	static const enum tw_rate_method methods[] = { TW_RATE_BBR, TW_RATE_DELAY };
	const struct tw_rate_hint none = { 0 };
	const struct tw_rate_hint right = { 480 * MBIT, 100 * TW_MSEC, 60 * TW_SECOND };
	struct tw_rate_hint old = right, other = right;
	struct sim *sim = *state;
	tw_ns queue, queue_without;

	old.age = 2 * TW_RATE_HINT_AGE_MAX;
	other.rtt_min = 10 * TW_MSEC;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		double without = fetch(sim, methods[i], &none, 500 * MBIT, &queue_without);
		double with = fetch(sim, methods[i], &right, 500 * MBIT, &queue);
		double slow = fetch(sim, methods[i], &none, 50 * MBIT, &queue_without);
		double wrong = fetch(sim, methods[i], &right, 50 * MBIT, &queue);

		print_message("# %s: %.2f s, resumed %.2f s; at a tenth %.2f s and %.2f s\n",
			      tw_rate_method_name(methods[i]), without, with, slow, wrong);
		/* The start of `delay` is there as soon. */
		assert_true(with <= without + (methods[i] == TW_RATE_DELAY ? 0.02 : -0.02));
		assert_true(wrong <= 1.2 * slow);
		assert_true(fetch(sim, methods[i], &old, 500 * MBIT, &queue) == without);
		assert_true(fetch(sim, methods[i], &other, 500 * MBIT, &queue) == without);
	}
}

/*
 * Maximum and minimum hold at every moment for every method, whatever is lost: at most a train and
 * what a timer may catch up above the one, and the other within a tenth of a second.
 */
static void test_limits(void **state)
{
	static const struct tw_rate_limits limits = { .rate_bps = 60 * MBIT,
						      .min_bps = 20 * MBIT,
						      .max_bps = 40 * MBIT };
	struct sim_link slow = link_of(10 * MBIT, 50 * TW_MSEC, 1, 0.2),
			wide = link_of(400 * MBIT, 50 * TW_MSEC, 1, 0.2);
	struct sim *sim = *state;

	for (unsigned method = 0; method < TW_RATE_METHOD_COUNT; method++) {
		for (unsigned i = 0; i < 2; i++) {
			struct sim_flow *flow = &sim->flows[0];
			uint64_t sent = 0;

			begin(sim, i ? &wide : &slow, 1, 1);
			sim_begin_flow(sim, 0, (enum tw_rate_method)method, &limits, 0);
			for (tw_ns now = 100 * TW_MSEC; now <= 5 * TW_SECOND;
			     now += 100 * TW_MSEC) {
				sim_run(sim, now);
				sent = flow->sent_bytes - sent;
				assert_true(sent <= tw_rate_bytes(40 * MBIT, 101 * TW_MSEC) +
							    2 * SIM_DATAGRAM);
				if (now > TW_SECOND)
					assert_true(sent >= tw_rate_bytes(20 * MBIT, 90 * TW_MSEC));
				sent = flow->sent_bytes;
			}
			sim_deinit(sim);
		}
	}
}

static int set_up(void **state)
{
	*state = malloc(sizeof(struct sim));
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),          cmocka_unit_test(test_beside_tcp),
		cmocka_unit_test(test_alike),          cmocka_unit_test(test_changes),
		cmocka_unit_test(test_ledbat_silence), cmocka_unit_test(test_lossy),
		cmocka_unit_test(test_bursts),         cmocka_unit_test(test_resume),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
