/*
 * manifests.c - what is to be sent: a list of paths that becomes a listing in the background. The
 * listing is kept in the store and read when a transfer starts or somebody looks at the files; it
 * stays in memory for a while after its last use.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/build.h"
#include "engine/engine_internal.h"
#include "engine/pool.h"
#include "engine/reach.h"
#include "netio/clock.h"

#define MAPPINGS_MAX 100000
#define PATTERNS_MAX 1000
#define LISTING_KEPT (30 * TW_SECOND)
#define DECODED_AT_ONCE ((size_t)64 << 10) /* stored bytes: some thousand entries */

static const char *const statuses[] = { "pending", "complete", "error" };

static const struct tw_saved rows[] = {
	TW_SAVED(struct tw_manifest_object, STRING, error_message, "error"),
	TW_SAVED(struct tw_manifest_object, STRING, fence, "fence"),
	TW_SAVED(struct tw_manifest_object, U64, total_files, "files"),
	TW_SAVED(struct tw_manifest_object, U64, total_size, "size"),
	TW_SAVED(struct tw_manifest_object, U64, total_entries, "entries"),
};
#define ROWS (sizeof(rows) / sizeof(*rows))

static struct tw_manifest_object *of(struct tw_object *object)
{
	return (struct tw_manifest_object *)object;
}

/* Building. */

static void manifest_event(struct tw_manifest_object *manifest, const char *name)
{
	tw_engine_event(manifest->object.engine, name, manifest->object.owner,
			tw_structure_json(&tw_manifest_structure, tw_manifest_fill(manifest)));
}

static void set_message(struct tw_manifest_object *manifest, const char *message)
{
	char clean[400];

	free(manifest->error_message);
	tw_copy_text(tw_text_clean(message, strlen(message), clean, sizeof(clean)),
		     &manifest->error_message);
}

static void built(void *context, struct tw_build_result *result)
{
	struct tw_manifest_object *manifest = context;
	int r = result->error;

	manifest->build = NULL;
	set_message(manifest, result->message);
	if (r == -ECANCELED) {
		/* The server stops: it is made anew at the next start. */
		return;
	}
	if (!r) {
		manifest->listing = result->listing;
		manifest->listing_used_at = tw_clock_now();
		manifest->total_files = tw_listing_files(result->listing);
		manifest->total_size = tw_listing_bytes(result->listing);
		manifest->total_entries = tw_listing_entries(result->listing);
		manifest->status = TW_MANIFEST_COMPLETE;
		/* The listing holds all that the recipe was for. */
		json_decref(manifest->recipe);
		manifest->recipe = NULL;
		r = tw_persist_blob(&manifest->object, result->blob, result->blob_length);
		free(result->blob);
		if (r)
			set_message(manifest, "The manifest could not be stored.");
	}
	if (r)
		manifest->status = TW_MANIFEST_ERROR;
	tw_object_changed(&manifest->object);
	manifest_event(manifest, r ? "send.manifestError" : "send.manifestComplete");
	tw_waits_wake(manifest->object.engine, manifest->object.id);
}

static const char **texts_of(const json_t *list)
{
	const char **texts = calloc(json_array_size(list) + 1, sizeof(*texts));

	for (size_t i = 0; texts && i < json_array_size(list); i++)
		texts[i] = json_string_value(json_array_get(list, i));
	return texts;
}

/* Pairs of source and destination, one behind the other. */
static struct tw_source_mapping *mappings_of(const json_t *list)
{
	struct tw_source_mapping *mappings =
		calloc(json_array_size(list) / 2 + 1, sizeof(*mappings));

	for (size_t i = 0; mappings && i + 1 < json_array_size(list); i += 2) {
		mappings[i / 2].source = json_string_value(json_array_get(list, i));
		mappings[i / 2].destination = json_string_value(json_array_get(list, i + 1));
	}
	return mappings;
}

