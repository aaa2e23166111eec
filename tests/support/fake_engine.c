#include "fake_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/password.h"
#include "engine/requests.h"

struct tw_listener {
	void (*grown)(void *context);
	void *context;
	struct tw_engine *engine;
};

struct tw_wait {
	struct tw_engine *engine;
	struct event *timer;
	void (*changed)(void *context, bool timed_out);
	void *context;
};

struct tw_engine *fake_engine_new(struct event_base *base)
{
	struct tw_engine *engine = calloc(1, sizeof *engine);

	if (!engine || tw_requests_new(base, &engine->requests))
		abort();
	engine->base = base;
	return engine;
}

static void drop_all(struct fake_object *objects)
{
	for (size_t i = 0; i < FAKE_OBJECTS; i++)
		json_decref(objects[i].user_data);
}

void fake_engine_free(struct tw_engine *engine)
{
	drop_all(engine->destinations);
	drop_all(engine->manifests);
	drop_all(engine->transfers);
	drop_all(engine->tokens);
	tw_requests_free(engine->requests);
	free(engine);
}

static bool may_see(const struct tw_caller *caller, const struct fake_object *object)
{
	return object->id[0] && (caller->superuser || strcmp(caller->user, object->owner) == 0);
}

static struct fake_object *find(struct fake_object *objects, const struct tw_caller *caller,
				const char *id)
{
	for (size_t i = 0; i < FAKE_OBJECTS; i++)
		if (may_see(caller, &objects[i]) && strcmp(objects[i].id, id) == 0)
			return &objects[i];
	return NULL;
}

static struct fake_object *next(struct fake_object *objects, const struct tw_caller *caller,
				size_t *cursor)
{
	while (*cursor < FAKE_OBJECTS) {
		struct fake_object *object = &objects[(*cursor)++];

		if (may_see(caller, object))
			return object;
	}
	return NULL;
}

static int make(struct tw_engine *engine, struct fake_object *objects,
		const struct tw_caller *caller, const char *text, const char **ret_id)
{
	for (size_t i = 0; i < FAKE_OBJECTS; i++) {
		if (objects[i].id[0])
			continue;
		snprintf(objects[i].id, sizeof objects[i].id, "%032llx",
			 (unsigned long long)++engine->made);
		snprintf(objects[i].owner, sizeof objects[i].owner, "%s", caller->user);
		snprintf(objects[i].text, sizeof objects[i].text, "%s", text ? text : "");
		*ret_id = objects[i].id;
		return 0;
	}
	return -1;
}

static int drop(struct fake_object *objects, const struct tw_caller *caller, const char *id,
		struct tw_fault *fault)
{
	struct fake_object *object = find(objects, caller, id);

	if (!object)
		return tw_fault_set(fault, TW_FAULT_NOT_FOUND, NULL, "gone");
	object->id[0] = '\0';
	return 0;
}

static int full(struct tw_fault *fault)
{
	return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, NULL, "full");
}

int tw_engine_commit(struct tw_engine *engine)
{
	engine->commits++;
	return engine->commit_result;
}

void tw_engine_server(struct tw_engine *engine, const struct tw_caller *caller,
		      struct tw_server_view *ret)
{
	*ret = (struct tw_server_view){
		.server_name = "fake",
		.server_id = "00",
		.server_uid = "01",
		.version = "0",
		.host_name = "here",
		.public_key = "key",
		.api_version = TW_API_VERSION,
		.certificate_validation = INT64_MIN,
	};
	ret->bandwidth_limits.incoming_rate_limit = engine->incoming_limit;
	ret->bandwidth_limits.outgoing_rate_limit = UINT64_MAX;
	ret->receiver.relay_port = UINT64_MAX;
	(void)caller;
}

int tw_engine_set_bandwidth(struct tw_engine *engine, const struct tw_bandwidth_change *change,
			    struct tw_fault *fault)
{
	(void)fault;
	if (change->incoming_rate_limit)
		engine->incoming_limit = *change->incoming_rate_limit;
	return 0;
}

