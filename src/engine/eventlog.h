/*
 * eventlog.h - what has happened: entries with ascending numbers, kept in the store, read from it,
 * with listeners that hear of each new one.
 *
 * An entry is a JSON object: _event, _timestamp, _id, _owner where there is one, and the fields of
 * the object it is about. Its owner, wranglers and superusers see it; what has no owner only
 * superusers and those with "server" events (launch, ...) see; who came with a token sees what is
 * about objects made with it. The newest TW_EVENTLOG_KEEP stay.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

#define TW_EVENTLOG_KEEP 100000
#define TW_EVENTLOG_LOOK 1000 /* entries that one reading looks at */

struct tw_eventlog;
struct tw_listener;

/* @store borrowed. -ENOMEM, -EIO. */
int tw_eventlog_new(struct tw_store *store, struct tw_eventlog **ret);
void tw_eventlog_free(struct tw_eventlog *log);
/*
 * @object: taken (NULL: {}); "" is no owner. Listeners are called before it returns. *@ret_entry,
 * where wanted, is a new reference to the whole entry. -EIO, -ENOMEM: it is lost but for the
 * listeners that read the newest from memory.
 */
int tw_eventlog_add(struct tw_eventlog *log, const char *name, const char *owner, int64_t now_us,
		    json_t *object, json_t **ret_entry);
/* Whose entries are wanted; NULL: all. @token: of those only what was made with it. */
struct tw_eventlog_query {
	const char *owner, *token;
	uint64_t after;
	int64_t since_us;
	uint64_t limit;
};
/* @ret: new reference to an array, oldest first. *@ret_last: the number of the last one looked at,
 * seen or not: where to go on. Fewer than the limit are all there are only if that is the newest,
 * or has not moved: a caller who owns next to nothing must not hold up everybody. */
int tw_eventlog_read(struct tw_eventlog *log, const struct tw_eventlog_query *query, json_t **ret,
		     uint64_t *ret_last);
void tw_eventlog_range(const struct tw_eventlog *log, uint64_t *ret_oldest, uint64_t *ret_newest);

/* -> NULL: no memory. @grown must not add entries itself. */
struct tw_listener *tw_eventlog_listen(struct tw_eventlog *log, void (*grown)(void *context),
				       void *context);
void tw_eventlog_unlisten(struct tw_listener *listener);
