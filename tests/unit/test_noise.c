#include "hex.h"

#include "base/error.h"
#include "crypto/aead.h"
#include "crypto/noise.h"
#include "death.h"

/*
 * Published vectors of two other implementations. The first two messages are the handshake, the
 * others go there and back under the split keys, the first one from the initiator.
 */
static const struct {
	const char *source;
	const char *prologue, *initiator, *initiator_ephemeral, *responder_public;
	const char *responder, *responder_ephemeral, *hash;
	struct {
		const char *payload, *sealed;
	} messages[6];
} vectors[] = {
	{
		.source = "cacophony, vectors/cacophony.txt",
		.prologue =
			"4a6f686e2047616c74",
		.initiator =
			"e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
		.initiator_ephemeral =
			"893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
		.responder_public =
			"31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62",
		.responder =
			"4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
		.responder_ephemeral =
			"bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
		.hash =
			"669c8640d9e42a3cda2f232f78597ceefb01daa6e3df81181ccce6fc6b5026bf",
		.messages = {
			{ "4c756477696720766f6e204d69736573",
			  "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
			  "4e417bc55c7a8166c993356c1be41ef67818a292426f301556c7f26b21d25ddb"
			  "097153891a9a956cff47b83e63ad8d701c1342c209cff1ca5ecd43402762ac24"
			  "9e3bd3a4c0a145fe07cb5dae28ea13a3" },
			{ "4d757272617920526f746862617264",
			  "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
			  "af2ccf9972e22afc67aeafcd25162f7f98c363b7762e3e4cb7d272e39f27a5" },
			{ "462e20412e20486179656b",
			  "66acfc92e3197de166809e6d4d5d003dcc819a84bc3522ca53c9d9" },
			{ "4361726c204d656e676572",
			  "71f89aa6533a6de70b0826864dd75f60806ee40170c16290189eb3" },
			{ "4a65616e2d426170746973746520536179",
			  "4795a3423550c8bf00386bd496a3e2c76c10669d2a75ab8f79b5094c5412a25705" },
			{ "457567656e2042f6686d20766f6e2042617765726b",
			  "aa0bb39097555c918e40be82abc2b909eb79d9eb87adb07e268fc37323a6cf904fd01fb391" },
		},
	},
	{
		.source = "snow, tests/vectors/snow.txt",
		.prologue =
			"5468657265206973206e6f20726967687420616e642077726f6e672e20546865"
			"72652773206f6e6c792066756e20616e6420626f72696e672e",
		.initiator =
			"98faebfdc44a30b111d755708980f247e06f6fd40909fec3d675508952a3f615",
		.initiator_ephemeral =
			"01fed814d96619ca317a6011dab28db5f32cb9a29d9bdad0eaca9eb48d7b57c4",
		.responder_public =
			"229acb57fac29aef3ac9337bd1f323cb48c30f9483471975f4e6aa8bf02e7e77",
		.responder =
			"bf6aaf9bc0cd92c4c5f93ef0797f02b3bec9498cfb4a3b338f34b4d682112154",
		.responder_ephemeral =
			"9af33ff27f261005a3e57f7a32a6abd17f57834b74b22bb7b7633abe80cd1f95",
		.messages = {
			{ "8cb1797838a7e55bee256343e843befa874c504eb42eabcc843d26707fb3f051",
			  "c3b79ee926435e045ffe4b100c9b7fd2548df6dbe26cdaf9ba7672e094abd469"
			  "44b359dc54c040932dc7a5797b0efb1624fefa0161ef1fce7c196d06ae9ad192"
			  "5c1d1127ae542bf18e8f5a4e3c0b7ba242e47b9dd5779de7ed251fac157c5957"
			  "d33db53bb9e8d6f31ec0b0dc8f79855a139129acacdcea89ee8e29943c8fcde9" },
			{ "43365623b9d678439fe922abb9b75c2ded28fbaaa0ef2c0155b650bb3eca706d",
			  "24ad0a9c3e786b299f8d2bd2edb4af785d5ffa432cb278a66234cf8e8f0a902c"
			  "09a740060f734f0be6b91f563e4384a8da2e34bcc077ab29a017407dfae20a83"
			  "86bb50d3df38dbfd2b57d39e6f7f667f" },
			{ "b9eed3d18bae1234e8180140025344e29b72d32db52ca89b142a1ac47295c91e",
			  "1bb7ca95b86a472beac1fe0a203b3b1f0f0238669e89ac18819674ea34f158bd"
			  "613721e58ea4339772aaff3f060086db" },
			{ "8a0724a71789f642fc06a2af90be6dded6bf2b5ab1a32e210ef19945cd0b9b68",
			  "c57711be5a672510e6025bc0089a60d8abe47f6ae56bc7f794b8ec3d632f7a43"
			  "78450ba76584ca1f23b9ae92cb72a1e0" },
		},
	},
};

