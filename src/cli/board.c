#include "cli/board.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/api_show.h"
#include "cli/columns.h"
#include "cli/exit.h"

#define COLUMNS_DEFAULT 80
#define COLUMNS_MIN 40
#define COLUMNS_MAX 500
#define CELLS 12
#define CELL 64
#define NEVER_SECONDS (1000.0 * 86400)

#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

bool tw_board_colours(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fd) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

unsigned tw_board_columns(int fd, unsigned *ret_lines)
{
	struct winsize size = { 0 };
	unsigned columns = COLUMNS_DEFAULT;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col)
		columns = size.ws_col;
	if (ret_lines)
		*ret_lines = size.ws_row ? size.ws_row : 24;
	return columns < COLUMNS_MIN ? COLUMNS_MIN : columns > COLUMNS_MAX ? COLUMNS_MAX : columns;
}

const char *tw_board_left(double seconds, char ret[TW_BOARD_LEFT])
{
	unsigned long all =
		seconds >= 0 && seconds < NEVER_SECONDS ? (unsigned long)ceil(seconds) : 0;

	if (seconds < 0 || seconds >= NEVER_SECONDS)
		snprintf(ret, TW_BOARD_LEFT, "-");
	else if (all < 3600)
		snprintf(ret, TW_BOARD_LEFT, "%lu:%02lu", all / 60, all % 60);
	else if (all < 86400)
		snprintf(ret, TW_BOARD_LEFT, "%lu:%02lu:%02lu", all / 3600, all / 60 % 60,
			 all % 60);
	else
		snprintf(ret, TW_BOARD_LEFT, "%lud%02luh", all / 86400, all / 3600 % 24);
	return ret;
}

/* Where lines go, and how many there still may be. */
struct pen {
	FILE *to;
	unsigned columns, left;
	bool colours;
};

/* Takes a line; false: there is no room for another. */
static bool has_line(struct pen *pen)
{
	if (pen->left == 0)
		return false;
	pen->left--;
	return true;
}

static void begin(const struct pen *pen, const char *colour)
{
	if (pen->colours && colour)
		fputs(colour, pen->to);
}

static void end(const struct pen *pen, const char *colour)
{
	if (pen->colours && colour)
		fputs(PLAIN, pen->to);
	fputc('\n', pen->to);
}

/* A line of text, cut at the screen's edge. */
static void put_line(struct pen *pen, const char *colour, const char *text)
{
	char line[2 * COLUMNS_MAX + 8];
	size_t width = tw_columns_of(text);

	if (!has_line(pen))
		return;
	begin(pen, colour);
	fputs(tw_columns_fit(text, width < pen->columns ? width : pen->columns, false, line,
			     sizeof line),
	      pen->to);
	end(pen, colour);
}

/* A sentence below a row, over as many lines as it takes. */
static void put_sentence(struct pen *pen, const char *colour, const char *text)
{
	const size_t indent = 2, width = pen->columns - indent;
	char line[2 * TW_OVERVIEW_NAME + 8];

	while (*text) {
		size_t length = strlen(text), fits = tw_columns_prefix(text, width);

		/* Between two words, if there is a place. */
		for (size_t at = fits; fits < length && at > 0; at--) {
			if (text[at] == ' ') {
				fits = at;
				break;
			}
		}
		snprintf(line, sizeof line, "%*s%.*s", (int)indent, "", (int)fits, text);
		put_line(pen, colour, line);
		text += fits;
		text += strspn(text, " ");
	}
}

static void put_row(struct pen *pen, const char *colour, const struct tw_column *columns,
		    size_t count, const char *const *cells)
{
	if (!has_line(pen))
		return;
	begin(pen, colour);
	tw_columns_line(pen->to, columns, count, cells, pen->columns);
	end(pen, colour);
}

static void put_titles(struct pen *pen, const struct tw_column *columns, size_t count)
{
	const char *titles[CELLS];

	for (size_t i = 0; i < count; i++)
		titles[i] = columns[i].title;
	put_row(pen, BOLD, columns, count, titles);
}

/* Figures as cells: "-" where they are not known. */
static const char *rate_cell(double bps, char ret[CELL])
{
	char text[TW_TEXT_SHORT];

	snprintf(ret, CELL, "%s", bps < 0 ? "-" : tw_text_rate((uint64_t)bps, text));
	return ret;
}

static const char *size_cell(double bytes, char ret[CELL])
{
	char text[TW_TEXT_SHORT];

	snprintf(ret, CELL, "%s", bytes < 0 ? "-" : tw_text_size((uint64_t)bytes, text));
	return ret;
}

