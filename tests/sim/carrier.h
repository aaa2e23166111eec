/*
 * carrier.h - a disk thread in virtual time: takes jobs, one at a time and in order, runs each when
 * it begins and hands it back when it would be done: after the disk's latency, its flushes, and the
 * bytes it moved at the disk's rate; what is quick in memory, in the same instant.
 */
#pragma once

#include "content/job.h"
#include "disk.h"

struct sim_carried {
	struct tw_job *job;
	struct sim_carried *next;
};

struct sim_carrier {
	struct sim *sim;
	struct sim_disk *disk;
	struct sim_carried *first, *last;
	bool running; /* the first one is being done */
	struct sim_event event;
	void (*done)(void *context, struct tw_job *job);
	void *context;
	uint64_t jobs;
};

void sim_carrier_init(struct sim_carrier *carrier, struct sim *sim, struct sim_disk *disk);
void sim_carrier_submit(struct sim_carrier *carrier, struct tw_job *job);
/* Everything at once, without time passing: the end of a program. */
void sim_carrier_drain(struct sim_carrier *carrier);
