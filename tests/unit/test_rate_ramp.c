/*
 * Leads over a bottleneck of one's own making: what is sent at a rate comes out at the lower of
 * that and the path's, on a clock of the peer's.
 */
#include "unit.h"

#include <inttypes.h>

#include "rate/ramp.h"
#include "rate/units.h"

#define MBIT UINT64_C(1000000)
#define RTT (100 * TW_MSEC)
#define DATAGRAM 1250u
#define THEIR_CLOCK INT64_C(-77123456789)

struct scene {
	struct tw_path_model path;
	struct tw_ramp ramp;
	uint64_t path_bps, sent, acked, lost;
	tw_ns now, free_at; /* when the bottleneck is through with what it has */
	tw_ns doze;         /* the receiver looks only so often; 0: at once */
	double loss;
};

static void begin(struct scene *scene, uint64_t path_bps)
{
	*scene = (struct scene){ .path_bps = path_bps, .now = TW_SECOND };
	tw_path_model_init(&scene->path, scene->now);
	tw_path_model_seed_rtt(&scene->path, RTT);
	tw_ramp_init(&scene->ramp);
}

/*
 * Sends @bytes at @rate_bps and hears of them in acknowledgements of @every. Returns the outcome
 * that is not TW_RAMP_WAIT, if any.
 */
static enum tw_ramp_outcome carry(struct scene *scene, uint64_t rate_bps, uint64_t bytes,
				  tw_ns every)
{
	enum tw_ramp_outcome outcome = TW_RAMP_WAIT, last;
	struct tw_rate_sample sample = { .forward_delay = INT64_MIN };
	tw_ns reported = scene->now;
	double owed = 0;

	for (uint64_t at = 0; at < bytes; at += DATAGRAM) {
		tw_ns sent_at = scene->now, arrived;

		scene->now += tw_rate_time(rate_bps, DATAGRAM);
		scene->free_at = tw_ns_max(scene->free_at, sent_at) +
				 tw_rate_time(scene->path_bps, DATAGRAM);
		arrived = scene->free_at + RTT / 2;
		if (scene->doze > 0)
			arrived = (arrived / scene->doze + 1) * scene->doze;
		owed += scene->loss;
		if (owed >= 1) {
			owed -= 1;
			sample.lost_bytes += DATAGRAM;
			scene->lost += DATAGRAM;
		} else {
			sample.acked_bytes += DATAGRAM;
			scene->acked += DATAGRAM;
			sample.rtt = arrived + RTT / 2 - sent_at;
			sample.forward_delay = (int64_t)(arrived - sent_at) + THEIR_CLOCK;
			sample.sent_at = sent_at;
		}
		if (scene->now - reported < every && at + DATAGRAM < bytes)
			continue;
		reported = scene->now;
		sample.now = scene->now + RTT;
		sample.delivered_total = scene->acked;
		tw_path_model_update(&scene->path, &sample);
		last = tw_ramp_sample(&scene->ramp, &scene->path, &sample,
				      scene->acked + scene->lost);
		outcome = last != TW_RAMP_WAIT ? last : outcome;
		sample = (struct tw_rate_sample){ .forward_delay = INT64_MIN };
	}
	scene->sent += bytes;
	return outcome;
}

static enum tw_ramp_outcome lead(struct scene *scene, uint64_t lead_bps, uint64_t bytes)
{
	enum tw_ramp_outcome outcome;

	tw_ramp_lead(&scene->ramp, &scene->path,
		     &(struct tw_ramp_lead){ lead_bps, bytes, lead_bps / 8 },
		     scene->acked + scene->lost);
	outcome = carry(scene, lead_bps, bytes, TW_MSEC);
	/* What follows shows how its queue goes. */
	return outcome != TW_RAMP_WAIT ? outcome
				       : carry(scene, lead_bps / 8, lead_bps / 8 / 10, 3 * TW_MSEC);
}

/* What comes through proves its rate, within a fifth and never above it. */
static void test_clear(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, 1000 * MBIT);
	assert_true(tw_ramp_usable(&scene.path));
	assert_int_equal(carry(&scene, 10 * MBIT, 50000, 3 * TW_MSEC), TW_RAMP_WAIT);
	assert_int_equal(lead(&scene, 80 * MBIT, 80000), TW_RAMP_CLEAR);
	assert_in_range(scene.ramp.proven_bps, 64 * MBIT, 81 * MBIT);
	assert_int_equal(carry(&scene, 80 * MBIT, 900000, 3 * TW_MSEC), TW_RAMP_WAIT);
	assert_int_equal(lead(&scene, 640 * MBIT, 250000), TW_RAMP_CLEAR);
	assert_in_range(scene.ramp.proven_bps, 480 * MBIT, 645 * MBIT);
}

/* What meets the bottleneck comes out at the bottleneck's rate. */
static void test_saturated(void **state)
{
	static const uint64_t rates[] = { 20 * MBIT, 40 * MBIT, 100 * MBIT, 170 * MBIT };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		struct scene scene;

		begin(&scene, rates[i]);
		carry(&scene, 10 * MBIT, 50000, 3 * TW_MSEC);
		assert_int_equal(lead(&scene, 320 * MBIT, 320000), TW_RAMP_SATURATED);
		if (scene.ramp.proven_bps < rates[i] / 10 * 8 ||
		    scene.ramp.proven_bps > rates[i] / 10 * 11)
			fail_msg("%" PRIu64 ": proven %" PRIu64, rates[i], scene.ramp.proven_bps);
	}
}

/* A receiver that looks every 20 ms finds many packets at once: that proves no more than was sent.
 */
