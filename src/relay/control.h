/*
 * control.h - the messages between a server and its relay, on the control connection.
 *
 * `varint length | varint type | body`; the length counts type and body. A type that is not known
 * is passed over, and so is what stands behind the known fields of a body. Pure functions. HELLO
 * and WELCOME carry a Noise handshake that is bound to the TLS connection; nothing else is taken
 * before it is done. Normative: docs/protocol.md, "Relays".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/bytes.h"
#include "wire/datagram.h"

#define TW_RELAY_VERSION UINT32_C(0x54575201)
#define TW_RELAY_MESSAGE_MAX 16384 /* type and body */
#define TW_RELAY_MESSAGE_ROOM (TW_RELAY_MESSAGE_MAX + 4)
#define TW_RELAY_TEXT_MAX 256
#define TW_RELAY_BINDING 32 /* what both ends of the TLS connection know, and nobody else */

enum tw_relay_message_type {
	TW_RELAY_HELLO = 1,
	TW_RELAY_WELCOME,
	TW_RELAY_REGISTER,
	TW_RELAY_REGISTERED,
	TW_RELAY_REFUSED,
	TW_RELAY_MODE,
	TW_RELAY_DESTINATION,
	TW_RELAY_DESTINATION_ANSWER,
	TW_RELAY_ROUTE,
	TW_RELAY_ROUTE_GONE,
	TW_RELAY_DATAGRAM,
	TW_RELAY_PING,
	TW_RELAY_PONG,
	TW_RELAY_SEEN,
	TW_RELAY_MESSAGE_TYPES,
};

enum tw_relay_refusal {
	TW_RELAY_OK = 0,
	TW_RELAY_NOT_ALLOWED, /* this key, or this destination */
	TW_RELAY_FULL,        /* no port or no place left */
	TW_RELAY_REPLACED,    /* another program with the same key has registered */
	TW_RELAY_ENDS,        /* the relay is being stopped */
	TW_RELAY_BAD,         /* the other side broke the protocol */
};

#define TW_RELAY_ACCEPTS 1  /* REGISTER: strangers may come in through the public port */
#define TW_RELAY_OUTGOING 1 /* ROUTE: the server opened it */

struct tw_relay_message {
	enum tw_relay_message_type type;
	/* HELLO: version. PING, PONG: a number that comes back. REGISTER: the program's run.
	 * REGISTERED: the handle of its LEGs. DESTINATION and its answer: index. */
	uint64_t number;
	/* HELLO, WELCOME: Noise message. DATAGRAM: it. REFUSED: text. Lent. */
	const uint8_t *bytes;
	size_t length;
	uint8_t flags;                 /* REGISTER, ROUTE; MODE: 0 UDP, 1 over this connection */
	uint8_t refusal;               /* REFUSED, DESTINATION_ANSWER: enum tw_relay_refusal */
	uint16_t port;                 /* REGISTER: wished, 0 any; REGISTERED: given */
	/* ROUTE; ROUTE_GONE: server_cid; SEEN: server_cid, 0: the server itself */
	uint64_t server_cid, peer_cid;
	/* DESTINATION: where to; ROUTE: the peer's; REGISTERED: the relay's public one or none;
	 * SEEN: as whom the relay sees it */
	struct tw_address address;
	struct tw_address seen; /* REGISTERED: the server's, as the control connection shows it */
};

/* What the handshake in HELLO and WELCOME is bound to. Returns its length. */
#define TW_RELAY_PROLOGUE 64
size_t tw_relay_prologue(const uint8_t binding[TW_RELAY_BINDING], uint8_t ret[TW_RELAY_PROLOGUE]);

/* Returns the length written; 0: no room. */
size_t tw_relay_message_write(const struct tw_relay_message *message, uint8_t *bytes, size_t room);
/*
 * Reads the message at the start of @bytes; @ret_taken: its length. TW_E_AGAIN: it has not arrived
 * whole yet; TW_E_END: unknown type, *@ret_taken bytes to pass over; TW_E_FORMAT.
 */
int tw_relay_message_read(const uint8_t *bytes, size_t length, struct tw_relay_message *ret,
			  size_t *ret_taken);
