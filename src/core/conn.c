/*
 * conn.c - the life of a connection: states, timers, and the functions the application calls.
 */
#include "core/conn_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_PART 64 /* of a round trip */
#define PATIENCE_MIN (50 * TW_USEC)
#define PATIENCE_MAX TW_MSEC

#define TO(state) (1u << (state))

static const struct {
	const char *name;
	unsigned next;
} states[] = {
	[TW_CONN_CONNECTING] = { "connecting",
				 TO(TW_CONN_ESTABLISHED) | TO(TW_CONN_CLOSING) | TO(TW_CONN_GONE) },
	[TW_CONN_ESTABLISHED] = { "established", TO(TW_CONN_CLOSING) | TO(TW_CONN_GONE) },
	[TW_CONN_CLOSING] = { "closing", TO(TW_CONN_GONE) },
	[TW_CONN_GONE] = { "gone", 0 },
};

void tw_conn_enter(struct tw_conn *conn, enum tw_conn_state state)
{
	assert(states[conn->state].next & TO(state));
	conn->state = state;
}

int tw_conn_new(struct tw_endpoint *endpoint, bool initiator, tw_ns now, struct tw_conn **ret)
{
	struct tw_conn *conn = calloc(1, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	conn->endpoint = endpoint;
	conn->initiator = initiator;
	conn->state = TW_CONN_CONNECTING;
	conn->now = now;
	conn->silent_since = TW_NEVER;
	conn->trial.next_at = TW_NEVER;
	conn->data_window = TW_DATA_WINDOW_INITIAL;
	tw_conn_settle(&conn->config);
	conn->gone_at = TW_NEVER;
	tw_ack_tracker_init(&conn->acks);
	tw_recovery_init(conn);
	tw_stream_table_init(&conn->send_streams);
	tw_stream_table_init(&conn->receive_streams);
	tw_path_model_init(&conn->model, now);
	conn->cid = tw_endpoint_new_cid(endpoint);
	*ret = conn;
	return 0;
}

void tw_conn_free(struct tw_conn *conn)
{
	tw_handshake_free(conn);
	tw_seal_chain_deinit(&conn->seal);
	tw_open_chain_deinit(&conn->open);
	tw_ack_tracker_deinit(&conn->acks);
	tw_recovery_deinit(conn);
	tw_send_streams_deinit(&conn->send_streams);
	tw_receive_streams_deinit(&conn->receive_streams);
	free(conn);
}

void tw_conn_settle(struct tw_conn_config *config)
{
	if (!config->idle_timeout)
		config->idle_timeout = TW_IDLE_TIMEOUT;
	if (!config->keep_alive)
		config->keep_alive = config->idle_timeout / 3;
	if (!config->data_window_max)
		config->data_window_max = TW_DATA_WINDOW_MAX;
	if (!config->datagram_max || config->datagram_max > TW_DATAGRAM_MAX)
		config->datagram_max = TW_DATAGRAM_MAX;
	if (config->datagram_max < TW_DATAGRAM_INIT_MIN)
		config->datagram_max = TW_DATAGRAM_INIT_MIN;
	if (!config->limits.max_bps)
		config->limits.max_bps = UINT64_MAX;
}

void tw_conn_start(struct tw_conn *conn, tw_ns rtt)
{
	tw_ns now = conn->now;
	tw_conn_enter(conn, TW_CONN_ESTABLISHED);
	conn->established_at = now;
	conn->silent_since = TW_NEVER;
	if (rtt)
		tw_path_model_seed_rtt(&conn->model, rtt);
	else if (conn->config.rtt_hint)
		tw_path_model_seed_rtt(&conn->model, conn->config.rtt_hint);
	uint64_t theirs = conn->peer.datagram_max;
	uint32_t largest =
		theirs < conn->config.datagram_max ? (uint32_t)theirs : conn->config.datagram_max;
	tw_mtu_init(&conn->mtu, largest, now);
	tw_rate_controller_init(&conn->rate, conn->config.method, &conn->config.limits,
				&conn->model, now);
	tw_rate_controller_hint(&conn->rate, &conn->config.hint, &conn->model, now);
	tw_rate_controller_datagram_size(&conn->rate, conn->mtu.current);
	tw_pacer_init(&conn->pacer, tw_rate_controller_pacing(&conn->rate), conn->mtu.current);
	tw_rate_controller_pace(&conn->rate, &conn->pacer, now);
	conn->data_max = conn->peer.data_window;
	conn->data_promised = conn->data_window;
	conn->data_round_at = now;
	conn->ping_for_ack_at = now;
	if (conn->app && conn->app->established)
		conn->app->established(conn->app_context, conn);
}

void tw_conn_finish(struct tw_conn *conn, enum tw_conn_end end, uint64_t code, const char *reason,
		    bool say)
{
	if (conn->state == TW_CONN_CLOSING || conn->state == TW_CONN_GONE)
		return;
	bool established = conn->state == TW_CONN_ESTABLISHED;
	conn->end = end;
	conn->close_code = code;
	size_t length = reason ? strnlen(reason, TW_CLOSE_REASON_MAX) : 0;
	if (length)
		memcpy(conn->close_reason, reason, length);
	conn->close_reason[length] = 0;
	conn->close_owed = say && established;
	conn->gone_at = conn->now + (established ? TW_CLOSE_LINGER : 0);
	tw_conn_enter(conn, TW_CONN_CLOSING);
	tw_conn_touch(conn);
}

static tw_ns next_init_at(const struct tw_handshake *handshake)
{
	bool brisk = handshake->repeats && handshake->repeats < TW_INIT_BRISK;
	return handshake->last_sent_at + (brisk ? TW_INIT_BRISK_RETRY : TW_INIT_RETRY);
}

static tw_ns handshake_deadline(const struct tw_conn *conn)
{
	const struct tw_handshake *handshake = conn->handshake;
	if (!handshake)
		return TW_NEVER;
	if (handshake->send_now)
		return 0;
	if (!conn->initiator)
		return handshake->give_up_at;
	return tw_ns_min(next_init_at(handshake), handshake->give_up_at);
}

static tw_ns established_deadline(const struct tw_conn *conn)
{
	tw_ns at = tw_ack_tracker_due(&conn->acks, conn->model.rtt_smoothed);
	tw_ns last_seen = tw_ns_max(conn->heard_at, conn->established_at);
	at = tw_ns_min(at, tw_recovery_deadline(conn));
	at = tw_ns_min(at, tw_conn_path_deadline(conn));
	at = tw_ns_min(at, tw_conn_mtu_deadline(conn));
	at = tw_ns_min(at, last_seen + conn->config.idle_timeout);
	at = tw_ns_min(at, conn->last_sent_at + conn->config.keep_alive);
	if (conn->path.response_owed || conn->recovery.probes_owed || tw_conn_control_owed(conn))
		return 0;
	if (tw_conn_wants_to_send(conn) && tw_conn_path_allowance(conn) >= conn->mtu.current)
		at = tw_ns_min(at, tw_pacer_next(&conn->pacer, conn->now));
	return at;
}

/*
 * Its packets may come late by what is small beside its round trip. Not at the start, when the way
 * they arrive is what the peer finds its rate by, and not on short paths, where waiting is what
 * costs.
 */
tw_ns tw_conn_patience(const struct tw_conn *conn, tw_ns now)
{
	tw_ns rtt = conn->model.rtt_smoothed, patience = rtt / PATIENCE_PART;

	if (conn->state != TW_CONN_ESTABLISHED || !conn->model.rtt_known ||
	    patience < PATIENCE_MIN || conn->acks.total < TW_ACK_EARLY_PACKETS ||
	    tw_ns_since(now, conn->acks.started_at) < TW_ACK_EARLY_ROUNDS * rtt)
		return 0;
	return tw_ns_min(patience, PATIENCE_MAX);
}

tw_ns tw_conn_deadline(const struct tw_conn *conn)
{
	switch (conn->state) {
	case TW_CONN_CONNECTING:
		return handshake_deadline(conn);
	case TW_CONN_ESTABLISHED:
		return established_deadline(conn);
	case TW_CONN_CLOSING:
		return conn->close_owed || !conn->closed_told ? 0 : conn->gone_at;
	default:
		return TW_NEVER;
	}
}

static void tell_closed(struct tw_conn *conn)
{
	const struct tw_conn_app *app = conn->app;
	conn->closed_told = true;
	conn->app = NULL;
	if (app && app->closed)
		app->closed(conn->app_context, conn, conn->end, conn->close_code,
			    conn->close_reason);
}

static void handshake_timeout(struct tw_conn *conn, tw_ns now)
{
	struct tw_handshake *handshake = conn->handshake;
	if (now >= handshake->give_up_at) {
		if (handshake->other_version)
			tw_conn_finish(conn, TW_CONN_VERSION, 0, "no protocol version in common",
				       false);
		else
			tw_conn_finish(conn, TW_CONN_TIMEOUT, 0, "no answer", false);
		return;
	}
	if (conn->initiator && handshake->sends && !handshake->send_now &&
	    now >= next_init_at(handshake)) {
		handshake->repeats++;
		handshake->send_now = true;
	}
}

static void established_timeout(struct tw_conn *conn, tw_ns now)
{
	tw_ns last_seen = tw_ns_max(conn->heard_at, conn->established_at);
	if (now >= last_seen + conn->config.idle_timeout) {
		tw_conn_finish(conn, TW_CONN_TIMEOUT, 0, "the peer fell silent", false);
		return;
	}
	tw_recovery_timeout(conn, now);
	tw_conn_path_timeout(conn, now);
	if (now >= conn->last_sent_at + conn->config.keep_alive)
		conn->ping_owed = true;
}

void tw_conn_timeout(struct tw_conn *conn, tw_ns now)
{
	conn->now = now;
	if (conn->state == TW_CONN_CONNECTING && conn->handshake)
		handshake_timeout(conn, now);
	else if (conn->state == TW_CONN_ESTABLISHED)
		established_timeout(conn, now);
	if (conn->state != TW_CONN_CLOSING)
		return;
	if (!conn->closed_told)
		tell_closed(conn);
	if (now >= conn->gone_at && !conn->close_owed)
		tw_conn_enter(conn, TW_CONN_GONE);
}

void tw_conn_touch(struct tw_conn *conn)
{
	/*
	 * Behind those that have waited for longer: where there is more to do than time, all others
	 * are touched again and again, and one that is not would never have its turn. Fails only
	 * when the heap cannot grow, and every connection has had its place there since it was
	 * made.
	 */
	if (!conn->timer.place || conn->timer.at > conn->endpoint->now)
		(void)tw_heap_set(&conn->endpoint->timers, &conn->timer, conn->endpoint->now);
}

size_t tw_conn_stream_write(struct tw_conn *conn, uint64_t id, const void *bytes, size_t length)
{
	if (conn->state != TW_CONN_ESTABLISHED)
		return 0;
	struct tw_send_stream *stream =
		tw_send_stream_open(&conn->send_streams, id, conn->peer.stream_window);
	if (!stream)
		return 0;
	size_t taken = tw_send_stream_write(stream, bytes, length);
	conn->streams_ready = true;
	tw_conn_touch(conn);
	return taken;
}

size_t tw_conn_stream_room(struct tw_conn *conn, uint64_t id)
{
	if (conn->state != TW_CONN_ESTABLISHED)
		return 0;
	struct tw_send_stream *stream =
		tw_send_stream_open(&conn->send_streams, id, conn->peer.stream_window);
	if (!stream || stream->finished)
		return 0;
	size_t room = TW_STREAM_BUFFER - (size_t)(stream->end - stream->base);
	if (!room)
		stream->was_full = true;
	return room;
}

void tw_conn_stream_finish(struct tw_conn *conn, uint64_t id)
{
	if (conn->state != TW_CONN_ESTABLISHED)
		return;
	struct tw_send_stream *stream =
		tw_send_stream_open(&conn->send_streams, id, conn->peer.stream_window);
	if (!stream)
		return;
	stream->finished = true;
	conn->streams_ready = true;
	tw_conn_touch(conn);
}

void tw_conn_stream_cut(struct tw_conn *conn, uint64_t id)
{
	struct tw_send_stream *stream = tw_send_stream_find(&conn->send_streams, id);
	if (stream && !stream->finished)
		stream->end = stream->next;
	tw_conn_stream_finish(conn, id);
}

size_t tw_conn_stream_read(struct tw_conn *conn, uint64_t id, void *bytes, size_t room,
			   bool *ret_ended)
{
	struct tw_receive_stream *stream = tw_receive_stream_find(&conn->receive_streams, id);
	bool ended = false;
	size_t length = 0;
	if (stream) {
		length = tw_receive_stream_read(stream, bytes, room, &ended);
		if (stream->window_owed)
			conn->windows_owed = true;
		if (ended)
			tw_receive_stream_drop(&conn->receive_streams, stream);
		tw_conn_touch(conn);
	}
	if (ret_ended)
		*ret_ended = ended;
	return length;
}

bool tw_conn_stream_flushed(struct tw_conn *conn, uint64_t id)
{
	const struct tw_send_stream *stream = tw_send_stream_find(&conn->send_streams, id);
	return !stream || stream->base == stream->end;
}

uint64_t tw_conn_stream_written(const struct tw_conn *conn, uint64_t id)
{
	const struct tw_send_stream *stream = tw_send_stream_find(&conn->send_streams, id);
	return stream ? stream->end : 0;
}

uint64_t tw_conn_stream_acked(const struct tw_conn *conn, uint64_t id)
{
	const struct tw_send_stream *stream = tw_send_stream_find(&conn->send_streams, id);
	return stream ? stream->base : 0;
}

uint64_t tw_conn_stream_unsent(const struct tw_conn *conn, uint64_t id)
{
	const struct tw_send_stream *stream = tw_send_stream_find(&conn->send_streams, id);
	return stream ? stream->end - stream->next : 0;
}

void tw_conn_wake(struct tw_conn *conn)
{
	conn->data_ready = true;
	tw_conn_touch(conn);
}

void tw_conn_data_consumed(struct tw_conn *conn, uint64_t bytes)
{
	conn->data_consumed += bytes;
	uint64_t backlog = conn->data_received - conn->data_consumed;
	uint64_t room = conn->data_window > backlog ? conn->data_window - backlog : 0;
	/* Told in steps of an eighth: a few frames a window. */
	if (conn->data_received + room >= conn->data_promised + conn->data_window / 8) {
		conn->data_window_owed = true;
		tw_conn_touch(conn);
	}
}

void tw_conn_set_rate(struct tw_conn *conn, enum tw_rate_method method,
		      const struct tw_rate_limits *limits, tw_ns now)
{
	conn->config.method = method;
	conn->config.limits = *limits;
	if (!conn->config.limits.max_bps)
		conn->config.limits.max_bps = UINT64_MAX;
	if (conn->state != TW_CONN_ESTABLISHED)
		return;
	tw_rate_controller_set(&conn->rate, method, &conn->config.limits, &conn->model, now);
	tw_rate_controller_pace(&conn->rate, &conn->pacer, now);
	tw_conn_touch(conn);
}

void tw_conn_close(struct tw_conn *conn, uint64_t code, const char *reason)
{
	tw_conn_finish(conn, TW_CONN_CLOSED_LOCAL, code, reason, true);
}

void *tw_conn_app_context(const struct tw_conn *conn)
{
	return conn->app_context;
}

uint64_t tw_conn_tag(const struct tw_conn *conn)
{
	return conn->config.tag;
}

void tw_conn_set_app(struct tw_conn *conn, const struct tw_conn_app *app, void *context)
{
	conn->app = app;
	conn->app_context = context;
}

static void info_of_path(const struct tw_conn *conn, struct tw_conn_info *ret)
{
	const struct tw_path_model *model = &conn->model;
	ret->rtt_smoothed = model->rtt_known ? model->rtt_smoothed : 0;
	ret->rtt_min = model->rtt_known ? model->rtt_min : 0;
	ret->queue_delay = model->queue_delay_smoothed;
	ret->loss = model->loss_smoothed;
	ret->bandwidth_bps = model->bandwidth_bps;
	ret->hint = tw_rate_hint_of(model);
	if (conn->state != TW_CONN_ESTABLISHED)
		return;
	ret->pacing_bps = tw_rate_controller_pacing(&conn->rate);
	ret->datagram_bytes = conn->mtu.current;
	ret->window_bytes = tw_rate_controller_window(&conn->rate, model);
	ret->in_flight_bytes = conn->recovery.in_flight;
}

void tw_conn_info(const struct tw_conn *conn, struct tw_conn_info *ret)
{
	*ret = (struct tw_conn_info){
		.state = conn->state,
		.id = conn->cid,
		.path = conn->path.path,
		.peer_key = conn->peer_key,
		.cipher = conn->cipher,
		.aead = conn->aead,
		.established_at = conn->established_at,
		.last_sent_at = conn->last_sent_at,
		.last_received_at = conn->last_received_at,
		.silent_since = conn->silent_since,
		.relayed = tw_conn_relayed(conn),
		.packets_sent = conn->packets_sent,
		.packets_received = conn->packets_received,
		.packets_lost = conn->packets_lost,
		.packets_spurious = conn->packets_spurious,
		.bytes_sent = conn->bytes_sent,
		.bytes_received = conn->bytes_received,
		.data_bytes_sent = conn->data_sent,
		.data_bytes_acked = conn->data_acked,
		.data_bytes_lost = conn->data_lost,
		.data_bytes_received = conn->data_received,
		.acks_sent = conn->acks_sent,
		.forged = conn->open.failures,
		.key_updates = conn->key_updates,
		.method = conn->config.method,
		.limits = conn->config.limits,
		.app_limited = conn->app_limited,
		.window_limited = conn->window_limited,
		.data_blocked = conn->data_blocked,
	};
	memcpy(ret->peer_server_id, conn->peer.server_id, TW_ID_SIZE);
	ret->observed = conn->observed;
	memcpy(ret->peer_server_uid, conn->peer.server_uid, TW_ID_SIZE);
	info_of_path(conn, ret);
}
