#include "unit.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_server.h"
#include "tradewind/client.h"

#define STEPS(...) \
	(const struct fake_step[]){ __VA_ARGS__ }, \
		ARRAY_SIZE(((const struct fake_step[]){ __VA_ARGS__ }))

static struct tw_client *open_client(const struct fake_server *server,
				     struct tw_client_options options)
{
	struct tw_client *client = NULL;
	struct tw_client_error error;

	options.socket_path = server->path;
	assert_int_equal(tw_client_open(&options, &client, &error), 0);
	return client;
}

static void test_call(void **state)
{
	struct fake_server server;
	struct tw_client *client;
	struct tw_client_error error;
	json_t *parameters = json_pack("{s:s}", "text", "hi"), *result = NULL;

	(void)state;
	fake_start(&server, STEPS({ .expects = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\","
					       "\"params\":{\"text\":\"hi\"}}",
				    .lacks = "Authorization",
				    .answer = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"hi\"}" },
				  { .expects = "\"id\":2,\"method\":\"getServerInfo\"}",
				    .answer = "{\"id\":2,\"result\":null}" }));
	client = open_client(&server, (struct tw_client_options){ 0 });
	assert_string_equal(tw_client_server(client) + 5, server.path);
	assert_int_equal(tw_client_call(client, "echo", parameters, &result, &error), 0);
	assert_string_equal(json_string_value(result), "hi");
	json_decref(result);
	/* The parameters are the caller's still. */
	assert_string_equal(json_string_value(json_object_get(parameters, "text")), "hi");
	assert_int_equal(tw_client_call(client, "getServerInfo", NULL, NULL, NULL), 0);
	tw_client_close(client);
	json_decref(parameters);
	fake_stop(&server);
}

static const struct {
	struct fake_step step;
	enum tw_client_fault fault;
	const char *says;
} bad_answers[] = {
	{ { .answer = "{\"error\":{\"code\":-1,\"message\":\"not there\","
		      "\"data\":{\"name\":\"NotFound\",\"parameter\":\"transferId\"}}}" },
	  TW_CLIENT_NOT_FOUND,
	  "not there" },
	{ { .answer = "{\"error\":{\"code\":-32001,\"message\":\"wait\","
		      "\"data\":{\"name\":\"LimitReached\"}}}",
	    .status = "429 Slow" },
	  TW_CLIENT_LIMIT_REACHED,
	  "wait" },
	{ { .answer = "<html>", .status = "404 Nope" }, TW_CLIENT_NOT_FOUND, "Tradewind server?" },
	{ { .answer = "", .status = "503 Busy" }, TW_CLIENT_UNAVAILABLE, "not ready" },
	{ { .answer = "", .status = "418 Pot" }, TW_CLIENT_INTERNAL, "HTTP status 418" },
	{ { .answer = "<html>" }, TW_CLIENT_INTERNAL, "else than JSON" },
	{ { .answer = "{}" }, TW_CLIENT_INTERNAL, "neither with a result" },
	{ { .answer = "[]" }, TW_CLIENT_INTERNAL, "neither with a result" },
	{ { .answer = NULL }, TW_CLIENT_UNAVAILABLE, "unix:/tmp" },
	{ { .answer = "{\"result\":1}", .stay_ms = 300 }, TW_CLIENT_TIMEOUT, "in time" },
};

static void test_bad_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_answers); i++) {
		struct fake_server server;
		struct tw_client_error error;
		struct tw_client *client;
		json_t *result = NULL;

		fake_start(&server, &bad_answers[i].step, 1);
		client = open_client(&server,
				     (struct tw_client_options){
					     .timeout_ms = bad_answers[i].step.stay_ms ? 50 : 0 });
		assert_int_equal(tw_client_call(client, "x", NULL, &result, &error),
				 bad_answers[i].fault);
		assert_null(result);
		assert_int_equal(error.fault, bad_answers[i].fault);
		assert_non_null(strstr(error.message, bad_answers[i].says));
		tw_client_close(client);
		fake_stop(&server);
	}
}

static void test_nobody_there(void **state)
{
	struct tw_client_options options = { .socket_path = "/tmp/tw-nobody-here.sock" };
	struct tw_client_error error;
	struct tw_client_events *events;
	struct tw_client *client;

	(void)state;
	assert_int_equal(tw_client_open(&options, &client, &error), 0);
	assert_int_equal(tw_client_call(client, "x", NULL, NULL, &error), TW_CLIENT_UNAVAILABLE);
	assert_non_null(strstr(error.message, "tradewind server"));
	assert_int_equal(tw_client_events_open(client, 0, &events, &error), TW_CLIENT_UNAVAILABLE);
	tw_client_close(client);
}

