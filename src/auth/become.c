#include "auth/become.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (UINT64_C(1) << (capability))
#define FILE_RIGHTS \
	(BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FOWNER) | \
	 BIT(CAP_FSETID))

static void default_signals(void)
{
	static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool is_kept(int fd, const int *keep, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (keep[i] == fd)
			return true;
	return false;
}

/* The gaps between those that are kept. */
static int close_others(const int *keep, unsigned count)
{
	int from = STDERR_FILENO + 1;

	for (;;) {
		int next = INT_MAX;

		while (is_kept(from, keep, count))
			from++;
		for (unsigned i = 0; i < count; i++)
			if (keep[i] >= from && keep[i] < next)
				next = keep[i];
		if (syscall(SYS_close_range, (unsigned)from,
			    next == INT_MAX ? ~0U : (unsigned)(next - 1), 0U))
			return -errno;
		if (next == INT_MAX)
			return 0;
		from = next;
	}
}

static int end_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		return -errno;
	/* It may have gone before it could count. */
	return getppid() == parent ? 0 : -ESRCH;
}

static int nowhere(const int *keep, unsigned count)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	for (int standard = STDIN_FILENO; standard <= STDOUT_FILENO; standard++)
		if (!is_kept(standard, keep, count) && dup2(fd, standard) < 0)
			return -errno;
	if (fd > STDERR_FILENO)
		close(fd);
	return 0;
}

int tw_become_child(pid_t parent, const int *keep, unsigned count)
{
	int r;

	default_signals();
	r = end_with(parent);
	if (!r)
		r = nowhere(keep, count);
	return r ? r : close_others(keep, count);
}

int tw_become_clean(void)
{
	if (clearenv() || setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1) ||
	    setenv("LANG", "C.UTF-8", 1))
		return -ENOMEM;
	umask(022);
	return 0;
}

static int set_capabilities(uint64_t wanted)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &header, data))
		return -errno;
	/* Whoever has none may be forbidden the call that would give up some. */
	if (!(data[0].permitted | data[0].inheritable | data[1].permitted | data[1].inheritable))
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(wanted >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

/* What is not in the bounding set cannot be gained by any exec. */
static int drop_bounding(uint64_t wanted)
{
	for (int capability = 0; capability < 64; capability++) {
		int has = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);

		if (has < 0)
			return 0; /* past the kernel's last */
		if (has && !(wanted & BIT(capability)) &&
		    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) && errno != EPERM)
			return -errno;
	}
	return 0;
}

static int take_groups(const struct tw_become *who)
{
	if (who->name ? initgroups(who->name, who->gid) : setgroups(1, &who->gid))
		return -errno;
	return 0;
}

static int take_ids(const struct tw_become *who)
{
	int r = take_groups(who);

	if (r)
		return r;
	if (setresgid(who->gid, who->gid, who->gid) || setresuid(who->uid, who->uid, who->uid))
		return -errno;
	/* There must be no way back. */
	if (who->uid != 0 && (!setresuid((uid_t)-1, 0, (uid_t)-1) || geteuid() != who->uid))
		return -EPERM;
	return 0;
}

int tw_become(const struct tw_become *who)
{
	uint64_t wanted = who->uid == 0 && who->file_rights ? FILE_RIGHTS : 0;
	pid_t parent = getppid();
	int r = 0;

	if (who->uid == (uid_t)-1 || who->gid == (gid_t)-1)
		return -EPERM;
	if (geteuid() == 0) {
		r = drop_bounding(wanted);
		if (!r)
			r = take_ids(who);
	} else if (geteuid() != who->uid) {
		r = -EPERM;
	}
	if (!r)
		r = set_capabilities(wanted);
	if (!r && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)))
		r = -errno;
	return r ? r : end_with(parent);
}
