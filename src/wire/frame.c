#include "wire/frame.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"

#define RECEIVE_TIME_MASK ((UINT64_C(1) << 48) - 1)
#define DATA_HEADER_MAX (1 + 8 + 8)

static_assert(TW_DATA_FRAME_OVERHEAD_MAX == 1 + 1 + 8, "type, transfer below 64, longest offset");

/* docs/protocol.md, "PADDING". The first byte is already taken. */
static int read_padding(struct tw_reader *reader, struct tw_frame *ret,
			struct tw_ack_frame *ret_ack)
{
	(void)ret;
	(void)ret_ack;
	while (reader->at < reader->end && *reader->at == TW_FRAME_PADDING)
		reader->at++;
	return 0;
}

/* docs/protocol.md, "PING". */
static int read_ping(struct tw_reader *reader, struct tw_frame *ret, struct tw_ack_frame *ret_ack)
{
	(void)reader;
	(void)ret;
	(void)ret_ack;
	return 0;
}

/* docs/protocol.md, "ACK". Ranges go downward: @lowest is the start of the one before. */
static int read_ack(struct tw_reader *reader, struct tw_frame *ret, struct tw_ack_frame *ret_ack)
{
	uint64_t count, lowest, gap, length;

	(void)ret;
	ret_ack->largest = tw_read_varint(reader);
	ret_ack->receive_time_us = (uint64_t)tw_read_u16(reader) << 32;
	ret_ack->receive_time_us |= tw_read_u32(reader);
	ret_ack->delay_us = tw_read_varint(reader);
	count = tw_read_varint(reader);
	length = tw_read_varint(reader);
	if (reader->failed || count >= TW_ACK_RANGES_MAX || length > ret_ack->largest)
		return TW_E_FORMAT;
	lowest = ret_ack->largest - length;
	ret_ack->ranges[0] = (struct tw_range){ .start = lowest, .end = ret_ack->largest + 1 };
	for (uint64_t i = 1; i <= count; i++) {
		gap = tw_read_varint(reader);
		length = tw_read_varint(reader);
		/* Both are one less than what they count, and below 2^62: the sum cannot wrap. */
		if (reader->failed || gap + length + 2 > lowest)
			return TW_E_FORMAT;
		ret_ack->ranges[i].end = lowest - gap - 1;
		lowest = ret_ack->ranges[i].end - length - 1;
		ret_ack->ranges[i].start = lowest;
	}
	ret_ack->range_count = (size_t)count + 1;
	return 0;
}

/* docs/protocol.md, "STREAM". */
static int read_stream_frame(struct tw_reader *reader, struct tw_frame *ret, bool last)
{
	uint64_t stream = tw_read_varint(reader);
	uint64_t offset = tw_read_varint(reader);
	uint64_t length = tw_read_varint(reader);

	/* A failed cursor has nothing left to give; its length reads as 0. */
	if (reader->failed || length > tw_reader_left(reader) || offset + length > TW_VARINT_MAX)
		return TW_E_FORMAT;
	ret->stream.stream = stream;
	ret->stream.offset = offset;
	ret->stream.bytes = tw_read_bytes(reader, (size_t)length);
	ret->stream.length = (size_t)length;
	ret->stream.last = last;
	return 0;
}

static int read_stream(struct tw_reader *reader, struct tw_frame *ret, struct tw_ack_frame *ret_ack)
{
	(void)ret_ack;
	return read_stream_frame(reader, ret, false);
}

static int read_stream_last(struct tw_reader *reader, struct tw_frame *ret,
			    struct tw_ack_frame *ret_ack)
{
	(void)ret_ack;
	return read_stream_frame(reader, ret, true);
}

/* docs/protocol.md, "STREAM_WINDOW". */
static int read_stream_window(struct tw_reader *reader, struct tw_frame *ret,
			      struct tw_ack_frame *ret_ack)
{
	uint64_t stream = tw_read_varint(reader);
	uint64_t offset_max = tw_read_varint(reader);

