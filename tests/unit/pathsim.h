/*
 * pathsim.h - a closed loop for rate controllers: senders that follow path model, controller and
 * pacer exactly as the transport does, one bottleneck, receivers that acknowledge every eighth of a
 * round trip. Virtual time, deterministic.
 *
 *   sender -> [loss] -> [policer] -> queue -> link (rate) -> [loss] -> delay, jitter -> receiver
 *      ^---------------------------- delay <- acknowledgements --------------------------'
 *
 * There is always something to send, and every datagram is new: what arrives is goodput.
 */
#pragma once

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "rate/controller.h"
#include "rate/pacer.h"
#include "rate/units.h"

#define SIM_DATAGRAM 1250u
#define SIM_RING (1u << 17)
#define SIM_ACKS 4096u
#define SIM_FLOWS 12
#define SIM_QUEUE_BIN (TW_MSEC / 4)
#define SIM_QUEUE_BINS 16000

struct sim_link {
	uint64_t rate_bps;
	tw_ns rtt; /* without queue, half each way */
	uint64_t queue_bytes;
	double loss, burst; /* share lost, mean length of a burst of losses (0 or 1: independent) */
	bool loss_first;    /* lost before the bottleneck rather than behind it */
	tw_ns jitter;       /* the delay wanders within +- this, without reordering */
	uint64_t bucket_bytes; /* with a policer instead of a queue: its bucket */
	double ack_loss;
	uint64_t cross_bps; /* traffic that does not react */
	tw_ns codel; /* the queue drops at its head above this delay (RFC 8289); 0: at its tail only
		      */
};

struct sim_packet {
	uint64_t delivered, in_flight;
	tw_ns sent, delivered_at, first_sent;
	bool outstanding;
};

struct sim_ack {
	tw_ns at, delay;
	uint64_t upto; /* all arrivals before this number in the flow's log */
};

struct sim_arrival {
	uint64_t number;
	tw_ns at;
};

/* What a neighbour of another kind remembers: pathsim_tcp.h. */
struct sim_tcp {
	double window, window_max, window_epoch, slow_start_max; /* bytes; cubic */
	tw_ns epoch, recovery_until, base;
	tw_ns round_lowest,
		round_lowest_before; /* HyStart: round trips of this and the last round */
	uint64_t rates[10];          /* bbr: highest delivery of each of the last rounds */
	uint64_t round, full_bps;
	tw_ns base_at, cycle_at;
	uint8_t mode, flat, phase;
};

struct sim_flow {
	struct tw_path_model path;
	struct tw_rate_controller controller;
	struct tw_pacer pacer;
	struct sim_tcp tcp;
	tw_ns send_at, pto_at;
	tw_ns stops;     /* sends nothing from then on */
	tw_ns late;      /* a busy machine: it wakes up to send so much too late, at most */
	tw_ns began;
	tw_ns farther;   /* round trip beyond the link's */
	tw_ns ack_every; /* 0: an eighth of a round trip, at least 1 ms */
	unsigned pto_count;
	/* sender */
	struct sim_packet *packets;
	uint64_t next_number, oldest, largest_acked, in_flight, delivered, lost, log_read,
		round_end, sent_bytes;
	tw_ns delivered_at, first_sent;
	bool any_acked;
	/* receiver */
	struct sim_arrival *arrivals;
	uint64_t log_end, acked_end, reported;
	tw_ns ack_at, last_ack;
	struct sim_ack acks[SIM_ACKS];
	uint64_t acks_start, acks_end;
};

struct sim_queued {
	uint32_t flow;
	uint64_t number;
	tw_ns at; /* in the queue: entered; behind it: arrives */
};

struct sim {
	struct sim_link link;
	struct tw_prng prng;
	tw_ns now;
	struct sim_flow flows[SIM_FLOWS];
	unsigned flow_count;
	struct sim_queued *queue, *wire;
	uint64_t queue_start, queue_end, wire_start, wire_end;
	tw_ns serve_at, wire_last, jitter_now, jitter_until, cross_at, bucket_at;
	double bucket;
	bool bad, outage;
	/* CoDel */
	tw_ns codel_above, codel_next;
	unsigned codel_count;
	bool codel_dropping;
	uint64_t queue_bins[SIM_QUEUE_BINS], queue_packets;
};

