/*
 * delay.h - state of the `delay` controller: the path's one-way queueing delay is held at a small
 * target. Loss alone never slows it.
 *
 * The start is ramp.h's. Then the rate is stepped up until the queue is high, and gives way to it,
 * as crowd.h says: alone this holds the queue between nothing and the target, with others it makes
 * all alike. More comes through than at the last queue, and there is none: the start again. Loss
 * without a queue that is ours, as blame.h says (policers, buffers too short to be seen), is given
 * way to like a queue, for three round trips at a little less than what comes through. Where
 * somebody fills every queue, tw_cubic takes over until they are gone. See docs/rate-control.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "rate/blame.h"
#include "rate/crowd.h"
#include "rate/ramp.h"

enum tw_delay_mode {
	TW_DELAY_START,   /* leads, and twice what was delivered */
	TW_DELAY_SHARE,   /* step up, give way to the queue */
	TW_DELAY_COMPETE, /* others fill every queue: do as they do */
	TW_DELAY_MODE_COUNT,
};

struct tw_delay {
	uint8_t mode;      /* enum tw_delay_mode; only enter() writes it */
	bool rtt_seen;     /* the first rate was set from a measured round trip */
	bool told;         /* the first rate is the caller's, or leads are lost here: none go out */
	uint8_t timeouts;  /* probe timeouts since the last acknowledgement */
	uint8_t flat;      /* start: round trips in a row without growth */
	uint8_t vain;      /* starts in a row that found nothing */
	uint64_t rate_bps; /* to send at */
	uint64_t whole_bps;           /* what one flow alone would have, as far as we know */
	bool resuming;                /* start: at half of a remembered rate, not proved yet */
	bool lead_due;                /* start: the next lead has not been asked for */
	bool again;                   /* start: not the first; only what leads find free is taken */
	bool fresh;                   /* start: what was sent before it is accounted for */
	uint64_t fresh_from;          /* bytes resolved by then */
	uint64_t again_bps;           /* the rate that it began with */
	uint64_t start_bps, body_bps; /* start: the first rate; what leads have proved */
	uint64_t flat_bps;            /* start: the delivery to outgrow */
	uint64_t resolved, in_flight; /* bytes */
	tw_ns acked_at;               /* last acknowledgement */
	tw_ns meter_at[2];            /* on a short path: when so much was delivered */
	uint64_t meter_bytes[2];
	uint64_t lately_bps; /* what came through of it; 0: the path is not short */
	tw_ns over_since;    /* start: the queue has been high since then; TW_NEVER: it is not */
	tw_ns shared_at;     /* when stepping began */
	tw_ns lossy_at;      /* when more was last lost than always is */
	tw_ns held_until; /* no steps: more was lost than always is; is it less now? 0: no test */
	uint64_t held_bps, held_got_bps; /* the rate before, and what was delivered of it */
	tw_ns cut_at, cut_peak,
		cut_trough; /* when we last gave way, the queue then, the lowest since */
	uint64_t stuck_bps; /* the rate before the first cut that did not help */
	uint8_t stuck;      /* cuts in a row that did not */
	tw_ns offset,
		offset_at; /* delay above the minimum that is no queue, and when that was judged */
	struct tw_ramp ramp;
	struct tw_steps share;
	struct tw_cubic cubic;
	struct tw_blame blame;
};

struct tw_rate_ops;
extern const struct tw_rate_ops tw_rate_delay_ops;
