#include "engine/triggers.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "netio/clock.h"

#define ARGUMENTS_MAX 6
#define ABSENT_MAX 32
#define ABSENT_NAME 64
#define ABSENT_FOR (50 * TW_MSEC) /* events come in bursts */
#define LINE_MAX_BYTES 1024
#define READ_AT_A_TIME ((size_t)4096)
#define READS_A_TURN 16 /* whoever writes faster than we read must not keep us */
#define GRACE_SECONDS 1 /* to be told how it ended, once it was killed */

/* The positional arguments of each event: fields of its entry, "a:b" being an address. */
static const struct {
	const char *event;
	const char *fields[ARGUMENTS_MAX];
} arguments[] = {
	{ "launch", { "apiControlPort" } },
	{ "send.destinationCreated", { "destinationIP:destinationPort", "senderIP:senderPort" } },
	{ "send.destinationDeleted", { "destinationIP:destinationPort", "senderIP:senderPort" } },
	{ "send.transferStarted",
	  { "transferId", "destinationIP:destinationPort", "destinationPath", "errorMessage" } },
	{ "send.transferComplete",
	  { "transferId", "destinationIP:destinationPort", "destinationPath", "errorMessage" } },
	{ "send.transferError",
	  { "transferId", "destinationIP:destinationPort", "destinationPath", "errorMessage" } },
	{ "recv.transferStarted",
	  { "transferId", "sourceIP:sourcePort", "destinationPath", "errorMessage" } },
	{ "recv.transferComplete",
	  { "transferId", "sourceIP:sourcePort", "destinationPath", "errorMessage" } },
	{ "recv.transferError",
	  { "transferId", "sourceIP:sourcePort", "destinationPath", "errorMessage" } },
	{ "recv.fileComplete", { "path" } },
};
#define EVENTS (sizeof arguments / sizeof *arguments)

struct run {
	struct tw_triggers *triggers;
	struct run *next;
	char *event, *owner, *entry;   /* owned; entry: JSON text */
	char *argv[ARGUMENTS_MAX + 1]; /* owned */
	/* While it runs. */
	uint64_t number; /* for the log */
	struct tw_trigger_run fds;
	struct event *ended, *output, *limit;
	bool killed;
	size_t output_bytes;
	char line[LINE_MAX_BYTES];
	size_t line_length;
};

struct tw_triggers {
	struct event_base *base;
	struct tw_accounts *accounts;
	FILE *log;
	bool log_owned;
	unsigned limit_seconds;
	struct run *waiting, **waiting_last;
	struct run *running;
	size_t waiting_count, running_count;
	uint64_t number;
	/* Events that had no program a moment ago: of many a second only one asks again. */
	struct {
		char event[ABSENT_NAME];
		tw_ns until;
	} absent[ABSENT_MAX];
	unsigned absent_next;
};

__attribute__((format(printf, 2, 3))) static void tell(const struct tw_triggers *triggers,
						       const char *format, ...)
{
	char text[2 * LINE_MAX_BYTES], clean[4 * LINE_MAX_BYTES];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	tw_text_clean(text, strlen(text), clean, sizeof clean);
	fprintf(triggers->log, "trigger %s\n", clean);
	fflush(triggers->log);
}

static void run_free(struct run *run)
{
	for (size_t i = 0; i < ARGUMENTS_MAX; i++)
		free(run->argv[i]);
	free(run->event);
	free(run->owner);
	free(run->entry);
	if (run->ended)
		event_free(run->ended);
	if (run->output)
		event_free(run->output);
	if (run->limit)
		event_free(run->limit);
	if (run->fds.control >= 0)
		close(run->fds.control); /* whoever keeps the program ends it, if it still runs */
	if (run->fds.output >= 0)
		close(run->fds.output);
	free(run);
}

int tw_triggers_new(const struct tw_trigger_options *options, struct tw_triggers **ret)
{
	struct tw_triggers *triggers = calloc(1, sizeof *triggers);

	if (!triggers)
		return -ENOMEM;
	triggers->base = options->base;
	triggers->accounts = options->accounts;
	triggers->limit_seconds =
		options->limit_seconds ? options->limit_seconds : TW_TRIGGER_LIMIT_SECONDS;
	triggers->waiting_last = &triggers->waiting;
	triggers->log = stderr;
	if (options->log_path) {
		triggers->log = fopen(options->log_path, "ae");
		triggers->log_owned = triggers->log != NULL;
		if (!triggers->log) {
			int r = -errno;

			free(triggers);
			return r;
		}
	}
	*ret = triggers;
	return 0;
}

static void unlink_running(struct run *run)
{
	struct run **place = &run->triggers->running;

	while (*place != run)
		place = &(*place)->next;
	*place = run->next;
	run->triggers->running_count--;
}

void tw_triggers_free(struct tw_triggers *triggers)
{
	if (!triggers)
		return;
	while (triggers->running) {
		struct run *run = triggers->running;

		unlink_running(run);
		run_free(run);
	}
	while (triggers->waiting) {
		struct run *run = triggers->waiting;

		triggers->waiting = run->next;
		run_free(run);
	}
	if (triggers->log_owned)
		fclose(triggers->log);
	free(triggers);
}

