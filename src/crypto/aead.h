/*
 * aead.h - one key of an AEAD of this tier: a context of the crypto library that keeps its key
 * schedule, so that a message costs only a new nonce. Used by one thread at a time.
 *
 * AES-GCM goes by aead_wide.h where the processor has the instructions for it, else by OpenSSL's
 * provider; what comes out is the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_NONCE_SIZE	 12
#define TW_AEAD_TAG_SIZE 16

enum tw_aead_kind {
	TW_AEAD_KIND_AES_128_GCM, /* 16-byte key */
	TW_AEAD_KIND_AES_256_GCM, /* 32-byte key */
	TW_AEAD_KIND_CHACHA20_POLY1305, /* 32-byte key */
	TW_AEAD_KIND_COUNT,
};

struct tw_aead_algorithm;
struct tw_aead_wide_key;

struct tw_aead_key {
	const struct tw_aead_algorithm *algorithm;
	void *context; /* owned; the library wipes its key */
	struct tw_aead_wide_key *wide; /* owned; NULL: the provider's context is used */
};

size_t tw_aead_key_size(enum tw_aead_kind kind);
/* @seal: for sealing, else for opening; never for both. -ENOMEM; -ENOSYS: a crippled library. */
int tw_aead_key_init(struct tw_aead_key *key, enum tw_aead_kind kind, bool seal,
		     const uint8_t *bytes);
/* For tests, which compare: keys made from now on are the provider's, or whatever is fastest. */
void tw_aead_provider_only(bool only);
void tw_aead_key_deinit(struct tw_aead_key *key);

/*
 * Authenticated data and text of one message. @text is changed in place unless @text_is_clear: then
 * it is authenticated only. Sealing: the last @body_length bytes of the text may still lie at
 * @body; they are read from there, and what becomes of them is written to their place in @text.
 */
struct tw_aead_message {
	const uint8_t *header;
	size_t header_length;
	uint8_t *text;
	size_t length; /* the body's included */
	const uint8_t *body;
	size_t body_length;
	bool text_is_clear;
};

void tw_aead_seal(struct tw_aead_key *key, const uint8_t nonce[TW_NONCE_SIZE],
		  const struct tw_aead_message *message, uint8_t ret_tag[TW_AEAD_TAG_SIZE]);
/* False: forged or damaged; the text is then undefined. */
bool tw_aead_open(struct tw_aead_key *key, const uint8_t nonce[TW_NONCE_SIZE],
		  const struct tw_aead_message *message, const uint8_t tag[TW_AEAD_TAG_SIZE]);
