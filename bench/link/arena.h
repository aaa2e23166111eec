/*
 * arena.h - where packets live while they are on the line: one ring of bytes.
 *
 * Records are taken at the head, of the largest size first and then cut to what was read, and given
 * back in any order; room comes back once the oldest records are given back. That fits a line, on
 * which things leave nearly in the order they came, and costs neither an allocation per packet nor
 * a fixed slot of the largest size. Records never wrap.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct link_arena {
	uint8_t *base;
	size_t size;
	size_t head;                    /* the next record starts here */
	size_t tail;                    /* the oldest record, equal to head when there is none */
	size_t used;                    /* bytes from tail to head, padding at the end included */
};

/* -ENOMEM when the memory cannot be had. */
int link_arena_init(struct link_arena *arena, size_t size);
void link_arena_deinit(struct link_arena *arena);

/*
 * Lends @bytes of room at the head, or NULL when there is none; nothing is taken before
 * link_arena_keep().
 */
void *link_arena_reserve(struct link_arena *arena, size_t bytes);

/* Keeps the first @bytes of what was reserved last. */
void link_arena_keep(struct link_arena *arena, size_t bytes);

/* Gives back a record that was kept. */
void link_arena_release(struct link_arena *arena, void *record);
