/*
 * The connection over a wire in virtual time: every test has a bound in that time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "core/conn_internal.h"
#include "corepair.h"
#include "crypto/protect.h"
#include "wire/frame.h"

#define MIB (UINT64_C(1) << 20)

static bool all_acked(void *context)
{
	struct pair *pair = context;
	return pair->sides[0].acked.total == pair->sides[0].size;
}

static bool both_up(void *context)
{
	struct pair *pair = context;
	return pair->sides[0].established && pair->sides[1].established;
}

static const struct {
	const char *name;
	uint64_t rate_bps;
	tw_ns delay;
	double loss;
	uint64_t size;
	tw_ns limit;
	enum tw_cipher cipher;
} cases[] = {
	{ "lan", 1000000000, TW_MSEC / 10, 0, 32 * MIB, 400 * TW_MSEC, TW_CIPHER_128 },
	{ "far", 100000000, 50 * TW_MSEC, 0, 16 * MIB, 2600 * TW_MSEC, TW_CIPHER_128 },
	{ "far, 1 % loss", 100000000, 50 * TW_MSEC, 0.01, 16 * MIB, 2800 * TW_MSEC, TW_CIPHER_256 },
	{ "far, 10 % loss", 100000000, 50 * TW_MSEC, 0.10, 16 * MIB, 3300 * TW_MSEC,
	  TW_CIPHER_AUTH },
	{ "far, 30 % loss", 100000000, 50 * TW_MSEC, 0.30, 8 * MIB, 5000 * TW_MSEC,
	  TW_CIPHER_NONE },
	{ "moon", 10000000, 1300 * TW_MSEC, 0.01, 2 * MIB, 22000 * TW_MSEC, TW_CIPHER_128 },
};

static void test_transfers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair *pair = pair_new(i + 1);
		pair->wire.rate_bps = cases[i].rate_bps;
		pair->wire.delay = cases[i].delay;
		pair->wire.loss = cases[i].loss;
		pair->cipher = cases[i].cipher;
		tw_ns start = pair->wire.now;
		pair_connect(pair, cases[i].size);
		bool done = wire_run(&pair->wire, start + 10 * cases[i].limit, all_acked, pair);
		struct tw_conn_info info = { 0 };
		if (pair->sides[0].conn)
			tw_conn_info(pair->sides[0].conn, &info);
		print_message(
			"# %s: %s in %.0f ms (limit %.0f), mtu %u, sent %.3f of size, lost %lu spurious %lu repeats %lu, "
			"return %.2f %%\n",
			cases[i].name, done ? "done" : "NOT DONE",
			(double)(pair->wire.now - start) / 1e6, (double)cases[i].limit / 1e6,
			info.datagram_bytes, (double)pair->wire.bytes[1] / (double)cases[i].size,
			info.packets_lost, info.packets_spurious, pair->sides[1].repeats,
			100.0 * (double)pair->wire.bytes[0] / (double)pair->wire.bytes[1]);
		assert_true(done);
		assert_true(pair->wire.now - start <= cases[i].limit);
		assert_int_equal(pair->sides[1].wrong, 0);
		assert_int_equal(pair->sides[1].received.total, cases[i].size);
		pair_free(pair);
	}
}

/* What controllers judge by rounds they judge once a round trip, a busy path's queue included. */
static void test_rounds(void **state)
{
	(void)state;
	struct pair *pair = pair_new(31);
	pair->wire.rate_bps = 100000000;
	pair->wire.delay = 50 * TW_MSEC;
	pair->wire.loss = 0.1;
	pair_connect(pair, 64 * MIB);
	wire_run(&pair->wire, pair->wire.now + TW_SECOND, NULL, NULL);
	const struct tw_path_model *model = &pair->sides[0].conn->model;
	tw_ns before = model->round_started;
	unsigned rounds = 0;
	for (int i = 0; i < 2000; i++) {
		wire_run(&pair->wire, pair->wire.now + TW_MSEC, NULL, NULL);
		rounds += model->round_started != before;
		before = model->round_started;
	}
	assert_in_range(rounds, 13, 20);
	pair_free(pair);
}

/*
 * Datagrams of a long path may wait a little to be looked at, once its start is over and as long as
 * it is in use; those of a short one hardly.
 */
static void test_patience(void **state)
{
	static const struct {
		tw_ns delay, least, most;
	} paths[] = {
		/* A queue of some milliseconds makes a short path longer. */
		{ TW_MSEC / 10, 0, 100 * TW_USEC },
		{ 10 * TW_MSEC, 20 * TW_MSEC / 64, 40 * TW_MSEC / 64 },
		{ 100 * TW_MSEC, TW_MSEC, TW_MSEC },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct pair *pair = pair_new(i + 1);
		tw_ns start = pair->wire.now, patience;

		pair->wire.rate_bps = 100000000;
		pair->wire.delay = paths[i].delay;
		pair_connect(pair, 48 * MIB);
		wire_run(&pair->wire, start + 8 * pair->wire.delay, NULL, NULL);
		assert_int_equal(tw_endpoint_patience(pair->wire.ends[1], pair->wire.now), 0);
		wire_run(&pair->wire, start + 3 * TW_SECOND, NULL, NULL);
		patience = tw_endpoint_patience(pair->wire.ends[1], pair->wire.now);
		assert_in_range(patience, paths[i].least, paths[i].most);
		assert_int_equal(
			tw_endpoint_patience(pair->wire.ends[1], pair->wire.now + TW_SECOND), 0);
		pair_free(pair);
	}
}

