#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "content/names.h"
#include "content/sink_internal.h"

/* A file's first look at the destination. */
struct look {
	uint64_t index;
	const struct tw_entry *entry;
	uint64_t path_hash;
	struct sink_resumed *resumed; /* of this path; NULL: never heard of */
	bool same;                    /* @resumed is about this very version of the file */
	bool exists;
	struct tw_file_stat st; /* when it exists */
};

static bool reserved(const char *path)
{
	for (const char *at = path;;) {
		const char *end = strchrnul(at, '/');

		if (tw_name_reserved(at, (size_t)(end - at)))
			return true;
		if (!*end)
			return false;
		at = end + 1;
	}
}

static int hold_all(struct tw_sink *sink, uint64_t index)
{
	const struct tw_entry *entry = tw_manifest_entry(sink->manifest, index);

	sink->progress.bytes_held += entry->size;
	return tw_sink_add_held(sink, entry->tape_start, entry->tape_start + entry->size);
}

/* Nothing of this entry is wanted. */
static int leave_out(struct tw_sink *sink, uint64_t index, enum sink_state state, int error)
{
	int r = tw_sink_end_entry(sink, index, state, error);

	return r ? r : hold_all(sink, index);
}

static int make_entry_folder(struct tw_sink *sink, const char *path, const struct tw_entry *entry,
			     enum sink_state *ret)
{
	const struct tw_fs *fs = &sink->fs;
	struct tw_file_stat st;
	int r = fs->ops->mkdir(fs->context, path, 0700);

	if (r == -ENOENT) {
		r = tw_sink_make_parents(sink, path);
		if (!r)
			r = fs->ops->mkdir(fs->context, path, 0700);
	}
	if (!r) {
		sink->names_changed = true;
		*ret = SINK_FOLDER;
		return 0;
	}
	if (r != -EEXIST)
		return r;
	r = tw_sink_stat_folder(sink, path, &st);
	if (r)
		return r;
	/* Its own user must get in; a folder that is not ours is tried as it is. */
	if ((st.mode & 0700) != 0700)
		fs->ops->set_directory_meta(fs->context, path, st.mode | 0700, entry->mtime_ns);
	*ret = SINK_OLD_FOLDER;
	return 0;
}

static int prepare_folder(struct tw_sink *sink, uint64_t index)
{
	const char *path = tw_sink_path(sink, index);
	enum sink_state state = SINK_DONE;
	int r = 0;

	if (reserved(path))
		r = TW_E_UNSAFE;
	else if (sink->options.write_content)
		r = make_entry_folder(sink, path, tw_manifest_entry(sink->manifest, index), &state);
	if (!r) {
		sink->states[index] = (uint8_t)state;
		return 0;
	}
	return tw_sink_entry_error(r) ? leave_out(sink, index, SINK_FAILED, r) : r;
}

/* An earlier attempt delivered it. */
static int hold_done(struct tw_sink *sink, const struct look *look, const struct tw_digest *digest)
{
	sink->digests[look->index] = *digest;
	return leave_out(sink, look->index, SINK_HELD, 0);
}

/*
 * Did the earlier attempt finish it, and is it still there as it was? Not only when the journal
 * says so: all chunks were checked, the part file is gone and the file stands there with the very
 * time that is set just before it takes its name.
 */
static bool delivered(struct tw_sink *sink, const struct look *look, struct tw_digest *ret)
{
	const struct sink_resumed *resumed = look->resumed;
	struct tw_file_stat part;

	if (!look->same || !look->exists || look->st.kind != TW_KIND_FILE ||
	    look->st.size != look->entry->size || look->st.mtime_ns != look->entry->mtime_ns)
		return false;
	if (resumed->done) {
		*ret = resumed->digest;
		return true;
	}
	if (!resumed->remains || !tw_sink_remains_whole(sink, look->entry, resumed->remains, ret))
		return false;
	return sink_in_place(sink) ||
	       sink->fs.ops->stat(sink->fs.context, tw_sink_work_path(sink, look->index), false,
				  &part) == -ENOENT;
}

/* What stands in the way of @look's file: 0, or why it fails. */
static int obstacle(const struct tw_sink *sink, const struct look *look)
{
	if (!look->exists)
		return 0;
	switch (look->st.kind) {
	case TW_KIND_FILE:
		return 0;
	case TW_KIND_DIRECTORY:
		return -EISDIR;
	case TW_KIND_SYMLINK:
		/* A new name replaces the link itself; writing through it might lead anywhere. */
		return sink_in_place(sink) ? TW_E_UNSAFE : 0;
	case TW_KIND_OTHER:
		break;
	}
	return TW_E_EXISTS;
}

