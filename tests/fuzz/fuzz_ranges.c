/* Orders of three bytes against a bitmap: the set and the bitmap must agree after each. */
#include "fuzz.h"

#include "base/error.h"
#include "base/ranges.h"

#define UNIVERSE 256

static size_t runs(const bool *has)
{
	size_t count = 0;

	for (size_t i = 0; i < UNIVERSE; i++)
		count += has[i] && (!i || !has[i - 1]);
	return count;
}

static void check(const struct tw_ranges *ranges, const bool *has)
{
	struct tw_range got = { 0, 0 };
	uint64_t total = 0, past = 0;

	CHECK(ranges->count == runs(has) && ranges->count <= ranges->count_max);
	for (size_t i = 0; i < UNIVERSE; i++) {
		CHECK(tw_ranges_contain(ranges, i, i + 1) == has[i]);
		total += has[i];
	}
	CHECK(ranges->total == total && tw_ranges_overlap(ranges, 0, UINT64_MAX) == total);
	while (tw_ranges_next(ranges, past, UINT64_MAX, &got)) {
		CHECK(got.start >= past && got.end > got.start);
		for (uint64_t i = past; i < got.end; i++)
			CHECK(has[i] == (i >= got.start));
		past = got.end;
		CHECK(tw_ranges_next_gap(ranges, got.start, UINT64_MAX, &got) && got.start == past);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool has[UNIVERSE] = { false }, next[UNIVERSE];
	struct tw_ranges ranges;

	if (!size)
		return 0;
	tw_ranges_init(&ranges, 1 + data[0] % 64);
	for (size_t i = 1; i + 3 <= size && i < 600; i += 3) {
		bool add = data[i] & 1;
		uint64_t start = data[i + 1], end = start + data[i + 2];
		int r;

		if (end > UNIVERSE)
			end = UNIVERSE;
		memcpy(next, has, sizeof(has));
		for (uint64_t j = start; j < end; j++)
			next[j] = add;
		r = add ? tw_ranges_add(&ranges, start, end)
			: tw_ranges_remove(&ranges, start, end);
		CHECK(r == (runs(next) > ranges.count_max ? TW_E_FULL : 0));
		if (!r)
			memcpy(has, next, sizeof(has));
		check(&ranges, has);
	}
	tw_ranges_deinit(&ranges);
	return 0;
}
