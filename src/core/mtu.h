/*
 * mtu.h - the largest datagram the path carries, found by probing (RFC 8899, DPLPMTUD).
 *
 * Starts at 1200 bytes, which every path must carry, and searches a list of sizes that networks are
 * really built with, up to jumbo frames. A probe is one padded datagram; it counts as too long
 * after TW_MTU_TRIES of them went missing or the system refused it. When full datagrams vanish
 * while small ones arrive (a black hole), the search begins anew at 1200. Ten minutes after the
 * search it looks upward again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

#define TW_MTU_BASE 1200
#define TW_MTU_TRIES 3
#define TW_MTU_RAISE (600 * TW_SECOND)
#define TW_MTU_BLACK_HOLE 12 /* full datagrams lost in a row */

struct tw_mtu {
	uint32_t current; /* in use, UDP payload */
	uint32_t max;     /* what both ends take */
	uint32_t probing; /* size of the probe under way, 0: none */
	unsigned tries;
	int good, bad; /* places in the list: known to work, known not to (or one past the end) */
	bool tried_usual;
	tw_ns next_at; /* when the next probe may leave */
	unsigned lost_in_row;
};

void tw_mtu_init(struct tw_mtu *mtu, uint32_t max, tw_ns now);
/* The size to probe now, or 0. */
uint32_t tw_mtu_wants(const struct tw_mtu *mtu, tw_ns now);
tw_ns tw_mtu_deadline(const struct tw_mtu *mtu);
void tw_mtu_sent(struct tw_mtu *mtu, uint32_t size);
/* True when the size in use has changed. */
bool tw_mtu_probe_acked(struct tw_mtu *mtu, uint32_t size, tw_ns now);
void tw_mtu_probe_lost(struct tw_mtu *mtu, uint32_t size, tw_ns now);
/* The system refused a datagram of @size. True when the size in use has changed. */
bool tw_mtu_too_long(struct tw_mtu *mtu, uint32_t size, tw_ns now);
void tw_mtu_packet_acked(struct tw_mtu *mtu, uint32_t size);
/* True when this makes it a black hole: the size in use is back at the base. */
bool tw_mtu_packet_lost(struct tw_mtu *mtu, uint32_t size, tw_ns now);
/* A new path: start again. */
void tw_mtu_restart(struct tw_mtu *mtu, tw_ns now);
