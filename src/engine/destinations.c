/* destinations.c - where things go: made, found, changed, removed; what the worker is told. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"
#include "netio/sockaddr.h"

#define HOST_NAME_LONGEST 253
#define BUFFER_LEAST 4096
#define BUFFER_MOST (UINT64_C(1) << 30)

static const struct tw_saved rows[] = {
	TW_SAVED(struct tw_destination, TEXT, connection_id, "connectionId"),
	TW_SAVED(struct tw_destination, STRING, settings.address, "address"),
	TW_SAVED(struct tw_destination, STRING, settings.sender_ip, "senderIP"),
	TW_SAVED(struct tw_destination, STRING, settings.relay_address, "relayAddress"),
	TW_SAVED(struct tw_destination, U16, settings.port, "port"),
	TW_SAVED(struct tw_destination, U16, settings.sender_port, "senderPort"),
	TW_SAVED(struct tw_destination, U16, settings.relay_port, "relayPort"),
	TW_SAVED(struct tw_destination, TEXT, settings.relay_key, "relayPublicKey"),
	TW_SAVED(struct tw_destination, TEXT, settings.public_key, "publicKey"),
	TW_SAVED(struct tw_destination, TEXT, settings.permitted_key, "permittedKey"),
	TW_SAVED(struct tw_destination, BOOL, settings.encryption_enabled, "encryption"),
	TW_SAVED(struct tw_destination, BOOL, settings.rate_controller_active, "controller"),
	TW_SAVED(struct tw_destination, U64, settings.send_rate, "sendRate"),
	TW_SAVED(struct tw_destination, U64, settings.send_rate_min, "sendRateMin"),
	TW_SAVED(struct tw_destination, U64, settings.send_rate_max, "sendRateMax"),
	TW_SAVED(struct tw_destination, U64, settings.average_window_ms, "windowMs"),
	TW_SAVED(struct tw_destination, U64, settings.send_buffer, "sendBuffer"),
	TW_SAVED(struct tw_destination, U64, settings.recv_buffer, "recvBuffer"),
	TW_SAVED(struct tw_destination, STRING, settings.method, "method"),
};
#define ROWS (sizeof(rows) / sizeof(*rows))

static struct tw_destination *of(struct tw_object *object)
{
	return (struct tw_destination *)object;
}

void tw_destination_options_init(struct tw_destination_options *options)
{
	*options = (struct tw_destination_options){
		.port = TW_RECEIVE_PORT_DEFAULT,
		.encryption_enabled = true,
		.send_rate = TW_UNSET,
		.send_rate_min = TW_UNSET,
		.send_rate_max = TW_UNSET,
		.rate_controller_active = true,
		.average_window_ms = 1000,
		.socket_send_buffer_size = TW_UNSET,
		.socket_recv_buffer_size = TW_UNSET,
	};
}

/* What was asked for, in numbers. */

enum tw_rate_method tw_destination_method(const struct tw_destination *destination)
{
	enum tw_rate_method method = TW_RATE_DEFAULT;

	if (!destination->settings.rate_controller_active)
		return TW_RATE_FIXED;
	if (destination->settings.method)
		tw_rate_method_parse(destination->settings.method, &method);
	return method;
}

static uint64_t bps(uint64_t kbps, uint64_t unset)
{
	return kbps == TW_UNSET ? unset : kbps * 1000;
}

struct tw_rate_limits tw_destination_limits(const struct tw_destination *destination)
{
	const struct tw_destination_settings *settings = &destination->settings;

	return (struct tw_rate_limits){
		.rate_bps = bps(settings->send_rate, 0),
		.min_bps = bps(settings->send_rate_min, 0),
		.max_bps = bps(settings->send_rate_max, UINT64_MAX),
	};
}

enum tw_cipher tw_destination_cipher(const struct tw_destination *destination)
{
	const struct tw_engine_options *options = &destination->object.engine->options;
	int least = options->min_cipher;

	if (options->encryption && destination->settings.encryption_enabled &&
	    least < TW_CIPHER_128)
		least = TW_CIPHER_128;
	return (enum tw_cipher)least;
}

