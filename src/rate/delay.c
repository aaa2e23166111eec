/*
 * delay.c - holds the queue short; see delay.h for the model.
 */
#include "rate/delay.h"

#include <assert.h>

#include "rate/controller.h"
#include "rate/units.h"

#define START_DATAGRAMS 64 /* in the first round trip */
#define START_RTT_MIN TW_MSEC
#define START_GAIN 2.0       /* over what whole round trips delivered, where leads go out */
#define START_GAIN_ALONE 2.9 /* where they do not */
#define GROWTH 1.25
#define FLAT_ROUNDS 3
#define START_LOSS 0.1         /* that much more is ours when it brings nothing */
#define BASE_MIN (8 * TW_MSEC) /* on shorter paths nothing is judged more often */
#define TARGET_MIN (2 * TW_MSEC)
#define TARGET_MAX (16 * TW_MSEC)
#define QUEUE_BYTES 3000 /* on a slow path a few datagrams are a queue already */
#define QUIET_ROUNDS 10  /* without a queue: there may be much more than steps would find */
#define STUCK 3          /* times we gave way and it did not help */
#define AHEAD_MOST 2.5
#define HELD_ROUNDS 4
#define HELD_GAIN 0.95
#define HELD_KEPT 0.7 /* loss that is still that much of what it was does not depend on us */
#define STEPPED 1.06  /* so much more was sent for what is judged by its delivery */
#define LOSS_MARGIN 0.01
#define SLOWER 0.6 /* a path that delivers less than that of the rate has become slower */
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

static tw_ns base_rtt(const struct tw_delay *delay, const struct tw_path_model *path)
{
	tw_ns base = path->rtt_min == TW_NEVER ? path->rtt_smoothed : path->rtt_min + delay->offset;

	return tw_ns_max(base, BASE_MIN);
}

/* The lowest of the last two slots: half as old as the path's own figure, which the steps need. */
static tw_ns queue_now(const struct tw_delay *delay, const struct tw_path_model *path)
{
	unsigned before = (path->queue_slot + TW_PATH_RECENT - 1) % TW_PATH_RECENT;
	tw_ns queue = tw_ns_min(path->queue_recent[path->queue_slot], path->queue_recent[before]);

	if (path->jitter > path->rtt_min / 32)
		queue = path->queue_delay;
	return tw_ns_since(queue, delay->offset);
}

/* An eighth of a round trip, 2 to 16 ms; more on a slow path, and where it jitters. */
static tw_ns target(const struct tw_delay *delay, const struct tw_path_model *path)
{
	tw_ns base = base_rtt(delay, path), high;

	high = tw_ns_min(tw_ns_max(base / 8, TARGET_MIN), TARGET_MAX);
	if (delay->rate_bps > 0)
		high = tw_ns_max(high,
				 tw_ns_min(tw_rate_time(delay->rate_bps, QUEUE_BYTES), TW_SECOND));
	return high + 3 * path->jitter;
}

static uint64_t compensate(const struct tw_delay *delay, uint64_t delivered_bps)
{
	return tw_rate_scale(delivered_bps, 1 / (1 - delay->loss.base));
}

