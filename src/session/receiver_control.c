#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "session/receiver_private.h"

#define PROGRESS_PERIOD (250 * TW_MSEC)
/* Of a hole, for one job: a digest of zeros for each MiB of it takes a few milliseconds. */
#define HOLE_PART (UINT64_C(1) << 34)

/* False: the stream has no room now, stream_writable() follows. */
static bool send(struct tw_receiver_conn *conn, const struct tw_message *message)
{
	return conn->conn && tw_outbox_send(&conn->outbox, conn->conn, message);
}

/* About @transfer. */
static bool say(struct tw_receiver_transfer *transfer, const struct tw_message *message)
{
	if (!send(transfer->conn, message))
		return false;
	transfer->sent_at = transfer->hub->now;
	return true;
}

static bool send_hello(struct tw_receiver_conn *conn)
{
	struct tw_message message = { .type = TW_MESSAGE_HELLO };

	if (!conn->hello_unsaid)
		return true;
	message.hello.version = TW_SESSION_VERSION;
	message.hello.ids_known = true;
	memcpy(message.hello.server_id, conn->hub->options.server_id, TW_ID_SIZE);
	memcpy(message.hello.server_uid, conn->hub->options.server_uid, TW_ID_SIZE);
	message.hello.lanes = conn->hub->options.lanes;
	memcpy(message.hello.lane_token, conn->lane_token, TW_LANE_TOKEN_SIZE);
	conn->hello_unsaid = !send(conn, &message);
	return !conn->hello_unsaid;
}

static void send_limit(struct tw_receiver_conn *conn)
{
	struct tw_message message = { .type = TW_MESSAGE_LIMIT };

	message.limit.max_bps = conn->max_bps;
	if (conn->limit_unsaid)
		conn->limit_unsaid = !send(conn, &message);
}

bool tw_receiver_conn_pump(struct tw_receiver_conn *conn)
{
	if (!conn->conn || conn->refused || !tw_outbox_flush(&conn->outbox, conn->conn) ||
	    !send_hello(conn))
		return false;
	send_limit(conn);
	return true;
}

static bool send_answer(struct tw_receiver_transfer *transfer)
{
	struct tw_message message = { .type = TW_MESSAGE_ANSWER, .transfer = transfer->number };

	if (!transfer->answer_unsaid)
		return true;
	/* Only what never began is refused; what ended later says so with DONE. */
	if (transfer->state == TW_RECEIVING_OVER && !(transfer->answer_flags & TW_ANSWER_LIVE)) {
		message.answer.error = transfer->error;
		message.answer.text.bytes = transfer->message;
		message.answer.text.length = strlen(transfer->message);
		transfer->done_unsaid = false;
	}
	message.answer.flags = transfer->answer_flags;
	transfer->answer_unsaid = !say(transfer, &message);
	return !transfer->answer_unsaid;
}

/* As many of @ranges as fit one message, from the lowest on. */
static bool send_ranges(struct tw_receiver_transfer *transfer, enum tw_message_type type,
			struct tw_ranges *ranges)
{
	while (ranges->count) {
		struct tw_message message = { .type = type, .transfer = transfer->number };
		size_t count = ranges->count < TW_MESSAGE_RANGES_MAX ? ranges->count
								     : TW_MESSAGE_RANGES_MAX;

		message.ranges.at = ranges->at;
		message.ranges.count = count;
		if (!say(transfer, &message))
			return false;
		/* From the front: nothing is cut in two. */
		(void)tw_ranges_remove(ranges, ranges->at[0].start, ranges->at[count - 1].end);
	}
	return true;
}

static void send_ready(struct tw_receiver_transfer *transfer)
{
	struct tw_message message = { .type = TW_MESSAGE_READY, .transfer = transfer->number };

	if (transfer->ready <= transfer->ready_said)
		return;
	message.ready.offset = transfer->ready;
	if (say(transfer, &message))
		transfer->ready_said = transfer->ready;
}

static void send_problems(struct tw_receiver_transfer *transfer)
{
	while (transfer->problem_count) {
		const struct tw_receiver_problem *problem =
			&transfer->problems[transfer->problem_first];
		struct tw_message message = { .type = TW_MESSAGE_PROBLEM,
					      .transfer = transfer->number };

		message.problem.entry = problem->entry;
		message.problem.error = problem->error;
		message.problem.path.bytes = problem->path;
		message.problem.path.length = strnlen(problem->path, sizeof(problem->path));
		if (!say(transfer, &message))
			return;
		transfer->problem_first = (transfer->problem_first + 1) % TW_RECEIVER_PROBLEMS;
		transfer->problem_count--;
	}
}

