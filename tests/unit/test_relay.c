/*
 * The relay between real endpoints in virtual time: what passes, what does not, and what it
 * survives. Every test has a bound in that time.
 */
#include "relayworld.h"

#include "crypto/cookie.h"

#define KIB (UINT64_C(1) << 10)

static struct world *served_world(uint64_t seed)
{
	struct world *world = world_new(seed);

	assert_true(world_run(world, world->now + TW_SECOND, world_served));
	return world;
}

/* A connection that has carried something, and has more to carry. */
static struct world *busy_world(uint64_t seed)
{
	struct world *world = served_world(seed);

	world_call(world, 64 * KIB);
	assert_true(world_run(world, world->now + TW_SECOND, world_all_there));
	return world;
}

/* Goes on within @limit, without another handshake. */
static void assert_goes_on(struct world *world, tw_ns limit)
{
	world->sides[PEER].want += 64 * KIB;
	world->sides[SERVER].want += 16 * KIB;
	world_fill(&world->sides[PEER]);
	world_fill(&world->sides[SERVER]);
	assert_true(world_run(world, world->now + limit, world_all_there));
	assert_false(world->sides[PEER].closed);
	assert_int_equal(tw_endpoint_count(world->sides[SERVER].endpoint), 1);
}

static struct tw_relay_server_info info_of(const struct world *world)
{
	struct tw_relay_server_info info;

	tw_relay_server_info(tw_relay_server_at(world->relay, 0), &info);
	return info;
}

static void test_incoming(void **state)
{
	struct world *world = busy_world(1);
	struct tw_relay_client_status status;

	(void)state;
	assert_int_equal(info_of(world).port, TW_RELAY_PORT_PUBLIC);
	assert_int_equal(info_of(world).routes, 1);
	assert_int_equal(info_of(world).half_open, 0);
	assert_int_equal(info_of(world).counters.strays, 0);
	tw_relay_client_status(world->client, &status);
	assert_int_equal(status.routes, 1);
	assert_false(status.tunnelled);
	assert_true(tw_address_equal(&status.seen_udp, &world->mapped[SERVER]));
	assert_goes_on(world, TW_SECOND);
	assert_int_equal(world->strays, 0);
	world_free(world);
}

static void send_raw(struct world *world, const struct tw_address *from, const void *bytes,
		     size_t length)
{
	uint8_t copy[1500];

	memcpy(copy, bytes, length);
	world_at_relay(world, from, copy, length);
	world_replies(world);
}

/* No route, no forwarding: whatever strangers send, nothing leaves. */
static void test_strangers(void **state)
{
	struct world *world = served_world(2);
	const struct tw_address stranger = world_address(66, 6666);
	uint64_t before = world_ledger(world, &world->mapped[SERVER])->out;
	uint8_t bytes[1400];

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		for (unsigned length = 1; length <= sizeof bytes; length += 97) {
			tw_random_fill(&world->random, bytes, length);
			bytes[0] = (uint8_t)type;
			if (type != TW_DATAGRAM_INIT && type != TW_DATAGRAM_DISCOVER)
				send_raw(world, &stranger, bytes, length);
		}
	}
	assert_int_equal(world_ledger(world, &stranger)->out, 0);
	assert_int_equal(world_ledger(world, &world->mapped[SERVER])->out, before);
	assert_int_equal(info_of(world).routes, 0);
	assert_int_equal(info_of(world).counters.datagrams, 0);
	world_free(world);
}

/* It is as good as an answer of the server's, as long as that can be reached. */
static void test_discover(void **state)
{
	struct world *world = served_world(25);
	const struct tw_address stranger = world_address(66, 6666);
	static const uint8_t token[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	const struct tw_datagram ask = { .type = TW_DATAGRAM_DISCOVER, .token = token };
	uint8_t bytes[TW_DISCOVER_SIZE];
	struct tw_relay_reply reply;
	struct tw_datagram answer;

	(void)state;
	assert_int_equal(tw_datagram_write_discover(&ask, bytes, sizeof bytes), sizeof bytes);
	world_at_relay(world, &stranger, bytes, sizeof bytes);
	assert_true(tw_relay_reply(world->relay, &reply));
	assert_true(tw_address_equal(&reply.path.remote, &stranger));
	assert_true(reply.length < sizeof bytes);
	assert_int_equal(tw_datagram_parse(reply.bytes, reply.length, &answer), 0);
	assert_int_equal(answer.type, TW_DATAGRAM_DISCOVERED);
	assert_memory_equal(answer.token, token, sizeof token);
	assert_true(tw_address_equal(&answer.observed, &stranger));
	/* An answer that nobody asked for leads nowhere. */
	world_at_relay(world, &stranger, reply.bytes, reply.length);
	assert_false(tw_relay_reply(world->relay, &reply));
	assert_int_equal(info_of(world).counters.datagrams, 0);
	world_free(world);
}

/* A flood of INITs from invented addresses: bounded memory, cookies, no amplification, and whoever
 * truly wants in still gets in. */
static void test_flood(void **state)
{
	struct world *world = served_world(3);
	uint8_t bytes[TW_DATAGRAM_INIT_MIN];

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		const struct tw_address from =
			world_address((uint8_t)(100 + i % 100), (uint16_t)(1 + i));

		send_raw(world, &from, bytes, world_make_init(world, i + 1, NULL, bytes));
		assert_true(info_of(world).half_open <= TW_RELAY_HALF_OPEN_COOKIE);
		assert_true(world_ledger(world, &from)->out < TW_DATAGRAM_INIT_MIN);
	}
	assert_int_equal(info_of(world).half_open, TW_RELAY_HALF_OPEN_COOKIE);
	world->flight_count = 0; /* the server has seen enough of it */
	world_call(world, 4 * KIB);
	assert_true(world_run(world, world->now + 3 * TW_SECOND, world_all_there));
	assert_int_equal(info_of(world).routes, 1);
	/* Those that came to nothing are forgotten. */
	world_run(world, world->now + TW_RELAY_HALF_OPEN_LIFE + TW_SECOND, NULL);
	assert_int_equal(info_of(world).half_open, 0);
	assert_int_equal(tw_relay_route_count(world->relay), 1);
	world_free(world);
}

