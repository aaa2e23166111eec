/*
 * options.h - commands and their options as const tables. Parsing, help, and completion all come
 * from the same rows.
 *
 * Options are long only, "--name value" or "--name=value", anywhere among the other words; "--"
 * ends them. An option that is given twice counts as last given, unless its row says that it may
 * repeat. A command with `words_end_options` has its own options in front of the first word alone:
 * what comes behind it is handed over as it stands.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TW_WORDS_MAX 4096 /* words of one command line */

struct tw_option {
	const char *name;     /* without the dashes */
	const char *argument; /* shown in the help; NULL: a switch */
	const char *help;
	bool repeats;
};

struct tw_example {
	const char *line, *meaning;
};

struct tw_arguments;

struct tw_command {
	const char *name;
	const char *words;       /* what comes beside the options, for the usage line */
	const char *summary;     /* a line for the list of commands */
	const char *description; /* paragraphs for the command's own help */
	const struct tw_example *examples;
	size_t example_count;
	const struct tw_option *options;
	size_t option_count;
	size_t words_min, words_max;
	bool words_end_options;
	void (*help_more)(FILE *to); /* behind the options; NULL: nothing */
	/* Lines of the completion script's branch for this command; they may set $options, for the
	 * words with a dash, and $names, for the others. NULL: options and files alone. */
	void (*completion)(FILE *to);
	int (*run)(const struct tw_arguments *arguments);
};

struct tw_given {
	const struct tw_option *option;
	const char *value; /* NULL for a switch */
};

struct tw_arguments {
	const struct tw_command *command;
	struct tw_given *given; /* owned; in the order of the command line */
	size_t given_count;
	const char **words; /* owned array of borrowed words */
	size_t word_count;
	bool help;
};

/* A sentence that says what is wrong with a command line. */
#define TW_COMPLAINT 512

/* TW_E_FORMAT and a complaint; -ENOMEM. @argv without the program's and the command's names. */
int tw_arguments_parse(const struct tw_command *command, int argc, char *const *argv,
		       struct tw_arguments *ret, char complaint[TW_COMPLAINT]);
void tw_arguments_free(struct tw_arguments *arguments);
/* The option's last value; "" for a switch that is given; NULL: not given. @name must be in the
 * table (asserted). */
const char *tw_argument(const struct tw_arguments *arguments, const char *name);
/* All values of a repeating option: writes up to @room, returns how many. */
size_t tw_argument_all(const struct tw_arguments *arguments, const char *name, const char **ret,
		       size_t room);

/* The name in @names closest to @word, if it is close enough to be a slip; else NULL. */
const char *tw_suggest(const char *word, const char *const *names, size_t count);

void tw_help_command(FILE *to, const struct tw_command *command);
void tw_help_all(FILE *to, const struct tw_command *const *commands, size_t count);
/* A completion script for bash. */
void tw_help_completion(FILE *to, const struct tw_command *const *commands, size_t count);
