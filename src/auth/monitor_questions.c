/* monitor_questions.c - children of the monitor that live for one question. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/accepted.h"
#include "auth/become.h"
#include "auth/lookup.h"
#include "auth/monitor_private.h"
#include "auth/pam.h"
#include "auth/resolver.h"
#include "auth/trigger.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/text.h"
#include "netio/clock.h"

/* What a child works with; descriptors that go with its answer. */
struct work {
	const struct tw_monitor *monitor;
	const struct tw_auth_message *message;
	const struct ucred *peer;
	int input; /* -1: none came */
	int fds[2];
	unsigned fd_count;
};

static void say_account(struct tw_auth_message *answer, int r, const struct tw_account *account)
{
	answer->kind = r ? TW_AUTH_RESULT : TW_AUTH_ACCOUNT;
	answer->result = r;
	if (!r)
		answer->account = *account;
}

/* The account that PAM passed must be one of the system's too. */
static void run_check(struct work *work, struct tw_auth_message *answer)
{
	const struct tw_monitor *monitor = work->monitor;
	const struct tw_monitor_options *options = monitor->options;
	char user[TW_ACCOUNT_NAME_MAX];
	struct tw_account account = { 0 };
	int r = tw_pam_check(options->pam_service, work->message->user, work->message->text, user,
			     sizeof(user));

	if (!r)
		r = tw_lookup_name(user, options->rules, monitor->starter, &account);
	say_account(answer, r ? -EACCES : 0, &account);
}

static void run_vouch(struct work *work, struct tw_auth_message *answer)
{
	const struct tw_monitor *monitor = work->monitor;
	struct tw_account account = { 0 };
	int r = tw_lookup_uid(work->peer->uid, work->peer->gid, monitor->options->rules,
			      monitor->starter, &account);

	say_account(answer, r, &account);
}

/* "": the engine's own, which may have no name. */
static int find_account(const struct work *work, const struct tw_accounts_rules *rules,
			struct tw_account *ret)
{
	const struct tw_monitor *monitor = work->monitor;

	if (!*work->message->user)
		return tw_lookup_uid(monitor->options->engine_uid, monitor->options->engine_gid,
				     rules, monitor->starter, ret);
	return tw_lookup_name(work->message->user, rules, monitor->starter, ret);
}

static void run_find(struct work *work, struct tw_auth_message *answer)
{
	const struct tw_monitor *monitor = work->monitor;
	const struct tw_grant *granted = tw_monitor_granted(monitor, work->message->user);
	struct tw_account account = { 0 };
	uint64_t number;
	int r = find_account(work, monitor->options->rules, &account);

	/* Of an id without a name only its proof knows the group. */
	if (!r && granted && granted->uid == account.uid &&
	    tw_text_parse_u64(account.name, account.uid, account.uid, &number) == 0)
		account.gid = granted->gid;
	say_account(answer, r == -ENOENT ? -EACCES : r, &account);
}

static void run_in_group(struct work *work, struct tw_auth_message *answer)
{
	const struct tw_monitor *monitor = work->monitor;
	struct tw_account account;
	int r = tw_lookup_name(work->message->user, NULL, monitor->starter, &account);

	answer->kind = TW_AUTH_RESULT;
	answer->result = !r && tw_lookup_in_group(account.name, account.gid, work->message->text);
}

static void run_resolve(struct work *work, struct tw_auth_message *answer)
{
	const struct tw_auth_message *message = work->message;

	answer->result =
		tw_resolver_look_up(work->monitor->options->confine, message->text, message->port,
				    answer->addresses, message->room, &answer->address_count);
	answer->kind = answer->result ? TW_AUTH_RESULT : TW_AUTH_ADDRESSES;
}

/* Whom a program runs as: one that has proved itself, as he is now, or the engine's own. */
static int trigger_account(const struct work *work, struct tw_account *ret)
{
	const struct tw_grant *granted = tw_monitor_granted(work->monitor, work->message->user);
	int r = granted ? find_account(work, NULL, ret) : -EACCES;

	if (r)
		return r == -ENOENT ? -EACCES : r;
	return ret->uid == granted->uid ? 0 : -EACCES;
}

