#include "netio/worker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "netio/clock.h"
#include "netio/worker_private.h"
#include "session/message.h"

#define TICK_EVERY (20 * TW_MSEC)
#define COMMANDS 64
/* How long a finished sender waits for its last message to be acknowledged. After success CLOSE
 * says the same, so it only has to leave. */
#define LAST_WORDS_GOOD (5 * TW_MSEC)
#define LAST_WORDS_BAD TW_SECOND

/* What epoll reports beside the slots of sockets. */
enum { FROM_DISK = SOCKETS_MAX, FROM_COMMANDS, FROM_TIMER };

/* Jobs. */

static void submit_for_sender(void *context, struct tw_job *job)
{
	struct tw_worker *worker = context;

	tw_disk_submit(worker->disk, job, &worker->sender_client);
}

static void sender_done(struct tw_worker *worker, struct tw_job *job, tw_ns now)
{
	tw_sender_job_done(worker->sender, job, now);
}

static void submit_for_hub(void *context, struct tw_job *job)
{
	struct tw_worker *worker = context;

	if (job->type == TW_JOB_WRITE && job->buffer)
		tw_buffer_hold(job->buffer);
	tw_disk_submit(worker->disk, job, &worker->hub_client);
}

static void hub_done(struct tw_worker *worker, struct tw_job *job, tw_ns now)
{
	/* The job may be gone behind the call. */
	struct tw_buffer *buffer = job->type == TW_JOB_WRITE ? job->buffer : NULL;

	tw_receiver_job_done(worker->hub, job, now);
	if (buffer)
		tw_buffers_drop(&worker->buffers, buffer);
}

static void *current_buffer(void *context)
{
	struct tw_worker *worker = context;

	return worker->current;
}

static void collect_jobs(struct tw_worker *worker, tw_ns now)
{
	struct tw_job *job;
	void *client;

	while (tw_disk_collect(worker->disk, &job, &client)) {
		((struct client *)client)->done(worker, job, now);
	}
}

/* Making and ending. */

static enum tw_verdict admit(void *context, const struct tw_public_key *peer,
			     const struct tw_path *path, struct tw_conn_config *ret_config,
			     const struct tw_conn_app **ret_app, void **ret_context)
{
	struct tw_worker *worker = context;

	(void)path;
	*ret_config =
		(struct tw_conn_config){ .method = TW_RATE_BBR, .limits.max_bps = UINT64_MAX };
	return tw_receiver_admit(worker->hub, peer, ret_app, ret_context) ? TW_ACCEPT_BUSY
									  : TW_ACCEPT_YES;
}

static int add_to_epoll(struct tw_worker *worker, int fd, uint32_t from)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = from };

	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int open_descriptors(struct tw_worker *worker)
{
	int r;

	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->command_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (worker->epoll_fd < 0 || worker->control_fd < 0 || worker->command_fd < 0 ||
	    worker->timer_fd < 0)
		return -errno;
	r = add_to_epoll(worker, worker->command_fd, FROM_COMMANDS);
	if (!r)
		r = add_to_epoll(worker, worker->timer_fd, FROM_TIMER);
	if (!r)
		r = add_to_epoll(worker, tw_disk_fd(worker->disk), FROM_DISK);
	return r;
}

static int make_endpoint(struct tw_worker *worker, const struct tw_worker_options *options,
			 tw_ns now)
{
	struct tw_endpoint_config config = {
		.identity = options->identity,
		.cipher_min = options->receiving ? options->receiving->cipher_min : TW_CIPHER_NONE,
		.random = tw_system_random(),
		.accept = options->receiving != NULL,
		.admit = admit,
		.context = worker,
	};

	memcpy(config.server_id, options->server_id, TW_ID_SIZE);
	memcpy(config.server_uid, options->server_uid, TW_ID_SIZE);
	return tw_endpoint_new(&config, now, &worker->endpoint);
}

static int make_hub(struct tw_worker *worker, const struct tw_worker_options *options, tw_ns now)
{
	struct tw_receiver_options hub = {
		.fs = options->receiving->fs,
		.port = { submit_for_hub, worker },
		.current_buffer = current_buffer,
		.buffer_context = worker,
		.events = tw_worker_receiver_events(),
		.events_context = worker,
	};

	memcpy(hub.server_id, options->server_id, TW_ID_SIZE);
	memcpy(hub.server_uid, options->server_uid, TW_ID_SIZE);
	return tw_receiver_hub_new(&hub, now, &worker->hub);
}

