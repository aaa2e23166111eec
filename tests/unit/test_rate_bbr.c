/*
 * The bbr controller in a closed loop over a simulated path (pathsim.h), in virtual time. Each row
 * states what must hold; a controller that becomes slower, greedier or gets stuck makes a row red.
 */
#include "unit.h"

#include <inttypes.h>

#include "pathsim_tcp.h"

#define MBIT UINT64_C(1000000)
#define SEEDS 2

static const struct tw_rate_limits no_limits = { .max_bps = UINT64_MAX };

/* The queue of a row is given in bandwidth-delay products. */
static struct sim_link link_of(uint64_t rate_bps, tw_ns rtt, double queue, double loss)
{
	return (struct sim_link){
		.rate_bps = rate_bps,
		.rtt = rtt,
		.queue_bytes = (uint64_t)((double)tw_rate_bytes(rate_bps, rtt) * queue),
		.loss = loss,
	};
}

static double share(uint64_t bytes, uint64_t rate_bps, tw_ns time)
{
	return (double)bytes / (double)tw_rate_bytes(rate_bps, time);
}

static void report(const char *name, double all, double after, const struct sim *sim)
{
	print_message("# %-32s whole %.3f, after start %.3f, queue median %3u ms, 95 %% %3u ms\n",
		      name, all, after, (unsigned)(sim_queue_quantile(sim, 0.5) / TW_MSEC),
		      (unsigned)(sim_queue_quantile(sim, 0.95) / TW_MSEC));
}

/*
 * One flow on a steady path. Goodput as a share of what the path can deliver: over the whole run,
 * and after the start-up. The queue is the delay that stands (its median) after the start-up.
 */