static void run_trigger(struct work *work, struct tw_auth_message *answer)
{
	const struct tw_auth_message *message = work->message;
	const char *folder = work->monitor->options->trigger_folder;
	char *arguments[TW_TRIGGER_ARGUMENTS_MAX + 1] = { NULL };
	const struct tw_trigger_order order = { .user = message->user,
						.event = message->text,
						.arguments = arguments,
						.input = work->input };
	const char *at = message->arguments;
	struct tw_trigger_run run;
	struct tw_account account;

	for (unsigned i = 0; i < message->argument_count; i++, at += strlen(at) + 1)
		arguments[i] = (char *)at;
	answer->kind = TW_AUTH_RESULT;
	answer->result = folder ? trigger_account(work, &account) : -ENOENT;
	if (!answer->result)
		answer->result = tw_trigger_start(folder, &account, &order, &run);
	if (answer->result)
		return;
	answer->kind = TW_AUTH_DESCRIPTORS;
	work->fds[0] = run.output;
	work->fds[1] = run.control;
	work->fd_count = 2;
}

/*
 * One row a kind that children answer. @rights: it keeps those of the monitor; the others run with
 * the engine's ids and no capability.
 */
static const struct {
	void (*run)(struct work *work, struct tw_auth_message *answer);
	bool rights;
} rows[TW_AUTH_KINDS] = {
	[TW_AUTH_CHECK] = { run_check, true },      [TW_AUTH_VOUCH] = { run_vouch, true },
	[TW_AUTH_FIND] = { run_find, true },        [TW_AUTH_IN_GROUP] = { run_in_group, true },
	[TW_AUTH_RESOLVE] = { run_resolve, false }, [TW_AUTH_TRIGGER] = { run_trigger, true },
};

static struct tw_monitor_question *free_place(struct tw_monitor *monitor, enum tw_auth_kind kind)
{
	struct tw_monitor_question *place = NULL;
	unsigned checks = 0;

	for (unsigned i = 0; i < TW_MONITOR_QUESTIONS_MAX; i++) {
		struct tw_monitor_question *question = &monitor->questions[i];

		if (!question->pid)
			place = question;
		else
			checks += question->kind == TW_AUTH_CHECK;
	}
	return kind == TW_AUTH_CHECK && checks >= TW_MONITOR_CHECKS_MAX ? NULL : place;
}

static void child(struct work *work, pid_t parent, int fd)
{
	const struct tw_monitor_options *options = work->monitor->options;
	const struct tw_auth_message *message = work->message;
	const struct tw_become engine = { .uid = options->engine_uid, .gid = options->engine_gid };
	const int keep[] = { fd, work->input };
	struct tw_auth_message answer = { .serial = message->serial };

	if (tw_become_child(parent, keep, 2) || tw_become_clean() ||
	    (!rows[message->kind].rights && tw_become(&engine)))
		_exit(1);
	rows[message->kind].run(work, &answer);
	_exit(tw_auth_send(fd, 0, &answer, work->fds, work->fd_count) ? 1 : 0);
}

static int start(struct tw_monitor *monitor, struct tw_monitor_question *question,
		 const struct tw_auth_message *message, const struct tw_passed *passed)
{
	struct work work = { .monitor = monitor,
			     .message = message,
			     .peer = &question->peer,
			     .input = passed->count ? passed->fds[0] : -1 };
	pid_t parent = getpid();
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	question->pid = fork();
	if (question->pid == 0)
		child(&work, parent, ends[1]);
	close(ends[1]);
	if (question->pid < 0) {
		question->pid = 0;
		close(ends[0]);
		return -EAGAIN;
	}
	question->fd = ends[0];
	return 0;
}

/* Most events have no program: nobody is started to find that out. */
static bool has_trigger(const struct tw_monitor *monitor, const char *event)
{
	const char *folder = monitor->options->trigger_folder;
	char path[PATH_MAX];

	return folder && *event && *event != '.' && !strchr(event, '/') &&
	       snprintf(path, sizeof(path), "%s/%s", folder, event) < PATH_MAX &&
	       access(path, F_OK) == 0;
}

