#include "cli/watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "netio/clock.h"

int tw_watch_open(struct tw_watch *watch)
{
	sigset_t signals;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	watch->interrupts = 0;
	watch->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return watch->signal_fd < 0 ? -errno : 0;
}

void tw_watch_close(struct tw_watch *watch)
{
	close(watch->signal_fd);
}

void tw_watch_wait(struct tw_watch *watch, const struct tw_team *team, tw_ns until)
{
	struct pollfd fds[1 + TW_CREW_MAX] = { { .fd = watch->signal_fd, .events = POLLIN } };
	tw_ns left = tw_ns_since(until, tw_clock_now());
	struct timespec timeout = { .tv_sec = (time_t)(left / TW_SECOND),
				    .tv_nsec = (long)(left % TW_SECOND) };
	struct signalfd_siginfo info;

	for (unsigned i = 0; i < team->count; i++)
		fds[1 + i] = (struct pollfd){ tw_worker_fd(team->workers[i]), POLLIN, 0 };
	if (ppoll(fds, 1 + team->count, until == TW_NEVER ? NULL : &timeout, NULL) <= 0)
		return;
	while (read(watch->signal_fd, &info, sizeof info) == sizeof info)
		watch->interrupts++;
}
