#include "session/outgoing.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "session/outgoing_private.h"
#include "session/sender_private.h"

/* What a sender's own rate lets it send at once: so long at its rate, and at least this much, so
 * that a full datagram always fits. A tick comes at least every 20 ms. */
#define CREDIT_SPAN (25 * TW_MSEC)
#define CREDIT_MIN INT64_C(18000)
/* A sender that was held back goes on when it has so much: trains, not single datagrams. */
#define RESUME_SPAN (4 * TW_MSEC)

/* More than anything is sent between two ticks. */
#define CREDIT_BEYOND (INT64_C(1) << 40)

#define BIT(place) (UINT64_C(1) << (place))
static_assert(TW_SESSION_TRANSFERS_MAX == 64, "a bit for every seat");

int tw_outgoing_new(tw_ns now, struct tw_outgoing **ret)
{
	struct tw_outgoing *outgoing = calloc(1, sizeof(*outgoing));

	if (!outgoing)
		return -ENOMEM;
	outgoing->now = now;
	outgoing->peer_max_bps = UINT64_MAX;
	tw_inbox_init(&outgoing->inbox, TW_MESSAGE_ROOM);
	if (tw_outbox_init(&outgoing->outbox)) {
		free(outgoing);
		return -ENOMEM;
	}
	*ret = outgoing;
	return 0;
}

void tw_outgoing_free(struct tw_outgoing *outgoing)
{
	if (!outgoing)
		return;
	assert(!outgoing->count);
	tw_outgoing_lanes_leave(outgoing);
	tw_inbox_deinit(&outgoing->inbox);
	tw_outbox_deinit(&outgoing->outbox);
	free(outgoing);
}

/* Rates of the senders' own. */

/* Bytes at @bps in @span. */
static int64_t bytes_in(uint64_t bps, tw_ns span)
{
	double bytes = (double)bps / 8 * ((double)span / (double)TW_SECOND);

	return bytes < (double)CREDIT_BEYOND ? (int64_t)bytes : CREDIT_BEYOND;
}

static int64_t credit_max(const struct tw_outgoing_seat *seat)
{
	int64_t most = bytes_in(seat->max_bps, CREDIT_SPAN);

	return most > CREDIT_MIN ? most : CREDIT_MIN;
}

static int64_t credit_to_resume(const struct tw_outgoing_seat *seat)
{
	int64_t some = bytes_in(seat->max_bps, RESUME_SPAN);

	return some > CREDIT_MIN / 2 ? some : CREDIT_MIN / 2;
}

static bool is_limited(const struct tw_outgoing_seat *seat)
{
	return seat->max_bps != UINT64_MAX;
}

static void refill(struct tw_outgoing_seat *seat, tw_ns now)
{
	int64_t most = credit_max(seat),
		earned = bytes_in(seat->max_bps, tw_ns_since(now, seat->credit_at));

	/* What is less than a byte is earned later. */
	if (!earned && seat->credit < most)
		return;
	seat->credit += earned;
	seat->credit_at = now;
	if (seat->credit > most)
		seat->credit = most;
}

/* Seats and slots. */

static void wake(struct tw_outgoing *outgoing, uint64_t places)
{
	outgoing->ready |= places;
	if (outgoing->conn)
		tw_conn_wake(outgoing->conn);
	if (outgoing->berths) {
		outgoing->lanes_dry &= ~places;
		tw_outgoing_lanes_serve(outgoing);
	}
}

void tw_outgoing_wake(struct tw_outgoing *outgoing, unsigned place)
{
	wake(outgoing, BIT(place));
}

/* Seats have moved: everybody is asked again. */
static void ask_all(struct tw_outgoing *outgoing)
{
	unsigned place;

	outgoing->ready = outgoing->held_back = outgoing->lanes_dry = 0;
	for (place = 0; place < outgoing->count; place++)
		outgoing->seats[place].sender->place = place;
	wake(outgoing,
	     outgoing->count == TW_SESSION_TRANSFERS_MAX ? UINT64_MAX : BIT(outgoing->count) - 1);
}

