#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "content/names.h"
#include "content/sink_internal.h"

/* Ranges of a file in a journal: far more than any transfer makes, far less than memory. */
#define REMAINS_RANGES_MAX ((size_t)1 << 20)

static void free_remains(struct sink_resumed *resumed)
{
	struct sink_remains *remains = resumed->remains;

	if (!remains)
		return;
	tw_ranges_deinit(&remains->bytes);
	tw_ranges_deinit(&remains->zeros);
	free(remains->chunks);
	free(remains);
	resumed->remains = NULL;
}

void tw_sink_forget_resumed(struct tw_sink *sink, uint64_t path_hash)
{
	struct sink_resumed *resumed = tw_map_take(&sink->resumed, path_hash);

	if (!resumed)
		return;
	free_remains(resumed);
	free(resumed);
}

void tw_sink_free_resumed(struct tw_sink *sink)
{
	struct sink_resumed *resumed;
	uint64_t key;
	size_t at = 0;

	while ((resumed = tw_map_next(&sink->resumed, &at, &key))) {
		free_remains(resumed);
		free(resumed);
	}
	tw_map_deinit(&sink->resumed);
}

static int take_entry(struct tw_sink *sink, const struct tw_journal_record *record)
{
	struct sink_resumed *resumed = tw_map_get(&sink->resumed, record->path_hash);
	int r;

	if (resumed) {
		if (resumed->size == record->size && resumed->mtime_ns == record->mtime_ns)
			return 0;
		free_remains(resumed);
		resumed->done = false;
	} else {
		resumed = calloc(1, sizeof(*resumed));
		if (!resumed)
			return -ENOMEM;
		r = tw_map_set(&sink->resumed, record->path_hash, resumed);
		if (r) {
			free(resumed);
			return r;
		}
	}
	resumed->size = record->size;
	resumed->mtime_ns = record->mtime_ns;
	return 0;
}

static struct sink_remains *get_remains(struct sink_resumed *resumed)
{
	struct sink_remains *remains = resumed->remains;

	if (remains)
		return remains;
	remains = calloc(1, sizeof(*remains));
	if (!remains)
		return NULL;
	tw_ranges_init(&remains->bytes, REMAINS_RANGES_MAX);
	tw_ranges_init(&remains->zeros, REMAINS_RANGES_MAX);
	resumed->remains = remains;
	return remains;
}

static int add_chunk(struct sink_remains *remains, uint64_t index, const struct tw_digest *digest)
{
	if (remains->count == remains->room) {
		size_t room = remains->room * 2 + 1;
		struct sink_chunk_note *chunks = realloc(remains->chunks, room * sizeof(*chunks));

		if (!chunks)
			return -ENOMEM;
		remains->chunks = chunks;
		remains->room = room;
	}
	remains->chunks[remains->count++] = (struct sink_chunk_note){ index, *digest };
	return 0;
}

/* A record about bytes. Figures outside the file come from no journal of ours: they are passed
 * over. */
static int take_remains(struct sink_resumed *resumed, const struct tw_journal_record *record)
{
	uint64_t chunks = (resumed->size + TW_CHUNK_SIZE - 1) / TW_CHUNK_SIZE;
	uint64_t limit = record->type == TW_JOURNAL_RANGE ? resumed->size : chunks;
	struct sink_remains *remains = get_remains(resumed);
	int r;

	if (!remains)
		return -ENOMEM;
	if (record->type == TW_JOURNAL_CHUNK)
		return record->start < chunks ? add_chunk(remains, record->start, &record->digest)
					      : 0;
	if (record->start > record->end || record->end > limit)
		return 0;
	r = tw_ranges_add(record->type == TW_JOURNAL_RANGE ? &remains->bytes : &remains->zeros,
			  record->start, record->end);
	/* Too many pieces: what does not fit is sent again. */
	return r == TW_E_FULL ? 0 : r;
}

