/*
 * known.h - the file of known servers: a line "host:port sha256//BASE64" each, for the key that a
 * server showed at first. Lines of any other shape are left alone, so that people can write notes.
 */
#pragma once

#include "tradewind/client.h"

#define TW_PIN_TEXT 64 /* "sha256//" and 44 characters, NUL included */

/* @option, or the default: $XDG_CONFIG_HOME/tradewind/known_servers. An owned path; NULL: no
 * memory, or no home folder. */
char *tw_known_path(const char *option);
/* Whether @text has the shape of a key. */
bool tw_known_is_pin(const char *text);
/*
 * The key that @server is known by and its line in the file; "": not known yet. TW_CLIENT_INTERNAL:
 * the file cannot be read, which must not pass for a server that is new.
 */
int tw_known_find(const char *path, const char *server, char ret_pin[TW_PIN_TEXT],
		  unsigned *ret_line, struct tw_client_error *error);
/* Adds a line; makes the folder and the file, for this user alone. TW_CLIENT_INTERNAL: cannot be
 * written. */
int tw_known_add(const char *path, const char *server, const char *pin,
		 struct tw_client_error *error);
