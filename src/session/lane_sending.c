/*
 * lane_sending.c - the sending end of a lane: asks its berth for stretches of tapes, offers their
 * pieces to the connection, and reports what became of these.
 *
 * What it has in hand is little, some milliseconds of its rate, in several stretches: whatever lies
 * here no other connection sends, and the end of a transfer waits for the last of it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/lane_private.h"

/* In hand and asked for: so long at the lane's rate, within bounds. */
#define HAND_SPAN (5 * TW_MSEC)
#define HAND_MIN (UINT64_C(64) << 10)
#define HAND_MAX (UINT64_C(4) << 20)
/* In so many stretches, if it can be. */
#define HAND_PARTS 4
#define HAND_LETTERS 64
#define STRETCH_MAX (UINT64_C(1) << 20)
#define REPORTS 2
/* Records that wait for a letter; more, and something is wrong with the home thread. */
#define RECORDS_MAX ((size_t)1 << 20)
/* Unanswered for so long, and for so many round trips: others shall send what it has. */
#define SILENCE TW_SECOND
#define SILENCE_ROUNDS 4

struct lane_sending {
	struct tw_lane lane; /* first */
	uint8_t token[TW_LANE_TOKEN_SIZE];
	bool token_written;
	struct tw_letter_want want;
	uint64_t hand, piece; /* wanted in hand; the longest piece lately, 0: unknown */
	unsigned asked;       /* stretches that have not come yet */
	struct tw_letter_work *first, *last;
	unsigned count; /* of them */
	uint64_t left;  /* bytes of them that are to be sent */
	bool dry;       /* data_next() had nothing */
	/* All of it has been taken; the connection may still read the last piece. */
	struct tw_letter_work *spent;
	struct tw_letter_report reports[REPORTS];
	struct tw_letter_record *records; /* owned: not told yet */
	size_t record_count, record_room;
	bool rate_known; /* set before there was a connection */
	enum tw_rate_method method;
	struct tw_rate_limits limits;
};

static struct lane_sending *sending(struct tw_lane *lane)
{
	return (struct lane_sending *)(void *)lane;
}

int tw_lane_sending_new(const uint8_t token[TW_LANE_TOKEN_SIZE], const struct tw_letter_port *port,
			tw_ns now, struct tw_lane **ret)
{
	struct lane_sending *lane = calloc(1, sizeof(*lane));
	size_t i;

	if (!lane)
		return -ENOMEM;
	tw_lane_init(&lane->lane, false, port, now);
	memcpy(lane->token, token, sizeof(lane->token));
	lane->hand = HAND_MIN;
	lane->dry = true;
	lane->want.head.type = TW_LETTER_WANT;
	for (i = 0; i < REPORTS; i++)
		lane->reports[i].head.type = TW_LETTER_REPORT;
	*ret = &lane->lane;
	return 0;
}

void tw_lane_sending_free(struct tw_lane *base)
{
	struct lane_sending *lane = sending(base);

	free(lane->records);
	free(lane);
}

/* Work. */

static void let_go(struct lane_sending *lane)
{
	struct tw_letter_work *work = lane->spent;

	if (!work)
		return;
	lane->spent = NULL;
	tw_half_return(&lane->lane.half, &work->head);
}

static struct tw_letter_work *pop(struct lane_sending *lane)
{
	struct tw_letter_work *work = lane->first;

	lane->first = work->next;
	if (!lane->first)
		lane->last = NULL;
	lane->count--;
	lane->left -= work->end - work->at;
	return work;
}

/* All that is in hand goes back, sent or not. */
static void give_back(struct lane_sending *lane)
{
	while (lane->first) {
		struct tw_letter_work *work = pop(lane);

		tw_half_return(&lane->lane.half, &work->head);
	}
}

static void ask(struct lane_sending *lane)
{
	uint64_t stretch = lane->hand / HAND_PARTS, have;
	struct tw_letter_want *want = &lane->want;

	if (!lane->lane.running || want->head.away)
		return;
	if (stretch > STRETCH_MAX)
		stretch = STRETCH_MAX;
	/* Whole datagrams. */
	if (lane->piece && stretch > lane->piece)
		stretch -= stretch % lane->piece;
	have = lane->left + lane->asked * stretch;
	want->count = 0;
	want->stretch = stretch;
	for (; have < lane->hand && lane->asked + lane->count < HAND_LETTERS; have += stretch) {
		want->count++;
		lane->asked++;
	}
	if (want->count)
		tw_half_write(&lane->lane.half, &want->head);
}

