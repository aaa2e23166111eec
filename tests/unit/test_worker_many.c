#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "netio/clock.h"
#include "netio/sockaddr.h"
#include "netio/worker.h"

#define HUBS 4
#define SIZE ((size_t)96 << 10)
#define PATIENCE (60 * TW_SECOND)

/* One worker that sends to many, and some that receive on many ports each. */
struct scene {
	char place[64];
	struct tw_identity sender_key, hub_keys[HUBS];
	struct tw_fs source_fs, sink_fs[HUBS];
	struct tw_worker *sender, *hubs[HUBS];
	struct tw_address addresses[HUBS][TW_WORKER_BINDS_MAX];
};

static uint8_t content[SIZE];

static const struct tw_rate_limits no_limits = { .max_bps = UINT64_MAX };

static const char *in_place(const struct scene *scene, const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", scene->place, name);
	return path;
}

static void make_file(const struct scene *scene, const char *name, unsigned times)
{
	int fd = open(in_place(scene, name), O_CREAT | O_WRONLY, 0644);

	while (times-- > 0)
		assert_int_equal(write(fd, content, sizeof content), sizeof content);
	close(fd);
}

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof *scene);
	struct tw_random random = tw_system_random();
	struct rlimit files;
	char name[16];

	assert_non_null(scene);
	/* Hundreds of files are open at a time, at both ends. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	snprintf(scene->place, sizeof scene->place, "/tmp/tw-worker-XXXXXX");
	assert_non_null(mkdtemp(scene->place));
	tw_random_fill(&random, content, sizeof content);
	assert_int_equal(mkdir(in_place(scene, "from"), 0755), 0);
	make_file(scene, "from/small", 1);
	make_file(scene, "from/large", 160);
	assert_int_equal(tw_identity_generate(&random, &scene->sender_key), 0);
	assert_int_equal(tw_fs_posix_open(in_place(scene, "from"), false, &scene->source_fs), 0);
	for (unsigned i = 0; i < HUBS; i++) {
		snprintf(name, sizeof name, "to%u", i);
		assert_int_equal(mkdir(in_place(scene, name), 0755), 0);
		assert_int_equal(tw_identity_generate(&random, &scene->hub_keys[i]), 0);
		assert_int_equal(tw_fs_posix_open(in_place(scene, name), true, &scene->sink_fs[i]),
				 0);
		for (unsigned k = 0; k < TW_WORKER_BINDS_MAX; k++)
			assert_true(tw_address_parse_ip("127.0.0.1", &scene->addresses[i][k]));
	}
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;
	char command[128];

	if (scene->sender)
		tw_worker_free(scene->sender);
	for (unsigned i = 0; i < HUBS; i++) {
		if (scene->hubs[i])
			tw_worker_free(scene->hubs[i]);
		tw_fs_posix_close(&scene->sink_fs[i]);
	}
	tw_fs_posix_close(&scene->source_fs);
	snprintf(command, sizeof command, "rm -r %s", scene->place);
	free(scene);
	return system(command);
}

/* On the ports it had before, or on new ones where they are 0. */
static void start_hub(struct scene *scene, unsigned hub)
{
	struct tw_worker_receiving receiving = {
		.bind_count = TW_WORKER_BINDS_MAX,
		.fs = &scene->sink_fs[hub],
		.cipher_min = TW_CIPHER_128,
	};
	struct tw_worker_options options = { .identity = &scene->hub_keys[hub],
					     .receiving = &receiving,
					     .publish_every = 50 * TW_MSEC };
	struct tw_address failed;

	memcpy(receiving.binds, scene->addresses[hub], sizeof receiving.binds);
	assert_int_equal(tw_worker_new(&options, &scene->hubs[hub], &failed), 0);
	for (unsigned i = 0; i < TW_WORKER_BINDS_MAX; i++)
		scene->addresses[hub][i] = tw_worker_socket(scene->hubs[hub], i)->local;
	assert_null(tw_worker_socket(scene->hubs[hub], TW_WORKER_BINDS_MAX));
	assert_int_equal(tw_worker_start(scene->hubs[hub]), 0);
}

