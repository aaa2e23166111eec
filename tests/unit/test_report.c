#include "unit.h"

#include <ctype.h>

#include "cli/report.h"

#define T0 (1000 * TW_SECOND)

static struct tw_url url = { .host = "nas.example", .port = 8886, .destination = "a \"b\"" };

static void make(struct tw_report *report)
{
	tw_report_init(report, UINT64_C(1700000000000000), T0);
	report->url = &url;
	report->cipher = TW_CIPHER_128;
	report->method = TW_RATE_BBR;
	report->limits = (struct tw_rate_limits){ .max_bps = UINT64_MAX };
	report->overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS;
	report->flags = 3;
	snprintf(report->transfer_id, sizeof report->transfer_id, "%032d", 7);
}

/* A transfer of @total bytes at @bps from T0 on, looked at when @elapsed has passed. */
static struct tw_report_view at(tw_ns elapsed, uint64_t total, uint64_t bps)
{
	struct tw_report_view view = { .at = T0 + elapsed };

	view.transfer.sender.walk_over = true;
	view.transfer.sender.total_bytes = total;
	view.transfer.sender.bytes_acked = (uint64_t)((double)bps / 8 * (double)elapsed / 1e9);
	view.transfer.sender.started_at = T0;
	view.destination.bytes_sent = view.transfer.sender.bytes_acked * 2;
	return view;
}

static void test_rates(void **state)
{
	struct tw_report_view view;
	struct tw_report report;

	(void)state;
	make(&report);
	assert_int_equal(tw_report_rate(&report), 0);
	for (tw_ns t = 0; t <= 30 * TW_SECOND; t += 100 * TW_MSEC) {
		view = at(t, 1000000000, 100000000);
		tw_report_sample(&report, &view);
	}
	assert_in_range(tw_report_rate(&report), 99900000, 100100000);
	assert_in_range(tw_report_send_rate(&report), 199800000, 200200000);
	/* 80 s in all, 30 are over. */
	assert_in_range(tw_report_time_left(&report, &view), 49 * TW_SECOND, 51 * TW_SECOND);
}

/* The rate is that of the last second, however often snapshots come, and falls to 0 in silence. */
static void test_window(void **state)
{
	struct tw_report_view view;
	struct tw_report report;

	(void)state;
	make(&report);
	for (tw_ns t = 0; t <= 10 * TW_SECOND; t += TW_MSEC) {
		view = at(t, 1000000000, 100000000);
		tw_report_sample(&report, &view);
	}
	assert_in_range(tw_report_rate(&report), 99000000, 101000000);
	for (tw_ns t = 0; t <= 2 * TW_SECOND; t += 250 * TW_MSEC) {
		view.at = T0 + 10 * TW_SECOND + t;
		tw_report_sample(&report, &view);
	}
	assert_int_equal(tw_report_rate(&report), 0);
}

static void test_line(void **state)
{
	struct tw_report_view view;
	char line[TW_REPORT_LINE];
	struct tw_report report;

	(void)state;
	make(&report);
	for (tw_ns t = 0; t <= 2 * TW_SECOND; t += 250 * TW_MSEC) {
		view = at(t, 100000000, 200000000);
		tw_report_sample(&report, &view);
	}
	view.destination.connected = true;
	view.destination.conn.rtt_smoothed = 42 * TW_MSEC;
	view.destination.conn.loss = 0.013;
	tw_report_line(&report, &view, 200, line);
	assert_non_null(strstr(line, "50 %"));
	assert_non_null(strstr(line, "200 Mbit/s"));
	assert_non_null(strstr(line, "2.0 s left"));
	assert_non_null(strstr(line, "round trip 42 ms"));
	assert_non_null(strstr(line, "loss 1.3 %"));
	tw_report_line(&report, &view, 30, line);
	assert_true(strlen(line) <= 30);
	view.destination.waiting = true;
	view.destination.waiting_since = view.at - 12 * TW_SECOND;
	tw_report_line(&report, &view, 200, line);
	assert_non_null(strstr(line, "waiting for nas.example since 12"));
	/* Nearly all is not all. */
	view.transfer.sender.bytes_acked = 99999999;
	assert_non_null(strstr(tw_report_line(&report, &view, 200, line), "99 %"));
}