static void take_work(struct lane_sending *lane, struct tw_letter_work *work)
{
	lane->asked -= lane->asked > 0;
	work->at = work->start;
	work->pieces = 0;
	work->next = NULL;
	if (lane->last)
		lane->last->next = work;
	else
		lane->first = work;
	lane->last = work;
	lane->count++;
	lane->left += work->end - work->start;
	if (lane->lane.half.closing)
		give_back(lane);
	else if (lane->dry)
		tw_conn_wake(lane->lane.conn);
	lane->dry = false;
}

static void take_rate(struct lane_sending *lane, const struct tw_letter_rate *rate)
{
	lane->rate_known = true;
	lane->method = rate->method;
	lane->limits = rate->limits;
	if (lane->lane.conn)
		tw_conn_set_rate(lane->lane.conn, lane->method, &lane->limits, lane->lane.now);
}

void tw_lane_sending_letter(struct tw_lane *base, struct tw_letter_head *letter)
{
	struct lane_sending *lane = sending(base);

	switch (letter->type) {
	case TW_LETTER_WORK:
		take_work(lane, (struct tw_letter_work *)(void *)letter);
		return;
	case TW_LETTER_RECALL:
		give_back(lane);
		break;
	case TW_LETTER_RATE:
		take_rate(lane, (const struct tw_letter_rate *)(void *)letter);
		break;
	default:
		break;
	}
	tw_half_return(&base->half, letter);
}

void tw_lane_sending_back(struct tw_lane *base, struct tw_letter_head *letter)
{
	(void)base;
	(void)letter;
}

/* Reports. */

/* Returns whether it is one with the record before. */
static bool extend(struct lane_sending *lane, const struct tw_letter_record *record)
{
	struct tw_letter_record *last;

	if (!lane->record_count)
		return false;
	last = &lane->records[lane->record_count - 1];
	if (last->number != record->number || last->lost != record->lost)
		return false;
	if (last->end == record->start)
		last->end = record->end;
	else if (last->start == record->end)
		last->start = record->start;
	else
		return false;
	last->pieces++;
	return true;
}

static void note(struct lane_sending *lane, const struct tw_data_ref *piece, bool lost)
{
	struct tw_letter_record record = { .number = piece->transfer,
					   .start = piece->offset,
					   .end = piece->offset + piece->length,
					   .pieces = 1,
					   .lost = lost };

	if (extend(lane, &record))
		return;
	if (lane->record_count == lane->record_room) {
		size_t room = lane->record_room ? lane->record_room * 2 : TW_LETTER_RECORDS;
		struct tw_letter_record *records = NULL;

		if (room <= RECORDS_MAX)
			records = realloc(lane->records, room * sizeof(*records));
		/* What is not told is owed again when the lane has ended. */
		if (!records) {
			tw_lane_end(&lane->lane, TW_SESSION_CLOSE_RESOURCES, "out of memory");
			return;
		}
		lane->records = records;
		lane->record_room = room;
	}
	lane->records[lane->record_count++] = record;
}

/* Returns whether there was anything to tell. */
static bool report(struct lane_sending *lane)
{
	size_t told = 0, i;

	for (i = 0; i < REPORTS && told < lane->record_count; i++) {
		struct tw_letter_report *letter = &lane->reports[i];

		if (letter->head.away)
			continue;
		letter->count = lane->record_count - told;
		if (letter->count > TW_LETTER_RECORDS)
			letter->count = TW_LETTER_RECORDS;
		memcpy(letter->at, lane->records + told, letter->count * sizeof(letter->at[0]));
		told += letter->count;
		tw_half_write(&lane->lane.half, &letter->head);
	}
	if (!told)
		return false;
	lane->record_count -= told;
	memmove(lane->records, lane->records + told, lane->record_count * sizeof(*lane->records));
	return true;
}

void tw_lane_sending_flush(struct tw_lane *base)
{
	struct lane_sending *lane = sending(base);

	let_go(lane);
	/* It may be the last of a transfer, whose figures shall be all there. */
	if (!base->half.end_said && report(lane) && !lane->first)
		base->figures_at = base->now;
	if (!base->half.closing)
		ask(lane);
	tw_lane_figures(base, lane->record_count);
}

