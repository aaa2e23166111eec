/*
 * monitor_agents.c - file agents: one process for each account in use, with its ids. They are
 * found by name and handed sockets; one that has gone is replaced by the next that is asked for.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/become.h"
#include "auth/lookup.h"
#include "auth/monitor_private.h"
#include "base/text.h"

/*
 * The account is looked up anew, here where a module may be loaded and somebody may be waited for:
 * under this name there must still be this id.
 */
static int become_user(const struct tw_monitor *monitor, const struct tw_grant *granted)
{
	struct tw_become who = { .uid = granted->uid, .gid = granted->gid, .file_rights = true };
	struct tw_account account;
	uint64_t number;
	int r;

	if (granted == &monitor->engine_account && !monitor->engine_named)
		return tw_become(&who);
	r = tw_lookup_name(granted->name, NULL, monitor->starter, &account);
	if (r || account.uid != granted->uid)
		return r ? r : -EACCES;
	if (tw_text_parse_u64(account.name, account.uid, account.uid, &number) != 0) {
		who.gid = account.gid;
		who.name = account.name;
	}
	return tw_become(&who);
}

/* It opens what its account may. */
static int confine(const struct tw_monitor *monitor)
{
	const struct tw_confine_options options = {
		.role = TW_CONFINE_AGENT,
		.mode = monitor->options->confine,
		.keep_capabilities = true, /* root has some left, others have none by now */
		.everywhere = true,
	};
	struct tw_confine_report report;
	int r = tw_confine_rights(&options, &report);

	return r ? r : tw_confine_calls(&options, &report);
}

static void child(const struct tw_monitor *monitor, const struct tw_grant *granted, pid_t parent,
		  int control)
{
	if (tw_become_child(parent, &control, 1) || tw_become_clean() ||
	    become_user(monitor, granted) || confine(monitor))
		_exit(1);
	_exit(monitor->options->agent_run(control) ? 1 : 0);
}

static void drop(struct tw_monitor *monitor, struct tw_monitor_agent *agent)
{
	close(agent->control);
	*agent = monitor->agents[--monitor->agent_count];
}

static int start(struct tw_monitor *monitor, const struct tw_grant *granted,
		 struct tw_monitor_agent **ret)
{
	struct tw_monitor_agent *agent = &monitor->agents[monitor->agent_count];
	pid_t parent = getpid();
	int ends[2];

	if (monitor->agent_count == TW_MONITOR_AGENTS_MAX)
		return -EBUSY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	agent->pid = fork();
	if (agent->pid == 0)
		child(monitor, granted, parent, ends[1]);
	close(ends[1]);
	if (agent->pid < 0) {
		close(ends[0]);
		return -EAGAIN;
	}
	agent->control = ends[0];
	agent->uid = granted->uid;
	memcpy(agent->user, granted->name, sizeof(agent->user));
	monitor->agent_count++;
	*ret = agent;
	return 0;
}

static struct tw_monitor_agent *find(struct tw_monitor *monitor, const struct tw_grant *granted)
{
	for (unsigned i = 0; i < monitor->agent_count; i++)
		if (monitor->agents[i].uid == granted->uid &&
		    strcmp(monitor->agents[i].user, granted->name) == 0)
			return &monitor->agents[i];
	return NULL;
}

/* Never waits: an agent that does not take its sockets is as good as none. */
static int hand_over(const struct tw_monitor_agent *agent, int client)
{
	const struct iovec byte = { "", 1 };
	int r = tw_passing_send_all(agent->control, MSG_DONTWAIT, &byte, &client, 1);

	return r == -EAGAIN ? -EBUSY : r;
}

static int serve(struct tw_monitor *monitor, const struct tw_grant *granted, int client)
{
	struct tw_monitor_agent *agent = find(monitor, granted);
	int r = agent ? hand_over(agent, client) : -EPIPE;

	if (r != -EPIPE && r != -ECONNRESET)
		return r;
	/* It ends by itself, of idleness or of something worse. */
	if (agent)
		drop(monitor, agent);
	r = start(monitor, granted, &agent);
	if (r)
		return r;
	assert(agent);
	return hand_over(agent, client);
}

/*
 * What the engine is anyway needs no proof elsewhere, but an agent is not confined to the engine's
 * folders: it would open for the engine whatever anybody on this machine may read. So the engine's
 * own account has to prove itself as all others have, unless the monitor has no other.
 */
static const struct tw_grant *agent_granted(const struct tw_monitor *monitor, const char *user)
{
	const struct tw_grant *granted = tw_monitor_granted(monitor, user);

	if (granted != &monitor->engine_account || granted->uid == monitor->starter)
		return granted;
	return tw_grants_find(&monitor->grants, granted->name);
}

void tw_monitor_agent_ask(struct tw_monitor *monitor, const struct tw_auth_message *message)
{
	const struct tw_auth_message answer = { .kind = TW_AUTH_DESCRIPTORS,
						.serial = message->serial };
	const struct tw_grant *granted = agent_granted(monitor, message->user);
	int ends[2], r = -EACCES;

	if (granted && !monitor->options->agent_run)
		r = -ENOSYS;
	else if (granted && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		r = -errno;
	else if (granted) {
		r = serve(monitor, granted, ends[1]);
		close(ends[1]);
		if (!r)
			tw_monitor_answer(monitor, &answer, ends, 1);
		close(ends[0]);
	}
	if (r)
		tw_monitor_refuse(monitor, message->serial, r);
}

bool tw_monitor_agent_ended(struct tw_monitor *monitor, pid_t pid)
{
	for (unsigned i = 0; i < monitor->agent_count; i++)
		if (monitor->agents[i].pid == pid) {
			drop(monitor, &monitor->agents[i]);
			return true;
		}
	return false;
}

void tw_monitor_agents_end(struct tw_monitor *monitor)
{
	while (monitor->agent_count)
		drop(monitor, &monitor->agents[0]);
}
