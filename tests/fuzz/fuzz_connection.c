/*
 * A connection whose peer says anything: the input is cut into payloads, each is sealed as a proper
 * packet (encryption off, so that the checksum is all it takes) and handed to the accepting end,
 * which also gets to send and to see its timers pass.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/corewire.h"
#include "core/conn_internal.h"
#include "fuzz.h"

static bool on_next(void *app, struct tw_conn *conn, struct tw_data_ref *ret)
{
	uint64_t *cursor = app;
	(void)conn;
	*ret = (struct tw_data_ref){ 1, *cursor, 100000 };
	return *cursor < 300000;
}

static const uint8_t *on_take(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	static uint8_t bytes[TW_DATAGRAM_MAX];
	uint64_t *cursor = app;
	(void)conn;
	memset(bytes, 0x55, piece->length);
	*cursor += piece->length;
	return bytes;
}

static void on_piece(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	(void)app, (void)conn, (void)piece;
}

static bool on_data(void *app, struct tw_conn *conn, const struct tw_data_ref *piece,
		    const uint8_t *bytes)
{
	(void)app, (void)bytes;
	tw_conn_data_consumed(conn, piece->length);
	return piece->offset % 5 != 4;
}

static void on_readable(void *app, struct tw_conn *conn, uint64_t stream)
{
	uint8_t bytes[512];
	(void)app;
	if (stream % 3)
		tw_conn_stream_read(conn, stream, bytes, sizeof(bytes), NULL);
}

static void on_writable(void *app, struct tw_conn *conn, uint64_t stream)
{
	(void)app, (void)conn, (void)stream;
}

static const struct tw_conn_app app = {
	.data_next = on_next,
	.data_take = on_take,
	.data_acked = on_piece,
	.data_lost = on_piece,
	.data_received = on_data,
	.stream_readable = on_readable,
	.stream_writable = on_writable,
};

static enum tw_verdict on_admit(void *context, const struct tw_public_key *peer,
				const struct tw_path *path, struct tw_conn_config *ret_config,
				const struct tw_conn_app **ret_app, void **ret_context)
{
	(void)peer, (void)path;
	*ret_config = (struct tw_conn_config){ .method = TW_RATE_BBR };
	*ret_app = &app;
	*ret_context = context;
	return TW_ACCEPT_YES;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buffer[65536];
	static struct wire wire;
	static struct tw_identity identity;
	uint64_t cursors[2] = { 300000, 0 };
	wire_init(&wire, 1);
	struct tw_endpoint_config config = {
		.identity = &identity,
		.random = tw_prng_random(&wire.prng),
		.admit = on_admit,
		.context = &cursors[1],
	};
	struct tw_connect connect = { .remote = wire.addresses[1],
				      .app = &app,
				      .app_context = &cursors[0] };
	struct tw_conn *client, *server;
	tw_endpoint_new(&config, wire.now, &wire.ends[0]);
	config.accept = true;
	tw_endpoint_new(&config, wire.now, &wire.ends[1]);
	tw_endpoint_connect(wire.ends[0], &connect, wire.now, &client);
	wire_run(&wire, wire.now + 100 * TW_MSEC, NULL, NULL);
	server = tw_endpoint_conn(wire.ends[1], 0);
	if (size && data[0] % 2)
		tw_conn_wake(server);
	struct tw_path path = { wire.addresses[1], wire.addresses[0] };
	uint64_t number = client->recovery.sent.next;
	uint64_t cid = server->cid;
	while (size > 1 && tw_endpoint_count(wire.ends[1])) {
		/* One byte of length, one that skips packet numbers, moves the address or lets time
		 * pass. */
		size_t length = data[0];
		uint8_t move = data[1];
		data += 2, size -= 2;
		length = length < size ? length : size;
		number += 1 + (move & 3);
		path.remote.port = (uint16_t)(1111 + (move >> 6));
		tw_datagram_write_packet_header(cid, false, number, buffer);
		memcpy(buffer + TW_PACKET_HEADER_SIZE, data, length);
		tw_seal(&client->seal, number, buffer, TW_PACKET_HEADER_SIZE,
			buffer + TW_PACKET_HEADER_SIZE, length);
		tw_endpoint_receive(wire.ends[1], &path, buffer,
				    TW_PACKET_HEADER_SIZE + length + TW_CHECKSUM_SIZE, wire.now);
		data += length, size -= length;
		wire.now += (tw_ns)(move & 60) * TW_MSEC;
		struct tw_train train = { .bytes = buffer, .room = sizeof(buffer) };
		for (unsigned i = 0; i < 8 && tw_endpoint_send(wire.ends[1], &train, wire.now); i++)
			;
	}
	wire_deinit(&wire);
	return 0;
}
