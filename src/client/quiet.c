#include "client/quiet.h"

#include <pthread.h>
#include <time.h>

static sigset_t broken_pipe(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	return set;
}

static bool is_pending(void)
{
	sigset_t set;

	return sigpending(&set) == 0 && sigismember(&set, SIGPIPE) == 1;
}

void tw_quiet_begin(struct tw_quiet *quiet)
{
	const sigset_t set = broken_pipe();

	quiet->was_pending = is_pending();
	pthread_sigmask(SIG_BLOCK, &set, &quiet->before);
}

void tw_quiet_end(const struct tw_quiet *quiet)
{
	const struct timespec now = { 0 };
	const sigset_t set = broken_pipe();

	if (!quiet->was_pending && is_pending())
		sigtimedwait(&set, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &quiet->before, NULL);
}
