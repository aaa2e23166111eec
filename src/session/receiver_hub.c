#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "session/receiver_private.h"

#define MEMORY_MAX_DEFAULT (UINT64_C(48) << 20)
#define LINGER_DEFAULT (60 * TW_SECOND)

int tw_receiver_hub_new(const struct tw_receiver_options *options, tw_ns now,
			struct tw_receiver_hub **ret)
{
	struct tw_receiver_hub *hub = calloc(1, sizeof(*hub));

	if (!hub)
		return -ENOMEM;
	hub->transfers = calloc(TW_RECEIVER_TRANSFERS_MAX, sizeof(*hub->transfers));
	if (!hub->transfers) {
		free(hub);
		return -ENOMEM;
	}
	hub->options = *options;
	if (!hub->options.memory_max)
		hub->options.memory_max = MEMORY_MAX_DEFAULT;
	if (!hub->options.linger)
		hub->options.linger = LINGER_DEFAULT;
	hub->now = now;
	assert(options->lanes <= TW_LANES_MAX && (!options->lanes || options->random));
	if (!hub->options.id_first)
		hub->options.id_first = 1;
	if (!hub->options.id_step)
		hub->options.id_step = 1;
	hub->id_next = hub->options.id_first;
	*ret = hub;
	return 0;
}

static void conn_free(struct tw_receiver_conn *conn)
{
	size_t i;

	conn->conn = NULL;
	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++)
		tw_receiver_early_drop(conn, &conn->early[i]);
	tw_inbox_deinit(&conn->inbox);
	tw_outbox_deinit(&conn->outbox);
	free(conn);
}

void tw_receiver_hub_free(struct tw_receiver_hub *hub)
{
	size_t i;

	if (!hub)
		return;
	assert(tw_receiver_hub_idle(hub) && !hub->berths);
	for (i = 0; i < hub->transfer_count; i++)
		tw_receiver_transfer_free(hub->transfers[i]);
	for (i = 0; i < hub->conn_count; i++)
		conn_free(hub->conns[i]);
	while (hub->jobs_free) {
		struct tw_receiver_job *job = hub->jobs_free;

		hub->jobs_free = job->next;
		free(job->copy);
		free(job);
	}
	free(hub->transfers);
	free(hub->conns);
	free(hub);
}

bool tw_receiver_hub_idle(const struct tw_receiver_hub *hub)
{
	return !hub->jobs_out;
}

void tw_receiver_hub_stop(struct tw_receiver_hub *hub)
{
	size_t i;

	hub->stopping = true;
	tw_receiver_lanes_stop(hub);
	for (i = hub->transfer_count; i-- > 0;)
		tw_receiver_transfer_drop(hub->transfers[i]);
}

struct tw_receiver_job *tw_receiver_job_new(struct tw_receiver_hub *hub)
{
	struct tw_receiver_job *job = hub->jobs_free;

	if (job) {
		hub->jobs_free = job->next;
	} else {
		/* Big, and most of it stays untouched: not zeroed. */
		job = malloc(sizeof(*job));
		if (!job)
			return NULL;
		job->copy = NULL;
	}
	job->transfer = NULL;
	job->conn = NULL;
	job->letter = NULL;
	job->control = false;
	job->copy_length = 0;
	job->job.buffer = NULL;
	return job;
}

uint8_t *tw_receiver_job_copy(struct tw_receiver_job *job)
{
	if (!job->copy)
		job->copy = malloc(TW_RECEIVER_COPY_SIZE);
	return job->copy;
}

void tw_receiver_job_free(struct tw_receiver_hub *hub, struct tw_receiver_job *job)
{
	job->next = hub->jobs_free;
	hub->jobs_free = job;
}

void tw_receiver_submit(struct tw_receiver_transfer *transfer, struct tw_receiver_job *job,
			enum tw_job_type type)
{
	struct tw_receiver_hub *hub = transfer->hub;

	job->transfer = transfer;
	job->job.type = type;
	job->job.owner = hub;
	job->job.transfer = transfer->id;
	job->job.sink = transfer->sink;
	transfer->jobs_out++;
	hub->jobs_out++;
	hub->options.port.submit(hub->options.port.context, &job->job);
}

/* Takes back the memory that the pieces of @job took. */
static void release_pieces(struct tw_receiver_hub *hub, struct tw_receiver_job *job)
{
	struct tw_receiver_conn *conn = job->conn;

	hub->memory -= job->job.piece_bytes;
	if (job->letter) {
		hub->lane_jobs--;
		tw_receiver_letter_put(job->letter);
	} else {
		hub->data_jobs--;
		if (conn->conn)
			tw_conn_data_consumed(conn->conn, job->job.piece_bytes);
	}
	conn->jobs_out--;
	tw_receiver_conn_put(conn);
}

