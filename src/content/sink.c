#include "content/sink.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "content/names.h"
#include "content/sink_internal.h"

bool tw_sink_entry_error(int error)
{
	switch (error) {
	case -ENOMEM:
	case -ENOSPC:
	case -EDQUOT:
	case -EIO:
	case -EROFS:
	case -EMFILE:
	case -ENFILE:
	case -ESTALE:
	case -ENODEV:
	case -ENOTCONN:
		return false;
	default:
		return error != 0;
	}
}

static int check_destination(const char *destination)
{
	size_t length = strlen(destination);

	if (!length)
		return 0;
	if (tw_path_check(destination, length))
		return TW_E_UNSAFE;
	for (const char *at = destination;;) {
		const char *end = strchrnul(at, '/');

		if (tw_name_reserved(at, (size_t)(end - at)))
			return TW_E_UNSAFE;
		if (!*end)
			return 0;
		at = end + 1;
	}
}

int tw_sink_stat_folder(struct tw_sink *sink, const char *path, struct tw_file_stat *ret)
{
	int r = sink->fs.ops->stat(sink->fs.context, path, false, ret);

	if (r)
		return r;
	if (ret->kind == TW_KIND_SYMLINK)
		return TW_E_UNSAFE;
	return ret->kind == TW_KIND_DIRECTORY ? 0 : -ENOTDIR;
}

/* One folder. There already: fine, unless it is something else, or a link that would lead
 * elsewhere. */
static int make_folder(struct tw_sink *sink, const char *path)
{
	const struct tw_fs *fs = &sink->fs;
	struct tw_file_stat st;
	int r = fs->ops->mkdir(fs->context, path, 0777);

	if (!r)
		sink->names_changed = true;
	if (r != -EEXIST)
		return r;
	return tw_sink_stat_folder(sink, path, &st);
}

int tw_sink_make_parents(struct tw_sink *sink, const char *path)
{
	char folder[SINK_PATH_MAX + 1];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t length = (size_t)(slash - path);
		int r;

		memcpy(folder, path, length);
		folder[length] = '\0';
		r = make_folder(sink, folder);
		if (r)
			return r;
	}
	return 0;
}

static int make_destination(struct tw_sink *sink)
{
	int r = 0;

	if (*sink->destination) {
		r = tw_sink_make_parents(sink, sink->destination);
		if (!r)
			r = make_folder(sink, sink->destination);
	}
	return r;
}

static int copy_options(struct tw_sink *sink, const struct tw_sink_options *options)
{
	sink->options = *options;
	sink->destination = strdup(options->destination);
	if (!sink->destination)
		return -ENOMEM;
	sink->options.destination = sink->destination;
	if (!sink->options.journal_bytes)
		sink->options.journal_bytes = SINK_JOURNAL_BYTES;
	return 0;
}

int tw_sink_new(const struct tw_fs *fs, const struct tw_sink_options *options, struct tw_sink **ret)
{
	struct tw_sink *sink;
	int r;

	r = check_destination(options->destination);
	if (r)
		return r;
	sink = calloc(1, sizeof(*sink));
	if (!sink)
		return -ENOMEM;
	sink->fs = *fs;
	sink->flush = 1;
	sink->proof_step = SINK_PROOF_STEP;
	r = copy_options(sink, options);
	if (!r) {
		sink->manifest = tw_manifest_new();
		sink->scratch = malloc(SINK_SCRATCH);
		if (sink->manifest)
			tw_manifest_set_foreign(sink->manifest);
		if (sink->manifest)
			sink->decoder = tw_manifest_decoder_new(sink->manifest);
		if (!sink->decoder || !sink->scratch)
			r = -ENOMEM;
	}
	if (!r && options->write_content)
		r = make_destination(sink);
	if (!r && options->write_content)
		r = tw_sink_load_journal(sink);
	if (r) {
		tw_sink_free(sink);
		return r;
	}
	*ret = sink;
	return 0;
}

static void free_values(struct tw_map *map)
{
	uint64_t key;
	size_t at = 0;

	for (void *value; (value = tw_map_next(map, &at, &key));)
		free(value);
	tw_map_deinit(map);
}

/* Files first: that takes their chunks out too; what is left are chunks with nothing but a digest.
 */
static void free_files(struct tw_sink *sink)
{
	struct sink_chunk *chunk;
	uint64_t key;
	size_t at;

	/* Taking one out moves the next into its place: look there again. */
	for (at = 0; tw_map_next(&sink->files, &at, &key); at--)
		tw_sink_file_drop(sink, key);
	for (at = 0; (chunk = tw_map_next(&sink->chunks, &at, &key)); at--)
		tw_sink_chunk_free(sink, chunk);
	tw_map_deinit(&sink->files);
	tw_map_deinit(&sink->chunks);
}

void tw_sink_free(struct tw_sink *sink)
{
	if (!sink)
		return;
	/* A farewell that costs little: what was written and the journal was not told yet. */
	if (sink->journal && !sink->broken)
		tw_sink_write_journal(sink);
	free_files(sink);
	tw_journal_close(sink->journal);
	tw_sink_free_resumed(sink);
	tw_map_deinit(&sink->seen);
	free_values(&sink->proofs);
	for (unsigned i = 0; i < SINK_HASHES; i++)
		tw_digest_free(sink->hashes[i].state);
	tw_manifest_decoder_free(sink->decoder);
	tw_manifest_free(sink->manifest);
	free(sink->states);
	free(sink->digests);
	free(sink->whole);
	free(sink->held);
	free(sink->notes);
	free(sink->scratch);
	free(sink->destination);
	free(sink);
}

