#include "session/message.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"

#define DESTINATION_MAX TW_PATH_MAX
#define ERROR_WIRE_MAX 16384
/* No enum that travels gets larger. */
#define ENUM_MAX 255

/* Errors travel as 2 * TW_E_* or 2 * errno + 1 (Linux numbers). */
static uint64_t error_to_wire(int error)
{
	return error >= 0 ? (uint64_t)error * 2 : (uint64_t) - (int64_t)error * 2 + 1;
}

static bool error_from_wire(uint64_t wire, int *ret)
{
	if (wire > ERROR_WIRE_MAX)
		return false;
	*ret = wire & 1 ? -(int)(wire / 2) : (int)(wire / 2);
	return true;
}

static void write_text(struct tw_writer *writer, const struct tw_message_text *text,
		       size_t length_max)
{
	size_t length = text->length < length_max ? text->length : length_max;

	tw_write_varint(writer, length);
	tw_write_bytes(writer, text->bytes, length);
}

static bool read_text(struct tw_reader *reader, size_t length_max, struct tw_message_text *ret)
{
	uint64_t length = tw_read_varint(reader);

	if (reader->failed || length > length_max)
		return false;
	ret->bytes = (const char *)tw_read_bytes(reader, length);
	ret->length = length;
	return !reader->failed;
}

static void write_progress(struct tw_writer *writer, const struct tw_message_progress *progress)
{
	tw_write_varint(writer, progress->bytes_received);
	tw_write_varint(writer, progress->bytes_durable);
	tw_write_varint(writer, progress->bytes_held);
	tw_write_varint(writer, progress->files_done);
	tw_write_varint(writer, progress->files_skipped);
	tw_write_varint(writer, progress->files_failed);
}

static void read_progress(struct tw_reader *reader, struct tw_message_progress *ret)
{
	ret->bytes_received = tw_read_varint(reader);
	ret->bytes_durable = tw_read_varint(reader);
	ret->bytes_held = tw_read_varint(reader);
	ret->files_done = tw_read_varint(reader);
	ret->files_skipped = tw_read_varint(reader);
	ret->files_failed = tw_read_varint(reader);
}

static void write_range(struct tw_writer *writer, const struct tw_range *range)
{
	tw_write_varint(writer, range->start);
	tw_write_varint(writer, range->end - range->start);
}

/* @ret->end is @ret->start for an empty one. */
static bool read_range(struct tw_reader *reader, struct tw_range *ret)
{
	uint64_t length;

	ret->start = tw_read_varint(reader);
	length = tw_read_varint(reader);
	if (reader->failed || length > TW_VARINT_MAX - ret->start)
		return false;
	ret->end = ret->start + length;
	return true;
}

static void write_ranges(struct tw_writer *writer, const struct tw_message *message)
{
	uint64_t behind = 0, i;

	assert(message->ranges.count <= TW_MESSAGE_RANGES_MAX);
	tw_write_varint(writer, message->ranges.count);
	for (i = 0; i < message->ranges.count; i++) {
		const struct tw_range *range = &message->ranges.at[i];

		assert(range->start >= behind && range->end > range->start);
		tw_write_varint(writer, range->start - behind);
		tw_write_varint(writer, range->end - range->start);
		behind = range->end;
	}
}

static bool read_next_range(struct tw_message *message, struct tw_range *ret)
{
	struct tw_reader *reader = &message->ranges.reader;
	uint64_t gap = tw_read_varint(reader), length = tw_read_varint(reader);

	if (reader->failed || !length || gap > TW_VARINT_MAX - message->ranges.behind)
		return false;
	ret->start = message->ranges.behind + gap;
	if (length > TW_VARINT_MAX - ret->start)
		return false;
	ret->end = message->ranges.behind = ret->start + length;
	return true;
}