void tw_receiver_job_done(struct tw_receiver_hub *hub, struct tw_job *carried, tw_ns now)
{
	struct tw_receiver_job *job = (struct tw_receiver_job *)(void *)carried;
	struct tw_receiver_transfer *transfer = job->transfer;
	struct tw_receiver_conn *conn;
	bool unblocks =
		job->control || carried->type == TW_JOB_MANIFEST || carried->type == TW_JOB_PREPARE;

	hub->now = now;
	hub->jobs_out--;
	transfer->jobs_out--;
	if (carried->type == TW_JOB_WRITE) {
		release_pieces(hub, job);
		tw_receiver_write_done(transfer);
	}
	tw_receiver_transfer_job_done(transfer, job);
	if (job != transfer->close_job && job != transfer->checkpoint_job)
		tw_receiver_job_free(hub, job);
	conn = transfer->conn;
	tw_receiver_transfer_pump(transfer);
	/* Messages may have been waiting for it. */
	if (unblocks && conn)
		tw_receiver_control_read(conn);
}

void tw_receiver_tick(struct tw_receiver_hub *hub, tw_ns now)
{
	size_t i;

	tw_receiver_flush(hub, now);
	/* Backwards: a transfer that goes is replaced by the last one. */
	for (i = hub->transfer_count; i-- > 0;)
		tw_receiver_transfer_tick(hub->transfers[i]);
}

void tw_receiver_held(struct tw_receiver_hub *hub, const struct tw_public_key *peer,
		      enum tw_receiver_held what, int change)
{
	if (hub->options.held)
		hub->options.held(hub->options.held_context, peer, what, change);
}

/* Connections. */

static size_t conns_of_peer(const struct tw_receiver_hub *hub, const struct tw_public_key *peer)
{
	size_t i, count = 0;

	for (i = 0; i < hub->conn_count; i++)
		count += !memcmp(hub->conns[i]->peer.bytes, peer->bytes, sizeof(peer->bytes));
	return count;
}

int tw_receiver_admit(struct tw_receiver_hub *hub, const struct tw_public_key *peer,
		      const struct tw_conn_app **ret_app, void **ret_context)
{
	struct tw_receiver_conn *conn;

	if (hub->stopping)
		return TW_E_CLOSED;
	if (conns_of_peer(hub, peer) >= TW_RECEIVER_CONNS_PEER)
		return TW_E_FULL;
	if (hub->conn_count == hub->conn_room) {
		size_t room = hub->conn_room ? hub->conn_room * 2 : 16;
		struct tw_receiver_conn **conns =
			realloc(hub->conns, room * sizeof(struct tw_receiver_conn *));

		if (!conns)
			return -ENOMEM;
		hub->conns = conns;
		hub->conn_room = room;
	}
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	if (tw_outbox_init(&conn->outbox)) {
		free(conn);
		return -ENOMEM;
	}
	conn->hub = hub;
	conn->peer = *peer;
	conn->hello_unsaid = true;
	if (hub->options.lanes)
		tw_random_fill(hub->options.random, conn->lane_token, sizeof(conn->lane_token));
	tw_inbox_init(&conn->inbox, TW_MESSAGE_ROOM);
	hub->conns[hub->conn_count++] = conn;
	tw_receiver_held(hub, peer, TW_RECEIVER_HELD_CONN, 1);
	*ret_app = &tw_receiver_app;
	*ret_context = conn;
	return 0;
}

void tw_receiver_conn_put(struct tw_receiver_conn *conn)
{
	struct tw_receiver_hub *hub = conn->hub;
	size_t i;

	if (!conn->closed || conn->jobs_out)
		return;
	for (i = 0; i < hub->conn_count; i++) {
		if (hub->conns[i] == conn) {
			hub->conns[i] = hub->conns[--hub->conn_count];
			break;
		}
	}
	conn_free(conn);
}

void tw_receiver_refuse(struct tw_receiver_conn *conn, enum tw_session_close code,
			const char *reason)
{
	if (conn->refused || !conn->conn)
		return;
	conn->refused = true;
	tw_receiver_lanes_leave(conn);
	tw_conn_close(conn->conn, code, reason);
}

struct tw_receiver_transfer *tw_receiver_transfer_of(const struct tw_receiver_conn *conn,
						     uint64_t number)
{
	struct tw_receiver_transfer *transfer = conn->transfers[number % TW_SESSION_TRANSFERS_MAX];

	return transfer && transfer->number == number ? transfer : NULL;
}

void tw_receiver_set_limit(struct tw_receiver_hub *hub, const struct tw_conn *conn,
			   uint64_t max_bps)
{
	size_t i;

	/* Nothing at all cannot be said: a bit a second comes close. */
	if (!max_bps)
		max_bps = 1;
	if (max_bps > TW_VARINT_MAX)
		max_bps = 0;
	for (i = 0; i < hub->conn_count; i++) {
		struct tw_receiver_conn *ours = hub->conns[i];

		if (ours->conn != conn || ours->max_bps == max_bps)
			continue;
		ours->max_bps = max_bps;
		ours->limit_unsaid = true;
		tw_receiver_conn_pump(ours);
	}
}

