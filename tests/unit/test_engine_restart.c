/* What a server remembers: killed and started again, and a crowd of jobs. */
#include "base/text.h"
#include "engineworld.h"

#include <malloc.h>
#include <signal.h>
#include <sys/wait.h>

#include "engine/password.h"

#define SIZE 3000000

/* Away without a word: what ran goes on by itself, with the times and the figures that it had. */
static void goes_on_where_it_was(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice();
	struct tw_destination_options where;
	struct tw_transfer_options options;
	const struct tw_transfer_view *view;
	char running[TW_OBJECT_ID], waiting[TW_OBJECT_ID], key[TW_KEY_TEXT];
	int64_t requested, started;
	uint64_t acked;

	host_start(world, 0);
	host_start(world, 1);
	file_make(&world->hosts[0], "file", SIZE, 5);
	tw_destination_options_init(&where);
	where.address = "127.0.0.1";
	where.port = world->hosts[1].port;
	where.public_key = tw_public_key_format(&world->hosts[1].identity.public_key, key);
	where.send_rate_max = 8000;
	where.user_data = json_pack("{ss}", "note", "kept");
	tw_transfer_options_init(&options);
	assert_int_equal(tw_engine_create_destination(world->hosts[0].engine, &caller, &where,
						      &options.destination_id, &world->fault),
			 TW_FAULT_NONE);
	options.manifest_id = manifest_make(world, 0, &caller, "file");
	options.destination_path = "one";
	strcpy(running, transfer_make(world, 0, &caller, &options));
	options.destination_path = "two";
	options.client_request_id = "once";
	strcpy(waiting, transfer_make(world, 0, &caller, &options));
	UNTIL(world,
	      (view = tw_engine_transfer(world->hosts[0].engine, &caller, running))->bytes_acked >
		      300000);
	requested = view->request_time;
	started = view->start_time;
	acked = view->bytes_acked;
	assert_int_equal(tw_engine_commit(world->hosts[0].engine), 0);
	host_kill(world, 0);
	host_start(world, 0);
	view = tw_engine_transfer(world->hosts[0].engine, &caller, running);
	assert_non_null(view);
	assert_int_equal(view->request_time, requested);
	assert_int_equal(view->start_time, started);
	assert_true(has_status(world, 0, waiting, "pending"));
	/* The same request as before finds what it made. */
	assert_string_equal(transfer_make(world, 0, &caller, &options), waiting);
	UNTIL(world, has_status(world, 0, running, "active"));
	UNTIL(world,
	      tw_engine_transfer(world->hosts[0].engine, &caller, running)->bytes_acked >= acked);
	UNTIL(world, has_status(world, 0, running, "complete"));
	UNTIL(world, has_status(world, 0, waiting, "complete"));
	assert_true(file_is(place_of(&world->hosts[1], "received/one/file"), SIZE, 5));
	assert_true(file_is(place_of(&world->hosts[1], "received/two/file"), SIZE, 5));
	json_decref(where.user_data);
}

/* What a server did that is killed in the moment in which it has answered. */
static void do_and_die(struct world *world, int answers)
{
	struct tw_caller caller = alice();
	struct tw_transfer_options options;

	event_reinit(world->base);
	host_start(world, 0);
	tw_transfer_options_init(&options);
	options.destination_id = destination_make(world, 0, 1, &caller);
	options.manifest_id = manifest_make(world, 0, &caller, "file");
	for (int i = 0; i < 3; i++) {
		const char *id;

		options.destination_path = i == 0 ? "0" : i == 1 ? "1" : "2";
		id = transfer_make(world, 0, &caller, &options);
		if (tw_engine_commit(world->hosts[0].engine) ||
		    write(answers, id, TW_OBJECT_ID) != TW_OBJECT_ID)
			break;
	}
	kill(getpid(), SIGKILL);
}

