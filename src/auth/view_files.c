/* view_files.c - file operations in a view: each mount's part by its agent, the rest from here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/view_internal.h"
#include "base/error.h"

struct run {
	struct tw_view *view;
	const struct tw_files_request *request;
	bool (*cancelled)(void *context);
	void *context;
	struct tw_files_result *result;
	size_t entries; /* of all listings */
	struct tw_view_place from, to;
};

static int fail(struct run *run, int error, const char *path)
{
	return tw_files_fail(run->result, error, path);
}

/* What the agent says of its part; its paths become ours. @ret has to be deinited. */
static int ask(struct run *run, const struct tw_view_place *place, struct tw_agent_files *files,
	       struct tw_files_result *ret)
{
	char below[TW_ROOT_PATH_ROOM];

	files->root = place->root;
	files->cancelled = run->cancelled;
	files->context = run->context;
	tw_agent_files_run(files, ret);
	if (!ret->error || !*place->at)
		return ret->error;
	memcpy(below, ret->path, sizeof(below));
	if (snprintf(ret->path, sizeof(ret->path), "%s%s%s", place->at, *below ? "/" : "", below) >=
	    (int)sizeof(ret->path))
		ret->path[sizeof(ret->path) - 1] = '\0';
	return ret->error;
}

static bool holds_mounts(const struct run *run, const struct tw_view_place *place)
{
	return tw_sandbox_holds_mounts(&run->view->mounts, place->path);
}

static bool leads_to_mounts(const struct run *run, const struct tw_view_place *place)
{
	return tw_sandbox_leads_to_mounts(&run->view->mounts, place->path);
}

/* Listing. */

static struct tw_files_entry *find_entry(const struct tw_files_listing *listing, size_t count,
					 const char *name)
{
	const struct tw_files_entry key = { .name = (char *)name };

	return count ? bsearch(&key, listing->entries, count, sizeof(key), tw_files_compare_entries)
		     : NULL;
}

/* Mounts are folders, whatever lies under them. */
static int add_mounts(struct run *run, const char *path, struct tw_files_listing *listing)
{
	size_t found = listing->entry_count, count;
	struct tw_files_entry *entries;
	char(*names)[256];
	int r = tw_view_names(run->view, path, &names, &count);

	if (r)
		return r;
	entries = count ? realloc(listing->entries, (found + count) * sizeof(*entries)) : NULL;
	if (entries)
		listing->entries = entries;
	r = count && !entries ? -ENOMEM : 0;
	for (size_t i = 0; !r && i < count; i++) {
		struct tw_files_entry *entry = find_entry(listing, found, names[i]);
		char *name = entry ? entry->name : strdup(names[i]);

		if (!entry)
			entry = &listing->entries[listing->entry_count];
		if (!name)
			r = -ENOMEM;
		else if (entry == &listing->entries[listing->entry_count])
			listing->entry_count++;
		if (name)
			*entry = (struct tw_files_entry){ .name = name, .is_directory = true };
	}
	free(names);
	if (count && listing->entry_count)
		qsort(listing->entries, listing->entry_count, sizeof(*listing->entries),
		      tw_files_compare_entries);
	return r;
}

static void take_listing(struct tw_files_listing *listing, struct tw_files_result *part)
{
	struct tw_files_listing *from = part->listings;

	if (!from)
		return;
	listing->is_directory = from->is_directory;
	listing->size = from->size;
	listing->mtime_ns = from->mtime_ns;
	listing->entries = from->entries;
	listing->entry_count = from->entry_count;
	from->entries = NULL;
	from->entry_count = 0;
}

static int list_path(void *context, struct tw_files_listing *listing)
{
	struct run *run = context;
	struct tw_view_place *place = &run->from;
	struct tw_files_request request = { .operation = TW_FILES_LS };
	struct tw_agent_files files = { .request = &request };
	struct tw_files_result *part;
	int r = run->entries > TW_FILES_ENTRIES_MAX
			? TW_E_FULL
			: tw_view_find(run->view, listing->path, place);

	if (r)
		return r;
	part = calloc(1, sizeof(*part));
	if (!part)
		return -ENOMEM;
	request.path = place->rest;
	if (place->root)
		r = ask(run, place, &files, part);
	if (!r)
		take_listing(listing, part);
	tw_files_result_deinit(part);
	free(part);
	if (!place->root || (r == -ENOENT && leads_to_mounts(run, place))) {
		listing->is_directory = true;
		r = 0;
	}
	if (!r && listing->is_directory)
		r = add_mounts(run, place->path, listing);
	run->entries += listing->entry_count;
	return !r && run->entries > TW_FILES_ENTRIES_MAX ? TW_E_FULL : r;
}

