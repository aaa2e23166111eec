#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "netio/clock.h"
#include "netio/sockaddr.h"
#include "netio/worker.h"

#define SIZE ((size_t)6 << 20)

/* Two workers in one program, over loopback, from one folder of a temporary place to another. */
struct scene {
	char place[64];
	struct tw_identity sender_key, receiver_key;
	struct tw_fs source_fs, sink_fs;
	struct tw_worker *sender, *receiver;
	struct tw_address address;
};

static uint8_t content[SIZE];

static const char *in_place(const struct scene *scene, const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", scene->place, name);
	return path;
}

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof *scene);
	struct tw_random random = tw_system_random();
	int fd;

	assert_non_null(scene);
	snprintf(scene->place, sizeof scene->place, "/tmp/tw-worker-XXXXXX");
	assert_non_null(mkdtemp(scene->place));
	assert_int_equal(mkdir(in_place(scene, "from"), 0755), 0);
	assert_int_equal(mkdir(in_place(scene, "to"), 0755), 0);
	tw_random_fill(&random, content, sizeof content);
	fd = open(in_place(scene, "from/file"), O_CREAT | O_WRONLY, 0644);
	assert_int_equal(write(fd, content, sizeof content), sizeof content);
	close(fd);
	assert_int_equal(tw_identity_generate(&random, &scene->sender_key), 0);
	assert_int_equal(tw_identity_generate(&random, &scene->receiver_key), 0);
	assert_int_equal(tw_fs_posix_open(in_place(scene, "from"), false, &scene->source_fs), 0);
	assert_int_equal(tw_fs_posix_open(in_place(scene, "to"), true, &scene->sink_fs), 0);
	assert_true(tw_address_parse_ip("127.0.0.1", &scene->address));
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;
	char command[128];

	if (scene->sender)
		tw_worker_free(scene->sender);
	if (scene->receiver)
		tw_worker_free(scene->receiver);
	tw_fs_posix_close(&scene->source_fs);
	tw_fs_posix_close(&scene->sink_fs);
	snprintf(command, sizeof command, "rm -r %s", scene->place);
	free(scene);
	return system(command);
}

static void start_receiver(struct scene *scene)
{
	struct tw_worker_receiving receiving = {
		.binds = { scene->address },
		.bind_count = 1,
		.fs = &scene->sink_fs,
		.cipher_min = TW_CIPHER_128,
		.file_events = true,
	};
	struct tw_worker_options options = { .identity = &scene->receiver_key,
					     .receiving = &receiving };
	struct tw_address failed;

	assert_int_equal(tw_worker_new(&options, &scene->receiver, &failed), 0);
	scene->address = tw_worker_socket(scene->receiver, 0)->local;
	assert_int_equal(tw_worker_start(scene->receiver), 0);
}

static void start_sender(struct scene *scene, const struct tw_rate_limits *limits)
{
	struct tw_source_mapping mapping = { "file", "file" };
	struct tw_source_options source = { .mappings = &mapping,
					    .mapping_count = 1,
					    .read_content = true };
	struct tw_worker_sending sending = {
		.sender = { .destination = "below",
			    .overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
			    .flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE },
		.dialer = { .remotes = { scene->address },
			    .remote_count = 1,
			    .connect = { .peer_key = scene->receiver_key.public_key,
					 .cipher = TW_CIPHER_128,
					 .config = { .method = TW_RATE_BBR, .limits = *limits } },
			    .first_timeout = 3 * TW_SECOND,
			    .give_up = TW_NEVER },
	};
	struct tw_worker_options options = { .identity = &scene->sender_key,
					     .sending = &sending,
					     .publish_every = 50 * TW_MSEC };
	struct tw_address failed;

	assert_int_equal(tw_source_new(&scene->source_fs, &source, &sending.sender.source), 0);
	assert_int_equal(tw_worker_new(&options, &scene->sender, &failed), 0);
	assert_int_equal(tw_worker_start(scene->sender), 0);
}

/* The next news of @worker; fails after @until. */
static const struct tw_worker_snapshot *wait_for_news(struct tw_worker *worker, tw_ns until)
{
	struct pollfd fd = { .fd = tw_worker_fd(worker), .events = POLLIN };
	tw_ns now = tw_clock_now();

	assert_true(now < until);
	poll(&fd, 1, (int)((until - now) / TW_MSEC) + 1);
	return tw_worker_snapshot(worker);
}

static const struct tw_worker_snapshot *wait_for_end(struct tw_worker *worker)
{
	const struct tw_worker_snapshot *snapshot;
	tw_ns until = tw_clock_now() + 20 * TW_SECOND;

	do
		snapshot = wait_for_news(worker, until);
	while (!snapshot || !snapshot->stopped);
	return snapshot;
}

static bool arrived_whole(const struct scene *scene)
{
	static uint8_t copy[SIZE + 1];
	int fd = open(in_place(scene, "to/below/file"), O_RDONLY);
	ssize_t length = fd < 0 ? 0 : read(fd, copy, sizeof copy);

	if (fd >= 0)
		close(fd);
	return length == (ssize_t)SIZE && memcmp(copy, content, SIZE) == 0;
}

static const struct tw_rate_limits no_limits = { .max_bps = UINT64_MAX };

