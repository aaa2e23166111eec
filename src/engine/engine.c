/* engine.c - the engine's life: what it is made of, its timers, how it stops; calls passed on. */
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/discover.h"
#include "engine/engine_internal.h"
#include "engine/pool.h"
#include "engine/reach.h"
#include "engine/requests.h"
#include "engine/watches.h"
#include "netio/clock.h"

#define POOL_THREADS 8 /* 4 for one account */
#define RESOLVER_THREADS 4

/* The texts of struct tw_engine_options. */
static const size_t option_texts[] = {
	offsetof(struct tw_engine_options, version),
	offsetof(struct tw_engine_options, revision),
	offsetof(struct tw_engine_options, server_name),
	offsetof(struct tw_engine_options, certificate_pin),
	offsetof(struct tw_engine_options, state_dir),
	offsetof(struct tw_engine_options, receive_dir),
	offsetof(struct tw_engine_options, sandbox_dir),
	offsetof(struct tw_engine_options, external_address),
	offsetof(struct tw_engine_options, trigger_dir),
	offsetof(struct tw_engine_options, trigger_log),
	offsetof(struct tw_engine_options, relay_host),
};
#define OPTION_TEXTS (sizeof(option_texts) / sizeof(*option_texts))

static char **option_text(struct tw_engine *engine, size_t index)
{
	return (char **)((char *)&engine->options + option_texts[index]);
}

static int copy_options(struct tw_engine *engine, const struct tw_engine_options *options)
{
	int r = 0;

	engine->options = *options;
	for (size_t i = 0; i < OPTION_TEXTS; i++) {
		const char *text = *option_text(engine, i);

		*option_text(engine, i) = NULL;
		if (!tw_copy_text(text, option_text(engine, i)))
			r = -ENOMEM;
	}
	if (!engine->options.active_per_destination)
		engine->options.active_per_destination = 1;
	if (engine->options.active_per_destination > TW_ACTIVE_PER_DESTINATION_MAX)
		engine->options.active_per_destination = TW_ACTIVE_PER_DESTINATION_MAX;
	return r;
}

/* Timers. */

static void on_kick(evutil_socket_t fd, short what, void *context)
{
	struct tw_engine *engine = context;

	(void)fd;
	(void)what;
	/* Enough for one turn; or a worker has no room at the moment. */
	if (tw_queue_run(engine))
		event_add(engine->kick,
			  &(struct timeval){ .tv_usec = engine->starts_left ? 20000 : 1000 });
}

static void on_commit(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	tw_engine_commit(context);
}

static void on_tenth(evutil_socket_t fd, short what, void *context)
{
	struct tw_engine *engine = context;
	tw_ns now = tw_clock_now();

	(void)fd;
	(void)what;
	tw_resolve_due(engine, now);
	tw_queue_retry_due(engine, now);
	tw_links_admission_again(engine);
	if (engine->stop_unsent)
		engine->stop_unsent = tw_links_stop(engine) == TW_E_FULL;
	if (engine->incoming_limit != TW_UNSET || engine->outgoing_limit != TW_UNSET) {
		tw_links_refresh(engine, true);
		tw_limits_divide(engine);
	}
	/* Last: whoever hears of it may free the engine. */
	tw_links_check_stopped(engine);
}

static void on_second(evutil_socket_t fd, short what, void *context)
{
	struct tw_engine *engine = context;

	(void)fd;
	(void)what;
	tw_snapshot_second(engine);
	tw_limits_divide(engine);
	/* What could not be written is tried again. */
	if (engine->commit_failed)
		tw_engine_commit(engine);
}

static void on_garbage(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	tw_engine_collect_garbage(context);
	tw_garbage_arm(context);
}

static int make_timers(struct tw_engine *engine)
{
	static const struct timeval second = { .tv_sec = 1 }, tenth = { .tv_usec = 100000 };

	engine->second = event_new(engine->base, -1, EV_PERSIST, on_second, engine);
	engine->tenth = event_new(engine->base, -1, EV_PERSIST, on_tenth, engine);
	engine->commit = evtimer_new(engine->base, on_commit, engine);
	engine->kick = evtimer_new(engine->base, on_kick, engine);
	engine->garbage = evtimer_new(engine->base, on_garbage, engine);
	if (!engine->second || !engine->tenth || !engine->commit || !engine->kick ||
	    !engine->garbage || event_add(engine->second, &second) ||
	    event_add(engine->tenth, &tenth))
		return -ENOMEM;
	tw_garbage_arm(engine);
	return 0;
}

static void free_timers(struct tw_engine *engine)
{
	struct event **timers[] = { &engine->second, &engine->tenth, &engine->commit, &engine->kick,
				    &engine->garbage };

	for (size_t i = 0; i < sizeof(timers) / sizeof(*timers); i++) {
		if (*timers[i])
			event_free(*timers[i]);
		*timers[i] = NULL;
	}
}

