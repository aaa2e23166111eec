/*
 * link.h - the network between two hosts: one road each way, a NAT in front of host 0.
 *
 *	host 0 --- NAT ---[ queue | rate ]--- loss, corruption, ... --- delay ---> host 1
 *	host 0 <--------------- the same, with figures of its own ---------------- host 1
 *
 * A datagram waits in a queue of limited bytes (tail drop), passes at the road's rate, and only
 * then may be lost, so that what is lost has used the road, as on real ones. Sizes on the road
 * count Ethernet, IP and UDP headers. Reordering and jitter are extra delay. Silence (an outage)
 * swallows what leaves the queue. Everything can be changed at any time.
 */
#pragma once

#include "base/address.h"
#include "sim.h"

#define SIM_FRAME_OVERHEAD 42
#define SIM_DELAYS 64 /* a histogram of queueing delays, four steps an octave from 1 us */

struct sim_road_config {
	uint64_t rate_bps; /* 0: endless */
	tw_ns delay;
	uint64_t queue_bytes;    /* 0: no limit */
	double loss, loss_burst; /* share, mean length of a burst (0, 1: independent) */
	double corrupt, corrupt_burst;
	double duplicate;
	double reorder; /* share that comes late, by up to @reorder_depth full packets' time */
	unsigned reorder_depth;
	tw_ns jitter;       /* up to so much more delay; the order stays */
	uint32_t mtu;       /* longest UDP payload; 0: no limit */
	bool mtu_told;      /* the sender is told (EMSGSIZE); else longer ones vanish */
	tw_ns on, off;      /* passes for @on, is silent for @off, and so on; 0: always passes */
	uint64_t cross_bps; /* load of others, 1500-byte packets */
	tw_ns cross_on, cross_off; /* in turns; 0: always */
};

struct sim_link_config {
	struct sim_road_config to[2]; /* to host 0, to host 1 */
	bool ipv6;
	tw_ns rebind_every;           /* the NAT takes another port; 0: never */
	bool rebind_forgets; /* at once; else datagrams to the last address still get through */
	bool rebind_moves;   /* another address each time */
};

/* Under way; the bytes follow. */
struct sim_packet {
	struct sim_event event;
	struct sim_packet *next;
	struct sim_link *link;
	unsigned to;
	struct tw_address from, at; /* as the receiving side sees them */
	tw_ns queued_at;
	bool cross;
	size_t length;
	uint8_t bytes[];
};

struct sim_road_stats {
	uint64_t datagrams, bytes; /* offered, UDP payload */
	uint64_t tail_dropped, lost, corrupted, duplicated, too_long, silenced, delivered;
	uint64_t delays[SIM_DELAYS], delay_count;
};

struct sim_road {
	struct sim_road_config config;
	struct sim_packet *first, *last;
	uint64_t queued_bytes;
	bool busy;
	bool silent;              /* by hand, besides @config.on and off */
	bool in_loss, in_corrupt; /* the bad state of a Gilbert-Elliott chain */
	tw_ns last_arrival;
	struct sim_event exit, cross;
	struct sim_road_stats stats;
};

struct sim_host;

struct sim_link {
	struct sim *sim;
	struct sim_road roads[2];
	struct sim_host *hosts[2];
	struct sim_link_config config;
	struct tw_address outside, outside_before; /* host 0 behind its NAT */
	unsigned rebindings;
	struct sim_event rebind;
	tw_ns started_at;
	/* Sees every datagram that is offered; may change it; false swallows it. May be NULL. */
	bool (*watch)(void *context, unsigned to, uint8_t *bytes, size_t *length);
	void *watch_context;
};

void sim_link_init(struct sim_link *link, struct sim *sim, const struct sim_link_config *config);
/* Puts one datagram on its way to host @to. -EMSGSIZE: too long, and the sender is told. */
int sim_link_send(struct sim_link *link, unsigned to, const struct tw_path *path,
		  const uint8_t *bytes, size_t length);
/* As if from anybody: a forged datagram straight to host @to. */
void sim_link_forge(struct sim_link *link, unsigned to, const struct tw_path *seen,
		    const uint8_t *bytes, size_t length);
void sim_link_set(struct sim_link *link, const struct sim_link_config *config);
/* Both ways. */
void sim_link_silence(struct sim_link *link, bool silent);
void sim_link_rebind(struct sim_link *link);
/* What a share of the datagrams waited at most in the queue. */
tw_ns sim_road_delay(const struct sim_road *road, double share);
/* Where host @side is, as itself sees it. */
struct tw_address sim_address(unsigned side, bool ipv6);
