/* Watch folders: what appears, changes and goes, over two engines and restarts. */
#include "engineworld.h"

#define BURST 300

struct watching {
	struct world *world;
	struct tw_caller caller;
	char destination[TW_OBJECT_ID], watch[TW_OBJECT_ID], token[TW_OBJECT_ID];
};

/* From now on he comes with a token of his. */
static void take_token(struct watching *watching)
{
	const struct tw_token_options options = { .download_limit = UINT64_MAX };
	const char *token;

	if (tw_engine_create_token(watching->world->hosts[0].engine, &watching->caller, &options,
				   &token, &watching->world->fault))
		fail_msg("%s", watching->world->fault.message);
	snprintf(watching->token, TW_OBJECT_ID, "%s", token);
}

static struct watching begin_with(struct world *world, bool mirror_deletes, bool token)
{
	struct watching watching = { .world = world, .caller = alice() };
	struct tw_watch_options options;
	const char *id;

	host_start(world, 0);
	host_start(world, 1);
	if (token) {
		take_token(&watching);
		watching.caller.token = watching.token;
	}
	snprintf(watching.destination, TW_OBJECT_ID, "%s",
		 destination_make(world, 0, 1, &watching.caller));
	assert_int_equal(mkdir(place_of(&world->hosts[0], "watched"), 0755), 0);
	tw_watch_options_init(&options);
	options.src_path = place_of(&world->hosts[0], "watched");
	options.destination_id = watching.destination;
	options.destination_path = "into";
	options.interval_seconds = 1;
	options.settle_seconds = 0;
	options.mirror_deletes = mirror_deletes;
	if (tw_engine_create_watch(world->hosts[0].engine, &watching.caller, &options, &id,
				   &world->fault))
		fail_msg("%s", world->fault.message);
	snprintf(watching.watch, TW_OBJECT_ID, "%s", id);
	watching.caller.token = NULL;
	return watching;
}

static struct watching begin(struct world *world, bool mirror_deletes)
{
	return begin_with(world, mirror_deletes, false);
}

static const struct tw_watch_view *view(const struct watching *watching)
{
	const struct tw_watch_view *found = tw_engine_watch(watching->world->hosts[0].engine,
							    &watching->caller, watching->watch);

	assert_non_null(found);
	return found;
}

static const char *arrived(const struct watching *watching, const char *name)
{
	static char path[TEMP_PATH_MAX + 256];

	snprintf(path, sizeof(path), "%s/into/%s", watching->world->hosts[1].received, name);
	return path;
}

static void make(const struct watching *watching, const char *name, size_t length, uint64_t seed)
{
	char path[128];

	snprintf(path, sizeof(path), "watched/%s", name);
	file_make(&watching->world->hosts[0], path, length, seed);
}

static size_t transfers(const struct watching *watching)
{
	size_t cursor = 0, count = 0;
	const struct tw_transfer_filter all = { NULL, NULL };

	while (tw_engine_transfer_next(watching->world->hosts[0].engine, &watching->caller, &all,
				       &cursor))
		count++;
	return count;
}

static void test_burst_and_change(void **state)
{
	struct watching watching = begin(*state, false);
	char name[32];

	assert_int_equal(mkdir(place_of(&watching.world->hosts[0], "watched/deep"), 0755), 0);
	for (unsigned i = 0; i < BURST; i++) {
		snprintf(name, sizeof(name), "deep/%u", i);
		make(&watching, name, 100 + i, i);
		/* While it is looked at. */
		if (i % 50 == 0)
			turn(watching.world);
	}
	UNTIL(watching.world, view(&watching)->files_sent == BURST);
	for (unsigned i = 0; i < BURST; i++) {
		snprintf(name, sizeof(name), "deep/%u", i);
		assert_true(file_is(arrived(&watching, name), 100 + i, i));
	}
	make(&watching, "deep/7", 5000, 77);
	UNTIL(watching.world, view(&watching)->files_sent == BURST + 1);
	assert_true(file_is(arrived(&watching, "deep/7"), 5000, 77));
	assert_null(view(&watching)->error_message);
	assert_true(view(&watching)->last_scan_time > 0);
}

/* What was sent is remembered: nothing goes again, and what came meanwhile is found. */
static void test_restart(void **state)
{
	struct watching watching = begin(*state, false);
	size_t count;

	make(&watching, "one", 1000, 1);
	UNTIL(watching.world, view(&watching)->files_sent == 1);
	count = transfers(&watching);
	tw_engine_commit(watching.world->hosts[0].engine);
	host_kill(watching.world, 0);
	make(&watching, "two", 2000, 2);
	host_start(watching.world, 0);
	UNTIL(watching.world, view(&watching)->files_sent == 1);
	assert_true(file_is(arrived(&watching, "two"), 2000, 2));
	assert_int_equal(transfers(&watching), count + 1);
}

