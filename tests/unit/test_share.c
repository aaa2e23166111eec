#include "unit.h"

#include <inttypes.h>

#include "base/random.h"
#include "rate/share.h"

#define NONE UINT64_MAX
#define CLAIMS_MAX 6

static const struct division {
	const char *what;
	uint64_t total;
	size_t count;
	uint64_t needs[CLAIMS_MAX], mosts[CLAIMS_MAX], parts[CLAIMS_MAX];
} divisions[] = {
	{ "nobody", 100, 0, { 0 }, { 0 }, { 0 } },
	{ "one has all", 100, 1, { 500 }, { NONE }, { 100 } },
	{ "one has all although he needs less now", 100, 1, { 5 }, { NONE }, { 100 } },
	{ "but not more than he may", 100, 1, { 5 }, { 40 }, { 40 } },
	{ "equal needs, equal parts", 90, 3, { 50, 50, 50 }, { NONE, NONE, NONE }, { 30, 30, 30 } },
	{ "what one does not use the others may",
	  90,
	  3,
	  { 10, 500, 500 },
	  { NONE, NONE, NONE },
	  { 10, 40, 40 } },
	{ "nor what one may not", 90, 3, { 500, 500, 500 }, { 10, NONE, NONE }, { 10, 40, 40 } },
	{ "no need is beyond what one may", 90, 2, { 500, 70 }, { 20, NONE }, { 20, 70 } },
	{ "what all leave over lifts the lowest first",
	  100,
	  3,
	  { 10, 20, 40 },
	  { NONE, NONE, NONE },
	  { 30, 30, 40 } },
	{ "up to what they may", 100, 3, { 10, 20, 40 }, { 10, NONE, NONE }, { 10, 45, 45 } },
	{ "no limit at all", NONE, 2, { 10, 20 }, { NONE, 70 }, { NONE, 70 } },
	{ "nothing to give", 0, 2, { 10, 20 }, { NONE, 70 }, { 0, 0 } },
	{ "a part smaller than one each", 2, 3, { 9, 9, 9 }, { NONE, NONE, NONE }, { 0, 0, 0 } },
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(divisions); i++) {
		const struct division *division = &divisions[i];
		struct tw_share shares[CLAIMS_MAX];

		for (size_t k = 0; k < division->count; k++)
			shares[k] = (struct tw_share){ division->needs[k], division->mosts[k], 0 };
		tw_share_divide(division->total, shares, division->count);
		for (size_t k = 0; k < division->count; k++)
			if (shares[k].part_bps != division->parts[k])
				fail_msg("%s: %zu gets %" PRIu64 " instead of %" PRIu64,
					 division->what, k, shares[k].part_bps, division->parts[k]);
	}
}

/*
 * Whatever the claims: together never more than the whole; never more than one may; whoever gets
 * less than he needs gets no less than anybody else; and nothing is held back that somebody may
 * have.
 */
static void test_any(void **state)
{
	static struct tw_share shares[200];
	struct tw_prng prng;

	(void)state;
	tw_prng_init(&prng, 4711);
	for (unsigned round = 0; round < 2000; round++) {
		size_t count = 1 + (size_t)tw_prng_below(&prng, ARRAY_SIZE(shares));
		uint64_t total = tw_prng_below(&prng, UINT64_C(10000000000)), sum = 0, most = 0;

		for (size_t i = 0; i < count; i++) {
			shares[i].need_bps = tw_prng_below(&prng, 2 * total / count + 10);
			shares[i].most_bps = tw_prng_below(&prng, 3)
						     ? UINT64_MAX
						     : tw_prng_below(&prng, total + 10);
		}
		tw_share_divide(total, shares, count);
		for (size_t i = 0; i < count; i++) {
			assert_true(shares[i].part_bps <= shares[i].most_bps);
			sum += shares[i].part_bps;
			if (shares[i].part_bps > most)
				most = shares[i].part_bps;
		}
		assert_true(sum <= total);
		for (size_t i = 0; i < count; i++) {
			bool full = shares[i].part_bps == shares[i].most_bps;

			if (!full && shares[i].part_bps < shares[i].need_bps)
				assert_int_equal(shares[i].part_bps, most);
			/* One more for each of those at the water level would be too much. */
			if (!full && shares[i].part_bps != shares[i].need_bps)
				assert_true(total - sum < count);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
