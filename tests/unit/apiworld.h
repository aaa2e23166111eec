/*
 * apiworld.h - the interface on a loop of its own, over a fake engine, with clients that are plain
 * sockets of the same thread.
 */
#pragma once

#include "unit.h"

#include <event2/event.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/api.h"
#include "netio/sockaddr.h"
#include "support/fake_engine.h"

#define ANSWER_ROOM (1 << 20)

struct world {
	struct event_base *base;
	struct tw_engine *engine;
	struct tw_api *api;
	struct tw_accounts *own; /* NULL: the test's */
	char folder[64], socket_path[96];
	bool terminated;
	char answer[ANSWER_ROOM];
	size_t answer_length;
};

static inline void world_terminate(void *context)
{
	((struct world *)context)->terminated = true;
}

/* @accounts NULL: those of this process. */
static inline struct world *world_new(struct tw_accounts *accounts)
{
	struct world *world = calloc(1, sizeof *world);
	struct tw_api_options options = {
		.host = "127.0.0.1",
		.auth_required = true,
		.api_tokens = true,
		.shared_tokens = true,
		.terminate = world_terminate,
		.context = world,
	};
	char message[TW_API_MESSAGE] = "";

	assert_non_null(world);
	snprintf(world->folder, sizeof world->folder, "/tmp/test_api-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(world->socket_path, sizeof world->socket_path, "%s/api.sock", world->folder);
	world->base = event_base_new();
	world->engine = fake_engine_new(world->base);
	if (!accounts)
		assert_int_equal(tw_accounts_local_new(NULL, NULL, &world->own), 0);
	options.accounts = accounts ? accounts : world->own;
	options.base = world->base;
	options.engine = world->engine;
	options.socket_path = world->socket_path;
	if (tw_api_new(&options, &world->api, message))
		fail_msg("%s", message);
	return world;
}

static inline void world_free(struct world *world)
{
	tw_api_free(world->api);
	tw_accounts_local_free(world->own);
	fake_engine_free(world->engine);
	event_base_free(world->base);
	unlink(world->socket_path);
	rmdir(world->folder);
	free(world);
}

static inline int dial_local(struct world *world)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", world->socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static inline int dial_tcp(struct world *world)
{
	struct sockaddr_storage address;
	struct tw_address at;
	socklen_t length;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	tw_address_parse_ip("127.0.0.1", &at);
	at.port = tw_api_port(world->api);
	length = tw_address_to_sockaddr(&at, &address);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, length), 0);
	return fd;
}

static inline void say(int fd, const char *bytes, size_t length)
{
	assert_true(send(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length);
}

/* One turn of the loop, then what has come to @fd is added to the answer; false: the end. */
static inline bool listen_once(struct world *world, int fd)
{
	struct pollfd ready = { fd, POLLIN, 0 };
	ssize_t length;

	event_base_loop(world->base, EVLOOP_NONBLOCK);
	if (poll(&ready, 1, 1) <= 0)
		return true;
	length = recv(fd, world->answer + world->answer_length,
		      ANSWER_ROOM - 1 - world->answer_length, MSG_DONTWAIT);
	if (length <= 0)
		return false;
	world->answer_length += (size_t)length;
	world->answer[world->answer_length] = '\0';
	return true;
}

/* The body of the next answer, whole; the head is in world->answer. NULL: the connection ended. */
static inline const char *hear(struct world *world, int fd)
{
	const char *body, *field;

	world->answer_length = 0;
	world->answer[0] = '\0';
	for (int i = 0; i < 20000; i++) {
		bool open = listen_once(world, fd);

		body = strstr(world->answer, "\r\n\r\n");
		field = strstr(world->answer, "Content-Length: ");
		if (body && strncmp(world->answer, "HTTP/1.1 204", 12) == 0)
			return body + 4;
		if (body && field && strlen(body + 4) >= (size_t)strtoul(field + 16, NULL, 10))
			return body + 4;
		if (!open)
			return NULL;
	}
	fail_msg("no answer, only: %s", world->answer);
	return NULL;
}

/* Until the answer holds @text. */
static inline void hear_until(struct world *world, int fd, const char *text)
{
	for (int i = 0; i < 20000 && !strstr(world->answer, text); i++)
		listen_once(world, fd);
	if (!strstr(world->answer, text))
		fail_msg("no %s, only: %s", text, world->answer);
}

static inline void say_body(int fd, const char *fields, const char *body)
{
	size_t room = strlen(body) + strlen(fields) + 256;
	char *text = malloc(room);
	int length = snprintf(text, room,
			      "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
			      "application/json\r\n%sContent-Length: %zu\r\n\r\n%s",
			      fields, strlen(body), body);

	say(fd, text, (size_t)length);
	free(text);
}

static inline const char *post(struct world *world, int fd, const char *body)
{
	say_body(fd, "", body);
	return hear(world, fd);
}

/* {"jsonrpc": "2.0", "id": 1, "method": @method, "params": @parameters} */
static inline json_t *call_with(struct world *world, int fd, const char *fields, const char *method,
				const char *parameters)
{
	size_t room = strlen(parameters) + 256;
	char *text = malloc(room);
	const char *body;
	json_t *answer;

	snprintf(text, room, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
		 method, parameters);
	say_body(fd, fields, text);
	free(text);
	body = hear(world, fd);
	assert_non_null(body);
	answer = json_loads(body, 0, NULL);
	if (!answer)
		fail_msg("not JSON: %s", body);
	return answer;
}

static inline json_t *call(struct world *world, int fd, const char *method, const char *parameters)
{
	return call_with(world, fd, "", method, parameters);
}

/* The result of a call that must succeed; owned. */
static inline json_t *result(struct world *world, int fd, const char *method,
			     const char *parameters)
{
	json_t *answer = call(world, fd, method, parameters);
	json_t *value = json_incref(json_object_get(answer, "result"));

	if (!value)
		fail_msg("%s: %s", method, world->answer);
	json_decref(answer);
	return value;
}

/* Checks that an answer is that error, about that parameter (NULL: none); drops it. */
static inline void expect_fault(json_t *answer, const char *name, const char *parameter)
{
	json_t *error = json_object_get(answer, "error"), *data = json_object_get(error, "data");
	const char *said = json_string_value(json_object_get(data, "name"));
	const char *at = json_string_value(json_object_get(data, "parameter"));
	char *text = json_dumps(answer, 0);

	if (!said || strcmp(said, name) != 0 || !at != !parameter ||
	    (at && parameter && strcmp(at, parameter) != 0))
		fail_msg("wanted %s about %s: %s", name, parameter ? parameter : "nothing", text);
	assert_true(strlen(json_string_value(json_object_get(error, "message"))) > 5);
	free(text);
	json_decref(answer);
}
