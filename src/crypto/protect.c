#include "crypto/protect.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_STATIC_LINKING_ONLY /* the state of a hash lies on the stack */
#include <xxhash.h>
#ifdef __x86_64__
/* The same functions, with the widest vectors that the processor has. */
#include <xxh_x86dispatch.h>
#endif

#include "base/error.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

struct tw_packet_key {
	struct tw_aead_key aead;
	uint8_t nonce_base[TW_NONCE_SIZE];
};

static bool is_known(enum tw_cipher cipher, enum tw_aead aead)
{
	return cipher > TW_CIPHER_NONE && cipher < TW_CIPHER_COUNT &&
	       (aead == TW_AEAD_AES_GCM || aead == TW_AEAD_CHACHA20_POLY1305);
}

static enum tw_aead_kind kind_of(enum tw_cipher cipher, enum tw_aead aead)
{
	if (aead == TW_AEAD_CHACHA20_POLY1305)
		return TW_AEAD_KIND_CHACHA20_POLY1305;
	return cipher == TW_CIPHER_256 ? TW_AEAD_KIND_AES_256_GCM : TW_AEAD_KIND_AES_128_GCM;
}

static void expand(const struct tw_secret *secret, const char *label, void *ret, size_t length)
{
	tw_hkdf_expand(secret->bytes, label, strlen(label), ret, length);
}

/*
 * Makes the key of the generation that @secret stands for and moves @secret on to the next one. On
 * failure @secret stays.
 */
static int packet_key_new(enum tw_aead_kind kind, bool seal, struct tw_secret *secret,
			  struct tw_packet_key **ret)
{
	struct tw_packet_key *key = malloc(sizeof *key);
	struct tw_secret bytes, next;
	int error;

	if (!key)
		return -ENOMEM;
	expand(secret, "tw key", bytes.bytes, tw_aead_key_size(kind));
	error = tw_aead_key_init(&key->aead, kind, seal, bytes.bytes);
	tw_wipe(&bytes, sizeof bytes);
	if (error) {
		free(key);
		return error;
	}
	expand(secret, "tw iv", key->nonce_base, sizeof key->nonce_base);
	expand(secret, "tw next", next.bytes, sizeof next.bytes);
	*secret = next;
	tw_wipe(&next, sizeof next);
	*ret = key;
	return 0;
}

static void packet_key_free(struct tw_packet_key *key)
{
	if (!key)
		return;
	tw_aead_key_deinit(&key->aead);
	tw_wipe(key, sizeof *key);
	free(key);
}

static inline void make_nonce(const struct tw_packet_key *key, uint64_t packet_number,
			      uint8_t ret[TW_NONCE_SIZE])
{
	uint64_t low;

	memcpy(ret, key->nonce_base, TW_NONCE_SIZE);
	memcpy(&low, ret + TW_NONCE_SIZE - sizeof low, sizeof low);
	low ^= htobe64(packet_number);
	memcpy(ret + TW_NONCE_SIZE - sizeof low, &low, sizeof low);
}

static void checksum(uint64_t packet_number, const struct tw_aead_message *message,
		     uint8_t ret[TW_CHECKSUM_SIZE])
{
	uint64_t sum;

	if (message->header + message->header_length == message->text) {
		sum = XXH3_64bits_withSeed(message->header,
					   message->header_length + message->length, packet_number);
	} else {
		XXH3_state_t state;

		XXH3_INITSTATE(&state);
		XXH3_64bits_reset_withSeed(&state, packet_number);
		XXH3_64bits_update(&state, message->header, message->header_length);
		XXH3_64bits_update(&state, message->text, message->length);
		sum = XXH3_64bits_digest(&state);
	}
	sum = htobe64(sum);
	memcpy(ret, &sum, TW_CHECKSUM_SIZE);
}

size_t tw_cipher_tag_size(enum tw_cipher cipher)
{
	return cipher == TW_CIPHER_NONE ? TW_CHECKSUM_SIZE : TW_TAG_SIZE;
}

int tw_seal_chain_init(struct tw_seal_chain *chain, enum tw_cipher cipher, enum tw_aead aead,
		       const struct tw_secret *secret)
{
	struct tw_seal_chain new = {
		.cipher = cipher,
		.aead = aead,
		.key_packets_max = TW_KEY_PACKETS_MAX,
	};
	int error = 0;

	if (cipher != TW_CIPHER_NONE) {
		if (!is_known(cipher, aead) || !secret)
			return -EINVAL;
		new.secret = *secret;
		error = packet_key_new(kind_of(cipher, aead), true, &new.secret, &new.key);
	}
	if (!error)
		*chain = new;
	tw_wipe(&new, sizeof new);
	return error;
}

void tw_seal_chain_deinit(struct tw_seal_chain *chain)
{
	packet_key_free(chain->key);
	tw_wipe(chain, sizeof *chain);
}

int tw_open_chain_init(struct tw_open_chain *chain, enum tw_cipher cipher, enum tw_aead aead,
		       const struct tw_secret *secret)
{
	struct tw_open_chain new = { .cipher = cipher, .aead = aead };
	int error = 0;

	if (cipher != TW_CIPHER_NONE) {
		if (!is_known(cipher, aead) || !secret)
			return -EINVAL;
		new.secret = *secret;
		error = packet_key_new(kind_of(cipher, aead), false, &new.secret, &new.current);
		if (!error)
			error = packet_key_new(kind_of(cipher, aead), false, &new.secret,
					       &new.next);
		if (error)
			packet_key_free(new.current);
	}
	if (!error) {
		new.phase_first = UINT64_MAX;
		*chain = new;
	}
	tw_wipe(&new, sizeof new);
	return error;
}

