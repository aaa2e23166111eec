#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "session/receiver_private.h"

#define TO(state) (1U << TW_RECEIVING_##state)

/* Allowed successors. */
static const unsigned successors[] = {
	[TW_RECEIVING_WAITING] = TO(OPENING) | TO(DROPPED),
	[TW_RECEIVING_OPENING] = TO(RUNNING) | TO(OVER) | TO(DROPPED),
	[TW_RECEIVING_RUNNING] = TO(ENDING) | TO(DROPPED),
	[TW_RECEIVING_ENDING] = TO(OVER) | TO(DROPPED),
	[TW_RECEIVING_OVER] = TO(DROPPED),
	[TW_RECEIVING_DROPPED] = 0,
};
static_assert(sizeof(successors) / sizeof(successors[0]) == TW_RECEIVING_COUNT,
	      "a row for every state");

/* All is there, but the sink does not say so: it is asked again. */
#define CHECKPOINT_RETRY TW_SECOND
#define LAST_WORD_WAIT (5 * TW_SECOND)
#define FINISHED_KEPT 64
#define AGAIN_PERIOD (2 * TW_SECOND)

/* One whose end both sides know is only shown: nobody comes back to it. */
static void count_held(struct tw_receiver_transfer *transfer)
{
	bool held = !transfer->let_go || transfer->state != TW_RECEIVING_OVER;

	if (held == transfer->held)
		return;
	transfer->held = held;
	tw_receiver_held(transfer->hub, &transfer->peer, TW_RECEIVER_HELD_TRANSFER, held ? 1 : -1);
}

static void set_state(struct tw_receiver_transfer *transfer, enum tw_receiver_state state)
{
	assert(successors[transfer->state] & (1U << state));
	transfer->state = state;
	count_held(transfer);
}

static bool has_sink(const struct tw_receiver_transfer *transfer)
{
	return transfer->sink || transfer->state == TW_RECEIVING_OPENING || transfer->jobs_out;
}

static bool same_job(const struct tw_receiver_transfer *transfer, const struct tw_public_key *peer,
		     const uint8_t key[TW_TRANSFER_KEY_SIZE])
{
	return !memcmp(transfer->peer.bytes, peer->bytes, sizeof(peer->bytes)) &&
	       !memcmp(transfer->sink_options.transfer_key, key, TW_TRANSFER_KEY_SIZE);
}

static bool allocate(struct tw_receiver_transfer *transfer, const struct tw_message *offer)
{
	transfer->destination =
		strndup(offer->offer.destination.bytes, offer->offer.destination.length);
	transfer->close_job = tw_receiver_job_new(transfer->hub);
	transfer->checkpoint_job = tw_receiver_job_new(transfer->hub);
	return transfer->destination && transfer->close_job && transfer->checkpoint_job;
}

static void init_sets(struct tw_receiver_transfer *transfer)
{
	tw_ranges_init(&transfer->received, TW_RECEIVER_RANGES_MAX);
	tw_ranges_init(&transfer->chunks, TW_RECEIVER_RANGES_MAX);
	tw_ranges_init(&transfer->abandoned, TW_RECEIVER_RANGES_MAX);
	tw_ranges_init(&transfer->held_unsaid, TW_RECEIVER_RANGES_MAX);
	tw_ranges_init(&transfer->again_unsaid, TW_RECEIVER_RANGES_MAX);
	tw_ranges_init(&transfer->again, TW_RECEIVER_RANGES_MAX);
	tw_ranges_init(&transfer->missed_unsaid, TW_RECEIVER_RANGES_MAX);
	tw_inbox_init(&transfer->digests, TW_DIGEST_RECORD_MAX);
}

static void deinit_sets(struct tw_receiver_transfer *transfer)
{
	tw_ranges_deinit(&transfer->received);
	tw_ranges_deinit(&transfer->chunks);
	tw_ranges_deinit(&transfer->abandoned);
	tw_ranges_deinit(&transfer->held_unsaid);
	tw_ranges_deinit(&transfer->again_unsaid);
	tw_ranges_deinit(&transfer->again);
	tw_ranges_deinit(&transfer->missed_unsaid);
	tw_inbox_deinit(&transfer->digests);
}

