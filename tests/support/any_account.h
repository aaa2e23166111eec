/*
 * any_account.h - accounts for tests: every name is the account that runs the test, and its files
 * are reached through an agent in the process. Names that begin with "no-" are nobody.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/accounts.h"
#include "auth/agent.h"

struct any_account {
	struct tw_accounts accounts; /* first */
	struct tw_accounts_ops ops;
	struct tw_accounts *local;
};

static inline struct tw_accounts *any_account_local(struct tw_accounts *accounts)
{
	return ((struct any_account *)accounts)->local;
}

static inline int any_account_find(struct tw_accounts *accounts, const char *user,
				   struct tw_account *ret)
{
	struct tw_accounts *local = any_account_local(accounts);
	int r = strncmp(user, "no-", 3) == 0 ? -EACCES : local->ops->find(local, "", ret);

	if (!r && *user)
		snprintf(ret->name, sizeof(ret->name), "%s", user);
	return r;
}

static inline int any_account_agent(struct tw_accounts *accounts, const char *user, int *ret_socket)
{
	struct tw_accounts *local = any_account_local(accounts);

	if (strncmp(user, "no-", 3) == 0)
		return -EACCES;
	return local->ops->agent(local, "", ret_socket);
}

static inline int any_account_resolve(struct tw_accounts *accounts, const char *host, uint16_t port,
				      struct tw_address *ret, unsigned room, unsigned *ret_count)
{
	struct tw_accounts *local = any_account_local(accounts);

	return local->ops->resolve(local, host, port, ret, room, ret_count);
}

static inline int any_account_buffers(struct tw_accounts *accounts, int socket, size_t receive,
				      size_t send)
{
	struct tw_accounts *local = any_account_local(accounts);

	return local->ops->buffers(local, socket, receive, send);
}

static inline int any_account_trigger(struct tw_accounts *accounts,
				      const struct tw_trigger_order *order,
				      struct tw_trigger_run *ret)
{
	struct tw_accounts *local = any_account_local(accounts);

	return local->ops->trigger(local, order, ret);
}

/* NULL: no memory. */
static inline struct tw_accounts *any_account_new(void)
{
	struct any_account *any = calloc(1, sizeof(*any));

	if (!any || tw_accounts_local_new(NULL, tw_agent_run, &any->local)) {
		free(any);
		return NULL;
	}
	any->ops = (struct tw_accounts_ops){
		.find = any_account_find,
		.agent = any_account_agent,
		.resolve = any_account_resolve,
		.buffers = any_account_buffers,
		.trigger = any_account_trigger,
	};
	any->accounts.ops = &any->ops;
	return &any->accounts;
}

static inline void any_account_free(struct tw_accounts *accounts)
{
	if (!accounts)
		return;
	tw_accounts_local_free(any_account_local(accounts));
	free(accounts);
}
