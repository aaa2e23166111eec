#include "api/call.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "api/private.h"
#include "base/text.h"
#include "engine/pool.h"

int tw_api_fault(struct tw_api_call *call, enum tw_fault_code code, const char *name,
		 const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	if (vsnprintf(text, sizeof text, format, arguments) < 0)
		text[0] = '\0';
	va_end(arguments);
	if (name)
		tw_text_clean(name, strlen(name), call->fault_parameter,
			      sizeof call->fault_parameter);
	return tw_fault_set(&call->fault, code, name ? call->fault_parameter : NULL, "%s", text);
}

static bool token_allows(const struct tw_api_session *session, const struct tw_api_method *method)
{
	if (session->token_shared && !method->shared)
		return false;
	if (method->token == TW_TOKEN_ANY)
		return true;
	return method->token <= TW_MAY_ALL &&
	       (session->permissions & method->token) == method->token;
}

static int check_rights(struct tw_api_call *call)
{
	const struct tw_api_method *method = call->method;
	const struct tw_api_session *session = call->session;
	bool known = session->authenticated || !call->api->options.auth_required;

	if (method->role == TW_API_NOBODY || !method->token)
		return tw_api_fault(call, TW_FAULT_NOT_PERMITTED, NULL, "%s is for nobody",
				    method->name);
	if (method->role == TW_API_ANYONE)
		return 0;
	if (!known)
		return tw_api_fault(call, TW_FAULT_NOT_AUTHENTICATED, NULL,
				    "%s needs to know who calls: use auth or authToken first, or "
				    "the Unix socket",
				    method->name);
	if (method->role == TW_API_SUPERUSER && !session->superuser)
		return tw_api_fault(call, TW_FAULT_NOT_PERMITTED, NULL,
				    session->superuser_allowed
					    ? "%s is for superusers: call superuser first, in the "
					      "same session"
					    : "%s is for superusers, and this account is none",
				    method->name);
	if (session->by_token && !token_allows(session, method))
		return tw_api_fault(call, TW_FAULT_NOT_PERMITTED, NULL,
				    "the token you came with does not allow %s", method->name);
	return 0;
}

/* The name in the method's row, which outlives the call. */
static const char *lasting_name(const struct tw_api_call *call, const char *name)
{
	for (size_t i = 0; name && i < call->method->parameter_count; i++)
		if (strcmp(call->method->parameters[i].name, name) == 0)
			return call->method->parameters[i].name;
	return NULL;
}

/* What a quick handler of an async method has found goes into a request of its own. */
static int wrap_request(struct tw_api_call *call, int code)
{
	struct tw_request *request;
	struct tw_fault fault = call->fault;
	const char *id;
	json_t *result = NULL;

	if (!code) {
		result = json_loadb(call->result.bytes, call->result.length, JSON_DECODE_ANY, NULL);
		if (!result || call->result.failed) {
			json_decref(result);
			return tw_api_fault(call, TW_FAULT_INTERNAL, NULL, "out of memory");
		}
	}
	fault.parameter = lasting_name(call, fault.parameter);
	call->fault = (struct tw_fault){ 0 };
	if (tw_engine_request_new(call->engine, &call->caller, &id, &request, &call->fault)) {
		json_decref(result);
		return (int)call->fault.code;
	}
	call->result.length = 0;
	tw_api_result_request(call, id);
	if (result)
		tw_engine_request_done(request, result);
	else
		tw_engine_request_fail(request, &fault);
	return 0;
}

/* Several calls of a batch may grow at the same time. */
static void count_result(struct tw_api_call *call)
{
	call->exchange->answer_bytes += call->result.length - call->counted;
	call->counted = call->result.length;
}

/* With the call's text or fault in place. */
static void end_call(struct tw_api_call *call, int code)
{
	struct tw_api_exchange *exchange = call->exchange;

	assert(!call->finished && exchange->pending > 0);
	if (!code && call->result.failed)
		tw_api_fault(call, TW_FAULT_INTERNAL, NULL, "out of memory");
	call->finished = true;
	if (call->code || call->fault.code) {
		call->api->figures.faults++;
		tw_jsontext_deinit(&call->result);
	}
	count_result(call);
	if (--exchange->pending == 0)
		tw_api_exchange_ready(exchange);
}

