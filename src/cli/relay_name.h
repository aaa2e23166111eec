/*
 * relay_name.h - a relay as people write it: HOST[:PORT]#KEY, the port being that of its control
 * connections. `tradewind relay` prints it, whoever uses the relay pastes it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/url.h"

struct tw_relay_name {
	char host[TW_HOST_MAX + 1]; /* without brackets */
	uint16_t port;
	struct tw_public_key key;
};

/* TW_E_FORMAT and what is wrong in @complaint (a clause, no full stop). */
int tw_relay_name_parse(const char *text, struct tw_relay_name *ret, char *complaint,
			size_t complaint_room);
/* "HOST:PORT#KEY". Returns @ret. */
const char *tw_relay_name_format(const char *host, uint16_t port, const struct tw_public_key *key,
				 char ret[TW_URL_TEXT]);
