/* top.c - `tradewind top`: a server's connections and transfers, live. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/board.h"
#include "cli/columns.h"
#include "cli/commands.h"
#include "cli/overview.h"
#include "cli/remote.h"
#include "cli/screen.h"

#define ANSWER_MS 3000 /* how long a server may keep the keys from working */
#define INTERVAL_MAX 3600
#define KEYS_LINE "q quit  sort: r rate l loss t trip e left n name o order"

struct top {
	struct tw_client *client;
	struct tw_overview now, before;
	struct tw_client_error error; /* of the newest attempt */
	bool failed;
	enum tw_overview_key key;
	size_t skip, jobs;
	uint64_t interval_ms;
	bool json, colours;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void fetch(struct top *top)
{
	struct tw_overview next = { 0 };

	top->failed = tw_overview_fetch(top->client, &next, &top->error);
	if (top->failed)
		return;
	tw_overview_free(&top->before);
	top->before = top->now;
	top->now = next;
}

/* The bottom line: what is wrong, or what the keys do. */
static void put_bottom(FILE *to, const struct top *top, unsigned columns)
{
	char text[1024], line[2048];

	if (top->failed)
		tw_remote_sentence(&top->error, text, sizeof text);
	else
		snprintf(text, sizeof text, KEYS_LINE "%s", top->jobs > 1 ? "  arrows scroll" : "");
	if (top->colours)
		fputs(top->failed ? "\033[31m" : "\033[7m", to);
	fputs(tw_columns_fit(text, columns, false, line, sizeof line), to);
	if (top->colours)
		fputs("\033[0m", to);
}

static void draw(struct top *top)
{
	unsigned lines, columns = tw_board_columns(STDOUT_FILENO, &lines), used = 0;
	char *frame = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&frame, &length);
	struct tw_board board = {
		.now = &top->now,
		.before = &top->before,
		.columns = columns,
		.lines = lines > 1 ? lines - 1 : 1,
		.skip = top->skip,
		.key = top->key,
		.colours = top->colours,
	};

	if (!to)
		return;
	if (top->now.server)
		top->jobs = tw_board_draw(to, &board);
	fflush(to);
	for (const char *at = frame; (at = strchr(at, '\n')); at++)
		used++;
	for (; used + 1 < lines; used++)
		fputc('\n', to);
	put_bottom(to, top, columns);
	fclose(to);
	tw_screen_show(frame);
	free(frame);
}

static const struct {
	char key;
	enum tw_overview_key by;
	const char *name;
} sorts[] = {
	{ 'r', TW_BY_RATE, "rate" }, { 'l', TW_BY_LOSS, "loss" }, { 't', TW_BY_ROUND_TRIP, "trip" },
	{ 'e', TW_BY_LEFT, "left" }, { 'n', TW_BY_NAME, "name" }, { 'o', TW_BY_ORDER, "order" },
};
#define SORTS (sizeof sorts / sizeof *sorts)

static void scroll(struct top *top, long by)
{
	long to = (long)top->skip + by, last = top->jobs > 0 ? (long)top->jobs - 1 : 0;

	top->skip = (size_t)(to < 0 ? 0 : to > last ? last : to);
}

/* False: the user has seen enough. */
static bool take_key(struct top *top, int key)
{
	switch (key) {
	case TW_KEY_QUIT:
	case TW_KEY_CHARACTER + 'q':
	case TW_KEY_CHARACTER + 'Q':
	case TW_KEY_CHARACTER + 3: /* Ctrl-C of a terminal that makes no signals */
		return false;
	case TW_KEY_UP:
	case TW_KEY_CHARACTER + 'k':
		scroll(top, -1);
		break;
	case TW_KEY_DOWN:
	case TW_KEY_CHARACTER + 'j':
		scroll(top, 1);
		break;
	case TW_KEY_PAGE_UP:
		scroll(top, -10);
		break;
	case TW_KEY_PAGE_DOWN:
		scroll(top, 10);
		break;
	default:
		for (size_t i = 0; i < SORTS; i++)
			if (key == TW_KEY_CHARACTER + sorts[i].key)
				top->key = sorts[i].by;
	}
	return true;
}

