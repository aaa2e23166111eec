#include "auth/confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "auth/confine_landlock.h"
#include "auth/confine_seccomp.h"

static const char *const modes[] = {
	[TW_CONFINE_AUTO] = "auto",
	[TW_CONFINE_REQUIRE] = "require",
	[TW_CONFINE_LOG] = "log",
	[TW_CONFINE_OFF] = "off",
};
#define MODES (sizeof modes / sizeof *modes)

bool tw_confine_mode_parse(const char *text, enum tw_confine_mode *ret)
{
	for (size_t i = 0; i < MODES; i++)
		if (strcmp(text, modes[i]) == 0) {
			*ret = (enum tw_confine_mode)i;
			return true;
		}
	return false;
}

const char *tw_confine_mode_name(enum tw_confine_mode mode)
{
	return modes[mode];
}

/* Needs CAP_SETPCAP: so it comes first. */
static int drop_bounding_set(void)
{
	for (int capability = 0; capability <= CAP_LAST_CAP + 32; capability++) {
		int has = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);

		if (has < 0)
			return 0; /* beyond the kernel's last one */
		if (has && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0))
			return errno == EPERM ? 0
					      : -errno; /* not ours to drop: none to use either */
	}
	return 0;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } }, now[2];

	/* Whoever has none may be forbidden the call. */
	if (syscall(SYS_capget, &header, now) == 0 && memcmp(now, none, sizeof none) == 0)
		return 0;
	/* Linux before 4.3 has no ambient set to clear. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) && errno != EINVAL)
		return -errno;
	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

static int close_the_door(void)
{
	const struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
	    setrlimit(RLIMIT_CORE, &none))
		return -errno;
	return 0;
}

/* What libraries read at their first use, they read now. */
static void load_ahead(void)
{
	tzset();
	OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL);
}

int tw_confine_rights(const struct tw_confine_options *options, struct tw_confine_report *ret)
{
	int r, abi;

	memset(ret, 0, sizeof *ret);
	ret->off = options->mode == TW_CONFINE_OFF;
	load_ahead();
	r = options->keep_capabilities ? 0 : drop_bounding_set();
	if (!r && !options->keep_capabilities)
		r = drop_capabilities();
	if (r || ret->off)
		return r;
	r = close_the_door();
	if (r)
		return r;
	abi = tw_landlock_abi();
	if (!abi)
		return options->mode == TW_CONFINE_REQUIRE ? -EOPNOTSUPP : 0;
	r = tw_landlock_restrict(options, abi);
	if (!r)
		ret->landlock = abi;
	return r;
}

int tw_confine_calls(const struct tw_confine_options *options, struct tw_confine_report *ret)
{
	bool only_log = options->mode == TW_CONFINE_LOG;
	int r;

	if (options->mode == TW_CONFINE_OFF)
		return 0;
	if (!tw_seccomp_available())
		return options->mode == TW_CONFINE_REQUIRE ? -EOPNOTSUPP : 0;
	r = tw_seccomp_load(options->role, only_log);
	if (r)
		return r;
	ret->calls = tw_seccomp_count(options->role);
	ret->logging = only_log;
	return 0;
}

bool tw_confine_incomplete(const struct tw_confine_report *report)
{
	return !report->off && (!report->landlock || !report->calls);
}

const char *tw_confine_describe(const struct tw_confine_report *report, char ret[TW_CONFINE_TEXT])
{
	char calls[64] = "any system call, as nothing filters them", files[64] = "no Landlock";

	if (report->off) {
		snprintf(ret, TW_CONFINE_TEXT, "not confined, as --confine off says");
		return ret;
	}
	if (report->landlock)
		snprintf(files, sizeof files, "Landlock (ABI %d)", report->landlock);
	if (report->calls)
		snprintf(calls, sizeof calls, "%u system calls%s", report->calls,
			 report->logging ? ", others logged" : "");
	snprintf(ret, TW_CONFINE_TEXT, "confined: no capabilities, %s, %s", files, calls);
	return ret;
}
