#include "session/dialer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "session/outgoing_private.h"

#define FIRST_TIMEOUT_DEFAULT (10 * TW_SECOND)
#define SILENCE_MIN TW_SECOND
#define REDIAL_FIRST (500 * TW_MSEC)
#define REDIAL_LATER TW_SECOND
/* While the network says that nobody listens there. */
#define REDIAL_UNREACHABLE (250 * TW_MSEC)
/* Patient, after a refusal. */
#define REDIAL_REFUSED (10 * TW_SECOND)
#define LINGER_DEFAULT (30 * TW_SECOND)
#define CALL_TIMEOUT_MIN (3 * TW_SECOND)
#define CALLS_MAX TW_DIALER_ADDRESSES_MAX

struct tw_dialer {
	struct tw_endpoint *endpoint;
	struct tw_outgoing *outgoing;
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
	tw_ns idle_since;         /* connected, and nothing to send; TW_NEVER: there is */
	tw_ns rtt;                /* last known */
	struct tw_rate_hint hint; /* what the last connection learned, until: */
	tw_ns hint_at;
	bool over;   /* has given up */
	bool failed; /* and that is why, or patient: the newest trouble */
	enum tw_conn_end end;
	char message[256];
};

static const struct tw_conn_app dialer_app;

int tw_dialer_new(struct tw_endpoint *endpoint, struct tw_outgoing *outgoing,
		  const struct tw_dialer_options *options, tw_ns now, struct tw_dialer **ret)
{
	struct tw_dialer *dialer;

	if (options->remote_count > TW_DIALER_ADDRESSES_MAX)
		return -EINVAL;
	dialer = calloc(1, sizeof(*dialer));
	if (!dialer)
		return -ENOMEM;
	dialer->endpoint = endpoint;
	dialer->outgoing = outgoing;
	dialer->options = *options;
	if (!dialer->options.first_timeout)
		dialer->options.first_timeout = FIRST_TIMEOUT_DEFAULT;
	if (!dialer->options.linger)
		dialer->options.linger = LINGER_DEFAULT;
	dialer->now = now;
	dialer->dial_at = dialer->idle_since = TW_NEVER;
	*ret = dialer;
	return 0;
}

static void start_waiting(struct tw_dialer *dialer, tw_ns since)
{
	if (dialer->waiting)
		return;
	dialer->waiting = true;
	dialer->waiting_since = since;
	dialer->dial_at = dialer->now;
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
		tw_outgoing_closed(dialer->outgoing, dialer->conn);
		disown(dialer->conn);
	}
	free(dialer);
}

/* It stands in the way; the impatient end here. */
static void fail(struct tw_dialer *dialer, enum tw_conn_end end, const char *message)
{
	dialer->failed = true;
	dialer->end = end;
	snprintf(dialer->message, sizeof(dialer->message), "%s", message);
	if (dialer->options.patient)
		return;
	dialer->over = true;
	drop_calls(dialer);
	if (dialer->conn)
		tw_conn_close(dialer->conn, TW_SESSION_CLOSE_DONE, "");
}

static void refused(struct tw_dialer *dialer, enum tw_conn_end end, const char *message)
{
	fail(dialer, end, message);
	dialer->dial_at = tw_ns_add(dialer->now, REDIAL_REFUSED);
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
	dialer->waiting = dialer->failed = false;
	dialer->dialled = dialer->unreachable = 0;
	dialer->idle_since = TW_NEVER;
	dialer->conn = conn;
	/* The address that answered is the first to be tried another time. */
	if (dialer->options.remote_count)
		dialer->address = (dialer->address + dialer->options.remote_count - 1) %
				  dialer->options.remote_count;
	tw_outgoing_established(dialer->outgoing, conn);
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
		if ((!dialer->ever || dialer->options.patient) &&
		    dialer->unreachable >= dialer->options.remote_count)
			return "Nobody listens at this address and port; start the receiver or "
			       "check them.";
		return NULL;
	default:
		return NULL;
	}
}

/* What was learned of the path is where the next connection starts from (Careful Resume). */
static void remember(struct tw_dialer *dialer, const struct tw_conn_info *info)
{
	if (!info->hint.rate_bps)
		return;
	dialer->hint = info->hint;
	dialer->hint_at = dialer->now;
}

