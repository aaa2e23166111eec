/*
 * queue.c - which transfers run: for each destination those of the lowest rank, up to
 * active_per_destination at a time.
 *
 * A rank is the priority and, behind it, the order of creation. Whoever changes something kicks the
 * destination; the pass over it, in the same turn of the loop, first tells the worker what is new
 * about it, then ends and changes what runs, then starts what may start. Where a better one waits
 * for a full house, the worst that runs is paused and the better one starts at once: the worker
 * serves it first while the other takes its leave.
 *
 * A destination that cannot be reached is no concern of the queue: its transfers stay with the
 * worker, which dials until it is back. Only a run that the other side ended comes back here, to be
 * tried again after a while that doubles.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "engine/reach.h"
#include "netio/clock.h"

/* More would keep the API waiting: a thousand transfers start within some tenths of a second. */
#define STARTS_A_TURN 32
#define RETRY_FIRST (500 * TW_MSEC)
#define RETRY_MOST (60 * TW_SECOND)

/* What comes of a run that ended by itself. */
static const struct {
	bool again;        /* tried again: the cause may go away by itself */
	unsigned attempts; /* at most so often in a row; 0: for ever */
	tw_ns wait_most;
} outcomes[] = {
	[TW_TRANSFER_OK] = { false, 0, 0 },
	[TW_TRANSFER_ENTRIES] = { false, 0, 0 },
	[TW_TRANSFER_SOURCE] = { false, 0, 0 },
	/* Somebody may make room at any time, and then it should go on soon. */
	[TW_TRANSFER_STORAGE] = { true, 0, 4 * TW_SECOND },
	[TW_TRANSFER_UNSAFE] = { false, 0, 0 },
	[TW_TRANSFER_DENIED] = { false, 0, 0 },
	[TW_TRANSFER_CANCELLED] = { false, 0, 0 },
	[TW_TRANSFER_PROTOCOL] = { true, 5, RETRY_MOST },
	[TW_TRANSFER_RESOURCES] = { true, 20, RETRY_MOST },
};

uint64_t tw_queue_rank(const struct tw_transfer *transfer)
{
	return (uint64_t)(uint32_t)(transfer->priority + INT64_C(0x80000000)) << 32 |
	       transfer->sequence;
}

static struct tw_transfer *waiting_first(const struct tw_destination *destination)
{
	struct tw_timer *timer = tw_heap_top(&destination->waiting);

	return timer ? TW_OWNER(timer, struct tw_transfer, turn) : NULL;
}

void tw_queue_init(struct tw_destination *destination)
{
	destination->slice_kbps = TW_UNSET;
	tw_heap_init(&destination->waiting);
	TAILQ_INIT(&destination->running);
	TAILQ_INIT(&destination->jobs);
}

void tw_queue_deinit(struct tw_destination *destination)
{
	struct tw_transfer *transfer;

	/* Their ends will still be reported, by their numbers. */
	while ((transfer = TAILQ_FIRST(&destination->running))) {
		TAILQ_REMOVE(&destination->running, transfer, running_link);
		destination->link->running--;
		transfer->destination = NULL;
	}
	tw_heap_deinit(&destination->waiting);
}

void tw_queue_kick(struct tw_destination *destination)
{
	struct tw_engine *engine = destination->object.engine;

	if (!destination->kicked) {
		destination->kicked = true;
		TAILQ_INSERT_TAIL(&engine->kicks, destination, kick_link);
	}
	if (engine->kick && !event_pending(engine->kick, EV_TIMEOUT, NULL))
		event_add(engine->kick, &(struct timeval){ 0 });
}

static tw_ns backoff(const struct tw_transfer *transfer, tw_ns most)
{
	unsigned doublings = transfer->attempts > 8 ? 8 : transfer->attempts;
	tw_ns wait = RETRY_FIRST << (doublings ? doublings - 1 : 0);

	return wait < most ? wait : most;
}

int tw_queue_put(struct tw_transfer *transfer)
{
	if (transfer->number || !transfer->destination)
		return 0; /* when its run is over */
	tw_queue_kick(transfer->destination);
	return tw_heap_set(&transfer->destination->waiting, &transfer->turn,
			   tw_queue_rank(transfer));
}

void tw_queue_take(struct tw_transfer *transfer)
{
	if (transfer->turn.place)
		tw_heap_remove(&transfer->destination->waiting, &transfer->turn);
	if (transfer->retry.place)
		tw_heap_remove(&transfer->object.engine->retries, &transfer->retry);
}

