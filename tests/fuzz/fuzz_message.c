/*
 * Messages and digest records: what can be read stays within its bounds, and what is written of it
 * reads the same.
 */
#include "base/error.h"
#include "fuzz.h"
#include "session/message.h"

static void check_ranges(struct tw_message message)
{
	struct tw_range range, before = { 0, 0 };
	uint64_t count = message.ranges.count, seen = 0;

	for (; tw_message_next_range(&message, &range); seen++) {
		CHECK(range.start >= before.end && range.start < range.end &&
		      range.end <= TW_VARINT_MAX);
		before = range;
	}
	CHECK(seen == count && count <= TW_MESSAGE_RANGES_MAX);
}

/* Ranges are written from an array, all else from what was read. */
static void check_again(struct tw_message *message)
{
	static struct tw_range ranges[TW_MESSAGE_RANGES_MAX];
	static uint8_t bytes[TW_MESSAGE_ROOM];
	struct tw_message copy = *message, back;
	size_t length, taken;

	if (message->type == TW_MESSAGE_HELD || message->type == TW_MESSAGE_AGAIN ||
	    message->type == TW_MESSAGE_MISSED) {
		size_t count = 0;

		check_ranges(*message);
		while (tw_message_next_range(message, &ranges[count]))
			count++;
		copy.ranges.at = ranges;
		copy.ranges.count = count;
	}
	length = tw_message_write(&copy, bytes, sizeof(bytes));
	CHECK(length > 0);
	CHECK(tw_message_read(bytes, length, &back, &taken) == 0);
	CHECK(taken == length && back.type == copy.type && back.transfer == copy.transfer);
}

static void records(const uint8_t *data, size_t size)
{
	struct tw_digest_record record;
	size_t length;

	while (!tw_digest_record_read(data, size, &record, &length)) {
		CHECK(length <= size && record.count >= 1 &&
		      record.count <= TW_DIGEST_RECORD_CHUNKS &&
		      record.chunk_first <= TW_VARINT_MAX - record.count);
		CHECK(record.digests + record.count * TW_DIGEST_SIZE == data + length);
		data += length;
		size -= length;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tw_message message;
	size_t length = 0;

	records(data, size);
	for (;;) {
		int error = tw_message_read(data, size, &message, &length);

		if (error && error != TW_E_END)
			return 0;
		CHECK(length > 0 && length <= size);
		if (!error)
			check_again(&message);
		data += length;
		size -= length;
	}
}
