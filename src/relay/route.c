/*
 * route.c - routes: two connection ids, where each side is, and what of a train may pass.
 *
 * A relay cannot open a packet, so all it goes by is what stands in the clear: the type, the
 * connection id, the packet number. That is enough to follow a side whose address changes, and an
 * ECHO is enough to know that it truly is there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "relay/relay_private.h"

#define PROBE_EVERY (200 * TW_MSEC)
#define PROBES_MAX 10
#define WAKES_MAX (TW_RELAY_REPLIES_MAX / 2)
#define RESTORE_BYTES (3 * TW_PROBE_SIZE + 1) /* a server's word for an address is worth so much \
					       */
#define EVICT_IDLE (5 * TW_SECOND) /* a full server lets go of what was silent for so long */

static bool same_end(const struct tw_relay_end *a, const struct tw_relay_end *b)
{
	return a->there && b->there && a->link == b->link &&
	       (a->link || tw_address_equal(&a->path.remote, &b->path.remote));
}

static struct route_list *list_of(struct route *route)
{
	return route->open ? &route->server->open : &route->server->half_open;
}

static size_t *total_of(struct route *route)
{
	struct account *account = route->server->account;

	return route->open ? &account->open : &account->half_open;
}

static void list_remove(struct route *route)
{
	struct route_list *list = list_of(route);

	*(route->older ? &route->older->newer : &list->oldest) = route->newer;
	*(route->newer ? &route->newer->older : &list->newest) = route->older;
	route->older = route->newer = NULL;
	list->count--;
	*total_of(route) -= 1;
}

static void list_append(struct route *route)
{
	struct route_list *list = list_of(route);

	route->older = list->newest;
	*(list->newest ? &list->newest->newer : &list->oldest) = route;
	list->newest = route;
	list->count++;
	*total_of(route) += 1;
}

static bool name_side(struct route *route, int which, uint64_t cid)
{
	struct side *side = &route->sides[which];
	struct tw_table *table = &route->server->by_cid[which];

	if (side->named && side->cid == cid)
		return true;
	if (tw_table_put(table, cid, route))
		return false;
	if (side->named)
		tw_table_remove(table, side->cid);
	side->named = true;
	side->cid = cid;
	return true;
}

static tw_ns next_event(const struct route *route)
{
	return tw_ns_min(route->probe_at,
			 route->open ? route->last + TW_RELAY_ROUTE_IDLE : route->until);
}

static void set_timer(struct route *route)
{
	/* It has a place in the heap since it was made: moving it does not fail. */
	(void)tw_heap_set(&route->server->relay->route_timers, &route->timer, next_event(route));
}

void route_free(struct route *route)
{
	struct tw_relay_server *server = route->server;

	if (route->open && server->link) {
		const struct tw_relay_message gone = { .type = TW_RELAY_ROUTE_GONE,
						       .server_cid =
							       route->sides[SERVER_SIDE].cid };

		link_say(server->link, &gone);
	}
	for (int which = 0; which < SIDES; which++)
		if (route->sides[which].named)
			tw_table_remove(&server->by_cid[which], route->sides[which].cid);
	list_remove(route);
	tw_heap_remove(&server->relay->route_timers, &route->timer);
	server->relay->route_count--;
	free(route);
}

void server_free_routes(struct tw_relay_server *server)
{
	struct route *next;

	for (struct route *route = server->open.oldest; route; route = next) {
		next = route->newer;
		route_free(route);
	}
	for (struct route *route = server->half_open.oldest; route; route = next) {
		next = route->newer;
		route_free(route);
	}
}

/* Room for one more: at the cap the oldest half-open one goes, or the open one that has been silent
 * for long. */
static bool make_room(struct tw_relay_server *server, tw_ns now)
{
	struct tw_relay *relay = server->relay;
	const struct account *account = server->account;
	struct route *oldest = server->open.oldest;

	if (account->half_open >= TW_RELAY_HALF_OPEN_MAX && server->half_open.oldest)
		route_free(server->half_open.oldest);
	if (account->open >= TW_RELAY_KEY_ROUTES_MAX && oldest &&
	    tw_ns_since(now, oldest->last) >= EVICT_IDLE)
		route_free(oldest);
	return account->half_open < TW_RELAY_HALF_OPEN_MAX &&
	       account->open < TW_RELAY_KEY_ROUTES_MAX && relay->route_count < TW_RELAY_ROUTES_MAX;
}

