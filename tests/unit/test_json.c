#include "unit.h"

#include <math.h>

#include "cli/json.h"

static void test_structure(void **state)
{
	struct tw_json json;

	(void)state;
	tw_json_init(&json);
	tw_json_begin_object(&json, NULL);
	tw_json_number(&json, "a", UINT64_MAX);
	tw_json_begin_array(&json, "b");
	tw_json_bool(&json, NULL, true);
	tw_json_bool(&json, NULL, false);
	tw_json_null(&json, NULL);
	tw_json_begin_object(&json, NULL);
	tw_json_end_object(&json);
	tw_json_end_array(&json);
	tw_json_begin_object(&json, "c");
	tw_json_string(&json, "d", "e");
	tw_json_end_object(&json);
	tw_json_real(&json, "f", 0.125, 3);
	tw_json_end_object(&json);
	assert_string_equal(tw_json_text(&json),
			    "{\"a\":18446744073709551615,\"b\":[true,false,null,{}],"
			    "\"c\":{\"d\":\"e\"},\"f\":0.125}");
	tw_json_deinit(&json);
}

static const struct {
	const char *in, *out;
} strings[] = {
	{ "", "\"\"" },
	{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
	{ "\n\t\x1b\x7f", "\"\\u000a\\u0009\\u001b\\u007f\"" },
	{ "\xc3\xa4\xe6\xbc\xa2\xf0\x9f\x9a\xa2", "\"\xc3\xa4\xe6\xbc\xa2\xf0\x9f\x9a\xa2\"" },
	{ "\xff\xc3(", "\"\\\\xff\\\\xc3(\"" },
	{ "\xc0\x80\xed\xa0\x80", "\"\\\\xc0\\\\x80\\\\xed\\\\xa0\\\\x80\"" },
	{ "cut\xe6\xbc", "\"cut\\\\xe6\\\\xbc\"" },
};

/* Whatever the bytes, the result is JSON: valid UTF-8, nothing that has to be escaped left bare. */
static void test_strings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		struct tw_json json;

		tw_json_init(&json);
		tw_json_string(&json, NULL, strings[i].in);
		assert_string_equal(tw_json_text(&json), strings[i].out);
		tw_json_deinit(&json);
	}
}

static void test_reals(void **state)
{
	struct tw_json json;

	(void)state;
	tw_json_init(&json);
	tw_json_begin_array(&json, NULL);
	tw_json_real(&json, NULL, NAN, 3);
	tw_json_real(&json, NULL, INFINITY, 3);
	tw_json_real(&json, NULL, -1.5, 1);
	tw_json_real(&json, NULL, 1e300, 0);
	tw_json_end_array(&json);
	assert_memory_equal(tw_json_text(&json), "[null,null,-1.5,1000000", 23);
	tw_json_deinit(&json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_reals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
