/* The queue of a destination: order, preemption, and everything one can do to a transfer. */
#include "engineworld.h"

#define SIZE 3000000

struct scene {
	struct world *world;
	struct tw_caller caller;
	struct tw_engine *engine;
	struct tw_transfer_options options;
};

/* Both sides there, a destination that sends at @kbps, one file. */
static void begin(struct scene *scene, struct world *world, uint64_t kbps)
{
	struct tw_rate_change change = { .send_rate = TW_UNSET,
					 .send_rate_min = TW_UNSET,
					 .send_rate_max = kbps };
	json_t *answer;

	*scene = (struct scene){ .world = world, .caller = alice() };
	host_start(world, 0);
	host_start(world, 1);
	scene->engine = world->hosts[0].engine;
	file_make(&world->hosts[0], "file", SIZE, 7);
	tw_transfer_options_init(&scene->options);
	scene->options.destination_id = destination_make(world, 0, 1, &scene->caller);
	scene->options.manifest_id = manifest_make(world, 0, &scene->caller, "file");
	change.destination_id = scene->options.destination_id;
	assert_int_equal(tw_engine_set_rate(scene->engine, &scene->caller, &change, &answer,
					    &world->fault),
			 TW_FAULT_NONE);
	json_decref(answer);
}

static const char *send_file(struct scene *scene, int64_t priority, const char *to)
{
	scene->options.priority = priority;
	scene->options.destination_path = to;
	return transfer_make(scene->world, 0, &scene->caller, &scene->options);
}

static const struct tw_transfer_view *look(struct scene *scene, const char *id)
{
	return tw_engine_transfer(scene->engine, &scene->caller, id);
}

static int act(struct scene *scene, const char *id, enum tw_transfer_action action)
{
	return tw_engine_transfer_act(scene->engine, &scene->caller, id, action, "for a test",
				      &scene->world->fault);
}

static void unleash(struct scene *scene)
{
	struct tw_rate_change change = { .send_rate = TW_UNSET,
					 .send_rate_min = TW_UNSET,
					 .send_rate_max = TW_RATE_MAX_KBPS };
	json_t *answer;

	change.destination_id = scene->options.destination_id;
	assert_int_equal(tw_engine_set_rate(scene->engine, &scene->caller, &change, &answer,
					    &scene->world->fault),
			 TW_FAULT_NONE);
	json_decref(answer);
}

static uint64_t queued(struct scene *scene)
{
	return tw_engine_destination(scene->engine, &scene->caller, scene->options.destination_id)
		->connection.num_transfers_queued;
}

/* While nobody answers the order can be seen at leisure. */
static void lower_numbers_go_first(void **state)
{
	struct world *world = *state;
	struct scene scene;
	const char *first, *later, *equal, *urgent;

	begin(&scene, world, TW_UNSET);
	host_kill(world, 1);
	first = send_file(&scene, 100, "first");
	UNTIL(world, has_status(world, 0, first, "active"));
	later = send_file(&scene, 200, "later");
	equal = send_file(&scene, 100, "equal");
	urgent = send_file(&scene, -5, "urgent");
	/* It takes the place of the one that runs; equal ones do not. */
	UNTIL(world, has_status(world, 0, urgent, "active"));
	assert_true(has_status(world, 0, first, "pending"));
	assert_true(has_status(world, 0, equal, "pending"));
	assert_true(has_status(world, 0, later, "pending"));
	assert_int_equal(queued(&scene), 3);
	host_start(world, 1);
	UNTIL(world, has_status(world, 0, later, "complete"));
	assert_true(look(&scene, urgent)->end_time <=
		    tw_engine_transfer(scene.engine, &scene.caller, first)->end_time);
	assert_true(has_status(world, 0, first, "complete"));
	assert_true(has_status(world, 0, equal, "complete"));
	{
		int64_t at_first = look(&scene, first)->end_time;
		int64_t at_equal = look(&scene, equal)->end_time;
		int64_t at_later = look(&scene, later)->end_time;

		assert_true(at_first < at_equal && at_equal < at_later);
	}
	assert_int_equal(queued(&scene), 0);
}

