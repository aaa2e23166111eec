/*
 * worker_destinations.c - one destination: its dialer and timers, its rates, its figures.
 *
 * It is looked at when its timer is due: at the deadlines of what it is made of, and soon after a
 * datagram or a job of it (tw_worker_touch()). A look does whatever can be done and sets the timer.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netio/worker_private.h"

#define LOOKS_APART (2 * TW_MSEC) /* on behalf of what came in or back */
#define DEADLINES_APART (500 * TW_USEC)
#define TICK_IDLE (500 * TW_MSEC)
#define SOCKETS_LINGER (2 * TW_SECOND) /* with no connection */
#define GOODBYE (1200 * TW_MSEC)       /* from the dialer's end to the sockets' */
#define DIAL_AGAIN TW_SECOND           /* there was no memory for a dialer */

static tw_ns window_of(const struct tw_worker_destination *settings)
{
	return settings->rate_window ? settings->rate_window : TW_SECOND;
}

struct destination *tw_worker_destination_new(const struct tw_worker_destination *settings,
					      tw_ns now)
{
	struct destination *destination = calloc(1, sizeof *destination);

	if (!destination)
		return NULL;
	assert(settings->remote_count <= TW_DIALER_ADDRESSES_MAX);
	if (tw_outgoing_new(now, &destination->outgoing)) {
		free(destination);
		return NULL;
	}
	destination->settings = *settings;
	destination->status.id = settings->id;
	destination->gone_at = TW_NEVER;
	destination->part_bps = UINT64_MAX;
	destination->idle_since = now;
	tw_meter_init(&destination->meter, window_of(settings), now);
	return destination;
}

struct destination *tw_worker_destination(const struct tw_worker *worker, uint64_t id)
{
	return tw_table_get(&worker->by_destination, id);
}

void tw_worker_hurry(struct tw_worker *worker, struct destination *destination, tw_ns now)
{
	/* Fails only when the heap cannot grow, and it has had its place since it was added. */
	(void)tw_heap_set(&worker->timers, &destination->timer, now);
}

void tw_worker_touch(struct tw_worker *worker, struct destination *destination)
{
	destination->heard = true;
	tw_worker_touch_sent(worker, destination);
}

void tw_worker_touch_sent(struct tw_worker *worker, struct destination *destination)
{
	if (destination->touched || destination->is_line)
		return;
	destination->touched = true;
	destination->next_touched = worker->touched;
	worker->touched = destination;
}

/* Rates. */

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What those that run may have together. */
static uint64_t transfers_max(const struct destination *destination)
{
	uint64_t sum = 0;

	for (const struct transfer *at = destination->transfers; at; at = at->next) {
		if (at->state != TRANSFER_RUNNING)
			continue;
		if (at->max_bps >= UINT64_MAX - sum)
			return UINT64_MAX;
		sum += at->max_bps;
	}
	return sum ? sum : UINT64_MAX;
}

struct tw_rate_limits tw_worker_destination_limits(const struct destination *destination)
{
	struct tw_rate_limits limits = destination->settings.limits;

	if (!limits.max_bps)
		limits.max_bps = UINT64_MAX;
	limits.max_bps = least(limits.max_bps, transfers_max(destination));
	limits.max_bps = least(limits.max_bps, destination->part_bps);
	limits.max_bps = least(limits.max_bps, tw_outgoing_peer_max_bps(destination->outgoing));
	/* 0 would mean none. */
	if (!limits.max_bps)
		limits.max_bps = 1;
	if (limits.min_bps > limits.max_bps)
		limits.min_bps = limits.max_bps;
	return limits;
}

/* What its own connection may use, beside lanes. */
static struct tw_rate_limits own_limits(const struct destination *destination)
{
	struct tw_rate_limits limits = tw_worker_destination_limits(destination);

	return tw_worker_lanes_part(destination, &limits);
}

void tw_worker_destination_rate(struct tw_worker *worker, struct destination *destination,
				tw_ns now)
{
	struct tw_rate_limits limits = own_limits(destination);

	if (!destination->dialer || worker->closed)
		return;
	if (limits.max_bps == destination->limits.max_bps &&
	    limits.min_bps == destination->limits.min_bps &&
	    limits.rate_bps == destination->limits.rate_bps &&
	    destination->method == destination->settings.method)
		return;
	destination->limits = limits;
	destination->method = destination->settings.method;
	tw_dialer_set_rate(destination->dialer, destination->method, &limits, now);
	tw_worker_lanes_set_rate(destination, destination->method, &limits);
}

