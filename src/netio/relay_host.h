/*
 * relay_host.h - runs a relay (relay/relay.h): control connections with TLS, the servers' public
 * UDP ports, one thread for all.
 *
 * Trains go through as they come: what the kernel has merged (UDP_GRO) leaves in one call again
 * (UDP_SEGMENT), from the buffer that it was received into. What a socket has no room for is lost,
 * as at any router. Ports take turns by bytes; one that has used up its share of a limited rate is
 * not read until it has some again, so that its queue is the kernel's and bounded. Strangers' INITs
 * come through a valve (valve.h) at each port's sockets.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "relay/relay.h"

#define TW_RELAY_HOST_BINDS_MAX 2

enum tw_relay_host_event {
	TW_RELAY_HOST_JOINED = 1, /* a server is registered */
	TW_RELAY_HOST_LEFT,       /* its control connection is gone */
	TW_RELAY_HOST_REFUSED,    /* somebody came without an allowed key */
};

struct tw_relay_host_options {
	struct tw_relay_config relay; /* open_port, close_port and context are filled in */
	void *context;                /* of @relay.allowed, @relay.target and @event */
	/* Where the control port is; the public ports are opened on the same addresses. */
	struct tw_address binds[TW_RELAY_HOST_BINDS_MAX];
	unsigned bind_count;
	uint32_t buffer_bytes; /* of each public socket; 0: TW_UDP_BUFFER_WANTED */
	/* @server is NULL for REFUSED. */
	void (*event)(void *context, enum tw_relay_host_event event,
		      const struct tw_relay_server_info *server, const struct tw_address *from);
};

struct tw_relay_host;

/* -errno, *@ret_failed being the control address that failed; -ENOMEM. */
int tw_relay_host_new(const struct tw_relay_host_options *options, struct tw_relay_host **ret,
		      struct tw_address *ret_failed);
void tw_relay_host_free(struct tw_relay_host *host);
/* Until @stop_fd is readable; the servers are told. -errno: the system gave out. */
int tw_relay_host_run(struct tw_relay_host *host, int stop_fd);
/* To look at, from the same thread. */
const struct tw_relay *tw_relay_host_relay(const struct tw_relay_host *host);
