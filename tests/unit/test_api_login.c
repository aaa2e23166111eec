#include "apiworld.h"

#include "base/random.h"

/* Says yes to alice with "right", when it is told to. */
struct gate {
	void (*done)(void *context, const struct tw_api_session *session);
	void *context;
	char user[64], password[64];
	unsigned asked, cancelled;
};

static struct gate gate;

static void *check(void *context, const char *user, const char *password,
		   void (*done)(void *done_context, const struct tw_api_session *session),
		   void *done_context)
{
	struct gate *at = context;

	at->done = done;
	at->context = done_context;
	at->asked++;
	snprintf(at->user, sizeof at->user, "%s", user);
	snprintf(at->password, sizeof at->password, "%s", password);
	return at;
}

static void cancel(void *context, void *handle)
{
	struct gate *at = context;

	assert_ptr_equal(at, handle);
	at->done = NULL;
	at->cancelled++;
}

static const struct tw_api_authenticator authenticator = { &gate, check, cancel };

static int setup(void **state)
{
	gate = (struct gate){ 0 };
	*state = world_new(&authenticator);
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static void wait_for_question(struct world *world, unsigned asked)
{
	for (int i = 0; i < 20000 && gate.asked < asked; i++) {
		event_base_loop(world->base, EVLOOP_NONBLOCK);
		usleep(100);
	}
	assert_int_equal(gate.asked, asked);
}

static void answer(void)
{
	const struct tw_api_session alice = {
		.user = "alice",
		.authenticated = true,
		.permissions = TW_MAY_ALL,
	};
	bool good = strcmp(gate.user, "alice") == 0 && strcmp(gate.password, "right") == 0;

	gate.done(gate.context, good ? &alice : NULL);
}

#define AUTH(password) \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"auth\",\"params\":{\"user\":\"alice\"," \
	"\"password\":\"" password "\"}}"

static void test_login(void **state)
{
	struct world *world = *state;
	int fd = dial_tcp(world);
	json_t *said, *value;
	char fields[160];

	/* The call after it in a batch is not held up, and is not in the new session yet. */
	say_body(fd, "",
		 "[" AUTH("right") ",{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":"
				   "\"getDestinations\"}]");
	wait_for_question(world, 1);
	answer();
	said = json_loads(hear(world, fd), 0, NULL);
	value = json_object_get(json_array_get(said, 0), "result");
	assert_string_equal(json_string_value(json_object_get(value, "user")), "alice");
	assert_true(json_integer_value(json_object_get(value, "expiryTime")) > 0);
	snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n",
		 json_string_value(json_object_get(value, "token")));
	assert_non_null(json_object_get(json_array_get(said, 1), "error"));
	json_decref(said);
	said = call_with(world, fd, fields, "createDestination", "{\"destinationAddress\":\"a\"}");
	value = json_object_get(said, "result");
	assert_string_equal(json_string_value(json_object_get(value, "owner")), "alice");
	json_decref(said);
	expect_fault(call_with(world, fd, fields, "superuser", "{}"), "NotPermitted", NULL);
	close(fd);
}

static void test_wrong(void **state)
{
	struct world *world = *state;
	int fd = dial_tcp(world);

	say_body(fd, "", AUTH("wrong"));
	wait_for_question(world, 1);
	answer();
	expect_fault(json_loads(hear(world, fd), 0, NULL), "NotAuthenticated", NULL);
	close(fd);
}

static void test_async(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world);
	json_t *request =
		result(world, fd, "authAsync", "{\"user\":\"alice\",\"password\":\"right\"}");
	char *parameters = json_dumps(request, 0);
	json_t *value;

	wait_for_question(world, 1);
	answer();
	value = result(world, fd, "getRequestResult", parameters);
	assert_int_equal(json_string_length(json_object_get(value, "token")), 64);
	json_decref(value);
	json_decref(request);
	free(parameters);
	close(fd);
}

/* Who goes away while his password is looked at is forgotten. */
static void test_gone(void **state)
{
	struct world *world = *state;
	int fd = dial_tcp(world);

	say_body(fd, "", AUTH("right"));
	wait_for_question(world, 1);
	close(fd);
	for (int i = 0; i < 1000 && !gate.cancelled; i++)
		event_base_loop(world->base, EVLOOP_NONBLOCK);
	assert_int_equal(gate.cancelled, 1);
	/* And one who is still there when the server ends. */
	fd = dial_tcp(world);
	say_body(fd, "", AUTH("right"));
	wait_for_question(world, 2);
	close(fd);
}

