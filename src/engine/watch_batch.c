#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/reach.h"
#include "engine/watches_private.h"
#include "netio/clock.h"

/* A scan of a large folder is not begun again at once. */
#define REST_FACTOR 4
#define RETRY_MAX (3600 * TW_SECOND)

__attribute__((format(printf, 2, 3))) static void complain(struct watch *watch, const char *format,
							   ...)
{
	char text[512];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	tw_text_clean(text, strlen(text), watch->error, sizeof watch->error);
}

static bool expired(const struct watch *watch)
{
	return watch->settings.expiry_us &&
	       watch->settings.expiry_us <= (int64_t)tw_clock_wall_us();
}

/* What came with a token goes with it: who has it no more, or never should have had it, is sent
 * nothing more. */
static bool token_gone(const struct watch *watch)
{
	const struct tw_caller all = { .user = "", .authenticated = true, .superuser = true };
	const char *id = watch->settings.owner_token;
	const struct tw_token_view *token =
		id ? tw_engine_token(watch->watches->options.engine, &all, false, id) : NULL;

	if (!id)
		return false;
	return !token || (token->expiry_time && token->expiry_time <= (int64_t)tw_clock_wall_us());
}

void watch_scan_within(struct watch *watch, tw_ns pause)
{
	tw_ns now = tw_clock_now(), at = tw_ns_add(now, pause), rested;
	struct timeval span;

	if (watch->scanning) {
		watch->scan_again = true;
		return;
	}
	rested = tw_ns_add(watch->scan_started, watch->scan_took * (1 + REST_FACTOR));
	if (watch->scan_started)
		at = tw_ns_max(at, rested);
	if (watch->due_at != TW_NEVER && watch->due_at <= at)
		return;
	watch->due_at = at;
	span.tv_sec = (time_t)(tw_ns_since(at, now) / TW_SECOND);
	span.tv_usec = (suseconds_t)(tw_ns_since(at, now) % TW_SECOND / TW_USEC);
	(void)event_add(watch->timer, &span);
}

/* What a batch needs of its owner. */
static struct tw_caller as_owner(const struct watch *watch)
{
	const struct watch_settings *settings = &watch->settings;

	return (struct tw_caller){
		.user = settings->owner,
		.authenticated = true,
		.token = settings->owner_token,
		.token_session = settings->owner_token_session,
		.permissions = TW_MAY_ALL,
		.token_path = *settings->fence ? settings->fence : NULL,
		.local = true,
		.uid = settings->uid,
		.gid = settings->gid,
	};
}

/* Batches. */

static void settle_file(struct watch *watch, struct tw_watch_file *file, bool complete)
{
	if (complete && file->busy_removed) {
		file->sent = false;
	} else if (complete) {
		file->sent = true;
		file->sent_size = file->busy_size;
		file->sent_mtime_ns = file->busy_mtime_ns;
		watch->files_sent++;
	}
	file->busy = file->busy_removed = false;
}

static tw_ns retry_pause(const struct watch *watch)
{
	tw_ns pause = watch->settings.interval_seconds * TW_SECOND;

	for (unsigned i = 1; i < watch->failures && pause < RETRY_MAX; i++)
		pause *= 2;
	return tw_ns_min(pause, RETRY_MAX);
}

static void apply_outcome(struct watch *watch, bool complete)
{
	int r;

	for (size_t i = 0; i < watch->table.count; i++)
		if (watch->table.files[i].busy)
			settle_file(watch, &watch->table.files[i], complete);
	watch->batch = (struct watch_batch){ .count = 0 };
	watch->failures = complete ? 0 : watch->failures + 1;
	watch->retry_at = complete ? 0 : tw_ns_add(tw_clock_now(), retry_pause(watch));
	if (complete)
		watch->error[0] = '\0';
	r = watch_store(watch, true);
	if (r)
		complain(watch, "What was sent could not be stored: %s.", tw_strerror(r));
}

void watch_batch_ended(struct watch *watch, bool complete)
{
	if (!complete)
		complain(watch, "The transfer %s failed; its files are tried again.",
			 watch->batch.transfer_id);
	if (watch->scanning) {
		watch->outcome = complete ? 1 : -1;
		return;
	}
	apply_outcome(watch, complete);
	watch_scan_within(watch, complete ? 0 : retry_pause(watch));
}

static void batch_refused(struct watch *watch, const struct tw_fault *fault)
{
	complain(watch, "%s", fault->message);
	apply_outcome(watch, false);
	watch_scan_within(watch, retry_pause(watch));
}

static void send_batch(struct watch *watch)
{
	struct tw_caller owner = as_owner(watch);
	struct tw_transfer_options options;
	struct tw_fault fault = { 0 };
	const char *id;
	int r;

	tw_transfer_options_init(&options);
	options.manifest_id = watch->batch.manifest_id;
	options.destination_id = watch->settings.destination_id;
	options.destination_path = watch->settings.destination_path;
	options.user_data = json_pack("{s:s}", "watchId", watch->settings.id);
	r = tw_engine_create_transfer(watch->watches->options.engine, &owner, &options, &id,
				      &fault);
	json_decref(options.user_data);
	if (r) {
		batch_refused(watch, &fault);
		return;
	}
	snprintf(watch->batch.transfer_id, sizeof watch->batch.transfer_id, "%s", id);
	/* The same commit makes the transfer and this durable. */
	r = watch_store(watch, true);
	if (r)
		complain(watch, "What is being sent could not be stored: %s.", tw_strerror(r));
}

