/* methods_recv.c - who may send to this server, and what arrives. */
#include "api/private.h"
#include "api/rows.h"

static int authorize(struct tw_api_call *call, bool authorized)
{
	int r = tw_engine_authorize_client(call->engine, tw_api_string(call, "clientPublicKey"),
					   authorized, &call->fault);

	return r ? r : tw_api_result_null(call);
}

static int add_client(struct tw_api_call *call)
{
	return authorize(call, true);
}

static int remove_client(struct tw_api_call *call)
{
	return authorize(call, false);
}

static int allow_only(struct tw_api_call *call)
{
	int r = tw_engine_only_authorized(call->engine,
					  tw_api_bool(call, "onlyAuthorizedClientsAllowed", false),
					  &call->fault);

	return r ? r : tw_api_result_null(call);
}

static int get_clients(struct tw_api_call *call)
{
	struct tw_strings keys = { 0 };
	json_t *list = json_array();

	tw_engine_authorized_clients(call->engine, &keys);
	for (size_t i = 0; list && i < keys.count; i++)
		json_array_append_new(list, json_string(keys.items[i]));
	return tw_api_result_json(call, list);
}

static int get_sources(struct tw_api_call *call)
{
	const struct tw_source_view *view;
	size_t cursor = 0;

	tw_api_list_begin(call);
	while ((view = tw_engine_source_next(call->engine, &cursor)))
		if (!tw_api_list_item(call, &tw_source_structure, view))
			break;
	return tw_api_list_end(call);
}

static int get_transfers(struct tw_api_call *call)
{
	const struct tw_receive_transfer_view *view;
	size_t cursor = 0;

	tw_api_list_begin(call);
	while ((view = tw_engine_receive_transfer_next(call->engine, &cursor)))
		if (!tw_api_list_item(call, &tw_receive_transfer_structure, view))
			break;
	return tw_api_list_end(call);
}

static const struct tw_api_parameter client_parameters[] = {
	TW_P_NEEDED("clientPublicKey", 64, "public key of the sending server"),
};

static const struct tw_api_parameter only_parameters[] = {
	{ .name = "onlyAuthorizedClientsAllowed",
	  .type = TW_API_BOOL,
	  .required = true,
	  .meaning = "true: refuse all whose keys are not listed" },
};

static const struct tw_api_method rows[] = {
	{ .name = "recv.addAuthorizedClientAsync",
	  .group = TW_API_RECV,
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .changes = true,
	  TW_PARAMETERS(client_parameters),
	  .async = true,
	  .returns = "null",
	  .summary = "list a server that may send to this one",
	  .run = add_client },
	{ .name = "recv.removeAuthorizedClientAsync",
	  .group = TW_API_RECV,
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .changes = true,
	  TW_PARAMETERS(client_parameters),
	  .async = true,
	  .returns = "null",
	  .summary = "take a server off that list",
	  .run = remove_client },
	{ .name = "recv.allowOnlyAuthorizedClientsAsync",
	  .group = TW_API_RECV,
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .changes = true,
	  TW_PARAMETERS(only_parameters),
	  .async = true,
	  .returns = "null",
	  .summary = "whether only listed servers may send to this one",
	  .run = allow_only },
	{ .name = "recv.getAuthorizedClientsAsync",
	  .group = TW_API_RECV,
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .async = true,
	  .returns = "a list of public keys",
	  .summary = "the servers that are listed",
	  .run = get_clients },
	{ .name = "recv.getSourcesAsync",
	  .group = TW_API_RECV,
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .async = true,
	  .list = true,
	  .result = &tw_source_structure,
	  .summary = "the servers that send to this one",
	  .run = get_sources },
	{ .name = "recv.getTransfersAsync",
	  .group = TW_API_RECV,
	  .role = TW_API_SUPERUSER,
	  .token = TW_TOKEN_NEVER,
	  .async = true,
	  .list = true,
	  .result = &tw_receive_transfer_structure,
	  .summary = "the transfers that arrive here",
	  .run = get_transfers },
};

const struct tw_api_table tw_api_recv_methods = TW_METHODS(rows);