bool tw_message_next_range(struct tw_message *message, struct tw_range *ret)
{
	if (!message->ranges.count)
		return false;
	message->ranges.count--;
	return read_next_range(message, ret);
}

static bool read_ranges(struct tw_reader *reader, struct tw_message *message)
{
	struct tw_message probe;
	struct tw_range range;
	uint64_t i;

	message->ranges.count = tw_read_varint(reader);
	message->ranges.behind = 0;
	message->ranges.reader = *reader;
	message->ranges.at = NULL;
	if (reader->failed || message->ranges.count > TW_MESSAGE_RANGES_MAX)
		return false;
	probe = *message;
	for (i = 0; i < message->ranges.count; i++) {
		if (!read_next_range(&probe, &range))
			return false;
	}
	return true;
}

static void write_hello(struct tw_writer *writer, const struct tw_message *message)
{
	tw_write_varint(writer, message->hello.version);
	tw_write_u8(writer, message->hello.ids_known ? 2 * TW_ID_SIZE : 0);
	if (message->hello.ids_known) {
		tw_write_bytes(writer, message->hello.server_id, TW_ID_SIZE);
		tw_write_bytes(writer, message->hello.server_uid, TW_ID_SIZE);
	}
	if (!message->hello.lanes)
		return;
	tw_write_varint(writer, message->hello.lanes);
	tw_write_bytes(writer, message->hello.lane_token, TW_LANE_TOKEN_SIZE);
}

static bool read_hello(struct tw_reader *reader, struct tw_message *ret)
{
	uint8_t length;

	ret->hello.version = tw_read_varint(reader);
	length = tw_read_u8(reader);
	if (length && length != 2 * TW_ID_SIZE)
		return false;
	ret->hello.ids_known = length != 0;
	if (length) {
		tw_read_copy(reader, ret->hello.server_id, TW_ID_SIZE);
		tw_read_copy(reader, ret->hello.server_uid, TW_ID_SIZE);
	}
	/* Not said by those who know of no lanes. */
	ret->hello.lanes = tw_reader_left(reader) ? tw_read_varint(reader) : 0;
	if (ret->hello.lanes)
		tw_read_copy(reader, ret->hello.lane_token, TW_LANE_TOKEN_SIZE);
	return ret->hello.lanes <= ENUM_MAX;
}

static void write_offer(struct tw_writer *writer, const struct tw_message *message)
{
	tw_write_bytes(writer, message->offer.key, TW_TRANSFER_KEY_SIZE);
	tw_write_u64(writer, message->offer.instance);
	tw_write_varint(writer, message->offer.attempt);
	tw_write_varint(writer, message->offer.overwrite);
	tw_write_varint(writer, message->offer.flags);
	tw_write_varint(writer, message->offer.checkpoint_seconds);
	write_text(writer, &message->offer.destination, DESTINATION_MAX);
}

static bool read_offer(struct tw_reader *reader, struct tw_message *ret)
{
	tw_read_copy(reader, ret->offer.key, TW_TRANSFER_KEY_SIZE);
	ret->offer.instance = tw_read_u64(reader);
	ret->offer.attempt = tw_read_varint(reader);
	ret->offer.overwrite = tw_read_varint(reader);
	ret->offer.flags = tw_read_varint(reader);
	ret->offer.checkpoint_seconds = tw_read_varint(reader);
	if (ret->offer.overwrite >= TW_OVERWRITE_COUNT ||
	    ret->offer.checkpoint_seconds > TW_CHECKPOINT_SECONDS_MAX)
		return false;
	if (!read_text(reader, DESTINATION_MAX, &ret->offer.destination))
		return false;
	return !memchr(ret->offer.destination.bytes, 0, ret->offer.destination.length);
}

static void write_done(struct tw_writer *writer, const struct tw_message *message)
{
	tw_write_varint(writer, message->done.error);
	write_progress(writer, &message->done.progress);
	tw_write_bytes(writer, message->done.digest.bytes, TW_DIGEST_SIZE);
	write_text(writer, &message->done.text, TW_MESSAGE_TEXT_MAX);
}

