/*
 * sent.h - every packet under way: a ring of fixed-size records, indexed by packet number.
 *
 * Each number from `base` up to `next` has a record. Numbers that nobody needs to hear of again
 * (packets without a frame that asks for an acknowledgement) are IDLE from the start. A LOST record
 * stays for a while, so that a late acknowledgement is recognised (the loss was spurious). The ring
 * grows by doubling up to TW_SENT_MAX; a full ring stops the sender as a full window does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

#define TW_SENT_MAX (UINT64_C(1) << 19)

enum tw_sent_state {
	TW_SENT_IDLE = 0,
	TW_SENT_FLIGHT,
	TW_SENT_LOST,
};

/* What a packet carried that is somebody's to repeat or to confirm. */
enum tw_sent_content {
	TW_SENT_DATA = 1,
	TW_SENT_STREAM = 2,
	TW_SENT_STREAM_LAST = 4,
	TW_SENT_ACK = 8,
	TW_SENT_DATA_WINDOW = 16,
	TW_SENT_STREAM_WINDOW = 32,
	TW_SENT_MTU_PROBE = 64,
	TW_SENT_APP_LIMITED = 128,
};

struct tw_sent {
	tw_ns sent_at;
	/* draft-cheng-iccrg-delivery-rate-estimation: the connection's counters when this packet
	 * left. */
	uint64_t delivered;
	tw_ns delivered_at, first_sent_at;
	uint64_t in_flight;
	union {
		uint64_t data_offset;
		uint64_t idle_to; /* IDLE: none but IDLE ones below that number; 0: not known */
	};
	uint32_t data_transfer;
	uint16_t data_length;
	uint16_t bytes; /* UDP payload */
	uint8_t state, content;
	uint16_t stream_length;
	uint32_t stream;
	uint64_t stream_offset;
	uint64_t ack_largest; /* with TW_SENT_ACK */
};

struct tw_sent_map {
	struct tw_sent *records; /* owned, a power of two */
	uint64_t size;
	uint64_t base, next;
};

void tw_sent_map_init(struct tw_sent_map *map);
void tw_sent_map_deinit(struct tw_sent_map *map);
/* Makes sure that @count more packets fit. TW_E_FULL: the cap is reached, -ENOMEM. */
int tw_sent_map_reserve(struct tw_sent_map *map, uint64_t count);
/* The zeroed record of the next packet number; room must have been reserved (asserted). Lent until
 * the map grows. */
struct tw_sent *tw_sent_map_push(struct tw_sent_map *map, uint64_t *ret_packet_number);
/* The record of a number in [base, next). */
static inline struct tw_sent *tw_sent_map_get(const struct tw_sent_map *map, uint64_t packet_number)
{
	return &map->records[packet_number & (map->size - 1)];
}
/* Lets go of IDLE records at the low end, and of LOST ones sent before @forget. */
void tw_sent_map_trim(struct tw_sent_map *map, tw_ns forget);
