#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "content/sink_internal.h"

/* How many pieces are put in order at a time. */
#define GROUP_MAX 64

static void release_hash(struct sink_chunk *chunk)
{
	if (!chunk->hash)
		return;
	chunk->hash->chunk = NULL;
	chunk->hash->used = 0;
	chunk->hash = NULL;
}

/* A state for @chunk, which begins: taken from the chunk that rested longest when all are in use.
 */
static int acquire_hash(struct tw_sink *sink, struct sink_chunk *chunk)
{
	struct sink_hash *best = &sink->hashes[0];

	for (unsigned i = 0; i < SINK_HASHES && best->chunk; i++) {
		if (!sink->hashes[i].chunk || sink->hashes[i].used < best->used)
			best = &sink->hashes[i];
	}
	if (!best->state)
		best->state = tw_digest_new();
	if (!best->state)
		return -ENOMEM;
	if (best->chunk) {
		best->chunk->hash = NULL;
		best->chunk->hashed = 0;
	}
	tw_digest_reset(best->state);
	best->chunk = chunk;
	chunk->hash = best;
	chunk->hashed = 0;
	return 0;
}

int tw_sink_chunk_get(struct tw_sink *sink, uint64_t index, uint64_t number,
		      struct sink_chunk **ret)
{
	struct sink_chunk *chunk = tw_map_get(&sink->chunks, number);
	const struct tw_entry *entry;
	uint64_t left;
	int r;

	if (chunk) {
		*ret = chunk;
		return 0;
	}
	if (sink->chunks.count >= SINK_CHUNKS_MAX)
		return TW_E_FULL;
	chunk = calloc(1, sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	chunk->number = number;
	chunk->entry = index;
	entry = tw_manifest_entry(sink->manifest, chunk->entry);
	chunk->start = (number - entry->chunk_first) * TW_CHUNK_SIZE;
	left = entry->size - chunk->start;
	chunk->length = (uint32_t)(left < TW_CHUNK_SIZE ? left : TW_CHUNK_SIZE);
	tw_ranges_init(&chunk->have, SINK_CHUNK_RANGES_MAX);
	tw_ranges_init(&chunk->journaled, SINK_CHUNK_RANGES_MAX);
	r = tw_map_set(&sink->chunks, number, chunk);
	if (r) {
		free(chunk);
		return r;
	}
	*ret = chunk;
	return 0;
}

void tw_sink_chunk_mark(struct tw_sink *sink, struct sink_chunk *chunk)
{
	if (chunk->dirty || !sink->journal)
		return;
	chunk->dirty = true;
	chunk->previous = NULL;
	chunk->next = sink->dirty;
	if (chunk->next)
		chunk->next->previous = chunk;
	sink->dirty = chunk;
}

static void unmark(struct tw_sink *sink, struct sink_chunk *chunk)
{
	if (!chunk->dirty)
		return;
	if (chunk->previous)
		chunk->previous->next = chunk->next;
	else
		sink->dirty = chunk->next;
	if (chunk->next)
		chunk->next->previous = chunk->previous;
	chunk->dirty = false;
}

static void free_buffer(struct tw_sink *sink, struct sink_chunk *chunk)
{
	if (!chunk->buffer)
		return;
	free(chunk->buffer);
	chunk->buffer = NULL;
	sink->buffer_count--;
}

void tw_sink_chunk_free(struct tw_sink *sink, struct sink_chunk *chunk)
{
	tw_map_take(&sink->chunks, chunk->number);
	unmark(sink, chunk);
	release_hash(chunk);
	free_buffer(sink, chunk);
	tw_ranges_deinit(&chunk->have);
	tw_ranges_deinit(&chunk->journaled);
	free(chunk);
}

uint64_t tw_sink_find(struct tw_sink *sink, uint64_t offset)
{
	uint64_t count = tw_manifest_count(sink->manifest);

	/* Most pieces continue the last one: in the same entry or in one of the next. */
	for (uint64_t i = sink->found; i < count && i < sink->found + 4; i++) {
		const struct tw_entry *entry = tw_manifest_entry(sink->manifest, i);

		if (offset < entry->tape_start)
			break;
		if (offset - entry->tape_start < entry->size)
			return sink->found = i;
	}
	return sink->found = tw_manifest_find(sink->manifest, offset);
}

/* The digest did not come true, or nobody knows why: all of the chunk is wanted again. */
static int start_again(struct tw_sink *sink, struct sink_chunk *chunk)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, chunk->entry);
	uint64_t start = entry->tape_start + chunk->start;
	struct sink_file *file = tw_map_get(&sink->files, chunk->entry);

	if (chunk->tries == SINK_TRIES_MAX)
		return tw_sink_end_entry(sink, chunk->entry, SINK_FAILED, TW_E_DIGEST);
	chunk->tries++;
	sink->progress.bytes_held -= chunk->held;
	sink->progress.bytes_written -= chunk->have.total - chunk->held;
	chunk->held = 0;
	chunk->hashed = 0;
	chunk->computed_known = false;
	release_hash(chunk);
	free_buffer(sink, chunk);
	unmark(sink, chunk);
	tw_ranges_clear(&chunk->have);
	tw_ranges_clear(&chunk->journaled);
	/* What stands there now is not zeros any more. */
	if (file)
		file->fresh = false;
	return tw_sink_ask_again(sink, chunk->entry, start, start + chunk->length);
}

