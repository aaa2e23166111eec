/*
 * backend.h - what a database has to do for store.c, private to this tier.
 *
 * Changes come as one batch, to be stored whole or not at all; questions are about what has been
 * stored. All calls come from one thread. Errors: -errno, TW_E_FORMAT (what was read is damaged);
 * after one of them everything is as before the call, which may be tried again.
 */
#pragma once

#include "store/store.h"

/* What becomes of one object (or, with kind 0, one setting: @id its name, @body its value). */
struct store_change {
	struct store_change *next; /* in the order of their first mention */
	struct store_change *hash_next;
	unsigned kind;
	char *id;     /* owned, as all below */
	bool removed; /* what is stored under this id goes, and then: */
	bool put;
	bool shown; /* load(): handed out already */
	int64_t created_us;
	char *owner, *state, *body;
	void *blob; /* NULL: leave what is stored (after @removed: nothing) */
	size_t blob_length;
	uint64_t bytes; /* counted toward TW_STORE_PENDING_MAX */
};

struct store_batch {
	const struct store_change *changes;
	const struct tw_store_event *events; /* with ids, ascending, above any stored before */
	size_t event_count;
	uint64_t event_trim;   /* events up to this id go */
	uint64_t event_newest; /* the newest id ever given out */
};

/* Which events: above @after, not before @since_us, at most @limit. */
struct store_window {
	uint64_t after, limit;
	int64_t since_us;
};

struct store_backend {
	int (*open)(const char *path, void **ret, char ret_message[TW_STORE_MESSAGE]);
	void (*close)(void *backend);
	int (*apply)(void *backend, const struct store_batch *batch);
	/* What has been applied is on the disk itself. */
	int (*sync)(void *backend);
	/* TW_E_END: no such object. */
	int (*has)(void *backend, enum tw_store_kind kind, const char *id);
	int (*load)(void *backend, enum tw_store_kind kind,
		    int (*each)(void *context, const struct tw_store_record *record),
		    void *context);
	int (*blob)(void *backend, enum tw_store_kind kind, const char *id, void **ret,
		    size_t *ret_length);
	int (*get)(void *backend, const char *name, char **ret);
	int (*events)(void *backend, const struct store_window *window,
		      int (*each)(void *context, const struct tw_store_event *event),
		      void *context);
	/* 0 for the oldest: there are none now. 0 for the newest: there never was one. */
	int (*event_range)(void *backend, uint64_t *ret_oldest, uint64_t *ret_newest);
	int (*quarantine)(const char *path, char ret_message[TW_STORE_MESSAGE]);
};

extern const struct store_backend store_sqlite;
