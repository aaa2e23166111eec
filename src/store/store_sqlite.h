/*
 * store_sqlite.h - the SQLite back end: its state, and what its two files share. They are the only
 * ones with SQL; private to this tier.
 *
 * Write-ahead log, synchronous=NORMAL: a commit is a write to the log without waiting;
 * store_flush.c does the waiting.
 */
#pragma once

#include <sqlite3.h>

#include "content/digest.h"
#include "store/backend.h"
#include "store/store_flush.h"
#include "store/store_lock.h"

#define STORE_PATH_ROOM 4096

enum statement {
	BEGIN,
	COMMIT,
	ROLLBACK,
	OBJECT_PUT,
	BLOB_PUT,
	BLOB_REMOVE,
	OBJECT_REMOVE,
	OBJECT_HAS,
	OBJECT_LOAD,
	OBJECT_ALL,
	BLOB_FIND,
	SETTING_PUT,
	SETTING_REMOVE,
	SETTING_GET,
	SETTING_ALL,
	EVENT_ADD,
	EVENT_TRIM,
	EVENT_LOAD,
	EVENT_OLDEST,
	COUNTER_PUT,
	COUNTER_GET,
	STATEMENTS,
};

struct store_sqlite {
	char file[STORE_PATH_ROOM];
	struct store_lock lock;
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS]; /* owned, prepared once */
	struct tw_digest_state *digest;
	struct store_flusher *flusher;
	uint64_t serial; /* of the newest commit */
	unsigned log_pages;
};

/* From SQLite's code to ours; @db may be NULL. */
int store_sqlite_error(sqlite3 *db, int code);
/* TW_E_END: not there. TW_E_FORMAT. */
int store_sqlite_counter(struct store_sqlite *backend, const char *name, uint64_t *ret);
int store_sqlite_prepare(struct store_sqlite *backend);
/* Every row but the blobs is what was stored. */
int store_sqlite_check_rows(struct store_sqlite *backend);

/* store_sqlite_open.c */
int store_sqlite_open(const char *path, void **ret, char ret_message[TW_STORE_MESSAGE]);
void store_sqlite_close(void *backend);
int store_sqlite_quarantine(const char *path, char ret_message[TW_STORE_MESSAGE]);
