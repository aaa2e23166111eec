/* worker_publish.c - snapshots: how everything stands, for the control thread. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netio/clock.h"
#include "netio/worker_private.h"

#define FRESH 4u /* beside an index into the three snapshots */
/* Changes of state are told at once, but what telling costs is at most a small part of the time. */
#define PUBLISH_APART (2 * TW_MSEC)
#define PUBLISH_APART_EACH (20 * TW_USEC)

static void add_counters(struct tw_udp_counters *sum, const struct tw_udp_counters *counters)
{
	sum->packets_sent += counters->packets_sent;
	sum->bytes_sent += counters->bytes_sent;
	sum->packets_received += counters->packets_received;
	sum->bytes_received += counters->bytes_received;
	sum->sends += counters->sends;
	sum->receives += counters->receives;
	sum->refused += counters->refused;
	sum->too_long += counters->too_long;
	sum->dropped += counters->dropped;
}

static void fill_sockets(const struct tw_worker *worker, struct tw_worker_snapshot *snapshot)
{
	snapshot->udp = worker->past_udp;
	tw_worker_buffers_advice(worker, snapshot);
	for (uint32_t i = 0; i < worker->slot_room; i++)
		if (worker->slots[i])
			add_counters(&snapshot->udp, &worker->slots[i]->udp.counters);
	if (worker->listening) {
		assert(worker->slots && worker->slots[0]);
		snapshot->receive_granted = worker->slots[0]->udp.receive_granted;
		snapshot->send_granted = worker->slots[0]->udp.send_granted;
	}
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

void tw_worker_transfer_status(const struct transfer *transfer,
			       struct tw_worker_transfer_status *ret)
{
	*ret = transfer->status;
	if (transfer->sender)
		tw_sender_status(transfer->sender, &ret->sender);
	ret->running = transfer->sender && ret->sender.running && !ret->sender.finished;
	ret->paused = ret->sender.finished && ret->sender.paused;
	if (ret->sender.piece_bytes)
		ret->block_bytes = (uint32_t)ret->sender.piece_bytes;
}

static void fill_sending(struct tw_worker *worker, struct tw_worker_snapshot *snapshot, tw_ns now)
{
	size_t shown = 0;
	unsigned busy = 0;

	snapshot->destination_count = snapshot->sending_count = 0;
	if (!make_room((void **)&snapshot->destinations, &snapshot->destination_room,
		       worker->destination_count, sizeof *snapshot->destinations) ||
	    !make_room((void **)&snapshot->sending, &snapshot->sending_room,
		       worker->transfers_there, sizeof *snapshot->sending))
		return;
	for (size_t i = 0; i < worker->destination_count; i++) {
		struct destination *destination = worker->destinations[i];

		tw_worker_account(destination);
		busy += destination->seated > 0;
		for (const struct transfer *transfer = destination->transfers; transfer;
		     transfer = transfer->next)
			tw_worker_transfer_status(transfer, &snapshot->sending[shown++]);
		if (destination->gone_at == TW_NEVER) {
			struct tw_worker_destination_status *status =
				&snapshot->destinations[snapshot->destination_count++];

			tw_worker_destination_status(worker, destination, now, status);
			tw_worker_buffers_fit_sending(worker, destination, status);
		}
	}
	assert(shown <= snapshot->sending_room);
	snapshot->sending_count = shown;
	if (worker->crew)
		tw_worker_crew_busy(worker, busy);
}

static void fill_receiving(struct tw_worker *worker, struct tw_worker_snapshot *snapshot,
			   tw_ns now)
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
		for (size_t i = 0; i < conns; i++) {
			const struct tw_conn *conn = tw_endpoint_conn(worker->endpoint, i);

			if (!tw_conn_tag(conn))
				tw_conn_info(conn, &snapshot->conns[snapshot->conn_count++]);
		}
	snapshot->received_window_bps = tw_meter_bps(&worker->received, now);
	tw_worker_buffers_fit_receiving(worker, snapshot);
	snapshot->buffers_used = worker->buffers.count - worker->buffers.free_count;
}

static void fill(struct tw_worker *worker, struct tw_worker_snapshot *snapshot, tw_ns now)
{
	/* What follows is of this moment: nothing in it may be later. */
	snapshot->at = tw_clock_now();
	snapshot->stopped = worker->done;
	snapshot->events_lost = worker->events_lost;
	fill_sending(worker, snapshot, now);
	if (worker->hub)
		fill_receiving(worker, snapshot, now);
	fill_sockets(worker, snapshot);
	tw_worker_lanes_figures(worker, snapshot, now);
}

void tw_worker_publish(struct tw_worker *worker, tw_ns now)
{
	struct tw_worker_snapshot *snapshot = &worker->snapshots[worker->writing];

	fill(worker, snapshot, now);
	snapshot->serial = ++worker->serial;
	worker->publish_soon = false;
	worker->published_at = now;
	worker->publish_at = tw_ns_add(now, worker->publish_every);
	worker->writing = atomic_exchange(&worker->offered, worker->writing | FRESH) & ~FRESH;
	tw_worker_ring_bell(worker);
}

tw_ns tw_worker_publish_at(const struct tw_worker *worker)
{
	size_t items = worker->destination_count + worker->transfers_there +
		       (worker->hub ? tw_receiver_count(worker->hub) : 0);

	if (!worker->publish_soon)
		return worker->publish_at;
	return tw_ns_min(worker->publish_at,
			 worker->published_at + PUBLISH_APART + items * PUBLISH_APART_EACH);
}

void tw_worker_publish_due(struct tw_worker *worker, tw_ns now)
{
	if (now >= tw_worker_publish_at(worker))
		tw_worker_publish(worker, now);
}

bool tw_worker_heard(struct tw_worker *worker)
{
	uint64_t count;

	return read(worker->control_fd, &count, sizeof count) > 0;
}

const struct tw_worker_snapshot *tw_worker_snapshot(struct tw_worker *worker)
{
	tw_worker_heard(worker);
	if (atomic_load(&worker->offered) & FRESH)
		worker->reading = atomic_exchange(&worker->offered, worker->reading) & ~FRESH;
	return worker->snapshots[worker->reading].serial ? &worker->snapshots[worker->reading]
							 : NULL;
}

int tw_worker_fd(const struct tw_worker *worker)
{
	return worker->control_fd;
}
