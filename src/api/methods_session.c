/* methods_session.c - who calls: auth, authToken, superuser, wrangler. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/guess.h"
#include "api/private.h"
#include "api/rows.h"
#include "api/secrets.h"
#include "base/secret.h"

/* Somebody who says who he is; goes on by itself once begun. */
struct tw_api_login {
	struct tw_api *api;
	struct tw_api_call *call;   /* that waits; NULL: authAsync */
	struct tw_request *request; /* of authAsync */
	struct tw_guess guess;
	char password[TW_ACCOUNT_PASSWORD_MAX + 1];
	struct tw_question *question; /* NULL: not asked yet */
	LIST_ENTRY(tw_api_login) links;
};

static void free_login(struct tw_api_login *login)
{
	LIST_REMOVE(login, links);
	login->api->login_count--;
	tw_guess_end(&login->guess);
	tw_wipe(login->password, sizeof login->password);
	free(login);
}

static void drop_login(struct tw_api_login *login)
{
	if (login->question)
		tw_question_forget(login->question);
	free_login(login);
}

void tw_api_logins_drop(struct tw_api *api)
{
	struct tw_api_login *login;

	/* clang's analyzer does not follow LIST_REMOVE(). */
	while ((login = LIST_FIRST(&api->logins)))
		drop_login(login); /* NOLINT(clang-analyzer-unix.Malloc) */
}

/* A new session with its bearer token as the answer; calls that follow in the same batch are in
 * it. */
static json_t *enter(struct tw_api *api, const struct tw_api_session *session,
		     struct tw_api_exchange *exchange)
{
	char bearer[TW_API_BEARER];
	struct tw_api_session *made;
	json_t *answer;

	tw_api_bearer_make(bearer);
	made = tw_api_sessions_add(api->sessions, session, bearer);
	if (!made)
		return NULL;
	if (exchange) {
		tw_api_session_hold(made);
		tw_api_session_drop(exchange->session);
		exchange->session = made;
	}
	answer = json_pack("{s:s, s:s, s:I}", "user", made->user, "token", bearer, "expiryTime",
			   (json_int_t)made->expires_us);
	tw_wipe(bearer, sizeof bearer);
	return answer;
}

/* With the answer (taken), or NULL and a fault. */
static void end_login(struct tw_api_login *login, json_t *answer, const struct tw_fault *fault)
{
	struct tw_api_call *call = login->call;
	struct tw_request *request = login->request;

	free_login(login);
	if (request && answer) {
		tw_engine_request_done(request, answer);
	} else if (request) {
		tw_engine_request_fail(request, fault);
	} else if (call && answer) {
		call->waiting = NULL;
		tw_api_call_done(call, tw_api_result_json(call, answer));
	} else if (call) {
		call->waiting = NULL;
		call->fault = *fault;
		tw_api_call_done(call, (int)fault->code);
	}
}

static void refuse_busy(struct tw_api_login *login)
{
	struct tw_fault fault = { 0 };

	tw_fault_set(&fault, TW_FAULT_UNAVAILABLE, NULL,
		     "too many log in at this moment; try again");
	end_login(login, NULL, &fault);
}

static void told(void *context, int r, const struct tw_account *account)
{
	struct tw_api_login *login = context;
	struct tw_api_session session = { 0 };
	struct tw_fault fault = { 0 };
	json_t *answer = NULL;

	login->question = NULL;
	if (r == -EBUSY || r == -EPIPE || r == -ENOMEM) {
		refuse_busy(login);
		return;
	}
	tw_guess_outcome(&login->guess, !r);
	if (r) {
		tw_fault_set(&fault, TW_FAULT_NOT_AUTHENTICATED, NULL,
			     "the account or its password is wrong");
	} else {
		tw_api_session_account(&session, account);
		answer = enter(login->api, &session, login->call ? login->call->exchange : NULL);
		if (!answer)
			tw_fault_set(&fault, TW_FAULT_INTERNAL, NULL, "out of memory");
	}
	end_login(login, answer, &fault);
}

