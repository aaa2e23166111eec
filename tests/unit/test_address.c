#include "unit.h"

#include "base/address.h"

static const struct {
	struct tw_address address;
	const char *text, *ip;
} cases[] = {
	{ { .family = TW_FAMILY_NONE }, "none", "none" },
	{ { TW_FAMILY_IPV4, { 192, 0, 2, 1 }, 8886, 0 }, "192.0.2.1:8886", "192.0.2.1" },
	{ { TW_FAMILY_IPV4, { 0 }, 0, 0 }, "0.0.0.0:0", "0.0.0.0" },
	{ { TW_FAMILY_IPV6, { [15] = 1 }, 65535, 0 }, "[::1]:65535", "::1" },
	{ { TW_FAMILY_IPV6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 }, 8886, 0 },
	  "[2001:db8::1]:8886",
	  "2001:db8::1" },
	{ { TW_FAMILY_IPV6, { 0xfe, 0x80, [15] = 7 }, 1, 3 }, "[fe80::7%3]:1", "fe80::7%3" },
};

static void test_format(void **state)
{
	char text[TW_ADDRESS_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(tw_address_format(&cases[i].address, text), cases[i].text);
		assert_string_equal(tw_address_format_ip(&cases[i].address, text), cases[i].ip);
	}
}

/* The longest text there is fits. */
static void test_longest(void **state)
{
	struct tw_address address = { .family = TW_FAMILY_IPV6,
				      .port = 65535,
				      .scope = UINT32_MAX };
	char text[TW_ADDRESS_TEXT];

	(void)state;
	memset(address.ip, 0xff, sizeof(address.ip));
	assert_string_equal(tw_address_format(&address, text),
			    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}

static void test_equal(void **state)
{
	struct tw_address other;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(cases); j++)
			assert_int_equal(tw_address_equal(&cases[i].address, &cases[j].address),
					 i == j);
	}
	other = cases[5].address;
	other.scope++;
	assert_false(tw_address_equal(&other, &cases[5].address));
	other = cases[1].address;
	other.port++;
	assert_false(tw_address_equal(&other, &cases[1].address));
	other = cases[1].address;
	other.ip[3]++;
	assert_false(tw_address_equal(&other, &cases[1].address));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
