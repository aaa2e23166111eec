#include <string.h>

#include "session/receiver_private.h"

/* A datagram that fills more gaps than this comes from a peer that cuts for the sake of cutting. */
#define GAPS_MAX 64

/*
 * Pieces gather in two jobs: one that borrows the buffer being handed in and leaves with it, and
 * one for crumbs, datagrams too few to hold a buffer for, which are copied. Crumbs wait while the
 * disk is busy with this transfer, so that their jobs grow with the load and nothing waits on an
 * idle disk. They leave before what comes behind them: bytes that are written in order are hashed
 * in passing, others have to be read back.
 */

static void list_remove(struct tw_receiver_hub *hub, const struct tw_receiver_transfer *transfer)
{
	size_t i;

	for (i = 0; i < hub->gathering_count; i++) {
		if (hub->gathering[i] == transfer) {
			hub->gathering[i] = hub->gathering[--hub->gathering_count];
			return;
		}
	}
}

static void leave(struct tw_receiver_transfer *transfer, struct tw_receiver_job **slot)
{
	struct tw_receiver_job *job = *slot;

	if (!job)
		return;
	*slot = NULL;
	transfer->writes_out++;
	tw_receiver_submit(transfer, job, TW_JOB_WRITE);
}

void tw_receiver_gather_leave(struct tw_receiver_transfer *transfer)
{
	leave(transfer, &transfer->gather);
	leave(transfer, &transfer->crumbs);
	list_remove(transfer->hub, transfer);
}

void tw_receiver_write_done(struct tw_receiver_transfer *transfer)
{
	transfer->writes_out--;
	if (!transfer->writes_out && transfer->crumbs)
		tw_receiver_gather_leave(transfer);
}

void tw_receiver_flush(struct tw_receiver_hub *hub, tw_ns now)
{
	size_t i;

	hub->now = now;
	hub->buffer_known = false;
	for (i = hub->gathering_count; i-- > 0;) {
		struct tw_receiver_transfer *transfer = hub->gathering[i];

		leave(transfer, &transfer->gather);
		if (!transfer->writes_out || !transfer->crumbs)
			tw_receiver_gather_leave(transfer);
	}
}

static struct tw_receiver_job **slot_now(struct tw_receiver_transfer *transfer, bool copied)
{
	struct tw_receiver_hub *hub = transfer->hub;

	if (copied)
		return &transfer->crumbs;
	if (hub->letter)
		return &transfer->gather;
	if (!hub->buffer_known) {
		hub->buffer = hub->options.current_buffer
				      ? hub->options.current_buffer(hub->options.buffer_context)
				      : NULL;
		hub->buffer_known = true;
	}
	return hub->buffer ? &transfer->gather : &transfer->crumbs;
}

/* True when @job takes @count more pieces of @length bytes in all. */
static bool fits(const struct tw_receiver_job *job, const struct tw_receiver_conn *conn,
		 size_t count, size_t length)
{
	if (!job || job->conn != conn || job->job.piece_count + count > TW_JOB_PIECES_MAX)
		return false;
	return job->job.buffer || job->letter || job->copy_length + length <= TW_RECEIVER_COPY_SIZE;
}

static unsigned *jobs_of(struct tw_receiver_hub *hub, const struct tw_letter_pieces *letter)
{
	return letter ? &hub->lane_jobs : &hub->data_jobs;
}

/* A new job in @slot; what was there leaves. False: no memory or too many. */
static bool start(struct tw_receiver_transfer *transfer, struct tw_receiver_conn *conn,
		  struct tw_receiver_job **slot)
{
	struct tw_receiver_hub *hub = transfer->hub;
	struct tw_receiver_job *job;

	leave(transfer, slot);
	if (slot == &transfer->gather)
		leave(transfer, &transfer->crumbs);
	if (*jobs_of(hub, hub->letter) >= TW_RECEIVER_DATA_JOBS_MAX)
		return false;
	list_remove(hub, transfer);
	/* As many transfers as one buffer may touch; more do not gather for long. */
	if (hub->gathering_count == TW_SESSION_TRANSFERS_MAX)
		tw_receiver_gather_leave(hub->gathering[0]);
	hub->gathering[hub->gathering_count++] = transfer;
	job = tw_receiver_job_new(hub);
	if (!job)
		return false;
	if (slot == &transfer->gather) {
		job->letter = hub->letter;
		job->job.buffer = hub->letter ? NULL : hub->buffer;
	} else if (!tw_receiver_job_copy(job)) {
		tw_receiver_job_free(hub, job);
		return false;
	}
	if (job->letter)
		tw_receiver_letter_hold(job->letter);
	job->job.piece_count = 0;
	job->job.piece_bytes = 0;
	job->copy_length = 0;
	job->conn = conn;
	conn->jobs_out++;
	++*jobs_of(hub, job->letter);
	*slot = job;
	return true;
}

