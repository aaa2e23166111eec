/*
 * The session over the production core, in virtual time: every test has a bound in that time and
 * checks every byte.
 */
#include "unit.h"

#include <limits.h>

#include "session/receiver_private.h"
#include "sessionworld.h"

#define MIB (UINT64_C(1) << 20)

static struct world world;

static struct tw_sender_status sender_status(void)
{
	struct tw_sender_status status;

	tw_sender_status(world.sender, &status);
	return status;
}

static struct tw_source *one_file(uint64_t size)
{
	struct tw_source *source = fake_source_new();

	fake_source_add(source, size);
	return source;
}

static struct tw_source *mixed(void)
{
	struct tw_source *source = fake_source_new();
	int i;

	fake_source_add(source, 5 * MIB + 12345);
	for (i = 0; i < 500; i++)
		fake_source_add(source, (uint64_t)(i * 37 % 9000));
	fake_source_add(source, 0);
	fake_source_add(source, 40 * MIB)->hole = true;
	fake_source_add(source, 3 * MIB);
	fake_source_add(source, 0);
	source->walk_step = 100;
	return source;
}

static void finish(tw_ns span, enum tw_transfer_error error)
{
	struct tw_sender_status status;

	if (!world_run(&world, span, world_both_finished)) {
		status = sender_status();
		fail_msg("not over in time: sender %d (%s), receiver %u, %llu of %llu bytes",
			 status.finished, status.message, world.finished,
			 (unsigned long long)status.bytes_acked,
			 (unsigned long long)status.total_bytes);
	}
	status = sender_status();
	if (status.error != error || world.finished_error != error)
		fail_msg("ended with %d and %d: %s", status.error, world.finished_error,
			 status.message);
	assert_int_equal(world.storage.written_twice, 0);
	/* The source is given back at the end. */
	world_run(&world, TW_SECOND, NULL);
	assert_true(world.source->freed);
}

static void finish_whole(tw_ns span)
{
	struct tw_sender_status status;

	finish(span, TW_TRANSFER_OK);
	status = sender_status();
	assert_string_equal(status.message, "");
	assert_true(status.walk_over);
	assert_int_equal(status.total_bytes, fake_source_size(world.source));
	assert_int_equal(status.total_files, world.source->count);
	assert_int_equal(status.files_done + status.files_skipped, world.source->count);
	assert_int_equal(status.bytes_acked, status.total_bytes);
	assert_int_equal(status.bytes_durable, status.total_bytes);
	assert_int_equal(status.digest.bytes[0], 0x5a);
	world_check_content(&world);
}

static void clean(void **state)
{
	struct tw_receiver_status status;

	(void)state;
	world_init(&world, 1, mixed());
	world_start(&world);
	finish_whole(3 * TW_SECOND);
	assert_int_equal(sender_status().bytes_retransmitted, 0);
	assert_int_equal(sender_status().bytes_held, 0);
	assert_int_equal(sender_status().bytes_sent, fake_source_size(world.source) - 40 * MIB);
	assert_int_equal(world.started, 1);
	assert_int_equal(world.files_done, world.source->count);
	assert_int_equal(tw_receiver_count(world.hub), 1);
	assert_true(tw_receiver_status(world.hub, 0, &status));
	assert_true(status.finished && status.total_known);
	assert_int_equal(status.bytes_received, status.total_bytes);
	assert_int_equal(status.total_files, world.source->count);
	assert_string_equal(status.destination, "in");
	assert_false(tw_receiver_status(world.hub, 1, &status));
	world_deinit(&world);
}

/* Nothing but the round trips that must be: handshake; offer, data and done. */
static void few_round_trips(void **state)
{
	tw_ns started;

	(void)state;
	world_init(&world, 2, one_file(1000));
	world.wire.delay = 100 * TW_MSEC;
	started = world.wire.now;
	world_start(&world);
	assert_true(world_run(&world, 2 * TW_SECOND, world_sender_finished));
	assert_in_range(world.wire.now - started, 400 * TW_MSEC, 430 * TW_MSEC);
	world_deinit(&world);
}

static void nothing_to_send(void **state)
{
	(void)state;
	world_init(&world, 3, fake_source_new());
	world_start(&world);
	finish(2 * TW_SECOND, TW_TRANSFER_OK);
	world_deinit(&world);
	world_init(&world, 4, one_file(0));
	world_start(&world);
	finish(2 * TW_SECOND, TW_TRANSFER_OK);
	assert_int_equal(sender_status().files_done, 1);
	world_deinit(&world);
}

