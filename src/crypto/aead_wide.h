/*
 * aead_wide.h - AES-GCM with the processor's widest instructions (VAES and VPCLMULQDQ on 512 bits),
 * by Intel's multi-buffer library, which is there on x86-64 only. OpenSSL 3.0 has no such code and
 * takes more than twice as long for a packet.
 *
 * Behind aead.h, which says what a message is; nobody else calls this. Keys are wiped before their
 * memory is given back. A key is used by one thread at a time.
 */
#pragma once

#include "crypto/aead.h"

struct tw_aead_wide_key;

/*
 * A key for sealing and opening. -ENOTSUP: not with this processor, build or @kind, take another
 * way; -ENOMEM.
 */
int tw_aead_wide_new(enum tw_aead_kind kind, const uint8_t *bytes, struct tw_aead_wide_key **ret);
void tw_aead_wide_free(struct tw_aead_wide_key *key);
void tw_aead_wide_seal(struct tw_aead_wide_key *key, const uint8_t nonce[TW_NONCE_SIZE],
		       const struct tw_aead_message *message, uint8_t ret_tag[TW_AEAD_TAG_SIZE]);
bool tw_aead_wide_open(struct tw_aead_wide_key *key, const uint8_t nonce[TW_NONCE_SIZE],
		       const struct tw_aead_message *message, const uint8_t tag[TW_AEAD_TAG_SIZE]);
