/*
 * worker_buffers.c - socket buffers as large as the paths in use: rate times round trip.
 *
 * Looked at with every snapshot, by its figures. What comes in is judged by all of it together and
 * the longest round trip: the listening sockets share it in a way that nobody foresees. The ways
 * back carry acknowledgements only: there the default is plenty.
 */
#include <string.h>

#include "netio/worker_private.h"

static uint64_t product(uint64_t bps, tw_ns rtt)
{
	return (uint64_t)((double)bps / 8 * (double)rtt / (double)TW_SECOND);
}

static const struct tw_udp_helper *helper_of(const struct tw_worker *worker)
{
	return worker->helper.set_buffers ? &worker->helper : NULL;
}

void tw_worker_buffers_fit_sending(struct tw_worker *worker, struct destination *destination,
				   const struct tw_worker_destination_status *status)
{
	if (!status->conn_known)
		return;
	for (unsigned i = 0; i < destination->slot_count; i++)
		tw_udp_fit(&destination->slots[i]->udp, 0,
			   product(status->rate_window_bps, status->conn.rtt_smoothed),
			   helper_of(worker));
}

void tw_worker_buffers_fit_receiving(struct tw_worker *worker,
				     const struct tw_worker_snapshot *snapshot)
{
	tw_ns longest = 0;

	for (size_t i = 0; i < snapshot->conn_count; i++)
		if (snapshot->conns[i].rtt_smoothed > longest)
			longest = snapshot->conns[i].rtt_smoothed;
	for (unsigned i = 0; i < worker->listening; i++)
		tw_udp_fit(&worker->slots[i]->udp, product(snapshot->received_window_bps, longest),
			   0, helper_of(worker));
}

void tw_worker_buffers_advice(const struct tw_worker *worker, struct tw_worker_snapshot *ret)
{
	ret->buffer_advice[0] = '\0';
	for (uint32_t i = 0; i < worker->slot_room && !ret->buffer_advice[0]; i++) {
		const struct slot *slot = worker->slots[i];

		if (!slot)
			continue;
		if (i < worker->listening)
			tw_udp_advice(&slot->udp, ret->buffer_advice);
		else
			tw_udp_shortage(&slot->udp, ret->buffer_advice);
		ret->buffer_bytes = (slot->udp.receive_granted < slot->udp.send_granted
					     ? slot->udp.receive_granted
					     : slot->udp.send_granted) /
				    2;
	}
}