static void test_too_many(void **state)
{
	struct world *world = *state;
	int crowd[TW_API_LOGINS_MAX], fd;

	for (unsigned i = 0; i < TW_API_LOGINS_MAX; i++) {
		crowd[i] = dial_tcp(world);
		say_body(crowd[i], "", AUTH("right"));
		wait_for_question(world, i + 1);
		gate.done = NULL; /* never answered: ended by the server's end */
	}
	fd = dial_tcp(world);
	expect_fault(call(world, fd, "auth", "{\"user\":\"a\",\"password\":\"b\"}"), "LimitReached",
		     NULL);
	close(fd);
	for (unsigned i = 0; i < TW_API_LOGINS_MAX; i++)
		close(crowd[i]);
}

static void test_brake(void **state)
{
	struct tw_api_sessions *sessions;
	char name[32];
	tw_ns before = 0;

	(void)state;
	assert_int_equal(tw_api_sessions_new(&sessions), 0);
	assert_int_equal(tw_api_brake_delay(sessions, "alice", "1.1.1.1"), 0);
	for (int i = 0; i < 6; i++) {
		tw_ns delay;

		tw_api_brake_failed(sessions, "alice", "1.1.1.1");
		delay = tw_api_brake_delay(sessions, "alice", "2.2.2.2");
		assert_true(delay > before);
		assert_int_equal(delay, tw_api_brake_delay(sessions, "bob", "1.1.1.1"));
		before = delay;
	}
	for (int i = 0; i < 100; i++)
		tw_api_brake_failed(sessions, "alice", "1.1.1.1");
	assert_int_equal(tw_api_brake_delay(sessions, "alice", "2.2.2.2"), TW_API_DELAY_MAX);
	assert_int_equal(tw_api_brake_delay(sessions, "bob", "2.2.2.2"), 0);
	tw_api_brake_passed(sessions, "alice", "1.1.1.1");
	assert_int_equal(tw_api_brake_delay(sessions, "alice", "1.1.1.1"), 0);
	/* However many names are tried, what is remembered has a bound, and the address stays. */
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof name, "name-%d", i);
		tw_api_brake_failed(sessions, name, "3.3.3.3");
	}
	assert_int_equal(tw_api_brake_delay(sessions, "new", "3.3.3.3"), TW_API_DELAY_MAX);
	tw_api_sessions_free(sessions);
}

static struct tw_api_session *find(struct tw_api_sessions *sessions, const char *bearer)
{
	return tw_api_sessions_find(sessions, (struct tw_slice){ bearer, strlen(bearer) });
}

/* Any number of sessions: the newest are there, each under its own bearer. */
static void test_sessions(void **state)
{
	struct tw_api_sessions *sessions;
	struct tw_api_session template = { .authenticated = true }, *held;
	char(*bearers)[TW_API_BEARER] = calloc(TW_API_SESSIONS_MAX * 2, TW_API_BEARER);
	size_t there = 0;

	(void)state;
	assert_non_null(bearers);
	assert_int_equal(tw_api_sessions_new(&sessions), 0);
	assert_null(find(sessions, "none"));
	for (size_t i = 0; i < (size_t)TW_API_SESSIONS_MAX * 2; i++) {
		tw_api_bearer_make(bearers[i]);
		snprintf(template.user, sizeof template.user, "user-%zu", i);
		assert_non_null(tw_api_sessions_add(sessions, &template, bearers[i]));
	}
	for (size_t i = 0; i < (size_t)TW_API_SESSIONS_MAX * 2; i++) {
		struct tw_api_session *session = find(sessions, bearers[i]);

		if (!session)
			continue;
		snprintf(template.user, sizeof template.user, "user-%zu", i);
		assert_string_equal(session->user, template.user);
		there++;
	}
	assert_int_equal(there, TW_API_SESSIONS_MAX / 4 * 3);
	/* One that is in use when it has to give way lives on for its holder, without rights. */
	held = find(sessions, bearers[TW_API_SESSIONS_MAX * 2 - 1]);
	assert_non_null(held);
	tw_api_session_hold(held);
	tw_api_sessions_free(sessions);
	assert_false(held->authenticated);
	tw_api_session_drop(held);
	free(bearers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_login, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_async, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test(test_brake),
		cmocka_unit_test(test_sessions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
