/*
 * delay.c - holds the queue short; see delay.h for the model.
 */
#include "rate/delay.h"

#include <assert.h>

#include "rate/controller.h"
#include "rate/units.h"

#define START_RTT_MIN TW_MSEC
#define START_GAIN 2.0       /* over what whole round trips delivered, where leads go out */
#define START_GAIN_ALONE 2.9 /* where they do not */
#define START_GAIN_ROOM 1.6  /* nor do they, and what looked like room may be others' */
#define GROWTH 1.25
#define FLAT_ROUNDS 3
#define START_LOSS 0.1         /* that much more is ours when it brings nothing */
#define BASE_MIN (8 * TW_MSEC) /* on shorter paths nothing is judged more often */
#define TARGET_MIN (2 * TW_MSEC)
#define TARGET_SHORT \
	(10 * TW_MSEC) /* on a short path: programs that wake up late look like a queue */
#define TARGET_MAX (16 * TW_MSEC)
#define QUEUE_BYTES 3000  /* on a slow path a few datagrams are a queue already */
#define SETTLED_ROUNDS 10 /* after the start: until then a queue may be the start's */
#define LOW_ROUNDS 4.0    /* without a queue */
#define MORE 1.02         /* over what came through with one */
#define FOUND 1.5         /* a start that brings that much was not in vain */
#define VAIN_MOST 3       /* each one that was doubles the time to the next */
#define DRAINS 0.3        /* of the time that has passed: a queue that nobody fills falls by that */
#define STUCK 3           /* times we gave way and it did not help */
#define AHEAD_MOST 2.5
#define HELD_ROUNDS 3
#define HELD_GAIN 0.95
#define HELD_MORE 1.25
#define LOST_SPANS 3 /* what came through in them is what does */
#define CROWD_MOST 6 /* of us behind a policer: more than so many times our part it is not */
#define SLOWER 0.6   /* a path that delivers less than that of the rate has become slower */
#define OFFSET_SPAN (10 * TW_SECOND)

#define TO(mode) (1u << TW_DELAY_##mode)

static const struct {
	const char *name;
	unsigned next; /* allowed successors */
} modes[] = {
	[TW_DELAY_START] = { "start", TO(START) | TO(SHARE) },
	[TW_DELAY_SHARE] = { "share", TO(START) | TO(COMPETE) },
	[TW_DELAY_COMPETE] = { "compete", TO(START) | TO(SHARE) },
};
static_assert(sizeof(modes) / sizeof(modes[0]) == TW_DELAY_MODE_COUNT, "a row for each mode");

/* what the path says */

/* A queue that only grows looks like jitter to the path model; what jitters falls as well. */
static tw_ns jitter(const struct tw_path_model *path)
{
	return tw_ns_min(path->jitter, tw_ns_min(path->rises, path->falls));
}

static bool is_short(const struct tw_path_model *path)
{
	return path->rtt_min < BASE_MIN;
}

static tw_ns plain_rtt(const struct tw_delay *delay, const struct tw_path_model *path)
{
	tw_ns base = path->rtt_min == TW_NEVER ? path->rtt_smoothed : path->rtt_min + delay->offset;

	return tw_ns_max(base, BASE_MIN);
}

/* Where it jitters, whatever we do shows later. */
static tw_ns base_rtt(const struct tw_delay *delay, const struct tw_path_model *path)
{
	tw_ns base = plain_rtt(delay, path);

	return base + 3 * tw_ns_since(jitter(path), base / 32);
}

/* The lowest of the last two slots: half as old as the path's own figure, which the steps need. */
static tw_ns queue_now(const struct tw_delay *delay, const struct tw_path_model *path)
{
	unsigned before = (path->queue_slot + TW_PATH_RECENT - 1) % TW_PATH_RECENT;
	tw_ns queue = tw_ns_min(path->queue_recent[path->queue_slot], path->queue_recent[before]);

	if (jitter(path) > path->rtt_min / 32)
		queue = path->queue_delay;
	return tw_ns_since(queue, delay->offset);
}

/* An eighth of a round trip, 2 to 16 ms; more on a slow path, and where it jitters. */
static tw_ns target(const struct tw_delay *delay, const struct tw_path_model *path)
{
	tw_ns base = base_rtt(delay, path), high;

	high = tw_ns_min(tw_ns_max(base / 8, is_short(path) ? TARGET_SHORT : TARGET_MIN),
			 TARGET_MAX);
	if (delay->rate_bps > 0)
		high = tw_ns_max(high,
				 tw_ns_min(tw_rate_time(delay->rate_bps, QUEUE_BYTES), TW_SECOND));
	return high + 3 * jitter(path);
}