void tw_engine_garbage_settings(const struct tw_engine *engine, struct tw_garbage_settings *ret)
{
	(void)engine;
	*ret = (struct tw_garbage_settings){ 3600, 172800, 172800 };
}

int tw_engine_set_garbage(struct tw_engine *engine, const struct tw_garbage_settings *settings,
			  struct tw_fault *fault)
{
	(void)engine;
	(void)settings;
	(void)fault;
	return 0;
}

uint64_t tw_engine_collect_garbage(struct tw_engine *engine)
{
	(void)engine;
	return 3;
}

void tw_destination_options_init(struct tw_destination_options *options)
{
	*options = (struct tw_destination_options){ 0 };
}

int tw_engine_create_destination(struct tw_engine *engine, const struct tw_caller *caller,
				 const struct tw_destination_options *options, const char **ret_id,
				 struct tw_fault *fault)
{
	engine->created = *options;
	return make(engine, engine->destinations, caller, options->address, ret_id) ? full(fault)
										    : 0;
}

int tw_engine_delete_destination(struct tw_engine *engine, const struct tw_caller *caller,
				 const char *id, bool force, struct tw_fault *fault)
{
	(void)force;
	return drop(engine->destinations, caller, id, fault);
}

static const struct tw_destination_view *show_destination(const struct fake_object *object)
{
	static struct tw_destination_view view;

	if (!object)
		return NULL;
	view = (struct tw_destination_view){
		.connection = { .connection_id = object->id,
				.encrypted_connection_state = "disconnected",
				.rate_control_method = "bbr",
				.round_trip_time_ms = 12.5,
				.relay_port = UINT64_MAX },
		.destination_id = object->id,
		.destination_address = object->text,
		.ownership.owner = object->owner,
		.user_data = object->user_data,
	};
	return &view;
}

const struct tw_destination_view *tw_engine_destination(struct tw_engine *engine,
							const struct tw_caller *caller,
							const char *id)
{
	return show_destination(find(engine->destinations, caller, id));
}

const struct tw_destination_view *tw_engine_destination_next(struct tw_engine *engine,
							     const struct tw_caller *caller,
							     size_t *cursor)
{
	engine->last_caller_wrangler = caller->wrangler;
	return show_destination(next(engine->destinations, caller, cursor));
}

int tw_engine_set_rate(struct tw_engine *engine, const struct tw_caller *caller,
		       const struct tw_rate_change *change, json_t **ret, struct tw_fault *fault)
{
	(void)engine;
	(void)caller;
	(void)fault;
	*ret = json_pack("{s:I}", "sendRate", (json_int_t)change->send_rate);
	return 0;
}

int tw_engine_create_manifest(struct tw_engine *engine, const struct tw_caller *caller,
			      const struct tw_manifest_options *options, const char **ret_id,
			      struct tw_fault *fault)
{
	char text[400] = "";

	for (size_t i = 0; i < options->mapping_count; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s>%s;",
			 options->mappings[i].src_path, options->mappings[i].dest_path);
	return make(engine, engine->manifests, caller, text, ret_id) ? full(fault) : 0;
}

int tw_engine_delete_manifest(struct tw_engine *engine, const struct tw_caller *caller,
			      const char *id, struct tw_fault *fault)
{
	return drop(engine->manifests, caller, id, fault);
}

static const struct tw_manifest_view *show_manifest(const struct tw_engine *engine,
						    const struct fake_object *object)
{
	static struct tw_manifest_view view;

	if (!object)
		return NULL;
	view = (struct tw_manifest_view){
		.manifest_id = object->id,
		.status = engine->processing ? "pending" : "complete",
		.processing = engine->processing,
		.error_message = object->text,
		.creation_time = 1,
	};
	return &view;
}

const struct tw_manifest_view *tw_engine_manifest(struct tw_engine *engine,
						  const struct tw_caller *caller, const char *id)
{
	return show_manifest(engine, find(engine->manifests, caller, id));
}