/* An engine that is the monitor's own account can do as it likes anyway. */
static int came_in(const struct tw_monitor *monitor, int socket)
{
	int r = 0;

	if (monitor->options->engine_uid == monitor->starter)
		return 0;
	if (monitor->door < 0)
		return -EACCES;
	r = tw_accepted_from(socket, monitor->door);
	if (r && r != -EACCES)
		tw_monitor_tell(monitor,
				"the kernel does not say where a connection came from (%s; its "
				"module unix_diag may be missing): nobody is known by the Unix "
				"socket",
				tw_strerror(r));
	return r ? -EACCES : 0;
}

/* What the monitor itself knows before anybody is asked. */
static int look_before(struct tw_monitor *monitor, const struct tw_auth_message *message,
		       const struct tw_passed *passed, struct tw_monitor_question *question)
{
	if (message->kind == TW_AUTH_VOUCH) {
		int r = tw_passing_peer(passed->fds[0], &question->peer);

		return r ? r : came_in(monitor, passed->fds[0]);
	}
	if (message->kind == TW_AUTH_FIND && !tw_monitor_granted(monitor, message->user))
		return -EACCES;
	if (message->kind == TW_AUTH_TRIGGER && !has_trigger(monitor, message->text))
		return -ENOENT;
	return 0;
}

void tw_monitor_question_ask(struct tw_monitor *monitor, const struct tw_auth_message *message,
			     const struct tw_passed *passed)
{
	struct tw_monitor_question *question = free_place(monitor, message->kind);
	int r = -EBUSY;

	if (!rows[message->kind].run) {
		r = -ENOSYS;
	} else if (question) {
		*question = (struct tw_monitor_question){ .fd = -1,
							  .begun = tw_clock_now(),
							  .kind = message->kind,
							  .serial = message->serial };
		question->due = question->begun + TW_MONITOR_QUESTION_NS;
		memcpy(question->user, message->user, sizeof(question->user));
		r = look_before(monitor, message, passed, question);
		if (!r)
			r = start(monitor, question, message, passed);
	}
	if (r)
		tw_monitor_refuse(monitor, message->serial, r);
}

/* One that has been reaped has a place, and no process any more. */
static void end_child(const struct tw_monitor_question *question)
{
	if (question->pid > 0)
		kill(question->pid, SIGKILL);
}

static void let_go(struct tw_monitor_question *question)
{
	if (question->fd >= 0)
		close(question->fd);
	free(question->late);
	*question = (struct tw_monitor_question){ .fd = -1 };
}

static void grant(struct tw_monitor *monitor, const struct tw_account *account)
{
	int r = 0;

	if (account->uid || !monitor->options->no_root_files)
		r = tw_grants_add(&monitor->grants, account);
	if (r)
		tw_monitor_tell(monitor, "the list of accounts cannot be stored: %s",
				tw_strerror(r));
}

/* Whether the answer holds: the child may have been fooled by what it loaded. */
static bool believe(struct tw_monitor *monitor, const struct tw_monitor_question *question,
		    const struct tw_auth_message *answer)
{
	const struct tw_grant *old;

	switch (question->kind) {
	case TW_AUTH_CHECK:
		break;
	case TW_AUTH_VOUCH:
		if (answer->account.uid != question->peer.uid)
			return false;
		break;
	case TW_AUTH_FIND:
		old = tw_monitor_granted(monitor, question->user);
		if (!old || (*question->user && strcmp(answer->account.name, question->user) != 0))
			return false;
		if (old->uid == answer->account.uid)
			return true;
		tw_monitor_tell(monitor, "the account %s is not the one that it was", old->name);
		tw_grants_remove(&monitor->grants, question->user);
		return false;
	default:
		return false;
	}
	grant(monitor, &answer->account);
	return true;
}

