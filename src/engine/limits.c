/*
 * limits.c - what the whole server may send and receive.
 *
 * Every tenth of a second the limits are divided anew from what the workers' sockets have carried.
 * With borrowIncomingRate outgoing gets what incoming has left over at the moment, with
 * borrowOutgoingRate the other way round; but a tenth of the lender's limit stays free so that it
 * can grow back at once, and what it then needs it takes back within two tenths of a second.
 * Several workers share by need (engine/deal.h).
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "netio/clock.h"

#define SMOOTH 0.5
#define HEADROOM_PER_CENT 10
#define LIMITS "limits"
#define SETTLE (300 * TW_MSEC) /* and two round trips, until peers keep to less */

void tw_limits_init(struct tw_engine *engine)
{
	const struct tw_engine_options *options = &engine->options;

	engine->incoming_limit = options->incoming_rate_limit;
	engine->outgoing_limit = options->outgoing_rate_limit;
	engine->borrow_incoming = options->borrow_incoming_rate;
	engine->borrow_outgoing = options->borrow_outgoing_rate;
	engine->limits_from_command_line = options->incoming_rate_limit != TW_UNSET ||
					   options->outgoing_rate_limit != TW_UNSET ||
					   options->borrow_incoming_rate ||
					   options->borrow_outgoing_rate;
}

static const struct tw_saved rows[] = {
	TW_SAVED(struct tw_engine, U64, incoming_limit, "incoming"),
	TW_SAVED(struct tw_engine, U64, outgoing_limit, "outgoing"),
	TW_SAVED(struct tw_engine, BOOL, borrow_incoming, "borrowIncoming"),
	TW_SAVED(struct tw_engine, BOOL, borrow_outgoing, "borrowOutgoing"),
};
#define ROWS (sizeof(rows) / sizeof(*rows))

void tw_limits_load(struct tw_engine *engine)
{
	json_t *stored;

	if (engine->limits_from_command_line)
		return;
	stored = tw_persist_get(engine, LIMITS);
	tw_saved_decode(rows, ROWS, stored, engine);
	json_decref(stored);
}

static void check_limit(const uint64_t *wanted, uint64_t *ret)
{
	if (wanted)
		*ret = *wanted > TW_RATE_MAX_KBPS ? TW_UNSET : *wanted;
}

int tw_engine_set_bandwidth(struct tw_engine *engine, const struct tw_bandwidth_change *change,
			    struct tw_fault *fault)
{
	json_t *stored;

	if (engine->limits_from_command_line)
		return tw_fault_set(fault, TW_FAULT_CONFLICT, NULL,
				    "The bandwidth limits are given on the command line of this "
				    "server; change them there, or start it without.");
	if ((change->incoming_rate_limit && !*change->incoming_rate_limit) ||
	    (change->outgoing_rate_limit && !*change->outgoing_rate_limit))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER,
				    change->incoming_rate_limit && !*change->incoming_rate_limit
					    ? "incomingRateLimit"
					    : "outgoingRateLimit",
				    "A limit is at least 1 kbit/s, or null for none.");
	check_limit(change->incoming_rate_limit, &engine->incoming_limit);
	check_limit(change->outgoing_rate_limit, &engine->outgoing_limit);
	if (change->borrow_incoming_rate)
		engine->borrow_incoming = *change->borrow_incoming_rate;
	if (change->borrow_outgoing_rate)
		engine->borrow_outgoing = *change->borrow_outgoing_rate;
	stored = json_object();
	if (!stored || tw_saved_encode(rows, ROWS, engine, stored)) {
		json_decref(stored);
		return tw_no_memory(fault);
	}
	tw_persist_setting(engine, LIMITS, stored);
	tw_limits_divide(engine);
	return TW_FAULT_NONE;
}

/* Measuring. */

static uint64_t smooth(uint64_t before, uint64_t bytes, tw_ns duration)
{
	double bps = (double)bytes * 8e9 / (double)duration;

	return (uint64_t)llround((double)before + (bps - (double)before) * SMOOTH);
}

/* Neither side of a lane knows at once what the other has counted: never less than @before. */
static uint64_t moved(uint64_t bytes, int64_t lanes, uint64_t before)
{
	uint64_t sum = bytes + (uint64_t)lanes;

	return (int64_t)(sum - before) > 0 ? sum : before;
}