void tw_api_call_run(struct tw_api_call *call)
{
	int code;

	call->api->figures.calls++;
	call->session = call->exchange->session;
	tw_api_session_hold(call->session);
	tw_api_session_caller(call->session, call->api->wranglers, &call->caller);
	if (!call->caller.authenticated && !call->api->options.auth_required)
		call->caller.user = "anonymous";
	if (call->exchange->too_new)
		code = tw_api_fault(call, TW_FAULT_VERSION_MISMATCH, NULL,
				    "this server speaks version %d of the API, and the client "
				    "wants a later one: update the server",
				    TW_API_VERSION);
	else
		code = check_rights(call);
	if (!code)
		code = tw_api_check(call);
	if (!code && call->method->changes)
		call->exchange->changed = true;
	if (!code && call->exchange->answer_bytes > TW_API_ANSWER_MAX)
		code = tw_api_fault(call, TW_FAULT_LIMIT_REACHED, NULL,
				    "the answer to this batch grows too large; ask for less");
	if (!code) {
		code = call->method->run(call);
		if (code == TW_API_LATER)
			return;
		if (call->method->async && !call->has_request)
			code = wrap_request(call, code);
	}
	end_call(call, code);
}

static void end_wait(struct tw_api_call *call)
{
	if (call->timer)
		event_free(call->timer);
	call->timer = NULL;
	call->cancel = NULL;
	call->waiting = NULL;
	call->api->waits--;
	if (call->counted_wait)
		--*call->counted_wait;
	call->counted_wait = NULL;
}

void tw_api_call_done(struct tw_api_call *call, int code)
{
	end_wait(call);
	end_call(call, code);
}

void tw_api_call_cancel(struct tw_api_call *call)
{
	if (call->finished)
		return;
	if (call->cancel)
		call->cancel(call);
	end_wait(call);
	call->finished = true;
}

/* Where its account's are counted; two accounts may fall together. */
static uint16_t *waits_of(const struct tw_api_call *call)
{
	const struct tw_api_session *session = call->session;
	uint64_t owner = tw_pool_owner(session->user) >> 1;

	return &call->api->waits_of[(2 * owner + session->by_token) % TW_API_WAITERS];
}

bool tw_api_call_wait(struct tw_api_call *call, void (*cancel)(struct tw_api_call *call))
{
	/* Nobody's are those of who logs in, which have limits of their own. */
	bool somebodys = call->session->user[0];
	uint16_t *own = somebodys ? waits_of(call) : NULL;
	bool too_many = somebodys && *own >= TW_API_WAITS_ACCOUNT_MAX;
	struct tw_api *api = call->api;

	if (too_many || api->waits >= TW_API_WAITS_MAX) {
		tw_api_fault(call, TW_FAULT_LIMIT_REACHED, NULL,
			     "%d calls wait already; ask for the state instead",
			     too_many ? TW_API_WAITS_ACCOUNT_MAX : TW_API_WAITS_MAX);
		return false;
	}
	api->waits++;
	call->counted_wait = own;
	if (somebodys)
		++*own;
	call->cancel = cancel;
	return true;
}

int tw_api_call_give_up(struct tw_api_call *call, int code)
{
	end_wait(call);
	return code;
}

static void nothing(struct tw_api_call *call)
{
	(void)call;
}

static void timer_fired(evutil_socket_t fd, short what, void *context)
{
	struct tw_api_call *call = context;

	(void)fd;
	(void)what;
	call->fired(call);
}

bool tw_api_call_later(struct tw_api_call *call, uint64_t delay_ms,
		       void (*fired)(struct tw_api_call *call))
{
	const struct timeval delay = { (time_t)(delay_ms / 1000),
				       (suseconds_t)(delay_ms % 1000 * 1000) };

	if (!tw_api_call_wait(call, nothing))
		return false;
	call->fired = fired;
	call->timer = event_new(call->api->options.base, -1, 0, timer_fired, call);
	if (!call->timer || event_add(call->timer, &delay)) {
		end_wait(call);
		tw_api_fault(call, TW_FAULT_INTERNAL, NULL, "out of memory");
		return false;
	}
	return true;
}

static void cancel_wait(struct tw_api_call *call)
{
	if (call->waiting)
		tw_engine_wait_cancel(call->waiting);
}

static void changed(void *context, bool timed_out)
{
	struct tw_api_call *call = context;

	call->waiting = NULL;
	tw_api_call_done(call, timed_out ? tw_api_fault(call, TW_FAULT_TIMEOUT, NULL,
							"it is not over yet; ask again")
					 : call->finish(call));
}

int tw_api_call_wait_for(struct tw_api_call *call, const char *id, uint64_t timeout_ms,
			 int (*finish)(struct tw_api_call *call))
{
	struct tw_wait *wait = tw_engine_wait(call->engine, id, timeout_ms, changed, call);

	if (!wait)
		return finish(call);
	if (!tw_api_call_wait(call, cancel_wait)) {
		tw_engine_wait_cancel(wait);
		return (int)call->fault.code;
	}
	call->waiting = wait;
	call->finish = finish;
	return TW_API_LATER;
}