static void stop_hub(struct scene *scene, unsigned hub)
{
	tw_worker_free(scene->hubs[hub]);
	scene->hubs[hub] = NULL;
}

static void start_sender(struct scene *scene)
{
	struct tw_worker_options options = { .identity = &scene->sender_key,
					     .publish_every = 50 * TW_MSEC };
	struct tw_address failed;

	assert_int_equal(tw_worker_new(&options, &scene->sender, &failed), 0);
	assert_int_equal(tw_worker_start(scene->sender), 0);
}

static void wait_for_news(struct tw_worker *worker, tw_ns until)
{
	struct pollfd fd = { .fd = tw_worker_fd(worker), .events = POLLIN };
	tw_ns now = tw_clock_now();

	assert_true(now < until);
	poll(&fd, 1, (int)((until - now) / TW_MSEC) + 1);
}

/* A command that found too many before it is given again. */
#define must(scene, call) \
	do { \
		tw_ns until_ = tw_clock_now() + PATIENCE; \
		int r_; \
		while ((r_ = (call)) == TW_E_FULL) \
			wait_a_moment((scene)->sender, until_); \
		assert_int_equal(r_, 0); \
	} while (0)

static void wait_a_moment(struct tw_worker *worker, tw_ns until)
{
	wait_for_news(worker, until);
	tw_worker_snapshot(worker);
}

/* Destination @id is at hub id % HUBS, at one of its ports. */
static struct tw_worker_destination destination_of(const struct scene *scene, uint64_t id,
						   const struct tw_rate_limits *limits)
{
	unsigned hub = (unsigned)(id % HUBS);

	return (struct tw_worker_destination){
		.id = id,
		.remotes = { scene->addresses[hub][id / HUBS % TW_WORKER_BINDS_MAX] },
		.remote_count = 1,
		.peer_key = scene->hub_keys[hub].public_key,
		.cipher = TW_CIPHER_128,
		.method = TW_RATE_BBR,
		.limits = *limits,
		.patient = true,
	};
}

static void add_destination(struct scene *scene, uint64_t id, const struct tw_rate_limits *limits)
{
	struct tw_worker_destination destination = destination_of(scene, id, limits);

	must(scene, tw_worker_add_destination(scene->sender, &destination));
}

static void change_destination(struct scene *scene, uint64_t id,
			       const struct tw_rate_limits *limits)
{
	struct tw_worker_destination destination = destination_of(scene, id, limits);

	must(scene, tw_worker_change_destination(scene->sender, &destination));
}

/* @key tells apart what is sent; the number of the transfer need not. */
static void add_transfer(struct scene *scene, uint64_t id, uint64_t destination, uint64_t key,
			 const char *name)
{
	struct tw_source_mapping mapping = { name, name };
	struct tw_source_options source = { .mappings = &mapping,
					    .mapping_count = 1,
					    .read_content = true };
	char below[32];
	struct tw_worker_transfer transfer = {
		.id = id,
		.destination = destination,
		.rank = id,
		.max_bps = UINT64_MAX,
		.sender = { .destination = below,
			    .overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
			    .flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE },
	};

	snprintf(below, sizeof below, "t%u", (unsigned)key);
	memcpy(transfer.sender.transfer_key, &key, sizeof key);
	assert_int_equal(tw_source_new(&scene->source_fs, &source, &transfer.sender.source), 0);
	must(scene, tw_worker_add_transfer(scene->sender, &transfer));
}

static const struct tw_worker_destination_status *find(const struct tw_worker_snapshot *snapshot,
						       uint64_t id)
{
	for (size_t i = 0; snapshot && i < snapshot->destination_count; i++)
		if (snapshot->destinations[i].id == id)
			return &snapshot->destinations[i];
	return NULL;
}

static bool arrived(const struct scene *scene, unsigned hub, unsigned key)
{
	static uint8_t copy[SIZE + 1];
	char name[64];
	ssize_t length;
	int fd;

	snprintf(name, sizeof name, "to%u/t%u/small", hub, key);
	fd = open(in_place(scene, name), O_RDONLY);
	if (fd < 0)
		return false;
	length = read(fd, copy, sizeof copy);
	close(fd);
	return length == (ssize_t)SIZE && memcmp(copy, content, SIZE) == 0;
}

