/*
 * Who may call what, cell by cell: every method of the table, as everybody, on objects of his own,
 * of others, of other tokens and on none, through the very checks and handlers and a real engine.
 * What is expected follows from what the table declares; a method that declares nothing fails.
 */
#include "engineworld.h"

#include "api/private.h"

#define MISSING_ID "00000000000000000000000000000000"
#define MESSAGE 4096

/* Whose an object is. */
enum whose { OWN, BY_TOKEN, BY_OTHER_TOKEN, BY_SHARED, FOREIGN, MISSING, WHOSE };

static const char *const whose_names[] = { "own",       "by token", "by another token",
					   "by shared", "foreign",  "missing" };

enum { KINDS = TW_API_REQUEST + 1 };

struct scene {
	struct world *world;
	struct tw_engine *engine;
	struct tw_api *api;
	char token[TW_OBJECT_ID], other_token[TW_OBJECT_ID], shared[TW_OBJECT_ID];
	char ids[KINDS][WHOSE][TW_OBJECT_ID];
	char mapping[TEMP_PATH_MAX + 16], nowhere[TEMP_PATH_MAX + 16], key[TW_KEY_TEXT];
	unsigned terminated;
	bool patient; /* calls that wait are waited for, not cancelled */
};

struct role {
	const char *name, *user, *token;
	bool authenticated, superuser, superuser_allowed, wrangler, shared;
	unsigned permissions;
};

static const struct tw_caller all = { .user = "", .superuser = true, .permissions = TW_MAY_ALL };

static void terminate(void *context)
{
	((struct scene *)context)->terminated++;
}

/* Fixtures. */

static struct tw_caller maker_of(const struct scene *scene, enum whose whose)
{
	struct tw_caller caller = whose == FOREIGN ? bob() : alice();

	if (whose == BY_TOKEN)
		caller.token = scene->token;
	else if (whose == BY_OTHER_TOKEN)
		caller.token = scene->other_token;
	else if (whose == BY_SHARED)
		caller.token = scene->shared;
	return caller;
}

static void make_token(struct scene *scene, const struct tw_caller *caller, const char *manifest,
		       char ret[TW_OBJECT_ID])
{
	const struct tw_token_options options = { .shared = manifest != NULL,
						  .manifest_id = manifest,
						  .download_limit = TW_UNSET };
	const char *id;

	if (tw_engine_create_token(scene->engine, caller, &options, &id, &scene->world->fault))
		fail_msg("%s", scene->world->fault.message);
	snprintf(ret, TW_OBJECT_ID, "%s", id);
}

static void make_watch(struct scene *scene, const struct tw_caller *caller, const char *destination,
		       char ret[TW_OBJECT_ID])
{
	struct tw_watch_options options;
	const char *id;

	tw_watch_options_init(&options);
	options.src_path = scene->world->hosts[0].place;
	options.destination_id = destination;
	options.enabled = false;
	if (tw_engine_create_watch(scene->engine, caller, &options, &id, &scene->world->fault))
		fail_msg("%s", scene->world->fault.message);
	snprintf(ret, TW_OBJECT_ID, "%s", id);
}

static void make_transfer(struct scene *scene, const struct tw_caller *caller, enum whose whose)
{
	struct tw_transfer_options options;

	tw_transfer_options_init(&options);
	options.manifest_id = scene->ids[TW_API_MANIFEST][whose];
	options.destination_id = scene->ids[TW_API_DESTINATION][whose];
	snprintf(scene->ids[TW_API_TRANSFER][whose], TW_OBJECT_ID, "%s",
		 transfer_make(scene->world, 0, caller, &options));
}

