#include "engine/requests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/time.h"
#include "netio/clock.h"

#define BUCKETS 4096
#define SWEEP_SECONDS 10
#define ACCOUNT_MAX (TW_REQUESTS_MAX / 2)
#define VALUE_BYTES 128 /* what a JSON value takes besides its text, its place in a map included \
			 */

struct tw_request {
	struct tw_requests *requests;
	char id[TW_OBJECT_ID];
	char *user; /* owned */
	char token[TW_OBJECT_ID]; /* that its maker came with; "": none */
	struct tw_request_status status;
	struct tw_fault failure;
	tw_ns ended_at;
	size_t bytes;            /* of its result, about */
	struct tw_request *next; /* in its bucket */
	/* Ended ones, the oldest first. */
	struct tw_request *ended_next;
};

struct tw_requests {
	struct event *sweep;
	struct tw_request *buckets[BUCKETS];
	size_t count, bytes;
	struct tw_request *ended_first, **ended_last;
	void (*ended)(void *context, const char *id);
	void *context;
};

static struct tw_request **bucket(struct tw_requests *requests, const char *id)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a; the ids are random */

	for (; *id; id++)
		hash = (hash ^ (uint8_t)*id) * 1099511628211u;
	return &requests->buckets[hash % BUCKETS];
}

static void request_free(struct tw_request *request)
{
	if (request->status.result)
		json_decref(request->status.result);
	free(request->user);
	free(request);
}

static void forget(struct tw_requests *requests, struct tw_request *request)
{
	struct tw_request **place = bucket(requests, request->id);

	while (*place != request)
		place = &(*place)->next;
	*place = request->next;
	requests->count--;
	requests->bytes -= request->bytes;
	request_free(request);
}

/* The oldest ended one of @user, NULL: of anybody, but not @spared. False: there is none. */
static bool forget_oldest_ended(struct tw_requests *requests, const char *user,
				const struct tw_request *spared)
{
	for (struct tw_request **at = &requests->ended_first; *at; at = &(*at)->ended_next) {
		struct tw_request *request = *at;

		if (request == spared || (user && strcmp(request->user, user) != 0))
			continue;
		*at = request->ended_next;
		if (!request->ended_next)
			requests->ended_last = at;
		forget(requests, request);
		return true;
	}
	return false;
}

static size_t count_of(const struct tw_requests *requests, const char *user, size_t *ret_bytes)
{
	size_t count = 0;

	*ret_bytes = 0;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct tw_request *at = requests->buckets[i]; at; at = at->next) {
			if (strcmp(at->user, user) != 0)
				continue;
			count++;
			*ret_bytes += at->bytes;
		}
	return count;
}

/* One account cannot have all the room. */
static bool has_room(struct tw_requests *requests, const char *user)
{
	size_t bytes;

	if (requests->count >= ACCOUNT_MAX && count_of(requests, user, &bytes) >= ACCOUNT_MAX)
		return forget_oldest_ended(requests, user, NULL);
	/* What has ended makes room before anybody is turned away. */
	return requests->count < TW_REQUESTS_MAX || forget_oldest_ended(requests, NULL, NULL);
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
	struct tw_requests *requests = context;
	tw_ns now = tw_clock_now();

	(void)fd;
	(void)what;
	while (requests->ended_first && tw_ns_since(now, requests->ended_first->ended_at) >=
						TW_REQUEST_KEPT_SECONDS * TW_SECOND)
		forget_oldest_ended(requests, NULL, NULL);
}

int tw_requests_new(struct event_base *base, struct tw_requests **ret)
{
	static const struct timeval period = { SWEEP_SECONDS, 0 };
	struct tw_requests *requests = calloc(1, sizeof *requests);

	if (!requests)
		return -ENOMEM;
	requests->ended_last = &requests->ended_first;
	requests->sweep = event_new(base, -1, EV_PERSIST, on_sweep, requests);
	if (!requests->sweep || event_add(requests->sweep, &period)) {
		tw_requests_free(requests);
		return -ENOMEM;
	}
	*ret = requests;
	return 0;
}

