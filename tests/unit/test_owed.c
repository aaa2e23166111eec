/*
 * What a sender owes: against a model of one byte a place, and the cases that went wrong.
 */
#include "unit.h"

#include "base/random.h"
#include "session/owed.h"

#define SIZE 300

static void late_acknowledgement_after_recall(void **state)
{
	struct tw_owed owed;
	struct tw_range range;

	(void)state;
	tw_owed_init(&owed);
	assert_int_equal(tw_owed_take(&owed, 0, 100, true), 0);
	tw_owed_acked(&owed, 0, 50);
	/* Thrown away by the receiver while half of the acknowledgements are still under way. */
	tw_owed_again(&owed, 0, 100);
	tw_owed_acked(&owed, 50, 100);
	assert_int_equal(owed.done.total, 0);
	assert_true(tw_owed_next_lost(&owed, 0, 100, &range));
	assert_int_equal(range.start, 0);
	assert_int_equal(range.end, 100);
	assert_int_equal(tw_owed_take(&owed, 0, 100, false), 100);
	tw_owed_acked(&owed, 0, 100);
	assert_int_equal(owed.done.total, 100);
	assert_false(tw_owed_next_lost(&owed, 0, 100, &range));
	tw_owed_deinit(&owed);
}

static void full_set_of_lost(void **state)
{
	struct tw_owed owed;
	struct tw_range range;
	uint64_t taken = 0, i;

	(void)state;
	tw_owed_init(&owed);
	tw_ranges_deinit(&owed.lost);
	tw_ranges_init(&owed.lost, 4);
	tw_owed_take(&owed, 0, 1000, true);
	for (i = 0; i < 1000; i += 20) {
		tw_owed_acked(&owed, i, i + 10);
		assert_true(tw_owed_lost(&owed, i + 10, i + 20));
	}
	/* Not one of them is forgotten. */
	while (tw_owed_next_lost(&owed, 0, 1000, &range)) {
		tw_owed_take(&owed, range.start, range.end, false);
		tw_owed_acked(&owed, range.start, range.end);
		taken += range.end - range.start;
	}
	assert_int_equal(taken, 500);
	assert_int_equal(owed.done.total, 1000);
	tw_owed_deinit(&owed);
}

static void held_is_not_sent(void **state)
{
	struct tw_owed owed;
	struct tw_range range;

	(void)state;
	tw_owed_init(&owed);
	tw_owed_held(&owed, 10, 20);
	assert_true(tw_owed_next_fresh(&owed, 0, 100, &range));
	assert_int_equal(range.end, 10);
	tw_owed_take(&owed, 0, 10, true);
	assert_true(tw_owed_next_fresh(&owed, 0, 100, &range));
	assert_int_equal(range.start, 20);
	assert_int_equal(owed.held.total, 10);
	/* Another connection: what was sent over the first is not counted as held. */
	tw_owed_restart(&owed);
	tw_owed_held(&owed, 0, 30);
	assert_int_equal(owed.held.total, 20);
	assert_int_equal(owed.done.total, 30);
	assert_int_equal(tw_owed_take(&owed, 30, 40, true), 0);
	tw_owed_deinit(&owed);
}

/* Whatever happens, each byte is done, lost, fresh or on its way: none is forgotten. */
static void random_against_model(void **state)
{
	enum { FRESH, FLYING, LOST, DONE };
	struct tw_prng prng;
	struct tw_owed owed;
	uint8_t model[SIZE];
	int i;

	(void)state;
	tw_prng_init(&prng, 7);
	tw_owed_init(&owed);
	memset(model, FRESH, sizeof(model));
	for (i = 0; i < 100000; i++) {
		uint64_t start = tw_prng_below(&prng, SIZE), at;
		uint64_t end = start + 1 + tw_prng_below(&prng, SIZE - start);
		struct tw_range range;
		bool fresh = tw_prng_below(&prng, 2);

		switch (tw_prng_below(&prng, 6)) {
		case 0:
		case 1:
			if (!(fresh ? tw_owed_next_fresh(&owed, 0, SIZE, &range)
				    : tw_owed_next_lost(&owed, 0, SIZE, &range)))
				break;
			if (range.end > range.start + 20)
				range.end = range.start + 20;
			tw_owed_take(&owed, range.start, range.end, fresh);
			for (at = range.start; at < range.end; at++) {
				assert_int_equal(model[at], fresh ? FRESH : LOST);
				model[at] = FLYING;
			}
			break;
		case 2:
			for (at = start; at < end && model[at] == FLYING; at++)
				model[at] = DONE;
			tw_owed_acked(&owed, start, at);
			break;
		case 3:
			for (at = start; at < end && model[at] == FLYING; at++)
				model[at] = LOST;
			tw_owed_lost(&owed, start, at);
			break;
		case 4:
			for (at = start; at < end && model[at] == DONE && at < owed.cursor; at++)
				model[at] = LOST;
			tw_owed_again(&owed, start, at);
			break;
		default:
			if (tw_prng_below(&prng, 50))
				break;
			tw_owed_restart(&owed);
			memset(model, FRESH, sizeof(model));
			tw_owed_held(&owed, start, end);
			memset(model + start, DONE, end - start);
		}
		for (at = 0; at < SIZE; at++) {
			assert_int_equal(tw_ranges_contain(&owed.done, at, at + 1),
					 model[at] == DONE);
			assert_int_equal(tw_ranges_contain(&owed.lost, at, at + 1),
					 model[at] == LOST);
		}
	}
	tw_owed_deinit(&owed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(late_acknowledgement_after_recall),
		cmocka_unit_test(full_set_of_lost),
		cmocka_unit_test(held_is_not_sent),
		cmocka_unit_test(random_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
