/*
 * time.h - units of time. All times inside the program are monotonic nanoseconds; the sans-IO tiers
 * are handed the time and never ask for it. Durations and instants share one type: an instant is a
 * duration since an arbitrary start.
 */
#pragma once

#include <stdint.h>

typedef uint64_t tw_ns;

#define TW_USEC ((tw_ns)1000)
#define TW_MSEC ((tw_ns)1000000)
#define TW_SECOND ((tw_ns)1000000000)

/* Later than anything: no deadline is set. */
#define TW_NEVER UINT64_MAX

static inline tw_ns tw_ns_min(tw_ns a, tw_ns b)
{
	return a < b ? a : b;
}

static inline tw_ns tw_ns_max(tw_ns a, tw_ns b)
{
	return a > b ? a : b;
}

/* @a - @b, or 0 where that would be negative. */
static inline tw_ns tw_ns_since(tw_ns a, tw_ns b)
{
	return a > b ? a - b : 0;
}

/* @a + @b that stays at TW_NEVER. */
static inline tw_ns tw_ns_add(tw_ns a, tw_ns b)
{
	return a > TW_NEVER - b ? TW_NEVER : a + b;
}
