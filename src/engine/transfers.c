/*
 * transfers.c - the life of a transfer: made, moved from state to state, removed.
 *
 * Wall time is read once, when it is asked for. All its other times are that plus monotonic
 * durations, so that their differences stay exact when the clock is stepped. After a restart within
 * the same boot the monotonic clock still counts; after another boot the durations start anew from
 * the wall time of that moment, and never before the last time that the transfer had.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "content/manifest.h"
#include "engine/engine_internal.h"
#include "engine/watches.h"
#include "netio/clock.h"

#define TO(state) (1u << TW_STATE_##state)

static const struct {
	const char *name;
	unsigned next; /* allowed successors */
	const char *event;
} states[] = {
	[TW_STATE_PENDING] = { "pending",
			       TO(ACTIVE) | TO(SUSPENDED) | TO(COMPLETE) | TO(CANCELLED) |
				       TO(ERROR),
			       NULL },
	[TW_STATE_ACTIVE] = { "active",
			      TO(PENDING) | TO(SUSPENDED) | TO(COMPLETE) | TO(CANCELLED) |
				      TO(ERROR),
			      NULL },
	/* A run that is whole before the word reaches it ends a suspended one well. */
	[TW_STATE_SUSPENDED] = { "suspended",
				 TO(PENDING) | TO(COMPLETE) | TO(CANCELLED) | TO(ERROR),
				 "send.transferSuspended" },
	[TW_STATE_COMPLETE] = { "complete", 0, "send.transferComplete" },
	[TW_STATE_CANCELLED] = { "cancelled", 0, "send.transferCancelled" },
	[TW_STATE_ERROR] = { "error", TO(PENDING), "send.transferError" },
};
static_assert(sizeof(states) / sizeof(*states) == TW_STATE_COUNT, "a row for each state");

static const struct tw_saved rows[] = {
	TW_SAVED(struct tw_transfer, TEXT, destination_id, "destinationId"),
	TW_SAVED(struct tw_transfer, TEXT, manifest_id, "manifestId"),
	TW_SAVED(struct tw_transfer, STRING, destination_path, "destinationPath"),
	TW_SAVED(struct tw_transfer, I64, priority, "priority"),
	TW_SAVED(struct tw_transfer, I64, overwrite_mode, "overwriteMode"),
	TW_SAVED(struct tw_transfer, I64, flags, "flags"),
	TW_SAVED(struct tw_transfer, U64, checkpoint_seconds, "checkpointSeconds"),
	TW_SAVED(struct tw_transfer, U64, send_rate_max, "sendRateMax"),
	TW_SAVED(struct tw_transfer, BOOL, verify, "verify"),
	TW_SAVED(struct tw_transfer, STRING, error_message, "error"),
	TW_SAVED(struct tw_transfer, STRING, digest, "digest"),
	TW_SAVED(struct tw_transfer, I64, request_time, "requestTime"),
	TW_SAVED(struct tw_transfer, I64, queue_time, "queueTime"),
	TW_SAVED(struct tw_transfer, I64, start_time, "startTime"),
	TW_SAVED(struct tw_transfer, I64, end_time, "endTime"),
	TW_SAVED(struct tw_transfer, U64, requested_at, "requestedAt"),
	TW_SAVED(struct tw_transfer, U64, total_bytes, "totalBytes"),
	TW_SAVED(struct tw_transfer, U64, total_files, "totalFiles"),
	TW_SAVED(struct tw_transfer, U64, earlier.pieces_sent, "pieces"),
	TW_SAVED(struct tw_transfer, U64, earlier.pieces_retransmitted, "piecesAgain"),
	TW_SAVED(struct tw_transfer, U64, earlier.bytes_sent, "sent"),
	TW_SAVED(struct tw_transfer, U64, earlier.content_sent, "contentSent"),
	TW_SAVED(struct tw_transfer, U64, earlier.bytes_retransmitted, "sentAgain"),
	TW_SAVED(struct tw_transfer, U64, earlier.bytes_read, "read"),
	TW_SAVED(struct tw_transfer, U64, earlier.bytes_recv, "received"),
	TW_SAVED(struct tw_transfer, U64, earlier.packets_sent, "packetsSent"),
	TW_SAVED(struct tw_transfer, U64, earlier.packets_recv, "packetsReceived"),
	TW_SAVED(struct tw_transfer, U64, earlier.bytes_acked, "acked"),
	TW_SAVED(struct tw_transfer, U64, earlier.bytes_durable, "durable"),
	TW_SAVED(struct tw_transfer, U64, earlier.files_complete, "filesComplete"),
	TW_SAVED(struct tw_transfer, U64, earlier.block_bytes, "blockBytes"),
};
#define ROWS (sizeof(rows) / sizeof(*rows))

