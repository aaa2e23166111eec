/* rpc.c - JSON-RPC 2.0: from a body to calls, from calls to an answer. */
#include <stdlib.h>
#include <string.h>

#include "api/private.h"
#include "base/text.h"

/* JSON-RPC's own codes; the name beside them is the contract's. */
#define PARSE_ERROR (-32700)
#define INVALID_REQUEST (-32600)
#define METHOD_NOT_FOUND (-32601)

/* How deep brackets go, strings left out; more than enough for what comes before a fault in form.
 */
static unsigned measure_depth(const char *bytes, size_t length)
{
	unsigned depth = 0, deepest = 0;
	bool text = false;

	for (size_t i = 0; i < length; i++) {
		char byte = bytes[i];

		if (text) {
			if (byte == '\\')
				i++;
			else if (byte == '"')
				text = false;
		} else if (byte == '"') {
			text = true;
		} else if (byte == '[' || byte == '{') {
			depth++;
			deepest = depth > deepest ? depth : deepest;
		} else if ((byte == ']' || byte == '}') && depth > 0) {
			depth--;
		}
	}
	return deepest;
}

json_t *tw_api_parse(const char *bytes, size_t length, char ret_message[160])
{
	char clean[100];
	json_error_t error;
	json_t *value;

	if (measure_depth(bytes, length) > TW_API_DEPTH_MAX) {
		snprintf(ret_message, 160, "more than %d levels of brackets", TW_API_DEPTH_MAX);
		return NULL;
	}
	value = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &error);
	if (!value)
		snprintf(ret_message, 160, "not JSON at byte %d: %s", error.position,
			 tw_text_clean(error.text, strlen(error.text), clean, sizeof clean));
	return value;
}

static struct tw_api_exchange *new_exchange(struct tw_api *api, struct tw_http_conn *conn,
					    struct tw_api_session *session, size_t count)
{
	struct tw_api_client *client = tw_http_user(conn);
	struct tw_api_exchange *exchange = calloc(1, sizeof *exchange);

	if (exchange)
		exchange->calls = calloc(count, sizeof *exchange->calls);
	if (!exchange || !exchange->calls) {
		free(exchange);
		return NULL;
	}
	exchange->api = api;
	exchange->conn = conn;
	exchange->session = session;
	exchange->count = count;
	exchange->pending = count + 1; /* one for ourselves, until all have begun */
	tw_api_session_hold(session);
	for (size_t i = 0; i < count; i++) {
		exchange->calls[i].api = api;
		exchange->calls[i].engine = api->options.engine;
		exchange->calls[i].exchange = exchange;
	}
	client->exchange = exchange;
	return exchange;
}

static void free_exchange(struct tw_api_exchange *exchange)
{
	for (size_t i = 0; i < exchange->count; i++) {
		struct tw_api_call *call = &exchange->calls[i];

		tw_jsontext_deinit(&call->result);
		if (call->session)
			tw_api_session_drop(call->session);
	}
	tw_api_session_drop(exchange->session);
	json_decref(exchange->body);
	free(exchange->calls);
	free(exchange);
}

/* A fault of the envelope, with a code of JSON-RPC. */
static void refuse_call(struct tw_api_call *call, int code, const char *parameter,
			const char *message)
{
	tw_api_fault(call,
		     code == METHOD_NOT_FOUND ? TW_FAULT_NOT_FOUND : TW_FAULT_INVALID_PARAMETER,
		     parameter, "%s", message);
	call->code = code;
	call->notification = false;
	call->finished = true;
	call->api->figures.faults++;
	call->exchange->pending--;
}

static bool is_id(const json_t *id)
{
	return !id || json_is_string(id) || json_is_number(id) || json_is_null(id);
}

static void unknown_method(struct tw_api_call *call, const char *name)
{
	char clean[64], message[160];

	snprintf(message, sizeof message,
		 "there is no method %s; GET /openrpc.json and `tradewind api --help` list them",
		 tw_text_clean(name, strlen(name), clean, sizeof clean));
	refuse_call(call, METHOD_NOT_FOUND, "method", message);
}

static void begin_call(struct tw_api_call *call, json_t *request)
{
	json_t *version = json_object_get(request, "jsonrpc");
	json_t *method = json_object_get(request, "method");
	json_t *parameters = json_object_get(request, "params");
	json_t *id = json_object_get(request, "id");

	if (json_is_object(request) && is_id(id))
		call->id = id;
	call->notification = json_is_object(request) && !id;
	if (!json_is_object(request)) {
		refuse_call(call, INVALID_REQUEST, NULL, "a call is a JSON object");
	} else if (!json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0) {
		refuse_call(call, INVALID_REQUEST, "jsonrpc", "jsonrpc must be \"2.0\"");
	} else if (!is_id(id)) {
		refuse_call(call, INVALID_REQUEST, "id", "id must be a string or a number");
	} else if (!json_is_string(method)) {
		refuse_call(call, INVALID_REQUEST, "method", "method must be a string");
	} else if (parameters && !json_is_object(parameters) && json_array_size(parameters) > 0) {
		refuse_call(call, tw_fault_number(TW_FAULT_INVALID_PARAMETER), "params",
			    "params must be an object: parameters come by name");
	} else if (parameters && !json_is_object(parameters) && !json_is_array(parameters)) {
		refuse_call(call, INVALID_REQUEST, "params", "params must be an object");
	} else {
		call->method =
			tw_api_method_find(json_string_value(method), json_string_length(method));
		call->parameters = json_is_object(parameters) ? parameters : NULL;
		if (!call->method)
			unknown_method(call, json_string_value(method));
		else
			tw_api_call_run(call);
	}
}

