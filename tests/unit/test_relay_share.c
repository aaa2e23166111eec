/*
 * How a relay shares out what it may move, in virtual time: servers whose datagrams wait in queues
 * of their own before their ports, and senders that adapt to what becomes of them.
 */
#include "relayworld.h"

#include "core/door.h"

#define PACKET 1250
#define LIMIT 5000000.0 /* bytes a second; 40 Mbit/s */
#define ROUND (20 * TW_MSEC)
#define STEP (100 * TW_USEC)
#define QUEUE_ROOM 400 /* packets: 100 ms of all there is */
#define TRAIN_MAX 16

struct sharer {
	struct tw_identity identity;
	struct tw_relay_client *client;
	struct tw_relay_link *link;
	uint64_t peer_cid, number;
	void (*adapt)(struct sharer *sharer); /* once a round; NULL: the rate is fixed */
	double rate, owed;                    /* bytes a second, bytes */
	tw_ns queue[QUEUE_ROOM];              /* when each came; the first is at @first */
	size_t first, queued;
	uint64_t passed, lost;        /* packets */
	uint64_t lost_before;         /* the round */
	tw_ns waited, waited_longest; /* in the round; ever */
};

/* Many that take what they get, as those that go by loss do. */
static void greedy(struct sharer *sharer)
{
	if (sharer->lost > sharer->lost_before)
		sharer->rate *= 0.8;
	else
		sharer->rate += 4 * PACKET * (double)TW_SECOND / (double)ROUND;
}

/* One that makes room as soon as it sees a queue. */
static void shy(struct sharer *sharer)
{
	if (sharer->lost > sharer->lost_before || sharer->waited > 2 * TW_MSEC)
		sharer->rate *= 0.9;
	else
		sharer->rate *= 1.03;
}

static struct tw_relay_server *server_of(const struct sharer *sharer)
{
	return tw_relay_link_server(sharer->link);
}

/* The peer is there. */
static void answer_probe(struct world *world, const struct sharer *sharer)
{
	struct tw_datagram echo;
	struct tw_relay_reply probe;
	uint8_t bytes[64];
	struct tw_relay_train train = {
		.from = { .there = true, .path.remote = world->mapped[PEER] }, .bytes = bytes
	};
	struct tw_relay_hop hop;

	assert_true(tw_relay_reply(world->relay, &probe));
	assert_int_equal(tw_datagram_parse(probe.bytes, probe.length, &echo), 0);
	echo.type = TW_DATAGRAM_ECHO;
	train.length = tw_datagram_write_probe(&echo, bytes, sizeof bytes);
	train.segment = (uint32_t)train.length;
	tw_relay_forward(world->relay, server_of(sharer), &train, world->now, &hop);
	assert_false(hop.to.there);
}

/* With a connection that is open, from the server to a peer; all by the control connection. */
static void join(struct world *world, struct sharer *sharer, const struct tw_identity *identity)
{
	struct tw_relay_client_config config = { .identity = &sharer->identity,
						 .relay = world->relay_identity.public_key,
						 .random = world->random };
	struct tw_relay_message route = { .type = TW_RELAY_ROUTE,
					  .flags = TW_RELAY_OUTGOING,
					  .server_cid = tw_random_u64(&world->random),
					  .peer_cid = tw_random_u64(&world->random),
					  .address = world->mapped[PEER] };
	uint8_t bytes[256];
	size_t length = tw_relay_message_write(&route, bytes, sizeof bytes);

	*sharer = (struct sharer){ .peer_cid = route.peer_cid };
	if (identity)
		sharer->identity = *identity;
	else
		assert_int_equal(tw_identity_generate(&world->random, &sharer->identity), 0);
	assert_int_equal(tw_relay_client_new(&config, world->now, &sharer->client), 0);
	sharer->link = world_raw_link(world, sharer->client);
	assert_int_equal(tw_relay_link_receive(sharer->link, bytes, length, world->now), length);
	if (server_of(sharer))
		answer_probe(world, sharer);
}

static void leave(struct world *world, struct sharer *sharer)
{
	tw_relay_link_free(sharer->link, world->now);
	tw_relay_client_free(sharer->client);
}

/* Who returns his cookies, as often as he likes, has only so many of the half-open ones; others get
 * in beside him. */
