/* relay.c - servers and their ports, limits, timers. */
#include "relay/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "relay/relay_private.h"

#define BURST (50 * TW_MSEC)
#define LINKS_EVERY TW_SECOND

int tw_relay_new(const struct tw_relay_config *config, tw_ns now, struct tw_relay **ret)
{
	struct tw_relay *relay = calloc(1, sizeof *relay);

	if (!relay)
		return -ENOMEM;
	relay->config = *config;
	if (!relay->config.servers_max)
		relay->config.servers_max = TW_RELAY_SERVERS_MAX;
	relay->servers = calloc(relay->config.servers_max, sizeof(struct tw_relay_server *));
	if (!relay->servers) {
		free(relay);
		return -ENOMEM;
	}
	tw_heap_init(&relay->route_timers);
	tw_heap_init(&relay->server_timers);
	tw_cookie_jar_init(&relay->cookies, &config->random, now);
	relay->links_at = now + LINKS_EVERY;
	*ret = relay;
	return 0;
}

static void server_free(struct tw_relay_server *server)
{
	struct tw_relay *relay = server->relay;
	struct tw_relay_server *last;

	server_free_routes(server);
	if (server->link)
		server->link->server = NULL;
	relay->config.close_port(relay->config.context, server);
	/* What still waits to leave by its port goes with it. */
	for (size_t i = 0; i < relay->reply_count; i++) {
		size_t place = (relay->reply_first + i) % TW_RELAY_REPLIES_MAX;

		if (relay->replies[place].server == server)
			relay->replies[place].server = NULL;
	}
	tw_heap_remove(&relay->server_timers, &server->timer);
	last = relay->servers[--relay->server_count];
	relay->servers[server->index] = last;
	last->index = server->index;
	tw_table_deinit(&server->by_cid[SERVER_SIDE]);
	tw_table_deinit(&server->by_cid[PEER_SIDE]);
	free(server->destinations);
	tw_wipe(server, sizeof *server);
	free(server);
}

void tw_relay_free(struct tw_relay *relay)
{
	if (!relay)
		return;
	while (relay->server_count)
		server_free(relay->servers[0]);
	tw_heap_deinit(&relay->route_timers);
	tw_heap_deinit(&relay->server_timers);
	tw_cookie_jar_wipe(&relay->cookies);
	free(relay->servers);
	free(relay);
}

struct tw_relay_server *relay_server_find(struct tw_relay *relay, const struct tw_public_key *key,
					  bool accepts, uint64_t instance)
{
	for (size_t i = 0; i < relay->server_count; i++) {
		struct tw_relay_server *server = relay->servers[i];

		/* Only one can be reached under a key; those that only send do not disturb. */
		if (memcmp(server->key.bytes, key->bytes, TW_KEY_SIZE) == 0 &&
		    server->accepts == accepts && (accepts || server->instance == instance))
			return server;
	}
	return NULL;
}

static bool port_taken(const struct tw_relay *relay, uint16_t port)
{
	for (size_t i = 0; i < relay->server_count; i++)
		if (relay->servers[i]->port == port)
			return true;
	return false;
}

static bool port_in_range(const struct tw_relay *relay, uint32_t port)
{
	return port == relay->config.port_wanted ||
	       (port >= relay->config.port_first && port <= relay->config.port_last);
}

static bool try_port(struct tw_relay_server *server, uint32_t port)
{
	struct tw_relay *relay = server->relay;

	if (!port || !port_in_range(relay, port) || port_taken(relay, (uint16_t)port) ||
	    relay->config.open_port(relay->config.context, server, (uint16_t)port))
		return false;
	server->port = (uint16_t)port;
	return true;
}

/* The wish first (a relay that was restarted gives the same port again), then the well-known one
 * for who can be called, then the range. */
static bool find_port(struct tw_relay_server *server, uint16_t wish)
{
	const struct tw_relay_config *config = &server->relay->config;

	if (try_port(server, wish) || (server->accepts && try_port(server, config->port_wanted)))
		return true;
	for (uint32_t port = config->port_first; port <= config->port_last; port++)
		if (try_port(server, port))
			return true;
	return !server->accepts && try_port(server, config->port_wanted);
}

struct tw_relay_server *relay_server_new(struct tw_relay_link *link,
					 const struct tw_relay_message *wish)
{
	struct tw_relay *relay = link->relay;
	struct tw_relay_server *server;

	if (relay->server_count >= relay->config.servers_max)
		return NULL;
	server = calloc(1, sizeof *server);
	if (!server)
		return NULL;
	server->relay = relay;
	server->key = link->key;
	server->accepts = wish->flags & TW_RELAY_ACCEPTS;
	server->instance = wish->number;
	server->gone_at = TW_NEVER;
	for (int side = 0; side < SIDES; side++)
		tw_table_init(&server->by_cid[side], tw_random_u64(&relay->config.random));
	if (tw_relay_keys_make(relay->config.identity, &link->key,
			       &relay->config.identity->public_key, &server->keys) ||
	    !find_port(server, wish->port)) {
		free(server);
		return NULL;
	}
	server->index = relay->server_count;
	relay->servers[relay->server_count++] = server;
	return server;
}

