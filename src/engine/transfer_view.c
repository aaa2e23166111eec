/* transfer_view.c - what a Transfer shows. */
#include <string.h>

#include "engine/engine_internal.h"
#include "netio/clock.h"

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void tw_transfer_figures(const struct tw_transfer *transfer, struct tw_transfer_figures *ret)
{
	const struct tw_worker_transfer_status *live = tw_transfer_live(transfer);
	const struct tw_sender_status *sender = live ? &live->sender : NULL;

	*ret = transfer->earlier;
	if (!live)
		return;
	ret->pieces_sent += sender->pieces_sent;
	ret->pieces_retransmitted += sender->pieces_retransmitted;
	ret->bytes_sent += live->bytes_sent;
	ret->content_sent += sender->bytes_sent;
	ret->bytes_retransmitted += sender->bytes_retransmitted;
	ret->bytes_read += sender->bytes_read;
	ret->bytes_recv += live->bytes_received;
	ret->packets_sent += live->packets_sent;
	ret->packets_recv += live->packets_received;
	if (live->block_bytes)
		ret->block_bytes = live->block_bytes;
	/* Before the receiver has told what it holds, the last run knows better. */
	ret->bytes_acked = larger(ret->bytes_acked, sender->bytes_acked);
	ret->bytes_durable = larger(ret->bytes_durable, sender->bytes_durable);
	ret->files_complete =
		larger(ret->files_complete, sender->files_done + sender->files_skipped);
}

static uint64_t blocks(uint64_t bytes, uint64_t block_bytes)
{
	return block_bytes ? (bytes + block_bytes - 1) / block_bytes : TW_UNSET;
}

static void fill_figures(const struct tw_transfer *transfer, struct tw_transfer_view *view)
{
	struct tw_transfer_figures figures;
	double smooth = tw_samples_smooth_bps(transfer->samples);

	tw_transfer_figures(transfer, &figures);
	if (figures.bytes_acked > transfer->total_bytes)
		figures.bytes_acked = transfer->total_bytes;
	view->total_bytes = transfer->total_bytes;
	view->total_files = transfer->total_files;
	view->block_size = figures.block_bytes ? figures.block_bytes : TW_UNSET;
	view->total_blocks = blocks(transfer->total_bytes, figures.block_bytes);
	view->blocks_sent = figures.pieces_sent;
	view->blocks_acked =
		figures.block_bytes ? blocks(figures.bytes_acked, figures.block_bytes) : 0;
	view->blocks_retransmitted = figures.pieces_retransmitted;
	view->bytes_sent = figures.bytes_sent;
	view->bytes_recv = figures.bytes_recv;
	view->packets_sent = figures.packets_sent;
	view->packets_recv = figures.packets_recv;
	view->bytes_acked = figures.bytes_acked;
	view->bytes_durable = figures.bytes_durable;
	view->files_complete = figures.files_complete;
	view->throughput =
		transfer->state == TW_STATE_ACTIVE ? tw_samples_throughput(transfer->samples) : 0;
	view->estimated_seconds_remaining = -1;
	if (transfer->state == TW_STATE_COMPLETE)
		view->estimated_seconds_remaining = 0;
	else if (transfer->state == TW_STATE_ACTIVE && smooth > 0)
		view->estimated_seconds_remaining =
			(double)(transfer->total_bytes - figures.bytes_acked) * 8 / smooth;
}

const struct tw_transfer_view *tw_transfer_view(struct tw_transfer *transfer)
{
	struct tw_engine *engine = transfer->object.engine;
	struct tw_transfer_view *view = &engine->transfer_view;
	tw_ns at =
		engine->snapshot_at > transfer->requested_at ? engine->snapshot_at : tw_clock_now();

	*view = (struct tw_transfer_view){
		.transfer_id = transfer->object.id,
		.destination_id = transfer->destination_id,
		.destination_path = transfer->destination_path ? transfer->destination_path : "",
		.manifest_id = transfer->manifest_id,
		.priority = transfer->priority,
		.status = tw_transfer_state_name(transfer->state),
		.processing = !tw_transfer_over(transfer),
		.error_message = transfer->error_message,
		.request_time = transfer->request_time,
		.queue_time = transfer->queue_time,
		.start_time = transfer->start_time,
		.end_time = transfer->end_time,
		.snapshot_time = tw_transfer_time(transfer, at),
		.checkpoint_frequency_seconds =
			transfer->checkpoint_seconds ? transfer->checkpoint_seconds : TW_UNSET,
		.overwrite_mode = transfer->overwrite_mode,
		.transfer_flags = transfer->flags,
		.send_rate_max = transfer->send_rate_max,
		.digest = transfer->digest,
		.user_data = transfer->object.user_data,
		.problems = { (const char *const *)transfer->problems, transfer->problem_count },
	};
	/* What has changed since is shown already: so is its time. */
	if (view->snapshot_time < view->end_time)
		view->snapshot_time = view->end_time;
	if (view->snapshot_time < view->start_time)
		view->snapshot_time = view->start_time;
	fill_figures(transfer, view);
	tw_object_ownership(&transfer->object, &view->ownership);
	return view;
}