static void many_small_files(void **state)
{
	struct tw_source *source = fake_source_new();
	int i;

	(void)state;
	for (i = 0; i < 4000; i++)
		fake_source_add(source, 4096);
	world_init(&world, 5, source);
	world.wire.delay = 50 * TW_MSEC;
	world_start(&world);
	finish_whole(3 * TW_SECOND);
	world_deinit(&world);
}

static void loss(void **state)
{
	struct tw_sender_status status;

	(void)state;
	world_init(&world, 6, mixed());
	world.wire.loss = 0.05;
	world_start(&world);
	finish_whole(8 * TW_SECOND);
	status = sender_status();
	assert_true(status.bytes_retransmitted > 0);
	/* Every byte once, and the repeats exactly counted. */
	assert_int_equal(status.bytes_sent - status.bytes_retransmitted,
			 fake_source_size(world.source) - 40 * MIB);
	assert_true(status.bytes_sent < (fake_source_size(world.source) - 40 * MIB) * 115 / 100);
	world_deinit(&world);
}

/* A window larger than the cache: what is lost has to be read again. */
static void blocks_read_again(void **state)
{
	(void)state;
	world_init(&world, 7, one_file(160 * MIB));
	world.wire.delay = 500 * TW_MSEC;
	world.wire.rate_bps = UINT64_C(2000000000);
	world.wire.loss = 0.002;
	world.disks[0].job_time = 100 * TW_USEC;
	world_start(&world);
	finish_whole(40 * TW_SECOND);
	assert_true(world.source->blocks_read > 160);
	world_deinit(&world);
}

static void slow_disk(void **state)
{
	(void)state;
	world_init(&world, 8, one_file(10 * MIB));
	world.receiver_options.memory_max = MIB;
	world.disks[1].rate_bps = 80000000;
	world_start(&world);
	finish_whole(15 * TW_SECOND);
	world_deinit(&world);
}

/* The path is dead for a while: the receiver's transfer lives on, and little is sent again. */
static void outage(void **state)
{
	struct tw_sender_status status;
	tw_ns since;

	(void)state;
	world_init(&world, 9, one_file(60 * MIB));
	world.wire.rate_bps = 100000000;
	world_start(&world);
	world_run(&world, 2 * TW_SECOND, NULL);
	world.cut = true;
	world_run(&world, 20 * TW_SECOND, NULL);
	assert_true(tw_dialer_waiting(world.dialer, &since));
	assert_false(world_sender_finished(&world));
	world.cut = false;
	finish_whole(8 * TW_SECOND);
	status = sender_status();
	assert_true(status.bytes_retransmitted < 16 * MIB);
	assert_int_equal(world.finished, 1);
	world_deinit(&world);
}

/* Longer than the connections live: the live transfer is taken over by a new one. */
static void long_outage(void **state)
{
	struct tw_sender_status status;
	tw_ns cut_ended;

	(void)state;
	world_init(&world, 10, one_file(60 * MIB));
	world.wire.rate_bps = 100000000;
	world.receiver_options.linger = 1000 * TW_SECOND;
	world_start(&world);
	world_run(&world, 2 * TW_SECOND, NULL);
	world.cut = true;
	world_run(&world, 100 * TW_SECOND, NULL);
	world.cut = false;
	cut_ended = world.wire.now;
	assert_true(world_run(&world, 2 * TW_SECOND, NULL) || world.resumed == 1);
	assert_true(world.wire.now - cut_ended <= 2 * TW_SECOND);
	finish_whole(8 * TW_SECOND);
	status = sender_status();
	assert_true(status.bytes_retransmitted < 16 * MIB);
	assert_int_equal(world.resumed, 1);
	assert_int_equal(world.finished, 1);
	world_deinit(&world);
}

