#include "apiworld.h"

#include <errno.h>
#include <pthread.h>

#include "api/private.h"
#include "base/random.h"
#include "netio/clock.h"

/* Accounts that know alice, and answer when they are told to. */
static struct gate {
	struct tw_accounts accounts; /* first */
	pthread_mutex_t lock;
	pthread_cond_t opened;
	unsigned asked, finds;
	bool open, gone, superuser;
} gate;

static const struct tw_account alice = { .name = "alice", .uid = 1001, .gid = 1001 };

static int check(struct tw_accounts *accounts, const char *user, const char *password,
		 struct tw_account *ret)
{
	(void)accounts;
	pthread_mutex_lock(&gate.lock);
	gate.asked++;
	while (!gate.open)
		pthread_cond_wait(&gate.opened, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	if (strcmp(user, "alice") != 0 || strcmp(password, "right") != 0)
		return -EACCES;
	*ret = alice;
	ret->superuser_allowed = gate.superuser;
	return 0;
}

static int vouch(struct tw_accounts *accounts, int socket, struct tw_account *ret)
{
	struct ucred peer;
	socklen_t length = sizeof peer;

	(void)accounts;
	assert_int_equal(getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length), 0);
	*ret = (struct tw_account){
		.name = "bob", .uid = peer.uid, .gid = peer.gid, .superuser_allowed = gate.superuser
	};
	return gate.gone ? -EACCES : 0;
}

static int find_account(struct tw_accounts *accounts, const char *user, struct tw_account *ret)
{
	(void)accounts;
	gate.finds++;
	if (gate.gone || strcmp(user, "alice") != 0)
		return -EACCES;
	*ret = alice;
	ret->superuser_allowed = gate.superuser;
	return 0;
}

static bool in_group(struct tw_accounts *accounts, const char *user, const char *group)
{
	(void)accounts;
	return strcmp(user, "bob") == 0 && strcmp(group, "herders") == 0;
}

static const struct tw_accounts_ops ops = {
	.check = check,
	.vouch = vouch,
	.find = find_account,
	.in_group = in_group,
};

static void open_gate(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.open = true;
	pthread_cond_broadcast(&gate.opened);
	pthread_mutex_unlock(&gate.lock);
}

static int setup(void **state)
{
	gate = (struct gate){ .accounts = { &ops },
			      .lock = PTHREAD_MUTEX_INITIALIZER,
			      .opened = PTHREAD_COND_INITIALIZER };
	*state = world_new(&gate.accounts);
	return 0;
}

static int teardown(void **state)
{
	open_gate();
	world_free(*state);
	return 0;
}

static void turn(struct world *world)
{
	event_base_loop(world->base, EVLOOP_NONBLOCK);
	usleep(100);
}

static unsigned asked(void)
{
	unsigned count;

	pthread_mutex_lock(&gate.lock);
	count = gate.asked;
	pthread_mutex_unlock(&gate.lock);
	return count;
}

static void wait_for_question(struct world *world, unsigned count)
{
	for (int i = 0; i < 20000 && asked() < count; i++)
		turn(world);
	assert_int_equal(asked(), count);
}

#define BASIC(pair) \
	"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic " pair "\r\n\r\n"

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
	open_gate();
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
	open_gate();
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
	open_gate();
	while (!LIST_EMPTY(&world->api->logins))
		turn(world);
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
	for (int i = 0; i < 100; i++)
		turn(world);
	open_gate();
	for (int i = 0; i < 100; i++)
		turn(world);
	/* And one who is still there when the server ends. */
	gate.open = false;
	fd = dial_tcp(world);
	say_body(fd, "", AUTH("right"));
	wait_for_question(world, 2);
	close(fd);
}

