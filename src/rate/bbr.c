/*
 * bbr.c - follows a model of the path; see bbr.h for the state and docs/rate-control.md for the
 * reasons.
 *
 * The pacing rate is the estimated capacity times the gain of the mode. Capacity is what was
 * delivered, divided by the share that survives the loss which is there whatever we send
 * (loss_base); loss beyond that share is ours.
 */
#include "rate/bbr.h"

#include <assert.h>

#include "rate/controller.h"
#include "rate/units.h"

#define STARTUP_GAIN \
	2.9 /* 4 ln 2 doubles each round trip when samples lag by one; ours lag more \
	     */
#define RAMP_BODY_GAIN 2.0  /* over what whole round trips delivered, where leads prove less */
#define ACCELERATE_GAIN 2.0 /* first round after a probe found more */
#define UP_GAIN 1.25
#define FOUND_MAX 1.3 /* the most that one is believed */
#define UP_SMALL_GAIN 1.5
#define SMALL_SHARE 1.17 /* an up-probe brings that much where others hold most of a full path */
#define DOWN_GAIN 0.75
#define TEST_GAIN 0.9
#define QUEUE_GAIN 0.25 /* the most a standing queue takes off the cruise */
#define GROWTH 1.25     /* startup goes on while a round brings that much more */
#define FLAT_ROUNDS 3
#define FOUND 1.1 /* an up-probe that brings that much found more */
#define START_RTT_MIN TW_MSEC
#define LOSS_RESPONSE \
	0.7 /* loss that falls below that share of itself when we send less is ours \
	     */
#define OFFSET_SPAN (10 * TW_SECOND) /* a queue that was judged not to be ours is judged again */
#define LOSS_MARGIN 0.01
#define SLOW 0.95               /* of the rate meant: what was sent below it was sent too slowly */
#define STARTUP_LOSS_MARGIN 0.1 /* doubling shows itself by more than that */
#define QUEUE_BYTES 3000        /* on a slow path a few datagrams are a queue already */
#define QUEUE_FRESH (5 * TW_SECOND)

#define TO(mode) (1u << TW_BBR_##mode)

static const struct {
	const char *name;
	unsigned next; /* allowed successors */
} modes[] = {
	[TW_BBR_STARTUP] = { "startup", TO(STARTUP) | TO(DRAIN) },
	[TW_BBR_DRAIN] = { "drain", TO(STARTUP) | TO(CRUISE) },
	[TW_BBR_UP] = { "up", TO(STARTUP) | TO(DRAIN) | TO(DOWN) | TO(TEST) },
	[TW_BBR_DOWN] = { "down", TO(STARTUP) | TO(DRAIN) | TO(CRUISE) | TO(TEST) },
	[TW_BBR_CRUISE] = { "cruise", TO(STARTUP) | TO(DRAIN) | TO(UP) | TO(TEST) },
	[TW_BBR_TEST] = { "test", TO(STARTUP) | TO(DRAIN) | TO(CRUISE) },
};
static_assert(sizeof(modes) / sizeof(modes[0]) == TW_BBR_MODE_COUNT, "a row for each mode");

/* what the path says */

static tw_ns base_rtt(const struct tw_bbr *bbr, const struct tw_path_model *path)
{
	if (path->rtt_min == TW_NEVER)
		return path->rtt_smoothed;
	return path->rtt_min + bbr->queue_offset;
}

static tw_ns queue_now(const struct tw_bbr *bbr, const struct tw_path_model *path)
{
	return tw_ns_since(path->queue_delay, bbr->queue_offset);
}

/* A queue above this is more than noise. */
static tw_ns queue_high(const struct tw_bbr *bbr, const struct tw_path_model *path)
{
	tw_ns rtt = base_rtt(bbr, path), noise = tw_ns_max(rtt / 16, 2 * TW_MSEC);

	if (bbr->capacity_bps > 0)
		noise = tw_ns_max(noise, tw_ns_min(tw_rate_time(bbr->capacity_bps, QUEUE_BYTES),
						   TW_SECOND));
	return noise + path->jitter / 4 + tw_ns_since(path->jitter, rtt / 8);
}

/* HyStart++ (RFC 9406): an eighth of a round trip, 4 to 16 ms. */
static tw_ns queue_overshoot(const struct tw_bbr *bbr, const struct tw_path_model *path)
{
	return tw_ns_min(tw_ns_max(base_rtt(bbr, path) / 8, 4 * TW_MSEC), 16 * TW_MSEC);
}

/*
 * How long an up- or down-probe takes: a round trip, or two acknowledgements where the round trip
 * is shorter, and more where jitter would drown what is to be measured.
 */
static tw_ns probe_span(const struct tw_bbr *bbr, const struct tw_path_model *path)
{
	return tw_ns_max(base_rtt(bbr, path), 2 * TW_MSEC) + 4 * path->jitter;
}

/* A queue that was there for so long without a break stands. */
static tw_ns standing_span(const struct tw_bbr *bbr, const struct tw_path_model *path)
{
	return 8 * base_rtt(bbr, path) + 20 * TW_MSEC;
}

static uint64_t compensate(const struct tw_bbr *bbr, uint64_t delivered_bps)
{
	return tw_rate_scale(delivered_bps, 1 / (1 - bbr->loss.base));
}