	(void)ret_ack;
	if (reader->failed)
		return TW_E_FORMAT;
	ret->stream_window.stream = stream;
	ret->stream_window.offset_max = offset_max;
	return 0;
}

/* docs/protocol.md, "DATA_WINDOW". */
static int read_data_window(struct tw_reader *reader, struct tw_frame *ret,
			    struct tw_ack_frame *ret_ack)
{
	uint64_t bytes_max = tw_read_varint(reader);

	(void)ret_ack;
	if (reader->failed)
		return TW_E_FORMAT;
	ret->data_window.bytes_max = bytes_max;
	return 0;
}

/* docs/protocol.md, "DATA_BLOCKED". */
static int read_data_blocked(struct tw_reader *reader, struct tw_frame *ret,
			     struct tw_ack_frame *ret_ack)
{
	uint64_t bytes_max = tw_read_varint(reader);

	(void)ret_ack;
	if (reader->failed)
		return TW_E_FORMAT;
	ret->data_blocked.bytes_max = bytes_max;
	return 0;
}

/* docs/protocol.md, "DATA". Takes the rest of the packet, at least one byte. */
static int read_data(struct tw_reader *reader, struct tw_frame *ret, struct tw_ack_frame *ret_ack)
{
	uint64_t transfer = tw_read_varint(reader);
	uint64_t offset = tw_read_varint(reader);
	size_t length = tw_reader_left(reader);

	(void)ret_ack;
	if (reader->failed || length == 0 || offset + length > TW_VARINT_MAX)
		return TW_E_FORMAT;
	ret->data.transfer = transfer;
	ret->data.offset = offset;
	ret->data.bytes = reader->at;
	ret->data.length = length;
	reader->at = reader->end;
	return 0;
}

/* docs/protocol.md, "PATH_CHALLENGE and PATH_RESPONSE". */
static int read_path(struct tw_reader *reader, struct tw_frame *ret, struct tw_ack_frame *ret_ack)
{
	const uint8_t *token = tw_read_bytes(reader, TW_PATH_TOKEN_SIZE);

	(void)ret_ack;
	if (!token)
		return TW_E_FORMAT;
	ret->path_token = token;
	return 0;
}

/* docs/protocol.md, "CLOSE". The reason is a stranger's text: whoever shows it cleans it first. */
static int read_close(struct tw_reader *reader, struct tw_frame *ret, struct tw_ack_frame *ret_ack)
{
	uint64_t code = tw_read_varint(reader);
	uint64_t length = tw_read_varint(reader);

	(void)ret_ack;
	if (reader->failed || length > TW_CLOSE_REASON_MAX || length > tw_reader_left(reader))
		return TW_E_FORMAT;
	ret->close.code = code;
	ret->close.reason = tw_read_bytes(reader, (size_t)length);
	ret->close.reason_length = (size_t)length;
	return 0;
}

/* clang-format off */
static const struct {
	int (*read)(struct tw_reader *reader, struct tw_frame *ret, struct tw_ack_frame *ret_ack);
	bool elicits_ack;
} frames[] = {
	[TW_FRAME_PADDING]        = { read_padding,       false },
	[TW_FRAME_PING]           = { read_ping,          true },
	[TW_FRAME_ACK]            = { read_ack,           false },
	[TW_FRAME_STREAM]         = { read_stream,        true },
	[TW_FRAME_STREAM_LAST]    = { read_stream_last,   true },
	[TW_FRAME_STREAM_WINDOW]  = { read_stream_window, true },
	[TW_FRAME_DATA_WINDOW]    = { read_data_window,   true },
	[TW_FRAME_DATA]           = { read_data,          true },
	[TW_FRAME_PATH_CHALLENGE] = { read_path,          true },
	[TW_FRAME_PATH_RESPONSE]  = { read_path,          true },
	[TW_FRAME_CLOSE]          = { read_close,         false },
	[TW_FRAME_DATA_BLOCKED]   = { read_data_blocked,  true },
};
/* clang-format on */

static_assert(sizeof frames / sizeof *frames == TW_FRAME_TYPE_COUNT, "a row for every frame type");