static const struct steady {
	const char *name;
	uint64_t rate_bps;
	tw_ns rtt;
	double queue, loss, burst;
	bool loss_first;
	tw_ns jitter, bucket;
	double ack_loss;
	uint64_t cross_bps;
	tw_ns run, start;
	double whole_min, after_min, wire_max;
	tw_ns queue_max;
} steady[] = {
	{ .name = "ocean",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 1,
	  .run = 20 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.95,
	  .after_min = 0.98,
	  .wire_max = 1.01,
	  .queue_max = 25 * TW_MSEC },
	{ .name = "ocean, 0.1 % loss",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 1,
	  .loss = 0.001,
	  .run = 20 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.95,
	  .after_min = 0.98,
	  .wire_max = 1.01,
	  .queue_max = 25 * TW_MSEC },
	{ .name = "ocean, 1 % loss",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 1,
	  .loss = 0.01,
	  .run = 20 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.95,
	  .after_min = 0.98,
	  .wire_max = 1.02,
	  .queue_max = 25 * TW_MSEC },
	{ .name = "ocean, 5 % loss",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 1,
	  .loss = 0.05,
	  .run = 20 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.94,
	  .after_min = 0.97,
	  .wire_max = 1.02,
	  .queue_max = 25 * TW_MSEC },
	{ .name = "ocean, 10 % loss",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 1,
	  .loss = 0.1,
	  .run = 20 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.94,
	  .after_min = 0.97,
	  .wire_max = 1.02,
	  .queue_max = 25 * TW_MSEC },
	{ .name = "ocean, 30 % loss",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 1,
	  .loss = 0.3,
	  .run = 20 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.92,
	  .after_min = 0.95,
	  .wire_max = 1.02,
	  .queue_max = 25 * TW_MSEC },
	{ .name = "ocean, 5 % in bursts of 8",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 1,
	  .loss = 0.05,
	  .burst = 8,
	  .run = 20 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.90,
	  .after_min = 0.93,
	  .wire_max = 1.02,
	  .queue_max = 25 * TW_MSEC },
	{ .name = "ocean, 5 % before the bottleneck",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 1,
	  .loss = 0.05,
	  .loss_first = true,
	  .run = 20 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.92,
	  .after_min = 0.95,
	  .wire_max = 1.02,
	  .queue_max = 25 * TW_MSEC },
	{ .name = "ocean, half of the ACKs lost",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 1,
	  .ack_loss = 0.5,
	  .run = 20 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.92,
	  .after_min = 0.95,
	  .wire_max = 1.02,
	  .queue_max = 30 * TW_MSEC },
	{ .name = "ocean, 5 products of queue",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 5,
	  .run = 10 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.90,
	  .after_min = 0.98,
	  .wire_max = 1.01,
	  .queue_max = 25 * TW_MSEC },
	{ .name = "ocean, 0.2 products of queue",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 0.2,
	  .run = 10 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.88,
	  .after_min = 0.95,
	  .wire_max = 1.03,
	  .queue_max = 15 * TW_MSEC },
	{ .name = "ocean, 0.2 products, 1 % loss",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 0.2,
	  .loss = 0.01,
	  .run = 10 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.85,
	  .after_min = 0.93,
	  .wire_max = 1.03,
	  .queue_max = 15 * TW_MSEC },
	{ .name = "wide ocean, 1 % loss",
	  .rate_bps = 1000 * MBIT,
	  .rtt = 200 * TW_MSEC,
	  .queue = 1,
	  .loss = 0.01,
	  .run = 12 * TW_SECOND,
	  .start = 4 * TW_SECOND,
	  .whole_min = 0.80,
	  .after_min = 0.97,
	  .wire_max = 1.03,
	  .queue_max = 50 * TW_MSEC },
	{ .name = "satellite, 10 % in bursts of 3",
	  .rate_bps = 100 * MBIT,
	  .rtt = 300 * TW_MSEC,
	  .queue = 1,
	  .loss = 0.1,
	  .burst = 3,
	  .run = 40 * TW_SECOND,
	  .start = 5 * TW_SECOND,
	  .whole_min = 0.90,
	  .after_min = 0.94,
	  .wire_max = 1.03,
	  .queue_max = 75 * TW_MSEC },
	{ .name = "lan",
	  .rate_bps = 10000 * MBIT,
	  .rtt = 100 * TW_USEC,
	  .queue = 20,
	  .run = TW_SECOND,
	  .start = 100 * TW_MSEC,
	  .whole_min = 0.96,
	  .after_min = 0.97,
	  .wire_max = 1.02,
	  .queue_max = 3 * TW_MSEC },
	{ .name = "metro, 1 % loss",
	  .rate_bps = 10000 * MBIT,
	  .rtt = TW_MSEC,
	  .queue = 1,
	  .loss = 0.01,
	  .run = TW_SECOND,
	  .start = 100 * TW_MSEC,
	  .whole_min = 0.92,
	  .after_min = 0.93,
	  .wire_max = 1.03,
	  .queue_max = 3 * TW_MSEC },
	{ .name = "line",
	  .rate_bps = 10 * MBIT,
	  .rtt = 15 * TW_MSEC,
	  .queue = 1,
	  .run = 20 * TW_SECOND,
	  .start = TW_SECOND,
	  .whole_min = 0.95,
	  .after_min = 0.97,
	  .wire_max = 1.02,
	  .queue_max = 15 * TW_MSEC },
	{ .name = "line, 5 % loss",
	  .rate_bps = 10 * MBIT,
	  .rtt = 15 * TW_MSEC,
	  .queue = 1,
	  .loss = 0.05,
	  .run = 20 * TW_SECOND,
	  .start = TW_SECOND,
	  .whole_min = 0.92,
	  .after_min = 0.93,
	  .wire_max = 1.04,
	  .queue_max = 15 * TW_MSEC },
	{ .name = "policer of 5 ms",
	  .rate_bps = 200 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .bucket = 5 * TW_MSEC,
	  .run = 20 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.90,
	  .after_min = 0.93,
	  .wire_max = 1.06,
	  .queue_max = TW_MSEC },
	{ .name = "policer of 20 ms, 1 % loss",
	  .rate_bps = 200 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .bucket = 20 * TW_MSEC,
	  .loss = 0.01,
	  .run = 20 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.90,
	  .after_min = 0.93,
	  .wire_max = 1.07,
	  .queue_max = TW_MSEC },
	{ .name = "jitter of 10 ms",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 1,
	  .jitter = 10 * TW_MSEC,
	  .run = 20 * TW_SECOND,
	  .start = 3 * TW_SECOND,
	  .whole_min = 0.88,
	  .after_min = 0.92,
	  .wire_max = 1.05,
	  .queue_max = 40 * TW_MSEC },
	{ .name = "jitter of 10 ms, short",
	  .rate_bps = 100 * MBIT,
	  .rtt = 50 * TW_MSEC,
	  .queue = 1,
	  .jitter = 10 * TW_MSEC,
	  .run = 20 * TW_SECOND,
	  .start = 3 * TW_SECOND,
	  .whole_min = 0.80,
	  .after_min = 0.88,
	  .wire_max = 1.06,
	  .queue_max = 40 * TW_MSEC },
	{ .name = "jitter ten times the round trip",
	  .rate_bps = 100 * MBIT,
	  .rtt = 5 * TW_MSEC,
	  .queue = 20,
	  .jitter = 50 * TW_MSEC,
	  .run = 20 * TW_SECOND,
	  .start = 3 * TW_SECOND,
	  .whole_min = 0.40,
	  .after_min = 0.40,
	  .wire_max = 1.6,
	  .queue_max = 100 * TW_MSEC },
	{ .name = "half of it lost",
	  .rate_bps = 100 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 1,
	  .loss = 0.5,
	  .run = 20 * TW_SECOND,
	  .start = 3 * TW_SECOND,
	  .whole_min = 0.93,
	  .after_min = 0.95,
	  .wire_max = 1.04,
	  .queue_max = 40 * TW_MSEC },
	{ .name = "trickle over a satellite",
	  .rate_bps = 256000,
	  .rtt = 600 * TW_MSEC,
	  .queue = 2,
	  .loss = 0.05,
	  .run = 60 * TW_SECOND,
	  .start = 10 * TW_SECOND,
	  .whole_min = 0.85,
	  .after_min = 0.90,
	  .wire_max = 1.1,
	  .queue_max = 900 * TW_MSEC },
	{ .name = "beside deaf traffic",
	  .rate_bps = 500 * MBIT,
	  .rtt = 100 * TW_MSEC,
	  .queue = 2,
	  .cross_bps = 100 * MBIT,
	  .run = 20 * TW_SECOND,
	  .start = 2 * TW_SECOND,
	  .whole_min = 0.92,
	  .after_min = 0.96,
	  .wire_max = 1.02,
	  .queue_max = 40 * TW_MSEC },
};

