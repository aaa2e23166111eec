#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "content/glob.h"
#include "content/names.h"
#include "content/source_internal.h"

static void note(struct tw_source *source, int error, bool fatal, bool harmless)
{
	const struct source_note what = {
		.entry = UINT64_MAX, .error = error, .fatal = fatal, .harmless = harmless,
	};

	tw_source_note(source, &what, source->walk.source);
}

static bool any_matches(const char *const *patterns, size_t count, const char *path, bool folder)
{
	for (size_t i = 0; i < count; i++) {
		if (tw_glob_match_path(patterns[i], path, folder))
			return true;
	}
	return false;
}

static bool excluded(const struct tw_source *source, bool folder)
{
	const struct tw_source_options *options = &source->options;

	return any_matches(options->exclude, options->exclude_count, source->walk.path, folder) ||
	       (!folder && options->include_count &&
		!any_matches(options->include, options->include_count, source->walk.path, false));
}

static void free_folder(struct walk_folder *folder)
{
	free(folder->names);
	*folder = (struct walk_folder){ 0 };
}

void tw_source_walk_free(struct walk *walk)
{
	while (walk->depth)
		free_folder(&walk->folders[--walk->depth]);
	free(walk->folders);
	walk->folders = NULL;
}

static int reserve_error(struct tw_source *source)
{
	uint64_t count = tw_listing_entries(source->listing), room;
	int16_t *errors;

	if (count < source->error_room)
		return 0;
	room = count + count / 2 + 64;
	errors = realloc(source->errors, room * sizeof(*errors));
	if (!errors)
		return -ENOMEM;
	source->errors = errors;
	source->error_room = room;
	return 0;
}

static int append(struct tw_source *source, const char *path, const struct tw_entry *entry,
		  int64_t ctime_ns)
{
	uint64_t index = tw_listing_entries(source->listing);
	int r;

	r = reserve_error(source);
	if (!r)
		r = tw_listing_append(source->listing, path, entry, ctime_ns);
	if (!r)
		source->errors[index] = 0;
	return r;
}

/* The folders above that wait for something inside to go. */
static int append_folders(struct tw_source *source)
{
	struct walk *walk = &source->walk;

	for (size_t i = 0; i < walk->depth; i++) {
		struct walk_folder *folder = &walk->folders[i];
		char saved = walk->path[folder->path_length];
		int r;

		if (folder->appended)
			continue;
		walk->path[folder->path_length] = '\0';
		r = append(source, walk->path, &folder->entry, 0);
		walk->path[folder->path_length] = saved;
		if (r)
			return r;
		folder->appended = true;
	}
	return 0;
}

static void add_file(struct tw_source *source, const struct tw_file_stat *st)
{
	const struct tw_entry entry = {
		.kind = TW_KIND_FILE,
		.size = st->size,
		.mode = st->mode & 0777,
		.mtime_ns = st->mtime_ns,
		.flags = st->allocated < st->size ? TW_ENTRY_SPARSE : 0,
	};
	int r;

	if (excluded(source, false))
		return;
	r = append_folders(source);
	if (!r)
		r = append(source, source->walk.path, &entry, st->ctime_ns);
	if (r)
		note(source, r, false, false);
}

static int add_name(void *context, const char *name)
{
	struct walk_folder *folder = context;
	size_t n = strlen(name) + 1;

	if (folder->length + n > folder->room) {
		size_t room = folder->room * 2 + n + 256;
		char *names = realloc(folder->names, room);

		if (!names)
			return -ENOMEM;
		folder->names = names;
		folder->room = room;
	}
	memcpy(folder->names + folder->length, name, n);
	folder->length += n;
	return 0;
}

/* A link may lead back to a folder that is being walked: that would never end. */
static bool is_loop(const struct walk *walk, const struct tw_file_stat *st)
{
	for (size_t i = 0; i < walk->depth; i++) {
		if (walk->folders[i].inode == st->inode && walk->folders[i].device == st->device)
			return true;
	}
	return false;
}

static struct walk_folder *push(struct walk *walk)
{
	if (walk->depth == walk->room) {
		size_t room = walk->room * 2 + 16;
		struct walk_folder *folders = realloc(walk->folders, room * sizeof(*folders));

		if (!folders)
			return NULL;
		walk->folders = folders;
		walk->room = room;
	}
	walk->folders[walk->depth] = (struct walk_folder){ 0 };
	return &walk->folders[walk->depth++];
}

/* The folder at the walk's paths. @top: its own entry is not wanted. */
static void enter_folder(struct tw_source *source, const struct tw_file_stat *st, bool top)
{
	struct walk *walk = &source->walk;
	struct walk_folder *folder;
	int r;

	if (!top && excluded(source, true))
		return;
	if (is_loop(walk, st)) {
		note(source, -ELOOP, false, true);
		return;
	}
	folder = push(walk);
	if (!folder) {
		note(source, -ENOMEM, false, false);
		return;
	}
	folder->source_length = strlen(walk->source);
	folder->path_length = strlen(walk->path);
	folder->device = st->device;
	folder->inode = st->inode;
	folder->entry = (struct tw_entry){
		.kind = TW_KIND_DIRECTORY, .mode = st->mode & 0777, .mtime_ns = st->mtime_ns,
	};
	folder->appended = top;
	r = source->options.include_count ? 0 : append_folders(source);
	if (!r)
		r = source->fs.ops->list(source->fs.context, walk->source, add_name, folder);
	if (r)
		note(source, r, false, false);
}