/*
 * What came through of late. A round trip of a short path says nothing: there it is what came in
 * one to two of the spans in which we judge.
 */
static uint64_t delivery(struct tw_delay *delay, const struct tw_path_model *path,
			 const struct tw_rate_sample *sample)
{
	tw_ns span = tw_ns_since(sample->now, delay->meter_at[1]);

	if (!is_short(path) || sample->app_limited || sample->delivery_rate_bps == 0)
		return sample->delivery_rate_bps;
	return span > 0 ? tw_rate_of(sample->delivered_total - delay->meter_bytes[1], span) : 0;
}

static void note_delivery(struct tw_delay *delay, const struct tw_rate_sample *sample)
{
	if (!sample->app_limited && tw_ns_since(sample->now, delay->meter_at[0]) < 2 * BASE_MIN)
		return;
	delay->meter_at[1] = delay->meter_at[0];
	delay->meter_bytes[1] = delay->meter_bytes[0];
	delay->meter_at[0] = sample->now;
	delay->meter_bytes[0] = sample->delivered_total;
}

static uint64_t compensate(const struct tw_delay *delay, uint64_t delivered_bps)
{
	return tw_rate_scale(delivered_bps, 1 / (1 - delay->blame.base));
}

static struct tw_crowd look(const struct tw_delay *delay, const struct tw_path_model *path,
			    const struct tw_rate_sample *sample)
{
	double expected =
		2 * delay->blame.base * (double)(sample->acked_packets + sample->lost_packets);

	tw_ns base = base_rtt(delay, path), queue = queue_now(delay, path), ahead = queue;

	/* What is lost and not known to be is in flight, too. */
	if (sample->delivery_rate_bps > 0 && !sample->app_limited)
		ahead = tw_ns_since(tw_rate_time(compensate(delay, sample->delivery_rate_bps),
						 delay->in_flight),
				    path->rtt_min + delay->offset + base / 8 + base / 16 +
					    jitter(path));
	return (struct tw_crowd){
		.now = sample->now,
		.base = base,
		.rtt = plain_rtt(delay, path),
		.queue = queue,
		.ahead = tw_ns_min(ahead, queue + base),
		.high = target(delay, path),
		.brief = is_short(path),
		.acked_bytes = sample->acked_bytes,
		.lost = sample->lost_packets > 0 && (double)sample->lost_packets > expected,
	};
}

/* modes */

static void enter(struct tw_delay *delay, enum tw_delay_mode mode)
{
	assert(modes[delay->mode].next & (1u << mode));
	delay->mode = (uint8_t)mode;
	delay->over_since = TW_NEVER;
	delay->cut_at = 0;
	delay->stuck = 0;
}

static void enter_share(struct tw_delay *delay, uint64_t rate_bps, tw_ns now)
{
	uint64_t had = delay->lately_bps > 0 ? delay->lately_bps : rate_bps;

	delay->rate_bps = rate_bps;
	if (delay->whole_bps < delay->ramp.proven_bps)
		delay->whole_bps = delay->ramp.proven_bps;
	if (delay->whole_bps < rate_bps)
		delay->whole_bps = rate_bps;
	if ((double)rate_bps > FOUND * (double)delay->again_bps)
		delay->vain = 0;
	tw_steps_begin(&delay->share, delay->whole_bps, now);
	delay->share.had_bps = had < rate_bps ? had : rate_bps;
	delay->held_until = 0;
	tw_blame_begin(&delay->blame, now);
	delay->shared_at = now;
	enter(delay, TW_DELAY_SHARE);
}

/* Start from a rate that is known to come through, or was. */
static void enter_start(struct tw_delay *delay, uint64_t rate_bps)
{
	tw_ramp_init(&delay->ramp);
	delay->rate_bps = delay->body_bps = rate_bps;
	delay->again = true;
	delay->again_bps = rate_bps;
	delay->fresh = false;
	delay->fresh_from = delay->resolved + delay->in_flight;
	delay->lead_due = true;
	delay->flat = 0;
	delay->flat_bps = tw_rate_scale(rate_bps, (1 - delay->blame.base) / GROWTH);
	enter(delay, TW_DELAY_START);
}