static void login_due(void *context, tw_ns closed)
{
	struct tw_api_login *login = context;
	struct tw_fault fault = { 0 };

	if (closed) {
		tw_guess_refuse(closed, &fault);
		end_login(login, NULL, &fault);
		return;
	}
	login->question =
		tw_ask_check(login->api->asker, login->guess.name, login->password, told, login);
	if (!login->question)
		refuse_busy(login);
}

static struct tw_api_login *begin_login(struct tw_api_call *call, const char *name)
{
	const char *password = tw_api_string(call, "password");
	struct tw_api *api = call->api;
	struct tw_api_login *login;
	int r;

	if (api->login_count >= TW_API_LOGINS_MAX) {
		tw_api_fault(call, TW_FAULT_LIMIT_REACHED, NULL,
			     "%d log in already; try again in a moment", TW_API_LOGINS_MAX);
		return NULL;
	}
	login = calloc(1, sizeof *login);
	if (!login) {
		tw_api_fault(call, TW_FAULT_INTERNAL, NULL, "out of memory");
		return NULL;
	}
	login->api = api;
	login->guess.due = login_due;
	login->guess.context = login;
	login->guess.source = tw_api_source_of(call->exchange->peer);
	snprintf(login->guess.name, sizeof login->guess.name, "%s", name);
	snprintf(login->password, sizeof login->password, "%s", password ? password : "");
	r = tw_guess_begin(&login->guess, api->options.base, &api->guesses, api->penalties);
	if (r) {
		tw_wipe(login->password, sizeof login->password);
		free(login);
		tw_guess_not_begun(r, &call->fault);
		return NULL;
	}
	LIST_INSERT_HEAD(&api->logins, login, links);
	api->login_count++;
	return login;
}

static void cancel_login(struct tw_api_call *call)
{
	if (call->waiting)
		drop_login(call->waiting);
}

static int wait_for_login(struct tw_api_call *call, struct tw_api_login *login)
{
	if (!login)
		return (int)call->fault.code;
	if (!tw_api_call_wait(call, cancel_login)) {
		drop_login(login);
		return (int)call->fault.code;
	}
	login->call = call;
	call->waiting = login;
	return TW_API_LATER;
}

static int auth(struct tw_api_call *call)
{
	return wait_for_login(call, begin_login(call, tw_api_string(call, "user")));
}

static int auth_async(struct tw_api_call *call)
{
	struct tw_api_login *login = begin_login(call, tw_api_string(call, "user"));
	const char *id;
	int r;

	if (!login)
		return (int)call->fault.code;
	r = tw_engine_request_new(call->engine, &call->caller, &id, &login->request, &call->fault);
	if (r) {
		drop_login(login);
		return r;
	}
	return tw_api_result_request(call, id);
}

static int enter_by_token(struct tw_api_call *call, bool right)
{
	struct tw_api_session session;
	int r = tw_api_token_session(&call->api->options, tw_api_string(call, "token"), right,
				     &session, &call->fault);

	return r ? r : tw_api_result_json(call, enter(call->api, &session, call->exchange));
}

/* A token that needs no password is known by itself; all others are guesses. */
static int auth_token(struct tw_api_call *call)
{
	return tw_api_guess_token(call, tw_api_string(call, "token"),
				  tw_api_string(call, "password"), enter_by_token);
}

static int superuser(struct tw_api_call *call)
{
	struct tw_api_session *session = call->session;

	if (!session->superuser_allowed)
		return tw_api_fault(call, TW_FAULT_NOT_PERMITTED, NULL,
				    "this account is no superuser: --superuser and --supergroup "
				    "name them");
	session->superuser = true;
	return tw_api_result_null(call);
}

