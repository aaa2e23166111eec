/*
 * receive.c - the receiving side as the API shows it: transfers that arrive, the servers they come
 * from, and who may send.
 *
 * A reception is a transfer by its sender's key and its own; it outlives the worker's number for
 * it, which changes when it was put away and comes back. Those that have ended are kept for the
 * time that ended transfers are, at most TW_RECEPTIONS_MAX in all, the oldest go first.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "netio/clock.h"

#define TW_RECEPTIONS_MAX 100000
#define TW_SOURCES_MAX 10000
#define TW_CLIENTS_MAX 10000
#define CLIENTS "authorizedClients"
#define NAME_MAX_BYTES (TW_OBJECT_ID + TW_KEY_TEXT + TW_IP_TEXT)

enum reception_state { RECEIVING, RECEIVED, FAILED };
static const char *const state_names[] = { "receiving", "complete", "error" };

struct tw_reception {
	TAILQ_ENTRY(tw_reception) link, live_link;
	uint64_t number; /* the worker's, at present */
	struct tw_index_node by_number, by_name;
	char name[NAME_MAX_BYTES];
	char transfer_id[TW_OBJECT_ID];
	char destination[256];
	enum reception_state state;
	bool connected, total_known;
	uint64_t total_bytes, bytes_received, bytes_held, bytes_durable, files_done;
	tw_ns started_at;
	struct tw_address source;
	int64_t last_recv, last_send, last_error;
	tw_ns touched_at;
	struct tw_source_group *group;
};

struct tw_source_group {
	TAILQ_ENTRY(tw_source_group) link;
	struct tw_index_node by_name;
	char name[NAME_MAX_BYTES];
	char key[TW_KEY_TEXT];
	struct tw_address address;
	bool connected, negotiating, encrypted;
	uint64_t receptions; /* that refer to it */
	uint64_t active, inactive, complete, failed;
	/* What its connections have brought, for the rate of the newest second. */
	uint64_t conn_bytes, conn_bytes_before, window_kbps;
	/* Content of its transfers, and the time in which there were any: of those that have ended
	 * (up to @busy_until), and of those that are under way. */
	uint64_t ended_bytes, live_bytes;
	tw_ns ended_ns, busy_until, live_ns;
	tw_ns seen_at;
};

static struct tw_source_group *group_of(struct tw_index_node *node)
{
	return node ? TW_OWNER(node, struct tw_source_group, by_name) : NULL;
}

static void peer_text(const struct tw_public_key *peer, char ret[TW_KEY_TEXT])
{
	*ret = '\0';
	if (tw_public_key_known(peer))
		tw_public_key_format(peer, ret);
}

/* Who shows no key is known by the address alone; its port changes with every connection. */
static struct tw_source_group *find_group(struct tw_engine *engine,
					  const struct tw_public_key *peer,
					  const struct tw_address *address)
{
	char name[NAME_MAX_BYTES], key[TW_KEY_TEXT], text[TW_ADDRESS_TEXT];
	struct tw_source_group *group;

	peer_text(peer, key);
	snprintf(name, sizeof(name), "%s@%.63s", key, tw_address_format_ip(address, text));
	group = group_of(tw_index_find(&engine->source_keys, name));
	if (!group) {
		group = engine->source_count < TW_SOURCES_MAX ? calloc(1, sizeof(*group)) : NULL;
		if (!group)
			return NULL;
		memcpy(group->name, name, sizeof(name));
		memcpy(group->key, key, sizeof(key));
		if (tw_index_add(&engine->source_keys, &group->by_name, group->name)) {
			free(group);
			return NULL;
		}
		TAILQ_INSERT_TAIL(&engine->sources, group, link);
		engine->source_count++;
	}
	group->address = *address;
	group->seen_at = tw_clock_now();
	return group;
}

static void group_free(struct tw_engine *engine, struct tw_source_group *group)
{
	tw_index_remove(&engine->source_keys, &group->by_name);
	TAILQ_REMOVE(&engine->sources, group, link);
	engine->source_count--;
	free(group);
}

/* Receptions. */

