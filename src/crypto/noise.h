/*
 * noise.h - the handshake Noise_IK_25519_AESGCM_SHA256 (The Noise Protocol Framework, revision 34):
 *
 *   <- s
 *   ...
 *   -> e, es, s, ss   + payload
 *   <- e, ee, se      + payload
 *
 * The initiator knows the responder's public key beforehand; both are authenticated after one round
 * trip. The first payload can be replayed by an attacker: nothing may be done because of it until
 * the initiator has shown its keys with a first protected packet. The prologue binds what went
 * before in the clear.
 *
 * Order of calls, initiator: init, write, read, split. Responder: init, read, write, split. wipe at
 * the end, always.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"
#include "crypto/identity.h"

#define TW_NOISE_OVERHEAD_1 96          /* e (32), s (32 + 16), tag (16) */
#define TW_NOISE_OVERHEAD_2 48          /* e (32), tag (16) */
#define TW_NOISE_HASH_SIZE 32

struct tw_noise {
	bool initiator;
	unsigned step;                  /* messages done */
	struct tw_identity self;        /* copy, wiped */
	struct tw_identity ephemeral;
	struct tw_public_key peer, peer_ephemeral;
	uint8_t chaining_key[TW_NOISE_HASH_SIZE];
	uint8_t hash[TW_NOISE_HASH_SIZE];
	struct tw_secret key;
	uint64_t nonce;
};

/*
 * @ephemeral: a fresh private key, used once. @peer: the responder's key, NULL for a responder.
 * -ENOMEM.
 */
int tw_noise_init(struct tw_noise *noise, const struct tw_identity *self,
		  const struct tw_secret *ephemeral, const struct tw_public_key *peer,
		  const void *prologue, size_t prologue_length);
void tw_noise_wipe(struct tw_noise *noise);
/*
 * Writes the next message. -ENOBUFS: no room; TW_E_AUTH: a key of small order. @ret_length: of the
 * message. @payload and @message must not overlap.
 */
int tw_noise_write(struct tw_noise *noise, const void *payload, size_t payload_length,
		   uint8_t *message, size_t room, size_t *ret_length);
/*
 * Reads the peer's next message. TW_E_AUTH: forged, or meant for another key; the state is as
 * before, so that the true message may still come. @payload has room for @length bytes.
 */
int tw_noise_read(struct tw_noise *noise, const uint8_t *message, size_t length, uint8_t *payload,
		  size_t *ret_length);
/* After both messages. @ret_send, @ret_receive: this side's directions. */
void tw_noise_split(struct tw_noise *noise, struct tw_secret *ret_send,
		    struct tw_secret *ret_receive);
