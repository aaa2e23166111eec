#include "unit.h"

#include "base/error.h"
#include "cli/config.h"

static const struct tw_option options[] = {
	{ "port", "N", "a port", false },
	{ "many", "NAME", "repeats", true },
	{ "quiet", NULL, "a switch", false },
	{ "config", "FILE", "this file", false },
};

static const struct tw_command command = {
	.name = "thing",
	.words = "",
	.options = options,
	.option_count = ARRAY_SIZE(options),
};

static void test_lines(void **state)
{
	static const char text[] = "# a comment\n\n  port 9000\r\nmany=a b # c\n"
				   "\tmany  =  second \nquiet\n";
	struct tw_config config;
	char complaint[TW_COMPLAINT] = "";

	(void)state;
	assert_int_equal(tw_config_parse(&command, text, sizeof text - 1, &config, complaint), 0);
	assert_int_equal(config.count, 4);
	assert_string_equal(config.words[0], "--port=9000");
	assert_string_equal(config.words[1], "--many=a b # c");
	assert_string_equal(config.words[2], "--many=second");
	assert_string_equal(config.words[3], "--quiet");
	tw_config_free(&config);
}

static void test_apply(void **state)
{
	static const char text[] = "port 1\nmany x\nmany y\nquiet\n";
	char *argv[] = { "--port", "2" };
	struct tw_arguments arguments;
	struct tw_config config;
	char complaint[TW_COMPLAINT] = "";
	const char *many[4];

	(void)state;
	assert_int_equal(tw_config_parse(&command, text, sizeof text - 1, &config, complaint), 0);
	assert_int_equal(tw_arguments_parse(&command, 2, argv, &arguments, complaint), 0);
	assert_int_equal(tw_config_apply(&config, &arguments), 0);
	assert_string_equal(tw_argument(&arguments, "port"), "2");
	assert_non_null(tw_argument(&arguments, "quiet"));
	assert_int_equal(tw_argument_all(&arguments, "many", many, 4), 2);
	assert_string_equal(many[1], "y");
	tw_arguments_free(&arguments);
	tw_config_free(&config);
}

static const struct {
	const char *text, *complaint;
} bad[] = {
	{ "prot 1\n", "line 1: there is no option --prot" },
	{ "\nport\n", "line 2: --port needs a value" },
	{ "quiet yes\n", "line 1: --quiet is a switch" },
	{ "quiet =\n", "line 1: --quiet is a switch" },
	{ "--port 1\n", "line 1: names of options stand here without dashes" },
	{ "= 1\n", "line 1: a line begins with the name" },
	{ "config other\n", "line 1: this is for the command line alone" },
	{ "help\n", "line 1: this is for the command line alone" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct tw_config config;
		char complaint[TW_COMPLAINT] = "";

		assert_int_equal(tw_config_parse(&command, bad[i].text, strlen(bad[i].text),
						 &config, complaint),
				 TW_E_FORMAT);
		if (strncmp(complaint, bad[i].complaint, strlen(bad[i].complaint)) != 0)
			fail_msg("%s: %s", bad[i].text, complaint);
	}
}

static void test_not_text(void **state)
{
	struct tw_config config;
	char complaint[TW_COMPLAINT] = "";
	char *much = calloc(1, TW_CONFIG_MAX + 1);

	(void)state;
	assert_int_equal(tw_config_parse(&command, "port\0 1", 7, &config, complaint), TW_E_FORMAT);
	memset(much, '\n', TW_CONFIG_MAX + 1);
	assert_int_equal(tw_config_parse(&command, much, TW_CONFIG_MAX + 1, &config, complaint),
			 TW_E_FORMAT);
	assert_int_equal(tw_config_parse(&command, much, TW_CONFIG_MAX, &config, complaint),
			 TW_E_FORMAT);
	free(much);
	assert_int_equal(tw_config_load(&command, "/nonexistent", &config, complaint), -ENOENT);
	assert_non_null(strstr(complaint, "cannot read /nonexistent"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_apply),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_not_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
