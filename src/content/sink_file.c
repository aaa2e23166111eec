#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/error.h"
#include "base/text.h"
#include "content/names.h"
#include "content/sink_internal.h"

/* A small file is closed as soon as it is whole; a larger one stays open for its flush. */
#define SMALL_FILE TW_CHUNK_SIZE

/* Two numbers out of (transfer, path): the path's in journals, and the part file's. */
static struct tw_digest path_digest(const struct tw_sink *sink, const char *path)
{
	uint8_t bytes[TW_TRANSFER_KEY_SIZE + SINK_PATH_MAX];
	size_t length = strlen(path);

	memcpy(bytes, sink->options.transfer_key, TW_TRANSFER_KEY_SIZE);
	memcpy(bytes + TW_TRANSFER_KEY_SIZE, path, length);
	return tw_digest_of(bytes, TW_TRANSFER_KEY_SIZE + length);
}

uint64_t tw_sink_path_hash(const struct tw_sink *sink, const char *path)
{
	struct tw_digest digest = path_digest(sink, path);
	uint64_t hash;

	memcpy(&hash, digest.bytes, sizeof(hash));
	return hash;
}

const char *tw_sink_work_path(struct tw_sink *sink, uint64_t entry)
{
	const char *path = tw_sink_path(sink, entry), *slash;
	struct tw_digest digest;
	char hex[2 * 8 + 1];
	size_t folder;

	if (sink_in_place(sink))
		return path;
	digest = path_digest(sink, path);
	slash = strrchr(path, '/');
	folder = slash ? (size_t)(slash + 1 - path) : 0;
	memcpy(sink->part, path, folder);
	tw_text_hex(digest.bytes + 8, 8, hex);
	snprintf(sink->part + folder, sizeof(sink->part) - folder, "%s%s%s", TW_PART_PREFIX, hex,
		 TW_PART_SUFFIX);
	return sink->part;
}

int tw_sink_file_get(struct tw_sink *sink, uint64_t entry, struct sink_file **ret)
{
	struct sink_file *file = tw_map_get(&sink->files, entry);
	uint64_t chunks;
	int r;

	if (file) {
		*ret = file;
		return 0;
	}
	chunks = tw_entry_chunks(tw_manifest_entry(sink->manifest, entry));
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->entry = entry;
	file->chunks = chunks;
	tw_ranges_init(&file->whole, chunks / 2 + 1);
	tw_ranges_init(&file->zeros, chunks / 2 + 1);
	if (chunks > 1)
		file->fold = tw_digest_new();
	if (!chunks)
		file->digest = tw_digest_of("", 0);
	r = chunks > 1 && !file->fold ? -ENOMEM : tw_map_set(&sink->files, entry, file);
	if (r) {
		tw_digest_free(file->fold);
		free(file);
		return r;
	}
	*ret = file;
	return 0;
}

void tw_sink_file_close(struct tw_sink *sink, struct sink_file *file)
{
	if (!file->handle)
		return;
	sink->fs.ops->close(file->handle);
	file->handle = NULL;
	for (unsigned i = 0; i < sink->open_count; i++) {
		if (sink->open[i] == file) {
			sink->open[i] = sink->open[--sink->open_count];
			break;
		}
	}
}

static void close_oldest(struct tw_sink *sink)
{
	struct sink_file *oldest = sink->open[0];

	for (unsigned i = 1; i < sink->open_count; i++) {
		if (sink->open[i]->used < oldest->used)
			oldest = sink->open[i];
	}
	tw_sink_file_close(sink, oldest);
}

static int open_path(struct tw_sink *sink, const char *path, unsigned flags, struct tw_file **ret)
{
	return sink->fs.ops->open(sink->fs.context, path, TW_OPEN_READ | TW_OPEN_WRITE | flags,
				  ret);
}