void tw_requests_free(struct tw_requests *requests)
{
	if (!requests)
		return;
	if (requests->sweep)
		event_free(requests->sweep);
	for (size_t i = 0; i < BUCKETS; i++) {
		while (requests->buckets[i]) {
			struct tw_request *request = requests->buckets[i];

			requests->buckets[i] = request->next;
			request_free(request);
		}
	}
	free(requests);
}

void tw_requests_on_end(struct tw_requests *requests, void (*ended)(void *context, const char *id),
			void *context)
{
	requests->ended = ended;
	requests->context = context;
}

int tw_requests_add(struct tw_requests *requests, const struct tw_caller *caller,
		    const char **ret_id, struct tw_request **ret, struct tw_fault *fault)
{
	struct tw_random random = tw_system_random();
	struct tw_request *request, **place;
	uint8_t id[16];

	if (!has_room(requests, caller->user))
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, NULL,
				    "Too many requests are under way already; wait for some to "
				    "end.");
	request = calloc(1, sizeof *request);
	if (request)
		request->user = strdup(caller->user);
	if (!request || !request->user) {
		free(request);
		return tw_fault_set(fault, TW_FAULT_INTERNAL, NULL, "There is no memory left.");
	}
	tw_random_fill(&random, id, sizeof id);
	tw_text_hex(id, sizeof id, request->id);
	request->requests = requests;
	snprintf(request->token, sizeof request->token, "%s", caller->token ? caller->token : "");
	place = bucket(requests, request->id);
	request->next = *place;
	*place = request;
	requests->count++;
	*ret_id = request->id;
	*ret = request;
	return TW_FAULT_NONE;
}

/* How much memory a value takes, about. Depth is ours: results are made here. */
static size_t weigh(const json_t *value)
{
	size_t bytes = VALUE_BYTES + json_string_length(value), i;
	const json_t *each;
	const char *name;

	json_array_foreach (value, i, each)
		bytes += weigh(each);
	json_object_foreach ((json_t *)(uintptr_t)value, name, each)
		bytes += strlen(name) + weigh(each);
	return bytes;
}

static void keep_within(struct tw_requests *requests, const struct tw_request *newest)
{
	size_t bytes;

	if (requests->bytes <= TW_REQUESTS_ACCOUNT_BYTES)
		return;
	while (count_of(requests, newest->user, &bytes) && bytes > TW_REQUESTS_ACCOUNT_BYTES &&
	       forget_oldest_ended(requests, newest->user, newest))
		;
	while (requests->bytes > TW_REQUESTS_BYTES && forget_oldest_ended(requests, NULL, newest))
		;
}

static void end(struct tw_request *request, enum tw_request_state state)
{
	struct tw_requests *requests = request->requests;

	request->status.state = state;
	request->ended_at = tw_clock_now();
	*requests->ended_last = request;
	requests->ended_last = &request->ended_next;
	request->bytes = request->status.result ? weigh(request->status.result) : 0;
	requests->bytes += request->bytes;
	keep_within(requests, request);
	if (requests->ended)
		requests->ended(requests->context, request->id);
}

void tw_request_done(struct tw_request *request, json_t *result)
{
	request->status.result = result;
	end(request, TW_REQUEST_COMPLETE);
}

void tw_request_fail(struct tw_request *request, const struct tw_fault *fault)
{
	request->failure = *fault;
	request->status.failure = &request->failure;
	end(request, TW_REQUEST_ERROR);
}

static bool made_by(const struct tw_request *request, const struct tw_caller *caller)
{
	return caller->superuser ||
	       (strcmp(request->user, caller->user) == 0 &&
		strcmp(request->token, caller->token ? caller->token : "") == 0);
}

int tw_requests_look(struct tw_requests *requests, const struct tw_caller *caller, const char *id,
		     struct tw_request_status *ret, struct tw_fault *fault)
{
	struct tw_request *request = *bucket(requests, id);

	while (request && strcmp(request->id, id) != 0)
		request = request->next;
	if (!request || !made_by(request, caller))
		return tw_fault_set(
			fault, TW_FAULT_NOT_FOUND, "requestId",
			"There is no such request; finished ones are kept for ten minutes.");
	*ret = request->status;
	return TW_FAULT_NONE;
}