/* Time. */

/* Whose lane it is has to be known before DATA comes: it would look like losses. */
static void introduce(struct lane_sending *lane)
{
	struct tw_message message = { .type = TW_MESSAGE_LANE };
	uint8_t bytes[64];
	struct tw_conn *conn = lane->lane.conn;
	size_t length;

	if (!lane->token_written) {
		memcpy(message.lane.token, lane->token, sizeof(message.lane.token));
		length = tw_message_write(&message, bytes, sizeof(bytes));
		/* The first bytes of a stream always fit its buffer. */
		lane->token_written =
			tw_conn_stream_write(conn, TW_STREAM_CONTROL, bytes, length) == length;
	} else if (tw_conn_stream_flushed(conn, TW_STREAM_CONTROL)) {
		lane->lane.running = true;
	}
}

static bool is_silent(const struct tw_conn_info *info, tw_ns now)
{
	tw_ns patience = tw_ns_max(SILENCE, SILENCE_ROUNDS * info->rtt_smoothed);

	return info->silent_since != TW_NEVER && tw_ns_since(now, info->silent_since) >= patience;
}

void tw_lane_sending_tick(struct tw_lane *base)
{
	struct lane_sending *lane = sending(base);
	struct tw_conn_info info;

	if (!base->conn || base->half.closing)
		return;
	if (!base->running)
		introduce(lane);
	tw_conn_info(base->conn, &info);
	lane->hand = (uint64_t)((double)info.pacing_bps / 8 * ((double)HAND_SPAN / TW_SECOND));
	if (lane->hand < HAND_MIN)
		lane->hand = HAND_MIN;
	if (lane->hand > HAND_MAX)
		lane->hand = HAND_MAX;
	if (is_silent(&info, base->now))
		tw_lane_end(base, TW_SESSION_CLOSE_REPLACED, "no answer");
}

void tw_lane_sending_closing(struct tw_lane *base)
{
	struct lane_sending *lane = sending(base);

	let_go(lane);
	give_back(lane);
}

/* The connection. */

static void on_established(void *app, struct tw_conn *conn)
{
	struct lane_sending *lane = app;

	tw_lane_established(&lane->lane, conn);
	if (lane->lane.half.closing)
		return;
	if (lane->rate_known)
		tw_conn_set_rate(conn, lane->method, &lane->limits, lane->lane.now);
	introduce(lane);
}

static void on_closed(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
		      const char *reason)
{
	(void)conn;
	(void)reason;
	tw_lane_gone(app, end, code);
}

static bool on_data_next(void *app, struct tw_conn *conn, struct tw_data_ref *ret)
{
	struct lane_sending *lane = app;
	const struct tw_letter_work *work;

	(void)conn;
	let_go(lane);
	work = lane->first;
	if (!work) {
		lane->dry = true;
		return false;
	}
	ret->transfer = work->number;
	ret->offset = work->at;
	ret->length = work->end - work->at;
	return true;
}

static const uint8_t *on_data_take(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	struct lane_sending *lane = app;
	struct tw_letter_work *work = lane->first;
	const uint8_t *bytes = work->bytes + (work->at - work->start);

	(void)conn;
	assert(piece->offset == work->at && piece->length <= work->end - work->at);
	if (piece->length > lane->piece)
		lane->piece = piece->length;
	work->at += piece->length;
	work->pieces++;
	lane->left -= piece->length;
	if (work->at == work->end)
		lane->spent = pop(lane);
	if (lane->left < lane->hand - lane->hand / HAND_PARTS)
		ask(lane);
	return bytes;
}

static void on_data_acked(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	(void)conn;
	note(app, piece, false);
}

static void on_data_lost(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	(void)conn;
	note(app, piece, true);
}

/* Nothing is said to a sender. */
static void on_stream_readable(void *app, struct tw_conn *conn, uint64_t stream)
{
	struct lane_sending *lane = app;

	(void)conn;
	(void)stream;
	tw_lane_end(&lane->lane, TW_SESSION_CLOSE_ORDER, "a stream that a receiver does not open");
}

const struct tw_conn_app tw_lane_sending_app = {
	.established = on_established,
	.closed = on_closed,
	.data_next = on_data_next,
	.data_take = on_data_take,
	.data_acked = on_data_acked,
	.data_lost = on_data_lost,
	.stream_readable = on_stream_readable,
};
