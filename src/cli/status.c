/* status.c - `tradewind status`: what a server is doing, in one look. */
#include <stdio.h>
#include <unistd.h>

#include "cli/board.h"
#include "cli/commands.h"
#include "cli/overview.h"
#include "cli/remote.h"

static int show(const struct tw_arguments *arguments, const struct tw_overview *overview)
{
	struct tw_board board = {
		.now = overview,
		.columns = tw_board_columns(STDOUT_FILENO, NULL),
		.colours = tw_board_colours(STDOUT_FILENO),
	};

	return tw_board_print(&board,
			      tw_argument(arguments, "json") ? TW_BOARD_JSON : TW_BOARD_TEXT);
}

static int run(const struct tw_arguments *arguments)
{
	struct tw_overview overview = { 0 };
	struct tw_client_error error;
	struct tw_client *client;
	int r = tw_remote_open(arguments, 0, &client);

	if (r)
		return r;
	r = tw_overview_fetch(client, &overview, &error);
	r = r ? tw_remote_failed(&error) : show(arguments, &overview);
	tw_overview_free(&overview);
	tw_client_close(client);
	return r;
}

static const struct tw_example examples[] = {
	{ "tradewind status", "this machine's server, its connections and transfers" },
	{ "tradewind status --json", "the same as one JSON object" },
	{ "tradewind status --host files.example.org --user ann", "a server elsewhere" },
};

static const struct tw_option options[] = {
	TW_REMOTE_OPTIONS,
	{ "json", NULL, "JSON instead of text: server, connections, transfers, receiving", false },
};

const struct tw_command tw_command_status = {
	.name = "status",
	.words = "",
	.summary = "tell in one look what a server is doing",
	.description =
		"Shows the server, each destination with its connection, and the transfers that run,\n"
		"wait, are suspended or have failed; of the waiting, suspended and failed ones at most\n"
		"100 each. What arrives is shown to superusers.\n"
		"\n" TW_REMOTE_HELP,
	.examples = examples,
	.example_count = sizeof examples / sizeof *examples,
	.options = options,
	.option_count = sizeof options / sizeof *options,
	.run = run,
};
