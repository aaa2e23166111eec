#include "relay/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "crypto/noise.h"
#include "relay/pipe.h"

#define IN_MAX ((size_t)TW_RELAY_MESSAGE_ROOM * 2)
#define QUEUE_MAX ((size_t)1 << 20) /* datagrams beyond are dropped */
#define OUT_MAX (QUEUE_MAX + ((size_t)1 << 20))

/* While connections pass through the relay, what has changed must be noticed within a second. */
#define LEG_BUSY (500 * TW_MSEC)
#define LEG_IDLE (5 * TW_SECOND)
#define PING_BUSY TW_SECOND
#define PING_IDLE (10 * TW_SECOND)
#define SILENT_BUSY (3 * TW_SECOND)
#define SILENT_IDLE (25 * TW_SECOND)
#define CONNECT_LIMIT (5 * TW_SECOND)
#define UDP_MISSING 4 /* questions in a row without an answer: UDP does not pass */
#define ASK_AGAIN (150 * TW_MSEC)

#define PUNCH_LATER (15 * TW_SECOND)
#define REDIAL_FIRST (100 * TW_MSEC)
#define REDIAL_MAX TW_SECOND
#define REDIAL_REFUSED (5 * TW_SECOND)

struct known_route {
	uint64_t server_cid, peer_cid;
	struct tw_address peer;
	struct tw_address direct; /* behind a relay of its own; family NONE: it has none here */
	uint8_t flags;
	unsigned punches;
	tw_ns punch_at;
};

struct destination {
	struct tw_address to;
	int state;
};

struct tw_relay_client {
	struct tw_relay_client_config config;
	struct tw_relay_client_status status;
	struct tw_relay_keys keys;
	uint64_t instance, handle, counter;
	struct tw_noise noise;
	bool over;
	struct tw_relay_pipe in, out;
	const uint8_t *datagram;
	size_t datagram_length, datagram_taken;
	struct known_route *routes; /* owned */
	size_t route_count, route_room;
	struct destination *destinations; /* owned */
	size_t destination_count;
	tw_ns dial_at, heard, since, ping_at, ask_at, leg_at;
	unsigned unanswered;
	tw_ns asked_at;
	uint64_t asked;
	/* PUNCHes: the routes are gone through from @punch_place on; @punch_next: the earliest of
	 * those that it has passed. */
	tw_ns punch_at, punch_next;
	size_t punch_place;
};

int tw_relay_client_new(const struct tw_relay_client_config *config, tw_ns now,
			struct tw_relay_client **ret)
{
	struct tw_relay_client *client = calloc(1, sizeof *client);
	int r;

	if (!client)
		return -ENOMEM;
	client->config = *config;
	r = tw_relay_keys_make(config->identity, &config->relay, &config->relay, &client->keys);
	if (r) {
		free(client);
		return r;
	}
	client->instance = tw_random_u64(&config->random);
	client->status.port = config->port;
	client->status.tunnelled = config->tunnelled;
	client->dial_at = now;
	client->punch_at = client->punch_next = TW_NEVER;
	tw_relay_pipe_init(&client->in, IN_MAX);
	tw_relay_pipe_init(&client->out, OUT_MAX);
	*ret = client;
	return 0;
}

void tw_relay_client_free(struct tw_relay_client *client)
{
	if (!client)
		return;
	tw_noise_wipe(&client->noise);
	tw_relay_pipe_deinit(&client->in);
	tw_relay_pipe_deinit(&client->out);
	free(client->routes);
	free(client->destinations);
	tw_wipe(&client->keys, sizeof client->keys);
	free(client);
}

static bool busy(const struct tw_relay_client *client)
{
	return client->route_count > 0 || client->destination_count > 0;
}

/* There is something to be noticed soon from now on. */
static void hurry(struct tw_relay_client *client, tw_ns now)
{
	client->ask_at = tw_ns_min(client->ask_at, now + LEG_BUSY);
	client->leg_at = tw_ns_min(client->leg_at, now + LEG_BUSY);
	client->ping_at = tw_ns_min(client->ping_at, now + PING_BUSY);
}