/* All bytes are there and hashed, and the sender's digest is known. */
static int prove(struct tw_sink *sink, struct sink_chunk *chunk)
{
	struct tw_journal_record record = { .type = TW_JOURNAL_CHUNK };
	struct sink_file *file;
	int r;

	if (memcmp(&chunk->computed, &chunk->expected, sizeof(chunk->computed)) != 0)
		return start_again(sink, chunk);
	r = tw_sink_file_get(sink, chunk->entry, &file);
	if (r)
		return r;
	record.start = chunk->start / TW_CHUNK_SIZE;
	record.digest = chunk->computed;
	if (sink->journal) {
		r = tw_sink_file_journal(sink, file);
		record.path_hash = tw_sink_path_hash(sink, tw_sink_path(sink, chunk->entry));
		if (!r)
			r = tw_sink_journal_add(sink, &record);
		if (r)
			return r;
	}
	r = tw_sink_file_add_chunk(sink, file, record.start, &chunk->computed);
	if (r)
		return r;
	tw_sink_chunk_free(sink, chunk);
	return file->whole.total == file->chunks ? tw_sink_file_whole(sink, file) : 0;
}

/* Hashes the bytes [chunk->hashed, @end), which are in the file. */
static int read_back(struct tw_sink *sink, struct sink_chunk *chunk, uint32_t end)
{
	struct sink_file *file = NULL;
	int r;

	r = tw_sink_file_get(sink, chunk->entry, &file);
	if (!r)
		r = tw_sink_file_open(sink, file, false);
	while (!r && chunk->hashed < end) {
		size_t n = end - chunk->hashed;
		int64_t got;

		if (n > SINK_SCRATCH)
			n = SINK_SCRATCH;
		got = sink->fs.ops->read(file->handle, sink->scratch, n,
					 chunk->start + chunk->hashed);
		if (got < 0)
			return (int)got;
		if ((size_t)got < n)
			return -EIO;
		tw_digest_update(chunk->hash->state, sink->scratch, n);
		chunk->hashed += (uint32_t)n;
	}
	return r;
}

/* All bytes are there: the chunk's digest. */
static int compute(struct tw_sink *sink, struct sink_chunk *chunk)
{
	int r;

	if (chunk->computed_known)
		return 0;
	if (chunk->buffer) {
		chunk->computed = tw_digest_of(chunk->buffer, chunk->length);
		free_buffer(sink, chunk);
	} else {
		r = chunk->hash ? 0 : acquire_hash(sink, chunk);
		if (!r)
			r = read_back(sink, chunk, chunk->length);
		if (r)
			return r;
		chunk->computed = tw_digest_final(chunk->hash->state);
		release_hash(chunk);
	}
	chunk->computed_known = true;
	return 0;
}