static void loses_no_answered_job(void **state)
{
	struct world *world = *state;
	char ids[3][TW_OBJECT_ID];
	int answers[2], status;
	pid_t child;

	/* Its port and key are all that the other one needs of it. */
	host_start(world, 1);
	host_kill(world, 1);
	file_make(&world->hosts[0], "file", SIZE, 6);
	assert_int_equal(pipe(answers), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		do_and_die(world, answers[1]);
		_exit(1);
	}
	close(answers[1]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(read(answers[0], ids[i], TW_OBJECT_ID), TW_OBJECT_ID);
	close(answers[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	host_start(world, 0);
	for (int i = 0; i < 3; i++)
		assert_false(has_status(world, 0, ids[i], "error"));
	host_start(world, 1);
	for (int i = 0; i < 3; i++)
		UNTIL(world, has_status(world, 0, ids[i], "complete"));
	assert_true(file_is(place_of(&world->hosts[1], "received/2/file"), SIZE, 6));
}

static size_t count_destinations(struct world *world)
{
	struct tw_caller caller = alice();
	size_t cursor = 0, count = 0;

	while (tw_engine_destination_next(world->hosts[0].engine, &caller, &cursor))
		count++;
	return count;
}

/* An orderly stop, and everything else that is kept. */
static void remembers_settings(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice(), super = { .user = "root", .superuser = true };
	struct tw_garbage_settings garbage = { 60, 120, 180 }, read;
	const uint64_t limit = 100000;
	const bool yes = true;
	struct tw_bandwidth_change change = { .outgoing_rate_limit = &limit,
					      .borrow_outgoing_rate = &yes };
	char uid[TW_SERVER_ID], id[TW_SERVER_ID], token[TW_OBJECT_ID], key[TW_KEY_TEXT];
	char *password = tw_password_make("secret");
	struct tw_token_options options = { .password = password,
					    .description = "for a friend",
					    .download_limit = TW_UNSET };
	struct tw_server_view server;
	struct tw_strings clients;
	struct tw_engine *engine;
	struct tw_caller guest;
	const char *made;
	json_t *wranglers;

	host_start(world, 0);
	host_start(world, 1);
	engine = world->hosts[0].engine;
	strcpy(uid, engine->server_uid);
	strcpy(id, engine->server_id);
	assert_int_equal(tw_engine_set_garbage(engine, &garbage, &world->fault), TW_FAULT_NONE);
	assert_int_equal(tw_engine_set_bandwidth(engine, &change, &world->fault), TW_FAULT_NONE);
	assert_int_equal(tw_engine_add_wrangler(engine, "carol", false, &world->fault),
			 TW_FAULT_NONE);
	tw_public_key_format(&world->hosts[1].identity.public_key, key);
	assert_int_equal(tw_engine_authorize_client(engine, key, true, &world->fault),
			 TW_FAULT_NONE);
	assert_int_equal(tw_engine_only_authorized(engine, true, &world->fault), TW_FAULT_NONE);
	assert_int_equal(tw_engine_create_token(engine, &caller, &options, &made, &world->fault),
			 TW_FAULT_NONE);
	strcpy(token, made);
	free(password);
	destination_make(world, 0, 1, &caller);
	host_stop(world, 0);
	host_start(world, 0);
	engine = world->hosts[0].engine;
	assert_string_equal(engine->server_uid, uid);
	assert_string_not_equal(engine->server_id, id);
	tw_engine_garbage_settings(engine, &read);
	assert_memory_equal(&read, &garbage, sizeof(read));
	tw_engine_server(engine, &super, &server);
	assert_int_equal(server.bandwidth_limits.outgoing_rate_limit, limit);
	assert_int_equal(server.bandwidth_limits.incoming_rate_limit, TW_UNSET);
	assert_true(server.bandwidth_limits.borrow_outgoing_rate);
	assert_true(server.receiver.only_authorized_clients_allowed);
	tw_engine_authorized_clients(engine, &clients);
	assert_int_equal(clients.count, 1);
	assert_string_equal(clients.items[0], key);
	wranglers = tw_engine_wranglers(engine);
	assert_int_equal(json_array_size(wranglers), 1);
	json_decref(wranglers);
	assert_int_equal(tw_engine_token_login(engine, token, false, &guest, &world->fault),
			 TW_FAULT_NOT_AUTHENTICATED);
	assert_int_equal(
		tw_engine_token_login(engine, token,
				      tw_password_check(tw_engine_token_password(engine, token),
							"secret"),
				      &guest, &world->fault),
		TW_FAULT_NONE);
	assert_string_equal(guest.user, "alice");
	assert_int_equal(count_destinations(world), 1);
}

/* Options that say so keep nothing. */
static void forgets_what_it_shall_not_keep(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice();

	world->options.persistent_destinations = false;
	host_start(world, 0);
	host_start(world, 1);
	destination_make(world, 0, 1, &caller);
	host_stop(world, 0);
	host_start(world, 0);
	assert_int_equal(count_destinations(world), 0);
}

#define NAMES 7000

/* A manifest that is too long to be read at once is read on a thread; transfers wait for it. */
static void reads_a_long_manifest(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice();
	struct tw_transfer_options options;
	struct tw_manifest_object *manifest;
	char id[TW_OBJECT_ID], name[64], hex[41], reason[256];
	struct tw_random random;
	struct tw_prng prng;
	uint8_t bytes[20];

	host_start(world, 0);
	host_start(world, 1);
	mkdir(place_of(&world->hosts[0], "many"), 0755);
	tw_prng_init(&prng, 1);
	random = tw_prng_random(&prng);
	for (int i = 0; i < NAMES; i++) {
		tw_random_fill(&random, bytes, sizeof(bytes));
		snprintf(name, sizeof(name), "many/%s", tw_text_hex(bytes, sizeof(bytes), hex));
		close(open(place_of(&world->hosts[0], name), O_CREAT | O_WRONLY, 0644));
	}
	tw_transfer_options_init(&options);
	options.destination_id = destination_make(world, 0, 1, &caller);
	options.manifest_id = manifest_make(world, 0, &caller, "many");
	assert_int_equal(tw_engine_manifest(world->hosts[0].engine, &caller, options.manifest_id)
				 ->total_files,
			 NAMES);
	strcpy(id, transfer_make(world, 0, &caller, &options));
	host_kill(world, 0);
	host_start(world, 0);
	manifest = (struct tw_manifest_object *)tw_shelf_next(&world->hosts[0].engine->manifests,
							      &caller, &(size_t){ 0 });
	assert_null(manifest->listing);
	assert_null(tw_manifest_listing(manifest, reason));
	assert_true(manifest->loading);
	UNTIL(world, has_status(world, 0, id, "complete"));
	assert_int_equal(tw_engine_transfer(world->hosts[0].engine, &caller, id)->files_complete,
			 NAMES);
}

#define CROWD 10000
#define CROWD_DESTINATIONS 50
#define CROWD_GONE 9000

static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* Nobody answers at any of them. */
static void crowd_make(struct world *world, const struct tw_caller *caller)
{
	const char *destinations[CROWD_DESTINATIONS];
	struct tw_destination_options where;
	struct tw_transfer_options options;
	char key[TW_KEY_TEXT];

	tw_public_key_format(&world->hosts[1].identity.public_key, key);
	for (unsigned i = 0; i < CROWD_DESTINATIONS; i++) {
		tw_destination_options_init(&where);
		where.address = "127.0.0.1";
		where.port = (uint16_t)(1 + i);
		where.public_key = key;
		assert_int_equal(tw_engine_create_destination(world->hosts[0].engine, caller,
							      &where, &destinations[i],
							      &world->fault),
				 TW_FAULT_NONE);
	}
	tw_transfer_options_init(&options);
	options.manifest_id = manifest_make(world, 0, caller, "file");
	for (unsigned i = 0; i < CROWD; i++) {
		options.destination_id = destinations[i % CROWD_DESTINATIONS];
		options.destination_path = "some/folder/of/the/other/side";
		options.priority = 100 + (int64_t)(i % 7);
		transfer_make(world, 0, caller, &options);
	}
	assert_int_equal(tw_engine_commit(world->hosts[0].engine), 0);
}

/* Others go and come while somebody walks over them: who stays is seen once, in order. */
static void walks_in_parts(struct world *world, const struct tw_caller *caller)
{
	struct tw_engine *engine = world->hosts[0].engine;
	struct tw_transfer_walk walk = { .skip = 5 }, other = { .filter.status = "pending" };
	char gone[CROWD_GONE][TW_OBJECT_ID], destination[TW_OBJECT_ID], manifest[TW_OBJECT_ID];
	struct tw_transfer_options options;
	const struct tw_transfer_view *view;
	size_t seen = 0, waiting = 0;
	int64_t last = 0;

	while (tw_engine_transfer_walk(engine, caller, &other))
		waiting++;
	assert_int_equal(waiting, CROWD - CROWD_DESTINATIONS);
	for (; seen < CROWD_GONE; seen++) {
		view = tw_engine_transfer_walk(engine, caller, &walk);
		assert_non_null(view);
		assert_true(view->request_time >= last);
		last = view->request_time;
		snprintf(gone[seen], TW_OBJECT_ID, "%s", view->transfer_id);
		snprintf(destination, TW_OBJECT_ID, "%s", view->destination_id);
		snprintf(manifest, TW_OBJECT_ID, "%s", view->manifest_id);
	}
	for (size_t i = 0; i < CROWD_GONE; i++)
		assert_int_equal(tw_engine_transfer_act(engine, caller, gone[i],
							TW_TRANSFER_DELETE_FORCE, NULL,
							&world->fault),
				 TW_FAULT_NONE);
	/* So many new ones that the table is made tighter. */
	tw_transfer_options_init(&options);
	options.manifest_id = manifest;
	options.destination_id = destination;
	for (unsigned i = 0; i < CROWD; i++)
		transfer_make(world, 0, caller, &options);
	while ((view = tw_engine_transfer_walk(engine, caller, &walk))) {
		assert_true(view->request_time >= last);
		last = view->request_time;
		seen++;
	}
	assert_int_equal(seen, CROWD - 5 + CROWD);
}

static void carries_a_crowd(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice();
	struct tw_engine_figures figures;
	size_t before, cursor = 0, seen = 0;
	tw_ns started;

	host_start(world, 0);
	file_make(&world->hosts[0], "file", 1000, 1);
	before = heap_bytes();
	crowd_make(world, &caller);
	assert_true((heap_bytes() - before) / CROWD < 65536);
	print_message("%zu bytes of memory a job\n", (heap_bytes() - before) / CROWD);
	UNTIL(world, (tw_engine_figures(world->hosts[0].engine, &figures),
		      figures.transfers_active == CROWD_DESTINATIONS));
	assert_int_equal(figures.transfers_pending, CROWD - CROWD_DESTINATIONS);
	assert_int_equal(tw_engine_commit(world->hosts[0].engine), 0);
	host_kill(world, 0);
	started = tw_clock_now();
	host_start(world, 0);
	print_message("%.3f s to start again\n", (double)(tw_clock_now() - started) / 1e9);
	UNTIL(world, (tw_engine_figures(world->hosts[0].engine, &figures),
		      figures.transfers_active == CROWD_DESTINATIONS));
	print_message("%.3f s until they run again\n", (double)(tw_clock_now() - started) / 1e9);
	while (tw_engine_transfer_next(world->hosts[0].engine, &caller, NULL, &cursor))
		seen++;
	assert_int_equal(seen, CROWD);
	walks_in_parts(world, &caller);
}

static int no_file(void *context, const struct tw_manifest_file_view *file)
{
	(void)context;
	(void)file;
	return 0;
}

static unsigned listings_in_memory(const struct world *world)
{
	const struct tw_shelf *shelf = &world->hosts[0].engine->manifests;
	unsigned count = 0;

	for (size_t i = 0; i < shelf->used; i++)
		count += shelf->items[i] &&
			 ((const struct tw_manifest_object *)shelf->items[i])->listing != NULL;
	return count;
}

/* Whoever looks at all manifests, one after the other, has few of them in memory. */
static void listings_that_are_looked_at(void **state)
{
	struct world *world = *state;
	struct tw_caller caller = alice();
	char ids[3 * TW_LOOKED_AT_MAX][TW_OBJECT_ID], name[16];
	struct tw_manifest_slice slice = { .limit = 10, .each = no_file };

	host_start(world, 0);
	for (unsigned i = 0; i < 3 * TW_LOOKED_AT_MAX; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		file_make(&world->hosts[0], name, 10, i);
		snprintf(ids[i], TW_OBJECT_ID, "%s", manifest_make(world, 0, &caller, name));
	}
	tw_engine_commit(world->hosts[0].engine);
	host_kill(world, 0);
	host_start(world, 0);
	assert_int_equal(listings_in_memory(world), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 3 * TW_LOOKED_AT_MAX; i++) {
			slice.id = ids[i];
			assert_int_equal(tw_engine_manifest_files(world->hosts[0].engine, &caller,
								  &slice, &world->fault),
					 TW_FAULT_NONE);
			assert_in_range(listings_in_memory(world), 1, TW_LOOKED_AT_MAX);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(goes_on_where_it_was, world_make, world_free),
		cmocka_unit_test_setup_teardown(loses_no_answered_job, world_make, world_free),
		cmocka_unit_test_setup_teardown(remembers_settings, world_make, world_free),
		cmocka_unit_test_setup_teardown(forgets_what_it_shall_not_keep, world_make,
						world_free),
		cmocka_unit_test_setup_teardown(reads_a_long_manifest, world_make, world_free),
		cmocka_unit_test_setup_teardown(listings_that_are_looked_at, world_make,
						world_free),
		cmocka_unit_test_setup_teardown(carries_a_crowd, world_make, world_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
