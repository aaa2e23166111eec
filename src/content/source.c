#include "content/source.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/error.h"
#include "base/text.h"
#include "content/source_internal.h"

/* How much of a long path's end is shown. */
#define SHOWN_MAX 200

static void free_options(struct tw_source_options *options)
{
	for (size_t i = 0; options->mappings && i < options->mapping_count; i++) {
		free((char *)options->mappings[i].source);
		free((char *)options->mappings[i].destination);
	}
	for (size_t i = 0; options->include && i < options->include_count; i++)
		free((char *)options->include[i]);
	for (size_t i = 0; options->exclude && i < options->exclude_count; i++)
		free((char *)options->exclude[i]);
	free((void *)options->mappings);
	free((void *)options->include);
	free((void *)options->exclude);
}

static char **copy_texts(const char *const *texts, size_t count)
{
	char **copies = calloc(count + 1, sizeof(*copies));

	for (size_t i = 0; copies && i < count; i++) {
		copies[i] = strdup(texts[i]);
		if (!copies[i]) {
			while (i)
				free(copies[--i]);
			free(copies);
			return NULL;
		}
	}
	return copies;
}

static struct tw_source_mapping *copy_mappings(const struct tw_source_mapping *mappings,
					       size_t count)
{
	struct tw_source_mapping *copies = calloc(count + 1, sizeof(*copies));
	bool failed = false;

	for (size_t i = 0; copies && i < count; i++) {
		/* "" is the view's root; with a name behind it, it would be the system's. */
		if (mappings[i].source)
			copies[i].source = strdup(*mappings[i].source ? mappings[i].source : ".");
		copies[i].destination = strdup(mappings[i].destination);
		failed = failed || (mappings[i].source && !copies[i].source) ||
			 !copies[i].destination;
	}
	if (failed) {
		for (size_t i = 0; i < count; i++) {
			free((char *)copies[i].source);
			free((char *)copies[i].destination);
		}
		free(copies);
		return NULL;
	}
	return copies;
}

int tw_source_new(const struct tw_fs *fs, const struct tw_source_options *options,
		  struct tw_source **ret)
{
	struct tw_source *source = calloc(1, sizeof(*source));

	if (!source)
		return -ENOMEM;
	source->fs = *fs;
	tw_fs_hold(fs);
	source->options = *options;
	source->options.mappings = copy_mappings(options->mappings, options->mapping_count);
	source->options.include =
		(const char *const *)copy_texts(options->include, options->include_count);
	source->options.exclude =
		(const char *const *)copy_texts(options->exclude, options->exclude_count);
	source->listing = tw_listing_new();
	if (!source->options.mappings || !source->options.include || !source->options.exclude ||
	    !source->listing) {
		tw_source_free(source);
		return -ENOMEM;
	}
	*ret = source;
	return 0;
}

int tw_source_new_listed(const struct tw_fs *fs, struct tw_listing *listing, bool read_content,
			 struct tw_source **ret)
{
	uint64_t count = tw_listing_entries(listing);
	struct tw_source *source = calloc(1, sizeof(*source));

	if (!source)
		return -ENOMEM;
	source->fs = *fs;
	source->options.read_content = read_content;
	/* Zeroed by the system: only entries that go bad take memory. */
	source->errors = calloc(count + 1, sizeof(*source->errors));
	if (!source->errors) {
		free(source);
		return -ENOMEM;
	}
	source->error_room = count + 1;
	tw_fs_hold(fs);
	source->listing = tw_listing_hold(listing);
	*ret = source;
	return 0;
}

void tw_source_free(struct tw_source *source)
{
	if (!source)
		return;
	for (unsigned i = 0; i < FILES_MAX; i++) {
		if (source->files[i].file)
			source->fs.ops->close(source->files[i].file);
	}
	for (size_t i = 0; i < source->note_count; i++)
		free(source->notes[source->note_first + i].path);
	free(source->notes);
	tw_source_walk_free(&source->walk);
	free_options(&source->options);
	tw_listing_drop(source->listing);
	tw_fs_drop(&source->fs);
	free(source->ahead);
	free(source->errors);
	free(source);
}

const struct tw_manifest *tw_source_manifest(const struct tw_source *source)
{
	return source->listing->manifest;
}

static char *display_path(const char *path)
{
	size_t length = strlen(path);
	char clean[sizeof(((struct tw_problem *)NULL)->path)];

	if (length <= SHOWN_MAX) {
		tw_text_clean(path, length, clean, sizeof(clean));
	} else {
		memcpy(clean, "...", 3);
		tw_text_clean(path + length - SHOWN_MAX, SHOWN_MAX, clean + 3, sizeof(clean) - 3);
	}
	return strdup(clean);
}

