/*
 * The tokens of the handshake stand beside the lines that do them. Messages are made and read on a
 * copy of the state, which replaces it only if all went well.
 */
#include "crypto/noise.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

static const char protocol_name[] = "Noise_IK_25519_AESGCM_SHA256";
static_assert(sizeof protocol_name - 1 <= TW_NOISE_HASH_SIZE,
	      "a longer name would have to be hashed");
static_assert(TW_NOISE_HASH_SIZE == TW_HASH_SIZE && TW_NOISE_HASH_SIZE == TW_KEY_SIZE, "SHA-256");

#define TAG TW_AEAD_TAG_SIZE

static void mix_hash(struct tw_noise *noise, const void *bytes, size_t length)
{
	struct tw_hash hash;

	tw_hash_init(&hash);
	tw_hash_update(&hash, noise->hash, sizeof noise->hash);
	tw_hash_update(&hash, bytes, length);
	tw_hash_final(&hash, noise->hash);
}

/* The HKDF of Noise (revision 34, 4.3) with two outputs is the one of RFC 5869 without info. */
static void derive_two(const uint8_t chaining_key[TW_HASH_SIZE], const void *input, size_t length,
		       uint8_t ret[2 * TW_HASH_SIZE])
{
	uint8_t extracted[TW_HASH_SIZE];

	tw_hkdf_extract(chaining_key, TW_HASH_SIZE, input, length, extracted);
	tw_hkdf_expand(extracted, "", 0, ret, 2 * TW_HASH_SIZE);
	tw_wipe(extracted, sizeof extracted);
}

/* One of ee, es, se, ss: MixKey(DH(@ours, @theirs)). */
static int mix_dh(struct tw_noise *noise, const struct tw_identity *ours,
		  const struct tw_public_key *theirs)
{
	uint8_t out[2 * TW_HASH_SIZE];
	struct tw_secret shared;
	int error = tw_x25519(&ours->private_key, theirs, &shared);

	if (error)
		return error;
	derive_two(noise->chaining_key, shared.bytes, sizeof shared.bytes, out);
	memcpy(noise->chaining_key, out, TW_HASH_SIZE);
	memcpy(noise->key.bytes, out + TW_HASH_SIZE, TW_HASH_SIZE);
	noise->nonce = 0;
	tw_wipe(out, sizeof out);
	tw_wipe(&shared, sizeof shared);
	return 0;
}

/* Four zero bytes and the counter, big-endian. */
static void next_nonce(struct tw_noise *noise, uint8_t ret[TW_NONCE_SIZE])
{
	uint64_t number = noise->nonce++;

	memset(ret, 0, TW_NONCE_SIZE);
	for (size_t i = TW_NONCE_SIZE; number > 0; number >>= 8)
		ret[--i] = (uint8_t)number;
}

/* EncryptAndHash: @length bytes of @plain to @length + TAG bytes at @ret. */
static int encrypt_and_hash(struct tw_noise *noise, const void *plain, size_t length, uint8_t *ret)
{
	struct tw_aead_message message = {
		.header = noise->hash,
		.header_length = sizeof noise->hash,
		.text = ret,
		.length = length,
	};
	uint8_t nonce[TW_NONCE_SIZE];
	struct tw_aead_key key;
	int error = tw_aead_key_init(&key, TW_AEAD_KIND_AES_256_GCM, true, noise->key.bytes);

	if (error)
		return error;
	next_nonce(noise, nonce);
	if (length > 0)
		memcpy(ret, plain, length);
	tw_aead_seal(&key, nonce, &message, ret + length);
	tw_aead_key_deinit(&key);
	mix_hash(noise, ret, length + TAG);
	return 0;
}

/* DecryptAndHash: @length bytes with their tag to @length - TAG bytes at @ret. TW_E_AUTH. */
static int decrypt_and_hash(struct tw_noise *noise, const uint8_t *bytes, size_t length,
			    uint8_t *ret)
{
	struct tw_aead_message message = {
		.header = noise->hash,
		.header_length = sizeof noise->hash,
		.text = ret,
		.length = length - TAG,
	};
	uint8_t nonce[TW_NONCE_SIZE];
	struct tw_aead_key key;
	bool genuine;
	int error = tw_aead_key_init(&key, TW_AEAD_KIND_AES_256_GCM, false, noise->key.bytes);

	if (error)
		return error;
	next_nonce(noise, nonce);
	memcpy(ret, bytes, length - TAG);
	genuine = tw_aead_open(&key, nonce, &message, bytes + length - TAG);
	tw_aead_key_deinit(&key);
	if (!genuine)
		return TW_E_AUTH;
	mix_hash(noise, bytes, length);
	return 0;
}

int tw_noise_init(struct tw_noise *noise, const struct tw_identity *self,
		  const struct tw_secret *ephemeral, const struct tw_public_key *peer,
		  const void *prologue, size_t prologue_length)
{
	int error;

	memset(noise, 0, sizeof *noise);
	error = tw_identity_from_private(ephemeral, &noise->ephemeral);
	if (error)
		return error;
	noise->initiator = peer != NULL;
	noise->self = *self;
	if (peer)
		noise->peer = *peer;
	memcpy(noise->hash, protocol_name, sizeof protocol_name - 1);
	memcpy(noise->chaining_key, noise->hash, sizeof noise->chaining_key);
	mix_hash(noise, prologue, prologue_length);
	mix_hash(noise, peer ? peer->bytes : self->public_key.bytes, TW_KEY_SIZE); /* <- s */
	return 0;
}

