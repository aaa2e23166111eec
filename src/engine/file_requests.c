/*
 * file_requests.c - file operations as asynchronous requests: the parameters of the methods to
 * files.h, its results to JSON. Paths are absolute as the caller sees them: in his view (reach.h),
 * below the token's path when he came with one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/discover.h"
#include "engine/engine_internal.h"
#include "engine/files.h"
#include "engine/reach.h"
#include "engine/requests.h"

#define PATHS_MAX 1000

/* What the result of an operation looks like. */
enum shape { SHAPE_LISTING, SHAPE_LISTINGS, SHAPE_USAGE, SHAPE_NONE };

static const struct {
	const char *name;
	enum tw_files_operation operation;
	enum shape shape;
	enum tw_permission permission; /* what a token must permit */
} operations[] = {
	{ "ls", TW_FILES_LS, SHAPE_LISTING, TW_MAY_DOWNLOAD },
	{ "lsList", TW_FILES_LS, SHAPE_LISTINGS, TW_MAY_DOWNLOAD },
	{ "du", TW_FILES_DU, SHAPE_USAGE, TW_MAY_DOWNLOAD },
	{ "mkdir", TW_FILES_MKDIR, SHAPE_NONE, TW_MAY_UPLOAD },
	{ "mkFile", TW_FILES_MK_FILE, SHAPE_NONE, TW_MAY_UPLOAD },
	{ "mv", TW_FILES_MV, SHAPE_NONE, TW_MAY_MODIFY },
	{ "rm", TW_FILES_RM, SHAPE_NONE, TW_MAY_MODIFY },
};
#define OPERATIONS (sizeof(operations) / sizeof(*operations))

/* One under way; the request may be gone before it ends only with the engine. */
struct tw_file_work {
	TAILQ_ENTRY(tw_file_work) link;
	struct tw_engine *engine;
	struct tw_request *request;
	struct tw_files_work *work;
	enum shape shape;
	char *path; /* as it was asked for */
};

static json_t *clean(const char *text)
{
	char shown[8 * 256 + 1];

	return json_string(tw_text_clean(text, strlen(text), shown, sizeof(shown)));
}

static json_t *entry_json(const struct tw_files_entry *entry)
{
	return json_pack("{sosbsbsIsIsb}", "name", clean(entry->name), "isDirectory",
			 entry->is_directory, "isSymlink", entry->is_symlink, "size",
			 (json_int_t)entry->size, "modificationTime",
			 (json_int_t)(entry->mtime_ns / 1000), "executable", entry->executable);
}

static json_t *listing_json(const struct tw_files_listing *listing)
{
	json_t *entries = json_array();

	for (size_t i = 0; i < listing->entry_count; i++)
		json_array_append_new(entries, entry_json(&listing->entries[i]));
	return json_pack("{sosbsIsIso}", "path", clean(listing->path), "isDirectory",
			 listing->is_directory, "size", (json_int_t)listing->size,
			 "modificationTime", (json_int_t)(listing->mtime_ns / 1000), "entries",
			 entries);
}

static void explain(int error, const char *path, struct tw_fault *fault)
{
	enum tw_fault_code code = TW_FAULT_UNAVAILABLE;
	const char *advice = "try again, or look at the disk";

	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
		code = TW_FAULT_NOT_FOUND;
		advice = "check the path";
		break;
	case -EACCES:
	case -EPERM:
	case -EROFS:
	case TW_E_UNSAFE:
		code = TW_FAULT_NOT_PERMITTED;
		advice = "this server may not go there";
		break;
	case -EEXIST:
	case -ENOTEMPTY:
	case -EISDIR:
	case -EBUSY:
		code = TW_FAULT_CONFLICT;
		advice = "choose another name, or remove what is there (recursive, overwrite)";
		break;
	case -EXDEV:
		code = TW_FAULT_CONFLICT;
		advice = "files move within one file system only";
		break;
	case TW_E_FULL:
		code = TW_FAULT_LIMIT_REACHED;
		advice = "ask for less at a time";
		break;
	default:
		break;
	}
	tw_fault_set(fault, code, "path", "\"%.140s\": %s; %s.", path, tw_strerror(error), advice);
}

