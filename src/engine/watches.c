#include "engine/watches.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/watches_private.h"
#include "netio/clock.h"

void tw_watch_options_init(struct tw_watch_options *options)
{
	*options = (struct tw_watch_options){
		.destination_path = "",
		.interval_seconds = 60,
		.settle_seconds = 5,
		.enabled = true,
	};
}

static void listen_close(struct watch *watch)
{
	if (watch->heard)
		event_free(watch->heard);
	watch->heard = NULL;
	if (watch->inotify_fd >= 0)
		close(watch->inotify_fd);
	watch->inotify_fd = -1;
}

/* What was heard does not matter: the scan sees what there is. */
static void on_heard(evutil_socket_t fd, short what, void *context)
{
	struct watch *watch = context;
	char bytes[16384];

	(void)what;
	while (read(fd, bytes, sizeof bytes) > 0)
		continue;
	watch_scan_within(watch, HEARD_PAUSE);
}

/* Without it the folder is only scanned at intervals. */
void watch_listen(struct watch *watch)
{
	if (watch->inotify_fd >= 0)
		return;
	watch->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->inotify_fd < 0)
		return;
	watch->heard = event_new(watch->watches->options.base, watch->inotify_fd,
				 EV_READ | EV_PERSIST, on_heard, watch);
	if (!watch->heard || event_add(watch->heard, NULL))
		listen_close(watch);
}

static void watch_free(struct watch *watch)
{
	listen_close(watch);
	if (watch->timer)
		event_free(watch->timer);
	if (watch->wait)
		tw_engine_wait_cancel(watch->wait);
	watch_settings_deinit(&watch->scanned);
	tw_watch_table_deinit(&watch->table);
	watch_settings_deinit(&watch->settings);
	free(watch);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	watch_due(context);
}

static int watch_new(struct tw_watches *watches, struct watch **ret)
{
	struct watch *watch = calloc(1, sizeof *watch);

	if (!watch)
		return -ENOMEM;
	watch->watches = watches;
	watch->inotify_fd = -1;
	watch->due_at = TW_NEVER;
	watch->timer = event_new(watches->options.base, -1, 0, on_timer, watch);
	if (!watch->timer) {
		watch_free(watch);
		return -ENOMEM;
	}
	*ret = watch;
	return 0;
}

static int append(struct tw_watches *watches, struct watch *watch)
{
	if (watches->count == watches->room) {
		size_t room = watches->room ? watches->room * 2 : 16;
		struct watch **all = realloc(watches->all, room * sizeof(struct watch *));

		if (!all)
			return -ENOMEM;
		watches->all = all;
		watches->room = room;
	}
	watches->all[watches->count++] = watch;
	return 0;
}

static int load_one(void *context, const struct tw_store_record *record)
{
	struct tw_watches *watches = context;
	struct watch *watch;
	size_t length;
	void *blob;
	int r = watch_new(watches, &watch);

	if (r)
		return r;
	r = watch_load(record, watch);
	if (!r)
		r = append(watches, watch);
	if (r) {
		watch_free(watch);
		/* One that cannot be understood is left alone, the others go on. */
		return r == TW_E_FORMAT ? 0 : r;
	}
	if (tw_store_blob(watches->options.store, TW_STORE_WATCH, record->id, &blob, &length))
		return 0;
	/* Without what was sent, everything counts as new: it is sent once more, never lost. */
	if (!tw_watch_table_decode(blob, length, &watch->table))
		watch->table_bytes = tw_watch_table_bytes(&watch->table);
	free(blob);
	return 0;
}

int tw_watches_new(const struct tw_watches_options *options, struct tw_watches **ret)
{
	struct tw_watches *watches = calloc(1, sizeof *watches);
	int r;

	if (!watches)
		return -ENOMEM;
	watches->options = *options;
	r = tw_store_load(options->store, TW_STORE_WATCH, load_one, watches);
	if (r) {
		tw_watches_free(watches);
		return r;
	}
	for (size_t i = 0; i < watches->count; i++)
		watch_scan_within(watches->all[i], 0);
	*ret = watches;
	return 0;
}

void tw_watches_stop(struct tw_watches *watches)
{
	watches->stopped = true;
	for (size_t i = 0; i < watches->count; i++)
		if (watches->all[i]->scanning)
			tw_pool_cancel(&watches->all[i]->job);
}

