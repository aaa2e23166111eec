/*
 * receiver_lanes.c - berths of the receiving end: pieces that came over lanes are handed to their
 * transfers as if they had come over the main connection. They have been acknowledged already: what
 * cannot be kept all the same is asked for again (MISSED).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/lane_private.h"
#include "session/receiver_private.h"

struct berth_receiving {
	struct tw_berth berth; /* first */
	struct berth_receiving *next;
	struct tw_public_key peer;
	struct tw_receiver_hub *hub;   /* NULL: not moored */
	struct tw_receiver_conn *conn; /* the main connection; NULL: not known yet, or gone */
	struct tw_letter_room room;
};

static struct berth_receiving *receiving(struct tw_berth *berth)
{
	return (struct berth_receiving *)(void *)berth;
}

const struct tw_conn *tw_berth_receiving_main(const struct tw_berth *base)
{
	const struct berth_receiving *berth = (const struct berth_receiving *)(const void *)base;

	return berth->conn ? berth->conn->conn : NULL;
}

int tw_berth_receiving_new(const struct tw_lane_receiving *options, tw_ns now,
			   struct tw_berth **ret)
{
	struct berth_receiving *berth = calloc(1, sizeof(*berth));

	if (!berth)
		return -ENOMEM;
	tw_berth_init(&berth->berth, true, &options->berth_port, now);
	berth->peer = options->peer;
	berth->room.head.type = TW_LETTER_ROOM;
	*ret = &berth->berth;
	return 0;
}

static unsigned berths_of_peer(const struct tw_receiver_hub *hub, const struct tw_public_key *peer)
{
	const struct berth_receiving *berth;
	unsigned count = 0;

	for (berth = hub->berths; berth; berth = berth->next)
		count += !memcmp(berth->peer.bytes, peer->bytes, sizeof(peer->bytes));
	return count;
}

void tw_receiver_moor(struct tw_receiver_hub *hub, struct tw_berth *base, tw_ns now)
{
	struct berth_receiving *berth = receiving(base);
	/* Whosever lanes they are, or nobody's yet. */
	bool many = berths_of_peer(hub, &berth->peer) >= TW_RECEIVER_CONNS_PEER;

	base->now = now;
	berth->hub = hub;
	berth->next = hub->berths;
	hub->berths = berth;
	if (hub->stopping || many)
		tw_berth_end(base);
}

void tw_berth_receiving_free(struct tw_berth *base)
{
	struct berth_receiving *berth = receiving(base), **at;

	if (berth->hub) {
		berth->hub->lane_room -= berth->room.bytes;
		for (at = &berth->hub->berths; *at != berth;)
			at = &(*at)->next;
		*at = berth->next;
	}
	free(berth);
}

void tw_berth_receiving_closing(struct tw_berth *base)
{
	receiving(base)->conn = NULL;
}

void tw_berth_receiving_back(struct tw_berth *base, struct tw_letter_head *letter)
{
	(void)base;
	(void)letter;
}

void tw_receiver_lanes_leave(struct tw_receiver_conn *conn)
{
	struct berth_receiving *berth;

	for (berth = conn->hub->berths; berth; berth = berth->next) {
		if (berth->conn == conn)
			tw_berth_end(&berth->berth);
	}
}

void tw_receiver_lanes_stop(struct tw_receiver_hub *hub)
{
	struct berth_receiving *berth;

	for (berth = hub->berths; berth; berth = berth->next)
		tw_berth_end(&berth->berth);
}

static unsigned lanes_of(const struct tw_receiver_conn *conn)
{
	const struct berth_receiving *berth;
	unsigned count = 0;

	for (berth = conn->hub->berths; berth; berth = berth->next)
		count += berth->conn == conn;
	return count;
}

/* The connection that gave @token away to @peer; NULL: none that takes another lane. */
static struct tw_receiver_conn *find(const struct tw_receiver_hub *hub,
				     const struct tw_public_key *peer, const uint8_t *token)
{
	size_t i;

	for (i = 0; i < hub->conn_count; i++) {
		struct tw_receiver_conn *conn = hub->conns[i];

		if (!conn->closed && !conn->refused && !conn->hello_unsaid &&
		    !memcmp(conn->peer.bytes, peer->bytes, sizeof(peer->bytes)) &&
		    tw_equal_secret(conn->lane_token, token, TW_LANE_TOKEN_SIZE))
			return lanes_of(conn) < hub->options.lanes ? conn : NULL;
	}
	return NULL;
}

uint64_t tw_receiver_lane_room(const struct tw_receiver_hub *hub)
{
	return hub->options.lanes
		       ? hub->options.memory_max / TW_RECEIVER_LANES_PART / hub->options.lanes
		       : 0;
}

