/*
 * grants.h - which accounts have proved themselves, and so may be served with their own rights.
 *
 * A list in memory and a file of text beside it: a line that names the format, then one a grant,
 * `uid gid name`. The file is replaced as a whole (written aside, flushed, renamed), belongs to the
 * account that runs the monitor and is readable by it alone; one that belongs to somebody else, has
 * another name too, or is writable by others is not read. At most TW_GRANTS_MAX, the oldest go.
 *
 * A grant holds for a name and a user id together: an account that was made anew under an old name
 * is somebody else. Uses no name service. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "auth/accounts.h"

#define TW_GRANTS_FILE "grants"
#define TW_GRANTS_MAX 4096

struct tw_grant {
	uid_t uid;
	gid_t gid;
	char name[TW_ACCOUNT_NAME_MAX];
};

struct tw_grants {
	int folder; /* borrowed; -1: kept in memory alone */
	struct tw_grant *all;
	size_t count;
};

/*
 * Reads the file in @folder, if there is one. TW_E_FORMAT: it is damaged; TW_E_UNSAFE: it is not
 * the monitor's own; the list is empty then and the file is left until the first grant. -errno.
 */
int tw_grants_open(int folder, struct tw_grants *ret);
void tw_grants_close(struct tw_grants *grants);
/* Lent until the next change. NULL: not granted. */
const struct tw_grant *tw_grants_find(const struct tw_grants *grants, const char *name);
/* Adds or renews. -errno: it holds, but is not in the file. -EINVAL: no such name can be. */
int tw_grants_add(struct tw_grants *grants, const struct tw_account *account);
/* -errno as above. */
int tw_grants_remove(struct tw_grants *grants, const char *name);

/* The text of the file, for tests and the fuzzer. TW_E_FORMAT. Appends to @ret's list. */
int tw_grants_parse(const char *text, size_t length, struct tw_grants *ret);