#define DESTINATIONS 200
#define TRANSFERS 500
#define PAUSED 8 /* this transfer is paused and comes again as: */
#define AGAIN 1000
#define CANCELLED 9
#define NOWHERE 5000 /* no such destination */

/* What has to last until it is meddled with is large. */
static const char *name_of(unsigned transfer)
{
	return transfer == PAUSED || transfer == CANCELLED ? "large" : "small";
}

/* How many ended well so far; the others as told in @ret. */
struct ends {
	unsigned good;
	struct tw_worker_transfer_status paused, cancelled, nowhere;
};

static void take_ends(struct scene *scene, struct ends *ends)
{
	struct tw_worker_event event;

	while (tw_worker_event(scene->sender, &event)) {
		if (event.type != TW_WORKER_ENDED)
			continue;
		if (event.id == PAUSED)
			ends->paused = event.sending;
		else if (event.id == CANCELLED)
			ends->cancelled = event.sending;
		else if (event.id == NOWHERE)
			ends->nowhere = event.sending;
		else if (event.sending.sender.error == TW_TRANSFER_OK)
			ends->good++;
		else
			fail_msg("transfer %u: %s", (unsigned)event.id, event.text);
	}
}

/* A rate changed, a transfer paused, another cancelled, one to nowhere, in the midst of it. */
static void meddle(struct scene *scene, struct ends *ends)
{
	const struct tw_worker_snapshot *snapshot;
	struct tw_rate_limits other = { .max_bps = 3000000 };
	tw_ns until = tw_clock_now() + PATIENCE;
	uint64_t serial;
	unsigned later = 0;

	snapshot = tw_worker_snapshot(scene->sender);
	serial = snapshot ? snapshot->serial : 0;
	change_destination(scene, 7, &other);
	/* The one that was being made may come first. */
	do {
		wait_for_news(scene->sender, until);
		snapshot = tw_worker_snapshot(scene->sender);
		if (snapshot && snapshot->serial > serial) {
			later++;
			serial = snapshot->serial;
		}
	} while (!find(snapshot, 7) || find(snapshot, 7)->conn.limits.max_bps != 3000000);
	assert_true(later <= 2);

	must(scene, tw_worker_end_transfer(scene->sender, PAUSED, TW_WORKER_PAUSE));
	must(scene, tw_worker_end_transfer(scene->sender, CANCELLED, TW_WORKER_CANCEL));
	add_transfer(scene, NOWHERE, NOWHERE, NOWHERE, "small");
	while (!ends->paused.id || !ends->cancelled.id || !ends->nowhere.id) {
		wait_a_moment(scene->sender, until);
		take_ends(scene, ends);
	}
	assert_true(ends->paused.paused && !ends->cancelled.paused);
	assert_int_equal(ends->cancelled.sender.error, TW_TRANSFER_CANCELLED);
	assert_int_equal(ends->nowhere.sender.error, TW_TRANSFER_CANCELLED);
	add_transfer(scene, AGAIN, PAUSED % DESTINATIONS, PAUSED, name_of(PAUSED));
}

static void wait_for_connections(struct scene *scene, struct ends *ends)
{
	tw_ns until = tw_clock_now() + PATIENCE;
	const struct tw_worker_snapshot *snapshot;
	size_t connected;

	do {
		wait_for_news(scene->sender, until);
		snapshot = tw_worker_snapshot(scene->sender);
		take_ends(scene, ends);
		connected = 0;
		for (size_t i = 0; snapshot && i < snapshot->destination_count; i++)
			connected += snapshot->destinations[i].connected;
	} while (connected < DESTINATIONS);
}

static void check_figures(struct scene *scene)
{
	const struct tw_worker_snapshot *snapshot = tw_worker_snapshot(scene->sender);
	uint64_t sent = 0, received = 0;

	assert_int_equal(snapshot->destination_count, DESTINATIONS);
	for (size_t i = 0; i < DESTINATIONS; i++) {
		sent += snapshot->destinations[i].bytes_sent;
		received += snapshot->destinations[i].bytes_received;
		assert_true(snapshot->destinations[i].bytes_sent > SIZE);
	}
	assert_int_equal(sent, snapshot->udp.bytes_sent);
	assert_int_equal(received, snapshot->udp.bytes_received);
}