/* The dialer. */

static void dial(struct tw_worker *worker, struct destination *destination, tw_ns now)
{
	const struct tw_worker_destination *settings = &destination->settings;
	struct tw_dialer_options options = {
		.remote_count = settings->remote_count,
		.connect = {
			.peer_key = settings->peer_key,
			.cipher = settings->cipher,
			.config = {
				.method = settings->method,
				.limits = own_limits(destination),
				.tag = settings->id + 1,
			},
		},
		.first_timeout = settings->first_timeout,
		.give_up = TW_NEVER,
		.patient = settings->patient,
		.linger = TW_WORKER_LINGER,
	};

	memcpy(options.remotes, settings->remotes, sizeof options.remotes);
	memcpy(options.tickets, settings->tickets, sizeof options.tickets);
	options.ticketed = settings->ticketed;
	destination->method = settings->method;
	destination->limits = options.connect.config.limits;
	if (tw_dialer_new(worker->endpoint, destination->outgoing, &options, now,
			  &destination->dialer))
		destination->dialer = NULL;
}

static void hang_up(struct destination *destination)
{
	tw_worker_note_conn(destination);
	tw_dialer_free(destination->dialer);
	destination->dialer = NULL;
}

static bool make_room(struct tw_worker *worker)
{
	size_t room = worker->destination_room ? 2 * worker->destination_room : 16;
	struct destination **larger;

	if (worker->destination_count < worker->destination_room)
		return true;
	if (worker->destination_count == TW_WORKER_DESTINATIONS_MAX)
		return false;
	larger = realloc(worker->destinations, room * sizeof *larger);
	if (!larger)
		return false;
	worker->destinations = larger;
	worker->destination_room = room;
	return true;
}

void tw_worker_destination_add(struct tw_worker *worker, struct destination *destination, tw_ns now)
{
	uint64_t id = destination->settings.id;

	if (!make_room(worker) || tw_heap_set(&worker->timers, &destination->timer, now) ||
	    tw_table_put(&worker->by_destination, id, destination)) {
		/* What is sent to it ends at once. */
		tw_heap_remove(&worker->timers, &destination->timer);
		tw_outgoing_free(destination->outgoing);
		free(destination);
		return;
	}
	destination->index = worker->destination_count;
	worker->destinations[worker->destination_count++] = destination;
	dial(worker, destination, now);
}

static bool same_addresses(const struct tw_worker_destination *a,
			   const struct tw_worker_destination *b)
{
	if (a->remote_count != b->remote_count || a->ticketed != b->ticketed)
		return false;
	for (unsigned i = 0; i < a->remote_count; i++)
		if (!tw_address_equal(&a->remotes[i], &b->remotes[i]) ||
		    (a->ticketed && a->tickets[i].index != b->tickets[i].index))
			return false;
	return true;
}

/* A connection made by one would do for the other. */
static bool same_call(const struct tw_worker_destination *a, const struct tw_worker_destination *b)
{
	return tw_address_equal(&a->local, &b->local) &&
	       a->socket_receive_bytes == b->socket_receive_bytes &&
	       a->socket_send_bytes == b->socket_send_bytes &&
	       memcmp(&a->peer_key, &b->peer_key, sizeof a->peer_key) == 0 &&
	       a->cipher == b->cipher && a->patient == b->patient &&
	       a->first_timeout == b->first_timeout;
}

void tw_worker_destination_change(struct tw_worker *worker, struct destination *destination,
				  const struct tw_worker_destination *settings, tw_ns now)
{
	struct tw_worker_destination before = destination->settings;

	if (destination->removed || worker->stopping)
		return;
	destination->settings = *settings;
	tw_meter_set_window(&destination->meter, window_of(settings));
	if (!same_call(&before, settings)) {
		if (destination->dialer)
			hang_up(destination);
		/* The CLOSE leaves through the first socket of the new kind. */
		tw_worker_slots_close(worker, destination);
		dial(worker, destination, now);
	} else if (destination->dialer && !same_addresses(&before, settings)) {
		tw_dialer_set_tickets(destination->dialer,
				      settings->ticketed ? settings->tickets : NULL);
		tw_dialer_set_remotes(destination->dialer, settings->remotes,
				      settings->remote_count, now);
	}
	/* What is new may be just what stood in the way. */
	if (destination->dialer && destination->status.failed)
		tw_dialer_redial(destination->dialer, now);
	tw_worker_destination_rate(worker, destination, now);
	tw_worker_hurry(worker, destination, now);
}

