/*
 * confine_calls.h - the system calls that a confined process may make, each with its reason. Two
 * const tables: calls that are allowed with whatever arguments, and calls that are allowed (or
 * answered with an error) only with some.
 *
 * Whatever is in neither table ends the process. A call that a library tries and can do without
 * is answered with an error, so that it goes on with what it has. Names are the kernel's on
 * x86-64 and arm64; one that an architecture has not is left out there.
 *
 * No process is made once the list holds. The resolver is answered with ENOSYS instead of being
 * ended: nobody knows what the modules of a machine's name services try.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "auth/confine.h"

/* At most so many on one role's list; a test counts. */
#define TW_CONFINE_CALLS_MAX 80

#define TW_ROLE(role) (1U << (role))

struct tw_call {
	const char *name;
	unsigned roles; /* TW_ROLE() of each that may */
	const char *why;
};

/* On the list only where the older call does not exist: newer architectures left it out. */
struct tw_call_alternate {
	const char *name, *older;
};

/* (argument & mask) == value. */
struct tw_call_match {
	unsigned argument;
	uint64_t mask, value;
};

#define TW_CALL_MATCHES_MAX 3

struct tw_call_case {
	const char *name;
	unsigned roles;
	int error; /* 0: allowed; else what the call answers */
	struct tw_call_match matches[TW_CALL_MATCHES_MAX];
	unsigned match_count;
};

/* Stands for the process's own id in a match; known only when the filter is made. */
#define TW_CALL_OWN_PID UINT64_MAX

extern const struct tw_call tw_calls[];
extern const size_t tw_call_count;
extern const struct tw_call_alternate tw_call_alternates[];
extern const size_t tw_call_alternate_count;
extern const struct tw_call_case tw_call_cases[];
extern const size_t tw_call_case_count;