/* From now on: at @at the flow starts to send. The handshake has just measured the round trip. */
static inline void sim_begin_flow(struct sim *sim, unsigned which, enum tw_rate_method method,
				  const struct tw_rate_limits *limits, tw_ns at)
{
	struct sim_flow *flow = &sim->flows[which];
	tw_ns waiting = 0;

	if (sim->queue_start < sim->queue_end)
		waiting = tw_rate_time(sim->link.rate_bps,
				       (sim->queue_end - sim->queue_start) * SIM_DATAGRAM);
	tw_path_model_init(&flow->path, at);
	tw_path_model_seed_rtt(&flow->path, sim->link.rtt + flow->farther + waiting);
	tw_rate_controller_init(&flow->controller, method, limits, &flow->path, at);
	tw_rate_controller_datagram_size(&flow->controller, SIM_DATAGRAM);
	tw_pacer_init(&flow->pacer, tw_rate_controller_pacing(&flow->controller), SIM_DATAGRAM);
	flow->send_at = flow->began = at;
}

static inline void sim_init(struct sim *sim, const struct sim_link *link, unsigned flows,
			    const struct tw_rate_limits *limits, uint64_t seed)
{
	assert(flows <= SIM_FLOWS);
	memset(sim, 0, sizeof(*sim));
	sim->link = *link;
	sim->flow_count = flows;
	sim->serve_at = TW_NEVER;
	sim->cross_at = link->cross_bps ? 0 : TW_NEVER;
	sim->bucket = (double)link->bucket_bytes;
	sim->queue = malloc(SIM_RING * sizeof(*sim->queue));
	sim->wire = malloc(SIM_RING * sizeof(*sim->wire));
	tw_prng_init(&sim->prng, seed);
	for (unsigned i = 0; i < flows; i++) {
		struct sim_flow *flow = &sim->flows[i];

		flow->packets = calloc(SIM_RING, sizeof(*flow->packets));
		flow->arrivals = malloc(SIM_RING * sizeof(*flow->arrivals));
		flow->ack_at = flow->pto_at = TW_NEVER;
		flow->stops = TW_NEVER;
		sim_begin_flow(sim, i, TW_RATE_BBR, limits, i * 7 * TW_MSEC);
		flow->send_at = 0;
	}
}

static inline void sim_deinit(struct sim *sim)
{
	for (unsigned i = 0; i < sim->flow_count; i++) {
		free(sim->flows[i].packets);
		free(sim->flows[i].arrivals);
	}
	free(sim->queue);
	free(sim->wire);
}

static inline void sim_start_flow(struct sim *sim, unsigned flow, tw_ns at)
{
	sim->flows[flow].send_at = sim->flows[flow].began = at;
}

/* the path */

/* Gilbert's model: a bad state of @burst packets on average in which all are lost. */
static inline bool sim_lost(struct sim *sim)
{
	double burst = sim->link.burst > 1 ? sim->link.burst : 1, loss = sim->link.loss;

	if (loss <= 0)
		return false;
	if (burst <= 1)
		return tw_prng_unit(&sim->prng) < loss;
	if (sim->bad)
		sim->bad = tw_prng_unit(&sim->prng) >= 1 / burst;
	else
		sim->bad = tw_prng_unit(&sim->prng) < loss / (burst * (1 - loss));
	return sim->bad;
}

static inline bool sim_policed(struct sim *sim)
{
	if (sim->link.bucket_bytes == 0)
		return false;
	sim->bucket += (double)sim->link.rate_bps / 8e9 * (double)(sim->now - sim->bucket_at);
	sim->bucket_at = sim->now;
	if (sim->bucket > (double)sim->link.bucket_bytes)
		sim->bucket = (double)sim->link.bucket_bytes;
	if (sim->bucket < SIM_DATAGRAM)
		return true;
	sim->bucket -= SIM_DATAGRAM;
	return false;
}

static inline void sim_forward(struct sim *sim, uint32_t flow, uint64_t number)
{
	tw_ns at = sim->now + sim->link.rtt / 2;

	if (flow == UINT32_MAX || sim->outage || (!sim->link.loss_first && sim_lost(sim)))
		return;
	if (sim->link.jitter > 0) {
		if (sim->now >= sim->jitter_until) {
			sim->jitter_now = tw_prng_below(&sim->prng, 2 * sim->link.jitter);
			sim->jitter_until =
				sim->now + TW_MSEC + tw_prng_below(&sim->prng, 15 * TW_MSEC);
		}
		at += sim->jitter_now;
	}
	at = sim->wire_last = tw_ns_max(at, sim->wire_last);
	assert(sim->wire_end - sim->wire_start < SIM_RING);
	sim->wire[sim->wire_end++ % SIM_RING] = (struct sim_queued){ flow, number, at };
}

