#include "api/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/private.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "netio/clock.h"

#define SESSIONS_FULL (TW_API_SESSIONS_MAX / 4 * 3)

struct tw_api_sessions {
	struct tw_api_session *slots[TW_API_SESSIONS_MAX]; /* by hash, open addressing */
	size_t count;
};

void tw_api_session_account(struct tw_api_session *session, const struct tw_account *account)
{
	snprintf(session->user, sizeof session->user, "%s", account->name);
	session->authenticated = true;
	session->uid = account->uid;
	session->gid = account->gid;
	session->permissions = TW_MAY_ALL;
	session->superuser_allowed = account->superuser_allowed;
	session->superuser = session->superuser && account->superuser_allowed;
	session->proven = tw_clock_now();
}

bool tw_api_session_wrangler(const struct tw_api_session *session, const json_t *wranglers)
{
	const json_t *row;
	size_t i;

	if (!session->authenticated || session->by_token)
		return false;
	json_array_foreach (wranglers, i, row) {
		const char *there = json_string_value(json_object_get(row, "name"));

		if (there && strcmp(there, session->user) == 0 &&
		    !json_is_true(json_object_get(row, "isGroup")))
			return true;
	}
	return session->superuser_allowed;
}

void tw_api_session_caller(const struct tw_api_session *session, uint64_t wranglers,
			   struct tw_caller *ret)
{
	*ret = (struct tw_caller){
		.user = session->user,
		.authenticated = session->authenticated,
		.superuser = session->superuser,
		.wrangler = session->wrangler && session->wranglers == wranglers,
		.superuser_allowed = session->superuser_allowed,
		.wrangler_allowed = session->wrangler_allowed,
		.token = session->by_token ? session->token : NULL,
		.token_session = session->by_token ? session->token_session : NULL,
		.permissions = session->permissions,
		.token_path = session->token_path[0] ? session->token_path : NULL,
		.local = session->local,
		.uid = session->uid,
		.gid = session->gid,
	};
}

int tw_api_token_session(const struct tw_api_options *options, const char *token, bool right,
			 struct tw_api_session *ret, struct tw_fault *fault)
{
	struct tw_caller caller = { 0 };
	struct tw_random random = tw_system_random();
	struct tw_caller all = { .user = "", .superuser = true, .permissions = TW_MAY_ALL };
	uint8_t id[16];
	int r = tw_engine_token_login(options->engine, token, right, &caller, fault);

	if (r)
		return r;
	*ret = (struct tw_api_session){
		.authenticated = true,
		.by_token = true,
		.token_shared = tw_engine_token(options->engine, &all, true, token) != NULL,
		.permissions = caller.permissions,
	};
	if (ret->token_shared ? !options->shared_tokens : !options->api_tokens)
		return tw_fault_set(fault, TW_FAULT_NOT_PERMITTED, "token",
				    "this server takes no %s tokens",
				    ret->token_shared ? "shared" : "API");
	snprintf(ret->user, sizeof ret->user, "%s", caller.user ? caller.user : "");
	snprintf(ret->token, sizeof ret->token, "%s", token);
	snprintf(ret->token_path, sizeof ret->token_path, "%s",
		 caller.token_path ? caller.token_path : "");
	tw_random_fill(&random, id, sizeof id);
	tw_text_hex(id, sizeof id, ret->token_session);
	return 0;
}

bool tw_api_token_alive(struct tw_engine *engine, const struct tw_api_session *session)
{
	const struct tw_caller all = { .user = "", .superuser = true, .permissions = TW_MAY_ALL };
	const struct tw_token_view *token =
		tw_engine_token(engine, &all, session->token_shared, session->token);

	return token && (!token->expiry_time || token->expiry_time > (int64_t)tw_clock_wall_us());
}

int tw_api_sessions_new(struct tw_api_sessions **ret)
{
	*ret = calloc(1, sizeof **ret);
	return *ret ? 0 : -ENOMEM;
}

void tw_api_sessions_free(struct tw_api_sessions *sessions)
{
	for (size_t i = 0; i < TW_API_SESSIONS_MAX; i++)
		if (sessions->slots[i])
			tw_api_session_end(sessions->slots[i]);
	free(sessions);
}

static void hash_text(const char *text, size_t length, uint8_t ret[TW_HASH_SIZE])
{
	struct tw_hash hash;

	tw_hash_init(&hash);
	tw_hash_update(&hash, text, length);
	tw_hash_final(&hash, ret);
}

void tw_api_bearer_make(char ret[TW_API_BEARER])
{
	struct tw_random random = tw_system_random();
	uint8_t bytes[TW_API_BEARER / 2];

	tw_random_fill(&random, bytes, sizeof bytes);
	tw_text_hex(bytes, sizeof bytes, ret);
	tw_wipe(bytes, sizeof bytes);
}

static size_t first_slot(const uint8_t hash[TW_HASH_SIZE])
{
	return ((size_t)hash[0] << 8 | hash[1]) % TW_API_SESSIONS_MAX;
}

static bool is_over(const struct tw_api_session *session, tw_ns now)
{
	return session->over || now - session->used > TW_API_SESSION_IDLE ||
	       now - session->begun > TW_API_SESSION_LIFE;
}