static void run_steady(struct sim *sim, const struct steady *row, uint64_t seed)
{
	struct sim_link link = link_of(row->rate_bps, row->rtt, row->queue, row->loss);
	uint64_t free_bps =
		tw_rate_scale(row->rate_bps - row->cross_bps, row->loss_first ? 1 : 1 - row->loss);
	uint64_t before, sent_before;
	double whole, after, wire;

	link.burst = row->burst;
	link.loss_first = row->loss_first;
	link.jitter = row->jitter;
	link.bucket_bytes = tw_rate_bytes(row->rate_bps, row->bucket);
	link.ack_loss = row->ack_loss;
	link.cross_bps = row->cross_bps;
	sim_init(sim, &link, 1, &no_limits, seed);
	sim_run(sim, row->start);
	before = sim_received(sim, 0);
	sent_before = sim->flows[0].sent_bytes;
	sim_clear_queue_stats(sim);
	sim_run(sim, row->run);
	whole = share(sim_received(sim, 0), free_bps, row->run);
	after = share(sim_received(sim, 0) - before, free_bps, row->run - row->start);
	wire = (double)(sim->flows[0].sent_bytes - sent_before) * (1 - row->loss) /
	       (double)(sim_received(sim, 0) - before);
	report(row->name, whole, after, sim);
	print_message("# %-32s sent over needed %.3f\n", "", wire);
	if (whole < row->whole_min || after < row->after_min || wire > row->wire_max)
		fail_msg("%s, seed %" PRIu64 ": %.3f of the whole, %.3f after the start, %.3f sent",
			 row->name, seed, whole, after, wire);
	if (sim_queue_quantile(sim, 0.5) > row->queue_max)
		fail_msg("%s, seed %" PRIu64 ": queue", row->name, seed);
	sim_deinit(sim);
}

