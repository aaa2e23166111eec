#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "content/sink_internal.h"

static void forget(struct tw_sink *sink, struct sink_file *file, struct sink_chunk *chunk)
{
	if (chunk->have.count)
		file->fresh = false;
	sink->progress.bytes_held -= chunk->held;
	sink->progress.bytes_written -= chunk->have.total - chunk->held;
	tw_sink_chunk_free(sink, chunk);
}

/* The sender says zeros: what may have been written of these chunks before does not count. */
static void forget_chunks(struct tw_sink *sink, struct sink_file *file, uint64_t first,
			  uint64_t past)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, file->entry);
	struct sink_chunk *chunk;
	uint64_t key;

	/* A short hole among very many chunks, or a long one among few. */
	if (past - first <= sink->chunks.room) {
		for (key = first; key < past && sink->chunks.count; key++) {
			chunk = tw_map_get(&sink->chunks, entry->chunk_first + key);
			if (chunk)
				forget(sink, file, chunk);
		}
		return;
	}
	for (size_t at = 0; (chunk = tw_map_next(&sink->chunks, &at, &key));) {
		if (key < entry->chunk_first + first || key >= entry->chunk_first + past)
			continue;
		forget(sink, file, chunk);
		at--;
	}
}

static int write_zeros(struct tw_sink *sink, struct sink_file *file, uint64_t start, uint64_t end)
{
	int r = 0;

	while (!r && start < end) {
		uint64_t n = end - start < TW_CHUNK_SIZE ? end - start : TW_CHUNK_SIZE;
		const struct iovec piece = { (void *)tw_sink_zeros(), n };

		r = sink->fs.ops->write(file->handle, &piece, 1, start);
		start += n;
	}
	return r;
}

/* Zeros where something else may stand; real holes stay what they are. */
static int clear(struct tw_sink *sink, struct sink_file *file, uint64_t start, uint64_t end)
{
	while (start < end) {
		uint64_t data_start = start, data_end = end;
		int r = sink->fs.ops->next_data(file->handle, start, &data_start, &data_end);

		if (r == TW_E_END || (!r && data_start >= end))
			return 0;
		/* Storage that cannot tell: all of it. */
		if (r) {
			data_start = start;
			data_end = end;
		}
		if (data_end > end)
			data_end = end;
		r = write_zeros(sink, file, data_start, data_end);
		if (r)
			return r;
		start = data_end;
	}
	return 0;
}

static int journal_hole(struct tw_sink *sink, struct sink_file *file, const struct tw_range *hole)
{
	struct tw_journal_record record = {
		.type = TW_JOURNAL_HOLE,
		.start = hole->start,
		.end = hole->end,
	};
	int r;

	if (!sink->journal)
		return 0;
	r = tw_sink_file_journal(sink, file);
	record.path_hash = tw_sink_path_hash(sink, tw_sink_path(sink, file->entry));
	return r ? r : tw_sink_journal_add(sink, &record);
}

/* Chunks of one file, none of them known yet. */
static int make_hole(struct tw_sink *sink, struct sink_file *file, const struct tw_range *hole)
{
	uint64_t size = tw_manifest_entry(sink->manifest, file->entry)->size;
	uint64_t start = hole->start * TW_CHUNK_SIZE, end = hole->end * TW_CHUNK_SIZE;
	int r = 0;

	if (end > size)
		end = size;
	forget_chunks(sink, file, hole->start, hole->end);
	if (sink->options.write_content) {
		r = tw_sink_file_open(sink, file, false);
		if (!r && !file->fresh)
			r = clear(sink, file, start, end);
		if (r)
			return r;
		tw_sink_file_changed(sink, file);
	}
	r = tw_sink_file_add_holes(sink, file, hole->start, hole->end);
	if (!r)
		r = journal_hole(sink, file, hole);
	sink->progress.bytes_written += end - start;
	return r;
}

static int make_holes(struct tw_sink *sink, uint64_t index, uint64_t first, uint64_t past)
{
	struct sink_file *file;
	struct tw_range gap;
	int r;

	r = tw_sink_file_get(sink, index, &file);
	while (!r && tw_ranges_next_gap(&file->whole, first, past, &gap)) {
		r = make_hole(sink, file, &gap);
		first = gap.end;
	}
	if (r)
		return tw_sink_entry_error(r) ? tw_sink_end_entry(sink, index, SINK_FAILED, r) : r;
	return file->whole.total == file->chunks ? tw_sink_file_whole(sink, file) : 0;
}

/* Zeros that end or begin inside a chunk are bytes like others. */
static int take_zeros(struct tw_sink *sink, uint64_t index, uint64_t start, uint64_t end)
{
	int r = 0;

	while (!r && start < end && sink->states[index] == SINK_OWED) {
		uint64_t n = end - start < TW_CHUNK_SIZE ? end - start : TW_CHUNK_SIZE;

		r = tw_sink_take(sink, index, start, tw_sink_zeros(), n);
		start += n;
	}
	return r ? r : tw_sink_flush_run(sink);
}

/* The part [start, end) of one owed file. */
static int punch(struct tw_sink *sink, uint64_t index, uint64_t start, uint64_t end)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, index);
	uint64_t first = (start + TW_CHUNK_SIZE - 1) / TW_CHUNK_SIZE;
	uint64_t past = end == entry->size ? tw_entry_chunks(entry) : end / TW_CHUNK_SIZE;
	int r;

	if (first >= past)
		return take_zeros(sink, index, start, end);
	r = take_zeros(sink, index, start, first * TW_CHUNK_SIZE);
	if (!r && sink->states[index] == SINK_OWED)
		r = make_holes(sink, index, first, past);
	if (!r && past * TW_CHUNK_SIZE < end && sink->states[index] == SINK_OWED)
		r = take_zeros(sink, index, past * TW_CHUNK_SIZE, end);
	return r;
}

int tw_sink_hole(struct tw_sink *sink, uint64_t start, uint64_t end)
{
	int r = sink->broken;

	if (start > end || end > tw_sink_ready(sink))
		return TW_E_FORMAT;
	sink->run.count = 0;
	while (!r && start < end) {
		uint64_t index = tw_sink_find(sink, start);
		const struct tw_entry *entry = tw_manifest_entry(sink->manifest, index);
		uint64_t at = start - entry->tape_start, past = entry->size;

		if (end - entry->tape_start < past)
			past = end - entry->tape_start;
		if (sink->states[index] == SINK_OWED)
			r = punch(sink, index, at, past);
		start = entry->tape_start + past;
	}
	return r;
}