/* Many peers with lanes leave less for each that comes. */
static uint64_t room_left(const struct tw_receiver_hub *hub)
{
	uint64_t all = hub->options.memory_max / TW_RECEIVER_LANES_PART * TW_RECEIVER_LANES_PARTS;
	uint64_t share = tw_receiver_lane_room(hub), left = all - hub->lane_room;

	return left < share ? left : share;
}

static void join(struct berth_receiving *berth, const struct tw_letter_join *letter)
{
	struct tw_receiver_hub *hub = berth->hub;

	if (berth->berth.half.closing)
		return;
	if (hub->options.lanes && !berth->conn)
		berth->conn = find(hub, &berth->peer, letter->token);
	berth->room.bytes = room_left(hub);
	if (!berth->conn || berth->room.bytes < TW_RECEIVER_LANE_ROOM_MIN) {
		berth->room.bytes = 0;
		tw_berth_end(&berth->berth);
		return;
	}
	hub->lane_room += berth->room.bytes;
	berth->room.letters =
		TW_RECEIVER_DATA_JOBS_MAX / TW_RECEIVER_LANES_PART / hub->options.lanes;
	tw_half_write(&berth->berth.half, &berth->room.head);
}

/* Pieces. */

/* It has been acknowledged, and is not kept. */
static void miss(struct tw_receiver_transfer *transfer, const struct tw_data_ref *piece)
{
	uint64_t end = piece->offset + piece->length, at;
	struct tw_range gap;

	for (at = piece->offset; tw_ranges_next_gap(&transfer->received, at, end, &gap);
	     at = gap.end) {
		if (!tw_ranges_add(&transfer->again, gap.start, gap.end) &&
		    !tw_ranges_add(&transfer->missed_unsaid, gap.start, gap.end))
			continue;
		tw_receiver_transfer_end(
			transfer, TW_TRANSFER_RESOURCES,
			"The receiver has no memory left; send again: what has arrived is kept.");
		return;
	}
}

/* False: an honest peer does not send such a thing. */
static bool take_piece(struct tw_receiver_conn *conn, const struct tw_data_ref *piece,
		       const uint8_t *bytes)
{
	struct tw_receiver_transfer *transfer = tw_receiver_transfer_of(conn, piece->transfer);

	/* Ended: what is still under way is nobody's. */
	if (!transfer)
		return piece->transfer < conn->number_next;
	transfer->received_at = conn->hub->now;
	if (transfer->state == TW_RECEIVING_ENDING || transfer->state == TW_RECEIVING_OVER)
		return true;
	if (transfer->state != TW_RECEIVING_RUNNING || piece->offset >= transfer->ready ||
	    piece->length > transfer->ready - piece->offset)
		return false;
	if (!tw_receiver_take_piece(transfer, conn, piece, bytes, false))
		miss(transfer, piece);
	return true;
}

static void say_missed(struct tw_receiver_conn *conn)
{
	size_t i;

	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++) {
		struct tw_receiver_transfer *transfer = conn->transfers[i];

		if (transfer && transfer->missed_unsaid.count)
			tw_receiver_control_pump(transfer);
	}
}

static void take(struct berth_receiving *berth, struct tw_letter_pieces *letter)
{
	struct tw_receiver_hub *hub = berth->hub;
	struct tw_receiver_conn *conn = berth->conn;
	size_t i;

	/* What came of the main connection's own buffer leaves as it is. */
	tw_receiver_flush(hub, berth->berth.now);
	letter->berth = &berth->berth;
	letter->jobs = 1;
	hub->letter = letter;
	for (i = 0; conn && i < letter->count; i++) {
		if (!take_piece(conn, &letter->at[i].ref, letter->at[i].bytes)) {
			tw_berth_end(&berth->berth);
			break;
		}
	}
	tw_receiver_flush(hub, berth->berth.now);
	hub->letter = NULL;
	if (conn)
		say_missed(conn);
	tw_receiver_letter_put(letter);
}

void tw_receiver_letter_put(struct tw_letter_pieces *letter)
{
	if (!--letter->jobs)
		tw_half_return(&letter->berth->half, &letter->head);
}

void tw_receiver_letter_hold(struct tw_letter_pieces *letter)
{
	letter->jobs++;
}

void tw_berth_receiving_letter(struct tw_berth *base, struct tw_letter_head *letter)
{
	struct berth_receiving *berth = receiving(base);

	assert(berth->hub);
	if (letter->type == TW_LETTER_PIECES) {
		take(berth, (struct tw_letter_pieces *)(void *)letter);
		return;
	}
	if (letter->type == TW_LETTER_JOIN)
		join(berth, (const struct tw_letter_join *)(void *)letter);
	tw_half_return(&base->half, letter);
}
