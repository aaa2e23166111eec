/*
 * fakeconn.h - a stand-in for a connection of the core: keeps what was said over it, and says what
 * the test wants to be heard. For tests that ask for pieces themselves.
 */
#pragma once

#include "core/conn.h"
#include "session/message.h"

struct tw_conn {
	uint8_t out[1 << 20]; /* control stream */
	size_t written, read, acked;
	size_t room;
	uint8_t in[4096];
	size_t in_length, in_at;
	unsigned wakes, cuts;
	uint64_t consumed;
	struct tw_rate_limits limits;
	tw_ns silent_since; /* 0: it is not */
	uint64_t pacing_bps;
	bool closed;
	uint64_t code;
};

static struct tw_conn conns[4];

size_t tw_conn_stream_write(struct tw_conn *conn, uint64_t stream, const void *bytes, size_t length)
{
	if (stream != TW_STREAM_CONTROL)
		return length;
	if (length > conn->room)
		length = conn->room;
	assert_true(conn->written + length <= sizeof(conn->out));
	memcpy(conn->out + conn->written, bytes, length);
	conn->written += length;
	conn->room -= length;
	return length;
}

void tw_conn_stream_finish(struct tw_conn *conn, uint64_t stream)
{
	(void)conn;
	assert_true(stream != TW_STREAM_CONTROL);
}

void tw_conn_stream_cut(struct tw_conn *conn, uint64_t stream)
{
	assert_true(stream != TW_STREAM_CONTROL);
	conn->cuts++;
}

size_t tw_conn_stream_read(struct tw_conn *conn, uint64_t stream, void *bytes, size_t room,
			   bool *ret_ended)
{
	size_t length = conn->in_length - conn->in_at;

	assert_int_equal(stream, TW_STREAM_CONTROL);
	if (length > room)
		length = room;
	memcpy(bytes, conn->in + conn->in_at, length);
	conn->in_at += length;
	if (ret_ended)
		*ret_ended = false;
	return length;
}

uint64_t tw_conn_stream_written(const struct tw_conn *conn, uint64_t stream)
{
	assert_int_equal(stream, TW_STREAM_CONTROL);
	return conn->written;
}

uint64_t tw_conn_stream_acked(const struct tw_conn *conn, uint64_t stream)
{
	assert_int_equal(stream, TW_STREAM_CONTROL);
	return conn->acked;
}

uint64_t tw_conn_stream_unsent(const struct tw_conn *conn, uint64_t stream)
{
	(void)conn, (void)stream;
	return 0;
}

bool tw_conn_stream_flushed(struct tw_conn *conn, uint64_t stream)
{
	return tw_conn_stream_acked(conn, stream) == conn->written;
}

void tw_conn_data_consumed(struct tw_conn *conn, uint64_t bytes)
{
	conn->consumed += bytes;
}

void tw_conn_set_rate(struct tw_conn *conn, enum tw_rate_method method,
		      const struct tw_rate_limits *limits, tw_ns now)
{
	(void)method;
	(void)now;
	conn->limits = *limits;
}

void tw_conn_wake(struct tw_conn *conn)
{
	conn->wakes++;
}

void tw_conn_close(struct tw_conn *conn, uint64_t code, const char *reason)
{
	assert_non_null(reason);
	conn->closed = true;
	conn->code = code;
}

void tw_conn_info(const struct tw_conn *conn, struct tw_conn_info *ret)
{
	*ret = (struct tw_conn_info){ .silent_since =
					      conn->silent_since ? conn->silent_since : TW_NEVER,
				      .pacing_bps = conn->pacing_bps,
				      .rtt_smoothed = 10 * TW_MSEC,
				      .bandwidth_bps = 1000000000,
				      .cipher = TW_CIPHER_128,
				      .datagram_bytes = 1472 };
}
