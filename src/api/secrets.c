#include "api/secrets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/guess.h"
#include "api/private.h"
#include "api/session.h"
#include "engine/password.h"

static int still_there(struct tw_api_call *call)
{
	const struct tw_api_session *session = call->session;

	if (tw_api_session_lives(session) &&
	    (!session->by_token || tw_api_token_alive(call->engine, session)))
		return 0;
	return tw_api_fault(call, TW_FAULT_NOT_AUTHENTICATED, NULL,
			    "the session has ended meanwhile: log in again");
}

static int too_many(struct tw_api_call *call)
{
	return tw_api_fault(call, TW_FAULT_UNAVAILABLE, NULL,
			    "too many passwords are looked at in this moment; try again");
}

static int no_memory(struct tw_api_call *call)
{
	return tw_api_fault(call, TW_FAULT_INTERNAL, NULL, "out of memory");
}

/* Making one. */

struct making {
	struct tw_question *question;
	int (*finish)(struct tw_api_call *call, const char *made);
};

static void made(void *context, int r, const struct tw_account *account)
{
	struct tw_api_call *call = context;
	struct making *making = call->waiting;
	int code = r ? no_memory(call) : still_there(call);

	(void)account;
	if (!code)
		code = making->finish(call, tw_question_made(making->question));
	free(making);
	tw_api_call_done(call, code);
}

static void cancel_making(struct tw_api_call *call)
{
	struct making *making = call->waiting;

	tw_question_forget(making->question);
	free(making);
}

int tw_api_make_password(struct tw_api_call *call, const char *password,
			 int (*finish)(struct tw_api_call *call, const char *made))
{
	struct making *making;

	if (!password || !*password)
		return finish(call, NULL);
	if (!tw_api_call_wait(call, cancel_making))
		return (int)call->fault.code;
	making = malloc(sizeof *making);
	if (!making)
		return tw_api_call_give_up(call, no_memory(call));
	making->finish = finish;
	making->question =
		tw_ask_to_make(call->api->asker, call->session->user, password, made, call);
	if (!making->question) {
		free(making);
		return tw_api_call_give_up(call, too_many(call));
	}
	call->waiting = making;
	return TW_API_LATER;
}

/* Guessing. */

struct guessing {
	struct tw_api_call *call;
	const char *password;
	struct tw_guess guess; /* its name is the token */
	struct tw_question *question;
	int (*finish)(struct tw_api_call *call, bool right);
};

static void free_guessing(struct guessing *guessing)
{
	guessing->call->api->login_count--;
	tw_guess_end(&guessing->guess);
	free(guessing);
}

static void end_guessing(struct guessing *guessing, int code)
{
	struct tw_api_call *call = guessing->call;

	free_guessing(guessing);
	tw_api_call_done(call, code);
}

static void cancel_guessing(struct tw_api_call *call)
{
	struct guessing *guessing = call->waiting;

	if (guessing->question)
		tw_question_forget(guessing->question);
	free_guessing(guessing);
}

static void guessed(void *context, int r, const struct tw_account *account)
{
	struct guessing *guessing = context;
	struct tw_api_call *call = guessing->call;
	int code = still_there(call);

	(void)account;
	if (!code) {
		code = guessing->finish(call, !r);
		tw_guess_outcome(&guessing->guess, code != TW_FAULT_NOT_AUTHENTICATED);
	}
	end_guessing(guessing, code);
}

static void due(void *context, tw_ns closed)
{
	struct guessing *guessing = context;
	struct tw_api_call *call = guessing->call;
	const char *wanted = tw_engine_token_password(call->engine, guessing->guess.name);

	if (closed) {
		end_guessing(guessing, tw_guess_refuse(closed, &call->fault));
		return;
	}
	guessing->question =
		tw_ask_password(call->api->asker, wanted ? wanted : tw_password_nobody,
				guessing->password ? guessing->password : "", guessed, guessing);
	if (!guessing->question)
		end_guessing(guessing, too_many(call));
}

static int begin_guessing(struct guessing *guessing, const char *token)
{
	struct tw_api_call *call = guessing->call;
	struct tw_guess *guess = &guessing->guess;
	int r;

	guess->due = due;
	guess->context = guessing;
	guess->source = tw_api_source_of(call->exchange->peer);
	snprintf(guess->name, sizeof guess->name, "%s", token);
	r = tw_guess_begin(guess, call->api->options.base, &call->api->guesses,
			   call->api->penalties);
	if (r)
		return tw_guess_not_begun(r, &call->fault);
	call->api->login_count++;
	call->waiting = guessing;
	return TW_API_LATER;
}

int tw_api_guess_token(struct tw_api_call *call, const char *token, const char *password,
		       int (*finish)(struct tw_api_call *call, bool right))
{
	struct guessing *guessing;
	int code;

	if (!tw_engine_token_password(call->engine, token))
		return finish(call, false);
	if (call->api->login_count >= TW_API_LOGINS_MAX)
		return tw_api_fault(call, TW_FAULT_LIMIT_REACHED, NULL,
				    "%d log in already; try again in a moment", TW_API_LOGINS_MAX);
	if (!tw_api_call_wait(call, cancel_guessing))
		return (int)call->fault.code;
	guessing = calloc(1, sizeof *guessing);
	if (!guessing)
		return tw_api_call_give_up(call, no_memory(call));
	guessing->call = call;
	guessing->password = password;
	guessing->finish = finish;
	code = begin_guessing(guessing, token);
	if (code == TW_API_LATER)
		return code;
	free(guessing);
	return tw_api_call_give_up(call, code);
}
