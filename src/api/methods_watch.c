/* methods_watch.c - watch folders. */
#include <stdlib.h>

#include "api/private.h"
#include "api/rows.h"

static int show(struct tw_api_call *call, const char *id)
{
	const struct tw_watch_view *view = tw_engine_watch(call->engine, &call->caller, id);

	return view ? tw_api_result_structure(call, &tw_watch_structure, view)
		    : tw_api_gone(call, "watchId");
}

/* What is given, over the defaults. Include and exclude are to be freed. */
static int take(struct tw_api_call *call, struct tw_watch_options *options)
{
	const char *destination = tw_api_string(call, "destinationId");
	const char *source = tw_api_string(call, "srcPath");
	const char *path = tw_api_string(call, "destinationPath");
	int r;

	tw_watch_options_init(options);
	if (source)
		options->src_path = source;
	if (destination)
		options->destination_id = destination;
	if (path)
		options->destination_path = path;
	options->interval_seconds = tw_api_u64(call, "intervalSeconds", options->interval_seconds);
	options->settle_seconds = tw_api_u64(call, "settleSeconds", options->settle_seconds);
	options->mirror_deletes = tw_api_bool(call, "mirrorDeletes", options->mirror_deletes);
	options->enabled = tw_api_bool(call, "enabled", options->enabled);
	options->expiry_time = tw_api_integer(call, "expiryTime", options->expiry_time);
	options->user_data = tw_api_value(call, "userData");
	options->client_request_id = tw_api_string(call, "clientRequestId");
	r = tw_api_strings(call, "include", &options->include);
	if (r)
		return r;
	r = tw_api_strings(call, "exclude", &options->exclude);
	if (r)
		free((void *)options->include.items);
	return r;
}

static int create(struct tw_api_call *call)
{
	struct tw_watch_options options;
	const char *id;
	int r = take(call, &options);

	if (r)
		return r;
	r = tw_engine_create_watch(call->engine, &call->caller, &options, &id, &call->fault);
	free((void *)options.include.items);
	free((void *)options.exclude.items);
	return r ? r : show(call, id);
}

static int update(struct tw_api_call *call)
{
	const char *id = tw_api_string(call, "watchId"), *name;
	const char *given[32];
	struct tw_strings names = { given, 0 };
	struct tw_watch_options options;
	json_t *value;
	int r = take(call, &options);

	if (r)
		return r;
	/* Checked before: no more names than the row has, which is fewer than there is room for. */
	json_object_foreach(call->parameters, name, value) {
		if (!json_is_null(value) && names.count < sizeof given / sizeof *given)
			given[names.count++] = name;
	}
	r = tw_engine_update_watch(call->engine, &call->caller, id, &options, &names, &call->fault);
	free((void *)options.include.items);
	free((void *)options.exclude.items);
	return r ? r : show(call, id);
}

static int get_all(struct tw_api_call *call)
{
	const struct tw_watch_view *view;
	size_t cursor = 0;

	tw_api_list_begin(call);
	while ((view = tw_engine_watch_next(call->engine, &call->caller, &cursor)))
		if (!tw_api_list_item(call, &tw_watch_structure, view))
			break;
	return tw_api_list_end(call);
}

static int delete (struct tw_api_call *call)
{
	int r = tw_engine_delete_watch(call->engine, &call->caller, tw_api_string(call, "watchId"),
				       &call->fault);

	return r ? r : tw_api_result_null(call);
}

#define HOW \
	TW_P_INT("intervalSeconds", 1, 86400, NULL, "between two walks of the whole folder"), \
		TW_P_INT("settleSeconds", 0, 86400, NULL, \
			 "a file goes when it has not changed for so long"), \
		TW_P_STRINGS("include", "patterns of names: only these files"), \
		TW_P_STRINGS("exclude", "patterns of names: not these"), \
		TW_P_BOOL("mirrorDeletes", "false", "delete there what is deleted here"), \
		TW_P_TIME("expiryTime", "when it ends; not given: never"), \
		TW_P_BOOL("enabled", "true", "whether it is at work")

static const struct tw_api_parameter create_parameters[] = {
	TW_P_NEEDED("srcPath", TW_API_PATH_MAX, "the folder to watch"),
	TW_P_ID("destinationId", TW_API_DESTINATION, "where its files go"),
	TW_P_TEXT("destinationPath", TW_API_PATH_MAX, "folder on the destination"),
	HOW,
	TW_P_USER_DATA,
	TW_P_CLIENT_REQUEST_ID,
};

static const struct tw_api_parameter update_parameters[] = {
	TW_P_ID("watchId", TW_API_WATCH, "the watch"),
	{ .name = "srcPath",
	  .type = TW_API_STRING,
	  .min = 1,
	  .max = TW_API_PATH_MAX,
	  .meaning = "the folder to watch" },
	TW_P_SOME_ID("destinationId", TW_API_DESTINATION, "where its files go"),
	TW_P_TEXT("destinationPath", TW_API_PATH_MAX, "folder on the destination"),
	HOW,
	TW_P_USER_DATA,
};

static const struct tw_api_parameter id_parameters[] = {
	TW_P_ID("watchId", TW_API_WATCH, "the watch"),
};

static const struct tw_api_method rows[] = {
	{ .name = "send.createWatch",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .changes = true,
	  TW_PARAMETERS(create_parameters),
	  .result = &tw_watch_structure,
	  .summary = "send what is new in a folder, from now on",
	  .run = create },
	{ .name = "send.getWatches",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .result = &tw_watch_structure,
	  .list = true,
	  .summary = "all your watch folders",
	  .run = get_all },
	{ .name = "send.deleteWatch",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .changes = true,
	  TW_PARAMETERS(id_parameters),
	  .returns = "null",
	  .summary = "watch a folder no longer",
	  .run = delete },
	{ .name = "send.updateWatch",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .changes = true,
	  TW_PARAMETERS(update_parameters),
	  .result = &tw_watch_structure,
	  .summary = "change a watch folder",
	  .run = update },
};

const struct tw_api_table tw_api_watch_methods = TW_METHODS(rows);
