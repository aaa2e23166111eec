#include "unit.h"

#include "base/error.h"
#include "base/random.h"
#include "base/ranges.h"

/* The set, its total and its order, as text such as "1-3 5-9". */
static void expect(const struct tw_ranges *ranges, const char *text)
{
	uint64_t total = 0;
	char got[256] = "";
	size_t length = 0;

	for (size_t i = 0; i < ranges->count; i++) {
		length += (size_t)snprintf(got + length, sizeof(got) - length, "%s%llu-%llu",
					   i ? " " : "", (unsigned long long)ranges->at[i].start,
					   (unsigned long long)ranges->at[i].end);
		total += ranges->at[i].end - ranges->at[i].start;
	}
	assert_string_equal(got, text);
	assert_int_equal(ranges->total, total);
}

static void test_add(void **state)
{
	struct tw_ranges ranges;

	(void)state;
	tw_ranges_init(&ranges, 16);
	expect(&ranges, "");
	assert_int_equal(tw_ranges_add(&ranges, 10, 20), 0);
	assert_int_equal(tw_ranges_add(&ranges, 30, 40), 0);
	assert_int_equal(tw_ranges_add(&ranges, 0, 5), 0);
	expect(&ranges, "0-5 10-20 30-40");
	assert_int_equal(tw_ranges_add(&ranges, 7, 7), 0);
	assert_int_equal(tw_ranges_add(&ranges, 12, 18), 0);
	expect(&ranges, "0-5 10-20 30-40");
	assert_int_equal(tw_ranges_add(&ranges, 20, 22), 0);
	assert_int_equal(tw_ranges_add(&ranges, 28, 30), 0);
	expect(&ranges, "0-5 10-22 28-40");
	assert_int_equal(tw_ranges_add(&ranges, 5, 10), 0);
	expect(&ranges, "0-22 28-40");
	assert_int_equal(tw_ranges_add(&ranges, 3, 50), 0);
	expect(&ranges, "0-50");
	tw_ranges_clear(&ranges);
	expect(&ranges, "");
	tw_ranges_deinit(&ranges);
}

static void test_remove(void **state)
{
	struct tw_ranges ranges;

	(void)state;
	tw_ranges_init(&ranges, 16);
	assert_int_equal(tw_ranges_remove(&ranges, 0, 100), 0);
	assert_int_equal(tw_ranges_add(&ranges, 10, 50), 0);
	assert_int_equal(tw_ranges_remove(&ranges, 0, 10), 0);
	assert_int_equal(tw_ranges_remove(&ranges, 50, 60), 0);
	assert_int_equal(tw_ranges_remove(&ranges, 20, 20), 0);
	expect(&ranges, "10-50");
	assert_int_equal(tw_ranges_remove(&ranges, 20, 30), 0);
	expect(&ranges, "10-20 30-50");
	assert_int_equal(tw_ranges_remove(&ranges, 15, 35), 0);
	expect(&ranges, "10-15 35-50");
	assert_int_equal(tw_ranges_remove(&ranges, 0, 12), 0);
	assert_int_equal(tw_ranges_remove(&ranges, 49, 90), 0);
	expect(&ranges, "12-15 35-49");
	assert_int_equal(tw_ranges_remove(&ranges, 12, 49), 0);
	expect(&ranges, "");
	tw_ranges_deinit(&ranges);
}

static void test_cap(void **state)
{
	struct tw_ranges ranges;

	(void)state;
	tw_ranges_init(&ranges, 2);
	assert_int_equal(tw_ranges_add(&ranges, 0, 10), 0);
	assert_int_equal(tw_ranges_add(&ranges, 20, 30), 0);
	assert_int_equal(tw_ranges_add(&ranges, 40, 50), TW_E_FULL);
	assert_int_equal(tw_ranges_add(&ranges, 12, 13), TW_E_FULL);
	assert_int_equal(tw_ranges_remove(&ranges, 2, 3), TW_E_FULL);
	expect(&ranges, "0-10 20-30");
	/* What needs no more room still works. */
	assert_int_equal(tw_ranges_add(&ranges, 10, 20), 0);
	assert_int_equal(tw_ranges_remove(&ranges, 2, 3), 0);
	expect(&ranges, "0-2 3-30");
	tw_ranges_deinit(&ranges);
}

static void test_ends_of_the_line(void **state)
{
	struct tw_ranges ranges;
	struct tw_range got;

	(void)state;
	tw_ranges_init(&ranges, 4);
	assert_int_equal(tw_ranges_add(&ranges, 0, UINT64_MAX), 0);
	assert_int_equal(ranges.total, UINT64_MAX);
	assert_true(tw_ranges_contain(&ranges, 0, UINT64_MAX));
	assert_false(tw_ranges_next_gap(&ranges, 0, UINT64_MAX, &got));
	assert_int_equal(tw_ranges_remove(&ranges, 0, UINT64_MAX - 1), 0);
	assert_int_equal(ranges.total, 1);
	assert_true(tw_ranges_next(&ranges, 0, UINT64_MAX, &got));
	assert_true(got.start == UINT64_MAX - 1 && got.end == UINT64_MAX);
	tw_ranges_deinit(&ranges);
}

