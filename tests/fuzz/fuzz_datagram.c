/* Any bytes as a datagram: what is taken is written again and taken again as the same. */
#include "fuzz.h"

#include "wire/datagram.h"

static bool lent_same(const uint8_t *a, const uint8_t *b, size_t length)
{
	return (!a && !b) || (a && b && memcmp(a, b, length) == 0);
}

/* Lent bytes lie inside the datagram. */
static void check_lent(const uint8_t *data, size_t size, const uint8_t *lent, size_t length)
{
	CHECK(!lent || (lent >= data && length <= size && lent <= data + size - length));
}

static size_t again(const struct tw_datagram *datagram, uint8_t *bytes, size_t room)
{
	switch (datagram->type) {
	case TW_DATAGRAM_INIT:
		return tw_datagram_write_init(datagram, bytes, room);
	case TW_DATAGRAM_ACCEPT:
		return tw_datagram_write_accept(datagram, bytes, room);
	case TW_DATAGRAM_RETRY:
		return tw_datagram_write_retry(datagram, bytes, room);
	case TW_DATAGRAM_VERSIONS:
		return tw_datagram_write_versions(datagram, bytes, room);
	case TW_DATAGRAM_PROBE:
	case TW_DATAGRAM_ECHO:
		return tw_datagram_write_probe(datagram, bytes, room);
	case TW_DATAGRAM_DISCOVER:
	case TW_DATAGRAM_DISCOVERED:
		return tw_datagram_write_discover(datagram, bytes, room);
	case TW_DATAGRAM_PACKET:
		return tw_datagram_write_packet_header(datagram->dcid, datagram->key_phase,
						       datagram->packet_number_low, bytes);
	}
	abort(); /* a type that the parser does not know */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tw_datagram first = { 0 }, second = { 0 };
	uint8_t bytes[TW_DATAGRAM_INIT_MIN];
	size_t length;

	if (tw_datagram_parse(data, size, &first) != 0)
		return 0;
	check_lent(data, size, first.cookie, TW_COOKIE_SIZE);
	check_lent(data, size, first.message, first.message_length);
	check_lent(data, size, first.token, TW_PROBE_TOKEN_SIZE);
	if (first.type == TW_DATAGRAM_INIT && first.version != TW_VERSION_1)
		return 0;
	length = again(&first, bytes, sizeof bytes);
	/* No answer is longer than an INIT, and what has no padding comes out as it went in. */
	CHECK(length > 0 && length <= sizeof bytes);
	if (first.type == TW_DATAGRAM_PACKET) {
		CHECK(length <= size && memcmp(data, bytes, length) == 0);
		return 0;
	}
	CHECK(first.type == TW_DATAGRAM_INIT ? size >= length : size == length);
	CHECK(memcmp(data, bytes, length) == 0);
	CHECK(tw_datagram_parse(bytes, length, &second) == 0);
	CHECK(first.type == second.type && first.version == second.version &&
	      first.dcid == second.dcid && first.scid == second.scid &&
	      first.pattern == second.pattern && first.message_length == second.message_length &&
	      first.version_count == second.version_count);
	CHECK(lent_same(first.cookie, second.cookie, TW_COOKIE_SIZE));
	CHECK(lent_same(first.message, second.message, first.message_length));
	CHECK(memcmp(first.versions, second.versions, sizeof first.versions) == 0);
	return 0;
}