static inline void sim_enqueue(struct sim *sim, uint32_t flow, uint64_t number)
{
	if (sim->link.loss_first && sim_lost(sim))
		return;
	if (sim->link.bucket_bytes > 0) {
		if (!sim_policed(sim))
			sim_forward(sim, flow, number);
		return;
	}
	if ((sim->queue_end - sim->queue_start) * SIM_DATAGRAM > sim->link.queue_bytes)
		return;
	assert(sim->queue_end - sim->queue_start < SIM_RING);
	sim->queue[sim->queue_end++ % SIM_RING] = (struct sim_queued){ flow, number, sim->now };
	if (sim->serve_at == TW_NEVER)
		sim->serve_at = sim->now + tw_rate_time(sim->link.rate_bps, SIM_DATAGRAM);
}

/* RFC 8289, 5: above the target for 100 ms, drops come faster with the root of their number. */
static inline bool sim_codel_drops(struct sim *sim, tw_ns waited)
{
	const tw_ns interval = 100 * TW_MSEC;

	if (sim->link.codel == 0)
		return false;
	if (waited < sim->link.codel || sim->queue_start == sim->queue_end) {
		sim->codel_above = 0;
		sim->codel_dropping = false;
		return false;
	}
	if (sim->codel_above == 0)
		sim->codel_above = sim->now + interval;
	if (!sim->codel_dropping) {
		if (sim->now < sim->codel_above)
			return false;
		sim->codel_dropping = true;
		sim->codel_count = sim->codel_count > 2 && sim->now < sim->codel_next + 8 * interval
					   ? sim->codel_count - 2
					   : 1;
		sim->codel_next = sim->now;
	}
	if (sim->now < sim->codel_next)
		return false;
	sim->codel_count++;
	sim->codel_next += (tw_ns)((double)interval / sqrt((double)sim->codel_count));
	return true;
}

static inline void sim_serve(struct sim *sim)
{
	struct sim_queued *head = &sim->queue[sim->queue_start++ % SIM_RING];
	tw_ns waited = sim->now - head->at;
	size_t bin;

	while (sim_codel_drops(sim, waited)) {
		head = &sim->queue[sim->queue_start++ % SIM_RING];
		waited = sim->now - head->at;
	}
	bin = waited / SIM_QUEUE_BIN;
	sim->queue_bins[bin < SIM_QUEUE_BINS ? bin : SIM_QUEUE_BINS - 1]++;
	sim->queue_packets++;
	sim_forward(sim, head->flow, head->number);
	sim->serve_at = TW_NEVER;
	if (sim->queue_start < sim->queue_end)
		sim->serve_at = sim->now + tw_rate_time(sim->link.rate_bps, SIM_DATAGRAM);
}

/* receiver */

/* A new connection hears more often how its first packets fare. */
static inline bool sim_early(const struct sim *sim, const struct sim_flow *flow)
{
	return sim->now < flow->began + 8 * (sim->link.rtt + flow->farther);
}

static inline tw_ns sim_ack_interval(const struct sim *sim, const struct sim_flow *flow)
{
	if (flow->ack_every > 0)
		return flow->ack_every;
	if (sim_early(sim, flow))
		return tw_ns_min(tw_ns_max(2 * TW_MSEC, (sim->link.rtt + flow->farther) / 32),
				 4 * TW_MSEC);
	return tw_ns_max(TW_MSEC, (sim->link.rtt + flow->farther) / 8);
}

static inline void sim_arrive(struct sim *sim)
{
	struct sim_queued *head = &sim->wire[sim->wire_start++ % SIM_RING];
	struct sim_flow *flow = &sim->flows[head->flow];

	flow->arrivals[flow->log_end++ % SIM_RING] = (struct sim_arrival){ head->number, sim->now };
	if (flow->ack_at == TW_NEVER)
		flow->ack_at = tw_ns_max(sim->now, flow->last_ack + sim_ack_interval(sim, flow));
	if (flow->ack_every == 0 && sim->link.rtt >= 8 * TW_MSEC && sim_early(sim, flow) &&
	    flow->log_end - flow->reported >= (flow->log_end < 256 ? 16 : 64))
		flow->ack_at =
			tw_ns_min(flow->ack_at, tw_ns_max(sim->now, flow->last_ack + TW_MSEC));
}

static inline void sim_send_ack(struct sim *sim, struct sim_flow *flow)
{
	const struct sim_arrival *newest = &flow->arrivals[(flow->log_end - 1) % SIM_RING];

	flow->last_ack = sim->now;
	flow->reported = flow->log_end;
	flow->ack_at = TW_NEVER;
	if (sim->outage || tw_prng_unit(&sim->prng) < sim->link.ack_loss)
		return;
	assert(flow->acks_end - flow->acks_start < SIM_ACKS);
	flow->acks[flow->acks_end++ % SIM_ACKS] = (struct sim_ack){
		.at = sim->now + sim->link.rtt / 2 + flow->farther,
		.delay = sim->now - newest->at,
		.upto = flow->log_end,
	};
}

