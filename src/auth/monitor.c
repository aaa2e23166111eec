#include "auth/monitor.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/become.h"
#include "auth/monitor_private.h"
#include "base/error.h"
#include "base/secret.h"
#include "netio/clock.h"

#define LAST_WAIT (2 * TW_SECOND) /* for children, once the engine has ended */
#define MESSAGES_A_TURN 32

void tw_monitor_tell(const struct tw_monitor *monitor, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (monitor->options->tell)
		monitor->options->tell(monitor->options->context, text);
}

/* What it does is not the doing of a program that is in order. */
static void kill_engine(struct tw_monitor *monitor, const char *why)
{
	tw_monitor_tell(monitor, "the engine %s and is ended", why);
	if (monitor->engine > 0)
		kill(monitor->engine, SIGKILL);
}

void tw_monitor_answer(struct tw_monitor *monitor, const struct tw_auth_message *answer,
		       const int *fds, unsigned count)
{
	int r;

	/* It has closed its side and is about to end: nobody is there to be told. */
	if (monitor->socket < 0)
		return;
	r = tw_auth_send(monitor->socket, MSG_DONTWAIT, answer, fds, count);
	if (r == -EMSGSIZE && answer->kind != TW_AUTH_RESULT)
		tw_monitor_refuse(monitor, answer->serial, r);
	else if (r && r != -EPIPE && r != -ECONNRESET)
		kill_engine(monitor, "does not listen");
}

void tw_monitor_refuse(struct tw_monitor *monitor, uint32_t serial, int error)
{
	const struct tw_auth_message answer = { .kind = TW_AUTH_RESULT,
						.serial = serial,
						.result = error };

	tw_monitor_answer(monitor, &answer, NULL, 0);
}

const struct tw_grant *tw_monitor_granted(const struct tw_monitor *monitor, const char *user)
{
	const struct tw_grant *granted;

	if (!*user || strcmp(user, monitor->engine_account.name) == 0)
		return &monitor->engine_account;
	granted = tw_grants_find(&monitor->grants, user);
	return granted && !granted->uid && monitor->options->no_root_files ? NULL : granted;
}

static void close_door(struct tw_monitor *monitor)
{
	if (monitor->door >= 0)
		close(monitor->door);
	monitor->door = -1;
}

static void set_buffers(struct tw_monitor *monitor, const struct tw_auth_message *message,
			const struct tw_passed *passed)
{
	int r = -EINVAL;

	if (message->receive <= SIZE_MAX && message->send <= SIZE_MAX)
		r = tw_passing_buffers(passed->fds[0], (size_t)message->receive,
				       (size_t)message->send);
	tw_monitor_refuse(monitor, message->serial, r);
}

/* The door is named once, while the engine is what it was started as. */
static void take_state(struct tw_monitor *monitor, enum tw_auth_kind kind, struct tw_passed *passed)
{
	if (kind == TW_AUTH_READY && !monitor->ready && passed->count) {
		monitor->door = passed->fds[0];
		passed->count = 0;
	}
	monitor->ready = true;
	/* Whoever comes now is to see that nobody is there. */
	if (kind == TW_AUTH_STOPPING)
		close_door(monitor);
	if (monitor->options->state)
		monitor->options->state(monitor->options->context, kind == TW_AUTH_READY
									   ? TW_MONITOR_READY
									   : TW_MONITOR_STOPPING);
}

static void take_message(struct tw_monitor *monitor, const struct tw_auth_message *message,
			 struct tw_passed *passed)
{
	switch (message->kind) {
	case TW_AUTH_CHECK:
	case TW_AUTH_VOUCH:
	case TW_AUTH_FIND:
	case TW_AUTH_IN_GROUP:
	case TW_AUTH_RESOLVE:
	case TW_AUTH_TRIGGER:
		tw_monitor_question_ask(monitor, message, passed);
		break;
	case TW_AUTH_AGENT:
		tw_monitor_agent_ask(monitor, message);
		break;
	case TW_AUTH_BUFFERS:
		set_buffers(monitor, message, passed);
		break;
	case TW_AUTH_READY:
	case TW_AUTH_STOPPING:
		take_state(monitor, message->kind, passed);
		break;
	default:
		kill_engine(monitor, "says what only the monitor may");
	}
}

static void read_messages(struct tw_monitor *monitor)
{
	struct tw_auth_message message;

	for (unsigned i = 0; i < MESSAGES_A_TURN; i++) {
		struct tw_passed passed;
		int r = tw_auth_receive(monitor->socket, MSG_DONTWAIT, &message, &passed);

		if (r == -EAGAIN)
			break;
		if (r == TW_E_FORMAT)
			kill_engine(monitor, "sends what cannot be read");
		if (r) {
			/* It has closed its side: what is left is to wait for its end. */
			close(monitor->socket);
			monitor->socket = -1;
			break;
		}
		take_message(monitor, &message, &passed);
		tw_passed_close(&passed);
	}
	tw_wipe(&message, sizeof(message));
}

static void reap(struct tw_monitor *monitor, int *ret_status)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == monitor->engine) {
			monitor->engine = -1;
			monitor->over = true;
			*ret_status = status;
			continue;
		}
		if (!tw_monitor_question_ended(monitor, pid))
			tw_monitor_agent_ended(monitor, pid);
	}
}

static void stop(struct tw_monitor *monitor)
{
	if (monitor->engine > 0)
		kill(monitor->engine, monitor->stops++ ? SIGKILL : TW_MONITOR_STOP);
}