/* Hashes bytes that have just been written at @at, as far as they continue what was hashed. */
static int hash_passing(struct tw_sink *sink, struct sink_chunk *chunk, uint32_t at,
			const uint8_t *bytes, uint32_t length)
{
	struct tw_range behind;
	int r;

	if (length == chunk->length) {
		chunk->computed = tw_digest_of(bytes, length);
		chunk->computed_known = true;
		return 0;
	}
	if (!at && !chunk->hash) {
		r = acquire_hash(sink, chunk);
		if (r)
			return r;
	}
	if (!chunk->hash || at != chunk->hashed)
		return 0;
	chunk->hash->used = ++sink->clock;
	tw_digest_update(chunk->hash->state, bytes, length);
	chunk->hashed += length;
	/* A gap has closed: catch up with what lies behind it, so that hashing goes on in passing.
	 */
	if (tw_ranges_next(&chunk->have, chunk->hashed, chunk->length, &behind) &&
	    behind.start == chunk->hashed)
		return read_back(sink, chunk, (uint32_t)behind.end);
	return 0;
}

/* Without a file to read back from, a chunk is kept until it is whole. TW_E_FULL: too many are. */
static int keep_unwritten(struct tw_sink *sink, struct sink_chunk *chunk, uint32_t at,
			  const uint8_t *bytes, uint32_t length)
{
	if (length == chunk->length) {
		chunk->computed = tw_digest_of(bytes, length);
		chunk->computed_known = true;
		return 0;
	}
	if (!chunk->buffer) {
		if (sink->buffer_count == SINK_BUFFERS_MAX)
			return TW_E_FULL;
		chunk->buffer = malloc(chunk->length);
		if (!chunk->buffer)
			return -ENOMEM;
		sink->buffer_count++;
	}
	memcpy(chunk->buffer + at, bytes, length);
	return 0;
}

static int ask_again(struct tw_sink *sink, uint64_t index, uint64_t at, uint64_t length)
{
	uint64_t start = tw_manifest_entry(sink->manifest, index)->tape_start + at;

	return tw_sink_ask_again(sink, index, start, start + length);
}

/* Bytes [at, at + length) of @chunk have been written: into the account. */
static int account(struct tw_sink *sink, struct sink_chunk *chunk, uint32_t at,
		   const uint8_t *bytes, uint32_t length)
{
	int r;

	r = sink->options.write_content ? hash_passing(sink, chunk, at, bytes, length)
					: keep_unwritten(sink, chunk, at, bytes, length);
	if (!r)
		r = tw_ranges_add(&chunk->have, at, at + length);
	/* Crumbs without end: what does not fit into the account has to come again. */
	if (r == TW_E_FULL)
		return ask_again(sink, chunk->entry, chunk->start + at, length);
	if (r)
		return r;
	sink->progress.bytes_written += length;
	sink->since_journal += length;
	tw_sink_chunk_mark(sink, chunk);
	if (chunk->have.total < chunk->length)
		return 0;
	r = compute(sink, chunk);
	if (r) {
		/* As if the last bytes had not come: when they are handed in again, so is this. */
		tw_ranges_remove(&chunk->have, at, at + length);
		sink->progress.bytes_written -= length;
		return r;
	}
	return chunk->expected_known ? prove(sink, chunk) : 0;
}

static int write_run(struct tw_sink *sink, const struct sink_run *run, int count)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, run->entry);
	struct sink_file *file;
	int r;

	if (!sink->options.write_content)
		return 0;
	r = tw_sink_file_get(sink, run->entry, &file);
	if (!r)
		r = tw_sink_file_open(sink, file, run->end - run->start == entry->size);
	if (!r)
		r = sink->fs.ops->write(file->handle, run->pieces, count, run->start);
	if (r)
		return r;
	file->sized = true;
	tw_sink_file_changed(sink, file);
	return 0;
}

int tw_sink_flush_run(struct tw_sink *sink)
{
	const struct sink_run *run = &sink->run;
	uint64_t at = run->start;
	int count = run->count, r;

	if (!count)
		return 0;
	sink->run.count = 0;
	r = write_run(sink, run, count);
	if (r)
		return tw_sink_entry_error(r) ? tw_sink_end_entry(sink, run->entry, SINK_FAILED, r)
					      : r;
	/* The entry may end on the way, and its chunks with it. */
	for (int i = 0; i < count && sink->states[run->entry] == SINK_OWED && !r; i++) {
		uint32_t length = (uint32_t)run->pieces[i].iov_len;

		r = account(sink, run->chunks[i], (uint32_t)(at - run->chunks[i]->start),
			    run->pieces[i].iov_base, length);
		at += length;
	}
	return r;
}

