/*
 * watches.h - watch folders: what appears or changes below a folder is sent to a destination, by
 * itself.
 *
 * Two sources of truth: inotify says soon that something happened; a scan of the whole folder says
 * what is there. A scan runs at the start, at intervals, after an overflow of inotify's queue, and
 * a moment after anything was heard; so nothing that inotify loses is lost. A file is ready when
 * its size and times have not changed for settle_seconds. Ready files that are new or differ from
 * what was sent go as one batch: a manifest and a transfer of the engine's. When that is complete,
 * they count as sent, and this is stored; when it fails, they are tried again with the next batch.
 * With mirror_deletes files that were sent and are gone are removed at the destination.
 *
 * Scans run on the engine's pool of threads; everything else on the control thread.
 */
#pragma once

#include <stdint.h>

#include "engine/engine.h"
#include "store/store.h"

#define TW_WATCHES_MAX 1000
#define TW_WATCH_BATCH_MAX 10000 /* files in one transfer */

struct tw_watches;
struct tw_pool; /* engine/pool.h */

struct tw_watches_options {
	struct tw_engine *engine; /* borrowed: manifests and transfers are made through engine.h */
	struct event_base *base;
	struct tw_store *store;
	struct tw_pool *pool;
};

/* Loads the stored ones and starts them. */
int tw_watches_new(const struct tw_watches_options *options, struct tw_watches **ret);
/* Nothing new is scanned or sent; scans under way are cancelled and come back through the pool. */
void tw_watches_stop(struct tw_watches *watches);
/* Stopped, and the pool has ended. */
void tw_watches_free(struct tw_watches *watches);
int tw_watches_create(struct tw_watches *watches, const struct tw_caller *caller,
		      const struct tw_watch_options *options, const char **ret_id,
		      struct tw_fault *fault);
int tw_watches_update(struct tw_watches *watches, const struct tw_caller *caller, const char *id,
		      const struct tw_watch_options *options, const struct tw_strings *given,
		      struct tw_fault *fault);
int tw_watches_delete(struct tw_watches *watches, const struct tw_caller *caller, const char *id,
		      struct tw_fault *fault);
const struct tw_watch_view *tw_watches_get(struct tw_watches *watches,
					   const struct tw_caller *caller, const char *id);
const struct tw_watch_view *tw_watches_next(struct tw_watches *watches,
					    const struct tw_caller *caller, size_t *cursor);
/* A transfer that the watch made has ended (the engine tells it of every transfer that ends). */
void tw_watches_transfer_ended(struct tw_watches *watches, const char *transfer_id, bool complete);
