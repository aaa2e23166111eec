/*
 * worker_transfers.c - a sending transfer from its addition to its end.
 *
 *   WAITING -> RUNNING -> LEAVING -> EMPTYING -> ENDED
 *
 * It waits while its destination has as many as a connection carries; of those that wait the lowest
 * rank goes first. Once finished it says its last words, for a bounded time; then it leaves the
 * connection, waits for its jobs with the disk, and stays until the control thread has been told.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netio/worker_private.h"
#include "session/message.h"

static void submit(void *context, struct tw_job *job)
{
	struct transfer *transfer = context;

	tw_disk_submit(transfer->worker->disk, job, &transfer->client);
}

static void link_into(struct transfer *transfer, struct transfer **link)
{
	transfer->next = *link;
	transfer->link = link;
	if (transfer->next)
		transfer->next->link = &transfer->next;
	*link = transfer;
}

static void unlink_from(struct transfer *transfer)
{
	*transfer->link = transfer->next;
	if (transfer->next)
		transfer->next->link = transfer->link;
	transfer->next = NULL;
	transfer->link = NULL;
}

void tw_worker_transfers_tell(struct tw_worker *worker)
{
	while (worker->ended) {
		struct transfer *transfer = worker->ended;

		if (!tw_worker_tell_ended(worker, transfer))
			return;
		worker->ended = transfer->next;
		if (!worker->ended)
			worker->ended_end = &worker->ended;
		worker->transfers_there--;
		tw_worker_transfer_free(transfer);
	}
}

/* It is over, nothing of it is anywhere else any more. */
static void conclude(struct transfer *transfer)
{
	struct tw_worker *worker = transfer->worker;
	struct destination *destination = transfer->destination;

	assert(!transfer->sender);
	if (destination) {
		unlink_from(transfer);
		destination->transfer_count--;
		tw_worker_hurry(worker, destination, transfer->status.sender.finished_at);
	}
	transfer->destination = NULL;
	transfer->state = TRANSFER_ENDED;
	transfer->status.running = false;
	if (tw_table_get(&worker->by_transfer, transfer->id) == transfer)
		tw_table_remove(&worker->by_transfer, transfer->id);
	transfer->next = NULL;
	*worker->ended_end = transfer;
	worker->ended_end = &transfer->next;
	worker->publish_soon = true;
	tw_worker_transfers_tell(worker);
}

/* Over before it began. */
static void conclude_early(struct transfer *transfer, enum tw_transfer_error error, bool paused,
			   const char *message, tw_ns now)
{
	struct tw_sender_status *status = &transfer->status.sender;

	assert(transfer->state == TRANSFER_WAITING);
	tw_source_free(transfer->options.source);
	transfer->options.source = NULL;
	status->finished = true;
	status->paused = transfer->status.paused = paused;
	status->error = error;
	status->finished_at = now;
	snprintf(status->message, sizeof status->message, "%s", message);
	transfer->worker->transfers_live--;
	conclude(transfer);
}

/* Moves on once its jobs are back and its problems are told. */
static void empty(struct transfer *transfer)
{
	assert(transfer->state == TRANSFER_EMPTYING);
	if (!tw_sender_idle(transfer->sender) ||
	    !tw_worker_tell_problems(transfer->worker, transfer))
		return;
	tw_worker_transfer_status(transfer, &transfer->status);
	tw_sender_free(transfer->sender);
	transfer->sender = NULL;
	conclude(transfer);
}

static void job_done(struct client *client, struct tw_worker *worker, struct tw_job *job, tw_ns now)
{
	struct transfer *transfer = (struct transfer *)client;

	tw_sender_job_done(transfer->sender, job, now);
	if (transfer->state == TRANSFER_EMPTYING)
		empty(transfer);
	else
		tw_worker_touch(worker, transfer->destination);
}