/* A small checker: balanced, quoted, nothing bare that JSON does not know. */
static void check_json(const char *text)
{
	bool quoted = false;
	int depth = 0;

	for (const char *c = text; *c; c++) {
		assert_true((unsigned char)*c >= 0x20);
		if (quoted && *c == '\\')
			c++;
		else if (*c == '"')
			quoted = !quoted;
		else if (!quoted && (*c == '{' || *c == '['))
			depth++;
		else if (!quoted && (*c == '}' || *c == ']'))
			depth--;
		else if (!quoted)
			assert_true(isalnum((unsigned char)*c) || strchr(",:.-", *c));
		assert_true(depth >= 0);
	}
	assert_int_equal(depth, 0);
	assert_false(quoted);
}

static const char *const names[] = {
	"transferId",
	"destinationId",
	"destinationPath",
	"manifestId",
	"priority",
	"status",
	"processing",
	"errorMessage",
	"requestTime",
	"queueTime",
	"startTime",
	"endTime",
	"snapshotTime",
	"totalBytes",
	"totalBlocks",
	"totalFiles",
	"blockSize",
	"blocksSent",
	"blocksAcked",
	"blocksRetransmitted",
	"bytesSent",
	"bytesRecv",
	"packetsSent",
	"packetsRecv",
	"bytesAcked",
	"bytesDurable",
	"filesComplete",
	"throughput",
	"estimatedSecondsRemaining",
	"checkpointFrequencySeconds",
	"overwriteMode",
	"transferFlags",
	"sendRateMax",
	"digest",
	"owner",
	"ownerToken",
	"ownerTokenSession",
	"userData",
	"connectionId",
	"destinationIP",
	"destinationPort",
	"destinationPublicKey",
	"encryptedConnectionState",
	"encryptionEnabled",
	"lastDestinationServerId",
	"lastDestinationServerUid",
	"lastError",
	"lastErrorMessage",
	"lastRecvTime",
	"lastSendTime",
	"numTransfersQueued",
	"rateControllerActive",
	"rateControlMethod",
	"relayIP",
	"relayPort",
	"roundTripTimeMs",
	"sendRate",
	"sendRateAverage",
	"sendRateAverageWindow",
	"sendRateMin",
	"senderIP",
	"senderPort",
	"socketRecvBufferSize",
	"socketSendBufferSize",
	"pathMtu",
	"lossPercent",
	"queueDelayMs",
	"bandwidthEstimate",
	"cipher",
};

static void test_json(void **state)
{
	struct tw_report_view view = at(2 * TW_SECOND, 100000000, 200000000);
	struct tw_failure failure = { .exit = TW_EXIT_NETWORK,
				      .name = "timeout",
				      .text = "no \"x\"" };
	struct tw_report report;
	char *text, quoted[64];

	(void)state;
	make(&report);
	view.destination.connected = true;
	view.destination.conn.state = TW_CONN_ESTABLISHED;
	view.destination.conn.established_at = T0;
	view.destination.conn.last_sent_at = T0 + TW_SECOND;
	view.destination.conn.datagram_bytes = 1472;
	view.destination.conn.path.remote.family = TW_FAMILY_IPV4;
	text = tw_report_json(&report, &view, NULL);
	assert_non_null(text);
	check_json(text);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(quoted, sizeof quoted, "\"%s\":", names[i]);
		if (!strstr(text, quoted))
			fail_msg("no %s in %s", names[i], text);
	}
	assert_non_null(strstr(text, "\"status\":\"active\""));
	assert_non_null(strstr(text, "\"startTime\":1700000000000000"));
	assert_non_null(strstr(text, "\"snapshotTime\":1700000002000000"));
	assert_non_null(strstr(text, "\"lastSendTime\":1700000001000000"));
	assert_non_null(strstr(text, "\"destinationPath\":\"a \\\"b\\\"\""));
	assert_non_null(strstr(text, "\"pathMtu\":1500"));
	assert_non_null(strstr(text, "\"bytesAcked\":50000000"));
	assert_non_null(strstr(text, "\"lastError\":null"));
	free(text);

	view.destination.failed = view.stopped = true;
	text = tw_report_json(&report, &view, &failure);
	check_json(text);
	assert_non_null(strstr(text, "\"status\":\"error\""));
	assert_non_null(strstr(text, "\"lastError\":\"timeout\""));
	assert_non_null(strstr(text, "\"errorMessage\":\"no \\\"x\\\"\""));
	free(text);
}

