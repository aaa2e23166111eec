/*
 * tape.h - a transfer for tests of the sink: a manifest with made-up content in memory, and a
 * sender that hands pieces of it to a sink until that has all.
 */
#pragma once

#include "base/random.h"
#include "base/ranges.h"
#include "content/manifest.h"
#include "content/sink.h"

struct tape {
	struct tw_manifest *manifest;
	uint8_t *bytes;
	uint64_t size, room;
	struct tw_ranges owed; /* of the tape */
	struct tw_ranges held; /* as the sink told at the start */
	uint64_t sent;
	unsigned done, skipped, failed, again;
	int last_error; /* of an event */
	bool all_done;
	bool no_digests;     /* the sender keeps them to itself */
	uint64_t piece_max;  /* bytes; 0: 1433 */
	unsigned shuffle;    /* pieces are drawn out of so many; 0: in order */
	unsigned duplicate;  /* one in so many comes twice; 0: none */
	unsigned corrupt;    /* one in so many is damaged; 0: none */
	unsigned checkpoint; /* one step in so many has a checkpoint; 0: none */
	struct tw_prng prng;
};

void tape_init(struct tape *tape, uint64_t seed);
void tape_deinit(struct tape *tape);
/* A file of @size random bytes (zeros where @hole, in whole chunks from there on). */
void tape_file(struct tape *tape, const char *path, uint64_t size);
void tape_sparse(struct tape *tape, const char *path, uint64_t size, uint64_t data_start,
		 uint64_t data_end);
void tape_folder(struct tape *tape, const char *path);

/* The manifest, and preparing; owed is what the sink does not hold. */
int tape_offer(struct tape *tape, struct tw_sink *sink);
/* Sends until nothing is owed or about @bytes have gone. The sink's first error. */
int tape_send(struct tape *tape, struct tw_sink *sink, uint64_t bytes);
void tape_events(struct tape *tape, struct tw_sink *sink);
