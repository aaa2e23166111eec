#include "unit.h"

#include <jansson.h>

#include "cli/board.h"
#include "cli/columns.h"
#include "cli/overview.h"

static const struct {
	const char *text;
	size_t width;
	bool right;
	const char *fits;
} fits[] = {
	{ "abc", 5, false, "abc  " },
	{ "abc", 5, true, "  abc" },
	{ "abc", 3, false, "abc" },
	{ "abcd", 3, false, "ab…" },
	{ "abcd", 3, true, "ab…" },
	{ "abcd", 1, false, "…" },
	{ "abcd", 0, false, "" },
	{ "", 2, false, "  " },
	{ "äöü", 4, false, "äöü " },
	{ "漢字", 4, false, "漢字" },
	{ "漢字", 5, true, " 漢字" },
	/* A wide character that half fits. */
	{ "漢字", 3, false, "漢…" },
	{ "a漢字", 3, false, "a… " },
	{ "e\xcc\x81X", 2, false, "e\xcc\x81X" },
	{ "🚢x", 3, false, "🚢x" },
};

static void test_text_by_columns(void **state)
{
	char ret[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fits); i++) {
		assert_string_equal(tw_columns_fit(fits[i].text, fits[i].width, fits[i].right, ret,
						   sizeof ret),
				    fits[i].fits);
		assert_int_equal(tw_columns_of(ret), fits[i].width);
	}
	/* Without room it is cut, never written beyond. */
	assert_string_equal(tw_columns_fit("漢字", 4, false, ret, 5), "漢");
	assert_int_equal(tw_columns_of("漢字a"), 5);
}

static const struct tw_column columns[] = {
	{ "A", 4, false, false, 0 },
	{ "B", 4, true, false, 0 },
	{ "C", 4, false, true, 0 },
	{ "D", 4, false, false, 30 },
};

static const struct {
	unsigned screen;
	const char *cells[4], *line;
} lines[] = {
	{ 20, { "a", "b", "c", "d" }, "a       b c" },
	{ 20, { "a", "b", "0123456789xyz", "d" }, "a       b 012345678…" },
	{ 30, { "a", "b", "c", "d" }, "a       b c               d" },
	{ 30, { "", "", "", "d" }, "                          d" },
	{ 30, { "", "", "", "" }, "" },
	/* Narrower than the columns need. */
	{ 6, { "aaaa", "bbbb", "c", "d" }, "aaaa …" },
};

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		char *text = NULL;
		size_t length;
		FILE *file = open_memstream(&text, &length);

		tw_columns_line(file, columns, ARRAY_SIZE(columns), lines[i].cells,
				lines[i].screen);
		fclose(file);
		assert_string_equal(text, lines[i].line);
		free(text);
	}
}