/* A half-open route under one connection id. NULL: no room. */
static struct route *route_new(struct tw_relay_server *server, int which, uint64_t cid, tw_ns now)
{
	struct route *route = make_room(server, now) ? calloc(1, sizeof *route) : NULL;

	if (!route)
		return NULL;
	route->server = server;
	route->outgoing = which == SERVER_SIDE;
	route->last = now;
	route->until = now + TW_RELAY_HALF_OPEN_LIFE;
	route->probe_at = TW_NEVER;
	if (tw_heap_set(&server->relay->route_timers, &route->timer, route->until)) {
		free(route);
		return NULL;
	}
	if (!name_side(route, which, cid)) {
		tw_heap_remove(&server->relay->route_timers, &route->timer);
		free(route);
		return NULL;
	}
	server->relay->route_count++;
	list_append(route);
	return route;
}

/* As whom we see the server itself (@cid 0) or the peer of a route. */
static void say_seen(struct tw_relay_server *server, uint64_t cid, const struct tw_address *seen)
{
	const struct tw_relay_message message = { .type = TW_RELAY_SEEN,
						  .server_cid = cid,
						  .address = *seen };

	if (!server->link || (!cid && tw_address_equal(seen, &server->told)))
		return;
	link_say(server->link, &message);
	if (!cid)
		server->told = *seen;
}

/* A peer that uses this relay too is at a port of ours: where it truly is, its own route shows. */
static void say_where(const struct route *route)
{
	const struct side *peer = &route->sides[PEER_SIDE];
	const struct tw_relay *relay = route->server->relay;

	for (size_t i = 0; i < relay->server_count; i++) {
		const struct tw_relay_server *other = relay->servers[i];
		const struct route *theirs;

		if (other->port != peer->end.path.remote.port || other == route->server)
			continue;
		theirs = tw_table_get(&other->by_cid[SERVER_SIDE], peer->cid);
		if (theirs && theirs->outgoing && !theirs->sides[SERVER_SIDE].end.link &&
		    theirs->sides[PEER_SIDE].end.path.remote.port == route->server->port)
			say_seen(route->server, route->sides[SERVER_SIDE].cid,
				 &theirs->sides[SERVER_SIDE].end.path.remote);
	}
}

/* The server keeps its routes for a relay that is restarted. */
static void announce(const struct route *route)
{
	const struct side *peer = &route->sides[PEER_SIDE];
	const struct tw_relay_message message = {
		.type = TW_RELAY_ROUTE,
		.flags = route->outgoing ? TW_RELAY_OUTGOING : 0,
		.server_cid = route->sides[SERVER_SIDE].cid,
		.peer_cid = peer->cid,
		.address = peer->end.path.remote,
	};

	if (!route->server->link)
		return;
	link_say(route->server->link, &message);
	if (!route->outgoing)
		say_where(route);
}

static void prove(struct route *route, int which)
{
	struct side *side = &route->sides[which];

	if (side->proved)
		return;
	side->proved = true;
	side->before = side->end;
	if (route->open && which == PEER_SIDE)
		announce(route);
}

static void open_route(struct route *route)
{
	if (route->open)
		return;
	list_remove(route);
	route->open = true;
	list_append(route);
	route->server->counters.routes++;
	announce(route);
	set_timer(route);
}

static void probe(struct route *route, int which, tw_ns now)
{
	struct side *side = &route->sides[which];
	const struct tw_datagram ask = { .type = TW_DATAGRAM_PROBE,
					 .dcid = side->cid,
					 .token = side->token };
	struct tw_relay_reply *reply;

	side->probes++;
	route->probe_at = side->probed_at = now + PROBE_EVERY;
	if (side->out_bytes + TW_PROBE_SIZE >= side->in_bytes)
		return;
	reply = relay_new_reply(route->server, &side->end.path);
	reply->length = tw_datagram_write_probe(&ask, reply->bytes, sizeof reply->bytes);
	side->out_bytes += reply->length;
}

