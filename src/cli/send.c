#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/relay_link.h"
#include "cli/report.h"
#include "cli/watch.h"
#include "crypto/hash.h"
#include "netio/clock.h"
#include "netio/sockaddr.h"

#define GLOBS_MAX 256
#define DRAW_EVERY (250 * TW_MSEC) /* the progress line */
#define SAY_EVERY (5 * TW_SECOND)  /* plain lines */
#define PROBLEMS_SHOWN 100
#define LOOK_AGAIN (1500 * TW_MSEC)    /* for its address, while the destination is silent */
#define RELAY_PATIENCE (5 * TW_SECOND) /* for its word on the destination */
#define ONLY_ONE 1 /* the number of our destination and of our transfer */

struct source {
	char path[PATH_MAX];     /* absolute */
	char name[NAME_MAX + 1]; /* at the destination; "": the folder's contents */
};

struct send {
	const struct tw_arguments *arguments;
	struct tw_url url;
	struct tw_identity identity;
	struct source *sources; /* owned */
	size_t source_count;
	const char *include[GLOBS_MAX], *exclude[GLOBS_MAX];
	size_t include_count, exclude_count;
	enum tw_cipher cipher;
	enum tw_rate_method method;
	struct tw_rate_limits limits;
	enum tw_overwrite overwrite;
	enum tw_symlinks symlinks;
	unsigned checkpoint_seconds;
	unsigned workers;
	uint32_t lanes;
	bool sha256, json, quiet, terminal;
	struct tw_fs fs;
	struct tw_address remotes[TW_DIALER_ADDRESSES_MAX];
	unsigned remote_count;
	struct tw_relay_link_cli relay;
	bool relayed;
	struct tw_address found[TW_DIALER_ADDRESSES_MAX]; /* the destination's own, with a relay */
	struct tw_ticket tickets[TW_DIALER_ADDRESSES_MAX];
	uint8_t transfer_key[TW_TRANSFER_KEY_SIZE];

	struct tw_watch watch;
	struct tw_team team;
	struct tw_worker *worker; /* the first of them, whose all work is */
	struct tw_report report;
	struct tw_report_view view;
	bool stopping; /* the worker has been told to */
	struct tw_failure failure;
	bool line_open; /* the progress line is on the screen */
	bool advised;   /* on socket buffers: once */
	unsigned problems, harmless;
	tw_ns draw_at, json_at, look_at;
	unsigned interrupts;
};

/* A line for people, above the progress line. */
#define say(send, ...) (clear_line(send), tw_say(__VA_ARGS__))

static void clear_line(struct send *send)
{
	if (send->line_open)
		fputs("\r\033[K", stderr);
	send->line_open = false;
}

static int usage(const char *text)
{
	tw_say("%s", text);
	return TW_EXIT_USAGE;
}

/* Options. */

static int parse_rates(struct send *send)
{
	const char *rate = tw_argument(send->arguments, "rate"),
		   *min = tw_argument(send->arguments, "rate-min");
	const char *max = tw_argument(send->arguments, "rate-max"),
		   *method = tw_argument(send->arguments, "rate-control");
	uint64_t rate_bps = 0;

	send->limits = (struct tw_rate_limits){ .max_bps = UINT64_MAX };
	send->method = TW_RATE_DEFAULT;
	if (method && !tw_rate_method_parse(method, &send->method))
		return usage("--rate-control is delay, bbr, ledbat or fixed");
	if (rate && strcmp(rate, "auto") != 0 && tw_text_parse_rate(rate, &rate_bps))
		return usage(
			"--rate takes auto or a rate such as 200M, 1.5G or 800k; a bare number is "
			"Mbit/s");
	if (min && tw_text_parse_rate(min, &send->limits.min_bps))
		return usage("--rate-min takes a rate such as 200M, 1.5G or 800k; a bare number is "
			     "Mbit/s");
	if (max && tw_text_parse_rate(max, &send->limits.max_bps))
		return usage("--rate-max takes a rate such as 200M, 1.5G or 800k; a bare number is "
			     "Mbit/s");
	if (send->method == TW_RATE_FIXED && !rate_bps)
		return usage("--rate-control fixed holds a rate: name it with --rate, for example "
			     "--rate 200M");
	send->limits.rate_bps = rate_bps;
	/* With a controller the rate named is the most it may use, and where it starts. */
	if (rate_bps && rate_bps < send->limits.max_bps)
		send->limits.max_bps = rate_bps;
	if (send->limits.min_bps > send->limits.max_bps)
		return usage(
			"--rate-min is above the highest rate allowed; lower it, or raise --rate "
			"or --rate-max");
	return TW_EXIT_DONE;
}

