/*
 * text.h - text that people write and read: rates, sizes, times, names from strangers.
 *
 * Names are data: file names and messages of a peer may hold control characters, terminal escapes,
 * bidirectional marks or bytes that are not UTF-8. tw_text_clean() makes any of them safe for a
 * terminal and for a log.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

/*
 * "200M", "1.5G", "800k" (bits per second, factors of 1000; a trailing "bit", "bit/s" or "bps" and
 * one space before the unit are allowed, case does not matter); a bare number is Mbit/s, "9600
 * bit/s" is what it says. TW_E_FORMAT: not such a rate, zero, or above 1000G. @ret_bps in bits per
 * second.
 */
int tw_text_parse_rate(const char *text, uint64_t *ret_bps);
/* A decimal number within [min, max], nothing else. TW_E_FORMAT. */
int tw_text_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* Room for any of the results below, NUL included. */
#define TW_TEXT_SHORT 32
/* "1.50 Gbit/s", "200 Mbit/s". Each returns @ret. */
const char *tw_text_rate(uint64_t bps, char ret[TW_TEXT_SHORT]);
/* "1.00 GiB", "512 B". */
const char *tw_text_size(uint64_t bytes, char ret[TW_TEXT_SHORT]);
/* "3 d 04 h", "2 h 03 min", "1 min 05 s", "4.2 s", "100 ms", "0.35 ms", "0 s", "never". */
const char *tw_text_duration(tw_ns duration, char ret[TW_TEXT_SHORT]);

/*
 * Writes @text (@length bytes, any bytes at all) to @ret so that it is valid UTF-8, one line, and
 * free of control characters, escapes and marks of direction or line end: such bytes become \xHH,
 * marks become \u{HHHH}, a backslash stays. Cut to fit @room (at least 1), always NUL-terminated,
 * never in the middle of a character or an escape. Returns @ret.
 */
const char *tw_text_clean(const void *text, size_t length, char *ret, size_t room);

/* The length of the character that @text begins with and that is not fit for a terminal or a log (a
 * control character, a mark as above), its number in *@ret. 0: it is fit, or not UTF-8. */
size_t tw_text_unfit(const void *text, size_t length, uint32_t *ret);

/* Lower-case hex; @ret holds 2 * length + 1. Returns @ret. */
const char *tw_text_hex(const void *bytes, size_t length, char *ret);
/* Exactly @length bytes from 2 * length hex digits. TW_E_FORMAT. */
int tw_text_unhex(const char *text, void *ret, size_t length);
/* Base64 for URLs (RFC 4648, 5), no padding: 32 bytes make 43. @ret: (length * 4 + 2) / 3 + 1. */
const char *tw_text_base64url(const void *bytes, size_t length, char *ret);
/* Exactly @length bytes, canonical form only. TW_E_FORMAT. */
int tw_text_unbase64url(const char *text, void *ret, size_t length);
