#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/error.h"
#include "content/names.h"
#include "content/sink_internal.h"

/* Folders flushed one by one; more of them by one flush of everything. */
#define FOLDERS_SINGLY_MAX 4

int tw_sink_journal_add(struct tw_sink *sink, const struct tw_journal_record *record)
{
	sink->journal_changed = true;
	return tw_journal_add(sink->journal, record);
}

/* The bytes that @chunk has got since the journal last heard of it. */
static int journal_chunk(struct tw_sink *sink, struct sink_chunk *chunk)
{
	struct tw_journal_record record = { .type = TW_JOURNAL_RANGE };
	struct sink_file *file;
	struct tw_range gap;
	int r;

	r = tw_sink_file_get(sink, chunk->entry, &file);
	if (!r)
		r = tw_sink_file_journal(sink, file);
	record.path_hash = tw_sink_path_hash(sink, tw_sink_path(sink, chunk->entry));
	for (size_t i = 0; !r && i < chunk->have.count; i++) {
		const struct tw_range *have = &chunk->have.at[i];
		uint64_t at = have->start;

		while (!r && tw_ranges_next_gap(&chunk->journaled, at, have->end, &gap)) {
			record.start = chunk->start + gap.start;
			record.end = chunk->start + gap.end;
			r = tw_sink_journal_add(sink, &record);
			at = gap.end;
		}
	}
	for (size_t i = 0; !r && i < chunk->have.count; i++)
		r = tw_ranges_add(&chunk->journaled, chunk->have.at[i].start,
				  chunk->have.at[i].end);
	return r;
}

static int collect(struct tw_sink *sink)
{
	while (sink->dirty) {
		struct sink_chunk *chunk = sink->dirty;
		int r = journal_chunk(sink, chunk);

		if (r)
			return r;
		sink->dirty = chunk->next;
		if (chunk->next)
			chunk->next->previous = NULL;
		chunk->dirty = false;
	}
	return 0;
}

int tw_sink_write_journal(struct tw_sink *sink)
{
	int r;

	if (!sink->journal)
		return 0;
	r = collect(sink);
	if (!r)
		r = tw_journal_write(sink->journal);
	if (!r)
		sink->since_journal = 0;
	return r;
}

/*
 * A failed flush leaves nobody knows what on storage, and would succeed when tried again: so
 * nothing that was not flushed counts any more, now and for the next attempt.
 */
static int give_up(struct tw_sink *sink, int error)
{
	const struct tw_journal_record lost = { .type = TW_JOURNAL_LOST };

	sink->broken = error;
	if (!tw_journal_add(sink->journal, &lost) && !tw_journal_write(sink->journal))
		tw_journal_sync(sink->journal);
	return error;
}

static int sync_changed(struct tw_sink *sink)
{
	for (unsigned i = 0; i < sink->changed_count; i++) {
		struct sink_file *file = tw_map_get(&sink->files, sink->changed[i]);
		int r;

		/* Failed or abandoned meanwhile. */
		if (!file)
			continue;
		r = tw_sink_file_open(sink, file, false);
		if (!r)
			r = sink->fs.ops->sync(file->handle);
		if (r)
			return r;
	}
	return 0;
}

/* Everything that was written until now is on storage, and the journal says so. */
static int flush(struct tw_sink *sink)
{
	const struct tw_journal_record flushed = { .type = TW_JOURNAL_FLUSHED };
	uint64_t durable = sink->progress.bytes_written + sink->progress.bytes_held;
	int r = 0;

	if (!sink->journal) {
		sink->progress.bytes_durable = durable;
		return 0;
	}
	r = tw_sink_write_journal(sink);
	if (r)
		return r;
	if (sink->names_changed || sink->changed_count > SINK_SYNC_SINGLY_MAX)
		r = sink->fs.ops->sync_all(sink->fs.context);
	else
		r = sync_changed(sink);
	if (r)
		return give_up(sink, r);
	sink->names_changed = false;
	sink->changed_count = 0;
	sink->flush++;
	if (sink->journal_changed) {
		r = tw_sink_journal_add(sink, &flushed);
		if (!r)
			r = tw_journal_write(sink->journal);
		if (r)
			return r;
		r = tw_journal_sync(sink->journal);
		if (r)
			return give_up(sink, r);
		sink->journal_changed = false;
	}
	sink->progress.bytes_durable = durable;
	return 0;
}

/* Goes on with @file->proof, not to the end of a file that is very long: others wait for the
 * thread, and a file of nothing but zeros may be as long as its sender says. */
