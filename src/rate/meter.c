#include "rate/meter.h"

#include <assert.h>

#define MOMENT 16 /* bytes behind a pause came within this part of a step */

static const struct tw_meter_point *point(const struct tw_meter *meter, uint64_t back)
{
	return &meter->points[(meter->count - 1 - back) % TW_METER_POINTS];
}

static void keep(struct tw_meter *meter, tw_ns at, uint64_t bytes)
{
	meter->points[meter->count++ % TW_METER_POINTS] = (struct tw_meter_point){ at, bytes };
}

static tw_ns step(const struct tw_meter *meter)
{
	return meter->window / TW_METER_STEPS;
}

void tw_meter_init(struct tw_meter *meter, tw_ns window, tw_ns now)
{
	assert(window > 0);
	*meter = (struct tw_meter){ .window = window, .last = { now, 0 } };
	keep(meter, now, 0);
}

void tw_meter_set_window(struct tw_meter *meter, tw_ns window)
{
	assert(window > 0);
	meter->window = window;
}

void tw_meter_note(struct tw_meter *meter, uint64_t bytes, tw_ns now)
{
	if (bytes == meter->last.bytes)
		return;
	/* Behind a pause: not all along it. */
	if (tw_ns_since(now, meter->last.at) > step(meter)) {
		keep(meter, meter->last.at, meter->last.bytes);
		keep(meter, now - step(meter) / MOMENT, meter->last.bytes);
	}
	meter->last = (struct tw_meter_point){ now, bytes };
	if (tw_ns_since(now, point(meter, 0)->at) >= step(meter))
		keep(meter, now, bytes);
}

/* Where the counter stood at @at. */
static double standing(const struct tw_meter *meter, tw_ns at)
{
	struct tw_meter_point after = meter->last;

	if (at >= after.at)
		return (double)after.bytes;
	for (uint64_t back = 0; back < meter->count && back < TW_METER_POINTS; back++) {
		const struct tw_meter_point *before = point(meter, back);

		if (before->at <= at) {
			double share = (double)(at - before->at) / (double)(after.at - before->at);

			return (double)before->bytes +
			       share * (double)(after.bytes - before->bytes);
		}
		after = *before;
	}
	return (double)after.bytes;
}

uint64_t tw_meter_bps(const struct tw_meter *meter, tw_ns now)
{
	double before = standing(meter, tw_ns_since(now, meter->window));

	return (uint64_t)(((double)meter->last.bytes - before) * 8.0 * (double)TW_SECOND /
			  (double)meter->window);
}