static void receiver_restarts(void **state)
{
	struct tw_sender_status status;
	tw_ns killed;

	(void)state;
	world_init(&world, 11, mixed());
	world.wire.rate_bps = 20000000;
	world_start(&world);
	world_run(&world, 2 * TW_SECOND, NULL);
	assert_true(world.storage.written > MIB);
	world_kill_receiver(&world);
	world.finished = 0;
	killed = world.wire.now;
	world_run(&world, 300 * TW_MSEC, NULL);
	world_start_receiver(&world);
	while (world.started < 2 && world.wire.now < killed + 10 * TW_SECOND)
		world_run(&world, 10 * TW_MSEC, NULL);
	/* Silence is noticed after a second, and the next call is answered. */
	assert_in_range(world.wire.now - killed, 0, 2500 * TW_MSEC);
	finish_whole(10 * TW_SECOND);
	status = sender_status();
	assert_true(status.bytes_retransmitted < 4 * MIB);
	world_deinit(&world);
}

static void sender_restarts(void **state)
{
	struct tw_sender_status status;
	uint64_t written;

	(void)state;
	world_init(&world, 12, mixed());
	world.wire.rate_bps = 20000000;
	world_start(&world);
	world_run(&world, 2 * TW_SECOND, NULL);
	written = world.storage.written;
	assert_true(written > MIB);
	world_kill_sender(&world);
	world_run(&world, 300 * TW_MSEC, NULL);
	world_start_sender(&world);
	assert_true(world_run(&world, 10 * TW_SECOND, world_sender_finished));
	status = sender_status();
	assert_int_equal(status.error, TW_TRANSFER_OK);
	assert_true(status.bytes_held > written / 2);
	assert_int_equal(status.bytes_held + status.bytes_sent - status.bytes_retransmitted,
			 status.total_bytes - (status.bytes_held > 40 * MIB ? 0 : 40 * MIB));
	world_check_content(&world);
	world_deinit(&world);
}

/* The last word is lost with the connection: the receiver says it again over the next. That it is
 * over it tells its own side after a moment: the sender may never come back. */
static void done_is_repeated(void **state)
{
	(void)state;
	world_init(&world, 13, one_file(MIB));
	world.wire.delay = 50 * TW_MSEC;
	world_start(&world);
	while (world.storage.done.total < 1)
		world_run(&world, 100 * TW_USEC, NULL);
	world.cut = true;
	while (world.wire.to[0].count)
		free(world.wire.to[0].queue[--world.wire.to[0].count]);
	world_run(&world, 3 * TW_SECOND, NULL);
	assert_int_equal(world.finished, 0);
	world_run(&world, 6 * TW_SECOND, NULL);
	assert_int_equal(world.finished, 1);
	world_run(&world, 31 * TW_SECOND, NULL);
	assert_false(world_sender_finished(&world));
	world.cut = false;
	finish(5 * TW_SECOND, TW_TRANSFER_OK);
	assert_int_equal(world.finished, 1);
	world_deinit(&world);
}

static void put_away_after_lingering(void **state)
{
	(void)state;
	world_init(&world, 14, one_file(40 * MIB));
	world.wire.rate_bps = 100000000;
	world.receiver_options.linger = 5 * TW_SECOND;
	world_start(&world);
	world_run(&world, TW_SECOND, NULL);
	world.cut = true;
	world_run(&world, 50 * TW_SECOND, NULL);
	assert_int_equal(tw_receiver_count(world.hub), 0);
	assert_int_equal(world.finished, 1);
	assert_int_equal(world.storage.sinks_open, 0);
	assert_true(world.storage.journaled.total > 0);
	world.cut = false;
	world.finished = 0;
	finish_whole(10 * TW_SECOND);
	assert_true(sender_status().bytes_retransmitted < 16 * MIB);
	world_deinit(&world);
}

static void disk_full(void **state)
{
	(void)state;
	world_init(&world, 15, one_file(8 * MIB));
	world.storage.full_at = 5 * MIB;
	world_start(&world);
	finish(5 * TW_SECOND, TW_TRANSFER_STORAGE);
	assert_non_null(strstr(sender_status().message, "disk of the receiver is full"));
	assert_true(world.storage.journaled.total > 4 * MIB);
	/* Room again: what arrived is held. */
	world.storage.full_at = 0;
	world_kill_sender(&world);
	world.finished = 0;
	world_start_sender(&world);
	assert_true(world_run(&world, 5 * TW_SECOND, world_both_finished));
	assert_int_equal(sender_status().error, TW_TRANSFER_OK);
	assert_true(sender_status().bytes_held >= 4 * MIB);
	world_check_content(&world);
	world_deinit(&world);
}

