#include "content/glob.h"

#include <stddef.h>
#include <string.h>

#include "content/manifest.h"

/* The set behind '['; *@pattern moves behind its ']'. A set that does not end is a plain '['. */
static bool match_set(const char **pattern, unsigned char c)
{
	const char *at = *pattern + 1;
	bool negated = *at == '!' || *at == '^', found = false, first = true;

	for (at += negated; *at && (*at != ']' || first); first = false) {
		unsigned char low, high;

		if (*at == '\\' && at[1])
			at++;
		low = high = (unsigned char)*at++;
		if (*at == '-' && at[1] && at[1] != ']') {
			at++;
			if (*at == '\\' && at[1])
				at++;
			high = (unsigned char)*at++;
		}
		found = found || (c >= low && c <= high);
	}
	if (!*at) {
		(*pattern)++;
		return c == '[';
	}
	*pattern = at + 1;
	return c != '/' && found != negated;
}

/* One byte of text against one element that is not a star. */
static bool match_one(const char **pattern, char c)
{
	switch (**pattern) {
	case '\0':
		return false;
	case '?':
		(*pattern)++;
		return c != '/';
	case '[':
		return match_set(pattern, (unsigned char)c);
	case '\\':
		if ((*pattern)[1])
			(*pattern)++;
		break;
	default:
		break;
	}
	return *(*pattern)++ == c;
}

/* Where to go on when what follows a star does not fit: let that star take more. */
struct retry {
	const char *pattern, *text;
	bool folders;                   /* it takes whole folders only */
};

/*
 * Both stars at @pattern: "**" as a whole component ("**" and '/') stands for any number of
 * folders, none included.
 */
static const char *begin_deep(const char *start, const char *pattern, const char *text,
			      struct retry *ret)
{
	bool component = pattern == start || pattern[-1] == '/';

	while (*pattern == '*')
		pattern++;
	component = component && *pattern == '/';
	*ret = (struct retry){ pattern + component, text, component };
	return ret->pattern;
}

static bool more_deep(struct retry *any)
{
	if (!any->pattern || !*any->text)
		return false;
	if (any->folders) {
		const char *slash = strchr(any->text, '/');

		if (!slash)
			return false;
		any->text = slash;
	}
	any->text++;
	return true;
}

bool tw_glob_match(const char *pattern, const char *text)
{
	struct retry one = { 0 }, any = { 0 };
	const char *start = pattern;

	for (;;) {
		if (pattern[0] == '*' && pattern[1] == '*') {
			pattern = begin_deep(start, pattern, text, &any);
			one.pattern = NULL;
		} else if (*pattern == '*') {
			one = (struct retry){ ++pattern, text, false };
		} else if (!*text && !*pattern) {
			return true;
		} else if (*text && match_one(&pattern, *text)) {
			text++;
		} else if (one.pattern && *one.text && *one.text != '/') {
			pattern = one.pattern;
			text = ++one.text;
		} else if (more_deep(&any)) {
			one.pattern = NULL;
			pattern = any.pattern;
			text = any.text;
		} else {
			return false;
		}
	}
}

bool tw_glob_match_path(const char *pattern, const char *path, bool folder)
{
	size_t length = strlen(pattern);
	const char *slash = strrchr(path, '/');
	char cut[TW_PATH_MAX + 1];

	if (length && pattern[length - 1] == '/') {
		if (!folder || length > TW_PATH_MAX)
			return false;
		memcpy(cut, pattern, length - 1);
		cut[length - 1] = '\0';
		pattern = cut;
	}
	return tw_glob_match(pattern, path) || (slash && tw_glob_match(pattern, slash + 1));
}
