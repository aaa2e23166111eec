#include "unit.h"

#include "../support/temp_dir.h"
#include "engine/eventlog.h"

#define SECOND INT64_C(1000000)

struct world {
	char folder[TEMP_PATH_MAX];
	struct tw_store *store;
	struct tw_eventlog *log;
	unsigned grown;
	struct tw_listener *listener;
};

static void open_log(struct world *world)
{
	char message[TW_STORE_MESSAGE];

	assert_int_equal(tw_store_open(world->folder, &world->store, message), 0);
	assert_int_equal(tw_eventlog_new(world->store, &world->log), 0);
}

static void close_log(struct world *world)
{
	tw_eventlog_free(world->log);
	tw_store_close(world->store);
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof *world);

	temp_dir_make(world->folder);
	open_log(world);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	close_log(world);
	temp_dir_remove(world->folder);
	free(world);
	return 0;
}

static void add(struct world *world, const char *owner, int number)
{
	json_t *object = json_pack("{s:i}", "number", number);

	assert_int_equal(tw_eventlog_add(world->log, "send.transferComplete", owner,
					 number * SECOND, object, NULL),
			 0);
}

static size_t read_log(struct world *world, const struct tw_eventlog_query *query, json_t **ret,
		       uint64_t *ret_last)
{
	assert_int_equal(tw_eventlog_read(world->log, query, ret, ret_last), 0);
	return json_array_size(*ret);
}

static json_int_t field(json_t *entries, size_t index, const char *name)
{
	return json_integer_value(json_object_get(json_array_get(entries, index), name));
}

static void test_entries(void **state)
{
	struct world *world = *state;
	struct tw_eventlog_query all = { .limit = 10 };
	uint64_t last, oldest, newest;
	json_t *entries, *entry;

	tw_eventlog_range(world->log, &oldest, &newest);
	assert_int_equal(newest, 0);
	assert_int_equal(tw_eventlog_add(world->log, "launch", "", 7, NULL, &entry), 0);
	assert_string_equal(json_string_value(json_object_get(entry, "_event")), "launch");
	assert_int_equal(json_integer_value(json_object_get(entry, "_timestamp")), 7);
	assert_null(json_object_get(entry, "_owner"));
	add(world, "anna", 3);
	assert_int_equal(read_log(world, &all, &entries, &last), 2);
	assert_true(json_equal(json_array_get(entries, 0), entry));
	assert_int_equal(field(entries, 1, "number"), 3);
	assert_int_equal(field(entries, 1, "_id"), field(entries, 0, "_id") + 1);
	assert_int_equal(last, field(entries, 1, "_id"));
	tw_eventlog_range(world->log, &oldest, &newest);
	assert_int_equal(oldest, field(entries, 0, "_id"));
	assert_int_equal(newest, last);
	json_decref(entry);
	json_decref(entries);
}

static void test_only_the_owners(void **state)
{
	struct world *world = *state;
	struct tw_eventlog_query query = { .owner = "anna", .limit = 10 };
	json_t *entries;
	uint64_t last;

	add(world, "anna", 1);
	add(world, "ben", 2);
	add(world, "anna", 3);
	add(world, "ben", 4);
	add(world, "annabel", 5);
	add(world, "", 6);
	assert_int_equal(read_log(world, &query, &entries, &last), 2);
	assert_int_equal(field(entries, 1, "number"), 3);
	/* What others own is passed over for good. */
	json_decref(entries);
	query.after = last;
	assert_int_equal(read_log(world, &query, &entries, &last), 0);
	assert_int_equal(last, query.after);
	json_decref(entries);
}

/* A reading looks at so many, whosever they are, and says where to go on. */
static void test_many_of_others(void **state)
{
	struct world *world = *state;
	struct tw_eventlog_query query = { .owner = "anna", .limit = 10 };
	json_t *entries;
	uint64_t last, oldest, newest;
	unsigned readings = 0;
	size_t count = 0;

	for (int i = 1; i <= 2 * TW_EVENTLOG_LOOK + 10; i++)
		add(world, "ben", i);
	add(world, "anna", 1);
	tw_eventlog_range(world->log, &oldest, &newest);
	while (query.after < newest && readings++ < 10) {
		count += read_log(world, &query, &entries, &last);
		json_decref(entries);
		assert_true(last > query.after);
		query.after = last;
	}
	assert_int_equal(readings, 3);
	assert_int_equal(count, 1);
}

static void test_pages_and_times(void **state)
{
	struct world *world = *state;
	struct tw_eventlog_query query = { .owner = "anna", .limit = 3 };
	json_t *entries;
	uint64_t last;
	int next = 1;

	for (int i = 1; i <= 20; i++)
		add(world, i % 2 ? "anna" : "ben", i);
	for (unsigned page = 0; page < 4; page++) {
		size_t count = read_log(world, &query, &entries, &last);

		assert_int_equal(count, page < 3 ? 3 : 1);
		for (size_t i = 0; i < count; i++, next += 2)
			assert_int_equal(field(entries, i, "number"), next);
		query.after = last;
		json_decref(entries);
	}
	query = (struct tw_eventlog_query){ .since_us = 15 * SECOND, .limit = 100 };
	assert_int_equal(read_log(world, &query, &entries, &last), 6);
	assert_int_equal(field(entries, 0, "number"), 15);
	json_decref(entries);
}

static void test_survives(void **state)
{
	struct world *world = *state;
	struct tw_eventlog_query all = { .limit = 10 };
	uint64_t last, before;
	json_t *entries;

	add(world, "anna", 1);
	read_log(world, &all, &entries, &before);
	json_decref(entries);
	close_log(world);
	open_log(world);
	add(world, "anna", 2);
	assert_int_equal(read_log(world, &all, &entries, &last), 2);
	assert_true(last > before);
	json_decref(entries);
}

static void on_grown(void *context)
{
	((struct world *)context)->grown++;
}

static void on_grown_once(void *context)
{
	struct world *world = context;

	world->grown++;
	tw_eventlog_unlisten(world->listener);
}

static void test_listeners(void **state)
{
	struct world *world = *state;
	struct tw_listener *other = tw_eventlog_listen(world->log, on_grown, world);

	world->listener = tw_eventlog_listen(world->log, on_grown_once, world);
	add(world, "anna", 1);
	assert_int_equal(world->grown, 2);
	add(world, "anna", 2);
	assert_int_equal(world->grown, 3);
	tw_eventlog_unlisten(other);
	add(world, "anna", 3);
	assert_int_equal(world->grown, 3);
	/* One that is left goes with the log. */
	assert_non_null(tw_eventlog_listen(world->log, on_grown, world));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(entries),         TEST(only_the_owners), TEST(many_of_others),
		TEST(pages_and_times), TEST(survives),        TEST(listeners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
