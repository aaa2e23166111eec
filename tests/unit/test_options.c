#include "unit.h"

#include "base/error.h"
#include "cli/options.h"

static int run_nothing(const struct tw_arguments *arguments)
{
	(void)arguments;
	return 0;
}

static const struct tw_example examples[] = {
	{ "tradewind fetch a b", "fetches" },
};

static const struct tw_option options[] = {
	{ "rate", "R", "how fast", false },
	{ "rate-max", "R", "at most", false },
	{ "exclude", "GLOB", "not these", true },
	{ "quiet", NULL, "say nothing", false },
};

static const struct tw_command command = {
	.name = "fetch",
	.words = "FROM [TO]",
	.summary = "fetch things",
	.description = "Fetches.",
	.examples = examples,
	.example_count = ARRAY_SIZE(examples),
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.words_min = 1,
	.words_max = 2,
	.run = run_nothing,
};

static int parse(struct tw_arguments *ret, char *complaint, int argc, const char *const *argv)
{
	return tw_arguments_parse(&command, argc, (char *const *)argv, ret, complaint);
}

#define WORDS(...) \
	(int)ARRAY_SIZE(((const char *const[]){ __VA_ARGS__ })), (const char *const[]) \
	{ \
		__VA_ARGS__ \
	}

static void test_all_forms(void **state)
{
	struct tw_arguments arguments;
	char complaint[TW_COMPLAINT];
	const char *globs[4];

	(void)state;
	assert_int_equal(parse(&arguments, complaint,
			       WORDS("a", "--rate", "5", "--exclude=x", "--quiet", "b", "--exclude",
				     "-y", "--rate=7")),
			 0);
	assert_int_equal(arguments.word_count, 2);
	assert_string_equal(arguments.words[0], "a");
	assert_string_equal(arguments.words[1], "b");
	assert_string_equal(tw_argument(&arguments, "rate"), "7");
	assert_null(tw_argument(&arguments, "rate-max"));
	assert_string_equal(tw_argument(&arguments, "quiet"), "");
	assert_int_equal(tw_argument_all(&arguments, "exclude", globs, 4), 2);
	assert_string_equal(globs[0], "x");
	assert_string_equal(globs[1], "-y");
	assert_int_equal(tw_argument_all(&arguments, "exclude", globs, 1), 1);
	tw_arguments_free(&arguments);
}

static void test_end_of_options(void **state)
{
	struct tw_arguments arguments;
	char complaint[TW_COMPLAINT];

	(void)state;
	assert_int_equal(parse(&arguments, complaint, WORDS("--quiet", "--", "--rate", "-")), 0);
	assert_int_equal(arguments.word_count, 2);
	assert_string_equal(arguments.words[0], "--rate");
	assert_string_equal(arguments.words[1], "-");
	tw_arguments_free(&arguments);
}

static void test_words_end_options(void **state)
{
	struct tw_command caller = command;
	struct tw_arguments arguments;
	char complaint[TW_COMPLAINT];
	const char *const argv[] = { "--rate", "5", "a", "--rate=6", "--help", "--zebra" };

	(void)state;
	caller.words_end_options = true;
	caller.words_max = 9;
	assert_int_equal(tw_arguments_parse(&caller, ARRAY_SIZE(argv), (char *const *)argv,
					    &arguments, complaint),
			 0);
	assert_false(arguments.help);
	assert_string_equal(tw_argument(&arguments, "rate"), "5");
	assert_int_equal(arguments.word_count, 4);
	assert_string_equal(arguments.words[3], "--zebra");
	tw_arguments_free(&arguments);
}

static void test_help_needs_no_words(void **state)
{
	struct tw_arguments arguments;
	char complaint[TW_COMPLAINT];

	(void)state;
	assert_int_equal(parse(&arguments, complaint, WORDS("--help")), 0);
	assert_true(arguments.help);
	tw_arguments_free(&arguments);
}

static const struct {
	const char *words[4];
	const char *says;
} mistakes[] = {
	{ { "a", "--rat", "5" }, "did you mean --rate?" },
	{ { "a", "--rate-mx=5" }, "did you mean --rate-max?" },
	{ { "a", "--qiuet" }, "did you mean --quiet?" },
	{ { "a", "--zebra" }, "`tradewind fetch --help`" },
	{ { "a", "--zeb\033[31mra" }, "\\x1B" },
	{ { "a", "--rate" }, "--rate needs a value" },
	{ { "a", "--quiet=yes" }, "takes no value" },
	{ { "a", "-q" }, "all options are long" },
	{ { "--quiet" }, "needs FROM [TO]" },
	{ { "a", "b", "c" }, "\"c\"" },
};

static void test_mistakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
		struct tw_arguments arguments;
		char complaint[TW_COMPLAINT] = "";
		int argc = 0;

		while (argc < 4 && mistakes[i].words[argc])
			argc++;
		assert_int_equal(parse(&arguments, complaint, argc, mistakes[i].words),
				 TW_E_FORMAT);
		if (!strstr(complaint, mistakes[i].says))
			fail_msg("\"%s\" lacks \"%s\"", complaint, mistakes[i].says);
		assert_null(strchr(complaint, '\033'));
	}
}

static void test_suggestions(void **state)
{
	static const char *const names[] = { "send", "receive", "keygen", "help" };

	(void)state;
	assert_string_equal(tw_suggest("sned", names, 4), "send");
	assert_string_equal(tw_suggest("recieve", names, 4), "receive");
	assert_string_equal(tw_suggest("keygn", names, 4), "keygen");
	assert_null(tw_suggest("upload", names, 4));
	assert_null(tw_suggest("", names, 4));
	assert_null(tw_suggest("a-word-much-longer-than-any-command-there-ever-was", names, 4));
}

/* Examples come before the options, and every option is there with its argument. */
static void test_help_text(void **state)
{
	char text[4096] = "";
	FILE *file = fmemopen(text, sizeof text, "w");

	(void)state;
	assert_non_null(file);
	tw_help_command(file, &command);
	fclose(file);
	assert_non_null(strstr(text, "tradewind fetch a b"));
	assert_true(strstr(text, "tradewind fetch a b") < strstr(text, "--rate R"));
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		assert_non_null(strstr(text, options[i].help));
	assert_non_null(strstr(text, "may be repeated"));
}

static void test_completion(void **state)
{
	static const struct tw_command *const commands[] = { &command };
	char text[4096] = "";
	FILE *file = fmemopen(text, sizeof text, "w");

	(void)state;
	assert_non_null(file);
	tw_help_completion(file, commands, 1);
	fclose(file);
	assert_non_null(
		strstr(text, "fetch) options=\"--help --rate --rate-max --exclude --quiet\""));
	assert_non_null(strstr(text, "complete -o filenames -F _tradewind tradewind"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_forms),           cmocka_unit_test(test_end_of_options),
		cmocka_unit_test(test_words_end_options),
		cmocka_unit_test(test_help_needs_no_words), cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_suggestions),         cmocka_unit_test(test_help_text),
		cmocka_unit_test(test_completion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