const struct tw_manifest_view *tw_engine_manifest_next(struct tw_engine *engine,
						       const struct tw_caller *caller,
						       size_t *cursor)
{
	return show_manifest(engine, next(engine->manifests, caller, cursor));
}

int tw_engine_manifest_files(struct tw_engine *engine, const struct tw_caller *caller,
			     const struct tw_manifest_slice *slice, struct tw_fault *fault)
{
	struct tw_manifest_file_view view = { .src_path = "/s", .file_size = 1 };
	char path[32];

	(void)engine;
	(void)caller;
	(void)fault;
	for (uint64_t i = slice->offset; i < 5 && i < slice->offset + slice->limit; i++) {
		snprintf(path, sizeof path, "file-%u", (unsigned)i);
		view.dest_path = path;
		if (slice->each(slice->context, &view))
			break;
	}
	return 0;
}

void tw_transfer_options_init(struct tw_transfer_options *options)
{
	*options = (struct tw_transfer_options){ 0 };
}

int tw_engine_create_transfer(struct tw_engine *engine, const struct tw_caller *caller,
			      const struct tw_transfer_options *options, const char **ret_id,
			      struct tw_fault *fault)
{
	return make(engine, engine->transfers, caller, options->destination_path, ret_id)
		       ? full(fault)
		       : 0;
}

int tw_engine_transfer_act(struct tw_engine *engine, const struct tw_caller *caller, const char *id,
			   enum tw_transfer_action action, const char *text, struct tw_fault *fault)
{
	(void)text;
	if (action == TW_TRANSFER_DELETE)
		return tw_fault_set(fault, TW_FAULT_CONFLICT, "transferId", "it is active");
	if (action == TW_TRANSFER_DELETE_FORCE)
		return drop(engine->transfers, caller, id, fault);
	return 0;
}

int tw_engine_update_transfer(struct tw_engine *engine, const struct tw_caller *caller,
			      const char *id, const int64_t *priority,
			      const uint64_t *send_rate_max, struct tw_fault *fault)
{
	(void)engine;
	(void)caller;
	(void)id;
	(void)priority;
	(void)send_rate_max;
	(void)fault;
	return 0;
}

static const struct tw_transfer_view *show_transfer(const struct tw_engine *engine,
						    const struct fake_object *object)
{
	static struct tw_transfer_view view;

	if (!object)
		return NULL;
	view = (struct tw_transfer_view){
		.transfer_id = object->id,
		.status = engine->processing ? "active" : "complete",
		.processing = engine->processing,
		.destination_id = "d",
		.destination_path = object->text,
		.estimated_seconds_remaining = 2.5,
		.throughput = 1000,
		.request_time = 1,
	};
	return &view;
}

const struct tw_transfer_view *tw_engine_transfer(struct tw_engine *engine,
						  const struct tw_caller *caller, const char *id)
{
	return show_transfer(engine, find(engine->transfers, caller, id));
}

const struct tw_transfer_view *tw_engine_transfer_next(struct tw_engine *engine,
						       const struct tw_caller *caller,
						       const struct tw_transfer_filter *filter,
						       size_t *cursor)
{
	(void)filter;
	return show_transfer(engine, next(engine->transfers, caller, cursor));
}

const struct tw_transfer_view *tw_engine_transfer_walk(struct tw_engine *engine,
						       const struct tw_caller *caller,
						       struct tw_transfer_walk *walk)
{
	engine->commits_walked = engine->commits;
	for (; walk->skip; walk->skip--)
		next(engine->transfers, caller, &walk->cursor);
	return tw_engine_transfer_next(engine, caller, &walk->filter, &walk->cursor);
}

int tw_engine_transfer_samples(struct tw_engine *engine, const struct tw_caller *caller,
			       const char *id, int64_t since_us, struct tw_list *ret,
			       struct tw_fault *fault)
{
	static const struct tw_transfer_sample_view samples[] = { { .time = 1000000 },
								  { .time = 2000000 } };