static void reception_free(struct tw_engine *engine, struct tw_reception *reception)
{
	tw_index_remove(&engine->reception_numbers, &reception->by_number);
	tw_index_remove(&engine->reception_names, &reception->by_name);
	TAILQ_REMOVE(&engine->receptions, reception, link);
	if (reception->state == RECEIVING)
		TAILQ_REMOVE(&engine->receptions_live, reception, live_link);
	if (reception->group)
		reception->group->receptions--;
	engine->reception_count--;
	free(reception);
}

static struct tw_reception *by_number(struct tw_engine *engine, uint64_t number)
{
	struct tw_index_node *node = tw_index_find_number(&engine->reception_numbers, number);

	return node ? TW_OWNER(node, struct tw_reception, by_number) : NULL;
}

static struct tw_reception *add(struct tw_engine *engine, const struct tw_receiver_status *status,
				const char *name)
{
	struct tw_reception *reception;

	if (engine->reception_count >= TW_RECEPTIONS_MAX)
		reception_free(engine, TAILQ_FIRST(&engine->receptions));
	reception = calloc(1, sizeof(*reception));
	if (!reception)
		return NULL;
	snprintf(reception->name, sizeof(reception->name), "%s", name);
	tw_text_hex(status->key, sizeof(status->key), reception->transfer_id);
	reception->number = status->id;
	if (tw_index_add(&engine->reception_names, &reception->by_name, reception->name)) {
		free(reception);
		return NULL;
	}
	if (tw_index_add_number(&engine->reception_numbers, &reception->by_number, status->id)) {
		tw_index_remove(&engine->reception_names, &reception->by_name);
		free(reception);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&engine->receptions, reception, link);
	TAILQ_INSERT_TAIL(&engine->receptions_live, reception, live_link);
	engine->reception_count++;
	reception->group = find_group(engine, &status->peer, &status->path.remote);
	if (reception->group)
		reception->group->receptions++;
	return reception;
}

/* @ret_begins: it is new, or had ended before. */
static struct tw_reception *find(struct tw_engine *engine, const struct tw_receiver_status *status,
				 bool *ret_begins)
{
	struct tw_reception *reception = by_number(engine, status->id);
	char name[NAME_MAX_BYTES], key[TW_KEY_TEXT], id[TW_OBJECT_ID];
	struct tw_index_node *node;

	*ret_begins = false;
	if (reception)
		return reception;
	*ret_begins = true;
	peer_text(&status->peer, key);
	snprintf(name, sizeof(name), "%s %s", tw_text_hex(status->key, sizeof(status->key), id),
		 key);
	node = tw_index_find(&engine->reception_names, name);
	if (!node)
		return add(engine, status, name);
	/* It was put away, and is back under another number. */
	reception = TW_OWNER(node, struct tw_reception, by_name);
	tw_index_remove(&engine->reception_numbers, &reception->by_number);
	reception->number = status->id;
	if (tw_index_add_number(&engine->reception_numbers, &reception->by_number, status->id)) {
		reception_free(engine, reception);
		return NULL;
	}
	*ret_begins = reception->state != RECEIVING;
	if (*ret_begins)
		TAILQ_INSERT_TAIL(&engine->receptions_live, reception, live_link);
	reception->state = RECEIVING;
	return reception;
}

static void update(struct tw_engine *engine, struct tw_reception *reception,
		   const struct tw_receiver_status *status)
{
	if (status->path.remote.family)
		reception->source = status->path.remote;
	if (*status->destination)
		snprintf(reception->destination, sizeof(reception->destination), "%s",
			 status->destination);
	reception->connected = status->connected && !status->paused;
	reception->total_known = reception->total_known || status->total_known;
	if (status->total_bytes)
		reception->total_bytes = status->total_bytes;
	reception->bytes_received = status->bytes_received;
	reception->bytes_held = status->bytes_held;
	reception->started_at = status->started_at;
	reception->bytes_durable = status->bytes_durable;
	reception->files_done = status->files_done;
	if (status->last_received_at)
		reception->last_recv = tw_engine_wall(engine, status->last_received_at);
	if (status->last_sent_at)
		reception->last_send = tw_engine_wall(engine, status->last_sent_at);
	if (status->last_error_at)
		reception->last_error = tw_engine_wall(engine, status->last_error_at);
	reception->touched_at = tw_clock_now();
}

