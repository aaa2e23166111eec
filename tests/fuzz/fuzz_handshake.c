/*
 * Two who want to talk, and somebody between them who may hold back, repeat, change, swap and
 * invent their datagrams, and let time pass. Orders of two bytes: what, and to which one of the
 * datagrams under way. Whatever he does: who is connected is connected to whom he meant, with the
 * cipher he wished for, both with the same keys, and there is one connection for one INIT at most.
 */
#include "fuzz.h"

#include "../unit/corewire.h"
#include "core/conn_internal.h"

#define FLIGHTS 32
#define ORDERS_MAX 64

struct flight {
	int to;
	size_t length;
	uint8_t bytes[TW_DATAGRAM_INIT_MIN];
};

struct world {
	tw_ns now;
	struct tw_prng prng;
	struct tw_identity identities[2];
	struct tw_endpoint *ends[2];
	struct tw_conn *client, *server;
	bool client_up, server_up;
	struct flight flights[FLIGHTS];
	unsigned count; /* all that ever were; the newest are kept */
};

static struct world world;

static void on_client(void *app, struct tw_conn *conn)
{
	(void)app;
	CHECK(conn == world.client);
	world.client_up = true;
}

static void on_server(void *app, struct tw_conn *conn)
{
	(void)app;
	CHECK(!world.server_up); /* one INIT, one connection */
	world.server_up = true;
	world.server = conn;
}

static void on_client_closed(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
			     const char *reason)
{
	(void)app, (void)code, (void)reason;
	/* Nobody but the peer could have said that it refuses. */
	CHECK(end == TW_CONN_TIMEOUT || end == TW_CONN_VERSION || end == TW_CONN_CLOSED_LOCAL);
	if (conn == world.client)
		world.client = NULL;
}

static void on_server_closed(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
			     const char *reason)
{
	(void)app, (void)end, (void)code, (void)reason;
	if (conn == world.server)
		world.server = NULL;
}

static const struct tw_conn_app client_app = { .established = on_client,
					       .closed = on_client_closed };
static const struct tw_conn_app server_app = { .established = on_server,
					       .closed = on_server_closed };

static enum tw_verdict on_admit(void *context, const struct tw_public_key *peer,
				const struct tw_path *path, struct tw_conn_config *ret_config,
				const struct tw_conn_app **ret_app, void **ret_context)
{
	(void)context, (void)path;
	CHECK(memcmp(peer, &world.identities[0].public_key, sizeof *peer) == 0);
	*ret_config = (struct tw_conn_config){ .datagram_max = TW_DATAGRAM_INIT_MIN };
	*ret_app = &server_app;
	*ret_context = NULL;
	return TW_ACCEPT_YES;
}

static void begin(uint8_t settings)
{
	static bool made;
	struct tw_random random = tw_prng_random(&world.prng);
	struct tw_connect connect = { .remote = wire_address(2, 8886),
				      .cipher = settings & 1 ? TW_CIPHER_256 : TW_CIPHER_128,
				      .config.datagram_max = TW_DATAGRAM_INIT_MIN,
				      .app = &client_app };

	tw_prng_init(&world.prng, 1);
	for (int i = 0; i < 2 && !made; i++)
		CHECK(!tw_identity_generate(&random, &world.identities[i]));
	made = true;
	world.now = TW_SECOND;
	world.client = world.server = NULL;
	world.client_up = world.server_up = false;
	world.count = 0;
	for (int i = 0; i < 2; i++) {
		const struct tw_endpoint_config config = {
			.identity = &world.identities[i],
			.cipher_min = i ? TW_CIPHER_AUTH : TW_CIPHER_NONE,
			.aeads = settings & 2 ? TW_AEAD_CHACHA20_POLY1305 : 0,
			.random = random,
			.accept = i == 1,
			.admit = on_admit,
		};

		CHECK(!tw_endpoint_new(&config, world.now, &world.ends[i]));
	}
	if (settings & 4) /* cookies from the start */
		world.ends[1]->half_open += TW_HALF_OPEN_COOKIE;
	connect.peer_key = world.identities[1].public_key;
	CHECK(!tw_endpoint_connect(world.ends[0], &connect, world.now, &world.client));
}

