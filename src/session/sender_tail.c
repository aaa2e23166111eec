/*
 * sender_tail.c - the end of a transfer, when there is nothing new to send any more and each loss
 * costs a round trip until it is noticed.
 *
 * Two kinds of repeats shorten it. An *echo*: what is sent again because it was lost goes once more
 * a moment later, so far apart that one burst of losses does not take both; where a tenth is lost,
 * a hundredth is left to wait for. And when nothing has been heard of for more than a round trip,
 * what is still open is repeated every half round trip. Both together take a hundredth of the
 * transfer at most: what more would have to be repeated waits for its loss to be noticed.
 */
#include "session/sender_private.h"

#define PART 128                        /* of the transfer, and at least: may be repeated */
#define STEP_BYTES (UINT64_C(64) << 10) /* and a repeat of what is open, at least */
#define SMALL_BYTES (UINT64_C(16) << 10)
#define PERIOD_MIN (10 * TW_MSEC)
#define ECHO_PART 16 /* of a round trip: so long an echo waits, up to twice that */
#define ECHO_MIN (5 * TW_MSEC)
#define ECHO_RANGES_MAX 4096

void tw_sender_tail_init(struct tw_sender *sender)
{
	tw_ranges_init(&sender->tail.young, ECHO_RANGES_MAX);
	tw_ranges_init(&sender->tail.waiting, ECHO_RANGES_MAX);
	tw_ranges_init(&sender->tail.due, ECHO_RANGES_MAX);
}

void tw_sender_tail_deinit(struct tw_sender *sender)
{
	tw_ranges_deinit(&sender->tail.young);
	tw_ranges_deinit(&sender->tail.waiting);
	tw_ranges_deinit(&sender->tail.due);
}

void tw_sender_tail_restart(struct tw_sender *sender)
{
	struct tw_sender_tail *tail = &sender->tail;

	tail->armed = tail->active = false;
	tail->echo_at = 0;
	tw_ranges_clear(&tail->young);
	tw_ranges_clear(&tail->waiting);
	tw_ranges_clear(&tail->due);
}

/* Bytes that may still be repeated without being known to be lost. */
static uint64_t allowance(const struct tw_sender *sender)
{
	uint64_t all =
		sender->total_bytes / PART > STEP_BYTES ? sender->total_bytes / PART : STEP_BYTES;
	uint64_t left = all > sender->tail.spent ? all - sender->tail.spent : 0;

	/* Little costs little, however often. */
	if (left < SMALL_BYTES && sender->total_bytes - sender->owed.done.total <= SMALL_BYTES)
		return SMALL_BYTES;
	return left;
}

static bool is_end(const struct tw_sender *sender)
{
	return sender->answered && sender->total_known && !sender->finished &&
	       sender->owed.done.total < sender->total_bytes &&
	       tw_sender_fresh_start(sender) >= sender->total_bytes;
}

/* The first stretch whose echo is due and that is still open. */
static bool next_echo(struct tw_sender *sender, struct tw_range *ret)
{
	struct tw_ranges *due = &sender->tail.due;

	while (due->count) {
		struct tw_range first = due->at[0];

		if (tw_owed_next_open(&sender->owed, first.start, first.end, ret)) {
			(void)tw_ranges_remove(due, first.start, ret->start);
			return true;
		}
		(void)tw_ranges_remove(due, first.start, first.end);
	}
	return false;
}

bool tw_sender_tail_next(struct tw_sender *sender, enum tw_run_kind *ret_kind, struct tw_range *ret)
{
	struct tw_sender_tail *tail = &sender->tail;
	uint64_t most = allowance(sender);

	if (most && next_echo(sender, ret)) {
		*ret_kind = TW_RUN_ECHO;
	} else if (tail->active && tail->budget && most &&
		   tw_owed_next_open(&sender->owed, tail->cursor, sender->owed.cursor, ret)) {
		*ret_kind = TW_RUN_TAIL;
		most = tail->budget < most ? tail->budget : most;
	} else {
		tail->active = false;
		tw_ranges_clear(&tail->due);
		return false;
	}
	if (ret->end - ret->start > most)
		ret->end = ret->start + most;
	return true;
}

void tw_sender_tail_pass(struct tw_sender *sender, enum tw_run_kind kind, uint64_t end)
{
	if (kind == TW_RUN_ECHO)
		(void)tw_ranges_remove(&sender->tail.due, 0, end);
	else
		sender->tail.cursor = end;
}

void tw_sender_tail_taken(struct tw_sender *sender, enum tw_run_kind kind, uint64_t start,
			  uint64_t end)
{
	struct tw_sender_tail *tail = &sender->tail;

	if (kind == TW_RUN_LOST && is_end(sender)) {
		/* Without room it has no echo. */
		(void)tw_ranges_add(&tail->young, start, end);
	} else if (kind == TW_RUN_ECHO || kind == TW_RUN_TAIL) {
		tail->spent += end - start;
		tail->budget -= kind == TW_RUN_TAIL ? end - start : 0;
		tw_sender_tail_pass(sender, kind, end);
	}
}

/* What was sent again lately becomes due for its echo. */
static void echo_tick(struct tw_sender *sender)
{
	struct tw_sender_tail *tail = &sender->tail;
	struct tw_ranges empty = tail->due;
	struct tw_conn_info info;

	if ((!tail->young.count && !tail->waiting.count) || empty.count ||
	    sender->now < tail->echo_at)
		return;
	tw_conn_info(sender->conn, &info);
	tail->echo_at = tw_ns_add(sender->now, tw_ns_max(info.rtt_smoothed / ECHO_PART, ECHO_MIN));
	tail->due = tail->waiting;
	tail->waiting = tail->young;
	tail->young = empty;
	if (tail->due.count)
		tw_conn_wake(sender->conn);
}

void tw_sender_tail_tick(struct tw_sender *sender)
{
	struct tw_sender_tail *tail = &sender->tail;
	struct tw_conn_info info;
	struct tw_range range;
	uint64_t open, flow;

	if (!sender->conn || !is_end(sender)) {
		tail->armed = tail->active = false;
		return;
	}
	echo_tick(sender);
	if (tw_owed_next_lost(&sender->owed, 0, sender->ready, &range)) {
		tail->armed = tail->active = false;
		return;
	}
	if (tail->armed && sender->now < tail->next_at)
		return;
	tw_conn_info(sender->conn, &info);
	if (!tail->armed) {
		tail->armed = true;
		tail->next_at = tw_ns_add(sender->now,
					  info.rtt_smoothed + info.rtt_smoothed / 4 + PERIOD_MIN);
		return;
	}
	tail->next_at = tw_ns_add(sender->now, tw_ns_max(info.rtt_smoothed / 2, PERIOD_MIN));
	/* Not while the peer's window is what holds us back. */
	if (info.data_blocked || info.window_limited || !info.rtt_smoothed)
		return;
	open = sender->total_bytes - sender->owed.done.total;
	flow = info.bandwidth_bps / 8 * (info.rtt_smoothed / TW_USEC) / (TW_SECOND / TW_USEC);
	tail->budget = allowance(sender) / 2;
	if (tail->budget < STEP_BYTES)
		tail->budget = STEP_BYTES;
	if (flow > STEP_BYTES && tail->budget > flow)
		tail->budget = flow;
	if (tail->budget > open)
		tail->budget = open;
	tail->cursor = 0;
	tail->active = true;
	tw_conn_wake(sender->conn);
}
