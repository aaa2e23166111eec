/*
 * monitor_private.h - the parts of the monitor: its loop (monitor.c), the children that answer one
 * question (monitor_questions.c), the file agents (monitor_agents.c).
 */
#pragma once

#include <signal.h>

#include "auth/grants.h"
#include "auth/message.h"
#include "auth/monitor.h"
#include "auth/passing.h"

/* A question that a child works on, or whose answer has to wait for its time. */
struct tw_monitor_question {
	pid_t pid; /* 0: the place is free; -1: the child is gone */
	int fd;    /* what the child says; -1: it has */
	tw_ns begun, due;
	enum tw_auth_kind kind;
	uint32_t serial;
	char user[TW_ACCOUNT_NAME_MAX];
	struct ucred peer;            /* VOUCH */
	struct tw_auth_message *late; /* owned: a refusal that waits until @due */
};

struct tw_monitor_agent {
	pid_t pid;
	int control;
	char user[TW_ACCOUNT_NAME_MAX];
	uid_t uid;
};

struct tw_monitor {
	const struct tw_monitor_options *options;
	uid_t starter;
	struct tw_grants grants;
	struct tw_grant engine_account; /* what the engine is anyway needs no proof */
	bool engine_named;
	pid_t engine;
	int socket, signals;
	int door;       /* the engine's Unix socket, as it was before anything came in; -1: none */
	unsigned stops; /* asked for so far */
	bool ready, over;
	struct tw_monitor_question questions[TW_MONITOR_QUESTIONS_MAX];
	struct tw_monitor_agent agents[TW_MONITOR_AGENTS_MAX];
	unsigned agent_count;
};

void tw_monitor_tell(const struct tw_monitor *monitor, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* NULL: it has not proved itself. "": the engine's own account. Lent until the next change. */
const struct tw_grant *tw_monitor_granted(const struct tw_monitor *monitor, const char *user);
/* To the engine; one that does not listen is killed. Descriptors are borrowed. */
void tw_monitor_answer(struct tw_monitor *monitor, const struct tw_auth_message *answer,
		       const int *fds, unsigned count);
void tw_monitor_refuse(struct tw_monitor *monitor, uint32_t serial, int error);

/* @passed: borrowed descriptors that came with it. */
void tw_monitor_question_ask(struct tw_monitor *monitor, const struct tw_auth_message *message,
			     const struct tw_passed *passed);
void tw_monitor_question_readable(struct tw_monitor *monitor, struct tw_monitor_question *question);
/* Those whose time has come. Returns when the next one's comes, TW_NEVER: none waits. */
tw_ns tw_monitor_questions_due(struct tw_monitor *monitor, tw_ns now);
/* True: the child was one of these. */
bool tw_monitor_question_ended(struct tw_monitor *monitor, pid_t pid);
void tw_monitor_questions_end(struct tw_monitor *monitor);

void tw_monitor_agent_ask(struct tw_monitor *monitor, const struct tw_auth_message *message);
bool tw_monitor_agent_ended(struct tw_monitor *monitor, pid_t pid);
void tw_monitor_agents_end(struct tw_monitor *monitor);
