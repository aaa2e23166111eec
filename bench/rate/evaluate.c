/*
 * evaluate.c - all rate controllers over simulated paths, as Markdown tables: one flow on steady
 * and on changing paths, flows of one kind among themselves, one flow beside TCP's, short
 * transfers. The list follows RFC 9743. Virtual time, the same figures on every machine.
 *
 *     rate-evaluate [section...] [controller...]
 *                                 sections: steady changes sharing neighbours short; default: all
 *
 * Every figure is the median of SEEDS runs. `fixed` is given what an operator who knows the path
 * would give: 95 % of its rate, and of a flow's fair part of it where several share it.
 */
#include <stdio.h>

#include "pathsim_tcp.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define MBIT UINT64_C(1000000)
#define SEEDS 3

static struct sim *sim;
static enum tw_rate_method methods[TW_RATE_METHOD_COUNT]; /* that are shown */
static unsigned method_count;

static struct sim_link link_of(uint64_t rate_bps, tw_ns rtt, double queue)
{
	return (struct sim_link){
		.rate_bps = rate_bps,
		.rtt = rtt,
		.queue_bytes = (uint64_t)((double)tw_rate_bytes(rate_bps, rtt) * queue),
	};
}

static double share(uint64_t bytes, uint64_t rate_bps, tw_ns time)
{
	return (double)bytes / (double)tw_rate_bytes(rate_bps, time);
}

static struct tw_rate_limits limits_for(enum tw_rate_method method, uint64_t fair_bps)
{
	return (struct tw_rate_limits){
		.rate_bps = method == TW_RATE_FIXED ? tw_rate_scale(fair_bps, 0.95) : 0,
		.max_bps = UINT64_MAX,
	};
}