void tw_worker_destination_remove(struct tw_worker *worker, struct destination *destination,
				  tw_ns now)
{
	struct transfer *next;

	destination->removed = true;
	for (struct transfer *at = destination->transfers; at; at = next) {
		next = at->next;
		tw_worker_transfer_end(at, TW_WORKER_CANCEL, now);
	}
	tw_worker_hurry(worker, destination, now);
}

void tw_worker_destination_free(struct tw_worker *worker, struct destination *destination)
{
	struct destination *last = worker->destinations[worker->destination_count - 1];

	assert(!destination->transfers);
	tw_worker_lanes_forget(destination);
	if (destination->dialer)
		tw_dialer_free(destination->dialer);
	tw_worker_slots_close(worker, destination);
	tw_outgoing_free(destination->outgoing);
	tw_heap_remove(&worker->timers, &destination->timer);
	tw_table_remove(&worker->by_destination, destination->settings.id);
	worker->destinations[destination->index] = last;
	last->index = destination->index;
	worker->destination_count--;
	for (struct destination **at = &worker->touched; *at; at = &(*at)->next_touched) {
		if (*at == destination) {
			*at = destination->next_touched;
			break;
		}
	}
	free(destination);
}

/* Figures. */

struct traffic tw_worker_traffic_own(const struct destination *destination)
{
	struct traffic traffic = destination->past;

	for (unsigned i = 0; i < destination->slot_count; i++) {
		const struct tw_udp_counters *counters = &destination->slots[i]->udp.counters;

		traffic.packets_sent += counters->packets_sent;
		traffic.packets_received += counters->packets_received;
		traffic.bytes_sent += counters->bytes_sent;
		traffic.bytes_received += counters->bytes_received;
	}
	return traffic;
}

static void add_traffic(struct traffic *sum, const struct traffic *traffic)
{
	sum->packets_sent += traffic->packets_sent;
	sum->packets_received += traffic->packets_received;
	sum->bytes_sent += traffic->bytes_sent;
	sum->bytes_received += traffic->bytes_received;
}

struct traffic tw_worker_traffic(const struct destination *destination)
{
	struct traffic traffic = tw_worker_traffic_own(destination);

	add_traffic(&traffic, &destination->lanes_past);
	for (unsigned i = 0; destination->lane_count && i < TW_LANES_MAX; i++)
		if (destination->lanes[i])
			add_traffic(&traffic, &destination->lanes[i]->carried);
	return traffic;
}

void tw_worker_note_conn(struct destination *destination)
{
	struct tw_conn *conn = tw_outgoing_conn(destination->outgoing);

	if (!conn)
		return;
	tw_conn_info(conn, &destination->status.conn);
	destination->status.conn_known = true;
}

static bool takes_part(const struct transfer *transfer)
{
	return transfer->state == TRANSFER_RUNNING || transfer->state == TRANSFER_LEAVING;
}

/* What each has sent of its own since it was counted last; returns the sum. */
static uint64_t new_pieces(const struct destination *destination, uint64_t *ret, unsigned room)
{
	struct tw_sender_status status;
	uint64_t sum = 0;
	unsigned count = 0;

	for (struct transfer *at = destination->transfers; at; at = at->next) {
		if (!takes_part(at))
			continue;
		tw_sender_status(at->sender, &status);
		assert(count < room);
		ret[count] = status.pieces_sent - at->pieces_counted;
		at->pieces_counted = status.pieces_sent;
		/* Unknown without a connection: then as it was. */
		if (status.piece_bytes)
			at->status.block_bytes = (uint32_t)status.piece_bytes;
		sum += ret[count++];
	}
	return sum;
}