int tw_frame_read(struct tw_reader *reader, struct tw_frame *ret, struct tw_ack_frame *ret_ack)
{
	uint8_t type;
	int error;

	if (reader->failed)
		return TW_E_FORMAT;
	if (reader->at == reader->end)
		return TW_E_END;
	type = *reader->at++;
	if (type >= TW_FRAME_TYPE_COUNT)
		return TW_E_FORMAT;
	error = frames[type].read(reader, ret, ret_ack);
	if (error)
		return error;
	ret->type = (enum tw_frame_type)type;
	return 0;
}

bool tw_frame_elicits_ack(enum tw_frame_type type)
{
	assert((unsigned)type < TW_FRAME_TYPE_COUNT);
	return frames[type].elicits_ack;
}

/* A writer that has failed already takes nothing more. */
static bool fits(const struct tw_writer *writer, size_t length)
{
	return !writer->failed && length <= tw_writer_room(writer);
}

bool tw_frame_write_padding(struct tw_writer *writer, size_t length)
{
	if (!fits(writer, length))
		return false;
	tw_write_zeros(writer, length);
	return true;
}

bool tw_frame_write_ping(struct tw_writer *writer)
{
	if (!fits(writer, 1))
		return false;
	tw_write_u8(writer, TW_FRAME_PING);
	return true;
}

static uint64_t range_length(struct tw_range range)
{
	return range.end - range.start;
}

/* How many of the newest ranges fit into @room, 0 if not even one does. */
static size_t ack_ranges_that_fit(const struct tw_ack_frame *ack, size_t room)
{
	size_t size = 1 + tw_varint_size(ack->largest) + 6 + tw_varint_size(ack->delay_us) +
		      tw_varint_size(range_length(ack->ranges[0]) - 1);
	size_t count = 0;

	while (size + tw_varint_size(count) <= room) {
		count++;
		if (count == ack->range_count)
			break;
		assert(ack->ranges[count].start < ack->ranges[count].end);
		assert(ack->ranges[count].end < ack->ranges[count - 1].start);
		size += tw_varint_size(ack->ranges[count - 1].start - ack->ranges[count].end - 1) +
			tw_varint_size(range_length(ack->ranges[count]) - 1);
	}
	return count;
}

bool tw_frame_write_ack(struct tw_writer *writer, const struct tw_ack_frame *ack, size_t *ret_count)
{
	size_t count;

	assert(ack->range_count >= 1 && ack->range_count <= TW_ACK_RANGES_MAX);
	assert(ack->ranges[0].start < ack->ranges[0].end && ack->ranges[0].end == ack->largest + 1);
	assert(ack->largest <= TW_VARINT_MAX && ack->delay_us <= TW_VARINT_MAX);
	count = writer->failed ? 0 : ack_ranges_that_fit(ack, tw_writer_room(writer));
	if (count == 0)
		return false;
	tw_write_u8(writer, TW_FRAME_ACK);
	tw_write_varint(writer, ack->largest);
	tw_write_u16(writer, (uint16_t)((ack->receive_time_us & RECEIVE_TIME_MASK) >> 32));
	tw_write_u32(writer, (uint32_t)ack->receive_time_us);
	tw_write_varint(writer, ack->delay_us);
	tw_write_varint(writer, count - 1);
	tw_write_varint(writer, range_length(ack->ranges[0]) - 1);
	for (size_t i = 1; i < count; i++) {
		tw_write_varint(writer, ack->ranges[i - 1].start - ack->ranges[i].end - 1);
		tw_write_varint(writer, range_length(ack->ranges[i]) - 1);
	}
	if (ret_count)
		*ret_count = count;
	return true;
}

bool tw_frame_write_stream_header(struct tw_writer *writer, uint64_t stream, uint64_t offset,
				  size_t length, bool last)
{
	size_t header;

	assert(stream <= TW_VARINT_MAX && offset <= TW_VARINT_MAX &&
	       length <= TW_VARINT_MAX - offset);
	header = 1 + tw_varint_size(stream) + tw_varint_size(offset) + tw_varint_size(length);
	/* @length is tried by itself first: the sum of both may wrap. */
	if (!fits(writer, length) || !fits(writer, header + length))
		return false;
	tw_write_u8(writer, last ? TW_FRAME_STREAM_LAST : TW_FRAME_STREAM);
	tw_write_varint(writer, stream);
	tw_write_varint(writer, offset);
	tw_write_varint(writer, length);
	return true;
}

