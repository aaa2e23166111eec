/*
 * peer.h - the two programs of a transfer on their hosts, as the worker of src/netio runs them: a
 * sender with its dialer, a receiver with its hub, each with a disk. Either can be killed at any
 * moment (all memory gone, the disk kept), have its power cut, and be started again.
 */
#pragma once

#include "carrier.h"
#include "case.h"
#include "host.h"
#include "lanes.h"
#include "session/dialer.h"
#include "session/receiver.h"
#include "session/sender.h"

struct sim_buffer {
	unsigned references;
	uint8_t bytes[];
};

struct sim_peer {
	struct sim *sim;
	struct sim_host host;
	struct sim_disk disk;
	struct tw_fs fs;
	struct sim_carrier carrier;
	struct tw_identity identity;
	struct tw_prng prng;
	struct tw_random random;
	struct tw_conn_config config;
	enum tw_cipher cipher; /* wanted by the sender, least for the receiver */
	uint64_t key_packets; /* keys change after so many; 0: as in production */
	unsigned lane_count; /* lanes: wanted by the sender, offered by the receiver */
	struct sim_lanes lanes;
	tw_ns tick_at;
	bool up;
	unsigned lives;

	/* sender */
	struct tw_sender *sender;
	struct tw_outgoing *outgoing;
	struct tw_dialer *dialer;
	struct tw_sender_options options; /* source is made for each life */
	struct tw_source_options source_options;
	struct tw_public_key peer_key;
	struct tw_sender_status last; /* when it was seen last */
	bool finished;                /* some life saw the end */
	uint64_t sent_before;         /* tape bytes of earlier lives */
	unsigned problems, problems_bad;
	char last_problem[256];

	/* receiver */
	struct tw_receiver_hub *hub;
	struct sim_buffer *current;
	bool lends_buffers;
	uint64_t files_done;                   /* events */
	unsigned transfers_cancelled;          /* events */
	struct tw_receiver_status last_status; /* of the newest transfer */
	uint64_t data_received;                /* over the connections of one life */
};

void sim_peer_init(struct sim_peer *peer, struct sim *sim, struct sim_link *link, unsigned side,
		   const struct sim_disk_config *disk);
/* Starts the program; side 0 sends, side 1 receives. */
void sim_peer_start(struct sim_peer *peer);
/* kill -9. */
void sim_peer_kill(struct sim_peer *peer);
/* The program ends, and what was not flushed may go. */
void sim_peer_cut(struct sim_peer *peer);
void sim_peer_deinit(struct sim_peer *peer);
/* Reads the newest status into @peer->last or @peer->last_status. */
void sim_peer_look(struct sim_peer *peer);
