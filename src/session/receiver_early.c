/*
 * The first bytes of a tape, which its sender sends behind the offer without waiting for an answer:
 * they are kept until the sink is ready for them. They may even come before the offer, when that
 * was lost on the way: refused, they would look like losses of the path. A round trip less, for a
 * little memory that counts as that of all other pieces does.
 */
#include <stdlib.h>
#include <string.h>

#include "session/receiver_private.h"

/* Handed on in pieces of this size. */
#define STEP (TW_RECEIVER_COPY_SIZE / 2)

void tw_receiver_early_drop(struct tw_receiver_conn *conn, struct tw_receiver_early **slot)
{
	struct tw_receiver_early *early = *slot;

	if (!early)
		return;
	*slot = NULL;
	conn->hub->memory -= early->have.total;
	if (conn->conn)
		tw_conn_data_consumed(conn->conn, early->have.total);
	tw_ranges_deinit(&early->have);
	free(early);
}

static struct tw_receiver_early *early_new(uint64_t number)
{
	struct tw_receiver_early *early = malloc(sizeof(*early));

	if (!early)
		return NULL;
	early->number = number;
	tw_ranges_init(&early->have, TW_RECEIVER_RANGES_MAX);
	return early;
}

static bool take(struct tw_receiver_conn *conn, struct tw_receiver_early **slot,
		 const struct tw_data_ref *piece, const uint8_t *bytes)
{
	struct tw_receiver_hub *hub = conn->hub;
	uint64_t end = piece->offset + piece->length, fresh;

	if (!*slot)
		*slot = early_new(piece->transfer);
	if (!*slot)
		return false;
	fresh = piece->length - tw_ranges_overlap(&(*slot)->have, piece->offset, end);
	if (hub->memory + fresh > hub->options.memory_max ||
	    tw_ranges_add(&(*slot)->have, piece->offset, end))
		return false;
	memcpy((*slot)->bytes + piece->offset, bytes, piece->length);
	hub->memory += fresh;
	if (fresh < piece->length)
		tw_conn_data_consumed(conn->conn, piece->length - fresh);
	return true;
}

static bool may_be_early(const struct tw_data_ref *piece)
{
	return piece->length && piece->offset < TW_SESSION_EARLY_MAX &&
	       piece->length <= TW_SESSION_EARLY_MAX - piece->offset;
}

bool tw_receiver_early_take(struct tw_receiver_transfer *transfer, const struct tw_data_ref *piece,
			    const uint8_t *bytes)
{
	return transfer->state <= TW_RECEIVING_RUNNING && may_be_early(piece) &&
	       take(transfer->conn, &transfer->early, piece, bytes);
}

bool tw_receiver_early_keep(struct tw_receiver_conn *conn, const struct tw_data_ref *piece,
			    const uint8_t *bytes)
{
	struct tw_receiver_early **slot = &conn->early[piece->transfer % TW_SESSION_TRANSFERS_MAX];

	if (!may_be_early(piece))
		return false;
	/* Of a number that was left out after all. */
	if (*slot && (*slot)->number < conn->number_next)
		tw_receiver_early_drop(conn, slot);
	if (*slot && (*slot)->number != piece->transfer)
		return false;
	return take(conn, slot, piece, bytes);
}

void tw_receiver_early_offered(struct tw_receiver_conn *conn, uint64_t number,
			       struct tw_receiver_transfer *transfer)
{
	struct tw_receiver_early **slot = &conn->early[number % TW_SESSION_TRANSFERS_MAX];

	if (transfer && *slot && (*slot)->number == number &&
	    transfer->state <= TW_RECEIVING_RUNNING) {
		transfer->early = *slot;
		*slot = NULL;
	}
	tw_receiver_early_drop(conn, slot);
}

void tw_receiver_early_pump(struct tw_receiver_transfer *transfer)
{
	struct tw_receiver_hub *hub = transfer->hub;
	struct tw_receiver_conn *conn = transfer->conn;
	struct tw_receiver_early *early = transfer->early;
	struct tw_range range;
	bool any = false;

	while (early && conn && conn->conn &&
	       tw_ranges_next(&early->have, 0, transfer->ready, &range)) {
		struct tw_data_ref piece = { transfer->number, range.start,
					     range.end - range.start };

		if (piece.length > STEP)
			piece.length = STEP;
		hub->memory -= piece.length;
		if (!tw_receiver_take_piece(transfer, conn, &piece, early->bytes + piece.offset,
					    true)) {
			hub->memory += piece.length;
			break;
		}
		/* From the front: nothing is cut in two. */
		(void)tw_ranges_remove(&early->have, piece.offset, piece.offset + piece.length);
		any = true;
	}
	if (!any)
		return;
	tw_receiver_gather_leave(transfer);
	if (!early->have.count)
		tw_receiver_early_drop(conn, &transfer->early);
}
