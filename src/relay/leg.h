/*
 * leg.h - the two datagrams by which a server shows its relay where it can be reached over UDP, and
 * the keys that a server and a relay have in common.
 *
 *   LEG      u8 20 | u8 flags | u64 handle | u64 counter | tag (16) | zeros up to 64 bytes
 *   LEG_SEEN u8 21 | u8 flags | u64 handle | u64 counter | address | tag (16)
 *
 * A LEG is never answered by more bytes than it has. The tag is the first half of HMAC-SHA-256 over
 * all that stands before it. The handle is new at each registration and the counter only grows, so
 * that nothing old can be played again. Normative: docs/protocol.md, "Relays".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/bytes.h"
#include "crypto/identity.h"

#define TW_RELAY_LEG 0x20
#define TW_RELAY_LEG_SEEN 0x21
#define TW_RELAY_LEG_SIZE 64
#define TW_RELAY_TAG 16

/* The one who asks does not listen there: say what was seen, and send nothing else to it. */
#define TW_RELAY_LEG_ASKS 1

/* From both static keys alone: the same after every restart of either side. */
struct tw_relay_keys {
	struct tw_secret leg, ticket;
};

struct tw_relay_leg {
	uint8_t type, flags;
	uint64_t handle, counter;
	struct tw_address seen; /* LEG_SEEN only */
};

/* @relay: the relay's public key, whichever side asks. TW_E_AUTH: @peer is of small order. */
int tw_relay_keys_make(const struct tw_identity *self, const struct tw_public_key *peer,
		       const struct tw_public_key *relay, struct tw_relay_keys *ret);

/* Returns the length; at most TW_RELAY_LEG_SIZE. */
size_t tw_relay_leg_write(const struct tw_relay_leg *leg, const struct tw_secret *key,
			  uint8_t ret[TW_RELAY_LEG_SIZE]);
/* TW_E_FORMAT; TW_E_AUTH: the tag is wrong. */
int tw_relay_leg_read(const uint8_t *bytes, size_t length, const struct tw_secret *key,
		      struct tw_relay_leg *ret);

/* u8 family (0, 4, 6) | 0, 4 or 16 bytes | u16 port, not for family 0. The zone stays at home. */
void tw_relay_write_address(struct tw_writer *writer, const struct tw_address *address);
/* False: an unknown family. */
bool tw_relay_read_address(struct tw_reader *reader, struct tw_address *ret);
