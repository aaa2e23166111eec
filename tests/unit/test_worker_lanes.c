/*
 * Two crews of workers over loopback, and one transfer between them with lanes: it arrives whole
 * whatever becomes of them, its limit is that of all together, and whoever is asked to stop does.
 */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netio/clock.h"
#include "netio/crew.h"
#include "netio/sockaddr.h"
#include "netio/worker.h"

#include "../support/two_folders.h"

#define WORKERS 4
#define LANES 3
#define SIZE ((size_t)8 << 20)
#define SLOW 40000000 /* bit/s: with it a transfer has a middle */
#define LIMIT (60 * TW_SECOND)

/* Workers that belong together. */
struct side {
	struct tw_identity key;
	struct tw_crew *crew; /* NULL: not there */
	struct tw_worker *workers[WORKERS];
};

struct scene {
	struct two_folders folders;
	struct side sender, receiver;
	struct tw_address address;
	uint64_t max_bps;
	uint32_t lanes;
	uint32_t send_bytes; /* of the sockets; 0: the system's */
};

static uint8_t content[SIZE];

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof *scene);
	struct tw_random random = tw_system_random();

	assert_non_null(scene);
	two_folders_make(&scene->folders, content, sizeof content);
	assert_int_equal(tw_identity_generate(&random, &scene->sender.key), 0);
	assert_int_equal(tw_identity_generate(&random, &scene->receiver.key), 0);
	assert_true(tw_address_parse_ip("127.0.0.1", &scene->address));
	scene->max_bps = UINT64_MAX;
	scene->lanes = LANES;
	*state = scene;
	return 0;
}

/* Without a word to anybody. */
static void end_side(struct side *side)
{
	for (unsigned i = 0; i < WORKERS; i++)
		if (side->workers[i])
			tw_worker_free(side->workers[i]);
	tw_crew_free(side->crew);
	side->crew = NULL;
	memset(side->workers, 0, sizeof side->workers);
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	end_side(&scene->sender);
	end_side(&scene->receiver);
	two_folders_remove(&scene->folders);
	free(scene);
	return 0;
}

