/*
 * endpoint.h - all the connections behind a set of sockets of one worker: routing by connection
 * id, handshakes, admission.
 *
 * A datagram is looked up by its destination connection id, whatever address it comes from. An
 * INIT from a stranger makes a connection only when its Noise message opens; for those who carry
 * no cookie (RETRY) that is tried only so often a second (door.h), and while few connections are
 * half-open. Nothing is remembered about an INIT before. Datagrams that fit nothing are dropped in
 * silence, and no answer to a stranger is longer than his question. Sans-IO and single-threaded;
 * never blocks, never asks for the time.
 *
 * Order of calls in a loop: tw_endpoint_receive() for what came in, tw_endpoint_timeout(),
 * tw_endpoint_send() until it has nothing, sleep until tw_endpoint_deadline().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/random.h"
#include "base/time.h"
#include "core/cid.h"
#include "core/conn.h"
#include "crypto/cookie.h"
#include "crypto/identity.h"
#include "wire/datagram.h"

#define TW_HALF_OPEN_COOKIE 64 /* from here on an INIT needs a cookie */
#define TW_HALF_OPEN_MAX 1024  /* above: the oldest goes */
#define TW_HANDSHAKE_TIMEOUT (10 * TW_SECOND)

enum tw_verdict {
	TW_ACCEPT_YES = 0,
	TW_ACCEPT_NOT_AUTHORIZED,
	TW_ACCEPT_BUSY,
	/* Another endpoint serves him, which has been handed the INIT: nothing is said here. */
	TW_ACCEPT_ELSEWHERE,
};

struct tw_endpoint_config {
	const struct tw_identity *identity; /* borrowed for the life of the endpoint */
	uint8_t server_id[TW_ID_SIZE], server_uid[TW_ID_SIZE];
	enum tw_cipher cipher_min;
	uint64_t aeads; /* what to offer and take; 0: tw_aead_supported() */
	struct tw_random random;
	bool accept; /* takes connections from outside */
	/*
	 * One of several endpoints behind the same address: the ids that it draws lead to its place
	 * (wire/steer.h), and all make theirs with the same salt. @places 0: it is alone, and has a
	 * salt of its own.
	 */
	unsigned place, places;
	struct tw_cid_salt salt;
	/* Where else than by the address that was dialled initiators may try (a relay's servers).
	 */
	struct tw_address offers[TW_OFFERS_MAX];
	unsigned offer_count;
	/*
	 * A peer with proven key (all zero: no key, only with cipher_min `none`) wants in. YES:
	 * fill in @ret_config, where @lane stands already, @ret_app, @ret_context.
	 */
	enum tw_verdict (*admit)(void *context, const struct tw_public_key *peer,
				 const struct tw_path *path, struct tw_conn_config *ret_config,
				 const struct tw_conn_app **ret_app, void **ret_context);
	/* A DISCOVERED has come in: the answer to tw_endpoint_discover() if the token is right. */
	void (*discovered)(void *context, const uint8_t token[TW_PROBE_TOKEN_SIZE],
			   const struct tw_path *path, const struct tw_address *observed);
	void *context;
};

struct tw_connect {
	struct tw_address remote, local; /* local: family NONE for any */
	struct tw_public_key peer_key;   /* unknown: only with cipher `none` */
	enum tw_cipher cipher;
	struct tw_conn_config config;
	const struct tw_conn_app *app;
	void *app_context;
	tw_ns handshake_timeout; /* 0: TW_HANDSHAKE_TIMEOUT */
	/* @remote is a relay, and this is what it opens the way for; NULL: no. Read at once. */
	const struct tw_ticket *ticket;
};

