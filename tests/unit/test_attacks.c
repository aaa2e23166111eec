/*
 * What somebody on the way, or anybody at all, can do to two endpoints: change each bit of what
 * they say, say it again, make them agree on less than they want, use them to hit others, and knock
 * without end.
 *
 * ATTACK_KIB: the size of the session whose every bit is flipped (16).
 */
#include "unit.h"

#include <stdio.h>

#include "attackscene.h"
#include "crypto/cipher.h"

static void scene_end(struct scene *scene)
{
	tw_conn_close(scene->client, 0, "done");
	wire_run(&scene->wire, scene->wire.now + TW_SECOND / 2, NULL, NULL);
	assert_true(scene->sides[0].closed && scene->sides[1].closed);
}

/* All by which a datagram that was believed would show. */
struct traces {
	uint64_t count, half_open, got, established, closed;
	uint64_t state, packets, bytes, streams, acked, in_flight, window, data_max, updates;
	uint64_t numbers, largest, pings, strays, phase, path_port, peer_cid;
};

static struct traces traces_of(const struct scene *scene, int end)
{
	const struct tw_endpoint *endpoint = scene->wire.ends[end];
	struct traces ret = {
		.count = endpoint->count,
		.half_open = endpoint->half_open,
		.got = scene->sides[end].got,
		.established = scene->sides[end].established,
		.closed = scene->sides[end].closed,
	};

	for (size_t i = 0; i < endpoint->count; i++) {
		const struct tw_conn *conn = endpoint->conns[i];

		ret.state += conn->state + 1;
		ret.packets += conn->packets_received;
		ret.bytes += conn->bytes_received;
		ret.streams += conn->receive_streams.count + conn->send_streams.count;
		ret.acked += conn->recovery.delivered + conn->recovery.largest_acked;
		ret.in_flight += conn->recovery.in_flight;
		ret.data_max += conn->data_max;
		ret.updates += conn->key_updates;
		ret.numbers += conn->acks.total;
		ret.largest += conn->acks.largest;
		ret.pings += conn->ping_owed + conn->path.response_owed + conn->close_owed;
		ret.strays += conn->strays;
		ret.phase += conn->open.phase;
		ret.path_port += conn->path.path.remote.port;
		ret.peer_cid += conn->peer_cid;
	}
	return ret;
}

static void open_door(struct scene *scene, int end)
{
	tw_door_init(&scene->wire.ends[end]->door, &scene->configs[end].random);
}

/* Each bit of what is about to be received, changed: the receiver must stay as it is. */
static void flip_all(struct wire *wire, int to, const struct wire_datagram *datagram)
{
	struct scene *scene = wire->context;
	const struct traces before = traces_of(scene, to);

	if (scene->packets_only && (datagram->bytes[0] & 0xfe) != TW_DATAGRAM_PACKET)
		return;
	for (size_t bit = 0; bit < 8 * datagram->length; bit++) {
		uint8_t bytes[TW_DATAGRAM_MAX];
		struct traces after;

		memcpy(bytes, datagram->bytes, datagram->length);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		/* Or most would be turned away before their message is looked at. */
		if (bit % TW_DOOR_UNPROVED_BURST == 0)
			open_door(scene, to);
		tw_endpoint_receive(wire->ends[to], &datagram->path, bytes, datagram->length,
				    wire->now);
		after = traces_of(scene, to);
		scene->flips++;
		if (memcmp(&before, &after, sizeof before) != 0) {
			print_message("# type %u, %zu bytes, bit %zu was believed\n",
				      datagram->bytes[0], datagram->length, bit);
			scene->accepted++;
			return;
		}
	}
	open_door(scene, to);
}

static size_t session_size(void)
{
	const char *kib = getenv("ATTACK_KIB");

	return (kib ? (size_t)atol(kib) : 16) * KIB;
}

