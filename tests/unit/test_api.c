#include "apiworld.h"

#include "api/method.h"

static int setup(void **state)
{
	*state = world_new(NULL);
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static void test_table(void **state)
{
	const struct tw_api_method *method;
	size_t count = 0;

	(void)state;
	for (; (method = tw_api_method(count)); count++) {
		const char *dot = strchr(method->name, '.');

		assert_true(method->role > TW_API_NOBODY && method->role <= TW_API_SUPERUSER);
		assert_non_null(method->run);
		assert_true(method->summary && strlen(method->summary) > 5);
		assert_true(method->returns || method->result);
		assert_ptr_equal(tw_api_method_find(method->name, strlen(method->name)), method);
		/* All bare names are unique today. */
		if (dot)
			assert_ptr_equal(tw_api_method_find(dot + 1, strlen(dot + 1)), method);
		assert_int_equal(dot != NULL, method->group != TW_API_SERVER);
		if (dot)
			assert_memory_equal(method->name, tw_api_group_name(method->group),
					    (size_t)(dot - method->name));
		assert_int_equal(method->async, strstr(method->name, "Async") != NULL);
		if (method->group == TW_API_RECV)
			assert_int_equal(method->role, TW_API_SUPERUSER);
		for (size_t i = 0; i < method->parameter_count; i++) {
			const struct tw_api_parameter *row = &method->parameters[i];

			assert_true(row->meaning && *row->meaning);
			assert_true(row->min <= row->max || row->max == 0);
			if (row->fallback) {
				json_t *value = json_loads(row->fallback, JSON_DECODE_ANY, NULL);

				assert_non_null(value);
				json_decref(value);
			}
		}
	}
	assert_int_equal(count, 36 + 34 + 6);
	assert_null(tw_api_method_find("getConnectionz", 14));
	assert_null(tw_api_method_find("", 0));
}

static void test_calls(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world);
	json_t *value = result(world, fd, "echo", "{\"text\":\"a\\u00e4\\n\\\"\"}");

	assert_string_equal(json_string_value(value), "a\xc3\xa4\n\"");
	json_decref(value);
	value = result(world, fd, "send.createDestination",
		       "{\"destinationAddress\":\"example.com\",\"sendRate\":500,"
		       "\"userData\":{\"a\":[1,0.5]}}");
	assert_string_equal(json_string_value(json_object_get(value, "destinationAddress")),
			    "example.com");
	assert_int_equal(world->engine->created.send_rate, 500);
	assert_true(world->engine->created.send_rate_max == UINT64_MAX);
	assert_int_equal(world->engine->created.port, 8886);
	assert_true(world->engine->created.encryption_enabled);
	assert_int_equal(world->engine->commits, 1);
	json_decref(value);
	value = result(world, fd, "getDestinations", "{}");
	assert_int_equal(json_array_size(value), 1);
	json_decref(value);
	value = result(world, fd, "getConnections", "{}");
	assert_int_equal(json_array_size(value), 1);
	assert_non_null(json_object_get(json_array_get(value, 0), "roundTripTimeMs"));
	assert_null(json_object_get(json_array_get(value, 0), "destinationId"));
	json_decref(value);
	/* Reads store nothing. */
	assert_int_equal(world->engine->commits, 1);
	close(fd);
}

