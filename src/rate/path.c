#include "rate/path.h"

#include <assert.h>

#include "rate/units.h"

#define QUEUE_SLOT_MAX (50 * TW_MSEC)
#define SWINGS 32 /* samples that rises and falls are of */

void tw_path_model_init(struct tw_path_model *path, tw_ns now)
{
	*path = (struct tw_path_model){
		.rtt_latest = TW_RTT_INITIAL,
		.rtt_smoothed = TW_RTT_INITIAL,
		.rtt_variance = TW_RTT_INITIAL / 2,
		.rtt_min = TW_NEVER,
		.delay_base = TW_DELAY_UNKNOWN,
		.bucket_started = now,
		.round_started = now,
	};
	for (unsigned i = 0; i < TW_PATH_BUCKETS; i++) {
		path->rtt_buckets[i] = TW_NEVER;
		path->delay_buckets[i] = TW_DELAY_UNKNOWN;
	}
}

/* The smoothed round trip stays as a first guess for timeouts; everything that could bind the new
 * route goes. */
void tw_path_model_reset(struct tw_path_model *path, tw_ns now)
{
	tw_ns smoothed = path->rtt_smoothed, variance = path->rtt_variance;
	bool known = path->rtt_known;

	tw_path_model_init(path, now);
	path->route_since = now;
	if (known) {
		path->rtt_latest = smoothed;
		path->rtt_smoothed = smoothed;
		path->rtt_variance = tw_ns_max(variance, smoothed / 2);
	}
}

/* Only called with a sample at hand for the fresh bucket, so that the minima are never left empty.
 */
static void turn_buckets(struct tw_path_model *path, tw_ns now)
{
	for (unsigned turned = 0; tw_ns_since(now, path->bucket_started) >= TW_PATH_BUCKET_SPAN;
	     turned++) {
		if (turned >= TW_PATH_BUCKETS) {
			path->bucket_started = now;
			return;
		}
		path->bucket = (path->bucket + 1) % TW_PATH_BUCKETS;
		path->rtt_buckets[path->bucket] = TW_NEVER;
		path->delay_buckets[path->bucket] = TW_DELAY_UNKNOWN;
		path->bucket_started += TW_PATH_BUCKET_SPAN;
	}
}

static void update_minima(struct tw_path_model *path)
{
	tw_ns rtt = TW_NEVER;
	int64_t delay = TW_DELAY_UNKNOWN;

	for (unsigned i = 0; i < TW_PATH_BUCKETS; i++) {
		rtt = tw_ns_min(rtt, path->rtt_buckets[i]);
		if (path->delay_buckets[i] < delay)
			delay = path->delay_buckets[i];
	}
	path->rtt_min = rtt;
	path->delay_base = delay;
	path->near = rtt <= (path->near ? TW_PATH_NEAR_STILL : TW_PATH_NEAR) &&
		     path->rtt_smoothed <= TW_PATH_NEAR_BUSY;
}

/* RFC 9002, 5.3. The peer's acknowledgement delay is already off the sample. */
static void smooth_rtt(struct tw_path_model *path, tw_ns rtt)
{
	tw_ns apart;

	path->rtt_latest = rtt;
	if (!path->rtt_known) {
		path->rtt_known = true;
		path->rtt_smoothed = rtt;
		path->rtt_variance = rtt / 2;
		return;
	}
	apart = path->rtt_smoothed > rtt ? path->rtt_smoothed - rtt : rtt - path->rtt_smoothed;
	path->rtt_variance = (3 * path->rtt_variance + apart) / 4;
	path->rtt_smoothed = (7 * path->rtt_smoothed + rtt) / 8;
}

/*
 * The queue is the lowest of the last slots, so that jitter does not count. Where it jitters the
 * slots grow with it: a queue stands longer than a late packet.
 */
static void note_queue(struct tw_path_model *path, tw_ns queue, tw_ns now)
{
	tw_ns slot = tw_ns_min(tw_ns_max(path->rtt_min / 8, path->jitter), QUEUE_SLOT_MAX);
	tw_ns lowest = queue;

	if (tw_ns_since(now, path->queue_slot_started) >= slot) {
		path->queue_slot = (path->queue_slot + 1) % TW_PATH_RECENT;
		path->queue_recent[path->queue_slot] = queue;
		path->queue_slot_started = now;
	}
	path->queue_recent[path->queue_slot] =
		tw_ns_min(path->queue_recent[path->queue_slot], queue);
	for (unsigned i = 0; i < TW_PATH_RECENT; i++)
		lowest = tw_ns_min(lowest, path->queue_recent[i]);
	path->rises = path->rises / SWINGS * (SWINGS - 1) + tw_ns_since(queue, path->queue_latest);
	path->falls = path->falls / SWINGS * (SWINGS - 1) + tw_ns_since(path->queue_latest, queue);
	path->jitter = (31 * path->jitter + queue - lowest) / 32;
	path->queue_latest = queue;
	path->queue_delay = lowest;
	path->queue_delay_smoothed = (7 * path->queue_delay_smoothed + queue) / 8;
}

