/*
 * client.h - a server's side of a relay: keeps registered, shows where it can be reached over UDP,
 * remembers the routes for a relay that forgets them, and carries datagrams through the control
 * connection while UDP does not pass. To peers that came by the relay it opens the NATs before this
 * server (PUNCH), so that those may find a way without.
 *
 * The data itself does not come through here: the server's own socket talks to the relay's public
 * port. This machine only says where that socket is (LEGs, which the caller sends from it) and asks
 * from a socket of its own whether UDP passes both ways.
 *
 * Sans-IO. The caller dials when tw_relay_client_dial_at() says so, tells connected() once TLS is
 * up, moves bytes, and tells disconnected() when the connection has gone or tw_relay_client_dead().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/random.h"
#include "base/time.h"
#include "crypto/cookie.h"
#include "crypto/identity.h"
#include "relay/control.h"
#include "relay/leg.h"
#include "wire/datagram.h"

#define TW_RELAY_CLIENT_ROUTES_MAX 8192 /* remembered; more are only the relay's */
#define TW_RELAY_CLIENT_DESTINATIONS_MAX 1024

struct tw_relay_client;

struct tw_relay_client_config {
	const struct tw_identity *identity; /* borrowed */
	struct tw_public_key relay;
	struct tw_random random;
	bool accepts;   /* strangers may come in; else only what this server begins */
	uint16_t port;  /* public port to ask for; 0: any */
	bool tunnelled; /* UDP is known not to pass: do not even try */
};

enum tw_relay_client_state {
	TW_RELAY_CLIENT_APART,  /* no connection */
	TW_RELAY_CLIENT_HELLO,  /* connected, keys are being shown */
	TW_RELAY_CLIENT_ASKING, /* to be registered */
	TW_RELAY_CLIENT_SERVED, /* registered */
};

struct tw_relay_client_status {
	enum tw_relay_client_state state;
	uint16_t port;              /* the public one; kept while apart; 0: never had one */
	struct tw_address public;   /* as the relay says; family NONE: where it was dialled */
	struct tw_address seen_tcp; /* this machine as the relay sees it */
	struct tw_address seen_udp; /* family NONE: UDP has not been seen to pass */
	/* The server's own socket as the relay sees it: what a NAT makes of it; NONE: unknown */
	struct tw_address seen_leg;
	bool tunnelled;             /* data goes over the control connection */
	tw_ns udp_rtt;              /* 0: unknown */
	size_t routes;
	size_t destinations_known;     /* for which the relay has answered */
	enum tw_relay_refusal refusal; /* why the relay last sent us away; OK: it did not */
	char text[TW_RELAY_TEXT_MAX + 1];
	bool served_ever;
	unsigned failures; /* attempts to connect in a row that came to nothing */
};

int tw_relay_client_new(const struct tw_relay_client_config *config, tw_ns now,
			struct tw_relay_client **ret);
void tw_relay_client_free(struct tw_relay_client *client);

/* When to dial; TW_NEVER: connected. */
tw_ns tw_relay_client_dial_at(const struct tw_relay_client *client);
void tw_relay_client_connected(struct tw_relay_client *client,
			       const uint8_t binding[TW_RELAY_BINDING], tw_ns now);
void tw_relay_client_disconnected(struct tw_relay_client *client, tw_ns now);
/* Nothing good can come of this connection any more: close it and tell disconnected(). */
bool tw_relay_client_dead(const struct tw_relay_client *client);

/*
 * As tw_relay_link_receive(): returns how many bytes were taken; less than @length only while a
 * datagram waits for tw_relay_client_datagram().
 */
size_t tw_relay_client_receive(struct tw_relay_client *client, const uint8_t *bytes, size_t length,
			       tw_ns now);
/* A datagram for this server that came over the connection (lent until the next call). */
bool tw_relay_client_datagram(struct tw_relay_client *client, tw_ns now, const uint8_t **ret_bytes,
			      size_t *ret_length);
/* A datagram for the world. TW_E_FULL: too much waits, it is dropped; TW_E_CLOSED. */
int tw_relay_client_tunnel(struct tw_relay_client *client, const uint8_t *bytes, size_t length);
const uint8_t *tw_relay_client_output(const struct tw_relay_client *client, size_t *ret_length);
void tw_relay_client_sent(struct tw_relay_client *client, size_t length);

void tw_relay_client_timeout(struct tw_relay_client *client, tw_ns now);
tw_ns tw_relay_client_deadline(const struct tw_relay_client *client);
/*
 * The LEG that is due, to be sent to the relay's public port; 0: none. @ret_asks: from the caller's
 * own socket; else from the server's.
 */
size_t tw_relay_client_leg(struct tw_relay_client *client, tw_ns now, bool *ret_asks,
			   uint8_t ret[TW_RELAY_LEG_SIZE]);
/*
 * The datagram that is due to @ret_to from the server's own socket, so that NATs on the way let in
 * what a peer sends there that came by the relay: from the route's beginning on, ever more rarely.
 * It is a PROBE, and its answer is nobody's. 0: none. A server that takes no calls has none.
 */
size_t tw_relay_client_punch(struct tw_relay_client *client, tw_ns now, struct tw_address *ret_to,
			     uint8_t ret[TW_PROBE_SIZE]);
/* What came to the caller's own socket. */
void tw_relay_client_leg_answer(struct tw_relay_client *client, const uint8_t *bytes, size_t length,
				tw_ns now);

/*
 * Names a destination (the same again for the same address) and makes the ticket with which a
 * connection to it goes through the relay. TW_E_FULL. Good at once and for ever; an INIT that is
 * faster than the word to the relay is lost and comes again.
 */
int tw_relay_client_destination(struct tw_relay_client *client, const struct tw_address *to,
				struct tw_ticket *ret);
/* 0, TW_E_AGAIN (the relay has not said yet), TW_E_DENIED. */
int tw_relay_client_destination_state(const struct tw_relay_client *client, uint32_t index);

void tw_relay_client_status(const struct tw_relay_client *client,
			    struct tw_relay_client_status *ret);