static bool is_source(const struct world *world, const struct tw_address *address, size_t room)
{
	struct tw_address list[100];
	size_t count = tw_relay_server_sources(tw_relay_server_at(world->relay, 0), list, room);

	assert_true(room <= 100 && count <= room);
	for (size_t i = 0; i < count; i++)
		if (tw_address_equal(&list[i], address))
			return true;
	return false;
}

/* Where connections come from is known: the server, peers, also those who have just moved; then, as
 * far as there is room, those who may become peers. */
static void test_sources(void **state)
{
	struct world *world = busy_world(31);
	const struct tw_address nobody = world_address(99, 99), first = world->mapped[PEER];
	struct tw_address last = nobody, none[1];
	uint8_t bytes[TW_DATAGRAM_INIT_MIN];

	(void)state;
	assert_true(is_source(world, &world->mapped[SERVER], 2));
	assert_true(is_source(world, &first, 2));
	assert_false(is_source(world, &nobody, 100));
	for (unsigned i = 0; i < 50; i++) {
		last = world_address((uint8_t)(100 + i), (uint16_t)(1 + i));
		send_raw(world, &last, bytes, world_make_init(world, i + 1, NULL, bytes));
	}
	assert_true(is_source(world, &world->mapped[SERVER], 3));
	assert_true(is_source(world, &first, 3));
	assert_true(is_source(world, &last, 3));
	assert_true(is_source(world, &last, 100));
	assert_int_equal(tw_relay_server_sources(tw_relay_server_at(world->relay, 0), none, 1), 2);

	world->flight_count = 0;
	world->mapped[PEER] = world_address(77, 4000);
	assert_goes_on(world, 2 * TW_SECOND);
	assert_true(is_source(world, &world->mapped[PEER], 100));
	assert_true(is_source(world, &world->mapped[SERVER], 100));
	world_free(world);
}

/* Nobody who has not shown that it hears gets more than it sent. */
static void test_no_amplification(void **state)
{
	struct world *world = served_world(4);
	const struct tw_address victim = world_address(66, 6666);
	struct tw_connect connect = { .remote = world->public,
				      .peer_key = world->sides[SERVER].identity.public_key,
				      .cipher = TW_CIPHER_128,
				      .app = &world_app,
				      .app_context = &world->sides[PEER] };
	struct tw_conn *conn;

	(void)state;
	/* True INITs, but from somebody else's address: the answers go there. */
	world->mapped[PEER] = victim;
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(tw_endpoint_connect(world->sides[PEER].endpoint, &connect,
						     world->now, &conn),
				 0);
		tw_conn_set_app(conn, NULL, NULL);
	}
	world_pump_endpoint(world, PEER);
	world->mapped[PEER] = world_address(10, 1000);
	world_run(world, world->now + 200 * TW_MSEC, NULL);
	assert_true(world_ledger(world, &victim)->out > 0);
	assert_true(world_ledger(world, &victim)->out < world_ledger(world, &victim)->in);
	world_free(world);
}

static void put_cid(uint8_t *at, uint64_t cid)
{
	for (unsigned i = 0; i < 8; i++)
		at[i] = (uint8_t)(cid >> (56 - 8 * i));
}

/* One datagram, and what the relay says to where it came from in the next seconds. */
static void ask_once(struct world *world, const struct tw_address *from, const uint8_t *bytes,
		     size_t length)
{
	memset(world->ledger, 0, world->ledger_count * sizeof world->ledger[0]);
	world->ledger_count = 0;
	send_raw(world, from, bytes, length);
	for (unsigned i = 0; i < 3; i++) {
		world->now += 200 * TW_MSEC;
		tw_relay_timeout(world->relay, world->now);
		world_replies(world);
	}
	if (world_ledger(world, from)->out && world_ledger(world, from)->out >= length)
		fail_msg("%lu bytes for %zu of type %u", world_ledger(world, from)->out, length,
			 bytes[0]);
	world->flight_count = 0;
}

