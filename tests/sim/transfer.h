/*
 * transfer.h - whole transfers: the production session and content at both ends, on simulated disks
 * over a simulated link.
 *
 * At any time, whatever stands under a final name at the receiver equals some version of its
 * source; what the sender was told is durable survives a power cut; and at the end everything is
 * there, with mode and time, and nothing else.
 */
#pragma once

#include "peer.h"

#define SIM_VERSIONS_MAX 8

struct transfer_world {
	struct sim sim;
	struct sim_link link;
	struct sim_peer peers[2]; /* sender, receiver */
	struct sim_disk archive;  /* versions of sources that changed: "<version>/<path>" */
	unsigned versions;
	unsigned touched;
	bool receiver_cut;
	bool storage_failed; /* on purpose: the transfer may fail and be started again */
	const struct sim_case *test;
	uint64_t content_bytes, content_files;
	tw_ns started_at, finished_at;
	/* at the last cut of the receiver's power */
	uint64_t durable_promised, files_promised;
	unsigned promise_life; /* the life behind it */
};

bool transfer_run(const struct sim_case *test, uint64_t seed, bool verbose,
		  struct sim_measures *ret, char *ret_failure);