/* Room for one note more behind those that wait. */
static int reserve_note(struct tw_source *source)
{
	struct source_note *notes;
	size_t room;

	if (source->note_first + source->note_count < source->note_room)
		return 0;
	if (source->note_first > source->note_room / 2) {
		memmove(source->notes, source->notes + source->note_first,
			source->note_count * sizeof(*source->notes));
		source->note_first = 0;
		return 0;
	}
	room = source->note_room * 2 + 16;
	notes = realloc(source->notes, room * sizeof(*notes));
	if (!notes)
		return -ENOMEM;
	source->notes = notes;
	source->note_room = room;
	return 0;
}

void tw_source_note(struct tw_source *source, const struct source_note *note, const char *path)
{
	struct source_note *place;
	char *shown;

	if (note->harmless && source->harmless_count >= HARMLESS_MAX)
		return;
	shown = display_path(path);
	if (!shown || reserve_note(source)) {
		free(shown);
		return;
	}
	place = &source->notes[source->note_first + source->note_count++];
	*place = *note;
	place->path = shown;
	source->harmless_count += note->harmless;
}

bool tw_source_problem(struct tw_source *source, struct tw_problem *ret)
{
	struct source_note *note;

	if (!source->note_count)
		return false;
	note = &source->notes[source->note_first++];
	source->note_count--;
	*ret = (struct tw_problem){
		.entry = note->entry,
		.error = note->error,
		.fatal = note->fatal,
		.harmless = note->harmless,
	};
	memcpy(ret->path, note->path, strlen(note->path) + 1);
	free(note->path);
	return true;
}

/* @entry cannot be sent, now and for good. */
static int spoil(struct tw_source *source, uint64_t entry, int error)
{
	const struct source_note note = { .entry = entry, .error = error };
	char path[TW_SOURCE_PATH_MAX + 1];

	if (source->errors[entry])
		return source->errors[entry];
	source->errors[entry] = (int16_t)error;
	tw_listing_source_path(source->listing, entry, path, sizeof(path));
	tw_source_note(source, &note, path);
	return error;
}

static void close_file(struct tw_source *source, struct source_file *file)
{
	source->fs.ops->close(file->file);
	file->file = NULL;
	file->used = 0;
}

/* Is the open file still what the manifest says? */
static int check_unchanged(struct tw_source *source, uint64_t index, struct tw_file *file)
{
	const struct tw_entry *entry = tw_manifest_entry(source->listing->manifest, index);
	struct tw_file_stat st;
	int r;

	r = source->fs.ops->stat_file(file, &st);
	if (r)
		return r;
	if (st.kind != TW_KIND_FILE || st.size != entry->size || st.mtime_ns != entry->mtime_ns ||
	    st.ctime_ns != source->listing->ctimes[index])
		return TW_E_CHANGED;
	return 0;
}

static struct source_file *find_open(struct tw_source *source, uint64_t entry)
{
	for (unsigned i = 0; i < FILES_MAX; i++)
		if (source->files[i].file && source->files[i].entry == entry)
			return &source->files[i];
	return NULL;
}

/* In place of the one that rested longest. */
static struct source_file *keep_open(struct tw_source *source, uint64_t entry, struct tw_file *file)
{
	struct source_file *oldest = &source->files[0];

	for (unsigned i = 1; i < FILES_MAX; i++)
		if (source->files[i].used < oldest->used)
			oldest = &source->files[i];
	if (oldest->file)
		close_file(source, oldest);
	*oldest = (struct source_file){ .file = file, .entry = entry, .used = ++source->clock };
	return oldest;
}

/* A small file that is soon to be read, as its neighbours are. */
static bool worth_opening(const struct tw_source *source, uint64_t entry)
{
	const struct tw_entry *what = tw_manifest_entry(source->listing->manifest, entry);

	return what->kind == TW_KIND_FILE && what->size && what->size <= TW_CHUNK_SIZE &&
	       !source->errors[entry];
}

/* @entry and those behind it, where opening many at one go is cheaper. What fails is left to
 * open_file(). */
static void open_ahead(struct tw_source *source, uint64_t entry)
{
	uint64_t count = tw_listing_entries(source->listing), entries[AHEAD_MAX] = { 0 };
	const char *paths[AHEAD_MAX];
	struct tw_file *files[AHEAD_MAX];
	unsigned wanted = 0, tried;

	if (!source->ahead)
		source->ahead = malloc(AHEAD_MAX * sizeof(*source->ahead));
	if (!source->ahead)
		return;
	for (; wanted < AHEAD_MAX && entry < count && worth_opening(source, entry) &&
	       !find_open(source, entry);
	     entry++) {
		tw_listing_source_path(source->listing, entry, source->ahead[wanted],
				       sizeof(source->ahead[wanted]));
		paths[wanted] = source->ahead[wanted];
		entries[wanted++] = entry;
	}
	tried = wanted > 1 ? source->fs.ops->open_several(source->fs.context, paths, wanted, files)
			   : 0;
	for (unsigned i = 0; i < tried; i++)
		if (files[i])
			keep_open(source, entries[i], files[i]);
}

