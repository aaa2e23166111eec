/* methods_policy.c - what superusers set: sandboxes, wranglers, limits, garbage collection. */
#include <string.h>

#include "api/private.h"
#include "api/rows.h"

static int get_mappings(struct tw_api_call *call)
{
	return tw_api_result_json(call, tw_engine_mappings(call->engine));
}

static int set_mapping(struct tw_api_call *call)
{
	int r = tw_engine_set_mapping(call->engine, tw_api_string(call, "user"),
				      tw_api_value(call, "mapping"), &call->fault);

	return r ? r : tw_api_result_null(call);
}

static int delete_mapping(struct tw_api_call *call)
{
	int r = tw_engine_delete_mapping(call->engine, tw_api_string(call, "user"), &call->fault);

	return r ? r : tw_api_result_null(call);
}

static int add_wrangler(struct tw_api_call *call)
{
	int r = tw_engine_add_wrangler(call->engine, tw_api_string(call, "name"),
				       tw_api_bool(call, "isGroup", false), &call->fault);

	return r ? r : tw_api_result_null(call);
}

static int delete_wrangler(struct tw_api_call *call)
{
	int r = tw_engine_delete_wrangler(call->engine, tw_api_string(call, "name"),
					  tw_api_bool(call, "isGroup", false), &call->fault);

	if (!r)
		call->api->wranglers++; /* who has become one proves it anew */
	return r ? r : tw_api_result_null(call);
}

static int get_wranglers(struct tw_api_call *call)
{
	return tw_api_result_json(call, tw_engine_wranglers(call->engine));
}

static int update_bandwidth(struct tw_api_call *call)
{
	/* null: no limit */
	uint64_t incoming = tw_api_u64(call, "incomingRateLimit", UINT64_MAX);
	uint64_t outgoing = tw_api_u64(call, "outgoingRateLimit", UINT64_MAX);
	bool borrow_incoming = tw_api_bool(call, "borrowIncomingRate", false);
	bool borrow_outgoing = tw_api_bool(call, "borrowOutgoingRate", false);
	const struct tw_bandwidth_change change = {
		.incoming_rate_limit = tw_api_given(call, "incomingRateLimit") ? &incoming : NULL,
		.outgoing_rate_limit = tw_api_given(call, "outgoingRateLimit") ? &outgoing : NULL,
		.borrow_incoming_rate =
			tw_api_value(call, "borrowIncomingRate") ? &borrow_incoming : NULL,
		.borrow_outgoing_rate =
			tw_api_value(call, "borrowOutgoingRate") ? &borrow_outgoing : NULL,
	};
	struct tw_server_view view = { 0 };
	int r = tw_engine_set_bandwidth(call->engine, &change, &call->fault);

	if (r)
		return r;
	tw_engine_server(call->engine, &call->caller, &view);
	return tw_api_result_structure(call, &tw_bandwidth_structure, &view.bandwidth_limits);
}

static int garbage_collect(struct tw_api_call *call)
{
	uint64_t removed = tw_engine_collect_garbage(call->engine);

	return tw_api_result_json(call, json_pack("{s:I}", "removed", (json_int_t)removed));
}

static int update_garbage_settings(struct tw_api_call *call)
{
	struct tw_garbage_settings settings;
	int r;

	tw_engine_garbage_settings(call->engine, &settings);
	settings.interval_seconds = tw_api_u64(call, "intervalSeconds", settings.interval_seconds);
	settings.transfer_expiry_seconds =
		tw_api_u64(call, "transferExpirySeconds", settings.transfer_expiry_seconds);
	settings.manifest_expiry_seconds =
		tw_api_u64(call, "manifestExpirySeconds", settings.manifest_expiry_seconds);
	r = tw_engine_set_garbage(call->engine, &settings, &call->fault);
	if (r)
		return r;
	tw_engine_garbage_settings(call->engine, &settings);
	return tw_api_result_json(call, json_pack("{s:I, s:I, s:I}", "intervalSeconds",
						  (json_int_t)settings.interval_seconds,
						  "transferExpirySeconds",
						  (json_int_t)settings.transfer_expiry_seconds,
						  "manifestExpirySeconds",
						  (json_int_t)settings.manifest_expiry_seconds));
}

