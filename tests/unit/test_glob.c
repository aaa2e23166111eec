#include "unit.h"

#include "content/glob.h"
#include "content/names.h"

static void test_match(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool matches;
	} cases[] = {
		{ "", "", true },
		{ "", "a", false },
		{ "a", "", false },
		{ "abc", "abc", true },
		{ "abc", "abd", false },
		{ "*", "", true },
		{ "*", "abc", true },
		{ "*", "a/b", false },
		{ "a*", "a", true },
		{ "*.c", "x.c", true },
		{ "*.c", "x.h", false },
		{ "*.c", "a/x.c", false },
		{ "a*b*c", "aXXbYYc", true },
		{ "a*b*c", "aXXbYY", false },
		{ "?", "a", true },
		{ "?", "/", false },
		{ "?", "", false },
		{ "a/*", "a/b", true },
		{ "a/*", "a/b/c", false },
		{ "a/**", "a/b/c", true },
		{ "**/c", "a/b/c", true },
		{ "**/c", "c", true },
		{ "**/c", "xc", false },
		{ "a/**/b", "a/b", true },
		{ "a/**/b", "a/x/y/b", true },
		{ "a/**/b", "a/xb", false },
		{ "a**/b", "ab", false },
		{ "a**/b", "axx/y/b", true },
		{ "**", "a/b", true },
		{ "**a*b", "xa/ab", true },
		{ "[abc]", "b", true },
		{ "[abc]", "d", false },
		{ "[!abc]", "d", true },
		{ "[^abc]", "a", false },
		{ "[a-f]x", "ex", true },
		{ "[a-f]x", "gx", false },
		{ "[]]", "]", true },
		{ "[!]]", "a", true },
		{ "[a-]", "-", true },
		{ "[!a]", "/", false },
		{ "[", "[", true },
		{ "[ab", "[ab", true },
		{ "\\*", "*", true },
		{ "\\*", "a", false },
		{ "a\\", "a\\", true },
		{ "[\\]]", "]", true },
		{ "[\x80-\xff]", "\xe9", true },
		{ "\xff*", "\xff\x01", true },
		{ "*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
		{ "**/**/**/**/**/**/**/**/b", "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/c",
		  false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (tw_glob_match(cases[i].pattern, cases[i].text) != cases[i].matches)
			fail_msg("%s against %s", cases[i].pattern, cases[i].text);
	}
}

static void test_match_path(void **state)
{
	(void)state;
	assert_true(tw_glob_match_path("*.c", "a/b.c", false));
	assert_true(tw_glob_match_path("a/*.c", "a/b.c", false));
	assert_false(tw_glob_match_path("b/*.c", "a/b.c", false));
	assert_true(tw_glob_match_path("build/", "x/build", true));
	assert_false(tw_glob_match_path("build/", "x/build", false));
	assert_true(tw_glob_match_path("build", "build", false));
}

static void test_reserved(void **state)
{
	static const char *const reserved[] = { ".tradewind", ".tradewind-0123456789abcdef.part" };
	static const char *const free_names[] = {
		".tradewind2",
		"tradewind",
		".tradewind-.part",
		".tradewind-notes",
		".tradewind-0123456789abcdef.parT",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		assert_true(tw_name_reserved(reserved[i], strlen(reserved[i])));
	for (size_t i = 0; i < ARRAY_SIZE(free_names); i++)
		assert_false(tw_name_reserved(free_names[i], strlen(free_names[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_match_path),
		cmocka_unit_test(test_reserved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