const char *tw_destination_obstacle(const struct tw_destination *destination)
{
	const struct tw_destination_settings *settings = &destination->settings;

	if (*settings->permitted_key &&
	    strcmp(settings->permitted_key, settings->public_key) != 0)
		return "keyMismatch";
	return NULL;
}

void tw_destination_describe(const struct tw_destination *destination,
			     struct tw_worker_destination *ret)
{
	const struct tw_destination_settings *settings = &destination->settings;

	*ret = (struct tw_worker_destination){
		.id = destination->number,
		.remote_count = destination->remote_count,
		.cipher = tw_destination_cipher(destination),
		.method = tw_destination_method(destination),
		.limits = tw_destination_limits(destination),
		.rate_window = settings->average_window_ms * TW_MSEC,
		.patient = true,
		.lanes = destination->object.engine->options.lanes,
	};
	memcpy(ret->remotes, destination->remotes, sizeof(ret->remotes));
	memcpy(ret->tickets, destination->tickets, sizeof(ret->tickets));
	ret->ticketed = destination->relay != NULL;
	if (settings->sender_ip)
		tw_address_parse_ip(settings->sender_ip, &ret->local);
	ret->local.port = settings->sender_port;
	if (settings->send_buffer != TW_UNSET)
		ret->socket_send_bytes = (uint32_t)settings->send_buffer;
	if (settings->recv_buffer != TW_UNSET)
		ret->socket_receive_bytes = (uint32_t)settings->recv_buffer;
	if (*settings->public_key)
		tw_public_key_parse(settings->public_key, &ret->peer_key);
}

void tw_destination_event(struct tw_destination *destination, const char *name)
{
	tw_engine_event(destination->object.engine, name, destination->object.owner,
			tw_structure_json(&tw_destination_structure,
					  tw_destination_view(destination)));
}

/* Life. */

static void destination_free(struct tw_object *object)
{
	struct tw_destination *destination = of(object);

	tw_queue_deinit(destination);
	tw_resolve_forget(destination);
	tw_own_relay_leave(destination);
	if (destination->kicked)
		TAILQ_REMOVE(&object->engine->kicks, destination, kick_link);
	tw_index_remove(&object->engine->connections, &destination->by_connection);
	tw_index_remove(&object->engine->destination_numbers, &destination->by_number);
	free(destination->settings.address);
	free(destination->settings.sender_ip);
	free(destination->settings.relay_address);
	free(destination->settings.method);
	tw_object_deinit(object);
	free(destination);
}

void tw_destination_place(struct tw_destination *destination)
{
	struct tw_engine *engine = destination->object.engine;
	struct tw_link *best = &engine->links[0];

	if (destination->link)
		destination->link->destinations--;
	for (unsigned i = 1; i < engine->link_count; i++) {
		struct tw_link *link = &engine->links[i];

		if (link->running < best->running ||
		    (link->running == best->running && link->destinations < best->destinations))
			best = link;
	}
	destination->link = best;
	best->destinations++;
}

int tw_destination_attach(struct tw_destination *destination)
{
	struct tw_engine *engine = destination->object.engine;
	int r;

	destination->number = ++engine->next_number;
	tw_destination_place(destination);
	r = tw_index_add_number(&engine->destination_numbers, &destination->by_number,
				destination->number);
	return r ? r
		 : tw_index_add(&engine->connections, &destination->by_connection,
				destination->connection_id);
}

static json_t *destination_encode(const struct tw_object *object)
{
	json_t *body = json_object();

	if (tw_saved_encode(rows, ROWS, object, body)) {
		json_decref(body);
		return NULL;
	}
	return body;
}

static int destination_decode(struct tw_object *object, const json_t *body)
{
	struct tw_destination *destination = of(object);
	struct tw_public_key key;
	int r;

	tw_queue_init(destination);
	r = tw_saved_decode(rows, ROWS, body, destination);
	if (r)
		return r;
	if (!destination->settings.address || !*destination->connection_id ||
	    (*destination->settings.public_key &&
	     tw_public_key_parse(destination->settings.public_key, &key)) ||
	    (*destination->settings.relay_key &&
	     (!destination->settings.relay_address || !destination->settings.relay_port ||
	      tw_public_key_parse(destination->settings.relay_key, &key))))
		return TW_E_FORMAT;
	return tw_destination_attach(destination);
}

