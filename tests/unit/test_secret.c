#include "unit.h"

#include "base/secret.h"

static void test_wipe(void **state)
{
	uint8_t bytes[] = { 1, 2, 3, 4, 5 };

	(void)state;
	tw_wipe(bytes + 1, 3);
	assert_memory_equal(bytes, "\1\0\0\0\5", 5);
	tw_wipe(NULL, 0);
}

static void test_equal(void **state)
{
	struct tw_secret a, b;

	(void)state;
	memset(&a, 0x5a, sizeof(a));
	b = a;
	assert_true(tw_equal_secret(&a, &b, sizeof(a)));
	assert_true(tw_equal_secret(&a, NULL, 0));
	/* Each single bit counts. */
	for (size_t bit = 0; bit < 8 * sizeof(b); bit++) {
		b.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(tw_equal_secret(&a, &b, sizeof(a)));
		b.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void test_known(void **state)
{
	struct tw_public_key key = { { 0 } };

	(void)state;
	assert_false(tw_public_key_known(&key));
	key.bytes[31] = 1;
	assert_true(tw_public_key_known(&key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wipe),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