/* Where to write the address of a source, and its relay. */
struct shown {
	char *ip, *relay_ip;
	uint64_t *relay_port;
};

/* What comes by a relay comes from there, as far as anybody here can see. */
static void show_source(struct tw_engine *engine, const struct tw_address *source,
			const struct shown *ret)
{
	struct tw_address relay;
	char text[TW_ADDRESS_TEXT];

	*ret->relay_port = TW_UNSET;
	if (tw_engine_by_relay(engine, source, &relay)) {
		snprintf(ret->relay_ip, TW_IP_TEXT, "%.63s", tw_address_format_ip(&relay, text));
		*ret->relay_port = relay.port;
		source = &relay;
	}
	snprintf(ret->ip, TW_IP_TEXT, "%.63s", tw_address_format_ip(source, text));
}

static const struct tw_receive_transfer_view *show(struct tw_engine *engine,
						   const struct tw_reception *reception)
{
	struct tw_receive_transfer_view *view = &engine->reception_view;
	*view = (struct tw_receive_transfer_view){
		.destination_path = reception->destination,
		.status = state_names[reception->state],
		.total_size = reception->total_known ? reception->total_bytes : TW_UNSET,
		.bytes_received = reception->bytes_received,
		.source_port = reception->source.port,
		.last_recv_time = reception->last_recv,
		.last_send_time = reception->last_send,
		.last_error_time = reception->last_error,
	};
	memcpy(view->transfer_id, reception->transfer_id, sizeof(view->transfer_id));
	show_source(engine, &reception->source,
		    &(struct shown){ view->source_ip, view->relay_ip, &view->relay_port });
	return view;
}

static void announce(struct tw_engine *engine, const struct tw_reception *reception,
		     const char *name, const char *message)
{
	json_t *object = tw_structure_json(&tw_receive_transfer_structure, show(engine, reception));

	if (object)
		json_object_set_new(object, "errorMessage",
				    message && *message ? json_string(message) : json_null());
	tw_engine_event(engine, name, "", object);
}

/* Several that come at a time share their time. */
static tw_ns time_alone(const struct tw_source_group *group, const struct tw_reception *reception,
			tw_ns until)
{
	return tw_ns_since(until, tw_ns_max(reception->started_at, group->busy_until));
}

static uint64_t fresh_bytes(const struct tw_reception *reception)
{
	return reception->bytes_received > reception->bytes_held
		       ? reception->bytes_received - reception->bytes_held
		       : 0;
}

static void count_ended(struct tw_source_group *group, const struct tw_reception *reception,
			const struct tw_receiver_status *status)
{
	tw_ns end = status->finished_at ? status->finished_at : tw_clock_now();

	group->complete += reception->state == RECEIVED;
	group->failed += reception->state == FAILED;
	group->ended_bytes += fresh_bytes(reception);
	group->ended_ns += time_alone(group, reception, end);
	group->busy_until = tw_ns_max(group->busy_until, end);
}

static void finished(struct tw_engine *engine, struct tw_reception *reception,
		     const struct tw_worker_event *event)
{
	bool whole = event->error == TW_TRANSFER_OK;

	if (reception->state != RECEIVING)
		return;
	/* It goes on when its sender is back, from what has arrived. */
	if (event->transfer.put_away) {
		reception->connected = false;
		return;
	}
	TAILQ_REMOVE(&engine->receptions_live, reception, live_link);
	reception->state = whole ? RECEIVED : FAILED;
	if (!whole && !reception->last_error)
		reception->last_error = (int64_t)tw_clock_wall_us();
	if (reception->group)
		count_ended(reception->group, reception, &event->transfer);
	engine->files_received += event->transfer.files_done;
	engine->bytes_durable_ended += event->transfer.bytes_durable;
	announce(engine, reception, whole ? "recv.transferComplete" : "recv.transferError",
		 event->text);
}

