/*
 * frame.h - what a decrypted packet carries: a row of frames. Pure functions between bytes and
 * structs. Integers are variable-length (RFC 9000, 16) unless said otherwise. Normative text:
 * docs/protocol.md, section "Frames".
 *
 *   PADDING        0x00                 one byte; any number of them
 *   PING           0x01                 asks for an acknowledgement
 *   ACK            0x02 | largest
 *                  | receive time of largest (u48, microseconds of the receiver's clock)
 *                  | delay (microseconds between that arrival and this frame) | range count - 1
 *                  | first length - 1 | { gap - 1 | length - 1 } ...      newest first
 *   STREAM         0x03 (0x04: last)    | stream | offset | length | bytes
 *   STREAM_WINDOW  0x05 | stream | highest offset that may be sent
 *   DATA_WINDOW    0x06 | bytes of DATA, counted since the start of the connection, that may be
 *                  under way or accepted
 *   DATA           0x07 | transfer | tape offset | bytes to the end of the packet, at least one
 *   PATH_CHALLENGE 0x08 | 8 bytes
 *   PATH_RESPONSE  0x09 | the same 8 bytes
 *   CLOSE          0x0a | code | length | reason (UTF-8, at most 256 bytes)
 *   DATA_BLOCKED   0x0b | the window that holds the sender back
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/ranges.h"

#define TW_ACK_RANGES_MAX 512 /* in one frame; more is TW_E_FORMAT */
#define TW_CLOSE_REASON_MAX 256
#define TW_PATH_TOKEN_SIZE 8
#define TW_DATA_FRAME_OVERHEAD_MAX 10 /* type, transfer below 64, offset below 2^62 */

enum tw_frame_type {
	TW_FRAME_PADDING = 0x00,
	TW_FRAME_PING = 0x01,
	TW_FRAME_ACK = 0x02,
	TW_FRAME_STREAM = 0x03,
	TW_FRAME_STREAM_LAST = 0x04,
	TW_FRAME_STREAM_WINDOW = 0x05,
	TW_FRAME_DATA_WINDOW = 0x06,
	TW_FRAME_DATA = 0x07,
	TW_FRAME_PATH_CHALLENGE = 0x08,
	TW_FRAME_PATH_RESPONSE = 0x09,
	TW_FRAME_CLOSE = 0x0a,
	TW_FRAME_DATA_BLOCKED = 0x0b,
	TW_FRAME_TYPE_COUNT,
};

struct tw_ack_frame {
	uint64_t largest;
	uint64_t receive_time_us; /* 48 bits, wraps */
	uint64_t delay_us;
	size_t range_count;                        /* at least 1 */
	struct tw_range ranges[TW_ACK_RANGES_MAX]; /* half-open, newest (highest) first */
};

struct tw_frame {
	enum tw_frame_type type; /* as on the wire: STREAM_LAST uses .stream too */
	union {
		struct {
			uint64_t stream, offset;
			const uint8_t *bytes; /* lent */
			size_t length;
			bool last;
		} stream;
		struct {
			uint64_t stream, offset_max;
		} stream_window;
		struct {
			uint64_t bytes_max;
		} data_window, data_blocked;
		struct {
			uint64_t transfer, offset;
			const uint8_t *bytes; /* lent */
			size_t length;
		} data;
		const uint8_t *path_token; /* lent, TW_PATH_TOKEN_SIZE */
		struct {
			uint64_t code;
			const uint8_t *reason; /* lent, not terminated */
			size_t reason_length;
		} close;
	};
};

/*
 * Reads the next frame. Runs of PADDING come back as one frame. An ACK's ranges go to @ret_ack
 * (big, so the caller keeps one and hands it in). TW_E_END: the packet is used up. TW_E_FORMAT:
 * unknown type, cut off, numbers that make no sense (offset + length above TW_VARINT_MAX, a range
 * below zero): the connection must be closed. @ret is then untouched, what
 * @ret_ack holds is undefined.
 */
int tw_frame_read(struct tw_reader *reader, struct tw_frame *ret, struct tw_ack_frame *ret_ack);

/* True when a packet with such a frame must be acknowledged: all but PADDING, ACK and CLOSE. */
bool tw_frame_elicits_ack(enum tw_frame_type type);

/*
 * Writers. Each writes a whole frame or nothing: false when the room does not suffice, and then the
 * writer is as before.
 */
bool tw_frame_write_padding(struct tw_writer *writer, size_t length);
bool tw_frame_write_ping(struct tw_writer *writer);
/*
 * Writes as many of the newest ranges as fit; false when not even one does. @ret_count (may be
 * NULL): how many.
 */
bool tw_frame_write_ack(struct tw_writer *writer, const struct tw_ack_frame *ack,
			size_t *ret_count);
/* Header only: the caller writes exactly @length bytes behind it. False unless all would fit. */
bool tw_frame_write_stream_header(struct tw_writer *writer, uint64_t stream, uint64_t offset,
				  size_t length, bool last);
bool tw_frame_write_stream_window(struct tw_writer *writer, uint64_t stream, uint64_t offset_max);
bool tw_frame_write_data_window(struct tw_writer *writer, uint64_t bytes_max);
bool tw_frame_write_data_blocked(struct tw_writer *writer, uint64_t bytes_max);
/* Header only; the caller writes content, at least one byte, up to the end of the packet. */
bool tw_frame_write_data_header(struct tw_writer *writer, uint64_t transfer, uint64_t offset);
size_t tw_frame_data_header_size(uint64_t transfer, uint64_t offset);
bool tw_frame_write_path(struct tw_writer *writer, enum tw_frame_type type,
			 const uint8_t token[TW_PATH_TOKEN_SIZE]);
/*
 * @reason: UTF-8, cut to TW_CLOSE_REASON_MAX bytes, but never inside a character. NULL: none.
 */
bool tw_frame_write_close(struct tw_writer *writer, uint64_t code, const char *reason);
