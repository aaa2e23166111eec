#include "unit.h"

#include <inttypes.h>

#include "base/random.h"
#include "rate/controller.h"

#define MBIT UINT64_C(1000000)

static void test_names(void **state)
{
	enum tw_rate_method method = TW_RATE_METHOD_COUNT;

	(void)state;
	for (unsigned i = 0; i < TW_RATE_METHOD_COUNT; i++) {
		assert_true(
			tw_rate_method_parse(tw_rate_method_name((enum tw_rate_method)i), &method));
		assert_int_equal(method, i);
	}
	assert_false(tw_rate_method_parse("", &method));
	assert_false(tw_rate_method_parse("BBR", &method));
	assert_int_equal(method, TW_RATE_METHOD_COUNT - 1);
}

static void test_fixed(void **state)
{
	const struct tw_rate_limits limits = { .rate_bps = 200 * MBIT, .max_bps = UINT64_MAX };
	struct tw_rate_limits slower = { .rate_bps = 200 * MBIT, .max_bps = 50 * MBIT };
	struct tw_rate_controller controller;
	struct tw_path_model path;

	(void)state;
	tw_path_model_init(&path, 0);
	tw_path_model_seed_rtt(&path, 100 * TW_MSEC);
	tw_rate_controller_init(&controller, TW_RATE_FIXED, &limits, &path, 0);
	assert_int_equal(tw_rate_controller_pacing(&controller), 200 * MBIT);
	/* The window lets the rate flow although acknowledgements come late. */
	assert_true(tw_rate_controller_window(&controller, &path) >= 200 * MBIT / 8 / 10 * 2);
	tw_rate_controller_timeout(&controller, &path, TW_SECOND);
	assert_int_equal(tw_rate_controller_pacing(&controller), 200 * MBIT);
	tw_rate_controller_set(&controller, TW_RATE_FIXED, &slower, &path, TW_SECOND);
	assert_int_equal(tw_rate_controller_pacing(&controller), 50 * MBIT);
}

/* 32 to 64 datagrams leave in the first round trip, or what the caller says. */
static void test_start(void **state)
{
	static const tw_ns rtts[] = { 10 * TW_MSEC, 100 * TW_MSEC, 600 * TW_MSEC };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rtts); i++) {
		struct tw_rate_limits limits = { .max_bps = UINT64_MAX };
		struct tw_rate_controller controller;
		struct tw_path_model path;
		uint64_t first;

		tw_path_model_init(&path, 0);
		tw_path_model_seed_rtt(&path, rtts[i]);
		tw_rate_controller_init(&controller, TW_RATE_BBR, &limits, &path, 0);
		first = tw_rate_controller_pacing(&controller) / 8 * (rtts[i] / TW_USEC) / 1000000;
		assert_true(first >= 32 * 1200 && first <= 64 * 1200);
		assert_true(tw_rate_controller_window(&controller, &path) >= 64 * 1200);
		limits.rate_bps = 70 * MBIT;
		tw_rate_controller_init(&controller, TW_RATE_BBR, &limits, &path, 0);
		assert_int_equal(tw_rate_controller_pacing(&controller), 70 * MBIT);
		assert_true(tw_rate_controller_window(&controller, &path) >=
			    70 * MBIT / 8 * (rtts[i] / TW_MSEC) / 1000);
	}
}

static struct tw_rate_sample random_sample(struct tw_prng *prng, tw_ns now)
{
	struct tw_rate_sample sample = {
		.now = now,
		.acked_bytes =
			tw_prng_below(prng, 2) * tw_prng_below(prng, 1 << tw_prng_below(prng, 24)),
		.lost_bytes =
			tw_prng_below(prng, 2) * tw_prng_below(prng, 1 << tw_prng_below(prng, 24)),
		.in_flight_bytes = tw_prng_below(prng, 1 << tw_prng_below(prng, 24)),
		.delivery_rate_bps = tw_prng_below(prng, UINT64_C(1) << tw_prng_below(prng, 40)),
		.app_limited = tw_prng_below(prng, 4) == 0,
		.round_start = tw_prng_below(prng, 8) == 0,
		.rtt = tw_prng_below(prng, 1 << tw_prng_below(prng, 31)),
		.forward_delay = tw_prng_below(prng, 3) ? (int64_t)tw_prng_u64(prng) : INT64_MIN,
	};

