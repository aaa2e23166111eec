#include "unit.h"

#include <stdint.h>

#include "content/map.h"

#define COUNT 20000

static void keys_in_and_out(void **state)
{
	struct tw_map map = { 0 };
	static char values[COUNT];

	(void)state;
	for (uint64_t i = 0; i < COUNT; i++)
		assert_int_equal(tw_map_set(&map, i * i, &values[i]), 0);
	for (uint64_t i = 0; i < COUNT; i += 2)
		assert_ptr_equal(tw_map_take(&map, i * i), &values[i]);
	for (uint64_t i = 0; i < COUNT; i++)
		assert_ptr_equal(tw_map_get(&map, i * i), i % 2 ? &values[i] : NULL);
	assert_int_equal(map.count, COUNT / 2);
	tw_map_deinit(&map);
}

/* The longest row of slots without a free one: what a search may have to pass. */
static size_t longest_row(const struct tw_map *map)
{
	size_t longest = 0, row = 0;

	for (size_t i = 0; i < 2 * map->room; i++) {
		row = map->slots[i % map->room].value ? row + 1 : 0;
		if (row > longest)
			longest = row;
	}
	return longest;
}

/* Keys in all the regular ways that a sender could number its chunks by: @factor is odd, and with
 * its inverse the keys are those that a multiplication would have put into one place. */
static void chosen_keys(void **state)
{
	const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t inverse = 1;
	static char value;

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		inverse *= 2 - factor * inverse;
	assert_int_equal(factor * inverse, 1);
	for (unsigned shift = 0; shift < 48; shift++) {
		for (unsigned kind = 0; kind < 2; kind++) {
			struct tw_map map = { 0 };

			for (uint64_t i = 0; i < COUNT / 10; i++)
				assert_int_equal(tw_map_set(&map,
							    (i << shift) * (kind ? inverse : 1),
							    &value),
						 0);
			assert_true(longest_row(&map) < 400);
			tw_map_deinit(&map);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_in_and_out),
		cmocka_unit_test(chosen_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