static void test_crowd(void **state)
{
	struct tw_rate_limits slow = { .max_bps = 1000000 };
	struct scene *scene = *state;
	struct ends ends = { 0 };
	tw_ns until;

	for (unsigned i = 0; i < HUBS; i++)
		start_hub(scene, i);
	start_sender(scene);
	for (unsigned i = 0; i < DESTINATIONS; i++)
		add_destination(scene, i, &slow);
	for (unsigned i = 0; i < TRANSFERS; i++)
		add_transfer(scene, i, i % DESTINATIONS, i, name_of(i));
	wait_for_connections(scene, &ends);
	meddle(scene, &ends);
	/* One comes back where it was, another elsewhere. */
	stop_hub(scene, 2);
	start_hub(scene, 2);
	stop_hub(scene, 3);
	for (unsigned i = 0; i < TW_WORKER_BINDS_MAX; i++)
		scene->addresses[3][i].port = 0;
	start_hub(scene, 3);
	for (unsigned i = 3; i < DESTINATIONS; i += HUBS)
		change_destination(scene, i, &slow);
	for (unsigned i = 0; i < DESTINATIONS; i++)
		change_destination(scene, i, &no_limits);
	/* All but the cancelled one. */
	until = tw_clock_now() + PATIENCE;
	while (ends.good < TRANSFERS - 1) {
		wait_a_moment(scene->sender, until);
		take_ends(scene, &ends);
	}
	for (unsigned i = 0; i < TRANSFERS; i++)
		if (i != CANCELLED && i != PAUSED)
			assert_true(arrived(scene, i % DESTINATIONS % HUBS, i));
	assert_int_equal(ends.good, TRANSFERS - 1);
	wait_a_moment(scene->sender, until);
	check_figures(scene);
}

/*
 * Limits: what is counted is what has left through the sender's sockets, repeats, handshakes and
 * answers included. (At the receiver a thread that got no processor for a moment would count too
 * much behind it.)
 */

#define LIMIT UINT64_C(24000000)
#define SPAN (1500 * TW_MSEC)

static const struct tw_worker_snapshot *next_snapshot(struct tw_worker *worker, tw_ns from)
{
	const struct tw_worker_snapshot *snapshot;
	tw_ns until = tw_clock_now() + PATIENCE;

	do {
		wait_for_news(worker, until);
		snapshot = tw_worker_snapshot(worker);
	} while (!snapshot || snapshot->at < from);
	return snapshot;
}

/* From now on for a while: no more than the limit, and not next to nothing. */
static void check_limit(struct tw_worker *sender, double limit_bps)
{
	const struct tw_worker_snapshot *snapshot = next_snapshot(sender, tw_clock_now());
	uint64_t bytes = snapshot->udp.bytes_sent;
	tw_ns begun = snapshot->at;
	double rate;

	snapshot = next_snapshot(sender, begun + SPAN);
	rate = (double)(snapshot->udp.bytes_sent - bytes) * 8 /
	       ((double)(snapshot->at - begun) / (double)TW_SECOND);
	/* Bursts of the pacers come on top. */
	if (rate > limit_bps * 1.03)
		fail_msg("%.0f bit/s at a limit of %.0f", rate, limit_bps);
	if (rate < limit_bps * 0.2)
		fail_msg("only %.0f bit/s at a limit of %.0f", rate, limit_bps);
}

static void wait_until(struct scene *scene, bool (*reached)(const struct tw_worker_snapshot *))
{
	tw_ns until = tw_clock_now() + PATIENCE;
	const struct tw_worker_snapshot *snapshot;

	do {
		wait_for_news(scene->sender, until);
		snapshot = tw_worker_snapshot(scene->sender);
	} while (!snapshot || !reached(snapshot));
}

/* Every destination that has transfers moves bytes. */
static bool all_moving(const struct tw_worker_snapshot *snapshot)
{
	if (!snapshot->sending_count)
		return false;
	for (size_t i = 0; i < snapshot->sending_count; i++)
		if (snapshot->sending[i].sender.bytes_acked < 100000)
			return false;
	return true;
}

