#include "unit.h"

#include "api/http_parse.h"
#include "base/error.h"

static const struct {
	int status;
	const char *head;
} heads[] = {
	{ 0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n" },
	{ 0, "GET / HTTP/1.0\r\n\r\n" },
	{ 0, "POST /rpc?x=1 HTTP/1.1\r\nhOST:a\r\nContent-Length: 10\r\n\r\n" },
	{ 0, "OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n" },
	{ 0, "GET / HTTP/1.1\r\nHost: a\r\nX-Any: \t odd \xff bytes\t \r\n\r\n" },
	{ 400, "" },
	{ 400, "\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\nHost: a\n\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a\r\n" },
	{ 400, "GET / HTTP/1.1\r\n\r\n" },
	{ 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n" },
	{ 400, "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n" },
	{ 400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n" },
	{ 400, "GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n" },
	{ 400, "GET / http/1.1\r\nHost: a\r\n\r\n" },
	{ 400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n" },
	{ 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n" },
	{ 505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a\r\nNo-Colon\r\n\r\n" },
	{ 400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999\r\n\r\n" },
	{ 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
	       "chunked\r\n\r\n" },
	{ 400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" },
	{ 501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" },
	{ 417, "POST / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n" },
};

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		struct tw_http_head head;
		int status = tw_http_parse_head(heads[i].head, strlen(heads[i].head), &head);

		if (status != heads[i].status)
			fail_msg("%s: %d, not %d", heads[i].head, status, heads[i].status);
	}
}

static void test_fields(void **state)
{
	static const char text[] = "POST /rpc?a=b HTTP/1.1\r\nHost:  x:1 \r\n"
				   "content-type: application/json; charset=utf-8\r\n"
				   "Content-Length: 4194304\r\nExpect: 100-Continue\r\n"
				   "Authorization: Bearer abc\r\nLast-Event-ID: 17\r\n"
				   "Connection: x, Close\r\n\r\n";
	struct tw_http_head head;

	(void)state;
	assert_int_equal(tw_http_parse_head(text, sizeof text - 1, &head), 0);
	assert_int_equal(head.verb, TW_HTTP_POST);
	assert_true(tw_slice_is(head.path, "/rpc"));
	assert_true(tw_slice_is(head.query, "a=b"));
	assert_true(tw_slice_is(head.host, "x:1"));
	assert_true(tw_slice_is(head.content_type, "application/json; charset=utf-8"));
	assert_true(tw_slice_is(head.authorization, "Bearer abc"));
	assert_true(tw_slice_is(head.last_event_id, "17"));
	assert_true(head.has_length && head.length == 4194304);
	assert_true(head.expect_continue);
	assert_false(head.keep_alive);
	assert_false(head.chunked);
}

static void test_too_many(void **state)
{
	char text[8192] = "GET / HTTP/1.1\r\nHost: a\r\n";
	struct tw_http_head head;

	(void)state;
	for (int i = 0; i < TW_HTTP_FIELDS_MAX; i++)
		strcat(text, "X: y\r\n");
	strcat(text, "\r\n");
	assert_int_equal(tw_http_parse_head(text, strlen(text), &head), 431);
}

static const struct {
	int result;
	const char *bytes, *body;
} chunked[] = {
	{ 0, "0\r\n\r\n", "" },
	{ 0, "3\r\nabc\r\n0\r\n\r\n", "abc" },
	{ 0, "a;name=value\r\n0123456789\r\n01\r\nx\r\n000\r\n\r\n", "0123456789x" },
	{ 0, "2\r\n\r\n\r\n0\r\n\r\n", "\r\n" },
	{ TW_E_FORMAT, "\r\n", "" },
	{ TW_E_FORMAT, "g\r\n", "" },
	{ TW_E_FORMAT, "-1\r\n", "" },
	{ TW_E_FORMAT, "123456789\r\n", "" },
	{ TW_E_FORMAT, "3\nabc\r\n", "" },
	{ TW_E_FORMAT, "3\r\nabcd\r\n", "" },
	{ TW_E_FORMAT, "0\r\nTrailer: x\r\n\r\n", "" },
};

/* At every way to cut it in two. */
static void test_chunks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(chunked); i++) {
		size_t length = strlen(chunked[i].bytes);

		for (size_t cut = 0; cut <= length; cut++) {
			struct tw_http_chunks chunks = { 0 };
			char body[64];
			size_t taken, first = 0, second = 0;
			int r = tw_http_chunks_take(&chunks, chunked[i].bytes, cut, &taken, body,
						    &first);

			if (!r)
				r = tw_http_chunks_take(&chunks, chunked[i].bytes + cut,
							length - cut, &taken, body + first,
							&second);
			assert_int_equal(r, chunked[i].result);
			if (r)
				continue;
			assert_true(chunks.done);
			assert_int_equal(first + second, strlen(chunked[i].body));
			assert_memory_equal(body, chunked[i].body, first + second);
		}
	}
}

static void test_chunks_end(void **state)
{
	struct tw_http_chunks chunks = { 0 };
	char body[16];
	size_t taken, length;

	(void)state;
	assert_int_equal(tw_http_chunks_take(&chunks, "1\r\na\r\n0\r\n\r\nGET /", 16, &taken, body,
					     &length),
			 0);
	assert_true(chunks.done);
	assert_int_equal(taken, 11);
	assert_int_equal(length, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),      cmocka_unit_test(test_fields),
		cmocka_unit_test(test_too_many),   cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_chunks_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
