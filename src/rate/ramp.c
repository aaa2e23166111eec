#include "rate/ramp.h"

#include "rate/units.h"

#define SPAN_MIN (2 * TW_MSEC) /* clocks, wake-ups and batches blur anything shorter */
#define LEAD_SHARE 32          /* a lead lasts that part of a round trip */
#define LEAD_MAX (8 * TW_MSEC)
#define JITTER_SHARE 24
#define SATURATED 0.6
#define LOST_MARGIN 0.2

void tw_ramp_init(struct tw_ramp *ramp)
{
	*ramp = (struct tw_ramp){ .lead_end = UINT64_MAX };
}

void tw_ramp_lead(struct tw_ramp *ramp, const struct tw_path_model *path, uint64_t lead_bps,
		  uint64_t bytes, uint64_t sent_total)
{
	ramp->jitter = path->jitter;
	ramp->loss_before = path->loss_smoothed;
	ramp->lead_acked = ramp->lead_lost = 0;
	ramp->lead_bps = lead_bps;
	ramp->lead_bytes = bytes;
	ramp->lead_end = sent_total + bytes;
	ramp->lead_proven_bps = 0;
	ramp->lead_queue = 0;
}

tw_ns tw_ramp_lead_span(const struct tw_path_model *path)
{
	return tw_ns_min(tw_ns_max(path->rtt_min / LEAD_SHARE, SPAN_MIN), LEAD_MAX);
}

bool tw_ramp_usable(const struct tw_path_model *path)
{
	return path->rtt_known && path->rtt_min != TW_NEVER && path->rtt_min >= TW_RAMP_RTT_MIN &&
	       path->jitter <= path->rtt_min / JITTER_SHARE;
}

static void note_point(struct tw_ramp *ramp, const struct tw_ramp_point *point)
{
	ramp->points[ramp->next] = *point;
	ramp->next = (uint8_t)((ramp->next + 1) % TW_RAMP_POINTS);
	if (ramp->count < TW_RAMP_POINTS)
		ramp->count++;
}

/* The fastest of the stretches that end at @point and are long enough to measure. */
static uint64_t arrival_rate(const struct tw_ramp *ramp, const struct tw_ramp_point *point,
			     tw_ns span)
{
	uint64_t best = 0;

	for (unsigned i = 1; i <= ramp->count; i++) {
		const struct tw_ramp_point *from =
			&ramp->points[(ramp->next + TW_RAMP_POINTS - i) % TW_RAMP_POINTS];
		/* Unsigned, because a peer may claim any clock. */
		uint64_t took = (uint64_t)point->arrived - (uint64_t)from->arrived, rate;

		if (took > INT64_MAX || point->delivered < from->delivered)
			return best;
		took = tw_ns_max(took, tw_ns_since(point->sent, from->sent));
		/* A single stretch may be all there is of a lead that came quickly. */
		took = tw_ns_max(took, span);
		rate = tw_rate_of(point->delivered - from->delivered, took);
		if (rate > best)
			best = rate;
		if (took >= 4 * span)
			return best;
	}
	return best;
}

/*
 * It came out slower than it went in, and what came out later had waited: a lead that was only
 * reported too rarely leaves no queue.
 */
static bool met_bottleneck(const struct tw_ramp *ramp)
{
	uint64_t proven = ramp->lead_proven_bps;
	tw_ns stretched;

	if (proven == 0 || (double)proven >= SATURATED * (double)ramp->lead_bps)
		return false;
	stretched = tw_ns_since(tw_rate_time(proven, ramp->lead_bytes),
				tw_rate_time(ramp->lead_bps, ramp->lead_bytes));
	return ramp->lead_queue >= stretched / 2;
}

enum tw_ramp_outcome tw_ramp_sample(struct tw_ramp *ramp, const struct tw_path_model *path,
				    const struct tw_rate_sample *sample, uint64_t resolved)
{
	struct tw_ramp_point point = {
		.sent = sample->sent_at,
		.delivered = sample->delivered_total,
	};

	if (sample->forward_delay != INT64_MIN && sample->rtt > 0) {
		point.arrived =
			(int64_t)((uint64_t)sample->forward_delay + (uint64_t)sample->sent_at);
		uint64_t rate =
			arrival_rate(ramp, &point,
				     tw_ramp_lead_span(path) / 2 + SPAN_MIN / 2 + 4 * path->jitter);
		if (rate > ramp->lead_proven_bps)
			ramp->lead_proven_bps = rate;
		if (rate > ramp->proven_bps)
			ramp->proven_bps = rate;
		note_point(ramp, &point);
	}
	ramp->lead_acked += sample->acked_bytes;
	ramp->lead_lost += sample->lost_bytes;
	ramp->lead_queue = tw_ns_max(ramp->lead_queue, path->queue_latest);
	if (resolved < ramp->lead_end)
		return TW_RAMP_WAIT;
	ramp->lead_end = UINT64_MAX;
	if ((double)ramp->lead_lost >
	    (ramp->loss_before + LOST_MARGIN) * (double)(ramp->lead_acked + ramp->lead_lost))
		return TW_RAMP_LOST;
	return !sample->app_limited && met_bottleneck(ramp) ? TW_RAMP_SATURATED : TW_RAMP_CLEAR;
}
