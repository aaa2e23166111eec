/* File operations as requests: what comes back, and what is refused. */
#include "engine/requests.h"
#include "engineworld.h"

struct scene {
	struct world *world;
	struct tw_engine *engine;
	struct tw_caller caller;
};

static void begin(struct scene *scene, struct world *world)
{
	*scene = (struct scene){ .world = world, .caller = alice() };
	host_start(world, 0);
	scene->engine = world->hosts[0].engine;
}

/* Waits for its end. The result is borrowed; @ret_fault where it failed. */
static enum tw_request_state run(struct scene *scene, const char *operation, json_t *parameters,
				 struct tw_request_status *ret)
{
	const char *id = NULL;
	char copy[TW_OBJECT_ID];

	assert_int_equal(tw_engine_file_request(scene->engine, &scene->caller, operation,
						parameters, &id, &scene->world->fault),
			 TW_FAULT_NONE);
	snprintf(copy, sizeof(copy), "%s", id);
	json_decref(parameters);
	do {
		turn(scene->world);
		assert_int_equal(tw_engine_request(scene->engine, &scene->caller, copy, ret,
						   &scene->world->fault),
				 TW_FAULT_NONE);
	} while (ret->state == TW_REQUEST_PENDING);
	return ret->state;
}

static json_t *path_parameter(struct scene *scene, const char *name)
{
	return json_pack("{ss}", "path", place_of(&scene->world->hosts[0], name));
}

static void makes_and_lists(void **state)
{
	struct tw_request_status done;
	struct scene scene;
	json_t *entry;

	begin(&scene, *state);
	assert_int_equal(run(&scene, "mkdir", path_parameter(&scene, "a/b"), &done),
			 TW_REQUEST_COMPLETE);
	assert_int_equal(run(&scene, "mkFile", path_parameter(&scene, "a/f"), &done),
			 TW_REQUEST_COMPLETE);
	assert_int_equal(run(&scene, "mkFile", path_parameter(&scene, "a/f"), &done),
			 TW_REQUEST_ERROR);
	assert_int_equal(done.failure->code, TW_FAULT_CONFLICT);
	file_make(&scene.world->hosts[0], "a/g", 1000, 1);
	assert_int_equal(run(&scene, "ls", path_parameter(&scene, "a"), &done),
			 TW_REQUEST_COMPLETE);
	assert_true(json_is_true(json_object_get(done.result, "isDirectory")));
	assert_int_equal(json_array_size(json_object_get(done.result, "entries")), 3);
	entry = json_array_get(json_object_get(done.result, "entries"), 2);
	assert_string_equal(json_string_value(json_object_get(entry, "name")), "g");
	assert_int_equal(json_integer_value(json_object_get(entry, "size")), 1000);
	assert_true(json_integer_value(json_object_get(entry, "modificationTime")) > 0);
	assert_int_equal(run(&scene, "du", path_parameter(&scene, "a"), &done),
			 TW_REQUEST_COMPLETE);
	assert_int_equal(json_integer_value(json_object_get(done.result, "totalSize")), 1000);
	assert_int_equal(json_integer_value(json_object_get(done.result, "totalFiles")), 2);
	assert_int_equal(run(&scene, "lsRoots", json_object(), &done), TW_REQUEST_COMPLETE);
	assert_int_equal(json_array_size(done.result), 1);
}

static void moves_and_removes(void **state)
{
	struct tw_request_status done;
	struct scene scene;

	begin(&scene, *state);
	run(&scene, "mkdir", path_parameter(&scene, "a"), &done);
	file_make(&scene.world->hosts[0], "a/g", 1000, 1);
	assert_int_equal(run(&scene, "mv",
			     json_pack("{ssss}", "srcPath", place_of(&scene.world->hosts[0], "a/g"),
				       "destPath", place_of(&scene.world->hosts[0], "a/h")),
			     &done),
			 TW_REQUEST_COMPLETE);
	assert_true(file_is(place_of(&scene.world->hosts[0], "a/h"), 1000, 1));
	assert_int_equal(run(&scene, "rm", path_parameter(&scene, "a"), &done), TW_REQUEST_ERROR);
	assert_int_equal(done.failure->code, TW_FAULT_CONFLICT);
	assert_int_equal(run(&scene, "rm",
			     json_pack("{sssb}", "path", place_of(&scene.world->hosts[0], "a"),
				       "recursive", 1),
			     &done),
			 TW_REQUEST_COMPLETE);
	assert_int_not_equal(access(place_of(&scene.world->hosts[0], "a"), F_OK), 0);
	assert_int_equal(run(&scene, "ls", path_parameter(&scene, "a"), &done), TW_REQUEST_ERROR);
	assert_int_equal(done.failure->code, TW_FAULT_NOT_FOUND);
}

