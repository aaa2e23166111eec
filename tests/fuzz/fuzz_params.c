/* Any bytes as parameters: what is taken is written and taken again as the same. */
#include "fuzz.h"

#include "wire/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[TW_PARAMS_SIZE_MAX];
	struct tw_params first, second;
	size_t length;

	if (tw_params_read(data, size, &first) != 0)
		return 0;
	length = tw_params_write(&first, bytes, sizeof bytes);
	CHECK(length > 0);
	CHECK(tw_params_read(bytes, length, &second) == 0);
	CHECK(memcmp(&first, &second, sizeof first) == 0);
	return 0;
}
