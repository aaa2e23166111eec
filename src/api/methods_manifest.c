/* methods_manifest.c - manifests. */
#include <stdlib.h>
#include <string.h>

#include "api/private.h"
#include "api/rows.h"
#include "base/text.h"

#define FILES_MAX 100000

static int show(struct tw_api_call *call, const char *id)
{
	const struct tw_manifest_view *view = tw_engine_manifest(call->engine, &call->caller, id);

	return view ? tw_api_result_structure(call, &tw_manifest_structure, view)
		    : tw_api_gone(call, "manifestId");
}

static int bad_mapping(struct tw_api_call *call, const char *what)
{
	return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, what,
			    "%s takes %s; neither is empty or longer than %d bytes", what,
			    strcmp(what, "mappings") == 0
				    ? "{destPath: srcPath}"
				    : "{srcPath, destPath} or \"src:dst\" items",
			    TW_API_PATH_MAX);
}

static bool is_path(const char *path)
{
	return path && *path && strlen(path) <= TW_API_PATH_MAX;
}

/* "src:dst": the last colon parts them. @text is ours and is cut. */
static bool split(char *text, struct tw_manifest_mapping *ret)
{
	char *colon = strrchr(text, ':');

	if (!colon)
		return false;
	*colon = '\0';
	*ret = (struct tw_manifest_mapping){ text, colon + 1 };
	return is_path(ret->src_path) && strlen(ret->dest_path) <= TW_API_PATH_MAX;
}

/* {srcPath, destPath} and nothing else. */
static bool take_object(json_t *item, struct tw_manifest_mapping *ret)
{
	json_t *source = json_object_get(item, "srcPath"),
	       *dest = json_object_get(item, "destPath");

	ret->src_path = json_string_value(source);
	ret->dest_path = json_string_value(dest);
	return json_object_size(item) == 2 && is_path(ret->src_path) && ret->dest_path &&
	       strlen(ret->dest_path) <= TW_API_PATH_MAX;
}

/* @ret_texts: copies that were cut, to be freed with the mappings. */
static int take_list(struct tw_api_call *call, json_t *list, struct tw_manifest_options *options,
		     char **texts)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		bool good;

		if (json_is_string(item)) {
			texts[i] = strdup(json_string_value(item));
			good = texts[i] && split(texts[i], &options->mappings[i]);
		} else {
			good = take_object(item, &options->mappings[i]);
		}
		if (!good)
			return bad_mapping(call, "fileMappings");
		options->mapping_count++;
	}
	return 0;
}

static int take_map(struct tw_api_call *call, json_t *map, struct tw_manifest_options *options)
{
	const char *dest;
	json_t *source;

	json_object_foreach(map, dest, source)
	{
		struct tw_manifest_mapping *mapping = &options->mappings[options->mapping_count++];

		*mapping = (struct tw_manifest_mapping){ json_string_value(source), dest };
		if (!is_path(mapping->src_path) || strlen(dest) > TW_API_PATH_MAX)
			return bad_mapping(call, "mappings");
	}
	return 0;
}

static int create_from(struct tw_api_call *call, struct tw_manifest_options *options)
{
	const char *links = tw_api_string(call, "symbolicLinks"), *id;
	int r;

	options->recursive = tw_api_bool(call, "recursive", true);
	options->follow_symlinks = !links || strcmp(links, "follow") == 0;
	options->user_data = tw_api_value(call, "userData");
	options->client_request_id = tw_api_string(call, "clientRequestId");
	r = tw_api_strings(call, "include", &options->include);
	if (!r)
		r = tw_api_strings(call, "exclude", &options->exclude);
	if (!r)
		r = tw_engine_create_manifest(call->engine, &call->caller, options, &id,
					      &call->fault);
	free((void *)options->include.items);
	free((void *)options->exclude.items);
	return r ? r : show(call, id);
}

static int create(struct tw_api_call *call)
{
	json_t *list = tw_api_value(call, "fileMappings"), *map = tw_api_value(call, "mappings");
	size_t count = list ? json_array_size(list) : json_object_size(map);
	struct tw_manifest_options options = { 0 };
	char **texts;
	int r;

	if (!list == !map || count == 0)
		return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, "fileMappings",
				    "give either fileMappings, a list of {srcPath, destPath} or "
				    "\"src:dst\", or mappings, {destPath: srcPath}");
	options.mappings = calloc(count, sizeof *options.mappings);
	texts = calloc(count, sizeof *texts);
	if (options.mappings && texts) {
		r = list ? take_list(call, list, &options, texts) : take_map(call, map, &options);
		if (!r)
			r = create_from(call, &options);
		for (size_t i = 0; i < count; i++)
			free(texts[i]);
	} else {
		r = tw_api_fault(call, TW_FAULT_INTERNAL, NULL, "out of memory");
	}
	free(texts);
	free(options.mappings);
	return r;
}