static int ascending(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static double median(double values[SEEDS])
{
	qsort(values, SEEDS, sizeof(*values), ascending);
	return values[SEEDS / 2];
}

static void print_head(const char *first)
{
	printf("| %s |", first);
	for (unsigned i = 0; i < method_count; i++)
		printf(" %s |", tw_rate_method_name(methods[i]));
	printf("\n|---|");
	for (unsigned i = 0; i < method_count; i++)
		printf("---|");
	printf("\n");
}

static double queue_ms(double quantile)
{
	return (double)sim_queue_quantile(sim, quantile) / (double)TW_MSEC;
}

/* --- one flow, a steady path --- */

static const struct steady {
	const char *name;
	struct sim_link link;
	double queue; /* products */
	tw_ns bucket, run, start;
} steady[] = {
#define PATH(mbit, ms, ...) \
	{ \
		.rate_bps = (uint64_t)((mbit)*1e6), .rtt = (tw_ns)((ms)*1e6), __VA_ARGS__ \
	}
	{ "500 Mbit/s, 100 ms", PATH(500, 100, ), 1, 0, 20, 2 },
	{ "0.1 % loss", PATH(500, 100, .loss = 0.001), 1, 0, 20, 2 },
	{ "1 % loss", PATH(500, 100, .loss = 0.01), 1, 0, 20, 2 },
	{ "5 % loss", PATH(500, 100, .loss = 0.05), 1, 0, 20, 2 },
	{ "30 % loss", PATH(500, 100, .loss = 0.3), 1, 0, 20, 2 },
	{ "5 % loss, bursts of 8", PATH(500, 100, .loss = 0.05, .burst = 8), 1, 0, 20, 2 },
	{ "5 % loss before the bottleneck", PATH(500, 100, .loss = 0.05, .loss_first = true), 1, 0,
	  20, 2 },
	{ "half of the acknowledgements lost", PATH(500, 100, .ack_loss = 0.5), 1, 0, 20, 2 },
	{ "buffer of 0.2 products", PATH(500, 100, ), 0.2, 0, 20, 2 },
	{ "buffer of 0.2 products, 1 % loss", PATH(500, 100, .loss = 0.01), 0.2, 0, 20, 2 },
	{ "buffer of 0.5 products", PATH(500, 100, ), 0.5, 0, 20, 2 },
	{ "buffer of 2 products", PATH(500, 100, ), 2, 0, 20, 2 },
	{ "buffer of 5 products", PATH(500, 100, ), 5, 0, 20, 2 },
	{ "CoDel of 5 ms", PATH(500, 100, .codel = 5 * TW_MSEC), 2, 0, 20, 2 },
	{ "beside 100 Mbit/s that do not react", PATH(500, 100, .cross_bps = 100 * MBIT), 2, 0, 20,
	  2 },
	{ "1 Gbit/s, 200 ms, 1 % loss", PATH(1000, 200, .loss = 0.01), 1, 0, 12, 4 },
	{ "100 Mbit/s, 300 ms, 10 % loss, bursts of 3", PATH(100, 300, .loss = 0.1, .burst = 3), 1,
	  0, 40, 5 },
	{ "100 Mbit/s, 100 ms, 50 % loss", PATH(100, 100, .loss = 0.5), 1, 0, 20, 3 },
	{ "10 Gbit/s, 1 ms, 1 % loss", PATH(10000, 1, .loss = 0.01), 1, 0, 1, 0 },
	{ "10 Gbit/s, 0.1 ms", PATH(10000, 0.1, ), 20, 0, 1, 0 },
	{ "10 Mbit/s, 15 ms", PATH(10, 15, ), 1, 0, 20, 1 },
	{ "10 Mbit/s, 15 ms, 5 % loss", PATH(10, 15, .loss = 0.05), 1, 0, 20, 1 },
	{ "256 kbit/s, 600 ms, 5 % loss", PATH(0.256, 600, .loss = 0.05), 2, 0, 60, 10 },
	{ "policer of 200 Mbit/s, bucket 5 ms, 100 ms", PATH(200, 100, ), 1, 5, 20, 2 },
	{ "the same, bucket 20 ms, 1 % loss", PATH(200, 100, .loss = 0.01), 1, 20, 20, 2 },
	{ "500 Mbit/s, 100 ms, jitter of 10 ms", PATH(500, 100, .jitter = 10 * TW_MSEC), 1, 0, 20,
	  3 },
	{ "100 Mbit/s, 50 ms, jitter of 10 ms", PATH(100, 50, .jitter = 10 * TW_MSEC), 1, 0, 20,
	  3 },
	{ "100 Mbit/s, 5 ms, jitter of 50 ms", PATH(100, 5, .jitter = 50 * TW_MSEC), 20, 0, 20, 3 },
};

struct steady_result {
	double whole[SEEDS], after[SEEDS], sent[SEEDS], half[SEEDS], most[SEEDS];
};

static void run_steady(const struct steady *row, enum tw_rate_method method, unsigned seed,
		       struct steady_result *ret)
{
	struct sim_link link = row->link;
	uint64_t free_bps = link.rate_bps - link.cross_bps, before, sent;
	struct tw_rate_limits limits = limits_for(method, free_bps);
	tw_ns run = row->run * TW_SECOND, start = row->start * TW_SECOND;

	start = tw_ns_max(start, 100 * TW_MSEC);
	link.queue_bytes = (uint64_t)((double)tw_rate_bytes(link.rate_bps, link.rtt) * row->queue);
	link.bucket_bytes = tw_rate_bytes(link.rate_bps, row->bucket * TW_MSEC);
	if (!link.loss_first)
		free_bps = tw_rate_scale(free_bps, 1 - link.loss);
	sim_init(sim, &link, 1, &limits, seed + 1);
	sim_begin_flow(sim, 0, method, &limits, 0);
	sim_run(sim, start);
	before = sim_received(sim, 0);
	sent = sim->flows[0].sent_bytes;
	sim_clear_queue_stats(sim);
	sim_run(sim, run);
	ret->whole[seed] = share(sim_received(sim, 0), free_bps, run);
	before = sim_received(sim, 0) - before;
	ret->after[seed] = share(before, free_bps, run - start);
	sent = sim->flows[0].sent_bytes - sent;
	ret->sent[seed] = (double)sent * (1 - link.loss) / (double)before;
	ret->half[seed] = queue_ms(0.5);
	ret->most[seed] = queue_ms(0.95);
	sim_deinit(sim);
}

static void print_steady(void)
{
	static struct steady_result all[ARRAY_SIZE(steady)][TW_RATE_METHOD_COUNT];

	for (size_t i = 0; i < ARRAY_SIZE(steady); i++)
		for (unsigned method = 0; method < method_count; method++)
			for (unsigned seed = 0; seed < SEEDS; seed++)
				run_steady(&steady[i], methods[method], seed, &all[i][method]);
	printf("**One flow: goodput** over what the path can deliver, start included / "
	       "after it.\n\n");
	print_head("path");
	for (size_t i = 0; i < ARRAY_SIZE(steady); i++) {
		printf("| %s |", steady[i].name);
		for (unsigned method = 0; method < method_count; method++)
			printf(" %.3f / %.3f |", median(all[i][method].whole),
			       median(all[i][method].after));
		printf("\n");
	}
	printf("\n**One flow: queueing delay** after the start, ms, median / 95th percentile; "
	       "bytes sent over bytes needed at that loss.\n\n");
	print_head("path");
	for (size_t i = 0; i < ARRAY_SIZE(steady); i++) {
		printf("| %s |", steady[i].name);
		for (unsigned method = 0; method < method_count; method++)
			printf(" %.1f / %.1f; %.2f |", median(all[i][method].half),
			       median(all[i][method].most), median(all[i][method].sent));
		printf("\n");
	}
	printf("\n");
}

/* --- one flow, a path that changes --- */

static const struct change {
	const char *name;
	struct sim_link before, after;
	double queue;
	tw_ns outage; /* seconds */
	bool address; /* the connection is told */
} changes[] = {
	{ "rate × 10", PATH(50, 100, ), PATH(500, 100, ), 10, 0, false },
	{ "rate × 10, 2 % loss", PATH(50, 100, .loss = 0.02), PATH(500, 100, .loss = 0.02), 10, 0,
	  false },
	{ "rate ÷ 10", PATH(500, 100, ), PATH(50, 100, ), 1, 0, false },
	{ "rate ÷ 10, 2 % loss", PATH(500, 100, .loss = 0.02), PATH(50, 100, .loss = 0.02), 1, 0,
	  false },
	{ "round trip × 3", PATH(100, 100, ), PATH(100, 300, ), 1, 0, false },
	{ "round trip ÷ 3", PATH(100, 150, ), PATH(100, 50, ), 1, 0, false },
	{ "30 % loss sets in", PATH(200, 100, ), PATH(200, 100, .loss = 0.3), 1, 0, false },
	{ "5 s of silence", PATH(500, 100, .loss = 0.01), PATH(500, 100, .loss = 0.01), 1, 5,
	  false },
	{ "5 s, then a fifth of the rate", PATH(500, 100, ), PATH(100, 100, ), 1, 5, false },
	{ "5 s, then five times the rate", PATH(100, 100, ), PATH(500, 100, ), 1, 5, false },
	{ "an hour of silence", PATH(200, 100, ), PATH(200, 100, ), 1, 3600, false },
	/* Buffers of one product of the new path, and of a fiftieth. */
	{ "a new address, ten times the rate, 20 → 100 ms", PATH(50, 20, ), PATH(500, 100, ), 50, 0,
	  true },
	{ "the same, a buffer of 0.02 products", PATH(50, 20, ), PATH(500, 100, ), 1, 0, true },
};

#define CHANGE_ROUNDS 150

/* Round trips until two of them bring 0.9 of the new path; goodput in round trips 11 to 30. */
static void run_change(const struct change *row, enum tw_rate_method method, unsigned seed,
		       double ret_rounds[SEEDS], double ret_after[SEEDS])
{
	struct sim_link after = row->after;
	struct sim_flow *flow = &sim->flows[0];
	struct tw_rate_limits limits = limits_for(method, row->before.rate_bps);
	uint64_t free_bps = tw_rate_scale(after.rate_bps, 1 - after.loss);
	uint64_t sums[CHANGE_ROUNDS + 1] = { 0 };
	double queue = row->queue * (double)tw_rate_bytes(row->before.rate_bps, row->before.rtt);

	if (method == TW_RATE_FIXED && after.rate_bps < row->before.rate_bps)
		limits = limits_for(method, after.rate_bps);
	sim_init(sim, &row->before, 1, &limits, seed + 1);
	after.queue_bytes = sim->link.queue_bytes = (uint64_t)queue;
	sim_begin_flow(sim, 0, method, &limits, 0);
	sim_run(sim, 5 * TW_SECOND);
	if (row->outage > 0) {
		sim->outage = true;
		sim_run(sim, sim->now + row->outage * TW_SECOND);
		sim->outage = false;
		sums[0] = flow->delivered;
	}
	sim->link = after;
	if (row->address) {
		tw_path_model_reset(&flow->path, sim->now);
		tw_rate_controller_path_changed(&flow->controller, &flow->path, sim->now);
	}
	/* A silent path is found open again at the next probe: from there on. */
	while (row->outage > 0 && flow->delivered == sums[0])
		sim_run(sim, sim->now + TW_MSEC);
	ret_rounds[seed] = INFINITY;
	for (unsigned i = 0; i <= CHANGE_ROUNDS; i++) {
		sums[i] = sim_received(sim, 0);
		if (i >= 2 && ret_rounds[seed] > 1e9 &&
		    share(sums[i] - sums[i - 2], free_bps, 2 * after.rtt) >= 0.9)
			ret_rounds[seed] = i;
		sim_run(sim, sim->now + after.rtt);
	}
	ret_after[seed] = share(sums[30] - sums[10], free_bps, 20 * after.rtt);
	sim_deinit(sim);
}

static void print_rounds(double rounds, unsigned most)
{
	if (rounds > most)
		printf("> %u", most);
	else
		printf("%.0f", rounds);
}

static void print_changes(void)
{
	printf("**One flow, a path that changes:** round trips until two of them bring 90 %% of "
	       "the new path; goodput in round trips 11 to 30.\n\n");
	print_head("change");
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		printf("| %s |", changes[i].name);
		for (unsigned method = 0; method < method_count; method++) {
			double rounds[SEEDS], after[SEEDS];

			for (unsigned seed = 0; seed < SEEDS; seed++)
				run_change(&changes[i], methods[method], seed, rounds, after);
			printf(" ");
			print_rounds(median(rounds), CHANGE_ROUNDS);
			printf("; %.3f |", median(after));
		}
		printf("\n");
	}
	printf("\n");
}