static void say(struct tw_relay_client *client, const struct tw_relay_message *message)
{
	if (tw_relay_pipe_say(&client->out, message))
		client->over = true;
}

tw_ns tw_relay_client_dial_at(const struct tw_relay_client *client)
{
	return client->status.state == TW_RELAY_CLIENT_APART ? client->dial_at : TW_NEVER;
}

void tw_relay_client_connected(struct tw_relay_client *client,
			       const uint8_t binding[TW_RELAY_BINDING], tw_ns now)
{
	uint8_t prologue[TW_RELAY_PROLOGUE], message[TW_NOISE_OVERHEAD_1];
	struct tw_relay_message hello = { .type = TW_RELAY_HELLO,
					  .number = TW_RELAY_VERSION,
					  .bytes = message };
	struct tw_secret ephemeral;
	int r;

	tw_random_fill(&client->config.random, ephemeral.bytes, sizeof ephemeral.bytes);
	r = tw_noise_init(&client->noise, client->config.identity, &ephemeral,
			  &client->config.relay, prologue, tw_relay_prologue(binding, prologue));
	if (!r)
		r = tw_noise_write(&client->noise, "", 0, message, sizeof message, &hello.length);
	tw_wipe(&ephemeral, sizeof ephemeral);
	client->status.state = TW_RELAY_CLIENT_HELLO;
	client->heard = client->since = now;
	client->over = r != 0;
	if (!r)
		say(client, &hello);
}

void tw_relay_client_disconnected(struct tw_relay_client *client, tw_ns now)
{
	tw_ns pause = REDIAL_FIRST << (client->status.failures < 4 ? client->status.failures : 4);

	if (pause > REDIAL_MAX)
		pause = REDIAL_MAX;
	/* At once after a good connection: it may have been the network or a restart. */
	if (client->status.state == TW_RELAY_CLIENT_SERVED)
		pause = 0;
	if (client->status.refusal != TW_RELAY_OK && client->status.refusal != TW_RELAY_ENDS)
		pause = REDIAL_REFUSED;
	client->status.failures++;
	client->dial_at = now + pause;
	client->status.state = TW_RELAY_CLIENT_APART;
	client->over = false;
	client->datagram = NULL;
	client->datagram_taken = 0;
	tw_noise_wipe(&client->noise);
	tw_relay_pipe_deinit(&client->in);
	tw_relay_pipe_deinit(&client->out);
	tw_relay_pipe_init(&client->in, IN_MAX);
	tw_relay_pipe_init(&client->out, OUT_MAX);
}

bool tw_relay_client_dead(const struct tw_relay_client *client)
{
	return client->over;
}

static void take_welcome(struct tw_relay_client *client, const struct tw_relay_message *message)
{
	uint8_t payload[TW_RELAY_MESSAGE_MAX];
	struct tw_relay_message wish = { .type = TW_RELAY_REGISTER,
					 .number = client->instance,
					 .flags = client->config.accepts ? TW_RELAY_ACCEPTS : 0,
					 .port = client->status.port };
	size_t length;

	if (tw_noise_read(&client->noise, message->bytes, message->length, payload, &length) ||
	    length < 1) {
		client->over = true;
		return;
	}
	if (payload[0] != TW_RELAY_OK) {
		client->status.refusal = TW_RELAY_NOT_ALLOWED;
		client->over = true;
		return;
	}
	client->status.state = TW_RELAY_CLIENT_ASKING;
	say(client, &wish);
}

static void say_destination(struct tw_relay_client *client, size_t index)
{
	const struct tw_relay_message message = { .type = TW_RELAY_DESTINATION,
						  .number = index,
						  .address = client->destinations[index].to };

	say(client, &message);
}

