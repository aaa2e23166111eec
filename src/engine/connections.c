/* connections.c - what a Connection shows: the destination's settings and the worker's snapshot. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "netio/clock.h"
#include "netio/sockaddr.h"

#define UDP_AND_IPV4 28
#define UDP_AND_IPV6 48

/* A word of the contract for each way in which a connection can fail, and what to do about it. */
static const struct {
	const char *word, *advice;
} failures[] = {
	[TW_CONN_CLOSED_LOCAL] = { NULL, NULL },
	[TW_CONN_CLOSED_PEER] = { "unreachable",
				  "The other server closed the connection; it is tried again." },
	[TW_CONN_TIMEOUT] = { "timeout",
			      "Nothing answers there: check that the other server runs, that UDP "
			      "passes to its port, and that the public key given is its own. It is "
			      "tried again by itself." },
	[TW_CONN_UNREACHABLE] = { "unreachable",
				  "The network knows no way or nobody listens there: check address, "
				  "port and firewall. It is tried again by itself." },
	[TW_CONN_NOT_AUTHORIZED] = { "notAuthorized",
				     "The other server does not accept this one: have this server's "
				     "public key added there with recv.addAuthorizedClientAsync." },
	[TW_CONN_CIPHER_TOO_WEAK] = { "cipherTooWeak",
				      "The other server demands a stronger cipher: raise the minimum "
				      "cipher here, or lower it there." },
	[TW_CONN_VERSION] = { "versionMismatch",
			      "The two servers speak no protocol version in common: bring the older "
			      "one up to date." },
	[TW_CONN_BUSY] = { "unreachable",
			   "The other server has too many connections; it is tried again." },
	[TW_CONN_PROTOCOL] = { "versionMismatch",
			       "The other side broke the protocol: bring both servers to the same "
			       "version; if they are, please report it." },
	[TW_CONN_RESOURCES] = { "unreachable",
				"A server has no memory left for the connection; it is tried again." },
};

static uint64_t to_kbps(uint64_t bps)
{
	return bps == UINT64_MAX ? TW_UNSET : bps / 1000;
}

/* What the system or the other side said, and what to do. */
static void join_message(const char *told, const char *advice, char *ret, size_t room)
{
	char text[512];

	snprintf(text, sizeof(text), "%.200s%s%.300s", told, *told && *advice ? " " : "", advice);
	tw_text_clean(text, strlen(text), ret, room);
}

static void fill_error(const struct tw_destination *destination,
		       const struct tw_worker_destination_status *live,
		       struct tw_connection_view *ret)
{
	const char *obstacle = tw_destination_obstacle(destination);
	const char *advice = "", *told = "";
	bool connected = live && live->connected && !live->waiting;
	char trouble[400];

	if (obstacle) {
		ret->last_error = obstacle;
		advice = "destinationPublicKey is not the permitted one: nothing is sent until "
			 "they agree; make a destination with the key that you trust.";
	} else if (*destination->resolve_error && !destination->remote_count) {
		ret->last_error = "resolveFailed";
		advice = destination->resolve_error;
	} else if (!connected && tw_own_relay_trouble(destination, trouble, sizeof(trouble))) {
		ret->last_error = "relayUnavailable";
		advice = trouble;
	} else if (live && live->failed &&
		   (size_t)live->failure < sizeof(failures) / sizeof(*failures)) {
		ret->last_error = failures[live->failure].word;
		advice = failures[live->failure].advice ? failures[live->failure].advice : "";
		/* Where the reason is plain, the sentence of the table says more to an operator. */
		if (live->failure == TW_CONN_CLOSED_PEER || live->failure >= TW_CONN_BUSY)
			told = live->failure_message;
		if (ret->last_error && destination->settings.relay_address &&
		    !*destination->settings.relay_key &&
		    (live->failure == TW_CONN_TIMEOUT || live->failure == TW_CONN_UNREACHABLE))
			ret->last_error = "relayUnavailable";
	} else if (live && live->socket_error) {
		ret->last_error = "unreachable";
		told = tw_strerror(-live->socket_error);
		advice = "The system refuses to send there: check routes, addresses and firewall.";
	} else if (destination->refused) {
		ret->last_error = destination->refused;
		told = destination->refused_message;
	}
	if (ret->last_error)
		join_message(told, advice, ret->last_error_message,
			     sizeof(ret->last_error_message));
}