struct transfer *tw_worker_transfer_new(const struct tw_worker_transfer *options)
{
	struct transfer *transfer = calloc(1, sizeof *transfer);

	if (!transfer)
		return NULL;
	transfer->path = strdup(options->sender.destination);
	if (!transfer->path) {
		free(transfer);
		return NULL;
	}
	transfer->client.done = job_done;
	transfer->id = options->id;
	transfer->rank = options->rank;
	transfer->max_bps = options->max_bps;
	transfer->options = options->sender;
	transfer->options.destination = transfer->path;
	transfer->status.id = options->id;
	transfer->status.destination = options->destination;
	return transfer;
}

void tw_worker_transfer_free(struct transfer *transfer)
{
	if (transfer->state == TRANSFER_WAITING)
		tw_source_free(transfer->options.source);
	if (transfer->sender)
		tw_sender_free(transfer->sender);
	free(transfer->path);
	free(transfer);
}

void tw_worker_transfers_free(struct tw_worker *worker, struct destination *destination)
{
	struct transfer *next;

	for (struct transfer *transfer = destination->transfers; transfer; transfer = next) {
		next = transfer->next;
		if (transfer->state == TRANSFER_RUNNING || transfer->state == TRANSFER_LEAVING)
			tw_outgoing_remove(destination->outgoing, transfer->sender);
		unlink_from(transfer);
		destination->transfer_count--;
		worker->transfers_there--;
		tw_worker_transfer_free(transfer);
	}
}

/* Into the connection. */
static void seat(struct tw_worker *worker, struct transfer *transfer, tw_ns now)
{
	struct destination *destination = transfer->destination;
	struct tw_job_port port = { submit, transfer };
	int r;

	tw_worker_account(destination);
	transfer->options.budget = &worker->budget;
	r = tw_sender_new(&transfer->options, &port, now, &transfer->sender);
	if (r) {
		conclude_early(transfer, TW_TRANSFER_RESOURCES, false,
			       "There is no memory left for another transfer.", now);
		return;
	}
	r = tw_outgoing_add(destination->outgoing, transfer->sender, transfer->rank,
			    transfer->max_bps);
	assert(r == 0);
	transfer->state = TRANSFER_RUNNING;
	destination->seated++;
	tw_worker_destination_rate(worker, destination, now);
}

static bool goes_before(const struct transfer *a, const struct transfer *b)
{
	return a->rank < b->rank || (a->rank == b->rank && a->order < b->order);
}

static void seat_waiting(struct tw_worker *worker, struct destination *destination, tw_ns now)
{
	while (destination->transfer_count > destination->seated &&
	       tw_outgoing_count(destination->outgoing) < TW_SESSION_TRANSFERS_MAX) {
		struct transfer *best = NULL;

		for (struct transfer *at = destination->transfers; at; at = at->next)
			if (at->state == TRANSFER_WAITING && (!best || goes_before(at, best)))
				best = at;
		if (!best)
			return;
		seat(worker, best, now);
	}
}

void tw_worker_transfer_add(struct tw_worker *worker, struct transfer *transfer,
			    uint64_t destination_id, tw_ns now)
{
	struct destination *destination = tw_worker_destination(worker, destination_id);

	transfer->worker = worker;
	transfer->order = worker->transfers_ever++;
	worker->transfers_there++;
	worker->transfers_live++;
	if (tw_table_put(&worker->by_transfer, transfer->id, transfer)) {
		conclude_early(transfer, TW_TRANSFER_RESOURCES, false,
			       "There is no memory left for another transfer.", now);
		return;
	}
	if (worker->stopping) {
		conclude_early(transfer, TW_TRANSFER_CANCELLED, true, "", now);
		return;
	}
	if (!destination || destination->gone_at != TW_NEVER || destination->removed) {
		conclude_early(transfer, TW_TRANSFER_CANCELLED, false,
			       "Its destination has been removed.", now);
		return;
	}
	transfer->destination = destination;
	link_into(transfer, &destination->transfers);
	destination->transfer_count++;
	seat_waiting(worker, destination, now);
	tw_worker_limits_join(worker, destination, now);
	tw_worker_hurry(worker, destination, now);
	worker->publish_soon = true;
}

