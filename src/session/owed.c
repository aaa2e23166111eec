#include "session/owed.h"

void tw_owed_init(struct tw_owed *owed)
{
	*owed = (struct tw_owed){ .cursor = 0 };
	tw_ranges_init(&owed->done, TW_OWED_RANGES_MAX);
	tw_ranges_init(&owed->lost, TW_OWED_RANGES_MAX);
	tw_ranges_init(&owed->recalled, TW_OWED_RANGES_MAX);
	tw_ranges_init(&owed->sent, TW_OWED_RANGES_MAX);
	tw_ranges_init(&owed->held, TW_OWED_RANGES_MAX);
}

void tw_owed_deinit(struct tw_owed *owed)
{
	tw_ranges_deinit(&owed->done);
	tw_ranges_deinit(&owed->lost);
	tw_ranges_deinit(&owed->recalled);
	tw_ranges_deinit(&owed->sent);
	tw_ranges_deinit(&owed->held);
}

void tw_owed_restart(struct tw_owed *owed)
{
	tw_ranges_clear(&owed->done);
	tw_ranges_clear(&owed->lost);
	tw_ranges_clear(&owed->recalled);
	owed->cursor = 0;
	owed->lost_incomplete = false;
}

static void set_done(struct tw_owed *owed, uint64_t start, uint64_t end)
{
	/* A failure here makes these bytes go once more: wasteful, not wrong. */
	(void)tw_ranges_add(&owed->done, start, end);
	if (owed->lost.count)
		(void)tw_ranges_remove(&owed->lost, start, end);
}

void tw_owed_acked(struct tw_owed *owed, uint64_t start, uint64_t end)
{
	struct tw_range gap;
	uint64_t at;

	if (!owed->recalled.count) {
		set_done(owed, start, end);
		return;
	}
	for (at = start; tw_ranges_next_gap(&owed->recalled, at, end, &gap); at = gap.end)
		set_done(owed, gap.start, gap.end);
}

void tw_owed_settled(struct tw_owed *owed, uint64_t start, uint64_t end)
{
	if (owed->recalled.count)
		(void)tw_ranges_remove(&owed->recalled, start, end);
	set_done(owed, start, end);
}

void tw_owed_held(struct tw_owed *owed, uint64_t start, uint64_t end)
{
	struct tw_range gap;
	uint64_t at;

	tw_owed_settled(owed, start, end);
	for (at = start; tw_ranges_next_gap(&owed->sent, at, end, &gap); at = gap.end)
		(void)tw_ranges_add(&owed->held, gap.start, gap.end);
}

bool tw_owed_lost(struct tw_owed *owed, uint64_t start, uint64_t end)
{
	struct tw_range gap;
	bool any = false;
	uint64_t at;

	for (at = start; tw_ranges_next_gap(&owed->done, at, end, &gap); at = gap.end) {
		if (tw_ranges_add(&owed->lost, gap.start, gap.end))
			owed->lost_incomplete = true;
		any = true;
	}
	return any;
}

void tw_owed_again(struct tw_owed *owed, uint64_t start, uint64_t end)
{
	uint64_t sent_end = end < owed->cursor ? end : owed->cursor;

	/* When it does not fit, the receiver asks once more. */
	(void)tw_ranges_add(&owed->recalled, start, sent_end);
	if (tw_ranges_remove(&owed->done, start, end)) {
		/* No room to cut a range in two: everything from here on is looked at anew. */
		uint64_t last = owed->done.count ? owed->done.at[owed->done.count - 1].end : end;

		(void)tw_ranges_remove(&owed->done, start, last);
		if (owed->cursor > start)
			owed->cursor = start;
		return;
	}
	/* What lies behind the cursor is found there. */
	if (start < sent_end && tw_ranges_add(&owed->lost, start, sent_end))
		owed->lost_incomplete = true;
}

void tw_owed_lend(struct tw_owed *owed, uint64_t start, uint64_t end, bool fresh)
{
	if (fresh)
		owed->cursor = end;
	if (owed->lost.count)
		(void)tw_ranges_remove(&owed->lost, start, end);
	if (owed->recalled.count)
		(void)tw_ranges_remove(&owed->recalled, start, end);
}

uint64_t tw_owed_sent(struct tw_owed *owed, uint64_t start, uint64_t end)
{
	uint64_t before = tw_ranges_overlap(&owed->sent, start, end);

	if (before < end - start)
		(void)tw_ranges_add(&owed->sent, start, end);
	return before;
}

uint64_t tw_owed_take(struct tw_owed *owed, uint64_t start, uint64_t end, bool fresh)
{
	tw_owed_lend(owed, start, end, fresh);
	return tw_owed_sent(owed, start, end);
}

static void rebuild_lost(struct tw_owed *owed)
{
	struct tw_range gap;
	uint64_t at;

	owed->lost_incomplete = false;
	for (at = 0; tw_ranges_next_gap(&owed->done, at, owed->cursor, &gap); at = gap.end) {
		if (tw_ranges_add(&owed->lost, gap.start, gap.end)) {
			owed->lost_incomplete = true;
			return;
		}
	}
}

bool tw_owed_next_lost(struct tw_owed *owed, uint64_t from, uint64_t limit, struct tw_range *ret)
{
	if (!owed->lost.count && owed->lost_incomplete)
		rebuild_lost(owed);
	return owed->lost.count && tw_ranges_next(&owed->lost, from, limit, ret);
}

bool tw_owed_next_fresh(const struct tw_owed *owed, uint64_t from, uint64_t limit,
			struct tw_range *ret)
{
	if (from < owed->cursor)
		from = owed->cursor;
	return from < limit && tw_ranges_next_gap(&owed->done, from, limit, ret);
}

bool tw_owed_next_open(const struct tw_owed *owed, uint64_t from, uint64_t limit,
		       struct tw_range *ret)
{
	return from < limit && tw_ranges_next_gap(&owed->done, from, limit, ret);
}
