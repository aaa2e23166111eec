/*
 * entry.c - who asks: by the Unix socket, a bearer token, or HTTP Basic. What has to be asked of
 * the accounts first is asked on a thread; until word comes the request waits, with a copy of its
 * body.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/guess.h"
#include "api/private.h"
#include "base/secret.h"
#include "crypto/hash.h"
#include "netio/clock.h"

#define WAITING_BYTES_MAX ((size_t)32 << 20) /* of bodies, all that wait together */
#define VOUCHED_FOR (10 * TW_SECOND)         /* other connections of an account go by it so long */
#define BASIC_TEXT_MAX 2048

struct tw_api_entry {
	struct tw_api *api;
	struct tw_http_conn *conn;
	struct tw_http_request
		request; /* the head is the connection's, which answers nothing else */
	char *body;      /* owned */
	struct tw_api_session *session; /* to be proven; held */
	bool own;                       /* the session is nobody else's yet */
	struct tw_guess guess;          /* of HTTP Basic */
	char password[TW_ACCOUNT_PASSWORD_MAX + 1];
	uint8_t hash[TW_HASH_SIZE];
	struct tw_question *question; /* NULL: none asked yet */
	LIST_ENTRY(tw_api_entry) links;
};

struct tw_penalty_source tw_api_source_of(const struct tw_http_peer *peer)
{
	return peer->local ? tw_penalty_source_account(peer->uid)
			   : tw_penalty_source_of(&peer->from);
}

static struct tw_api_client *client_of(struct tw_api *api, struct tw_http_conn *conn)
{
	struct tw_api_client *client = tw_http_user(conn);

	if (client)
		return client;
	client = calloc(1, sizeof *client);
	if (!client)
		return NULL;
	client->local = calloc(1, sizeof *client->local);
	if (!client->local) {
		free(client);
		return NULL;
	}
	client->api = api;
	client->local->permissions = TW_MAY_ALL;
	tw_http_set_user(conn, client);
	return client;
}

static void refuse(struct tw_http_conn *conn, unsigned status, const char *fields,
		   const struct tw_fault *fault)
{
	const struct tw_api_call call = { .fault = *fault };
	struct tw_http_reply reply = { .status = status, .fields = fields };
	struct tw_jsontext text;

	tw_jsontext_init(&text);
	tw_api_call_text(&call, &text);
	if (!text.failed) {
		reply.type = "application/json";
		reply.body = text.bytes;
		reply.length = text.length;
		text.bytes = NULL;
	}
	tw_jsontext_deinit(&text);
	tw_http_reply(conn, &reply);
}

static void refuse_bearer(struct tw_http_conn *conn)
{
	struct tw_fault fault = { 0 };

	tw_fault_set(&fault, TW_FAULT_NOT_AUTHENTICATED, NULL,
		     "the bearer token is unknown or has expired: log in again");
	refuse(conn, 401, "WWW-Authenticate: Bearer\r\n", &fault);
}

static void refuse_basic(struct tw_http_conn *conn)
{
	struct tw_fault fault = { 0 };

	tw_fault_set(&fault, TW_FAULT_NOT_AUTHENTICATED, NULL,
		     "the account or its password is wrong");
	refuse(conn, 401, "WWW-Authenticate: Basic realm=\"Tradewind\", charset=\"UTF-8\"\r\n",
	       &fault);
}

static void refuse_local(struct tw_http_conn *conn)
{
	struct tw_fault fault = { 0 };

	tw_fault_set(&fault, TW_FAULT_NOT_AUTHENTICATED, NULL,
		     "your account is not known to this server: log in, or ask its operator");
	refuse(conn, 401, "WWW-Authenticate: Bearer\r\n", &fault);
}

static void refuse_busy(struct tw_http_conn *conn)
{
	struct tw_fault fault = { 0 };

	tw_fault_set(&fault, TW_FAULT_UNAVAILABLE, NULL,
		     "too many are asked after at this moment; try again");
	refuse(conn, 503, "Retry-After: 1\r\n", &fault);
}

