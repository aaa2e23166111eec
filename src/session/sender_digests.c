#include <stdlib.h>
#include <string.h>

#include "session/sender_private.h"

/* The most that can be lost with a connection: both buffers of the stream and the receiver's unread
 * record. */
#define LOG_KEEP (2 * TW_STREAM_BUFFER + 2 * TW_DIGEST_RECORD_MAX)
#define LOG_MAX (2 * LOG_KEEP)
/* Records wait in the log only as far as the stream will take them soon. */
#define UNWRITTEN_MAX ((size_t)64 << 10)

void tw_sender_digests_restart(struct tw_sender *sender, bool live)
{
	struct tw_sender_digests *digests = &sender->digests;
	size_t i;

	digests->written = 0;
	if (live)
		return;
	digests->length = 0;
	tw_ranges_clear(&digests->sent);
	for (i = 0; i < TW_SENDER_BLOCKS; i++) {
		if (sender->blocks[i])
			sender->blocks[i]->digest_next = 0;
	}
}

/* Drops the oldest whole records that have surely arrived. */
static void log_trim(struct tw_sender_digests *digests)
{
	struct tw_digest_record record;
	size_t at = 0, length;

	while (digests->length - at > LOG_KEEP) {
		if (tw_digest_record_read(digests->log + at, digests->length - at, &record,
					  &length))
			break;
		if (at + length > digests->written)
			break;
		at += length;
	}
	memmove(digests->log, digests->log + at, digests->length - at);
	digests->length -= at;
	digests->written -= at;
}

static bool log_grow(struct tw_sender_digests *digests)
{
	size_t room = digests->room ? digests->room * 2 : 2 * TW_DIGEST_RECORD_MAX;
	uint8_t *log;

	if (digests->length > LOG_MAX)
		log_trim(digests);
	if (digests->room - digests->length >= TW_DIGEST_RECORD_MAX)
		return true;
	log = realloc(digests->log, room);
	if (!log)
		return false;
	digests->log = log;
	digests->room = room;
	return true;
}

/* Appends records for the chunks of @block that have none yet. False: not now. */
static bool append_block(struct tw_sender *sender, struct tw_sender_block *block)
{
	struct tw_sender_digests *digests = &sender->digests;
	const struct tw_block *content = &block->job.block;
	uint64_t past = content->chunk_first + content->chunk_count;

	while (block->digest_next < content->chunk_count) {
		uint64_t first = content->chunk_first + block->digest_next, count;
		struct tw_range gap;

		if (!tw_ranges_next_gap(&digests->sent, first, past, &gap)) {
			block->digest_next = content->chunk_count;
			break;
		}
		if (digests->length - digests->written > UNWRITTEN_MAX || !log_grow(digests))
			return false;
		count = gap.end - gap.start;
		if (count > TW_DIGEST_RECORD_CHUNKS)
			count = TW_DIGEST_RECORD_CHUNKS;
		digests->length += tw_digest_record_write(
			gap.start, content->digests + (gap.start - content->chunk_first), count,
			digests->log + digests->length, digests->room - digests->length);
		/* When it fails, the digest goes once more some time: the receiver knows it then.
		 */
		(void)tw_ranges_add(&digests->sent, gap.start, gap.start + count);
		block->digest_next = (size_t)(gap.start + count - content->chunk_first);
	}
	return true;
}

static void write_log(struct tw_sender *sender)
{
	struct tw_sender_digests *digests = &sender->digests;

	if (digests->written < digests->length)
		digests->written +=
			tw_conn_stream_write(sender->conn, TW_STREAM_DIGESTS(sender->number),
					     digests->log + digests->written,
					     digests->length - digests->written);
}

void tw_sender_digests_pump(struct tw_sender *sender)
{
	size_t i;

	uint64_t limit = tw_sender_limit(sender);

	if (!limit || sender->offer_unsaid)
		return;
	for (i = 0; i < TW_SENDER_BLOCKS; i++) {
		struct tw_sender_block *block = sender->blocks[i];

		/* The receiver must know of these chunks. */
		if (!block || block->state != TW_BLOCK_LOADED || block->end > limit ||
		    block->digest_next == block->job.block.chunk_count)
			continue;
		if (!append_block(sender, block))
			break;
	}
	write_log(sender);
}