static void test_mirror_deletes(void **state)
{
	struct watching watching = begin(*state, true);

	make(&watching, "stays", 10, 1);
	make(&watching, "goes", 10, 2);
	UNTIL(watching.world, view(&watching)->files_sent == 2);
	assert_int_equal(access(arrived(&watching, "goes"), F_OK), 0);
	assert_int_equal(unlink(place_of(&watching.world->hosts[0], "watched/goes")), 0);
	UNTIL(watching.world, access(arrived(&watching, "goes"), F_OK) != 0);
	assert_int_equal(access(arrived(&watching, "stays"), F_OK), 0);
	UNTIL(watching.world, view(&watching)->files_waiting == 0);
}

static void test_update_and_delete(void **state)
{
	static const char *const names[] = { "enabled", "include" };
	static const char *const include[] = { "*.mov" };
	const struct tw_strings given = { names, ARRAY_SIZE(names) };
	struct watching watching = begin(*state, false);
	struct tw_engine *engine = watching.world->hosts[0].engine;
	struct tw_caller other = bob();
	struct tw_watch_options options;
	struct tw_fault fault;

	assert_null(tw_engine_watch(engine, &other, watching.watch));
	assert_int_equal(tw_engine_delete_watch(engine, &other, watching.watch, &fault),
			 TW_FAULT_NOT_FOUND);
	tw_watch_options_init(&options);
	options.include = (struct tw_strings){ include, 1 };
	assert_int_equal(tw_engine_update_watch(engine, &watching.caller, watching.watch, &options,
						&given, &fault),
			 0);
	assert_int_equal(view(&watching)->interval_seconds, 1);
	make(&watching, "a.txt", 10, 1);
	make(&watching, "a.mov", 10, 2);
	UNTIL(watching.world, view(&watching)->files_sent == 1);
	assert_int_equal(access(arrived(&watching, "a.mov"), F_OK), 0);
	assert_int_not_equal(access(arrived(&watching, "a.txt"), F_OK), 0);
	assert_int_equal(tw_engine_delete_watch(engine, &watching.caller, watching.watch, &fault),
			 0);
	assert_null(tw_engine_watch(engine, &watching.caller, watching.watch));
}

static void test_wrong(void **state)
{
	struct watching watching = begin(*state, false);
	struct tw_engine *engine = watching.world->hosts[0].engine;
	struct tw_watch_options options;
	struct tw_fault fault;
	const char *id;

	tw_watch_options_init(&options);
	options.destination_id = watching.destination;
	options.src_path = "relative";
	assert_int_equal(tw_engine_create_watch(engine, &watching.caller, &options, &id, &fault),
			 TW_FAULT_INVALID_PARAMETER);
	assert_string_equal(fault.parameter, "srcPath");
	options.src_path = "/a/../b";
	assert_int_equal(tw_engine_create_watch(engine, &watching.caller, &options, &id, &fault),
			 TW_FAULT_INVALID_PARAMETER);
	options.src_path = "/a";
	options.destination_id = "00000000000000000000000000000000";
	assert_int_equal(tw_engine_create_watch(engine, &watching.caller, &options, &id, &fault),
			 TW_FAULT_NOT_FOUND);
	options.destination_id = watching.destination;
	options.interval_seconds = 0;
	assert_int_equal(tw_engine_create_watch(engine, &watching.caller, &options, &id, &fault),
			 TW_FAULT_INVALID_PARAMETER);
	/* One that is not there (yet) is no mistake: it says so. */
	options.interval_seconds = 1;
	options.src_path = "/nowhere/at/all";
	assert_int_equal(tw_engine_create_watch(engine, &watching.caller, &options, &id, &fault),
			 0);
	snprintf(watching.watch, TW_OBJECT_ID, "%s", id);
	UNTIL(watching.world, view(&watching)->error_message != NULL);
}

/* A token that is taken back takes the watches along that were made with it. */
static void test_token_taken_back(void **state)
{
	struct watching watching = begin_with(*state, false, true);
	struct tw_engine *engine = watching.world->hosts[0].engine;

	make(&watching, "before", 10, 1);
	UNTIL(watching.world, view(&watching)->files_sent == 1);
	assert_null(view(&watching)->error_message);
	assert_string_equal(view(&watching)->ownership.owner_token, watching.token);
	assert_int_equal(tw_engine_delete_token(engine, &watching.caller, false, watching.token,
						&watching.world->fault),
			 0);
	make(&watching, "after", 10, 2);
	UNTIL(watching.world, view(&watching)->error_message != NULL);
	assert_non_null(strstr(view(&watching)->error_message, "token"));
	assert_int_equal(view(&watching)->files_sent, 1);
	assert_int_equal(transfers(&watching), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, world_make, world_free)
	const struct CMUnitTest tests[] = {
		TEST(burst_and_change),  TEST(restart), TEST(mirror_deletes),
		TEST(update_and_delete), TEST(wrong),   TEST(token_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
