#include "session/lane.h"

#include <assert.h>
#include <stdlib.h>

#include "session/lane_private.h"
#include "session/outgoing_private.h"

#define FIGURES_PERIOD (100 * TW_MSEC)

/* Halves. */

static void mark(struct tw_letter_head *letter, enum tw_letter_type type,
		 const struct tw_half *writer)
{
	letter->type = type;
	letter->writer = writer;
}

void tw_half_init(struct tw_half *half, const struct tw_letter_port *port)
{
	half->port = *port;
	mark(&half->end, TW_LETTER_END, half);
}

void tw_half_write(struct tw_half *half, struct tw_letter_head *letter)
{
	assert(!letter->away && !half->end_said);
	letter->writer = half;
	letter->away = true;
	half->away++;
	half->port.post(half->port.context, &letter->carried);
}

void tw_half_return(struct tw_half *half, struct tw_letter_head *letter)
{
	half->held--;
	half->port.post(half->port.context, &letter->carried);
}

bool tw_half_take(struct tw_half *half, struct tw_letter_head *letter)
{
	if (letter->writer != half) {
		half->held++;
		return false;
	}
	letter->away = false;
	half->away--;
	return true;
}

void tw_half_say_end(struct tw_half *half)
{
	if (half->end_said)
		return;
	tw_half_write(half, &half->end);
	half->end_said = true;
}

bool tw_half_is_over(const struct tw_half *half)
{
	return half->end_said && half->other_ended && !half->away && !half->held;
}

/* Lanes. */

void tw_lane_init(struct tw_lane *lane, bool receiving, const struct tw_letter_port *port,
		  tw_ns now)
{
	tw_half_init(&lane->half, port);
	lane->receiving = receiving;
	lane->now = lane->made_at = now;
	lane->figures.head.type = TW_LETTER_FIGURES;
}

void tw_lane_established(struct tw_lane *lane, struct tw_conn *conn)
{
	lane->conn = conn;
	lane->dialled = NULL;
	lane->state = TW_LANE_CONNECTED;
	if (lane->half.closing)
		tw_conn_close(conn, TW_SESSION_CLOSE_DONE, "");
}

static void look(struct tw_lane *lane)
{
	if (!lane->conn)
		return;
	lane->info_known = true;
	tw_conn_info(lane->conn, &lane->info);
}

static void begin_end(struct tw_lane *lane)
{
	lane->half.closing = true;
	lane->running = false;
	if (lane->receiving)
		tw_lane_receiving_closing(lane);
	else
		tw_lane_sending_closing(lane);
}

void tw_lane_gone(struct tw_lane *lane, enum tw_conn_end end, uint64_t code)
{
	look(lane);
	lane->state = TW_LANE_GONE;
	lane->conn = lane->dialled = NULL;
	lane->end = end;
	lane->code = code;
	begin_end(lane);
}

void tw_lane_end(struct tw_lane *lane, uint64_t code, const char *reason)
{
	if (lane->half.closing)
		return;
	if (lane->conn)
		tw_conn_close(lane->conn, code, reason);
	else if (lane->dialled)
		tw_conn_close(lane->dialled, code, reason);
	begin_end(lane);
}

void tw_lane_figures(struct tw_lane *lane, bool owes_more)
{
	bool gone = lane->state == TW_LANE_GONE;

	if (lane->half.end_said)
		return;
	if (!lane->figures.head.away && !lane->figures_last &&
	    (gone || lane->now >= lane->figures_at)) {
		look(lane);
		lane->figures.running = lane->running;
		lane->figures.conn_known = lane->info_known;
		lane->figures.conn = lane->info;
		lane->figures.conn_ended = gone;
		lane->figures.end = lane->end;
		lane->figures.code = lane->code;
		lane->figures_at = tw_ns_add(lane->now, FIGURES_PERIOD);
		lane->figures_last = gone;
		tw_half_write(&lane->half, &lane->figures.head);
	}
	/* Of one that ends before it was connected there is nothing to tell. */
	if ((gone && lane->figures_last && !owes_more) ||
	    (lane->half.closing && lane->state == TW_LANE_COMING))
		tw_half_say_end(&lane->half);
}

int tw_lane_new_sending(struct tw_outgoing *outgoing, const struct tw_letter_port *lane_port,
			const struct tw_letter_port *berth_port, tw_ns now,
			struct tw_lane **ret_lane, struct tw_berth **ret_berth)
{
	struct tw_lane *lane;
	int error = tw_lane_sending_new(outgoing->lane_token, lane_port, now, &lane);

	if (error)
		return error;
	error = tw_berth_sending_new(outgoing, berth_port, now, ret_berth);
	if (error)
		tw_lane_sending_free(lane);
	else
		*ret_lane = lane;
	return error;
}

int tw_lane_new_receiving(const struct tw_lane_receiving *options, tw_ns now,
			  struct tw_lane **ret_lane, struct tw_berth **ret_berth)
{
	struct tw_lane *lane;
	int error = tw_lane_receiving_new(options, now, &lane);

	if (error)
		return error;
	error = tw_berth_receiving_new(options, now, ret_berth);
	if (error)
		tw_lane_receiving_free(lane);
	else
		*ret_lane = lane;
	return error;
}

const struct tw_conn_app *tw_lane_app(const struct tw_lane *lane)
{
	return lane->receiving ? &tw_lane_receiving_app : &tw_lane_sending_app;
}