static void on_manifest(void *context, bool timed_out)
{
	struct watch *watch = context;
	struct tw_caller owner = as_owner(watch);
	const struct tw_manifest_view *manifest = tw_engine_manifest(
		watch->watches->options.engine, &owner, watch->batch.manifest_id);
	struct tw_fault fault = { 0 };

	(void)timed_out;
	watch->wait = NULL;
	if (watch->scanning) {
		/* The table is not ours now: looked at again when the scan is back. */
		watch->manifest_ready = true;
		return;
	}
	if (manifest && !manifest->processing && strcmp(manifest->status, "complete") == 0) {
		send_batch(watch);
		return;
	}
	tw_fault_set(&fault, TW_FAULT_INTERNAL, NULL, "%s",
		     manifest && manifest->error_message ? manifest->error_message
							 : "Its manifest could not be made.");
	batch_refused(watch, &fault);
}

static void await_manifest(struct watch *watch)
{
	watch->wait = tw_engine_wait(watch->watches->options.engine, watch->batch.manifest_id,
				     UINT64_MAX, on_manifest, watch);
	if (!watch->wait)
		on_manifest(watch, false);
}

static void free_mappings(struct tw_manifest_mapping *mappings, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free((char *)mappings[i].src_path);
	free(mappings);
}

/* Marks a file as part of the batch. False: no memory. */
static bool take_file(const struct watch *watch, struct tw_watch_file *file,
		      struct tw_manifest_mapping *mapping)
{
	char *path = NULL;

	file->busy_removed = !file->present;
	if (file->present && asprintf(&path, "%s/%s", watch->settings.src_path, file->path) < 0)
		return false;
	*mapping = (struct tw_manifest_mapping){ path, file->path };
	file->busy = true;
	file->busy_size = file->size;
	file->busy_mtime_ns = file->mtime_ns;
	return true;
}

/* Manifests of the engine are made of JSON's text: other names go with a manifest of their folder
 * only. */
static bool can_be_named(const struct tw_watch_file *file)
{
	json_t *name = json_string(file->path);

	json_decref(name);
	return name != NULL;
}

static struct tw_manifest_mapping *take_files(struct watch *watch, size_t *ret_count)
{
	struct tw_manifest_mapping *mappings = calloc(TW_WATCH_BATCH_MAX, sizeof *mappings);
	tw_ns settle = watch->settings.settle_seconds * TW_SECOND;
	size_t count = 0, unnamed = 0;

	for (size_t i = 0; mappings && i < watch->table.count && count < TW_WATCH_BATCH_MAX; i++) {
		struct tw_watch_file *file = &watch->table.files[i];
		bool gone = watch->settings.mirror_deletes && !file->present && !file->unknown &&
			    file->sent && !file->busy;

		if (!gone && !tw_watch_file_ready(file, watch->scan.now, settle))
			continue;
		if (!can_be_named(file)) {
			unnamed++;
			continue;
		}
		if (!take_file(watch, file, &mappings[count]))
			break;
		count++;
	}
	if (unnamed)
		complain(watch,
			 "%zu files have names that are not UTF-8 and are left out; rename them.",
			 unnamed);
	*ret_count = count;
	return mappings;
}

static void make_batch(struct watch *watch)
{
	struct tw_manifest_options options = { .recursive = true };
	struct tw_caller owner = as_owner(watch);
	struct tw_fault fault = { 0 };
	const char *id;
	int r;

	if (tw_clock_now() < watch->retry_at)
		return;
	options.mappings = take_files(watch, &options.mapping_count);
	if (!options.mapping_count) {
		free_mappings(options.mappings, 0);
		return;
	}
	options.user_data = json_pack("{s:s}", "watchId", watch->settings.id);
	r = tw_engine_create_manifest(watch->watches->options.engine, &owner, &options, &id,
				      &fault);
	json_decref(options.user_data);
	free_mappings(options.mappings, options.mapping_count);
	if (r) {
		batch_refused(watch, &fault);
		return;
	}
	watch->batch.count = options.mapping_count;
	snprintf(watch->batch.manifest_id, sizeof watch->batch.manifest_id, "%s", id);
	await_manifest(watch);
}

/* After a restart: the transfer may have ended while nobody looked. */
static void look_after_batch(struct watch *watch)
{
	struct tw_caller all = { .user = "", .authenticated = true, .superuser = true };
	const struct tw_transfer_view *transfer =
		tw_engine_transfer(watch->watches->options.engine, &all, watch->batch.transfer_id);
	bool complete = transfer && strcmp(transfer->status, "complete") == 0;

	if (!transfer || complete || strcmp(transfer->status, "error") == 0 ||
	    strcmp(transfer->status, "cancelled") == 0)
		watch_batch_ended(watch, complete);
}

