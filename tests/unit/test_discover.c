#include "unit.h"

#include "../support/temp_dir.h"
#include "engine/discover.h"
#include "netio/clock.h"

static const struct tw_caller anna = { .user = "anna", .authenticated = true };

struct world {
	char folder[TEMP_PATH_MAX];
	struct tw_fs fs;
	struct tw_identity identity;
	struct event_base *base;
	struct tw_pool *pool;
	struct tw_requests *requests;
	struct tw_worker *worker;
	struct tw_accounts *accounts;
	struct event *news;
	struct tw_discovers *discovers;
	uint16_t port;
};

static void on_news(evutil_socket_t fd, short what, void *context)
{
	struct world *world = context;
	struct tw_worker_event event;

	(void)fd;
	(void)what;
	(void)tw_worker_snapshot(world->worker);
	while (tw_worker_event(world->worker, &event))
		if (event.type == TW_WORKER_DISCOVERED)
			tw_discovers_event(world->discovers, &event);
}

static void start_worker(struct world *world)
{
	struct tw_worker_receiving receiving = {
		.binds = { { .family = TW_FAMILY_IPV4, .ip = { 127, 0, 0, 1 } } },
		.bind_count = 1,
		.fs = &world->fs,
	};
	struct tw_worker_options options = { .identity = &world->identity,
					     .receiving = &receiving };
	struct tw_random random = tw_system_random();
	struct tw_address failed;

	assert_int_equal(tw_identity_generate(&random, &world->identity), 0);
	assert_int_equal(tw_fs_posix_open(world->folder, true, &world->fs), 0);
	assert_int_equal(tw_worker_new(&options, &world->worker, &failed), 0);
	world->port = tw_worker_socket(world->worker, 0)->local.port;
	assert_int_equal(tw_worker_start(world->worker), 0);
	world->news = event_new(world->base, tw_worker_fd(world->worker), EV_READ | EV_PERSIST,
				on_news, world);
	event_add(world->news, NULL);
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof *world);

	temp_dir_make(world->folder);
	world->base = event_base_new();
	start_worker(world);
	assert_int_equal(tw_pool_new(world->base, 1, &world->pool), 0);
	assert_int_equal(tw_accounts_local_new(NULL, NULL, &world->accounts), 0);
	assert_int_equal(tw_requests_new(world->base, &world->requests), 0);
	assert_int_equal(
		tw_discovers_new(world->base, world->pool, world->worker, world->accounts,
				 &world->discovers), 0);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	tw_pool_free(world->pool);
	tw_discovers_free(world->discovers);
	tw_accounts_local_free(world->accounts);
	tw_requests_free(world->requests);
	event_free(world->news);
	tw_worker_free(world->worker);
	tw_fs_posix_close(&world->fs);
	event_base_free(world->base);
	temp_dir_remove(world->folder);
	free(world);
	return 0;
}

static int begin_as(struct world *world, const struct tw_caller *caller, bool from_receive_port,
		    json_t *parameters, const char **ret_id)
{
	struct tw_request *request;
	struct tw_fault fault;
	int r;

	assert_int_equal(tw_requests_add(world->requests, caller, ret_id, &request, &fault), 0);
	r = tw_discovers_start(world->discovers, from_receive_port, parameters,
			       tw_pool_owner(caller->user), request, &fault);
	json_decref(parameters);
	if (r)
		tw_request_fail(request, &fault);
	return r;
}

static int begin(struct world *world, bool from_receive_port, json_t *parameters,
		 const char **ret_id)
{
	return begin_as(world, &anna, from_receive_port, parameters, ret_id);
}

static struct tw_request_status end(struct world *world, const char *id)
{
	struct tw_request_status status;
	struct tw_fault fault;

	do {
		event_base_loop(world->base, EVLOOP_ONCE);
		assert_int_equal(tw_requests_look(world->requests, &anna, id, &status, &fault), 0);
	} while (status.state == TW_REQUEST_PENDING);
	return status;
}

static json_t *to(const char *host, int port, int timeout_ms)
{
	return json_pack("{s:s, s:i, s:i}", "address", host, "port", port, "timeoutMs", timeout_ms);
}

