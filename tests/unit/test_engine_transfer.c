/* Two servers in one program: a file goes over, through everything that a service has. */
#include <netinet/in.h>
#include <sys/socket.h>

#include "engineworld.h"

static void sends_a_file(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice();
	struct tw_transfer_options options;
	const struct tw_transfer_view *view;
	const struct tw_destination_view *destination;
	struct tw_engine *engine;
	struct tw_list samples;
	const char *id;

	host_start(world, 0);
	host_start(world, 1);
	engine = world->hosts[0].engine;
	file_make(&world->hosts[0], "file", 5000000, 1);
	tw_transfer_options_init(&options);
	options.destination_id = destination_make(world, 0, 1, &caller);
	options.manifest_id = manifest_make(world, 0, &caller, "file");
	options.destination_path = "in/here";
	id = transfer_make(world, 0, &caller, &options);
	UNTIL(world, has_status(world, 0, id, "complete"));
	assert_true(file_is(place_of(&world->hosts[1], "received/in/here/file"), 5000000, 1));

	view = tw_engine_transfer(engine, &caller, id);
	assert_int_equal(view->total_bytes, 5000000);
	assert_int_equal(view->bytes_acked, 5000000);
	assert_int_equal(view->bytes_durable, 5000000);
	assert_int_equal(view->files_complete, 1);
	assert_int_equal(view->total_files, 1);
	/* Headers and tags come on top of the content. */
	assert_true(view->bytes_sent > 5000000);
	assert_true(view->blocks_sent >= view->total_blocks / 2);
	assert_int_equal(view->blocks_acked, view->total_blocks);
	assert_true(view->packets_sent > 0 && view->packets_recv > 0 && view->bytes_recv > 0);
	assert_true(view->request_time <= view->start_time && view->start_time <= view->end_time);
	assert_true(view->snapshot_time >= view->end_time);
	assert_false(view->processing);
	assert_null(view->error_message);
	assert_non_null(view->digest);
	assert_int_equal(tw_engine_transfer_samples(engine, &caller, id, 0, &samples,
						    &world->fault),
			 TW_FAULT_NONE);
	assert_true(samples.count > 0);
	assert_int_equal(((const struct tw_transfer_sample_view *)samples.items)[samples.count - 1]
				 .bytes_transferred,
			 5000000);

	/* The snapshot may be a moment older than the event. */
	UNTIL(world, (destination = tw_engine_destination(engine, &caller, options.destination_id))
				     ->connection.cipher &&
			     destination->connection.round_trip_time_ms > 0);
	assert_string_equal(destination->connection.destination_ip, "127.0.0.1");
	assert_string_equal(destination->connection.encrypted_connection_state, "connected");
	assert_string_equal(destination->connection.cipher, "128");
	assert_string_equal(destination->connection.last_destination_server_id,
			    world->hosts[1].engine->server_id);
	assert_string_equal(destination->connection.last_destination_server_uid,
			    world->hosts[1].engine->server_uid);
	assert_true(destination->connection.sender_port != TW_UNSET);
	assert_true(destination->connection.round_trip_time_ms > 0);
	assert_null(destination->connection.last_error);
	assert_true(destination->connection.send_rate_average != TW_UNSET);
	assert_true(destination->connection.last_send_time <=
		    destination->connection.snapshot_time + 1000000);
}

static void shows_what_arrives(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice();
	const struct tw_receive_transfer_view *received;
	const struct tw_source_view *source;
	struct tw_transfer_options options;
	char key[TW_KEY_TEXT];
	const char *id;
	size_t cursor = 0;

	host_start(world, 0);
	host_start(world, 1);
	file_make(&world->hosts[0], "file", 300000, 2);
	tw_transfer_options_init(&options);
	options.destination_id = destination_make(world, 0, 1, &caller);
	options.manifest_id = manifest_make(world, 0, &caller, "file");
	id = transfer_make(world, 0, &caller, &options);
	UNTIL(world, has_status(world, 0, id, "complete"));
	UNTIL(world, (cursor = 0, received = tw_engine_receive_transfer_next(world->hosts[1].engine,
									     &cursor)) &&
			     !strcmp(received->status, "complete"));
	assert_string_equal(received->transfer_id, id);
	assert_string_equal(received->source_ip, "127.0.0.1");
	assert_int_equal(received->total_size, 300000);
	assert_int_equal(received->bytes_received, 300000);
	cursor = 0;
	source = tw_engine_source_next(world->hosts[1].engine, &cursor);
	assert_non_null(source);
	assert_int_equal(source->complete_transfer_count, 1);
	assert_true(source->ave_recv_rate > 0);
	assert_int_equal(source->active_transfer_count + source->inactive_transfer_count, 0);
	assert_string_equal(source->destination_public_key,
			    tw_public_key_format(&world->hosts[0].identity.public_key, key));
	assert_null(tw_engine_source_next(world->hosts[1].engine, &cursor));
}

