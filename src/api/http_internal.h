/*
 * http_internal.h - what the two halves of the HTTP server share: listeners with their queues of
 * connections (http.c) and the life of one connection (http_conn.c).
 */
#pragma once

#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <sys/queue.h>

#include "api/http.h"
#include "base/time.h"

enum tw_http_state {
	TW_HTTP_NEW,    /* TCP: waits for the first byte of all, then for TLS to stand */
	TW_HTTP_IDLE,   /* waits for the first byte of a request */
	TW_HTTP_TAKING, /* has some of its head */
	TW_HTTP_BODY,
	TW_HTTP_BUSY, /* the handler has it */
	TW_HTTP_STREAM,
	TW_HTTP_LINGER, /* answered and closed on our side: what still comes is thrown away */
};

TAILQ_HEAD(tw_http_queue, tw_http_conn);

/* TCP, or the Unix socket. */
struct tw_http_side {
	struct tw_http *http;
	bool local;
	struct tw_http_queue waiting; /* for a request, or for its rest; the longest first */
	struct tw_http_queue busy;
	size_t count;
};

#define TW_HTTP_LISTENERS_MAX 4

struct tw_http {
	struct event_base *base;
	struct tw_http_handler handler;
	struct tw_http_side sides[2];
	struct ssl_ctx_st *tls; /* borrowed; NULL: none */
	struct evconnlistener *listeners[TW_HTTP_LISTENERS_MAX];
	size_t listener_count;
	struct evconnlistener *unix_listener; /* one of these; NULL: none */
	struct event *sweep;
	bool paused;            /* no descriptors left: listeners wait for the next sweep */
	size_t bodies, answers; /* bytes, all connections together */
	char date[64];
	uint64_t connections, refused, dropped, requests;
};

struct tw_http_conn {
	struct tw_http_side *side;
	TAILQ_ENTRY(tw_http_conn) links;
	struct tw_http_queue *queue; /* that it is in */
	int fd;                      /* @bev's; owned while there is none */
	struct event *first;         /* of the first byte; NULL: it has come */
	struct bufferevent *bev;     /* NULL: before the first byte */
	struct ssl_st *tls;          /* owned by @bev; NULL: plain */
	struct tw_http_peer peer;
	enum tw_http_state state;
	tw_ns deadline; /* for the present state */
	tw_ns taken_at; /* when the peer last took something of an answer, or had all */
	size_t owed;    /* bytes of answers not taken, as counted in http->answers */
	size_t counted; /* bytes of its body, as counted in http->bodies */
	bool seen;      /* had a request: the handler knows it */
	bool eof, closing, only_head, chunked_stream, raised;
	size_t searched;  /* bytes of the head without an end in them */
	char *head_bytes; /* copy; the head's slices point into it */
	size_t head_room;
	struct tw_http_head head;
	struct tw_http_chunks chunks;
	struct evbuffer *body; /* of chunks */
	void *user;
};

/* A new connection on @fd, which it takes; without memory it is closed. */
void tw_http_conn_open(struct tw_http_side *side, int fd, const struct tw_http_peer *peer);
void tw_http_conn_close(struct tw_http_conn *conn);
/* Closes it if it is too slow. */
void tw_http_conn_sweep(struct tw_http_conn *conn, tw_ns now);