static void on_signals(struct tw_monitor *monitor, int *ret_status)
{
	struct signalfd_siginfo info;

	while (read(monitor->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(monitor, ret_status);
		else if (info.ssi_signo != SIGHUP) /* a terminal that goes away is no reason */
			stop(monitor);
	}
}

static int milliseconds(tw_ns now, tw_ns until)
{
	if (until == TW_NEVER)
		return -1;
	if (until <= now)
		return 0;
	return until - now > 60 * TW_SECOND ? 60000 : (int)((until - now) / TW_MSEC) + 1;
}

static void turn(struct tw_monitor *monitor, tw_ns until, int *ret_status)
{
	struct pollfd fds[2 + TW_MONITOR_QUESTIONS_MAX] = {
		{ .fd = monitor->signals, .events = POLLIN },
		{ .fd = monitor->socket, .events = POLLIN },
	};
	tw_ns now = tw_clock_now(), next = tw_monitor_questions_due(monitor, now);

	for (unsigned i = 0; i < TW_MONITOR_QUESTIONS_MAX; i++) {
		struct tw_monitor_question *question = &monitor->questions[i];

		fds[2 + i] = (struct pollfd){ .fd = question->pid ? question->fd : -1,
					      .events = POLLIN };
	}
	if (poll(fds, sizeof(fds) / sizeof(*fds), milliseconds(now, next < until ? next : until)) <=
	    0)
		return;
	/* Answers before new questions, so that places are free. */
	for (unsigned i = 0; i < TW_MONITOR_QUESTIONS_MAX; i++)
		if (fds[2 + i].revents)
			tw_monitor_question_readable(monitor, &monitor->questions[i]);
	if (fds[1].revents)
		read_messages(monitor);
	if (fds[0].revents)
		on_signals(monitor, ret_status);
}

static bool children_left(void)
{
	return waitid(P_ALL, 0, &(siginfo_t){ 0 }, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* All that was started goes before the monitor does; what hangs in the kernel is left to it. */
static void wind_up(struct tw_monitor *monitor)
{
	tw_ns until = tw_clock_now() + LAST_WAIT;
	int status;

	/* Its last words may still be there. */
	if (monitor->socket >= 0)
		read_messages(monitor);
	tw_monitor_questions_end(monitor);
	tw_monitor_agents_end(monitor);
	if (monitor->socket >= 0)
		close(monitor->socket);
	monitor->socket = -1;
	close_door(monitor);
	reap(monitor, &status);
	while (children_left() && tw_clock_now() < until)
		turn(monitor, until, &status);
}

static int watch_signals(struct tw_monitor *monitor, sigset_t *ret_before)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	sigset_t wanted;

	sigemptyset(&wanted);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaddset(&wanted, numbers[i]);
	if (sigprocmask(SIG_BLOCK, &wanted, ret_before))
		return -errno;
	monitor->signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	return monitor->signals < 0 ? -errno : 0;
}

static void run_engine(const struct tw_monitor_options *options, pid_t parent, int socket)
{
	int keep[sizeof(options->keep) / sizeof(*options->keep) + 1];
	sigset_t later;

	memcpy(keep, options->keep, sizeof(options->keep));
	keep[options->keep_count] = socket;
	if (tw_become_child(parent, keep, options->keep_count + 1))
		_exit(1);
	/* An order to stop waits until there is somebody to follow it. */
	sigemptyset(&later);
	sigaddset(&later, TW_MONITOR_STOP);
	sigprocmask(SIG_BLOCK, &later, NULL);
	exit(options->engine(options->context, socket));
}

static int start_engine(struct tw_monitor *monitor)
{
	pid_t parent = getpid();
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	monitor->engine = fork();
	if (monitor->engine == 0) {
		close(ends[0]);
		tw_grants_close(&monitor->grants);
		run_engine(monitor->options, parent, ends[1]);
	}
	close(ends[1]);
	monitor->socket = ends[0];
	return monitor->engine < 0 ? -errno : 0;
}

static int open_grants(struct tw_monitor *monitor)
{
	int r = tw_grants_open(monitor->options->state_folder, &monitor->grants);

	if (r == TW_E_UNSAFE)
		tw_monitor_tell(monitor, "the list of accounts that have proved themselves is "
					 "open to others: it is not used");
	else if (r > 0)
		tw_monitor_tell(monitor, "the list of accounts that have proved themselves is "
					 "damaged: it begins anew");
	return r < 0 ? r : 0;
}

int tw_monitor_run(const struct tw_monitor_options *options, int *ret_status)
{
	struct tw_monitor *monitor = calloc(1, sizeof(*monitor));
	sigset_t before;
	int status = 0, r;

	if (!monitor)
		return -ENOMEM;
	*monitor = (struct tw_monitor){
		.options = options, .starter = geteuid(), .socket = -1, .signals = -1, .door = -1
	};
	monitor->engine_account =
		(struct tw_grant){ .uid = options->engine_uid, .gid = options->engine_gid };
	monitor->engine_named = options->engine_name && *options->engine_name;
	if (monitor->engine_named)
		snprintf(monitor->engine_account.name, sizeof(monitor->engine_account.name), "%s",
			 options->engine_name);
	else
		snprintf(monitor->engine_account.name, sizeof(monitor->engine_account.name), "%u",
			 (unsigned)options->engine_uid);
	r = open_grants(monitor);
	if (!r)
		r = watch_signals(monitor, &before);
	if (!r)
		r = start_engine(monitor);
	if (!r && options->forked)
		options->forked(options->context);
	while (!r && !monitor->over)
		turn(monitor, TW_NEVER, &status);
	if (!r) {
		*ret_status = status;
		wind_up(monitor);
	}
	if (monitor->signals >= 0) {
		close(monitor->signals);
		sigprocmask(SIG_SETMASK, &before, NULL);
	}
	tw_grants_close(&monitor->grants);
	free(monitor);
	return r;
}