static void pump(void)
{
	static uint8_t bytes[65536];
	struct tw_train train = { .bytes = bytes, .room = 4096 };

	for (int from = 0; from < 2; from++) {
		for (unsigned i = 0; i < 8 && tw_endpoint_send(world.ends[from], &train, world.now);
		     i++) {
			struct flight *flight = &world.flights[world.count++ % FLIGHTS];

			flight->to = !from;
			flight->length =
				train.segment < train.length ? train.segment : train.length;
			CHECK(flight->length <= sizeof flight->bytes);
			memcpy(flight->bytes, bytes, flight->length);
		}
	}
}

static void deliver(int to, const uint8_t *bytes, size_t length)
{
	uint8_t copy[TW_DATAGRAM_INIT_MIN];
	const struct tw_path path = { wire_address((uint8_t)(to + 1), to ? 8886 : 1111),
				      wire_address((uint8_t)(2 - to), to ? 1111 : 8886) };

	memcpy(copy, bytes, length);
	tw_endpoint_receive(world.ends[to], &path, copy, length, world.now);
}

/* Takes the bytes that the order needs from the input; false: there is no more. */
static bool obey(const uint8_t **data, size_t *size)
{
	const uint8_t *order = *data;
	struct flight *flight, changed;
	unsigned kept = world.count < FLIGHTS ? world.count : FLIGHTS;

	if (*size < 4 || !kept)
		return false;
	*data += 4;
	*size -= 4;
	flight = &world.flights[order[1] % kept];
	changed = *flight;
	switch (order[0] % 8) {
	case 0:
	case 1:
	case 2:
		deliver(flight->to, flight->bytes, flight->length);
		break;
	case 3: /* changed in one byte */
		changed.bytes[(order[2] | order[3] << 8) % changed.length] ^=
			(uint8_t)(order[1] | 1);
		deliver(changed.to, changed.bytes, changed.length);
		break;
	case 4: /* cut */
		deliver(changed.to, changed.bytes, (order[2] | order[3] << 8) % changed.length);
		break;
	case 5: /* back to where it came from */
		deliver(!flight->to, flight->bytes, flight->length);
		break;
	case 6: /* time */
		world.now += order[2] * 10 * TW_MSEC;
		break;
	default: { /* the input's own bytes in its middle */
		size_t at = order[2] % changed.length, length = order[3];

		length = length < *size ? length : *size;
		length = length < changed.length - at ? length : changed.length - at;
		memcpy(changed.bytes + at, *data, length);
		*data += length;
		*size -= length;
		deliver(changed.to, changed.bytes, changed.length);
	}
	}
	pump();
	return true;
}

static void check(uint8_t settings)
{
	const enum tw_cipher wish = settings & 1 ? TW_CIPHER_256 : TW_CIPHER_128;
	const enum tw_aead aead = settings & 2 || !(tw_aead_supported() & TW_AEAD_AES_GCM)
					  ? TW_AEAD_CHACHA20_POLY1305
					  : TW_AEAD_AES_GCM;

	if (world.client && world.client_up)
		CHECK(world.client->cipher == wish && world.client->aead == aead);
	if (world.server && world.server_up)
		CHECK(world.server->cipher == wish && world.server->aead == aead);
	/* The responder is only there when the initiator has sent under their keys. */
	CHECK(!world.server_up || world.client_up);
	CHECK(world.ends[1]->count <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t settings;

	if (size < 1)
		return 0;
	settings = data[0];
	data++;
	size--;
	begin(settings);
	pump();
	for (unsigned i = 0; i < ORDERS_MAX && obey(&data, &size); i++)
		check(settings);
	for (int i = 0; i < 2; i++)
		tw_endpoint_free(world.ends[i]);
	return 0;
}
