/*
 * outgoing_lanes.c - berths of the sending end: they lend stretches of the senders' blocks to their
 * lanes, in the order of ranks as the main connection is served, and apply what the lanes report.
 *
 * What a lane was given and is not known to have arrived is kept here, so that all of it is owed
 * again when the lane has ended, however it did.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "session/lane_private.h"
#include "session/outgoing_private.h"
#include "session/sender_private.h"

#define BIT(place) (UINT64_C(1) << (place))
/* A stretch is not cut shorter than a datagram for a sender's own rate. */
#define STRETCH_MIN 9000
/*
 * Work that has been with a lane for so long, at the end of a transfer, is taken back, and the lane
 * gets none for a while. What it has sent and not told of, some round trips later, is sent by
 * others too: a queue on the lane's way must not be what the end waits for.
 */
#define SLOW (30 * TW_MSEC)
#define REST (200 * TW_MSEC)
#define PATIENCE (100 * TW_MSEC)
#define PATIENCE_ROUNDS 3

/* Of one transfer, what the lane has and has not told of. */
struct given {
	uint64_t number;
	struct tw_ranges ranges;
	tw_ns lent_at; /* the newest of it */
};

struct berth_sending {
	struct tw_berth berth; /* first */
	struct berth_sending *next;
	struct tw_outgoing *outgoing; /* NULL: whatever the lane tells matters no more */
	unsigned wanted;              /* stretches, of so many bytes at most: */
	uint64_t stretch;
	tw_ns rest_until;
	struct given given[TW_SESSION_TRANSFERS_MAX]; /* by number modulo their count */
	struct tw_letter_work *all, *out, *free;      /* @out: newest first */
	struct tw_letter_head recall;
	struct tw_letter_rate rate;
	bool rate_unsaid;
	enum tw_rate_method method;
	struct tw_rate_limits limits;
};

static struct berth_sending *sending(struct tw_berth *berth)
{
	return (struct berth_sending *)(void *)berth;
}

const struct tw_conn *tw_berth_sending_main(const struct tw_berth *base)
{
	const struct berth_sending *berth = (const struct berth_sending *)(const void *)base;

	return berth->outgoing ? berth->outgoing->conn : NULL;
}

unsigned tw_outgoing_lanes(const struct tw_outgoing *outgoing)
{
	return outgoing->conn ? outgoing->lanes_offered : 0;
}

unsigned tw_outgoing_lanes_used(const struct tw_outgoing *outgoing)
{
	const struct berth_sending *berth;
	unsigned used = 0;

	for (berth = outgoing->berths; berth; berth = berth->next)
		used += !berth->berth.half.closing;
	return used;
}

int tw_berth_sending_new(struct tw_outgoing *outgoing, const struct tw_letter_port *port, tw_ns now,
			 struct tw_berth **ret)
{
	struct berth_sending *berth;
	size_t i;

	if (!outgoing->conn)
		return TW_E_CLOSED;
	if (tw_outgoing_lanes_used(outgoing) >= outgoing->lanes_offered)
		return TW_E_FULL;
	berth = calloc(1, sizeof(*berth));
	if (!berth)
		return -ENOMEM;
	tw_berth_init(&berth->berth, false, port, now);
	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++)
		tw_ranges_init(&berth->given[i].ranges, TW_OWED_RANGES_MAX);
	berth->recall.type = TW_LETTER_RECALL;
	berth->rate.head.type = TW_LETTER_RATE;
	berth->outgoing = outgoing;
	berth->next = outgoing->berths;
	outgoing->berths = berth;
	*ret = &berth->berth;
	return 0;
}

/* Nothing that comes of it is applied any more. */
static void detach(struct berth_sending *berth)
{
	struct berth_sending **at;

	if (!berth->outgoing)
		return;
	for (at = &berth->outgoing->berths; *at != berth;)
		at = &(*at)->next;
	*at = berth->next;
	berth->outgoing = NULL;
}