static void file_complete(struct tw_engine *engine, const struct tw_worker_event *event)
{
	const struct tw_reception *reception = by_number(engine, event->id);

	tw_engine_event(engine, "recv.fileComplete", "",
			json_pack("{sssssssI}", "transferId",
				  reception ? reception->transfer_id : "", "path", event->text,
				  "destinationPath", reception ? reception->destination : "",
				  "error", (json_int_t)event->error));
}

void tw_receive_event(struct tw_engine *engine, const struct tw_worker_event *event)
{
	struct tw_reception *reception;
	bool begins;

	if (event->type == TW_WORKER_FILE_DONE) {
		file_complete(engine, event);
		return;
	}
	if (event->type != TW_WORKER_STARTED && event->type != TW_WORKER_RESUMED &&
	    event->type != TW_WORKER_FINISHED)
		return;
	/* Put away where it was; it has begun anew with another worker, which is heard by itself.
	 */
	if (event->type == TW_WORKER_FINISHED && event->transfer.put_away &&
	    !by_number(engine, event->id))
		return;
	reception = find(engine, &event->transfer, &begins);
	if (!reception)
		return;
	update(engine, reception, &event->transfer);
	if (event->type == TW_WORKER_FINISHED)
		finished(engine, reception, event);
	else if (begins && event->type == TW_WORKER_STARTED)
		announce(engine, reception, "recv.transferStarted", NULL);
}

static void refresh_conns(struct tw_engine *engine, const struct tw_worker_snapshot *snapshot)
{
	struct tw_source_group *group;

	for (size_t i = 0; i < snapshot->conn_count; i++) {
		const struct tw_conn_info *conn = &snapshot->conns[i];

		if (conn->state > TW_CONN_ESTABLISHED)
			continue;
		group = find_group(engine, &conn->peer_key, &conn->path.remote);
		if (!group)
			continue;
		if (conn->cipher != TW_CIPHER_NONE) {
			group->connected |= conn->state == TW_CONN_ESTABLISHED;
			group->negotiating |= conn->state == TW_CONN_CONNECTING;
		}
		group->encrypted = conn->cipher >= TW_CIPHER_128;
		group->conn_bytes += conn->bytes_received;
	}
}

static void refresh_transfers(struct tw_engine *engine, const struct tw_worker_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->transfer_count; i++) {
		const struct tw_receiver_status *status = &snapshot->transfers[i];
		struct tw_reception *reception = by_number(engine, status->id);

		/* Those that are not known yet are announced by an event that is on its way. */
		if (reception && reception->state == RECEIVING)
			update(engine, reception, status);
	}
}

static void count_live(struct tw_reception *reception, tw_ns at)
{
	struct tw_source_group *group = reception->group;

	if (!group)
		return;
	group->active += reception->connected;
	group->inactive += !reception->connected;
	group->live_bytes += fresh_bytes(reception);
	if (reception->connected)
		group->live_ns = tw_ns_max(group->live_ns, time_alone(group, reception, at));
}

void tw_receive_refresh(struct tw_engine *engine)
{
	struct tw_source_group *group;
	struct tw_reception *reception;

	TAILQ_FOREACH(group, &engine->sources, link)
	{
		group->connected = group->negotiating = false;
		group->active = group->inactive = group->conn_bytes = 0;
		group->live_bytes = group->live_ns = 0;
	}
	TAILQ_FOREACH(reception, &engine->receptions_live, live_link)
	reception->connected = false;
	for (unsigned i = 0; i < engine->link_count; i++) {
		const struct tw_worker_snapshot *snapshot = engine->links[i].snapshot;

		if (!snapshot)
			continue;
		refresh_conns(engine, snapshot);
		refresh_transfers(engine, snapshot);
	}
	TAILQ_FOREACH(reception, &engine->receptions_live, live_link)
	count_live(reception, engine->snapshot_at);
}

/* Once a second. */
static void measure(struct tw_source_group *group, tw_ns duration)
{
	/* A connection that has gone takes its counter along. */
	uint64_t bytes = group->conn_bytes >= group->conn_bytes_before
				 ? group->conn_bytes - group->conn_bytes_before
				 : group->conn_bytes;

	group->conn_bytes_before = group->conn_bytes;
	group->window_kbps = (uint64_t)((double)bytes * 8e6 / (double)duration);
}