/* The failure of a password: at a time that tells nothing. */
static void refuse_later(struct tw_monitor *monitor, struct tw_monitor_question *question)
{
	tw_ns took = tw_clock_now() - question->begun;

	question->late = calloc(1, sizeof(*question->late));
	if (!question->late) {
		tw_monitor_refuse(monitor, question->serial, -EACCES);
		let_go(question);
		return;
	}
	question->late->kind = TW_AUTH_RESULT;
	question->late->serial = question->serial;
	question->late->result = -EACCES;
	question->due = question->begun + (took / TW_MONITOR_CHECK_NS + 1) * TW_MONITOR_CHECK_NS;
	if (question->fd >= 0)
		close(question->fd);
	question->fd = -1;
	end_child(question);
}

/* Whether such an answer belongs to such a question. */
static bool belongs(enum tw_auth_kind answer, enum tw_auth_kind question)
{
	switch (answer) {
	case TW_AUTH_RESULT:
		return true;
	case TW_AUTH_ACCOUNT:
		return question == TW_AUTH_CHECK || question == TW_AUTH_VOUCH ||
		       question == TW_AUTH_FIND;
	case TW_AUTH_ADDRESSES:
		return question == TW_AUTH_RESOLVE;
	case TW_AUTH_DESCRIPTORS:
		return question == TW_AUTH_TRIGGER;
	default:
		return false;
	}
}

/* @passed: borrowed descriptors of the answer. */
static void conclude(struct tw_monitor *monitor, struct tw_monitor_question *question,
		     struct tw_auth_message *answer, const struct tw_passed *passed)
{
	if (!belongs(answer->kind, question->kind) ||
	    (answer->kind == TW_AUTH_ACCOUNT && !believe(monitor, question, answer))) {
		answer->kind = TW_AUTH_RESULT;
		answer->result = -EACCES;
	}
	if (question->kind == TW_AUTH_CHECK && answer->kind == TW_AUTH_RESULT) {
		refuse_later(monitor, question);
		return;
	}
	answer->serial = question->serial;
	tw_monitor_answer(monitor, answer, passed->fds,
			  answer->kind == TW_AUTH_DESCRIPTORS ? passed->count : 0);
	let_go(question);
}

/* A child that ends without a word has failed. */
void tw_monitor_question_readable(struct tw_monitor *monitor, struct tw_monitor_question *question)
{
	struct tw_auth_message answer;
	struct tw_passed passed = { 0 };
	int r = tw_auth_receive(question->fd, MSG_DONTWAIT, &answer, &passed);

	if (r == -EAGAIN)
		return;
	if (r)
		answer = (struct tw_auth_message){ .kind = TW_AUTH_RESULT, .result = -EIO };
	conclude(monitor, question, &answer, &passed);
	tw_passed_close(&passed);
	tw_wipe(&answer, sizeof(answer));
}

tw_ns tw_monitor_questions_due(struct tw_monitor *monitor, tw_ns now)
{
	tw_ns next = TW_NEVER;

	for (unsigned i = 0; i < TW_MONITOR_QUESTIONS_MAX; i++) {
		struct tw_monitor_question *question = &monitor->questions[i];

		if (!question->pid)
			continue;
		if (question->due <= now && question->late) {
			tw_monitor_answer(monitor, question->late, NULL, 0);
			let_go(question);
		} else if (question->due <= now) {
			const struct tw_passed nothing = { 0 };
			struct tw_auth_message none = { .kind = TW_AUTH_RESULT,
							.result = -ETIMEDOUT };

			end_child(question);
			conclude(monitor, question, &none, &nothing);
		}
		if (question->pid && question->due < next)
			next = question->due;
	}
	return next;
}

bool tw_monitor_question_ended(struct tw_monitor *monitor, pid_t pid)
{
	for (unsigned i = 0; i < TW_MONITOR_QUESTIONS_MAX; i++)
		if (monitor->questions[i].pid == pid) {
			/* The place is taken until the answer is out. */
			monitor->questions[i].pid = -1;
			return true;
		}
	return false;
}

void tw_monitor_questions_end(struct tw_monitor *monitor)
{
	for (unsigned i = 0; i < TW_MONITOR_QUESTIONS_MAX; i++) {
		struct tw_monitor_question *question = &monitor->questions[i];

		if (!question->pid)
			continue;
		end_child(question);
		let_go(question);
	}
}