static int run_screen(struct top *top)
{
	int r = tw_screen_open();
	bool goes_on = r == 0;

	if (r) {
		tw_say(r == -ENOTTY ? "this is no terminal; try --once, or --json" : "%s",
		       tw_strerror(r));
		return TW_EXIT_USAGE;
	}
	while (goes_on) {
		int64_t next = now_ms() + (int64_t)top->interval_ms, left;

		do {
			draw(top);
			left = next - now_ms();
			goes_on = left <= 0 || take_key(top, tw_screen_key((int)left));
		} while (goes_on && now_ms() < next);
		if (goes_on)
			fetch(top);
		scroll(top, 0);
	}
	tw_screen_close();
	return TW_EXIT_DONE;
}

static int print_once(struct top *top)
{
	struct tw_board board = {
		.now = &top->now,
		.before = &top->before,
		.columns = tw_board_columns(STDOUT_FILENO, NULL),
		.key = top->key,
		.colours = top->colours,
	};

	return tw_board_print(&board, top->json ? TW_BOARD_JSON_LINE : TW_BOARD_TEXT);
}

/* A line an interval, until it is interrupted or fails. */
static int print_always(struct top *top)
{
	struct timespec pause = { .tv_sec = (time_t)(top->interval_ms / 1000),
				  .tv_nsec = (long)(top->interval_ms % 1000) * 1000000 };
	int r = print_once(top);

	while (!r) {
		nanosleep(&pause, NULL);
		fetch(top);
		r = top->failed ? tw_remote_failed(&top->error) : print_once(top);
	}
	return r;
}

static int read_options(const struct tw_arguments *arguments, struct top *top)
{
	const char *interval = tw_argument(arguments, "interval"),
		   *by = tw_argument(arguments, "sort");
	const char *names[SORTS];
	uint64_t seconds = 1;

	if (interval && tw_text_parse_u64(interval, 1, INTERVAL_MAX, &seconds)) {
		tw_say("--interval takes whole seconds, from 1 to %d", INTERVAL_MAX);
		return TW_EXIT_USAGE;
	}
	top->interval_ms = seconds * 1000;
	top->json = tw_argument(arguments, "json");
	top->colours = tw_board_colours(STDOUT_FILENO);
	for (size_t i = 0; i < SORTS; i++) {
		names[i] = sorts[i].name;
		if (by && strcmp(by, names[i]) == 0) {
			top->key = sorts[i].by;
			by = NULL;
		}
	}
	if (by) {
		tw_say("--sort takes rate, loss, trip, left, name or order");
		return TW_EXIT_USAGE;
	}
	return TW_EXIT_DONE;
}

static int run(const struct tw_arguments *arguments)
{
	struct top top = { 0 };
	int r = read_options(arguments, &top);

	if (!r)
		r = tw_remote_open(arguments, ANSWER_MS, &top.client);
	if (r)
		return r;
	fetch(&top);
	if (top.failed)
		r = tw_remote_failed(&top.error);
	else if (tw_argument(arguments, "once"))
		r = print_once(&top);
	else if (top.json)
		r = print_always(&top);
	else
		r = run_screen(&top);
	tw_overview_free(&top.now);
	tw_overview_free(&top.before);
	tw_client_close(top.client);
	return r;
}

static const struct tw_example examples[] = {
	{ "tradewind top", "this machine's server; q quits" },
	{ "tradewind top --sort rate --interval 5", "the fastest first, a look each five seconds" },
	{ "tradewind top --once", "one look as plain text" },
	{ "tradewind top --json", "a JSON object a second, for programs" },
};

static const struct tw_option options[] = {
	TW_REMOTE_OPTIONS,
	{ "interval", "SECONDS", "how often to look, 1 unless told", false },
	{ "sort", "KEY", "rate, loss, trip, left, name, or order (the server's own)", false },
	{ "once", NULL, "print one look and end", false },
	{ "json", NULL, "print a JSON object a line instead", false },
};

const struct tw_command tw_command_top = {
	.name = "top",
	.words = "",
	.summary = "watch a server's connections and transfers live",
	.description =
		"Keys: q quits; r, l, t, e, n and o sort by rate, loss, round trip, time left, name,\n"
		"or as the server does; arrows and page keys scroll. AGAIN is the share of blocks that\n"
		"were sent again. Colours are left out when NO_COLOR is set.\n"
		"\n" TW_REMOTE_HELP,
	.examples = examples,
	.example_count = sizeof examples / sizeof *examples,
	.options = options,
	.option_count = sizeof options / sizeof *options,
	.run = run,
};