static bool read_done(struct tw_reader *reader, struct tw_message *ret)
{
	ret->done.error = tw_read_varint(reader);
	read_progress(reader, &ret->done.progress);
	tw_read_copy(reader, ret->done.digest.bytes, TW_DIGEST_SIZE);
	return ret->done.error <= ENUM_MAX &&
	       read_text(reader, TW_MESSAGE_TEXT_MAX, &ret->done.text);
}

static void write_total(struct tw_writer *writer, const struct tw_message *message)
{
	tw_write_varint(writer, message->total.bytes);
	tw_write_varint(writer, message->total.files);
	tw_write_varint(writer, message->total.entries);
	tw_write_varint(writer, message->total.chunks);
	tw_write_u8(writer, message->total.final);
}

static bool read_total(struct tw_reader *reader, struct tw_message *ret)
{
	uint8_t final;

	ret->total.bytes = tw_read_varint(reader);
	ret->total.files = tw_read_varint(reader);
	ret->total.entries = tw_read_varint(reader);
	ret->total.chunks = tw_read_varint(reader);
	final = tw_read_u8(reader);
	ret->total.final = final == 1;
	return final <= 1;
}

static void write_answer(struct tw_writer *writer, const struct tw_message *message)
{
	tw_write_varint(writer, message->answer.error);
	tw_write_varint(writer, message->answer.flags);
	write_text(writer, &message->answer.text, TW_MESSAGE_TEXT_MAX);
}

static bool read_answer(struct tw_reader *reader, struct tw_message *ret)
{
	ret->answer.error = tw_read_varint(reader);
	ret->answer.flags = tw_read_varint(reader);
	return ret->answer.error <= ENUM_MAX &&
	       read_text(reader, TW_MESSAGE_TEXT_MAX, &ret->answer.text);
}

static void write_ready(struct tw_writer *writer, const struct tw_message *message)
{
	tw_write_varint(writer, message->ready.offset);
}

static bool read_ready(struct tw_reader *reader, struct tw_message *ret)
{
	ret->ready.offset = tw_read_varint(reader);
	return true;
}

static void write_hole(struct tw_writer *writer, const struct tw_message *message)
{
	write_range(writer, &message->hole);
}

static bool read_hole(struct tw_reader *reader, struct tw_message *ret)
{
	return read_range(reader, &ret->hole) && ret->hole.start < ret->hole.end;
}

static void write_abandon(struct tw_writer *writer, const struct tw_message *message)
{
	tw_write_varint(writer, message->abandon.entry);
	tw_write_varint(writer, error_to_wire(message->abandon.error));
	write_range(writer, &message->abandon.range);
}

static bool read_abandon(struct tw_reader *reader, struct tw_message *ret)
{
	ret->abandon.entry = tw_read_varint(reader);
	return error_from_wire(tw_read_varint(reader), &ret->abandon.error) &&
	       read_range(reader, &ret->abandon.range);
}

static void write_sha256(struct tw_writer *writer, const struct tw_message *message)
{
	tw_write_varint(writer, message->sha256.entry);
	tw_write_bytes(writer, message->sha256.digest, sizeof(message->sha256.digest));
}

static bool read_sha256(struct tw_reader *reader, struct tw_message *ret)
{
	ret->sha256.entry = tw_read_varint(reader);
	tw_read_copy(reader, ret->sha256.digest, sizeof(ret->sha256.digest));
	return true;
}

static void write_progress_message(struct tw_writer *writer, const struct tw_message *message)
{
	write_progress(writer, &message->progress);
}

static bool read_progress_message(struct tw_reader *reader, struct tw_message *ret)
{
	read_progress(reader, &ret->progress);
	return true;
}