void tw_queue_retry_due(struct tw_engine *engine, tw_ns now)
{
	struct tw_timer *timer;

	while ((timer = tw_heap_top(&engine->retries)) && timer->at <= now) {
		tw_heap_remove(&engine->retries, timer);
		tw_queue_put(TW_OWNER(timer, struct tw_transfer, retry));
	}
}

void tw_queue_end(struct tw_transfer *transfer, enum tw_worker_ending ending)
{
	if (!transfer->number || transfer->ending == ending)
		return;
	if (!transfer->ending && transfer->destination)
		transfer->destination->leaving_count++;
	transfer->ending = ending;
	transfer->ending_sent = false;
	if (transfer->destination)
		tw_queue_kick(transfer->destination);
}

/* Telling the worker. Each gives false when its ring is full: the pass goes on later. */

static bool tell_destination(struct tw_destination *destination)
{
	struct tw_worker_destination told;
	int r;

	if (!destination->added &&
	    (TAILQ_EMPTY(&destination->jobs) || tw_destination_obstacle(destination)))
		return true;
	if (destination->added && !destination->changed)
		return true;
	/* From here on it stays. */
	if (!destination->added)
		tw_destination_place(destination);
	tw_destination_describe(destination, &told);
	r = destination->added ? tw_worker_change_destination(destination->link->worker, &told)
			       : tw_worker_add_destination(destination->link->worker, &told);
	if (r)
		return false;
	destination->added = true;
	destination->changed = false;
	return true;
}

static uint64_t max_bps(const struct tw_transfer *transfer)
{
	return transfer->send_rate_max == TW_UNSET ? UINT64_MAX : transfer->send_rate_max * 1000;
}

static bool tell_running(struct tw_destination *destination)
{
	struct tw_worker *worker = destination->link->worker;
	struct tw_transfer *transfer;

	TAILQ_FOREACH(transfer, &destination->running, running_link)
	{
		if (transfer->ending && !transfer->ending_sent) {
			if (tw_worker_end_transfer(worker, transfer->number, transfer->ending))
				return false;
			transfer->ending_sent = true;
		}
		if (transfer->changed && !transfer->ending) {
			if (tw_worker_change_transfer(worker, transfer->number,
						      tw_queue_rank(transfer), max_bps(transfer)))
				return false;
			transfer->changed = false;
		}
	}
	return true;
}

static int add_to_worker(struct tw_transfer *transfer, struct tw_listing *listing)
{
	struct tw_engine *engine = transfer->object.engine;
	struct tw_worker_transfer told = {
		.id = ++engine->next_number,
		.destination = transfer->destination->number,
		.rank = tw_queue_rank(transfer),
		.max_bps = max_bps(transfer),
		.sender = {
			.destination = transfer->destination_path ? transfer->destination_path : "",
			.overwrite = (enum tw_overwrite)transfer->overwrite_mode,
			.flags = (unsigned)transfer->flags,
			.checkpoint_seconds = (unsigned)transfer->checkpoint_seconds,
			.sha256 = transfer->verify,
		},
	};
	struct tw_fs fs;
	int r;

	if (tw_text_unhex(transfer->object.id, told.sender.transfer_key, TW_TRANSFER_KEY_SIZE))
		return TW_E_FORMAT;
	/* As its owner sees it now; it goes on with that. */
	r = tw_reach_fs(engine, transfer->manifest->object.owner, transfer->manifest->fence, &fs);
	if (r)
		return r;
	r = tw_source_new_listed(&fs, listing, transfer->flags & TW_TRANSFER_READ,
				 &told.sender.source);
	tw_fs_drop(&fs);
	if (r)
		return r;
	r = tw_worker_add_transfer(transfer->destination->link->worker, &told);
	if (r) {
		tw_source_free(told.sender.source);
		return r;
	}
	r = tw_index_add_number(&engine->transfer_numbers, &transfer->by_number, told.id);
	transfer->number = told.id;
	return r;
}

/* -ENOMEM, TW_E_FULL: not now. TW_E_AGAIN: its listing comes first. */
static int start(struct tw_transfer *transfer)
{
	struct tw_destination *destination = transfer->destination;
	char reason[256] = "";
	struct tw_listing *listing = tw_manifest_listing(transfer->manifest, reason);
	int r;

	if (!listing && transfer->manifest->loading)
		return TW_E_AGAIN;
	if (!listing) {
		tw_transfer_enter(transfer, TW_STATE_ERROR, reason);
		return 0;
	}
	r = add_to_worker(transfer, listing);
	if (r)
		return r;
	tw_queue_take(transfer);
	transfer->ending = 0;
	transfer->changed = false;
	TAILQ_INSERT_TAIL(&destination->running, transfer, running_link);
	destination->running_count++;
	destination->link->running++;
	tw_transfer_enter(transfer, TW_STATE_ACTIVE, NULL);
	tw_samples_begin(transfer);
	return 0;
}

