/*
 * call.h - one call of a method on its way: parameters that have been checked, who calls, and the
 * answer that its handler makes. And the request that brought it (an exchange), with one call or a
 * batch of them.
 *
 * A handler writes JSON text to @result and returns 0, or returns the code of a fault it has filled
 * in, or TW_API_LATER after it has set @cancel; then tw_api_call_done() ends the call, from the
 * loop. When the client goes away before, @cancel is called instead.
 */
#pragma once

#include <sys/queue.h>

#include "api/api.h"
#include "api/http.h"
#include "api/method.h"
#include "engine/engine.h"
#include "engine/jsontext.h"

#define TW_API_BATCH_MAX 1000
#define TW_API_ANSWER_MAX ((size_t)64 << 20) /* of all calls of an exchange */
#define TW_API_WAITS_MAX 2048                /* calls that wait, all clients together */
#define TW_API_WAITS_ACCOUNT_MAX 512         /* ... of one account; with tokens of its, as many */

struct tw_api_exchange;

struct tw_api_call {
	struct tw_api *api;
	struct tw_engine *engine;
	struct tw_api_exchange *exchange;
	const struct tw_api_method *method;
	struct tw_api_session *session; /* who calls; held, a login in the batch does not matter */
	struct tw_caller caller;        /* of it */
	json_t *parameters; /* borrowed from the exchange; NULL: none */
	json_t *id;         /* borrowed from the exchange; NULL: unknown */
	bool notification, finished;
	bool has_request; /* the result is the id of a request that its handler has made */
	int code;         /* of JSON-RPC, where it is none of the faults' */
	struct tw_fault fault;
	char fault_parameter[64];
	struct tw_jsontext result;
	size_t counted; /* bytes of it that the exchange knows of */
	/* While the answer is still to come: */
	void (*cancel)(struct tw_api_call *call);
	void *waiting;
	uint16_t *counted_wait; /* where it counts among its account's; NULL: nowhere */
	struct event *timer;
	void (*fired)(struct tw_api_call *call);
	int (*finish)(struct tw_api_call *call);
	/* A list that is made in turns: */
	int (*more)(struct tw_api_call *call);
	struct tw_transfer_walk walk;
	uint64_t after; /* number of the event that was shown last */
	uint64_t left;  /* items that are still wanted */
};

struct tw_api_exchange {
	struct tw_api *api;
	struct tw_http_conn *conn; /* NULL: gone */
	const struct tw_http_peer *peer;
	struct tw_api_session *session; /* held */
	json_t *body;                   /* owned; ids and parameters are in it */
	bool batch, changed, too_new;   /* too_new: the client wants a later API */
	bool ready;
	size_t answer_bytes;
	struct tw_api_call *calls;
	size_t count, pending;
	STAILQ_ENTRY(tw_api_exchange) links;
};

/* Checks the parameters and runs the handler; the call may be over when it returns. */
void tw_api_call_run(struct tw_api_call *call);
/* Ends a call that was TW_API_LATER; @code: 0 or that of the fault. */
void tw_api_call_done(struct tw_api_call *call, int code);
/* Fills in the fault; @name need not outlive the call. */
int tw_api_fault(struct tw_api_call *call, enum tw_fault_code code, const char *name,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The whole answer of a call, {"jsonrpc": ...}. */
void tw_api_call_text(const struct tw_api_call *call, struct tw_jsontext *text);
/* The client has gone. */
void tw_api_call_cancel(struct tw_api_call *call);
/* Before a handler returns TW_API_LATER. False and a fault: too many wait, or too many of its
 * account. */
bool tw_api_call_wait(struct tw_api_call *call, void (*cancel)(struct tw_api_call *call));
/* After all it does not wait: returns @code, for the handler to return. */
int tw_api_call_give_up(struct tw_api_call *call, int code);
/* As tw_api_call_wait(); @delay_ms later @fired is called with the call. */
bool tw_api_call_later(struct tw_api_call *call, uint64_t delay_ms,
		       void (*fired)(struct tw_api_call *call));

/* Waits until the object of @id is no longer processing, then @finish makes the answer. What a
 * handler returns. */
int tw_api_call_wait_for(struct tw_api_call *call, const char *id, uint64_t timeout_ms,
			 int (*finish)(struct tw_api_call *call));
#define TW_API_WAIT_MAX_MS 86400000

/* Parameters, as checked: absent ones are NULL or @fallback. */
bool tw_api_given(const struct tw_api_call *call, const char *name);
const char *tw_api_string(const struct tw_api_call *call, const char *name);
bool tw_api_bool(const struct tw_api_call *call, const char *name, bool fallback);
int64_t tw_api_integer(const struct tw_api_call *call, const char *name, int64_t fallback);
uint64_t tw_api_u64(const struct tw_api_call *call, const char *name, uint64_t fallback);
json_t *tw_api_value(const struct tw_api_call *call, const char *name);
/* @ret->items is malloc'd, the caller frees it; its strings are the call's. */
int tw_api_strings(struct tw_api_call *call, const char *name, struct tw_strings *ret);

/* Checks all parameters against the method's row. 0, or the code of the fault. */
int tw_api_check(struct tw_api_call *call);

/* Results. Each returns 0. */
int tw_api_result_null(struct tw_api_call *call);
int tw_api_result_string(struct tw_api_call *call, const char *value);
int tw_api_result_structure(struct tw_api_call *call, const struct tw_structure *structure,
			    const void *object);
/* @value: taken; NULL: Internal. */
int tw_api_result_json(struct tw_api_call *call, json_t *value);
int tw_api_result_request(struct tw_api_call *call, const char *id);
/* A list: begin, any number of items, end. item: false when the answer has grown too large. */
void tw_api_list_begin(struct tw_api_call *call);
bool tw_api_list_item(struct tw_api_call *call, const struct tw_structure *structure,
		      const void *object);
bool tw_api_list_value(struct tw_api_call *call, json_t *value);
int tw_api_list_end(struct tw_api_call *call);
/*
 * A list that may be long: @more adds at most TW_API_TURN_ITEMS items and returns TW_API_MORE, or
 * ends the list and returns what a handler returns. It is called again in later turns of the loop:
 * other calls are answered in between. What a handler returns.
 */
#define TW_API_TURN_ITEMS 128
int tw_api_list_in_turns(struct tw_api_call *call, int (*more)(struct tw_api_call *call));
/* NotFound for the object that @parameter names. */
int tw_api_gone(struct tw_api_call *call, const char *parameter);
