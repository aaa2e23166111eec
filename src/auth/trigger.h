/*
 * trigger.h - runs one program of the trigger folder, as an account, under the eye of a keeper.
 *
 * The keeper is a process between the caller and the program. It becomes the account first, so that
 * the program is its own to end, with its whole process group: when it is over, so that nothing it
 * started outlives it, and when the other end of the control socket closes. It tells how the
 * program ended. The caller starts it and forgets it: it is no child of the caller's, and no limit
 * of time is kept here.
 *
 * The program gets its arguments, a clean environment (PATH, HOME, USER, LOGNAME, LANG,
 * TRADEWIND_EVENT), the folder /, and no descriptor but the three standard ones.
 */
#pragma once

#include "auth/accounts.h"

/*
 * @folder: absolute. @account borrowed: whom it runs as; this process must be root, or that account
 * already. The rest of the order: see accounts.h. -ENOENT: no executable file of that name;
 * -EPERM: this process may not become the account; another -errno.
 */
int tw_trigger_start(const char *folder, const struct tw_account *account,
		     const struct tw_trigger_order *order, struct tw_trigger_run *ret);
