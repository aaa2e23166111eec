/*
 * valve.h - a socket that listens takes only so many INITs a second: what is beyond, the kernel
 * drops before it takes room in the socket's buffer.
 *
 * Strangers and peers come to the same socket. A flood of INITs, which the endpoint turns away for
 * next to nothing, would still fill the buffer and push out what peers send. So INITs are counted,
 * and when there are more a second than any true crowd would send, a filter in the kernel lets only
 * those through whose source address and port fall into a window of a keyed hash. The window is as
 * wide as the flood allows, and moves on every TW_VALVE_WINDOW: whoever is in earnest, and so keeps
 * his address and repeats his INIT, has his turn within a few seconds, and in it both his INIT and
 * the one with the cookie come through. Invented addresses fall everywhere.
 *
 * Datagrams of no known type never come through. A kernel that takes no filter has none: nothing
 * depends on it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "base/time.h"

#define TW_VALVE_INITS 8000             /* a second, that come through */
#define TW_VALVE_PERIOD (20 * TW_MSEC)  /* at least so long is counted */
#define TW_VALVE_WINDOW (600 * TW_MSEC) /* longer than between two INITs of one who asks */
#define TW_VALVE_OPEN 1024              /* the width that is all */

struct tw_valve {
	int fd; /* borrowed; -1: no filter to be had */
	bool ipv6;
	uint32_t salt[2];
	unsigned width, place; /* of the window */
	uint64_t inits;        /* that came through since: */
	tw_ns since, moved_at;
};

/* For a socket that listens. The filter against unknown types is in force from here on. */
void tw_valve_init(struct tw_valve *valve, int fd, bool ipv6, const struct tw_random *random,
		   tw_ns now);
/* @inits have come. */
static inline void tw_valve_count(struct tw_valve *valve, uint64_t inits)
{
	valve->inits += inits;
}
/* Looks at what has been counted, if it is time to, and turns the valve. */
void tw_valve_turn(struct tw_valve *valve, tw_ns now);
/* The width that @inits a second in a window of @width call for; a pure function. */
unsigned tw_valve_width(unsigned width, double inits_a_second);