static const struct {
	const char *name;
	enum tw_cipher cipher;
	uint64_t aeads;
	size_t divisor;
	bool crowded; /* the responder asks for a cookie */
	/* The handshake's bits, which take long, are the same as before. */
	bool packets_only;
} sessions[] = {
	{ "128, AES-GCM", TW_CIPHER_128, 0, 1, false, false },
	{ "256, AES-GCM, with a cookie", TW_CIPHER_256, 0, 4, true, false },
	{ "auth, AES-GCM", TW_CIPHER_AUTH, 0, 4, false, true },
	{ "128, ChaCha20-Poly1305", TW_CIPHER_128, TW_AEAD_CHACHA20_POLY1305, 4, false, true },
	{ "auth, ChaCha20-Poly1305", TW_CIPHER_AUTH, TW_AEAD_CHACHA20_POLY1305, 8, false, true },
};

static void test_every_bit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sessions); i++) {
		struct scene *scene = scene_new(i + 1);

		scene->wish = sessions[i].cipher;
		scene->size = session_size() / sessions[i].divisor;
		scene->configs[0].aeads = sessions[i].aeads;
		scene->configs[1].cipher_min = TW_CIPHER_AUTH;
		scene->packets_only = sessions[i].packets_only;
		scene->wire.before = flip_all;
		scene_connect(scene);
		if (sessions[i].crowded)
			scene->wire.ends[1]->half_open += TW_HALF_OPEN_COOKIE;
		scene_talk(scene);
		scene_end(scene);
		print_message("# %s: %lu datagrams, %lu bits flipped, %lu accepted\n",
			      sessions[i].name,
			      scene->wire.datagrams[0] + scene->wire.datagrams[1], scene->flips,
			      scene->accepted);
		assert_true(scene->flips > 8 * scene->size);
		assert_int_equal(scene->accepted, 0);
		scene_free(scene);
	}
}

/* Keeps what is received. */
static void take(struct wire *wire, int to, const struct wire_datagram *datagram)
{
	struct scene *scene = wire->context;
	size_t count = scene->taken_count[to]++;
	struct wire_datagram *copy = malloc(sizeof *copy);

	scene->taken[to] = realloc(scene->taken[to], (count + 1) * sizeof copy);
	assert_non_null(copy);
	assert_non_null(scene->taken[to]);
	*copy = *datagram;
	scene->taken[to][count] = copy;
}

static uint64_t replay(struct scene *scene, int to, uint64_t wanted)
{
	const struct traces before = traces_of(scene, to);
	uint64_t done = 0;

	while (done < wanted) {
		for (size_t i = 0; i < scene->taken_count[to]; i++, done++) {
			const struct wire_datagram *datagram = scene->taken[to][i];
			uint8_t bytes[TW_DATAGRAM_MAX];
			struct traces after;

			memcpy(bytes, datagram->bytes, datagram->length);
			tw_endpoint_receive(scene->wire.ends[to], &datagram->path, bytes,
					    datagram->length, scene->wire.now);
			after = traces_of(scene, to);
			if (memcmp(&before, &after, sizeof before) != 0)
				fail_msg("datagram %zu of type %u was believed again", i,
					 bytes[0]);
		}
	}
	return done;
}

#define REPLAYS UINT64_C(1000000)

static void test_replays(void **state)
{
	struct scene *scene = scene_new(21);
	struct tw_endpoint *fresh;
	uint64_t count = 0;

	(void)state;
	scene->size = 128 * KIB;
	scene->wire.loss = 0.05;
	scene->wire.before = take;
	scene_connect(scene);
	scene_talk(scene);
	scene->wire.before = NULL;
	for (int to = 0; to < 2; to++)
		count += replay(scene, to, REPLAYS / 2);
	print_message("# %lu datagrams said again, 0 accepted\n", count);
	assert_true(count >= REPLAYS);

	/* To a server that was restarted: the INIT is answered, for it could be genuine, and that
	 * is all. */
	assert_int_equal(tw_endpoint_new(&scene->configs[1], scene->wire.now, &fresh), 0);
	for (size_t i = 0; i < scene->taken_count[1]; i++) {
		const struct wire_datagram *datagram = scene->taken[1][i];
		uint8_t bytes[TW_DATAGRAM_MAX];

		memcpy(bytes, datagram->bytes, datagram->length);
		tw_endpoint_receive(fresh, &datagram->path, bytes, datagram->length,
				    scene->wire.now);
	}
	assert_int_equal(fresh->count, 1);
	assert_int_equal(fresh->conns[0]->state, TW_CONN_CONNECTING);
	assert_int_equal(fresh->conns[0]->packets_received, 0);
	tw_endpoint_free(fresh);
	scene_free(scene);
}