static int make_sender(struct tw_worker *worker, const struct tw_worker_options *options, tw_ns now)
{
	struct tw_job_port port = { submit_for_sender, worker };
	int r = tw_sender_new(&options->sending->sender, &port, now, &worker->sender);

	if (!r)
		r = tw_outgoing_new(now, &worker->outgoing);
	if (!r)
		r = tw_outgoing_add(worker->outgoing, worker->sender, 0, UINT64_MAX);
	if (r)
		return r;
	return tw_dialer_new(worker->endpoint, worker->outgoing, &options->sending->dialer, now,
			     &worker->dialer);
}

int tw_worker_new(const struct tw_worker_options *options, struct tw_worker **ret,
		  struct tw_address *ret_failed)
{
	unsigned threads = options->disk_threads ? options->disk_threads
			   : options->receiving  ? 2
						 : 1;
	struct tw_worker *worker = aligned_alloc(64, (sizeof *worker + 63) & ~(size_t)63);
	tw_ns now = tw_clock_now();
	int r;

	if (!worker)
		return -ENOMEM;
	memset(worker, 0, sizeof *worker);
	worker->epoll_fd = worker->control_fd = worker->command_fd = worker->timer_fd = -1;
	worker->publish_every = options->publish_every ? options->publish_every : TW_SECOND;
	worker->sender_client.done = sender_done;
	worker->hub_client.done = hub_done;
	worker->reading = 1;
	worker->flush_at = TW_NEVER;
	atomic_store(&worker->offered, 2);
	if (options->receiving)
		worker->file_events = options->receiving->file_events;
	r = tw_ring_init(&worker->commands, sizeof(struct command), COMMANDS);
	if (!r)
		r = tw_ring_init(&worker->events, sizeof(struct tw_worker_event), TW_WORKER_EVENTS);
	if (!r)
		r = tw_disk_new(threads, tw_job_run, &worker->disk);
	if (!r)
		r = open_descriptors(worker);
	if (!r)
		r = tw_worker_io_open(worker, options->receiving, ret_failed);
	if (!r)
		r = make_endpoint(worker, options, now);
	if (!r && options->receiving)
		r = make_hub(worker, options, now);
	if (!r && options->sending)
		r = make_sender(worker, options, now);
	if (r) {
		if (options->sending && !worker->sender)
			tw_source_free(options->sending->sender.source);
		tw_worker_free(worker);
		return r;
	}
	*ret = worker;
	return 0;
}

/* Everything that is still with the disk comes back first: its memory belongs to the sessions. */
static void drain_disk(struct tw_worker *worker)
{
	while (worker->disk && tw_disk_count(worker->disk) > 0) {
		struct pollfd fd = { .fd = tw_disk_fd(worker->disk), .events = POLLIN };
		bool woken = tw_disk_sleep(worker->disk) && poll(&fd, 1, -1) > 0;

		tw_disk_wake(worker->disk, woken);
		collect_jobs(worker, tw_clock_now());
	}
}

static void close_descriptor(int fd)
{
	if (fd >= 0)
		close(fd);
}

void tw_worker_free(struct tw_worker *worker)
{
	if (worker->started) {
		atomic_store(&worker->quit, true);
		tw_worker_stop(worker);
		pthread_join(worker->thread, NULL);
	}
	if (worker->dialer)
		tw_dialer_free(worker->dialer);
	if (worker->outgoing && tw_outgoing_count(worker->outgoing))
		tw_outgoing_remove(worker->outgoing, worker->sender);
	tw_outgoing_free(worker->outgoing);
	if (worker->endpoint)
		tw_endpoint_free(worker->endpoint);
	if (worker->hub)
		tw_receiver_hub_stop(worker->hub);
	drain_disk(worker);
	if (worker->hub)
		tw_receiver_hub_free(worker->hub);
	if (worker->sender)
		tw_sender_free(worker->sender);
	drain_disk(worker);
	tw_disk_free(worker->disk);
	tw_worker_io_close(worker);
	if (worker->commands.items)
		tw_ring_deinit(&worker->commands);
	if (worker->events.items)
		tw_ring_deinit(&worker->events);
	for (unsigned i = 0; i < 3; i++) {
		free(worker->snapshots[i].transfers);
		free(worker->snapshots[i].conns);
	}
	close_descriptor(worker->epoll_fd);
	close_descriptor(worker->control_fd);
	close_descriptor(worker->command_fd);
	close_descriptor(worker->timer_fd);
	free(worker);
}