/* While a connection is held none of its datagrams leaves, whatever happens to it. */
static void test_hold(void **state)
{
	struct pair *pair = pair_new(33);
	uint64_t before, held;

	(void)state;
	pair->wire.rate_bps = 100000000;
	pair_connect(pair, 16 * MIB);
	assert_false(wire_run(&pair->wire, pair->wire.now + 500 * TW_MSEC, all_acked, pair));
	held = tw_endpoint_hold(pair->wire.ends[0], pair->sides[0].conn);
	before = pair->wire.datagrams[1];
	assert_false(wire_run(&pair->wire, pair->wire.now + 300 * TW_MSEC, all_acked, pair));
	assert_int_equal(pair->wire.datagrams[1], before);
	/* Nobody's number. */
	tw_endpoint_release(pair->wire.ends[0], held + 1);
	assert_false(wire_run(&pair->wire, pair->wire.now + 10 * TW_MSEC, all_acked, pair));
	assert_int_equal(pair->wire.datagrams[1], before);
	tw_endpoint_release(pair->wire.ends[0], held);
	assert_true(wire_run(&pair->wire, pair->wire.now + 3 * TW_SECOND, all_acked, pair));
	/* The connection may be gone when it is released. */
	held = tw_endpoint_hold(pair->wire.ends[0], pair->sides[0].conn);
	tw_conn_close(pair->sides[0].conn, 1, "");
	tw_endpoint_release(pair->wire.ends[0], held);
	assert_false(wire_run(&pair->wire, pair->wire.now + 5 * TW_SECOND, NULL, NULL));
	assert_int_equal(tw_endpoint_count(pair->wire.ends[0]), 0);
	tw_endpoint_release(pair->wire.ends[0], held);
	pair_free(pair);
}

#define SLICE (50 * TW_MSEC)

/* Runs for @span and checks that in no slice of it more than @limit_bps has left. Returns what
 * left. */
static uint64_t run_within(struct pair *pair, tw_ns span, uint64_t limit_bps)
{
	uint64_t begun = pair->wire.bytes[1];

	for (tw_ns end = pair->wire.now + span; pair->wire.now < end;) {
		uint64_t before = pair->wire.bytes[1], sent;

		wire_run(&pair->wire, pair->wire.now + SLICE, NULL, NULL);
		sent = pair->wire.bytes[1] - before;
		/* A pacer's burst and bare acknowledgements come on top. */
		if (sent > limit_bps / 8 * SLICE / TW_SECOND + 20000)
			fail_msg("%lu bytes in a slice", sent);
	}
	return pair->wire.bytes[1] - begun;
}

/*
 * The highest rate is that of everything that leaves, repeats included, and what is set anew holds
 * from the next datagram on.
 */
static void test_limit_under_loss(void **state)
{
	static const struct tw_rate_limits fast = { .max_bps = 40000000 },
					   slow = { .max_bps = 8000000 };
	struct pair *pair = pair_new(34);
	uint64_t sent;

	(void)state;
	pair->wire.loss = 0.2;
	pair->config.limits = fast;
	pair_connect(pair, 64 * MIB);
	assert_true(wire_run(&pair->wire, 5 * TW_SECOND, both_up, pair));
	sent = run_within(pair, 3 * TW_SECOND, fast.max_bps);
	assert_true(sent > fast.max_bps / 8 * 3 / 2);
	assert_true(sent < fast.max_bps / 8 * 3 + 50000);
	tw_conn_set_rate(pair->sides[0].conn, TW_RATE_BBR, &slow, pair->wire.now);
	sent = run_within(pair, 3 * TW_SECOND, slow.max_bps);
	assert_true(sent > slow.max_bps / 8 * 3 / 2);
	assert_true(sent < slow.max_bps / 8 * 3 + 50000);
	pair_free(pair);
}

static void test_streams(void **state)
{
	(void)state;
	struct pair *pair = pair_new(9);
	pair->wire.loss = 0.1;
	pair_connect(pair, 0);
	assert_true(wire_run(&pair->wire, 5 * TW_SECOND, both_up, pair));
	uint8_t text[50000];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = tape(i);
	assert_int_equal(tw_conn_stream_write(pair->sides[0].conn, 3, text, sizeof(text)),
			 sizeof(text));
	tw_conn_stream_finish(pair->sides[0].conn, 3);
	wire_run(&pair->wire, pair->wire.now + 2 * TW_SECOND, NULL, NULL);
	assert_int_equal(pair->sides[1].stream_length, sizeof(text));
	assert_memory_equal(pair->sides[1].stream, text, sizeof(text));
	assert_true(pair->sides[1].stream_ended);
	assert_true(tw_conn_stream_flushed(pair->sides[0].conn, 3));
	/* An ended stream stays over. */
	assert_int_equal(tw_conn_stream_write(pair->sides[0].conn, 3, text, 1), 0);
	/* A full buffer takes no more and says so when it has room. */
	size_t taken = 0;
	while (taken < TW_STREAM_BUFFER)
		taken += tw_conn_stream_write(pair->sides[0].conn, 5, text, sizeof(text));
	assert_int_equal(taken, TW_STREAM_BUFFER);
	assert_int_equal(tw_conn_stream_write(pair->sides[0].conn, 5, text, 1), 0);
	wire_run(&pair->wire, pair->wire.now + 2 * TW_SECOND, NULL, NULL);
	assert_int_equal(pair->sides[0].writable, 1);
	pair_free(pair);
}

