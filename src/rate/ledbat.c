/*
 * ledbat.c - gives way to everything else; see ledbat.h for the model. Section numbers are those of
 * draft-irtf-iccrg-ledbat-plus-plus.
 */
#include "rate/ledbat.h"

#include <assert.h>

#include "rate/controller.h"
#include "rate/units.h"

#define TARGET (60 * TW_MSEC) /* 4.2, at most: buffers may be shorter */
#define TARGET_MIN (5 * TW_MSEC)
#define TARGET_SHARE 8        /* an eighth of a round trip */
#define QUIET_ROUNDS 60       /* nobody was seen for so long: what is free is ours */
#define GAIN_MOST 16          /* 4.2: the smallest gain is one over that */
#define DECREASE 1.0          /* 4.2: for a delay of twice the target, in a round trip */
#define SLOW_START_SHARE 0.75 /* 4.3: slow start ends at that part of the target */
#define SLOWDOWN_ROUNDS 2     /* 4.4 */
#define SLOWDOWN_SHARE 9      /* 4.4: so many times as long as the last one takes until the next */
#define WINDOW_MIN 2          /* datagrams */
#define WINDOW_INITIAL 10
#define HOLD_ROUNDS 3
#define MOST 2.2
#define CROWDED_SHARE 0.25     /* of the usual target */
#define ROOM_MIN (TW_MSEC / 2) /* less is no queue, and no target */
#define ROOM_NEAR 0.75         /* of what is known: as good as full */
#define ROOM_SHARE 2           /* the target in a buffer that only we filled */
#define ROOM_SHARE_SHARED 4    /* and in one that others fill, too */
#define ROOM_AGE (60 * TW_SECOND)
#define ROOM_GROWTH 0.5 /* of doubling, where a buffer ran over */
/* Of the window in a round trip. More would leave a queue behind each half of a window that fits
 * well: slow start would end at half of what there is. */
#define PACING_GAIN 1.2

#define TO(mode) (1u << TW_LEDBAT_##mode)

static const struct {
	const char *name;
	unsigned next; /* allowed successors */
} modes[] = {
	[TW_LEDBAT_SLOW_START] = { "slow start", TO(SLOW_START) | TO(STEADY) },
	[TW_LEDBAT_STEADY] = { "steady", TO(SLOW_START) | TO(SLOWDOWN) },
	[TW_LEDBAT_SLOWDOWN] = { "slowdown", TO(SLOW_START) },
};
static_assert(sizeof(modes) / sizeof(modes[0]) == TW_LEDBAT_MODE_COUNT, "a row for each mode");

static tw_ns base_rtt(const struct tw_path_model *path)
{
	return path->rtt_min == TW_NEVER ? path->rtt_smoothed : tw_ns_max(path->rtt_min, TW_MSEC);
}

static tw_ns usual_target(const struct tw_path_model *path)
{
	return tw_ns_min(tw_ns_max(base_rtt(path) / TARGET_SHARE, TARGET_MIN), TARGET);
}

static tw_ns target(const struct tw_ledbat *ledbat, const struct tw_path_model *path)
{
	tw_ns usual = usual_target(path);

	if (ledbat->room == 0)
		return usual;
	return tw_ns_min(usual,
			 tw_ns_max(ledbat->room / (ledbat->shared ? ROOM_SHARE_SHARED : ROOM_SHARE),
				   ROOM_MIN));
}

/* 4.2: the longer the round trip is beside the target, the nearer to what TCP adds. */
static double gain(const struct tw_path_model *path)
{
	double over = 2 * (double)usual_target(path) / (double)base_rtt(path);

	over = over < 1 ? 1 : over;
	return 1 / (over < GAIN_MOST ? over : GAIN_MOST);
}

static void enter(struct tw_ledbat *ledbat, enum tw_ledbat_mode mode, tw_ns now)
{
	assert(modes[ledbat->mode].next & (1u << mode));
	ledbat->mode = (uint8_t)mode;
	ledbat->mode_since = now;
}

/* @over: at a queue or a loss, not where it was meant to end. */
static void end_slow_start(struct tw_ledbat *ledbat, const struct tw_path_model *path, bool over,
			   tw_ns now)
{
	tw_ns took = tw_ns_since(now, ledbat->slowdown_began);
	double fits = (double)tw_path_model_bdp(path);

	/* Doubling went beyond what the path holds by up to as much again. */
	if (over && fits > 0 && ledbat->window > fits) {
		ledbat->reached = ledbat->window;
		ledbat->window = fits > ledbat->window / 2 ? fits : ledbat->window / 2;
		/* What is lost of it has been answered. */
		ledbat->recovery_until = now + HOLD_ROUNDS * path->rtt_smoothed;
	}

	/* 4.4: the first slowdown comes two round trips after the first slow start. */
	if (ledbat->slowdown_began == 0)
		ledbat->slowdown_at = now + SLOWDOWN_ROUNDS * path->rtt_smoothed;
	else
		ledbat->slowdown_at = now + SLOWDOWN_SHARE * took;
	/* Until what was sent has drained, the delay is the old one's. */
	ledbat->hold_until = now + HOLD_ROUNDS * path->rtt_smoothed;
	enter(ledbat, TW_LEDBAT_STEADY, now);
}

