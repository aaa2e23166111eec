#include "session/dialer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "session/sender_private.h"

#define FIRST_TIMEOUT_DEFAULT (10 * TW_SECOND)
#define SILENCE_MIN TW_SECOND
#define REDIAL_FIRST (500 * TW_MSEC)
#define REDIAL_LATER TW_SECOND
/* While the network says that nobody listens there. */
#define REDIAL_UNREACHABLE (250 * TW_MSEC)
#define CALL_TIMEOUT_MIN (3 * TW_SECOND)
#define CALLS_MAX TW_DIALER_ADDRESSES_MAX

struct tw_dialer {
	struct tw_endpoint *endpoint;
	struct tw_sender *sender;
	struct tw_dialer_options options;
	tw_ns now;
	struct tw_conn *conn;             /* the one in use, or NULL */
	struct tw_conn *calls[CALLS_MAX]; /* handshakes under way */
	unsigned call_count;
	unsigned dialled;     /* since the connection was last heard of */
	unsigned address;     /* next in options.remotes */
	unsigned unreachable; /* answers "nobody there" in a row */
	bool ever;            /* was connected at least once */
	bool waiting;
	tw_ns waiting_since, dial_at;
	tw_ns rtt; /* last known */
	bool failed;
	enum tw_conn_end end;
	char message[256];
};

static const struct tw_conn_app dialer_app;

int tw_dialer_new(struct tw_endpoint *endpoint, struct tw_sender *sender,
		  const struct tw_dialer_options *options, tw_ns now, struct tw_dialer **ret)
{
	struct tw_dialer *dialer;

	if (!options->remote_count || options->remote_count > TW_DIALER_ADDRESSES_MAX)
		return -EINVAL;
	dialer = calloc(1, sizeof(*dialer));
	if (!dialer)
		return -ENOMEM;
	dialer->endpoint = endpoint;
	dialer->sender = sender;
	dialer->options = *options;
	if (!dialer->options.first_timeout)
		dialer->options.first_timeout = FIRST_TIMEOUT_DEFAULT;
	dialer->now = now;
	dialer->waiting = true;
	dialer->waiting_since = dialer->dial_at = now;
	*ret = dialer;
	return 0;
}

/* What still calls back afterwards is nobody's. */
static void disown(struct tw_conn *conn)
{
	tw_conn_set_app(conn, NULL, NULL);
	tw_conn_close(conn, TW_SESSION_CLOSE_DONE, "");
}

static void drop_calls(struct tw_dialer *dialer)
{
	while (dialer->call_count)
		disown(dialer->calls[--dialer->call_count]);
}

void tw_dialer_free(struct tw_dialer *dialer)
{
	if (!dialer)
		return;
	drop_calls(dialer);
	if (dialer->conn) {
		tw_sender_app.closed(dialer->sender, dialer->conn, TW_CONN_CLOSED_LOCAL, 0, "");
		disown(dialer->conn);
	}
	free(dialer);
}

static void give_up(struct tw_dialer *dialer, enum tw_conn_end end, const char *message)
{
	dialer->failed = true;
	dialer->end = end;
	snprintf(dialer->message, sizeof(dialer->message), "%s", message);
	drop_calls(dialer);
	if (dialer->conn)
		tw_conn_close(dialer->conn, TW_SESSION_CLOSE_DONE, "");
}

static void forget_call(struct tw_dialer *dialer, const struct tw_conn *conn)
{
	unsigned i;

	for (i = 0; i < dialer->call_count; i++) {
		if (dialer->calls[i] == conn)
			dialer->calls[i] = dialer->calls[--dialer->call_count];
	}
}

static void on_established(void *app, struct tw_conn *conn)
{
	struct tw_dialer *dialer = app;
	struct tw_conn *before = dialer->conn;

	forget_call(dialer, conn);
	drop_calls(dialer);
	dialer->ever = true;
	dialer->waiting = false;
	dialer->dialled = dialer->unreachable = 0;
	dialer->conn = conn;
	/* The address that answered is the first to be tried another time. */
	dialer->address =
		(dialer->address + dialer->options.remote_count - 1) % dialer->options.remote_count;
	tw_sender_app.established(dialer->sender, conn);
	if (before)
		tw_conn_set_app(before, NULL, NULL);
}