static int take_record(void *context, const struct tw_journal_record *record)
{
	struct tw_sink *sink = context;
	struct sink_resumed *resumed;

	switch (record->type) {
	case TW_JOURNAL_ENTRY:
		return take_entry(sink, record);
	case TW_JOURNAL_RANGE:
	case TW_JOURNAL_CHUNK:
	case TW_JOURNAL_HOLE:
		resumed = tw_map_get(&sink->resumed, record->path_hash);
		return resumed ? take_remains(resumed, record) : 0;
	case TW_JOURNAL_DONE:
		resumed = tw_map_get(&sink->resumed, record->path_hash);
		if (resumed) {
			free_remains(resumed);
			resumed->done = true;
			resumed->digest = record->digest;
		}
		return 0;
	case TW_JOURNAL_ABANDONED:
		tw_sink_forget_resumed(sink, record->path_hash);
		return 0;
	case TW_JOURNAL_BOOT:
	case TW_JOURNAL_FLUSHED:
	case TW_JOURNAL_LOST:
		return 0;
	}
	return 0;
}

int tw_sink_load_journal(struct tw_sink *sink)
{
	char hex[2 * TW_TRANSFER_KEY_SIZE + 1];
	int r = 0;

	tw_text_hex(sink->options.transfer_key, TW_TRANSFER_KEY_SIZE, hex);
	snprintf(sink->journal_path, sizeof(sink->journal_path), "%s/%s.journal", TW_STATE_FOLDER,
		 hex);
	/* Another transfer may take the empty folder away between the two steps. */
	for (unsigned i = 0; i < 3; i++) {
		r = sink->fs.ops->mkdir(sink->fs.context, TW_STATE_FOLDER, 0700);
		if (r && r != -EEXIST)
			return r;
		r = tw_journal_open(&sink->fs, sink->journal_path, take_record, sink,
				    &sink->journal);
		if (r != -ENOENT)
			break;
	}
	sink->names_changed = true;
	sink->journal_changed = true;
	return r;
}

static int compare_notes(const void *a, const void *b)
{
	const struct sink_chunk_note *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

bool tw_sink_remains_whole(struct tw_sink *sink, const struct tw_entry *entry,
			   const struct sink_remains *remains, struct tw_digest *ret)
{
	uint64_t chunks = tw_entry_chunks(entry), next = 0;
	struct tw_digest_state *fold;
	struct tw_digest digest = { 0 };
	size_t i = 0;

	if (!chunks || remains->count + remains->zeros.total < chunks)
		return false;
	fold = tw_digest_new();
	if (!fold)
		return false;
	if (remains->count)
		qsort(remains->chunks, remains->count, sizeof(*remains->chunks), compare_notes);
	for (; next < chunks; next++) {
		while (i < remains->count && remains->chunks[i].index < next)
			i++;
		if (tw_ranges_contain(&remains->zeros, next, next + 1))
			digest = tw_sink_zeros_digest(sink, entry, next);
		else if (i < remains->count && remains->chunks[i].index == next)
			digest = remains->chunks[i].digest;
		else
			break;
		tw_digest_update(fold, digest.bytes, sizeof(digest.bytes));
	}
	if (next == chunks)
		*ret = chunks == 1 ? digest : tw_digest_final(fold);
	tw_digest_free(fold);
	return next == chunks;
}

/* A chunk of which some bytes were written and nothing was checked. */
static int restore_part(struct tw_sink *sink, uint64_t number, uint64_t index,
			const struct sink_remains *remains)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, number);
	uint64_t start = index * TW_CHUNK_SIZE, end = start + TW_CHUNK_SIZE;
	struct sink_chunk *chunk;
	struct tw_range range;
	uint64_t at, held_end;
	int r;

	if (end > entry->size)
		end = entry->size;
	/*
	 * All of it: its digest never came, and comes only with bytes. So its last bytes are asked
	 * for once more.
	 */
	held_end = end;
	if (tw_ranges_contain(&remains->bytes, start, end))
		held_end = end - (end - start < SINK_TAIL ? end - start : SINK_TAIL);
	if (!tw_ranges_next(&remains->bytes, start, held_end, &range))
		return 0;
	r = tw_sink_chunk_get(sink, number, entry->chunk_first + index, &chunk);
	if (r)
		return r == TW_E_FULL ? 0 : r;
	for (at = start; tw_ranges_next(&remains->bytes, at, held_end, &range); at = range.end) {
		r = tw_ranges_add(&chunk->have, range.start - start, range.end - start);
		if (!r)
			r = tw_ranges_add(&chunk->journaled, range.start - start,
					  range.end - start);
		if (r)
			return r == TW_E_FULL ? 0 : r;
		chunk->held += (uint32_t)(range.end - range.start);
	}
	for (size_t i = 0; i < chunk->have.count; i++) {
		const struct tw_range *have = &chunk->have.at[i];

		r = tw_sink_add_held(sink, entry->tape_start + start + have->start,
				     entry->tape_start + start + have->end);
		if (r)
			return r;
	}
	sink->progress.bytes_held += chunk->held;
	return 0;
}

