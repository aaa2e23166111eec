#include "content/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/text.h"

#define PREPARE_ENTRIES 4096

static void totals_fill(struct tw_job *job)
{
	const struct tw_manifest *manifest = tw_source_manifest(job->source);

	job->total_bytes = tw_manifest_tape_size(manifest);
	job->total_files = tw_manifest_file_count(manifest);
	job->total_entries = tw_manifest_count(manifest);
	job->total_chunks = tw_manifest_chunk_count(manifest);
}

static int walk(struct tw_job *job)
{
	bool over;
	int error;

	job->length = 0;
	job->walk_over = false;
	if (job->restart) {
		tw_manifest_encoder_free(job->encoder);
		job->encoder = NULL;
		job->restart = false;
	}
	if (!job->encoder) {
		job->encoder = tw_manifest_encoder_new(tw_source_manifest(job->source));
		if (!job->encoder)
			return -ENOMEM;
	}
	error = tw_source_walk(job->source, (unsigned)job->limit);
	if (error && error != TW_E_END)
		return error;
	over = error == TW_E_END;
	totals_fill(job);
	error = tw_manifest_encode(job->encoder, over, job->bytes, job->room, &job->length);
	job->walk_over = error == TW_E_END;
	return error == TW_E_AGAIN || error == TW_E_END ? 0 : error;
}

/*
 * The tape range of @entry, so that the session need not touch the manifest, which belongs to this
 * thread.
 */
static void entry_bounds(struct tw_job *job, uint64_t index)
{
	const struct tw_manifest *manifest = tw_source_manifest(job->source);
	const struct tw_entry *entry;

	job->entry = index;
	job->block.start = job->block.end = 0;
	if (index >= tw_manifest_count(manifest))
		return;
	entry = tw_manifest_entry(manifest, index);
	job->block.start = entry->tape_start;
	job->block.end = entry->tape_start + entry->size;
}

static int read_block(struct tw_job *job)
{
	uint64_t entry = UINT64_MAX;
	int error;

	error = tw_source_read(job->source, job->offset, job->limit, job->bytes, job->room,
			       &job->block, &entry);
	if (error)
		entry_bounds(job, entry);
	return error;
}

static int read_sha256(struct tw_job *job)
{
	const struct tw_manifest *manifest = tw_source_manifest(job->source);
	uint64_t count = tw_manifest_count(manifest);
	const struct tw_entry *entry = NULL;
	int error;

	for (; job->entry < count; job->entry++) {
		entry = tw_manifest_entry(manifest, job->entry);
		if (entry->kind == TW_KIND_FILE)
			break;
	}
	if (job->entry >= count)
		return TW_E_END;
	if (entry->tape_start + entry->size > job->limit)
		return TW_E_AGAIN;
	error = tw_source_sha256(job->source, job->entry, job->sha256);
	if (error)
		entry_bounds(job, job->entry);
	return error;
}

static int find_entry(struct tw_job *job)
{
	const struct tw_manifest *manifest = tw_source_manifest(job->source);
	char path[TW_PATH_MAX + 1];
	size_t length;

	if (job->offset >= tw_manifest_tape_size(manifest))
		return TW_E_FORMAT;
	entry_bounds(job, tw_manifest_find(manifest, job->offset));
	length = tw_manifest_path(manifest, job->entry, path);
	tw_text_clean(path, length, job->offender, sizeof(job->offender));
	return 0;
}

static void collect_held(struct tw_job *job)
{
	while (job->held_count < TW_JOB_HELD_MAX &&
	       tw_sink_held(job->sink, &job->held[job->held_count]))
		job->held_count++;
}

static int prepare(struct tw_job *job)
{
	uint64_t ready = 0;
	int error;

	job->held_count = 0;
	job->ready = 0;
	job->prepare_more = true;
	job->total_entries = tw_sink_entries(job->sink);
	collect_held(job);
	if (job->held_count == TW_JOB_HELD_MAX)
		return 0;
	error = tw_sink_prepare(job->sink, PREPARE_ENTRIES, &ready);
	if (error && error != TW_E_AGAIN && error != TW_E_END) {
		job->prepare_more = false;
		return error;
	}
	collect_held(job);
	/* Held ranges may be left over: nothing is said about readiness before they are out. */
	if (job->held_count == TW_JOB_HELD_MAX)
		return 0;
	job->ready = ready;
	job->total_chunks = tw_sink_chunks(job->sink);
	job->prepare_more = error == 0;
	return error == TW_E_END ? TW_E_END : 0;
}