/* What the two agree on, for every wish and both least levels. */
static void test_levels(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TW_CIPHER_COUNT * TW_CIPHER_COUNT * TW_CIPHER_COUNT; i++) {
		enum tw_cipher wish = (enum tw_cipher)(i % TW_CIPHER_COUNT);
		enum tw_cipher here = (enum tw_cipher)(i / TW_CIPHER_COUNT % TW_CIPHER_COUNT);
		enum tw_cipher there = (enum tw_cipher)(i / TW_CIPHER_COUNT / TW_CIPHER_COUNT);
		struct scene *scene = scene_new(i);
		bool good = wish >= here && wish >= there;

		scene->wish = wish;
		scene->configs[0].cipher_min = here;
		scene->configs[1].cipher_min = there;
		scene_connect(scene);
		wire_run(&scene->wire, scene->wire.now + TW_SECOND / 2, NULL, NULL);
		assert_int_equal(scene->sides[0].established, good);
		assert_int_equal(scene->sides[1].established, good);
		if (good) {
			assert_int_equal(scene->client->cipher, wish);
			assert_int_equal(tw_endpoint_conn(scene->wire.ends[1], 0)->cipher, wish);
		} else {
			assert_int_equal(scene->sides[0].end, TW_CONN_CIPHER_TOO_WEAK);
		}
		scene_free(scene);
	}
}

