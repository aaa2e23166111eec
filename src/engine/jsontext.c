#include "engine/jsontext.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define ROOM_FIRST 512
#define DEPTH_MAX 128 /* deeper than any tree that was let in */

void tw_jsontext_init(struct tw_jsontext *text)
{
	*text = (struct tw_jsontext){ 0 };
}

void tw_jsontext_deinit(struct tw_jsontext *text)
{
	free(text->bytes);
	*text = (struct tw_jsontext){ 0 };
}

/* Room for @length more; NULL: failed. */
static char *reserve(struct tw_jsontext *text, size_t length)
{
	size_t room = text->room ? text->room : ROOM_FIRST;
	char *bytes;

	if (text->failed)
		return NULL;
	if (text->room - text->length >= length)
		return text->bytes + text->length;
	while (room - text->length < length && room <= SIZE_MAX / 4)
		room *= 2;
	bytes = room - text->length < length ? NULL : realloc(text->bytes, room);
	if (!bytes) {
		text->failed = true;
		return NULL;
	}
	text->bytes = bytes;
	text->room = room;
	return bytes + text->length;
}

void tw_jsontext_raw(struct tw_jsontext *text, const char *bytes, size_t length)
{
	char *to = reserve(text, length);

	if (!to || !length)
		return;
	memcpy(to, bytes, length);
	text->length += length;
}

/* Length of the UTF-8 sequence at @at (RFC 3629); 0: none. */
static size_t sequence(const uint8_t *at, size_t left)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t length;

	if (at[0] < 0xc2 || at[0] > 0xf4)
		return 0;
	length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	if (left < length)
		return 0;
	if (at[0] == 0xe0)
		low = 0xa0;
	else if (at[0] == 0xed)
		high = 0x9f;
	else if (at[0] == 0xf0)
		low = 0x90;
	else if (at[0] == 0xf4)
		high = 0x8f;
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

static bool is_utf8(const uint8_t *at, size_t length)
{
	for (size_t i = 0; i < length;) {
		size_t step = at[i] < 0x80 ? 1 : sequence(at + i, length - i);

		if (!step)
			return false;
		i += step;
	}
	return true;
}

static size_t escape(uint8_t byte, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	static const char short_form[32] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
	};

	ret[0] = '\\';
	if (byte == '"' || byte == '\\') {
		ret[1] = (char)byte;
		return 2;
	}
	if (byte < 0x20 && short_form[byte]) {
		ret[1] = short_form[byte];
		return 2;
	}
	memcpy(ret + 1, "u00", 3);
	ret[4] = digits[byte >> 4];
	ret[5] = digits[byte & 15];
	return 6;
}

/* Of controls and marks of direction beyond ASCII: U+0080 to U+009F, U+061C, U+2000 and on. */
static bool may_begin_mark(uint8_t byte)
{
	return byte == 0xc2 || byte == 0xd8 || byte == 0xe2;
}

static void quoted(struct tw_jsontext *text, const uint8_t *value, size_t length)
{
	char *to = reserve(text, length * 6 + 2);
	size_t at = 0;

	if (!to)
		return;
	to[at++] = '"';
	for (size_t i = 0; i < length; i++) {
		uint32_t mark;
		size_t taken;

		if (value[i] < 0x20 || value[i] == '"' || value[i] == '\\' || value[i] == 0x7f) {
			at += escape(value[i], to + at);
		} else if (may_begin_mark(value[i]) &&
			   (taken = tw_text_unfit(value + i, length - i, &mark))) {
			at += (size_t)sprintf(to + at, "\\u%04x", mark);
			i += taken - 1;
		} else {
			to[at++] = (char)value[i];
		}
	}
	to[at++] = '"';
	text->length += at;
}

void tw_jsontext_string(struct tw_jsontext *text, const char *value, size_t length)
{
	char *clean;

	if (is_utf8((const uint8_t *)value, length)) {
		quoted(text, (const uint8_t *)value, length);
		return;
	}
	clean = malloc(length * 8 + 1);
	if (!clean) {
		text->failed = true;
		return;
	}
	tw_text_clean(value, length, clean, length * 8 + 1);
	quoted(text, (const uint8_t *)clean, strlen(clean));
	free(clean);
}

void tw_jsontext_integer(struct tw_jsontext *text, int64_t value)
{
	char digits[24];
	size_t at = sizeof digits;
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

	do {
		digits[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (value < 0)
		digits[--at] = '-';
	tw_jsontext_raw(text, digits + at, sizeof digits - at);
}

void tw_jsontext_real(struct tw_jsontext *text, double value)
{
	char digits[40];

	if (!isfinite(value)) {
		tw_jsontext_literal(text, "null");
		return;
	}
	snprintf(digits, sizeof digits - 2, "%.15g", value);
	if (strtod(digits, NULL) != value) /* NOLINT: the very same number is meant */
		snprintf(digits, sizeof digits - 2, "%.17g", value);
	if (!strpbrk(digits, ".e"))
		strcat(digits, ".0"); /* stays a real for whoever reads it back */
	tw_jsontext_raw(text, digits, strlen(digits));
}

static void value_at(struct tw_jsontext *text, json_t *value, unsigned depth);

static void object_at(struct tw_jsontext *text, json_t *value, unsigned depth)
{
	const char *before = "{";

	for (void *at = json_object_iter(value); at; at = json_object_iter_next(value, at)) {
		const char *key = json_object_iter_key(at);

		tw_jsontext_raw(text, before, 1);
		before = ",";
		tw_jsontext_string(text, key, strlen(key));
		tw_jsontext_literal(text, ":");
		value_at(text, json_object_iter_value(at), depth + 1);
	}
	if (*before == '{')
		tw_jsontext_literal(text, "{");
	tw_jsontext_literal(text, "}");
}

static void array_at(struct tw_jsontext *text, json_t *value, unsigned depth)
{
	size_t count = json_array_size(value);

	tw_jsontext_literal(text, "[");
	for (size_t i = 0; i < count; i++) {
		if (i)
			tw_jsontext_literal(text, ",");
		value_at(text, json_array_get(value, i), depth + 1);
	}
	tw_jsontext_literal(text, "]");
}

static void value_at(struct tw_jsontext *text, json_t *value, unsigned depth)
{
	if (depth > DEPTH_MAX) {
		text->failed = true;
		return;
	}
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_OBJECT:
		object_at(text, value, depth);
		break;
	case JSON_ARRAY:
		array_at(text, value, depth);
		break;
	case JSON_STRING:
		tw_jsontext_string(text, json_string_value(value), json_string_length(value));
		break;
	case JSON_INTEGER:
		tw_jsontext_integer(text, json_integer_value(value));
		break;
	case JSON_REAL:
		tw_jsontext_real(text, json_real_value(value));
		break;
	case JSON_TRUE:
		tw_jsontext_literal(text, "true");
		break;
	case JSON_FALSE:
		tw_jsontext_literal(text, "false");
		break;
	default:
		tw_jsontext_literal(text, "null");
	}
}

void tw_jsontext_value(struct tw_jsontext *text, json_t *value)
{
	value_at(text, value, 0);
}
