/* methods_session.c - who calls: auth, authToken, superuser, wrangler. */
#include <stdlib.h>
#include <string.h>

#include "api/private.h"
#include "api/rows.h"

/* Somebody who says who he is; goes on by itself once begun. */
struct tw_api_login {
	struct tw_api *api;
	struct tw_api_call *call;   /* that waits; NULL: authAsync */
	struct tw_request *request; /* of authAsync */
	char user[TW_API_USER_MAX], address[TW_ADDRESS_TEXT], password[1024];
	struct event *timer;
	void *handle;
	LIST_ENTRY(tw_api_login) links;
};

static void free_login(struct tw_api_login *login)
{
	LIST_REMOVE(login, links);
	login->api->login_count--;
	if (login->timer)
		event_free(login->timer);
	tw_wipe(login->password, sizeof login->password);
	free(login);
}

static void drop_login(struct tw_api_login *login)
{
	const struct tw_api_authenticator *authenticator = login->api->options.authenticator;

	if (login->handle)
		authenticator->cancel(authenticator->context, login->handle);
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

static int refused(struct tw_fault *fault, bool possible)
{
	return tw_fault_set(fault, TW_FAULT_NOT_AUTHENTICATED, NULL,
			    possible ? "the account or its password is wrong"
				     : "this server takes no passwords: use the Unix socket, or an "
				       "API token with authToken");
}

static void login_ended(void *context, const struct tw_api_session *session)
{
	struct tw_api_login *login = context;
	struct tw_api *api = login->api;
	struct tw_api_call *call = login->call;
	struct tw_request *request = login->request;
	struct tw_fault fault = { 0 };
	json_t *answer = NULL;

	login->handle = NULL;
	if (session) {
		tw_api_brake_passed(api->sessions, login->user, login->address);
		answer = enter(api, session, call ? call->exchange : NULL);
	} else {
		tw_api_brake_failed(api->sessions, login->user, login->address);
	}
	if (!answer && session)
		tw_fault_set(&fault, TW_FAULT_INTERNAL, NULL, "out of memory");
	else if (!answer)
		refused(&fault, api->options.authenticator != NULL);
	free_login(login);
	if (request && answer) {
		tw_engine_request_done(request, answer);
	} else if (request) {
		tw_engine_request_fail(request, &fault);
	} else if (call && answer) {
		call->waiting = NULL;
		tw_api_call_done(call, tw_api_result_json(call, answer));
	} else if (call) {
		call->waiting = NULL;
		call->fault = fault;
		tw_api_call_done(call, (int)fault.code);
	}
}

static void login_due(evutil_socket_t fd, short what, void *context)
{
	struct tw_api_login *login = context;
	const struct tw_api_authenticator *authenticator = login->api->options.authenticator;

	(void)fd;
	(void)what;
	if (!authenticator) {
		login_ended(login, NULL);
		return;
	}
	login->handle = authenticator->check(authenticator->context, login->user, login->password,
					     login_ended, login);
}

static struct tw_api_login *begin_login(struct tw_api_call *call)
{
	struct tw_api *api = call->api;
	struct tw_api_login *login;
	tw_ns delay;
	struct timeval wait;

	if (api->login_count >= TW_API_LOGINS_MAX) {
		tw_api_fault(call, TW_FAULT_LIMIT_REACHED, NULL,
			     "%d log in already; try again in a moment", TW_API_LOGINS_MAX);
		return NULL;
	}
	login = calloc(1, sizeof *login);
	if (login)
		login->timer = event_new(api->options.base, -1, 0, login_due, login);
	if (!login || !login->timer) {
		free(login);
		tw_api_fault(call, TW_FAULT_INTERNAL, NULL, "out of memory");
		return NULL;
	}
	login->api = api;
	snprintf(login->user, sizeof login->user, "%s", tw_api_string(call, "user"));
	snprintf(login->password, sizeof login->password, "%s", tw_api_string(call, "password"));
	snprintf(login->address, sizeof login->address, "%s", call->exchange->peer->address);
	LIST_INSERT_HEAD(&api->logins, login, links);
	api->login_count++;
	delay = tw_api_brake_delay(api->sessions, login->user, login->address);
	wait = (struct timeval){ (time_t)(delay / TW_SECOND),
				 (suseconds_t)(delay % TW_SECOND / 1000) };
	event_add(login->timer, &wait);
	return login;
}

static void cancel_login(struct tw_api_call *call)
{
	if (call->waiting)
		drop_login(call->waiting);
}

static int auth(struct tw_api_call *call)
{
	struct tw_api_login *login = begin_login(call);

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

static int auth_async(struct tw_api_call *call)
{
	struct tw_api_login *login = begin_login(call);
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

static int auth_token_now(struct tw_api_call *call)
{
	struct tw_api *api = call->api;
	const char *token = tw_api_string(call, "token"), *address = call->exchange->peer->address;
	struct tw_api_session session;
	int r = tw_api_token_session(&api->options, token, tw_api_string(call, "password"),
				     &session, &call->fault);

	if (r) {
		tw_api_brake_failed(api->sessions, token, address);
		return r;
	}
	tw_api_brake_passed(api->sessions, token, address);
	return tw_api_result_json(call, enter(api, &session, call->exchange));
}

static void auth_token_due(struct tw_api_call *call)
{
	tw_api_call_done(call, auth_token_now(call));
}

static int auth_token(struct tw_api_call *call)
{
	tw_ns delay = tw_api_brake_delay(call->api->sessions, tw_api_string(call, "token"),
					 call->exchange->peer->address);

	if (!delay)
		return auth_token_now(call);
	return tw_api_call_later(call, delay / TW_MSEC, auth_token_due) ? TW_API_LATER
									: (int)call->fault.code;
}

static int superuser(struct tw_api_call *call)
{
	struct tw_api_session *session = call->exchange->session;

	if (!session->superuser_allowed)
		return tw_api_fault(call, TW_FAULT_NOT_PERMITTED, NULL,
				    "this account is no superuser: --superuser and --supergroup "
				    "name them");
	session->superuser = true;
	return tw_api_result_null(call);
}

static int wrangler(struct tw_api_call *call)
{
	struct tw_api_session *session = call->exchange->session;
	json_t *wranglers = tw_engine_wranglers(call->engine);

	session->wrangler_allowed = tw_api_session_wrangler(session, wranglers);
	json_decref(wranglers);
	if (!session->wrangler_allowed)
		return tw_api_fault(call, TW_FAULT_NOT_PERMITTED, NULL,
				    "this account is no wrangler: a superuser can make it one with "
				    "addWranglerAsync");
	session->wrangler = true;
	return tw_api_result_null(call);
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
	  TW_PARAMETERS(auth_parameters),
	  .returns = LOGGED_IN,
	  .summary = "log in with an account and its password",
	  .run = auth },
	{ .name = "authAsync",
	  .role = TW_API_ANYONE,
	  TW_PARAMETERS(auth_parameters),
	  .async = true,
	  .returns = LOGGED_IN,
	  .summary = "log in with an account and its password, without waiting",
	  .run = auth_async },
	{ .name = "authToken",
	  .role = TW_API_ANYONE,
	  TW_PARAMETERS(auth_token_parameters),
	  .returns = LOGGED_IN,
	  .summary = "log in with a token",
	  .run = auth_token },
	{ .name = "superuser",
	  .role = TW_API_AUTHENTICATED,
	  .permissions = TW_MAY_ALL,
	  .returns = "null",
	  .summary = "make this session a superuser's, if its account is one",
	  .run = superuser },
	{ .name = "wrangler",
	  .role = TW_API_AUTHENTICATED,
	  .permissions = TW_MAY_ALL,
	  .returns = "null",
	  .summary = "see and change the objects of others, if a superuser allowed it",
	  .run = wrangler },
};

const struct tw_api_table tw_api_session_methods = TW_METHODS(rows);
