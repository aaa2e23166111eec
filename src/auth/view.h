/*
 * view.h - what an account may reach, as a file system view (content/fs.h) and for file operations
 * (content/files.h): its mounts (sandbox.h), each behind its file agent (agent_fs.h).
 *
 * Counted. It is made without asking anybody; the account is looked up and the agent started by the
 * first call, on the thread that makes it. What was mounted then stays mounted: whoever holds a
 * view keeps it through changes of the mappings. Threads may share it.
 *
 * Paths are those that the account sees, from its top, with or without a '/' in front. -EACCES: the
 * account has not proved itself to this server; TW_E_UNSAFE: its mapping cannot be used, or the
 * path leads out of its mount.
 */
#pragma once

#include "auth/accounts.h"
#include "auth/sandbox.h"
#include "content/files.h"
#include "content/fs.h"

struct tw_view;

struct tw_view_options {
	struct tw_accounts *accounts;        /* borrowed; outlives the view */
	const char *user;                    /* copied */
	const struct tw_sandbox_pair *pairs; /* copied */
	size_t pair_count;
	const char *fence; /* copied; NULL: none */
};

/* With one reference. -ENOMEM. */
int tw_view_new(const struct tw_view_options *options, struct tw_view **ret);
struct tw_view *tw_view_hold(struct tw_view *view);
void tw_view_drop(struct tw_view *view); /* NULL is fine */
/* Whose it is, lent as long as the view. */
const char *tw_view_user(const struct tw_view *view);
/* Nobody but the caller holds it. */
bool tw_view_is_idle(struct tw_view *view);
/* Lets its agent go if nobody asks it anything. */
void tw_view_rest(struct tw_view *view);

/*
 * For one walk or one reader: it keeps what listings told (recent.h). Counted by its own hold and
 * drop, and holds the view; the reference returned is the caller's. -ENOMEM.
 */
int tw_view_fs(struct tw_view *view, struct tw_fs *ret);

/*
 * As tw_files_run(), without roots: paths of the view. What leads to a mount cannot be removed or
 * moved (-EBUSY); where nothing is mounted nothing can be made (-EACCES). What lies below a folder
 * includes the mounts there.
 */
void tw_view_files_run(struct tw_view *view, const struct tw_files_request *request,
		       bool (*cancelled)(void *context), void *context,
		       struct tw_files_result *ret);

/* Where its mounts are ("" is the top), lent until the view goes. As the first call of it. */
int tw_view_mounts(struct tw_view *view, const struct tw_mounts **ret);
