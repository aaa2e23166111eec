/*
 * lanes.h - the lanes of one host: further connections between the same two endpoints, with their
 * halves, and letters that take a moment from one half to the other, each time another one, as
 * between two threads. All connections of a host share its link.
 */
#pragma once

#include "host.h"
#include "session/lane.h"

#define SIM_LANES_ROOM 16

struct sim_lanes;

struct sim_letters {
	struct sim_lanes *lanes;
	struct sim_lane *lane;
	bool to_berth;
	struct tw_letter *first, *last;
	struct sim_event event;
};

struct sim_lane {
	struct tw_lane *lane;
	struct tw_berth *berth;
	struct sim_letters to_lane, to_berth;
};

struct sim_lanes {
	struct sim_host *host;
	struct sim_lane lanes[SIM_LANES_ROOM];
	/* The receiving end's buffer, as of the main connection; NULL: copies. */
	void *(*hold_buffer)(void *context);
	void (*drop_buffer)(void *context, void *buffer);
	void *buffer_context;
	unsigned opened;
};

/* All zero but for the buffers' functions before. */
void sim_lanes_init(struct sim_lanes *lanes, struct sim_host *host);
/* As many as the peer takes, at most @count, each connected as @connect says. */
void sim_lanes_open(struct sim_lanes *lanes, struct tw_outgoing *outgoing, unsigned count,
		    const struct tw_connect *connect);
/* For admit(). */
enum tw_verdict sim_lanes_admit(struct sim_lanes *lanes, struct tw_receiver_hub *hub,
				const struct tw_public_key *peer,
				const struct tw_conn_app **ret_app, void **ret_context);
/* After the datagrams of one wake; frees what is over. */
void sim_lanes_turn(struct sim_lanes *lanes, tw_ns now, bool tick);
/* Ends one that runs. */
void sim_lanes_close_one(struct sim_lanes *lanes);
/* The end of the program: its endpoint is gone, no job is under way. */
void sim_lanes_drop(struct sim_lanes *lanes);
