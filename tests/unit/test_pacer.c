#include "unit.h"

#include <inttypes.h>

#include "base/random.h"
#include "rate/pacer.h"
#include "rate/units.h"

#define MBIT UINT64_C(1000000)
#define NOTHING_LEFT 0

/* One datagram of 1250 bytes takes 10 us at 1 Gbit/s, 1 ms at 10 Mbit/s. */
static const struct step {
	const char *what;
	uint64_t rate_bps;
	tw_ns at;
	size_t available;
	size_t consumed;
} steps[] = {
	{ "the first train leaves at once", 100 * MBIT, 0, 12500, 12500 },
	{ "a datagram is left of the burst, less than half a train", 100 * MBIT, 0, NOTHING_LEFT,
	  0 },
	{ "still less than half a train", 100 * MBIT, 390 * TW_USEC, NOTHING_LEFT, 0 },
	{ "half a train", 100 * MBIT, 401 * TW_USEC, 6250, 6250 },
	{ "paying", 100 * MBIT, 600 * TW_USEC, NOTHING_LEFT, 0 },
	{ "half a train on, with nothing lost between", 100 * MBIT, 901 * TW_USEC, 6250, 2500 },
	{ "what was not used stays, what came on top too", 100 * MBIT, 1101 * TW_USEC, 6250, 6250 },
	{ "after a long silence a train", 100 * MBIT, TW_SECOND, 12500, 12500 },
	{ "and another, for a late sender may catch up", 100 * MBIT, TW_SECOND, 12500, 87500 },
	{ "and a burst", 100 * MBIT, TW_SECOND, 12500, 12500 },
	{ "and no more", 100 * MBIT, TW_SECOND, NOTHING_LEFT, 0 },
	{ "more than allowed is a debt", 100 * MBIT, 2 * TW_SECOND, 12500, 225000 },
	{ "which is carried", 100 * MBIT, 2 * TW_SECOND + 9300 * TW_USEC, NOTHING_LEFT, 0 },
	{ "to the end", 100 * MBIT, 2 * TW_SECOND + 9401 * TW_USEC, 6250, 0 },
	{ "also at another rate", 10 * MBIT, 2 * TW_SECOND + 9401 * TW_USEC, NOTHING_LEFT, 0 },
	{ "and back", 1000 * MBIT, 2 * TW_SECOND + 9900 * TW_USEC, 65000, 0 },
};

static void test_table(void **state)
{
	struct tw_pacer pacer;

	(void)state;
	tw_pacer_init(&pacer, 100 * MBIT, 1250);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		const struct step *step = &steps[i];
		size_t available;

		tw_pacer_set_rate(&pacer, step->rate_bps, step->at);
		available = tw_pacer_allowance(&pacer, step->at);
		if (available != step->available)
			fail_msg("%s: %zu instead of %zu", step->what, available, step->available);
		if (step->consumed > 0)
			tw_pacer_spent(&pacer, step->at, step->consumed);
	}
}

/* Bytes that leave when the sender takes all it may from @from to @until. */
static uint64_t drain_pacer(struct tw_pacer *pacer, tw_ns from, tw_ns until)
{
	uint64_t sent = 0;

	for (tw_ns now = from; now < until; now += 10 * TW_USEC) {
		size_t allowed;

		while ((allowed = tw_pacer_allowance(pacer, now)) > 0) {
			tw_pacer_spent(pacer, now, allowed);
			sent += allowed;
		}
	}
	return sent;
}