static void test_refusals(void **state)
{
	(void)state;
	struct pair *pair = pair_new(11);
	pair->verdict = TW_ACCEPT_NOT_AUTHORIZED;
	pair_connect(pair, 0);
	wire_run(&pair->wire, pair->wire.now + TW_SECOND, NULL, NULL);
	assert_true(pair->sides[0].closed);
	assert_int_equal(pair->sides[0].end, TW_CONN_NOT_AUTHORIZED);
	assert_memory_equal(pair->sides[0].peer_server_id, (uint8_t[TW_ID_SIZE]){ 0 }, TW_ID_SIZE);
	wire_run(&pair->wire, pair->wire.now + 3 * TW_SECOND, NULL, NULL);
	assert_int_equal(tw_endpoint_count(pair->wire.ends[1]), 0);
	pair_free(pair);

	pair = pair_new(12);
	pair->cipher_min = TW_CIPHER_256;
	pair_connect(pair, 0);
	wire_run(&pair->wire, pair->wire.now + TW_SECOND, NULL, NULL);
	assert_int_equal(pair->sides[0].end, TW_CONN_CIPHER_TOO_WEAK);
	pair_free(pair);

	/* A wrong key: silence, then a time-out. */
	pair = pair_new(13);
	pair_connect(pair, 0);
	pair->identities[1] = pair->identities[0];
	wire_run(&pair->wire, pair->wire.now + 11 * TW_SECOND, NULL, NULL);
	assert_true(pair->sides[0].closed);
	assert_int_equal(pair->sides[0].end, TW_CONN_TIMEOUT);
	assert_int_equal(pair->wire.datagrams[0], 0);
	pair_free(pair);
}

static uint64_t refused_cid;

static bool note_refusal(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	struct tw_datagram datagram;
	(void)wire;
	if (to == 0 && tw_datagram_parse(bytes, *length, &datagram) == 0 &&
	    datagram.type == TW_DATAGRAM_ACCEPT)
		refused_cid = datagram.scid;
	return true;
}

/* Whoever was refused has no keys, and no packet of his is opened, a bare checksum least of all. */
static void test_refused_stays_out(void **state)
{
	(void)state;
	for (uint64_t payload = 1; payload < 64; payload++) {
		struct pair *pair = pair_new(14);
		struct tw_seal_chain chain;
		struct tw_conn_info info;
		pair->verdict = TW_ACCEPT_NOT_AUTHORIZED;
		pair->wire.hook = note_refusal;
		refused_cid = 0;
		pair_connect(pair, 0);
		wire_run(&pair->wire, pair->wire.now + 100 * TW_MSEC, NULL, NULL);
		assert_int_not_equal(refused_cid, 0);
		assert_int_equal(tw_endpoint_count(pair->wire.ends[1]), 1);

		const struct tw_path path = { pair->wire.addresses[1], pair->wire.addresses[0] };
		size_t length = TW_PACKET_HEADER_SIZE + payload + TW_CHECKSUM_SIZE;
		uint8_t *bytes = calloc(1, length);
		tw_datagram_write_packet_header(refused_cid, false, 0, bytes);
		memset(bytes + TW_PACKET_HEADER_SIZE, TW_FRAME_PING, payload);
		assert_int_equal(tw_seal_chain_init(&chain, TW_CIPHER_NONE, TW_AEAD_AES_GCM, NULL),
				 0);
		tw_seal(&chain, 0, bytes, TW_PACKET_HEADER_SIZE, bytes + TW_PACKET_HEADER_SIZE,
			payload);
		tw_endpoint_receive(pair->wire.ends[1], &path, bytes, length, pair->wire.now);
		tw_conn_info(tw_endpoint_conn(pair->wire.ends[1], 0), &info);
		assert_int_equal(info.state, TW_CONN_CONNECTING);
		assert_int_equal(info.packets_received, 0);
		free(bytes);
		tw_seal_chain_deinit(&chain);
		pair_free(pair);
	}
}

/* An application may leave out what it has no use for: it sends nothing and takes nothing, and the
 * connection goes on. */
static void test_silent_application(void **state)
{
	static const struct tw_conn_app silent = { 0 };
	static const uint8_t words[3 * TW_STREAM_BUFFER / 4];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct pair *pair = pair_new(35);
		const struct side *other = &pair->sides[!i];

		pair_connect(pair, 0);
		assert_true(wire_run(&pair->wire, 5 * TW_SECOND, both_up, pair));
		assert_int_equal(tw_ranges_add(&pair->sides[0].owed, 0, 100000), 0);
		tw_conn_set_app(pair->sides[i].conn, &silent, NULL);
		for (int k = 0; k < 2; k++) {
			tw_conn_wake(pair->sides[k].conn);
			tw_conn_stream_write(pair->sides[k].conn, 3, words, sizeof(words));
			tw_conn_stream_write(pair->sides[k].conn, 3, words, sizeof(words));
		}
		wire_run(&pair->wire, pair->wire.now + TW_SECOND, NULL, NULL);
		assert_int_equal(other->received.total, 0);
		assert_int_equal(other->acked.total, 0);
		assert_true(other->writable || other->stream_length);
		assert_false(pair->sides[i].closed || other->closed);
		pair_free(pair);
	}
}