static void test_time_left(void **state)
{
	static const struct {
		double seconds;
		const char *shows;
	} cases[] = {
		{ -1, "-" },           { 0, "0:00" },      { 0.2, "0:01" },
		{ 65, "1:05" },        { 3599, "59:59" },  { 3600, "1:00:00" },
		{ 86399, "23:59:59" }, { 97200, "1d03h" }, { 1e12, "-" },
	};
	char ret[TW_BOARD_LEFT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(tw_board_left(cases[i].seconds, ret), cases[i].shows);
}

static const char overview_text[] =
	"{\"server\":{\"serverName\":\"one\",\"version\":\"1.2\"},"
	"\"destinations\":["
	"{\"destinationId\":\"d1\",\"destinationAddress\":\"2001:db8::1\",\"destinationPort\":8886,"
	"\"encryptedConnectionState\":\"connected\",\"sendRateAverageWindow\":1000,"
	"\"lossPercent\":0.5,\"roundTripTimeMs\":9.96,\"numTransfersQueued\":3,"
	"\"sendRateMax\":null,\"rateControlMethod\":\"bbr\",\"lastErrorMessage\":null},"
	"{\"destinationId\":\"d2\",\"destinationAddress\":\"evil\\u001b[2J\","
	"\"destinationPort\":1,\"encryptedConnectionState\":\"disconnected\","
	"\"lossPercent\":null,\"roundTripTimeMs\":null,\"numTransfersQueued\":0,"
	"\"sendRateAverageWindow\":2000,\"lastErrorMessage\":\"nobody answers, and "
	"this is a long sentence that says why, what to do about it, and whom to ask\"}],"
	"\"transfers\":["
	"{\"transferId\":\"0123456789abcdef\",\"destinationId\":\"d1\",\"status\":\"active\","
	"\"destinationPath\":\"films\",\"totalBytes\":1000,\"bytesAcked\":999,"
	"\"blocksSent\":200,\"blocksRetransmitted\":1,\"throughput\":500,"
	"\"estimatedSecondsRemaining\":61.2,\"totalFiles\":7,\"filesComplete\":2},"
	"{\"transferId\":\"t2\",\"destinationId\":\"d2\",\"status\":\"pending\","
	"\"destinationPath\":\"\",\"totalBytes\":0,\"bytesAcked\":0,\"throughput\":77},"
	"{\"transferId\":\"t3\",\"destinationId\":\"gone\",\"status\":\"error\","
	"\"errorMessage\":\"the disk is full\",\"totalBytes\":null}],"
	"\"receiving\":["
	"{\"transferId\":\"r1\",\"status\":\"receiving\",\"destinationPath\":\"in/x\","
	"\"totalSize\":2000,\"bytesReceived\":1000,\"sourceIP\":\"192.0.2.1\",\"sourcePort\":9},"
	"{\"transferId\":\"r2\",\"status\":\"complete\",\"destinationPath\":\"in/y\"}],"
	"\"sources\":[{\"aveRecvRateWindow\":40}]}";

static void load(struct tw_overview *ret, double fetched_at)
{
	json_t *all = json_loads(overview_text, 0, NULL);

	assert_non_null(all);
	*ret = (struct tw_overview){
		.server = json_incref(json_object_get(all, "server")),
		.destinations = json_incref(json_object_get(all, "destinations")),
		.transfers = json_incref(json_object_get(all, "transfers")),
		.receiving = json_incref(json_object_get(all, "receiving")),
		.sources = json_incref(json_object_get(all, "sources")),
		.fetched_at = fetched_at,
	};
	json_decref(all);
}

static void test_rows(void **state)
{
	struct tw_overview before, now;
	struct tw_peer_row *peers;
	struct tw_job_row *jobs;
	size_t count;

	(void)state;
	load(&before, 10);
	load(&now, 12);
	json_object_set_new(json_array_get(before.receiving, 0), "bytesReceived",
			    json_integer(500));
	peers = tw_overview_peers(&now, &count);
	assert_int_equal(count, 2);
	assert_string_equal(peers[0].name, "[2001:db8::1]:8886");
	assert_true(peers[0].rate_bps == 1e6 && peers[0].limit_bps < 0 && peers[0].queued == 3);
	assert_string_equal(peers[1].name, "evil\\x1B[2J:1");
	assert_true(peers[1].loss_percent < 0 && peers[1].round_trip_ms < 0);
	free(peers);
	jobs = tw_overview_jobs(&now, &before, &count);
	/* What is complete is left out. */
	assert_int_equal(count, 4);
	assert_string_equal(jobs[0].name, "2001:db8::1/films");
	assert_true(jobs[0].rate_bps == 500000 && jobs[0].again_percent == 0.5);
	assert_true(jobs[0].share > 0.998 && jobs[0].share < 1);
	/* Nothing to send is all of it sent; one that waits has no rate. */
	assert_true(jobs[1].share == 1 && jobs[1].rate_bps < 0 && jobs[1].seconds_left < 0);
	assert_string_equal(jobs[2].name, "?/");
	assert_true(jobs[2].share < 0);
	assert_true(jobs[3].arriving && jobs[3].rate_bps == 2000 && jobs[3].seconds_left == 4);
	free(jobs);
	jobs = tw_overview_jobs(&now, NULL, &count);
	assert_true(jobs[3].rate_bps < 0 && jobs[3].seconds_left < 0);
	free(jobs);
	tw_overview_free(&before);
	tw_overview_free(&now);
}

static void expect_order(enum tw_overview_key key, const char *order)
{
	struct tw_overview now;
	struct tw_job_row *jobs;
	char got[8] = "";
	size_t count;

	load(&now, 1);
	jobs = tw_overview_jobs(&now, NULL, &count);
	for (size_t i = 0; i < count; i++)
		jobs[i].files = (double)i;
	/* Every figure of the first row but the rate is the only known one. */
	jobs[2].rate_bps = 900000;
	jobs[3].seconds_left = 5;
	jobs[3].round_trip_ms = 20;
	tw_overview_sort_jobs(jobs, count, key);
	for (size_t i = 0; i < count; i++)
		got[i] = (char)('0' + (int)jobs[i].files);
	assert_string_equal(got, order);
	free(jobs);
	tw_overview_free(&now);
}

static void test_order(void **state)
{
	(void)state;
	expect_order(TW_BY_ORDER, "0123");
	expect_order(TW_BY_RATE, "2013");
	expect_order(TW_BY_LOSS, "0123");
	expect_order(TW_BY_ROUND_TRIP, "3012");
	expect_order(TW_BY_LEFT, "3012");
	expect_order(TW_BY_NAME, "3021");
}

static char *drawn(const struct tw_board *board, size_t jobs)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	assert_int_equal(tw_board_draw(file, board), jobs);
	fclose(file);
	return text;
}

