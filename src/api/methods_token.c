/* methods_token.c - API tokens, shared tokens, user data. */
#include <stdlib.h>
#include <string.h>

#include "api/private.h"
#include "api/rows.h"
#include "api/secrets.h"

static int show(struct tw_api_call *call, bool shared, const char *token)
{
	const struct tw_token_view *view =
		tw_engine_token(call->engine, &call->caller, shared, token);

	return view ? tw_api_result_structure(call, &tw_token_structure, view)
		    : tw_api_gone(call, "token");
}

static int check_allowed(struct tw_api_call *call, bool shared)
{
	const struct tw_api_options *options = &call->api->options;

	if (shared ? options->shared_tokens : options->api_tokens)
		return 0;
	return tw_api_fault(call, TW_FAULT_NOT_PERMITTED, NULL, "this server takes no %s tokens",
			    shared ? "shared" : "API");
}

static int create(struct tw_api_call *call, const struct tw_token_options *options)
{
	const char *token;
	int r;

	r = tw_engine_create_token(call->engine, &call->caller, options, &token, &call->fault);
	return r ? r : show(call, options->shared, token);
}

static int check_permissions(struct tw_api_call *call, const struct tw_strings *permissions)
{
	static const char *const words[] = { "upload", "download", "modify", "share" };

	for (size_t i = 0; i < permissions->count; i++) {
		bool known = false;

		for (size_t k = 0; k < sizeof words / sizeof *words; k++)
			known = known || strcmp(permissions->items[i], words[k]) == 0;
		if (!known)
			return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, "permissions",
					    "permissions are upload, download, modify and share");
	}
	return 0;
}

static int create_api_with(struct tw_api_call *call, const char *password)
{
	struct tw_token_options options = {
		.path = tw_api_string(call, "path"),
		.password = password,
		.description = tw_api_string(call, "description"),
		.expiry_time = tw_api_integer(call, "expiryTime", 0),
		.download_limit = UINT64_MAX,
		.user_data = tw_api_value(call, "userData"),
	};
	int r = tw_api_strings(call, "permissions", &options.permissions);

	if (!r)
		r = check_permissions(call, &options.permissions);
	if (!r)
		r = create(call, &options);
	free((void *)options.permissions.items);
	return r;
}

static int create_api(struct tw_api_call *call)
{
	int r = check_allowed(call, false);

	return r ? r : tw_api_make_password(call, tw_api_string(call, "password"), create_api_with);
}

static int create_shared_with(struct tw_api_call *call, const char *password)
{
	const struct tw_token_options options = {
		.shared = true,
		.manifest_id = tw_api_string(call, "manifestId"),
		.password = password,
		.description = tw_api_string(call, "description"),
		.expiry_time = tw_api_integer(call, "expiryTime", 0),
		.download_limit = tw_api_u64(call, "downloadLimit", UINT64_MAX),
	};

	return create(call, &options);
}

static int create_shared(struct tw_api_call *call)
{
	int r = check_allowed(call, true);

	return r ? r
		 : tw_api_make_password(call, tw_api_string(call, "password"), create_shared_with);
}

static int get_api(struct tw_api_call *call)
{
	return show(call, false, tw_api_string(call, "token"));
}

static int get_shared(struct tw_api_call *call)
{
	return show(call, true, tw_api_string(call, "token"));
}

static int get_all(struct tw_api_call *call, bool shared)
{
	const struct tw_token_view *view;
	size_t cursor = 0;

	tw_api_list_begin(call);
	while ((view = tw_engine_token_next(call->engine, &call->caller, shared, &cursor)))
		if (!tw_api_list_item(call, &tw_token_structure, view))
			break;
	return tw_api_list_end(call);
}

static int get_all_api(struct tw_api_call *call)
{
	return get_all(call, false);
}

static int get_all_shared(struct tw_api_call *call)
{
	return get_all(call, true);
}

static int delete (struct tw_api_call *call, bool shared)
{
	int r = tw_engine_delete_token(call->engine, &call->caller, shared,
				       tw_api_string(call, "token"), &call->fault);

	return r ? r : tw_api_result_null(call);
}

static int delete_api(struct tw_api_call *call)
{
	return delete (call, false);
}

static int delete_shared(struct tw_api_call *call)
{
	return delete (call, true);
}

/* Exactly one of the four names an object. */
static const char *find_object(struct tw_api_call *call, const char **ret_id)
{
	static const char *const kinds[] = { "destinationId", "manifestId", "transferId", "token" };
	const char *found = NULL;
	size_t count = 0;

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		const char *id = tw_api_string(call, kinds[i]);

		if (!id)
			continue;
		found = kinds[i];
		*ret_id = id;
		count++;
	}
	if (count == 1)
		return found;
	tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, "destinationId",
		     "give one of destinationId, manifestId, transferId and token");
	return NULL;
}

static int update_user_data(struct tw_api_call *call)
{
	const char *id, *kind = find_object(call, &id);
	int r;

	if (!kind)
		return (int)call->fault.code;
	r = tw_engine_update_user_data(call->engine, &call->caller, kind, id,
				       tw_api_value(call, "userData"), &call->fault);
	return r ? r : tw_api_result_null(call);
}