	(void)engine;
	(void)caller;
	(void)id;
	(void)fault;
	*ret = since_us >= 1000000 ? (struct tw_list){ samples + 1, 1, sizeof *samples }
				   : (struct tw_list){ samples, 2, sizeof *samples };
	return 0;
}

int tw_engine_create_token(struct tw_engine *engine, const struct tw_caller *caller,
			   const struct tw_token_options *options, const char **ret_token,
			   struct tw_fault *fault)
{
	return make(engine, engine->tokens, caller, options->password, ret_token) ? full(fault) : 0;
}

static const struct tw_token_view *show_token(const struct fake_object *object)
{
	static struct tw_token_view view;

	if (!object)
		return NULL;
	view = (struct tw_token_view){
		.token = object->id,
		.creation_time = 1,
		.download_count = UINT64_MAX,
		.download_limit = UINT64_MAX,
		.password_required = object->text[0] != '\0',
	};
	return &view;
}

/* All are API tokens. */
const struct tw_token_view *tw_engine_token(struct tw_engine *engine,
					    const struct tw_caller *caller, bool shared,
					    const char *token)
{
	return shared ? NULL : show_token(find(engine->tokens, caller, token));
}

const struct tw_token_view *tw_engine_token_next(struct tw_engine *engine,
						 const struct tw_caller *caller, bool shared,
						 size_t *cursor)
{
	return shared ? NULL : show_token(next(engine->tokens, caller, cursor));
}

int tw_engine_delete_token(struct tw_engine *engine, const struct tw_caller *caller, bool shared,
			   const char *token, struct tw_fault *fault)
{
	(void)shared;
	return drop(engine->tokens, caller, token, fault);
}

const char *tw_engine_token_password(struct tw_engine *engine, const char *token)
{
	const struct tw_caller all = { .user = "", .superuser = true };
	struct fake_object *object = find(engine->tokens, &all, token);

	if (!object)
		return tw_password_nobody;
	return object->text[0] ? object->text : NULL;
}

int tw_engine_token_login(struct tw_engine *engine, const char *token, bool right,
			  struct tw_caller *ret, struct tw_fault *fault)
{
	const struct tw_caller all = { .user = "", .superuser = true };
	struct fake_object *object = find(engine->tokens, &all, token);

	if (!object || (object->text[0] && !right))
		return tw_fault_set(fault, TW_FAULT_NOT_AUTHENTICATED, NULL, "no such token");
	*ret = (struct tw_caller){
		.user = object->owner,
		.authenticated = true,
		.token = object->id,
		.permissions = TW_MAY_DOWNLOAD,
	};
	return 0;
}

int tw_engine_update_user_data(struct tw_engine *engine, const struct tw_caller *caller,
			       const char *kind, const char *id, json_t *user_data,
			       struct tw_fault *fault)
{
	struct fake_object *object = find(engine->destinations, caller, id);

	(void)kind;
	if (!object)
		return tw_fault_set(fault, TW_FAULT_NOT_FOUND, NULL, "gone");
	json_decref(object->user_data);
	object->user_data = json_incref(user_data);
	return 0;
}

int tw_engine_delete_user_data(struct tw_engine *engine, const struct tw_caller *caller,
			       const char *kind, const char *id, const struct tw_strings *keys,
			       struct tw_fault *fault)
{
	struct fake_object *object = find(engine->destinations, caller, id);

	(void)kind;
	if (!object)
		return tw_fault_set(fault, TW_FAULT_NOT_FOUND, NULL, "gone");
	for (size_t i = 0; i < keys->count; i++)
		json_object_del(object->user_data, keys->items[i]);
	return 0;
}

void tw_watch_options_init(struct tw_watch_options *options)
{
	*options = (struct tw_watch_options){ .interval_seconds = 60, .enabled = true };
}

int tw_engine_create_watch(struct tw_engine *engine, const struct tw_caller *caller,
			   const struct tw_watch_options *options, const char **ret_id,
			   struct tw_fault *fault)
{
	(void)engine;
	(void)caller;
	(void)options;
	(void)ret_id;
	return tw_fault_set(fault, TW_FAULT_UNAVAILABLE, NULL, "no watches here");
}

