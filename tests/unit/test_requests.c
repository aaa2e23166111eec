#include "unit.h"

#include "engine/requests.h"

static const struct tw_caller anna = { .user = "anna", .authenticated = true };
static const struct tw_caller ben = { .user = "ben", .authenticated = true };
static const struct tw_caller root = { .user = "root", .authenticated = true, .superuser = true };

struct world {
	struct event_base *base;
	struct tw_requests *requests;
	char ended[TW_OBJECT_ID];
};

static void on_end(void *context, const char *id)
{
	snprintf(((struct world *)context)->ended, TW_OBJECT_ID, "%s", id);
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof *world);

	world->base = event_base_new();
	assert_int_equal(tw_requests_new(world->base, &world->requests), 0);
	tw_requests_on_end(world->requests, on_end, world);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	tw_requests_free(world->requests);
	event_base_free(world->base);
	free(world);
	return 0;
}

static void test_life(void **state)
{
	struct world *world = *state;
	struct tw_request_status status;
	struct tw_request *request;
	struct tw_fault fault;
	const char *id;

	assert_int_equal(tw_requests_add(world->requests, &anna, &id, &request, &fault), 0);
	assert_int_equal(strlen(id), 32);
	assert_int_equal(tw_requests_look(world->requests, &anna, id, &status, &fault), 0);
	assert_int_equal(status.state, TW_REQUEST_PENDING);
	tw_request_done(request, json_pack("{s:i}", "totalFiles", 7));
	assert_string_equal(world->ended, id);
	assert_int_equal(tw_requests_look(world->requests, &anna, id, &status, &fault), 0);
	assert_int_equal(status.state, TW_REQUEST_COMPLETE);
	assert_int_equal(json_integer_value(json_object_get(status.result, "totalFiles")), 7);
}

static void test_failure(void **state)
{
	struct world *world = *state;
	struct tw_request_status status;
	struct tw_request *request;
	struct tw_fault fault, why;
	const char *id;

	assert_int_equal(tw_requests_add(world->requests, &anna, &id, &request, &fault), 0);
	tw_fault_set(&why, TW_FAULT_NOT_FOUND, "path", "There is no such folder.");
	tw_request_fail(request, &why);
	assert_int_equal(tw_requests_look(world->requests, &anna, id, &status, &fault), 0);
	assert_int_equal(status.state, TW_REQUEST_ERROR);
	assert_int_equal(status.failure->code, TW_FAULT_NOT_FOUND);
	assert_string_equal(status.failure->parameter, "path");
}

static void test_others_do_not_see_it(void **state)
{
	struct world *world = *state;
	struct tw_request_status status;
	struct tw_request *request;
	struct tw_fault foreign, missing;
	const char *id;

	assert_int_equal(tw_requests_add(world->requests, &anna, &id, &request, &foreign), 0);
	assert_int_equal(tw_requests_look(world->requests, &root, id, &status, &foreign), 0);
	assert_int_equal(tw_requests_look(world->requests, &ben, id, &status, &foreign),
			 TW_FAULT_NOT_FOUND);
	assert_int_equal(tw_requests_look(world->requests, &ben, "00000000000000000000000000000000",
					  &status, &missing),
			 TW_FAULT_NOT_FOUND);
	/* Not even by the words. */
	assert_string_equal(foreign.message, missing.message);
}

static void test_full(void **state)
{
	struct world *world = *state;
	struct tw_request_status status;
	struct tw_request *request, *first = NULL;
	struct tw_fault fault;
	char first_id[TW_OBJECT_ID];
	const char *id;

	for (unsigned i = 0; i < TW_REQUESTS_MAX; i++) {
		assert_int_equal(tw_requests_add(world->requests, &anna, &id, &request, &fault), 0);
		if (first)
			continue;
		first = request;
		snprintf(first_id, sizeof first_id, "%s", id);
	}
	assert_int_equal(tw_requests_add(world->requests, &anna, &id, &request, &fault),
			 TW_FAULT_LIMIT_REACHED);
	/* One that has ended makes room. */
	tw_request_done(first, json_null());
	assert_int_equal(tw_requests_add(world->requests, &anna, &id, &request, &fault), 0);
	assert_int_equal(tw_requests_look(world->requests, &anna, first_id, &status, &fault),
			 TW_FAULT_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failure, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others_do_not_see_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