static int grow_entries(struct tw_sink *sink)
{
	uint64_t count = tw_manifest_count(sink->manifest), room;
	struct tw_digest *digests;
	uint8_t *states;

	if (count <= sink->entry_room)
		return 0;
	room = count + count / 2 + 64;
	states = realloc(sink->states, room);
	if (!states)
		return -ENOMEM;
	sink->states = states;
	digests = realloc(sink->digests, room * sizeof(*digests));
	if (!digests)
		return -ENOMEM;
	sink->digests = digests;
	memset(states + sink->entry_room, SINK_NEW, room - sink->entry_room);
	sink->entry_room = room;
	return 0;
}

int tw_sink_manifest(struct tw_sink *sink, const uint8_t *bytes, size_t length)
{
	int decoded = tw_manifest_decode(sink->decoder, bytes, length), r;

	if (decoded && decoded != TW_E_END)
		return decoded;
	r = grow_entries(sink);
	if (r)
		return r;
	sink->manifest_complete = decoded == TW_E_END;
	return decoded;
}

const char *tw_sink_offender(const struct tw_sink *sink)
{
	return tw_manifest_decoder_offender(sink->decoder);
}

uint64_t tw_sink_entries(const struct tw_sink *sink)
{
	return tw_manifest_count(sink->manifest);
}

const char *tw_sink_path(struct tw_sink *sink, uint64_t entry)
{
	size_t length = strlen(sink->destination);

	memcpy(sink->path, sink->destination, length);
	if (length)
		sink->path[length++] = '/';
	tw_manifest_path(sink->manifest, entry, sink->path + length);
	return sink->path;
}

/* Room for one element more behind those that wait, the used-up front taken back first. */
static void *reserve(void *at, size_t size, size_t *first, size_t count, size_t *room)
{
	size_t wanted;

	if (*first + count < *room)
		return at;
	if (*first > *room / 2) {
		memmove(at, (uint8_t *)at + *first * size, count * size);
		*first = 0;
		return at;
	}
	wanted = *room * 2 + 16;
	at = realloc(at, wanted * size);
	if (at)
		*room = wanted;
	return at;
}

static int add_note(struct tw_sink *sink, const struct sink_note *note)
{
	struct sink_note *notes = reserve(sink->notes, sizeof(*notes), &sink->note_first,
					  sink->note_count, &sink->note_room);

	if (!notes)
		return -ENOMEM;
	sink->notes = notes;
	notes[sink->note_first + sink->note_count++] = *note;
	return 0;
}

int tw_sink_add_event(struct tw_sink *sink, enum tw_sink_event_type type, uint64_t entry, int error)
{
	struct sink_note note = { .type = type, .entry = entry, .error = error };

	if (entry < tw_manifest_count(sink->manifest)) {
		const struct tw_entry *e = tw_manifest_entry(sink->manifest, entry);

		note.range = (struct tw_range){ e->tape_start, e->tape_start + e->size };
	}
	return add_note(sink, &note);
}

int tw_sink_ask_again(struct tw_sink *sink, uint64_t entry, uint64_t start, uint64_t end)
{
	const struct sink_note note = {
		.type = TW_SINK_AGAIN,
		.entry = entry,
		.error = TW_E_DIGEST,
		.range = { start, end },
	};

	return add_note(sink, &note);
}

bool tw_sink_event(struct tw_sink *sink, struct tw_sink_event *ret)
{
	const struct sink_note *note;

	if (!sink->note_count)
		return false;
	note = &sink->notes[sink->note_first++];
	sink->note_count--;
	*ret = (struct tw_sink_event){
		.type = note->type,
		.entry = note->entry,
		.error = note->error,
		.range = note->range,
	};
	if (note->entry < tw_manifest_count(sink->manifest)) {
		const char *path = tw_sink_path(sink, note->entry);

		tw_text_clean(path, strlen(path), ret->path, sizeof(ret->path));
	}
	return true;
}

int tw_sink_add_held(struct tw_sink *sink, uint64_t start, uint64_t end)
{
	struct tw_range *held;

	if (start == end)
		return 0;
	if (sink->held_count) {
		held = &sink->held[sink->held_first + sink->held_count - 1];
		if (held->end == start) {
			held->end = end;
			return 0;
		}
	}
	held = reserve(sink->held, sizeof(*held), &sink->held_first, sink->held_count,
		       &sink->held_room);
	if (!held)
		return -ENOMEM;
	sink->held = held;
	held[sink->held_first + sink->held_count++] = (struct tw_range){ start, end };
	return 0;
}

bool tw_sink_held(struct tw_sink *sink, struct tw_range *ret)
{
	if (!sink->held_count)
		return false;
	*ret = sink->held[sink->held_first++];
	sink->held_count--;
	return true;
}

void tw_sink_progress(const struct tw_sink *sink, struct tw_sink_progress *ret)
{
	*ret = sink->progress;
}