/* One source has so many guesses under way, however many connections it makes. */
static void test_too_many(void **state)
{
	struct world *world = *state;
	int crowd[TW_PENALTY_BURST], fd;

	for (unsigned i = 0; i < TW_PENALTY_BURST; i++) {
		crowd[i] = dial_tcp(world);
		say_body(crowd[i], "", AUTH("right"));
	}
	wait_for_question(world, 4);
	for (int i = 0; i < 50; i++)
		turn(world);
	fd = dial_tcp(world);
	expect_fault(call(world, fd, "auth", "{\"user\":\"a\",\"password\":\"b\"}"), "LimitReached",
		     NULL);
	close(fd);
	open_gate();
	for (unsigned i = 0; i < TW_PENALTY_BURST; i++) {
		assert_non_null(strstr(hear(world, crowd[i]), "\"user\":\"alice\""));
		close(crowd[i]);
	}
	/* They were right, and it may guess again. */
	fd = dial_tcp(world);
	expect_fault(call(world, fd, "auth", "{\"user\":\"a\",\"password\":\"b\"}"),
		     "NotAuthenticated", NULL);
	close(fd);
}

/* After some wrong ones the source is closed, and is told for how long; others are not. */
static void test_closed(void **state)
{
	struct world *world = *state;
	int fd = dial_tcp(world), local = dial_local(world);
	struct tw_penalty_source here = { 0 };
	struct tw_address address;
	json_t *said;

	open_gate();
	tw_address_parse_ip("127.0.0.1", &address);
	here = tw_penalty_source_of(&address);
	for (int i = 0; i < 5; i++)
		tw_penalty_begin(world->api->penalties, &here, tw_clock_now());
	tw_penalty_wrong(world->api->penalties, &here, "alice", tw_clock_now());
	expect_fault(call(world, fd, "auth", "{\"user\":\"alice\",\"password\":\"right\"}"),
		     "LimitReached", NULL);
	say(fd, BASIC("YWxpY2U6cmlnaHQ="), strlen(BASIC("YWxpY2U6cmlnaHQ=")));
	assert_non_null(strstr(hear(world, fd), "LimitReached"));
	assert_non_null(strstr(world->answer, "HTTP/1.1 429"));
	assert_int_equal(asked(), 0);
	said = result(world, local, "auth", "{\"user\":\"alice\",\"password\":\"right\"}");
	json_decref(said);
	close(local);
	close(fd);
}

static void test_basic(void **state)
{
	struct world *world = *state;
	static const char *const bad[] = { "YWxpY2U6d3Jvbmc=", "YWxpY2U=", "!!!!",
					   "YWxpY2U6AHg=", "Y" };
	int fd = dial_tcp(world);
	char request[256];

	open_gate();
	for (int i = 0; i < 3; i++) {
		say(fd, BASIC("YWxpY2U6cmlnaHQ="), strlen(BASIC("YWxpY2U6cmlnaHQ=")));
		assert_non_null(strstr(hear(world, fd), "tradewind_"));
	}
	assert_int_equal(asked(), 1); /* the connection remembers */
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(request, sizeof request,
			 "GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
			 "Authorization: Basic %s\r\n\r\n",
			 bad[i]);
		say(fd, request, strlen(request));
		assert_non_null(strstr(hear(world, fd), "NotAuthenticated"));
		assert_non_null(strstr(world->answer, "HTTP/1.1 401"));
		assert_non_null(strstr(world->answer, "WWW-Authenticate: Basic"));
	}
	assert_int_equal(asked(), 2); /* what is no pair is not asked about */
	close(fd);
}

/* A body that waits for word on its sender is whole when it comes. */
static void test_basic_body(void **state)
{
	struct world *world = *state;
	char *text = malloc(300001), *parameters = malloc(300100);
	int fd = dial_tcp(world);
	json_t *said;

	open_gate();
	memset(text, 'x', 300000);
	text[300000] = '\0';
	snprintf(parameters, 300100, "{\"destinationAddress\":\"a\",\"userData\":{\"k\":\"%s\"}}",
		 text + 250000);
	said = call_with(world, fd, "Authorization: Basic YWxpY2U6cmlnaHQ=\r\n",
			 "createDestination", parameters);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(said, "result"), "owner")),
		"alice");
	json_decref(said);
	free(text);
	free(parameters);
	close(fd);
}