static void on_established(void *app, struct tw_conn *conn)
{
	struct tw_receiver_conn *ours = app;

	ours->conn = conn;
}

static void on_closed(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
		      const char *reason)
{
	struct tw_receiver_conn *ours = app;
	bool lost = end != TW_CONN_CLOSED_PEER || code == TW_SESSION_CLOSE_REPLACED;
	size_t i;

	(void)conn;
	(void)reason;
	ours->conn = NULL;
	ours->closed = true;
	tw_receiver_lanes_leave(ours);
	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++) {
		if (ours->transfers[i])
			tw_receiver_transfer_detach(ours->transfers[i], lost);
		tw_receiver_early_drop(ours, &ours->early[i]);
	}
	tw_receiver_held(ours->hub, &ours->peer, TW_RECEIVER_HELD_CONN, -1);
	tw_receiver_conn_put(ours);
}

static bool on_data_received(void *app, struct tw_conn *conn, const struct tw_data_ref *piece,
			     const uint8_t *bytes)
{
	struct tw_receiver_conn *ours = app;

	ours->conn = conn;
	return !ours->refused && tw_receiver_data(ours, piece, bytes);
}

/* False: streams of so many transfers that were never offered cannot be. */
static bool note_early(struct tw_receiver_conn *conn, uint64_t number)
{
	uint64_t *slot = NULL;
	size_t i;

	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++) {
		if (conn->early_streams[i] == number + 1)
			return true;
		if (conn->early_streams[i] <= conn->number_next)
			slot = &conn->early_streams[i];
	}
	if (slot)
		*slot = number + 1;
	return slot != NULL;
}

static void on_stream_readable(void *app, struct tw_conn *conn, uint64_t stream)
{
	struct tw_receiver_conn *ours = app;
	struct tw_receiver_transfer *transfer;
	uint64_t number = TW_STREAM_TRANSFER(stream);

	ours->conn = conn;
	if (ours->refused)
		return;
	if (stream == TW_STREAM_CONTROL) {
		tw_receiver_control_read(ours);
		return;
	}
	if (number >= ours->number_next && !note_early(ours, number)) {
		tw_receiver_refuse(ours, TW_SESSION_CLOSE_ORDER, "streams of too many transfers");
		return;
	}
	transfer = tw_receiver_transfer_of(ours, number);
	/* Bytes may come before the offer they belong to: they wait in the connection. */
	if (transfer)
		tw_receiver_transfer_pump(transfer);
	else if (number < ours->number_next)
		tw_receiver_streams_drain(ours, number);
}

static void on_stream_writable(void *app, struct tw_conn *conn, uint64_t stream)
{
	struct tw_receiver_conn *ours = app;
	size_t i;

	ours->conn = conn;
	if (ours->refused || stream != TW_STREAM_CONTROL)
		return;
	if (!tw_receiver_conn_pump(ours))
		return;
	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++) {
		if (ours->transfers[i])
			tw_receiver_transfer_pump(ours->transfers[i]);
	}
}

/* A receiver sends no data. */
const struct tw_conn_app tw_receiver_app = {
	.established = on_established,
	.closed = on_closed,
	.data_received = on_data_received,
	.stream_readable = on_stream_readable,
	.stream_writable = on_stream_writable,
};

/* Status. */

size_t tw_receiver_count(const struct tw_receiver_hub *hub)
{
	return hub->transfer_count;
}

bool tw_receiver_status(const struct tw_receiver_hub *hub, size_t index,
			struct tw_receiver_status *ret)
{
	const struct tw_receiver_transfer *transfer;
	struct tw_message_progress progress;

	if (index >= hub->transfer_count)
		return false;
	transfer = hub->transfers[index];
	tw_receiver_transfer_progress(transfer, &progress);
	*ret = (struct tw_receiver_status){
		.id = transfer->id,
		.peer = transfer->peer,
		.path = transfer->path,
		.connected = transfer->conn != NULL,
		.finished = transfer->finished,
		.paused = transfer->paused,
		.put_away = transfer->put_away,
		.last_received_at = transfer->received_at,
		.last_sent_at = transfer->sent_at,
		.last_error_at = transfer->failed_at,
		.error = transfer->error,
		.total_known = transfer->total_known,
		.total_bytes = transfer->total_bytes,
		.total_files = transfer->total_files,
		.bytes_received = progress.bytes_received,
		.bytes_durable = progress.bytes_durable,
		.bytes_held = progress.bytes_held,
		.files_done = progress.files_done,
		.files_skipped = progress.files_skipped,
		.files_failed = progress.files_failed,
		.digest = transfer->progress.digest,
		.started_at = transfer->started_at,
		.finished_at = transfer->finished_at,
	};
	memcpy(ret->key, transfer->sink_options.transfer_key, sizeof(ret->key));
	memcpy(ret->destination, transfer->destination_shown, sizeof(ret->destination));
	memcpy(ret->message, transfer->message, sizeof(ret->message));
	return true;
}