/* A lead goes at its rate, then the set rate holds again, and so it does for what came too late. */
static void test_lead(void **state)
{
	struct tw_pacer pacer;
	uint64_t sent;

	(void)state;
	tw_pacer_init(&pacer, 10 * MBIT, 1250);
	drain_pacer(&pacer, 0, TW_MSEC);
	tw_pacer_lead(&pacer, 50000, 100 * MBIT, TW_MSEC);
	tw_pacer_set_rate(&pacer, 20 * MBIT, TW_MSEC);
	sent = drain_pacer(&pacer, TW_MSEC, 5 * TW_MSEC);
	assert_in_range(sent, 40000, 65000);
	sent += drain_pacer(&pacer, 5 * TW_MSEC, 105 * TW_MSEC);
	assert_in_range(sent, 50000 + 235000, 50000 + 265000);
	assert_int_equal(pacer.rate_bps, 20 * MBIT);
	/* Nobody had much to send: a lead does not wait for ever. */
	tw_pacer_lead(&pacer, 50000, 100 * MBIT, TW_SECOND);
	tw_pacer_spent(&pacer, TW_SECOND, 1250);
	tw_pacer_spent(&pacer, 2 * TW_SECOND, 1250);
	assert_int_equal(pacer.rate_bps, 20 * MBIT);
	/* A set rate above the lead's makes it needless, and a slow lead is none. */
	tw_pacer_lead(&pacer, 50000, 100 * MBIT, 3 * TW_SECOND);
	tw_pacer_set_rate(&pacer, 200 * MBIT, 3 * TW_SECOND);
	assert_int_equal(pacer.rate_bps, 200 * MBIT);
	tw_pacer_lead(&pacer, 50000, 100 * MBIT, 3 * TW_SECOND);
	assert_int_equal(pacer.lead_bytes, 0);
}

/* Behind a lead that is a hundred times faster there is no pause of a hundred times what it is
 * ahead: the first packets there show what it has left. */
static void test_behind_lead(void **state)
{
	struct tw_pacer pacer;
	uint64_t sent;

	(void)state;
	tw_pacer_init(&pacer, 2 * MBIT, 1200);
	tw_pacer_lead(&pacer, 64 * 1200, 300 * MBIT, TW_MSEC);
	sent = drain_pacer(&pacer, TW_MSEC, 4 * TW_MSEC);
	/* The last train of a lead may be longer than what is left of it. */
	assert_in_range(sent, 64 * 1200, 80 * 1200);
	sent = drain_pacer(&pacer, 4 * TW_MSEC, 20 * TW_MSEC);
	assert_in_range(sent, 1200, 4800);
	/* And then nothing but the rate. */
	sent = drain_pacer(&pacer, 20 * TW_MSEC, 420 * TW_MSEC);
	assert_in_range(sent, 96000, 104000);
}

/*
 * Who sleeps until he is told to wakes up for a span's worth, or two trains where that is more; who
 * comes by in between may take half a train.
 */