void tw_receive_expire(struct tw_engine *engine, tw_ns now)
{
	tw_ns kept = engine->garbage_settings.transfer_expiry_seconds * TW_SECOND;
	tw_ns duration = tw_ns_since(now, engine->receive_measured_at);
	struct tw_source_group *group, *group_next;
	struct tw_reception *reception;

	for (group = TAILQ_FIRST(&engine->sources); group; group = group_next) {
		group_next = TAILQ_NEXT(group, link);
		if (duration)
			measure(group, duration);
		if (!group->receptions && !group->connected &&
		    tw_ns_since(now, group->seen_at) > kept)
			group_free(engine, group);
	}
	engine->receive_measured_at = now;
	while ((reception = TAILQ_FIRST(&engine->receptions)) && !reception->connected &&
	       tw_ns_since(now, reception->touched_at) > kept)
		reception_free(engine, reception);
}

/* Looking. */

const struct tw_receive_transfer_view *tw_engine_receive_transfer_next(struct tw_engine *engine,
								       size_t *cursor)
{
	struct tw_reception *reception;

	if (!*cursor) {
		tw_links_refresh(engine, false);
		engine->reception_at = TAILQ_FIRST(&engine->receptions);
	}
	reception = engine->reception_at;
	if (!reception)
		return NULL;
	++*cursor;
	engine->reception_at = TAILQ_NEXT(reception, link);
	return show(engine, reception);
}

static uint64_t mean_kbps(const struct tw_source_group *group)
{
	tw_ns duration = group->ended_ns + group->live_ns;

	return duration ? (uint64_t)((double)(group->ended_bytes + group->live_bytes) * 8e6 /
				     (double)duration)
			: 0;
}

const struct tw_source_view *tw_engine_source_next(struct tw_engine *engine, size_t *cursor)
{
	struct tw_source_view *view = &engine->source_view;
	const struct tw_source_group *group;

	if (!*cursor) {
		tw_links_refresh(engine, false);
		engine->source_at = TAILQ_FIRST(&engine->sources);
	}
	group = engine->source_at;
	if (!group)
		return NULL;
	++*cursor;
	engine->source_at = TAILQ_NEXT(group, link);
	*view = (struct tw_source_view){
		.source_port = group->address.port,
		.encrypted_connection_state = group->connected     ? "connected"
					      : group->negotiating ? "negotiating"
								   : "disconnected",
		.encryption_enabled = group->encrypted,
		.active_transfer_count = group->active,
		.inactive_transfer_count = group->inactive,
		.complete_transfer_count = group->complete,
		.error_transfer_count = group->failed,
		.ave_recv_rate = mean_kbps(group),
		.ave_recv_rate_window = group->window_kbps,
	};
	snprintf(view->destination_public_key, sizeof(view->destination_public_key), "%s",
		 group->key);
	show_source(engine, &group->address,
		    &(struct shown){ view->source_ip, view->relay_ip, &view->relay_port });
	return view;
}

/* Who may send. */

static void store_clients(struct tw_engine *engine)
{
	tw_persist_setting(engine, CLIENTS,
			   json_pack("{sbsO}", "only", engine->only_clients, "keys",
				     engine->clients));
	tw_links_admission(engine);
}

static size_t client_place(const struct tw_engine *engine, const char *key)
{
	size_t i;

	for (i = 0; i < json_array_size(engine->clients); i++)
		if (!strcmp(json_string_value(json_array_get(engine->clients, i)), key))
			break;
	return i;
}

int tw_engine_authorize_client(struct tw_engine *engine, const char *key, bool authorized,
			       struct tw_fault *fault)
{
	struct tw_public_key parsed;
	char text[TW_KEY_TEXT];
	size_t place;

