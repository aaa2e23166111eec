/*
 * conn_send.c - what leaves: trains of equal datagrams, each sealed where it was built.
 *
 * Order inside a packet: acknowledgement, path frames, windows, streams, then DATA up to the last
 * byte. The pacer and the window hold back whatever asks for an acknowledgement; bare
 * acknowledgements, path frames and probes pass.
 */
#include <string.h>

#include "base/bytes.h"
#include "core/conn_internal.h"

/* Below this many bytes a piece of a stream or of data waits for the next packet. */
#define SMALL_PIECE 32
#define ASK_UNKNOWN (20 * TW_MSEC) /* not knowing the round trip */
/* A probe of the path MTU takes at most this part of the window. */
#define MTU_PROBES_A_WINDOW 2

struct packet {
	struct tw_writer writer; /* over the payload */
	struct tw_sent record;   /* what it will be remembered by */
	/* The last bytes of the payload, at the application's: sealing brings them here. */
	const uint8_t *body;
	bool elicits;
	bool full; /* as long as a packet may be */
};

bool tw_conn_window_open(const struct tw_conn *conn)
{
	return conn->recovery.in_flight + conn->mtu.current <=
	       tw_rate_controller_window(&conn->rate, &conn->model);
}

static bool data_allowed(const struct tw_conn *conn)
{
	return conn->data_acked + conn->data_in_flight + conn->mtu.current <= conn->data_max;
}

bool tw_conn_control_owed(const struct tw_conn *conn)
{
	return conn->data_window_owed || conn->windows_owed || conn->data_blocked_owed ||
	       conn->ping_owed || conn->path.challenge_owed;
}

bool tw_conn_wants_to_send(const struct tw_conn *conn)
{
	if (conn->state != TW_CONN_ESTABLISHED)
		return false;
	if (tw_conn_control_owed(conn) || conn->recovery.probes_owed)
		return true;
	if (!tw_conn_window_open(conn))
		return false;
	return conn->streams_ready || (conn->data_ready && data_allowed(conn));
}

static void put_ack(struct tw_conn *conn, struct packet *packet, tw_ns now)
{
	struct tw_ack_frame ack;
	size_t count;
	if (!tw_ack_tracker_frame(&conn->acks, now, &ack))
		return;
	if (!tw_frame_write_ack(&packet->writer, &ack, &count))
		return;
	tw_ack_tracker_sent(&conn->acks, now);
	conn->acks_sent++;
	if (count == ack.range_count) {
		packet->record.content |= TW_SENT_ACK;
		packet->record.ack_largest = ack.largest;
	}
	/* Once a round trip, ask to hear that our acknowledgements arrive, so that old ranges need
	 * not be repeated; and often while the round trip is not known: until then what we say is
	 * missed after a second only. */
	tw_ns every = conn->model.rtt_known ? tw_ns_max(conn->model.rtt_smoothed, 10 * TW_MSEC)
					    : ASK_UNKNOWN;
	if ((ack.range_count > 1 || !conn->model.rtt_known) &&
	    now >= conn->ping_for_ack_at + every) {
		conn->ping_for_ack_at = now;
		conn->ping_owed = true;
	}
}

static void put_path_frames(struct tw_conn *conn, struct packet *packet, tw_ns now)
{
	struct tw_path_state *path = &conn->path;
	if (path->response_owed &&
	    tw_frame_write_path(&packet->writer, TW_FRAME_PATH_RESPONSE, path->response)) {
		path->response_owed = false;
		packet->elicits = true;
	}
	if (path->challenge_owed &&
	    tw_frame_write_path(&packet->writer, TW_FRAME_PATH_CHALLENGE, path->challenge)) {
		path->challenge_owed = false;
		path->challenge_at = now + tw_path_model_pto(&conn->model);
		packet->elicits = true;
	}
}