static void write_problem(struct tw_writer *writer, const struct tw_message *message)
{
	tw_write_varint(writer, message->problem.entry);
	tw_write_varint(writer, error_to_wire(message->problem.error));
	write_text(writer, &message->problem.path, TW_MESSAGE_TEXT_MAX);
}

static bool read_problem(struct tw_reader *reader, struct tw_message *ret)
{
	ret->problem.entry = tw_read_varint(reader);
	return error_from_wire(tw_read_varint(reader), &ret->problem.error) &&
	       read_text(reader, TW_MESSAGE_TEXT_MAX, &ret->problem.path);
}

static void write_cancel(struct tw_writer *writer, const struct tw_message *message)
{
	tw_write_varint(writer, message->cancel.error);
	write_text(writer, &message->cancel.text, TW_MESSAGE_TEXT_MAX);
	tw_write_varint(writer, message->cancel.paused);
}

static bool read_cancel(struct tw_reader *reader, struct tw_message *ret)
{
	uint64_t paused;

	ret->cancel.error = tw_read_varint(reader);
	if (!read_text(reader, TW_MESSAGE_TEXT_MAX, &ret->cancel.text))
		return false;
	paused = tw_read_varint(reader);
	ret->cancel.paused = paused == 1;
	return ret->cancel.error <= ENUM_MAX && paused <= 1;
}

static void write_limit(struct tw_writer *writer, const struct tw_message *message)
{
	tw_write_varint(writer, message->limit.max_bps);
}

static bool read_limit(struct tw_reader *reader, struct tw_message *ret)
{
	ret->limit.max_bps = tw_read_varint(reader);
	return true;
}

static void write_lane(struct tw_writer *writer, const struct tw_message *message)
{
	tw_write_bytes(writer, message->lane.token, TW_LANE_TOKEN_SIZE);
}

static bool read_lane(struct tw_reader *reader, struct tw_message *ret)
{
	tw_read_copy(reader, ret->lane.token, TW_LANE_TOKEN_SIZE);
	return true;
}

static void write_nothing(struct tw_writer *writer, const struct tw_message *message)
{
	(void)writer;
	(void)message;
}

static bool read_nothing(struct tw_reader *reader, struct tw_message *ret)
{
	(void)reader;
	(void)ret;
	return true;
}

static const struct {
	void (*write)(struct tw_writer *writer, const struct tw_message *message);
	bool (*read)(struct tw_reader *reader, struct tw_message *ret);
} codecs[] = {
	[TW_MESSAGE_HELLO] = { write_hello, read_hello },
	[TW_MESSAGE_OFFER] = { write_offer, read_offer },
	[TW_MESSAGE_ANSWER] = { write_answer, read_answer },
	[TW_MESSAGE_HELD] = { write_ranges, read_ranges },
	[TW_MESSAGE_READY] = { write_ready, read_ready },
	[TW_MESSAGE_TOTAL] = { write_total, read_total },
	[TW_MESSAGE_HOLE] = { write_hole, read_hole },
	[TW_MESSAGE_ABANDON] = { write_abandon, read_abandon },
	[TW_MESSAGE_SHA256] = { write_sha256, read_sha256 },
	[TW_MESSAGE_AGAIN] = { write_ranges, read_ranges },
	[TW_MESSAGE_PROGRESS] = { write_progress_message, read_progress_message },
	[TW_MESSAGE_PROBLEM] = { write_problem, read_problem },
	[TW_MESSAGE_DONE] = { write_done, read_done },
	[TW_MESSAGE_DONE_ACK] = { write_nothing, read_nothing },
	[TW_MESSAGE_CANCEL] = { write_cancel, read_cancel },
	[TW_MESSAGE_LIMIT] = { write_limit, read_limit },
	[TW_MESSAGE_LANE] = { write_lane, read_lane },
	[TW_MESSAGE_MISSED] = { write_ranges, read_ranges },
};
static_assert(sizeof(codecs) / sizeof(codecs[0]) == TW_MESSAGE_LAST + 1,
	      "a codec for every message");