void relay_server_timer(struct tw_relay_server *server, tw_ns at)
{
	server->gone_at = at;
	/* Without memory for the timer the server stays until its link comes and goes again. */
	(void)tw_heap_set(&server->relay->server_timers, &server->timer, at);
}

struct tw_relay_reply *relay_new_reply(struct tw_relay_server *server, const struct tw_path *path)
{
	struct tw_relay *relay = server->relay;
	struct tw_relay_reply *reply;

	if (relay->reply_count == TW_RELAY_REPLIES_MAX) {
		relay->reply_first = (relay->reply_first + 1) % TW_RELAY_REPLIES_MAX;
		relay->reply_count--;
	}
	reply = &relay->replies[(relay->reply_first + relay->reply_count++) % TW_RELAY_REPLIES_MAX];
	reply->server = server;
	reply->path = *path;
	reply->length = 0;
	return reply;
}

bool tw_relay_reply(struct tw_relay *relay, struct tw_relay_reply *ret)
{
	while (relay->reply_count) {
		const struct tw_relay_reply *reply = &relay->replies[relay->reply_first];

		relay->reply_first = (relay->reply_first + 1) % TW_RELAY_REPLIES_MAX;
		relay->reply_count--;
		if (reply->server && reply->length) {
			*ret = *reply;
			return true;
		}
	}
	return false;
}

/* Debt is carried, credit beyond a burst is lost. */
static void pay(tw_ns *paid_until, uint64_t rate_bps, size_t bytes, tw_ns now)
{
	if (rate_bps)
		*paid_until = tw_ns_max(*paid_until, now > BURST ? now - BURST : 0) +
			      (tw_ns)((double)bytes * 8 * (double)TW_SECOND / (double)rate_bps);
}

void relay_bill(struct tw_relay_server *server, size_t bytes, tw_ns now)
{
	pay(&server->paid_until, server->relay->config.server_rate_bps, bytes, now);
	pay(&server->relay->paid_until, server->relay->config.rate_bps, bytes, now);
}

tw_ns tw_relay_ready_at(const struct tw_relay *relay, const struct tw_relay_server *server)
{
	return tw_ns_max(relay->paid_until, server->paid_until);
}

void tw_relay_timeout(struct tw_relay *relay, tw_ns now)
{
	struct tw_relay_link *link, *next;
	struct tw_timer *timer;

	while ((timer = tw_heap_top(&relay->route_timers)) && timer->at <= now)
		route_timeout((struct route *)timer, now);
	while ((timer = tw_heap_top(&relay->server_timers)) && timer->at <= now)
		server_free((struct tw_relay_server *)timer);
	if (now < relay->links_at)
		return;
	relay->links_at = now + LINKS_EVERY;
	for (link = relay->links; link; link = next) {
		next = link->next;
		link_timeout(link, now);
	}
}

tw_ns tw_relay_deadline(const struct tw_relay *relay)
{
	const struct tw_timer *route = tw_heap_top(&relay->route_timers);
	const struct tw_timer *server = tw_heap_top(&relay->server_timers);
	tw_ns at = relay->links ? relay->links_at : TW_NEVER;

	if (relay->reply_count)
		return 0;
	if (route)
		at = tw_ns_min(at, route->at);
	return server ? tw_ns_min(at, server->at) : at;
}

void tw_relay_say_end(struct tw_relay *relay)
{
	for (struct tw_relay_link *link = relay->links; link; link = link->next)
		link_refuse(link, TW_RELAY_ENDS, "the relay is being stopped");
}

void tw_relay_server_set_io(struct tw_relay_server *server, void *io)
{
	server->io = io;
}

void *tw_relay_server_io(const struct tw_relay_server *server)
{
	return server->io;
}

void tw_relay_server_info(const struct tw_relay_server *server, struct tw_relay_server_info *ret)
{
	*ret = (struct tw_relay_server_info){
		.key = server->key,
		.port = server->port,
		.linked = server->link != NULL,
		.accepts = server->accepts,
		.tunnelled = server->tunnelled,
		.leg = server->leg,
		.routes = server->open.count,
		.half_open = server->half_open.count,
		.counters = server->counters,
	};
}

size_t tw_relay_server_count(const struct tw_relay *relay)
{
	return relay->server_count;
}

struct tw_relay_server *tw_relay_server_at(const struct tw_relay *relay, size_t index)
{
	return relay->servers[index];
}

size_t tw_relay_route_count(const struct tw_relay *relay)
{
	return relay->route_count;
}

bool tw_relay_target_public(const struct tw_address *to)
{
	static const uint8_t zeros[16], mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *ip = to->ip;

	if (!to->port)
		return false;
	if (to->family == TW_FAMILY_IPV4)
		return ip[0] != 0 && ip[0] != 127 && ip[0] < 224 && !(ip[0] == 169 && ip[1] == 254);
	return to->family == TW_FAMILY_IPV6 && memcmp(ip, zeros, 15) != 0 &&
	       memcmp(ip, mapped, sizeof mapped) != 0 && ip[0] != 0xff &&
	       !(ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}
