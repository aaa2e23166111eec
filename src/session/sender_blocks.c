#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "session/sender_private.h"

/* Kept loaded in front of the cursor. */
#define AHEAD_BYTES (UINT64_C(4) << 20)
#define AHEAD_BLOCKS 24
#define REREADS_MAX 8
#define AHEAD_READS 3
/* Lost ranges looked at in one search: their blocks are mostly the same few. */
#define LOST_SCAN 16

/* So many blocks each sender may have, whatever the others of its budget hold: one to begin with
 * when its turn comes, two from then on. */
#define BLOCKS_MIN 2
#define BLOCKS_ASIDE 1
#define BLOCKS_IDLE (100 * TW_MSEC)

static void block_free(struct tw_sender *sender, size_t index)
{
	free(sender->blocks[index]->bytes);
	free(sender->blocks[index]->digests);
	free(sender->blocks[index]);
	sender->blocks[index] = NULL;
	sender->block_count--;
	if (sender->options.budget)
		sender->options.budget->blocks_used--;
}

void tw_sender_blocks_deinit(struct tw_sender *sender)
{
	size_t i;

	for (i = 0; i < TW_SENDER_BLOCKS; i++) {
		if (sender->blocks[i])
			block_free(sender, i);
	}
}

static bool is_pushed_aside(const struct tw_sender *sender)
{
	return tw_ns_since(sender->now, sender->sent_at) >= BLOCKS_IDLE;
}

static size_t blocks_min(const struct tw_sender *sender)
{
	return is_pushed_aside(sender) ? BLOCKS_ASIDE : BLOCKS_MIN;
}

static bool may_grow(const struct tw_sender *sender)
{
	const struct tw_sender_budget *budget = sender->options.budget;

	return !budget || sender->block_count < blocks_min(sender) ||
	       (budget->blocks_used < budget->blocks_max && !is_pushed_aside(sender));
}

static struct tw_sender_block *block_new(struct tw_sender *sender)
{
	struct tw_sender_block *block = may_grow(sender) ? malloc(sizeof(*block)) : NULL;

	if (!block)
		return NULL;
	block->state = TW_BLOCK_FREE;
	block->digest_next = 0;
	block->used = 0;
	block->loans = 0;
	block->job.block.chunk_count = 0;
	block->bytes = malloc(TW_CHUNK_SIZE);
	block->digests = malloc(TW_BLOCK_CHUNKS_MAX * sizeof(*block->digests));
	if (!block->bytes || !block->digests) {
		free(block->bytes);
		free(block->digests);
		free(block);
		return NULL;
	}
	sender->block_count++;
	if (sender->options.budget)
		sender->options.budget->blocks_used++;
	return block;
}

/* The block that holds or will hold tape @offset. */
static struct tw_sender_block *block_find(const struct tw_sender *sender, uint64_t offset)
{
	size_t i;

	for (i = 0; i < TW_SENDER_BLOCKS; i++) {
		struct tw_sender_block *block = sender->blocks[i];

		if (block && block->state != TW_BLOCK_FREE && !block->stale &&
		    block->start <= offset && offset < block->end)
			return block;
	}
	return NULL;
}

/* Its bytes are being sent, or will be with the next datagram. */
static bool block_held(const struct tw_sender *sender, const struct tw_sender_block *block)
{
	return block == sender->run.block || block == sender->lent || block->loans;
}

/* True when nothing of @block waits to be sent for the first time or again. */
static bool block_evictable(struct tw_sender *sender, const struct tw_sender_block *block)
{
	struct tw_range range;

	if (block_held(sender, block) || block->digest_next < block->job.block.chunk_count)
		return false;
	return !tw_owed_next_lost(&sender->owed, block->start, block->end, &range) &&
	       !tw_owed_next_fresh(&sender->owed, block->start, block->end, &range);
}

/*
 * The loaded block farthest behind @offset of which nothing is lost. Behind a new connection every
 * block may wait to be sent for the first time, and none of them be the next one.
 */
static struct tw_sender_block *block_farthest(struct tw_sender *sender, uint64_t offset)
{
	struct tw_sender_block *best = NULL;
	struct tw_range range;
	size_t i;

