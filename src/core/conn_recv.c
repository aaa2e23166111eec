/*
 * conn_recv.c - a packet comes in: opened, checked against repeats, its frames handed to whom they
 * concern.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "core/conn_internal.h"

struct incoming {
	const struct tw_path *path;
	uint64_t number;
	tw_ns now;
	bool elicits;
	bool refused; /* no room for its DATA: as if it had not come */
};

static void broken(struct tw_conn *conn, const char *what)
{
	tw_conn_finish(conn, TW_CONN_PROTOCOL, 1, what, true);
}

static void receive_stream(struct tw_conn *conn, const struct tw_frame *frame)
{
	struct tw_range piece = { frame->stream.offset,
				  frame->stream.offset + frame->stream.length };
	struct tw_receive_stream *stream;
	if (frame->stream.stream > UINT32_MAX) {
		broken(conn, "stream number out of bounds");
		return;
	}
	int error = tw_receive_stream_add(&conn->receive_streams, frame->stream.stream, &piece,
					  frame->stream.bytes, frame->stream.last, &stream);
	if (error == TW_E_END)
		return;
	if (error == TW_E_FORMAT) {
		broken(conn, "stream beyond its window or its end");
		return;
	}
	if (error) {
		tw_conn_finish(conn, TW_CONN_RESOURCES, 2, "too many streams", true);
		return;
	}
	bool readable = (stream->arrived.count && stream->arrived.at[0].start == stream->read) ||
			stream->read == stream->last;
	if (readable && conn->app && conn->app->stream_readable)
		conn->app->stream_readable(conn->app_context, conn, frame->stream.stream);
}

/*
 * The window doubles as soon as the peer has filled more than half of it within a round trip, and
 * most of that is not waiting any more: it must never be what limits a path that the disk can
 * follow. On a near path it is as much as keeps the disk busy, so that nothing waits for it that
 * has left the processor's cache.
 */
static void grow_data_window(struct tw_conn *conn, tw_ns now)
{
	tw_ns rtt = conn->model.rtt_known ? conn->model.rtt_smoothed : TW_RTT_INITIAL;
	bool full = conn->data_received - conn->data_round_start > conn->data_window / 2 &&
		    conn->data_received - conn->data_consumed < conn->data_window / 2;

	if (!full && tw_ns_since(now, conn->data_round_at) < tw_ns_max(rtt, TW_MSEC))
		return;
	if (conn->model.near)
		conn->data_window = TW_PATH_NEAR_BYTES;
	else if (full)
		conn->data_window *= 2;
	if (conn->data_window > conn->config.data_window_max)
		conn->data_window = conn->config.data_window_max;
	conn->data_round_at = now;
	conn->data_round_start = conn->data_received;
}

static void receive_data(struct tw_conn *conn, const struct tw_frame *frame, struct incoming *in)
{
	struct tw_data_ref piece = { frame->data.transfer, frame->data.offset, frame->data.length };
	/*
	 * Nobody to take it yet, or no room. The window is no bound to enforce here: what the
	 * sender took for lost may arrive beside its repetition; memory is guarded by whoever takes
	 * the data.
	 */
	if (!conn->app || !conn->app->data_received) {
		in->refused = true;
		return;
	}
	/* Counted first: it may be consumed within the call. */
	conn->data_received += piece.length;
	if (!conn->app->data_received(conn->app_context, conn, &piece, frame->data.bytes)) {
		conn->data_received -= piece.length;
		in->refused = true;
		return;
	}
	grow_data_window(conn, in->now);
}

static void receive_frame(struct tw_conn *conn, const struct tw_frame *frame,
			  const struct tw_ack_frame *ack, struct incoming *in)
{
	struct tw_send_stream *stream;
	switch (frame->type) {
	case TW_FRAME_ACK:
		switch (tw_recovery_ack(conn, ack, in->now)) {
		case 0:
			break;
		case TW_E_FORMAT:
			broken(conn, "acknowledgement of what was never sent");
			break;
		default:
			tw_conn_finish(conn, TW_CONN_RESOURCES, 2, "out of memory", true);
		}
		break;
	case TW_FRAME_STREAM:
	case TW_FRAME_STREAM_LAST:
		receive_stream(conn, frame);
		break;
	case TW_FRAME_STREAM_WINDOW:
		stream = tw_send_stream_find(&conn->send_streams, frame->stream_window.stream);
		if (stream && frame->stream_window.offset_max > stream->window) {
			stream->window = frame->stream_window.offset_max;
			conn->streams_ready = 1;
		}
		break;
	case TW_FRAME_DATA_WINDOW:
		if (frame->data_window.bytes_max > conn->data_max) {
			conn->data_max = frame->data_window.bytes_max;
			conn->data_blocked = false;
		}
		break;
	case TW_FRAME_DATA_BLOCKED:
		conn->data_window_owed = true;
		break;
	case TW_FRAME_DATA:
		receive_data(conn, frame, in);
		break;
	case TW_FRAME_PATH_CHALLENGE:
		tw_conn_path_challenged(conn, frame->path_token, in->path);
		break;
	case TW_FRAME_PATH_RESPONSE:
		tw_conn_path_answered(conn, frame->path_token, in->path, in->now);
		break;
	case TW_FRAME_CLOSE: {
		char reason[TW_CLOSE_REASON_MAX + 1];
		memcpy(reason, frame->close.reason, frame->close.reason_length);
		reason[frame->close.reason_length] = 0;
		tw_conn_finish(conn, TW_CONN_CLOSED_PEER, frame->close.code, reason, false);
		break;
	}
	default:
		break;
	}
}