/* The other side is not there yet: the transfer waits, and goes when it comes. */
static void waits_for_the_other_side(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice();
	struct tw_transfer_options options;
	const struct tw_destination_view *destination;
	const char *id;

	host_start(world, 0);
	host_start(world, 1);
	host_kill(world, 1);
	file_make(&world->hosts[0], "file", 100000, 3);
	tw_transfer_options_init(&options);
	options.destination_id = destination_make(world, 0, 1, &caller);
	options.manifest_id = manifest_make(world, 0, &caller, "file");
	id = transfer_make(world, 0, &caller, &options);
	UNTIL(world, (destination = tw_engine_destination(world->hosts[0].engine, &caller,
							  options.destination_id))
			     ->connection.last_error);
	assert_true(!strcmp(destination->connection.last_error, "unreachable") ||
		    !strcmp(destination->connection.last_error, "timeout"));
	assert_true(*destination->connection.last_error_message);
	assert_true(has_status(world, 0, id, "active"));
	host_start(world, 1);
	UNTIL(world, has_status(world, 0, id, "complete"));
	destination =
		tw_engine_destination(world->hosts[0].engine, &caller, options.destination_id);
	assert_null(destination->connection.last_error);
	assert_true(file_is(place_of(&world->hosts[1], "received/file"), 100000, 3));
}

/* The sender goes and comes back: for the receiver it is one transfer, and no error. */
static void is_received_once(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice();
	const struct tw_caller super = { .user = "root", .superuser = true };
	const struct tw_events_query query = { .limit = 1000 };
	struct tw_rate_change slow = { .send_rate = TW_UNSET,
				       .send_rate_min = TW_UNSET,
				       .send_rate_max = 8000 };
	struct tw_transfer_options options;
	unsigned started = 0, complete = 0;
	char id[TW_OBJECT_ID];
	json_t *events, *answer, *entry;
	uint64_t last;
	size_t at, cursor = 0;

	host_start(world, 0);
	host_start(world, 1);
	file_make(&world->hosts[0], "file", 2000000, 2);
	tw_transfer_options_init(&options);
	options.destination_id = destination_make(world, 0, 1, &caller);
	options.manifest_id = manifest_make(world, 0, &caller, "file");
	slow.destination_id = options.destination_id;
	assert_int_equal(tw_engine_set_rate(world->hosts[0].engine, &caller, &slow, &answer,
					    &world->fault),
			 TW_FAULT_NONE);
	json_decref(answer);
	strcpy(id, transfer_make(world, 0, &caller, &options));
	UNTIL(world, tw_engine_transfer(world->hosts[0].engine, &caller, id)->bytes_acked > 300000);
	host_kill(world, 0);
	host_start(world, 0);
	UNTIL(world, has_status(world, 0, id, "complete"));
	UNTIL(world,
	      (cursor = 0,
	       !strcmp(tw_engine_receive_transfer_next(world->hosts[1].engine, &cursor)->status,
		       "complete")));
	assert_null(tw_engine_receive_transfer_next(world->hosts[1].engine, &cursor));
	assert_int_equal(tw_engine_events(world->hosts[1].engine, &super, &query, &events, &last,
					  &world->fault),
			 TW_FAULT_NONE);
	json_array_foreach (events, at, entry) {
		const char *name = json_string_value(json_object_get(entry, "_event"));

		started += !strcmp(name, "recv.transferStarted");
		complete += !strcmp(name, "recv.transferComplete");
		assert_string_not_equal(name, "recv.transferError");
	}
	assert_int_equal(started, 1);
	assert_int_equal(complete, 1);
	json_decref(events);
}

static bool told, told_late;

static void on_changed(void *context, bool timed_out)
{
	(void)context;
	told = true;
	told_late = timed_out;
}

static void tells_those_who_wait(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice();
	struct tw_transfer_options options;
	const char *id;

	host_start(world, 0);
	host_start(world, 1);
	file_make(&world->hosts[0], "file", 1000, 4);
	tw_transfer_options_init(&options);
	options.destination_id = destination_make(world, 0, 1, &caller);
	options.manifest_id = manifest_make(world, 0, &caller, "file");
	id = transfer_make(world, 0, &caller, &options);
	told = false;
	assert_non_null(tw_engine_wait(world->hosts[0].engine, id, UINT64_MAX, on_changed, NULL));
	UNTIL(world, told);
	assert_false(told_late);
	assert_true(has_status(world, 0, id, "complete"));
	assert_null(tw_engine_wait(world->hosts[0].engine, id, 1000, on_changed, NULL));
	host_stop(world, 1);
	id = transfer_make(world, 0, &caller, &options);
	told = false;
	assert_non_null(tw_engine_wait(world->hosts[0].engine, id, 10, on_changed, NULL));
	UNTIL(world, told);
	assert_true(told_late);
}

static bool state_is(struct world *world, unsigned host, const char *id, const char *wanted)
{
	struct tw_caller caller = alice();
	const struct tw_destination_view *view =
		tw_engine_destination(world->hosts[host].engine, &caller, id);

	return strcmp(view->connection.encrypted_connection_state, wanted) == 0;
}