static void put_data_window(struct tw_conn *conn, struct packet *packet)
{
	uint64_t backlog = conn->data_received - conn->data_consumed;
	uint64_t room = conn->data_window > backlog ? conn->data_window - backlog : 0;
	uint64_t promise = conn->data_received + room;
	if (promise > conn->data_promised)
		conn->data_promised = promise;
	if (!tw_frame_write_data_window(&packet->writer, conn->data_promised))
		return;
	conn->data_window_owed = false;
	packet->record.content |= TW_SENT_DATA_WINDOW;
	packet->elicits = true;
}

static void put_stream_window(struct tw_conn *conn, struct packet *packet)
{
	/* One a packet: the record has room for one. */
	conn->windows_owed = false;
	for (size_t i = 0; i < conn->receive_streams.count; i++) {
		struct tw_receive_stream *stream = conn->receive_streams.streams[i];
		if (!stream->window_owed)
			continue;
		if (packet->record.content & (TW_SENT_STREAM | TW_SENT_STREAM_WINDOW) ||
		    !tw_frame_write_stream_window(&packet->writer, stream->id, stream->window)) {
			conn->windows_owed = true;
			return;
		}
		stream->window_owed = false;
		packet->record.content |= TW_SENT_STREAM_WINDOW;
		packet->record.stream = (uint32_t)stream->id;
		packet->elicits = true;
	}
}

static void put_stream(struct tw_conn *conn, struct packet *packet)
{
	if (packet->record.content & TW_SENT_STREAM_WINDOW)
		return;
	for (size_t i = 0; i < conn->send_streams.count; i++) {
		struct tw_send_stream *stream = conn->send_streams.streams[i];
		struct tw_range piece;
		bool last;
		/* Type, number, offset and length take at most 17 bytes. */
		size_t room = tw_writer_room(&packet->writer);
		if (room < SMALL_PIECE)
			return;
		if (!tw_send_stream_next(stream, room - 17, &piece, &last))
			continue;
		size_t length = (size_t)(piece.end - piece.start);
		if (!tw_frame_write_stream_header(&packet->writer, stream->id, piece.start, length,
						  last))
			return;
		/* The repeat of it is none that asks for another. */
		if (piece.end > stream->next || (last && !stream->last_sent))
			conn->recovery.echoes = TW_STREAM_ECHOES;
		tw_send_stream_take(stream, &piece, last, packet->writer.at);
		packet->writer.at += length;
		packet->record.content |= TW_SENT_STREAM | (last ? TW_SENT_STREAM_LAST : 0);
		packet->record.stream = (uint32_t)stream->id;
		packet->record.stream_offset = piece.start;
		packet->record.stream_length = (uint16_t)length;
		packet->elicits = true;
		return;
	}
	conn->streams_ready = 0;
}

static void put_control(struct tw_conn *conn, struct packet *packet, tw_ns now)
{
	if (conn->path.response_owed || conn->path.challenge_owed)
		put_path_frames(conn, packet, now);
	if (conn->data_window_owed)
		put_data_window(conn, packet);
	if (conn->windows_owed)
		put_stream_window(conn, packet);
	if (conn->data_blocked_owed &&
	    tw_frame_write_data_blocked(&packet->writer, conn->data_max)) {
		conn->data_blocked_owed = false;
		packet->elicits = true;
	}
	if (conn->ping_owed && tw_frame_write_ping(&packet->writer)) {
		conn->ping_owed = false;
		packet->elicits = true;
	}
}

static void put_data(struct tw_conn *conn, struct packet *packet)
{
	struct tw_data_ref ref;
	if (!data_allowed(conn)) {
		if (!conn->data_blocked) {
			conn->data_blocked = true;
			conn->data_blocked_owed = true;
		}
		return;
	}
	size_t room = tw_writer_room(&packet->writer);
	if (room < TW_DATA_FRAME_OVERHEAD_MAX + SMALL_PIECE)
		return;
	if (!conn->app->data_next || !conn->app->data_next(conn->app_context, conn, &ref)) {
		conn->data_ready = false;
		return;
	}
	room -= tw_frame_data_header_size(ref.transfer, ref.offset);
	if (ref.length > room)
		ref.length = room;
	if (!tw_frame_write_data_header(&packet->writer, ref.transfer, ref.offset))
		return;
	packet->body = conn->app->data_take(conn->app_context, conn, &ref);
	packet->writer.at += ref.length;
	packet->record.content |= TW_SENT_DATA;
	packet->record.data_transfer = (uint32_t)ref.transfer;
	packet->record.data_offset = ref.offset;
	packet->record.data_length = (uint16_t)ref.length;
	packet->elicits = true;
}