/* Half of the path, as if there were one other; what is lost then tells how much it is. */
static void enter_compete(struct tw_delay *delay, const struct tw_crowd *crowd)
{
	uint64_t window = tw_rate_bytes(delay->whole_bps, crowd->base + crowd->queue) / 2;

	tw_cubic_begin(&delay->cubic, window > delay->in_flight ? window : delay->in_flight, crowd);
	enter(delay, TW_DELAY_COMPETE);
}

/* start */

static void send_lead(struct tw_rate_controller *controller, const struct tw_path_model *path,
		      uint64_t body_bps)
{
	struct tw_delay *delay = &controller->delay;
	struct tw_ramp_lead lead = { .body_bps = body_bps };

	if (delay->told || !tw_ramp_usable(path))
		return;
	delay->lead_due = false;
	lead.lead_bps = tw_rate_scale(body_bps, TW_RAMP_GAIN);
	lead.bytes = tw_rate_bytes(lead.lead_bps, tw_ramp_lead_span(path));
	if (delay->body_bps == 0)
		lead = tw_ramp_first(path, &controller->hint, controller->datagram_bytes, body_bps);
	controller->lead_bps = lead.lead_bps;
	controller->lead_bytes = lead.bytes;
	tw_ramp_lead(&delay->ramp, path, &lead, delay->resolved + delay->in_flight);
}

/*
 * A queue that grows looks like jitter at first, and jitter like a queue: nothing grows while the
 * delay is high, and what is still there half a round trip later is a queue.
 */
static bool start_queued(struct tw_delay *delay, const struct tw_path_model *path, tw_ns now)
{
	tw_ns queue = tw_ns_since(path->queue_latest, delay->offset);
	tw_ns high = tw_ns_min(tw_ns_max((path->rtt_min + delay->offset) / 8, TW_MSEC), TARGET_MAX);

	if (!tw_ramp_usable(path) || delay->told)
		return queue > high + 4 * jitter(path);
	if (delay->over_since == TW_NEVER &&
	    queue > high + 4 * tw_ns_min(jitter(path), delay->ramp.jitter))
		delay->over_since = now;
	if (delay->over_since == TW_NEVER ||
	    tw_ns_since(now, delay->over_since) < base_rtt(delay, path) / 2)
		return false;
	delay->over_since = TW_NEVER;
	return tw_ns_since(path->queue_delay, delay->offset) > high;
}

/* A round trip is over: did it bring more than the one before? */
static bool start_flat(struct tw_delay *delay, const struct tw_path_model *path,
		       const struct tw_rate_sample *sample)
{
	bool lossy = path->loss_round > delay->blame.base + START_LOSS;

	if (!sample->round_start || sample->app_limited || sample->delivery_rate_bps == 0)
		return false;
	/* The round in which the last of what was sent before is acknowledged is not ours. */
	if (!delay->fresh) {
		delay->fresh = delay->resolved >= delay->fresh_from;
		return false;
	}
	if ((double)sample->delivery_rate_bps >= GROWTH * (double)delay->flat_bps) {
		delay->flat_bps = sample->delivery_rate_bps;
		delay->flat = 0;
	} else {
		delay->flat++;
	}
	return delay->flat >= (lossy ? 1 : FLAT_ROUNDS);
}

/* A remembered rate: tried once, and given up for what came of it unless it holds. */
static void resume(struct tw_rate_controller *controller, const struct tw_path_model *path,
		   enum tw_ramp_outcome outcome)
{
	struct tw_delay *delay = &controller->delay;
	struct tw_ramp_lead jump;

	if (delay->resuming && outcome != TW_RAMP_WAIT) {
		delay->resuming = false;
		delay->body_bps = delay->ramp.proven_bps / (outcome == TW_RAMP_LOST ? 2 : 1);
	}
	if (outcome != TW_RAMP_CLEAR || delay->again)
		return;
	delay->resuming = tw_ramp_resume(&delay->ramp, path, &controller->hint,
					 delay->resolved + delay->in_flight, &jump);
	if (delay->resuming) {
		delay->body_bps = jump.body_bps;
		controller->lead_bps = jump.lead_bps;
		controller->lead_bytes = jump.bytes;
	}
}