static void test_text_that_is_not_utf8(void **state)
{
	struct tw_client_options options = { .socket_path = "/tmp/tw-nobody-here.sock" };
	json_t *parameters = json_object();
	struct tw_client_error error;
	struct tw_client *client;

	(void)state;
	json_object_set_new(parameters, "path", json_stringn_nocheck("\xff", 1));
	assert_int_equal(tw_client_open(&options, &client, &error), 0);
	assert_int_equal(tw_client_call(client, "x", parameters, NULL, &error),
			 TW_CLIENT_INVALID_PARAMETER);
	tw_client_close(client);
	json_decref(parameters);
}

static void test_session_and_its_renewal(void **state)
{
	struct fake_server server;
	struct tw_client *client;
	struct tw_client_error error;
	json_t *result = NULL;

	(void)state;
	fake_start(&server,
		   STEPS({ .expects =
				   "\"method\":\"auth\",\"params\":{\"user\":\"ann\",\"password\":"
				   "\"pw\"}",
			   .lacks = "Authorization",
			   .answer = "{\"result\":{\"token\":\"one\"}}" },
			 { .expects = "Authorization: Bearer one", .answer = "{\"result\":1}" },
			 { .expects = "Authorization: Bearer one",
			   .answer = "{\"error\":{\"message\":\"over\",\"data\":{\"name\":"
				     "\"NotAuthenticated\"}}}" },
			 { .expects = "\"auth\"",
			   .lacks = "Authorization",
			   .answer = "{\"result\":{\"token\":\"two\"}}" },
			 { .expects = "Authorization: Bearer two", .answer = "{\"result\":2}" }));
	client =
		open_client(&server, (struct tw_client_options){ .user = "ann", .password = "pw" });
	assert_int_equal(tw_client_call(client, "x", NULL, NULL, &error), 0);
	assert_string_equal(tw_client_token(client), "one");
	assert_int_equal(tw_client_call(client, "x", NULL, &result, &error), 0);
	assert_int_equal(json_integer_value(result), 2);
	json_decref(result);
	tw_client_close(client);
	fake_stop(&server);
}

static void test_wrong_password(void **state)
{
	struct fake_server server;
	struct tw_client *client;
	struct tw_client_error error;
	const char *refusal = "{\"error\":{\"message\":\"no\",\"data\":{\"name\":"
			      "\"NotAuthenticated\"}}}";

	(void)state;
	fake_start(&server, STEPS({ .expects = "\"auth\"", .answer = refusal },
				  { .expects = "\"auth\"", .answer = refusal }));
	client =
		open_client(&server, (struct tw_client_options){ .user = "ann", .password = "pw" });
	for (int i = 0; i < 2; i++)
		assert_int_equal(tw_client_call(client, "x", NULL, NULL, &error),
				 TW_CLIENT_NOT_AUTHENTICATED);
	assert_null(tw_client_token(client));
	tw_client_close(client);
	fake_stop(&server);
}

static void test_a_token_is_not_renewed(void **state)
{
	struct fake_server server;
	struct tw_client *client;
	struct tw_client_error error;

	(void)state;
	fake_start(&server, STEPS({ .expects = "Authorization: Bearer abc",
				    .answer = "",
				    .status = "401 No" }));
	client = open_client(&server, (struct tw_client_options){ .token = "abc" });
	assert_int_equal(tw_client_call(client, "x", NULL, NULL, &error),
			 TW_CLIENT_NOT_AUTHENTICATED);
	tw_client_close(client);
	fake_stop(&server);
}

static void test_waiting_for_async_work(void **state)
{
	struct fake_server server;
	struct tw_client *client;
	struct tw_client_error error;
	json_t *result = NULL;

	(void)state;
	fake_start(
		&server,
		STEPS({ .expects = "\"lsAsync\"", .answer = "{\"result\":{\"requestId\":\"r\"}}" },
		      { .expects = "\"getRequestResult\",\"params\":{\"requestId\":\"r\"}",
			.answer = "{\"result\":[5]}" },
		      { .expects = "\"mkdirAsync\"", .answer = "{\"result\":{}}" }));
	client = open_client(&server, (struct tw_client_options){ 0 });
	assert_int_equal(tw_client_call_wait(client, "lsAsync", NULL, 0, &result, &error), 0);
	assert_int_equal(json_array_size(result), 1);
	json_decref(result);
	assert_int_equal(tw_client_call_wait(client, "mkdirAsync", NULL, 0, &result, &error),
			 TW_CLIENT_INTERNAL);
	tw_client_close(client);
	fake_stop(&server);
}