#define USER \
	{ \
		.name = "user", .type = TW_API_STRING, .required = true, .max = 255, \
		.meaning = "an account; the empty text is everyone" \
	}

static const struct tw_api_parameter set_mapping_parameters[] = {
	USER,
	{ .name = "mapping",
	  .type = TW_API_OBJECT,
	  .required = true,
	  .meaning = "{mount: target}; a target is a path or {type: \"File\", path}, in which "
		     "{user}, {uid} and {home} are filled in" },
};

static const struct tw_api_parameter delete_mapping_parameters[] = { USER };

static const struct tw_api_parameter wrangler_parameters[] = {
	TW_P_NEEDED("name", 255, "an account or a group"),
	TW_P_BOOL("isGroup", "false", "whether it is a group"),
};

static const struct tw_api_parameter bandwidth_parameters[] = {
	{ .name = "incomingRateLimit",
	  .type = TW_API_INTEGER,
	  .nullable = true,
	  .min = 1,
	  .max = TW_RATE_MAX,
	  .meaning = "what may come in altogether, in kbit/s; null: no limit" },
	{ .name = "outgoingRateLimit",
	  .type = TW_API_INTEGER,
	  .nullable = true,
	  .min = 1,
	  .max = TW_RATE_MAX,
	  .meaning = "what may go out altogether, in kbit/s; null: no limit" },
	TW_P_BOOL("borrowIncomingRate", NULL, "outgoing may use what incoming leaves"),
	TW_P_BOOL("borrowOutgoingRate", NULL, "incoming may use what outgoing leaves"),
};

#define YEARS 3153600000 /* a hundred, in seconds */

static const struct tw_api_parameter garbage_parameters[] = {
	TW_P_INT("intervalSeconds", 1, YEARS, NULL, "between two collections; at first 3600"),
	TW_P_INT("transferExpirySeconds", 0, YEARS, NULL,
		 "transfers go so long after their end; at first 172800"),
	TW_P_INT("manifestExpirySeconds", 0, YEARS, NULL,
		 "manifests go so long after their last use; at first 172800"),
};

static const struct tw_api_method rows[] = {
	{ .name = "getSandboxMappings",
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .returns = "{user: {mount: target}}",
	  .summary = "which folders accounts are confined to",
	  .run = get_mappings },
	{ .name = "setSandboxMapping",
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .changes = true,
	  TW_PARAMETERS(set_mapping_parameters),
	  .returns = "null",
	  .summary = "confine an account to folders",
	  .run = set_mapping },
	{ .name = "deleteSandboxMapping",
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .changes = true,
	  TW_PARAMETERS(delete_mapping_parameters),
	  .returns = "null",
	  .summary = "take back what an account is confined to",
	  .run = delete_mapping },
	{ .name = "addWranglerAsync",
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .changes = true,
	  TW_PARAMETERS(wrangler_parameters),
	  .async = true,
	  .returns = "null",
	  .summary = "allow an account to see and change the objects of others",
	  .run = add_wrangler },
	{ .name = "deleteWrangler",
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .changes = true,
	  TW_PARAMETERS(wrangler_parameters),
	  .returns = "null",
	  .summary = "take that back",
	  .run = delete_wrangler },
	{ .name = "getWranglers",
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .returns = "a list of {name, isGroup}",
	  .summary = "who may see and change the objects of others",
	  .run = get_wranglers },
	{ .name = "updateBandwidthLimits",
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .changes = true,
	  TW_PARAMETERS(bandwidth_parameters),
	  .result = &tw_bandwidth_structure,
	  .summary = "limit what the whole server sends and receives",
	  .run = update_bandwidth },
	{ .name = "garbageCollect",
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .changes = true,
	  .returns = "{removed}: how many objects went",
	  .summary = "remove what has expired, now",
	  .run = garbage_collect },
	{ .name = "updateGarbageCollectSettings",
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .changes = true,
	  TW_PARAMETERS(garbage_parameters),
	  .returns = "{intervalSeconds, transferExpirySeconds, manifestExpirySeconds}",
	  .summary = "when what is over is removed",
	  .run = update_garbage_settings },
};

const struct tw_api_table tw_api_policy_methods = TW_METHODS(rows);