static void step_start(struct tw_rate_controller *controller, const struct tw_path_model *path,
		       const struct tw_rate_sample *sample, enum tw_ramp_outcome outcome)
{
	struct tw_delay *delay = &controller->delay;
	uint64_t delivered = compensate(delay, sample->delivery_rate_bps), rate;
	bool leads = !delay->told && tw_ramp_usable(path);
	double gain;

	if (outcome == TW_RAMP_LOST)
		delay->told = true;
	resume(controller, path, outcome);
	if (outcome == TW_RAMP_SATURATED) {
		/* Later what was lost before the lead may be our own doing. */
		if (!delay->again)
			tw_blame_guess(&delay->blame, delay->ramp.own_loss);
		rate = delay->ramp.free_bps;
		enter_share(delay, delay->again ? rate : compensate(delay, rate), sample->now);
		return;
	}
	if (outcome == TW_RAMP_CLEAR && !delay->resuming &&
	    delay->ramp.proven_bps > delay->body_bps)
		delay->body_bps = delay->ramp.proven_bps;
	if (outcome == TW_RAMP_CLEAR || delay->in_flight == 0 || delay->body_bps == 0)
		delay->lead_due = true;
	if (delay->lead_due && delay->ramp.lead_end == UINT64_MAX && !delay->ramp.settling &&
	    delay->over_since == TW_NEVER)
		send_lead(controller, path, delay->body_bps ? delay->body_bps : delay->start_bps);
	if (delay->resuming && start_queued(delay, path, sample->now)) {
		delay->resuming = false;
		delay->body_bps = delay->ramp.proven_bps;
		enter_share(delay, delay->body_bps, sample->now);
		return;
	}
	if (start_queued(delay, path, sample->now) || start_flat(delay, path, sample)) {
		/* The queue, where it is one, takes off what is too much of that; what doubling
		 * left is more than one cut takes off. */
		rate = delay->rate_bps;
		if (delivered > 0 && path->rtt_min < TW_RAMP_RTT_MIN && !sample->app_limited)
			rate = tw_rate_scale(delivered, HELD_GAIN);
		else if (delivered > 0 && delay->flat > 0)
			rate = delivered;
		/* The first flight alone was too much: how it came out is all there is to know. */
		else if (!delay->told && delay->body_bps == 0 && delay->ramp.proven_bps > 0 &&
			 2 * delay->ramp.proven_bps < rate)
			rate = 2 * delay->ramp.proven_bps;
		enter_share(delay, rate, sample->now);
		return;
	}
	if (sample->delivery_interval > 0 && sample->delivery_interval < path->rtt_min)
		delivered = 0;
	rate = delay->body_bps ? delay->body_bps : delay->start_bps;
	if (delay->over_since == TW_NEVER && !(delay->again && leads)) {
		gain = leads ? START_GAIN : delay->vain > 0 ? START_GAIN_ROOM : START_GAIN_ALONE;
		delivered = tw_rate_scale(delivered, gain);
		rate = delivered > rate ? delivered : rate;
	}
	/* What was tried is not taken back before there is a reason. */
	if (rate > delay->rate_bps || leads)
		delay->rate_bps = rate;
}

/* share */

/*
 * We have given way again: did the last time help? A queue that stays at one level whatever we give
 * up is a longer route. One that hardly falls is kept up by others.
 */
static void judge_cut(struct tw_delay *delay, const struct tw_path_model *path,
		      const struct tw_crowd *crowd, uint64_t before_bps)
{
	tw_ns near = TW_MSEC + jitter(path) + crowd->base / 50;
	tw_ns peak = delay->cut_peak, trough = tw_ns_min(delay->cut_trough, crowd->queue);
	tw_ns passed = tw_ns_since(crowd->now, delay->cut_at + crowd->base + trough);
	bool first = delay->cut_at == 0, steady, lossy;

	delay->cut_at = crowd->now;
	delay->cut_peak = delay->cut_trough = crowd->queue;
	if (first || trough < peak / 10 * 6 ||
	    (double)tw_ns_since(peak, trough) > DRAINS * (double)passed) {
		delay->stuck = 0;
		delay->stuck_bps = before_bps;
		return;
	}
	steady = trough + near >= peak && trough + near >= crowd->queue &&
		 peak + near >= crowd->queue;
	/* A full buffer is as steady, but for what it loses. If it stays full nobody gives way. */
	lossy = tw_ns_since(crowd->now, delay->lossy_at) < SETTLED_ROUNDS * crowd->base;
	delay->stuck++;
	if (steady && (!lossy || delay->stuck >= STUCK)) {
		delay->offset += trough;
		delay->offset_at = crowd->now;
		enter_start(delay, delay->stuck_bps);
	} else if (delay->stuck >= STUCK) {
		enter_compete(delay, crowd);
	}
}

