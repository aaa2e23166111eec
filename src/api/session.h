/*
 * session.h - who calls: sessions of connections (the Unix socket, HTTP Basic) and bearer tokens of
 * those who have logged in.
 *
 * Which accounts there are, what their passwords are and who may be a superuser is what accounts.h
 * answers; a session is asked after again when TW_API_PROOF_AGE old (entry.c), so that an account
 * that has lost a right, or is gone, loses it here too. A bearer token is 64 hex digits, kept as
 * its SHA-256, good for TW_API_SESSION_IDLE after its last use and TW_API_SESSION_LIFE altogether.
 * An account that has too many loses the one unused for longest, and whoever came with a token one
 * that came with the same: nobody can log others out by logging in.
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
#define TW_API_SESSIONS_ACCOUNT_MAX 512 /* of one account; beyond, one of its own gives way */
#define TW_API_SESSION_IDLE (3600 * TW_SECOND)
#define TW_API_SESSION_LIFE (43200 * TW_SECOND)
#define TW_API_BEARER 65 /* hex digits and the NUL */
#define TW_API_PROOF_AGE (300 * TW_SECOND)
#define TW_API_LOGINS_MAX 64 /* at a time */

struct tw_api_session {
	char user[TW_API_USER_MAX]; /* "": nobody */
	bool authenticated, superuser, wrangler;
	bool superuser_allowed, wrangler_allowed;
	bool local;
	unsigned uid, gid;
	tw_ns proven;       /* when the account was last asked after; 0: has none */
	uint64_t wranglers; /* of the interface when this one became a wrangler's */
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
	bool over; /* its account is no more: good for nothing, and removed when it is found */
};

/* Of an account that has proven itself now. Elevated rights stay as far as it may have them. */
void tw_api_session_account(struct tw_api_session *session, const struct tw_account *account);
/* Whether the account itself is among @wranglers ({name, isGroup} rows). */
bool tw_api_session_wrangler(const struct tw_api_session *session, const json_t *wranglers);
/* @wranglers: of the interface now; a session elevated before somebody was taken off the list of
 * wranglers has to be so again. */
void tw_api_session_caller(const struct tw_api_session *session, uint64_t wranglers,
			   struct tw_caller *ret);

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