/* Some destinations at one hub, with a transfer of 15 MiB to each. */
static void begin(struct scene *scene, unsigned destinations, const struct tw_rate_limits *limits)
{
	start_hub(scene, 0);
	start_sender(scene);
	for (unsigned i = 0; i < destinations; i++) {
		add_destination(scene, i * HUBS, limits);
		add_transfer(scene, i, i * HUBS, i, "large");
	}
}

static void test_outgoing_limit(void **state)
{
	const struct tw_worker_snapshot *snapshot;
	struct tw_rate_limits least = { .max_bps = 2000000 };
	struct scene *scene = *state;
	uint64_t sum = 0;

	/* Slow until the limit is set. */
	begin(scene, 4, &least);
	must(scene, tw_worker_set_limits(scene->sender, LIMIT, UINT64_MAX));
	for (unsigned i = 0; i < 4; i++)
		change_destination(scene, i * HUBS, &no_limits);
	wait_until(scene, all_moving);
	check_limit(scene->sender, (double)LIMIT);
	/* One wants little: the others may have the rest. */
	change_destination(scene, 0, &least);
	check_limit(scene->sender, (double)LIMIT);
	snapshot = tw_worker_snapshot(scene->sender);
	assert_true(find(snapshot, 0)->rate_window_bps < 2200000);
	for (unsigned i = 0; i < 4; i++) {
		const struct tw_worker_destination_status *destination = find(snapshot, i * HUBS);

		sum += destination->rate_window_bps;
		assert_true(destination->conn.limits.max_bps <= LIMIT);
		/* Fair: each of the three has about a third of what is left. */
		if (i > 0)
			assert_in_range(destination->conn.limits.max_bps, LIMIT / 10,
					LIMIT * 3 / 5);
	}
	assert_in_range(sum, 1, LIMIT + LIMIT / 20);
	/* A live change. */
	must(scene, tw_worker_set_limits(scene->sender, LIMIT / 2, UINT64_MAX));
	next_snapshot(scene->sender, tw_clock_now() + 20 * TW_MSEC);
	check_limit(scene->sender, (double)LIMIT / 2);
}

static bool all_told(const struct tw_worker_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->destination_count; i++)
		if (snapshot->destinations[i].conn.limits.max_bps > LIMIT)
			return false;
	return all_moving(snapshot);
}

static void test_incoming_limit(void **state)
{
	struct scene *scene = *state;

	start_hub(scene, 0);
	must(scene, tw_worker_set_limits(scene->hubs[0], UINT64_MAX, LIMIT));
	start_sender(scene);
	for (unsigned i = 0; i < 4; i++) {
		add_destination(scene, i * HUBS, &no_limits);
		add_transfer(scene, i, i * HUBS, i, "large");
	}
	wait_until(scene, all_told);
	check_limit(scene->sender, (double)LIMIT);
	assert_true(tw_worker_snapshot(scene->hubs[0])->received_window_bps < LIMIT + LIMIT / 10);
	assert_int_equal(tw_worker_snapshot(scene->hubs[0])->conn_count, 4);
}

static void test_transfer_limit(void **state)
{
	struct tw_rate_limits slow = { .max_bps = 2000000 };
	struct scene *scene = *state;

	begin(scene, 1, &slow);
	must(scene, tw_worker_change_transfer(scene->sender, 0, 0, LIMIT));
	change_destination(scene, 0, &no_limits);
	wait_until(scene, all_moving);
	check_limit(scene->sender, (double)LIMIT);
}

/* Admission. */

static void set_admission(struct scene *scene, bool only_listed, const struct tw_public_key *key)
{
	struct tw_worker_admission admission = { .only_listed = only_listed };

	if (key) {
		admission.keys = malloc(sizeof *key);
		assert_non_null(admission.keys);
		*admission.keys = *key;
		admission.key_count = 1;
	}
	must(scene, tw_worker_set_admission(scene->hubs[0], &admission));
}

static bool turned_away(const struct tw_worker_snapshot *snapshot)
{
	const struct tw_worker_destination_status *destination = find(snapshot, 0);

	return destination->failed && !destination->connected &&
	       destination->failure == TW_CONN_NOT_AUTHORIZED;
}