static void move(struct route *route, int which, const struct tw_relay_end *to, tw_ns now)
{
	struct side *side = &route->sides[which];
	struct tw_relay_server *server = route->server;

	if (side->proved)
		side->before = side->end;
	side->end = *to;
	server->counters.moves++;
	/* A link and a LEG are known by key; and who came back to where it was is known there. */
	side->proved = to->link || same_end(to, &side->before) ||
		       (which == SERVER_SIDE && same_end(to, &server->leg));
	side->in_bytes = side->out_bytes = 0;
	side->probes = 0;
	if (side->proved) {
		side->before = side->end;
		return;
	}
	tw_random_fill(&server->relay->config.random, side->token, sizeof side->token);
	route->probe_at = now; /* as soon as there is something to answer */
	set_timer(route);
}

/* How many of @length bytes in datagrams of @segment may go to a side. */
static size_t allowance(struct route *route, int to, size_t length, size_t segment)
{
	struct side *side = &route->sides[to];
	size_t room;

	if (side->proved)
		return length;
	/* Always fewer than came. */
	room = side->in_bytes > side->out_bytes ? (size_t)(side->in_bytes - side->out_bytes) - 1
						: 0;
	if (length > room)
		length = room / segment * segment;
	side->out_bytes += length;
	return length;
}

/* Sends a run on; what may not go is dropped with it. */
static void pass(struct route *route, int to, const struct tw_relay_train *train,
		 struct tw_relay_hop *hop)
{
	struct tw_relay_server *server = route->server;
	struct side *side = &route->sides[to];
	size_t granted = side->end.there ? allowance(route, to, hop->length, train->segment) : 0;

	if (granted < hop->length)
		server->counters.held_back++;
	if (!granted)
		return;
	if (side->end.link) {
		for (size_t at = 0; at < granted; at += train->segment)
			link_queue_datagram(server->link, train->bytes + at,
					    granted - at < train->segment ? granted - at
									  : train->segment);
		if (!server->link)
			return;
	}
	hop->length = granted;
	hop->to = side->end;
	server->counters.datagrams += (granted + train->segment - 1) / train->segment;
	server->counters.bytes += granted;
}

