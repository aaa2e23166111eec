/*
 * relay.c - being reached through a relay: the agent that keeps the receiving worker registered,
 * and what is shown of it. A relay that cannot be reached yet is tried for ever.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"
#include "netio/sockaddr.h"

/* Who comes by the relay and can reach us without it shall: at our own addresses, and at the one
 * that the operator names. */
static void offer_direct_ways(struct tw_engine *engine, struct tw_worker *worker)
{
	const char *external = engine->options.external_address;
	struct tw_address offers[TW_OFFERS_MAX];
	unsigned count = tw_local_addresses(offers, TW_OFFERS_MAX - 1);

	if (external && tw_address_parse_ip(external, &offers[count]))
		count++;
	for (unsigned i = 0; i < count; i++)
		offers[i].port = engine->options.receive_ports[0];
	tw_worker_set_offers(worker, offers, count);
}

int tw_engine_relay_open(struct tw_engine *engine, struct tw_worker *worker, char ret_message[512])
{
	struct tw_relay_agent_options options = { .identity = engine->options.identity,
						  .port = engine->options.relay_port,
						  .key = engine->options.relay_key,
						  .resolve = tw_engine_look_up,
						  .resolve_context = engine };
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
	else
		offer_direct_ways(engine, worker);
	return r;
}

void tw_engine_relay_close(struct tw_engine *engine)
{
	tw_relay_agent_free(engine->relay);
	engine->relay = NULL;
}

void tw_engine_relay_view(struct tw_engine *engine, struct tw_receiver_view *ret)
{
	struct tw_relay_agent_status status;
	char text[TW_ADDRESS_TEXT];

	ret->relay_ip = engine->options.relay_host;
	ret->relay_port = engine->options.relay_host ? engine->options.relay_port : TW_UNSET;
	if (!engine->relay)
		return;
	tw_relay_agent_status(engine->relay, &status);
	if (status.via.family == TW_FAMILY_NONE)
		return;
	/* What senders dial. */
	snprintf(engine->relay_ip, sizeof(engine->relay_ip), "%s",
		 tw_address_format_ip(&status.via, text));
	ret->relay_ip = engine->relay_ip;
	ret->relay_port = status.via.port;
}
