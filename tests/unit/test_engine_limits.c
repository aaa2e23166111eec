/* Server-wide limits over real transfers: held, shared, borrowed. */
#include "engineworld.h"

#define SIZE 20000000
#define LIMIT 16000 /* kbit/s */

static const char *begin(struct world *world)
{
	struct tw_caller caller = alice();
	struct tw_transfer_options options;

	host_start(world, 0);
	host_start(world, 1);
	file_make(&world->hosts[0], "file", SIZE, 1);
	tw_transfer_options_init(&options);
	options.destination_id = destination_make(world, 0, 1, &caller);
	options.manifest_id = manifest_make(world, 0, &caller, "file");
	return transfer_make(world, 0, &caller, &options);
}

static uint64_t sending_kbps(struct world *world, unsigned host)
{
	struct tw_caller caller = alice();
	struct tw_server_view view;

	tw_engine_server(world->hosts[host].engine, &caller, &view);
	return view.bandwidth_limits.outgoing_rate;
}

/* The most of so many looks at what is being sent. */
static uint64_t watch(struct world *world, tw_ns duration)
{
	tw_ns end = tw_clock_now() + duration;
	uint64_t most = 0;

	while (tw_clock_now() < end) {
		uint64_t now = sending_kbps(world, 0);

		turn(world);
		most = now > most ? now : most;
	}
	return most;
}

static void outgoing_limit_holds(void **state)
{
	struct world *world = *state;
	const uint64_t none = TW_UNSET;
	struct tw_bandwidth_change change = { .outgoing_rate_limit = &none };
	const uint64_t limit = LIMIT;
	const char *id;

	change.outgoing_rate_limit = &limit;
	id = begin(world);
	assert_int_equal(tw_engine_set_bandwidth(world->hosts[0].engine, &change, &world->fault),
			 TW_FAULT_NONE);
	UNTIL(world, sending_kbps(world, 0) > LIMIT / 2);
	/* A tenth of a second is a short time to measure in. */
	assert_true(watch(world, 2 * TW_SECOND) < LIMIT * 3 / 2);
	assert_false(has_status(world, 0, id, "complete"));
	change.outgoing_rate_limit = &none;
	assert_int_equal(tw_engine_set_bandwidth(world->hosts[0].engine, &change, &world->fault),
			 TW_FAULT_NONE);
	UNTIL(world, has_status(world, 0, id, "complete"));
}

/* What comes in is limited by asking the sender, and what is free may be borrowed. */
static void borrows_the_other_direction(void **state)
{
	const bool yes = true;
	struct tw_bandwidth_change change = { .borrow_incoming_rate = &yes };
	const uint64_t limit = LIMIT;
	struct world *world = *state;

	begin(world);
	change.outgoing_rate_limit = change.incoming_rate_limit = &limit;
	assert_int_equal(tw_engine_set_bandwidth(world->hosts[0].engine, &change, &world->fault),
			 TW_FAULT_NONE);
	/* Nothing comes in but acknowledgements: nearly twice as much may go out. */
	UNTIL(world, sending_kbps(world, 0) > LIMIT * 5 / 4);
	assert_true(watch(world, TW_SECOND) < LIMIT * 3);
}

static void incoming_limit_holds(void **state)
{
	struct world *world = *state;
	const uint64_t limit = LIMIT;
	struct tw_bandwidth_change change = { .incoming_rate_limit = &limit };
	const char *id = begin(world);

	assert_int_equal(tw_engine_set_bandwidth(world->hosts[1].engine, &change, &world->fault),
			 TW_FAULT_NONE);
	UNTIL(world, tw_engine_transfer(world->hosts[0].engine,
					&(struct tw_caller){ .superuser = true }, id)
				     ->bytes_acked > 1000000);
	if (!has_status(world, 0, id, "complete"))
		assert_true(watch(world, TW_SECOND) < LIMIT * 3);
	UNTIL(world, has_status(world, 0, id, "complete"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(outgoing_limit_holds, world_make, world_free),
		cmocka_unit_test_setup_teardown(borrows_the_other_direction, world_make,
						world_free),
		cmocka_unit_test_setup_teardown(incoming_limit_holds, world_make, world_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
