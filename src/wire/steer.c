#include "wire/steer.h"

#include "base/bytes.h"
#include "wire/datagram.h"

/* Of the word that steers; 0: it has none. */
static size_t word_at(uint8_t type)
{
	switch (type) {
	case TW_DATAGRAM_INIT:
	case TW_DATAGRAM_ACCEPT:
	case TW_DATAGRAM_RETRY:
		return TW_STEER_LONG_AT;
	case TW_DATAGRAM_VERSIONS:
	case TW_DATAGRAM_PROBE:
	case TW_DATAGRAM_ECHO:
	case TW_DATAGRAM_PACKET:
	case TW_DATAGRAM_PACKET | 1:
		return TW_STEER_AT;
	default:
		return 0;
	}
}

unsigned tw_steer(const uint8_t *bytes, size_t length, unsigned places)
{
	size_t at = length ? word_at(bytes[0]) : 0;
	struct tw_reader reader;

	if (!at || length < at + 4)
		return 0;
	tw_reader_init(&reader, bytes + at, 4);
	return tw_read_u32(&reader) % places;
}

bool tw_steer_leads(uint64_t cid, unsigned place, unsigned places)
{
	return (uint32_t)(cid >> 32) % places == place;
}
