/*
 * names.h - the names Tradewind uses for itself below a destination: no entry of a manifest may
 * have one of them.
 */
#pragma once

#include <stdbool.h>
#include <string.h>

#define TW_STATE_FOLDER ".tradewind"
#define TW_PART_PREFIX ".tradewind-"
#define TW_PART_SUFFIX ".part"

/* @name: one component of @length bytes. */
static inline bool tw_name_reserved(const char *name, size_t length)
{
	const size_t prefix = sizeof(TW_PART_PREFIX) - 1, suffix = sizeof(TW_PART_SUFFIX) - 1;

	if (length == sizeof(TW_STATE_FOLDER) - 1 && !memcmp(name, TW_STATE_FOLDER, length))
		return true;
	return length == prefix + 16 + suffix && !memcmp(name, TW_PART_PREFIX, prefix) &&
	       !memcmp(name + length - suffix, TW_PART_SUFFIX, suffix);
}
