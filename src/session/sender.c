#include "session/sender.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "crypto/protect.h"
#include "session/outgoing_private.h"
#include "session/sender_private.h"
#include "wire/datagram.h"
#include "wire/frame.h"

#define HOLES_MAX 4096

static void free_all(struct tw_sender *sender)
{
	tw_sender_blocks_deinit(sender);
	tw_owed_deinit(&sender->owed);
	tw_sender_tail_deinit(sender);
	tw_ranges_deinit(&sender->holes);
	tw_ranges_deinit(&sender->abandoned);
	tw_ranges_deinit(&sender->problem_entries);
	tw_ranges_deinit(&sender->digests.sent);
	free(sender->digests.log);
	free(sender->entry_job);
	free(sender->walk.bytes);
	free(sender->destination);
	free(sender);
}

int tw_sender_new(const struct tw_sender_options *options, const struct tw_job_port *port,
		  tw_ns now, struct tw_sender **ret)
{
	struct tw_sender *sender = calloc(1, sizeof(*sender));

	if (!sender)
		return -ENOMEM;
	sender->options = *options;
	sender->port = *port;
	sender->now = sender->started_at = sender->sent_at = now;
	/* Distinguishes this run from an earlier one of the same job: clocks do not stand still
	 * between the two. */
	sender->instance = now;
	tw_owed_init(&sender->owed);
	tw_sender_tail_init(sender);
	tw_ranges_init(&sender->holes, HOLES_MAX);
	tw_ranges_init(&sender->abandoned, TW_OWED_RANGES_MAX);
	tw_ranges_init(&sender->problem_entries, TW_OWED_RANGES_MAX);
	tw_ranges_init(&sender->digests.sent, TW_OWED_RANGES_MAX);
	sender->destination = strdup(options->destination);
	sender->walk.bytes = malloc((size_t)64 << 10);
	if (!sender->destination || !sender->walk.bytes) {
		free_all(sender);
		return -ENOMEM;
	}
	sender->options.destination = sender->destination;
	/* The walk begins at once, so that the manifest can leave with the offer. */
	tw_sender_pump(sender);
	*ret = sender;
	return 0;
}

bool tw_sender_idle(const struct tw_sender *sender)
{
	return !sender->jobs_out && !sender->loans;
}

void tw_sender_free(struct tw_sender *sender)
{
	if (!sender)
		return;
	assert(tw_sender_idle(sender));
	if (!sender->source_freed) {
		sender->walk.job.type = TW_JOB_SOURCE_FREE;
		sender->walk.job.source = sender->options.source;
		tw_job_run(&sender->walk.job);
	}
	free_all(sender);
}

void tw_sender_submit(struct tw_sender *sender, struct tw_job *job)
{
	job->owner = sender;
	job->transfer = (uint64_t)(uintptr_t)sender;
	job->buffer = NULL;
	job->at_once = false;
	sender->jobs_out++;
	sender->port.submit(sender->port.context, job);
}

void tw_sender_finish(struct tw_sender *sender, enum tw_transfer_error error, const char *message)
{
	if (sender->finished)
		return;
	sender->finished = true;
	sender->error = error;
	sender->finished_at = sender->now;
	snprintf(sender->message, sizeof(sender->message), "%s", message);
	/* What did not end by the receiver's word must be told to it. */
	sender->cancel_unsaid = !sender->done_ack_unsaid;
	tw_sender_run_reset(sender);
}

void tw_sender_fail(struct tw_sender *sender, enum tw_session_close code, const char *reason)
{
	char message[sizeof(sender->message)];

	snprintf(message, sizeof(message), "The receiver broke the protocol (%s).", reason);
	tw_sender_finish(sender,
			 code == TW_SESSION_CLOSE_RESOURCES ? TW_TRANSFER_RESOURCES
							    : TW_TRANSFER_PROTOCOL,
			 message);
	sender->cancel_unsaid = false;
}

void tw_sender_refuse(struct tw_sender *sender, enum tw_session_close code, const char *reason)
{
	tw_sender_fail(sender, code, reason);
	if (sender->conn)
		tw_conn_close(sender->conn, code, reason);
}

void tw_sender_note(struct tw_sender *sender, const struct tw_problem *problem)
{
	size_t at;

	/* Another attempt meets the same trouble again. */
	if (problem->entry != UINT64_MAX) {
		if (tw_ranges_contain(&sender->problem_entries, problem->entry, problem->entry + 1))
			return;
		(void)tw_ranges_add(&sender->problem_entries, problem->entry, problem->entry + 1);
	}
	sender->problems_bad += !problem->harmless;
	/* Beyond so many that nobody has read yet, they are only counted. */
	if (sender->problem_count == TW_SENDER_PROBLEMS)
		return;
	at = (sender->problem_first + sender->problem_count++) % TW_SENDER_PROBLEMS;
	sender->problems[at] = *problem;
}

