/* main.c - the table of commands. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit.h"

static int run_help(const struct tw_arguments *arguments);
static int run_completion(const struct tw_arguments *arguments);

static const struct tw_example help_examples[] = {
	{ "tradewind help", "lists the commands" },
	{ "tradewind help send", "tells all about one of them" },
};

static const struct tw_command command_help = {
	.name = "help",
	.words = "[COMMAND]",
	.summary = "tell about the commands",
	.description = "Prints the same as `tradewind COMMAND --help`.",
	.examples = help_examples,
	.example_count = sizeof help_examples / sizeof *help_examples,
	.words_max = 1,
	.run = run_help,
};

static const struct tw_example completion_examples[] = {
	{ "tradewind completion > /etc/bash_completion.d/tradewind",
	  "completes commands and options in every new shell" },
};

static const struct tw_command command_completion = {
	.name = "completion",
	.words = "",
	.summary = "print a completion script for bash",
	.description = "The script is made from the same tables as this help.",
	.examples = completion_examples,
	.example_count = sizeof completion_examples / sizeof *completion_examples,
	.run = run_completion,
};

static const struct tw_command *const commands[] = {
	&tw_command_receive, &tw_command_send,    &tw_command_server, &tw_command_relay,
	&tw_command_doctor,  &tw_command_bench,   &tw_command_keygen, &tw_command_api,
	&tw_command_status,  &tw_command_top,     &command_completion, &command_help,
};
#define COMMANDS (sizeof commands / sizeof *commands)

static const struct tw_command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int unknown_command(const char *word)
{
	const char *names[COMMANDS], *close;
	char clean[128];

	for (size_t i = 0; i < COMMANDS; i++)
		names[i] = commands[i]->name;
	close = tw_suggest(word, names, COMMANDS);
	tw_text_clean(word, strlen(word), clean, sizeof clean);
	if (close)
		tw_say("there is no command `%s`; did you mean `%s`?", clean, close);
	else
		tw_say("there is no command `%s`; `tradewind help` lists them", clean);
	return TW_EXIT_USAGE;
}

static int finish_output(void)
{
	return fflush(stdout) || ferror(stdout) ? TW_EXIT_STORAGE : TW_EXIT_DONE;
}

static int run_help(const struct tw_arguments *arguments)
{
	const struct tw_command *command;

	if (arguments->word_count == 0) {
		tw_help_all(stdout, commands, COMMANDS);
		return finish_output();
	}
	command = find_command(arguments->words[0]);
	if (!command)
		return unknown_command(arguments->words[0]);
	tw_help_command(stdout, command);
	return finish_output();
}

static int run_completion(const struct tw_arguments *arguments)
{
	(void)arguments;
	tw_help_completion(stdout, commands, COMMANDS);
	return finish_output();
}

static int run_command(const struct tw_command *command, int argc, char **argv)
{
	struct tw_arguments arguments;
	char complaint[TW_COMPLAINT] = "";
	int r = tw_arguments_parse(command, argc, argv, &arguments, complaint);

	if (r) {
		tw_say("%s", complaint[0] ? complaint : tw_strerror(r));
		return complaint[0] ? TW_EXIT_USAGE : TW_EXIT_FAILED;
	}
	if (arguments.help) {
		tw_help_command(stdout, command);
		r = finish_output();
	} else {
		r = command->run(&arguments);
	}
	tw_arguments_free(&arguments);
	return r;
}

int main(int argc, char **argv)
{
	const struct tw_command *command;

	if (argc < 2) {
		tw_help_all(stderr, commands, COMMANDS);
		return TW_EXIT_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("tradewind %s\n", TW_PROGRAM_VERSION);
		return finish_output();
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		tw_help_all(stdout, commands, COMMANDS);
		return finish_output();
	}
	command = find_command(argv[1]);
	return command ? run_command(command, argc - 2, argv + 2) : unknown_command(argv[1]);
}
