/* What the engine refuses, and to whom; what it clamps; what it gives back a second time. */
#include "engineworld.h"

struct scene {
	struct world *world;
	struct tw_engine *engine;
	struct tw_caller alice, bob, carol, super; /* carol: a wrangler */
	struct tw_destination_options where;
	struct tw_fault *fault;
	char key[TW_KEY_TEXT];
};

static void begin(struct scene *scene, struct world *world)
{
	*scene = (struct scene){
		.world = world, .alice = alice(), .bob = bob(), .fault = &world->fault
	};
	scene->carol = scene->bob;
	scene->carol.user = "carol";
	scene->carol.wrangler = true;
	scene->super = scene->bob;
	scene->super.user = "root";
	scene->super.superuser = true;
	host_start(world, 0);
	scene->engine = world->hosts[0].engine;
	tw_public_key_format(&world->hosts[1].identity.public_key, scene->key);
	tw_destination_options_init(&scene->where);
	scene->where.address = "127.0.0.1";
	scene->where.port = 9;
	scene->where.public_key = scene->key;
}

static int make(struct scene *scene, const struct tw_caller *caller, const char **ret)
{
	return tw_engine_create_destination(scene->engine, caller, &scene->where, ret,
					    scene->fault);
}

static void others_see_nothing(void **state)
{
	struct scene scene;
	struct tw_caller with_token;
	size_t cursor = 0;
	const char *id, *token;
	struct tw_token_options options = { .download_limit = TW_UNSET };

	begin(&scene, *state);
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_NONE);
	assert_non_null(tw_engine_destination(scene.engine, &scene.alice, id));
	assert_null(tw_engine_destination(scene.engine, &scene.bob, id));
	assert_non_null(tw_engine_destination(scene.engine, &scene.carol, id));
	assert_non_null(tw_engine_destination(scene.engine, &scene.super, id));
	assert_null(tw_engine_destination_next(scene.engine, &scene.bob, &cursor));
	assert_int_equal(tw_engine_delete_destination(scene.engine, &scene.bob, id, true,
						      scene.fault),
			 TW_FAULT_NOT_FOUND);
	assert_string_equal(scene.fault->parameter, "destinationId");
	/* Who came with a token sees what was made with it alone. */
	assert_int_equal(tw_engine_create_token(scene.engine, &scene.alice, &options, &token,
						scene.fault),
			 TW_FAULT_NONE);
	assert_int_equal(tw_engine_token_login(scene.engine, token, false, &with_token,
					       scene.fault),
			 TW_FAULT_NONE);
	assert_string_equal(with_token.user, "alice");
	assert_null(tw_engine_destination(scene.engine, &with_token, id));
	assert_int_equal(make(&scene, &with_token, &id), TW_FAULT_NONE);
	assert_non_null(tw_engine_destination(scene.engine, &with_token, id));
	assert_non_null(tw_engine_destination(scene.engine, &scene.alice, id));
	assert_string_equal(
		tw_engine_destination(scene.engine, &scene.alice, id)->ownership.owner_token,
		token);
}

static void keys_and_ciphers(void **state)
{
	struct scene scene;
	const struct tw_destination_view *view;
	const char *id;

	begin(&scene, *state);
	scene.where.public_key = NULL;
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_INVALID_PARAMETER);
	assert_string_equal(scene.fault->parameter, "destinationPublicKey");
	scene.where.encryption_enabled = false;
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_NONE);
	view = tw_engine_destination(scene.engine, &scene.alice, id);
	assert_false(view->connection.encryption_enabled);
	assert_null(view->connection.destination_public_key);
	scene.engine->options.min_cipher = TW_CIPHER_AUTH;
	scene.where.port = 10;
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_INVALID_PARAMETER);
	scene.engine->options.min_cipher = TW_CIPHER_256;
	scene.where.public_key = scene.key;
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_INVALID_PARAMETER);
	assert_string_equal(scene.fault->parameter, "encryptionEnabled");
	scene.where.encryption_enabled = true;
	scene.where.public_key = "not a key";
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_INVALID_PARAMETER);
	scene.where.public_key = scene.key;
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_NONE);
	assert_int_equal(tw_destination_cipher((struct tw_destination *)tw_shelf_find(
				 &scene.engine->destinations, id)),
			 TW_CIPHER_256);
}

