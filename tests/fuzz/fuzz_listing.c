/*
 * A stored listing that may be anything. The first byte says how: as it comes, or put together here
 * with a digest that fits, its parts compressed, so that what is inside is reached too. What was
 * accepted can be read from, and is stored again the same.
 */
#include "fuzz.h"

#include <zstd.h>

#include "base/error.h"
#include "content/listing.h"

#define INPUT_MAX 4096
#define HEAD 32 /* magic, version, zeros, digest, length of the first part */

static size_t compress(uint8_t *to, size_t room, const uint8_t *bytes, size_t length)
{
	size_t n = ZSTD_compress(to, room, bytes, length, 1);

	CHECK(!ZSTD_isError(n));
	return n;
}

/* A manifest of the first @cut bytes, places and times of the others. */
static size_t put_together(uint8_t *to, size_t room, const uint8_t *bytes, size_t length,
			   size_t cut)
{
	size_t first = compress(to + HEAD, room - HEAD, bytes, cut), all = HEAD + first;
	struct tw_digest digest;

	all += compress(to + all, room - all, bytes + cut, length - cut);
	memset(to, 0, HEAD);
	memcpy(to, "TWLS\1", 5);
	for (unsigned i = 0; i < 8; i++)
		to[HEAD - 1 - i] = (uint8_t)((uint64_t)first >> 8 * i);
	digest = tw_digest_of(to + 24, all - 24);
	memcpy(to + 8, digest.bytes, sizeof digest.bytes);
	return all;
}

static void compare(const struct tw_listing *a, const struct tw_listing *b)
{
	static char one[TW_SOURCE_PATH_MAX + 1], two[TW_SOURCE_PATH_MAX + 1];

	CHECK(tw_listing_entries(a) == tw_listing_entries(b));
	CHECK(tw_listing_files(a) == tw_listing_files(b));
	CHECK(tw_listing_bytes(a) == tw_listing_bytes(b));
	for (uint64_t i = 0; i < tw_listing_entries(a); i++) {
		size_t length = tw_listing_source_path(a, i, one, sizeof one);

		CHECK(length == strlen(one) && length <= TW_SOURCE_PATH_MAX);
		CHECK(tw_listing_source_path(b, i, two, sizeof two) == length);
		CHECK(!strcmp(one, two));
	}
}

static void store_again(const struct tw_listing *listing)
{
	size_t length, again_length;
	struct tw_listing *copy;
	void *bytes, *again;

	CHECK(tw_listing_encode(listing, &bytes, &length) == 0);
	CHECK(tw_listing_decode(bytes, length, &copy) == 0);
	compare(listing, copy);
	CHECK(tw_listing_encode(copy, &again, &again_length) == 0);
	CHECK(length == again_length && !memcmp(bytes, again, length));
	tw_listing_drop(copy);
	free(again);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t built[HEAD + 2 * ZSTD_COMPRESSBOUND(INPUT_MAX)];
	struct tw_listing *listing;
	size_t length;
	int r;

	if (size < 3 || size > INPUT_MAX)
		return 0;
	length = size - 3;
	if (data[0] & 1) {
		size_t cut = ((size_t)data[1] << 8 | data[2]) % (length + 1);

		length = put_together(built, sizeof built, data + 3, length, cut);
	} else {
		memcpy(built, data + 3, length);
	}
	r = tw_listing_decode(built, length, &listing);
	CHECK(r == 0 || r == TW_E_FORMAT || r == TW_E_VERSION);
	if (!r) {
		store_again(listing);
		tw_listing_drop(listing);
	}
	return 0;
}
