/*
 * relay.h - carries datagrams between servers in private networks and the world, and knows nothing
 * of what is in them.
 *
 * A server dials out to the relay and keeps a control connection (a link). After both have shown
 * their keys the relay opens a public UDP port on its behalf. A datagram that comes to this port is
 * forwarded only if it belongs to a route: two connection ids and where each side is. Routes begin
 * with a handshake,
 *   incoming: an INIT from a stranger, that the server answers with an ACCEPT;
 *   outgoing: an INIT from the server with a ticket for a destination that it has named;
 * and are told to the server, which tells them again to a relay that has been restarted: the relay
 * keeps nothing on disk. Everything else is dropped in silence.
 *
 * What always holds:
 *   - to an address that has not shown that it hears (by a connection id that only went there, or
 *     by an ECHO) not more bytes are sent than came from it;
 *   - memory is bounded: servers, routes, half-open ones, replies, bytes waiting in a link;
 *   - a side that moves to another address is believed when its packets are newer than all before
 *     and the ECHO comes; until then the old address stays known.
 *
 * Sans-IO and single-threaded: trains of datagrams and the time go in; what to do with each run of
 * them comes out. Ports are opened and closed by the caller's functions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/random.h"
#include "base/time.h"
#include "crypto/identity.h"
#include "relay/control.h"

#define TW_RELAY_PORT_CONTROL 8887
#define TW_RELAY_PORT_PUBLIC 8886
#define TW_RELAY_PORT_FIRST 8890
#define TW_RELAY_PORT_LAST 8989

#define TW_RELAY_SERVERS_MAX 256
#define TW_RELAY_KEY_SERVERS_MAX 32     /* of one key: programs that send at the same time */
#define TW_RELAY_ROUTES_MAX 65536       /* of all servers */
#define TW_RELAY_KEY_ROUTES_MAX 8192    /* of one key */
#define TW_RELAY_HALF_OPEN_COOKIE 64    /* of one server; from here on an INIT needs a cookie */
#define TW_RELAY_HALF_OPEN_MAX 1024     /* of one key; above: the server's oldest goes */
#define TW_RELAY_DESTINATIONS_MAX 4096  /* of one server */
#define TW_RELAY_REPLIES_MAX 256
#define TW_RELAY_GRACE (30 * TW_SECOND)      /* a server whose link is cut keeps its port */
#define TW_RELAY_ROUTE_IDLE (40 * TW_SECOND) /* longer than any connection stays silent */
#define TW_RELAY_HALF_OPEN_LIFE (10 * TW_SECOND)
#define TW_RELAY_LINK_AUTH (5 * TW_SECOND)    /* to show a key */
#define TW_RELAY_LINK_SILENT (45 * TW_SECOND) /* without a byte: gone */
#define TW_RELAY_LINK_QUEUE ((size_t)1 << 20) /* datagrams beyond are dropped */

struct tw_relay;
struct tw_relay_server;
struct tw_relay_link;

struct tw_relay_config {
	const struct tw_identity *identity; /* borrowed for the life of the relay */
	struct tw_random random;
	uint16_t port_wanted, port_first, port_last;
	struct tw_address public_address;   /* told to servers; family NONE: they know better */
	/* Of all, and of each key; both directions together; 0: no limit. */
	uint64_t rate_bps, server_rate_bps;
	unsigned servers_max;               /* 0: TW_RELAY_SERVERS_MAX */
	bool (*allowed)(void *context, const struct tw_public_key *server);
	/* May a server send there? NULL: anywhere but loopback, link-local, multicast. */
	bool (*target)(void *context, const struct tw_address *to);
	/* Opens @port for @server: 0; -errno: this one cannot be had, the next is tried. */
	int (*open_port)(void *context, struct tw_relay_server *server, uint16_t port);
	void (*close_port)(void *context, struct tw_relay_server *server);
	void *context;
};

struct tw_relay_counters {
	uint64_t datagrams, bytes;  /* forwarded */
	uint64_t strays;            /* no route: dropped */
	uint64_t refused;           /* no ticket, no cookie, no room */
	uint64_t held_back;         /* to an address that has not shown itself yet */
	uint64_t routes, moves;     /* opened; sides that came from elsewhere */
	uint64_t tunnelled_dropped; /* the link was full */
};

/* Where a side is: over UDP (as seen from here), or at the end of the server's link. */
struct tw_relay_end {
	bool there, link;
	struct tw_path path;
};