/* --- flows of one kind --- */

static const struct sharing {
	const char *name;
	struct sim_link link;
	double queue;
	unsigned flows;
	tw_ns bucket;  /* ms */
	tw_ns farther; /* ms that each flow is farther than the one before */
} sharing[] = {
	{ "2 flows", PATH(200, 50, ), 1, 2, 0, 0 },
	{ "3 flows", PATH(200, 50, ), 1, 3, 0, 0 },
	{ "4 flows", PATH(200, 50, ), 1, 4, 0, 0 },
	{ "6 flows", PATH(200, 50, ), 1, 6, 0, 0 },
	{ "8 flows", PATH(200, 50, ), 1, 8, 0, 0 },
	{ "2 flows, 500 Mbit/s, 100 ms", PATH(500, 100, ), 1, 2, 0, 0 },
	{ "8 flows, 500 Mbit/s, 100 ms", PATH(500, 100, ), 1, 8, 0, 0 },
	{ "4 flows, buffer of 5 products", PATH(200, 50, ), 5, 4, 0, 0 },
	{ "4 flows, buffer of 0.2 products", PATH(200, 50, ), 0.2, 4, 0, 0 },
	{ "4 flows, 2 % loss", PATH(200, 50, .loss = 0.02), 1, 4, 0, 0 },
	{ "4 flows, 5 ms of jitter", PATH(200, 50, .jitter = 5 * TW_MSEC), 1, 4, 0, 0 },
	{ "4 flows, policer with 10 ms", PATH(200, 50, ), 1, 4, 10, 0 },
	{ "2 flows, 50 and 100 ms", PATH(200, 50, ), 1, 2, 0, 50 },
};

