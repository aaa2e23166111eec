#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/fault.h"
#include "client/known.h"
#include "client/place.h"
#include "client/quiet.h"
#include "client/sse.h"

static const struct {
	const char *host;
	unsigned port;
	const char *shown; /* NULL: refused */
} places[] = {
	{ "127.0.0.1", 0, "http://127.0.0.1:8886" },
	{ "127.9.9.9", 1, "http://127.9.9.9:1" },
	{ "localhost", 0, "http://localhost:8886" },
	{ "a.localhost", 0, "http://a.localhost:8886" },
	{ "::1", 0, "http://[::1]:8886" },
	{ "[::1]", 9, "http://[::1]:9" },
	{ "128.0.0.1", 0, "https://128.0.0.1:8886" },
	{ "127.0.0.1.example.com", 0, "https://127.0.0.1.example.com:8886" },
	{ "notlocalhost", 0, "https://notlocalhost:8886" },
	{ "Server.Example", 65535, "https://server.example:65535" },
	{ "2001:DB8::1", 0, "https://[2001:db8::1]:8886" },
	{ "host:8886", 0, NULL },
	{ "user@host", 0, NULL },
	{ "host/path", 0, NULL },
	{ "host name", 0, NULL },
	{ "-host", 0, NULL },
	{ "", 0, NULL },
	{ "h\n", 0, NULL },
	{ "host", 65536, NULL },
};

static void test_places(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct tw_client_options options = { .host = places[i].host,
						     .port = places[i].port };
		struct tw_client_error error;
		struct tw_place place;
		int r = tw_place_find(&place, &options, &error);

		if (places[i].shown) {
			assert_int_equal(r, 0);
			assert_string_equal(place.shown, places[i].shown);
			assert_int_equal(place.secure, strncmp(place.shown, "https:", 6) == 0);
			assert_string_equal(place.socket, "");
		} else {
			assert_int_equal(r, TW_CLIENT_INVALID_PARAMETER);
			assert_true(strcmp(error.parameter, "host") == 0 ||
				    strcmp(error.parameter, "port") == 0);
			assert_string_equal(error.name, "InvalidParameter");
		}
	}
}

static void test_a_socket_path_that_does_not_fit(void **state)
{
	struct tw_client_options options = { 0 };
	struct tw_client_error error;
	struct tw_place place;
	char path[TW_PLACE_SOCKET + 1];

	(void)state;
	memset(path, 'x', sizeof path);
	path[0] = '/';
	path[TW_PLACE_SOCKET] = '\0';
	options.socket_path = path;
	assert_int_equal(tw_place_find(&place, &options, &error), TW_CLIENT_INVALID_PARAMETER);
	assert_string_equal(error.parameter, "socket_path");
	path[TW_PLACE_SOCKET - 1] = '\0';
	assert_int_equal(tw_place_find(&place, &options, &error), 0);
	assert_string_equal(place.socket, path);
}

static const struct {
	const char *text;
	enum tw_client_fault fault;
	const char *message, *parameter, *remedy;
} errors[] = {
	{ "{\"code\":-32602,\"message\":\"no\",\"data\":{\"name\":\"InvalidParameter\","
	  "\"parameter\":\"port\",\"remedy\":\"give another\"}}",
	  TW_CLIENT_INVALID_PARAMETER, "no", "port", "give another" },
	{ "{\"code\":1,\"message\":\"gone\",\"data\":{\"name\":\"NotFound\"}}", TW_CLIENT_NOT_FOUND,
	  "gone", "", "" },
	{ "{\"code\":-32601,\"message\":\"no such method\"}", TW_CLIENT_NOT_FOUND, "no such method",
	  "", "" },
	{ "{\"code\":-32602,\"message\":\"bad\",\"data\":{\"name\":\"NeverHeard\"}}",
	  TW_CLIENT_INVALID_PARAMETER, "bad", "", "" },
	{ "{\"code\":5,\"message\":\"odd\",\"data\":{\"name\":\"KeyChanged\"}}", TW_CLIENT_INTERNAL,
	  "odd", "", "" },
	{ "{}", TW_CLIENT_INTERNAL, "the server gives no reason", "", "" },
	{ "{\"code\":\"x\",\"message\":7,\"data\":[1]}", TW_CLIENT_INTERNAL,
	  "the server gives no reason", "", "" },
};

