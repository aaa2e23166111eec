#include "hex.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "base/random.h"
#include "crypto/siphash.h"

#define KEY "000102030405060708090a0b0c0d0e0f"

/* From the authors' vectors for 128 bits: the bytes 0, 1, 2, ..., so many of them. */
static const struct {
	size_t length;
	const char *result;
} vectors[] = {
	{ 0, "a3817f04ba25a8e66df67214c7550293" },
	{ 1, "da87c1d86b99af44347659119b22fc45" },
	{ 2, "8177228da4a45dc7fca38bdef60affe4" },
	{ 3, "9c70b60c5267a94e5f33b6b02985ed51" },
};

static void test_vectors(void **state)
{
	uint8_t key[TW_SIPHASH_KEY], bytes[16], result[TW_SIPHASH_SIZE];

	(void)state;
	unhex(KEY, key, sizeof key);
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)i;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		tw_siphash(key, bytes, vectors[i].length, result);
		assert_hex(result, vectors[i].result);
	}
}

/* Of every length, against another implementation. */
static void test_against_openssl(void **state)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
	size_t size = TW_SIPHASH_SIZE;
	const OSSL_PARAM params[] = { OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
				      OSSL_PARAM_construct_end() };
	struct tw_prng prng;
	struct tw_random random;

	(void)state;
	assert_non_null(mac);
	tw_prng_init(&prng, 1);
	random = tw_prng_random(&prng);
	for (size_t length = 0; length < 200; length++) {
		EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
		uint8_t key[TW_SIPHASH_KEY], bytes[200], ours[TW_SIPHASH_SIZE],
			theirs[TW_SIPHASH_SIZE];
		size_t written;

		tw_random_fill(&random, key, sizeof key);
		tw_random_fill(&random, bytes, sizeof bytes);
		assert_int_equal(EVP_MAC_init(context, key, sizeof key, params), 1);
		assert_int_equal(EVP_MAC_update(context, bytes, length), 1);
		assert_int_equal(EVP_MAC_final(context, theirs, &written, sizeof theirs), 1);
		assert_int_equal(written, sizeof theirs);
		tw_siphash(key, bytes, length, ours);
		assert_memory_equal(ours, theirs, sizeof ours);
		EVP_MAC_CTX_free(context);
	}
	EVP_MAC_free(mac);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_against_openssl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
