#include "netio/worker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
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

#define COMMANDS 256
#define EVENTS_AT_A_TIME 64
#define REST_MIN (50 * TW_USEC) /* a shorter one costs more than it saves */

/* What epoll reports beside the places of sockets. */
#define FROM_MAIL (UINT32_MAX - 4)
#define FROM_POST (UINT32_MAX - 3)
#define FROM_DISK (UINT32_MAX - 2)
#define FROM_COMMANDS (UINT32_MAX - 1)
#define FROM_TIMER UINT32_MAX

/* Jobs. */

static void submit_for_hub(void *context, struct tw_job *job)
{
	struct tw_worker *worker = context;

	if (job->type == TW_JOB_WRITE && job->buffer)
		tw_buffer_hold(job->buffer);
	tw_disk_submit(worker->disk, job, &worker->hub_client);
}

static void hub_done(struct client *client, struct tw_worker *worker, struct tw_job *job, tw_ns now)
{
	/* The job may be gone behind the call. */
	struct tw_buffer *buffer = job->type == TW_JOB_WRITE ? job->buffer : NULL;

	(void)client;
	tw_receiver_job_done(worker->hub, job, now);
	if (buffer)
		tw_buffers_drop(&worker->buffers, buffer);
}

static void *current_buffer(void *context)
{
	struct tw_worker *worker = context;

	return worker->current;
}

/*
 * Whether quick jobs are the worker's own: where there are processors for its disk threads beside
 * it, both together carry more; where there are not, handing over only costs
 * (docs/decisions/0030-quick-jobs.md).
 */
static bool keeps_quick_jobs(const struct tw_worker_options *options)
{
	int workers = options->crew ? (int)tw_crew_count(options->crew) : 1, count;
	cpu_set_t processors;

	if (sched_getaffinity(0, sizeof processors, &processors))
		return false;
	count = CPU_COUNT(&processors);
	return count <= 2 || count < 2 * workers;
}

static void collect_jobs(struct tw_worker *worker, tw_ns now)
{
	struct tw_job *job;
	void *context;

	while (tw_disk_collect(worker->disk, &job, &context)) {
		struct client *client = context;

		client->done(client, worker, job, now);
	}
}

/* Making and ending. */

static enum tw_verdict admit(void *context, const struct tw_public_key *peer,
			     const struct tw_path *path, struct tw_conn_config *ret_config,
			     const struct tw_conn_app **ret_app, void **ret_context)
{
	struct tw_worker *worker = context;

	(void)path;
	if (worker->stopping)
		return TW_ACCEPT_BUSY;
	if (!tw_worker_admits(worker, peer))
		return TW_ACCEPT_NOT_AUTHORIZED;
	if (ret_config->lane)
		return worker->crew ? tw_worker_lanes_admit(worker, peer, ret_config, ret_app,
							    ret_context)
				    : TW_ACCEPT_BUSY;
	if (worker->crew && tw_worker_crew_elsewhere(worker, peer))
		return TW_ACCEPT_ELSEWHERE;
	tw_worker_limits_arrival(worker, tw_clock_now());
	*ret_config =
		(struct tw_conn_config){ .method = TW_RATE_DEFAULT, .limits.max_bps = UINT64_MAX };
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
	if (!r && worker->crew)
		r = add_to_epoll(worker, tw_crew_fd(worker->crew, worker->place), FROM_POST);
	if (!r && worker->crew)
		r = add_to_epoll(worker, tw_crew_mailbox(worker->crew, worker->place)->fd,
				 FROM_MAIL);
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
		.discovered = tw_worker_discovered,
		.context = worker,
		.place = worker->place,
		.places = worker->places,
	};

	if (worker->crew)
		config.salt = *tw_crew_salt(worker->crew);
	memcpy(config.server_id, options->server_id, TW_ID_SIZE);
	memcpy(config.server_uid, options->server_uid, TW_ID_SIZE);
	return tw_endpoint_new(&config, now, &worker->endpoint);
}

/* One for each of the others. */
static unsigned lanes_offered(const struct tw_worker *worker)
{
	if (!worker->crew)
		return 0;
	return worker->places - 1 < TW_LANES_MAX ? worker->places - 1 : TW_LANES_MAX;
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
		.id_first = worker->place + 1,
		.id_step = worker->places,
		.held = worker->crew ? tw_worker_crew_held : NULL,
		.held_context = worker,
		.lanes = lanes_offered(worker),
		.random = &worker->random,
	};

	memcpy(hub.server_id, options->server_id, TW_ID_SIZE);
	memcpy(hub.server_uid, options->server_uid, TW_ID_SIZE);
	worker->file_events = options->receiving->file_events;
	return tw_receiver_hub_new(&hub, now, &worker->hub);
}

