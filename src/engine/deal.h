/*
 * deal.h - a total dealt out to the workers, by need, some times a second.
 *
 * Who uses most of his part could use more, who does not needs what he uses and some room to grow;
 * of workers that go short each gets as much for every connection that has something to do
 * (rate/share.h). A small part of the total is kept for those who have nothing to do, so that
 * whoever begins there has something to begin with. The parts never add up to more than the total:
 * where it takes a while until a smaller part is kept to, because peers have to be told, what is
 * given up goes to nobody until then.
 */
#pragma once

#include "base/time.h"

#define TW_DEAL_MAX 64

struct tw_deal {
	/* What is so: */
	uint64_t used_bps;
	unsigned active; /* connections that have something to do */
	tw_ns settle;    /* how long it takes until a smaller part is kept to */
	/* What was dealt; UINT64_MAX at first: no limit. */
	uint64_t part_bps;
	uint64_t before_bps; /* the part before it, which may be in use until: */
	tw_ns settled_at;
};

/* Gives all @count, at most TW_DEAL_MAX, their parts. @total_bps UINT64_MAX: no limit. */
void tw_deal_out(uint64_t total_bps, struct tw_deal *deals, unsigned count, tw_ns now);