static int run_ls(struct run *run)
{
	return tw_files_list(run->request, list_path, run, run->result);
}

/* Measuring. */

static int measure(struct run *run, const struct tw_view_place *place)
{
	struct tw_files_request request = { .operation = TW_FILES_DU, .path = place->rest };
	struct tw_agent_files files = { .request = &request };
	struct tw_files_result *part = calloc(1, sizeof(*part));
	int r;

	if (!part)
		return fail(run, -ENOMEM, "");
	r = ask(run, place, &files, part);
	run->result->bytes += part->bytes;
	run->result->files += part->files;
	run->result->unreadable += part->unreadable;
	if (r)
		fail(run, r, part->path);
	tw_files_result_deinit(part);
	free(part);
	return r;
}

static int run_du(struct run *run)
{
	const struct tw_mounts *mounts = &run->view->mounts;
	struct tw_view_place *place = &run->from;
	int r = tw_view_find(run->view, run->request->path, place);

	if (r)
		return fail(run, r, run->request->path);
	if (place->root)
		r = measure(run, place);
	if (r == -ENOENT && leads_to_mounts(run, place)) {
		run->result->error = r = 0;
		*run->result->path = '\0';
	}
	/* What is mounted further in; that it hides what lies there is as on any system. */
	for (size_t i = 0; !r && i < mounts->count; i++) {
		size_t length = strlen(place->path);
		const char *at = mounts->items[i].at;
		const struct tw_view_place below = { .root = run->view->roots[i],
						     .at = at,
						     .rest = "" };

		if (strlen(at) > length && !strncmp(at, place->path, length) &&
		    (!length || at[length] == '/'))
			r = measure(run, &below);
	}
	return r;
}

/* Changing. */

static int find_for_change(struct run *run, const char *path, struct tw_view_place *ret)
{
	int r = tw_view_find(run->view, path, ret);

	return r == -ENOENT ? -EACCES : r;
}

/* @to_root: of a second path; NULL: there is none. */
static int run_there(struct run *run, struct tw_agent_root *to_root)
{
	const struct tw_files_request *asked = run->request;
	struct tw_files_request request = {
		.operation = asked->operation,
		.path = run->from.rest,
		.to = run->to.rest,
		.overwrite = asked->overwrite,
		.recursive = asked->recursive,
	};

	struct tw_agent_files files = { .request = &request, .to_root = to_root };

	return ask(run, &run->from, &files, run->result);
}

static int run_mkdir(struct run *run)
{
	int r = find_for_change(run, run->request->path, &run->from);

	if (r)
		return fail(run, r, run->request->path);
	/* What leads to a mount is there already. */
	return run->from.root ? run_there(run, NULL) : 0;
}

static int run_mk_file(struct run *run)
{
	int r = find_for_change(run, run->request->path, &run->from);

	/* The top is always there, even of a view with nothing in it. */
	if (!r && (!run->from.root || holds_mounts(run, &run->from)))
		r = -EEXIST;
	return r ? fail(run, r, run->request->path) : run_there(run, NULL);
}

static int run_rm(struct run *run)
{
	int r = find_for_change(run, run->request->path, &run->from);

	if (!r && (!run->from.root || holds_mounts(run, &run->from)))
		r = -EBUSY;
	return r ? fail(run, r, run->request->path) : run_there(run, NULL);
}

static int run_mv(struct run *run)
{
	int r = find_for_change(run, run->request->path, &run->from);

	if (!r && (!run->from.root || holds_mounts(run, &run->from)))
		r = -EBUSY;
	if (r)
		return fail(run, r, run->request->path);
	r = find_for_change(run, run->request->to, &run->to);
	if (!r && (!run->to.root || holds_mounts(run, &run->to)))
		r = -EBUSY;
	if (r)
		return fail(run, r, run->request->to);
	return run_there(run, run->to.root);
}

static int (*const operations[])(struct run *run) = {
	[TW_FILES_LS] = run_ls,           [TW_FILES_DU] = run_du, [TW_FILES_MKDIR] = run_mkdir,
	[TW_FILES_MK_FILE] = run_mk_file, [TW_FILES_MV] = run_mv, [TW_FILES_RM] = run_rm,
};

void tw_view_files_run(struct tw_view *view, const struct tw_files_request *request,
		       bool (*cancelled)(void *context), void *context, struct tw_files_result *ret)
{
	struct run *run = calloc(1, sizeof(*run));
	int r = run ? tw_view_ready(view) : -ENOMEM;

	*ret = (struct tw_files_result){ .error = r };
	if (!r) {
		run->view = view;
		run->request = request;
		run->cancelled = cancelled;
		run->context = context;
		run->result = ret;
		operations[request->operation](run);
	}
	free(run);
}