static int parse_options(struct send *send)
{
	const struct tw_arguments *arguments = send->arguments;
	const char *cipher = tw_argument(arguments, "cipher"),
		   *overwrite = tw_argument(arguments, "overwrite");
	const char *checkpoint = tw_argument(arguments, "checkpoint"),
		   *symlinks = tw_argument(arguments, "symlinks");
	uint64_t seconds = 10;

	send->cipher = TW_CIPHER_128;
	send->overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS;
	if (cipher && !tw_cipher_parse(cipher, &send->cipher))
		return usage("--cipher is none, auth, 128 or 256");
	if (overwrite && !tw_overwrite_parse(overwrite, &send->overwrite))
		return usage(
			"--overwrite is always, never, backup, same-size, or one of the names that "
			"`tradewind send --help` lists");
	if (checkpoint && tw_text_parse_u64(checkpoint, 0, 86400, &seconds))
		return usage("--checkpoint takes seconds from 0 (only at the end) to 86400");
	if (symlinks && strcmp(symlinks, "follow") != 0 && strcmp(symlinks, "ignore") != 0)
		return usage("--symlinks is follow or ignore");
	send->symlinks = symlinks && strcmp(symlinks, "ignore") == 0 ? TW_SYMLINKS_IGNORE
								     : TW_SYMLINKS_FOLLOW;
	send->checkpoint_seconds = (unsigned)seconds;
	send->relayed = tw_argument(arguments, "relay") != NULL;
	if (send->relayed && tw_relay_link_parse(&send->relay, tw_argument(arguments, "relay")))
		return TW_EXIT_USAGE;
	send->sha256 = tw_argument(arguments, "sha256") != NULL;
	send->json = tw_argument(arguments, "json") != NULL;
	send->quiet = tw_argument(arguments, "quiet") != NULL;
	send->terminal = isatty(STDERR_FILENO) && !send->quiet && !send->json;
	send->include_count = tw_argument_all(arguments, "include", send->include, GLOBS_MAX);
	send->exclude_count = tw_argument_all(arguments, "exclude", send->exclude, GLOBS_MAX);
	if (send->include_count == GLOBS_MAX || send->exclude_count == GLOBS_MAX)
		return usage("too many patterns; at most 255 --include and 255 --exclude");
	if (tw_team_parse(arguments, &send->workers, &send->lanes))
		return TW_EXIT_USAGE;
	return parse_rates(send);
}

static int parse_destination(struct send *send)
{
	const struct tw_arguments *arguments = send->arguments;
	const char *last = arguments->words[arguments->word_count - 1];
	char complaint[256], clean[256];

	if (!tw_url_like(last))
		return usage(
			"the last word says where to: tw://HOST:PORT/#KEY, as `tradewind receive` "
			"prints it");
	if (tw_url_parse(last, &send->url, complaint, sizeof complaint)) {
		tw_say("\"%s\" is not a good address: %s",
		       tw_text_clean(last, strlen(last), clean, sizeof clean), complaint);
		return TW_EXIT_USAGE;
	}
	if (!send->url.has_key && send->cipher != TW_CIPHER_NONE)
		return usage(
			"the address has no key behind #: paste the whole line that `tradewind "
			"receive` prints, or "
			"send in the clear with --cipher none to a receiver started with "
			"--min-cipher 0");
	return TW_EXIT_DONE;
}

/* Sources. */

