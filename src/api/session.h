/*
 * session.h - who calls: sessions of the Unix socket (known by the peer's credentials), bearer
 * tokens of those who have logged in, and the brake on failures.
 *
 * Which accounts there are and what their passwords are is an authenticator's knowledge; without
 * one, auth() is always NotAuthenticated. A bearer token is 64 hex digits, kept as its SHA-256,
 * good for TW_API_SESSION_IDLE after its last use and TW_API_SESSION_LIFE altogether. Failures are
 * counted per account and per address: each within a quarter of an hour makes the next answer
 * slower, up to TW_API_DELAY_MAX, and only TW_API_LOGINS_MAX log in at a time. That slows a guesser
 * to a crawl and locks nobody out. Answers are the same for an unknown account and a wrong
 * password.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/http_parse.h"
#include "auth/accounts.h"
#include "base/time.h"
#include "engine/engine.h"

#define TW_API_USER_MAX 256
#define TW_API_SESSIONS_MAX 4096
#define TW_API_SESSION_IDLE (3600 * TW_SECOND)
#define TW_API_SESSION_LIFE (43200 * TW_SECOND)
#define TW_API_BEARER 65 /* hex digits and the NUL */
#define TW_API_LOGINS_MAX 32
#define TW_API_FAILURES_WINDOW (900 * TW_SECOND)
#define TW_API_DELAY_MAX (8 * TW_SECOND)

struct tw_api_session {
	char user[TW_API_USER_MAX]; /* "": nobody */
	bool authenticated, superuser, wrangler;
	bool superuser_allowed, wrangler_allowed;
	bool local;
	unsigned uid, gid;
	bool by_token, token_shared;
	char token[TW_OBJECT_ID], token_session[TW_OBJECT_ID];
	char token_path[4096];
	unsigned permissions;
	/* Of a bearer: */
	bool bearer;
	uint8_t hash[32];
	tw_ns begun, used;
	int64_t expires_us; /* wall */
	unsigned holders;   /* requests that use it; freed when gone and 0 */
	bool gone;
};

/*
 * Asks whether a password is an account's: starts the work and calls @done from the loop, once,
 * with the session's user, rights and uid filled in (@session lent) or NULL. The same time for any
 * failure. Returns a handle for @cancel. Cancelled: @done is not called.
 */
struct tw_api_authenticator {
	void *context;
	void *(*check)(void *context, const char *user, const char *password,
		       void (*done)(void *done_context, const struct tw_api_session *session),
		       void *done_context);
	void (*cancel)(void *context, void *handle);
};

/* Fills in what the system knows of a peer of the Unix socket. */
void tw_api_session_local(struct tw_api_session *session, unsigned uid, unsigned gid,
			  const struct tw_accounts_rules *superusers);
/* Whether the name, or a group that it is in, is among @wranglers ({name, isGroup} rows). */
bool tw_api_session_wrangler(const struct tw_api_session *session, json_t *wranglers);
void tw_api_session_caller(const struct tw_api_session *session, struct tw_caller *ret);

struct tw_api_sessions;
/* -ENOMEM. */
int tw_api_sessions_new(struct tw_api_sessions **ret);
void tw_api_sessions_free(struct tw_api_sessions *sessions);
void tw_api_bearer_make(char ret[TW_API_BEARER]);
/* A copy of @session for whoever shows @bearer; the longest unused one gives way. NULL: no memory.
 */
struct tw_api_session *tw_api_sessions_add(struct tw_api_sessions *sessions,
					   const struct tw_api_session *session,
					   const char *bearer);
/* NULL: unknown or expired. Its use is noted. */
struct tw_api_session *tw_api_sessions_find(struct tw_api_sessions *sessions,
					    struct tw_slice bearer);
/* Neither ended nor too old. */
bool tw_api_session_lives(const struct tw_api_session *session);
void tw_api_session_hold(struct tw_api_session *session);
void tw_api_session_drop(struct tw_api_session *session);
/* Freed now, or when the last holder drops it. */
void tw_api_session_end(struct tw_api_session *session);

/* How long the answer to one who says he is @user, from @address, has to wait. */
tw_ns tw_api_brake_delay(struct tw_api_sessions *sessions, const char *user, const char *address);
void tw_api_brake_failed(struct tw_api_sessions *sessions, const char *user, const char *address);
void tw_api_brake_passed(struct tw_api_sessions *sessions, const char *user, const char *address);
