/*
 * relayworld.h - a relay, a server with its client behind a NAT, and a peer behind another, in
 * memory and in virtual time. The NATs can give new mappings, UDP can be cut on the server's side,
 * the relay can be killed and started again. What the relay sends to each address and gets from
 * there is counted.
 */
#pragma once

#include "unit.h"

#include "base/error.h"
#include "base/random.h"
#include "core/endpoint.h"
#include "relay/client.h"
#include "relay/relay.h"
#include "wire/datagram.h"

enum { PEER, SERVER, RELAY };

#define WORLD_DELAY (5 * TW_MSEC)
#define WORLD_FLIGHTS 4096
#define WORLD_LEDGER 4096

struct flight {
	tw_ns arrives;
	int to;
	struct tw_address from;
	size_t length;
	uint8_t bytes[1500];
};

struct ledger {
	struct tw_address address;
	uint64_t in, out;
};

struct world_side {
	struct tw_identity identity;
	struct tw_endpoint *endpoint;
	struct tw_conn *conn;
	bool established, closed;
	uint64_t want, written, got;
};

struct world {
	tw_ns now;
	struct tw_prng prng;
	struct tw_random random;
	struct tw_identity relay_identity;
	struct tw_relay_config config;
	struct tw_relay *relay; /* NULL: killed */
	struct tw_relay_link *link;
	struct tw_relay_client *client;
	struct world_side sides[2];
	struct tw_address mapped[2]; /* as the relay sees them */
	struct tw_address public, door;
	struct tw_address direct; /* where the server hears without the relay */
	bool direct_cut;
	bool restricted;     /* both NATs let in only whom was written to before */
	bool direct_open[2]; /* by this side */
	unsigned punches;
	uint64_t elsewhere; /* bytes of the sides to addresses where nobody is */
	uint64_t direct_datagrams;
	bool udp_cut; /* between server and relay */
	bool allow;
	bool control_cut;
	uint16_t taken_ports[4];
	unsigned open_ports;
	struct flight *flights;
	size_t flight_count;
	struct ledger ledger[WORLD_LEDGER];
	size_t ledger_count;
	uint64_t strays; /* sent to where nobody is */
};

static inline struct tw_address world_address(uint8_t last, uint16_t port)
{
	return (struct tw_address){ .family = TW_FAMILY_IPV4,
				    .ip = { 198, 51, 100, last },
				    .port = port };
}

static inline struct ledger *world_ledger(struct world *world, const struct tw_address *address)
{
	size_t i = 0;

	while (i < world->ledger_count && !tw_address_equal(&world->ledger[i].address, address))
		i++;
	if (i == world->ledger_count) {
		assert_true(i < WORLD_LEDGER);
		world->ledger[world->ledger_count++].address = *address;
	}
	return &world->ledger[i];
}

static inline bool world_allowed(void *context, const struct tw_public_key *server)
{
	(void)server;
	return ((struct world *)context)->allow;
}

static inline int world_open_port(void *context, struct tw_relay_server *server, uint16_t port)
{
	struct world *world = context;

	for (size_t i = 0; i < ARRAY_SIZE(world->taken_ports); i++)
		if (world->taken_ports[i] == port)
			return -EADDRINUSE;
	tw_relay_server_set_io(server, world);
	world->open_ports++;
	return 0;
}

static inline void world_close_port(void *context, struct tw_relay_server *server)
{
	(void)server;
	((struct world *)context)->open_ports--;
}

static inline void world_fill(struct world_side *side)
{
	uint8_t bytes[4096];

	while (side->conn && side->written < side->want) {
		size_t length = side->want - side->written < sizeof bytes
					? (size_t)(side->want - side->written)
					: sizeof bytes;

		for (size_t i = 0; i < length; i++)
			bytes[i] = (uint8_t)((side->written + i) * 31);
		length = tw_conn_stream_write(side->conn, 0, bytes, length);
		if (!length)
			return;
		side->written += length;
	}
}

static inline void world_established(void *app, struct tw_conn *conn)
{
	struct world_side *side = app;

	side->established = true;
	side->conn = conn;
	world_fill(side);
}

static inline void world_closed(void *app, struct tw_conn *conn, enum tw_conn_end end,
				uint64_t code, const char *reason)
{
	struct world_side *side = app;

	(void)conn;
	(void)end;
	(void)code;
	(void)reason;
	side->closed = true;
	side->conn = NULL;
}

static inline void world_readable(void *app, struct tw_conn *conn, uint64_t stream)
{
	struct world_side *side = app;
	uint8_t bytes[4096];
	size_t length;

	while ((length = tw_conn_stream_read(conn, stream, bytes, sizeof bytes, NULL)) > 0)
		for (size_t i = 0; i < length; i++)
			assert_int_equal(bytes[i], (uint8_t)(side->got++ * 31));
}

