#include "crypto/hash.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/secret.h"

static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MD *sha256; /* kept for good: a fetch costs more than a hash */

static void fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	assert(sha256);
}

void tw_hash_init(struct tw_hash *hash)
{
	int ok;

	pthread_once(&fetched, fetch);
	hash->context = EVP_MD_CTX_new();
	assert(hash->context);
	ok = EVP_DigestInit_ex2(hash->context, sha256, NULL);
	assert(ok);
}

void tw_hash_update(struct tw_hash *hash, const void *bytes, size_t length)
{
	int ok = EVP_DigestUpdate(hash->context, bytes, length);

	assert(ok);
}

void tw_hash_final(struct tw_hash *hash, uint8_t ret[TW_HASH_SIZE])
{
	int ok = EVP_DigestFinal_ex(hash->context, ret, NULL);

	assert(ok);
	EVP_MD_CTX_free(hash->context);
	hash->context = NULL;
}

void tw_hmac_init(struct tw_hmac *hmac, const void *key, size_t length)
{
	uint8_t pad[TW_HASH_BLOCK] = { 0 };

	if (length > sizeof pad) {
		tw_hash_init(&hmac->inner);
		tw_hash_update(&hmac->inner, key, length);
		tw_hash_final(&hmac->inner, pad);
	} else if (length > 0) {
		memcpy(pad, key, length);
	}
	for (size_t i = 0; i < sizeof pad; i++) {
		hmac->outer_pad[i] = pad[i] ^ 0x5c;
		pad[i] ^= 0x36;
	}
	tw_hash_init(&hmac->inner);
	tw_hash_update(&hmac->inner, pad, sizeof pad);
	tw_wipe(pad, sizeof pad);
}

void tw_hmac_update(struct tw_hmac *hmac, const void *bytes, size_t length)
{
	tw_hash_update(&hmac->inner, bytes, length);
}

void tw_hmac_final(struct tw_hmac *hmac, uint8_t ret[TW_HASH_SIZE])
{
	uint8_t inner[TW_HASH_SIZE];

	tw_hash_final(&hmac->inner, inner);
	tw_hash_init(&hmac->inner);
	tw_hash_update(&hmac->inner, hmac->outer_pad, sizeof hmac->outer_pad);
	tw_hash_update(&hmac->inner, inner, sizeof inner);
	tw_hash_final(&hmac->inner, ret);
	tw_wipe(inner, sizeof inner);
	tw_wipe(hmac->outer_pad, sizeof hmac->outer_pad);
}

void tw_hkdf_extract(const void *salt, size_t salt_length, const void *input, size_t input_length,
		     uint8_t ret[TW_HASH_SIZE])
{
	struct tw_hmac hmac;

	tw_hmac_init(&hmac, salt, salt_length);
	tw_hmac_update(&hmac, input, input_length);
	tw_hmac_final(&hmac, ret);
}

void tw_hkdf_expand(const uint8_t key[TW_HASH_SIZE], const void *info, size_t info_length,
		    void *ret, size_t length)
{
	uint8_t block[TW_HASH_SIZE], *at = ret;
	struct tw_hmac hmac;

	assert(length <= 255 * TW_HASH_SIZE);
	for (uint8_t counter = 1; length > 0; counter++) {
		size_t part = length < sizeof block ? length : sizeof block;

		tw_hmac_init(&hmac, key, TW_HASH_SIZE);
		if (counter > 1)
			tw_hmac_update(&hmac, block, sizeof block);
		tw_hmac_update(&hmac, info, info_length);
		tw_hmac_update(&hmac, &counter, 1);
		tw_hmac_final(&hmac, block);
		memcpy(at, block, part);
		at += part;
		length -= part;
	}
	tw_wipe(block, sizeof block);
}
