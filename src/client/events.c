#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/fault.h"
#include "client/private.h"
#include "client/quiet.h"
#include "client/sse.h"

#define RETRY_MS_MIN 250
#define RETRY_MS_MAX 5000

/*
 * libcurl hands over what has come in pieces, which wait in @pending; events are cut from them one
 * at a time. A connection that ends is made again after a pause that doubles.
 */
struct tw_client_events {
	struct tw_link link;
	CURL *curl;
	CURLM *multi;
	struct curl_slist *headers;
	struct tw_sse sse;
	struct tw_body pending; /* bytes of a good answer, or the text of a refusal */
	size_t taken;           /* of @pending */
	json_t *lent;
	bool connected; /* a request is under way */
	bool answered;  /* it has been answered with 200 */
	bool good;      /* what is pending came so */
	int64_t retry_at_ms;
	int64_t retry_ms;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int no_memory(struct tw_client_error *error)
{
	return tw_fault(error, TW_CLIENT_NO_MEMORY, NULL, "out of memory");
}

static void disconnect(struct tw_client_events *events)
{
	if (events->connected)
		curl_multi_remove_handle(events->multi, events->curl);
	curl_slist_free_all(events->headers);
	events->headers = NULL;
	events->connected = events->answered = false;
}

static int begin(struct tw_client_events *events, struct tw_client_error *error)
{
	char resume[64];
	const char *lines[3] = { "Accept: text/event-stream", NULL, NULL };

	tw_sse_reset(&events->sse);
	events->pending.length = events->taken = 0;
	events->good = false;
	if (events->sse.id != TW_CLIENT_EVENTS_NEW) {
		snprintf(resume, sizeof resume, "Last-Event-ID: %" PRIu64, events->sse.id);
		lines[1] = resume;
	}
	if (tw_link_aim(&events->link, events->curl, "/events", lines, &events->headers))
		return no_memory(error);
	curl_easy_setopt(events->curl, CURLOPT_WRITEFUNCTION, tw_body_write);
	curl_easy_setopt(events->curl, CURLOPT_WRITEDATA, &events->pending);
	if (curl_multi_add_handle(events->multi, events->curl)) {
		disconnect(events);
		return no_memory(error);
	}
	events->connected = true;
	return 0;
}

/* Why the request is over; 0: it is not. */
static int ended(struct tw_client_events *events, struct tw_client_error *error)
{
	CURLMsg *message;
	int left;
	long status = 0;

	do {
		message = curl_multi_info_read(events->multi, &left);
		if (!message)
			return 0;
	} while (message->msg != CURLMSG_DONE);
	curl_easy_getinfo(events->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status && status != 200)
		return tw_fault_from_status(error, status, events->link.place.shown);
	if (message->data.result)
		return tw_link_fault(&events->link, message->data.result, error);
	return tw_fault(error, TW_CLIENT_UNAVAILABLE, NULL, "%s ended the stream of events",
			events->link.place.shown);
}

/* Lets libcurl work, and waits for up to @wait_ms when it has nothing to do. */
static int pump(struct tw_client_events *events, int wait_ms, struct tw_client_error *error)
{
	struct tw_quiet quiet;
	long status = 0;
	bool failed;
	int running;

	if (wait_ms > 0)
		curl_multi_poll(events->multi, NULL, 0, wait_ms, NULL);
	tw_quiet_begin(&quiet);
	failed = curl_multi_perform(events->multi, &running) != CURLM_OK;
	tw_quiet_end(&quiet);
	if (failed)
		return no_memory(error);
	curl_easy_getinfo(events->curl, CURLINFO_RESPONSE_CODE, &status);
	events->good = status == 200;
	events->answered = events->good;
	return ended(events, error);
}

static bool has_pending(const struct tw_client_events *events)
{
	return events->good && events->taken < events->pending.length;
}

/* Whether a failure mends itself with time. */
static bool passes(int fault)
{
	return fault == TW_CLIENT_UNAVAILABLE || fault == TW_CLIENT_TIMEOUT;
}

/* Cuts the next event from what has come. TW_CLIENT_TIMEOUT: not whole yet. */
static int cut(struct tw_client_events *events, struct tw_client_event *ret,
	       struct tw_client_error *error)
{
	struct tw_sse_event event;
	size_t used = 0;
	json_t *data;
	int r = tw_sse_push(&events->sse, events->pending.bytes + events->taken,
			    events->pending.length - events->taken, &used, &event);