/* segments */

static struct tw_bbr_segment *segment_head(struct tw_bbr *bbr)
{
	return &bbr->segments[bbr->head];
}

static struct tw_bbr_segment *segment_open(struct tw_bbr *bbr)
{
	return &bbr->segments[(bbr->head + bbr->count - 1) % TW_BBR_SEGMENTS];
}

static void open_segment(struct tw_bbr *bbr, uint64_t start, tw_ns now)
{
	bbr->count++;
	*segment_open(bbr) = (struct tw_bbr_segment){
		.start = start,
		.end = UINT64_MAX,
		.sent_from = now,
		.resolved_from = TW_NEVER,
		.pace_bps = bbr->pace_bps,
		.mode = bbr->mode,
	};
}

/* Ends the open segment at what has been sent so far and opens the next. With the ring full it just
 * grows on. */
static void cut_segment(struct tw_bbr *bbr, tw_ns now)
{
	struct tw_bbr_segment *open = segment_open(bbr);
	uint64_t sent = bbr->resolved + bbr->in_flight;

	if (sent <= open->start || bbr->count == TW_BBR_SEGMENTS) {
		open->mode = bbr->mode;
		return;
	}
	open->end = sent;
	open->sent_until = now;
	open_segment(bbr, sent, now);
}

/* Forgets all that is on its way: it says nothing about what comes now. */
static void restart_segments(struct tw_bbr *bbr, tw_ns now)
{
	bbr->head = bbr->count = 0;
	open_segment(bbr, bbr->resolved + bbr->in_flight, now);
}

/* modes */

static void enter(struct tw_bbr *bbr, enum tw_bbr_mode mode, tw_ns now)
{
	assert(modes[bbr->mode].next & (1u << mode));
	bbr->mode = (uint8_t)mode;
	bbr->mode_since = now;
	bbr->meter_at = 0;
	bbr->drain_floor = bbr->queue_floor;
	/* What was sent at a rate found wrong is no evidence about the next. */
	if (mode == TW_BBR_DRAIN || mode == TW_BBR_TEST)
		bbr->fresh_from = bbr->resolved + bbr->in_flight;
	cut_segment(bbr, now);
}

static void set_capacity(struct tw_bbr *bbr, uint64_t capacity_bps)
{
	bbr->capacity_bps = bbr->cycle_bps[0] = capacity_bps;
	bbr->cycle_bps[1] = 0;
}

static void note_capacity(struct tw_bbr *bbr, uint64_t capacity_bps)
{
	if (capacity_bps > bbr->cycle_bps[0])
		bbr->cycle_bps[0] = capacity_bps;
	bbr->capacity_bps =
		bbr->cycle_bps[0] > bbr->cycle_bps[1] ? bbr->cycle_bps[0] : bbr->cycle_bps[1];
}

/* Startup from what is known. */
static void accelerate(struct tw_bbr *bbr, tw_ns now)
{
	bbr->accelerating = true;
	bbr->up_found = 0;
	bbr->flat_rounds = 0;
	bbr->flat_bps = tw_rate_scale(bbr->capacity_bps, 1 - bbr->loss.base);
	bbr->before_bps = bbr->capacity_bps;
	enter(bbr, TW_BBR_STARTUP, now);
}

static void enter_cruise(struct tw_bbr *bbr, const struct tw_path_model *path, tw_ns now)
{
	tw_ns span = probe_span(bbr, path);
	unsigned longer = bbr->up_failures < 3 ? bbr->up_failures : 3;

	/* Knuth's MMIX generator; flows that share a path must not probe in step. */
	bbr->dice = bbr->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	bbr->cruise_ns = 2 * span + 2 * longer * span + span * (bbr->dice >> 56) / 256;
	bbr->cruise_ns = tw_ns_max(bbr->cruise_ns, 20 * TW_MSEC);
	enter(bbr, TW_BBR_CRUISE, now);
}

static void enter_up(struct tw_bbr *bbr, tw_ns now)
{
	if (bbr->cycle_bps[0] > 0) {
		bbr->cycle_bps[1] = bbr->cycle_bps[0];
		bbr->cycle_bps[0] = 0;
	}
	bbr->before_bps = bbr->capacity_bps;
	enter(bbr, TW_BBR_UP, now);
}

/* A lead at TW_RAMP_GAIN times what the path has shown: a small part of a round trip. */
static void send_lead(struct tw_rate_controller *controller, const struct tw_path_model *path,
		      uint64_t proven_bps)
{
	struct tw_bbr *bbr = &controller->bbr;
	struct tw_ramp_lead lead = { .body_bps = proven_bps };

	if (!tw_ramp_usable(path))
		return;
	lead.lead_bps = tw_rate_scale(proven_bps, TW_RAMP_GAIN);
	lead.bytes = tw_rate_bytes(lead.lead_bps, tw_ramp_lead_span(path));
	if (bbr->body_bps == 0)
		lead = tw_ramp_first(path, &controller->hint, controller->datagram_bytes,
				     proven_bps);
	controller->lead_bps = lead.lead_bps;
	controller->lead_bytes = lead.bytes;
	tw_ramp_lead(&bbr->ramp, path, &lead, bbr->resolved + bbr->in_flight);
}