void tw_berth_sending_free(struct tw_berth *base)
{
	struct berth_sending *berth = sending(base);
	struct tw_letter_work *work, *next;
	size_t i;

	detach(berth);
	for (work = berth->out; work; work = work->out_next)
		tw_sender_loan_over(work->sender, work->block);
	for (work = berth->all; work; work = next) {
		next = work->all_next;
		free(work);
	}
	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++)
		tw_ranges_deinit(&berth->given[i].ranges);
	free(berth);
}

/* Lending. */

static struct given *given_of(struct berth_sending *berth, uint64_t number)
{
	return &berth->given[number % TW_SESSION_TRANSFERS_MAX];
}

/* It stays in the list of free ones until it is used. */
static struct tw_letter_work *letter_free(struct berth_sending *berth)
{
	struct tw_letter_work *work = berth->free;

	if (work)
		return work;
	work = calloc(1, sizeof(*work));
	if (!work)
		return NULL;
	work->head.type = TW_LETTER_WORK;
	work->all_next = berth->all;
	berth->all = berth->free = work;
	return work;
}

/* Lends what it can of the sender's owed bytes. False: there are none, or no memory. */
static bool lend(struct berth_sending *berth, struct tw_sender *sender, uint64_t most)
{
	struct given *given = given_of(berth, sender->number);
	struct tw_letter_work *work;
	struct tw_range range;

	if (!tw_sender_loan_find(sender, most, &range))
		return false;
	work = letter_free(berth);
	if (!work)
		return false;
	if (given->number != sender->number)
		tw_ranges_clear(&given->ranges);
	given->number = sender->number;
	if (tw_ranges_add(&given->ranges, range.start, range.end))
		return false;
	given->lent_at = berth->berth.now;
	berth->free = work->out_next;
	work->number = sender->number;
	work->start = work->at = range.start;
	work->end = range.end;
	work->pieces = 0;
	work->sender = sender;
	work->bytes = tw_sender_loan_take(sender, &range, &work->block);
	work->given_at = berth->berth.now;
	work->out_next = berth->out;
	berth->out = work;
	berth->wanted--;
	tw_half_write(&berth->berth.half, &work->head);
	return true;
}

/* The best sender that has something, as the main connection is served. */
static bool serve(struct tw_outgoing *outgoing, struct berth_sending *berth)
{
	unsigned place;

	for (place = 0; place < outgoing->count; place++) {
		struct tw_outgoing_seat *seat = &outgoing->seats[place];
		uint64_t most = berth->stretch;

		if (outgoing->lanes_dry & BIT(place))
			continue;
		if (seat->max_bps != UINT64_MAX) {
			if (seat->credit <= 0) {
				outgoing->held_back |= BIT(place);
				outgoing->lanes_dry |= BIT(place);
				continue;
			}
			if (most > (uint64_t)seat->credit)
				most = seat->credit > STRETCH_MIN ? (uint64_t)seat->credit
								  : STRETCH_MIN;
		}
		if (lend(berth, seat->sender, most)) {
			seat->credit -= (int64_t)(berth->out->end - berth->out->start);
			return true;
		}
		outgoing->lanes_dry |= BIT(place);
	}
	return false;
}

void tw_outgoing_lanes_serve(struct tw_outgoing *outgoing)
{
	struct berth_sending *berth;
	bool any = true;

	/* Lending may wake a sender, and that asks for this again. */
	if (outgoing->lanes_serving)
		return;
	outgoing->lanes_serving = true;
	while (any) {
		any = false;
		/* One each in turn. */
		for (berth = outgoing->berths; berth; berth = berth->next) {
			if (berth->wanted && !berth->berth.half.closing &&
			    outgoing->now >= berth->rest_until)
				any |= serve(outgoing, berth);
		}
	}
	outgoing->lanes_serving = false;
}