struct pair {
	struct tw_noise initiator, responder;
};

static struct tw_identity identity(const char *hex)
{
	struct tw_identity ret;
	struct tw_secret key;

	unhex(hex, key.bytes, sizeof key.bytes);
	assert_int_equal(tw_identity_from_private(&key, &ret), 0);
	return ret;
}

static void start(struct pair *pair, size_t i)
{
	struct tw_identity initiator = identity(vectors[i].initiator);
	struct tw_identity responder = identity(vectors[i].responder);
	struct tw_identity here = identity(vectors[i].initiator_ephemeral);
	struct tw_identity there = identity(vectors[i].responder_ephemeral);
	uint8_t prologue[64];
	size_t length = unhex(vectors[i].prologue, prologue, sizeof prologue);

	assert_hex(responder.public_key.bytes, vectors[i].responder_public);
	assert_int_equal(tw_noise_init(&pair->initiator, &initiator, &here.private_key,
				       &responder.public_key, prologue, length),
			 0);
	assert_int_equal(tw_noise_init(&pair->responder, &responder, &there.private_key, NULL,
				       prologue, length),
			 0);
}

static void stop(struct pair *pair)
{
	tw_noise_wipe(&pair->initiator);
	tw_noise_wipe(&pair->responder);
	for (size_t i = 0; i < sizeof *pair; i++)
		assert_int_equal(((const uint8_t *)pair)[i], 0);
}

/* One message of a vector from @from to @to. */
static void pass(struct tw_noise *from, struct tw_noise *to, const char *payload_hex,
		 const char *sealed_hex)
{
	uint8_t payload[64], message[256], opened[256];
	size_t payload_length = unhex(payload_hex, payload, sizeof payload), length, opened_length;

	assert_int_equal(
		tw_noise_write(from, payload, payload_length, message, sizeof message, &length), 0);
	assert_int_equal(length, strlen(sealed_hex) / 2);
	assert_hex(message, sealed_hex);
	assert_int_equal(tw_noise_read(to, message, length, opened, &opened_length), 0);
	assert_int_equal(opened_length, payload_length);
	assert_memory_equal(opened, payload, payload_length);
}

/* A message under a split key, with the nonces of Noise. */
static void pass_transport(const struct tw_secret *send, const struct tw_secret *receive,
			   uint8_t number, const char *payload_hex, const char *sealed_hex)
{
	uint8_t nonce[TW_NONCE_SIZE] = { [TW_NONCE_SIZE - 1] = number }, text[64];
	struct tw_aead_message message = { .text = text };
	uint8_t tag[TW_AEAD_TAG_SIZE];
	struct tw_aead_key key;

	message.length = unhex(payload_hex, text, sizeof text);
	assert_int_equal(tw_aead_key_init(&key, TW_AEAD_KIND_AES_256_GCM, true, send->bytes), 0);
	tw_aead_seal(&key, nonce, &message, tag);
	tw_aead_key_deinit(&key);
	assert_int_equal(strlen(sealed_hex) / 2, message.length + sizeof tag);
	memcpy(text + message.length, tag, sizeof tag);
	assert_hex(text, sealed_hex);
	assert_memory_equal(send, receive, sizeof *send);
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct tw_secret send[2], receive[2];
		struct pair pair;

		print_message("# %s\n", vectors[i].source);
		start(&pair, i);
		pass(&pair.initiator, &pair.responder, vectors[i].messages[0].payload,
		     vectors[i].messages[0].sealed);
		assert_memory_equal(&pair.responder.peer, &pair.initiator.self.public_key,
				    TW_KEY_SIZE);
		pass(&pair.responder, &pair.initiator, vectors[i].messages[1].payload,
		     vectors[i].messages[1].sealed);
		assert_memory_equal(pair.initiator.hash, pair.responder.hash, TW_NOISE_HASH_SIZE);
		if (vectors[i].hash)
			assert_hex(pair.initiator.hash, vectors[i].hash);
		tw_noise_split(&pair.initiator, &send[0], &receive[0]);
		tw_noise_split(&pair.responder, &send[1], &receive[1]);
		assert_memory_not_equal(&send[0], &receive[0], TW_KEY_SIZE);
		for (size_t k = 2; k < 6 && vectors[i].messages[k].payload; k++)
			pass_transport(&send[k % 2], &receive[1 - k % 2], (uint8_t)((k - 2) / 2),
				       vectors[i].messages[k].payload,
				       vectors[i].messages[k].sealed);
		stop(&pair);
	}
}