/* judging what was sent */

struct verdict {
	const struct tw_bbr_segment *segment;
	uint64_t delivered_bps; /* 0: not measured */
	double loss;
	tw_ns now;
};

/* Below the estimate. Loss from a full queue is somebody's doing: it can only prove that there is
 * less than believed. */
static void learn_loss_down(struct tw_bbr *bbr, const struct tw_path_model *path,
			    const struct verdict *verdict)
{
	if (queue_now(bbr, path) < queue_high(bbr, path) || verdict->loss < bbr->loss.down.share)
		tw_loss_learn(&bbr->loss, &bbr->loss.down, verdict->segment->packets,
			      verdict->loss);
}

static bool loss_is_excess(const struct tw_bbr *bbr, const struct verdict *verdict, double margin)
{
	return tw_loss_is_excess(&bbr->loss, verdict->segment->packets, verdict->loss, margin);
}

static void leave_startup(struct tw_bbr *bbr, tw_ns now)
{
	/* What was only remembered is no reason to go at it. */
	if (bbr->resuming)
		bbr->body_bps = bbr->ramp.proven_bps;
	bbr->resuming = false;
	if (!bbr->accelerating && bbr->body_bps > bbr->capacity_bps)
		bbr->capacity_bps = bbr->body_bps;
	bbr->cycle_bps[0] = bbr->capacity_bps;
	bbr->cycle_bps[1] = 0;
	bbr->unmeasured = !bbr->accelerating && bbr->capacity_bps < bbr->start_bps;
	enter(bbr, TW_BBR_DRAIN, now);
}

static void judge_startup(struct tw_bbr *bbr, const struct tw_path_model *path,
			  const struct verdict *verdict)
{
	if (bbr->mode != TW_BBR_STARTUP) {
		if (bbr->mode != TW_BBR_DRAIN && !loss_is_excess(bbr, verdict, LOSS_MARGIN))
			note_capacity(bbr, compensate(bbr, verdict->delivered_bps));
		return;
	}
	if (loss_is_excess(bbr, verdict, STARTUP_LOSS_MARGIN)) {
		leave_startup(bbr, verdict->now);
		return;
	}
	if (verdict->segment->app_limited) {
		learn_loss_down(bbr, path, verdict);
		return;
	}
	/*
	 * Growth counts in what is delivered. Estimates grow with the loss that is compensated, and
	 * loss with the rate: each would prove the other right.
	 */
	if ((double)verdict->delivered_bps >= (double)bbr->flat_bps * GROWTH) {
		learn_loss_down(bbr, path, verdict);
		bbr->flat_bps = verdict->delivered_bps;
		bbr->flat_rounds = 0;
	} else if (++bbr->flat_rounds >= FLAT_ROUNDS) {
		leave_startup(bbr, verdict->now);
	}
}

/* It could not have delivered more, whatever the path takes. */
static bool bounded_below(const struct tw_bbr_segment *segment)
{
	return segment->app_limited || segment->slow;
}

static void judge_up(struct tw_bbr *bbr, const struct tw_path_model *path,
		     const struct verdict *verdict)
{
	uint64_t found = compensate(bbr, verdict->delivered_bps);
	bool jitters = path->jitter > probe_span(bbr, path) / 32;

	tw_loss_learn(&bbr->loss, &bbr->loss.up, verdict->segment->packets, verdict->loss);
	if (loss_is_excess(bbr, verdict, LOSS_MARGIN)) {
		uint64_t most = tw_rate_scale(bbr->before_bps, 1.05);

		if (bbr->up_failures < UINT8_MAX)
			bbr->up_failures++;
		note_capacity(bbr, found < most ? found : most);
		bbr->up_small = false;
		return;
	}
	bbr->up_failures = 0;
	bbr->up_small = queue_now(bbr, path) >= queue_high(bbr, path) &&
			(double)found >= SMALL_SHARE * (double)bbr->before_bps;
	if (found > tw_rate_scale(bbr->before_bps, FOUND_MAX))
		found = tw_rate_scale(bbr->before_bps, FOUND_MAX);
	if (found >= bbr->capacity_bps || !bounded_below(verdict->segment))
		note_capacity(bbr, found);
	if ((double)found < FOUND * (double)bbr->before_bps ||
	    queue_now(bbr, path) >= queue_high(bbr, path)) {
		bbr->up_found = 0;
		return;
	}
	/* Where it jitters, one probe may be luck. */
	if (++bbr->up_found < (jitters ? 2 : 1))
		bbr->cruise_ns = 0;
	else if (bbr->mode == TW_BBR_DOWN || bbr->mode == TW_BBR_CRUISE || bbr->mode == TW_BBR_UP)
		accelerate(bbr, verdict->now);
}

static void judge_cruise(struct tw_bbr *bbr, const struct verdict *verdict)
{
	if (!bounded_below(verdict->segment) ||
	    compensate(bbr, verdict->delivered_bps) > bbr->capacity_bps)
		note_capacity(bbr, compensate(bbr, verdict->delivered_bps));
	if (!loss_is_excess(bbr, verdict, LOSS_MARGIN) || verdict->delivered_bps == 0)
		return;
	if (bbr->mode != TW_BBR_CRUISE && bbr->mode != TW_BBR_UP && bbr->mode != TW_BBR_DOWN)
		return;
	bbr->before_bps = verdict->delivered_bps;
	bbr->loss_trigger = verdict->loss;
	bbr->test_held = false;
	enter(bbr, TW_BBR_TEST, verdict->now);
}

