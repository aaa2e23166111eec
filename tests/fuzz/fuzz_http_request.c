/* The head of a request, and a body in chunks, cut anywhere. */
#include "fuzz.h"

#include "api/http_parse.h"

static void check_slice(struct tw_slice slice, const char *bytes, size_t size)
{
	if (!slice.at)
		return;
	CHECK(slice.at >= bytes && slice.at + slice.length <= bytes + size);
	CHECK(!memchr(slice.at, '\n', slice.length) && !memchr(slice.at, '\0', slice.length));
}

static void check_head(const char *bytes, size_t size)
{
	struct tw_http_head head;
	int status = tw_http_parse_head(bytes, size, &head);

	CHECK(status == 0 || (status >= 400 && status < 600));
	if (status)
		return;
	CHECK(head.path.length && *head.path.at == '/');
	CHECK(!(head.chunked && head.has_length) && head.minor <= 1);
	check_slice(head.path, bytes, size);
	check_slice(head.query, bytes, size);
	check_slice(head.host, bytes, size);
	check_slice(head.content_type, bytes, size);
	check_slice(head.authorization, bytes, size);
	check_slice(head.last_event_id, bytes, size);
	check_slice(head.origin, bytes, size);
	check_slice(head.api_version, bytes, size);
}

/* Where a body is cut changes nothing. */
static void check_chunks(const char *bytes, size_t size, size_t cut)
{
	struct tw_http_chunks whole = { 0 }, parts = { 0 };
	char *a = malloc(size + 1), *b = malloc(size + 1);
	size_t a_taken, a_length, b_taken, b_length, more_taken = 0, more_length = 0;
	int r, again;

	CHECK(a && b);
	r = tw_http_chunks_take(&whole, bytes, size, &a_taken, a, &a_length);
	again = tw_http_chunks_take(&parts, bytes, cut, &b_taken, b, &b_length);
	if (!again)
		again = tw_http_chunks_take(&parts, bytes + b_taken, size - b_taken, &more_taken,
					    b + b_length, &more_length);
	CHECK(r == again);
	if (!r) {
		CHECK(a_taken == b_taken + more_taken && a_length == b_length + more_length);
		CHECK(whole.done == parts.done && a_length <= size);
		CHECK(!memcmp(a, b, a_length));
		CHECK(whole.done || a_taken == size);
	}
	free(a);
	free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *bytes;

	if (size < 1)
		return 0;
	/* Exactly as long as it is, so that a step beyond is seen. */
	bytes = malloc(size - 1 ? size - 1 : 1);
	CHECK(bytes);
	memcpy(bytes, data + 1, size - 1);
	check_head(bytes, size - 1);
	check_chunks(bytes, size - 1, size > 1 ? data[0] % size : 0);
	free(bytes);
	return 0;
}