static void test_steady(void **state)
{
	struct sim *sim = *state;

	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		for (size_t i = 0; i < ARRAY_SIZE(steady); i++)
			run_steady(sim, &steady[i], seed);
}

/*
 * The path changes under a running flow. Within ten round trips of the new path (counted from the
 * end of an outage's silence: the first acknowledgement), and from then on, it must fill the new
 * path.
 */
static const struct change {
	const char *name;
	uint64_t rate_before, rate_after;
	tw_ns rtt_before, rtt_after;
	double queue, loss_before, loss_after;
	tw_ns outage;
	double after_min; /* goodput over the 20 round trips that follow */
	tw_ns queue_max;  /* median in that time */
} changes[] = {
	{ "ten times the rate", 50 * MBIT, 500 * MBIT, 100 * TW_MSEC, 100 * TW_MSEC, 10, 0, 0, 0,
	  0.93, 40 * TW_MSEC },
	{ "ten times the rate, 2 % loss", 50 * MBIT, 500 * MBIT, 100 * TW_MSEC, 100 * TW_MSEC, 10,
	  0.02, 0.02, 0, 0.93, 40 * TW_MSEC },
	{ "a tenth of the rate", 500 * MBIT, 50 * MBIT, 100 * TW_MSEC, 100 * TW_MSEC, 1, 0, 0, 0,
	  0.93, 250 * TW_MSEC },
	{ "a tenth of the rate, 2 % loss", 500 * MBIT, 50 * MBIT, 100 * TW_MSEC, 100 * TW_MSEC, 1,
	  0.02, 0.02, 0, 0.88, 250 * TW_MSEC },
	{ "three times the round trip", 100 * MBIT, 100 * MBIT, 100 * TW_MSEC, 300 * TW_MSEC, 1, 0,
	  0, 0, 0.90, 75 * TW_MSEC },
	{ "a third of the round trip", 100 * MBIT, 100 * MBIT, 150 * TW_MSEC, 50 * TW_MSEC, 1, 0, 0,
	  0, 0.90, 40 * TW_MSEC },
	{ "30 % loss sets in", 200 * MBIT, 200 * MBIT, 100 * TW_MSEC, 100 * TW_MSEC, 1, 0, 0.3, 0,
	  0.90, 50 * TW_MSEC },
	{ "5 s of silence", 500 * MBIT, 500 * MBIT, 100 * TW_MSEC, 100 * TW_MSEC, 1, 0.01, 0.01,
	  5 * TW_SECOND, 0.90, 40 * TW_MSEC },
	{ "5 s, then a fifth of the rate", 500 * MBIT, 100 * MBIT, 100 * TW_MSEC, 100 * TW_MSEC, 1,
	  0, 0, 5 * TW_SECOND, 0.90, 100 * TW_MSEC },
	{ "an hour of silence", 200 * MBIT, 200 * MBIT, 100 * TW_MSEC, 100 * TW_MSEC, 1, 0, 0,
	  3600 * TW_SECOND, 0.90, 40 * TW_MSEC },
};