/* The permitted key is another one: nothing goes there. */
static void permitted_key(void **state)
{
	struct scene scene;
	const struct tw_destination_view *view;
	struct tw_transfer_options options;
	char other[TW_KEY_TEXT];
	const char *id;

	begin(&scene, *state);
	tw_public_key_format(&scene.world->hosts[0].identity.public_key, other);
	scene.where.permitted_public_key = other;
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_NONE);
	view = tw_engine_destination(scene.engine, &scene.alice, id);
	assert_string_equal(view->connection.last_error, "keyMismatch");
	assert_string_equal(view->permitted_destination_public_key, other);
	file_make(&scene.world->hosts[0], "file", 10, 1);
	tw_transfer_options_init(&options);
	options.destination_id = id;
	options.manifest_id = manifest_make(scene.world, 0, &scene.alice, "file");
	id = transfer_make(scene.world, 0, &scene.alice, &options);
	for (int i = 0; i < 20; i++)
		turn(scene.world);
	assert_true(has_status(scene.world, 0, id, "pending"));
}

static void the_same_twice_is_one(void **state)
{
	struct scene scene;
	const char *first, *again, *other;
	char copy[TW_OBJECT_ID];

	begin(&scene, *state);
	assert_int_equal(make(&scene, &scene.alice, &first), TW_FAULT_NONE);
	strcpy(copy, first);
	assert_int_equal(make(&scene, &scene.alice, &again), TW_FAULT_NONE);
	assert_string_equal(copy, again);
	assert_int_equal(make(&scene, &scene.bob, &other), TW_FAULT_NONE);
	assert_string_not_equal(copy, other);
	scene.where.send_rate_max = 5000;
	assert_int_equal(make(&scene, &scene.alice, &other), TW_FAULT_NONE);
	assert_string_not_equal(copy, other);
	strcpy(copy, other);
	/* A request that is repeated gives its first result, whatever else it says. */
	scene.where.client_request_id = "r1";
	scene.where.port = 77;
	assert_int_equal(make(&scene, &scene.alice, &first), TW_FAULT_NONE);
	strcpy(copy, first);
	scene.where.port = 78;
	assert_int_equal(make(&scene, &scene.alice, &again), TW_FAULT_NONE);
	assert_string_equal(copy, again);
	assert_int_equal(make(&scene, &scene.bob, &other), TW_FAULT_NONE);
	assert_string_not_equal(copy, other);
}

static void rates_are_clamped(void **state)
{
	const uint64_t limit = 50000, none = TW_UNSET;
	struct tw_bandwidth_change change = { .outgoing_rate_limit = &limit };
	struct tw_rate_change rates = { .send_rate = 90000,
					.send_rate_min = 60000,
					.send_rate_max = 80000 };
	const bool fixed = false;
	struct scene scene;
	const char *id;
	json_t *answer;

	begin(&scene, *state);
	assert_int_equal(tw_engine_set_bandwidth(scene.engine, &change, scene.fault),
			 TW_FAULT_NONE);
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_NONE);
	rates.destination_id = id;
	assert_int_equal(tw_engine_set_rate(scene.engine, &scene.alice, &rates, &answer,
					    scene.fault),
			 TW_FAULT_NONE);
	assert_int_equal(json_integer_value(json_object_get(answer, "sendRate")), limit);
	assert_int_equal(json_integer_value(json_object_get(answer, "sendRateMin")), limit);
	assert_int_equal(json_integer_value(json_object_get(answer, "sendRateMax")), limit);
	assert_true(json_is_true(json_object_get(answer, "clamped")));
	json_decref(answer);
	assert_int_equal(
		tw_engine_destination(scene.engine, &scene.alice, id)->connection.send_rate_max,
		limit);
	change.outgoing_rate_limit = &none;
	assert_int_equal(tw_engine_set_bandwidth(scene.engine, &change, scene.fault),
			 TW_FAULT_NONE);
	rates = (struct tw_rate_change){ .destination_id = id,
					 .send_rate = 1000,
					 .send_rate_min = TW_UNSET,
					 .send_rate_max = TW_UNSET,
					 .rate_controller_active = &fixed };
	assert_int_equal(tw_engine_set_rate(scene.engine, &scene.alice, &rates, &answer,
					    scene.fault),
			 TW_FAULT_NONE);
	/* The minimum was set before, and is above. */
	assert_int_equal(json_integer_value(json_object_get(answer, "sendRate")), limit);
	json_decref(answer);
	rates.rate_control_method = "none such";
	assert_int_equal(tw_engine_set_rate(scene.engine, &scene.alice, &rates, &answer,
					    scene.fault),
			 TW_FAULT_INVALID_PARAMETER);
	assert_string_equal(scene.fault->parameter, "rateControlMethod");
}

