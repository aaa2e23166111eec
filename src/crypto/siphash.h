/*
 * siphash.h - SipHash-2-4 with 128 bits of result (Aumasson and Bernstein, 2012): a keyed hash of a
 * few bytes in some thirty nanoseconds. Who does not know the key cannot tell its results from
 * random ones. For what is made and checked by the same program only, and often: cookies, places in
 * tables.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TW_SIPHASH_KEY 16
#define TW_SIPHASH_SIZE 16

void tw_siphash(const uint8_t key[TW_SIPHASH_KEY], const void *bytes, size_t length,
		uint8_t ret[TW_SIPHASH_SIZE]);
