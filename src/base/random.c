#include "base/random.h"

#include <assert.h>
#include <string.h>

void tw_random_fill(const struct tw_random *random, void *ret, size_t length)
{
	random->fill(random->context, ret, length);
}

uint64_t tw_random_u64(const struct tw_random *random)
{
	uint64_t value;

	random->fill(random->context, &value, sizeof(value));
	return value;
}

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void tw_prng_init(struct tw_prng *prng, uint64_t seed)
{
	for (size_t i = 0; i < 4; i++)
		prng->state[i] = splitmix64(&seed);
}

static uint64_t rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

uint64_t tw_prng_u64(struct tw_prng *prng)
{
	uint64_t *s = prng->state;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

/* Lemire's method: the high half of a product, refusing the few draws that would favour some
 * results. */
uint64_t tw_prng_below(struct tw_prng *prng, uint64_t bound)
{
	uint64_t refused;
	unsigned __int128 product;

	assert(bound > 0);
	refused = -bound % bound;
	do {
		product = (unsigned __int128)tw_prng_u64(prng) * bound;
	} while ((uint64_t)product < refused);
	return (uint64_t)(product >> 64);
}

double tw_prng_unit(struct tw_prng *prng)
{
	return (double)(tw_prng_u64(prng) >> 11) * 0x1p-53;
}

static void fill_seeded(void *context, void *ret, size_t length)
{
	uint8_t *at = ret;

	while (length) {
		uint64_t value = tw_prng_u64(context);

		for (size_t i = 0; i < sizeof(value) && length; i++, length--, value >>= 8)
			*at++ = (uint8_t)value;
	}
}

struct tw_random tw_prng_random(struct tw_prng *prng)
{
	return (struct tw_random){ .fill = fill_seeded, .context = prng };
}