static struct tw_transfer *of(struct tw_object *object)
{
	return (struct tw_transfer *)object;
}

const char *tw_transfer_state_name(enum tw_transfer_state state)
{
	return states[state].name;
}

bool tw_transfer_over(const struct tw_transfer *transfer)
{
	return transfer->state >= TW_STATE_COMPLETE;
}

int64_t tw_transfer_time(const struct tw_transfer *transfer, tw_ns at)
{
	return transfer->request_time + (int64_t)(tw_ns_since(at, transfer->requested_at) / 1000);
}

void tw_transfer_event(struct tw_transfer *transfer, const char *name)
{
	const struct tw_destination *destination = (struct tw_destination *)tw_shelf_find(
		&transfer->object.engine->destinations, transfer->destination_id);
	json_t *object = tw_structure_json(&tw_transfer_structure, tw_transfer_view(transfer));
	struct tw_connection_view connection;

	if (object && destination) {
		tw_connection_fill((struct tw_destination *)destination, &connection);
		json_object_set_new(object, "destinationIP",
				    json_string(connection.destination_ip));
		json_object_set_new(object, "destinationPort",
				    json_integer((json_int_t)connection.destination_port));
	}
	tw_engine_event(transfer->object.engine, name, transfer->object.owner, object);
}

void tw_transfer_problem(struct tw_transfer *transfer, const char *text)
{
	char *copy = strdup(text);

	if (!transfer->problems)
		transfer->problems = calloc(TW_PROBLEMS_KEPT, sizeof(*transfer->problems));
	transfer->problems_total++;
	if (!copy || !transfer->problems) {
		free(copy);
		return;
	}
	if (transfer->problem_count == TW_PROBLEMS_KEPT)
		free(transfer->problems[--transfer->problem_count]);
	memmove(transfer->problems + 1, transfer->problems,
		transfer->problem_count * sizeof(*transfer->problems));
	transfer->problems[0] = copy;
	transfer->problem_count++;
}

/* States. */

static void join(struct tw_transfer *transfer)
{
	TAILQ_INSERT_TAIL(&transfer->destination->jobs, transfer, job_link);
	tw_manifest_use(transfer->manifest);
}

/* It has ended: nothing is kept for it but itself. */
static void part(struct tw_transfer *transfer)
{
	TAILQ_REMOVE(&transfer->destination->jobs, transfer, job_link);
	tw_manifest_drop(transfer->manifest);
	transfer->manifest = NULL;
	if (!transfer->number)
		transfer->destination = NULL;
	tw_samples_settle(transfer);
}

static void count(struct tw_transfer *transfer, int change)
{
	transfer->object.engine->states[transfer->state] += (uint64_t)(int64_t)change;
	if (transfer->state == TW_STATE_PENDING && transfer->destination)
		transfer->destination->pending_count += (uint64_t)(int64_t)change;
}

static void set_message(struct tw_transfer *transfer, const char *message)
{
	char clean[512];

	free(transfer->error_message);
	transfer->error_message = NULL;
	if (message)
		tw_copy_text(tw_text_clean(message, strlen(message), clean, sizeof(clean)),
			     &transfer->error_message);
}

static void announce_end(struct tw_transfer *transfer)
{
	struct tw_engine *engine = transfer->object.engine;

	if (transfer->state == TW_STATE_COMPLETE)
		engine->files_sent_total += transfer->earlier.files_complete;
	tw_waits_wake(engine, transfer->object.id);
	if (engine->watches)
		tw_watches_transfer_ended(engine->watches, transfer->object.id,
					  transfer->state == TW_STATE_COMPLETE);
}