/*
 * More is lost than always is, and that is ours, or sending less shall tell: a little less than
 * what came through.
 */
static void hold(struct tw_delay *delay, const struct tw_crowd *crowd)
{
	double most;

	delay->held_bps = delay->rate_bps;
	delay->held_until = crowd->now + HELD_ROUNDS * crowd->base;
	/* A bucket that was full lets more through than comes in. */
	delay->held_got_bps = (uint64_t)tw_blame_got(&delay->blame, LOST_SPANS, &most);
	/* Leads may have passed what stops a longer stretch. */
	if (delay->whole_bps > CROWD_MOST * delay->rate_bps)
		delay->whole_bps = CROWD_MOST * delay->rate_bps;
	delay->rate_bps = tw_rate_scale(delay->held_got_bps, HELD_GAIN);
	tw_blame_hold(&delay->blame);
	tw_steps_held(&delay->share, crowd, delay->held_until);
	/* What the others leave of it changes. */
	delay->share.had_bps = compensate(delay, tw_rate_scale((uint64_t)most, HELD_MORE));
}

static void judge_loss(struct tw_delay *delay, const struct tw_rate_sample *sample,
		       const struct tw_crowd *crowd)
{
	uint64_t got;

	switch (tw_blame_sample(&delay->blame, sample, crowd->queue >= crowd->high)) {
	case TW_BLAME_NONE:
		break;
	case TW_BLAME_OURS:
		hold(delay, crowd);
		break;
	case TW_BLAME_PATH:
		got = compensate(delay, delay->held_got_bps);
		if (delay->held_until > 0 && delay->rate_bps < got)
			delay->rate_bps = got < delay->held_bps ? got : delay->held_bps;
		delay->held_until = 0;
		break;
	}
	if (crowd->now >= delay->held_until)
		delay->held_until = 0;
}

/* What the path carries, after a step from @before_bps. */
static void note_whole(struct tw_delay *delay, const struct tw_crowd *crowd, uint64_t delivered_bps,
		       uint64_t before_bps)
{
	/* It became slower, not fuller. */
	if (delay->rate_bps < before_bps && crowd->queue > crowd->base / 2 && delivered_bps > 0 &&
	    (double)delivered_bps < SLOWER * (double)before_bps &&
	    tw_ns_since(crowd->now, delay->shared_at) > SETTLED_ROUNDS * crowd->base)
		delay->whole_bps =
			tw_rate_scale(delay->whole_bps, (double)delivered_bps / (double)before_bps);
	if (delay->rate_bps > delay->whole_bps)
		delay->whole_bps = delay->rate_bps;
	delay->share.whole_bps = delay->whole_bps;
}

static void note_cut(struct tw_delay *delay, const struct tw_path_model *path,
		     const struct tw_crowd *crowd, uint64_t before_bps)
{
	delay->cut_peak = tw_ns_max(delay->cut_peak, crowd->queue);
	if (delay->cut_at > 0 &&
	    tw_ns_since(crowd->now, delay->cut_at) > crowd->base + delay->cut_peak)
		delay->cut_trough = tw_ns_min(delay->cut_trough, crowd->queue);
	if (delay->share.reduced_at == crowd->now && delay->rate_bps < before_bps)
		judge_cut(delay, path, crowd, before_bps);
}

/*
 * No queue for long, and more comes through than when there was one: there may be much more than
 * steps would find.
 */
static bool found_room(const struct tw_delay *delay, const struct tw_crowd *crowd,
		       uint64_t delivered_bps)
{
	tw_ns least = (tw_ns)(LOW_ROUNDS * (double)crowd->base) << delay->vain;

	return delay->mode == TW_DELAY_SHARE &&
	       delivered_bps > tw_rate_scale(delay->share.had_bps, MORE) &&
	       tw_ns_since(crowd->now, delay->share.low_since) > least;
}

