/*
 * watch.h - what a foreground command waits for: its workers, the user's signals, the next time to
 * say something.
 */
#pragma once

#include <stdbool.h>

#include "base/time.h"
#include "cli/team.h"

struct tw_watch {
	int signal_fd;
	unsigned interrupts; /* SIGINT, SIGTERM and SIGHUP so far */
};

/* Blocks the signals for this thread and all it starts. Before the worker is made. -errno. */
int tw_watch_open(struct tw_watch *watch);
void tw_watch_close(struct tw_watch *watch);
/* Returns at @until, or when a worker has something new or a signal has come. */
void tw_watch_wait(struct tw_watch *watch, const struct tw_team *team, tw_ns until);
