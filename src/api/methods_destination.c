/* methods_destination.c - destinations and their connections. */
#include "api/private.h"
#include "api/rows.h"

static int show(struct tw_api_call *call, const char *id, const char *parameter)
{
	const struct tw_destination_view *view =
		tw_engine_destination(call->engine, &call->caller, id);

	return view ? tw_api_result_structure(call, &tw_destination_structure, view)
		    : tw_api_gone(call, parameter);
}

static int create(struct tw_api_call *call)
{
	struct tw_destination_options options;
	const char *id;
	int r;

	tw_destination_options_init(&options);
	options.address = tw_api_string(call, "destinationAddress");
	options.port = (uint16_t)tw_api_integer(call, "destinationPort", TW_RECEIVE_PORT_DEFAULT);
	options.public_key = tw_api_string(call, "destinationPublicKey");
	options.permitted_public_key = tw_api_string(call, "permittedDestinationPublicKey");
	options.encryption_enabled = tw_api_bool(call, "encryptionEnabled", true);
	options.sender_ip = tw_api_string(call, "senderIP");
	options.sender_port = (uint16_t)tw_api_integer(call, "senderPort", 0);
	options.send_rate = tw_api_u64(call, "sendRate", UINT64_MAX);
	options.send_rate_min = tw_api_u64(call, "sendRateMin", UINT64_MAX);
	options.send_rate_max = tw_api_u64(call, "sendRateMax", UINT64_MAX);
	options.rate_controller_active = tw_api_bool(call, "rateControllerActive", true);
	options.rate_control_method = tw_api_string(call, "rateControlMethod");
	options.average_window_ms = tw_api_u64(call, "sendRateAverageWindowMs", 1000);
	options.socket_send_buffer_size = tw_api_u64(call, "socketSendBufferSize", UINT64_MAX);
	options.socket_recv_buffer_size = tw_api_u64(call, "socketRecvBufferSize", UINT64_MAX);
	options.relay_address = tw_api_string(call, "relayAddress");
	options.relay_port = (uint16_t)tw_api_integer(call, "relayPort", 0);
	options.relay_public_key = tw_api_string(call, "relayPublicKey");
	options.user_data = tw_api_value(call, "userData");
	options.client_request_id = tw_api_string(call, "clientRequestId");
	r = tw_engine_create_destination(call->engine, &call->caller, &options, &id, &call->fault);
	return r ? r : show(call, id, NULL);
}

static int get(struct tw_api_call *call)
{
	return show(call, tw_api_string(call, "destinationId"), "destinationId");
}

static int get_all(struct tw_api_call *call)
{
	const struct tw_destination_view *view;
	size_t cursor = 0;

	tw_api_list_begin(call);
	while ((view = tw_engine_destination_next(call->engine, &call->caller, &cursor)))
		if (!tw_api_list_item(call, &tw_destination_structure, view))
			break;
	return tw_api_list_end(call);
}

static int delete (struct tw_api_call *call)
{
	int r = tw_engine_delete_destination(call->engine, &call->caller,
					     tw_api_string(call, "destinationId"),
					     tw_api_bool(call, "force", false), &call->fault);

	return r ? r : tw_api_result_null(call);
}

static int get_connection(struct tw_api_call *call)
{
	const struct tw_destination_view *view = tw_engine_destination(
		call->engine, &call->caller, tw_api_string(call, "connectionId"));

	return view ? tw_api_result_structure(call, &tw_connection_structure, &view->connection)
		    : tw_api_gone(call, "connectionId");
}

static int get_connections(struct tw_api_call *call)
{
	const struct tw_destination_view *view;
	size_t cursor = 0;

	tw_api_list_begin(call);
	while ((view = tw_engine_destination_next(call->engine, &call->caller, &cursor)))
		if (!tw_api_list_item(call, &tw_connection_structure, &view->connection))
			break;
	return tw_api_list_end(call);
}

static int set_rate(struct tw_api_call *call)
{
	bool active = tw_api_bool(call, "rateControllerActive", true);
	const struct tw_rate_change change = {
		.destination_id = tw_api_string(call, "destinationId"),
		.transfer_id = tw_api_string(call, "transferId"),
		.send_rate = tw_api_u64(call, "sendRate", UINT64_MAX),
		.send_rate_min = tw_api_u64(call, "sendRateMin", UINT64_MAX),
		.send_rate_max = tw_api_u64(call, "sendRateMax", UINT64_MAX),
		.rate_controller_active =
			tw_api_value(call, "rateControllerActive") ? &active : NULL,
		.rate_control_method = tw_api_string(call, "rateControlMethod"),
	};
	json_t *now = NULL;
	int r;

	if (!change.destination_id == !change.transfer_id)
		return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, "destinationId",
				    "give either destinationId or transferId");
	r = tw_engine_set_rate(call->engine, &call->caller, &change, &now, &call->fault);
	return r ? r : tw_api_result_json(call, now);
}

static const char *const methods[] = { "fixed", "bbr", "delay", "ledbat", NULL };

#define METHOD \
	{ \
		.name = "rateControlMethod", .type = TW_API_STRING, .words = methods, \
		.meaning = "fixed, bbr, delay (holds a small queue) or ledbat (gives way)" \
	}
