/*
 * What it costs an endpoint to turn an INIT away, its RETRY included: nanoseconds, and by
 *   valgrind --tool=callgrind --toggle-collect=tw_endpoint_receive build/bench/micro/bench_door
 * 10000 instructions. The receiving and sending of datagrams come on top.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/endpoint.h"
#include "wire/datagram.h"

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static enum tw_verdict nobody(void *context, const struct tw_public_key *peer,
			      const struct tw_path *path, struct tw_conn_config *ret_config,
			      const struct tw_conn_app **ret_app, void **ret_context)
{
	(void)context, (void)peer, (void)path, (void)ret_config, (void)ret_app, (void)ret_context;
	return TW_ACCEPT_NOT_AUTHORIZED;
}

static void knock(struct tw_endpoint *endpoint, struct tw_prng *prng, const uint8_t *cookie,
		  unsigned times)
{
	static uint8_t reply[65536];
	static const uint8_t message[256];
	uint8_t bytes[TW_DATAGRAM_INIT_MIN];
	struct tw_train train = { .bytes = reply, .room = sizeof reply };
	struct tw_path path = { .remote = { TW_FAMILY_IPV4, { 198, 18 }, 1, 0 } };
	const struct tw_datagram init = { .version = TW_VERSION_1,
					  .scid = tw_prng_u64(prng),
					  .pattern = TW_PATTERN_IK,
					  .cookie = cookie,
					  .message = message,
					  .message_length = sizeof message };
	double start = seconds();

	for (unsigned i = 0; i < times; i++) {
		tw_datagram_write_init(&init, bytes, sizeof bytes);
		path.remote.port = (uint16_t)(i + 1);
		/* A moment of its own: none is granted a look. */
		tw_endpoint_receive(endpoint, &path, bytes, sizeof bytes, 1);
		tw_endpoint_send(endpoint, &train, 1);
	}
	printf("%-16s %6.0f ns\n", cookie ? "a false cookie" : "no cookie",
	       (seconds() - start) * 1e9 / times);
}

int main(int argc, char **argv)
{
	unsigned times = argc > 1 ? (unsigned)atoi(argv[1]) : 1000000;
	struct tw_prng prng;
	struct tw_random random = tw_prng_random(&prng);
	struct tw_identity self;
	struct tw_endpoint_config config = {
		.identity = &self, .random = random, .accept = true, .admit = nobody
	};
	struct tw_endpoint *endpoint;
	static const uint8_t cookie[TW_COOKIE_SIZE] = { 1 };

	tw_prng_init(&prng, 1);
	if (tw_identity_generate(&random, &self) || tw_endpoint_new(&config, 1, &endpoint))
		return 1;
	knock(endpoint, &prng, NULL, 64); /* the burst that is tried */
	knock(endpoint, &prng, NULL, times);
	knock(endpoint, &prng, cookie, times);
	tw_endpoint_free(endpoint);
	return 0;
}