void tw_receiver_transfer_free(struct tw_receiver_transfer *transfer)
{
	if (transfer->held)
		tw_receiver_held(transfer->hub, &transfer->peer, TW_RECEIVER_HELD_TRANSFER, -1);
	deinit_sets(transfer);
	if (transfer->close_job)
		tw_receiver_job_free(transfer->hub, transfer->close_job);
	if (transfer->checkpoint_job)
		tw_receiver_job_free(transfer->hub, transfer->checkpoint_job);
	free(transfer->destination);
	free(transfer);
}

/* An old one of the same job must be out of the way before its files are opened again. */
static bool must_wait(const struct tw_receiver_transfer *transfer)
{
	const struct tw_receiver_hub *hub = transfer->hub;
	size_t i;

	for (i = 0; i < hub->transfer_count; i++) {
		const struct tw_receiver_transfer *other = hub->transfers[i];

		if (other != transfer && other->state != TW_RECEIVING_WAITING && has_sink(other) &&
		    same_job(other, &transfer->peer, transfer->sink_options.transfer_key))
			return true;
	}
	return false;
}

static void open_sink(struct tw_receiver_transfer *transfer)
{
	struct tw_job *job = &transfer->close_job->job;

	if (must_wait(transfer))
		return;
	set_state(transfer, TW_RECEIVING_OPENING);
	job->fs = transfer->hub->options.fs;
	job->sink_options = &transfer->sink_options;
	tw_receiver_submit(transfer, transfer->close_job, TW_JOB_SINK_OPEN);
}

/* Of those that are over, and known to be by both sides, the newest are kept to be shown. */
static void forget_finished(struct tw_receiver_hub *hub)
{
	struct tw_receiver_transfer *oldest = NULL;
	size_t i, count = 0;

	for (i = 0; i < hub->transfer_count; i++) {
		struct tw_receiver_transfer *other = hub->transfers[i];

		if (!other->let_go || other->state != TW_RECEIVING_OVER || other->jobs_out)
			continue;
		count++;
		if (!oldest || other->finished_at < oldest->finished_at)
			oldest = other;
	}
	if (count > FINISHED_KEPT)
		tw_receiver_transfer_drop(oldest);
}

static size_t count_of_peer(const struct tw_receiver_hub *hub, const struct tw_public_key *peer)
{
	size_t i, count = 0;

	for (i = 0; i < hub->transfer_count; i++)
		count += !memcmp(hub->transfers[i]->peer.bytes, peer->bytes, sizeof(peer->bytes));
	return count;
}

int tw_receiver_transfer_new(struct tw_receiver_conn *conn, const struct tw_message *offer,
			     struct tw_receiver_transfer **ret)
{
	struct tw_receiver_hub *hub = conn->hub;
	struct tw_receiver_transfer *transfer;

	forget_finished(hub);
	if (hub->transfer_count == TW_RECEIVER_TRANSFERS_MAX ||
	    count_of_peer(hub, &conn->peer) >= TW_RECEIVER_TRANSFERS_PEER)
		return TW_E_FULL;
	transfer = calloc(1, sizeof(*transfer));
	if (!transfer)
		return -ENOMEM;
	transfer->hub = hub;
	init_sets(transfer);
	if (!allocate(transfer, offer)) {
		tw_receiver_transfer_free(transfer);
		return -ENOMEM;
	}
	transfer->id = hub->id_next;
	hub->id_next += hub->options.id_step;
	transfer->peer = conn->peer;
	transfer->instance = offer->offer.instance;
	transfer->checkpoint_seconds = (unsigned)offer->offer.checkpoint_seconds;
	memcpy(transfer->sink_options.transfer_key, offer->offer.key, TW_TRANSFER_KEY_SIZE);
	transfer->sink_options.destination = transfer->destination;
	transfer->sink_options.overwrite = (enum tw_overwrite)offer->offer.overwrite;
	transfer->sink_options.write_content = offer->offer.flags & TW_OFFER_WRITE;
	transfer->sink_options.sha256 = offer->offer.flags & TW_OFFER_SHA256;
	tw_text_clean(transfer->destination, strlen(transfer->destination),
		      transfer->destination_shown, sizeof(transfer->destination_shown));
	transfer->started_at = transfer->checkpoint_at = hub->now;
	hub->transfers[hub->transfer_count++] = transfer;
	count_held(transfer);
	*ret = transfer;
	return 0;
}