/* Limits of the command line are the operator's. */
static void limits_of_the_command_line(void **state)
{
	const uint64_t limit = 50000;
	struct tw_bandwidth_change change = { .outgoing_rate_limit = &limit };
	struct world *world = *state;
	struct tw_server_view server;
	struct scene scene;

	world->options.outgoing_rate_limit = 1000;
	begin(&scene, world);
	assert_int_equal(tw_engine_set_bandwidth(scene.engine, &change, scene.fault),
			 TW_FAULT_CONFLICT);
	tw_engine_server(scene.engine, &scene.super, &server);
	assert_int_equal(server.bandwidth_limits.outgoing_rate_limit, 1000);
}

static void borrows_what_is_left(void **state)
{
	static const struct {
		uint64_t own, other, other_used;
		bool borrow;
		uint64_t may;
	} cases[] = {
		{ 1000, 1000, 0, false, 1000 },
		{ 1000, 1000, 0, true, 1900 }, /* a tenth stays free */
		{ 1000, 1000, 500, true, 1400 },
		{ 1000, 1000, 950, true, 1000 }, /* the other one needs all of it */
		{ 1000, 1000, 2000, true, 1000 },
		{ UINT64_MAX, 1000, 0, true, UINT64_MAX },
		{ 1000, UINT64_MAX, 0, true, 1000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(tw_limits_borrowed(cases[i].own, cases[i].other,
						    cases[i].other_used, cases[i].borrow),
				 cases[i].may);
}

static void files_only_for_the_account(void **state)
{
	struct tw_manifest_mapping mapping = { "/etc/hostname", "x" };
	struct tw_manifest_options options = { .mappings = &mapping, .mapping_count = 1 };
	struct scene scene;
	struct tw_caller remote;
	const char *id;

	begin(&scene, *state);
	remote = scene.bob;
	remote.authenticated = false;
	assert_int_equal(tw_engine_create_manifest(scene.engine, &remote, &options, &id,
						   scene.fault),
			 TW_FAULT_NOT_PERMITTED);
	remote.authenticated = true;
	remote.user = "";
	assert_int_equal(tw_engine_create_manifest(scene.engine, &remote, &options, &id,
						   scene.fault),
			 TW_FAULT_NOT_PERMITTED);
	/* Whoever keeps the rights does not know him. */
	remote.user = "no-body";
	assert_int_equal(tw_engine_create_manifest(scene.engine, &remote, &options, &id,
						   scene.fault),
			 TW_FAULT_NONE);
	UNTIL(scene.world, !tw_engine_manifest(scene.engine, &remote, id)->processing);
	assert_string_equal(tw_engine_manifest(scene.engine, &remote, id)->status, "error");
	mapping.src_path = "/a/../../b";
	assert_int_equal(tw_engine_create_manifest(scene.engine, &scene.alice, &options, &id,
						   scene.fault),
			 TW_FAULT_INVALID_PARAMETER);
	mapping = (struct tw_manifest_mapping){ "/etc/hostname", "../x" };
	assert_int_equal(tw_engine_create_manifest(scene.engine, &scene.alice, &options, &id,
						   scene.fault),
			 TW_FAULT_INVALID_PARAMETER);
	options.mapping_count = 0;
	assert_int_equal(tw_engine_create_manifest(scene.engine, &scene.alice, &options, &id,
						   scene.fault),
			 TW_FAULT_INVALID_PARAMETER);
}

static int count_files(void *context, const struct tw_manifest_file_view *file)
{
	unsigned *counts = context;

	counts[0]++;
	counts[1] += file->is_empty_dir;
	assert_int_equal(*file->src_path, '/');
	assert_non_null(strstr(file->src_path, file->dest_path));
	return 0;
}

static void manifests_list_their_files(void **state)
{
	struct tw_manifest_mapping mapping = { NULL, "" };
	struct tw_manifest_options options = { .mappings = &mapping,
					       .mapping_count = 1,
					       .recursive = true };
	struct tw_manifest_slice slice = { .limit = UINT64_MAX, .each = count_files };
	unsigned counts[2] = { 0 };
	struct scene scene;
	const struct tw_manifest_view *view;
	const char *id;

	begin(&scene, *state);
	mkdir(place_of(&scene.world->hosts[0], "in"), 0755);
	mkdir(place_of(&scene.world->hosts[0], "in/empty"), 0755);
	mkdir(place_of(&scene.world->hosts[0], "in/full"), 0755);
	file_make(&scene.world->hosts[0], "in/full/a", 10, 1);
	file_make(&scene.world->hosts[0], "in/b", 20, 1);
	mapping.src_path = place_of(&scene.world->hosts[0], "in");
	assert_int_equal(tw_engine_create_manifest(scene.engine, &scene.alice, &options, &id,
						   scene.fault),
			 TW_FAULT_NONE);
	assert_int_equal(tw_engine_manifest(scene.engine, &scene.alice, id)->total_files, TW_UNSET);
	UNTIL(scene.world, !tw_engine_manifest(scene.engine, &scene.alice, id)->processing);
	view = tw_engine_manifest(scene.engine, &scene.alice, id);
	assert_string_equal(view->status, "complete");
	assert_int_equal(view->total_files, 2);
	assert_int_equal(view->total_size, 30);
	slice.id = id;
	slice.context = counts;
	assert_int_equal(tw_engine_manifest_files(scene.engine, &scene.alice, &slice, scene.fault),
			 TW_FAULT_NONE);
	assert_int_equal(counts[0], 4);
	assert_int_equal(counts[1], 1);
	slice.offset = 3;
	counts[0] = 0;
	tw_engine_manifest_files(scene.engine, &scene.alice, &slice, scene.fault);
	assert_int_equal(counts[0], 1);
	/* Only what lies in the folder itself. */
	options.recursive = false;
	assert_int_equal(tw_engine_create_manifest(scene.engine, &scene.alice, &options, &id,
						   scene.fault),
			 TW_FAULT_NONE);
	UNTIL(scene.world, !tw_engine_manifest(scene.engine, &scene.alice, id)->processing);
	assert_int_equal(tw_engine_manifest(scene.engine, &scene.alice, id)->total_files, 1);
	/* A source that is not there. */
	mapping.src_path = "/no/such/thing";
	assert_int_equal(tw_engine_create_manifest(scene.engine, &scene.alice, &options, &id,
						   scene.fault),
			 TW_FAULT_NONE);
	UNTIL(scene.world, !tw_engine_manifest(scene.engine, &scene.alice, id)->processing);
	view = tw_engine_manifest(scene.engine, &scene.alice, id);
	assert_string_equal(view->status, "error");
	assert_non_null(strstr(view->error_message, "no/such/thing"));
}

/* A token for a manifest lets others have it sent, so often as it says. */
static void shared_tokens(void **state)
{
	struct tw_token_options options = { .shared = true,
					    .download_limit = 1,
					    .password = tw_password_nobody };
	struct tw_transfer_options transfer;
	const struct tw_token_view *view;
	struct scene scene;
	const char *token, *id;

	begin(&scene, *state);
	file_make(&scene.world->hosts[0], "file", 10, 1);
	options.manifest_id = manifest_make(scene.world, 0, &scene.alice, "file");
	assert_int_equal(tw_engine_create_token(scene.engine, &scene.bob, &options, &token,
						scene.fault),
			 TW_FAULT_NOT_FOUND);
	assert_int_equal(tw_engine_create_token(scene.engine, &scene.alice, &options, &token,
						scene.fault),
			 TW_FAULT_NONE);
	assert_int_equal(make(&scene, &scene.bob, &id), TW_FAULT_NONE);
	tw_transfer_options_init(&transfer);
	transfer.destination_id = id;
	transfer.manifest_id = options.manifest_id;
	assert_int_equal(tw_engine_create_transfer(scene.engine, &scene.bob, &transfer, &id,
						   scene.fault),
			 TW_FAULT_NOT_FOUND);
	transfer.manifest_id = NULL;
	transfer.token = token;
	assert_int_equal(tw_engine_create_transfer(scene.engine, &scene.bob, &transfer, &id,
						   scene.fault),
			 TW_FAULT_NOT_AUTHENTICATED);
	transfer.token_password_right = true;
	assert_int_equal(tw_engine_create_transfer(scene.engine, &scene.bob, &transfer, &id,
						   scene.fault),
			 TW_FAULT_NONE);
	assert_int_equal(tw_engine_create_transfer(scene.engine, &scene.bob, &transfer, &id,
						   scene.fault),
			 TW_FAULT_LIMIT_REACHED);
	view = tw_engine_token(scene.engine, &scene.alice, true, token);
	assert_int_equal(view->download_count, 1);
	assert_true(view->password_required);
	assert_null(tw_engine_token(scene.engine, &scene.alice, false, token));
	assert_int_equal(tw_engine_delete_token(scene.engine, &scene.alice, true, token,
						scene.fault),
			 TW_FAULT_NONE);
}

static void user_data_merges(void **state)
{
	const char *const gone[] = { "a" };
	const struct tw_strings keys = { gone, 1 };
	json_t *data = json_pack("{sisi}", "a", 1, "b", 2), *large;
	struct scene scene;
	const char *id;

	begin(&scene, *state);
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_NONE);
	assert_int_equal(tw_engine_update_user_data(scene.engine, &scene.alice, "destinationId", id,
						    data, scene.fault),
			 TW_FAULT_NONE);
	assert_int_equal(tw_engine_delete_user_data(scene.engine, &scene.alice, "destinationId", id,
						    &keys, scene.fault),
			 TW_FAULT_NONE);
	assert_int_equal(
		json_object_size(tw_engine_destination(scene.engine, &scene.alice, id)->user_data),
		1);
	large = json_pack("{so}", "x", json_sprintf("%070000d", 1));
	assert_int_equal(tw_engine_update_user_data(scene.engine, &scene.alice, "destinationId", id,
						    large, scene.fault),
			 TW_FAULT_LIMIT_REACHED);
	assert_int_equal(tw_engine_update_user_data(scene.engine, &scene.bob, "destinationId", id,
						    data, scene.fault),
			 TW_FAULT_NOT_FOUND);
	json_decref(data);
	json_decref(large);
}

static void garbage_goes(void **state)
{
	struct tw_garbage_settings settings = { 3600, 0, 0 };
	struct tw_transfer_options options;
	struct scene scene;
	const char *id;
	char copy[TW_OBJECT_ID];

	begin(&scene, *state);
	file_make(&scene.world->hosts[0], "file", 10, 1);
	tw_transfer_options_init(&options);
	options.manifest_id = manifest_make(scene.world, 0, &scene.alice, "file");
	assert_int_equal(make(&scene, &scene.alice, &options.destination_id), TW_FAULT_NONE);
	id = transfer_make(scene.world, 0, &scene.alice, &options);
	strcpy(copy, id);
	assert_int_equal(tw_engine_set_garbage(scene.engine, &settings, scene.fault),
			 TW_FAULT_NONE);
	assert_int_equal(tw_engine_collect_garbage(scene.engine), 0);
	assert_int_equal(tw_engine_transfer_act(scene.engine, &scene.alice, id, TW_TRANSFER_CANCEL,
						NULL, scene.fault),
			 TW_FAULT_NONE);
	assert_int_equal(tw_engine_collect_garbage(scene.engine), 2);
	assert_null(tw_engine_transfer(scene.engine, &scene.alice, copy));
}

/* Names are looked up on a thread; one that does not exist says so. */
static void names_are_resolved(void **state)
{
	const struct tw_destination_view *view;
	struct scene scene;
	const char *id;

	begin(&scene, *state);
	scene.where.address = "localhost";
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_NONE);
	UNTIL(scene.world,
	      *tw_engine_destination(scene.engine, &scene.alice, id)->connection.destination_ip);
	scene.where.address = "no-such-host.invalid";
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_NONE);
	UNTIL(scene.world, (view = tw_engine_destination(scene.engine, &scene.alice, id))
				   ->connection.last_error);
	assert_string_equal(view->connection.last_error, "resolveFailed");
}

