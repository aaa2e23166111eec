/*
 * relay_agent.h - the thread that keeps this machine registered with a relay (relay/client.h).
 *
 * The worker's sockets stay the worker's: the agent only sends LEGs through them, so that the relay
 * learns, and every NAT on the way remembers, where they are; what comes back goes to the worker as
 * from any peer. So do the PROBEs by which NATs are opened to peers that may find a way past the
 * relay. While UDP does not pass, the agent is that peer: a socket on loopback at whose
 * other end is the control connection. The connection ids name the connections, so that a running
 * one moves there and back by itself.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "core/endpoint.h"
#include "netio/udp.h"
#include "relay/client.h"

#define TW_RELAY_HOST_NAME 256
#define TW_RELAY_AGENT_SOCKETS_MAX 4

struct tw_relay_agent_options {
	const struct tw_identity *identity; /* borrowed for the life of the agent */
	char host[TW_RELAY_HOST_NAME];      /* a name or an address */
	uint16_t port;                      /* control port */
	struct tw_public_key key;           /* the relay's */
	/* The worker's listening sockets, as bound; none: nothing comes in but what was begun. */
	const struct tw_udp *sockets[TW_RELAY_AGENT_SOCKETS_MAX];
	unsigned socket_count;
	bool tunnelled; /* never try UDP */
	/* Looks up @host on the agent's thread, as tw_resolve(); NULL: that one. */
	int (*resolve)(void *context, const char *host, uint16_t port, struct tw_address *ret,
		       unsigned room, unsigned *ret_count);
	void *resolve_context;
};

struct tw_relay_agent_status {
	struct tw_relay_client_status client;
	struct tw_address control; /* where the relay was reached; family NONE: not yet */
	struct tw_address via;     /* its public port for us; family NONE: none yet */
	struct tw_address local;   /* where tunnelled datagrams come from on this machine */
	int error;                 /* why the last attempt failed: errno, or 0 */
	char resolver[128];        /* what the resolver said, when it failed */
};

struct tw_relay_agent;

/* -errno. The sockets are duplicated. */
int tw_relay_agent_new(const struct tw_relay_agent_options *options, struct tw_relay_agent **ret);
/* Stops, waits for the thread. */
void tw_relay_agent_free(struct tw_relay_agent *agent);
/* Readable when the status may have changed; emptied by tw_relay_agent_status(). */
int tw_relay_agent_fd(const struct tw_relay_agent *agent);
void tw_relay_agent_status(struct tw_relay_agent *agent, struct tw_relay_agent_status *ret);
/*
 * Where peers that come by the relay may find this machine without it: its own addresses, as many
 * as there is room for, and what the relay sees its socket as, if that is another. @own have the
 * port on which it listens. Returns how many.
 */
unsigned tw_relay_agent_offers(const struct tw_relay_agent_status *status,
			       const struct tw_address *own, unsigned own_count,
			       struct tw_address ret[TW_OFFERS_MAX]);
/* Whether @remote is this relay: a connection with it there goes through the relay. */
bool tw_relay_agent_is(struct tw_relay_agent *agent, const struct tw_address *remote);

/*
 * The way to @to through the relay: dial @ret_via with @ret_ticket. TW_E_AGAIN: not registered yet,
 * or the relay has not answered for this destination yet: ask again when the fd is readable.
 * TW_E_DENIED: the relay does not want it. TW_E_FULL.
 */
int tw_relay_agent_way(struct tw_relay_agent *agent, const struct tw_address *to,
		       struct tw_address *ret_via, struct tw_ticket *ret_ticket);