/* A change of priority moves a waiting one. */
static void priority_can_change(void **state)
{
	struct world *world = *state;
	const int64_t urgent = 1;
	struct scene scene;
	const char *first, *second;

	begin(&scene, world, TW_UNSET);
	host_kill(world, 1);
	first = send_file(&scene, 100, "first");
	second = send_file(&scene, 100, "second");
	UNTIL(world, has_status(world, 0, first, "active"));
	assert_int_equal(tw_engine_update_transfer(scene.engine, &scene.caller, second, &urgent,
						   NULL, &world->fault),
			 TW_FAULT_NONE);
	UNTIL(world, has_status(world, 0, second, "active"));
	assert_true(has_status(world, 0, first, "pending"));
	assert_int_equal(look(&scene, second)->priority, 1);
}

/* Bytes flow, and yet the better one goes first; the other one loses nothing. */
static void preempts_what_runs(void **state)
{
	struct world *world = *state;
	struct scene scene;
	const char *slow, *urgent;
	int64_t end;

	begin(&scene, world, 8000);
	slow = send_file(&scene, 100, "slow");
	UNTIL(world, look(&scene, slow)->bytes_acked > 300000);
	urgent = send_file(&scene, 10, "urgent");
	UNTIL(world, has_status(world, 0, urgent, "active"));
	assert_true(has_status(world, 0, slow, "pending"));
	unleash(&scene);
	UNTIL(world, has_status(world, 0, slow, "complete"));
	assert_true(has_status(world, 0, urgent, "complete"));
	end = look(&scene, urgent)->end_time;
	assert_true(end < look(&scene, slow)->end_time);
	/* Resumed, not sent anew. */
	assert_true(look(&scene, slow)->bytes_sent < SIZE + SIZE / 2);
	assert_true(file_is(place_of(&world->hosts[1], "received/slow/file"), SIZE, 7));
	assert_true(file_is(place_of(&world->hosts[1], "received/urgent/file"), SIZE, 7));
}

static void suspends_and_resumes(void **state)
{
	struct world *world = *state;
	struct scene scene;
	uint64_t acked;
	const char *id;

	begin(&scene, world, 8000);
	id = send_file(&scene, 100, "");
	UNTIL(world, look(&scene, id)->bytes_acked > 300000);
	assert_int_equal(act(&scene, id, TW_TRANSFER_SUSPEND), TW_FAULT_NONE);
	/* At once, whatever the worker still does. */
	assert_true(has_status(world, 0, id, "suspended"));
	assert_true(look(&scene, id)->processing);
	UNTIL(world, !((struct tw_transfer *)tw_shelf_find(&scene.engine->transfers, id))->number);
	acked = look(&scene, id)->bytes_acked;
	assert_true(acked >= 300000 && acked < SIZE);
	assert_int_equal(act(&scene, id, TW_TRANSFER_SUSPEND), TW_FAULT_CONFLICT);
	unleash(&scene);
	assert_int_equal(act(&scene, id, TW_TRANSFER_RESUME), TW_FAULT_NONE);
	assert_true(has_status(world, 0, id, "pending"));
	UNTIL(world, has_status(world, 0, id, "complete"));
	assert_true(file_is(place_of(&world->hosts[1], "received/file"), SIZE, 7));
	assert_int_equal(act(&scene, id, TW_TRANSFER_RESUME), TW_FAULT_CONFLICT);
	assert_int_equal(act(&scene, id, TW_TRANSFER_CANCEL), TW_FAULT_CONFLICT);
}

/* Suspended and resumed before the worker has let go: one run after the other, never two. */
static void changes_its_mind(void **state)
{
	struct world *world = *state;
	struct scene scene;
	const char *id;

	begin(&scene, world, 50000);
	id = send_file(&scene, 100, "");
	UNTIL(world, has_status(world, 0, id, "active"));
	for (int i = 0; i < 20; i++) {
		assert_int_equal(act(&scene, id, TW_TRANSFER_SUSPEND), TW_FAULT_NONE);
		assert_int_equal(act(&scene, id, TW_TRANSFER_RESUME), TW_FAULT_NONE);
		turn(world);
	}
	unleash(&scene);
	UNTIL(world, has_status(world, 0, id, "complete"));
	assert_true(file_is(place_of(&world->hosts[1], "received/file"), SIZE, 7));
}

