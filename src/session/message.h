/*
 * message.h - what the two sides of a session say to each other on stream 0. Pure functions between
 * bytes and structs. Normative text: docs/protocol.md, section "Session messages".
 *
 * A message is { length | type | body }, integers in variable-length form; the length counts type
 * and body and is at most TW_MESSAGE_MAX. Every body but that of HELLO begins with the number of
 * the transfer within the connection (of LIMIT and LANE: 0). A type that is not known is passed
 * over, and so is what stands behind the known fields of a body, so that later versions can add
 * some. Text is { length | bytes } and cleaned before a person sees it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/ranges.h"
#include "content/sink.h"
#include "content/source.h"
#include "wire/params.h"

#define TW_SESSION_VERSION 1
#define TW_MESSAGE_MAX ((size_t)65536)
/* What one message takes on the stream at most. */
#define TW_MESSAGE_ROOM (TW_MESSAGE_MAX + 8)
#define TW_MESSAGE_RANGES_MAX 2048
#define TW_MESSAGE_TEXT_MAX 1024
#define TW_SESSION_TRANSFERS_MAX 64 /* of one connection, live at a time */
#define TW_SESSION_NUMBER_MAX ((UINT64_C(1) << 30) - 1)
/* DATA below this offset of a tape may come before READY, over the first connection. */
#define TW_SESSION_EARLY_MAX (UINT64_C(256) << 10)
#define TW_CHECKPOINT_SECONDS_MAX 86400
#define TW_LANES_MAX TW_PARAM_LANE_MAX /* beside one connection */
#define TW_LANE_TOKEN_SIZE 16

/* Streams. */
#define TW_STREAM_CONTROL UINT64_C(0)
#define TW_STREAM_MANIFEST(k) (1 + 2 * (uint64_t)(k))
#define TW_STREAM_DIGESTS(k) (2 + 2 * (uint64_t)(k))
/* The transfer of a stream other than the control stream. */
#define TW_STREAM_TRANSFER(stream) (((stream)-1) / 2)

/* Codes of CLOSE. Below 0x100 they belong to the transport. */
enum tw_session_close {
	TW_SESSION_CLOSE_DONE = 0x100, /* nothing more to do */
	TW_SESSION_CLOSE_REPLACED,     /* the peer is served over another connection now */
	TW_SESSION_CLOSE_FORMAT,       /* a message breaks the format or a limit */
	TW_SESSION_CLOSE_ORDER,        /* a message that has no place here */
	TW_SESSION_CLOSE_VERSION,      /* no session version in common */
	TW_SESSION_CLOSE_RESOURCES,
	TW_SESSION_CLOSE_STOPPING, /* the program ends */
};

enum tw_message_type {
	TW_MESSAGE_HELLO = 1,  /* both: first on the stream */
	TW_MESSAGE_OFFER = 2,  /* sender */
	TW_MESSAGE_ANSWER = 3, /* receiver: to OFFER */
	TW_MESSAGE_HELD = 4,   /* receiver: ranges of the tape that need not be sent */
	TW_MESSAGE_READY =
		5, /* receiver: DATA below this offset is taken; HELD ranges below have been told */
	TW_MESSAGE_TOTAL = 6,     /* sender: how much there is, so far or for good */
	TW_MESSAGE_HOLE = 7,      /* sender: zeros */
	TW_MESSAGE_ABANDON = 8,   /* sender: this entry cannot be sent */
	TW_MESSAGE_SHA256 = 9,    /* sender: of a whole file */
	TW_MESSAGE_AGAIN = 10,    /* receiver: ranges that failed their digest and are owed again */
	TW_MESSAGE_PROGRESS = 11, /* receiver: about four times a second, when something changed */
	TW_MESSAGE_PROBLEM = 12,  /* receiver: an entry failed */
	TW_MESSAGE_DONE = 13,     /* receiver: the transfer is over, well or not */
	TW_MESSAGE_DONE_ACK = 14, /* sender: to DONE */
	TW_MESSAGE_CANCEL = 15,   /* sender: the transfer is over, or goes on another time */
	TW_MESSAGE_LIMIT = 16,    /* receiver: the highest rate it wants of this connection */
	TW_MESSAGE_LANE = 17,     /* lane: whose it is; the only message there */
	TW_MESSAGE_MISSED = 18,   /* receiver: came over a lane and could not be kept */
};
#define TW_MESSAGE_LAST TW_MESSAGE_MISSED

enum tw_answer_flags {
	TW_ANSWER_LIVE =
		1, /* the receiver still has the manifest and all digests that reached it */
};

enum tw_offer_flags {
	TW_OFFER_READ = 1,
	TW_OFFER_WRITE = 2,
	TW_OFFER_SHA256 = 4,
};

