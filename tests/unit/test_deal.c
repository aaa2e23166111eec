#include "unit.h"

#include "base/random.h"
#include "engine/deal.h"

#define MBIT UINT64_C(1000000)
#define TOTAL (100 * MBIT)
#define TENTH (100 * TW_MSEC)

static uint64_t sum(const struct tw_deal *deals, unsigned count)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < count; i++)
		all += deals[i].part_bps;
	return all;
}

/* Each uses what it wants, as far as it may. */
static void use(struct tw_deal *deals, const uint64_t *wants, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		deals[i].used_bps = wants[i] < deals[i].part_bps ? wants[i] : deals[i].part_bps;
}

static void nobody_starves(void **state)
{
	struct tw_deal deals[3] = { { .part_bps = UINT64_MAX, .active = 1 },
				    { .part_bps = UINT64_MAX },
				    { .part_bps = UINT64_MAX } };
	uint64_t wants[3] = { UINT64_MAX, 0, 0 };
	tw_ns now = TW_SECOND;

	(void)state;
	/* One alone has nearly everything. */
	for (unsigned i = 0; i < 10; i++, now += TENTH) {
		use(deals, wants, 3);
		tw_deal_out(TOTAL, deals, 3, now);
		assert_true(sum(deals, 3) <= TOTAL);
	}
	assert_true(deals[0].part_bps > TOTAL / 100 * 95);
	assert_true(deals[1].part_bps >= TOTAL / 300);
	/* A second one with three connections has soon three times as much. */
	wants[1] = UINT64_MAX;
	deals[1].active = 3;
	for (unsigned i = 0; i < 10; i++, now += TENTH) {
		use(deals, wants, 3);
		tw_deal_out(TOTAL, deals, 3, now);
		assert_true(sum(deals, 3) <= TOTAL);
	}
	assert_in_range(deals[0].part_bps, TOTAL / 100 * 22, TOTAL / 100 * 27);
	assert_in_range(deals[1].part_bps, TOTAL / 100 * 70, TOTAL / 100 * 77);
	/* What one does not need the others have. */
	wants[1] = 10 * MBIT;
	for (unsigned i = 0; i < 20; i++, now += TENTH) {
		use(deals, wants, 3);
		tw_deal_out(TOTAL, deals, 3, now);
		assert_true(sum(deals, 3) <= TOTAL);
	}
	assert_true(deals[0].part_bps > TOTAL / 100 * 70);
	assert_true(deals[1].part_bps >= 10 * MBIT);
}

/* Until a smaller part is kept to, nobody has what it gives up. */
static void what_is_in_use_counts(void **state)
{
	const tw_ns settle = 450 * TW_MSEC;
	struct tw_deal deals[2] = { { .part_bps = UINT64_MAX, .active = 1, .settle = settle },
				    { .part_bps = UINT64_MAX, .settle = settle } };
	tw_ns now = TW_SECOND, shrunk = 0;
	uint64_t big;

	(void)state;
	for (unsigned i = 0; i < 20; i++, now += TENTH) {
		deals[0].used_bps = deals[0].part_bps < TOTAL ? deals[0].part_bps : 0;
		tw_deal_out(TOTAL, deals, 2, now);
	}
	big = deals[0].part_bps;
	assert_true(big > TOTAL / 100 * 95);
	deals[1].active = 1;
	for (unsigned i = 0; i < 20; i++, now += TENTH) {
		deals[0].used_bps = deals[0].part_bps;
		deals[1].used_bps = deals[1].part_bps;
		tw_deal_out(TOTAL, deals, 2, now);
		if (!shrunk) {
			shrunk = now;
			assert_true(deals[0].part_bps < TOTAL / 100 * 55);
		}
		if (now < shrunk + settle)
			assert_true(big + deals[1].part_bps <= TOTAL);
		assert_true(sum(deals, 2) <= TOTAL);
	}
	assert_true(deals[1].part_bps > TOTAL / 100 * 45);
}

static void no_limit_is_none(void **state)
{
	struct tw_deal deals[2] = { { .part_bps = 5, .active = 1 }, { .part_bps = 7 } };

	(void)state;
	tw_deal_out(UINT64_MAX, deals, 2, TW_SECOND);
	assert_true(deals[0].part_bps == UINT64_MAX && deals[1].part_bps == UINT64_MAX);
	/* One alone has it all. */
	tw_deal_out(TOTAL, deals, 1, TW_SECOND);
	assert_int_equal(deals[0].part_bps, TOTAL);
}

/* Whatever happens, the parts and what is still in use are never more than the total. */
static void the_total_holds(void **state)
{
	struct tw_prng prng;

	(void)state;
	for (unsigned seed = 1; seed < 200; seed++) {
		struct tw_deal deals[8];
		uint64_t wants[8] = { 0 }, total = MBIT << seed % 12;
		unsigned count = 2 + seed % 7;
		tw_ns now = TW_SECOND;

		tw_prng_init(&prng, seed);
		for (unsigned i = 0; i < count; i++)
			deals[i] = (struct tw_deal){ .part_bps = UINT64_MAX,
						     .settle = i % 2 ? TW_SECOND / 3 : 0 };
		for (unsigned turn = 0; turn < 100; turn++, now += TENTH) {
			unsigned who = (unsigned)tw_prng_below(&prng, count);

			deals[who].active = (unsigned)tw_prng_below(&prng, 100);
			wants[who] = tw_prng_below(&prng, 2 * total);
			use(deals, wants, count);
			tw_deal_out(total, deals, count, now);
			if (sum(deals, count) > total)
				fail_msg("seed %u: more than the total", seed);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_starves),
		cmocka_unit_test(what_is_in_use_counts),
		cmocka_unit_test(no_limit_is_none),
		cmocka_unit_test(the_total_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
