#include <string.h>

#include "session/receiver_private.h"

/* A datagram that fills more gaps than this comes from a peer that cuts for the sake of cutting. */
#define GAPS_MAX 64

void tw_receiver_gather_leave(struct tw_receiver_transfer *transfer)
{
	struct tw_receiver_hub *hub = transfer->hub;
	struct tw_receiver_job *job = transfer->gather;
	size_t i;

	if (!job)
		return;
	transfer->gather = NULL;
	for (i = 0; i < hub->gathering_count; i++) {
		if (hub->gathering[i] == transfer) {
			hub->gathering[i] = hub->gathering[--hub->gathering_count];
			break;
		}
	}
	tw_receiver_submit(transfer, job, TW_JOB_WRITE);
}

void tw_receiver_flush(struct tw_receiver_hub *hub, tw_ns now)
{
	hub->now = now;
	while (hub->gathering_count)
		tw_receiver_gather_leave(hub->gathering[hub->gathering_count - 1]);
}

/* True when the job under way takes @count more pieces of @length bytes in all. */
static bool gather_fits(const struct tw_receiver_transfer *transfer,
			const struct tw_receiver_conn *conn, size_t count, size_t length)
{
	const struct tw_receiver_job *job = transfer->gather;

	if (!job || job->conn != conn || job->job.piece_count + count > TW_JOB_PIECES_MAX)
		return false;
	return job->job.buffer || job->copy_length + length <= TW_RECEIVER_COPY_SIZE;
}

static bool gather_start(struct tw_receiver_transfer *transfer, struct tw_receiver_conn *conn)
{
	struct tw_receiver_hub *hub = transfer->hub;
	struct tw_receiver_job *job;

	tw_receiver_gather_leave(transfer);
	if (hub->data_jobs >= TW_RECEIVER_DATA_JOBS_MAX)
		return false;
	/* As many transfers as one buffer may touch; more share the wait for the next flush. */
	if (hub->gathering_count == TW_SESSION_TRANSFERS_MAX)
		tw_receiver_gather_leave(hub->gathering[0]);
	job = tw_receiver_job_new(hub);
	if (!job)
		return false;
	job->job.buffer = NULL;
	if (hub->options.current_buffer)
		job->job.buffer = hub->options.current_buffer(hub->options.buffer_context);
	if (!job->job.buffer && !tw_receiver_job_copy(job)) {
		tw_receiver_job_free(hub, job);
		return false;
	}
	job->job.piece_count = 0;
	job->job.piece_bytes = 0;
	job->copy_length = 0;
	job->conn = conn;
	conn->jobs_out++;
	hub->data_jobs++;
	transfer->gather = job;
	hub->gathering[hub->gathering_count++] = transfer;
	return true;
}

static void gather_add(struct tw_receiver_transfer *transfer, uint64_t offset, const uint8_t *bytes,
		       size_t length)
{
	struct tw_receiver_job *job = transfer->gather;
	struct tw_sink_piece *piece = &job->job.pieces[job->job.piece_count++];

	piece->offset = offset;
	piece->length = length;
	piece->bytes = bytes;
	job->job.piece_bytes += length;
	transfer->hub->memory += length;
	if (job->job.buffer)
		return;
	memcpy(job->copy + job->copy_length, bytes, length);
	piece->bytes = job->copy + job->copy_length;
	job->copy_length += length;
}

static bool take_piece(struct tw_receiver_transfer *transfer, struct tw_receiver_conn *conn,
		       const struct tw_data_ref *piece, const uint8_t *bytes)
{
	uint64_t end = piece->offset + piece->length, at, fresh = 0;
	struct tw_range gaps[GAPS_MAX];
	size_t count = 0, i;

	for (at = piece->offset; tw_ranges_next_gap(&transfer->received, at, end, &gaps[count]);
	     at = gaps[count - 1].end) {
		fresh += gaps[count].end - gaps[count].start;
		if (++count == GAPS_MAX)
			return false;
	}
	if (fresh && transfer->hub->memory + fresh > transfer->hub->options.memory_max)
		return false;
	/* One job is enough for all the gaps: they are taken together or not at all. */
	if (fresh && !gather_fits(transfer, conn, count, fresh) && !gather_start(transfer, conn))
		return false;
	if (tw_ranges_add(&transfer->received, piece->offset, end))
		return false;
	for (i = 0; i < count; i++)
		gather_add(transfer, gaps[i].start, bytes + (gaps[i].start - piece->offset),
			   gaps[i].end - gaps[i].start);
	transfer->bytes_received = transfer->received.total;
	if (fresh < piece->length)
		tw_conn_data_consumed(conn->conn, piece->length - fresh);
	return true;
}

bool tw_receiver_data(struct tw_receiver_conn *conn, const struct tw_data_ref *piece,
		      const uint8_t *bytes)
{
	struct tw_receiver_transfer *transfer;

	if (piece->transfer >= TW_SESSION_TRANSFERS_MAX)
		return false;
	transfer = conn->transfers[piece->transfer];
	if (!transfer)
		return false;
	/* Late repeats: nobody needs them, and the sender need not try again. */
	if (transfer->state == TW_RECEIVING_ENDING || transfer->state == TW_RECEIVING_OVER) {
		tw_conn_data_consumed(conn->conn, piece->length);
		return true;
	}
	if (transfer->state != TW_RECEIVING_RUNNING || !piece->length ||
	    piece->length > TW_RECEIVER_COPY_SIZE || piece->offset > transfer->ready ||
	    piece->length > transfer->ready - piece->offset)
		return false;
	return take_piece(transfer, conn, piece, bytes);
}