static struct tw_worker *make(const struct tw_worker_options *options, tw_ns now)
{
	struct tw_worker *worker = aligned_alloc(64, (sizeof *worker + 63) & ~(size_t)63);

	if (!worker)
		return NULL;
	memset(worker, 0, sizeof *worker);
	worker->epoll_fd = worker->control_fd = worker->command_fd = worker->timer_fd = -1;
	worker->helper = options->helper;
	worker->random = tw_system_random();
	if (options->crew && tw_crew_count(options->crew) > 1) {
		worker->crew = options->crew;
		worker->place = options->place;
		worker->places = tw_crew_count(options->crew);
	}
	worker->publish_every = options->publish_every ? options->publish_every : TW_SECOND;
	worker->hub_client.done = hub_done;
	worker->reading = 1;
	worker->flush_at = worker->limits_at = TW_NEVER;
	worker->outgoing_bps = worker->incoming_bps = UINT64_MAX;
	worker->budget.blocks_max = WORKER_BLOCKS;
	worker->ended_end = &worker->ended;
	worker->late_end = &worker->late;
	worker->limits_dealt_at = now;
	atomic_store(&worker->offered, 2);
	tw_heap_init(&worker->timers);
	tw_table_init(&worker->by_destination, 0);
	tw_table_init(&worker->by_transfer, 0);
	tw_table_init(&worker->by_incoming, 0);
	tw_meter_init(&worker->received, TW_SECOND, now);
	return worker;
}

int tw_worker_new(const struct tw_worker_options *options, struct tw_worker **ret,
		  struct tw_address *ret_failed)
{
	tw_ns now = tw_clock_now();
	struct tw_worker *worker = make(options, now);
	int r;