/* Chunks [first, past) are checked: told as held. */
static int hold_chunks(struct tw_sink *sink, const struct tw_entry *entry, uint64_t first,
		       uint64_t past)
{
	uint64_t start = first * TW_CHUNK_SIZE, end = past * TW_CHUNK_SIZE;

	if (end > entry->size)
		end = entry->size;
	sink->progress.bytes_held += end - start;
	return tw_sink_add_held(sink, entry->tape_start + start, entry->tape_start + end);
}

/* In the order of the tape: chunks that are checked, and the parts between them. */
static int restore_held(struct tw_sink *sink, const struct sink_file *file,
			const struct sink_remains *remains)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, file->entry);
	uint64_t index = 0, chunks = tw_entry_chunks(entry);
	struct tw_range whole, bytes;
	int r = 0;

	while (!r && index < chunks) {
		bool known = tw_ranges_next(&file->whole, index, chunks, &whole);

		if (known && whole.start == index) {
			r = hold_chunks(sink, entry, whole.start, whole.end);
			index = whole.end;
			continue;
		}
		/* On to the next chunk of which anything is there. */
		if (!tw_ranges_next(&remains->bytes, index * TW_CHUNK_SIZE, entry->size, &bytes))
			bytes.start = entry->size;
		if (bytes.start / TW_CHUNK_SIZE > index) {
			index = bytes.start == entry->size ? chunks : bytes.start / TW_CHUNK_SIZE;
			if (known && whole.start < index)
				index = whole.start;
			continue;
		}
		r = bytes.start == entry->size ? 0
					       : restore_part(sink, file->entry, index, remains);
		index++;
	}
	return r;
}

int tw_sink_restore(struct tw_sink *sink, uint64_t entry, struct sink_remains *remains)
{
	struct tw_range zeros;
	struct sink_file *file;
	int r;

	r = tw_sink_file_get(sink, entry, &file);
	if (r)
		return r;
	file->exists = true;
	file->sized = true;
	file->journaled = true;
	for (uint64_t at = 0; !r && tw_ranges_next(&remains->zeros, at, file->chunks, &zeros);
	     at = zeros.end)
		r = tw_sink_file_add_holes(sink, file, zeros.start, zeros.end);
	if (remains->count)
		qsort(remains->chunks, remains->count, sizeof(*remains->chunks), compare_notes);
	for (size_t i = 0; !r && i < remains->count; i++)
		r = tw_sink_file_add_chunk(sink, file, remains->chunks[i].index,
					   &remains->chunks[i].digest);
	if (!r)
		r = restore_held(sink, file, remains);
	if (!r && file->whole.total == file->chunks)
		r = tw_sink_file_whole(sink, file);
	return r;
}