static void run_change(struct sim *sim, const struct change *row, uint64_t seed)
{
	struct sim_link link =
		link_of(row->rate_before, row->rtt_before, row->queue, row->loss_before);
	uint64_t free_bps = tw_rate_scale(row->rate_after, 1 - row->loss_after), before;
	tw_ns from = 5 * TW_SECOND, span = 20 * row->rtt_after;
	double after;

	sim_init(sim, &link, 1, &no_limits, seed);
	sim_run(sim, from);
	if (row->outage > 0) {
		sim->outage = true;
		sim_run(sim, from + row->outage);
		sim->outage = false;
	}
	sim->link.rate_bps = row->rate_after;
	sim->link.rtt = row->rtt_after;
	sim->link.loss = row->loss_after;
	from = sim->now;
	if (row->outage > 0) {
		/* The first probe that gets through is the caller's timer, not the controller's. */
		before = sim_received(sim, 0);
		while (sim_received(sim, 0) == before && from < sim->now + 3 * TW_SECOND)
			sim_run(sim, from += TW_MSEC);
		assert_true(sim_received(sim, 0) > before);
	}
	from += 10 * tw_ns_max(row->rtt_after, row->rtt_before);
	sim_run(sim, from);
	before = sim_received(sim, 0);
	sim_clear_queue_stats(sim);
	sim_run(sim, from + span);
	after = share(sim_received(sim, 0) - before, free_bps, span);
	report(row->name, after, after, sim);
	if (after < row->after_min)
		fail_msg("%s, seed %" PRIu64 ": %.3f", row->name, seed, after);
	if (sim_queue_quantile(sim, 0.5) > row->queue_max)
		fail_msg("%s, seed %" PRIu64 ": queue", row->name, seed);
	sim_deinit(sim);
}

static void test_changes(void **state)
{
	struct sim *sim = *state;

	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
			run_change(sim, &changes[i], seed);
}

/* Flows that start half a second apart share the path: Jain's index over the time after that. */
static const struct sharing {
	const char *name;
	unsigned flows;
	uint64_t rate_bps;
	tw_ns rtt;
	double queue, loss;
	tw_ns bucket;
	double jain_min, used_min, wire_max;
	tw_ns queue_max;
} sharing[] = {
	{ "two flows", 2, 200 * MBIT, 50 * TW_MSEC, 1, 0, 0, 0.9, 0.95, 1.02, 30 * TW_MSEC },
	{ "four flows", 4, 200 * MBIT, 50 * TW_MSEC, 1, 0, 0, 0.9, 0.95, 1.05, 40 * TW_MSEC },
	{ "four flows, deep queue", 4, 200 * MBIT, 50 * TW_MSEC, 5, 0, 0, 0.89, 0.95, 1.02,
	  40 * TW_MSEC },
	{ "four flows, shallow queue", 4, 200 * MBIT, 50 * TW_MSEC, 0.2, 0, 0, 0.9, 0.95, 1.1,
	  15 * TW_MSEC },
	{ "four flows, 2 % loss", 4, 200 * MBIT, 50 * TW_MSEC, 1, 0.02, 0, 0.9, 0.95, 1.05,
	  40 * TW_MSEC },
	{ "four flows, policer", 4, 200 * MBIT, 50 * TW_MSEC, 0, 0, 10 * TW_MSEC, 0.9, 0.95, 1.5,
	  TW_MSEC },
};

