#include "base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"

#define RATE_BPS_MAX UINT64_C(1000000000000)

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "1.5" as 15 and @ret_scale 10. Digits too many to matter, or none at all: false. */
static bool parse_decimal(const char **text, uint64_t *ret_digits, uint64_t *ret_scale)
{
	uint64_t digits = 0, scale = 1;
	const char *at = *text;
	bool any = false, fraction = false;

	for (;; at++) {
		if (*at == '.' && !fraction && any) {
			fraction = true;
			continue;
		}
		if (!is_digit(*at))
			break;
		if (digits > UINT64_MAX / 100 || scale > UINT64_MAX / 100)
			return false;
		digits = digits * 10 + (uint64_t)(*at - '0');
		scale *= fraction ? 10 : 1;
		any = true;
	}
	if (!any || at[-1] == '.')
		return false;
	*text = at;
	*ret_digits = digits;
	*ret_scale = scale;
	return true;
}

/* The factor of a unit as in "", "M", "Mbit/s"; 0: not a unit. */
static uint64_t rate_factor(const char *unit)
{
	static const char *const tails[] = { "", "bit", "bit/s", "bps" };
	uint64_t factor = 0;

	if (!*unit)
		return 1000000;
	switch (*unit | 0x20) {
	case 'k':
		factor = 1000;
		break;
	case 'm':
		factor = 1000000;
		break;
	case 'g':
		factor = 1000000000;
		break;
	}
	if (factor)
		unit++;
	else
		factor = 1;
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		if (!strcasecmp(unit, tails[i]))
			return factor;
	}
	return 0;
}

int tw_text_parse_rate(const char *text, uint64_t *ret_bps)
{
	uint64_t digits, scale, factor;
	unsigned __int128 bps;

	if (!parse_decimal(&text, &digits, &scale))
		return TW_E_FORMAT;
	if (*text == ' ' && text[1])
		text++;
	factor = rate_factor(text);
	bps = (unsigned __int128)digits * factor / scale;
	if (!bps || bps > RATE_BPS_MAX)
		return TW_E_FORMAT;
	*ret_bps = (uint64_t)bps;
	return 0;
}

int tw_text_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*text)
		return TW_E_FORMAT;
	for (; *text; text++) {
		if (!is_digit(*text) || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return TW_E_FORMAT;
	}
	if (value < min || value > max)
		return TW_E_FORMAT;
	*ret = value;
	return 0;
}

/* How many decimals make three significant digits. */
static int decimals(double value)
{
	return value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
}

/* Three significant digits, the first unit in which @value stays below @step. */
static const char *scaled(double value, double step, const char *const units[], char *ret)
{
	size_t unit = 0;

	while (value >= step - 0.5 && units[unit + 1]) {
		value /= step;
		unit++;
	}
	snprintf(ret, TW_TEXT_SHORT, "%.*f %s", unit ? decimals(value) : 0, value, units[unit]);
	return ret;
}

const char *tw_text_rate(uint64_t bps, char ret[TW_TEXT_SHORT])
{
	static const char *const units[] = {
		"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", NULL
	};

	return scaled((double)bps, 1000, units, ret);
}

const char *tw_text_size(uint64_t bytes, char ret[TW_TEXT_SHORT])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", NULL };

	return scaled((double)bytes, 1024, units, ret);
}

const char *tw_text_duration(tw_ns duration, char ret[TW_TEXT_SHORT])
{
	uint64_t seconds = duration / TW_SECOND + (duration % TW_SECOND >= TW_SECOND / 2);
	uint64_t minutes = seconds / 60, hours = minutes / 60;
	double ms = (double)duration / (double)TW_MSEC;

	if (duration == TW_NEVER)
		snprintf(ret, TW_TEXT_SHORT, "never");
	else if (!duration)
		snprintf(ret, TW_TEXT_SHORT, "0 s");
	else if (ms < 999.5)
		snprintf(ret, TW_TEXT_SHORT, "%.*f ms", decimals(ms), ms);
	else if (duration < 60 * TW_SECOND - 50 * TW_MSEC)
		snprintf(ret, TW_TEXT_SHORT, "%.1f s", ms / 1000);
	else if (!hours)
		snprintf(ret, TW_TEXT_SHORT, "%u min %02u s", (unsigned)minutes,
			 (unsigned)(seconds % 60));
	else if (hours < 48)
		snprintf(ret, TW_TEXT_SHORT, "%u h %02u min", (unsigned)hours,
			 (unsigned)(minutes % 60));
	else
		snprintf(ret, TW_TEXT_SHORT, "%u d %02u h", (unsigned)(hours / 24),
			 (unsigned)(hours % 24));
	return ret;
}

