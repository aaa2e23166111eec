/* accounts_local.c - accounts.h within the process, for its own account. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/accounts.h"
#include "auth/lookup.h"
#include "auth/passing.h"
#include "auth/trigger.h"
#include "netio/sockaddr.h"

struct local {
	struct tw_accounts accounts;
	const struct tw_accounts_rules *rules;
	int (*agent_run)(int control);
	char *triggers;       /* the folder, absolute; NULL: none */
	pthread_mutex_t lock; /* over what follows */
	bool running;
	pthread_t thread;
	int control, agent_control;
};

static struct local *of(struct tw_accounts *accounts)
{
	return (struct local *)accounts;
}

static int local_check(struct tw_accounts *accounts, const char *user, const char *password,
		       struct tw_account *ret)
{
	(void)accounts;
	(void)user;
	(void)password;
	(void)ret;
	return -EACCES;
}

static int own_account(const struct local *local, struct tw_account *ret)
{
	return tw_lookup_uid(geteuid(), getegid(), local->rules, geteuid(), ret);
}

static int local_vouch(struct tw_accounts *accounts, int socket, struct tw_account *ret)
{
	struct ucred peer;
	int r = tw_passing_peer(socket, &peer);

	return r ? r : tw_lookup_uid(peer.uid, peer.gid, of(accounts)->rules, geteuid(), ret);
}

static int local_find(struct tw_accounts *accounts, const char *user, struct tw_account *ret)
{
	struct tw_account own;
	int r = own_account(of(accounts), &own);

	if (r)
		return r;
	if (*user && strcmp(user, own.name) != 0)
		return -EACCES;
	*ret = own;
	return 0;
}

static bool local_in_group(struct tw_accounts *accounts, const char *user, const char *group)
{
	struct tw_account account;

	return tw_lookup_name(user, of(accounts)->rules, geteuid(), &account) == 0 &&
	       tw_lookup_in_group(account.name, account.gid, group);
}

static void *run_agent(void *argument)
{
	struct local *local = argument;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	(void)local->agent_run(local->agent_control);
	return NULL;
}

static void end_agent(struct local *local)
{
	if (!local->running)
		return;
	close(local->control);
	pthread_join(local->thread, NULL);
	local->running = false;
}

static int start_agent(struct local *local)
{
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	local->control = ends[0];
	local->agent_control = ends[1];
	r = pthread_create(&local->thread, NULL, run_agent, local);
	if (r) {
		close(ends[0]);
		close(ends[1]);
		return -r;
	}
	local->running = true;
	return 0;
}

/* One that was idle has gone: another takes its place. */
static int hand_over(struct local *local, int client)
{
	int r = local->running ? tw_passing_send(local->control, "", 1, client) : -EPIPE;

	if (r != -EPIPE && r != -ECONNRESET)
		return r;
	end_agent(local);
	r = start_agent(local);
	return r ? r : tw_passing_send(local->control, "", 1, client);
}

static int local_agent(struct tw_accounts *accounts, const char *user, int *ret_socket)
{
	struct local *local = of(accounts);
	struct tw_account account;
	int ends[2], r = local_find(accounts, user, &account);

	if (r)
		return r;
	if (!local->agent_run)
		return -ENOSYS;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	pthread_mutex_lock(&local->lock);
	r = hand_over(local, ends[1]);
	pthread_mutex_unlock(&local->lock);
	close(ends[1]);
	if (r)
		close(ends[0]);
	else
		*ret_socket = ends[0];
	return r;
}

static int local_resolve(struct tw_accounts *accounts, const char *host, uint16_t port,
			 struct tw_address *ret, unsigned room, unsigned *ret_count)
{
	(void)accounts;
	return tw_resolve(host, port, ret, room, ret_count);
}

static int local_buffers(struct tw_accounts *accounts, int socket, size_t receive, size_t send)
{
	(void)accounts;
	return tw_passing_buffers(socket, receive, send);
}

static int local_trigger(struct tw_accounts *accounts, const struct tw_trigger_order *order,
			 struct tw_trigger_run *ret)
{
	const struct local *local = of(accounts);
	struct tw_account own;
	int r;

	if (!local->triggers)
		return -ENOENT;
	/* Root needs nobody's word for whom it may become. */
	if (*order->user && geteuid() == 0)
		r = tw_lookup_name(order->user, local->rules, 0, &own);
	else
		r = local_find(accounts, order->user, &own);
	if (r)
		return r == -ENOENT ? -EACCES : r;
	return tw_trigger_start(local->triggers, &own, order, ret);
}

int tw_accounts_local_triggers(struct tw_accounts *accounts, const char *folder)
{
	char *here = folder[0] == '/' ? NULL : get_current_dir_name(), *whole = NULL;

	/* Programs run in /: a path that is not absolute would lead nowhere there. */
	if (folder[0] == '/')
		whole = strdup(folder);
	else if (here && asprintf(&whole, "%s/%s", here, folder) < 0)
		whole = NULL;
	free(here);
	free(of(accounts)->triggers);
	of(accounts)->triggers = whole;
	return whole ? 0 : -ENOMEM;
}

static const struct tw_accounts_ops local_ops = {
	.check = local_check,
	.vouch = local_vouch,
	.find = local_find,
	.in_group = local_in_group,
	.agent = local_agent,
	.resolve = local_resolve,
	.buffers = local_buffers,
	.trigger = local_trigger,
};

int tw_accounts_local_new(const struct tw_accounts_rules *rules, int (*agent_run)(int control),
			  struct tw_accounts **ret)
{
	struct local *local = calloc(1, sizeof(*local));

	if (!local)
		return -ENOMEM;
	local->accounts.ops = &local_ops;
	local->rules = rules;
	local->agent_run = agent_run;
	pthread_mutex_init(&local->lock, NULL);
	*ret = &local->accounts;
	return 0;
}

void tw_accounts_local_free(struct tw_accounts *accounts)
{
	struct local *local = of(accounts);

	if (!accounts)
		return;
	end_agent(local);
	free(local->triggers);
	pthread_mutex_destroy(&local->lock);
	free(local);
}