static double jain(const struct sim *now, const uint64_t *before, unsigned flows)
{
	double sum = 0, squares = 0;

	for (unsigned i = 0; i < flows; i++) {
		double got = (double)(sim_received(now, i) - before[i]);

		sum += got;
		squares += got * got;
	}
	return sum > 0 ? sum * sum / (flows * squares) : 0;
}

static uint64_t note_received(uint64_t ret[SIM_FLOWS], unsigned flows)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < flows; i++)
		sum += ret[i] = sim_received(sim, i);
	return sum;
}

struct sharing_result {
	double early[SEEDS], late[SEEDS], join[SEEDS], used[SEEDS], sent[SEEDS], half[SEEDS],
		most[SEEDS];
};

static void begin_sharing(const struct sharing *row, enum tw_rate_method method, unsigned seed,
			  struct tw_rate_limits *limits)
{
	struct sim_link link = row->link;

	link.queue_bytes = (uint64_t)((double)tw_rate_bytes(link.rate_bps, link.rtt) * row->queue);
	link.bucket_bytes = tw_rate_bytes(link.rate_bps, row->bucket * TW_MSEC);
	*limits = limits_for(method, link.rate_bps / row->flows);
	sim_init(sim, &link, row->flows, limits, seed + 1);
	for (unsigned i = 0; i < row->flows; i++) {
		sim->flows[i].farther = i * row->farther * TW_MSEC;
		sim->flows[i].send_at = TW_NEVER;
	}
}

