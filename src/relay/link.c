/* link.c - a control connection: keys first, then registration, then what a server tells. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "relay/relay_private.h"

#define IN_MAX ((size_t)TW_RELAY_MESSAGE_ROOM * 2)
#define OUT_MAX (TW_RELAY_LINK_QUEUE + ((size_t)1 << 20))

int tw_relay_link_new(struct tw_relay *relay, const uint8_t binding[TW_RELAY_BINDING],
		      const struct tw_address *from, tw_ns now, struct tw_relay_link **ret)
{
	struct tw_relay_link *link = calloc(1, sizeof *link);

	if (!link)
		return -ENOMEM;
	link->relay = relay;
	memcpy(link->binding, binding, sizeof link->binding);
	link->from = *from;
	link->born = link->heard = now;
	tw_relay_pipe_init(&link->in, IN_MAX);
	tw_relay_pipe_init(&link->out, OUT_MAX);
	link->next = relay->links;
	if (link->next)
		link->next->previous = link;
	relay->links = link;
	*ret = link;
	return 0;
}

/* The server goes on without: datagrams by UDP are not touched by the loss of a link. */
static void leave_server(struct tw_relay_link *link, tw_ns now)
{
	struct tw_relay_server *server = link->server;

	link->server = NULL;
	if (!server)
		return;
	server->link = NULL;
	if (server->leg.link)
		server->leg.there = false;
	server->tunnelled = false;
	relay_server_timer(server, now + TW_RELAY_GRACE);
}

void tw_relay_link_free(struct tw_relay_link *link, tw_ns now)
{
	leave_server(link, now);
	*(link->previous ? &link->previous->next : &link->relay->links) = link->next;
	if (link->next)
		link->next->previous = link->previous;
	tw_relay_pipe_deinit(&link->in);
	tw_relay_pipe_deinit(&link->out);
	free(link);
}

void link_say(struct tw_relay_link *link, const struct tw_relay_message *message)
{
	/* A server that does not read what it is told is no use to anybody. */
	if (link->state != LINK_OVER && tw_relay_pipe_say(&link->out, message))
		link->state = LINK_OVER;
}

void link_queue_datagram(struct tw_relay_link *link, const uint8_t *bytes, size_t length)
{
	const struct tw_relay_message message = { .type = TW_RELAY_DATAGRAM,
						  .bytes = bytes,
						  .length = length };

	if (!link || link->state != LINK_REGISTERED ||
	    tw_relay_pipe_length(&link->out) + length > TW_RELAY_LINK_QUEUE ||
	    tw_relay_pipe_say(&link->out, &message)) {
		if (link && link->server)
			link->server->counters.tunnelled_dropped++;
	}
}

void link_refuse(struct tw_relay_link *link, enum tw_relay_refusal refusal, const char *text)
{
	const struct tw_relay_message message = { .type = TW_RELAY_REFUSED,
						  .refusal = (uint8_t)refusal,
						  .bytes = (const uint8_t *)text,
						  .length = strlen(text) };

	link_say(link, &message);
	link->state = LINK_OVER;
}

static void take_hello(struct tw_relay_link *link, const struct tw_relay_message *hello)
{
	const struct tw_relay_config *config = &link->relay->config;
	uint8_t prologue[TW_RELAY_PROLOGUE], payload[TW_RELAY_MESSAGE_MAX], answer[256], status;
	struct tw_relay_message welcome = { .type = TW_RELAY_WELCOME, .bytes = answer };
	struct tw_secret ephemeral;
	struct tw_noise noise;
	size_t length;
	int r;

	/* Who does not know the relay's key learns nothing, not even that this is a relay. */
	link->state = LINK_OVER;
	if (hello->number != TW_RELAY_VERSION)
		return;
	tw_random_fill(&config->random, ephemeral.bytes, sizeof ephemeral.bytes);
	r = tw_noise_init(&noise, config->identity, &ephemeral, NULL, prologue,
			  tw_relay_prologue(link->binding, prologue));
	if (!r)
		r = tw_noise_read(&noise, hello->bytes, hello->length, payload, &length);
	if (!r) {
		link->key = noise.peer;
		status = config->allowed(config->context, &noise.peer) ? TW_RELAY_OK
								       : TW_RELAY_NOT_ALLOWED;
		r = tw_noise_write(&noise, &status, 1, answer, sizeof answer, &welcome.length);
	}
	if (!r) {
		link->state = LINK_REGISTER;
		link_say(link, &welcome);
		if (status != TW_RELAY_OK)
			link->state = LINK_OVER;
	}
	tw_noise_wipe(&noise);
	tw_wipe(&ephemeral, sizeof ephemeral);
}

