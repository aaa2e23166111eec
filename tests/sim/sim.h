/*
 * sim.h - virtual time: a heap of events, one seeded source of randomness, a digest of all that
 * happened, and the first thing that went wrong.
 *
 * Events at the same instant fire in the order in which they were set, so that a run depends on
 * nothing but its seed. The digest covers every datagram with its time and direction: two runs of
 * one seed must end with the same one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "base/time.h"
#include "content/digest.h"

#define SIM_START (100 * TW_SECOND)

/* Lives in its owner; all zero before its first use. */
struct sim_event {
	tw_ns at;
	uint64_t sequence;
	size_t place; /* 1-based position in the heap, 0 when not in it */
	void (*fire)(void *context);
	void (*drop)(void *context); /* the simulation ends before it fired; may be NULL */
	void *context;
};

struct sim {
	tw_ns now;
	struct tw_prng prng;
	struct sim_event **heap;
	size_t count, room;
	uint64_t sequence;
	struct tw_digest_state *digest;
	uint64_t datagrams;
	bool failed;
	char failure[512];
	bool verbose;
};

void sim_init(struct sim *sim, uint64_t seed);
void sim_deinit(struct sim *sim);
/* Puts @event in, or moves it, to fire at @at (not before now). TW_NEVER takes it out. */
void sim_set(struct sim *sim, struct sim_event *event, tw_ns at);
/* One call at @at, with an event of its own. @drop as above. */
void sim_call(struct sim *sim, tw_ns at, void (*fire)(void *), void (*drop)(void *), void *context);
/* Runs until @until, a failure, or until @done (may be NULL), asked after every event, says so. */
bool sim_run(struct sim *sim, tw_ns until, bool (*done)(void *), void *context);
/* Keeps the first message only. */
__attribute__((format(printf, 2, 3))) void sim_fail(struct sim *sim, const char *format, ...);
__attribute__((format(printf, 2, 3))) void sim_note(struct sim *sim, const char *format, ...);
void sim_digest(struct sim *sim, unsigned direction, const uint8_t *bytes, size_t length);

/* True with probability @share. Draws nothing when it cannot be. */
bool sim_chance(struct sim *sim, double share);
double sim_between(struct sim *sim, double low, double high);
void *sim_alloc(size_t size);
