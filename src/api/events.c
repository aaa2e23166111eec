/*
 * events.c - the event log as Server-Sent Events. A stream is a number into the log, nothing more:
 * entries are read when the client has room for them, so a slow one costs no memory, and one that
 * is too slow for the log's memory is told so.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/private.h"
#include "base/text.h"
#include "netio/clock.h"

#define STREAMS_MAX 256
#define STREAMS_ACCOUNT_MAX 64 /* of one account, of those */
#define BACKLOG_MAX 65536 /* bytes a client may be behind in its socket */
#define ENTRIES_AT_ONCE 100
#define PIECES_AT_ONCE 8 /* then others have their turn */
#define HEARTBEAT_SECONDS 15

struct tw_api_stream {
	struct tw_api *api;
	struct tw_http_conn *conn;
	struct tw_api_session *session; /* held */
	uint64_t after; /* number of the last entry it has been told, or passed by */
	LIST_ENTRY(tw_api_stream) links;
};

static void grown(void *context)
{
	struct tw_api *api = context;

	if (api->streams_behind || LIST_EMPTY(&api->streams))
		return;
	api->streams_behind = true;
	event_active(api->turn, 0, 0);
}

/* Some are behind with what is stored already, or is now. */
static void catch_up(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	grown(context);
}

/* Whose token is taken back, or whose time is over, hears no more; nor does an account that was not
 * asked after for long: its client comes again, and goes on where it was. */
static bool may_hear(const struct tw_api_stream *stream)
{
	const struct tw_api_session *session = stream->session;

	if (session->proven && tw_clock_now() - session->proven > 2 * TW_API_PROOF_AGE)
		return false;
	return tw_api_session_lives(session) &&
	       (!session->by_token || tw_api_token_alive(stream->api->options.engine, session));
}

static void heartbeat(evutil_socket_t fd, short what, void *context)
{
	struct tw_api *api = context;
	struct tw_api_stream *stream;

	(void)fd;
	(void)what;
	for (stream = LIST_FIRST(&api->streams); stream; stream = LIST_NEXT(stream, links)) {
		if (!may_hear(stream))
			tw_http_drop(stream->conn);
		else if (tw_http_backlog(stream->conn) == 0)
			tw_http_stream_write(stream->conn, ":\n\n", 3);
	}
}

int tw_api_events_init(struct tw_api *api)
{
	const struct timeval every = { HEARTBEAT_SECONDS, 0 };

	api->heartbeat = event_new(api->options.base, -1, EV_PERSIST, heartbeat, api);
	if (!api->heartbeat || event_add(api->heartbeat, &every))
		return -ENOMEM;
	api->catch_up = event_new(api->options.base, -1, 0, catch_up, api);
	if (!api->catch_up)
		return -ENOMEM;
	api->listener = tw_engine_listen(api->options.engine, grown, api);
	return api->listener ? 0 : -ENOMEM;
}

void tw_api_events_deinit(struct tw_api *api)
{
	if (api->listener)
		tw_engine_unlisten(api->listener);
	if (api->heartbeat)
		event_free(api->heartbeat);
	if (api->catch_up)
		event_free(api->catch_up);
}

/* Its id is that of the entry before the first one that is left: the place to go on from. */
static void say_gap(struct tw_api_stream *stream, uint64_t oldest)
{
	char text[160];
	int length;

	stream->after = oldest ? oldest - 1 : 0;
	length = snprintf(text, sizeof text,
			  "id: %" PRIu64
			  "\nevent: gap\ndata: {\"_event\":\"gap\",\"firstId\":%" PRIu64 "}\n\n",
			  stream->after, oldest);
	tw_http_stream_write(stream->conn, text, (size_t)length);
}

/* So that the client knows at once that it is heard, and from where it can go on should the stream
 * break before the first entry. */
static void say_place(struct tw_api_stream *stream)
{
	char text[48];
	int length = snprintf(text, sizeof text, ":\n\nid: %" PRIu64 "\n\n", stream->after);

	tw_http_stream_write(stream->conn, text, (size_t)length);
}

static void write_entry(struct tw_jsontext *text, json_t *entry, uint64_t id)
{
	const char *name = json_string_value(json_object_get(entry, "_event"));
	char clean[128];

	tw_jsontext_literal(text, "id: ");
	tw_jsontext_integer(text, (int64_t)id);
	if (name) {
		tw_text_clean(name, strlen(name), clean, sizeof clean);
		tw_jsontext_literal(text, "\nevent: ");
		tw_jsontext_raw(text, clean, strlen(clean));
	}
	tw_jsontext_literal(text, "\ndata: ");
	tw_jsontext_value(text, entry);
	tw_jsontext_literal(text, "\n\n");
}

