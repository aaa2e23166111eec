#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "session/sender_private.h"

/* So often may the same place fail its digest before its entry is given up. */
#define AGAIN_MAX 6

/* False: the stream has no room now, stream_writable() follows. */
static bool send(struct tw_sender *sender, struct tw_message *message)
{
	message->transfer = sender->number;
	return tw_outbox_send(sender->outbox, sender->conn, message);
}

static bool send_offer(struct tw_sender *sender)
{
	struct tw_message offer = { .type = TW_MESSAGE_OFFER };

	memcpy(offer.offer.key, sender->options.transfer_key, sizeof(offer.offer.key));
	offer.offer.instance = sender->instance;
	offer.offer.attempt = sender->attempts - 1;
	offer.offer.overwrite = sender->options.overwrite;
	if (sender->options.flags & TW_TRANSFER_READ)
		offer.offer.flags |= TW_OFFER_READ;
	if (sender->options.flags & TW_TRANSFER_WRITE)
		offer.offer.flags |= TW_OFFER_WRITE;
	if (sender->options.sha256)
		offer.offer.flags |= TW_OFFER_SHA256;
	offer.offer.checkpoint_seconds = sender->options.checkpoint_seconds;
	offer.offer.destination.bytes = sender->destination;
	offer.offer.destination.length = strlen(sender->destination);
	return send(sender, &offer);
}

static bool send_total(struct tw_sender *sender)
{
	struct tw_message message = { .type = TW_MESSAGE_TOTAL };

	message.total.bytes = sender->total_bytes;
	message.total.files = sender->total_files;
	message.total.entries = sender->total_entries;
	message.total.chunks = sender->total_chunks;
	message.total.final = sender->total_known;
	return send(sender, &message);
}

/* Holes below @ready, in order. */
static bool send_holes(struct tw_sender *sender)
{
	struct tw_message message = { .type = TW_MESSAGE_HOLE };

	while (tw_ranges_next(&sender->holes, 0, sender->ready, &message.hole)) {
		if (!send(sender, &message))
			return false;
		/* It is the first one, so that nothing is cut in two. */
		(void)tw_ranges_remove(&sender->holes, message.hole.start, message.hole.end);
	}
	return true;
}

static bool send_abandons(struct tw_sender *sender)
{
	size_t said = 0;

	while (said < sender->abandon_count && sender->abandons[said].range.end <= sender->ready) {
		struct tw_message message = { .type = TW_MESSAGE_ABANDON };

		message.abandon.entry = sender->abandons[said].entry;
		message.abandon.error = sender->abandons[said].error;
		message.abandon.range = sender->abandons[said].range;
		if (!send(sender, &message))
			break;
		said++;
	}
	sender->abandon_count -= said;
	memmove(sender->abandons, sender->abandons + said,
		sender->abandon_count * sizeof(sender->abandons[0]));
	return true;
}

static bool send_sha256(struct tw_sender *sender)
{
	struct tw_message message = { .type = TW_MESSAGE_SHA256 };

	message.sha256.entry = sender->sha.job.entry;
	memcpy(message.sha256.digest, sender->sha.job.sha256, sizeof(message.sha256.digest));
	return send(sender, &message);
}

/* Its streams end, so that both sides can forget them. */
void tw_sender_leave_streams(struct tw_sender *sender)
{
	tw_conn_stream_cut(sender->conn, TW_STREAM_MANIFEST(sender->number));
	tw_conn_stream_cut(sender->conn, TW_STREAM_DIGESTS(sender->number));
}

static void send_farewell(struct tw_sender *sender)
{
	struct tw_message ack = { .type = TW_MESSAGE_DONE_ACK };
	struct tw_message cancel = { .type = TW_MESSAGE_CANCEL };

	/* What was never offered needs no farewell. */
	if (sender->offer_unsaid)
		sender->done_ack_unsaid = sender->cancel_unsaid = false;
	if (sender->done_ack_unsaid && send(sender, &ack))
		sender->done_ack_unsaid = false;
	cancel.cancel.error = sender->error;
	cancel.cancel.text.bytes = sender->message;
	cancel.cancel.text.length = strlen(sender->message);
	cancel.cancel.paused = sender->paused;
	if (sender->cancel_unsaid && send(sender, &cancel))
		sender->cancel_unsaid = false;
	if (sender->done_ack_unsaid || sender->cancel_unsaid || sender->farewell_said)
		return;
	sender->farewell_said = true;
	sender->farewell_mark = tw_outbox_mark(sender->outbox, sender->conn);
	if (!sender->offer_unsaid)
		tw_sender_leave_streams(sender);
}