static void seat_insert(struct tw_outgoing *outgoing, const struct tw_outgoing_seat *seat)
{
	size_t place = outgoing->count++;

	while (place && (outgoing->seats[place - 1].rank > seat->rank ||
			 (outgoing->seats[place - 1].rank == seat->rank &&
			  outgoing->seats[place - 1].order > seat->order))) {
		outgoing->seats[place] = outgoing->seats[place - 1];
		place--;
	}
	outgoing->seats[place] = *seat;
}

static struct tw_outgoing_seat seat_take(struct tw_outgoing *outgoing,
					 const struct tw_sender *sender)
{
	struct tw_outgoing_seat seat = outgoing->seats[sender->place];

	assert(sender->outgoing == outgoing && seat.sender == sender);
	outgoing->count--;
	memmove(&outgoing->seats[sender->place], &outgoing->seats[sender->place + 1],
		(outgoing->count - sender->place) * sizeof(seat));
	return seat;
}

static struct tw_outgoing_slot *slot_of(struct tw_outgoing *outgoing, uint64_t number)
{
	return &outgoing->slots[number % TW_SESSION_TRANSFERS_MAX];
}

static struct tw_sender *sender_of(struct tw_outgoing *outgoing, uint64_t number)
{
	const struct tw_outgoing_slot *slot = slot_of(outgoing, number);

	return slot->number == number ? slot->sender : NULL;
}

struct tw_sender *tw_outgoing_sender_of(struct tw_outgoing *outgoing, uint64_t number)
{
	return sender_of(outgoing, number);
}

/* Offers @sender over the connection. With all slots in use it waits for one (only orphans can hold
 * more than there are seats). */
static void offer(struct tw_outgoing *outgoing, struct tw_sender *sender)
{
	unsigned tries;

	if (outgoing->number_next > TW_SESSION_NUMBER_MAX - TW_SESSION_TRANSFERS_MAX) {
		/* Used up: the next connection begins anew. */
		tw_conn_close(outgoing->conn, TW_SESSION_CLOSE_DONE, "");
		return;
	}
	for (tries = 0; tries < TW_SESSION_TRANSFERS_MAX; tries++) {
		uint64_t number = outgoing->number_next++;
		struct tw_outgoing_slot *slot = slot_of(outgoing, number);

		if (slot->sender || slot->orphan)
			continue;
		*slot = (struct tw_outgoing_slot){ .number = number, .sender = sender };
		tw_sender_attach(sender, outgoing->conn, &outgoing->outbox, number);
		return;
	}
}

int tw_outgoing_add(struct tw_outgoing *outgoing, struct tw_sender *sender, uint64_t rank,
		    uint64_t max_bps)
{
	struct tw_outgoing_seat seat = {
		.sender = sender, .rank = rank, .max_bps = max_bps, .credit_at = outgoing->now
	};

	if (outgoing->count == TW_SESSION_TRANSFERS_MAX)
		return TW_E_FULL;
	assert(!sender->outgoing);
	seat.order = outgoing->order_next++;
	sender->outgoing = outgoing;
	seat_insert(outgoing, &seat);
	ask_all(outgoing);
	if (outgoing->conn && !sender->finished)
		offer(outgoing, sender);
	return 0;
}

void tw_outgoing_change(struct tw_outgoing *outgoing, struct tw_sender *sender, uint64_t rank,
			uint64_t max_bps)
{
	struct tw_outgoing_seat seat = seat_take(outgoing, sender);

	if (is_limited(&seat))
		refill(&seat, outgoing->now);
	else
		seat.credit_at = outgoing->now;
	seat.rank = rank;
	seat.max_bps = max_bps;
	seat_insert(outgoing, &seat);
	ask_all(outgoing);
}

void tw_outgoing_remove(struct tw_outgoing *outgoing, struct tw_sender *sender)
{
	seat_take(outgoing, sender);
	if (sender->conn) {
		struct tw_outgoing_slot *slot = slot_of(outgoing, sender->number);

		slot->sender = NULL;
		slot->orphan = tw_sender_owes_words(sender);
		if (slot->orphan)
			tw_sender_leave_streams(sender);
		tw_sender_detach(sender);
	}
	sender->outgoing = NULL;
	ask_all(outgoing);
}