/* Does the overwrite mode keep what is there? A file that this transfer has begun is its own. */
static bool keeps(const struct tw_sink *sink, const struct look *look)
{
	bool begun = look->resumed && !look->resumed->done;

	if (!look->exists)
		return false;
	switch (sink->options.overwrite) {
	case TW_OVERWRITE_IN_PLACE_NEVER:
		return !begun;
	case TW_OVERWRITE_WITH_PARTFILE_NEVER:
		return true;
	case TW_OVERWRITE_IN_PLACE_SAME_SIZE:
		return !begun && look->st.size && look->st.size != look->entry->size;
	default:
		return false;
	}
}

/* Are the bytes that the journal tells of still there? */
static bool remains_there(struct tw_sink *sink, const struct look *look)
{
	struct tw_file_stat st;

	if (!look->same || !look->resumed->remains)
		return false;
	if (sink_in_place(sink))
		st = look->st;
	else if (sink->fs.ops->stat(sink->fs.context, tw_sink_work_path(sink, look->index), false,
				    &st))
		return false;
	else
		return st.kind == TW_KIND_FILE && st.size == look->entry->size;
	return look->exists && st.kind == TW_KIND_FILE && st.size == look->entry->size;
}

/* The journal as it is, and its name, on storage. */
static int sync_journal(struct tw_sink *sink)
{
	const struct tw_fs *fs = &sink->fs;
	int r;

	r = tw_journal_write(sink->journal);
	if (!r)
		r = tw_journal_sync(sink->journal);
	if (!r && !sink->journal_named) {
		r = fs->ops->sync_directory(fs->context, TW_STATE_FOLDER);
		if (!r)
			r = fs->ops->sync_directory(fs->context, "");
		sink->journal_named = !r;
	}
	sink->journal_due = sink->journal_due && r;
	return r;
}

/*
 * The journal's word on a file that is begun now. What it said before of the path is void, and that
 * must be known on storage before there is a new file for it to be believed of. A file in place is
 * ours from now on: without that, a later attempt would think it somebody's.
 */
static int journal_begin(struct tw_sink *sink, const struct look *look)
{
	const struct sink_resumed *resumed = look->resumed;
	struct tw_journal_record record = {
		.type = TW_JOURNAL_ABANDONED,
		.path_hash = look->path_hash,
		.size = look->entry->size,
		.mtime_ns = look->entry->mtime_ns,
	};
	int r = 0;

	if (resumed && (resumed->done || resumed->remains)) {
		sink->journal_due = true;
		r = tw_sink_journal_add(sink, &record);
	}
	if (!r && sink->options.overwrite == TW_OVERWRITE_IN_PLACE_NEVER) {
		sink->journal_due = true;
		record.type = TW_JOURNAL_ENTRY;
		r = tw_sink_journal_add(sink, &record);
	}
	return r;
}

static int begin(struct tw_sink *sink, const struct look *look)
{
	struct sink_file *file;
	int r;

	sink->states[look->index] = SINK_OWED;
	if (remains_there(sink, look))
		return tw_sink_restore(sink, look->index, look->resumed->remains);
	r = journal_begin(sink, look);
	if (r || look->entry->size)
		return r;
	if (sink->journal_due)
		r = sync_journal(sink);
	if (!r)
		r = tw_sink_file_get(sink, look->index, &file);
	return r ? r : tw_sink_file_whole(sink, file);
}

static int stat_target(struct tw_sink *sink, struct look *look)
{
	int r = sink->fs.ops->stat(sink->fs.context, tw_sink_path(sink, look->index), false,
				   &look->st);

	if (r == -ENOENT)
		return 0;
	look->exists = !r;
	return r;
}

static int judge(struct tw_sink *sink, struct look *look)
{
	struct tw_digest digest;
	int r;

	r = stat_target(sink, look);
	if (!r && delivered(sink, look, &digest))
		return hold_done(sink, look, &digest);
	if (!r)
		r = obstacle(sink, look);
	if (r)
		return tw_sink_entry_error(r) ? leave_out(sink, look->index, SINK_FAILED, r) : r;
	if (keeps(sink, look))
		return leave_out(sink, look->index, SINK_SKIPPED, TW_E_EXISTS);
	return begin(sink, look);
}

