/*
 * frame_again.h - writes a frame that was read, and compares two of them: for round trips in unit
 * tests and fuzzers.
 */
#pragma once

#include <string.h>

#include "base/bytes.h"
#include "wire/frame.h"

/* @padding: how long a run of PADDING to write, as the frame does not tell. */
static inline bool frame_again(struct tw_writer *writer, const struct tw_frame *frame,
			       const struct tw_ack_frame *ack, size_t padding)
{
	char reason[TW_CLOSE_REASON_MAX + 1];

	switch (frame->type) {
	case TW_FRAME_PADDING:
		return tw_frame_write_padding(writer, padding);
	case TW_FRAME_PING:
		return tw_frame_write_ping(writer);
	case TW_FRAME_ACK:
		return tw_frame_write_ack(writer, ack, NULL);
	case TW_FRAME_STREAM:
	case TW_FRAME_STREAM_LAST:
		if (!tw_frame_write_stream_header(writer, frame->stream.stream,
						  frame->stream.offset, frame->stream.length,
						  frame->stream.last))
			return false;
		tw_write_bytes(writer, frame->stream.bytes, frame->stream.length);
		return !writer->failed;
	case TW_FRAME_STREAM_WINDOW:
		return tw_frame_write_stream_window(writer, frame->stream_window.stream,
						    frame->stream_window.offset_max);
	case TW_FRAME_DATA_WINDOW:
		return tw_frame_write_data_window(writer, frame->data_window.bytes_max);
	case TW_FRAME_DATA_BLOCKED:
		return tw_frame_write_data_blocked(writer, frame->data_blocked.bytes_max);
	case TW_FRAME_DATA:
		if (!tw_frame_write_data_header(writer, frame->data.transfer, frame->data.offset))
			return false;
		tw_write_bytes(writer, frame->data.bytes, frame->data.length);
		return !writer->failed;
	case TW_FRAME_PATH_CHALLENGE:
	case TW_FRAME_PATH_RESPONSE:
		return tw_frame_write_path(writer, frame->type, frame->path_token);
	case TW_FRAME_CLOSE:
		memcpy(reason, frame->close.reason, frame->close.reason_length);
		reason[frame->close.reason_length] = '\0';
		return tw_frame_write_close(writer, frame->close.code, reason);
	case TW_FRAME_TYPE_COUNT:
		break;
	}
	return false;
}

static inline bool bytes_same(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
	return a_length == b_length && (a_length == 0 || memcmp(a, b, a_length) == 0);
}

static inline bool acks_same(const struct tw_ack_frame *a, const struct tw_ack_frame *b)
{
	return a->largest == b->largest && a->receive_time_us == b->receive_time_us &&
	       a->delay_us == b->delay_us && a->range_count == b->range_count &&
	       memcmp(a->ranges, b->ranges, a->range_count * sizeof *a->ranges) == 0;
}

/* By value: lent bytes may lie in different places. */
static inline bool frames_same(const struct tw_frame *a, const struct tw_frame *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case TW_FRAME_STREAM:
	case TW_FRAME_STREAM_LAST:
		return a->stream.stream == b->stream.stream &&
		       a->stream.offset == b->stream.offset && a->stream.last == b->stream.last &&
		       bytes_same(a->stream.bytes, a->stream.length, b->stream.bytes,
				  b->stream.length);
	case TW_FRAME_STREAM_WINDOW:
		return a->stream_window.stream == b->stream_window.stream &&
		       a->stream_window.offset_max == b->stream_window.offset_max;
	case TW_FRAME_DATA_WINDOW:
		return a->data_window.bytes_max == b->data_window.bytes_max;
	case TW_FRAME_DATA_BLOCKED:
		return a->data_blocked.bytes_max == b->data_blocked.bytes_max;
	case TW_FRAME_DATA:
		return a->data.transfer == b->data.transfer && a->data.offset == b->data.offset &&
		       bytes_same(a->data.bytes, a->data.length, b->data.bytes, b->data.length);
	case TW_FRAME_PATH_CHALLENGE:
	case TW_FRAME_PATH_RESPONSE:
		return memcmp(a->path_token, b->path_token, TW_PATH_TOKEN_SIZE) == 0;
	case TW_FRAME_CLOSE:
		return a->close.code == b->close.code &&
		       bytes_same(a->close.reason, a->close.reason_length, b->close.reason,
				  b->close.reason_length);
	case TW_FRAME_PADDING:
	case TW_FRAME_PING:
	case TW_FRAME_ACK:
		return true;
	case TW_FRAME_TYPE_COUNT:
		break;
	}
	return false;
}
