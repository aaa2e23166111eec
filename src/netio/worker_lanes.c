/*
 * worker_lanes.c - the halves of lanes that a worker has (session/lane.h): those of lanes whose
 * connections it carries for a transfer that is at home with another worker, and the berths of its
 * own transfers' lanes.
 *
 * Both halves of a lane are made at once, by the worker that opens it (sending) or is called by it
 * (receiving); the other one gets its half by a letter, an introduction, that goes ahead of all
 * others. From then on letters go by the mailboxes of the crew, each marked with the half that it
 * is for. A half is freed here when it is over, and no thread ends before: so there is always
 * somebody who reads what the other half writes.
 *
 * A lane that this worker has dialled uses sockets of its own, in a destination that nobody else
 * sees: it is in no list, has no dialer and is never looked at.
 */
#include <assert.h>
#include <stdlib.h>

#include "netio/clock.h"
#include "netio/worker_private.h"

#define GOODBYE (1200 * TW_MSEC) /* from a lane's end to that of its sockets */

/* Halves. */

static void post(void *context, struct tw_letter *letter)
{
	struct half *half = context;
	bool put;

	letter->mark = half->other;
	put = tw_mailbox_put(tw_crew_mailbox(half->crew, half->with), letter);
	/* The other half is not over: its thread reads. */
	assert(put);
	(void)put;
}

struct tw_letter_port tw_worker_half_port(struct half *half)
{
	return (struct tw_letter_port){ post, half };
}

bool tw_worker_halves_new(struct tw_worker *worker, unsigned with, bool sending,
			  struct half **ret_own, struct half **ret_other)
{
	struct half *own = calloc(1, sizeof *own), *other = calloc(1, sizeof *other);

	if (!own || !other) {
		free(own);
		free(other);
		return false;
	}
	own->crew = other->crew = worker->crew;
	own->sending = other->sending = sending;
	own->other = other;
	own->with = with;
	other->other = own;
	other->with = worker->place;
	*ret_own = own;
	*ret_other = other;
	return true;
}

void tw_worker_half_link(struct tw_worker *worker, struct half *half)
{
	half->next = worker->halves;
	worker->halves = half;
	worker->lanes_in += half->lane && !half->sending;
}

/* What nobody has seen yet, or what is over. */
void tw_worker_half_free(struct half *half)
{
	if (!half)
		return;
	tw_lane_free(half->lane);
	tw_berth_free(half->berth);
	free(half->line);
	free(half);
}

bool tw_worker_half_introduce(struct half *half)
{
	half->introduction.mark = half;
	return tw_mailbox_put(tw_crew_mailbox(half->crew, half->other->with), &half->introduction);
}

static void close_half(struct half *half, tw_ns now)
{
	if (half->lane)
		tw_lane_close(half->lane, now);
	else
		tw_berth_close(half->berth, now);
}

void tw_worker_lanes_close(struct tw_worker *worker, tw_ns now)
{
	for (struct half *half = worker->halves; half; half = half->next)
		close_half(half, now);
}

/* Its sockets stay for what its connection says last. */
static void retire_line(struct tw_worker *worker, struct half *half, tw_ns now)
{
	struct destination *line = half->line;

	half->line = NULL;
	line->line_of = NULL;
	line->gone_at = tw_ns_add(now, GOODBYE);
	line->next_touched = worker->lines_gone;
	worker->lines_gone = line;
}

static void free_line(struct tw_worker *worker, struct destination *line)
{
	tw_worker_slots_close(worker, line);
	if (tw_worker_destination(worker, line->settings.id) == line)
		tw_table_remove(&worker->by_destination, line->settings.id);
	free(line);
}

/* Those that have had their time; all of them with TW_NEVER. */
static void free_lines(struct tw_worker *worker, tw_ns now)
{
	struct destination **at = &worker->lines_gone;

	while (*at) {
		struct destination *line = *at;

		if (line->gone_at > now) {
			at = &line->next_touched;
			continue;
		}
		*at = line->next_touched;
		free_line(worker, line);
	}
}

void tw_worker_lanes_free(struct tw_worker *worker)
{
	assert(!worker->halves);
	free_lines(worker, TW_NEVER);
}

/* What our transfers had carried elsewhere less what we carried for others. */
static void count(int64_t *sent, int64_t *received, const struct half *half)
{
	int64_t sign = half->berth ? 1 : -1;

	*sent += sign * (int64_t)half->carried.bytes_sent;
	*received += sign * (int64_t)half->carried.bytes_received;
}

static bool is_over(const struct half *half)
{
	return half->lane ? tw_lane_is_over(half->lane) : tw_berth_is_over(half->berth);
}

