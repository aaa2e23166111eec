/*
 * lane_rule.h - whether a destination would be served faster with one more lane, judged by a span
 * of time in which it was sent to.
 *
 * Lanes are for one thing: a thread that is at its end while others have time. Then it used most of
 * a processor; it did so for this destination more than for all else; no limit of the destination's
 * was what held it back; and there is a worker with time to spare. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

/* Per mille of a processor: a thread that can do no more, and one that can do as much again. */
#define TW_LANE_LOAD_FULL 850
#define TW_LANE_LOAD_SPARE 500

struct tw_lane_look {
	tw_ns span;
	unsigned load;   /* of the thread, per mille of a processor */
	uint64_t moved;  /* bytes through all its sockets, both ways */
	uint64_t own;    /* of them what was sent to the destination */
	uint64_t all;    /* to the destination, by all its lanes too */
	uint64_t max_bps; /* what it may have; UINT64_MAX: no limit */
};

bool tw_lane_helps(const struct tw_lane_look *look);
