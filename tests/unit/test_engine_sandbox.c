/* test_engine_sandbox.c - what accounts and tokens reach, in file operations, manifests, transfers
 * and watches. */
#include "engineworld.h"

struct scene {
	struct world *world;
	struct tw_engine *engine;
	struct tw_caller caller;
	struct tw_fault *fault;
	char text[512]; /* the newest listing */
};

static void begin(struct scene *scene, struct world *world)
{
	*scene = (struct scene){ .world = world, .caller = alice(), .fault = &world->fault };
	mkdir(place_of(&world->hosts[0], "box"), 0755);
	mkdir(place_of(&world->hosts[0], "box/deep"), 0755);
	mkdir(place_of(&world->hosts[0], "other"), 0755);
	file_make(&world->hosts[0], "box/inside", 5, 1);
	file_make(&world->hosts[0], "box/deep/down", 50, 2);
	file_make(&world->hosts[0], "other/side", 6, 3);
	assert_int_equal(symlink("../inside", place_of(&world->hosts[0], "box/deep/up")), 0);
	assert_int_equal(symlink("../other", place_of(&world->hosts[0], "box/away")), 0);
	host_start(world, 0);
	host_start(world, 1);
	scene->engine = world->hosts[0].engine;
}

/* @name below the host's place. */
static int map(struct scene *scene, const char *user, const char *mount, const char *name)
{
	json_t *mapping = json_pack("{ss}", mount, place_of(&scene->world->hosts[0], name));
	int r = tw_engine_set_mapping(scene->engine, user, mapping, scene->fault);

	json_decref(mapping);
	return r;
}

static int map_to(struct scene *scene, const char *json)
{
	json_t *mapping = json_loads(json, 0, NULL);
	int r;

	assert_non_null(mapping);
	r = tw_engine_set_mapping(scene->engine, "alice", mapping, scene->fault);
	json_decref(mapping);
	return r;
}

/* The names at @path, each with a space behind, or the fault's name. */
static const char *names_at(struct scene *scene, const char *operation, const char *path)
{
	json_t *parameters = path ? json_pack("{ss}", "path", path) : json_object(), *entry, *list;
	struct tw_request_status done;
	char id[TW_OBJECT_ID];
	const char *lent;
	size_t i;

	if (tw_engine_file_request(scene->engine, &scene->caller, operation, parameters, &lent,
				   scene->fault))
		fail_msg("%s", scene->fault->message);
	snprintf(id, sizeof(id), "%s", lent);
	json_decref(parameters);
	do {
		turn(scene->world);
		assert_int_equal(tw_engine_request(scene->engine, &scene->caller, id, &done,
						   scene->fault),
				 TW_FAULT_NONE);
	} while (done.state == TW_REQUEST_PENDING);
	if (done.state == TW_REQUEST_ERROR)
		return tw_fault_name(done.failure->code);
	list = path ? json_object_get(done.result, "entries") : done.result;
	scene->text[0] = '\0';
	json_array_foreach (list, i, entry) {
		const char *name = json_string_value(path ? json_object_get(entry, "name") : entry);

		strcat(strcat(scene->text, name), " ");
	}
	return scene->text;
}

static const char *ls(struct scene *scene, const char *path)
{
	return names_at(scene, "ls", path);
}

static const char *roots(struct scene *scene)
{
	return names_at(scene, "lsRoots", NULL);
}

static void mappings_hold_at_once(void **state)
{
	struct scene scene;

	begin(&scene, *state);
	assert_string_equal(roots(&scene), "/ ");
	assert_string_equal(ls(&scene, place_of(&scene.world->hosts[0], "other")), "side ");
	assert_int_equal(map(&scene, "", "/all", "other"), TW_FAULT_NONE);
	assert_string_equal(roots(&scene), "/all ");
	assert_string_equal(ls(&scene, "/"), "all ");
	assert_string_equal(ls(&scene, "/all"), "side ");
	assert_int_equal(map(&scene, "alice", "/", "box"), TW_FAULT_NONE);
	assert_string_equal(ls(&scene, "/"), "away deep inside ");
	assert_string_equal(ls(&scene, "/all"), "NotFound");
	assert_string_equal(ls(&scene, "/deep"), "down up ");
	assert_string_equal(ls(&scene, "/away"), "NotPermitted");
	assert_string_equal(ls(&scene, "/../other"), "NotPermitted");
	assert_string_equal(ls(&scene, place_of(&scene.world->hosts[0], "other")), "NotFound");
	scene.caller.user = "bob";
	assert_string_equal(ls(&scene, "/all"), "side ");
	scene.caller.user = "alice";
	assert_int_equal(map_to(&scene, "{}"), TW_FAULT_NONE);
	assert_string_equal(roots(&scene), "");
	assert_string_equal(ls(&scene, "/"), "");
	assert_int_equal(tw_engine_delete_mapping(scene.engine, "alice", scene.fault),
			 TW_FAULT_NONE);
	assert_string_equal(ls(&scene, "/"), "all ");
	/* After a restart, too. */
	tw_engine_commit(scene.engine);
	host_kill(scene.world, 0);
	host_start(scene.world, 0);
	scene.engine = scene.world->hosts[0].engine;
	assert_string_equal(ls(&scene, "/"), "all ");
}

