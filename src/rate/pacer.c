#include "rate/pacer.h"

#include <assert.h>

#include "rate/units.h"

#define BURST_SPAN TW_MSEC /* what a late timer may catch up */
#define TRAIN_SHIFT_MAX 6
#define WAKE_TRAINS 2
#define LEAD_PAUSE 8 /* times what a lead is ahead, at most */

/*
 * A token bucket told by one instant: at @paid_until it is full. Before, what is missing is the
 * debt.
 */
static uint64_t burst_bytes(const struct tw_pacer *pacer)
{
	uint64_t span = tw_rate_bytes(pacer->rate_bps, BURST_SPAN) >> pacer->train_shift;
	uint64_t least = (uint64_t)pacer->train_bytes + pacer->datagram_bytes;

	return span > least ? span : least;
}

/*
 * The least worth waking up for: half a train in whole datagrams, so that a train lasts half a span
 * to a span.
 */
static uint64_t threshold_bytes(const struct tw_pacer *pacer)
{
	uint64_t half = pacer->train_bytes / 2 / pacer->datagram_bytes * pacer->datagram_bytes;

	return half > pacer->datagram_bytes ? half : pacer->datagram_bytes;
}

static void size_train(struct tw_pacer *pacer)
{
	uint64_t bytes = tw_rate_bytes(pacer->rate_bps, BURST_SPAN);

	if (bytes > TW_TRAIN_BYTES_MAX)
		bytes = TW_TRAIN_BYTES_MAX;
	bytes >>= pacer->train_shift;
	bytes = bytes / pacer->datagram_bytes * pacer->datagram_bytes;
	if (bytes < pacer->datagram_bytes)
		bytes = pacer->datagram_bytes;
	pacer->train_bytes = (uint32_t)bytes;
}

/*
 * What to wake up for: all that a span earns, or two trains on paths where that is more. Waking up
 * costs more than a train; who comes by earlier may take half of one.
 */
static uint64_t wake_bytes(const struct tw_pacer *pacer)
{
	uint64_t span = tw_rate_bytes(pacer->rate_bps, BURST_SPAN) >> pacer->train_shift;

	if (span > WAKE_TRAINS * (uint64_t)TW_TRAIN_BYTES_MAX)
		span = WAKE_TRAINS * (uint64_t)TW_TRAIN_BYTES_MAX;
	span = span / pacer->datagram_bytes * pacer->datagram_bytes;
	return span > threshold_bytes(pacer) ? span : threshold_bytes(pacer);
}

void tw_pacer_init(struct tw_pacer *pacer, uint64_t rate_bps, uint32_t datagram_bytes)
{
	assert(datagram_bytes > 0);
	*pacer = (struct tw_pacer){ .rate_bps = rate_bps > 0 ? rate_bps : 1,
				    .datagram_bytes = datagram_bytes };
	size_train(pacer);
}

/* How far back credit reaches. */
static tw_ns catch_up(const struct tw_pacer *pacer)
{
	tw_ns span;

	assert(pacer->rate_bps > 0);
	span = tw_ns_min(TW_PACER_CATCH_UP, tw_rate_time(pacer->rate_bps, TW_PACER_CATCH_UP_BYTES));
	/* A lead is there to be seen apart: nothing comes on top of it. */
	return pacer->lead_bytes > 0 ? 0 : span >> pacer->train_shift;
}

static void change_rate(struct tw_pacer *pacer, uint64_t rate_bps, tw_ns now)
{
	tw_ns left = tw_ns_since(pacer->paid_until, now);

	if (rate_bps == pacer->rate_bps)
		return;
	if (left > 0) {
		uint64_t debt = tw_rate_bytes(pacer->rate_bps, left) + 1;

		pacer->paid_until = tw_ns_add(now, tw_rate_time(rate_bps, debt));
	} else if (pacer->paid_until > 0) {
		/* Credit is bytes at the rate it was missed at. */
		tw_ns missed = tw_ns_min(now - pacer->paid_until, catch_up(pacer));
		uint64_t bytes = tw_rate_bytes(pacer->rate_bps, missed);

		pacer->paid_until = tw_ns_since(now, tw_rate_time(rate_bps, bytes));
	}
	pacer->rate_bps = rate_bps;
	size_train(pacer);
}