static bool connected(const struct tw_worker_snapshot *snapshot)
{
	return find(snapshot, 0)->connected && !find(snapshot, 0)->failed;
}

static void test_admission(void **state)
{
	struct tw_rate_limits slow = { .max_bps = 10000000 };
	struct scene *scene = *state;

	begin(scene, 1, &slow);
	wait_until(scene, all_moving);
	/* Somebody else is listed: the connection goes, and none is taken any more. */
	set_admission(scene, true, &scene->hub_keys[1].public_key);
	wait_until(scene, turned_away);
	set_admission(scene, true, &scene->sender_key.public_key);
	change_destination(scene, 0, &slow);
	wait_until(scene, connected);
	set_admission(scene, true, NULL);
	wait_until(scene, turned_away);
	set_admission(scene, false, NULL);
	change_destination(scene, 0, &slow);
	wait_until(scene, connected);
	/* It is the same transfer, which goes on. */
	assert_int_equal(tw_worker_snapshot(scene->sender)->sending_count, 1);
}

/* More transfers than a connection carries: the others wait, by rank. */
static void test_seats(void **state)
{
	struct tw_rate_limits slow = { .max_bps = 100000 };
	struct scene *scene = *state;
	struct ends ends = { 0 };
	tw_ns until = tw_clock_now() + PATIENCE;

	begin(scene, 1, &slow);
	for (unsigned i = 1; i < 150; i++)
		add_transfer(scene, i, 0, i, "small");
	must(scene, tw_worker_end_transfer(scene->sender, 149, TW_WORKER_CANCEL));
	must(scene, tw_worker_end_transfer(scene->sender, 0, TW_WORKER_CANCEL));
	change_destination(scene, 0, &no_limits);
	while (ends.good < 148) {
		struct tw_worker_event event;

		wait_a_moment(scene->sender, until);
		while (tw_worker_event(scene->sender, &event)) {
			bool cancelled = event.id == 0 || event.id == 149;

			if (event.type != TW_WORKER_ENDED)
				continue;
			assert_int_equal(event.sending.sender.error,
					 cancelled ? TW_TRANSFER_CANCELLED : TW_TRANSFER_OK);
			ends.good += !cancelled;
		}
	}
	for (unsigned i = 1; i < 149; i++)
		assert_true(arrived(scene, 0, i));
}

static bool all_connected_of_two(const struct tw_worker_snapshot *snapshot)
{
	return find(snapshot, 0) && find(snapshot, 0)->connected && find(snapshot, HUBS) &&
	       find(snapshot, HUBS)->connected;
}

/* A destination goes, with all that was on its way to it. */
static void test_removal(void **state)
{
	struct scene *scene = *state;
	tw_ns until = tw_clock_now() + PATIENCE;
	struct tw_rate_limits slow = { .max_bps = 1000000 };
	unsigned ended = 0;

	begin(scene, 2, &slow);
	for (unsigned i = 100; i < 200; i++)
		add_transfer(scene, i, 0, i, "small");
	wait_until(scene, all_connected_of_two);
	must(scene, tw_worker_remove_destination(scene->sender, 0));
	while (ended < 101) {
		struct tw_worker_event event;

		wait_a_moment(scene->sender, until);
		while (tw_worker_event(scene->sender, &event)) {
			assert_int_equal(event.type, TW_WORKER_ENDED);
			assert_int_equal(event.sending.sender.error, TW_TRANSFER_CANCELLED);
			assert_int_equal(event.sending.destination, 0);
			ended++;
		}
	}
	while (tw_worker_snapshot(scene->sender)->destination_count > 1 ||
	       tw_worker_snapshot(scene->sender)->sending_count > 1)
		wait_a_moment(scene->sender, until);
	/* Commands for what is not there are passed over. */
	change_destination(scene, 0, &no_limits);
	must(scene, tw_worker_remove_destination(scene->sender, 0));
	must(scene, tw_worker_end_transfer(scene->sender, 150, TW_WORKER_PAUSE));
	must(scene, tw_worker_change_transfer(scene->sender, 150, 1, 1));
	change_destination(scene, HUBS, &no_limits);
	while (tw_worker_snapshot(scene->sender)->sending_count > 0)
		wait_a_moment(scene->sender, until);
}