bool tw_outgoing_wants(const struct tw_outgoing *outgoing)
{
	size_t i;

	for (i = 0; i < outgoing->count; i++) {
		if (!outgoing->seats[i].sender->finished)
			return true;
	}
	return false;
}

size_t tw_outgoing_count(const struct tw_outgoing *outgoing)
{
	return outgoing->count;
}

struct tw_conn *tw_outgoing_conn(const struct tw_outgoing *outgoing)
{
	return outgoing->conn;
}

uint64_t tw_outgoing_peer_max_bps(const struct tw_outgoing *outgoing)
{
	return outgoing->peer_max_bps;
}

/* Messages. */

/* The peer broke the rules that hold for all its transfers: none of them can go on. */
static void refuse(struct tw_outgoing *outgoing, enum tw_session_close code, const char *reason)
{
	size_t i;

	for (i = 0; i < outgoing->count; i++)
		tw_sender_fail(outgoing->seats[i].sender, code, reason);
	outgoing->broken = true;
	tw_conn_close(outgoing->conn, code, reason);
}

static bool say_hello(struct tw_outgoing *outgoing)
{
	struct tw_message hello = { .type = TW_MESSAGE_HELLO, .hello.version = TW_SESSION_VERSION };

	if (outgoing->hello_unsaid)
		outgoing->hello_unsaid = !tw_outbox_send(&outgoing->outbox, outgoing->conn, &hello);
	return !outgoing->hello_unsaid;
}

/* CANCEL for transfers whose senders have left without a word. */
static void give_up_orphans(struct tw_outgoing *outgoing)
{
	unsigned i;

	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++) {
		struct tw_outgoing_slot *slot = &outgoing->slots[i];
		struct tw_message cancel = { .type = TW_MESSAGE_CANCEL, .transfer = slot->number };

		cancel.cancel.error = TW_TRANSFER_CANCELLED;
		cancel.cancel.text.bytes = "";
		cancel.cancel.paused = true;
		if (slot->orphan)
			slot->orphan = !tw_outbox_send(&outgoing->outbox, outgoing->conn, &cancel);
	}
}

/* Its own words, and offers of those that have no place in the connection yet. */
static void speak(struct tw_outgoing *outgoing)
{
	size_t i;

	if (!outgoing->conn || !tw_outbox_flush(&outgoing->outbox, outgoing->conn) ||
	    !say_hello(outgoing))
		return;
	give_up_orphans(outgoing);
	for (i = 0; i < outgoing->count; i++) {
		struct tw_sender *sender = outgoing->seats[i].sender;

		if (!sender->conn && !sender->finished)
			offer(outgoing, sender);
	}
}

/* Whatever can be said now, the best sender first. */
static void pump(struct tw_outgoing *outgoing)
{
	size_t i;

	speak(outgoing);
	for (i = 0; i < outgoing->count; i++)
		tw_sender_pump(outgoing->seats[i].sender);
}

static void on_limit(struct tw_outgoing *outgoing, const struct tw_message *message)
{
	outgoing->peer_max_bps = message->limit.max_bps ? message->limit.max_bps : UINT64_MAX;
}

/* Returns the seat that has something to do now, as a bit; 0: none. */
static uint64_t dispatch(struct tw_outgoing *outgoing, struct tw_message *message)
{
	struct tw_sender *sender;

	if (message->type == TW_MESSAGE_HELLO) {
		if (message->hello.version != TW_SESSION_VERSION)
			refuse(outgoing, TW_SESSION_CLOSE_VERSION, "unknown session version");
		else
			tw_outgoing_lanes_hello(outgoing, message);
		return 0;
	}
	if (message->type == TW_MESSAGE_LIMIT) {
		on_limit(outgoing, message);
		return 0;
	}
	if (message->transfer >= outgoing->number_next) {
		refuse(outgoing, TW_SESSION_CLOSE_ORDER, "a message about no transfer");
		return 0;
	}
	sender = sender_of(outgoing, message->transfer);
	/* Words that crossed its farewell. */
	if (!sender || sender->finished)
		return 0;
	tw_sender_message(sender, message);
	return BIT(sender->place);
}

