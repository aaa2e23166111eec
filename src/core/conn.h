/*
 * conn.h - one connection: two machines that know each other's keys, packets between them, what is
 * known of the path.
 *
 * Sans-IO: datagrams and the time go in, trains of datagrams and a deadline come out. A connection
 * carries
 *   - DATA: pieces of tapes, unordered and unbuffered. The application is asked for the next piece
 *     when one may be sent, and is told of each piece when it is acknowledged or lost (a lost piece
 *     is the application's to offer again);
 *   - streams: ordered reliable bytes, one direction each, for control messages, manifests and
 *     digests. Both sides number their own. Each is buffered up to TW_STREAM_BUFFER bytes at either
 *     end.
 * Acknowledgement, loss detection (RFC 9002, RFC 8985), pacing, rate control, path MTU (RFC 8899),
 * key update, address changes and keep-alive happen inside.
 *
 * Connections are made and owned by an endpoint (endpoint.h). The application's functions are
 * called from inside tw_endpoint_receive(), tw_endpoint_send() and tw_endpoint_timeout(); they may
 * call any tw_conn_ function.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/secret.h"
#include "base/time.h"
#include "crypto/cipher.h"
#include "rate/controller.h"
#include "wire/params.h"

#define TW_STREAM_BUFFER ((size_t)256 << 10)
#define TW_STREAMS_MAX 1024      /* open at a time, each direction */
#define TW_STREAMS_OVER_MAX 4096 /* stretches of numbers of ended ones that are remembered */
#define TW_DATA_WINDOW_INITIAL (UINT64_C(32) << 20)

struct tw_conn;
struct tw_endpoint;

/* A piece of a tape under way. */
struct tw_data_ref {
	/* number of the transfer within this connection, below 2^30 */
	uint64_t transfer;
	uint64_t offset;
	uint64_t length;
};

/* What happened to a connection for good. */
enum tw_conn_end {
	TW_CONN_CLOSED_LOCAL = 0, /* tw_conn_close() */
	TW_CONN_CLOSED_PEER,      /* the peer said CLOSE: code and reason */
	/* silence for longer than the idle time, or no answer to the handshake */
	TW_CONN_TIMEOUT,
	TW_CONN_UNREACHABLE, /* the network said so during the handshake */
	TW_CONN_NOT_AUTHORIZED,
	TW_CONN_CIPHER_TOO_WEAK,
	TW_CONN_VERSION,
	TW_CONN_BUSY,
	TW_CONN_PROTOCOL,  /* the peer broke the protocol */
	TW_CONN_RESOURCES, /* no memory */
};

/* What a connection tells and asks its application. Any may be NULL: nothing happens then, there is
 * no data to send, and none that comes is taken. */
struct tw_conn_app {
	/* The handshake is done: for the accepting side, the peer has shown its keys. */
	void (*established)(void *app, struct tw_conn *conn);
	/*
	 * The last call for this connection, which is gone right behind it. Every piece in flight
	 * counts as lost, untold.
	 */
	void (*closed)(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
		       const char *reason);
	/*
	 * The next piece to send: fills @ret with transfer, offset and how many bytes are there in
	 * a row; nothing is taken yet. False: nothing to send now (tw_conn_wake() when that
	 * changes).
	 */
	bool (*data_next)(void *app, struct tw_conn *conn, struct tw_data_ref *ret);
	/*
	 * Takes the piece (at most as long as data_next() offered), which counts as sent. Returns
	 * its bytes, lent until the application is called again.
	 */
	const uint8_t *(*data_take)(void *app, struct tw_conn *conn,
				    const struct tw_data_ref *piece);
	void (*data_acked)(void *app, struct tw_conn *conn, const struct tw_data_ref *piece);
	/* May be called for a piece that is acknowledged later after all. */
	void (*data_lost)(void *app, struct tw_conn *conn, const struct tw_data_ref *piece);
	/*
	 * A piece has arrived; @bytes is lent for the call (or longer, by agreement with whoever
	 * handed the datagram in). The application must count it with tw_conn_data_consumed() when
	 * its memory is free again, duplicates too. May repeat, in any order. False: it must not be
	 * acknowledged (there is no room for it now): the datagram is treated as if it had not
	 * come.
	 */
	bool (*data_received)(void *app, struct tw_conn *conn, const struct tw_data_ref *piece,
			      const uint8_t *bytes);
	/* New bytes can be read from @stream, or its end has been reached. */
	void (*stream_readable)(void *app, struct tw_conn *conn, uint64_t stream);
	/* A full send buffer has room again. */
	void (*stream_writable)(void *app, struct tw_conn *conn, uint64_t stream);
};

struct tw_conn_config {
	enum tw_rate_method method;
	struct tw_rate_limits limits;
	tw_ns idle_timeout; /* closed after so long without anything new from the peer; 0: 30 s */
	/* a PING after so long without sending; 0: a third of idle_timeout */
	tw_ns keep_alive;
	/* most bytes of DATA that may be on their way to us; 0: 256 MiB */
	uint64_t data_window_max;
	/* admit(): so many at first, at least 64 KiB; 0: TW_DATA_WINDOW_INITIAL */
	uint64_t data_window;
	uint32_t datagram_max; /* longest UDP payload to try; 0: TW_DATAGRAM_MAX */
	tw_ns rtt_hint;        /* 0: unknown */
	/* what an earlier connection there left (tw_conn_info), its age filled in; rate 0: none */
	struct tw_rate_hint hint;
	/* The carrier's own mark, to tell by tw_conn_tag() whose datagrams these are. */
	uint64_t tag;
	/* Which lane of another connection it is, as the initiator says; 0: none. */
	unsigned lane;
};

