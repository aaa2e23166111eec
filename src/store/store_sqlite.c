/*
 * What is asked of the SQLite back end, once it is open.
 *
 * Digests (XXH3-128) are over a row's kind, key and content, so that a row that storage moved or
 * changed is noticed; a blob's is kept in its object's row. Counters (commits, newest event) have
 * digests too.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "store/store_sqlite.h"

/* Pages in the log at which a commit folds it in itself: the thread does not keep up. */
#define LOG_PAGES_MAX 65536
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const char *const statements[] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[OBJECT_PUT] = "INSERT INTO object (kind, id, owner, state, created_us, body, digest,"
		       " blob_digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, id) DO"
		       " UPDATE SET owner = excluded.owner, state = excluded.state,"
		       " created_us = excluded.created_us, body = excluded.body,"
		       " digest = excluded.digest,"
		       " blob_digest = coalesce(excluded.blob_digest, blob_digest)"
		       " RETURNING serial",
	[BLOB_PUT] = "INSERT OR REPLACE INTO blob (object, bytes) VALUES (?, ?)",
	[BLOB_REMOVE] = "DELETE FROM blob WHERE object ="
			" (SELECT serial FROM object WHERE kind = ? AND id = ?)",
	[OBJECT_REMOVE] = "DELETE FROM object WHERE kind = ? AND id = ?",
	[OBJECT_HAS] = "SELECT 1 FROM object WHERE kind = ? AND id = ?",
	[OBJECT_LOAD] = "SELECT kind, id, owner, state, created_us, body, digest FROM object"
			" WHERE kind = ? ORDER BY created_us, serial",
	[OBJECT_ALL] = "SELECT kind, id, owner, state, created_us, body, digest FROM object"
		       " NOT INDEXED",
	[BLOB_FIND] = "SELECT serial, blob_digest FROM object WHERE kind = ? AND id = ?",
	[SETTING_PUT] = "INSERT OR REPLACE INTO setting (name, value, digest) VALUES (?, ?, ?)",
	[SETTING_REMOVE] = "DELETE FROM setting WHERE name = ?",
	[SETTING_GET] = "SELECT name, value, digest FROM setting WHERE name = ?",
	[SETTING_ALL] = "SELECT name, value, digest FROM setting",
	[EVENT_ADD] = "INSERT INTO event (id, at_us, name, owner, body, digest)"
		      " VALUES (?, ?, ?, ?, ?, ?)",
	[EVENT_TRIM] = "DELETE FROM event WHERE id <= ?",
	[EVENT_LOAD] = "SELECT id, at_us, name, owner, body, digest FROM event"
		       " WHERE id > ? AND at_us >= ? ORDER BY id LIMIT ?",
	[EVENT_OLDEST] = "SELECT min(id) FROM event",
	[COUNTER_PUT] = "INSERT OR REPLACE INTO counter (name, value, digest) VALUES (?, ?, ?)",
	[COUNTER_GET] = "SELECT value, digest FROM counter WHERE name = ?",
};

static_assert(LENGTH(statements) == STATEMENTS, "SQL for each statement");

int store_sqlite_error(sqlite3 *db, int code)
{
	int system;

	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_TOOBIG:
		return -EFBIG;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_CONSTRAINT: /* nothing here breaks one: what is stored is not what it says */
	case SQLITE_ERROR:      /* the statements are constant: the schema is not what it says */
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
		return TW_E_FORMAT;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	default:
		system = db ? sqlite3_system_errno(db) : 0;
		return code == SQLITE_IOERR_NOMEM ? -ENOMEM : system > 0 ? -system : -EIO;
	}
}

/* Digests: each part with its length in front, so that no two rows can be mistaken. */
static void digest_number(struct store_sqlite *backend, uint64_t number)
{
	struct tw_writer writer;
	uint8_t bytes[8];

	tw_writer_init(&writer, bytes, sizeof(bytes));
	tw_write_u64(&writer, number);
	tw_digest_update(backend->digest, bytes, sizeof(bytes));
}

