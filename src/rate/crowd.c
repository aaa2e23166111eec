#include "rate/crowd.h"

#include <math.h>

#include "rate/units.h"

#define STEP_MAX 0.06
#define STEP_REFERENCE 200e6 /* the rate at which a step is that part of the path's */
#define SCALE_MOST 1.5
#define SCALE_LEAST 0.4
#define STEP_MIN 0.002
#define STEP_ROUNDS 5.0 /* round trips between two queues: with fewer, less is added */
#define KEPT_MIN 0.5    /* the most that a queue takes at a time is the rest */
#define KEPT_BRIEF 0.8  /* a program that woke up late: that is over when it is seen */
#define KEPT_MORE 0.97
#define SLOWER 0.6
#define TALL 0.5  /* of a round trip */
#define TRUST 0.8 /* delivery measured over a round trip is that far off at most */
#define FOLLOW_UP 3.0
#define SPILLED 0.6 /* a queue that overflows: as if they came that much sooner */
#define TOLD 1      /* round trips until losses say what a queue says at once */
#define QUIET 3.5   /* round trips without a queue, from which on steps double */
#define QUIET_MOST 3.0

#define CUBIC_C 0.4 /* datagrams a second cubed */
#define CUBIC_BETA 0.7
#define CUBIC_DATAGRAM 1448.0 /* theirs */
#define PACING_GAIN 1.2       /* over window and round trip, as they pace */
#define ALONE_ROUNDS 20       /* between looks whether the others are still there */
#define AGAIN_ROUNDS 4        /* after one that did not find them */
#define LOW_ROUNDS 10         /* a queue that is low for so long is nobody's to fill */
#define FULL 0.7              /* of the longest queue: loss there is a full one's */

void tw_steps_begin(struct tw_steps *share, uint64_t whole_bps, tw_ns now)
{
	*share = (struct tw_steps){
		.whole_bps = whole_bps,
		.step = STEP_MAX,
		.rounds = STEP_ROUNDS,
		.stepped_at = now,
		.reduced_at = now,
		.grows_from = now,
		.low_since = now,
	};
}

/* From what all see alike, so that all add alike: how far apart the queues have been of late. */
static void adapt(struct tw_steps *share, double rounds)
{
	rounds = rounds < 2 * STEP_ROUNDS ? rounds : 2 * STEP_ROUNDS;
	share->rounds = (share->rounds + rounds) / 2;
	share->step = STEP_MAX * (share->rounds / STEP_ROUNDS) * (share->rounds / STEP_ROUNDS);
	if (share->step < STEP_MIN)
		share->step = STEP_MIN;
	if (share->step > STEP_MAX)
		share->step = STEP_MAX;
}

/*
 * Rates become alike as far as what is added is, and what the path carries each flow has seen at
 * another moment. With the root of it flows are only half as far apart as what they believe.
 */
static double scale(const struct tw_steps *share, const struct tw_crowd *crowd)
{
	double scale = sqrt(STEP_REFERENCE / (double)share->whole_bps);

	if (crowd->brief)
		return 1;
	return scale > SCALE_MOST ? SCALE_MOST : scale < SCALE_LEAST ? SCALE_LEAST : scale;
}

/*
 * So much less that the queue is gone when the steps have led back to the path's rate. A tall queue
 * is drained in a round trip or two.
 */
static double kept(const struct tw_steps *share, const struct tw_crowd *crowd)
{
	/* By what is in flight and not acknowledged yet it is taken for shorter than it is. */
	/* And what jitter adds to it is none. */
	tw_ns ahead = tw_ns_since(crowd->ahead, crowd->base - crowd->rtt);
	double queue = ((double)ahead + (double)crowd->base / 8) / (double)crowd->base;
	double part = KEPT_MORE - sqrt(2 * STEP_MAX * scale(share, crowd) * queue);
	double least = crowd->brief ? KEPT_BRIEF : KEPT_MIN;

	if (queue > TALL && 1 / (1 + queue) < part)
		part = 1 / (1 + queue);
	return part > least ? part : least;
}

/* Twice for the same queue: what was ours is what came through before the first time. */
static void give_way(struct tw_steps *share, uint64_t had_bps, const struct tw_crowd *crowd)
{
	if (share->emptied || had_bps > share->had_bps)
		share->had_bps = had_bps;
	share->emptied = false;
	share->reduced_at = share->grows_from = crowd->now;
	share->waited = crowd->queue;
}

