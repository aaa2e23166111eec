/* Text from strangers: cleaned it is printable and stays the same; parsed it is exact or refused.
 */
#include "fuzz.h"

#include "base/text.h"

static void clean(const uint8_t *data, size_t size, size_t room)
{
	char *once = malloc(room), *twice = malloc(room);
	size_t length;

	CHECK(once && twice);
	length = strlen(tw_text_clean(data, size, once, room));
	CHECK(length < room);
	for (size_t i = 0; i < length; i++)
		CHECK((uint8_t)once[i] >= 0x20 && once[i] != 0x7f);
	/* A cut text may gain nothing, so cleaning again changes nothing. */
	CHECK(!strcmp(tw_text_clean(once, length, twice, room), once));
	free(once);
	free(twice);
}

static void parse(const char *text)
{
	uint8_t bytes[32];
	char again[65];
	uint64_t value = 0;

	if (!tw_text_parse_rate(text, &value))
		CHECK(value >= 1 && value <= UINT64_C(1000000000000));
	if (!tw_text_parse_u64(text, 3, 70000, &value))
		CHECK(value >= 3 && value <= 70000);
	if (!tw_text_unhex(text, bytes, sizeof(bytes))) {
		tw_text_hex(bytes, sizeof(bytes), again);
		for (size_t i = 0; i < sizeof(again) - 1; i++)
			CHECK(again[i] == text[i] || (again[i] == (text[i] | 0x20)));
	}
	if (!tw_text_unbase64url(text, bytes, sizeof(bytes)))
		CHECK(!strcmp(tw_text_base64url(bytes, sizeof(bytes), again), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	CHECK(text);
	memcpy(text, data, size);
	text[size] = '\0';
	parse(text);
	free(text);
	if (size)
		clean(data + 1, size - 1, 1 + (size_t)data[0] * 4);
	return 0;
}
