/*
 * opener.h - one packet opened away from its endpoint, on another thread: what costs most of
 * receiving on a fast path. Only its bytes and a copy of the connection's present key are touched.
 * Repeats, frames and acknowledgements stay the endpoint's matter, which is told what was found
 * (tw_endpoint_receive_opened()), in the order in which the datagrams came.
 *
 * Whatever is not plainly a packet of that connection and phase is left as it is: the endpoint
 * deals with it as with any. So a new key, a handshake or another connection costs nobody anything
 * but the help.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "crypto/protect.h"

enum tw_opening {
	TW_OPENING_LEFT = 0, /* untouched */
	TW_OPENING_DONE,     /* genuine; the payload is clear */
	TW_OPENING_FORGED,   /* the payload's bytes are undefined */
};

/*
 * @dcid: the connection's id here; @expected: a packet number that it has seen lately, or the next
 * one (tw_endpoint_open_copy()): low halves of numbers are completed by it, and nothing under way
 * at the same time lies 2^31 packets from it.
 */
enum tw_opening tw_opener_open(struct tw_open_copy *copy, uint64_t dcid, uint64_t expected,
			       uint8_t *bytes, size_t length);