static int start_build(struct tw_manifest_object *manifest)
{
	struct tw_engine *engine = manifest->object.engine;
	const json_t *recipe = manifest->recipe;
	const json_t *mappings = json_object_get(recipe, "mappings");
	const json_t *include = json_object_get(recipe, "include");
	const json_t *exclude = json_object_get(recipe, "exclude");
	struct tw_source_options options = {
		.mappings = mappings_of(mappings),
		.mapping_count = json_array_size(mappings) / 2,
		.include = texts_of(include),
		.include_count = json_array_size(include),
		.exclude = texts_of(exclude),
		.exclude_count = json_array_size(exclude),
		.symlinks = json_is_true(json_object_get(recipe, "follow")) ? TW_SYMLINKS_FOLLOW
									    : TW_SYMLINKS_IGNORE,
		.flat = !json_is_true(json_object_get(recipe, "recursive")),
		.read_content = true,
	};
	struct tw_fs fs;
	int r = tw_reach_fs(engine, manifest->object.owner, manifest->fence, &fs);

	if (!r) {
		r = -ENOMEM;
		if (options.mappings && options.include && options.exclude)
			r = tw_build_start(engine->pool, &fs, &options,
					   tw_pool_owner(manifest->object.owner), &manifest->build);
		tw_fs_drop(&fs);
	}
	if (!r)
		tw_build_on_done(manifest->build, built, manifest);
	free((void *)options.mappings);
	free((void *)options.include);
	free((void *)options.exclude);
	return r;
}

/* Life. */

static void manifest_free(struct tw_object *object)
{
	struct tw_manifest_object *manifest = of(object);

	if (manifest->build)
		tw_build_stop(manifest->build);
	tw_listing_drop(manifest->listing);
	json_decref(manifest->recipe);
	free(manifest->error_message);
	free(manifest->fence);
	tw_object_deinit(object);
	free(manifest);
}

void tw_manifest_remove(struct tw_manifest_object *manifest)
{
	tw_object_remove(&manifest->object);
	manifest_free(&manifest->object);
}

static json_t *manifest_encode(const struct tw_object *object)
{
	const struct tw_manifest_object *manifest = (const struct tw_manifest_object *)object;
	json_t *body = json_object();

	if (tw_saved_encode(rows, ROWS, object, body) ||
	    json_object_set_new(body, "status", json_string(statuses[manifest->status])) ||
	    (manifest->recipe && json_object_set(body, "recipe", manifest->recipe))) {
		json_decref(body);
		return NULL;
	}
	return body;
}

static const char *manifest_state(const struct tw_object *object)
{
	return statuses[((const struct tw_manifest_object *)object)->status];
}

static int manifest_decode(struct tw_object *object, const json_t *body)
{
	const char *status = json_string_value(json_object_get(body, "status"));
	struct tw_manifest_object *manifest = of(object);

	if (!status)
		return TW_E_FORMAT;
	manifest->status = TW_MANIFEST_ERROR;
	for (int i = 0; i <= TW_MANIFEST_ERROR; i++)
		if (!strcmp(status, statuses[i]))
			manifest->status = (enum tw_manifest_status)i;
	manifest->recipe = json_incref(json_object_get(body, "recipe"));
	return tw_saved_decode(rows, ROWS, body, manifest);
}

static void manifest_loaded(struct tw_object *object)
{
	struct tw_manifest_object *manifest = of(object);

	if (manifest->status == TW_MANIFEST_PENDING && start_build(manifest)) {
		manifest->status = TW_MANIFEST_ERROR;
		set_message(manifest, "It could not be made when the server was started again; "
				      "make another.");
	}
}

const struct tw_kind tw_manifest_kind = {
	.size = sizeof(struct tw_manifest_object),
	.encode = manifest_encode,
	.state = manifest_state,
	.decode = manifest_decode,
	.loaded = manifest_loaded,
	.free = manifest_free,
};

void tw_manifest_use(struct tw_manifest_object *manifest)
{
	manifest->uses++;
}

void tw_manifest_drop(struct tw_manifest_object *manifest)
{
	manifest->uses--;
}

