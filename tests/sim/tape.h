/*
 * tape.h - the transport core alone at both ends: host 0 sends a tape of numbered bytes as DATA,
 * host 1 checks each of them. No files and no session; for what concerns the core only.
 */
#pragma once

#include "base/ranges.h"
#include "case.h"
#include "host.h"

struct tape_side {
	struct tape_world *world;
	struct tw_conn *conn;
	bool established, closed;
	enum tw_conn_end end;
	struct tw_ranges owed, acked, received;
	uint64_t arrived, repeated; /* bytes */
};

struct tape_world {
	struct sim sim;
	struct sim_link link;
	struct sim_host hosts[2];
	struct tw_identity identities[2];
	struct tw_prng prngs[2];
	struct tape_side sides[2];
	const struct sim_case *test;
	tw_ns started_at;
};

/* Runs @test. False: it failed, @ret_failure (512 bytes) says how. */
bool tape_run(const struct sim_case *test, uint64_t seed, bool verbose, struct sim_measures *ret,
	      char *ret_failure);
/* For cases that do more than send a tape. */
struct tape_world *tape_new(const struct sim_case *test, uint64_t seed, bool verbose);
void tape_free(struct tape_world *world);
void tape_connect(struct tape_world *world);
bool tape_done(void *context);