/* What an earlier cell has taken away is made again. */
static void ensure(struct scene *scene, enum whose whose)
{
	struct tw_caller caller = maker_of(scene, whose);
	struct tw_request *request;
	const char *id;

	if (!tw_engine_destination(scene->engine, &all, scene->ids[TW_API_DESTINATION][whose])) {
		struct tw_destination_options options;

		tw_destination_options_init(&options);
		options.address = "127.0.0.1";
		options.port = (uint16_t)(9000 + whose);
		options.public_key = scene->key;
		assert_int_equal(tw_engine_create_destination(scene->engine, &caller, &options, &id,
							      &scene->world->fault),
				 0);
		snprintf(scene->ids[TW_API_DESTINATION][whose], TW_OBJECT_ID, "%s", id);
		snprintf(scene->ids[TW_API_CONNECTION][whose], TW_OBJECT_ID, "%s",
			 tw_engine_destination(scene->engine, &all, id)->connection.connection_id);
	}
	if (!tw_engine_manifest(scene->engine, &all, scene->ids[TW_API_MANIFEST][whose]))
		snprintf(scene->ids[TW_API_MANIFEST][whose], TW_OBJECT_ID, "%s",
			 manifest_make(scene->world, 0, &caller, "file"));
	if (!tw_engine_transfer(scene->engine, &all, scene->ids[TW_API_TRANSFER][whose]))
		make_transfer(scene, &caller, whose);
	if (!tw_engine_token(scene->engine, &all, false, scene->ids[TW_API_TOKEN][whose]))
		make_token(scene, &caller, NULL, scene->ids[TW_API_TOKEN][whose]);
	if (!tw_engine_token(scene->engine, &all, true, scene->ids[TW_API_SHARED_TOKEN][whose]))
		make_token(scene, &caller, scene->ids[TW_API_MANIFEST][whose],
			   scene->ids[TW_API_SHARED_TOKEN][whose]);
	memcpy(scene->ids[TW_API_SOME_TOKEN][whose], scene->ids[TW_API_TOKEN][whose], TW_OBJECT_ID);
	if (!tw_engine_watch(scene->engine, &all, scene->ids[TW_API_WATCH][whose]))
		make_watch(scene, &caller, scene->ids[TW_API_DESTINATION][whose],
			   scene->ids[TW_API_WATCH][whose]);
	if (!scene->ids[TW_API_REQUEST][whose][0]) {
		assert_int_equal(tw_engine_request_new(scene->engine, &caller, &id, &request,
						       &scene->world->fault),
				 0);
		snprintf(scene->ids[TW_API_REQUEST][whose], TW_OBJECT_ID, "%s", id);
	}
}

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof *scene);
	struct tw_caller caller = alice();
	struct tw_api_options options = { .auth_required = true,
					  .api_tokens = true,
					  .shared_tokens = true,
					  .terminate = terminate,
					  .context = scene };
	char message[TW_API_MESSAGE], manifest[TW_OBJECT_ID];

	world_make((void **)&scene->world);
	host_start(scene->world, 0);
	scene->engine = scene->world->hosts[0].engine;
	file_make(&scene->world->hosts[0], "file", 1000, 1);
	snprintf(scene->mapping, sizeof scene->mapping, "%s:copy",
		 place_of(&scene->world->hosts[0], "file"));
	snprintf(scene->nowhere, sizeof scene->nowhere, "%s",
		 place_of(&scene->world->hosts[0], "nowhere"));
	tw_public_key_format(&scene->world->hosts[1].identity.public_key, scene->key);
	options.base = scene->world->base;
	options.engine = scene->engine;
	options.accounts = scene->world->accounts;
	assert_int_equal(tw_api_new(&options, &scene->api, message), 0);
	make_token(scene, &caller, NULL, scene->token);
	make_token(scene, &caller, NULL, scene->other_token);
	snprintf(manifest, sizeof manifest, "%s", manifest_make(scene->world, 0, &caller, "file"));
	make_token(scene, &caller, manifest, scene->shared);
	for (enum whose whose = 0; whose < MISSING; whose++)
		ensure(scene, whose);
	for (size_t kind = 0; kind < KINDS; kind++)
		snprintf(scene->ids[kind][MISSING], TW_OBJECT_ID, MISSING_ID);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	tw_api_free(scene->api);
	world_free((void **)&scene->world);
	free(scene);
	return 0;
}

