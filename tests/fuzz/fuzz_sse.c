/* A stream of events in pieces as the input says: whatever way it is cut, the same events come. */
#include "fuzz.h"

#include "client/sse.h"

/* A checksum over all events; the first byte of @cuts and on: how long each piece is. */
static uint64_t decode(const char *bytes, size_t length, const uint8_t *cuts, size_t cut_count)
{
	uint64_t sum = 0;
	struct tw_sse sse;
	size_t at = 0, turn = 0;

	tw_sse_init(&sse, 0);
	while (at < length) {
		size_t piece = cut_count ? 1 + cuts[turn++ % cut_count] % 16u : length - at;
		size_t used = 0;
		struct tw_sse_event event;
		int r;

		if (piece > length - at)
			piece = length - at;
		r = tw_sse_push(&sse, bytes + at, piece, &used, &event);
		CHECK(r == 0 || r == TW_CLIENT_TIMEOUT);
		CHECK(used >= 1 && used <= piece);
		at += used;
		if (r)
			continue;
		CHECK(event.data && event.data[event.data_length] == '\0');
		sum = sum * 31 + event.id + strlen(event.name);
		for (size_t i = 0; i < event.data_length; i++)
			sum = sum * 131 + (uint8_t)event.data[i];
	}
	tw_sse_deinit(&sse);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t cuts = 8;

	if (size < cuts || size > 65536)
		return 0;
	CHECK(decode((const char *)data + cuts, size - cuts, NULL, 0) ==
	      decode((const char *)data + cuts, size - cuts, data, cuts));
	return 0;
}