void tw_watches_free(struct tw_watches *watches)
{
	if (!watches)
		return;
	for (size_t i = 0; i < watches->count; i++)
		watch_free(watches->all[i]);
	assert(!watches->dying);
	free(watches->all);
	free(watches);
}

/* Finding. */

static bool visible(const struct watch *watch, const struct tw_caller *caller)
{
	const char *made_with = watch->settings.owner_token;

	if (caller->superuser || caller->wrangler)
		return true;
	if (strcmp(watch->settings.owner, caller->user) != 0)
		return false;
	return !caller->token || (made_with && strcmp(made_with, caller->token) == 0);
}

static struct watch *find(struct tw_watches *watches, const struct tw_caller *caller,
			  const char *id)
{
	for (size_t i = 0; i < watches->count; i++)
		if (strcmp(watches->all[i]->settings.id, id) == 0 &&
		    visible(watches->all[i], caller))
			return watches->all[i];
	return NULL;
}

static int no_such(struct tw_fault *fault)
{
	return tw_fault_set(fault, TW_FAULT_NOT_FOUND, "watchId",
			    "There is no such watch; getWatches lists them.");
}

static const struct tw_watch_view *show(struct watch *watch)
{
	struct watch_settings *settings = &watch->settings;

	watch->view = (struct tw_watch_view){
		.watch_id = settings->id,
		.src_path = settings->src_path,
		.destination_id = settings->destination_id,
		.destination_path = settings->destination_path,
		.interval_seconds = settings->interval_seconds,
		.settle_seconds = settings->settle_seconds,
		.include = settings->include,
		.exclude = settings->exclude,
		.mirror_deletes = settings->mirror_deletes,
		.enabled = settings->enabled,
		.expiry_time = settings->expiry_us,
		.creation_time = settings->created_us,
		.last_scan_time = watch->scanned_us,
		.files_sent = watch->files_sent,
		.files_waiting = watch->files_waiting,
		.error_message = watch->error[0] ? watch->error : NULL,
		.ownership = { settings->owner, settings->owner_token,
			       settings->owner_token_session },
		.user_data = settings->user_data,
	};
	return &watch->view;
}

const struct tw_watch_view *tw_watches_get(struct tw_watches *watches,
					   const struct tw_caller *caller, const char *id)
{
	struct watch *watch = find(watches, caller, id);

	return watch ? show(watch) : NULL;
}

const struct tw_watch_view *tw_watches_next(struct tw_watches *watches,
					    const struct tw_caller *caller, size_t *cursor)
{
	while (*cursor < watches->count) {
		struct watch *watch = watches->all[(*cursor)++];

		if (visible(watch, caller))
			return show(watch);
	}
	return NULL;
}

/* Changing. */

static int failed(struct tw_fault *fault, int r)
{
	return tw_fault_set(fault, TW_FAULT_INTERNAL, NULL, "The watch could not be stored: %s.",
			    tw_strerror(r));
}

static bool leaves_its_root(const char *path)
{
	size_t length = strlen(path);

	return strstr(path, "/../") || (length >= 3 && strcmp(path + length - 3, "/..") == 0);
}

static int check(struct tw_watches *watches, const struct tw_caller *caller,
		 const struct tw_watch_options *options, struct tw_fault *fault)
{
	if (!options->src_path || options->src_path[0] != '/')
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "srcPath",
				    "srcPath must be the absolute path of a folder.");
	if (leaves_its_root(options->src_path))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "srcPath",
				    "srcPath must not have \"..\" in it.");
	if (options->interval_seconds < 1 || options->interval_seconds > 86400 * 7)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "intervalSeconds",
				    "intervalSeconds must be from 1 to 604800.");
	if (options->settle_seconds > 86400)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "settleSeconds",
				    "settleSeconds must be at most 86400.");
	if (!options->destination_id ||
	    !tw_engine_destination(watches->options.engine, caller, options->destination_id))
		return tw_fault_set(fault, TW_FAULT_NOT_FOUND, "destinationId",
				    "There is no such destination; getDestinations lists them.");
	return TW_FAULT_NONE;
}

static int create(struct tw_watches *watches, const struct tw_caller *caller,
		  const struct tw_watch_options *options, struct watch **ret)
{
	int r = watch_new(watches, ret);

	if (r)
		return r;
	r = watch_settings_make(caller, options, &(*ret)->settings);
	if (!r)
		r = watch_store(*ret, false);
	if (!r)
		r = append(watches, *ret);
	if (r)
		watch_free(*ret);
	return r;
}