	if (r == TW_CLIENT_TIMEOUT) {
		events->pending.length = events->taken = 0;
		return r;
	}
	if (r == TW_CLIENT_NO_MEMORY)
		return no_memory(error);
	if (r)
		return tw_fault(error, TW_CLIENT_INTERNAL, NULL,
				"%s sends an event of more than %u bytes", events->link.place.shown,
				TW_CLIENT_EVENT_MAX);
	events->taken += used;
	data = json_loadb(event.data, event.data_length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	if (!data)
		return tw_fault(error, TW_CLIENT_INTERNAL, NULL,
				"%s sends an event that is not JSON", events->link.place.shown);
	json_decref(events->lent);
	events->lent = data;
	events->retry_ms = RETRY_MS_MIN;
	*ret = (struct tw_client_event){ .id = event.id, .name = event.name, .data = data };
	return 0;
}

/* Sleeps until the next attempt or @until. */
static void pause_until(const struct tw_client_events *events, int64_t until)
{
	int64_t at = events->retry_at_ms < until ? events->retry_at_ms : until;
	int64_t left = at - now_ms();
	struct timespec span = { .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000 };

	if (left > 0)
		nanosleep(&span, NULL);
}

static void retry_later(struct tw_client_events *events)
{
	disconnect(events);
	events->retry_at_ms = now_ms() + events->retry_ms;
	events->retry_ms =
		events->retry_ms * 2 < RETRY_MS_MAX ? events->retry_ms * 2 : RETRY_MS_MAX;
}

/* One round: an event, or one step toward one. TW_CLIENT_TIMEOUT: go on. */
static int step(struct tw_client_events *events, int64_t until, struct tw_client_event *ret,
		struct tw_client_error *error)
{
	int64_t left;
	int r = 0;

	/* What came before a connection ended is not lost. */
	if (has_pending(events))
		return cut(events, ret, error);
	if (!events->connected) {
		pause_until(events, until);
		if (now_ms() < events->retry_at_ms)
			return TW_CLIENT_TIMEOUT;
		r = begin(events, error);
	}
	left = until - now_ms();
	if (!r)
		r = pump(events, left < 0 ? 0 : left > 1000 ? 1000 : (int)left, error);
	if (passes(r))
		retry_later(events);
	return r && !passes(r) ? r : TW_CLIENT_TIMEOUT;
}

int tw_client_events_next(struct tw_client_events *events, uint32_t timeout_ms,
			  struct tw_client_event *ret, struct tw_client_error *error)
{
	int64_t until = timeout_ms == TW_CLIENT_FOREVER ? INT64_MAX : now_ms() + timeout_ms;
	int r;

	do {
		r = step(events, until, ret, error);
	} while (r == TW_CLIENT_TIMEOUT && (now_ms() < until || has_pending(events)));
	if (r != TW_CLIENT_TIMEOUT)
		return r;
	if (events->answered)
		return tw_fault(error, TW_CLIENT_TIMEOUT, NULL, "nothing has happened");
	return tw_fault(error, TW_CLIENT_UNAVAILABLE, NULL, "nobody answers at %s",
			events->link.place.shown);
}

/* Until the server has answered the first request. */
static int first_answer(struct tw_client_events *events, struct tw_client_error *error)
{
	int64_t until = now_ms() + events->link.connect_ms;
	int r = begin(events, error);

	while (!r && !events->answered) {
		int64_t left = until - now_ms();

		if (left <= 0)
			return tw_fault(error, TW_CLIENT_TIMEOUT, NULL,
					"%s does not answer in time", events->link.place.shown);
		r = pump(events, (int)left, error);
	}
	/* Answered and over already: what came is there to be read. */
	if (passes(r) && events->good) {
		retry_later(events);
		r = 0;
	}
	return r;
}

int tw_client_events_open(struct tw_client *client, uint64_t after_id,
			  struct tw_client_events **ret, struct tw_client_error *error)
{
	struct tw_client_events *events = calloc(1, sizeof *events);
	int r;

	if (!events)
		return no_memory(error);
	tw_sse_init(&events->sse, after_id);
	events->retry_ms = RETRY_MS_MIN;
	r = tw_client_session(client, error);
	if (!r)
		r = tw_link_secure(&client->link, error);
	if (!r)
		r = tw_link_copy(&events->link, &client->link, error);
	if (r) {
		free(events);
		return r;
	}
	events->curl = curl_easy_init();
	events->multi = curl_multi_init();
	r = events->curl && events->multi ? first_answer(events, error) : no_memory(error);
	if (r)
		tw_client_events_close(events);
	else
		*ret = events;
	return r;
}

void tw_client_events_close(struct tw_client_events *events)
{
	if (!events)
		return;
	if (events->curl && events->multi)
		disconnect(events);
	curl_easy_cleanup(events->curl);
	if (events->multi)
		curl_multi_cleanup(events->multi);
	tw_sse_deinit(&events->sse);
	tw_link_deinit(&events->link);
	json_decref(events->lent);
	free(events->pending.bytes);
	free(events);
}
