/*
 * accounts.h - what the engine asks of the one that keeps the rights (the monitor), as a seam.
 *
 * The engine parses what comes from outside and has no rights; the monitor has the rights and reads
 * nothing but these few questions. Two implementations: that of the engine of a server with a
 * monitor (monitor.h), and one within the process for whoever has none (tests, `tradewind send`),
 * which serves the process's own account alone.
 *
 * Every call blocks for a moment and may be made from any thread: pool threads for what takes long
 * (check, vouch, agent, resolve), a worker's for socket buffers. -EPIPE: the monitor is gone, and
 * the engine ends. -EBUSY: too many are being answered; ask again later.
 *
 * Accounts are granted: the monitor gives an agent only for an account that has proved itself to
 * the monitor (its password by PAM, or the Unix socket on which the kernel names the peer), now or
 * in an earlier run (the list is the monitor's own file). An engine that has been taken over is
 * limited to those.
 *
 * A user id that has no name in the system's database is an account too: its name is the number.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/address.h"

#define TW_ACCOUNT_NAME_MAX 256
#define TW_ACCOUNT_HOME_MAX 4096
#define TW_ACCOUNT_PASSWORD_MAX 1024
#define TW_ACCOUNTS_ADDRESSES_MAX 64 /* what resolve() may bring */
#define TW_TRIGGER_ARGUMENTS_MAX 8

struct tw_account {
	char name[TW_ACCOUNT_NAME_MAX];
	char home[TW_ACCOUNT_HOME_MAX];
	uid_t uid;
	gid_t gid;
	/* By --superuser or --supergroup, or as the account that started the server, or as root. */
	bool superuser_allowed;
};

/* Which accounts may become superusers, beside root and the one that started the server. */
struct tw_accounts_rules {
	const char *const *users;
	size_t user_count;
	const char *const *groups;
	size_t group_count;
};

struct tw_trigger_order {
	const char *user, *event;
	char *const *arguments; /* positional, at most TW_TRIGGER_ARGUMENTS_MAX; NULL at the end */
	int input;              /* standard input, a file to read from its beginning; borrowed */
};

/* A running trigger. Both are the caller's; closing @control kills what still runs. */
struct tw_trigger_run {
	int output;  /* its standard output and error, to read from */
	int control; /* becomes readable when it is over: its status as of wait(), an int32 */
};

struct tw_accounts;

struct tw_accounts_ops {
	/*
	 * Name and password through PAM (service "tradewind"); the same answer and the same time
	 * for all failures. Grants the account. -EACCES. A server that runs as an ordinary account
	 * can check that one alone, if at all (PAM modules have helpers for it).
	 */
	int (*check)(struct tw_accounts *accounts, const char *user, const char *password,
		     struct tw_account *ret);
	/*
	 * The account at the other end of a connected Unix stream socket: the monitor is handed the
	 * descriptor and asks the kernel itself (SO_PEERCRED). Grants it. -ENOTSOCK, -EACCES.
	 */
	int (*vouch)(struct tw_accounts *accounts, int socket, struct tw_account *ret);
	/* A granted account by name. -EACCES: not granted, or not the one any more that it was. */
	int (*find)(struct tw_accounts *accounts, const char *user, struct tw_account *ret);
	/* Whether the account is in the group, as its own or another one. */
	bool (*in_group)(struct tw_accounts *accounts, const char *user, const char *group);
	/*
	 * A connected SOCK_SEQPACKET to a file agent (agent.h) that runs with @user's ids and
	 * groups, started if there is none; several sockets of one agent are fine. Owned by the
	 * caller. "": the engine's own account, which has to be granted too if it is not that of
	 * the monitor. -EACCES: not granted.
	 */
	int (*agent)(struct tw_accounts *accounts, const char *user, int *ret_socket);
	/*
	 * As tw_resolve(), done by a process without rights: addresses of @host, at most @room and
	 * TW_ACCOUNTS_ADDRESSES_MAX. EAI_* as it is (negative), for tw_resolve_error().
	 */
	int (*resolve)(struct tw_accounts *accounts, const char *host, uint16_t port,
		       struct tw_address *ret, unsigned room, unsigned *ret_count);
	/*
	 * Sets a UDP socket's buffers beyond net.core.*mem_max where the monitor may
	 * (SO_RCVBUFFORCE, SO_SNDBUFFORCE). 0: no change. -EPERM: it may not. -EINVAL: not a UDP
	 * socket, or more than 1 GiB.
	 */
	int (*buffers)(struct tw_accounts *accounts, int socket, size_t receive, size_t send);
	/*
	 * Runs the executable file named as @order->event in the trigger folder, as @order->user
	 * (granted, or "" for the engine's own account), with an environment fixed by the monitor.
	 * -ENOENT: there is none of that name.
	 */
	int (*trigger)(struct tw_accounts *accounts, const struct tw_trigger_order *order,
		       struct tw_trigger_run *ret);
};

struct tw_accounts {
	const struct tw_accounts_ops *ops;
};

/*
 * Within the process: knows its own account and vouches for it and for root; check() refuses, and
 * trigger() finds nothing unless it has been told a folder. @agent_run, borrowed code:
 * tw_agent_run() (agent.h), run on a thread from the first agent() on; NULL: agent() is -ENOSYS.
 * @rules borrowed, may be NULL. -ENOMEM.
 */
int tw_accounts_local_new(const struct tw_accounts_rules *rules, int (*agent_run)(int control),
			  struct tw_accounts **ret);
/* The folder of trigger()'s programs, made absolute now; before anybody asks. -ENOMEM. */
int tw_accounts_local_triggers(struct tw_accounts *accounts, const char *folder);
/* Waits for the agent, which ends when its last client socket is closed. */
void tw_accounts_local_free(struct tw_accounts *accounts);
