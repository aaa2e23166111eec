/*
 * place.h - where a server is: a Unix socket, plain HTTP on a loopback address, HTTPS anywhere
 * else.
 */
#pragma once

#include <stdbool.h>

#include "tradewind/client.h"

#define TW_PLACE_SOCKET 108 /* of struct sockaddr_un */
#define TW_PLACE_HOST 256
#define TW_PLACE_URL (TW_PLACE_HOST + 32)

struct tw_place {
	char socket[TW_PLACE_SOCKET]; /* "": TCP */
	char url[TW_PLACE_URL];       /* without a path */
	char key_name[TW_PLACE_URL];  /* "host:port" in lower case, as in the file of known servers
				       */
	char shown[TW_PLACE_URL];     /* for messages */
	bool secure;
};

/* From the options' place, or the default one. TW_CLIENT_INVALID_PARAMETER. */
int tw_place_find(struct tw_place *ret, const struct tw_client_options *options,
		  struct tw_client_error *error);
/* 127.0.0.0/8, ::1, localhost and names below it: what is bound never to leave the machine. */
bool tw_place_is_loopback(const char *host);
