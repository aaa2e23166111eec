#include "client/fault.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
	[TW_CLIENT_OK] = "",
	[TW_CLIENT_INVALID_PARAMETER] = "InvalidParameter",
	[TW_CLIENT_NOT_FOUND] = "NotFound",
	[TW_CLIENT_NOT_AUTHENTICATED] = "NotAuthenticated",
	[TW_CLIENT_NOT_PERMITTED] = "NotPermitted",
	[TW_CLIENT_CONFLICT] = "Conflict",
	[TW_CLIENT_LIMIT_REACHED] = "LimitReached",
	[TW_CLIENT_UNAVAILABLE] = "Unavailable",
	[TW_CLIENT_VERSION_MISMATCH] = "VersionMismatch",
	[TW_CLIENT_TIMEOUT] = "Timeout",
	[TW_CLIENT_INTERNAL] = "Internal",
	[TW_CLIENT_KEY_CHANGED] = "KeyChanged",
	[TW_CLIENT_NO_MEMORY] = "NoMemory",
};
static_assert(sizeof names / sizeof *names == TW_CLIENT_FAULTS, "a name for each fault");

/* The standard's own codes (JSON-RPC 2.0, section 5.1), for errors without a name. */
static const struct {
	int code;
	enum tw_client_fault fault;
} codes[] = {
	{ -32700, TW_CLIENT_INTERNAL },  { -32600, TW_CLIENT_INTERNAL },
	{ -32601, TW_CLIENT_NOT_FOUND }, { -32602, TW_CLIENT_INVALID_PARAMETER },
	{ -32603, TW_CLIENT_INTERNAL },
};

static const struct {
	long status;
	enum tw_client_fault fault;
	const char *text;
} statuses[] = {
	{ 400, TW_CLIENT_INTERNAL, "does not understand the request" },
	{ 401, TW_CLIENT_NOT_AUTHENTICATED, "wants a user and a password, or a token" },
	{ 403, TW_CLIENT_NOT_PERMITTED, "does not allow this" },
	{ 404, TW_CLIENT_NOT_FOUND, "has nothing by that name; is it a Tradewind server?" },
	{ 405, TW_CLIENT_NOT_FOUND, "is not asked like that; is it a Tradewind server?" },
	{ 413, TW_CLIENT_LIMIT_REACHED, "finds the request too large" },
	{ 429, TW_CLIENT_LIMIT_REACHED, "gets too many requests; try again later" },
	{ 503, TW_CLIENT_UNAVAILABLE, "is not ready; try again later" },
};

const char *tw_client_fault_name(enum tw_client_fault fault)
{
	return (unsigned)fault < TW_CLIENT_FAULTS ? names[fault] : "";
}

static void copy(char *to, size_t room, const char *from)
{
	snprintf(to, room, "%s", from ? from : "");
}

int tw_fault(struct tw_client_error *error, enum tw_client_fault fault, const char *parameter,
	     const char *format, ...)
{
	va_list arguments;

	if (!error)
		return (int)fault;
	memset(error, 0, sizeof *error);
	error->fault = fault;
	copy(error->name, sizeof error->name, tw_client_fault_name(fault));
	copy(error->parameter, sizeof error->parameter, parameter);
	va_start(arguments, format);
	vsnprintf(error->message, sizeof error->message, format, arguments);
	va_end(arguments);
	return (int)fault;
}

static enum tw_client_fault named(const char *name, int code)
{
	for (size_t i = 1; name && i <= TW_CLIENT_INTERNAL; i++)
		if (strcmp(name, names[i]) == 0)
			return (enum tw_client_fault)i;
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (codes[i].code == code)
			return codes[i].fault;
	return TW_CLIENT_INTERNAL;
}

int tw_fault_from_json(struct tw_client_error *error, const json_t *object)
{
	const json_t *data = json_object_get(object, "data");
	const char *name = json_string_value(json_object_get(data, "name"));
	const char *message = json_string_value(json_object_get(object, "message"));
	int code = (int)json_integer_value(json_object_get(object, "code"));
	enum tw_client_fault fault = named(name, code);

	tw_fault(error, fault, json_string_value(json_object_get(data, "parameter")), "%s",
		 message && *message ? message : "the server gives no reason");
	if (!error)
		return (int)fault;
	error->code = code;
	copy(error->remedy, sizeof error->remedy,
	     json_string_value(json_object_get(data, "remedy")));
	return (int)fault;
}

int tw_fault_from_status(struct tw_client_error *error, long status, const char *server)
{
	for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
		if (statuses[i].status == status)
			return tw_fault(error, statuses[i].fault, NULL, "%s %s", server,
					statuses[i].text);
	return tw_fault(error, TW_CLIENT_INTERNAL, NULL,
			"%s answers with HTTP status %ld, not as a Tradewind server does", server,
			status);
}