void tw_transfer_enter(struct tw_transfer *transfer, enum tw_transfer_state state,
		       const char *message)
{
	tw_ns now = tw_clock_now();
	bool first = state == TW_STATE_ACTIVE && !transfer->start_time;

	assert(states[transfer->state].next & 1u << state);
	tw_queue_take(transfer);
	count(transfer, -1);
	transfer->state = state;
	count(transfer, 1);
	/* While it runs again, the last message still says why it was interrupted. */
	if (state != TW_STATE_ACTIVE)
		set_message(transfer, message);
	if (first)
		transfer->start_time = tw_transfer_time(transfer, now);
	if (state != TW_STATE_ACTIVE)
		tw_queue_end(transfer,
			     state >= TW_STATE_COMPLETE ? TW_WORKER_CANCEL : TW_WORKER_PAUSE);
	tw_object_changed(&transfer->object);
	if (tw_transfer_over(transfer)) {
		transfer->end_time = tw_transfer_time(transfer, now);
		part(transfer);
		tw_transfer_event(transfer, states[state].event);
		announce_end(transfer);
	} else if (first) {
		tw_transfer_event(transfer, "send.transferStarted");
	} else if (states[state].event) {
		tw_transfer_event(transfer, states[state].event);
	}
	if (state == TW_STATE_PENDING)
		tw_queue_put(transfer);
}

/* Life. */

static void transfer_free(struct tw_object *object)
{
	struct tw_transfer *transfer = of(object);

	free(transfer->destination_path);
	free(transfer->error_message);
	free(transfer->digest);
	for (size_t i = 0; i < transfer->problem_count; i++)
		free(transfer->problems[i]);
	free(transfer->problems);
	tw_samples_free(transfer->samples);
	tw_object_deinit(object);
	free(transfer);
}

void tw_transfer_free(struct tw_transfer *transfer)
{
	transfer_free(&transfer->object);
}

void tw_transfer_remove(struct tw_transfer *transfer)
{
	struct tw_engine *engine = transfer->object.engine;

	if (!tw_transfer_over(transfer))
		tw_transfer_enter(transfer, TW_STATE_CANCELLED, "It was deleted.");
	engine->states[transfer->state]--;
	tw_object_remove(&transfer->object);
	if (transfer->number)
		transfer->doomed = true; /* until the worker has let go of it */
	else
		tw_transfer_free(transfer);
}

static json_t *transfer_encode(const struct tw_object *object)
{
	const struct tw_transfer *transfer = (const struct tw_transfer *)object;
	json_t *body = json_object();

	if (tw_saved_encode(rows, ROWS, object, body) ||
	    json_object_set_new(body, "boot", json_string(object->engine->boot_id)) ||
	    json_object_set_new(body, "attempts", json_integer(transfer->attempts))) {
		json_decref(body);
		return NULL;
	}
	json_object_set_new(body, "status", json_string(states[transfer->state].name));
	return body;
}

static const char *transfer_state(const struct tw_object *object)
{
	return states[((const struct tw_transfer *)object)->state].name;
}

/* The monotonic clock of an earlier boot means nothing now. */
static void anchor(struct tw_transfer *transfer, const json_t *body)
{
	const char *boot = json_string_value(json_object_get(body, "boot"));
	int64_t known = transfer->request_time, wall = (int64_t)tw_clock_wall_us();
	tw_ns now = tw_clock_now();

	if (boot && !strcmp(boot, transfer->object.engine->boot_id) &&
	    transfer->requested_at <= now)
		return;
	if (transfer->start_time > known)
		known = transfer->start_time;
	if (wall < known)
		wall = known;
	/* tw_transfer_time() of now must give @wall; durations before the clock's zero are cut. */
	transfer->requested_at = tw_ns_since(now, (tw_ns)(wall - transfer->request_time) * 1000);
}