static int make_file(struct tw_sink *sink, struct sink_file *file, const char *path)
{
	int r = open_path(sink, path, TW_OPEN_CREATE | TW_OPEN_EXCLUSIVE, &file->handle);

	if (r == -ENOENT) {
		r = tw_sink_make_parents(sink, path);
		if (!r)
			r = open_path(sink, path, TW_OPEN_CREATE | TW_OPEN_EXCLUSIVE,
				      &file->handle);
	}
	/* A part file that no journal tells of, or something planted under its name: not ours. */
	if (r == -EEXIST && !sink_in_place(sink)) {
		r = sink->fs.ops->unlink(sink->fs.context, path);
		if (!r)
			r = open_path(sink, path, TW_OPEN_CREATE | TW_OPEN_EXCLUSIVE,
				      &file->handle);
	}
	if (!r) {
		file->fresh = true;
		sink->names_changed = true;
		return 0;
	}
	return r == -EEXIST ? open_path(sink, path, 0, &file->handle) : r;
}

int tw_sink_file_open(struct tw_sink *sink, struct sink_file *file, bool whole)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, file->entry);
	int r = 0;

	file->used = ++sink->clock;
	if (!file->handle) {
		const char *path = tw_sink_work_path(sink, file->entry);

		if (sink->open_count == SINK_OPEN_MAX)
			close_oldest(sink);
		r = file->exists ? open_path(sink, path, 0, &file->handle)
				 : make_file(sink, file, path);
		if (r)
			return r;
		file->exists = true;
		sink->open[sink->open_count++] = file;
	}
	/* Its final size at once, so that a later attempt knows the file by it. */
	if (!file->sized && !(whole && file->fresh)) {
		r = sink->fs.ops->resize(file->handle, entry->size);
		file->sized = !r;
	}
	return r;
}

void tw_sink_file_changed(struct tw_sink *sink, struct sink_file *file)
{
	if (file->changed == sink->flush)
		return;
	file->changed = sink->flush;
	if (sink->changed_count < SINK_SYNC_SINGLY_MAX)
		sink->changed[sink->changed_count] = file->entry;
	sink->changed_count++;
}

static void free_chunks(struct tw_sink *sink, uint64_t entry)
{
	const struct tw_entry *e = tw_manifest_entry(sink->manifest, entry);
	uint64_t chunks = tw_entry_chunks(e), key;
	struct sink_chunk *chunk;

	if (chunks <= sink->chunks.room) {
		for (uint64_t i = 0; i < chunks && sink->chunks.count; i++) {
			chunk = tw_map_get(&sink->chunks, e->chunk_first + i);
			if (chunk)
				tw_sink_chunk_free(sink, chunk);
		}
		return;
	}
	for (size_t at = 0; (chunk = tw_map_next(&sink->chunks, &at, &key));) {
		if (chunk->entry != entry)
			continue;
		tw_sink_chunk_free(sink, chunk);
		at--;
	}
}

void tw_sink_file_drop(struct tw_sink *sink, uint64_t entry)
{
	struct sink_file *file = tw_map_take(&sink->files, entry);
	struct tw_digest *page;
	uint64_t number;

	free_chunks(sink, entry);
	if (!file)
		return;
	tw_sink_file_close(sink, file);
	tw_ranges_deinit(&file->whole);
	tw_ranges_deinit(&file->zeros);
	for (size_t at = 0; (page = tw_map_next(&file->pages, &at, &number));)
		free(page);
	tw_map_deinit(&file->pages);
	tw_digest_free(file->fold);
	EVP_MD_CTX_free(file->proof);
	free(file);
}

int tw_sink_file_journal(struct tw_sink *sink, struct sink_file *file)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, file->entry);
	struct tw_journal_record record = { .type = TW_JOURNAL_ENTRY };
	int r;

	if (file->journaled)
		return 0;
	record.path_hash = tw_sink_path_hash(sink, tw_sink_path(sink, file->entry));
	record.size = entry->size;
	record.mtime_ns = entry->mtime_ns;
	r = tw_sink_journal_add(sink, &record);
	file->journaled = !r;
	return r;
}

