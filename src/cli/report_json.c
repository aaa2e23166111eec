/* report_json.c - a transfer and its connection as the API's structures of these names. */
#include "base/text.h"
#include "cli/json.h"
#include "cli/report.h"

static void time_or_null(struct tw_json *json, const struct tw_report *report, const char *name,
			 tw_ns at)
{
	if (at)
		tw_json_number(json, name, tw_report_time(report, at));
	else
		tw_json_null(json, name);
}

static void number_or_null(struct tw_json *json, const char *name, uint64_t value, bool known)
{
	if (known)
		tw_json_number(json, name, value);
	else
		tw_json_null(json, name);
}

static void real_or_null(struct tw_json *json, const char *name, double value, bool known)
{
	if (known)
		tw_json_real(json, name, value, 3);
	else
		tw_json_null(json, name);
}

static void string_or_null(struct tw_json *json, const char *name, const char *value)
{
	if (value && value[0])
		tw_json_string(json, name, value);
	else
		tw_json_null(json, name);
}

static const char *transfer_status(const struct tw_report_view *view,
				   const struct tw_failure *failure)
{
	const struct tw_sender_status *sender = &view->transfer.sender;

	if (sender->finished && sender->error == TW_TRANSFER_OK)
		return "complete";
	if (sender->finished && !sender->paused && sender->error == TW_TRANSFER_CANCELLED)
		return "cancelled";
	if ((sender->finished && !sender->paused) || view->destination.failed)
		return "error";
	if (view->stopped && failure && failure->text[0])
		return "suspended";
	return sender->started_at ? "active" : "pending";
}

static uint64_t blocks(uint64_t bytes)
{
	return (bytes + TW_REPORT_BLOCK - 1) / TW_REPORT_BLOCK;
}

static void owner(struct tw_json *json, const struct tw_report *report)
{
	tw_json_string(json, "owner", report->owner);
	tw_json_null(json, "ownerToken");
	tw_json_null(json, "ownerTokenSession");
	tw_json_begin_object(json, "userData");
	tw_json_end_object(json);
}

static void amounts(struct tw_json *json, const struct tw_report_view *view)
{
	const struct tw_sender_status *sender = &view->transfer.sender;

	number_or_null(json, "totalBytes", sender->total_bytes, sender->walk_over);
	number_or_null(json, "totalBlocks", blocks(sender->total_bytes), sender->walk_over);
	number_or_null(json, "totalFiles", sender->total_files, sender->walk_over);
	tw_json_number(json, "blockSize", TW_REPORT_BLOCK);
	tw_json_number(json, "blocksSent", blocks(sender->bytes_sent));
	tw_json_number(json, "blocksAcked", blocks(sender->bytes_acked));
	tw_json_number(json, "blocksRetransmitted", blocks(sender->bytes_retransmitted));
	tw_json_number(json, "bytesSent", view->destination.bytes_sent);
	tw_json_number(json, "bytesRecv", view->destination.bytes_received);
	tw_json_number(json, "packetsSent", view->destination.packets_sent);
	tw_json_number(json, "packetsRecv", view->destination.packets_received);
	tw_json_number(json, "bytesAcked", sender->bytes_acked);
	tw_json_number(json, "bytesDurable", sender->bytes_durable);
	tw_json_number(json, "filesComplete", sender->files_done + sender->files_skipped);
}