static void digest_bytes(struct store_sqlite *backend, const void *bytes, size_t length)
{
	digest_number(backend, length);
	if (length)
		tw_digest_update(backend->digest, bytes, length);
}

static void digest_text(struct store_sqlite *backend, const char *text)
{
	digest_bytes(backend, text, strlen(text));
}

static struct tw_digest digest_record(struct store_sqlite *backend,
				      const struct tw_store_record *record)
{
	tw_digest_reset(backend->digest);
	digest_text(backend, "object");
	digest_number(backend, record->kind);
	digest_text(backend, record->id);
	digest_text(backend, record->owner);
	digest_text(backend, record->state);
	digest_number(backend, (uint64_t)record->created_us);
	digest_text(backend, record->body);
	return tw_digest_final(backend->digest);
}

static struct tw_digest digest_blob(struct store_sqlite *backend, unsigned kind, const char *id,
				    const void *bytes, size_t length)
{
	tw_digest_reset(backend->digest);
	digest_text(backend, "blob");
	digest_number(backend, kind);
	digest_text(backend, id);
	digest_bytes(backend, bytes, length);
	return tw_digest_final(backend->digest);
}

static struct tw_digest digest_setting(struct store_sqlite *backend, const char *name,
				       const char *value)
{
	tw_digest_reset(backend->digest);
	digest_text(backend, "setting");
	digest_text(backend, name);
	digest_text(backend, value);
	return tw_digest_final(backend->digest);
}

static struct tw_digest digest_event(struct store_sqlite *backend,
				     const struct tw_store_event *event)
{
	tw_digest_reset(backend->digest);
	digest_text(backend, "event");
	digest_number(backend, event->id);
	digest_number(backend, (uint64_t)event->at_us);
	digest_text(backend, event->name);
	digest_text(backend, event->owner);
	digest_text(backend, event->body);
	return tw_digest_final(backend->digest);
}

static struct tw_digest digest_counter(struct store_sqlite *backend, const char *name,
				       uint64_t value)
{
	tw_digest_reset(backend->digest);
	digest_text(backend, "counter");
	digest_text(backend, name);
	digest_number(backend, value);
	return tw_digest_final(backend->digest);
}

/* A statement being filled in, run, and put back. */
static sqlite3_stmt *begin(struct store_sqlite *backend, enum statement which)
{
	return backend->statements[which];
}

