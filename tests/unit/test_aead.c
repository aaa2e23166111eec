#include "hex.h"

#include "crypto/aead.h"

#define ZERO_16 "00000000000000000000000000000000"
#define PLAIN_60                                                           \
	"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" \
	"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define MACSEC_HEADER                                                                              \
	"d609b1f056637a0d46df998d88e5222ab2c2846512153524c0895e8108000f101112131415161718191a1b1c" \
	"1d1e1f202122232425262728292a2b2c2d2e2f30313233340001"

/*
 * McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B (the vectors of the
 * NIST submission, as RFC 5116 uses the mode); IEEE 802.1 "MACsec GCM-AES Test Vectors"
 * (2011), 2.1.1 and 2.1.2, where all is authenticated data; RFC 8439, 2.8.2.
 */
static const struct {
	const char *name;
	enum tw_aead_kind kind;
	const char *key, *nonce, *header, *plain, *sealed, *tag;
} cases[] = {
	{ "GCM 1", TW_AEAD_KIND_AES_128_GCM, ZERO_16, "000000000000000000000000", "", "", "",
	  "58e2fccefa7e3061367f1d57a4e7455a" },
	{ "GCM 2", TW_AEAD_KIND_AES_128_GCM, ZERO_16, "000000000000000000000000", "", ZERO_16,
	  "0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf" },
	{ "GCM 3", TW_AEAD_KIND_AES_128_GCM, "feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888", "", PLAIN_60 "1aafd255",
	  "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
	  "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
	  "4d5c2af327cd64a62cf35abd2ba6fab4" },
	{ "GCM 4", TW_AEAD_KIND_AES_128_GCM, "feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", PLAIN_60,
	  "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
	  "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
	  "5bc94fbc3221a5db94fae95ae7121a47" },
	{ "GCM 13", TW_AEAD_KIND_AES_256_GCM, ZERO_16 ZERO_16, "000000000000000000000000", "", "",
	  "", "530f8afbc74536b9a963b4f1c4cb738b" },
	{ "GCM 14", TW_AEAD_KIND_AES_256_GCM, ZERO_16 ZERO_16, "000000000000000000000000", "",
	  ZERO_16, "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919" },
	{ "GCM 15", TW_AEAD_KIND_AES_256_GCM,
	  "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888", "", PLAIN_60 "1aafd255",
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
	  "b094dac5d93471bdec1a502270e3cc6c" },
	{ "GCM 16", TW_AEAD_KIND_AES_256_GCM,
	  "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", PLAIN_60,
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
	  "76fc6ece0f4e1768cddf8853bb2d551b" },
	{ "GMAC 128", TW_AEAD_KIND_AES_128_GCM, "ad7a2bd03eac835a6f620fdcb506b345",
	  "12153524c0895e81b2c28465", MACSEC_HEADER, "", "", "f09478a9b09007d06f46e9b6a1da25dd" },
	{ "GMAC 256", TW_AEAD_KIND_AES_256_GCM,
	  "e3c08a8f06c6e3ad95a70557b23f75483ce33021a9c72b7025666204c69c0b72",
	  "12153524c0895e81b2c28465", MACSEC_HEADER, "", "", "2f0bc5af409e06d609ea8b7d0fa5ea50" },
	{ "ChaCha20-Poly1305", TW_AEAD_KIND_CHACHA20_POLY1305,
	  "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	  "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
	  "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
	  "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
	  "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
	  "637265656e20776f756c642062652069742e",
	  "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
	  "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	  "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
	  "3ff4def08e4b7a9de576d26586cec64b6116",
	  "1ae10b594f09e26a7e902ecbd0600691" },
};

struct keys {
	struct tw_aead_key seal, open;
};

static void keys_init(struct keys *keys, size_t i)
{
	uint8_t bytes[32];

	assert_int_equal(unhex(cases[i].key, bytes, sizeof bytes), tw_aead_key_size(cases[i].kind));
	assert_int_equal(tw_aead_key_init(&keys->seal, cases[i].kind, true, bytes), 0);
	assert_int_equal(tw_aead_key_init(&keys->open, cases[i].kind, false, bytes), 0);
}

static void keys_deinit(struct keys *keys)
{
	tw_aead_key_deinit(&keys->seal);
	tw_aead_key_deinit(&keys->open);
}