	if (!key || tw_public_key_parse(key, &parsed))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "clientPublicKey",
				    "clientPublicKey is no public key: it has 43 letters, digits, "
				    "- and _, as the sending server's getServerInfo shows it.");
	tw_public_key_format(&parsed, text);
	place = client_place(engine, text);
	if (authorized == (place < json_array_size(engine->clients)))
		return authorized ? TW_FAULT_NONE
				  : tw_fault_set(fault, TW_FAULT_NOT_FOUND, "clientPublicKey",
						 "That key is not among the authorised clients.");
	if (!authorized)
		json_array_remove(engine->clients, place);
	else if (json_array_size(engine->clients) >= TW_CLIENTS_MAX)
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, "clientPublicKey",
				    "At most %d clients can be listed.", TW_CLIENTS_MAX);
	else if (json_array_append_new(engine->clients, json_string(text)))
		return tw_no_memory(fault);
	store_clients(engine);
	return TW_FAULT_NONE;
}

int tw_engine_only_authorized(struct tw_engine *engine, bool only, struct tw_fault *fault)
{
	(void)fault;
	engine->only_clients = only;
	store_clients(engine);
	return TW_FAULT_NONE;
}

void tw_engine_authorized_clients(struct tw_engine *engine, struct tw_strings *ret)
{
	size_t count = json_array_size(engine->clients);
	const char **texts = realloc(engine->client_texts, (count + 1) * sizeof(*texts));

	*ret = (struct tw_strings){ 0 };
	if (!texts)
		return;
	engine->client_texts = texts;
	for (size_t i = 0; i < count; i++)
		texts[i] = json_string_value(json_array_get(engine->clients, i));
	*ret = (struct tw_strings){ texts, count };
}

int tw_receive_admission(struct tw_engine *engine, struct tw_worker_admission *ret)
{
	size_t count = json_array_size(engine->clients);
	struct tw_public_key *keys = calloc(count + 1, sizeof(*keys));

	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		tw_public_key_parse(json_string_value(json_array_get(engine->clients, i)),
				    &keys[i]);
	*ret = (struct tw_worker_admission){ engine->only_clients, keys, count };
	return 0;
}

/* Life. */

void tw_receive_init(struct tw_engine *engine)
{
	TAILQ_INIT(&engine->receptions);
	TAILQ_INIT(&engine->receptions_live);
	TAILQ_INIT(&engine->sources);
	tw_index_init(&engine->reception_numbers);
	tw_index_init(&engine->reception_names);
	tw_index_init(&engine->source_keys);
}

int tw_receive_load(struct tw_engine *engine)
{
	json_t *stored = tw_persist_get(engine, CLIENTS), *keys = json_object_get(stored, "keys");
	struct tw_public_key key;
	char path[4096];

	engine->clients = json_array();
	engine->only_clients = json_is_true(json_object_get(stored, "only"));
	for (size_t i = 0; i < json_array_size(keys); i++) {
		const char *text = json_string_value(json_array_get(keys, i));

		if (text && !tw_public_key_parse(text, &key))
			json_array_append_new(engine->clients, json_string(text));
	}
	json_decref(stored);
	/* Every file is an event only where somebody waits for it. */
	if (engine->options.trigger_dir) {
		snprintf(path, sizeof(path), "%s/recv.fileComplete", engine->options.trigger_dir);
		engine->file_events = access(path, X_OK) == 0;
	}
	return engine->clients ? 0 : -ENOMEM;
}

void tw_receive_deinit(struct tw_engine *engine)
{
	struct tw_source_group *group;
	struct tw_reception *reception;

	while ((reception = TAILQ_FIRST(&engine->receptions)))
		reception_free(engine, reception);
	while ((group = TAILQ_FIRST(&engine->sources)))
		group_free(engine, group);
	tw_index_deinit(&engine->reception_numbers);
	tw_index_deinit(&engine->reception_names);
	tw_index_deinit(&engine->source_keys);
	json_decref(engine->clients);
	free(engine->client_texts);
}

void tw_receive_figures(const struct tw_engine *engine, struct tw_engine_figures *ret)
{
	const struct tw_reception *reception;

	TAILQ_FOREACH(reception, &engine->receptions_live, live_link)
	{
		ret->files_received += reception->files_done;
		ret->bytes_durable_received += reception->bytes_durable;
	}
}
