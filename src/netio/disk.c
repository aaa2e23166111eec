#include "netio/disk.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/ring.h"

#define WAKE_EVERY 8 /* jobs; either way */
#define QUICK_TRUST_MAX 8
#define QUICK_LINE 64 /* jobs that wait to be quick: no more than the worker can do in between */

struct item {
	struct tw_job *job;
	void *client;
};

struct thread {
	struct tw_disk *disk;
	pthread_t id;
	bool running;
	struct tw_ring jobs, done;
	int wake_fd;
	_Alignas(64) atomic_bool asleep;
	/* Below: the worker's alone. */
	_Alignas(64) size_t under_way; /* in the rings or being executed: at most TW_DISK_RING */
	unsigned untold;               /* given since it was last roused */
	/* Above 0 jobs wait for those under way, as most of them will be quick then. One more with
	 * each quick one, half as much with each that was not: waiting costs two wake-ups. */
	unsigned quick_trust;
	struct item *waiting; /* owned, FIFO from waiting_first */
	size_t waiting_first, waiting_count, waiting_room;
};

struct tw_disk {
	void (*run)(struct tw_job *job);
	bool (*is_quick)(const struct tw_job *job); /* NULL: none is */
	int worker_fd;
	_Alignas(64) atomic_bool worker_asleep;
	atomic_bool stop;
	_Alignas(64) size_t count;
	struct tw_ring at_once; /* what was run where it was submitted, until it is collected */
	unsigned next;          /* thread to look at first, so that none starves */
	unsigned thread_count;
	struct thread threads[];
};

/*
 * Both sides exchange the sleeper's flag. If the waker's exchange comes first, the sleeper's reads
 * from it and so sees what was put into the ring before; if it comes second, it finds the flag set
 * and wakes.
 */
static void wake(atomic_bool *asleep, int fd)
{
	uint64_t one = 1;

	if (!atomic_exchange(asleep, false))
		return;
	/* Fails only when the counter is about to overflow, and then it is readable anyway. */
	if (write(fd, &one, sizeof one) < 0)
		return;
}

