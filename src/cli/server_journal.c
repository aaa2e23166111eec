/* server_journal.c - what a running server says: log lines, and word to systemd. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/exit.h"
#include "cli/server.h"

#define ENTRIES_AT_ONCE 100

struct tw_server_journal {
	struct tw_engine *engine;
	struct tw_listener *listener;
	struct event *due;
	uint64_t after;
	int level;
};

void tw_server_log(int level, int most, const char *format, ...)
{
	static const char *const words[] = { "error: ", "warning: ", "", "debug: " };
	char line[1024], clean[1024];
	va_list arguments;
	int length;

	if (level > most)
		return;
	va_start(arguments, format);
	length = vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	tw_say("%s%s", words[level], tw_text_clean(line, strlen(line), clean, sizeof clean));
}

/* " name=value" for the fields that say what an entry is about. */
static void entry_fields(json_t *entry, char *ret, size_t room)
{
	static const char *const names[] = { "transferId", "destinationId",   "destinationPath",
					     "manifestId", "destinationIP",   "sourceIP",
					     "path",       "watchId",         "owner",
					     "user",       "clientPublicKey", "errorMessage" };
	size_t at = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < sizeof names / sizeof *names && at < room; i++) {
		const char *value = json_string_value(json_object_get(entry, names[i]));

		if (value && value[0])
			at += (size_t)snprintf(ret + at, room - at, " %s=%s", names[i], value);
	}
}

static void say_entry(const struct tw_server_journal *journal, json_t *entry)
{
	const char *name = json_string_value(json_object_get(entry, "_event"));
	size_t length = name ? strlen(name) : 0;
	bool failed = length > 5 && strcmp(name + length - 5, "Error") == 0;
	char fields[800];

	entry_fields(entry, fields, sizeof fields);
	tw_server_log(failed ? TW_LOG_WARNING : TW_LOG_INFO, journal->level, "%s%s",
		      name ? name : "?", fields);
}

static void say_news(evutil_socket_t fd, short what, void *context)
{
	struct tw_server_journal *journal = context;
	const struct tw_caller all = {
		.user = "", .authenticated = true, .superuser = true, .permissions = TW_MAY_ALL
	};
	const struct tw_events_query query = { .after = journal->after, .limit = ENTRIES_AT_ONCE };
	struct tw_fault fault = { 0 };
	uint64_t last = journal->after;
	json_t *entries = NULL, *entry;
	size_t i;

	(void)fd;
	(void)what;
	if (tw_engine_events(journal->engine, &all, &query, &entries, &last, &fault))
		return;
	json_array_foreach(entries, i, entry) {
		say_entry(journal, entry);
	}
	if (last > journal->after) {
		journal->after = last;
		event_active(journal->due, 0, 0); /* until there are no more */
	}
	json_decref(entries);
}

static void grown(void *context)
{
	struct tw_server_journal *journal = context;

	event_active(journal->due, 0, 0);
}

struct tw_server_journal *tw_server_journal_new(struct event_base *base, struct tw_engine *engine,
						int level)
{
	struct tw_server_journal *journal = calloc(1, sizeof *journal);
	uint64_t oldest;

	if (!journal)
		return NULL;
	journal->engine = engine;
	journal->level = level;
	tw_engine_event_range(engine, &oldest, &journal->after);
	journal->due = event_new(base, -1, 0, say_news, journal);
	if (journal->due)
		journal->listener = tw_engine_listen(engine, grown, journal);
	if (!journal->listener) {
		tw_server_journal_free(journal);
		return NULL;
	}
	return journal;
}

void tw_server_journal_free(struct tw_server_journal *journal)
{
	if (journal->listener)
		tw_engine_unlisten(journal->listener);
	if (journal->due)
		event_free(journal->due);
	free(journal);
}

void tw_server_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (length < 2 || length >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* Nobody there to hear it is no reason not to serve. */
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		tw_server_log(TW_LOG_WARNING, TW_LOG_WARNING, "NOTIFY_SOCKET does not answer");
	close(fd);
}
