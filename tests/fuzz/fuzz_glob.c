/*
 * Any pattern over any text ends soon (the run's time limit for one input says so) and stays inside
 * both; and some patterns have only one right answer.
 */
#include "fuzz.h"

#include "content/glob.h"

/* A pattern that names exactly @text. */
static void escape(const char *text, char *ret)
{
	for (; *text; text++) {
		*ret++ = '\\';
		*ret++ = *text;
	}
	*ret = '\0';
}

static char *copy(const uint8_t *bytes, size_t length)
{
	char *text = malloc(length + 1);

	CHECK(text);
	memcpy(text, bytes, length);
	text[length] = '\0';
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cut = size ? data[0] * (size - 1) / 255 : 0;
	char *pattern, *text, *exact;

	if (!size || size > 1024)
		return 0;
	pattern = copy(data + 1, cut);
	text = copy(data + 1 + cut, size - 1 - cut);
	exact = malloc(2 * size + 3);
	CHECK(exact);
	tw_glob_match(pattern, text);
	tw_glob_match_path(pattern, text, true);
	tw_glob_match_path(pattern, text, false);
	escape(text, exact);
	CHECK(tw_glob_match(exact, text));
	CHECK(tw_glob_match("**", text));
	CHECK(tw_glob_match("*", text) == !strchr(text, '/'));
	strcat(exact, "?");
	CHECK(!tw_glob_match(exact, text));
	free(exact);
	free(text);
	free(pattern);
	return 0;
}
