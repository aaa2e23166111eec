/* help.c - help texts and completion, all from the tables of commands. */
#include <string.h>

#include "cli/options.h"

static void print_option(FILE *to, const struct tw_option *option)
{
	char left[64];

	snprintf(left, sizeof left, "--%s%s%s", option->name, option->argument ? " " : "",
		 option->argument ? option->argument : "");
	fprintf(to, "  %-26s  %s%s\n", left, option->help,
		option->repeats ? " (may be repeated)" : "");
}

void tw_help_command(FILE *to, const struct tw_command *command)
{
	fprintf(to, "tradewind %s: %s\n\n", command->name, command->summary);
	for (size_t i = 0; i < command->example_count; i++)
		fprintf(to, "  %s\n      %s\n", command->examples[i].line,
			command->examples[i].meaning);
	fprintf(to, "\nUsage: tradewind %s%s%s%s\n\n%s\n", command->name,
		command->option_count ? " [OPTION]..." : "", command->words[0] ? " " : "",
		command->words, command->description);
	if (command->option_count)
		fprintf(to, "\nOptions:\n");
	for (size_t i = 0; i < command->option_count; i++)
		print_option(to, &command->options[i]);
	if (command->help_more)
		command->help_more(to);
}

void tw_help_all(FILE *to, const struct tw_command *const *commands, size_t count)
{
	fprintf(to,
		"Tradewind moves files between machines over UDP, as fast as the path allows.\n\n"
		"  tradewind receive /srv/in\n"
		"      On the machine that takes the files: prints a tw:// address with its key.\n"
		"  tradewind send film.mov photos/ tw://203.0.113.5:8886/#KEY\n"
		"      On the machine that has them: paste the address here.\n\n"
		"Commands:\n");
	for (size_t i = 0; i < count; i++)
		fprintf(to, "  %-12s  %s\n", commands[i]->name, commands[i]->summary);
	fprintf(to,
		"\n`tradewind COMMAND --help` tells more about each; `tradewind --version` which "
		"one this is.\n"
		"Exit codes: 0 done, 1 failed, 2 usage, 4 not authorised, 5 network, 6 storage.\n");
}

void tw_help_completion(FILE *to, const struct tw_command *const *commands, size_t count)
{
	fprintf(to,
		"# bash completion for tradewind; put it into /etc/bash_completion.d or source it\n"
		"_tradewind()\n{\n\tlocal word=\"${COMP_WORDS[COMP_CWORD]}\" options=\"\" "
		"names=\"\" given\n"
		"\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -W \"");
	for (size_t i = 0; i < count; i++)
		fprintf(to, "%s ", commands[i]->name);
	fprintf(to,
		"--help --version\" -- \"$word\"))\n\t\treturn\n\tfi\n\tcase \"${COMP_WORDS[1]}\" "
		"in\n");
	for (size_t i = 0; i < count; i++) {
		fprintf(to, "\t%s) options=\"--help", commands[i]->name);
		for (size_t k = 0; k < commands[i]->option_count; k++)
			fprintf(to, " --%s", commands[i]->options[k].name);
		fprintf(to, "\"");
		if (commands[i]->completion) {
			fprintf(to, "\n");
			commands[i]->completion(to);
		}
		fprintf(to, " ;;\n");
	}
	fprintf(to, "\tesac\n\tif [ \"${word#-}\" != \"$word\" ]; then\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
		    "\telif [ -n \"$names\" ]; then\n"
		    "\t\tCOMPREPLY=($(compgen -W \"$names\" -- \"$word\"))\n"
		    "\telse\n\t\tCOMPREPLY=($(compgen -f -- \"$word\"))\n\tfi\n"
		    "\t[[ ${COMPREPLY[0]} == --*= ]] && compopt -o nospace\n}\n"
		    "complete -o filenames -F _tradewind tradewind\n");
}
