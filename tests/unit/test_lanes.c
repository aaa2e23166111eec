/*
 * Transfers over several connections: every byte right, little sent twice, and nothing that waits
 * long for a lane, whatever becomes of it.
 */
#include "unit.h"

#include "laneworld.h"
#include "session/outgoing_private.h"
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
	/* Handshakes that nobody will finish last the longest. */
	lane_world_run(&world, 12 * TW_SECOND, NULL);
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
	lane_world_init(&world, 1, large(48 * MIB), 3);
	world_start(&world.world);
	started = world.world.wire.now;
	finish_whole(3 * TW_SECOND);
	/* Four wires of 400 Mbit/s: over one it would take a second. */
	assert_true(world.world.wire.now - started < 700 * TW_MSEC);
	assert_int_equal(world.opened, 3);
	assert_true(lane_bytes(&world) > 24 * MIB);
	assert_true(sender_status().bytes_retransmitted <= MIB);
	wind_down();
	lane_world_deinit(&world);
}

/* Letters that take long, buffers that are lent, a disk that is slower than the wires. */
static void lent(void **state)
{
	(void)state;
	lane_world_init(&world, 2, large(24 * MIB), 2);
	world.lends = true;
	world.lag = TW_MSEC;
	world.world.disks[1].rate_bps = 500000000;
	world_start(&world.world);
	finish_whole(3 * TW_SECOND);
	assert_true(lane_bytes(&world) > 8 * MIB);
	wind_down();
	lane_world_deinit(&world);
}

static void losses(void **state)
{
	uint64_t seed, again = 0;
	unsigned i;

	(void)state;
	for (seed = 10; seed < 12; seed++) {
		lane_world_init(&world, seed, large(24 * MIB), 3);
		world.world.wire.loss = 0.02;
		for (i = 0; i < LANES_ROOM; i++)
			world.links[i].wire.loss = 0.02;
		world_start(&world.world);
		finish_whole(4 * TW_SECOND);
		again += sender_status().bytes_retransmitted;
		wind_down();
		lane_world_deinit(&world);
	}
	assert_true(again < 2 * 24 * MIB * 5 / 100);
}

/* What it had goes over the others; another one takes its place. */
static void lane_dies(void **state)
{
	(void)state;
	lane_world_init(&world, 20, large(40 * MIB), 2);
	world.world.wire.rate_bps = world.rate_bps = 100000000;
	world_start(&world.world);
	assert_false(lane_world_run(&world, 300 * TW_MSEC, NULL));
	assert_true(world.links[1].ends[0].last.running);
	world.links[1].cut = true;
	finish_whole(6 * TW_SECOND);
	assert_true(world.opened >= 3);
	wind_down();
	lane_world_deinit(&world);
}

/* The last lane falls silent while it has what is left. */
static void dies_at_the_end(void **state)
{
	tw_ns cut_at;

	(void)state;
	lane_world_init(&world, 21, large(24 * MIB), 2);
	world.reopen_max = 2;
	world_start(&world.world);
	while (sender_status().bytes_sent < 23 * MIB)
		lane_world_run(&world, TW_MSEC, NULL);
	world.links[0].cut = world.links[1].cut = true;
	cut_at = world.world.wire.now;
	finish_whole(3 * TW_SECOND);
	assert_true(world.world.wire.now - cut_at < 1500 * TW_MSEC);
	lane_world_deinit(&world);
}

/* A lane that is a thousand times slower than the rest gets little, and gives it back. */
static void slow_lane(void **state)
{
	tw_ns started;

	(void)state;
	lane_world_init(&world, 22, large(48 * MIB), 2);
	world_start(&world.world);
	started = world.world.wire.now;
	while (world.opened < 2)
		lane_world_run(&world, TW_MSEC, NULL);
	world.links[1].wire.rate_bps = 400000;
	finish_whole(3 * TW_SECOND);
	/* Two wires of 400 Mbit/s: half a second, and the starts. */
	assert_true(world.world.wire.now - started < 900 * TW_MSEC);
	assert_true(sender_status().bytes_retransmitted < MIB);
	lane_world_deinit(&world);
}

/* The main connection is cut off: all begins anew over another, lanes too. */
static void main_dies(void **state)
{
	(void)state;
	lane_world_init(&world, 23, large(64 * MIB), 3);
	world_start(&world.world);
	assert_false(lane_world_run(&world, 200 * TW_MSEC, NULL));
	world.world.cut = true;
	assert_false(lane_world_run(&world, 1500 * TW_MSEC, NULL));
	world.world.cut = false;
	finish_whole(4 * TW_SECOND);
	assert_true(world.world.resumed > 0);
	assert_true(world.opened > 3);
	assert_true(sender_status().bytes_retransmitted < 32 * MIB);
	wind_down();
	lane_world_deinit(&world);
}

static void receiver_killed(void **state)
{
	(void)state;
	lane_world_init(&world, 24, large(48 * MIB), 2);
	world.lends = true;
	world_start(&world.world);
	assert_false(lane_world_run(&world, 200 * TW_MSEC, NULL));
	lane_world_kill_receiver(&world);
	world.world.finished = 0;
	world.world.finished_error = TW_TRANSFER_OK;
	assert_false(lane_world_run(&world, 200 * TW_MSEC, NULL));
	world_start_receiver(&world.world);
	finish_whole(8 * TW_SECOND);
	lane_world_deinit(&world);
}