size_t tw_triggers_count(const struct tw_triggers *triggers)
{
	return triggers->running_count + triggers->waiting_count;
}

/* What a program is told. */

static char *field_text(json_t *entry, const char *name, size_t length)
{
	json_t *value = json_object_getn(entry, name, length);

	if (json_is_string(value))
		return strdup(json_string_value(value));
	if (json_is_object(value) || json_is_array(value) || json_is_integer(value))
		return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	return strdup("");
}

/* "1.2.3.4:8886", "[::1]:8886"; "" as long as the address is not known. */
static char *address_text(json_t *entry, const char *field, const char *colon)
{
	char *ip = field_text(entry, field, (size_t)(colon - field));
	char *port = field_text(entry, colon + 1, strlen(colon + 1));
	char *both = NULL;

	if (ip && port && !ip[0])
		both = strdup("");
	else if (ip && port && asprintf(&both, strchr(ip, ':') ? "[%s]:%s" : "%s:%s", ip, port) < 0)
		both = NULL;
	free(ip);
	free(port);
	return both;
}

static bool fill_arguments(struct run *run, json_t *entry)
{
	size_t i = 0;

	while (i < EVENTS && strcmp(arguments[i].event, run->event) != 0)
		i++;
	for (size_t k = 0; i < EVENTS && k < ARGUMENTS_MAX && arguments[i].fields[k]; k++) {
		const char *field = arguments[i].fields[k], *colon = strchr(field, ':');

		run->argv[k] = colon ? address_text(entry, field, colon)
				     : field_text(entry, field, strlen(field));
		if (!run->argv[k])
			return false;
	}
	return true;
}

static struct run *run_new(struct tw_triggers *triggers, const char *event, const char *owner,
			   json_t *entry)
{
	struct run *run = calloc(1, sizeof *run);

	if (!run)
		return NULL;
	run->triggers = triggers;
	run->fds = (struct tw_trigger_run){ -1, -1 };
	run->event = strdup(event);
	run->owner = strdup(owner ? owner : "");
	run->entry = json_dumps(entry, JSON_COMPACT | JSON_REAL_PRECISION(15));
	if (!run->event || !run->owner || !run->entry || !fill_arguments(run, entry)) {
		run_free(run);
		return NULL;
	}
	return run;
}

/* The entry as a file to read from, so that no pipe can hold anybody up. */
static int entry_file(const struct run *run)
{
	size_t length = strlen(run->entry);
	int fd = memfd_create("tradewind-event", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, run->entry, length) != (ssize_t)length || lseek(fd, 0, SEEK_SET) < 0) {
		close(fd);
		return -EIO;
	}
	return fd;
}

static int spawn(struct run *run)
{
	struct tw_accounts *accounts = run->triggers->accounts;
	int input = entry_file(run), r;
	const struct tw_trigger_order order = {
		.user = run->owner,
		.event = run->event,
		.arguments = run->argv,
		.input = input,
	};

	if (input < 0)
		return input;
	r = accounts->ops->trigger(accounts, &order, &run->fds);
	close(input);
	if (r)
		return r;
	run->number = ++run->triggers->number;
	return fcntl(run->fds.output, F_SETFL, O_NONBLOCK) ? -errno : 0;
}

/* What it says. */

static void end_line(struct run *run)
{
	if (run->line_length)
		tell(run->triggers, "%s[%" PRIu64 "]: %.*s", run->event, run->number,
		     (int)run->line_length, run->line);
	run->line_length = 0;
}

static void take_output(struct run *run, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (run->output_bytes++ == TW_TRIGGER_OUTPUT_MAX)
			tell(run->triggers, "%s[%" PRIu64 "]: says too much; the rest is left out",
			     run->event, run->number);
		if (run->output_bytes > TW_TRIGGER_OUTPUT_MAX)
			continue;
		if (bytes[i] == '\n' || run->line_length == sizeof run->line)
			end_line(run);
		if (bytes[i] != '\n')
			run->line[run->line_length++] = bytes[i];
	}
}

/* False: nobody can write to it any more. */
static bool read_output(struct run *run)
{
	char bytes[READ_AT_A_TIME];
	ssize_t length = 1;

	for (unsigned i = 0; i < READS_A_TURN && length > 0; i++) {
		length = read(run->fds.output, bytes, sizeof bytes);
		if (length > 0)
			take_output(run, bytes, (size_t)length);
	}
	return length > 0 || (length < 0 && (errno == EAGAIN || errno == EINTR));
}

static void on_output(evutil_socket_t fd, short what, void *context)
{
	struct run *run = context;

	(void)fd;
	(void)what;
	if (!read_output(run))
		event_del(run->output);
}

static void start_waiting(struct tw_triggers *triggers);

