/*
 * bbr.h - state of the `bbr` controller: a model of the path, kept by watching how each stretch of
 * what was sent fared.
 *
 * What has been sent is cut into segments, each about one round trip long and sent at one gain. A
 * byte's place is its number among all bytes sent; a segment is over when every byte of it was
 * acknowledged or declared lost, and only then it is judged: how fast it was delivered, what share
 * was lost, what queue it met. So every judgement is about what one rate did, never about a
 * mixture. See docs/rate-control.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "rate/loss.h"
#include "rate/ramp.h"

#define TW_BBR_SEGMENTS 8

enum tw_bbr_mode {
	TW_BBR_STARTUP, /* double each round trip */
	TW_BBR_DRAIN,   /* empty the queue that was built or found */
	TW_BBR_UP,      /* a round trip above the estimate: is there more? */
	TW_BBR_DOWN,    /* a round trip below: drain, and see the loss that is not ours */
	TW_BBR_CRUISE,  /* at the estimate */
	TW_BBR_TEST,    /* loss rose: does it fall when we send less? */
	TW_BBR_MODE_COUNT,
};

struct tw_bbr_segment {
	uint64_t start,
		end; /* [start, end) of the bytes sent; end UINT64_MAX while it is being sent */
	tw_ns sent_from, sent_until;
	tw_ns resolved_from;  /* when the bytes before @start had been accounted for */
	uint64_t acked, lost; /* bytes */
	uint64_t packets;
	tw_ns queue_from; /* queue when it began to be acknowledged */
	uint64_t pace_bps; /* the lowest rate it was to be sent at */
	uint8_t mode;      /* enum tw_bbr_mode it was sent in */
	bool app_limited, window_limited;
	bool slow; /* sent slower than meant: what it delivered bounds the path from below only */
};

struct tw_bbr {
	uint8_t mode;      /* enum tw_bbr_mode; only enter() writes it */
	bool rtt_seen;     /* the first rate was set from a measured round trip */
	bool accelerating; /* startup again, after a probe found more */
	bool unmeasured;   /* the first flight alone overran the path: drain until it is measured */
	bool test_held;    /* second half of a test: wait for its outcome */
	bool up_small;     /* the last up-probe took its share from others */
	uint8_t flat_rounds; /* startup: rounds in a row without growth */
	uint8_t timeouts;    /* probe timeouts since the last acknowledgement */
	uint8_t up_failures; /* up-probes in a row that met loss */
	uint8_t up_found;    /* up-probes in a row that found more, with nothing of a queue */
	tw_ns mode_since;
	tw_ns cruise_ns; /* length of this cruise */
	/* what was sent */
	uint64_t resolved;   /* bytes acknowledged or lost */
	uint64_t in_flight;  /* bytes, at the last sample */
	uint64_t fresh_from; /* segments that start before this are not judged */
	struct tw_bbr_segment segments[TW_BBR_SEGMENTS];
	uint8_t head, count; /* ring of segments; the last one is open */
	uint64_t pace_bps, window_bytes; /* in force */
	/* the model */
	uint64_t capacity_bps; /* rate the path takes: the higher of the two cycles below */
	uint64_t cycle_bps[2]; /* highest of this cycle and of the one before */
	uint64_t flat_bps;     /* startup: the delivery to outgrow */
	uint64_t before_bps;   /* estimate when the mode began, where that matters */
	uint64_t start_bps;    /* rate before anything is known */
	struct tw_ramp ramp;   /* startup of a new connection */
	tw_ns over_since;  /* startup: the queue has been high since then; TW_NEVER: it is not */
	uint64_t body_bps; /* startup: what leads have proved; 0: nothing yet */
	bool lead_skipped; /* startup: the next lead waits until the delay is low */
	bool resuming;     /* startup: at half of a remembered rate, which is not proved yet */
	bool start_told;   /* start_bps comes from the caller: no leads before it */
	struct tw_loss loss;
	double loss_trigger;    /* what made us test */
	tw_ns queue_offset;     /* delay above the path's minimum that is not a queue of ours */
	tw_ns offset_at;        /* when that was judged */
	tw_ns queue_low_at;     /* when the queue was last seen empty */
	tw_ns queue_floor;      /* the lowest queue since then */
	tw_ns drain_floor;      /* the same, when the mode began */
	tw_ns drained_at;       /* when a standing queue was last drained to see what is below */
	tw_ns queue_high_since; /* since when the queue has stood without a break; TW_NEVER: it does
				   not */
	tw_ns compete_until;    /* others keep a queue whatever we do: no restraint; 0: none */
	tw_ns acked_at;         /* last acknowledgement */
	/* drain: what comes out of the queue, measured over half a round trip at a time */
	tw_ns meter_at;
	uint64_t meter_delivered;
	uint64_t dice; /* spreads the cruises of flows that share a path */
};

struct tw_rate_ops;
extern const struct tw_rate_ops tw_rate_bbr_ops;