/* @whole in proportion to @part of @sum; equally when nobody has a part. */
static uint64_t proportion(uint64_t whole, uint64_t part, uint64_t sum, unsigned count)
{
	return sum ? (uint64_t)((unsigned __int128)whole * part / sum) : whole / count;
}

void tw_worker_account(struct destination *destination)
{
	struct traffic traffic = tw_worker_traffic(destination), news = traffic;
	uint64_t pieces[TW_SESSION_TRANSFERS_MAX], sum, rest;
	unsigned count = destination->seated, i = 0;

	/* Pieces count when they are sealed: more of them than datagrams that have left. */
	news.packets_sent = traffic.packets_sent > destination->accounted.packets_sent
				    ? traffic.packets_sent - destination->accounted.packets_sent
				    : 0;
	news.packets_received -= destination->accounted.packets_received;
	news.bytes_sent -= destination->accounted.bytes_sent;
	news.bytes_received -= destination->accounted.bytes_received;
	if (traffic.packets_sent < destination->accounted.packets_sent)
		traffic.packets_sent = destination->accounted.packets_sent;
	destination->accounted = traffic;
	if (!count)
		return;
	sum = new_pieces(destination, pieces, count);
	/* A datagram carries one piece at most. */
	rest = news.packets_sent > sum ? news.packets_sent - sum : 0;
	if (news.packets_sent < sum)
		destination->accounted.packets_sent += sum - news.packets_sent;
	for (struct transfer *at = destination->transfers; at; at = at->next) {
		struct tw_worker_transfer_status *status = &at->status;

		if (!takes_part(at))
			continue;
		status->packets_sent += pieces[i] + rest / count + (i < rest % count);
		status->packets_received +=
			proportion(news.packets_received, pieces[i], sum, count);
		status->bytes_sent += proportion(news.bytes_sent, pieces[i], sum, count);
		status->bytes_received += proportion(news.bytes_received, pieces[i], sum, count);
		i++;
	}
}

/* What a snapshot shows and only the dialer knows. */
static void ask_dialer(const struct tw_worker *worker, struct destination *destination)
{
	struct tw_worker_destination_status *status = &destination->status;
	const struct tw_conn *conn = tw_outgoing_conn(destination->outgoing);
	const char *message = "";

	status->connected = conn != NULL && !worker->closed;
	status->negotiating = status->waiting = false;
	if (!destination->dialer || worker->closed)
		return;
	status->negotiating = tw_dialer_calling(destination->dialer);
	status->waiting = tw_dialer_waiting(destination->dialer, &status->waiting_since);
	status->failed = tw_dialer_failed(destination->dialer, &status->failure, &message);
	if (status->failed)
		snprintf(status->failure_message, sizeof status->failure_message, "%s", message);
}

static uint64_t sign(const struct destination *destination)
{
	const struct tw_worker_destination_status *status = &destination->status;
	uint64_t signature = (uint64_t)status->connected | (uint64_t)status->negotiating << 1 |
			     (uint64_t)status->waiting << 2 | (uint64_t)status->failed << 3;

	for (const struct transfer *at = destination->transfers; at; at = at->next) {
		struct tw_sender_status sender;

		if (!takes_part(at))
			continue;
		tw_sender_status(at->sender, &sender);
		signature += (uint64_t)sender.running << 16 | (uint64_t)sender.walk_over << 32;
	}
	return signature;
}

void tw_worker_destination_status(const struct tw_worker *worker, struct destination *destination,
				  tw_ns now, struct tw_worker_destination_status *ret)
{
	struct traffic traffic = tw_worker_traffic(destination);

	tw_worker_note_conn(destination);
	ask_dialer(worker, destination);
	tw_meter_note(&destination->meter, traffic.bytes_sent, now);
	*ret = destination->status;
	ret->bytes_sent = traffic.bytes_sent;
	ret->bytes_received = traffic.bytes_received;
	ret->packets_sent = traffic.packets_sent;
	ret->packets_received = traffic.packets_received;
	ret->rate_window_bps = tw_meter_bps(&destination->meter, now);
	ret->transfers = destination->transfer_count;
	ret->lanes = destination->lane_count;
	tw_worker_lanes_add_rates(destination, &ret->conn);
}

/* Looking. */