/* Whoever has seen the connection ids go by can draw no more out of a relay either. */
static void test_no_amplification_by_cid(void **state)
{
	static const uint8_t types[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
					 0x07, 0x08, 0x10, 0x11, 0x20, 0x21 };
	struct world *world = busy_world(27);
	struct tw_address from = world_address(66, 1);
	uint8_t bytes[1400];
	struct tw_conn_info info[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		tw_conn_info(world->sides[i].conn, &info[i]);
	for (size_t i = 0; i < 4 * ARRAY_SIZE(types); i++) {
		tw_random_fill(&world->random, bytes, sizeof bytes);
		memset(bytes + 32, 0, sizeof bytes - 32);
		bytes[0] = types[i / 4];
		/* The number of a PACKET is far ahead: the side seems to have moved. */
		memset(bytes + 9, 0x40 + (int)i, 4);
		put_cid(bytes + (i & 2 ? 5 : 1), info[i & 1].id);
		for (size_t length = 1; length <= sizeof bytes; length += length < 64 ? 1 : 167) {
			from.port++;
			ask_once(world, &from, bytes, length);
		}
	}
	world_free(world);
}

/* Both sides get new addresses, again and again, in the middle of it. */
static void test_rebinding(void **state)
{
	struct world *world = busy_world(5);

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		uint64_t before = info_of(world).counters.moves;

		world->mapped[i % 2 ? PEER : SERVER] = world_address((uint8_t)(30 + i), 4000);
		assert_goes_on(world, 2 * TW_SECOND);
		assert_true(info_of(world).counters.moves > before || i % 2 == 0);
	}
	world_free(world);
}

/* Somebody on the way sends a newer packet from elsewhere: without an ECHO it gets no more than it
 * sent, and the connection is soon back where it was. */
static void test_stolen_packet(void **state)
{
	struct world *world = busy_world(6);
	const struct tw_address thief = world_address(66, 6666);
	struct tw_conn_info info;
	uint8_t bytes[200] = { 0 };

	(void)state;
	tw_conn_info(world->sides[SERVER].conn, &info);
	tw_datagram_write_packet_header(info.id, false, 1 << 20, bytes);
	send_raw(world, &thief, bytes, sizeof bytes);
	assert_goes_on(world, 6 * TW_SECOND);
	assert_true(world_ledger(world, &thief)->out <= world_ledger(world, &thief)->in);
	world_free(world);
}

/* An old packet that comes again from elsewhere moves nothing. */
static void test_replayed_packet(void **state)
{
	struct world *world = busy_world(7);
	const struct tw_address thief = world_address(66, 6666);
	struct tw_conn_info info;
	uint8_t bytes[200] = { 0 };

	(void)state;
	tw_conn_info(world->sides[SERVER].conn, &info);
	tw_datagram_write_packet_header(info.id, false, 0, bytes);
	send_raw(world, &thief, bytes, sizeof bytes);
	assert_int_equal(info_of(world).counters.moves, 0);
	assert_int_equal(world_ledger(world, &thief)->out, 0);
	assert_goes_on(world, TW_SECOND);
	world_free(world);
}

/* What a server tells of its routes is its word: until there is an ECHO an address gets next to
 * nothing, however often it is told, and what it is told from where. */
static void test_restored_address(void **state)
{
	struct world *world = busy_world(45);
	const struct tw_address victim = world_address(77, 7777);
	const struct tw_relay_message route = {
		.type = TW_RELAY_ROUTE, .server_cid = 770, .peer_cid = 771, .address = victim
	};
	struct tw_datagram echo = { .type = TW_DATAGRAM_ECHO };
	struct tw_relay_reply reply = { 0 };
	uint8_t bytes[1000] = { 0 };
	size_t length = tw_relay_message_write(&route, bytes, sizeof bytes);

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(tw_relay_link_receive(world->link, bytes, length, world->now),
				 length);
	assert_true(tw_relay_reply(world->relay, &reply));
	assert_true(tw_address_equal(&reply.path.remote, &victim));
	assert_int_equal(tw_datagram_parse(reply.bytes, reply.length, &echo), 0);
	assert_int_equal(echo.type, TW_DATAGRAM_PROBE);
	for (unsigned i = 0; i < 100; i++) {
		tw_datagram_write_packet_header(771, false, i, bytes);
		send_raw(world, &world->mapped[SERVER], bytes, sizeof bytes);
		world->mapped[SERVER].port++; /* another LEG each time */
		world_run(world, world->now + 50 * TW_MSEC, NULL);
	}
	assert_true(world_ledger(world, &victim)->out <= 3 * TW_PROBE_SIZE);
	echo.type = TW_DATAGRAM_ECHO;
	echo.dcid = 771;
	length = tw_datagram_write_probe(&echo, bytes, sizeof bytes);
	send_raw(world, &victim, bytes, length);
	memset(bytes, 0, sizeof bytes);
	for (unsigned i = 100; i < 200; i++) {
		tw_datagram_write_packet_header(771, false, i, bytes);
		send_raw(world, &world->mapped[SERVER], bytes, sizeof bytes);
	}
	assert_true(world_ledger(world, &victim)->out >= 100 * sizeof bytes);
	world_free(world);
}

