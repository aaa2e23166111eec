/*
 * private.h - what the parts of the interface share: its state, the clients that are connected, and
 * the entry of each part.
 */
#pragma once

#include <sys/queue.h>

#include "api/asker.h"
#include "api/call.h"
#include "api/guess.h"

#define TW_API_VOUCHED 16 /* accounts of the Unix socket that were asked after lately */
#define TW_API_WAITERS 512

struct tw_api_stream;

/* A connection that has asked for something. */
struct tw_api_client {
	struct tw_api *api;
	struct tw_api_session *local;     /* of the Unix socket; of TCP: nobody. Owned */
	struct tw_api_session *basic; /* of HTTP Basic, with the field it came by. Owned; NULL */
	uint8_t basic_hash[32];
	struct tw_api_entry *entry;       /* a request waits for word on who asks; NULL: none */
	struct tw_api_exchange *exchange; /* the one under way; NULL: none */
	struct tw_api_stream *stream;     /* NULL: none */
};

STAILQ_HEAD(tw_api_ready, tw_api_exchange);
LIST_HEAD(tw_api_streams, tw_api_stream);
struct tw_api_login;
LIST_HEAD(tw_api_logins, tw_api_login);
struct tw_api_entry;
LIST_HEAD(tw_api_entries, tw_api_entry);

struct tw_api {
	struct tw_api_options options;
	struct tw_http *http;
	struct tw_api_sessions *sessions;
	struct tw_penalties *penalties;
	struct tw_asker *asker;
	struct tw_api_entries entries;
	size_t entry_bytes; /* of the bodies that wait with them */
	struct tw_api_vouched {
		unsigned uid, gid;
		tw_ns at; /* 0: free */
		struct tw_account account;
	} vouched[TW_API_VOUCHED];
	unsigned vouched_next;
	uint64_t wranglers; /* how often somebody was taken off the list of them */
	uint16_t port;
	struct event *turn;
	struct tw_api_ready ready;
	size_t waits;
	uint16_t waits_of[TW_API_WAITERS]; /* by account, and whether it came by a token */
	struct tw_api_streams streams;
	struct tw_listener *listener;
	struct event *heartbeat, *catch_up;
	struct tw_api_logins logins;
	size_t login_count;
	struct tw_guesses guesses; /* under way, all kinds of them */
	bool streams_behind;
	char *openrpc; /* owned */
	size_t openrpc_length;
	struct tw_api_figures {
		uint64_t calls, faults, notifications, commits_failed;
	} figures;
};

/*
 * entry.c: finds out who asks, by the connection or its Authorization field, and then calls
 * tw_api_serve(): now, or when word has come on an account; meanwhile the request waits with a copy
 * of its body. Answers itself where nobody is let in.
 */
void tw_api_enter(struct tw_api *api, struct tw_http_conn *conn,
		  const struct tw_http_request *request);
/* The connection goes. */
void tw_api_entry_abandon(struct tw_api_entry *entry);
/* Whose guess it is. */
struct tw_penalty_source tw_api_source_of(const struct tw_http_peer *peer);

/* A session for who comes with a token; @right: its password is. NotAuthenticated, NotPermitted
 * (such tokens are switched off). */
int tw_api_token_session(const struct tw_api_options *options, const char *token, bool right,
			 struct tw_api_session *ret, struct tw_fault *fault);
bool tw_api_token_alive(struct tw_engine *engine, const struct tw_api_session *session);
void tw_api_answer_text(struct tw_http_conn *conn, unsigned status, const char *text);
/* The page that @request asks for, to who @session is. */
void tw_api_serve(struct tw_api *api, struct tw_http_conn *conn,
		  const struct tw_http_request *request, struct tw_api_session *session);

/* methods_session.c: whoever is logging in is forgotten. */
void tw_api_logins_drop(struct tw_api *api);

/* rpc.c */
void tw_api_rpc(struct tw_api *api, struct tw_http_conn *conn,
		const struct tw_http_request *request, struct tw_api_session *session);
/* The client has gone: its calls are cancelled. */
void tw_api_exchange_abandon(struct tw_api_exchange *exchange);
/* After the commit: the answer leaves. @stored false: what it changed is not. */
void tw_api_exchange_answer(struct tw_api_exchange *exchange, bool stored);
/* All its calls are over. */
void tw_api_exchange_ready(struct tw_api_exchange *exchange);
/* A JSON text that a stranger sent: nesting, duplicate keys, UTF-8. NULL and a sentence. */
#define TW_API_DEPTH_MAX 64
json_t *tw_api_parse(const char *bytes, size_t length, char ret_message[160]);

/* events.c */
int tw_api_events_init(struct tw_api *api);
void tw_api_events_deinit(struct tw_api *api);
void tw_api_events_open(struct tw_api *api, struct tw_http_conn *conn,
			const struct tw_http_request *request, struct tw_api_session *session);
void tw_api_events_close(struct tw_api_stream *stream);
/* More has room. */
void tw_api_events_drained(struct tw_api_stream *stream);
/* After a turn: what is new goes to all who follow. */
void tw_api_events_push(struct tw_api *api);

/* licenses.c: new reference; NULL: no memory. */
json_t *tw_api_licenses(void);
/* metrics.c: appended in Prometheus' text format. */
void tw_api_metrics(struct tw_api *api, const struct tw_caller *caller, struct tw_jsontext *text);
