#include "content/digest.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>
#ifdef __x86_64__
/* The same functions, with the widest vectors that the processor has: twice as fast with AVX2. */
#include <xxh_x86dispatch.h>
#endif

struct tw_digest_state {
	XXH3_state_t xxh;
};

static struct tw_digest canonical(XXH128_hash_t hash)
{
	XXH128_canonical_t bytes;
	struct tw_digest digest;

	static_assert(sizeof(bytes.digest) == sizeof(digest.bytes), "XXH3-128 has 16 bytes");
	XXH128_canonicalFromHash(&bytes, hash);
	memcpy(digest.bytes, bytes.digest, sizeof(digest.bytes));
	return digest;
}

struct tw_digest tw_digest_of(const void *bytes, size_t length)
{
	return canonical(XXH3_128bits(bytes, length));
}

struct tw_digest_state *tw_digest_new(void)
{
	struct tw_digest_state *state = aligned_alloc(64, (sizeof(*state) + 63) / 64 * 64);

	if (state)
		tw_digest_reset(state);
	return state;
}

void tw_digest_free(struct tw_digest_state *state)
{
	free(state);
}

void tw_digest_reset(struct tw_digest_state *state)
{
	XXH3_128bits_reset(&state->xxh);
}

void tw_digest_update(struct tw_digest_state *state, const void *bytes, size_t length)
{
	XXH3_128bits_update(&state->xxh, bytes, length);
}

struct tw_digest tw_digest_final(const struct tw_digest_state *state)
{
	return canonical(XXH3_128bits_digest(&state->xxh));
}