/* A key makes a relay one of our own; without one it is the destination's. */
static void own_relays_are_named(void **state)
{
	static const struct {
		const char *address; /* "%s": the key */
		uint16_t port;
		bool key;
		const char *host; /* NULL: refused */
		uint16_t control;
	} cases[] = {
		{ "relay.test#%s", 0, false, "relay.test", 8887 },
		{ "relay.test:99#%s", 0, false, "relay.test", 99 },
		{ "relay.test:99#%s", 100, true, "relay.test", 100 },
		{ "[2001:db8::1]:99#%s", 0, false, "2001:db8::1", 99 },
		{ "[2001:db8::1]#%s", 0, false, "2001:db8::1", 8887 },
		{ "2001:db8::1#%s", 0, false, "2001:db8::1", 8887 },
		{ "192.0.2.1", 0, true, "192.0.2.1", 8887 },
		{ "192.0.2.1", 8887, true, "192.0.2.1", 8887 },
		{ "relay.test#", 0, false, NULL, 0 },
		{ "relay.test#short", 0, false, NULL, 0 },
		{ "#%s", 0, false, NULL, 0 },
		{ ":99#%s", 0, false, NULL, 0 },
		{ "relay.test:0#%s", 0, false, NULL, 0 },
		{ "relay.test:65536#%s", 0, false, NULL, 0 },
		{ "relay.test:9x#%s", 0, false, NULL, 0 },
		{ "[2001:db8::1#%s", 0, false, NULL, 0 },
		{ "[2001:db8::1]9#%s", 0, false, NULL, 0 },
		{ "a b#%s", 0, false, NULL, 0 },
		{ "relay.test", 0, false, NULL, 0 }, /* no key: its port is needed */
	};
	struct scene scene;
	char line[400];
	const char *id;

	begin(&scene, *state);
	scene.where.relay_address = line;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct tw_destination *made;
		int r;

		snprintf(line, sizeof line, cases[i].address, scene.key);
		scene.where.relay_port = cases[i].port;
		scene.where.relay_public_key = cases[i].key ? scene.key : NULL;
		r = make(&scene, &scene.alice, &id);
		assert_int_equal(r, cases[i].host ? TW_FAULT_NONE : TW_FAULT_INVALID_PARAMETER);
		if (!cases[i].host) {
			assert_true(!strncmp(scene.fault->parameter, "relay", 5));
			continue;
		}
		made = (struct tw_destination *)tw_shelf_find(&scene.engine->destinations, id);
		assert_string_equal(made->settings.relay_address, cases[i].host);
		assert_int_equal(made->settings.relay_port, cases[i].control);
		assert_string_equal(made->settings.relay_key, scene.key);
		assert_non_null(made->relay);
	}
	scene.where.relay_public_key = "other";
	snprintf(line, sizeof line, "relay.test#%s", scene.key);
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_INVALID_PARAMETER);
	assert_string_equal(scene.fault->parameter, "relayPublicKey");
}

