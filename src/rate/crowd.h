/*
 * crowd.h - how flows come to equal parts of a path that is full.
 *
 * tw_steps is for flows that keep the queue short: the same amount is added to each one's rate in
 * every round trip, and when the queue is high each gives up the part of its rate that the queue is
 * of the round trip. All see the same queue at nearly the same time, so all give way together, and
 * what is added is alike: rates become alike, whatever they were. What is added follows the root of
 * the path's rate, which each flow has seen for itself and none too well, and adapts until the
 * queue is high about every five round trips, however many flows there are. Without a queue for
 * long steps double.
 *
 * tw_cubic is for a path whose queue somebody fills until it overflows (RFC 9438). Delay says
 * nothing there: whoever gives way to it starves. Its window behaves as theirs do, so that it gets
 * what one of them gets. Loss while the queue is far from full does not count.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

/* What there is to see of a path, at a moment. */
struct tw_crowd {
	tw_ns now, queue;
	tw_ns rtt;   /* round trip without a queue */
	tw_ns base;  /* and with what jitter adds: until then nothing that we do shows */
	tw_ns high;  /* a queue above that is one */
	tw_ns ahead; /* the queue now, by what is in flight: a round trip newer */
	bool brief;  /* a path so short that a queue is mostly what processors add */
	uint64_t acked_bytes;
	bool lost; /* something was, beyond what always is */
};

struct tw_steps {
	uint64_t whole_bps; /* the path's rate: what is added is a part of it */
	double step;        /* which part, in a round trip, at 200 Mbit/s */
	double rounds;      /* round trips between two high queues, averaged */
	tw_ns stepped_at, reduced_at;
	tw_ns grows_from; /* when that was over */
	tw_ns waited;     /* the queue when we last gave way */
	tw_ns low_since;  /* the queue has been low since then */
	uint64_t had_bps; /* what came through when it was last high */
	bool emptied;     /* it has gone since we last gave way */
	bool spilled;     /* it was too long for the path */
};

void tw_steps_begin(struct tw_steps *share, uint64_t whole_bps, tw_ns now);
/*
 * The rate to go on with, with every acknowledgement. @delivered_bps: what came through of late, at
 * the loss that always is; 0: not known.
 */
uint64_t tw_steps_rate(struct tw_steps *share, uint64_t rate_bps, uint64_t delivered_bps,
		       const struct tw_crowd *crowd);

/*
 * The rate was cut for what was lost without a queue, until @until: that counts as a queue, for how
 * much is added.
 */
void tw_steps_held(struct tw_steps *share, const struct tw_crowd *crowd, tw_ns until);

struct tw_cubic {
	double window, window_max, window_epoch; /* bytes */
	tw_ns epoch, recovery_until;
	tw_ns queue_most; /* longest queue in a while */
	/* are the others still there? */
	tw_ns probe_at;               /* when we next send half for a round trip */
	tw_ns probed_at;              /* since when we do; 0: we do not */
	tw_ns probe_queue, probe_low; /* the queue before, and the lowest since */
	tw_ns low_since;              /* the queue has been low since then; TW_NEVER: it is not */
	uint8_t alone;                /* probes in a row that found nobody */
};

void tw_cubic_begin(struct tw_cubic *cubic, uint64_t window_bytes, const struct tw_crowd *crowd);
/* True: nobody fills the queue any more. */
bool tw_cubic_sample(struct tw_cubic *cubic, const struct tw_crowd *crowd);
/* The rate to pace at. */
uint64_t tw_cubic_rate(const struct tw_cubic *cubic, const struct tw_crowd *crowd);