/* Those behind it in its run move up. */
static void remove_slot(struct tw_api_sessions *sessions, size_t at)
{
	tw_api_session_end(sessions->slots[at]);
	sessions->slots[at] = NULL;
	sessions->count--;
	for (size_t i = (at + 1) % TW_API_SESSIONS_MAX; sessions->slots[i];
	     i = (i + 1) % TW_API_SESSIONS_MAX) {
		size_t home = first_slot(sessions->slots[i]->hash);

		if ((i - home) % TW_API_SESSIONS_MAX < (i - at) % TW_API_SESSIONS_MAX)
			continue;
		sessions->slots[at] = sessions->slots[i];
		sessions->slots[i] = NULL;
		at = i;
	}
}

/* Three quarters full: those that are over go, else the one unused for longest. */
static void make_room(struct tw_api_sessions *sessions, tw_ns now)
{
	size_t oldest = TW_API_SESSIONS_MAX;

	for (size_t i = 0; i < TW_API_SESSIONS_MAX; i++)
		while (sessions->slots[i] && is_over(sessions->slots[i], now))
			remove_slot(sessions, i);
	for (size_t i = 0; i < TW_API_SESSIONS_MAX; i++) {
		const struct tw_api_session *session = sessions->slots[i];

		if (session && (oldest == TW_API_SESSIONS_MAX ||
				session->used < sessions->slots[oldest]->used))
			oldest = i;
	}
	if (sessions->count >= SESSIONS_FULL)
		remove_slot(sessions, oldest);
}

/* Of those of one account, and among them of those with the same token, if there are any. */
static void make_room_of_account(struct tw_api_sessions *sessions,
				 const struct tw_api_session *newcomer)
{
	size_t oldest[2] = { TW_API_SESSIONS_MAX, TW_API_SESSIONS_MAX }, count = 0;

	for (size_t i = 0; i < TW_API_SESSIONS_MAX; i++) {
		const struct tw_api_session *session = sessions->slots[i];
		size_t kinds;

		if (!session || strcmp(session->user, newcomer->user) != 0)
			continue;
		count++;
		kinds = strcmp(session->token, newcomer->token) == 0 ? 2 : 1;
		for (size_t k = 0; k < kinds; k++)
			if (oldest[k] == TW_API_SESSIONS_MAX ||
			    session->used < sessions->slots[oldest[k]]->used)
				oldest[k] = i;
	}
	if (count >= TW_API_SESSIONS_ACCOUNT_MAX)
		remove_slot(sessions, oldest[oldest[1] != TW_API_SESSIONS_MAX]);
}

struct tw_api_session *tw_api_sessions_add(struct tw_api_sessions *sessions,
					   const struct tw_api_session *session, const char *bearer)
{
	struct tw_api_session *made = malloc(sizeof *made);
	tw_ns now = tw_clock_now();
	size_t at;

	if (!made)
		return NULL;
	if (sessions->count >= TW_API_SESSIONS_ACCOUNT_MAX)
		make_room_of_account(sessions, session);
	if (sessions->count >= SESSIONS_FULL)
		make_room(sessions, now);
	*made = *session;
	made->bearer = true;
	made->begun = made->used = now;
	made->expires_us = (int64_t)(tw_clock_wall_us() + TW_API_SESSION_LIFE / 1000);
	made->holders = 0;
	made->gone = false;
	hash_text(bearer, strlen(bearer), made->hash);
	for (at = first_slot(made->hash); sessions->slots[at];)
		at = (at + 1) % TW_API_SESSIONS_MAX;
	sessions->slots[at] = made;
	sessions->count++;
	return made;
}

struct tw_api_session *tw_api_sessions_find(struct tw_api_sessions *sessions,
					    struct tw_slice bearer)
{
	uint8_t hash[TW_HASH_SIZE];
	tw_ns now = tw_clock_now();

	if (bearer.length > TW_API_BEARER - 1)
		return NULL;
	hash_text(bearer.at, bearer.length, hash);
	for (size_t at = first_slot(hash); sessions->slots[at];
	     at = (at + 1) % TW_API_SESSIONS_MAX) {
		if (!tw_equal_secret(sessions->slots[at]->hash, hash, sizeof hash))
			continue;
		if (is_over(sessions->slots[at], now)) {
			remove_slot(sessions, at);
			return NULL;
		}
		sessions->slots[at]->used = now;
		return sessions->slots[at];
	}
	return NULL;
}

bool tw_api_session_lives(const struct tw_api_session *session)
{
	return !session->gone && !session->over &&
	       (!session->bearer || tw_clock_now() - session->begun <= TW_API_SESSION_LIFE);
}

void tw_api_session_hold(struct tw_api_session *session)
{
	session->holders++;
}

void tw_api_session_drop(struct tw_api_session *session)
{
	if (--session->holders == 0 && session->gone)
		free(session);
}

void tw_api_session_end(struct tw_api_session *session)
{
	session->gone = true;
	session->authenticated = session->superuser = session->wrangler = false;
	if (session->holders == 0)
		free(session);
}
