/*
 * path.h - the model of a path that all controllers share: round-trip time (RFC 9002, 5), minimum
 * round trip over a window, one-way queueing delay, delivery rate, loss. Pure arithmetic over
 * samples.
 *
 * One-way queueing delay is the forward delay of a sample less the lowest of the last minute (in
 * six ten-second buckets, so that a drifting clock or a new route is forgotten): the return path
 * does not count. It is never taken for more than the round trip exceeds its own minimum, so that
 * clocks that drift apart do not look like a queue.
 *
 * A near path, in the same machine or the next, holds next to nothing: what is under way there lies
 * in the sockets and buffers of both ends, and once that is more than the processor's cache takes,
 * every copy of it goes through the memory.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "rate/sample.h"

#define TW_RTT_INITIAL (333 * TW_MSEC)
#define TW_RTT_GRANULARITY TW_MSEC
#define TW_PATH_BUCKETS 6
#define TW_PATH_BUCKET_SPAN (10 * TW_SECOND)
#define TW_PATH_ROUNDS 10
#define TW_PATH_RECENT 4
#define TW_PATH_NEAR TW_MSEC             /* the shortest round trip of a near path, at most */
#define TW_PATH_NEAR_STILL (4 * TW_MSEC) /* with the queue that we make there ourselves */
#define TW_PATH_NEAR_BUSY (16 * TW_MSEC) /* smoothed; beyond it the route is another by now */
/* Worth having under way on a near path: 28 Gbit/s, acknowledgements every millisecond included. */
#define TW_PATH_NEAR_BYTES (UINT64_C(4) << 20)
#define TW_DELAY_UNKNOWN INT64_MAX

struct tw_path_model {
	/* RFC 9002, 5 */
	bool rtt_known;
	tw_ns rtt_latest, rtt_smoothed, rtt_variance;
	tw_ns rtt_min; /* over the last TW_PATH_BUCKETS buckets; TW_NEVER before the first sample */
	tw_ns rtt_buckets[TW_PATH_BUCKETS];
	bool near;
	int64_t delay_base; /* lowest forward delay over the buckets; TW_DELAY_UNKNOWN before the
			       first */
	int64_t delay_buckets[TW_PATH_BUCKETS];
	tw_ns bucket_started;
	unsigned bucket;
	tw_ns queue_latest; /* one-way queueing delay of the newest sample */
	tw_ns queue_delay;  /* the lowest of half a round trip, and longer where it jitters */
	tw_ns queue_delay_smoothed;
	tw_ns queue_recent[TW_PATH_RECENT]; /* the lowest of each slot; a slot is an eighth of a
					       round trip or more */
	tw_ns queue_slot_started;
	unsigned queue_slot;
	tw_ns rises, falls; /* of queue_latest: sums that decay */
	tw_ns jitter;       /* how far a sample lies above queue_delay, smoothed */
	tw_ns route_since;  /* what was sent before says nothing about delays */
	/* delivery */
	uint64_t bandwidth_bps; /* maximum of delivery-rate samples over the last ten rounds */
	uint64_t bandwidth_rounds[TW_PATH_ROUNDS];
	uint64_t round; /* round trips counted */
	/* loss: share of bytes, smoothed over 30 rounds or 1 s, whichever is shorter, and of the
	 * last whole round */
	double loss_smoothed, loss_round;
	uint64_t round_acked, round_lost;
	tw_ns round_started;
	double loss_acked, loss_lost; /* decayed sums behind loss_smoothed, bytes */
};

void tw_path_model_init(struct tw_path_model *path, tw_ns now);
void tw_path_model_update(struct tw_path_model *path, const struct tw_rate_sample *sample);
/* A round-trip time known from elsewhere (the handshake) as the first sample. */
void tw_path_model_seed_rtt(struct tw_path_model *path, tw_ns rtt);
/* The address changed: delays and rates start anew, so that nothing learned on the old route binds
 * the new one. */
void tw_path_model_reset(struct tw_path_model *path, tw_ns now);
/* Probe timeout without the peer's acknowledgement delay: smoothed + max(4 * variance,
 * granularity). */
tw_ns tw_path_model_pto(const struct tw_path_model *path);
/* bandwidth * rtt_min in bytes; 0 while either is unknown. */
uint64_t tw_path_model_bdp(const struct tw_path_model *path);