int tw_engine_commit(struct tw_engine *engine)
{
	int r = tw_persist_flush(engine);

	if (!r && tw_store_dirty(engine->store)) {
		r = tw_store_commit(engine->store);
		engine->commits += !r;
	}
	engine->commit_failed = r != 0;
	return r;
}

/* Making. */

static void read_boot_id(struct tw_engine *engine)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	char text[64] = "";
	size_t kept = 0;

	if (file && !fgets(text, sizeof(text), file))
		text[0] = '\0';
	if (file)
		fclose(file);
	for (const char *at = text; *at && *at != '\n' && kept + 1 < sizeof(engine->boot_id); at++)
		if (*at != '-')
			engine->boot_id[kept++] = *at;
}

static int make_ids(struct tw_engine *engine)
{
	struct tw_random random = tw_system_random();
	json_t *stored = tw_persist_get(engine, "serverUid");
	const char *uid = json_string_value(stored);
	char host[256] = "localhost";
	int r = 0;

	tw_random_fill(&random, engine->server_id_bytes, sizeof(engine->server_id_bytes));
	if (!uid ||
	    tw_text_unhex(uid, engine->server_uid_bytes, sizeof(engine->server_uid_bytes))) {
		tw_random_fill(&random, engine->server_uid_bytes, sizeof(engine->server_uid_bytes));
		tw_text_hex(engine->server_uid_bytes, TW_ID_SIZE, engine->server_uid);
		r = tw_persist_setting(engine, "serverUid", json_string(engine->server_uid));
	}
	json_decref(stored);
	tw_text_hex(engine->server_id_bytes, TW_ID_SIZE, engine->server_id);
	tw_text_hex(engine->server_uid_bytes, TW_ID_SIZE, engine->server_uid);
	tw_public_key_format(&engine->options.identity->public_key, engine->public_key);
	gethostname(host, sizeof(host) - 1);
	read_boot_id(engine);
	engine->started_at_us = (int64_t)tw_clock_wall_us();
	engine->license = json_pack("{sbssss}", "valid", true, "name", "Apache-2.0", "note",
				    "free software: no key, no limit, no end");
	if (!tw_copy_text(host, &engine->host_name) ||
	    !tw_copy_text(engine->options.server_name ? engine->options.server_name : host,
			  &engine->server_name) ||
	    !engine->license)
		return -ENOMEM;
	return r;
}

/* With parents. */
static int make_folder(const char *path)
{
	char part[4096];

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	for (char *at = part + 1; *at; at++)
		if (*at == '/') {
			*at = '\0';
			if (mkdir(part, 0755) && errno != EEXIST)
				return -errno;
			*at = '/';
		}
	return mkdir(part, 0755) && errno != EEXIST ? -errno : 0;
}

