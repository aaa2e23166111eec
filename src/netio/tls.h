/*
 * tls.h - TLS 1.3 over a connected, non-blocking TCP socket: a control connection's coat.
 *
 * Certificates are made at each start and prove nothing: whoever uses this binds a handshake of its
 * own, with keys that are known, to the connection (tw_tls_binding()). Both ends get the same
 * value, and a man in the middle, who has two connections, two different ones.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_TLS_BINDING 32

struct tw_tls_context; /* what the connections of one side share */

struct tw_tls {
	struct ssl_st *ssl; /* owned; NULL: closed */
	int fd;             /* owned */
	bool open;          /* the handshake is done */
	bool wants_write;   /* the next step waits for room in the socket */
};

/* -ENOMEM: the library could not. */
int tw_tls_context_new(bool server, struct tw_tls_context **ret);
void tw_tls_context_free(struct tw_tls_context *context);

/* Takes @fd, whatever it returns. -ENOMEM. */
int tw_tls_init(struct tw_tls_context *context, int fd, struct tw_tls *ret);
void tw_tls_close(struct tw_tls *tls);
/* Goes on with the handshake. 0: @open; TW_E_AGAIN: when the socket is ready; TW_E_CLOSED. */
int tw_tls_handshake(struct tw_tls *tls);
/* 0 and at least one byte; TW_E_AGAIN; TW_E_CLOSED: over, for whatever reason. */
int tw_tls_read(struct tw_tls *tls, void *ret, size_t room, size_t *ret_length);
int tw_tls_write(struct tw_tls *tls, const void *bytes, size_t length, size_t *ret_written);
/* -EIO: the library could not; close. */
int tw_tls_binding(const struct tw_tls *tls, uint8_t ret[TW_TLS_BINDING]);
