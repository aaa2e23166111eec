/*
 * units.h - rates are bits of UDP payload per second, amounts are bytes, times are nanoseconds: the
 * three conversions between them, in 128 bits so that no product overflows, saturating at
 * UINT64_MAX.
 */
#pragma once

#include <stdint.h>

#include "base/time.h"

static inline uint64_t tw_rate_saturate(unsigned __int128 value)
{
	return value > UINT64_MAX ? UINT64_MAX : (uint64_t)value;
}

/* Bytes that @rate_bps moves in @time, rounded down. */
static inline uint64_t tw_rate_bytes(uint64_t rate_bps, tw_ns time)
{
	return tw_rate_saturate((unsigned __int128)rate_bps * time / (8 * TW_SECOND));
}

/* Time that @bytes take at @rate_bps (not 0), rounded up. */
static inline tw_ns tw_rate_time(uint64_t rate_bps, uint64_t bytes)
{
	return tw_rate_saturate(((unsigned __int128)bytes * (8 * TW_SECOND) + rate_bps - 1) /
				rate_bps);
}

/* The rate that moves @bytes in @time (not 0), rounded down. */
static inline uint64_t tw_rate_of(uint64_t bytes, tw_ns time)
{
	return tw_rate_saturate((unsigned __int128)bytes * (8 * TW_SECOND) / time);
}

/* @rate_bps * @factor for a factor of 0 or more, saturating. */
static inline uint64_t tw_rate_scale(uint64_t rate_bps, double factor)
{
	double scaled = (double)rate_bps * factor;

	return scaled >= 18e18 ? UINT64_MAX : (uint64_t)scaled;
}
