/*
 * watches_private.h - the parts of the watch folders. watches.c: life, what the API asks.
 * watch_settings.c: what a watch was told, as options and as a stored record. watch_batch.c: scans,
 * and what goes out because of them.
 */
#pragma once

#include "engine/caller.h"
#include "engine/pool.h"
#include "engine/watch_scan.h"
#include "engine/watches.h"

/* From the first thing heard to the scan: more is coming, mostly. */
#define HEARD_PAUSE (200 * TW_MSEC)

struct watch_settings {
	char id[TW_OBJECT_ID];
	char *src_path, *destination_id, *destination_path; /* all text owned */
	char *owner, *owner_token, *owner_token_session;    /* tokens: NULL: none */
	char *fence; /* path of the token, at the top of what its owner sees; "": none */
	char *client_request_id;                            /* "": none */
	unsigned uid, gid;
	uint64_t interval_seconds, settle_seconds;
	struct tw_strings include, exclude;
	bool mirror_deletes, enabled;
	int64_t expiry_us, created_us;
	json_t *user_data;
};

/* What is on its way, at most one at a time: the files that are busy in the table. */
struct watch_batch {
	char manifest_id[TW_OBJECT_ID], transfer_id[TW_OBJECT_ID]; /* "": none */
	size_t count;                                              /* files, and removals */
};

struct watch {
	struct tw_watches *watches;
	struct watch *next_dying;
	struct watch_settings settings;
	struct tw_watch_view view;
	unsigned generation; /* grows with each change of the settings */
	bool dying;

	int inotify_fd;
	struct event *heard, *timer;
	tw_ns due_at; /* of the timer; TW_NEVER: not set */

	struct tw_watch_table table; /* the scan's while @scanning */
	size_t table_bytes;          /* as it was when no scan had it */
	struct tw_pool_job job;
	struct tw_watch_scan scan;
	struct tw_fs scan_fs;          /* while @scanning: held */
	struct watch_settings scanned; /* what the scan uses, when they were changed meanwhile */
	bool scanning, scan_again;
	int scan_result;
	size_t scan_bytes; /* that the table takes after it */
	unsigned scan_generation;
	tw_ns scan_started, scan_took;
	int64_t scanned_us;

	struct watch_batch batch;
	struct tw_wait *wait; /* for the manifest of the batch */
	bool manifest_ready;  /* it came while a scan had the table */
	int outcome;          /* of a batch that ended while a scan had the table; 0: none */
	unsigned failures;    /* of batches in a row */
	tw_ns retry_at;       /* no batch before */
	uint64_t files_sent, files_waiting;
	char error[256];
};

struct tw_watches {
	struct tw_watches_options options;
	struct watch **all; /* owned */
	size_t count, room;
	struct watch *dying; /* deleted, but a scan of it is under way */
	bool stopped;
};

/* watches.c */
void watch_listen(struct watch *watch);
/* Its last scan is back: frees it. */
void watch_buried(struct watch *watch);

/* watch_settings.c */
/* A new id, owned by @caller. -ENOMEM. */
int watch_settings_make(const struct tw_caller *caller, const struct tw_watch_options *options,
			struct watch_settings *ret);
/* The present settings as options, with those that are @given taken from @options. Lent texts. */
void watch_settings_merge(const struct watch_settings *settings,
			  const struct tw_watch_options *options, const struct tw_strings *given,
			  struct tw_watch_options *ret);
/* Swaps the two; id, owner and creation stay. */
void watch_settings_replace(struct watch_settings *settings, struct watch_settings *with);
void watch_settings_deinit(struct watch_settings *settings);
/* TW_E_FORMAT, -ENOMEM. */
int watch_load(const struct tw_store_record *record, struct watch *ret);
/* @sent: what was sent and is on its way as well. */
int watch_store(struct watch *watch, bool sent);

/* watch_batch.c */
/* A scan no later than @pause from now. */
void watch_scan_within(struct watch *watch, tw_ns pause);
void watch_due(struct watch *watch);
void watch_batch_ended(struct watch *watch, bool complete);
