/*
 * link.h - what a connection to a server needs to be made: its place, its key, who calls. Clients
 * and streams of events each have one and make their own libcurl handles from it.
 *
 * A server on another host is asked for its key on a connection that carries nothing else, once;
 * every later connection is given up by libcurl unless it shows that key.
 */
#pragma once

#include <curl/curl.h>

#include "client/known.h"
#include "client/place.h"

struct tw_link {
	struct tw_place place;
	char pin[TW_PIN_TEXT]; /* "": not asked yet, or not needed */
	char *known_servers;   /* owned; NULL when @pin came from the options */
	unsigned known_line;   /* where @pin stands in that file, 0: nowhere */
	char *bearer;          /* owned; NULL: no session */
	long connect_ms;
	bool (*trust)(void *context, const char *server, const char *key);
	void *context;
};

/* What a server sends, up to TW_CLIENT_ANSWER_MAX. */
struct tw_body {
	char *bytes; /* owned */
	size_t length, room;
	bool too_long;
};

/* TW_CLIENT_INVALID_PARAMETER, TW_CLIENT_NO_MEMORY. */
int tw_link_init(struct tw_link *link, const struct tw_client_options *options,
		 struct tw_client_error *error);
int tw_link_copy(struct tw_link *to, const struct tw_link *from, struct tw_client_error *error);
void tw_link_deinit(struct tw_link *link);
/* NULL: ends the session. */
int tw_link_set_bearer(struct tw_link *link, const char *token, struct tw_client_error *error);

/* Learns the server's key if it must be known and is not. As the calls: UNAVAILABLE, KEY_CHANGED
 * (the caller did not trust it), INTERNAL. */
int tw_link_secure(struct tw_link *link, struct tw_client_error *error);
/* Points @curl at @path ("/rpc") of the server, with headers from @extra (borrowed lines, NULL ends
 * them). @ret_headers: to be freed after the request. TW_CLIENT_NO_MEMORY. */
int tw_link_aim(const struct tw_link *link, CURL *curl, const char *path, const char *const *extra,
		struct curl_slist **ret_headers);
/* What a failure of libcurl means. Returns the fault, never 0. */
int tw_link_fault(const struct tw_link *link, CURLcode code, struct tw_client_error *error);

/* A write function for libcurl; @userdata is a struct tw_body. */
size_t tw_body_write(char *bytes, size_t size, size_t count, void *userdata);
