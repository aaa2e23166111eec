/*
 * clock.h - where the program, and nothing above it, asks the system for the time and for
 * randomness.
 */
#pragma once

#include "base/random.h"
#include "base/time.h"

/* CLOCK_MONOTONIC. */
tw_ns tw_clock_now(void);
/*
 * Microseconds since 1970, UTC. To be read once for an object; its other times are this plus
 * monotonic durations.
 */
uint64_t tw_clock_wall_us(void);
/*
 * getrandom(2). The process ends with a message if the kernel has none to give: nothing is safe
 * without.
 */
struct tw_random tw_system_random(void);
