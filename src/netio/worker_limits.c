/*
 * worker_limits.c - what all destinations together may send, what all peers together may send to
 * us, and who may.
 *
 * A total is dealt out ten times a second, by need (rate/share.h): who uses most of his share could
 * use more; who does not needs what he uses and some room to grow. Outgoing shares are limits of
 * our own connections and hold at once. Incoming ones are told to the peers; a peer whose share
 * shrinks is given time to hear of it before others get what it gives up.
 */
#include <stdlib.h>
#include <string.h>

#include "netio/worker_private.h"

#define DEAL_EVERY (100 * TW_MSEC)
#define HUNGRY_TENTHS 8 /* of its share, from which on it could use more */
#define SETTLE_MIN (200 * TW_MSEC)
/* Who has just come is told soon. */
#define ARRIVALS_EVERY (10 * TW_MSEC)
#define ARRIVALS_SPAN (2 * TW_SECOND)
#define LEAST_BPS 8000 /* told to a peer: a share of 0 would mean no limit */

static uint64_t bps(uint64_t bytes, tw_ns span)
{
	return (uint64_t)((double)bytes * 8.0 * (double)TW_SECOND / (double)span);
}

/* Room for everybody's claim in worker->shares. */
static bool make_room(struct tw_worker *worker, size_t count)
{
	struct tw_share *larger;

	if (count <= worker->share_room)
		return true;
	larger = realloc(worker->shares, 2 * count * sizeof *larger);
	if (!larger)
		return false;
	worker->shares = larger;
	worker->share_room = 2 * count;
	return true;
}

/* What one who has sent @used lately at a share of @share can use. */
static uint64_t need(uint64_t used, uint64_t share, uint64_t total, size_t count)
{
	uint64_t room = total / 8 / (count ? count : 1);

	if (share == UINT64_MAX || used / HUNGRY_TENTHS >= share / 10)
		return UINT64_MAX;
	return used + used / 4 + room;
}

/* Outgoing. */

static bool takes_share(const struct destination *destination)
{
	return destination->seated || tw_outgoing_conn(destination->outgoing) != NULL;
}

/* @span 0: too little time has passed to measure. */
static void claim(struct tw_worker *worker, struct destination *destination, struct tw_share *share,
		  size_t count, tw_ns span)
{
	uint64_t most = destination->settings.limits.max_bps;

	if (span) {
		uint64_t sent = tw_worker_traffic(destination).bytes_sent;

		uint64_t used = bps(sent - destination->part_sent, span);

		/* Lanes tell of themselves as often as this, or as seldom. */
		destination->used_bps =
			destination->lane_count ? (destination->used_bps + used) / 2 : used;
		destination->part_sent = sent;
	}
	*share = (struct tw_share){
		.need_bps = need(destination->used_bps, destination->part_bps, worker->outgoing_bps,
				 count),
		.most_bps = most ? most : UINT64_MAX,
	};
	/* A connection with nothing to do only answers. */
	if (!destination->seated)
		share->need_bps = destination->used_bps;
}

static void deal_outgoing(struct tw_worker *worker, tw_ns span, tw_ns now)
{
	size_t count = 0, at = 0;

	for (size_t i = 0; i < worker->destination_count; i++)
		count += takes_share(worker->destinations[i]);
	if (!make_room(worker, count))
		return;
	for (size_t i = 0; i < worker->destination_count; i++)
		if (takes_share(worker->destinations[i]))
			claim(worker, worker->destinations[i], &worker->shares[at++], count, span);
	tw_share_divide(worker->outgoing_bps, worker->shares, count);
	at = 0;
	for (size_t i = 0; i < worker->destination_count; i++) {
		struct destination *destination = worker->destinations[i];
		uint64_t part = 0;

		if (takes_share(destination))
			part = worker->shares[at++].part_bps;
		/* Small gains are not worth disturbing a controller; losses count at once. */
		if (part > destination->part_bps && destination->part_bps &&
		    part - destination->part_bps < destination->part_bps / 32)
			continue;
		destination->part_bps = part;
		tw_worker_destination_rate(worker, destination, now);
	}
}

static void release_outgoing(struct tw_worker *worker, tw_ns now)
{
	for (size_t i = 0; i < worker->destination_count; i++) {
		worker->destinations[i]->part_bps = UINT64_MAX;
		tw_worker_destination_rate(worker, worker->destinations[i], now);
	}
}

/* Incoming. */

static struct incoming *incoming_new(struct tw_worker *worker, const struct tw_conn_info *info)
{
	size_t room = worker->incoming_room ? 2 * worker->incoming_room : 16;
	struct incoming *incoming;