static void cancels_and_fails(void **state)
{
	struct world *world = *state;
	struct scene scene;
	const char *cancelled, *failed, *waiting;

	begin(&scene, world, 8000);
	cancelled = send_file(&scene, 100, "cancelled");
	waiting = send_file(&scene, 100, "waiting");
	UNTIL(world, look(&scene, cancelled)->bytes_acked > 100000);
	assert_int_equal(act(&scene, cancelled, TW_TRANSFER_CANCEL), TW_FAULT_NONE);
	assert_true(has_status(world, 0, cancelled, "cancelled"));
	assert_true(look(&scene, cancelled)->end_time > 0);
	UNTIL(world, has_status(world, 0, waiting, "active"));
	failed = send_file(&scene, 100, "failed");
	assert_int_equal(act(&scene, failed, TW_TRANSFER_FAIL), TW_FAULT_NONE);
	assert_true(has_status(world, 0, failed, "error"));
	assert_string_equal(look(&scene, failed)->error_message, "for a test");
	/* One that ended with an error may be tried again. */
	assert_int_equal(act(&scene, failed, TW_TRANSFER_RESUME), TW_FAULT_NONE);
	unleash(&scene);
	UNTIL(world, has_status(world, 0, waiting, "complete"));
	UNTIL(world, has_status(world, 0, failed, "complete"));
	assert_null(look(&scene, failed)->error_message);
	assert_int_not_equal(access(place_of(&world->hosts[1], "received/cancelled/file"), F_OK),
			     0);
}

static void deletes(void **state)
{
	struct world *world = *state;
	struct scene scene;
	const char *id, *ended;
	char copy[TW_OBJECT_ID];

	begin(&scene, world, 8000);
	id = send_file(&scene, 100, "");
	UNTIL(world, look(&scene, id)->bytes_acked > 100000);
	snprintf(copy, sizeof(copy), "%s", id);
	assert_int_equal(act(&scene, id, TW_TRANSFER_DELETE), TW_FAULT_CONFLICT);
	assert_int_equal(tw_engine_delete_destination(scene.engine, &scene.caller,
						      scene.options.destination_id, false,
						      &world->fault),
			 TW_FAULT_CONFLICT);
	assert_int_equal(tw_engine_delete_manifest(scene.engine, &scene.caller,
						   scene.options.manifest_id, &world->fault),
			 TW_FAULT_CONFLICT);
	assert_int_equal(act(&scene, id, TW_TRANSFER_DELETE_FORCE), TW_FAULT_NONE);
	assert_null(look(&scene, copy));
	unleash(&scene);
	ended = send_file(&scene, 100, "next");
	UNTIL(world, has_status(world, 0, ended, "complete"));
	assert_int_equal(tw_engine_delete_manifest(scene.engine, &scene.caller,
						   scene.options.manifest_id, &world->fault),
			 TW_FAULT_NONE);
	/* It stays, with what it was, when its destination goes. */
	assert_int_equal(tw_engine_delete_destination(scene.engine, &scene.caller,
						      scene.options.destination_id, false,
						      &world->fault),
			 TW_FAULT_NONE);
	assert_int_equal(look(&scene, ended)->total_bytes, SIZE);
	assert_int_equal(act(&scene, ended, TW_TRANSFER_DELETE), TW_FAULT_NONE);
}

static void destination_goes_with_force(void **state)
{
	struct world *world = *state;
	struct scene scene;
	const char *running, *waiting;

	begin(&scene, world, 8000);
	running = send_file(&scene, 100, "a");
	waiting = send_file(&scene, 100, "b");
	UNTIL(world, look(&scene, running)->bytes_acked > 100000);
	assert_int_equal(tw_engine_delete_destination(scene.engine, &scene.caller,
						      scene.options.destination_id, true,
						      &world->fault),
			 TW_FAULT_NONE);
	assert_true(has_status(world, 0, running, "cancelled"));
	assert_true(has_status(world, 0, waiting, "cancelled"));
	UNTIL(world,
	      !((struct tw_transfer *)tw_shelf_find(&scene.engine->transfers, running))->number);
}