/* Killed and started again, it knows nothing; the server tells it. */
static void test_restart(void **state)
{
	struct world *world = busy_world(8);

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		world_kill_relay(world);
		world_run(world, world->now + 300 * TW_MSEC, NULL);
		/* Something is on its way while it is down; it need not wait for its own timer. */
		world->sides[PEER].want += 64 * KIB;
		world_fill(&world->sides[PEER]);
		world_run(world, world->now + 900 * TW_MSEC, NULL);
		world_start_relay(world);
		assert_true(world_run(world, world->now + 1300 * TW_MSEC, world_all_there));
		assert_goes_on(world, 2 * TW_SECOND);
	}
	assert_int_equal(info_of(world).port, TW_RELAY_PORT_PUBLIC);
	world_free(world);
}

static void test_control_cut(void **state)
{
	struct world *world = busy_world(9);

	(void)state;
	world_cut_link(world);
	world->control_cut = true;
	assert_goes_on(world, TW_SECOND);
	assert_false(info_of(world).linked);
	world->control_cut = false;
	assert_true(world_run(world, world->now + 3 * TW_SECOND, world_served));
	assert_goes_on(world, TW_SECOND);
	/* Gone for good: the port is closed, and nothing is kept. */
	world_cut_link(world);
	world->control_cut = true;
	world_run(world, world->now + TW_RELAY_GRACE + TW_SECOND, NULL);
	assert_int_equal(tw_relay_server_count(world->relay), 0);
	assert_int_equal(tw_relay_route_count(world->relay), 0);
	assert_int_equal(world->open_ports, 0);
	world_free(world);
}

/* UDP is blocked on the server's side, in the middle and from the start; and is free again. */
static void test_tunnel(void **state)
{
	struct world *world = busy_world(10);
	struct tw_relay_client_status status;

	(void)state;
	world->udp_cut = true;
	assert_goes_on(world, 3 * TW_SECOND / 2);
	tw_relay_client_status(world->client, &status);
	assert_true(status.tunnelled);
	world->udp_cut = false;
	world_run(world, world->now + 2 * TW_SECOND, NULL);
	tw_relay_client_status(world->client, &status);
	assert_false(status.tunnelled);
	assert_goes_on(world, 2 * TW_SECOND);
	assert_false(info_of(world).leg.link);
	world_free(world);

	world = world_new(11);
	world->udp_cut = true;
	assert_true(world_run(world, world->now + 4 * TW_SECOND, world_served));
	assert_true(info_of(world).leg.link);
	world_call(world, 64 * KIB);
	assert_true(world_run(world, world->now + 2 * TW_SECOND, world_all_there));
	world_free(world);
}

static struct tw_conn *call_out(struct world *world, const struct tw_ticket *ticket)
{
	struct tw_connect connect = { .remote = world->public,
				      .peer_key = world->sides[PEER].identity.public_key,
				      .cipher = TW_CIPHER_128,
				      .app = &world_app,
				      .app_context = &world->sides[SERVER],
				      .ticket = ticket };
	struct tw_conn *conn;

	world->sides[SERVER].want = 64 * KIB;
	assert_int_equal(
		tw_endpoint_connect(world->sides[SERVER].endpoint, &connect, world->now, &conn), 0);
	return conn;
}

/* The server sends through the relay to a destination that it has named. */
static void test_outgoing(void **state)
{
	struct world *world = served_world(12);
	struct tw_ticket ticket;

	(void)state;
	assert_int_equal(tw_relay_client_destination(world->client, &world->mapped[PEER], &ticket),
			 0);
	call_out(world, &ticket);
	assert_true(world_run(world, world->now + 2 * TW_SECOND, world_all_there));
	assert_int_equal(tw_relay_client_destination_state(world->client, ticket.index), 0);
	world->sides[PEER].want = 0;
	world_kill_relay(world);
	world_start_relay(world);
	world->sides[SERVER].want += 64 * KIB;
	world_fill(&world->sides[SERVER]);
	assert_true(world_run(world, world->now + 2 * TW_SECOND, world_all_there));
	assert_false(world->sides[SERVER].closed);
	/* A new mapping at the server's NAT. */
	world->mapped[SERVER] = world_address(77, 7);
	world->sides[SERVER].want += 64 * KIB;
	world_fill(&world->sides[SERVER]);
	assert_true(world_run(world, world->now + 2 * TW_SECOND, world_all_there));
	world_free(world);
}

