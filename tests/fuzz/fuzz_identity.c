/*
 * Identity files and public keys in any bytes. What parses must come back the same from its own
 * text.
 */
#include "fuzz.h"

#include "crypto/identity.h"

static void public_key(const uint8_t *data, size_t length)
{
	char text[2 * TW_KEY_TEXT] = { 0 }, again[TW_KEY_TEXT];
	struct tw_public_key key;

	memcpy(text, data, length < sizeof text - 1 ? length : sizeof text - 1);
	if (tw_public_key_parse(text, &key) != 0)
		return;
	CHECK(tw_public_key_known(&key));
	/* A key has one text only: people compare them. */
	CHECK(strcmp(tw_public_key_format(&key, again), text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	struct tw_identity identity, again;
	char text[TW_IDENTITY_TEXT];

	public_key(data, length);
	if (tw_identity_parse((const char *)data, length, &identity) == 0) {
		size_t written = tw_identity_format(&identity, text);

		CHECK(written == strlen(text) && written < sizeof text);
		CHECK(tw_identity_parse(text, written, &again) == 0);
		CHECK(memcmp(&identity, &again, sizeof identity) == 0);
		tw_identity_wipe(&identity);
		tw_identity_wipe(&again);
	}
	return 0;
}