void tw_worker_transfer_change(struct transfer *transfer, uint64_t rank, uint64_t max_bps,
			       tw_ns now)
{
	struct destination *destination = transfer->destination;

	transfer->rank = rank;
	transfer->max_bps = max_bps;
	if (transfer->state != TRANSFER_RUNNING)
		return;
	tw_outgoing_change(destination->outgoing, transfer->sender, rank, max_bps);
	tw_worker_destination_rate(transfer->worker, destination, now);
	tw_worker_hurry(transfer->worker, destination, now);
}

void tw_worker_transfer_end(struct transfer *transfer, enum tw_worker_ending ending, tw_ns now)
{
	if (transfer->state == TRANSFER_WAITING) {
		conclude_early(transfer, TW_TRANSFER_CANCELLED, ending == TW_WORKER_PAUSE, "", now);
		return;
	}
	if (transfer->state != TRANSFER_RUNNING)
		return;
	if (ending == TW_WORKER_PAUSE)
		tw_sender_pause(transfer->sender);
	else
		tw_sender_cancel(transfer->sender);
	tw_worker_hurry(transfer->worker, transfer->destination, now);
}

static void begin_leaving(struct transfer *transfer, tw_ns now)
{
	struct tw_worker *worker = transfer->worker;

	transfer->state = TRANSFER_LEAVING;
	transfer->leave_at = now + LAST_WORDS;
	worker->publish_soon = true;
	tw_worker_destination_rate(worker, transfer->destination, now);
}

/* When the program ends, what went well has been said by the CLOSE that follows. */
static void shorten_farewell(struct transfer *transfer, tw_ns now)
{
	struct tw_sender_status status;

	tw_sender_status(transfer->sender, &status);
	if (status.error <= TW_TRANSFER_ENTRIES)
		transfer->leave_at = tw_ns_min(transfer->leave_at, now + LAST_WORDS_ENDING);
}

static void leave(struct transfer *transfer)
{
	struct destination *destination = transfer->destination;

	tw_worker_note_conn(destination);
	tw_worker_lanes_note(destination);
	tw_worker_account(destination);
	tw_outgoing_remove(destination->outgoing, transfer->sender);
	destination->seated--;
	transfer->state = TRANSFER_EMPTYING;
	transfer->worker->transfers_live--;
}

/* It may be gone behind the call. */
static void look(struct transfer *transfer, tw_ns now)
{
	if (transfer->state == TRANSFER_RUNNING) {
		tw_worker_tell_problems(transfer->worker, transfer);
		if (tw_sender_finished(transfer->sender))
			begin_leaving(transfer, now);
	}
	if (transfer->state == TRANSFER_LEAVING) {
		if (transfer->worker->stopping)
			shorten_farewell(transfer, now);
		if (tw_sender_farewell_said(transfer->sender) || now >= transfer->leave_at)
			leave(transfer);
	}
	if (transfer->state == TRANSFER_EMPTYING)
		empty(transfer);
}

void tw_worker_transfers_look(struct tw_worker *worker, struct destination *destination, tw_ns now)
{
	struct transfer *next;

	for (struct transfer *at = destination->transfers; at; at = next) {
		next = at->next;
		look(at, now);
	}
	if (!worker->stopping)
		seat_waiting(worker, destination, now);
}

tw_ns tw_worker_transfers_deadline(const struct destination *destination)
{
	tw_ns deadline = TW_NEVER;

	for (const struct transfer *at = destination->transfers; at; at = at->next)
		if (at->state == TRANSFER_LEAVING)
			deadline = tw_ns_min(deadline, at->leave_at);
	return deadline;
}