static void step_share(struct tw_delay *delay, const struct tw_path_model *path,
		       const struct tw_rate_sample *sample, const struct tw_crowd *crowd)
{
	uint64_t delivered =
		sample->app_limited ? 0 : compensate(delay, delivery(delay, path, sample));
	uint64_t before;
	bool spare;

	judge_loss(delay, sample, crowd);
	delay->share.spilled |= delay->blame.spilled && tw_ns_since(crowd->now, delay->shared_at) >
								2 * SETTLED_ROUNDS * crowd->base;
	delay->blame.spilled = false;
	before = delay->rate_bps;
	/* Nothing grows into loss: several of us behind a policer would drive each other. */
	spare = sample->app_limited || delay->held_until > 0 ||
		(delay->blame.known && delay->blame.excess > 0);
	if (crowd->ahead >= crowd->high || !spare)
		delay->rate_bps = tw_steps_rate(&delay->share, before, delivered, crowd);
	else
		delay->share.stepped_at = crowd->now;
	/* What is lost is no room. */
	if (delay->blame.excess > 0)
		delay->lossy_at = delay->share.low_since = crowd->now;
	/* Far above what comes through there is nothing to learn. */
	if (delay->rate_bps > before && !spare && path->bandwidth_bps > 0 &&
	    delay->rate_bps > compensate(delay, tw_rate_scale(path->bandwidth_bps, AHEAD_MOST)))
		delay->rate_bps = before;
	note_whole(delay, crowd, delivered, before);
	note_cut(delay, path, crowd, before);
	if (!spare && found_room(delay, crowd, delivered)) {
		if (delay->vain < VAIN_MOST)
			delay->vain++;
		enter_start(delay, delay->rate_bps);
	}
}

static void step_compete(struct tw_delay *delay, const struct tw_crowd *crowd)
{
	bool over = tw_cubic_sample(&delay->cubic, crowd);

	delay->rate_bps = tw_cubic_rate(&delay->cubic, crowd);
	if (over)
		enter_share(delay,
			    tw_rate_of((uint64_t)delay->cubic.window, crowd->base + crowd->queue),
			    crowd->now);
}

/* rates */

static uint64_t window(const struct tw_delay *delay, const struct tw_path_model *path)
{
	tw_ns base = base_rtt(delay, path), slack;

	if (delay->mode == TW_DELAY_COMPETE)
		return (uint64_t)delay->cubic.window +
		       tw_rate_bytes(delay->rate_bps, tw_ns_max(base / 8, TW_MSEC));
	/* Two acknowledgements, some trains, and what jitter holds back beyond the queue. */
	slack = tw_ns_since(path->rtt_smoothed + 2 * path->rtt_variance,
			    base + queue_now(delay, path));
	slack = tw_ns_min(tw_ns_max(slack, 4 * jitter(path)), TW_SECOND) +
		2 * tw_ns_max(base / 8, TW_MSEC) + 3 * TW_MSEC;
	if (delay->mode == TW_DELAY_START)
		return tw_rate_bytes(delay->rate_bps, base + base / 4 + slack) +
		       delay->ramp.lead_bytes;
	return tw_rate_bytes(delay->rate_bps, 2 * base + slack);
}

static void set_rates(struct tw_rate_controller *controller, const struct tw_path_model *path)
{
	struct tw_delay *delay = &controller->delay;
	uint64_t datagram = controller->datagram_bytes, least_bytes;
	uint64_t least = tw_rate_of(2 * datagram, tw_ns_max(path->rtt_smoothed, START_RTT_MIN));

	if (delay->rate_bps < least)
		delay->rate_bps = least;
	controller->pacing_bps = delay->rate_bps;
	controller->window_bytes = window(delay, path);
	least_bytes = (delay->mode == TW_DELAY_START ? 64 : 8) * datagram;
	if (controller->window_bytes < least_bytes)
		controller->window_bytes = least_bytes;
	/* What nobody sends teaches nothing. */
	if (delay->rate_bps > controller->limits.max_bps)
		delay->rate_bps =
			controller->limits.max_bps > least ? controller->limits.max_bps : least;
}