/* The absolute form without "." parts and doubled slashes; links and ".." stay for the system to
 * follow. */
static int make_absolute(const char *path, char ret[PATH_MAX])
{
	char joined[2 * PATH_MAX], *save, *part;
	size_t used = 0;

	if (path[0] == '/')
		snprintf(joined, sizeof joined, "%s", path);
	else if (!getcwd(joined, PATH_MAX))
		return -errno;
	else
		snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "/%s", path);
	ret[0] = '\0';
	for (part = strtok_r(joined, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		size_t length = strlen(part);

		if (strcmp(part, ".") == 0)
			continue;
		if (used + length + 2 > PATH_MAX)
			return -ENAMETOOLONG;
		used += (size_t)snprintf(ret + used, PATH_MAX - used, "/%s", part);
	}
	if (used == 0)
		snprintf(ret, PATH_MAX, "/");
	return 0;
}

/* A folder named "." or with a "/." at its end is sent as its contents, everything else under its
 * own name. */
static int name_source(const char *word, struct source *source)
{
	size_t length = strlen(word);
	bool contents =
		strcmp(word, ".") == 0 || (length > 1 && strcmp(word + length - 2, "/.") == 0);
	const char *name = strrchr(source->path, '/') + 1;

	if (strcmp(name, "..") == 0) {
		char real[PATH_MAX];

		if (!realpath(source->path, real))
			return -errno;
		memcpy(source->path, real, sizeof real);
		name = strrchr(source->path, '/') + 1;
	}
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	snprintf(source->name, sizeof source->name, "%s", contents ? "" : name);
	return 0;
}

static int add_source(struct send *send, const char *word)
{
	struct source *source = &send->sources[send->source_count];
	char clean[512];
	struct stat stat;
	int r = word[0] ? make_absolute(word, source->path) : -ENOENT;

	tw_text_clean(word, strlen(word), clean, sizeof clean);
	if (!r && lstat(source->path, &stat))
		r = -errno;
	if (!r)
		r = name_source(word, source);
	if (r) {
		tw_say("cannot send \"%s\": %s; correct the path and try again", clean,
		       strerror(-r));
		return TW_EXIT_FAILED;
	}
	for (size_t i = 0; i < send->source_count; i++) {
		if (source->name[0] && strcmp(send->sources[i].name, source->name) == 0) {
			tw_say("two sources are called \"%s\" and would land on each other; send "
			       "them one after "
			       "another to different folders",
			       clean);
			return TW_EXIT_USAGE;
		}
	}
	send->source_count++;
	return TW_EXIT_DONE;
}

static int find_sources(struct send *send)
{
	const struct tw_arguments *arguments = send->arguments;
	int r = TW_EXIT_DONE;

	send->sources = calloc(arguments->word_count, sizeof *send->sources);
	if (!send->sources) {
		tw_say("out of memory");
		return TW_EXIT_FAILED;
	}
	for (size_t i = 0; i + 1 < arguments->word_count && r == TW_EXIT_DONE; i++)
		r = add_source(send, arguments->words[i]);
	return r;
}

static void hash_text(struct tw_hash *hash, const char *text)
{
	tw_hash_update(hash, text, strlen(text) + 1);
}

/* The same command again is the same transfer. */
static void make_transfer_key(struct send *send)
{
	uint8_t digest[TW_HASH_SIZE];
	struct tw_hash hash;

	tw_hash_init(&hash);
	tw_hash_update(&hash, send->identity.public_key.bytes, TW_KEY_SIZE);
	for (size_t i = 0; i < send->source_count; i++) {
		hash_text(&hash, send->sources[i].path);
		hash_text(&hash, send->sources[i].name);
	}
	hash_text(&hash, "");
	hash_text(&hash, send->url.destination);
	for (size_t i = 0; i < send->include_count; i++)
		hash_text(&hash, send->include[i]);
	hash_text(&hash, "");
	for (size_t i = 0; i < send->exclude_count; i++)
		hash_text(&hash, send->exclude[i]);
	hash_text(&hash, send->symlinks == TW_SYMLINKS_FOLLOW ? "follow" : "ignore");
	tw_hash_final(&hash, digest);
	memcpy(send->transfer_key, digest, sizeof send->transfer_key);
}