static void read_control(struct tw_outgoing *outgoing)
{
	struct tw_inbox *inbox = &outgoing->inbox;
	struct tw_conn *conn = outgoing->conn;
	struct tw_message message;
	uint64_t touched = 0;
	size_t length = 0;

	while (!outgoing->broken) {
		int error = tw_message_read(tw_inbox_bytes(inbox), tw_inbox_length(inbox), &message,
					    &length);

		if (error == TW_E_AGAIN) {
			error = tw_inbox_fill(inbox, conn, TW_STREAM_CONTROL);
			if (error == -ENOMEM)
				refuse(outgoing, TW_SESSION_CLOSE_RESOURCES,
				       "no memory for a message");
			if (error)
				break;
			continue;
		}
		if (error && error != TW_E_END) {
			refuse(outgoing, TW_SESSION_CLOSE_FORMAT, "a message breaks the format");
			break;
		}
		if (!error)
			touched |= dispatch(outgoing, &message);
		tw_inbox_drop(inbox, length);
	}
	while (touched) {
		unsigned place = (unsigned)__builtin_ctzll(touched);

		touched &= touched - 1;
		tw_sender_pump(outgoing->seats[place].sender);
	}
}

/* The connection. */

static void leave_conn(struct tw_outgoing *outgoing)
{
	size_t i;

	for (i = 0; i < outgoing->count; i++) {
		if (outgoing->seats[i].sender->conn)
			tw_sender_detach(outgoing->seats[i].sender);
	}
	tw_outgoing_lanes_leave(outgoing);
	memset(outgoing->slots, 0, sizeof(outgoing->slots));
	outgoing->number_next = 0;
	outgoing->conn = NULL;
	outgoing->ready = outgoing->held_back = 0;
}

void tw_outgoing_established(struct tw_outgoing *outgoing, struct tw_conn *conn)
{
	struct tw_conn *before = outgoing->conn;

	if (before == conn)
		return;
	if (before) {
		leave_conn(outgoing);
		tw_conn_close(before, TW_SESSION_CLOSE_REPLACED, "");
	}
	outgoing->conn = conn;
	outgoing->broken = false;
	outgoing->hello_unsaid = true;
	outgoing->peer_max_bps = UINT64_MAX;
	tw_inbox_reset(&outgoing->inbox);
	tw_outbox_reset(&outgoing->outbox);
	ask_all(outgoing);
	pump(outgoing);
}

void tw_outgoing_closed(struct tw_outgoing *outgoing, struct tw_conn *conn)
{
	if (conn == outgoing->conn)
		leave_conn(outgoing);
}

bool tw_outgoing_data_next(struct tw_outgoing *outgoing, struct tw_conn *conn,
			   struct tw_data_ref *ret)
{
	if (conn != outgoing->conn)
		return false;
	while (outgoing->ready) {
		unsigned place = (unsigned)__builtin_ctzll(outgoing->ready);
		struct tw_outgoing_seat *seat = &outgoing->seats[place];

		if (is_limited(seat) && seat->credit <= 0)
			outgoing->held_back |= BIT(place);
		else if (tw_sender_data_next(seat->sender, ret))
			return true;
		outgoing->ready &= ~BIT(place);
	}
	return false;
}

const uint8_t *tw_outgoing_data_take(struct tw_outgoing *outgoing, const struct tw_data_ref *piece)
{
	struct tw_sender *sender = sender_of(outgoing, piece->transfer);

	assert(sender); /* whose piece it is */
	outgoing->seats[sender->place].credit -= (int64_t)piece->length;
	return tw_sender_data_take(sender, piece);
}

void tw_outgoing_data_acked(struct tw_outgoing *outgoing, struct tw_conn *conn,
			    const struct tw_data_ref *piece)
{
	struct tw_sender *sender =
		conn == outgoing->conn ? sender_of(outgoing, piece->transfer) : NULL;

	if (sender)
		tw_sender_data_acked(sender, piece);
}

void tw_outgoing_data_lost(struct tw_outgoing *outgoing, struct tw_conn *conn,
			   const struct tw_data_ref *piece)
{
	struct tw_sender *sender =
		conn == outgoing->conn ? sender_of(outgoing, piece->transfer) : NULL;

	if (sender)
		tw_sender_data_lost(sender, piece);
}