static json_t *listings_json(const struct tw_files_result *result)
{
	json_t *list = json_array();

	for (size_t i = 0; i < result->listing_count; i++) {
		json_t *listing = listing_json(&result->listings[i]);
		struct tw_fault fault;

		if (result->listings[i].error) {
			explain(result->listings[i].error, result->listings[i].path, &fault);
			json_object_set_new(
				listing, "error",
				json_pack("{sissss}", "code", tw_fault_number(fault.code), "name",
					  tw_fault_name(fault.code), "message", fault.message));
		} else {
			json_object_set_new(listing, "error", json_null());
		}
		json_array_append_new(list, listing);
	}
	return list;
}

static json_t *result_json(const struct tw_file_work *work, const struct tw_files_result *result)
{
	switch (work->shape) {
	case SHAPE_LISTING:
		return result->listing_count ? listing_json(&result->listings[0]) : json_null();
	case SHAPE_LISTINGS:
		return listings_json(result);
	case SHAPE_USAGE:
		return json_pack("{sosIsI}", "path", clean(work->path), "totalSize",
				 (json_int_t)result->bytes, "totalFiles",
				 (json_int_t)result->files);
	default:
		return json_null();
	}
}

static void work_free(struct tw_file_work *work)
{
	TAILQ_REMOVE(&work->engine->file_works, work, link);
	free(work->path);
	free(work);
}

static void done(void *context, struct tw_files_result *result)
{
	struct tw_file_work *work = context;
	struct tw_fault fault;

	if (!work->request) {
		/* There was no room for it among the requests. */
	} else if (result->error) {
		explain(result->error, *result->path ? result->path : work->path, &fault);
		tw_request_fail(work->request, &fault);
	} else {
		tw_request_done(work->request, result_json(work, result));
	}
	work_free(work);
}

/* What is asked for, until it has been copied. */
struct asked {
	const char *paths[PATHS_MAX];
};

static int take_paths(json_t *list, struct asked *asked, struct tw_files_request *request,
		      struct tw_fault *fault)
{
	if (!json_array_size(list) || json_array_size(list) > PATHS_MAX)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "paths",
				    "paths must be a list of 1 to %d paths.", PATHS_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		asked->paths[i] = json_string_value(json_array_get(list, i));
		if (!asked->paths[i])
			return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "paths",
					    "Every path must be a string.");
	}
	request->paths = asked->paths;
	request->path_count = json_array_size(list);
	return TW_FAULT_NONE;
}

static const char *text_of(json_t *parameters, const char *name)
{
	return json_string_value(json_object_get(parameters, name));
}

static int take_parameters(json_t *parameters, enum shape shape, struct asked *asked,
			   struct tw_files_request *request, struct tw_fault *fault)
{
	bool move = request->operation == TW_FILES_MV;

	request->path = text_of(parameters, move ? "srcPath" : "path");
	request->to = text_of(parameters, "destPath");
	request->overwrite = json_is_true(json_object_get(parameters, "overwrite"));
	request->recursive = json_is_true(json_object_get(parameters, "recursive"));
	if (shape == SHAPE_LISTINGS)
		return take_paths(json_object_get(parameters, "paths"), asked, request, fault);
	if (!request->path)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, move ? "srcPath" : "path",
				    "Give the path.");
	if (move && !request->to)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "destPath",
				    "Give the path to move it to.");
	return TW_FAULT_NONE;
}

/* NULL: no memory. */
static struct tw_file_work *start(struct tw_engine *engine, const struct tw_caller *caller,
				  enum shape shape, const struct tw_files_request *request)
{
	struct tw_file_work *work = calloc(1, sizeof(*work));
	const char *path = request->path ? request->path : "";
	struct tw_view *view = NULL;
	int r;

