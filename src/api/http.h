/*
 * http.h - HTTP/1.1 for the service's interface: connections over TCP and a Unix socket, on the
 * control thread's loop.
 *
 * On TCP the first byte tells TLS from plain HTTP. Other machines must speak TLS; a peer on
 * loopback may do either.
 *
 * A connection carries one request at a time: its handler answers now or later, or begins a stream;
 * what a peer has sent ahead waits in the system's buffers. Nothing that a peer does costs more
 * than its own connection: heads, bodies, connections, the time for a request and for taking an
 * answer, and the memory of all bodies and answers together have limits. At the limit of
 * connections the one that has been silent for longest gives way to the new one, so that silent
 * ones cannot shut others out.
 *
 * Knows nothing of what is asked for.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/http_parse.h"
#include "base/address.h"

#define TW_HTTP_BODY_MAX ((size_t)4 << 20)
#define TW_HTTP_CONNECTIONS_MAX 1024            /* each of TCP and Unix socket */
#define TW_HTTP_ACCOUNT_MAX 512                 /* of one account, on the Unix socket */
#define TW_HTTP_BODIES_MAX ((size_t)64 << 20)   /* of all connections together */
#define TW_HTTP_ANSWERS_MAX ((size_t)256 << 20) /* not yet taken by their peers, all together */
#define TW_HTTP_SOURCE_MAX 256                  /* of one other machine, on TCP */
#define TW_HTTP_HANDSHAKE_SECONDS 10            /* until TLS stands, or the first byte came */
#define TW_HTTP_IDLE_SECONDS 120                /* between two requests */
#define TW_HTTP_REQUEST_SECONDS 30              /* from the first byte of a request to its last */
#define TW_HTTP_TAKE_SECONDS 30                 /* without taking anything of an answer */

struct ssl_ctx_st;
struct tw_http;
struct tw_http_conn;

struct tw_http_peer {
	bool local; /* Unix socket: the ids are proven */
	unsigned uid, gid;
	char address[TW_ADDRESS_TEXT]; /* of TCP */
	uint16_t port;
	bool remote;            /* of TCP: not on loopback */
	struct tw_address from; /* of TCP */
};

struct tw_http_request {
	const struct tw_http_head *head;
	const char *body;
	size_t body_length;
	const struct tw_http_peer *peer;
};

struct tw_http_handler {
	void *context;
	/* All of @request is lent for the call. Answers by tw_http_reply() or
	 * tw_http_stream_begin(), now or later. */
	void (*request)(void *context, struct tw_http_conn *conn,
			const struct tw_http_request *request);
	/* A stream's backlog has shrunk to nothing. */
	void (*drained)(void *context, struct tw_http_conn *conn);
	/* The connection ends; called once for each that had a request. Not to be used any more. */
	void (*gone)(void *context, struct tw_http_conn *conn);
};

/* @base borrowed. -ENOMEM. */
int tw_http_new(struct event_base *base, const struct tw_http_handler *handler,
		struct tw_http **ret);
/* Speaks TLS from now on where it is asked to; @tls borrowed. */
void tw_http_use_tls(struct tw_http *http, struct ssl_ctx_st *tls);
/* Closes all connections. */
void tw_http_free(struct tw_http *http);
/* Port 0: any free one, told in *@ret_port. -errno. */
int tw_http_listen_tcp(struct tw_http *http, const struct tw_address *at, uint16_t *ret_port);
/* A socket that a program before has left behind is replaced. -errno; -ENAMETOOLONG. */
int tw_http_listen_unix(struct tw_http *http, const char *path);
/* What that listens on, lent; -1: nothing. */
int tw_http_unix_socket(const struct tw_http *http);

/* What its user keeps with a connection; NULL at first. */
void tw_http_set_user(struct tw_http_conn *conn, void *user);
void *tw_http_user(const struct tw_http_conn *conn);
/* Its socket; stays the connection's. */
int tw_http_fd(const struct tw_http_conn *conn);

struct tw_http_reply {
	unsigned status;
	const char *type;   /* NULL: no body */
	const char *fields; /* further header fields, each with its CR LF; NULL: none */
	char *body;         /* malloc'd, taken; or NULL and: */
	const char *text;   /* borrowed */
	size_t length;      /* of either */
	bool close;
};
void tw_http_reply(struct tw_http_conn *conn, const struct tw_http_reply *reply);

void tw_http_stream_begin(struct tw_http_conn *conn, const char *type);
/* Copies. The caller watches the backlog; a peer that takes nothing for TW_HTTP_TAKE_SECONDS is
 * dropped. */
void tw_http_stream_write(struct tw_http_conn *conn, const char *bytes, size_t length);
size_t tw_http_backlog(const struct tw_http_conn *conn);
/* Closes it with the next turn of the loop; nothing more is written. */
void tw_http_drop(struct tw_http_conn *conn);

struct tw_http_figures {
	uint64_t connections, refused, dropped, requests;
	size_t open;
};
void tw_http_figures(const struct tw_http *http, struct tw_http_figures *ret);