/* The open file of @entry, out of those kept or opened anew. */
static int open_file(struct tw_source *source, uint64_t entry, struct source_file **ret)
{
	bool in_order = source->opened_last == entry || source->opened_last == entry + 1;
	struct source_file *kept = find_open(source, entry);
	char path[TW_SOURCE_PATH_MAX + 1];
	struct tw_file *file;
	int r;

	source->opened_last = entry + 1;
	if (!kept && in_order && source->fs.ops->open_several) {
		open_ahead(source, entry);
		kept = find_open(source, entry);
	}
	if (kept) {
		kept->used = ++source->clock;
		*ret = kept;
		return 0;
	}
	tw_listing_source_path(source->listing, entry, path, sizeof(path));
	r = source->fs.ops->open(source->fs.context, path, TW_OPEN_READ, &file);
	/* A folder or a device in its place is a change like any other. */
	if (r)
		return r == -ENOENT || r == -EISDIR || r == -EINVAL || r == -ENOTDIR ? TW_E_CHANGED
										     : r;
	*ret = keep_open(source, entry, file);
	return 0;
}

static int read_part(struct tw_source *source, uint64_t index, uint64_t at, uint8_t *bytes,
		     size_t length)
{
	const struct tw_entry *entry = tw_manifest_entry(source->listing->manifest, index);
	struct source_file *file;
	int64_t n;
	int r;

	if (!source->options.read_content) {
		memset(bytes, 0, length);
		return 0;
	}
	r = open_file(source, index, &file);
	if (r)
		return r;
	n = source->fs.ops->read(file->file, bytes, length, at);
	r = n < 0 ? (int)n : check_unchanged(source, index, file->file);
	if (!r && (uint64_t)n < length)
		r = TW_E_CHANGED;
	/* A file that was read to its end is rarely asked for again. */
	if (r || at + length == entry->size)
		close_file(source, file);
	return r;
}

/*
 * Where the hole at @at (a chunk's start) ends, in whole chunks; @at: there is data in this chunk.
 * *@ret_data_end: how far data may go on from there.
 */
static int find_hole(struct tw_source *source, uint64_t index, uint64_t at, uint64_t *ret_hole_end,
		     uint64_t *ret_data_end)
{
	const struct tw_entry *entry = tw_manifest_entry(source->listing->manifest, index);
	uint64_t start = entry->size, end = entry->size;
	struct source_file *file;
	int r;

	*ret_hole_end = at;
	*ret_data_end = entry->size;
	if (!(entry->flags & TW_ENTRY_SPARSE) || !source->options.read_content)
		return 0;
	r = open_file(source, index, &file);
	if (r)
		return r;
	r = source->fs.ops->next_data(file->file, at, &start, &end);
	if (r && r != TW_E_END)
		return 0; /* storage that cannot tell: all of it is data */
	r = check_unchanged(source, index, file->file);
	if (r) {
		close_file(source, file);
		return r;
	}
	if (start < entry->size)
		start -= start % TW_CHUNK_SIZE;
	*ret_hole_end = start < entry->size ? start : entry->size;
	end = (end + TW_CHUNK_SIZE - 1) / TW_CHUNK_SIZE * TW_CHUNK_SIZE;
	*ret_data_end = end < entry->size ? end : entry->size;
	return 0;
}

/* A block being put together. */
struct gather {
	uint64_t limit;
	uint8_t *bytes;
	size_t room, used;
	struct tw_block *block;
};

/*
 * How many bytes from the block's end on to take out of @left (up to the file's end): whole chunks
 * that fit.
 */
static uint64_t portion(const struct gather *gather, uint64_t left)
{
	uint64_t fit = gather->room - gather->used, end = gather->block->end;
	uint64_t wanted = gather->limit > end ? gather->limit - end : 1;
	uint64_t chunks = TW_BLOCK_CHUNKS_MAX - gather->block->chunk_count;

	wanted = (wanted + TW_CHUNK_SIZE - 1) / TW_CHUNK_SIZE * TW_CHUNK_SIZE;
	if (left > fit)
		left = fit / TW_CHUNK_SIZE * TW_CHUNK_SIZE;
	if (left > wanted)
		left = wanted;
	if (left > chunks * TW_CHUNK_SIZE)
		left = chunks * TW_CHUNK_SIZE;
	return left;
}

static void add_digests(struct gather *gather, size_t length)
{
	for (size_t at = 0; at < length; at += TW_CHUNK_SIZE) {
		size_t n = length - at < TW_CHUNK_SIZE ? length - at : TW_CHUNK_SIZE;

		gather->block->digests[gather->block->chunk_count++] =
			tw_digest_of(gather->bytes + gather->used + at, n);
	}
}