	if (!worker)
		return -ENOMEM;
	r = tw_ring_init(&worker->commands, sizeof(struct command), COMMANDS);
	if (!r)
		r = tw_ring_init(&worker->events, sizeof(struct tw_worker_event), TW_WORKER_EVENTS);
	if (!r)
		r = tw_disk_new(options->disk_threads ? options->disk_threads : 2, tw_job_run,
				keeps_quick_jobs(options) ? tw_job_is_quick : NULL, &worker->disk);
	if (!r)
		r = open_descriptors(worker);
	if (!r)
		r = tw_buffers_init(&worker->buffers, TW_BUFFERS_DEFAULT);
	if (!r) {
		worker->train.bytes = aligned_alloc(64, TRAIN_ROOM);
		r = worker->train.bytes ? 0 : -ENOMEM;
	}
	if (!r)
		r = make_endpoint(worker, options, now);
	if (!r)
		r = tw_worker_sockets_open(worker, options->receiving, ret_failed);
	if (!r && options->receiving)
		r = make_hub(worker, options, now);
	if (r) {
		tw_worker_free(worker);
		return r;
	}
	if (options->receiving)
		tw_worker_admission_set(worker, &options->receiving->admission);
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

static void pause_all(struct tw_worker *worker, tw_ns now)
{
	struct transfer *next;

	for (size_t i = 0; i < worker->destination_count; i++) {
		for (struct transfer *at = worker->destinations[i]->transfers; at; at = next) {
			next = at->next;
			worker->interrupted |=
				at->state == TRANSFER_RUNNING || at->state == TRANSFER_WAITING;
			tw_worker_transfer_end(at, TW_WORKER_PAUSE, now);
		}
	}
}

static void free_sessions(struct tw_worker *worker)
{
	/* Nothing new is begun by what comes back from the disk. */
	pause_all(worker, tw_clock_now());
	for (size_t i = 0; i < worker->destination_count; i++) {
		tw_dialer_free(worker->destinations[i]->dialer);
		worker->destinations[i]->dialer = NULL;
	}
	tw_endpoint_free(worker->endpoint);
	worker->endpoint = NULL;
	if (worker->hub)
		tw_receiver_hub_stop(worker->hub);
	drain_disk(worker);
	if (worker->hub)
		tw_receiver_hub_free(worker->hub);
	tw_worker_lanes_free(worker);
	while (worker->destination_count) {
		struct destination *last = worker->destinations[worker->destination_count - 1];

		tw_worker_transfers_free(worker, last);
		tw_worker_destination_free(worker, last);
	}
	while (worker->ended) {
		struct transfer *transfer = worker->ended;

		worker->ended = transfer->next;
		tw_worker_transfer_free(transfer);
	}
	drain_disk(worker);
}

static void close_descriptor(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void free_snapshot(struct tw_worker_snapshot *snapshot)
{
	free(snapshot->destinations);
	free(snapshot->sending);
	free(snapshot->transfers);
	free(snapshot->conns);
}

void tw_worker_free(struct tw_worker *worker)
{
	if (worker->started) {
		atomic_store(&worker->quit, true);
		tw_worker_stop(worker);
		pthread_join(worker->thread, NULL);
	}
	if (worker->commands.items)
		tw_worker_commands_drop(worker);
	free_sessions(worker);
	tw_disk_free(worker->disk);
	tw_worker_sockets_close(worker);
	free(worker->train.bytes);
	tw_buffers_deinit(&worker->buffers);
	tw_worker_limits_free(worker);
	tw_worker_events_free(worker);
	if (worker->commands.items)
		tw_ring_deinit(&worker->commands);
	if (worker->events.items)
		tw_ring_deinit(&worker->events);
	for (unsigned i = 0; i < 3; i++)
		free_snapshot(&worker->snapshots[i]);
	free(worker->destinations);
	tw_heap_deinit(&worker->timers);
	tw_table_deinit(&worker->by_destination);
	tw_table_deinit(&worker->by_transfer);
	close_descriptor(worker->epoll_fd);
	close_descriptor(worker->control_fd);
	close_descriptor(worker->command_fd);
	close_descriptor(worker->timer_fd);
	free(worker);
}

const struct tw_udp *tw_worker_socket(const struct tw_worker *worker, unsigned index)
{
	return index < worker->listening ? &worker->slots[index]->udp : NULL;
}

/* Stopping in order: those who send to us are closed and what they sent is made durable, what we
 * send is paused; when that has been said, our own connections are closed too. */

static void close_conns(struct tw_worker *worker, bool incoming, enum tw_session_close code)
{
	for (size_t i = tw_endpoint_count(worker->endpoint); i-- > 0;) {
		struct tw_conn *conn = tw_endpoint_conn(worker->endpoint, i);

		if (tw_worker_came_in(conn) == incoming)
			tw_conn_close(conn, code, "");
	}
}

void tw_worker_begin_stop(struct tw_worker *worker, tw_ns now)
{
	if (worker->stopping)
		return;
	worker->stopping = true;
	worker->stop_limit = tw_ns_add(now, TW_WORKER_STOP_LIMIT);
	close_conns(worker, true, TW_SESSION_CLOSE_STOPPING);
	if (worker->hub)
		tw_receiver_hub_stop(worker->hub);
	pause_all(worker, now);
	tw_worker_lanes_close(worker, now);
	for (size_t i = 0; i < worker->destination_count; i++)
		tw_worker_hurry(worker, worker->destinations[i], now);
}

static void go_on_stopping(struct tw_worker *worker)
{
	if (worker->closed || worker->transfers_live > 0)
		return;
	worker->closed = true;
	close_conns(worker, false,
		    worker->interrupted ? TW_SESSION_CLOSE_STOPPING : TW_SESSION_CLOSE_DONE);
}

static bool may_end(struct tw_worker *worker, tw_ns now)
{
	if (!worker->stopping)
		return false;
	if (atomic_load(&worker->quit) || now >= worker->stop_limit)
		return !worker->crew || tw_worker_lanes_over(worker);
	return worker->closed && !worker->parcels && tw_disk_count(worker->disk) == 0 &&
	       (!worker->hub || tw_receiver_hub_idle(worker->hub)) && !worker->transfers_there &&
	       !worker->late && (!worker->crew || tw_worker_lanes_over(worker));
}

/* The loop. */

/* Sleeps until something happens or @deadline. Returns the number of events. */
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
	} else if (from == FROM_POST) {
		tw_worker_crew_post(worker, tw_clock_now());
	} else if (from == FROM_MAIL) {
		tw_worker_lanes_mail(worker, tw_clock_now());
	} else if (from == FROM_COMMANDS) {
		empty(worker->command_fd);
	} else if (from == FROM_TIMER) {
		empty(worker->timer_fd);
	} else if (from < worker->slot_room && worker->slots[from]) {
		if (event->events & EPOLLOUT)
			tw_worker_io_writable(worker, worker->slots[from]);
		if (event->events & (EPOLLIN | EPOLLERR)) {
			tw_worker_io_receive(worker, worker->slots[from]);
			/* Buffers that are free again are the next to be received into, while they
			 * are in the processor's cache. */
			if (tw_disk_at_hand(worker->disk))
				collect_jobs(worker, tw_clock_now());
		}
	}
}