bool tw_receiver_offer_is_late(const struct tw_receiver_conn *conn, const struct tw_message *offer)
{
	const struct tw_receiver_hub *hub = conn->hub;
	size_t i;

	for (i = 0; i < hub->transfer_count; i++) {
		const struct tw_receiver_transfer *other = hub->transfers[i];

		if (same_job(other, &conn->peer, offer->offer.key) &&
		    other->state != TW_RECEIVING_DROPPED &&
		    other->instance == offer->offer.instance &&
		    other->attempt > offer->offer.attempt)
			return true;
	}
	return false;
}

static void give_up_place(struct tw_receiver_transfer *transfer)
{
	struct tw_receiver_conn *conn = transfer->conn;

	if (!conn)
		return;
	tw_receiver_early_drop(conn, &transfer->early);
	conn->transfers[transfer->number % TW_SESSION_TRANSFERS_MAX] = NULL;
	transfer->conn = NULL;
	tw_receiver_streams_drain(conn, transfer->number);
}

/*
 * Another connection serves it from now on. The sender that still uses this one, because words of
 * an older connection came late, must hear of it: it dials anew.
 */
static void leave_conn(struct tw_receiver_transfer *transfer,
		       const struct tw_receiver_conn *for_conn)
{
	struct tw_receiver_conn *conn = transfer->conn;
	size_t i;

	if (!conn)
		return;
	give_up_place(transfer);
	if (conn == for_conn)
		return;
	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++) {
		if (conn->transfers[i])
			return;
	}
	tw_receiver_refuse(conn, TW_SESSION_CLOSE_REPLACED, "served over another connection");
}

struct tw_receiver_transfer *tw_receiver_transfer_find(struct tw_receiver_conn *conn,
						       const struct tw_message *offer)
{
	struct tw_receiver_hub *hub = conn->hub;
	struct tw_receiver_transfer *found = NULL;
	size_t i;

	for (i = hub->transfer_count; i-- > 0;) {
		struct tw_receiver_transfer *other = hub->transfers[i];

		if (!same_job(other, &conn->peer, offer->offer.key) ||
		    other->state == TW_RECEIVING_DROPPED)
			continue;
		if (other->instance == offer->offer.instance && offer->offer.attempt &&
		    (other->state == TW_RECEIVING_ENDING || other->state == TW_RECEIVING_OVER ||
		     (other->state == TW_RECEIVING_RUNNING && other->manifest_complete))) {
			found = other;
		} else {
			/* Another run of the sender, whose list of files may be another one: the
			 * journal knows. */
			tw_receiver_gather_leave(other);
			leave_conn(other, conn);
			tw_receiver_transfer_drop(other);
		}
	}
	return found;
}

void tw_receiver_transfer_attach(struct tw_receiver_transfer *transfer,
				 struct tw_receiver_conn *conn, uint64_t number)
{
	size_t i;

	/* The old connection's pieces are accepted no longer. */
	tw_receiver_gather_leave(transfer);
	leave_conn(transfer, conn);
	transfer->conn = conn;
	transfer->number = number;
	transfer->let_go = false;
	count_held(transfer);
	conn->transfers[number % TW_SESSION_TRANSFERS_MAX] = transfer;
	tw_inbox_reset(&transfer->digests);
	transfer->answer_unsaid = transfer->state != TW_RECEIVING_WAITING;
	transfer->answer_flags = 0;
	transfer->progress_said = (struct tw_message_progress){ .bytes_received = UINT64_MAX };
	if (transfer->state == TW_RECEIVING_WAITING) {
		open_sink(transfer);
		return;
	}
	transfer->answer_flags = TW_ANSWER_LIVE;
	transfer->ready_said = 0;
	transfer->done_unsaid = transfer->state == TW_RECEIVING_OVER || transfer->all_done;
	/* What is not held is owed. */
	tw_ranges_clear(&transfer->again_unsaid);
	tw_ranges_clear(&transfer->again);
	tw_ranges_clear(&transfer->missed_unsaid);
	tw_ranges_clear(&transfer->held_unsaid);
	for (i = 0; i < transfer->received.count; i++) {
		const struct tw_range *range = &transfer->received.at[i];

		if (tw_ranges_add(&transfer->held_unsaid, range->start, range->end))
			break; /* the rest is sent again and dropped */
	}
}

