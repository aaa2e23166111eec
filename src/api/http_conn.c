/* http_conn.c - the life of one connection. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http_internal.h"
#include "base/error.h"
#include "netio/clock.h"

#define INPUT_MAX 65536   /* read ahead of what is being answered */
#define BACKLOG_MAX 65536 /* no further request is taken above */
#define LINGER (2 * TW_SECOND)
#define TLS_HANDSHAKE 0x16 /* the first byte of TLS (RFC 8446, 5.1), never of HTTP */
#define PIECE 65536        /* of an answer over TLS: libevent writes each whole before it counts */

static void advance(struct tw_http_conn *conn);

static struct tw_http *http_of(const struct tw_http_conn *conn)
{
	return conn->side->http;
}

static void enter(struct tw_http_conn *conn, enum tw_http_state state, tw_ns limit)
{
	struct tw_http_queue *queue = state <= TW_HTTP_BODY || state == TW_HTTP_LINGER
					      ? &conn->side->waiting
					      : &conn->side->busy;

	conn->state = state;
	conn->deadline = tw_ns_add(tw_clock_now(), limit);
	if (queue == conn->queue)
		return;
	TAILQ_REMOVE(conn->queue, conn, links);
	TAILQ_INSERT_TAIL(queue, conn, links);
	conn->queue = queue;
}

static void count_body(struct tw_http_conn *conn, size_t bytes)
{
	http_of(conn)->bodies += bytes - conn->counted;
	conn->counted = bytes;
}

size_t tw_http_backlog(const struct tw_http_conn *conn)
{
	return conn->bev ? evbuffer_get_length(bufferevent_get_output(conn->bev)) : 0;
}

static void count_backlog(struct tw_http_conn *conn)
{
	size_t now = tw_http_backlog(conn);

	if (now < conn->owed || conn->owed == 0)
		conn->taken_at = tw_clock_now();
	http_of(conn)->answers += now - conn->owed;
	conn->owed = now;
}

void tw_http_conn_close(struct tw_http_conn *conn)
{
	struct tw_http *http = http_of(conn);

	count_body(conn, 0);
	http->answers -= conn->owed;
	TAILQ_REMOVE(conn->queue, conn, links);
	conn->side->count--;
	if (conn->seen)
		http->handler.gone(http->handler.context, conn);
	if (conn->first)
		event_free(conn->first);
	if (conn->bev)
		bufferevent_free(conn->bev);
	else
		close(conn->fd);
	if (conn->body)
		evbuffer_free(conn->body);
	free(conn->head_bytes);
	free(conn);
}

