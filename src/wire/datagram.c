#include "wire/datagram.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

/*
 * Everything that stands in front of an INIT's message; and nothing a responder answers may be
 * longer than an INIT.
 */
#define INIT_HEADER_MAX (1 + 4 + 8 + 1 + 1 + TW_COOKIE_SIZE + 2)
#define ACCEPT_HEADER (1 + 4 + 8 + 8 + 1 + 2)
#define RETRY_SIZE (1 + 4 + 8 + TW_COOKIE_SIZE)
#define VERSIONS_HEADER (1 + 8 + 1)

static_assert(INIT_HEADER_MAX + TW_HANDSHAKE_MESSAGE_MAX <= TW_DATAGRAM_INIT_MIN,
	      "every INIT fits 1200 bytes");
static_assert(ACCEPT_HEADER + TW_HANDSHAKE_MESSAGE_MAX <= TW_DATAGRAM_INIT_MIN,
	      "no ACCEPT is longer than an INIT");
static_assert(RETRY_SIZE <= TW_DATAGRAM_INIT_MIN, "no RETRY is longer than an INIT");
static_assert(VERSIONS_HEADER + 4 * TW_VERSIONS_MAX <= TW_DATAGRAM_INIT_MIN,
	      "no VERSIONS is longer than an INIT");

static inline uint32_t load_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t load_u64(const uint8_t *at)
{
	return (uint64_t)load_u32(at) << 32 | load_u32(at + 4);
}

static inline void store_u32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

static inline void store_u64(uint8_t *at, uint64_t value)
{
	store_u32(at, (uint32_t)(value >> 32));
	store_u32(at + 4, (uint32_t)value);
}

/* The u16 length and the bytes behind it, lent. */
static int read_message(struct tw_reader *reader, struct tw_datagram *datagram)
{
	datagram->message_length = tw_read_u16(reader);
	if (datagram->message_length > TW_HANDSHAKE_MESSAGE_MAX)
		return TW_E_FORMAT;
	datagram->message = tw_read_bytes(reader, datagram->message_length);
	return reader->failed ? TW_E_FORMAT : 0;
}

static bool pattern_known(uint8_t pattern)
{
	return pattern == TW_PATTERN_PLAIN || pattern == TW_PATTERN_IK;
}

/* Nothing but zeros up to the end: padding that could be anything would not be protected. */
static int read_padding(struct tw_reader *reader)
{
	size_t length = tw_reader_left(reader);
	const uint8_t *bytes = tw_read_bytes(reader, length);

	/* Each byte is the same as the one before it. */
	return length > 0 && (bytes[0] || memcmp(bytes, bytes + 1, length - 1) != 0) ? TW_E_FORMAT
										     : 0;
}

/* docs/protocol.md, "INIT". */
static int parse_init(struct tw_reader *reader, struct tw_datagram *datagram)
{
	uint8_t cookie_length;
	int error;

	if (tw_reader_left(reader) + 1 < TW_DATAGRAM_INIT_MIN)
		return TW_E_FORMAT;
	datagram->version = tw_read_u32(reader);
	datagram->scid = tw_read_u64(reader);
	if (datagram->version != TW_VERSION_1)
		return 0;
	datagram->pattern = tw_read_u8(reader);
	cookie_length = tw_read_u8(reader);
	if (!pattern_known(datagram->pattern) ||
	    (cookie_length != 0 && cookie_length != TW_COOKIE_SIZE))
		return TW_E_FORMAT;
	if (cookie_length > 0)
		datagram->cookie = tw_read_bytes(reader, cookie_length);
	error = read_message(reader, datagram);
	return error ? error : read_padding(reader);
}

/* docs/protocol.md, "ACCEPT". */
static int parse_accept(struct tw_reader *reader, struct tw_datagram *datagram)
{
	int error;

	datagram->version = tw_read_u32(reader);
	datagram->dcid = tw_read_u64(reader);
	datagram->scid = tw_read_u64(reader);
	datagram->pattern = tw_read_u8(reader);
	error = read_message(reader, datagram);
	if (error)
		return error;
	if (datagram->version != TW_VERSION_1 || !pattern_known(datagram->pattern) ||
	    tw_reader_left(reader) > 0)
		return TW_E_FORMAT;
	return 0;
}

/* docs/protocol.md, "RETRY". */
static int parse_retry(struct tw_reader *reader, struct tw_datagram *datagram)
{
	datagram->version = tw_read_u32(reader);
	datagram->dcid = tw_read_u64(reader);
	datagram->cookie = tw_read_bytes(reader, TW_COOKIE_SIZE);
	if (reader->failed || datagram->version != TW_VERSION_1 || tw_reader_left(reader) > 0)
		return TW_E_FORMAT;
	return 0;
}