/* All start within one round trip. */
static void run_together(const struct sharing *row, enum tw_rate_method method, unsigned seed,
			 struct sharing_result *ret)
{
	struct tw_rate_limits limits;
	tw_ns rtt = row->link.rtt + (row->flows - 1) * row->farther * TW_MSEC, span;
	uint64_t before[SIM_FLOWS] = { 0 }, sum, sent = 0;

	begin_sharing(row, method, seed, &limits);
	for (unsigned i = 0; i < row->flows; i++)
		sim_begin_flow(sim, i, method, &limits, tw_prng_below(&sim->prng, rtt));
	sim_run(sim, 20 * rtt);
	note_received(before, row->flows);
	sim_run(sim, 40 * rtt);
	ret->early[seed] = jain(sim, before, row->flows);
	sum = note_received(before, row->flows);
	for (unsigned i = 0; i < row->flows; i++)
		sent += sim->flows[i].sent_bytes;
	sim_clear_queue_stats(sim);
	span = 30 * TW_SECOND;
	sim_run(sim, sim->now + span);
	ret->late[seed] = jain(sim, before, row->flows);
	sum = note_received(before, row->flows) - sum;
	for (unsigned i = 0; i < row->flows; i++)
		sent -= sim->flows[i].sent_bytes;
	ret->used[seed] = share(sum, tw_rate_scale(row->link.rate_bps, 1 - row->link.loss), span);
	ret->sent[seed] = (double)(0 - sent) * (1 - row->link.loss) / (double)sum;
	ret->half[seed] = queue_ms(0.5);
	ret->most[seed] = queue_ms(0.95);
	sim_deinit(sim);
}

#define JOIN_ROUNDS 400

/* One joins all the others: round trips until five of them are shared at an index of 0.95. */
static void run_join(const struct sharing *row, enum tw_rate_method method, unsigned seed,
		     struct sharing_result *ret)
{
	struct tw_rate_limits limits;
	tw_ns rtt = row->link.rtt + (row->flows - 1) * row->farther * TW_MSEC;
	uint64_t before[SIM_FLOWS];

	begin_sharing(row, method, seed, &limits);
	for (unsigned i = 1; i < row->flows; i++)
		sim_begin_flow(sim, i, method, &limits, tw_prng_below(&sim->prng, rtt));
	sim_run(sim, 100 * rtt + tw_prng_below(&sim->prng, 20 * rtt));
	sim_begin_flow(sim, 0, method, &limits, sim->now);
	ret->join[seed] = INFINITY;
	for (unsigned i = 5; i <= JOIN_ROUNDS && ret->join[seed] > 1e9; i += 5) {
		note_received(before, row->flows);
		sim_run(sim, sim->now + 5 * rtt);
		if (jain(sim, before, row->flows) >= 0.95)
			ret->join[seed] = i;
	}
	sim_deinit(sim);
}

