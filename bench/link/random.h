/*
 * random.h - the emulator's dice: splitmix64, one state per direction, so that a seed replays the
 * same fates for the same sequence of packets. Not for secrets.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct link_random {
	uint64_t state;
};

static inline uint64_t link_random_next(struct link_random *random)
{
	uint64_t x = random->state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* A number in [0, 1). */
static inline double link_random_unit(struct link_random *random)
{
	return (double)(link_random_next(random) >> 11) * 0x1p-53;
}

/* True with probability @p. Draws nothing where the answer is certain. */
static inline bool link_random_chance(struct link_random *random, double p)
{
	if (p <= 0.0)
		return false;
	return p >= 1.0 || link_random_unit(random) < p;
}
