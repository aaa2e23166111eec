#include "unit.h"

#include "base/random.h"
#include "base/text.h"
#include "content/digest.h"

/* From xxHash's own published values: XXH3-128, seed 0. */
static void test_vectors(void **state)
{
	static const struct {
		const char *text, *hex;
	} cases[] = {
		{ "", "99aa06d3014798d86001c324468d497f" },
		{ "a", "a96faf705af16834e6c632b61e964e1f" },
	};
	char hex[2 * TW_DIGEST_SIZE + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tw_digest digest = tw_digest_of(cases[i].text, strlen(cases[i].text));

		assert_string_equal(tw_text_hex(digest.bytes, sizeof(digest.bytes), hex),
				    cases[i].hex);
	}
}

static void test_pieces_equal_whole(void **state)
{
	enum { SIZE = 300000 };
	uint8_t *bytes = malloc(SIZE);
	struct tw_digest_state *digest = tw_digest_new();
	struct tw_prng prng;

	(void)state;
	assert_non_null(bytes);
	assert_non_null(digest);
	tw_prng_init(&prng, 7);
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)tw_prng_u64(&prng);
	for (unsigned round = 0; round < 50; round++) {
		size_t length = tw_prng_below(&prng, SIZE + 1);
		struct tw_digest whole = tw_digest_of(bytes, length), pieces;

		tw_digest_reset(digest);
		for (size_t at = 0; at < length; ) {
			size_t n = tw_prng_below(&prng, 3000) + 1;

			if (n > length - at)
				n = length - at;
			tw_digest_update(digest, bytes + at, n);
			at += n;
		}
		pieces = tw_digest_final(digest);
		assert_memory_equal(&pieces, &whole, sizeof(whole));
	}
	tw_digest_free(digest);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_pieces_equal_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