static void test_batch_in_any_order(void **state)
{
	struct tw_client_request requests[3] = { { .method = "a" },
						 { .method = "b" },
						 { .method = "c" } };
	struct fake_server server;
	struct tw_client *client;
	struct tw_client_error error;

	(void)state;
	fake_start(&server,
		   STEPS({ .expects = "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"},",
			   .answer = "[{\"id\":3,\"error\":{\"message\":\"no\",\"data\":{\"name\":"
				     "\"Conflict\"}}},{\"id\":1,\"result\":\"A\"}]" },
			 { .answer = "{\"error\":{\"message\":\"too many\",\"data\":{\"name\":"
				     "\"LimitReached\"}}}" }));
	client = open_client(&server, (struct tw_client_options){ 0 });
	assert_int_equal(tw_client_batch(client, requests, 3, &error), 0);
	assert_string_equal(json_string_value(requests[0].result), "A");
	assert_int_equal(requests[0].error.fault, TW_CLIENT_OK);
	/* One that the server left out. */
	assert_null(requests[1].result);
	assert_int_equal(requests[1].error.fault, TW_CLIENT_INTERNAL);
	assert_int_equal(requests[2].error.fault, TW_CLIENT_CONFLICT);
	json_decref(requests[0].result);
	assert_int_equal(tw_client_batch(client, requests, 3, &error), TW_CLIENT_LIMIT_REACHED);
	assert_int_equal(tw_client_batch(client, requests, 0, &error), 0);
	tw_client_close(client);
	fake_stop(&server);
}

static void test_get(void **state)
{
	struct fake_server server;
	struct tw_client *client;
	struct tw_client_error error;
	char *text = NULL;
	size_t length = 9;

	(void)state;
	fake_start(&server, STEPS({ .expects = "GET /metrics HTTP/1.1", .answer = "up 1\n" },
				  { .answer = "" }, { .answer = "x", .status = "403 No" }));
	client = open_client(&server, (struct tw_client_options){ 0 });
	assert_int_equal(tw_client_get(client, "/metrics", &text, &length, &error), 0);
	assert_string_equal(text, "up 1\n");
	assert_int_equal(length, 5);
	free(text);
	assert_int_equal(tw_client_get(client, "/healthz", &text, &length, &error), 0);
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(tw_client_get(client, "/x", &text, NULL, &error), TW_CLIENT_NOT_PERMITTED);
	tw_client_close(client);
	fake_stop(&server);
}

static void expect_event(struct tw_client_events *events, uint64_t id, const char *name)
{
	struct tw_client_event event;
	struct tw_client_error error;

	assert_int_equal(tw_client_events_next(events, 8000, &event, &error), 0);
	assert_int_equal(event.id, id);
	assert_string_equal(event.name, name);
	assert_int_equal(json_integer_value(json_object_get(event.data, "n")), id);
}

static void test_events_go_on_after_a_break(void **state)
{
	struct tw_client_events *events = NULL;
	struct fake_server server;
	struct tw_client *client;
	struct tw_client_event event;
	struct tw_client_error error;

	(void)state;
	fake_start(&server,
		   STEPS({ .expects = "GET /events",
			   .lacks = "Last-Event-ID",
			   .stream = true,
			   .answer = "id: 5\nevent: launch\ndata: {\"n\":5}\n\n"
				     "id: 6\nevent: b\ndata: {\"n\":6}\n\nid: 7\ndata: {\"cut" },
			 { .expects = "Last-Event-ID: 6\r\n", .answer = "", .status = "503 Busy" },
			 { .expects = "Last-Event-ID: 6\r\n",
			   .stream = true,
			   .answer = ": still here\n\nid: 7\nevent: gap\ndata: {\"n\":7}\n\n" },
			 { .expects = "Last-Event-ID: 7\r\n", .answer = "", .status = "403 No" }));
	client = open_client(&server, (struct tw_client_options){ 0 });
	assert_int_equal(tw_client_events_open(client, TW_CLIENT_EVENTS_NEW, &events, &error), 0);
	tw_client_close(client);
	expect_event(events, 5, "launch");
	expect_event(events, 6, "b");
	expect_event(events, 7, "gap");
	assert_int_equal(tw_client_events_next(events, 8000, &event, &error),
			 TW_CLIENT_NOT_PERMITTED);
	tw_client_events_close(events);
	fake_stop(&server);
}

static void test_events_that_do_not_come(void **state)
{
	struct tw_client_events *events = NULL;
	struct fake_server server;
	struct tw_client *client;
	struct tw_client_event event;
	struct tw_client_error error;

	(void)state;
	fake_start(&server, STEPS({ .expects = "Last-Event-ID: 0\r\n",
				    .stream = true,
				    .answer = "id: 1\ndata: not json\n\n" }));
	client = open_client(&server, (struct tw_client_options){ 0 });
	assert_int_equal(tw_client_events_open(client, 0, &events, &error), 0);
	assert_int_equal(tw_client_events_next(events, 5000, &event, &error), TW_CLIENT_INTERNAL);
	fake_stop(&server);
	/* Now the server is gone, and the stream says so instead of waiting forever. */
	assert_int_equal(tw_client_events_next(events, 50, &event, &error), TW_CLIENT_UNAVAILABLE);
	tw_client_events_close(events);
	tw_client_close(client);
}

