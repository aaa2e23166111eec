/*
 * private.h - what the files of this library share about a client.
 */
#pragma once

#include "client/link.h"

struct tw_client {
	struct tw_link link;
	CURL *curl;            /* one, so that its connection is used again */
	char *user, *password; /* owned; NULL: no session of our own making */
	bool session_tried;    /* user and password were shown once since the last expiry */
	long timeout_ms;       /* 0: none */
	json_int_t next_id;
};

struct tw_exchange {
	const char *path;    /* "/rpc" */
	const char *text;    /* to POST, borrowed; NULL: GET */
	long timeout_ms;     /* 0: none */
	struct tw_body body; /* what came; to be freed whatever came */
	long status;         /* of HTTP */
};

int tw_client_exchange(struct tw_client *client, struct tw_exchange *exchange,
		       struct tw_client_error *error);
/* Opens a session where user and password are given and there is none. */
int tw_client_session(struct tw_client *client, struct tw_client_error *error);
