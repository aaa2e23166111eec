/*
 * json.h - writes JSON (RFC 8259), one value at a time into a growing buffer. The caller keeps the
 * order: names inside objects, none inside arrays. Text is escaped wherever it has to be; bytes
 * that are not UTF-8 come out as the visible escapes of tw_text_clean(). Memory that cannot be had
 * makes the whole result fail, once, at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_JSON_DEPTH 16

struct tw_json {
	char *bytes; /* owned */
	size_t length, room;
	unsigned depth;
	bool has_members[TW_JSON_DEPTH];
	bool failed;
};

void tw_json_init(struct tw_json *json);
void tw_json_deinit(struct tw_json *json);
/* Each takes the member's @name, NULL at the top and inside an array. */
void tw_json_begin_object(struct tw_json *json, const char *name);
void tw_json_end_object(struct tw_json *json);
void tw_json_begin_array(struct tw_json *json, const char *name);
void tw_json_end_array(struct tw_json *json);
void tw_json_string(struct tw_json *json, const char *name, const char *value);
void tw_json_number(struct tw_json *json, const char *name, uint64_t value);
/* With @digits behind the point. Infinities and not-a-number become null. */
void tw_json_real(struct tw_json *json, const char *name, double value, int digits);
void tw_json_bool(struct tw_json *json, const char *name, bool value);
void tw_json_null(struct tw_json *json, const char *name);
/* Lends the finished text, NUL-terminated; NULL after a failure. */
const char *tw_json_text(struct tw_json *json);
