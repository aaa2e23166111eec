/*
 * lookup.h - accounts and groups in the system's database (NSS). Blocks, and loads the modules that
 * nsswitch.conf names into the process: the monitor asks from children that live for one question.
 */
#pragma once

#include "auth/accounts.h"

/* @starter: the account that started the server. -ENOENT; -errno of the database. */
int tw_lookup_name(const char *name, const struct tw_accounts_rules *rules, uid_t starter,
		   struct tw_account *ret);
/* One without a name gets its number for one, the group @gid and the home "/". */
int tw_lookup_uid(uid_t uid, gid_t gid, const struct tw_accounts_rules *rules, uid_t starter,
		  struct tw_account *ret);
bool tw_lookup_in_group(const char *user, gid_t gid, const char *group);
