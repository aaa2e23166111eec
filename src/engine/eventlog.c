#include "engine/eventlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Trimming touches the whole log: only once in so many entries. */
#define TRIM_EVERY 1024

struct tw_listener {
	struct tw_eventlog *log;
	void (*grown)(void *context);
	void *context;
	struct tw_listener *next, **place; /* *place is this one */
};

struct tw_eventlog {
	struct tw_store *store;
	uint64_t oldest, newest, untrimmed;
	struct tw_listener *listeners;
	struct tw_listener *calling; /* the next one to be called; moves on when that one goes */
};

int tw_eventlog_new(struct tw_store *store, struct tw_eventlog **ret)
{
	struct tw_eventlog *log = calloc(1, sizeof *log);
	int r;

	if (!log)
		return -ENOMEM;
	log->store = store;
	r = tw_store_event_range(store, &log->oldest, &log->newest);
	if (r) {
		free(log);
		return r;
	}
	*ret = log;
	return 0;
}

void tw_eventlog_free(struct tw_eventlog *log)
{
	if (!log)
		return;
	for (struct tw_listener *listener = log->listeners, *next; listener; listener = next) {
		next = listener->next;
		free(listener);
	}
	free(log);
}

static void tell_listeners(struct tw_eventlog *log)
{
	/* A listener may go while it is called. */
	log->calling = log->listeners;
	while (log->calling) {
		struct tw_listener *listener = log->calling;

		log->calling = listener->next;
		listener->grown(listener->context);
	}
}

static void trim(struct tw_eventlog *log)
{
	if (++log->untrimmed < TRIM_EVERY)
		return;
	log->untrimmed = 0;
	/* When it fails now, it is done the next time. */
	if (!tw_store_events_trim(log->store, TW_EVENTLOG_KEEP))
		(void)tw_store_event_range(log->store, &log->oldest, &log->newest);
}

/* The fields that the log itself gives an entry. */
static int mark(json_t *entry, const char *name, const char *owner, int64_t at_us, uint64_t id)
{
	int r = json_object_set_new(entry, "_event", json_string(name)) ||
		json_object_set_new(entry, "_timestamp", json_integer(at_us)) ||
		json_object_set_new(entry, "_id", json_integer((json_int_t)id));

	if (!r && owner[0])
		r = json_object_set_new(entry, "_owner", json_string(owner));
	return r ? -ENOMEM : 0;
}

static int store_entry(struct tw_eventlog *log, json_t *entry, struct tw_store_event *event)
{
	char *body = json_dumps(entry, JSON_COMPACT | JSON_REAL_PRECISION(15));
	uint64_t id;
	int r;

	if (!body)
		return -ENOMEM;
	event->body = body;
	r = tw_store_event_add(log->store, event, &id);
	free(body);
	if (r)
		return r;
	log->newest = event->id = id;
	if (!log->oldest)
		log->oldest = id;
	return 0;
}

int tw_eventlog_add(struct tw_eventlog *log, const char *name, const char *owner, int64_t now_us,
		    json_t *object, json_t **ret_entry)
{
	json_t *entry = object ? object : json_object();
	struct tw_store_event event = { .at_us = now_us, .name = name, .owner = owner };
	int r;

	if (!entry)
		return -ENOMEM;
	r = store_entry(log, entry, &event);
	if (!r)
		r = mark(entry, name, owner, now_us, event.id);
	if (r) {
		json_decref(entry);
		return r;
	}
	trim(log);
	tell_listeners(log);
	if (ret_entry)
		*ret_entry = entry;
	else
		json_decref(entry);
	return 0;
}

struct reading {
	const struct tw_eventlog_query *query;
	json_t *entries;
	uint64_t last;
	unsigned looked; /* at so many */
};

static bool is_of_token(const json_t *entry, const char *token)
{
	const char *made_with = json_string_value(json_object_get(entry, "ownerToken"));

	return made_with && strcmp(made_with, token) == 0;
}

static int take_event(void *context, const struct tw_store_event *event)
{
	struct reading *reading = context;
	const char *owner = reading->query->owner, *token = reading->query->token;
	json_t *entry;

	if (reading->looked++ == TW_EVENTLOG_LOOK)
		return TW_E_FULL;
	if (owner && strcmp(event->owner, owner) != 0) {
		reading->last = event->id;
		return 0;
	}
	if (json_array_size(reading->entries) >= reading->query->limit)
		return TW_E_FULL;
	reading->last = event->id;
	entry = json_loads(event->body, 0, NULL);
	if (token && !is_of_token(entry, token)) {
		json_decref(entry);
		return 0;
	}
	if (!entry)
		entry = json_object();
	if (!entry || mark(entry, event->name, event->owner, event->at_us, event->id) ||
	    json_array_append_new(reading->entries, entry))
		return -ENOMEM;
	return 0;
}

int tw_eventlog_read(struct tw_eventlog *log, const struct tw_eventlog_query *query, json_t **ret,
		     uint64_t *ret_last)
{
	struct reading reading = { .query = query, .last = query->after };
	int r;

	reading.entries = json_array();
	if (!reading.entries)
		return -ENOMEM;
	r = tw_store_events(log->store, query->after, query->since_us, UINT64_MAX, take_event,
			    &reading);
	if (r && r != TW_E_FULL) {
		json_decref(reading.entries);
		return r;
	}
	/* Nothing but what others own may have come behind the last one that was wanted. */
	*ret = reading.entries;
	*ret_last = reading.last;
	return 0;
}

void tw_eventlog_range(const struct tw_eventlog *log, uint64_t *ret_oldest, uint64_t *ret_newest)
{
	*ret_oldest = log->oldest;
	*ret_newest = log->newest;
}

struct tw_listener *tw_eventlog_listen(struct tw_eventlog *log, void (*grown)(void *context),
				       void *context)
{
	struct tw_listener *listener = calloc(1, sizeof *listener);

	if (!listener)
		return NULL;
	*listener = (struct tw_listener){ log, grown, context, log->listeners, &log->listeners };
	if (listener->next)
		listener->next->place = &listener->next;
	log->listeners = listener;
	return listener;
}

void tw_eventlog_unlisten(struct tw_listener *listener)
{
	if (!listener)
		return;
	if (listener->log->calling == listener)
		listener->log->calling = listener->next;
	*listener->place = listener->next;
	if (listener->next)
		listener->next->place = listener->place;
	free(listener);
}