static const char *number_cell(double value, int digits, const char *unit, char ret[CELL])
{
	if (value < 0)
		snprintf(ret, CELL, "-");
	else
		snprintf(ret, CELL, "%.*f%s", digits, value, unit);
	return ret;
}

static const char *percent_cell(double value, char ret[CELL])
{
	return number_cell(value, value < 10 ? 1 : 0, "%", ret);
}

/* Never 100 % before it is true. */
static const char *share_cell(double share, char ret[CELL])
{
	return number_cell(share < 0 ? share : floor(share * 100), 0, "%", ret);
}

static const char *files_cell(const struct tw_job_row *row, char ret[CELL])
{
	if (row->total_files < 0)
		snprintf(ret, CELL, "-");
	else
		snprintf(ret, CELL, "%.0f/%.0f", row->files < 0 ? 0 : row->files, row->total_files);
	return ret;
}

static const struct tw_column peer_columns[] = {
	{ "DESTINATION", 16, false, true, 0 }, { "STATE", 12, false, false, 0 },
	{ "RATE", 11, true, false, 0 },        { "LOSS", 5, true, false, 0 },
	{ "ROUND TRIP", 10, true, false, 0 },  { "QUEUED", 6, true, false, 0 },
	{ "AT MOST", 11, true, false, 100 },   { "METHOD", 7, false, false, 100 },
};
#define PEER_COLUMNS (sizeof peer_columns / sizeof *peer_columns)

static void put_peer(struct pen *pen, const struct tw_peer_row *row)
{
	char rate[CELL], loss[CELL], trip[CELL], queued[CELL], limit[CELL];
	bool connected = strcmp(row->state, "connected") == 0;
	const char *cells[] = {
		row->name,
		row->state,
		rate_cell(row->rate_bps, rate),
		percent_cell(row->loss_percent, loss),
		number_cell(row->round_trip_ms, row->round_trip_ms < 10 ? 1 : 0, " ms", trip),
		number_cell(row->queued, 0, "", queued),
		row->limit_bps < 0 ? "no limit" : rate_cell(row->limit_bps, limit),
		row->method,
	};

	put_row(pen,
		row->error[0] ? RED
		: connected   ? GREEN
			      : NULL,
		peer_columns, PEER_COLUMNS, cells);
	put_sentence(pen, RED, row->error);
}

static const struct tw_column job_columns[] = {
	{ "STATUS", 9, false, false, 0 },       { "DONE", 4, true, false, 0 },
	{ "SIZE", 10, true, false, 0 },         { "RATE", 11, true, false, 0 },
	{ "LEFT", 8, true, false, 0 },          { "AGAIN", 5, true, false, 100 },
	{ "ROUND TRIP", 10, true, false, 120 }, { "FILES", 13, true, false, 100 },
	{ "WHERE", 12, false, true, 0 },        { "ID", 8, false, false, 120 },
};
#define JOB_COLUMNS (sizeof job_columns / sizeof *job_columns)

static const char *job_colour(const struct tw_job_row *row)
{
	static const struct {
		const char *status, *colour;
	} colours[] = { { "active", GREEN },
			{ "receiving", GREEN },
			{ "suspended", YELLOW },
			{ "error", RED } };

	for (size_t i = 0; i < sizeof colours / sizeof *colours; i++)
		if (strcmp(row->status, colours[i].status) == 0)
			return colours[i].colour;
	return NULL;
}

static void put_job(struct pen *pen, const struct tw_job_row *row)
{
	char share[CELL], size[CELL], rate[CELL], left[TW_BOARD_LEFT], again[CELL], trip[CELL],
		files[CELL];
	char where[2 * TW_OVERVIEW_NAME + 64], id[9];
	const char *cells[] = {
		row->status,
		share_cell(row->share, share),
		size_cell(row->total_bytes, size),
		rate_cell(row->rate_bps, rate),
		tw_board_left(row->seconds_left, left),
		percent_cell(row->again_percent, again),
		number_cell(row->round_trip_ms, row->round_trip_ms < 10 ? 1 : 0, " ms", trip),
		files_cell(row, files),
		where,
		id,
	};

	snprintf(id, sizeof id, "%.8s", row->id);
	/* Text to the right of an arrow is where the bytes go. */
	snprintf(where, sizeof where, "%s %s", row->arriving ? "<-" : "->", row->name);
	put_row(pen, job_colour(row), job_columns, JOB_COLUMNS, cells);
	if (strcmp(row->status, "error") == 0)
		put_sentence(pen, RED, row->error);
}

static const char *server_text(const json_t *server, const char *name, char ret[CELL])
{
	const json_t *value = json_object_get(server, name);

	return tw_text_clean(json_is_string(value) ? json_string_value(value) : "",
			     json_string_length(value), ret, CELL);
}

