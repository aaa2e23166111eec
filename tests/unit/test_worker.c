#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "netio/clock.h"
#include "netio/discover.h"
#include "netio/sockaddr.h"
#include "netio/worker.h"

#include "../support/two_folders.h"

#define SIZE ((size_t)6 << 20)

/* Two workers in one program, over loopback, from one folder of a temporary place to another. */
struct scene {
	struct two_folders folders;
	struct tw_identity sender_key, receiver_key;
	struct tw_worker *sender, *receiver;
	struct tw_address address;
};

static uint8_t content[SIZE];

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof *scene);
	struct tw_random random = tw_system_random();

	assert_non_null(scene);
	two_folders_make(&scene->folders, content, sizeof content);
	assert_int_equal(tw_identity_generate(&random, &scene->sender_key), 0);
	assert_int_equal(tw_identity_generate(&random, &scene->receiver_key), 0);
	assert_true(tw_address_parse_ip("127.0.0.1", &scene->address));
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	if (scene->sender)
		tw_worker_free(scene->sender);
	if (scene->receiver)
		tw_worker_free(scene->receiver);
	two_folders_remove(&scene->folders);
	free(scene);
	return 0;
}

static void start_receiver(struct scene *scene)
{
	struct tw_worker_receiving receiving = {
		.binds = { scene->address },
		.bind_count = 1,
		.fs = &scene->folders.to,
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

/* A worker that sends, with nothing to do yet. */
static void start_sender(struct scene *scene)
{
	struct tw_worker_options options = { .identity = &scene->sender_key,
					     .publish_every = 50 * TW_MSEC };
	struct tw_address failed;

	assert_int_equal(tw_worker_new(&options, &scene->sender, &failed), 0);
	assert_int_equal(tw_worker_start(scene->sender), 0);
}

static struct tw_worker_destination destination_of(const struct scene *scene, uint64_t id,
						   const struct tw_rate_limits *limits)
{
	return (struct tw_worker_destination){
		.id = id,
		.remotes = { scene->address },
		.remote_count = 1,
		.peer_key = scene->receiver_key.public_key,
		.cipher = TW_CIPHER_128,
		.method = TW_RATE_BBR,
		.limits = *limits,
		.first_timeout = 3 * TW_SECOND,
	};
}

static struct tw_source *source_of(const struct scene *scene, const char *name)
{
	struct tw_source_mapping mapping = { name, name };
	struct tw_source_options options = { .mappings = &mapping,
					     .mapping_count = 1,
					     .read_content = true };
	struct tw_source *source;

	assert_int_equal(tw_source_new(&scene->folders.from, &options, &source), 0);
	return source;
}

/* Sends "file" into the folder @below. */
static struct tw_worker_transfer transfer_of(const struct scene *scene, uint64_t id,
					     uint64_t destination, const char *below)
{
	struct tw_worker_transfer transfer = {
		.id = id,
		.destination = destination,
		.max_bps = UINT64_MAX,
		.sender = { .destination = below,
			    .overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
			    .flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE },
	};

	memcpy(transfer.sender.transfer_key, &id, sizeof id);
	transfer.sender.source = source_of(scene, "file");
	return transfer;
}

#define OUR_DESTINATION 11
#define OUR_TRANSFER 22

static void send_file(struct scene *scene, const struct tw_rate_limits *limits)
{
	struct tw_worker_destination destination = destination_of(scene, OUR_DESTINATION, limits);
	struct tw_worker_transfer transfer =
		transfer_of(scene, OUR_TRANSFER, OUR_DESTINATION, "below");

	start_sender(scene);
	assert_int_equal(tw_worker_add_destination(scene->sender, &destination), 0);
	assert_int_equal(tw_worker_add_transfer(scene->sender, &transfer), 0);
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
	/* It may have been taken already, together with an event. */
	const struct tw_worker_snapshot *snapshot = tw_worker_snapshot(worker);
	tw_ns until = tw_clock_now() + 20 * TW_SECOND;

	while (!snapshot || !snapshot->stopped)
		snapshot = wait_for_news(worker, until);
	return snapshot;
}

/* The end of a sending transfer. */
static struct tw_worker_transfer_status wait_for_ended(struct tw_worker *worker, uint64_t id,
						       tw_ns limit)
{
	tw_ns until = tw_clock_now() + limit;
	struct tw_worker_event event;

	for (;;) {
		while (tw_worker_event(worker, &event))
			if (event.type == TW_WORKER_ENDED && event.id == id)
				return event.sending;
		wait_for_news(worker, until);
	}
}

static const struct tw_worker_transfer_status *find_sending(
	const struct tw_worker_snapshot *snapshot, uint64_t id)
{
	for (size_t i = 0; snapshot && i < snapshot->sending_count; i++)
		if (snapshot->sending[i].id == id)
			return &snapshot->sending[i];
	return NULL;
}

static const struct tw_worker_destination_status *find_destination(
	const struct tw_worker_snapshot *snapshot, uint64_t id)
{
	for (size_t i = 0; snapshot && i < snapshot->destination_count; i++)
		if (snapshot->destinations[i].id == id)
			return &snapshot->destinations[i];
	return NULL;
}

/* Until our transfer has @bytes at the receiver. */
static const struct tw_worker_snapshot *wait_for_bytes(struct scene *scene, uint64_t bytes)
{
	const struct tw_worker_transfer_status *sending;
	const struct tw_worker_snapshot *snapshot;
	tw_ns until = tw_clock_now() + 10 * TW_SECOND;

	do {
		snapshot = wait_for_news(scene->sender, until);
		sending = find_sending(snapshot, OUR_TRANSFER);
	} while (!sending || sending->sender.bytes_acked < bytes);
	return snapshot;
}

static bool arrived_whole(const struct scene *scene)
{
	static uint8_t copy[SIZE + 1];
	int fd = open(two_folders_path(&scene->folders, "to/below/file"), O_RDONLY);
	ssize_t length = fd < 0 ? 0 : read(fd, copy, sizeof copy);

	if (fd >= 0)
		close(fd);
	return length == (ssize_t)SIZE && memcmp(copy, content, SIZE) == 0;
}

static const struct tw_rate_limits no_limits = { .max_bps = UINT64_MAX };

static void check_receiver_events(struct scene *scene)
{
	unsigned started = 0, files = 0, finished = 0;
	struct tw_worker_event event;

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
}

static void test_transfer(void **state)
{
	const struct tw_worker_destination_status *destination;
	struct tw_worker_transfer_status sent;
	struct scene *scene = *state;
	const struct tw_worker_snapshot *snapshot;

	start_receiver(scene);
	send_file(scene, &no_limits);
	sent = wait_for_ended(scene->sender, OUR_TRANSFER, 20 * TW_SECOND);
	assert_true(sent.sender.finished && !sent.paused && !sent.running);
	assert_int_equal(sent.destination, OUR_DESTINATION);
	assert_int_equal(sent.sender.error, TW_TRANSFER_OK);
	assert_int_equal(sent.sender.bytes_acked, SIZE);
	assert_int_equal(sent.sender.files_done, 1);
	assert_true(sent.block_bytes > 1000 && sent.block_bytes < 65536);
	assert_true(arrived_whole(scene));

	assert_int_equal(tw_worker_stop(scene->sender), 0);
	snapshot = wait_for_end(scene->sender);
	assert_int_equal(snapshot->sending_count, 0);
	destination = find_destination(snapshot, OUR_DESTINATION);
	assert_non_null(destination);
	assert_true(destination->bytes_sent > SIZE);
	assert_int_equal(destination->bytes_sent, snapshot->udp.bytes_sent);
	assert_int_equal(destination->bytes_received, snapshot->udp.bytes_received);
	/* Alone it accounts for all but the handshake before it and the CLOSE behind it. */
	assert_true(sent.packets_sent > SIZE / 65536 &&
		    sent.packets_sent <= destination->packets_sent);
	assert_true(sent.packets_sent + 20 > destination->packets_sent);
	assert_true(sent.packets_received > 0 && sent.bytes_received > 0);
	assert_true(destination->conn_known && destination->conn.rtt_smoothed > 0);
	assert_int_equal(destination->local.family, TW_FAMILY_IPV4);
	assert_true(tw_address_equal(&destination->remote, &scene->address));
	assert_true(destination->send_granted > 0 && destination->receive_granted > 0);
	assert_true(destination->last_sent_at > 0 && destination->last_received_at > 0);

	assert_int_equal(tw_worker_stop(scene->receiver), 0);
	snapshot = wait_for_end(scene->receiver);
	check_receiver_events(scene);
	/* What jobs held is free again; the worker keeps what it receives into. */
	assert_true(snapshot->buffers_used <= TW_UDP_BATCH);
}

/* A transfer held to a crawl, then let go: the change works at once. */
static void test_live_rate(void **state)
{
	struct tw_rate_limits slow = { .max_bps = 4000000 };
	struct tw_worker_destination destination;
	struct scene *scene = *state;
	const struct tw_worker_snapshot *snapshot;
	tw_ns begun = tw_clock_now();

	start_receiver(scene);
	send_file(scene, &slow);
	do
		snapshot = wait_for_news(scene->sender, begun + 5 * TW_SECOND);
	while (tw_clock_now() < begun + TW_SECOND);
	assert_non_null(find_sending(snapshot, OUR_TRANSFER));
	assert_in_range(find_sending(snapshot, OUR_TRANSFER)->sender.bytes_acked, 100000, 1000000);
	destination = destination_of(scene, OUR_DESTINATION, &no_limits);
	assert_int_equal(tw_worker_change_destination(scene->sender, &destination), 0);
	assert_int_equal(wait_for_ended(scene->sender, OUR_TRANSFER, 20 * TW_SECOND).sender.error,
			 TW_TRANSFER_OK);
	assert_true(arrived_whole(scene));
	/* 12 s at the slow rate. */
	assert_true(tw_clock_now() < begun + 6 * TW_SECOND);
}

static void test_cancel(void **state)
{
	struct tw_rate_limits slow = { .max_bps = 4000000 };
	struct tw_worker_transfer_status sent;
	struct scene *scene = *state;

	start_receiver(scene);
	send_file(scene, &slow);
	wait_for_bytes(scene, 1);
	assert_int_equal(tw_worker_end_transfer(scene->sender, OUR_TRANSFER, TW_WORKER_CANCEL), 0);
	sent = wait_for_ended(scene->sender, OUR_TRANSFER, 5 * TW_SECOND);
	assert_true(sent.sender.finished && !sent.paused);
	assert_int_equal(sent.sender.error, TW_TRANSFER_CANCELLED);
	assert_false(arrived_whole(scene));
}

/* Paused and sent again: what had arrived is not sent another time. */
static void test_pause(void **state)
{
	struct tw_rate_limits slow = { .max_bps = 8000000 };
	struct tw_worker_transfer_status first, second;
	struct tw_worker_destination destination;
	struct tw_worker_transfer transfer;
	struct scene *scene = *state;

	start_receiver(scene);
	send_file(scene, &slow);
	wait_for_bytes(scene, SIZE / 4);
	assert_int_equal(tw_worker_end_transfer(scene->sender, OUR_TRANSFER, TW_WORKER_PAUSE), 0);
	first = wait_for_ended(scene->sender, OUR_TRANSFER, 5 * TW_SECOND);
	assert_true(first.sender.finished && first.paused);
	assert_false(arrived_whole(scene));

	destination = destination_of(scene, OUR_DESTINATION, &no_limits);
	assert_int_equal(tw_worker_change_destination(scene->sender, &destination), 0);
	transfer = transfer_of(scene, OUR_TRANSFER + 1, OUR_DESTINATION, "below");
	memset(transfer.sender.transfer_key, 0, sizeof transfer.sender.transfer_key);
	transfer.sender.transfer_key[0] = OUR_TRANSFER;
	assert_int_equal(tw_worker_add_transfer(scene->sender, &transfer), 0);
	second = wait_for_ended(scene->sender, OUR_TRANSFER + 1, 20 * TW_SECOND);
	assert_int_equal(second.sender.error, TW_TRANSFER_OK);
	assert_true(second.sender.bytes_held >= SIZE / 8);
	assert_true(second.sender.bytes_sent <= SIZE - second.sender.bytes_held + SIZE / 8);
	assert_true(arrived_whole(scene));
}

/* The peer is gone without a word: an end takes no answer, and not for ever. */
static void test_end_in_silence(void **state)
{
	struct tw_rate_limits slow = { .max_bps = 4000000 };
	struct tw_worker_transfer_status sent;
	struct scene *scene = *state;
	struct tw_worker_destination destination;
	struct tw_udp_options options = { .local = { .family = TW_FAMILY_NONE } };
	struct tw_udp deaf;

	start_receiver(scene);
	send_file(scene, &slow);
	wait_for_bytes(scene, 1);
	/* From here on its datagrams go to somebody who does not read them. */
	options.local = scene->address;
	options.local.port = 0;
	assert_int_equal(tw_udp_open(&options, &deaf), 0);
	tw_worker_free(scene->receiver);
	scene->receiver = NULL;
	destination = destination_of(scene, OUR_DESTINATION, &slow);
	destination.remotes[0] = deaf.local;
	assert_int_equal(tw_worker_change_destination(scene->sender, &destination), 0);
	assert_int_equal(tw_worker_end_transfer(scene->sender, OUR_TRANSFER, TW_WORKER_CANCEL), 0);
	sent = wait_for_ended(scene->sender, OUR_TRANSFER, 5 * TW_SECOND);
	assert_int_equal(sent.sender.error, TW_TRANSFER_CANCELLED);
	tw_udp_close(&deaf);
}

/* Nobody listens: known at once, from the network's refusal. */
static void test_refused(void **state)
{
	const struct tw_worker_destination_status *destination;
	struct scene *scene = *state;
	tw_ns begun = tw_clock_now();

	start_receiver(scene);
	tw_worker_free(scene->receiver);
	scene->receiver = NULL;
	send_file(scene, &no_limits);
	do
		destination = find_destination(wait_for_news(scene->sender, begun + 2 * TW_SECOND),
					       OUR_DESTINATION);
	while (!destination || !destination->failed);
	assert_int_equal(destination->failure, TW_CONN_UNREACHABLE);
	assert_int_equal(destination->socket_error, ECONNREFUSED);
	assert_true(destination->failure_message[0]);
	/* Its transfer is still there; it ends with the worker. */
	assert_int_equal(tw_worker_stop(scene->sender), 0);
	assert_true(wait_for_ended(scene->sender, OUR_TRANSFER, 5 * TW_SECOND).paused);
	assert_int_equal(wait_for_end(scene->sender)->sending_count, 0);
}

/* Freed while everything is under way: nothing hangs, nothing leaks. */
static void test_free_in_the_middle(void **state)
{
	struct scene *scene = *state;
	tw_ns begun = tw_clock_now();
	struct tw_rate_limits some = { .max_bps = 40000000 };

	start_receiver(scene);
	send_file(scene, &some);
	wait_for_bytes(scene, 1);
	tw_worker_free(scene->receiver);
	scene->receiver = NULL;
	tw_worker_free(scene->sender);
	scene->sender = NULL;
	assert_true(tw_clock_now() < begun + 5 * TW_SECOND);
}

/* From a socket of its own, and from the one that listens: as whom it is seen, and how far it is.
 */
static void test_discover(void **state)
{
	struct tw_address nobody = { .family = TW_FAMILY_IPV4, .ip = { 127, 0, 0, 1 }, .port = 1 };
	struct scene *scene = *state, *other;
	struct tw_worker_event event = { .id = 0 };
	struct tw_discovery discovery;
	tw_ns until = tw_clock_now() + 20 * TW_SECOND;
	void *other_state;

	start_receiver(scene);
	assert_int_equal(tw_discover(&scene->address, 10 * TW_SECOND, NULL, NULL, &discovery), 0);
	assert_true(tw_address_equal(&discovery.observed, &discovery.local));
	assert_true(discovery.rtt > 0 && discovery.rtt < 10 * TW_SECOND);
	assert_int_equal(tw_discover(&nobody, TW_SECOND / 2, NULL, NULL, &discovery),
			 TW_E_UNREACHABLE);

	assert_int_equal(set_up(&other_state), 0);
	other = other_state;
	start_receiver(other);
	assert_int_equal(tw_worker_discover(other->receiver, 77, &scene->address), 0);
	while (!tw_worker_event(other->receiver, &event))
		wait_for_news(other->receiver, until);
	assert_int_equal(event.type, TW_WORKER_DISCOVERED);
	assert_int_equal(event.id, 77);
	assert_true(event.discovered.rtt > 0);
	assert_true(tw_address_equal(&event.discovered.observed, &other->address));
	assert_int_equal(tear_down(&other_state), 0);
}

static void test_port_in_use(void **state)
{
	struct scene *scene = *state;
	struct tw_worker_receiving receiving = { .bind_count = 1, .fs = &scene->folders.to };
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
		cmocka_unit_test_setup_teardown(test_pause, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_end_in_silence, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_free_in_the_middle, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_discover, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_port_in_use, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