/* sender */

static inline void sim_transmit(struct sim *sim, struct sim_flow *flow)
{
	struct sim_packet *packet = &flow->packets[flow->next_number % SIM_RING];

	assert(!packet->outstanding);
	if (flow->in_flight == 0)
		flow->first_sent = flow->delivered_at = sim->now;
	flow->in_flight += SIM_DATAGRAM;
	flow->sent_bytes += SIM_DATAGRAM;
	*packet = (struct sim_packet){
		.delivered = flow->delivered,
		.in_flight = flow->in_flight,
		.sent = sim->now,
		.delivered_at = flow->delivered_at,
		.first_sent = flow->first_sent,
		.outstanding = true,
	};
	sim_enqueue(sim, (uint32_t)(flow - sim->flows), flow->next_number++);
}

static inline void sim_set_pto(struct sim *sim, struct sim_flow *flow)
{
	tw_ns pto = tw_path_model_pto(&flow->path) + sim_ack_interval(sim, flow);

	flow->pto_at = flow->in_flight > 0
			       ? sim->now + (pto << (flow->pto_count < 6 ? flow->pto_count : 6))
			       : TW_NEVER;
}

static inline void sim_send(struct sim *sim, struct sim_flow *flow)
{
	uint64_t window = tw_rate_controller_window(&flow->controller, &flow->path);
	size_t allowed;

	flow->send_at = TW_NEVER;
	if (sim->now >= flow->stops)
		return;
	tw_rate_controller_pace(&flow->controller, &flow->pacer, sim->now);
	while ((allowed = tw_pacer_allowance(&flow->pacer, sim->now)) > 0) {
		size_t sent = 0;

		while (sent + SIM_DATAGRAM <= allowed && flow->in_flight + SIM_DATAGRAM <= window) {
			sim_transmit(sim, flow);
			sent += SIM_DATAGRAM;
		}
		tw_pacer_spent(&flow->pacer, sim->now, sent);
		if (sent > 0 && flow->pto_at == TW_NEVER)
			sim_set_pto(sim, flow);
		if (sent + SIM_DATAGRAM <= allowed)
			return;
	}
	flow->send_at = tw_pacer_next(&flow->pacer, sim->now);
	if (flow->late)
		flow->send_at += tw_prng_below(&sim->prng, flow->late);
}

static inline void sim_note_newest(struct sim_flow *flow, const struct sim_packet *packet,
				   tw_ns now, struct tw_rate_sample *sample)
{
	tw_ns interval = tw_ns_max(packet->sent - packet->first_sent, now - packet->delivered_at);

	flow->first_sent = packet->sent;
	sample->in_flight_before = packet->in_flight;
	sample->delivery_interval = interval;
	if (interval > 0 && interval + TW_USEC >= flow->path.rtt_min)
		sample->delivery_rate_bps =
			tw_rate_of(flow->delivered - packet->delivered, interval);
	if (packet->delivered >= flow->round_end) {
		sample->round_start = true;
		flow->round_end = flow->delivered;
	}
}

/* Datagrams three behind the newest acknowledged one are lost: this path does not reorder. */
static inline void sim_detect_loss(struct sim_flow *flow, struct tw_rate_sample *sample)
{
	while (flow->oldest + 3 <= flow->largest_acked) {
		struct sim_packet *packet = &flow->packets[flow->oldest++ % SIM_RING];

		if (!packet->outstanding)
			continue;
		packet->outstanding = false;
		flow->in_flight -= SIM_DATAGRAM;
		flow->lost += SIM_DATAGRAM;
		sample->lost_bytes += SIM_DATAGRAM;
		sample->lost_packets++;
	}
}