bool tw_frame_write_stream_window(struct tw_writer *writer, uint64_t stream, uint64_t offset_max)
{
	assert(stream <= TW_VARINT_MAX && offset_max <= TW_VARINT_MAX);
	if (!fits(writer, 1 + tw_varint_size(stream) + tw_varint_size(offset_max)))
		return false;
	tw_write_u8(writer, TW_FRAME_STREAM_WINDOW);
	tw_write_varint(writer, stream);
	tw_write_varint(writer, offset_max);
	return true;
}

/* A frame of nothing but one number. */
static bool write_number(struct tw_writer *writer, enum tw_frame_type type, uint64_t number)
{
	assert(number <= TW_VARINT_MAX);
	if (!fits(writer, 1 + tw_varint_size(number)))
		return false;
	tw_write_u8(writer, (uint8_t)type);
	tw_write_varint(writer, number);
	return true;
}

bool tw_frame_write_data_window(struct tw_writer *writer, uint64_t bytes_max)
{
	return write_number(writer, TW_FRAME_DATA_WINDOW, bytes_max);
}

bool tw_frame_write_data_blocked(struct tw_writer *writer, uint64_t bytes_max)
{
	return write_number(writer, TW_FRAME_DATA_BLOCKED, bytes_max);
}

bool tw_frame_write_data_header(struct tw_writer *writer, uint64_t transfer, uint64_t offset)
{
	assert(transfer <= TW_VARINT_MAX && offset <= TW_VARINT_MAX);
	/* Mostly a whole datagram is free, and the exact length does not matter. */
	if (writer->failed || ((size_t)(writer->end - writer->at) < DATA_HEADER_MAX &&
			       !fits(writer, tw_frame_data_header_size(transfer, offset))))
		return false;
	*writer->at++ = TW_FRAME_DATA;
	tw_write_varint(writer, transfer);
	tw_write_varint(writer, offset);
	return true;
}

size_t tw_frame_data_header_size(uint64_t transfer, uint64_t offset)
{
	return 1 + tw_varint_size(transfer) + tw_varint_size(offset);
}

bool tw_frame_write_path(struct tw_writer *writer, enum tw_frame_type type,
			 const uint8_t token[TW_PATH_TOKEN_SIZE])
{
	assert(type == TW_FRAME_PATH_CHALLENGE || type == TW_FRAME_PATH_RESPONSE);
	if (!fits(writer, 1 + TW_PATH_TOKEN_SIZE))
		return false;
	tw_write_u8(writer, (uint8_t)type);
	tw_write_bytes(writer, token, TW_PATH_TOKEN_SIZE);
	return true;
}

/* The length of @reason, cut to the limit in front of a character rather than inside one. */
static size_t reason_length(const char *reason)
{
	size_t length = strnlen(reason, TW_CLOSE_REASON_MAX + 1);

	if (length <= TW_CLOSE_REASON_MAX)
		return length;
	length = TW_CLOSE_REASON_MAX;
	/* At most three bytes back: text that is no UTF-8 is simply cut. */
	for (size_t back = 0; back < 4; back++)
		if (((uint8_t)reason[length - back] & 0xc0) != 0x80)
			return length - back;
	return length;
}

bool tw_frame_write_close(struct tw_writer *writer, uint64_t code, const char *reason)
{
	size_t length = reason ? reason_length(reason) : 0;

	assert(code <= TW_VARINT_MAX);
	if (!fits(writer, 1 + tw_varint_size(code) + tw_varint_size(length) + length))
		return false;
	tw_write_u8(writer, TW_FRAME_CLOSE);
	tw_write_varint(writer, code);
	tw_write_varint(writer, length);
	tw_write_bytes(writer, reason, length);
	return true;
}
