#include "unit.h"

#include "api/penalty.h"
#include "netio/sockaddr.h"

#define HOUR (3600 * TW_SECOND)

static struct tw_penalty_source source_of(const char *text)
{
	struct tw_address address;

	assert_true(tw_address_parse_ip(text, &address));
	return tw_penalty_source_of(&address);
}

static int setup(void **state)
{
	return tw_penalties_new((struct tw_penalties **)state);
}

static int teardown(void **state)
{
	tw_penalties_free(*state);
	return 0;
}

/* What a wrong guess costs at once: nothing the first time, then it doubles, and it is forgotten.
 */
static void test_growth_and_decay(void **state)
{
	struct tw_penalty_source source = source_of("192.0.2.1");
	struct tw_penalty_source other = source_of("192.0.2.2");
	tw_ns now = 1000 * TW_SECOND, expected = 0, wait;

	for (int i = 0; i < 7; i++) {
		assert_int_equal(tw_penalty_begin(*state, &source, now), 0);
		tw_penalty_wrong(*state, &source, "alice", now);
		wait = tw_penalty_begin(*state, &source, now);
		if (i == 0) {
			assert_int_equal(wait, 0);
			tw_penalty_right(*state, &source, now);
		} else {
			assert_int_equal(wait, expected);
			assert_int_equal(tw_penalty_begin(*state, &source, now + wait - 1), 1);
		}
		expected = expected ? expected * 2 : TW_SECOND;
		now += wait;
	}
	assert_int_equal(tw_penalty_begin(*state, &other, now), 0);
	now += 12 * TW_PENALTY_COST;
	assert_int_equal(tw_penalty_begin(*state, &source, now), 0);
	tw_penalty_wrong(*state, &source, "alice", now);
	assert_int_equal(tw_penalty_begin(*state, &source, now), 0);
}

/*
 * Whoever comes as soon as he may, with any number at a time, some of them right: in no hour are
 * more looked at than promised.
 */
static void greedy(struct tw_penalties *penalties, unsigned at_a_time, unsigned right_of_ten)
{
	static tw_ns begun[2000];
	struct tw_penalty_source source = source_of("2001:db8::1");
	size_t count = 0, looked_at = 0;
	tw_ns now = HOUR, wait;

	while (now < 9 * HOUR && count < 2000) {
		unsigned open = 0;

		wait = 0;
		while (open < at_a_time && (wait = tw_penalty_begin(penalties, &source, now)) == 0)
			open++;
		for (unsigned i = 0; i < open; i++) {
			if (looked_at++ % 10 < right_of_ten) {
				tw_penalty_right(penalties, &source, now);
				continue;
			}
			tw_penalty_wrong(penalties, &source, "root", now);
			begun[count++] = now;
		}
		now += wait ? wait : 10 * TW_MSEC;
	}
	assert_true(count > 100 && count < 2000);
	for (size_t first = 0, last = 0; last < count; last++) {
		while (begun[last] - begun[first] >= HOUR)
			first++;
		assert_in_range(last - first + 1, 1, TW_PENALTY_GUESSES_AN_HOUR);
	}
}

static void test_an_hour(void **state)
{
	greedy(*state, 1, 0);
}

static void test_an_hour_in_parallel(void **state)
{
	greedy(*state, 100, 0);
}

/* An account of his own does not wash a guesser clean. */
static void test_an_hour_with_right_ones(void **state)
{
	greedy(*state, 3, 5);
}

/* Right ones alone cost nothing, however many at a time up to a burst. */
static void test_right(void **state)
{
	struct tw_penalty_source source = source_of("192.0.2.1");
	tw_ns now = HOUR;

	for (int i = 0; i < 10000; i++, now += TW_MSEC) {
		for (int k = 0; k < TW_PENALTY_BURST; k++)
			assert_int_equal(tw_penalty_begin(*state, &source, now), 0);
		assert_true(tw_penalty_begin(*state, &source, now) > 0);
		for (int k = 0; k < TW_PENALTY_BURST; k++)
			tw_penalty_right(*state, &source, now);
	}
}

/* A source is an IPv4 address, or an IPv6 network of 64 bits, or an account. */
static void test_sources(void **state)
{
	struct tw_penalty_source one = source_of("2001:db8:0:1::1");
	struct tw_penalty_source same = source_of("2001:db8:0:1:ffff:ffff:ffff:ffff");
	struct tw_penalty_source next = source_of("2001:db8:0:2::1");
	struct tw_penalty_source four = source_of("32.1.13.184");
	struct tw_penalty_source account = tw_penalty_source_account(0);

	(void)state;
	assert_memory_equal(&one, &same, sizeof one);
	assert_memory_not_equal(&one, &next, sizeof one);
	assert_memory_not_equal(&one, &four, sizeof one);
	assert_memory_not_equal(&account, &four, sizeof one);
}

/* Many sources that guess at one name slow it, and close it for nobody. */
static void test_names(void **state)
{
	tw_ns now = HOUR, before = 0;
	char text[32];

	for (int i = 0; i < 3000; i++) {
		struct tw_penalty_source source;
		tw_ns delay = tw_penalty_delay(*state, "alice", now);

		snprintf(text, sizeof text, "10.0.%d.%d", i / 250, i % 250);
		source = source_of(text);
		assert_true(delay >= before && delay <= TW_PENALTY_DELAY_MAX);
		before = delay;
		assert_int_equal(tw_penalty_begin(*state, &source, now), 0);
		tw_penalty_wrong(*state, &source, "alice", now);
	}
	assert_int_equal(before, TW_PENALTY_DELAY_MAX);
	assert_int_equal(tw_penalty_delay(*state, "bob", now), 0);
	now += TW_PENALTY_BURST * TW_PENALTY_COST;
	assert_int_equal(tw_penalty_delay(*state, "alice", now), 0);
}

/* However many sources there are, memory has a bound, and who owes much is not forgotten for them.
 */
static void test_many_sources(void **state)
{
	struct tw_penalty_source guesser = source_of("192.0.2.1");
	tw_ns now = HOUR, wait;
	char text[48];

	for (int i = 0; i < 6; i++)
		assert_int_equal(tw_penalty_begin(*state, &guesser, now), 0);
	tw_penalty_wrong(*state, &guesser, "root", now);
	wait = tw_penalty_begin(*state, &guesser, now);
	assert_true(wait > 0);
	for (int i = 0; i < 20000; i++) {
		struct tw_penalty_source source;

		snprintf(text, sizeof text, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		source = source_of(text);
		tw_penalty_begin(*state, &source, now);
		tw_penalty_wrong(*state, &source, text, now);
	}
	assert_int_equal(tw_penalty_begin(*state, &guesser, now), wait);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_growth_and_decay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_hour, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_hour_in_parallel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_hour_with_right_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(test_right, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sources, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_sources, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