static void test_flood_from_one_address(void **state)
{
	const struct tw_address attacker = world_address(66, 6666);
	struct world *world = world_new(33);
	uint8_t bytes[TW_DATAGRAM_INIT_MIN];
	struct tw_relay_server_info info;
	struct tw_relay_reply reply;
	struct tw_datagram retry;

	(void)state;
	assert_true(world_run(world, world->now + TW_SECOND, world_served));
	for (unsigned i = 0; i < 3000; i++) {
		size_t length = world_make_init(world, i + 1, NULL, bytes);

		world_at_relay(world, &attacker, bytes, length);
		if (tw_relay_reply(world->relay, &reply)) {
			assert_int_equal(tw_datagram_parse(reply.bytes, reply.length, &retry), 0);
			length = world_make_init(world, i + 1, retry.cookie, bytes);
			world_at_relay(world, &attacker, bytes, length);
		}
		world->flight_count = 0;
	}
	tw_relay_server_info(world_server(world), &info);
	assert_in_range(info.half_open, TW_RELAY_HALF_OPEN_COOKIE,
			TW_RELAY_HALF_OPEN_COOKIE + TW_DOOR_PROVED_BURST);
	world_call(world, 4096);
	assert_true(world_run(world, world->now + 3 * TW_SECOND, world_all_there));
	tw_relay_server_info(world_server(world), &info);
	assert_int_equal(info.routes, 1);
	world_free(world);
}

/* One key has the relay send more than it has room for: what another is told stays. */
static void test_replies(void **state)
{
	struct world *world = world_new(9);
	struct tw_relay_train train = { .from = { .there = true,
						  .path.remote = world->mapped[PEER] },
					.length = TW_RELAY_LEG_SIZE,
					.segment = TW_RELAY_LEG_SIZE };
	struct sharer loud, quiet;
	uint8_t leg[TW_RELAY_LEG_SIZE], bytes[256];
	struct tw_relay_reply reply;
	struct tw_relay_hop hop;
	unsigned seen = 0, probes = 0;
	bool asks;

	(void)state;
	join(world, &loud, NULL);
	join(world, &quiet, NULL);
	assert_int_equal(tw_relay_client_leg(quiet.client, world->now, &asks, leg), sizeof leg);
	train.bytes = leg;
	tw_relay_forward(world->relay, server_of(&quiet), &train, world->now, &hop);
	for (unsigned i = 0; i < 2 * TW_RELAY_REPLIES_MAX; i++) {
		struct tw_relay_message route = { .type = TW_RELAY_ROUTE,
						  .flags = TW_RELAY_OUTGOING,
						  .server_cid = tw_random_u64(&world->random),
						  .peer_cid = tw_random_u64(&world->random),
						  .address = world->mapped[PEER] };
		size_t length = tw_relay_message_write(&route, bytes, sizeof bytes);

		assert_int_equal(tw_relay_link_receive(loud.link, bytes, length, world->now),
				 length);
	}
	while (tw_relay_reply(world->relay, &reply)) {
		seen += reply.bytes[0] == TW_RELAY_LEG_SEEN && reply.server == server_of(&quiet);
		probes += reply.bytes[0] == TW_DATAGRAM_PROBE && reply.server == server_of(&loud);
	}
	assert_int_equal(seen, 1);
	assert_int_equal(probes, TW_RELAY_REPLIES_MAX - 1);
	leave(world, &loud);
	leave(world, &quiet);
	world_free(world);
}

static void come(struct sharer *sharer, tw_ns now)
{
	sharer->owed += sharer->rate * (double)STEP / (double)TW_SECOND;
	for (; sharer->owed >= PACKET; sharer->owed -= PACKET) {
		if (sharer->queued == QUEUE_ROOM)
			sharer->lost++;
		else
			sharer->queue[(sharer->first + sharer->queued++) % QUEUE_ROOM] = now;
	}
}

