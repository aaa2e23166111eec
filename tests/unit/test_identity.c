#include "hex.h"

#include "base/error.h"
#include "crypto/identity.h"

static struct tw_secret secret(const char *hex)
{
	struct tw_secret key;

	assert_int_equal(unhex(hex, key.bytes, sizeof key.bytes), sizeof key.bytes);
	return key;
}

static struct tw_public_key point(const char *hex)
{
	struct tw_public_key key;

	assert_int_equal(unhex(hex, key.bytes, sizeof key.bytes), sizeof key.bytes);
	return key;
}

/* RFC 7748, 5.2: the two single steps. The second point has its top bit set, which must not matter.
 */
static void test_x25519(void **state)
{
	struct tw_secret scalar, out;
	struct tw_public_key u;

	(void)state;
	scalar = secret("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
	u = point("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
	assert_int_equal(tw_x25519(&scalar, &u, &out), 0);
	assert_hex(out.bytes, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");

	scalar = secret("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d");
	u = point("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493");
	assert_int_equal(tw_x25519(&scalar, &u, &out), 0);
	assert_hex(out.bytes, "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

/* RFC 7748, 5.2: k and u take each other's place a thousand times. */
static void test_x25519_iterated(void **state)
{
	struct tw_secret k = { { 9 } }, next;
	struct tw_public_key u = { { 9 } };

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(tw_x25519(&k, &u, &next), 0);
		memcpy(u.bytes, k.bytes, sizeof u.bytes);
		k = next;
		if (i == 0)
			assert_hex(
				k.bytes,
				"422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
	}
	assert_hex(k.bytes, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

/* RFC 7748, 6.1. */
static void test_exchange(void **state)
{
	struct tw_secret a, b, out;
	struct tw_identity alice, bob;

	(void)state;
	a = secret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
	b = secret("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
	assert_int_equal(tw_identity_from_private(&a, &alice), 0);
	assert_int_equal(tw_identity_from_private(&b, &bob), 0);
	assert_memory_equal(&alice.private_key, &a, sizeof a);
	assert_hex(alice.public_key.bytes,
		   "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
	assert_hex(bob.public_key.bytes,
		   "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
	assert_int_equal(tw_x25519(&alice.private_key, &bob.public_key, &out), 0);
	assert_hex(out.bytes, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	assert_int_equal(tw_x25519(&bob.private_key, &alice.public_key, &out), 0);
	assert_hex(out.bytes, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	tw_identity_wipe(&alice);
	for (size_t i = 0; i < sizeof alice; i++)
		assert_int_equal(((const uint8_t *)&alice)[i], 0);
}

/* The points of small order (and the numbers above the field that stand for them). */
static void test_small_order(void **state)
{
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	struct tw_secret key =
		secret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		struct tw_public_key u = point(points[i]);
		struct tw_secret out = { { 0xa5 } }, before = out;

		assert_int_equal(tw_x25519(&key, &u, &out), TW_E_AUTH);
		assert_memory_equal(&out, &before, sizeof out);
	}
}

static void test_generate(void **state)
{
	struct tw_prng prng;
	struct tw_random random;
	struct tw_identity one, two, same;

	(void)state;
	tw_prng_init(&prng, 7748);
	random = tw_prng_random(&prng);
	assert_int_equal(tw_identity_generate(&random, &one), 0);
	assert_int_equal(tw_identity_generate(&random, &two), 0);
	assert_memory_not_equal(&one.private_key, &two.private_key, TW_KEY_SIZE);
	assert_int_equal(tw_identity_from_private(&one.private_key, &same), 0);
	assert_memory_equal(&one, &same, sizeof one);
	assert_true(tw_public_key_known(&one.public_key));
}

static void test_text(void **state)
{
	struct tw_secret key =
		secret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
	struct tw_identity identity, parsed;
	char text[TW_IDENTITY_TEXT];
	size_t length;

	(void)state;
	assert_int_equal(tw_identity_from_private(&key, &identity), 0);
	length = tw_identity_format(&identity, text);
	assert_int_equal(length, strlen(text));
	assert_string_equal(text, "# Tradewind identity, keep it secret. Public key: "
				  "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo\n"
				  "private-key: dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo\n");
	assert_int_equal(tw_identity_parse(text, length, &parsed), 0);
	assert_memory_equal(&parsed, &identity, sizeof parsed);
	/* Without the last line feed, from a Windows editor, and with remarks. */
	assert_int_equal(tw_identity_parse(text, length - 1, &parsed), 0);
	snprintf(text, sizeof text,
		 "# mine\r\n\r\nprivate-key: dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo\r\n# end");
	memset(&parsed, 0, sizeof parsed);
	assert_int_equal(tw_identity_parse(text, strlen(text), &parsed), 0);
	assert_memory_equal(&parsed, &identity, sizeof parsed);
}

#define KEY_LINE "private-key: dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo\n"

static void test_bad_text(void **state)
{
	static const char *const wrong[] = {
		"",
		"\n",
		"# nothing but remarks\n",
		KEY_LINE KEY_LINE,
		KEY_LINE "x",
		(" " KEY_LINE),
		"private-key: dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LC\n",
		"private-key: dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCoA\n",
		"private-key: dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCp\n", /* bits beyond the key
									       */
		"private-key: dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25L+o\n",
		"private-key: dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LC=\n",
		"private-key:dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo\n",
		"Private-key: dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo\n",
		"public-key:  hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo\n",
	};
	struct tw_identity before, parsed;

	(void)state;
	memset(&parsed, 0x5a, sizeof parsed);
	before = parsed;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_equal(tw_identity_parse(wrong[i], strlen(wrong[i]), &parsed),
				 TW_E_FORMAT);
		assert_memory_equal(&parsed, &before, sizeof parsed);
	}
	/* Every cut of a good line. */
	for (size_t length = 0; length < strlen(KEY_LINE) - 1; length++)
		assert_int_equal(tw_identity_parse(KEY_LINE, length, &parsed), TW_E_FORMAT);
	/* A NUL in the key. */
	assert_int_equal(
		tw_identity_parse("private-key: dwdtCnMYpX08FsFyUb\0mRd9ML4frwJkqsXf7pR25LCo", 56,
				  &parsed),
		TW_E_FORMAT);
}

static void test_public_key(void **state)
{
	static const char text[] = "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo";
	static const char *const wrong[] = {
		"",
		"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTm",
		"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmoA",
		"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo=",
		"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo",
		"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmp",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* stands for "not known" */
	};
	char again[TW_KEY_TEXT];
	struct tw_public_key key;

	(void)state;
	assert_int_equal(tw_public_key_parse(text, &key), 0);
	assert_hex(key.bytes, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
	assert_string_equal(tw_public_key_format(&key, again), text);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(tw_public_key_parse(wrong[i], &key), TW_E_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_x25519),	 cmocka_unit_test(test_x25519_iterated),
		cmocka_unit_test(test_exchange), cmocka_unit_test(test_small_order),
		cmocka_unit_test(test_generate), cmocka_unit_test(test_text),
		cmocka_unit_test(test_bad_text), cmocka_unit_test(test_public_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