const uint8_t *tw_sink_zeros(void)
{
	/* Not const: it would take its place in the program's file. */
	static uint8_t zeros[TW_CHUNK_SIZE];

	return zeros;
}

struct tw_digest tw_sink_zeros_digest(struct tw_sink *sink, const struct tw_entry *entry,
				      uint64_t index)
{
	uint64_t length = entry->size - index * TW_CHUNK_SIZE;

	if (length < TW_CHUNK_SIZE)
		return tw_digest_of(tw_sink_zeros(), length);
	if (!sink->zeros_known)
		sink->zeros = tw_digest_of(tw_sink_zeros(), TW_CHUNK_SIZE);
	sink->zeros_known = true;
	return sink->zeros;
}

/* Takes the digests that continue what has been folded. */
static void fold(struct tw_sink *sink, struct sink_file *file)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, file->entry);

	while (file->folded < file->chunks &&
	       tw_ranges_contain(&file->whole, file->folded, file->folded + 1)) {
		uint64_t i = file->folded++, page = i / SINK_PAGE_DIGESTS;
		struct tw_digest digest;

		if (tw_ranges_contain(&file->zeros, i, i + 1)) {
			digest = tw_sink_zeros_digest(sink, entry, i);
		} else {
			const struct tw_digest *digests = tw_map_get(&file->pages, page);

			assert(digests);
			digest = digests[i % SINK_PAGE_DIGESTS];
		}
		tw_digest_update(file->fold, digest.bytes, sizeof(digest.bytes));
		if ((i + 1) % SINK_PAGE_DIGESTS == 0)
			free(tw_map_take(&file->pages, page));
	}
	if (file->folded == file->chunks)
		file->digest = tw_digest_final(file->fold);
}

static int keep_digest(struct sink_file *file, uint64_t index, const struct tw_digest *digest)
{
	uint64_t page = index / SINK_PAGE_DIGESTS;
	struct tw_digest *digests = tw_map_get(&file->pages, page);

	if (!digests) {
		digests = malloc(SINK_PAGE_DIGESTS * sizeof(*digests));
		if (!digests || tw_map_set(&file->pages, page, digests)) {
			free(digests);
			return -ENOMEM;
		}
	}
	digests[index % SINK_PAGE_DIGESTS] = *digest;
	return 0;
}

int tw_sink_file_add_chunk(struct tw_sink *sink, struct sink_file *file, uint64_t index,
			   const struct tw_digest *digest)
{
	int r;

	if (tw_ranges_contain(&file->whole, index, index + 1))
		return 0;
	if (file->chunks == 1) {
		r = tw_ranges_add(&file->whole, 0, 1);
		if (!r)
			file->digest = *digest;
		return r;
	}
	r = keep_digest(file, index, digest);
	if (!r)
		r = tw_ranges_add(&file->whole, index, index + 1);
	if (!r && index == file->folded)
		fold(sink, file);
	return r;
}

int tw_sink_file_add_holes(struct tw_sink *sink, struct sink_file *file, uint64_t first,
			   uint64_t past)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, file->entry);
	struct tw_range gap;
	int r = 0;

	/* Only where nothing is known yet: what was checked with bytes keeps its digest. */
	while (!r && tw_ranges_next_gap(&file->whole, first, past, &gap)) {
		r = tw_ranges_add(&file->zeros, gap.start, gap.end);
		if (!r)
			r = tw_ranges_add(&file->whole, gap.start, gap.end);
		first = gap.end;
	}
	if (r)
		return r;
	if (file->chunks == 1)
		file->digest = tw_ranges_contain(&file->zeros, 0, 1)
				       ? tw_sink_zeros_digest(sink, entry, 0)
				       : file->digest;
	else
		fold(sink, file);
	return 0;
}