/* What the table says. */

static bool sees(const struct role *role, enum tw_api_object kind, enum whose whose)
{
	if (whose == MISSING)
		return false;
	if (role->superuser || (role->wrangler && kind != TW_API_REQUEST))
		return true;
	if (strcmp(role->user, whose == FOREIGN ? "bob" : "alice") != 0)
		return false;
	if (role->token)
		return whose == (role->shared ? BY_SHARED : BY_TOKEN);
	/* Of requests each session sees its own. */
	return kind != TW_API_REQUEST || whose == OWN || whose == FOREIGN;
}

static enum tw_fault_code expect_call(const struct tw_api_method *method, const struct role *role)
{
	if (method->role == TW_API_ANYONE)
		return TW_FAULT_NONE;
	if (!role->authenticated)
		return TW_FAULT_NOT_AUTHENTICATED;
	if (method->role == TW_API_SUPERUSER && !role->superuser)
		return TW_FAULT_NOT_PERMITTED;
	if (role->token && (method->token == TW_TOKEN_NEVER || (role->shared && !method->shared)))
		return TW_FAULT_NOT_PERMITTED;
	if (role->token && method->token != TW_TOKEN_ANY && (method->token & ~role->permissions))
		return TW_FAULT_NOT_PERMITTED;
	/* These two are about the account, which has not been given that right. */
	if ((!strcmp(method->name, "superuser") && !role->superuser_allowed) ||
	    (!strcmp(method->name, "wrangler") && !role->superuser_allowed))
		return TW_FAULT_NOT_PERMITTED;
	return TW_FAULT_NONE;
}

/* Calls. */

static json_t *value_for(const struct scene *scene, const struct tw_api_method *method,
			 const struct tw_api_parameter *row)
{
	if (!strcmp(row->name, "fileMappings"))
		return json_pack("[s]", scene->mapping);
	if (!strcmp(row->name, "mapping"))
		return json_pack("{s:s}", "/", scene->world->hosts[0].place);
	if (!strcmp(row->name, "clientPublicKey") || !strcmp(row->name, "destinationPublicKey"))
		return json_string(scene->key);
	if (!strcmp(row->name, "destinationAddress") || !strcmp(row->name, "address"))
		return json_string("127.0.0.1");
	if (!strcmp(row->name, "srcPath") && !strcmp(method->name, "send.createWatch"))
		return json_string(scene->world->hosts[0].place);
	if (!strcmp(row->name, "token"))
		return json_string(MISSING_ID);
	switch (row->type) {
	case TW_API_STRING:
		return json_string(row->words ? row->words[0] : scene->nowhere);
	case TW_API_BOOL:
		return json_false();
	case TW_API_INTEGER:
	case TW_API_TIME:
		return json_integer(row->min);
	case TW_API_STRINGS:
		return json_pack("[s]", scene->nowhere);
	default:
		return json_object();
	}
}

static bool is_needed(const struct tw_api_method *method, const struct tw_api_parameter *row)
{
	return row->required || !strcmp(row->name, "fileMappings") ||
	       (!strcmp(row->name, "destinationPublicKey") && strstr(method->name, "createDest")) ||
	       (!strcmp(row->name, "manifestId") && strstr(method->name, "createTransfer"));
}

/* @chosen: an object that may be named, beside those that must be; NULL: none. */
static json_t *parameters_for(const struct scene *scene, const struct tw_api_method *method,
			      const struct tw_api_parameter *chosen, enum whose whose)
{
	json_t *parameters = json_object();

	for (size_t i = 0; i < method->parameter_count; i++) {
		const struct tw_api_parameter *row = &method->parameters[i];

		if (!is_needed(method, row) && row != chosen)
			continue;
		json_object_set_new(parameters, row->name,
				    row->object ? json_string(scene->ids[row->object][whose])
						: value_for(scene, method, row));
	}
	return parameters;
}

