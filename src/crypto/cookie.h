/*
 * cookie.h - proof of address without memory: a keyed hash (siphash.h) over who asks, handed out
 * in a RETRY and returned in the next INIT. To make or check one costs less than to receive the
 * datagram that asks for it: it stands before everything that costs more. The key changes every
 * two minutes; the previous one is honoured too, so a cookie lives two to four.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/random.h"
#include "base/secret.h"
#include "base/time.h"

/*
 * What a relay and a server that it serves have in common: the right to have a connection carried
 * to the destination that the server calls @index. It goes with the first INIT in the place of a
 * cookie, made for this connection id, so that who sees one can open no other connection with it.
 */
struct tw_ticket {
	struct tw_secret key;
	uint32_t index;
};

#define TW_COOKIE_KEY_LIFE (120 * TW_SECOND)

struct tw_cookie_jar {
	struct tw_secret current, previous;
	tw_ns born;
};

void tw_cookie_jar_init(struct tw_cookie_jar *jar, const struct tw_random *random, tw_ns now);
void tw_cookie_jar_wipe(struct tw_cookie_jar *jar);
/* 16 bytes for this address and connection id. */
void tw_cookie_make(struct tw_cookie_jar *jar, const struct tw_random *random, tw_ns now,
		    const struct tw_address *from, uint64_t scid, uint8_t ret[16]);
/* u32 index | the first 12 bytes of HMAC-SHA-256(key, u32 index | u64 scid). */
void tw_ticket_cookie(const struct tw_ticket *ticket, uint64_t scid, uint8_t ret[16]);
/* The index that a cookie claims, to be checked by making the same one again. */
uint32_t tw_ticket_index(const uint8_t cookie[16]);
/* Says nothing by its time but which of the two keys made a good one. */
bool tw_cookie_check(struct tw_cookie_jar *jar, const struct tw_random *random, tw_ns now,
		     const struct tw_address *from, uint64_t scid, const uint8_t cookie[16]);