static void destination_loaded(struct tw_object *object)
{
	/* Without it nothing goes there, and lastErrorMessage says so. */
	(void)tw_own_relay_join(of(object));
	tw_resolve_start(of(object));
}

const struct tw_kind tw_destination_kind = {
	.size = sizeof(struct tw_destination),
	.encode = destination_encode,
	.decode = destination_decode,
	.loaded = destination_loaded,
	.free = destination_free,
};

/* Creation. */

int tw_destination_check_host(const char *host)
{
	size_t length = host ? strlen(host) : 0;

	if (!length || length > HOST_NAME_LONGEST)
		return TW_E_FULL;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)host[i] <= ' ' || host[i] == 127 || strchr("/[]#", host[i]))
			return TW_E_FORMAT;
	return 0;
}

static int check_address(const char *name, const char *value, struct tw_fault *fault)
{
	int r = tw_destination_check_host(value);

	if (r == TW_E_FULL)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, name,
				    "%s must be a host name, an IPv4 or an IPv6 address, of 1 to "
				    "%d characters.",
				    name, HOST_NAME_LONGEST);
	return r ? tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, name,
				"\"%.80s\" is no host name and no address: give the name or the "
				"address alone, the port apart.",
				value)
		 : TW_FAULT_NONE;
}

static int check_key(const char *name, const char *value, char ret[TW_KEY_TEXT],
		     struct tw_fault *fault)
{
	struct tw_public_key key;

	if (!value || !*value)
		return TW_FAULT_NONE;
	if (tw_public_key_parse(value, &key))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, name,
				    "%s is no public key: it has 43 letters, digits, - and _, as "
				    "the other server's getServerInfo shows it.",
				    name);
	tw_public_key_format(&key, ret);
	return TW_FAULT_NONE;
}

static int check_buffer(const char *name, uint64_t value, struct tw_fault *fault)
{
	if (value == TW_UNSET || (value >= BUFFER_LEAST && value <= BUFFER_MOST))
		return TW_FAULT_NONE;
	return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, name,
			    "%s must lie between %d and %llu bytes.", name, BUFFER_LEAST,
			    (unsigned long long)BUFFER_MOST);
}

static int check_encryption(const struct tw_engine *engine,
			    const struct tw_destination_options *options, struct tw_fault *fault)
{
	bool key = options->public_key && *options->public_key;

	if (engine->options.encryption && !options->encryption_enabled &&
	    engine->options.min_cipher >= TW_CIPHER_128)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "encryptionEnabled",
				    "This server's minimum cipher demands encryption; leave "
				    "encryptionEnabled out, or start it with a lower minimum.");
	if (key)
		return TW_FAULT_NONE;
	if (engine->options.encryption && options->encryption_enabled)
		return tw_fault_set(
			fault, TW_FAULT_INVALID_PARAMETER, "destinationPublicKey",
			"This server encrypts what it sends and needs the destination's public "
			"key: ask the other server's getServerInfo for publicKey, or give "
			"encryptionEnabled=false where both servers allow it.");
	if (engine->options.min_cipher > TW_CIPHER_NONE)
		return tw_fault_set(
			fault, TW_FAULT_INVALID_PARAMETER, "destinationPublicKey",
			"This server's minimum cipher demands that the other side shows who it is: "
			"give its public key, or start this server with a minimum cipher of none.");
	return TW_FAULT_NONE;
}

