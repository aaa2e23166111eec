/* methods_file.c - files of the server, and whether UDP gets through: all asynchronous. */
#include "api/private.h"
#include "api/rows.h"

static int request(struct tw_api_call *call, const char *operation)
{
	json_t *parameters = call->parameters ? json_deep_copy(call->parameters) : json_object();
	const char *id;
	int r;

	if (!parameters)
		return tw_api_fault(call, TW_FAULT_INTERNAL, NULL, "out of memory");
	r = tw_engine_file_request(call->engine, &call->caller, operation, parameters, &id,
				   &call->fault);
	json_decref(parameters);
	return r ? r : tw_api_result_request(call, id);
}

static int ls(struct tw_api_call *call)
{
	return request(call, "ls");
}

static int ls_list(struct tw_api_call *call)
{
	return request(call, "lsList");
}

static int ls_roots(struct tw_api_call *call)
{
	return request(call, "lsRoots");
}

static int du(struct tw_api_call *call)
{
	return request(call, "du");
}

static int make_directory(struct tw_api_call *call)
{
	return request(call, "mkdir");
}

static int make_file(struct tw_api_call *call)
{
	return request(call, "mkFile");
}

static int move(struct tw_api_call *call)
{
	return request(call, "mv");
}

static int remove_path(struct tw_api_call *call)
{
	return request(call, "rm");
}

static int send_discover(struct tw_api_call *call)
{
	return request(call, "sendDiscover");
}

static int receive_discover(struct tw_api_call *call)
{
	return request(call, "recvDiscover");
}

static const struct tw_api_parameter path_parameters[] = {
	TW_P_NEEDED("path", TW_API_PATH_MAX, "a file or folder of the server"),
};

static const struct tw_api_parameter paths_parameters[] = {
	{ .name = "paths",
	  .type = TW_API_STRINGS,
	  .required = true,
	  .max = TW_API_PATH_MAX,
	  .meaning = "files or folders of the server" },
};

static const struct tw_api_parameter mv_parameters[] = {
	TW_P_NEEDED("srcPath", TW_API_PATH_MAX, "what to move"),
	TW_P_NEEDED("destPath", TW_API_PATH_MAX, "its new path"),
	TW_P_BOOL("overwrite", "false", "replace what is there; otherwise that is an error"),
};

static const struct tw_api_parameter rm_parameters[] = {
	TW_P_NEEDED("path", TW_API_PATH_MAX, "what to remove"),
	TW_P_BOOL("recursive", "false", "a folder with all that is in it"),
};

static const struct tw_api_parameter discover_parameters[] = {
	TW_P_NEEDED("address", 256, "host name or address of another server"),
	{ .name = "port",
	  .type = TW_API_INTEGER,
	  .required = true,
	  .min = 1,
	  .max = 65535,
	  .meaning = "its UDP port" },
	TW_P_INT("timeoutMs", 1, 60000, "10000", "how long to wait for its answer"),
};

static const struct tw_api_method rows[] = {
	{ .name = "lsAsync",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  TW_PARAMETERS(path_parameters),
	  .async = true,
	  .result = &tw_ls_structure,
	  .summary = "what is at a path",
	  .run = ls },
	{ .name = "lsListAsync",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  TW_PARAMETERS(paths_parameters),
	  .async = true,
	  .list = true,
	  .result = &tw_ls_structure,
	  .returns = "a list of listings, or of {path, error}",
	  .summary = "what is at several paths",
	  .run = ls_list },
	{ .name = "lsRootsAsync",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .async = true,
	  .returns = "the list of roots",
	  .summary = "the roots that you see",
	  .run = ls_roots },
	{ .name = "duAsync",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  TW_PARAMETERS(path_parameters),
	  .async = true,
	  .result = &tw_du_structure,
	  .summary = "how much lies below a path",
	  .run = du },
	{ .name = "mkdirAsync",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_UPLOAD,
	  TW_PARAMETERS(path_parameters),
	  .async = true,
	  .returns = "null",
	  .summary = "make a folder, and those above it",
	  .run = make_directory },
	{ .name = "mkFileAsync",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_UPLOAD,
	  TW_PARAMETERS(path_parameters),
	  .async = true,
	  .returns = "null",
	  .summary = "make an empty file; one that exists is an error",
	  .run = make_file },
	{ .name = "mvAsync",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_MODIFY,
	  TW_PARAMETERS(mv_parameters),
	  .async = true,
	  .returns = "null",
	  .summary = "move or rename",
	  .run = move },
	{ .name = "rmAsync",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_MODIFY,
	  TW_PARAMETERS(rm_parameters),
	  .async = true,
	  .returns = "null",
	  .summary = "remove a file or folder",
	  .run = remove_path },
	{ .name = "sendDiscoverPacketAsync",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  TW_PARAMETERS(discover_parameters),
	  .async = true,
	  .result = &tw_discover_structure,
	  .summary = "does UDP get through to another server, and as whom",
	  .run = send_discover },
	{ .name = "recvDiscoverPacketAsync",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  TW_PARAMETERS(discover_parameters),
	  .async = true,
	  .result = &tw_discover_structure,
	  .summary = "does UDP get through from the receive port of this server, and as whom",
	  .run = receive_discover },
};

const struct tw_api_table tw_api_file_methods = TW_METHODS(rows);
