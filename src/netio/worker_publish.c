/* worker_publish.c - events and snapshots: what the control thread sees of a worker. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netio/worker_private.h"

#define FRESH 4u /* beside an index into the three snapshots */

static void ring_bell(struct tw_worker *worker)
{
	uint64_t one = 1;

	/* Fails only when the counter is about to overflow, and then it is readable anyway. */
	if (write(worker->control_fd, &one, sizeof one) < 0)
		return;
}

static bool room_for_file_event(struct tw_worker *worker)
{
	if (tw_ring_count(&worker->events) < TW_WORKER_EVENTS / 4 * 3)
		return true;
	worker->events_lost++;
	return false;
}

static void emit(struct tw_worker *worker, struct tw_worker_event *event, const char *text)
{
	snprintf(event->text, sizeof event->text, "%s", text ? text : "");
	if (!tw_ring_push(&worker->events, event))
		worker->events_lost++;
	ring_bell(worker);
}

/* The transfer as it is at the moment: it may be gone from the next snapshot. */
static void add_transfer(const struct tw_worker *worker, struct tw_worker_event *event)
{
	for (size_t i = 0; i < tw_receiver_count(worker->hub); i++)
		if (tw_receiver_status(worker->hub, i, &event->transfer) &&
		    event->transfer.id == event->id)
			return;
	event->transfer = (struct tw_receiver_status){ .id = event->id };
}

static void on_started(void *context, uint64_t id, const char *destination, bool resumed)
{
	struct tw_worker_event event = { .type = resumed ? TW_WORKER_RESUMED : TW_WORKER_STARTED,
					 .id = id };

	add_transfer(context, &event);
	emit(context, &event, destination);
}

static void on_file_done(void *context, uint64_t id, const char *path)
{
	struct tw_worker_event event = { .type = TW_WORKER_FILE_DONE, .id = id };
	struct tw_worker *worker = context;

	if (worker->file_events && room_for_file_event(worker))
		emit(worker, &event, path);
}

static void on_file_failed(void *context, uint64_t id, const char *path, int error)
{
	struct tw_worker_event event = { .type = TW_WORKER_FILE_FAILED, .id = id, .error = error };

	if (room_for_file_event(context))
		emit(context, &event, path);
}

static void on_finished(void *context, uint64_t id, enum tw_transfer_error error,
			const char *message)
{
	struct tw_worker_event event = { .type = TW_WORKER_FINISHED,
					 .id = id,
					 .error = (int)error };
	struct tw_worker *worker = context;

	add_transfer(worker, &event);
	worker->publish_at = 0;
	emit(worker, &event, message);
}

struct tw_receiver_events tw_worker_receiver_events(void)
{
	return (struct tw_receiver_events){
		.started = on_started,
		.file_done = on_file_done,
		.file_failed = on_file_failed,
		.finished = on_finished,
	};
}

/* Problems wait with the sender while there is no room; none is lost. */
void tw_worker_take_problems(struct tw_worker *worker)
{
	while (worker->sender && tw_ring_count(&worker->events) < TW_WORKER_EVENTS / 4 * 3) {
		struct tw_worker_event event = { .type = TW_WORKER_PROBLEM };
		struct tw_problem problem;

		if (!tw_sender_problem(worker->sender, &problem))
			return;
		event.error = problem.error;
		event.harmless = problem.harmless;
		event.fatal = problem.fatal;
		emit(worker, &event, problem.path);
	}
}

static void fill_sockets(const struct tw_worker *worker, struct tw_worker_snapshot *snapshot)
{
	snapshot->udp = (struct tw_udp_counters){ 0 };
	for (unsigned i = 0; i < SOCKETS_MAX; i++) {
		const struct slot *slot = &worker->slots[i];
		const struct tw_udp_counters *counters = &slot->udp.counters;

		if (!slot->open)
			continue;
		snapshot->udp.packets_sent += counters->packets_sent;
		snapshot->udp.bytes_sent += counters->bytes_sent;
		snapshot->udp.packets_received += counters->packets_received;
		snapshot->udp.bytes_received += counters->bytes_received;
		snapshot->udp.sends += counters->sends;
		snapshot->udp.receives += counters->receives;
		snapshot->udp.refused += counters->refused;
		snapshot->udp.too_long += counters->too_long;
		snapshot->udp.dropped += counters->dropped;
		if (!slot->udp.connected ||
		    (snapshot->connected &&
		     !tw_address_equal(&slot->udp.remote, &snapshot->conn.path.remote)))
			continue;
		snapshot->local = slot->udp.local;
		snapshot->remote = slot->udp.remote;
		snapshot->receive_granted = slot->udp.receive_granted;
		snapshot->send_granted = slot->udp.send_granted;
	}
	if (worker->listening) {
		snapshot->receive_granted = worker->slots[0].udp.receive_granted;
		snapshot->send_granted = worker->slots[0].udp.send_granted;
	}
}

