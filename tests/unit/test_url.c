#include "unit.h"

#include "base/error.h"
#include "cli/url.h"
#include "crypto/identity.h"

#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static const struct {
	const char *text, *host;
	uint16_t port;
	const char *destination;
	bool has_key;
} good[] = {
	{ "tw://203.0.113.5:8886/#" KEY, "203.0.113.5", 8886, "", true },
	{ "tw://nas.example/#" KEY, "nas.example", 8886, "", true },
	{ "tw://nas.example:1", "nas.example", 1, "", false },
	{ "tw://h:65535/a/b%20c/%e6%bc%a2#" KEY, "h", 65535, "a/b c/\xe6\xbc\xa2", true },
	{ "tw://[2001:db8::1]:99/x/#" KEY, "2001:db8::1", 99, "x", true },
	{ "tw://[fe80::1%eth0]/", "fe80::1%eth0", 8886, "", false },
	{ "tw://h/%23%25#", "h", 8886, "#%", false },
};

static void test_good(void **state)
{
	struct tw_public_key key;
	struct tw_url url;
	char complaint[256];

	(void)state;
	for (size_t i = 0; i < 32; i++)
		key.bytes[i] = (uint8_t)i;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(tw_url_like(good[i].text));
		assert_int_equal(tw_url_parse(good[i].text, &url, complaint, sizeof complaint), 0);
		assert_string_equal(url.host, good[i].host);
		assert_int_equal(url.port, good[i].port);
		assert_string_equal(url.destination, good[i].destination);
		assert_int_equal(url.has_key, good[i].has_key);
		if (good[i].has_key)
			assert_memory_equal(&url.key, &key, sizeof key);
		else
			assert_false(tw_public_key_known(&url.key));
	}
}

static const struct {
	const char *text, *says;
} bad[] = {
	{ "http://h/", "tw://" },
	{ "tw://", "no host" },
	{ "tw:///x", "no host" },
	{ "tw://:8886/", "no host" },
	{ "tw://h:/", "port" },
	{ "tw://h:0/", "port" },
	{ "tw://h:65536/", "port" },
	{ "tw://h:+80/", "port" },
	{ "tw://h:999999/", "port" },
	{ "tw://2001:db8::1/", "brackets" },
	{ "tw://[::1/", "bracket" },
	{ "tw://[b1]/", "neither a name" },
	{ "tw://a\x1b[1m/", "neither a name" },
	{ "tw://two words/", "neither a name" },
	{ "tw://[::1]x/", "port" },
	{ "tw://h/..#" KEY, "below" },
	{ "tw://h/a/../../b#" KEY, "below" },
	{ "tw://h/%2e%2e/b#" KEY, "below" },
	{ "tw://h//etc#" KEY, "below" },
	{ "tw://h/%2Fetc#" KEY, "below" },
	{ "tw://h/a%00b#" KEY, "hexadecimal" },
	{ "tw://h/a%0", "hexadecimal" },
	{ "tw://h/a%zz", "hexadecimal" },
	{ "tw://h/#short", "key" },
	{ "tw://h/#" KEY "A", "key" },
	{ "tw://h/#*******************************************", "key" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct tw_url url = { .port = 77 };
		char complaint[256] = "";

		if (tw_url_parse(bad[i].text, &url, complaint, sizeof complaint) != TW_E_FORMAT)
			fail_msg("%s was taken", bad[i].text);
		if (!strstr(complaint, bad[i].says))
			fail_msg("%s: \"%s\" lacks \"%s\"", bad[i].text, complaint, bad[i].says);
		assert_int_equal(url.port, 77);
	}
}

static void test_format_reads_back(void **state)
{
	static const char *const hosts[] = { "192.0.2.1", "2001:db8::7", "nas.example" };
	struct tw_public_key key;
	char text[TW_URL_TEXT], complaint[256];
	struct tw_url url;

	(void)state;
	for (size_t i = 0; i < 32; i++)
		key.bytes[i] = (uint8_t)(200 - i);
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		tw_url_format(hosts[i], 8886, &key, text);
		assert_int_equal(tw_url_parse(text, &url, complaint, sizeof complaint), 0);
		assert_string_equal(url.host, hosts[i]);
		assert_memory_equal(&url.key, &key, sizeof key);
	}
	assert_string_equal(tw_url_format("::1", 5, NULL, text), "tw://[::1]:5/");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_format_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
