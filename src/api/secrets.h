/*
 * secrets.h - calls with a password in them. scrypt takes its time (password.h): it is left to the
 * asker's threads, and the call waits.
 *
 * What a call says may not be so any more when it goes on: the token it names may have gone, and
 * whoever calls. The first is for @finish to see; the second ends the call with NotAuthenticated.
 */
#pragma once

#include "api/call.h"

/*
 * For a call that is to keep @password (its own; NULL or "": none): @finish makes the answer, with
 * what tw_password_check() will know it by, lent, or NULL. What a handler returns.
 */
int tw_api_make_password(struct tw_api_call *call, const char *password,
			 int (*finish)(struct tw_api_call *call, const char *made));
/*
 * For a call that comes with @token and @password (its own; may be NULL): @finish makes the answer,
 * with whether the password is right. One that the token needs is a guess (guess.h), wrong when
 * @finish says NotAuthenticated; for a token that needs none @finish is called at once, with false.
 * What a handler returns.
 */
int tw_api_guess_token(struct tw_api_call *call, const char *token, const char *password,
		       int (*finish)(struct tw_api_call *call, bool right));