static void sleep_until_woken(struct thread *thread)
{
	uint64_t count;

	atomic_exchange(&thread->asleep, true);
	if (tw_ring_count(&thread->jobs) > 0 || atomic_load(&thread->disk->stop)) {
		if (atomic_exchange(&thread->asleep, false))
			return;
		/*
		 * A waker was faster: its token is on the way, take it or the next sleep ends early
		 * (harmless).
		 */
	}
	while (read(thread->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
		;
}

static void *thread_main(void *context)
{
	struct thread *thread = context;
	struct tw_disk *disk = thread->disk;
	unsigned finished = 0;
	struct item item;

	pthread_setname_np(pthread_self(), "disk");
	for (;;) {
		if (!tw_ring_pop(&thread->jobs, &item)) {
			if (atomic_load(&disk->stop))
				return NULL;
			sleep_until_woken(thread);
			continue;
		}
		disk->run(item.job);
		finished++;
		/* There is room: no more than TW_DISK_RING are under way. */
		if (!tw_ring_push(&thread->done, &item))
			abort();
		/* The worker looks at what is finished whenever it is awake; while there is more
		 * to do here it is not roused for each job. */
		if (finished >= WAKE_EVERY || tw_ring_count(&thread->jobs) == 0) {
			wake(&disk->worker_asleep, disk->worker_fd);
			finished = 0;
		}
	}
}

static int thread_start(struct tw_disk *disk, struct thread *thread)
{
	sigset_t all, before;
	int r;

	thread->disk = disk;
	thread->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (thread->wake_fd < 0)
		return -errno;
	r = tw_ring_init(&thread->jobs, sizeof(struct item), TW_DISK_RING);
	if (!r)
		r = tw_ring_init(&thread->done, sizeof(struct item), TW_DISK_RING);
	if (r)
		return r;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&thread->id, NULL, thread_main, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r)
		return -r;
	thread->running = true;
	return 0;
}

int tw_disk_new(unsigned threads, void (*run)(struct tw_job *job),
		bool (*is_quick)(const struct tw_job *job), struct tw_disk **ret)
{
	size_t size = sizeof(struct tw_disk) + threads * sizeof(struct thread);
	struct tw_disk *disk;
	int r;

	assert(threads > 0 && threads <= TW_DISK_THREADS_MAX);
	size = (size + 63) & ~(size_t)63;
	disk = aligned_alloc(64, size);
	if (!disk)
		return -ENOMEM;
	memset(disk, 0, size);
	disk->run = run;
	disk->is_quick = is_quick;
	disk->thread_count = threads;
	for (unsigned i = 0; i < threads; i++)
		disk->threads[i].wake_fd = -1;
	disk->worker_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = disk->worker_fd < 0 ? -errno : 0;
	if (!r)
		r = tw_ring_init(&disk->at_once, sizeof(struct item), TW_DISK_RING);
	for (unsigned i = 0; i < threads && !r; i++)
		r = thread_start(disk, &disk->threads[i]);
	if (r) {
		tw_disk_free(disk);
		return r;
	}
	*ret = disk;
	return 0;
}

void tw_disk_free(struct tw_disk *disk)
{
	if (!disk)
		return;
	atomic_store(&disk->stop, true);
	for (unsigned i = 0; i < disk->thread_count; i++) {
		struct thread *thread = &disk->threads[i];
		uint64_t one = 1;

		if (thread->running) {
			while (write(thread->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
				;
			pthread_join(thread->id, NULL);
		}
		if (thread->wake_fd >= 0)
			close(thread->wake_fd);
		if (thread->jobs.items)
			tw_ring_deinit(&thread->jobs);
		if (thread->done.items)
			tw_ring_deinit(&thread->done);
		free(thread->waiting);
	}
	if (disk->worker_fd >= 0)
		close(disk->worker_fd);
	if (disk->at_once.items)
		tw_ring_deinit(&disk->at_once);
	free(disk);
}

/*
 * Memory for a waiting job is the one thing here that can run out; without it no order can be kept.
 */
static void wait_in_line(struct thread *thread, const struct item *item)
{
	if (thread->waiting_first + thread->waiting_count == thread->waiting_room) {
		if (thread->waiting_first > thread->waiting_room / 2) {
			memmove(thread->waiting, thread->waiting + thread->waiting_first,
				thread->waiting_count * sizeof *item);
		} else {
			size_t room = thread->waiting_room ? thread->waiting_room * 2 : 256;
			struct item *larger = malloc(room * sizeof *larger);

			if (!larger)
				abort();
			if (thread->waiting_count)
				memcpy(larger, thread->waiting + thread->waiting_first,
				       thread->waiting_count * sizeof *item);
			free(thread->waiting);
			thread->waiting = larger;
			thread->waiting_room = room;
		}
		thread->waiting_first = 0;
	}
	thread->waiting[thread->waiting_first + thread->waiting_count++] = *item;
}

static void rouse(struct thread *thread)
{
	if (thread->untold)
		wake(&thread->asleep, thread->wake_fd);
	thread->untold = 0;
}

void tw_disk_rouse(struct tw_disk *disk)
{
	for (unsigned i = 0; i < disk->thread_count; i++)
		rouse(&disk->threads[i]);
}

static void hand_over(struct thread *thread, const struct item *item)
{
	thread->under_way++;
	if (!tw_ring_push(&thread->jobs, item))
		abort();
	if (++thread->untold >= WAKE_EVERY)
		rouse(thread);
}

/*
 * Where nobody is roused and what is copied is still in this processor's cache. Nothing may be
 * under way in @thread: so the order stays, and the job's source or sink is at rest.
 */
static bool run_at_once(struct thread *thread, const struct item *item)
{
	struct tw_disk *disk = thread->disk;

	if (!disk->is_quick || tw_ring_count(&disk->at_once) == TW_DISK_RING)
		return false;
	if (!disk->is_quick(item->job)) {
		thread->quick_trust /= 2;
		return false;
	}
	thread->quick_trust += thread->quick_trust < QUICK_TRUST_MAX;
	item->job->at_once = true;
	disk->run(item->job);
	if (!tw_ring_push(&disk->at_once, item))
		abort();
	return true;
}

/* The next job of @thread is run or handed over. False: it has to wait. */
static bool admit(struct thread *thread, const struct item *item)
{
	if (!thread->under_way && run_at_once(thread, item))
		return true;
	if (thread->under_way >= TW_DISK_RING || (thread->under_way && thread->quick_trust))
		return false;
	hand_over(thread, item);
	return true;
}

static void admit_waiting(struct thread *thread)
{
	while (thread->waiting_count > 0 &&
	       admit(thread, &thread->waiting[thread->waiting_first])) {
		thread->waiting_first++;
		thread->waiting_count--;
	}
	if (thread->waiting_count == 0)
		thread->waiting_first = 0;
}

void tw_disk_submit(struct tw_disk *disk, struct tw_job *job, void *client)
{
	/* Transfers may be told apart by addresses: their low bits say little. */
	uint64_t mixed = job->transfer * UINT64_C(0x9e3779b97f4a7c15);
	struct thread *thread = &disk->threads[(mixed >> 32) % disk->thread_count];
	struct item item = { job, client };

	disk->count++;
	if (thread->waiting_count == 0 && admit(thread, &item))
		return;
	wait_in_line(thread, &item);
	if (thread->quick_trust && thread->waiting_count > QUICK_LINE) {
		thread->quick_trust = 0;
		admit_waiting(thread);
	}
}

bool tw_disk_collect(struct tw_disk *disk, struct tw_job **ret_job, void **ret_client)
{
	struct item first;

	if (tw_ring_pop(&disk->at_once, &first)) {
		disk->count--;
		*ret_job = first.job;
		*ret_client = first.client;
		return true;
	}
	for (unsigned i = 0; i < disk->thread_count; i++) {
		struct thread *thread = &disk->threads[(disk->next + i) % disk->thread_count];
		struct item item;

		if (!tw_ring_pop(&thread->done, &item))
			continue;
		thread->under_way--;
		admit_waiting(thread);
		disk->next = (disk->next + i) % disk->thread_count;
		disk->count--;
		*ret_job = item.job;
		*ret_client = item.client;
		return true;
	}
	disk->next++;
	tw_disk_rouse(disk);
	return false;
}

size_t tw_disk_at_hand(struct tw_disk *disk)
{
	return tw_ring_count(&disk->at_once);
}

size_t tw_disk_count(const struct tw_disk *disk)
{
	return disk->count;
}

int tw_disk_fd(const struct tw_disk *disk)
{
	return disk->worker_fd;
}

bool tw_disk_sleep(struct tw_disk *disk)
{
	tw_disk_rouse(disk);
	if (tw_ring_count(&disk->at_once) > 0)
		return false;
	atomic_exchange(&disk->worker_asleep, true);
	for (unsigned i = 0; i < disk->thread_count; i++) {
		if (tw_ring_count(&disk->threads[i].done) > 0) {
			atomic_exchange(&disk->worker_asleep, false);
			return false;
		}
	}
	return true;
}

void tw_disk_wake(struct tw_disk *disk, bool woken)
{
	uint64_t count;

	atomic_exchange(&disk->worker_asleep, false);
	if (woken && read(disk->worker_fd, &count, sizeof count) < 0)
		return;
}