static int take_manifest(struct tw_job *job)
{
	int error = tw_sink_manifest(job->sink, job->bytes, job->length);

	if (error && error != TW_E_END) {
		job->held_count = 0;
		job->ready = 0;
		job->prepare_more = false;
		return error;
	}
	return prepare(job);
}

static int write_pieces(struct tw_job *job)
{
	int error = tw_sink_write(job->sink, job->pieces, job->piece_count);

	return error ? error : tw_sink_settle(job->sink);
}

static void source_free(struct tw_job *job)
{
	tw_manifest_encoder_free(job->encoder);
	tw_source_free(job->source);
	job->encoder = NULL;
	job->source = NULL;
}

static int run(struct tw_job *job)
{
	switch (job->type) {
	case TW_JOB_WALK:
		return walk(job);
	case TW_JOB_READ:
		return read_block(job);
	case TW_JOB_SHA256:
		return read_sha256(job);
	case TW_JOB_ENTRY:
		return find_entry(job);
	case TW_JOB_SOURCE_FREE:
		source_free(job);
		return 0;
	case TW_JOB_SINK_OPEN:
		return tw_sink_new(job->fs, job->sink_options, &job->sink);
	case TW_JOB_MANIFEST:
		return take_manifest(job);
	case TW_JOB_PREPARE:
		return prepare(job);
	case TW_JOB_WRITE:
		return write_pieces(job);
	case TW_JOB_HOLE:
		return tw_sink_hole(job->sink, job->offset, job->limit);
	case TW_JOB_DIGESTS:
		return tw_sink_digests(job->sink, job->block.chunk_first, job->block.digests,
				       job->block.chunk_count);
	case TW_JOB_CHECK_SHA256:
		return tw_sink_sha256(job->sink, job->entry, job->sha256);
	case TW_JOB_ABANDON:
		return tw_sink_abandon(job->sink, job->entry);
	case TW_JOB_SETTLE:
		return tw_sink_settle(job->sink);
	case TW_JOB_CHECKPOINT:
		return tw_sink_checkpoint(job->sink);
	case TW_JOB_SINK_FREE:
		tw_sink_free(job->sink);
		job->sink = NULL;
		return 0;
	}
	return -EINVAL;
}

static void collect_source(struct tw_job *job)
{
	job->problem_count = 0;
	while (job->problem_count < TW_JOB_EVENTS_MAX &&
	       tw_source_problem(job->source, &job->problems[job->problem_count]))
		job->problem_count++;
}

static void collect_sink(struct tw_job *job)
{
	job->event_count = 0;
	while (job->event_count < TW_JOB_EVENTS_MAX &&
	       tw_sink_event(job->sink, &job->events[job->event_count]))
		job->event_count++;
	job->events_more = job->event_count == TW_JOB_EVENTS_MAX;
	tw_sink_progress(job->sink, &job->progress);
	job->offender[0] = 0;
	if (job->result == TW_E_UNSAFE)
		snprintf(job->offender, sizeof(job->offender), "%s", tw_sink_offender(job->sink));
}

bool tw_job_is_quick(const struct tw_job *job)
{
	switch (job->type) {
	case TW_JOB_READ:
		return tw_source_read_is_quick(job->source, job->offset);
	case TW_JOB_WRITE:
		return tw_sink_write_is_quick(job->sink, job->pieces, job->piece_count);
	case TW_JOB_DIGESTS:
		return tw_sink_digests_are_quick(job->sink, job->block.chunk_first,
						 job->block.chunk_count);
	case TW_JOB_SETTLE:
		return tw_sink_settle_is_quick(job->sink);
	default:
		return false;
	}
}

void tw_job_run(struct tw_job *job)
{
	bool of_source = job->type <= TW_JOB_SOURCE_FREE;

	job->problem_count = 0;
	job->event_count = 0;
	job->events_more = false;
	job->result = run(job);
	if (of_source && job->source)
		collect_source(job);
	else if (!of_source && job->sink)
		collect_sink(job);
}
