#include "unit.h"

#include "netio/buffers.h"

/* All go out once, none twice, and each can be written to its end. */
static void test_exhaustion(void **state)
{
	struct tw_buffers buffers;
	struct tw_buffer *taken[5];

	(void)state;
	assert_int_equal(tw_buffers_init(&buffers, 5), 0);
	for (unsigned i = 0; i < 5; i++) {
		taken[i] = tw_buffers_take(&buffers);
		assert_non_null(taken[i]);
		memset(taken[i]->bytes, (int)i, TW_BUFFER_SIZE);
	}
	assert_null(tw_buffers_take(&buffers));
	assert_int_equal(buffers.free_count, 0);
	for (unsigned i = 0; i < 5; i++) {
		for (size_t at = 0; at < TW_BUFFER_SIZE; at++)
			assert_int_equal(taken[i]->bytes[at], i);
		tw_buffers_drop(&buffers, taken[i]);
	}
	assert_int_equal(buffers.free_count, 5);
	tw_buffers_deinit(&buffers);
}

/* Only the last reference frees, and what was freed last goes out first. */
static void test_references(void **state)
{
	struct tw_buffers buffers;
	struct tw_buffer *first, *second;

	(void)state;
	assert_int_equal(tw_buffers_init(&buffers, 3), 0);
	first = tw_buffers_take(&buffers);
	tw_buffer_hold(first);
	tw_buffer_hold(first);
	tw_buffers_drop(&buffers, first);
	tw_buffers_drop(&buffers, first);
	assert_int_equal(buffers.free_count, 2);
	second = tw_buffers_take(&buffers);
	assert_ptr_not_equal(first, second);
	tw_buffers_drop(&buffers, first);
	assert_int_equal(buffers.free_count, 2);
	assert_ptr_equal(tw_buffers_take(&buffers), first);
	assert_int_equal(first->references, 1);
	tw_buffers_drop(&buffers, first);
	tw_buffers_drop(&buffers, second);
	assert_int_equal(buffers.free_count, 3);
	tw_buffers_deinit(&buffers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