#define LENGTH_FIELD 4

size_t tw_message_write(const struct tw_message *message, uint8_t *bytes, size_t room)
{
	struct tw_writer writer, prefix;
	size_t length;

	assert(message->type >= TW_MESSAGE_HELLO && message->type <= TW_MESSAGE_LAST);
	if (room <= LENGTH_FIELD)
		return 0;
	tw_writer_init(&writer, bytes + LENGTH_FIELD, room - LENGTH_FIELD);
	tw_write_varint(&writer, message->type);
	if (message->type != TW_MESSAGE_HELLO)
		tw_write_varint(&writer, message->transfer);
	codecs[message->type].write(&writer, message);
	length = tw_writer_length(&writer);
	if (writer.failed || length > TW_MESSAGE_MAX)
		return 0;
	tw_writer_init(&prefix, bytes, LENGTH_FIELD);
	tw_write_varint(&prefix, length);
	memmove(bytes + tw_writer_length(&prefix), bytes + LENGTH_FIELD, length);
	return tw_writer_length(&prefix) + length;
}

int tw_message_read(const uint8_t *bytes, size_t length, struct tw_message *ret, size_t *ret_length)
{
	struct tw_reader reader;
	uint64_t body, type;

	tw_reader_init(&reader, bytes, length);
	body = tw_read_varint(&reader);
	if (reader.failed)
		return TW_E_AGAIN;
	if (!body || body > TW_MESSAGE_MAX)
		return TW_E_FORMAT;
	if (tw_reader_left(&reader) < body)
		return TW_E_AGAIN;
	*ret_length = length - tw_reader_left(&reader) + body;
	tw_reader_init(&reader, reader.at, body);
	type = tw_read_varint(&reader);
	if (reader.failed)
		return TW_E_FORMAT;
	if (type < TW_MESSAGE_HELLO || type > TW_MESSAGE_LAST)
		return TW_E_END;
	ret->type = (enum tw_message_type)type;
	ret->transfer = type == TW_MESSAGE_HELLO ? 0 : tw_read_varint(&reader);
	if (reader.failed || ret->transfer > TW_SESSION_NUMBER_MAX)
		return TW_E_FORMAT;
	if (!codecs[type].read(&reader, ret) || reader.failed)
		return TW_E_FORMAT;
	return 0;
}

size_t tw_digest_record_write(uint64_t chunk_first, const struct tw_digest *digests, size_t count,
			      uint8_t *bytes, size_t room)
{
	struct tw_writer writer;

	assert(count >= 1 && count <= TW_DIGEST_RECORD_CHUNKS);
	tw_writer_init(&writer, bytes, room);
	tw_write_varint(&writer, chunk_first);
	tw_write_varint(&writer, count);
	tw_write_bytes(&writer, digests, count * sizeof(*digests));
	return writer.failed ? 0 : tw_writer_length(&writer);
}

int tw_digest_record_read(const uint8_t *bytes, size_t length, struct tw_digest_record *ret,
			  size_t *ret_length)
{
	struct tw_reader reader;
	uint64_t chunk_first, count;

	tw_reader_init(&reader, bytes, length);
	chunk_first = tw_read_varint(&reader);
	count = tw_read_varint(&reader);
	if (reader.failed)
		return TW_E_AGAIN;
	if (!count || count > TW_DIGEST_RECORD_CHUNKS || chunk_first > TW_VARINT_MAX - count)
		return TW_E_FORMAT;
	if (tw_reader_left(&reader) < count * TW_DIGEST_SIZE)
		return TW_E_AGAIN;
	ret->chunk_first = chunk_first;
	ret->count = count;
	ret->digests = tw_read_bytes(&reader, count * TW_DIGEST_SIZE);
	*ret_length = length - tw_reader_left(&reader);
	return 0;
}
