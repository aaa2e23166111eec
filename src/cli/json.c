#include "cli/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

void tw_json_init(struct tw_json *json)
{
	*json = (struct tw_json){ 0 };
}

void tw_json_deinit(struct tw_json *json)
{
	free(json->bytes);
	*json = (struct tw_json){ 0 };
}

static void put(struct tw_json *json, const char *text, size_t length)
{
	if (json->failed)
		return;
	if (json->length + length + 1 > json->room) {
		size_t room = (json->length + length + 1) * 2;
		char *larger = realloc(json->bytes, room);

		if (!larger) {
			json->failed = true;
			return;
		}
		json->bytes = larger;
		json->room = room;
	}
	memcpy(json->bytes + json->length, text, length);
	json->length += length;
	json->bytes[json->length] = '\0';
}

static void put_text(struct tw_json *json, const char *text)
{
	put(json, text, strlen(text));
}

/* The length of the UTF-8 character at @at (RFC 3629), 0: not one. */
static size_t utf8_length(const unsigned char *at)
{
	size_t length = at[0] < 0x80                    ? 1
			: at[0] >= 0xc2 && at[0] < 0xe0 ? 2
			: at[0] >= 0xe0 && at[0] < 0xf0 ? 3
			: at[0] >= 0xf0 && at[0] < 0xf5 ? 4
							: 0;

	for (size_t i = 1; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90))
		return 0;
	return length;
}

static void put_string(struct tw_json *json, const char *value)
{
	const unsigned char *at = (const unsigned char *)value;

	put(json, "\"", 1);
	while (*at) {
		size_t length = utf8_length(at);
		char escape[16];
		uint32_t point;

		if (length == 0)
			snprintf(escape, sizeof escape, "\\\\x%02x", *at);
		else if (*at == '"' || *at == '\\')
			snprintf(escape, sizeof escape, "\\%c", *at);
		else if (tw_text_unfit(at, length, &point))
			snprintf(escape, sizeof escape, "\\u%04x", point);
		else
			escape[0] = '\0';
		if (escape[0])
			put_text(json, escape);
		else
			put(json, (const char *)at, length);
		at += length ? length : 1;
	}
	put(json, "\"", 1);
}

/* The comma and the name in front of a value. */
static void begin_value(struct tw_json *json, const char *name)
{
	if (json->has_members[json->depth])
		put(json, ",", 1);
	json->has_members[json->depth] = true;
	if (name) {
		put_string(json, name);
		put(json, ":", 1);
	}
}

static void open_level(struct tw_json *json, const char *name, const char *bracket)
{
	begin_value(json, name);
	put_text(json, bracket);
	assert(json->depth + 1 < TW_JSON_DEPTH);
	json->has_members[++json->depth] = false;
}

static void close_level(struct tw_json *json, const char *bracket)
{
	assert(json->depth > 0);
	json->depth--;
	put_text(json, bracket);
}

void tw_json_begin_object(struct tw_json *json, const char *name)
{
	open_level(json, name, "{");
}

void tw_json_end_object(struct tw_json *json)
{
	close_level(json, "}");
}

void tw_json_begin_array(struct tw_json *json, const char *name)
{
	open_level(json, name, "[");
}

void tw_json_end_array(struct tw_json *json)
{
	close_level(json, "]");
}

void tw_json_string(struct tw_json *json, const char *name, const char *value)
{
	begin_value(json, name);
	put_string(json, value);
}

void tw_json_number(struct tw_json *json, const char *name, uint64_t value)
{
	char digits[32];

	begin_value(json, name);
	snprintf(digits, sizeof digits, "%" PRIu64, value);
	put_text(json, digits);
}

void tw_json_real(struct tw_json *json, const char *name, double value, int digits)
{
	char text[352];

	begin_value(json, name);
	snprintf(text, sizeof text, "%.*f", digits < 9 ? digits : 9, value);
	put_text(json, isfinite(value) ? text : "null");
}

void tw_json_bool(struct tw_json *json, const char *name, bool value)
{
	begin_value(json, name);
	put_text(json, value ? "true" : "false");
}

void tw_json_null(struct tw_json *json, const char *name)
{
	begin_value(json, name);
	put_text(json, "null");
}

const char *tw_json_text(struct tw_json *json)
{
	assert(json->depth == 0);
	return json->failed ? NULL : json->bytes;
}