static void test_tokens(void **state)
{
	struct world *world = *state;
	int local = dial_local(world), fd = dial_tcp(world);
	json_t *token = result(world, local, "createAPIToken", "{\"password\":\"right\"}");
	const char *id = json_string_value(json_object_get(token, "token"));
	char parameters[160], fields[160];
	json_t *said;

	snprintf(parameters, sizeof parameters, "{\"token\":\"%s\",\"password\":\"right\"}", id);
	said = result(world, fd, "authToken", parameters);
	assert_int_equal(json_string_length(json_object_get(said, "token")), 64);
	json_decref(said);
	/* With a password it is no bearer by itself; unknown and wrong are one answer. */
	snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", id);
	expect_fault(call_with(world, fd, fields, "getDestinations", "{}"), "NotAuthenticated",
		     NULL);
	snprintf(parameters, sizeof parameters, "{\"token\":\"%s\"}", id);
	expect_fault(call(world, fd, "authToken", parameters), "NotAuthenticated", NULL);
	json_decref(token);
	close(local);
	close(fd);
}

static struct tw_api_session *find(struct tw_api_sessions *sessions, const char *bearer)
{
	return tw_api_sessions_find(sessions, (struct tw_slice){ bearer, strlen(bearer) });
}

#define METHOD(id, name, parameters) \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" name "\",\"params\":" parameters "}"
#define KEEP METHOD("1", "createAPIToken", "{\"password\":\"right\"}")

/* All threads that look at passwords are busy. */
static void keep_busy(struct world *world, int fds[4])
{
	for (unsigned i = 0; i < 4; i++) {
		fds[i] = dial_tcp(world);
		say_body(fds[i], "", AUTH("right"));
	}
	wait_for_question(world, 4);
}

static void let_go(struct world *world, const int fds[4])
{
	open_gate();
	for (unsigned i = 0; i < 4; i++) {
		assert_non_null(strstr(hear(world, fds[i]), "alice"));
		close(fds[i]);
	}
}

/* A password to keep, or one to compare, holds up nobody else. */
static void test_passwords_wait(void **state)
{
	struct world *world = *state;
	int local = dial_local(world), other = dial_local(world), fd = dial_tcp(world), busy[4];
	char ask[256];
	json_t *token = result(world, local, "createAPIToken", "{\"password\":\"right\"}");
	json_t *place = result(world, local, "createDestination", "{\"destinationAddress\":\"a\"}");
	json_t *said;

	keep_busy(world, busy);
	say_body(local, "", KEEP);
	snprintf(ask, sizeof ask,
		 METHOD("1", "send.createTransfer",
			"{\"destinationId\":\"%s\",\"token\":\"%s\","
			"\"tokenPassword\":\"x\"}"),
		 json_string_value(json_object_get(place, "destinationId")),
		 json_string_value(json_object_get(token, "token")));
	say_body(other, "", ask);
	for (int i = 0; i < 3; i++) {
		json_decref(result(world, fd, "echo", "{\"text\":\"there\"}"));
		turn(world);
	}
	assert_int_equal(world->api->waits, 4 + 2);
	let_go(world, busy);
	said = json_loads(hear(world, local), 0, NULL);
	assert_true(
		json_is_true(json_object_get(json_object_get(said, "result"), "passwordRequired")));
	json_decref(said);
	json_decref(place);
	json_decref(token);
	assert_non_null(strstr(hear(world, other), "\"result\""));
	assert_int_equal(world->api->waits, 0);
	close(local);
	close(other);
	close(fd);
}