bool tw_sender_problem(struct tw_sender *sender, struct tw_problem *ret)
{
	if (!sender->problem_count)
		return false;
	*ret = sender->problems[sender->problem_first];
	sender->problem_first = (sender->problem_first + 1) % TW_SENDER_PROBLEMS;
	sender->problem_count--;
	return true;
}

void tw_sender_abandon(struct tw_sender *sender, uint64_t entry, int error, uint64_t start,
		       uint64_t end)
{
	if (tw_ranges_contain(&sender->abandoned, entry, entry + 1)) {
		tw_owed_settled(&sender->owed, start, end);
		return;
	}
	/* It fails again when there is room to tell. */
	if (sender->abandon_count == TW_SENDER_ABANDONS)
		return;
	sender->abandons[sender->abandon_count++] =
		(struct tw_sender_abandon){ entry, error, { start, end } };
	(void)tw_ranges_add(&sender->abandoned, entry, entry + 1);
	sender->abandoned_bytes += end - start - tw_ranges_overlap(&sender->owed.done, start, end);
	tw_owed_settled(&sender->owed, start, end);
	tw_sender_run_reset(sender);
}

static void free_source(struct tw_sender *sender)
{
	if (sender->jobs_out || sender->source_freed)
		return;
	sender->source_freed = true;
	sender->walk.job.type = TW_JOB_SOURCE_FREE;
	sender->walk.job.source = sender->options.source;
	tw_sender_submit(sender, &sender->walk.job);
}

/* There may be something to send again. */
static void wake(struct tw_sender *sender)
{
	if (!sender->starved)
		return;
	sender->starved = false;
	tw_outgoing_wake(sender->outgoing, sender->place);
}

void tw_sender_pump(struct tw_sender *sender)
{
	if (sender->finished) {
		tw_sender_control_pump(sender);
		free_source(sender);
		return;
	}
	tw_sender_walk_pump(sender);
	tw_sender_control_pump(sender);
	tw_sender_digests_pump(sender);
	tw_sender_blocks_pump(sender);
	tw_sender_sha_pump(sender);
	if (sender->conn && !sender->offer_unsaid)
		wake(sender);
}

void tw_sender_job_done(struct tw_sender *sender, struct tw_job *job, tw_ns now)
{
	sender->now = now;
	sender->jobs_out--;
	if (job->type == TW_JOB_SOURCE_FREE)
		return;
	if (job == &sender->walk.job)
		tw_sender_walk_done(sender);
	else if (job == &sender->sha.job)
		tw_sender_sha_done(sender);
	else if (job == sender->entry_job)
		tw_sender_entry_done(sender);
	else
		tw_sender_block_done(sender, (struct tw_sender_block *)(void *)job);
	tw_sender_pump(sender);
}

void tw_sender_cancel(struct tw_sender *sender)
{
	tw_sender_finish(sender, TW_TRANSFER_CANCELLED,
			 "Cancelled; what has arrived is kept for another attempt.");
	tw_sender_pump(sender);
}

void tw_sender_pause(struct tw_sender *sender)
{
	if (sender->finished)
		return;
	sender->paused = true;
	tw_sender_finish(sender, TW_TRANSFER_CANCELLED,
			 "Paused; what has arrived is kept for the next time.");
	tw_sender_pump(sender);
}

void tw_sender_tick(struct tw_sender *sender, tw_ns now)
{
	sender->now = now;
	sender->sha.wait = false;
	tw_sender_tail_tick(sender);
	tw_sender_blocks_tick(sender);
	tw_sender_pump(sender);
}

/* Bytes that the receiver was known to have over the connection before, until the new one has
 * caught up. */
static uint64_t bytes_acked(const struct tw_sender *sender)
{
	uint64_t bytes = sender->owed.done.total - sender->abandoned_bytes;

	if (sender->ready < sender->ready_before && bytes < sender->acked_before)
		return sender->acked_before;
	return bytes;
}

/* Tape bytes that a full datagram carries on this path, beside nothing else. */
static uint64_t piece_bytes(const struct tw_sender *sender)
{
	struct tw_conn_info info;
	size_t around;

	if (!sender->conn)
		return 0;
	tw_conn_info(sender->conn, &info);
	around = TW_PACKET_HEADER_SIZE + tw_cipher_tag_size(info.cipher) +
		 tw_frame_data_header_size(sender->number, sender->owed.cursor);
	return info.datagram_bytes > around ? info.datagram_bytes - around : 0;
}

void tw_sender_status(const struct tw_sender *sender, struct tw_sender_status *ret)
{
	*ret = (struct tw_sender_status){
		.walk_over = sender->total_known,
		.total_bytes = sender->total_bytes,
		.total_files = sender->total_files,
		.total_entries = sender->total_entries,
		.bytes_sent = sender->bytes_sent,
		.bytes_acked = bytes_acked(sender),
		.bytes_held = sender->owed.held.total,
		.bytes_retransmitted = sender->bytes_retransmitted,
		.bytes_durable = sender->progress.bytes_durable,
		.files_done = sender->progress.files_done,
		.files_skipped = sender->progress.files_skipped,
		.files_failed = sender->progress.files_failed,
		.bytes_read = sender->bytes_read,
		.pieces_sent = sender->pieces_sent,
		.pieces_acked = sender->pieces_acked,
		.pieces_retransmitted = sender->pieces_retransmitted,
		.piece_bytes = piece_bytes(sender),
		.running = sender->answered && !sender->finished,
		.finished = sender->finished,
		.paused = sender->paused,
		.error = sender->error,
		.digest = sender->digest,
		.started_at = sender->started_at,
		.finished_at = sender->finished_at,
	};
	snprintf(ret->message, sizeof(ret->message), "%s", sender->message);
}