/* No ticket, a wrong one, a destination that is not wanted: nothing leaves for it. */
static void test_outgoing_refused(void **state)
{
	static const struct tw_address forbidden[] = {
		{ TW_FAMILY_IPV4, { 127, 0, 0, 1 }, 80, 0 },
		{ TW_FAMILY_IPV4, { 169, 254, 1, 1 }, 80, 0 },
		{ TW_FAMILY_IPV4, { 224, 0, 0, 1 }, 80, 0 },
		{ TW_FAMILY_IPV4, { 255, 255, 255, 255 }, 80, 0 },
		{ TW_FAMILY_IPV4, { 0, 0, 0, 0 }, 80, 0 },
		{ TW_FAMILY_IPV4, { 10, 0, 0, 1 }, 0, 0 },
		{ TW_FAMILY_IPV6, { [15] = 1 }, 80, 0 },
		{ TW_FAMILY_IPV6, { 0xfe, 0x80, [15] = 1 }, 80, 0 },
		{ TW_FAMILY_IPV6, { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 }, 80, 0 },
	};
	struct world *world = served_world(13);
	struct tw_ticket ticket;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
		assert_int_equal(tw_relay_client_destination(world->client, &forbidden[i], &ticket),
				 0);
		world_run(world, world->now + 10 * TW_MSEC, NULL);
		assert_int_equal(tw_relay_client_destination_state(world->client, ticket.index),
				 TW_E_DENIED);
	}
	assert_int_equal(tw_relay_client_destination(world->client, &world->mapped[PEER], &ticket),
			 0);
	ticket.key.bytes[0] ^= 1;
	call_out(world, &ticket);
	call_out(world, NULL);
	world_run(world, world->now + TW_SECOND, NULL);
	assert_int_equal(world_ledger(world, &world->mapped[PEER])->out, 0);
	assert_false(world->sides[PEER].established);
	world_free(world);
}

static void assert_remote(const struct world *world, int side, const struct tw_address *remote)
{
	struct tw_conn_info info;

	tw_conn_info(world->sides[side].conn, &info);
	assert_true(tw_address_equal(&info.path.remote, remote));
}

/* Both can reach each other: the connection leaves the relay by itself, comes back within a second
 * when the direct way breaks, and tries it again later. */
static void test_direct_way(void **state)
{
	struct world *world = served_world(23);

	(void)state;
	tw_endpoint_set_offers(world->sides[SERVER].endpoint, &world->direct, 1);
	world_call(world, 64 * KIB);
	assert_true(world_run(world, world->now + TW_SECOND, world_all_there));
	world_run(world, world->now + TW_SECOND, NULL);
	assert_goes_on(world, TW_SECOND);
	assert_remote(world, PEER, &world->direct);
	assert_remote(world, SERVER, &world->mapped[PEER]);
	world->direct_cut = true;
	assert_goes_on(world, TW_SECOND);
	assert_remote(world, PEER, &world->public);
	assert_goes_on(world, TW_SECOND);
	assert_remote(world, SERVER, &world->public);
	/* It is tried again, in vain, then with success; nothing is felt of it. */
	world_run(world, world->now + 45 * TW_SECOND, NULL);
	assert_goes_on(world, TW_SECOND);
	assert_remote(world, PEER, &world->public);
	world->direct_cut = false;
	world_run(world, world->now + 70 * TW_SECOND, NULL);
	assert_goes_on(world, TW_SECOND);
	assert_remote(world, PEER, &world->direct);
	assert_remote(world, SERVER, &world->mapped[PEER]);
	world_free(world);
}

/* There is no way, as between two NATs that show each another port to each: it stays with the
 * relay, does not flap, and neither side spends many datagrams on it. */
static void test_no_direct_way(void **state)
{
	struct world *world = served_world(24);
	uint64_t asked;

	(void)state;
	world->direct_cut = true;
	tw_endpoint_set_offers(world->sides[SERVER].endpoint, &world->direct, 1);
	world_call(world, 64 * KIB);
	assert_true(world_run(world, world->now + TW_SECOND, world_all_there));
	asked = world->direct_datagrams - world->punches;
	assert_true(asked >= 1);
	for (unsigned i = 0; i < 20; i++) {
		assert_goes_on(world, TW_SECOND);
		assert_remote(world, PEER, &world->public);
		world_run(world, world->now + TW_SECOND, NULL);
	}
	assert_int_equal(info_of(world).counters.moves, 0);
	assert_true(world->direct_datagrams - world->punches <= asked + 4);
	assert_in_range(world->punches, 6, 10);
	world_free(world);
}

/* Both are behind NATs that let in only whom they have written to: as both write, both are let in.
 */