static void tick(struct tw_worker *worker, struct destination *destination, tw_ns now)
{
	uint64_t signature;

	tw_outgoing_tick(destination->outgoing, now);
	if (worker->crew)
		tw_worker_lanes_look(worker, destination, now);
	tw_worker_note_conn(destination);
	ask_dialer(worker, destination);
	if (now >= destination->sign_at) {
		signature = sign(destination);
		if (signature != destination->signature)
			worker->publish_soon = true;
		destination->signature = signature;
		destination->sign_at = now + TICK_EVERY * (destination->seated / 8);
	}
	destination->tick_at = now + (destination->transfer_count ? TICK_EVERY : TICK_IDLE);
}

static bool is_idle(const struct destination *destination)
{
	return !destination->transfer_count && !tw_outgoing_conn(destination->outgoing) &&
	       (!destination->dialer || !tw_dialer_calling(destination->dialer));
}

/* Sockets that no connection uses are given back. */
static void save_sockets(struct tw_worker *worker, struct destination *destination, tw_ns now)
{
	if (!is_idle(destination))
		destination->idle_since = now;
	else if (tw_ns_since(now, destination->idle_since) >= SOCKETS_LINGER)
		tw_worker_slots_close(worker, destination);
}

static void set_timer(struct tw_worker *worker, struct destination *destination, tw_ns now)
{
	tw_ns at = tw_worker_transfers_deadline(destination);

	/* Its time is over, but something is still with the disk. */
	at = tw_ns_min(at, destination->gone_at > now ? destination->gone_at : now + TICK_EVERY);
	if (!is_idle(destination)) {
		at = tw_ns_min(at, destination->tick_at);
		at = tw_ns_min(at, tw_outgoing_deadline(destination->outgoing));
	} else if (destination->slot_count) {
		at = tw_ns_min(at, destination->idle_since + SOCKETS_LINGER);
	}
	if (destination->dialer && !worker->closed)
		at = tw_ns_min(at, tw_dialer_deadline(destination->dialer));
	else if (!destination->dialer && !destination->removed)
		at = tw_ns_min(at, now + DIAL_AGAIN);
	if (at != TW_NEVER)
		at = tw_ns_max(at, now + DEADLINES_APART);
	(void)tw_heap_set(&worker->timers, &destination->timer, at);
}

/* It may be gone behind the call. */
static void look(struct tw_worker *worker, struct destination *destination, tw_ns now)
{
	destination->looked_at = now;
	destination->heard = false;
	if (!destination->dialer && !destination->removed && !worker->stopping)
		dial(worker, destination, now);
	if (destination->dialer && !worker->closed)
		tw_dialer_tick(destination->dialer, now);
	if (now >= destination->tick_at || now >= tw_outgoing_deadline(destination->outgoing))
		tick(worker, destination, now);
	tw_worker_destination_rate(worker, destination, now);
	tw_worker_transfers_look(worker, destination, now);
	if (destination->removed && !destination->seated && destination->dialer) {
		hang_up(destination);
		destination->gone_at = now + GOODBYE;
		worker->publish_soon = true;
	}
	if (now >= destination->gone_at && !destination->transfer_count) {
		tw_worker_destination_free(worker, destination);
		return;
	}
	save_sockets(worker, destination, now);
	set_timer(worker, destination, now);
}

void tw_worker_destinations_run(struct tw_worker *worker, tw_ns now)
{
	for (;;) {
		struct tw_timer *timer = tw_heap_top(&worker->timers);

		/* It is the destination's first member. */
		if (!timer || timer->at > now)
			return;
		look(worker, (struct destination *)timer, now);
	}
}

void tw_worker_destinations_settle(struct tw_worker *worker, tw_ns now)
{
	while (worker->touched) {
		struct destination *destination = worker->touched;
		tw_ns apart = destination->heard ? LOOKS_APART : TICK_EVERY;
		tw_ns at = tw_ns_min(destination->looked_at + apart,
				     tw_ns_max(tw_outgoing_deadline(destination->outgoing),
					       now + DEADLINES_APART));

		worker->touched = destination->next_touched;
		destination->touched = false;
		tw_meter_note(&destination->meter, tw_worker_traffic(destination).bytes_sent, now);
		if (at < destination->timer.at || !destination->timer.place)
			(void)tw_heap_set(&worker->timers, &destination->timer, at);
	}
}