static void unreadable_entries(void **state)
{
	struct tw_source *source = fake_source_new();
	struct tw_problem problem;
	unsigned problems = 0;
	int i;

	(void)state;
	for (i = 0; i < 300; i++)
		fake_source_add(source, 5000)->bad = i % 3 == 0;
	world_init(&world, 16, source);
	world_start(&world);
	finish(5 * TW_SECOND, TW_TRANSFER_ENTRIES);
	assert_int_equal(sender_status().files_done, 200);
	assert_int_equal(sender_status().files_failed, 100);
	assert_int_equal(world.files_failed, 100);
	while (tw_sender_problem(world.sender, &problem)) {
		assert_int_equal(problem.error, -EIO);
		assert_int_equal(problem.entry % 3, 0);
		problems++;
	}
	assert_int_equal(problems, 100);
	assert_non_null(strstr(sender_status().message, "100 of the entries"));
	world_check_content(&world);
	world_deinit(&world);
}

static void wrong_digests(void **state)
{
	struct tw_source *source = fake_source_new();

	(void)state;
	fake_source_add(source, 3 * MIB);
	fake_source_add(source, 2 * MIB)->corrupt = 3;
	fake_source_add(source, 100);
	world_init(&world, 17, source);
	world_start(&world);
	finish_whole(10 * TW_SECOND);
	assert_int_equal(source->entries[1].corrupt, 0);
	assert_int_equal(sender_status().bytes_retransmitted, 3 * MIB);
	world_deinit(&world);
}

/* It fails for ever: given up, and the rest goes on. */
static void hopeless_digests(void **state)
{
	struct tw_source *source = fake_source_new();
	struct tw_problem problem;

	(void)state;
	fake_source_add(source, 3 * MIB);
	fake_source_add(source, 2 * MIB)->corrupt = UINT_MAX;
	fake_source_add(source, 100);
	world_init(&world, 18, source);
	world_start(&world);
	finish(10 * TW_SECOND, TW_TRANSFER_ENTRIES);
	assert_true(tw_sender_problem(world.sender, &problem));
	assert_int_equal(problem.error, TW_E_DIGEST);
	assert_int_equal(problem.entry, 1);
	assert_int_equal(sender_status().files_done, 2);
	world_deinit(&world);
}

static void missing_source(void **state)
{
	struct tw_source *source = one_file(MIB);

	(void)state;
	source->missing = true;
	world_init(&world, 19, source);
	world_start(&world);
	assert_true(world_run(&world, TW_SECOND, world_sender_finished));
	assert_int_equal(sender_status().error, TW_TRANSFER_SOURCE);
	assert_non_null(strstr(sender_status().message, "missing"));
	world_deinit(&world);
}

static void refused_destination(void **state)
{
	(void)state;
	world_init(&world, 20, one_file(MIB));
	world.storage.refuse_destination = true;
	world_start(&world);
	finish(2 * TW_SECOND, TW_TRANSFER_UNSAFE);
	assert_non_null(strstr(sender_status().message, "leaves the receiver's folder"));
	world_deinit(&world);
}

static void cancelled(void **state)
{
	(void)state;
	world_init(&world, 21, one_file(60 * MIB));
	world.wire.rate_bps = 100000000;
	world_start(&world);
	world_run(&world, TW_SECOND, NULL);
	tw_sender_cancel(world.sender);
	finish(2 * TW_SECOND, TW_TRANSFER_CANCELLED);
	/* Kept for another attempt. */
	assert_true(world.storage.journaled.total > 0);
	world_deinit(&world);
}

static void sha256(void **state)
{
	struct tw_source *source = mixed();

	(void)state;
	world_init(&world, 22, source);
	world.sender_options.sha256 = true;
	world_start(&world);
	finish_whole(10 * TW_SECOND);
	assert_int_equal(world.storage.shas, source->count);
	world_deinit(&world);
}

static void nobody_answers(void **state)
{
	enum tw_conn_end end;
	const char *message;

	(void)state;
	world_init(&world, 23, one_file(MIB));
	world_start(&world);
	world.cut = true;
	world_run(&world, 9900 * TW_MSEC, NULL);
	assert_false(tw_dialer_failed(world.dialer, &end, &message));
	world_run(&world, 200 * TW_MSEC, NULL);
	assert_true(tw_dialer_failed(world.dialer, &end, &message));
	assert_int_equal(end, TW_CONN_TIMEOUT);
	assert_non_null(strstr(message, "does not answer"));
	world_deinit(&world);
}