static const struct {
	const char *method, *parameters, *fault, *parameter;
} bad_calls[] = {
	{ "nothing", "{}", "NotFound", "method" },
	{ "echo", "{}", "InvalidParameter", "text" },
	{ "echo", "{\"text\":1}", "InvalidParameter", "text" },
	{ "echo", "{\"text\":\"a\",\"more\":1}", "InvalidParameter", "more" },
	{ "echo", "[\"a\"]", "InvalidParameter", "params" },
	{ "echo", "7", "InvalidParameter", "params" },
	{ "sleep", "{\"milliseconds\":60001}", "InvalidParameter", "milliseconds" },
	{ "sleep", "{\"milliseconds\":-1}", "InvalidParameter", "milliseconds" },
	{ "sleep", "{\"milliseconds\":1.0}", "InvalidParameter", "milliseconds" },
	{ "sleep", "{\"milliseconds\":true}", "InvalidParameter", "milliseconds" },
	{ "createDestination", "{\"destinationAddress\":\"\"}", "InvalidParameter",
	  "destinationAddress" },
	{ "createDestination", "{\"destinationAddress\":\"a\",\"rateControlMethod\":\"x\"}",
	  "InvalidParameter", "rateControlMethod" },
	{ "createDestination", "{\"destinationAddress\":\"a\",\"destinationPort\":0}",
	  "InvalidParameter", "destinationPort" },
	{ "createDestination", "{\"destinationAddress\":\"a\",\"userData\":[]}", "InvalidParameter",
	  "userData" },
	{ "getDestination", "{\"destinationId\":\"none\"}", "NotFound", "destinationId" },
	{ "getTransfer", "{\"transferId\":\"none\"}", "NotFound", "transferId" },
	{ "getTransfers", "{\"status\":\"lost\"}", "InvalidParameter", "status" },
	{ "createManifest", "{}", "InvalidParameter", "fileMappings" },
	{ "createManifest", "{\"fileMappings\":[]}", "InvalidParameter", "fileMappings" },
	{ "createManifest", "{\"fileMappings\":[\"no colon\"]}", "InvalidParameter",
	  "fileMappings" },
	{ "createManifest", "{\"fileMappings\":[{\"srcPath\":\"a\"}]}", "InvalidParameter",
	  "fileMappings" },
	{ "createManifest", "{\"mappings\":{\"a\":1}}", "InvalidParameter", "mappings" },
	{ "createManifest", "{\"fileMappings\":[\"a:b\"],\"include\":[1]}", "InvalidParameter",
	  "include" },
	{ "createTransfer", "{\"manifestId\":\"m\",\"destinationId\":\"none\"}", "NotFound",
	  "manifestId" },
	{ "setSendRateAsync", "{}", "Internal", NULL }, /* the request's fault, see below */
	{ "terminate", "{}", "NotPermitted", NULL },
	{ "recv.getSourcesAsync", "{}", "NotPermitted", NULL },
	{ "getRequestStatus", "{\"requestId\":\"none\"}", "NotFound", "requestId" },
	{ "createAPIToken", "{\"permissions\":[\"fly\"]}", "InvalidParameter", "permissions" },
	{ "updateObjectUserData", "{\"userData\":{}}", "InvalidParameter", "destinationId" },
};

static void test_bad_calls(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world);

	for (size_t i = 0; i < ARRAY_SIZE(bad_calls); i++) {
		if (strcmp(bad_calls[i].method, "setSendRateAsync") == 0)
			continue;
		expect_fault(call(world, fd, bad_calls[i].method, bad_calls[i].parameters),
			     bad_calls[i].fault, bad_calls[i].parameter);
	}
	close(fd);
}

static const struct {
	const char *body;
	int code;
} bad_bodies[] = {
	{ "", -32700 },
	{ "{", -32700 },
	{ "nul", -32700 },
	{ "\"text\"", -32700 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"echo\"}", -32700 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"text\":\"\xff\"}}",
	  -32700 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"text\":\"\\u0000\"}}",
	  -32700 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"} x", -32700 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sleep\",\"params\":"
	  "{\"milliseconds\":99999999999999999999}}",
	  -32700 },
	{ "{}", -32600 },
	{ "[]", -32600 },
	{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"echo\"}", -32600 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", -32600 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"echo\"}", -32600 },
};

static void test_bad_bodies(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad_bodies); i++) {
		int fd = dial_local(world);
		const char *body = post(world, fd, bad_bodies[i].body);
		json_t *answer, *error;

		assert_non_null(body);
		assert_memory_equal(world->answer, "HTTP/1.1 400", 12);
		answer = json_loads(body, 0, NULL);
		error = json_object_get(answer, "error");
		if (json_integer_value(json_object_get(error, "code")) != bad_bodies[i].code)
			fail_msg("%s: %s", bad_bodies[i].body, body);
		json_decref(answer);
		close(fd);
	}
}

static void test_depth(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world);
	char body[4096] = "";
	json_t *answer;

	memset(body, '[', 1000);
	memset(body + 1000, ']', 1000);
	answer = json_loads(post(world, fd, body), 0, NULL);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(answer, "error"), "code")),
		-32700);
	json_decref(answer);
	/* Brackets in a text are no depth. */
	memset(body, '[', 1000);
	memcpy(body, "{\"text\":\"", 9);
	memcpy(body + 1000, "\"}", 3);
	answer = result(world, fd, "echo", body);
	assert_int_equal(json_string_length(answer), 991);
	json_decref(answer);
	close(fd);
}

