/*
 * cipher.h - levels of protection and the algorithms that give them. The numbers of the levels are
 * those of the API's minimum cipher constants and travel in the handshake.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum tw_cipher {
	/* an 8-byte checksum against accidents; anybody can read and forge */
	TW_CIPHER_NONE = 0,
	TW_CIPHER_AUTH = 1,             /* authenticated, readable on the wire */
	TW_CIPHER_128 = 2,
	TW_CIPHER_256 = 3,
	TW_CIPHER_COUNT,
};

/* Bits, so that a set of them fits a number. */
enum tw_aead {
	TW_AEAD_AES_GCM = 1,            /* RFC 5116; GMAC for `auth` */
	TW_AEAD_CHACHA20_POLY1305 = 2,  /* RFC 8439; 256-bit keys at every level */
};

/* "none", "auth", "128", "256". */
const char *tw_cipher_name(enum tw_cipher cipher);
bool tw_cipher_parse(const char *name, enum tw_cipher *ret);
/*
 * The algorithms worth offering on this processor: AES-GCM first where it has AES instructions,
 * ChaCha20 always.
 */
uint64_t tw_aead_supported(void);
/*
 * The one to use out of two sets: AES-GCM when both have it, else ChaCha20-Poly1305. 0: nothing in
 * common.
 */
uint64_t tw_aead_choose(uint64_t ours, uint64_t theirs);
