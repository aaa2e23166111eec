/*
 * outgoing_private.h - what the parts of the sending side say to each other: the outgoing hands the
 * calls of its connection to the sender that they concern, and a sender says when it has something
 * to send again. The dialer, which stands between connection and outgoing, calls these functions
 * directly: no pointer is followed on the way of a packet but the connection's own.
 */
#pragma once

#include "session/inbox.h"
#include "session/message.h"
#include "session/outbox.h"
#include "session/outgoing.h"

/* A sender that takes part. Seats are sorted by rank, then by order of addition. */
struct tw_outgoing_seat {
	struct tw_sender *sender;
	uint64_t rank, order;
	uint64_t max_bps;
	int64_t credit; /* bytes that it may send; below 0: debt */
	tw_ns credit_at;
};

/* The number of a transfer of the connection in use, or one whose place is free. */
struct tw_outgoing_slot {
	uint64_t number;
	struct tw_sender *sender; /* NULL: nobody's */
	bool orphan; /* its sender left in the middle: CANCEL must be said before it is free */
};

struct berth_sending;

struct tw_outgoing {
	tw_ns now;
	struct tw_conn *conn;
	struct tw_inbox inbox;
	struct tw_outbox outbox;
	bool hello_unsaid;
	bool broken; /* the connection is being closed: nothing more is read */
	uint64_t peer_max_bps;

	struct tw_outgoing_seat seats[TW_SESSION_TRANSFERS_MAX];
	size_t count;
	uint64_t order_next;
	/* Seats, as bits: may have something to send; had to stop for their own rate. */
	uint64_t ready, held_back;

	struct tw_outgoing_slot slots[TW_SESSION_TRANSFERS_MAX]; /* by number modulo their count */
	uint64_t number_next;

	/* Lanes beside the connection (outgoing_lanes.c). */
	unsigned lanes_offered;
	uint8_t lane_token[TW_LANE_TOKEN_SIZE];
	struct berth_sending *berths; /* of lanes of this connection */
	uint64_t lanes_dry;           /* seats, as bits, that had nothing for them */
	bool lanes_serving;
};

void tw_outgoing_established(struct tw_outgoing *outgoing, struct tw_conn *conn);
void tw_outgoing_closed(struct tw_outgoing *outgoing, struct tw_conn *conn);
bool tw_outgoing_data_next(struct tw_outgoing *outgoing, struct tw_conn *conn,
			   struct tw_data_ref *ret);
const uint8_t *tw_outgoing_data_take(struct tw_outgoing *outgoing, const struct tw_data_ref *piece);
void tw_outgoing_data_acked(struct tw_outgoing *outgoing, struct tw_conn *conn,
			    const struct tw_data_ref *piece);
void tw_outgoing_data_lost(struct tw_outgoing *outgoing, struct tw_conn *conn,
			   const struct tw_data_ref *piece);
void tw_outgoing_stream_readable(struct tw_outgoing *outgoing, struct tw_conn *conn,
				 uint64_t stream);
void tw_outgoing_stream_writable(struct tw_outgoing *outgoing, struct tw_conn *conn,
				 uint64_t stream);

/* Better ones than the sender in @place have something to send. */
static inline bool tw_outgoing_is_behind(const struct tw_outgoing *outgoing, unsigned place)
{
	return outgoing->ready & ((UINT64_C(1) << place) - 1);
}

/* The sender in @place has something to send again. */
void tw_outgoing_wake(struct tw_outgoing *outgoing, unsigned place);
/* The sender of transfer @number of the connection in use; NULL: it takes part no more. */
struct tw_sender *tw_outgoing_sender_of(struct tw_outgoing *outgoing, uint64_t number);

/* outgoing_lanes.c */
/* The peer has said how many lanes it takes. */
void tw_outgoing_lanes_hello(struct tw_outgoing *outgoing, const struct tw_message *hello);
/* The connection is left: its lanes end. */
void tw_outgoing_lanes_leave(struct tw_outgoing *outgoing);
/* Lends them what they want and senders have; only where there are any (@berths). */
void tw_outgoing_lanes_serve(struct tw_outgoing *outgoing);