static const char *reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} reasons[] = {
		{ 200, "OK" },
		{ 204, "No Content" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 411, "Length Required" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Other";
}

/* A failure found while writing is handled from the loop, not under the feet of the caller. */
static void raise_error(struct tw_http_conn *conn)
{
	if (!conn->raised)
		bufferevent_trigger_event(conn->bev, BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
	conn->raised = true;
}

void tw_http_drop(struct tw_http_conn *conn)
{
	raise_error(conn);
}

/* At once what the system takes, which saves a turn of the loop; the rest when it can. */
static void send_bytes(struct tw_http_conn *conn, const char *bytes, size_t length)
{
	ssize_t sent = 0;

	if (conn->raised)
		return;
	if (!conn->tls && tw_http_backlog(conn) == 0) {
		sent = send(bufferevent_getfd(conn->bev), bytes, length,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN && errno != EINTR) {
			raise_error(conn);
			return;
		}
		if (sent < 0)
			sent = 0;
	}
	if ((size_t)sent < length &&
	    bufferevent_write(conn->bev, bytes + sent, length - (size_t)sent))
		raise_error(conn);
	count_backlog(conn);
}

static void release(const void *bytes, size_t length, void *context)
{
	(void)bytes;
	(void)length;
	free(context);
}

/* As above, of a large text that is handed over. */
static void send_owned(struct tw_http_conn *conn, char *bytes, size_t length)
{
	struct evbuffer *output = bufferevent_get_output(conn->bev);
	size_t piece = conn->tls ? PIECE : length;

	if (length <= BACKLOG_MAX || conn->raised) {
		send_bytes(conn, bytes, length);
		free(bytes);
		return;
	}
	for (size_t at = 0; at < length; at += piece) {
		bool last = length - at <= piece;

		piece = last ? length - at : piece;
		if (evbuffer_add_reference(output, bytes + at, piece, last ? release : NULL,
					   last ? bytes : NULL)) {
			/* Earlier pieces may be on their way: with those it is lost, not freed. */
			if (at == 0)
				free(bytes);
			raise_error(conn);
			break;
		}
	}
	count_backlog(conn);
}

/* Nothing more comes from this side. */
static void end_writing(struct tw_http_conn *conn)
{
	if (conn->tls) {
		SSL_shutdown(conn->tls);
		ERR_clear_error();
	}
	shutdown(bufferevent_getfd(conn->bev), SHUT_WR);
}

/* After an answer: the next request, or the end. */
static void answered(struct tw_http_conn *conn)
{
	if (conn->closing) {
		/* What still comes is read and thrown away, so that the answer is not lost to a
		 * reset. */
		enter(conn, TW_HTTP_LINGER, LINGER);
		bufferevent_setwatermark(conn->bev, EV_READ, 0, 0);
		if (tw_http_backlog(conn) == 0)
			end_writing(conn);
		else
			conn->deadline =
				tw_ns_add(conn->deadline, TW_HTTP_TAKE_SECONDS * TW_SECOND);
	} else {
		enter(conn, TW_HTTP_IDLE, TW_HTTP_IDLE_SECONDS * TW_SECOND);
	}
	if (conn->eof || evbuffer_get_length(bufferevent_get_input(conn->bev)) > 0)
		bufferevent_trigger(conn->bev, EV_READ,
				    BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

static size_t write_head(struct tw_http_conn *conn, const struct tw_http_reply *reply, char *ret,
			 size_t room)
{
	char length[64] = "";
	int written;

	if (reply->status != 204)
		snprintf(length, sizeof length, "Content-Length: %zu\r\n", reply->length);
	written = snprintf(ret, room,
			   "HTTP/1.1 %u %s\r\nDate: %s\r\n%s%s%s%s%s"
			   "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s\r\n",
			   reply->status, reason(reply->status), http_of(conn)->date,
			   reply->type ? "Content-Type: " : "", reply->type ? reply->type : "",
			   reply->type ? "\r\n" : "", length, reply->fields ? reply->fields : "",
			   conn->closing ? "Connection: close\r\n" : "");
	return written > 0 && (size_t)written < room ? (size_t)written : 0;
}

void tw_http_reply(struct tw_http_conn *conn, const struct tw_http_reply *reply)
{
	struct tw_http_reply said = *reply;
	char head[2048];
	size_t length;

	if (http_of(conn)->answers + said.length > TW_HTTP_ANSWERS_MAX) {
		free(said.body);
		said = (struct tw_http_reply){ .status = 503, .close = true };
	}
	if (said.close || !conn->head.keep_alive ||
	    (conn->eof && evbuffer_get_length(bufferevent_get_input(conn->bev)) == 0))
		conn->closing = true;
	length = write_head(conn, &said, head, sizeof head);
	if (!conn->only_head && said.text && said.length < sizeof head - length) {
		memcpy(head + length, said.text, said.length);
		send_bytes(conn, head, length + said.length);
	} else if (!conn->only_head && said.body && said.length < sizeof head - length) {
		memcpy(head + length, said.body, said.length);
		send_bytes(conn, head, length + said.length);
		free(said.body);
	} else {
		send_bytes(conn, head, length);
		if (conn->only_head)
			free(said.body);
		else if (said.body)
			send_owned(conn, said.body, said.length);
		else if (said.text)
			send_bytes(conn, said.text, said.length);
	}
	answered(conn);
}

static void refuse_saying(struct tw_http_conn *conn, unsigned status, const char *text)
{
	const struct tw_http_reply reply = {
		.status = status,
		.type = "text/plain; charset=utf-8",
		.text = text,
		.length = strlen(text),
		.close = true,
	};

	tw_http_reply(conn, &reply);
}

static void refuse(struct tw_http_conn *conn, unsigned status)
{
	char text[128];

	snprintf(text, sizeof text, "%u %s\n", status, reason(status));
	refuse_saying(conn, status, text);
}

void tw_http_stream_begin(struct tw_http_conn *conn, const char *type)
{
	char head[512];
	int length;

	conn->chunked_stream = conn->head.minor == 1;
	length = snprintf(head, sizeof head,
			  "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: %s\r\n"
			  "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s\r\n",
			  http_of(conn)->date, type,
			  conn->chunked_stream ? "Transfer-Encoding: chunked\r\n"
					       : "Connection: close\r\n");
	send_bytes(conn, head, (size_t)length);
	conn->taken_at = tw_clock_now();
	enter(conn, TW_HTTP_STREAM, TW_NEVER);
}

void tw_http_stream_write(struct tw_http_conn *conn, const char *bytes, size_t length)
{
	struct evbuffer *output = bufferevent_get_output(conn->bev);
	int r = 0;

	if (length == 0 || conn->raised)
		return;
	if (conn->chunked_stream)
		r = evbuffer_add_printf(output, "%zx\r\n", length) < 0;
	r = r || evbuffer_add(output, bytes, length);
	if (conn->chunked_stream)
		r = r || evbuffer_add(output, "\r\n", 2);
	if (r)
		raise_error(conn);
	count_backlog(conn);
}

static void hand_over(struct tw_http_conn *conn, const char *body, size_t length)
{
	struct tw_http *http = http_of(conn);
	const struct tw_http_request request = {
		.head = &conn->head,
		.body = length ? body : "",
		.body_length = length,
		.peer = &conn->peer,
	};

	enter(conn, TW_HTTP_BUSY, TW_NEVER);
	conn->seen = true;
	http->requests++;
	http->handler.request(http->handler.context, conn, &request);
}

/* Copies the head and reads it. */
static unsigned read_head(struct tw_http_conn *conn, const char *bytes, size_t length)
{
	if (conn->head_room < length) {
		char *room = realloc(conn->head_bytes, length);

		if (!room)
			return 503;
		conn->head_bytes = room;
		conn->head_room = length;
	}
	memcpy(conn->head_bytes, bytes, length);
	conn->head = (struct tw_http_head){ .minor = 1 };
	return (unsigned)tw_http_parse_head(conn->head_bytes, length, &conn->head);
}

static void begin_body(struct tw_http_conn *conn)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct tw_http *http = http_of(conn);
	size_t length = (size_t)conn->head.length;

	if (conn->head.length > TW_HTTP_BODY_MAX) {
		refuse(conn, 413);
		return;
	}
	if (http->bodies + length > TW_HTTP_BODIES_MAX) {
		refuse(conn, 503);
		return;
	}
	count_body(conn, length);
	conn->chunks = (struct tw_http_chunks){ 0 };
	if (length > INPUT_MAX / 2)
		bufferevent_setwatermark(conn->bev, EV_READ, 0, length + INPUT_MAX);
	if (conn->head.expect_continue && conn->head.minor == 1)
		send_bytes(conn, go_on, sizeof go_on - 1);
	conn->state = TW_HTTP_BODY; /* within the same limit of time */
}

static void take_head(struct tw_http_conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	size_t length = evbuffer_get_length(input);
	size_t looked = length < TW_HTTP_HEAD_MAX ? length : TW_HTTP_HEAD_MAX;
	size_t from = conn->searched > 3 ? conn->searched - 3 : 0;
	const char *bytes, *end;
	unsigned status;

	if (conn->state == TW_HTTP_IDLE)
		enter(conn, TW_HTTP_TAKING, TW_HTTP_REQUEST_SECONDS * TW_SECOND);
	bytes = (const char *)evbuffer_pullup(input, (ssize_t)looked);
	if (!bytes) {
		tw_http_conn_close(conn);
		return;
	}
	end = memmem(bytes + from, looked - from, "\r\n\r\n", 4);
	conn->searched = looked;
	if (!end && looked < TW_HTTP_HEAD_MAX) {
		if (conn->eof)
			tw_http_conn_close(conn);
		return;
	}
	conn->searched = 0;
	status = end ? read_head(conn, bytes, (size_t)(end + 4 - bytes)) : 431;
	if (end)
		evbuffer_drain(input, (size_t)(end + 4 - bytes));
	conn->only_head = !status && conn->head.verb == TW_HTTP_HEAD;
	if (status) {
		refuse(conn, status);
	} else if (conn->head.chunked || conn->head.length > 0) {
		begin_body(conn);
		if (conn->state == TW_HTTP_BODY)
			advance(conn);
	} else if (conn->head.verb == TW_HTTP_POST && !conn->head.has_length) {
		refuse(conn, 411);
	} else {
		hand_over(conn, NULL, 0);
	}
}

static void whole_body(struct tw_http_conn *conn, struct evbuffer *from, size_t length)
{
	const char *bytes = length ? (const char *)evbuffer_pullup(from, (ssize_t)length) : "";

	if (!bytes) {
		refuse(conn, 503);
		return;
	}
	hand_over(conn, bytes, length);
	evbuffer_drain(from, length);
	count_body(conn, 0);
	if (length > INPUT_MAX / 2 && conn->state != TW_HTTP_LINGER)
		bufferevent_setwatermark(conn->bev, EV_READ, 0, INPUT_MAX);
}

static void take_chunks(struct tw_http_conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	char piece[4096];

	if (!conn->body)
		conn->body = evbuffer_new();
	while (conn->body && !conn->chunks.done && evbuffer_get_length(input) > 0) {
		size_t taken, length;
		ssize_t copied = evbuffer_copyout(input, piece, sizeof piece);

		if (copied < 0 || tw_http_chunks_take(&conn->chunks, piece, (size_t)copied, &taken,
						      piece, &length)) {
			refuse(conn, 400);
			return;
		}
		evbuffer_drain(input, taken);
		count_body(conn, evbuffer_get_length(conn->body) + length);
		if (evbuffer_get_length(conn->body) + length > TW_HTTP_BODY_MAX) {
			refuse(conn, 413);
			return;
		}
		if (http_of(conn)->bodies > TW_HTTP_BODIES_MAX ||
		    evbuffer_add(conn->body, piece, length)) {
			refuse(conn, 503);
			return;
		}
	}
	if (!conn->body)
		refuse(conn, 503);
	else if (conn->chunks.done)
		whole_body(conn, conn->body, evbuffer_get_length(conn->body));
}

static void take_body(struct tw_http_conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);

	if (conn->head.chunked)
		take_chunks(conn);
	else if (evbuffer_get_length(input) >= conn->head.length)
		whole_body(conn, input, (size_t)conn->head.length);
	else if (conn->eof)
		tw_http_conn_close(conn);
}

/* Does what can be done with what has come. May close @conn. */
static void advance(struct tw_http_conn *conn)
{
	struct evbuffer *input = bufferevent_get_input(conn->bev);
	size_t length = evbuffer_get_length(input);

	if (conn->state == TW_HTTP_LINGER || conn->state == TW_HTTP_STREAM) {
		evbuffer_drain(input, length);
		return;
	}
	if (conn->state == TW_HTTP_BUSY || tw_http_backlog(conn) > BACKLOG_MAX)
		return;
	if (conn->state == TW_HTTP_BODY)
		take_body(conn);
	else if (length > 0)
		take_head(conn);
}

/* The peer says no more: what it has asked for is answered still, if all of it is here. */
static void after_end(struct tw_http_conn *conn)
{
	size_t length = evbuffer_get_length(bufferevent_get_input(conn->bev));

	if (conn->state == TW_HTTP_BUSY)
		return;
	if (conn->state != TW_HTTP_STREAM && tw_http_backlog(conn) > 0)
		return;
	if (conn->state == TW_HTTP_IDLE && length > 0)
		return; /* advance() comes to it */
	tw_http_conn_close(conn);
}

static void on_read(struct bufferevent *bev, void *context)
{
	struct tw_http_conn *conn = context;
	bool was_eof = conn->eof;
	enum tw_http_state before = conn->state;

	(void)bev;
	if (was_eof && (before == TW_HTTP_LINGER ||
			evbuffer_get_length(bufferevent_get_input(conn->bev)) == 0)) {
		after_end(conn);
		return;
	}
	advance(conn);
}

static void on_write(struct bufferevent *bev, void *context)
{
	struct tw_http_conn *conn = context;
	struct tw_http *http = http_of(conn);

	(void)bev;
	count_backlog(conn);
	if (tw_http_backlog(conn) > 0)
		return;
	if (conn->state == TW_HTTP_LINGER) {
		if (conn->eof) {
			tw_http_conn_close(conn);
			return;
		}
		end_writing(conn);
		conn->deadline = tw_ns_add(tw_clock_now(), LINGER);
	} else if (conn->state == TW_HTTP_STREAM) {
		http->handler.drained(http->handler.context, conn);
	} else if (conn->eof) {
		after_end(conn);
	} else {
		advance(conn);
	}
}

static void on_event(struct bufferevent *bev, short what, void *context)
{
	struct tw_http_conn *conn = context;

	(void)bev;
	if (what & BEV_EVENT_CONNECTED) {
		enter(conn, TW_HTTP_IDLE, TW_HTTP_REQUEST_SECONDS * TW_SECOND);
		return;
	}
	/* After the peer's last word libevent writes no more either, over TLS. */
	if (!(what & BEV_EVENT_EOF) || conn->state == TW_HTTP_BUSY || conn->tls ||
	    conn->state == TW_HTTP_STREAM || conn->eof) {
		tw_http_conn_close(conn);
		return;
	}
	conn->eof = true;
	after_end(conn);
}

static struct bufferevent *make_tls(struct tw_http_conn *conn)
{
	struct bufferevent *bev;
	SSL *ssl = SSL_new(http_of(conn)->tls);

	if (!ssl)
		return NULL;
	/* Takes @ssl, whatever comes of it. */
	bev = bufferevent_openssl_socket_new(http_of(conn)->base, conn->fd, ssl,
					     BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (!bev)
		return NULL;
	/* Each request says itself how long it is. */
	bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	conn->tls = ssl;
	return bev;
}

/* May close @conn. */
static void begin(struct tw_http_conn *conn, bool tls)
{
	if (conn->first)
		event_free(conn->first);
	conn->first = NULL;
	conn->bev =
		tls ? make_tls(conn)
		    : bufferevent_socket_new(http_of(conn)->base, conn->fd, BEV_OPT_CLOSE_ON_FREE);
	if (!conn->bev) {
		ERR_clear_error();
		tw_http_conn_close(conn);
		return;
	}
	bufferevent_setcb(conn->bev, on_read, on_write, on_event, conn);
	bufferevent_setwatermark(conn->bev, EV_READ, 0, INPUT_MAX);
	bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
	if (!tls && conn->peer.remote)
		refuse_saying(conn, 400, "This server speaks TLS to other machines: use https.\n");
	else if (!tls)
		enter(conn, TW_HTTP_IDLE, TW_HTTP_REQUEST_SECONDS * TW_SECOND);
}

static void look_at_first(evutil_socket_t fd, short what, void *context)
{
	struct tw_http_conn *conn = context;
	uint8_t byte;
	ssize_t length = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	(void)what;
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		event_add(conn->first, NULL);
	else if (length <= 0)
		tw_http_conn_close(conn);
	else
		begin(conn, byte == TLS_HANDSHAKE && http_of(conn)->tls);
}

void tw_http_conn_open(struct tw_http_side *side, int fd, const struct tw_http_peer *peer)
{
	struct tw_http_conn *conn = calloc(1, sizeof *conn);

	if (conn && !peer->local)
		conn->first = event_new(side->http->base, fd, EV_READ, look_at_first, conn);
	if (!conn || (!peer->local && !conn->first)) {
		free(conn);
		close(fd);
		return;
	}
	conn->fd = fd;
	conn->side = side;
	conn->peer = *peer;
	conn->queue = &side->waiting;
	TAILQ_INSERT_TAIL(&side->waiting, conn, links);
	side->count++;
	conn->deadline = tw_clock_now() + TW_HTTP_HANDSHAKE_SECONDS * TW_SECOND;
	conn->taken_at = tw_clock_now();
	if (peer->local)
		begin(conn, false);
	else
		look_at_first(fd, EV_READ, conn);
}

void tw_http_conn_sweep(struct tw_http_conn *conn, tw_ns now)
{
	count_backlog(conn);
	if (now < conn->deadline &&
	    (conn->owed == 0 || now < conn->taken_at + TW_HTTP_TAKE_SECONDS * TW_SECOND))
		return;
	http_of(conn)->dropped++;
	tw_http_conn_close(conn);
}

void tw_http_set_user(struct tw_http_conn *conn, void *user)
{
	conn->user = user;
}

int tw_http_fd(const struct tw_http_conn *conn)
{
	return conn->fd;
}

void *tw_http_user(const struct tw_http_conn *conn)
{
	return conn->user;
}