/* Behind the piece before on the tape as in the copy: one with it. */
static bool extend_last(struct tw_receiver_job *job, uint64_t offset, size_t length)
{
	struct tw_sink_piece *last;

	if (!job->job.piece_count)
		return false;
	last = &job->job.pieces[job->job.piece_count - 1];
	if (last->offset + last->length != offset)
		return false;
	last->length += length;
	return true;
}

static void add(struct tw_receiver_transfer *transfer, struct tw_receiver_job *job, uint64_t offset,
		const uint8_t *bytes, size_t length)
{
	job->job.piece_bytes += length;
	transfer->hub->memory += length;
	if (!job->job.buffer && !job->letter) {
		uint8_t *copy = job->copy + job->copy_length;

		memcpy(copy, bytes, length);
		job->copy_length += length;
		bytes = copy;
		if (extend_last(job, offset, length))
			return;
	}
	job->job.pieces[job->job.piece_count++] =
		(struct tw_sink_piece){ .offset = offset, .bytes = bytes, .length = length };
}

bool tw_receiver_take_piece(struct tw_receiver_transfer *transfer, struct tw_receiver_conn *conn,
			    const struct tw_data_ref *piece, const uint8_t *bytes, bool copied)
{
	uint64_t end = piece->offset + piece->length, at, fresh = 0;
	struct tw_receiver_job **slot = slot_now(transfer, copied);
	struct tw_range gaps[GAPS_MAX];
	size_t count = 0, i;

	for (at = piece->offset; tw_ranges_next_gap(&transfer->received, at, end, &gaps[count]);
	     at = gaps[count - 1].end) {
		fresh += gaps[count].end - gaps[count].start;
		if (++count == GAPS_MAX)
			return false;
	}
	/* Those of a lane are there already, and the lane keeps to its room. */
	if (fresh && !transfer->hub->letter &&
	    transfer->hub->memory + fresh > transfer->hub->options.memory_max)
		return false;
	/* One job is enough for all the gaps: they are taken together or not at all. */
	if (fresh && !fits(*slot, conn, count, fresh) && !start(transfer, conn, slot))
		return false;
	if (tw_ranges_add(&transfer->received, piece->offset, end))
		return false;
	for (i = 0; i < count; i++)
		add(transfer, *slot, gaps[i].start, bytes + (gaps[i].start - piece->offset),
		    gaps[i].end - gaps[i].start);
	transfer->bytes_received = transfer->received.total;
	if (fresh < piece->length && !transfer->hub->letter)
		tw_conn_data_consumed(conn->conn, piece->length - fresh);
	return true;
}

bool tw_receiver_data(struct tw_receiver_conn *conn, const struct tw_data_ref *piece,
		      const uint8_t *bytes)
{
	struct tw_receiver_transfer *transfer;

	transfer = tw_receiver_transfer_of(conn, piece->transfer);
	if (!transfer) {
		/* Ended: what is still under way is nobody's. */
		if (piece->transfer >= conn->number_next)
			return tw_receiver_early_keep(conn, piece, bytes);
		tw_conn_data_consumed(conn->conn, piece->length);
		return true;
	}
	transfer->received_at = transfer->hub->now;
	/* Late repeats: nobody needs them, and the sender need not try again. */
	if (transfer->state == TW_RECEIVING_ENDING || transfer->state == TW_RECEIVING_OVER) {
		tw_conn_data_consumed(conn->conn, piece->length);
		return true;
	}
	if (!piece->length || piece->length > TW_RECEIVER_COPY_SIZE)
		return false;
	if (transfer->state == TW_RECEIVING_RUNNING && piece->offset < transfer->ready &&
	    piece->length <= transfer->ready - piece->offset)
		return tw_receiver_take_piece(transfer, conn, piece, bytes, false);
	return tw_receiver_early_take(transfer, piece, bytes);
}
