/*
 * pacer.h - spreads a connection's datagrams evenly over time.
 *
 * Promise: over any interval t, at most rate * t + burst + catch-up leaves, when the caller spends
 * no more than it was allowed. Debt is carried. Credit beyond a burst is kept for
 * TW_PACER_CATCH_UP, at most TW_PACER_CATCH_UP_BYTES: a machine with more to do than processors
 * wakes its programs up some milliseconds late, again and again, and without catching up a sender
 * would fall to a fraction of its rate. What is older is lost, so an idle connection cannot save up
 * a flood. Knows nothing of acknowledgements; the rate is set from outside.
 *
 * A train is rate * 0.5 to 1 ms in whole datagrams, between one datagram and the most a train can
 * hold. The burst is what a late timer may catch up: rate * 1 ms, at least a train and a datagram;
 * above what one train holds it is several trains one after another. Who sleeps is woken for a
 * burst, or for two trains on paths where that is less: waking costs more than sending. Trains that
 * lose several datagrams at once halve train, burst and catch-up (tw_pacer_train_lost), quiet
 * rounds let them grow again.
 *
 * A lead is a number of bytes that leave at a rate of their own before the set rate holds again;
 * the promise holds for whichever rate is in force.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

#define TW_PACER_CATCH_UP (8 * TW_MSEC)
#define TW_PACER_CATCH_UP_BYTES (UINT64_C(1) << 20)
#define TW_TRAIN_BYTES_MAX 65000 /* one GSO send: below 65507 with room for the last segment */

struct tw_pacer {
	uint64_t rate_bps;
	uint32_t datagram_bytes;
	uint32_t train_bytes; /* length of a train now; at least one datagram */
	uint32_t train_shift; /* how many times losses inside a train have halved it */
	tw_ns paid_until;     /* everything handed out so far is paid for at this time */
	uint64_t lead_bytes;  /* left of the lead, which is what rate_bps is of; 0: none */
	tw_ns lead_span;      /* how long it may take, from its first byte on */
	tw_ns lead_until;     /* what has not left by then leaves at body_bps */
	uint64_t body_bps;    /* during a lead: the rate after it */
};

void tw_pacer_init(struct tw_pacer *pacer, uint64_t rate_bps, uint32_t datagram_bytes);
/*
 * In effect at once, or behind the lead that is under way: debt is carried over at the new rate;
 * that of a lead is over after eight times what it was ahead.
 */
void tw_pacer_set_rate(struct tw_pacer *pacer, uint64_t rate_bps, tw_ns now);
/* The next @bytes leave at @lead_bps; within twice the time that takes, or not all as a lead. */
void tw_pacer_lead(struct tw_pacer *pacer, uint64_t bytes, uint64_t lead_bps, tw_ns now);
void tw_pacer_set_datagram(struct tw_pacer *pacer, uint32_t datagram_bytes);
/*
 * How many bytes may leave at @now: a train, or less while paying. 0: nothing yet, ask again at
 * tw_pacer_next().
 */
size_t tw_pacer_allowance(const struct tw_pacer *pacer, tw_ns now);
tw_ns tw_pacer_next(const struct tw_pacer *pacer, tw_ns now);
void tw_pacer_spent(struct tw_pacer *pacer, tw_ns now, size_t bytes);
/* Several datagrams of one train were lost together: shorter trains. */
void tw_pacer_train_lost(struct tw_pacer *pacer);
/* A round without such a loss. */
void tw_pacer_round_quiet(struct tw_pacer *pacer);