static void several_run_at_a_time(void **state)
{
	struct world *world = *state;
	struct scene scene;
	const char *ids[4];

	world->options.active_per_destination = 3;
	begin(&scene, world, TW_UNSET);
	host_kill(world, 1);
	for (size_t i = 0; i < 4; i++) {
		char to[8];

		snprintf(to, sizeof(to), "t%zu", i);
		ids[i] = send_file(&scene, 100, to);
	}
	UNTIL(world, has_status(world, 0, ids[2], "active"));
	assert_true(has_status(world, 0, ids[0], "active"));
	assert_true(has_status(world, 0, ids[1], "active"));
	assert_true(has_status(world, 0, ids[3], "pending"));
	host_start(world, 1);
	for (size_t i = 0; i < 4; i++)
		UNTIL(world, has_status(world, 0, ids[i], "complete"));
}

/* Destinations are spread over the workers, and each serves its own. */
static void two_workers_share(void **state)
{
	struct world *world = *state;
	struct tw_destination_options where;
	struct scene scene;
	char key[TW_KEY_TEXT];
	const char *first, *second;

	world->options.workers = 2;
	begin(&scene, world, TW_UNSET);
	first = send_file(&scene, 100, "first");
	tw_destination_options_init(&where);
	where.address = "127.0.0.1";
	where.port = world->hosts[1].port;
	where.public_key = tw_public_key_format(&world->hosts[1].identity.public_key, key);
	where.send_rate_max = 100000;
	assert_int_equal(tw_engine_create_destination(scene.engine, &scene.caller, &where,
						      &scene.options.destination_id, &world->fault),
			 TW_FAULT_NONE);
	assert_int_equal(scene.engine->links[0].destinations, 1);
	assert_int_equal(scene.engine->links[1].destinations, 1);
	second = send_file(&scene, 100, "second");
	UNTIL(world, has_status(world, 0, first, "complete"));
	UNTIL(world, has_status(world, 0, second, "complete"));
	assert_true(file_is(place_of(&world->hosts[1], "received/first/file"), SIZE, 7));
	assert_true(file_is(place_of(&world->hosts[1], "received/second/file"), SIZE, 7));
}

/* The other side's disk is full: it waits, says so, and goes on when there is room. */
static void tries_again(void **state)
{
	struct world *world = *state;
	const struct tw_worker_transfer_status full = {
		.sender = { .finished = true,
			    .error = TW_TRANSFER_STORAGE,
			    .message = "The disk is full." },
	};
	struct tw_transfer *transfer;
	struct scene scene;
	const char *id;

	begin(&scene, world, TW_UNSET);
	host_kill(world, 1);
	id = send_file(&scene, 100, "");
	UNTIL(world, has_status(world, 0, id, "active"));
	transfer = (struct tw_transfer *)tw_shelf_find(&scene.engine->transfers, id);
	for (unsigned run = 1; run <= 3; run++) {
		/* As if the receiver had said so: the worker's own run is taken away. */
		assert_int_equal(tw_worker_end_transfer(scene.engine->links[0].worker,
							transfer->number, TW_WORKER_CANCEL),
				 0);
		tw_queue_ended(transfer, &full);
		assert_true(has_status(world, 0, id, "pending"));
		assert_string_equal(look(&scene, id)->error_message, "The disk is full.");
		assert_int_equal(transfer->attempts, run);
		assert_int_equal(transfer->number, 0);
		/* Shown as lastError once it can be reached. */
		assert_string_equal(transfer->destination->refused, "destinationFull");
		assert_int_equal(queued(&scene), 1);
		UNTIL(world, has_status(world, 0, id, "active"));
	}
	host_start(world, 1);
	UNTIL(world, has_status(world, 0, id, "complete"));
	assert_null(look(&scene, id)->error_message);
	assert_true(file_is(place_of(&world->hosts[1], "received/file"), SIZE, 7));
	UNTIL(world,
	      !tw_engine_destination(scene.engine, &scene.caller, scene.options.destination_id)
		       ->connection.last_error);
}