/* No reason to wait for what the last cut brought: the queue grows by most of what we send. */
static bool became_slower(const struct tw_steps *share, uint64_t rate_bps, uint64_t delivered_bps,
			  const struct tw_crowd *crowd)
{
	return delivered_bps > 0 && (double)delivered_bps < SLOWER * (double)rate_bps &&
	       crowd->queue > crowd->rtt / 2 + 2 * crowd->high &&
	       tw_ns_since(crowd->now, share->reduced_at) >= crowd->rtt + share->waited;
}

uint64_t tw_steps_rate(struct tw_steps *share, uint64_t rate_bps, uint64_t delivered_bps,
		       const struct tw_crowd *crowd)
{
	tw_ns base = crowd->base, now = crowd->now, wobble;
	uint64_t least;
	double trust, rounds, passed = (double)tw_ns_min(tw_ns_since(now, share->stepped_at), base);
	/* What was given up shows a round trip later, and what that drains another one. */
	bool shown = tw_ns_since(now, share->reduced_at) >= 2 * base + base / 4 + share->waited;

	share->stepped_at = now;
	if (crowd->queue >= crowd->high / 4)
		share->low_since = now;
	else if (shown)
		share->emptied = true;
	if (became_slower(share, rate_bps, delivered_bps, crowd)) {
		give_way(share, delivered_bps, crowd);
		return tw_rate_scale(delivered_bps, kept(share, crowd));
	}
	/* While a tall queue drains nobody adds to it. */
	if (!shown && crowd->queue >= 2 * crowd->high && crowd->ahead >= 2 * crowd->high)
		return rate_bps;
	if (crowd->queue < crowd->high / 2 || crowd->ahead < crowd->high || !shown) {
		double added = share->step * scale(share, crowd) * (double)share->whole_bps *
			       passed / (double)base;
		double quiet = (double)tw_ns_since(now, share->low_since) / (double)base - QUIET;

		/* All who are there see that there is room, and look for it ever faster. */
		if (quiet > 0 && (crowd->brief || rate_bps > share->had_bps))
			added *= exp2(quiet < QUIET_MOST ? quiet : QUIET_MOST);

		return tw_rate_saturate((unsigned __int128)rate_bps + (uint64_t)added);
	}
	rounds = (double)tw_ns_since(now, share->reduced_at) / (double)base;
	/* Sooner it is twice for the same queue. */
	if (rounds >= FOLLOW_UP) {
		adapt(share, share->spilled ? rounds * SPILLED : rounds);
		share->spilled = false;
	}
	give_way(share, delivered_bps > 0 ? delivered_bps : rate_bps, crowd);
	/*
	 * Behind a queue, what is delivered is our part, whatever we send; of a short one less so.
	 * Where it jitters deliveries do, too.
	 */
	wobble = base - crowd->rtt;
	trust = TRUST + (1 - TRUST) * 8 * (double)wobble / (double)base;
	least = crowd->queue > base / 4 + wobble ? 0
						 : tw_rate_scale(rate_bps, trust < 1 ? trust : 1);
	if (delivered_bps > 0 && delivered_bps < rate_bps)
		rate_bps = delivered_bps > least ? delivered_bps : least;
	return tw_rate_scale(rate_bps, kept(share, crowd));
}

void tw_steps_held(struct tw_steps *share, const struct tw_crowd *crowd, tw_ns until)
{
	/* Losses are told later than a queue is seen. */
	adapt(share, (double)tw_ns_since(crowd->now, share->grows_from + TOLD * crowd->base) /
			     (double)crowd->base);
	share->reduced_at = crowd->now;
	share->low_since = share->stepped_at = share->grows_from = until;
}

void tw_cubic_begin(struct tw_cubic *cubic, uint64_t window_bytes, const struct tw_crowd *crowd)
{
	*cubic = (struct tw_cubic){
		.window = (double)window_bytes,
		.window_max = (double)window_bytes,
		.window_epoch = (double)window_bytes,
		.epoch = crowd->now,
		.probe_at = crowd->now + ALONE_ROUNDS * (crowd->base + crowd->queue),
		.low_since = TW_NEVER,
	};
}