/* Not one that is there already. */
static int make_other(struct scene *scene, const struct tw_caller *caller, const char **ret)
{
	scene->where.port++;
	return make(scene, caller, ret);
}

/* An account gets half of a shelf, whatever others leave of it; who may do everything gets all. */
static void a_shelf_is_shared(void **state)
{
	char first[TW_OBJECT_ID];
	struct tw_shelf *shelf;
	struct scene scene;
	const char *id;

	begin(&scene, *state);
	shelf = &scene.engine->destinations;
	shelf->count_max = 8;
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(make_other(&scene, &scene.alice, &id), TW_FAULT_NONE);
		if (!i)
			strcpy(first, id);
	}
	assert_int_equal(make_other(&scene, &scene.alice, &id), TW_FAULT_LIMIT_REACHED);
	assert_non_null(strstr(scene.fault->message, "This account has 4 destinations, half of"));
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(make_other(&scene, &scene.bob, &id), TW_FAULT_NONE);
		assert_int_equal(make_other(&scene, &scene.super, &id), TW_FAULT_NONE);
	}
	assert_int_equal(make_other(&scene, &scene.super, &id), TW_FAULT_LIMIT_REACHED);
	assert_non_null(strstr(scene.fault->message, "There are 8 destinations already"));
	/* What goes makes room again. */
	assert_int_equal(tw_engine_delete_destination(scene.engine, &scene.alice, first, false,
						      scene.fault),
			 TW_FAULT_NONE);
	assert_int_equal(make_other(&scene, &scene.alice, &id), TW_FAULT_NONE);
}

