/*
 * corepair.h - the ends of a corewire.h with an application each: one sends a tape of numbered
 * bytes and the other checks them. For tests that include cmocka before.
 */
#pragma once

#include "base/ranges.h"
#include "corewire.h"

/* An application that sends a tape of numbered bytes, and one that checks them. */
struct side {
	struct wire *wire;
	struct tw_conn *conn;
	bool established, closed;
	uint8_t peer_server_id[TW_ID_SIZE]; /* as known when it closed */
	enum tw_conn_end end;
	uint64_t code;
	char reason[128];
	/* sending */
	uint64_t size;
	struct tw_ranges owed, acked;
	/* receiving */
	struct tw_ranges received;
	uint64_t repeats, wrong;
	bool refuse;
	uint64_t hold; /* bytes not yet consumed */
	bool stalled;
	/* streams */
	uint8_t stream[1 << 16];
	size_t stream_length;
	bool stream_ended;
	unsigned writable;
};

static uint8_t tape(uint64_t offset)
{
	return (uint8_t)(offset * 131 ^ offset >> 8 ^ offset >> 16);
}

static void on_established(void *app, struct tw_conn *conn)
{
	struct side *side = app;
	side->conn = conn;
	side->established = true;
	if (side->size)
		tw_conn_wake(conn);
}

static void on_closed(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
		      const char *reason)
{
	struct side *side = app;
	struct tw_conn_info info;
	tw_conn_info(conn, &info);
	memcpy(side->peer_server_id, info.peer_server_id, TW_ID_SIZE);
	side->closed = true;
	side->conn = NULL;
	side->end = end;
	side->code = code;
	snprintf(side->reason, sizeof(side->reason), "%s", reason);
}

static bool on_next(void *app, struct tw_conn *conn, struct tw_data_ref *ret)
{
	struct side *side = app;
	struct tw_range range;
	(void)conn;
	if (!tw_ranges_next(&side->owed, 0, UINT64_MAX, &range))
		return false;
	*ret = (struct tw_data_ref){ 7, range.start, range.end - range.start };
	return true;
}

static const uint8_t *on_take(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	static uint8_t bytes[TW_DATAGRAM_MAX];
	struct side *side = app;
	(void)conn;
	for (uint64_t i = 0; i < piece->length; i++)
		bytes[i] = tape(piece->offset + i);
	assert_int_equal(
		tw_ranges_remove(&side->owed, piece->offset, piece->offset + piece->length), 0);
	return bytes;
}

static void on_acked(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	struct side *side = app;
	(void)conn;
	assert_int_equal(tw_ranges_add(&side->acked, piece->offset, piece->offset + piece->length),
			 0);
	assert_int_equal(
		tw_ranges_remove(&side->owed, piece->offset, piece->offset + piece->length), 0);
}

static void on_lost(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	struct side *side = app;
	(void)conn;
	assert_int_equal(tw_ranges_add(&side->owed, piece->offset, piece->offset + piece->length),
			 0);
}

static bool on_data(void *app, struct tw_conn *conn, const struct tw_data_ref *piece,
		    const uint8_t *bytes)
{
	struct side *side = app;
	if (side->refuse)
		return false;
	side->wrong += piece->transfer != 7;
	for (uint64_t i = 0; i < piece->length; i++)
		side->wrong += bytes[i] != tape(piece->offset + i);
	side->repeats +=
		tw_ranges_overlap(&side->received, piece->offset, piece->offset + piece->length);
	assert_int_equal(
		tw_ranges_add(&side->received, piece->offset, piece->offset + piece->length), 0);
	if (side->stalled)
		side->hold += piece->length;
	else
		tw_conn_data_consumed(conn, piece->length);
	return true;
}

static void on_readable(void *app, struct tw_conn *conn, uint64_t stream)
{
	struct side *side = app;
	if (stream != 3)
		return;
	size_t length = 1;
	while (length && !side->stream_ended) {
		length = tw_conn_stream_read(conn, stream, side->stream + side->stream_length,
					     sizeof(side->stream) - side->stream_length,
					     &side->stream_ended);
		side->stream_length += length;
	}
}

static void on_writable(void *app, struct tw_conn *conn, uint64_t stream)
{
	struct side *side = app;
	(void)conn;
	(void)stream;
	side->writable++;
}

static const struct tw_conn_app side_app = {
	.established = on_established,
	.closed = on_closed,
	.data_next = on_next,
	.data_take = on_take,
	.data_acked = on_acked,
	.data_lost = on_lost,
	.data_received = on_data,
	.stream_readable = on_readable,
	.stream_writable = on_writable,
};

struct pair {
	struct wire wire;
	struct tw_identity identities[2];
	struct side sides[2];
	struct tw_conn_config config;
	enum tw_verdict verdict;
	enum tw_cipher cipher_min;
	enum tw_cipher cipher;
};

static enum tw_verdict on_admit(void *context, const struct tw_public_key *peer,
				const struct tw_path *path, struct tw_conn_config *ret_config,
				const struct tw_conn_app **ret_app, void **ret_context)
{
	struct pair *pair = context;
	(void)path;
	if (tw_public_key_known(peer))
		assert_memory_equal(peer, &pair->identities[0].public_key, sizeof(*peer));
	*ret_config = pair->config;
	*ret_app = &side_app;
	*ret_context = &pair->sides[1];
	return pair->verdict;
}

static struct pair *pair_new(uint64_t seed)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	wire_init(&pair->wire, seed);
	struct tw_random random = tw_prng_random(&pair->wire.prng);
	pair->cipher = TW_CIPHER_128;
	pair->config = (struct tw_conn_config){ .method = TW_RATE_BBR,
						.limits = { .max_bps = UINT64_MAX } };
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tw_identity_generate(&random, &pair->identities[i]), 0);
		pair->sides[i].wire = &pair->wire;
		tw_ranges_init(&pair->sides[i].owed, 1 << 20);
		tw_ranges_init(&pair->sides[i].acked, 1 << 20);
		tw_ranges_init(&pair->sides[i].received, 1 << 20);
	}
	return pair;
}

static void pair_free(struct pair *pair)
{
	wire_deinit(&pair->wire);
	for (int i = 0; i < 2; i++) {
		tw_ranges_deinit(&pair->sides[i].owed);
		tw_ranges_deinit(&pair->sides[i].acked);
		tw_ranges_deinit(&pair->sides[i].received);
	}
	free(pair);
}

static void pair_connect(struct pair *pair, uint64_t size)
{
	for (int i = 0; i < 2; i++) {
		const struct tw_endpoint_config config = {
			.identity = &pair->identities[i],
			.server_id = { (uint8_t)(i + 1) },
			.cipher_min = i ? pair->cipher_min : TW_CIPHER_NONE,
			.random = tw_prng_random(&pair->wire.prng),
			.accept = i == 1,
			.admit = on_admit,
			.context = pair,
		};
		assert_int_equal(tw_endpoint_new(&config, pair->wire.now, &pair->wire.ends[i]), 0);
	}
	if (size)
		assert_int_equal(tw_ranges_add(&pair->sides[0].owed, 0, size), 0);
	pair->sides[0].size = size;
	const struct tw_connect connect = {
		.remote = pair->wire.addresses[1],
		.peer_key = pair->identities[1].public_key,
		.cipher = pair->cipher,
		.config = pair->config,
		.app = &side_app,
		.app_context = &pair->sides[0],
	};
	assert_int_equal(tw_endpoint_connect(pair->wire.ends[0], &connect, pair->wire.now,
					     &pair->sides[0].conn),
			 0);
}
