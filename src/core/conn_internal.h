/*
 * conn_internal.h - what the files of the connection share. Each deals with one concern:
 *   conn.c        life cycle, state table, timers, the public functions
 *   handshake.c   INIT and ACCEPT, agreeing on a cipher, keys
 *   conn_recv.c   a packet comes in: open it, refuse repeats, hand frames out
 *   conn_send.c   trains: what goes into a packet, and which packet goes next
 *   recovery.c    acknowledgements and losses: samples for the rate, probe timeouts
 *   conn_path.c   address changes and their proof
 */
#pragma once

#include "base/heap.h"
#include "core/ack.h"
#include "core/conn.h"
#include "core/endpoint_internal.h"
#include "core/mtu.h"
#include "core/sent.h"
#include "core/stream.h"
#include "crypto/noise.h"
#include "crypto/protect.h"
#include "rate/pacer.h"
#include "wire/datagram.h"
#include "wire/params.h"

#define TW_IDLE_TIMEOUT (30 * TW_SECOND)
#define TW_DATA_WINDOW_MAX (UINT64_C(256) << 20)
#define TW_INIT_RETRY (500 * TW_MSEC)
/* Then so many more at this distance: the first may have begun a burst of losses, which on an idle
 * path only further packets bring to its end. Silence beyond it is an outage, and can be waited
 * for. */
#define TW_INIT_BRISK 20
#define TW_INIT_BRISK_RETRY (125 * TW_MSEC)
#define TW_STREAM_ECHOES 2               /* of what was said last, where packets get lost */
#define TW_VERSION_DOUBT (1 * TW_SECOND) /* a VERSIONS is not protected: it may be refuted */
#define TW_PTO_MAX (1 * TW_SECOND)
#define TW_REORDER_PACKETS 3
#define TW_REORDER_PACKETS_MAX 65536
#define TW_CLOSE_LINGER (1 * TW_SECOND)

/* The handshake, and what is needed to repeat its datagrams. Wiped and freed once the connection is
 * established. */
struct tw_handshake {
	struct tw_noise noise;
	uint8_t pattern;
	bool initiator;
	enum tw_cipher wish;
	uint8_t datagram[TW_DATAGRAM_INIT_MIN]; /* INIT or ACCEPT as sent */
	size_t length;
	uint8_t message[TW_HANDSHAKE_MESSAGE_MAX]; /* INIT: kept, so that a cookie can be put in
						      front of it */
	size_t message_length;
	uint64_t message_hash; /* ACCEPT: of the INIT it answers */
	uint64_t peer_scid;
	bool send_now;
	bool refused; /* accepting side: there are no keys, nothing can be opened */
	bool other_version; /* initiator: somebody says that the other side speaks another one */
	unsigned sends;
	unsigned repeats; /* initiator: of this INIT, with the cookie that it has now */
	uint8_t cookie[TW_COOKIE_SIZE]; /* initiator: of the latest RETRY, if @retried */
	bool retried;
	tw_ns first_sent_at, last_sent_at, give_up_at;
};

struct tw_recovery {
	struct tw_sent_map sent;
	uint64_t largest_acked;
	bool any_acked;
	uint64_t scan;      /* no packet below is in flight */
	tw_ns scan_again_at;
	uint64_t looked;    /* records that acknowledgements made us look at */
	uint64_t in_flight; /* bytes */
	uint64_t in_flight_packets;
	tw_ns loss_at; /* when the next packet becomes lost by time */
	tw_ns last_eliciting_at;
	unsigned pto_count;
	unsigned probes_owed;
	tw_ns nudged_at;
	/* reordering seen on this path (RFC 8985): thresholds grow with it and shrink in quiet
	 * rounds */
	uint64_t reorder_packets;
	unsigned reorder_eighths; /* time threshold in eighths of a round trip, from 9 */
	unsigned quiet_rounds;
	/* delivery rate */
	uint64_t delivered, lost_total;
	tw_ns delivered_at, first_sent_at;
	uint64_t app_limited_until; /* delivered count at which the bubble is gone; 0: none */
	uint64_t round_end;         /* delivered count that ends this round */
	unsigned echoes;            /* of what streams said last, that go without being asked for */
	/* packets lost in this round, and how many of them right behind another of their train */
	uint64_t round_lost, round_pairs;
};

struct tw_path_state {
	struct tw_path path, previous;
	struct tw_address left; /* by tw_conn_go_to(): what still comes from there leads not back */
	bool validated;
	bool challenge_owed, response_owed;
	uint8_t challenge[TW_PATH_TOKEN_SIZE], response[TW_PATH_TOKEN_SIZE];
	struct tw_path response_path;
	tw_ns challenge_at, give_up_at;
	uint64_t received_bytes, sent_bytes; /* on a path not yet proved: less goes out than came */
};