void tw_receiver_transfer_detach(struct tw_receiver_transfer *transfer, bool lost)
{
	tw_receiver_gather_leave(transfer);
	give_up_place(transfer);
	transfer->disconnected_at = transfer->hub->now;
	/* What has come is made safe; the sender may be gone for long. */
	if (transfer->state == TW_RECEIVING_RUNNING && !transfer->checkpoint_busy) {
		transfer->checkpoint_busy = true;
		tw_receiver_submit(transfer, transfer->checkpoint_job, TW_JOB_CHECKPOINT);
	}
	if (transfer->state == TW_RECEIVING_OVER && !lost)
		tw_receiver_transfer_finish(transfer);
}

void tw_receiver_transfer_let_go(struct tw_receiver_transfer *transfer)
{
	tw_receiver_gather_leave(transfer);
	give_up_place(transfer);
	transfer->let_go = true;
	count_held(transfer);
	transfer->done_unsaid = transfer->answer_unsaid = false;
	transfer->disconnected_at = transfer->hub->now;
}

void tw_receiver_transfer_finish(struct tw_receiver_transfer *transfer)
{
	const struct tw_receiver_events *events = &transfer->hub->options.events;

	if (transfer->finished)
		return;
	transfer->finished = true;
	transfer->finished_at = transfer->hub->now;
	if (transfer->error && !transfer->paused)
		transfer->failed_at = transfer->hub->now;
	if (events->finished && !transfer->paused)
		events->finished(transfer->hub->options.events_context, transfer->id,
				 transfer->error, transfer->message);
}

void tw_receiver_transfer_end(struct tw_receiver_transfer *transfer, enum tw_transfer_error error,
			      const char *message)
{
	if (transfer->state != TW_RECEIVING_RUNNING)
		return;
	if (transfer->conn)
		tw_receiver_early_drop(transfer->conn, &transfer->early);
	tw_receiver_gather_leave(transfer);
	set_state(transfer, TW_RECEIVING_ENDING);
	transfer->error = error;
	snprintf(transfer->message, sizeof(transfer->message), "%s", message);
	transfer->final_checkpoint = !transfer->all_done;
	/* After the last file the sender need not wait until the sink is put away. */
	transfer->done_unsaid = transfer->all_done;
}

#define CANCELLED "The sender ended the transfer; what has arrived is kept for another attempt."

void tw_receiver_transfer_cancel(struct tw_receiver_transfer *transfer,
				 enum tw_transfer_error error)
{
	if (transfer->state == TW_RECEIVING_RUNNING && !transfer->paused) {
		tw_receiver_transfer_end(transfer, error, CANCELLED);
		tw_receiver_transfer_finish(transfer);
		tw_receiver_transfer_pump(transfer);
		return;
	}
	/* Nothing of it is there yet to be shown, or it has ended already. */
	if (transfer->state < TW_RECEIVING_ENDING && !transfer->error) {
		transfer->error = error;
		snprintf(transfer->message, sizeof(transfer->message), CANCELLED);
	}
	tw_receiver_transfer_finish(transfer);
	if (transfer->state < TW_RECEIVING_ENDING)
		tw_receiver_transfer_drop(transfer);
}