static int check_options(const struct tw_engine *engine,
			 const struct tw_destination_options *options, struct tw_fault *fault)
{
	bool own_relay = options->relay_public_key ||
			 (options->relay_address && strchr(options->relay_address, '#'));
	struct tw_address local;
	int r = check_address("destinationAddress", options->address, fault);

	if (!r && options->relay_address && !own_relay)
		r = check_address("relayAddress", options->relay_address, fault);
	if (!r && !options->port)
		r = tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "destinationPort",
				 "destinationPort must lie between 1 and 65535.");
	if (!r && options->relay_address && !options->relay_port && !own_relay)
		r = tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "relayPort",
				 "A relay needs its port too: give relayPort; one of this server's "
				 "own for what goes out needs its key: relayAddress=HOST#KEY.");
	if (!r && options->sender_ip && *options->sender_ip &&
	    !tw_address_parse_ip(options->sender_ip, &local))
		r = tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "senderIP",
				 "\"%.64s\" is no IPv4 or IPv6 address; senderIP must be an "
				 "address of this machine.",
				 options->sender_ip);
	if (!r && (options->average_window_ms < 100 || options->average_window_ms > 60000))
		r = tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "sendRateAverageWindowMs",
				 "sendRateAverageWindowMs must lie between 100 and 60000.");
	if (!r)
		r = check_buffer("socketSendBufferSize", options->socket_send_buffer_size, fault);
	if (!r)
		r = check_buffer("socketRecvBufferSize", options->socket_recv_buffer_size, fault);
	if (!r)
		r = check_encryption(engine, options, fault);
	if (!r)
		r = tw_rates_method(options->rate_control_method, options->rate_controller_active,
				    options->send_rate, fault);
	return r ? r : tw_user_data_check(options->user_data, fault);
}

static int take_options(struct tw_destination *destination,
			const struct tw_destination_options *options, struct tw_fault *fault)
{
	struct tw_destination_settings *settings = &destination->settings;
	struct tw_rate_set rates = { options->send_rate, options->send_rate_min,
				     options->send_rate_max };
	int r = check_key("destinationPublicKey", options->public_key, settings->public_key, fault);

	if (!r)
		r = check_key("permittedDestinationPublicKey", options->permitted_public_key,
			      settings->permitted_key, fault);
	if (r)
		return r;
	tw_rates_clamp(destination->object.engine, &rates);
	settings->send_rate = rates.rate;
	settings->send_rate_min = rates.min;
	settings->send_rate_max = rates.max;
	settings->port = options->port;
	settings->sender_port = options->sender_port;
	settings->encryption_enabled = options->encryption_enabled;
	settings->rate_controller_active = options->rate_controller_active;
	settings->average_window_ms = options->average_window_ms;
	settings->send_buffer = options->socket_send_buffer_size;
	settings->recv_buffer = options->socket_recv_buffer_size;
	r = tw_own_relay_options(options, settings, fault);
	if (r)
		return r;
	if (!*settings->relay_key && options->relay_address) {
		settings->relay_port = options->relay_port;
		if (!tw_copy_text(options->relay_address, &settings->relay_address))
			return tw_no_memory(fault);
	}
	if (!tw_copy_text(options->address, &settings->address) ||
	    !tw_copy_text(options->sender_ip, &settings->sender_ip) ||
	    !tw_copy_text(options->rate_control_method, &settings->method))
		return tw_no_memory(fault);
	return TW_FAULT_NONE;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_settings(const struct tw_destination_settings *a,
			  const struct tw_destination_settings *b)
{
	return same_text(a->address, b->address) && same_text(a->sender_ip, b->sender_ip) &&
	       same_text(a->relay_address, b->relay_address) && a->port == b->port &&
	       a->sender_port == b->sender_port && a->relay_port == b->relay_port &&
	       !strcmp(a->public_key, b->public_key) && !strcmp(a->relay_key, b->relay_key) &&
	       !strcmp(a->permitted_key, b->permitted_key) &&
	       a->encryption_enabled == b->encryption_enabled &&
	       a->rate_controller_active == b->rate_controller_active &&
	       a->send_rate == b->send_rate && a->send_rate_min == b->send_rate_min &&
	       a->send_rate_max == b->send_rate_max &&
	       a->average_window_ms == b->average_window_ms && a->send_buffer == b->send_buffer &&
	       a->recv_buffer == b->recv_buffer && same_text(a->method, b->method);
}

/* One of the caller's own with the same parameters. */
static struct tw_destination *find_same(const struct tw_destination *wanted,
					const struct tw_caller *caller)
{
	const struct tw_shelf *shelf = &wanted->object.engine->destinations;
	struct tw_object *object;
	size_t cursor = 0;

	while ((object = tw_shelf_next(shelf, caller, &cursor)))
		if (!strcmp(object->owner, wanted->object.owner) &&
		    same_text(object->owner_token, wanted->object.owner_token) &&
		    (json_equal(object->user_data, wanted->object.user_data) ||
		     object->user_data == wanted->object.user_data) &&
		    same_settings(&of(object)->settings, &wanted->settings))
			return of(object);
	return NULL;
}

static int place_new(struct tw_destination *destination,
		     const struct tw_destination_options *options, struct tw_fault *fault)
{
	int r = tw_own_relay_join(destination);

	if (r == TW_E_FULL)
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, "relayAddress",
				    "Destinations use %d relays of this server's own already; "
				    "delete some that nobody needs.",
				    TW_OWN_RELAYS_MAX);
	if (!r)
		r = tw_destination_attach(destination);
	if (!r)
		r = tw_object_place(&destination->object, options->client_request_id);
	if (r == TW_E_FULL)
		return tw_object_full(&destination->object, "destinations",
				      "delete some that nobody needs", fault);
	if (r)
		return tw_no_memory(fault);
	tw_object_changed(&destination->object);
	tw_resolve_start(destination);
	tw_destination_event(destination, "send.destinationCreated");
	return TW_FAULT_NONE;
}

