#include "unit.h"

#include "base/error.h"

static void test_every_code_has_its_own_sentence(void **state)
{
	(void)state;
	for (int i = 0; i < TW_E_LIMIT; i++) {
		assert_true(strlen(tw_strerror(i)) > 5);
		assert_string_not_equal(tw_strerror(i), "unknown error");
		for (int j = 0; j < i; j++)
			assert_string_not_equal(tw_strerror(i), tw_strerror(j));
	}
}

static void test_system_errors(void **state)
{
	(void)state;
	assert_string_equal(tw_strerror(-ENOENT), "No such file or directory");
	assert_string_equal(tw_strerror(-ENOSPC), "No space left on device");
}

static void test_unknown(void **state)
{
	static const int unknown[] = { TW_E_LIMIT, 100000, INT32_MAX, -4000, -100000, INT32_MIN };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		assert_string_equal(tw_strerror(unknown[i]), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_code_has_its_own_sentence),
		cmocka_unit_test(test_system_errors),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
