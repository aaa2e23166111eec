/*
 * lane_receiving.c - the receiving end of a lane: learns whose lane it is, and hands the pieces
 * that come to its berth, a receive buffer at a time. What a letter holds counts against the
 * connection's data window until it is back; within its room, pieces wait for the disk as those of
 * the main connection do, and beyond they are not acknowledged.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "session/lane_private.h"

/* Until the berth has said how much there is. */
#define ROOM_FIRST (UINT64_C(256) << 10)
#define LETTERS_FIRST 16
#define COPY_SIZE ((size_t)64 << 10)
/* Datagrams too few to lend a buffer for are copied; they wait while so many letters are away, so
 * that letters grow with the load. */
#define CRUMBS_AWAY 4
#define INTRODUCED_IN (10 * TW_SECOND)
#define MESSAGE_ROOM 256

struct lane_receiving {
	struct tw_lane lane; /* first */
	void *(*hold_buffer)(void *context);
	void (*drop_buffer)(void *context, void *buffer);
	void *buffer_context;
	uint8_t message[MESSAGE_ROOM];
	size_t message_length;
	bool introduced;
	struct tw_letter_join join;
	void *buffer; /* being handed in, held and not in a letter yet */
	bool buffer_known;
	struct tw_letter_pieces *lent, *crumbs; /* being filled */
	struct tw_letter_pieces *free, *all;
	uint64_t room, bytes;          /* @bytes: in letters, here or away */
	unsigned letters_max, letters; /* away */
};

static struct lane_receiving *receiving(struct tw_lane *lane)
{
	return (struct lane_receiving *)(void *)lane;
}

int tw_lane_receiving_new(const struct tw_lane_receiving *options, tw_ns now, struct tw_lane **ret)
{
	struct lane_receiving *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return -ENOMEM;
	tw_lane_init(&lane->lane, true, &options->lane_port, now);
	lane->hold_buffer = options->hold_buffer;
	lane->drop_buffer = options->drop_buffer;
	lane->buffer_context = options->buffer_context;
	lane->join.head.type = TW_LETTER_JOIN;
	lane->room = ROOM_FIRST;
	lane->letters_max = LETTERS_FIRST;
	*ret = &lane->lane;
	return 0;
}

void tw_lane_receiving_free(struct tw_lane *base)
{
	struct lane_receiving *lane = receiving(base);

	while (lane->all) {
		struct tw_letter_pieces *letter = lane->all;

		lane->all = letter->all_next;
		if (letter->buffer)
			lane->drop_buffer(lane->buffer_context, letter->buffer);
		free(letter->copy);
		free(letter);
	}
	if (lane->buffer)
		lane->drop_buffer(lane->buffer_context, lane->buffer);
	free(lane);
}

/* Letters. */

static void leave(struct lane_receiving *lane, struct tw_letter_pieces **slot)
{
	struct tw_letter_pieces *letter = *slot;

	if (!letter)
		return;
	*slot = NULL;
	lane->letters++;
	tw_half_write(&lane->lane.half, &letter->head);
}

static struct tw_letter_pieces *letter_new(struct lane_receiving *lane)
{
	struct tw_letter_pieces *letter = lane->free;

	if (letter) {
		lane->free = letter->next;
	} else {
		/* Big, and most of it stays untouched: not zeroed. */
		letter = malloc(sizeof(*letter));
		if (!letter)
			return NULL;
		letter->head.type = TW_LETTER_PIECES;
		letter->head.away = false;
		letter->copy = NULL;
		letter->all_next = lane->all;
		lane->all = letter;
	}
	letter->buffer = NULL;
	letter->copy_length = letter->count = 0;
	letter->bytes = 0;
	return letter;
}

static void letter_put(struct lane_receiving *lane, struct tw_letter_pieces *letter)
{
	letter->next = lane->free;
	lane->free = letter;
}

void tw_lane_receiving_back(struct tw_lane *base, struct tw_letter_head *head)
{
	struct lane_receiving *lane = receiving(base);
	struct tw_letter_pieces *letter = (struct tw_letter_pieces *)(void *)head;

	if (head->type != TW_LETTER_PIECES)
		return;
	lane->letters--;
	lane->bytes -= letter->bytes;
	if (base->conn)
		tw_conn_data_consumed(base->conn, letter->bytes);
	if (letter->buffer)
		lane->drop_buffer(lane->buffer_context, letter->buffer);
	letter->buffer = NULL;
	letter_put(lane, letter);
}

void tw_lane_receiving_letter(struct tw_lane *base, struct tw_letter_head *head)
{
	struct lane_receiving *lane = receiving(base);
	const struct tw_letter_room *room = (const struct tw_letter_room *)(void *)head;

	if (head->type == TW_LETTER_ROOM) {
		lane->room = room->bytes;
		lane->letters_max = room->letters;
		base->running = !base->half.closing;
	}
	tw_half_return(&base->half, head);
}

void tw_lane_receiving_flush(struct tw_lane *base)
{
	struct lane_receiving *lane = receiving(base);

	/* What has been acknowledged is handed on, whatever became of the connection since. */
	if (!base->half.end_said) {
		if (lane->lent || lane->letters < CRUMBS_AWAY || base->half.closing)
			leave(lane, &lane->crumbs);
		leave(lane, &lane->lent);
	}
	if (lane->buffer)
		lane->drop_buffer(lane->buffer_context, lane->buffer);
	lane->buffer = NULL;
	lane->buffer_known = false;
	tw_lane_figures(base, false);
}

