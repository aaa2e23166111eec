/*
 * disk.h - the disk threads of one worker: jobs go to them and come back through rings without
 * locks, in each direction one producer and one consumer.
 *
 * Jobs of one transfer go to the same thread, which runs them one after another in the order of
 * submission; they come back in that order. A quick job may be run where it is submitted, while its
 * thread has nothing of anybody's. An eventfd wakes the other side, and only when it has
 * said that it is about to sleep: while both are busy a job costs no system call, and the worker is
 * roused once for several jobs. A thread is too: with the next few of them, or when the worker asks
 * for what is finished or is about to sleep. Jobs that find a thread's ring full wait on the
 * worker's side, in order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "content/job.h"

#define TW_DISK_THREADS_MAX 8
#define TW_DISK_RING 2048 /* jobs under way a thread; more wait with the worker */

struct tw_disk;

/*
 * @run executes a job (tw_job_run()); those of which @is_quick says so, at once where that can be
 * (tw_job_is_quick(); NULL: none). -ENOMEM, -EAGAIN (no thread), -EMFILE.
 */
int tw_disk_new(unsigned threads, void (*run)(struct tw_job *job),
		bool (*is_quick)(const struct tw_job *job), struct tw_disk **ret);
/*
 * Waits for the threads to finish what they were given. Jobs not collected by then stay the
 * callers'.
 */
void tw_disk_free(struct tw_disk *disk);
/* Lends the job to a thread, which is roused with it or by one of the three below; or runs it.
 * @client comes back with it, untouched. */
void tw_disk_submit(struct tw_disk *disk, struct tw_job *job, void *client);
/* The next job that has been executed; false: none now, and the threads have been roused. */
bool tw_disk_collect(struct tw_disk *disk, struct tw_job **ret_job, void **ret_client);
/* All threads know of what they have. */
void tw_disk_rouse(struct tw_disk *disk);
/* Jobs that were run where they were submitted, and not collected. */
size_t tw_disk_at_hand(struct tw_disk *disk);
/* Jobs submitted and not collected. */
size_t tw_disk_count(const struct tw_disk *disk);

/* Readable when the worker has to look for finished jobs although it said that it sleeps. */
int tw_disk_fd(const struct tw_disk *disk);
/* Before the worker sleeps: rouses. False: a job is finished already, do not sleep. */
bool tw_disk_sleep(struct tw_disk *disk);
/* After it slept. @woken: the descriptor was readable. */
void tw_disk_wake(struct tw_disk *disk, bool woken);