static void say_mode(struct tw_relay_client *client)
{
	const struct tw_relay_message message = { .type = TW_RELAY_MODE,
						  .flags = client->status.tunnelled };

	say(client, &message);
}

/* All that a relay which has just been started must know again. */
static void take_registered(struct tw_relay_client *client, const struct tw_relay_message *message,
			    tw_ns now)
{
	client->status.state = TW_RELAY_CLIENT_SERVED;
	client->status.served_ever = true;
	client->status.failures = 0;
	client->status.refusal = TW_RELAY_OK;
	client->status.port = message->port;
	client->status.public = message->address;
	client->status.seen_tcp = message->seen;
	client->handle = message->number;
	client->ping_at = now + PING_BUSY;
	client->ask_at = client->leg_at = now;
	client->unanswered = 0;
	if (client->status.tunnelled)
		say_mode(client);
	for (size_t i = 0; i < client->destination_count; i++)
		say_destination(client, i);
	for (size_t i = 0; i < client->route_count; i++) {
		const struct known_route *route = &client->routes[i];
		const struct tw_relay_message restore = { .type = TW_RELAY_ROUTE,
							  .flags = route->flags,
							  .server_cid = route->server_cid,
							  .peer_cid = route->peer_cid,
							  .address = route->peer };

		say(client, &restore);
	}
}

static size_t find_route(const struct tw_relay_client *client, uint64_t server_cid)
{
	size_t i = 0;

	while (i < client->route_count && client->routes[i].server_cid != server_cid)
		i++;
	return i;
}

static void remember(struct tw_relay_client *client, const struct tw_relay_message *message,
		     tw_ns now)
{
	size_t place = find_route(client, message->server_cid);
	bool known = place < client->route_count;
	struct known_route *grown;

	if (place == TW_RELAY_CLIENT_ROUTES_MAX)
		return;
	if (place == client->route_room) {
		size_t room = client->route_room ? client->route_room * 2 : 16;

		grown = realloc(client->routes, room * sizeof *grown);
		if (!grown)
			return;
		client->routes = grown;
		client->route_room = room;
	}
	if (known && tw_address_equal(&client->routes[place].peer, &message->address))
		return;
	client->punch_at = now;
	client->routes[place] = (struct known_route){ .server_cid = message->server_cid,
						      .peer_cid = message->peer_cid,
						      .peer = message->address,
						      .flags = message->flags };
	if (!known)
		client->route_count++;
	hurry(client, now);
}

static void forget(struct tw_relay_client *client, uint64_t server_cid)
{
	size_t place = find_route(client, server_cid);

	if (place < client->route_count)
		client->routes[place] = client->routes[--client->route_count];
}

static void take_seen(struct tw_relay_client *client, const struct tw_relay_message *message,
		      tw_ns now)
{
	size_t place = find_route(client, message->server_cid);

	if (!message->server_cid) {
		client->status.seen_leg = message->address;
	} else if (place < client->route_count) {
		client->routes[place].direct = message->address;
		client->routes[place].punches = 0;
		client->routes[place].punch_at = client->punch_at = now;
	}
}

static void take_refused(struct tw_relay_client *client, const struct tw_relay_message *message)
{
	client->status.refusal = (enum tw_relay_refusal)message->refusal;
	memcpy(client->status.text, message->bytes, message->length);
	client->status.text[message->length] = '\0';
	client->over = true;
}

static void take_destination(struct tw_relay_client *client, const struct tw_relay_message *message)
{
	struct destination *destination;

	if (message->number >= client->destination_count)
		return;
	destination = &client->destinations[message->number];
	if (destination->state == TW_E_AGAIN)
		client->status.destinations_known++;
	destination->state = message->refusal == TW_RELAY_OK ? 0 : TW_E_DENIED;
}