static struct tw_api_session session_of(const struct role *role)
{
	struct tw_api_session session = {
		.authenticated = role->authenticated,
		.superuser = role->superuser,
		.superuser_allowed = role->superuser_allowed,
		.wrangler = role->wrangler,
		.by_token = role->token != NULL,
		.token_shared = role->shared,
		.permissions = role->permissions,
		.holders = 1,
	};

	snprintf(session.user, sizeof session.user, "%s", role->user);
	snprintf(session.token, sizeof session.token, "%s", role->token ? role->token : "");
	return session;
}

/* The fault's code; the answer in @ret, with every id of the call as "ID". */
static enum tw_fault_code run(struct scene *scene, const struct tw_api_method *method,
			      const struct role *role, json_t *parameters, char ret[MESSAGE])
{
	struct tw_api_session session = session_of(role);
	const struct tw_http_peer peer = { .local = true, .uid = 4321 };
	struct tw_api_call call = { .api = scene->api,
				    .engine = scene->engine,
				    .method = method,
				    .parameters = parameters };
	struct tw_api_exchange exchange = { .api = scene->api,
					    .peer = &peer,
					    .session = &session,
					    .calls = &call,
					    .count = 1,
					    .pending = 2 };
	struct tw_jsontext text;
	json_t *value;
	const char *name;

	call.exchange = &exchange;
	tw_api_call_run(&call);
	while (scene->patient && !call.finished)
		turn(scene->world);
	if (!call.finished)
		tw_api_call_cancel(&call);
	tw_jsontext_init(&text);
	tw_api_call_text(&call, &text);
	snprintf(ret, MESSAGE, "%.*s", (int)(text.length < MESSAGE ? text.length : MESSAGE - 1),
		 text.bytes);
	tw_jsontext_deinit(&text);
	tw_jsontext_deinit(&call.result);
	json_object_foreach (parameters, name, value) {
		const char *id = json_string_value(value);
		char *at = id && strlen(id) == TW_OBJECT_ID - 1 ? strstr(ret, id) : NULL;

		if (at)
			memcpy(at, MISSING_ID, TW_OBJECT_ID - 1);
	}
	if (exchange.session != &session)
		tw_api_session_drop(exchange.session);
	return call.fault.code;
}

static const struct tw_api_parameter *object_of(const struct tw_api_method *method)
{
	for (size_t i = 0; i < method->parameter_count; i++)
		if (method->parameters[i].object && is_needed(method, &method->parameters[i]))
			return &method->parameters[i];
	return NULL;
}

static bool is_refusal(enum tw_fault_code code)
{
	return code == TW_FAULT_NOT_AUTHENTICATED || code == TW_FAULT_NOT_PERMITTED ||
	       code == TW_FAULT_NOT_FOUND;
}

struct cell {
	const struct tw_api_method *method;
	const struct tw_api_parameter *object; /* NULL: it names none */
	const struct role *role;
	enum whose whose;
};

static unsigned cells;

static void try_cell(struct scene *scene, const struct cell *cell, char ret[MESSAGE])
{
	enum tw_fault_code expected = expect_call(cell->method, cell->role), code;
	json_t *parameters = parameters_for(scene, cell->method, cell->object, cell->whose);

	if (!expected && cell->object && !sees(cell->role, cell->object->object, cell->whose))
		expected = TW_FAULT_NOT_FOUND;
	code = run(scene, cell->method, cell->role, parameters, ret);
	json_decref(parameters);
	cells++;
	if (expected ? code != expected : is_refusal(code))
		fail_msg("%s(%s %s) as %s: expected %s: %s", cell->method->name,
			 cell->object ? cell->object->name : "", whose_names[cell->whose],
			 cell->role->name, expected ? tw_fault_name(expected) : "to be let in",
			 ret);
	for (enum whose whose = 0; !expected && whose < MISSING; whose++)
		ensure(scene, whose);
}

/* Nobody learns from an answer whether others have such an object. */
static void try_objects(struct scene *scene, struct cell cell)
{
	char missing[MESSAGE], answer[MESSAGE];

	cell.whose = MISSING;
	try_cell(scene, &cell, missing);
	for (cell.whose = OWN; cell.whose < MISSING; cell.whose++) {
		try_cell(scene, &cell, answer);
		if (!sees(cell.role, cell.object->object, cell.whose))
			assert_string_equal(answer, missing);
	}
}

