/*
 * sample.h - what the connection tells the path model and the controller each time acknowledgements
 * or losses were processed. One sample a processed ACK (or loss timer), never one a packet.
 * Delivery rates are measured as in draft-cheng-iccrg-delivery-rate-estimation.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

struct tw_rate_sample {
	tw_ns now;
	uint64_t acked_bytes; /* newly acknowledged by this ACK, UDP payload bytes */
	uint64_t acked_packets;
	uint64_t lost_bytes; /* newly declared lost */
	uint64_t lost_packets;
	uint64_t spurious_packets; /* declared lost earlier, acknowledged now */
	uint64_t in_flight_bytes;  /* after this ACK */
	uint64_t in_flight_before; /* when the newest acknowledged packet was sent */
	uint64_t delivered_total;  /* bytes acknowledged since the start */
	uint64_t lost_total;
	/* over the life of the newest acknowledged packet; 0: no sample */
	uint64_t delivery_rate_bps;
	tw_ns delivery_interval; /* what that rate was measured over */
	/* the sender had too little to send: the rate is a lower bound */
	bool app_limited;
	/* a packet sent after the last round's end was acknowledged */
	bool round_start;
	/* of the newest acknowledged packet less the peer's delay; 0: none */
	tw_ns rtt;
	/*
	 * peer's clock at arrival minus our clock at sending, ns; the offset is unknown but steady,
	 * so only differences mean something; INT64_MIN: none
	 */
	int64_t forward_delay;
	tw_ns sent_at;    /* when the packet of rtt and forward_delay was sent */
	tw_ns burst_span; /* time over which this ACK's packets had been sent */
};