static void test_sleeper(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, 1000 * MBIT);
	scene.doze = 20 * TW_MSEC;
	carry(&scene, 10 * MBIT, 100000, 3 * TW_MSEC);
	assert_true(scene.ramp.proven_bps <= 11 * MBIT);
	assert_int_not_equal(lead(&scene, 80 * MBIT, 200000), TW_RAMP_SATURATED);
	assert_true(scene.ramp.proven_bps <= 82 * MBIT);
}

/* Reports that come rarely dilute a lead; without a queue that is no bottleneck. */
static void test_rarely_reported(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, 1000 * MBIT);
	carry(&scene, 10 * MBIT, 50000, 12 * TW_MSEC);
	tw_ramp_lead(&scene.ramp, &scene.path,
		     &(struct tw_ramp_lead){ 80 * MBIT, 31250, 10 * MBIT }, scene.acked);
	scene.now += tw_rate_time(80 * MBIT, 31250);
	assert_int_equal(carry(&scene, 10 * MBIT, 50000, 12 * TW_MSEC), TW_RAMP_CLEAR);
}

/* A lead that is lost for the most part says so; loss that was there before does not count. */
static void test_lost(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, 1000 * MBIT);
	carry(&scene, 10 * MBIT, 50000, 3 * TW_MSEC);
	scene.loss = 0.4;
	/* Nobody knows yet what is lost anyway. */
	assert_int_equal(lead(&scene, 80 * MBIT, 80000), TW_RAMP_CLEAR);
	/* Then it has been seen. */
	assert_int_equal(lead(&scene, 80 * MBIT, 80000), TW_RAMP_CLEAR);
	begin(&scene, 1000 * MBIT);
	carry(&scene, 10 * MBIT, 50000, 3 * TW_MSEC);
	assert_int_equal(lead(&scene, 80 * MBIT, 80000), TW_RAMP_CLEAR);
	scene.loss = 0.4;
	scene.path.loss_smoothed = 0;
	assert_int_equal(lead(&scene, 80 * MBIT, 80000), TW_RAMP_LOST);
	scene.path.loss_smoothed = 0.4;
	assert_int_equal(lead(&scene, 80 * MBIT, 80000), TW_RAMP_CLEAR);
}

/* The first flight: short, as fast as can be told; where the rate is remembered, at that. */
static void test_first(void **state)
{
	static const struct {
		struct tw_rate_hint hint;
		uint64_t bytes, rate_min, rate_max;
	} rows[] = {
		{ { 0 }, 80000, 319 * MBIT, 321 * MBIT },
		{ { 2000 * MBIT, RTT, 2 * TW_RATE_HINT_AGE_MAX }, 80000, 319 * MBIT, 321 * MBIT },
		{ { 2000 * MBIT, RTT / 4, TW_SECOND }, 80000, 319 * MBIT, 321 * MBIT },
		{ { 50 * MBIT, RTT, TW_SECOND }, 80000, 319 * MBIT, 321 * MBIT },
		{ { 400 * MBIT, RTT, TW_SECOND }, 156250, 399 * MBIT, 400 * MBIT },
		{ { 9000 * MBIT, RTT, TW_SECOND }, TW_RAMP_FIRST_KNOWN, 780 * MBIT, 790 * MBIT },
	};
	struct scene scene;

	(void)state;
	begin(&scene, 1000 * MBIT);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tw_ramp_lead first =
			tw_ramp_first(&scene.path, &rows[i].hint, DATAGRAM, 7 * MBIT);

		assert_int_equal(first.bytes, rows[i].bytes);
		assert_in_range(first.lead_bps, rows[i].rate_min, rows[i].rate_max);
		assert_int_equal(first.body_bps, 7 * MBIT);
	}
}

/*
 * What is lost before the bottleneck is met is lost whatever is sent; what only the lead lost has
 * overflown a buffer.
 */
static void test_own_loss(void **state)
{
	static const double losses[][2] = { { 0.2, 0.2 }, { 0, 0.3 }, { 0.05, 0.4 }, { 0.1, 0 } };
	static const double least[] = { 0.18, 0, 0.03, 0 }, most[] = { 0.22, 0, 0.13, 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(losses); i++) {
		struct scene scene;

		begin(&scene, 100 * MBIT);
		scene.loss = losses[i][0];
		assert_int_equal(lead(&scene, 80 * MBIT, 80000), TW_RAMP_CLEAR);
		scene.path.loss_smoothed = 0.4;
		scene.loss = losses[i][1];
		assert_int_equal(lead(&scene, 640 * MBIT, 500000), TW_RAMP_SATURATED);
		if (scene.ramp.own_loss < least[i] || scene.ramp.own_loss > most[i])
			fail_msg("row %zu: %.3f", i, scene.ramp.own_loss);
	}
}

/* Any clock, any order: nothing but a figure that was sent. */
static void test_any_clock(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, 100 * MBIT);
	for (unsigned i = 0; i < 1000; i++) {
		struct tw_rate_sample sample = {
			.now = scene.now += TW_MSEC,
			.rtt = RTT,
			.sent_at = scene.now,
			.forward_delay = (int64_t)(i * UINT64_C(0x9e3779b97f4a7c15)),
			.acked_bytes = 1250,
			.delivered_total = scene.acked += 1250,
		};

		tw_path_model_update(&scene.path, &sample);
		tw_ramp_sample(&scene.ramp, &scene.path, &sample, scene.acked);
		assert_true(scene.ramp.proven_bps <= 11 * MBIT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clear),    cmocka_unit_test(test_saturated),
		cmocka_unit_test(test_sleeper),  cmocka_unit_test(test_rarely_reported),
		cmocka_unit_test(test_lost),     cmocka_unit_test(test_first),
		cmocka_unit_test(test_own_loss), cmocka_unit_test(test_any_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
