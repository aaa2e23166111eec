/*
 * gather.h - datagrams that come one by one, to leave as trains.
 *
 * What goes to the same address, in equal lengths but for the last, is put behind each other, so
 * that one system call sends it. The order of datagrams to one address stays. Who adds must flush
 * before he waits for anything.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "netio/udp.h"

struct tw_gather {
	struct tw_udp *udp; /* borrowed; where what is held leaves */
	struct tw_train train;
	uint8_t bytes[TW_UDP_TRAIN_MAX];
};

void tw_gather_init(struct tw_gather *gather);
/* @bytes are copied. What the system has no room for is lost, as on any path. */
void tw_gather_add(struct tw_gather *gather, struct tw_udp *udp, const struct tw_path *path,
		   const uint8_t *bytes, size_t length);
void tw_gather_flush(struct tw_gather *gather);
