/*
 * meter.h - the rate within the newest window of time, told from a counter of bytes that only
 * grows.
 *
 * The counter is noted whenever it has moved; a few points a window are kept, straight lines
 * between them. In silence nothing has to be noted: the rate falls to 0 by itself.
 */
#pragma once

#include <stdint.h>

#include "base/time.h"

#define TW_METER_STEPS 16 /* points are a step, a 16th of the window, apart */
/* Two points a step at most: behind a pause its end is marked as well. */
#define TW_METER_POINTS (2 * TW_METER_STEPS + 4)

struct tw_meter_point {
	tw_ns at;
	uint64_t bytes;
};

struct tw_meter {
	tw_ns window;
	struct tw_meter_point points[TW_METER_POINTS]; /* a ring, newest at count - 1 */
	uint64_t count;                                /* points ever made */
	struct tw_meter_point last;                    /* as noted last */
};

/* The counter stands at 0, and did before @now. */
void tw_meter_init(struct tw_meter *meter, tw_ns window, tw_ns now);
/* Another window; what was noted stays, as far as it reaches back. */
void tw_meter_set_window(struct tw_meter *meter, tw_ns window);
/* The counter stands at @bytes. Times never run backwards. */
void tw_meter_note(struct tw_meter *meter, uint64_t bytes, tw_ns now);
/* Bits per second over the window that ends at @now. */
uint64_t tw_meter_bps(const struct tw_meter *meter, tw_ns now);