/* One for each account may be made later; one for all is there, or it is a mistake. */
static int check_sandbox(struct tw_engine *engine)
{
	const struct tw_sandbox_pair pair = { "/", engine->options.sandbox_dir };
	char message[TW_SANDBOX_MESSAGE], *whole;
	struct stat st;

	if (strchr(engine->options.sandbox_dir, '{'))
		return tw_sandbox_check(&pair, message) ? -EINVAL : 0;
	whole = realpath(engine->options.sandbox_dir, NULL);
	if (!whole)
		/* Not ours to look at: the accounts' agents will say. */
		return errno == EACCES && *engine->options.sandbox_dir == '/' ? 0 : -errno;
	free((char *)engine->options.sandbox_dir);
	engine->options.sandbox_dir = whole;
	return stat(whole, &st) || S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int open_folders(struct tw_engine *engine, char ret_message[512])
{
	int r = engine->options.sandbox_dir ? check_sandbox(engine) : 0;
	/* As it is now: the look at it may have made it whole. */
	const char *path = engine->options.sandbox_dir;

	if (!r && engine->options.receive && engine->options.receive_dir) {
		path = engine->options.receive_dir;
		r = make_folder(path);
		if (!r)
			r = tw_fs_posix_open(path, true, &engine->receive_fs);
		engine->receive_fs_open = !r;
	}
	if (r)
		snprintf(ret_message, 512, "%.300s: %s. Make it, or give another folder.", path,
			 tw_strerror(r));
	return r;
}

static void on_request_end(void *context, const char *id)
{
	tw_waits_wake(context, id);
}

static int make_modules(struct tw_engine *engine)
{
	struct tw_trigger_options triggers = {
		.base = engine->base,
		.accounts = engine->options.trigger_dir ? engine->options.accounts : NULL,
		.log_path = engine->options.trigger_log,
	};
	int r = tw_pool_new(engine->base, POOL_THREADS, &engine->pool);

	if (!r)
		r = tw_pool_new(engine->base, RESOLVER_THREADS, &engine->resolver);
	if (!r)
		r = tw_eventlog_new(engine->store, &engine->log);
	if (!r)
		r = tw_triggers_new(&triggers, &engine->triggers);
	if (!r)
		r = tw_requests_new(engine->base, &engine->requests);
	if (!r)
		tw_requests_on_end(engine->requests, on_request_end, engine);
	if (!r)
		r = make_timers(engine);
	return r;
}

static void init_tables(struct tw_engine *engine)
{
	tw_shelf_init(&engine->destinations, TW_DESTINATIONS_MAX);
	tw_shelf_init(&engine->manifests, TW_MANIFESTS_MAX);
	tw_shelf_init(&engine->transfers, TW_TRANSFERS_MAX);
	tw_shelf_init(&engine->tokens, TW_TOKENS_MAX);
	tw_index_init(&engine->connections);
	tw_index_init(&engine->by_request);
	tw_index_init(&engine->destination_numbers);
	tw_index_init(&engine->transfer_numbers);
	TAILQ_INIT(&engine->dirty);
	TAILQ_INIT(&engine->kicks);
	TAILQ_INIT(&engine->own_relays);
	TAILQ_INIT(&engine->file_works);
	tw_reach_init(engine);
	tw_heap_init(&engine->resolves);
	tw_heap_init(&engine->retries);
	tw_waits_init(engine);
	tw_receive_init(engine);
}

static int load_settings(struct tw_engine *engine)
{
	int r = make_ids(engine);

	if (!r)
		r = tw_receive_load(engine);
	if (!r)
		r = tw_policy_load(engine);
	tw_limits_init(engine);
	tw_limits_load(engine);
	tw_garbage_load(engine);
	return r;
}

static int make_discovers(struct tw_engine *engine)
{
	bool listens = engine->options.receive && engine->receive_fs_open;

	return tw_discovers_new(engine->base, engine->resolver,
				listens ? engine->links[0].worker : NULL, engine->options.accounts,
				&engine->discovers);
}

static int make_watches(struct tw_engine *engine)
{
	struct tw_watches_options options = {
		.engine = engine,
		.base = engine->base,
		.store = engine->store,
		.pool = engine->pool,
	};

	return tw_watches_new(&options, &engine->watches);
}

static int start(struct tw_engine *engine, char ret_message[512])
{
	int r = tw_store_open(engine->options.state_dir, &engine->store, ret_message);

	if (!r)
		r = load_settings(engine);
	if (!r)
		r = open_folders(engine, ret_message);
	if (!r)
		r = make_modules(engine);
	if (!r)
		r = tw_links_open(engine, ret_message);
	if (!r)
		r = make_discovers(engine);
	if (!r)
		r = tw_persist_load(engine, ret_message);
	if (!r)
		r = make_watches(engine);
	if (!r)
		r = tw_engine_commit(engine);
	if (r)
		return r;
	tw_limits_divide(engine);
	tw_links_refresh(engine, true);
	return 0;
}

void tw_engine_launched(struct tw_engine *engine, uint16_t api_port)
{
	engine->options.api_port = api_port;
	tw_engine_event(engine, "launch", "",
			json_pack("{sIss}", "apiControlPort", (json_int_t)api_port, "serverId",
				  engine->server_id));
}

int tw_engine_new(const struct tw_engine_options *options, struct tw_engine **ret,
		  char ret_message[512])
{
	struct tw_engine *engine = calloc(1, sizeof(*engine));
	int r;

	*ret_message = '\0';
	if (!engine) {
		json_decref(options->configuration);
		return -ENOMEM;
	}
	engine->base = options->base;
	init_tables(engine);
	r = copy_options(engine, options);
	if (!r)
		r = start(engine, ret_message);
	if (r) {
		if (!*ret_message)
			snprintf(ret_message, 512, "The server cannot start: %s.", tw_strerror(r));
		tw_engine_free(engine);
		return r;
	}
	*ret = engine;
	return 0;
}

/* Ending. */

void tw_engine_stop(struct tw_engine *engine, void (*done)(void *context), void *context)
{
	if (engine->stopping)
		return;
	engine->stopping = true;
	engine->stopped = done;
	engine->stopped_context = context;
	if (engine->watches)
		tw_watches_stop(engine->watches);
	engine->stop_unsent = tw_links_stop(engine) == TW_E_FULL;
}

static void free_shelf(struct tw_shelf *shelf)
{
	for (size_t i = 0; i < shelf->used; i++)
		if (shelf->items[i])
			tw_kind_of(shelf->items[i]->kind)->free(shelf->items[i]);
	tw_shelf_deinit(shelf);
}

/* Those that are off their shelf and wait for the worker, which has gone. */
static void free_doomed(struct tw_engine *engine)
{
	for (size_t i = 0; i < engine->transfer_numbers.room; i++)
		for (struct tw_index_node *node = engine->transfer_numbers.slots[i], *next; node;
		     node = next) {
			struct tw_transfer *transfer =
				TW_OWNER(node, struct tw_transfer, by_number);

			next = node->next;
			if (!transfer->doomed)
				continue;
			if (transfer->destination)
				TAILQ_REMOVE(&transfer->destination->running, transfer,
					     running_link);
			tw_transfer_free(transfer);
		}
	tw_index_deinit(&engine->transfer_numbers);
}

static void free_objects(struct tw_engine *engine)
{
	free_doomed(engine);
	free_shelf(&engine->tokens);
	/* Queues hold on to transfers: they go first. */
	for (size_t i = 0; i < engine->destinations.used; i++)
		if (engine->destinations.items[i])
			tw_queue_deinit((struct tw_destination *)engine->destinations.items[i]);
	free_shelf(&engine->transfers);
	free_shelf(&engine->manifests);
	free_shelf(&engine->destinations);
	tw_heap_deinit(&engine->resolves);
	tw_heap_deinit(&engine->retries);
	tw_index_deinit(&engine->connections);
	tw_index_deinit(&engine->by_request);
	tw_index_deinit(&engine->destination_numbers);
}

void tw_engine_free(struct tw_engine *engine)
{
	if (!engine)
		return;
	engine->stopping = true;
	if (engine->watches)
		tw_watches_stop(engine->watches);
	if (engine->discovers)
		tw_discovers_close(engine->discovers);
	tw_links_close(engine);
	tw_file_requests_stop(engine);
	if (engine->pool)
		tw_pool_free(engine->pool);
	tw_watches_free(engine->watches);
	engine->watches = NULL;
	if (engine->resolver)
		tw_pool_free(engine->resolver);
	if (engine->discovers)
		tw_discovers_free(engine->discovers);
	if (engine->store)
		tw_engine_commit(engine);
	free_timers(engine);
	tw_waits_deinit(engine);
	if (engine->requests)
		tw_requests_free(engine->requests);
	if (engine->triggers)
		tw_triggers_free(engine->triggers);
	if (engine->log)
		tw_eventlog_free(engine->log);
	free_objects(engine);
	tw_receive_deinit(engine);
	if (engine->store)
		tw_store_close(engine->store);
	tw_reach_deinit(engine);
	if (engine->receive_fs_open)
		tw_fs_posix_close(&engine->receive_fs);
	for (size_t i = 0; i < OPTION_TEXTS; i++)
		free(*option_text(engine, i));
	json_decref(engine->options.configuration);
	json_decref(engine->mappings);
	json_decref(engine->wranglers);
	json_decref(engine->license);
	free(engine->server_name);
	free(engine->host_name);
	free(engine->sample_views);
	free(engine);
}

/* Events. */

void tw_engine_event(struct tw_engine *engine, const char *name, const char *owner, json_t *object)
{
	json_t *entry = NULL;

	if (!engine->log) {
		json_decref(object);
		return;
	}
	tw_eventlog_add(engine->log, name, owner, (int64_t)tw_clock_wall_us(), object, &entry);
	tw_persist_soon(engine);
	if (entry)
		tw_triggers_run(engine->triggers, name, owner, entry);
	json_decref(entry);
}

int tw_engine_events(struct tw_engine *engine, const struct tw_caller *caller,
		     const struct tw_events_query *query, json_t **ret, uint64_t *ret_last,
		     struct tw_fault *fault)
{
	struct tw_eventlog_query wanted = {
		.owner = caller->superuser || caller->wrangler ? NULL : caller->user,
		.token = caller->token,
		.after = query->after,
		.since_us = query->since_us,
		.limit = query->limit,
	};

	if (tw_eventlog_read(engine->log, &wanted, ret, ret_last))
		return tw_fault_set(fault, TW_FAULT_UNAVAILABLE, NULL,
				    "The event log cannot be read now; try again.");
	return TW_FAULT_NONE;
}

void tw_engine_event_range(struct tw_engine *engine, uint64_t *ret_oldest, uint64_t *ret_newest)
{
	tw_eventlog_range(engine->log, ret_oldest, ret_newest);
}

struct tw_listener *tw_engine_listen(struct tw_engine *engine, void (*grown)(void *context),
				     void *context)
{
	return tw_eventlog_listen(engine->log, grown, context);
}

void tw_engine_unlisten(struct tw_listener *listener)
{
	tw_eventlog_unlisten(listener);
}
