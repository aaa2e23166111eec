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

static struct tw_request *add(struct world *world, const struct tw_caller *caller,
			      char ret_id[TW_OBJECT_ID])
{
	struct tw_request *request;
	struct tw_fault fault;
	const char *id;

	assert_int_equal(tw_requests_add(world->requests, caller, &id, &request, &fault), 0);
	if (ret_id)
		snprintf(ret_id, TW_OBJECT_ID, "%s", id);
	return request;
}

static bool is_there(struct world *world, const char *id)
{
	struct tw_request_status status;
	struct tw_fault fault;

	return tw_requests_look(world->requests, &root, id, &status, &fault) == 0;
}

static void test_full(void **state)
{
	struct world *world = *state;
	struct tw_request *request, *first = NULL;
	struct tw_fault fault;
	char first_id[TW_OBJECT_ID], kept_id[TW_OBJECT_ID];
	const char *id;

	tw_request_done(add(world, &ben, kept_id), json_null());
	first = add(world, &anna, first_id);
	for (unsigned i = 1; i < TW_REQUESTS_MAX / 2; i++)
		add(world, &anna, NULL);
	assert_int_equal(tw_requests_add(world->requests, &anna, &id, &request, &fault),
			 TW_FAULT_LIMIT_REACHED);
	/* One of her own that has ended makes room, and nobody else's does. */
	tw_request_done(first, json_null());
	add(world, &anna, NULL);
	assert_false(is_there(world, first_id));
	assert_true(is_there(world, kept_id));
	/* Others have the other half; then the oldest that has ended goes. */
	for (unsigned i = TW_REQUESTS_MAX / 2 + 1; i < TW_REQUESTS_MAX; i++)
		add(world, i % 2 ? &ben : &root, NULL);
	assert_true(is_there(world, kept_id));
	add(world, &root, NULL);
	assert_false(is_there(world, kept_id));
	assert_int_equal(tw_requests_add(world->requests, &root, &id, &request, &fault),
			 TW_FAULT_LIMIT_REACHED);
}

/* A listing of many names, about a sixth of what one account may have. */
static json_t *make_listing(void)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < 20000; i++)
		json_array_append_new(list, json_pack("{s:s, s:b, s:b, s:I, s:I, s:b}", "name",
						      "a-file.txt", "isDirectory", 0, "isSymlink",
						      0, "size", (json_int_t)i, "modificationTime",
						      (json_int_t)i, "executable", 0));
	return list;
}

/* Whoever lists large folders again and again pushes out what is his own. */
static void test_large_results(void **state)
{
	struct world *world = *state;
	char kept_id[TW_OBJECT_ID], ids[16][TW_OBJECT_ID];
	json_t *listing = make_listing();
	unsigned left = 0;

	tw_request_done(add(world, &ben, kept_id), json_incref(listing));
	for (unsigned i = 0; i < 16; i++)
		tw_request_done(add(world, &anna, ids[i]), json_incref(listing));
	json_decref(listing);
	for (unsigned i = 0; i < 16; i++)
		left += is_there(world, ids[i]);
	assert_in_range(left, 2, 12);
	assert_false(is_there(world, ids[0]));
	assert_true(is_there(world, ids[15]));
	assert_true(is_there(world, kept_id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failure, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others_do_not_see_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_large_results, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