static void try_method(struct scene *scene, const struct tw_api_method *method,
		       const struct role *role)
{
	struct cell cell = { method, object_of(method), role, OWN };
	char answer[MESSAGE];

	if (cell.object) {
		try_objects(scene, cell);
		return;
	}
	try_cell(scene, &cell, answer);
	for (size_t i = 0; i < method->parameter_count; i++) {
		cell.object = &method->parameters[i];
		if (cell.object->object)
			try_objects(scene, cell);
	}
}

static void try_role(struct scene *scene, const struct role *role)
{
	const struct tw_api_method *method;

	for (size_t i = 0; (method = tw_api_method(i)); i++)
		try_method(scene, method, role);
}

static void test_accounts(void **state)
{
	static const struct role roles[] = {
		{ .name = "nobody", .user = "" },
		{ .name = "alice", .user = "alice", .authenticated = true },
		{ .name = "a stranger with an account", .user = "mallory", .authenticated = true },
		{ .name = "a wrangler", .user = "carol", .authenticated = true, .wrangler = true },
		{ .name = "root, not elevated",
		  .user = "root",
		  .authenticated = true,
		  .superuser_allowed = true },
		{ .name = "a superuser",
		  .user = "root",
		  .authenticated = true,
		  .superuser_allowed = true,
		  .superuser = true },
	};
	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
		struct role role = roles[i];

		role.permissions = TW_MAY_ALL;
		try_role(scene, &role);
		assert_int_equal(scene->terminated > 0, role.superuser);
	}
	assert_true(cells > 1500);
}

static void test_api_tokens(void **state)
{
	struct scene *scene = *state;
	char name[32];

	for (unsigned permissions = 0; permissions <= TW_MAY_ALL; permissions++) {
		const struct role role = { .name = name,
					   .user = "alice",
					   .authenticated = true,
					   .token = scene->token,
					   .permissions = permissions };

		snprintf(name, sizeof name, "token with %u", permissions);
		try_role(scene, &role);
	}
}

static void test_shared_token(void **state)
{
	struct scene *scene = *state;
	const struct role role = { .name = "shared token",
				   .user = "alice",
				   .authenticated = true,
				   .token = scene->shared,
				   .shared = true,
				   .permissions = TW_MAY_DOWNLOAD };

	try_role(scene, &role);
}

static int refuse_nothing(struct tw_api_call *call)
{
	return tw_api_result_null(call);
}

/* A row that forgets to say who may call it, or with which tokens, is for nobody. */
static void test_nothing_declared(void **state)
{
	static const struct tw_api_method rows[] = {
		{ .name = "a", .role = TW_API_SUPERUSER, .run = refuse_nothing },
		{ .name = "b", .token = TW_TOKEN_ANY, .run = refuse_nothing },
		{ .name = "c", .role = TW_API_ANYONE, .run = refuse_nothing },
	};
	const struct role superuser = {
		.user = "root", .authenticated = true, .superuser = true, .permissions = TW_MAY_ALL
	};
	struct scene *scene = *state;
	const struct tw_api_method *method;
	char answer[MESSAGE];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(run(scene, &rows[i], &superuser, NULL, answer),
				 TW_FAULT_NOT_PERMITTED);
	for (size_t i = 0; (method = tw_api_method(i)); i++) {
		if (!method->role || !method->token)
			fail_msg("%s does not say who may call it, or with which tokens",
				 method->name);
		/* What is for superusers is for no token, and what changes something is a
		 * permission's. */
		if ((method->role == TW_API_SUPERUSER && method->token != TW_TOKEN_NEVER) ||
		    (method->changes && method->token == TW_TOKEN_ANY) ||
		    (method->shared && method->token == TW_TOKEN_NEVER))
			fail_msg("%s is for tokens that it cannot be for", method->name);
	}
}

