/*
 * hash.h - SHA-256, HMAC (RFC 2104) and HKDF (RFC 5869) for this tier. Used a few dozen times a
 * handshake and key update, never per packet.
 *
 * The crypto library can fail here only for want of a few hundred bytes of memory or for a broken
 * installation; no caller could go on without its keys, so that ends the program (asserted).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#define TW_HASH_SIZE  32
#define TW_HASH_BLOCK 64

/* A hash over parts. Order of calls: init, update any number of times, final. */
struct tw_hash {
	EVP_MD_CTX *context; /* owned until final */
};

void tw_hash_init(struct tw_hash *hash);
void tw_hash_update(struct tw_hash *hash, const void *bytes, size_t length);
void tw_hash_final(struct tw_hash *hash, uint8_t ret[TW_HASH_SIZE]);

/* The same with a key. */
struct tw_hmac {
	struct tw_hash inner;
	uint8_t outer_pad[TW_HASH_BLOCK]; /* wiped by final */
};

void tw_hmac_init(struct tw_hmac *hmac, const void *key, size_t length);
void tw_hmac_update(struct tw_hmac *hmac, const void *bytes, size_t length);
void tw_hmac_final(struct tw_hmac *hmac, uint8_t ret[TW_HASH_SIZE]);

/* HKDF-Extract. @ret may be @salt. */
void tw_hkdf_extract(const void *salt, size_t salt_length, const void *input, size_t input_length,
		     uint8_t ret[TW_HASH_SIZE]);
/* HKDF-Expand; @length at most 255 * 32 (asserted). @ret must not overlap @key. */
void tw_hkdf_expand(const uint8_t key[TW_HASH_SIZE], const void *info, size_t info_length,
		    void *ret, size_t length);