static void test_wakes(void **state)
{
	static const struct {
		uint64_t rate_bps, wakes; /* in a second */
	} cases[] = {
		{ 5 * MBIT, 500 },     { 100 * MBIT, 1000 },   { 500 * MBIT, 1000 },
		{ 1000 * MBIT, 1000 }, { 10000 * MBIT, 9600 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t sent = 0, wakes = 0;
		struct tw_pacer pacer;
		tw_ns now = 0;

		tw_pacer_init(&pacer, cases[i].rate_bps, 1250);
		for (; now < TW_SECOND; now = tw_pacer_next(&pacer, now)) {
			size_t allowed;

			wakes++;
			while ((allowed = tw_pacer_allowance(&pacer, now)) > 0) {
				tw_pacer_spent(&pacer, now, allowed);
				sent += allowed;
			}
		}
		assert_in_range(wakes, cases[i].wakes, cases[i].wakes * 11 / 10);
		assert_in_range(sent, tw_rate_bytes(cases[i].rate_bps, TW_SECOND) * 99 / 100,
				tw_rate_bytes(cases[i].rate_bps, TW_SECOND) + 10 * 130000);
	}
}

static void test_train_length(void **state)
{
	static const struct {
		uint64_t rate_bps;
		uint32_t datagram, train;
	} cases[] = {
		{ 1, 1200, 1200 },           { 1 * MBIT, 1200, 1200 },
		{ 20 * MBIT, 1200, 2400 },   { 100 * MBIT, 1400, 11200 },
		{ 500 * MBIT, 1450, 62350 }, { 10000 * MBIT, 1450, 63800 },
		{ UINT64_MAX, 9000, 63000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tw_pacer pacer;

		tw_pacer_init(&pacer, cases[i].rate_bps, cases[i].datagram);
		assert_int_equal(pacer.train_bytes, cases[i].train);
		assert_int_equal(tw_pacer_allowance(&pacer, 0), cases[i].train);
	}
}

static void test_train_lost(void **state)
{
	struct tw_pacer pacer;

	(void)state;
	tw_pacer_init(&pacer, 500 * MBIT, 1250);
	assert_int_equal(pacer.train_bytes, 62500);
	tw_pacer_train_lost(&pacer);
	assert_int_equal(pacer.train_bytes, 31250);
	for (unsigned i = 0; i < 100; i++)
		tw_pacer_train_lost(&pacer);
	assert_int_equal(pacer.train_bytes, 1250);
	for (unsigned i = 0; i < 100; i++)
		tw_pacer_round_quiet(&pacer);
	assert_int_equal(pacer.train_bytes, 62500);
}

/*
 * Over any interval t, no more than rate * t + burst + catch-up, and no less than the rate for one
 * who is always ready.
 */
static void test_promise(void **state)
{
	enum { SENDS = 2000 };
	static tw_ns at[SENDS];
	static size_t sent[SENDS];

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct tw_prng prng;
		struct tw_pacer pacer;
		uint64_t rate, burst, total = 0;
		tw_ns now = 0;

		tw_prng_init(&prng, seed);
		rate = MBIT << tw_prng_below(&prng, 15);
		tw_pacer_init(&pacer, rate, 1200);
		burst = tw_rate_bytes(rate, TW_MSEC);
		if (burst < pacer.train_bytes + 1200)
			burst = pacer.train_bytes + 1200;
		burst += tw_rate_bytes(rate, TW_PACER_CATCH_UP) < TW_PACER_CATCH_UP_BYTES
				 ? tw_rate_bytes(rate, TW_PACER_CATCH_UP)
				 : TW_PACER_CATCH_UP_BYTES;
		for (size_t i = 0; i < SENDS; i++) {
			size_t allowed = tw_pacer_allowance(&pacer, now);

			if (allowed > 0 && tw_prng_below(&prng, 4) == 0)
				allowed = 1 + tw_prng_below(&prng, allowed);
			tw_pacer_spent(&pacer, now, allowed);
			at[i] = now;
			sent[i] = allowed;
			/* Timers come late, and now and then the sender had nothing to send. */
			now = tw_pacer_next(&pacer, now) + tw_prng_below(&prng, 300 * TW_USEC);
			if (tw_prng_below(&prng, 100) == 0)
				now += tw_prng_below(&prng, 50 * TW_MSEC);
		}
		for (size_t from = 0; from < SENDS; from += 7) {
			total = 0;
			for (size_t to = from; to < SENDS; to++) {
				total += sent[to];
				if (total > tw_rate_bytes(rate, at[to] - at[from]) + burst + 2)
					fail_msg("seed %" PRIu64 ": %zu to %zu", seed, from, to);
			}
		}
	}
}

static void test_full_rate(void **state)
{
	static const uint64_t rates[] = { MBIT / 10, 10 * MBIT, 500 * MBIT, 10000 * MBIT };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		struct tw_prng prng;
		struct tw_pacer pacer;
		uint64_t total = 0;
		tw_ns now = 0;

		tw_prng_init(&prng, i);
		tw_pacer_init(&pacer, rates[i], 1200);
		while (now < 2 * TW_SECOND) {
			size_t allowed = tw_pacer_allowance(&pacer, now);

			if (allowed == 0) {
				tw_ns next = tw_pacer_next(&pacer, now);

				assert_true(next > now);
				assert_true(tw_pacer_allowance(&pacer, next) > 0);
				now = next + tw_prng_below(&prng, 200 * TW_USEC);
				continue;
			}
			tw_pacer_spent(&pacer, now, allowed);
			total += allowed;
		}
		/* Timers late by up to 0.2 ms cost nothing. */
		assert_true(total >= tw_rate_bytes(rates[i], 2 * TW_SECOND) * 99 / 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),        cmocka_unit_test(test_lead),
		cmocka_unit_test(test_behind_lead),  cmocka_unit_test(test_wakes),
		cmocka_unit_test(test_train_length), cmocka_unit_test(test_train_lost),
		cmocka_unit_test(test_promise),      cmocka_unit_test(test_full_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