static void test_batch(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world);
	const char *body = post(world, fd,
				"[{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"echo\","
				"\"params\":{\"text\":\"1\"}},"
				"{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":{\"text\":"
				"\"note\"}},"
				"7,"
				"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"none\"},"
				"{\"jsonrpc\":\"2.0\",\"id\":2.5,\"method\":\"sleep\",\"params\":"
				"{\"milliseconds\":5}}]");
	json_t *answer = json_loads(body, 0, NULL);

	assert_int_equal(json_array_size(answer), 4);
	assert_string_equal(json_string_value(json_object_get(json_array_get(answer, 0), "result")),
			    "1");
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(json_array_get(answer, 1), "error"), "code")),
			 -32600);
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(json_array_get(answer, 2), "error"), "code")),
			 -32601);
	assert_true(json_is_null(json_object_get(json_array_get(answer, 3), "result")));
	json_decref(answer);
	/* Notifications alone have no answer. */
	assert_non_null(post(world, fd, "[{\"jsonrpc\":\"2.0\",\"method\":\"none\"}]"));
	assert_memory_equal(world->answer, "HTTP/1.1 200", 12);
	assert_non_null(post(world, fd,
		    "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":{\"text\":\"\"}}"));
	assert_memory_equal(world->answer, "HTTP/1.1 204", 12);
	close(fd);
}

static void test_roles(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world), stranger = dial_tcp(world);

	/* Nobody yet: what anyone may, and nothing else. */
	json_decref(result(world, stranger, "echo", "{\"text\":\"\"}"));
	json_decref(result(world, stranger, "getServerInfo", "{}"));
	expect_fault(call(world, stranger, "getDestinations", "{}"), "NotAuthenticated", NULL);
	expect_fault(call(world, stranger, "superuser", "{}"), "NotAuthenticated", NULL);
	expect_fault(call(world, stranger, "auth", "{\"user\":\"root\",\"password\":\"x\"}"),
		     "NotAuthenticated", NULL);
	expect_fault(call_with(world, stranger, "Authorization: Bearer abc\r\n", "echo",
			       "{\"text\":\"\"}"),
		     "NotAuthenticated", NULL);
	assert_memory_equal(world->answer, "HTTP/1.1 401", 12);

	/* This account runs the server: it may become a superuser, in its own session alone. */
	expect_fault(call(world, fd, "garbageCollect", "{}"), "NotPermitted", NULL);
	json_decref(result(world, fd, "superuser", "{}"));
	json_decref(result(world, fd, "garbageCollect", "{}"));
	close(stranger);
	stranger = dial_local(world);
	expect_fault(call(world, stranger, "garbageCollect", "{}"), "NotPermitted", NULL);
	assert_false(world->terminated);
	json_decref(result(world, fd, "terminate", "{}"));
	assert_true(world->terminated);
	close(fd);
	close(stranger);
}

static void test_tokens(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world), tcp = dial_tcp(world);
	json_t *token = result(world, fd, "createAPIToken", "{\"password\":\"secret\"}");
	json_t *plain = result(world, fd, "createAPIToken", "{}"), *session;
	char parameters[160], fields[160];

	snprintf(parameters, sizeof parameters, "{\"token\":\"%s\",\"password\":\"wrong\"}",
		 json_string_value(json_object_get(token, "token")));
	expect_fault(call(world, tcp, "authToken", parameters), "NotAuthenticated", NULL);
	snprintf(parameters, sizeof parameters, "{\"token\":\"%s\",\"password\":\"secret\"}",
		 json_string_value(json_object_get(token, "token")));
	session = result(world, tcp, "authToken", parameters);
	snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n",
		 json_string_value(json_object_get(session, "token")));
	json_decref(session);
	session = call_with(world, tcp, fields, "getDestinations", "{}");
	assert_non_null(json_object_get(session, "result"));
	json_decref(session);
	/* The connection itself is still nobody's. */
	expect_fault(call(world, tcp, "getDestinations", "{}"), "NotAuthenticated", NULL);
	/* What the token does not allow. */
	expect_fault(call_with(world, tcp, fields, "mkdirAsync", "{\"path\":\"/x\"}"),
		     "NotPermitted", NULL);
	/* A token that has been taken back takes its sessions with it. */
	snprintf(parameters, sizeof parameters, "{\"token\":\"%s\"}",
		 json_string_value(json_object_get(token, "token")));
	json_decref(result(world, fd, "deleteAPIToken", parameters));
	expect_fault(call_with(world, tcp, fields, "getDestinations", "{}"), "NotAuthenticated",
		     NULL);
	/* One without a password is a bearer token by itself. */
	snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n",
		 json_string_value(json_object_get(plain, "token")));
	session = call_with(world, tcp, fields, "getDestinations", "{}");
	assert_non_null(json_object_get(session, "result"));
	json_decref(session);
	json_decref(token);
	json_decref(plain);
	close(fd);
	close(tcp);
}