/* AES-GCM only where both have it in hardware, here said instead of asked of the processor. */
static void test_algorithms(void **state)
{
	const uint64_t aes = TW_AEAD_AES_GCM | TW_AEAD_CHACHA20_POLY1305;
	const uint64_t no_aes = TW_AEAD_CHACHA20_POLY1305;
	const struct {
		uint64_t here, there, chosen;
	} cases[] = {
		{ aes, aes, TW_AEAD_AES_GCM },
		{ aes, no_aes, TW_AEAD_CHACHA20_POLY1305 },
		{ no_aes, aes, TW_AEAD_CHACHA20_POLY1305 },
		{ no_aes, no_aes, TW_AEAD_CHACHA20_POLY1305 },
		{ TW_AEAD_AES_GCM, no_aes, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scene *scene = scene_new(i);

		scene->configs[0].aeads = cases[i].here;
		scene->configs[1].aeads = cases[i].there;
		scene->size = 2 * KIB;
		scene_connect(scene);
		if (cases[i].chosen) {
			scene_talk(scene);
			assert_int_equal(scene->client->aead, cases[i].chosen);
			assert_int_equal(tw_endpoint_conn(scene->wire.ends[1], 0)->aead,
					 cases[i].chosen);
		} else {
			wire_run(&scene->wire, scene->wire.now + TW_SECOND / 2, NULL, NULL);
			assert_int_equal(scene->sides[0].end, TW_CONN_CIPHER_TOO_WEAK);
		}
		scene_free(scene);
	}
}

/* In the place of what the initiator offers: "no encryption, please", with its own id. */
static bool offer_nothing(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	struct tw_datagram init;
	uint8_t message[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x01, 0x00 };

	(void)wire;
	if (to != 1 || tw_datagram_parse(bytes, *length, &init) ||
	    init.type != TW_DATAGRAM_INIT)
		return true;
	for (unsigned i = 0; i < 8; i++)
		message[i] = (uint8_t)(init.scid >> (56 - 8 * i));
	init.pattern = TW_PATTERN_PLAIN;
	init.message = message;
	init.message_length = sizeof message;
	*length = tw_datagram_write_init(&init, bytes, TW_DATAGRAM_MAX);
	return true;
}

/*
 * Even a responder that would do without encryption cannot be brought to it for somebody who wants
 * it: the initiator does not take the answer.
 */
static void test_no_downgrade(void **state)
{
	(void)state;
	for (unsigned least = 0; least < TW_CIPHER_COUNT; least++) {
		struct scene *scene = scene_new(least);

		scene->configs[1].cipher_min = (enum tw_cipher)least;
		scene->wish = TW_CIPHER_256;
		scene->wire.hook = offer_nothing;
		scene_connect(scene);
		wire_run(&scene->wire, scene->wire.now + 2 * TW_SECOND, NULL, NULL);
		assert_false(scene->sides[0].established || scene->sides[1].established);
		assert_int_equal(scene->sides[0].end, TW_CONN_TIMEOUT);
		assert_int_equal(tw_endpoint_count(scene->wire.ends[1]), least == 0);
		scene_free(scene);
	}
}

#define KEY_PACKETS 50

/* Each number under each key once, in each direction: numbers only grow. */
static void watch_numbers(struct wire *wire, int to, const struct wire_datagram *datagram)
{
	static uint64_t last[2];
	struct scene *scene = wire->context;
	uint32_t number = (uint32_t)datagram->bytes[9] << 24 | (uint32_t)datagram->bytes[10] << 16 |
			  (uint32_t)datagram->bytes[11] << 8 | datagram->bytes[12];

	if ((datagram->bytes[0] & 0xfe) != TW_DATAGRAM_PACKET)
		return;
	if (scene->flips++ == 0)
		last[0] = last[1] = 0;
	assert_true(number + 1 > last[to]);
	last[to] = number + 1;
}

static struct scene *run_with_keys(uint64_t packets, tw_ns *ret_took)
{
	struct scene *scene = scene_new(77);
	tw_ns start;

	scene->wire.rate_bps = 50000000;
	scene->wire.delay = 2 * TW_MSEC;
	scene->wire.before = watch_numbers;
	scene->wire.loss = 0.02;
	scene_connect(scene);
	while (!scene->sides[0].established || !scene->sides[1].established)
		wire_run(&scene->wire, scene->wire.now + TW_MSEC, NULL, NULL);
	scene->client->seal.key_packets_max = packets;
	tw_endpoint_conn(scene->wire.ends[1], 0)->seal.key_packets_max = packets;
	start = scene->wire.now;
	for (scene->size = 0; scene->size < 1024 * KIB;) {
		uint8_t bytes[1024];

		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = byte_at(scene->size + i);
		scene->size += tw_conn_stream_write(scene->client, 0, bytes, sizeof bytes);
		if (tw_conn_stream_room(scene->client, 0) < sizeof bytes)
			wire_run(&scene->wire, scene->wire.now + TW_MSEC, NULL, NULL);
	}
	while (scene->sides[1].got < scene->size)
		wire_run(&scene->wire, scene->wire.now + TW_MSEC, NULL, NULL);
	*ret_took = scene->wire.now - start;
	return scene;
}

/* New keys every few packets: the same session takes not a moment longer, and not a packet more. */
static void test_key_updates(void **state)
{
	tw_ns without, with;
	struct scene *plain = run_with_keys(TW_KEY_PACKETS_MAX, &without);
	struct scene *busy = run_with_keys(KEY_PACKETS, &with);

	(void)state;
	assert_int_equal(plain->client->key_updates, 0);
	assert_true(busy->client->key_updates >= 10);
	assert_int_equal(with, without);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(busy->wire.datagrams[i], plain->wire.datagrams[i]);
		assert_int_equal(busy->wire.ends[i]->conns[0]->open.failures, 0);
	}
	print_message("# %lu key updates, %.1f ms with them as without\n",
		      busy->client->key_updates, (double)with / 1e6);
	scene_free(plain);
	scene_free(busy);
}

