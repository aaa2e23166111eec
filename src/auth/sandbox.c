#include "auth/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define NAME_MAX_LENGTH 255

static bool is_dots(const char *component, size_t length)
{
	return component[0] == '.' && (length == 1 || (length == 2 && component[1] == '.'));
}

int tw_sandbox_normal(const char *path, char *ret)
{
	size_t used = 0;

	while (*path) {
		const char *end = strchrnul(path, '/');
		size_t length = (size_t)(end - path);

		if (length == 2 && is_dots(path, 2)) {
			if (!used)
				return TW_E_UNSAFE;
			while (used && ret[--used] != '/')
				continue;
		} else if (length && !is_dots(path, length)) {
			if (used + 1 + length >= TW_SANDBOX_PATH_ROOM)
				return -ENAMETOOLONG;
			if (used)
				ret[used++] = '/';
			memcpy(ret + used, path, length);
			used += length;
		}
		path = *end ? end + 1 : end;
	}
	ret[used] = '\0';
	return 0;
}

/* Absolute, and every component is a name of its own; slashes at the end do not count. */
static bool is_plain(const char *path)
{
	size_t left = strlen(path);

	if (*path != '/' || left >= TW_SANDBOX_PATH_ROOM)
		return false;
	while (left && path[left - 1] == '/')
		left--;
	for (const char *at = path + 1; left && at <= path + left;) {
		const char *end = memchr(at, '/', (size_t)(path + left - at));
		size_t length = (size_t)((end ? end : path + left) - at);

		if (!length || length > NAME_MAX_LENGTH || is_dots(at, length))
			return false;
		at += length + 1;
	}
	return true;
}

/* Placeholders. */

enum placeholder { NOT_ONE, USER, HOME, UID };

static enum placeholder placeholder_at(const char *text, size_t *ret_length)
{
	static const struct {
		const char *text;
		enum placeholder is;
	} known[] = { { "{user}", USER }, { "{home}", HOME }, { "{uid}", UID } };

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		*ret_length = strlen(known[i].text);
		if (!strncmp(text, known[i].text, *ret_length))
			return known[i].is;
	}
	*ret_length = 1;
	return NOT_ONE;
}

static bool name_is_safe(const char *user)
{
	size_t length = user ? strlen(user) : 0;

	return length && length <= NAME_MAX_LENGTH && !strchr(user, '/') && !is_dots(user, length);
}

/* TW_E_UNSAFE, -ENAMETOOLONG. @ret has TW_SANDBOX_PATH_ROOM. */
static int expand(const char *target, const struct tw_sandbox_account *account, char *ret)
{
	char number[24];
	size_t used = 0;

	snprintf(number, sizeof(number), "%llu", (unsigned long long)account->uid);
	for (const char *at = target; *at;) {
		size_t length;
		enum placeholder is = placeholder_at(at, &length);
		const char *text = is == USER ? account->user : is == HOME ? account->home : number;
		size_t n;

		if (is == NOT_ONE && (*at == '{' || *at == '}'))
			return TW_E_UNSAFE;
		if ((is == USER && !name_is_safe(text)) ||
		    (is == HOME && (at != target || !text || !is_plain(text))))
			return TW_E_UNSAFE;
		n = is == NOT_ONE ? 1 : strlen(text);
		if (used + n >= TW_SANDBOX_PATH_ROOM)
			return -ENAMETOOLONG;
		memcpy(ret + used, is == NOT_ONE ? at : text, n);
		used += n;
		at += length;
	}
	ret[used] = '\0';
	/* "{home}/x" where the home is "/". */
	if (ret[0] == '/' && ret[1] == '/')
		memmove(ret, ret + 1, used);
	return is_plain(ret) ? 0 : TW_E_UNSAFE;
}

int tw_sandbox_check(const struct tw_sandbox_pair *pair, char ret_message[TW_SANDBOX_MESSAGE])
{
	const struct tw_sandbox_account somebody = { .user = "user", .home = "/home/user" };
	char text[TW_SANDBOX_PATH_ROOM];

	if (!is_plain(pair->mount)) {
		snprintf(ret_message, TW_SANDBOX_MESSAGE,
			 "The mount \"%.120s\" must be an absolute path without \".\", \"..\" and "
			 "empty parts.",
			 pair->mount);
		return TW_E_FORMAT;
	}
	if (expand(pair->target, &somebody, text)) {
		snprintf(ret_message, TW_SANDBOX_MESSAGE,
			 "The target \"%.120s\" must be an absolute path without \".\", \"..\" and "
			 "empty parts; {user} and {uid} may stand anywhere in it, {home} at its "
			 "beginning, and no other braces.",
			 pair->target);
		return TW_E_FORMAT;
	}
	return 0;
}

/* Mounts. */

void tw_mounts_deinit(struct tw_mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++) {
		free(mounts->items[i].at);
		free(mounts->items[i].target);
		free(mounts->items[i].inside);
	}
	free(mounts->items);
	*mounts = (struct tw_mounts){ 0 };
}

static int add(struct tw_mounts *mounts, const char *at, const char *target, const char *inside)
{
	struct tw_mount *mount = &mounts->items[mounts->count++];

	*mount = (struct tw_mount){ strdup(at), strdup(target), strdup(inside) };
	return mount->at && mount->target && mount->inside ? 0 : -ENOMEM;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct tw_mount *)a)->at, ((const struct tw_mount *)b)->at);
}