/* The initiator tries the addresses that the responder has offered, and the one that it has been
 * asked from (a NAT there may show another one to us than to the relay). */
#define TW_TRIAL_WAYS (TW_OFFERS_MAX + 1)
struct tw_path_trial {
	struct tw_address ways[TW_TRIAL_WAYS]; /* family NONE: none; the last is what was learned */
	bool offered;                          /* any: the responder has a relay */
	/* What came from the learned one and has not been answered by as much. */
	uint64_t learned_bytes;
	uint8_t token[TW_PATH_TOKEN_SIZE];       /* of this round */
	unsigned owed;                           /* ways not asked yet in this round: a set */
	unsigned rounds, failures;
	bool bare; /* the challenge that tw_conn_trial_next() gave last */
	tw_ns next_at;
	bool moved;          /* the connection is on one of these ways now */
	struct tw_path home; /* where it came from then */
};

struct tw_conn {
	struct tw_timer timer; /* first: the endpoint's heap points here */
	struct tw_endpoint *endpoint;
	size_t index; /* in the endpoint's array */
	enum tw_conn_state state;
	const struct tw_conn_app *app;
	void *app_context;
	struct tw_conn_config config;
	uint64_t cid, peer_cid;
	uint64_t init_key; /* accepting side: its place in the endpoint's table of INITs */
	bool initiator;
	bool half_open; /* counted by the endpoint until the peer has shown its keys */
	bool held;      /* no train of it can leave at the moment */
	struct tw_public_key peer_key;
	struct tw_params peer;
	struct tw_address observed; /* ourselves as the responder sees us; family NONE: not told */
	enum tw_cipher cipher;
	enum tw_aead aead;
	struct tw_handshake *handshake; /* owned; NULL once established */
	struct tw_seal_chain seal;
	struct tw_open_chain open;
	struct tw_ack_tracker acks;
	struct tw_recovery recovery;
	struct tw_path_model model;
	struct tw_rate_controller rate;
	struct tw_pacer pacer;
	struct tw_mtu mtu;
	struct tw_path_state path;
	struct tw_path_trial trial;
	struct tw_stream_table send_streams, receive_streams;
	unsigned streams_ready; /* a send stream may have something */
	bool windows_owed;      /* a receive stream owes a STREAM_WINDOW */

	/* DATA in: the window we give */
	uint64_t data_received, data_consumed, data_window, data_promised, data_round_start;
	tw_ns data_round_at;
	bool data_window_owed;
	/* DATA out: the window we have */
	uint64_t data_max, data_acked, data_in_flight, data_sent, data_lost;
	bool data_ready; /* the application may have something */
	bool data_blocked, data_blocked_owed;
	bool app_limited, window_limited;

	bool ping_owed;
	tw_ns ping_for_ack_at; /* when a PING was last added to hear about our own acknowledgements
				*/
	tw_ns now;             /* of the latest call from outside */
	tw_ns heard_at;        /* when a packet newer than all others came */
	tw_ns established_at, last_sent_at, last_received_at, silent_since;
	uint64_t packets_sent, packets_received, packets_lost, packets_spurious;
	uint64_t bytes_sent, bytes_received, acks_sent, key_updates;

	/* the end */
	enum tw_conn_end end;
	uint64_t close_code;
	char close_reason[TW_CLOSE_REASON_MAX + 1];
	bool close_owed, closed_told;
	unsigned strays;
	tw_ns gone_at;
};

/* conn.c */
int tw_conn_new(struct tw_endpoint *endpoint, bool initiator, tw_ns now, struct tw_conn **ret);
void tw_conn_free(struct tw_conn *conn);
/* Puts the defaults where a setting is 0. */
void tw_conn_settle(struct tw_conn_config *config);
/* The one place that writes the state; asserts that the edge is in the table. */
void tw_conn_enter(struct tw_conn *conn, enum tw_conn_state state);
/* Starts what runs over an established connection: rate, pacer, MTU search. Keys and peer
 * parameters are set. */
void tw_conn_start(struct tw_conn *conn, tw_ns rtt);
/* Ends without a word on the wire (the peer closed, silence, refusal), or with one when @say. */
void tw_conn_finish(struct tw_conn *conn, enum tw_conn_end end, uint64_t code, const char *reason,
		    bool say);