static void test_close(void **state)
{
	(void)state;
	struct pair *pair = pair_new(14);
	pair_connect(pair, 0);
	assert_true(wire_run(&pair->wire, 5 * TW_SECOND, both_up, pair));
	tw_conn_close(pair->sides[0].conn, 42, "enough");
	wire_run(&pair->wire, pair->wire.now + TW_SECOND, NULL, NULL);
	assert_int_equal(pair->sides[0].end, TW_CONN_CLOSED_LOCAL);
	assert_int_equal(pair->sides[1].end, TW_CONN_CLOSED_PEER);
	assert_int_equal(pair->sides[1].code, 42);
	assert_string_equal(pair->sides[1].reason, "enough");
	wire_run(&pair->wire, pair->wire.now + 3 * TW_SECOND, NULL, NULL);
	assert_int_equal(
		tw_endpoint_count(pair->wire.ends[0]) + tw_endpoint_count(pair->wire.ends[1]), 0);
	pair_free(pair);
}

/* Given up while the answer was under way: the answer comes too late and changes nothing. */
static void test_closed_while_connecting(void **state)
{
	(void)state;
	struct pair *pair = pair_new(21);
	pair_connect(pair, 0);
	wire_run(&pair->wire, pair->wire.now + 15 * TW_MSEC, NULL, NULL);
	tw_conn_close(pair->sides[0].conn, 0, "");
	wire_deliver(&pair->wire, 0);
	pair->wire.now += 10 * TW_MSEC;
	wire_deliver(&pair->wire, 0);
	wire_run(&pair->wire, pair->wire.now + TW_SECOND, NULL, NULL);
	assert_true(pair->sides[0].closed);
	assert_false(pair->sides[0].established);
	assert_int_equal(tw_endpoint_count(pair->wire.ends[0]), 0);
	pair_free(pair);
}

/* The connection id in the first ACCEPT is changed on the way: its message opens, yet it is not to
 * be believed. */
static bool change_accept(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	(void)length;
	if (to == 0 && bytes[0] == TW_DATAGRAM_ACCEPT && wire->now < TW_SECOND + 100 * TW_MSEC)
		bytes[20] ^= 1;
	return true;
}

static void test_changed_accept(void **state)
{
	(void)state;
	struct pair *pair = pair_new(22);
	pair->wire.hook = change_accept;
	pair_connect(pair, 0);
	wire_run(&pair->wire, pair->wire.now + 90 * TW_MSEC, NULL, NULL);
	assert_false(pair->sides[0].established);
	assert_true(wire_run(&pair->wire, pair->wire.now + TW_SECOND, both_up, pair));
	pair_free(pair);
}

static bool drop_all(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	(void)wire, (void)to, (void)bytes, (void)length;
	return false;
}

static void test_idle_and_keep_alive(void **state)
{
	(void)state;
	struct pair *pair = pair_new(15);
	pair_connect(pair, 0);
	assert_true(wire_run(&pair->wire, 5 * TW_SECOND, both_up, pair));
	wire_run(&pair->wire, pair->wire.now + 120 * TW_SECOND, NULL, NULL);
	assert_false(pair->sides[0].closed || pair->sides[1].closed);
	pair->wire.hook = drop_all;
	wire_run(&pair->wire, pair->wire.now + 45 * TW_SECOND, NULL, NULL);
	assert_int_equal(pair->sides[0].end, TW_CONN_TIMEOUT);
	assert_int_equal(pair->sides[1].end, TW_CONN_TIMEOUT);
	assert_true(pair->sides[0].closed && pair->sides[1].closed);
	pair_free(pair);
}

/* The client's address as the server sees it changes all the time. */
static bool rebind(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	(void)to, (void)bytes, (void)length;
	wire->addresses[0] = wire_address(1, (uint16_t)(2000 + wire->now / TW_SECOND));
	return true;
}

static void test_rebinding(void **state)
{
	(void)state;
	struct pair *pair = pair_new(16);
	pair->wire.rate_bps = 20000000;
	pair->wire.delay = 20 * TW_MSEC;
	pair->wire.hook = rebind;
	pair_connect(pair, 12 * MIB);
	tw_ns start = pair->wire.now;
	assert_true(wire_run(&pair->wire, start + 7 * TW_SECOND, all_acked, pair));
	struct tw_conn_info info;
	tw_conn_info(pair->sides[1].conn, &info);
	assert_true(info.path.remote.port > 2002);
	pair_free(pair);
}