/* Scans. */

static void run_scan(struct tw_pool_job *job)
{
	struct watch *watch = (struct watch *)((char *)job - offsetof(struct watch, job));

	watch->scan_result = tw_watch_scan_run(&watch->scan, &watch->table);
	watch->scan_bytes = tw_watch_table_bytes(&watch->table);
}

static bool scan_cancelled(void *context)
{
	return tw_pool_cancelled(&((struct watch *)context)->job);
}

static void note_scan(struct watch *watch)
{
	const struct tw_watch_scan *scan = &watch->scan;

	if (watch->scan_result) {
		complain(watch, "%s cannot be read: %s.", watch->settings.src_path,
			 tw_strerror(watch->scan_result));
		return;
	}
	watch->scanned_us = (int64_t)tw_clock_wall_us();
	watch->files_waiting = scan->ready + scan->waiting + watch->batch.count +
			       (watch->settings.mirror_deletes ? scan->removed : 0);
	if (scan->too_many)
		complain(watch,
			 "There are more files than are looked after: %d in one folder, and as "
			 "many of all your watches as fit %zu MiB.",
			 TW_WATCH_TABLE_MAX, TW_WATCH_OWNER_BYTES >> 20);
	else if (scan->unreadable)
		complain(watch, "%zu files or folders below %s cannot be read.", scan->unreadable,
			 watch->settings.src_path);
	else if (!watch->failures)
		watch->error[0] = '\0';
}

static void scan_done(struct tw_pool_job *job)
{
	struct watch *watch = (struct watch *)((char *)job - offsetof(struct watch, job));
	tw_ns pause = watch->settings.interval_seconds * TW_SECOND;
	bool again = watch->scan_again || watch->scan_generation != watch->generation;

	watch->scanning = watch->scan_again = false;
	if (tw_pool_ran(job))
		watch->table_bytes = watch->scan_bytes;
	tw_fs_drop(&watch->scan_fs);
	watch_settings_deinit(&watch->scanned);
	watch->scan_took = tw_ns_since(tw_clock_now(), watch->scan_started);
	if (watch->dying) {
		watch_buried(watch);
		return;
	}
	if (!tw_pool_ran(job) || watch->scan_result == TW_E_CLOSED || watch->watches->stopped)
		return;
	note_scan(watch);
	if (watch->outcome) {
		apply_outcome(watch, watch->outcome > 0);
		watch->outcome = 0;
		again = true;
	}
	if (watch->manifest_ready) {
		watch->manifest_ready = false;
		on_manifest(watch, false);
	}
	if (!watch->scan_result && !again && !watch->batch.manifest_id[0] &&
	    !watch->batch.transfer_id[0])
		make_batch(watch);
	watch_scan_within(watch, again ? 0 : tw_ns_min(pause, watch->scan.settles_in));
}

/* What the tables of the owner's other watches take. */
static size_t bytes_of_others(const struct watch *watch)
{
	const struct tw_watches *watches = watch->watches;
	size_t bytes = 0;

	for (size_t i = 0; i < watches->count; i++)
		if (watches->all[i] != watch &&
		    strcmp(watches->all[i]->settings.owner, watch->settings.owner) == 0)
			bytes += watches->all[i]->table_bytes;
	return bytes;
}

void watch_due(struct watch *watch)
{
	struct watch_settings *settings = &watch->settings;

	watch->due_at = TW_NEVER;
	if (watch->batch.transfer_id[0])
		look_after_batch(watch);
	if (!settings->enabled || watch->scanning || watch->watches->stopped)
		return;
	if (expired(watch)) {
		complain(watch, "Its time is over; give it a later expiryTime to go on.");
		return;
	}
	if (token_gone(watch)) {
		complain(watch, "The token that it was made with is no more; make it anew.");
		return;
	}
	if (tw_reach_fs(watch->watches->options.engine, settings->owner, settings->fence,
			&watch->scan_fs)) {
		watch_scan_within(watch, TW_SECOND);
		return;
	}
	watch_listen(watch);
	watch->scan = (struct tw_watch_scan){
		.fs = &watch->scan_fs,
		.folder = settings->src_path,
		.include = settings->include.items,
		.include_count = settings->include.count,
		.exclude = settings->exclude.items,
		.exclude_count = settings->exclude.count,
		.now = tw_clock_now(),
		.wall_ns = (int64_t)tw_clock_wall_us() * 1000,
		.settle_ns = settings->settle_seconds * TW_SECOND,
		.others = bytes_of_others(watch),
		.inotify_fd = watch->inotify_fd,
		.want_removed = settings->mirror_deletes,
		.cancelled = scan_cancelled,
		.context = watch,
	};
	watch->scanning = true;
	watch->scan_generation = watch->generation;
	watch->scan_started = watch->scan.now;
	watch->job.run = run_scan;
	watch->job.done = scan_done;
	watch->job.owner = tw_pool_owner(settings->owner);
	tw_pool_submit(watch->watches->options.pool, &watch->job);
}