void tw_receiver_transfer_drop(struct tw_receiver_transfer *transfer)
{
	if (transfer->state == TW_RECEIVING_DROPPED)
		return;
	tw_receiver_gather_leave(transfer);
	give_up_place(transfer);
	if (!transfer->finished && transfer->state != TW_RECEIVING_OVER && !transfer->error) {
		transfer->error = TW_TRANSFER_CANCELLED;
		transfer->put_away = true;
		snprintf(transfer->message, sizeof(transfer->message),
			 "The sender is gone; what has arrived is kept for another attempt.");
	}
	if (transfer->state == TW_RECEIVING_RUNNING)
		transfer->final_checkpoint = true;
	set_state(transfer, TW_RECEIVING_DROPPED);
	tw_receiver_transfer_finish(transfer);
	tw_receiver_transfer_pump(transfer);
}

void tw_receiver_transfer_refuse(struct tw_receiver_transfer *transfer, const char *reason)
{
	char message[sizeof(transfer->message)];

	if (transfer->conn)
		tw_receiver_refuse(transfer->conn, TW_SESSION_CLOSE_FORMAT, reason);
	snprintf(message, sizeof(message), "The sender broke the protocol (%s).", reason);
	tw_receiver_transfer_end(transfer, TW_TRANSFER_PROTOCOL, message);
}

void tw_receiver_transfer_progress(const struct tw_receiver_transfer *transfer,
				   struct tw_message_progress *ret)
{
	ret->bytes_received = transfer->bytes_received;
	ret->bytes_durable = transfer->progress.bytes_durable;
	ret->bytes_held = transfer->progress.bytes_held;
	ret->files_done = transfer->progress.files_done;
	ret->files_skipped = transfer->progress.files_skipped;
	ret->files_failed = transfer->progress.files_failed;
}

/* Results of jobs. */

/* A sentence for people on both sides. */
static enum tw_transfer_error explain(const struct tw_job *job, char *ret, size_t room)
{
	int error = job->result;

	switch (error) {
	case -ENOSPC:
	case -EDQUOT:
		snprintf(
			ret, room,
			"The disk of the receiver is full (%s); free some space and send again: what has "
			"arrived is kept.",
			tw_strerror(error));
		return TW_TRANSFER_STORAGE;
	case -EROFS:
	case -EACCES:
	case -EPERM:
		snprintf(
			ret, room,
			"The receiver may not write to its folder (%s); make it writable and send again: "
			"what has arrived is kept.",
			tw_strerror(error));
		return TW_TRANSFER_STORAGE;
	case TW_E_UNSAFE:
		snprintf(
			ret, room,
			"A path would leave the destination folder (%.150s); rename it or leave it out.",
			job->offender);
		return TW_TRANSFER_UNSAFE;
	case -ENOMEM:
	case TW_E_FULL:
		snprintf(
			ret, room,
			"The receiver has no room for so large a transfer (%s); send less at a time.",
			tw_strerror(error));
		return TW_TRANSFER_RESOURCES;
	default:
		snprintf(
			ret, room,
			"The storage of the receiver failed (%s); mend it and send again: what has arrived is "
			"kept.",
			tw_strerror(error));
		return TW_TRANSFER_STORAGE;
	}
}

static void fail(struct tw_receiver_transfer *transfer, const struct tw_job *job)
{
	char message[sizeof(transfer->message)];

	if (job->result == TW_E_FORMAT) {
		tw_receiver_transfer_refuse(transfer, "manifest or digests make no sense");
		return;
	}
	tw_receiver_transfer_end(transfer, explain(job, message, sizeof(message)), message);
}

static void note_problem(struct tw_receiver_transfer *transfer, const struct tw_sink_event *event)
{
	struct tw_receiver_problem *problem;

	/* The sender told us, and its user knows. */
	if (tw_ranges_contain(&transfer->abandoned, event->entry, event->entry + 1))
		return;
	/* Beyond so many unsaid ones they are only counted. */
	if (transfer->problem_count == TW_RECEIVER_PROBLEMS)
		return;
	problem = &transfer->problems[(transfer->problem_first + transfer->problem_count++) %
				      TW_RECEIVER_PROBLEMS];
	problem->entry = event->entry;
	problem->error = event->error;
	memcpy(problem->path, event->path, sizeof(problem->path));
}