static int get(struct tw_api_call *call)
{
	return show(call, tw_api_string(call, "manifestId"));
}

static int wait_for(struct tw_api_call *call)
{
	return tw_api_call_wait_for(call, tw_api_string(call, "manifestId"),
				    tw_api_u64(call, "timeoutMs", TW_API_WAIT_MAX_MS), get);
}

static int get_all(struct tw_api_call *call)
{
	const struct tw_manifest_view *view;
	size_t cursor = 0;

	tw_api_list_begin(call);
	while ((view = tw_engine_manifest_next(call->engine, &call->caller, &cursor)))
		if (!tw_api_list_item(call, &tw_manifest_structure, view))
			break;
	return tw_api_list_end(call);
}

static int delete (struct tw_api_call *call)
{
	int r = tw_engine_delete_manifest(call->engine, &call->caller,
					  tw_api_string(call, "manifestId"), &call->fault);

	return r ? r : tw_api_result_null(call);
}

static int add_file(void *context, const struct tw_manifest_file_view *file)
{
	return tw_api_list_item(context, &tw_manifest_file_structure, file) ? 0 : 1;
}

static int get_files(struct tw_api_call *call)
{
	const char *id = tw_api_string(call, "manifestId");
	const struct tw_manifest_slice slice = {
		.id = id,
		.offset = tw_api_u64(call, "offset", 0),
		.limit = tw_api_u64(call, "limit", FILES_MAX),
		.each = add_file,
		.context = call,
	};
	int r;

	tw_jsontext_literal(&call->result, "{\"manifestId\":");
	tw_jsontext_string(&call->result, id, strlen(id));
	tw_jsontext_literal(&call->result, ",\"fileMappings\":[");
	r = tw_engine_manifest_files(call->engine, &call->caller, &slice, &call->fault);
	if (!r || !call->fault.code)
		r = tw_api_list_end(call);
	tw_jsontext_literal(&call->result, "}");
	return r;
}

static const char *const link_words[] = { "follow", "ignore", NULL };

static const struct tw_api_parameter create_parameters[] = {
	{ .name = "fileMappings",
	  .type = TW_API_LIST,
	  .meaning = "what to send: {srcPath, destPath} or \"src:dst\" items; or:" },
	{ .name = "mappings", .type = TW_API_OBJECT, .meaning = "the same as {destPath: srcPath}" },
	TW_P_BOOL("recursive", "true", "with all that is below folders"),
	{ .name = "symbolicLinks",
	  .type = TW_API_STRING,
	  .words = link_words,
	  .fallback = "\"follow\"",
	  .meaning = "follow: send what links lead to; ignore: nothing" },
	TW_P_STRINGS("include", "patterns of names: only these files"),
	TW_P_STRINGS("exclude", "patterns of names: not these"),
	TW_P_USER_DATA,
	TW_P_CLIENT_REQUEST_ID,
};

static const struct tw_api_parameter id_parameters[] = {
	TW_P_ID("manifestId", TW_API_MANIFEST, "the manifest"),
};

static const struct tw_api_parameter wait_parameters[] = {
	TW_P_ID("manifestId", TW_API_MANIFEST, "the manifest"),
	TW_P_TIMEOUT,
};

static const struct tw_api_parameter file_parameters[] = {
	TW_P_ID("manifestId", TW_API_MANIFEST, "the manifest"),
	TW_P_INT("offset", 0, INT64_MAX, "0", "entries to pass over"),
	TW_P_INT("limit", 1, FILES_MAX, "100000", "at most so many entries"),
};

static const struct tw_api_method rows[] = {
	{ .name = "send.createManifest",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .changes = true,
	  TW_PARAMETERS(create_parameters),
	  .result = &tw_manifest_structure,
	  .summary = "list the files to send; folders are walked in the background",
	  .run = create },
	{ .name = "send.waitForManifest",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  TW_PARAMETERS(wait_parameters),
	  .result = &tw_manifest_structure,
	  .summary = "wait until a manifest is built",
	  .run = wait_for },
	{ .name = "send.getManifest",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  TW_PARAMETERS(id_parameters),
	  .result = &tw_manifest_structure,
	  .summary = "one manifest",
	  .run = get },
	{ .name = "send.getManifests",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .result = &tw_manifest_structure,
	  .list = true,
	  .summary = "all your manifests",
	  .run = get_all },
	{ .name = "send.deleteManifest",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .changes = true,
	  TW_PARAMETERS(id_parameters),
	  .returns = "null",
	  .summary = "remove a manifest that no transfer needs",
	  .run = delete },
	{ .name = "send.getManifestFiles",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  TW_PARAMETERS(file_parameters),
	  .result = &tw_manifest_files_structure,
	  .summary = "the entries of a manifest",
	  .run = get_files },
};

const struct tw_api_table tw_api_manifest_methods = TW_METHODS(rows);