#define KEY(name_, meaning_) \
	{ \
		.name = (name_), .type = TW_API_STRING, .min = 1, .max = 64, .meaning = (meaning_) \
	}

static const struct tw_api_parameter create_parameters[] = {
	TW_P_NEEDED("destinationAddress", 253, "host name, IPv4 or IPv6 address"),
	TW_P_INT("destinationPort", 1, 65535, "8886", "its UDP port"),
	KEY("destinationPublicKey", "its public key, which encrypted transfers need"),
	KEY("permittedDestinationPublicKey", "the only key that is accepted from it"),
	TW_P_BOOL("encryptionEnabled", "true", "encrypt what goes there"),
	TW_P_TEXT("senderIP", 64, "our own address for it; not given: any"),
	TW_P_INT("senderPort", 0, 65535, "0", "our own UDP port for it; 0: any"),
	TW_P_INT("sendRate", 1, TW_RATE_MAX, NULL, "rate to begin with, and to hold, in kbit/s"),
	TW_P_INT("sendRateMin", 0, TW_RATE_MAX, NULL, "never slower than this, in kbit/s"),
	TW_P_INT("sendRateMax", 1, TW_RATE_MAX, NULL, "never faster than this, in kbit/s"),
	TW_P_BOOL("rateControllerActive", "true", "steer the rate; false: hold sendRate"),
	METHOD,
	TW_P_INT("sendRateAverageWindowMs", 100, 60000, "1000",
		 "window of sendRateAverageWindow, in milliseconds"),
	TW_P_INT("socketSendBufferSize", 4096, 1 << 30, NULL, "bytes to ask the system for"),
	TW_P_INT("socketRecvBufferSize", 4096, 1 << 30, NULL, "bytes to ask the system for"),
	TW_P_TEXT(
		"relayAddress", 320,
		"the relay that it is reached by; HOST[:PORT]#KEY, as `tradewind relay` prints it: "
		"this server's own relay, for what goes out"),
	TW_P_INT(
		"relayPort", 1, 65535, NULL,
		"the relay's UDP port for the destination; of an own relay its control port, 8887"),
	KEY("relayPublicKey", "the relay is this server's own, and this is its key"),
	TW_P_USER_DATA,
	TW_P_CLIENT_REQUEST_ID,
};

static const struct tw_api_parameter id_parameters[] = {
	TW_P_ID("destinationId", TW_API_DESTINATION, "the destination"),
};

static const struct tw_api_parameter delete_parameters[] = {
	TW_P_ID("destinationId", TW_API_DESTINATION, "the destination"),
	TW_P_BOOL("force", "false", "even with active transfers, which are cancelled"),
};

static const struct tw_api_parameter connection_parameters[] = {
	TW_P_ID("connectionId", TW_API_CONNECTION, "the connection"),
};

/* Rates beyond the limits are clamped, and the answer says to what. */
static const struct tw_api_parameter rate_parameters[] = {
	TW_P_SOME_ID("destinationId", TW_API_DESTINATION, "a destination, or:"),
	TW_P_SOME_ID("transferId", TW_API_TRANSFER, "one of its transfers"),
	TW_P_INT("sendRate", 0, INT64_MAX, NULL, "rate to go on with, and to hold, in kbit/s"),
	TW_P_INT("sendRateMin", 0, INT64_MAX, NULL, "never slower than this, in kbit/s"),
	TW_P_INT("sendRateMax", 0, INT64_MAX, NULL, "never faster than this, in kbit/s"),
	TW_P_BOOL("rateControllerActive", NULL, "steer the rate; false: hold sendRate"),
	METHOD,
};

static const struct tw_api_method rows[] = {
	{ .name = "send.createDestination",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .shared = true,
	  .changes = true,
	  TW_PARAMETERS(create_parameters),
	  .result = &tw_destination_structure,
	  .summary = "make a destination, or return the one with the same parameters",
	  .run = create },
	{ .name = "send.getDestination",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(id_parameters),
	  .result = &tw_destination_structure,
	  .summary = "one destination with its connection",
	  .run = get },
	{ .name = "send.getDestinations",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  .result = &tw_destination_structure,
	  .list = true,
	  .summary = "all your destinations",
	  .run = get_all },
	{ .name = "send.deleteDestination",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .shared = true,
	  .changes = true,
	  TW_PARAMETERS(delete_parameters),
	  .returns = "null",
	  .summary = "remove a destination",
	  .run = delete },
	{ .name = "send.getConnection",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  TW_PARAMETERS(connection_parameters),
	  .result = &tw_connection_structure,
	  .summary = "one connection: its state, rates and round trip, live",
	  .run = get_connection },
	{ .name = "send.getConnections",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_TOKEN_ANY,
	  .shared = true,
	  .result = &tw_connection_structure,
	  .list = true,
	  .summary = "all your connections",
	  .run = get_connections },
	{ .name = "send.setSendRateAsync",
	  .group = TW_API_SEND,
	  .role = TW_API_AUTHENTICATED,
	  .token = TW_MAY_DOWNLOAD,
	  .shared = true,
	  .changes = true,
	  TW_PARAMETERS(rate_parameters),
	  .async = true,
	  .returns = "the values in effect, clamped to the limits",
	  .summary = "change rates of what runs, within 100 ms",
	  .run = set_rate },
};

const struct tw_api_table tw_api_destination_methods = TW_METHODS(rows);
