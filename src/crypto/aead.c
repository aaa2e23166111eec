/*
 * The functions of OpenSSL's default provider are called directly, by the provider interface that
 * OpenSSL documents (provider-cipher(7)): the EVP layer above them looks up parameters by name and
 * checks afresh with every call, which costs some 80 ns a packet, a sixth of all for 1400 bytes.
 *
 * The calls per message are the fewest there are: set the nonce (with the tag where opening),
 * authenticated data, text, final, get the tag (where sealing).
 */
#include "crypto/aead.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "crypto/aead_wide.h"

struct tw_aead_algorithm {
	OSSL_FUNC_cipher_newctx_fn *newctx;
	OSSL_FUNC_cipher_freectx_fn *freectx;
	OSSL_FUNC_cipher_encrypt_init_fn *encrypt_init;
	OSSL_FUNC_cipher_decrypt_init_fn *decrypt_init;
	OSSL_FUNC_cipher_update_fn *update;
	OSSL_FUNC_cipher_final_fn *final;
	OSSL_FUNC_cipher_get_ctx_params_fn *get_ctx_params;
};

static const struct {
	const char *name;
	size_t key_size;
} kinds[] = {
	[TW_AEAD_KIND_AES_128_GCM] = { "AES-128-GCM", 16 },
	[TW_AEAD_KIND_AES_256_GCM] = { "AES-256-GCM", 32 },
	[TW_AEAD_KIND_CHACHA20_POLY1305] = { "ChaCha20-Poly1305", 32 },
};
static_assert(sizeof kinds / sizeof kinds[0] == TW_AEAD_KIND_COUNT, "a row per kind");

/* Written once, then only read; kept for good. */
static pthread_once_t loaded = PTHREAD_ONCE_INIT;
static void *provider_context;
static struct tw_aead_algorithm algorithms[TW_AEAD_KIND_COUNT];
static atomic_bool provider_only;

void tw_aead_provider_only(bool only)
{
	atomic_store(&provider_only, only);
}

/* Is @name one of the colon-separated @names? */
static bool is_among(const char *names, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = names; at; at = strchr(at, ':')) {
		at += *at == ':';
		if (strncmp(at, name, length) == 0 && (at[length] == ':' || at[length] == '\0'))
			return true;
	}
	return false;
}

static struct tw_aead_algorithm algorithm_from(const OSSL_DISPATCH *at)
{
	struct tw_aead_algorithm ret = { 0 };

	for (; at->function_id; at++) {
		switch (at->function_id) {
		case OSSL_FUNC_CIPHER_NEWCTX:
			ret.newctx = OSSL_FUNC_cipher_newctx(at);
			break;
		case OSSL_FUNC_CIPHER_FREECTX:
			ret.freectx = OSSL_FUNC_cipher_freectx(at);
			break;
		case OSSL_FUNC_CIPHER_ENCRYPT_INIT:
			ret.encrypt_init = OSSL_FUNC_cipher_encrypt_init(at);
			break;
		case OSSL_FUNC_CIPHER_DECRYPT_INIT:
			ret.decrypt_init = OSSL_FUNC_cipher_decrypt_init(at);
			break;
		case OSSL_FUNC_CIPHER_UPDATE:
			ret.update = OSSL_FUNC_cipher_update(at);
			break;
		case OSSL_FUNC_CIPHER_FINAL:
			ret.final = OSSL_FUNC_cipher_final(at);
			break;
		case OSSL_FUNC_CIPHER_GET_CTX_PARAMS:
			ret.get_ctx_params = OSSL_FUNC_cipher_get_ctx_params(at);
			break;
		default:
			break;
		}
	}
	return ret;
}

/* A library context of our own: what the machine's openssl.cnf loads for others stays as it is. */
static void load(void)
{
	OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();
	OSSL_PROVIDER *provider = library ? OSSL_PROVIDER_load(library, "default") : NULL;
	const OSSL_ALGORITHM *all;
	int no_cache;

	if (!provider)
		return;
	provider_context = OSSL_PROVIDER_get0_provider_ctx(provider);
	all = OSSL_PROVIDER_query_operation(provider, OSSL_OP_CIPHER, &no_cache);
	for (; all && all->algorithm_names; all++) {
		for (size_t i = 0; i < TW_AEAD_KIND_COUNT; i++) {
			if (is_among(all->algorithm_names, kinds[i].name))
				algorithms[i] = algorithm_from(all->implementation);
		}
	}
}

static bool is_whole(const struct tw_aead_algorithm *algorithm)
{
	return algorithm->newctx && algorithm->freectx && algorithm->encrypt_init &&
	       algorithm->decrypt_init && algorithm->update && algorithm->final &&
	       algorithm->get_ctx_params;
}

size_t tw_aead_key_size(enum tw_aead_kind kind)
{
	assert(kind < TW_AEAD_KIND_COUNT);
	return kinds[kind].key_size;
}