/* A listing that is decoded on a thread. */
struct loading {
	struct tw_pool_job job;
	struct tw_engine *engine;
	char manifest_id[TW_OBJECT_ID];
	void *blob;
	size_t length;
	struct tw_listing *listing;
	int error;
};

static void loading_run(struct tw_pool_job *job)
{
	struct loading *loading = TW_OWNER(job, struct loading, job);

	loading->error = tw_listing_decode(loading->blob, loading->length, &loading->listing);
}

static void explain(int error, char ret[256])
{
	snprintf(
		ret, 256,
		"The stored manifest cannot be read (%s); make the manifest and the transfer anew.",
		tw_strerror(error));
}

/* Whoever waits for it is in some queue; a failure shows when it is asked for again. */
static void loading_done(struct tw_pool_job *job)
{
	struct loading *loading = TW_OWNER(job, struct loading, job);
	struct tw_engine *engine = loading->engine;
	struct tw_manifest_object *manifest =
		of(tw_shelf_find(&engine->manifests, loading->manifest_id));

	if (manifest && manifest->loading) {
		manifest->loading = false;
		manifest->damaged = loading->error;
		if (!manifest->listing) {
			manifest->listing = loading->listing;
			loading->listing = NULL;
		}
		manifest->listing_used_at = tw_clock_now();
		for (size_t i = 0; i < engine->destinations.used; i++)
			if (engine->destinations.items[i])
				tw_queue_kick(
					(struct tw_destination *)engine->destinations.items[i]);
	}
	tw_listing_drop(loading->listing);
	free(loading->blob);
	free(loading);
}

static int load_on_thread(struct tw_manifest_object *manifest, void *blob, size_t length)
{
	struct loading *loading = calloc(1, sizeof(*loading));

	if (!loading)
		return -ENOMEM;
	loading->job.run = loading_run;
	loading->job.done = loading_done;
	loading->engine = manifest->object.engine;
	memcpy(loading->manifest_id, manifest->object.id, TW_OBJECT_ID);
	loading->blob = blob;
	loading->length = length;
	manifest->loading = true;
	tw_pool_submit(manifest->object.engine->pool, &loading->job);
	return 0;
}

static struct tw_listing *read_listing(struct tw_manifest_object *manifest, size_t length_max,
				       char ret[256])
{
	int r = manifest->damaged;
	size_t length = 0;
	void *blob = NULL;

	manifest->listing_used_at = tw_clock_now();
	if (manifest->listing)
		return manifest->listing;
	if (manifest->loading && length_max != SIZE_MAX)
		return NULL;
	if (!r)
		r = tw_store_blob(manifest->object.engine->store, TW_STORE_MANIFEST,
				  manifest->object.id, &blob, &length);
	if (!r && length > length_max) {
		r = load_on_thread(manifest, blob, length);
		if (!r)
			return NULL;
	} else if (!r) {
		r = tw_listing_decode(blob, length, &manifest->listing);
	}
	free(blob);
	if (r)
		explain(r, ret);
	return r ? NULL : manifest->listing;
}

struct tw_listing *tw_manifest_listing(struct tw_manifest_object *manifest, char ret[256])
{
	return read_listing(manifest, DECODED_AT_ONCE, ret);
}

struct tw_listing *tw_manifest_listing_now(struct tw_manifest_object *manifest, char ret[256])
{
	return read_listing(manifest, SIZE_MAX, ret);
}

/* In memory: whoever sends by it has a reference of his own. */
static void forget_listing(struct tw_manifest_object *manifest)
{
	tw_listing_drop(manifest->listing);
	manifest->listing = NULL;
}

void tw_manifests_trim(struct tw_engine *engine, tw_ns now)
{
	for (size_t i = 0; i < engine->manifests.used; i++) {
		struct tw_manifest_object *manifest = of(engine->manifests.items[i]);

		if (manifest && manifest->listing &&
		    tw_ns_since(now, manifest->listing_used_at) > LISTING_KEPT)
			forget_listing(manifest);
	}
}

/* Whoever looks at one manifest after the other does not fill the memory: it is the oldest of those
 * few that makes room. */
