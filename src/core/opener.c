#include "core/opener.h"

#include "wire/datagram.h"

enum tw_opening tw_opener_open(struct tw_open_copy *copy, uint64_t dcid, uint64_t expected,
			       uint8_t *bytes, size_t length)
{
	struct tw_datagram datagram;
	uint64_t number;

	if (tw_datagram_parse(bytes, length, &datagram) || datagram.type != TW_DATAGRAM_PACKET ||
	    datagram.dcid != dcid || datagram.key_phase != tw_open_copy_phase(copy))
		return TW_OPENING_LEFT;
	number = tw_packet_number_expand(expected, datagram.packet_number_low);
	return tw_open_by_copy(copy, number, bytes, datagram.header_length,
			       bytes + datagram.header_length, length - datagram.header_length)
		       ? TW_OPENING_FORGED
		       : TW_OPENING_DONE;
}