/* docs/protocol.md, "VERSIONS". */
static int parse_versions(struct tw_reader *reader, struct tw_datagram *datagram)
{
	datagram->dcid = tw_read_u64(reader);
	datagram->version_count = tw_read_u8(reader);
	if (reader->failed || datagram->version_count == 0 ||
	    datagram->version_count > TW_VERSIONS_MAX ||
	    tw_reader_left(reader) != 4 * datagram->version_count)
		return TW_E_FORMAT;
	for (size_t i = 0; i < datagram->version_count; i++)
		datagram->versions[i] = tw_read_u32(reader);
	return 0;
}

/* docs/protocol.md, "PROBE and ECHO". */
static int parse_probe(struct tw_reader *reader, struct tw_datagram *datagram)
{
	datagram->dcid = tw_read_u64(reader);
	datagram->token = tw_read_bytes(reader, TW_PROBE_TOKEN_SIZE);
	if (reader->failed ||
	    tw_reader_left(reader) !=
		    (datagram->type == TW_DATAGRAM_PROBE ? TW_PROBE_SIZE - TW_ECHO_SIZE : 0))
		return TW_E_FORMAT;
	return read_padding(reader);
}

/* docs/protocol.md, "DISCOVER and DISCOVERED". */
static int parse_discover(struct tw_reader *reader, struct tw_datagram *datagram)
{
	datagram->token = tw_read_bytes(reader, TW_PROBE_TOKEN_SIZE);
	if (reader->failed || tw_reader_left(reader) != TW_DISCOVER_SIZE - 1 - TW_PROBE_TOKEN_SIZE)
		return TW_E_FORMAT;
	return read_padding(reader);
}

static int parse_discovered(struct tw_reader *reader, struct tw_datagram *datagram)
{
	struct tw_address *observed = &datagram->observed;

	datagram->token = tw_read_bytes(reader, TW_PROBE_TOKEN_SIZE);
	observed->family = tw_read_u8(reader);
	if (observed->family != TW_FAMILY_IPV4 && observed->family != TW_FAMILY_IPV6)
		return TW_E_FORMAT;
	tw_read_copy(reader, observed->ip, observed->family == TW_FAMILY_IPV4 ? 4 : 16);
	observed->port = tw_read_u16(reader);
	return reader->failed || tw_reader_left(reader) > 0 ? TW_E_FORMAT : 0;
}

static int (*const parsers[])(struct tw_reader *, struct tw_datagram *) = {
	[TW_DATAGRAM_INIT] = parse_init,         [TW_DATAGRAM_ACCEPT] = parse_accept,
	[TW_DATAGRAM_RETRY] = parse_retry,       [TW_DATAGRAM_VERSIONS] = parse_versions,
	[TW_DATAGRAM_PROBE] = parse_probe,       [TW_DATAGRAM_ECHO] = parse_probe,
	[TW_DATAGRAM_DISCOVER] = parse_discover, [TW_DATAGRAM_DISCOVERED] = parse_discovered,
};

static int parse_handshake(const uint8_t *bytes, size_t length, struct tw_datagram *ret)
{
	struct tw_datagram datagram = { 0 };
	struct tw_reader reader;
	uint8_t type;
	int error;

	tw_reader_init(&reader, bytes, length);
	type = tw_read_u8(&reader);
	if (type >= sizeof parsers / sizeof *parsers || !parsers[type])
		return TW_E_FORMAT;
	datagram.type = (enum tw_datagram_type)type;
	error = parsers[type](&reader, &datagram);
	if (error)
		return error;
	*ret = datagram;
	return 0;
}

int tw_datagram_parse(const uint8_t *bytes, size_t length, struct tw_datagram *ret)
{
	if (length == 0 || length > TW_DATAGRAM_MAX)
		return TW_E_FORMAT;
	if ((bytes[0] & 0xfe) != TW_DATAGRAM_PACKET)
		return parse_handshake(bytes, length, ret);
	/*
	 * docs/protocol.md, "PACKET". The path that every byte of content takes: nothing else of
	 * @ret is touched.
	 */
	if (length < TW_PACKET_MIN)
		return TW_E_FORMAT;
	ret->type = TW_DATAGRAM_PACKET;
	ret->key_phase = bytes[0] & 1;
	ret->dcid = load_u64(bytes + 1);
	ret->packet_number_low = load_u32(bytes + 9);
	ret->header_length = TW_PACKET_HEADER_SIZE;
	return 0;
}

static void write_message(struct tw_writer *writer, const struct tw_datagram *datagram)
{
	assert(datagram->message_length <= TW_HANDSHAKE_MESSAGE_MAX);
	tw_write_u16(writer, (uint16_t)datagram->message_length);
	tw_write_bytes(writer, datagram->message, datagram->message_length);
}

static size_t written(const struct tw_writer *writer)
{
	return writer->failed ? 0 : tw_writer_length(writer);
}

size_t tw_datagram_write_init(const struct tw_datagram *init, uint8_t *bytes, size_t room)
{
	struct tw_writer writer;

	assert(pattern_known(init->pattern));
	tw_writer_init(&writer, bytes, room);
	tw_write_u8(&writer, TW_DATAGRAM_INIT);
	tw_write_u32(&writer, init->version);
	tw_write_u64(&writer, init->scid);
	tw_write_u8(&writer, init->pattern);
	tw_write_u8(&writer, init->cookie ? TW_COOKIE_SIZE : 0);
	if (init->cookie)
		tw_write_bytes(&writer, init->cookie, TW_COOKIE_SIZE);
	write_message(&writer, init);
	if (written(&writer) > 0)
		tw_write_zeros(&writer, TW_DATAGRAM_INIT_MIN - tw_writer_length(&writer));
	return written(&writer);
}