/* A PROBE is answered where it came from, for a connection that there is, and changes nothing. */
static void test_probe(void **state)
{
	static const uint8_t token[TW_PROBE_TOKEN_SIZE] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct tw_conn_info info;
	uint8_t bytes[64], expected[64], buffer[TW_DATAGRAM_MAX];
	struct tw_train train = { .bytes = buffer, .room = sizeof(buffer) };
	(void)state;
	struct pair *pair = pair_new(7);
	pair_connect(pair, 0);
	wire_run(&pair->wire, pair->wire.now + TW_SECOND, NULL, NULL);
	assert_true(pair->sides[1].established);
	tw_conn_info(pair->sides[1].conn, &info);
	struct tw_datagram probe = { .type = TW_DATAGRAM_PROBE, .dcid = info.id, .token = token };
	const struct tw_path path = { pair->wire.addresses[1], wire_address(9, 999) };
	size_t length = tw_datagram_write_probe(&probe, bytes, sizeof(bytes));
	tw_endpoint_receive(pair->wire.ends[1], &path, bytes, length, pair->wire.now);
	probe.type = TW_DATAGRAM_ECHO;
	assert_true(tw_endpoint_send(pair->wire.ends[1], &train, pair->wire.now));
	assert_true(train.length < length);
	assert_int_equal(tw_datagram_write_probe(&probe, expected, sizeof(expected)), train.length);
	assert_memory_equal(train.bytes, expected, train.length);
	assert_true(tw_address_equal(&train.path.remote, &path.remote));
	tw_conn_info(pair->sides[1].conn, &info);
	assert_true(tw_address_equal(&info.path.remote, &pair->wire.addresses[0]));
	probe.type = TW_DATAGRAM_PROBE;
	probe.dcid ^= 1;
	tw_datagram_write_probe(&probe, bytes, sizeof(bytes));
	tw_endpoint_receive(pair->wire.ends[1], &path, bytes, length, pair->wire.now);
	assert_false(tw_endpoint_send(pair->wire.ends[1], &train, pair->wire.now));
	pair_free(pair);
}

struct discovery {
	uint8_t token[TW_PROBE_TOKEN_SIZE];
	struct tw_path path;
	struct tw_address observed;
	unsigned count;
};

static void on_discovered(void *context, const uint8_t token[TW_PROBE_TOKEN_SIZE],
			  const struct tw_path *path, const struct tw_address *observed)
{
	struct discovery *discovery = context;
	memcpy(discovery->token, token, TW_PROBE_TOKEN_SIZE);
	discovery->path = *path;
	discovery->observed = *observed;
	discovery->count++;
}

/* Whoever asks learns as whom he is seen, from those who take connections, and pays for it. */
static void test_discover(void **state)
{
	static const uint8_t token[TW_PROBE_TOKEN_SIZE] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	uint8_t buffer[TW_DATAGRAM_MAX];
	struct tw_train train = { .bytes = buffer, .room = sizeof(buffer) };
	struct discovery discovery = { .count = 0 };
	struct tw_endpoint *asking;
	(void)state;
	struct pair *pair = pair_new(7);
	pair_connect(pair, 0);
	wire_run(&pair->wire, pair->wire.now + TW_SECOND, NULL, NULL);
	const struct tw_endpoint_config config = { .identity = &pair->identities[0],
						   .random = tw_prng_random(&pair->wire.prng),
						   .discovered = on_discovered,
						   .context = &discovery };
	assert_int_equal(tw_endpoint_new(&config, pair->wire.now, &asking), 0);
	const struct tw_path path = { pair->wire.addresses[0], pair->wire.addresses[1] };
	const struct tw_path behind_nat = { pair->wire.addresses[1], wire_address(9, 999) };
	tw_endpoint_discover(asking, &path, token);
	assert_true(tw_endpoint_send(asking, &train, pair->wire.now));
	assert_true(tw_address_equal(&train.path.remote, &path.remote));
	size_t asked = train.length;
	tw_endpoint_receive(pair->wire.ends[1], &behind_nat, buffer, train.length, pair->wire.now);
	assert_true(tw_endpoint_send(pair->wire.ends[1], &train, pair->wire.now));
	assert_true(train.length < asked);
	assert_true(tw_address_equal(&train.path.remote, &behind_nat.remote));
	tw_endpoint_receive(asking, &path, buffer, train.length, pair->wire.now);
	assert_int_equal(discovery.count, 1);
	assert_memory_equal(discovery.token, token, sizeof(token));
	assert_true(tw_address_equal(&discovery.observed, &behind_nat.remote));
	/* One that takes no connections says nothing. */
	tw_endpoint_discover(asking, &path, token);
	assert_true(tw_endpoint_send(asking, &train, pair->wire.now));
	tw_endpoint_receive(asking, &behind_nat, buffer, train.length, pair->wire.now);
	assert_false(tw_endpoint_send(asking, &train, pair->wire.now));
	tw_endpoint_free(asking);
	pair_free(pair);
}

static void test_black_hole(void **state)
{
	(void)state;
	struct pair *pair = pair_new(17);
	pair->wire.rate_bps = 50000000;
	pair_connect(pair, 16 * MIB);
	wire_run(&pair->wire, pair->wire.now + TW_SECOND, NULL, NULL);
	struct tw_conn_info info;
	tw_conn_info(pair->sides[0].conn, &info);
	assert_int_equal(info.datagram_bytes, 8972);
	pair->wire.mtu = 1252;
	uint64_t before = pair->sides[0].acked.total;
	wire_run(&pair->wire, pair->wire.now + 3 * TW_SECOND, NULL, NULL);
	tw_conn_info(pair->sides[0].conn, &info);
	assert_true(info.datagram_bytes >= 1200 && info.datagram_bytes <= 1252);
	assert_true(pair->sides[0].acked.total > before + MIB);
	assert_true(wire_run(&pair->wire, pair->wire.now + 10 * TW_SECOND, all_acked, pair));
	pair_free(pair);
}

