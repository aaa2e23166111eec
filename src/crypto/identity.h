/*
 * identity.h - a long-lived Curve25519 key pair (RFC 7748): who a machine is. This module makes and
 * checks keys and gives them a text form; files belong to the caller.
 */
#pragma once

#include <stddef.h>

#include "base/random.h"
#include "base/secret.h"

struct tw_identity {
	struct tw_secret private_key;
	struct tw_public_key public_key;
};

/* 43 characters of base64url and the NUL. */
#define TW_KEY_TEXT 44

int tw_identity_generate(const struct tw_random *random, struct tw_identity *ret);
/* TW_E_FORMAT when @private_key gives an all-zero public key. */
int tw_identity_from_private(const struct tw_secret *private_key, struct tw_identity *ret);
void tw_identity_wipe(struct tw_identity *identity);

/* X25519. TW_E_AUTH: the result is all zero (a point of small order); the handshake must stop. */
int tw_x25519(const struct tw_secret *ours, const struct tw_public_key *theirs,
	      struct tw_secret *ret);

/*
 * The text of an identity file: a comment line and "private-key: BASE64URL". @ret holds
 * TW_IDENTITY_TEXT. Parsing: TW_E_FORMAT. Neither leaves copies behind.
 */
#define TW_IDENTITY_TEXT 256
size_t tw_identity_format(const struct tw_identity *identity, char ret[TW_IDENTITY_TEXT]);
int tw_identity_parse(const char *text, size_t length, struct tw_identity *ret);
const char *tw_public_key_format(const struct tw_public_key *key, char ret[TW_KEY_TEXT]);
int tw_public_key_parse(const char *text, struct tw_public_key *ret);