static void send_progress(struct tw_receiver_transfer *transfer)
{
	struct tw_message message = { .type = TW_MESSAGE_PROGRESS, .transfer = transfer->number };
	tw_ns now = transfer->hub->now;

	if (tw_ns_since(now, transfer->progress_at) < PROGRESS_PERIOD)
		return;
	tw_receiver_transfer_progress(transfer, &message.progress);
	if (!memcmp(&message.progress, &transfer->progress_said, sizeof(message.progress)))
		return;
	if (!say(transfer, &message))
		return;
	transfer->progress_at = now;
	transfer->progress_said = message.progress;
}

static void send_done(struct tw_receiver_transfer *transfer)
{
	struct tw_message message = { .type = TW_MESSAGE_DONE, .transfer = transfer->number };

	if (!transfer->done_unsaid || transfer->problem_count)
		return;
	message.done.error = transfer->error;
	tw_receiver_transfer_progress(transfer, &message.done.progress);
	message.done.digest = transfer->progress.digest;
	message.done.text.bytes = transfer->message;
	message.done.text.length = strlen(transfer->message);
	if (say(transfer, &message))
		transfer->done_unsaid = false;
}

void tw_receiver_control_pump(struct tw_receiver_transfer *transfer)
{
	struct tw_receiver_conn *conn = transfer->conn;

	if (!tw_receiver_conn_pump(conn))
		return;
	if (transfer->state <= TW_RECEIVING_OPENING || !send_answer(transfer))
		return;
	if (transfer->state == TW_RECEIVING_RUNNING) {
		if (send_ranges(transfer, TW_MESSAGE_HELD, &transfer->held_unsaid))
			send_ready(transfer);
		send_ranges(transfer, TW_MESSAGE_AGAIN, &transfer->again_unsaid);
		send_ranges(transfer, TW_MESSAGE_MISSED, &transfer->missed_unsaid);
		send_progress(transfer);
	}
	send_problems(transfer);
	send_done(transfer);
}

/* Messages from the sender. */

static void submit_control(struct tw_receiver_transfer *transfer, struct tw_receiver_job *job,
			   enum tw_job_type type)
{
	job->control = true;
	transfer->control_jobs++;
	tw_receiver_submit(transfer, job, type);
}

static void answer_no(struct tw_receiver_conn *conn, uint64_t number, const char *text)
{
	struct tw_message message = { .type = TW_MESSAGE_ANSWER, .transfer = number };

	message.answer.error = TW_TRANSFER_RESOURCES;
	message.answer.text.bytes = text;
	message.answer.text.length = strlen(text);
	if (!send_hello(conn) || !send(conn, &message))
		tw_receiver_refuse(conn, TW_SESSION_CLOSE_RESOURCES, text);
}

static void on_offer(struct tw_receiver_conn *conn, struct tw_message *message)
{
	struct tw_receiver_transfer *transfer;
	uint64_t number = message->transfer;

	if (number < conn->number_next || conn->transfers[number % TW_SESSION_TRANSFERS_MAX]) {
		tw_receiver_refuse(conn, TW_SESSION_CLOSE_ORDER, "a number was offered twice");
		return;
	}
	conn->number_next = number + 1;
	if (conn->hub->stopping) {
		tw_receiver_refuse(conn, TW_SESSION_CLOSE_STOPPING, "the receiver is stopping");
		return;
	}
	if (tw_receiver_offer_is_late(conn, message)) {
		tw_receiver_refuse(conn, TW_SESSION_CLOSE_REPLACED, "a newer connection has come");
		return;
	}
	transfer = tw_receiver_transfer_find(conn, message);
	if (transfer) {
		const struct tw_receiver_events *events = &conn->hub->options.events;

		tw_receiver_transfer_attach(transfer, conn, number);
		if (events->started && transfer->state == TW_RECEIVING_RUNNING)
			events->started(conn->hub->options.events_context, transfer->id,
					transfer->destination_shown, true);
	} else if (tw_receiver_transfer_new(conn, message, &transfer)) {
		tw_receiver_early_offered(conn, number, NULL);
		answer_no(conn, number,
			  "The receiver has too many transfers at once; try again later.");
		return;
	} else {
		tw_receiver_transfer_attach(transfer, conn, number);
	}
	tw_receiver_early_offered(conn, number, transfer);
	transfer->attempt = message->offer.attempt;
	if (conn->conn) {
		struct tw_conn_info info;

		tw_conn_info(conn->conn, &info);
		transfer->path = info.path;
	}
	tw_receiver_transfer_pump(transfer);
}