static inline void sim_take_ack(struct sim *sim, struct sim_flow *flow)
{
	const struct sim_ack *ack = &flow->acks[flow->acks_start++ % SIM_ACKS];
	struct tw_rate_sample sample = { .now = sim->now, .forward_delay = INT64_MIN };
	struct sim_packet newest = { 0 };

	for (; flow->log_read < ack->upto; flow->log_read++) {
		const struct sim_arrival *arrival = &flow->arrivals[flow->log_read % SIM_RING];
		struct sim_packet *packet = &flow->packets[arrival->number % SIM_RING];

		if (!packet->outstanding)
			continue;
		packet->outstanding = false;
		newest = *packet;
		flow->in_flight -= SIM_DATAGRAM;
		flow->delivered += SIM_DATAGRAM;
		flow->largest_acked = arrival->number;
		sample.acked_bytes += SIM_DATAGRAM;
		sample.acked_packets++;
		sample.rtt = sim->now - packet->sent - ack->delay;
		sample.sent_at = packet->sent;
		/* The receiver's clock is anybody's. */
		sample.forward_delay =
			(int64_t)(arrival->at - packet->sent) - INT64_C(987654321012345);
	}
	if (sample.acked_packets == 0)
		return;
	sim_note_newest(flow, &newest, sim->now, &sample);
	flow->delivered_at = sim->now;
	sim_detect_loss(flow, &sample);
	sample.in_flight_bytes = flow->in_flight;
	sample.delivered_total = flow->delivered;
	sample.lost_total = flow->lost;
	tw_path_model_update(&flow->path, &sample);
	tw_rate_controller_sample(&flow->controller, &flow->path, &sample);
	flow->pto_count = 0;
	sim_set_pto(sim, flow);
	sim_send(sim, flow);
}

static inline void sim_fire_pto(struct sim *sim, struct sim_flow *flow)
{
	flow->pto_count++;
	tw_rate_controller_timeout(&flow->controller, &flow->path, sim->now);
	/* A probe may pass the window. */
	sim_transmit(sim, flow);
	sim_transmit(sim, flow);
	sim_set_pto(sim, flow);
}

/* time */

static inline tw_ns sim_flow_next(const struct sim_flow *flow)
{
	tw_ns next = tw_ns_min(flow->send_at, tw_ns_min(flow->pto_at, flow->ack_at));

	if (flow->acks_start < flow->acks_end)
		next = tw_ns_min(next, flow->acks[flow->acks_start % SIM_ACKS].at);
	return next;
}

static inline void sim_flow_run(struct sim *sim, struct sim_flow *flow)
{
	if (flow->ack_at <= sim->now)
		sim_send_ack(sim, flow);
	if (flow->acks_start < flow->acks_end &&
	    flow->acks[flow->acks_start % SIM_ACKS].at <= sim->now)
		sim_take_ack(sim, flow);
	if (flow->pto_at <= sim->now)
		sim_fire_pto(sim, flow);
	if (flow->send_at <= sim->now)
		sim_send(sim, flow);
}

static inline void sim_run(struct sim *sim, tw_ns until)
{
	for (;;) {
		tw_ns flow_at = TW_NEVER, at;
		unsigned which = 0;

		for (unsigned i = 0; i < sim->flow_count; i++) {
			tw_ns next = sim_flow_next(&sim->flows[i]);

			if (next < flow_at) {
				flow_at = next;
				which = i;
			}
		}
		at = tw_ns_min(tw_ns_min(sim->serve_at, sim->cross_at), flow_at);
		if (sim->wire_start < sim->wire_end)
			at = tw_ns_min(at, sim->wire[sim->wire_start % SIM_RING].at);
		if (at > until) {
			sim->now = until;
			return;
		}
		sim->now = tw_ns_max(sim->now, at);
		if (sim->serve_at == at) {
			sim_serve(sim);
		} else if (sim->cross_at == at) {
			sim_enqueue(sim, UINT32_MAX, 0);
			sim->cross_at += tw_rate_time(sim->link.cross_bps, SIM_DATAGRAM);
		} else if (flow_at == at) {
			sim_flow_run(sim, &sim->flows[which]);
		} else {
			sim_arrive(sim);
		}
	}
}

/* Bytes that have arrived at the flow's receiver. */
static inline uint64_t sim_received(const struct sim *sim, unsigned flow)
{
	return sim->flows[flow].log_end * SIM_DATAGRAM;
}

static inline void sim_clear_queue_stats(struct sim *sim)
{
	memset(sim->queue_bins, 0, sizeof(sim->queue_bins));
	sim->queue_packets = 0;
}

/* The queueing delay that @share of the packets stayed below, rounded up to a quarter of a
 * millisecond. */
static inline tw_ns sim_queue_quantile(const struct sim *sim, double share)
{
	uint64_t below = 0;

	for (unsigned bin = 0; bin < SIM_QUEUE_BINS; bin++) {
		below += sim->queue_bins[bin];
		if ((double)below >= share * (double)sim->queue_packets)
			return (bin + 1) * SIM_QUEUE_BIN;
	}
	return SIM_QUEUE_BINS * SIM_QUEUE_BIN;
}
