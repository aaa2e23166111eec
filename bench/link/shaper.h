/*
 * shaper.h - one direction of the link: says of each packet whether it arrives, when, and how
 * often.
 *
 * Model: a transmitter of rate_bps behind a first-in first-out queue with tail drop, then a line
 * with delay and faults. A packet occupies the transmitter for its Ethernet frame: IP length + 14
 * bytes (preamble, gap and check sequence are not counted), so 500 Mbit/s carry 478 Mbit/s of TCP
 * payload in 1500-byte packets. Losses happen on the line: a lost packet has used its share of the
 * rate. The queue is not a list: its length follows from the time at which the transmitter will be
 * free. No clock, no sockets: the time is handed in and never runs backwards.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "loss.h"

#define LINK_FRAME_OVERHEAD 14u

enum link_queue_unit { LINK_QUEUE_BYTES, LINK_QUEUE_NS, LINK_QUEUE_BDP };

/* What was asked of one direction. */
struct link_shape {
	double rate_bps;                /* 0: no limit */
	double delay_ns;                /* one way */
	double jitter_ns;               /* delay +- this, uniform */
	double queue;                   /* in queue_unit */
	enum link_queue_unit queue_unit;
	double loss;                    /* shares of 1 */
	double burst;                   /* mean run of losses in packets, 0: independent */
	double reorder;
	double reorder_ns;              /* how long a reordered packet is held back */
	double duplicate;
	double corrupt;
	double mtu_drop;                /* longer IP packets vanish without a word, 0: none */
	double port_shift;              /* a port translation in the middle, see train.h */
	double jitter_reorders;         /* 0 or 1 */
	double down;                    /* 0 or 1: everything is lost */
};

struct link_counts {
	uint64_t packets_in, bytes_in;          /* bytes are frame bytes */
	uint64_t packets_out, bytes_out;        /* handed to the other side */
	uint64_t dropped_queue, dropped_loss, dropped_mtu, dropped_down;
	/* the emulator's own memory was full: a measurement is void */
	uint64_t dropped_overrun;
	uint64_t duplicated, corrupted, reordered;
	uint64_t queue_bytes_max;
	uint64_t write_errors;
};

struct link_shaper {
	struct link_shape shape;
	uint64_t rate_bps;
	double queue_bytes_limit;
	int64_t free_at;                /* the transmitter has sent all it holds at this time */
	/* of the division that made free_at, so that no rate drifts */
	uint64_t remainder;
	int64_t last_due;
	struct link_loss loss;
	struct link_random random;
	struct link_counts counts;
};

struct link_fate {
	int64_t due;
	unsigned copies;                /* 0: it never arrives */
	bool corrupt;
};

void link_shaper_init(struct link_shaper *shaper, uint64_t seed);

/*
 * Takes a new shape at any time; @round_trip_ns is both delays together, what a queue of 1bdp is
 * made of.
 */
void link_shaper_set(struct link_shaper *shaper, const struct link_shape *shape,
		     double round_trip_ns);

/* The queue limit in bytes that @shape means, for sizing memory. */
double link_shape_queue_bytes(const struct link_shape *shape, double round_trip_ns);

/* Decides on a packet of @ip_bytes that arrives at @now, and counts it. */
struct link_fate link_shaper_admit(struct link_shaper *shaper, int64_t now, size_t ip_bytes);

uint64_t link_shaper_queue_bytes(const struct link_shaper *shaper, int64_t now);
