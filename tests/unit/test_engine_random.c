/*
 * Everything at once, at random: transfers made, suspended, resumed, cancelled, failed, deleted,
 * moved in the queue; both servers going away and coming back. Books must balance after every
 * step, and when the trouble is over all that was not ended must arrive.
 */
#include "engineworld.h"

#define STEPS 400
#define JOBS_MAX 30
#define DESTINATIONS 3

struct scene {
	struct world *world;
	struct tw_caller caller;
	struct tw_prng prng;
	char manifest[TW_OBJECT_ID], destinations[DESTINATIONS][TW_OBJECT_ID];
};

static struct tw_engine *sending(const struct scene *scene)
{
	return scene->world->hosts[0].engine;
}

static void make_places(struct scene *scene)
{
	struct tw_destination_options where;
	char key[TW_KEY_TEXT];
	const char *id;

	file_make(&scene->world->hosts[0], "file", 400000, 1);
	strcpy(scene->manifest, manifest_make(scene->world, 0, &scene->caller, "file"));
	tw_destination_options_init(&where);
	where.address = "127.0.0.1";
	where.port = scene->world->hosts[1].port;
	where.public_key = tw_public_key_format(&scene->world->hosts[1].identity.public_key, key);
	for (unsigned i = 0; i < DESTINATIONS; i++) {
		where.send_rate_max = 20000 + i;
		assert_int_equal(tw_engine_create_destination(sending(scene), &scene->caller,
							      &where, &id, &scene->world->fault),
				 TW_FAULT_NONE);
		strcpy(scene->destinations[i], id);
	}
}

static uint64_t below(struct scene *scene, uint64_t bound)
{
	return tw_prng_below(&scene->prng, bound);
}

static const char *any_transfer(struct scene *scene)
{
	static char id[TW_OBJECT_ID];
	const struct tw_transfer_view *view;
	size_t cursor = 0, at = 0, count = sending(scene)->transfers.count;
	size_t wanted = count ? (size_t)below(scene, count) : 0;

	while ((view = tw_engine_transfer_next(sending(scene), &scene->caller, NULL, &cursor)))
		if (at++ == wanted) {
			strcpy(id, view->transfer_id);
			return id;
		}
	return NULL;
}

static void make_one(struct scene *scene)
{
	struct tw_transfer_options options;
	char path[16];

	if (sending(scene)->transfers.count >= JOBS_MAX)
		return;
	tw_transfer_options_init(&options);
	snprintf(path, sizeof(path), "p%u", (unsigned)below(scene, 1000));
	options.manifest_id = scene->manifest;
	options.destination_id = scene->destinations[below(scene, DESTINATIONS)];
	options.destination_path = path;
	options.priority = (int64_t)below(scene, 4);
	transfer_make(scene->world, 0, &scene->caller, &options);
}

static void away_and_back(struct scene *scene, unsigned host)
{
	host_kill(scene->world, host);
	host_start(scene->world, host);
}

static void step(struct scene *scene)
{
	static const enum tw_transfer_action actions[] = {
		TW_TRANSFER_SUSPEND, TW_TRANSFER_RESUME, TW_TRANSFER_CANCEL,
		TW_TRANSFER_FAIL,    TW_TRANSFER_DELETE, TW_TRANSFER_DELETE_FORCE,
		TW_TRANSFER_SUSPEND, TW_TRANSFER_RESUME, TW_TRANSFER_RESUME,
	};
	const int64_t priority = (int64_t)below(scene, 4);
	const char *id = any_transfer(scene);
	uint64_t choice = below(scene, 100);

	if (choice < 40)
		make_one(scene);
	else if (choice < 70 && id)
		tw_engine_transfer_act(sending(scene), &scene->caller, id,
				       actions[below(scene, ARRAY_SIZE(actions))], "at random",
				       &scene->world->fault);
	else if (choice < 85 && id)
		tw_engine_update_transfer(sending(scene), &scene->caller, id, &priority, NULL,
					  &scene->world->fault);
	else if (choice < 87)
		away_and_back(scene, (unsigned)below(scene, HOSTS_MAX));
	for (uint64_t turns = below(scene, 6); turns; turns--)
		turn(scene->world);
}

/* Counters against what is there. */
static void audit(struct scene *scene)
{
	uint64_t states[TW_STATE_COUNT] = { 0 };
	struct tw_engine *engine = sending(scene);
	size_t count = 0;

	for (size_t i = 0; i < engine->transfers.used; i++) {
		const struct tw_transfer *transfer =
			(struct tw_transfer *)engine->transfers.items[i];

		if (!transfer)
			continue;
		count++;
		states[transfer->state]++;
		if (transfer->turn.place)
			assert_int_equal(transfer->state, TW_STATE_PENDING);
		if (transfer->state == TW_STATE_ACTIVE)
			assert_true(transfer->number && !transfer->ending);
		if (transfer->state == TW_STATE_PENDING)
			assert_true(transfer->turn.place || transfer->number ||
				    transfer->retry.place);
	}
	assert_int_equal(count, engine->transfers.count);
	for (int i = 0; i < TW_STATE_COUNT; i++)
		assert_int_equal(states[i], engine->states[i]);
	for (size_t i = 0; i < engine->destinations.used; i++) {
		const struct tw_destination *destination =
			(struct tw_destination *)engine->destinations.items[i];
		const struct tw_transfer *transfer;
		unsigned running = 0, leaving = 0;
		uint64_t pending = 0;

		TAILQ_FOREACH(transfer, &destination->running, running_link)
		{
			running++;
			leaving += transfer->ending != 0;
		}
		TAILQ_FOREACH(transfer, &destination->jobs, job_link)
		pending += transfer->state == TW_STATE_PENDING;
		assert_int_equal(running, destination->running_count);
		assert_int_equal(leaving, destination->leaving_count);
		assert_int_equal(pending, destination->pending_count);
		assert_true(running - leaving <= 1);
	}
}

static void settle(struct scene *scene)
{
	struct tw_engine *engine = sending(scene);
	struct tw_rate_change fast = { .send_rate = TW_UNSET,
				       .send_rate_min = TW_UNSET,
				       .send_rate_max = TW_RATE_MAX_KBPS };
	json_t *answer;

	for (unsigned i = 0; i < DESTINATIONS; i++) {
		fast.destination_id = scene->destinations[i];
		assert_int_equal(tw_engine_set_rate(engine, &scene->caller, &fast, &answer,
						    &scene->world->fault),
				 TW_FAULT_NONE);
		json_decref(answer);
	}
	for (size_t i = 0; i < engine->transfers.used; i++)
		if (engine->transfers.items[i])
			tw_engine_transfer_act(engine, &scene->caller,
					       engine->transfers.items[i]->id, TW_TRANSFER_RESUME,
					       NULL, &scene->world->fault);
	UNTIL(scene->world, !engine->states[TW_STATE_PENDING] && !engine->states[TW_STATE_ACTIVE] &&
				    !engine->states[TW_STATE_SUSPENDED]);
	audit(scene);
	assert_int_equal(engine->states[TW_STATE_ERROR], 0);
}

static void books_balance(void **state)
{
	for (uint64_t seed = 1; seed <= 2; seed++) {
		struct scene scene = { .caller = alice() };
		void *world = NULL;

		(void)state;
		print_message("seed %d\n", (int)seed);
		world_make(&world);
		scene.world = world;
		tw_prng_init(&scene.prng, seed);
		host_start(world, 0);
		host_start(world, 1);
		make_places(&scene);
		for (int i = 0; i < STEPS; i++) {
			step(&scene);
			audit(&scene);
		}
		settle(&scene);
		world_free(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(books_balance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
