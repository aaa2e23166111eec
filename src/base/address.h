/*
 * address.h - where a datagram comes from or goes to, free of the system's socket types. An IPv4
 * address is kept as itself (never as an IPv4-mapped IPv6 address), so that equal means equal.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tw_family {
	TW_FAMILY_NONE = 0,
	TW_FAMILY_IPV4 = 4,
	TW_FAMILY_IPV6 = 6,
};

struct tw_address {
	uint8_t family; /* enum tw_family */
	uint8_t ip[16]; /* network order; IPv4 in the first 4, the rest zero */
	uint16_t port;  /* host order */
	uint32_t scope; /* IPv6 zone, else 0 */
};

/* The two ends as this side sees them. @local may have family NONE: whatever the system picks. */
struct tw_path {
	struct tw_address local, remote;
};

/* Room for any result of tw_address_format(), NUL included. */
#define TW_ADDRESS_TEXT 80

bool tw_address_equal(const struct tw_address *a, const struct tw_address *b);
/* "192.0.2.1:8886", "[2001:db8::1]:8886", "none". Returns @ret. */
const char *tw_address_format(const struct tw_address *address, char ret[TW_ADDRESS_TEXT]);
/* The address alone, without port and brackets. Returns @ret. */
const char *tw_address_format_ip(const struct tw_address *address, char ret[TW_ADDRESS_TEXT]);
