/*
 * cid.h - connection ids that can be told from invented ones without looking them up.
 *
 * An id is 52 random bits and 12 that are computed from them with a secret salt of the endpoint, so
 * that a filter in the kernel (netio/valve.h) can drop what belongs to no connection before it
 * takes room in a socket's buffer: of invented ids one in 4096 passes. It is a sieve and no proof:
 * who holds a connection knows an id that passes, and from several the salt can be worked out.
 * Nothing but the room in the buffer depends on it; to others an id is 64 random bits as before.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

#define TW_CID_MARK_BITS 12
#define TW_CID_MARK_SHIFT 15 /* between the two multiplications */

struct tw_cid_salt {
	uint32_t first, second; /* odd */
};

void tw_cid_salt_init(struct tw_cid_salt *salt, const struct tw_random *random);
/* A new one; never 0. */
uint64_t tw_cid_make(const struct tw_cid_salt *salt, const struct tw_random *random);
bool tw_cid_marked(const struct tw_cid_salt *salt, uint64_t cid);
