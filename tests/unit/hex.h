/*
 * hex.h - vectors in tests are strings of hex digits, as their sources print them.
 */
#pragma once

#include "unit.h"

#include "base/text.h"

/* Returns how many bytes @text makes; fails the test when it is no hex or @room is too small. */
static inline size_t unhex(const char *text, void *ret, size_t room)
{
	size_t length = strlen(text) / 2;

	assert_true(length <= room);
	assert_int_equal(tw_text_unhex(text, ret, length), 0);
	return length;
}

static inline void assert_hex(const void *bytes, const char *text)
{
	uint8_t expected[2048];
	size_t length = unhex(text, expected, sizeof expected);

	assert_memory_equal(bytes, expected, length);
}