static int restore_links(struct tw_transfer *transfer)
{
	struct tw_engine *engine = transfer->object.engine;

	transfer->sequence = ++engine->next_sequence;
	if (tw_transfer_over(transfer))
		return 0;
	transfer->destination = (struct tw_destination *)tw_shelf_find(&engine->destinations,
								       transfer->destination_id);
	transfer->manifest = (struct tw_manifest_object *)tw_shelf_find(&engine->manifests,
									transfer->manifest_id);
	if (transfer->destination && transfer->manifest)
		return 0;
	/* Not kept by those options: nothing can be sent any more. */
	transfer->state = TW_STATE_ERROR;
	transfer->end_time = tw_transfer_time(transfer, tw_clock_now());
	set_message(transfer,
		    "Its destination or its manifest is gone since the server was started "
		    "again; make the transfer anew.");
	transfer->destination = NULL;
	transfer->manifest = NULL;
	return 0;
}

static int transfer_decode(struct tw_object *object, const json_t *body)
{
	const char *status = json_string_value(json_object_get(body, "status"));
	struct tw_transfer *transfer = of(object);
	int r = tw_saved_decode(rows, ROWS, body, transfer);

	if (r)
		return r;
	transfer->state = TW_STATE_COUNT;
	for (int i = 0; i < TW_STATE_COUNT; i++)
		if (status && !strcmp(status, states[i].name))
			transfer->state = (enum tw_transfer_state)i;
	if (transfer->state == TW_STATE_COUNT)
		return TW_E_FORMAT;
	/* What ran goes back to the queue, where its rank puts it first again. */
	if (transfer->state == TW_STATE_ACTIVE)
		transfer->state = TW_STATE_PENDING;
	anchor(transfer, body);
	return restore_links(transfer);
}

static void transfer_loaded(struct tw_object *object)
{
	struct tw_transfer *transfer = of(object);

	count(transfer, 1);
	if (tw_transfer_over(transfer))
		return;
	join(transfer);
	if (transfer->state == TW_STATE_PENDING)
		tw_queue_put(transfer);
}

const struct tw_kind tw_transfer_kind = {
	.size = sizeof(struct tw_transfer),
	.encode = transfer_encode,
	.state = transfer_state,
	.decode = transfer_decode,
	.loaded = transfer_loaded,
	.free = transfer_free,
};

/* Creation. */

void tw_transfer_options_init(struct tw_transfer_options *options)
{
	*options = (struct tw_transfer_options){
		.priority = 100,
		.overwrite_mode = TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
		.checkpoint_seconds = 10,
		.transfer_flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE,
		.send_rate_max = TW_UNSET,
	};
}

static int check_priority(int64_t priority, struct tw_fault *fault)
{
	if (priority >= INT32_MIN && priority < INT32_MAX)
		return TW_FAULT_NONE;
	return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "priority",
			    "priority must lie between %d and %d; lower numbers go first.",
			    INT32_MIN, INT32_MAX - 1);
}

/* The path below the receiver's folder, without slashes at either end; "" is the folder itself. */
static int check_path(const char *path, char **ret, struct tw_fault *fault)
{
	size_t length;

	*ret = NULL;
	while (path && *path == '/')
		path++;
	length = path ? strlen(path) : 0;
	while (length && path[length - 1] == '/')
		length--;
	if (!length)
		return TW_FAULT_NONE;
	if (tw_path_check(path, length))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "destinationPath",
				    "destinationPath must stay below the receiver's folder: no "
				    "\"..\" or \".\", no empty part, at most 4096 bytes.");
	*ret = strndup(path, length);
	return *ret ? TW_FAULT_NONE : tw_no_memory(fault);
}