static int delete_user_data(struct tw_api_call *call)
{
	const char *id, *kind = find_object(call, &id);
	struct tw_strings keys;
	int r;

	if (!kind)
		return (int)call->fault.code;
	r = tw_api_strings(call, "keys", &keys);
	if (!r)
		r = tw_engine_delete_user_data(call->engine, &call->caller, kind, id, &keys,
					       &call->fault);
	free((void *)keys.items);
	return r ? r : tw_api_result_null(call);
}

#define SECRETS \
	TW_P_TIME("expiryTime", "when it ends; not given: never"), \
		TW_P_TEXT("password", 1023, "what has to come with it"), \
		TW_P_TEXT("description", 1000, "for people")

static const struct tw_api_parameter create_api_parameters[] = {
	TW_P_TEXT("path", TW_API_PATH_MAX, "confine its file operations to this folder"),
	TW_P_STRINGS("permissions", "of upload, download, modify, share; not given: download"),
	SECRETS,
	TW_P_USER_DATA,
};

static const struct tw_api_parameter api_token_parameters[] = {
	TW_P_ID("token", TW_API_TOKEN, "the API token"),
};

static const struct tw_api_parameter create_shared_parameters[] = {
	TW_P_ID("manifestId", TW_API_MANIFEST, "what it stands for"),
	TW_P_INT("downloadLimit", 1, INT64_MAX, NULL, "how often it may be used"),
	SECRETS,
};

static const struct tw_api_parameter shared_token_parameters[] = {
	TW_P_ID("token", TW_API_SHARED_TOKEN, "the shared token"),
};

#define OBJECTS \
	TW_P_SOME_ID("destinationId", TW_API_DESTINATION, "a destination, or:"), \
		TW_P_SOME_ID("manifestId", TW_API_MANIFEST, "a manifest, or:"), \
		TW_P_SOME_ID("transferId", TW_API_TRANSFER, "a transfer, or:"), \
		TW_P_SOME_ID("token", TW_API_SOME_TOKEN, "a token")

static const struct tw_api_parameter update_parameters[] = {
	OBJECTS,
	{ .name = "userData",
	  .type = TW_API_OBJECT,
	  .required = true,
	  .meaning = "members to add or to replace" },
};

static const struct tw_api_parameter delete_parameters[] = {
	OBJECTS,
	{ .name = "keys",
	  .type = TW_API_STRINGS,
	  .required = true,
	  .max = TW_API_PATH_MAX,
	  .meaning = "names of the members to remove" },
};

static const struct tw_api_method rows[] = {
	{ .name = "createAPIToken",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_NEVER,
	  .changes = true,
	  TW_PARAMETERS(create_api_parameters),
	  .result = &tw_token_structure,
	  .summary = "make a token that stands for you, as far as it allows",
	  .run = create_api },
	{ .name = "getAPIToken",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_NEVER,
	  TW_PARAMETERS(api_token_parameters),
	  .result = &tw_token_structure,
	  .summary = "one API token",
	  .run = get_api },
	{ .name = "getAPITokens",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_NEVER,
	  .result = &tw_token_structure,
	  .list = true,
	  .summary = "all your API tokens",
	  .run = get_all_api },
	{ .name = "deleteAPIToken",
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_NEVER,
	  .changes = true,
	  TW_PARAMETERS(api_token_parameters),
	  .returns = "null",
	  .summary = "take an API token back, with its sessions",
	  .run = delete_api },
	{ .name = "send.createSharedToken",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_SHARE,
	  .changes = true,
	  TW_PARAMETERS(create_shared_parameters),
	  .result = &tw_token_structure,
	  .summary = "make a token that stands for a manifest",
	  .run = create_shared },
	{ .name = "send.getSharedToken",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_SHARE,
	  TW_PARAMETERS(shared_token_parameters),
	  .result = &tw_token_structure,
	  .summary = "one shared token",
	  .run = get_shared },
	{ .name = "send.getSharedTokens",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_SHARE,
	  .result = &tw_token_structure,
	  .list = true,
	  .summary = "all your shared tokens",
	  .run = get_all_shared },
	{ .name = "send.deleteSharedToken",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_SHARE,
	  .changes = true,
	  TW_PARAMETERS(shared_token_parameters),
	  .returns = "null",
	  .summary = "take a shared token back",
	  .run = delete_shared },
	{ .name = "send.updateObjectUserData",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .shared = true,
	  .changes = true,
	  TW_PARAMETERS(update_parameters),
	  .returns = "null",
	  .summary = "add to what is kept with an object",
	  .run = update_user_data },
	{ .name = "send.deleteObjectUserData",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .shared = true,
	  .changes = true,
	  TW_PARAMETERS(delete_parameters),
	  .returns = "null",
	  .summary = "remove from what is kept with an object",
	  .run = delete_user_data },
};

const struct tw_api_table tw_api_token_methods = TW_METHODS(rows);
