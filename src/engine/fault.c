#include "engine/fault.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* Stable: clients keep them. -32602 is JSON-RPC's own. */
static const struct {
	const char *name;
	int number;
} codes[] = {
	[TW_FAULT_NONE] = { "None", 0 },
	[TW_FAULT_INVALID_PARAMETER] = { "InvalidParameter", -32602 },
	[TW_FAULT_NOT_FOUND] = { "NotFound", -32001 },
	[TW_FAULT_NOT_AUTHENTICATED] = { "NotAuthenticated", -32002 },
	[TW_FAULT_NOT_PERMITTED] = { "NotPermitted", -32003 },
	[TW_FAULT_CONFLICT] = { "Conflict", -32004 },
	[TW_FAULT_LIMIT_REACHED] = { "LimitReached", -32005 },
	[TW_FAULT_UNAVAILABLE] = { "Unavailable", -32006 },
	[TW_FAULT_VERSION_MISMATCH] = { "VersionMismatch", -32007 },
	[TW_FAULT_TIMEOUT] = { "Timeout", -32008 },
	[TW_FAULT_INTERNAL] = { "Internal", -32009 },
};
static_assert(sizeof codes / sizeof *codes == TW_FAULT_COUNT, "a row for each");

int tw_fault_number(enum tw_fault_code code)
{
	assert(code < TW_FAULT_COUNT);
	return codes[code].number;
}

const char *tw_fault_name(enum tw_fault_code code)
{
	assert(code < TW_FAULT_COUNT);
	return codes[code].name;
}

int tw_fault_set(struct tw_fault *fault, enum tw_fault_code code, const char *parameter,
		 const char *format, ...)
{
	char text[1024];
	va_list arguments;
	int length;

	assert(code < TW_FAULT_COUNT);
	va_start(arguments, format);
	length = vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (length < 0)
		text[0] = '\0';
	fault->code = code;
	fault->parameter = parameter;
	tw_text_clean(text, strlen(text), fault->message, sizeof fault->message);
	return (int)code;
}
