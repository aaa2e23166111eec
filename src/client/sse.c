#include "client/sse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tw_sse_init(struct tw_sse *sse, uint64_t id)
{
	*sse = (struct tw_sse){ .id = id, .told_id = id };
}

void tw_sse_deinit(struct tw_sse *sse)
{
	free(sse->line.bytes);
	free(sse->data.bytes);
	*sse = (struct tw_sse){ 0 };
}

void tw_sse_reset(struct tw_sse *sse)
{
	sse->line.length = 0;
	sse->data.length = 0;
	sse->told_id = sse->id;
	sse->name[0] = '\0';
	sse->has_data = false;
	sse->lent = false;
	sse->after_return = false;
}

static int append(struct tw_sse_text *text, const char *bytes, size_t length)
{
	size_t room = text->room ? text->room : 256;
	char *larger;

	if (length > TW_CLIENT_EVENT_MAX - text->length)
		return TW_CLIENT_INTERNAL;
	while (room < text->length + length + 1)
		room *= 2;
	if (room != text->room) {
		larger = realloc(text->bytes, room);
		if (!larger)
			return TW_CLIENT_NO_MEMORY;
		text->bytes = larger;
		text->room = room;
	}
	if (length)
		memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	text->bytes[text->length] = '\0';
	return 0;
}

/* Digits alone, and a number that fits; anything else leaves the id as it was. */
static void take_id(struct tw_sse *sse, const char *value)
{
	uint64_t id = 0;

	if (!*value)
		return;
	for (; *value; value++) {
		if (*value < '0' || *value > '9' || __builtin_mul_overflow(id, UINT64_C(10), &id) ||
		    __builtin_add_overflow(id, (uint64_t)(*value - '0'), &id))
			return;
	}
	sse->told_id = id;
}

/* One line that is not empty. */
static int take_field(struct tw_sse *sse)
{
	char *line = sse->line.bytes, *value = memchr(line, ':', sse->line.length);
	size_t length;
	int r;

	if (value == line)
		return 0;
	if (value)
		*value++ = '\0';
	else
		value = line + sse->line.length;
	if (*value == ' ')
		value++;
	length = (size_t)(line + sse->line.length - value);
	if (strcmp(line, "id") == 0)
		take_id(sse, value);
	else if (strcmp(line, "event") == 0)
		snprintf(sse->name, sizeof sse->name, "%s", value);
	if (strcmp(line, "data") != 0)
		return 0;
	r = sse->has_data ? append(&sse->data, "\n", 1) : 0;
	sse->has_data = true;
	return r ? r : append(&sse->data, value, length);
}

/* The event that an empty line ends; false: there is none. */
static bool finish(struct tw_sse *sse, struct tw_sse_event *ret)
{
	bool whole = sse->has_data;

	sse->id = sse->told_id;
	if (whole) {
		ret->id = sse->id;
		ret->name = sse->name[0] ? sse->name : "message";
		ret->data = sse->data.bytes;
		ret->data_length = sse->data.length;
	} else {
		sse->name[0] = '\0';
	}
	sse->has_data = false;
	sse->lent = whole;
	return whole;
}

/* The line is complete. 0: so is an event. */
static int end_line(struct tw_sse *sse, struct tw_sse_event *ret)
{
	int r;

	if (sse->line.length == 0)
		return finish(sse, ret) ? 0 : TW_CLIENT_TIMEOUT;
	r = take_field(sse);
	sse->line.length = 0;
	return r ? r : TW_CLIENT_TIMEOUT;
}

int tw_sse_push(struct tw_sse *sse, const char *bytes, size_t length, size_t *ret_used,
		struct tw_sse_event *ret_event)
{
	size_t used = 0;

	if (sse->lent) {
		sse->data.length = 0;
		sse->name[0] = '\0';
		sse->lent = false;
	}
	while (used < length) {
		const char *at = bytes + used;
		size_t piece;
		int r;

		if (sse->after_return && *at == '\n') {
			sse->after_return = false;
			used++;
			continue;
		}
		sse->after_return = false;
		for (piece = 0; piece < length - used && at[piece] != '\n' && at[piece] != '\r';)
			piece++;
		r = append(&sse->line, at, piece);
		if (r)
			return r;
		used += piece;
		if (used == length)
			break;
		sse->after_return = bytes[used++] == '\r';
		r = end_line(sse, ret_event);
		if (r != TW_CLIENT_TIMEOUT) {
			*ret_used = used;
			return r;
		}
	}
	*ret_used = used;
	return TW_CLIENT_TIMEOUT;
}