static void update_delays(struct tw_path_model *path, const struct tw_rate_sample *sample)
{
	tw_ns queue;

	if (sample->rtt == 0 || sample->sent_at < path->route_since)
		return;
	smooth_rtt(path, sample->rtt);
	turn_buckets(path, sample->now);
	path->rtt_buckets[path->bucket] = tw_ns_min(path->rtt_buckets[path->bucket], sample->rtt);
	if (sample->forward_delay != INT64_MIN &&
	    sample->forward_delay < path->delay_buckets[path->bucket])
		path->delay_buckets[path->bucket] = sample->forward_delay;
	update_minima(path);
	queue = sample->rtt - path->rtt_min;
	if (sample->forward_delay != INT64_MIN)
		/* Unsigned, because a peer may claim any clock. */
		queue = tw_ns_min(queue,
				  (uint64_t)sample->forward_delay - (uint64_t)path->delay_base);
	note_queue(path, queue, sample->now);
}

static void update_bandwidth(struct tw_path_model *path, const struct tw_rate_sample *sample)
{
	uint64_t *slot = &path->bandwidth_rounds[path->round % TW_PATH_ROUNDS], best = 0;

	if (sample->delivery_rate_bps > *slot &&
	    (!sample->app_limited || sample->delivery_rate_bps > path->bandwidth_bps))
		*slot = sample->delivery_rate_bps;
	for (unsigned i = 0; i < TW_PATH_ROUNDS; i++)
		if (path->bandwidth_rounds[i] > best)
			best = path->bandwidth_rounds[i];
	path->bandwidth_bps = best;
}

/* A round's weight is its share of a second, at least a thirtieth, at most a half. */
static void end_round(struct tw_path_model *path, tw_ns now, bool app_limited)
{
	double took = (double)tw_ns_since(now, path->round_started);
	double gain = took / (double)TW_SECOND;
	uint64_t total = path->round_acked + path->round_lost;

	if (gain < 1.0 / 30)
		gain = 1.0 / 30;
	if (gain > 0.5)
		gain = 0.5;
	if (total > 0) {
		path->loss_round = (double)path->round_lost / (double)total;
		path->loss_acked = path->loss_acked * (1 - gain) + (double)path->round_acked;
		path->loss_lost = path->loss_lost * (1 - gain) + (double)path->round_lost;
		path->loss_smoothed = path->loss_lost / (path->loss_acked + path->loss_lost);
	}
	path->round_acked = path->round_lost = 0;
	path->round_started = now;
	path->round++;
	/* A round without much to send says little: keep what the oldest round knew. */
	if (app_limited)
		path->bandwidth_rounds[path->round % TW_PATH_ROUNDS] =
			path->bandwidth_rounds[(path->round + TW_PATH_ROUNDS - 1) % TW_PATH_ROUNDS];
	else
		path->bandwidth_rounds[path->round % TW_PATH_ROUNDS] = 0;
}

void tw_path_model_update(struct tw_path_model *path, const struct tw_rate_sample *sample)
{
	update_delays(path, sample);
	path->round_acked += sample->acked_bytes;
	path->round_lost += sample->lost_bytes;
	if (sample->round_start)
		end_round(path, sample->now, sample->app_limited);
	update_bandwidth(path, sample);
}

void tw_path_model_seed_rtt(struct tw_path_model *path, tw_ns rtt)
{
	if (path->rtt_known || rtt == 0)
		return;
	smooth_rtt(path, rtt);
	path->rtt_buckets[path->bucket] = tw_ns_min(path->rtt_buckets[path->bucket], rtt);
	path->rtt_min = rtt;
	path->near = rtt <= TW_PATH_NEAR;
}

tw_ns tw_path_model_pto(const struct tw_path_model *path)
{
	return path->rtt_smoothed + tw_ns_max(4 * path->rtt_variance, TW_RTT_GRANULARITY);
}

uint64_t tw_path_model_bdp(const struct tw_path_model *path)
{
	if (path->rtt_min == TW_NEVER)
		return 0;
	return tw_rate_bytes(path->bandwidth_bps, path->rtt_min);
}
