#include "unit.h"

#include <poll.h>
#include <stdatomic.h>
#include <time.h>

#include "base/random.h"
#include "base/time.h"
#include "netio/clock.h"
#include "netio/disk.h"

#define TRANSFERS 5

static atomic_ulong counters[TRANSFERS];
static atomic_int overlap[TRANSFERS];
static atomic_bool overlapped;

/* Records in which order the jobs of a transfer ran, and that no two ran at a time. */
static void run(struct tw_job *job)
{
	if (atomic_fetch_add(&overlap[job->transfer], 1) != 0)
		atomic_store(&overlapped, true);
	job->offset = atomic_fetch_add(&counters[job->transfer], 1);
	job->result = (int)job->transfer + 100;
	atomic_fetch_sub(&overlap[job->transfer], 1);
}

static void run_slowly(struct tw_job *job)
{
	struct timespec pause = { .tv_nsec = 30000000 };

	nanosleep(&pause, NULL);
	job->result = 7;
}

static void reset(void)
{
	for (unsigned i = 0; i < TRANSFERS; i++)
		atomic_store(&counters[i], 0);
	atomic_store(&overlapped, false);
}

/* The worker's way to sleep. */
static void wait_for_job(struct tw_disk *disk)
{
	struct pollfd fd = { .fd = tw_disk_fd(disk), .events = POLLIN };
	bool woken = false;

	if (tw_disk_sleep(disk)) {
		assert_int_equal(poll(&fd, 1, 20000), 1);
		woken = true;
	}
	tw_disk_wake(disk, woken);
}

/*
 * Many more jobs than a ring holds, over two threads: all come back, in order within each transfer.
 */
static void test_order(void **state)
{
	enum { JOBS = 3 * TW_DISK_RING };
	struct tw_disk *disk;
	struct tw_job *jobs = calloc(JOBS, sizeof *jobs);
	uint64_t next[TRANSFERS] = { 0 };
	size_t back = 0;
	int marks[2];

	(void)state;
	assert_non_null(jobs);
	reset();
	assert_int_equal(tw_disk_new(2, run, NULL, &disk), 0);
	for (size_t i = 0; i < JOBS; i++) {
		jobs[i].transfer = i % TRANSFERS;
		tw_disk_submit(disk, &jobs[i], &marks[i % 2]);
	}
	assert_int_equal(tw_disk_count(disk), JOBS);
	while (back < JOBS) {
		struct tw_job *job;
		void *client;

		if (!tw_disk_collect(disk, &job, &client)) {
			wait_for_job(disk);
			continue;
		}
		assert_int_equal(job->offset, next[job->transfer]);
		assert_int_equal(job - jobs, next[job->transfer] * TRANSFERS + job->transfer);
		assert_int_equal(job->result, job->transfer + 100);
		assert_ptr_equal(client, &marks[(job - jobs) % 2]);
		next[job->transfer]++;
		back++;
	}
	assert_int_equal(tw_disk_count(disk), 0);
	assert_false(atomic_load(&overlapped));
	tw_disk_free(disk);
	free(jobs);
}

/*
 * One job at a time back and forth, so that both sides fall asleep often: no wake-up may be missed.
 */
static void test_wakeups(void **state)
{
	struct tw_disk *disk;
	struct tw_job job = { 0 };

	(void)state;
	reset();
	assert_int_equal(tw_disk_new(1, run, NULL, &disk), 0);
	for (unsigned i = 0; i < 20000; i++) {
		struct tw_job *back;
		void *client;

		tw_disk_submit(disk, &job, &job);
		while (!tw_disk_collect(disk, &back, &client))
			wait_for_job(disk);
		assert_ptr_equal(back, &job);
		assert_int_equal(job.offset, i);
	}
	tw_disk_free(disk);
}

/* The worker does not stand still while a job runs, and a finished job keeps it from sleeping. */
static void test_sleep(void **state)
{
	struct tw_disk *disk;
	struct tw_job job = { 0 }, *back;
	void *client;
	tw_ns before = tw_clock_now();

	(void)state;
	assert_int_equal(tw_disk_new(1, run_slowly, NULL, &disk), 0);
	tw_disk_submit(disk, &job, NULL);
	assert_true(tw_clock_now() - before < 25 * TW_MSEC);
	wait_for_job(disk);
	assert_true(tw_clock_now() - before >= 30 * TW_MSEC);
	assert_false(tw_disk_sleep(disk));
	assert_true(tw_disk_collect(disk, &back, &client));
	assert_int_equal(back->result, 7);
	assert_true(tw_disk_sleep(disk));
	tw_disk_wake(disk, false);
	tw_disk_free(disk);
}

