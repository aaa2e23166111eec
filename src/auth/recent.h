/*
 * recent.h - what listings told a moment ago, so that a walk through a tree asks no second time for
 * each name it has just been given.
 *
 * A stack of listings, the innermost folder of the walk on top: a folder's listing goes when a
 * folder that is not below it is listed, or a name above it is asked for. Each answer is given
 * once, and not when it is older than TW_RECENT_AGE: then the storage is asked again. No locks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/time.h"
#include "content/fs.h"

#define TW_RECENT_AGE (5 * TW_SECOND)
#define TW_RECENT_ENTRIES_MAX ((size_t)1 << 20) /* of one listing; what comes beyond is asked for \
						 */

struct tw_recent_listing; /* one being put together */

struct tw_recent {
	struct tw_recent_listing *top;
};

/* @folder: its path, "" for the root. NULL: no memory. */
struct tw_recent_listing *tw_recent_begin(const char *folder, tw_ns now);
/* In the order of the names. What finds no memory is left out. */
void tw_recent_add(struct tw_recent_listing *listing, const char *name,
		   const struct tw_file_stat *stat);
void tw_recent_listing_free(struct tw_recent_listing *listing);
/* Takes @listing. */
void tw_recent_push(struct tw_recent *recent, struct tw_recent_listing *listing);
/* What is known of @path. False: nothing, or not enough to say what a link leads to (@follow). */
bool tw_recent_take(struct tw_recent *recent, const char *path, bool follow, tw_ns now,
		    struct tw_file_stat *ret);
void tw_recent_deinit(struct tw_recent *recent);
