/*
 * discover.h - does UDP pass to a server and back, how long does that take, and as whom are we seen
 * there? Asked with DISCOVER (docs/protocol.md) from a socket of its own; nothing is kept.
 */
#pragma once

#include <stdbool.h>

#include "base/address.h"
#include "base/time.h"

#define TW_DISCOVER_EVERY (200 * TW_MSEC) /* a question, until there is an answer */

struct tw_discovery {
	struct tw_address local;    /* our socket */
	struct tw_address observed; /* as the other side sees it */
	tw_ns rtt;
};

/*
 * Blocks until the answer comes or @timeout is over. TW_E_TIMEOUT: silence; TW_E_UNREACHABLE: the
 * network says that nobody listens there; TW_E_CLOSED: @cancelled (may be NULL) said so; -errno.
 */
int tw_discover(const struct tw_address *remote, tw_ns timeout, bool (*cancelled)(void *context),
		void *context, struct tw_discovery *ret);