static void set_start(struct tw_rate_controller *controller, const struct tw_path_model *path)
{
	struct tw_delay *delay = &controller->delay;
	tw_ns rtt = tw_ns_max(path->rtt_smoothed, START_RTT_MIN);

	delay->rtt_seen = path->rtt_known;
	delay->start_bps = controller->limits.rate_bps;
	delay->told = delay->start_bps > 0;
	if (delay->start_bps == 0)
		delay->start_bps = tw_rate_of(
			(uint64_t)TW_RAMP_FIRST_DATAGRAMS * controller->datagram_bytes, rtt);
}

/* the table's functions */

static void delay_init(struct tw_rate_controller *controller, const struct tw_path_model *path,
		       tw_ns now)
{
	struct tw_delay *delay = &controller->delay;

	*delay = (struct tw_delay){
		.acked_at = now,
		.over_since = TW_NEVER,
		.fresh = true,
	};
	tw_ramp_init(&delay->ramp);
	set_start(controller, path);
	delay->rate_bps = delay->start_bps;
	if (path->bandwidth_bps > 0)
		/* A change of method on a known path. */
		enter_start(delay, tw_rate_scale(path->bandwidth_bps, 0.9));
	else
		send_lead(controller, path, delay->start_bps);
	set_rates(controller, path);
}

static void delay_sample(struct tw_rate_controller *controller, const struct tw_path_model *path,
			 const struct tw_rate_sample *sample)
{
	struct tw_delay *delay = &controller->delay;
	enum tw_ramp_outcome outcome;
	struct tw_crowd crowd;

	if (!delay->rtt_seen && path->rtt_known)
		set_start(controller, path);
	delay->resolved += sample->acked_bytes + sample->lost_bytes;
	delay->in_flight = sample->in_flight_bytes;
	if (sample->acked_bytes > 0) {
		/* Anew from half of what was: what the path is now nobody knows. */
		if (delay->timeouts > 0 &&
		    (delay->timeouts > 1 ||
		     tw_ns_since(sample->now, delay->acked_at) > 3 * tw_path_model_pto(path)))
			enter_start(delay, delay->rate_bps / 2);
		delay->timeouts = 0;
		delay->acked_at = sample->now;
	}
	if (tw_ns_since(sample->now, delay->offset_at) > OFFSET_SPAN)
		delay->offset = 0;
	delay->offset = tw_ns_min(delay->offset, path->queue_delay);
	crowd = look(delay, path, sample);
	note_delivery(delay, sample);
	if (sample->delivery_rate_bps > 0 && is_short(path))
		delay->lately_bps = compensate(delay, delivery(delay, path, sample));
	outcome = tw_ramp_sample(&delay->ramp, path, sample, delay->resolved);
	switch ((enum tw_delay_mode)delay->mode) {
	case TW_DELAY_START:
		step_start(controller, path, sample, outcome);
		break;
	case TW_DELAY_SHARE:
		step_share(delay, path, sample, &crowd);
		break;
	case TW_DELAY_COMPETE:
		step_compete(delay, &crowd);
		break;
	case TW_DELAY_MODE_COUNT:
		break;
	}
	set_rates(controller, path);
}

/* The full window stops us while nothing comes back; the first acknowledgement resumes. */
static void delay_timeout(struct tw_rate_controller *controller, const struct tw_path_model *path,
			  tw_ns now)
{
	(void)path;
	(void)now;
	if (controller->delay.timeouts < UINT8_MAX)
		controller->delay.timeouts++;
}

static void delay_path_changed(struct tw_rate_controller *controller,
			       const struct tw_path_model *path, tw_ns now)
{
	struct tw_delay *delay = &controller->delay;

	(void)now;
	delay->offset = 0;
	tw_blame_forget(&delay->blame);
	enter_start(delay, delay->rate_bps / 2);
	set_rates(controller, path);
}

static void delay_limits(struct tw_rate_controller *controller, const struct tw_path_model *path,
			 const struct tw_rate_limits *before, tw_ns now)
{
	struct tw_delay *delay = &controller->delay;

	(void)now;
	set_start(controller, path);
	/* The old maximum may be all that we ever tried. */
	if (controller->limits.max_bps > before->max_bps &&
	    (double)delay->rate_bps >= 0.8 * (double)before->max_bps)
		enter_start(delay, delay->rate_bps);
	set_rates(controller, path);
}

const struct tw_rate_ops tw_rate_delay_ops = {
	.name = "delay",
	.init = delay_init,
	.limits = delay_limits,
	.sample = delay_sample,
	.timeout = delay_timeout,
	.path_changed = delay_path_changed,
};