/* Writes the header, seals, remembers. Returns the length of the datagram. */
static size_t seal_packet(struct tw_conn *conn, struct packet *packet, uint8_t *bytes, tw_ns now)
{
	uint64_t number;
	struct tw_sent *sent = tw_sent_map_push(&conn->recovery.sent, &number);
	bool before = conn->seal.phase;
	bool phase = tw_seal_chain_phase(&conn->seal, number);
	if (phase != before)
		conn->key_updates++;
	size_t header = tw_datagram_write_packet_header(conn->peer_cid, phase, number, bytes);
	struct tw_payload payload = {
		.bytes = bytes + header,
		.length = tw_writer_length(&packet->writer),
		.body = packet->body,
		.body_length = packet->body ? packet->record.data_length : 0,
	};
	tw_seal_gather(&conn->seal, number, bytes, header, &payload);
	size_t length = header + payload.length + tw_cipher_tag_size(conn->cipher);
	*sent = packet->record;
	sent->bytes = (uint16_t)length;
	sent->sent_at = now;
	if (packet->elicits) {
		tw_recovery_sent(conn, sent, now);
		if (sent->content & TW_SENT_DATA) {
			conn->data_in_flight += sent->data_length;
			conn->data_sent += sent->data_length;
		}
	}
	conn->packets_sent++;
	conn->bytes_sent += length;
	conn->last_sent_at = now;
	if (!conn->path.validated)
		conn->path.sent_bytes += length;
	return length;
}

static void open_packet(struct tw_conn *conn, struct packet *packet, uint8_t *bytes, size_t size)
{
	size_t tag = tw_cipher_tag_size(conn->cipher);
	packet->record = (struct tw_sent){ 0 };
	packet->elicits = false;
	packet->body = NULL;
	tw_writer_init(&packet->writer, bytes + TW_PACKET_HEADER_SIZE,
		       size - TW_PACKET_HEADER_SIZE - tag);
}

/* The probe that may leave now, or 0: at a crawl a jumbo one would fill the window, and content
 * would wait until it is known to be lost. */
static uint32_t mtu_probe_size(const struct tw_conn *conn, tw_ns now)
{
	uint32_t size = tw_mtu_wants(&conn->mtu, now);
	if (!size)
		return 0;
	uint64_t window = tw_rate_controller_window(&conn->rate, &conn->model);
	return size <= window / MTU_PROBES_A_WINDOW ? size : 0;
}

tw_ns tw_conn_mtu_deadline(const struct tw_conn *conn)
{
	return mtu_probe_size(conn, TW_NEVER) ? tw_mtu_deadline(&conn->mtu) : TW_NEVER;
}

static bool send_mtu_probe(struct tw_conn *conn, struct tw_train *train, tw_ns now)
{
	uint32_t size = mtu_probe_size(conn, now);
	if (!size || size > train->room || !conn->path.validated ||
	    tw_sent_map_reserve(&conn->recovery.sent, 1))
		return false;
	struct packet packet;
	open_packet(conn, &packet, train->bytes, size);
	tw_frame_write_ping(&packet.writer);
	tw_frame_write_padding(&packet.writer, tw_writer_room(&packet.writer));
	packet.elicits = true;
	packet.record.content = TW_SENT_MTU_PROBE;
	tw_mtu_sent(&conn->mtu, size);
	train->length = seal_packet(conn, &packet, train->bytes, now);
	train->segment = (uint32_t)train->length;
	train->mtu_probe = true;
	tw_pacer_spent(&conn->pacer, now, train->length);
	return true;
}

/* A challenge to an address that was offered. Nobody waits for its acknowledgement: that it is lost
 * says nothing about the path in use. */
