/*
 * hint.h - what a connection leaves for the next one to the same destination: careful resume
 * (draft-ietf-tsvwg-careful-resume).
 *
 * The next connection first looks at the path as any does (reconnaissance): with a short flight,
 * but on a round trip like the remembered one at the remembered rate. Where that did not prove half
 * of it, it jumps to half of the remembered rate. What arrives of that proves it, or not
 * (validate); with loss or a queue it falls back to what did arrive (retreat). A hint is never more
 * than a place to look at: it is old, and others may be there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "rate/path.h"

#define TW_RATE_HINT_AGE_MAX (3600 * TW_SECOND)

struct tw_rate_hint {
	uint64_t rate_bps; /* what was delivered at best of late; 0: nothing is known */
	tw_ns rtt_min;
	tw_ns age; /* how long ago that was, when it is handed in */
};

/* What @path leaves behind; age 0. */
static inline struct tw_rate_hint tw_rate_hint_of(const struct tw_path_model *path)
{
	struct tw_rate_hint hint = { 0 };

	if (path->rtt_known && path->rtt_min != TW_NEVER && path->bandwidth_bps > 0) {
		hint.rate_bps = path->bandwidth_bps;
		hint.rtt_min = path->rtt_min;
	}
	return hint;
}

/* Is that the path we see? Its round trip may be half to twice what it was. */
static inline bool tw_rate_hint_fits(const struct tw_rate_hint *hint,
				     const struct tw_path_model *path)
{
	return hint->rate_bps > 0 && hint->rtt_min > 0 && hint->age <= TW_RATE_HINT_AGE_MAX &&
	       path->rtt_min != TW_NEVER && path->rtt_min >= hint->rtt_min / 2 &&
	       path->rtt_min / 2 <= hint->rtt_min;
}