static const struct {
	enum tw_conn_end end;
	int socket_error;
	enum tw_exit exit;
	const char *name, *says;
} endings[] = {
	{ TW_CONN_TIMEOUT, 0, TW_EXIT_NETWORK, "timeout", "UDP port 8886, within 10 s" },
	{ TW_CONN_TIMEOUT, ENETUNREACH, TW_EXIT_NETWORK, "unreachable", "its routes" },
	{ TW_CONN_UNREACHABLE, ECONNREFUSED, TW_EXIT_NETWORK, "unreachable",
	  "nobody listens on UDP" },
	{ TW_CONN_NOT_AUTHORIZED, 0, TW_EXIT_NOT_AUTHORIZED, "notAuthorized", "tradewind keygen" },
	{ TW_CONN_CIPHER_TOO_WEAK, 0, TW_EXIT_NOT_AUTHORIZED, "cipherTooWeak", "--cipher" },
	{ TW_CONN_VERSION, 0, TW_EXIT_NETWORK, "versionMismatch", "same version" },
	{ TW_CONN_BUSY, 0, TW_EXIT_NETWORK, "destinationFull", "again later" },
};

/* Each sentence names the host, says what to do, and ends with no loose mark. */
static void test_endings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		struct tw_failure failure;

		tw_failure_connection(&failure, &url, endings[i].end, "", endings[i].socket_error);
		assert_int_equal(failure.exit, endings[i].exit);
		assert_string_equal(failure.name, endings[i].name);
		if (!strstr(failure.text, endings[i].says))
			fail_msg("\"%s\" lacks \"%s\"", failure.text, endings[i].says);
		assert_non_null(strstr(failure.text, "nas.example"));
		assert_null(strpbrk(failure.text, "{}\n"));
	}
}

static void test_transfer_endings(void **state)
{
	struct tw_failure failure;

	(void)state;
	tw_failure_transfer(&failure, TW_TRANSFER_OK, "");
	assert_int_equal(failure.exit, TW_EXIT_DONE);
	assert_string_equal(failure.text, "");
	for (int error = TW_TRANSFER_ENTRIES; error <= TW_TRANSFER_RESOURCES; error++) {
		tw_failure_transfer(&failure, (enum tw_transfer_error)error, "");
		assert_int_not_equal(failure.exit, TW_EXIT_DONE);
		assert_true(strlen(failure.text) > 15);
	}
	tw_failure_transfer(&failure, TW_TRANSFER_STORAGE, "the disk is full");
	assert_int_equal(failure.exit, TW_EXIT_STORAGE);
	assert_memory_equal(failure.text, "the disk is full;", 17);
	tw_failure_transfer(&failure, (enum tw_transfer_error)9999, NULL);
	assert_int_equal(failure.exit, TW_EXIT_NETWORK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),   cmocka_unit_test(test_window),
		cmocka_unit_test(test_line),    cmocka_unit_test(test_json),
		cmocka_unit_test(test_endings), cmocka_unit_test(test_transfer_endings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
