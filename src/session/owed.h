/*
 * owed.h - what of the tape a sender still owes. Everything below the cursor has been sent over
 * this connection, is done, or is lost; what lies behind it is fresh. Lost bytes are never done.
 * Sets are capped: a set of done ranges that is full only makes some bytes go twice, and a full set
 * of lost ranges is rebuilt from the done ones when it has run empty.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/ranges.h"

#define TW_OWED_RANGES_MAX ((size_t)1 << 20)

struct tw_owed {
	struct tw_ranges done; /* at the receiver, held by it, or never to be sent */
	struct tw_ranges lost;
	/* Thrown away by the receiver: acknowledgements of the copy that it had count no more. */
	struct tw_ranges recalled;
	struct tw_ranges sent; /* ever on the wire, over any connection */
	struct tw_ranges held; /* told by the receiver and never sent by us */
	uint64_t cursor;
	bool lost_incomplete;
};

void tw_owed_init(struct tw_owed *owed);
void tw_owed_deinit(struct tw_owed *owed);
/* A new connection: nothing is known of the receiver until it tells. */
void tw_owed_restart(struct tw_owed *owed);

/* A copy has arrived. */
void tw_owed_acked(struct tw_owed *owed, uint64_t start, uint64_t end);
/* Need not be sent any more, whatever became of its copies. */
void tw_owed_settled(struct tw_owed *owed, uint64_t start, uint64_t end);
void tw_owed_held(struct tw_owed *owed, uint64_t start, uint64_t end);
/* Returns whether anything of it has to be sent again. */
bool tw_owed_lost(struct tw_owed *owed, uint64_t start, uint64_t end);
/* The receiver threw it away. */
void tw_owed_again(struct tw_owed *owed, uint64_t start, uint64_t end);
/* [start, end) goes on the wire; @fresh: from the cursor. Returns how many of its bytes had been
 * there before. */
uint64_t tw_owed_take(struct tw_owed *owed, uint64_t start, uint64_t end, bool fresh);

/*
 * The same in two steps, for what somebody else is to send: it is owed by nobody from now on; so
 * much of it has gone on the wire.
 */
void tw_owed_lend(struct tw_owed *owed, uint64_t start, uint64_t end, bool fresh);
uint64_t tw_owed_sent(struct tw_owed *owed, uint64_t start, uint64_t end);

/* The first lost stretch in [from, limit). */
bool tw_owed_next_lost(struct tw_owed *owed, uint64_t from, uint64_t limit, struct tw_range *ret);
/* The first fresh stretch in [from, limit), from the cursor on. */
bool tw_owed_next_fresh(const struct tw_owed *owed, uint64_t from, uint64_t limit,
			struct tw_range *ret);
/* The first stretch in [from, limit) that is not done. */
bool tw_owed_next_open(const struct tw_owed *owed, uint64_t from, uint64_t limit,
		       struct tw_range *ret);
