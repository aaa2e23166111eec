#include "unit.h"

#include "crypto/cookie.h"

struct fixture {
	struct tw_prng prng;
	struct tw_random random;
	struct tw_cookie_jar jar;
};

static const struct tw_address home = { TW_FAMILY_IPV4, { 192, 0, 2, 1 }, 8886, 0 };
static const uint64_t cid = 0x0123456789abcdef;
static const tw_ns start = 1000 * TW_SECOND;

static void set_up(struct fixture *f)
{
	tw_prng_init(&f->prng, 42);
	f->random = tw_prng_random(&f->prng);
	tw_cookie_jar_init(&f->jar, &f->random, start);
}

static bool check(struct fixture *f, tw_ns now, const uint8_t *cookie)
{
	return tw_cookie_check(&f->jar, &f->random, now, &home, cid, cookie);
}

/* Who asks is bound in: each field counts. */
static void test_binding(void **state)
{
	struct tw_address others[6] = { home, home, home, home, home, home };
	struct fixture f;
	uint8_t cookie[16], again[16];

	(void)state;
	set_up(&f);
	tw_cookie_make(&f.jar, &f.random, start, &home, cid, cookie);
	tw_cookie_make(&f.jar, &f.random, start + 1, &home, cid, again);
	assert_memory_equal(cookie, again, sizeof cookie);
	assert_true(check(&f, start, cookie));

	others[0].family = TW_FAMILY_IPV6;
	others[1].ip[0] ^= 1;
	others[2].ip[15] ^= 1;
	others[3].port++;
	others[4].port ^= 0x100;
	others[5].scope = 1;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(tw_cookie_check(&f.jar, &f.random, start, &others[i], cid, cookie));
	assert_false(tw_cookie_check(&f.jar, &f.random, start, &home, cid ^ 1, cookie));
	assert_false(
		tw_cookie_check(&f.jar, &f.random, start, &home, cid ^ UINT64_C(1) << 63, cookie));
	for (size_t bit = 0; bit < 8 * sizeof cookie; bit++) {
		cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(check(&f, start, cookie));
		cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(check(&f, start, cookie));
	tw_cookie_jar_wipe(&f.jar);
}

/* A cookie lives until two key lives after the birth of its key: two to four minutes. */
static void test_life(void **state)
{
	static const struct {
		tw_ns made, asked; /* since the birth of the jar */
		bool honoured;
	} cases[] = {
		{ 0, TW_COOKIE_KEY_LIFE - 1, true },
		{ 0, TW_COOKIE_KEY_LIFE, true },
		{ 0, 2 * TW_COOKIE_KEY_LIFE - 1, true },
		{ 0, 2 * TW_COOKIE_KEY_LIFE, false },
		{ TW_COOKIE_KEY_LIFE - 1, 2 * TW_COOKIE_KEY_LIFE - 1, true },
		{ TW_COOKIE_KEY_LIFE - 1, 2 * TW_COOKIE_KEY_LIFE, false },
		{ TW_COOKIE_KEY_LIFE, 3 * TW_COOKIE_KEY_LIFE - 1, true },
		{ TW_COOKIE_KEY_LIFE, 3 * TW_COOKIE_KEY_LIFE, false },
		{ 0, 1000 * TW_COOKIE_KEY_LIFE, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;
		uint8_t cookie[16];

		set_up(&f);
		tw_cookie_make(&f.jar, &f.random, start + cases[i].made, &home, cid, cookie);
		assert_int_equal(check(&f, start + cases[i].asked, cookie), cases[i].honoured);
		/* However that was, new cookies work. */
		tw_cookie_make(&f.jar, &f.random, start + cases[i].asked, &home, cid, cookie);
		assert_true(check(&f, start + cases[i].asked, cookie));
		tw_cookie_jar_wipe(&f.jar);
	}
}

/* The same times with somebody asking every second: rotation on the way changes nothing. */
static void test_busy_jar(void **state)
{
	struct fixture f;
	uint8_t cookie[16];

	(void)state;
	set_up(&f);
	tw_cookie_make(&f.jar, &f.random, start + TW_SECOND, &home, cid, cookie);
	for (tw_ns age = TW_SECOND; age < 4 * TW_COOKIE_KEY_LIFE; age += TW_SECOND)
		assert_int_equal(check(&f, start + age, cookie), age < 2 * TW_COOKIE_KEY_LIFE);
	tw_cookie_jar_wipe(&f.jar);
}

static void test_other_jar(void **state)
{
	struct fixture f;
	struct tw_cookie_jar other;
	uint8_t cookie[16];

	(void)state;
	set_up(&f);
	tw_cookie_jar_init(&other, &f.random, start);
	tw_cookie_make(&other, &f.random, start, &home, cid, cookie);
	assert_false(check(&f, start, cookie));
	tw_cookie_jar_wipe(&other);
	tw_cookie_jar_wipe(&f.jar);
	for (size_t i = 0; i < sizeof other; i++)
		assert_int_equal(((const uint8_t *)&other)[i], 0);
}

/* Made for one index and one connection id; says its index in the clear. */
static void test_ticket(void **state)
{
	struct tw_ticket ticket = { .index = 7 }, other = { .index = 8 };
	uint8_t cookie[16], again[16];

	(void)state;
	memset(ticket.key.bytes, 1, sizeof ticket.key.bytes);
	other.key = ticket.key;
	tw_ticket_cookie(&ticket, cid, cookie);
	tw_ticket_cookie(&ticket, cid, again);
	assert_memory_equal(cookie, again, 16);
	assert_int_equal(tw_ticket_index(cookie), 7);
	tw_ticket_cookie(&ticket, cid ^ 1, again);
	assert_memory_not_equal(cookie + 4, again + 4, 12);
	tw_ticket_cookie(&other, cid, again);
	assert_int_equal(tw_ticket_index(again), 8);
	assert_memory_not_equal(cookie + 4, again + 4, 12);
	ticket.key.bytes[31] ^= 1;
	tw_ticket_cookie(&ticket, cid, again);
	assert_memory_not_equal(cookie + 4, again + 4, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_binding),
		cmocka_unit_test(test_ticket),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_busy_jar),
		cmocka_unit_test(test_other_jar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
