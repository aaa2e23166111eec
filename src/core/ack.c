#include "core/ack.h"

/* Old numbers are forgotten in strides, so that the array moves rarely. */
#define FORGET_STRIDE (TW_ACK_WINDOW / 8)
#define REPEATS 3
#define REPEATS_FLOW TW_SECOND /* since the acknowledgement before */
/* Every second number of all that is remembered, and one far ahead: there cannot be more. */
#define RANGES_MAX ((TW_ACK_WINDOW + FORGET_STRIDE) / 2 + 2)

void tw_ack_tracker_init(struct tw_ack_tracker *tracker)
{
	*tracker = (struct tw_ack_tracker){ 0 };
	tw_ranges_init(&tracker->received, RANGES_MAX);
}

void tw_ack_tracker_deinit(struct tw_ack_tracker *tracker)
{
	tw_ranges_deinit(&tracker->received);
}

bool tw_ack_tracker_fresh(const struct tw_ack_tracker *tracker, uint64_t packet_number)
{
	if (packet_number < tracker->floor)
		return false;
	return !tw_ranges_contain(&tracker->received, packet_number, packet_number + 1);
}

static void forget(struct tw_ack_tracker *tracker, uint64_t below)
{
	if (below <= tracker->floor)
		return;
	/* Cutting at the low end never makes a range more. */
	(void)tw_ranges_remove(&tracker->received, 0, below);
	tracker->floor = below;
	if (tracker->report_from < below)
		tracker->report_from = below;
}

int tw_ack_tracker_add(struct tw_ack_tracker *tracker, uint64_t packet_number, bool elicits,
		       tw_ns now)
{
	if (packet_number < tracker->floor)
		return 0;
	int error = tw_ranges_add(&tracker->received, packet_number, packet_number + 1);
	if (error)
		return error;
	if (!tracker->any || packet_number > tracker->largest) {
		tracker->largest = packet_number;
		tracker->largest_at = now;
		tracker->any = true;
		if (packet_number > tracker->floor + TW_ACK_WINDOW + FORGET_STRIDE)
			forget(tracker, packet_number - TW_ACK_WINDOW);
	}
	if (packet_number < tracker->report_from)
		tracker->report_from = packet_number;
	if (tracker->total++ == 0)
		tracker->started_at = now;
	if (elicits) {
		if (tracker->waiting++ == 0)
			tracker->first_waiting_at = now;
	}
	return 0;
}

static bool is_early(const struct tw_ack_tracker *tracker, tw_ns rtt)
{
	return tracker->total < TW_ACK_EARLY_PACKETS ||
	       tw_ns_since(tracker->first_waiting_at, tracker->started_at) <
		       TW_ACK_EARLY_ROUNDS * rtt;
}

static tw_ns early_interval(const struct tw_ack_tracker *tracker, tw_ns rtt)
{
	unsigned fast =
		tracker->total < TW_ACK_EARLY_PACKETS ? TW_ACK_EARLY_FIRST : TW_ACK_EARLY_FAST;

	if (rtt >= TW_ACK_EARLY_RTT && tracker->total == 1)
		return 0;
	if (rtt >= TW_ACK_EARLY_RTT && tracker->waiting >= fast)
		return TW_ACK_INTERVAL_MIN;
	return tw_ns_min(tw_ns_max(rtt / 32, TW_ACK_EARLY_MIN), TW_ACK_EARLY_MAX);
}

tw_ns tw_ack_tracker_due(const struct tw_ack_tracker *tracker, tw_ns rtt)
{
	if (tracker->now)
		return 0;
	if (!tracker->waiting && !tracker->repeats)
		return TW_NEVER;
	tw_ns interval = tw_ns_min(tw_ns_max(rtt / 8, TW_ACK_INTERVAL_MIN), TW_ACK_INTERVAL_MAX);
	if (!tracker->waiting)
		return tracker->sent_at + interval;
	if (is_early(tracker, rtt))
		interval = tw_ns_min(interval, early_interval(tracker, rtt));
	else if (tracker->waiting < TW_ACK_FEW_PACKETS)
		interval *= 2;
	return tracker->first_waiting_at + interval;
}

bool tw_ack_tracker_frame(const struct tw_ack_tracker *tracker, tw_ns now, struct tw_ack_frame *ret)
{
	if (!tracker->any || !tracker->received.count)
		return false;
	ret->largest = tracker->largest;
	ret->receive_time_us = (tracker->largest_at / TW_USEC) & ((UINT64_C(1) << 48) - 1);
	ret->delay_us = tw_ns_since(now, tracker->largest_at) / TW_USEC;
	size_t count = 0;
	for (size_t i = tracker->received.count; i > 0 && count < TW_ACK_RANGES_MAX; i--) {
		const struct tw_range *range = &tracker->received.at[i - 1];
		if (count && range->end <= tracker->report_from)
			break;
		ret->ranges[count++] = *range;
	}
	ret->range_count = count;
	return true;
}

void tw_ack_tracker_sent(struct tw_ack_tracker *tracker, tw_ns now)
{
	/* Keep-alives, far between, are no flow whose end would matter. */
	bool losing =
		tracker->received.count > 1 && tw_ns_since(now, tracker->sent_at) < REPEATS_FLOW;

	if (tracker->waiting)
		tracker->repeats = losing ? REPEATS : 0;
	else if (tracker->repeats)
		tracker->repeats--;
	tracker->sent_at = now;
	tracker->waiting = 0;
	tracker->now = false;
}

void tw_ack_tracker_confirmed(struct tw_ack_tracker *tracker, uint64_t largest)
{
	if (largest + 1 > tracker->report_from && largest <= tracker->largest)
		tracker->report_from = largest + 1;
	if (largest >= tracker->largest)
		tracker->repeats = 0;
}