/* TLS. The name of a machine that is not loopback, but leads there: the library believes names, and
 * the system's hosts file is not the test's to change; so @host is the loopback address spelt in a
 * way that only the resolver understands. */
#define ELSEWHERE "2130706433"

static struct tw_client *open_tls(unsigned port, const char *known, const char *key,
				  bool (*trust)(void *, const char *, const char *))
{
	struct tw_client_options options = { .host = ELSEWHERE,
					     .port = port,
					     .known_servers = known,
					     .server_key = key,
					     .trust = trust };
	struct tw_client *client = NULL;

	assert_int_equal(tw_client_open(&options, &client, NULL), 0);
	assert_int_equal(strncmp(tw_client_server(client), "https://", 8), 0);
	return client;
}

static bool trust_nobody(void *context, const char *server, const char *key)
{
	(void)context;
	assert_non_null(strstr(server, ELSEWHERE ":"));
	assert_int_equal(strncmp(key, "sha256//", 8), 0);
	return false;
}

static int call_tls(unsigned port, const char *known, const char *key,
		    bool (*trust)(void *, const char *, const char *),
		    struct tw_client_error *error)
{
	struct tw_client *client = open_tls(port, known, key, trust);
	int r = tw_client_call(client, "x", NULL, NULL, error);

	tw_client_close(client);
	return r;
}

static size_t file_size(const char *path)
{
	struct stat status;

	return stat(path, &status) ? 0 : (size_t)status.st_size;
}

static void test_first_key_is_kept_and_another_refused(void **state)
{
	const struct fake_step once = { .answer = "{\"result\":1}" };
	const struct fake_step twice[] = { once, once };
	char known[] = "/tmp/tw-known-XXXXXX", line[256];
	struct fake_server server;
	struct tw_client_error error;
	FILE *file;
	int fd = mkstemp(known);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	fake_start_tls(&server, twice, 2);
	assert_int_equal(call_tls(server.port, known, NULL, trust_nobody, &error),
			 TW_CLIENT_KEY_CHANGED);
	assert_int_equal(file_size(known), 0);
	assert_int_equal(call_tls(server.port, known, NULL, NULL, &error), 0);
	file = fopen(known, "r");
	assert_non_null(fgets(line, sizeof line, file));
	fclose(file);
	assert_non_null(strstr(line, server.pin));
	/* Known now: nobody is asked any more. */
	assert_int_equal(call_tls(server.port, known, NULL, trust_nobody, &error), 0);
	fake_stop(&server);

	/* As if this server had always been another one. */
	fake_start_tls(&server, &once, 1);
	file = fopen(known, "w");
	fprintf(file, ELSEWHERE ":%u %.52s\n", server.port, strstr(line, "sha256//"));
	fclose(file);
	assert_int_equal(call_tls(server.port, known, NULL, NULL, &error), TW_CLIENT_KEY_CHANGED);
	*strchr(line, '\n') = '\0';
	assert_non_null(strstr(error.message, strstr(line, "sha256//")));
	assert_non_null(strstr(error.message, server.pin));
	assert_non_null(strstr(error.remedy, "sed -i 1d /tmp/tw-known-"));
	assert_int_equal(call_tls(server.port, known, strstr(line, "sha256//") ? server.pin : "",
				  NULL, &error),
			 0);
	fake_stop(&server);
	unlink(known);
}

static void test_key_that_is_asked_for(void **state)
{
	const char *wrong = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
	const struct fake_step once = { .answer = "{\"result\":1}" };
	struct tw_client_options options = { .server_key = "sha256//short" };
	struct fake_server server;
	struct tw_client *client;
	struct tw_client_error error;

	(void)state;
	assert_int_equal(tw_client_open(&options, &client, &error), TW_CLIENT_INVALID_PARAMETER);
	assert_string_equal(error.parameter, "server_key");
	fake_start_tls(&server, &once, 1);
	assert_int_equal(call_tls(server.port, NULL, wrong, NULL, &error), TW_CLIENT_KEY_CHANGED);
	assert_int_equal(call_tls(server.port, NULL, server.pin, NULL, &error), 0);
	fake_stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call),
		cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_text_that_is_not_utf8),
		cmocka_unit_test(test_session_and_its_renewal),
		cmocka_unit_test(test_wrong_password),
		cmocka_unit_test(test_a_token_is_not_renewed),
		cmocka_unit_test(test_waiting_for_async_work),
		cmocka_unit_test(test_batch_in_any_order),
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_events_go_on_after_a_break),
		cmocka_unit_test(test_events_that_do_not_come),
		cmocka_unit_test(test_first_key_is_kept_and_another_refused),
		cmocka_unit_test(test_key_that_is_asked_for),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
