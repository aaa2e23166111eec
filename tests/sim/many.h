/*
 * many.h - several transfers to one destination over one connection: the sending program keeps an
 * outgoing with its dialer, adds, changes, pauses and resumes transfers as it is told by a list of
 * orders, and keeps to the rate that the receiver asks for. The receiver is the one of transfer.h.
 *
 * Every transfer must end well, with every file equal to its source, over as few connections as
 * there were breaks.
 */
#pragma once

#include "peer.h"

#define MANY_LANES_MAX 1024
#define MANY_ORDERS_MAX 24

enum many_act {
	MANY_ADD = 1, /* @lane, as described by the world's lanes */
	MANY_PAUSE,
	MANY_RANK,        /* to @value */
	MANY_RATE,        /* own highest rate: @value bits a second; 0: none */
	MANY_LIMIT,       /* the receiver asks for @value bits a second; 0: no limit */
	MANY_SILENCE,     /* for @value */
	MANY_KILL,        /* the receiver, for @value */
	MANY_KILL_SENDER, /* for @value; all its transfers are added again */
};

struct many_order {
	tw_ns at; /* since the start */
	enum many_act act;
	unsigned lane;
	uint64_t value;
};

/* One transfer. */
struct many_lane {
	struct many *many;
	unsigned number;
	unsigned files;
	uint64_t file_bytes;
	uint64_t rank, max_bps; /* 0: no rate of its own */
	char source[16];
	struct tw_source_mapping mapping;
	struct tw_source_options source_options;

	struct tw_sender *sender; /* NULL: not taking part */
	bool seated, wanted;      /* paused: not wanted */
	bool over;                /* ended well */
	tw_ns added_at, over_at;
	uint64_t content_bytes;
	uint64_t sent_before; /* tape bytes of earlier attempts */
	unsigned attempts;
	struct tw_sender_status last;
};

struct many {
	const struct sim_case *test;
	struct sim sim;
	struct sim_link link;
	struct sim_peer receiver;
	struct sim_host host; /* the sender's */
	struct sim_disk disk;
	struct tw_fs fs;
	struct sim_carrier carrier;
	struct tw_identity identity;
	struct tw_prng prng;
	struct tw_outgoing *outgoing;
	struct tw_dialer *dialer;
	struct tw_sender_budget budget;
	struct sim_lanes further; /* connections, where the case wants some */
	uint64_t max_bps; /* last given to the dialer */
	tw_ns tick_at, started_at, finished_at;
	unsigned lives;

	struct many_lane lanes[MANY_LANES_MAX];
	unsigned lane_count, lane_next, live_max, live;
	unsigned connections; /* that were established */
	uint64_t conn_id;
	size_t streams_most; /* open at a time, both directions, either side */
	/* After every turn; may be NULL. */
	void (*look)(struct many *many);
};

struct many *many_new(const struct sim_case *test, uint64_t seed, bool verbose);
/* A further lane of @files files; added at once where @live_max is set, else by an order. */
struct many_lane *many_lane(struct many *many, unsigned files, uint64_t file_bytes, uint64_t rank);
void many_order(struct many *many, const struct many_order *order);
/* Runs to the end, judges, frees. */
bool many_run(struct many *many, struct sim_measures *ret, char *ret_failure,
	      void (*judge)(struct many *many));
/* From its first addition to its end, in seconds. */
double many_took(const struct many_lane *lane);