/* Commands. */

static int command(struct tw_worker *worker, const struct command *command)
{
	uint64_t one = 1;

	if (!tw_ring_push(&worker->commands, command))
		return TW_E_FULL;
	if (atomic_exchange(&worker->command_asleep, false) &&
	    write(worker->command_fd, &one, sizeof one) < 0)
		return -errno;
	return 0;
}

int tw_worker_set_rate(struct tw_worker *worker, enum tw_rate_method method,
		       const struct tw_rate_limits *limits)
{
	return command(worker, &(struct command){ COMMAND_RATE, method, *limits });
}

int tw_worker_cancel(struct tw_worker *worker)
{
	return command(worker, &(struct command){ .type = COMMAND_CANCEL });
}

int tw_worker_stop(struct tw_worker *worker)
{
	return command(worker, &(struct command){ .type = COMMAND_STOP });
}

const struct tw_udp *tw_worker_socket(const struct tw_worker *worker, unsigned index)
{
	return index < worker->listening ? &worker->slots[index].udp : NULL;
}

/* Says good-bye and waits for the disk: nothing new begins. */
static void begin_stop(struct tw_worker *worker, enum tw_session_close code, tw_ns now)
{
	if (worker->stopping)
		return;
	worker->stopping = true;
	worker->stop_limit = tw_ns_add(now, TW_WORKER_STOP_LIMIT);
	for (size_t i = tw_endpoint_count(worker->endpoint); i-- > 0;)
		tw_conn_close(tw_endpoint_conn(worker->endpoint, i), code, "");
	if (worker->hub)
		tw_receiver_hub_stop(worker->hub);
}

static void take_commands(struct tw_worker *worker, tw_ns now)
{
	struct command next;

	while (tw_ring_pop(&worker->commands, &next)) {
		switch (next.type) {
		case COMMAND_RATE:
			if (worker->dialer)
				tw_dialer_set_rate(worker->dialer, next.method, &next.limits, now);
			break;
		case COMMAND_CANCEL:
			if (worker->sender)
				tw_sender_cancel(worker->sender);
			break;
		case COMMAND_STOP:
			begin_stop(worker, TW_SESSION_CLOSE_STOPPING, now);
			break;
		}
		worker->publish_at = now;
	}
}

/* The loop. */

/* Sleeps until something happens or @deadline; with @busy looks only. Returns the number of events.
 */
static int wait_for_events(struct tw_worker *worker, struct epoll_event *events, int room,
			   tw_ns deadline)
{
	tw_ns now = tw_clock_now(), span = tw_ns_since(deadline, now);
	struct timespec timeout = { .tv_sec = (time_t)(span / TW_SECOND),
				    .tv_nsec = (long)(span % TW_SECOND) };
	struct itimerspec alarm = { .it_value = timeout };
	int count;

	if (!worker->no_pwait2) {
		count = epoll_pwait2(worker->epoll_fd, events, room, &timeout, NULL);
		if (count >= 0 || errno == EINTR)
			return count < 0 ? 0 : count;
		worker->no_pwait2 = true; /* kernels before 5.11 */
	}
	if (span > 0)
		timerfd_settime(worker->timer_fd, 0, &alarm, NULL);
	count = epoll_wait(worker->epoll_fd, events, room, span > 0 ? -1 : 0);
	return count < 0 ? 0 : count;
}

static void empty(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof count) < 0)
		return;
}

static void dispatch(struct tw_worker *worker, const struct epoll_event *event,
		     bool *ret_disk_woken)
{
	uint32_t from = event->data.u32;

	if (from == FROM_DISK) {
		*ret_disk_woken = true;
	} else if (from == FROM_COMMANDS) {
		empty(worker->command_fd);
	} else if (from == FROM_TIMER) {
		empty(worker->timer_fd);
	} else {
		if (event->events & EPOLLOUT)
			tw_worker_io_writable(worker, &worker->slots[from]);
		if (event->events & (EPOLLIN | EPOLLERR))
			tw_worker_io_receive(worker, &worker->slots[from]);
	}
}

/* One sleep, and what came of it. Both rings are looked at after the flags are set, so that no
 * wake-up is missed. */