/* Each path of a list has its own end. */
static void lists_several(void **state)
{
	struct tw_request_status done;
	struct scene scene;
	json_t *second;

	begin(&scene, *state);
	run(&scene, "mkdir", path_parameter(&scene, "a"), &done);
	assert_int_equal(run(&scene, "lsList",
			     json_pack("{s[ss]}", "paths", place_of(&scene.world->hosts[0], "a"),
				       "/no/such/path"),
			     &done),
			 TW_REQUEST_COMPLETE);
	assert_int_equal(json_array_size(done.result), 2);
	assert_true(json_is_null(json_object_get(json_array_get(done.result, 0), "error")));
	second = json_object_get(json_array_get(done.result, 1), "error");
	assert_string_equal(json_string_value(json_object_get(second, "name")), "NotFound");
}

static void refuses(void **state)
{
	struct scene scene;
	const char *id;
	json_t *empty = json_object();

	begin(&scene, *state);
	assert_int_equal(tw_engine_file_request(scene.engine, &scene.caller, "ls", empty, &id,
						&scene.world->fault),
			 TW_FAULT_INVALID_PARAMETER);
	assert_int_equal(tw_engine_file_request(scene.engine, &scene.caller, "lsList", empty, &id,
						&scene.world->fault),
			 TW_FAULT_INVALID_PARAMETER);
	scene.caller.authenticated = false;
	assert_int_equal(tw_engine_file_request(scene.engine, &scene.caller, "lsRoots", empty, &id,
						&scene.world->fault),
			 TW_FAULT_NOT_PERMITTED);
	json_decref(empty);
}

/* Below a sandbox nothing outside can be named, nor seen through a link. */
static void stays_in_the_sandbox(void **state)
{
	struct tw_request_status done;
	struct world *world = *state;
	struct scene scene;

	mkdir(place_of(&world->hosts[0], "box"), 0755);
	file_make(&world->hosts[0], "box/inside", 5, 1);
	file_make(&world->hosts[0], "outside", 5, 1);
	assert_int_equal(symlink("..", place_of(&world->hosts[0], "box/up")), 0);
	world->options.sandbox_dir = strdup(place_of(&world->hosts[0], "box"));
	begin(&scene, world);
	assert_int_equal(run(&scene, "ls", json_pack("{ss}", "path", "/"), &done),
			 TW_REQUEST_COMPLETE);
	assert_int_equal(json_array_size(json_object_get(done.result, "entries")), 2);
	assert_int_equal(run(&scene, "ls", json_pack("{ss}", "path", "/../outside"), &done),
			 TW_REQUEST_ERROR);
	assert_int_equal(run(&scene, "ls", json_pack("{ss}", "path", "/up/outside"), &done),
			 TW_REQUEST_ERROR);
	assert_int_equal(done.failure->code, TW_FAULT_NOT_PERMITTED);
	free((char *)world->options.sandbox_dir);
}

/* The message names the folder as it was found. */
static void wants_a_folder_for_the_sandbox(void **state)
{
	struct world *world = *state;
	struct host *host = &world->hosts[0];
	struct tw_engine_options options = world->options;
	char message[512];

	file_make(host, "box", 5, 1);
	options.base = world->base;
	options.identity = &host->identity;
	options.state_dir = host->state;
	options.sandbox_dir = place_of(host, "./box");
	assert_int_equal(tw_engine_new(&options, &host->engine, message), -ENOTDIR);
	assert_non_null(strstr(message, "/box: "));
	assert_non_null(strstr(message, tw_strerror(-ENOTDIR)));
}

/* Does UDP get through to the other one, and as whom? */
static void discovers(void **state)
{
	static const char *const operations[] = { "sendDiscover", "recvDiscover" };
	struct tw_request_status done;
	struct scene scene;

	begin(&scene, *state);
	host_start(scene.world, 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(run(&scene, operations[i],
				     json_pack("{sssi}", "address", "127.0.0.1", "port",
					       (int)scene.world->hosts[1].port),
				     &done),
				 TW_REQUEST_COMPLETE);
		assert_true(json_is_true(json_object_get(done.result, "reachable")));
		assert_string_equal(json_string_value(json_object_get(done.result, "observedIP")),
				    "127.0.0.1");
	}
	assert_int_equal(json_integer_value(json_object_get(done.result, "observedPort")),
			 scene.world->hosts[0].port);
}

#define FILES(name) cmocka_unit_test_setup_teardown(name, world_make, world_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILES(makes_and_lists),
		FILES(moves_and_removes),
		FILES(lists_several),
		FILES(refuses),
		FILES(stays_in_the_sandbox),
		FILES(wants_a_folder_for_the_sandbox),
		FILES(discovers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