static bool is_quick(const struct tw_job *job)
{
	return job->type == TW_JOB_WRITE;
}

/*
 * Quick jobs and others by turns and in runs: in order all the same, and never two of a transfer at
 * a time. What is quick may run at once, what is not never does.
 */
static void test_quick(void **state)
{
	enum { JOBS = 20000 };
	struct tw_job *jobs = calloc(JOBS, sizeof *jobs);
	uint64_t next[TRANSFERS] = { 0 };
	size_t given = 0, back = 0, at_once = 0;
	struct tw_prng prng;
	struct tw_disk *disk;

	(void)state;
	assert_non_null(jobs);
	reset();
	tw_prng_init(&prng, 3);
	assert_int_equal(tw_disk_new(2, run, is_quick, &disk), 0);
	while (back < JOBS) {
		size_t burst = tw_prng_below(&prng, 200), quick = tw_prng_below(&prng, 101);
		struct tw_job *job;
		void *client;

		for (; burst && given < JOBS; burst--, given++) {
			jobs[given].transfer = given % TRANSFERS;
			jobs[given].type =
				tw_prng_below(&prng, 100) < quick ? TW_JOB_WRITE : TW_JOB_READ;
			tw_disk_submit(disk, &jobs[given], NULL);
		}
		while (tw_disk_collect(disk, &job, &client)) {
			assert_int_equal(job->offset, next[job->transfer]);
			assert_int_equal(job - jobs,
					 next[job->transfer] * TRANSFERS + job->transfer);
			assert_false(job->at_once && !is_quick(job));
			next[job->transfer]++;
			at_once += job->at_once;
			back++;
		}
		if (given == JOBS && back < JOBS)
			wait_for_job(disk);
	}
	assert_int_equal(tw_disk_count(disk), 0);
	assert_int_equal(tw_disk_at_hand(disk), 0);
	assert_false(atomic_load(&overlapped));
	assert_in_range(at_once, 1, JOBS - 1);
	tw_disk_free(disk);
	free(jobs);
}

static atomic_bool hold;

static void run_held(struct tw_job *job)
{
	while (!is_quick(job) && atomic_load(&hold))
		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	job->result = 7;
}

/* Behind one that is slow a few quick ones wait and are run at once; when more come, all go to the
 * thread, which then has them. */
static void test_quick_behind_slow(void **state)
{
	static const struct {
		unsigned behind;
		bool at_once;
	} cases[] = { { 1, true }, { 64, true }, { 65, false }, { 200, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tw_job jobs[4 + 1 + 200] = { 0 }, *job;
		const unsigned slow = 4, count = slow + 1 + cases[i].behind;
		struct tw_disk *disk;
		void *client;

		atomic_store(&hold, true);
		assert_int_equal(tw_disk_new(1, run_held, is_quick, &disk), 0);
		for (unsigned k = 0; k < count; k++) {
			jobs[k].type = k == slow ? TW_JOB_CHECKPOINT : TW_JOB_WRITE;
			tw_disk_submit(disk, &jobs[k], NULL);
		}
		assert_false(tw_disk_sleep(disk)); /* some are at hand */
		assert_int_equal(tw_disk_at_hand(disk), slow);
		for (unsigned k = 0; k < slow; k++) {
			assert_true(tw_disk_collect(disk, &job, &client));
			assert_ptr_equal(job, &jobs[k]);
			assert_true(job->at_once);
		}
		assert_false(tw_disk_collect(disk, &job, &client));
		atomic_store(&hold, false);
		for (unsigned k = slow; k < count; k++) {
			while (!tw_disk_collect(disk, &job, &client))
				wait_for_job(disk);
			assert_ptr_equal(job, &jobs[k]);
			assert_int_equal(job->result, 7);
			assert_int_equal(job->at_once, k > slow && cases[i].at_once);
		}
		assert_int_equal(tw_disk_count(disk), 0);
		tw_disk_free(disk);
	}
}

/* Stopping runs what was handed over. */
static void test_stop(void **state)
{
	struct tw_disk *disk;
	struct tw_job jobs[100] = { 0 };

	(void)state;
	reset();
	assert_int_equal(tw_disk_new(2, run, NULL, &disk), 0);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		jobs[i].transfer = i % TRANSFERS;
		tw_disk_submit(disk, &jobs[i], NULL);
	}
	tw_disk_free(disk);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
		assert_int_equal(jobs[i].result, i % TRANSFERS + 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_wakeups),
		cmocka_unit_test(test_sleep),
		cmocka_unit_test(test_quick),
		cmocka_unit_test(test_quick_behind_slow),
		cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