int tw_engine_create_destination(struct tw_engine *engine, const struct tw_caller *caller,
				 const struct tw_destination_options *options, const char **ret_id,
				 struct tw_fault *fault)
{
	struct tw_object *before = tw_object_requested(engine, TW_STORE_DESTINATION, caller,
						       options->client_request_id);
	struct tw_destination *destination, *same = (struct tw_destination *)before;
	int r = before ? TW_FAULT_NONE : check_options(engine, options, fault);

	if (r)
		return r;
	if (same) {
		*ret_id = same->object.id;
		return TW_FAULT_NONE;
	}
	destination = calloc(1, sizeof(*destination));
	if (!destination)
		return tw_no_memory(fault);
	destination->object.engine = engine;
	tw_queue_init(destination);
	tw_random_id(destination->connection_id);
	if (tw_object_init(engine, &destination->object, TW_STORE_DESTINATION, caller,
			   options->user_data))
		r = tw_no_memory(fault);
	if (!r)
		r = take_options(destination, options, fault);
	if (!r && !(same = find_same(destination, caller)))
		r = place_new(destination, options, fault);
	if (r || same)
		destination_free(&destination->object);
	if (!r)
		*ret_id = same ? same->object.id : destination->object.id;
	return r;
}

/* Removal. */

static void end_jobs(struct tw_destination *destination)
{
	struct tw_transfer *transfer;

	while ((transfer = TAILQ_FIRST(&destination->jobs)))
		tw_transfer_enter(transfer, TW_STATE_CANCELLED, "Its destination was deleted.");
}

int tw_engine_delete_destination(struct tw_engine *engine, const struct tw_caller *caller,
				 const char *id, bool force, struct tw_fault *fault)
{
	struct tw_object *object =
		tw_caller_object(&engine->destinations, caller, id, "destinationId", fault);
	struct tw_destination *destination = of(object);

	if (!object)
		return (int)fault->code;
	if (!TAILQ_EMPTY(&destination->jobs) && !force)
		return tw_fault_set(fault, TW_FAULT_CONFLICT, "destinationId",
				    "Transfers to this destination have not ended; wait for them, "
				    "cancel them, or delete it with force.");
	if (destination->added &&
	    tw_worker_remove_destination(destination->link->worker, destination->number))
		return tw_fault_set(fault, TW_FAULT_UNAVAILABLE, NULL,
				    "The server has too much to do at the moment; try again.");
	/* With the socket that it had until now. */
	tw_destination_event(destination, "send.destinationDeleted");
	destination->added = false;
	end_jobs(destination);
	destination->link->destinations--;
	tw_object_remove(object);
	destination_free(object);
	return TW_FAULT_NONE;
}

/* Looking. */

const struct tw_destination_view *tw_engine_destination(struct tw_engine *engine,
							const struct tw_caller *caller,
							const char *id)
{
	struct tw_object *object = tw_shelf_find(&engine->destinations, id);
	struct tw_index_node *node = object ? NULL : tw_index_find(&engine->connections, id);

	if (node)
		object = &TW_OWNER(node, struct tw_destination, by_connection)->object;
	if (!object || !tw_caller_sees(caller, object))
		return NULL;
	tw_links_refresh(engine, false);
	return tw_destination_view(of(object));
}