	sample.acked_packets = (sample.acked_bytes + 1199) / 1200;
	sample.lost_packets = (sample.lost_bytes + 1199) / 1200;
	return sample;
}

/*
 * Whatever comes in, in any order: the limits hold, and the window lets four datagrams and the
 * minimum through.
 */
static void limits_hold(uint64_t seed)
{
	struct tw_rate_controller controller;
	struct tw_path_model path;
	struct tw_prng prng;
	tw_ns now = 0;

	tw_prng_init(&prng, seed);
	tw_path_model_init(&path, now);
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t min = tw_prng_below(&prng, 2) * MBIT * tw_prng_below(&prng, 100);
		struct tw_rate_limits limits = {
			.rate_bps = tw_prng_below(&prng, 2) * MBIT * tw_prng_below(&prng, 1000),
			.min_bps = min,
			.max_bps = tw_prng_below(&prng, 2) ? UINT64_MAX
							   : min + tw_prng_below(&prng, 200) * MBIT,
		};
		enum tw_rate_method method =
			(enum tw_rate_method)tw_prng_below(&prng, TW_RATE_METHOD_COUNT);
		struct tw_rate_sample sample;
		uint64_t rate, window;

		now += tw_prng_below(&prng, UINT64_C(1) << tw_prng_below(&prng, 34));
		if (i == 0)
			tw_rate_controller_init(&controller, method, &limits, &path, now);
		switch (tw_prng_below(&prng, 20)) {
		case 0:
			tw_rate_controller_set(&controller, method, &limits, &path, now);
			break;
		case 1:
			tw_rate_controller_timeout(&controller, &path, now);
			break;
		case 2:
			if (tw_prng_below(&prng, 10) == 0) {
				tw_path_model_reset(&path, now);
				tw_rate_controller_path_changed(&controller, &path, now);
			}
			break;
		case 3:
			tw_rate_controller_datagram_size(
				&controller, 1200 + (uint32_t)tw_prng_below(&prng, 7800));
			break;
		default:
			sample = random_sample(&prng, now);
			tw_path_model_update(&path, &sample);
			tw_rate_controller_sample(&controller, &path, &sample);
			break;
		}
		rate = tw_rate_controller_pacing(&controller);
		window = tw_rate_controller_window(&controller, &path);
		if (rate == 0 ||
		    rate > (controller.limits.max_bps ? controller.limits.max_bps : 1) ||
		    (rate < controller.limits.min_bps && rate != controller.limits.max_bps))
			fail_msg("seed %" PRIu64 ", step %u: rate %" PRIu64, seed, i, rate);
		if (window < 4 * controller.datagram_bytes ||
		    (double)window * 8e9 <
			    (double)controller.limits.min_bps * (double)path.rtt_smoothed * 1.25)
			fail_msg("seed %" PRIu64 ", step %u: window %" PRIu64, seed, i, window);
	}
}

static void test_limits(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++)
		limits_hold(seed);
}

/* On a near path any method keeps what its caches hold, but for a rate that is promised. */
static void test_near(void **state)
{
	static const tw_ns rtts[] = { 300 * TW_USEC, 3 * TW_MSEC };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rtts); i++) {
		struct tw_rate_limits limits = { .rate_bps = 100000 * MBIT,
						 .max_bps = UINT64_MAX };
		struct tw_rate_controller controller;
		struct tw_path_model path;

		tw_path_model_init(&path, 0);
		tw_path_model_seed_rtt(&path, rtts[i]);
		tw_rate_controller_init(&controller, TW_RATE_FIXED, &limits, &path, 0);
		if (i == 0)
			assert_int_equal(tw_rate_controller_window(&controller, &path),
					 TW_PATH_NEAR_BYTES);
		else
			assert_true(tw_rate_controller_window(&controller, &path) >
				    8 * TW_PATH_NEAR_BYTES);
		limits.min_bps = limits.rate_bps;
		tw_rate_controller_set(&controller, TW_RATE_FIXED, &limits, &path, 0);
		assert_true(tw_rate_controller_window(&controller, &path) >
			    2 * TW_PATH_NEAR_BYTES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_fixed),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