static void print_sharing(void)
{
	static struct sharing_result all[ARRAY_SIZE(sharing)][TW_RATE_METHOD_COUNT];

	for (size_t i = 0; i < ARRAY_SIZE(sharing); i++) {
		for (unsigned method = 0; method < method_count; method++) {
			for (unsigned seed = 0; seed < SEEDS; seed++) {
				run_together(&sharing[i], methods[method], seed, &all[i][method]);
				run_join(&sharing[i], methods[method], seed, &all[i][method]);
			}
		}
	}
	printf("**Flows of one kind, 200 Mbit/s and 50 ms where nothing else is said: Jain's "
	       "index** of round trips 21 to 40 after a start together / of the 30 s that "
	       "follow; round trips until a flow that joins the others is at 0.95.\n\n");
	print_head("flows");
	for (size_t i = 0; i < ARRAY_SIZE(sharing); i++) {
		printf("| %s |", sharing[i].name);
		for (unsigned method = 0; method < method_count; method++) {
			printf(" %.3f / %.3f; ", median(all[i][method].early),
			       median(all[i][method].late));
			print_rounds(median(all[i][method].join), JOIN_ROUNDS);
			printf(" |");
		}
		printf("\n");
	}
	printf("\n**The same: used**; queueing delay, ms, median / 95th percentile; bytes sent "
	       "over bytes needed.\n\n");
	print_head("flows");
	for (size_t i = 0; i < ARRAY_SIZE(sharing); i++) {
		printf("| %s |", sharing[i].name);
		for (unsigned method = 0; method < method_count; method++)
			printf(" %.3f; %.1f / %.1f; %.2f |", median(all[i][method].used),
			       median(all[i][method].half), median(all[i][method].most),
			       median(all[i][method].sent));
		printf("\n");
	}
	printf("\n");
}

/* --- one flow beside TCP's --- */

static const struct neighbour {
	const char *name;
	struct sim_link link;
	const struct tw_rate_ops *ops;
	unsigned flows;
} neighbours[] = {
	{ "1 cubic, 100 Mbit/s, 100 ms", PATH(100, 100, ), &cubic_ops, 1 },
	{ "1 cubic, 100 Mbit/s, 40 ms", PATH(100, 40, ), &cubic_ops, 1 },
	{ "1 cubic, 500 Mbit/s, 100 ms", PATH(500, 100, ), &cubic_ops, 1 },
	{ "1 cubic, 20 Mbit/s, 20 ms", PATH(20, 20, ), &cubic_ops, 1 },
	{ "4 cubic, 100 Mbit/s, 40 ms", PATH(100, 40, ), &cubic_ops, 4 },
	{ "1 bbr, 100 Mbit/s, 40 ms", PATH(100, 40, ), &tcp_bbr_ops, 1 },
	{ "4 bbr, 100 Mbit/s, 40 ms", PATH(100, 40, ), &tcp_bbr_ops, 4 },
};

static const double buffers[] = { 0.2, 0.5, 1, 2, 5 };

/* We come @second of the two; a minute after ten seconds. */
static double run_neighbour(const struct neighbour *row, enum tw_rate_method method, double queue,
			    bool second, unsigned seed, double *ret_used)
{
	struct sim_link link = link_of(row->link.rate_bps, row->link.rtt, queue);
	struct tw_rate_limits limits = limits_for(method, link.rate_bps / (row->flows + 1));
	uint64_t before[SIM_FLOWS] = { 0 }, ours, sum;
	tw_ns late = 2 * TW_SECOND + seed * 77 * TW_MSEC;

	sim_init(sim, &link, row->flows + 1, &limits, seed + 1);
	for (unsigned i = 0; i <= row->flows; i++)
		sim->flows[i].send_at = TW_NEVER;
	if (second)
		sim_begin_flow(sim, 0, method, &limits, 0);
	for (unsigned i = 1; i <= row->flows; i++)
		sim_begin_tcp(sim, i, row->ops,
			      (second ? late : 0) + tw_prng_below(&sim->prng, link.rtt));
	if (!second) {
		sim_run(sim, late);
		sim_begin_flow(sim, 0, method, &limits, late);
	}
	sim_run(sim, 12 * TW_SECOND);
	sum = note_received(before, row->flows + 1);
	sim_run(sim, 72 * TW_SECOND);
	ours = sim_received(sim, 0) - before[0];
	sum = note_received(before, row->flows + 1) - sum;
	*ret_used = share(sum, link.rate_bps, 60 * TW_SECOND);
	sim_deinit(sim);
	return (double)ours / (double)sum;
}

