/*
 * The first bytes of a tape, which its sender sends behind the offer without waiting for an answer:
 * they are kept until the sink is ready for them. One round trip less, for a little memory that
 * counts as that of all other pieces does.
 */
#include <stdlib.h>
#include <string.h>

#include "session/receiver_private.h"

/* Handed on in pieces of this size. */
#define STEP (TW_RECEIVER_COPY_SIZE / 2)

void tw_receiver_early_drop(struct tw_receiver_transfer *transfer)
{
	struct tw_receiver_conn *conn = transfer->conn;
	uint64_t total = transfer->early.total;

	transfer->hub->memory -= total;
	if (total && conn && conn->conn)
		tw_conn_data_consumed(conn->conn, total);
	tw_ranges_clear(&transfer->early);
	free(transfer->early_bytes);
	transfer->early_bytes = NULL;
}

bool tw_receiver_early_take(struct tw_receiver_transfer *transfer, const struct tw_data_ref *piece,
			    const uint8_t *bytes)
{
	struct tw_receiver_hub *hub = transfer->hub;
	uint64_t end = piece->offset + piece->length, fresh;

	if (transfer->state > TW_RECEIVING_RUNNING || end > TW_SESSION_EARLY_MAX)
		return false;
	fresh = piece->length - tw_ranges_overlap(&transfer->early, piece->offset, end);
	if (hub->memory + fresh > hub->options.memory_max)
		return false;
	if (!transfer->early_bytes)
		transfer->early_bytes = malloc(TW_SESSION_EARLY_MAX);
	if (!transfer->early_bytes || tw_ranges_add(&transfer->early, piece->offset, end))
		return false;
	memcpy(transfer->early_bytes + piece->offset, bytes, piece->length);
	hub->memory += fresh;
	if (fresh < piece->length)
		tw_conn_data_consumed(transfer->conn->conn, piece->length - fresh);
	return true;
}

void tw_receiver_early_pump(struct tw_receiver_transfer *transfer)
{
	struct tw_receiver_hub *hub = transfer->hub;
	struct tw_receiver_conn *conn = transfer->conn;
	struct tw_range range;
	bool any = false;

	while (conn && conn->conn && tw_ranges_next(&transfer->early, 0, transfer->ready, &range)) {
		struct tw_data_ref piece = { transfer->number, range.start,
					     range.end - range.start };

		if (piece.length > STEP)
			piece.length = STEP;
		hub->memory -= piece.length;
		if (!tw_receiver_take_piece(transfer, conn, &piece,
					    transfer->early_bytes + piece.offset, true)) {
			hub->memory += piece.length;
			break;
		}
		/* From the front: nothing is cut in two. */
		(void)tw_ranges_remove(&transfer->early, piece.offset, piece.offset + piece.length);
		any = true;
	}
	if (!any)
		return;
	tw_receiver_gather_leave(transfer);
	if (!transfer->early.count)
		tw_receiver_early_drop(transfer);
}