static void sleep_and_receive(struct tw_worker *worker, tw_ns deadline)
{
	struct epoll_event events[SOCKETS_MAX + 3];
	bool woken = false;
	int count;

	atomic_exchange(&worker->command_asleep, true);
	if (!tw_disk_sleep(worker->disk) || tw_ring_count(&worker->commands) > 0)
		deadline = 0;
	count = wait_for_events(worker, events, (int)(sizeof events / sizeof *events), deadline);
	atomic_exchange(&worker->command_asleep, false);
	for (int i = 0; i < count; i++)
		dispatch(worker, &events[i], &woken);
	tw_disk_wake(worker->disk, woken);
}

static void tick(struct tw_worker *worker, tw_ns now)
{
	if (now < worker->tick_at)
		return;
	worker->tick_at = now + TICK_EVERY;
	if (worker->outgoing)
		tw_outgoing_tick(worker->outgoing, now);
	if (worker->hub)
		tw_receiver_tick(worker->hub, now);
	tw_worker_take_problems(worker);
	tw_worker_publish_due(worker, now);
}

/* The last words of the sender have arrived, or have had their time. */
static bool last_words_said(const struct tw_worker *worker, const struct tw_sender_status *status,
			    tw_ns now)
{
	bool good = status->error == TW_TRANSFER_OK || status->error == TW_TRANSFER_ENTRIES;

	return tw_sender_farewell_said(worker->sender) ||
	       now >= worker->finished_at + (good ? LAST_WORDS_GOOD : LAST_WORDS_BAD);
}

/* Sending is over when the sender or the dialer says so. */
static void check_sending(struct tw_worker *worker, tw_ns now)
{
	const char *message = "";
	struct tw_sender_status status;

	if (!worker->sender || worker->stopping)
		return;
	tw_sender_status(worker->sender, &status);
	if (status.finished) {
		if (!worker->finished_at)
			worker->finished_at = now;
		if (last_words_said(worker, &status, now))
			begin_stop(worker, TW_SESSION_CLOSE_DONE, now);
	} else if (tw_dialer_failed(worker->dialer, &worker->failure, &message)) {
		worker->failed = true;
		snprintf(worker->failure_message, sizeof worker->failure_message, "%s",
			 message ? message : "");
		begin_stop(worker, TW_SESSION_CLOSE_DONE, now);
	}
}

static bool may_end(struct tw_worker *worker, tw_ns now)
{
	if (!worker->stopping)
		return false;
	if (atomic_load(&worker->quit) || now >= worker->stop_limit)
		return true;
	return !worker->train_slot && tw_disk_count(worker->disk) == 0 &&
	       (!worker->hub || tw_receiver_hub_idle(worker->hub)) &&
	       (!worker->sender || tw_sender_idle(worker->sender));
}

static tw_ns next_deadline(const struct tw_worker *worker)
{
	tw_ns deadline =
		tw_ns_min(worker->flush_at, tw_ns_min(worker->tick_at, worker->publish_at));

	/* Nothing can leave before the socket has room, which epoll tells. */
	if (!worker->train_slot)
		deadline = tw_ns_min(deadline, tw_endpoint_deadline(worker->endpoint));
	if (worker->dialer && !worker->stopping)
		deadline = tw_ns_min(deadline, tw_dialer_deadline(worker->dialer));
	if (worker->finished_at && !worker->stopping)
		deadline = tw_ns_min(deadline, worker->finished_at + LAST_WORDS_GOOD);
	return deadline;
}

static void *worker_main(void *context)
{
	struct tw_worker *worker = context;
	bool more = false;

	/* The pacer's pauses are tens of microseconds; the default slack of a timer is fifty. */
	prctl(PR_SET_TIMERSLACK, 1);
	while (!worker->done) {
		tw_ns now;

		sleep_and_receive(worker, more ? 0 : next_deadline(worker));
		now = tw_clock_now();
		collect_jobs(worker, now);
		take_commands(worker, now);
		if (now >= worker->flush_at)
			tw_worker_io_flush(worker, now);
		tw_endpoint_timeout(worker->endpoint, now);
		if (worker->dialer && !worker->stopping)
			tw_dialer_tick(worker->dialer, now);
		check_sending(worker, now);
		tick(worker, now);
		more = tw_worker_io_send(worker, now);
		tw_worker_note_conn(worker);
		worker->done = !more && may_end(worker, now);
	}
	tw_worker_take_problems(worker);
	tw_worker_publish(worker, tw_clock_now());
	return NULL;
}

int tw_worker_start(struct tw_worker *worker)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&worker->thread, NULL, worker_main, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r)
		return -r;
	pthread_setname_np(worker->thread, "worker");
	worker->started = true;
	return 0;
}
