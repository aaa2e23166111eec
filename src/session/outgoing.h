/*
 * outgoing.h - everything that goes to one destination: a set of senders that share one connection,
 * served in the order of their ranks.
 *
 * It is the application of the connection: owns the control stream, gives each sender a number
 * within the connection, hands every call to the sender it belongs to, and decides whose bytes go
 * next: those of the lowest rank that has something to send and is within its own rate. A sender
 * of a worse rank sends what the better ones leave over, so that a full set never wastes the path.
 * A connection that dies takes no sender with it: all of them are offered again over the next one.
 *
 * Does not dial (dialer.h), knows no queue and no reason why a sender is here. Sans-IO.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/conn.h"
#include "session/sender.h"

struct tw_outgoing;

/* -ENOMEM. */
int tw_outgoing_new(tw_ns now, struct tw_outgoing **ret);
/* Every sender has been removed. Its lanes end by themselves. */
void tw_outgoing_free(struct tw_outgoing *outgoing);

/* The application to pass to tw_endpoint_connect(), with the outgoing as its context. */
extern const struct tw_conn_app tw_outgoing_app;

/*
 * @sender takes part from now on; borrowed until tw_outgoing_remove(). Lower @rank goes first,
 * equal ranks in the order of addition. @max_bps: of its own bytes, repeats included; UINT64_MAX:
 * no limit. TW_E_FULL: TW_SESSION_TRANSFERS_MAX take part already.
 */
int tw_outgoing_add(struct tw_outgoing *outgoing, struct tw_sender *sender, uint64_t rank,
		    uint64_t max_bps);
/* Live change, in effect with the next datagram. */
void tw_outgoing_change(struct tw_outgoing *outgoing, struct tw_sender *sender, uint64_t rank,
			uint64_t max_bps);
/*
 * Its last words (tw_sender_cancel(), DONE_ACK) have been said: tw_sender_farewell_said(), or there
 * is no connection to say them over. Without them the peer finds out by itself later.
 */
void tw_outgoing_remove(struct tw_outgoing *outgoing, struct tw_sender *sender);

/* Some sender is not finished: a connection is needed. */
bool tw_outgoing_wants(const struct tw_outgoing *outgoing);
size_t tw_outgoing_count(const struct tw_outgoing *outgoing);
/* The connection in use, or NULL. */
struct tw_conn *tw_outgoing_conn(const struct tw_outgoing *outgoing);
/* What the peer asks us to keep to (its incoming limit); UINT64_MAX: nothing. */
uint64_t tw_outgoing_peer_max_bps(const struct tw_outgoing *outgoing);
/*
 * How many lanes (lane.h) the peer takes beside the connection in use, at most TW_LANES_MAX; 0:
 * none, or it has not said so yet. And how many there are that have not begun to end.
 */
unsigned tw_outgoing_lanes(const struct tw_outgoing *outgoing);
unsigned tw_outgoing_lanes_used(const struct tw_outgoing *outgoing);
/* Timers of all its senders, and their own rates. At least every 20 ms, and at the deadline. */
void tw_outgoing_tick(struct tw_outgoing *outgoing, tw_ns now);
tw_ns tw_outgoing_deadline(const struct tw_outgoing *outgoing);
