/*
 * caller.h - who may have files read and written: whoever has an account, with its rights and no
 * others, through its file agent. A token acts for its owner, below its path.
 */
#pragma once

#include "engine/engine.h"

/* TW_FAULT_NONE or NotPermitted. */
int tw_caller_may_use_files(const struct tw_caller *caller, struct tw_fault *fault);