/* A stable name for something that has no number of its own. */
static void derive_id(const struct send *send, const char *what, char ret[33])
{
	uint8_t digest[TW_HASH_SIZE];
	struct tw_hash hash;

	tw_hash_init(&hash);
	hash_text(&hash, what);
	if (what[0] == 'd') {
		hash_text(&hash, send->url.host);
		tw_hash_update(&hash, &send->url.port, sizeof send->url.port);
		tw_hash_update(&hash, send->url.key.bytes, TW_KEY_SIZE);
	} else {
		tw_hash_update(&hash, send->transfer_key, sizeof send->transfer_key);
	}
	tw_hash_final(&hash, digest);
	tw_text_hex(digest, 16, ret);
}

static void make_report(struct send *send)
{
	struct tw_report *report = &send->report;
	struct passwd *user = getpwuid(geteuid());

	tw_report_init(report, tw_clock_wall_us(), tw_clock_now());
	report->url = &send->url;
	report->cipher = send->cipher;
	report->method = send->method;
	report->limits = send->limits;
	report->overwrite = send->overwrite;
	report->flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE;
	report->checkpoint_seconds = send->checkpoint_seconds;
	tw_text_hex(send->transfer_key, sizeof send->transfer_key, report->transfer_id);
	derive_id(send, "destination", report->destination_id);
	derive_id(send, "manifest", report->manifest_id);
	if (user)
		snprintf(report->owner, sizeof report->owner, "%s", user->pw_name);
	else
		snprintf(report->owner, sizeof report->owner, "%u", (unsigned)geteuid());
}

/* Starting. */

static int resolve(struct send *send)
{
	char clean[300];
	int r = tw_resolve(send->url.host, send->url.port, send->remotes, TW_DIALER_ADDRESSES_MAX,
			   &send->remote_count);

	if (r) {
		tw_text_clean(send->url.host, strlen(send->url.host), clean, sizeof clean);
		send->failure.exit = TW_EXIT_NETWORK;
		send->failure.name = "resolveFailed";
		snprintf(send->failure.text, sizeof send->failure.text,
			 "cannot find the address of %s: %s; check the name and this machine's DNS",
			 clean, tw_resolve_error(r));
	}
	return r ? TW_EXIT_NETWORK : TW_EXIT_DONE;
}

/* Every address of the destination by way of the relay. 0, TW_E_AGAIN, TW_E_DENIED. */
static int find_ways(struct send *send)
{
	int r = 0;

	for (unsigned i = 0; i < send->remote_count && !r; i++)
		r = tw_relay_agent_way(send->relay.agent, &send->found[i], &send->remotes[i],
				       &send->tickets[i]);
	return r;
}

static int join_relay(struct send *send)
{
	struct tw_relay_agent_options options = { .identity = &send->identity };
	tw_ns limit = tw_clock_now() + RELAY_PATIENCE;
	int r = tw_relay_link_open(&send->relay, &options, &send->watch);

	if (r)
		return r;
	memcpy(send->found, send->remotes, sizeof send->found);
	for (;;) {
		r = find_ways(send);
		if (r != TW_E_AGAIN || tw_clock_now() >= limit)
			break;
		tw_relay_link_wait(&send->relay, TW_SECOND / 20);
	}
	if (r == TW_E_DENIED)
		tw_say("the relay %s does not send to %s; there, allow it with: tradewind relay "
		       "--to NETWORK",
		       send->relay.name.host, send->url.host);
	else if (r)
		tw_say("the relay %s does not answer", send->relay.name.host);
	return r ? TW_EXIT_NETWORK : TW_EXIT_DONE;
}

static struct tw_source *make_source(struct send *send)
{
	struct tw_source_mapping *mappings = calloc(send->source_count, sizeof *mappings);
	struct tw_source_options options = {
		.mappings = mappings,
		.mapping_count = send->source_count,
		.include = send->include,
		.include_count = send->include_count,
		.exclude = send->exclude,
		.exclude_count = send->exclude_count,
		.symlinks = send->symlinks,
		.read_content = true,
	};
	struct tw_source *source = NULL;

