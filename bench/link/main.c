/*
 * tradewind-link - joins two network namespaces with an emulated link.
 *
 * One thread. What a device hands over gets its fate and its time at once (shaper.h), flies
 * (flight.h) in the memory it was read into (arena.h), and is written to the other device when its
 * time comes. To leave the processor to the programs under test, the thread sleeps at least one
 * tick whenever there is traffic: a packet is handed over up to a tick late, and packets of one
 * train that arrive within a tick are handed over together.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "control.h"
#include "device.h"
#include "flight.h"
#include "options.h"
#include "shaper.h"
#include "stats.h"
#include "train.h"

/* Trains taken from a device before the other direction has its turn. */
#define TRAINS_PER_TURN 256
#define NEVER INT64_MAX

struct direction {
	int in_fd, out_fd;
	struct link_shaper shaper;
	struct link_arena arena;
	struct link_flight flight;
	struct link_translation translation;
};

struct emulator {
	struct link_options options;
	struct link_device devices[2];
	struct direction directions[LINK_DIRECTIONS];
	struct link_control control;
	int epoll_fd, signal_fd;
	int64_t started, next_report;
	pid_t child;
	int exit_code;
	bool stop;
};

static int64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void apply_shapes(struct emulator *emulator)
{
	const struct link_shape *shapes = emulator->options.shapes;
	double round_trip_ns = shapes[LINK_FORTH].delay_ns + shapes[LINK_BACK].delay_ns;
	uint16_t shift = (uint16_t)shapes[LINK_FORTH].port_shift;

	for (int d = 0; d < LINK_DIRECTIONS; d++)
		link_shaper_set(&emulator->directions[d].shaper, &shapes[d], round_trip_ns);
	emulator->directions[LINK_FORTH].translation.source_port_add = shift;
	emulator->directions[LINK_BACK].translation.destination_port_add = (uint16_t)-shift;
}

/* Room for all that can be on the line at once, with what small packets cost beside their bytes. */
static size_t arena_bytes(const struct emulator *emulator, int d)
{
	const struct link_shape *shapes = emulator->options.shapes;
	const struct link_shape *shape = &shapes[d];
	double round_trip_ns = shapes[LINK_FORTH].delay_ns + shapes[LINK_BACK].delay_ns;
	double rate_bps = shape->rate_bps > 0.0 ? shape->rate_bps : 10e9;
	double line_ns = shape->delay_ns + shape->jitter_ns + shape->reorder_ns + 10e6;
	double bytes = rate_bps * line_ns / 8e9 + link_shape_queue_bytes(shape, round_trip_ns);
	double room = 2.5 * bytes * (1.0 + shape->duplicate) + 8e6;

	return room > 4e9 ? (size_t)4e9 : (size_t)room;
}

static int open_direction(struct emulator *emulator, int d)
{
	struct direction *direction = &emulator->directions[d];
	size_t bytes = arena_bytes(emulator, d);
	int r;

	direction->in_fd = emulator->devices[d == LINK_FORTH ? 0 : 1].fd;
	direction->out_fd = emulator->devices[d == LINK_FORTH ? 1 : 0].fd;
	link_shaper_init(&direction->shaper, (uint64_t)emulator->options.seed * 2 + (uint64_t)d);
	r = link_arena_init(&direction->arena, bytes);
	if (!r)
		r = link_flight_init(&direction->flight, bytes / 160);
	if (r)
		fprintf(stderr, "tradewind-link: no memory for a line of that rate and delay\n");
	return r;
}

/* Gives each segment of a train its fate. True if any of them flies. */
static bool admit(struct direction *direction, struct link_train *train, int64_t now)
{
	for (unsigned i = 0; i < train->segments; i++) {
		struct link_fate fate = link_shaper_admit(&direction->shaper, now,
							  link_train_segment_bytes(train, i));
		struct link_flying flying = { fate.due, 0, train, (uint16_t)i, fate.corrupt };

		for (unsigned c = 0; c < fate.copies; c++) {
			if (link_flight_push(&direction->flight, flying))
				train->refs++;
			else
				direction->shaper.counts.dropped_overrun++;
		}
	}
	return train->refs > 0;
}