static bool wants_later_version(struct tw_slice version)
{
	char text[24];
	uint64_t number;

	if (!version.at)
		return false;
	snprintf(text, sizeof text, "%.*s", (int)(version.length < 20 ? version.length : 20),
		 version.at);
	return tw_text_parse_u64(text, 0, TW_API_VERSION, &number);
}

static void refuse_body(struct tw_api_exchange *exchange, int code, const char *message)
{
	exchange->batch = false;
	refuse_call(&exchange->calls[0], code, NULL, message);
}

void tw_api_rpc(struct tw_api *api, struct tw_http_conn *conn,
		const struct tw_http_request *request, struct tw_api_session *session)
{
	char message[160] = "";
	json_t *body = tw_api_parse(request->body, request->body_length, message);
	size_t calls = json_is_array(body) ? json_array_size(body) : 1;
	bool fits = calls > 0 && calls <= TW_API_BATCH_MAX;
	struct tw_api_exchange *exchange = new_exchange(api, conn, session, fits ? calls : 1);

	if (!exchange) {
		json_decref(body);
		tw_api_answer_text(conn, 503, "out of memory\n");
		return;
	}
	exchange->body = body;
	exchange->peer = request->peer;
	exchange->batch = json_is_array(body);
	exchange->too_new = wants_later_version(request->head->api_version);
	if (!body) {
		refuse_body(exchange, PARSE_ERROR, message);
	} else if (!fits) {
		refuse_body(exchange, INVALID_REQUEST,
			    calls ? "a batch has at most 1000 calls" : "a batch without a call");
	} else {
		for (size_t i = 0; i < calls; i++)
			begin_call(&exchange->calls[i],
				   exchange->batch ? json_array_get(body, i) : body);
	}
	if (--exchange->pending == 0)
		tw_api_exchange_ready(exchange);
}

void tw_api_exchange_ready(struct tw_api_exchange *exchange)
{
	struct tw_api *api = exchange->api;

	exchange->ready = true;
	STAILQ_INSERT_TAIL(&api->ready, exchange, links);
	event_active(api->turn, 0, 0);
}

void tw_api_exchange_abandon(struct tw_api_exchange *exchange)
{
	exchange->conn = NULL;
	if (exchange->ready)
		return; /* what it changed is committed all the same; then it goes */
	for (size_t i = 0; i < exchange->count; i++)
		tw_api_call_cancel(&exchange->calls[i]);
	free_exchange(exchange);
}

static bool write_calls(struct tw_api_exchange *exchange, bool stored, struct tw_jsontext *text)
{
	bool any = false;

	for (size_t i = 0; i < exchange->count; i++) {
		struct tw_api_call *call = &exchange->calls[i];

		if (call->notification) {
			exchange->api->figures.notifications++;
			continue;
		}
		if (!stored && call->method && call->method->changes && !call->fault.code)
			tw_api_fault(call, TW_FAULT_UNAVAILABLE, NULL,
				     "the change could not be stored: see the server's log, and "
				     "whether its disk is full");
		if (any)
			tw_jsontext_literal(text, ",");
		else if (exchange->batch)
			tw_jsontext_literal(text, "[");
		any = true;
		tw_api_call_text(call, text);
	}
	if (any && exchange->batch)
		tw_jsontext_literal(text, "]");
	return any;
}

static unsigned status_of(const struct tw_api_exchange *exchange)
{
	return !exchange->batch && (exchange->calls[0].code == PARSE_ERROR ||
				    exchange->calls[0].code == INVALID_REQUEST)
		       ? 400
		       : 200;
}

void tw_api_exchange_answer(struct tw_api_exchange *exchange, bool stored)
{
	struct tw_http_conn *conn = exchange->conn;
	struct tw_http_reply reply = { .status = 204 };
	struct tw_api_client *client;
	struct tw_jsontext text;

	if (!conn) {
		free_exchange(exchange);
		return;
	}
	client = tw_http_user(conn);
	client->exchange = NULL;
	tw_jsontext_init(&text);
	if (write_calls(exchange, stored || !exchange->changed, &text)) {
		reply.status = text.failed ? 503 : status_of(exchange);
		reply.type = "application/json";
		reply.length = text.failed ? 0 : text.length;
		if (!text.failed) {
			reply.body = text.bytes;
			text.bytes = NULL;
		}
	}
	tw_jsontext_deinit(&text);
	free_exchange(exchange);
	tw_http_reply(conn, &reply);
}
