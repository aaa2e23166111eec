/*
 * confine_seccomp.h - the tables of confine_calls.h as a filter in the kernel, by libseccomp.
 */
#pragma once

#include "auth/confine.h"

/* Sanitizers map, read and trace what no filter of ours would let them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TW_SECCOMP_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define TW_SECCOMP_SANITIZED 1
#endif
#endif
#ifndef TW_SECCOMP_SANITIZED
#define TW_SECCOMP_SANITIZED 0
#endif

/* Whether this kernel filters system calls, and can end a whole process for one; false in a
 * program built with a sanitizer, which would not survive it. */
bool tw_seccomp_available(void);
/* How many calls are on @role's list on this machine. */
unsigned tw_seccomp_count(enum tw_confine_role role);
/* For all threads. no_new_privs must be set. -errno. */
int tw_seccomp_load(enum tw_confine_role role, bool only_log);
