/* methods_transfer.c - transfers. */
#include "api/private.h"
#include "api/rows.h"
#include "api/secrets.h"

static int show(struct tw_api_call *call, const char *id)
{
	const struct tw_transfer_view *view = tw_engine_transfer(call->engine, &call->caller, id);

	return view ? tw_api_result_structure(call, &tw_transfer_structure, view)
		    : tw_api_gone(call, "transferId");
}

/* @right: the password that came with a shared token is. */
static int create_with(struct tw_api_call *call, bool right)
{
	struct tw_transfer_options options;
	const char *id = "";
	int r;

	tw_transfer_options_init(&options);
	options.manifest_id = tw_api_string(call, "manifestId");
	options.token = tw_api_string(call, "token");
	options.token_password_right = right;
	options.destination_id = tw_api_string(call, "destinationId");
	options.destination_path = tw_api_string(call, "destinationPath");
	options.priority = tw_api_integer(call, "priority", 100);
	options.overwrite_mode = tw_api_integer(call, "overwriteMode", 4);
	options.checkpoint_seconds =
		tw_api_u64(call, "checkpointFrequencySeconds",
			   tw_api_given(call, "checkpointFrequencySeconds") ? 0 : 10);
	options.transfer_flags = tw_api_integer(call, "transferFlags", 3);
	options.send_rate_max = tw_api_u64(call, "sendRateMax", UINT64_MAX);
	options.verify = tw_api_bool(call, "verify", false);
	options.user_data = tw_api_value(call, "userData");
	options.client_request_id = tw_api_string(call, "clientRequestId");
	if (!options.destination_path)
		options.destination_path = "";
	r = tw_engine_create_transfer(call->engine, &call->caller, &options, &id, &call->fault);
	return r ? r : show(call, id);
}

static int create(struct tw_api_call *call)
{
	const char *token = tw_api_string(call, "token");

	if (!tw_api_given(call, "manifestId") == !token)
		return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, "manifestId",
				    "give either manifestId or a shared token");
	if (!token)
		return create_with(call, false);
	if (!call->api->options.shared_tokens)
		return tw_api_fault(call, TW_FAULT_NOT_PERMITTED, "token",
				    "this server takes no shared tokens");
	return tw_api_guess_token(call, token, tw_api_string(call, "tokenPassword"), create_with);
}

static int get(struct tw_api_call *call)
{
	return show(call, tw_api_string(call, "transferId"));
}

static int wait_for(struct tw_api_call *call)
{
	return tw_api_call_wait_for(call, tw_api_string(call, "transferId"),
				    tw_api_u64(call, "timeoutMs", TW_API_WAIT_MAX_MS), get);
}

static int show_more(struct tw_api_call *call)
{
	const struct tw_transfer_view *view = NULL;

	for (unsigned i = 0; i < TW_API_TURN_ITEMS && call->left; i++, call->left--) {
		view = tw_engine_transfer_walk(call->engine, &call->caller, &call->walk);
		if (!view || !tw_api_list_item(call, &tw_transfer_structure, view))
			return tw_api_list_end(call);
	}
	return call->left ? TW_API_MORE : tw_api_list_end(call);
}

static int get_all(struct tw_api_call *call)
{
	call->walk = (struct tw_transfer_walk){
		.filter = {
			.status = tw_api_string(call, "status"),
			.destination_id = tw_api_string(call, "destinationId"),
		},
		.skip = tw_api_u64(call, "offset", 0),
	};
	call->left = tw_api_u64(call, "limit", UINT64_MAX);
	return tw_api_list_in_turns(call, show_more);
}

static int act(struct tw_api_call *call, enum tw_transfer_action action, const char *text)
{
	const char *id = tw_api_string(call, "transferId");
	int r = tw_engine_transfer_act(call->engine, &call->caller, id, action, text, &call->fault);

	if (r)
		return r;
	if (action == TW_TRANSFER_DELETE || action == TW_TRANSFER_DELETE_FORCE)
		return tw_api_result_null(call);
	return show(call, id);
}

static int suspend(struct tw_api_call *call)
{
	return act(call, TW_TRANSFER_SUSPEND, NULL);
}