static void on_total(struct tw_receiver_transfer *transfer, struct tw_message *message)
{
	transfer->total_bytes = message->total.bytes;
	transfer->total_files = message->total.files;
	transfer->total_known = message->total.final;
}

/* False: out of bounds, and the connection is closed. */
static bool below_ready(struct tw_receiver_transfer *transfer, const struct tw_range *range)
{
	if (range->end <= transfer->ready)
		return true;
	tw_receiver_transfer_refuse(transfer, "a range that the receiver is not ready for");
	return false;
}

/* A hole may have as many parts as the sender likes, and each of them be as long as he likes: what
 * is not begun here waits with its message. */
static void on_hole(struct tw_receiver_transfer *transfer, struct tw_message *message)
{
	uint64_t at = message->hole.start;
	struct tw_range gap;

	if (transfer->state != TW_RECEIVING_RUNNING || !below_ready(transfer, &message->hole))
		return;
	for (; transfer->control_jobs < TW_RECEIVER_CONTROL_JOBS &&
	       tw_ranges_next_gap(&transfer->received, at, message->hole.end, &gap);
	     at = gap.end) {
		struct tw_receiver_job *job = tw_receiver_job_new(transfer->hub);

		if (gap.end - gap.start > HOLE_PART)
			gap.end = gap.start + HOLE_PART;
		if (!job || tw_ranges_add(&transfer->received, gap.start, gap.end)) {
			if (job)
				tw_receiver_job_free(transfer->hub, job);
			tw_receiver_transfer_end(
				transfer, TW_TRANSFER_RESOURCES,
				"The receiver has no memory left; send again: what has arrived is kept.");
			return;
		}
		job->job.offset = gap.start;
		job->job.limit = gap.end;
		submit_control(transfer, job, TW_JOB_HOLE);
	}
	transfer->bytes_received = transfer->received.total;
}

static void on_abandon(struct tw_receiver_transfer *transfer, struct tw_message *message)
{
	struct tw_receiver_job *job;

	if (transfer->state != TW_RECEIVING_RUNNING ||
	    !below_ready(transfer, &message->abandon.range))
		return;
	job = tw_receiver_job_new(transfer->hub);
	if (!job || tw_ranges_add(&transfer->received, message->abandon.range.start,
				  message->abandon.range.end)) {
		if (job)
			tw_receiver_job_free(transfer->hub, job);
		tw_receiver_transfer_end(
			transfer, TW_TRANSFER_RESOURCES,
			"The receiver has no memory left; send again: what has arrived is kept.");
		return;
	}
	/* When it fails, the sender's user is told twice. */
	(void)tw_ranges_add(&transfer->abandoned, message->abandon.entry,
			    message->abandon.entry + 1);
	job->job.entry = message->abandon.entry;
	submit_control(transfer, job, TW_JOB_ABANDON);
}

static void on_sha256(struct tw_receiver_transfer *transfer, struct tw_message *message)
{
	struct tw_receiver_job *job;

	if (transfer->state != TW_RECEIVING_RUNNING)
		return;
	job = tw_receiver_job_new(transfer->hub);
	if (!job) {
		tw_receiver_transfer_end(
			transfer, TW_TRANSFER_RESOURCES,
			"The receiver has no memory left; send again: what has arrived is kept.");
		return;
	}
	job->job.entry = message->sha256.entry;
	memcpy(job->job.sha256, message->sha256.digest, sizeof(job->job.sha256));
	submit_control(transfer, job, TW_JOB_CHECK_SHA256);
}

static void on_done_ack(struct tw_receiver_transfer *transfer, struct tw_message *message)
{
	(void)message;
	if (transfer->state != TW_RECEIVING_OVER && transfer->state != TW_RECEIVING_ENDING)
		return;
	tw_receiver_transfer_finish(transfer);
	tw_receiver_transfer_let_go(transfer);
}

static void on_cancel(struct tw_receiver_transfer *transfer, struct tw_message *message)
{
	enum tw_transfer_error error = (enum tw_transfer_error)message->cancel.error;

	/* What has ended already has ended. */
	transfer->paused = message->cancel.paused && transfer->state < TW_RECEIVING_ENDING;
	tw_receiver_transfer_let_go(transfer);
	tw_receiver_transfer_cancel(transfer, error ? error : TW_TRANSFER_CANCELLED);
}

static void (*const handlers[])(struct tw_receiver_transfer *transfer,
				struct tw_message *message) = {
	[TW_MESSAGE_TOTAL] = on_total,
	[TW_MESSAGE_HOLE] = on_hole,
	[TW_MESSAGE_ABANDON] = on_abandon,
	[TW_MESSAGE_SHA256] = on_sha256,
	[TW_MESSAGE_DONE_ACK] = on_done_ack,
	[TW_MESSAGE_CANCEL] = on_cancel,
	[TW_MESSAGE_LAST] = NULL,
};