static void measure(struct tw_link *link)
{
	const struct tw_worker_snapshot *snapshot = link->snapshot;
	uint64_t sent, received;
	tw_ns duration;

	if (!snapshot || snapshot->at <= link->measured.at)
		return;
	duration = snapshot->at - link->measured.at;
	/* Lanes count where their transfers are. */
	sent = moved(snapshot->udp.bytes_sent, snapshot->lanes_sent, link->measured.sent);
	received = moved(snapshot->udp.bytes_received, snapshot->lanes_received,
			 link->measured.received);
	if (link->measured.at) {
		link->sending_bps = smooth(link->sending_bps, sent - link->measured.sent, duration);
		link->receiving_bps =
			smooth(link->receiving_bps, received - link->measured.received, duration);
	}
	link->measured.at = snapshot->at;
	link->measured.sent = sent;
	link->measured.received = received;
}

static uint64_t to_bps(uint64_t kbps)
{
	return kbps == TW_UNSET ? UINT64_MAX : kbps * 1000;
}

/* What a direction may take now: its own limit and what the other one does not need. */
uint64_t tw_limits_borrowed(uint64_t own, uint64_t other, uint64_t other_used, bool borrow)
{
	uint64_t kept;

	if (!borrow || own == UINT64_MAX || other == UINT64_MAX)
		return own;
	kept = other_used + other / 100 * HEADROOM_PER_CENT;
	return kept < other ? own + (other - kept) : own;
}

/* Who has something to do, and how long peers take to hear of a smaller share. */
static void look_at(struct tw_link *link)
{
	const struct tw_worker_snapshot *snapshot = link->snapshot;
	tw_ns rtt = 0;

	link->outgoing.used_bps = link->sending_bps;
	link->incoming.used_bps = link->receiving_bps;
	link->outgoing.active = link->incoming.active = 0;
	if (!snapshot)
		return;
	for (size_t i = 0; i < snapshot->destination_count; i++)
		link->outgoing.active += snapshot->destinations[i].transfers > 0;
	for (size_t i = 0; i < snapshot->conn_count; i++) {
		link->incoming.active += snapshot->conns[i].state == TW_CONN_ESTABLISHED;
		rtt = tw_ns_max(rtt, snapshot->conns[i].rtt_smoothed);
	}
	link->incoming.settle = SETTLE + 2 * rtt;
}

static void deal(struct tw_engine *engine, uint64_t may_send, uint64_t may_receive)
{
	struct tw_deal outgoing[TW_ENGINE_WORKERS_MAX], incoming[TW_ENGINE_WORKERS_MAX];
	tw_ns now = tw_clock_now();

	static_assert(TW_ENGINE_WORKERS_MAX <= TW_DEAL_MAX, "all of them");
	for (unsigned i = 0; i < engine->link_count; i++) {
		look_at(&engine->links[i]);
		outgoing[i] = engine->links[i].outgoing;
		incoming[i] = engine->links[i].incoming;
	}
	tw_deal_out(may_send, outgoing, engine->link_count, now);
	tw_deal_out(may_receive, incoming, engine->link_count, now);
	for (unsigned i = 0; i < engine->link_count; i++) {
		struct tw_link *link = &engine->links[i];

		if (outgoing[i].part_bps == link->outgoing.part_bps &&
		    incoming[i].part_bps == link->incoming.part_bps)
			continue;
		/* It may have no room for it now: then all is as it was, and it is tried again. */
		if (!tw_worker_set_limits(link->worker, outgoing[i].part_bps,
					  incoming[i].part_bps)) {
			link->outgoing = outgoing[i];
			link->incoming = incoming[i];
		}
	}
}

void tw_limits_divide(struct tw_engine *engine)
{
	uint64_t outgoing = to_bps(engine->outgoing_limit);
	uint64_t incoming = to_bps(engine->incoming_limit);
	uint64_t sending = 0, receiving = 0;

	for (unsigned i = 0; i < engine->link_count; i++) {
		measure(&engine->links[i]);
		sending += engine->links[i].sending_bps;
		receiving += engine->links[i].receiving_bps;
	}
	deal(engine, tw_limits_borrowed(outgoing, incoming, receiving, engine->borrow_incoming),
	     tw_limits_borrowed(incoming, outgoing, sending, engine->borrow_outgoing));
}

void tw_limits_view(const struct tw_engine *engine, struct tw_bandwidth_view *ret)
{
	*ret = (struct tw_bandwidth_view){
		.incoming_rate_limit = engine->incoming_limit,
		.outgoing_rate_limit = engine->outgoing_limit,
		.borrow_incoming_rate = engine->borrow_incoming,
		.borrow_outgoing_rate = engine->borrow_outgoing,
	};
	for (unsigned i = 0; i < engine->link_count; i++) {
		ret->incoming_rate += engine->links[i].receiving_bps / 1000;
		ret->outgoing_rate += engine->links[i].sending_bps / 1000;
	}
}