static void on_closed(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
		      const char *reason)
{
	struct tw_dialer *dialer = app;
	struct tw_conn_info info;
	const char *message;
	bool ours = conn == dialer->conn;

	(void)reason;
	forget_call(dialer, conn);
	if (ours) {
		tw_conn_info(conn, &info);
		remember(dialer, &info);
		dialer->conn = NULL;
		tw_outgoing_closed(dialer->outgoing, conn);
		if (tw_outgoing_wants(dialer->outgoing))
			start_waiting(dialer, dialer->now);
		dialer->dial_at = dialer->now;
	} else {
		dialer->dial_at = tw_ns_min(dialer->dial_at, tw_ns_add(dialer->now, REDIAL_LATER));
	}
	if (end == TW_CONN_UNREACHABLE) {
		dialer->unreachable++;
		dialer->dial_at = tw_ns_add(dialer->now, dialer->options.patient ? REDIAL_LATER
							 : dialer->ever ? REDIAL_UNREACHABLE
									: 0);
	}
	if (dialer->over)
		return;
	message = verdict(dialer, end);
	if (message && end == TW_CONN_UNREACHABLE)
		fail(dialer, end, message);
	else if (message)
		refused(dialer, end, message);
	else if (ours && end == TW_CONN_CLOSED_PEER &&
		 (code == TW_SESSION_CLOSE_FORMAT || code == TW_SESSION_CLOSE_ORDER ||
		  code == TW_SESSION_CLOSE_VERSION))
		refused(dialer, TW_CONN_PROTOCOL,
			"The receiver could not understand this program; update the older side.");
	else if (ours && end == TW_CONN_PROTOCOL)
		refused(dialer, end, "The receiver broke the protocol; update the older side.");
}

static bool on_data_next(void *app, struct tw_conn *conn, struct tw_data_ref *ret)
{
	return tw_outgoing_data_next(((struct tw_dialer *)app)->outgoing, conn, ret);
}

static const uint8_t *on_data_take(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	(void)conn;
	return tw_outgoing_data_take(((struct tw_dialer *)app)->outgoing, piece);
}

static void on_data_acked(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	tw_outgoing_data_acked(((struct tw_dialer *)app)->outgoing, conn, piece);
}

static void on_data_lost(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	tw_outgoing_data_lost(((struct tw_dialer *)app)->outgoing, conn, piece);
}

static void on_stream_readable(void *app, struct tw_conn *conn, uint64_t stream)
{
	tw_outgoing_stream_readable(((struct tw_dialer *)app)->outgoing, conn, stream);
}

static void on_stream_writable(void *app, struct tw_conn *conn, uint64_t stream)
{
	tw_outgoing_stream_writable(((struct tw_dialer *)app)->outgoing, conn, stream);
}

/* A sender is sent no data. */
static const struct tw_conn_app dialer_app = {
	.established = on_established,
	.closed = on_closed,
	.data_next = on_data_next,
	.data_take = on_data_take,
	.data_acked = on_data_acked,
	.data_lost = on_data_lost,
	.stream_readable = on_stream_readable,
	.stream_writable = on_stream_writable,
};

static tw_ns redial_period(const struct tw_dialer *dialer)
{
	return dialer->dialled <= 1 ? REDIAL_FIRST : REDIAL_LATER;
}

/* At first a call lasts as long as people will wait; later, and for the patient, newer ones take
 * over. */
static tw_ns call_timeout(const struct tw_dialer *dialer)
{
	if (!dialer->ever && !dialer->options.patient)
		return dialer->options.first_timeout;
	return tw_ns_max(CALL_TIMEOUT_MIN, 4 * dialer->rtt);
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
	if (dialer->options.ticketed)
		connect.ticket = &dialer->options.tickets[dialer->address];
	dialer->address = (dialer->address + 1) % dialer->options.remote_count;
	connect.app = &dialer_app;
	connect.app_context = dialer;
	if (dialer->rtt)
		connect.config.rtt_hint = dialer->rtt;
	connect.config.hint = dialer->hint;
	connect.config.hint.age = tw_ns_since(dialer->now, dialer->hint_at);
	connect.handshake_timeout = call_timeout(dialer);
	error = tw_endpoint_connect(dialer->endpoint, &connect, dialer->now,
				    &dialer->calls[dialer->call_count]);
	if (error) {
		refused(dialer, error == TW_E_WEAK ? TW_CONN_CIPHER_TOO_WEAK : TW_CONN_RESOURCES,
			error == TW_E_WEAK ? "This cipher needs the receiver's public key."
					   : "There is no memory left for a connection.");
		return;
	}
	dialer->call_count++;
	dialer->dialled++;
	dialer->dial_at = tw_ns_add(dialer->now, redial_period(dialer));
	/* The handshake repeats itself: at first another call only helps with another address. */
	if (!dialer->ever && !dialer->options.patient &&
	    dialer->dialled >= dialer->options.remote_count)
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
		start_waiting(dialer, info.silent_since);
		return;
	}
	dialer->waiting = dialer->failed = false;
	dialer->dialled = dialer->unreachable = 0;
	drop_calls(dialer);
	dialer->dial_at =
		info.silent_since == TW_NEVER ? TW_NEVER : tw_ns_add(info.silent_since, limit);
}

static void check_patience(struct tw_dialer *dialer)
{
	tw_ns waited = tw_ns_since(dialer->now, dialer->waiting_since);

	/* An earlier refusal says more than the silence between two attempts. */
	if (dialer->failed)
		return;
	if ((!dialer->ever || dialer->options.patient) && waited >= dialer->options.first_timeout)
		fail(dialer, dialer->unreachable ? TW_CONN_UNREACHABLE : TW_CONN_TIMEOUT,
		     "The receiver does not answer; check address, port, key and firewalls "
		     "(UDP must pass).");
	else if (dialer->ever && !dialer->options.patient && dialer->options.give_up != TW_NEVER &&
		 waited >= dialer->options.give_up)
		fail(dialer, TW_CONN_TIMEOUT,
		     "The receiver has not answered for too long; send again to go on where it "
		     "stopped.");
}

