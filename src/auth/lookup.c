#include "auth/lookup.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define ENTRY_ROOM_MAX ((size_t)1 << 20) /* a group may have very many members */
#define GROUPS_MAX 65536                 /* as the kernel */

static bool is_among(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int group_id(const char *name, gid_t *ret)
{
	struct group entry, *found = NULL;
	size_t room = 4096;
	char *space = NULL;
	int r;

	do {
		char *more = realloc(space, room *= 2);

		if (!more) {
			free(space);
			return -ENOMEM;
		}
		space = more;
		r = getgrnam_r(name, &entry, space, room, &found);
	} while (r == ERANGE && room < ENTRY_ROOM_MAX);
	if (!r && found)
		*ret = found->gr_gid;
	free(space);
	return r ? -r : found ? 0 : -ENOENT;
}

bool tw_lookup_in_group(const char *user, gid_t gid, const char *group)
{
	int count = 64;
	gid_t *groups = NULL, wanted = 0;
	bool found = false;

	if (group_id(group, &wanted))
		return false;
	for (;;) {
		int room = count;
		gid_t *more = realloc(groups, (size_t)count * sizeof(*groups));

		if (!more)
			break;
		groups = more;
		if (getgrouplist(user, gid, groups, &count) >= 0) {
			for (int i = 0; i < count && !found; i++)
				found = groups[i] == wanted;
			break;
		}
		if (count <= room)
			count = 2 * room;
		if (count > GROUPS_MAX)
			break;
	}
	free(groups);
	return found;
}

static bool may_be_superuser(const struct tw_account *account,
			     const struct tw_accounts_rules *rules, uid_t starter)
{
	if (account->uid == 0 || account->uid == starter)
		return true;
	if (!rules)
		return false;
	if (is_among(account->name, rules->users, rules->user_count))
		return true;
	for (size_t i = 0; i < rules->group_count; i++)
		if (tw_lookup_in_group(account->name, account->gid, rules->groups[i]))
			return true;
	return false;
}

static int take(const struct passwd *entry, struct tw_account *ret)
{
	if (strlen(entry->pw_name) >= sizeof(ret->name) ||
	    strlen(entry->pw_dir) >= sizeof(ret->home))
		return -ENAMETOOLONG;
	snprintf(ret->name, sizeof(ret->name), "%s", entry->pw_name);
	snprintf(ret->home, sizeof(ret->home), "%s", entry->pw_dir);
	ret->uid = entry->pw_uid;
	ret->gid = entry->pw_gid;
	return 0;
}

int tw_lookup_uid(uid_t uid, gid_t gid, const struct tw_accounts_rules *rules, uid_t starter,
		  struct tw_account *ret)
{
	struct tw_account account = { .uid = uid, .gid = gid, .home = "/" };
	struct passwd entry, *found = NULL;
	char space[16384];
	int r = getpwuid_r(uid, &entry, space, sizeof(space), &found);

	/* Some modules say ENOENT and the like where there is simply nobody. */
	if (found)
		r = take(found, &account);
	else if (r == EIO || r == EMFILE || r == ENFILE || r == ENOMEM || r == ERANGE)
		return -r;
	else
		r = 0;
	if (r)
		return r;
	if (!found)
		snprintf(account.name, sizeof(account.name), "%u", (unsigned)uid);
	account.superuser_allowed = may_be_superuser(&account, rules, starter);
	*ret = account;
	return 0;
}

int tw_lookup_name(const char *name, const struct tw_accounts_rules *rules, uid_t starter,
		   struct tw_account *ret)
{
	struct tw_account account = { .uid = 0 };
	struct passwd entry, *found = NULL;
	uint64_t number;
	char space[16384];
	int r = getpwnam_r(name, &entry, space, sizeof(space), &found);

	if (!found && tw_text_parse_u64(name, 0, UINT32_MAX - 1, &number) == 0) {
		r = tw_lookup_uid((uid_t)number, (gid_t)number, rules, starter, &account);
		/* An account that has a name goes by it. */
		if (!r && strcmp(account.name, name) != 0)
			return -ENOENT;
		if (!r)
			*ret = account;
		return r;
	}
	if (!found)
		return r && r != ESRCH && r != EBADF && r != EPERM ? -r : -ENOENT;
	r = take(found, &account);
	if (r)
		return r;
	account.superuser_allowed = may_be_superuser(&account, rules, starter);
	*ret = account;
	return 0;
}
