/*
 * protect.h - packet protection: one chain of keys a direction, a new key each time the phase
 * flips.
 *
 * A chain starts from a 32-byte secret of the handshake. Each generation's key and nonce base come
 * from its secret by HKDF-Expand (RFC 5869) with labels "tw key", "tw iv"; the next secret with "tw
 * next" (as RFC 9001, 6). The nonce is the nonce base XOR the 64-bit packet number, which is never
 * used twice (asserted). Contexts keep their key schedule: a packet costs no set-up and no
 * allocation.
 *
 * The sender flips the phase by itself after TW_KEY_PACKETS_MAX packets, once a packet of the
 * current phase has been acknowledged. The receiver follows: a packet of the other phase is opened
 * with the next key (or, when its number is below the first of the present phase, with the previous
 * one), and only if that succeeds does the chain move on.
 *
 * Level `auth`: the whole packet is authenticated data (GMAC, with the key of level `128`). Level
 * `none`: 8 bytes of XXH3-64 over header and payload, seeded with the packet number; that is no
 * security, it finds accidents. Its phase never flips.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"
#include "crypto/cipher.h"

#define TW_TAG_SIZE 16
#define TW_CHECKSUM_SIZE 8
#define TW_KEY_PACKETS_MAX (UINT64_C(1) << 22)
/*
 * So many forged packets one connection may see before a guess at a tag becomes likely enough to
 * matter: the integrity limit of ChaCha20-Poly1305 (RFC 9001, 6.6), far below that of AES-GCM.
 */
#define TW_FORGED_MAX (UINT64_C(1) << 36)

struct tw_packet_key;                   /* one generation: contexts of the crypto library */

struct tw_seal_chain {
	enum tw_cipher cipher;
	enum tw_aead aead;
	struct tw_secret secret;        /* of the generation after @key */
	struct tw_packet_key *key;      /* owned; NULL with `none` */
	bool phase;
	bool phase_acked;
	uint64_t phase_first;           /* first packet number of this phase */
	uint64_t next_min;              /* every packet number below is used up */
	uint64_t key_packets_max;       /* TW_KEY_PACKETS_MAX; tests lower it */
};

struct tw_open_chain {
	enum tw_cipher cipher;
	enum tw_aead aead;
	struct tw_secret secret;        /* of the generation after @next */
	struct tw_packet_key *current, *next, *previous; /* owned; previous may be NULL */
	bool phase;
	/* lowest packet number opened in this phase; UINT64_MAX: none yet */
	uint64_t phase_first;
	uint64_t failures;              /* forged packets seen; the owner ends at TW_FORGED_MAX */
};

/* @secret is copied; NULL with cipher `none`. -ENOMEM; -EINVAL: no such cipher or algorithm. */
int tw_seal_chain_init(struct tw_seal_chain *chain, enum tw_cipher cipher, enum tw_aead aead,
		       const struct tw_secret *secret);
void tw_seal_chain_deinit(struct tw_seal_chain *chain);
int tw_open_chain_init(struct tw_open_chain *chain, enum tw_cipher cipher, enum tw_aead aead,
		       const struct tw_secret *secret);
void tw_open_chain_deinit(struct tw_open_chain *chain);

/* Bytes that sealing adds behind the payload: 16, or 8 for `none`. */
size_t tw_cipher_tag_size(enum tw_cipher cipher);

/*
 * To be called before a packet's header is written: flips the phase when it is due. Returns the
 * phase to put into the header. -ENOMEM leaves the old key in use (it is safe for far longer).
 */
bool tw_seal_chain_phase(struct tw_seal_chain *chain, uint64_t packet_number);
/* Tells that a packet was acknowledged: a flip may follow a packet of the present phase only. */
void tw_seal_chain_acked(struct tw_seal_chain *chain, uint64_t packet_number);
/*
 * What is to be sealed: @length bytes whose place is @bytes, of which the last @body_length may
 * still lie elsewhere, at @body. Sealing reads them there: it is their only copy.
 */
struct tw_payload {
	uint8_t *bytes;
	size_t length;
	const uint8_t *body;
	size_t body_length;
};
/*
 * Seals @payload at its place and writes the tag behind it. @header: authenticated. @packet_number
 * is larger than any before (asserted).
 */
void tw_seal_gather(struct tw_seal_chain *chain, uint64_t packet_number, const uint8_t *header,
		    size_t header_length, const struct tw_payload *payload);
/* The same with all @length bytes at their place already. */
void tw_seal(struct tw_seal_chain *chain, uint64_t packet_number, const uint8_t *header,
	     size_t header_length, uint8_t *payload, size_t length);
/*
 * Opens in place: @length counts the tag; the payload is then @length minus the tag's size.
 * TW_E_AUTH: forged, damaged or too old a key; drop the packet. The payload's bytes are then
 * undefined.
 */
int tw_open(struct tw_open_chain *chain, bool phase, uint64_t packet_number, const uint8_t *header,
	    size_t header_length, uint8_t *payload, size_t length);