static void nobody_listens(void **state)
{
	enum tw_conn_end end;
	const char *message;

	(void)state;
	world_init(&world, 24, one_file(MIB));
	world_start(&world);
	world.cut = true;
	world_run(&world, 10 * TW_MSEC, NULL);
	tw_endpoint_unreachable(world.wire.ends[0], &world.wire.addresses[1], world.wire.now);
	world_run(&world, 100 * TW_MSEC, NULL);
	assert_true(tw_dialer_failed(world.dialer, &end, &message));
	assert_int_equal(end, TW_CONN_UNREACHABLE);
	assert_non_null(strstr(message, "Nobody listens"));
	world_deinit(&world);
}

/* The second address is the one that works. */
static void second_address(void **state)
{
	(void)state;
	world_init(&world, 25, one_file(MIB));
	world.dialer_options.remotes[0] = wire_address(77, 8886);
	world.dialer_options.remotes[1] = world.wire.addresses[1];
	world.dialer_options.remote_count = 2;
	world_start(&world);
	finish_whole(3 * TW_SECOND);
	world_deinit(&world);
}

static void gives_up(void **state)
{
	enum tw_conn_end end;
	const char *message;

	(void)state;
	world_init(&world, 26, one_file(60 * MIB));
	world.wire.rate_bps = 100000000;
	world.dialer_options.give_up = 60 * TW_SECOND;
	world_start(&world);
	world_run(&world, TW_SECOND, NULL);
	world.cut = true;
	world_run(&world, 59 * TW_SECOND, NULL);
	assert_false(tw_dialer_failed(world.dialer, &end, &message));
	world_run(&world, 3 * TW_SECOND, NULL);
	assert_true(tw_dialer_failed(world.dialer, &end, &message));
	world_deinit(&world);
}

/* Says what stands in the way and goes on trying, for as long as it takes. */
static void patient(void **state)
{
	enum tw_conn_end end;
	const char *message;
	tw_ns since;

	(void)state;
	world_init(&world, 27, one_file(MIB));
	world.dialer_options.patient = true;
	world_start(&world);
	world.cut = true;
	world_run(&world, 9900 * TW_MSEC, NULL);
	assert_false(tw_dialer_failed(world.dialer, &end, &message));
	world_run(&world, 200 * TW_SECOND, NULL);
	assert_true(tw_dialer_failed(world.dialer, &end, &message));
	assert_int_equal(end, TW_CONN_TIMEOUT);
	assert_true(tw_dialer_waiting(world.dialer, &since));
	assert_true(tw_dialer_calling(world.dialer));
	world.cut = false;
	finish_whole(4 * TW_SECOND);
	assert_false(tw_dialer_failed(world.dialer, &end, &message));
	assert_false(tw_dialer_waiting(world.dialer, &since));
	world_deinit(&world);
}

/* A refusal is no reason to knock every second, unless somebody asks for it. */
static void patient_refused(void **state)
{
	enum tw_conn_end end;
	const char *message;
	tw_ns opened;

	(void)state;
	world_init(&world, 28, one_file(MIB));
	world.dialer_options.patient = true;
	world.closed_shop = true;
	world_start(&world);
	world_run(&world, TW_SECOND, NULL);
	assert_true(tw_dialer_failed(world.dialer, &end, &message));
	assert_int_equal(end, TW_CONN_NOT_AUTHORIZED);
	assert_false(tw_dialer_calling(world.dialer));
	world.closed_shop = false;
	opened = world.wire.now;
	world_run(&world, 8 * TW_SECOND, NULL);
	assert_int_equal(world.started, 0);
	finish_whole(4 * TW_SECOND);
	assert_true(world.wire.now - opened > 9 * TW_SECOND);
	world_deinit(&world);

	world_init(&world, 29, one_file(MIB));
	world.dialer_options.patient = true;
	world.closed_shop = true;
	world_start(&world);
	world_run(&world, TW_SECOND, NULL);
	world.closed_shop = false;
	tw_dialer_redial(world.dialer, world.wire.now);
	assert_true(world_run(&world, 2 * TW_SECOND, world_both_finished));
	world_deinit(&world);
}