/* What is in use now: a connection leaves its relay when there is a direct way. */
static bool by_relay(const struct tw_destination *destination,
		     const struct tw_worker_destination_status *live)
{
	if (!live || !live->conn_known || live->conn.state != TW_CONN_ESTABLISHED)
		return true;
	for (size_t i = 0; i < destination->remote_count; i++)
		if (tw_address_equal(&destination->remotes[i], &live->conn.path.remote))
			return true;
	return false;
}

/* Returns where the connection goes itself; NULL: unknown. */
static const struct tw_address *fill_relay(const struct tw_destination *destination,
					   const struct tw_address *dialled,
					   struct tw_connection_view *ret)
{
	const struct tw_destination_settings *settings = &destination->settings;
	bool own = *settings->relay_key;
	char text[TW_ADDRESS_TEXT];
	struct tw_address now;

	ret->relay_port = settings->relay_port;
	if (own && tw_own_relay_now(destination, &now)) {
		ret->relay_port = now.port;
		dialled = &now;
	} else if (own) {
		dialled = tw_address_parse_ip(settings->relay_address, &now) ? &now : NULL;
	}
	if (dialled)
		snprintf(ret->relay_ip, sizeof(ret->relay_ip), "%.63s",
			 tw_address_format_ip(dialled, text));
	if (own)
		return destination->found_count ? &destination->found[0] : NULL;
	return destination->shown.family ? &destination->shown : NULL;
}

static void fill_address(const struct tw_destination *destination,
			 const struct tw_worker_destination_status *live,
			 struct tw_connection_view *ret)
{
	const struct tw_destination_settings *settings = &destination->settings;
	const struct tw_address *remote = NULL;
	char text[TW_ADDRESS_TEXT];

	if (live && live->remote.family)
		remote = &live->remote;
	else if (destination->remote_count)
		remote = &destination->remotes[0];
	ret->relay_port = TW_UNSET;
	if (settings->relay_address && by_relay(destination, live))
		remote = fill_relay(destination, remote, ret);
	else if (remote && !settings->relay_address && live && live->connected &&
		 live->conn.relayed) {
		/* What was named as the destination is its relay. */
		snprintf(ret->relay_ip, sizeof(ret->relay_ip), "%.63s",
			 tw_address_format_ip(remote, text));
		ret->relay_port = remote->port;
	}
	if (remote)
		snprintf(ret->destination_ip, sizeof(ret->destination_ip), "%.63s",
			 tw_address_format_ip(remote, text));
	ret->destination_port = settings->port;
	ret->sender_port = TW_UNSET;
	if (live && live->local.family) {
		snprintf(ret->sender_ip, sizeof(ret->sender_ip), "%.63s",
			 tw_address_format_ip(&live->local, text));
		ret->sender_port = live->local.port;
	} else {
		if (settings->sender_ip)
			snprintf(ret->sender_ip, sizeof(ret->sender_ip), "%.63s",
				 settings->sender_ip);
		if (settings->sender_port)
			ret->sender_port = settings->sender_port;
	}
}

static void fill_path(const struct tw_destination *destination,
		      const struct tw_worker_destination_status *live,
		      struct tw_connection_view *ret)
{
	const struct tw_engine *engine = destination->object.engine;
	const struct tw_conn_info *conn = &live->conn;