static void test_requests(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world), waiter = dial_local(world);
	json_t *request = result(world, fd, "lsAsync", "{\"path\":\"/\"}"), *value;
	char parameters[160], body[320];

	snprintf(parameters, sizeof parameters, "{\"requestId\":\"%s\"}",
		 json_string_value(json_object_get(request, "requestId")));
	json_decref(request);
	value = result(world, fd, "getRequestStatus", parameters);
	assert_string_equal(json_string_value(json_object_get(value, "status")), "pending");
	assert_true(json_is_true(json_object_get(value, "processing")));
	assert_true(json_is_null(json_object_get(value, "errorMessage")));
	json_decref(value);

	/* Waits without holding up others. */
	world->engine->processing = true;
	snprintf(body, sizeof body,
		 "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"getRequestResult\",\"params\":%s}",
		 parameters);
	say_body(waiter, "", body);
	json_decref(result(world, fd, "echo", "{\"text\":\"\"}"));
	assert_non_null(world->engine->waiting);
	tw_engine_request_done(world->engine->open_request, json_pack("{s:i}", "size", 3));
	fake_engine_finish(world->engine);
	value = json_loads(hear(world, waiter), 0, NULL);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(value, "result"), "size")), 3);
	json_decref(value);

	/* A quick one, with the fault in its result. */
	request = result(world, fd, "setSendRateAsync", "{}");
	snprintf(parameters, sizeof parameters, "{\"requestId\":\"%s\"}",
		 json_string_value(json_object_get(request, "requestId")));
	json_decref(request);
	expect_fault(call(world, fd, "getRequestResult", parameters), "InvalidParameter",
		     "destinationId");
	value = result(world, fd, "getRequestStatus", parameters);
	assert_string_equal(json_string_value(json_object_get(value, "status")), "error");
	json_decref(value);
	close(fd);
	close(waiter);
}

static void test_waits(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world), waiter = dial_local(world);
	json_t *manifest =
		result(world, fd, "createManifest",
		       "{\"fileMappings\":[\"/a:b:c\",{\"srcPath\":\"/d\",\"destPath\":\"e\"}]}");
	char parameters[256];

	assert_string_equal(json_string_value(json_object_get(manifest, "errorMessage")),
			    "/a:b>c;/d>e;");
	world->engine->processing = true;
	snprintf(parameters, sizeof parameters, "{\"manifestId\":\"%s\",\"timeoutMs\":5}",
		 json_string_value(json_object_get(manifest, "manifestId")));
	expect_fault(call(world, fd, "waitForManifest", parameters), "Timeout", NULL);

	/* A client that goes away is forgotten. */
	snprintf(parameters, sizeof parameters,
		 "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"waitForManifest\",\"params\":"
		 "{\"manifestId\":\"%s\"}}",
		 json_string_value(json_object_get(manifest, "manifestId")));
	say_body(waiter, "", parameters);
	for (int i = 0; i < 1000 && !world->engine->waiting; i++)
		event_base_loop(world->base, EVLOOP_NONBLOCK);
	assert_non_null(world->engine->waiting);
	close(waiter);
	for (int i = 0; i < 1000 && world->engine->waiting; i++)
		event_base_loop(world->base, EVLOOP_NONBLOCK);
	assert_null(world->engine->waiting);
	json_decref(manifest);
	close(fd);
}

/* Transfers with numbers for paths. */
static void make_many(struct world *world)
{
	struct tw_transfer_options options = { 0 };
	struct tw_caller caller = { .user = "somebody" };
	char path[16];
	const char *id;

	for (unsigned i = 0; i < 600; i++) {
		snprintf(path, sizeof path, "%u", i);
		options.destination_path = path;
		assert_int_equal(tw_engine_create_transfer(world->engine, &caller, &options, &id,
							   &(struct tw_fault){ 0 }),
				 0);
	}
}