bool tw_sender_finished(const struct tw_sender *sender)
{
	return sender->finished;
}

bool tw_sender_owes_words(const struct tw_sender *sender)
{
	return sender->conn && !sender->offer_unsaid && !sender->farewell_said;
}

bool tw_sender_farewell_said(const struct tw_sender *sender)
{
	if (!sender->finished)
		return false;
	return !sender->conn ||
	       (sender->farewell_said &&
		tw_conn_stream_acked(sender->conn, TW_STREAM_CONTROL) >= sender->farewell_mark);
}

void tw_sender_detach(struct tw_sender *sender)
{
	if (sender->answered && sender->ready >= sender->ready_before) {
		sender->ready_before = sender->ready;
		sender->acked_before = sender->owed.done.total - sender->abandoned_bytes;
	}
	sender->conn = NULL;
	sender->outbox = NULL;
	sender->answered = false;
	sender->ready = 0;
	sender->starved = false;
	sender->walk.open = false;
	tw_sender_run_reset(sender);
}

void tw_sender_attach(struct tw_sender *sender, struct tw_conn *conn, struct tw_outbox *outbox,
		      uint64_t number)
{
	sender->conn = conn;
	sender->outbox = outbox;
	sender->number = number;
	sender->offer_unsaid = true;
	sender->starved = true;
	sender->attempts++;
	tw_owed_restart(&sender->owed);
	tw_ranges_clear(&sender->holes);
	tw_ranges_clear(&sender->abandoned);
	sender->abandoned_bytes = 0;
	sender->abandon_count = 0;
	tw_sender_tail_restart(sender);
	sender->sha.entry = 0;
	sender->sha.ready = sender->sha.over = sender->sha.wait = false;
	sender->sha.stale = true;
	sender->total_unsaid = sender->total_entries || sender->total_known;
	sender->walk.open = sender->attempts == 1;
	sender->walk.finished = false;
	sender->walk.written = 0;
	tw_sender_pump(sender);
}

bool tw_sender_data_next(struct tw_sender *sender, struct tw_data_ref *ret)
{
	struct tw_sender_run *run = &sender->run;

	if (!sender->conn || sender->finished)
		return false;
	if (sender->offer_unsaid || (run->start == run->end && !tw_sender_run_find(sender))) {
		sender->starved = true;
		return false;
	}
	ret->transfer = sender->number;
	ret->offset = run->start;
	ret->length = run->end - run->start;
	return true;
}

const uint8_t *tw_sender_data_take(struct tw_sender *sender, const struct tw_data_ref *piece)
{
	struct tw_sender_run *run = &sender->run;
	uint64_t end = piece->offset + piece->length, again;
	const uint8_t *bytes;

	assert(run->kind != TW_RUN_NONE && piece->offset == run->start && end <= run->end);
	bytes = run->block->bytes + (piece->offset - run->block->start);
	sender->lent = run->block;
	sender->sent_at = sender->now;
	/* What the receiver has thrown away was not lost on the way. */
	if (run->kind != TW_RUN_FRESH &&
	    !tw_ranges_overlap(&sender->owed.recalled, piece->offset, end))
		tw_sender_tail_taken(sender, run->kind, piece->offset, end);
	again = tw_owed_take(&sender->owed, piece->offset, end, run->kind == TW_RUN_FRESH);
	sender->bytes_sent += piece->length;
	sender->bytes_retransmitted += again;
	sender->pieces_sent++;
	sender->pieces_retransmitted += again > 0;
	run->start = end;
	if (run->start < run->end)
		return bytes;
	tw_sender_run_reset(sender);
	tw_sender_blocks_pump(sender);
	return bytes;
}

void tw_sender_data_acked(struct tw_sender *sender, const struct tw_data_ref *piece)
{
	sender->pieces_acked++;
	tw_owed_acked(&sender->owed, piece->offset, piece->offset + piece->length);
	/* Part of what is being repeated may have arrived after all. */
	if (sender->run.kind != TW_RUN_FRESH)
		tw_sender_run_reset(sender);
}

void tw_sender_data_lost(struct tw_sender *sender, const struct tw_data_ref *piece)
{
	if (!tw_owed_lost(&sender->owed, piece->offset, piece->offset + piece->length))
		return;
	if (sender->run.kind != TW_RUN_LOST)
		tw_sender_run_reset(sender);
	wake(sender);
}