/* One account may have half of what fits. */
static int check_room(const struct tw_watches *watches, const struct tw_caller *caller,
		      struct tw_fault *fault)
{
	size_t own = 0;

	if (watches->count == TW_WATCHES_MAX)
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, NULL,
				    "There are %d watches already; delete one first.",
				    TW_WATCHES_MAX);
	for (size_t i = 0; i < watches->count; i++)
		own += strcmp(watches->all[i]->settings.owner, caller->user) == 0;
	if (own >= TW_WATCHES_MAX / 2 && !caller->superuser)
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, NULL,
				    "This account has %zu watches, half of what this server holds; "
				    "delete one first.",
				    own);
	return TW_FAULT_NONE;
}

int tw_watches_create(struct tw_watches *watches, const struct tw_caller *caller,
		      const struct tw_watch_options *options, const char **ret_id,
		      struct tw_fault *fault)
{
	struct watch *watch;
	int r = check(watches, caller, options, fault);

	if (r)
		return r;
	r = tw_caller_may_use_files(caller, fault);
	if (r)
		return r;
	for (size_t i = 0; options->client_request_id && i < watches->count; i++) {
		watch = watches->all[i];
		if (strcmp(watch->settings.client_request_id, options->client_request_id) == 0 &&
		    strcmp(watch->settings.owner, caller->user) == 0 && visible(watch, caller)) {
			*ret_id = watch->settings.id;
			return TW_FAULT_NONE;
		}
	}
	r = check_room(watches, caller, fault);
	if (r)
		return r;
	r = create(watches, caller, options, &watch);
	if (r)
		return failed(fault, r);
	watch_scan_within(watch, 0);
	*ret_id = watch->settings.id;
	return TW_FAULT_NONE;
}

int tw_watches_update(struct tw_watches *watches, const struct tw_caller *caller, const char *id,
		      const struct tw_watch_options *options, const struct tw_strings *given,
		      struct tw_fault *fault)
{
	struct watch *watch = find(watches, caller, id);
	struct tw_watch_options merged;
	struct watch_settings settings;
	int r;

	if (!watch)
		return no_such(fault);
	watch_settings_merge(&watch->settings, options, given, &merged);
	r = check(watches, caller, &merged, fault);
	if (r)
		return r;
	r = watch_settings_make(caller, &merged, &settings);
	if (r)
		return failed(fault, r);
	watch_settings_replace(&watch->settings, &settings);
	/* A scan under way goes on with what it began with. */
	if (watch->scanning && !watch->scanned.src_path)
		watch->scanned = settings;
	else
		watch_settings_deinit(&settings);
	r = watch_store(watch, false);
	if (r)
		return failed(fault, r);
	watch->generation++;
	watch_scan_within(watch, 0);
	return TW_FAULT_NONE;
}

void watch_buried(struct watch *watch)
{
	struct watch **place = &watch->watches->dying;

	while (*place != watch)
		place = &(*place)->next_dying;
	*place = watch->next_dying;
	watch_free(watch);
}

int tw_watches_delete(struct tw_watches *watches, const struct tw_caller *caller, const char *id,
		      struct tw_fault *fault)
{
	struct watch *watch = find(watches, caller, id);
	int r;

	if (!watch)
		return no_such(fault);
	r = tw_store_remove(watches->options.store, TW_STORE_WATCH, watch->settings.id);
	if (r && r != TW_E_END)
		return failed(fault, r);
	for (size_t i = 0; i < watches->count; i++) {
		if (watches->all[i] != watch)
			continue;
		memmove(watches->all + i, watches->all + i + 1,
			(--watches->count - i) * sizeof(struct watch *));
		break;
	}
	if (!watch->scanning) {
		watch_free(watch);
		return TW_FAULT_NONE;
	}
	/* It goes when its scan is back. */
	tw_pool_cancel(&watch->job);
	watch->dying = true;
	watch->next_dying = watches->dying;
	watches->dying = watch;
	return TW_FAULT_NONE;
}

void tw_watches_transfer_ended(struct tw_watches *watches, const char *transfer_id, bool complete)
{
	for (size_t i = 0; i < watches->count; i++) {
		struct watch *watch = watches->all[i];

		if (watch->batch.transfer_id[0] &&
		    strcmp(watch->batch.transfer_id, transfer_id) == 0)
			watch_batch_ended(watch, complete);
	}
}