/* The impatient give up for good, until they are told to try again. */
static void gives_up_and_tries_again(void **state)
{
	enum tw_conn_end end;
	const char *message;

	(void)state;
	world_init(&world, 30, one_file(MIB));
	world.closed_shop = true;
	world_start(&world);
	world_run(&world, TW_SECOND, NULL);
	assert_true(tw_dialer_failed(world.dialer, &end, &message));
	world.closed_shop = false;
	world_run(&world, 20 * TW_SECOND, NULL);
	assert_int_equal(world.started, 0);
	tw_dialer_redial(world.dialer, world.wire.now);
	assert_false(tw_dialer_failed(world.dialer, &end, &message));
	finish_whole(2 * TW_SECOND);
	world_deinit(&world);
}

/* Where to is told later, and then told otherwise. */
static void addresses_later(void **state)
{
	struct tw_address wrong = wire_address(77, 8886);
	enum tw_conn_end end;
	const char *message;

	(void)state;
	world_init(&world, 31, one_file(MIB));
	world.dialer_options.remote_count = 0;
	world_start(&world);
	world_run(&world, 60 * TW_SECOND, NULL);
	assert_false(tw_dialer_failed(world.dialer, &end, &message));
	assert_false(tw_dialer_calling(world.dialer));
	tw_dialer_set_remotes(world.dialer, &wrong, 1, world.wire.now);
	world_run(&world, 5 * TW_SECOND, NULL);
	assert_true(tw_dialer_calling(world.dialer));
	assert_int_equal(world.started, 0);
	tw_dialer_set_remotes(world.dialer, &world.wire.addresses[1], 1, world.wire.now);
	finish_whole(2 * TW_SECOND);
	world_deinit(&world);
}

/* With nothing to send the connection goes after a while, and the next transfer brings another. */
static void lingers(void **state)
{
	struct tw_conn *before;

	(void)state;
	world_init(&world, 32, one_file(MIB));
	world.dialer_options.linger = 5 * TW_SECOND;
	world_start(&world);
	assert_true(world_run(&world, 2 * TW_SECOND, world_both_finished));
	world_run(&world, 4500 * TW_MSEC, NULL);
	before = tw_outgoing_conn(world.outgoing);
	assert_non_null(before);
	assert_true(tw_sender_farewell_said(world.sender));
	world_run(&world, TW_SECOND, NULL);
	assert_null(tw_outgoing_conn(world.outgoing));
	world_run(&world, 60 * TW_SECOND, NULL);
	assert_null(tw_outgoing_conn(world.outgoing));
	assert_false(tw_dialer_calling(world.dialer));

	tw_outgoing_remove(world.outgoing, world.sender);
	tw_sender_free(world.sender);
	world.source->walked = 0;
	assert_int_equal(tw_sender_new(&world.sender_options, &world.disks[0].port, world.wire.now,
				       &world.sender),
			 0);
	assert_int_equal(tw_outgoing_add(world.outgoing, world.sender, 0, UINT64_MAX), 0);
	assert_true(world_run(&world, 2 * TW_SECOND, world_sender_finished));
	assert_int_equal(sender_status().error, TW_TRANSFER_OK);
	world_deinit(&world);
}

/* Put away without a word, resumed from the journal; and the receiver's limit on the way. */
static void paused(void **state)
{
	struct tw_receiver_status status;
	struct tw_conn *conn;

	(void)state;
	world_init(&world, 33, one_file(30 * MIB));
	world.wire.rate_bps = 100000000;
	world_start(&world);
	world_run(&world, TW_SECOND, NULL);
	assert_true(tw_receiver_status(world.hub, 0, &status));
	assert_true(status.last_received_at && status.last_sent_at && !status.last_error_at);
	conn = tw_endpoint_conn(world.wire.ends[1], 0);
	tw_receiver_set_limit(world.hub, conn, 20000000);
	world_run(&world, 100 * TW_MSEC, NULL);
	assert_int_equal(tw_outgoing_peer_max_bps(world.outgoing), 20000000);
	tw_receiver_set_limit(world.hub, conn, UINT64_MAX);
	tw_sender_pause(world.sender);
	world_run(&world, TW_SECOND, NULL);
	assert_true(sender_status().paused && tw_sender_farewell_said(world.sender));
	assert_true(tw_outgoing_peer_max_bps(world.outgoing) == UINT64_MAX);
	assert_int_equal(world.finished, 0);
	assert_int_equal(tw_receiver_count(world.hub), 0);
	assert_true(world.storage.journaled.total > 2 * MIB);

	tw_outgoing_remove(world.outgoing, world.sender);
	tw_sender_free(world.sender);
	world.source->walked = 0;
	assert_int_equal(tw_sender_new(&world.sender_options, &world.disks[0].port, world.wire.now,
				       &world.sender),
			 0);
	assert_int_equal(tw_outgoing_add(world.outgoing, world.sender, 0, UINT64_MAX), 0);
	assert_true(world_run(&world, 6 * TW_SECOND, world_both_finished));
	assert_int_equal(sender_status().error, TW_TRANSFER_OK);
	assert_true(sender_status().bytes_held > 2 * MIB);
	world_check_content(&world);
	world_deinit(&world);
}