/* How many jobs are in @status, and their rate together. */
static size_t count_jobs(const struct tw_job_row *rows, size_t count, const char *status,
			 double *rate_bps)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].status, status) != 0)
			continue;
		found++;
		if (rows[i].rate_bps > 0)
			*rate_bps += rows[i].rate_bps;
	}
	return found;
}

static double source_rate(const json_t *sources)
{
	const json_t *source;
	double all = 0;
	size_t at;

	json_array_foreach (sources, at, source)
		all += json_number_value(json_object_get(source, "aveRecvRateWindow")) * 1000;
	return all;
}

static void put_headline(struct pen *pen, const struct tw_overview *now,
			 const struct tw_job_row *jobs, size_t job_count, double queued)
{
	char name[CELL], host[CELL], version[CELL], out[TW_TEXT_SHORT], in[TW_TEXT_SHORT],
		text[512];
	double out_bps = 0, ignored = 0;
	size_t active = count_jobs(jobs, job_count, "active", &out_bps);
	size_t arriving = count_jobs(jobs, job_count, "receiving", &ignored);

	server_text(now->server, "serverName", name);
	server_text(now->server, "hostName", host);
	snprintf(text, sizeof text, "Tradewind %s  %s%s%s",
		 server_text(now->server, "version", version), name,
		 host[0] && strcmp(name, host) != 0 ? " on " : "",
		 strcmp(name, host) != 0 ? host : "");
	put_line(pen, BOLD, text);
	snprintf(text, sizeof text,
		 "sending %s: %zu active, %.0f queued, %zu suspended, %zu failed",
		 tw_text_rate((uint64_t)out_bps, out), active, queued,
		 count_jobs(jobs, job_count, "suspended", &ignored),
		 count_jobs(jobs, job_count, "error", &ignored));
	put_line(pen, NULL, text);
	if (now->refused.fault)
		snprintf(text, sizeof text, "receiving: only a superuser may see that");
	else
		snprintf(text, sizeof text, "receiving %s: %zu active",
			 tw_text_rate((uint64_t)source_rate(now->sources), in), arriving);
	put_line(pen, NULL, text);
}

static void put_peers(struct pen *pen, const struct tw_peer_row *peers, size_t count, bool all)
{
	unsigned most = all ? UINT32_MAX : pen->left / 2;

	put_line(pen, NULL, "");
	if (count == 0) {
		put_line(pen, NULL,
			 "No destinations yet: `tradewind api createDestination` makes one.");
		return;
	}
	put_titles(pen, peer_columns, PEER_COLUMNS);
	for (size_t i = 0; i < count; i++) {
		char text[64];

		if (i + 1 >= most && i + 1 < count) {
			snprintf(text, sizeof text, "... and %zu more", count - i);
			put_line(pen, NULL, text);
			break;
		}
		put_peer(pen, &peers[i]);
	}
}

size_t tw_board_draw(FILE *to, const struct tw_board *board)
{
	struct pen pen = { to, board->columns, board->lines ? board->lines : UINT32_MAX,
			   board->colours };
	size_t peer_count, job_count;
	struct tw_peer_row *peers = tw_overview_peers(board->now, &peer_count);
	struct tw_job_row *jobs = tw_overview_jobs(board->now, board->before, &job_count);
	double queued = 0;

	for (size_t i = 0; i < peer_count; i++)
		queued += peers[i].queued > 0 ? peers[i].queued : 0;
	tw_overview_sort_peers(peers, peer_count, board->key);
	tw_overview_sort_jobs(jobs, job_count, board->key);
	put_headline(&pen, board->now, jobs, job_count, queued);
	put_peers(&pen, peers, peer_count, board->lines == 0);
	put_line(&pen, NULL, "");
	if (job_count == 0)
		put_line(&pen, NULL, "No transfers run or wait.");
	else
		put_titles(&pen, job_columns, JOB_COLUMNS);
	for (size_t i = board->skip; i < job_count; i++)
		put_job(&pen, &jobs[i]);
	free(peers);
	free(jobs);
	return job_count;
}

int tw_board_print(const struct tw_board *board, enum tw_board_form form)
{
	if (form == TW_BOARD_TEXT) {
		tw_board_draw(stdout, board);
	} else {
		json_t *all = tw_overview_json(board->now);
		int r = all ? tw_api_show_json(stdout, all, form == TW_BOARD_JSON_LINE) : -ENOMEM;

		json_decref(all);
		if (r) {
			tw_say("out of memory");
			return TW_EXIT_FAILED;
		}
	}
	return fflush(stdout) || ferror(stdout) ? TW_EXIT_STORAGE : TW_EXIT_DONE;
}