static void take_again(struct tw_receiver_transfer *transfer, const struct tw_range *range)
{
	if (!tw_ranges_remove(&transfer->received, range->start, range->end) &&
	    !tw_ranges_add(&transfer->again, range->start, range->end) &&
	    !tw_ranges_add(&transfer->again_unsaid, range->start, range->end))
		return;
	tw_receiver_transfer_end(
		transfer, TW_TRANSFER_RESOURCES,
		"Too many pieces failed their digest; send again: what has arrived is kept.");
}

static void take_event(struct tw_receiver_transfer *transfer, const struct tw_sink_event *event)
{
	const struct tw_receiver_events *events = &transfer->hub->options.events;
	void *context = transfer->hub->options.events_context;

	switch (event->type) {
	case TW_SINK_FILE_DONE:
		if (events->file_done)
			events->file_done(context, transfer->id, event->path);
		break;
	case TW_SINK_FILE_SKIPPED:
		break;
	case TW_SINK_FILE_FAILED:
		transfer->failed_at = transfer->hub->now;
		note_problem(transfer, event);
		if (events->file_failed)
			events->file_failed(context, transfer->id, event->path, event->error);
		break;
	case TW_SINK_AGAIN:
		take_again(transfer, &event->range);
		break;
	case TW_SINK_ALL_DONE:
		transfer->all_done = true;
		break;
	}
}

static void take_held(struct tw_receiver_transfer *transfer, const struct tw_job *job)
{
	size_t i;

	for (i = 0; i < job->held_count; i++) {
		const struct tw_range *range = &job->held[i];

		/* What cannot be noted as held is sent once more, and the sink takes that. */
		if (!tw_ranges_add(&transfer->received, range->start, range->end))
			(void)tw_ranges_add(&transfer->held_unsaid, range->start, range->end);
	}
	transfer->bytes_received = transfer->received.total;
	if (job->ready > transfer->ready)
		transfer->ready = job->ready;
	/* Without a statement about readiness what is prepared has not been told yet. */
	if (job->ready && job->total_chunks > transfer->chunks_ready)
		transfer->chunks_ready = job->total_chunks;
	transfer->prepare_wanted = job->prepare_more;
	if (!job->result || job->result == TW_E_END)
		transfer->entries_known = job->total_entries;
	if (job->result == TW_E_END)
		transfer->manifest_complete = true;
}

static void opened(struct tw_receiver_transfer *transfer, const struct tw_job *job)
{
	const struct tw_receiver_events *events = &transfer->hub->options.events;

	if (!job->result) {
		transfer->sink = job->sink;
		if (transfer->state != TW_RECEIVING_OPENING)
			return;
		set_state(transfer, TW_RECEIVING_RUNNING);
		transfer->answer_unsaid = true;
		if (!transfer->conn)
			transfer->disconnected_at = transfer->hub->now;
		if (events->started)
			events->started(transfer->hub->options.events_context, transfer->id,
					transfer->destination_shown, false);
		return;
	}
	if (transfer->state != TW_RECEIVING_OPENING)
		return;
	set_state(transfer, TW_RECEIVING_OVER);
	if (transfer->conn)
		tw_receiver_early_drop(transfer->conn, &transfer->early);
	if (job->result == TW_E_UNSAFE) {
		transfer->error = TW_TRANSFER_UNSAFE;
		snprintf(
			transfer->message, sizeof(transfer->message),
			"The destination \"%.100s\" leaves the receiver's folder; choose one inside it.",
			transfer->destination_shown);
	} else {
		transfer->error = explain(job, transfer->message, sizeof(transfer->message));
	}
	transfer->answer_unsaid = true;
	tw_receiver_transfer_finish(transfer);
}