static void test_two_nats(void **state)
{
	struct world *world = served_world(26);
	struct tw_conn_info info;

	(void)state;
	world->restricted = true;
	tw_endpoint_set_offers(world->sides[SERVER].endpoint, &world->direct, 1);
	world_call(world, 64 * KIB);
	assert_true(world_run(world, world->now + TW_SECOND, world_all_there));
	world_run(world, world->now + 2 * TW_SECOND, NULL);
	assert_goes_on(world, TW_SECOND);
	assert_remote(world, PEER, &world->direct);
	assert_remote(world, SERVER, &world->mapped[PEER]);
	tw_conn_info(world->sides[PEER].conn, &info);
	assert_false(info.relayed);
	/* The relay has not forgotten it after ten minutes: it is the way back, at once. */
	world_run(world, world->now + 600 * TW_SECOND, NULL);
	assert_int_equal(info_of(world).routes, 1);
	world->direct_cut = true;
	assert_goes_on(world, TW_SECOND);
	assert_remote(world, PEER, &world->public);
	tw_conn_info(world->sides[PEER].conn, &info);
	assert_true(info.relayed);
	world_free(world);
}

/* The NAT before the server shows the peer another port than was offered: the peer learns it from
 * what comes from there. */
static void test_learned_way(void **state)
{
	struct world *world = served_world(27);
	const struct tw_address wrong = world_address(20, 9998);

	(void)state;
	tw_endpoint_set_offers(world->sides[SERVER].endpoint, &wrong, 1);
	world_call(world, 64 * KIB);
	assert_true(world_run(world, world->now + TW_SECOND, world_all_there));
	world_run(world, world->now + TW_SECOND, NULL);
	assert_goes_on(world, TW_SECOND);
	assert_remote(world, PEER, &world->direct);
	world->direct_cut = true;
	assert_goes_on(world, TW_SECOND);
	assert_remote(world, PEER, &world->public);
	world_free(world);
}

/* Anybody who knows the id can ask from wherever he says he is: less goes there than he sends, and
 * nothing moves. */
static void test_forged_punches(void **state)
{
	struct world *world = served_world(28);
	static const uint8_t token[TW_PROBE_TOKEN_SIZE];
	struct tw_conn_info info;
	uint8_t bytes[TW_PROBE_SIZE];
	uint64_t forged = 0;

	(void)state;
	world->direct_cut = true;
	tw_endpoint_set_offers(world->sides[SERVER].endpoint, &world->direct, 1);
	world_call(world, 64 * KIB);
	assert_true(world_run(world, world->now + TW_SECOND, world_all_there));
	tw_conn_info(world->sides[PEER].conn, &info);
	for (unsigned i = 0; i < 3000; i++) {
		const struct tw_datagram probe = { .type = TW_DATAGRAM_PROBE,
						   .dcid = info.id,
						   .token = token };
		/* From as many places, from one, from two in turns. */
		uint16_t port = (uint16_t)(i < 1000 ? i : i < 2000 ? 0 : i % 2);
		const struct tw_path path = { .remote = world_address(66, 1000 + port) };

		assert_int_equal(tw_datagram_write_probe(&probe, bytes, sizeof bytes),
				 sizeof bytes);
		forged += sizeof bytes;
		tw_endpoint_receive(world->sides[PEER].endpoint, &path, bytes, sizeof bytes,
				    world->now);
		world_run(world, world->now + TW_MSEC, NULL);
		assert_true(world->elsewhere < forged);
	}
	assert_in_range(world->elsewhere, 1, forged / 2);
	assert_goes_on(world, TW_SECOND);
	assert_remote(world, PEER, &world->public);
	world_free(world);
}

static void test_not_allowed(void **state)
{
	struct world *world = world_new(14);
	struct tw_relay_client_status status;

	(void)state;
	world->allow = false;
	world_run(world, world->now + 2 * TW_SECOND, NULL);
	tw_relay_client_status(world->client, &status);
	assert_int_equal(status.refusal, TW_RELAY_NOT_ALLOWED);
	assert_int_equal(tw_relay_server_count(world->relay), 0);
	/* It is allowed later, and gets in by itself. */
	world->allow = true;
	assert_true(world_run(world, world->now + 8 * TW_SECOND, world_served));
	world_free(world);
}

/* A relay with another key than the one expected, or another TLS connection: no service. */
static void test_wrong_relay(void **state)
{
	struct world *world = world_new(15);

	(void)state;
	assert_int_equal(tw_identity_generate(&world->random, &world->relay_identity), 0);
	world_run(world, world->now + 2 * TW_SECOND, NULL);
	assert_int_equal(tw_relay_server_count(world->relay), 0);
	world_free(world);
}

