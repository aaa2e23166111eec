/*
 * caller.h - who may have files read and written. The server works with its own account's rights:
 * whoever it serves with them must be that account, by the uid that the kernel proved on the Unix
 * socket, or by an authenticated session under its name.
 */
#pragma once

#include "engine/engine.h"

/* TW_FAULT_NONE or NotPermitted. */
int tw_caller_may_use_files(const struct tw_caller *caller, struct tw_fault *fault);
