#include "unit.h"

#include "rate/path.h"

static struct tw_rate_sample sample_at(tw_ns now, tw_ns rtt, int64_t forward_delay)
{
	return (struct tw_rate_sample){ .now = now, .rtt = rtt, .forward_delay = forward_delay };
}

static void feed(struct tw_path_model *path, tw_ns now, tw_ns rtt, int64_t forward_delay)
{
	struct tw_rate_sample sample = sample_at(now, rtt, forward_delay);

	tw_path_model_update(path, &sample);
}

/* The numbers of RFC 9002, 5.3 and 6.2.1, worked by hand. */
static void test_rtt(void **state)
{
	struct tw_path_model path;

	(void)state;
	tw_path_model_init(&path, 0);
	assert_int_equal(tw_path_model_pto(&path), 333 * TW_MSEC + 4 * (333 * TW_MSEC / 2));
	assert_int_equal(path.rtt_min, TW_NEVER);
	feed(&path, 0, 100 * TW_MSEC, INT64_MIN);
	assert_int_equal(path.rtt_smoothed, 100 * TW_MSEC);
	assert_int_equal(path.rtt_variance, 50 * TW_MSEC);
	assert_int_equal(tw_path_model_pto(&path), 300 * TW_MSEC);
	feed(&path, TW_SECOND, 180 * TW_MSEC, INT64_MIN);
	assert_int_equal(path.rtt_variance, (3 * 50 + 80) * TW_MSEC / 4);
	assert_int_equal(path.rtt_smoothed, (7 * 100 + 180) * TW_MSEC / 8);
	assert_int_equal(path.rtt_min, 100 * TW_MSEC);
	assert_int_equal(path.rtt_latest, 180 * TW_MSEC);
	for (unsigned i = 0; i < 200; i++)
		feed(&path, 2 * TW_SECOND, 50 * TW_USEC, INT64_MIN);
	assert_true(tw_path_model_pto(&path) >= TW_MSEC + path.rtt_smoothed);
}

static void test_seed(void **state)
{
	struct tw_path_model path;

	(void)state;
	tw_path_model_init(&path, 0);
	tw_path_model_seed_rtt(&path, 20 * TW_MSEC);
	assert_true(path.rtt_known);
	assert_int_equal(path.rtt_smoothed, 20 * TW_MSEC);
	assert_int_equal(path.rtt_min, 20 * TW_MSEC);
	tw_path_model_seed_rtt(&path, 90 * TW_MSEC);
	assert_int_equal(path.rtt_smoothed, 20 * TW_MSEC);
}

static void test_near(void **state)
{
	struct tw_path_model path;
	tw_ns now = 0;

	(void)state;
	tw_path_model_init(&path, now);
	assert_false(path.near);
	tw_path_model_seed_rtt(&path, 2 * TW_MSEC);
	assert_false(path.near);
	feed(&path, now, 300 * TW_USEC, INT64_MIN);
	assert_true(path.near);
	/* A queue of our own that stands for minutes makes it no other path; */
	for (; now < 150 * TW_SECOND; now += 100 * TW_MSEC)
		feed(&path, now, 3 * TW_MSEC, INT64_MIN);
	assert_int_equal(path.rtt_min, 3 * TW_MSEC);
	assert_true(path.near);
	/* a long way does, before the short one is forgotten, */
	for (unsigned i = 0; i < 8; i++)
		feed(&path, now += 30 * TW_MSEC, 30 * TW_MSEC, INT64_MIN);
	assert_int_equal(path.rtt_min, 3 * TW_MSEC);
	assert_false(path.near);
	/* and so does another address. */
	tw_path_model_init(&path, now);
	tw_path_model_seed_rtt(&path, TW_PATH_NEAR);
	assert_true(path.near);
	tw_path_model_reset(&path, now);
	assert_false(path.near);
}

static void test_minimum_expires(void **state)
{
	struct tw_path_model path;

	(void)state;
	tw_path_model_init(&path, 0);
	feed(&path, 0, 10 * TW_MSEC, 1000);
	for (tw_ns now = TW_SECOND; now < 60 * TW_SECOND; now += TW_SECOND) {
		feed(&path, now, 40 * TW_MSEC, 30001000);
		assert_int_equal(path.rtt_min, 10 * TW_MSEC);
		assert_int_equal(path.delay_base, 1000);
	}
	feed(&path, 61 * TW_SECOND, 40 * TW_MSEC, 30001000);
	assert_int_equal(path.rtt_min, 40 * TW_MSEC);
	assert_int_equal(path.delay_base, 30001000);
	/* An hour of silence leaves no hole. */
	feed(&path, 3661 * TW_SECOND, 70 * TW_MSEC, 5);
	assert_int_equal(path.rtt_min, 70 * TW_MSEC);
	assert_int_equal(path.delay_base, 5);
}

/* The return path does not count, clocks may differ by years, the lowest of the last few samples
 * rules. */
static void test_queue(void **state)
{
	const int64_t years = INT64_C(-300000000000000000);
	struct tw_path_model path;

	(void)state;
	tw_path_model_init(&path, 0);
	feed(&path, 0, 100 * TW_MSEC, years);
	assert_int_equal(path.queue_delay, 0);
	for (unsigned i = 0; i < TW_PATH_RECENT; i++)
		feed(&path, TW_SECOND + i * 50 * TW_MSEC, 150 * TW_MSEC, years + 20000000);
	assert_int_equal(path.queue_delay, 20 * TW_MSEC);
	feed(&path, 1250 * TW_MSEC, 190 * TW_MSEC, years + 90000000);
	assert_int_equal(path.queue_delay, 20 * TW_MSEC);
	assert_int_equal(path.queue_latest, 90 * TW_MSEC);
	feed(&path, 1300 * TW_MSEC, 105 * TW_MSEC, years + 5000000);
	assert_int_equal(path.queue_delay, 5 * TW_MSEC);
	/* Without a forward delay the round trip has to do. */
	for (unsigned i = 0; i < TW_PATH_RECENT; i++)
		feed(&path, 2 * TW_SECOND + i * 50 * TW_MSEC, 130 * TW_MSEC, INT64_MIN);
	assert_int_equal(path.queue_delay, 30 * TW_MSEC);
}