	for (i = 0; i < TW_SENDER_BLOCKS; i++) {
		struct tw_sender_block *block = sender->blocks[i];

		if (block && block->state == TW_BLOCK_LOADED && !block_held(sender, block) &&
		    block->start > offset && (!best || block->start > best->start) &&
		    !tw_owed_next_lost(&sender->owed, block->start, block->end, &range))
			best = block;
	}
	return best;
}

/*
 * A free slot, else the best one to give up: wholly done first, then least recently used, then
 * farthest behind @offset. NULL: none now.
 */
static struct tw_sender_block *block_take(struct tw_sender *sender, uint64_t offset)
{
	struct tw_sender_block *best = NULL;
	bool best_done = false;
	size_t i, empty = TW_SENDER_BLOCKS;

	for (i = 0; i < TW_SENDER_BLOCKS; i++) {
		struct tw_sender_block *block = sender->blocks[i];
		bool done;

		if (!block) {
			empty = i;
			continue;
		}
		if (block->state == TW_BLOCK_FREE)
			return block;
		if (block->state != TW_BLOCK_LOADED || !block_evictable(sender, block))
			continue;
		done = tw_ranges_contain(&sender->owed.done, block->start, block->end);
		/*
		 * Of those that nobody needs any more the latest: it is still in the processor's
		 * cache.
		 */
		if (!best || (done && !best_done) ||
		    (done == best_done && (block->used < best->used) != done)) {
			best = block;
			best_done = done;
		}
	}
	/* Memory that is there already is used before more is taken, as long as nobody may need its
	 * bytes. */
	if (empty < TW_SENDER_BLOCKS && !best_done) {
		sender->blocks[empty] = block_new(sender);
		if (sender->blocks[empty])
			return sender->blocks[empty];
	}
	if (!best)
		best = block_farthest(sender, offset);
	if (best)
		best->state = TW_BLOCK_FREE;
	return best;
}

static bool block_read(struct tw_sender *sender, uint64_t offset, uint64_t limit, bool ahead)
{
	struct tw_sender_block *block = block_take(sender, offset);

	if (!block)
		return false;
	block->state = TW_BLOCK_READING;
	block->ahead = ahead;
	block->stale = false;
	block->start = offset;
	/* In the middle of a large file the next chunk is as long as the last one. */
	block->end = offset + (ahead && sender->whole_chunks ? TW_CHUNK_SIZE : 1);
	block->job.type = TW_JOB_READ;
	block->job.source = sender->options.source;
	block->job.offset = offset;
	block->job.limit = limit;
	block->job.bytes = block->bytes;
	block->job.room = TW_CHUNK_SIZE;
	block->job.block.digests = block->digests;
	block->job.block.chunk_count = 0;
	block->used = ++sender->use_clock;
	tw_sender_submit(sender, &block->job);
	return true;
}

/*
 * Reads fresh bytes. Where the next block begins is known when this one is back, or guessed inside
 * a large file: a wrong guess reads some bytes twice.
 */
static void read_ahead(struct tw_sender *sender)
{
	/* What nobody waits for is read shortly before it is needed, and is then in the cache of
	 * the processor. Not later: who has nothing to send for a moment learns less of the path.
	 */
	uint64_t bytes_max = sender->reads_at_once ? 2 * TW_CHUNK_SIZE : AHEAD_BYTES;
	uint64_t bytes = 0, at = sender->owed.cursor;
	unsigned blocks = 0, reading = 0;
	struct tw_range gap;

	while (tw_owed_next_fresh(&sender->owed, at, sender->total_bytes, &gap)) {
		struct tw_sender_block *block = block_find(sender, gap.start);

		if (!block) {
			if (!block_read(sender, gap.start, gap.end, true))
				return;
			block = block_find(sender, gap.start);
		}
		if (block->state == TW_BLOCK_READING &&
		    (!sender->whole_chunks || ++reading >= AHEAD_READS))
			return;
		bytes += block->end - gap.start;
		if (bytes >= bytes_max || ++blocks >= AHEAD_BLOCKS)
			return;
		at = block->end;
	}
}

