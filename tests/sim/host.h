/*
 * host.h - a machine on the link: an endpoint and the loop around it, as the program has one. What
 * arrives within WAKE of the first datagram is handed in together, as a receive call with GRO would
 * give it. What runs above the endpoint is a `sim_program`.
 *
 * A loop that comes around again and again without a datagram and without time passing is a failure
 * of its own.
 */
#pragma once

#include "core/endpoint.h"
#include "link.h"

struct sim_program {
	/* After the datagrams of one wake have been handed in, and at the program's deadline. */
	void (*turn)(void *context, tw_ns now);
	tw_ns (*deadline)(void *context);
	/* Around the datagrams of one wake: a receive buffer of the program's own. May be NULL. */
	uint8_t *(*buffer)(void *context, size_t length);
};

struct sim_host {
	struct sim *sim;
	struct sim_link *link;
	unsigned side;
	struct tw_address address;
	struct tw_endpoint *endpoint; /* NULL: the host is down */
	const struct sim_program *program;
	void *context;
	struct sim_packet *inbox_first, *inbox_last;
	size_t inbox_bytes;
	struct sim_event wake, timer;
	bool unreachable_told; /* a host that is down answers with ICMP port unreachable */
	struct sim_event observe;
	tw_ns observe_every;
	unsigned idle_turns;
	tw_ns idle_since;
	uint64_t turns;
};

void sim_host_init(struct sim_host *host, struct sim *sim, struct sim_link *link, unsigned side);
/* Takes @endpoint. */
void sim_host_start(struct sim_host *host, struct tw_endpoint *endpoint,
		    const struct sim_program *program, void *context);
/* All memory gone: frees the endpoint. What comes in from now on falls on the floor. */
void sim_host_stop(struct sim_host *host);
void sim_host_deinit(struct sim_host *host);
/* Takes @packet. */
void sim_host_arrive(struct sim_host *host, struct sim_packet *packet);
/* Notes how the first connection is doing, every @every from now on; for people who look. */
void sim_host_observe(struct sim_host *host, tw_ns every);
/* Something outside the network happened (a job is back): another turn of the loop, now. */
void sim_host_wake(struct sim_host *host);
