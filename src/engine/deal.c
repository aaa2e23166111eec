#include "engine/deal.h"

#include <assert.h>
#include <stdbool.h>

#include "rate/share.h"

#define KEPT_PART 64    /* of the total, for those who have nothing to do */
#define HUNGRY_TENTHS 8 /* of its part, from which on a worker could use more */
#define WEIGHT_MAX 16   /* claims that one worker makes */

static bool is_new(const struct tw_deal *deal)
{
	return deal->part_bps == UINT64_MAX;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t need(const struct tw_deal *deal, uint64_t total_bps, unsigned count)
{
	if (!deal->active)
		return deal->used_bps;
	if (is_new(deal) || deal->used_bps / HUNGRY_TENTHS >= deal->part_bps / 10)
		return UINT64_MAX;
	return deal->used_bps + deal->used_bps / 4 + total_bps / 8 / count;
}

/* Claims are whole: of workers with very many connections they are in proportion. */
static unsigned weight(const struct tw_deal *deal, unsigned most)
{
	uint64_t scaled = deal->active;

	if (most > WEIGHT_MAX)
		scaled = scaled * WEIGHT_MAX / most;
	return scaled ? (unsigned)scaled : 1;
}

/* What would be just now, apart from what is still in use elsewhere. */
static void divide(uint64_t total_bps, const struct tw_deal *deals, unsigned count, uint64_t *ret)
{
	struct tw_share shares[TW_DEAL_MAX * WEIGHT_MAX];
	unsigned weights[TW_DEAL_MAX], most = 0, used = 0, at = 0;
	uint64_t kept = count > 1 ? total_bps / KEPT_PART / count : 0;

	for (unsigned i = 0; i < count; i++)
		most = deals[i].active > most ? deals[i].active : most;
	for (unsigned i = 0; i < count; i++) {
		uint64_t needed = need(&deals[i], total_bps, count);

		weights[i] = weight(&deals[i], most);
		for (unsigned k = 0; k < weights[i]; k++)
			shares[used++] = (struct tw_share){
				.need_bps = needed == UINT64_MAX ? needed : needed / weights[i],
				.most_bps = UINT64_MAX,
			};
	}
	tw_share_divide(total_bps - kept * count, shares, used);
	for (unsigned i = 0; i < count; i++) {
		ret[i] = kept;
		for (unsigned k = 0; k < weights[i]; k++)
			ret[i] += shares[at++].part_bps;
	}
}

/* Of the total, what it may be using still. Without a part what it does use is all we know. */
static uint64_t spoken_for(const struct tw_deal *deal, tw_ns now)
{
	uint64_t most = deal->part_bps;

	if (now < deal->settled_at)
		most = greater(most, deal->before_bps);
	return most == UINT64_MAX ? deal->used_bps : most;
}

static void set_part(struct tw_deal *deal, uint64_t part_bps, tw_ns now)
{
	if (part_bps < deal->part_bps && deal->settle) {
		/* Smaller and smaller: the first of them counts until the last is kept to. */
		deal->before_bps = spoken_for(deal, now);
		deal->settled_at = tw_ns_add(now, deal->settle);
	}
	deal->part_bps = part_bps;
}

void tw_deal_out(uint64_t total_bps, struct tw_deal *deals, unsigned count, tw_ns now)
{
	uint64_t just[TW_DEAL_MAX], spoken = 0, room;

	assert(count <= TW_DEAL_MAX);
	if (total_bps == UINT64_MAX || count == 1) {
		for (unsigned i = 0; i < count; i++)
			deals[i].part_bps = total_bps;
		return;
	}
	divide(total_bps, deals, count, just);
	/* First those who lose. */
	for (unsigned i = 0; i < count; i++) {
		if (just[i] < deals[i].part_bps)
			set_part(&deals[i], just[i], now);
		spoken += spoken_for(&deals[i], now);
	}
	room = total_bps > spoken ? total_bps - spoken : 0;
	for (unsigned i = 0; i < count; i++) {
		uint64_t gain = just[i] - deals[i].part_bps;

		gain = gain < room ? gain : room;
		/* Small gains are not worth disturbing anybody. */
		if (gain <= deals[i].part_bps / 32)
			continue;
		deals[i].part_bps += gain;
		room -= gain;
	}
}