static void grow(struct tw_cubic *cubic, uint64_t acked_bytes, tw_ns rtt, tw_ns now)
{
	/* Where the curve is back at the maximum, in seconds; the target is a round trip ahead. */
	double ahead = (double)rtt / (double)TW_SECOND;
	double back = (cubic->window_max - cubic->window_epoch) / CUBIC_DATAGRAM / CUBIC_C;
	double passed = (double)tw_ns_since(now, cubic->epoch) / (double)TW_SECOND;
	double t = passed + ahead - cbrt(back > 0 ? back : 0);
	double target = CUBIC_C * t * t * t * CUBIC_DATAGRAM + cubic->window_max;
	/* What a window that grows by half a datagram a round trip would have (4.3). */
	double linear = cubic->window_epoch + 0.53 * passed / ahead * CUBIC_DATAGRAM;

	target = target > linear ? target : linear;
	if (target > 1.5 * cubic->window)
		target = 1.5 * cubic->window;
	if (target > cubic->window)
		cubic->window += (target - cubic->window) * (double)acked_bytes / cubic->window;
}

static void follow(struct tw_cubic *cubic, const struct tw_crowd *crowd)
{
	tw_ns rtt = crowd->base + crowd->queue;

	cubic->queue_most -= cubic->queue_most / 4096;
	cubic->queue_most = tw_ns_max(cubic->queue_most, crowd->queue);
	if (crowd->lost && crowd->now >= cubic->recovery_until &&
	    (double)crowd->queue >= FULL * (double)cubic->queue_most) {
		/* 4.7: whoever did not reach the last maximum makes more room. */
		cubic->window_max = cubic->window < cubic->window_max
					    ? cubic->window * (1 + CUBIC_BETA) / 2
					    : cubic->window;
		cubic->window *= CUBIC_BETA;
		cubic->window_epoch = cubic->window;
		cubic->epoch = crowd->now;
		cubic->recovery_until = crowd->now + rtt;
	} else {
		grow(cubic, crowd->acked_bytes, rtt, crowd->now);
	}
	if (cubic->window < 4 * CUBIC_DATAGRAM)
		cubic->window = 4 * CUBIC_DATAGRAM;
}

/*
 * We send half for a round trip. Were we alone, the queue would fall by all that is missing; of
 * what others send it keeps their part.
 */
static bool found_alone(struct tw_cubic *cubic, const struct tw_crowd *crowd)
{
	tw_ns fell, expected;

	if (cubic->probed_at == 0) {
		if (crowd->now >= cubic->probe_at) {
			cubic->probed_at = crowd->now;
			cubic->probe_queue = cubic->probe_low = crowd->queue;
		}
		return false;
	}
	cubic->probe_low = tw_ns_min(cubic->probe_low, crowd->queue);
	if (tw_ns_since(crowd->now, cubic->probed_at) < 2 * (crowd->base + cubic->probe_queue))
		return false;
	fell = cubic->probe_queue - cubic->probe_low;
	expected = tw_ns_min((crowd->base + cubic->probe_queue) / 2, cubic->probe_queue);
	cubic->alone = fell >= expected / 10 * 8 ? (uint8_t)(cubic->alone + 1) : 0;
	cubic->probed_at = 0;
	cubic->probe_at = crowd->now + (cubic->alone ? AGAIN_ROUNDS : ALONE_ROUNDS) *
					       (crowd->base + crowd->queue);
	return cubic->alone >= 2;
}

bool tw_cubic_sample(struct tw_cubic *cubic, const struct tw_crowd *crowd)
{
	follow(cubic, crowd);
	if (crowd->queue >= crowd->high)
		cubic->low_since = TW_NEVER;
	else if (cubic->low_since == TW_NEVER)
		cubic->low_since = crowd->now;
	return found_alone(cubic, crowd) ||
	       tw_ns_since(crowd->now, cubic->low_since) > LOW_ROUNDS * crowd->base;
}

uint64_t tw_cubic_rate(const struct tw_cubic *cubic, const struct tw_crowd *crowd)
{
	uint64_t rate = tw_rate_of((uint64_t)cubic->window, crowd->base + crowd->queue);

	if (cubic->probed_at > 0 &&
	    tw_ns_since(crowd->now, cubic->probed_at) < crowd->base + cubic->probe_queue)
		return rate / 2;
	return tw_rate_scale(rate, PACING_GAIN);
}