/* One agent for each relay, a bounded number of them, and each goes with its last destination. */
static void own_relays_are_shared(void **state)
{
	char line[128], ids[2][TW_OBJECT_ID];
	struct tw_engine *engine;
	struct scene scene;
	const char *id;

	begin(&scene, *state);
	engine = scene.engine;
	scene.where.relay_address = line;
	snprintf(line, sizeof line, "127.0.0.1:9#%s", scene.key);
	for (unsigned i = 0; i < 2; i++) {
		scene.where.port++;
		assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_NONE);
		strcpy(ids[i], id);
	}
	assert_int_equal(engine->own_relay_count, 1);
	UNTIL(scene.world, tw_engine_destination(engine, &scene.alice, id)->connection.last_error);
	assert_string_equal(tw_engine_destination(engine, &scene.alice, id)->connection.last_error,
			    "relayUnavailable");
	for (unsigned i = 1; i < TW_OWN_RELAYS_MAX; i++) {
		snprintf(line, sizeof line, "127.0.0.1:%u#%s", 10 + i, scene.key);
		assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_NONE);
	}
	snprintf(line, sizeof line, "127.0.0.1:1000#%s", scene.key);
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_LIMIT_REACHED);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(engine->own_relay_count, TW_OWN_RELAYS_MAX);
		assert_int_equal(tw_engine_delete_destination(engine, &scene.alice, ids[i], false,
							      scene.fault),
				 TW_FAULT_NONE);
	}
	assert_int_equal(engine->own_relay_count, TW_OWN_RELAYS_MAX - 1);
	assert_int_equal(make(&scene, &scene.alice, &id), TW_FAULT_NONE);
	/* All of them are there again after a restart. */
	host_stop(scene.world, 0);
	host_start(scene.world, 0);
	assert_int_equal(scene.world->hosts[0].engine->own_relay_count, TW_OWN_RELAYS_MAX);
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, world_make, world_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(others_see_nothing),
		RULE(keys_and_ciphers),
		RULE(permitted_key),
		RULE(the_same_twice_is_one),
		RULE(rates_are_clamped),
		RULE(limits_of_the_command_line),
		cmocka_unit_test(borrows_what_is_left),
		RULE(files_only_for_the_account),
		RULE(manifests_list_their_files),
		RULE(shared_tokens),
		RULE(user_data_merges),
		RULE(garbage_goes),
		RULE(names_are_resolved),
		RULE(own_relays_are_named),
		RULE(a_shelf_is_shared),
		RULE(own_relays_are_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