static void run_sharing(struct sim *sim, const struct sharing *row, uint64_t seed)
{
	struct sim_link link = link_of(row->rate_bps, row->rtt, row->queue, row->loss);
	uint64_t before[SIM_FLOWS] = { 0 }, sent = 0;
	double sum = 0, squares = 0, used, wire, jain;
	tw_ns from = 4 * TW_SECOND, until = 34 * TW_SECOND;

	link.bucket_bytes = tw_rate_bytes(row->rate_bps, row->bucket);
	sim_init(sim, &link, row->flows, &no_limits, seed);
	for (unsigned i = 0; i < row->flows; i++)
		sim_start_flow(sim, i, i * TW_SECOND / 2);
	sim_run(sim, from);
	for (unsigned i = 0; i < row->flows; i++) {
		before[i] = sim_received(sim, i);
		sent -= sim->flows[i].sent_bytes;
	}
	sim_clear_queue_stats(sim);
	sim_run(sim, until);
	for (unsigned i = 0; i < row->flows; i++) {
		double got = (double)(sim_received(sim, i) - before[i]);

		sent += sim->flows[i].sent_bytes;
		sum += got;
		squares += got * got;
	}
	used = sum / ((double)tw_rate_bytes(row->rate_bps, until - from) * (1 - row->loss));
	wire = (double)sent * (1 - row->loss) / sum;
	jain = sum * sum / (row->flows * squares);
	report(row->name, used, used, sim);
	print_message("# %-32s sent over needed %.3f, Jain's index %.3f\n", "", wire, jain);
	if (jain < row->jain_min || used < row->used_min || wire > row->wire_max)
		fail_msg("%s, seed %" PRIu64 ": Jain's index %.3f, %.3f used, %.3f sent", row->name,
			 seed, jain, used, wire);
	if (sim_queue_quantile(sim, 0.5) > row->queue_max)
		fail_msg("%s, seed %" PRIu64 ": queue", row->name, seed);
	sim_deinit(sim);
}

static void test_sharing(void **state)
{
	struct sim *sim = *state;

	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		for (size_t i = 0; i < ARRAY_SIZE(sharing); i++)
			run_sharing(sim, &sharing[i], seed);
}

/* One flow of ours beside one of TCP's kind: neither may be starved. */
static const struct neighbour {
	const char *name;
	uint64_t rate_bps;
	tw_ns rtt;
	double queue;
	double ours_min, ours_max;
} neighbours[] = {
	{ "cubic, half a product of queue", 100 * MBIT, 40 * TW_MSEC, 0.5, 0.3, 0.92 },
	{ "cubic, one product", 100 * MBIT, 40 * TW_MSEC, 1, 0.1, 0.9 },
	{ "cubic, two products", 100 * MBIT, 40 * TW_MSEC, 2, 0.3, 0.8 },
	{ "cubic, four products", 100 * MBIT, 40 * TW_MSEC, 4, 0.2, 0.8 },
};

static void run_neighbour(struct sim *sim, const struct neighbour *row, uint64_t seed)
{
	struct sim_link link = link_of(row->rate_bps, row->rtt, row->queue, 0);
	uint64_t ours, theirs;
	double part;

	sim_init(sim, &link, 2, &no_limits, seed);
	sim_begin_tcp(sim, 1, &cubic_ops, 0);
	sim_start_flow(sim, 0, 2 * TW_SECOND);
	sim_run(sim, 10 * TW_SECOND);
	ours = sim_received(sim, 0);
	theirs = sim_received(sim, 1);
	sim_clear_queue_stats(sim);
	sim_run(sim, 70 * TW_SECOND);
	ours = sim_received(sim, 0) - ours;
	theirs = sim_received(sim, 1) - theirs;
	part = (double)ours / (double)(ours + theirs);
	report(row->name, part, share(ours + theirs, row->rate_bps, 60 * TW_SECOND), sim);
	if (part < row->ours_min || part > row->ours_max)
		fail_msg("%s, seed %" PRIu64 ": we take %.3f", row->name, seed, part);
	sim_deinit(sim);
}

static void test_neighbours(void **state)
{
	struct sim *sim = *state;

	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		for (size_t i = 0; i < ARRAY_SIZE(neighbours); i++)
			run_neighbour(sim, &neighbours[i], seed);
}

/* The maximum holds at every moment, and a maximum that is lifted is used within ten round trips.
 */