static struct tw_transfer *running_worst(const struct tw_destination *destination)
{
	struct tw_transfer *transfer, *worst = NULL;

	TAILQ_FOREACH(transfer, &destination->running, running_link)
	if (!transfer->ending && (!worst || tw_queue_rank(transfer) > tw_queue_rank(worst)))
		worst = transfer;
	return worst;
}

/* Only a higher priority makes somebody leave; the order of creation does not. */
static bool make_way(struct tw_destination *destination, const struct tw_transfer *next)
{
	struct tw_transfer *worst = running_worst(destination);

	if (!worst || worst->priority <= next->priority)
		return false;
	tw_queue_end(worst, TW_WORKER_PAUSE);
	tw_transfer_enter(worst, TW_STATE_PENDING, NULL);
	return true;
}

static bool start_what_may(struct tw_destination *destination)
{
	struct tw_engine *engine = destination->object.engine;
	struct tw_transfer *next;
	int r;

	if (!destination->added || engine->stopping)
		return true;
	while ((next = waiting_first(destination)) &&
	       destination->running_count < TW_ACTIVE_PER_DESTINATION_MAX) {
		unsigned active = destination->running_count - destination->leaving_count;

		if (active >= engine->options.active_per_destination &&
		    !make_way(destination, next))
			return true;
		if (!engine->starts_left)
			return false;
		r = start(next);
		if (r == TW_E_AGAIN)
			return true; /* its listing is being read: kicked when it is there */
		if (r)
			return false;
		engine->starts_left--;
	}
	return true;
}

static bool pass(struct tw_destination *destination)
{
	return tell_destination(destination) && start_what_may(destination) &&
	       tell_running(destination);
}

bool tw_queue_run(struct tw_engine *engine)
{
	TAILQ_HEAD(, tw_destination) blocked = TAILQ_HEAD_INITIALIZER(blocked);
	struct tw_destination *destination;

	engine->starts_left = STARTS_A_TURN;
	while ((destination = TAILQ_FIRST(&engine->kicks))) {
		TAILQ_REMOVE(&engine->kicks, destination, kick_link);
		destination->kicked = false;
		if (pass(destination))
			continue;
		if (destination->kicked)
			TAILQ_REMOVE(&engine->kicks, destination, kick_link);
		destination->kicked = true;
		TAILQ_INSERT_TAIL(&blocked, destination, kick_link);
	}
	TAILQ_CONCAT(&engine->kicks, &blocked, kick_link);
	return !TAILQ_EMPTY(&engine->kicks);
}

/* A run is over. */

static void fold(struct tw_transfer *transfer, const struct tw_worker_transfer_status *sending)
{
	struct tw_transfer_figures *sum = &transfer->earlier;
	const struct tw_sender_status *sender = &sending->sender;

	sum->pieces_sent += sender->pieces_sent;
	sum->pieces_retransmitted += sender->pieces_retransmitted;
	sum->bytes_sent += sending->bytes_sent;
	sum->content_sent += sender->bytes_sent;
	sum->bytes_retransmitted += sender->bytes_retransmitted;
	sum->bytes_read += sender->bytes_read;
	sum->bytes_recv += sending->bytes_received;
	sum->packets_sent += sending->packets_sent;
	sum->packets_recv += sending->packets_received;
	if (sending->block_bytes)
		sum->block_bytes = sending->block_bytes;
	/* A run that was never answered knows nothing of what is there. */
	if (sender->bytes_acked > sum->bytes_acked)
		sum->bytes_acked = sender->bytes_acked;
	if (sender->bytes_durable > sum->bytes_durable)
		sum->bytes_durable = sender->bytes_durable;
	if (sender->files_done + sender->files_skipped > sum->files_complete)
		sum->files_complete = sender->files_done + sender->files_skipped;
}