/* Whoever forges without end does not get so many tries that one might hit. */
static void test_forged_limit(void **state)
{
	struct scene *scene = scene_new(5);
	struct tw_conn *conn;
	uint8_t bytes[64] = { TW_DATAGRAM_PACKET };
	const struct tw_path path = { scene->wire.addresses[1], scene->wire.addresses[0] };

	(void)state;
	scene->size = KIB;
	scene_connect(scene);
	scene_talk(scene);
	conn = tw_endpoint_conn(scene->wire.ends[1], 0);
	conn->open.failures = TW_FORGED_MAX - 2;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(conn->state, TW_CONN_ESTABLISHED);
		tw_datagram_write_packet_header(conn->cid, false, 1000000 + i, bytes);
		tw_endpoint_receive(scene->wire.ends[1], &path, bytes, sizeof bytes,
				    scene->wire.now);
	}
	assert_int_equal(conn->state, TW_CONN_CLOSING);
	/* A connection lost: whoever dialled dials again, and has new keys. */
	wire_run(&scene->wire, scene->wire.now + TW_MSEC, NULL, NULL);
	assert_int_equal(scene->sides[1].end, TW_CONN_TIMEOUT);
	scene_free(scene);
}

/* Answers to strangers, who each have an address of their own. */
struct stranger {
	struct scene *scene;
	int end;
	struct tw_path path;
	uint64_t in, out;
	double worst;
};

static void listen_to(struct stranger *stranger, tw_ns span)
{
	static uint8_t bytes[65536];
	struct tw_train train = { .bytes = bytes, .room = sizeof bytes };
	struct wire *wire = &stranger->scene->wire;
	tw_ns until = wire->now + span;

	for (;;) {
		while (tw_endpoint_send(wire->ends[stranger->end], &train, wire->now))
			if (tw_address_equal(&train.path.remote, &stranger->path.remote))
				stranger->out += train.length;
		if (wire->now >= until)
			break;
		wire->now += 50 * TW_MSEC;
	}
	if (stranger->out && stranger->out >= stranger->in)
		fail_msg("%lu bytes for %lu", stranger->out, stranger->in);
	if (stranger->in && (double)stranger->out / (double)stranger->in > stranger->worst)
		stranger->worst = (double)stranger->out / (double)stranger->in;
}

static void move_on(struct stranger *stranger)
{
	struct tw_address *remote = &stranger->path.remote;

	for (unsigned i = 3; i > 0 && ++remote->ip[i] == 0; i--)
		;
	stranger->in = stranger->out = 0;
}

/* One datagram from a new address. */
static void say(struct stranger *stranger, const uint8_t *bytes, size_t length)
{
	struct wire *wire = &stranger->scene->wire;
	uint8_t copy[TW_DATAGRAM_MAX];

	memcpy(copy, bytes, length);
	move_on(stranger);
	stranger->in += length;
	tw_endpoint_receive(wire->ends[stranger->end], &stranger->path, copy, length, wire->now);
	listen_to(stranger, 0);
}