static void test_queries(void **state)
{
	struct tw_ranges ranges;
	struct tw_range got = { 77, 78 };

	(void)state;
	tw_ranges_init(&ranges, 16);
	assert_false(tw_ranges_next(&ranges, 0, 100, &got));
	assert_true(got.start == 77 && got.end == 78);
	assert_true(tw_ranges_next_gap(&ranges, 3, 9, &got));
	assert_true(got.start == 3 && got.end == 9);
	assert_int_equal(tw_ranges_add(&ranges, 10, 20), 0);
	assert_int_equal(tw_ranges_add(&ranges, 30, 40), 0);

	assert_true(tw_ranges_contain(&ranges, 10, 20));
	assert_true(tw_ranges_contain(&ranges, 25, 25));
	assert_false(tw_ranges_contain(&ranges, 9, 11));
	assert_false(tw_ranges_contain(&ranges, 15, 35));
	assert_int_equal(tw_ranges_overlap(&ranges, 0, 100), 20);
	assert_int_equal(tw_ranges_overlap(&ranges, 15, 35), 10);
	assert_int_equal(tw_ranges_overlap(&ranges, 20, 30), 0);

	assert_true(tw_ranges_next(&ranges, 15, 100, &got));
	assert_true(got.start == 15 && got.end == 20);
	assert_true(tw_ranges_next(&ranges, 20, 100, &got));
	assert_true(got.start == 30 && got.end == 40);
	assert_false(tw_ranges_next(&ranges, 20, 30, &got));
	assert_true(tw_ranges_next_gap(&ranges, 10, 100, &got));
	assert_true(got.start == 20 && got.end == 30);
	assert_true(tw_ranges_next_gap(&ranges, 35, 100, &got));
	assert_true(got.start == 40 && got.end == 100);
	assert_false(tw_ranges_next_gap(&ranges, 30, 40, &got));
	tw_ranges_deinit(&ranges);
}

/* The model: a byte for each number of a small universe. */
#define UNIVERSE 200

struct model {
	bool has[UNIVERSE];
};

static size_t model_count(const struct model *model)
{
	size_t count = 0;

	for (size_t i = 0; i < UNIVERSE; i++)
		count += model->has[i] && (!i || !model->has[i - 1]);
	return count;
}

/* The first run of @wanted inside [start, end). */
static bool model_next(const struct model *model, bool wanted, const struct tw_range *within,
		       struct tw_range *ret)
{
	uint64_t at = within->start;

	while (at < within->end && model->has[at] != wanted)
		at++;
	if (at >= within->end)
		return false;
	ret->start = at;
	while (at < within->end && model->has[at] == wanted)
		at++;
	ret->end = at;
	return true;
}

static void compare(const struct tw_ranges *ranges, const struct model *model, struct tw_prng *prng)
{
	struct tw_range within, got, want;
	uint64_t inside = 0, total = 0;

	within.start = tw_prng_below(prng, UNIVERSE);
	within.end = within.start + tw_prng_below(prng, UNIVERSE - within.start + 1);
	for (size_t i = 0; i < UNIVERSE; i++) {
		total += model->has[i];
		inside += model->has[i] && i >= within.start && i < within.end;
	}
	assert_int_equal(ranges->total, total);
	assert_int_equal(ranges->count, model_count(model));
	assert_int_equal(tw_ranges_overlap(ranges, within.start, within.end), inside);
	assert_int_equal(tw_ranges_contain(ranges, within.start, within.end),
			 inside == within.end - within.start);
	assert_int_equal(tw_ranges_next(ranges, within.start, within.end, &got),
			 model_next(model, true, &within, &want));
	if (model_next(model, true, &within, &want))
		assert_memory_equal(&got, &want, sizeof(got));
	assert_int_equal(tw_ranges_next_gap(ranges, within.start, within.end, &got),
			 model_next(model, false, &within, &want));
	if (model_next(model, false, &within, &want))
		assert_memory_equal(&got, &want, sizeof(got));
}

static void history(uint64_t seed)
{
	struct tw_prng prng;
	struct tw_ranges ranges;
	struct model model = { 0 };

	tw_prng_init(&prng, seed);
	tw_ranges_init(&ranges, 1 + tw_prng_below(&prng, 40));
	for (int step = 0; step < 400; step++) {
		uint64_t start = tw_prng_below(&prng, UNIVERSE);
		uint64_t length = tw_prng_below(&prng, tw_prng_below(&prng, 2) ? 6 : UNIVERSE);
		uint64_t end = start + length < UNIVERSE ? start + length : UNIVERSE;
		bool add = tw_prng_below(&prng, 2);
		struct model next = model;
		int r;

		for (uint64_t i = start; i < end; i++)
			next.has[i] = add;
		r = add ? tw_ranges_add(&ranges, start, end)
			: tw_ranges_remove(&ranges, start, end);
		assert_int_equal(r, model_count(&next) > ranges.count_max ? TW_E_FULL : 0);
		if (!r)
			model = next;
		compare(&ranges, &model, &prng);
	}
	tw_ranges_deinit(&ranges);
}

static void test_against_model(void **state)
{
	const char *seed = getenv("SEED");

	(void)state;
	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t one = seed ? strtoull(seed, NULL, 0) : i;

		history(one);
		if (seed)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),     cmocka_unit_test(test_remove),
		cmocka_unit_test(test_cap),     cmocka_unit_test(test_ends_of_the_line),
		cmocka_unit_test(test_queries), cmocka_unit_test(test_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