/* @half is over: frees it. */
static void bury(struct tw_worker *worker, struct half *half, tw_ns now)
{
	if (half->berth)
		tw_worker_half_note(half);
	count(&worker->lanes_past_sent, &worker->lanes_past_received, half);
	if (half->destination)
		tw_worker_lane_ended(worker, half, now);
	if (half->lane && !half->sending) {
		worker->lanes_in--;
		tw_homes_hold_lane(tw_crew_homes(worker->crew), &half->peer, -1);
	}
	if (half->line)
		retire_line(worker, half, now);
	tw_worker_half_free(half);
}

static void bury_those_over(struct tw_worker *worker, tw_ns now)
{
	struct half **at = &worker->halves;

	while (*at) {
		struct half *half = *at;

		if (!is_over(half)) {
			at = &half->next;
			continue;
		}
		*at = half->next;
		bury(worker, half, now);
	}
}

/* Letters. */

static void call(struct tw_worker *worker, struct half *half, tw_ns now)
{
	struct destination *line = half->line;
	struct tw_conn *conn;

	line->settings.id = TW_LANE_OUT | worker->lanes_ever++;
	half->connect.config.tag = half->tag = line->settings.id + 1;
	half->connect.app = tw_lane_app(half->lane);
	half->connect.app_context = half->lane;
	line->line_of = half;
	if (worker->stopping || tw_table_put(&worker->by_destination, line->settings.id, line) ||
	    tw_endpoint_connect(worker->endpoint, &half->connect, now, &conn))
		tw_lane_undialled(half->lane, now);
	else
		tw_lane_dialled(half->lane, conn);
}

static void welcome(struct tw_worker *worker, struct half *half, tw_ns now)
{
	tw_worker_half_link(worker, half);
	if (half->lane)
		call(worker, half, now);
	else
		tw_receiver_moor(worker->hub, half->berth, now);
	if (worker->stopping)
		close_half(half, now);
}

static void deliver(struct tw_worker *worker, struct half *half, struct tw_letter *letter,
		    tw_ns now)
{
	if (half->lane) {
		tw_lane_letter(half->lane, letter, now);
		return;
	}
	tw_berth_letter(half->berth, letter, now);
	if (half->destination)
		tw_worker_touch(worker, half->destination);
}

void tw_worker_lanes_mail(struct tw_worker *worker, tw_ns now)
{
	struct tw_letter *letter = tw_mailbox_take(tw_crew_mailbox(worker->crew, worker->place));

	while (letter) {
		struct tw_letter *next = letter->next;
		struct half *half = letter->mark;

		if (letter == &half->introduction)
			welcome(worker, half, now);
		else
			deliver(worker, half, letter, now);
		letter = next;
	}
	bury_those_over(worker, now);
}

void tw_worker_lanes_flush(struct tw_worker *worker, tw_ns now)
{
	for (struct half *half = worker->halves; half; half = half->next)
		if (half->lane && !half->sending)
			tw_lane_flush(half->lane, now);
}

void tw_worker_line_flush(struct destination *line, tw_ns now)
{
	if (line->line_of)
		tw_lane_flush(line->line_of->lane, now);
}

void tw_worker_lanes_tick(struct tw_worker *worker, tw_ns now)
{
	for (struct half *half = worker->halves; half; half = half->next) {
		if (half->lane)
			tw_lane_tick(half->lane, now);
		else
			tw_berth_tick(half->berth, now);
		if (half->berth)
			tw_worker_half_note(half);
	}
	bury_those_over(worker, now);
	if (worker->lines_gone)
		free_lines(worker, now);
}

bool tw_worker_lanes_over(struct tw_worker *worker)
{
	return !worker->halves && tw_mailbox_shut(tw_crew_mailbox(worker->crew, worker->place));
}

/* Receiving. */

static void *hold_buffer(void *context)
{
	struct tw_worker *worker = context;

	if (worker->current)
		tw_buffer_hold(worker->current);
	return worker->current;
}

static void drop_buffer(void *context, void *buffer)
{
	struct tw_worker *worker = context;

	tw_buffers_drop(&worker->buffers, buffer);
}

static bool make_receiving(struct tw_worker *worker, const struct tw_public_key *peer,
			   struct half *lane, struct half *berth, tw_ns now)
{
	const struct tw_lane_receiving options = {
		.peer = *peer,
		.lane_port = tw_worker_half_port(lane),
		.berth_port = tw_worker_half_port(berth),
		.hold_buffer = hold_buffer,
		.drop_buffer = drop_buffer,
		.buffer_context = worker,
	};

	return !tw_lane_new_receiving(&options, now, &lane->lane, &berth->berth) &&
	       tw_worker_half_introduce(berth);
}