/* We sent less than was delivered before. Loss that fell was ours: that delivery is the capacity.
 * Else it is noise. */
static void judge_test(struct tw_bbr *bbr, const struct tw_path_model *path,
		       const struct verdict *verdict)
{
	uint64_t found, most;

	if (bbr->mode != TW_BBR_TEST)
		return;
	if (verdict->loss < LOSS_RESPONSE * bbr->loss_trigger ||
	    queue_now(bbr, path) >= queue_high(bbr, path)) {
		if (verdict->loss < bbr->loss.down.share)
			tw_loss_learn(&bbr->loss, &bbr->loss.down, verdict->segment->packets,
			      verdict->loss);
	} else {
		tw_loss_forget(&bbr->loss);
		tw_loss_learn(&bbr->loss, &bbr->loss.down, verdict->segment->packets,
			      verdict->loss);
	}
	/* What was delivered while the loss set in is part of the time before: no reason to go
	 * faster. */
	most = bbr->capacity_bps;
	found = compensate(bbr, bbr->before_bps);
	set_capacity(bbr, found < most ? found : most);
	enter_cruise(bbr, path, verdict->now);
}

/*
 * A queue goes up and down with what all who share it send. A delay that through many round trips
 * never fell below one level, and is back at that same level when we send half, is a longer route:
 * no reason to hold back.
 */
static void judge_drain(struct tw_bbr *bbr, const struct tw_path_model *path,
			const struct verdict *verdict)
{
	tw_ns near = TW_MSEC + path->jitter / 2 + base_rtt(bbr, path) / 100;

	if (verdict->segment->queue_from < bbr->queue_offset + queue_high(bbr, path))
		learn_loss_down(bbr, path, verdict);
	if (bbr->mode != TW_BBR_DRAIN ||
	    tw_ns_since(verdict->now, bbr->queue_high_since) < standing_span(bbr, path))
		return;
	if (path->queue_delay > bbr->queue_floor + near ||
	    bbr->drain_floor > bbr->queue_floor + near ||
	    loss_is_excess(bbr, verdict, LOSS_MARGIN)) {
		if (path->queue_delay < verdict->segment->queue_from / 10 * 9)
			return;
		/* Others fill what we leave: giving way further would only starve us. */
		bbr->compete_until = verdict->now + OFFSET_SPAN;
	} else {
		bbr->queue_offset = bbr->queue_floor;
		bbr->offset_at = verdict->now;
	}
	/* What looked like a slower path was the gap that a longer one makes, or is our restraint.
	 */
	if (bbr->before_bps > bbr->capacity_bps)
		set_capacity(bbr, bbr->before_bps);
	enter_cruise(bbr, path, verdict->now);
}

static void judge(struct tw_bbr *bbr, const struct tw_path_model *path,
		  const struct tw_bbr_segment *segment, const struct tw_rate_sample *sample)
{
	tw_ns took = tw_ns_max(tw_ns_since(sample->now, segment->resolved_from),
			       tw_ns_since(segment->sent_until, segment->sent_from));
	struct verdict verdict = {
		.segment = segment,
		.now = sample->now,
	};

	if (segment->acked + segment->lost == 0 || took == 0 || segment->start < bbr->fresh_from)
		return;
	verdict.delivered_bps = tw_rate_of(segment->acked, took);
	verdict.loss = (double)segment->lost / (double)(segment->acked + segment->lost);
	switch ((enum tw_bbr_mode)segment->mode) {
	case TW_BBR_STARTUP:
		judge_startup(bbr, path, &verdict);
		break;
	case TW_BBR_UP:
		judge_up(bbr, path, &verdict);
		break;
	case TW_BBR_DOWN:
		learn_loss_down(bbr, path, &verdict);
		break;
	case TW_BBR_CRUISE:
		judge_cruise(bbr, &verdict);
		break;
	case TW_BBR_TEST:
		judge_test(bbr, path, &verdict);
		break;
	case TW_BBR_DRAIN:
		judge_drain(bbr, path, &verdict);
		break;
	case TW_BBR_MODE_COUNT:
		break;
	}
}

/*
 * A sender that gets the processor late falls behind its own rate; its segments must not pull the
 * estimate down, or it would follow its own lateness. Where the window stopped it, the path did.
 */
static bool sent_slowly(const struct tw_bbr_segment *segment)
{
	tw_ns span = tw_ns_since(segment->sent_until, segment->sent_from);

	return !segment->window_limited && span > 0 &&
	       (double)tw_rate_of(segment->end - segment->start, span) <
		       SLOW * (double)segment->pace_bps;
}

