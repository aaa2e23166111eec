/*
 * sse.h - decodes a stream of server-sent events (WHATWG HTML, section 9.2.6), in pieces of any
 * size. Pure: bytes go in, whole events come out.
 *
 * Fields `id`, `event` and `data` are understood, others and comments skipped. An event ends at an
 * empty line; one without data is none. A line or an event beyond TW_CLIENT_EVENT_MAX breaks the
 * stream.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tradewind/client.h"

struct tw_sse_text {
	char *bytes; /* owned; NUL-terminated once there is any */
	size_t length, room;
};

struct tw_sse {
	struct tw_sse_text line, data;
	char name[128];
	uint64_t id;      /* of the newest event, or of an empty one that only told it */
	uint64_t told_id; /* counts from the end of its event on; stays for those without one */
	bool has_data;
	bool lent;         /* name and data belong to an event that was returned */
	bool after_return; /* a carriage return ended the line; a line feed next belongs to it */
};

/* What is lent is valid until the next push. */
struct tw_sse_event {
	uint64_t id;
	const char *name; /* "message" where the stream gives none */
	const char *data;
	size_t data_length;
};

/* @id: of the newest event that is known already. */
void tw_sse_init(struct tw_sse *sse, uint64_t id);
void tw_sse_deinit(struct tw_sse *sse);
/* Forgets what was begun, for a new connection; the id stays. */
void tw_sse_reset(struct tw_sse *sse);
/*
 * Takes bytes up to the end of an event, how many goes to @ret_used. 0: @ret_event is set.
 * TW_CLIENT_TIMEOUT: all are taken and no event is whole yet. TW_CLIENT_INTERNAL: too long.
 * TW_CLIENT_NO_MEMORY.
 */
int tw_sse_push(struct tw_sse *sse, const char *bytes, size_t length, size_t *ret_used,
		struct tw_sse_event *ret_event);
