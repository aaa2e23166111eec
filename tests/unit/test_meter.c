#include "unit.h"

#include "rate/meter.h"

#define T0 (5 * TW_SECOND)

static void test_steady(void **state)
{
	struct tw_meter meter;
	uint64_t bytes = 0;

	(void)state;
	tw_meter_init(&meter, TW_SECOND, T0);
	assert_int_equal(tw_meter_bps(&meter, T0 + TW_SECOND), 0);
	/* 1000 bytes a millisecond: 8 Mbit/s, at any moment from a window on. */
	for (tw_ns at = TW_MSEC; at <= 10 * TW_SECOND; at += TW_MSEC) {
		bytes += 1000;
		tw_meter_note(&meter, bytes, T0 + at);
		if (at >= TW_SECOND)
			assert_in_range(tw_meter_bps(&meter, T0 + at), 7980000, 8020000);
	}
	/* It sinks through the window that follows. */
	assert_in_range(tw_meter_bps(&meter, T0 + 10 * TW_SECOND + TW_SECOND / 2), 3900000,
			4100000);
	assert_int_equal(tw_meter_bps(&meter, T0 + 11 * TW_SECOND), 0);
	assert_int_equal(tw_meter_bps(&meter, T0 + 1000 * TW_SECOND), 0);
}

/* From one rate to another: after a window nothing of the old one is left. */
static void test_change(void **state)
{
	struct tw_meter meter;
	uint64_t bytes = 0;
	tw_ns at = T0;

	(void)state;
	tw_meter_init(&meter, 100 * TW_MSEC, at);
	for (; at < T0 + TW_SECOND; at += 100 * TW_USEC)
		tw_meter_note(&meter, bytes += 10000, at);
	assert_in_range(tw_meter_bps(&meter, at), 790000000, 810000000);
	for (; at < T0 + 1107 * TW_MSEC; at += 100 * TW_USEC)
		tw_meter_note(&meter, bytes += 100, at);
	assert_in_range(tw_meter_bps(&meter, at), 7900000, 8100000);
}

/* Bytes behind a long pause came now, not during it. */
static void test_pause(void **state)
{
	struct tw_meter meter;

	(void)state;
	tw_meter_init(&meter, TW_SECOND, T0);
	tw_meter_note(&meter, 1000, T0 + TW_MSEC);
	tw_meter_note(&meter, 126000, T0 + 100 * TW_SECOND);
	assert_int_equal(tw_meter_bps(&meter, T0 + 100 * TW_SECOND), 1000000);
	assert_int_equal(tw_meter_bps(&meter, T0 + 100 * TW_SECOND + TW_SECOND / 2), 1000000);
	/* Rare bytes: each counts for a window and no longer. */
	for (unsigned i = 1; i <= 100; i++) {
		tw_ns at = T0 + 100 * TW_SECOND + i * 10 * TW_SECOND;

		tw_meter_note(&meter, 126000 + i * 125, at);
		assert_int_equal(tw_meter_bps(&meter, at + TW_SECOND / 2), 1000);
		assert_int_equal(tw_meter_bps(&meter, at + 2 * TW_SECOND), 0);
	}
}

/* Noted at any spacing, the sum over windows is the sum of what came. */
static void test_irregular(void **state)
{
	struct tw_meter meter;
	uint64_t bytes = 0;
	double told = 0;
	tw_ns next = TW_SECOND;

	(void)state;
	tw_meter_init(&meter, TW_SECOND, T0);
	for (tw_ns at = 0; at < 200 * TW_SECOND; at += (at * 7919) % (300 * TW_MSEC) + TW_MSEC) {
		while (at >= next) {
			told += (double)tw_meter_bps(&meter, T0 + next) / 8;
			next += TW_SECOND;
		}
		bytes += (at / TW_MSEC * 31) % 10000;
		tw_meter_note(&meter, bytes, T0 + at);
	}
	assert_true(told > 0.95 * (double)bytes && told < 1.05 * (double)bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steady),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_irregular),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