static void test_reachable(void **state)
{
	struct world *world = *state;

	for (int from_receive_port = 0; from_receive_port < 2; from_receive_port++) {
		struct tw_request_status status;
		json_int_t port;
		const char *id;

		assert_int_equal(begin(world, from_receive_port,
				       to("127.0.0.1", world->port, 20000), &id),
				 0);
		status = end(world, id);
		assert_int_equal(status.state, TW_REQUEST_COMPLETE);
		assert_true(json_is_true(json_object_get(status.result, "reachable")));
		assert_string_equal(json_string_value(json_object_get(status.result, "observedIP")),
				    "127.0.0.1");
		port = json_integer_value(json_object_get(status.result, "observedPort"));
		assert_int_equal(port == world->port, from_receive_port);
		assert_true(json_real_value(json_object_get(status.result, "roundTripTimeMs")) > 0);
	}
}

static void test_silence(void **state)
{
	struct world *world = *state;

	for (int from_receive_port = 0; from_receive_port < 2; from_receive_port++) {
		struct tw_request_status status;
		const char *id;

		assert_int_equal(begin(world, from_receive_port, to("127.0.0.1", 1, 300), &id), 0);
		status = end(world, id);
		assert_int_equal(status.state, TW_REQUEST_COMPLETE);
		assert_true(json_is_false(json_object_get(status.result, "reachable")));
		assert_true(json_is_null(json_object_get(status.result, "observedIP")));
	}
}

static void test_wrong(void **state)
{
	struct world *world = *state;
	struct tw_request_status status;
	const char *id;

	assert_int_equal(begin(world, false, to("", 1, 300), &id), TW_FAULT_INVALID_PARAMETER);
	assert_int_equal(begin(world, false, to("h", 0, 300), &id), TW_FAULT_INVALID_PARAMETER);
	assert_int_equal(begin(world, false, to("h", 65536, 300), &id), TW_FAULT_INVALID_PARAMETER);
	assert_int_equal(begin(world, false, to("h", 1, 0), &id), TW_FAULT_INVALID_PARAMETER);
	assert_int_equal(begin(world, false, to("name.invalid", 1, 300), &id), 0);
	status = end(world, id);
	assert_int_equal(status.state, TW_REQUEST_ERROR);
	assert_non_null(strstr(status.failure->message, "name.invalid"));
}

/* One account has some of the places, all together the rest. */
static void test_many(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = { .authenticated = true };
	char name[16];
	const char *id;

	for (unsigned i = 0; i < TW_DISCOVER_MAX; i++) {
		snprintf(name, sizeof name, "user-%u", i / TW_DISCOVER_ACCOUNT_MAX);
		caller.user = name;
		assert_int_equal(begin_as(world, &caller, true, to("127.0.0.1", world->port, 20000),
					  &id),
				 0);
		if ((i + 1) % TW_DISCOVER_ACCOUNT_MAX)
			continue;
		assert_int_equal(begin_as(world, &caller, true, to("127.0.0.1", world->port, 20000),
					  &id),
				 TW_FAULT_LIMIT_REACHED);
	}
	assert_int_equal(begin(world, true, to("127.0.0.1", world->port, 20000), &id),
			 TW_FAULT_LIMIT_REACHED);
	/* Nobody waits for them: they end with the pool, or are forgotten. */
}

static void look_up(struct tw_pool_job *job)
{
	(void)job;
}

static void looked_up(struct tw_pool_job *job)
{
	job->owner = 0;
}

/* Whoever asks where nobody answers does not keep others from looking up names. */
static void test_long(void **state)
{
	struct world *world = *state;
	struct tw_pool_job other = { .run = look_up, .done = looked_up, .owner = 1 };
	const char *id;

	tw_discovers_free(world->discovers);
	tw_pool_free(world->pool);
	assert_int_equal(tw_pool_new(world->base, 2, &world->pool), 0);
	assert_int_equal(tw_discovers_new(world->base, world->pool, world->worker, world->accounts,
					  &world->discovers),
			 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(begin(world, false, to("127.0.0.1", 1, 60000), &id), 0);
	tw_pool_submit(world->pool, &other);
	while (other.owner)
		event_base_loop(world->base, EVLOOP_ONCE);
	assert_int_equal(tw_pool_count(world->pool), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reachable, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
