/*
 * What a peer with a key can say that is well sealed and not true: to make its other side hit
 * somebody else, work without end, or fall over.
 */
#include "unit.h"

#include "attackscene.h"

/* What a peer with a key may say: @frames in packet @number, from wherever he likes. */
static void say_as_peer(struct scene *scene, uint64_t number, const void *frames, size_t length,
			const struct tw_path *path)
{
	struct tw_conn *conn = scene->client;
	uint8_t bytes[TW_DATAGRAM_MAX];
	bool phase = tw_seal_chain_phase(&conn->seal, number);
	size_t header = tw_datagram_write_packet_header(conn->peer_cid, phase, number, bytes);

	memcpy(bytes + header, frames, length);
	tw_seal(&conn->seal, number, bytes, header, bytes + header, length);
	tw_endpoint_receive(scene->wire.ends[1], path, bytes,
			    header + length + tw_cipher_tag_size(conn->cipher), scene->wire.now);
}

static struct scene *scene_of_peers(uint64_t seed, struct tw_path *ret_path)
{
	struct scene *scene = scene_new(seed);

	scene->size = KIB;
	scene_connect(scene);
	scene_talk(scene);
	*ret_path = (struct tw_path){ .local = scene->wire.addresses[1],
				      .remote = scene->wire.addresses[0] };
	return scene;
}

/* Bytes that the responder sends to @remote now. */
static uint64_t sends_to(struct scene *scene, const struct tw_address *remote)
{
	static uint8_t bytes[65536];
	struct tw_train train = { .bytes = bytes, .room = sizeof bytes };
	uint64_t sum = 0;

	while (tw_endpoint_send(scene->wire.ends[1], &train, scene->wire.now))
		if (tw_address_equal(&train.path.remote, remote))
			sum += train.length;
	return sum;
}

/*
 * A peer has us answer challenges to somebody else: with nothing but the answer, whatever there is
 * to say. Here hundreds of gaps are to be reported, and a stream waits.
 */
static void test_challenges_from_elsewhere(void **state)
{
	static const uint8_t ping[] = { TW_FRAME_PING };
	static const uint8_t ask[1 + TW_PATH_TOKEN_SIZE] = { TW_FRAME_PATH_CHALLENGE, 1, 2, 3 };
	struct tw_path path, other;
	struct scene *scene = scene_of_peers(51, &path);
	struct tw_conn *conn = tw_endpoint_conn(scene->wire.ends[1], 0);
	uint64_t number = scene->client->seal.next_min;

	(void)state;
	other = path;
	other.remote.ip[0] = 203;
	for (unsigned i = 0; i < 1000; i++, number += 2)
		say_as_peer(scene, number, ping, sizeof ping, &path);
	fill(conn, 100 * KIB);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t sent;

		scene->wire.now += 30 * TW_MSEC;
		say_as_peer(scene, number++, ping, sizeof ping, &path);
		scene->wire.now += 30 * TW_MSEC;
		say_as_peer(scene, number++, ask, sizeof ask, &other);
		sent = sends_to(scene, &other.remote);
		assert_in_range(sent, 1,
				TW_PACKET_HEADER_SIZE + sizeof ask +
					tw_cipher_tag_size(conn->cipher));
	}
	assert_int_equal(conn->state, TW_CONN_ESTABLISHED);
	assert_true(tw_address_equal(&conn->path.path.remote, &path.remote));
	scene_free(scene);
}

/* A peer may leave out two thousand million numbers with each packet: where they end, he is heard
 * no more, and that is all. */
static void test_last_number(void **state)
{
	static const uint8_t ping[] = { TW_FRAME_PING };
	struct tw_path path;
	struct scene *scene = scene_of_peers(52, &path);
	struct tw_conn *conn = tw_endpoint_conn(scene->wire.ends[1], 0);
	uint64_t received;

	(void)state;
	assert_int_equal(
		tw_ack_tracker_add(&conn->acks, TW_VARINT_MAX - 1000, true, scene->wire.now), 0);
	say_as_peer(scene, TW_VARINT_MAX, ping, sizeof ping, &path);
	assert_int_equal(conn->acks.largest, TW_VARINT_MAX);
	received = conn->packets_received;
	for (uint64_t i = 1; i < 10; i++)
		say_as_peer(scene, TW_VARINT_MAX + i, ping, sizeof ping, &path);
	assert_int_equal(conn->packets_received, received);
	scene->wire.now += 100 * TW_MSEC;
	assert_true(sends_to(scene, &path.remote) > 0);
	scene_free(scene);
}

#define FLIGHT 20000

static void ack_one(struct tw_conn *conn, uint64_t first, uint64_t past, tw_ns now)
{
	struct tw_ack_frame ack = { .largest = past - 1, .range_count = 1 };

	ack.ranges[0] = (struct tw_range){ first, past };
	assert_int_equal(tw_recovery_ack(conn, &ack, now), 0);
}

/*
 * Acknowledgements without end, of packets among which the oldest are missing, and then of the same
 * ones: what they make us look at grows with what was sent, not with their number.
 */
static void test_acknowledgements(void **state)
{
	struct tw_path path;
	struct scene *scene = scene_of_peers(53, &path);
	struct tw_conn *conn = tw_endpoint_conn(scene->wire.ends[1], 0);
	struct tw_recovery *recovery = &conn->recovery;
	uint64_t first = recovery->sent.next, before;

	(void)state;
	assert_int_equal(tw_sent_map_reserve(&recovery->sent, FLIGHT), 0);
	for (unsigned i = 0; i < FLIGHT; i++) {
		uint64_t number;
		struct tw_sent *sent = tw_sent_map_push(&recovery->sent, &number);

		sent->bytes = 1200;
		tw_recovery_sent(conn, sent, scene->wire.now);
	}
	/* Counting does not tell what is lost on a path that reorders so much. */
	recovery->reorder_packets = TW_REORDER_PACKETS_MAX;
	before = recovery->looked;
	for (unsigned i = 0; i < FLIGHT / 4; i++)
		ack_one(conn, first + FLIGHT - 1 - 2 * i, first + FLIGHT - 2 * i, scene->wire.now);
	assert_true(recovery->looked - before < 4 * FLIGHT);
	before = recovery->looked;
	for (unsigned i = 0; i < 5000; i++)
		ack_one(conn, first + 100 + i % 100, first + FLIGHT - i % 10, scene->wire.now);
	assert_true(recovery->looked - before < 4 * FLIGHT);
	/* And what is lost is found all the same. */
	scene->wire.now += TW_SECOND;
	assert_int_equal(recovery->in_flight_packets, 100);
	tw_recovery_timeout(conn, scene->wire.now);
	assert_int_equal(recovery->in_flight_packets, 0);
	scene_free(scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_challenges_from_elsewhere),
		cmocka_unit_test(test_last_number),
		cmocka_unit_test(test_acknowledgements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
