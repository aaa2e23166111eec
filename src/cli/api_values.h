/*
 * api_values.h - turns the words of `tradewind api METHOD --name=value ...` into the parameters of
 *a call, as the server's own description of the method (an OpenRPC method object) says.
 *
 *	text       as it stands
 *	number     a JSON number; anything else goes to the server as text, which then names it
 *	switch     --name, --name=true, --name=false
 *	list       the option repeated, or one JSON list
 *	map        --name=key=value repeated, or one JSON object
 *	nothing    null, where the description allows it
 *
 * Without a description, what reads as JSON is JSON and everything else text; a repeated option is
 *a list. Names may be written with dashes: --send-rate is sendRate.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "cli/options.h"

/*
 * @words: what stands behind METHOD. @method: its description, borrowed, NULL: none. Returns 0 and
 * an owned object; TW_E_FORMAT and a complaint; -ENOMEM.
 */
int tw_api_parameters(const json_t *method, const char *const *words, size_t count, json_t **ret,
		      char complaint[TW_COMPLAINT]);

/*
 * The description of @name in an OpenRPC document, lent: by its full name, by a bare name that is
 * in one group only, or by either without its ending "Async" (*@ret_wait is set then: the caller
 * waits for the result). NULL: there is none, or more than one.
 */
const json_t *tw_api_find_method(const json_t *document, const char *name, bool *ret_wait);
/* A name of the document that @name may be a slip of; NULL: none. Lent. */
const char *tw_api_suggest_method(const json_t *document, const char *name);
/* How a parameter's value is written, for the help: "TEXT", "NUMBER", "true|false", "VALUE (may be
 * repeated)". Static. */
const char *tw_api_value_shape(const json_t *parameter);