const struct tw_destination_view *tw_engine_destination_next(struct tw_engine *engine,
							     const struct tw_caller *caller,
							     size_t *cursor)
{
	struct tw_object *object;

	if (!*cursor)
		tw_links_refresh(engine, false);
	object = tw_shelf_next(&engine->destinations, caller, cursor);
	return object ? tw_destination_view(of(object)) : NULL;
}

/* Rates. */

static int set_destination_rate(struct tw_destination *destination,
				const struct tw_rate_change *change, json_t **ret,
				struct tw_fault *fault)
{
	struct tw_destination_settings *settings = &destination->settings;
	const struct tw_rate_set asked = {
		change->send_rate == TW_UNSET ? settings->send_rate : change->send_rate,
		change->send_rate_min == TW_UNSET ? settings->send_rate_min : change->send_rate_min,
		change->send_rate_max == TW_UNSET ? settings->send_rate_max : change->send_rate_max,
	};
	bool active = change->rate_controller_active ? *change->rate_controller_active
						     : settings->rate_controller_active;
	const char *name =
		change->rate_control_method ? change->rate_control_method : settings->method;
	struct tw_rate_set rates = asked;
	char *method;
	int r = tw_rates_method(name, active, asked.rate, fault);

	if (r)
		return r;
	if (!tw_copy_text(name, &method))
		return tw_no_memory(fault);
	tw_rates_clamp(destination->object.engine, &rates);
	free(settings->method);
	settings->method = method;
	settings->rate_controller_active = active;
	settings->send_rate = rates.rate;
	settings->send_rate_min = rates.min;
	settings->send_rate_max = rates.max;
	destination->changed = true;
	tw_object_changed(&destination->object);
	tw_queue_kick(destination);
	*ret = json_pack(
		"{so?so?so?sbss sb}", "sendRate",
		rates.rate == TW_UNSET ? NULL : json_integer((json_int_t)rates.rate), "sendRateMin",
		rates.min == TW_UNSET ? NULL : json_integer((json_int_t)rates.min), "sendRateMax",
		rates.max == TW_UNSET ? NULL : json_integer((json_int_t)rates.max),
		"rateControllerActive", active, "rateControlMethod",
		method ? method : tw_rate_method_name(TW_RATE_DEFAULT), "clamped",
		asked.rate != rates.rate || asked.min != rates.min || asked.max != rates.max);
	return *ret ? TW_FAULT_NONE : tw_no_memory(fault);
}

static int set_transfer_rate(struct tw_engine *engine, const struct tw_caller *caller,
			     const struct tw_rate_change *change, json_t **ret,
			     struct tw_fault *fault)
{
	const struct tw_transfer *transfer;
	int r;

	if (change->send_rate != TW_UNSET || change->send_rate_min != TW_UNSET ||
	    change->rate_controller_active || change->rate_control_method)
		return tw_fault_set(
			fault, TW_FAULT_INVALID_PARAMETER, "transferId",
			"A transfer has a sendRateMax of its own and nothing else; the "
			"other rates are those of its destination: give destinationId.");
	r = tw_engine_update_transfer(engine, caller, change->transfer_id, NULL,
				      &change->send_rate_max, fault);
	if (r)
		return r;
	transfer = (struct tw_transfer *)tw_shelf_find(&engine->transfers, change->transfer_id);
	*ret = json_pack("{so?sb}", "sendRateMax",
			 transfer->send_rate_max == TW_UNSET
				 ? NULL
				 : json_integer((json_int_t)transfer->send_rate_max),
			 "clamped", transfer->send_rate_max != change->send_rate_max);
	return *ret ? TW_FAULT_NONE : tw_no_memory(fault);
}

int tw_engine_set_rate(struct tw_engine *engine, const struct tw_caller *caller,
		       const struct tw_rate_change *change, json_t **ret, struct tw_fault *fault)
{
	struct tw_object *object;

	if (!change->destination_id == !change->transfer_id)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "destinationId",
				    "Give either destinationId or transferId, one of them.");
	if (change->transfer_id)
		return set_transfer_rate(engine, caller, change, ret, fault);
	object = tw_caller_object(&engine->destinations, caller, change->destination_id,
				  "destinationId", fault);
	return object ? set_destination_rate(of(object), change, ret, fault) : (int)fault->code;
}
