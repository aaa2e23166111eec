/* Tables and shelves of objects, against simple models. */
#include "engineworld.h"

struct item {
	struct tw_index_node by_text, by_number;
	char text[16];
	bool in;
};

#define ITEMS 500

static void finds_what_is_in(void **state)
{
	static struct item items[ITEMS];
	struct tw_index texts, numbers;
	struct tw_prng prng;
	size_t count = 0;

	(void)state;
	tw_prng_init(&prng, 4);
	tw_index_init(&texts);
	tw_index_init(&numbers);
	assert_null(tw_index_find(&texts, "nothing"));
	assert_null(tw_index_find_number(&numbers, 1));
	tw_index_remove(&texts, &items[0].by_text);
	for (size_t i = 0; i < ITEMS; i++)
		snprintf(items[i].text, sizeof(items[i].text), "t%zu", i);
	for (int round = 0; round < 20000; round++) {
		size_t i = (size_t)tw_prng_below(&prng, ITEMS);
		struct item *item = &items[i];

		assert_ptr_equal(tw_index_find(&texts, item->text),
				 item->in ? &item->by_text : NULL);
		assert_ptr_equal(tw_index_find_number(&numbers, i << 7),
				 item->in ? &item->by_number : NULL);
		if (item->in) {
			tw_index_remove(&texts, &item->by_text);
			tw_index_remove(&numbers, &item->by_number);
			count--;
		} else {
			assert_int_equal(tw_index_add(&texts, &item->by_text, item->text), 0);
			assert_int_equal(tw_index_add_number(&numbers, &item->by_number, i << 7),
					 0);
			count++;
		}
		item->in = !item->in;
		assert_int_equal(texts.count, count);
		assert_int_equal(numbers.count, count);
	}
	tw_index_deinit(&texts);
	tw_index_deinit(&numbers);
}

/* The order of creation stays, whatever goes in between. */
static void shelves_keep_the_order(void **state)
{
	struct world *world = *state;
	const struct tw_caller all = { .superuser = true };
	struct tw_caller caller = alice();
	struct tw_token_options options = { .download_limit = TW_UNSET };
	char ids[300][TW_OBJECT_ID];
	const char *id;
	struct tw_prng prng;
	size_t made = 0, first = 0, cursor = 0;

	host_start(world, 0);
	tw_prng_init(&prng, 5);
	while (made < ARRAY_SIZE(ids)) {
		assert_int_equal(tw_engine_create_token(world->hosts[0].engine, &caller, &options,
							&id, &world->fault),
				 TW_FAULT_NONE);
		strcpy(ids[made++], id);
		while (first < made && tw_prng_below(&prng, 10) < 4)
			assert_int_equal(tw_engine_delete_token(world->hosts[0].engine, &caller,
								false, ids[first++], &world->fault),
					 TW_FAULT_NONE);
	}
	assert_true(first > 0 && first < made);
	for (size_t i = first; i < made; i++) {
		const struct tw_token_view *view =
			tw_engine_token_next(world->hosts[0].engine, &all, false, &cursor);

		assert_non_null(view);
		assert_string_equal(view->token, ids[i]);
	}
	assert_null(tw_engine_token_next(world->hosts[0].engine, &all, false, &cursor));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_is_in),
		cmocka_unit_test_setup_teardown(shelves_keep_the_order, world_make, world_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