/* Random histories: cuts, kills of either side, loss; everything arrives in the end. */
static bool all_ready(struct world *w)
{
	return w->hub->transfer_count && w->hub->transfers[0]->ready == 8 * MIB;
}

static unsigned jobs_most;

static bool all_received(struct world *w)
{
	const struct tw_receiver_transfer *transfer = w->hub->transfers[0];

	if (w->hub->jobs_out > jobs_most)
		jobs_most = w->hub->jobs_out;
	return transfer->received.total == 8 * MIB;
}

/* A sender that has sent every second byte of a tape says that all of it is a hole: that is as many
 * jobs as there are bytes left, but not all of them at once. */
static void hole_of_many_parts(void **state)
{
	struct tw_source *source = fake_source_new();
	struct tw_receiver_transfer *transfer;

	(void)state;
	fake_source_add(source, 8 * MIB)->hole = true;
	world_init(&world, 31, source);
	world.disks[1].job_time = TW_USEC;
	world_start(&world);
	assert_true(world_run(&world, 10 * TW_SECOND, all_ready));
	transfer = world.hub->transfers[0];
	assert_int_equal(transfer->received.count, 0);
	for (uint64_t i = 0; i < 2000; i++)
		assert_int_equal(tw_ranges_add(&transfer->received, 2 * i, 2 * i + 1), 0);
	jobs_most = 0;
	assert_true(world_run(&world, 10 * TW_SECOND, all_received));
	assert_int_equal(transfer->state, TW_RECEIVING_RUNNING);
	assert_in_range(jobs_most, 2, TW_RECEIVER_CONTROL_JOBS + 4);
	world_deinit(&world);
}

/* What one key may have of connections leaves room for another. */
static void one_of_many_peers(void **state)
{
	struct tw_public_key one, other;
	const struct tw_conn_app *app;
	void *context;

	(void)state;
	world_init(&world, 32, one_file(MIB));
	world_start(&world);
	one = other = world.identities[1].public_key;
	other.bytes[0] ^= 1;
	for (unsigned i = 0; i < TW_RECEIVER_CONNS_PEER; i++)
		assert_int_equal(tw_receiver_admit(world.hub, &one, &app, &context), 0);
	assert_int_equal(tw_receiver_admit(world.hub, &one, &app, &context), TW_E_FULL);
	assert_int_equal(tw_receiver_admit(world.hub, &other, &app, &context), 0);
	finish_whole(10 * TW_SECOND);
	world_deinit(&world);
}

/* The same of transfers that are begun and left. */
static void transfers_of_one_peer(void **state)
{
	const struct tw_message offer = { .type = TW_MESSAGE_OFFER,
					  .offer.destination = { .bytes = "" } };
	struct tw_receiver_transfer *transfer;
	struct tw_receiver_conn *conns[2];
	struct tw_public_key key;
	const struct tw_conn_app *app;
	void *context;

	(void)state;
	world_init(&world, 33, one_file(MIB));
	world_start(&world);
	key = world.identities[1].public_key;
	for (unsigned i = 0; i < 2; i++, key.bytes[0] ^= 1) {
		assert_int_equal(tw_receiver_admit(world.hub, &key, &app, &context), 0);
		conns[i] = context;
	}
	for (unsigned i = 0; i < TW_RECEIVER_TRANSFERS_PEER; i++)
		assert_int_equal(tw_receiver_transfer_new(conns[0], &offer, &transfer), 0);
	assert_int_equal(tw_receiver_transfer_new(conns[0], &offer, &transfer), TW_E_FULL);
	assert_int_equal(tw_receiver_transfer_new(conns[1], &offer, &transfer), 0);
	world_deinit(&world);
}