/* What comes back. */

/* A letter of work is back: what was not sent of it is owed as before. */
static void take_back(struct berth_sending *berth, struct tw_letter_work *work)
{
	struct tw_outgoing *outgoing = berth->outgoing;
	struct tw_letter_work **at;
	bool live = outgoing && tw_outgoing_sender_of(outgoing, work->number) == work->sender;

	for (at = &berth->out; *at != work;)
		at = &(*at)->out_next;
	*at = work->out_next;
	work->out_next = berth->free;
	berth->free = work;
	tw_sender_loan_sent(work->sender, work->start, work->at, work->pieces);
	if (live && work->at < work->end) {
		/* A failure here lets it be owed twice when the lane ends. */
		(void)tw_ranges_remove(&given_of(berth, work->number)->ranges, work->at, work->end);
		tw_sender_loan_unsent(work->sender, work->at, work->end);
	}
	tw_sender_loan_over(work->sender, work->block);
}

static void apply(struct berth_sending *berth, const struct tw_letter_record *record)
{
	struct tw_sender *sender = tw_outgoing_sender_of(berth->outgoing, record->number);
	struct given *given = given_of(berth, record->number);
	const struct tw_data_ref ref = { record->number, record->start,
					 record->end - record->start };

	if (given->number == record->number)
		(void)tw_ranges_remove(&given->ranges, record->start, record->end);
	if (!sender || sender->finished)
		return;
	if (record->lost) {
		tw_sender_data_lost(sender, &ref);
		return;
	}
	tw_sender_data_acked(sender, &ref);
	sender->pieces_acked += record->pieces - 1;
}

/* All that the lane had of @sender is owed by others. */
static void give_up(struct given *given, struct tw_sender *sender)
{
	struct tw_ranges ranges = given->ranges;
	size_t i;

	/* Others, and this very lane, may be lent some of it meanwhile. */
	tw_ranges_init(&given->ranges, TW_OWED_RANGES_MAX);
	for (i = 0; !sender->finished && i < ranges.count; i++) {
		const struct tw_data_ref ref = { given->number, ranges.at[i].start,
						 ranges.at[i].end - ranges.at[i].start };

		tw_sender_data_lost(sender, &ref);
	}
	tw_ranges_deinit(&ranges);
}

/* The lane has ended. */
static void settle(struct berth_sending *berth)
{
	struct tw_outgoing *outgoing = berth->outgoing;
	size_t i;

	if (!outgoing)
		return;
	detach(berth);
	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++) {
		struct given *given = &berth->given[i];
		struct tw_sender *sender = tw_outgoing_sender_of(outgoing, given->number);

		if (sender && given->ranges.count)
			give_up(given, sender);
	}
}

static void say_rate(struct berth_sending *berth)
{
	if (!berth->rate_unsaid || berth->rate.head.away || berth->berth.half.closing)
		return;
	berth->rate_unsaid = false;
	berth->rate.method = berth->method;
	berth->rate.limits = berth->limits;
	tw_half_write(&berth->berth.half, &berth->rate.head);
}

void tw_berth_sending_back(struct tw_berth *base, struct tw_letter_head *letter)
{
	struct berth_sending *berth = sending(base);

	if (letter->type == TW_LETTER_WORK)
		take_back(berth, (struct tw_letter_work *)(void *)letter);
	else if (letter->type == TW_LETTER_RATE)
		say_rate(berth);
}

void tw_berth_sending_letter(struct tw_berth *base, struct tw_letter_head *letter)
{
	struct berth_sending *berth = sending(base);
	size_t i;

	if (letter->type == TW_LETTER_WANT) {
		const struct tw_letter_want *want = (const struct tw_letter_want *)(void *)letter;

		berth->wanted += want->count;
		berth->stretch = want->stretch;
	} else if (letter->type == TW_LETTER_REPORT) {
		const struct tw_letter_report *report =
			(const struct tw_letter_report *)(void *)letter;

		for (i = 0; berth->outgoing && i < report->count; i++)
			apply(berth, &report->at[i]);
	}
	tw_half_return(&base->half, letter);
	if (berth->outgoing)
		tw_outgoing_lanes_serve(berth->outgoing);
}