static void take_served(struct tw_relay_client *client, const struct tw_relay_message *message,
			tw_ns now)
{
	struct tw_relay_message pong = { .type = TW_RELAY_PONG, .number = message->number };

	switch (message->type) {
	case TW_RELAY_ROUTE:
		remember(client, message, now);
		break;
	case TW_RELAY_ROUTE_GONE:
		forget(client, message->server_cid);
		break;
	case TW_RELAY_SEEN:
		take_seen(client, message, now);
		break;
	case TW_RELAY_DESTINATION_ANSWER:
		take_destination(client, message);
		hurry(client, now);
		break;
	case TW_RELAY_PING:
		say(client, &pong);
		break;
	case TW_RELAY_PONG:
		break;
	default:
		client->over = true;
	}
}

static void take(struct tw_relay_client *client, const struct tw_relay_message *message, tw_ns now)
{
	if (message->type == TW_RELAY_REFUSED)
		take_refused(client, message);
	else if (client->status.state == TW_RELAY_CLIENT_HELLO && message->type == TW_RELAY_WELCOME)
		take_welcome(client, message);
	else if (client->status.state == TW_RELAY_CLIENT_ASKING &&
		 message->type == TW_RELAY_REGISTERED)
		take_registered(client, message, now);
	else if (client->status.state == TW_RELAY_CLIENT_SERVED)
		take_served(client, message, now);
	else
		client->over = true;
}

static void work(struct tw_relay_client *client, tw_ns now)
{
	while (!client->over && !client->datagram_taken) {
		struct tw_relay_message message;
		size_t taken = 0;
		int r = tw_relay_message_read(tw_relay_pipe_front(&client->in),
					      tw_relay_pipe_length(&client->in), &message, &taken);

		if (r == TW_E_AGAIN)
			return;
		if (!r && message.type == TW_RELAY_DATAGRAM &&
		    client->status.state == TW_RELAY_CLIENT_SERVED) {
			client->datagram = message.bytes;
			client->datagram_length = message.length;
			client->datagram_taken = taken;
			return;
		}
		if (!r)
			take(client, &message, now);
		else if (r == TW_E_FORMAT)
			client->over = true;
		tw_relay_pipe_take(&client->in, taken);
	}
}

size_t tw_relay_client_receive(struct tw_relay_client *client, const uint8_t *bytes, size_t length,
			       tw_ns now)
{
	size_t done = 0;

	client->heard = now;
	while (done < length && !client->over && !client->datagram_taken) {
		size_t room = IN_MAX - tw_relay_pipe_length(&client->in);
		size_t part = length - done < room ? length - done : room;

		if (!part || tw_relay_pipe_put(&client->in, bytes + done, part)) {
			client->over = true;
			break;
		}
		done += part;
		work(client, now);
	}
	return client->over ? length : done;
}

bool tw_relay_client_datagram(struct tw_relay_client *client, tw_ns now, const uint8_t **ret_bytes,
			      size_t *ret_length)
{
	if (client->datagram_taken && !client->datagram) {
		tw_relay_pipe_take(&client->in, client->datagram_taken);
		client->datagram_taken = 0;
		work(client, now);
	}
	if (!client->datagram_taken)
		return false;
	*ret_bytes = client->datagram;
	*ret_length = client->datagram_length;
	client->datagram = NULL;
	return true;
}

int tw_relay_client_tunnel(struct tw_relay_client *client, const uint8_t *bytes, size_t length)
{
	const struct tw_relay_message message = { .type = TW_RELAY_DATAGRAM,
						  .bytes = bytes,
						  .length = length };

	if (client->status.state != TW_RELAY_CLIENT_SERVED || client->over)
		return TW_E_CLOSED;
	if (!length || length > TW_DATAGRAM_MAX ||
	    tw_relay_pipe_length(&client->out) + length > QUEUE_MAX)
		return TW_E_FULL;
	return tw_relay_pipe_say(&client->out, &message);
}

const uint8_t *tw_relay_client_output(const struct tw_relay_client *client, size_t *ret_length)
{
	*ret_length = tw_relay_pipe_length(&client->out);
	return tw_relay_pipe_front(&client->out);
}