size_t tw_datagram_write_accept(const struct tw_datagram *accept, uint8_t *bytes, size_t room)
{
	struct tw_writer writer;

	assert(pattern_known(accept->pattern));
	tw_writer_init(&writer, bytes, room);
	tw_write_u8(&writer, TW_DATAGRAM_ACCEPT);
	tw_write_u32(&writer, accept->version);
	tw_write_u64(&writer, accept->dcid);
	tw_write_u64(&writer, accept->scid);
	tw_write_u8(&writer, accept->pattern);
	write_message(&writer, accept);
	return written(&writer);
}

size_t tw_datagram_write_retry(const struct tw_datagram *retry, uint8_t *bytes, size_t room)
{
	struct tw_writer writer;

	assert(retry->cookie);
	tw_writer_init(&writer, bytes, room);
	tw_write_u8(&writer, TW_DATAGRAM_RETRY);
	tw_write_u32(&writer, retry->version);
	tw_write_u64(&writer, retry->dcid);
	tw_write_bytes(&writer, retry->cookie, TW_COOKIE_SIZE);
	return written(&writer);
}

size_t tw_datagram_write_versions(const struct tw_datagram *versions, uint8_t *bytes, size_t room)
{
	struct tw_writer writer;

	assert(versions->version_count > 0 && versions->version_count <= TW_VERSIONS_MAX);
	tw_writer_init(&writer, bytes, room);
	tw_write_u8(&writer, TW_DATAGRAM_VERSIONS);
	tw_write_u64(&writer, versions->dcid);
	tw_write_u8(&writer, (uint8_t)versions->version_count);
	for (size_t i = 0; i < versions->version_count; i++)
		tw_write_u32(&writer, versions->versions[i]);
	return written(&writer);
}

size_t tw_datagram_write_probe(const struct tw_datagram *probe, uint8_t *bytes, size_t room)
{
	struct tw_writer writer;

	assert(probe->type == TW_DATAGRAM_PROBE || probe->type == TW_DATAGRAM_ECHO);
	tw_writer_init(&writer, bytes, room);
	tw_write_u8(&writer, (uint8_t)probe->type);
	tw_write_u64(&writer, probe->dcid);
	tw_write_bytes(&writer, probe->token, TW_PROBE_TOKEN_SIZE);
	if (probe->type == TW_DATAGRAM_PROBE)
		tw_write_zeros(&writer, TW_PROBE_SIZE - TW_ECHO_SIZE);
	return written(&writer);
}

size_t tw_datagram_write_discover(const struct tw_datagram *discover, uint8_t *bytes, size_t room)
{
	const struct tw_address *observed = &discover->observed;
	struct tw_writer writer;

	assert(discover->type == TW_DATAGRAM_DISCOVER ||
	       (discover->type == TW_DATAGRAM_DISCOVERED && observed->family != TW_FAMILY_NONE));
	tw_writer_init(&writer, bytes, room);
	tw_write_u8(&writer, (uint8_t)discover->type);
	tw_write_bytes(&writer, discover->token, TW_PROBE_TOKEN_SIZE);
	if (discover->type == TW_DATAGRAM_DISCOVER) {
		tw_write_zeros(&writer, TW_DISCOVER_SIZE - 1 - TW_PROBE_TOKEN_SIZE);
		return written(&writer);
	}
	tw_write_u8(&writer, observed->family);
	tw_write_bytes(&writer, observed->ip, observed->family == TW_FAMILY_IPV4 ? 4 : 16);
	tw_write_u16(&writer, observed->port);
	return written(&writer);
}

size_t tw_datagram_write_packet_header(uint64_t dcid, bool key_phase, uint64_t packet_number,
				       uint8_t *bytes)
{
	bytes[0] = (uint8_t)(TW_DATAGRAM_PACKET | key_phase);
	store_u64(bytes + 1, dcid);
	store_u32(bytes + 9, (uint32_t)packet_number);
	return TW_PACKET_HEADER_SIZE;
}

uint64_t tw_packet_number_expand(uint64_t expected, uint32_t low)
{
	const uint64_t window = UINT64_C(1) << 32, half = window / 2;
	uint64_t candidate = (expected & ~(window - 1)) | low;

	/*
	 * Never past the largest packet number, never below zero: there the one candidate left is
	 * the answer.
	 */
	if (candidate < expected && expected - candidate >= half &&
	    candidate <= TW_VARINT_MAX - window)
		return candidate + window;
	if ((candidate > TW_VARINT_MAX || (candidate > expected && candidate - expected > half)) &&
	    candidate >= window)
		return candidate - window;
	return candidate;
}