static void print_neighbours(void)
{
	printf("**One flow beside TCP's: our part of what all of them got** in a minute, where "
	       "they were first / where we were first.\n\n");
	print_head("neighbours, buffer in products");
	for (size_t i = 0; i < ARRAY_SIZE(neighbours); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(buffers); j++) {
			printf("| %s, %g |", neighbours[i].name, buffers[j]);
			for (unsigned method = 0; method < method_count; method++) {
				double parts[2][SEEDS], used;

				for (unsigned k = 0; k < 2; k++)
					for (unsigned seed = 0; seed < SEEDS; seed++)
						parts[k][seed] =
							run_neighbour(&neighbours[i],
								      methods[method], buffers[j],
								      k == 1, seed, &used);
				printf(" %.0f %% / %.0f %% |", 100 * median(parts[0]),
				       100 * median(parts[1]));
			}
			printf("\n");
			fflush(stdout);
		}
	}
	printf("\n");
}

/* --- short transfers --- */

static const struct brief {
	const char *name;
	struct sim_link link;
	uint64_t bytes;
} briefs[] = {
	{ "100 KB, 500 Mbit/s, 100 ms", PATH(500, 100, ), 100000 },
	{ "1 MB", PATH(500, 100, ), 1000000 },
	{ "10 MB", PATH(500, 100, ), 10000000 },
	{ "100 MB", PATH(500, 100, ), 100000000 },
	{ "1 GB, 1 Gbit/s, 200 ms, 1 % loss", PATH(1000, 200, .loss = 0.01), 1000000000 },
	{ "10 MB, 20 Mbit/s, 20 ms", PATH(20, 20, ), 10000000 },
};

static void print_short(void)
{
	printf("**Short transfers on an idle path:** seconds until all has arrived.\n\n");
	print_head("transfer");
	for (size_t i = 0; i < ARRAY_SIZE(briefs); i++) {
		const struct brief *row = &briefs[i];

		printf("| %s |", row->name);
		for (unsigned method = 0; method < method_count; method++) {
			struct sim_link link = link_of(row->link.rate_bps, row->link.rtt, 1);
			struct tw_rate_limits limits = limits_for(methods[method], link.rate_bps);

			link.loss = row->link.loss;
			sim_init(sim, &link, 1, &limits, 1);
			sim_begin_flow(sim, 0, methods[method], &limits, 0);
			while (sim_received(sim, 0) < row->bytes && sim->now < 600 * TW_SECOND)
				sim_run(sim, sim->now + 5 * TW_MSEC);
			printf(" %.2f |", (double)sim->now / (double)TW_SECOND);
			sim_deinit(sim);
		}
		printf("\n");
	}
	printf("\n");
}

static const struct section {
	const char *name;
	void (*print)(void);
} sections[] = {
	{ "steady", print_steady },   { "changes", print_changes },
	{ "sharing", print_sharing }, { "neighbours", print_neighbours },
	{ "short", print_short },
};

int main(int count, char **words)
{
	bool asked[ARRAY_SIZE(sections)] = { false };
	unsigned known = 0;

	for (int j = 1; j < count; j++) {
		bool section = false;

		for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
			if (strcmp(words[j], sections[i].name) == 0)
				section = asked[i] = true;
		known += section;
		if (!section && (method_count == TW_RATE_METHOD_COUNT ||
				 !tw_rate_method_parse(words[j], &methods[method_count++]))) {
			fprintf(stderr, "rate-evaluate: sections are steady, changes, sharing, "
					"neighbours, short; controllers fixed, bbr, delay, "
					"ledbat\n");
			return 1;
		}
	}
	if (method_count == 0)
		for (; method_count < TW_RATE_METHOD_COUNT; method_count++)
			methods[method_count] = (enum tw_rate_method)method_count;
	sim = malloc(sizeof(*sim));
	if (!sim)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		if (known == 0 || asked[i])
			sections[i].print();
	free(sim);
	return 0;
}
