#include "engine/build.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "content/manifest.h"
#include "engine/index.h"

#define ENTRIES_A_STEP 256

struct tw_build {
	struct tw_pool_job job;
	struct tw_source *source;
	_Atomic uint64_t files, bytes;
	uint64_t left_out;
	struct tw_build_result result;
	void (*done)(void *context, struct tw_build_result *result);
	void *context;
};

static void note_problem(struct tw_build *build, const struct tw_problem *problem)
{
	struct tw_build_result *result = &build->result;

	if (problem->fatal && !result->error) {
		result->error = problem->error;
		snprintf(result->message, sizeof(result->message),
			 "%s: %s. Name what is there and what this server may read.", problem->path,
			 tw_strerror(problem->error));
	}
	if (problem->harmless || result->error)
		return;
	if (!build->left_out++)
		snprintf(result->message, sizeof(result->message), "%s: %s", problem->path,
			 tw_strerror(problem->error));
}

static int walk(struct tw_build *build)
{
	const struct tw_manifest *manifest = tw_source_manifest(build->source);
	struct tw_problem problem;
	int r = 0;

	while (!r) {
		if (tw_pool_cancelled(&build->job))
			return -ECANCELED;
		r = tw_source_walk(build->source, ENTRIES_A_STEP);
		build->files = tw_manifest_file_count(manifest);
		build->bytes = tw_manifest_tape_size(manifest);
		while (tw_source_problem(build->source, &problem))
			note_problem(build, &problem);
	}
	return r == TW_E_END ? build->result.error : r;
}

static void run(struct tw_pool_job *job)
{
	struct tw_build *build = TW_OWNER(job, struct tw_build, job);
	struct tw_build_result *result = &build->result;
	char first[200];
	int r = walk(build);

	if (!r)
		r = tw_listing_from_source(build->source, &result->listing);
	if (!r) {
		build->source = NULL;
		r = tw_listing_encode(result->listing, &result->blob, &result->blob_length);
	}
	result->error = r;
	if (r) {
		if (!*result->message)
			snprintf(result->message, sizeof(result->message),
				 "The manifest could not be made: %s.", tw_strerror(r));
		tw_listing_drop(result->listing);
		result->listing = NULL;
	} else if (build->left_out) {
		snprintf(first, sizeof(first), "%.199s", result->message);
		snprintf(result->message, sizeof(result->message),
			 "%llu left out, as they could not be read; the first: %s",
			 (unsigned long long)build->left_out, first);
	}
}

static void done(struct tw_pool_job *job)
{
	struct tw_build *build = TW_OWNER(job, struct tw_build, job);

	if (!tw_pool_ran(job))
		build->result.error = -ECANCELED;
	if (build->done) {
		build->done(build->context, &build->result);
	} else {
		tw_listing_drop(build->result.listing);
		free(build->result.blob);
	}
	tw_source_free(build->source);
	free(build);
}

int tw_build_start(struct tw_pool *pool, const struct tw_fs *fs,
		   const struct tw_source_options *options, uint64_t owner, struct tw_build **ret)
{
	struct tw_build *build = calloc(1, sizeof(*build));
	int r = build ? tw_source_new(fs, options, &build->source) : -ENOMEM;

	if (r) {
		free(build);
		return r;
	}
	build->job.run = run;
	build->job.done = done;
	build->job.owner = owner;
	tw_pool_submit(pool, &build->job);
	*ret = build;
	return 0;
}

void tw_build_on_done(struct tw_build *build,
		      void (*hears)(void *context, struct tw_build_result *result), void *context)
{
	build->done = hears;
	build->context = context;
}

void tw_build_stop(struct tw_build *build)
{
	build->done = NULL;
	tw_pool_cancel(&build->job);
}

void tw_build_progress(const struct tw_build *build, uint64_t *ret_files, uint64_t *ret_bytes)
{
	*ret_files = build->files;
	*ret_bytes = build->bytes;
}