static void leave(struct tw_transfer *transfer)
{
	struct tw_destination *destination = transfer->destination;

	tw_index_remove(&transfer->object.engine->transfer_numbers, &transfer->by_number);
	transfer->number = 0;
	transfer->live = NULL;
	if (!destination)
		return;
	TAILQ_REMOVE(&destination->running, transfer, running_link);
	destination->running_count--;
	destination->link->running--;
	if (transfer->ending)
		destination->leaving_count--;
	transfer->ending = 0;
	tw_queue_kick(destination);
	if (tw_transfer_over(transfer))
		transfer->destination = NULL;
}

static void try_again(struct tw_transfer *transfer, enum tw_transfer_error error,
		      const char *message)
{
	struct tw_engine *engine = transfer->object.engine;

	transfer->attempts++;
	if (!outcomes[error].again ||
	    (outcomes[error].attempts && transfer->attempts > outcomes[error].attempts)) {
		tw_transfer_enter(transfer, TW_STATE_ERROR, message);
		return;
	}
	tw_transfer_enter(transfer, TW_STATE_PENDING, message);
	tw_queue_take(transfer);
	tw_heap_set(&engine->retries, &transfer->retry,
		    tw_clock_now() + backoff(transfer, outcomes[error].wait_most));
}

/* What the other side refuses is told at the connection until something has gone through. */
static void note_refusal(struct tw_destination *destination, enum tw_transfer_error error,
			 const char *message)
{
	switch (error) {
	case TW_TRANSFER_STORAGE:
		destination->refused = "destinationFull";
		break;
	case TW_TRANSFER_DENIED:
	case TW_TRANSFER_UNSAFE:
		destination->refused = "destinationDenied";
		break;
	default:
		destination->refused = NULL;
		break;
	}
	snprintf(destination->refused_message, sizeof(destination->refused_message), "%s", message);
}

static void finish(struct tw_transfer *transfer, const struct tw_sender_status *sender)
{
	static const uint8_t none[sizeof(sender->digest)];
	enum tw_transfer_error error = sender->error;
	char digest[2 * sizeof(sender->digest) + 1];
	char message[320];

	if ((size_t)error >= sizeof(outcomes) / sizeof(*outcomes))
		error = TW_TRANSFER_PROTOCOL;
	if (memcmp(&sender->digest, none, sizeof(none)) != 0) {
		tw_text_hex(&sender->digest, sizeof(sender->digest), digest);
		free(transfer->digest);
		tw_copy_text(digest, &transfer->digest);
	}
	if (transfer->destination)
		note_refusal(transfer->destination, error, sender->message);
	if (error == TW_TRANSFER_OK) {
		tw_transfer_enter(transfer, TW_STATE_COMPLETE, NULL);
		return;
	}
	if (error == TW_TRANSFER_ENTRIES && !*sender->message)
		snprintf(message, sizeof(message),
			 "Some files were left out (%llu at the other side, %llu here); see the "
			 "problems, mend them and send again.",
			 (unsigned long long)sender->files_failed,
			 (unsigned long long)transfer->problems_total);
	else
		snprintf(message, sizeof(message), "%s",
			 *sender->message ? sender->message
					  : "The transfer ended before it was whole.");
	try_again(transfer, error, message);
}

/* A run that no two snapshots have seen has a mean rate too. */
static void measure_short(const struct tw_transfer *transfer, const struct tw_sender_status *sender)
{
	struct tw_destination *destination = transfer->destination;
	bool measured = destination->slice_of == transfer->number && destination->slice_measured;

	if (!measured && sender->finished_at > sender->started_at)
		destination->slice_kbps =
			(uint64_t)((double)sender->bytes_sent * 8e6 /
				   (double)(sender->finished_at - sender->started_at));
}

void tw_queue_ended(struct tw_transfer *transfer, const struct tw_worker_transfer_status *sending)
{
	bool asked = transfer->ending != 0;
	const struct tw_sender_status *sender = &sending->sender;

	fold(transfer, sending);
	if (transfer->destination)
		measure_short(transfer, sender);
	if (sender->walk_over) {
		transfer->total_bytes = sender->total_bytes;
		transfer->total_files = sender->total_files;
	}
	leave(transfer);
	if (transfer->doomed) {
		tw_transfer_free(transfer);
		return;
	}
	tw_object_changed(&transfer->object);
	if (tw_transfer_over(transfer))
		return;
	/* What was whole before it heard that it should end is whole. */
	if (!sending->paused &&
	    (!asked || sender->error == TW_TRANSFER_OK || sender->error == TW_TRANSFER_ENTRIES))
		finish(transfer, sender);
	else if (transfer->state == TW_STATE_PENDING)
		tw_queue_put(transfer);
	/* Else: suspended, or the worker stops: it goes on after the next start. */
}
