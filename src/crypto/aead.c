/*
 * The calls per message are the fewest that the library allows: set the nonce (with the tag where
 * opening), authenticated data, text, final, get the tag (where sealing). Each of those costs 10 to
 * 60 ns of its own; set-up by name, and new contexts, would cost some microseconds.
 */
#include "crypto/aead.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

static const struct {
	const char *name;
	size_t key_size;
} kinds[] = {
	[TW_AEAD_KIND_AES_128_GCM] = { "AES-128-GCM", 16 },
	[TW_AEAD_KIND_AES_256_GCM] = { "AES-256-GCM", 32 },
	[TW_AEAD_KIND_CHACHA20_POLY1305] = { "ChaCha20-Poly1305", 32 },
};
static_assert(sizeof kinds / sizeof kinds[0] == TW_AEAD_KIND_COUNT, "a row per kind");

static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_CIPHER *ciphers[TW_AEAD_KIND_COUNT]; /* kept for good */

static void fetch(void)
{
	for (size_t i = 0; i < TW_AEAD_KIND_COUNT; i++)
		ciphers[i] = EVP_CIPHER_fetch(NULL, kinds[i].name, NULL);
}

size_t tw_aead_key_size(enum tw_aead_kind kind)
{
	assert(kind < TW_AEAD_KIND_COUNT);
	return kinds[kind].key_size;
}

int tw_aead_key_init(struct tw_aead_key *key, enum tw_aead_kind kind, bool seal,
		     const uint8_t *bytes)
{
	EVP_CIPHER_CTX *context;

	assert(kind < TW_AEAD_KIND_COUNT);
	pthread_once(&fetched, fetch);
	if (!ciphers[kind])
		return -ENOMEM;
	context = EVP_CIPHER_CTX_new();
	if (!context)
		return -ENOMEM;
	if (!EVP_CipherInit_ex2(context, ciphers[kind], bytes, NULL, seal, NULL)) {
		EVP_CIPHER_CTX_free(context);
		return -ENOMEM;
	}
	key->context = context;
	return 0;
}

void tw_aead_key_deinit(struct tw_aead_key *key)
{
	EVP_CIPHER_CTX_free(key->context);
	key->context = NULL;
}

/*
 * Header and text. Where both are only authenticated and lie side by side, one call does: it spares
 * a call, and whole blocks go to the hash.
 */
static int feed(EVP_CIPHER_CTX *context, const struct tw_aead_message *message)
{
	int header_length = (int)message->header_length, length = (int)message->length, ok = 1, out;

	assert(message->header_length <= INT_MAX / 2 && message->length <= INT_MAX / 2);
	if (message->text_is_clear && message->header + header_length == message->text)
		return EVP_CipherUpdate(context, NULL, &out, message->header,
					header_length + length);
	if (header_length > 0)
		ok &= EVP_CipherUpdate(context, NULL, &out, message->header, header_length);
	if (length > 0)
		ok &= EVP_CipherUpdate(context, message->text_is_clear ? NULL : message->text, &out,
				       message->text, length);
	return ok;
}

void tw_aead_seal(struct tw_aead_key *key, const uint8_t nonce[TW_NONCE_SIZE],
		  const struct tw_aead_message *message, uint8_t ret_tag[TW_AEAD_TAG_SIZE])
{
	OSSL_PARAM get_tag[2] = {
		OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, ret_tag,
						  TW_AEAD_TAG_SIZE),
		OSSL_PARAM_construct_end(),
	};
	int ok, out;

	ok = EVP_EncryptInit_ex2(key->context, NULL, NULL, nonce, NULL);
	ok &= feed(key->context, message);
	ok &= EVP_EncryptFinal_ex(key->context, ret_tag, &out);
	ok &= EVP_CIPHER_CTX_get_params(key->context, get_tag);
	assert(ok); /* else clear text would leave */
}

bool tw_aead_open(struct tw_aead_key *key, const uint8_t nonce[TW_NONCE_SIZE],
		  const struct tw_aead_message *message, const uint8_t tag[TW_AEAD_TAG_SIZE])
{
	/* The library only reads the tag. */
	OSSL_PARAM set_tag[2] = {
		OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG,
						  (void *)(uintptr_t)tag, TW_AEAD_TAG_SIZE),
		OSSL_PARAM_construct_end(),
	};
	uint8_t nothing[TW_AEAD_TAG_SIZE];
	int ok, out;

	ok = EVP_DecryptInit_ex2(key->context, NULL, NULL, nonce, set_tag);
	ok &= feed(key->context, message);
	return ok && EVP_DecryptFinal_ex(key->context, nothing, &out) > 0;
}