static struct tw_crowd look(const struct tw_delay *delay, const struct tw_path_model *path,
			    const struct tw_rate_sample *sample)
{
	double expected =
		2 * delay->loss.base * (double)(sample->acked_packets + sample->lost_packets);

	tw_ns base = base_rtt(delay, path), queue = queue_now(delay, path), ahead = queue;

	/* What is lost and not known to be is in flight, too. */
	if (sample->delivery_rate_bps > 0 && !sample->app_limited)
		ahead = tw_ns_since(tw_rate_time(compensate(delay, sample->delivery_rate_bps),
						 delay->in_flight),
				    path->rtt_min + delay->offset + base / 8 + base / 16);
	return (struct tw_crowd){
		.now = sample->now,
		.base = base,
		.queue = queue,
		.ahead = tw_ns_min(ahead, queue + base),
		.high = target(delay, path),
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
	delay->rate_bps = rate_bps;
	if (delay->whole_bps < delay->ramp.proven_bps)
		delay->whole_bps = delay->ramp.proven_bps;
	if (delay->whole_bps < rate_bps)
		delay->whole_bps = rate_bps;
	tw_steps_begin(&delay->share, delay->whole_bps, now);
	delay->held_until = 0;
	delay->shared_at = now;
	enter(delay, TW_DELAY_SHARE);
}

/* Start from a rate that is known to come through, or was. */
static void enter_start(struct tw_delay *delay, uint64_t rate_bps)
{
	tw_ramp_init(&delay->ramp);
	delay->rate_bps = delay->body_bps = rate_bps;
	delay->again = true;
	delay->lead_due = true;
	delay->flat = 0;
	delay->flat_bps = tw_rate_scale(rate_bps, (1 - delay->loss.base) / GROWTH);
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
		lead.bytes = (uint64_t)START_DATAGRAMS * controller->datagram_bytes;
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
		return queue > high + 4 * path->jitter;
	if (delay->over_since == TW_NEVER &&
	    queue > high + 4 * tw_ns_min(path->jitter, delay->ramp.jitter))
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
	bool lossy = path->loss_round > delay->loss.base + START_LOSS;

	if (!sample->round_start || sample->app_limited || sample->delivery_rate_bps == 0)
		return false;
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

	if (outcome == TW_RAMP_LOST)
		delay->told = true;
	resume(controller, path, outcome);
	if (outcome == TW_RAMP_SATURATED) {
		enter_share(delay, delay->ramp.free_bps, sample->now);
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
		/* The queue, where it is one, takes off what is too much of that. */
		rate = delivered > 0 && delay->flat > 0 ? delivered : delay->rate_bps;
		enter_share(delay, rate, sample->now);
		return;
	}
	if (sample->delivery_interval > 0 && sample->delivery_interval < path->rtt_min)
		delivered = 0;
	rate = delay->body_bps ? delay->body_bps : delay->start_bps;
	if (delay->over_since == TW_NEVER && !(delay->again && leads)) {
		delivered = tw_rate_scale(delivered, leads ? START_GAIN : START_GAIN_ALONE);
		rate = delivered > rate ? delivered : rate;
	}
	/* What was tried is not taken back before there is a reason. */
	if (rate > delay->rate_bps || leads)
		delay->rate_bps = rate;
}

/* share */

static struct tw_delay_round *round_back(struct tw_delay *delay, unsigned rounds)
{
	return &delay->rounds[(delay->round + TW_DELAY_ROUNDS - rounds) % TW_DELAY_ROUNDS];
}

static void learn_loss(struct tw_delay *delay, const struct tw_path_model *path, double share)
{
	uint64_t packets = tw_rate_bytes(path->bandwidth_bps, path->rtt_smoothed) / 1200 + 1;

	tw_loss_learn(&delay->loss, &delay->loss.down, packets, share);
}

static void note_round(struct tw_delay *delay, const struct tw_path_model *path,
		       const struct tw_rate_sample *sample, const struct tw_crowd *crowd)
{
	struct tw_delay_round *round = round_back(delay, 0);

	round->queued |= crowd->queue >= crowd->high;
	if (!sample->round_start)
		return;
	round->delivered_bps = sample->delivery_rate_bps;
	round->loss = path->loss_round;
	/*
	 * Loss is the path's own as far as it is there when a queue has gone, and what was lost
	 * with it is told.
	 */
	if (!round->queued && delay->mode == TW_DELAY_SHARE && delay->held_until == 0 &&
	    !round_back(delay, 1)->queued && !round_back(delay, 2)->queued &&
	    tw_ns_since(crowd->now, delay->share.reduced_at) >
		    3 * crowd->base + delay->share.waited &&
	    tw_ns_since(crowd->now, delay->share.reduced_at) <
		    6 * crowd->base + delay->share.waited)
		learn_loss(delay, path, round->loss);
	delay->round = (delay->round + 1) % TW_DELAY_ROUNDS;
	delay->round_count++;
	*round_back(delay, 0) = (struct tw_delay_round){ .rate_bps = delay->rate_bps };
}

/*
 * More was sent for four round trips, no queue, no more delivered, more lost: a policer, or a queue
 * too short to be seen. What was delivered is all there is.
 */
static bool only_lost(struct tw_delay *delay, const struct tw_rate_sample *sample)
{
	const struct tw_delay_round *now = round_back(delay, 1), *then = round_back(delay, 5);
	/* What was delivered now was sent a round trip and a half before. */
	const struct tw_delay_round *sent_now = round_back(delay, 3),
				    *sent_then = round_back(delay, 7);
	double sent, got;

	if (!sample->round_start || sample->app_limited || delay->round_count < TW_DELAY_ROUNDS ||
	    now->loss < LOSS_MARGIN || sent_then->rate_bps == 0 || then->delivered_bps == 0)
		return false;
	for (unsigned i = 1; i <= 4; i++)
		if (round_back(delay, i)->queued)
			return false;
	sent = (double)sent_now->rate_bps / (double)sent_then->rate_bps;
	got = (double)now->delivered_bps / (double)then->delivered_bps;
	return sent > STEPPED && got < 1 + (sent - 1) / 3;
}

/*
 * We have given way again: did the last time help? A queue that stays at one level whatever we give
 * up is a longer route. One that hardly falls is kept up by others.
 */
static void judge_cut(struct tw_delay *delay, const struct tw_path_model *path,
		      const struct tw_crowd *crowd, uint64_t before_bps)
{
	tw_ns near = TW_MSEC + path->jitter + crowd->base / 50;
	tw_ns peak = delay->cut_peak, trough = tw_ns_min(delay->cut_trough, crowd->queue);
	bool first = delay->cut_at == 0;

	delay->cut_at = crowd->now;
	delay->cut_peak = delay->cut_trough = crowd->queue;
	if (first || trough < peak / 10 * 6) {
		delay->stuck = 0;
		delay->stuck_bps = before_bps;
		return;
	}
	if (trough + near >= peak && trough + near >= crowd->queue && peak + near >= crowd->queue) {
		delay->offset += trough;
		delay->offset_at = crowd->now;
		enter_start(delay, delay->stuck_bps);
	} else if (++delay->stuck >= STUCK) {
		enter_compete(delay, crowd);
	}
}

static void step_share(struct tw_delay *delay, const struct tw_path_model *path,
		       const struct tw_rate_sample *sample, const struct tw_crowd *crowd)
{
	uint64_t delivered = compensate(delay, sample->delivery_rate_bps), before = delay->rate_bps;
	uint64_t got = 0;
	bool spare = sample->app_limited || delay->held_until > 0;

	if (only_lost(delay, sample)) {
		delay->held_bps = before;
		delay->held_loss = round_back(delay, 1)->loss;
		delay->held_until = crowd->now + HELD_ROUNDS * crowd->base;
		for (unsigned i = 1; i <= 4; i++)
			if (round_back(delay, i)->delivered_bps > got)
				got = round_back(delay, i)->delivered_bps;
		delay->rate_bps = tw_rate_scale(got, HELD_GAIN);
		/* Leads may have passed what stops a longer stretch. */
		if (delay->whole_bps > before)
			delay->whole_bps = before;
		delay->share.reduced_at = crowd->now;
		return;
	}
	if (delay->held_until > 0 && crowd->now >= delay->held_until && sample->round_start) {
		double loss = round_back(delay, 1)->loss;

		delay->held_until = 0;
		if (loss >= HELD_KEPT * delay->held_loss) {
			learn_loss(delay, path, loss);
			delay->rate_bps = delay->held_bps;
		}
	}
	if (crowd->ahead >= crowd->high || !spare)
		delay->rate_bps = tw_steps_rate(&delay->share, before,
						sample->app_limited ? 0 : delivered, crowd);
	else
		delay->share.stepped_at = crowd->now;
	/* Far above what comes through there is nothing to learn. */
	if (delay->rate_bps > before && !spare && path->bandwidth_bps > 0 &&
	    delay->rate_bps > compensate(delay, tw_rate_scale(path->bandwidth_bps, AHEAD_MOST)))
		delay->rate_bps = before;
	/* The path became slower, not fuller. */
	if (delay->rate_bps < before && crowd->queue > crowd->base / 2 &&
	    (double)delivered < SLOWER * (double)before && delivered > 0 && !sample->app_limited &&
	    tw_ns_since(crowd->now, delay->shared_at) > QUIET_ROUNDS * crowd->base)
		delay->whole_bps =
			tw_rate_scale(delay->whole_bps, (double)delivered / (double)before);
	if (delay->rate_bps > delay->whole_bps)
		delay->whole_bps = delay->rate_bps;
	delay->share.whole_bps = delay->whole_bps;
	delay->cut_peak = tw_ns_max(delay->cut_peak, crowd->queue);
	if (delay->cut_at > 0 &&
	    tw_ns_since(crowd->now, delay->cut_at) > crowd->base + delay->cut_peak)
		delay->cut_trough = tw_ns_min(delay->cut_trough, crowd->queue);
	if (delay->share.reduced_at == crowd->now && delay->rate_bps < before)
		judge_cut(delay, path, crowd, before);
	if (delay->mode == TW_DELAY_SHARE && !spare &&
	    tw_ns_since(crowd->now, delay->share.reduced_at) > QUIET_ROUNDS * crowd->base)
		enter_start(delay, delay->rate_bps);
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
	slack = tw_ns_min(tw_ns_max(slack, 4 * path->jitter), TW_SECOND) +
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
		delay->start_bps =
			tw_rate_of((uint64_t)START_DATAGRAMS * controller->datagram_bytes, rtt);
}

/* the table's functions */

static void delay_init(struct tw_rate_controller *controller, const struct tw_path_model *path,
		       tw_ns now)
{
	struct tw_delay *delay = &controller->delay;

	*delay = (struct tw_delay){
		.acked_at = now,
		.over_since = TW_NEVER,
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
	note_round(delay, path, sample, &crowd);
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
	tw_loss_forget(&delay->loss);
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