int tw_sink_await_name(struct tw_sink *sink, uint64_t entry)
{
	if (sink->whole_count == sink->whole_room) {
		size_t room = sink->whole_room * 2 + 64;
		uint64_t *whole = realloc(sink->whole, room * sizeof(*whole));

		if (!whole)
			return -ENOMEM;
		sink->whole = whole;
		sink->whole_room = room;
	}
	sink->whole[sink->whole_count++] = entry;
	sink->whole_bytes += tw_manifest_entry(sink->manifest, entry)->size;
	sink->states[entry] = SINK_WHOLE;
	return 0;
}

int tw_sink_file_set_meta(struct tw_sink *sink, struct sink_file *file)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, file->entry);
	int r;

	if (file->meta_set)
		return 0;
	r = tw_sink_file_open(sink, file, !entry->size);
	if (!r)
		r = sink->fs.ops->set_meta(file->handle, entry->mode, entry->mtime_ns);
	if (r)
		return r;
	file->meta_set = true;
	/* An empty file has its size by itself, and a later resize() would give it another time. */
	file->sized = true;
	tw_sink_file_changed(sink, file);
	if (entry->size <= SMALL_FILE)
		tw_sink_file_close(sink, file);
	return 0;
}

int tw_sink_file_whole(struct tw_sink *sink, struct sink_file *file)
{
	uint64_t index = file->entry;
	int r;

	assert(file->whole.total == file->chunks && sink->states[index] == SINK_OWED);
	if (sink->options.write_content) {
		r = tw_sink_file_set_meta(sink, file);
		/* A trouble of the storage comes up again, and is told, when the file is finished.
		 */
		if (r && tw_sink_entry_error(r))
			return tw_sink_end_entry(sink, index, SINK_FAILED, r);
	}
	if (sink->options.sha256 && !tw_map_get(&sink->proofs, index)) {
		sink->states[index] = SINK_UNPROVEN;
		return 0;
	}
	return tw_sink_await_name(sink, index);
}

static int journal_end(struct tw_sink *sink, uint64_t index)
{
	struct tw_journal_record record = { .type = TW_JOURNAL_ABANDONED };

	if (!sink->journal)
		return 0;
	record.path_hash = tw_sink_path_hash(sink, tw_sink_path(sink, index));
	return tw_sink_journal_add(sink, &record);
}

static void remove_written(struct tw_sink *sink, uint64_t index)
{
	const struct sink_file *file = tw_map_get(&sink->files, index);

	/* Of a file that was there before nothing can be brought back: it stays as it is. */
	if (!sink->options.write_content ||
	    (sink_in_place(sink) &&
	     (!file || !file->exists ||
	      (!file->fresh && sink->options.overwrite != TW_OVERWRITE_IN_PLACE_NEVER))))
		return;
	/* Part files always: a killed attempt may have left one that no journal tells of. */
	sink->fs.ops->unlink(sink->fs.context, tw_sink_work_path(sink, index));
}

int tw_sink_end_entry(struct tw_sink *sink, uint64_t entry, enum sink_state state, int error)
{
	bool file = tw_manifest_entry(sink->manifest, entry)->kind == TW_KIND_FILE;
	bool failed = state == SINK_FAILED || state == SINK_ABANDONED;
	int r = 0;

	assert(!sink_state_final(sink->states[entry]) && sink_state_final(state));
	if (failed && file) {
		r = journal_end(sink, entry);
		remove_written(sink, entry);
	}
	tw_sink_file_drop(sink, entry);
	free(tw_map_take(&sink->proofs, entry));
	sink->states[entry] = (uint8_t)state;
	sink->files_final += file;
	if (file) {
		sink->progress.files_done += state == SINK_DONE;
		sink->progress.files_skipped += state == SINK_HELD || state == SINK_SKIPPED;
		sink->progress.files_failed += failed;
	}
	if (r)
		return r;
	if (state == SINK_ABANDONED)
		return 0;
	return tw_sink_add_event(sink,
				 state == SINK_FAILED ? TW_SINK_FILE_FAILED
				 : state == SINK_DONE ? TW_SINK_FILE_DONE
						      : TW_SINK_FILE_SKIPPED,
				 entry, error);
}