static void test_maximum(void **state)
{
	struct tw_rate_limits limits = { .max_bps = 40 * MBIT };
	struct sim_link link = link_of(400 * MBIT, 50 * TW_MSEC, 1, 0.01);
	struct sim *sim = *state;
	struct sim_flow *flow = &sim->flows[0];
	uint64_t sent = 0, before;

	sim_init(sim, &link, 1, &limits, 1);
	before = 0;
	for (tw_ns now = 100 * TW_MSEC; now <= 5 * TW_SECOND; now += 100 * TW_MSEC) {
		sim_run(sim, now);
		assert_true(flow->sent_bytes - sent <=
			    tw_rate_bytes(40 * MBIT, 101 * TW_MSEC) + 2 * SIM_DATAGRAM);
		sent = flow->sent_bytes;
		if (now == TW_SECOND)
			before = sim_received(sim, 0);
	}
	assert_true(share(sim_received(sim, 0) - before, 40 * MBIT, 4 * TW_SECOND) > 0.97);
	limits.max_bps = UINT64_MAX;
	tw_rate_controller_set(&flow->controller, TW_RATE_BBR, &limits, &flow->path, sim->now);
	sim_run(sim, 5500 * TW_MSEC);
	before = sim_received(sim, 0);
	sim_run(sim, 6500 * TW_MSEC);
	assert_true(share(sim_received(sim, 0) - before, 396 * MBIT, TW_SECOND) > 0.9);
	sim_deinit(sim);
}

/* A NAT that gives a new address every two seconds, on a path that stays what it is. */
static void test_rebinding(void **state)
{
	struct sim_link link = link_of(200 * MBIT, 50 * TW_MSEC, 1, 0.01);
	struct sim *sim = *state;
	struct sim_flow *flow = &sim->flows[0];
	uint64_t before;

	sim_init(sim, &link, 1, &no_limits, 1);
	sim_run(sim, 3 * TW_SECOND);
	before = sim_received(sim, 0);
	for (unsigned i = 0; i < 6; i++) {
		tw_path_model_reset(&flow->path, sim->now);
		tw_rate_controller_path_changed(&flow->controller, &flow->path, sim->now);
		sim_run(sim, sim->now + 2 * TW_SECOND);
	}
	assert_true(share(sim_received(sim, 0) - before, 198 * MBIT, 12 * TW_SECOND) > 0.9);
	sim_deinit(sim);
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

/*
 * A sender that gets the processor late cannot pace as it means to. What it sent too slowly says
 * nothing about the path: the rate must not follow its own lateness down.
 */
static void test_busy_machine(void **state)
{
	static const struct {
		tw_ns late;
		double share_min;
	} cases[] = {
		{ TW_MSEC, 0.98 },
		{ 4 * TW_MSEC, 0.97 },
		{ 10 * TW_MSEC, 0.95 },
		{ 30 * TW_MSEC, 0.90 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sim_link link = link_of(200 * MBIT, 50 * TW_MSEC, 1, 0);
		static struct sim sim;
		uint64_t before;
		double got;

		sim_init(&sim, &link, 1, &no_limits, 7);
		sim.flows[0].late = cases[i].late;
		sim_run(&sim, 5 * TW_SECOND);
		before = sim.flows[0].delivered;
		sim_run(&sim, 25 * TW_SECOND);
		got = share(sim.flows[0].delivered - before, link.rate_bps, 20 * TW_SECOND);
		print_message("# up to %u ms late: %.3f\n", (unsigned)(cases[i].late / TW_MSEC),
			      got);
		assert_true(got >= cases[i].share_min);
		sim_deinit(&sim);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_busy_machine), cmocka_unit_test(test_steady),
		cmocka_unit_test(test_changes),      cmocka_unit_test(test_sharing),
		cmocka_unit_test(test_neighbours),   cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_rebinding),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