/* Who goes away meanwhile has asked for nothing, nor has whoever is there when the server ends. */
static void test_passwords_forgotten(void **state)
{
	struct world *world = *state;
	int fds[2] = { dial_local(world), dial_local(world) }, busy[4];

	json_decref(result(world, fds[0], "getDestinations", "{}")); /* it is known who calls */
	keep_busy(world, busy);
	say_body(fds[0], "", KEEP);
	say_body(fds[1], "", KEEP);
	while (world->api->waits < 4 + 2)
		turn(world);
	close(fds[0]);
	for (int i = 0; i < 100; i++)
		turn(world);
	assert_int_equal(world->engine->made, 0);
	close(fds[1]);
	for (unsigned i = 0; i < 4; i++)
		close(busy[i]);
}

/* Whose session ends meanwhile gets nothing made. */
static void test_session_ends_meanwhile(void **state)
{
	struct world *world = *state;
	int fd = dial_tcp(world), busy[4];
	char bearer[TW_API_BEARER], fields[160];
	struct tw_api_session session = { .user = "alice",
					  .authenticated = true,
					  .proven = tw_clock_now() };

	tw_api_bearer_make(bearer);
	tw_api_sessions_add(world->api->sessions, &session, bearer);
	snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", bearer);
	keep_busy(world, busy);
	say_body(fd, fields, KEEP);
	while (world->api->waits < 4 + 1)
		turn(world);
	find(world->api->sessions, bearer)->over = true;
	let_go(world, busy);
	expect_fault(json_loads(hear(world, fd), 0, NULL), "NotAuthenticated", NULL);
	assert_int_equal(world->engine->made, 0);
	close(fd);
}

/* A call of a batch is its session's, also after another one in it has logged in. */
static void test_login_beside_a_wait(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world), busy[4];
	json_t *token = result(world, fd, "createAPIToken", "{}"), *said, *made;
	char ask[512];

	keep_busy(world, busy);
	snprintf(ask, sizeof ask, "[" KEEP "," METHOD("2", "authToken", "{\"token\":\"%s\"}") "]",
		 json_string_value(json_object_get(token, "token")));
	say_body(fd, "", ask);
	while (world->api->waits < 4 + 1)
		turn(world);
	let_go(world, busy);
	said = json_loads(hear(world, fd), 0, NULL);
	made = json_object_get(json_array_get(said, 0), "result");
	assert_string_not_equal(json_string_value(json_object_get(made, "token")),
				json_string_value(json_object_get(token, "token")));
	assert_non_null(json_object_get(json_array_get(said, 1), "result"));
	json_decref(said);
	json_decref(token);
	close(fd);
}

/* As the engine was told by the last call. */
static bool is_wrangler(struct world *world, int fd)
{
	json_decref(result(world, fd, "getDestinations", "{}"));
	return world->engine->last_caller_wrangler;
}

static void test_wranglers(void **state)
{
	struct world *world = *state;
	int fd = dial_local(world), boss;

	gate.superuser = true;
	boss = dial_local(world);
	json_decref(result(world, boss, "superuser", "{}"));
	gate.superuser = false;
	memset(world->api->vouched, 0, sizeof world->api->vouched);
	expect_fault(call(world, fd, "superuser", "{}"), "NotPermitted", NULL);
	expect_fault(call(world, fd, "wrangler", "{}"), "NotPermitted", NULL);
	world->engine->wranglers = "herders";
	json_decref(result(world, fd, "wrangler", "{}"));
	assert_true(is_wrangler(world, fd));
	/* Whoever is taken off the list takes all others' elevation along. */
	json_decref(result(world, boss, "deleteWrangler", "{\"name\":\"somebody\"}"));
	assert_false(is_wrangler(world, fd));
	world->engine->wranglers = "shepherds";
	expect_fault(call(world, fd, "wrangler", "{}"), "NotPermitted", NULL);
	close(fd);
	close(boss);
}

/* As if the session had not been asked after for long. */
static void age(struct world *world, const char *bearer)
{
	find(world->api->sessions, bearer)->proven = tw_clock_now() - TW_API_PROOF_AGE - 1;
}