static int become_wrangler(struct tw_api_call *call, bool allowed)
{
	struct tw_api_session *session = call->session;

	session->wrangler_allowed = allowed;
	if (!allowed)
		return tw_api_fault(call, TW_FAULT_NOT_PERMITTED, NULL,
				    "this account is no wrangler: a superuser can make it one with "
				    "addWranglerAsync");
	session->wrangler = true;
	session->wranglers = call->api->wranglers;
	return tw_api_result_null(call);
}

static void groups_told(void *context, int r, const struct tw_account *account)
{
	struct tw_api_call *call = context;

	(void)account;
	call->waiting = NULL;
	tw_api_call_done(call, become_wrangler(call, !r));
}

static void cancel_question(struct tw_api_call *call)
{
	if (call->waiting)
		tw_question_forget(call->waiting);
}

/* The groups among @wranglers. */
static json_t *wrangler_groups(const json_t *wranglers)
{
	json_t *groups = json_array();
	const json_t *row;
	size_t i;

	json_array_foreach (wranglers, i, row)
		if (json_is_true(json_object_get(row, "isGroup")))
			json_array_append(groups, json_object_get(row, "name"));
	return groups;
}

static int ask_groups(struct tw_api_call *call, json_t *groups)
{
	struct tw_question *question;

	if (json_array_size(groups) == 0)
		return become_wrangler(call, false);
	if (!tw_api_call_wait(call, cancel_question))
		return (int)call->fault.code;
	question = tw_ask_groups(call->api->asker, call->session->user, groups, groups_told, call);
	call->waiting = question;
	if (!question)
		return tw_api_call_give_up(
			call, tw_api_fault(call, TW_FAULT_UNAVAILABLE, NULL,
					   "too many are asked after at this moment; try again"));
	return TW_API_LATER;
}

static int wrangler(struct tw_api_call *call)
{
	struct tw_api_session *session = call->session;
	json_t *wranglers = tw_engine_wranglers(call->engine), *groups;
	bool allowed = tw_api_session_wrangler(session, wranglers);
	int r;

	if (allowed || session->by_token || !session->authenticated) {
		json_decref(wranglers);
		return become_wrangler(call, allowed);
	}
	groups = wrangler_groups(wranglers);
	json_decref(wranglers);
	r = ask_groups(call, groups);
	json_decref(groups);
	return r;
}

#define LOGGED_IN "{user, token, expiryTime}: the token goes into Authorization: Bearer"

static const struct tw_api_parameter auth_parameters[] = {
	TW_P_NEEDED("user", TW_API_USER_MAX - 1, "an account of the server's system"),
	{ .name = "password",
	  .type = TW_API_STRING,
	  .required = true,
	  .max = 1023,
	  .meaning = "its password" },
};

static const struct tw_api_parameter auth_token_parameters[] = {
	TW_P_NEEDED("token", 128, "an API token or a shared token"),
	TW_P_TEXT("password", 1023, "its password, if it has one"),
};

static const struct tw_api_method rows[] = {
	{ .name = "auth",
	  .role = TW_API_ANYONE,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(auth_parameters),
	  .returns = LOGGED_IN,
	  .summary = "log in with an account and its password",
	  .run = auth },
	{ .name = "authAsync",
	  .role = TW_API_ANYONE,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(auth_parameters),
	  .async = true,
	  .returns = LOGGED_IN,
	  .summary = "log in with an account and its password, without waiting",
	  .run = auth_async },
	{ .name = "authToken",
	  .role = TW_API_ANYONE,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(auth_token_parameters),
	  .returns = LOGGED_IN,
	  .summary = "log in with a token",
	  .run = auth_token },
	{ .name = "superuser",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_NEVER,
	  .returns = "null",
	  .summary = "make this session a superuser's, if its account is one",
	  .run = superuser },
	{ .name = "wrangler",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_NEVER,
	  .returns = "null",
	  .summary = "see and change the objects of others, if a superuser allowed it",
	  .run = wrangler },
};

const struct tw_api_table tw_api_session_methods = TW_METHODS(rows);
