#include "unit.h"

#include "engine/jsontext.h"
#include "engine/structure.h"
#include "engine/views.h"

/* The contract's names, word for word; behind the bar what is ours alone. */
#define OWNER "owner ownerToken ownerTokenSession "
static const struct {
	const struct tw_structure *structure;
	const char *names;
} contract[] = {
	{ &tw_connection_structure,
	  "connectionId destinationIP destinationPort destinationPublicKey "
	  "encryptedConnectionState encryptionEnabled lastDestinationServerId "
	  "lastDestinationServerUid lastError lastErrorMessage lastRecvTime lastSendTime "
	  "numTransfersQueued rateControllerActive rateControlMethod relayIP relayPort "
	  "roundTripTimeMs senderIP senderPort sendRate sendRateAverage sendRateAverageWindow "
	  "sendRateMax sendRateMin snapshotTime socketRecvBufferSize socketSendBufferSize "
	  "pathMtu lossPercent queueDelayMs bandwidthEstimate cipher" },
	{ &tw_destination_structure,
	  "destinationId destinationAddress " OWNER "permittedDestinationPublicKey userData" },
	{ &tw_manifest_structure,
	  "manifestId status processing errorMessage totalFiles totalSize " OWNER
	  "userData creationTime filesSoFar sizeSoFar" },
	{ &tw_manifest_file_structure,
	  "srcPath destPath fileSize isEmptyDir executable modificationTime" },
	{ &tw_manifest_files_structure, "manifestId fileMappings" },
	{ &tw_transfer_structure,
	  "transferId destinationId destinationPath manifestId priority status processing "
	  "errorMessage requestTime queueTime startTime endTime snapshotTime totalBytes "
	  "totalBlocks totalFiles blockSize blocksSent blocksAcked blocksRetransmitted bytesSent "
	  "bytesRecv packetsSent packetsRecv bytesAcked bytesDurable filesComplete throughput "
	  "estimatedSecondsRemaining checkpointFrequencySeconds overwriteMode transferFlags "
	  "sendRateMax digest " OWNER "userData problems" },
	{ &tw_transfer_sample_structure,
	  "time bytesTransferred throughput retransmitPercent sendRate diskReadRate "
	  "networkSendRate" },
	{ &tw_receive_transfer_structure,
	  "transferId destinationPath status totalSize bytesReceived sourceIP sourcePort "
	  "relayIP relayPort lastRecvTime lastSendTime lastErrorTime" },
	{ &tw_source_structure,
	  "sourceIP sourcePort destinationPublicKey encryptedConnectionState encryptionEnabled "
	  "activeTransferCount inactiveTransferCount completeTransferCount errorTransferCount "
	  "aveRecvRate aveRecvRateWindow relayIP relayPort" },
	{ &tw_token_structure,
	  "token creationTime expiryTime description passwordRequired permissions " OWNER
	  "userData manifestId downloadCount downloadLimit path" },
	{ &tw_watch_structure,
	  "watchId srcPath destinationId destinationPath intervalSeconds settleSeconds include "
	  "exclude mirrorDeletes enabled expiryTime creationTime lastScanTime filesSent "
	  "filesWaiting errorMessage " OWNER "userData" },
	{ &tw_event_structure, "_event _timestamp _id" },
	{ &tw_bandwidth_structure, "incomingRateLimit outgoingRateLimit borrowIncomingRate "
				   "borrowOutgoingRate incomingRate outgoingRate" },
	{ &tw_receiver_structure, "ports relayIP relayPort onlyAuthorizedClientsAllowed" },
	{ &tw_server_structure,
	  "serverName serverId serverUid version revision apiVersion hostName publicKey minCipher "
	  "encryptionAvailable multiplexAvailable authRequired allowRemoteControl "
	  "apiControlPort APITokensAvailable eventLogAvailable serverExternalAddress "
	  "certificateValidation certificateFingerprint bandwidthLimits receiver license "
	  "configuration" },
	{ &tw_request_structure, "requestId processing status errorMessage" },
	{ &tw_file_structure, "name isDirectory isSymlink size modificationTime executable" },
	{ &tw_ls_structure, "path isDirectory size modificationTime entries" },
	{ &tw_du_structure, "path totalSize totalFiles" },
	{ &tw_license_structure, "name version license url" },
	{ &tw_discover_structure, "reachable observedIP observedPort roundTripTimeMs" },
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(contract); i++) {
		const struct tw_structure *structure = contract[i].structure;
		char names[2048] = "";

		for (size_t k = 0; k < structure->field_count; k++) {
			assert_non_null(structure->fields[k].meaning);
			assert_true(strlen(structure->fields[k].meaning) > 4);
			strcat(names, k ? " " : "");
			strcat(names, structure->fields[k].name);
		}
		assert_string_equal(names, contract[i].names);
		assert_non_null(structure->meaning);
	}
	assert_ptr_equal(tw_destination_structure.base, &tw_connection_structure);
}