	if (!mappings)
		return NULL;
	for (size_t i = 0; i < send->source_count; i++) {
		/* The sending view begins at the root of the file system. */
		mappings[i].source = send->sources[i].path + 1;
		mappings[i].destination = send->sources[i].name;
	}
	if (tw_source_new(&send->fs, &options, &source))
		source = NULL;
	free(mappings);
	return source;
}

static struct tw_worker_destination make_destination(const struct send *send)
{
	struct tw_worker_destination destination = {
		.id = ONLY_ONE,
		.remote_count = send->remote_count,
		.ticketed = send->relayed,
		.peer_key = send->url.key,
		.cipher = send->cipher,
		.method = send->method,
		.limits = send->limits,
		.lanes = send->lanes,
	};

	memcpy(destination.remotes, send->remotes, sizeof send->remotes);
	memcpy(destination.tickets, send->tickets, sizeof send->tickets);
	return destination;
}

/* The only destination and the only transfer that the worker gets. */
static int add_work(struct send *send)
{
	struct tw_worker_destination destination = make_destination(send);
	struct tw_worker_transfer transfer = {
		.id = ONLY_ONE,
		.destination = ONLY_ONE,
		.max_bps = UINT64_MAX,
		.sender = {
			.destination = send->url.destination,
			.overwrite = send->overwrite,
			.flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE,
			.checkpoint_seconds = send->checkpoint_seconds,
			.sha256 = send->sha256,
		},
	};
	int r;

	memcpy(transfer.sender.transfer_key, send->transfer_key, sizeof send->transfer_key);
	transfer.sender.source = make_source(send);
	if (!transfer.sender.source)
		return -ENOMEM;
	r = tw_worker_add_destination(send->worker, &destination);
	if (!r)
		r = tw_worker_add_transfer(send->worker, &transfer);
	if (r)
		tw_source_free(transfer.sender.source);
	return r;
}

static int start_worker(struct send *send)
{
	struct tw_worker_options options = {
		.identity = &send->identity,
		.publish_every = send->terminal ? DRAW_EVERY : TW_SECOND / 2,
		.disk_threads = 1,
	};
	struct tw_random random = tw_system_random();
	struct tw_address failed;
	int r = tw_fs_posix_open("/", false, &send->fs);

	if (r)
		return r;
	tw_random_fill(&random, options.server_id, sizeof options.server_id);
	tw_server_uid(&send->identity, options.server_uid);
	r = tw_team_new(&send->team, send->workers, &options, &failed);
	if (r)
		return r;
	send->worker = send->team.workers[0];
	r = add_work(send);
	return r ? r : tw_team_start(&send->team);
}

/* Telling. */

static const char *problem_reason(int error)
{
	return error == TW_E_CHANGED ? "it changed while it was being sent" : tw_strerror(error);
}

static void take_problem(struct send *send, const struct tw_worker_event *event)
{
	if (event->harmless) {
		send->harmless++;
		if (!send->quiet && send->harmless <= PROBLEMS_SHOWN)
			say(send, "left out %s: %s", event->text, problem_reason(event->error));
		return;
	}
	send->problems++;
	if (send->problems <= PROBLEMS_SHOWN)
		say(send, "cannot send %s: %s", event->text, problem_reason(event->error));
	else if (send->problems == PROBLEMS_SHOWN + 1)
		say(send, "more files cannot be sent; only the first %d are named", PROBLEMS_SHOWN);
}

static void take_events(struct send *send)
{
	struct tw_worker_event event;

	while (tw_worker_event(send->worker, &event)) {
		if (event.type == TW_WORKER_PROBLEM)
			take_problem(send, &event);
		if (event.type != TW_WORKER_ENDED)
			continue;
		send->view.transfer = event.sending;
		send->view.ended = true;
	}
}