/* Books the sample on the oldest segment, judges those that are over, and cuts one a round trip. */
static void account(struct tw_bbr *bbr, const struct tw_path_model *path,
		    const struct tw_rate_sample *sample)
{
	struct tw_bbr_segment *head = segment_head(bbr), over;

	if (head->resolved_from != TW_NEVER) {
		head->acked += sample->acked_bytes;
		head->lost += sample->lost_bytes;
		head->packets += sample->acked_packets + sample->lost_packets;
		head->app_limited |= sample->app_limited;
		head->window_limited |=
			sample->in_flight_before + bbr->window_bytes / 8 >= bbr->window_bytes;
	}
	while (bbr->resolved >= head->end) {
		over = *head;
		over.slow = sent_slowly(&over);
		bbr->head = (uint8_t)((bbr->head + 1) % TW_BBR_SEGMENTS);
		bbr->count--;
		head = segment_head(bbr);
		head->resolved_from = sample->now;
		head->queue_from = path->queue_delay;
		judge(bbr, path, &over, sample);
		head = segment_head(bbr);
	}
	if (bbr->resolved < head->start)
		return;
	if (head->resolved_from == TW_NEVER) {
		head->resolved_from = sample->now;
		head->queue_from = path->queue_delay;
	}
	if (bbr->count == 1 && tw_ns_since(sample->now, head->sent_from) >= probe_span(bbr, path))
		cut_segment(bbr, sample->now);
}

/* moving through the modes */

static void watch_queue(struct tw_bbr *bbr, const struct tw_path_model *path,
			const struct tw_rate_sample *sample)
{
	tw_ns rtt = base_rtt(bbr, path), now = sample->now;

	bbr->queue_offset = tw_ns_min(bbr->queue_offset, path->queue_delay);
	if (tw_ns_since(now, bbr->offset_at) > OFFSET_SPAN)
		bbr->queue_offset = 0;
	if (queue_now(bbr, path) < queue_high(bbr, path)) {
		bbr->queue_low_at = now;
		bbr->queue_high_since = TW_NEVER;
	} else if (bbr->queue_high_since == TW_NEVER) {
		bbr->queue_high_since = now;
		bbr->queue_floor = path->queue_delay;
	}
	bbr->queue_floor = tw_ns_min(bbr->queue_floor, path->queue_delay);
	if (queue_now(bbr, path) < rtt / 4)
		bbr->compete_until = 0;
	if (bbr->mode == TW_BBR_STARTUP || bbr->mode == TW_BBR_DRAIN)
		return;
	/* The path became slower: a queue, and delivery far below the estimate. */
	if (queue_now(bbr, path) > rtt / 2 + 2 * queue_high(bbr, path) + 2 * path->jitter &&
	    sample->delivery_rate_bps > 0 && !sample->app_limited &&
	    (double)compensate(bbr, sample->delivery_rate_bps) < 0.6 * (double)bbr->capacity_bps) {
		bbr->before_bps = bbr->capacity_bps;
		set_capacity(bbr, compensate(bbr, sample->delivery_rate_bps));
		enter(bbr, TW_BBR_DRAIN, now);
		return;
	}
	if (bbr->mode != TW_BBR_CRUISE || now < bbr->compete_until ||
	    tw_ns_since(now, bbr->drained_at) < standing_span(bbr, path))
		return;
	/* A tall queue that stands, or any that hid the path's minimum for seconds. */
	if ((queue_now(bbr, path) > rtt / 4 + queue_high(bbr, path) &&
	     tw_ns_since(now, bbr->queue_high_since) > standing_span(bbr, path)) ||
	    tw_ns_since(now, bbr->queue_low_at) > QUEUE_FRESH + 20 * rtt) {
		bbr->before_bps = bbr->capacity_bps;
		bbr->drained_at = now;
		bbr->queue_low_at = now;
		enter(bbr, TW_BBR_DRAIN, now);
	}
}

/* The first startup: what leads prove comes before what whole round trips delivered. */
static void step_ramp(struct tw_rate_controller *controller, const struct tw_path_model *path,
		      const struct tw_rate_sample *sample)
{
	struct tw_bbr *bbr = &controller->bbr;
	struct tw_ramp *ramp = &bbr->ramp;
	enum tw_ramp_outcome outcome = tw_ramp_sample(ramp, path, sample, bbr->resolved);
	struct tw_ramp_lead jump;
	uint64_t rate;

	if (bbr->mode != TW_BBR_STARTUP || bbr->accelerating || bbr->start_told)
		return;
	if (outcome == TW_RAMP_LOST) {
		if (bbr->resuming)
			bbr->body_bps = ramp->proven_bps / 2;
		bbr->resuming = false;
		bbr->start_told = true;
	} else if (outcome == TW_RAMP_SATURATED) {
		rate = tw_rate_scale(ramp->free_bps, 1 / (1 - ramp->own_loss));
		if (rate > bbr->capacity_bps)
			set_capacity(bbr, rate);
		leave_startup(bbr, sample->now);
	} else if (outcome == TW_RAMP_CLEAR) {
		bbr->body_bps = ramp->proven_bps;
		if (bbr->body_bps < bbr->start_bps)
			bbr->body_bps = bbr->start_bps;
		bbr->resuming = tw_ramp_resume(ramp, path, &controller->hint,
					       bbr->resolved + bbr->in_flight, &jump);
		if (bbr->resuming) {
			bbr->body_bps = jump.body_bps;
			controller->lead_bps = jump.lead_bps;
			controller->lead_bytes = jump.bytes;
		}
		bbr->lead_skipped = bbr->over_since != TW_NEVER;
		if (!bbr->lead_skipped && !bbr->resuming)
			send_lead(controller, path, bbr->body_bps);
	} else if (ramp->lead_end == UINT64_MAX && !ramp->settling && bbr->over_since == TW_NEVER &&
		   (bbr->in_flight == 0 || bbr->lead_skipped || bbr->body_bps == 0)) {
		/* Nothing was there to lead with, the delay was high, or the round trip has only
		 * become known. */
		bbr->lead_skipped = false;
		send_lead(controller, path, bbr->body_bps ? bbr->body_bps : bbr->start_bps);
	}
}