static void fill_sending(const struct tw_worker *worker, struct tw_worker_snapshot *snapshot)
{
	struct tw_conn *conn = tw_outgoing_conn(worker->outgoing);

	tw_sender_status(worker->sender, &snapshot->sender);
	snapshot->connected = conn != NULL;
	/* The figures of a connection that is gone stay to be seen. */
	snapshot->conn = worker->last_conn;
	snapshot->waiting = worker->dialer && !worker->stopping &&
			    tw_dialer_waiting(worker->dialer, &snapshot->waiting_since);
	snapshot->failed = worker->failed;
	snapshot->failure = worker->failure;
	memcpy(snapshot->failure_message, worker->failure_message,
	       sizeof snapshot->failure_message);
	snapshot->socket_error = worker->socket_error;
}

/* Grows an array to hold @count; false for want of memory: then the snapshot shows fewer. */
static bool make_room(void **array, size_t *room, size_t count, size_t size)
{
	void *larger;

	if (count <= *room)
		return true;
	larger = realloc(*array, count * 2 * size);
	if (!larger)
		return false;
	*array = larger;
	*room = count * 2;
	return true;
}

static void fill_receiving(const struct tw_worker *worker, struct tw_worker_snapshot *snapshot)
{
	size_t transfers = tw_receiver_count(worker->hub),
	       conns = tw_endpoint_count(worker->endpoint);

	snapshot->transfer_count = snapshot->conn_count = 0;
	if (make_room((void **)&snapshot->transfers, &snapshot->transfer_room, transfers,
		      sizeof *snapshot->transfers))
		for (size_t i = 0; i < transfers; i++)
			if (tw_receiver_status(worker->hub, i,
					       &snapshot->transfers[snapshot->transfer_count]))
				snapshot->transfer_count++;
	if (make_room((void **)&snapshot->conns, &snapshot->conn_room, conns,
		      sizeof *snapshot->conns))
		for (size_t i = 0; i < conns; i++)
			tw_conn_info(tw_endpoint_conn(worker->endpoint, i),
				     &snapshot->conns[snapshot->conn_count++]);
	snapshot->buffers_used = worker->buffers.count - worker->buffers.free_count;
}

static struct signature sign(const struct tw_worker_snapshot *snapshot)
{
	bool established = snapshot->connected && snapshot->conn.state == TW_CONN_ESTABLISHED;
	struct signature signature = {
		.flags = (uint64_t)established | (uint64_t)snapshot->waiting << 1 |
			 (uint64_t)snapshot->failed << 2 |
			 (uint64_t)snapshot->sender.finished << 3 |
			 (uint64_t)snapshot->sender.walk_over << 4,
		.conn_id = snapshot->connected ? snapshot->conn.id : 0,
		.transfers = snapshot->transfer_count,
	};

	for (size_t i = 0; i < snapshot->transfer_count; i++) {
		signature.transfers_finished += snapshot->transfers[i].finished;
		signature.transfers_connected += snapshot->transfers[i].connected;
	}
	return signature;
}

/* Before the connection may go. */
void tw_worker_note_conn(struct tw_worker *worker)
{
	struct tw_conn *conn = worker->outgoing ? tw_outgoing_conn(worker->outgoing) : NULL;

	if (conn)
		tw_conn_info(conn, &worker->last_conn);
}

static struct tw_worker_snapshot *fill(struct tw_worker *worker, tw_ns now)
{
	struct tw_worker_snapshot *snapshot = &worker->snapshots[worker->writing];

	snapshot->at = now;
	snapshot->stopped = worker->done;
	snapshot->events_lost = worker->events_lost;
	if (worker->sender)
		fill_sending(worker, snapshot);
	if (worker->hub)
		fill_receiving(worker, snapshot);
	fill_sockets(worker, snapshot);
	return snapshot;
}

static void offer(struct tw_worker *worker, struct tw_worker_snapshot *snapshot)
{
	static _Thread_local uint64_t serial;

	snapshot->serial = ++serial;
	worker->published = sign(snapshot);
	worker->publish_at = tw_ns_add(snapshot->at, worker->publish_every);
	worker->writing = atomic_exchange(&worker->offered, worker->writing | FRESH) & ~FRESH;
	ring_bell(worker);
}

void tw_worker_publish(struct tw_worker *worker, tw_ns now)
{
	offer(worker, fill(worker, now));
}

void tw_worker_publish_due(struct tw_worker *worker, tw_ns now)
{
	struct tw_worker_snapshot *snapshot = fill(worker, now);
	struct signature signature = sign(snapshot);

	if (now >= worker->publish_at ||
	    memcmp(&signature, &worker->published, sizeof signature) != 0)
		offer(worker, snapshot);
}

const struct tw_worker_snapshot *tw_worker_snapshot(struct tw_worker *worker)
{
	uint64_t count;

	if (read(worker->control_fd, &count, sizeof count) < 0)
		count = 0;
	if (atomic_load(&worker->offered) & FRESH)
		worker->reading = atomic_exchange(&worker->offered, worker->reading) & ~FRESH;
	return worker->snapshots[worker->reading].serial ? &worker->snapshots[worker->reading]
							 : NULL;
}

bool tw_worker_event(struct tw_worker *worker, struct tw_worker_event *ret)
{
	return tw_ring_pop(&worker->events, ret);
}

int tw_worker_fd(const struct tw_worker *worker)
{
	return worker->control_fd;
}