static void random_history(uint64_t seed)
{
	struct tw_source *source = fake_source_new();
	struct tw_prng prng;
	size_t i, count;
	tw_ns deadline;

	tw_prng_init(&prng, seed);
	count = 1 + tw_prng_below(&prng, 200);
	for (i = 0; i < count; i++) {
		uint64_t size = tw_prng_below(&prng, 8) ? tw_prng_below(&prng, 20000)
							: tw_prng_below(&prng, 3 * MIB);

		fake_source_add(source, size)->hole = !tw_prng_below(&prng, 20);
	}
	source->walk_step = 1 + tw_prng_below(&prng, 100);
	world_init(&world, seed, source);
	world.wire.loss = tw_prng_below(&prng, 3) ? 0 : tw_prng_unit(&prng) * 0.2;
	world.wire.delay = tw_prng_below(&prng, 100) * TW_MSEC;
	world.wire.rate_bps = 2000000 + tw_prng_below(&prng, 200000000);
	world.sender_options.sha256 = !tw_prng_below(&prng, 3);
	world_start(&world);
	deadline = world.wire.now + 600 * TW_SECOND;
	while (!world_run(&world, (100 + tw_prng_below(&prng, 4000)) * TW_MSEC,
			  world_sender_finished)) {
		if (world.wire.now > deadline)
			fail_msg("seed %llu does not end", (unsigned long long)seed);
		switch (tw_prng_below(&prng, 6)) {
		case 0:
			world_kill_sender(&world);
			world_run(&world, tw_prng_below(&prng, 2000) * TW_MSEC, NULL);
			world_start_sender(&world);
			break;
		case 1:
			world_kill_receiver(&world);
			world_run(&world, tw_prng_below(&prng, 2000) * TW_MSEC, NULL);
			world_start_receiver(&world);
			break;
		case 2:
			world.blackout_from = world.wire.now;
			world.blackout_to = world.wire.now + tw_prng_below(&prng, 40) * TW_SECOND;
			break;
		default:
			world_run(&world, 2 * TW_SECOND, world_sender_finished);
			break;
		}
	}
	if (sender_status().error)
		fail_msg("seed %llu: %s", (unsigned long long)seed, sender_status().message);
	if (world.storage.written_twice)
		fail_msg("seed %llu: bytes written twice", (unsigned long long)seed);
	world_check_content(&world);
	world_deinit(&world);
}

static void random_histories(void **state)
{
	const char *given = getenv("SESSION_SEED");
	uint64_t seed;

	(void)state;
	if (given) {
		random_history(strtoull(given, NULL, 10));
		return;
	}
	for (seed = 1000; seed < 1030; seed++)
		random_history(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean),
		cmocka_unit_test(few_round_trips),
		cmocka_unit_test(nothing_to_send),
		cmocka_unit_test(many_small_files),
		cmocka_unit_test(loss),
		cmocka_unit_test(blocks_read_again),
		cmocka_unit_test(slow_disk),
		cmocka_unit_test(outage),
		cmocka_unit_test(long_outage),
		cmocka_unit_test(receiver_restarts),
		cmocka_unit_test(sender_restarts),
		cmocka_unit_test(done_is_repeated),
		cmocka_unit_test(put_away_after_lingering),
		cmocka_unit_test(disk_full),
		cmocka_unit_test(unreadable_entries),
		cmocka_unit_test(wrong_digests),
		cmocka_unit_test(hopeless_digests),
		cmocka_unit_test(missing_source),
		cmocka_unit_test(refused_destination),
		cmocka_unit_test(cancelled),
		cmocka_unit_test(sha256),
		cmocka_unit_test(nobody_answers),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(second_address),
		cmocka_unit_test(gives_up),
		cmocka_unit_test(patient),
		cmocka_unit_test(patient_refused),
		cmocka_unit_test(gives_up_and_tries_again),
		cmocka_unit_test(addresses_later),
		cmocka_unit_test(lingers),
		cmocka_unit_test(paused),
		cmocka_unit_test(hole_of_many_parts),
		cmocka_unit_test(one_of_many_peers),
		cmocka_unit_test(transfers_of_one_peer),
		cmocka_unit_test(random_histories),
	};

	if (getenv("SESSION_TEST"))
		cmocka_set_test_filter(getenv("SESSION_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
