/*
 * A relay with one registered server. The first byte says what the rest is: control messages as a
 * codec; what a registered server says; datagrams at the public port, each `u8 from | u8 length / 8
 * | bytes`. Whatever it is: no crash, bounds hold, and nobody unproved gets more than it sent.
 */
#include "base/error.h"
#include "base/random.h"
#include "fuzz.h"
#include "relay/client.h"
#include "relay/relay.h"
#include "wire/datagram.h"

struct world {
	struct tw_relay *relay;
	struct tw_relay_link *link;
	struct tw_relay_client *client;
	struct tw_identity server, self;
	uint64_t in[256], out[256];
	tw_ns now;
};

static bool allowed(void *context, const struct tw_public_key *key)
{
	(void)context;
	(void)key;
	return true;
}

static int open_port(void *context, struct tw_relay_server *server, uint16_t port)
{
	(void)context;
	(void)server;
	(void)port;
	return 0;
}

static void close_port(void *context, struct tw_relay_server *server)
{
	(void)context;
	(void)server;
}

static void drain(struct world *world)
{
	const uint8_t *datagram;
	struct tw_relay_reply reply;
	struct tw_relay_hop hop;
	size_t length;

	while (tw_relay_link_datagram(world->link, world->now, &datagram, &hop))
		CHECK(hop.length > 0);
	while (tw_relay_reply(world->relay, &reply)) {
		CHECK(reply.length > 0 && reply.length <= sizeof reply.bytes);
		world->out[reply.path.remote.ip[3]] += reply.length;
	}
	(void)tw_relay_link_output(world->link, &length);
	tw_relay_link_sent(world->link, length);
}

static void set_up(struct world *world, struct tw_prng *prng)
{
	static const uint8_t binding[TW_RELAY_BINDING];
	const struct tw_address home = { TW_FAMILY_IPV4, { 192, 0, 2, 0 }, 1, 0 };
	struct tw_random random = tw_prng_random(prng);
	struct tw_relay_client_config client = { .identity = &world->server,
						 .random = random,
						 .accepts = true };
	struct tw_relay_config config = { .identity = &world->self,
					  .random = random,
					  .port_wanted = 8886,
					  .port_first = 1,
					  .port_last = 2,
					  .allowed = allowed,
					  .open_port = open_port,
					  .close_port = close_port };

	CHECK(!tw_identity_generate(&random, &world->server));
	CHECK(!tw_identity_generate(&random, &world->self));
	client.relay = world->self.public_key;
	world->now = TW_SECOND;
	CHECK(!tw_relay_new(&config, world->now, &world->relay));
	CHECK(!tw_relay_client_new(&client, world->now, &world->client));
	CHECK(!tw_relay_link_new(world->relay, binding, &home, world->now, &world->link));
	tw_relay_client_connected(world->client, binding, world->now);
	for (int i = 0; i < 3; i++) {
		size_t length;
		const uint8_t *bytes = tw_relay_client_output(world->client, &length);

		tw_relay_client_sent(world->client,
				     tw_relay_link_receive(world->link, bytes, length, world->now));
		bytes = tw_relay_link_output(world->link, &length);
		tw_relay_link_sent(world->link, tw_relay_client_receive(world->client, bytes,
									length, world->now));
	}
	CHECK(tw_relay_link_server(world->link));
}

static void codec(const uint8_t *data, size_t size)
{
	static uint8_t again[TW_RELAY_MESSAGE_ROOM];
	struct tw_relay_message message, back;
	size_t taken, length;

	for (;;) {
		int r = tw_relay_message_read(data, size, &message, &taken);

		if (r == TW_E_AGAIN || r == TW_E_FORMAT)
			return;
		CHECK(taken > 0 && taken <= size);
		if (!r) {
			length = tw_relay_message_write(&message, again, sizeof again);
			CHECK(length > 0);
			CHECK(!tw_relay_message_read(again, length, &back, &taken));
			CHECK(taken == length && back.type == message.type &&
			      back.number == message.number && back.length == message.length);
			CHECK(!tw_relay_message_read(data, size, &message, &taken));
		}
		data += taken;
		size -= taken;
	}
}

static void talk(struct world *world, const uint8_t *data, size_t size)
{
	for (size_t done = 0; done < size && !tw_relay_link_over(world->link);) {
		done += tw_relay_link_receive(world->link, data + done, size - done, world->now);
		drain(world);
		world->now += TW_MSEC;
		tw_relay_timeout(world->relay, world->now);
	}
}

/* A leg that the server has shown: INITs go there. */
static void show_leg(struct world *world)
{
	uint8_t leg[TW_RELAY_LEG_SIZE];
	struct tw_relay_train train = {
		.from = { .there = true,
			  .path.remote = { TW_FAMILY_IPV4, { 192, 0, 2, 0 }, 1, 0 } },
		.bytes = leg,
		.segment = TW_RELAY_LEG_SIZE,
	};
	struct tw_relay_hop hop;
	bool asks;

	while ((train.length = tw_relay_client_leg(world->client, world->now, &asks, leg)) > 0)
		tw_relay_forward(world->relay, tw_relay_link_server(world->link), &train,
				 world->now, &hop);
	drain(world);
}

static void datagrams(struct world *world, const uint8_t *data, size_t size)
{
	struct tw_relay_server_info info;

	show_leg(world);
	memset(world->out, 0, sizeof world->out);
	while (size >= 3) {
		size_t length = (size_t)data[1] * 8 + 1;
		struct tw_relay_train train = {
			.from = { .there = true,
				  .path.remote = { TW_FAMILY_IPV4, { 192, 0, 2, data[0] }, 1, 0 } },
			.bytes = data + 2,
			.length = length < size - 2 ? length : size - 2,
			.segment = 1 + (uint32_t)data[1] * 4,
		};
		size_t whole = train.length;

		world->in[data[0]] += train.length;
		while (train.length) {
			struct tw_relay_hop hop;

			tw_relay_forward(world->relay, tw_relay_link_server(world->link), &train,
					 world->now, &hop);
			CHECK(hop.length > 0 && hop.length <= train.length);
			if (hop.to.there && !hop.to.link)
				world->out[hop.to.path.remote.ip[3]] += hop.length;
			train.bytes += hop.length;
			train.length -= hop.length;
		}
		drain(world);
		data += 2 + whole;
		size -= 2 + whole;
		world->now += 10 * TW_MSEC;
		tw_relay_timeout(world->relay, world->now);
	}
	/* Before any handshake was done, and but for the server at address 0. */
	tw_relay_server_info(tw_relay_link_server(world->link), &info);
	for (unsigned i = 1; i < 256 && !info.counters.routes; i++)
		CHECK(world->out[i] <= world->in[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world world = { 0 };
	struct tw_prng prng;

	if (size < 1)
		return 0;
	if (data[0] % 3 == 0) {
		codec(data + 1, size - 1);
		return 0;
	}
	tw_prng_init(&prng, 1);
	set_up(&world, &prng);
	if (data[0] % 3 == 1)
		talk(&world, data + 1, size - 1);
	else
		datagrams(&world, data + 1, size - 1);
	tw_relay_link_free(world.link, world.now);
	tw_relay_client_free(world.client);
	tw_relay_free(world.relay);
	return 0;
}
