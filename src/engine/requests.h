/*
 * requests.h - asynchronous requests: work that was asked for and ends later, with a JSON result or
 * a fault. A finished one is kept for ten minutes, then it does not exist any more. Only whoever
 * made it, and superusers, see it. At most TW_REQUESTS_MAX, half of them of one account; beyond:
 * LimitReached.
 *
 * A listing may be large: finished ones go earlier, the oldest first, so that the results of one
 * account take no more memory than TW_REQUESTS_ACCOUNT_BYTES and those of all no more than
 * TW_REQUESTS_BYTES; the newest one stays, whatever its size.
 */
#pragma once

#include <event2/event.h>
#include <jansson.h>
#include <stdint.h>

#include "engine/engine.h"

#define TW_REQUESTS_MAX 10000
#define TW_REQUEST_KEPT_SECONDS 600
#define TW_REQUESTS_ACCOUNT_BYTES ((size_t)128 << 20)
#define TW_REQUESTS_BYTES ((size_t)512 << 20)

struct tw_requests;

int tw_requests_new(struct event_base *base, struct tw_requests **ret);
/* Those that have not ended are forgotten; nobody may end them later. */
void tw_requests_free(struct tw_requests *requests);
int tw_requests_add(struct tw_requests *requests, const struct tw_caller *caller,
		    const char **ret_id, struct tw_request **ret, struct tw_fault *fault);
/* tw_engine_request_done(), _fail() and tw_engine_request() are built on these. */
void tw_request_done(struct tw_request *request, json_t *result);
void tw_request_fail(struct tw_request *request, const struct tw_fault *fault);
int tw_requests_look(struct tw_requests *requests, const struct tw_caller *caller, const char *id,
		     struct tw_request_status *ret, struct tw_fault *fault);
/* Called when a request ends: the engine wakes those who wait for it (tw_engine_wait()). */
void tw_requests_on_end(struct tw_requests *requests, void (*ended)(void *context, const char *id),
			void *context);