/* Ends of transfers are told however many there are, and none twice. */
static void test_no_end_lost(void **state)
{
	enum { COUNT = 3 * TW_WORKER_EVENTS / 2 };
	static bool told[COUNT];
	struct scene *scene = *state;
	struct tw_worker_event event;
	tw_ns until = tw_clock_now() + PATIENCE;
	unsigned ended = 0;

	start_sender(scene);
	for (unsigned i = 0; i < COUNT; i++)
		add_transfer(scene, i, NOWHERE, i, "small");
	/* Nobody has listened so far; the worker does not end before all is said. */
	must(scene, tw_worker_stop(scene->sender));
	while (!tw_worker_snapshot(scene->sender) || !tw_worker_snapshot(scene->sender)->stopped) {
		while (tw_worker_event(scene->sender, &event)) {
			assert_int_equal(event.type, TW_WORKER_ENDED);
			assert_false(told[event.id]);
			told[event.id] = true;
			ended++;
		}
		wait_for_news(scene->sender, until);
	}
	while (tw_worker_event(scene->sender, &event))
		ended++;
	assert_int_equal(ended, COUNT);
}

/* A port of ours that is free at the moment. */
static uint16_t free_port(void)
{
	struct tw_udp_options options = { .local = tw_address_any(TW_FAMILY_IPV4, 0) };
	struct tw_udp udp;
	uint16_t port;

	assert_int_equal(tw_udp_open(&options, &udp), 0);
	port = udp.local.port;
	tw_udp_close(&udp);
	return port;
}

static void change_rate_only(struct scene *scene, struct tw_worker_destination *destination)
{
	destination->limits = no_limits;
	must(scene, tw_worker_change_destination(scene->sender, destination));
}

static bool two_connected(const struct tw_worker_snapshot *snapshot)
{
	return find(snapshot, 0) && find(snapshot, 0)->connected && find(snapshot, 1) &&
	       find(snapshot, 1)->connected;
}

/* Two destinations from the same own port, with buffers as asked; then one from another. */
static void test_own_address(void **state)
{
	struct tw_rate_limits slow = { .max_bps = 2000000 };
	const struct tw_worker_destination_status *status;
	struct tw_worker_destination destinations[2];
	struct scene *scene = *state;
	uint16_t port = free_port(), other = 0;

	start_hub(scene, 0);
	start_hub(scene, 1);
	start_sender(scene);
	for (unsigned i = 0; i < 2; i++) {
		destinations[i] = destination_of(scene, i, &slow);
		destinations[i].local = tw_address_any(TW_FAMILY_IPV4, port);
		destinations[i].socket_send_bytes = i ? 0 : 100000;
		must(scene, tw_worker_add_destination(scene->sender, &destinations[i]));
		add_transfer(scene, i, i, i, "large");
	}
	wait_until(scene, two_connected);
	for (unsigned i = 0; i < 2; i++) {
		status = find(tw_worker_snapshot(scene->sender), i);
		assert_int_equal(status->local.port, port);
		assert_int_equal(status->local.ip[0], 127);
	}
	/* The kernel counts twice what is asked for. */
	status = find(tw_worker_snapshot(scene->sender), 0);
	assert_int_equal(status->send_granted, 200000);
	while (!other || other == port)
		other = free_port();
	assert_true(tw_address_parse_ip("127.0.0.1", &destinations[1].local));
	destinations[1].local.port = other;
	must(scene, tw_worker_change_destination(scene->sender, &destinations[1]));
	do
		status = find(next_snapshot(scene->sender, 0), 1);
	while (status->local.port != other || !status->connected);
	/* Both go on. */
	for (unsigned i = 0; i < 2; i++)
		change_rate_only(scene, &destinations[i]);
	while (tw_worker_snapshot(scene->sender)->sending_count > 0)
		wait_a_moment(scene->sender, tw_clock_now() + PATIENCE);
	status = find(tw_worker_snapshot(scene->sender), 0);
	assert_int_equal(status->local.port, port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_crowd, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_outgoing_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_incoming_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_transfer_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_admission, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_seats, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_removal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_end_lost, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_own_address, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
