/*
 * monitor.h - the process that keeps the rights, and what it starts: the engine, file agents, and a
 * short-lived child for each question that the system's databases or PAM have to answer.
 *
 * One thread, one loop. It parses nothing but the engine's messages (message.h), each at most
 * TW_AUTH_MESSAGE_ROOM bytes, and never waits for anybody: what takes long is a child's. It holds
 * the list of grants (grants.h). A message that it cannot read, or more of them than there is room
 * for answers, and the engine is killed: an honest one does neither.
 *
 * All of it ends together: the engine's end is the monitor's; when the monitor dies the kernel
 * kills the engine and all the others.
 *
 * It vouches only for connections that the engine's own door has let in (accepted.h): an engine
 * that was taken over could connect to a service of root's and show the monitor its end of that.
 *
 * Failed passwords are answered at whole multiples of TW_MONITOR_CHECK_NS after the question,
 * whatever took how long; successes at once.
 */
#pragma once

#include "auth/accounts.h"
#include "auth/confine.h"
#include "base/time.h"

#define TW_MONITOR_QUESTIONS_MAX 64 /* children at a time; beyond: -EBUSY */
#define TW_MONITOR_CHECKS_MAX 16    /* of them with PAM */
#define TW_MONITOR_AGENTS_MAX 512   /* beyond: -EBUSY */
#define TW_MONITOR_CHECK_NS (2 * TW_SECOND)
#define TW_MONITOR_QUESTION_NS (30 * TW_SECOND) /* a child that takes longer is killed */

enum tw_monitor_state { TW_MONITOR_READY, TW_MONITOR_STOPPING };

struct tw_monitor_options {
	const struct tw_accounts_rules *rules; /* borrowed; NULL: none */
	int state_folder;                      /* borrowed: where the grants are; -1: nowhere */
	const char *engine_name;               /* borrowed; NULL, "": it has none but its id */
	uid_t engine_uid;                      /* whose rights "" stands for */
	gid_t engine_gid;
	const char *pam_service;      /* TW_PAM_SERVICE */
	enum tw_confine_mode confine; /* of the file agents, and of what looks up host names */
	bool no_root_files;           /* root is never granted, whoever it proves to be */
	const char *trigger_folder;   /* absolute; NULL: none */
	/* Runs in the engine's process, with nothing given up yet but what tw_become_child() takes;
	 * @keep besides @socket, by which it asks (tw_accounts_monitor_new(), which takes it).
	 * Returns the exit status. */
	int (*engine)(void *context, int socket);
	int keep[8];
	unsigned keep_count;
	int (*agent_run)(int control); /* tw_agent_run(), or in its place */
	/* The engine has its copy of what the process held: the monitor can let go of its own.
	 * NULL: nothing to do; as those that follow. */
	void (*forked)(void *context);
	/* The engine says how far it is. */
	void (*state)(void *context, enum tw_monitor_state state);
	/* A sentence for the operator. */
	void (*tell)(void *context, const char *sentence);
	void *context;
};

/* By which the monitor tells the engine to stop in order: blocked in its process until it unblocks
 * it. */
#define TW_MONITOR_STOP SIGUSR1

/*
 * Forks the engine and serves it until it ends; SIGTERM and SIGINT stop it, a second one at once.
 * Needs a process of one thread. @ret_status: as of wait(). -errno: it could not begin.
 */
int tw_monitor_run(const struct tw_monitor_options *options, int *ret_status);

/* The engine's side: accounts.h by questions over @socket (taken). -ENOMEM. */
int tw_accounts_monitor_new(int socket, struct tw_accounts **ret);
/* No call may be under way. */
void tw_accounts_monitor_free(struct tw_accounts *accounts);
/*
 * The engine serves from now on, and reads what comes from outside. @listener: the Unix socket that
 * callers come in by (borrowed; -1: none); the monitor vouches for them alone. -EPIPE.
 */
int tw_accounts_monitor_ready(struct tw_accounts *accounts, int listener);
/* It ends by itself. -EPIPE. */
int tw_accounts_monitor_stopping(struct tw_accounts *accounts);