static bool fragile(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	(void)to;
	if (tw_prng_unit(&wire->prng) < 0.3)
		bytes[tw_prng_below(&wire->prng, *length)] ^=
			(uint8_t)(1 + tw_prng_below(&wire->prng, 255));
	return true;
}

static void test_corruption(void **state)
{
	(void)state;
	struct pair *pair = pair_new(18);
	pair->wire.rate_bps = 50000000;
	pair->wire.hook = fragile;
	pair_connect(pair, 4 * MIB);
	assert_true(wire_run(&pair->wire, pair->wire.now + 5 * TW_SECOND, all_acked, pair));
	assert_int_equal(pair->sides[1].wrong, 0);
	pair_free(pair);
}

static void test_slow_receiver(void **state)
{
	(void)state;
	struct pair *pair = pair_new(19);
	pair->wire.rate_bps = 1000000000;
	pair->sides[1].stalled = true;
	pair_connect(pair, 64 * MIB);
	wire_run(&pair->wire, pair->wire.now + 5 * TW_SECOND, NULL, NULL);
	/* No more than the window came, and nothing was lost. */
	assert_true(pair->sides[1].received.total <= TW_DATA_WINDOW_INITIAL * 2);
	assert_true(pair->sides[1].received.total >= TW_DATA_WINDOW_INITIAL / 2);
	struct tw_conn_info info;
	tw_conn_info(pair->sides[0].conn, &info);
	assert_true(info.data_blocked);
	pair->sides[1].stalled = false;
	tw_conn_data_consumed(pair->sides[1].conn, pair->sides[1].hold);
	assert_true(wire_run(&pair->wire, pair->wire.now + 3 * TW_SECOND, all_acked, pair));
	pair_free(pair);
}

static bool much_received(void *context)
{
	struct pair *pair = context;
	return pair->sides[1].received.total >= TW_DATA_WINDOW_INITIAL + TW_PATH_NEAR_BYTES;
}

/* On a near path no more waits for a slow disk than its receiver's cache holds. */
static void test_slow_receiver_near(void **state)
{
	(void)state;
	struct pair *pair = pair_new(21);
	pair->wire.rate_bps = UINT64_C(4000000000);
	pair->wire.delay = 50 * TW_USEC;
	pair_connect(pair, 2 * TW_DATA_WINDOW_INITIAL);
	assert_true(wire_run(&pair->wire, pair->wire.now + TW_SECOND, much_received, pair));
	pair->sides[1].stalled = true;
	wire_run(&pair->wire, pair->wire.now + TW_SECOND, NULL, NULL);
	assert_true(pair->sides[1].hold >= TW_PATH_NEAR_BYTES / 2);
	assert_true(pair->sides[1].hold <= TW_PATH_NEAR_BYTES);
	pair->sides[1].stalled = false;
	tw_conn_data_consumed(pair->sides[1].conn, pair->sides[1].hold);
	assert_true(wire_run(&pair->wire, pair->wire.now + TW_SECOND, all_acked, pair));
	pair_free(pair);
}

static void test_outage(void **state)
{
	(void)state;
	struct pair *pair = pair_new(20);
	pair->wire.rate_bps = 50000000;
	pair_connect(pair, 32 * MIB);
	wire_run(&pair->wire, pair->wire.now + TW_SECOND, NULL, NULL);
	pair->wire.loss = 1;
	wire_run(&pair->wire, pair->wire.now + 8 * TW_SECOND, NULL, NULL);
	pair->wire.loss = 0;
	uint64_t before = pair->sides[0].acked.total;
	/* Two round trips and a second, and then at the old rate. */
	wire_run(&pair->wire, pair->wire.now + 1040 * TW_MSEC, NULL, NULL);
	assert_true(pair->sides[0].acked.total > before);
	assert_true(wire_run(&pair->wire, pair->wire.now + 6 * TW_SECOND, all_acked, pair));
	pair_free(pair);
}

/* Datagrams to the connecting side that are held back, to be let go one at a time. */
static struct {
	struct tw_path path;
	size_t length;
	uint8_t bytes[TW_DATAGRAM_MAX];
} held[16];
static size_t held_count;

static bool hold(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	if (to != 0 || held_count == sizeof(held) / sizeof(held[0]))
		return true;
	held[held_count].path = (struct tw_path){ wire->addresses[0], wire->addresses[1] };
	held[held_count].length = *length;
	memcpy(held[held_count++].bytes, bytes, *length);
	return false;
}