/* The same run of the same program keeps everything; another one takes the place over. */
static void take_over(struct tw_relay_server *server, const struct tw_relay_message *wish)
{
	if (server->instance != wish->number) {
		server_free_routes(server);
		memset(&server->leg, 0, sizeof server->leg);
		server->instance = wish->number;
	}
	if (server->link) {
		link_refuse(server->link, TW_RELAY_REPLACED,
			    "another program with this key has registered");
		server->link->server = NULL;
		server->link = NULL;
		server->tunnelled = false;
		if (server->leg.link)
			server->leg.there = false;
	}
}

static void take_register(struct tw_relay_link *link, const struct tw_relay_message *wish)
{
	struct tw_relay *relay = link->relay;
	struct tw_relay_server *server =
		relay_server_find(relay, &link->key, wish->flags & TW_RELAY_ACCEPTS, wish->number);
	struct tw_relay_message registered = { .type = TW_RELAY_REGISTERED,
					       .address = relay->config.public_address,
					       .seen = link->from };

	if (server)
		take_over(server, wish);
	else
		server = relay_server_new(link, wish);
	if (!server) {
		link_refuse(link, TW_RELAY_FULL, "no port is free on this relay");
		return;
	}
	link->server = server;
	link->state = LINK_REGISTERED;
	server->link = link;
	server->handle = tw_random_u64(&relay->config.random);
	server->leg_counter = 0;
	server->told.family = TW_FAMILY_NONE;
	relay_server_timer(server, TW_NEVER);
	registered.number = server->handle;
	registered.port = server->port;
	link_say(link, &registered);
}

static enum tw_relay_refusal name_destination(struct tw_relay_server *server,
					      const struct tw_relay_message *message)
{
	const struct tw_relay_config *config = &server->relay->config;
	uint32_t index = (uint32_t)message->number, room = server->destination_room;
	struct tw_address *grown;

	if (index >= TW_RELAY_DESTINATIONS_MAX)
		return TW_RELAY_FULL;
	if (config->target ? !config->target(config->context, &message->address)
			   : !tw_relay_target_public(&message->address))
		return TW_RELAY_NOT_ALLOWED;
	if (index >= room) {
		room = index + 16;
		grown = realloc(server->destinations, room * sizeof *grown);
		if (!grown)
			return TW_RELAY_FULL;
		memset(grown + server->destination_room, 0,
		       (room - server->destination_room) * sizeof *grown);
		server->destinations = grown;
		server->destination_room = room;
	}
	server->destinations[index] = message->address;
	return TW_RELAY_OK;
}

static void take_mode(struct tw_relay_server *server, bool tunnelled)
{
	const struct tw_relay_end end = { .there = true, .link = true };

	server->tunnelled = tunnelled;
	/* Back to UDP the next LEG brings it. */
	if (tunnelled)
		server_set_leg(server, &end);
}

static void take_registered(struct tw_relay_link *link, const struct tw_relay_message *message,
			    tw_ns now)
{
	struct tw_relay_server *server = link->server;
	struct tw_relay_message answer = { .number = message->number };

	switch (message->type) {
	case TW_RELAY_MODE:
		take_mode(server, message->flags);
		break;
	case TW_RELAY_DESTINATION:
		answer.type = TW_RELAY_DESTINATION_ANSWER;
		answer.refusal = (uint8_t)name_destination(server, message);
		link_say(link, &answer);
		break;
	case TW_RELAY_ROUTE:
		/* What cannot be had again is dialled again. */
		(void)server_restore(server, message, now);
		break;
	case TW_RELAY_ROUTE_GONE:
		server_drop_route(server, message->server_cid);
		break;
	case TW_RELAY_PING:
		answer.type = TW_RELAY_PONG;
		link_say(link, &answer);
		break;
	case TW_RELAY_PONG:
		break;
	default:
		link_refuse(link, TW_RELAY_BAD, "a message that has no place here");
	}
}