/*
 * What doubling went through fastest was not delivered for a whole round trip when it ended. Now it
 * has been: what the path was seen to deliver fits, as far as slow start had come.
 */
static void settle(struct tw_ledbat *ledbat, const struct tw_path_model *path)
{
	double fits = (double)tw_path_model_bdp(path);

	fits = fits < ledbat->reached ? fits : ledbat->reached;
	if (ledbat->window < fits)
		ledbat->window = fits;
	ledbat->reached = 0;
}

static void grow(struct tw_ledbat *ledbat, const struct tw_path_model *path,
		 const struct tw_rate_sample *sample, double datagram)
{
	double acked = (double)sample->acked_bytes, step = gain(path);
	double off = (double)path->queue_delay / (double)target(ledbat, path) - 1;

	/* What the sender did not use proves nothing. */
	if (sample->app_limited)
		return;
	if (ledbat->mode == TW_LEDBAT_SLOW_START) {
		ledbat->window += ledbat->room > 0 ? ROOM_GROWTH * acked : acked;
		return;
	}
	if (sample->now < ledbat->hold_until)
		return;
	settle(ledbat, path);
	if (off <= 0) {
		ledbat->window += step * datagram * acked / ledbat->window;
		return;
	}
	/* 4.2: in proportion to what lies above the target, at most a half in a round trip. */
	off *= DECREASE;
	off = off < 0.5 ? off : 0.5;
	ledbat->window += (step * datagram / ledbat->window - off) * acked;
}

static void step(struct tw_ledbat *ledbat, const struct tw_path_model *path, tw_ns now,
		 double datagram)
{
	double fits = (double)tw_path_model_bdp(path);
	tw_ns queue = path->queue_delay;
	bool over;

	if ((double)queue > CROWDED_SHARE * (double)usual_target(path)) {
		ledbat->crowded = true;
		ledbat->crowded_at = now;
	}
	switch ((enum tw_ledbat_mode)ledbat->mode) {
	case TW_LEDBAT_SLOW_START:
		over = (double)path->queue_latest > SLOW_START_SHARE * (double)target(ledbat, path);
		if (over || ledbat->window >= ledbat->slow_start_max)
			end_slow_start(ledbat, path, over, now);
		break;
	case TW_LEDBAT_STEADY:
		if (tw_ns_since(now, tw_ns_max(ledbat->crowded_at, ledbat->mode_since)) >
		    QUIET_ROUNDS * path->rtt_smoothed) {
			ledbat->slow_start_max = 1e18;
			ledbat->slowdown_began = now;
			enter(ledbat, TW_LEDBAT_SLOW_START, now);
		}
		if (now < ledbat->slowdown_at || ledbat->mode != TW_LEDBAT_STEADY)
			break;
		/* Where nobody else was seen there may be more than there was. */
		ledbat->slow_start_max = ledbat->crowded ? ledbat->window : 1e18;
		if (fits > 0 && ledbat->slow_start_max > fits && ledbat->crowded)
			ledbat->slow_start_max = fits;
		ledbat->slowdown_began = now;
		ledbat->window = WINDOW_MIN * datagram;
		enter(ledbat, TW_LEDBAT_SLOWDOWN, now);
		break;
	case TW_LEDBAT_SLOWDOWN:
		if (tw_ns_since(now, ledbat->mode_since) < SLOWDOWN_ROUNDS * path->rtt_smoothed)
			break;
		ledbat->crowded = false;
		enter(ledbat, TW_LEDBAT_SLOW_START, now);
		break;
	case TW_LEDBAT_MODE_COUNT:
		break;
	}
}

static void note_queue(struct tw_ledbat *ledbat, const struct tw_path_model *path, tw_ns now)
{
	if (tw_ns_since(now, ledbat->highest_since) > path->rtt_smoothed) {
		/* What was seen before a longer silence is no neighbour of what is lost now. */
		ledbat->highest_before = 0;
		if (tw_ns_since(now, ledbat->highest_since) <= 2 * path->rtt_smoothed)
			ledbat->highest_before = ledbat->highest;
		ledbat->highest = 0;
		ledbat->highest_since = now;
	}
	ledbat->highest = tw_ns_max(ledbat->highest, path->queue_latest);
	/* The route, or what it is shared with, may be another by now. */
	if (ledbat->room > 0 && tw_ns_since(now, ledbat->room_at) > ROOM_AGE) {
		ledbat->room = 0;
		ledbat->shared = false;
	}
}

/* Something was lost: was it because the buffer is full? */
static bool note_room(struct tw_ledbat *ledbat, tw_ns now)
{
	tw_ns queue = tw_ns_max(ledbat->highest, ledbat->highest_before);

	if (queue <= ROOM_MIN || (double)queue < ROOM_NEAR * (double)ledbat->room)
		return false;
	ledbat->room = tw_ns_max(ledbat->room, queue);
	ledbat->room_at = now;
	return true;
}