static inline void world_writable(void *app, struct tw_conn *conn, uint64_t stream)
{
	(void)conn;
	(void)stream;
	world_fill(app);
}

static const struct tw_conn_app world_app = {
	.established = world_established,
	.closed = world_closed,
	.stream_readable = world_readable,
	.stream_writable = world_writable,
};

static inline enum tw_verdict world_admit(void *context, const struct tw_public_key *peer,
					  const struct tw_path *path,
					  struct tw_conn_config *ret_config,
					  const struct tw_conn_app **ret_app, void **ret_context)
{
	(void)peer;
	(void)path;
	(void)ret_config;
	*ret_app = &world_app;
	*ret_context = context;
	return TW_ACCEPT_YES;
}

static inline void world_start_relay(struct world *world)
{
	assert_int_equal(tw_relay_new(&world->config, world->now, &world->relay), 0);
}

static inline void world_cut_link(struct world *world)
{
	if (!world->link)
		return;
	tw_relay_link_free(world->link, world->now);
	world->link = NULL;
	tw_relay_client_disconnected(world->client, world->now);
}

static inline void world_kill_relay(struct world *world)
{
	world_cut_link(world);
	tw_relay_free(world->relay);
	world->relay = NULL;
	world->open_ports = 0;
}

static inline struct world *world_new(uint64_t seed)
{
	struct world *world = calloc(1, sizeof *world);
	struct tw_relay_client_config client = { .accepts = true };

	assert_non_null(world);
	world->flights = calloc(WORLD_FLIGHTS, sizeof *world->flights);
	assert_non_null(world->flights);
	world->now = TW_SECOND;
	tw_prng_init(&world->prng, seed);
	world->random = tw_prng_random(&world->prng);
	world->allow = true;
	assert_int_equal(tw_identity_generate(&world->random, &world->relay_identity), 0);
	world->mapped[PEER] = world_address(10, 1000);
	world->mapped[SERVER] = world_address(20, 2000);
	world->public = world_address(1, TW_RELAY_PORT_PUBLIC);
	world->door = world_address(127, 3000);
	world->direct = world_address(20, 9999);
	world->config = (struct tw_relay_config){
		.identity = &world->relay_identity,
		.random = world->random,
		.port_wanted = TW_RELAY_PORT_PUBLIC,
		.port_first = TW_RELAY_PORT_FIRST,
		.port_last = TW_RELAY_PORT_FIRST + 3,
		.allowed = world_allowed,
		.open_port = world_open_port,
		.close_port = world_close_port,
		.context = world,
	};
	world_start_relay(world);
	for (int i = 0; i < 2; i++) {
		struct world_side *side = &world->sides[i];
		struct tw_endpoint_config config = { .identity = &side->identity,
						     .random = world->random,
						     .accept = true,
						     .cipher_min = TW_CIPHER_128,
						     .admit = world_admit,
						     .context = side };

		assert_int_equal(tw_identity_generate(&world->random, &side->identity), 0);
		assert_int_equal(tw_endpoint_new(&config, world->now, &side->endpoint), 0);
	}
	client.identity = &world->sides[SERVER].identity;
	client.relay = world->relay_identity.public_key;
	client.random = world->random;
	assert_int_equal(tw_relay_client_new(&client, world->now, &world->client), 0);
	return world;
}

static inline void world_free(struct world *world)
{
	if (world->relay)
		world_kill_relay(world);
	tw_relay_client_free(world->client);
	for (int i = 0; i < 2; i++)
		tw_endpoint_free(world->sides[i].endpoint);
	free(world->flights);
	free(world);
}

static inline struct tw_relay_server *world_server(const struct world *world)
{
	return world->link ? tw_relay_link_server(world->link) : NULL;
}

static inline void world_put(struct world *world, int to, const struct tw_address *from,
			     const uint8_t *bytes, size_t length)
{
	struct flight *flight = &world->flights[world->flight_count];

	/* Beyond the size that the networks carry: lost. */
	if (length > sizeof flight->bytes - 28)
		return;
	assert_true(world->flight_count < WORLD_FLIGHTS);
	world->flight_count++;
	flight->arrives = world->now + WORLD_DELAY;
	flight->to = to;
	flight->from = *from;
	flight->length = length;
	memcpy(flight->bytes, bytes, length);
}

/* Straight between the two, past the relay. */
static inline void world_direct(struct world *world, int from, const uint8_t *bytes, size_t length)
{
	world->direct_datagrams++;
	world->direct_open[from] = true;
	if (!world->direct_cut && (!world->restricted || world->direct_open[!from]))
		world_put(world, !from, from == PEER ? &world->mapped[PEER] : &world->direct, bytes,
			  length);
}

