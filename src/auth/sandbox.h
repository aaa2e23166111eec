/*
 * sandbox.h - what an account sees of the machine: folders (targets) mounted in a tree of its own.
 * Pure: texts in, texts out, nothing is opened here.
 *
 * A mapping is pairs of a mount and a target. The longest mount that a path begins with, component
 * by component ("/a" is no part of "/ab"), decides where the path leads; what is behind it is
 * resolved below the target by whoever opens it (content/root.h), and cannot lead out of it. ".."
 * in a path goes back one component of the text before anything is looked up, and no further than
 * to the top: TW_E_UNSAFE. Folders above mounts exist as far as they lead to one, and hold nothing
 * else.
 *
 * A target may have placeholders: {user} and {uid}, and at its beginning {home}. They are filled in
 * for the account that looks. A name or home that would lead elsewhere (a '/' in the name, "..", an
 * empty one) makes the whole mapping of that account unusable, and nobody falls back to a wider
 * one.
 *
 * A fence (the path of a token) is a folder of that tree that becomes the top of a smaller one. The
 * path from the mount's target to the fence is not trusted: it is kept apart (@inside) and resolved
 * as any other path, so that the target holds it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define TW_SANDBOX_PATH_ROOM 4096 /* NUL included */
#define TW_SANDBOX_MOUNTS_MAX 1000
#define TW_SANDBOX_MESSAGE 320

struct tw_sandbox_pair {
	const char *mount, *target;
};

struct tw_sandbox_account {
	const char *user, *home;
	uid_t uid;
};

/* All owned. */
struct tw_mount {
	char *at;     /* "" for the top, "a/b" */
	char *target; /* absolute */
	char *inside; /* "" or "c/d": below @target, not trusted */
};

struct tw_mounts {
	struct tw_mount *items; /* in the order of @at's bytes, each once */
	size_t count;
};

/*
 * Whether the pair can be used for some account. TW_E_FORMAT, and a sentence that says what is
 * wrong with it: mounts are absolute without "." and "..", targets too, and of the placeholders
 * above there may be any, of other braces none.
 */
int tw_sandbox_check(const struct tw_sandbox_pair *pair, char ret_message[TW_SANDBOX_MESSAGE]);

/*
 * The mounts of @account. @fence: NULL or "": none. TW_E_UNSAFE: a pair or the account has what
 * must not be, or the fence leads out; -ENOENT: there is nothing at the fence; -ENAMETOOLONG,
 * -ENOMEM. No pairs: a tree with nothing in it.
 */
int tw_sandbox_make(const struct tw_sandbox_pair *pairs, size_t count,
		    const struct tw_sandbox_account *account, const char *fence,
		    struct tw_mounts *ret);
void tw_mounts_deinit(struct tw_mounts *mounts);

/*
 * @path as components with one '/' between, none in front and behind: "." and empty ones go, ".."
 * takes the one before it along. @ret has TW_SANDBOX_PATH_ROOM. TW_E_UNSAFE: above the top;
 * -ENAMETOOLONG.
 */
int tw_sandbox_normal(const char *path, char *ret);

/* Where a path (normal) leads. */
struct tw_sandbox_place {
	const struct tw_mount *mount; /* lent; NULL: a folder above mounts */
	const char *rest;             /* lent, within the path; "": the mount itself */
};
/* -ENOENT: nothing is mounted there. */
int tw_sandbox_find(const struct tw_mounts *mounts, const char *path, struct tw_sandbox_place *ret);
/* Whether something is mounted at @path (normal) or below it; below it. */
bool tw_sandbox_holds_mounts(const struct tw_mounts *mounts, const char *path);
bool tw_sandbox_leads_to_mounts(const struct tw_mounts *mounts, const char *path);
/*
 * The next name directly below @path (normal) that is a mount or leads to one; each once. @cursor
 * begins as 0. False: no more. @ret has 256 bytes.
 */
bool tw_sandbox_next_name(const struct tw_mounts *mounts, const char *path, size_t *cursor,
			  char *ret);
