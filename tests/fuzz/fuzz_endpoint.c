/*
 * An accepting endpoint under any datagrams from strangers: what it answers is shorter than what
 * it was sent, and what it remembers is bounded.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/corewire.h"
#include "fuzz.h"

static enum tw_verdict on_admit(void *context, const struct tw_public_key *peer,
				const struct tw_path *path, struct tw_conn_config *ret_config,
				const struct tw_conn_app **ret_app, void **ret_context)
{
	(void)context, (void)peer, (void)path, (void)ret_config, (void)ret_app, (void)ret_context;
	return TW_ACCEPT_YES;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tw_conn_app app;
	static uint8_t buffer[65536];
	struct tw_prng prng;
	static struct tw_identity identity;
	tw_prng_init(&prng, 1);
	struct tw_random random = tw_prng_random(&prng);
	if (!tw_public_key_known(&identity.public_key) && tw_identity_generate(&random, &identity))
		abort();
	const struct tw_endpoint_config config = {
		.identity = &identity,
		.random = random,
		.accept = true,
		.admit = on_admit,
		.cipher_min = TW_CIPHER_NONE,
	};
	struct tw_endpoint *endpoint;
	struct tw_path path = { wire_address(2, 8886), wire_address(1, 1111) };
	tw_ns now = TW_SECOND;
	(void)app;
	if (tw_endpoint_new(&config, now, &endpoint))
		return 0;
	while (size > 2) {
		size_t length = (size_t)(data[0] | (data[1] & 7) << 8);
		bool pad = data[1] & 8;
		path.remote.port = (uint16_t)(1000 + (data[1] >> 4));
		data += 2, size -= 2;
		length = length < size ? length : size;
		memcpy(buffer, data, length);
		data += length, size -= length;
		/* Most INITs need their padding to be looked at. */
		if (pad && length < TW_DATAGRAM_INIT_MIN) {
			memset(buffer + length, 0, TW_DATAGRAM_INIT_MIN - length);
			length = TW_DATAGRAM_INIT_MIN;
		}
		tw_endpoint_receive(endpoint, &path, buffer, length, now);
		struct tw_train train = { .bytes = buffer, .room = sizeof(buffer) };
		size_t answered = 0;
		while (tw_endpoint_send(endpoint, &train, now))
			answered += train.length;
		if (answered && answered >= length)
			abort();
		now += TW_MSEC;
	}
	tw_endpoint_free(endpoint);
	return 0;
}