/* An API token without a password is a bearer token too: for scripts, and for Prometheus. */
static struct tw_api_session *enter_by_token(struct tw_api *api, struct tw_slice given)
{
	struct tw_api_session session = { 0 };
	struct tw_fault fault = { 0 };
	char token[TW_OBJECT_ID];

	if (given.length != TW_OBJECT_ID - 1)
		return NULL;
	memcpy(token, given.at, given.length);
	token[given.length] = '\0';
	if (tw_api_token_session(&api->options, token, false, &session, &fault))
		return NULL;
	return tw_api_sessions_add(api->sessions, &session, token);
}

static struct tw_api_session *find_bearer(struct tw_api *api, struct tw_slice given)
{
	struct tw_api_session *session = tw_api_sessions_find(api->sessions, given);

	if (!session)
		return enter_by_token(api, given);
	/* A token that has been taken back takes its sessions with it. */
	if (session->gone ||
	    (session->by_token && !tw_api_token_alive(api->options.engine, session)))
		return NULL;
	return session;
}

static void hash_field(struct tw_slice field, uint8_t ret[TW_HASH_SIZE])
{
	struct tw_hash hash;

	tw_hash_init(&hash);
	tw_hash_update(&hash, field.at, field.length);
	tw_hash_final(&hash, ret);
}

static bool is_fresh(const struct tw_api_session *session)
{
	return session->proven && tw_clock_now() - session->proven <= TW_API_PROOF_AGE;
}

static void free_entry(struct tw_api_entry *entry)
{
	struct tw_api_client *client = tw_http_user(entry->conn);

	client->entry = NULL;
	LIST_REMOVE(entry, links);
	entry->api->entry_bytes -= entry->request.body_length;
	tw_guess_end(&entry->guess);
	if (entry->own)
		tw_api_session_end(entry->session);
	tw_api_session_drop(entry->session);
	tw_wipe(entry->password, sizeof entry->password);
	free(entry->body);
	free(entry);
}

void tw_api_entry_abandon(struct tw_api_entry *entry)
{
	if (entry->question)
		tw_question_forget(entry->question);
	free_entry(entry);
}

/* The request waits from now on; NULL: refused. @session: what is going to be proven. */
static struct tw_api_entry *make_wait(struct tw_api *api, struct tw_http_conn *conn,
				      const struct tw_http_request *request,
				      struct tw_api_session *session)
{
	struct tw_api_client *client = tw_http_user(conn);
	size_t length = request->body_length;
	struct tw_api_entry *entry = NULL;

	if (api->entry_bytes + length <= WAITING_BYTES_MAX)
		entry = calloc(1, sizeof *entry);
	if (entry)
		entry->body = malloc(length + 1);
	if (!entry || !entry->body) {
		free(entry);
		refuse_busy(conn);
		return NULL;
	}
	entry->api = api;
	entry->conn = conn;
	entry->request = *request;
	entry->session = session;
	memcpy(entry->body, request->body, length);
	entry->body[length] = '\0';
	entry->request.body = entry->body;
	api->entry_bytes += length;
	tw_api_session_hold(session);
	LIST_INSERT_HEAD(&api->entries, entry, links);
	client->entry = entry;
	return entry;
}

static void remember(struct tw_api *api, const struct tw_account *account)
{
	struct tw_api_vouched *vouched = &api->vouched[api->vouched_next++ % TW_API_VOUCHED];

	*vouched = (struct tw_api_vouched){
		.uid = account->uid,
		.gid = account->gid,
		.at = tw_clock_now(),
		.account = *account,
	};
}

static const struct tw_account *remembered(const struct tw_api *api,
					   const struct tw_http_peer *peer)
{
	tw_ns now = tw_clock_now();

	for (size_t i = 0; i < TW_API_VOUCHED; i++) {
		const struct tw_api_vouched *vouched = &api->vouched[i];

		if (vouched->at && now - vouched->at <= VOUCHED_FOR && vouched->uid == peer->uid &&
		    vouched->gid == peer->gid)
			return &vouched->account;
	}
	return NULL;
}

