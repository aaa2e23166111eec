/*
 * fault.h - turns what went wrong, here or there, into a tw_client_error.
 */
#pragma once

#include <jansson.h>

#include "tradewind/client.h"

/* Fills @error (may be NULL) and returns @fault. */
int tw_fault(struct tw_client_error *error, enum tw_client_fault fault, const char *parameter,
	     const char *format, ...) __attribute__((format(printf, 4, 5)));
/* From a JSON-RPC error object, whatever a server put there. Returns the fault, never 0. */
int tw_fault_from_json(struct tw_client_error *error, const json_t *object);
/* From an HTTP status without such an object. Returns the fault, never 0. */
int tw_fault_from_status(struct tw_client_error *error, long status, const char *server);
