#include "base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

bool tw_address_equal(const struct tw_address *a, const struct tw_address *b)
{
	return a->family == b->family && a->port == b->port && a->scope == b->scope &&
	       !memcmp(a->ip, b->ip, sizeof(a->ip));
}

const char *tw_address_format_ip(const struct tw_address *address, char ret[TW_ADDRESS_TEXT])
{
	size_t length;

	switch (address->family) {
	case TW_FAMILY_IPV4:
		inet_ntop(AF_INET, address->ip, ret, TW_ADDRESS_TEXT);
		break;
	case TW_FAMILY_IPV6:
		inet_ntop(AF_INET6, address->ip, ret, TW_ADDRESS_TEXT);
		length = strlen(ret);
		if (address->scope)
			snprintf(ret + length, TW_ADDRESS_TEXT - length, "%%%u", address->scope);
		break;
	default:
		strcpy(ret, "none");
	}
	return ret;
}

const char *tw_address_format(const struct tw_address *address, char ret[TW_ADDRESS_TEXT])
{
	char ip[TW_ADDRESS_TEXT];
	/* The longest IPv6 address is 45 characters, its zone 11: the bound only tells the compiler
	 * so. */
	const int ip_max = 60;

	tw_address_format_ip(address, ip);
	if (address->family == TW_FAMILY_IPV6)
		snprintf(ret, TW_ADDRESS_TEXT, "[%.*s]:%u", ip_max, ip, address->port);
	else if (address->family == TW_FAMILY_IPV4)
		snprintf(ret, TW_ADDRESS_TEXT, "%.*s:%u", ip_max, ip, address->port);
	else
		strcpy(ret, ip);
	return ret;
}
