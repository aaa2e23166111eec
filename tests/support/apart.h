/*
 * apart.h - datagrams opened before their endpoint sees them, as other threads do it: all of a
 * batch with what was known when the batch began.
 */
#pragma once

#include <stdbool.h>

#include "core/endpoint.h"
#include "wire/datagram.h"

struct apart {
	struct tw_open_copy *copy; /* owned; NULL: none */
	uint64_t dcid, expected;
};

static inline void apart_forget(struct apart *apart)
{
	tw_open_copy_free(apart->copy);
	apart->copy = NULL;
}

/* Is there a copy for a PACKET like @datagram now, an old or a new one? */
static inline bool apart_knows(struct apart *apart, const struct tw_endpoint *endpoint,
			       const struct tw_datagram *datagram)
{
	if (apart->copy && apart->dcid == datagram->dcid &&
	    tw_open_copy_phase(apart->copy) == datagram->key_phase)
		return !tw_endpoint_open_copy(endpoint, datagram->dcid, datagram->key_phase, NULL,
					      &apart->expected);
	apart_forget(apart);
	apart->dcid = datagram->dcid;
	return !tw_endpoint_open_copy(endpoint, datagram->dcid, datagram->key_phase, &apart->copy,
				      &apart->expected);
}

static inline enum tw_opening apart_open(struct apart *apart, const struct tw_endpoint *endpoint,
					 uint8_t *bytes, size_t length)
{
	struct tw_datagram datagram;

	if (tw_datagram_parse(bytes, length, &datagram) || datagram.type != TW_DATAGRAM_PACKET ||
	    !apart_knows(apart, endpoint, &datagram))
		return TW_OPENING_LEFT;
	return tw_opener_open(apart->copy, apart->dcid, apart->expected, bytes, length);
}
