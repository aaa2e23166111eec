/*
 * fake_content.h - a source, a storage and the jobs between them, all in memory: what a session
 * sees of content, without files. The storage outlives its sinks as a disk does: what was journaled
 * is held by the next one. It asserts what a session promises: no byte written twice unless asked
 * for, nothing beyond what was prepared, one job of a transfer at a time.
 */
#pragma once

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/ranges.h"
#include "content/job.h"

#ifndef FAKE_ENTRIES_MAX
#define FAKE_ENTRIES_MAX 4096
#endif
#define FAKE_RECORD 10

struct fake_entry {
	uint64_t size, start, chunk;
	bool hole, bad;
	unsigned corrupt; /* so many readings of its first chunk give wrong digests */
};

struct tw_source {
	struct fake_entry entries[FAKE_ENTRIES_MAX];
	size_t count, walked;
	size_t walk_step;
	bool missing; /* a named source is not there */
	bool problem_told;
	uint64_t blocks_read;
	bool freed;
};

struct tw_manifest_encoder {
	size_t next, at; /* record, bytes of it that are out */
};

/* The receiver's disk. */
struct fake_storage {
	uint8_t *tape;
	uint64_t size;
	struct tw_ranges journaled, verified; /* tape; chunks */
	struct tw_ranges done;                /* entries */
	uint64_t full_at;                     /* -ENOSPC when so much was written; 0: never */
	uint64_t written, written_twice;
	bool refuse_destination;
	unsigned sinks_open;
	uint8_t key[TW_TRANSFER_KEY_SIZE];
	uint64_t shas;
};

struct tw_sink {
	struct fake_storage *storage;
	struct fake_entry entries[FAKE_ENTRIES_MAX];
	bool entry_done[FAKE_ENTRIES_MAX], entry_bad[FAKE_ENTRIES_MAX], entry_sha[FAKE_ENTRIES_MAX];
	size_t count, prepared;
	uint64_t tape_size, chunk_count, ready;
	bool complete, all_told, sha256;
	uint8_t record[FAKE_RECORD];
	size_t record_length;
	struct tw_ranges written, verified; /* tape; chunks */
	struct tw_digest *digests;
	struct tw_ranges digests_known;
	struct tw_range *held;
	size_t held_first, held_count;
	struct tw_sink_event *events;
	size_t event_first, event_count, event_room;
	struct tw_sink_progress progress;
};

static inline uint8_t fake_byte(uint64_t offset)
{
	return (uint8_t)((offset * UINT64_C(0x9e3779b97f4a7c15) >> 56) ^ offset >> 13 ^ offset);
}

