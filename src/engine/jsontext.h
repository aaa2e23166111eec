/*
 * jsontext.h - JSON (RFC 8259) as text, appended piece by piece to a growing buffer: how answers
 * with thousands of structures are written without a tree in between.
 *
 * The caller keeps the grammar, commas included. Strings may hold any bytes: what is not UTF-8 is
 * made visible as by tw_text_clean(). Memory that cannot be had makes the whole text fail, once, at
 * the end. Never NUL-terminated.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tw_jsontext {
	char *bytes; /* malloc'd, owned until somebody takes it */
	size_t length, room;
	bool failed;
};

void tw_jsontext_init(struct tw_jsontext *text);
void tw_jsontext_deinit(struct tw_jsontext *text);
void tw_jsontext_raw(struct tw_jsontext *text, const char *bytes, size_t length);
#define tw_jsontext_literal(text, literal) tw_jsontext_raw((text), (literal), sizeof(literal) - 1)
/* In quotes, escaped. */
void tw_jsontext_string(struct tw_jsontext *text, const char *value, size_t length);
void tw_jsontext_integer(struct tw_jsontext *text, int64_t value);
/* The shortest of 15 and 17 digits that reads back the same; null for what is not finite. */
void tw_jsontext_real(struct tw_jsontext *text, double value);
/* A tree, as compact as can be; members in their order. */
void tw_jsontext_value(struct tw_jsontext *text, json_t *value);