static int check_options(const struct tw_transfer_options *options, struct tw_fault *fault)
{
	if (options->overwrite_mode < 0 || options->overwrite_mode >= TW_OVERWRITE_COUNT)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "overwriteMode",
				    "overwriteMode must lie between 0 and %d.",
				    TW_OVERWRITE_COUNT - 1);
	if (options->transfer_flags < 0 ||
	    options->transfer_flags > (TW_TRANSFER_READ | TW_TRANSFER_WRITE))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "transferFlags",
				    "transferFlags is a sum of 1 (read from disk) and 2 (write to "
				    "disk): 0 to 3.");
	if (options->checkpoint_seconds > 86400)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "checkpointFrequencySeconds",
				    "checkpointFrequencySeconds must be at most 86400, or null for "
				    "the end only.");
	if (!options->manifest_id == !options->token)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "manifestId",
				    "Give either manifestId or a shared token, one of them.");
	return check_priority(options->priority, fault);
}

static int find_manifest(struct tw_engine *engine, const struct tw_caller *caller,
			 const struct tw_transfer_options *options, struct tw_manifest_object **ret,
			 struct tw_fault *fault)
{
	struct tw_token *token = NULL;

	if (options->token) {
		token = tw_token_redeem(engine, options->token, options->token_password_right,
					fault);
		if (!token)
			return (int)fault->code;
		*ret = token->manifest;
	} else {
		*ret = (struct tw_manifest_object *)tw_caller_object(
			&engine->manifests, caller, options->manifest_id, "manifestId", fault);
		if (!*ret)
			return (int)fault->code;
	}
	if ((*ret)->status == TW_MANIFEST_PENDING)
		return tw_fault_set(fault, TW_FAULT_CONFLICT, "manifestId",
				    "The manifest is still being made; wait for it with "
				    "waitForManifest.");
	if ((*ret)->status == TW_MANIFEST_ERROR)
		return tw_fault_set(fault, TW_FAULT_CONFLICT, "manifestId",
				    "The manifest could not be made (%.120s); make another.",
				    (*ret)->error_message ? (*ret)->error_message : "");
	return TW_FAULT_NONE;
}

static void take_options(struct tw_transfer *transfer, const struct tw_transfer_options *options)
{
	struct tw_rate_set rates = { TW_UNSET, TW_UNSET, options->send_rate_max };

	tw_rates_clamp(transfer->object.engine, &rates);
	transfer->send_rate_max = rates.max;
	transfer->priority = options->priority;
	transfer->overwrite_mode = options->overwrite_mode;
	transfer->flags = options->transfer_flags;
	transfer->checkpoint_seconds = options->checkpoint_seconds;
	transfer->verify = options->verify;
	transfer->sequence = ++transfer->object.engine->next_sequence;
	transfer->request_time = transfer->object.created_us;
	transfer->requested_at = tw_clock_now();
	transfer->queue_time = transfer->request_time;
	memcpy(transfer->destination_id, transfer->destination->object.id, TW_OBJECT_ID);
	memcpy(transfer->manifest_id, transfer->manifest->object.id, TW_OBJECT_ID);
	transfer->total_bytes = transfer->manifest->total_size;
	transfer->total_files = transfer->manifest->total_files;
}

static int place_new(struct tw_transfer *transfer, const struct tw_transfer_options *options,
		     struct tw_fault *fault)
{
	int r = tw_object_place(&transfer->object, options->client_request_id);

	if (r == TW_E_FULL)
		return tw_object_full(
			&transfer->object, "transfers",
			"delete those that have ended, or shorten transferExpirySeconds", fault);
	if (r)
		return tw_no_memory(fault);
	join(transfer);
	count(transfer, 1);
	tw_object_changed(&transfer->object);
	tw_queue_put(transfer);
	return TW_FAULT_NONE;
}

static int make(struct tw_engine *engine, const struct tw_caller *caller,
		const struct tw_transfer_options *options, struct tw_transfer *transfer,
		struct tw_fault *fault)
{
	int r = check_options(options, fault);

	if (!r)
		r = tw_user_data_check(options->user_data, fault);
	if (!r)
		r = check_path(options->destination_path, &transfer->destination_path, fault);
	if (r)
		return r;
	transfer->destination = (struct tw_destination *)tw_caller_object(
		&engine->destinations, caller, options->destination_id, "destinationId", fault);
	if (!transfer->destination)
		return (int)fault->code;
	r = find_manifest(engine, caller, options, &transfer->manifest, fault);
	if (r)
		return r;
	if (tw_object_init(engine, &transfer->object, TW_STORE_TRANSFER, caller,
			   options->user_data))
		return tw_no_memory(fault);
	take_options(transfer, options);
	r = place_new(transfer, options, fault);
	if (!r && options->token) {
		struct tw_token *token =
			(struct tw_token *)tw_shelf_find(&engine->tokens, options->token);

		token->download_count++;
		tw_object_changed(&token->object);
	}
	return r;
}