static void test_errors_of_a_server(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		json_t *object = json_loads(errors[i].text, 0, NULL);
		struct tw_client_error error;

		assert_non_null(object);
		assert_int_equal(tw_fault_from_json(&error, object), errors[i].fault);
		assert_int_equal(tw_fault_from_json(NULL, object), errors[i].fault);
		assert_int_equal(error.fault, errors[i].fault);
		assert_string_equal(error.name, tw_client_fault_name(errors[i].fault));
		assert_string_equal(error.message, errors[i].message);
		assert_string_equal(error.parameter, errors[i].parameter);
		assert_string_equal(error.remedy, errors[i].remedy);
		json_decref(object);
	}
}

#define PIN_A "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PIN_B "sha256//BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA="

static void test_known_servers(void **state)
{
	char folder[] = "/tmp/tw-known-XXXXXX", path[128], pin[TW_PIN_TEXT] = "?";
	struct tw_client_error error;
	struct stat status;
	unsigned line = 77;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/a/b/known", folder);
	assert_int_equal(tw_known_find(path, "host:1", pin, &line, &error), 0);
	assert_string_equal(pin, "");
	assert_int_equal(tw_known_add(path, "host:1", PIN_A, &error), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	file = fopen(path, "a");
	fputs("# host:2 " PIN_A "\nhost:2 sha256//short\n\nhost:2 " PIN_B " seen in May\n", file);
	fclose(file);
	assert_int_equal(tw_known_find(path, "HOST:1", pin, &line, &error), 0);
	assert_string_equal(pin, PIN_A);
	assert_int_equal(line, 1);
	assert_int_equal(tw_known_find(path, "host:2", pin, &line, &error), 0);
	assert_string_equal(pin, PIN_B);
	assert_int_equal(line, 5);
	assert_int_equal(tw_known_find(path, "host:11", pin, &line, &error), 0);
	assert_string_equal(pin, "");
	/* Somebody's last line without an end takes nothing of what comes after it. */
	file = fopen(path, "a");
	fputs("# that is all", file);
	fclose(file);
	assert_int_equal(tw_known_add(path, "host:11", PIN_B, &error), 0);
	assert_int_equal(tw_known_find(path, "host:11", pin, &line, &error), 0);
	assert_string_equal(pin, PIN_B);
	assert_int_equal(line, 7);
	/* A folder in the file's place: not readable is not the same as not known. */
	assert_int_equal(tw_known_find(folder, "host:1", pin, &line, &error), TW_CLIENT_INTERNAL);
	assert_int_equal(tw_known_add(folder, "host:1", PIN_A, &error), TW_CLIENT_INTERNAL);
	unlink(path);
	snprintf(path, sizeof path, "%s/a/b", folder);
	rmdir(path);
	snprintf(path, sizeof path, "%s/a", folder);
	rmdir(path);
	rmdir(folder);
}

static void test_shape_of_a_pin(void **state)
{
	(void)state;
	assert_true(tw_known_is_pin(PIN_A));
	assert_false(tw_known_is_pin(PIN_A "="));
	assert_false(tw_known_is_pin("sha256//"));
	assert_false(tw_known_is_pin("sha512//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
	assert_false(tw_known_is_pin("sha256//AAAAAAAAAAAAAAAAAAAA;AAAAAAAAAAAAAAAAAAAAAA="));
}

static const struct {
	const char *stream;
	struct {
		uint64_t id;
		const char *name, *data;
	} events[4];
} streams[] = {
	{ "id: 7\nevent: launch\ndata: {}\n\n", { { 7, "launch", "{}" } } },
	{ "data:x\r\n\r\ndata: y\r\rdata:  z\n\n",
	  { { 1, "message", "x" }, { 1, "message", "y" }, { 1, "message", " z" } } },
	{ ": comment\n\nevent: lost\n\ndata: a\ndata: b\ndata\n\n",
	  { { 1, "message", "a\nb\n" } } },
	{ "id: 9\ndata: a\n\ndata: b\n\nid: 12x\ndata: c\n\nid: 99999999999999999999\ndata: d\n\n",
	  { { 9, "message", "a" },
	    { 9, "message", "b" },
	    { 9, "message", "c" },
	    { 9, "message", "d" } } },
	{ "retry: 5\nunknown: x\ndata: whole\n\ndata: not whole\n", { { 1, "message", "whole" } } },
	{ "id: 4\n\ndata: a\n\nid: 8\n", { { 4, "message", "a" } } },
	{ "event: a\ndata: 1\n\ndata: 2\n\n", { { 1, "a", "1" }, { 1, "message", "2" } } },
};

/* The same events in pieces of every size. */
static void decode(size_t which, size_t piece)
{
	const char *bytes = streams[which].stream;
	size_t length = strlen(bytes), at = 0, seen = 0;
	struct tw_sse sse;

	tw_sse_init(&sse, 1);
	while (at < length) {
		size_t now = length - at < piece ? length - at : piece, used = SIZE_MAX;
		struct tw_sse_event event;
		int r = tw_sse_push(&sse, bytes + at, now, &used, &event);

		assert_in_range(used, 1, now);
		at += used;
		if (r == TW_CLIENT_TIMEOUT)
			continue;
		assert_int_equal(r, 0);
		assert_in_range(seen, 0, 3);
		assert_int_equal(event.id, streams[which].events[seen].id);
		assert_string_equal(event.name, streams[which].events[seen].name);
		assert_string_equal(event.data, streams[which].events[seen].data);
		seen++;
	}
	assert_true(seen == 4 || !streams[which].events[seen].data);
	tw_sse_deinit(&sse);
}

static void test_event_streams(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(streams); i++)
		for (size_t piece = 1; piece <= strlen(streams[i].stream); piece++)
			decode(i, piece);
}

static void test_an_event_without_end(void **state)
{
	char *bytes = malloc(TW_CLIENT_EVENT_MAX / 2);
	struct tw_sse_event event;
	struct tw_sse sse;
	size_t used;
	int r = TW_CLIENT_TIMEOUT;

	(void)state;
	assert_non_null(bytes);
	memset(bytes, 'x', TW_CLIENT_EVENT_MAX / 2);
	tw_sse_init(&sse, 0);
	for (int i = 0; i < 3 && r == TW_CLIENT_TIMEOUT; i++)
		r = tw_sse_push(&sse, bytes, TW_CLIENT_EVENT_MAX / 2, &used, &event);
	assert_int_equal(r, TW_CLIENT_INTERNAL);
	tw_sse_deinit(&sse);
	free(bytes);
}

static void test_broken_pipes(void **state)
{
	struct tw_quiet quiet;
	sigset_t set;
	int ends[2];

	(void)state;
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	tw_quiet_begin(&quiet);
	assert_int_equal(write(ends[1], "x", 1), -1);
	tw_quiet_end(&quiet);
	/* Neither raised nor left behind. */
	sigpending(&set);
	assert_int_equal(sigismember(&set, SIGPIPE), 0);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	assert_int_equal(sigismember(&set, SIGPIPE), 0);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_a_socket_path_that_does_not_fit),
		cmocka_unit_test(test_errors_of_a_server),
		cmocka_unit_test(test_known_servers),
		cmocka_unit_test(test_shape_of_a_pin),
		cmocka_unit_test(test_event_streams),
		cmocka_unit_test(test_an_event_without_end),
		cmocka_unit_test(test_broken_pipes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
