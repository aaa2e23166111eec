/*
 * ramp.h - finds the order of a path's rate within a few round trips: short fast stretches, and how
 * they come out at the other end.
 *
 * Once a round trip the first bytes leave several times as fast as the path has shown to carry: the
 * lead. It is short (what it may leave in the bottleneck's queue is a fraction of a round trip), so
 * it costs little where it is too fast. The peer's clock says how fast the lead arrived, and the
 * return path does not count. What arrived at a rate proves that rate; the round trip that follows
 * goes at it. A lead that came out much slower than it went in has met the bottleneck: that rate is
 * the path's, give or take a fifth; and how fast the queue it left goes says how much of that is
 * free: where others send, part of it stays. What was lost before any bottleneck was met is lost
 * whatever is sent: it has to come on top.
 *
 * No figure is ever above what was sent: an arrival interval counts for at least the interval of
 * sending, so a receiver that was asleep cannot fake a rate. Knows no modes; whoever uses it
 * decides what to do with what is proved, and goes on watching queue and loss.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "rate/hint.h"
#include "rate/path.h"
#include "rate/sample.h"

#define TW_RAMP_POINTS 32
#define TW_RAMP_GAIN 8                /* a lead over what is proved */
#define TW_RAMP_FIRST_DATAGRAMS 64    /* the first flight */
#define TW_RAMP_FIRST_KNOWN (UINT64_C(192) << 10) /* to where the rate is remembered: bytes */
#define TW_RAMP_RTT_MIN (8 * TW_MSEC) /* shorter ones are through before anything is measured */

struct tw_ramp_point {
	int64_t arrived; /* peer's clock */
	tw_ns sent;
	uint64_t delivered;
};

struct tw_ramp {
	struct tw_ramp_point points[TW_RAMP_POINTS]; /* ring, newest before @next */
	uint8_t next, count;
	uint64_t proven_bps; /* highest arrival rate so far; 0: none */
	/* after TW_RAMP_SATURATED: what nobody else uses, as it arrives, and the share that is lost
	 * whatever is sent */
	uint64_t free_bps;
	double own_loss;
	/* the lead */
	uint64_t lead_bps, lead_bytes, body_bps;
	tw_ns lead_span; /* how long it lasts */
	uint64_t
		lead_end; /* number among all bytes sent that ends it; UINT64_MAX: none under way */
	uint64_t lead_proven_bps;       /* highest arrival rate since it was asked for */
	uint64_t lead_acked, lead_lost; /* bytes since then */
	double loss_before;             /* share of the path when it was asked for */
	uint64_t acked_before, lost_before; /* bytes from the start to there */
	tw_ns jitter;                   /* the same: what came later may be its own */
	tw_ns lead_queue;               /* longest queueing delay since then */
	tw_ns lead_queued_at;           /* when the packet that met it was sent */
	unsigned leads;                 /* that have gone out */
	bool settling;                  /* the lead is through: does its queue go? */
};

enum tw_ramp_outcome {
	TW_RAMP_WAIT = 0,  /* the lead is under way, or there is none */
	TW_RAMP_CLEAR,     /* it came through: go at proven_bps, and send the next */
	TW_RAMP_SATURATED, /* it met the bottleneck: proven_bps is the path's rate, free_bps ours */
	TW_RAMP_LOST, /* much of it was lost: leads say nothing here, policers let them through */
};

void tw_ramp_init(struct tw_ramp *ramp);
/*
 * A lead of @bytes at @lead_bps begins with the byte @sent_total (counted from the start); behind
 * it goes @body_bps. The caller has it paced (tw_pacer_lead()).
 */
struct tw_ramp_lead {
	uint64_t lead_bps, bytes, body_bps;
};
void tw_ramp_lead(struct tw_ramp *ramp, const struct tw_path_model *path,
		  const struct tw_ramp_lead *lead, uint64_t sent_total);
/*
 * The first flight as a lead: as fast as one can be told from the rest. Where @hint is of this path
 * it goes at the remembered rate at least, and may be longer. Behind it goes @body_bps.
 */
struct tw_ramp_lead tw_ramp_first(const struct tw_path_model *path, const struct tw_rate_hint *hint,
				  uint32_t datagram_bytes, uint64_t body_bps);
/*
 * Careful resume: after the first lead, when @hint is of this path and is more than what is proved.
 * Then @ret is a lead at the remembered rate, for the caller to have paced, and behind it goes half
 * of that; the lead's outcome says whether it holds. False: no reason to.
 */
bool tw_ramp_resume(struct tw_ramp *ramp, const struct tw_path_model *path,
		    const struct tw_rate_hint *hint, uint64_t sent_total, struct tw_ramp_lead *ret);
/* How long a lead at TW_RAMP_GAIN times a rate may last. */
tw_ns tw_ramp_lead_span(const struct tw_path_model *path);
/* False: this path is too short, or jitters too much, for its leads to mean anything. */
bool tw_ramp_usable(const struct tw_path_model *path);
/* After tw_path_model_update(); @resolved: bytes acknowledged or lost so far. */
enum tw_ramp_outcome tw_ramp_sample(struct tw_ramp *ramp, const struct tw_path_model *path,
				    const struct tw_rate_sample *sample, uint64_t resolved);