static void print_json(struct send *send)
{
	char *text = tw_report_json(&send->report, &send->view,
				    send->failure.text[0] ? &send->failure : NULL);

	if (!text)
		return;
	puts(text);
	fflush(stdout);
	free(text);
}

static size_t terminal_columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20)
		return 80;
	return size.ws_col - 1u;
}

static void advise(struct send *send, const struct tw_worker_snapshot *snapshot)
{
	if (send->quiet || send->advised || !snapshot->buffer_advice[0])
		return;
	say(send, TW_BUFFER_WORDS, snapshot->buffer_bytes / 1024, snapshot->buffer_advice);
	send->advised = true;
}

static void show(struct send *send, tw_ns now)
{
	char line[TW_REPORT_LINE];

	if (send->json && now >= send->json_at) {
		print_json(send);
		send->json_at = now + TW_SECOND;
	}
	if (send->quiet || send->json || now < send->draw_at)
		return;
	if (send->terminal) {
		tw_report_line(&send->report, &send->view, terminal_columns(), line);
		fprintf(stderr, "\r%s\033[K", line);
		fflush(stderr);
		send->line_open = true;
	} else {
		tw_say("%s", tw_report_line(&send->report, &send->view, TW_REPORT_LINE, line));
	}
	send->draw_at = now + (send->terminal ? DRAW_EVERY : SAY_EVERY);
}

static void handle_interrupts(struct send *send)
{
	if (send->watch.interrupts == send->interrupts)
		return;
	if (send->interrupts > 0) {
		clear_line(send);
		_exit(TW_EXIT_FAILED);
	}
	send->interrupts = send->watch.interrupts;
	tw_worker_stop(send->worker);
}

/* The work is done, or cannot be: the worker ends. */
static void stop_in_time(struct send *send)
{
	if (send->stopping || !(send->view.ended || send->view.transfer.sender.finished ||
				send->view.destination.failed))
		return;
	send->stopping = true;
	tw_worker_stop(send->worker);
}

static bool same_remotes(const struct tw_address *a, const struct tw_address *b)
{
	for (unsigned i = 0; i < TW_DIALER_ADDRESSES_MAX; i++)
		if (!tw_address_equal(&a[i], &b[i]))
			return false;
	return true;
}

/* What is in use now: the connection may have found a way without. */
static void note_relay(struct send *send)
{
	const struct tw_worker_destination_status *destination = &send->view.destination;
	const struct tw_relay_agent_status *relay = &send->relay.status;
	bool by_relay = !destination->conn.established_at;

	for (unsigned i = 0; i < send->remote_count && !by_relay; i++)
		by_relay = tw_address_equal(&send->remotes[i], &destination->remote);
	send->report.relay = by_relay ? relay->client.tunnelled ? relay->control : relay->via
				      : (struct tw_address){ .family = TW_FAMILY_NONE };
	send->report.relayed_to = send->found[0];
}

/* The relay may have come back with another port, or UDP to it may be cut: then the way is another
 * one. */
static void follow_relay(struct send *send)
{
	struct tw_address before[TW_DIALER_ADDRESSES_MAX];
	struct tw_worker_destination destination;

	if (!send->relayed || send->stopping)
		return;
	memcpy(before, send->remotes, sizeof before);
	tw_relay_link_follow(&send->relay);
	note_relay(send);
	if (find_ways(send) || same_remotes(before, send->remotes))
		return;
	destination = make_destination(send);
	/* A full mailbox: tried again with the next look. */
	if (tw_worker_change_destination(send->worker, &destination))
		memcpy(send->remotes, before, sizeof before);
}

/* The receiver, or the relay before it, may have moved: while it is silent its name is looked up
 * again now and then. */