/* Takes more of entry @index. TW_E_END: the block is as long as it can be. */
static int take(struct tw_source *source, struct gather *gather, uint64_t index)
{
	const struct tw_entry *entry = tw_manifest_entry(source->listing->manifest, index);
	struct tw_block *block = gather->block;
	uint64_t at = block->end - entry->tape_start, hole_end, data_end, length;
	int r;

	if (source->errors[index])
		return source->errors[index];
	r = find_hole(source, index, at, &hole_end, &data_end);
	if (r)
		return r;
	if (hole_end > at) {
		uint64_t wanted = gather->limit > block->end ? gather->limit - block->end : 1;

		if (block->end > block->start)
			return TW_E_END;
		wanted = (wanted + TW_CHUNK_SIZE - 1) / TW_CHUNK_SIZE * TW_CHUNK_SIZE;
		block->end += hole_end - at < wanted ? hole_end - at : wanted;
		block->hole = true;
		return TW_E_END;
	}
	length = portion(gather, data_end - at);
	if (!length)
		return TW_E_END;
	r = read_part(source, index, at, gather->bytes + gather->used, length);
	if (r)
		return r;
	add_digests(gather, length);
	gather->used += length;
	block->end += length;
	return 0;
}

int tw_source_read(struct tw_source *source, uint64_t offset, uint64_t limit, uint8_t *bytes,
		   size_t room, struct tw_block *ret, uint64_t *ret_entry)
{
	uint64_t tape = tw_manifest_tape_size(source->listing->manifest),
		 index = tw_manifest_find(source->listing->manifest, offset);
	const struct tw_entry *entry = tw_manifest_entry(source->listing->manifest, index);
	uint64_t chunk = (offset - entry->tape_start) / TW_CHUNK_SIZE;
	struct gather gather = { .limit = limit, .bytes = bytes, .room = room, .block = ret };
	int r = 0;

	assert(room >= TW_CHUNK_SIZE);
	ret->start = ret->end = entry->tape_start + chunk * TW_CHUNK_SIZE;
	ret->hole = false;
	ret->chunk_first = entry->chunk_first + chunk;
	ret->chunk_count = 0;
	while (!r && (ret->end == ret->start || ret->end < limit) && ret->end < tape &&
	       ret->chunk_count < TW_BLOCK_CHUNKS_MAX) {
		while (ret->end >= entry->tape_start + entry->size)
			entry = tw_manifest_entry(source->listing->manifest, ++index);
		r = take(source, &gather, index);
	}
	if (r && r != TW_E_END) {
		r = spoil(source, index, r);
		/* What was read before it is good; the next call meets the trouble first. */
		if (ret->end == ret->start) {
			*ret_entry = index;
			return r;
		}
	}
	return 0;
}

bool tw_source_read_is_quick(struct tw_source *source, uint64_t offset)
{
	const struct tw_manifest *manifest = source->listing->manifest;
	const struct tw_entry *entry;
	const struct source_file *file;
	uint64_t index;

	if (offset >= tw_manifest_tape_size(manifest) || !source->options.read_content)
		return false;
	index = tw_manifest_find(manifest, offset);
	entry = tw_manifest_entry(manifest, index);
	offset -= entry->tape_start;
	file = find_open(source, index);
	return file && !source->errors[index] &&
	       entry->size - offset / TW_CHUNK_SIZE * TW_CHUNK_SIZE >= TW_CHUNK_SIZE &&
	       source->fs.ops->in_memory && source->fs.ops->in_memory(file->file);
}

static int hash_file(struct tw_source *source, uint64_t index, EVP_MD_CTX *hash, uint8_t *bytes)
{
	uint64_t size = tw_manifest_entry(source->listing->manifest, index)->size;

	for (uint64_t at = 0; at < size;) {
		size_t n = size - at < TW_CHUNK_SIZE ? (size_t)(size - at) : TW_CHUNK_SIZE;
		int r = read_part(source, index, at, bytes, n);

		if (r)
			return spoil(source, index, r);
		if (EVP_DigestUpdate(hash, bytes, n) != 1)
			return -ENOMEM;
		at += n;
	}
	return 0;
}

int tw_source_sha256(struct tw_source *source, uint64_t entry, uint8_t ret[32])
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	uint8_t *bytes = malloc(TW_CHUNK_SIZE), digest[32];
	int r = -ENOMEM;

	if (hash && bytes && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1)
		r = source->errors[entry] ? source->errors[entry]
					  : hash_file(source, entry, hash, bytes);
	if (!r && EVP_DigestFinal_ex(hash, digest, NULL) != 1)
		r = -ENOMEM;
	if (!r)
		memcpy(ret, digest, sizeof(digest));
	EVP_MD_CTX_free(hash);
	free(bytes);
	return r;
}