static void note_looked_at(struct tw_manifest_object *manifest)
{
	struct tw_engine *engine = manifest->object.engine;
	char *place = engine->looked_at[engine->looked_at_next++ % TW_LOOKED_AT_MAX];
	struct tw_manifest_object *before = of(tw_shelf_find(&engine->manifests, place));

	if (before && before != manifest)
		forget_listing(before);
	memcpy(place, manifest->object.id, TW_OBJECT_ID);
}

/* Creation. */

/* Components of @path that climb out of their root, or "." ones, have no place in a mapping. */
static bool climbs(const char *path)
{
	while (*path) {
		size_t length = strcspn(path, "/");

		if (length == 2 && !strncmp(path, "..", 2))
			return true;
		path += length;
		path += strspn(path, "/");
	}
	return false;
}

static int add_source(json_t *list, const char *path, struct tw_fault *fault)
{
	json_t *value;

	if (!path || !*path)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "fileMappings",
				    "Every mapping needs srcPath, a path on this server.");
	if (climbs(path))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "fileMappings",
				    "\"%.120s\" has a \"..\" in it; name the path without.", path);
	path += strspn(path, "/");
	value = json_string(*path ? path : ".");
	if (!value || json_array_append_new(list, value))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "fileMappings",
				    "Paths must be UTF-8 to be named here; name the folder above.");
	return TW_FAULT_NONE;
}

static int add_destination(json_t *list, const char *path, struct tw_fault *fault)
{
	size_t length;
	json_t *value;

	while (path && *path == '/')
		path++;
	length = path ? strlen(path) : 0;
	while (length && path[length - 1] == '/')
		length--;
	if (length && tw_path_check(path, length))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "fileMappings",
				    "\"%.120s\" must be a path below the destination folder: no "
				    "\"..\" or \".\", no empty part.",
				    path);
	value = json_stringn(length ? path : "", length);
	if (!value || json_array_append_new(list, value))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "fileMappings",
				    "Paths must be UTF-8.");
	return TW_FAULT_NONE;
}

static int make_mappings(const struct tw_manifest_options *options, json_t *list,
			 struct tw_fault *fault)
{
	int r = TW_FAULT_NONE;

	if (!options->mapping_count)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "fileMappings",
				    "A manifest needs at least one mapping of a source path to a "
				    "destination path.");
	if (options->mapping_count > MAPPINGS_MAX)
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, "fileMappings",
				    "At most %d mappings fit one manifest; name folders, or make "
				    "several.",
				    MAPPINGS_MAX);
	for (size_t i = 0; !r && i < options->mapping_count; i++) {
		const struct tw_manifest_mapping *mapping = &options->mappings[i];

		/* Without a source: what is called so at the destination goes. */
		if (!mapping->src_path && mapping->dest_path && *mapping->dest_path)
			r = json_array_append_new(list, json_null()) ? tw_no_memory(fault)
								     : TW_FAULT_NONE;
		else
			r = add_source(list, mapping->src_path, fault);
		if (!r)
			r = add_destination(list, mapping->dest_path, fault);
	}
	return r;
}

static int make_patterns(const char *name, const struct tw_strings *patterns, json_t *recipe,
			 struct tw_fault *fault)
{
	json_t *list = json_array();

	if (json_object_set_new(recipe, name, list))
		return tw_no_memory(fault);
	if (patterns->count > PATTERNS_MAX)
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, name, "At most %d patterns fit.",
				    PATTERNS_MAX);
	for (size_t i = 0; i < patterns->count; i++)
		if (json_array_append_new(list, json_string(patterns->items[i])))
			return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, name,
					    "Patterns must be UTF-8.");
	return TW_FAULT_NONE;
}

static int make_recipe(const struct tw_caller *caller, const struct tw_manifest_options *options,
		       struct tw_manifest_object *manifest, struct tw_fault *fault)
{
	json_t *mappings = json_array();
	int r;