static void take(struct tw_relay_link *link, const struct tw_relay_message *message, tw_ns now)
{
	if (link->state == LINK_HELLO && message->type == TW_RELAY_HELLO)
		take_hello(link, message);
	else if (link->state == LINK_REGISTER && message->type == TW_RELAY_REGISTER)
		take_register(link, message);
	else if (link->state == LINK_REGISTERED && link->server)
		take_registered(link, message, now);
	else
		link->state = LINK_OVER;
}

/* Works through what is there, up to a datagram, which waits to be fetched. */
static void work(struct tw_relay_link *link, tw_ns now)
{
	while (link->state != LINK_OVER && !link->datagram_taken) {
		struct tw_relay_message message;
		size_t taken = 0;
		int r = tw_relay_message_read(tw_relay_pipe_front(&link->in),
					      tw_relay_pipe_length(&link->in), &message, &taken);

		if (r == TW_E_AGAIN)
			return;
		if (!r && message.type == TW_RELAY_DATAGRAM && link->state == LINK_REGISTERED) {
			link->datagram = message;
			link->datagram_taken = taken;
			return;
		}
		if (!r)
			take(link, &message, now);
		else if (r == TW_E_FORMAT)
			link->state = LINK_OVER;
		tw_relay_pipe_take(&link->in, taken);
	}
}

size_t tw_relay_link_receive(struct tw_relay_link *link, const uint8_t *bytes, size_t length,
			     tw_ns now)
{
	size_t done = 0;

	link->heard = now;
	while (done < length && link->state != LINK_OVER && !link->datagram_taken) {
		size_t room = IN_MAX - tw_relay_pipe_length(&link->in);
		size_t part = length - done < room ? length - done : room;

		if (!part || tw_relay_pipe_put(&link->in, bytes + done, part)) {
			link->state = LINK_OVER;
			break;
		}
		done += part;
		work(link, now);
	}
	return link->state == LINK_OVER ? length : done;
}

bool tw_relay_link_datagram(struct tw_relay_link *link, tw_ns now, const uint8_t **ret_bytes,
			    struct tw_relay_hop *ret)
{
	struct tw_relay_train train = { .from = { .there = true, .link = true } };

	/* The last one has been sent by now. */
	if (link->datagram_taken) {
		if (!link->datagram.bytes) {
			tw_relay_pipe_take(&link->in, link->datagram_taken);
			link->datagram_taken = 0;
			work(link, now);
		}
	}
	if (!link->datagram_taken || link->state != LINK_REGISTERED || !link->server)
		return false;
	train.bytes = link->datagram.bytes;
	train.length = link->datagram.length;
	train.segment = (uint32_t)link->datagram.length;
	tw_relay_forward(link->relay, link->server, &train, now, ret);
	*ret_bytes = train.bytes;
	link->datagram.bytes = NULL;
	return true;
}

const uint8_t *tw_relay_link_output(const struct tw_relay_link *link, size_t *ret_length)
{
	*ret_length = tw_relay_pipe_length(&link->out);
	return tw_relay_pipe_front(&link->out);
}

void tw_relay_link_sent(struct tw_relay_link *link, size_t length)
{
	tw_relay_pipe_take(&link->out, length);
}

bool tw_relay_link_over(const struct tw_relay_link *link)
{
	return link->state == LINK_OVER;
}

struct tw_relay_server *tw_relay_link_server(const struct tw_relay_link *link)
{
	return link->server;
}

void link_timeout(struct tw_relay_link *link, tw_ns now)
{
	if ((link->state < LINK_REGISTERED && tw_ns_since(now, link->born) >= TW_RELAY_LINK_AUTH) ||
	    tw_ns_since(now, link->heard) >= TW_RELAY_LINK_SILENT)
		link->state = LINK_OVER;
}