/* What an account has lost, its sessions lose too: a right, and itself. */
static void test_proven_again(void **state)
{
	struct world *world = *state;
	int fd = dial_tcp(world);
	char bearer[TW_API_BEARER], fields[160];
	json_t *said;

	open_gate();
	gate.superuser = true;
	said = result(world, fd, "auth", "{\"user\":\"alice\",\"password\":\"right\"}");
	snprintf(bearer, sizeof bearer, "%s", json_string_value(json_object_get(said, "token")));
	json_decref(said);
	snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", bearer);
	json_decref(call_with(world, fd, fields, "superuser", "{}"));
	said = call_with(world, fd, fields, "garbageCollect", "{}");
	assert_non_null(json_object_get(said, "result"));
	json_decref(said);
	assert_int_equal(gate.finds, 0);
	age(world, bearer);
	said = call_with(world, fd, fields, "garbageCollect", "{}");
	assert_non_null(json_object_get(said, "result"));
	json_decref(said);
	assert_int_equal(gate.finds, 1);
	gate.superuser = false;
	age(world, bearer);
	expect_fault(call_with(world, fd, fields, "garbageCollect", "{}"), "NotPermitted", NULL);
	gate.gone = true;
	age(world, bearer);
	expect_fault(call_with(world, fd, fields, "getDestinations", "{}"), "NotAuthenticated",
		     NULL);
	assert_memory_equal(world->answer, "HTTP/1.1 401", 12);
	gate.gone = false;
	expect_fault(call_with(world, fd, fields, "getDestinations", "{}"), "NotAuthenticated",
		     NULL);
	close(fd);
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

static char *batch_of(unsigned count, const char *one)
{
	size_t room = count * (strlen(one) + 1) + 3, at = 0;
	char *text = malloc(room);

	assert_non_null(text);
	for (unsigned i = 0; i < count; i++)
		at += (size_t)snprintf(text + at, room - at, "%c%s", i ? ',' : '[', one);
	snprintf(text + at, room - at, "]");
	return text;
}

/* One account that logs in without end logs out nobody else, nor itself where it came by a token.
 */
static void test_sessions_of_one(void **state)
{
	struct tw_api_session template = { .authenticated = true, .user = "alice" };
	char others[TW_API_BEARER], own[TW_API_BEARER], bearer[TW_API_BEARER];
	struct tw_api_sessions *sessions;

	(void)state;
	assert_int_equal(tw_api_sessions_new(&sessions), 0);
	tw_api_bearer_make(others);
	assert_non_null(tw_api_sessions_add(sessions, &template, others));
	strcpy(template.user, "mallory");
	tw_api_bearer_make(own);
	assert_non_null(tw_api_sessions_add(sessions, &template, own));
	strcpy(template.token, "shared");
	for (size_t i = 0; i < (size_t)TW_API_SESSIONS_MAX; i++) {
		tw_api_bearer_make(bearer);
		assert_non_null(tw_api_sessions_add(sessions, &template, bearer));
	}
	assert_non_null(find(sessions, bearer));
	assert_non_null(find(sessions, others));
	assert_non_null(find(sessions, own));
	/* By its password it is let in all the same. */
	template.token[0] = '\0';
	for (size_t i = 0; i < (size_t)TW_API_SESSIONS_MAX; i++) {
		tw_api_bearer_make(bearer);
		assert_non_null(tw_api_sessions_add(sessions, &template, bearer));
	}
	assert_non_null(find(sessions, bearer));
	assert_non_null(find(sessions, others));
	assert_null(find(sessions, own));
	tw_api_sessions_free(sessions);
}

/* An account has so many passwords made at a time: others are asked after meanwhile. */
static void test_passwords_of_one(void **state)
{
	struct world *world = *state;
	char *batch = batch_of(300, KEEP);
	int busy[4], local = dial_local(world), fd = dial_tcp(world);

	json_decref(result(world, local, "getDestinations", "{}")); /* it is known who calls */
	keep_busy(world, busy);
	say_body(local, "", batch);
	for (int i = 0; i < 1000 && world->api->waits < 4 + TW_ASKER_MAKING_MAX; i++)
		turn(world);
	assert_int_equal(world->api->waits, 4 + TW_ASKER_MAKING_MAX);
	say_body(fd, "", AUTH("right"));
	while (world->api->waits < 4 + TW_ASKER_MAKING_MAX + 1)
		turn(world);
	close(local);
	while (world->api->waits > 4 + 1)
		turn(world);
	let_go(world, busy);
	assert_non_null(strstr(hear(world, fd), "\"user\":\"alice\""));
	free(batch);
	close(fd);
}

/* An account has so many calls wait. */
static void test_waits_of_one(void **state)
{
	struct world *world = *state;
	char *batch = batch_of(600, METHOD("1", "sleep", "{\"milliseconds\":60000}"));
	int local, fd = dial_tcp(world);

	open_gate();
	for (int round = 0; round < 2; round++) {
		local = dial_local(world);
		say_body(local, "", batch);
		for (int i = 0; i < 1000 && !world->api->waits; i++)
			turn(world);
		assert_int_equal(world->api->waits, TW_API_WAITS_ACCOUNT_MAX);
		json_decref(
			result(world, fd, "auth", "{\"user\":\"alice\",\"password\":\"right\"}"));
		close(local);
		while (world->api->waits)
			turn(world);
	}
	free(batch);
	close(fd);
}

/* One source does not take all the places of those who log in, not even for a moment. */
static void test_guesses_of_one(void **state)
{
	struct world *world = *state;
	char *batch = batch_of(TW_API_LOGINS_MAX, AUTH("right"));
	int fd = dial_tcp(world);
	const char *said;
	unsigned refused = 0;

	open_gate();
	say_body(fd, "", batch);
	said = hear(world, fd);
	assert_non_null(said);
	while ((said = strstr(said, "from where you are wait already"))) {
		said++;
		refused++;
	}
	assert_int_equal(refused, TW_API_LOGINS_MAX - TW_GUESS_SOURCE_MAX);
	assert_int_equal(world->api->login_count, 0);
	assert_true(LIST_EMPTY(&world->api->guesses));
	free(batch);
	close(fd);
}

/* Whether who asks with @fields may follow the events by @fd. */
static bool may_follow(struct world *world, int fd, const char *fields)
{
	char text[256];
	int length = snprintf(text, sizeof text,
			      "GET /events HTTP/1.1\r\nHost: localhost\r\n%s\r\n", fields);

	world->answer_length = 0;
	world->answer[0] = '\0';
	say(fd, text, (size_t)length);
	hear_until(world, fd, "\r\n\r\n");
	return strstr(world->answer, "text/event-stream");
}

/* One account does not keep others from following the events. */
static void test_followers_of_one(void **state)
{
	struct world *world = *state;
	struct tw_api_session session = { .user = "alice",
					  .authenticated = true,
					  .proven = tw_clock_now() };
	int fds[256], other = dial_tcp(world);
	char bearer[TW_API_BEARER], fields[160];
	unsigned count = 0;
	bool more = true;

	while (more && count < 256) {
		fds[count] = dial_local(world);
		more = may_follow(world, fds[count++], "");
	}
	assert_in_range(count, 2, 128);
	tw_api_bearer_make(bearer);
	tw_api_sessions_add(world->api->sessions, &session, bearer);
	snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", bearer);
	assert_true(may_follow(world, other, fields));
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_login, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_async, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_basic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_basic_body, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tokens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_passwords_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_passwords_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(test_session_ends_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_login_beside_a_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wranglers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_proven_again, setup, teardown),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_sessions_of_one),
		cmocka_unit_test_setup_teardown(test_passwords_of_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits_of_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guesses_of_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_followers_of_one, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