/* Each server a port of its own, as long as there are some; one key, one place. */
static void test_ports(void **state)
{
	struct world *world = served_world(16);
	struct tw_relay_client *clients[6];
	struct tw_relay_link *links[6];
	struct tw_identity identities[6];
	struct tw_relay_client_status status;

	(void)state;
	world->taken_ports[0] = TW_RELAY_PORT_FIRST + 1;
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		struct tw_relay_client_config config = { .identity = &identities[i],
							 .relay = world->relay_identity.public_key,
							 .random = world->random,
							 .accepts = i % 2 == 0,
							 .port = TW_RELAY_PORT_FIRST + 2 };

		assert_int_equal(tw_identity_generate(&world->random, &identities[i]), 0);
		assert_int_equal(tw_relay_client_new(&config, world->now, &clients[i]), 0);
		links[i] = world_raw_link(world, clients[i]);
		tw_relay_client_status(clients[i], &status);
		if (i < 3) { /* +2 as wished, then the first free ones */
			static const uint16_t expected[] = { 2, 0, 3 };

			assert_int_equal(status.state, TW_RELAY_CLIENT_SERVED);
			assert_int_equal(status.port, TW_RELAY_PORT_FIRST + expected[i]);
		} else {
			assert_int_equal(status.refusal, TW_RELAY_FULL);
			assert_true(tw_relay_link_over(links[i]));
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		tw_relay_link_free(links[i], world->now);
		tw_relay_client_free(clients[i]);
	}
	assert_int_equal(tw_relay_server_count(world->relay), 4);
	world_run(world, world->now + TW_RELAY_GRACE + TW_SECOND, NULL);
	assert_int_equal(tw_relay_server_count(world->relay), 1);
	world_free(world);
}

/* Another run with the same key takes the place over; the old one is told why. */
static void test_take_over(void **state)
{
	struct world *world = busy_world(17);
	struct tw_relay_client_config config = { .identity = &world->sides[SERVER].identity,
						 .relay = world->relay_identity.public_key,
						 .random = world->random,
						 .accepts = true };
	struct tw_relay_client_status status;
	struct tw_relay_client *other;
	struct tw_relay_link *link;

	(void)state;
	assert_int_equal(tw_relay_client_new(&config, world->now, &other), 0);
	link = world_raw_link(world, other);
	tw_relay_client_status(other, &status);
	assert_int_equal(status.state, TW_RELAY_CLIENT_SERVED);
	assert_int_equal(status.port, TW_RELAY_PORT_PUBLIC);
	assert_int_equal(tw_relay_server_count(world->relay), 1);
	assert_int_equal(info_of(world).routes, 0);
	world_to_client(world);
	tw_relay_client_status(world->client, &status);
	assert_int_equal(status.refusal, TW_RELAY_REPLACED);
	tw_relay_link_free(link, world->now);
	tw_relay_client_free(other);
	world_free(world);
}

/* Whatever an allowed server says, the relay stays well. */
/* A server's own connection, by one way to its relay and by another: it goes on over each within
 * some round trips, and what is still on its way by the old one does not lead it back. */
static void test_other_way_to_the_relay(void **state)
{
	struct world *world = served_world(30);
	struct tw_ticket ticket;
	tw_ns idle;

	(void)state;
	assert_int_equal(tw_relay_client_destination(world->client, &world->mapped[PEER], &ticket),
			 0);
	world_run(world, world->now + 50 * TW_MSEC, NULL);
	call_out(world, &ticket);
	assert_true(world_run(world, world->now + TW_SECOND, world_all_there));
	for (unsigned turn = 0; turn < 4; turn++) {
		bool tunnelled = turn % 2 == 0;

		world->udp_cut = tunnelled;
		idle = world->now + 3 * TW_SECOND;
		while (world->now < idle) {
			struct tw_relay_client_status status;

			world_run(world, world->now + 10 * TW_MSEC, NULL);
			tw_relay_client_status(world->client, &status);
			if (status.tunnelled == tunnelled)
				break;
		}
		tw_conn_go_to(world->sides[SERVER].conn, tunnelled ? &world->door : &world->public,
			      world->now);
		assert_goes_on(world, 300 * TW_MSEC);
		assert_remote(world, SERVER, tunnelled ? &world->door : &world->public);
		assert_remote(world, PEER, &world->public);
	}
	world_free(world);
}

/* A connection that has nothing to say costs the relay next to nothing, lost packets or not. */
static void test_idle_is_quiet(void **state)
{
	struct world *world = busy_world(31);
	uint64_t before;

	(void)state;
	world_run(world, world->now + 5 * TW_SECOND, NULL);
	before = info_of(world).counters.datagrams;
	world_run(world, world->now + 20 * TW_SECOND, NULL);
	assert_in_range(info_of(world).counters.datagrams - before, 1, 10);
	world_free(world);
}

static void test_bad_control(void **state)
{
	struct world *world = served_world(18);
	uint8_t bytes[512];

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		struct tw_relay_link *link = world->link;

		for (unsigned part = 0; part < 20 && link && !tw_relay_link_over(link); part++) {
			size_t length = 1 + tw_prng_below(&world->prng, sizeof bytes);
			struct tw_relay_hop hop;
			const uint8_t *datagram;

			tw_random_fill(&world->random, bytes, length);
			bytes[0] = (uint8_t)tw_prng_below(&world->prng, 64);
			bytes[1] = (uint8_t)tw_prng_below(&world->prng, 16);
			while (tw_relay_link_receive(link, bytes, length, world->now) < length)
				while (tw_relay_link_datagram(link, world->now, &datagram, &hop))
					;
		}
		world_cut_link(world);
		world_run(world, world->now + 500 * TW_MSEC, world_served);
	}
	assert_true(world_run(world, world->now + 3 * TW_SECOND, world_served));
	world_free(world);
}

