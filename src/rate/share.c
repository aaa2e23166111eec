#include "rate/share.h"

#include <stdbool.h>

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The part of one at a water level: below the level of all needs, or above it. */
static uint64_t part(const struct tw_share *share, uint64_t level, bool above)
{
	uint64_t need = lesser(share->need_bps, share->most_bps);

	if (!above)
		return lesser(need, level);
	return lesser(share->most_bps, need > level ? need : level);
}

static bool fits(uint64_t total, const struct tw_share *shares, size_t count, uint64_t level,
		 bool above)
{
	unsigned __int128 sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += part(&shares[i], level, above);
	return sum <= total;
}

void tw_share_divide(uint64_t total_bps, struct tw_share *shares, size_t count)
{
	/* Above: every need is met (level 0 leaves exactly the needs). */
	bool above = fits(total_bps, shares, count, 0, true);
	uint64_t low = 0, high = total_bps;

	if (total_bps == UINT64_MAX) {
		for (size_t i = 0; i < count; i++)
			shares[i].part_bps = shares[i].most_bps;
		return;
	}
	while (low < high) {
		uint64_t middle = low + (high - low) / 2 + 1;

		if (fits(total_bps, shares, count, middle, above))
			low = middle;
		else
			high = middle - 1;
	}
	for (size_t i = 0; i < count; i++)
		shares[i].part_bps = part(&shares[i], low, above);
}
