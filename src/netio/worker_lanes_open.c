/*
 * worker_lanes_open.c - when a destination gets lanes, and what each may use of its rate.
 *
 * Lanes cost: they are further flows on the path, and a little more work for both ends. So they
 * are for what they are good for, a thread that is at its end while others have time: one more with
 * every second in which this thread used most of a processor, mainly for this destination, which no
 * limit of its own held back. Who says how many there shall be gets them at once.
 *
 * What all its connections together may use is dealt out in equal parts: the sum is never more, and
 * where the processor is the limit all get on alike. A lane that ends by itself is tried again some
 * times beside the same connection, and then no more.
 *
 * A way that a relay opened is its connection's only: there are no lanes there.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "netio/clock.h"
#include "netio/lane_rule.h"
#include "netio/worker_private.h"

#define LOAD_EVERY TW_SECOND
#define AGAIN_AFTER TW_SECOND
#define FAILURES_MAX 3
#define IDLE_SPAN (2 * TW_SECOND) /* without a transfer */

/* Load. */

static uint64_t cpu_time(void)
{
	struct timespec used;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used))
		return 0;
	return (uint64_t)used.tv_sec * TW_SECOND + (uint64_t)used.tv_nsec;
}

/* Through all its sockets, both ways. */
static uint64_t bytes_moved(const struct tw_worker *worker)
{
	uint64_t sum = worker->past_udp.bytes_sent + worker->past_udp.bytes_received;

	for (uint32_t i = 0; i < worker->slot_room; i++)
		if (worker->slots[i])
			sum += worker->slots[i]->udp.counters.bytes_sent +
			       worker->slots[i]->udp.counters.bytes_received;
	return sum;
}

void tw_worker_lanes_load(struct tw_worker *worker, tw_ns now)
{
	tw_ns span = tw_ns_since(now, worker->load_at);
	uint64_t cpu, bytes;

	if (span < LOAD_EVERY)
		return;
	cpu = cpu_time();
	bytes = bytes_moved(worker);
	worker->load = (unsigned)((cpu - worker->load_cpu) * 1000 / span);
	worker->load_moved = bytes - worker->load_bytes;
	worker->load_cpu = cpu;
	worker->load_bytes = bytes;
	worker->load_at = now;
	worker->load_span = span;
	worker->load_serial++;
	tw_crew_set_load(worker->crew, worker->place, worker->load);
}

/* Of a rate that is held no more is wanted either. */
static uint64_t most_wanted(const struct destination *destination)
{
	struct tw_rate_limits limits = tw_worker_destination_limits(destination);
	bool held = destination->settings.method == TW_RATE_FIXED && limits.rate_bps;

	return held && limits.rate_bps < limits.max_bps ? limits.rate_bps : limits.max_bps;
}

/* Asked behind every look at the load: whether one more lane would have helped since the last one.
 */
static bool is_held_up(const struct tw_worker *worker, struct destination *destination)
{
	uint64_t own = tw_worker_traffic_own(destination).bytes_sent,
		 all = tw_worker_traffic(destination).bytes_sent;
	const struct tw_lane_look look = {
		/* Who was not looked at then does not know what was sent since. */
		.span = worker->load_serial == destination->load_seen + 1 ? worker->load_span : 0,
		.load = worker->load,
		.moved = worker->load_moved,
		.own = own - destination->load_own,
		.all = all - destination->load_all,
		.max_bps = most_wanted(destination),
	};

	destination->load_seen = worker->load_serial;
	destination->load_own = own;
	destination->load_all = all;
	return tw_lane_helps(&look);
}

/* Who has most time, of those that have no lane of it yet; with @spare: enough of it. */
static bool find_place(const struct tw_worker *worker, const struct destination *destination,
		       bool spare, unsigned *ret)
{
	unsigned best = UINT32_MAX;

	for (unsigned place = 0; place < worker->places; place++) {
		unsigned load = tw_crew_load(worker->crew, place);
		bool taken = place == worker->place;

		for (unsigned i = 0; i < TW_LANES_MAX; i++)
			taken |= destination->lanes[i] && destination->lanes[i]->with == place;
		if (taken || (spare && load > TW_LANE_LOAD_SPARE) || load >= best)
			continue;
		best = load;
		*ret = place;
	}
	return best != UINT32_MAX;
}

/* How many there may be. */
static unsigned lanes_most(const struct tw_worker *worker, const struct destination *destination,
			   const struct tw_conn_info *info)
{
	unsigned most = tw_outgoing_lanes(destination->outgoing);

	if (destination->settings.ticketed || info->relayed)
		return 0;
	if (most > worker->places - 1)
		most = worker->places - 1;
	if (most > destination->settings.lanes)
		most = destination->settings.lanes;
	return most > TW_LANES_MAX ? TW_LANES_MAX : most;
}

/* Opening. */

static struct destination *new_line(const struct destination *destination,
				    const struct tw_address *remote, tw_ns now)
{
	struct destination *line = calloc(1, sizeof *line);

	if (!line)
		return NULL;
	line->is_line = true;
	line->settings = destination->settings;
	line->settings.remotes[0] = *remote;
	line->settings.remote_count = 1;
	/* The port is its connection's: two to the same peer by one would be one. */
	line->settings.local.port = 0;
	line->gone_at = TW_NEVER;
	tw_meter_init(&line->meter, TW_SECOND, now);
	return line;
}