static int provider_key_init(struct tw_aead_key *key, enum tw_aead_kind kind, bool seal,
			     const uint8_t *bytes)
{
	const struct tw_aead_algorithm *algorithm;
	void *context;
	int ok;

	algorithm = &algorithms[kind];
	pthread_once(&loaded, load);
	if (!is_whole(algorithm))
		return -ENOSYS;
	context = algorithm->newctx(provider_context);
	if (!context)
		return -ENOMEM;
	if (seal)
		ok = algorithm->encrypt_init(context, bytes, kinds[kind].key_size, NULL, 0, NULL);
	else
		ok = algorithm->decrypt_init(context, bytes, kinds[kind].key_size, NULL, 0, NULL);
	if (!ok) {
		algorithm->freectx(context);
		return -ENOMEM;
	}
	key->algorithm = algorithm;
	key->context = context;
	return 0;
}

int tw_aead_key_init(struct tw_aead_key *key, enum tw_aead_kind kind, bool seal,
		     const uint8_t *bytes)
{
	int r = -ENOTSUP;

	assert(kind < TW_AEAD_KIND_COUNT);
	*key = (struct tw_aead_key){ 0 };
	if (!atomic_load(&provider_only))
		r = tw_aead_wide_new(kind, bytes, &key->wide);
	return r == -ENOTSUP ? provider_key_init(key, kind, seal, bytes) : r;
}

void tw_aead_key_deinit(struct tw_aead_key *key)
{
	tw_aead_wide_free(key->wide);
	key->wide = NULL;
	if (key->context)
		key->algorithm->freectx(key->context);
	key->context = NULL;
}

#define BLOCK 16

/*
 * Text with a body from elsewhere: what stands before the body is filled up to a whole block with
 * the body's first bytes, so that the long rest begins at a block's border, which is fast.
 */
static int feed_body(struct tw_aead_key *key, const struct tw_aead_message *message)
{
	OSSL_FUNC_cipher_update_fn *update = key->algorithm->update;
	size_t before = message->length - message->body_length, fill = -before % BLOCK, out;
	int ok = 1;

	if (fill > message->body_length)
		fill = message->body_length;
	memcpy(message->text + before, message->body, fill);
	before += fill;
	if (before > 0)
		ok &= update(key->context, message->text, &out, before, message->text, before);
	if (before < message->length)
		ok &= update(key->context, message->text + before, &out, message->length - before,
			     message->body + fill, message->length - before);
	return ok;
}

/*
 * Header and text. Where both are only authenticated and lie side by side, one call does: it spares
 * a call, and whole blocks go to the hash.
 */
static inline int feed(struct tw_aead_key *key, const struct tw_aead_message *message)
{
	OSSL_FUNC_cipher_update_fn *update = key->algorithm->update;
	size_t header_length = message->header_length, length = message->length, out;
	uint8_t *into = message->text_is_clear ? NULL : message->text;
	int ok = 1;

	if (message->body_length && message->text_is_clear)
		memcpy(message->text + length - message->body_length, message->body,
		       message->body_length);
	if (message->text_is_clear && message->header + header_length == message->text) {
		header_length += length;
		length = 0;
	}
	if (header_length > 0)
		ok &= update(key->context, NULL, &out, header_length, message->header,
			     header_length);
	if (message->body_length && !message->text_is_clear)
		ok &= feed_body(key, message);
	else if (length > 0)
		ok &= update(key->context, into, &out, length, message->text, length);
	return ok;
}

void tw_aead_seal(struct tw_aead_key *key, const uint8_t nonce[TW_NONCE_SIZE],
		  const struct tw_aead_message *message, uint8_t ret_tag[TW_AEAD_TAG_SIZE])
{
	const struct tw_aead_algorithm *algorithm = key->algorithm;
	OSSL_PARAM get_tag[2] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, ret_tag, TW_AEAD_TAG_SIZE),
		OSSL_PARAM_END,
	};
	size_t out;
	int ok;

	if (key->wide) {
		tw_aead_wide_seal(key->wide, nonce, message, ret_tag);
		return;
	}
	ok = algorithm->encrypt_init(key->context, NULL, 0, nonce, TW_NONCE_SIZE, NULL);
	ok &= feed(key, message);
	ok &= algorithm->final(key->context, ret_tag, &out, TW_AEAD_TAG_SIZE);
	ok &= algorithm->get_ctx_params(key->context, get_tag);
	assert(ok); /* else clear text would leave */
}

bool tw_aead_open(struct tw_aead_key *key, const uint8_t nonce[TW_NONCE_SIZE],
		  const struct tw_aead_message *message, const uint8_t tag[TW_AEAD_TAG_SIZE])
{
	const struct tw_aead_algorithm *algorithm = key->algorithm;
	/* The tag is only read. */
	const OSSL_PARAM set_tag[2] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, (void *)(uintptr_t)tag,
					TW_AEAD_TAG_SIZE),
		OSSL_PARAM_END,
	};
	uint8_t nothing[TW_AEAD_TAG_SIZE];
	size_t out;
	int ok;

	if (key->wide)
		return tw_aead_wide_open(key->wide, nonce, message, tag);
	ok = algorithm->decrypt_init(key->context, NULL, 0, nonce, TW_NONCE_SIZE, set_tag);
	ok &= feed(key, message);
	return ok && algorithm->final(key->context, nothing, &out, sizeof nothing) > 0;
}