/* Nothing to send: no call is made, and the connection goes after a while. */
static void rest(struct tw_dialer *dialer)
{
	drop_calls(dialer);
	dialer->waiting = false;
	if (!dialer->conn) {
		/* The next transfer begins as the first one did. */
		dialer->ever = false;
		dialer->dialled = dialer->unreachable = 0;
		return;
	}
	if (dialer->idle_since == TW_NEVER)
		dialer->idle_since = dialer->now;
	if (tw_ns_since(dialer->now, dialer->idle_since) >= dialer->options.linger)
		tw_conn_close(dialer->conn, TW_SESSION_CLOSE_DONE, "");
}

void tw_dialer_tick(struct tw_dialer *dialer, tw_ns now)
{
	dialer->now = now;
	if (dialer->over)
		return;
	if (!tw_outgoing_wants(dialer->outgoing)) {
		rest(dialer);
		return;
	}
	dialer->idle_since = TW_NEVER;
	if (dialer->conn)
		watch(dialer);
	else
		start_waiting(dialer, now);
	if (!dialer->waiting || !dialer->options.remote_count)
		return;
	check_patience(dialer);
	if (dialer->over || now < dialer->dial_at)
		return;
	dial(dialer);
}

tw_ns tw_dialer_deadline(const struct tw_dialer *dialer)
{
	tw_ns at, patience;

	if (dialer->over)
		return TW_NEVER;
	if (!tw_outgoing_wants(dialer->outgoing))
		return dialer->conn ? tw_ns_add(dialer->idle_since, dialer->options.linger)
				    : TW_NEVER;
	if (!dialer->conn && !dialer->waiting)
		return dialer->now;
	if (!dialer->options.remote_count && dialer->waiting)
		return TW_NEVER;
	at = dialer->dial_at;
	if (!dialer->waiting || dialer->failed)
		return at;
	patience = !dialer->ever || dialer->options.patient ? dialer->options.first_timeout
							    : dialer->options.give_up;
	return tw_ns_min(at, tw_ns_add(dialer->waiting_since, patience));
}

static bool has_remote(const struct tw_address *remotes, unsigned count,
		       const struct tw_address *remote)
{
	for (unsigned i = 0; i < count; i++)
		if (tw_address_equal(&remotes[i], remote))
			return true;
	return false;
}

/* The relay is reached in another way: to it, and to whom it carries, the connection stays the
 * same. True: it was reached by an old one. */
static bool follow_relay(struct tw_dialer *dialer, const struct tw_address *remotes, unsigned count)
{
	struct tw_conn_info info;

	tw_conn_info(dialer->conn, &info);
	if (!count || has_remote(remotes, count, &info.path.remote))
		return false;
	if (!has_remote(dialer->options.remotes, dialer->options.remote_count, &info.path.remote))
		return false;
	tw_conn_go_to(dialer->conn, &remotes[0], dialer->now);
	return true;
}

void tw_dialer_set_remotes(struct tw_dialer *dialer, const struct tw_address *remotes,
			   unsigned count, tw_ns now)
{
	bool went = false;

	if (count > TW_DIALER_ADDRESSES_MAX)
		count = TW_DIALER_ADDRESSES_MAX;
	dialer->now = now;
	if (dialer->options.ticketed && dialer->conn)
		went = follow_relay(dialer, remotes, count);
	memcpy(dialer->options.remotes, remotes, count * sizeof(*remotes));
	dialer->options.remote_count = count;
	dialer->address = 0;
	dialer->dialled = dialer->unreachable = 0;
	drop_calls(dialer);
	if (!dialer->waiting)
		return;
	dialer->waiting_since = now;
	dialer->dial_at = went ? tw_ns_add(now, REDIAL_FIRST) : now;
}

void tw_dialer_set_tickets(struct tw_dialer *dialer, const struct tw_ticket *tickets)
{
	dialer->options.ticketed = tickets != NULL;
	if (tickets)
		memcpy(dialer->options.tickets, tickets, sizeof(dialer->options.tickets));
}

void tw_dialer_redial(struct tw_dialer *dialer, tw_ns now)
{
	dialer->now = now;
	if (dialer->over)
		dialer->over = dialer->failed = dialer->ever = false;
	dialer->dialled = dialer->unreachable = 0;
	if (dialer->waiting)
		dialer->waiting_since = dialer->dial_at = now;
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
	if (!dialer->waiting || dialer->over)
		return false;
	*ret_since = dialer->waiting_since;
	return true;
}

bool tw_dialer_calling(const struct tw_dialer *dialer)
{
	return dialer->call_count > 0;
}