static void bind_text(sqlite3_stmt *statement, int column, const char *text)
{
	sqlite3_bind_text64(statement, column, text, strlen(text), SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_number(sqlite3_stmt *statement, int column, uint64_t number)
{
	sqlite3_bind_int64(statement, column, (int64_t)number);
}

static void bind_digest(sqlite3_stmt *statement, int column, const struct tw_digest *digest)
{
	sqlite3_bind_blob(statement, column, digest->bytes, sizeof(digest->bytes), SQLITE_STATIC);
}

static void end(sqlite3_stmt *statement)
{
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
}

/* One that gives no rows (or one that nobody looks at). */
static int run(struct store_sqlite *backend, sqlite3_stmt *statement)
{
	int r;

	do {
		r = sqlite3_step(statement);
	} while (r == SQLITE_ROW);
	r = store_sqlite_error(backend->db, r);
	end(statement);
	return r;
}

static const char *column_text(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return text ? text : "";
}

/* Is this what the column holds? */
static bool same_digest(sqlite3_stmt *statement, int column, const struct tw_digest *digest)
{
	const void *stored = sqlite3_column_blob(statement, column);

	return stored && sqlite3_column_bytes(statement, column) == TW_DIGEST_SIZE &&
	       !memcmp(stored, digest->bytes, TW_DIGEST_SIZE);
}

/* TW_E_END: not there. */
int store_sqlite_counter(struct store_sqlite *backend, const char *name, uint64_t *ret)
{
	sqlite3_stmt *statement = begin(backend, COUNTER_GET);
	struct tw_digest digest;
	int r;

	bind_text(statement, 1, name);
	r = sqlite3_step(statement);
	if (r == SQLITE_ROW) {
		uint64_t value = (uint64_t)sqlite3_column_int64(statement, 0);

		digest = digest_counter(backend, name, value);
		r = same_digest(statement, 1, &digest) ? 0 : TW_E_FORMAT;
		if (!r)
			*ret = value;
	} else {
		r = r == SQLITE_DONE ? TW_E_END : store_sqlite_error(backend->db, r);
	}
	end(statement);
	return r;
}

static int put_counter(struct store_sqlite *backend, const char *name, uint64_t value)
{
	struct tw_digest digest = digest_counter(backend, name, value);
	sqlite3_stmt *statement = begin(backend, COUNTER_PUT);

	bind_text(statement, 1, name);
	bind_number(statement, 2, value);
	bind_digest(statement, 3, &digest);
	return run(backend, statement);
}

static int remove_object(struct store_sqlite *backend, unsigned kind, const char *id)
{
	static const enum statement both[] = { BLOB_REMOVE, OBJECT_REMOVE };
	int r = 0;

	for (unsigned i = 0; !r && i < LENGTH(both); i++) {
		sqlite3_stmt *statement = begin(backend, both[i]);

		bind_number(statement, 1, kind);
		bind_text(statement, 2, id);
		r = run(backend, statement);
	}
	return r;
}

static int put_object(struct store_sqlite *backend, const struct store_change *change)
{
	const struct tw_store_record record = {
		.kind = change->kind,
		.id = change->id,
		.owner = change->owner,
		.state = change->state,
		.created_us = change->created_us,
		.body = change->body,
	};
	struct tw_digest digest = digest_record(backend, &record), blob_digest;
	sqlite3_stmt *statement = begin(backend, OBJECT_PUT);
	int64_t serial = 0;
	int r;

	bind_number(statement, 1, change->kind);
	bind_text(statement, 2, change->id);
	bind_text(statement, 3, change->owner);
	bind_text(statement, 4, change->state);
	sqlite3_bind_int64(statement, 5, change->created_us);
	bind_text(statement, 6, change->body);
	bind_digest(statement, 7, &digest);
	if (change->blob) {
		blob_digest = digest_blob(backend, change->kind, change->id, change->blob,
					  change->blob_length);
		bind_digest(statement, 8, &blob_digest);
	}
	r = sqlite3_step(statement);
	if (r == SQLITE_ROW) {
		serial = sqlite3_column_int64(statement, 0);
		r = sqlite3_step(statement);
	}
	r = store_sqlite_error(backend->db, r);
	end(statement);
	if (r || !change->blob)
		return r;
	statement = begin(backend, BLOB_PUT);
	sqlite3_bind_int64(statement, 1, serial);
	sqlite3_bind_blob64(statement, 2, change->blob, change->blob_length, SQLITE_STATIC);
	return run(backend, statement);
}

static int apply_setting(struct store_sqlite *backend, const struct store_change *change)
{
	sqlite3_stmt *statement = begin(backend, change->put ? SETTING_PUT : SETTING_REMOVE);
	struct tw_digest digest;

	bind_text(statement, 1, change->id);
	if (change->put) {
		digest = digest_setting(backend, change->id, change->body);
		bind_text(statement, 2, change->body);
		bind_digest(statement, 3, &digest);
	}
	return run(backend, statement);
}

static int apply_change(struct store_sqlite *backend, const struct store_change *change)
{
	int r = 0;

	if (!change->kind)
		return apply_setting(backend, change);
	if (change->removed)
		r = remove_object(backend, change->kind, change->id);
	if (!r && change->put)
		r = put_object(backend, change);
	return r;
}

static int add_event(struct store_sqlite *backend, const struct tw_store_event *event)
{
	struct tw_digest digest = digest_event(backend, event);
	sqlite3_stmt *statement = begin(backend, EVENT_ADD);

	bind_number(statement, 1, event->id);
	sqlite3_bind_int64(statement, 2, event->at_us);
	bind_text(statement, 3, event->name);
	bind_text(statement, 4, event->owner);
	bind_text(statement, 5, event->body);
	bind_digest(statement, 6, &digest);
	return run(backend, statement);
}

static int apply_events(struct store_sqlite *backend, const struct store_batch *batch)
{
	int r = 0;

	for (size_t i = 0; !r && i < batch->event_count; i++) {
		if (batch->events[i].id > batch->event_trim)
			r = add_event(backend, &batch->events[i]);
	}
	if (!r && batch->event_trim) {
		sqlite3_stmt *statement = begin(backend, EVENT_TRIM);

		bind_number(statement, 1, batch->event_trim);
		r = run(backend, statement);
	}
	if (!r && batch->event_count)
		r = put_counter(backend, "event", batch->event_newest);
	return r;
}

static int apply_all(struct store_sqlite *backend, const struct store_batch *batch)
{
	int r = 0;

	for (const struct store_change *change = batch->changes; !r && change;
	     change = change->next)
		r = apply_change(backend, change);
	if (!r)
		r = apply_events(backend, batch);
	if (!r)
		r = put_counter(backend, "commit", backend->serial + 1);
	return r;
}

static int backend_apply(void *context, const struct store_batch *batch)
{
	struct store_sqlite *backend = context;
	int r;

	r = run(backend, begin(backend, BEGIN));
	if (!r)
		r = apply_all(backend, batch);
	if (!r)
		r = run(backend, begin(backend, COMMIT));
	if (r) {
		/* A failure of some kinds has done it already. */
		if (!sqlite3_get_autocommit(backend->db))
			run(backend, begin(backend, ROLLBACK));
		return r;
	}
	backend->serial++;
	store_lock_mark(&backend->lock, STORE_MARK_COMMITTED, backend->serial);
	store_flusher_note(backend->flusher, backend->serial, backend->log_pages);
	if (backend->log_pages >= LOG_PAGES_MAX)
		sqlite3_wal_checkpoint_v2(backend->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return 0;
}

static int count_log_pages(void *context, sqlite3 *db, const char *name, int pages)
{
	struct store_sqlite *backend = context;

	(void)db;
	(void)name;
	backend->log_pages = pages > 0 ? (unsigned)pages : 0;
	return SQLITE_OK;
}

static int backend_sync(void *context)
{
	struct store_sqlite *backend = context;

	return store_flusher_sync(backend->flusher);
}

static int backend_has(void *context, enum tw_store_kind kind, const char *id)
{
	struct store_sqlite *backend = context;
	sqlite3_stmt *statement = begin(backend, OBJECT_HAS);
	int r;

	bind_number(statement, 1, kind);
	bind_text(statement, 2, id);
	r = sqlite3_step(statement);
	r = r == SQLITE_DONE ? TW_E_END : store_sqlite_error(backend->db, r);
	end(statement);
	return r;
}

/* The object in the present row. TW_E_FORMAT: it is not what was stored. */
static int read_record(struct store_sqlite *backend, sqlite3_stmt *statement,
		       struct tw_store_record *ret)
{
	struct tw_digest digest;

	*ret = (struct tw_store_record){
		.kind = (enum tw_store_kind)sqlite3_column_int(statement, 0),
		.id = column_text(statement, 1),
		.owner = column_text(statement, 2),
		.state = column_text(statement, 3),
		.created_us = sqlite3_column_int64(statement, 4),
		.body = column_text(statement, 5),
	};
	digest = digest_record(backend, ret);
	return same_digest(statement, 6, &digest) ? 0 : TW_E_FORMAT;
}

static int each_record(struct store_sqlite *backend, sqlite3_stmt *statement,
		       int (*each)(void *context, const struct tw_store_record *record),
		       void *context)
{
	struct tw_store_record record;
	int r, step;

	do {
		step = sqlite3_step(statement);
		r = store_sqlite_error(backend->db, step);
		if (step == SQLITE_ROW)
			r = read_record(backend, statement, &record);
		if (step == SQLITE_ROW && !r)
			r = each(context, &record);
	} while (!r && step == SQLITE_ROW);
	end(statement);
	return r;
}

static int backend_load(void *context, enum tw_store_kind kind,
			int (*each)(void *context, const struct tw_store_record *record),
			void *each_context)
{
	struct store_sqlite *backend = context;
	sqlite3_stmt *statement = begin(backend, OBJECT_LOAD);

	bind_number(statement, 1, kind);
	return each_record(backend, statement, each, each_context);
}

/* Straight into the caller's memory: a listing may be long. */
static int read_blob(struct store_sqlite *backend, int64_t serial, void **ret, size_t *ret_length)
{
	sqlite3_blob *blob = NULL;
	void *bytes;
	int length, r;

	r = sqlite3_blob_open(backend->db, "main", "blob", "bytes", serial, 0, &blob);
	if (r != SQLITE_OK) {
		sqlite3_blob_close(blob);
		return store_sqlite_error(backend->db, r);
	}
	length = sqlite3_blob_bytes(blob);
	bytes = malloc((size_t)length + 1);
	r = bytes ? store_sqlite_error(backend->db, sqlite3_blob_read(blob, bytes, length, 0))
		  : -ENOMEM;
	sqlite3_blob_close(blob);
	if (r) {
		free(bytes);
		return r;
	}
	*ret = bytes;
	*ret_length = (size_t)length;
	return 0;
}

static int backend_blob(void *context, enum tw_store_kind kind, const char *id, void **ret,
			size_t *ret_length)
{
	struct store_sqlite *backend = context;
	sqlite3_stmt *statement = begin(backend, BLOB_FIND);
	struct tw_digest digest;
	void *bytes = NULL;
	size_t length = 0;
	int r;

	bind_number(statement, 1, kind);
	bind_text(statement, 2, id);
	r = sqlite3_step(statement);
	if (r != SQLITE_ROW)
		r = r == SQLITE_DONE ? TW_E_END : store_sqlite_error(backend->db, r);
	else if (sqlite3_column_type(statement, 1) == SQLITE_NULL)
		r = TW_E_END;
	else
		r = read_blob(backend, sqlite3_column_int64(statement, 0), &bytes, &length);
	if (!r) {
		digest = digest_blob(backend, kind, id, bytes, length);
		r = same_digest(statement, 1, &digest) ? 0 : TW_E_FORMAT;
	}
	end(statement);
	if (r) {
		free(bytes);
		return r;
	}
	*ret = bytes;
	*ret_length = length;
	return 0;
}

/* The setting in the present row. */
static int read_setting(struct store_sqlite *backend, sqlite3_stmt *statement, const char **ret)
{
	struct tw_digest digest;
	const char *value = column_text(statement, 1);

	digest = digest_setting(backend, column_text(statement, 0), value);
	if (!same_digest(statement, 2, &digest))
		return TW_E_FORMAT;
	*ret = value;
	return 0;
}

static int backend_get(void *context, const char *name, char **ret)
{
	struct store_sqlite *backend = context;
	sqlite3_stmt *statement = begin(backend, SETTING_GET);
	const char *value = "";
	int r;

	bind_text(statement, 1, name);
	r = sqlite3_step(statement);
	if (r != SQLITE_ROW)
		r = r == SQLITE_DONE ? TW_E_END : store_sqlite_error(backend->db, r);
	else
		r = read_setting(backend, statement, &value);
	if (!r) {
		char *copy = strdup(value);

		r = copy ? 0 : -ENOMEM;
		if (copy)
			*ret = copy;
	}
	end(statement);
	return r;
}

static int read_event(struct store_sqlite *backend, sqlite3_stmt *statement,
		      struct tw_store_event *ret)
{
	struct tw_digest digest;

	*ret = (struct tw_store_event){
		.id = (uint64_t)sqlite3_column_int64(statement, 0),
		.at_us = sqlite3_column_int64(statement, 1),
		.name = column_text(statement, 2),
		.owner = column_text(statement, 3),
		.body = column_text(statement, 4),
	};
	digest = digest_event(backend, ret);
	return same_digest(statement, 5, &digest) ? 0 : TW_E_FORMAT;
}

static int backend_events(void *context, const struct store_window *window,
			  int (*each)(void *context, const struct tw_store_event *event),
			  void *each_context)
{
	struct store_sqlite *backend = context;
	sqlite3_stmt *statement = begin(backend, EVENT_LOAD);
	struct tw_store_event event;
	int r, step;

	bind_number(statement, 1, window->after < INT64_MAX ? window->after : INT64_MAX);
	sqlite3_bind_int64(statement, 2, window->since_us);
	bind_number(statement, 3, window->limit < INT64_MAX ? window->limit : INT64_MAX);
	do {
		step = sqlite3_step(statement);
		r = store_sqlite_error(backend->db, step);
		if (step == SQLITE_ROW)
			r = read_event(backend, statement, &event);
		if (step == SQLITE_ROW && !r)
			r = each(each_context, &event);
	} while (!r && step == SQLITE_ROW);
	end(statement);
	return r;
}

static int backend_event_range(void *context, uint64_t *ret_oldest, uint64_t *ret_newest)
{
	struct store_sqlite *backend = context;
	sqlite3_stmt *statement = begin(backend, EVENT_OLDEST);
	uint64_t oldest = 0, newest = 0;
	int r;

	r = sqlite3_step(statement);
	if (r == SQLITE_ROW)
		oldest = (uint64_t)sqlite3_column_int64(statement, 0);
	r = store_sqlite_error(backend->db, r);
	end(statement);
	if (!r)
		r = store_sqlite_counter(backend, "event", &newest);
	if (r && r != TW_E_END)
		return r;
	*ret_oldest = oldest;
	*ret_newest = newest;
	return 0;
}

static int ignore_record(void *context, const struct tw_store_record *record)
{
	(void)context;
	(void)record;
	return 0;
}

static int check_event(void *context, const struct tw_store_event *event)
{
	const uint64_t *newest = context;

	return event->id > *newest ? TW_E_FORMAT : 0;
}

int store_sqlite_check_rows(struct store_sqlite *backend)
{
	const struct store_window everything = { .limit = UINT64_MAX, .since_us = INT64_MIN };
	sqlite3_stmt *statement = begin(backend, SETTING_ALL);
	uint64_t oldest, newest;
	const char *value;
	int r, step;

	do {
		step = sqlite3_step(statement);
		r = step == SQLITE_ROW ? read_setting(backend, statement, &value)
				       : store_sqlite_error(backend->db, step);
	} while (!r && step == SQLITE_ROW);
	end(statement);
	if (!r)
		r = each_record(backend, begin(backend, OBJECT_ALL), ignore_record, NULL);
	if (!r)
		r = backend_event_range(backend, &oldest, &newest);
	if (!r)
		r = backend_events(backend, &everything, check_event, &newest);
	return r;
}

int store_sqlite_prepare(struct store_sqlite *backend)
{
	for (unsigned i = 0; i < STATEMENTS; i++) {
		int r = sqlite3_prepare_v3(backend->db, statements[i], -1,
					   SQLITE_PREPARE_PERSISTENT, &backend->statements[i],
					   NULL);

		if (r != SQLITE_OK)
			return store_sqlite_error(backend->db, r);
	}
	sqlite3_wal_hook(backend->db, count_log_pages, backend);
	return 0;
}

const struct store_backend store_sqlite = {
	.open = store_sqlite_open,
	.close = store_sqlite_close,
	.apply = backend_apply,
	.sync = backend_sync,
	.has = backend_has,
	.load = backend_load,
	.blob = backend_blob,
	.get = backend_get,
	.events = backend_events,
	.event_range = backend_event_range,
	.quarantine = store_sqlite_quarantine,
};