void tw_open_chain_deinit(struct tw_open_chain *chain)
{
	packet_key_free(chain->current);
	packet_key_free(chain->next);
	packet_key_free(chain->previous);
	tw_wipe(chain, sizeof *chain);
}

static void flip(struct tw_seal_chain *chain, uint64_t packet_number)
{
	struct tw_packet_key *key;

	/* On failure the old key stays; the next packet tries again. */
	if (packet_key_new(kind_of(chain->cipher, chain->aead), true, &chain->secret, &key))
		return;
	packet_key_free(chain->key);
	chain->key = key;
	chain->phase = !chain->phase;
	chain->phase_acked = false;
	chain->phase_first = packet_number;
}

bool tw_seal_chain_phase(struct tw_seal_chain *chain, uint64_t packet_number)
{
	assert(packet_number >= chain->next_min);
	if (chain->cipher != TW_CIPHER_NONE && chain->phase_acked &&
	    packet_number - chain->phase_first >= chain->key_packets_max)
		flip(chain, packet_number);
	return chain->phase;
}

void tw_seal_chain_acked(struct tw_seal_chain *chain, uint64_t packet_number)
{
	/* A number never used is a peer's lie; it moves nothing. */
	if (packet_number >= chain->phase_first && packet_number < chain->next_min)
		chain->phase_acked = true;
}

void tw_seal_gather(struct tw_seal_chain *chain, uint64_t packet_number, const uint8_t *header,
		    size_t header_length, const struct tw_payload *payload)
{
	struct tw_aead_message message = {
		.header = header,
		.header_length = header_length,
		.text = payload->bytes,
		.length = payload->length,
		.body = payload->body,
		.body_length = payload->body_length,
		.text_is_clear = chain->cipher == TW_CIPHER_AUTH,
	};
	uint8_t *tag = payload->bytes + payload->length, nonce[TW_NONCE_SIZE];

	assert(packet_number >= chain->next_min && packet_number < UINT64_MAX);
	chain->next_min = packet_number + 1;
	if (chain->cipher == TW_CIPHER_NONE) {
		if (payload->body_length)
			memcpy(tag - payload->body_length, payload->body, payload->body_length);
		checksum(packet_number, &message, tag);
		return;
	}
	make_nonce(chain->key, packet_number, nonce);
	tw_aead_seal(&chain->key->aead, nonce, &message, tag);
}

void tw_seal(struct tw_seal_chain *chain, uint64_t packet_number, const uint8_t *header,
	     size_t header_length, uint8_t *payload, size_t length)
{
	const struct tw_payload whole = { .bytes = payload, .length = length };

	tw_seal_gather(chain, packet_number, header, header_length, &whole);
}

/* Without memory @next stays NULL: packets of the next phase are dropped, each is a new try. */
static void make_next(struct tw_open_chain *chain)
{
	(void)packet_key_new(kind_of(chain->cipher, chain->aead), false, &chain->secret,
			     &chain->next);
}

/*
 * The key a packet must have been sealed with. Numbers grow with the phases, so a packet of the
 * other phase belongs to the next one when it lies above the first of this phase, else to the
 * previous one. NULL: that key is gone.
 */
static struct tw_packet_key *key_of(struct tw_open_chain *chain, bool phase, uint64_t packet_number)
{
	if (phase == chain->phase)
		return chain->current;
	if (packet_number < chain->phase_first)
		return chain->previous;
	if (!chain->next)
		make_next(chain);
	return chain->next;
}

/* A packet of the next phase is genuine: the keys move up, and the one after is made ready. */
static void advance(struct tw_open_chain *chain, uint64_t packet_number)
{
	packet_key_free(chain->previous);
	chain->previous = chain->current;
	chain->current = chain->next;
	chain->next = NULL;
	chain->phase = !chain->phase;
	chain->phase_first = packet_number;
	make_next(chain);
}

static int open_protected(struct tw_open_chain *chain, bool phase, uint64_t packet_number,
			  const struct tw_aead_message *message)
{
	struct tw_packet_key *key = key_of(chain, phase, packet_number);
	uint8_t nonce[TW_NONCE_SIZE];

	if (!key)
		return TW_E_AUTH;
	make_nonce(key, packet_number, nonce);
	if (!tw_aead_open(&key->aead, nonce, message, message->text + message->length))
		return TW_E_AUTH;
	if (key == chain->next)
		advance(chain, packet_number);
	else if (key == chain->current && packet_number < chain->phase_first)
		chain->phase_first = packet_number;
	return 0;
}

/* The phase bit of an unprotected packet is always clear. */
static int open_unprotected(bool phase, uint64_t packet_number,
			    const struct tw_aead_message *message)
{
	uint8_t sum[TW_CHECKSUM_SIZE];

	checksum(packet_number, message, sum);
	return !phase && memcmp(sum, message->text + message->length, sizeof sum) == 0 ? 0
										       : TW_E_AUTH;
}

int tw_open(struct tw_open_chain *chain, bool phase, uint64_t packet_number, const uint8_t *header,
	    size_t header_length, uint8_t *payload, size_t length)
{
	size_t tag_size = tw_cipher_tag_size(chain->cipher);
	struct tw_aead_message message = {
		.header = header,
		.header_length = header_length,
		.text = payload,
		.length = length - tag_size,
		.text_is_clear = chain->cipher == TW_CIPHER_AUTH,
	};
	int error;

	if (length < tag_size)
		error = TW_E_AUTH;
	else if (chain->cipher == TW_CIPHER_NONE)
		error = open_unprotected(phase, packet_number, &message);
	else
		error = open_protected(chain, phase, packet_number, &message);
	if (error)
		chain->failures++;
	return error;
}