	if (!work)
		return NULL;
	r = tw_reach_view(engine, caller->user, caller->token ? caller->token_path : NULL, &view);
	work->engine = engine;
	work->shape = shape;
	TAILQ_INSERT_TAIL(&engine->file_works, work, link);
	if (r || !tw_copy_text(*path ? path : "/", &work->path) ||
	    tw_files_start(engine->pool, view, request, done, work, &work->work)) {
		work_free(work);
		work = NULL;
	}
	tw_view_drop(view);
	return work;
}

/* The request is made last, so that none is left behind by a refusal. */
static int operate(struct tw_engine *engine, const struct tw_caller *caller, size_t row,
		   json_t *parameters, struct tw_file_work **ret_work, struct tw_fault *fault)
{
	struct tw_files_request request = { .operation = operations[row].operation };
	struct asked *asked = calloc(1, sizeof(*asked));
	int r = asked ? take_parameters(parameters, operations[row].shape, asked, &request, fault)
		      : tw_no_memory(fault);

	if (!r) {
		*ret_work = start(engine, caller, operations[row].shape, &request);
		if (!*ret_work)
			r = tw_no_memory(fault);
	}
	free(asked);
	return r;
}

/* The mounts that this caller sees. */
static int list_roots(struct tw_engine *engine, const struct tw_caller *caller, const char **ret_id,
		      struct tw_fault *fault)
{
	struct tw_request *request;
	json_t *roots;
	int r = tw_reach_roots(engine, caller, &roots, fault);

	if (r)
		return r;
	r = tw_requests_add(engine->requests, caller, ret_id, &request, fault);
	if (r)
		json_decref(roots);
	else
		tw_request_done(request, roots);
	return r;
}

static int discover(struct tw_engine *engine, const struct tw_caller *caller,
		    bool from_receive_port, json_t *parameters, const char **ret_id,
		    struct tw_fault *fault)
{
	struct tw_request *request;
	int r = tw_requests_add(engine->requests, caller, ret_id, &request, fault);

	if (r)
		return r;
	r = tw_discovers_start(engine->discovers, from_receive_port, parameters,
			       tw_pool_owner(caller->user), request, fault);
	if (r)
		tw_request_fail(request, fault);
	return r;
}

int tw_engine_file_request(struct tw_engine *engine, const struct tw_caller *caller,
			   const char *operation, json_t *parameters, const char **ret_id,
			   struct tw_fault *fault)
{
	struct tw_file_work *work = NULL;
	size_t row = 0;
	int r;

	if (!strcmp(operation, "sendDiscover") || !strcmp(operation, "recvDiscover"))
		return discover(engine, caller, *operation == 'r', parameters, ret_id, fault);
	r = tw_caller_may_use_files(caller, fault);
	if (r)
		return r;
	if (!strcmp(operation, "lsRoots"))
		return list_roots(engine, caller, ret_id, fault);
	while (row < OPERATIONS && strcmp(operations[row].name, operation) != 0)
		row++;
	if (row == OPERATIONS)
		return tw_fault_set(fault, TW_FAULT_UNAVAILABLE, NULL,
				    "This server cannot do \"%.40s\".", operation);
	r = tw_caller_has(caller, operations[row].permission, fault);
	if (r)
		return r;
	r = operate(engine, caller, row, parameters, &work, fault);
	if (!work)
		return r;
	r = tw_requests_add(engine->requests, caller, ret_id, &work->request, fault);
	if (r)
		tw_files_stop(work->work);
	return r;
}

void tw_file_requests_stop(struct tw_engine *engine)
{
	struct tw_file_work *work;

	TAILQ_FOREACH(work, &engine->file_works, link)
	tw_files_stop(work->work);
}