static void lose(struct tw_ledbat *ledbat, const struct tw_path_model *path, tw_ns now)
{
	bool full = note_room(ledbat, now);

	if (now < ledbat->recovery_until)
		return;
	ledbat->recovery_until = now + path->rtt_smoothed;
	if (ledbat->mode == TW_LEDBAT_SLOWDOWN)
		return;
	ledbat->crowded = true;
	ledbat->crowded_at = now;
	ledbat->window /= 2;
	/* We stay at the target and below: others went beyond it. */
	if (full && ledbat->mode == TW_LEDBAT_STEADY)
		ledbat->shared = true;
	if (ledbat->mode == TW_LEDBAT_SLOW_START)
		end_slow_start(ledbat, path, true, now);
}

static void set_rates(struct tw_rate_controller *controller, const struct tw_path_model *path)
{
	struct tw_ledbat *ledbat = &controller->ledbat;
	double least = (double)WINDOW_MIN * controller->datagram_bytes;
	tw_ns rtt = tw_ns_max(path->rtt_smoothed, TW_MSEC);
	double most = MOST * (double)tw_rate_bytes(path->bandwidth_bps, rtt) +
		      (double)WINDOW_INITIAL * controller->datagram_bytes;

	/* Twice what comes through is what slow start needs; a policer would take any amount. */
	if (path->bandwidth_bps > 0 && ledbat->window > most)
		ledbat->window = most;
	if (!(ledbat->window >= least))
		ledbat->window = least;
	if (ledbat->window > 1e15)
		ledbat->window = 1e15;
	/* What is acknowledged late is no reason to send less. */
	controller->window_bytes = (uint64_t)(ledbat->window * (1 + 1.0 / 8));
	controller->pacing_bps =
		tw_rate_scale(tw_rate_of((uint64_t)ledbat->window, rtt), PACING_GAIN);
}

/* the table's functions */

static void ledbat_init(struct tw_rate_controller *controller, const struct tw_path_model *path,
			tw_ns now)
{
	uint64_t start = controller->limits.rate_bps;

	controller->ledbat = (struct tw_ledbat){
		.window = (double)WINDOW_INITIAL * controller->datagram_bytes,
		.slow_start_max = 1e18,
		.slowdown_at = TW_NEVER,
		.mode_since = now,
	};
	if (start > 0)
		controller->ledbat.window =
			(double)tw_rate_bytes(start, tw_ns_max(path->rtt_smoothed, TW_MSEC));
	set_rates(controller, path);
}

static void ledbat_sample(struct tw_rate_controller *controller, const struct tw_path_model *path,
			  const struct tw_rate_sample *sample)
{
	struct tw_ledbat *ledbat = &controller->ledbat;

	/* What was sent before a silence is lost by it, and says nothing. */
	if (ledbat->silent && sample->acked_bytes > 0) {
		ledbat->silent = false;
		ledbat->recovery_until = sample->now + path->rtt_smoothed;
	}
	note_queue(ledbat, path, sample->now);
	if (sample->lost_packets > 0 && !ledbat->silent)
		lose(ledbat, path, sample->now);
	if (ledbat->mode != TW_LEDBAT_SLOWDOWN && sample->acked_bytes > 0)
		grow(ledbat, path, sample, controller->datagram_bytes);
	step(ledbat, path, sample->now, controller->datagram_bytes);
	set_rates(controller, path);
}

static void restart(struct tw_ledbat *ledbat, double slow_start_max, tw_ns now)
{
	ledbat->slow_start_max = slow_start_max;
	ledbat->window = 0; /* the least */
	ledbat->slowdown_began = now;
	ledbat->crowded = false;
	ledbat->silent = true;
	ledbat->reached = 0;
	ledbat->highest = ledbat->highest_before = 0;
	enter(ledbat, TW_LEDBAT_SLOW_START, now);
}

/* Nothing came back: from the bottom, and up again as fast as the path lets us. */
static void ledbat_timeout(struct tw_rate_controller *controller, const struct tw_path_model *path,
			   tw_ns now)
{
	restart(&controller->ledbat, 1e18, now);
	set_rates(controller, path);
}

/* Nothing of the old route's buffers is to be seen here. */
static void ledbat_path_changed(struct tw_rate_controller *controller,
				const struct tw_path_model *path, tw_ns now)
{
	struct tw_ledbat *ledbat = &controller->ledbat;

	ledbat->room = 0;
	ledbat->shared = false;
	ledbat_timeout(controller, path, now);
}

static void ledbat_limits(struct tw_rate_controller *controller, const struct tw_path_model *path,
			  const struct tw_rate_limits *before, tw_ns now)
{
	(void)before;
	(void)now;
	set_rates(controller, path);
}

const struct tw_rate_ops tw_rate_ledbat_ops = {
	.name = "ledbat",
	.init = ledbat_init,
	.limits = ledbat_limits,
	.sample = ledbat_sample,
	.timeout = ledbat_timeout,
	.path_changed = ledbat_path_changed,
};