/* After the word has come: serves, or says who is not let in, and lets the wait go. */
static void go_on(struct tw_api_entry *entry, bool good)
{
	struct tw_api *api = entry->api;
	struct tw_api_session *session = entry->session;
	struct tw_api_client *client = tw_http_user(entry->conn);

	/* Neither waits nor is in the way of what it asks for; the body lives until it is read. */
	client->entry = NULL;
	if (good && tw_api_session_lives(session))
		tw_api_serve(api, entry->conn, &entry->request, session);
	else if (session->bearer)
		refuse_bearer(entry->conn);
	else if (session->local)
		refuse_local(entry->conn);
	else
		refuse_basic(entry->conn);
	free_entry(entry);
}

static void account_told(void *context, int r, const struct tw_account *account)
{
	struct tw_api_entry *entry = context;
	struct tw_api_session *session = entry->session;

	entry->question = NULL;
	if (r == -EBUSY || r == -EPIPE || r == -ENOMEM) {
		refuse_busy(entry->conn);
		free_entry(entry);
		return;
	}
	if (!r) {
		tw_api_session_account(session, account);
		if (session->local)
			remember(entry->api, account);
	} else if (session->local) {
		*session = (struct tw_api_session){ .holders = session->holders, .local = true };
	} else {
		session->over = true; /* the account was there, and is no more */
		session->authenticated = session->superuser = session->wrangler = false;
	}
	go_on(entry, !r);
}

static void ask_vouch(struct tw_api *api, struct tw_http_conn *conn,
		      const struct tw_http_request *request, struct tw_api_session *session)
{
	struct tw_api_entry *entry = make_wait(api, conn, request, session);

	if (!entry)
		return;
	session->local = true;
	entry->question = tw_ask_vouch(api->asker, tw_http_fd(conn), account_told, entry);
	if (!entry->question) {
		refuse_busy(conn);
		free_entry(entry);
	}
}

static void enter_local(struct tw_api *api, struct tw_http_conn *conn,
			const struct tw_http_request *request, struct tw_api_session *session)
{
	const struct tw_account *account = remembered(api, request->peer);

	if (!is_fresh(session) && account) {
		session->local = true;
		tw_api_session_account(session, account);
	}
	if (is_fresh(session))
		tw_api_serve(api, conn, request, session);
	else
		ask_vouch(api, conn, request, session);
}

static void enter_bearer(struct tw_api *api, struct tw_http_conn *conn,
			 const struct tw_http_request *request, struct tw_slice given)
{
	struct tw_api_session *session = find_bearer(api, given);
	struct tw_api_entry *entry;

	if (!session) {
		refuse_bearer(conn);
		return;
	}
	if (session->by_token || is_fresh(session)) {
		tw_api_serve(api, conn, request, session);
		return;
	}
	entry = make_wait(api, conn, request, session);
	if (!entry)
		return;
	entry->question = tw_ask_find(api->asker, session->user, account_told, entry);
	if (!entry->question) {
		refuse_busy(conn);
		free_entry(entry);
	}
}

static void password_told(void *context, int r, const struct tw_account *account)
{
	struct tw_api_entry *entry = context;
	struct tw_api_client *client = tw_http_user(entry->conn);

	entry->question = NULL;
	if (r == -EBUSY || r == -EPIPE || r == -ENOMEM) {
		refuse_busy(entry->conn);
		free_entry(entry);
		return;
	}
	tw_guess_outcome(&entry->guess, !r);
	if (!r) {
		tw_api_session_account(entry->session, account);
		if (client->basic)
			tw_api_session_end(client->basic);
		client->basic = entry->session;
		entry->own = false;
		memcpy(client->basic_hash, entry->hash, sizeof client->basic_hash);
	}
	go_on(entry, !r);
}

static void basic_due(void *context, tw_ns closed)
{
	struct tw_api_entry *entry = context;
	struct tw_fault fault = { 0 };

	if (closed) {
		tw_guess_refuse(closed, &fault);
		refuse(entry->conn, 429, "Retry-After: 60\r\n", &fault);
		free_entry(entry);
		return;
	}
	entry->question = tw_ask_check(entry->api->asker, entry->guess.name, entry->password,
				       password_told, entry);
	if (!entry->question) {
		refuse_busy(entry->conn);
		free_entry(entry);
	}
}

