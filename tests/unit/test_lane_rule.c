/* When one more lane helps, and when it does not. */
#include "unit.h"

#include "netio/lane_rule.h"

/* A second of 4 Gbit/s at one thread's end. */
static const struct tw_lane_look busy = { .span = TW_SECOND,
					  .load = 950,
					  .moved = 510000000,
					  .own = 500000000,
					  .all = 500000000,
					  .max_bps = UINT64_MAX };

static void a_thread_at_its_end(void **state)
{
	struct tw_lane_look look = busy;

	(void)state;
	assert_true(tw_lane_helps(&look));
	look.load = TW_LANE_LOAD_FULL;
	assert_true(tw_lane_helps(&look));
	look.load = TW_LANE_LOAD_FULL - 1;
	assert_false(tw_lane_helps(&look));
}

/* It is busy with others, or receives. */
static void for_whom(void **state)
{
	struct tw_lane_look look = busy;

	(void)state;
	look.own = look.all = look.moved / 2 + 1;
	assert_true(tw_lane_helps(&look));
	look.own = look.all = look.moved / 2;
	assert_false(tw_lane_helps(&look));
	look.own = look.all = look.moved = 0;
	assert_false(tw_lane_helps(&look));
}

static void a_limit_holds_back(void **state)
{
	struct tw_lane_look look = busy;

	(void)state;
	look.max_bps = 5000000000;
	assert_true(tw_lane_helps(&look));
	look.max_bps = 4400000000;
	assert_false(tw_lane_helps(&look));
	/* With lanes it is their sum that counts. */
	look.max_bps = 9000000000;
	look.all = 1100000000;
	assert_false(tw_lane_helps(&look));
	look.all = 900000000;
	assert_true(tw_lane_helps(&look));
	/* And the rate, not the bytes. */
	look.span = TW_SECOND / 2;
	assert_false(tw_lane_helps(&look));
	look.span = 0;
	assert_false(tw_lane_helps(&look));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_at_its_end),
		cmocka_unit_test(for_whom),
		cmocka_unit_test(a_limit_holds_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