/* Delay that wanders is jitter, however far; delay that stays is a queue. */
static void test_jitter(void **state)
{
	struct tw_path_model path;
	tw_ns now = 0;

	(void)state;
	tw_path_model_init(&path, now);
	for (unsigned i = 0; i < 2000; i++, now += 2 * TW_MSEC) {
		tw_ns late = (i / 4) % 5 * 10 * TW_MSEC;

		feed(&path, now, 5 * TW_MSEC + late, (int64_t)late);
		if (i > 1000)
			assert_int_equal(path.queue_delay, 0);
	}
	assert_true(path.jitter > 12 * TW_MSEC && path.jitter < 28 * TW_MSEC);
	for (unsigned i = 0; i < 200; i++, now += 2 * TW_MSEC)
		feed(&path, now, 45 * TW_MSEC, 40000000);
	assert_int_equal(path.queue_delay, 40 * TW_MSEC);
	assert_true(path.jitter < TW_MSEC);
}

/* A peer's clock that runs 500 ppm fast drifts by 30 ms in the minute that the base is kept. */
static void test_drift(void **state)
{
	struct tw_path_model path;

	(void)state;
	tw_path_model_init(&path, 0);
	for (tw_ns now = 0; now < 300 * TW_SECOND; now += 100 * TW_MSEC) {
		feed(&path, now, 10 * TW_MSEC + (now / TW_MSEC % 3) * 100 * TW_USEC,
		     (int64_t)(now / 2000));
		assert_true(path.queue_delay <= 200 * TW_USEC);
	}
	/* A peer that makes up its clock can break nothing. */
	feed(&path, 301 * TW_SECOND, 10 * TW_MSEC, INT64_MAX);
	feed(&path, 301 * TW_SECOND, 10 * TW_MSEC, INT64_MIN + 1);
	feed(&path, 301 * TW_SECOND, 10 * TW_MSEC, INT64_MAX);
	assert_true(path.queue_delay <= 200 * TW_USEC);
}

static void round_with(struct tw_path_model *path, uint64_t rate_bps, bool app_limited)
{
	struct tw_rate_sample sample =
		sample_at(path->round_started + 100 * TW_MSEC, 100 * TW_MSEC, INT64_MIN);

	sample.delivery_rate_bps = rate_bps;
	sample.app_limited = app_limited;
	sample.round_start = true;
	tw_path_model_update(path, &sample);
}

static void test_bandwidth(void **state)
{
	struct tw_path_model path;

	(void)state;
	tw_path_model_init(&path, 0);
	assert_int_equal(tw_path_model_bdp(&path), 0);
	round_with(&path, 80000000, false);
	assert_int_equal(path.bandwidth_bps, 80000000);
	assert_int_equal(tw_path_model_bdp(&path), 1000000);
	for (unsigned i = 0; i < 9; i++) {
		round_with(&path, 10000000, false);
		assert_int_equal(path.bandwidth_bps, 80000000);
	}
	round_with(&path, 10000000, false);
	assert_int_equal(path.bandwidth_bps, 10000000);
	/* Too little to send is no evidence of a slow path, but more than expected is of a fast
	 * one. */
	for (unsigned i = 0; i < 50; i++)
		round_with(&path, 1000, true);
	assert_int_equal(path.bandwidth_bps, 10000000);
	round_with(&path, 20000000, true);
	assert_int_equal(path.bandwidth_bps, 20000000);
	tw_path_model_reset(&path, path.round_started);
	assert_int_equal(path.bandwidth_bps, 0);
	assert_int_equal(path.rtt_min, TW_NEVER);
	assert_int_equal(path.rtt_smoothed, 100 * TW_MSEC);
}

static void test_loss(void **state)
{
	struct tw_path_model path;

	(void)state;
	tw_path_model_init(&path, 0);
	for (unsigned i = 1; i <= 40; i++) {
		struct tw_rate_sample sample =
			sample_at(i * 100 * TW_MSEC, 100 * TW_MSEC, INT64_MIN);

		sample.acked_bytes = 95000;
		sample.lost_bytes = 5000;
		sample.round_start = true;
		tw_path_model_update(&path, &sample);
		assert_true(path.loss_round > 0.0499 && path.loss_round < 0.0501);
	}
	assert_true(path.loss_smoothed > 0.0499 && path.loss_smoothed < 0.0501);
	for (unsigned i = 41; i <= 80; i++) {
		struct tw_rate_sample sample =
			sample_at(i * 100 * TW_MSEC, 100 * TW_MSEC, INT64_MIN);

		sample.acked_bytes = 100000;
		sample.round_start = true;
		tw_path_model_update(&path, &sample);
		if (i == 42)
			assert_true(path.loss_smoothed > 0.03);
	}
	assert_true(path.loss_smoothed < 0.002);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rtt),
		cmocka_unit_test(test_seed),
		cmocka_unit_test(test_near),
		cmocka_unit_test(test_minimum_expires),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_drift),
		cmocka_unit_test(test_bandwidth),
		cmocka_unit_test(test_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