void tw_sender_control_pump(struct tw_sender *sender)
{
	if (!sender->conn || !tw_outbox_flush(sender->outbox, sender->conn))
		return;
	if (sender->finished) {
		send_farewell(sender);
		return;
	}
	if (sender->offer_unsaid && !send_offer(sender))
		return;
	sender->offer_unsaid = false;
	if (sender->total_unsaid && send_total(sender))
		sender->total_unsaid = false;
	if (!sender->answered)
		return;
	send_holes(sender);
	send_abandons(sender);
	if (sender->sha.ready && send_sha256(sender))
		sender->sha.ready = false;
}

static void take_text(const struct tw_message_text *text, char *ret, size_t room)
{
	tw_text_clean(text->bytes, text->length, ret, room);
}

static void on_answer(struct tw_sender *sender, struct tw_message *message)
{
	bool live = message->answer.flags & TW_ANSWER_LIVE;
	char text[sizeof(sender->message)];

	if (sender->answered) {
		tw_sender_refuse(sender, TW_SESSION_CLOSE_ORDER, "answered twice");
		return;
	}
	if (message->answer.error) {
		take_text(&message->answer.text, text, sizeof(text));
		tw_sender_finish(sender, (enum tw_transfer_error)message->answer.error,
				 text[0] ? text : "The receiver refused the transfer.");
		return;
	}
	if (live && sender->attempts == 1) {
		tw_sender_refuse(sender, TW_SESSION_CLOSE_ORDER, "a live transfer that never was");
		return;
	}
	sender->answered = true;
	/* Over the first connection manifest and digests have been flowing all the time. */
	if (sender->attempts > 1)
		tw_sender_digests_restart(sender, live);
	if (sender->attempts > 1 && !live) {
		sender->walk.restart = true;
		sender->walk.open = true;
	}
}

static void on_held(struct tw_sender *sender, struct tw_message *message)
{
	struct tw_range range;

	while (tw_message_next_range(message, &range)) {
		if (range.end > sender->total_bytes) {
			tw_sender_refuse(sender, TW_SESSION_CLOSE_FORMAT,
					 "holds what does not exist");
			return;
		}
		tw_owed_held(&sender->owed, range.start, range.end);
	}
	tw_sender_run_reset(sender);
}

static void on_ready(struct tw_sender *sender, struct tw_message *message)
{
	if (message->ready.offset > sender->total_bytes) {
		tw_sender_refuse(sender, TW_SESSION_CLOSE_FORMAT, "ready for what does not exist");
		return;
	}
	if (message->ready.offset > sender->ready)
		sender->ready = message->ready.offset;
}

static void submit_entry(struct tw_sender *sender, uint64_t offset)
{
	if (sender->entry_busy)
		return;
	if (!sender->entry_job)
		sender->entry_job = malloc(sizeof(*sender->entry_job));
	if (!sender->entry_job)
		return;
	sender->entry_job->type = TW_JOB_ENTRY;
	sender->entry_job->source = sender->options.source;
	sender->entry_job->offset = offset;
	sender->entry_busy = true;
	tw_sender_submit(sender, sender->entry_job);
}

/* An entry whose digests keep failing is given up, so that a source that changes unseen cannot keep
 * us for ever. */
void tw_sender_entry_done(struct tw_sender *sender)
{
	const struct tw_job *job = sender->entry_job;
	struct tw_problem problem = { .error = TW_E_DIGEST };

	sender->entry_busy = false;
	if (job->result || sender->finished)
		return;
	problem.entry = job->entry;
	snprintf(problem.path, sizeof(problem.path), "%s", job->offender);
	tw_sender_note(sender, &problem);
	tw_sender_abandon(sender, job->entry, TW_E_DIGEST, job->block.start, job->block.end);
}