	manifest->recipe = json_pack("{sosbsb}", "mappings", mappings, "recursive",
				     options->recursive, "follow", options->follow_symlinks);
	if (!manifest->recipe ||
	    !tw_copy_text(caller->token ? caller->token_path : NULL, &manifest->fence))
		return tw_no_memory(fault);
	r = make_mappings(options, mappings, fault);
	if (!r)
		r = make_patterns("include", &options->include, manifest->recipe, fault);
	if (!r)
		r = make_patterns("exclude", &options->exclude, manifest->recipe, fault);
	return r;
}

static int make(struct tw_engine *engine, const struct tw_caller *caller,
		const struct tw_manifest_options *options, struct tw_manifest_object *manifest,
		struct tw_fault *fault)
{
	int r = tw_caller_may_use_files(caller, fault);

	if (!r)
		r = tw_caller_has(caller, TW_MAY_DOWNLOAD, fault);
	if (!r)
		r = tw_user_data_check(options->user_data, fault);
	if (!r)
		r = make_recipe(caller, options, manifest, fault);
	if (r)
		return r;
	if (tw_object_init(engine, &manifest->object, TW_STORE_MANIFEST, caller,
			   options->user_data))
		return tw_no_memory(fault);
	r = tw_object_place(&manifest->object, options->client_request_id);
	if (r == TW_E_FULL)
		return tw_object_full(&manifest->object, "manifests",
				      "delete those that nobody needs", fault);
	if (!r) {
		r = start_build(manifest);
		if (r)
			tw_object_remove(&manifest->object);
	}
	return r ? tw_no_memory(fault) : TW_FAULT_NONE;
}

int tw_engine_create_manifest(struct tw_engine *engine, const struct tw_caller *caller,
			      const struct tw_manifest_options *options, const char **ret_id,
			      struct tw_fault *fault)
{
	struct tw_object *before =
		tw_object_requested(engine, TW_STORE_MANIFEST, caller, options->client_request_id);
	struct tw_manifest_object *manifest;
	int r;

	if (before) {
		*ret_id = before->id;
		return TW_FAULT_NONE;
	}
	manifest = calloc(1, sizeof(*manifest));
	if (!manifest)
		return tw_no_memory(fault);
	r = make(engine, caller, options, manifest, fault);
	if (r) {
		manifest_free(&manifest->object);
		return r;
	}
	tw_object_changed(&manifest->object);
	*ret_id = manifest->object.id;
	return TW_FAULT_NONE;
}

int tw_engine_delete_manifest(struct tw_engine *engine, const struct tw_caller *caller,
			      const char *id, struct tw_fault *fault)
{
	struct tw_manifest_object *manifest =
		of(tw_caller_object(&engine->manifests, caller, id, "manifestId", fault));

	if (!manifest)
		return (int)fault->code;
	if (manifest->uses)
		return tw_fault_set(fault, TW_FAULT_CONFLICT, "manifestId",
				    "%u transfers or shared tokens still need this manifest; let "
				    "them end or delete them first.",
				    manifest->uses);
	tw_manifest_remove(manifest);
	return TW_FAULT_NONE;
}

/* Looking. */

const struct tw_manifest_view *tw_manifest_fill(struct tw_manifest_object *manifest)
{
	struct tw_manifest_view *view = &manifest->object.engine->manifest_view;
	bool complete = manifest->status == TW_MANIFEST_COMPLETE;

	*view = (struct tw_manifest_view){
		.manifest_id = manifest->object.id,
		.status = statuses[manifest->status],
		.processing = manifest->status == TW_MANIFEST_PENDING,
		.error_message = manifest->error_message,
		.total_files = complete ? manifest->total_files : TW_UNSET,
		.total_size = complete ? manifest->total_size : TW_UNSET,
		.user_data = manifest->object.user_data,
		.creation_time = manifest->object.created_us,
		.files_so_far = manifest->total_files,
		.size_so_far = manifest->total_size,
	};
	if (manifest->build)
		tw_build_progress(manifest->build, &view->files_so_far, &view->size_so_far);
	tw_object_ownership(&manifest->object, &view->ownership);
	return view;
}