enum tw_verdict tw_worker_lanes_admit(struct tw_worker *worker, const struct tw_public_key *peer,
				      struct tw_conn_config *ret_config,
				      const struct tw_conn_app **ret_app, void **ret_context)
{
	unsigned number = ret_config->lane;
	struct half *lane, *berth;
	enum tw_verdict verdict = tw_worker_crew_lane(worker, peer, number);

	if (verdict != TW_ACCEPT_YES)
		return verdict;
	if (!tw_worker_halves_new(worker,
				  (worker->place + worker->places - number) % worker->places, false,
				  &lane, &berth))
		return TW_ACCEPT_BUSY;
	if (!make_receiving(worker, peer, lane, berth, tw_clock_now())) {
		tw_worker_half_free(berth);
		tw_worker_half_free(lane);
		return TW_ACCEPT_BUSY;
	}
	tw_worker_half_link(worker, lane);
	lane->peer = *peer;
	tw_homes_hold_lane(tw_crew_homes(worker->crew), peer, 1);
	lane->tag = TW_LANE_IN | worker->lanes_ever++;
	*ret_config = (struct tw_conn_config){ .method = TW_RATE_DEFAULT,
					       .limits.max_bps = UINT64_MAX,
					       .data_window = tw_receiver_lane_room(worker->hub),
					       .tag = lane->tag };
	*ret_app = tw_lane_app(lane->lane);
	*ret_context = lane->lane;
	return TW_ACCEPT_YES;
}

/* Figures. */

static void note(struct half *half, const struct tw_conn_info *conn)
{
	half->carried = (struct traffic){
		.packets_sent = conn->packets_sent,
		.packets_received = conn->packets_received,
		.bytes_sent = conn->bytes_sent,
		.bytes_received = conn->bytes_received,
	};
	half->pacing_bps = conn->state == TW_CONN_ESTABLISHED ? conn->pacing_bps : 0;
	half->bandwidth_bps = conn->state == TW_CONN_ESTABLISHED ? conn->bandwidth_bps : 0;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void tw_worker_lanes_add_rates(const struct destination *destination, struct tw_conn_info *conn)
{
	for (unsigned i = 0; destination->lane_count && i < TW_LANES_MAX; i++) {
		const struct half *berth = destination->lanes[i];

		if (!berth)
			continue;
		conn->pacing_bps = sum(conn->pacing_bps, berth->pacing_bps);
		conn->bandwidth_bps = sum(conn->bandwidth_bps, berth->bandwidth_bps);
	}
}

/* Of the lanes whose connections are carried here: what they have carried for others. */
static void count_carried(struct tw_worker *worker, tw_ns now)
{
	for (size_t i = 0; i < tw_endpoint_count(worker->endpoint); i++) {
		const struct tw_conn *conn = tw_endpoint_conn(worker->endpoint, i);
		struct tw_worker_destination_status status = { .conn_known = true };
		struct half *half = worker->halves;

		if (!tw_worker_is_lane(conn))
			continue;
		while (half && !(half->lane && half->tag == tw_conn_tag(conn)))
			half = half->next;
		if (!half)
			continue;
		tw_conn_info(conn, &status.conn);
		note(half, &status.conn);
		if (!half->line)
			continue;
		tw_meter_note(&half->line->meter, half->carried.bytes_sent, now);
		status.rate_window_bps = tw_meter_bps(&half->line->meter, now);
		tw_worker_buffers_fit_sending(worker, half->line, &status);
	}
}

void tw_worker_lanes_figures(struct tw_worker *worker, struct tw_worker_snapshot *ret, tw_ns now)
{
	if (worker->halves)
		count_carried(worker, now);
	ret->lanes = 0;
	ret->lanes_sent = worker->lanes_past_sent;
	ret->lanes_received = worker->lanes_past_received;
	for (struct half *half = worker->halves; half; half = half->next) {
		if (half->berth)
			tw_worker_half_note(half);
		count(&ret->lanes_sent, &ret->lanes_received, half);
		ret->lanes += half->lane != NULL;
	}
}

void tw_worker_half_note(struct half *half)
{
	struct tw_berth_info info;

	tw_berth_info(half->berth, &info);
	if (info.conn_known)
		note(half, &info.conn);
}

void tw_worker_lanes_note(struct destination *destination)
{
	for (unsigned i = 0; destination->lane_count && i < TW_LANES_MAX; i++)
		if (destination->lanes[i])
			tw_worker_half_note(destination->lanes[i]);
}

uint64_t tw_worker_lanes_received(struct tw_worker *worker, const struct tw_conn *conn)
{
	uint64_t sum = 0;

	for (struct half *half = worker->halves; half; half = half->next) {
		struct tw_berth_info info;

		if (!half->berth || half->sending)
			continue;
		tw_berth_info(half->berth, &info);
		if (info.conn_known && info.main_conn == conn)
			sum += info.conn.bytes_received;
	}
	return sum;
}