static void put_u64(uint64_t value, uint8_t *at)
{
	for (unsigned i = 0; i < 8; i++)
		at[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* Every type in every length, of random bytes and with a connection id that there is. */
static void say_anything(struct stranger *stranger)
{
	struct wire *wire = &stranger->scene->wire;
	struct tw_random random = tw_prng_random(&wire->prng);
	const struct tw_conn *conn = tw_endpoint_conn(wire->ends[stranger->end], 0);
	uint8_t bytes[1500];

	for (unsigned type = 0; type < 256; type++) {
		tw_random_fill(&random, bytes, sizeof bytes);
		for (unsigned known = 0; known < 3; known++) {
			bytes[0] = (uint8_t)type;
			if (known == 1)
				put_u64(conn->cid, bytes + 1);
			if (known == 2)
				put_u64(conn->cid, bytes + 5);
			for (size_t length = 1; length <= sizeof bytes; length++)
				say(stranger, bytes, length);
		}
	}
}

/* What is well formed. */
static void say_words(struct stranger *stranger)
{
	const struct tw_conn *conn = tw_endpoint_conn(stranger->scene->wire.ends[stranger->end], 0);
	const uint8_t token[TW_PROBE_TOKEN_SIZE] = { 1 };
	const struct tw_datagram probe = { .type = TW_DATAGRAM_PROBE,
					   .dcid = conn->cid,
					   .token = token };
	const struct tw_datagram discover = { .type = TW_DATAGRAM_DISCOVER, .token = token };
	uint8_t bytes[1200];
	bool accepts = stranger->scene->configs[stranger->end].accept;

	say(stranger, bytes, tw_datagram_write_probe(&probe, bytes, sizeof bytes));
	assert_true(stranger->out > 0);
	say(stranger, bytes, tw_datagram_write_discover(&discover, bytes, sizeof bytes));
	assert_int_equal(stranger->out > 0, accepts);
	stranger->path.remote.family = TW_FAMILY_IPV6;
	say(stranger, bytes, tw_datagram_write_discover(&discover, bytes, sizeof bytes));
	stranger->path.remote.family = TW_FAMILY_IPV4;
}

/* A true INIT; who sends it may lie about where it is. */
static void make_init(struct scene *scene, uint8_t bytes[TW_DATAGRAM_MAX])
{
	const struct tw_connect connect = { .remote = scene->wire.addresses[1],
					    .peer_key = scene->identities[1].public_key,
					    .cipher = TW_CIPHER_128,
					    .app = &app,
					    .app_context = &scene->sides[0] };
	struct tw_train train = { .bytes = bytes, .room = TW_DATAGRAM_MAX };
	struct tw_conn *conn;

	assert_int_equal(
		tw_endpoint_connect(scene->wire.ends[0], &connect, scene->wire.now, &conn), 0);
	do {
		assert_true(tw_endpoint_send(scene->wire.ends[0], &train, scene->wire.now));
	} while (train.conn != conn);
	assert_int_equal(train.length, TW_DATAGRAM_INIT_MIN);
	tw_conn_close(conn, 0, "");
	while (tw_endpoint_send(scene->wire.ends[0], &(struct tw_train){ .bytes = bytes + 1200,
									 .room = 7000 },
				scene->wire.now))
		;
}

#define VERSION_AT 1
#define COOKIE_AT 14

/* INITs: true, of another version, with a cookie, with a wrong one, and all of them again. */
static void say_inits(struct stranger *stranger, bool crowded)
{
	struct scene *scene = stranger->scene;
	struct tw_endpoint *endpoint = scene->wire.ends[1];
	uint8_t bytes[TW_DATAGRAM_MAX] = { 0 };

	for (unsigned kind = 0; kind < 5; kind++) {
		size_t before = endpoint->count;

		make_init(scene, bytes);
		memset(bytes + 1200, 0, sizeof bytes - 1200);
		endpoint->half_open += crowded ? TW_HALF_OPEN_COOKIE : 0;
		if (kind == 1)
			bytes[VERSION_AT] ^= 0x40;
		if (kind == 3 || kind == 4) {
			memmove(bytes + COOKIE_AT + 1 + TW_COOKIE_SIZE, bytes + COOKIE_AT + 1, 600);
			bytes[COOKIE_AT] = TW_COOKIE_SIZE;
			move_on(stranger);
			tw_cookie_make(&endpoint->cookies, &endpoint->config.random,
				       scene->wire.now, &stranger->path.remote,
				       kind == 3 ? 0 : 1, bytes + COOKIE_AT + 1);
		}
		say(stranger, bytes, kind == 2 ? TW_DATAGRAM_MAX : TW_DATAGRAM_INIT_MIN);
		assert_true(stranger->out > 0);
		assert_int_equal(endpoint->count - before, !crowded && kind != 1);
		/* Again and again, and then nothing more is heard from him. */
		for (unsigned i = 0; i < 3; i++) {
			uint8_t copy[TW_DATAGRAM_INIT_MIN];

			memcpy(copy, bytes, sizeof copy);
			stranger->in += sizeof copy;
			tw_endpoint_receive(endpoint, &stranger->path, copy, sizeof copy,
					    scene->wire.now);
			listen_to(stranger, TW_MSEC);
		}
		listen_to(stranger, TW_SECOND);
		endpoint->half_open -= crowded ? TW_HALF_OPEN_COOKIE : 0;
	}
}

static struct wire_datagram stolen[4];
static size_t stolen_count;

static bool steal(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	(void)wire;
	if (to != 1 || stolen_count == ARRAY_SIZE(stolen))
		return true;
	stolen[stolen_count].length = *length;
	memcpy(stolen[stolen_count++].bytes, bytes, *length);
	return false;
}

/*
 * Packets that somebody took off the line before they arrived, sent on as if from elsewhere, to one
 * that has much to say: it asks there whether that is true, and says less than it heard.
 */
static void say_stolen(struct stranger *stranger)
{
	struct scene *scene = stranger->scene;

	stolen_count = 0;
	fill(tw_endpoint_conn(scene->wire.ends[1], 0), 200 * KIB);
	scene->wire.hook = steal;
	fill(scene->client, 4 * KIB);
	wire_run(&scene->wire, scene->wire.now + 20 * TW_MSEC, NULL, NULL);
	assert_int_equal(stolen_count, ARRAY_SIZE(stolen));
	for (size_t i = 0; i < stolen_count; i++)
		say(stranger, stolen[i].bytes, stolen[i].length);
	assert_true(stranger->out > 0);
	listen_to(stranger, 3 * TW_SECOND);
}

static void test_amplification(void **state)
{
	struct scene *scene = scene_new(31);
	struct stranger stranger = { .scene = scene,
				     .end = 1,
				     .path = { .local = scene->wire.addresses[1],
					       .remote = { .family = TW_FAMILY_IPV4,
							   .ip = { 203 },
							   .port = 4000 } } };

	(void)state;
	scene->size = KIB;
	scene_connect(scene);
	scene_talk(scene);
	for (stranger.end = 0; stranger.end < 2; stranger.end++) {
		stranger.path.local = scene->wire.addresses[stranger.end];
		say_anything(&stranger);
		say_words(&stranger);
	}
	stranger.end = 1;
	say_stolen(&stranger);
	scene_free(scene);

	scene = scene_new(32);
	stranger.scene = scene;
	scene->size = KIB;
	scene_connect(scene);
	scene_talk(scene);
	say_inits(&stranger, false);
	say_inits(&stranger, true);
	print_message("# the most that any datagram got: %.3f of itself\n", stranger.worst);
	assert_true(stranger.worst > 0.5 && stranger.worst < 1);
	scene_free(scene);
}

/* How many INITs the responder has tried to open: each takes a new private key. */
struct counted {
	struct tw_random inner;
	uint64_t keys;
};

static void counted_fill(void *context, void *bytes, size_t length)
{
	struct counted *counted = context;

	counted->keys += length == TW_KEY_SIZE;
	tw_random_fill(&counted->inner, bytes, length);
}

#define FLOOD_EVERY (10 * TW_USEC)

/* INITs whose message does not open, at 1 Gbit/s, for @span. */
static uint64_t flood(struct stranger *stranger, tw_ns span, bool with_cookie)
{
	struct wire *wire = &stranger->scene->wire;
	struct tw_endpoint *endpoint = wire->ends[1];
	struct tw_random random = tw_prng_random(&wire->prng);
	uint8_t message[200], cookie[TW_COOKIE_SIZE], bytes[TW_DATAGRAM_INIT_MIN];
	struct tw_datagram init = { .version = TW_VERSION_1,
				    .pattern = TW_PATTERN_IK,
				    .message = message,
				    .message_length = sizeof message };
	uint64_t count = 0;

	tw_random_fill(&random, message, sizeof message);
	for (tw_ns until = wire->now + span; wire->now < until; count++) {
		init.scid = tw_prng_u64(&wire->prng);
		if (with_cookie) {
			tw_cookie_make(&endpoint->cookies, &endpoint->config.random, wire->now,
				       &stranger->path.remote, init.scid, cookie);
			init.cookie = cookie;
		} else {
			move_on(stranger);
		}
		tw_datagram_write_init(&init, bytes, sizeof bytes);
		stranger->in += sizeof bytes;
		tw_endpoint_receive(endpoint, &stranger->path, bytes, sizeof bytes, wire->now);
		wire->now += FLOOD_EVERY;
		if (count % 100 == 99)
			wire_run(wire, wire->now + TW_USEC, NULL, NULL);
	}
	return count;
}

/*
 * A hundred thousand INITs a second that do not open: few are tried, nothing is remembered, and who
 * truly wants in gets in meanwhile. The same from one address that has shown itself.
 */
static void test_flood(void **state)
{
	struct scene *scene = scene_new(41);
	struct counted counted = { .inner = tw_prng_random(&scene->wire.prng) };
	struct stranger stranger = { .scene = scene,
				     .end = 1,
				     .path = { .local = scene->wire.addresses[1],
					       .remote = { .family = TW_FAMILY_IPV4,
							   .ip = { 203 },
							   .port = 4000 } } };
	uint64_t sent, tried;

	(void)state;
	scene->size = KIB;
	scene->configs[1].random = (struct tw_random){ counted_fill, &counted };
	scene->wire.delay = TW_MSEC;
	scene_connect(scene);
	/* The flood comes first. */
	scene->client->handshake->send_now = false;
	scene->client->handshake->sends = 1;
	scene->client->handshake->last_sent_at = scene->wire.now;
	counted.keys = 0;
	sent = flood(&stranger, 400 * TW_MSEC, false);
	tried = counted.keys;
	assert_true(tried >= TW_DOOR_UNPROVED_BURST);
	assert_true(tried <= TW_DOOR_UNPROVED_BURST + 400 * TW_MSEC / TW_DOOR_UNPROVED_EVERY + 1);
	assert_int_equal(tw_endpoint_count(scene->wire.ends[1]), 0);
	assert_int_equal(scene->wire.ends[1]->by_init.count, 0);
	/* Its INIT leaves in the middle of this one. */
	sent += flood(&stranger, 200 * TW_MSEC, false);
	assert_true(scene->sides[0].established && scene->sides[1].established);
	assert_int_equal(tw_endpoint_count(scene->wire.ends[1]), 1);
	scene_talk(scene);

	counted.keys = 0;
	sent += flood(&stranger, TW_SECOND, true);
	assert_true(counted.keys >= TW_DOOR_PROVED_BURST);
	assert_true(counted.keys <= TW_DOOR_PROVED_BURST + TW_SECOND / TW_DOOR_PROVED_EVERY + 1);
	assert_int_equal(tw_endpoint_count(scene->wire.ends[1]), 1);
	print_message("# %lu knocked, %lu were tried without proof and %lu with\n", sent, tried,
		      counted.keys);
	scene_free(scene);
}

/* However many strangers wait for an answer: between any two of them a connection has its turn. */
static void test_turns(void **state)
{
	static uint8_t bytes[65536];
	struct tw_train train = { .bytes = bytes, .room = sizeof bytes };
	struct scene *scene = scene_new(51);
	struct tw_endpoint *endpoint;
	struct tw_path path = { .remote = { TW_FAMILY_IPV4, { 203 }, 4000, 0 } };
	const uint8_t token[TW_PROBE_TOKEN_SIZE] = { 1 };
	const struct tw_datagram discover = { .type = TW_DATAGRAM_DISCOVER, .token = token };
	unsigned trains = 0, replies = 0;

	(void)state;
	scene->size = KIB;
	scene_connect(scene);
	scene_talk(scene);
	endpoint = scene->wire.ends[1];
	fill(tw_endpoint_conn(endpoint, 0), 8 * KIB);
	for (unsigned i = 0; i < 100; i++) {
		uint8_t question[TW_DISCOVER_SIZE];

		tw_datagram_write_discover(&discover, question, sizeof question);
		tw_endpoint_receive(endpoint, &path, question, sizeof question, scene->wire.now);
		if (tw_endpoint_send(endpoint, &train, scene->wire.now))
			*(train.conn ? &trains : &replies) += 1;
		if (i == 3)
			assert_true(trains >= 1);
		scene->wire.now += TW_MSEC;
	}
	assert_true(trains >= 2 && replies >= 50);
	scene_free(scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_replays),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_algorithms),
		cmocka_unit_test(test_no_downgrade),
		cmocka_unit_test(test_key_updates),
		cmocka_unit_test(test_forged_limit),
		cmocka_unit_test(test_amplification),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