static void mappings_with_placeholders(void **state)
{
	struct scene scene;
	struct world *world = *state;

	begin(&scene, world);
	mkdir(place_of(&world->hosts[0], "for-alice"), 0755);
	file_make(&world->hosts[0], "for-alice/hers", 1, 1);
	assert_int_equal(map(&scene, "", "/", "for-{user}"), TW_FAULT_NONE);
	assert_string_equal(ls(&scene, "/"), "hers ");
	scene.caller.user = "bob";
	assert_string_equal(ls(&scene, "/"), "NotFound");
	/* Names that would lead elsewhere lead nowhere. */
	assert_int_equal(map(&scene, "", "/", "box/{user}"), TW_FAULT_NONE);
	scene.caller.user = "..";
	assert_string_equal(ls(&scene, "/"), "NotPermitted");
	scene.caller.user = "deep/..";
	assert_string_equal(ls(&scene, "/"), "NotPermitted");
	scene.caller.user = "deep";
	assert_string_equal(ls(&scene, "/"), "down up ");
}

static void mappings_are_checked(void **state)
{
	static const char *const wrong[] = {
		"{\"\": \"/srv\"}",
		"{\"a\": \"/srv\"}",
		"{\"/a/../b\": \"/srv\"}",
		"{\"/\": \"srv\"}",
		"{\"/\": 5}",
		"{\"/\": {}}",
		"{\"/\": {\"path\": \"/srv\"}}",
		"{\"/\": {\"type\": \"Ftp\", \"path\": \"/srv\"}}",
		"{\"/\": {\"type\": \"File\"}}",
		"{\"/\": \"/srv/{other}\"}",
		"{\"/a\": \"/srv\", \"/a/\": \"/opt\"}",
	};
	struct scene scene;

	begin(&scene, *state);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(map_to(&scene, wrong[i]), TW_FAULT_INVALID_PARAMETER);
	assert_int_equal(map_to(&scene, "{\"/\": {\"type\": \"S3\", \"bucket\": \"x\"}}"),
			 TW_FAULT_UNAVAILABLE);
	assert_int_equal(map_to(&scene, "{\"/a/b\": {\"type\": \"File\", \"path\": \"/\"}}"),
			 TW_FAULT_NONE);
	assert_string_equal(roots(&scene), "/a/b ");
}

/* Manifests and transfers see what their owner sees. */

static const char *manifest(struct scene *scene, const struct tw_caller *caller, const char *path)
{
	struct tw_manifest_mapping mapping = { path, "in" };
	struct tw_manifest_options options = {
		.mappings = &mapping, .mapping_count = 1, .recursive = true, .follow_symlinks = true
	};
	const char *id;

	if (tw_engine_create_manifest(scene->engine, caller, &options, &id, scene->fault))
		fail_msg("%s", scene->fault->message);
	UNTIL(scene->world, !tw_engine_manifest(scene->engine, caller, id)->processing);
	return id;
}

/* The status that it ends with. */
static const char *transfer(struct scene *scene, const struct tw_caller *caller,
			    const char *manifest_id)
{
	const struct tw_transfer_view *view;
	struct tw_transfer_options options;
	char id[TW_OBJECT_ID];

	tw_transfer_options_init(&options);
	options.manifest_id = manifest_id;
	options.destination_id = destination_make(scene->world, 0, 1, caller);
	snprintf(id, sizeof(id), "%s", transfer_make(scene->world, 0, caller, &options));
	UNTIL(scene->world,
	      strcmp(tw_engine_transfer(scene->engine, caller, id)->status, "pending") != 0 &&
		      strcmp(tw_engine_transfer(scene->engine, caller, id)->status, "active") != 0);
	view = tw_engine_transfer(scene->engine, caller, id);
	return view->problems.count ? "with problems" : view->status;
}

static void transfers_see_what_their_owner_sees(void **state)
{
	char received[TEMP_PATH_MAX + 64], id[TW_OBJECT_ID];
	const struct tw_manifest_view *view;
	struct scene scene;

	begin(&scene, *state);
	assert_int_equal(map(&scene, "alice", "/a", "box"), TW_FAULT_NONE);
	snprintf(id, sizeof(id), "%s", manifest(&scene, &scene.caller, "/a"));
	view = tw_engine_manifest(scene.engine, &scene.caller, id);
	/* The link that stays inside is followed, the other one is left out and told of. */
	assert_string_equal(view->status, "complete");
	assert_int_equal(view->total_files, 3);
	assert_non_null(view->error_message);
	assert_string_equal(transfer(&scene, &scene.caller, id), "complete");
	snprintf(received, sizeof(received), "%s/in/deep/down", scene.world->hosts[1].received);
	assert_true(file_is(received, 50, 2));
	/* Another mapping by now: the same names are other files, or none. */
	assert_int_equal(map(&scene, "alice", "/a", "other"), TW_FAULT_NONE);
	assert_string_not_equal(transfer(&scene, &scene.caller, id), "complete");
	assert_string_equal(tw_engine_manifest(scene.engine, &scene.caller,
					       manifest(&scene, &scene.caller, "/a/inside"))
				    ->status,
			    "error");
}