/* Twice with the same key: nothing of a message may stay in the context. */
static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t nonce[TW_NONCE_SIZE], header[80], text[128], tag[TW_AEAD_TAG_SIZE];
		struct tw_aead_message message = { .header = header, .text = text };
		struct keys keys;

		print_message("# %s\n", cases[i].name);
		keys_init(&keys, i);
		unhex(cases[i].nonce, nonce, sizeof nonce);
		message.header_length = unhex(cases[i].header, header, sizeof header);
		for (int round = 0; round < 2; round++) {
			message.length = unhex(cases[i].plain, text, sizeof text);
			tw_aead_seal(&keys.seal, nonce, &message, tag);
			assert_hex(text, cases[i].sealed);
			assert_hex(tag, cases[i].tag);
			assert_true(tw_aead_open(&keys.open, nonce, &message, tag));
			assert_hex(text, cases[i].plain);
			tag[round] ^= 0x80;
			assert_false(tw_aead_open(&keys.open, nonce, &message, tag));
		}
		keys_deinit(&keys);
	}
}

/* Header and clear text give the same tag side by side, apart, and as one header. */
static void test_clear_text(void **state)
{
	uint8_t nonce[TW_NONCE_SIZE], bytes[128], apart[128], tag[TW_AEAD_TAG_SIZE];
	size_t length;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct keys keys;

		if (strncmp(cases[i].name, "GMAC", 4) != 0)
			continue;
		keys_init(&keys, i);
		unhex(cases[i].nonce, nonce, sizeof nonce);
		length = unhex(cases[i].header, bytes, sizeof bytes);
		for (size_t cut = 0; cut <= length; cut++) {
			struct tw_aead_message one = {
				.header = bytes,
				.header_length = cut,
				.text = bytes + cut,
				.length = length - cut,
				.text_is_clear = true,
			};
			struct tw_aead_message two = one;

			two.text = apart;
			memcpy(apart, bytes + cut, length - cut);
			tw_aead_seal(&keys.seal, nonce, &one, tag);
			assert_hex(tag, cases[i].tag);
			assert_hex(bytes, cases[i].header);
			assert_true(tw_aead_open(&keys.open, nonce, &two, tag));
			memset(tag, 0, sizeof tag);
			tw_aead_seal(&keys.seal, nonce, &two, tag);
			assert_hex(tag, cases[i].tag);
			assert_true(tw_aead_open(&keys.open, nonce, &one, tag));
			bytes[cut / 2] ^= 1;
			assert_false(tw_aead_open(&keys.open, nonce, &one, tag));
			bytes[cut / 2] ^= 1;
		}
		keys_deinit(&keys);
	}
}

/*
 * Whatever this machine has that is faster than the provider gives the same bytes: all lengths up
 * to beyond a turn of the widest loop, with headers of ours and others, whole or with a body from
 * elsewhere, encrypted or only authenticated.
 */
static void test_ways_agree(void **state)
{
	static uint8_t body[1600], one[1600], two[1600];
	uint8_t bytes[32], nonce[TW_NONCE_SIZE], header[40], tags[2][TW_AEAD_TAG_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (uint8_t)(i * 167 + (i >> 7));
	memcpy(bytes, body + 100, sizeof bytes);
	memcpy(nonce, body + 200, sizeof nonce);
	memcpy(header, body + 300, sizeof header);
	for (unsigned round = 0; round < 2 * TW_AEAD_KIND_COUNT; round++) {
		enum tw_aead_kind kind = round / 2;
		struct tw_aead_key fast, provided, open;

		assert_int_equal(tw_aead_key_init(&fast, kind, true, bytes), 0);
		assert_int_equal(tw_aead_key_init(&open, kind, false, bytes), 0);
		tw_aead_provider_only(true);
		assert_int_equal(tw_aead_key_init(&provided, kind, true, bytes), 0);
		tw_aead_provider_only(false);
		for (size_t length = 0; length < sizeof body; length += 1 + length / 300) {
			struct tw_aead_message message = {
				.header = header,
				.header_length = length % sizeof header,
				.text = one,
				.length = length,
				.body = body + length % 7,
				.body_length = length % 3 ? length * 3 / 4 : 0,
				.text_is_clear = round % 2,
			};

			nonce[3] = (uint8_t)length;
			memcpy(one, body, length);
			memcpy(two, body, length);
			tw_aead_seal(&fast, nonce, &message, tags[0]);
			message.text = two;
			tw_aead_seal(&provided, nonce, &message, tags[1]);
			assert_memory_equal(one, two, length);
			assert_memory_equal(tags[0], tags[1], sizeof tags[0]);
			message.body_length = 0;
			assert_true(tw_aead_open(&open, nonce, &message, tags[0]));
			message.text = one;
			tags[0][length % sizeof tags[0]] ^= 1;
			assert_false(tw_aead_open(&open, nonce, &message, tags[0]));
		}
		tw_aead_key_deinit(&fast);
		tw_aead_key_deinit(&open);
		tw_aead_key_deinit(&provided);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_clear_text),
		cmocka_unit_test(test_ways_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
