/*
 * confine_seccomp.h - the tables of confine_calls.h as a filter in the kernel, by libseccomp.
 */
#pragma once

#include "auth/confine.h"

/* Whether this kernel filters system calls, and can end a whole process for one; false in a
 * program built with a sanitizer, which would not survive it. */
bool tw_seccomp_available(void);
/* How many calls are on @role's list on this machine. */
unsigned tw_seccomp_count(enum tw_confine_role role);
/* For all threads. no_new_privs must be set. -errno. */
int tw_seccomp_load(enum tw_confine_role role, bool only_log);
