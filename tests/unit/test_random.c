#include "unit.h"

#include "base/random.h"

/* xoshiro256** from the state {1, 2, 3, 4}: the sequence any implementation gives. */
static void test_vector(void **state)
{
	static const uint64_t expected[] = {
		UINT64_C(11520),
		UINT64_C(0),
		UINT64_C(1509978240),
		UINT64_C(1215971899390074240),
	};
	struct tw_prng prng = { { 1, 2, 3, 4 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_int_equal(tw_prng_u64(&prng), expected[i]);
}

/* splitmix64 from 0 begins with these. */
static void test_seed(void **state)
{
	struct tw_prng prng;

	(void)state;
	tw_prng_init(&prng, 0);
	assert_int_equal(prng.state[0], UINT64_C(0xe220a8397b1dcdaf));
	assert_int_equal(prng.state[1], UINT64_C(0x6e789e6aa1b965f4));
}

static void test_below(void **state)
{
	size_t counts[10] = { 0 };
	struct tw_prng prng;

	(void)state;
	tw_prng_init(&prng, 1);
	for (int i = 0; i < 100000; i++) {
		uint64_t value = tw_prng_below(&prng, ARRAY_SIZE(counts));

		assert_true(value < ARRAY_SIZE(counts));
		counts[value]++;
	}
	/* 10 000 each, and a standard deviation of 95. */
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		assert_in_range(counts[i], 9500, 10500);
	assert_int_equal(tw_prng_below(&prng, 1), 0);
	/* A bound where half of all draws must be refused. */
	for (int i = 0; i < 1000; i++)
		assert_true(tw_prng_below(&prng, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
}

static void test_unit(void **state)
{
	struct tw_prng prng;
	double sum = 0;

	(void)state;
	tw_prng_init(&prng, 2);
	for (int i = 0; i < 100000; i++) {
		double value = tw_prng_unit(&prng);

		assert_true(value >= 0 && value < 1);
		sum += value;
	}
	assert_true(sum > 49000 && sum < 51000);
}

static void test_source(void **state)
{
	uint8_t one[37], two[37] = { 0 };
	struct tw_prng prng;
	struct tw_random random = tw_prng_random(&prng);

	(void)state;
	tw_prng_init(&prng, 3);
	tw_random_fill(&random, one, sizeof(one));
	tw_prng_init(&prng, 3);
	tw_random_fill(&random, two, sizeof(two));
	assert_memory_equal(one, two, sizeof(one));
	tw_random_fill(&random, two, sizeof(two));
	assert_memory_not_equal(one, two, sizeof(one));
	tw_random_fill(&random, NULL, 0);
	assert_int_not_equal(tw_random_u64(&random), tw_random_u64(&random));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector), cmocka_unit_test(test_seed),
		cmocka_unit_test(test_below),  cmocka_unit_test(test_unit),
		cmocka_unit_test(test_source),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