static bool send_trial(struct tw_conn *conn, struct tw_train *train, tw_ns now)
{
	uint8_t token[TW_PATH_TOKEN_SIZE];
	struct tw_path path;
	if ((!conn->trial.owed && now < conn->trial.next_at) ||
	    tw_sent_map_reserve(&conn->recovery.sent, 1) ||
	    !tw_conn_trial_next(conn, &path, token, now))
		return false;
	struct packet packet;
	open_packet(conn, &packet, train->bytes, tw_conn_trial_size(conn));
	tw_frame_write_path(&packet.writer, TW_FRAME_PATH_CHALLENGE, token);
	tw_frame_write_padding(&packet.writer, tw_writer_room(&packet.writer));
	train->path = path;
	train->length = seal_packet(conn, &packet, train->bytes, now);
	train->segment = (uint32_t)train->length;
	/* Too long for that way: no matter. */
	train->mtu_probe = true;
	train->aside = true;
	return true;
}

/* Anybody may be said to have asked: the answer alone, which is no longer than its question. */
static bool send_answer_aside(struct tw_conn *conn, struct tw_train *train, tw_ns now)
{
	struct tw_path_state *path = &conn->path;
	struct packet packet;

	if (tw_sent_map_reserve(&conn->recovery.sent, 1))
		return false;
	open_packet(conn, &packet, train->bytes, TW_MTU_BASE);
	tw_frame_write_path(&packet.writer, TW_FRAME_PATH_RESPONSE, path->response);
	path->response_owed = false;
	train->path = path->response_path;
	train->length = seal_packet(conn, &packet, train->bytes, now);
	train->segment = (uint32_t)train->length;
	train->aside = true;
	return true;
}

/* A bare packet that the pacer does not hold: acknowledgements, path frames, windows, probes, the
 * keep-alive. */
static bool send_bare(struct tw_conn *conn, struct tw_train *train, bool ack, tw_ns now)
{
	size_t size = TW_MTU_BASE < conn->mtu.current ? TW_MTU_BASE : conn->mtu.current;
	size_t allowed = tw_conn_path_allowance(conn);
	/* What little may go to an address that is not proved is for the question that proves
	 * it. */
	bool asks = conn->path.challenge_owed && !conn->path.validated;
	size_t least = asks ? 1 + TW_PATH_TOKEN_SIZE : SMALL_PIECE;
	if (size > allowed)
		size = allowed;
	if (size < TW_PACKET_HEADER_SIZE + TW_TAG_SIZE + least ||
	    tw_sent_map_reserve(&conn->recovery.sent, 1))
		return false;
	struct packet packet;
	open_packet(conn, &packet, train->bytes, size);
	if (ack && !asks)
		put_ack(conn, &packet, now);
	put_control(conn, &packet, now);
	if (ack && asks)
		put_ack(conn, &packet, now);
	if (conn->recovery.probes_owed && !packet.elicits)
		put_stream(conn, &packet);
	if (conn->recovery.probes_owed) {
		conn->recovery.probes_owed--;
		if (!packet.elicits)
			packet.elicits = tw_frame_write_ping(&packet.writer);
	}
	if (!tw_writer_length(&packet.writer))
		return false;
	train->length = seal_packet(conn, &packet, train->bytes, now);
	train->segment = (uint32_t)train->length;
	if (packet.elicits)
		tw_pacer_spent(&conn->pacer, now, train->length);
	return true;
}

static size_t train_budget(struct tw_conn *conn, const struct tw_train *train, tw_ns now)
{
	size_t budget = tw_pacer_allowance(&conn->pacer, now);
	uint64_t window = tw_rate_controller_window(&conn->rate, &conn->model);
	uint64_t open = window > conn->recovery.in_flight ? window - conn->recovery.in_flight : 0;
	if (budget > open)
		budget = (size_t)open;
	if (budget > train->room)
		budget = train->room;
	size_t path = tw_conn_path_allowance(conn);
	return budget < path ? budget : path;
}

