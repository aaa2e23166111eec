#include "store/store_flush.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PATH_ROOM 4096

struct store_flusher {
	const struct store_lock *lock; /* borrowed */
	sqlite3 *db;                   /* owned; used under @working */
	char log_path[PATH_ROOM];
	int log_fd; /* -1: not opened yet; used under @working */
	pthread_t thread;

	pthread_mutex_t working; /* held while the disk is being waited for */
	bool doubtful;           /* a flush failed: under @working */

	pthread_mutex_t mutex; /* over what follows; never held for long */
	pthread_cond_t wake;
	uint64_t committed, flushed;
	unsigned pages;
	bool stop;
};

/* Copies the log into the database, all of it unless a commit comes in between, and flushes. */
static int checkpoint(struct store_flusher *flusher)
{
	int in_log = -1, copied = -1;

	if (sqlite3_wal_checkpoint_v2(flusher->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log,
				      &copied) != SQLITE_OK)
		return -EIO;
	if (in_log >= 0 && copied == in_log)
		flusher->doubtful = false;
	return flusher->doubtful ? -EIO : 0;
}

static int flush_log(struct store_flusher *flusher)
{
	if (flusher->log_fd < 0)
		flusher->log_fd = open(flusher->log_path, O_RDONLY | O_CLOEXEC);
	if (flusher->log_fd < 0)
		return -errno;
	if (fdatasync(flusher->log_fd)) {
		flusher->doubtful = true;
		return -errno;
	}
	return 0;
}

/* @fold: there is time to make the log shorter as well. */
static int flush(struct store_flusher *flusher, bool fold)
{
	uint64_t committed, before;
	unsigned pages;
	int r = 0;

	pthread_mutex_lock(&flusher->working);
	pthread_mutex_lock(&flusher->mutex);
	committed = flusher->committed;
	before = flusher->flushed;
	pages = flusher->pages;
	pthread_mutex_unlock(&flusher->mutex);

	if (committed > before) {
		r = flusher->doubtful ? checkpoint(flusher) : flush_log(flusher);
		if (!r) {
			pthread_mutex_lock(&flusher->mutex);
			flusher->flushed = committed;
			pthread_mutex_unlock(&flusher->mutex);
			store_lock_mark(flusher->lock, STORE_MARK_FLUSHED, committed);
		}
		/* Should it fail, it is tried again with the next: what matters is flushed. */
		if (!r && fold && pages >= STORE_FLUSH_PAGES)
			checkpoint(flusher);
	}
	pthread_mutex_unlock(&flusher->working);
	return r;
}

static void *flusher_main(void *context)
{
	struct store_flusher *flusher = context;

	pthread_setname_np(pthread_self(), "store");
	pthread_mutex_lock(&flusher->mutex);
	while (!flusher->stop) {
		struct timespec until;

		if (flusher->committed == flusher->flushed) {
			pthread_cond_wait(&flusher->wake, &flusher->mutex);
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += STORE_FLUSH_EVERY_MS / 1000;
		while (!flusher->stop &&
		       pthread_cond_timedwait(&flusher->wake, &flusher->mutex, &until) != ETIMEDOUT)
			;
		if (flusher->stop)
			break;
		pthread_mutex_unlock(&flusher->mutex);
		/* A failure shows at the next sync; here there is only trying again. */
		flush(flusher, true);
		pthread_mutex_lock(&flusher->mutex);
	}
	pthread_mutex_unlock(&flusher->mutex);
	return NULL;
}

static int start_thread(struct store_flusher *flusher)
{
	pthread_condattr_t attributes;
	sigset_t all, before;
	int r;

	pthread_mutex_init(&flusher->working, NULL);
	pthread_mutex_init(&flusher->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&flusher->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&flusher->thread, NULL, flusher_main, flusher);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int store_flusher_start(const char *file, const struct store_lock *lock, sqlite3 *db,
			struct store_flusher **ret)
{
	struct store_flusher *flusher = calloc(1, sizeof(*flusher));
	int r;

	if (!flusher)
		return -ENOMEM;
	flusher->lock = lock;
	flusher->db = db;
	snprintf(flusher->log_path, sizeof(flusher->log_path), "%s-wal", file);
	/* Now: nothing is opened by its whole path once the server serves. There may be no log yet
	 * before the first commit. */
	flusher->log_fd = open(flusher->log_path, O_RDONLY | O_CLOEXEC);
	r = start_thread(flusher);
	if (r) {
		if (flusher->log_fd >= 0)
			close(flusher->log_fd);
		free(flusher);
		return r;
	}
	*ret = flusher;
	return 0;
}

void store_flusher_stop(struct store_flusher *flusher)
{
	if (!flusher)
		return;
	pthread_mutex_lock(&flusher->mutex);
	flusher->stop = true;
	pthread_cond_signal(&flusher->wake);
	pthread_mutex_unlock(&flusher->mutex);
	pthread_join(flusher->thread, NULL);
	if (flusher->log_fd >= 0)
		close(flusher->log_fd);
	sqlite3_close(flusher->db);
	pthread_cond_destroy(&flusher->wake);
	pthread_mutex_destroy(&flusher->mutex);
	pthread_mutex_destroy(&flusher->working);
	free(flusher);
}

void store_flusher_note(struct store_flusher *flusher, uint64_t serial, unsigned pages)
{
	pthread_mutex_lock(&flusher->mutex);
	flusher->committed = serial;
	flusher->pages = pages;
	pthread_cond_signal(&flusher->wake);
	pthread_mutex_unlock(&flusher->mutex);
}

int store_flusher_sync(struct store_flusher *flusher)
{
	return flush(flusher, false);
}