/*
 * Startup has met a queue. One that grows looks like jitter at first, and jitter like a queue:
 * where leads go out, nothing grows while the delay is high, and what is still there half a round
 * trip later is a queue.
 */
static bool startup_queued(struct tw_bbr *bbr, const struct tw_path_model *path, tw_ns now)
{
	tw_ns queue = tw_ns_since(path->queue_latest, bbr->queue_offset);
	tw_ns high = queue_overshoot(bbr, path);

	if (bbr->accelerating || (bbr->body_bps == 0 && bbr->ramp.leads == 0))
		return queue > high + 4 * path->jitter;
	if (bbr->over_since == TW_NEVER &&
	    queue > high + 4 * tw_ns_min(path->jitter, bbr->ramp.jitter))
		bbr->over_since = now;
	if (bbr->over_since == TW_NEVER ||
	    tw_ns_since(now, bbr->over_since) < base_rtt(bbr, path) / 2)
		return false;
	bbr->over_since = TW_NEVER;
	return queue_now(bbr, path) > high;
}

static void step_startup(struct tw_bbr *bbr, const struct tw_path_model *path,
			 const struct tw_rate_sample *sample)
{
	uint64_t rate = compensate(bbr, sample->delivery_rate_bps);

	/* Less than a round trip is a burst of acknowledgements, not a rate. */
	if (rate > bbr->capacity_bps &&
	    (sample->delivery_interval == 0 || sample->delivery_interval >= path->rtt_min))
		set_capacity(bbr, rate);
	if (bbr->capacity_bps > 0 && startup_queued(bbr, path, sample->now))
		leave_startup(bbr, sample->now);
}

static void step_drain(struct tw_bbr *bbr, const struct tw_path_model *path,
		       const struct tw_rate_sample *sample)
{
	tw_ns queue = queue_now(bbr, path), metered = tw_ns_since(sample->now, bbr->meter_at);

	/*
	 * While a queue stands, what comes out of it is the capacity, be it more or less than
	 * believed. That holds for what was sent before: what the drain itself sends may be too
	 * little to keep the queue.
	 */
	if (segment_head(bbr)->mode == TW_BBR_DRAIN) {
		bbr->meter_at = 0;
		bbr->unmeasured = false;
	} else if (metered > 0 && metered >= probe_span(bbr, path) / 2) {
		uint64_t out = sample->delivered_total - bbr->meter_delivered;

		if (bbr->meter_at > 0 && (queue > queue_high(bbr, path) || bbr->unmeasured))
			set_capacity(bbr, compensate(bbr, tw_rate_of(out, metered)));
		bbr->meter_at = sample->now;
		bbr->meter_delivered = sample->delivered_total;
	}
	if (bbr->unmeasured)
		return;
	if (queue < queue_high(bbr, path) / 2 + path->jitter ||
	    sample->in_flight_bytes <=
		    tw_rate_bytes(bbr->capacity_bps, base_rtt(bbr, path) + path->jitter))
		enter_cruise(bbr, path, sample->now);
}

static void step(struct tw_bbr *bbr, const struct tw_path_model *path,
		 const struct tw_rate_sample *sample)
{
	tw_ns stayed = tw_ns_since(sample->now, bbr->mode_since), span = probe_span(bbr, path);

	switch ((enum tw_bbr_mode)bbr->mode) {
	case TW_BBR_STARTUP:
		step_startup(bbr, path, sample);
		break;
	case TW_BBR_DRAIN:
		step_drain(bbr, path, sample);
		break;
	case TW_BBR_UP:
		if (stayed >= span)
			enter(bbr, TW_BBR_DOWN, sample->now);
		break;
	case TW_BBR_DOWN:
		if (stayed >= span)
			enter_cruise(bbr, path, sample->now);
		break;
	case TW_BBR_CRUISE:
		if (stayed >= bbr->cruise_ns)
			enter_up(bbr, sample->now);
		break;
	case TW_BBR_TEST:
		if (!bbr->test_held && stayed >= span) {
			bbr->test_held = true;
			cut_segment(bbr, sample->now);
			segment_open(bbr)->mode = TW_BBR_CRUISE;
		}
		/* The outcome got lost, for instance with a full ring of segments. */
		if (stayed >= 4 * span + 4 * path->rtt_smoothed)
			enter_cruise(bbr, path, sample->now);
		break;
	case TW_BBR_MODE_COUNT:
		break;
	}
}

/* rates */

/*
 * A standing queue takes up to QUEUE_GAIN off, in proportion: all flows see the same queue and give
 * way alike. What is seen of it is a round trip old: what is in flight says how much of it is still
 * ours to drain.
 */
