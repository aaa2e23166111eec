/*
 * build.h - a manifest being made: the walk of its paths on a thread of the pool, the listing of
 * what was found, and its stored form.
 *
 * The one who starts a build owns it until @done has been called, from the loop; progress can be
 * asked for at any time between. One that is stopped is not heard of any more, and ends by itself
 * within some hundred entries.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "content/fs.h"
#include "content/listing.h"
#include "content/source.h"
#include "engine/pool.h"

struct tw_build;

struct tw_build_result {
	int error;         /* 0; -ECANCELED; TW_E_*, -errno */
	char message[320]; /* a sentence where it failed or something was left out, else "" */
	struct tw_listing *listing; /* taken by whoever hears of it; NULL: failed */
	void *blob;                 /* malloc'd, taken */
	size_t blob_length;
};

/* @fs held, or borrowed until the end (content/source.h); @options copied; @owner as of pool.h.
 * -ENOMEM. */
int tw_build_start(struct tw_pool *pool, const struct tw_fs *fs,
		   const struct tw_source_options *options, uint64_t owner, struct tw_build **ret);
/* Before the next turn of the loop. */
void tw_build_on_done(struct tw_build *build,
		      void (*done)(void *context, struct tw_build_result *result), void *context);
void tw_build_stop(struct tw_build *build);
/* So far. */
void tw_build_progress(const struct tw_build *build, uint64_t *ret_files, uint64_t *ret_bytes);
