/*
 * relay_link.h - a foreground command's use of a relay: begins it, waits until it is registered,
 * says in plain words what changes later.
 */
#pragma once

#include <stdbool.h>

#include "cli/exit.h"
#include "cli/relay_name.h"
#include "netio/relay_agent.h"

struct tw_watch;
struct tw_worker;

struct tw_relay_link_cli {
	struct tw_relay_name name;
	struct tw_relay_agent *agent; /* NULL: no relay is used */
	struct tw_relay_agent_status status;
	bool said_apart, said_tunnelled;
};

/* --relay as given; says what is wrong with it. An exit code. */
int tw_relay_link_parse(struct tw_relay_link_cli *link, const char *text);
/*
 * Starts the agent (@options: its sockets and identity; the rest is filled in) and waits until the
 * relay serves us. An exit code; what went wrong is said.
 */
int tw_relay_link_open(struct tw_relay_link_cli *link, struct tw_relay_agent_options *options,
		       struct tw_watch *watch);
void tw_relay_link_close(struct tw_relay_link_cli *link);
/* Until the status has changed, or @limit is over. */
void tw_relay_link_wait(struct tw_relay_link_cli *link, tw_ns limit);
/* Takes the newest status and says what has changed. */
void tw_relay_link_follow(struct tw_relay_link_cli *link);