/* Stragglers of a peer that is gone do not keep a connection alive. */
static void test_stragglers(void **state)
{
	(void)state;
	struct pair *pair = pair_new(21);
	pair->wire.rate_bps = 20000000;
	pair_connect(pair, 12 * MIB);
	assert_true(wire_run(&pair->wire, pair->wire.now + TW_SECOND, both_up, pair));
	held_count = 0;
	wire_run(&pair->wire, pair->wire.now + 100 * TW_MSEC, NULL, NULL);
	pair->wire.hook = hold;
	wire_run(&pair->wire, pair->wire.now + TW_SECOND, NULL, NULL);
	assert_int_equal(held_count, sizeof(held) / sizeof(held[0]));
	pair->wire.loss = 1;
	tw_ns from = pair->wire.now;
	for (size_t i = 0; i < held_count && !pair->sides[0].closed; i++) {
		wire_run(&pair->wire, pair->wire.now + 5 * TW_SECOND, NULL, NULL);
		if (!pair->sides[0].closed)
			tw_endpoint_receive(pair->wire.ends[0], &held[i].path, held[i].bytes,
					    held[i].length, pair->wire.now);
	}
	assert_true(pair->sides[0].closed);
	assert_int_equal(pair->sides[0].end, TW_CONN_TIMEOUT);
	assert_true(pair->wire.now <= from + 36 * TW_SECOND);
	pair_free(pair);
}

static unsigned accepts_lost, words_lost;
static bool words_said;

/* Loses the first ACCEPT, and what the responder says first. */
static bool lose_first_words(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	(void)wire;
	(void)length;
	if (to == 0 && bytes[0] == TW_DATAGRAM_ACCEPT && accepts_lost == 0) {
		accepts_lost++;
		return false;
	}
	if (to == 0 && words_said && (bytes[0] & 0xfe) == TW_DATAGRAM_PACKET && words_lost < 2) {
		words_lost++;
		return false;
	}
	return true;
}

static bool responder_there(void *context)
{
	return ((struct pair *)context)->sides[1].established;
}

static bool words_heard(void *context)
{
	return ((struct pair *)context)->sides[0].stream_length == 5;
}

/* A responder who does not know the round trip, for its ACCEPT was lost, and says something that is
 * lost too: he asks, and does not wait for a second. */
static void test_lost_first_words(void **state)
{
	struct pair *pair = pair_new(61);

	(void)state;
	accepts_lost = words_lost = 0;
	words_said = false;
	pair->wire.rate_bps = 20000000;
	pair->wire.hook = lose_first_words;
	pair_connect(pair, 1 << 20);
	assert_true(wire_run(&pair->wire, pair->wire.now + 2 * TW_SECOND, responder_there, pair));
	assert_int_equal(tw_conn_stream_write(pair->sides[1].conn, 3, (const uint8_t *)"hello", 5),
			 5);
	words_said = true;
	assert_true(wire_run(&pair->wire, pair->wire.now + 150 * TW_MSEC, words_heard, pair));
	assert_int_equal(accepts_lost, 1);
	assert_int_equal(words_lost, 2);
	pair_free(pair);
}

static unsigned words_to_lose, packets_there;

static bool lose_words(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	(void)wire;
	(void)length;
	if (to != 1 || (bytes[0] & 0xfe) != TW_DATAGRAM_PACKET)
		return true;
	packets_there++;
	if (!words_to_lose)
		return true;
	words_to_lose--;
	return false;
}

static bool words_there(void *context)
{
	return ((struct pair *)context)->sides[1].stream_length % 5 == 0 &&
	       ((struct pair *)context)->sides[1].stream_length > 0;
}

/*
 * The last words of a stream go again without waiting for a timeout, while nobody knows what the
 * path loses and where it does lose; on one that has lost nothing they do not.
 */
static void test_last_words(void **state)
{
	struct pair *pair = pair_new(62);

	(void)state;
	packets_there = words_to_lose = 0;
	pair->wire.rate_bps = 20000000;
	pair->wire.delay = 50 * TW_MSEC;
	pair_connect(pair, 0);
	assert_true(wire_run(&pair->wire, 5 * TW_SECOND, both_up, pair));
	wire_run(&pair->wire, pair->wire.now + 200 * TW_MSEC, NULL, NULL);
	pair->wire.hook = lose_words;
	words_to_lose = 2;
	assert_int_equal(tw_conn_stream_write(pair->sides[0].conn, 3, "hello", 5), 5);
	assert_true(wire_run(&pair->wire, pair->wire.now + 90 * TW_MSEC, words_there, pair));
	assert_int_equal(words_to_lose, 0);
	pair_free(pair);

	pair = pair_new(63);
	pair->wire.delay = 50 * TW_MSEC;
	pair_connect(pair, 0);
	assert_true(wire_run(&pair->wire, 5 * TW_SECOND, both_up, pair));
	wire_run(&pair->wire, pair->wire.now + 2 * TW_SECOND, NULL, NULL);
	pair->wire.hook = lose_words;
	packets_there = 0;
	assert_int_equal(tw_conn_stream_write(pair->sides[0].conn, 3, "hello", 5), 5);
	wire_run(&pair->wire, pair->wire.now + 500 * TW_MSEC, NULL, NULL);
	assert_int_equal(pair->sides[1].stream_length, 5);
	assert_int_equal(packets_there, 1);
	/* And where a timeout has to ask, it brings the words. */
	words_to_lose = 1;
	assert_int_equal(tw_conn_stream_write(pair->sides[0].conn, 3, "again", 5), 5);
	wire_run(&pair->wire, pair->wire.now + 300 * TW_MSEC, NULL, NULL);
	assert_int_equal(pair->sides[1].stream_length, 10);
	pair_free(pair);
}