static void look_again(struct send *send, tw_ns now)
{
	const struct tw_worker_destination_status *destination = &send->view.destination;
	struct tw_address found[TW_DIALER_ADDRESSES_MAX] = { 0 };
	struct tw_worker_destination settings;
	unsigned count = 0;

	if (send->relayed || send->stopping || !destination->waiting || now < send->look_at ||
	    tw_ns_since(now, destination->waiting_since) < LOOK_AGAIN)
		return;
	send->look_at = now + LOOK_AGAIN;
	if (tw_resolve(send->url.host, send->url.port, found, TW_DIALER_ADDRESSES_MAX, &count) ||
	    !count ||
	    (count == send->remote_count &&
	     memcmp(found, send->remotes, count * sizeof *found) == 0))
		return;
	memcpy(send->remotes, found, sizeof found);
	send->remote_count = count;
	settings = make_destination(send);
	/* A full mailbox: with the next look it is another name again. */
	if (tw_worker_change_destination(send->worker, &settings))
		send->remote_count = 0;
}

/* They have lanes of our one transfer only, of which the first one tells: their bells are muted. */
static void listen_to_others(struct send *send)
{
	for (unsigned i = 1; i < send->team.count; i++)
		tw_worker_heard(send->team.workers[i]);
}

/* Until the worker's last snapshot. */
static void follow(struct send *send)
{
	send->draw_at = tw_clock_now() + (send->terminal ? DRAW_EVERY : SAY_EVERY);
	send->json_at = tw_clock_now() + TW_SECOND;
	for (;;) {
		tw_ns next = send->json ? send->json_at : send->draw_at;
		const struct tw_worker_snapshot *snapshot;

		if (!send->json && send->quiet)
			next = TW_NEVER;
		listen_to_others(send);
		tw_watch_wait(&send->watch, &send->team, next);
		snapshot = tw_worker_snapshot(send->worker);
		if (snapshot)
			tw_report_look(&send->view, snapshot);
		take_events(send);
		follow_relay(send);
		look_again(send, tw_clock_now());
		handle_interrupts(send);
		if (!snapshot)
			continue;
		tw_report_sample(&send->report, &send->view);
		advise(send, snapshot);
		if (snapshot->stopped)
			return;
		stop_in_time(send);
		if (!send->stopping)
			show(send, tw_clock_now());
	}
}

static int conclude(struct send *send)
{
	const struct tw_worker_destination_status *destination = &send->view.destination;
	const struct tw_sender_status *sender = &send->view.transfer.sender;
	bool finished = sender->finished && !sender->paused;
	char summary[1024];

	if (finished)
		tw_failure_transfer(&send->failure, sender->error, sender->message);
	else if (destination->failed)
		tw_failure_connection(&send->failure, &send->url, destination->failure,
				      destination->failure_message, destination->socket_error);
	else
		tw_failure_connection(&send->failure, &send->url, TW_CONN_CLOSED_LOCAL, NULL, 0);
	clear_line(send);
	if (send->json)
		print_json(send);
	if (!send->quiet && !send->json && finished && sender->error <= TW_TRANSFER_ENTRIES) {
		tw_report_summary(&send->report, &send->view, summary, sizeof summary);
		fputs(summary, stderr);
	}
	if (send->failure.text[0])
		tw_say("%s", send->failure.text);
	return send->failure.exit;
}

/* Failures before there is a worker: the same sentence, and the same JSON with empty figures. */
static int conclude_early(struct send *send)
{
	if (send->json) {
		send->view.at = tw_clock_now();
		send->view.stopped = send->view.destination.failed = true;
		print_json(send);
	}
	tw_say("%s", send->failure.text);
	return send->failure.exit;
}

static int transfer(struct send *send)
{
	int r;

	make_transfer_key(send);
	make_report(send);
	if (resolve(send))
		return conclude_early(send);
	r = tw_watch_open(&send->watch);
	if (!r && send->relayed) {
		r = join_relay(send);
		if (r) {
			tw_relay_link_close(&send->relay);
			tw_watch_close(&send->watch);
			return r;
		}
	}
	if (!r)
		r = start_worker(send);
	if (r) {
		send->failure.exit = TW_EXIT_FAILED;
		snprintf(send->failure.text, sizeof send->failure.text, "cannot begin: %s",
			 tw_strerror(r));
		r = conclude_early(send);
	} else {
		follow(send);
		r = conclude(send);
	}
	tw_team_free(&send->team);
	tw_relay_link_close(&send->relay);
	if (send->fs.ops)
		tw_fs_posix_close(&send->fs);
	tw_watch_close(&send->watch);
	return r;
}

