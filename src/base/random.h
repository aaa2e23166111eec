/*
 * random.h - where random numbers come from. The sans-IO tiers take a source as a parameter: the
 * program hands in the system's, tests and the simulator hand in a seeded one, so that every run
 * can be repeated.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct tw_random {
	void (*fill)(void *context, void *ret, size_t length);
	void *context;
};

void tw_random_fill(const struct tw_random *random, void *ret, size_t length);
uint64_t tw_random_u64(const struct tw_random *random);

/* xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64. For tests, never for keys. */
struct tw_prng {
	uint64_t state[4];
};

void tw_prng_init(struct tw_prng *prng, uint64_t seed);
uint64_t tw_prng_u64(struct tw_prng *prng);
/* Uniform in [0, bound), bound > 0. */
uint64_t tw_prng_below(struct tw_prng *prng, uint64_t bound);
/* Uniform in [0, 1). */
double tw_prng_unit(struct tw_prng *prng);
struct tw_random tw_prng_random(struct tw_prng *prng);