/* Gilbert's model, a state for each direction: a tenth is lost, five in a row on average. */
#define LOSS 0.1
#define BURST 5.0
#define BURST_RUNS 256

struct bursts {
	struct tw_prng prng;
	bool bad[2];
	unsigned inits;
};

static bool lose_in_bursts(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	struct bursts *bursts = wire->context;
	double lost = bursts->bad[to] ? 1 - 1 / BURST : LOSS / (BURST * (1 - LOSS));

	(void)length;
	bursts->inits += bytes[0] == TW_DATAGRAM_INIT;
	bursts->bad[to] = tw_prng_unit(&bursts->prng) < lost;
	return !bursts->bad[to];
}

static bool both_there(void *context)
{
	const struct pair *pair = context;
	return pair->sides[0].established && pair->sides[1].established;
}

/*
 * Nothing else is on the way that would bring a burst to its end: the INITs have to do it
 * themselves. An answer at once costs the one INIT.
 */
static void test_handshake_in_bursts(void **state)
{
	tw_ns sum = 0, worst = 0;
	unsigned slow = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= BURST_RUNS; seed++) {
		struct pair *pair = pair_new(seed);
		struct bursts bursts = { .inits = 0 };
		tw_prng_init(&bursts.prng, seed * 1000003);
		for (int to = 0; to < 2; to++)
			bursts.bad[to] = tw_prng_unit(&bursts.prng) < LOSS;
		pair->wire.delay = 150 * TW_MSEC;
		pair->wire.hook = lose_in_bursts;
		pair->wire.context = &bursts;
		pair_connect(pair, 0);
		tw_ns began = pair->wire.now;
		wire_run(&pair->wire, began + 30 * TW_SECOND, both_there, pair);
		tw_ns took = pair->wire.now - began;
		if (took <= 450 * TW_MSEC + TW_MSEC)
			assert_int_equal(bursts.inits, 1);
		sum += took;
		worst = tw_ns_max(worst, took);
		slow += took > 2 * TW_SECOND;
		pair_free(pair);
	}
	print_message("# in bursts: mean %.3f s, worst %.3f s, above 2 s %u\n",
		      (double)sum / BURST_RUNS / 1e9, (double)worst / 1e9, slow);
	assert_true(sum / BURST_RUNS < 800 * TW_MSEC);
	assert_true(worst < 8 * TW_SECOND);
	assert_true(slow <= BURST_RUNS / 16);
}

static unsigned inits_out;

static bool count_and_lose(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	(void)wire;
	(void)to;
	(void)length;
	inits_out += bytes[0] == TW_DATAGRAM_INIT;
	return false;
}

static void get_retry(struct pair *pair, uint8_t cookie)
{
	const uint8_t bytes[TW_COOKIE_SIZE] = { cookie };
	const struct tw_datagram retry = { .type = TW_DATAGRAM_RETRY,
					   .version = TW_VERSION_1,
					   .dcid = pair->sides[0].conn->cid,
					   .cookie = bytes };
	const struct tw_path path = { pair->wire.addresses[0], pair->wire.addresses[1] };
	uint8_t datagram[64];
	size_t length = tw_datagram_write_retry(&retry, datagram, sizeof(datagram));

	assert_true(length > 0);
	tw_endpoint_receive(pair->wire.ends[0], &path, datagram, length, pair->wire.now);
}

/* What an attempt costs that nobody answers; and a RETRY is worth one INIT, however often it
 * comes. */
static void test_inits_bounded(void **state)
{
	struct pair *pair = pair_new(77);

	(void)state;
	inits_out = 0;
	pair->wire.hook = count_and_lose;
	pair_connect(pair, 0);
	wire_run(&pair->wire, pair->wire.now + 490 * TW_MSEC, NULL, NULL);
	assert_int_equal(inits_out, 1);
	for (unsigned i = 0; i < 8; i++) {
		get_retry(pair, 1);
		wire_run(&pair->wire, pair->wire.now + TW_MSEC, NULL, NULL);
	}
	assert_int_equal(inits_out, 2);
	get_retry(pair, 2);
	wire_run(&pair->wire, pair->wire.now + 490 * TW_MSEC, NULL, NULL);
	assert_int_equal(inits_out, 3);
	wire_run(&pair->wire, pair->wire.now + 20 * TW_SECOND, NULL, NULL);
	assert_true(pair->sides[0].closed);
	assert_in_range(inits_out, 20, 37);
	pair_free(pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transfers),
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_limit_under_loss),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_refused_stays_out),
		cmocka_unit_test(test_silent_application),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_closed_while_connecting),
		cmocka_unit_test(test_changed_accept),
		cmocka_unit_test(test_idle_and_keep_alive),
		cmocka_unit_test(test_rebinding),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_discover),
		cmocka_unit_test(test_black_hole),
		cmocka_unit_test(test_corruption),
		cmocka_unit_test(test_slow_receiver),
		cmocka_unit_test(test_slow_receiver_near),
		cmocka_unit_test(test_outage),
		cmocka_unit_test(test_stragglers),
		cmocka_unit_test(test_lost_first_words),
		cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_handshake_in_bursts),
		cmocka_unit_test(test_inits_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
