#include "unit.h"

#include "crypto/cipher.h"

static void test_names(void **state)
{
	static const char *const wrong[] = { "", "None", "64", "128 ", "0", "1280", "aes" };
	enum tw_cipher cipher;

	(void)state;
	assert_string_equal(tw_cipher_name(TW_CIPHER_NONE), "none");
	assert_string_equal(tw_cipher_name(TW_CIPHER_256), "256");
	for (unsigned i = 0; i < TW_CIPHER_COUNT; i++) {
		cipher = TW_CIPHER_COUNT;
		assert_true(tw_cipher_parse(tw_cipher_name((enum tw_cipher)i), &cipher));
		assert_int_equal(cipher, i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		cipher = TW_CIPHER_AUTH;
		assert_false(tw_cipher_parse(wrong[i], &cipher));
		assert_int_equal(cipher, TW_CIPHER_AUTH);
	}
}

static void test_choice(void **state)
{
	const uint64_t gcm = TW_AEAD_AES_GCM, chacha = TW_AEAD_CHACHA20_POLY1305;

	(void)state;
	assert_true(tw_aead_supported() & chacha);
	assert_int_equal(tw_aead_supported() & ~(gcm | chacha), 0);
	assert_int_equal(tw_aead_choose(gcm | chacha, gcm | chacha), gcm);
	assert_int_equal(tw_aead_choose(gcm | chacha, chacha), chacha);
	assert_int_equal(tw_aead_choose(chacha, gcm | chacha), chacha);
	assert_int_equal(tw_aead_choose(gcm, gcm | chacha), gcm);
	assert_int_equal(tw_aead_choose(gcm, chacha), 0);
	assert_int_equal(tw_aead_choose(0, gcm | chacha), 0);
	/* A future peer offers what nobody knows today. */
	assert_int_equal(tw_aead_choose(gcm | chacha, UINT64_MAX), gcm);
	assert_int_equal(tw_aead_choose(UINT64_MAX, UINT64_C(1) << 40), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_choice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