const struct tw_manifest_view *tw_engine_manifest(struct tw_engine *engine,
						  const struct tw_caller *caller, const char *id)
{
	struct tw_object *object = tw_shelf_find(&engine->manifests, id);

	return object && tw_caller_sees(caller, object) ? tw_manifest_fill(of(object)) : NULL;
}

const struct tw_manifest_view *tw_engine_manifest_next(struct tw_engine *engine,
						       const struct tw_caller *caller,
						       size_t *cursor)
{
	struct tw_object *object = tw_shelf_next(&engine->manifests, caller, cursor);

	return object ? tw_manifest_fill(of(object)) : NULL;
}

/* Where entry @index comes from, as its owner sees it: behind @fence, if there is one. */
static void show_source(struct tw_engine *engine, const struct tw_listing *listing, uint64_t index,
			const char *fence)
{
	char *text = engine->path_text[0], *path;
	size_t length;

	snprintf(text, TW_ROOT_PATH_ROOM, "%s/", fence);
	path = text + strlen(text);
	length = tw_listing_source_path(listing, index, path, TW_SOURCE_PATH_MAX + 1);
	/* The top itself is "." in a mapping. */
	if (path[0] == '.' && (path[1] == '/' || !path[1]))
		memmove(path, path + 1 + (path[1] == '/'), length - (path[1] == '/'));
}

/* @fence: in front of the paths; "": nothing. */
static int show_files(struct tw_engine *engine, const struct tw_listing *listing, const char *fence,
		      const struct tw_manifest_slice *slice)
{
	const struct tw_manifest *manifest = tw_listing_manifest(listing);
	uint64_t count = tw_manifest_count(manifest);
	int r = 0;

	for (uint64_t i = slice->offset; !r && i < count && i - slice->offset < slice->limit; i++) {
		const struct tw_entry *entry = tw_manifest_entry(manifest, i);
		/* Folders come before what is inside them: the next entry tells. */
		struct tw_manifest_file_view file = {
			.src_path = engine->path_text[0],
			.dest_path = engine->path_text[1],
			.file_size = entry->size,
			.executable = entry->kind == TW_KIND_FILE && (entry->mode & 0111),
			.modification_time = entry->mtime_ns / 1000,
		};
		size_t length = tw_manifest_path(manifest, i, engine->path_text[1]);

		if (entry->kind == TW_KIND_DIRECTORY) {
			file.is_empty_dir = true;
			if (i + 1 < count) {
				tw_manifest_path(manifest, i + 1, engine->path_text[0]);
				file.is_empty_dir = strncmp(engine->path_text[0],
							    engine->path_text[1], length) != 0 ||
						    engine->path_text[0][length] != '/';
			}
		}
		show_source(engine, listing, i, fence);
		r = slice->each(slice->context, &file);
	}
	return r;
}

int tw_engine_manifest_files(struct tw_engine *engine, const struct tw_caller *caller,
			     const struct tw_manifest_slice *slice, struct tw_fault *fault)
{
	struct tw_manifest_object *manifest =
		of(tw_caller_object(&engine->manifests, caller, slice->id, "manifestId", fault));
	struct tw_listing *listing;
	char reason[256];
	bool read_now;

	if (!manifest)
		return (int)fault->code;
	read_now = !manifest->listing;
	if (manifest->status != TW_MANIFEST_COMPLETE)
		return tw_fault_set(fault, TW_FAULT_CONFLICT, "manifestId",
				    "The manifest is %s: its files can be listed once it is "
				    "complete.",
				    statuses[manifest->status]);
	listing = tw_manifest_listing_now(manifest, reason);
	if (!listing)
		return tw_fault_set(fault, TW_FAULT_INTERNAL, "manifestId", "%s", reason);
	if (read_now)
		note_looked_at(manifest);
	/* Who came with the token sees the fence as the top. */
	show_files(engine, listing, caller->token || !manifest->fence ? "" : manifest->fence,
		   slice);
	return TW_FAULT_NONE;
}