void tw_lane_undialled(struct tw_lane *lane, tw_ns now)
{
	lane->now = now;
	tw_lane_gone(lane, TW_CONN_CLOSED_LOCAL, 0);
	tw_lane_flush(lane, now);
}

void tw_lane_dialled(struct tw_lane *lane, struct tw_conn *conn)
{
	if (lane->state != TW_LANE_COMING)
		return;
	lane->dialled = conn;
	if (lane->half.closing)
		tw_conn_close(conn, TW_SESSION_CLOSE_DONE, "");
}

void tw_lane_letter(struct tw_lane *lane, struct tw_letter *carried, tw_ns now)
{
	struct tw_letter_head *letter = (struct tw_letter_head *)(void *)carried;

	lane->now = now;
	if (tw_half_take(&lane->half, letter)) {
		if (lane->receiving)
			tw_lane_receiving_back(lane, letter);
		else
			tw_lane_sending_back(lane, letter);
	} else if (letter->type == TW_LETTER_END) {
		lane->half.other_ended = true;
		tw_half_return(&lane->half, letter);
		tw_lane_end(lane, TW_SESSION_CLOSE_DONE, "");
	} else if (lane->receiving) {
		tw_lane_receiving_letter(lane, letter);
	} else {
		tw_lane_sending_letter(lane, letter);
	}
	tw_lane_flush(lane, now);
}

void tw_lane_flush(struct tw_lane *lane, tw_ns now)
{
	lane->now = now;
	if (lane->receiving)
		tw_lane_receiving_flush(lane);
	else
		tw_lane_sending_flush(lane);
}

void tw_lane_tick(struct tw_lane *lane, tw_ns now)
{
	lane->now = now;
	if (lane->receiving)
		tw_lane_receiving_tick(lane);
	else
		tw_lane_sending_tick(lane);
	tw_lane_flush(lane, now);
}

void tw_lane_close(struct tw_lane *lane, tw_ns now)
{
	lane->now = now;
	tw_lane_end(lane, TW_SESSION_CLOSE_DONE, "");
	tw_lane_flush(lane, now);
}

bool tw_lane_is_over(const struct tw_lane *lane)
{
	return tw_half_is_over(&lane->half) && lane->state == TW_LANE_GONE;
}

void tw_lane_free(struct tw_lane *lane)
{
	if (!lane)
		return;
	if (lane->receiving)
		tw_lane_receiving_free(lane);
	else
		tw_lane_sending_free(lane);
}

/* Berths. */

void tw_berth_init(struct tw_berth *berth, bool receiving, const struct tw_letter_port *port,
		   tw_ns now)
{
	tw_half_init(&berth->half, port);
	berth->receiving = receiving;
	berth->now = now;
}

static void take_figures(struct tw_berth *berth, const struct tw_letter_figures *figures)
{
	berth->info.running = figures->running;
	berth->info.conn_ended = figures->conn_ended;
	berth->info.end = figures->end;
	berth->info.code = figures->code;
	berth->info.conn_known = figures->conn_known;
	berth->info.conn = figures->conn;
}

void tw_berth_end(struct tw_berth *berth)
{
	if (berth->half.closing)
		return;
	berth->half.closing = true;
	if (berth->receiving)
		tw_berth_receiving_closing(berth);
	tw_half_say_end(&berth->half);
}

void tw_berth_letter(struct tw_berth *berth, struct tw_letter *carried, tw_ns now)
{
	struct tw_letter_head *letter = (struct tw_letter_head *)(void *)carried;

	berth->now = now;
	if (tw_half_take(&berth->half, letter)) {
		if (berth->receiving)
			tw_berth_receiving_back(berth, letter);
		else
			tw_berth_sending_back(berth, letter);
		return;
	}
	switch (letter->type) {
	case TW_LETTER_END:
		berth->half.other_ended = true;
		tw_half_return(&berth->half, letter);
		tw_berth_end(berth);
		if (!berth->receiving)
			tw_berth_sending_other_ended(berth);
		break;
	case TW_LETTER_FIGURES:
		take_figures(berth, (const struct tw_letter_figures *)(void *)letter);
		tw_half_return(&berth->half, letter);
		break;
	default:
		if (berth->receiving)
			tw_berth_receiving_letter(berth, letter);
		else
			tw_berth_sending_letter(berth, letter);
		break;
	}
}

void tw_berth_tick(struct tw_berth *berth, tw_ns now)
{
	berth->now = now;
	if (!berth->receiving && !berth->half.closing)
		tw_berth_sending_tick(berth);
}

void tw_berth_close(struct tw_berth *berth, tw_ns now)
{
	berth->now = now;
	tw_berth_end(berth);
}

bool tw_berth_is_over(const struct tw_berth *berth)
{
	return tw_half_is_over(&berth->half);
}

void tw_berth_free(struct tw_berth *berth)
{
	if (!berth)
		return;
	if (berth->receiving)
		tw_berth_receiving_free(berth);
	else
		tw_berth_sending_free(berth);
}

void tw_berth_set_rate(struct tw_berth *berth, enum tw_rate_method method,
		       const struct tw_rate_limits *limits)
{
	tw_berth_sending_set_rate(berth, method, limits);
}

void tw_berth_info(const struct tw_berth *berth, struct tw_berth_info *ret)
{
	*ret = berth->info;
	ret->closing = berth->half.closing;
	if (ret->closing)
		ret->running = false;
	ret->main_conn =
		berth->receiving ? tw_berth_receiving_main(berth) : tw_berth_sending_main(berth);
}
