/*
 * share.h - divides a rate among those who want a part of it, max-min fairly and by need: nobody
 * gets more than he can use while another goes short, and those who go short get the same. What
 * all needs together leave over is handed out too, so that whoever comes to need more finds room at
 * once. The parts never add up to more than the whole.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct tw_share {
	uint64_t need_bps; /* what it can use at the moment */
	uint64_t most_bps; /* what it may have at all; UINT64_MAX: no limit of its own */
	uint64_t part_bps; /* filled in */
};

/* Pure; about 64 passes over @shares. With UINT64_MAX as total everybody gets his most. */
void tw_share_divide(uint64_t total_bps, struct tw_share *shares, size_t count);