	if (worker->incoming_count == worker->incoming_room) {
		struct incoming **larger = realloc(worker->incoming, room * sizeof *larger);

		if (!larger)
			return NULL;
		worker->incoming = larger;
		worker->incoming_room = room;
	}
	incoming = calloc(1, sizeof *incoming);
	if (!incoming)
		return NULL;
	incoming->conn_id = info->id;
	incoming->bytes = info->bytes_received;
	incoming->told_bps = UINT64_MAX;
	if (tw_table_put(&worker->by_incoming, info->id, incoming)) {
		free(incoming);
		return NULL;
	}
	worker->incoming[worker->incoming_count++] = incoming;
	return incoming;
}

/* Whoever keeps to a limit keeps to it with all his lanes. */
static uint64_t with_lanes(struct tw_worker *worker, const struct tw_conn *conn,
			   const struct tw_conn_info *info)
{
	return info->bytes_received + (worker->halves ? tw_worker_lanes_received(worker, conn) : 0);
}

/* Finds the connections that came in and are established; what has gone is forgotten. */
static void look_round(struct tw_worker *worker, tw_ns span)
{
	worker->incoming_round++;
	for (size_t i = 0; i < tw_endpoint_count(worker->endpoint); i++) {
		struct tw_conn *conn = tw_endpoint_conn(worker->endpoint, i);
		struct incoming *incoming;
		struct tw_conn_info info;

		if (tw_conn_tag(conn))
			continue;
		tw_conn_info(conn, &info);
		if (info.state != TW_CONN_ESTABLISHED)
			continue;
		incoming = tw_table_get(&worker->by_incoming, info.id);
		if (!incoming)
			incoming = incoming_new(worker, &info);
		if (!incoming)
			continue;
		incoming->conn = conn;
		incoming->rtt = info.rtt_smoothed;
		if (span) {
			uint64_t bytes = with_lanes(worker, conn, &info);

			/* What lanes brought goes with them. */
			incoming->used_bps =
				bytes > incoming->bytes ? bps(bytes - incoming->bytes, span) : 0;
			incoming->bytes = bytes;
		}
		incoming->round = worker->incoming_round;
	}
	for (size_t i = worker->incoming_count; i-- > 0;) {
		struct incoming *incoming = worker->incoming[i];

		if (incoming->round == worker->incoming_round)
			continue;
		tw_table_remove(&worker->by_incoming, incoming->conn_id);
		worker->incoming[i] = worker->incoming[--worker->incoming_count];
		free(incoming);
	}
}

static void tell(struct tw_worker *worker, struct incoming *incoming, uint64_t part, tw_ns now)
{
	if (part == incoming->told_bps)
		return;
	if (part < incoming->told_bps) {
		incoming->before_bps = incoming->told_bps;
		incoming->settled_at = now + tw_ns_max(SETTLE_MIN, 2 * incoming->rtt);
	}
	incoming->told_bps = part;
	tw_receiver_set_limit(worker->hub, incoming->conn, part);
}