/* Reads a block that was given up once more, for lost bytes. */
static void read_again(struct tw_sender *sender, uint64_t start, uint64_t end)
{
	unsigned rereads = 0;
	size_t i;

	for (i = 0; i < TW_SENDER_BLOCKS; i++) {
		struct tw_sender_block *block = sender->blocks[i];

		rereads += block && block->state == TW_BLOCK_READING && !block->ahead;
	}
	if (rereads < REREADS_MAX)
		block_read(sender, start, end, false);
}

/*
 * The block that is wanted last; TW_SENDER_BLOCKS: none can go. One that has been sent in part
 * stays until its digests are out: they come with its bytes only.
 */
static size_t block_last(struct tw_sender *sender)
{
	size_t best = TW_SENDER_BLOCKS, i;

	for (i = 0; i < TW_SENDER_BLOCKS; i++) {
		const struct tw_sender_block *block = sender->blocks[i];

		if (!block || block->state == TW_BLOCK_READING || block_held(sender, block))
			continue;
		if (block->state == TW_BLOCK_FREE)
			return i;
		if (block->start < sender->owed.cursor && !block_evictable(sender, block))
			continue;
		if (best == TW_SENDER_BLOCKS || block->start > sender->blocks[best]->start)
			best = i;
	}
	return best;
}

/*
 * A sender that others have pushed aside keeps one block when their budget is used up: what it
 * read for later is read again when its turn comes.
 */
void tw_sender_blocks_tick(struct tw_sender *sender)
{
	const struct tw_sender_budget *budget = sender->options.budget;
	size_t last;

	if (!budget || budget->blocks_used < budget->blocks_max || !is_pushed_aside(sender))
		return;
	while (sender->block_count > BLOCKS_ASIDE) {
		last = block_last(sender);
		if (last == TW_SENDER_BLOCKS)
			return;
		block_free(sender, last);
	}
}

void tw_sender_blocks_pump(struct tw_sender *sender)
{
	if (sender->finished || sender->abandon_count == TW_SENDER_ABANDONS)
		return;
	if (sender->holes.count == sender->holes.count_max)
		return;
	read_ahead(sender);
}

bool tw_sender_is_block(const struct tw_sender *sender, const struct tw_job *job)
{
	size_t i;

	for (i = 0; i < TW_SENDER_BLOCKS; i++) {
		if (sender->blocks[i] && job == &sender->blocks[i]->job)
			return true;
	}
	return false;
}

static void block_failed(struct tw_sender *sender, struct tw_sender_block *block)
{
	const struct tw_block *entry = &block->job.block;
	char message[sizeof(sender->message)];

	if (block->job.offset >= entry->start && block->job.offset < entry->end) {
		tw_sender_abandon(sender, block->job.entry, block->job.result, entry->start,
				  entry->end);
		return;
	}
	snprintf(message, sizeof(message), "The source could not be read: %s.",
		 tw_strerror(block->job.result));
	tw_sender_finish(sender, TW_TRANSFER_SOURCE, message);
}

/* Only what is owed of a hole is told: what the receiver holds of it is right. */
static void take_hole(struct tw_sender *sender, uint64_t start, uint64_t end)
{
	struct tw_range gap;
	uint64_t at;

	for (at = start; tw_owed_next_open(&sender->owed, at, end, &gap); at = gap.end) {
		/* When the set is full the rest is read again later. */
		if (tw_ranges_add(&sender->holes, gap.start, gap.end))
			return;
		tw_owed_settled(&sender->owed, gap.start, gap.end);
	}
}

void tw_sender_block_done(struct tw_sender *sender, struct tw_sender_block *block)
{
	struct tw_job *job = &block->job;
	size_t i;

	for (i = 0; i < job->problem_count; i++)
		tw_sender_note(sender, &job->problems[i]);
	block->state = TW_BLOCK_FREE;
	sender->reads_at_once = job->at_once;
	if (sender->finished)
		return;
	if (job->result) {
		block_failed(sender, block);
		return;
	}
	if (block->stale || job->block.start > job->offset || job->block.end <= job->offset)
		return;
	if (job->block.hole) {
		take_hole(sender, job->block.start, job->block.end);
		return;
	}
	sender->bytes_read += job->block.end - job->block.start;
	block->state = TW_BLOCK_LOADED;
	block->start = job->block.start;
	block->end = job->block.end;
	block->digest_next = 0;
	if (block->ahead)
		sender->whole_chunks =
			block->end - block->start == TW_CHUNK_SIZE && job->block.chunk_count == 1;
	/* Lost bytes that have been waiting for it go first. */
	if (!block->ahead)
		tw_sender_run_reset(sender);
}