static bool newer(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* Packets of a side came from @from: it is heard, and may have moved. */
static void hear(struct route *route, int which, const struct tw_relay_end *from, uint32_t number,
		 tw_ns now)
{
	struct side *side = &route->sides[which];

	if (!same_end(from, &side->end) && (!side->heard || newer(number, side->newest)))
		move(route, which, from, now);
	if (!side->heard || newer(number, side->newest))
		side->newest = number;
	side->heard = true;
}

/* The first packet to the id that only the other side was told is the last step of a handshake. */
static void confirm(struct route *route, int from_which, const struct tw_relay_end *from)
{
	struct side *side = &route->sides[from_which];

	if (route->open || from_which != (route->outgoing ? SERVER_SIDE : PEER_SIDE) ||
	    !same_end(from, &side->end))
		return;
	prove(route, from_which);
	open_route(route);
}

static uint64_t cid_at(const uint8_t *bytes)
{
	struct tw_reader reader;

	tw_reader_init(&reader, bytes + 1, 8);
	return tw_read_u64(&reader);
}

static uint32_t number_at(const uint8_t *bytes)
{
	struct tw_reader reader;

	tw_reader_init(&reader, bytes + 9, 4);
	return tw_read_u32(&reader);
}

/* Packets to the same id in a row. */
static size_t packet_run(const struct tw_relay_train *train)
{
	const uint8_t *first = train->bytes;
	size_t at = train->segment;

	for (; at < train->length; at += train->segment) {
		size_t left = train->length - at;

		if ((left < train->segment ? left : train->segment) < TW_PACKET_MIN ||
		    (first[at] & 0xfe) != TW_DATAGRAM_PACKET ||
		    memcmp(first + at + 1, first + 1, 8) != 0)
			break;
	}
	return at < train->length ? at : train->length;
}

static void packets(struct tw_relay_server *server, const struct tw_relay_train *train, tw_ns now,
		    struct tw_relay_hop *hop)
{
	size_t last;
	uint64_t cid = cid_at(train->bytes);
	int to = SERVER_SIDE;
	struct route *route = tw_table_get(&server->by_cid[SERVER_SIDE], cid);
	uint32_t number = number_at(train->bytes), number_last;

	if (!route) {
		to = PEER_SIDE;
		route = tw_table_get(&server->by_cid[PEER_SIDE], cid);
	}
	hop->length = packet_run(train);
	if (!route) {
		server->counters.strays++;
		return;
	}
	last = (hop->length - 1) / train->segment * train->segment;
	number_last = number_at(train->bytes + last);
	if (newer(number_last, number))
		number = number_last;
	confirm(route, !to, &train->from);
	if (!route->open && !same_end(&train->from, &route->sides[!to].end)) {
		server->counters.strays++;
		return;
	}
	route->last = now;
	hear(route, !to, &train->from, number, now);
	if (same_end(&train->from, &route->sides[!to].end)) {
		struct side *from = &route->sides[!to];

		from->in_bytes += hop->length;
		/* Who was restored has no other place to be; it may have been elsewhere. */
		if (from->probes >= PROBES_MAX && !from->before.there && now >= from->probed_at)
			from->probes = 0;
		if (!from->proved && !from->probes) {
			probe(route, !to, now);
			set_timer(route);
		}
	}
	pass(route, to, train, hop);
}

static void forward_init(struct route *route, int to, const struct tw_relay_train *train, tw_ns now,
			 struct tw_relay_hop *hop)
{
	struct side *from = &route->sides[!to];

	if (!route->open) {
		if (!same_end(&from->end, &train->from)) {
			from->end = train->from;
			from->proved = train->from.link;
			from->in_bytes = from->out_bytes = 0;
		}
		from->in_bytes += hop->length;
	}
	route->last = now;
	pass(route, to, train, hop);
}

/* An INIT with a ticket of this server; the destination, or NULL. */
static const struct tw_address *ticket_holder(const struct tw_relay_server *server,
					      const struct tw_datagram *init)
{
	struct tw_ticket ticket = { .key = server->keys.ticket };
	uint8_t expected[TW_COOKIE_SIZE];

	if (!init->cookie)
		return NULL;
	ticket.index = tw_ticket_index(init->cookie);
	if (ticket.index >= server->destination_room ||
	    server->destinations[ticket.index].family == TW_FAMILY_NONE)
		return NULL;
	tw_ticket_cookie(&ticket, init->scid, expected);
	tw_wipe(&ticket, sizeof ticket);
	return tw_equal_secret(expected, init->cookie, TW_COOKIE_SIZE)
		       ? &server->destinations[ticket.index]
		       : NULL;
}

/* The server begins; @to is where its ticket says. */
static void init_out(struct tw_relay_server *server, const struct tw_relay_train *train,
		     const struct tw_datagram *init, tw_ns now, struct tw_relay_hop *hop)
{
	const struct tw_address *to = ticket_holder(server, init);
	struct route *route = tw_table_get(&server->by_cid[SERVER_SIDE], init->scid);

	if (!route && to) {
		route = route_new(server, SERVER_SIDE, init->scid, now);
		if (route)
			route->sides[PEER_SIDE].end =
				(struct tw_relay_end){ .there = true, .path.remote = *to };
		/* The server vouches for what it asks for; an INIT is not more than it sent. */
		if (route)
			route->sides[PEER_SIDE].proved = true;
	}
	if (route)
		forward_init(route, PEER_SIDE, train, now, hop);
	else
		server->counters.refused++;
}

static void retry(struct tw_relay_server *server, const struct tw_relay_train *train,
		  const struct tw_datagram *init, tw_ns now)
{
	struct tw_relay *relay = server->relay;
	uint8_t cookie[TW_COOKIE_SIZE];
	const struct tw_datagram answer = { .type = TW_DATAGRAM_RETRY,
					    .version = TW_VERSION_1,
					    .dcid = init->scid,
					    .cookie = cookie };
	struct tw_relay_reply *reply = relay_new_reply(server, &train->from.path);

	tw_cookie_make(&relay->cookies, &relay->config.random, now, &train->from.path.remote,
		       init->scid, cookie);
	reply->length = tw_datagram_write_retry(&answer, reply->bytes, sizeof reply->bytes);
}

/* With many at the door a stranger must show that he hears, before he costs memory; and from one
 * address only so many come in, or they would push out all others. */
static bool proved(struct tw_relay_server *server, const struct tw_relay_train *train,
		   const struct tw_datagram *init, tw_ns now)
{
	struct tw_relay *relay = server->relay;
	const struct tw_address *from = &train->from.path.remote;

	if (server->half_open.count < TW_RELAY_HALF_OPEN_COOKIE)
		return true;
	if (init->cookie && tw_cookie_check(&relay->cookies, &relay->config.random, now, from,
					    init->scid, init->cookie))
		return tw_door_proved(&relay->door, from, now);
	retry(server, train, init, now);
	return false;
}

/* A stranger knocks. */
static void init_in(struct tw_relay_server *server, const struct tw_relay_train *train,
		    const struct tw_datagram *init, tw_ns now, struct tw_relay_hop *hop)
{
	struct route *route = tw_table_get(&server->by_cid[PEER_SIDE], init->scid);

	if (!server->accepts || train->from.link || !server->leg.there) {
		server->counters.refused++;
		return;
	}
	if (!route && !proved(server, train, init, now)) {
		server->counters.refused++;
		return;
	}
	if (!route) {
		route = route_new(server, PEER_SIDE, init->scid, now);
		if (!route) {
			server->counters.refused++;
			return;
		}
		route->sides[SERVER_SIDE].proved = true;
	}
	if (!route->open)
		route->sides[SERVER_SIDE].end = server->leg;
	forward_init(route, SERVER_SIDE, train, now, hop);
}

static bool from_server(const struct tw_relay_server *server, const struct route *route,
			const struct tw_relay_end *from)
{
	return from->link || same_end(from, &server->leg) ||
	       same_end(from, &route->sides[SERVER_SIDE].end);
}

/* ACCEPT, RETRY, VERSIONS, PROBE: to the side whose id they name, when they come from the other. */
static void answer(struct tw_relay_server *server, const struct tw_relay_train *train,
		   const struct tw_datagram *datagram, tw_ns now, struct tw_relay_hop *hop)
{
	int to = PEER_SIDE;
	struct route *route = tw_table_get(&server->by_cid[PEER_SIDE], datagram->dcid);

	if (!route || !from_server(server, route, &train->from)) {
		to = SERVER_SIDE;
		route = tw_table_get(&server->by_cid[SERVER_SIDE], datagram->dcid);
		if (!route || !same_end(&train->from, &route->sides[PEER_SIDE].end)) {
			server->counters.strays++;
			return;
		}
	}
	if (datagram->type == TW_DATAGRAM_ACCEPT && !route->open) {
		if (!name_side(route, !to, datagram->scid))
			return;
		if (to == PEER_SIDE && train->from.there)
			route->sides[SERVER_SIDE].end = train->from;
	}
	route->last = now;
	pass(route, to, train, hop);
}

static void echo(struct tw_relay_server *server, const struct tw_relay_train *train,
		 const struct tw_datagram *datagram, tw_ns now, struct tw_relay_hop *hop)
{
	for (int which = 0; which < SIDES; which++) {
		struct route *route = tw_table_get(&server->by_cid[which], datagram->dcid);
		struct side *side = route ? &route->sides[which] : NULL;

		if (!side || !same_end(&train->from, &side->end))
			continue;
		if (tw_equal_secret(side->token, datagram->token, sizeof side->token) &&
		    side->probes)
			prove(route, which);
		else /* for another relay behind this one */
			pass(route, !which, train, hop);
		route->last = now;
		return;
	}
	server->counters.strays++;
}

static void leg(struct tw_relay_server *server, const struct tw_relay_train *train)
{
	struct tw_relay_leg leg_now, seen;
	struct tw_relay_reply *reply;

	if (train->from.link ||
	    tw_relay_leg_read(train->bytes, TW_RELAY_LEG_SIZE, &server->keys.leg, &leg_now) ||
	    leg_now.handle != server->handle)
		return;
	if (!(leg_now.flags & TW_RELAY_LEG_ASKS)) {
		if (leg_now.counter <= server->leg_counter)
			return;
		server->leg_counter = leg_now.counter;
		if (!server->tunnelled) {
			server_set_leg(server, &train->from);
			say_seen(server, 0, &train->from.path.remote);
		}
	}
	seen = (struct tw_relay_leg){ .type = TW_RELAY_LEG_SEEN,
				      .flags = leg_now.flags,
				      .handle = server->handle,
				      .counter = leg_now.counter,
				      .seen = train->from.path.remote };
	reply = relay_new_reply(server, &train->from.path);
	reply->length = tw_relay_leg_write(&seen, &server->keys.leg, reply->bytes);
}

/* For a server that takes calls and can be called: its relay says as whom the asker is seen. */
static void discover(struct tw_relay_server *server, const struct tw_relay_train *train,
		     const struct tw_datagram *datagram)
{
	const struct tw_datagram answer_now = { .type = TW_DATAGRAM_DISCOVERED,
						.token = datagram->token,
						.observed = train->from.path.remote };
	struct tw_relay_reply *reply;

	if (train->from.link || !server->accepts || !server->leg.there) {
		server->counters.strays++;
		return;
	}
	reply = relay_new_reply(server, &train->from.path);
	reply->length = tw_datagram_write_discover(&answer_now, reply->bytes, sizeof reply->bytes);
}

static void one_datagram(struct tw_relay_server *server, const struct tw_relay_train *train,
			 tw_ns now, struct tw_relay_hop *hop)
{
	struct tw_datagram datagram;

	if (train->bytes[0] == TW_RELAY_LEG && hop->length == TW_RELAY_LEG_SIZE) {
		leg(server, train);
		return;
	}
	if (tw_datagram_parse(train->bytes, hop->length, &datagram)) {
		server->counters.strays++;
		return;
	}
	switch (datagram.type) {
	case TW_DATAGRAM_INIT:
		if (ticket_holder(server, &datagram) ||
		    tw_table_get(&server->by_cid[SERVER_SIDE], datagram.scid))
			init_out(server, train, &datagram, now, hop);
		else
			init_in(server, train, &datagram, now, hop);
		break;
	case TW_DATAGRAM_DISCOVER:
		discover(server, train, &datagram);
		break;
	case TW_DATAGRAM_DISCOVERED:
		server->counters.strays++;
		break;
	case TW_DATAGRAM_ECHO:
		echo(server, train, &datagram, now, hop);
		break;
	default:
		answer(server, train, &datagram, now, hop);
	}
}

void tw_relay_forward(struct tw_relay *relay, struct tw_relay_server *server,
		      const struct tw_relay_train *train, tw_ns now, struct tw_relay_hop *ret)
{
	size_t first = train->length < train->segment ? train->length : train->segment, run;

	(void)relay;
	*ret = (struct tw_relay_hop){ .length = first };
	if (first >= TW_PACKET_MIN && first <= TW_DATAGRAM_MAX &&
	    (train->bytes[0] & 0xfe) == TW_DATAGRAM_PACKET)
		packets(server, train, now, ret);
	else
		one_datagram(server, train, now, ret);
	run = ret->length;
	if (ret->to.there)
		relay_bill(server, run, now);
}

struct sources {
	struct tw_address *list;
	size_t count, room; /* count > room: more than that */
};

static void add_source(struct sources *sources, const struct tw_relay_end *end)
{
	if (!end->there || end->link)
		return;
	if (sources->count < sources->room)
		sources->list[sources->count] = end->path.remote;
	sources->count++;
}

/* What is known already is not added again: the server comes from one place for all. */
static void add_sides(struct sources *sources, const struct route *route)
{
	for (int which = 0; which < SIDES; which++) {
		const struct side *side = &route->sides[which];

		if (!same_end(&side->end, &route->server->leg))
			add_source(sources, &side->end);
		if (!same_end(&side->before, &side->end) &&
		    !same_end(&side->before, &route->server->leg))
			add_source(sources, &side->before);
	}
}

size_t tw_relay_server_sources(const struct tw_relay_server *server, struct tw_address *ret,
			       size_t room)
{
	struct sources sources = { ret, 0, room };

	add_source(&sources, &server->leg);
	for (const struct route *route = server->open.oldest; route; route = route->newer)
		add_sides(&sources, route);
	if (sources.count > room)
		return room + 1;
	/* The newest first: a flood makes old ones. */
	for (const struct route *route = server->half_open.newest; route && sources.count < room;
	     route = route->older)
		add_sides(&sources, route);
	return sources.count < room ? sources.count : room;
}

/* The peer has been sending into the void: it need not wait for its own timer. */
static void wake_peer(struct route *route)
{
	const struct side *peer = &route->sides[PEER_SIDE];
	const struct tw_datagram ask = { .type = TW_DATAGRAM_PROBE,
					 .dcid = peer->cid,
					 .token = peer->token };
	struct tw_relay_reply *reply = relay_new_reply(route->server, &peer->end.path);

	reply->length = tw_datagram_write_probe(&ask, reply->bytes, sizeof reply->bytes);
}

void server_set_leg(struct tw_relay_server *server, const struct tw_relay_end *to)
{
	struct tw_relay_end before = server->leg;
	unsigned woken = 0;

	if (same_end(&before, to))
		return;
	server->leg = *to;
	/* What went by the old one goes by the new one; a link going takes all. */
	for (struct route_list *list = &server->open; list;
	     list = list == &server->open ? &server->half_open : NULL) {
		for (struct route *route = list->oldest; route; route = route->newer) {
			struct side *side = &route->sides[SERVER_SIDE];

			if ((!side->end.there && !route->outgoing) || to->link ||
			    (before.there && same_end(&side->end, &before))) {
				side->end = side->before = *to;
				side->proved = true;
				if (route->open && route->sides[PEER_SIDE].proved &&
				    woken++ < WAKES_MAX)
					wake_peer(route);
			}
		}
	}
}

bool server_restore(struct tw_relay_server *server, const struct tw_relay_message *message,
		    tw_ns now)
{
	const struct tw_relay_config *config = &server->relay->config;
	bool outgoing = message->flags & TW_RELAY_OUTGOING;
	bool (*target)(void *, const struct tw_address *) = config->target;
	struct route *route;
	struct side *sides;

	if (target ? !target(config->context, &message->address)
		   : !tw_relay_target_public(&message->address))
		return false;
	route = tw_table_get(&server->by_cid[SERVER_SIDE], message->server_cid);
	if (route && route->open)
		return true;
	if (route)
		route_free(route);
	route = route_new(server, outgoing ? SERVER_SIDE : PEER_SIDE,
			  outgoing ? message->server_cid : message->peer_cid, now);
	if (!route)
		return false;
	if (!name_side(route, outgoing ? PEER_SIDE : SERVER_SIDE,
		       outgoing ? message->peer_cid : message->server_cid)) {
		route_free(route);
		return false;
	}
	sides = route->sides;
	/* That there is somebody who wants what the server sends is only its word. */
	sides[PEER_SIDE].end =
		(struct tw_relay_end){ .there = true, .path.remote = message->address };
	sides[PEER_SIDE].in_bytes = RESTORE_BYTES;
	tw_random_fill(&config->random, sides[PEER_SIDE].token, TW_PROBE_TOKEN_SIZE);
	/* Where the server's own socket is by now shows its next packet. */
	if (server->leg.there && (!outgoing || server->leg.link)) {
		sides[SERVER_SIDE].end = sides[SERVER_SIDE].before = server->leg;
		sides[SERVER_SIDE].proved = true;
	}
	open_route(route);
	/* It has been sending into the void: it need not wait for its own timer. */
	probe(route, PEER_SIDE, now);
	set_timer(route);
	return true;
}

void server_drop_route(struct tw_relay_server *server, uint64_t server_cid)
{
	struct route *route = tw_table_get(&server->by_cid[SERVER_SIDE], server_cid);

	if (route)
		route_free(route);
}

/* A side that has moved and does not answer is asked again, then taken for where it was. */
static void look_after(struct route *route, int which, tw_ns now)
{
	struct side *side = &route->sides[which];

	if (side->proved || !side->end.there || !route->open)
		return;
	if (side->probes < PROBES_MAX) {
		probe(route, which, now);
	} else if (side->before.there) {
		side->end = side->before;
		side->proved = true;
	}
}

void route_timeout(struct route *route, tw_ns now)
{
	bool due = now >= route->probe_at;

	if (now >= (route->open ? route->last + TW_RELAY_ROUTE_IDLE : route->until)) {
		route_free(route);
		return;
	}
	if (due)
		route->probe_at = TW_NEVER;
	for (int which = 0; due && which < SIDES; which++)
		look_after(route, which, now);
	set_timer(route);
}