void tw_lane_receiving_tick(struct tw_lane *base)
{
	if (!receiving(base)->introduced && tw_ns_since(base->now, base->made_at) >= INTRODUCED_IN)
		tw_lane_end(base, TW_SESSION_CLOSE_ORDER, "a lane of nobody");
}

void tw_lane_receiving_closing(struct tw_lane *base)
{
	(void)base;
}

/* Pieces. */

/* Where the next piece goes to: with the buffer being handed in, or, once that has left, copied. */
static struct tw_letter_pieces **slot_now(struct lane_receiving *lane)
{
	if (!lane->buffer_known) {
		lane->buffer_known = true;
		lane->buffer = lane->hold_buffer ? lane->hold_buffer(lane->buffer_context) : NULL;
	}
	return lane->buffer || lane->lent ? &lane->lent : &lane->crumbs;
}

static bool fits(const struct tw_letter_pieces *letter, size_t length)
{
	return letter && letter->count < TW_JOB_PIECES_MAX &&
	       (letter->buffer || letter->copy_length + length <= COPY_SIZE);
}

/* A new letter in @slot; what was there leaves. False: no memory, or too many. */
static bool start(struct lane_receiving *lane, struct tw_letter_pieces **slot)
{
	struct tw_letter_pieces *letter;

	leave(lane, slot);
	/* The other slot's may have to leave too. */
	if (lane->letters + 1 >= lane->letters_max)
		return false;
	letter = letter_new(lane);
	if (!letter)
		return false;
	if (slot == &lane->lent) {
		letter->buffer = lane->buffer;
		lane->buffer = NULL;
	} else if (!letter->copy) {
		letter->copy = malloc(COPY_SIZE);
		if (!letter->copy) {
			letter_put(lane, letter);
			return false;
		}
	}
	*slot = letter;
	return true;
}

static bool take(struct lane_receiving *lane, const struct tw_data_ref *piece, const uint8_t *bytes)
{
	struct tw_letter_pieces **slot = slot_now(lane), *letter;

	if (lane->bytes + piece->length > lane->room)
		return false;
	/* More pieces than one letter takes: the buffer has gone with the first. */
	if (slot == &lane->lent && lane->lent && !fits(lane->lent, piece->length))
		slot = &lane->crumbs;
	if (!fits(*slot, piece->length) && !start(lane, slot))
		return false;
	letter = *slot;
	if (!letter->buffer) {
		uint8_t *copy = letter->copy + letter->copy_length;

		memcpy(copy, bytes, piece->length);
		letter->copy_length += piece->length;
		bytes = copy;
	}
	letter->at[letter->count].ref = *piece;
	letter->at[letter->count++].bytes = bytes;
	letter->bytes += piece->length;
	lane->bytes += piece->length;
	return true;
}

/* The connection. */

static void on_established(void *app, struct tw_conn *conn)
{
	tw_lane_established(app, conn);
}

static void on_closed(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
		      const char *reason)
{
	(void)conn;
	(void)reason;
	tw_lane_gone(app, end, code);
}

static bool on_data_received(void *app, struct tw_conn *conn, const struct tw_data_ref *piece,
			     const uint8_t *bytes)
{
	struct lane_receiving *lane = app;

	(void)conn;
	if (lane->lane.half.closing)
		return false;
	if (!lane->introduced || !piece->length || piece->length > COPY_SIZE ||
	    piece->offset > TW_VARINT_MAX - piece->length) {
		tw_lane_end(&lane->lane, TW_SESSION_CLOSE_ORDER, "data that has no place here");
		return false;
	}
	return take(lane, piece, bytes);
}

/* The one message. */
static void introduce(struct lane_receiving *lane)
{
	struct tw_message message;
	size_t length;
	int error = tw_message_read(lane->message, lane->message_length, &message, &length);

	if (error == TW_E_AGAIN && lane->message_length < MESSAGE_ROOM)
		return;
	if (error || message.type != TW_MESSAGE_LANE || length != lane->message_length) {
		tw_lane_end(&lane->lane, TW_SESSION_CLOSE_ORDER, "not what a lane begins with");
		return;
	}
	lane->introduced = true;
	memcpy(lane->join.token, message.lane.token, sizeof(lane->join.token));
	tw_half_write(&lane->lane.half, &lane->join.head);
}

static void on_stream_readable(void *app, struct tw_conn *conn, uint64_t stream)
{
	struct lane_receiving *lane = app;
	size_t length;

	if (lane->lane.half.closing)
		return;
	length = tw_conn_stream_read(conn, stream, lane->message + lane->message_length,
				     MESSAGE_ROOM - lane->message_length, NULL);
	if (!length)
		return;
	if (stream != TW_STREAM_CONTROL || lane->introduced) {
		tw_lane_end(&lane->lane, TW_SESSION_CLOSE_ORDER, "streams have no place in a lane");
		return;
	}
	lane->message_length += length;
	introduce(lane);
}

/* A receiver sends no data. */
const struct tw_conn_app tw_lane_receiving_app = {
	.established = on_established,
	.closed = on_closed,
	.data_received = on_data_received,
	.stream_readable = on_stream_readable,
};
