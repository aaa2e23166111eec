#include "crypto/siphash.h"

#include <endian.h>
#include <string.h>

#define WORD 8

struct state {
	uint64_t v0, v1, v2, v3;
};

static uint64_t load(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof word);
	return le64toh(word);
}

static void store(uint64_t word, uint8_t *at)
{
	word = htole64(word);
	memcpy(at, &word, sizeof word);
}

static inline uint64_t rotate(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

static inline void rounds(struct state *s, unsigned count)
{
	while (count-- > 0) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 = rotate(s->v2, 32);
	}
}

static inline void take(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	rounds(s, 2);
	s->v0 ^= word;
}

void tw_siphash(const uint8_t key[TW_SIPHASH_KEY], const void *bytes, size_t length,
		uint8_t ret[TW_SIPHASH_SIZE])
{
	uint64_t k0 = load(key), k1 = load(key + WORD);
	struct state s = {
		.v0 = k0 ^ UINT64_C(0x736f6d6570736575),
		.v1 = k1 ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
		.v2 = k0 ^ UINT64_C(0x6c7967656e657261),
		.v3 = k1 ^ UINT64_C(0x7465646279746573),
	};
	const uint8_t *at = bytes;
	uint8_t last[WORD] = { [WORD - 1] = (uint8_t)length };
	size_t left = length;

	for (; left >= WORD; at += WORD, left -= WORD)
		take(&s, load(at));
	if (left > 0)
		memcpy(last, at, left);
	take(&s, load(last));
	s.v2 ^= 0xee;
	rounds(&s, 4);
	store(s.v0 ^ s.v1 ^ s.v2 ^ s.v3, ret);
	s.v1 ^= 0xdd;
	rounds(&s, 4);
	store(s.v0 ^ s.v1 ^ s.v2 ^ s.v3, ret + WORD);
}
