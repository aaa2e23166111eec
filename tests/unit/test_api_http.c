#include "apiworld.h"

#include <sys/resource.h>

#include "api/http.h"

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

#define ECHO "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"text\":\"x\"}}"
#define JSON "Content-Type: application/json\r\n"

static const struct {
	const char *text;
	const char *status;
	bool open; /* the connection goes on */
} requests[] = {
	{ "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "200", true },
	{ "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8886\r\n\r\n", "200", true },
	{ "GET /healthz HTTP/1.1\r\nHost: [::1]:8886\r\n\r\n", "200", true },
	{ "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "200", false },
	{ "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n", "200", false },
	{ "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "200", true },
	{ "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", "404", true },
	{ "GET /rpc HTTP/1.1\r\nHost: localhost\r\n\r\n", "405", true },
	{ "DELETE /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "405", true },
	{ "OPTIONS /rpc HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a.example\r\n\r\n", "405",
	  true },
	{ "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "401", true },
	{ "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n", "401", true },
	{ "GET /healthz HTTP/1.1\r\nHost: attacker.example\r\n\r\n", "403", true },
	{ "GET /healthz HTTP/1.1\r\nHost: localhost.attacker.example\r\n\r\n", "403", true },
	{ "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", "415", true },
	{ "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
	  "Content-Length: 2\r\n\r\n{}",
	  "415", true },
	{ "POST /rpc HTTP/1.1\r\nHost: localhost\r\n" JSON "\r\n", "411", false },
	{ "POST /rpc HTTP/1.1\r\nHost: localhost\r\n" JSON "Content-Length: 100000000\r\n\r\n",
	  "413", false },
	{ "POST /rpc HTTP/1.1\r\nHost: localhost\r\n" JSON
	  "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
	  "400", false },
	{ "GET / HTTP/1.1\nHost: localhost\n\r\n\r\n", "400", false },
	{ "GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", "505", false },
};

static void test_requests(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		int fd = dial_tcp(world);
		bool open = true;

		say(fd, requests[i].text, strlen(requests[i].text));
		assert_non_null(hear(world, fd));
		if (strncmp(world->answer + 9, requests[i].status, 3) != 0)
			fail_msg("%s: %s", requests[i].text, world->answer);
		assert_null(strstr(world->answer, "Access-Control"));
		for (int k = 0; k < 50 && open; k++)
			open = listen_once(world, fd);
		if (open != requests[i].open)
			fail_msg("%s: %s", requests[i].text, open ? "open" : "closed");
		close(fd);
	}
}

static void test_pipeline(void **state)
{
	struct world *world = *state;
	static const char text[] =
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
		"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
		"POST /rpc HTTP/1.1\r\nHost: localhost\r\n" JSON
		"Transfer-Encoding: chunked\r\n\r\n"
		"1\r\n{\r\n45\r\n"
		"\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"text\":\"chunked\"} } "
		"\r\n0\r\n\r\n"
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
		"GET /last HTTP/1.1\r\nHost: localhost\r\n\r\n";
	int fd = dial_tcp(world);

	/* All at once, and no more to come: each is answered, in order. */
	say(fd, text, sizeof text - 1);
	shutdown(fd, SHUT_WR);
	hear_until(world, fd, "HTTP/1.1 404");
	assert_non_null(strstr(world->answer, "chunked"));
	close(fd);

	/* A byte at a time. */
	fd = dial_tcp(world);
	world->answer_length = 0;
	world->answer[0] = '\0';
	for (size_t i = 0; i < sizeof text - 1; i++) {
		say(fd, text + i, 1);
		event_base_loop(world->base, EVLOOP_NONBLOCK);
	}
	hear_until(world, fd, "HTTP/1.1 404");
	assert_non_null(strstr(world->answer, "chunked"));
	close(fd);
}

static void test_continue(void **state)
{
	struct world *world = *state;
	static const char text[] = "POST /rpc HTTP/1.1\r\nHost: localhost\r\n" JSON
				   "Expect: 100-continue\r\nContent-Length: 67\r\n\r\n";
	int fd = dial_tcp(world);

	say(fd, text, sizeof text - 1);
	hear_until(world, fd, "100 Continue\r\n\r\n");
	say(fd, ECHO "     ", sizeof ECHO - 1 + 5);
	hear_until(world, fd, "\"result\":\"x\"");
	close(fd);
}

/* As much as is allowed, and the answer as large; then more than is allowed, in chunks. */
static void test_large(void **state)
{
	struct world *world = *state;
	static const char head[] = "POST /rpc HTTP/1.1\r\nHost: localhost\r\n" JSON
				   "Transfer-Encoding: chunked\r\n\r\n";
	size_t length = 900000;
	char *text = malloc(length + 3);
	int fd = dial_local(world);
	json_t *value;
	bool open = true;

	memset(text, 'y', length);
	memcpy(text, "{\"text\":\"", 9);
	memcpy(text + length, "\"}", 3);
	for (int i = 0; i < 3; i++) {
		int flags = 1 << 22;

		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &flags, sizeof flags);
		value = result(world, fd, "echo", text);
		assert_int_equal(json_string_length(value), length - 9);
		json_decref(value);
	}
	close(fd);

	fd = dial_local(world);
	world->answer_length = 0;
	say(fd, head, sizeof head - 1);
	for (int i = 0; i < 100 && open; i++) {
		ssize_t sent = 0;

		send(fd, "10000\r\n", 7, MSG_NOSIGNAL);
		while (sent >= 0 && sent < 65536) {
			ssize_t step = send(fd, text + 9, (size_t)(65536 - sent),
					    MSG_NOSIGNAL | MSG_DONTWAIT);

			sent = step < 0 && errno != EAGAIN ? -1 : sent + (step > 0 ? step : 0);
			open = listen_once(world, fd) && open;
		}
		send(fd, "\r\n", 2, MSG_NOSIGNAL);
	}
	hear_until(world, fd, "HTTP/1.1 413");
	free(text);
	close(fd);
}

static void test_half_a_request(void **state)
{
	struct world *world = *state;
	static const char half[] =
		"POST /rpc HTTP/1.1\r\nHost: localhost\r\n" JSON "Content-Length: 100\r\n\r\n{";
	int silent = dial_tcp(world), other = dial_tcp(world);

	say(silent, half, sizeof half - 1);
	for (int i = 0; i < 10; i++)
		event_base_loop(world->base, EVLOOP_NONBLOCK);
	assert_non_null(post(world, other, ECHO));
	/* It ends in the middle: nothing to answer. */
	shutdown(silent, SHUT_WR);
	assert_null(hear(world, silent));
	close(silent);
	close(other);
}

/* More silent connections than the limit: each new one is served, the oldest go. */
static void test_many(void **state)
{
	struct world *world = *state;
	struct rlimit limit;
	int first, fd;
	int *crowd;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < 4096) {
		print_message("skipped: too few descriptors are allowed\n");
		skip();
	}
	crowd = calloc(TW_HTTP_CONNECTIONS_MAX + 8, sizeof *crowd);
	assert_non_null(crowd);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	first = dial_tcp(world);
	event_base_loop(world->base, EVLOOP_NONBLOCK);
	for (size_t i = 0; i < 400; i++) {
		crowd[i] = dial_tcp(world);
		if (i % 50 == 0)
			event_base_loop(world->base, EVLOOP_NONBLOCK);
	}
	for (size_t i = 400; i < TW_HTTP_CONNECTIONS_MAX + 8; i++) {
		crowd[i] = dial_tcp(world);
		if (i % 50 == 0)
			event_base_loop(world->base, EVLOOP_NONBLOCK);
	}
	fd = dial_tcp(world);
	assert_non_null(post(world, fd, ECHO));
	assert_null(hear(world, first));
	/* The Unix socket has a room of its own. */
	close(fd);
	fd = dial_local(world);
	assert_non_null(post(world, fd, ECHO));
	/* And of that an account has a part: its oldest connection goes. */
	for (size_t i = 0; i < TW_HTTP_ACCOUNT_MAX; i++) {
		close(crowd[i]);
		crowd[i] = dial_local(world);
		if (i % 50 == 0)
			event_base_loop(world->base, EVLOOP_NONBLOCK);
	}
	assert_null(hear(world, fd));
	assert_non_null(post(world, crowd[TW_HTTP_ACCOUNT_MAX - 1], ECHO));
	close(fd);
	close(first);
	for (size_t i = 0; i < TW_HTTP_CONNECTIONS_MAX + 8; i++)
		close(crowd[i]);
	free(crowd);
}

/* Asks for much and takes nothing: others are served, and what it asked for has a bound. */
static void test_slow_reader(void **state)
{
	struct world *world = *state;
	int slow = dial_local(world), other = dial_local(world);
	size_t length = 900000;
	char *text = malloc(length + 3);

	memset(text, 'y', length);
	memcpy(text, "{\"text\":\"", 9);
	memcpy(text + length, "\"}", 3);
	for (int i = 0; i < 4; i++) {
		char *body = malloc(length + 256);
		size_t sent = 0, total;
		int idle = 0;

		total = (size_t)sprintf(
			body,
			"POST /rpc HTTP/1.1\r\nHost: a\r\n" JSON "Content-Length: %zu\r\n\r\n"
			"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":%s}",
			length + 2 + 52, text);
		while (sent < total && idle < 100) {
			ssize_t step =
				send(slow, body + sent, total - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

			sent += step > 0 ? (size_t)step : 0;
			idle = step > 0 ? 0 : idle + 1;
			event_base_loop(world->base, EVLOOP_NONBLOCK);
		}
		free(body);
	}
	assert_non_null(post(world, other, ECHO));
	free(text);
	close(slow);
	close(other);
}

static void follow(struct world *world, int fd, const char *fields)
{
	char text[256];
	int length = snprintf(text, sizeof text,
			      "GET /events HTTP/1.1\r\nHost: localhost\r\n%s\r\n", fields);

	world->answer_length = 0;
	world->answer[0] = '\0';
	say(fd, text, (size_t)length);
	hear_until(world, fd, "text/event-stream");
	hear_until(world, fd, ":\n\n");
}

static void test_events(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world);
	unsigned commits;

	for (int i = 0; i < 10; i++)
		fake_engine_happen(world->engine);
	/* From now on. */
	follow(world, fd, "");
	commits = world->engine->commits;
	fake_engine_happen(world->engine);
	hear_until(world, fd, "id: 11\nevent: test.event\ndata: {\"_event\":\"test.event\"");
	assert_non_null(strstr(world->answer, "\"text\":\"line\\nbreak\"}\n\n"));
	assert_null(strstr(world->answer, "id: 9\n"));
	/* What is told is stored before. */
	assert_true(world->engine->commits > commits);
	close(fd);

	/* From where it was. */
	fd = dial_local(world);
	follow(world, fd, "Last-Event-ID: 4\r\n");
	hear_until(world, fd, "id: 11\n");
	assert_non_null(strstr(world->answer, "id: 5\n"));
	assert_null(strstr(world->answer, "id: 3\n"));
	assert_null(strstr(world->answer, "gap"));
	close(fd);

	/* The log holds that entry no longer, or never did. */
	world->engine->events_oldest = 7;
	fd = dial_local(world);
	follow(world, fd, "Last-Event-ID: 2\r\n");
	hear_until(world, fd, "event: gap\ndata: {\"_event\":\"gap\",\"firstId\":7}\n\n");
	hear_until(world, fd, "id: 7\n");
	close(fd);
	fd = dial_local(world);
	follow(world, fd, "Last-Event-ID: 999\r\n");
	hear_until(world, fd, "event: gap\n");
	close(fd);
}

/* A token that is taken back ends the streams of those who came with it. */
static void test_follower_without_rights(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world), follower = dial_tcp(world);
	json_t *token = result(world, fd, "createAPIToken", "{}");
	const char *text = json_string_value(json_object_get(token, "token"));
	char fields[160], parameters[160];
	bool open = true;

	snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", text);
	snprintf(parameters, sizeof parameters, "{\"token\":\"%s\"}", text);
	follow(world, follower, fields);
	fake_engine_happen(world->engine);
	hear_until(world, follower, "id: 1\n");
	json_decref(result(world, fd, "deleteAPIToken", parameters));
	fake_engine_happen(world->engine);
	fake_engine_happen(world->engine);
	world->answer_length = 0;
	for (int i = 0; i < 1000 && open; i++)
		open = listen_once(world, follower);
	assert_false(open);
	assert_int_equal(world->answer_length, 0);
	json_decref(token);
	close(follower);
	close(fd);
}

/* It takes nothing while thousands happen: no memory for them, and all of them later. */
static void test_slow_follower(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world), small = 4096;
	size_t seen = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	follow(world, fd, "");
	for (int i = 0; i < 20000; i++) {
		fake_engine_happen(world->engine);
		if (i % 100 == 0)
			event_base_loop(world->base, EVLOOP_NONBLOCK);
	}
	for (int i = 0; i < 200000; i++) {
		char *last;

		world->answer_length = 0;
		if (!listen_once(world, fd))
			fail_msg("it was dropped");
		world->answer[world->answer_length] = '\0';
		for (const char *at = world->answer; (at = strstr(at, "id\":")); at += 4)
			seen++;
		last = strstr(world->answer, "\"_id\":19999,");
		if (last)
			break;
	}
	/* Numbers that the pieces cut are not counted. */
	assert_true(seen > 9000);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipeline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_continue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_a_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follower_without_rights, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_follower, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