void tw_relay_client_sent(struct tw_relay_client *client, size_t length)
{
	tw_relay_pipe_take(&client->out, length);
}

static tw_ns silence_limit(const struct tw_relay_client *client)
{
	if (client->status.state != TW_RELAY_CLIENT_SERVED)
		return CONNECT_LIMIT;
	return busy(client) ? SILENT_BUSY : SILENT_IDLE;
}

void tw_relay_client_timeout(struct tw_relay_client *client, tw_ns now)
{
	const struct tw_relay_message ping = { .type = TW_RELAY_PING, .number = now };

	if (client->status.state == TW_RELAY_CLIENT_APART || client->over)
		return;
	if (tw_ns_since(now, client->heard) >= silence_limit(client)) {
		client->over = true;
		return;
	}
	if (client->status.state == TW_RELAY_CLIENT_SERVED && now >= client->ping_at) {
		client->ping_at = now + (busy(client) ? PING_BUSY : PING_IDLE);
		say(client, &ping);
	}
}

static bool punches(const struct tw_relay_client *client)
{
	return client->status.state == TW_RELAY_CLIENT_SERVED && client->config.accepts &&
	       !client->status.tunnelled && !client->over;
}

tw_ns tw_relay_client_deadline(const struct tw_relay_client *client)
{
	tw_ns at;

	if (client->status.state == TW_RELAY_CLIENT_APART)
		return client->dial_at;
	if (client->over)
		return 0;
	at = client->heard + silence_limit(client);
	if (client->status.state == TW_RELAY_CLIENT_SERVED)
		at = tw_ns_min(at, tw_ns_min(client->ping_at,
					     tw_ns_min(client->ask_at, client->leg_at)));
	if (punches(client))
		at = tw_ns_min(at, client->punch_at);
	return at;
}

static void set_tunnelled(struct tw_relay_client *client, bool tunnelled, tw_ns now)
{
	if (client->status.tunnelled == tunnelled || client->config.tunnelled)
		return;
	client->status.tunnelled = tunnelled;
	if (tunnelled)
		client->status.seen_udp = client->status.seen_leg =
			(struct tw_address){ .family = TW_FAMILY_NONE };
	say_mode(client);
	client->leg_at = now;
}

static size_t make_leg(struct tw_relay_client *client, uint8_t flags, uint8_t *ret)
{
	const struct tw_relay_leg leg = { .type = TW_RELAY_LEG,
					  .flags = flags,
					  .handle = client->handle,
					  .counter = ++client->counter };

	return tw_relay_leg_write(&leg, &client->keys.leg, ret);
}

/* Soon again, for there may be no answer; one puts the next question off. */
static tw_ns ask_pause(const struct tw_relay_client *client)
{
	if (client->status.tunnelled || !client->status.udp_rtt)
		return LEG_BUSY;
	return tw_ns_max(ASK_AGAIN, 2 * client->status.udp_rtt);
}

size_t tw_relay_client_leg(struct tw_relay_client *client, tw_ns now, bool *ret_asks,
			   uint8_t ret[TW_RELAY_LEG_SIZE])
{
	if (client->status.state != TW_RELAY_CLIENT_SERVED || client->over ||
	    client->config.tunnelled)
		return 0;
	if (now >= client->ask_at) {
		if (++client->unanswered > UDP_MISSING)
			set_tunnelled(client, true, now);
		client->ask_at = now + ask_pause(client);
		client->asked_at = now;
		*ret_asks = true;
		client->asked = client->counter + 1;
		return make_leg(client, TW_RELAY_LEG_ASKS, ret);
	}
	if (now >= client->leg_at) {
		client->leg_at = now + (busy(client) ? LEG_BUSY : LEG_IDLE);
		*ret_asks = false;
		return make_leg(client, 0, ret);
	}
	return 0;
}

