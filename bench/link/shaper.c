#include "shaper.h"

#include <string.h>

#define NS_PER_SECOND UINT64_C(1000000000)
/* Even a link without delay has some buffer: a queue "of one bdp" is never smaller than this. */
#define BDP_BYTES_MIN 65536.0

void link_shaper_init(struct link_shaper *shaper, uint64_t seed)
{
	memset(shaper, 0, sizeof(*shaper));
	shaper->random.state = seed;
}

double link_shape_queue_bytes(const struct link_shape *shape, double round_trip_ns)
{
	double bytes = shape->queue;

	if (shape->queue_unit == LINK_QUEUE_NS) {
		bytes = shape->queue * shape->rate_bps / 8e9;
	} else if (shape->queue_unit == LINK_QUEUE_BDP) {
		bytes = shape->queue * shape->rate_bps * round_trip_ns / 8e9;
		if (bytes < BDP_BYTES_MIN)
			bytes = BDP_BYTES_MIN;
	}
	return bytes;
}

void link_shaper_set(struct link_shaper *shaper, const struct link_shape *shape,
		     double round_trip_ns)
{
	if (shaper->shape.loss != shape->loss || shaper->shape.burst != shape->burst)
		link_loss_set(&shaper->loss, shape->loss, shape->burst);
	if (shaper->rate_bps != (uint64_t)shape->rate_bps)
		shaper->remainder = 0;
	shaper->shape = *shape;
	shaper->rate_bps = (uint64_t)shape->rate_bps;
	shaper->queue_bytes_limit = link_shape_queue_bytes(shape, round_trip_ns);
}

static double queue_bytes(const struct link_shaper *shaper, int64_t now)
{
	if (shaper->free_at <= now)
		return 0.0;
	return (double)(shaper->free_at - now) * (double)shaper->rate_bps / 8e9;
}

uint64_t link_shaper_queue_bytes(const struct link_shaper *shaper, int64_t now)
{
	return (uint64_t)queue_bytes(shaper, now);
}

/* Puts a frame behind what waits already. False: the queue is full. */
static bool transmit(struct link_shaper *shaper, int64_t now, size_t frame_bytes)
{
	double waiting = queue_bytes(shaper, now);
	uint64_t scaled;

	if (shaper->rate_bps == 0) {
		shaper->free_at = now;
		return true;
	}
	if (waiting > 0.0 && waiting + (double)frame_bytes > shaper->queue_bytes_limit)
		return false;
	if (shaper->free_at < now) {
		shaper->free_at = now;
		shaper->remainder = 0;
	}
	scaled = (uint64_t)frame_bytes * 8 * NS_PER_SECOND + shaper->remainder;
	shaper->free_at += (int64_t)(scaled / shaper->rate_bps);
	shaper->remainder = scaled % shaper->rate_bps;
	waiting += (double)frame_bytes;
	if (waiting > (double)shaper->counts.queue_bytes_max)
		shaper->counts.queue_bytes_max = (uint64_t)waiting;
	return true;
}

/* When a packet that left the transmitter at free_at reaches the other side. */
static int64_t line_time(struct link_shaper *shaper)
{
	const struct link_shape *shape = &shaper->shape;
	int64_t due = shaper->free_at + (int64_t)shape->delay_ns;

	if (shape->jitter_ns > 0.0) {
		due += (int64_t)((2.0 * link_random_unit(&shaper->random) - 1.0) *
				 shape->jitter_ns);
		if (due < shaper->free_at)
			due = shaper->free_at;
	}
	if (link_random_chance(&shaper->random, shape->reorder)) {
		shaper->counts.reordered++;
		return due + (int64_t)shape->reorder_ns;
	}
	if (shape->jitter_reorders == 0.0 && due < shaper->last_due)
		due = shaper->last_due;
	shaper->last_due = due;
	return due;
}

struct link_fate link_shaper_admit(struct link_shaper *shaper, int64_t now, size_t ip_bytes)
{
	const struct link_shape *shape = &shaper->shape;
	struct link_counts *counts = &shaper->counts;
	struct link_fate fate = { 0 };

	counts->packets_in++;
	counts->bytes_in += ip_bytes + LINK_FRAME_OVERHEAD;
	if (shape->down != 0.0) {
		counts->dropped_down++;
		return fate;
	}
	if (!transmit(shaper, now, ip_bytes + LINK_FRAME_OVERHEAD)) {
		counts->dropped_queue++;
		return fate;
	}
	if (link_loss_draw(&shaper->loss, &shaper->random)) {
		counts->dropped_loss++;
		return fate;
	}
	if (shape->mtu_drop > 0.0 && (double)ip_bytes > shape->mtu_drop) {
		counts->dropped_mtu++;
		return fate;
	}
	fate.due = line_time(shaper);
	fate.copies = 1;
	if (link_random_chance(&shaper->random, shape->duplicate)) {
		counts->duplicated++;
		fate.copies = 2;
	}
	if (link_random_chance(&shaper->random, shape->corrupt)) {
		counts->corrupted++;
		fate.corrupt = true;
	}
	return fate;
}
