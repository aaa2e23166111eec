#include "engine/triggers.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"

#define ARGUMENTS_MAX 6
#define GROUPS_MAX 256
#define LINE_MAX_BYTES 1024
#define READ_AT_A_TIME ((size_t)4096)

/* The positional arguments of each event: fields of its entry, "a:b" being an address. */
static const struct {
	const char *event;
	const char *fields[ARGUMENTS_MAX];
} arguments[] = {
	{ "launch", { "apiControlPort" } },
	{ "send.destinationCreated", { "destinationIP:destinationPort", "senderIP:senderPort" } },
	{ "send.destinationDeleted", { "destinationIP:destinationPort", "senderIP:senderPort" } },
	{ "send.transferStarted",
	  { "transferId", "destinationIP:destinationPort", "destinationPath", "errorMessage" } },
	{ "send.transferComplete",
	  { "transferId", "destinationIP:destinationPort", "destinationPath", "errorMessage" } },
	{ "send.transferError",
	  { "transferId", "destinationIP:destinationPort", "destinationPath", "errorMessage" } },
	{ "recv.transferStarted",
	  { "transferId", "sourceIP:sourcePort", "destinationPath", "errorMessage" } },
	{ "recv.transferComplete",
	  { "transferId", "sourceIP:sourcePort", "destinationPath", "errorMessage" } },
	{ "recv.transferError",
	  { "transferId", "sourceIP:sourcePort", "destinationPath", "errorMessage" } },
	{ "recv.fileComplete", { "path" } },
};
#define EVENTS (sizeof arguments / sizeof *arguments)

struct run {
	struct tw_triggers *triggers;
	struct run *next;
	char *event, *owner, *entry;   /* owned; entry: JSON text */
	char *argv[ARGUMENTS_MAX + 2]; /* owned; argv[0] is the program's path */
	/* While it runs. */
	pid_t pid;
	int pid_fd, output_fd;
	struct event *ended, *output, *limit;
	size_t output_bytes;
	char line[LINE_MAX_BYTES];
	size_t line_length;
};

struct tw_triggers {
	struct event_base *base;
	char *directory;
	FILE *log;
	bool log_owned;
	unsigned limit_seconds;
	struct run *waiting, **waiting_last;
	struct run *running;
	size_t waiting_count, running_count;
};

/* A process that gets its user's rights before it runs. */
struct rights {
	bool change;
	uid_t uid;
	gid_t gid, groups[GROUPS_MAX];
	int group_count;
	char home[PATH_MAX], name[256];
};

__attribute__((format(printf, 2, 3))) static void tell(const struct tw_triggers *triggers,
						       const char *format, ...)
{
	char text[2 * LINE_MAX_BYTES], clean[4 * LINE_MAX_BYTES];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	tw_text_clean(text, strlen(text), clean, sizeof clean);
	fprintf(triggers->log, "trigger %s\n", clean);
	fflush(triggers->log);
}

static void run_free(struct run *run)
{
	for (size_t i = 0; i < ARGUMENTS_MAX + 2; i++)
		free(run->argv[i]);
	free(run->event);
	free(run->owner);
	free(run->entry);
	if (run->ended)
		event_free(run->ended);
	if (run->output)
		event_free(run->output);
	if (run->limit)
		event_free(run->limit);
	if (run->pid_fd >= 0)
		close(run->pid_fd);
	if (run->output_fd >= 0)
		close(run->output_fd);
	free(run);
}

/* Programs run in the folder /: a path that is not absolute would lead nowhere there. */
static char *absolute(const char *path)
{
	char *here = path[0] == '/' ? NULL : get_current_dir_name(), *whole = NULL;

	if (path[0] == '/')
		return strdup(path);
	if (here && asprintf(&whole, "%s/%s", here, path) < 0)
		whole = NULL;
	free(here);
	return whole;
}

int tw_triggers_new(const struct tw_trigger_options *options, struct tw_triggers **ret)
{
	struct tw_triggers *triggers = calloc(1, sizeof *triggers);

	if (!triggers)
		return -ENOMEM;
	triggers->base = options->base;
	triggers->limit_seconds =
		options->limit_seconds ? options->limit_seconds : TW_TRIGGER_LIMIT_SECONDS;
	triggers->waiting_last = &triggers->waiting;
	triggers->log = stderr;
	if (options->directory) {
		triggers->directory = absolute(options->directory);
		if (!triggers->directory) {
			free(triggers);
			return -ENOMEM;
		}
	}
	if (options->log_path) {
		triggers->log = fopen(options->log_path, "ae");
		triggers->log_owned = triggers->log != NULL;
		if (!triggers->log) {
			int r = -errno;

			free(triggers->directory);
			free(triggers);
			return r;
		}
	}
	*ret = triggers;
	return 0;
}

