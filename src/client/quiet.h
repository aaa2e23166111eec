/*
 * quiet.h - keeps SIGPIPE from a thread while it writes to sockets through TLS, which has no flag
 * for that. A signal that was waiting before stays; one that comes meanwhile is taken away.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>

struct tw_quiet {
	sigset_t before;
	bool was_pending;
};

void tw_quiet_begin(struct tw_quiet *quiet);
void tw_quiet_end(const struct tw_quiet *quiet);
