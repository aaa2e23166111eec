/*
 * fault.h - how the engine refuses: one of the contract's errors, the parameter at fault, and a
 * sentence that says what happened, why, and what to do.
 */
#pragma once

enum tw_fault_code {
	TW_FAULT_NONE = 0,
	TW_FAULT_INVALID_PARAMETER,
	TW_FAULT_NOT_FOUND,
	TW_FAULT_NOT_AUTHENTICATED,
	TW_FAULT_NOT_PERMITTED,
	TW_FAULT_CONFLICT,
	TW_FAULT_LIMIT_REACHED,
	TW_FAULT_UNAVAILABLE,
	TW_FAULT_VERSION_MISMATCH,
	TW_FAULT_TIMEOUT,
	TW_FAULT_INTERNAL,
	TW_FAULT_COUNT,
};

struct tw_fault {
	enum tw_fault_code code;
	const char *parameter; /* static text: the name of the parameter at fault; NULL: none */
	char message[256];     /* cleaned for display */
};

/* Stable JSON-RPC code (-32602 for InvalidParameter, -32001 and on for the others) and name. */
int tw_fault_number(enum tw_fault_code code);
const char *tw_fault_name(enum tw_fault_code code);
/* Fills @fault (parameter may be NULL) and returns @code, so that callers can return it. */
int tw_fault_set(struct tw_fault *fault, enum tw_fault_code code, const char *parameter,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));
