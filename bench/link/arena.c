#include "arena.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* In front of each record. Padding at the ring's end is a record that was born free. */
struct prefix {
	uint32_t bytes;                 /* prefix included */
	uint32_t free;
	uint64_t unused;                /* keeps records aligned to 16 bytes */
};

#define ALIGNMENT 16u

int link_arena_init(struct link_arena *arena, size_t size)
{
	void *base;

	size = (size + 4095) & ~(size_t)4095;
	base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	memset(arena, 0, sizeof(*arena));
	arena->base = base;
	arena->size = size;
	return 0;
}

void link_arena_deinit(struct link_arena *arena)
{
	if (arena->base)
		munmap(arena->base, arena->size);
	memset(arena, 0, sizeof(*arena));
}

static struct prefix *prefix_at(const struct link_arena *arena, size_t offset)
{
	return (struct prefix *)(void *)(arena->base + offset);
}

static void advance(struct link_arena *arena, size_t bytes)
{
	arena->head += bytes;
	arena->used += bytes;
	if (arena->head == arena->size)
		arena->head = 0;
}

static size_t rounded(size_t bytes)
{
	return (bytes + sizeof(struct prefix) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

/* Fills the rest of the ring with a free record, so that the next one starts at the beginning. */
static void pad(struct link_arena *arena)
{
	size_t rest = arena->size - arena->head;
	struct prefix *prefix = prefix_at(arena, arena->head);

	prefix->bytes = (uint32_t)rest;
	prefix->free = 1;
	advance(arena, rest);
}

static void reclaim(struct link_arena *arena)
{
	while (arena->used > 0 && prefix_at(arena, arena->tail)->free) {
		size_t bytes = prefix_at(arena, arena->tail)->bytes;

		arena->tail += bytes;
		arena->used -= bytes;
		if (arena->tail == arena->size)
			arena->tail = 0;
	}
}

void *link_arena_reserve(struct link_arena *arena, size_t bytes)
{
	size_t need = rounded(bytes);
	size_t rest = arena->size - arena->head;

	if (rest < need) {
		if (arena->size - arena->used < rest + need)
			return NULL;
		pad(arena);
		reclaim(arena);
	}
	if (arena->size - arena->used < need)
		return NULL;
	return prefix_at(arena, arena->head) + 1;
}

void link_arena_keep(struct link_arena *arena, size_t bytes)
{
	struct prefix *prefix = prefix_at(arena, arena->head);

	assert(arena->size - arena->used >= rounded(bytes));
	prefix->bytes = (uint32_t)rounded(bytes);
	prefix->free = 0;
	advance(arena, prefix->bytes);
}

void link_arena_release(struct link_arena *arena, void *record)
{
	struct prefix *prefix = (struct prefix *)record - 1;

	assert(!prefix->free);
	prefix->free = 1;
	reclaim(arena);
}
