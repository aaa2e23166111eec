/*
 * confine_landlock.h - Landlock by its three system calls: which files may be opened, which TCP
 * ports bound or connected, and no signals or abstract sockets beyond the process itself.
 *
 * The rules hold for what is opened from then on. Descriptors that are open, or that arrive over a
 * Unix socket, work as before: that is how a file agent lends a file to an engine that could not
 * open it.
 */
#pragma once

#include "auth/confine.h"

/* The newest ABI that both the kernel and this program know; 0: there is no Landlock. */
int tw_landlock_abi(void);
/* -errno. The calling thread must be the only one. no_new_privs must be set. */
int tw_landlock_restrict(const struct tw_confine_options *options, int abi);