static void unlink_running(struct run *run)
{
	struct run **place = &run->triggers->running;

	while (*place != run)
		place = &(*place)->next;
	*place = run->next;
	run->triggers->running_count--;
}

void tw_triggers_free(struct tw_triggers *triggers)
{
	if (!triggers)
		return;
	while (triggers->running) {
		struct run *run = triggers->running;
		siginfo_t info;

		kill(-run->pid, SIGKILL);
		waitid(P_PIDFD, (id_t)run->pid_fd, &info, WEXITED);
		unlink_running(run);
		run_free(run);
	}
	while (triggers->waiting) {
		struct run *run = triggers->waiting;

		triggers->waiting = run->next;
		run_free(run);
	}
	if (triggers->log_owned)
		fclose(triggers->log);
	free(triggers->directory);
	free(triggers);
}

size_t tw_triggers_count(const struct tw_triggers *triggers)
{
	return triggers->running_count + triggers->waiting_count;
}

/* What a program is told. */

static char *field_text(json_t *entry, const char *name, size_t length)
{
	json_t *value = json_object_getn(entry, name, length);

	if (json_is_string(value))
		return strdup(json_string_value(value));
	if (json_is_object(value) || json_is_array(value) || json_is_integer(value))
		return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	return strdup("");
}

/* "1.2.3.4:8886", "[::1]:8886"; "" as long as the address is not known. */
static char *address_text(json_t *entry, const char *field, const char *colon)
{
	char *ip = field_text(entry, field, (size_t)(colon - field));
	char *port = field_text(entry, colon + 1, strlen(colon + 1));
	char *both = NULL;

	if (ip && port && !ip[0])
		both = strdup("");
	else if (ip && port && asprintf(&both, strchr(ip, ':') ? "[%s]:%s" : "%s:%s", ip, port) < 0)
		both = NULL;
	free(ip);
	free(port);
	return both;
}

static bool fill_arguments(struct run *run, json_t *entry)
{
	size_t i = 0;

	while (i < EVENTS && strcmp(arguments[i].event, run->event) != 0)
		i++;
	for (size_t k = 0; i < EVENTS && k < ARGUMENTS_MAX && arguments[i].fields[k]; k++) {
		const char *field = arguments[i].fields[k], *colon = strchr(field, ':');

		run->argv[k + 1] = colon ? address_text(entry, field, colon)
					 : field_text(entry, field, strlen(field));
		if (!run->argv[k + 1])
			return false;
	}
	return true;
}

static struct run *run_new(struct tw_triggers *triggers, const char *event, const char *owner,
			   json_t *entry)
{
	struct run *run = calloc(1, sizeof *run);

	if (!run)
		return NULL;
	run->triggers = triggers;
	run->pid_fd = run->output_fd = -1;
	run->event = strdup(event);
	run->owner = strdup(owner ? owner : "");
	run->entry = json_dumps(entry, JSON_COMPACT | JSON_REAL_PRECISION(15));
	if (asprintf(&run->argv[0], "%s/%s", triggers->directory, event) < 0)
		run->argv[0] = NULL;
	if (!run->event || !run->owner || !run->entry || !run->argv[0] ||
	    !fill_arguments(run, entry)) {
		run_free(run);
		return NULL;
	}
	return run;
}

/* False: it must not run, and the log says why. */
static bool find_rights(const struct run *run, struct rights *ret)
{
	struct passwd entry, *found = NULL;
	char space[16384];
	int r;

	if (run->owner[0])
		r = getpwnam_r(run->owner, &entry, space, sizeof space, &found);
	else
		r = getpwuid_r(geteuid(), &entry, space, sizeof space, &found);
	if (r || !found) {
		/* A user id without an account is still a user: ours. */
		if (!run->owner[0]) {
			snprintf(ret->home, sizeof ret->home, "/");
			snprintf(ret->name, sizeof ret->name, "%u", (unsigned)geteuid());
			return true;
		}
		tell(run->triggers, "%s: its owner %s has no account here; it does not run",
		     run->event, run->owner);
		return false;
	}
	if (found->pw_uid != geteuid() && geteuid() != 0) {
		tell(run->triggers, "%s: only a server that runs as root can run it as %s",
		     run->event, run->owner);
		return false;
	}
	ret->change = found->pw_uid != geteuid();
	ret->uid = found->pw_uid;
	ret->gid = found->pw_gid;
	ret->group_count = GROUPS_MAX;
	if (ret->change &&
	    getgrouplist(found->pw_name, found->pw_gid, ret->groups, &ret->group_count) < 0)
		ret->group_count = GROUPS_MAX;
	snprintf(ret->home, sizeof ret->home, "%s", found->pw_dir);
	snprintf(ret->name, sizeof ret->name, "%s", found->pw_name);
	return true;
}

