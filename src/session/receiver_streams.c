#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "session/receiver_private.h"

#define CUT_PATIENCE (10 * TW_SECOND)

static void drain(struct tw_conn *conn, uint64_t stream)
{
	uint8_t bytes[4096];

	while (tw_conn_stream_read(conn, stream, bytes, sizeof(bytes), NULL))
		;
}

void tw_receiver_streams_drain(struct tw_receiver_conn *conn, uint64_t number)
{
	if (!conn->conn)
		return;
	drain(conn->conn, TW_STREAM_MANIFEST(number));
	drain(conn->conn, TW_STREAM_DIGESTS(number));
}

static bool submit_prepare(struct tw_receiver_transfer *transfer)
{
	struct tw_receiver_job *job = tw_receiver_job_new(transfer->hub);

	if (!job)
		return false;
	transfer->prepare_wanted = false;
	transfer->manifest_busy = true;
	tw_receiver_submit(transfer, job, TW_JOB_PREPARE);
	return true;
}

/* A sender that ends in the middle cuts its streams, and its CANCEL may come behind them. */
static void cut_off(struct tw_receiver_transfer *transfer)
{
	tw_ns now = transfer->hub->now;

	if (!transfer->cut_at)
		transfer->cut_at = now;
	else if (tw_ns_since(now, transfer->cut_at) >= CUT_PATIENCE)
		tw_receiver_transfer_refuse(transfer, "the manifest is cut off");
}

/* One piece of the manifest at a time: as fast as the sink prepares, the rest waits in the
 * connection. */
void tw_receiver_manifest_pump(struct tw_receiver_transfer *transfer)
{
	struct tw_receiver_job *job;
	uint64_t stream = TW_STREAM_MANIFEST(transfer->number);
	size_t length;

	if (transfer->manifest_busy || transfer->manifest_complete)
		return;
	if (transfer->prepare_wanted) {
		submit_prepare(transfer);
		return;
	}
	if (transfer->manifest_ended) {
		cut_off(transfer);
		return;
	}
	if (!transfer->conn || !transfer->conn->conn)
		return;
	job = tw_receiver_job_new(transfer->hub);
	if (!job)
		return;
	if (!tw_receiver_job_copy(job)) {
		tw_receiver_job_free(transfer->hub, job);
		return;
	}
	length = tw_conn_stream_read(transfer->conn->conn, stream, job->copy, TW_RECEIVER_COPY_SIZE,
				     &transfer->manifest_ended);
	if (!length) {
		tw_receiver_job_free(transfer->hub, job);
		if (transfer->manifest_ended)
			cut_off(transfer);
		return;
	}
	job->job.bytes = job->copy;
	job->job.length = length;
	transfer->manifest_busy = true;
	tw_receiver_submit(transfer, job, TW_JOB_MANIFEST);
}

/* False: no memory now. */
static bool take_record(struct tw_receiver_transfer *transfer,
			const struct tw_digest_record *record)
{
	uint64_t past = record->chunk_first + record->count;
	struct tw_receiver_job *job;

	/* After a change of connection the sender repeats what may have been lost with the old one.
	 */
	if (tw_ranges_contain(&transfer->chunks, record->chunk_first, past))
		return true;
	job = tw_receiver_job_new(transfer->hub);
	if (!job)
		return false;
	if (!tw_receiver_job_copy(job)) {
		tw_receiver_job_free(transfer->hub, job);
		return false;
	}
	memcpy(job->copy, record->digests, record->count * TW_DIGEST_SIZE);
	job->job.block.chunk_first = record->chunk_first;
	job->job.block.chunk_count = record->count;
	job->job.block.digests = (struct tw_digest *)(void *)job->copy;
	/* A set that is full only lets repeats through. */
	(void)tw_ranges_add(&transfer->chunks, record->chunk_first, past);
	transfer->digest_jobs++;
	tw_receiver_submit(transfer, job, TW_JOB_DIGESTS);
	return true;
}

void tw_receiver_digests_pump(struct tw_receiver_transfer *transfer)
{
	struct tw_inbox *inbox = &transfer->digests;
	struct tw_digest_record record;
	size_t length = 0;
	int error;

	while (transfer->digest_jobs < TW_RECEIVER_DIGEST_JOBS && transfer->conn &&
	       transfer->conn->conn) {
		error = tw_digest_record_read(tw_inbox_bytes(inbox), tw_inbox_length(inbox),
					      &record, &length);
		if (error == TW_E_AGAIN) {
			error = tw_inbox_fill(inbox, transfer->conn->conn,
					      TW_STREAM_DIGESTS(transfer->number));
			if (error)
				return;
			continue;
		}
		if (error) {
			tw_receiver_transfer_refuse(transfer,
						    "a record of digests breaks the format");
			return;
		}
		/* Early ones wait until their entries are prepared. */
		if (record.chunk_first + record.count > transfer->chunks_ready &&
		    !transfer->manifest_complete)
			return;
		if (!take_record(transfer, &record))
			return;
		tw_inbox_drop(inbox, length);
	}
}