/* A stranger's first datagram, which nobody can open. Its length. */
static inline size_t world_make_init(struct world *world, uint64_t scid, const uint8_t *cookie,
				     uint8_t *ret)
{
	uint8_t message[128];
	const struct tw_datagram init = { .version = TW_VERSION_1,
					  .scid = scid,
					  .pattern = TW_PATTERN_IK,
					  .cookie = cookie,
					  .message = message,
					  .message_length = sizeof message };

	tw_random_fill(&world->random, message, sizeof message);
	return tw_datagram_write_init(&init, ret, TW_DATAGRAM_INIT_MIN);
}

/* The relay sends. */
static inline void world_sent(struct world *world, const struct tw_address *to,
			      const uint8_t *bytes, size_t length)
{
	world_ledger(world, to)->out += length;
	if (tw_address_equal(to, &world->mapped[PEER]))
		world_put(world, PEER, &world->public, bytes, length);
	else if (tw_address_equal(to, &world->mapped[SERVER]) && !world->udp_cut)
		world_put(world, SERVER, &world->public, bytes, length);
	else
		world->strays++;
}

static inline void world_at_relay(struct world *world, const struct tw_address *from,
				  uint8_t *bytes, size_t length)
{
	struct tw_relay_server *server = world_server(world);
	struct tw_relay_train train = { .from = { .there = true, .path = { world->public, *from } },
					.bytes = bytes,
					.length = length,
					.segment = (uint32_t)length };
	struct tw_relay_hop hop;

	/* A server whose link is cut is still served. */
	if (!server && world->relay && tw_relay_server_count(world->relay))
		server = tw_relay_server_at(world->relay, 0);
	world_ledger(world, from)->in += length;
	if (!world->relay || !server)
		return;
	tw_relay_forward(world->relay, server, &train, world->now, &hop);
	assert_int_equal(hop.length, length);
	if (hop.to.there && !hop.to.link)
		world_sent(world, &hop.to.path.remote, bytes, length);
}

static inline void world_replies(struct world *world)
{
	struct tw_relay_reply reply;

	while (world->relay && tw_relay_reply(world->relay, &reply))
		world_sent(world, &reply.path.remote, reply.bytes, reply.length);
}

static inline void world_deliver(struct world *world)
{
	size_t kept = 0;

	for (size_t i = 0; i < world->flight_count; i++) {
		struct flight *flight = &world->flights[i];
		struct tw_path path = { world_address(0, 0), flight->from };

		if (flight->arrives > world->now) {
			if (kept != i)
				world->flights[kept] = *flight;
			kept++;
			continue;
		}
		if (flight->to == RELAY) {
			struct flight copy = *flight;

			/* What comes of it is put behind, and stays in its place. */
			world_at_relay(world, &copy.from, copy.bytes, copy.length);
		} else if (flight->to == SERVER && flight->bytes[0] == TW_RELAY_LEG_SEEN) {
			tw_relay_client_leg_answer(world->client, flight->bytes, flight->length,
						   world->now);
		} else {
			path.local.family = TW_FAMILY_NONE;
			tw_endpoint_receive(world->sides[flight->to].endpoint, &path, flight->bytes,
					    flight->length, world->now);
		}
	}
	world->flight_count = kept;
}

static inline void world_pump_endpoint(struct world *world, int which)
{
	static uint8_t buffer[65536];
	struct tw_train train = { .bytes = buffer, .room = sizeof buffer };

	while (tw_endpoint_send(world->sides[which].endpoint, &train, world->now)) {
		for (size_t at = 0; at < train.length; at += train.segment) {
			size_t left = train.length - at;
			size_t length = left < train.segment ? left : train.segment;

			if (which == SERVER && tw_address_equal(&train.path.remote, &world->door))
				(void)tw_relay_client_tunnel(world->client, buffer + at, length);
			else if (tw_address_equal(&train.path.remote,
						  which == PEER ? &world->direct
								: &world->mapped[PEER]))
				world_direct(world, which, buffer + at, length);
			else if (tw_address_equal(&train.path.remote, &world->public) &&
				 !(which == SERVER && world->udp_cut))
				world_put(world, RELAY, &world->mapped[which], buffer + at, length);
			else
				world->elsewhere += length;
		}
	}
}

