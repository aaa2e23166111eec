/*
 * door.h - what those who knock may cost an endpoint, however many they are.
 *
 * To open an INIT takes several exchanges of keys, a thousand times the work of dropping it, and
 * anybody can send one that will not open, from any address he likes. So they are let in by two
 * allowances:
 *   - one for all who have not proved their address together. Beyond it a cookie is asked for,
 *     which is made and checked for next to nothing;
 *   - one for each address that has been proved by a cookie, so that one machine cannot use the
 *     processor up either. These stand in a table of fixed size, found by a keyed hash of the IPv4
 *     address or the IPv6 /64: two that fall on the same place share, nobody can choose with whom.
 * An allowance is a time, up to which all that was granted is paid for; it needs no timer, and
 * nothing is ever allocated.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/random.h"
#include "base/time.h"
#include "crypto/siphash.h"

#define TW_DOOR_UNPROVED_BURST 64
#define TW_DOOR_UNPROVED_EVERY (20 * TW_MSEC)
#define TW_DOOR_PROVED_BURST 128
#define TW_DOOR_PROVED_EVERY (TW_SECOND / 64)
#define TW_DOOR_PLACES 1024

struct tw_door {
	uint8_t key[TW_SIPHASH_KEY];
	tw_ns unproved;
	tw_ns proved[TW_DOOR_PLACES];
};

void tw_door_init(struct tw_door *door, const struct tw_random *random);
/* One more from an address that may be invented: true, and it is counted; false: ask for proof. */
bool tw_door_unproved(struct tw_door *door, tw_ns now);
/* One more from an address that has been proved; false: too many from there. */
bool tw_door_proved(struct tw_door *door, const struct tw_address *from, tw_ns now);
