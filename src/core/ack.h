/*
 * ack.h - what has arrived and when to say so: the receiving half of acknowledgement.
 *
 * Remembers every packet number of the newest TW_ACK_WINDOW numbers; anything older, and anything
 * seen before, counts as a repeat and is refused: this is the replay window too. It takes memory
 * by the gaps in it: next to none on a good path, 2.3 MiB when every second packet is lost.
 *
 * Acknowledgements go out by time (about an eighth of a round trip after the first packet that
 * asks for one), in ranges, newest first. In the first round trips a sender finds its rate by how
 * its packets arrive: the very first is reported at once, and what comes fast more often. A range
 * is repeated until an acknowledgement that carried it has itself been acknowledged; a packet that
 * comes late below that point opens it again. On a path that loses packets the last one before a
 * silence goes four times: nothing comes behind it that would say the same, and losses that come in
 * bursts would take two.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ranges.h"
#include "base/time.h"
#include "wire/frame.h"

#define TW_ACK_WINDOW (UINT64_C(1) << 18)
#define TW_ACK_INTERVAL_MIN (1 * TW_MSEC)
#define TW_ACK_INTERVAL_MAX (25 * TW_MSEC)
#define TW_ACK_DELAY_MAX (2 * TW_ACK_INTERVAL_MAX) /* told to the peer */
#define TW_ACK_EARLY_PACKETS 256                   /* the first so many, and the first */
#define TW_ACK_EARLY_ROUNDS 8                      /* round trips, are reported every */
#define TW_ACK_EARLY_MIN (2 * TW_MSEC)             /* thirty-second of a round trip, at least and */
#define TW_ACK_EARLY_MAX (4 * TW_MSEC)             /* at most so long; */
#define TW_ACK_EARLY_FAST 64           /* or by so many, a millisecond apart at least; */
#define TW_ACK_EARLY_FIRST 16          /* of the first packets by so many; */
#define TW_ACK_EARLY_RTT (8 * TW_MSEC) /* on paths that are no shorter than this */
#define TW_ACK_FEW_PACKETS 8                       /* fewer than these wait for a second interval */

struct tw_ack_tracker {
	struct tw_ranges received;
	uint64_t floor;       /* numbers below count as seen */
	uint64_t report_from; /* numbers below need not be reported again */
	uint64_t largest;
	tw_ns largest_at;
	bool any;
	uint64_t total;   /* packets taken in */
	uint64_t waiting; /* packets that ask for an acknowledgement and have none yet */
	tw_ns started_at; /* when the first packet came */
	tw_ns first_waiting_at;
	bool now;         /* do not wait for the interval */
	unsigned repeats; /* of the newest acknowledgement, while nothing new comes */
	tw_ns sent_at;    /* when it left last */
};

void tw_ack_tracker_init(struct tw_ack_tracker *tracker);
void tw_ack_tracker_deinit(struct tw_ack_tracker *tracker);
/* True for a number that is new and inside the window. */
bool tw_ack_tracker_fresh(const struct tw_ack_tracker *tracker, uint64_t packet_number);
/* Takes it in. -ENOMEM: treat the packet as not received. */
int tw_ack_tracker_add(struct tw_ack_tracker *tracker, uint64_t packet_number, bool elicits,
		       tw_ns now);
/* When the next acknowledgement is due; TW_NEVER: there is nothing to say. */
tw_ns tw_ack_tracker_due(const struct tw_ack_tracker *tracker, tw_ns rtt);
/* Fills @ret with what there is to report; false: nothing was ever received. */
bool tw_ack_tracker_frame(const struct tw_ack_tracker *tracker, tw_ns now,
			  struct tw_ack_frame *ret);
/* The frame was sent. */
void tw_ack_tracker_sent(struct tw_ack_tracker *tracker, tw_ns now);
/* An acknowledgement that reported everything from report_from up to @largest has arrived at the
 * peer. */
void tw_ack_tracker_confirmed(struct tw_ack_tracker *tracker, uint64_t largest);
