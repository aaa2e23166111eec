/* bench_network.c - UDP over loopback, between two processes; see bench_parts.h. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/bench_parts.h"
#include "netio/clock.h"
#include "netio/udp.h"
#include "rate/units.h"

#define MESSAGE ((size_t)65536)
#define PATIENCE (100 * TW_MSEC) /* what has not arrived by then is lost */
#define NAP 20000                /* ns, while the sockets are full */
#define GIB ((double)(1 << 30))

/* In memory that both processes see. */
struct board {
	_Atomic uint64_t received; /* bytes */
	_Atomic bool stop;
	double seconds; /* the receiver's processor time; set before it ends */
};

struct link {
	struct tw_udp from, to;
	struct board *board;
	uint64_t window; /* bytes on the way */
};

static double processor_seconds(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage))
		return 0;
	return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
	       ((double)usage.ru_utime.tv_usec + (double)usage.ru_stime.tv_usec) / 1e6;
}

/* The child: takes what comes until it is told to stop. */
static int receive_all(struct link *link)
{
	struct tw_udp_message messages[TW_UDP_BATCH];
	uint8_t *bytes = malloc(TW_UDP_BATCH * MESSAGE);
	double before = processor_seconds();

	if (!bytes)
		return 1;
	for (size_t i = 0; i < TW_UDP_BATCH; i++)
		messages[i] =
			(struct tw_udp_message){ .bytes = bytes + i * MESSAGE, .room = MESSAGE };
	while (!atomic_load(&link->board->stop)) {
		struct pollfd fd = { .fd = link->to.fd, .events = POLLIN };
		unsigned count = 0;
		uint64_t got = 0;

		if (tw_udp_receive(&link->to, messages, TW_UDP_BATCH, &count)) {
			poll(&fd, 1, 10);
			continue;
		}
		for (unsigned i = 0; i < count; i++)
			got += messages[i].length;
		atomic_fetch_add(&link->board->received, got);
	}
	link->board->seconds = processor_seconds() - before;
	free(bytes);
	return 0;
}

/* Sends until @span is over. Returns the bytes that have arrived by then, or -errno. */
static int64_t send_all(struct link *link, struct tw_train *train, tw_ns span)
{
	const struct timespec nap = { .tv_nsec = NAP };
	tw_ns start = tw_clock_now(), moved_at = start;
	uint64_t on_the_way = 0, before = 0;

	for (tw_ns now = start; tw_ns_since(now, start) < span; now = tw_clock_now()) {
		uint64_t received = atomic_load(&link->board->received), moved = received - before;
		size_t sent = 0;
		int r;

		on_the_way -= moved < on_the_way ? moved : on_the_way;
		before = received;
		if (moved > 0)
			moved_at = now;
		else if (tw_ns_since(now, moved_at) > PATIENCE)
			on_the_way = 0;
		if (on_the_way + train->length > link->window) {
			nanosleep(&nap, NULL);
			continue;
		}
		r = tw_udp_send(&link->from, train, &sent);
		on_the_way += sent;
		if (r == TW_E_AGAIN)
			nanosleep(&nap, NULL);
		else if (r)
			return r == TW_E_UNREACHABLE ? -ENETUNREACH : r;
	}
	return (int64_t)atomic_load(&link->board->received);
}

static int open_link(struct link *link)
{
	struct tw_udp_options options = {
		.local = { .family = TW_FAMILY_IPV4, .ip = { 127, 0, 0, 1 } },
	};
	int r = tw_udp_open(&options, &link->to);

	if (r)
		return r;
	options = (struct tw_udp_options){ .remote = link->to.local };
	r = tw_udp_open(&options, &link->from);
	if (r) {
		tw_udp_close(&link->to);
		return r;
	}
	link->window = link->to.receive_granted / 4;
	if (link->window < MESSAGE)
		link->window = MESSAGE;
	return 0;
}

static int run_link(struct link *link, size_t packet, tw_ns span, struct tw_bench_network *ret)
{
	size_t count = TW_UDP_TRAIN_MAX / packet;
	struct tw_train train = { .segment = (uint32_t)packet };
	tw_ns start = tw_clock_now();
	double before = processor_seconds();
	int64_t arrived;
	pid_t child = fork();

	if (child < 0)
		return -errno;
	if (child == 0)
		_exit(receive_all(link));
	count = count < link->from.segments_max ? count : link->from.segments_max;
	train.length = train.room = (count > 0 ? count : 1) * packet;
	train.bytes = calloc(1, train.room);
	arrived = train.bytes ? send_all(link, &train, span) : -ENOMEM;
	ret->bps = arrived > 0 ? tw_rate_of((uint64_t)arrived, tw_clock_now() - start) : 0;
	ret->send_seconds =
		arrived > 0 ? (processor_seconds() - before) / (double)arrived * GIB : 0;
	atomic_store(&link->board->stop, true);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	ret->segments = (unsigned)(train.room / packet);
	ret->receive_seconds = arrived > 0 ? link->board->seconds / (double)arrived * GIB : 0;
	free(train.bytes);
	return arrived < 0 ? (int)arrived : 0;
}

int tw_bench_network(size_t packet, tw_ns span, struct tw_bench_network *ret)
{
	struct link link = { 0 };
	int r;

	*ret = (struct tw_bench_network){ 0 };
	link.board = mmap(NULL, sizeof *link.board, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (link.board == MAP_FAILED)
		return -errno;
	r = open_link(&link);
	if (!r) {
		r = run_link(&link, packet, span, ret);
		tw_udp_close(&link.from);
		tw_udp_close(&link.to);
	}
	munmap(link.board, sizeof *link.board);
	return r;
}