static struct tw_destination_view example(json_t *user_data)
{
	struct tw_destination_view view = {
		.connection = { .connection_id = "c1",
				.destination_ip = "192.0.2.1",
				.destination_port = 8886,
				.encrypted_connection_state = "connected",
				.rate_control_method = "bbr",
				.round_trip_time_ms = 50.12345,
				.relay_port = UINT64_MAX,
				.send_rate = UINT64_MAX - 1,
				.send_rate_max = UINT64_MAX,
				.loss_percent = -1,
				.last_recv_time = 1700000000000001 },
		.destination_id = "d\xff",
		.destination_address = "a \"name\"\n",
		.user_data = user_data,
	};

	return view;
}

static void test_values(void **state)
{
	json_t *user_data = json_pack("{s:[f,i,s]}", "a", 0.1, 3, "\xc3\xa4");
	struct tw_destination_view view = example(user_data);
	json_t *value = tw_structure_json(&tw_destination_structure, &view);

	(void)state;
	assert_non_null(value);
	assert_int_equal(json_object_size(value), tw_connection_structure.field_count +
							  tw_destination_structure.field_count);
	assert_string_equal(json_string_value(json_object_get(value, "destinationIP")),
			    "192.0.2.1");
	assert_true(json_is_null(json_object_get(value, "senderIP")));
	assert_true(json_is_null(json_object_get(value, "relayPort")));
	assert_true(json_is_null(json_object_get(value, "sendRateMax")));
	assert_true(json_is_null(json_object_get(value, "lossPercent")));
	assert_true(json_is_null(json_object_get(value, "lastSendTime")));
	assert_true(json_is_null(json_object_get(value, "owner")));
	assert_true(json_is_false(json_object_get(value, "encryptionEnabled")));
	assert_true(json_integer_value(json_object_get(value, "sendRate")) == INT64_MAX);
	assert_true(json_integer_value(json_object_get(value, "lastRecvTime")) == 1700000000000001);
	assert_true(json_real_value(json_object_get(value, "roundTripTimeMs")) == 50.123);
	assert_string_equal(json_string_value(json_object_get(value, "destinationId")), "d\\xFF");
	assert_string_equal(json_string_value(json_object_get(value, "destinationAddress")),
			    "a \"name\"\n");
	assert_true(json_equal(json_object_get(value, "userData"), user_data));
	json_decref(value);
	json_decref(user_data);
}

static void test_nested(void **state)
{
	const uint64_t ports[] = { 8886, 9000 };
	struct tw_server_view view = {
		.server_name = "n",
		.receiver = { .ports = { ports, 2, sizeof *ports }, .relay_port = UINT64_MAX },
		.bandwidth_limits = { .incoming_rate_limit = UINT64_MAX, .outgoing_rate_limit = 7 },
		.certificate_validation = INT64_MIN,
	};
	json_t *value = tw_structure_json(&tw_server_structure, &view), *part;

	(void)state;
	assert_non_null(value);
	part = json_object_get(json_object_get(value, "receiver"), "ports");
	assert_int_equal(json_array_size(part), 2);
	assert_int_equal(json_integer_value(json_array_get(part, 1)), 9000);
	part = json_object_get(value, "bandwidthLimits");
	assert_true(json_is_null(json_object_get(part, "incomingRateLimit")));
	assert_int_equal(json_integer_value(json_object_get(part, "outgoingRateLimit")), 7);
	assert_true(json_is_null(json_object_get(value, "certificateValidation")));
	assert_true(json_is_null(json_object_get(value, "configuration")));
	assert_int_equal(json_object_size(json_object_get(value, "license")), 0);
	json_decref(value);
}

static const char *const texts[] = {
	"{\"a\":[1,-2,0.1,1e+300,true,false,null,{},[]],\"b\":\"\\u0001\\n\\\"\\\\x\"}",
	"[9223372036854775807,-9223372036854775808,0.30000000000000004,5.0]",
};

static void test_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_t *value = json_loads(texts[i], 0, NULL);
		struct tw_jsontext text;

		assert_non_null(value);
		tw_jsontext_init(&text);
		tw_jsontext_value(&text, value);
		assert_false(text.failed);
		assert_int_equal(text.length, strlen(texts[i]));
		assert_memory_equal(text.bytes, texts[i], text.length);
		tw_jsontext_deinit(&text);
		json_decref(value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