static void dispatch(struct tw_receiver_conn *conn, struct tw_message *message)
{
	struct tw_receiver_transfer *transfer;

	if (message->type == TW_MESSAGE_HELLO) {
		if (message->hello.version != TW_SESSION_VERSION)
			tw_receiver_refuse(conn, TW_SESSION_CLOSE_VERSION,
					   "unknown session version");
		return;
	}
	if (message->type == TW_MESSAGE_OFFER) {
		on_offer(conn, message);
		return;
	}
	if (!handlers[message->type]) {
		tw_receiver_refuse(conn, TW_SESSION_CLOSE_ORDER,
				   "a message that a sender does not send");
		return;
	}
	if (message->transfer >= conn->number_next) {
		tw_receiver_refuse(conn, TW_SESSION_CLOSE_ORDER, "a message about no transfer");
		return;
	}
	/* One that was refused or taken over may still be talked about. */
	transfer = tw_receiver_transfer_of(conn, message->transfer);
	if (!transfer)
		return;
	transfer->received_at = conn->hub->now;
	handlers[message->type](transfer, message);
	transfer = tw_receiver_transfer_of(conn, message->transfer);
	if (transfer)
		tw_receiver_transfer_pump(transfer);
}

/* True while messages must wait for the disk. */
static bool held_back(const struct tw_receiver_conn *conn)
{
	size_t i;

	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++) {
		if (conn->transfers[i] &&
		    conn->transfers[i]->control_jobs >= TW_RECEIVER_CONTROL_JOBS)
			return true;
	}
	return false;
}

/*
 * True for a message about an entry that the manifest has not told of yet: it comes over a stream
 * of its own, and an entry without content needs no READY before its sender speaks of it.
 */
static bool too_early(const struct tw_receiver_conn *conn, const struct tw_message *message)
{
	const struct tw_receiver_transfer *transfer =
		tw_receiver_transfer_of(conn, message->transfer);
	uint64_t entry;

	if (message->type == TW_MESSAGE_ABANDON)
		entry = message->abandon.entry;
	else if (message->type == TW_MESSAGE_SHA256)
		entry = message->sha256.entry;
	else
		return false;
	return transfer && transfer->state == TW_RECEIVING_RUNNING &&
	       !transfer->manifest_complete && entry >= transfer->entries_known;
}

/* Such a message behind a manifest that was cut off: its CANCEL is on its way. */
static bool pointless(const struct tw_receiver_conn *conn, const struct tw_message *message)
{
	const struct tw_receiver_transfer *transfer =
		tw_receiver_transfer_of(conn, message->transfer);

	return transfer->cut_at && !transfer->manifest_busy && !transfer->prepare_wanted;
}

/* True for a hole of which parts are left, for when some of its jobs are back. */
static bool unfinished(const struct tw_receiver_conn *conn, const struct tw_message *message)
{
	const struct tw_receiver_transfer *transfer =
		tw_receiver_transfer_of(conn, message->transfer);

	return message->type == TW_MESSAGE_HOLE && transfer &&
	       transfer->state == TW_RECEIVING_RUNNING && !conn->refused &&
	       !tw_ranges_contain(&transfer->received, message->hole.start, message->hole.end);
}

void tw_receiver_control_read(struct tw_receiver_conn *conn)
{
	struct tw_inbox *inbox = &conn->inbox;
	struct tw_message message;
	size_t length = 0;

	while (conn->conn && !conn->refused && !held_back(conn)) {
		int error = tw_message_read(tw_inbox_bytes(inbox), tw_inbox_length(inbox), &message,
					    &length);

		if (error == TW_E_AGAIN) {
			error = tw_inbox_fill(inbox, conn->conn, TW_STREAM_CONTROL);
			if (error == -ENOMEM)
				tw_receiver_refuse(conn, TW_SESSION_CLOSE_RESOURCES,
						   "no memory for a message");
			if (error)
				return;
			continue;
		}
		if (error && error != TW_E_END) {
			tw_receiver_refuse(conn, TW_SESSION_CLOSE_FORMAT,
					   "a message breaks the format");
			return;
		}
		if (!error && too_early(conn, &message)) {
			if (!pointless(conn, &message))
				return;
			error = TW_E_END;
		}
		if (!error) {
			dispatch(conn, &message);
			if (unfinished(conn, &message))
				return;
		}
		tw_inbox_drop(inbox, length);
	}
}
