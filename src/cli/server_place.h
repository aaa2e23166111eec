/*
 * server_place.h - whom the engine of `tradewind server` runs as, and its two folders: made, given
 * to that account, held open. Done by the process with the rights, before it starts any other.
 *
 * The state folder stays the starter's own and is open to the engine's group, with the sticky bit:
 * the engine makes and removes what is its own, and cannot touch what the monitor keeps there. What
 * servers before have left in it is taken over. It is locked as long as any of the processes lives:
 * whoever starts next waits for one that is just dying.
 *
 * The receive folder becomes the engine's if it is root's or was an engine's before; what is in it,
 * only if a server has received into it before or it is the default one.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "cli/server.h"

#define TW_SERVER_ACCOUNT "tradewind"
/* Without that account: a user id that neither distributions nor systemd hand out. */
#define TW_SERVER_SPARE_ID 60886

struct tw_server_place {
	bool other; /* the engine's account is not the starter's */
	bool spare; /* it is no account, but an id that nobody has */
	bool alone; /* there is no other id to be had: a container */
	uid_t uid;
	gid_t gid;
	char name[TW_ACCOUNT_NAME_MAX]; /* "": no name */
	uid_t before; /* whom the last server with this state ran as; 0: root, none */
	/* Held open; state with the lock; log: the triggers' file, -1: none, or no plain file. */
	int state, receive, log;
};

/* Says what is wrong. An exit code. */
int tw_server_choose_account(const struct tw_arguments *arguments, struct tw_server_place *ret);
/* Fills in the descriptors. The same. */
int tw_server_make_folders(const struct tw_server_settings *settings,
			   struct tw_server_place *place);
/*
 * Gives what a run as root has left in the state folder to the engine. After whatever the starter
 * makes there for himself.
 */
int tw_server_give_state(const struct tw_server_settings *settings,
			 const struct tw_server_place *place);

/*
 * In the engine's process: becomes the account, and sees to it that the folders can be reached even
 * if what lies above them is closed to it (by way of the descriptors held).
 */
int tw_server_become_engine(const struct tw_server_place *place,
			    struct tw_server_settings *settings);