static void transfer(struct tw_json *json, const struct tw_report *report,
		     const struct tw_report_view *view, const struct tw_failure *failure)
{
	const struct tw_sender_status *sender = &view->transfer.sender;
	tw_ns left = sender->finished ? 0 : tw_report_time_left(report, view);
	tw_ns end = sender->finished_at ? sender->finished_at : view->stopped ? view->at : 0;
	char digest[2 * TW_DIGEST_SIZE + 1];

	tw_json_begin_object(json, "transfer");
	tw_json_string(json, "transferId", report->transfer_id);
	tw_json_string(json, "destinationId", report->destination_id);
	tw_json_string(json, "destinationPath", report->url->destination);
	tw_json_string(json, "manifestId", report->manifest_id);
	tw_json_number(json, "priority", 100);
	tw_json_string(json, "status", transfer_status(view, failure));
	tw_json_bool(json, "processing", !sender->walk_over);
	string_or_null(json, "errorMessage", failure ? failure->text : NULL);
	time_or_null(json, report, "requestTime", report->begun);
	time_or_null(json, report, "queueTime", report->begun);
	time_or_null(json, report, "startTime", sender->started_at);
	time_or_null(json, report, "endTime", end);
	time_or_null(json, report, "snapshotTime", view->at);
	amounts(json, view);
	tw_json_number(json, "throughput", tw_report_rate(report) / 1000);
	real_or_null(json, "estimatedSecondsRemaining", (double)left / (double)TW_SECOND,
		     left != TW_NEVER);
	number_or_null(json, "checkpointFrequencySeconds", report->checkpoint_seconds,
		       report->checkpoint_seconds > 0);
	tw_json_number(json, "overwriteMode", report->overwrite);
	tw_json_number(json, "transferFlags", report->flags);
	number_or_null(json, "sendRateMax", report->limits.max_bps / 1000,
		       report->limits.max_bps != UINT64_MAX);
	string_or_null(json, "digest",
		       sender->finished && sender->error <= TW_TRANSFER_ENTRIES
			       ? tw_text_hex(sender->digest.bytes, TW_DIGEST_SIZE, digest)
			       : NULL);
	owner(json, report);
	tw_json_end_object(json);
}

static void peer(struct tw_json *json, const struct tw_report *report,
		 const struct tw_report_view *view)
{
	const struct tw_conn_info *conn = &view->destination.conn;
	bool known = conn->established_at != 0,
	     connected = view->destination.connected && conn->state == TW_CONN_ESTABLISHED;
	char ip[TW_ADDRESS_TEXT], key[TW_KEY_TEXT], id[2 * TW_ID_SIZE + 1];
	const struct tw_address *remote =
		report->relay.family ? &report->relayed_to : &view->destination.remote;

	string_or_null(json, "destinationIP",
		       remote->family ? tw_address_format_ip(remote, ip) : NULL);
	tw_json_number(json, "destinationPort", report->url->port);
	string_or_null(json, "destinationPublicKey",
		       report->url->has_key ? tw_public_key_format(&report->url->key, key) : NULL);
	tw_json_string(json, "encryptedConnectionState",
		       report->cipher == TW_CIPHER_NONE ? "disconnected"
		       : connected                      ? "connected"
		       : view->stopped                  ? "disconnected"
							: "negotiating");
	tw_json_bool(json, "encryptionEnabled", report->cipher >= TW_CIPHER_128);
	string_or_null(json, "lastDestinationServerId",
		       known ? tw_text_hex(conn->peer_server_id, TW_ID_SIZE, id) : NULL);
	string_or_null(json, "lastDestinationServerUid",
		       known ? tw_text_hex(conn->peer_server_uid, TW_ID_SIZE, id) : NULL);
}

static void rates(struct tw_json *json, const struct tw_report *report,
		  const struct tw_report_view *view)
{
	const struct tw_rate_limits *limits = &report->limits;
	tw_ns end =
		view->transfer.sender.finished_at ? view->transfer.sender.finished_at : view->at;
	tw_ns span = view->transfer.sender.started_at
			     ? tw_ns_since(end, view->transfer.sender.started_at)
			     : 0;
	double mean = span ? (double)view->destination.bytes_sent * 8e6 / (double)span : 0;

	tw_json_bool(json, "rateControllerActive", report->method != TW_RATE_FIXED);
	tw_json_string(json, "rateControlMethod", tw_rate_method_name(report->method));
	real_or_null(json, "roundTripTimeMs",
		     (double)view->destination.conn.rtt_smoothed / (double)TW_MSEC,
		     view->destination.conn.rtt_smoothed > 0);
	tw_json_number(json, "sendRate",
		       (limits->rate_bps ? limits->rate_bps : view->destination.conn.pacing_bps) /
			       1000);
	tw_json_number(json, "sendRateAverage", (uint64_t)mean);
	tw_json_number(json, "sendRateAverageWindow", tw_report_send_rate(report) / 1000);
	number_or_null(json, "sendRateMax", limits->max_bps / 1000, limits->max_bps != UINT64_MAX);
	number_or_null(json, "sendRateMin", limits->min_bps / 1000, limits->min_bps > 0);
}