/* What to do with the first @length bytes of what came in. */
struct tw_relay_hop {
	size_t length;
	struct tw_relay_end to; /* !there: drop them; link: already queued there */
};

/* -ENOMEM. */
int tw_relay_new(const struct tw_relay_config *config, tw_ns now, struct tw_relay **ret);
/* Closes all ports. Links must be freed before. */
void tw_relay_free(struct tw_relay *relay);

struct tw_relay_train {
	struct tw_relay_end from;
	const uint8_t *bytes;
	size_t length;
	uint32_t segment; /* of each datagram but the last */
};
/*
 * A train that came to @server's port. Decides about the first run of its datagrams; call again
 * with the rest. Never gives a run of no bytes.
 */
void tw_relay_forward(struct tw_relay *relay, struct tw_relay_server *server,
		      const struct tw_relay_train *train, tw_ns now, struct tw_relay_hop *ret);
/*
 * Before this time nothing more of @server should be read: what its key may move is used up, or
 * both what all may move and its part of that. Parts are alike among the keys that move anything.
 */
tw_ns tw_relay_ready_at(const struct tw_relay *relay, const struct tw_relay_server *server);

/* A datagram of the relay's own; false: there is none. */
struct tw_relay_reply {
	struct tw_relay_server *server;
	struct tw_path path;
	uint8_t bytes[64];
	size_t length;
};
bool tw_relay_reply(struct tw_relay *relay, struct tw_relay_reply *ret);
/* A datagram from a link for the world, forwarded now; false: there is none. Lent until the next
 * call of anything. */
bool tw_relay_link_datagram(struct tw_relay_link *link, tw_ns now, const uint8_t **ret_bytes,
			    struct tw_relay_hop *ret);

void tw_relay_timeout(struct tw_relay *relay, tw_ns now);
tw_ns tw_relay_deadline(const struct tw_relay *relay);

/* A control connection that is encrypted already; @binding is its TLS exporter value. -ENOMEM. */
int tw_relay_link_new(struct tw_relay *relay, const uint8_t binding[TW_RELAY_BINDING],
		      const struct tw_address *from, tw_ns now, struct tw_relay_link **ret);
/* The connection is gone. Its server keeps port and routes for TW_RELAY_GRACE. */
void tw_relay_link_free(struct tw_relay_link *link, tw_ns now);
/*
 * Bytes that came in. Afterwards tw_relay_link_datagram() until it has none, and output. Returns
 * how many were taken: less than @length only while a datagram waits to be fetched.
 */
size_t tw_relay_link_receive(struct tw_relay_link *link, const uint8_t *bytes, size_t length,
			     tw_ns now);
/* What is to be sent (lent until the next call), and that some of it has been. */
const uint8_t *tw_relay_link_output(const struct tw_relay_link *link, size_t *ret_length);
void tw_relay_link_sent(struct tw_relay_link *link, size_t length);
/* To be closed as soon as its output is out. */
bool tw_relay_link_over(const struct tw_relay_link *link);
/* Its server, once it has registered; NULL before. */
struct tw_relay_server *tw_relay_link_server(const struct tw_relay_link *link);
/* Tells every server that the relay ends; the links are over. */
void tw_relay_say_end(struct tw_relay *relay);

/* The caller's own pointer, for its sockets. */
void tw_relay_server_set_io(struct tw_relay_server *server, void *io);
void *tw_relay_server_io(const struct tw_relay_server *server);
struct tw_relay_server_info {
	struct tw_public_key key;
	uint16_t port;
	bool linked, accepts, tunnelled;
	struct tw_relay_end leg;
	size_t routes, half_open;
	struct tw_relay_counters counters;
};
void tw_relay_server_info(const struct tw_relay_server *server, struct tw_relay_server_info *ret);
/*
 * Where packets of its connections come from: the server's own address, those of the connections'
 * other sides and then, as far as there is room, those of connections in the making. Returns how
 * many of @ret were filled in; @room + 1: not even all connections have found room.
 */
size_t tw_relay_server_sources(const struct tw_relay_server *server, struct tw_address *ret,
			       size_t room);
/* Two that are the same, or programs of one key that only send. */
bool tw_relay_same_key(const struct tw_relay_server *a, const struct tw_relay_server *b);
size_t tw_relay_server_count(const struct tw_relay *relay);
struct tw_relay_server *tw_relay_server_at(const struct tw_relay *relay, size_t index);
size_t tw_relay_route_count(const struct tw_relay *relay);
/* Not loopback, link-local, multicast, broadcast or unspecified. */
bool tw_relay_target_public(const struct tw_address *to);