static void test_transfer(void **state)
{
	struct scene *scene = *state;
	const struct tw_worker_snapshot *snapshot;
	struct tw_worker_event event;
	unsigned started = 0, files = 0, finished = 0;

	start_receiver(scene);
	start_sender(scene, &no_limits);
	snapshot = wait_for_end(scene->sender);
	assert_true(snapshot->sender.finished);
	assert_int_equal(snapshot->sender.error, TW_TRANSFER_OK);
	assert_int_equal(snapshot->sender.bytes_acked, SIZE);
	assert_int_equal(snapshot->sender.files_done, 1);
	assert_true(snapshot->udp.bytes_sent > SIZE);
	assert_true(snapshot->conn.rtt_smoothed > 0);
	assert_int_equal(snapshot->local.family, TW_FAMILY_IPV4);
	assert_true(snapshot->send_granted > 0 && snapshot->receive_granted > 0);
	assert_true(arrived_whole(scene));

	assert_int_equal(tw_worker_stop(scene->receiver), 0);
	snapshot = wait_for_end(scene->receiver);
	while (tw_worker_event(scene->receiver, &event)) {
		started += event.type == TW_WORKER_STARTED;
		files += event.type == TW_WORKER_FILE_DONE;
		if (event.type != TW_WORKER_FINISHED)
			continue;
		finished++;
		assert_int_equal(event.error, TW_TRANSFER_OK);
		assert_int_equal(event.transfer.bytes_received, SIZE);
		assert_int_equal(event.transfer.files_done, 1);
	}
	assert_int_equal(started, 1);
	assert_int_equal(files, 1);
	assert_int_equal(finished, 1);
	/* What jobs held is free again; the worker keeps what it receives into. */
	assert_true(snapshot->buffers_used <= TW_UDP_BATCH);
}

/* A transfer held to a crawl, then let go: the change works at once. */
static void test_live_rate(void **state)
{
	struct tw_rate_limits slow = { .max_bps = 4000000 };
	struct scene *scene = *state;
	const struct tw_worker_snapshot *snapshot;
	tw_ns begun = tw_clock_now();

	start_receiver(scene);
	start_sender(scene, &slow);
	do
		snapshot = wait_for_news(scene->sender, begun + 5 * TW_SECOND);
	while (tw_clock_now() < begun + TW_SECOND);
	assert_non_null(snapshot);
	assert_true(snapshot->sender.bytes_acked > 100000);
	assert_true(snapshot->sender.bytes_acked < 1000000);
	assert_int_equal(tw_worker_set_rate(scene->sender, TW_RATE_BBR, &no_limits), 0);
	snapshot = wait_for_end(scene->sender);
	assert_true(snapshot->sender.finished);
	assert_true(arrived_whole(scene));
	/* 12 s at the slow rate. */
	assert_true(tw_clock_now() < begun + 6 * TW_SECOND);
}

static void test_cancel(void **state)
{
	struct tw_rate_limits slow = { .max_bps = 4000000 };
	struct scene *scene = *state;
	const struct tw_worker_snapshot *snapshot;
	tw_ns begun = tw_clock_now();

	start_receiver(scene);
	start_sender(scene, &slow);
	do
		snapshot = wait_for_news(scene->sender, begun + 5 * TW_SECOND);
	while (!snapshot || snapshot->sender.bytes_acked == 0);
	assert_int_equal(tw_worker_cancel(scene->sender), 0);
	snapshot = wait_for_end(scene->sender);
	assert_true(snapshot->sender.finished);
	assert_int_equal(snapshot->sender.error, TW_TRANSFER_CANCELLED);
	assert_false(arrived_whole(scene));
}

/* Nobody listens: known at once, from the network's refusal. */
static void test_refused(void **state)
{
	struct scene *scene = *state;
	const struct tw_worker_snapshot *snapshot;
	tw_ns begun = tw_clock_now();

	start_receiver(scene);
	tw_worker_free(scene->receiver);
	scene->receiver = NULL;
	start_sender(scene, &no_limits);
	snapshot = wait_for_end(scene->sender);
	assert_true(snapshot->failed);
	assert_int_equal(snapshot->failure, TW_CONN_UNREACHABLE);
	assert_true(tw_clock_now() < begun + 2 * TW_SECOND);
}

/* Freed while everything is under way: nothing hangs, nothing leaks. */
static void test_free_in_the_middle(void **state)
{
	struct scene *scene = *state;
	tw_ns begun = tw_clock_now();
	const struct tw_worker_snapshot *snapshot;
	struct tw_rate_limits some = { .max_bps = 40000000 };

	start_receiver(scene);
	start_sender(scene, &some);
	do
		snapshot = wait_for_news(scene->sender, begun + 5 * TW_SECOND);
	while (!snapshot || snapshot->sender.bytes_acked == 0);
	tw_worker_free(scene->receiver);
	scene->receiver = NULL;
	tw_worker_free(scene->sender);
	scene->sender = NULL;
	assert_true(tw_clock_now() < begun + 5 * TW_SECOND);
}

static void test_port_in_use(void **state)
{
	struct scene *scene = *state;
	struct tw_worker_receiving receiving = { .bind_count = 1, .fs = &scene->sink_fs };
	struct tw_worker_options options = { .identity = &scene->receiver_key,
					     .receiving = &receiving };
	struct tw_address failed = { .family = TW_FAMILY_NONE };
	struct tw_worker *second;

	start_receiver(scene);
	receiving.binds[0] = scene->address;
	assert_int_equal(tw_worker_new(&options, &second, &failed), -EADDRINUSE);
	assert_true(tw_address_equal(&failed, &scene->address));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_transfer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_live_rate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_free_in_the_middle, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_port_in_use, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