/* Streams. */

/*
 * Queues bytes, as many as fit; returns how many. 0 when the buffer is full (stream_writable()
 * follows).
 */
size_t tw_conn_stream_write(struct tw_conn *conn, uint64_t stream, const void *bytes,
			    size_t length);
size_t tw_conn_stream_room(struct tw_conn *conn, uint64_t stream);
/* No more will be written to @stream. Its memory is freed when all has been acknowledged. */
void tw_conn_stream_finish(struct tw_conn *conn, uint64_t stream);
/* As tw_conn_stream_finish(), but what has not left yet need not leave: the stream ends there. */
void tw_conn_stream_cut(struct tw_conn *conn, uint64_t stream);
/*
 * Takes up to @room bytes in order; 0: none now. @ret_ended (may be NULL): all has been read and
 * the peer has finished.
 */
size_t tw_conn_stream_read(struct tw_conn *conn, uint64_t stream, void *bytes, size_t room,
			   bool *ret_ended);
/* Everything written to @stream so far has been acknowledged. */
bool tw_conn_stream_flushed(struct tw_conn *conn, uint64_t stream);
/* How many bytes have been written to @stream, and up to where all is acknowledged; 0: no such
 * stream (any more). */
uint64_t tw_conn_stream_written(const struct tw_conn *conn, uint64_t stream);
uint64_t tw_conn_stream_acked(const struct tw_conn *conn, uint64_t stream);
/* How many bytes of @stream wait to be sent for the first time. */
uint64_t tw_conn_stream_unsent(const struct tw_conn *conn, uint64_t stream);

/* Data. */

/* data_next() has something again. */
void tw_conn_wake(struct tw_conn *conn);
/* @bytes of received DATA no longer take memory: the peer may send as many more. */
void tw_conn_data_consumed(struct tw_conn *conn, uint64_t bytes);

/* Control. */

/*
 * An initiator's connection goes on over @remote, which leads to the same peer, as the caller knows
 * (another way to the relay on the way there). Nothing of it is lost but what is under way.
 */
void tw_conn_go_to(struct tw_conn *conn, const struct tw_address *remote, tw_ns now);
/* Live change of method and limits, in effect with the next datagram. */
void tw_conn_set_rate(struct tw_conn *conn, enum tw_rate_method method,
		      const struct tw_rate_limits *limits, tw_ns now);
/*
 * Says CLOSE (again with every datagram that still comes, for a while) and ends; closed() is called
 * from the endpoint.
 */
void tw_conn_close(struct tw_conn *conn, uint64_t code, const char *reason);
void *tw_conn_app_context(const struct tw_conn *conn);
uint64_t tw_conn_tag(const struct tw_conn *conn);
/* For the accepting side: sets what the endpoint's accept() could not know yet. */
void tw_conn_set_app(struct tw_conn *conn, const struct tw_conn_app *app, void *context);

enum tw_conn_state {
	TW_CONN_CONNECTING, /* handshake under way */
	TW_CONN_ESTABLISHED,
	TW_CONN_CLOSING, /* CLOSE said or heard, kept to answer stray datagrams */
	TW_CONN_GONE,
};

/* All that a snapshot shows of a connection. */
struct tw_conn_info {
	enum tw_conn_state state;
	uint64_t id; /* our connection id */
	struct tw_path path;
	struct tw_address observed; /* how the responder saw us; family NONE: it did not say */
	struct tw_public_key peer_key;
	enum tw_cipher cipher;
	enum tw_aead aead;
	uint8_t peer_server_id[TW_ID_SIZE], peer_server_uid[TW_ID_SIZE];
	tw_ns established_at, last_sent_at, last_received_at; /* 0: never */
	/* oldest unanswered datagram that asks for an answer; TW_NEVER: none */
	tw_ns silent_since;
	bool relayed; /* by the responder's relay, whose address @path has */
	tw_ns rtt_smoothed, rtt_min, queue_delay; /* 0: unknown */
	uint64_t pacing_bps, bandwidth_bps;
	double loss;             /* share of packets, smoothed */
	uint32_t datagram_bytes; /* path MTU: UDP payload of a full datagram */
	uint64_t window_bytes, in_flight_bytes;
	uint64_t packets_sent, packets_received, packets_lost, packets_spurious;
	uint64_t bytes_sent, bytes_received; /* UDP payload */
	uint64_t data_bytes_sent, data_bytes_acked, data_bytes_lost, data_bytes_received;
	uint64_t acks_sent, forged;
	uint64_t key_updates;
	enum tw_rate_method method;
	struct tw_rate_limits limits;
	struct tw_rate_hint hint; /* for the next connection there: also valid inside closed() */
	bool app_limited, window_limited, data_blocked;
};
void tw_conn_info(const struct tw_conn *conn, struct tw_conn_info *ret);