static void count_back(struct tw_receiver_transfer *transfer, const struct tw_receiver_job *job)
{
	if (job->control)
		transfer->control_jobs--;
	switch (job->job.type) {
	case TW_JOB_CHECKPOINT:
		transfer->checkpoint_busy = false;
		transfer->checkpoint_at = transfer->hub->now;
		return;
	case TW_JOB_SETTLE:
		transfer->settle_busy = false;
		return;
	case TW_JOB_MANIFEST:
	case TW_JOB_PREPARE:
		transfer->manifest_busy = false;
		break;
	case TW_JOB_DIGESTS:
		transfer->digest_jobs--;
		break;
	case TW_JOB_WRITE:
		transfer->written_at = transfer->hub->now;
		break;
	default:
		break;
	}
	transfer->dirty = transfer->unsettled = true;
}

void tw_receiver_transfer_job_done(struct tw_receiver_transfer *transfer,
				   struct tw_receiver_job *carried)
{
	const struct tw_job *job = &carried->job;
	bool of_manifest = job->type == TW_JOB_MANIFEST || job->type == TW_JOB_PREPARE;
	size_t i;

	if (job->type == TW_JOB_SINK_OPEN) {
		opened(transfer, job);
		return;
	}
	if (job->type == TW_JOB_SINK_FREE) {
		transfer->sink = NULL;
		return;
	}
	count_back(transfer, carried);
	transfer->progress = job->progress;
	transfer->events_waiting = job->events_more;
	/* The results of a transfer that has ended already matter no more, but its files' do to the
	 * user. */
	for (i = 0; i < job->event_count; i++)
		take_event(transfer, &job->events[i]);
	if (transfer->state != TW_RECEIVING_RUNNING)
		return;
	if (of_manifest)
		take_held(transfer, job);
	if (job->result && !(of_manifest && job->result == TW_E_END)) {
		fail(transfer, job);
		return;
	}
	if (transfer->all_done)
		tw_receiver_transfer_end(
			transfer,
			transfer->progress.files_failed ? TW_TRANSFER_ENTRIES : TW_TRANSFER_OK, "");
}

/* What can be done next. */

static void submit_checkpoint(struct tw_receiver_transfer *transfer)
{
	transfer->checkpoint_busy = true;
	transfer->dirty = false;
	tw_receiver_submit(transfer, transfer->checkpoint_job, TW_JOB_CHECKPOINT);
}

static bool all_received(const struct tw_receiver_transfer *transfer)
{
	return transfer->manifest_complete &&
	       tw_ranges_contain(&transfer->received, 0, transfer->ready);
}

/* When the last byte and digest may have come, the sink is asked to finish what is left. */
static void try_finish(struct tw_receiver_transfer *transfer)
{
	if (transfer->dirty && !transfer->jobs_out && !transfer->gather && !transfer->crumbs &&
	    all_received(transfer))
		submit_checkpoint(transfer);
}

static void remove_transfer(struct tw_receiver_transfer *transfer)
{
	struct tw_receiver_hub *hub = transfer->hub;
	size_t i;

	for (i = 0; i < hub->transfer_count; i++) {
		if (hub->transfers[i] == transfer) {
			hub->transfers[i] = hub->transfers[--hub->transfer_count];
			break;
		}
	}
	tw_receiver_transfer_free(transfer);
	/* Its successor may have been waiting for it. */
	for (i = 0; i < hub->transfer_count; i++) {
		if (hub->transfers[i]->state == TW_RECEIVING_WAITING)
			open_sink(hub->transfers[i]);
	}
}

/* Puts the sink away: last checkpoint, then all jobs back, then free. True when it is gone. */
static bool put_sink_away(struct tw_receiver_transfer *transfer)
{
	if (transfer->final_checkpoint && transfer->sink && !transfer->checkpoint_busy) {
		transfer->final_checkpoint = false;
		submit_checkpoint(transfer);
	}
	if (transfer->jobs_out)
		return false;
	if (!transfer->sink)
		return true;
	tw_receiver_submit(transfer, transfer->close_job, TW_JOB_SINK_FREE);
	return false;
}

/* Finishes files, and takes events out of the sink. */
static void settle(struct tw_receiver_transfer *transfer)
{
	struct tw_receiver_job *job;

	if (transfer->settle_busy || transfer->checkpoint_busy)
		return;
	job = tw_receiver_job_new(transfer->hub);
	if (!job)
		return;
	transfer->unsettled = false;
	transfer->settle_busy = true;
	tw_receiver_submit(transfer, job, TW_JOB_SETTLE);
}