static void say_end(const struct run *run, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 126)
		tell(run->triggers, "%s[%" PRIu64 "]: could not be run", run->event, run->number);
	else if (WIFEXITED(status) && WEXITSTATUS(status))
		tell(run->triggers, "%s[%" PRIu64 "]: ended with %d", run->event, run->number,
		     WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		tell(run->triggers, "%s[%" PRIu64 "]: ended by signal %d", run->event, run->number,
		     WTERMSIG(status));
}

static void end(struct run *run)
{
	struct tw_triggers *triggers = run->triggers;

	unlink_running(run);
	run_free(run);
	start_waiting(triggers);
}

static void on_ended(evutil_socket_t fd, short what, void *context)
{
	struct run *run = context;
	int32_t status = 0;
	ssize_t length = recv(fd, &status, sizeof status, MSG_DONTWAIT);

	(void)what;
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	(void)read_output(run);
	end_line(run);
	if (length == (ssize_t)sizeof status)
		say_end(run, status);
	else
		tell(run->triggers, "%s[%" PRIu64 "]: nobody says how it ended", run->event,
		     run->number);
	end(run);
}

/* Who keeps it runs as its owner, who may have stopped him too: the place is not his for ever. */
static void on_limit(evutil_socket_t fd, short what, void *context)
{
	const struct timeval grace = { GRACE_SECONDS, 0 };
	struct run *run = context;

	(void)fd;
	(void)what;
	if (run->killed) {
		tell(run->triggers, "%s[%" PRIu64 "]: nobody says how it ended", run->event,
		     run->number);
		end(run);
		return;
	}
	run->killed = true;
	event_add(run->limit, &grace);
	tell(run->triggers, "%s[%" PRIu64 "]: not done after %u s, killed", run->event, run->number,
	     run->triggers->limit_seconds);
	shutdown(run->fds.control, SHUT_WR);
}

static int watch(struct run *run)
{
	struct event_base *base = run->triggers->base;
	struct timeval limit = { run->triggers->limit_seconds, 0 };

	run->ended = event_new(base, run->fds.control, EV_READ | EV_PERSIST, on_ended, run);
	run->output = event_new(base, run->fds.output, EV_READ | EV_PERSIST, on_output, run);
	run->limit = event_new(base, -1, 0, on_limit, run);
	if (!run->ended || !run->output || !run->limit || event_add(run->ended, NULL) ||
	    event_add(run->output, NULL) || event_add(run->limit, &limit))
		return -ENOMEM;
	return 0;
}

static void note_absent(struct tw_triggers *triggers, const char *event)
{
	unsigned at = triggers->absent_next++ % ABSENT_MAX;

	snprintf(triggers->absent[at].event, ABSENT_NAME, "%s", event);
	triggers->absent[at].until = tw_clock_now() + ABSENT_FOR;
}

static bool is_absent(const struct tw_triggers *triggers, const char *event)
{
	for (unsigned i = 0; i < ABSENT_MAX; i++)
		if (strcmp(triggers->absent[i].event, event) == 0)
			if (tw_clock_now() < triggers->absent[i].until)
				return true;
	return false;
}

static void say_failure(const struct run *run, int r)
{
	if (r == -EACCES)
		tell(run->triggers, "%s: its owner %s has no account here; it does not run",
		     run->event, run->owner);
	else if (r == -EPERM)
		tell(run->triggers, "%s: only a server that was started as root can run it as %s",
		     run->event, run->owner);
	else
		tell(run->triggers, "%s: could not be started: %s", run->event, strerror(-r));
}

static void start(struct run *run)
{
	struct tw_triggers *triggers = run->triggers;
	int r = spawn(run);

	if (!r)
		r = watch(run);
	if (r) {
		if (r == -ENOENT)
			note_absent(triggers, run->event);
		else
			say_failure(run, r);
		run_free(run);
		return;
	}
	run->next = triggers->running;
	triggers->running = run;
	triggers->running_count++;
}

static void start_waiting(struct tw_triggers *triggers)
{
	while (triggers->waiting && triggers->running_count < TW_TRIGGERS_RUNNING) {
		struct run *run = triggers->waiting;

		triggers->waiting = run->next;
		if (!triggers->waiting)
			triggers->waiting_last = &triggers->waiting;
		triggers->waiting_count--;
		run->next = NULL;
		start(run);
	}
}

void tw_triggers_run(struct tw_triggers *triggers, const char *event, const char *owner,
		     json_t *entry)
{
	struct run *run;

	if (!triggers->accounts || is_absent(triggers, event))
		return;
	if (triggers->waiting_count == TW_TRIGGERS_WAITING) {
		tell(triggers, "%s: dropped, %d are waiting already", event, TW_TRIGGERS_WAITING);
		return;
	}
	run = run_new(triggers, event, owner, entry);
	if (!run) {
		tell(triggers, "%s: dropped, there is no memory left", event);
		return;
	}
	*triggers->waiting_last = run;
	triggers->waiting_last = &run->next;
	triggers->waiting_count++;
	start_waiting(triggers);
}
