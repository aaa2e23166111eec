/*
 * sockaddr.h - tw_address <-> the system's socket addresses, and names <-> tw_address.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/address.h"

/* Returns the length of what was written to @ret; 0 for family NONE. */
socklen_t tw_address_to_sockaddr(const struct tw_address *address, struct sockaddr_storage *ret);
/* An IPv4-mapped IPv6 address becomes plain IPv4. Family NONE for anything else than the two. */
struct tw_address tw_address_from_sockaddr(const struct sockaddr_storage *from);

/* The wildcard address of @family with @port. */
struct tw_address tw_address_any(enum tw_family family, uint16_t port);
bool tw_address_is_any(const struct tw_address *address);
/* 127.0.0.0/8 and ::1. */
bool tw_address_is_loopback(const struct tw_address *address);
/* An address literal without brackets ("192.0.2.1", "fe80::1%eth0"); port 0. False: not one. */
bool tw_address_parse_ip(const char *text, struct tw_address *ret);

/*
 * Looks up @host (a name or a literal); blocks as long as the resolver takes. Writes up to @room
 * addresses with @port in the order of preference. 0, or a code (EAI_*) for tw_resolve_error().
 */
int tw_resolve(const char *host, uint16_t port, struct tw_address *ret, unsigned room,
	       unsigned *ret_count);
const char *tw_resolve_error(int error);

/*
 * The addresses of this machine that others are likely to reach it by: first that of the interface
 * with the default route, IPv4 before IPv6, then the rest; loopback only when there is nothing
 * else. Returns how many.
 */
unsigned tw_local_addresses(struct tw_address *ret, unsigned room);