static inline void world_pump_client(struct world *world)
{
	uint8_t leg[TW_RELAY_LEG_SIZE], punch[TW_PROBE_SIZE], binding[TW_RELAY_BINDING] = { 7 };
	struct tw_address to;
	size_t length;
	bool asks;

	tw_relay_client_timeout(world->client, world->now);
	if (world->link && (tw_relay_client_dead(world->client) || tw_relay_link_over(world->link)))
		world_cut_link(world);
	if (!world->link && world->now >= tw_relay_client_dial_at(world->client)) {
		tw_relay_client_connected(world->client, binding, world->now);
		if (world->relay && !world->control_cut)
			assert_int_equal(tw_relay_link_new(world->relay, binding,
							   &world->mapped[SERVER], world->now,
							   &world->link),
					 0);
		else
			tw_relay_client_disconnected(world->client, world->now);
	}
	while ((length = tw_relay_client_leg(world->client, world->now, &asks, leg)) > 0)
		if (!world->udp_cut)
			world_put(world, RELAY, &world->mapped[SERVER], leg, length);
	while ((length = tw_relay_client_punch(world->client, world->now, &to, punch)) > 0) {
		world->punches++;
		if (tw_address_equal(&to, &world->mapped[PEER]))
			world_direct(world, SERVER, punch, length);
	}
}

static inline void world_from_link(struct world *world)
{
	const uint8_t *bytes;
	size_t length;

	while (world->link && (bytes = tw_relay_client_output(world->client, &length), length)) {
		size_t taken = tw_relay_link_receive(world->link, bytes, length, world->now);
		struct tw_relay_hop hop;
		const uint8_t *datagram;

		tw_relay_client_sent(world->client, taken);
		while (tw_relay_link_datagram(world->link, world->now, &datagram, &hop))
			if (hop.to.there && !hop.to.link)
				world_sent(world, &hop.to.path.remote, datagram, hop.length);
	}
}

static inline void world_to_client(struct world *world)
{
	const uint8_t *bytes, *datagram;
	size_t length, datagram_length;
	struct tw_path path = { { .family = TW_FAMILY_NONE }, world->door };
	uint8_t copy[TW_DATAGRAM_MAX];

	while (world->link && (bytes = tw_relay_link_output(world->link, &length), length)) {
		tw_relay_link_sent(world->link, tw_relay_client_receive(world->client, bytes,
									length, world->now));
		while (tw_relay_client_datagram(world->client, world->now, &datagram,
						&datagram_length)) {
			memcpy(copy, datagram, datagram_length);
			tw_endpoint_receive(world->sides[SERVER].endpoint, &path, copy,
					    datagram_length, world->now);
		}
	}
}

/* Runs until @until or until @done (may be NULL) says so. */
static inline bool world_run(struct world *world, tw_ns until, bool (*done)(struct world *))
{
	while (world->now < until) {
		world_deliver(world);
		for (int which = 0; which < 2; which++)
			world_pump_endpoint(world, which);
		world_pump_client(world);
		world_from_link(world);
		world_to_client(world);
		if (world->relay)
			tw_relay_timeout(world->relay, world->now);
		world_replies(world);
		if (done && done(world))
			return true;
		world->now += TW_MSEC / 2;
	}
	return false;
}

static inline bool world_served(struct world *world)
{
	struct tw_relay_server_info info;

	if (!world_server(world))
		return false;
	tw_relay_server_info(world_server(world), &info);
	return info.leg.there;
}

static inline bool world_all_there(struct world *world)
{
	return world->sides[SERVER].got == world->sides[PEER].want &&
	       world->sides[PEER].got == world->sides[SERVER].want;
}

/* The peer calls the server by the relay's public address. */
static inline void world_call(struct world *world, uint64_t want)
{
	const struct tw_connect connect = {
		.remote = world->public,
		.peer_key = world->sides[SERVER].identity.public_key,
		.cipher = TW_CIPHER_128,
		.app = &world_app,
		.app_context = &world->sides[PEER],
	};
	struct tw_conn *conn;

	world->sides[PEER].want = want;
	assert_int_equal(
		tw_endpoint_connect(world->sides[PEER].endpoint, &connect, world->now, &conn), 0);
}

/* A control connection of its own, registered or refused. */
static inline struct tw_relay_link *world_raw_link(struct world *world,
						   struct tw_relay_client *client)
{
	static const uint8_t binding[TW_RELAY_BINDING] = { 9 };
	struct tw_relay_link *link;
	const uint8_t *bytes;
	size_t length;

	assert_int_equal(tw_relay_link_new(world->relay, binding, &world->mapped[SERVER],
					   world->now, &link),
			 0);
	tw_relay_client_connected(client, binding, world->now);
	for (int i = 0; i < 4; i++) {
		bytes = tw_relay_client_output(client, &length);
		tw_relay_client_sent(client,
				     tw_relay_link_receive(link, bytes, length, world->now));
		bytes = tw_relay_link_output(link, &length);
		tw_relay_link_sent(link,
				   tw_relay_client_receive(client, bytes, length, world->now));
	}
	return link;
}