/* What cannot mend itself is an error at once. */
static void gives_up(void **state)
{
	struct world *world = *state;
	const struct tw_worker_transfer_status denied = {
		.sender = { .finished = true, .error = TW_TRANSFER_DENIED, .message = "Not here." },
	};
	struct tw_transfer *transfer;
	struct scene scene;
	const char *id;

	begin(&scene, world, TW_UNSET);
	host_kill(world, 1);
	id = send_file(&scene, 100, "");
	UNTIL(world, has_status(world, 0, id, "active"));
	transfer = (struct tw_transfer *)tw_shelf_find(&scene.engine->transfers, id);
	tw_worker_end_transfer(scene.engine->links[0].worker, transfer->number, TW_WORKER_CANCEL);
	tw_queue_ended(transfer, &denied);
	assert_true(has_status(world, 0, id, "error"));
	assert_string_equal(look(&scene, id)->error_message, "Not here.");
	assert_string_equal(((struct tw_destination *)tw_shelf_find(&scene.engine->destinations,
								    scene.options.destination_id))
				    ->refused,
			    "destinationDenied");
}

/* Samples and figures while it runs. */
static void shows_its_progress(void **state)
{
	struct world *world = *state;
	const struct tw_transfer_sample_view *samples;
	const struct tw_destination_view *destination;
	const struct tw_transfer_view *view;
	struct tw_list list;
	struct scene scene;
	const char *id;
	int64_t seen;

	begin(&scene, world, 8000);
	id = send_file(&scene, 100, "");
	UNTIL(world, look(&scene, id)->estimated_seconds_remaining > 0);
	view = look(&scene, id);
	assert_true(view->throughput > 0 && view->throughput < 16000);
	assert_true(view->snapshot_time > view->start_time);
	seen = view->snapshot_time;
	UNTIL(world, look(&scene, id)->snapshot_time > seen);
	destination =
		tw_engine_destination(scene.engine, &scene.caller, scene.options.destination_id);
	assert_int_equal(destination->connection.send_rate_max, 8000);
	assert_true(destination->connection.send_rate_average_window <= 8800);
	assert_true(destination->connection.send_rate_average <= 8800);
	assert_true(destination->connection.socket_send_buffer_size > 0);
	UNTIL(world, has_status(world, 0, id, "complete"));
	assert_int_equal(tw_engine_transfer_samples(scene.engine, &scene.caller, id, 0, &list,
						    &world->fault),
			 TW_FAULT_NONE);
	assert_true(list.count >= 2);
	samples = list.items;
	assert_int_equal(samples[list.count - 1].bytes_transferred, SIZE);
	for (size_t i = 1; i < list.count; i++) {
		assert_true(samples[i].time > samples[i - 1].time);
		assert_true(samples[i].bytes_transferred >= samples[i - 1].bytes_transferred);
	}
	assert_int_equal(tw_engine_transfer_samples(scene.engine, &scene.caller, id,
						    samples[list.count - 1].time, &list,
						    &world->fault),
			 TW_FAULT_NONE);
	assert_int_equal(list.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lower_numbers_go_first, world_make, world_free),
		cmocka_unit_test_setup_teardown(priority_can_change, world_make, world_free),
		cmocka_unit_test_setup_teardown(preempts_what_runs, world_make, world_free),
		cmocka_unit_test_setup_teardown(suspends_and_resumes, world_make, world_free),
		cmocka_unit_test_setup_teardown(changes_its_mind, world_make, world_free),
		cmocka_unit_test_setup_teardown(cancels_and_fails, world_make, world_free),
		cmocka_unit_test_setup_teardown(deletes, world_make, world_free),
		cmocka_unit_test_setup_teardown(destination_goes_with_force, world_make,
						world_free),
		cmocka_unit_test_setup_teardown(several_run_at_a_time, world_make, world_free),
		cmocka_unit_test_setup_teardown(two_workers_share, world_make, world_free),
		cmocka_unit_test_setup_teardown(tries_again, world_make, world_free),
		cmocka_unit_test_setup_teardown(gives_up, world_make, world_free),
		cmocka_unit_test_setup_teardown(shows_its_progress, world_make, world_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
