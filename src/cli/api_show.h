/*
 * api_show.h - how `tradewind api` shows what a server answers: JSON, single fields, help made from
 * the server's description of its methods. Whatever a server holds, nothing but plain text reaches
 * the terminal.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

/* JSON over several lines, or in one (@compact), and a line break. Control characters and marks of
 * direction come as \u escapes, which is the same JSON. -ENOMEM. */
int tw_api_show_json(FILE *to, const json_t *value, bool compact);
/*
 * The field at @path ("transferId", "0.destinationIP") of @value, as bare text: strings without
 * quotes, a list's elements a line each. A list on the way that is not asked for by a number: the
 * field of each element. TW_E_FORMAT: there is no such field; nothing is printed.
 */
int tw_api_show_field(FILE *to, const json_t *value, const char *path);
/* All methods of an OpenRPC document, by group. */
void tw_api_show_methods(FILE *to, const json_t *document);
/* For `completion`: the methods as $names; the parameters of the one that is given as $options. */
void tw_api_show_completion(FILE *to, const json_t *document);
/* One method with its parameters. */
void tw_api_show_method(FILE *to, const json_t *method);
