/*
 * become.h - how a child of the monitor gets rid of what it does not need, for good.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * First thing in a child: signals as they are by default, but those that end a foreground program
 * (SIGTERM, SIGINT, SIGHUP, SIGPIPE) ignored: a whole group may be sent them, and the monitor says
 * when it is over. Standard input and output nowhere; every descriptor closed but standard error
 * and the @keep ones (any order, -1: none). Ends with SIGKILL as soon as
 * @parent, the monitor, does. -errno.
 */
int tw_become_child(pid_t parent, const int *keep, unsigned count);
/* Nothing of the environment that the server was started in, and the usual umask. -ENOMEM. */
int tw_become_clean(void);

struct tw_become {
	uid_t uid;
	gid_t gid;
	const char *name; /* its groups are taken from the database; NULL: none but @gid */
	/* Root stays what it is for files: of its capabilities those are kept that have to do with
	 * them. Counts for uid 0 only. */
	bool file_rights;
};

/*
 * Ids and groups, no capabilities left (nor to be had again: bounding set, no_new_privs), not to be
 * traced, the death signal of tw_become_child() renewed. Where the process is not root and @uid is
 * its own, the ids stay. -EPERM: it may not be @uid; -errno. After a failure the process must end.
 */
int tw_become(const struct tw_become *who);
