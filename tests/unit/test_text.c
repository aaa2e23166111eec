#include "unit.h"

#include "base/error.h"
#include "base/random.h"
#include "base/text.h"

static void test_parse_rate(void **state)
{
	static const struct {
		const char *text;
		uint64_t bps;
	} good[] = {
		{ "200M", 200000000 },   { "1.5G", 1500000000 },     { "800k", 800000 },
		{ "100", 100000000 },    { "0.5", 500000 },          { "10Mbit/s", 10000000 },
		{ "10 mbps", 10000000 }, { "2gBit", 2000000000 },    { "9600bit/s", 9600 },
		{ "9600 bps", 9600 },    { "1000G", 1000000000000 }, { "0.000001", 1 },
		{ "1.25k", 1250 },
	};
	static const char *const bad[] = {
		"",
		"M",
		"0",
		"0G",
		"-1",
		"1.",
		".5",
		"1..5",
		"1.5.2",
		"1X",
		"1Mb",
		"1T",
		"1 ",
		"1  M",
		" 1M",
		"1M ",
		"1000.1G",
		"inf",
		"1e3",
		"0x10",
		"+1",
		"0.0000001",
		"99999999999999999999999M",
		"1bits",
		"1Mbit/h",
		"100\n",
	};
	uint64_t bps = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(tw_text_parse_rate(bad[i], &bps), TW_E_FORMAT);
		assert_int_equal(bps, 42);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(tw_text_parse_rate(good[i].text, &bps), 0);
		assert_int_equal(bps, good[i].bps);
	}
}

static void test_parse_u64(void **state)
{
	static const char *const bad[] = {
		"",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1a",
		"0x1",
		"18446744073709551616",
		"4",
		"11",
		"99999999999999999999",
	};
	uint64_t value = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(tw_text_parse_u64(bad[i], 5, 10, &value), TW_E_FORMAT);
		assert_int_equal(value, 42);
	}
	assert_int_equal(tw_text_parse_u64("5", 5, 10, &value), 0);
	assert_int_equal(value, 5);
	assert_int_equal(tw_text_parse_u64("010", 5, 10, &value), 0);
	assert_int_equal(value, 10);
	assert_int_equal(tw_text_parse_u64("18446744073709551615", 0, UINT64_MAX, &value), 0);
	assert_int_equal(value, UINT64_MAX);
}

