/*
 * secret.h - the one type for keys and other secrets of 32 bytes. Whoever holds one wipes it before
 * letting go.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_KEY_SIZE 32

struct tw_secret {
	uint8_t bytes[TW_KEY_SIZE];
};

/* A public key of Curve25519 (RFC 7748). All zero: not known. */
struct tw_public_key {
	uint8_t bytes[TW_KEY_SIZE];
};

/* Overwrites with zeros in a way that the compiler keeps. */
void tw_wipe(void *bytes, size_t length);
/* In time that depends on @length alone. */
bool tw_equal_secret(const void *a, const void *b, size_t length);
bool tw_public_key_known(const struct tw_public_key *key);