static void error_text(const struct tw_api_call *call, struct tw_jsontext *text)
{
	const struct tw_fault *fault = &call->fault;
	const char *name = tw_fault_name(fault->code);

	tw_jsontext_literal(text, "\"error\":{\"code\":");
	tw_jsontext_integer(text, call->code ? call->code : tw_fault_number(fault->code));
	tw_jsontext_literal(text, ",\"message\":");
	tw_jsontext_string(text, fault->message, strlen(fault->message));
	tw_jsontext_literal(text, ",\"data\":{\"name\":");
	tw_jsontext_string(text, name, strlen(name));
	tw_jsontext_literal(text, ",\"parameter\":");
	if (fault->parameter)
		tw_jsontext_string(text, fault->parameter, strlen(fault->parameter));
	else
		tw_jsontext_literal(text, "null");
	tw_jsontext_literal(text, "}}");
}

void tw_api_call_text(const struct tw_api_call *call, struct tw_jsontext *text)
{
	tw_jsontext_literal(text, "{\"jsonrpc\":\"2.0\",\"id\":");
	tw_jsontext_value(text, call->id);
	tw_jsontext_literal(text, ",");
	if (call->code || call->fault.code) {
		error_text(call, text);
	} else {
		tw_jsontext_literal(text, "\"result\":");
		tw_jsontext_raw(text, call->result.bytes, call->result.length);
	}
	tw_jsontext_literal(text, "}");
}

int tw_api_result_null(struct tw_api_call *call)
{
	tw_jsontext_literal(&call->result, "null");
	return 0;
}

int tw_api_result_string(struct tw_api_call *call, const char *value)
{
	tw_jsontext_string(&call->result, value, strlen(value));
	return 0;
}

int tw_api_result_structure(struct tw_api_call *call, const struct tw_structure *structure,
			    const void *object)
{
	tw_structure_text(structure, object, &call->result);
	return 0;
}

int tw_api_result_json(struct tw_api_call *call, json_t *value)
{
	if (!value)
		return tw_api_fault(call, TW_FAULT_INTERNAL, NULL, "out of memory");
	tw_jsontext_value(&call->result, value);
	json_decref(value);
	return 0;
}

int tw_api_result_request(struct tw_api_call *call, const char *id)
{
	tw_jsontext_literal(&call->result, "{\"requestId\":");
	tw_jsontext_string(&call->result, id, strlen(id));
	tw_jsontext_literal(&call->result, "}");
	call->has_request = true;
	return 0;
}

void tw_api_list_begin(struct tw_api_call *call)
{
	tw_jsontext_literal(&call->result, "[");
}

static bool is_too_large(const struct tw_api_call *call)
{
	return call->result.length - call->counted + call->exchange->answer_bytes >
	       TW_API_ANSWER_MAX;
}

static bool begin_item(struct tw_api_call *call)
{
	if (is_too_large(call))
		return false;
	if (call->result.length && call->result.bytes[call->result.length - 1] != '[')
		tw_jsontext_literal(&call->result, ",");
	return true;
}

bool tw_api_list_item(struct tw_api_call *call, const struct tw_structure *structure,
		      const void *object)
{
	if (!begin_item(call))
		return false;
	tw_structure_text(structure, object, &call->result);
	return true;
}

bool tw_api_list_value(struct tw_api_call *call, json_t *value)
{
	if (!begin_item(call))
		return false;
	tw_jsontext_value(&call->result, value);
	return true;
}

int tw_api_list_end(struct tw_api_call *call)
{
	if (is_too_large(call))
		return tw_api_fault(call, TW_FAULT_LIMIT_REACHED, NULL,
				    "the answer is larger than %zu MiB; ask for parts of it with "
				    "offset and limit",
				    TW_API_ANSWER_MAX >> 20);
	tw_jsontext_literal(&call->result, "]");
	return 0;
}

static void next_turn(struct tw_api_call *call)
{
	static const struct timeval now = { 0 };
	int code = call->more(call);

	count_result(call);
	if (code != TW_API_MORE)
		tw_api_call_done(call, code);
	else if (event_add(call->timer, &now))
		tw_api_call_done(call,
				 tw_api_fault(call, TW_FAULT_INTERNAL, NULL, "out of memory"));
}

int tw_api_list_in_turns(struct tw_api_call *call, int (*more)(struct tw_api_call *call))
{
	int code;

	call->more = more;
	tw_api_list_begin(call);
	code = more(call);
	count_result(call);
	if (code != TW_API_MORE)
		return code;
	return tw_api_call_later(call, 0, next_turn) ? TW_API_LATER : (int)call->fault.code;
}