/* Through a shared token comes its manifest, and nothing else of its owner's. */
static void test_shared_gives_its_manifest(void **state)
{
	struct scene *scene = *state;
	const struct tw_api_method *create = tw_api_method_find("createTransfer", 14);
	const struct role guest = { .name = "guest",
				    .user = "alice",
				    .authenticated = true,
				    .token = scene->shared,
				    .shared = true,
				    .permissions = TW_MAY_DOWNLOAD };
	char answer[MESSAGE];
	json_t *parameters = json_pack("{s:s, s:s}", "token", scene->shared, "destinationId",
				       scene->ids[TW_API_DESTINATION][BY_SHARED]);

	assert_int_equal(run(scene, create, &guest, parameters, answer), 0);
	json_object_set_new(parameters, "destinationId",
			    json_string(scene->ids[TW_API_DESTINATION][OWN]));
	assert_int_equal(run(scene, create, &guest, parameters, answer), TW_FAULT_NOT_FOUND);
	json_decref(parameters);
	parameters = json_pack("{s:s, s:s}", "manifestId", scene->ids[TW_API_MANIFEST][OWN],
			       "destinationId", scene->ids[TW_API_DESTINATION][BY_SHARED]);
	assert_int_equal(run(scene, create, &guest, parameters, answer), TW_FAULT_NOT_FOUND);
	json_decref(parameters);
}

/* An account does not try out the passwords of shared tokens as fast as it likes. */
static void test_passwords_of_shared_tokens(void **state)
{
	struct scene *scene = *state;
	const struct tw_api_method *create = tw_api_method_find("createTransfer", 14);
	const struct role mallory = { .name = "mallory",
				      .user = "mallory",
				      .authenticated = true,
				      .permissions = TW_MAY_ALL };
	struct tw_caller owner = alice(), guesser = { .user = "mallory",
						      .authenticated = true,
						      .permissions = TW_MAY_ALL };
	struct tw_token_options options = { .shared = true,
					    .manifest_id = scene->ids[TW_API_MANIFEST][OWN],
					    .password = tw_password_make("right"),
					    .download_limit = 1 };
	const struct tw_penalty_source source = tw_penalty_source_account(4321);
	struct tw_destination_options where;
	const char *token, *destination;
	char answer[MESSAGE];
	json_t *parameters;

	assert_int_equal(tw_engine_create_token(scene->engine, &owner, &options, &token,
						&scene->world->fault),
			 0);
	free((char *)options.password);
	tw_destination_options_init(&where);
	where.address = "127.0.0.1";
	where.port = 9100;
	where.public_key = scene->key;
	assert_int_equal(tw_engine_create_destination(scene->engine, &guesser, &where, &destination,
						      &scene->world->fault),
			 0);
	parameters = json_pack("{s:s, s:s, s:s}", "token", token, "destinationId", destination,
			       "tokenPassword", "right");
	scene->patient = true;
	assert_int_equal(run(scene, create, &mallory, parameters, answer), 0);
	assert_int_equal(run(scene, create, &mallory, parameters, answer), TW_FAULT_LIMIT_REACHED);
	assert_non_null(strstr(answer, "1 downloads"));
	json_object_set_new(parameters, "tokenPassword", json_string("wrong"));
	assert_int_equal(run(scene, create, &mallory, parameters, answer),
			 TW_FAULT_NOT_AUTHENTICATED);
	/* The next ones, without the times that they would be held back. */
	for (unsigned i = 0; i < 5; i++)
		tw_penalty_begin(scene->api->penalties, &source, tw_clock_now());
	tw_penalty_wrong(scene->api->penalties, &source, token, tw_clock_now());
	assert_int_equal(run(scene, create, &mallory, parameters, answer), TW_FAULT_LIMIT_REACHED);
	assert_non_null(strstr(answer, "wrong passwords"));
	json_decref(parameters);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_accounts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_api_tokens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_token, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_declared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_gives_its_manifest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_passwords_of_shared_tokens, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