/* Takes one train from the device. False: there is none. */
static bool take(struct direction *direction, int64_t now)
{
	static struct link_train *spill;
	struct link_train *train =
		link_arena_reserve(&direction->arena, sizeof(*train) + LINK_PACKET_BYTES_MAX);
	struct link_train *into = train;
	struct iovec iov[2];
	ssize_t n;

	if (!into) {
		if (!spill)
			spill = malloc(sizeof(*spill) + LINK_PACKET_BYTES_MAX);
		if (!spill)
			return false;
		into = spill;
	}
	iov[0] = (struct iovec){ &into->vnet, sizeof(into->vnet) };
	iov[1] = (struct iovec){ into->packet, LINK_PACKET_BYTES_MAX };
	n = readv(direction->in_fd, iov, 2);
	if (n < (ssize_t)sizeof(into->vnet))
		return false;
	if (!train || link_train_parse(train, (size_t)n - sizeof(train->vnet))) {
		direction->shaper.counts.dropped_overrun++;
		return true;
	}
	if (admit(direction, train, now))
		link_arena_keep(&direction->arena, sizeof(*train) + train->bytes);
	return true;
}

static unsigned take_turn(struct direction *direction, int64_t now)
{
	unsigned taken = 0;

	while (taken < TRAINS_PER_TURN && take(direction, now))
		taken++;
	return taken;
}

static void hand_over(struct direction *direction, struct link_train *train, unsigned first,
		      unsigned count)
{
	struct link_counts *counts = &direction->shaper.counts;
	struct link_piece piece;

	link_train_piece(train, first, count, &direction->translation, &piece);
	if (writev(direction->out_fd, piece.iov, piece.iov_count) < 0) {
		counts->write_errors++;
		return;
	}
	for (unsigned i = first; i < first + count; i++)
		counts->bytes_out += link_train_segment_bytes(train, i) + LINK_FRAME_OVERHEAD;
	counts->packets_out += count;
}

static void release(struct direction *direction, struct link_train *train, unsigned count)
{
	train->refs -= count;
	if (train->refs == 0)
		link_arena_release(&direction->arena, train);
}

/* Hands over what has arrived by @now, neighbours of one train in one piece. */
static void deliver(struct direction *direction, int64_t now)
{
	const struct link_flying *next;

	while ((next = link_flight_peek(&direction->flight)) && next->due <= now) {
		struct link_train *train = next->train;
		unsigned first = next->segment;
		unsigned count = 1;
		bool corrupt = next->corrupt;
		uint64_t dice = next->order * UINT64_C(0x9e3779b97f4a7c15) >> 17;

		link_flight_pop(&direction->flight);
		while (!corrupt && (next = link_flight_peek(&direction->flight)) &&
		       next->due <= now && next->train == train && next->segment == first + count &&
		       !next->corrupt) {
			link_flight_pop(&direction->flight);
			count++;
		}
		if (corrupt)
			link_train_flip(train, first, dice);
		hand_over(direction, train, first, count);
		if (corrupt)
			link_train_flip(train, first, dice);
		release(direction, train, count);
	}
}

static void report(struct emulator *emulator, const char *event, int64_t now)
{
	const struct link_shaper shapers[LINK_DIRECTIONS] = {
		emulator->directions[LINK_FORTH].shaper,
		emulator->directions[LINK_BACK].shaper,
	};
	const struct link_report content = {
		.event = event,
		.elapsed_ns = now - emulator->started,
		.shapers = shapers,
		.devices = emulator->devices,
		.now = now,
	};
	/*
	 * Whoever starts the link waits for this word on standard output, wherever the counters go.
	 */
	const char *path = strcmp(event, "ready") == 0 ? NULL : emulator->options.statistics_path;
	int r = link_stats_print(&content, path);

	if (r)
		fprintf(stderr, "tradewind-link: statistics cannot be written: %s\n", strerror(-r));
}

static void take_signals(struct emulator *emulator, int64_t now)
{
	struct signalfd_siginfo info;
	int status;

	while (read(emulator->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGUSR1) {
			report(emulator, "statistics", now);
		} else if (info.ssi_signo != SIGCHLD) {
			emulator->stop = true;
		} else if (emulator->child > 0 &&
			   waitpid(emulator->child, &status, WNOHANG) == emulator->child) {
			emulator->exit_code =
				WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			emulator->child = 0;
			emulator->stop = true;
		}
	}
}

static int64_t earliest(const struct emulator *emulator)
{
	int64_t due = emulator->next_report;

	for (int d = 0; d < LINK_DIRECTIONS; d++) {
		const struct link_flying *next = link_flight_peek(&emulator->directions[d].flight);

		if (next && next->due < due)
			due = next->due;
	}
	return due;
}

/*
 * Sleeps one tick when there was traffic, else until the next arrival or until a descriptor has
 * something.
 */