static int run(const struct tw_arguments *arguments)
{
	struct send *send = calloc(1, sizeof *send);
	int r;

	if (!send) {
		tw_say("out of memory");
		return TW_EXIT_FAILED;
	}
	send->arguments = arguments;
	r = parse_options(send);
	if (!r)
		r = parse_destination(send);
	if (!r)
		r = find_sources(send);
	if (!r)
		r = tw_load_identity(tw_argument(arguments, "identity"), &send->identity);
	if (!r)
		r = transfer(send);
	tw_identity_wipe(&send->identity);
	free(send->sources);
	free(send);
	return r;
}

static const struct tw_example examples[] = {
	{ "tradewind send film.mov tw://203.0.113.5:8886/#KEY",
	  "sends a file; paste the address that `tradewind receive` "
	  "printed" },
	{ "tradewind send photos/ notes.txt tw://nas.example:8886/2024/#KEY",
	  "sends a folder and a file to 2024/ there" },
	{ "tradewind send --rate 200M --exclude '*.tmp' . tw://[2001:db8::5]:8886/#KEY",
	  "sends what is in this folder, without *.tmp, at 200 Mbit/s at most" },
};

static const struct tw_option options[] = {
	{ "rate", "R|auto", "highest rate: 200M, 1.5G, 800k; a bare number is Mbit/s; default auto",
	  false },
	{ "rate-min", "R", "never slower than this while there is something to send", false },
	{ "rate-max", "R", "never faster than this", false },
	{ "rate-control", "METHOD",
	  "delay (keeps its queue short and shares alike, the default), bbr (follows the path), "
	  "ledbat (gives way to everybody) or fixed (holds --rate)",
	  false },
	{ "cipher", "LEVEL", "none, auth (readable, not forgeable), 128 (the default) or 256",
	  false },
	{ "overwrite", "MODE",
	  "always (default), never, backup, in-place-always, -never, -same-size", false },
	{ "include", "GLOB", "send only files that match", true },
	{ "exclude", "GLOB", "leave out files and folders that match", true },
	{ "symlinks", "HOW", "follow (send what they point to, the default) or ignore", false },
	{ "checkpoint", "S", "have the receiver flush every S seconds; default 10, 0: at the end",
	  false },
	{ "relay", "HOST[:PORT]#KEY", "send through a relay, whose line `tradewind relay` prints",
	  false },
	{ "workers", "N", "threads for data; 0, default: half the processors, 1 to 8", false },
	{ "lanes", "N|auto",
	  "further connections, by other threads at both ends, for the one transfer; default auto: "
	  "as many as help",
	  false },
	{ "sha256", NULL, "check each file with SHA-256 as well", false },
	{ "identity", "FILE", "where this machine's identity is kept", false },
	{ "json", NULL, "one JSON object a second and a final one on standard output", false },
	{ "quiet", NULL, "say nothing but errors", false },
};

const struct tw_command tw_command_send = {
	.name = "send",
	.words = "PATH... tw://HOST:PORT/[DEST]#KEY",
	.summary = "send files and folders to a receiver",
	.description =
		"Each PATH arrives under its own name below DEST (percent-encoded) in the\n"
		"receiver's folder; \".\" and \"FOLDER/.\" mean what is inside. A transfer that was\n"
		"cut off goes on where it ended when the same command is given again, and by\n"
		"itself while the command runs. Every byte is checked against a digest at the\n"
		"other end before a file takes its name.\n\n"
		"Exit codes: 0 done, 1 failed or some files left out, 2 usage, 4 not authorised,\n"
		"5 network, 6 storage.",
	.examples = examples,
	.example_count = sizeof examples / sizeof *examples,
	.options = options,
	.option_count = sizeof options / sizeof *options,
	.words_min = 2,
	.words_max = TW_WORDS_MAX,
	.run = run,
};