/* Without writing, a file is nothing but its chunks. */
static int begin_unwritten(struct tw_sink *sink, uint64_t index)
{
	struct sink_file *file;
	int r;

	sink->states[index] = SINK_OWED;
	if (tw_manifest_entry(sink->manifest, index)->size)
		return 0;
	r = tw_sink_file_get(sink, index, &file);
	return r ? r : tw_sink_file_whole(sink, file);
}

static int prepare_file(struct tw_sink *sink, uint64_t index)
{
	const char *path = tw_sink_path(sink, index);
	struct look look = {
		.index = index,
		.entry = tw_manifest_entry(sink->manifest, index),
		.path_hash = tw_sink_path_hash(sink, path),
	};
	int r;

	if (reserved(path))
		return leave_out(sink, index, SINK_FAILED, TW_E_UNSAFE);
	if (tw_map_get(&sink->seen, look.path_hash))
		return leave_out(sink, index, SINK_FAILED, TW_E_EXISTS);
	if (!sink->options.write_content) {
		r = begin_unwritten(sink, index);
	} else {
		look.resumed = tw_map_get(&sink->resumed, look.path_hash);
		look.same = look.resumed && look.resumed->size == look.entry->size &&
			    look.resumed->mtime_ns == look.entry->mtime_ns;
		r = judge(sink, &look);
	}
	if (r)
		return r;
	tw_sink_forget_resumed(sink, look.path_hash);
	return tw_map_set(&sink->seen, look.path_hash, sink);
}

/* Only a file goes, as when another one takes its name; a folder stays. */
static int remove_target(struct tw_sink *sink, const char *path)
{
	const struct tw_fs *fs = &sink->fs;
	char backup[SINK_PATH_MAX + 8];
	struct tw_file_stat st;
	int r = fs->ops->stat(fs->context, path, false, &st);

	if (r)
		return r;
	if (st.kind == TW_KIND_DIRECTORY)
		return -EISDIR;
	sink->names_changed = true;
	if (sink->options.overwrite != TW_OVERWRITE_WITH_PARTFILE_BACKUP)
		return fs->ops->unlink(fs->context, path);
	snprintf(backup, sizeof(backup), "%s.bak", path);
	return fs->ops->rename(fs->context, path, backup, true);
}

static int prepare_removal(struct tw_sink *sink, uint64_t index)
{
	bool kept = !sink->options.write_content ||
		    sink->options.overwrite == TW_OVERWRITE_IN_PLACE_NEVER ||
		    sink->options.overwrite == TW_OVERWRITE_WITH_PARTFILE_NEVER;
	const char *path = tw_sink_path(sink, index);
	int r = 0;

	if (reserved(path))
		r = TW_E_UNSAFE;
	else if (!kept)
		r = remove_target(sink, path);
	/* It may have gone in an earlier attempt. */
	if (!r || r == -ENOENT || r == -ENOTDIR) {
		sink->states[index] = SINK_DONE;
		return 0;
	}
	return tw_sink_entry_error(r) ? leave_out(sink, index, SINK_FAILED, r) : r;
}

static int prepare_entry(struct tw_sink *sink, uint64_t index)
{
	uint8_t kind = tw_manifest_entry(sink->manifest, index)->kind;

	if (sink->states[index] == SINK_ABANDONED)
		return hold_all(sink, index);
	if (kind == TW_KIND_DIRECTORY)
		return prepare_folder(sink, index);
	if (kind == TW_KIND_REMOVAL)
		return prepare_removal(sink, index);
	return prepare_file(sink, index);
}

int tw_sink_prepare(struct tw_sink *sink, unsigned entries, uint64_t *ret_ready)
{
	uint64_t count = tw_manifest_count(sink->manifest);
	int r = sink->broken;

	for (; !r && entries && sink->prepared < count; entries--) {
		r = prepare_entry(sink, sink->prepared);
		if (!r)
			sink->prepared++;
	}
	if (!r && sink->journal_due)
		r = sync_journal(sink);
	if (r)
		return r;
	*ret_ready = tw_sink_ready(sink);
	if (sink->prepared < count)
		return 0;
	return sink->manifest_complete ? TW_E_END : TW_E_AGAIN;
}

uint64_t tw_sink_chunks(const struct tw_sink *sink)
{
	const struct tw_entry *last;

	if (!sink->prepared)
		return 0;
	last = tw_manifest_entry(sink->manifest, sink->prepared - 1);
	return last->chunk_first + tw_entry_chunks(last);
}
