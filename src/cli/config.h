/*
 * config.h - a file of options: one a line by the same names as on the command line, "name",
 * "name value" or "name = value"; "#" at the start of a line makes it a comment. What is on the
 * command line counts instead of what the file says.
 */
#pragma once

#include <stddef.h>

#include "cli/options.h"

#define TW_CONFIG_MAX 65536
#define TW_CONFIG_LINES_MAX 1000

struct tw_config {
	char **words; /* owned, each "--name" or "--name=value" */
	size_t count;
};

/* Names and values are checked against @command as on the command line; "config" is refused.
 * TW_E_FORMAT and a complaint that names the line; -ENOMEM. */
int tw_config_parse(const struct tw_command *command, const char *text, size_t length,
		    struct tw_config *ret, char complaint[TW_COMPLAINT]);
/* The same from a file; -errno too, with a complaint. */
int tw_config_load(const struct tw_command *command, const char *path, struct tw_config *ret,
		   char complaint[TW_COMPLAINT]);
void tw_config_free(struct tw_config *config);
/* Adds to @arguments what they do not say themselves. @config must outlive them. -ENOMEM. */
int tw_config_apply(const struct tw_config *config, struct tw_arguments *arguments);
