/* methods_server.c - the server itself, requests, the event log. */
#include <string.h>

#include "api/private.h"
#include "api/rows.h"
#include "netio/clock.h"

#define EVENTS_MAX 10000
/* Each is read as JSON and written again: a tenth of a millisecond. */
#define EVENTS_A_TURN (TW_API_TURN_ITEMS / 4)

static int get_server_info(struct tw_api_call *call)
{
	struct tw_server_view view = { 0 };

	tw_engine_server(call->engine, &call->caller, &view);
	if (call->api->port)
		view.api_control_port = call->api->port;
	view.auth_required = call->api->options.auth_required;
	return tw_api_result_structure(call, &tw_server_structure, &view);
}

static int echo(struct tw_api_call *call)
{
	json_t *text = tw_api_value(call, "text");

	tw_jsontext_value(&call->result, text);
	return 0;
}

static void sleep_over(struct tw_api_call *call)
{
	tw_api_call_done(call, tw_api_result_null(call));
}

static int sleep_for(struct tw_api_call *call)
{
	uint64_t delay_ms = tw_api_u64(call, "milliseconds", 0);

	return tw_api_call_later(call, delay_ms, sleep_over) ? TW_API_LATER : (int)call->fault.code;
}

static int terminate(struct tw_api_call *call)
{
	call->api->options.terminate(call->api->options.context);
	return tw_api_result_null(call);
}

static int get_request_status(struct tw_api_call *call)
{
	static const char *const words[] = {
		[TW_REQUEST_PENDING] = "pending",
		[TW_REQUEST_COMPLETE] = "complete",
		[TW_REQUEST_ERROR] = "error",
	};
	const char *id = tw_api_string(call, "requestId"), *message = NULL;
	struct tw_request_status status;
	int r = tw_engine_request(call->engine, &call->caller, id, &status, &call->fault);

	if (r)
		return r;
	if (status.state == TW_REQUEST_ERROR)
		message = status.failure->message;
	return tw_api_result_json(call,
				  json_pack("{s:s, s:b, s:s, s:s?}", "requestId", id, "processing",
					    status.state == TW_REQUEST_PENDING, "status",
					    words[status.state], "errorMessage", message));
}

static int request_ended(struct tw_api_call *call)
{
	struct tw_request_status status;
	int r = tw_engine_request(call->engine, &call->caller, tw_api_string(call, "requestId"),
				  &status, &call->fault);

	if (r)
		return r;
	if (status.state == TW_REQUEST_ERROR)
		return tw_api_fault(call, status.failure->code, status.failure->parameter, "%s",
				    status.failure->message);
	tw_jsontext_value(&call->result, status.result);
	return 0;
}

static int get_request_result(struct tw_api_call *call)
{
	const char *id = tw_api_string(call, "requestId");
	struct tw_request_status status;
	int r = tw_engine_request(call->engine, &call->caller, id, &status, &call->fault);

	if (r)
		return r;
	if (status.state != TW_REQUEST_PENDING)
		return request_ended(call);
	return tw_api_call_wait_for(call, id, TW_API_WAIT_MAX_MS, request_ended);
}

static int show_more_events(struct tw_api_call *call)
{
	const struct tw_events_query query = {
		.after = call->after,
		.since_us = tw_api_integer(call, "since", 0),
		.limit = call->left < EVENTS_A_TURN ? call->left : EVENTS_A_TURN,
	};
	json_t *entries = NULL, *entry;
	uint64_t oldest, newest;
	size_t i;
	int r = tw_engine_events(call->engine, &call->caller, &query, &entries, &call->after,
				 &call->fault);

	if (r)
		return r;
	json_array_foreach (entries, i, entry) {
		if (!tw_api_list_value(call, entry))
			break;
	}
	json_decref(entries);
	call->left -= i;
	/* Of what others own only some is passed over in a turn. */
	tw_engine_event_range(call->engine, &oldest, &newest);
	return call->left && call->after > query.after && call->after < newest
		       ? TW_API_MORE
		       : tw_api_list_end(call);
}

static int get_event_log(struct tw_api_call *call)
{
	call->after = tw_api_u64(call, "afterId", 0);
	call->left = tw_api_u64(call, "limit", EVENTS_MAX);
	return tw_api_list_in_turns(call, show_more_events);
}

static int get_licenses(struct tw_api_call *call)
{
	return tw_api_result_json(call, tw_api_licenses());
}

static const struct tw_api_parameter echo_parameters[] = {
	{ .name = "text",
	  .type = TW_API_STRING,
	  .required = true,
	  .max = 1 << 20,
	  .meaning = "comes back" },
};

static const struct tw_api_parameter sleep_parameters[] = {
	{ .name = "milliseconds",
	  .type = TW_API_INTEGER,
	  .required = true,
	  .max = 60000,
	  .meaning = "how long, at most a minute" },
};

static const struct tw_api_parameter request_parameters[] = {
	TW_P_ID("requestId", TW_API_REQUEST, "as an Async method returned it"),
};

static const struct tw_api_parameter event_parameters[] = {
	TW_P_TIME("since", "only what happened at this time or later"),
	TW_P_INT("afterId", 0, INT64_MAX, NULL, "only entries with higher numbers"),
	TW_P_INT("limit", 1, EVENTS_MAX, "10000", "at most so many, the oldest of them"),
};

static const struct tw_api_method rows[] = {
	{ .name = "getServerInfo",
	  .role = TW_API_ANYONE,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  .result = &tw_server_structure,
	  .summary = "who this server is and how it is set up",
	  .run = get_server_info },
	{ .name = "echo",
	  .role = TW_API_ANYONE,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(echo_parameters),
	  .returns = "the same text",
	  .summary = "return a text",
	  .run = echo },
	{ .name = "sleep",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(sleep_parameters),
	  .returns = "null, after that time",
	  .summary = "answer later",
	  .run = sleep_for },
	{ .name = "terminate",
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .returns = "null",
	  .summary = "stop the server in order: checkpoint, persist, close",
	  .run = terminate },
	{ .name = "getRequestStatus",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(request_parameters),
	  .result = &tw_request_structure,
	  .summary = "how far a request is",
	  .run = get_request_status },
	{ .name = "getRequestResult",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(request_parameters),
	  .returns = "what the request's method returns, or its error",
	  .summary = "wait for a request and return its result",
	  .run = get_request_result },
	{ .name = "getEventLog",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(event_parameters),
	  .result = &tw_event_structure,
	  .list = true,
	  .summary = "what has happened, oldest first",
	  .run = get_event_log },
	{ .name = "getThirdPartyLicenses",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  .result = &tw_license_structure,
	  .list = true,
	  .summary = "the libraries that are linked in and their licences",
	  .run = get_licenses },
};

const struct tw_api_table tw_api_server_methods = TW_METHODS(rows);