	ret->last_send_time = tw_engine_wall(engine, live->last_sent_at);
	ret->last_recv_time = tw_engine_wall(engine, live->last_received_at);
	ret->socket_recv_buffer_size = live->receive_granted ? live->receive_granted : TW_UNSET;
	ret->socket_send_buffer_size = live->send_granted ? live->send_granted : TW_UNSET;
	ret->send_rate_average_window = to_kbps(live->rate_window_bps);
	if (!live->conn_known)
		return;
	if (conn->established_at) {
		static const uint8_t none[TW_ID_SIZE];

		if (memcmp(conn->peer_server_id, none, sizeof(none)) != 0)
			tw_text_hex(conn->peer_server_id, TW_ID_SIZE,
				    ret->last_destination_server_id);
		if (memcmp(conn->peer_server_uid, none, sizeof(none)) != 0)
			tw_text_hex(conn->peer_server_uid, TW_ID_SIZE,
				    ret->last_destination_server_uid);
	}
	if (conn->rtt_smoothed)
		ret->round_trip_time_ms = (double)conn->rtt_smoothed / 1e6;
	ret->loss_percent = conn->loss * 100;
	ret->queue_delay_ms = (double)conn->queue_delay / 1e6;
	if (conn->bandwidth_bps)
		ret->bandwidth_estimate = to_kbps(conn->bandwidth_bps);
	if (conn->datagram_bytes)
		ret->path_mtu =
			conn->datagram_bytes +
			(live->remote.family == TW_FAMILY_IPV6 ? UDP_AND_IPV6 : UDP_AND_IPV4);
	if (live->connected)
		ret->cipher = tw_cipher_name(conn->cipher);
}

static void fill_settings(const struct tw_destination *destination, struct tw_connection_view *ret)
{
	const struct tw_destination_settings *settings = &destination->settings;
	const struct tw_engine *engine = destination->object.engine;

	ret->connection_id = destination->connection_id;
	ret->destination_public_key = *settings->public_key ? settings->public_key : NULL;
	ret->encryption_enabled = engine->options.encryption && settings->encryption_enabled;
	ret->num_transfers_queued = destination->pending_count;
	ret->rate_controller_active = settings->rate_controller_active;
	ret->rate_control_method =
		settings->method ? settings->method : tw_rate_method_name(TW_RATE_DEFAULT);
	ret->send_rate = settings->send_rate;
	ret->send_rate_min = settings->send_rate_min;
	ret->send_rate_max = settings->send_rate_max;
}

void tw_connection_fill(struct tw_destination *destination, struct tw_connection_view *ret)
{
	const struct tw_worker_destination_status *live = tw_destination_live(destination);
	const struct tw_engine *engine = destination->object.engine;

	*ret = (struct tw_connection_view){
		.round_trip_time_ms = -1,
		.loss_percent = -1,
		.queue_delay_ms = -1,
		.bandwidth_estimate = TW_UNSET,
		.path_mtu = TW_UNSET,
		.socket_recv_buffer_size = TW_UNSET,
		.socket_send_buffer_size = TW_UNSET,
		.send_rate_average = destination->slice_kbps,
		.send_rate_average_window = TW_UNSET,
		.encrypted_connection_state = "disconnected",
		.snapshot_time = tw_engine_wall(engine, engine->snapshot_at),
	};
	fill_settings(destination, ret);
	fill_address(destination, live, ret);
	fill_error(destination, live, ret);
	if (!live)
		return;
	/*
	 * One that has fallen silent is kept while it is dialled anew, but nobody answers there.
	 * What nobody encrypts is no encrypted connection.
	 */
	if (live->connected && !live->waiting) {
		if (live->conn_known && live->conn.cipher != TW_CIPHER_NONE)
			ret->encrypted_connection_state = "connected";
	} else if (live->negotiating && tw_destination_cipher(destination) != TW_CIPHER_NONE) {
		ret->encrypted_connection_state = "negotiating";
	}
	fill_path(destination, live, ret);
}

const struct tw_destination_view *tw_destination_view(struct tw_destination *destination)
{
	struct tw_destination_view *view = &destination->object.engine->destination_view;
	const struct tw_destination_settings *settings = &destination->settings;

	tw_connection_fill(destination, &view->connection);
	view->destination_id = destination->object.id;
	view->destination_address = settings->address;
	tw_object_ownership(&destination->object, &view->ownership);
	view->permitted_destination_public_key =
		*settings->permitted_key ? settings->permitted_key : NULL;
	view->user_data = destination->object.user_data;
	return view;
}