static bool fill_halves(struct destination *destination, struct half *berth, struct half *lane,
			const struct tw_conn_info *info, tw_ns now)
{
	const struct tw_worker_destination *settings = &destination->settings;
	struct tw_letter_port lane_port = tw_worker_half_port(lane),
			      berth_port = tw_worker_half_port(berth);
	struct tw_rate_limits limits = tw_worker_destination_limits(destination);

	lane->line = new_line(destination, &info->path.remote, now);
	lane->connect = (struct tw_connect){
		.remote = info->path.remote,
		.peer_key = settings->peer_key,
		.cipher = settings->cipher,
		.config = {
			.method = settings->method,
			.limits = tw_worker_lanes_part(destination, &limits),
			.rtt_hint = info->rtt_smoothed,
			.lane = berth->number,
		},
	};
	return lane->line && !tw_lane_new_sending(destination->outgoing, &lane_port, &berth_port,
						  now, &lane->lane, &berth->berth);
}

static void open_lane(struct tw_worker *worker, struct destination *destination,
		      const struct tw_conn_info *info, unsigned place, tw_ns now)
{
	struct half *berth, *lane;
	unsigned number = 1;

	destination->lanes_at = now + AGAIN_AFTER;
	while (destination->lanes[number - 1])
		number++;
	if (!tw_worker_halves_new(worker, place, true, &berth, &lane))
		return;
	berth->number = number;
	berth->beside = info->id;
	/* First the others become slower. */
	destination->lane_count++;
	tw_worker_destination_rate(worker, destination, now);
	if (!fill_halves(destination, berth, lane, info, now) || !tw_worker_half_introduce(lane)) {
		tw_worker_half_free(berth);
		tw_worker_half_free(lane);
		destination->lane_count--;
		tw_worker_destination_rate(worker, destination, now);
		return;
	}
	berth->destination = destination;
	destination->lanes[number - 1] = berth;
	tw_worker_half_link(worker, berth);
	destination->lanes_at = now;
	worker->publish_soon = true;
}

static void dismiss(struct destination *destination, unsigned from, tw_ns now)
{
	for (unsigned i = from; i < TW_LANES_MAX; i++) {
		struct half *berth = destination->lanes[i];

		if (!berth || berth->dismissed)
			continue;
		berth->dismissed = true;
		tw_berth_close(berth->berth, now);
	}
}

/* How many there shall be. */
static bool is_told(const struct destination *destination)
{
	return destination->settings.lanes != TW_WORKER_LANES_AUTO;
}

static void open_some(struct tw_worker *worker, struct destination *destination,
		      const struct tw_conn_info *info, tw_ns now)
{
	bool told = is_told(destination);
	unsigned most = lanes_most(worker, destination, info), place;

	if (most < TW_LANES_MAX)
		dismiss(destination, most, now);
	if (!told && !is_held_up(worker, destination))
		return;
	while (destination->lane_count < most && now >= destination->lanes_at &&
	       destination->lane_failures < FAILURES_MAX &&
	       find_place(worker, destination, !told, &place)) {
		open_lane(worker, destination, info, place, now);
		if (!told)
			return;
	}
}

void tw_worker_lanes_look(struct tw_worker *worker, struct destination *destination, tw_ns now)
{
	const struct tw_conn *conn = tw_outgoing_conn(destination->outgoing);
	struct tw_conn_info info;

	/* Without it they end by themselves. */
	if (!conn || worker->stopping || (!destination->settings.lanes && !destination->lane_count))
		return;
	if (destination->seated && !destination->removed)
		destination->lanes_idle_since = now;
	else if (tw_ns_since(now, destination->lanes_idle_since) >= IDLE_SPAN)
		dismiss(destination, 0, now);
	if (destination->lanes_idle_since < now ||
	    (!is_told(destination) && destination->load_seen == worker->load_serial))
		return;
	tw_conn_info(conn, &info);
	if (info.id != destination->lanes_conn) {
		destination->lanes_conn = info.id;
		destination->lane_failures = 0;
		destination->lanes_at = now;
	}
	open_some(worker, destination, &info, now);
}

void tw_worker_lane_ended(struct tw_worker *worker, struct half *berth, tw_ns now)
{
	struct destination *destination = berth->destination;

	destination->lanes_past.packets_sent += berth->carried.packets_sent;
	destination->lanes_past.packets_received += berth->carried.packets_received;
	destination->lanes_past.bytes_sent += berth->carried.bytes_sent;
	destination->lanes_past.bytes_received += berth->carried.bytes_received;
	destination->lanes[berth->number - 1] = NULL;
	destination->lane_count--;
	/* Those of a connection before are gone with it, and say nothing about this one. */
	destination->lane_failures += !berth->dismissed && berth->beside == destination->lanes_conn;
	destination->lanes_at = now + AGAIN_AFTER;
	tw_worker_destination_rate(worker, destination, now);
	tw_worker_touch(worker, destination);
}

void tw_worker_lanes_forget(struct destination *destination)
{
	for (unsigned i = 0; i < TW_LANES_MAX; i++)
		if (destination->lanes[i])
			destination->lanes[i]->destination = NULL;
}

/* Rates. */

struct tw_rate_limits tw_worker_lanes_part(const struct destination *destination,
					   const struct tw_rate_limits *limits)
{
	struct tw_rate_limits part = *limits;
	unsigned count = destination->lane_count + 1;

	if (count == 1)
		return part;
	if (part.max_bps != UINT64_MAX)
		part.max_bps /= count;
	/* 0 would mean none. */
	if (!part.max_bps)
		part.max_bps = 1;
	part.min_bps /= count;
	if (part.rate_bps)
		part.rate_bps = part.rate_bps / count + (part.rate_bps < count);
	return part;
}

void tw_worker_lanes_set_rate(struct destination *destination, enum tw_rate_method method,
			      const struct tw_rate_limits *part)
{
	for (unsigned i = 0; destination->lane_count && i < TW_LANES_MAX; i++)
		if (destination->lanes[i])
			tw_berth_set_rate(destination->lanes[i]->berth, method, part);
}
