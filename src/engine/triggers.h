/*
 * triggers.h - programs of the operator's that run when something happens: an executable file in
 * the trigger folder whose name is the event's.
 *
 * It gets the positional arguments of the contract (a const table: which fields of the entry, in
 * which order), the whole entry as JSON on standard input, a clean environment (PATH, HOME, USER,
 * LANG, TRADEWIND_EVENT), the folder / as its own, and runs as the owner of the object. Its output
 * goes to the log, line by line, cleaned. At most TW_TRIGGERS_RUNNING run at a time, the others
 * wait in order; beyond TW_TRIGGERS_WAITING they are dropped with a line in the log. One that runs
 * longer than the limit is killed with its whole process group. A program that is put into the
 * folder counts within a second.
 */
#pragma once

#include <event2/event.h>
#include <jansson.h>
#include <stdint.h>

#include "auth/accounts.h"

#define TW_TRIGGERS_RUNNING 8
#define TW_TRIGGERS_WAITING 4096
#define TW_TRIGGER_LIMIT_SECONDS 60
#define TW_TRIGGER_OUTPUT_MAX ((size_t)64 << 10)

struct tw_triggers;

struct tw_trigger_options {
	struct event_base *base; /* borrowed */
	/* Borrowed: whoever keeps the rights knows the folder, and runs what is in it. NULL: none
	 * ever run. */
	struct tw_accounts *accounts;
	const char *log_path;   /* NULL: standard error */
	unsigned limit_seconds; /* 0: TW_TRIGGER_LIMIT_SECONDS */
};

/* -ENOMEM, -errno of the log file, which stays open. A folder that is missing is no error: it may
 * come later. */
int tw_triggers_new(const struct tw_trigger_options *options, struct tw_triggers **ret);
/* Kills what still runs. */
void tw_triggers_free(struct tw_triggers *triggers);
/* @entry borrowed: as tw_eventlog_add() made it. @owner "": the server's own user. */
void tw_triggers_run(struct tw_triggers *triggers, const char *event, const char *owner,
		     json_t *entry);
/* Running and waiting. */
size_t tw_triggers_count(const struct tw_triggers *triggers);