static void start_side(struct side *side, const struct tw_worker_options *options)
{
	struct tw_worker_options own = *options;
	struct tw_worker_receiving receiving;
	struct tw_address failed;

	own.identity = &side->key;
	own.publish_every = 20 * TW_MSEC;
	assert_int_equal(tw_crew_new(WORKERS, &side->crew), 0);
	own.crew = side->crew;
	if (options->receiving) {
		receiving = *options->receiving;
		own.receiving = &receiving;
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		if (i && own.receiving)
			receiving.binds[0] = tw_worker_socket(side->workers[0], 0)->local;
		own.place = i;
		assert_int_equal(tw_worker_new(&own, &side->workers[i], &failed), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(tw_worker_start(side->workers[i]), 0);
}

static void start_receiver(struct scene *scene)
{
	struct tw_worker_receiving receiving = { .bind_count = 1,
						 .binds = { scene->address },
						 .fs = &scene->folders.to,
						 .cipher_min = TW_CIPHER_128 };
	struct tw_worker_options options = { .receiving = &receiving };

	start_side(&scene->receiver, &options);
	scene->address = tw_worker_socket(scene->receiver.workers[0], 0)->local;
}

static struct tw_source *source_of(const struct scene *scene)
{
	struct tw_source_mapping mapping = { "file", "file" };
	struct tw_source_options options = { .mappings = &mapping,
					     .mapping_count = 1,
					     .read_content = true };
	struct tw_source *source;

	assert_int_equal(tw_source_new(&scene->folders.from, &options, &source), 0);
	return source;
}

static struct tw_worker_destination destination_of(const struct scene *scene)
{
	return (struct tw_worker_destination){
		.id = 1,
		.remotes = { scene->address },
		.remote_count = 1,
		.peer_key = scene->receiver.key.public_key,
		.cipher = TW_CIPHER_128,
		.method = TW_RATE_DEFAULT,
		.limits.max_bps = scene->max_bps,
		.patient = true,
		.lanes = scene->lanes,
		.socket_send_bytes = scene->send_bytes,
	};
}

static void start_sender(struct scene *scene)
{
	struct tw_worker_options options = { 0 };
	struct tw_worker_destination destination = destination_of(scene);
	struct tw_worker_transfer transfer = {
		.id = 1,
		.destination = 1,
		.max_bps = UINT64_MAX,
		.sender = { .destination = "",
			    .overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
			    .flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE },
	};
	struct tw_worker *first;

	start_side(&scene->sender, &options);
	first = scene->sender.workers[0];
	transfer.sender.source = source_of(scene);
	assert_int_equal(tw_worker_add_destination(first, &destination), 0);
	assert_int_equal(tw_worker_add_transfer(first, &transfer), 0);
}

static void change_destination(struct scene *scene)
{
	struct tw_worker_destination destination = destination_of(scene);

	assert_int_equal(tw_worker_change_destination(scene->sender.workers[0], &destination), 0);
}

/* The file goes faster from here on. */
static void let_go(struct scene *scene)
{
	scene->max_bps = UINT64_MAX;
	change_destination(scene);
}

static void pause_shortly(void)
{
	struct timespec span = { .tv_nsec = 5000000 };

	nanosleep(&span, NULL);
}

/* Until the transfer has left: its figures then. */
static struct tw_worker_transfer_status wait_for_end(struct scene *scene)
{
	struct tw_worker *worker = scene->sender.workers[0];
	tw_ns until = tw_clock_now() + LIMIT;
	struct tw_worker_event event;

	for (;;) {
		while (tw_worker_event(worker, &event))
			if (event.type == TW_WORKER_ENDED)
				return event.sending;
		assert_true(tw_clock_now() < until);
		pause_shortly();
	}
}

/* Each worker's newest snapshot; waits for the first. */
static const struct tw_worker_snapshot *look(struct tw_worker *worker)
{
	const struct tw_worker_snapshot *snapshot;

	while (!(snapshot = tw_worker_snapshot(worker)))
		pause_shortly();
	return snapshot;
}

/* Until so many lanes carry something, at both ends. */
static void wait_for_lanes(struct scene *scene)
{
	tw_ns until = tw_clock_now() + LIMIT;
	unsigned busy;

	do {
		busy = 0;
		for (unsigned i = 0; i < WORKERS; i++) {
			const struct tw_worker_snapshot *to = look(scene->receiver.workers[i]);

			busy += i && look(scene->sender.workers[i])->udp.bytes_sent > 100000;
			busy += to->lanes == 1 && to->udp.bytes_received > 100000;
		}
		assert_true(tw_clock_now() < until);
		pause_shortly();
	} while (busy < 2 * LANES);
}

static void stop_side(struct side *side)
{
	tw_ns until = tw_clock_now() + LIMIT;

	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(tw_worker_stop(side->workers[i]), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		while (!look(side->workers[i])->stopped) {
			assert_true(tw_clock_now() < until);
			pause_shortly();
		}
	}
	end_side(side);
}

static void check_file(const struct scene *scene)
{
	static uint8_t copy[SIZE + 1];
	int fd = open(two_folders_path(&scene->folders, "to/file"), O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, copy, sizeof copy), SIZE);
	close(fd);
	assert_memory_equal(copy, content, SIZE);
}

static void finish(struct scene *scene)
{
	let_go(scene);
	assert_int_equal(wait_for_end(scene).sender.error, TW_TRANSFER_OK);
	check_file(scene);
}

/* The home shows what all have sent. */
static void all_carry_a_part(void **state)
{
	struct scene *scene = *state;
	const struct tw_worker_snapshot *home;
	uint64_t sent = 0;
	int64_t lanes = 0;

	scene->max_bps = SLOW;
	start_receiver(scene);
	start_sender(scene);
	wait_for_lanes(scene);
	assert_int_equal(look(scene->sender.workers[0])->destinations[0].lanes, LANES);
	finish(scene);
	stop_side(&scene->receiver);
	/* Lanes tell of themselves ten times a second, and at their end. */
	tw_worker_stop(scene->sender.workers[0]);
	while (!look(scene->sender.workers[0])->stopped)
		pause_shortly();
	home = look(scene->sender.workers[0]);
	for (unsigned i = 1; i < WORKERS; i++) {
		tw_worker_stop(scene->sender.workers[i]);
		while (!look(scene->sender.workers[i])->stopped)
			pause_shortly();
		sent += look(scene->sender.workers[i])->udp.bytes_sent;
		lanes += look(scene->sender.workers[i])->lanes_sent;
		assert_int_equal(look(scene->sender.workers[i])->lanes, 0);
	}
	assert_true(lanes < 0 && (uint64_t)-lanes <= sent);
	assert_true(home->lanes_sent > 0 && (uint64_t)home->lanes_sent <= sent);
	assert_true((uint64_t)home->lanes_sent > sent / 2);
	assert_true(home->destinations[0].bytes_sent >=
		    home->udp.bytes_sent + (uint64_t)home->lanes_sent);
}

static void none_where_none_may_be(void **state)
{
	struct scene *scene = *state;

	scene->lanes = 0;
	start_receiver(scene);
	start_sender(scene);
	finish(scene);
	for (unsigned i = 1; i < WORKERS; i++)
		assert_int_equal(look(scene->sender.workers[i])->udp.bytes_sent, 0);
}

/* What all workers of the sender have sent, and when. */
static uint64_t sum_sent(struct scene *scene, tw_ns *ret_first, tw_ns *ret_last)
{
	uint64_t sum = 0;

	*ret_first = TW_NEVER;
	*ret_last = 0;
	for (unsigned i = 0; i < WORKERS; i++) {
		const struct tw_worker_snapshot *snapshot = look(scene->sender.workers[i]);

		sum += snapshot->udp.bytes_sent;
		*ret_first = tw_ns_min(*ret_first, snapshot->at);
		*ret_last = tw_ns_max(*ret_last, snapshot->at);
	}
	return sum;
}

/* Over half a second no more than @bps, and what may leave at once. */
static void check_rate(struct scene *scene, uint64_t bps)
{
	tw_ns first, last, first_then, last_then;
	uint64_t before = sum_sent(scene, &first, &last), sent;

	do {
		pause_shortly();
		sent = sum_sent(scene, &first_then, &last_then) - before;
	} while (first_then < last + TW_SECOND / 2);
	assert_true((double)sent * 8 <=
		    (double)bps * (double)(last_then - first) / (double)TW_SECOND * 1.05 +
			    8.0 * WORKERS * 65536);
}

static void a_limit_is_for_all_of_them(void **state)
{
	struct scene *scene = *state;

	scene->max_bps = SLOW / 2;
	start_receiver(scene);
	start_sender(scene);
	wait_for_lanes(scene);
	check_rate(scene, SLOW / 2);
	finish(scene);
}

static void a_receivers_limit_too(void **state)
{
	struct scene *scene = *state;
	tw_ns until = tw_clock_now() + LIMIT;

	scene->max_bps = SLOW;
	start_receiver(scene);
	start_sender(scene);
	wait_for_lanes(scene);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(
			tw_worker_set_limits(scene->receiver.workers[i], UINT64_MAX, SLOW / 4), 0);
	/* Until it has been told: all three are at most at a part of it. */
	while (look(scene->sender.workers[0])->destinations[0].conn.limits.max_bps >
	       SLOW / 4 / WORKERS) {
		assert_true(tw_clock_now() < until);
		pause_shortly();
	}
	/* Letters to lanes. */
	for (unsigned i = 0; i < 4; i++)
		pause_shortly();
	check_rate(scene, SLOW / 4);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(tw_worker_set_limits(scene->receiver.workers[i], UINT64_MAX,
						      UINT64_MAX),
				 0);
	finish(scene);
}

static void the_sender_stops_and_goes_on(void **state)
{
	struct scene *scene = *state;

	scene->max_bps = SLOW;
	start_receiver(scene);
	start_sender(scene);
	wait_for_lanes(scene);
	stop_side(&scene->sender);
	scene->max_bps = UINT64_MAX;
	start_sender(scene);
	finish(scene);
}

static void the_receiver_stops_and_comes_back(void **state)
{
	struct scene *scene = *state;

	scene->max_bps = SLOW;
	start_receiver(scene);
	start_sender(scene);
	wait_for_lanes(scene);
	stop_side(&scene->receiver);
	start_receiver(scene);
	finish(scene);
}

/* The main connection dies, and its lanes with it. */
static void the_receiver_vanishes_and_comes_back(void **state)
{
	struct scene *scene = *state;

	scene->max_bps = SLOW;
	start_receiver(scene);
	start_sender(scene);
	wait_for_lanes(scene);
	end_side(&scene->receiver);
	start_receiver(scene);
	finish(scene);
}

/* Another main connection may be there before the lanes of the one before are over: that these end
 * is no failure of its own, and it gets as many. */
static void the_main_connection_is_made_anew(void **state)
{
	struct scene *scene = *state;
	tw_ns until;
	uint64_t before, sent[WORKERS];

	scene->max_bps = SLOW / 8;
	start_receiver(scene);
	start_sender(scene);
	wait_for_lanes(scene);
	before = look(scene->sender.workers[0])->destinations[0].conn.id;
	scene->send_bytes = 1 << 20;
	change_destination(scene);
	until = tw_clock_now() + LIMIT;
	while (look(scene->sender.workers[0])->destinations[0].conn.id == before) {
		assert_true(tw_clock_now() < until);
		pause_shortly();
	}
	/* More than the old ones had in hand. */
	for (unsigned i = 1; i < WORKERS; i++)
		sent[i] = look(scene->sender.workers[i])->udp.bytes_sent + 100000;
	for (unsigned i = 1; i < WORKERS; i++) {
		while (look(scene->sender.workers[i])->udp.bytes_sent < sent[i]) {
			assert_true(tw_clock_now() < until);
			pause_shortly();
		}
	}
	finish(scene);
}

static void stop_one(struct tw_worker *worker)
{
	tw_ns until = tw_clock_now() + LIMIT;

	assert_int_equal(tw_worker_stop(worker), 0);
	while (!look(worker)->stopped) {
		assert_true(tw_clock_now() < until);
		pause_shortly();
	}
}

/* A lane's worker at either end: what it had is sent by others. */
static void lanes_end_in_the_middle(void **state)
{
	struct scene *scene = *state;
	unsigned home = WORKERS;

	scene->max_bps = SLOW;
	start_receiver(scene);
	start_sender(scene);
	wait_for_lanes(scene);
	stop_one(scene->sender.workers[2]);
	for (unsigned i = 0; i < WORKERS; i++)
		if (look(scene->receiver.workers[i])->conn_count)
			home = i;
	assert_true(home < WORKERS);
	stop_one(scene->receiver.workers[(home + 1) % WORKERS]);
	finish(scene);
}

/* Everybody goes at once, in the middle, in whatever order. */
static void all_are_freed_in_the_middle(void **state)
{
	struct scene *scene = *state;

	scene->max_bps = SLOW;
	start_receiver(scene);
	start_sender(scene);
	wait_for_lanes(scene);
	for (unsigned i = WORKERS; i-- > 0;) {
		tw_worker_free(scene->receiver.workers[i]);
		scene->receiver.workers[i] = NULL;
		tw_worker_free(scene->sender.workers[WORKERS - 1 - i]);
		scene->sender.workers[WORKERS - 1 - i] = NULL;
	}
}

static void a_destination_is_removed(void **state)
{
	struct scene *scene = *state;

	scene->max_bps = SLOW;
	start_receiver(scene);
	start_sender(scene);
	wait_for_lanes(scene);
	assert_int_equal(tw_worker_remove_destination(scene->sender.workers[0], 1), 0);
	assert_int_equal(wait_for_end(scene).sender.error, TW_TRANSFER_CANCELLED);
	stop_side(&scene->sender);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(all_carry_a_part),
		CASE(none_where_none_may_be),
		CASE(a_limit_is_for_all_of_them),
		CASE(a_receivers_limit_too),
		CASE(the_sender_stops_and_goes_on),
		CASE(the_receiver_stops_and_comes_back),
		CASE(the_receiver_vanishes_and_comes_back),
		CASE(the_main_connection_is_made_anew),
		CASE(lanes_end_in_the_middle),
		CASE(all_are_freed_in_the_middle),
		CASE(a_destination_is_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
