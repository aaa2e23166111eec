/*
 * store.h - what the service remembers: objects by kind and id, small settings, and the event log.
 * The only tier that knows a database. A back end is a const vtable; SQLite (WAL) is the first.
 *
 * An object is { kind, id, owner, state, created_us, body, blob }: @body is a JSON text that the
 * store never looks into (the engine versions it), @blob bytes (the listing of a manifest) that are
 * read only when asked for.
 *
 * Changes gather in memory until tw_store_commit() writes all of them at once, or none; every
 * question is answered with them included. What has been written is on storage as far as a kill of
 * the program goes when tw_store_commit() returns; a power cut may take the last second (a thread
 * of the store's own makes the log durable once a second, tw_store_sync() at once). A full or
 * failing disk loses nothing: the changes are kept for the next commit.
 *
 * Everything stored carries a digest: what storage has changed by itself is never handed out. That
 * the newest changes have vanished shows too (store_lock.h). One server at a time uses a store, and
 * in it one thread. Nothing here waits for another process but for the moments of a lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tw_store_kind {
	TW_STORE_DESTINATION = 1,
	TW_STORE_MANIFEST,
	TW_STORE_TRANSFER,
	TW_STORE_TOKEN, /* API and shared tokens */
	TW_STORE_WATCH,
	TW_STORE_CLIENT,  /* authorised senders: id is the key's text */
	TW_STORE_MAPPING, /* sandbox mappings: id is the user */
	TW_STORE_WRANGLER,
	TW_STORE_REQUEST, /* clientRequestId -> the object it made */
	TW_STORE_KIND_COUNT,
};

struct tw_store_record {
	enum tw_store_kind kind;
	const char *id;    /* lent for the call, as all text here */
	const char *owner; /* "" */
	const char *state; /* the engine's word: "pending", ...; indexed; "" */
	int64_t created_us;
	const char *body; /* JSON */
	const void *blob; /* put(): NULL leaves what is stored; load(): NULL */
	size_t blob_length;
};

struct tw_store;

/* Bytes of changes that wait because nothing can be written; more are refused. */
#define TW_STORE_PENDING_MAX (UINT64_C(256) << 20)
/* The longest blob, and the longest text. */
#define TW_STORE_BLOB_MAX (UINT64_C(512) << 20)

/*
 * Opens or makes @path/tradewind.db (mode 0600), and what is missing of the folder @path (0700);
 * brings older schemas up to date in one transaction, checks what it finds. -errno;
 * TW_E_VERSION: made by a newer program (nothing is touched); TW_E_FORMAT: damaged: it is renamed
 * to tradewind.db.damaged-<time> by tw_store_quarantine() only when the operator says so;
 * TW_E_EXISTS: another server has it open. @ret_message: a sentence for the operator; "" after 0.
 */
#define TW_STORE_MESSAGE 512
int tw_store_open(const char *path, struct tw_store **ret, char ret_message[TW_STORE_MESSAGE]);
/* Commits, checkpoints, closes. What a commit cannot write now is lost: commit before. */
void tw_store_close(struct tw_store *store);
/* Puts a damaged store aside, so that the next open begins an empty one. As tw_store_open(). */
int tw_store_quarantine(const char *path, char ret_message[TW_STORE_MESSAGE]);

/*
 * All changes since the last commit, at once. -EIO, -ENOSPC, -EBUSY, ..., TW_E_FORMAT: nothing of
 * them is stored; the caller may try again, they are kept.
 */
int tw_store_commit(struct tw_store *store);
bool tw_store_dirty(const struct tw_store *store);
/* Commit and wait until it is on the disk itself. */
int tw_store_sync(struct tw_store *store);

/* Adds or replaces. -ENOMEM; -EFBIG: a blob or text too long; TW_E_FULL: TW_STORE_PENDING_MAX. */
int tw_store_put(struct tw_store *store, const struct tw_store_record *record);
/* TW_E_END: there was none. -ENOMEM, -EIO, ... */
int tw_store_remove(struct tw_store *store, enum tw_store_kind kind, const char *id);
/*
 * Calls @each for every object of @kind in the order of creation (without blobs); stops at its
 * first nonzero result and returns it. @each must not use the store (asserted). TW_E_FORMAT:
 * damaged; -ENOMEM, -EIO, ...
 */
int tw_store_load(struct tw_store *store, enum tw_store_kind kind,
		  int (*each)(void *context, const struct tw_store_record *record), void *context);
/*
 * @ret: malloc'd, owned by the caller. TW_E_END: no such object, or it has no blob. TW_E_FORMAT:
 * damaged.
 */
int tw_store_blob(struct tw_store *store, enum tw_store_kind kind, const char *id, void **ret,
		  size_t *ret_length);

/*
 * Settings: names and JSON texts. set(): NULL unsets; errors as tw_store_put(). get(): @ret
 * malloc'd; TW_E_END: not set.
 */
int tw_store_set(struct tw_store *store, const char *name, const char *value);
int tw_store_get(struct tw_store *store, const char *name, char **ret);

/* The event log: ids ascend by one without end, never reused. */
struct tw_store_event {
	uint64_t id; /* event_add(): not looked at */
	int64_t at_us;
	const char *name;  /* "send.transferComplete" */
	const char *owner; /* whose object it is about; "": the server's */
	const char *body;  /* JSON */
};
/* As tw_store_put(). */
int tw_store_event_add(struct tw_store *store, const struct tw_store_event *event,
		       uint64_t *ret_id);
/*
 * Events with id > @after and at_us >= @since_us, oldest first, at most @limit. As
 * tw_store_load().
 */
int tw_store_events(struct tw_store *store, uint64_t after, int64_t since_us, uint64_t limit,
		    int (*each)(void *context, const struct tw_store_event *event), void *context);
/*
 * Oldest and newest ids that are there; both 0 when the log is empty and was never used, oldest =
 * newest + 1 when everything has been trimmed.
 */
int tw_store_event_range(struct tw_store *store, uint64_t *ret_oldest, uint64_t *ret_newest);
/* Keeps the newest @keep events. */
int tw_store_events_trim(struct tw_store *store, uint64_t keep);
