/* test_relay_host.c - the relay's program on loopback, with servers that misbehave. */
#include "unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "netio/clock.h"
#include "netio/relay_host.h"
#include "netio/sockaddr.h"
#include "netio/tls.h"
#include "relay/client.h"

#define PATIENCE_MS 30000 /* for a slow machine */

struct scene {
	struct tw_identity relay_identity;
	struct tw_relay_host *host;
	struct tw_address control;
	int stop_fd;
	pthread_t thread;
};

/* A server's connection to the relay. */
struct caller {
	struct tw_identity identity;
	struct tw_tls_context *context;
	struct tw_tls tls;
	struct tw_relay_client *client;
};

static bool all_allowed(void *context, const struct tw_public_key *server)
{
	(void)context;
	(void)server;
	return true;
}

static void *run(void *context)
{
	struct scene *scene = context;

	return (void *)(intptr_t)tw_relay_host_run(scene->host, scene->stop_fd);
}

/* A port that is free now, for TCP. */
static struct tw_address free_port(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_storage bound;
	socklen_t length = sizeof bound;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &length), 0);
	close(fd);
	return tw_address_from_sockaddr(&bound);
}

static int set_up(void **state)
{
	const struct tw_random random = tw_system_random();
	struct scene *scene = calloc(1, sizeof *scene);
	struct tw_relay_host_options options = {
		.relay = { .random = random,
			   .port_first = 20000,
			   .port_last = 60000,
			   .allowed = all_allowed },
		.bind_count = 1,
		.buffer_bytes = 65536,
	};
	struct tw_address failed;

	assert_non_null(scene);
	assert_int_equal(tw_identity_generate(&random, &scene->relay_identity), 0);
	options.relay.identity = &scene->relay_identity;
	options.binds[0] = scene->control = free_port();
	assert_int_equal(tw_relay_host_new(&options, &scene->host, &failed), 0);
	scene->stop_fd = eventfd(0, EFD_CLOEXEC);
	assert_true(scene->stop_fd >= 0);
	assert_int_equal(pthread_create(&scene->thread, NULL, run, scene), 0);
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;
	uint64_t one = 1;
	void *r = (void *)1;

	assert_int_equal(write(scene->stop_fd, &one, sizeof one), sizeof one);
	pthread_join(scene->thread, &r);
	assert_null(r);
	tw_relay_host_free(scene->host);
	close(scene->stop_fd);
	free(scene);
	return 0;
}

static void wait_for(const struct caller *caller, short events)
{
	struct pollfd poller = { .fd = caller->tls.fd, .events = events };

	assert_int_equal(poll(&poller, 1, PATIENCE_MS), 1);
}

static void say_all(struct caller *caller)
{
	const uint8_t *bytes;
	size_t length, written;

	while (bytes = tw_relay_client_output(caller->client, &length), length) {
		assert_int_equal(tw_tls_write(&caller->tls, bytes, length, &written), 0);
		tw_relay_client_sent(caller->client, written);
	}
}

static void call(const struct scene *scene, struct caller *ret)
{
	struct sockaddr_storage name;
	socklen_t length = tw_address_to_sockaddr(&scene->control, &name);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint8_t binding[TW_TLS_BINDING];

	assert_int_equal(connect(fd, (struct sockaddr *)&name, length), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(tw_tls_context_new(false, &ret->context), 0);
	assert_int_equal(tw_tls_init(ret->context, fd, &ret->tls), 0);
	while (tw_tls_handshake(&ret->tls) == TW_E_AGAIN)
		wait_for(ret, ret->tls.wants_write ? POLLOUT : POLLIN);
	assert_int_equal(tw_tls_binding(&ret->tls, binding), 0);
	tw_relay_client_connected(ret->client, binding, tw_clock_now());
}

/* A server that takes calls, registered. */
static void join(const struct scene *scene, struct caller *ret)
{
	struct tw_relay_client_config config = { .identity = &ret->identity,
						 .relay = scene->relay_identity.public_key,
						 .random = tw_system_random(),
						 .accepts = true };
	struct tw_relay_client_status status;
	uint8_t bytes[4096];
	size_t length;

	*ret = (struct caller){ 0 };
	assert_int_equal(tw_identity_generate(&config.random, &ret->identity), 0);
	assert_int_equal(tw_relay_client_new(&config, tw_clock_now(), &ret->client), 0);
	call(scene, ret);
	do {
		int r;

		say_all(ret);
		wait_for(ret, POLLIN);
		r = tw_tls_read(&ret->tls, bytes, sizeof bytes, &length);
		assert_true(r == 0 || r == TW_E_AGAIN);
		if (!r)
			tw_relay_client_receive(ret->client, bytes, length, tw_clock_now());
		tw_relay_client_status(ret->client, &status);
	} while (status.state != TW_RELAY_CLIENT_SERVED);
}

static void leave(struct caller *caller)
{
	tw_tls_close(&caller->tls);
	tw_tls_context_free(caller->context);
	tw_relay_client_free(caller->client);
}

/*
 * Asks and asks and hears nothing. Once too much waits for it the relay is done with it, and waits
 * for nobody who does not read: else some such would take all places that others need.
 */
static void test_deaf_server(void **state)
{
	const struct tw_relay_message ping = { .type = TW_RELAY_PING };
	const struct scene *scene = *state;
	uint8_t bytes[16000];
	struct caller caller;
	size_t one = tw_relay_message_write(&ping, bytes, sizeof bytes), at, written;
	const size_t all = sizeof bytes / one * one;
	tw_ns until = tw_clock_now() + PATIENCE_MS * TW_MSEC;
	struct tw_relay_client_status status;
	int r = TW_E_AGAIN;

	for (at = one; at < all; at += one)
		memcpy(bytes + at, bytes, one);
	join(scene, &caller);
	tw_relay_client_status(caller.client, &status);
	assert_in_range(status.port, 20000, 60000);
	while ((r == 0 || r == TW_E_AGAIN) && tw_clock_now() < until) {
		struct pollfd poller = { .fd = caller.tls.fd, .events = POLLOUT };

		if (at == all)
			at = 0;
		r = tw_tls_write(&caller.tls, bytes + at, all - at, &written);
		if (!r)
			at += written;
		else if (r == TW_E_AGAIN)
			poll(&poller, 1, 10);
	}
	assert_int_equal(r, TW_E_CLOSED);
	leave(&caller);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_deaf_server, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("relay_host", tests, NULL, NULL);
}