/* One sleep, and what came of it. Both rings are looked at after the flags are set, so that no
 * wake-up is missed. */
static void sleep_and_receive(struct tw_worker *worker, tw_ns deadline)
{
	struct epoll_event events[EVENTS_AT_A_TIME];
	bool woken = false;
	int count;

	atomic_exchange(&worker->command_asleep, true);
	if (!tw_disk_sleep(worker->disk) || tw_ring_count(&worker->commands) > 0)
		deadline = 0;
	count = wait_for_events(worker, events, EVENTS_AT_A_TIME, deadline);
	atomic_exchange(&worker->command_asleep, false);
	for (int i = 0; i < count; i++)
		dispatch(worker, &events[i], &woken);
	tw_disk_wake(worker->disk, woken);
}

static tw_ns next_deadline(const struct tw_worker *worker)
{
	const struct tw_timer *timer = tw_heap_top(&worker->timers);
	tw_ns deadline = tw_ns_min(worker->flush_at, worker->tick_at);

	deadline = tw_ns_min(deadline, worker->limits_at);
	deadline = tw_ns_min(deadline, tw_worker_publish_at(worker));
	deadline = tw_ns_min(deadline, tw_endpoint_deadline(worker->endpoint));
	return timer ? tw_ns_min(deadline, timer->at) : deadline;
}

/*
 * Where datagrams keep coming one by one and nobody is in a hurry, they may gather for a moment.
 * The disk threads find us awake and need not rouse us.
 */
static void rest(struct tw_worker *worker)
{
	tw_ns now = tw_clock_now(), span = tw_endpoint_patience(worker->endpoint, now);

	worker->content_came = false;
	span = tw_ns_min(span, tw_ns_since(next_deadline(worker), now));
	if (span < REST_MIN)
		return;
	tw_disk_rouse(worker->disk);
	nanosleep(&(struct timespec){ .tv_nsec = (long)span }, NULL);
}

static void tick_hub(struct tw_worker *worker, tw_ns now)
{
	uint64_t received = 0;

	tw_receiver_tick(worker->hub, now);
	for (unsigned i = 0; i < worker->listening; i++)
		received += worker->slots[i]->udp.counters.bytes_received;
	for (unsigned i = 0; i < worker->listening; i++)
		tw_valve_turn(&worker->slots[i]->valve, now);
	tw_meter_note(&worker->received, received, now);
}

static void tick(struct tw_worker *worker, tw_ns now)
{
	uint64_t signature = tw_endpoint_count(worker->endpoint) << 32;

	if (now < worker->tick_at)
		return;
	worker->tick_at = now + TICK_EVERY;
	if (worker->hub) {
		tick_hub(worker, now);
		signature += tw_receiver_count(worker->hub);
	}
	if (worker->crew) {
		tw_worker_lanes_tick(worker, now);
		tw_worker_lanes_load(worker, now);
	}
	if (tw_worker_events_flush(worker))
		tw_worker_transfers_tell(worker);
	if (signature != worker->signature)
		worker->publish_soon = true;
	worker->signature = signature;
}

static void *worker_main(void *context)
{
	struct tw_worker *worker = context;
	bool more = false;

	/* Its own name takes no file of /proc, which a confined process may not open. */
	pthread_setname_np(pthread_self(), "worker");
	/* The pacer's pauses are tens of microseconds; the default slack of a timer is fifty. */
	prctl(PR_SET_TIMERSLACK, 1);
	if (worker->crew)
		tw_mailbox_open(tw_crew_mailbox(worker->crew, worker->place));
	while (!worker->done) {
		tw_ns now;

		if (!more && worker->content_came)
			rest(worker);
		sleep_and_receive(worker, more ? 0 : next_deadline(worker));
		now = tw_clock_now();
		collect_jobs(worker, now);
		tw_worker_commands_take(worker, now);
		if (now >= worker->flush_at)
			tw_worker_io_flush(worker, now);
		tw_endpoint_timeout(worker->endpoint, now);
		tw_worker_destinations_run(worker, now);
		tick(worker, now);
		tw_worker_limits_run(worker, now);
		if (worker->stopping)
			go_on_stopping(worker);
		more = tw_worker_io_send(worker, now);
		tw_worker_destinations_settle(worker, now);
		worker->done = !more && may_end(worker, now);
		if (!worker->done)
			tw_worker_publish_due(worker, now);
	}
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
	worker->started = true;
	return 0;
}