/* What a failed connection means when it is not a matter of waiting; NULL: try again. */
static const char *verdict(const struct tw_dialer *dialer, enum tw_conn_end end)
{
	switch (end) {
	case TW_CONN_NOT_AUTHORIZED:
		return "The receiver does not accept this machine's key; ask for it to be allowed.";
	case TW_CONN_CIPHER_TOO_WEAK:
		return "The receiver demands a stronger cipher; choose a higher level.";
	case TW_CONN_VERSION:
		return "The receiver speaks another version of the protocol; update the older side.";
	case TW_CONN_RESOURCES:
		return "There is no memory left for a connection.";
	case TW_CONN_UNREACHABLE:
		if (!dialer->ever && dialer->unreachable >= dialer->options.remote_count)
			return "Nobody listens at this address and port; start the receiver or "
			       "check them.";
		return NULL;
	default:
		return NULL;
	}
}

static void on_closed(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
		      const char *reason)
{
	struct tw_dialer *dialer = app;
	const char *message;
	bool ours = conn == dialer->conn;

	forget_call(dialer, conn);
	if (ours) {
		dialer->conn = NULL;
		tw_sender_app.closed(dialer->sender, conn, end, code, reason);
		if (!dialer->waiting) {
			dialer->waiting = true;
			dialer->waiting_since = dialer->now;
		}
		dialer->dial_at = dialer->now;
	} else {
		dialer->dial_at = tw_ns_min(dialer->dial_at, tw_ns_add(dialer->now, REDIAL_LATER));
	}
	if (end == TW_CONN_UNREACHABLE) {
		dialer->unreachable++;
		dialer->dial_at = tw_ns_add(dialer->now, dialer->ever ? REDIAL_UNREACHABLE : 0);
	}
	if (dialer->failed)
		return;
	message = verdict(dialer, end);
	if (message) {
		give_up(dialer, end, message);
		return;
	}
	if (ours && end == TW_CONN_CLOSED_PEER &&
	    (code == TW_SESSION_CLOSE_FORMAT || code == TW_SESSION_CLOSE_ORDER ||
	     code == TW_SESSION_CLOSE_VERSION))
		give_up(dialer, TW_CONN_PROTOCOL,
			"The receiver could not understand this program; update the older side.");
	else if (ours && end == TW_CONN_PROTOCOL)
		give_up(dialer, end, "The receiver broke the protocol; update the older side.");
}

static bool on_data_next(void *app, struct tw_conn *conn, struct tw_data_ref *ret)
{
	return tw_sender_app.data_next(((struct tw_dialer *)app)->sender, conn, ret);
}

static void on_data_take(void *app, struct tw_conn *conn, const struct tw_data_ref *piece,
			 uint8_t *bytes)
{
	tw_sender_app.data_take(((struct tw_dialer *)app)->sender, conn, piece, bytes);
}

static void on_data_acked(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	tw_sender_app.data_acked(((struct tw_dialer *)app)->sender, conn, piece);
}

static void on_data_lost(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	tw_sender_app.data_lost(((struct tw_dialer *)app)->sender, conn, piece);
}

static bool on_data_received(void *app, struct tw_conn *conn, const struct tw_data_ref *piece,
			     const uint8_t *bytes)
{
	return tw_sender_app.data_received(((struct tw_dialer *)app)->sender, conn, piece, bytes);
}

static void on_stream_readable(void *app, struct tw_conn *conn, uint64_t stream)
{
	tw_sender_app.stream_readable(((struct tw_dialer *)app)->sender, conn, stream);
}

static void on_stream_writable(void *app, struct tw_conn *conn, uint64_t stream)
{
	tw_sender_app.stream_writable(((struct tw_dialer *)app)->sender, conn, stream);
}

static const struct tw_conn_app dialer_app = {
	.established = on_established,
	.closed = on_closed,
	.data_next = on_data_next,
	.data_take = on_data_take,
	.data_acked = on_data_acked,
	.data_lost = on_data_lost,
	.data_received = on_data_received,
	.stream_readable = on_stream_readable,
	.stream_writable = on_stream_writable,
};

static tw_ns redial_period(const struct tw_dialer *dialer)
{
	return dialer->dialled <= 1 ? REDIAL_FIRST : REDIAL_LATER;
}