/*
 * What the lead was ahead of its own rate is owed. A first flight is so much faster than what comes
 * behind it that this would be a pause of half a round trip, in which nothing shows what it has
 * left in the queue.
 */
static void end_lead(struct tw_pacer *pacer, tw_ns now)
{
	tw_ns left = tw_ns_since(pacer->paid_until, now);

	pacer->lead_bytes = 0;
	change_rate(pacer, pacer->body_bps, now);
	pacer->paid_until = tw_ns_min(pacer->paid_until, tw_ns_add(now, LEAD_PAUSE * left));
}

void tw_pacer_set_rate(struct tw_pacer *pacer, uint64_t rate_bps, tw_ns now)
{
	if (rate_bps == 0)
		rate_bps = 1;
	pacer->body_bps = rate_bps;
	if (pacer->lead_bytes == 0)
		change_rate(pacer, rate_bps, now);
	else if (now >= pacer->lead_until || rate_bps >= pacer->rate_bps)
		end_lead(pacer, now);
}

void tw_pacer_lead(struct tw_pacer *pacer, uint64_t bytes, uint64_t lead_bps, tw_ns now)
{
	if (bytes == 0 || lead_bps <= pacer->rate_bps)
		return;
	if (pacer->lead_bytes == 0)
		pacer->body_bps = pacer->rate_bps;
	pacer->lead_bytes = bytes;
	pacer->lead_span = tw_ns_add(2 * tw_rate_time(lead_bps, bytes), BURST_SPAN);
	pacer->lead_until = TW_NEVER;
	change_rate(pacer, lead_bps, now);
}

void tw_pacer_set_datagram(struct tw_pacer *pacer, uint32_t datagram_bytes)
{
	assert(datagram_bytes > 0);
	pacer->datagram_bytes = datagram_bytes;
	size_train(pacer);
}

size_t tw_pacer_allowance(const struct tw_pacer *pacer, tw_ns now)
{
	tw_ns left = tw_ns_since(pacer->paid_until, now);
	uint64_t burst = burst_bytes(pacer), debt = 0, free_bytes;

	if (left > 0)
		debt = tw_rate_bytes(pacer->rate_bps, left) + 1;
	if (debt >= burst)
		return 0;
	free_bytes = burst - debt;
	if (free_bytes < threshold_bytes(pacer))
		return 0;
	if (free_bytes > pacer->train_bytes)
		free_bytes = pacer->train_bytes;
	return (size_t)(free_bytes / pacer->datagram_bytes * pacer->datagram_bytes);
}

tw_ns tw_pacer_next(const struct tw_pacer *pacer, tw_ns now)
{
	/* One byte less than what may stay owed covers the rounding in tw_pacer_allowance(). */
	uint64_t owed = burst_bytes(pacer) - wake_bytes(pacer);
	tw_ns credit =
		owed > 1
			? (tw_ns)((unsigned __int128)(owed - 1) * (8 * TW_SECOND) / pacer->rate_bps)
			: 0;
	tw_ns at = tw_ns_since(pacer->paid_until, credit);

	return tw_ns_max(at, now);
}

void tw_pacer_spent(struct tw_pacer *pacer, tw_ns now, size_t bytes)
{
	tw_ns from = tw_ns_max(pacer->paid_until, tw_ns_since(now, catch_up(pacer)));

	/* Before the first byte there was nothing to miss. */
	if (pacer->paid_until == 0)
		from = now;
	pacer->paid_until = tw_ns_add(from, tw_rate_time(pacer->rate_bps, bytes));
	if (pacer->lead_bytes == 0)
		return;
	if (pacer->lead_until == TW_NEVER)
		pacer->lead_until = tw_ns_add(now, pacer->lead_span);
	if (bytes >= pacer->lead_bytes || now >= pacer->lead_until)
		end_lead(pacer, now);
	else
		pacer->lead_bytes -= bytes;
}

void tw_pacer_train_lost(struct tw_pacer *pacer)
{
	if (pacer->train_shift < TRAIN_SHIFT_MAX && pacer->train_bytes > pacer->datagram_bytes) {
		pacer->train_shift++;
		size_train(pacer);
	}
}

void tw_pacer_round_quiet(struct tw_pacer *pacer)
{
	if (pacer->train_shift > 0) {
		pacer->train_shift--;
		size_train(pacer);
	}
}
