#include "netio/sockaddr.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

socklen_t tw_address_to_sockaddr(const struct tw_address *address, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof *ret);
	if (address->family == TW_FAMILY_IPV4) {
		struct sockaddr_in *in = (struct sockaddr_in *)ret;

		in->sin_family = AF_INET;
		in->sin_port = htons(address->port);
		memcpy(&in->sin_addr, address->ip, 4);
		return sizeof *in;
	}
	if (address->family == TW_FAMILY_IPV6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(address->port);
		in6->sin6_scope_id = address->scope;
		memcpy(&in6->sin6_addr, address->ip, 16);
		return sizeof *in6;
	}
	return 0;
}

struct tw_address tw_address_from_sockaddr(const struct sockaddr_storage *from)
{
	struct tw_address address = { .family = TW_FAMILY_NONE };

	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)from;

		address.family = TW_FAMILY_IPV4;
		address.port = ntohs(in->sin_port);
		memcpy(address.ip, &in->sin_addr, 4);
	} else if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

		address.port = ntohs(in6->sin6_port);
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			address.family = TW_FAMILY_IPV4;
			memcpy(address.ip, in6->sin6_addr.s6_addr + 12, 4);
		} else {
			address.family = TW_FAMILY_IPV6;
			address.scope =
				IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) ? in6->sin6_scope_id : 0;
			memcpy(address.ip, &in6->sin6_addr, 16);
		}
	}
	return address;
}

struct tw_address tw_address_any(enum tw_family family, uint16_t port)
{
	return (struct tw_address){ .family = (uint8_t)family, .port = port };
}

bool tw_address_is_any(const struct tw_address *address)
{
	static const uint8_t zeros[16];

	return memcmp(address->ip, zeros, sizeof zeros) == 0;
}

bool tw_address_is_loopback(const struct tw_address *address)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (address->family == TW_FAMILY_IPV4)
		return address->ip[0] == 127;
	return address->family == TW_FAMILY_IPV6 && memcmp(address->ip, one, sizeof one) == 0;
}

bool tw_address_parse_ip(const char *text, struct tw_address *ret)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_DGRAM,
				  .ai_flags = AI_NUMERICHOST };
	struct addrinfo *found;
	struct sockaddr_storage storage = { 0 };
	uint8_t dotted[4];

	/* The resolver also takes "1" and "0x7f.1": only the usual forms are addresses here. */
	if (!strchr(text, ':') && inet_pton(AF_INET, text, dotted) != 1)
		return false;
	if (getaddrinfo(text, NULL, &hints, &found))
		return false;
	memcpy(&storage, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	*ret = tw_address_from_sockaddr(&storage);
	ret->port = 0;
	return ret->family != TW_FAMILY_NONE;
}

int tw_resolve(const char *host, uint16_t port, struct tw_address *ret, unsigned room,
	       unsigned *ret_count)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM };
	struct addrinfo *found;
	unsigned count = 0;
	int error;

	error = getaddrinfo(host, NULL, &hints, &found);
	if (error)
		return error;
	for (struct addrinfo *at = found; at && count < room; at = at->ai_next) {
		struct sockaddr_storage storage = { 0 };
		struct tw_address address;

		memcpy(&storage, at->ai_addr, at->ai_addrlen);
		address = tw_address_from_sockaddr(&storage);
		if (address.family == TW_FAMILY_NONE)
			continue;
		address.port = port;
		ret[count++] = address;
	}
	freeaddrinfo(found);
	if (count == 0)
		return EAI_NONAME;
	*ret_count = count;
	return 0;
}

const char *tw_resolve_error(int error)
{
	return gai_strerror(error);
}

/* The source address that the routing table picks for @towards; nothing is sent. */
static bool route_source(const char *towards, struct tw_address *ret)
{
	struct sockaddr_storage storage;
	struct tw_address remote;
	socklen_t length;
	bool found = false;
	int fd;

	if (!tw_address_parse_ip(towards, &remote))
		return false;
	remote.port = 9;
	length = tw_address_to_sockaddr(&remote, &storage);
	fd = socket(storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (connect(fd, (struct sockaddr *)&storage, length) == 0) {
		length = sizeof storage;
		if (getsockname(fd, (struct sockaddr *)&storage, &length) == 0) {
			*ret = tw_address_from_sockaddr(&storage);
			ret->port = 0;
			found = !tw_address_is_any(ret);
		}
	}
	close(fd);
	return found;
}

static unsigned add_once(struct tw_address *list, unsigned count, unsigned room,
			 const struct tw_address *address)
{
	for (unsigned i = 0; i < count; i++)
		if (tw_address_equal(&list[i], address))
			return count;
	if (count < room)
		list[count++] = *address;
	return count;
}

/* One pass over the interfaces for addresses of @family, loopback or not. */
static unsigned add_interfaces(struct tw_address *list, unsigned count, unsigned room, int family,
			       bool loopback)
{
	struct ifaddrs *all;

	if (getifaddrs(&all))
		return count;
	for (struct ifaddrs *at = all; at; at = at->ifa_next) {
		struct sockaddr_storage storage = { 0 };
		struct tw_address address;

		if (!at->ifa_addr || at->ifa_addr->sa_family != family ||
		    !(at->ifa_flags & IFF_UP) || loopback != !!(at->ifa_flags & IFF_LOOPBACK))
			continue;
		memcpy(&storage, at->ifa_addr,
		       family == AF_INET ? sizeof(struct sockaddr_in)
					 : sizeof(struct sockaddr_in6));
		address = tw_address_from_sockaddr(&storage);
		/* A link-local address means nothing without the asker's own zone. */
		if (address.family == TW_FAMILY_IPV6 && address.ip[0] == 0xfe &&
		    (address.ip[1] & 0xc0) == 0x80)
			continue;
		address.port = 0;
		count = add_once(list, count, room, &address);
	}
	freeifaddrs(all);
	return count;
}

unsigned tw_local_addresses(struct tw_address *ret, unsigned room)
{
	struct tw_address address;
	unsigned count = 0;

	/*
	 * Addresses set aside for documentation: a default route covers them, nobody answers there.
	 */
	if (route_source("192.0.2.1", &address))
		count = add_once(ret, count, room, &address);
	if (route_source("2001:db8::1", &address))
		count = add_once(ret, count, room, &address);
	count = add_interfaces(ret, count, room, AF_INET, false);
	count = add_interfaces(ret, count, room, AF_INET6, false);
	if (count == 0)
		count = add_interfaces(ret, count, room, AF_INET, true);
	if (count == 0)
		count = add_interfaces(ret, count, room, AF_INET6, true);
	return count;
}