static void receive_frames(struct tw_conn *conn, const uint8_t *bytes, size_t length,
			   struct incoming *in)
{
	/* Big, and filled only as far as an ACK has ranges. */
	struct tw_ack_frame ack;
	struct tw_frame frame;
	struct tw_reader reader;
	tw_reader_init(&reader, bytes, length);
	for (;;) {
		int error = tw_frame_read(&reader, &frame, &ack);
		if (error == TW_E_END)
			return;
		if (error) {
			broken(conn, "malformed frame");
			return;
		}
		in->elicits = in->elicits || tw_frame_elicits_ack(frame.type);
		receive_frame(conn, &frame, &ack, in);
		if (conn->state != TW_CONN_ESTABLISHED || in->refused)
			return;
	}
}

/* The first packet that opens shows that the initiator has the keys: only now is it more than a
 * claim. */
static void confirm(struct tw_conn *conn, tw_ns now)
{
	tw_ns rtt =
		conn->handshake->sends == 1 ? tw_ns_since(now, conn->handshake->last_sent_at) : 0;
	conn->path.validated = true;
	tw_endpoint_half_open(conn, false);
	tw_handshake_free(conn);
	tw_conn_start(conn, rtt);
}

/* Nothing but path frames and padding: the peer tries a way, it has not moved. */
static bool only_tries(const uint8_t *bytes, size_t length)
{
	size_t at = 0;
	while (at < length) {
		if (bytes[at] == TW_FRAME_PADDING)
			at++;
		else if (bytes[at] == TW_FRAME_PATH_CHALLENGE ||
			 bytes[at] == TW_FRAME_PATH_RESPONSE)
			at += 1 + TW_PATH_TOKEN_SIZE;
		else
			return false;
	}
	return true;
}

/* Are there keys, and a use for what they open? */
static bool can_open(const struct tw_conn *conn)
{
	if (conn->state == TW_CONN_CLOSING)
		return conn->established_at && conn->end != TW_CONN_CLOSED_PEER;
	/* While connecting only the accepting side has keys, and only for whom it let in. */
	return conn->state == TW_CONN_ESTABLISHED ||
	       (!conn->initiator && conn->handshake && !conn->handshake->refused);
}

static void forged(struct tw_conn *conn)
{
	if (conn->open.failures >= TW_FORGED_MAX)
		tw_conn_finish(conn, TW_CONN_TIMEOUT, 0, "too many forged packets for one key",
			       false);
}

/* Whoever still sends has not heard that this is over: say it again, ever more rarely. */
static void stray(struct tw_conn *conn, uint64_t number, tw_ns now)
{
	/* Each counts once; without memory to remember it, not at all. */
	if (tw_ack_tracker_add(&conn->acks, number, false, now))
		return;
	conn->strays++;
	if ((conn->strays & (conn->strays - 1)) == 0)
		conn->close_owed = true;
}

void tw_conn_receive(struct tw_conn *conn, const struct tw_datagram *datagram,
		     const struct tw_path *path, uint8_t *bytes, size_t length, tw_ns now)
{
	if (!can_open(conn))
		return;
	uint64_t number = tw_packet_number_expand(conn->acks.any ? conn->acks.largest + 1 : 0,
						  datagram->packet_number_low);
	if (!tw_ack_tracker_fresh(&conn->acks, number))
		return;
	size_t header = datagram->header_length;
	if (tw_open(&conn->open, datagram->key_phase, number, bytes, header, bytes + header,
		    length - header)) {
		forged(conn);
		return;
	}
	if (conn->state == TW_CONN_CLOSING) {
		stray(conn, number, now);
		return;
	}
	conn->now = now;
	conn->packets_received++;
	conn->bytes_received += length;
	conn->last_received_at = now;
	/* A straggler says that the peer was there once, not that it is: only news counts. */
	if (!conn->acks.any || number > conn->acks.largest) {
		conn->heard_at = now;
		conn->silent_since = TW_NEVER;
	}
	if (conn->state == TW_CONN_CONNECTING)
		confirm(conn, now);
	size_t payload = length - header - tw_cipher_tag_size(conn->cipher);
	if ((!conn->acks.any || number > conn->acks.largest) &&
	    !only_tries(bytes + header, payload))
		tw_conn_path_seen(conn, path, length, now);

	struct incoming in = { .path = path, .number = number, .now = now };
	receive_frames(conn, bytes + header, payload, &in);
	tw_endpoint_active(conn, now);
	if (in.refused || conn->state != TW_CONN_ESTABLISHED)
		return;
	if (tw_ack_tracker_add(&conn->acks, number, in.elicits, now))
		tw_conn_finish(conn, TW_CONN_RESOURCES, 2, "out of memory", true);
}