void tw_outgoing_stream_readable(struct tw_outgoing *outgoing, struct tw_conn *conn,
				 uint64_t stream)
{
	if (conn != outgoing->conn)
		return;
	if (stream != TW_STREAM_CONTROL) {
		refuse(outgoing, TW_SESSION_CLOSE_ORDER, "a stream that a receiver does not open");
		return;
	}
	read_control(outgoing);
}

void tw_outgoing_stream_writable(struct tw_outgoing *outgoing, struct tw_conn *conn,
				 uint64_t stream)
{
	struct tw_sender *sender;

	if (conn != outgoing->conn)
		return;
	if (stream == TW_STREAM_CONTROL) {
		pump(outgoing);
		return;
	}
	sender = sender_of(outgoing, TW_STREAM_TRANSFER(stream));
	if (sender)
		tw_sender_pump(sender);
}

/* Time. */

void tw_outgoing_tick(struct tw_outgoing *outgoing, tw_ns now)
{
	uint64_t held_back = outgoing->held_back;
	size_t i;

	outgoing->now = now;
	for (i = 0; i < outgoing->count; i++) {
		struct tw_outgoing_seat *seat = &outgoing->seats[i];

		if (!is_limited(seat))
			continue;
		refill(seat, now);
		if (seat->credit < credit_to_resume(seat))
			held_back &= ~BIT(i);
	}
	if (held_back) {
		outgoing->held_back &= ~held_back;
		wake(outgoing, held_back);
	}
	speak(outgoing);
	for (i = 0; i < outgoing->count; i++)
		tw_sender_tick(outgoing->seats[i].sender, now);
}

tw_ns tw_outgoing_deadline(const struct tw_outgoing *outgoing)
{
	uint64_t held_back = outgoing->held_back;
	tw_ns at = TW_NEVER;

	while (held_back) {
		const struct tw_outgoing_seat *seat = &outgoing->seats[__builtin_ctzll(held_back)];
		int64_t lacking = credit_to_resume(seat) - seat->credit;
		double span = lacking > 0 ? (double)lacking * 8 / (double)seat->max_bps : 0;

		held_back &= held_back - 1;
		/* Rounded up, so that it is earned by then. */
		if (seat->max_bps && span < 3600)
			at = tw_ns_min(at,
				       tw_ns_add(seat->credit_at, (tw_ns)(span * 1e9) + TW_USEC));
	}
	return at;
}

static void on_established(void *app, struct tw_conn *conn)
{
	tw_outgoing_established(app, conn);
}

static void on_closed(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
		      const char *reason)
{
	(void)end;
	(void)code;
	(void)reason;
	tw_outgoing_closed(app, conn);
}

static bool on_data_next(void *app, struct tw_conn *conn, struct tw_data_ref *ret)
{
	return tw_outgoing_data_next(app, conn, ret);
}

static const uint8_t *on_data_take(void *app, struct tw_conn *conn,
				   const struct tw_data_ref *piece)
{
	(void)conn;
	return tw_outgoing_data_take(app, piece);
}

static void on_data_acked(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	tw_outgoing_data_acked(app, conn, piece);
}

static void on_data_lost(void *app, struct tw_conn *conn, const struct tw_data_ref *piece)
{
	tw_outgoing_data_lost(app, conn, piece);
}

static void on_stream_readable(void *app, struct tw_conn *conn, uint64_t stream)
{
	tw_outgoing_stream_readable(app, conn, stream);
}

static void on_stream_writable(void *app, struct tw_conn *conn, uint64_t stream)
{
	tw_outgoing_stream_writable(app, conn, stream);
}

/* A sender is sent no data. */
const struct tw_conn_app tw_outgoing_app = {
	.established = on_established,
	.closed = on_closed,
	.data_next = on_data_next,
	.data_take = on_data_take,
	.data_acked = on_data_acked,
	.data_lost = on_data_lost,
	.stream_readable = on_stream_readable,
	.stream_writable = on_stream_writable,
};
