/*
 * stream.h - ordered reliable bytes, one direction each: the sending half keeps what is not
 * acknowledged, the receiving half puts pieces in order. Both live in a ring of TW_STREAM_BUFFER
 * bytes, and the receiver's window never promises more than its ring holds, so neither can be
 * overrun.
 *
 * Streams of a connection sit in a table sorted by number, one table a direction. A stream that is
 * finished and acknowledged (or read to its end) is dropped; its number stays used. Numbers that
 * are left out for thousands of later streams count as used too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ranges.h"
#include "core/conn.h"

/* Pieces of one stream that may be known apart (acknowledged out of order, lost, arrived early). */
#define TW_STREAM_RANGES_MAX 4096

struct tw_send_stream {
	uint64_t id;
	uint8_t *ring;   /* owned, TW_STREAM_BUFFER */
	uint64_t base;   /* everything below is acknowledged */
	uint64_t next;   /* everything below was sent at least once */
	uint64_t end;    /* everything below was written */
	uint64_t window; /* the peer takes no byte at or above */
	struct tw_ranges acked, lost;
	bool finished, last_sent, last_acked, last_lost;
	bool was_full; /* stream_writable is owed */
};

struct tw_receive_stream {
	uint64_t id;
	uint8_t *ring;   /* owned, TW_STREAM_BUFFER */
	uint64_t read;   /* everything below was handed over */
	uint64_t window; /* what the peer was promised */
	struct tw_ranges arrived;
	uint64_t last;    /* where the stream ends; UINT64_MAX: not known */
	bool window_owed; /* a STREAM_WINDOW must be sent */
};

struct tw_stream_table {
	void **streams; /* owned array of owned streams, sorted by id */
	size_t count, room;
	struct tw_ranges over; /* numbers of dropped streams */
};

void tw_stream_table_init(struct tw_stream_table *table);
void tw_send_streams_deinit(struct tw_stream_table *table);
void tw_receive_streams_deinit(struct tw_stream_table *table);

/* NULL when there is none. */
struct tw_send_stream *tw_send_stream_find(const struct tw_stream_table *table, uint64_t id);
/* Finds or makes; NULL: over, too many, or no memory. @window: the peer's initial one. */
struct tw_send_stream *tw_send_stream_open(struct tw_stream_table *table, uint64_t id,
					   uint64_t window);
size_t tw_send_stream_write(struct tw_send_stream *stream, const void *bytes, size_t length);
/* The next piece to put into a packet, lost ones first, at most @room bytes; false: nothing.
 * @ret_last: with the end. */
bool tw_send_stream_next(const struct tw_send_stream *stream, size_t room, struct tw_range *ret,
			 bool *ret_last);
/* Copies a piece out and marks it as sent. */
void tw_send_stream_take(struct tw_send_stream *stream, const struct tw_range *piece, bool last,
			 uint8_t *bytes);
/* -ENOMEM, TW_E_FULL: the connection cannot go on. */
int tw_send_stream_acked(struct tw_send_stream *stream, uint64_t offset, uint64_t length,
			 bool last);
int tw_send_stream_lost(struct tw_send_stream *stream, uint64_t offset, uint64_t length, bool last);
bool tw_send_stream_done(const struct tw_send_stream *stream);
void tw_send_stream_drop(struct tw_stream_table *table, struct tw_send_stream *stream);

struct tw_receive_stream *tw_receive_stream_find(const struct tw_stream_table *table, uint64_t id);
/*
 * Takes a piece in. 0; TW_E_END: the stream is over, ignore; TW_E_FORMAT: beyond the window, or the
 * end moved; TW_E_FULL, -ENOMEM. @ret: the stream.
 */
int tw_receive_stream_add(struct tw_stream_table *table, uint64_t id, const struct tw_range *piece,
			  const uint8_t *bytes, bool last, struct tw_receive_stream **ret);
size_t tw_receive_stream_read(struct tw_receive_stream *stream, void *bytes, size_t room,
			      bool *ret_ended);
void tw_receive_stream_drop(struct tw_stream_table *table, struct tw_receive_stream *stream);
