#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "netio/sockaddr.h"

static void test_round_trip(void **state)
{
	static const char *const texts[] = { "192.0.2.7", "2001:db8::5", "::1",
					     "127.0.0.1", "::",          "0.0.0.0" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct tw_address address, back;
		struct sockaddr_storage storage;
		char text[TW_ADDRESS_TEXT];

		assert_true(tw_address_parse_ip(texts[i], &address));
		address.port = (uint16_t)(40000 + i);
		assert_int_equal(tw_address_to_sockaddr(&address, &storage),
				 strchr(texts[i], ':') ? sizeof(struct sockaddr_in6)
						       : sizeof(struct sockaddr_in));
		back = tw_address_from_sockaddr(&storage);
		assert_true(tw_address_equal(&address, &back));
		assert_string_equal(tw_address_format_ip(&back, text), texts[i]);
		assert_int_equal(tw_address_is_any(&address), i >= 4);
	}
}

static void test_mapped_is_plain(void **state)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(99) };
	struct sockaddr_storage storage = { 0 };
	struct tw_address address, expected;

	(void)state;
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.9", &in6.sin6_addr), 1);
	memcpy(&storage, &in6, sizeof in6);
	address = tw_address_from_sockaddr(&storage);
	assert_true(tw_address_parse_ip("192.0.2.9", &expected));
	expected.port = 99;
	assert_true(tw_address_equal(&address, &expected));
}

static void test_not_addresses(void **state)
{
	static const char *const texts[] = { "",          "1",         "0x7f.1",
					     "127.1",     "localhost", "[::1]",
					     "1.2.3.4.5", "::1::",     "1.2.3.256" };
	struct tw_address address;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_false(tw_address_parse_ip(texts[i], &address));
}

static void test_resolve(void **state)
{
	struct tw_address addresses[4];
	unsigned count = 0;
	int r;

	(void)state;
	assert_int_equal(tw_resolve("127.0.0.1", 8886, addresses, 4, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(addresses[0].family, TW_FAMILY_IPV4);
	assert_int_equal(addresses[0].port, 8886);
	r = tw_resolve("no such host..", 1, addresses, 4, &count);
	assert_int_not_equal(r, 0);
	assert_true(strlen(tw_resolve_error(r)) > 5);
}

static void test_local_addresses(void **state)
{
	struct tw_address addresses[16];
	unsigned count = tw_local_addresses(addresses, 16);

	(void)state;
	assert_true(count >= 1);
	for (unsigned i = 0; i < count; i++) {
		assert_int_not_equal(addresses[i].family, TW_FAMILY_NONE);
		assert_false(tw_address_is_any(&addresses[i]));
		for (unsigned k = 0; k < i; k++)
			assert_false(tw_address_equal(&addresses[i], &addresses[k]));
	}
	assert_int_equal(tw_local_addresses(addresses, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_mapped_is_plain),
		cmocka_unit_test(test_not_addresses),   cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_local_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