static void expect_numbers(const json_t *list, unsigned from, unsigned count)
{
	assert_int_equal(json_array_size(list), count);
	for (unsigned i = 0; i < count; i++) {
		const json_t *path = json_object_get(json_array_get(list, i), "destinationPath");

		assert_int_equal(atoi(json_string_value(path)), from + i);
	}
}

/* Long lists are made in turns, between which others are answered. */
static void test_turns(void **state)
{
	static const char all[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"getTransfers\"}";
	struct world *world = *state;
	int fd = dial_local(world), other = dial_local(world);
	json_t *answer;

	json_decref(result(world, fd, "superuser", "{}"));
	json_decref(result(world, other, "echo", "{\"text\":\"\"}"));
	make_many(world);
	say_body(fd, "", all);
	json_decref(result(world, other, "createDestination", "{\"destinationAddress\":\"a\"}"));
	answer = json_loads(hear(world, fd), 0, NULL);
	expect_numbers(json_object_get(answer, "result"), 0, 600);
	json_decref(answer);
	/* The other one's change was stored before the list was whole. */
	assert_int_equal(world->engine->commits, 1);
	assert_int_equal(world->engine->commits_walked, 1);
	/* Several of a batch, whose answers keep their order. */
	answer = json_loads(
		post(world, fd,
		     "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"getTransfers\",\"params\":"
		     "{\"offset\":10,\"limit\":200}},{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":"
		     "\"getTransfers\",\"params\":{\"offset\":595}}]"),
		0, NULL);
	expect_numbers(json_object_get(json_array_get(answer, 0), "result"), 10, 200);
	expect_numbers(json_object_get(json_array_get(answer, 1), "result"), 595, 5);
	json_decref(answer);
	/* Exactly a turn's; and a client that goes away in the middle. */
	answer = result(world, fd, "getTransfers", "{\"limit\":128}");
	expect_numbers(answer, 0, 128);
	json_decref(answer);
	say_body(fd, "", all);
	close(fd);
	json_decref(result(world, other, "echo", "{\"text\":\"\"}"));
	close(other);
}

static void test_not_stored(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world);

	world->engine->commit_result = -ENOSPC;
	expect_fault(call(world, fd, "createDestination", "{\"destinationAddress\":\"a\"}"),
		     "Unavailable", NULL);
	json_decref(result(world, fd, "getDestinations", "{}"));
	world->engine->commit_result = 0;
	json_decref(result(world, fd, "createDestination", "{\"destinationAddress\":\"b\"}"));
	close(fd);
}

static void test_version(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world);
	json_t *answer =
		call_with(world, fd, "Tradewind-Api-Version: 1\r\n", "echo", "{\"text\":\"\"}");

	assert_non_null(json_object_get(answer, "result"));
	json_decref(answer);
	expect_fault(call_with(world, fd, "Tradewind-Api-Version: 2\r\n", "echo",
			       "{\"text\":\"\"}"),
		     "VersionMismatch", NULL);
	close(fd);
}

static void test_documents(void **state)
{
	struct world *world = *state;
	static const char openrpc[] = "GET /openrpc.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static const char metrics[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
	int fd = dial_local(world);
	json_t *document, *method;
	size_t i;

	say(fd, openrpc, sizeof openrpc - 1);
	document = json_loads(hear(world, fd), 0, NULL);
	assert_non_null(document);
	assert_int_equal(json_array_size(json_object_get(document, "methods")), 76);
	json_array_foreach(json_object_get(document, "methods"), i, method) {
		assert_true(json_is_object(json_object_get(method, "result")));
	}
	json_decref(document);
	json_decref(result(world, fd, "createDestination", "{\"destinationAddress\":\"a\\\"b\"}"));
	say(fd, metrics, sizeof metrics - 1);
	assert_non_null(strstr(hear(world, fd), "\ntradewind_transfers 7\n"));
	assert_non_null(strstr(world->answer, "destination=\"a\\\"b\"} 0.0125\n"));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_bodies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_roles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tokens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_stored, setup, teardown),
		cmocka_unit_test_setup_teardown(test_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_documents, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
