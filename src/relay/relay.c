/* relay.c - servers and their ports, limits, timers. */
#include "relay/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "relay/relay_private.h"

#define BURST (50 * TW_MSEC)
#define SHARE_BURST (10 * TW_MSEC)
#define SPARE_PAUSE_MAX (BURST / 4)
/* Who moved something in this time shares what all may move. */
#define ACTIVE_FOR (100 * TW_MSEC)
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
	tw_door_init(&relay->door, &config->random);
	relay->links_at = now + LINKS_EVERY;
	*ret = relay;
	return 0;
}

/* The account of a key, with one server more; NULL: no memory. */
static struct account *open_account(struct tw_relay *relay, const struct tw_public_key *key)
{
	struct account *account;

	for (size_t i = 0; i < relay->server_count; i++) {
		account = relay->servers[i]->account;
		if (memcmp(account->key.bytes, key->bytes, TW_KEY_SIZE) == 0) {
			account->servers++;
			return account;
		}
	}
	account = calloc(1, sizeof *account);
	if (!account)
		return NULL;
	account->key = *key;
	account->servers = 1;
	return account;
}

static void close_account(struct tw_relay *relay, struct account *account)
{
	if (--account->servers)
		return;
	if (account->active)
		relay->active--;
	if (relay->spare_taker == account)
		relay->spare_taker = NULL;
	free(account);
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
	close_account(relay, server->account);
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
		if (memcmp(server->account->key.bytes, key->bytes, TW_KEY_SIZE) == 0 &&
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

/* Of this key, the one that was gone first and only sent: its program has ended, most likely. */
static bool drop_gone(struct tw_relay *relay, const struct tw_public_key *key)
{
	struct tw_relay_server *oldest = NULL;

	for (size_t i = 0; i < relay->server_count; i++) {
		struct tw_relay_server *server = relay->servers[i];

		if (!server->link && !server->accepts &&
		    memcmp(server->account->key.bytes, key->bytes, TW_KEY_SIZE) == 0 &&
		    (!oldest || server->gone_at < oldest->gone_at))
			oldest = server;
	}
	if (oldest)
		server_free(oldest);
	return oldest != NULL;
}

static bool room_for_one(struct tw_relay *relay, const struct tw_public_key *key)
{
	size_t of_key = 0;

	for (size_t i = 0; i < relay->server_count; i++)
		of_key +=
			memcmp(relay->servers[i]->account->key.bytes, key->bytes, TW_KEY_SIZE) == 0;
	return (of_key < TW_RELAY_KEY_SERVERS_MAX &&
		relay->server_count < relay->config.servers_max) ||
	       drop_gone(relay, key);
}

struct tw_relay_server *relay_server_new(struct tw_relay_link *link,
					 const struct tw_relay_message *wish)
{
	struct tw_relay *relay = link->relay;
	struct tw_relay_server *server;

	if (!room_for_one(relay, &link->key))
		return NULL;
	server = calloc(1, sizeof *server);
	if (!server)
		return NULL;
	server->relay = relay;
	server->account = open_account(relay, &link->key);
	if (!server->account) {
		free(server);
		return NULL;
	}
	server->accepts = wish->flags & TW_RELAY_ACCEPTS;
	server->instance = wish->number;
	server->gone_at = TW_NEVER;
	for (int side = 0; side < SIDES; side++)
		tw_table_init(&server->by_cid[side], tw_random_u64(&relay->config.random));
	if (tw_relay_keys_make(relay->config.identity, &link->key,
			       &relay->config.identity->public_key, &server->keys) ||
	    !(find_port(server, wish->port) ||
	      (drop_gone(relay, &link->key) && find_port(server, wish->port)))) {
		close_account(relay, server->account);
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

static struct tw_relay_reply *reply_at(struct tw_relay *relay, size_t index)
{
	return &relay->replies[(relay->reply_first + index) % TW_RELAY_REPLIES_MAX];
}

/* The oldest of this key's own, so that nobody's flood pushes out what is said to others; if it has
 * none, the oldest. */
static void drop_reply(struct tw_relay *relay, const struct account *account)
{
	size_t index = 0;

	while (index < relay->reply_count && reply_at(relay, index)->server &&
	       reply_at(relay, index)->server->account != account)
		index++;
	for (index %= relay->reply_count; index; index--)
		*reply_at(relay, index) = *reply_at(relay, index - 1);
	relay->reply_first = (relay->reply_first + 1) % TW_RELAY_REPLIES_MAX;
	relay->reply_count--;
}

struct tw_relay_reply *relay_new_reply(struct tw_relay_server *server, const struct tw_path *path)
{
	struct tw_relay *relay = server->relay;
	struct tw_relay_reply *reply;

	if (relay->reply_count == TW_RELAY_REPLIES_MAX)
		drop_reply(relay, server->account);
	reply = reply_at(relay, relay->reply_count++);
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

/* Debt is carried, credit beyond a burst is lost. Returns what was paid. */
static tw_ns pay(tw_ns *paid_until, tw_ns burst, double rate_bps, size_t bytes, tw_ns now)
{
	tw_ns price = 0;

	if (rate_bps > 0) {
		price = (tw_ns)((double)bytes * 8 * (double)TW_SECOND / rate_bps);
		*paid_until = tw_ns_max(*paid_until, tw_ns_since(now, burst)) + price;
	}
	return price;
}

/* Moves bytes now; who has not for a while is counted no more. */
static void note_active(struct tw_relay *relay, struct account *account, tw_ns now)
{
	account->moved_at = now;
	if (!account->active) {
		account->active = true;
		relay->active++;
	}
	if (now < relay->active_at)
		return;
	relay->active_at = now + ACTIVE_FOR / 4;
	for (size_t i = 0; i < relay->server_count; i++) {
		struct account *other = relay->servers[i]->account;

		if (other->active && tw_ns_since(now, other->moved_at) > ACTIVE_FOR) {
			other->active = false;
			relay->active--;
		}
	}
}

/*
 * What all may move is shared out alike among those who move anything. Each has a clock of its own
 * for its part: while that is not used up it need not wait for what others owe, so that its
 * datagrams meet no queue but its own. What somebody leaves of his part goes round: who had some of
 * it last lets others come first.
 */
void relay_bill(struct tw_relay_server *server, size_t bytes, tw_ns now)
{
	struct tw_relay *relay = server->relay;
	struct account *account = server->account;
	double rate = (double)relay->config.rate_bps;
	tw_ns price;
	bool spare;

	pay(&account->paid_until, BURST, (double)relay->config.server_rate_bps, bytes, now);
	if (!relay->config.rate_bps)
		return;
	note_active(relay, account, now);
	spare = account->share_until > now && relay->paid_until <= now;
	price = pay(&relay->paid_until, BURST, rate, bytes, now);
	if (spare) {
		relay->spare_taker = account;
		relay->spare_pause = tw_ns_min(price, SPARE_PAUSE_MAX);
	} else {
		pay(&account->share_until, SHARE_BURST, rate / (double)relay->active, bytes, now);
	}
}

tw_ns tw_relay_ready_at(const struct tw_relay *relay, const struct tw_relay_server *server)
{
	const struct account *account = server->account;
	tw_ns spare_at = relay->paid_until;

	if (relay->spare_taker == account)
		spare_at += relay->spare_pause;
	return tw_ns_max(account->paid_until, tw_ns_min(account->share_until, spare_at));
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
		.key = server->account->key,
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

bool tw_relay_same_key(const struct tw_relay_server *a, const struct tw_relay_server *b)
{
	return a->account == b->account;
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
