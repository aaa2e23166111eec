/*
 * buffers.h - the pool of receive buffers of one worker. Each holds what one receive call may
 * bring, a train merged by the kernel (UDP GRO) of up to 64 KiB. The pool's memory is reserved once
 * and touched only as far as it is used: the buffer given back last goes out first, so that a pool
 * in light use stays small and hot in the cache.
 *
 * A buffer is counted: the worker holds one reference while it receives into it, and one more for
 * each write job whose pieces lie in it. At zero it is free again. One thread; no locks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_BUFFER_SIZE ((size_t)64 << 10)
#define TW_BUFFERS_DEFAULT 640 /* 40 MiB */

struct tw_buffer {
	uint8_t *bytes; /* TW_BUFFER_SIZE */
	unsigned references;
	struct tw_buffer *next_free;
};

struct tw_buffers {
	uint8_t *memory;       /* owned mapping */
	struct tw_buffer *all; /* owned */
	struct tw_buffer *free;
	unsigned count, free_count;
};

/* -ENOMEM. */
int tw_buffers_init(struct tw_buffers *buffers, unsigned count);
void tw_buffers_deinit(struct tw_buffers *buffers);
/* A buffer with one reference, or NULL when all are in use. */
struct tw_buffer *tw_buffers_take(struct tw_buffers *buffers);
void tw_buffer_hold(struct tw_buffer *buffer);
void tw_buffers_drop(struct tw_buffers *buffers, struct tw_buffer *buffer);
