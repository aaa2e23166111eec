/*
 * lane.h - one transfer over several connections. A *lane* is a further connection between two
 * peers that are connected already, with keys, socket and rate control of its own, carried by
 * another thread at each end. It carries DATA of the transfers of the *main connection* and nothing
 * else: offers, manifest, digests, answers and progress stay in the main one, and a transfer goes
 * on whatever becomes of its lanes.
 *
 * A lane has two halves at each end: the `tw_lane`, in the thread that carries its connection, and
 * its `tw_berth`, in the *home* thread, which has the main connection and its transfers. Both are
 * made together; from then on they share nothing and take no lock: they write each other *letters*.
 *
 *                    sending end                            receiving end
 *     home thread    outgoing  <- berth                     berth -> hub
 *                                 | letters                   | letters
 *     lane's thread              lane ===== connection =====> lane
 *
 * Letters. A half writes one by its port's post(); the carrier hands it, in the other half's
 * thread, to tw_lane_letter() or tw_berth_letter(). Between two halves letters keep their order,
 * one direction at a time; none is lost, doubled, looked into or kept. A letter belongs to the half
 * that wrote it, which always gets it back, by the same way, when the other half is done with what
 * it lends (a part of a block of content, a receive buffer). So there is a bound to how many are
 * under way, nobody frees what another thread made, and nothing has to be counted by the carrier.
 *
 * The end. Either half may end: the lane because its connection is gone, the berth because the main
 * connection is, or by tw_lane_close() and tw_berth_close(). Each tells the other, both give back
 * what they hold and wait for their own letters, and each is then *over*, for itself: after a few
 * letters to and fro, the writes under way, and the end of the lane's connection. Until then the
 * carrier goes on carrying letters and ticking, whatever else it is ending; it frees each half in
 * its own thread when it is over. A half that is over neither gets letters any more nor writes any.
 *
 * What is out of scope: when to have a lane, where to dial, which thread carries it, how much of a
 * limit each may use: the carrier's. Sans-IO. No function here may be called from inside post().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "base/time.h"
#include "core/conn.h"
#include "session/message.h"
#include "session/outgoing.h"
#include "session/receiver.h"

/* What lies below is the halves'; these two are the carrier's while it has the letter. */
struct tw_letter {
	struct tw_letter *next;
	void *mark;
};

/*
 * How a half's letters leave. Called in the half's own thread from inside any function here and
 * from the lane's calls by its connection. Never fails and calls nothing back: it queues.
 */
struct tw_letter_port {
	void (*post)(void *context, struct tw_letter *letter);
	void *context;
};

struct tw_lane;
struct tw_berth;

/* Ends. */

/*
 * The sending end of a lane beside the connection that @outgoing has. Home thread; @ret_lane is
 * then handed to the thread that is to dial with it. TW_E_CLOSED: there is no connection.
 * TW_E_FULL: the peer takes no more lanes (tw_outgoing_lanes()). -ENOMEM.
 */
int tw_lane_new_sending(struct tw_outgoing *outgoing, const struct tw_letter_port *lane_port,
			const struct tw_letter_port *berth_port, tw_ns now,
			struct tw_lane **ret_lane, struct tw_berth **ret_berth);

struct tw_lane_receiving {
	struct tw_public_key peer; /* who has proved this key to the lane's endpoint */
	struct tw_letter_port lane_port, berth_port;
	/*
	 * Holds the buffer that is being handed to tw_endpoint_receive() right now and returns it
	 * (opaque): the carrier keeps it as it is until drop_buffer(). Called once between two
	 * flushes at most, both in the lane's thread. NULL, or it returns NULL: the bytes are
	 * copied.
	 */
	void *(*hold_buffer)(void *context);
	void (*drop_buffer)(void *context, void *buffer);
	void *buffer_context;
};

/*
 * The receiving end: for tw_endpoint_config.admit(), in the lane's thread, in place of
 * tw_receiver_admit(). Which connection it is a lane of its peer has yet to say; one that does not
 * say so soon, or says something else, is closed. @ret_berth is then handed to the peer's home
 * thread, which calls tw_receiver_moor() before it hands in the first letter. -ENOMEM.
 */