#define PAYLOAD	       "0001020304050607"
#define PAYLOAD_LENGTH 8

struct message {
	uint8_t bytes[256];
	size_t length;
};

static void write_message(struct tw_noise *noise, struct message *ret)
{
	uint8_t payload[PAYLOAD_LENGTH];

	unhex(PAYLOAD, payload, sizeof payload);
	assert_int_equal(tw_noise_write(noise, payload, sizeof payload, ret->bytes,
					sizeof ret->bytes, &ret->length),
			 0);
}

static int read_message(struct tw_noise *noise, const struct message *message)
{
	uint8_t payload[256];
	size_t length = 12345;
	int error = tw_noise_read(noise, message->bytes, message->length, payload, &length);

	if (error)
		assert_int_equal(length, 12345);
	else
		assert_hex(payload, PAYLOAD);
	return error;
}

/* Every flipped bit, cut and lengthening is refused, and the state is then as it was. */
static void refuse_damage(struct tw_noise *noise, const struct message *good)
{
	struct tw_noise before = *noise;
	struct message bad = *good;

	for (size_t bit = 0; bit < 8 * good->length; bit++) {
		/* The top bit of a point does not count in X25519, but it counts in the hash. */
		bad.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(read_message(noise, &bad), TW_E_AUTH);
		bad.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (bad.length = 0; bad.length < good->length; bad.length++)
		assert_int_equal(read_message(noise, &bad), TW_E_AUTH);
	bad.bytes[good->length] = 0;
	bad.length = good->length + 1;
	assert_int_equal(read_message(noise, &bad), TW_E_AUTH);
	assert_memory_equal(noise, &before, sizeof before);
}

static void test_damage(void **state)
{
	struct message first, second;
	struct pair pair;

	(void)state;
	start(&pair, 0);
	write_message(&pair.initiator, &first);
	assert_int_equal(first.length, PAYLOAD_LENGTH + TW_NOISE_OVERHEAD_1);
	refuse_damage(&pair.responder, &first);
	assert_int_equal(read_message(&pair.responder, &first), 0);
	write_message(&pair.responder, &second);
	assert_int_equal(second.length, PAYLOAD_LENGTH + TW_NOISE_OVERHEAD_2);
	refuse_damage(&pair.initiator, &second);
	assert_int_equal(read_message(&pair.initiator, &second), 0);
	stop(&pair);
}

/* A message of small order in place of the ephemeral key: no shared secret may come of it. */
static void test_small_order(void **state)
{
	struct message first, second;
	struct pair pair, other;

	(void)state;
	start(&pair, 0);
	write_message(&pair.initiator, &first);
	memset(first.bytes, 0, TW_KEY_SIZE);
	assert_int_equal(read_message(&pair.responder, &first), TW_E_AUTH);

	start(&other, 0);
	write_message(&other.initiator, &first);
	assert_int_equal(read_message(&other.responder, &first), 0);
	write_message(&other.responder, &second);
	memset(second.bytes, 0, TW_KEY_SIZE);
	assert_int_equal(read_message(&other.initiator, &second), TW_E_AUTH);
	stop(&pair);
	stop(&other);
}

static void test_small_order_peer(void **state)
{
	struct tw_identity self = identity(vectors[0].initiator);
	const struct tw_public_key zero = { { 0 } };
	uint8_t message[256];
	size_t length = 12345;
	struct tw_noise noise;

	(void)state;
	assert_int_equal(tw_noise_init(&noise, &self, &self.private_key, &zero, "", 0), 0);
	assert_int_equal(tw_noise_write(&noise, "", 0, message, sizeof message, &length),
			 TW_E_AUTH);
	assert_int_equal(length, 12345);
	assert_int_equal(noise.step, 0);
	tw_noise_wipe(&noise);
}

/* Another prologue, another responder, the peer's own messages sent back: all refused. */
static void test_mix_ups(void **state)
{
	struct tw_identity self = identity(vectors[0].responder);
	struct tw_identity stranger = identity(vectors[1].responder);
	struct tw_identity ephemeral = identity(vectors[0].responder_ephemeral);
	struct message first, second;
	struct tw_noise noise;
	struct pair pair;

	(void)state;
	start(&pair, 0);
	write_message(&pair.initiator, &first);

	assert_int_equal(tw_noise_init(&noise, &self, &ephemeral.private_key, NULL, "John Galu", 9),
			 0);
	assert_int_equal(read_message(&noise, &first), TW_E_AUTH);
	assert_int_equal(
		tw_noise_init(&noise, &stranger, &ephemeral.private_key, NULL, "John Galt", 9), 0);
	assert_int_equal(read_message(&noise, &first), TW_E_AUTH);
	/* The source of the vector calls itself John Galt; the right key and prologue do work. */
	assert_int_equal(tw_noise_init(&noise, &self, &ephemeral.private_key, NULL, "John Galt", 9),
			 0);
	assert_int_equal(read_message(&noise, &first), 0);

	assert_int_equal(read_message(&pair.initiator, &first), TW_E_AUTH);
	assert_int_equal(read_message(&pair.responder, &first), 0);
	write_message(&pair.responder, &second);
	/* An answer to another handshake, of the same two, with the same keys but for the ephemeral
	 * one. */
	assert_int_equal(tw_noise_init(&noise, &pair.initiator.self, &stranger.private_key,
				       &pair.responder.self.public_key, "John Galt", 9),
			 0);
	write_message(&noise, &first);
	assert_int_equal(read_message(&noise, &second), TW_E_AUTH);
	assert_int_equal(read_message(&pair.initiator, &second), 0);
	tw_noise_wipe(&noise);
	stop(&pair);
}

static void test_room(void **state)
{
	uint8_t message[256];
	size_t length = 12345;
	struct pair pair;

	(void)state;
	start(&pair, 0);
	for (size_t room = 0; room < TW_NOISE_OVERHEAD_1 + 4; room++)
		assert_int_equal(tw_noise_write(&pair.initiator, "tide", 4, message, room, &length),
				 -ENOBUFS);
	assert_int_equal(length, 12345);
	assert_int_equal(tw_noise_write(&pair.initiator, "tide", 4, message,
					TW_NOISE_OVERHEAD_1 + 4, &length),
			 0);
	assert_int_equal(length, TW_NOISE_OVERHEAD_1 + 4);
	stop(&pair);
}

static void split_early(void *context)
{
	struct tw_secret send, receive;

	tw_noise_split(context, &send, &receive);
}

static void write_again(void *context)
{
	struct message message;

	write_message(context, &message);
}

static void test_order(void **state)
{
	struct message first;
	struct pair pair;

	(void)state;
	start(&pair, 0);
	assert_true(aborts(split_early, &pair.initiator));
	assert_true(aborts(write_again, &pair.responder));
	write_message(&pair.initiator, &first);
	assert_true(aborts(write_again, &pair.initiator));
	assert_true(aborts(split_early, &pair.initiator));
	stop(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),	    cmocka_unit_test(test_damage),
		cmocka_unit_test(test_small_order), cmocka_unit_test(test_small_order_peer),
		cmocka_unit_test(test_mix_ups),	    cmocka_unit_test(test_room),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
