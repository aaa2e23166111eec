#include "engine/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <xxhash.h>

#define THREADS_MAX 16

struct list {
	struct tw_pool_job *first, **last;
};

struct tw_pool {
	struct event *finished_event;
	int finished_fd;
	pthread_t threads[THREADS_MAX];
	unsigned thread_count;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list waiting, finished;
	struct tw_pool_job *running[THREADS_MAX];
	size_t count;
	bool stopping;
};

static void list_init(struct list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_add(struct list *list, struct tw_pool_job *job)
{
	job->next = NULL;
	*list->last = job;
	list->last = &job->next;
}

static struct tw_pool_job *list_take(struct list *list)
{
	struct tw_pool_job *job = list->first;

	if (!job)
		return NULL;
	list->first = job->next;
	if (!list->first)
		list->last = &list->first;
	return job;
}

uint64_t tw_pool_owner(const char *name)
{
	return XXH3_64bits(name, strlen(name)) | 1;
}

static bool may_run(const struct tw_pool *pool, const struct tw_pool_job *job)
{
	unsigned running = 0, most = (pool->thread_count + 1) / 2;

	for (unsigned i = 0; i < THREADS_MAX; i++)
		running += pool->running[i] && pool->running[i]->owner == job->owner;
	return !job->owner || running < most || atomic_load(&job->cancelled);
}

/* The first of those that may. */
static struct tw_pool_job *take_waiting(struct tw_pool *pool)
{
	for (struct tw_pool_job **at = &pool->waiting.first; *at; at = &(*at)->next) {
		struct tw_pool_job *job = *at;

		if (!may_run(pool, job))
			continue;
		*at = job->next;
		if (!job->next)
			pool->waiting.last = at;
		return job;
	}
	return NULL;
}

struct thread {
	struct tw_pool *pool;
	unsigned index;
};

static void run_jobs(struct tw_pool *pool, unsigned index)
{
	uint64_t one = 1;
	struct tw_pool_job *job;

	while ((job = take_waiting(pool))) {
		pool->running[index] = job;
		pthread_mutex_unlock(&pool->lock);
		if (!atomic_load(&job->cancelled)) {
			job->ran = true;
			job->run(job);
		}
		pthread_mutex_lock(&pool->lock);
		pool->running[index] = NULL;
		list_add(&pool->finished, job);
		/* Full only when it has been readable for ages. */
		if (write(pool->finished_fd, &one, sizeof one) < 0)
			continue;
	}
}

static void *thread_main(void *context)
{
	struct thread thread = *(struct thread *)context;
	struct tw_pool *pool = thread.pool;

	free(context);
	pthread_mutex_lock(&pool->lock);
	for (;;) {
		run_jobs(pool, thread.index);
		if (pool->stopping)
			break;
		pthread_cond_wait(&pool->wake, &pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static void collect(struct tw_pool *pool)
{
	struct tw_pool_job *job;

	for (;;) {
		pthread_mutex_lock(&pool->lock);
		job = list_take(&pool->finished);
		pool->count -= job != NULL;
		pthread_mutex_unlock(&pool->lock);
		if (!job)
			return;
		job->done(job);
	}
}

static void on_finished(evutil_socket_t fd, short what, void *context)
{
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof count) < 0)
		return;
	collect(context);
}

static int start_thread(struct tw_pool *pool)
{
	struct thread *thread = malloc(sizeof *thread);
	int r;

	if (!thread)
		return -ENOMEM;
	*thread = (struct thread){ pool, pool->thread_count };
	r = pthread_create(&pool->threads[pool->thread_count], NULL, thread_main, thread);
	if (r) {
		free(thread);
		return -r;
	}
	pool->thread_count++;
	return 0;
}

int tw_pool_new(struct event_base *base, unsigned threads, struct tw_pool **ret)
{
	struct tw_pool *pool = calloc(1, sizeof *pool);
	int r = 0;

	assert(threads > 0 && threads <= THREADS_MAX);
	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->wake, NULL);
	list_init(&pool->waiting);
	list_init(&pool->finished);
	pool->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->finished_fd < 0) {
		r = -errno;
	} else {
		pool->finished_event =
			event_new(base, pool->finished_fd, EV_READ | EV_PERSIST, on_finished, pool);
		if (!pool->finished_event || event_add(pool->finished_event, NULL))
			r = -ENOMEM;
	}
	while (!r && pool->thread_count < threads)
		r = start_thread(pool);
	if (r) {
		tw_pool_free(pool);
		return r;
	}
	*ret = pool;
	return 0;
}

void tw_pool_free(struct tw_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	for (struct tw_pool_job *job = pool->waiting.first; job; job = job->next)
		atomic_store(&job->cancelled, true);
	for (unsigned i = 0; i < THREADS_MAX; i++)
		if (pool->running[i])
			atomic_store(&pool->running[i]->cancelled, true);
	pthread_cond_broadcast(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	collect(pool);
	if (pool->finished_event)
		event_free(pool->finished_event);
	if (pool->finished_fd >= 0)
		close(pool->finished_fd);
	pthread_cond_destroy(&pool->wake);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void tw_pool_submit(struct tw_pool *pool, struct tw_pool_job *job)
{
	atomic_store(&job->cancelled, false);
	job->ran = false;
	pthread_mutex_lock(&pool->lock);
	/* A done() that submits while the pool ends is told so by its next done(). */
	if (pool->stopping)
		atomic_store(&job->cancelled, true);
	list_add(pool->stopping ? &pool->finished : &pool->waiting, job);
	pool->count++;
	pthread_cond_signal(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
}

void tw_pool_cancel(struct tw_pool_job *job)
{
	atomic_store(&job->cancelled, true);
}

bool tw_pool_cancelled(struct tw_pool_job *job)
{
	return atomic_load(&job->cancelled);
}

bool tw_pool_ran(const struct tw_pool_job *job)
{
	return job->ran;
}

size_t tw_pool_count(struct tw_pool *pool)
{
	size_t count;

	pthread_mutex_lock(&pool->lock);
	count = pool->count;
	pthread_mutex_unlock(&pool->lock);
	return count;
}