/* What the walk's source path is, links looked through. False: nothing to send there. */
static bool look(struct tw_source *source, bool named, struct tw_file_stat *ret)
{
	const struct tw_fs *fs = &source->fs;
	bool link;
	int r;

	r = fs->ops->stat(fs->context, source->walk.source, named, ret);
	link = !r && ret->kind == TW_KIND_SYMLINK;
	if (link && source->options.symlinks == TW_SYMLINKS_IGNORE)
		return false;
	if (link)
		r = fs->ops->stat(fs->context, source->walk.source, true, ret);
	if (r) {
		note(source, r, named, link && (r == -ENOENT || r == -ELOOP));
		return false;
	}
	if (ret->kind != TW_KIND_FILE && ret->kind != TW_KIND_DIRECTORY) {
		note(source, -EOPNOTSUPP, named, !named);
		return false;
	}
	return true;
}

/* Puts @name behind both paths. */
static int join(struct walk *walk, const struct walk_folder *folder, const char *name)
{
	size_t n = strlen(name), source = folder->source_length, path = folder->path_length;

	if (source + 1 + n > TW_SOURCE_PATH_MAX || path + (path > 0) + n > TW_PATH_MAX)
		return -ENAMETOOLONG;
	walk->source[source] = '/';
	memcpy(walk->source + source + 1, name, n + 1);
	if (path)
		walk->path[path++] = '/';
	memcpy(walk->path + path, name, n + 1);
	return 0;
}

static void cut(struct walk *walk, const struct walk_folder *folder)
{
	walk->source[folder->source_length] = '\0';
	walk->path[folder->path_length] = '\0';
}

/* The next name of the innermost folder. */
static void step(struct tw_source *source)
{
	struct walk *walk = &source->walk;
	struct walk_folder *folder = &walk->folders[walk->depth - 1];
	struct tw_file_stat st;
	const char *name;
	int r;

	cut(walk, folder);
	if (folder->at == folder->length) {
		free_folder(folder);
		walk->depth--;
		return;
	}
	name = folder->names + folder->at;
	folder->at += strlen(name) + 1;
	r = join(walk, folder, name);
	if (r) {
		note(source, r, false, false);
		return;
	}
	/* What an unfinished transfer left here is not content. */
	if (tw_name_reserved(name, strlen(name))) {
		note(source, TW_E_DENIED, false, true);
		return;
	}
	if (!look(source, false, &st))
		return;
	if (st.kind != TW_KIND_DIRECTORY)
		add_file(source, &st);
	else if (!source->options.flat)
		enter_folder(source, &st, false);
}

/* A file without a destination of its own keeps its name. */
static int name_of_file(struct walk *walk)
{
	size_t end = strlen(walk->source), start;

	while (end && walk->source[end - 1] == '/')
		end--;
	for (start = end; start && walk->source[start - 1] != '/'; start--)
		;
	if (end - start > TW_PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(walk->path, walk->source + start, end - start);
	walk->path[end - start] = '\0';
	return 0;
}

static void append_removal(struct tw_source *source, const char *path)
{
	const struct tw_entry entry = { .kind = TW_KIND_REMOVAL };
	int r = tw_path_check(path, strlen(path));

	snprintf(source->walk.source, sizeof(source->walk.source), "%s", path);
	if (!r)
		r = tw_listing_add_place(source->listing, "", strlen(path));
	if (!r)
		r = append(source, path, &entry, 0);
	if (r)
		note(source, r, true, false);
}

static void begin_mapping(struct tw_source *source, const struct tw_source_mapping *mapping)
{
	struct walk *walk = &source->walk;
	size_t length = strlen(mapping->source), destination = strlen(mapping->destination);
	struct tw_file_stat st;
	int r = 0;

	walk->path[0] = '\0';
	if (length > TW_SOURCE_PATH_MAX) {
		walk->source[0] = '\0';
		note(source, -ENAMETOOLONG, true, false);
		return;
	}
	memcpy(walk->source, mapping->source, length + 1);
	if (destination && tw_path_check(mapping->destination, destination)) {
		note(source, TW_E_UNSAFE, true, false);
		return;
	}
	memcpy(walk->path, mapping->destination, destination + 1);
	if (!look(source, true, &st))
		return;
	if (st.kind == TW_KIND_FILE && !destination)
		r = name_of_file(walk);
	if (!r)
		r = tw_listing_add_place(source->listing, mapping->source, strlen(walk->path));
	if (r)
		note(source, r, true, false);
	else if (st.kind == TW_KIND_DIRECTORY)
		enter_folder(source, &st, !destination);
	else
		add_file(source, &st);
}

static void next_mapping(struct tw_source *source)
{
	const struct tw_source_mapping *mapping =
		&source->options.mappings[source->walk.mapping++];

	if (mapping->source)
		begin_mapping(source, mapping);
	else
		append_removal(source, mapping->destination);
}

bool tw_source_walk_over(const struct tw_source *source)
{
	return !source->walk.depth && source->walk.mapping == source->options.mapping_count;
}

int tw_source_walk(struct tw_source *source, unsigned entries)
{
	struct walk *walk = &source->walk;

	for (; entries; entries--) {
		if (walk->depth)
			step(source);
		else if (walk->mapping < source->options.mapping_count)
			next_mapping(source);
		else
			return TW_E_END;
	}
	return 0;
}