int tw_lane_new_receiving(const struct tw_lane_receiving *options, tw_ns now,
			  struct tw_lane **ret_lane, struct tw_berth **ret_berth);
/*
 * Home thread: what comes by @berth is for @hub. Never fails: if nothing of @hub has offered lanes
 * to this peer, or there are too many, or no memory is left for them, the berth ends, and the lane
 * with it.
 */
void tw_receiver_moor(struct tw_receiver_hub *hub, struct tw_berth *berth, tw_ns now);

/* The lane: its own thread only. */

/*
 * The application of its one connection, with the lane as context: for tw_endpoint_connect() or
 * admit(). A lane lives until that connection has been told to be closed; where there will be none,
 * because it could not be made or was never tried, tw_lane_undialled() says so.
 */
const struct tw_conn_app *tw_lane_app(const struct tw_lane *lane);
void tw_lane_undialled(struct tw_lane *lane, tw_ns now);
/* Sending: tw_endpoint_connect() has made @conn; so a lane that ends need not wait for an answer.
 */
void tw_lane_dialled(struct tw_lane *lane, struct tw_conn *conn);
void tw_lane_letter(struct tw_lane *lane, struct tw_letter *letter, tw_ns now);
/*
 * All datagrams of the current buffer have been handed in: pieces, and what was acknowledged or
 * lost, leave as letters. After every buffer, or train of datagrams, that was handed to the
 * connection's endpoint; with nothing to tell it costs nothing.
 */
void tw_lane_flush(struct tw_lane *lane, tw_ns now);
/* At least every 20 ms; letters may leave. */
void tw_lane_tick(struct tw_lane *lane, tw_ns now);
/* It ends, and its connection with it. The berth is over without waiting for the network. */
void tw_lane_close(struct tw_lane *lane, tw_ns now);
bool tw_lane_is_over(const struct tw_lane *lane);
/*
 * One that is over. Or, in a program that ends at once: both halves, berth first, by one thread
 * when no other runs any more, with no connection of the lane's, no job under way, and letters
 * under way forgotten. NULL: nothing.
 */
void tw_lane_free(struct tw_lane *lane);

/* The berth: its home thread only. */

/*
 * Behind tw_receiver_flush(), not between two datagrams of a buffer. Senders that could not be
 * freed (tw_sender_idle()) may be idle after it.
 */
void tw_berth_letter(struct tw_berth *berth, struct tw_letter *letter, tw_ns now);
/* At least every 20 ms. */
void tw_berth_tick(struct tw_berth *berth, tw_ns now);
/* The lane shall end; repeating it does nothing. */
void tw_berth_close(struct tw_berth *berth, tw_ns now);
bool tw_berth_is_over(const struct tw_berth *berth);
/* As tw_lane_free(). A berth may outlive its outgoing, but neither its hub nor its senders. */
void tw_berth_free(struct tw_berth *berth);
/*
 * Sending: method and limits of the lane's connection, live, and before it is there. What they are
 * before the first call says tw_endpoint_connect()'s config.
 */
void tw_berth_set_rate(struct tw_berth *berth, enum tw_rate_method method,
		       const struct tw_rate_limits *limits);

struct tw_berth_info {
	bool running; /* the two ends of the lane are connected and DATA goes over it */
	bool closing; /* it ends or has ended */
	/* The main connection, as far as it is known and there; else NULL. */
	const struct tw_conn *main_conn;
	/*
	 * How its connection ended, once it has: for whoever thinks of another.
	 * TW_CONN_CLOSED_LOCAL also where it never was.
	 */
	bool conn_ended;
	enum tw_conn_end end;
	uint64_t code;
	/* About every 100 ms, and at the end; the figures of a connection that has ended stay. */
	bool conn_known;
	struct tw_conn_info conn;
};
void tw_berth_info(const struct tw_berth *berth, struct tw_berth_info *ret);