/* A train: equal datagrams behind each other (the last may be shorter), for one send with GSO. */
struct tw_train {
	uint8_t *bytes; /* caller's buffer */
	size_t room;    /* at least TW_DATAGRAM_MAX; 65536 makes full trains */
	size_t length;
	uint32_t segment; /* bytes of each datagram but the last */
	struct tw_path path;
	/* one datagram that may be too long for the path: EMSGSIZE is no error */
	bool mtu_probe;
	bool aside; /* another way is tried: that it fails says nothing of the one in use */
	struct tw_conn *conn; /* NULL: an answer to a stranger */
};

int tw_endpoint_new(const struct tw_endpoint_config *config, tw_ns now, struct tw_endpoint **ret);
/* Other offers, for connections to come; at most TW_OFFERS_MAX, the rest is left out. */
void tw_endpoint_set_offers(struct tw_endpoint *endpoint, const struct tw_address *offers,
			    unsigned count);
/* What marks the ids of its connections (core/cid.h), for as long as it lives. */
const struct tw_cid_salt *tw_endpoint_cid_salt(const struct tw_endpoint *endpoint);
/* Ends every connection without a word to the peers (closed() is called for each). */
void tw_endpoint_free(struct tw_endpoint *endpoint);

/*
 * -ENOMEM, TW_E_WEAK (a cipher without key). The connection is the endpoint's; it lives until
 * closed().
 */
int tw_endpoint_connect(struct tw_endpoint *endpoint, const struct tw_connect *connect, tw_ns now,
			struct tw_conn **ret);

/*
 * One datagram, decrypted in place. @path: where it came from and the local address it came to.
 */
void tw_endpoint_receive(struct tw_endpoint *endpoint, const struct tw_path *path, uint8_t *bytes,
			 size_t length, tw_ns now);
/* The same with an INIT that another endpoint of ours has let in and opened: no cookie is asked
 * for. */
void tw_endpoint_receive_vouched(struct tw_endpoint *endpoint, const struct tw_path *path,
				 uint8_t *bytes, size_t length, tw_ns now);
/*
 * Asks @path->remote as whom it sees us, by a datagram from @path->local; may be lost. The answer
 * comes through discovered().
 */
void tw_endpoint_discover(struct tw_endpoint *endpoint, const struct tw_path *path,
			  const uint8_t token[TW_PROBE_TOKEN_SIZE]);
/* The network refused datagrams to @remote (ICMP port or host unreachable). */
void tw_endpoint_unreachable(struct tw_endpoint *endpoint, const struct tw_address *remote,
			     tw_ns now);
/* The last train to this connection could not be sent as longer than @datagram_bytes (EMSGSIZE). */
void tw_endpoint_too_long(struct tw_endpoint *endpoint, struct tw_conn *conn,
			  uint32_t datagram_bytes, tw_ns now);

/* Fills in the next train; false: nothing may leave now. */
bool tw_endpoint_send(struct tw_endpoint *endpoint, struct tw_train *train, tw_ns now);
/*
 * The last train of @conn waits in a socket that is full: none of it is made until
 * tw_endpoint_release() of the number returned, which may come when the connection is long gone.
 */
uint64_t tw_endpoint_hold(struct tw_endpoint *endpoint, struct tw_conn *conn);
void tw_endpoint_release(struct tw_endpoint *endpoint, uint64_t held);
/* Deals with timers that are due. */
void tw_endpoint_timeout(struct tw_endpoint *endpoint, tw_ns now);
tw_ns tw_endpoint_deadline(const struct tw_endpoint *endpoint);
/*
 * How long datagrams may lie in their sockets before somebody looks, without harm to any connection
 * that was active a moment ago. 0: not at all. On a long line whose packets come one by one, waking
 * up for each costs more than all the rest.
 */
tw_ns tw_endpoint_patience(const struct tw_endpoint *endpoint, tw_ns now);

size_t tw_endpoint_count(const struct tw_endpoint *endpoint);
/* The @index-th connection, in no order; for snapshots. */
struct tw_conn *tw_endpoint_conn(const struct tw_endpoint *endpoint, size_t index);