static double cruise_gain(const struct tw_bbr *bbr, const struct tw_path_model *path)
{
	tw_ns high = queue_high(bbr, path), queue = queue_now(bbr, path), rtt = base_rtt(bbr, path);
	double over;

	if (bbr->capacity_bps > 0)
		queue = tw_ns_min(queue,
				  tw_ns_since(tw_rate_time(bbr->capacity_bps, bbr->in_flight),
					      rtt + tw_ns_max(rtt / 16, TW_MSEC)));

	if (queue <= high || bbr->compete_until > 0)
		return 1;
	over = (double)(queue - high) / (2 * (double)high);
	return 1 - QUEUE_GAIN * (over < 1 ? over : 1);
}

/* What the up-probe added goes off again. Below a maximum that let it add nothing, nothing does. */
static double down_gain(const struct tw_bbr *bbr, uint64_t max_bps)
{
	double room = (double)max_bps - (double)bbr->capacity_bps;
	double added = bbr->capacity_bps > 0 ? room / (double)bbr->capacity_bps : 0;

	if (added <= 0)
		return 1;
	return added < 1 - DOWN_GAIN ? 1 - added : DOWN_GAIN;
}

static uint64_t pacing(const struct tw_bbr *bbr, const struct tw_path_model *path, uint64_t max_bps)
{
	uint64_t rate, least;

	switch ((enum tw_bbr_mode)bbr->mode) {
	case TW_BBR_STARTUP:
		if (bbr->accelerating && bbr->before_bps == bbr->capacity_bps)
			return tw_rate_scale(bbr->capacity_bps, ACCELERATE_GAIN);
		if (!bbr->accelerating && bbr->body_bps > 0 && bbr->over_since != TW_NEVER)
			return bbr->body_bps;
		if (!bbr->accelerating && bbr->body_bps > 0 && tw_ramp_usable(path)) {
			rate = tw_rate_scale(bbr->capacity_bps, RAMP_BODY_GAIN);
			return rate > bbr->body_bps ? rate : bbr->body_bps;
		}
		rate = tw_rate_scale(bbr->capacity_bps, STARTUP_GAIN);
		if (bbr->accelerating && bbr->capacity_bps > 0)
			return rate;
		/* A round trip on, the first rate has proved itself although it was not yet
		 * measured to the end. */
		least = bbr->capacity_bps > 0 ? 2 * bbr->start_bps : bbr->start_bps;
		return rate > least ? rate : least;
	case TW_BBR_DRAIN:
		return tw_rate_scale(
			bbr->capacity_bps,
			queue_now(bbr, path) > base_rtt(bbr, path) + 2 * path->jitter ? 0.25 : 0.5);
	case TW_BBR_UP:
		return tw_rate_scale(bbr->capacity_bps, bbr->up_small ? UP_SMALL_GAIN : UP_GAIN);
	case TW_BBR_DOWN:
		return tw_rate_scale(bbr->capacity_bps, down_gain(bbr, max_bps));
	case TW_BBR_TEST:
		if (bbr->test_held)
			return compensate(bbr, bbr->before_bps);
		return tw_rate_scale(bbr->before_bps, TEST_GAIN);
	case TW_BBR_CRUISE:
	case TW_BBR_MODE_COUNT:
		break;
	}
	return tw_rate_scale(bbr->capacity_bps, cruise_gain(bbr, path));
}

/*
 * Twice what fits on the path, what comes in between two acknowledgements (every eighth of a round
 * trip, at least 1 ms), some trains, and what jitter holds back beyond the queue.
 */
static uint64_t window(const struct tw_bbr *bbr, const struct tw_path_model *path,
		       uint64_t pacing_bps)
{
	tw_ns rtt = base_rtt(bbr, path), slack;
	uint64_t rate = bbr->capacity_bps;

	slack = tw_ns_since(path->rtt_smoothed + 2 * path->rtt_variance,
			    rtt + queue_now(bbr, path));
	slack = tw_ns_min(tw_ns_max(slack, 4 * path->jitter), TW_SECOND) +
		2 * tw_ns_max(rtt / 8, TW_MSEC) + 3 * TW_MSEC;
	if (bbr->mode == TW_BBR_STARTUP)
		return tw_rate_bytes(pacing_bps > 3 * (rate / 2) ? pacing_bps : 3 * (rate / 2),
				     rtt + rtt / 4 + slack) +
		       bbr->ramp.lead_bytes;
	if (bbr->compete_until > 0)
		slack += queue_now(bbr, path);
	return tw_rate_bytes(rate, 2 * rtt + slack);
}

static void set_rates(struct tw_rate_controller *controller, const struct tw_path_model *path)
{
	struct tw_bbr *bbr = &controller->bbr;
	uint64_t datagram = controller->datagram_bytes, least_bytes;
	uint64_t least = tw_rate_of(2 * datagram, tw_ns_max(path->rtt_smoothed, START_RTT_MIN));

	controller->pacing_bps = pacing(bbr, path, controller->limits.max_bps);
	if (controller->pacing_bps < least)
		controller->pacing_bps = least;
	controller->window_bytes = window(bbr, path, controller->pacing_bps);
	least_bytes = (bbr->mode == TW_BBR_STARTUP ? 64 : 8) * datagram;
	if (controller->window_bytes < least_bytes)
		controller->window_bytes = least_bytes;
	bbr->pace_bps = tw_rate_controller_pacing(controller);
	bbr->window_bytes = controller->window_bytes;
	if (bbr->count && bbr->pace_bps < segment_open(bbr)->pace_bps)
		segment_open(bbr)->pace_bps = bbr->pace_bps;
}

