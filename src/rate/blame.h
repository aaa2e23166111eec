/*
 * blame.h - what a path loses whatever is sent, and whether more than that is ours.
 *
 * Judged are spans: a round trip each, or as many as it takes for enough packets. Spans with a
 * queue, or with too little to send, say nothing here.
 *
 * Behind a policer, or in a queue too short to be seen, what comes through stays the same whatever
 * is sent: the share that is lost rises and falls with the rate. What a path loses of itself is the
 * same share at every rate. At first nobody knows: rates are stepped up, and the spans are asked
 * which of the two explains them better. From then on a share is known (@base), an average of the
 * spans that lose no more; it falls at once where clearly less is lost. Two spans in a row that
 * lose clearly more are ours until somebody has sent less: what stays then is the path's. So
 * several who share a policer all give way to its losses, as they would to a queue, and a path that
 * always loses slows nobody.
 *
 * Losses come in bursts: how far they scatter is measured, and counts against every verdict.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "rate/sample.h"

#define TW_BLAME_SPANS 8

/* What was sent in a span, bits per second, what came through of it, and the share that did not. */
struct tw_blame_span {
	double rate, got, loss, packets;
};

struct tw_blame {
	struct tw_blame_span spans[TW_BLAME_SPANS]; /* newest before @count */
	unsigned count;                             /* of spans so far */
	/* the span under way */
	tw_ns since;
	uint64_t acked, lost; /* bytes */
	double packets;
	bool spoiled, queued;
	unsigned skip;  /* spans still to come whose packets were sent before, or met a queue */
	double scatter; /* variance of what is lost over that of single losses */
	/* what they say */
	bool spilled; /* a span with a queue lost more: for whoever asks, who takes it back */
	bool known;
	double base;      /* the share that is lost whatever is sent */
	unsigned learned; /* spans that it is an average of */
	unsigned excess;  /* spans in a row that lost more */
	unsigned held;    /* spans since less is sent for that; 0: it is not */
	double held_loss; /* before */
};

enum tw_blame_verdict {
	TW_BLAME_NONE,
	TW_BLAME_OURS, /* send less: tw_blame_hold() */
	TW_BLAME_PATH, /* less was sent, or more: that was not it. @base is what is lost now */
};

/* From here on; what is on its way was sent before. What is known stays. */
void tw_blame_begin(struct tw_blame *blame, tw_ns now);
/* What the start saw of the path's own loss: better than nothing, until more is known. */
void tw_blame_guess(struct tw_blame *blame, double loss);
/* Another path. */
void tw_blame_forget(struct tw_blame *blame);
/* With every acknowledgement. @queued: there is a queue. */
enum tw_blame_verdict tw_blame_sample(struct tw_blame *blame, const struct tw_rate_sample *sample,
				      bool queued);
/* Less is sent from here on. */
void tw_blame_hold(struct tw_blame *blame);
/* The least that came through in one of the last @spans, and the most; bits per second. */
double tw_blame_got(const struct tw_blame *blame, unsigned spans, double *ret_most);
