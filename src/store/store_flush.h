/*
 * store_flush.h - the thread that makes SQLite's log durable and folds it into the database;
 * private to this tier.
 *
 * A commit writes to the log without waiting for the disk. This thread flushes the log at most a
 * second after the first commit that it does not cover, and copies the log into the database
 * (a passive checkpoint, over a connection of its own) when it has grown: the waits for the disk
 * are the thread's, never the committing one's. A flush that failed may have lost pages of the log
 * although a later one succeeds, so then only a whole checkpoint counts.
 */
#pragma once

#include <stdint.h>

#include <sqlite3.h>

#include "store/store_lock.h"

#define STORE_FLUSH_EVERY_MS 1000
/*
 * Pages in the log from which on it is folded in. The commit that begins the log anew afterwards
 * has to wait for the disk once (SQLite orders its header before what follows), so not too often.
 */
#define STORE_FLUSH_PAGES 4000

struct store_flusher;

/*
 * @db: a connection to @file of the thread's own that has read from it; taken when 0 is returned.
 * @lock is borrowed. -ENOMEM, -EAGAIN.
 */
int store_flusher_start(const char *file, const struct store_lock *lock, sqlite3 *db,
			struct store_flusher **ret);
/* Ends the thread, flushes nothing more. NULL is fine. */
void store_flusher_stop(struct store_flusher *flusher);
/* A commit has been written: @serial is its own, @pages are in the log now. */
void store_flusher_note(struct store_flusher *flusher, uint64_t serial, unsigned pages);
/* Waits until all commits noted are on the disk. -errno. */
int store_flusher_sync(struct store_flusher *flusher);