void tw_sender_blocks_drop(struct tw_sender *sender, uint64_t start, uint64_t end)
{
	size_t i;

	for (i = 0; i < TW_SENDER_BLOCKS; i++) {
		struct tw_sender_block *block = sender->blocks[i];

		if (!block || block->state == TW_BLOCK_FREE || block->start >= end ||
		    block->end <= start)
			continue;
		if (block->state == TW_BLOCK_READING) {
			block->stale = true;
			continue;
		}
		if (block == sender->run.block)
			tw_sender_run_reset(sender);
		if (block->loans)
			block->stale = true;
		else
			block->state = TW_BLOCK_FREE;
	}
}

void tw_sender_run_reset(struct tw_sender *sender)
{
	sender->run = (struct tw_sender_run){ .kind = TW_RUN_NONE };
}

/* Makes the run what is loaded of [start, end). */
static bool run_set(struct tw_sender *sender, enum tw_run_kind kind, uint64_t start, uint64_t end)
{
	struct tw_sender_block *block = block_find(sender, start);

	if (!block || block->state != TW_BLOCK_LOADED) {
		if (!block && kind != TW_RUN_FRESH)
			read_again(sender, start, end);
		return false;
	}
	block->used = ++sender->use_clock;
	sender->run.kind = kind;
	sender->run.block = block;
	sender->run.start = start;
	sender->run.end = end < block->end ? end : block->end;
	return true;
}

uint64_t tw_sender_limit(const struct tw_sender *sender)
{
	uint64_t early = sender->total_bytes < TW_SESSION_EARLY_MAX ? sender->total_bytes
								    : TW_SESSION_EARLY_MAX;

	if (!sender->conn)
		return 0;
	/* Over the first connection the first bytes need no READY. Over others the receiver may
	 * have them. */
	return sender->attempts == 1 && sender->ready < early ? early : sender->ready;
}

static bool run_lost(struct tw_sender *sender)
{
	struct tw_range range;
	uint64_t at = 0, limit = tw_sender_limit(sender);
	unsigned i;

	for (i = 0; i < LOST_SCAN; i++) {
		if (!tw_owed_next_lost(&sender->owed, at, limit, &range))
			return false;
		if (run_set(sender, TW_RUN_LOST, range.start, range.end))
			return true;
		at = range.end;
	}
	return false;
}

static bool run_fresh(struct tw_sender *sender)
{
	struct tw_range gap;

	return tw_owed_next_fresh(&sender->owed, 0, tw_sender_limit(sender), &gap) &&
	       run_set(sender, TW_RUN_FRESH, gap.start, gap.end);
}

static bool run_repeat(struct tw_sender *sender)
{
	struct tw_range range;
	enum tw_run_kind kind;

	while (tw_sender_tail_next(sender, &kind, &range)) {
		if (run_set(sender, kind, range.start, range.end))
			return true;
		tw_sender_tail_pass(sender, kind, range.end);
	}
	return false;
}

bool tw_sender_run_find(struct tw_sender *sender)
{
	tw_sender_run_reset(sender);
	return run_lost(sender) || run_fresh(sender) || run_repeat(sender);
}

bool tw_sender_run_owed(struct tw_sender *sender)
{
	tw_sender_run_reset(sender);
	return run_lost(sender) || run_fresh(sender);
}

uint64_t tw_sender_fresh_start(const struct tw_sender *sender)
{
	struct tw_range gap;

	return tw_owed_next_fresh(&sender->owed, 0, sender->total_bytes, &gap)
		       ? gap.start
		       : sender->total_bytes;
}