/* The child between fork and exec: only calls that are safe there. */
__attribute__((noreturn)) static void become(const struct run *run, const struct rights *rights,
					     char *const *environment, const int fds[2])
{
	static const int defaults[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD };
	sigset_t none;

	setpgid(0, 0);
	for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
		signal(defaults[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0 || dup2(fds[1], 2) < 0)
		_exit(126);
	syscall(SYS_close_range, 3U, ~0U, 0U);
	if (rights->change && (setgroups((size_t)rights->group_count, rights->groups) ||
			       setgid(rights->gid) || setuid(rights->uid)))
		_exit(126);
	if (chdir("/"))
		_exit(126);
	umask(022);
	execve(run->argv[0], run->argv, environment);
	_exit(errno == ENOENT ? 127 : 126);
}

/* The entry as a file to read from, so that no pipe can hold anybody up. */
static int entry_file(const struct run *run)
{
	size_t length = strlen(run->entry);
	int fd = memfd_create("tradewind-event", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, run->entry, length) != (ssize_t)length || lseek(fd, 0, SEEK_SET) < 0) {
		close(fd);
		return -EIO;
	}
	return fd;
}

static int spawn(struct run *run, const struct rights *rights)
{
	char home[PATH_MAX + 8], user[300], logname[300], event[300];
	char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char language[] = "LANG=C.UTF-8";
	char *environment[] = { path, home, user, logname, language, event, NULL };
	int input = entry_file(run), pipes[2], fds[2];

	if (input < 0)
		return input;
	if (pipe2(pipes, O_CLOEXEC)) {
		close(input);
		return -errno;
	}
	snprintf(home, sizeof home, "HOME=%s", rights->home);
	snprintf(user, sizeof user, "USER=%s", rights->name);
	snprintf(logname, sizeof logname, "LOGNAME=%s", rights->name);
	snprintf(event, sizeof event, "TRADEWIND_EVENT=%s", run->event);
	/* Above the standard ones, so that the child's dup2() cannot hit them. */
	fds[0] = fcntl(input, F_DUPFD_CLOEXEC, 3);
	fds[1] = fcntl(pipes[1], F_DUPFD_CLOEXEC, 3);
	run->pid = fds[0] < 0 || fds[1] < 0 ? -1 : fork();
	if (run->pid == 0)
		become(run, rights, environment, fds);
	close(input);
	close(pipes[1]);
	if (fds[0] >= 0)
		close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
	run->output_fd = pipes[0];
	if (run->pid < 0)
		return -errno;
	setpgid(run->pid, run->pid); /* whoever is first, the child or we */
	return fcntl(pipes[0], F_SETFL, O_NONBLOCK) ? -errno : 0;
}

/* What it says. */

static void end_line(struct run *run)
{
	if (run->line_length)
		tell(run->triggers, "%s[%d]: %.*s", run->event, (int)run->pid,
		     (int)run->line_length, run->line);
	run->line_length = 0;
}

static void take_output(struct run *run, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (run->output_bytes++ == TW_TRIGGER_OUTPUT_MAX)
			tell(run->triggers, "%s[%d]: says too much; the rest is left out",
			     run->event, (int)run->pid);
		if (run->output_bytes > TW_TRIGGER_OUTPUT_MAX)
			continue;
		if (bytes[i] == '\n' || run->line_length == sizeof run->line)
			end_line(run);
		if (bytes[i] != '\n')
			run->line[run->line_length++] = bytes[i];
	}
}

/* False: nobody can write to it any more. */
static bool read_output(struct run *run)
{
	char bytes[READ_AT_A_TIME];
	ssize_t length;

	while ((length = read(run->output_fd, bytes, sizeof bytes)) > 0)
		take_output(run, bytes, (size_t)length);
	return length < 0 && (errno == EAGAIN || errno == EINTR);
}

