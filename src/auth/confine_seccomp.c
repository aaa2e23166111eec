#include "auth/confine_seccomp.h"

#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "auth/confine_calls.h"

bool tw_seccomp_available(void)
{
	/* 0 or 2, where it is there; the filter's actions are numbered by libseccomp's API. */
	return !TW_SECCOMP_SANITIZED && prctl(PR_GET_SECCOMP) >= 0 && seccomp_api_get() >= 3;
}

/* Negative: not on this architecture. */
static int number_of(const char *name)
{
	return seccomp_syscall_resolve_name(name);
}

static bool applies(const struct tw_call *call, enum tw_confine_role role)
{
	/* Modules of name services may have been built by whichever. */
	bool either = role == TW_CONFINE_RESOLVER;

	for (size_t i = 0; i < tw_call_alternate_count && !either; i++)
		if (strcmp(tw_call_alternates[i].name, call->name) == 0 &&
		    number_of(tw_call_alternates[i].older) >= 0)
			return false;
	return (call->roles & TW_ROLE(role)) && number_of(call->name) >= 0;
}

/* Cases of one name stand together or not; each name counts once. */
static bool counted(enum tw_confine_role role, size_t case_index)
{
	const struct tw_call_case *at = &tw_call_cases[case_index];

	for (size_t i = 0; i < tw_call_count; i++)
		if ((tw_calls[i].roles & TW_ROLE(role)) && strcmp(tw_calls[i].name, at->name) == 0)
			return true;
	for (size_t i = 0; i < case_index; i++)
		if ((tw_call_cases[i].roles & TW_ROLE(role)) && !tw_call_cases[i].error &&
		    strcmp(tw_call_cases[i].name, at->name) == 0)
			return true;
	return false;
}

unsigned tw_seccomp_count(enum tw_confine_role role)
{
	unsigned count = 0;

	for (size_t i = 0; i < tw_call_count; i++)
		count += applies(&tw_calls[i], role);
	for (size_t i = 0; i < tw_call_case_count; i++)
		count += (tw_call_cases[i].roles & TW_ROLE(role)) && !tw_call_cases[i].error &&
			 number_of(tw_call_cases[i].name) >= 0 && !counted(role, i);
	return count;
}

static int add_case(scmp_filter_ctx filter, const struct tw_call_case *at)
{
	struct scmp_arg_cmp wanted[TW_CALL_MATCHES_MAX];

	for (unsigned i = 0; i < at->match_count; i++) {
		const struct tw_call_match *match = &at->matches[i];
		bool own = match->value == (TW_CALL_OWN_PID & match->mask);

		wanted[i] = (struct scmp_arg_cmp){
			.arg = match->argument,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = match->mask,
			.datum_b = own ? (uint64_t)getpid() : match->value,
		};
	}
	return seccomp_rule_add_array(
		filter, at->error ? SCMP_ACT_ERRNO((uint32_t)at->error) : SCMP_ACT_ALLOW,
		number_of(at->name), at->match_count, wanted);
}

static int fill(scmp_filter_ctx filter, enum tw_confine_role role)
{
	int r = 0;

	for (size_t i = 0; i < tw_call_count && !r; i++)
		if (applies(&tw_calls[i], role))
			r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number_of(tw_calls[i].name),
					     0);
	for (size_t i = 0; i < tw_call_case_count && !r; i++)
		if ((tw_call_cases[i].roles & TW_ROLE(role)) &&
		    number_of(tw_call_cases[i].name) >= 0)
			r = add_case(filter, &tw_call_cases[i]);
	return r;
}

int tw_seccomp_load(enum tw_confine_role role, bool only_log)
{
	uint32_t others =
		role == TW_CONFINE_RESOLVER ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_KILL_PROCESS;
	scmp_filter_ctx filter = seccomp_init(only_log ? SCMP_ACT_LOG : others);
	int r;

	if (!filter)
		return -ENOMEM;
	/* Calls by another architecture's numbers are never ours. */
	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (!r)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!r)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
	if (!r)
		r = fill(filter, role);
	if (!r)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}