/* Full datagrams back to back; a shorter one ends the train. */
static bool send_train(struct tw_conn *conn, struct tw_train *train, bool ack, tw_ns now)
{
	size_t budget = train_budget(conn, train, now);
	size_t size = conn->mtu.current;
	while (budget - train->length >= size && budget >= size) {
		if (tw_sent_map_reserve(&conn->recovery.sent, 1))
			break;
		struct packet packet;
		uint8_t *at = train->bytes + train->length;
		open_packet(conn, &packet, at, size);
		if (ack) {
			put_ack(conn, &packet, now);
			ack = false;
		}
		if (tw_conn_control_owed(conn))
			put_control(conn, &packet, now);
		if (conn->streams_ready)
			put_stream(conn, &packet);
		if (conn->data_ready && conn->app)
			put_data(conn, &packet);
		if (!tw_writer_length(&packet.writer))
			break;
		size_t length = seal_packet(conn, &packet, at, now);
		train->length += length;
		if (!train->segment)
			train->segment = (uint32_t)length;
		if (length < size)
			break;
	}
	if (!train->length)
		return false;
	tw_pacer_spent(&conn->pacer, now, train->length);
	return true;
}

static void note_limits(struct tw_conn *conn)
{
	bool has_data = conn->data_ready || conn->streams_ready;
	conn->window_limited = has_data && !tw_conn_window_open(conn);
	conn->app_limited = !has_data || (conn->data_ready && !data_allowed(conn));
	if (conn->app_limited && !conn->window_limited) {
		uint64_t until = conn->recovery.delivered + conn->recovery.in_flight;
		conn->recovery.app_limited_until = until ? until : 1;
	}
}

static bool send_close(struct tw_conn *conn, struct tw_train *train, tw_ns now)
{
	conn->close_owed = false;
	if (!conn->seal.key && conn->cipher != TW_CIPHER_NONE)
		return false;
	if (tw_sent_map_reserve(&conn->recovery.sent, 1))
		return false;
	struct packet packet;
	open_packet(conn, &packet, train->bytes, TW_MTU_BASE);
	if (!tw_frame_write_close(&packet.writer, conn->close_code, conn->close_reason))
		return false;
	train->length = seal_packet(conn, &packet, train->bytes, now);
	train->segment = (uint32_t)train->length;
	return true;
}

static bool send_handshake(struct tw_conn *conn, struct tw_train *train, tw_ns now)
{
	struct tw_handshake *handshake = conn->handshake;
	if (!handshake || !handshake->send_now)
		return false;
	handshake->send_now = false;
	memcpy(train->bytes, handshake->datagram, handshake->length);
	train->length = handshake->length;
	train->segment = (uint32_t)train->length;
	if (!handshake->sends++)
		handshake->first_sent_at = now;
	handshake->last_sent_at = now;
	conn->last_sent_at = now;
	conn->packets_sent++;
	conn->bytes_sent += train->length;
	return true;
}

bool tw_conn_send(struct tw_conn *conn, struct tw_train *train, tw_ns now)
{
	conn->now = now;
	train->length = 0;
	train->segment = 0;
	train->mtu_probe = train->aside = false;
	train->path = conn->path.path;
	train->conn = conn;
	if (conn->state == TW_CONN_CONNECTING)
		return send_handshake(conn, train, now);
	if (conn->state == TW_CONN_CLOSING)
		return conn->close_owed && send_close(conn, train, now);
	if (conn->state != TW_CONN_ESTABLISHED)
		return false;

	if (send_trial(conn, train, now))
		return true;
	bool ack = tw_ack_tracker_due(&conn->acks, conn->model.rtt_smoothed) <= now;
	if (conn->path.response_owed &&
	    !tw_address_equal(&conn->path.response_path.remote, &conn->path.path.remote))
		return send_answer_aside(conn, train, now);
	if (conn->path.response_owed || conn->recovery.probes_owed)
		return send_bare(conn, train, ack, now);
	if (mtu_probe_size(conn, now) && !ack && send_mtu_probe(conn, train, now))
		return true;
	if ((conn->streams_ready || conn->data_ready) && send_train(conn, train, ack, now)) {
		note_limits(conn);
		return true;
	}
	note_limits(conn);
	if (ack || tw_conn_control_owed(conn))
		return send_bare(conn, train, ack, now);
	return false;
}
