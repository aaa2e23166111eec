/*
 * Transfers over several connections: every byte right, little sent twice, and nothing that waits
 * long for a lane, whatever becomes of it.
 */
#include "unit.h"

#include "laneworld.h"
#include "session/receiver_private.h"

#define MIB (UINT64_C(1) << 20)

static struct lane_world world;

static struct tw_sender_status sender_status(void)
{
	struct tw_sender_status status;

	tw_sender_status(world.world.sender, &status);
	return status;
}

static struct tw_source *large(uint64_t size)
{
	struct tw_source *source = fake_source_new();

	fake_source_add(source, 1000);
	fake_source_add(source, size);
	fake_source_add(source, 70000);
	return source;
}

static void finish_whole(tw_ns span)
{
	struct tw_sender_status status;

	if (!lane_world_run(&world, span, world_both_finished)) {
		status = sender_status();
		fail_msg("not over in time: sender %d (%s), receiver %u, %llu of %llu bytes",
			 status.finished, status.message, world.world.finished,
			 (unsigned long long)status.bytes_acked,
			 (unsigned long long)status.total_bytes);
	}
	status = sender_status();
	if (status.error || world.world.finished_error)
		fail_msg("ended with %d and %d: %s", status.error, world.world.finished_error,
			 status.message);
	assert_int_equal(world.world.storage.written_twice, 0);
	assert_int_equal(status.bytes_acked, status.total_bytes);
	world_check_content(&world.world);
}

/* All lanes end when the connection does, with nothing left behind. */
static void wind_down(void)
{
	unsigned i;

	world.wanted = 0;
	tw_conn_close(tw_outgoing_conn(world.world.outgoing), TW_SESSION_CLOSE_DONE, "");
	lane_world_run(&world, 2 * TW_SECOND, NULL);
	for (i = 0; i < LANES_ROOM; i++)
		assert_false(world.links[i].used);
	assert_int_equal(world.buffers, 0);
	assert_true(tw_sender_idle(world.world.sender));
	assert_int_equal(tw_outgoing_lanes_used(world.world.outgoing), 0);
}

static void clean(void **state)
{
	tw_ns started;

	(void)state;
	lane_world_init(&world, 1, large(96 * MIB), 3);
	world_start(&world.world);
	started = world.world.wire.now;
	finish_whole(3 * TW_SECOND);
	/* Four wires of 400 Mbit/s: over one it would take 2 s. */
	assert_true(world.world.wire.now - started < 1200 * TW_MSEC);
	assert_int_equal(world.opened, 3);
	assert_true(lane_bytes(&world) > 48 * MIB);
	assert_true(sender_status().bytes_retransmitted <= MIB);
	wind_down();
	lane_world_deinit(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
