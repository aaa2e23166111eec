/*
 * pam.h - a name and a password asked of PAM, as the service "tradewind" (/etc/pam.d/tradewind).
 *
 * PAM loads modules of the administrator's choice into the process and may talk to anybody: it runs
 * in a child that lives for one question.
 */
#pragma once

#include <stddef.h>

#define TW_PAM_SERVICE "tradewind"

/*
 * Authentication and account management; an account whose password has expired does not pass. No
 * session is opened. Modules are told not to wait after a failure: whoever asked sees to the time
 * himself. @ret_user: the name as PAM has it in the end. -EACCES, whatever the reason.
 */
int tw_pam_check(const char *service, const char *user, const char *password, char *ret_user,
		 size_t room);