static void rest(struct emulator *emulator, bool busy, int64_t now)
{
	int64_t tick = (int64_t)emulator->options.tick_ns;
	int64_t due = earliest(emulator);
	int64_t wait = due == NEVER ? NEVER : due - now;
	struct timespec timeout;
	struct epoll_event events[4];

	if (busy || wait < tick)
		wait = tick;
	timeout = (struct timespec){ wait / 1000000000, wait % 1000000000 };
	if (busy)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &timeout, NULL);
	else if (epoll_pwait2(emulator->epoll_fd, events, 4, wait == NEVER ? NULL : &timeout,
			      NULL) < 0 &&
		 errno == ENOSYS)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ 0, tick }, NULL);
}

static void run(struct emulator *emulator)
{
	unsigned turns = 0;

	while (!emulator->stop) {
		int64_t now = clock_ns();
		unsigned taken = 0;

		for (int d = 0; d < LINK_DIRECTIONS; d++)
			taken += take_turn(&emulator->directions[d], now);
		for (int d = 0; d < LINK_DIRECTIONS; d++)
			deliver(&emulator->directions[d], now);
		/*
		 * A busy line looks at its signals and orders now and then, an idle one is woken by
		 * them.
		 */
		if (!taken || ++turns % 16 == 0) {
			take_signals(emulator, now);
			if (link_control_read(&emulator->control, emulator->options.shapes))
				apply_shapes(emulator);
		}
		if (now >= emulator->next_report) {
			report(emulator, "statistics", now);
			emulator->next_report =
				now + (int64_t)emulator->options.statistics_every_ns;
		}
		if (!emulator->stop)
			rest(emulator, taken > 0, clock_ns());
	}
}

static int watch(struct emulator *emulator, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(emulator->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_events(struct emulator *emulator)
{
	sigset_t signals;
	int r = 0;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	emulator->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	emulator->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (emulator->signal_fd < 0 || emulator->epoll_fd < 0)
		return -errno;
	r = watch(emulator, emulator->signal_fd);
	for (int d = 0; d < 2 && !r; d++)
		r = watch(emulator, emulator->devices[d].fd);
	if (!r && emulator->options.control) {
		emulator->control.fd = STDIN_FILENO;
		fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
		r = watch(emulator, STDIN_FILENO);
	}
	return r;
}

/* A late emulator is a different link: go before the programs under test where that is allowed. */
static void hurry(void)
{
	const struct sched_param parameter = { .sched_priority = 1 };

	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &parameter);
}

static int start_command(struct emulator *emulator)
{
	sigset_t none;

	if (!emulator->options.command)
		return 0;
	fflush(stdout);
	emulator->child = fork();
	if (emulator->child < 0)
		return -errno;
	if (emulator->child > 0)
		return 0;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (link_device_enter(&emulator->devices[0]) == 0)
		execvp(emulator->options.command[0], emulator->options.command);
	fprintf(stderr, "tradewind-link: %s cannot be run: %s\n", emulator->options.command[0],
		strerror(errno));
	_exit(127);
}

static int start(struct emulator *emulator)
{
	int r = 0;

	for (int i = 0; i < 2 && !r; i++)
		r = link_device_open(&emulator->devices[i], &emulator->options.devices[i]);
	for (int d = 0; d < LINK_DIRECTIONS && !r; d++)
		r = open_direction(emulator, d);
	if (r)
		return r;
	apply_shapes(emulator);
	r = open_events(emulator);
	if (r) {
		fprintf(stderr, "tradewind-link: no events: %s\n", strerror(-r));
		return r;
	}
	hurry();
	emulator->started = clock_ns();
	emulator->next_report = NEVER;
	if (emulator->options.statistics_every_ns > 0.0)
		emulator->next_report =
			emulator->started + (int64_t)emulator->options.statistics_every_ns;
	report(emulator, "ready", emulator->started);
	return start_command(emulator);
}

static void finish(struct emulator *emulator)
{
	if (emulator->child > 0)
		kill(emulator->child, SIGTERM);
	for (int d = 0; d < LINK_DIRECTIONS; d++) {
		link_flight_deinit(&emulator->directions[d].flight);
		link_arena_deinit(&emulator->directions[d].arena);
	}
	for (int i = 0; i < 2; i++)
		link_device_close(&emulator->devices[i]);
}

int main(int count, char **arguments)
{
	static struct emulator emulator;
	int r;

	if (link_options_parse(count, arguments, &emulator.options))
		return 2;
	if (emulator.options.help) {
		link_options_help();
		return 0;
	}
	if (!emulator.options.devices[0].namespace && !emulator.options.devices[1].namespace) {
		fprintf(stderr,
			"tradewind-link: name the namespaces with --left and --right; see --help\n");
		return 2;
	}
	emulator.control.fd = -1;
	r = start(&emulator);
	if (!r) {
		run(&emulator);
		report(&emulator, "end", clock_ns());
	}
	finish(&emulator);
	return r ? 1 : emulator.exit_code;
}