static void set_start(struct tw_rate_controller *controller, const struct tw_path_model *path)
{
	struct tw_bbr *bbr = &controller->bbr;
	tw_ns rtt = tw_ns_max(path->rtt_smoothed, START_RTT_MIN);

	bbr->rtt_seen = path->rtt_known;
	bbr->start_bps = controller->limits.rate_bps;
	bbr->start_told = bbr->start_bps > 0;
	if (bbr->start_bps == 0)
		bbr->start_bps = tw_rate_of(
			(uint64_t)TW_RAMP_FIRST_DATAGRAMS * controller->datagram_bytes, rtt);
}

/* the table's functions */

static void bbr_init(struct tw_rate_controller *controller, const struct tw_path_model *path,
		     tw_ns now)
{
	struct tw_bbr *bbr = &controller->bbr;

	*bbr = (struct tw_bbr){
		.mode = TW_BBR_STARTUP,
		.mode_since = now,
		.queue_low_at = now,
		.queue_high_since = TW_NEVER,
		.over_since = TW_NEVER,
		.acked_at = now,
		.dice = now,
	};
	if (path->bandwidth_bps > 0) {
		/* A change of method on a known path: what was delivered, and half of it again to
		 * see what fits. */
		bbr->accelerating = true;
		bbr->up_found = 0;
		set_capacity(bbr, path->bandwidth_bps / 2);
	}
	tw_ramp_init(&bbr->ramp);
	set_start(controller, path);
	restart_segments(bbr, now);
	if (!bbr->accelerating && !bbr->start_told)
		send_lead(controller, path, bbr->start_bps);
	set_rates(controller, path);
}

/* Anew from a fraction of what was: a quarter at the startup gain is 0.7 of the old rate for the
 * first round trip. */
static void resume(struct tw_bbr *bbr, tw_ns now)
{
	bool long_gone = tw_ns_since(now, bbr->acked_at) > 10 * TW_SECOND;

	set_capacity(bbr, bbr->capacity_bps / (long_gone ? 8 : 4));
	restart_segments(bbr, now);
	accelerate(bbr, now);
	bbr->flat_bps /= 2;
	bbr->before_bps = 0;
}

static void bbr_sample(struct tw_rate_controller *controller, const struct tw_path_model *path,
		       const struct tw_rate_sample *sample)
{
	struct tw_bbr *bbr = &controller->bbr;

	if (!bbr->rtt_seen && path->rtt_known)
		set_start(controller, path);
	bbr->resolved += sample->acked_bytes + sample->lost_bytes;
	bbr->in_flight = sample->in_flight_bytes;
	if (sample->acked_bytes > 0) {
		if (bbr->timeouts > 0 &&
		    (bbr->timeouts > 1 ||
		     tw_ns_since(sample->now, bbr->acked_at) > 3 * tw_path_model_pto(path)))
			resume(bbr, sample->now);
		bbr->timeouts = 0;
		bbr->acked_at = sample->now;
		bbr->dice += sample->delivered_total;
	}
	account(bbr, path, sample);
	watch_queue(bbr, path, sample);
	step_ramp(controller, path, sample);
	step(bbr, path, sample);
	set_rates(controller, path);
}

/* Rates stay: the full window stops us while nothing comes back, and the first acknowledgement
 * resumes. */
static void bbr_timeout(struct tw_rate_controller *controller, const struct tw_path_model *path,
			tw_ns now)
{
	(void)path;
	(void)now;
	if (controller->bbr.timeouts < UINT8_MAX)
		controller->bbr.timeouts++;
}

static void bbr_path_changed(struct tw_rate_controller *controller,
			     const struct tw_path_model *path, tw_ns now)
{
	struct tw_bbr *bbr = &controller->bbr;

	bbr->queue_offset = 0;
	bbr->queue_high_since = TW_NEVER;
	bbr->queue_low_at = now;
	tw_loss_forget(&bbr->loss);
	resume(bbr, now);
	set_rates(controller, path);
}

static void bbr_limits(struct tw_rate_controller *controller, const struct tw_path_model *path,
		       const struct tw_rate_limits *before, tw_ns now)
{
	struct tw_bbr *bbr = &controller->bbr;

	set_start(controller, path);
	/* The old maximum may be all that we ever tried. */
	if (controller->limits.max_bps > before->max_bps && bbr->mode != TW_BBR_STARTUP &&
	    (double)bbr->capacity_bps >= 0.8 * (double)before->max_bps)
		accelerate(bbr, now);
	set_rates(controller, path);
}

const struct tw_rate_ops tw_rate_bbr_ops = {
	.name = "bbr",
	.init = bbr_init,
	.limits = bbr_limits,
	.sample = bbr_sample,
	.timeout = bbr_timeout,
	.path_changed = bbr_path_changed,
};
