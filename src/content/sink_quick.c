/*
 * sink_quick.c - what of a sink's work keeps nobody waiting. In the middle of a large file that
 * lies in memory bytes are copied and hashed, and journals are; everything else opens, flushes,
 * renames.
 */
#include "content/sink_internal.h"

static bool is_in_memory(const struct tw_sink *sink, const struct sink_file *file)
{
	return file->handle && sink->fs.ops->in_memory && sink->fs.ops->in_memory(file->handle);
}

/* @chunks: how many of its chunks may become whole at most. */
static bool is_in_the_middle(const struct tw_sink *sink, uint64_t index, uint64_t chunks)
{
	const struct sink_file *file = tw_map_get(&sink->files, index);

	return file && sink->states[index] == SINK_OWED &&
	       file->whole.total + chunks < file->chunks && !tw_sink_settle_is_due(sink) &&
	       is_in_memory(sink, file);
}

bool tw_sink_settle_is_quick(const struct tw_sink *sink)
{
	return sink->open_count && !tw_sink_settle_is_due(sink) &&
	       is_in_memory(sink, sink->open[0]);
}

bool tw_sink_write_is_quick(struct tw_sink *sink, const struct tw_sink_piece *pieces, size_t count)
{
	uint64_t ready = tw_sink_ready(sink), first = UINT64_MAX, end = 0, index;
	const struct tw_entry *entry;

	if (!count || sink->broken)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (pieces[i].offset >= ready || pieces[i].length > ready - pieces[i].offset)
			return false;
		first = pieces[i].offset < first ? pieces[i].offset : first;
		if (pieces[i].offset + pieces[i].length > end)
			end = pieces[i].offset + pieces[i].length;
	}
	index = tw_sink_find(sink, first);
	entry = tw_manifest_entry(sink->manifest, index);
	first -= entry->tape_start;
	end -= entry->tape_start;
	return end <= entry->size &&
	       is_in_the_middle(sink, index, end / TW_CHUNK_SIZE - first / TW_CHUNK_SIZE + 1);
}

bool tw_sink_digests_are_quick(struct tw_sink *sink, uint64_t chunk_first, size_t count)
{
	uint64_t chunks = tw_manifest_chunk_count(sink->manifest), index;
	const struct tw_entry *entry;

	if (!count || chunk_first >= chunks || sink->broken)
		return false;
	index = tw_manifest_find_chunk(sink->manifest, chunk_first);
	entry = tw_manifest_entry(sink->manifest, index);
	return count <= tw_entry_chunks(entry) - (chunk_first - entry->chunk_first) &&
	       is_in_the_middle(sink, index, count);
}