static inline struct tw_digest fake_digest(const uint8_t *bytes, size_t length)
{
	uint64_t sums[2] = { length, 77 };
	size_t i;
	struct tw_digest digest;

	for (i = 0; i + 8 <= length; i += 8) {
		uint64_t word;

		memcpy(&word, bytes + i, 8);
		sums[0] = (sums[0] ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		sums[1] += sums[0] >> 7;
	}
	for (; i < length; i++)
		sums[0] = (sums[0] ^ bytes[i]) * UINT64_C(0x9e3779b97f4a7c15);
	memcpy(digest.bytes, sums, sizeof(digest.bytes));
	return digest;
}

static inline struct tw_source *fake_source_new(void)
{
	struct tw_source *source = calloc(1, sizeof(*source));

	assert(source);
	source->walk_step = FAKE_ENTRIES_MAX;
	return source;
}

static inline struct fake_entry *fake_source_add(struct tw_source *source, uint64_t size)
{
	struct fake_entry *entry = &source->entries[source->count++];
	const struct fake_entry *before = source->count > 1 ? entry - 1 : NULL;

	assert(source->count <= FAKE_ENTRIES_MAX);
	*entry = (struct fake_entry){ .size = size };
	if (before) {
		entry->start = before->start + before->size;
		entry->chunk = before->chunk + (before->size + TW_CHUNK_SIZE - 1) / TW_CHUNK_SIZE;
	}
	return entry;
}

static inline uint64_t fake_source_size(const struct tw_source *source)
{
	const struct fake_entry *last = &source->entries[source->count - 1];

	return source->count ? last->start + last->size : 0;
}

static inline void fake_storage_init(struct fake_storage *storage, uint64_t size)
{
	*storage = (struct fake_storage){ .size = size, .tape = malloc(size + 1) };
	assert(storage->tape);
	memset(storage->tape, 0xee, size);
	tw_ranges_init(&storage->journaled, 1 << 20);
	tw_ranges_init(&storage->verified, 1 << 20);
	tw_ranges_init(&storage->done, 1 << 20);
}

static inline void fake_storage_deinit(struct fake_storage *storage)
{
	tw_ranges_deinit(&storage->journaled);
	tw_ranges_deinit(&storage->verified);
	tw_ranges_deinit(&storage->done);
	free(storage->tape);
}

/* The entry with content at @offset. */
static inline size_t fake_find(const struct fake_entry *entries, size_t count, uint64_t offset)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (entries[middle].start + entries[middle].size <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Source jobs. */

static inline int fake_walk(struct tw_job *job)
{
	struct tw_source *source = job->source;
	struct tw_manifest_encoder *encoder;
	uint64_t i;

	if (job->restart || !job->encoder) {
		free(job->encoder);
		job->encoder = calloc(1, sizeof(*job->encoder));
		assert(job->encoder);
		job->restart = false;
	}
	encoder = job->encoder;
	for (i = 0; i < job->limit && i < source->walk_step && source->walked < source->count; i++)
		source->walked++;
	job->total_bytes = job->total_chunks = 0;
	job->total_entries = job->total_files = source->walked;
	if (source->walked) {
		const struct fake_entry *last = &source->entries[source->walked - 1];

		job->total_bytes = last->start + last->size;
		job->total_chunks = last->chunk + (last->size + TW_CHUNK_SIZE - 1) / TW_CHUNK_SIZE;
	}
	job->length = 0;
	job->walk_over = false;
	while (job->length < job->room) {
		uint8_t record[FAKE_RECORD] = { 0 };

		if (encoder->next == source->count && encoder->at == 0) {
			record[0] = 'E';
		} else if (encoder->next > source->count) {
			break;
		} else if (encoder->next < source->walked) {
			record[0] = 'F';
			record[1] = source->entries[encoder->next].hole;
			memcpy(record + 2, &source->entries[encoder->next].size, 8);
		} else {
			break;
		}
		job->bytes[job->length++] = record[encoder->at++];
		if (record[0] == 'E' || encoder->at == FAKE_RECORD) {
			encoder->next++;
			encoder->at = 0;
		}
	}
	job->walk_over = encoder->next > source->count;
	if (source->missing && !source->problem_told) {
		source->problem_told = true;
		job->problems[job->problem_count++] = (struct tw_problem){
			.entry = UINT64_MAX, .error = -ENOENT, .fatal = true, .path = "missing"
		};
	}
	return 0;
}

static inline int fake_read(struct tw_job *job)
{
	struct tw_source *source = job->source;
	size_t index = fake_find(source->entries, source->walked, job->offset);
	struct fake_entry *entry = &source->entries[index];
	struct tw_block *block = &job->block;
	uint64_t chunk, at, i;

	assert(index < source->walked && job->offset < job->limit);
	source->blocks_read++;
	if (entry->bad) {
		job->entry = index;
		block->start = entry->start;
		block->end = entry->start + entry->size;
		job->problems[job->problem_count++] =
			(struct tw_problem){ .entry = index, .error = -EIO, .path = "bad" };
		return -EIO;
	}
	chunk = (job->offset - entry->start) / TW_CHUNK_SIZE;
	block->start = block->end = entry->start + chunk * TW_CHUNK_SIZE;
	block->chunk_first = entry->chunk + chunk;
	block->chunk_count = 0;
	block->hole = entry->hole;
	if (entry->hole) {
		block->end = entry->start + entry->size;
		return 0;
	}
	for (at = block->start; at < job->limit || !block->chunk_count;) {
		uint64_t length;

		while (index < source->walked && (!entry->size || at >= entry->start + entry->size))
			entry = &source->entries[++index];
		if (index >= source->walked || entry->hole || entry->bad)
			break;
		length = entry->start + entry->size - at;
		if (length > TW_CHUNK_SIZE)
			length = TW_CHUNK_SIZE;
		if (at + length - block->start > job->room ||
		    block->chunk_count == TW_BLOCK_CHUNKS_MAX)
			break;
		for (i = 0; i < length; i++)
			job->bytes[at - block->start + i] = fake_byte(at + i);
		block->digests[block->chunk_count] =
			fake_digest(job->bytes + (at - block->start), length);
		/* Read wrong, digested right: the receiver must find out. */
		if (entry->corrupt && at == entry->start) {
			entry->corrupt--;
			job->bytes[at - block->start] ^= 1;
		}
		block->chunk_count++;
		at += length;
		block->end = at;
	}
	return 0;
}

static inline int fake_sha256(struct tw_job *job)
{
	const struct fake_entry *entry;

	if (job->entry >= job->source->walked)
		return TW_E_END;
	entry = &job->source->entries[job->entry];
	if (entry->start + entry->size > job->limit)
		return TW_E_AGAIN;
	if (entry->bad) {
		job->block.start = entry->start;
		job->block.end = entry->start + entry->size;
		return -EIO;
	}
	memset(job->sha256, (int)(job->entry & 0xff), sizeof(job->sha256));
	return 0;
}

static inline int fake_entry_of(struct tw_job *job)
{
	size_t index = fake_find(job->source->entries, job->source->walked, job->offset);

	if (index >= job->source->walked)
		return TW_E_FORMAT;
	job->entry = index;
	job->block.start = job->source->entries[index].start;
	job->block.end = job->block.start + job->source->entries[index].size;
	snprintf(job->offender, sizeof(job->offender), "entry");
	return 0;
}

/* Sink jobs. */

static inline void fake_event(struct tw_sink *sink, enum tw_sink_event_type type, size_t entry,
			      int error, uint64_t start, uint64_t end)
{
	if (sink->event_count == sink->event_room) {
		sink->event_room = sink->event_room ? sink->event_room * 2 : 64;
		sink->events = realloc(sink->events, sink->event_room * sizeof(*sink->events));
		assert(sink->events);
	}
	sink->events[sink->event_count] = (struct tw_sink_event){
		.type = type, .entry = entry, .error = error, .range = { start, end }
	};
	snprintf(sink->events[sink->event_count++].path, 256, "entry %zu", entry);
}

static inline int fake_open(struct tw_job *job)
{
	struct fake_storage *storage = (struct fake_storage *)(uintptr_t)job->fs->context;
	struct tw_sink *sink;

	job->sink = NULL;
	if (storage->refuse_destination)
		return TW_E_UNSAFE;
	/* This storage has room for one job; two sinks of it would write the same files. */
	if (storage->sinks_open &&
	    memcmp(storage->key, job->sink_options->transfer_key, TW_TRANSFER_KEY_SIZE) != 0)
		return -EBUSY;
	assert(!storage->sinks_open);
	storage->sinks_open++;
	memcpy(storage->key, job->sink_options->transfer_key, TW_TRANSFER_KEY_SIZE);
	sink = calloc(1, sizeof(*sink));
	assert(sink);
	sink->storage = storage;
	sink->sha256 = job->sink_options->sha256;
	sink->held = calloc(FAKE_ENTRIES_MAX * 8, sizeof(*sink->held));
	sink->digests = calloc(FAKE_ENTRIES_MAX + (storage->size >> 20) + 1, TW_DIGEST_SIZE);
	assert(sink->held && sink->digests);
	tw_ranges_init(&sink->written, 1 << 20);
	tw_ranges_init(&sink->verified, 1 << 20);
	tw_ranges_init(&sink->digests_known, 1 << 20);
	job->sink = sink;
	return 0;
}

static inline int fake_manifest(struct tw_sink *sink, const uint8_t *bytes, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++) {
		struct fake_entry *entry = &sink->entries[sink->count];

		if (sink->complete)
			return TW_E_FORMAT;
		sink->record[sink->record_length++] = bytes[i];
		if (sink->record[0] == 'E') {
			sink->complete = true;
			continue;
		}
		if (sink->record[0] == 'U')
			return TW_E_UNSAFE;
		if (sink->record[0] != 'F')
			return TW_E_FORMAT;
		if (sink->record_length < FAKE_RECORD)
			continue;
		if (sink->count == FAKE_ENTRIES_MAX)
			return TW_E_FULL;
		memcpy(&entry->size, sink->record + 2, 8);
		entry->start = sink->tape_size;
		entry->chunk = sink->chunk_count;
		if (entry->size > sink->storage->size - sink->tape_size)
			return TW_E_FORMAT;
		sink->tape_size += entry->size;
		sink->chunk_count += (entry->size + TW_CHUNK_SIZE - 1) / TW_CHUNK_SIZE;
		sink->count++;
		sink->record_length = 0;
	}
	return sink->complete ? TW_E_END : 0;
}

static inline void fake_chunk_bounds(const struct fake_entry *entry, uint64_t chunk,
				     uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t end = entry->start + entry->size;

	*ret_start = entry->start + (chunk - entry->chunk) * TW_CHUNK_SIZE;
	*ret_end = end - *ret_start > TW_CHUNK_SIZE ? *ret_start + TW_CHUNK_SIZE : end;
}

static inline void fake_hold(struct tw_sink *sink, uint64_t start, uint64_t end)
{
	struct tw_range *last = sink->held_count ? &sink->held[sink->held_count - 1] : NULL;

	sink->progress.bytes_held += end - start;
	assert(!tw_ranges_add(&sink->written, start, end));
	if (last && sink->held_count > sink->held_first && last->end == start) {
		last->end = end;
		return;
	}
	assert(sink->held_count < FAKE_ENTRIES_MAX * 8);
	sink->held[sink->held_count++] = (struct tw_range){ start, end };
}

static inline void fake_hold_chunk(struct tw_sink *sink, const struct fake_entry *entry,
				   uint64_t chunk)
{
	struct fake_storage *storage = sink->storage;
	struct tw_range range;
	uint64_t start, end, at;

	fake_chunk_bounds(entry, chunk, &start, &end);
	if (tw_ranges_contain(&storage->verified, chunk, chunk + 1)) {
		fake_hold(sink, start, end);
		assert(!tw_ranges_add(&sink->verified, chunk, chunk + 1));
		return;
	}
	/* Whole but never checked: its digest would not come again. */
	if (tw_ranges_contain(&storage->journaled, start, end))
		return;
	for (at = start; tw_ranges_next(&storage->journaled, at, end, &range); at = range.end)
		fake_hold(sink, range.start, range.end);
}

static inline int fake_prepare(struct tw_job *job)
{
	struct tw_sink *sink = job->sink;
	unsigned budget = 100;

	job->held_count = 0;
	job->ready = 0;
	while (sink->prepared < sink->count && budget--) {
		const struct fake_entry *entry = &sink->entries[sink->prepared++];
		uint64_t chunks = (entry->size + TW_CHUNK_SIZE - 1) / TW_CHUNK_SIZE, i;

		for (i = 0; i < chunks; i++)
			fake_hold_chunk(sink, entry, entry->chunk + i);
		sink->ready = entry->start + entry->size;
	}
	while (sink->held_first < sink->held_count && job->held_count < TW_JOB_HELD_MAX)
		job->held[job->held_count++] = sink->held[sink->held_first++];
	job->prepare_more = sink->held_first < sink->held_count || sink->prepared < sink->count;
	if (sink->held_first == sink->held_count)
		job->ready = sink->ready;
	job->total_chunks = 0;
	if (sink->prepared)
		job->total_chunks = sink->entries[sink->prepared - 1].chunk +
				    (sink->entries[sink->prepared - 1].size + TW_CHUNK_SIZE - 1) /
					    TW_CHUNK_SIZE;
	return sink->complete && !job->prepare_more ? TW_E_END : 0;
}

static inline bool fake_entry_whole(const struct tw_sink *sink, size_t index)
{
	const struct fake_entry *entry = &sink->entries[index];
	uint64_t chunks = (entry->size + TW_CHUNK_SIZE - 1) / TW_CHUNK_SIZE;

	return tw_ranges_contain(&sink->verified, entry->chunk, entry->chunk + chunks) &&
	       (!sink->sha256 || sink->entry_sha[index]);
}

static inline void fake_check_chunk(struct tw_sink *sink, const struct fake_entry *entry,
				    size_t index, uint64_t chunk)
{
	uint64_t start, end;
	struct tw_digest digest;

	fake_chunk_bounds(entry, chunk, &start, &end);
	if (!tw_ranges_contain(&sink->written, start, end) || sink->entry_bad[index] ||
	    !tw_ranges_contain(&sink->digests_known, chunk, chunk + 1) ||
	    tw_ranges_contain(&sink->verified, chunk, chunk + 1))
		return;
	digest = fake_digest(sink->storage->tape + start, end - start);
	if (!memcmp(&digest, &sink->digests[chunk], sizeof(digest))) {
		assert(!tw_ranges_add(&sink->verified, chunk, chunk + 1));
		return;
	}
	assert(!tw_ranges_remove(&sink->written, start, end));
	fake_event(sink, TW_SINK_AGAIN, index, 0, start, end);
}

static inline int fake_store(struct tw_sink *sink, uint64_t offset, const uint8_t *bytes,
			     uint64_t length)
{
	struct fake_storage *storage = sink->storage;
	uint64_t end = offset + length;

	assert(end <= sink->ready);
	if (storage->full_at && storage->written + length > storage->full_at)
		return -ENOSPC;
	storage->written += length;
	storage->written_twice += tw_ranges_overlap(&sink->written, offset, end);
	assert(!tw_ranges_add(&sink->written, offset, end));
	sink->progress.bytes_written += length;
	if (bytes)
		memcpy(storage->tape + offset, bytes, length);
	else
		memset(storage->tape + offset, 0, length);
	while (offset < end) {
		size_t index = fake_find(sink->entries, sink->count, offset);
		const struct fake_entry *entry = &sink->entries[index];
		uint64_t chunk = entry->chunk + (offset - entry->start) / TW_CHUNK_SIZE, start;

		fake_chunk_bounds(entry, chunk, &start, &offset);
		if (!bytes)
			assert(!tw_ranges_add(&sink->verified, chunk, chunk + 1));
		else
			fake_check_chunk(sink, entry, index, chunk);
	}
	return 0;
}

static inline int fake_digests(struct tw_sink *sink, const struct tw_block *block)
{
	uint64_t chunk;
	size_t i;

	if (block->chunk_first > sink->chunk_count ||
	    block->chunk_count > sink->chunk_count - block->chunk_first)
		return TW_E_FORMAT;
	assert(!tw_ranges_add(&sink->digests_known, block->chunk_first,
			      block->chunk_first + block->chunk_count));
	for (i = 0; i < block->chunk_count; i++) {
		size_t low = 0, high = sink->count;

		chunk = block->chunk_first + i;
		sink->digests[chunk] = block->digests[i];
		while (low < high) {
			size_t middle = low + (high - low) / 2;
			const struct fake_entry *entry = &sink->entries[middle];

			if (entry->chunk + (entry->size + TW_CHUNK_SIZE - 1) / TW_CHUNK_SIZE <=
			    chunk)
				low = middle + 1;
			else
				high = middle;
		}
		fake_check_chunk(sink, &sink->entries[low], low, chunk);
	}
	return 0;
}

static inline void fake_finish_files(struct tw_sink *sink)
{
	bool all = sink->complete && sink->prepared == sink->count;
	size_t i;

	for (i = 0; i < sink->prepared; i++) {
		if (sink->entry_done[i] || sink->entry_bad[i])
			continue;
		if (!fake_entry_whole(sink, i)) {
			all = false;
			continue;
		}
		sink->entry_done[i] = true;
		if (tw_ranges_contain(&sink->storage->done, i, i + 1)) {
			sink->progress.files_skipped++;
			fake_event(sink, TW_SINK_FILE_SKIPPED, i, 0, 0, 0);
			continue;
		}
		assert(!tw_ranges_add(&sink->storage->done, i, i + 1));
		sink->progress.files_done++;
		fake_event(sink, TW_SINK_FILE_DONE, i, 0, 0, 0);
	}
	if (all && !sink->all_told) {
		sink->all_told = true;
		sink->progress.bytes_durable = sink->written.total;
		memset(sink->progress.digest.bytes, 0x5a, TW_DIGEST_SIZE);
		fake_event(sink, TW_SINK_ALL_DONE, 0, 0, 0, 0);
	}
}

static inline int fake_checkpoint(struct tw_sink *sink)
{
	struct fake_storage *storage = sink->storage;
	size_t i;

	for (i = 0; i < sink->written.count; i++)
		assert(!tw_ranges_add(&storage->journaled, sink->written.at[i].start,
				      sink->written.at[i].end));
	for (i = 0; i < sink->verified.count; i++)
		assert(!tw_ranges_add(&storage->verified, sink->verified.at[i].start,
				      sink->verified.at[i].end));
	sink->progress.bytes_durable = sink->written.total;
	fake_finish_files(sink);
	return 0;
}

static inline int fake_abandon(struct tw_sink *sink, uint64_t index)
{
	if (index >= sink->count)
		return TW_E_FORMAT;
	if (sink->entry_bad[index] || sink->entry_done[index])
		return 0;
	sink->entry_bad[index] = true;
	sink->progress.files_failed++;
	fake_event(sink, TW_SINK_FILE_FAILED, index, -EIO, 0, 0);
	return 0;
}

static inline int fake_check_sha256(struct tw_job *job)
{
	if (job->entry >= job->sink->count)
		return TW_E_FORMAT;
	if (job->sha256[0] != (job->entry & 0xff))
		return 0;
	job->sink->entry_sha[job->entry] = true;
	job->sink->storage->shas++;
	return 0;
}

static inline void fake_sink_free(struct tw_sink *sink)
{
	tw_ranges_deinit(&sink->written);
	tw_ranges_deinit(&sink->verified);
	tw_ranges_deinit(&sink->digests_known);
	sink->storage->sinks_open--;
	free(sink->held);
	free(sink->digests);
	free(sink->events);
	free(sink);
}

static inline int fake_write(struct tw_job *job)
{
	size_t i;
	int error = 0;

	for (i = 0; i < job->piece_count && !error; i++)
		error = fake_store(job->sink, job->pieces[i].offset, job->pieces[i].bytes,
				   job->pieces[i].length);
	return error;
}

static inline int fake_run(struct tw_job *job)
{
	switch (job->type) {
	case TW_JOB_WALK:
		return fake_walk(job);
	case TW_JOB_READ:
		return fake_read(job);
	case TW_JOB_SHA256:
		return fake_sha256(job);
	case TW_JOB_ENTRY:
		return fake_entry_of(job);
	case TW_JOB_SOURCE_FREE:
		free(job->encoder);
		job->encoder = NULL;
		job->source->freed = true;
		return 0;
	case TW_JOB_SINK_OPEN:
		return fake_open(job);
	case TW_JOB_MANIFEST: {
		int error = fake_manifest(job->sink, job->bytes, job->length);

		job->held_count = 0;
		job->ready = 0;
		job->prepare_more = false;
		return error && error != TW_E_END ? error : fake_prepare(job);
	}
	case TW_JOB_PREPARE:
		return fake_prepare(job);
	case TW_JOB_WRITE:
		return fake_write(job);
	case TW_JOB_HOLE:
		return fake_store(job->sink, job->offset, NULL, job->limit - job->offset);
	case TW_JOB_DIGESTS:
		return fake_digests(job->sink, &job->block);
	case TW_JOB_CHECK_SHA256:
		return fake_check_sha256(job);
	case TW_JOB_ABANDON:
		return fake_abandon(job->sink, job->entry);
	case TW_JOB_SETTLE:
		fake_finish_files(job->sink);
		return 0;
	case TW_JOB_CHECKPOINT:
		return fake_checkpoint(job->sink);
	case TW_JOB_SINK_FREE:
		fake_sink_free(job->sink);
		job->sink = NULL;
		return 0;
	}
	return -EINVAL;
}

/* What src/content/job.c does with real content. */
void tw_job_run(struct tw_job *job)
{
	struct tw_sink *sink;

	job->problem_count = job->event_count = 0;
	job->events_more = false;
	job->offender[0] = 0;
	job->result = fake_run(job);
	if (job->type <= TW_JOB_SOURCE_FREE || !job->sink)
		return;
	sink = job->sink;
	while (sink->event_first < sink->event_count && job->event_count < TW_JOB_EVENTS_MAX)
		job->events[job->event_count++] = sink->events[sink->event_first++];
	job->events_more = job->event_count == TW_JOB_EVENTS_MAX;
	job->progress = sink->progress;
}
