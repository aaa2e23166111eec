#include "crypto/aead_wide.h"

#include <errno.h>

#ifdef HAVE_IPSEC_MB

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>

/* What the library asks for before it takes its widest code. */
#define WANTED IMB_CPUFLAGS_AVX512_T2

/* The library's functions for one size of key. */
struct functions {
	aes_gcm_init_t init;
	aes_gcm_enc_dec_update_t seal;
	aes_gcm_enc_dec_finalize_t seal_final;
	aes_gcm_enc_dec_t open;
	aes_gmac_init_t mac_init;
	aes_gmac_update_t mac;
	aes_gmac_finalize_t mac_final;
};

struct tw_aead_wide_key {
	struct gcm_key_data data;
	struct gcm_context_data context; /* of the message at hand */
	struct functions functions;
};

/* Written once, then only read: these functions keep no state in it. */
static pthread_once_t loaded = PTHREAD_ONCE_INIT;
static IMB_MGR *manager;

static void load(void)
{
	IMB_MGR *made = alloc_mb_mgr(0);

	if (!made)
		return;
	if ((made->features & WANTED) == WANTED) {
		init_mb_mgr_avx512(made);
		/* Some processors get a lesser kind of this code, and it has tested itself. */
		if (imb_get_errno(made) == 0 && (made->features & WANTED) == WANTED) {
			manager = made;
			return;
		}
	}
	free_mb_mgr(made);
}

static struct functions functions_of(enum tw_aead_kind kind)
{
	if (kind == TW_AEAD_KIND_AES_128_GCM)
		return (struct functions){
			manager->gcm128_init,
			manager->gcm128_enc_update,
			manager->gcm128_enc_finalize,
			manager->gcm128_dec,
			manager->gmac128_init,
			manager->gmac128_update,
			manager->gmac128_finalize,
		};
	return (struct functions){
		manager->gcm256_init,
		manager->gcm256_enc_update,
		manager->gcm256_enc_finalize,
		manager->gcm256_dec,
		manager->gmac256_init,
		manager->gmac256_update,
		manager->gmac256_finalize,
	};
}

int tw_aead_wide_new(enum tw_aead_kind kind, const uint8_t *bytes, struct tw_aead_wide_key **ret)
{
	size_t size = (sizeof(struct tw_aead_wide_key) + 63) & ~(size_t)63;
	struct tw_aead_wide_key *key;

	pthread_once(&loaded, load);
	if (!manager || (kind != TW_AEAD_KIND_AES_128_GCM && kind != TW_AEAD_KIND_AES_256_GCM))
		return -ENOTSUP;
	key = aligned_alloc(64, size);
	if (!key)
		return -ENOMEM;
	memset(key, 0, size);
	if (kind == TW_AEAD_KIND_AES_128_GCM)
		IMB_AES128_GCM_PRE(manager, bytes, &key->data);
	else
		IMB_AES256_GCM_PRE(manager, bytes, &key->data);
	key->functions = functions_of(kind);
	*ret = key;
	return 0;
}

void tw_aead_wide_free(struct tw_aead_wide_key *key)
{
	if (!key)
		return;
	OPENSSL_cleanse(key, sizeof *key);
	free(key);
}

/* Nothing is encrypted: header and text, one behind the other, are what the tag is of. */
static void tag_clear(struct tw_aead_wide_key *key, const uint8_t *nonce,
		      const struct tw_aead_message *message, uint8_t *ret_tag)
{
	const struct functions *call = &key->functions;

	call->mac_init(&key->data, &key->context, nonce, TW_NONCE_SIZE);
	if (message->header + message->header_length == message->text) {
		call->mac(&key->data, &key->context, message->header,
			  message->header_length + message->length);
	} else {
		if (message->header_length)
			call->mac(&key->data, &key->context, message->header,
				  message->header_length);
		if (message->length)
			call->mac(&key->data, &key->context, message->text, message->length);
	}
	call->mac_final(&key->data, &key->context, ret_tag, TW_AEAD_TAG_SIZE);
}

void tw_aead_wide_seal(struct tw_aead_wide_key *key, const uint8_t nonce[TW_NONCE_SIZE],
		       const struct tw_aead_message *message, uint8_t ret_tag[TW_AEAD_TAG_SIZE])
{
	const struct functions *call = &key->functions;
	size_t before = message->length - message->body_length;
	uint8_t *text = message->text;

	if (message->text_is_clear) {
		if (message->body_length)
			memcpy(text + before, message->body, message->body_length);
		tag_clear(key, nonce, message, ret_tag);
		return;
	}
	call->init(&key->data, &key->context, nonce, message->header, message->header_length);
	if (before)
		call->seal(&key->data, &key->context, text, text, before);
	if (message->body_length)
		call->seal(&key->data, &key->context, text + before, message->body,
			   message->body_length);
	call->seal_final(&key->data, &key->context, ret_tag, TW_AEAD_TAG_SIZE);
}

bool tw_aead_wide_open(struct tw_aead_wide_key *key, const uint8_t nonce[TW_NONCE_SIZE],
		       const struct tw_aead_message *message, const uint8_t tag[TW_AEAD_TAG_SIZE])
{
	uint8_t right[TW_AEAD_TAG_SIZE];

	if (message->text_is_clear)
		tag_clear(key, nonce, message, right);
	else
		key->functions.open(&key->data, &key->context, message->text, message->text,
				    message->length, nonce, message->header,
				    message->header_length, right, TW_AEAD_TAG_SIZE);
	return CRYPTO_memcmp(right, tag, TW_AEAD_TAG_SIZE) == 0;
}

#else

#include <assert.h>

/* Without the library there are no keys of this kind to call with. */

int tw_aead_wide_new(enum tw_aead_kind kind, const uint8_t *bytes, struct tw_aead_wide_key **ret)
{
	(void)kind;
	(void)bytes;
	(void)ret;
	return -ENOTSUP;
}

void tw_aead_wide_free(struct tw_aead_wide_key *key)
{
	(void)key;
}

void tw_aead_wide_seal(struct tw_aead_wide_key *key, const uint8_t nonce[TW_NONCE_SIZE],
		       const struct tw_aead_message *message, uint8_t ret_tag[TW_AEAD_TAG_SIZE])
{
	(void)nonce;
	(void)message;
	(void)ret_tag;
	assert(!key);
}

bool tw_aead_wide_open(struct tw_aead_wide_key *key, const uint8_t nonce[TW_NONCE_SIZE],
		       const struct tw_aead_message *message, const uint8_t tag[TW_AEAD_TAG_SIZE])
{
	(void)nonce;
	(void)message;
	(void)tag;
	assert(!key);
	return false;
}

#endif
