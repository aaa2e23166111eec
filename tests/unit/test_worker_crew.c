/*
 * Four workers that receive at one address over loopback, and senders with keys of their own: each
 * comes to one of them, and stays with it; and all arrives where the kernel steers nothing.
 */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netio/clock.h"
#include "netio/crew.h"
#include "netio/sockaddr.h"
#include "netio/worker.h"

#include "../support/two_folders.h"

#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

#define WORKERS 4
#define SENDERS 8
#define SIZE ((size_t)1 << 20)
#define LIMIT (60 * TW_SECOND)

struct scene {
	struct two_folders folders;
	struct tw_identity key, sender_keys[SENDERS];
	struct tw_crew *crew;
	struct tw_worker *workers[WORKERS], *senders[SENDERS];
	struct tw_address address;
};

static uint8_t content[SIZE];

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof *scene);
	struct tw_random random = tw_system_random();

	assert_non_null(scene);
	two_folders_make(&scene->folders, content, sizeof content);
	assert_int_equal(tw_identity_generate(&random, &scene->key), 0);
	for (unsigned i = 0; i < SENDERS; i++)
		assert_int_equal(tw_identity_generate(&random, &scene->sender_keys[i]), 0);
	assert_int_equal(tw_crew_new(WORKERS, &scene->crew), 0);
	assert_true(tw_address_parse_ip("127.0.0.1", &scene->address));
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	for (unsigned i = 0; i < SENDERS; i++)
		if (scene->senders[i])
			tw_worker_free(scene->senders[i]);
	for (unsigned i = 0; i < WORKERS; i++)
		if (scene->workers[i])
			tw_worker_free(scene->workers[i]);
	tw_crew_free(scene->crew);
	two_folders_remove(&scene->folders);
	free(scene);
	return 0;
}

static void start_workers(struct scene *scene, bool steered)
{
	struct tw_worker_receiving receiving = { .bind_count = 1,
						 .fs = &scene->folders.to,
						 .cipher_min = TW_CIPHER_128 };
	struct tw_worker_options options = { .identity = &scene->key,
					     .receiving = &receiving,
					     .publish_every = 50 * TW_MSEC,
					     .crew = scene->crew };
	struct tw_address failed;
	int nothing = 0;

	for (unsigned i = 0; i < WORKERS; i++) {
		options.place = i;
		receiving.binds[0] = scene->address;
		assert_int_equal(tw_worker_new(&options, &scene->workers[i], &failed), 0);
		scene->address = tw_worker_socket(scene->workers[0], 0)->local;
	}
	if (!steered)
		assert_int_equal(setsockopt(tw_worker_socket(scene->workers[0], 0)->fd, SOL_SOCKET,
					    SO_DETACH_REUSEPORT_BPF, &nothing, sizeof nothing),
				 0);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(tw_worker_start(scene->workers[i]), 0);
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

static void start_sender(struct scene *scene, unsigned index)
{
	struct tw_worker_options options = { .identity = &scene->sender_keys[index] };
	struct tw_worker_destination destination = {
		.id = 1,
		.remotes = { scene->address },
		.remote_count = 1,
		.peer_key = scene->key.public_key,
		.cipher = TW_CIPHER_128,
		.method = TW_RATE_DEFAULT,
		.limits.max_bps = UINT64_MAX,
		.first_timeout = LIMIT,
	};
	struct tw_worker_transfer transfer = {
		.id = 1,
		.destination = 1,
		.max_bps = UINT64_MAX,
		.sender = { .overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
			    .flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE },
	};
	struct tw_address failed;
	char below[16];

	snprintf(below, sizeof below, "%u", index);
	transfer.sender.destination = below;
	memcpy(transfer.sender.transfer_key, &index, sizeof index);
	transfer.sender.source = source_of(scene);
	assert_int_equal(tw_worker_new(&options, &scene->senders[index], &failed), 0);
	assert_int_equal(tw_worker_start(scene->senders[index]), 0);
	assert_int_equal(tw_worker_add_destination(scene->senders[index], &destination), 0);
	assert_int_equal(tw_worker_add_transfer(scene->senders[index], &transfer), 0);
}

static void wait_for_end(struct tw_worker *worker)
{
	struct pollfd fd = { .fd = tw_worker_fd(worker), .events = POLLIN };
	tw_ns until = tw_clock_now() + LIMIT;
	struct tw_worker_event event;

	for (;;) {
		while (tw_worker_event(worker, &event)) {
			if (event.type != TW_WORKER_ENDED)
				continue;
			assert_int_equal(event.sending.sender.error, TW_TRANSFER_OK);
			return;
		}
		assert_true(tw_clock_now() < until);
		poll(&fd, 1, 100);
		tw_worker_heard(worker);
	}
}

static void check_file(const struct scene *scene, unsigned index)
{
	static uint8_t copy[SIZE + 1];
	char name[32];
	int fd;

	snprintf(name, sizeof name, "to/%u/file", index);
	fd = open(two_folders_path(&scene->folders, name), O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, copy, sizeof copy), SIZE);
	close(fd);
	assert_memory_equal(copy, content, SIZE);
}

/* Each worker's newest snapshot that shows all the connections there must be. */
static void check_spread(struct scene *scene)
{
	tw_ns until = tw_clock_now() + LIMIT;
	unsigned seen[SENDERS], numbers = 0, conns;

	do {
		conns = 0;
		memset(seen, 0, sizeof seen);
		for (unsigned i = 0; i < WORKERS; i++) {
			const struct tw_worker_snapshot *snapshot =
				tw_worker_snapshot(scene->workers[i]);

			conns += snapshot ? (unsigned)snapshot->conn_count : 0;
		}
		assert_true(tw_clock_now() < until);
	} while (conns < SENDERS);
	for (unsigned i = 0; i < WORKERS; i++) {
		const struct tw_worker_snapshot *snapshot = tw_worker_snapshot(scene->workers[i]);

		/* By turns: nobody has more than his part. */
		assert_int_equal(snapshot->conn_count, SENDERS / WORKERS);
		for (size_t k = 0; k < snapshot->transfer_count; k++) {
			unsigned sender;

			/* Numbers tell them apart, whichever worker has them. */
			assert_int_equal(snapshot->transfers[k].id % WORKERS, (i + 1) % WORKERS);
			numbers++;
			memcpy(&sender, snapshot->transfers[k].key, sizeof sender);
			assert_true(sender < SENDERS && !seen[sender]++);
		}
	}
	assert_int_equal(numbers, SENDERS);
}

static void run(struct scene *scene, bool steered)
{
	start_workers(scene, steered);
	for (unsigned i = 0; i < SENDERS; i++)
		start_sender(scene, i);
	for (unsigned i = 0; i < SENDERS; i++) {
		wait_for_end(scene->senders[i]);
		check_file(scene, i);
	}
	check_spread(scene);
}

static void senders_spread(void **state)
{
	run(*state, true);
}

static void strays_are_handed_on(void **state)
{
	run(*state, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(senders_spread, set_up, tear_down),
		cmocka_unit_test_setup_teardown(strays_are_handed_on, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
