/*
 * own_relay.c - relays of our own that destinations name for what goes out to them: one agent for
 * each relay, shared by all destinations that name it, there as long as one does.
 *
 * Such a destination is dialled by its relay or not at all. Its name is looked up here; for each
 * address the agent says where to send and with which ticket, and says so anew when the relay has
 * moved, gives another port, or is reached by the control connection only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "engine/pool.h"
#include "netio/sockaddr.h"
#include "relay/relay.h"

struct tw_own_relay {
	struct tw_pool_job job; /* of its end */
	struct tw_engine *engine;
	char *host;
	uint16_t port;
	char key[TW_KEY_TEXT];
	struct tw_relay_agent *agent;
	struct event *readable;
	struct tw_relay_agent_status status;
	TAILQ_HEAD(, tw_destination) users;
	TAILQ_ENTRY(tw_own_relay) link;
};

/* Options: "HOST[:PORT]#KEY" in one, or each by itself. */

static int bad(const char *name, const char *text, struct tw_fault *fault)
{
	return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, name, "%s", text);
}

/* @host[:@port], [@host]:@port; what has several colons is an IPv6 address. False: no port there
 * that could be read. */
static bool split_port(char *text, char **ret_host, uint16_t *ret_port)
{
	char *colon, *end = text;
	unsigned long port;

	*ret_host = text;
	if (*text == '[') {
		char *bracket = strchr(text, ']');

		if (!bracket)
			return false;
		*ret_host = text + 1;
		*bracket = '\0';
		end = bracket + 1;
		if (*end && *end != ':')
			return false;
		colon = *end ? end : NULL;
	} else {
		colon = strchr(text, ':');
		if (colon && strchr(colon + 1, ':'))
			colon = NULL;
	}
	if (!colon)
		return true;
	*colon = '\0';
	port = strtoul(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end || !port || port > UINT16_MAX)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

int tw_own_relay_options(const struct tw_destination_options *options,
			 struct tw_destination_settings *ret, struct tw_fault *fault)
{
	const char *hash = options->relay_address ? strchr(options->relay_address, '#') : NULL;
	const char *key = hash ? hash + 1 : options->relay_public_key;
	struct tw_public_key parsed;
	uint16_t port = 0;
	char *text, *host;

	if (!key)
		return TW_FAULT_NONE;
	if (!options->relay_address)
		return bad("relayAddress", "A relay's public key needs its address too.", fault);
	if (tw_public_key_parse(key, &parsed))
		return bad(
			hash ? "relayAddress" : "relayPublicKey",
			"That is not the public key of a relay: it has 43 letters, digits, - and "
			"_, behind the # of the line that `tradewind relay` prints.",
			fault);
	if (hash && options->relay_public_key && strcmp(options->relay_public_key, key) != 0)
		return bad("relayPublicKey", "relayAddress has another key behind its #.", fault);
	text = strndup(options->relay_address,
		       hash ? (size_t)(hash - options->relay_address) : SIZE_MAX);
	if (!text)
		return tw_no_memory(fault);
	if (!split_port(text, &host, &port) || tw_destination_check_host(host)) {
		free(text);
		return bad("relayAddress", "That is no relay: write HOST, or HOST[:PORT]#KEY.",
			   fault);
	}
	if (!port || options->relay_port)
		port = options->relay_port ? options->relay_port : TW_RELAY_PORT_CONTROL;
	tw_public_key_format(&parsed, ret->relay_key);
	ret->relay_port = port;
	ret->relay_address = strdup(host);
	free(text);
	return ret->relay_address ? TW_FAULT_NONE : tw_no_memory(fault);
}

/* The ways to a destination. */

static bool same_ways(const struct tw_destination *destination, const struct tw_address *remotes,
		      const struct tw_ticket *tickets, unsigned count)
{
	if (destination->remote_count != count)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (!tw_address_equal(&destination->remotes[i], &remotes[i]) ||
		    destination->tickets[i].index != tickets[i].index)
			return false;
	return true;
}

void tw_own_relay_ways(struct tw_destination *destination)
{
	struct tw_address remotes[TW_DIALER_ADDRESSES_MAX] = { 0 };
	struct tw_ticket tickets[TW_DIALER_ADDRESSES_MAX] = { 0 };
	unsigned count = 0;
	bool denied = false;

	if (!destination->relay)
		return;
	for (unsigned i = 0; i < destination->found_count; i++) {
		int r = tw_relay_agent_way(destination->relay->agent, &destination->found[i],
					   &remotes[count], &tickets[count]);

		denied = denied || r == TW_E_DENIED;
		count += r == 0;
	}
	destination->relay_denied = denied && !count;
	/* While the relay is away its old ways are as good as none: it may be back any moment. */
	if ((!count && !denied) || same_ways(destination, remotes, tickets, count))
		return;
	memcpy(destination->remotes, remotes, sizeof(remotes));
	memcpy(destination->tickets, tickets, sizeof(tickets));
	destination->remote_count = count;
	destination->changed = true;
	tw_queue_kick(destination);
}

static void on_news(evutil_socket_t fd, short what, void *context)
{
	struct tw_own_relay *relay = context;
	struct tw_destination *destination;

	(void)fd;
	(void)what;
	tw_relay_agent_status(relay->agent, &relay->status);
	TAILQ_FOREACH(destination, &relay->users, relay_link)
	tw_own_relay_ways(destination);
}

/* Coming and going. */

static void relay_free(struct tw_own_relay *relay)
{
	tw_relay_agent_free(relay->agent);
	free(relay->host);
	free(relay);
}

static int relay_new(struct tw_engine *engine, const struct tw_destination_settings *settings,
		     struct tw_own_relay **ret)
{
	struct tw_relay_agent_options options = { .identity = engine->options.identity,
						  .port = settings->relay_port,
						  .resolve = tw_engine_look_up,
						  .resolve_context = engine };
	struct tw_own_relay *relay = calloc(1, sizeof(*relay));
	int r;

	if (!relay || !tw_copy_text(settings->relay_address, &relay->host)) {
		free(relay);
		return -ENOMEM;
	}
	TAILQ_INIT(&relay->users);
	relay->engine = engine;
	relay->port = settings->relay_port;
	memcpy(relay->key, settings->relay_key, sizeof(relay->key));
	snprintf(options.host, sizeof(options.host), "%s", relay->host);
	r = tw_public_key_parse(relay->key, &options.key);
	if (!r)
		r = tw_relay_agent_new(&options, &relay->agent);
	if (!r) {
		relay->readable = event_new(engine->base, tw_relay_agent_fd(relay->agent),
					    EV_READ | EV_PERSIST, on_news, relay);
		if (!relay->readable || event_add(relay->readable, NULL))
			r = -ENOMEM;
	}
	if (r) {
		if (relay->readable)
			event_free(relay->readable);
		relay_free(relay);
		return r;
	}
	TAILQ_INSERT_TAIL(&engine->own_relays, relay, link);
	engine->own_relay_count++;
	*ret = relay;
	return 0;
}

int tw_own_relay_join(struct tw_destination *destination)
{
	struct tw_engine *engine = destination->object.engine;
	const struct tw_destination_settings *settings = &destination->settings;
	struct tw_own_relay *relay;
	int r = 0;

	if (!*settings->relay_key || destination->relay)
		return 0;
	TAILQ_FOREACH(relay, &engine->own_relays, link)
	if (relay->port == settings->relay_port && !strcmp(relay->key, settings->relay_key) &&
	    !strcmp(relay->host, settings->relay_address))
		break;
	if (!relay && engine->own_relay_count >= TW_OWN_RELAYS_MAX)
		return TW_E_FULL;
	if (!relay)
		r = relay_new(engine, settings, &relay);
	if (r)
		return r;
	destination->relay = relay;
	TAILQ_INSERT_TAIL(&relay->users, destination, relay_link);
	return 0;
}

static void end_agent(struct tw_pool_job *job)
{
	struct tw_own_relay *relay = TW_OWNER(job, struct tw_own_relay, job);

	tw_relay_agent_free(relay->agent);
	relay->agent = NULL;
}

static void agent_ended(struct tw_pool_job *job)
{
	relay_free(TW_OWNER(job, struct tw_own_relay, job));
}

static void take_out(struct tw_own_relay *relay)
{
	TAILQ_REMOVE(&relay->engine->own_relays, relay, link);
	relay->engine->own_relay_count--;
	event_free(relay->readable);
}

void tw_own_relay_leave(struct tw_destination *destination)
{
	struct tw_own_relay *relay = destination->relay;

	destination->relay = NULL;
	if (!relay)
		return;
	TAILQ_REMOVE(&relay->users, destination, relay_link);
	if (!TAILQ_EMPTY(&relay->users))
		return;
	take_out(relay);
	/* Its thread may be waiting for a name server. */
	relay->job.run = end_agent;
	relay->job.done = agent_ended;
	tw_pool_submit(relay->engine->resolver, &relay->job);
}

void tw_own_relays_close(struct tw_engine *engine)
{
	struct tw_destination *destination;
	struct tw_own_relay *relay;

	while ((relay = TAILQ_FIRST(&engine->own_relays))) {
		while ((destination = TAILQ_FIRST(&relay->users))) {
			TAILQ_REMOVE(&relay->users, destination, relay_link);
			destination->relay = NULL;
		}
		take_out(relay);
		relay_free(relay);
	}
}

/* What is shown. */

bool tw_own_relay_now(const struct tw_destination *destination, struct tw_address *ret)
{
	const struct tw_own_relay *relay = destination->relay;
	const struct tw_relay_agent_status *status = relay ? &relay->status : NULL;

	if (!relay)
		return false;
	*ret = status->client.tunnelled || status->via.family == TW_FAMILY_NONE ? status->control
										: status->via;
	return ret->family != TW_FAMILY_NONE;
}

bool tw_own_relay_trouble(const struct tw_destination *destination, char *ret, size_t room)
{
	const struct tw_own_relay *relay = destination->relay;
	const struct tw_relay_agent_status *status = relay ? &relay->status : NULL;
	const char *own_key = destination->object.engine->public_key;

	if (!*destination->settings.relay_key)
		return false;
	if (!relay) {
		snprintf(ret, room, "The relay cannot be used: this server has no means left.");
	} else if (status->client.refusal == TW_RELAY_NOT_ALLOWED) {
		snprintf(ret, room,
			 "The relay does not serve this server; there, allow its key: tradewind "
			 "relay --allow %s",
			 own_key);
	} else if (destination->relay_denied) {
		snprintf(ret, room,
			 "The relay does not send to this destination; there, allow it: tradewind "
			 "relay --to NETWORK");
	} else if (status->client.state == TW_RELAY_CLIENT_SERVED) {
		return false;
	} else if (status->client.refusal != TW_RELAY_OK) {
		snprintf(ret, room, "The relay sent this server away: %.200s.",
			 status->client.text);
	} else if (status->resolver[0]) {
		snprintf(ret, room, "The relay cannot be found: %.100s. Check its name.",
			 status->resolver);
	} else if (status->error == ECONNRESET) {
		snprintf(ret, room,
			 "The relay hangs up: it has another key than given, or is no relay; check "
			 "relayPublicKey.");
	} else {
		snprintf(ret, room,
			 "The relay does not answer%s%s: check that it runs and that firewalls let "
			 "TCP out to its port %u. It is tried again by itself.",
			 status->error ? ": " : "", status->error ? strerror(status->error) : "",
			 relay->port);
	}
	return true;
}
