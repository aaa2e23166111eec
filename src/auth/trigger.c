#include "auth/trigger.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTROL 3 /* the keeper's own, above the standard ones */
#define CANNOT_RUN 126
#define NOT_THERE 127
#define FIRST_FREE 10

struct trigger {
	const struct tw_account *account;
	const struct tw_trigger_order *order;
	char path[PATH_MAX];
	int input, output, control;
};

/* Names come from the engine: no way out of the folder, and no hidden file. */
static int find_program(const char *folder, const char *event, char ret[PATH_MAX])
{
	struct stat st;

	if (!event[0] || event[0] == '.' || strchr(event, '/') ||
	    snprintf(ret, PATH_MAX, "%s/%s", folder, event) >= PATH_MAX)
		return -ENOENT;
	if (stat(ret, &st))
		return errno == ENOTDIR ? -ENOENT : -errno;
	return S_ISREG(st.st_mode) && (st.st_mode & 0111) ? 0 : -ENOENT;
}

/* The program's side of the last fork: only calls that are safe there. */
__attribute__((noreturn)) static void run_program(const struct trigger *trigger,
						  char *const *arguments, char *const *environment)
{
	setpgid(0, 0);
	if (chdir("/"))
		_exit(CANNOT_RUN);
	umask(022);
	execve(trigger->path, arguments, environment);
	_exit(errno == ENOENT ? NOT_THERE : CANNOT_RUN);
}

/* A pid; -1: it cannot be run. */
static pid_t start_program(const struct trigger *trigger)
{
	char home[TW_ACCOUNT_HOME_MAX + 8], user[TW_ACCOUNT_NAME_MAX + 8];
	char logname[TW_ACCOUNT_NAME_MAX + 16], event[NAME_MAX + 32];
	char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char language[] = "LANG=C.UTF-8";
	char *environment[] = { path, home, user, logname, language, event, NULL };
	char *arguments[TW_TRIGGER_ARGUMENTS_MAX + 2] = { (char *)trigger->path };
	pid_t pid;

	for (size_t i = 0; i < TW_TRIGGER_ARGUMENTS_MAX && trigger->order->arguments[i]; i++)
		arguments[i + 1] = trigger->order->arguments[i];
	snprintf(home, sizeof(home), "HOME=%s", trigger->account->home);
	snprintf(user, sizeof(user), "USER=%s", trigger->account->name);
	snprintf(logname, sizeof(logname), "LOGNAME=%s", trigger->account->name);
	snprintf(event, sizeof(event), "TRADEWIND_EVENT=%s", trigger->order->event);
	pid = fork();
	if (pid == 0)
		run_program(trigger, arguments, environment);
	if (pid > 0)
		setpgid(pid, pid); /* whoever is first, the child or we */
	return pid;
}

/* Until the program ends, or nobody wants it any more: then it is ended. Its status. */
static int watch_program(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0), status = 0;
	struct pollfd both[] = { { .fd = fd, .events = POLLIN },
				 { .fd = CONTROL, .events = POLLIN | POLLRDHUP } };

	while (fd >= 0 && !both[0].revents && !both[1].revents)
		if (poll(both, 2, -1) < 0 && errno != EINTR)
			break;
	if (!both[0].revents)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	/* What it left running must not outlive it. */
	kill(-pid, SIGKILL);
	return status;
}

static bool take_descriptors(const struct trigger *trigger)
{
	/* Out of the way first, so that none is overwritten before its turn. */
	int input = fcntl(trigger->input, F_DUPFD_CLOEXEC, FIRST_FREE);
	int output = fcntl(trigger->output, F_DUPFD_CLOEXEC, FIRST_FREE);
	int control = fcntl(trigger->control, F_DUPFD_CLOEXEC, FIRST_FREE);

	return input >= 0 && output >= 0 && control >= 0 && dup2(input, STDIN_FILENO) >= 0 &&
	       dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0 &&
	       dup3(control, CONTROL, O_CLOEXEC) >= 0 &&
	       syscall(SYS_close_range, (unsigned)CONTROL + 1, ~0U, 0U) == 0;
}

static bool become(const struct tw_account *account)
{
	if (account->uid == geteuid() && account->uid != 0)
		return true;
	/* One of root's own needs no other groups. */
	if (account->uid == 0)
		return geteuid() == 0;
	return initgroups(account->name, account->gid) == 0 &&
	       setresgid(account->gid, account->gid, account->gid) == 0 &&
	       setresuid(account->uid, account->uid, account->uid) == 0;
}

static void default_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

__attribute__((noreturn)) static void keep(const struct trigger *trigger)
{
	int32_t status = CANNOT_RUN << 8;
	pid_t pid = -1;

	setsid();
	default_signals();
	if (!take_descriptors(trigger))
		_exit(1);
	if (become(trigger->account))
		pid = start_program(trigger);
	/* The program is the account's, and so are we: our memory is not. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	if (pid > 0)
		status = watch_program(pid);
	send(CONTROL, &status, sizeof(status), MSG_NOSIGNAL);
	_exit(0);
}

/* By a child that ends at once, so that the keeper is nobody's to wait for. */
static int start_keeper(const struct trigger *trigger)
{
	pid_t between = fork();
	int status = 0;

	if (between == 0) {
		pid_t keeper = fork();

		if (keeper == 0)
			keep(trigger);
		_exit(keeper < 0);
	}
	if (between < 0)
		return -errno;
	while (waitpid(between, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EAGAIN;
}

int tw_trigger_start(const char *folder, const struct tw_account *account,
		     const struct tw_trigger_order *order, struct tw_trigger_run *ret)
{
	struct trigger trigger = { .account = account, .order = order, .input = order->input };
	int controls[2], outputs[2], r;

	r = find_program(folder, order->event, trigger.path);
	if (!r && account->uid != geteuid() && geteuid() != 0)
		r = -EPERM;
	if (r)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, controls))
		return -errno;
	if (pipe2(outputs, O_CLOEXEC)) {
		r = -errno;
		close(controls[0]);
		close(controls[1]);
		return r;
	}
	trigger.control = controls[1];
	trigger.output = outputs[1];
	r = start_keeper(&trigger);
	close(controls[1]);
	close(outputs[1]);
	if (r) {
		close(controls[0]);
		close(outputs[0]);
		return r;
	}
	*ret = (struct tw_trigger_run){ .output = outputs[0], .control = controls[0] };
	return 0;
}