/* Somebody who does not answer, where a port that is closed would refuse at once. */
static int silent_port(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Not before somebody answers, not after he is gone; and never where nothing is encrypted. */
static void tells_how_far_encryption_is(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice();
	struct tw_transfer_options options;
	const struct tw_source_view *source;
	const char *where, *id;
	size_t cursor = 0;
	int silent;

	host_start(world, 0);
	host_start(world, 1);
	file_make(&world->hosts[0], "file", 300000, 2);
	tw_transfer_options_init(&options);
	options.destination_id = where = destination_make(world, 0, 1, &caller);
	options.manifest_id = manifest_make(world, 0, &caller, "file");
	assert_true(state_is(world, 0, where, "disconnected"));
	host_stop(world, 1);
	silent = silent_port(world->hosts[1].port);
	(void)transfer_make(world, 0, &caller, &options);
	UNTIL(world, state_is(world, 0, where, "negotiating"));
	close(silent);
	host_start(world, 1);
	UNTIL(world, state_is(world, 0, where, "connected"));
	host_stop(world, 1);
	UNTIL(world, !state_is(world, 0, where, "connected"));
	host_stop(world, 0);

	world->options.encryption = false;
	host_start(world, 0);
	host_start(world, 1);
	options.destination_id = where = destination_make(world, 0, 1, &caller);
	options.manifest_id = manifest_make(world, 0, &caller, "file");
	id = transfer_make(world, 0, &caller, &options);
	UNTIL(world, (assert_true(state_is(world, 0, where, "disconnected")),
		      has_status(world, 0, id, "complete")));
	UNTIL(world,
	      tw_engine_destination(world->hosts[0].engine, &caller, where)->connection.cipher);
	assert_string_equal(
		tw_engine_destination(world->hosts[0].engine, &caller, where)->connection.cipher,
		"none");
	UNTIL(world, (cursor = 0, source = tw_engine_source_next(world->hosts[1].engine, &cursor)));
	assert_string_equal(source->encrypted_connection_state, "disconnected");
	assert_false(source->encryption_enabled);
}

static const char *last_error(struct world *world, const char *destination)
{
	const struct tw_caller caller = alice();

	return tw_engine_destination(world->hosts[0].engine, &caller, destination)
		->connection.last_error;
}

/* Who is taken off the list while he sends is cut off at once, and goes on when he is back on it.
 */
static void a_removed_client_ends(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice();
	struct tw_transfer_options options;
	struct tw_engine *there;
	const char *id, *destination, *error;
	char key[TW_KEY_TEXT];
	uint64_t acked, no_limit = TW_UNSET;

	host_start(world, 0);
	host_start(world, 1);
	there = world->hosts[1].engine;
	tw_public_key_format(&world->hosts[0].identity.public_key, key);
	assert_int_equal(tw_engine_authorize_client(there, key, true, &world->fault), 0);
	assert_int_equal(tw_engine_only_authorized(there, true, &world->fault), 0);
	file_make(&world->hosts[0], "file", 4000000, 3);
	tw_transfer_options_init(&options);
	options.destination_id = destination = destination_make(world, 0, 1, &caller);
	options.manifest_id = manifest_make(world, 0, &caller, "file");
	options.send_rate_max = 8000; /* kbit/s: four seconds for all */
	id = transfer_make(world, 0, &caller, &options);
	UNTIL(world, tw_engine_transfer(world->hosts[0].engine, &caller, id)->bytes_acked > 0);
	assert_int_equal(tw_engine_authorize_client(there, key, false, &world->fault), 0);
	UNTIL(world, (error = last_error(world, destination)) && !strcmp(error, "notAuthorized"));
	assert_true(has_status(world, 0, id, "active") || has_status(world, 0, id, "pending"));
	acked = tw_engine_transfer(world->hosts[0].engine, &caller, id)->bytes_acked;
	assert_true(acked < 4000000);
	/* A restart of the receiver does not let him in either. */
	host_kill(world, 1);
	host_start(world, 1);
	there = world->hosts[1].engine;
	for (int i = 0; i < 200; i++)
		turn(world);
	assert_int_equal(tw_engine_transfer(world->hosts[0].engine, &caller, id)->bytes_acked,
			 acked);
	assert_int_equal(tw_engine_authorize_client(there, key, true, &world->fault), 0);
	assert_int_equal(tw_engine_update_transfer(world->hosts[0].engine, &caller, id, NULL,
						   &no_limit, &world->fault),
			 0);
	UNTIL(world, has_status(world, 0, id, "complete"));
	assert_true(file_is(place_of(&world->hosts[1], "received/file"), 4000000, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sends_a_file, world_make, world_free),
		cmocka_unit_test_setup_teardown(a_removed_client_ends, world_make, world_free),
		cmocka_unit_test_setup_teardown(shows_what_arrives, world_make, world_free),
		cmocka_unit_test_setup_teardown(waits_for_the_other_side, world_make, world_free),
		cmocka_unit_test_setup_teardown(is_received_once, world_make, world_free),
		cmocka_unit_test_setup_teardown(tells_those_who_wait, world_make, world_free),
		cmocka_unit_test_setup_teardown(tells_how_far_encryption_is, world_make,
						world_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
