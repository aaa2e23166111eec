/*
 * datagram.h - the outermost layer: what a UDP payload looks like before anything is decrypted.
 *
 * The first byte is the type. Pure functions over bytes: they parse what is public, check every
 * length, and write headers; keys, frames and state belong to others. All integers are big-endian.
 * Normative text: docs/protocol.md, section "Datagrams".
 *
 *   INIT      u8 type | u32 version | u64 source cid | u8 pattern | u8 cookie length (0 or 16)
 *             | cookie | u16 message length | message | zeros up to at least 1200 bytes
 *   ACCEPT    u8 type | u32 version | u64 destination cid | u64 source cid | u8 pattern
 *             | u16 message length | message
 *   RETRY     u8 type | u32 version | u64 destination cid | cookie (16)
 *   VERSIONS  u8 type | u64 destination cid | u8 count | u32 version ...
 *   PROBE     u8 type | u64 cid of the side that is asked | token (8) | 7 zeros
 *   ECHO      u8 type | u64 cid, token as in the PROBE
 *   DISCOVER  u8 type | token (8) | zeros up to exactly 64 bytes
 *   DISCOVERED  u8 type | token as in the DISCOVER | u8 family (4 or 6) | address | u16 port
 *   PACKET    u8 type (0x10, bit 0: key phase) | u64 destination cid
 *             | u32 packet number, low 32 bits | payload | tag
 *
 * PACKET has 13 bytes of header and 16 of tag (8 of checksum where encryption is off): with a DATA
 * frame in front of the content at most 39 bytes of overhead.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

#define TW_VERSION_1 UINT32_C(0x54570001)

#define TW_DATAGRAM_INIT_MIN 1200 /* so that no answer can be longer than the question */
#define TW_DATAGRAM_MAX 8972      /* UDP payload of a 9000-byte IPv4 packet */
#define TW_COOKIE_SIZE 16
#define TW_PROBE_TOKEN_SIZE 8
#define TW_PROBE_SIZE 24 /* longer than its answer */
#define TW_ECHO_SIZE (1 + 8 + TW_PROBE_TOKEN_SIZE)
#define TW_DISCOVER_SIZE 64 /* longer than any answer */
#define TW_PACKET_HEADER_SIZE 13
/* One byte of frames and the shortest tag. */
#define TW_PACKET_MIN (TW_PACKET_HEADER_SIZE + 1 + 8)
#define TW_VERSIONS_MAX 8
#define TW_HANDSHAKE_MESSAGE_MAX 1024

enum tw_datagram_type {
	TW_DATAGRAM_INIT = 0x01,
	TW_DATAGRAM_ACCEPT = 0x02,
	TW_DATAGRAM_RETRY = 0x03,
	TW_DATAGRAM_VERSIONS = 0x04,
	TW_DATAGRAM_PROBE = 0x05,
	TW_DATAGRAM_ECHO = 0x06,
	TW_DATAGRAM_DISCOVER = 0x07,
	TW_DATAGRAM_DISCOVERED = 0x08,
	TW_DATAGRAM_PACKET = 0x10, /* 0x11 with the key phase set */
};

/* How the handshake is done. */
enum tw_pattern {
	TW_PATTERN_PLAIN = 0, /* no keys: the message is the bare parameters; cipher `none` only */
	TW_PATTERN_IK = 1,    /* Noise_IK_25519_AESGCM_SHA256 */
};

struct tw_datagram {
	enum tw_datagram_type type;
	uint32_t version;
	uint64_t dcid, scid;
	uint8_t pattern;
	const uint8_t *cookie;  /* 16 bytes lent from the datagram, or NULL */
	const uint8_t *message; /* lent */
	size_t message_length;
	const uint8_t *token;       /* PROBE, ECHO, DISCOVER, DISCOVERED: 8 bytes lent */
	struct tw_address observed; /* DISCOVERED: where the DISCOVER came from */
	uint32_t versions[TW_VERSIONS_MAX];
	size_t version_count;
	/* PACKET only */
	bool key_phase;
	uint32_t packet_number_low;
	size_t header_length; /* what is authenticated but not encrypted */
};

/*
 * Takes apart the datagram of @length bytes. For an INIT of an unknown version only type, version
 * and scid are set (the rest of its layout may differ) and the rest is zero. For a PACKET only
 * type, dcid, key_phase, packet_number_low and header_length are set and the rest is left as it
 * was, for speed; in all others the fields they lack are zero. TW_E_FORMAT: not ours, drop it in
 * silence; @ret is untouched.
 */
int tw_datagram_parse(const uint8_t *bytes, size_t length, struct tw_datagram *ret);

/*
 * Each returns the length written, 0 when @room does not suffice. An INIT is padded to exactly 1200
 * bytes. The packet header always takes TW_PACKET_HEADER_SIZE; the caller has seen to the room.
 */
size_t tw_datagram_write_init(const struct tw_datagram *init, uint8_t *bytes, size_t room);
size_t tw_datagram_write_accept(const struct tw_datagram *accept, uint8_t *bytes, size_t room);
size_t tw_datagram_write_retry(const struct tw_datagram *retry, uint8_t *bytes, size_t room);
size_t tw_datagram_write_versions(const struct tw_datagram *versions, uint8_t *bytes, size_t room);
/* A PROBE or an ECHO, as @probe->type says. */
size_t tw_datagram_write_probe(const struct tw_datagram *probe, uint8_t *bytes, size_t room);
/* As @discover->type says. */
size_t tw_datagram_write_discover(const struct tw_datagram *discover, uint8_t *bytes, size_t room);
size_t tw_datagram_write_packet_header(uint64_t dcid, bool key_phase, uint64_t packet_number,
				       uint8_t *bytes);

/*
 * The full packet number whose low 32 bits are @low and that lies closest to @expected, the largest
 * received plus one (RFC 9000, appendix A.3).
 */
uint64_t tw_packet_number_expand(uint64_t expected, uint32_t low);