static int hash_file(struct tw_sink *sink, struct sink_file *file)
{
	uint64_t size = tw_manifest_entry(sink->manifest, file->entry)->size;
	uint64_t end =
		size - file->proof_at < sink->proof_step ? size : file->proof_at + sink->proof_step;
	int r = tw_sink_file_open(sink, file, false);

	while (!r && file->proof_at < end) {
		uint64_t at = file->proof_at;
		size_t n = end - at < SINK_SCRATCH ? (size_t)(end - at) : SINK_SCRATCH;
		int64_t got = sink->fs.ops->read(file->handle, sink->scratch, n, at);

		if (got < 0)
			return (int)got;
		if ((size_t)got < n)
			return -EIO;
		if (EVP_DigestUpdate(file->proof, sink->scratch, n) != 1)
			return -ENOMEM;
		file->proof_at += n;
	}
	return r;
}

static int begin_proof(struct sink_file *file)
{
	file->proof_at = 0;
	file->proof = EVP_MD_CTX_new();
	return file->proof && EVP_DigestInit_ex(file->proof, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

/* Does the file have the SHA-256 that the sender read? With @file->proof left: not known yet. */
static int check_proof(struct tw_sink *sink, struct sink_file *file)
{
	const uint8_t *proof = tw_map_get(&sink->proofs, file->entry);
	uint64_t size = tw_manifest_entry(sink->manifest, file->entry)->size;
	uint8_t digest[32];
	int r = 0;

	if (!proof || file->proven || !sink->options.write_content)
		return 0;
	if (!file->proof)
		r = begin_proof(file);
	if (!r)
		r = hash_file(sink, file);
	if (!r && file->proof_at < size)
		return 0;
	if (!r && EVP_DigestFinal_ex(file->proof, digest, NULL) != 1)
		r = -ENOMEM;
	EVP_MD_CTX_free(file->proof);
	file->proof = NULL;
	if (!r && memcmp(digest, proof, sizeof(digest)) != 0)
		r = TW_E_DIGEST;
	file->proven = !r;
	return r;
}

/* Takes those out of the queue that have come to their end. */
static void tidy_queue(struct tw_sink *sink)
{
	size_t kept = 0;

	sink->whole_bytes = 0;
	for (size_t i = 0; i < sink->whole_count; i++) {
		uint64_t index = sink->whole[i];

		if (sink->states[index] != SINK_WHOLE)
			continue;
		sink->whole[kept++] = index;
		sink->whole_bytes += tw_manifest_entry(sink->manifest, index)->size;
	}
	sink->whole_count = kept;
}

/* The last looks at the files that wait for their names. */
static int inspect_queue(struct tw_sink *sink)
{
	int r = 0;

	for (size_t i = 0; !r && i < sink->whole_count; i++) {
		uint64_t index = sink->whole[i];
		struct sink_file *file = tw_map_get(&sink->files, index);

		if (sink->states[index] != SINK_WHOLE)
			continue;
		r = check_proof(sink, file);
		if (!r && sink->options.write_content && !file->proof)
			r = tw_sink_file_set_meta(sink, file);
		if (r && tw_sink_entry_error(r))
			r = tw_sink_end_entry(sink, index, SINK_FAILED, r);
	}
	return r;
}

/* The old file is kept beside the new one. */
static int make_backup(struct tw_sink *sink, const char *path)
{
	char backup[SINK_PATH_MAX + 5];
	int r;

	snprintf(backup, sizeof(backup), "%s.bak", path);
	r = sink->fs.ops->rename(sink->fs.context, path, backup, true);
	return r == -ENOENT ? 0 : r;
}

static int take_name(struct tw_sink *sink, uint64_t index)
{
	bool replace = sink->options.overwrite != TW_OVERWRITE_WITH_PARTFILE_NEVER;
	const char *part = tw_sink_work_path(sink, index);
	int r = 0;

	if (sink->options.overwrite == TW_OVERWRITE_WITH_PARTFILE_BACKUP)
		r = make_backup(sink, sink->path);
	return r ? r : sink->fs.ops->rename(sink->fs.context, part, sink->path, replace);
}

/* Files whose names are new: their folders have to be flushed. */
struct folders {
	unsigned count;
	char *paths[FOLDERS_SINGLY_MAX]; /* owned */
};

static int add_folder(struct folders *folders, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;

	for (unsigned i = 0; i < folders->count && i < FOLDERS_SINGLY_MAX; i++) {
		if (!strncmp(folders->paths[i], path, length) && !folders->paths[i][length])
			return 0;
	}
	if (folders->count < FOLDERS_SINGLY_MAX) {
		folders->paths[folders->count] = strndup(path, length);
		if (!folders->paths[folders->count])
			return -ENOMEM;
	}
	folders->count++;
	return 0;
}

static int sync_folders(struct tw_sink *sink, const struct folders *folders)
{
	int r = 0;

	if (folders->count > FOLDERS_SINGLY_MAX)
		return sink->fs.ops->sync_all(sink->fs.context);
	for (unsigned i = 0; !r && i < folders->count; i++)
		r = sink->fs.ops->sync_directory(sink->fs.context, folders->paths[i]);
	return r;
}

/* Every file of the queue takes its name; those that cannot end here. */
static int take_names(struct tw_sink *sink, struct folders *folders)
{
	for (size_t i = 0; i < sink->whole_count; i++) {
		uint64_t index = sink->whole[i];
		struct sink_file *file = tw_map_get(&sink->files, index);
		int r = 0;

		if (sink->states[index] != SINK_WHOLE || file->proof)
			continue;
		if (!file->renamed && !sink_in_place(sink)) {
			tw_sink_file_close(sink, file);
			r = take_name(sink, index);
			/* Somebody made one meanwhile, and it is to stay. */
			if (r == -EEXIST &&
			    sink->options.overwrite == TW_OVERWRITE_WITH_PARTFILE_NEVER) {
				sink->fs.ops->unlink(sink->fs.context,
						     tw_sink_work_path(sink, index));
				r = tw_sink_end_entry(sink, index, SINK_SKIPPED, TW_E_EXISTS);
			} else if (r && tw_sink_entry_error(r)) {
				r = tw_sink_end_entry(sink, index, SINK_FAILED, r);
			} else if (!r) {
				file->renamed = true;
			}
		}
		if (!r && sink->states[index] == SINK_WHOLE)
			r = add_folder(folders, tw_sink_path(sink, index));
		if (r)
			return r;
	}
	return 0;
}

static int finish_file(struct tw_sink *sink, uint64_t index)
{
	struct sink_file *file = tw_map_get(&sink->files, index);
	struct tw_journal_record record = { .type = TW_JOURNAL_DONE, .digest = file->digest };
	int r = 0;

	if (sink->journal) {
		r = tw_sink_file_journal(sink, file);
		record.path_hash = tw_sink_path_hash(sink, tw_sink_path(sink, index));
		if (!r)
			r = tw_sink_journal_add(sink, &record);
		if (r)
			return r;
	}
	sink->digests[index] = file->digest;
	return tw_sink_end_entry(sink, index, SINK_DONE, 0);
}

/* Those that have their names: into the journal, and told. */
static int finish_files(struct tw_sink *sink)
{
	bool named = !sink->options.write_content || sink_in_place(sink);
	int r = 0;

	for (size_t i = 0; !r && i < sink->whole_count; i++) {
		uint64_t index = sink->whole[i];
		const struct sink_file *file = tw_map_get(&sink->files, index);

		if (sink->states[index] == SINK_WHOLE && !file->proof && (named || file->renamed))
			r = finish_file(sink, index);
	}
	tidy_queue(sink);
	return r || !sink->journal ? r : tw_journal_write(sink->journal);
}

/* Flushed, then named, then the folders flushed, then the journal. */
static int commit(struct tw_sink *sink)
{
	struct folders folders = { 0 };
	int r, finished;

	r = inspect_queue(sink);
	tidy_queue(sink);
	if (!r)
		r = flush(sink);
	if (r || !sink->whole_count)
		return r;
	if (sink->options.write_content) {
		r = take_names(sink, &folders);
		/* What has its name is finished also when the next could not take its own. */
		finished = sync_folders(sink, &folders);
		for (unsigned i = 0; i < folders.count && i < FOLDERS_SINGLY_MAX; i++)
			free(folders.paths[i]);
		if (finished)
			return finished;
	}
	finished = finish_files(sink);
	return r ? r : finished;
}

static bool all_prepared(const struct tw_sink *sink)
{
	return sink->manifest_complete && sink->prepared == tw_manifest_count(sink->manifest);
}

/* Modes and times of folders, the innermost first: nothing is made in them any more. */
static int finish_folders(struct tw_sink *sink)
{
	uint64_t count = tw_manifest_count(sink->manifest);

	for (uint64_t i = count; i-- > 0;) {
		const struct tw_entry *entry = tw_manifest_entry(sink->manifest, i);
		enum sink_state state = sink->states[i];
		int r;

		if (state != SINK_FOLDER && state != SINK_OLD_FOLDER)
			continue;
		r = sink->fs.ops->set_directory_meta(sink->fs.context, tw_sink_path(sink, i),
						     entry->mode, entry->mtime_ns);
		/* A folder of somebody else's, in which we may write, stays his. */
		if (state == SINK_OLD_FOLDER && (r == -EPERM || r == -EACCES))
			r = 0;
		if (r && !tw_sink_entry_error(r))
			return r;
		if (r)
			r = tw_sink_end_entry(sink, i, SINK_FAILED, r);
		if (r)
			return r;
	}
	return count ? sink->fs.ops->sync_all(sink->fs.context) : 0;
}

static int transfer_digest(struct tw_sink *sink)
{
	struct tw_digest_state *state = tw_digest_new();
	char path[TW_PATH_MAX + 1];

	if (!state)
		return -ENOMEM;
	for (uint64_t i = 0; i < tw_manifest_count(sink->manifest); i++) {
		const struct tw_entry *entry = tw_manifest_entry(sink->manifest, i);
		size_t length;

		if (entry->kind != TW_KIND_FILE ||
		    (sink->states[i] != SINK_DONE && sink->states[i] != SINK_HELD))
			continue;
		length = tw_manifest_path(sink->manifest, i, path);
		tw_digest_update(state, path, length + 1);
		tw_digest_update(state, sink->digests[i].bytes, TW_DIGEST_SIZE);
	}
	sink->progress.digest = tw_digest_final(state);
	tw_digest_free(state);
	return 0;
}

/* The end of the transfer, once every file has come to its own. */
static int finish(struct tw_sink *sink)
{
	int r = 0;

	if (sink->finished || !all_prepared(sink) ||
	    sink->files_final < tw_manifest_file_count(sink->manifest))
		return 0;
	if (sink->options.write_content)
		r = finish_folders(sink);
	if (!r)
		r = transfer_digest(sink);
	if (!r)
		r = tw_sink_add_event(sink, TW_SINK_ALL_DONE, UINT64_MAX, 0);
	if (r)
		return r;
	sink->progress.bytes_durable = sink->progress.bytes_written + sink->progress.bytes_held;
	sink->finished = true;
	if (sink->journal) {
		tw_journal_close(sink->journal);
		sink->journal = NULL;
		sink->fs.ops->unlink(sink->fs.context, sink->journal_path);
		/* Other transfers may have theirs there. */
		sink->fs.ops->unlink(sink->fs.context, TW_STATE_FOLDER);
	}
	return 0;
}

int tw_sink_checkpoint(struct tw_sink *sink)
{
	int r = sink->broken;

	if (!r && !sink->finished)
		r = commit(sink);
	return r ? r : finish(sink);
}

bool tw_sink_settle_is_due(const struct tw_sink *sink)
{
	uint64_t left = tw_manifest_file_count(sink->manifest) - sink->files_final;
	bool last = all_prepared(sink) && left == sink->whole_count;

	return !sink->finished && (last || sink->whole_count >= SINK_BATCH_FILES ||
				   sink->whole_bytes >= SINK_BATCH_BYTES);
}

int tw_sink_settle(struct tw_sink *sink)
{
	if (sink->broken)
		return sink->broken;
	return tw_sink_settle_is_due(sink) ? tw_sink_checkpoint(sink) : 0;
}

int tw_sink_abandon(struct tw_sink *sink, uint64_t entry)
{
	if (sink->broken)
		return sink->broken;
	if (entry >= tw_manifest_count(sink->manifest) ||
	    tw_manifest_entry(sink->manifest, entry)->kind != TW_KIND_FILE)
		return TW_E_FORMAT;
	if (sink_state_final(sink->states[entry]))
		return 0;
	return tw_sink_end_entry(sink, entry, SINK_ABANDONED, TW_E_CHANGED);
}

int tw_sink_sha256(struct tw_sink *sink, uint64_t entry, const uint8_t sha256[32])
{
	uint8_t *proof;
	int r;

	if (entry >= tw_manifest_count(sink->manifest) ||
	    tw_manifest_entry(sink->manifest, entry)->kind != TW_KIND_FILE)
		return TW_E_FORMAT;
	if (sink_state_final(sink->states[entry]) || tw_map_get(&sink->proofs, entry))
		return sink->broken;
	proof = malloc(32);
	if (!proof)
		return -ENOMEM;
	memcpy(proof, sha256, 32);
	r = tw_map_set(&sink->proofs, entry, proof);
	if (r) {
		free(proof);
		return r;
	}
	return sink->states[entry] == SINK_UNPROVEN ? tw_sink_await_name(sink, entry) : 0;
}