static void dial(struct tw_dialer *dialer)
{
	struct tw_connect connect = dialer->options.connect;
	int error;

	dialer->dial_at = tw_ns_add(dialer->now, redial_period(dialer));
	/* A call repeats its own INIT: more than one for each address would only be more noise. */
	if (dialer->call_count >= dialer->options.remote_count)
		return;
	connect.remote = dialer->options.remotes[dialer->address];
	dialer->address = (dialer->address + 1) % dialer->options.remote_count;
	connect.app = &dialer_app;
	connect.app_context = dialer;
	if (dialer->rtt)
		connect.config.rtt_hint = dialer->rtt;
	/* At first every call lasts as long as people will wait; later a newer one takes over. */
	connect.handshake_timeout = dialer->options.first_timeout;
	if (dialer->ever)
		connect.handshake_timeout = tw_ns_max(CALL_TIMEOUT_MIN, 4 * dialer->rtt);
	error = tw_endpoint_connect(dialer->endpoint, &connect, dialer->now,
				    &dialer->calls[dialer->call_count]);
	if (error) {
		give_up(dialer, error == TW_E_WEAK ? TW_CONN_CIPHER_TOO_WEAK : TW_CONN_RESOURCES,
			error == TW_E_WEAK ? "This cipher needs the receiver's public key."
					   : "There is no memory left for a connection.");
		return;
	}
	dialer->call_count++;
	dialer->dialled++;
	dialer->dial_at = tw_ns_add(dialer->now, redial_period(dialer));
	/* The handshake repeats itself: at first another call only helps with another address. */
	if (!dialer->ever && dialer->dialled >= dialer->options.remote_count)
		dialer->dial_at = TW_NEVER;
}

/* Looks whether the connection in use has fallen silent, or is heard of again. */
static void watch(struct tw_dialer *dialer)
{
	struct tw_conn_info info;
	tw_ns limit;

	tw_conn_info(dialer->conn, &info);
	if (info.rtt_smoothed)
		dialer->rtt = info.rtt_smoothed;
	limit = tw_ns_max(SILENCE_MIN, 4 * info.rtt_smoothed);
	if (info.silent_since != TW_NEVER && tw_ns_since(dialer->now, info.silent_since) >= limit) {
		if (!dialer->waiting) {
			dialer->waiting = true;
			dialer->waiting_since = info.silent_since;
			dialer->dial_at = dialer->now;
		}
		return;
	}
	dialer->waiting = false;
	dialer->dialled = dialer->unreachable = 0;
	drop_calls(dialer);
	dialer->dial_at =
		info.silent_since == TW_NEVER ? TW_NEVER : tw_ns_add(info.silent_since, limit);
}

static void check_patience(struct tw_dialer *dialer)
{
	tw_ns waited = tw_ns_since(dialer->now, dialer->waiting_since);

	if (!dialer->ever && waited >= dialer->options.first_timeout)
		give_up(dialer, dialer->unreachable ? TW_CONN_UNREACHABLE : TW_CONN_TIMEOUT,
			"The receiver does not answer; check address, port, key and firewalls "
			"(UDP must pass).");
	else if (dialer->ever && dialer->options.give_up != TW_NEVER &&
		 waited >= dialer->options.give_up)
		give_up(dialer, TW_CONN_TIMEOUT,
			"The receiver has not answered for too long; send again to go on where it "
			"stopped.");
}

void tw_dialer_tick(struct tw_dialer *dialer, tw_ns now)
{
	dialer->now = now;
	if (dialer->failed)
		return;
	if (tw_sender_finished(dialer->sender)) {
		drop_calls(dialer);
		dialer->waiting = false;
		return;
	}
	if (dialer->conn)
		watch(dialer);
	if (!dialer->waiting)
		return;
	check_patience(dialer);
	if (dialer->failed || now < dialer->dial_at)
		return;
	dial(dialer);
}

tw_ns tw_dialer_deadline(const struct tw_dialer *dialer)
{
	tw_ns at;

	if (dialer->failed || tw_sender_finished(dialer->sender))
		return TW_NEVER;
	at = dialer->dial_at;
	if (dialer->waiting)
		at = tw_ns_min(at, tw_ns_add(dialer->waiting_since,
					     dialer->ever ? dialer->options.give_up
							  : dialer->options.first_timeout));
	return at;
}

void tw_dialer_set_rate(struct tw_dialer *dialer, enum tw_rate_method method,
			const struct tw_rate_limits *limits, tw_ns now)
{
	unsigned i;

	dialer->options.connect.config.method = method;
	dialer->options.connect.config.limits = *limits;
	if (dialer->conn)
		tw_conn_set_rate(dialer->conn, method, limits, now);
	for (i = 0; i < dialer->call_count; i++)
		tw_conn_set_rate(dialer->calls[i], method, limits, now);
}

bool tw_dialer_failed(const struct tw_dialer *dialer, enum tw_conn_end *ret_end,
		      const char **ret_message)
{
	if (!dialer->failed)
		return false;
	*ret_end = dialer->end;
	*ret_message = dialer->message;
	return true;
}

bool tw_dialer_waiting(const struct tw_dialer *dialer, tw_ns *ret_since)
{
	if (!dialer->waiting || dialer->failed)
		return false;
	*ret_since = dialer->waiting_since;
	return true;
}