static int resume(struct tw_api_call *call)
{
	return act(call, TW_TRANSFER_RESUME, NULL);
}

static int cancel(struct tw_api_call *call)
{
	return act(call, TW_TRANSFER_CANCEL, NULL);
}

static int fail(struct tw_api_call *call)
{
	return act(call, TW_TRANSFER_FAIL, tw_api_string(call, "errorMessage"));
}

static int delete (struct tw_api_call *call)
{
	return act(call,
		   tw_api_bool(call, "force", false) ? TW_TRANSFER_DELETE_FORCE
						     : TW_TRANSFER_DELETE,
		   NULL);
}

static int update(struct tw_api_call *call)
{
	const char *id = tw_api_string(call, "transferId");
	int64_t priority = tw_api_integer(call, "priority", 0);
	/* null: no limit of its own */
	uint64_t rate = tw_api_u64(call, "sendRateMax", UINT64_MAX);
	int r = tw_engine_update_transfer(call->engine, &call->caller, id,
					  tw_api_value(call, "priority") ? &priority : NULL,
					  tw_api_given(call, "sendRateMax") ? &rate : NULL,
					  &call->fault);

	return r ? r : show(call, id);
}

static int get_samples(struct tw_api_call *call)
{
	struct tw_list samples;
	int r = tw_engine_transfer_samples(call->engine, &call->caller,
					   tw_api_string(call, "transferId"),
					   tw_api_integer(call, "since", 0), &samples,
					   &call->fault);

	if (r)
		return r;
	tw_api_list_begin(call);
	for (size_t i = 0; i < samples.count; i++)
		if (!tw_api_list_item(call, &tw_transfer_sample_structure,
				      (const char *)samples.items + i * samples.size))
			break;
	return tw_api_list_end(call);
}

static const char *const states[] = {
	"pending", "active", "suspended", "complete", "cancelled", "error", NULL,
};

static const struct tw_api_parameter create_parameters[] = {
	TW_P_SOME_ID("manifestId", TW_API_MANIFEST, "what to send, or:"),
	TW_P_TEXT("token", 64, "a shared token that stands for a manifest"),
	TW_P_TEXT("tokenPassword", 1023, "the shared token's password, if it has one"),
	TW_P_ID("destinationId", TW_API_DESTINATION, "where to"),
	{ .name = "destinationPath",
	  .type = TW_API_STRING,
	  .max = TW_API_PATH_MAX,
	  .fallback = "\"\"",
	  .meaning = "folder below the destination's receive folder" },
	TW_P_INT("priority", INT32_MIN, INT32_MAX, "100", "lower numbers go first"),
	TW_P_INT("overwriteMode", 0, 5, "4",
		 "what happens to files that exist: OVERWRITE_...; 4: replaced when the new one is "
		 "whole"),
	{ .name = "checkpointFrequencySeconds",
	  .type = TW_API_INTEGER,
	  .nullable = true,
	  .min = 1,
	  .max = 86400,
	  .fallback = "10",
	  .meaning = "how often the receiver flushes to storage; null: only at the end" },
	TW_P_INT("transferFlags", 0, 3, "3", "1: read, 2: write, 3: both, 0: the network alone"),
	TW_P_INT("sendRateMax", 1, TW_RATE_MAX, NULL, "limit of this transfer, in kbit/s"),
	TW_P_BOOL("verify", "false", "compare the SHA-256 of each file as well"),
	TW_P_USER_DATA,
	TW_P_CLIENT_REQUEST_ID,
};

static const struct tw_api_parameter id_parameters[] = {
	TW_P_ID("transferId", TW_API_TRANSFER, "the transfer"),
};

static const struct tw_api_parameter wait_parameters[] = {
	TW_P_ID("transferId", TW_API_TRANSFER, "the transfer"),
	TW_P_TIMEOUT,
};