int tw_engine_update_watch(struct tw_engine *engine, const struct tw_caller *caller, const char *id,
			   const struct tw_watch_options *options, const struct tw_strings *given,
			   struct tw_fault *fault)
{
	(void)engine;
	(void)caller;
	(void)id;
	(void)options;
	(void)given;
	return tw_fault_set(fault, TW_FAULT_UNAVAILABLE, NULL, "no watches here");
}

int tw_engine_delete_watch(struct tw_engine *engine, const struct tw_caller *caller, const char *id,
			   struct tw_fault *fault)
{
	(void)engine;
	(void)caller;
	(void)id;
	return tw_fault_set(fault, TW_FAULT_UNAVAILABLE, NULL, "no watches here");
}

const struct tw_watch_view *tw_engine_watch(struct tw_engine *engine,
					    const struct tw_caller *caller, const char *id)
{
	(void)engine;
	(void)caller;
	(void)id;
	return NULL;
}

const struct tw_watch_view *tw_engine_watch_next(struct tw_engine *engine,
						 const struct tw_caller *caller, size_t *cursor)
{
	(void)engine;
	(void)caller;
	(void)cursor;
	return NULL;
}

int tw_engine_authorize_client(struct tw_engine *engine, const char *key, bool authorized,
			       struct tw_fault *fault)
{
	(void)engine;
	(void)authorized;
	if (strlen(key) != 43)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "clientPublicKey",
				    "not a key");
	return 0;
}

int tw_engine_only_authorized(struct tw_engine *engine, bool only, struct tw_fault *fault)
{
	(void)engine;
	(void)only;
	(void)fault;
	return 0;
}

void tw_engine_authorized_clients(struct tw_engine *engine, struct tw_strings *ret)
{
	(void)engine;
	*ret = (struct tw_strings){ 0 };
}

const struct tw_source_view *tw_engine_source_next(struct tw_engine *engine, size_t *cursor)
{
	(void)engine;
	(void)cursor;
	return NULL;
}

const struct tw_receive_transfer_view *tw_engine_receive_transfer_next(struct tw_engine *engine,
								       size_t *cursor)
{
	(void)engine;
	(void)cursor;
	return NULL;
}

json_t *tw_engine_mappings(struct tw_engine *engine)
{
	(void)engine;
	return json_object();
}

int tw_engine_set_mapping(struct tw_engine *engine, const char *user, json_t *mapping,
			  struct tw_fault *fault)
{
	(void)engine;
	(void)user;
	(void)mapping;
	(void)fault;
	return 0;
}

int tw_engine_delete_mapping(struct tw_engine *engine, const char *user, struct tw_fault *fault)
{
	(void)engine;
	(void)user;
	(void)fault;
	return 0;
}

json_t *tw_engine_wranglers(struct tw_engine *engine)
{
	return json_pack("[{s:s, s:b}]", "name",
			 engine->wranglers ? engine->wranglers : "nobody-at-all", "isGroup",
			 engine->wranglers != NULL);
}

int tw_engine_add_wrangler(struct tw_engine *engine, const char *name, bool group,
			   struct tw_fault *fault)
{
	(void)engine;
	(void)name;
	(void)group;
	(void)fault;
	return 0;
}

int tw_engine_delete_wrangler(struct tw_engine *engine, const char *name, bool group,
			      struct tw_fault *fault)
{
	return tw_engine_add_wrangler(engine, name, group, fault);
}

static void wait_over(evutil_socket_t fd, short what, void *context)
{
	struct tw_wait *wait = context, copy = *wait;

	(void)fd;
	wait->engine->waiting = NULL;
	event_free(wait->timer);
	free(wait);
	copy.changed(copy.context, (what & EV_TIMEOUT) != 0);
}

