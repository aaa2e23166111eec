/*
 * fake_server.h - a server of one's own making for tests of the client library: a thread that
 * answers requests one after the other as a script says, over a Unix socket, TCP, or TLS.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct fake_step {
	const char *expects; /* must be in the request, head or body; NULL: anything */
	const char *lacks;   /* must not be; NULL: nothing */
	const char *answer;  /* the body; NULL: hang up without a word */
	const char *status;  /* NULL: "200 OK" */
	bool stream;         /* an event stream: the answer, and the connection ends */
	unsigned stay_ms;    /* wait before answering */
};

struct fake_server {
	const struct fake_step *steps;
	size_t count, done;    /* @done is written by the thread: read it after fake_stop() */
	const char *complaint; /* NULL: every request was as expected */
	char path[64];         /* of the Unix socket */
	unsigned port;
	void *tls; /* SSL_CTX, owned */
	char pin[64];
	int listener;
	pthread_t thread;
};

/* Starts it with @steps (borrowed): on a Unix socket in /tmp, or on a loopback port with TLS and a
 * key made for it. */
void fake_start(struct fake_server *server, const struct fake_step *steps, size_t count);
void fake_start_tls(struct fake_server *server, const struct fake_step *steps, size_t count);
/* Waits for the last step; fails the test when a request was not as expected. */
void fake_stop(struct fake_server *server);