static void watches_see_what_their_owner_sees(void **state)
{
	struct tw_watch_options options;
	char received[TEMP_PATH_MAX + 64];
	struct scene scene;
	const char *id;

	begin(&scene, *state);
	assert_int_equal(map(&scene, "alice", "/a", "box"), TW_FAULT_NONE);
	tw_watch_options_init(&options);
	options.src_path = "/a/deep";
	options.destination_id = destination_make(scene.world, 0, 1, &scene.caller);
	options.interval_seconds = 1;
	options.settle_seconds = 0;
	assert_int_equal(tw_engine_create_watch(scene.engine, &scene.caller, &options, &id,
						scene.fault),
			 TW_FAULT_NONE);
	UNTIL(scene.world, tw_engine_watch(scene.engine, &scene.caller, id)->files_sent == 1);
	snprintf(received, sizeof(received), "%s/down", scene.world->hosts[1].received);
	assert_true(file_is(received, 50, 2));
	options.src_path = "/box";
	assert_int_equal(tw_engine_create_watch(scene.engine, &scene.caller, &options, &id,
						scene.fault),
			 TW_FAULT_NONE);
	UNTIL(scene.world, tw_engine_watch(scene.engine, &scene.caller, id)->error_message);
}

/* Tokens. */

static struct tw_caller token_of(struct scene *scene, const struct tw_caller *by, const char *path)
{
	const char *words[] = { "upload", "download", "modify", "share" };
	const struct tw_token_options options = { .path = path, .permissions = { words, 4 } };
	struct tw_caller caller = { 0 };
	const char *id;

	if (tw_engine_create_token(scene->engine, by, &options, &id, scene->fault) ||
	    tw_engine_token_login(scene->engine, id, NULL, &caller, scene->fault))
		fail_msg("%s", scene->fault->message);
	return caller;
}

static int note_path(void *context, const struct tw_manifest_file_view *file)
{
	struct scene *scene = context;

	snprintf(scene->text, sizeof(scene->text), "%s", file->src_path);
	return 0;
}

static void tokens_are_fenced(void **state)
{
	struct tw_manifest_slice slice = { .limit = UINT64_MAX, .each = note_path };
	struct tw_caller owner, token, narrower;
	struct tw_token_options bad = { .path = "/deep/../.." };
	struct scene scene;
	const char *id;

	begin(&scene, *state);
	owner = scene.caller;
	assert_int_equal(map(&scene, "alice", "/m", "box"), TW_FAULT_NONE);
	token = token_of(&scene, &owner, "m//deep/.");
	assert_string_equal(token.token_path, "/m/deep");
	scene.caller = token;
	assert_string_equal(roots(&scene), "/ ");
	assert_string_equal(ls(&scene, "/"), "down up ");
	assert_string_equal(ls(&scene, "/up"), "NotPermitted");
	assert_string_equal(ls(&scene, "/../inside"), "NotPermitted");
	assert_string_equal(ls(&scene, "/m/deep"), "NotFound");

	id = manifest(&scene, &token, "/");
	slice.id = id;
	slice.context = &scene;
	assert_int_equal(tw_engine_manifest(scene.engine, &token, id)->total_files, 1);
	tw_engine_manifest_files(scene.engine, &token, &slice, scene.fault);
	assert_string_equal(scene.text, "/down");
	tw_engine_manifest_files(scene.engine, &owner, &slice, scene.fault);
	assert_string_equal(scene.text, "/m/deep/down");
	assert_string_equal(transfer(&scene, &token, id), "complete");

	/* A token's tokens are below it. */
	narrower = token_of(&scene, &token, NULL);
	assert_string_equal(narrower.token_path, "/m/deep");
	narrower = token_of(&scene, &token, "/x");
	assert_string_equal(narrower.token_path, "/m/deep/x");
	assert_int_equal(tw_engine_create_token(scene.engine, &token, &bad, &id, scene.fault),
			 TW_FAULT_INVALID_PARAMETER);
	assert_null(token_of(&scene, &owner, "/").token_path);
}

#define SANDBOX(name) cmocka_unit_test_setup_teardown(name, world_make, world_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SANDBOX(mappings_hold_at_once),
		SANDBOX(mappings_with_placeholders),
		SANDBOX(mappings_are_checked),
		SANDBOX(transfers_see_what_their_owner_sees),
		SANDBOX(watches_see_what_their_owner_sees),
		SANDBOX(tokens_are_fenced),
	};

	return cmocka_run_group_tests_name("engine_sandbox", tests, NULL, NULL);
}
