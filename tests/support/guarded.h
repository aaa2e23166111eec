/*
 * guarded.h - a copy of some bytes that ends where readable memory ends: one byte read too far is a
 * fault in every build, with or without sanitizers. One page or two of content at most are meant;
 * larger works too.
 */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct guarded {
	uint8_t *map;
	size_t map_length, room;
};

static inline void guarded_init(struct guarded *guarded, size_t room)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	guarded->room = (room + page - 1) / page * page;
	guarded->map_length = guarded->room + page;
	guarded->map = mmap(NULL, guarded->map_length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (guarded->map == MAP_FAILED ||
	    mprotect(guarded->map + guarded->room, page, PROT_NONE) != 0)
		abort();
}

static inline void guarded_deinit(struct guarded *guarded)
{
	munmap(guarded->map, guarded->map_length);
}

/* @length writable bytes right in front of the guard. */
static inline uint8_t *guarded_tail(const struct guarded *guarded, size_t length)
{
	if (length > guarded->room)
		abort();
	return guarded->map + guarded->room - length;
}

/* @bytes may lie in the guarded memory itself. */
static inline uint8_t *guarded_copy(const struct guarded *guarded, const void *bytes, size_t length)
{
	uint8_t *tail = guarded_tail(guarded, length);

	if (length > 0)
		memmove(tail, bytes, length);
	return tail;
}