static void sender_killed(void **state)
{
	(void)state;
	lane_world_init(&world, 25, large(48 * MIB), 2);
	world.lends = true;
	world_start(&world.world);
	assert_false(lane_world_run(&world, 200 * TW_MSEC, NULL));
	lane_world_kill_sender(&world);
	assert_false(lane_world_run(&world, 200 * TW_MSEC, NULL));
	world_start_sender(&world.world);
	assert_true(lane_world_run(&world, 8 * TW_SECOND, world_sender_finished));
	assert_int_equal(sender_status().error, TW_TRANSFER_OK);
	assert_true(sender_status().bytes_held > 0);
	world_check_content(&world.world);
	lane_world_deinit(&world);
}

/* Cancelled or paused: what lanes have of it comes back at once, and nothing waits for them. */
static void cancelled(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		lane_world_init(&world, 26 + i, large(96 * MIB), 2);
		world.rate_bps = 2000000;
		world_start(&world.world);
		assert_false(lane_world_run(&world, 300 * TW_MSEC, NULL));
		assert_true(world.links[0].ends[0].last.running);
		if (i)
			tw_sender_pause(world.world.sender);
		else
			tw_sender_cancel(world.world.sender);
		assert_true(lane_world_run(&world, TW_SECOND, world_sender_finished));
		lane_world_run(&world, 100 * TW_MSEC, NULL);
		assert_true(tw_sender_idle(world.world.sender));
		lane_world_deinit(&world);
	}
}

/* What was acknowledged and cannot be kept is asked for again, and no entry is given up for it. */
static void missed(void **state)
{
	unsigned times;

	(void)state;
	lane_world_init(&world, 28, large(64 * MIB), 2);
	world_start(&world.world);
	assert_false(lane_world_run(&world, 150 * TW_MSEC, NULL));
	for (times = 0; times < 12; times++) {
		world.world.hub->lane_jobs += TW_RECEIVER_DATA_JOBS_MAX;
		lane_world_run(&world, 5 * TW_MSEC, NULL);
		world.world.hub->lane_jobs -= TW_RECEIVER_DATA_JOBS_MAX;
		lane_world_run(&world, 20 * TW_MSEC, NULL);
	}
	finish_whole(4 * TW_SECOND);
	assert_true(sender_status().bytes_retransmitted > 0);
	assert_int_equal(world.world.files_failed, 0);
	lane_world_deinit(&world);
}

/* Only the connection that a token was given for takes a lane, and no more than it said. */
static void strangers(void **state)
{
	struct tw_letter_port port = { post_to_lane, &world.links[7].ends[0] };
	struct tw_lane *lane;
	struct tw_berth *berth;

	(void)state;
	lane_world_init(&world, 30, large(48 * MIB), 2);
	world.wanted = 0;
	world_start(&world.world);
	assert_int_equal(tw_lane_new_sending(world.world.outgoing, &port, &port, 0, &lane, &berth),
			 TW_E_CLOSED);
	assert_false(lane_world_run(&world, 100 * TW_MSEC, NULL));
	assert_int_equal(tw_outgoing_lanes(world.world.outgoing), 2);
	/* A token that is not the right one. */
	world.world.hub->conns[0]->lane_token[3] ^= 1;
	assert_int_equal(lane_open(&world, &world.links[0]), 0);
	assert_false(lane_world_run(&world, 200 * TW_MSEC, NULL));
	assert_false(world.links[0].used);
	assert_true(world.links[0].ends[0].last.conn_ended);
	assert_int_equal(world.links[0].ends[0].last.end, TW_CONN_CLOSED_PEER);
	world.world.hub->conns[0]->lane_token[3] ^= 1;
	/* Lanes of others hold all the memory that there is for them. */
	world.world.hub->lane_room = 2 * 2 * tw_receiver_lane_room(world.world.hub) - 1000;
	assert_int_equal(lane_open(&world, &world.links[0]), 0);
	assert_false(lane_world_run(&world, 200 * TW_MSEC, NULL));
	assert_false(world.links[0].used);
	world.world.hub->lane_room = 0;
	/* More than it takes: the sender keeps to it, and so does the receiver. */
	world.wanted = 2;
	lane_world_run(&world, 250 * TW_MSEC, NULL);
	assert_int_equal(tw_lane_new_sending(world.world.outgoing, &port, &port, 0, &lane, &berth),
			 TW_E_FULL);
	assert_true(world.links[1].ends[0].last.running);
	/* What all lanes of a hub may hold is given away once. */
	assert_int_equal(world.world.hub->lane_room, 2 * tw_receiver_lane_room(world.world.hub));
	world.world.outgoing->lanes_offered = 3;
	assert_int_equal(lane_open(&world, &world.links[2]), 0);
	assert_false(lane_world_run(&world, 200 * TW_MSEC, NULL));
	assert_false(world.links[2].used);
	assert_int_equal(world.links[2].ends[0].last.end, TW_CONN_CLOSED_PEER);
	finish_whole(4 * TW_SECOND);
	lane_world_deinit(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean),           cmocka_unit_test(lent),
		cmocka_unit_test(losses),          cmocka_unit_test(lane_dies),
		cmocka_unit_test(dies_at_the_end), cmocka_unit_test(slow_lane),
		cmocka_unit_test(main_dies),       cmocka_unit_test(receiver_killed),
		cmocka_unit_test(sender_killed),   cmocka_unit_test(cancelled),
		cmocka_unit_test(missed),          cmocka_unit_test(strangers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