static void on_output(evutil_socket_t fd, short what, void *context)
{
	struct run *run = context;

	(void)fd;
	(void)what;
	if (!read_output(run))
		event_del(run->output);
}

static void start_waiting(struct tw_triggers *triggers);

static void say_end(const struct run *run, const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED && info->si_status == 126)
		tell(run->triggers, "%s[%d]: could not be run", run->event, (int)run->pid);
	else if (info->si_code == CLD_EXITED && info->si_status)
		tell(run->triggers, "%s[%d]: ended with %d", run->event, (int)run->pid,
		     info->si_status);
	else if (info->si_code != CLD_EXITED)
		tell(run->triggers, "%s[%d]: ended by signal %d", run->event, (int)run->pid,
		     info->si_status);
}

static void on_ended(evutil_socket_t fd, short what, void *context)
{
	struct run *run = context;
	struct tw_triggers *triggers = run->triggers;
	siginfo_t info = { 0 };

	(void)fd;
	(void)what;
	if (waitid(P_PIDFD, (id_t)run->pid_fd, &info, WEXITED | WNOHANG) || !info.si_pid)
		return;
	/* What it left running must not outlive it. */
	kill(-run->pid, SIGKILL);
	(void)read_output(run);
	end_line(run);
	say_end(run, &info);
	unlink_running(run);
	run_free(run);
	start_waiting(triggers);
}

static void on_limit(evutil_socket_t fd, short what, void *context)
{
	struct run *run = context;

	(void)fd;
	(void)what;
	tell(run->triggers, "%s[%d]: not done after %u s, killed", run->event, (int)run->pid,
	     run->triggers->limit_seconds);
	kill(-run->pid, SIGKILL);
}

static int watch(struct run *run)
{
	struct event_base *base = run->triggers->base;
	struct timeval limit = { run->triggers->limit_seconds, 0 };

	run->pid_fd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	if (run->pid_fd < 0)
		return -errno;
	run->ended = event_new(base, run->pid_fd, EV_READ | EV_PERSIST, on_ended, run);
	run->output = event_new(base, run->output_fd, EV_READ | EV_PERSIST, on_output, run);
	run->limit = event_new(base, -1, 0, on_limit, run);
	if (!run->ended || !run->output || !run->limit || event_add(run->ended, NULL) ||
	    event_add(run->output, NULL) || event_add(run->limit, &limit))
		return -ENOMEM;
	return 0;
}

static void start(struct run *run)
{
	struct tw_triggers *triggers = run->triggers;
	struct rights rights = { .change = false };
	int r;

	if (!find_rights(run, &rights)) {
		run_free(run);
		return;
	}
	r = spawn(run, &rights);
	if (!r)
		r = watch(run);
	if (r) {
		tell(triggers, "%s: could not be started: %s", run->event, strerror(-r));
		if (run->pid > 0) {
			kill(-run->pid, SIGKILL);
			waitpid(run->pid, NULL, 0);
		}
		run_free(run);
		return;
	}
	run->next = triggers->running;
	triggers->running = run;
	triggers->running_count++;
}

static void start_waiting(struct tw_triggers *triggers)
{
	while (triggers->waiting && triggers->running_count < TW_TRIGGERS_RUNNING) {
		struct run *run = triggers->waiting;

		triggers->waiting = run->next;
		if (!triggers->waiting)
			triggers->waiting_last = &triggers->waiting;
		triggers->waiting_count--;
		run->next = NULL;
		start(run);
	}
}

/* Names come from the program's own tables, but a file name is a file name. */
static bool is_there(const struct tw_triggers *triggers, const char *event)
{
	char path[PATH_MAX];
	struct stat st;

	if (!triggers->directory || strchr(event, '/') ||
	    (size_t)snprintf(path, sizeof path, "%s/%s", triggers->directory, event) >= sizeof path)
		return false;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

void tw_triggers_run(struct tw_triggers *triggers, const char *event, const char *owner,
		     json_t *entry)
{
	struct run *run;

	if (!is_there(triggers, event))
		return;
	if (triggers->waiting_count == TW_TRIGGERS_WAITING) {
		tell(triggers, "%s: dropped, %d are waiting already", event, TW_TRIGGERS_WAITING);
		return;
	}
	run = run_new(triggers, event, owner, entry);
	if (!run) {
		tell(triggers, "%s: dropped, there is no memory left", event);
		return;
	}
	*triggers->waiting_last = run;
	triggers->waiting_last = &run->next;
	triggers->waiting_count++;
	start_waiting(triggers);
}
