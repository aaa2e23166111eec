#include "unit.h"

#include "base/heap.h"
#include "base/random.h"

static void test_empty(void **state)
{
	struct tw_heap heap;
	struct tw_timer timer = { 0 };

	(void)state;
	tw_heap_init(&heap);
	assert_null(tw_heap_top(&heap));
	tw_heap_remove(&heap, &timer);
	assert_int_equal(tw_heap_set(&heap, &timer, TW_NEVER), 0);
	assert_null(tw_heap_top(&heap));
	tw_heap_deinit(&heap);
}

static void test_order(void **state)
{
	static const tw_ns at[] = { 50, 10, 40, 10, 30, 20, 60, 5 };
	static const tw_ns sorted[] = { 5, 10, 10, 20, 30, 40, 50, 60 };
	struct tw_timer timers[ARRAY_SIZE(at)] = { 0 };
	struct tw_heap heap;

	(void)state;
	tw_heap_init(&heap);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++)
		assert_int_equal(tw_heap_set(&heap, &timers[i], at[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		struct tw_timer *top = tw_heap_top(&heap);

		assert_int_equal(top->at, sorted[i]);
		tw_heap_remove(&heap, top);
		assert_int_equal(top->place, 0);
	}
	assert_null(tw_heap_top(&heap));
	tw_heap_deinit(&heap);
}

static void test_move(void **state)
{
	struct tw_timer a = { 0 }, b = { 0 };
	struct tw_heap heap;

	(void)state;
	tw_heap_init(&heap);
	assert_int_equal(tw_heap_set(&heap, &a, 10), 0);
	assert_int_equal(tw_heap_set(&heap, &b, 20), 0);
	assert_int_equal(tw_heap_set(&heap, &b, 5), 0);
	assert_ptr_equal(tw_heap_top(&heap), &b);
	assert_int_equal(tw_heap_set(&heap, &b, 15), 0);
	assert_ptr_equal(tw_heap_top(&heap), &a);
	assert_int_equal(tw_heap_set(&heap, &a, TW_NEVER), 0);
	assert_ptr_equal(tw_heap_top(&heap), &b);
	assert_int_equal(heap.count, 1);
	/* What is still in at the end may be put into another heap. */
	tw_heap_deinit(&heap);
	assert_int_equal(b.place, 0);
}

#define TIMERS 100

static void check(const struct tw_heap *heap, const struct tw_timer *timers, const tw_ns *model)
{
	tw_ns earliest = TW_NEVER;
	size_t count = 0;

	for (size_t i = 0; i < TIMERS; i++) {
		earliest = tw_ns_min(earliest, model[i]);
		count += model[i] != TW_NEVER;
		assert_int_equal(timers[i].place != 0, model[i] != TW_NEVER);
		if (timers[i].place)
			assert_ptr_equal(heap->timers[timers[i].place - 1], &timers[i]);
	}
	assert_int_equal(heap->count, count);
	assert_int_equal(tw_heap_top(heap) ? tw_heap_top(heap)->at : TW_NEVER, earliest);
}

static void history(uint64_t seed)
{
	struct tw_timer timers[TIMERS] = { 0 };
	tw_ns model[TIMERS];
	struct tw_heap heap;
	struct tw_prng prng;

	tw_prng_init(&prng, seed);
	tw_heap_init(&heap);
	for (size_t i = 0; i < TIMERS; i++)
		model[i] = TW_NEVER;
	for (int step = 0; step < 1000; step++) {
		size_t i = tw_prng_below(&prng, TIMERS);

		model[i] = tw_prng_below(&prng, 3) ? tw_prng_below(&prng, 50) : TW_NEVER;
		if (model[i] == TW_NEVER && tw_prng_below(&prng, 2))
			tw_heap_remove(&heap, &timers[i]);
		else
			assert_int_equal(tw_heap_set(&heap, &timers[i], model[i]), 0);
		check(&heap, timers, model);
	}
	tw_heap_deinit(&heap);
}

static void test_against_model(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++)
		history(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
