/*
 * url.h - where to send: tw://HOST[:PORT]/[DEST][#KEY].
 *
 * HOST is a name, an IPv4 address or an IPv6 address in brackets. DEST is a folder below the
 * receiver's, percent-encoded (RFC 3986); KEY the receiver's public key, 43 characters. One line
 * that people paste from one terminal to another.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"
#include "content/manifest.h"

#define TW_PORT_DEFAULT 8886
#define TW_HOST_MAX 255

struct tw_url {
	char host[TW_HOST_MAX + 1]; /* without brackets */
	uint16_t port;
	char destination[TW_PATH_MAX +
			 1]; /* decoded, relative, without slashes at its ends; "" for the top */
	bool has_key;
	struct tw_public_key key;
};

#define TW_URL_TEXT 512 /* room for any result of tw_url_format() with an empty destination */

/* True when @text begins like one. */
bool tw_url_like(const char *text);
/* TW_E_FORMAT and what is wrong in @complaint (a clause, no full stop). */
int tw_url_parse(const char *text, struct tw_url *ret, char *complaint, size_t complaint_room);
/* "tw://HOST:PORT/#KEY". @key may be NULL. Returns @ret. */
const char *tw_url_format(const char *host, uint16_t port, const struct tw_public_key *key,
			  char ret[TW_URL_TEXT]);