tw_ns tw_conn_deadline(const struct tw_conn *conn);
/* How long its datagrams may wait to be looked at; 0: not at all. */
tw_ns tw_conn_patience(const struct tw_conn *conn, tw_ns now);
void tw_conn_timeout(struct tw_conn *conn, tw_ns now);
/* The endpoint looks at this connection again before it sleeps. */
void tw_conn_touch(struct tw_conn *conn);

/* handshake.c */
int tw_handshake_start(struct tw_conn *conn, const struct tw_connect *connect, tw_ns now);
/*
 * An INIT for which there is no connection yet: opens it, asks for admission and, unless it is to
 * be ignored, leaves the ACCEPT to be sent in @conn. TW_E_AUTH, TW_E_FORMAT: drop in silence.
 */
int tw_handshake_answer(struct tw_conn *conn, const struct tw_datagram *init,
			const struct tw_path *path, tw_ns now);
void tw_handshake_accepted(struct tw_conn *conn, const struct tw_datagram *accept, tw_ns now);
/* A VERSIONS without ours. */
void tw_handshake_other_version(struct tw_conn *conn, tw_ns now);
void tw_handshake_retry(struct tw_conn *conn, const struct tw_datagram *retry, tw_ns now);
void tw_handshake_free(struct tw_conn *conn);
uint64_t tw_handshake_hash(const struct tw_datagram *init);

/* conn_recv.c */
void tw_conn_receive(struct tw_conn *conn, const struct tw_datagram *datagram,
		     const struct tw_path *path, uint8_t *bytes, size_t length, tw_ns now);

/* conn_send.c */
bool tw_conn_send(struct tw_conn *conn, struct tw_train *train, tw_ns now);
/* True when something would leave were it not for the pacer. */
bool tw_conn_wants_to_send(const struct tw_conn *conn);
/* Frames wait that neither pacer nor window holds back. */
bool tw_conn_control_owed(const struct tw_conn *conn);
bool tw_conn_window_open(const struct tw_conn *conn);
/* When the next probe of the path MTU may leave. */
tw_ns tw_conn_mtu_deadline(const struct tw_conn *conn);

/* recovery.c */
void tw_recovery_init(struct tw_conn *conn);
void tw_recovery_deinit(struct tw_conn *conn);
/* A packet that asks for an acknowledgement leaves; fills in the record's rate fields. */
void tw_recovery_sent(struct tw_conn *conn, struct tw_sent *sent, tw_ns now);
/* TW_E_FORMAT: acknowledges what was never sent; forward the rest. */
int tw_recovery_ack(struct tw_conn *conn, const struct tw_ack_frame *ack, tw_ns now);
/* Loss by time and probe timeouts that are due. */
void tw_recovery_timeout(struct tw_conn *conn, tw_ns now);
tw_ns tw_recovery_deadline(const struct tw_conn *conn);
/* Somebody on the way says that it is open again: while the peer is silent, one probe now. */
void tw_recovery_nudge(struct tw_conn *conn, tw_ns now);

/* conn_path.c */
void tw_conn_path_init(struct tw_conn *conn, const struct tw_path *path, bool validated);
/* A packet with the highest number so far came from @path. */
void tw_conn_path_seen(struct tw_conn *conn, const struct tw_path *path, size_t length, tw_ns now);
void tw_conn_path_challenged(struct tw_conn *conn, const uint8_t *token,
			     const struct tw_path *path);
void tw_conn_path_answered(struct tw_conn *conn, const uint8_t *token, const struct tw_path *path,
			   tw_ns now);
/* @offers: TW_OFFERS_MAX of them. */
void tw_conn_trial_init(struct tw_conn *conn, const struct tw_address *offers, tw_ns now);
/* The next way to ask, if it is time for one; sets @ret_path and the token for its challenge. */
bool tw_conn_trial_next(struct tw_conn *conn, struct tw_path *ret_path, uint8_t *ret_token,
			tw_ns now);
/* Of that challenge. */
size_t tw_conn_trial_size(const struct tw_conn *conn);
/* A PROBE came from another address than the connection goes to: a way to try. False: it is not,
 * and should be answered as any. */
bool tw_conn_path_probed(struct tw_conn *conn, const struct tw_path *path);
/* The responder can be reached without its relay, as it says, and is reached by it. */
bool tw_conn_relayed(const struct tw_conn *conn);
void tw_conn_path_timeout(struct tw_conn *conn, tw_ns now);
tw_ns tw_conn_path_deadline(const struct tw_conn *conn);
/* How many bytes may go out on a path that is not proved yet. */
size_t tw_conn_path_allowance(const struct tw_conn *conn);