/* One at a time. */
struct tw_wait *tw_engine_wait(struct tw_engine *engine, const char *id, uint64_t timeout_ms,
			       void (*changed)(void *context, bool timed_out), void *context)
{
	const struct timeval limit = { (time_t)(timeout_ms / 1000),
				       (suseconds_t)(timeout_ms % 1000 * 1000) };
	struct tw_wait *wait;

	(void)id;
	if (!engine->processing || engine->waiting)
		return NULL;
	wait = calloc(1, sizeof *wait);
	if (!wait)
		abort();
	*wait = (struct tw_wait){ engine, NULL, changed, context };
	wait->timer = event_new(engine->base, -1, 0, wait_over, wait);
	event_add(wait->timer, &limit);
	engine->waiting = wait;
	return wait;
}

void tw_engine_wait_cancel(struct tw_wait *wait)
{
	wait->engine->waiting = NULL;
	event_free(wait->timer);
	free(wait);
}

void fake_engine_finish(struct tw_engine *engine)
{
	engine->processing = false;
	if (engine->waiting)
		event_active(engine->waiting->timer, EV_READ, 0);
}

int tw_engine_request_new(struct tw_engine *engine, const struct tw_caller *caller,
			  const char **ret_id, struct tw_request **ret, struct tw_fault *fault)
{
	return tw_requests_add(engine->requests, caller, ret_id, ret, fault);
}

void tw_engine_request_done(struct tw_request *request, json_t *result)
{
	tw_request_done(request, result);
}

void tw_engine_request_fail(struct tw_request *request, const struct tw_fault *fault)
{
	tw_request_fail(request, fault);
}

int tw_engine_request(struct tw_engine *engine, const struct tw_caller *caller, const char *id,
		      struct tw_request_status *ret, struct tw_fault *fault)
{
	return tw_requests_look(engine->requests, caller, id, ret, fault);
}

int tw_engine_file_request(struct tw_engine *engine, const struct tw_caller *caller,
			   const char *operation, json_t *parameters, const char **ret_id,
			   struct tw_fault *fault)
{
	(void)operation;
	(void)parameters;
	engine->file_requests++;
	return tw_requests_add(engine->requests, caller, ret_id, &engine->open_request, fault);
}

/* Every second entry is another's. */
int tw_engine_events(struct tw_engine *engine, const struct tw_caller *caller,
		     const struct tw_events_query *query, json_t **ret, uint64_t *ret_last,
		     struct tw_fault *fault)
{
	uint64_t id =
		query->after + 1 < engine->events_oldest ? engine->events_oldest : query->after + 1;

	(void)caller;
	(void)fault;
	*ret = json_array();
	*ret_last = query->after;
	for (; id <= engine->events_newest && json_array_size(*ret) < query->limit; id++) {
		if (id % 2)
			json_array_append_new(*ret, json_pack("{s:s, s:I, s:I, s:s}", "_event",
							      "test.event", "_timestamp",
							      (json_int_t)1, "_id", (json_int_t)id,
							      "text", "line\nbreak"));
		*ret_last = id;
	}
	return 0;
}

void tw_engine_event_range(struct tw_engine *engine, uint64_t *ret_oldest, uint64_t *ret_newest)
{
	*ret_oldest = engine->events_oldest;
	*ret_newest = engine->events_newest;
}

struct tw_listener *tw_engine_listen(struct tw_engine *engine, void (*grown)(void *context),
				     void *context)
{
	struct tw_listener *listener = calloc(1, sizeof *listener);

	if (!listener)
		abort();
	*listener = (struct tw_listener){ grown, context, engine };
	engine->listener = listener;
	return listener;
}

void tw_engine_unlisten(struct tw_listener *listener)
{
	listener->engine->listener = NULL;
	free(listener);
}

void fake_engine_happen(struct tw_engine *engine)
{
	engine->events_newest++;
	if (engine->events_oldest == 0)
		engine->events_oldest = 1;
	if (engine->listener)
		engine->listener->grown(engine->listener->context);
}

void tw_engine_figures(struct tw_engine *engine, struct tw_engine_figures *ret)
{
	(void)engine;
	*ret = (struct tw_engine_figures){ .transfers_total = 7, .started_at_us = 1000000 };
}