static void test_idle_route(void **state)
{
	struct world *world = busy_world(19);

	(void)state;
	tw_endpoint_free(world->sides[PEER].endpoint);
	world->sides[PEER].endpoint = NULL;
	world->mapped[PEER] = world_address(99, 9);
	const struct tw_endpoint_config config = { .identity = &world->sides[PEER].identity,
						   .random = world->random };
	assert_int_equal(tw_endpoint_new(&config, world->now, &world->sides[PEER].endpoint), 0);
	/* The server's connection gives up after 30 s; then nothing passes any more. */
	world_run(world, world->now + 100 * TW_SECOND, NULL);
	assert_int_equal(info_of(world).routes, 0);
	struct tw_relay_client_status status;

	tw_relay_client_status(world->client, &status);
	assert_int_equal(status.routes, 0);
	world_free(world);
}

/* A limit in bytes a second holds over any span, for one server and for all. */
static void test_limits(void **state)
{
	for (unsigned all = 0; all < 2; all++) {
		struct world *world = world_new(20);
		uint64_t *rate = all ? &world->config.rate_bps : &world->config.server_rate_bps;
		tw_ns start;

		(void)state;
		*rate = 8000000; /* a megabyte a second */
		world_kill_relay(world);
		world_start_relay(world);
		assert_true(world_run(world, world->now + TW_SECOND, world_served));
		world_call(world, 4 * KIB);
		assert_true(world_run(world, world->now + TW_SECOND, world_all_there));
		start = world->now;
		struct tw_conn_info info;
		uint8_t bytes[1000] = { 0 };
		uint64_t passed = 0;

		tw_conn_info(world->sides[SERVER].conn, &info);
		tw_datagram_write_packet_header(info.id, false, 500, bytes);
		while (world->now < start + TW_SECOND) {
			while (tw_relay_ready_at(world->relay, world_server(world)) <= world->now) {
				send_raw(world, &world->mapped[PEER], bytes, sizeof bytes);
				passed += sizeof bytes;
			}
			world->flight_count = 0;
			world->now += TW_MSEC;
		}
		assert_in_range(passed, 990000, 1052000);
		world_free(world);
	}
}

/* Trains are cut where the connection changes, and nowhere else. */
static void test_trains(void **state)
{
	struct world *world = busy_world(21);
	struct tw_conn_info info;
	uint8_t bytes[10 * 100] = { 0 };
	struct tw_relay_train train = { .from = { .there = true,
						  .path.remote = world->mapped[PEER] },
					.bytes = bytes,
					.length = sizeof bytes - 30,
					.segment = 100 };
	struct tw_relay_hop hop;

	(void)state;
	tw_conn_info(world->sides[SERVER].conn, &info);
	for (unsigned i = 0; i < 10; i++)
		tw_datagram_write_packet_header(info.id ^ (i == 4), i & 1, 1000 + i,
						bytes + i * 100);
	tw_relay_forward(world->relay, world_server(world), &train, world->now, &hop);
	assert_int_equal(hop.length, 400);
	assert_true(hop.to.there);
	assert_true(tw_address_equal(&hop.to.path.remote, &world->mapped[SERVER]));
	train.bytes += 400;
	train.length -= 400;
	tw_relay_forward(world->relay, world_server(world), &train, world->now, &hop);
	assert_int_equal(hop.length, 100);
	assert_false(hop.to.there);
	train.bytes += 100;
	train.length -= 100;
	tw_relay_forward(world->relay, world_server(world), &train, world->now, &hop);
	assert_int_equal(hop.length, 470);
	assert_true(hop.to.there);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_incoming),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_discover),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_no_amplification),
		cmocka_unit_test(test_no_amplification_by_cid),
		cmocka_unit_test(test_rebinding),
		cmocka_unit_test(test_stolen_packet),
		cmocka_unit_test(test_replayed_packet),
		cmocka_unit_test(test_restored_address),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_control_cut),
		cmocka_unit_test(test_tunnel),
		cmocka_unit_test(test_outgoing),
		cmocka_unit_test(test_outgoing_refused),
		cmocka_unit_test(test_direct_way),
		cmocka_unit_test(test_no_direct_way),
		cmocka_unit_test(test_two_nats),
		cmocka_unit_test(test_learned_way),
		cmocka_unit_test(test_forged_punches),
		cmocka_unit_test(test_not_allowed),
		cmocka_unit_test(test_wrong_relay),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_take_over),
		cmocka_unit_test(test_other_way_to_the_relay),
		cmocka_unit_test(test_idle_is_quiet),
		cmocka_unit_test(test_bad_control),
		cmocka_unit_test(test_idle_route),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_trains),
	};

	return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