static void beyond(struct tw_json *json, const struct tw_report *report,
		   const struct tw_report_view *view)
{
	const struct tw_conn_info *conn = &view->destination.conn;
	bool known = conn->established_at != 0;

	/* The path's MTU counts the headers of IP and UDP, which a datagram's length does not. */
	number_or_null(json, "pathMtu",
		       conn->datagram_bytes +
			       (conn->path.remote.family == TW_FAMILY_IPV6 ? 48u : 28u),
		       known);
	tw_json_real(json, "lossPercent", conn->loss * 100.0, 3);
	tw_json_real(json, "queueDelayMs", (double)conn->queue_delay / (double)TW_MSEC, 3);
	number_or_null(json, "bandwidthEstimate", conn->bandwidth_bps / 1000,
		       conn->bandwidth_bps > 0);
	tw_json_string(json, "cipher", tw_cipher_name(known ? conn->cipher : report->cipher));
}

/* The one in use at the moment, ours or the receiver's. */
static void relay(struct tw_json *json, const struct tw_report *report,
		  const struct tw_report_view *view)
{
	const struct tw_worker_destination_status *destination = &view->destination;
	const struct tw_address *used = report->relay.family ? &report->relay : NULL;
	char ip[TW_ADDRESS_TEXT];

	if (!used && destination->conn.established_at && destination->conn.relayed)
		used = &destination->remote;
	string_or_null(json, "relayIP", used ? tw_address_format_ip(used, ip) : NULL);
	number_or_null(json, "relayPort", used ? used->port : 0, used != NULL);
}

static void connection(struct tw_json *json, const struct tw_report *report,
		       const struct tw_report_view *view, const struct tw_failure *failure)
{
	const struct tw_conn_info *conn = &view->destination.conn;
	char id[33], ip[TW_ADDRESS_TEXT];
	uint8_t bytes[16] = { 0 };

	for (unsigned i = 0; i < 8; i++)
		bytes[15 - i] = (uint8_t)(conn->id >> 8 * i);
	tw_json_begin_object(json, "connection");
	tw_json_string(json, "connectionId", tw_text_hex(bytes, 16, id));
	peer(json, report, view);
	string_or_null(json, "lastError", failure ? failure->name : NULL);
	string_or_null(json, "lastErrorMessage", failure && failure->name ? failure->text : NULL);
	time_or_null(json, report, "lastRecvTime", conn->last_received_at);
	time_or_null(json, report, "lastSendTime", conn->last_sent_at);
	tw_json_number(json, "numTransfersQueued", view->transfer.sender.started_at ? 0 : 1);
	relay(json, report, view);
	rates(json, report, view);
	string_or_null(json, "senderIP",
		       view->destination.local.family
			       ? tw_address_format_ip(&view->destination.local, ip)
			       : NULL);
	number_or_null(json, "senderPort", view->destination.local.port,
		       view->destination.local.family != TW_FAMILY_NONE);
	time_or_null(json, report, "snapshotTime", view->at);
	number_or_null(json, "socketRecvBufferSize", view->destination.receive_granted,
		       view->destination.receive_granted > 0);
	number_or_null(json, "socketSendBufferSize", view->destination.send_granted,
		       view->destination.send_granted > 0);
	beyond(json, report, view);
	tw_json_end_object(json);
}

char *tw_report_json(const struct tw_report *report, const struct tw_report_view *view,
		     const struct tw_failure *failure)
{
	struct tw_json json;
	char *text;

	tw_json_init(&json);
	tw_json_begin_object(&json, NULL);
	transfer(&json, report, view, failure);
	connection(&json, report, view, failure);
	tw_json_end_object(&json);
	text = tw_json_text(&json) ? json.bytes : NULL;
	if (!text)
		tw_json_deinit(&json);
	return text;
}