int tw_engine_create_transfer(struct tw_engine *engine, const struct tw_caller *caller,
			      const struct tw_transfer_options *options, const char **ret_id,
			      struct tw_fault *fault)
{
	struct tw_object *before =
		tw_object_requested(engine, TW_STORE_TRANSFER, caller, options->client_request_id);
	struct tw_transfer *transfer;
	int r;

	if (before) {
		*ret_id = before->id;
		return TW_FAULT_NONE;
	}
	if (engine->stopping)
		return tw_fault_set(fault, TW_FAULT_UNAVAILABLE, NULL, "The server is stopping.");
	transfer = calloc(1, sizeof(*transfer));
	if (!transfer)
		return tw_no_memory(fault);
	r = make(engine, caller, options, transfer, fault);
	if (r) {
		transfer_free(&transfer->object);
		return r;
	}
	*ret_id = transfer->object.id;
	return TW_FAULT_NONE;
}

/* Actions. */

static int refuse(const struct tw_transfer *transfer, const char *what, struct tw_fault *fault)
{
	return tw_fault_set(fault, TW_FAULT_CONFLICT, "transferId",
			    "The transfer is %s and cannot be %s.", states[transfer->state].name,
			    what);
}

static int resume(struct tw_transfer *transfer, struct tw_fault *fault)
{
	struct tw_engine *engine = transfer->object.engine;
	struct tw_destination *destination;
	struct tw_manifest_object *manifest;

	if (transfer->state == TW_STATE_ERROR) {
		/* Once more from where it was: what has arrived is kept at the other side. */
		destination = (struct tw_destination *)tw_shelf_find(&engine->destinations,
								     transfer->destination_id);
		manifest = (struct tw_manifest_object *)tw_shelf_find(&engine->manifests,
								      transfer->manifest_id);
		if (!destination || !manifest || transfer->number)
			return tw_fault_set(fault, TW_FAULT_CONFLICT, "transferId",
					    "Its destination or its manifest is gone; make a new "
					    "transfer.");
		transfer->destination = destination;
		transfer->manifest = manifest;
		transfer->end_time = 0;
		join(transfer);
	} else if (transfer->state != TW_STATE_SUSPENDED) {
		return refuse(transfer, "resumed", fault);
	}
	transfer->attempts = 0;
	tw_transfer_enter(transfer, TW_STATE_PENDING, NULL);
	tw_transfer_event(transfer, "send.transferResumed");
	return TW_FAULT_NONE;
}

int tw_engine_transfer_act(struct tw_engine *engine, const struct tw_caller *caller, const char *id,
			   enum tw_transfer_action action, const char *text, struct tw_fault *fault)
{
	struct tw_transfer *transfer =
		of(tw_caller_object(&engine->transfers, caller, id, "transferId", fault));

	if (!transfer)
		return (int)fault->code;
	switch (action) {
	case TW_TRANSFER_SUSPEND:
		if (tw_transfer_over(transfer) || transfer->state == TW_STATE_SUSPENDED)
			return refuse(transfer, "suspended", fault);
		transfer->attempts = 0;
		tw_transfer_enter(transfer, TW_STATE_SUSPENDED, NULL);
		return TW_FAULT_NONE;
	case TW_TRANSFER_RESUME:
		return resume(transfer, fault);
	case TW_TRANSFER_CANCEL:
		if (tw_transfer_over(transfer))
			return refuse(transfer, "cancelled", fault);
		tw_transfer_enter(transfer, TW_STATE_CANCELLED, NULL);
		return TW_FAULT_NONE;
	case TW_TRANSFER_FAIL:
		if (tw_transfer_over(transfer))
			return refuse(transfer, "failed", fault);
		tw_transfer_enter(transfer, TW_STATE_ERROR,
				  text && *text ? text : "It was failed by a request.");
		return TW_FAULT_NONE;
	case TW_TRANSFER_DELETE:
		if (transfer->state == TW_STATE_ACTIVE)
			return refuse(transfer, "deleted; cancel it first, or use force", fault);
		/* fall through */
	case TW_TRANSFER_DELETE_FORCE:
		tw_transfer_remove(transfer);
		return TW_FAULT_NONE;
	}
	return tw_fault_set(fault, TW_FAULT_INTERNAL, NULL, "No such action.");
}

