#include "rate/ramp.h"

#include <math.h>

#include "rate/units.h"

#define SPAN_MIN (2 * TW_MSEC) /* clocks, wake-ups and batches blur anything shorter */
#define LEAD_SHARE 32          /* a lead lasts that part of a round trip */
#define LEAD_MAX (8 * TW_MSEC)
#define JITTER_SHARE 24
#define SATURATED 0.6
#define LOST_MARGIN 0.2
#define SETTLE_MIN (4 * TW_MSEC)
#define OWN_LOSS_MOST 0.5
#define PACKET_BYTES 1200

void tw_ramp_init(struct tw_ramp *ramp)
{
	*ramp = (struct tw_ramp){ .lead_end = UINT64_MAX };
}

static double share_lost(uint64_t lost, uint64_t acked)
{
	return lost > 0 ? (double)lost / ((double)lost + (double)acked) : 0;
}

void tw_ramp_lead(struct tw_ramp *ramp, const struct tw_path_model *path,
		  const struct tw_ramp_lead *lead, uint64_t sent_total)
{
	ramp->leads++;
	ramp->jitter = path->jitter;
	ramp->acked_before += ramp->lead_acked;
	ramp->lost_before += ramp->lead_lost;
	ramp->loss_before = path->loss_smoothed;
	/* Of the first flight the path knows only when a round trip is over. */
	if (ramp->loss_before < share_lost(ramp->lost_before, ramp->acked_before))
		ramp->loss_before = share_lost(ramp->lost_before, ramp->acked_before);
	ramp->lead_acked = ramp->lead_lost = 0;
	ramp->lead_bps = lead->lead_bps;
	ramp->lead_bytes = lead->bytes;
	ramp->body_bps = lead->body_bps;
	ramp->lead_end = sent_total + lead->bytes;
	ramp->lead_span =
		tw_ns_min(tw_rate_time(lead->lead_bps, lead->bytes), tw_ramp_lead_span(path));
	ramp->lead_proven_bps = 0;
	ramp->lead_queue = 0;
	ramp->settling = false;
}

struct tw_ramp_lead tw_ramp_first(const struct tw_path_model *path, const struct tw_rate_hint *hint,
				  uint32_t datagram_bytes, uint64_t body_bps)
{
	uint64_t bytes = (uint64_t)TW_RAMP_FIRST_DATAGRAMS * datagram_bytes, known;
	struct tw_ramp_lead lead = { tw_rate_of(bytes, SPAN_MIN), bytes, body_bps };

	if (!tw_rate_hint_fits(hint, path) || hint->rate_bps <= lead.lead_bps)
		return lead;
	known = tw_rate_bytes(hint->rate_bps, tw_ramp_lead_span(path));
	known = known < TW_RAMP_FIRST_KNOWN ? known : TW_RAMP_FIRST_KNOWN;
	lead.bytes = known > bytes ? known : bytes;
	lead.lead_bps = tw_rate_of(lead.bytes, SPAN_MIN);
	if (lead.lead_bps > hint->rate_bps)
		lead.lead_bps = hint->rate_bps;
	return lead;
}

bool tw_ramp_resume(struct tw_ramp *ramp, const struct tw_path_model *path,
		    const struct tw_rate_hint *hint, uint64_t sent_total, struct tw_ramp_lead *ret)
{
	struct tw_ramp_lead lead = { .lead_bps = hint->rate_bps, .body_bps = hint->rate_bps / 2 };

	if (ramp->leads != 1 || ramp->proven_bps == 0 || lead.body_bps <= ramp->proven_bps ||
	    !tw_ramp_usable(path) || !tw_rate_hint_fits(hint, path))
		return false;
	lead.bytes = tw_rate_bytes(lead.lead_bps, tw_ramp_lead_span(path));
	tw_ramp_lead(ramp, path, &lead, sent_total);
	*ret = lead;
	return true;
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

/*
 * What the lead lost, unless that is more than was lost before it and chance explains: then it has
 * overflown a buffer.
 */
static double own_loss(const struct tw_ramp *ramp)
{
	double packets = (double)(ramp->lost_before + ramp->acked_before) / PACKET_BYTES + 1;
	double before = share_lost(ramp->lost_before, ramp->acked_before);
	double most = before + 2 * sqrt(before * (1 - before) / packets);
	double lead = share_lost(ramp->lead_lost, ramp->lead_acked);

	if (ramp->lost_before == 0)
		return 0;
	lead = lead < most ? lead : most;
	return lead < OWN_LOSS_MOST ? lead : OWN_LOSS_MOST;
}

/*
 * A queue of nobody else's goes as fast as time passes, but for what we send behind the lead. One
 * that stays is kept up by others: the part of time that it did not go is their part of the path.
 */
static enum tw_ramp_outcome settled(struct tw_ramp *ramp, const struct tw_path_model *path,
				    const struct tw_rate_sample *sample)
{
	tw_ns passed, gone = tw_ns_since(ramp->lead_queue, path->queue_latest);
	double part;

	if (sample->rtt == 0)
		return TW_RAMP_WAIT;
	passed = tw_ns_since(sample->sent_at, ramp->lead_queued_at);
	if (passed < ramp->lead_queue + SETTLE_MIN && gone < ramp->lead_queue / 10 * 9)
		return TW_RAMP_WAIT;
	ramp->settling = false;
	/* Arrivals are as far apart as what was sent, less what the queue fell. */
	passed = tw_ns_max(tw_ns_since(passed, gone), 1);
	part = gone >= ramp->lead_queue / 10 * 9 ? 1 : (double)gone / (double)passed;
	ramp->free_bps = tw_rate_scale(ramp->proven_bps, part < 1 ? part : 1) + ramp->body_bps;
	if (ramp->free_bps > ramp->proven_bps)
		ramp->free_bps = ramp->proven_bps;
	ramp->own_loss = own_loss(ramp);
	return TW_RAMP_SATURATED;
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
		uint64_t rate = arrival_rate(ramp, &point,
					     ramp->lead_span / 2 + SPAN_MIN / 2 + 4 * path->jitter);
		if (rate > ramp->lead_proven_bps)
			ramp->lead_proven_bps = rate;
		if (rate > ramp->proven_bps)
			ramp->proven_bps = rate;
		note_point(ramp, &point);
	}
	ramp->lead_acked += sample->acked_bytes;
	ramp->lead_lost += sample->lost_bytes;
	if (ramp->settling)
		return settled(ramp, path, sample);
	if (path->queue_latest > ramp->lead_queue) {
		ramp->lead_queue = path->queue_latest;
		ramp->lead_queued_at = sample->sent_at;
	}
	if (resolved < ramp->lead_end)
		return TW_RAMP_WAIT;
	ramp->lead_end = UINT64_MAX;
	/* What the first one loses, the path loses. */
	if (ramp->leads > 1 &&
	    share_lost(ramp->lead_lost, ramp->lead_acked) > ramp->loss_before + LOST_MARGIN)
		return TW_RAMP_LOST;
	if (sample->app_limited || !met_bottleneck(ramp))
		return TW_RAMP_CLEAR;
	ramp->settling = true;
	return settled(ramp, path, sample);
}
