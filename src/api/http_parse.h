/*
 * http_parse.h - the head of an HTTP/1.1 request (RFC 9112) and chunked bodies, as pure functions
 * of bytes.
 *
 * Strict where two readers could differ: a line ends with CR LF; no folded lines, no space before a
 * colon, no control characters; what says how long a body is, and who asks, is there once; a length
 * beside chunks is refused. Header fields that the service has no use for are checked in form and
 * passed over.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_HTTP_HEAD_MAX 16384
#define TW_HTTP_FIELDS_MAX 64

struct tw_slice {
	const char *at; /* borrowed; NULL: not there */
	size_t length;
};

enum tw_http_verb { TW_HTTP_OTHER, TW_HTTP_GET, TW_HTTP_HEAD, TW_HTTP_POST };

struct tw_http_head {
	enum tw_http_verb verb;
	struct tw_slice path, query; /* the path begins with "/"; neither is decoded */
	unsigned minor;              /* HTTP/1.0 or 1.1 */
	bool keep_alive, chunked, expect_continue, has_length;
	uint64_t length; /* of the body */
	struct tw_slice host, content_type, authorization, last_event_id, origin, api_version;
};

/*
 * @bytes: from the first byte to the empty line, included. 0, or the status of the refusal: 400,
 * 417, 431 (too many fields), 501 (another transfer coding), 505.
 */
int tw_http_parse_head(const char *bytes, size_t length, struct tw_http_head *ret);
/* Case does not matter. */
bool tw_slice_is(struct tw_slice slice, const char *text);

/* A chunked body (RFC 9112, 7.1), taken piece by piece. Extensions are passed over, trailers
 * refused. All zero at the start. */
struct tw_http_chunks {
	unsigned state;
	unsigned digits; /* of the present size, or bytes of an extension */
	uint64_t left;
	bool done;
};

/*
 * Takes what it can of @bytes: how much in *@ret_taken; content goes to @ret (may be @bytes), its
 * length to *@ret_length. Stops behind the end of the body. TW_E_FORMAT.
 */
int tw_http_chunks_take(struct tw_http_chunks *chunks, const char *bytes, size_t length,
			size_t *ret_taken, char *ret, size_t *ret_length);