static void count_again(struct tw_sender *sender, uint64_t start, uint64_t length)
{
	size_t i;

	for (i = 0; i < TW_SENDER_AGAIN_PLACES; i++) {
		if (sender->again[i].count && sender->again[i].start == start)
			break;
	}
	if (i == TW_SENDER_AGAIN_PLACES) {
		i = sender->again_next++ % TW_SENDER_AGAIN_PLACES;
		sender->again[i].start = start;
		sender->again[i].count = 0;
	}
	/* A repeated question is no new failure. */
	if (sender->again[i].count && sender->bytes_sent - sender->again[i].bytes_sent < length)
		return;
	sender->again[i].bytes_sent = sender->bytes_sent;
	if (++sender->again[i].count > AGAIN_MAX)
		submit_entry(sender, start);
}

static void on_again(struct tw_sender *sender, struct tw_message *message)
{
	struct tw_range range;

	while (tw_message_next_range(message, &range)) {
		if (range.end > sender->ready) {
			tw_sender_refuse(sender, TW_SESSION_CLOSE_FORMAT,
					 "wants what was never sent");
			return;
		}
		tw_owed_again(&sender->owed, range.start, range.end);
		tw_sender_blocks_drop(sender, range.start, range.end);
		count_again(sender, range.start, range.end - range.start);
	}
	tw_sender_run_reset(sender);
}

/* Its bytes were right: nothing is read again, and nothing is wrong with the entry. */
static void on_missed(struct tw_sender *sender, struct tw_message *message)
{
	struct tw_range range;

	while (tw_message_next_range(message, &range)) {
		if (range.end > sender->ready) {
			tw_sender_refuse(sender, TW_SESSION_CLOSE_FORMAT,
					 "missed what was never sent");
			return;
		}
		tw_owed_again(&sender->owed, range.start, range.end);
	}
	tw_sender_run_reset(sender);
}

static void on_progress(struct tw_sender *sender, struct tw_message *message)
{
	sender->progress = message->progress;
}

static void on_problem(struct tw_sender *sender, struct tw_message *message)
{
	struct tw_problem problem = { .entry = message->problem.entry,
				      .error = message->problem.error };

	take_text(&message->problem.path, problem.path, sizeof(problem.path));
	tw_sender_note(sender, &problem);
}

static void on_done(struct tw_sender *sender, struct tw_message *message)
{
	enum tw_transfer_error error = (enum tw_transfer_error)message->done.error;
	char text[sizeof(sender->message)];

	sender->progress = message->done.progress;
	sender->digest = message->done.digest;
	sender->done_ack_unsaid = true;
	/* What is on its way is there, whether its acknowledgement has come or not. */
	if (!error || error == TW_TRANSFER_ENTRIES)
		tw_owed_settled(&sender->owed, 0, sender->total_bytes);
	take_text(&message->done.text, text, sizeof(text));
	if (!error && sender->problems_bad)
		error = TW_TRANSFER_ENTRIES;
	if (error == TW_TRANSFER_ENTRIES)
		snprintf(text, sizeof(text),
			 "All else has arrived, but %llu of the entries could not be transferred.",
			 (unsigned long long)sender->problems_bad);
	else if (error && !text[0])
		snprintf(text, sizeof(text), "The receiver ended the transfer without saying why.");
	tw_sender_finish(sender, error, text);
}

static void (*const handlers[])(struct tw_sender *sender, struct tw_message *message) = {
	[TW_MESSAGE_ANSWER] = on_answer,     [TW_MESSAGE_HELD] = on_held,
	[TW_MESSAGE_READY] = on_ready,       [TW_MESSAGE_AGAIN] = on_again,
	[TW_MESSAGE_PROGRESS] = on_progress, [TW_MESSAGE_PROBLEM] = on_problem,
	[TW_MESSAGE_DONE] = on_done,         [TW_MESSAGE_MISSED] = on_missed,
};

void tw_sender_message(struct tw_sender *sender, struct tw_message *message)
{
	if (!handlers[message->type]) {
		tw_sender_refuse(sender, TW_SESSION_CLOSE_ORDER,
				 "a message that a receiver does not send");
		return;
	}
	if (message->type != TW_MESSAGE_ANSWER && !sender->answered) {
		tw_sender_refuse(sender, TW_SESSION_CLOSE_ORDER, "a message before the answer");
		return;
	}
	handlers[message->type](sender, message);
}
