/*
 * relay.c - being reached through a relay: the agent that keeps the receiving worker registered,
 * and what is shown of it. A relay that cannot be reached yet is tried for ever.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"
#include "netio/sockaddr.h"

/* Where the routes of now leave from, and all that were here at the start. */
static unsigned own_addresses(const struct tw_engine *engine, struct tw_address *ret, unsigned room)
{
	unsigned count = tw_local_addresses(ret, room);

	for (unsigned i = 0; i < engine->own_address_count && count < room; i++) {
		bool known = false;

		for (unsigned k = 0; k < count && !known; k++)
			known = tw_address_equal(&ret[k], &engine->own_addresses[i]);
		if (!known)
			ret[count++] = engine->own_addresses[i];
	}
	return count;
}

/* Who comes by the relay and can reach us without it shall: at our own addresses, at the one that
 * the operator names, and at the one that the relay sees. */
static void offer_direct_ways(struct tw_engine *engine, const struct tw_relay_agent_status *status)
{
	const char *external = engine->options.external_address;
	struct tw_address own[TW_OFFERS_MAX], offers[TW_OFFERS_MAX];
	unsigned count = 0;

	if (external && tw_address_parse_ip(external, &own[0]))
		count++;
	count += own_addresses(engine, own + count, TW_OFFERS_MAX - 1 - count);
	for (unsigned i = 0; i < count; i++)
		own[i].port = engine->options.receive_ports[0];
	count = tw_relay_agent_offers(status, own, count, offers);
	/* A full ring: what was offered before is as good, or it is told with the next change. */
	for (unsigned i = 0; i < engine->link_count; i++)
		(void)tw_worker_set_offers(engine->links[i].worker, offers, count);
}

static void look(struct tw_engine *engine, struct tw_relay_agent_status *ret)
{
	const struct tw_address *seen = &ret->client.seen_leg;

	tw_relay_agent_status(engine->relay, ret);
	if (!tw_address_equal(seen, &engine->relay_seen))
		offer_direct_ways(engine, ret);
	engine->relay_seen = *seen;
}

static void on_news(evutil_socket_t fd, short what, void *context)
{
	struct tw_relay_agent_status status;

	(void)fd;
	(void)what;
	look(context, &status);
}

int tw_engine_relay_open(struct tw_engine *engine, struct tw_worker *worker, char ret_message[512])
{
	struct tw_relay_agent_options options = { .identity = engine->options.identity,
						  .port = engine->options.relay_port,
						  .key = engine->options.relay_key,
						  .resolve = tw_engine_look_up,
						  .resolve_context = engine };
	struct tw_relay_agent_status status;
	int r;

	if (!engine->options.relay_host)
		return 0;
	snprintf(options.host, sizeof(options.host), "%s", engine->options.relay_host);
	for (unsigned i = 0; options.socket_count < TW_RELAY_AGENT_SOCKETS_MAX; i++) {
		const struct tw_udp *udp = tw_worker_socket(worker, i);

		if (!udp)
			break;
		options.sockets[options.socket_count++] = udp;
	}
	r = tw_relay_agent_new(&options, &engine->relay);
	if (r)
		snprintf(ret_message, 512, "The relay %s cannot be used: %s.", options.host,
			 tw_strerror(r));
	if (r)
		return r;
	engine->relay_readable = event_new(engine->base, tw_relay_agent_fd(engine->relay),
					   EV_READ | EV_PERSIST, on_news, engine);
	if (!engine->relay_readable || event_add(engine->relay_readable, NULL)) {
		snprintf(ret_message, 512, "The relay cannot be used: %s.", tw_strerror(-ENOMEM));
		return -ENOMEM;
	}
	engine->own_address_count = tw_local_addresses(engine->own_addresses, TW_OFFERS_MAX - 1);
	tw_relay_agent_status(engine->relay, &status);
	offer_direct_ways(engine, &status);
	return 0;
}

void tw_engine_relay_close(struct tw_engine *engine)
{
	if (engine->relay_readable)
		event_free(engine->relay_readable);
	engine->relay_readable = NULL;
	tw_relay_agent_free(engine->relay);
	engine->relay = NULL;
}

bool tw_engine_by_relay(struct tw_engine *engine, const struct tw_address *remote,
			struct tw_address *ret)
{
	struct tw_relay_agent_status status;

	if (!engine->relay || !tw_relay_agent_is(engine->relay, remote))
		return false;
	look(engine, &status);
	*ret = tw_address_equal(remote, &status.local) ? status.control : status.via;
	return true;
}

void tw_engine_relay_view(struct tw_engine *engine, struct tw_receiver_view *ret)
{
	struct tw_relay_agent_status status;
	char text[TW_ADDRESS_TEXT];

	ret->relay_ip = engine->options.relay_host;
	ret->relay_port = engine->options.relay_host ? engine->options.relay_port : TW_UNSET;
	if (!engine->relay)
		return;
	look(engine, &status);
	if (status.via.family == TW_FAMILY_NONE)
		return;
	/* What senders dial. */
	snprintf(engine->relay_ip, sizeof(engine->relay_ip), "%s",
		 tw_address_format_ip(&status.via, text));
	ret->relay_ip = engine->relay_ip;
	ret->relay_port = status.via.port;
}