static void pump_running(struct tw_receiver_transfer *transfer)
{
	tw_receiver_manifest_pump(transfer);
	tw_receiver_early_pump(transfer);
	tw_receiver_digests_pump(transfer);
	if (transfer->state != TW_RECEIVING_RUNNING)
		return;
	if (transfer->events_waiting)
		settle(transfer);
	try_finish(transfer);
}

void tw_receiver_transfer_pump(struct tw_receiver_transfer *transfer)
{
	if (transfer->state == TW_RECEIVING_WAITING)
		open_sink(transfer);
	if (transfer->state == TW_RECEIVING_RUNNING)
		pump_running(transfer);
	if (transfer->state == TW_RECEIVING_ENDING && put_sink_away(transfer)) {
		set_state(transfer, TW_RECEIVING_OVER);
		transfer->done_unsaid |= !transfer->all_done;
		deinit_sets(transfer);
	}
	if (transfer->state == TW_RECEIVING_DROPPED) {
		if (put_sink_away(transfer))
			remove_transfer(transfer);
		return;
	}
	if (transfer->conn)
		tw_receiver_control_pump(transfer);
}

/*
 * The sender may have taken late acknowledgements of what failed its digest for those of the
 * repeats: when such pieces stay away, they are asked for once more.
 */
static void ask_again(struct tw_receiver_transfer *transfer)
{
	tw_ns now = transfer->hub->now;
	bool any = false;
	size_t i;

	if (!transfer->again.count || transfer->jobs_out || transfer->again_unsaid.count ||
	    tw_ns_since(now, transfer->written_at) < AGAIN_PERIOD)
		return;
	transfer->written_at = now;
	for (i = 0; i < transfer->again.count; i++) {
		const struct tw_range *range = &transfer->again.at[i];
		struct tw_range gap;
		uint64_t at = range->start;

		for (; tw_ranges_next_gap(&transfer->received, at, range->end, &gap); at = gap.end)
			any |= !tw_ranges_add(&transfer->again_unsaid, gap.start, gap.end);
	}
	if (!any)
		tw_ranges_clear(&transfer->again);
}

/*
 * It is over and the sender does not say that he knows. His last words may be lost, and he may have
 * gone with them: then nobody will ever say it. Should he come back he is told again.
 */
static bool is_left_alone(const struct tw_receiver_transfer *transfer)
{
	struct tw_conn_info info;
	tw_ns since = transfer->disconnected_at;

	if (transfer->conn && transfer->conn->conn) {
		tw_conn_info(transfer->conn->conn, &info);
		since = info.silent_since;
	}
	return since != TW_NEVER && tw_ns_since(transfer->hub->now, since) >= LAST_WORD_WAIT;
}

void tw_receiver_transfer_tick(struct tw_receiver_transfer *transfer)
{
	struct tw_receiver_hub *hub = transfer->hub;
	tw_ns since = tw_ns_since(hub->now, transfer->checkpoint_at);

	if (transfer->state == TW_RECEIVING_RUNNING) {
		if (transfer->unsettled)
			settle(transfer);
		ask_again(transfer);
		if (!transfer->checkpoint_busy && transfer->dirty && transfer->checkpoint_seconds &&
		    since >= transfer->checkpoint_seconds * TW_SECOND)
			submit_checkpoint(transfer);
		else if (all_received(transfer) && !transfer->jobs_out && since >= CHECKPOINT_RETRY)
			submit_checkpoint(transfer);
	}
	if (transfer->state == TW_RECEIVING_OVER && !transfer->finished && is_left_alone(transfer))
		tw_receiver_transfer_finish(transfer);
	if (!transfer->conn && transfer->state != TW_RECEIVING_DROPPED &&
	    tw_ns_since(hub->now, transfer->disconnected_at) >= hub->options.linger) {
		tw_receiver_transfer_drop(transfer);
		return;
	}
	tw_receiver_transfer_pump(transfer);
}