/* Each line fits the screen, and nothing of what the server said gets through to the terminal. */
static void check_lines(char *text, unsigned screen, unsigned limit)
{
	unsigned count = 0;
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		assert_in_range(tw_columns_of(line), 0, screen);
		count++;
	}
	if (limit)
		assert_in_range(count, 1, limit);
}

static void test_board_fits_any_screen(void **state)
{
	struct tw_overview now;
	struct tw_board board = { .now = &now };

	(void)state;
	load(&now, 1);
	for (board.columns = 40; board.columns < 200; board.columns += 7) {
		for (board.lines = 0; board.lines < 20; board.lines++) {
			char *text = drawn(&board, 4);

			assert_null(strchr(text, '\033'));
			check_lines(text, board.columns, board.lines);
			free(text);
		}
	}
	tw_overview_free(&now);
}

static void test_board_says_what_matters(void **state)
{
	static const char *const says[] = {
		"Tradewind 1.2",
		"sending 500 kbit/s: 1 active, 3 queued, 0 suspended, 1 failed",
		"receiving 40.0 kbit/s: 1 active",
		"nobody answers",
		"the disk is full",
		" 99%",
		"1:02",
		"-> 2001:db8::1/films",
		"<- 192.0.2.1/in/x",
	};
	struct tw_overview now;
	struct tw_board board = { .now = &now, .columns = 90 };
	char *text;

	(void)state;
	load(&now, 1);
	text = drawn(&board, 4);
	assert_non_null(strstr(text, "what to do about it, and whom\n  to ask\n"));
	for (size_t i = 0; i < ARRAY_SIZE(says); i++)
		if (!strstr(text, says[i]))
			fail_msg("no \"%s\" in\n%s", says[i], text);
	free(text);
	board.colours = true;
	text = drawn(&board, 4);
	assert_non_null(strstr(text, "\033[31m"));
	free(text);
	now.refused.fault = TW_CLIENT_NOT_PERMITTED;
	board.colours = false;
	text = drawn(&board, 4);
	assert_non_null(strstr(text, "only a superuser"));
	free(text);
	tw_overview_free(&now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_by_columns),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_time_left),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_board_fits_any_screen),
		cmocka_unit_test(test_board_says_what_matters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