/* "user:password" in base64 (RFC 7617). False: it is none, or has a NUL or too many bytes. */
static bool decode_basic(struct tw_slice given, char user[TW_API_USER_MAX],
			 char password[TW_ACCOUNT_PASSWORD_MAX + 1])
{
	unsigned char text[BASIC_TEXT_MAX + 4];
	size_t padding = 0;
	char *colon;
	bool good = false;
	int length;

	if (given.length == 0 || given.length % 4 || given.length > BASIC_TEXT_MAX / 3 * 4)
		return false;
	while (padding < 2 && given.at[given.length - 1 - padding] == '=')
		padding++;
	length = EVP_DecodeBlock(text, (const unsigned char *)given.at, (int)given.length);
	length -= length > 0 ? (int)padding : 0;
	if (length > 0 && !memchr(text, '\0', (size_t)length)) {
		text[length] = '\0';
		colon = strchr((char *)text, ':');
		if (colon) {
			*colon = '\0';
			good = strlen((char *)text) < TW_API_USER_MAX &&
			       strlen(colon + 1) <= TW_ACCOUNT_PASSWORD_MAX;
		}
		if (good) {
			snprintf(user, TW_API_USER_MAX, "%s", (char *)text);
			snprintf(password, TW_ACCOUNT_PASSWORD_MAX + 1, "%s", colon + 1);
		}
	}
	tw_wipe(text, sizeof text);
	return good;
}

static void guess_basic(struct tw_api *api, struct tw_http_conn *conn,
			const struct tw_http_request *request, struct tw_slice given)
{
	struct tw_api_session *session = calloc(1, sizeof *session);
	struct tw_api_entry *entry = session ? make_wait(api, conn, request, session) : NULL;

	if (!entry) {
		if (!session)
			refuse_busy(conn);
		free(session);
		return;
	}
	entry->own = true;
	entry->guess.due = basic_due;
	entry->guess.context = entry;
	entry->guess.source = tw_api_source_of(request->peer);
	hash_field(given, entry->hash);
	if (!decode_basic(given, entry->guess.name, entry->password)) {
		refuse_basic(conn);
		free_entry(entry);
	} else if (tw_guess_begin(&entry->guess, api->options.base, &api->guesses,
				  api->penalties)) {
		refuse_busy(conn);
		free_entry(entry);
	}
}

/* Requests that come one after the other on a connection are not asked after each. */
static void enter_basic(struct tw_api *api, struct tw_http_conn *conn,
			const struct tw_http_request *request, struct tw_slice given)
{
	struct tw_api_client *client = tw_http_user(conn);
	uint8_t hash[TW_HASH_SIZE];

	hash_field(given, hash);
	if (client->basic && is_fresh(client->basic) &&
	    tw_equal_secret(hash, client->basic_hash, sizeof hash))
		tw_api_serve(api, conn, request, client->basic);
	else
		guess_basic(api, conn, request, given);
}

/* Whether @given begins with @scheme and a space; moves behind them. */
static bool takes_scheme(struct tw_slice *given, const char *scheme)
{
	size_t length = strlen(scheme);

	if (given->length <= length + 1 || strncasecmp(given->at, scheme, length) != 0 ||
	    given->at[length] != ' ')
		return false;
	given->at += length + 1;
	given->length -= length + 1;
	return true;
}

void tw_api_enter(struct tw_api *api, struct tw_http_conn *conn,
		  const struct tw_http_request *request)
{
	struct tw_api_client *client = client_of(api, conn);
	struct tw_slice given = request->head->authorization;

	if (!client)
		tw_api_answer_text(conn, 503, "out of memory\n");
	else if (!given.at && request->peer->local)
		enter_local(api, conn, request, client->local);
	else if (!given.at)
		tw_api_serve(api, conn, request, client->local);
	else if (takes_scheme(&given, "Bearer"))
		enter_bearer(api, conn, request, given);
	else if (takes_scheme(&given, "Basic"))
		enter_basic(api, conn, request, given);
	else
		refuse_bearer(conn);
}