/* Some entries; false: there are no more now, or the log cannot be read. */
static bool push_some(struct tw_api_stream *stream, uint64_t newest)
{
	const struct tw_events_query query = { .after = stream->after, .limit = ENTRIES_AT_ONCE };
	struct tw_fault fault = { 0 };
	struct tw_jsontext text;
	struct tw_caller caller;
	json_t *entries = NULL, *entry;
	uint64_t last = stream->after;
	size_t i;

	tw_api_session_caller(stream->session, stream->api->wranglers, &caller);
	if (tw_engine_events(stream->api->options.engine, &caller, &query, &entries, &last, &fault))
		return false;
	tw_jsontext_init(&text);
	json_array_foreach (entries, i, entry) {
		write_entry(&text, entry,
			    (uint64_t)json_integer_value(json_object_get(entry, "_id")));
	}
	/* Those that are not this client's to see are passed by. */
	if (last <= stream->after)
		last = newest;
	stream->after = last;
	if (!text.failed)
		tw_http_stream_write(stream->conn, text.bytes, text.length);
	tw_jsontext_deinit(&text);
	json_decref(entries);
	return stream->after < newest;
}

static void push(struct tw_api_stream *stream)
{
	static const struct timeval now = { 0 };
	uint64_t oldest = 0, newest = 0;
	bool more = true;

	if (!may_hear(stream)) {
		tw_http_drop(stream->conn);
		return;
	}
	tw_engine_event_range(stream->api->options.engine, &oldest, &newest);
	if (stream->after > newest || (oldest && stream->after + 1 < oldest)) {
		say_gap(stream, oldest);
	}
	for (unsigned i = 0; i < PIECES_AT_ONCE && more; i++)
		more = stream->after < newest && tw_http_backlog(stream->conn) < BACKLOG_MAX &&
		       push_some(stream, newest);
	if (more)
		event_add(stream->api->catch_up, &now);
}

void tw_api_events_push(struct tw_api *api)
{
	struct tw_api_stream *stream;

	api->streams_behind = false;
	for (stream = LIST_FIRST(&api->streams); stream; stream = LIST_NEXT(stream, links)) {
		push(stream);
	}
}

void tw_api_events_drained(struct tw_api_stream *stream)
{
	push(stream);
}

/* The number in Last-Event-ID, or afterId= where a browser's first request cannot have the header.
 * False: neither. */
static bool find_start(const struct tw_http_head *head, uint64_t *ret)
{
	static const char name[] = "afterId=";
	struct tw_slice given = head->last_event_id;
	char text[24];

	if (!given.at && head->query.length > sizeof name - 1 &&
	    memcmp(head->query.at, name, sizeof name - 1) == 0) {
		given.at = head->query.at + sizeof name - 1;
		given.length = head->query.length - (sizeof name - 1);
	}
	if (!given.at || given.length >= sizeof text)
		return false;
	memcpy(text, given.at, given.length);
	text[given.length] = '\0';
	return tw_text_parse_u64(text, 0, INT64_MAX, ret) == 0;
}

/* One account cannot keep others from following. */
static bool has_room(const struct tw_api *api, const char *user)
{
	const struct tw_api_stream *stream;
	size_t count = 0, own = 0;

	for (stream = LIST_FIRST(&api->streams); stream; stream = LIST_NEXT(stream, links)) {
		count++;
		own += strcmp(stream->session->user, user) == 0;
	}
	return count < STREAMS_MAX && own < STREAMS_ACCOUNT_MAX;
}

void tw_api_events_open(struct tw_api *api, struct tw_http_conn *conn,
			const struct tw_http_request *request, struct tw_api_session *session)
{
	const struct tw_http_reply nothing = { .status = 200, .type = "text/event-stream" };
	struct tw_api_client *client = tw_http_user(conn);
	struct tw_api_stream *stream;
	uint64_t oldest = 0, newest = 0;

	if (request->head->verb == TW_HTTP_HEAD) {
		tw_http_reply(conn, &nothing);
		return;
	}
	stream = has_room(api, session->user) ? calloc(1, sizeof *stream) : NULL;
	if (!stream) {
		tw_api_answer_text(conn, 503, "too many follow the events already\n");
		return;
	}
	*stream = (struct tw_api_stream){ .api = api, .conn = conn, .session = session };
	tw_api_session_hold(session);
	tw_engine_event_range(api->options.engine, &oldest, &newest);
	if (!find_start(request->head, &stream->after))
		stream->after = newest;
	LIST_INSERT_HEAD(&api->streams, stream, links);
	client->stream = stream;
	tw_http_stream_begin(conn, "text/event-stream");
	say_place(stream);
	push(stream);
}

void tw_api_events_close(struct tw_api_stream *stream)
{
	LIST_REMOVE(stream, links);
	tw_api_session_drop(stream->session);
	free(stream);
}