static void test_rate(void **state)
{
	static const struct {
		uint64_t bps;
		const char *text;
	} cases[] = {
		{ 0, "0 bit/s" },
		{ 999, "999 bit/s" },
		{ 1000, "1.00 kbit/s" },
		{ 15340, "15.3 kbit/s" },
		{ 200000000, "200 Mbit/s" },
		{ 999400000, "999 Mbit/s" },
		{ 999900000, "1.00 Gbit/s" },
		{ 1500000000, "1.50 Gbit/s" },
		{ 9996000000, "10.0 Gbit/s" },
		{ UINT64_MAX, "18446744 Tbit/s" },
	};
	char text[TW_TEXT_SHORT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(tw_text_rate(cases[i].bps, text), cases[i].text);
}

static void test_size(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },
		{ 512, "512 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.00 KiB" },
		{ 1 << 20, "1.00 MiB" },
		{ (1 << 20) - 1, "1.00 MiB" },
		{ 1 << 30, "1.00 GiB" },
		{ UINT64_C(10) << 40, "10.0 TiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	char text[TW_TEXT_SHORT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(tw_text_size(cases[i].bytes, text), cases[i].text);
}

static void test_duration(void **state)
{
	static const struct {
		tw_ns duration;
		const char *text;
	} cases[] = {
		{ 0, "0 s" },
		{ 350 * TW_USEC, "0.35 ms" },
		{ 12345 * TW_USEC, "12.3 ms" },
		{ 100 * TW_MSEC, "100 ms" },
		{ 999600 * TW_USEC, "1.0 s" },
		{ 4200 * TW_MSEC, "4.2 s" },
		{ 59900 * TW_MSEC, "59.9 s" },
		{ 59990 * TW_MSEC, "1 min 00 s" },
		{ 65 * TW_SECOND, "1 min 05 s" },
		{ 3600 * TW_SECOND - 1, "1 h 00 min" },
		{ 7380 * TW_SECOND, "2 h 03 min" },
		{ 76 * 3600 * TW_SECOND, "3 d 04 h" },
		{ TW_NEVER, "never" },
		{ TW_NEVER - 1, "213503 d 23 h" },
	};
	char text[TW_TEXT_SHORT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(tw_text_duration(cases[i].duration, text), cases[i].text);
}

static void test_clean(void **state)
{
	static const struct {
		const char *text;
		const char *clean;
	} cases[] = {
		{ "plain name.txt", "plain name.txt" },
		{ "a\\b", "a\\b" },
		{ "two\nlines\ttab", "two\\x0Alines\\x09tab" },
		{ "\x1b[31mred", "\\x1B[31mred" },
		{ "del\x7f", "del\\x7F" },
		{ "Gr\xc3\xbc\xc3\x9f"
		  "e \xf0\x9f\x8c\x8d \xe4\xbd\xa0",
		  "Gr\xc3\xbc\xc3\x9f"
		  "e \xf0\x9f\x8c\x8d \xe4\xbd\xa0" },
		{ "csi \xc2\x9b"
		  "1m",
		  "csi \\xC2\\x9B1m" },
		{ "rtl \xe2\x80\xae"
		  "gpj",
		  "rtl \\u{202E}gpj" },
		{ "\xe2\x81\xa6 \xd8\x9c \xe2\x80\xa8", "\\u{2066} \\u{061C} \\u{2028}" },
		{ "latin \xe9t\xe9", "latin \\xE9t\\xE9" },
		{ "overlong \xc0\xaf", "overlong \\xC0\\xAF" },
		{ "overlong \xe0\x80\xaf", "overlong \\xE0\\x80\\xAF" },
		{ "surrogate \xed\xa0\x80", "surrogate \\xED\\xA0\\x80" },
		{ "beyond \xf4\x90\x80\x80", "beyond \\xF4\\x90\\x80\\x80" },
		{ "cut \xe4\xbd", "cut \\xE4\\xBD" },
		{ "", "" },
	};
	char text[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(tw_text_clean(cases[i].text, strlen(cases[i].text), text,
						  sizeof(text)),
				    cases[i].clean);
	assert_string_equal(tw_text_clean("a\0b", 3, text, sizeof(text)), "a\\x00b");
}

static void test_clean_cut(void **state)
{
	static const char *const expected[] = {
		NULL,
		"",
		"a",
		"a",
		"a\xc3\xbc",
		"a\xc3\xbc",
		"a\xc3\xbc",
		"a\xc3\xbc",
		"a\xc3\xbc\\x01",
		"a\xc3\xbc\\x01z",
	};
	char text[16];

	(void)state;
	for (size_t room = 1; room < ARRAY_SIZE(expected); room++)
		assert_string_equal(tw_text_clean("a\xc3\xbc\x01z", 5, text, room), expected[room]);
}

/* Any bytes at all: what comes out is harmless, and clean already. */
static void test_clean_any(void **state)
{
	struct tw_prng prng;

	(void)state;
	tw_prng_init(&prng, 1);
	for (int i = 0; i < 20000; i++) {
		uint8_t bytes[32];
		char once[256], twice[256];
		size_t length = tw_prng_below(&prng, sizeof(bytes) + 1);
		struct tw_random random = tw_prng_random(&prng);

		tw_random_fill(&random, bytes, sizeof(bytes));
		for (size_t j = 0; i % 2 && j < sizeof(bytes); j++)
			bytes[j] |= 0x80;
		tw_text_clean(bytes, length, once, sizeof(once));
		for (const char *at = once; *at; at++)
			assert_true((uint8_t)*at >= 0x20 && *at != 0x7f);
		tw_text_clean(once, strlen(once), twice, sizeof(twice));
		assert_string_equal(once, twice);
	}
}

static void test_hex(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x1f, 0xab, 0xff };
	static const char *const bad[] = { "",         "001fabf",  "001fabff0",
					   "001fabfg", "001fab f", " 01fabff" };
	uint8_t back[4] = { 9, 9, 9, 9 };
	char text[9];

	(void)state;
	assert_string_equal(tw_text_hex(bytes, sizeof(bytes), text), "001fabff");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(tw_text_unhex(bad[i], back, sizeof(back)), TW_E_FORMAT);
		assert_memory_equal(back, "\t\t\t\t", 4);
	}
	assert_int_equal(tw_text_unhex("001FabFF", back, sizeof(back)), 0);
	assert_memory_equal(back, bytes, sizeof(bytes));
}

static void test_base64url(void **state)
{
	/* RFC 4648, 10, and the two characters that differ from plain base64. */
	static const struct {
		const char *bytes, *text;
	} cases[] = {
		{ "", "" },
		{ "f", "Zg" },
		{ "fo", "Zm8" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg" },
		{ "fooba", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xfb\xff", "-_8" },
	};
	static const char *const bad[] = {
		"Zm8=", "Zm", "Zm8A", "Zm9", "Z+8", "Z/8", "Zm\n", "Z m8"
	};
	uint8_t back[8] = { 0 };
	char text[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t length = strlen(cases[i].bytes);

		assert_string_equal(tw_text_base64url(cases[i].bytes, length, text), cases[i].text);
		assert_int_equal(tw_text_unbase64url(cases[i].text, back, length), 0);
		assert_memory_equal(back, cases[i].bytes, length);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(tw_text_unbase64url(bad[i], back, 2), TW_E_FORMAT);
}

static void test_base64url_key(void **state)
{
	uint8_t key[32], back[32];
	struct tw_prng prng;
	struct tw_random random = tw_prng_random(&prng);
	char text[44];

	(void)state;
	tw_prng_init(&prng, 1);
	for (int i = 0; i < 1000; i++) {
		tw_random_fill(&random, key, sizeof(key));
		assert_int_equal(strlen(tw_text_base64url(key, sizeof(key), text)), 43);
		assert_int_equal(tw_text_unbase64url(text, back, sizeof(back)), 0);
		assert_memory_equal(key, back, sizeof(key));
	}
}

static void test_unfit(void **state)
{
	static const struct {
		const char *text;
		uint32_t point; /* 0: fit, or not UTF-8 */
		size_t length;
	} rows[] = {
		{ "a", 0, 0 },
		{ "\xc3\xa4", 0, 0 },
		{ "\xf0\x9f\x9a\xa2", 0, 0 },
		{ "\xff", 0, 0 },
		{ "\xe2\x80", 0, 0 },
		{ "\x1b[31m", 0x1b, 1 },
		{ "\n", '\n', 1 },
		{ "\x7f", 0x7f, 1 },
		{ "\xc2\x9b", 0x9b, 2 },
		{ "\xc2\xa0", 0, 0 },
		{ "\xd8\x9c", 0x61c, 2 },
		{ "\xe2\x80\xae", 0x202e, 3 },
		{ "\xe2\x80\xa8x", 0x2028, 3 },
		{ "\xe2\x81\xa9", 0x2069, 3 },
		{ "\xe2\x80\x94", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint32_t point = 0;

		assert_int_equal(tw_text_unfit(rows[i].text, strlen(rows[i].text), &point),
				 rows[i].length);
		assert_int_equal(point, rows[i].point);
	}
	assert_int_equal(tw_text_unfit("\x1b", 0, &(uint32_t){ 0 }), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_rate),    cmocka_unit_test(test_parse_u64),
		cmocka_unit_test(test_rate),          cmocka_unit_test(test_size),
		cmocka_unit_test(test_duration),      cmocka_unit_test(test_clean),
		cmocka_unit_test(test_clean_cut),     cmocka_unit_test(test_clean_any),
		cmocka_unit_test(test_hex),           cmocka_unit_test(test_base64url),
		cmocka_unit_test(test_base64url_key), cmocka_unit_test(test_unfit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
