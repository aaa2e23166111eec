/*
 * failure.h - what went wrong, as a sentence for people, an exit code, and the name of the API's
 * `lastError`.
 */
#pragma once

#include <stddef.h>

#include "cli/exit.h"
#include "cli/url.h"
#include "netio/worker.h"

#define TW_FAILURE_TEXT 768

struct tw_failure {
	enum tw_exit exit;
	const char *name;           /* "timeout", ...; NULL: none of the API's names fits */
	char text[TW_FAILURE_TEXT]; /* "" when nothing is wrong */
};

/* Why a connection to @url could not be made or kept. @socket_error: errno of the socket, 0: none.
 */
void tw_failure_connection(struct tw_failure *ret, const struct tw_url *url, enum tw_conn_end end,
			   const char *message, int socket_error);
/* How a transfer ended. @message: the session's own sentence, may be "". */
void tw_failure_transfer(struct tw_failure *ret, enum tw_transfer_error error, const char *message);
/* A listening socket could not be opened at @address: @error is -errno. */
void tw_failure_listen(struct tw_failure *ret, const struct tw_address *address, int error);
