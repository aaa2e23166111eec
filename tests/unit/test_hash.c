#include "hex.h"

#include "crypto/hash.h"

/* FIPS 180-2, B.1 and B.2, and the empty message. */
static const struct {
	const char *message, *digest;
} hashes[] = {
	{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
};

static void test_hash(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
		size_t length = strlen(hashes[i].message);

		/* In every split of two. */
		for (size_t cut = 0; cut <= length; cut++) {
			uint8_t digest[TW_HASH_SIZE];
			struct tw_hash hash;

			tw_hash_init(&hash);
			tw_hash_update(&hash, hashes[i].message, cut);
			tw_hash_update(&hash, hashes[i].message + cut, length - cut);
			tw_hash_final(&hash, digest);
			assert_hex(digest, hashes[i].digest);
		}
	}
}

/* RFC 4231, 4.3 and 4.7: a short key, and one longer than a block. */
static void test_hmac(void **state)
{
	static const char question[] = "what do ya want for nothing?";
	static const char larger[] = "Test Using Larger Than Block-Size Key - Hash Key First";
	uint8_t key[131], digest[TW_HASH_SIZE];
	struct tw_hmac hmac;

	(void)state;
	tw_hmac_init(&hmac, "Jefe", 4);
	tw_hmac_update(&hmac, question, strlen(question));
	tw_hmac_final(&hmac, digest);
	assert_hex(digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");

	memset(key, 0xaa, sizeof key);
	tw_hmac_init(&hmac, key, sizeof key);
	tw_hmac_update(&hmac, larger, strlen(larger));
	tw_hmac_final(&hmac, digest);
	assert_hex(digest, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* RFC 5869, A.1 to A.3. */
static const struct {
	const char *input, *salt, *info, *key, *output;
} derivations[] = {
	{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
	  "f0f1f2f3f4f5f6f7f8f9",
	  "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
	  "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865" },
	{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	  "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
	  "404142434445464748494a4b4c4d4e4f",
	  "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
	  "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
	  "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
	  "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
	  "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef"
	  "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
	  "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
	  "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
	  "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
	  "cc30c58179ec3e87c14c01d5c1f3434f1d87" },
	{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
	  "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
	  "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8" },
};

static void test_hkdf(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(derivations); i++) {
		uint8_t input[80], salt[80], info[80], key[TW_HASH_SIZE], output[82];
		size_t input_length = unhex(derivations[i].input, input, sizeof input);
		size_t salt_length = unhex(derivations[i].salt, salt, sizeof salt);
		size_t info_length = unhex(derivations[i].info, info, sizeof info);

		tw_hkdf_extract(salt, salt_length, input, input_length, key);
		assert_hex(key, derivations[i].key);
		tw_hkdf_expand(key, info, info_length, output, strlen(derivations[i].output) / 2);
		assert_hex(output, derivations[i].output);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_hkdf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
