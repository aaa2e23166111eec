/*
 * params.h - what each side tells the other inside the handshake: a row of { id | length | value },
 * all three in variable-length form. Unknown ids are passed over, so that later versions can add
 * some; a known id that appears twice or has a wrong length is an error. Normative text:
 * docs/protocol.md, section "Parameters".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_ID_SIZE 16
/* Addresses a responder offers: each 16 bytes (IPv4-mapped or IPv6) and a port; zeros: none. */
#define TW_OFFERS_MAX 4
#define TW_OFFER_SIZE 18

/* Bounds: what lies outside is TW_E_FORMAT when read and a bug of the caller when written. */
#define TW_PARAM_STATUS_MAX 63 /* a status that is not known is a refusal */
#define TW_PARAM_CIPHER_MAX 3  /* enum tw_cipher */
#define TW_PARAM_DATAGRAM_LEAST 1200
#define TW_PARAM_DATAGRAM_MOST 65527 /* of any UDP datagram; the sender keeps its own limit too */
#define TW_PARAM_ACK_DELAY_MAX_US 1000000
#define TW_PARAM_LANE_MAX 7

/* What holds where the peer says nothing; all others are 0. */
#define TW_PARAM_CIPHER_DEFAULT 2 /* TW_CIPHER_128 */
#define TW_PARAM_AEAD_DEFAULT 2   /* TW_AEAD_CHACHA20_POLY1305: every machine has it */
#define TW_PARAM_ACK_DELAY_DEFAULT_US 25000

/* No result of tw_params_write() is longer. */
#define TW_PARAMS_SIZE_MAX 239

enum tw_param {
	TW_PARAM_STATUS = 0x01,        /* ACCEPT only: enum tw_handshake_status */
	TW_PARAM_CIPHER = 0x02,        /* INIT: the wished level; ACCEPT: the level in force */
	TW_PARAM_CIPHER_MIN = 0x03,    /* the least this side accepts */
	TW_PARAM_AEAD = 0x04,          /* INIT: set of enum tw_aead it does well; ACCEPT: the one */
	TW_PARAM_DATA_WINDOW = 0x05,   /* initial DATA_WINDOW */
	TW_PARAM_STREAM_WINDOW = 0x06, /* initial window of every stream */
	TW_PARAM_DATAGRAM_MAX = 0x07,  /* the longest UDP payload this side takes */
	TW_PARAM_SERVER_ID = 0x08,     /* 16 bytes, new at every launch */
	TW_PARAM_SERVER_UID = 0x09,    /* 16 bytes, persistent */
	TW_PARAM_ACK_DELAY = 0x0a,     /* the longest it holds an acknowledgement back, us */
	TW_PARAM_OBSERVED_PORT = 0x0b, /* ACCEPT: the peer's port as this side sees it */
	TW_PARAM_TIME = 0x0c,          /* INIT: microseconds since 1970, a hint against replays */
	TW_PARAM_OBSERVED_IP = 0x0d,   /* ACCEPT: the peer's address as this side sees it */
	TW_PARAM_OFFERS = 0x0e,        /* ACCEPT: where else this side may be reached */
	TW_PARAM_LANE = 0x0f,          /* INIT: the number of this lane; 0: it is none */
};

enum tw_handshake_status {
	TW_HANDSHAKE_OK = 0,
	TW_HANDSHAKE_NOT_AUTHORIZED = 1,
	TW_HANDSHAKE_CIPHER_TOO_WEAK = 2,
	TW_HANDSHAKE_BUSY = 3,
};

struct tw_params {
	uint64_t status;
	uint64_t cipher, cipher_min; /* enum tw_cipher */
	uint64_t aead;
	uint64_t data_window, stream_window;
	uint64_t datagram_max;
	uint64_t ack_delay_us;
	uint64_t observed_port;
	uint64_t time_us;
	uint8_t server_id[TW_ID_SIZE], server_uid[TW_ID_SIZE];
	uint8_t observed_ip[TW_ID_SIZE]; /* IPv6, or IPv4-mapped; zeros: not told */
	uint8_t offers[TW_OFFERS_MAX * TW_OFFER_SIZE];
	uint64_t lane;
};

/* The values that hold where the peer says nothing. */
void tw_params_init(struct tw_params *params);
/* Writes all of them. Returns the length, 0 when @room does not suffice. */
size_t tw_params_write(const struct tw_params *params, uint8_t *bytes, size_t room);
/* TW_E_FORMAT as told above, or a value out of its bounds. @ret starts from tw_params_init(). */
int tw_params_read(const uint8_t *bytes, size_t length, struct tw_params *ret);
