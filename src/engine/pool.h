/*
 * pool.h - a few threads for work that blocks (walking folders, file operations, name look-ups),
 * so that the control thread never waits.
 *
 * A job is the caller's struct; it is lent from tw_pool_submit() until its done() is called, from
 * the control thread's loop. Jobs begin in the order of submission, but those of one owner run on
 * half of the threads at most: storage of his that does not answer must not hold up others.
 * Cancelling only asks: a job that has not begun is not run, one that runs looks at
 * tw_pool_cancelled() now and then. done() is called for every job, run or not.
 */
#pragma once

#include <event2/event.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tw_pool;

struct tw_pool_job {
	void (*run)(struct tw_pool_job *job);  /* on a thread of the pool */
	void (*done)(struct tw_pool_job *job); /* on the control thread; may free the job */
	uint64_t owner; /* tw_pool_owner(); 0: nobody's, without that limit */
	/* Private. */
	atomic_bool cancelled;
	bool ran;
	struct tw_pool_job *next;
};

/* For an account's name. */
uint64_t tw_pool_owner(const char *name);

/* -ENOMEM, -EMFILE, -EAGAIN (no thread). @base borrowed. */
int tw_pool_new(struct event_base *base, unsigned threads, struct tw_pool **ret);
/* Cancels every job, waits for those that run, calls every done(). */
void tw_pool_free(struct tw_pool *pool);
void tw_pool_submit(struct tw_pool *pool, struct tw_pool_job *job);
void tw_pool_cancel(struct tw_pool_job *job);
/* From any thread. */
bool tw_pool_cancelled(struct tw_pool_job *job);
/* In done(): false: it was cancelled before it began. */
bool tw_pool_ran(const struct tw_pool_job *job);
/* Waiting or running. */
size_t tw_pool_count(struct tw_pool *pool);