struct tw_message_text {
	const char *bytes; /* lent, not terminated */
	size_t length;
};

/* Counters of the receiver. */
struct tw_message_progress {
	uint64_t bytes_received, bytes_durable, bytes_held;
	uint64_t files_done, files_skipped, files_failed;
};

struct tw_message {
	enum tw_message_type type;
	uint64_t transfer;
	union {
		struct {
			uint64_t version;
			bool ids_known;
			uint8_t server_id[TW_ID_SIZE], server_uid[TW_ID_SIZE];
			/* That it takes beside this connection; 0: none. A later version may say
			 * more than TW_LANES_MAX. */
			uint64_t lanes;
			uint8_t lane_token[TW_LANE_TOKEN_SIZE];
		} hello;
		struct {
			uint8_t key[TW_TRANSFER_KEY_SIZE];
			/* Which run of the sender: only the same run may go on with a receiver's
			 * live transfer. */
			uint64_t instance;
			uint64_t attempt; /* 0: the first connection of this run */
			uint64_t overwrite;
			uint64_t flags; /* enum tw_offer_flags */
			uint64_t checkpoint_seconds;
			struct tw_message_text destination;
		} offer;
		struct {
			uint64_t error; /* enum tw_transfer_error; 0: accepted */
			uint64_t flags; /* enum tw_answer_flags */
			struct tw_message_text text;
		} answer;
		struct {
			uint64_t offset;
		} ready;
		struct {
			uint64_t bytes, files, entries, chunks;
			bool final;
		} total;
		struct tw_range hole;
		struct {
			uint64_t entry;
			int error;
			struct tw_range range; /* of the tape; empty: start equals end */
		} abandon;
		struct {
			uint64_t entry;
			uint8_t digest[32];
		} sha256;
		/* HELD, AGAIN, MISSED. Reading: the bytes are lent, taken out with
		 * tw_message_next_range(). */
		struct {
			uint64_t count;
			struct tw_reader reader;
			uint64_t behind;           /* end of the range before */
			const struct tw_range *at; /* writing */
		} ranges;
		struct tw_message_progress progress;
		struct {
			uint64_t entry;
			int error;
			struct tw_message_text path;
		} problem;
		struct {
			uint64_t error; /* enum tw_transfer_error */
			struct tw_message_progress progress;
			struct tw_digest digest;
			struct tw_message_text text;
		} done;
		struct {
			uint64_t error;
			struct tw_message_text text;
			bool paused; /* it goes on another time */
		} cancel;
		struct {
			uint64_t max_bps; /* 0: no limit */
		} limit;
		struct {
			uint8_t token[TW_LANE_TOKEN_SIZE]; /* as HELLO told it */
		} lane;
	};
};

/*
 * Writes the whole message, length included. Returns how many bytes, 0 when @room does not suffice
 * or a value is out of its bounds. Ranges must ascend and not touch; text above its limit is cut.
 */
size_t tw_message_write(const struct tw_message *message, uint8_t *bytes, size_t room);

/*
 * Reads the next message out of @length bytes; *@ret_length: how many it took. TW_E_AGAIN: not all
 * of it is there yet. TW_E_END: a message of an unknown type, pass over it. TW_E_FORMAT: cut off
 * inside, too long, a number out of its bounds: the connection must be closed. Every range is
 * checked: 0 <= start < end <= TW_VARINT_MAX, ascending.
 */
int tw_message_read(const uint8_t *bytes, size_t length, struct tw_message *ret,
		    size_t *ret_length);

/* Takes the next range out of a HELD, AGAIN or MISSED that was read. False: no more. */
bool tw_message_next_range(struct tw_message *message, struct tw_range *ret);

/* Records of a digest stream: first chunk | count (1 to TW_DIGEST_RECORD_CHUNKS) | count * 16
 * bytes. */
#define TW_DIGEST_RECORD_CHUNKS 1024
#define TW_DIGEST_RECORD_MAX (16 + (size_t)TW_DIGEST_RECORD_CHUNKS * TW_DIGEST_SIZE)
/* Returns how many bytes, 0 when @room does not suffice. */
size_t tw_digest_record_write(uint64_t chunk_first, const struct tw_digest *digests, size_t count,
			      uint8_t *bytes, size_t room);
struct tw_digest_record {
	uint64_t chunk_first;
	size_t count;
	const uint8_t *digests; /* lent: count * 16 bytes */
};
/* As tw_message_read(): 0, TW_E_AGAIN, TW_E_FORMAT. */
int tw_digest_record_read(const uint8_t *bytes, size_t length, struct tw_digest_record *ret,
			  size_t *ret_length);