/* A train of what waits; the relay may be asked again only when all of it has passed. */
static void pass(struct world *world, struct sharer *sharer)
{
	static uint8_t bytes[TRAIN_MAX * PACKET];
	size_t count = sharer->queued < TRAIN_MAX ? sharer->queued : TRAIN_MAX;
	struct tw_relay_train train = { .from = { .there = true, .link = true },
					.bytes = bytes,
					.segment = PACKET };
	tw_ns waited = world->now - sharer->queue[sharer->first];
	struct tw_relay_hop hop;

	for (size_t i = 0; i < count; i++)
		tw_datagram_write_packet_header(sharer->peer_cid, false, sharer->number++,
						bytes + i * PACKET);
	for (size_t done = 0; done < count; done += train.length / PACKET) {
		train.bytes = bytes + done * PACKET;
		train.length = (count - done < 4 ? count - done : 4) * PACKET;
		tw_relay_forward(world->relay, server_of(sharer), &train, world->now, &hop);
		assert_true(hop.to.there);
		assert_int_equal(hop.length, train.length);
	}
	sharer->waited = tw_ns_max(sharer->waited, waited);
	sharer->waited_longest = tw_ns_max(sharer->waited_longest, waited);
	sharer->first = (sharer->first + count) % QUEUE_ROOM;
	sharer->queued -= count;
	sharer->passed += count;
}

/* As the relay's program does it: whoever has something and may; who was served goes behind. */
static void serve(struct world *world, struct sharer **order, size_t count)
{
	for (size_t i = 0; i < count;) {
		struct sharer *sharer = order[i];

		if (!sharer->queued ||
		    tw_relay_ready_at(world->relay, server_of(sharer)) > world->now) {
			i++;
			continue;
		}
		pass(world, sharer);
		memmove(order + i, order + i + 1, (count - i - 1) * sizeof *order);
		order[count - 1] = sharer;
		i = 0;
	}
}

static void run(struct world *world, struct sharer *sharers, size_t count, tw_ns span)
{
	tw_ns end = world->now + span, round = world->now + ROUND;
	struct sharer *order[8];

	assert_true(count <= ARRAY_SIZE(order));
	for (size_t i = 0; i < count; i++)
		order[i] = &sharers[i];

	for (; world->now < end; world->now += STEP) {
		for (size_t i = 0; i < count; i++)
			come(&sharers[i], world->now);
		serve(world, order, count);
		for (size_t i = 0; world->now >= round && i < count; i++) {
			if (sharers[i].adapt)
				sharers[i].adapt(&sharers[i]);
			sharers[i].lost_before = sharers[i].lost;
			sharers[i].waited = 0;
		}
		if (world->now >= round)
			round += ROUND;
	}
}

/* Parts of the limit that each got, behind a span to find them in. */
static void measure(struct world *world, struct sharer *sharers, size_t count, double *parts)
{
	run(world, sharers, count, 5 * TW_SECOND);
	for (size_t i = 0; i < count; i++)
		sharers[i].passed = sharers[i].lost = sharers[i].lost_before =
			sharers[i].waited_longest = 0;
	run(world, sharers, count, 10 * TW_SECOND);
	for (size_t i = 0; i < count; i++)
		parts[i] = (double)sharers[i].passed * PACKET / (10 * LIMIT);
}

static struct world *sharing_world(uint64_t seed, double all, double each)
{
	struct world *world = world_new(seed);

	world->config.rate_bps = (uint64_t)(all * 8);
	world->config.server_rate_bps = (uint64_t)(each * 8);
	world->config.port_last = world->config.port_first + 99;
	world_kill_relay(world);
	world_start_relay(world);
	return world;
}

static void assert_part(double part, double least, double most)
{
	if (part < least || part > most)
		fail_msg("%.3f is not within %.3f and %.3f", part, least, most);
}

/* Who gives way to queues gets its half beside those who do not: its own queue is all that it
 * meets. */
static void test_shy_beside_greedy(void **state)
{
	struct world *world = sharing_world(40, LIMIT, 0);
	static struct sharer sharers[2];
	double parts[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		join(world, &sharers[i], NULL);
		sharers[i].rate = 200000;
		sharers[i].adapt = i ? shy : greedy;
	}
	measure(world, sharers, 2, parts);
	assert_part(parts[0] + parts[1], 0.97, 1.01);
	assert_part(parts[1], 0.43, 0.51);
	assert_int_equal(sharers[1].lost, 0);
	for (size_t i = 0; i < 2; i++)
		leave(world, &sharers[i]);
	world_free(world);
}

/* Who asks for less than its part has it without a loss and without waiting, and the others have
 * what it leaves. */