int tw_engine_update_transfer(struct tw_engine *engine, const struct tw_caller *caller,
			      const char *id, const int64_t *priority,
			      const uint64_t *send_rate_max, struct tw_fault *fault)
{
	struct tw_transfer *transfer =
		of(tw_caller_object(&engine->transfers, caller, id, "transferId", fault));
	int r = priority ? check_priority(*priority, fault) : TW_FAULT_NONE;

	if (!transfer)
		return (int)fault->code;
	if (r)
		return r;
	if (tw_transfer_over(transfer))
		return refuse(transfer, "changed", fault);
	if (priority)
		transfer->priority = *priority;
	if (send_rate_max) {
		struct tw_rate_set rates = { TW_UNSET, TW_UNSET, *send_rate_max };

		tw_rates_clamp(engine, &rates);
		transfer->send_rate_max = rates.max;
	}
	transfer->changed = true;
	if (transfer->turn.place)
		tw_queue_put(transfer);
	tw_queue_kick(transfer->destination);
	tw_object_changed(&transfer->object);
	return TW_FAULT_NONE;
}

/* Looking. */

const struct tw_transfer_view *tw_engine_transfer(struct tw_engine *engine,
						  const struct tw_caller *caller, const char *id)
{
	struct tw_object *object = tw_shelf_find(&engine->transfers, id);

	if (!object || !tw_caller_sees(caller, object))
		return NULL;
	tw_links_refresh(engine, false);
	return tw_transfer_view(of(object));
}

static bool matches(const struct tw_transfer *transfer, const struct tw_transfer_filter *filter)
{
	if (filter->status && strcmp(filter->status, states[transfer->state].name) != 0)
		return false;
	return !filter->destination_id || !strcmp(filter->destination_id, transfer->destination_id);
}

const struct tw_transfer_view *tw_engine_transfer_next(struct tw_engine *engine,
						       const struct tw_caller *caller,
						       const struct tw_transfer_filter *filter,
						       size_t *cursor)
{
	struct tw_object *object;

	if (!*cursor)
		tw_links_refresh(engine, false);
	while ((object = tw_shelf_next(&engine->transfers, caller, cursor)))
		if (!filter || matches(of(object), filter))
			return tw_transfer_view(of(object));
	return NULL;
}

/* The table has been made tighter: behind the one that was seen last, whether it is there or not.
 */
static void find_place(const struct tw_shelf *shelf, struct tw_transfer_walk *walk)
{
	size_t at = 0;

	while (at < shelf->used &&
	       (!shelf->items[at] || of(shelf->items[at])->sequence <= walk->last))
		at++;
	walk->cursor = at;
	walk->moves = shelf->moves;
}

const struct tw_transfer_view *tw_engine_transfer_walk(struct tw_engine *engine,
						       const struct tw_caller *caller,
						       struct tw_transfer_walk *walk)
{
	const struct tw_shelf *shelf = &engine->transfers;
	struct tw_object *object;

	if (!walk->cursor)
		tw_links_refresh(engine, false);
	if (walk->moves != shelf->moves)
		find_place(shelf, walk);
	while ((object = tw_shelf_next(shelf, caller, &walk->cursor))) {
		struct tw_transfer *transfer = of(object);

		walk->last = transfer->sequence;
		if (!matches(transfer, &walk->filter))
			continue;
		if (!walk->skip)
			return tw_transfer_view(transfer);
		walk->skip--;
	}
	return NULL;
}