static bool all_zeros(const uint8_t *bytes, size_t length)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, length - 1);
}

/* Zeros of a sparse file: into the account, not onto the storage. */
static int skip_zeros(struct tw_sink *sink, struct sink_file *file, struct sink_chunk *chunk,
		      const struct sink_segment *segment)
{
	int r;

	r = tw_sink_flush_run(sink);
	if (r || sink->states[file->entry] != SINK_OWED)
		return r;
	r = tw_sink_file_open(sink, file, false);
	if (r)
		return tw_sink_entry_error(r) ? tw_sink_end_entry(sink, file->entry, SINK_FAILED, r)
					      : r;
	return account(sink, chunk, (uint32_t)(segment->at - chunk->start), segment->bytes,
		       segment->length);
}

/* Bytes of one chunk that are not there yet join the run. */
static int add_segment(struct tw_sink *sink, struct sink_chunk *chunk,
		       const struct sink_segment *segment)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, chunk->entry);
	struct sink_run *run = &sink->run;
	struct sink_file *file;
	int r;

	if (entry->flags & TW_ENTRY_SPARSE && sink->options.write_content &&
	    all_zeros(segment->bytes, segment->length)) {
		r = tw_sink_file_get(sink, chunk->entry, &file);
		if (r)
			return r;
		if (!file->exists || file->fresh)
			return skip_zeros(sink, file, chunk, segment);
	}
	if (!run->count) {
		run->entry = chunk->entry;
		run->start = run->end = segment->at;
	}
	assert(run->entry == chunk->entry && run->end == segment->at);
	run->pieces[run->count] = (struct iovec){ (void *)segment->bytes, segment->length };
	run->chunks[run->count++] = chunk;
	run->end += segment->length;
	return run->count == SINK_RUN_MAX ? tw_sink_flush_run(sink) : 0;
}

/* The first stretch of [start, end) of the file that @chunk has not got. */
static bool next_gap(const struct sink_chunk *chunk, uint64_t start, uint64_t end,
		     struct tw_range *ret)
{
	if (!tw_ranges_next_gap(&chunk->have, start - chunk->start, end - chunk->start, ret))
		return false;
	ret->start += chunk->start;
	ret->end += chunk->start;
	return true;
}

/* The gaps of one chunk that [at, at + length) of the file can fill. */
static int fill_chunk(struct tw_sink *sink, uint64_t index, const struct sink_segment *segment)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, index);
	uint64_t number = segment->at / TW_CHUNK_SIZE, end = segment->at + segment->length;
	const struct sink_file *file = tw_map_get(&sink->files, index);
	struct sink_chunk *chunk;
	struct tw_range gap;
	bool more;
	int r;

	if (file && tw_ranges_contain(&file->whole, number, number + 1))
		return 0;
	r = tw_sink_chunk_get(sink, index, entry->chunk_first + number, &chunk);
	if (r == TW_E_FULL)
		return ask_again(sink, index, segment->at, segment->length);
	if (r)
		return r;
	more = next_gap(chunk, segment->at, end, &gap);
	while (!r && more && sink->states[index] == SINK_OWED) {
		const struct sink_segment part = {
			.at = gap.start,
			.bytes = segment->bytes + (gap.start - segment->at),
			.length = (uint32_t)(gap.end - gap.start),
		};

		/* Filling the last gap may complete the chunk, and that is its end: look before. */
		more = next_gap(chunk, gap.end, end, &gap);
		if (sink->run.count && sink->run.end != part.at)
			r = tw_sink_flush_run(sink);
		if (!r && sink->states[index] == SINK_OWED)
			r = add_segment(sink, chunk, &part);
	}
	return r;
}

int tw_sink_take(struct tw_sink *sink, uint64_t index, uint64_t at, const uint8_t *bytes,
		 uint64_t length)
{
	const struct sink_run *run = &sink->run;
	int r = 0;

	/* Bytes that are in the run are not in the account yet: no byte may be counted twice. */
	if (run->count && (run->entry != index || at != run->end))
		r = tw_sink_flush_run(sink);
	while (!r && length && sink->states[index] == SINK_OWED) {
		uint64_t left = TW_CHUNK_SIZE - at % TW_CHUNK_SIZE;
		struct sink_segment segment = { .at = at, .bytes = bytes };

		segment.length = (uint32_t)(length < left ? length : left);
		r = fill_chunk(sink, index, &segment);
		at += segment.length;
		bytes += segment.length;
		length -= segment.length;
	}
	return r;
}