void tw_noise_wipe(struct tw_noise *noise)
{
	tw_wipe(noise, sizeof *noise);
}

/* -> e, es, s, ss, payload */
static int write_first(struct tw_noise *noise, const void *payload, size_t payload_length,
		       uint8_t *at)
{
	const struct tw_identity *self = &noise->self, *ephemeral = &noise->ephemeral;
	int error;

	memcpy(at, ephemeral->public_key.bytes, TW_KEY_SIZE); /* e */
	mix_hash(noise, at, TW_KEY_SIZE);
	at += TW_KEY_SIZE;
	error = mix_dh(noise, ephemeral, &noise->peer); /* es */
	if (!error)
		error = encrypt_and_hash(noise, self->public_key.bytes, TW_KEY_SIZE, at); /* s */
	if (!error)
		error = mix_dh(noise, self, &noise->peer); /* ss */
	at += TW_KEY_SIZE + TAG;
	return error ? error : encrypt_and_hash(noise, payload, payload_length, at);
}

static int read_first(struct tw_noise *noise, const uint8_t *at, size_t length, uint8_t *ret)
{
	const struct tw_identity *self = &noise->self;
	int error;

	memcpy(noise->peer_ephemeral.bytes, at, TW_KEY_SIZE); /* e */
	mix_hash(noise, at, TW_KEY_SIZE);
	at += TW_KEY_SIZE;
	error = mix_dh(noise, self, &noise->peer_ephemeral); /* es */
	if (!error)
		error = decrypt_and_hash(noise, at, TW_KEY_SIZE + TAG, noise->peer.bytes); /* s */
	if (!error)
		error = mix_dh(noise, self, &noise->peer); /* ss */
	at += TW_KEY_SIZE + TAG;
	return error ? error : decrypt_and_hash(noise, at, length - 2 * TW_KEY_SIZE - TAG, ret);
}

/* <- e, ee, se, payload */
static int write_second(struct tw_noise *noise, const void *payload, size_t payload_length,
			uint8_t *at)
{
	const struct tw_identity *ephemeral = &noise->ephemeral;
	int error;

	memcpy(at, ephemeral->public_key.bytes, TW_KEY_SIZE); /* e */
	mix_hash(noise, at, TW_KEY_SIZE);
	at += TW_KEY_SIZE;
	error = mix_dh(noise, ephemeral, &noise->peer_ephemeral); /* ee */
	if (!error)
		error = mix_dh(noise, ephemeral, &noise->peer); /* se */
	return error ? error : encrypt_and_hash(noise, payload, payload_length, at);
}

static int read_second(struct tw_noise *noise, const uint8_t *at, size_t length, uint8_t *ret)
{
	int error;

	memcpy(noise->peer_ephemeral.bytes, at, TW_KEY_SIZE); /* e */
	mix_hash(noise, at, TW_KEY_SIZE);
	at += TW_KEY_SIZE;
	error = mix_dh(noise, &noise->ephemeral, &noise->peer_ephemeral); /* ee */
	if (!error)
		error = mix_dh(noise, &noise->self, &noise->peer_ephemeral); /* se */
	return error ? error : decrypt_and_hash(noise, at, length - TW_KEY_SIZE, ret);
}

int tw_noise_write(struct tw_noise *noise, const void *payload, size_t payload_length,
		   uint8_t *message, size_t room, size_t *ret_length)
{
	size_t overhead = noise->initiator ? TW_NOISE_OVERHEAD_1 : TW_NOISE_OVERHEAD_2;
	struct tw_noise next = *noise;
	int error;

	assert(noise->step == (noise->initiator ? 0 : 1));
	if (room < overhead || room - overhead < payload_length)
		return -ENOBUFS;
	if (noise->initiator)
		error = write_first(&next, payload, payload_length, message);
	else
		error = write_second(&next, payload, payload_length, message);
	if (!error) {
		*noise = next;
		noise->step++;
		*ret_length = overhead + payload_length;
	}
	tw_wipe(&next, sizeof next);
	return error;
}

int tw_noise_read(struct tw_noise *noise, const uint8_t *message, size_t length, uint8_t *payload,
		  size_t *ret_length)
{
	size_t overhead = noise->initiator ? TW_NOISE_OVERHEAD_2 : TW_NOISE_OVERHEAD_1;
	struct tw_noise next;
	int error;

	assert(noise->step == (noise->initiator ? 1 : 0));
	if (length < overhead)
		return TW_E_AUTH;
	next = *noise;
	if (noise->initiator)
		error = read_second(&next, message, length, payload);
	else
		error = read_first(&next, message, length, payload);
	if (!error) {
		*noise = next;
		noise->step++;
		*ret_length = length - overhead;
	}
	tw_wipe(&next, sizeof next);
	return error;
}

void tw_noise_split(struct tw_noise *noise, struct tw_secret *ret_send,
		    struct tw_secret *ret_receive)
{
	uint8_t out[2 * TW_HASH_SIZE];

	assert(noise->step == 2);
	derive_two(noise->chaining_key, "", 0, out);
	memcpy(noise->initiator ? ret_send->bytes : ret_receive->bytes, out, TW_KEY_SIZE);
	memcpy(noise->initiator ? ret_receive->bytes : ret_send->bytes, out + TW_HASH_SIZE,
	       TW_KEY_SIZE);
	tw_wipe(out, sizeof out);
}