static void test_under_its_part(void **state)
{
	struct world *world = sharing_world(41, LIMIT, 0);
	static struct sharer sharers[3];
	double parts[3];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		join(world, &sharers[i], NULL);
		sharers[i].rate = i ? 2 * LIMIT : 0.2 * LIMIT;
	}
	measure(world, sharers, 3, parts);
	assert_part(parts[0], 0.199, 0.201);
	assert_int_equal(sharers[0].lost, 0);
	assert_true(sharers[0].waited_longest <= TW_MSEC);
	assert_part(parts[1], 0.36, 0.44);
	assert_part(parts[2], 0.36, 0.44);
	assert_part(parts[0] + parts[1] + parts[2], 0.97, 1.01);
	/* Nobody else is there: all is for one. */
	sharers[0].rate = sharers[1].rate = 0;
	measure(world, sharers, 3, parts);
	assert_part(parts[2], 0.97, 1.01);
	for (size_t i = 0; i < 3; i++)
		leave(world, &sharers[i]);
	world_free(world);
}

/* More programs with the same key do not get more, neither of all nor of what one key may have. */
static void test_part_of_a_key(void **state)
{
	static struct sharer sharers[5];

	(void)state;
	for (unsigned limited = 0; limited < 2; limited++) {
		struct world *world = sharing_world(42, LIMIT, limited ? 0.3 * LIMIT : 0);
		double parts[5], of_one = 0;

		for (size_t i = 0; i < 5; i++) {
			join(world, &sharers[i], i > 1 ? &sharers[1].identity : NULL);
			sharers[i].rate = LIMIT;
		}
		assert_true(tw_relay_same_key(server_of(&sharers[1]), server_of(&sharers[4])));
		assert_false(tw_relay_same_key(server_of(&sharers[0]), server_of(&sharers[4])));
		measure(world, sharers, 5, parts);
		for (size_t i = 1; i < 5; i++)
			of_one += parts[i];
		assert_part(parts[0], limited ? 0.29 : 0.45, limited ? 0.31 : 0.55);
		assert_part(of_one, limited ? 0.29 : 0.45, limited ? 0.31 : 0.55);
		for (size_t i = 0; i < 5; i++)
			leave(world, &sharers[i]);
		world_free(world);
	}
}

/* One key takes neither all places nor all ports; a program of it that has ended makes room. */
static void test_places_of_a_key(void **state)
{
	struct world *world = sharing_world(43, 0, 0);
	static struct sharer sharers[TW_RELAY_KEY_SERVERS_MAX + 1];
	struct sharer *last = &sharers[TW_RELAY_KEY_SERVERS_MAX];
	struct sharer other;
	size_t count = TW_RELAY_KEY_SERVERS_MAX;

	(void)state;
	for (size_t i = 0; i < count; i++)
		join(world, &sharers[i], i ? &sharers[0].identity : NULL);
	assert_int_equal(tw_relay_server_count(world->relay), count);
	join(world, last, &sharers[0].identity);
	assert_null(server_of(last));
	assert_true(tw_relay_link_over(last->link));
	join(world, &other, NULL);
	assert_non_null(server_of(&other));
	leave(world, last);
	leave(world, &sharers[3]);
	world->now += TW_SECOND;
	leave(world, &sharers[7]);
	assert_int_equal(tw_relay_server_count(world->relay), count + 1);
	join(world, last, &sharers[0].identity);
	assert_non_null(server_of(last));
	assert_int_equal(tw_relay_server_count(world->relay), count + 1);
	leave(world, last);
	for (size_t i = 0; i < count; i++)
		if (i != 3 && i != 7)
			leave(world, &sharers[i]);
	leave(world, &other);
	world_free(world);
}

/* The only port left is that of a program that has ended: the next one of its key has it. */
static void test_port_of_a_key(void **state)
{
	struct world *world = sharing_world(44, 0, 0);
	struct sharer gone, next, other;

	(void)state;
	world->config.port_last = world->config.port_first;
	world->config.port_wanted = 0;
	world_kill_relay(world);
	world_start_relay(world);
	join(world, &gone, NULL);
	assert_non_null(server_of(&gone));
	leave(world, &gone);
	join(world, &other, NULL);
	assert_null(server_of(&other));
	join(world, &next, &gone.identity);
	assert_non_null(server_of(&next));
	assert_int_equal(world->open_ports, 1);
	leave(world, &other);
	leave(world, &next);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shy_beside_greedy),
		cmocka_unit_test(test_under_its_part),
		cmocka_unit_test(test_part_of_a_key),
		cmocka_unit_test(test_places_of_a_key),
		cmocka_unit_test(test_port_of_a_key),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_flood_from_one_address),
	};

	return cmocka_run_group_tests_name("relay_share", tests, NULL, NULL);
}