static int take_piece(struct tw_sink *sink, const struct tw_sink_piece *piece)
{
	uint64_t offset = piece->offset, length = piece->length;
	const uint8_t *bytes = piece->bytes;
	int r = 0;

	while (!r && length) {
		uint64_t index = tw_sink_find(sink, offset);
		const struct tw_entry *entry = tw_manifest_entry(sink->manifest, index);
		uint64_t at = offset - entry->tape_start, n = entry->size - at;

		if (n > length)
			n = length;
		if (sink->states[index] == SINK_OWED)
			r = tw_sink_take(sink, index, at, bytes, n);
		offset += n;
		bytes += n;
		length -= n;
	}
	return r;
}

/* By offset; nearly in order already. */
static void sort(const struct tw_sink_piece *pieces, size_t count, uint8_t order[GROUP_MAX])
{
	for (size_t i = 0; i < count; i++) {
		size_t at = i;

		for (; at && pieces[order[at - 1]].offset > pieces[i].offset; at--)
			order[at] = order[at - 1];
		order[at] = (uint8_t)i;
	}
}

static int write_group(struct tw_sink *sink, const struct tw_sink_piece *pieces, size_t count)
{
	uint8_t order[GROUP_MAX];
	int r = 0;

	sort(pieces, count, order);
	for (size_t i = 0; !r && i < count; i++)
		r = take_piece(sink, &pieces[order[i]]);
	return r;
}

uint64_t tw_sink_ready(const struct tw_sink *sink)
{
	return sink->prepared < tw_manifest_count(sink->manifest)
		       ? tw_manifest_entry(sink->manifest, sink->prepared)->tape_start
		       : tw_manifest_tape_size(sink->manifest);
}

int tw_sink_write(struct tw_sink *sink, const struct tw_sink_piece *pieces, size_t count)
{
	uint64_t ready = tw_sink_ready(sink);
	int r = sink->broken;

	for (size_t i = 0; i < count; i++) {
		if (pieces[i].offset > ready || pieces[i].length > ready - pieces[i].offset)
			return TW_E_FORMAT;
	}
	sink->run.count = 0;
	for (size_t i = 0; !r && i < count; i += GROUP_MAX)
		r = write_group(sink, pieces + i, count - i < GROUP_MAX ? count - i : GROUP_MAX);
	if (!r)
		r = tw_sink_flush_run(sink);
	if (!r && sink->since_journal >= sink->options.journal_bytes)
		r = tw_sink_write_journal(sink);
	return r;
}

static int expect(struct tw_sink *sink, uint64_t index, uint64_t number,
		  const struct tw_digest *digest)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, index);
	const struct sink_file *file = tw_map_get(&sink->files, index);
	uint64_t own = number - entry->chunk_first;
	struct sink_chunk *chunk;
	int r;

	if (sink->states[index] != SINK_NEW && sink->states[index] != SINK_OWED)
		return 0;
	if (file && tw_ranges_contain(&file->whole, own, own + 1))
		return 0;
	r = tw_sink_chunk_get(sink, index, number, &chunk);
	if (r)
		return r;
	chunk->expected = *digest;
	chunk->expected_known = true;
	return chunk->computed_known ? prove(sink, chunk) : 0;
}

int tw_sink_digests(struct tw_sink *sink, uint64_t chunk_first, const struct tw_digest *digests,
		    size_t count)
{
	uint64_t chunks = tw_manifest_chunk_count(sink->manifest), index;
	int r = sink->broken;

	if (chunk_first > chunks || count > chunks - chunk_first)
		return TW_E_FORMAT;
	if (!count)
		return 0;
	index = tw_manifest_find_chunk(sink->manifest, chunk_first);
	for (size_t i = 0; !r && i < count; i++) {
		const struct tw_entry *entry = tw_manifest_entry(sink->manifest, index);

		while (chunk_first + i >= entry->chunk_first + tw_entry_chunks(entry))
			entry = tw_manifest_entry(sink->manifest, ++index);
		r = expect(sink, index, chunk_first + i, &digests[i]);
	}
	return r;
}