/* What the peer may send at the moment, as far as we can know. */
static uint64_t held(const struct incoming *incoming, tw_ns now)
{
	bool settled = now >= incoming->settled_at || incoming->before_bps < incoming->told_bps;
	uint64_t most = settled ? incoming->told_bps : incoming->before_bps;

	/* Without a limit it may send anything: what it does send is all we know. */
	return most == UINT64_MAX ? incoming->used_bps : most;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* It has not been told anything yet. */
static bool is_new(const struct incoming *incoming)
{
	return incoming->told_bps == UINT64_MAX;
}

/* Raises what @incoming has to @part, or as far as there is @room. Returns how much it gains. */
static uint64_t give(struct tw_worker *worker, struct incoming *incoming, uint64_t part,
		     uint64_t room, tw_ns now)
{
	uint64_t has = is_new(incoming) ? 0 : incoming->told_bps;
	uint64_t gain = part > has ? part - has : 0;

	gain = gain < room ? gain : room;
	/* Small gains are not worth a message. */
	if (gain <= has / 32 && !is_new(incoming))
		return 0;
	tell(worker, incoming, greater(has + gain, LEAST_BPS), now);
	return gain;
}

static void deal_incoming(struct tw_worker *worker, tw_ns span, tw_ns now)
{
	size_t count;
	uint64_t spoken_for = 0, room;

	look_round(worker, span);
	count = worker->incoming_count;
	if (!count || !make_room(worker, count))
		return;
	for (size_t i = 0; i < count; i++) {
		const struct incoming *incoming = worker->incoming[i];

		worker->shares[i] = (struct tw_share){
			.need_bps = need(incoming->used_bps, incoming->told_bps,
					 worker->incoming_bps, count),
			.most_bps = UINT64_MAX,
		};
	}
	tw_share_divide(worker->incoming_bps, worker->shares, count);
	/* First those who lose, then those who gain, from what nobody may still be using. */
	for (size_t i = 0; i < count; i++) {
		struct incoming *incoming = worker->incoming[i];
		uint64_t part = greater(worker->shares[i].part_bps, LEAST_BPS);

		if (is_new(incoming))
			continue;
		if (part < incoming->told_bps)
			tell(worker, incoming, part, now);
		spoken_for += held(incoming, now);
	}
	room = worker->incoming_bps > spoken_for ? worker->incoming_bps - spoken_for : 0;
	for (size_t i = 0; i < count; i++)
		room -= give(worker, worker->incoming[i], worker->shares[i].part_bps, room, now);
}

static void release_incoming(struct tw_worker *worker)
{
	look_round(worker, 0);
	for (size_t i = 0; i < worker->incoming_count; i++)
		if (worker->incoming[i]->told_bps != UINT64_MAX)
			tell(worker, worker->incoming[i], UINT64_MAX, 0);
}

/* Both. */

void tw_worker_limits_run(struct tw_worker *worker, tw_ns now)
{
	tw_ns span = tw_ns_since(now, worker->limits_dealt_at);

	if (now < worker->limits_at)
		return;
	if (span < DEAL_EVERY / 2)
		span = 0;
	else
		worker->limits_dealt_at = now;
	worker->limits_at = TW_NEVER;
	if (worker->outgoing_bps != UINT64_MAX) {
		deal_outgoing(worker, span, now);
		worker->limits_at = now + DEAL_EVERY;
	}
	if (worker->incoming_bps != UINT64_MAX && worker->hub && !worker->closed) {
		deal_incoming(worker, span, now);
		worker->limits_at =
			now + (now < worker->arrivals_until ? ARRIVALS_EVERY : DEAL_EVERY);
	}
}

void tw_worker_limits_join(struct tw_worker *worker, struct destination *destination, tw_ns now)
{
	if (worker->outgoing_bps == UINT64_MAX || destination->transfer_count > 1)
		return;
	worker->limits_at = now;
}

void tw_worker_limits_arrival(struct tw_worker *worker, tw_ns now)
{
	if (worker->incoming_bps == UINT64_MAX)
		return;
	worker->arrivals_until = now + ARRIVALS_SPAN;
	worker->limits_at = tw_ns_min(worker->limits_at, now + ARRIVALS_EVERY);
}

void tw_worker_limits_set(struct tw_worker *worker, uint64_t outgoing_bps, uint64_t incoming_bps,
			  tw_ns now)
{
	bool release_out = worker->outgoing_bps != UINT64_MAX && outgoing_bps == UINT64_MAX,
	     release_in = worker->incoming_bps != UINT64_MAX && incoming_bps == UINT64_MAX;

	if (worker->outgoing_bps == UINT64_MAX && outgoing_bps != UINT64_MAX)
		for (size_t i = 0; i < worker->destination_count; i++)
			worker->destinations[i]->part_sent =
				tw_worker_traffic(worker->destinations[i]).bytes_sent;
	if (worker->limits_at == TW_NEVER)
		worker->limits_dealt_at = now;
	worker->outgoing_bps = outgoing_bps;
	worker->incoming_bps = incoming_bps;
	if (release_out)
		release_outgoing(worker, now);
	if (release_in && worker->hub)
		release_incoming(worker);
	worker->limits_at = now;
	tw_worker_limits_run(worker, now);
}

void tw_worker_limits_free(struct tw_worker *worker)
{
	while (worker->incoming_count)
		free(worker->incoming[--worker->incoming_count]);
	free(worker->incoming);
	free(worker->shares);
	tw_table_deinit(&worker->by_incoming);
	free(worker->admission.keys);
}

/* Admission. */

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tw_public_key));
}

void tw_worker_admission_set(struct tw_worker *worker, const struct tw_worker_admission *admission)
{
	free(worker->admission.keys);
	worker->admission = *admission;
	if (worker->admission.key_count)
		qsort(worker->admission.keys, worker->admission.key_count,
		      sizeof *worker->admission.keys, compare_keys);
	for (size_t i = 0; i < tw_endpoint_count(worker->endpoint); i++) {
		struct tw_conn *conn = tw_endpoint_conn(worker->endpoint, i);
		struct tw_conn_info info;

		if (!tw_worker_came_in(conn))
			continue;
		tw_conn_info(conn, &info);
		if (!tw_worker_admits(worker, &info.peer_key))
			tw_conn_close(conn, TW_SESSION_CLOSE_DONE, "not allowed any more");
	}
}

bool tw_worker_admits(const struct tw_worker *worker, const struct tw_public_key *peer)
{
	const struct tw_worker_admission *admission = &worker->admission;

	return !admission->only_listed ||
	       (admission->key_count && bsearch(peer, admission->keys, admission->key_count,
						sizeof *admission->keys, compare_keys));
}
