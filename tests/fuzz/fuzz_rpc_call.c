/*
 * The body of a request, through the whole interface over a fake engine: a connection to the Unix
 * socket sends it and takes the answer, which must be whole and JSON. The first byte says what else
 * the client does.
 */
#include "fuzz.h"

#include <event2/event.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/api.h"
#include "support/fake_engine.h"

#define TURNS 200

static struct event_base *base;
static struct tw_engine *engine;
static struct tw_api *api;
static char path[64];

static void terminate(void *context)
{
	(void)context;
}

static void clean_up(void)
{
	unlink(path);
}

static int dial(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	CHECK(fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof address));
	return fd;
}

static void say(int fd, const uint8_t *data, size_t size, bool lie)
{
	char head[256];
	int length = snprintf(head, sizeof head,
			      "POST /rpc HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
			      "Connection: close\r\nContent-Length: %zu\r\n\r\n",
			      size + (lie ? 1 : 0));

	CHECK(send(fd, head, (size_t)length, MSG_NOSIGNAL) == length);
	CHECK(send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size);
}

/* The first one of an account waits for word on it; those that follow soon do not. */
static void get_known(void)
{
	static const char call[] = "{}";
	char byte;
	int fd = dial();

	say(fd, (const uint8_t *)call, sizeof call - 1, false);
	while (recv(fd, &byte, 1, 0) < 0)
		event_base_loop(base, EVLOOP_ONCE);
	close(fd);
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void begin(void)
{
	struct tw_api_options options = { .socket_path = path,
					  .auth_required = true,
					  .api_tokens = true,
					  .shared_tokens = true,
					  .terminate = terminate };
	char message[TW_API_MESSAGE];

	snprintf(path, sizeof path, "/tmp/fuzz_rpc-%d.sock", (int)getpid());
	atexit(clean_up);
	base = event_base_new();
	engine = fake_engine_new(base);
	CHECK(!tw_accounts_local_new(NULL, NULL, &options.accounts));
	options.base = base;
	options.engine = engine;
	CHECK(!tw_api_new(&options, &api, message));
	get_known();
}

static void check_answer(const char *answer)
{
	const char *body = strstr(answer, "\r\n\r\n");
	json_t *value;

	CHECK(!strncmp(answer, "HTTP/1.1 ", 9) && body);
	if (!strncmp(answer + 9, "204", 3))
		return;
	value = json_loads(body + 4, 0, NULL);
	CHECK(value && json_typeof(value) <= JSON_ARRAY);
	json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char answer[4 << 20];
	size_t length = 0;
	ssize_t step = 1;
	int fd;

	if (size < 1 || size > 65536)
		return 0;
	if (!api)
		begin();
	fd = dial();
	engine->processing = data[0] & 1;
	engine->commit_result = data[0] & 2 ? -28 : 0;
	say(fd, data + 1, size - 1, data[0] & 4);
	for (int i = 0; i < TURNS && step != 0; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		step = recv(fd, answer + length, sizeof answer - 1 - length, 0);
		length += step > 0 ? (size_t)step : 0;
		if ((data[0] & 8) && i == 3)
			break; /* goes away */
		if ((data[0] & 4) && i == 3)
			shutdown(fd, SHUT_WR);
		if (i == 8)
			fake_engine_finish(engine);
	}
	answer[length] = '\0';
	if (step == 0 && length)
		check_answer(answer);
	close(fd);
	for (int i = 0; i < 4; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	return 0;
}