/* What is left of @path (normal) behind @prefix (normal); NULL: it is not below it. */
static const char *behind(const char *path, const char *prefix)
{
	size_t length = strlen(prefix);

	if (!length)
		return path;
	if (strncmp(path, prefix, length) != 0)
		return NULL;
	if (path[length] == '/')
		return path + length + 1;
	return path[length] ? NULL : path + length;
}

static int mount_all(const struct tw_sandbox_pair *pairs, size_t count,
		     const struct tw_sandbox_account *account, struct tw_mounts *mounts)
{
	char at[TW_SANDBOX_PATH_ROOM], target[TW_SANDBOX_PATH_ROOM];
	int r = 0;

	for (size_t i = 0; !r && i < count; i++) {
		if (!is_plain(pairs[i].mount))
			return TW_E_UNSAFE;
		r = tw_sandbox_normal(pairs[i].mount, at);
		if (!r)
			r = expand(pairs[i].target, account, target);
		if (!r)
			r = add(mounts, at, target, "");
	}
	if (r)
		return r;
	if (mounts->count)
		qsort(mounts->items, mounts->count, sizeof(*mounts->items), compare);
	/* The same one twice, written in two ways: which one is meant? */
	for (size_t i = 1; i < mounts->count; i++)
		if (!compare(&mounts->items[i - 1], &mounts->items[i]))
			return TW_E_UNSAFE;
	return 0;
}

/* The part of @mounts that is seen from @fence. */
static int fence_in(const struct tw_mounts *mounts, const char *fence, struct tw_mounts *ret)
{
	char top[TW_SANDBOX_PATH_ROOM];
	struct tw_sandbox_place place;
	int r = tw_sandbox_normal(fence, top);

	if (!r)
		r = tw_sandbox_find(mounts, top, &place);
	if (r)
		return r;
	ret->items = calloc(mounts->count + 1, sizeof(*ret->items));
	if (!ret->items)
		return -ENOMEM;
	if (place.mount)
		r = add(ret, "", place.mount->target, place.rest);
	for (size_t i = 0; !r && i < mounts->count; i++) {
		const char *below = behind(mounts->items[i].at, top);

		if (below && *below)
			r = add(ret, below, mounts->items[i].target, "");
	}
	return r;
}

int tw_sandbox_make(const struct tw_sandbox_pair *pairs, size_t count,
		    const struct tw_sandbox_account *account, const char *fence,
		    struct tw_mounts *ret)
{
	struct tw_mounts mounts = { 0 }, fenced = { 0 };
	int r;

	if (count > TW_SANDBOX_MOUNTS_MAX)
		return TW_E_UNSAFE;
	mounts.items = calloc(count + 1, sizeof(*mounts.items));
	if (!mounts.items)
		return -ENOMEM;
	r = mount_all(pairs, count, account, &mounts);
	if (!r && fence && *fence) {
		r = fence_in(&mounts, fence, &fenced);
		tw_mounts_deinit(&mounts);
		mounts = fenced;
	}
	if (r) {
		tw_mounts_deinit(&mounts);
		return r;
	}
	*ret = mounts;
	return 0;
}

/* Finding. */

int tw_sandbox_find(const struct tw_mounts *mounts, const char *path, struct tw_sandbox_place *ret)
{
	struct tw_sandbox_place best = { NULL, path };

	for (size_t i = 0; i < mounts->count; i++) {
		const char *rest = behind(path, mounts->items[i].at);

		if (rest && (!best.mount || rest > best.rest))
			best = (struct tw_sandbox_place){ &mounts->items[i], rest };
	}
	/* The top is always there, even with nothing in it. */
	if (!best.mount && *path && !tw_sandbox_holds_mounts(mounts, path))
		return -ENOENT;
	*ret = best;
	return 0;
}

bool tw_sandbox_holds_mounts(const struct tw_mounts *mounts, const char *path)
{
	for (size_t i = 0; i < mounts->count; i++)
		if (behind(mounts->items[i].at, path))
			return true;
	return false;
}

bool tw_sandbox_leads_to_mounts(const struct tw_mounts *mounts, const char *path)
{
	for (size_t i = 0; i < mounts->count; i++) {
		const char *below = behind(mounts->items[i].at, path);

		if (below && *below)
			return true;
	}
	return false;
}

/* The first component of what mount @index has below @path; 0: nothing. */
static size_t name_below(const struct tw_mounts *mounts, size_t index, const char *path,
			 const char **ret)
{
	*ret = behind(mounts->items[index].at, path);
	return *ret ? strcspn(*ret, "/") : 0;
}

bool tw_sandbox_next_name(const struct tw_mounts *mounts, const char *path, size_t *cursor,
			  char *ret)
{
	while (*cursor < mounts->count) {
		const char *name, *before;
		size_t index = (*cursor)++, length = name_below(mounts, index, path, &name);
		bool seen = false;

		/* Not only the one before: "a", "a.b", "a/c" are in this order. */
		for (size_t i = 0; length && !seen && i < index; i++)
			seen = name_below(mounts, i, path, &before) == length &&
			       !strncmp(name, before, length);
		if (!length || seen)
			continue;
		memcpy(ret, name, length);
		ret[length] = '\0';
		return true;
	}
	return false;
}
