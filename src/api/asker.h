/*
 * asker.h - questions that take time, asked on threads of their own: the accounts' (accounts.h),
 * and whether a token's password is right, or what to keep of one. Callers from outside keep these
 * threads busy; no other work waits behind them. Passwords, which strangers may send as many of as
 * they have machines, have half of the threads and of the places at most: whoever is known by the
 * kernel, or by a session, does not wait behind them either.
 *
 * A question is answered once, from the control thread's loop, or forgotten. What it was given is
 * copied, and wiped afterwards.
 */
#pragma once

#include <event2/event.h>
#include <jansson.h>

#include "auth/accounts.h"

#define TW_ASKER_QUESTIONS_MAX 256 /* under way; beyond: -EBUSY */
#define TW_ASKER_MAKING_MAX 16     /* passwords that are made for one account, of these */

struct tw_asker;
struct tw_question;

/* @r: as the function of accounts.h returned it; @account is lent, valid when it is 0. */
typedef void tw_answered(void *context, int r, const struct tw_account *account);

/* @accounts borrowed; NULL: every question about them is answered -EACCES. -errno. */
int tw_asker_new(struct event_base *base, struct tw_accounts *accounts, struct tw_asker **ret);
/* Forgets all questions. */
void tw_asker_free(struct tw_asker *asker);

/* Each: a handle for tw_question_forget(), valid until the answer; NULL: -EBUSY or no memory. */
struct tw_question *tw_ask_check(struct tw_asker *asker, const char *user, const char *password,
				 tw_answered *answered, void *context);
/* @socket: a connected Unix socket; stays the caller's. */
struct tw_question *tw_ask_vouch(struct tw_asker *asker, int socket, tw_answered *answered,
				 void *context);
struct tw_question *tw_ask_find(struct tw_asker *asker, const char *user, tw_answered *answered,
				void *context);
/* Whether @user is in any of the groups, a list of texts. 0, or -EACCES; never an account. */
struct tw_question *tw_ask_groups(struct tw_asker *asker, const char *user, json_t *groups,
				  tw_answered *answered, void *context);
/* Whether @password is what @made was made of (tw_password_check()). 0, or -EACCES. */
struct tw_question *tw_ask_password(struct tw_asker *asker, const char *made, const char *password,
				    tw_answered *answered, void *context);
/* What tw_password_check() will know @password by, as tw_question_made() has it. 0, or -ENOMEM. It
 * takes as long as a guess, and nobody pays for it: @account has few of those places. */
struct tw_question *tw_ask_to_make(struct tw_asker *asker, const char *account,
				   const char *password, tw_answered *answered, void *context);
/* Lent while the answer is given. */
const char *tw_question_made(const struct tw_question *question);
void tw_question_forget(struct tw_question *question);