void tw_berth_sending_other_ended(struct tw_berth *base)
{
	settle(sending(base));
}

void tw_berth_sending_set_rate(struct tw_berth *base, enum tw_rate_method method,
			       const struct tw_rate_limits *limits)
{
	struct berth_sending *berth = sending(base);

	berth->method = method;
	berth->limits = *limits;
	berth->rate_unsaid = true;
	say_rate(berth);
}

/* Time. */

/* Everything of it has been sent but for what lanes have, and the main connection has no more. */
static bool waits_for_lanes(const struct tw_outgoing *outgoing, struct tw_sender *sender)
{
	struct tw_range range;

	return sender->total_known && !(outgoing->ready & BIT(sender->place)) &&
	       tw_sender_fresh_start(sender) >= sender->total_bytes &&
	       !tw_owed_next_lost(&sender->owed, 0, sender->total_bytes, &range);
}

static bool has_work_of(const struct berth_sending *berth, const struct tw_sender *sender)
{
	const struct tw_letter_work *work;

	for (work = berth->out; work; work = work->out_next) {
		if (work->sender == sender)
			return true;
	}
	return false;
}

/* What the lane has sent of transfers that wait for nothing else. */
static void look_at_ends(struct berth_sending *berth)
{
	struct tw_outgoing *outgoing = berth->outgoing;
	struct tw_conn_info info = { .rtt_smoothed = 0 };
	size_t i;

	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++) {
		struct given *given = &berth->given[i];
		struct tw_sender *sender = tw_outgoing_sender_of(outgoing, given->number);
		tw_ns since = tw_ns_since(berth->berth.now, given->lent_at);

		if (!sender || !given->ranges.count || since < PATIENCE ||
		    !waits_for_lanes(outgoing, sender) || has_work_of(berth, sender))
			continue;
		tw_conn_info(outgoing->conn, &info);
		if (since < PATIENCE + PATIENCE_ROUNDS * info.rtt_smoothed)
			continue;
		berth->rest_until = tw_ns_add(berth->berth.now, REST);
		give_up(given, sender);
	}
}

void tw_berth_sending_tick(struct tw_berth *base)
{
	struct berth_sending *berth = sending(base);
	const struct tw_letter_work *work;
	bool slow = false, useless = false;

	if (!berth->outgoing)
		return;
	look_at_ends(berth);
	for (work = berth->out; work && !berth->recall.away; work = work->out_next) {
		if (work->sender->finished || !work->sender->conn)
			useless = true;
		else if (tw_ns_since(base->now, work->given_at) >= SLOW)
			slow |= waits_for_lanes(berth->outgoing, work->sender);
	}
	if (slow)
		berth->rest_until = tw_ns_add(base->now, REST);
	if (slow || useless)
		tw_half_write(&base->half, &berth->recall);
	tw_outgoing_lanes_serve(berth->outgoing);
}

/* The main connection. */

void tw_outgoing_lanes_hello(struct tw_outgoing *outgoing, const struct tw_message *hello)
{
	outgoing->lanes_offered =
		hello->hello.lanes < TW_LANES_MAX ? (unsigned)hello->hello.lanes : TW_LANES_MAX;
	memcpy(outgoing->lane_token, hello->hello.lane_token, sizeof(outgoing->lane_token));
}

void tw_outgoing_lanes_leave(struct tw_outgoing *outgoing)
{
	outgoing->lanes_offered = 0;
	while (outgoing->berths) {
		struct berth_sending *berth = outgoing->berths;

		detach(berth);
		tw_berth_end(&berth->berth);
	}
}