static const struct tw_api_parameter list_parameters[] = {
	{ .name = "status",
	  .type = TW_API_STRING,
	  .words = states,
	  .meaning = "only those in this state" },
	TW_P_SOME_ID("destinationId", TW_API_DESTINATION, "only those to this destination"),
	TW_P_INT("offset", 0, INT64_MAX, "0", "transfers to pass over"),
	TW_P_INT("limit", 1, INT64_MAX, NULL, "at most so many; not given: all"),
};

static const struct tw_api_parameter fail_parameters[] = {
	TW_P_ID("transferId", TW_API_TRANSFER, "the transfer"),
	{ .name = "errorMessage",
	  .type = TW_API_STRING,
	  .required = true,
	  .min = 1,
	  .max = 1000,
	  .meaning = "why" },
};

static const struct tw_api_parameter delete_parameters[] = {
	TW_P_ID("transferId", TW_API_TRANSFER, "the transfer"),
	TW_P_BOOL("force", "false", "even an active one, which is cancelled"),
};

static const struct tw_api_parameter update_parameters[] = {
	TW_P_ID("transferId", TW_API_TRANSFER, "the transfer"),
	TW_P_INT("priority", INT32_MIN, INT32_MAX, NULL, "lower numbers go first"),
	{ .name = "sendRateMax",
	  .type = TW_API_INTEGER,
	  .nullable = true,
	  .min = 1,
	  .max = TW_RATE_MAX,
	  .meaning = "limit of this transfer in kbit/s; null: none" },
};

static const struct tw_api_parameter sample_parameters[] = {
	TW_P_ID("transferId", TW_API_TRANSFER, "the transfer"),
	TW_P_TIME("since", "only seconds that ended after this time"),
};

static const struct tw_api_method rows[] = {
	{ .name = "send.createTransfer",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .shared = true,
	  .changes = true,
	  TW_PARAMETERS(create_parameters),
	  .result = &tw_transfer_structure,
	  .summary = "queue a manifest for a destination",
	  .run = create },
	{ .name = "send.getTransfer",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(id_parameters),
	  .result = &tw_transfer_structure,
	  .summary = "one transfer",
	  .run = get },
	{ .name = "send.getTransfers",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(list_parameters),
	  .result = &tw_transfer_structure,
	  .list = true,
	  .summary = "your transfers",
	  .run = get_all },
	{ .name = "send.waitForTransfer",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(wait_parameters),
	  .result = &tw_transfer_structure,
	  .summary = "wait until a transfer is over",
	  .run = wait_for },
	{ .name = "send.suspendTransfer",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .shared = true,
	  .changes = true,
	  TW_PARAMETERS(id_parameters),
	  .result = &tw_transfer_structure,
	  .summary = "stop a transfer until it is resumed",
	  .run = suspend },
	{ .name = "send.resumeTransfer",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .shared = true,
	  .changes = true,
	  TW_PARAMETERS(id_parameters),
	  .result = &tw_transfer_structure,
	  .summary = "queue a suspended or failed transfer again",
	  .run = resume },
	{ .name = "send.cancelTransfer",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .shared = true,
	  .changes = true,
	  TW_PARAMETERS(id_parameters),
	  .result = &tw_transfer_structure,
	  .summary = "end a transfer for good",
	  .run = cancel },
	{ .name = "send.failTransfer",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .shared = true,
	  .changes = true,
	  TW_PARAMETERS(fail_parameters),
	  .result = &tw_transfer_structure,
	  .summary = "end a transfer as failed",
	  .run = fail },
	{ .name = "send.deleteTransfer",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .shared = true,
	  .changes = true,
	  TW_PARAMETERS(delete_parameters),
	  .returns = "null",
	  .summary = "forget a transfer",
	  .run = delete },
	{ .name = "send.updateTransfer",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .shared = true,
	  .changes = true,
	  TW_PARAMETERS(update_parameters),
	  .result = &tw_transfer_structure,
	  .summary = "change a transfer's priority or limit",
	  .run = update },
	{ .name = "send.getTransferSamples",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(sample_parameters),
	  .result = &tw_transfer_sample_structure,
	  .list = true,
	  .summary = "a transfer second by second",
	  .run = get_samples },
};

const struct tw_api_table tw_api_transfer_methods = TW_METHODS(rows);
