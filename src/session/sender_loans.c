/*
 * sender_loans.c - stretches of the tape that lanes send. A loan is part of one loaded block, which
 * stays as it is until the loan is over, whatever becomes of the transfer meanwhile.
 */
#include <assert.h>

#include "session/outgoing_private.h"
#include "session/sender_private.h"

bool tw_sender_loan_find(struct tw_sender *sender, uint64_t most, struct tw_range *ret)
{
	const struct tw_sender_run *run = &sender->run;

	/* From now on it says when there is something again. */
	if (!sender->answered || sender->finished || !tw_sender_run_owed(sender) ||
	    run->start >= sender->ready) {
		sender->starved = true;
		return false;
	}
	/* Nothing goes over a lane before the receiver is ready for it. */
	ret->start = run->start;
	ret->end = run->end < sender->ready ? run->end : sender->ready;
	if (ret->end - ret->start > most)
		ret->end = ret->start + most;
	return true;
}

const uint8_t *tw_sender_loan_take(struct tw_sender *sender, const struct tw_range *range,
				   struct tw_sender_block **ret_block)
{
	struct tw_sender_run *run = &sender->run;
	struct tw_sender_block *block = run->block;

	assert(range->start == run->start && range->end <= run->end);
	block->loans++;
	sender->loans++;
	sender->sent_at = sender->now;
	if (!tw_ranges_overlap(&sender->owed.recalled, range->start, range->end))
		tw_sender_tail_taken(sender, run->kind, range->start, range->end);
	tw_owed_lend(&sender->owed, range->start, range->end, run->kind == TW_RUN_FRESH);
	/* The main connection may be in the middle of it: it looks anew. */
	tw_sender_run_reset(sender);
	tw_sender_blocks_pump(sender);
	*ret_block = block;
	return block->bytes + (range->start - block->start);
}

void tw_sender_loan_sent(struct tw_sender *sender, uint64_t start, uint64_t end, uint64_t pieces)
{
	uint64_t again;

	if (start == end)
		return;
	again = tw_owed_sent(&sender->owed, start, end);
	sender->bytes_sent += end - start;
	sender->bytes_retransmitted += again;
	sender->pieces_sent += pieces;
	sender->pieces_retransmitted += again ? pieces : 0;
}

void tw_sender_loan_unsent(struct tw_sender *sender, uint64_t start, uint64_t end)
{
	const struct tw_data_ref ref = { sender->number, start, end - start };

	if (!sender->finished)
		tw_sender_data_lost(sender, &ref);
}

void tw_sender_loan_over(struct tw_sender *sender, struct tw_sender_block *block)
{
	block->loans--;
	sender->loans--;
	if (block->loans)
		return;
	if (block->stale)
		block->state = TW_BLOCK_FREE;
	/* Reading ahead may have been waiting for it. */
	if (!sender->finished)
		tw_sender_blocks_pump(sender);
}