/* The peer tries this way when it has just come, and then every half minute. */
static tw_ns punch_pause(const struct known_route *route)
{
	static const tw_ns pauses[] = { 100 * TW_MSEC, 200 * TW_MSEC, 500 * TW_MSEC, TW_SECOND,
					4 * TW_SECOND };

	return route->punches < sizeof pauses / sizeof *pauses ? pauses[route->punches]
							       : PUNCH_LATER;
}

static size_t make_punch(struct tw_relay_client *client, struct known_route *route,
			 struct tw_address *ret_to, uint8_t *ret)
{
	uint8_t token[TW_PROBE_TOKEN_SIZE];
	const struct tw_datagram punch = { .type = TW_DATAGRAM_PROBE,
					   .dcid = route->peer_cid,
					   .token = token };

	tw_random_fill(&client->config.random, token, sizeof token);
	*ret_to = route->direct.family != TW_FAMILY_NONE ? route->direct : route->peer;
	return tw_datagram_write_probe(&punch, ret, TW_PROBE_SIZE);
}

size_t tw_relay_client_punch(struct tw_relay_client *client, tw_ns now, struct tw_address *ret_to,
			     uint8_t ret[TW_PROBE_SIZE])
{
	if (!punches(client) || now < client->punch_at)
		return 0;
	while (client->punch_place < client->route_count) {
		struct known_route *route = &client->routes[client->punch_place++];
		bool due = !(route->flags & TW_RELAY_OUTGOING) && now >= route->punch_at;

		if (route->flags & TW_RELAY_OUTGOING)
			continue;
		if (due) {
			route->punch_at = now + punch_pause(route);
			route->punches++;
		}
		client->punch_next = tw_ns_min(client->punch_next, route->punch_at);
		if (due)
			return make_punch(client, route, ret_to, ret);
	}
	client->punch_place = 0;
	client->punch_at = client->punch_next;
	client->punch_next = TW_NEVER;
	return 0;
}

void tw_relay_client_leg_answer(struct tw_relay_client *client, const uint8_t *bytes, size_t length,
				tw_ns now)
{
	struct tw_relay_leg seen;

	if (client->status.state != TW_RELAY_CLIENT_SERVED ||
	    tw_relay_leg_read(bytes, length, &client->keys.leg, &seen) ||
	    seen.type != TW_RELAY_LEG_SEEN || seen.handle != client->handle)
		return;
	client->unanswered = 0;
	client->status.seen_udp = seen.seen;
	client->ask_at = now + (busy(client) ? LEG_BUSY : LEG_IDLE);
	if (seen.counter == client->asked)
		client->status.udp_rtt = tw_ns_max(tw_ns_since(now, client->asked_at), 1);
	set_tunnelled(client, false, now);
}

int tw_relay_client_destination(struct tw_relay_client *client, const struct tw_address *to,
				struct tw_ticket *ret)
{
	size_t index = 0;
	struct destination *grown;

	while (index < client->destination_count &&
	       !tw_address_equal(&client->destinations[index].to, to))
		index++;
	if (index == client->destination_count) {
		if (index == TW_RELAY_CLIENT_DESTINATIONS_MAX)
			return TW_E_FULL;
		grown = realloc(client->destinations, (index + 1) * sizeof *grown);
		if (!grown)
			return TW_E_FULL;
		client->destinations = grown;
		client->destinations[index] =
			(struct destination){ .to = *to, .state = TW_E_AGAIN };
		client->destination_count++;
		if (client->status.state == TW_RELAY_CLIENT_SERVED)
			say_destination(client, index);
	}
	ret->key = client->keys.ticket;
	ret->index = (uint32_t)index;
	return 0;
}

int tw_relay_client_destination_state(const struct tw_relay_client *client, uint32_t index)
{
	return index < client->destination_count ? client->destinations[index].state : TW_E_AGAIN;
}

void tw_relay_client_status(const struct tw_relay_client *client,
			    struct tw_relay_client_status *ret)
{
	*ret = client->status;
	ret->routes = client->route_count;
}