/* By its first byte; 0: none starts like this. */
static size_t utf8_length(uint8_t first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/*
 * Length of the UTF-8 character at @at (RFC 3629: shortest form, no surrogates, up to U+10FFFF), or
 * 0 where there is none.
 */
static size_t decode_utf8(const uint8_t *at, size_t left, uint32_t *ret)
{
	static const uint32_t least[] = { [1] = 0, [2] = 0x80, [3] = 0x800, [4] = 0x10000 };
	size_t length = utf8_length(*at);
	uint32_t value;

	if (!length || length > left)
		return 0;
	value = length == 1 ? *at : *at & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if (at[i] >> 6 != 2)
			return 0;
		value = value << 6 | (at[i] & 0x3f);
	}
	if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*ret = value;
	return length;
}

/* Marks that change the direction of what follows, or end a line in some terminals and viewers. */
static bool is_mark(uint32_t c)
{
	return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

size_t tw_text_unfit(const void *text, size_t length, uint32_t *ret)
{
	uint32_t c = 0;
	size_t taken = length ? decode_utf8(text, length, &c) : 0;

	if (!taken || !(c < 0x20 || (c >= 0x7f && c < 0xa0) || is_mark(c)))
		return 0;
	*ret = c;
	return taken;
}

const char *tw_text_clean(const void *text, size_t length, char *ret, size_t room)
{
	const uint8_t *at = text;
	char *out = ret;

	while (length) {
		char piece[16];
		uint32_t c = 0;
		size_t size, taken = decode_utf8(at, length, &c);

		if (taken && is_mark(c)) {
			size = (size_t)snprintf(piece, sizeof(piece), "\\u{%04X}", c);
		} else if (!taken || c < 0x20 || (c >= 0x7f && c < 0xa0)) {
			/* One bad byte: the next may start a character. A C1 control is two. */
			size = (size_t)snprintf(piece, sizeof(piece), "\\x%02X", *at);
			if (taken == 2)
				size += (size_t)snprintf(piece + size, sizeof(piece) - size,
							 "\\x%02X", at[1]);
			taken = taken ? taken : 1;
		} else {
			memcpy(piece, at, taken);
			size = taken;
		}
		if (size >= room)
			break;
		memcpy(out, piece, size);
		out += size;
		room -= size;
		at += taken;
		length -= taken;
	}
	*out = '\0';
	return ret;
}

const char *tw_text_hex(const void *bytes, size_t length, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *at = bytes;

	for (size_t i = 0; i < length; i++) {
		ret[2 * i] = digits[at[i] >> 4];
		ret[2 * i + 1] = digits[at[i] & 15];
	}
	ret[2 * length] = '\0';
	return ret;
}

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

int tw_text_unhex(const char *text, void *ret, size_t length)
{
	uint8_t *out = ret;

	if (strnlen(text, 2 * length + 1) != 2 * length)
		return TW_E_FORMAT;
	for (size_t i = 0; i < 2 * length; i++) {
		if (hex_value(text[i]) < 0)
			return TW_E_FORMAT;
	}
	for (size_t i = 0; i < length; i++, text += 2)
		out[i] = (uint8_t)(hex_value(text[0]) * 16 + hex_value(text[1]));
	return 0;
}

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const char *tw_text_base64url(const void *bytes, size_t length, char *ret)
{
	const uint8_t *at = bytes;
	char *out = ret;
	uint32_t bits = 0;
	unsigned held = 0;

	for (size_t i = 0; i < length; i++) {
		bits = bits << 8 | at[i];
		for (held += 8; held >= 6; held -= 6)
			*out++ = base64url[bits >> (held - 6) & 63];
	}
	if (held)
		*out++ = base64url[bits << (6 - held) & 63];
	*out = '\0';
	return ret;
}

static int base64url_value(char c)
{
	const char *found = c ? strchr(base64url, c) : NULL;

	return found ? (int)(found - base64url) : -1;
}

int tw_text_unbase64url(const char *text, void *ret, size_t length)
{
	size_t text_length = (length * 4 + 2) / 3;
	unsigned spare = (unsigned)(text_length * 6 - length * 8);
	uint8_t *out = ret;
	uint32_t bits = 0;
	unsigned held = 0;

	if (strnlen(text, text_length + 1) != text_length)
		return TW_E_FORMAT;
	for (size_t i = 0; i < text_length; i++) {
		if (base64url_value(text[i]) < 0)
			return TW_E_FORMAT;
	}
	/* One text for each value: the bits that no byte needs are zero. */
	if (text_length && (unsigned)base64url_value(text[text_length - 1]) & ((1u << spare) - 1))
		return TW_E_FORMAT;
	for (size_t i = 0; i < text_length; i++) {
		bits = bits << 6 | (uint32_t)base64url_value(text[i]);
		held += 6;
		if (held >= 8) {
			held -= 8;
			*out++ = (uint8_t)(bits >> held);
		}
	}
	return 0;
}
