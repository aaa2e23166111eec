#include "core/sent.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

#define SENT_MIN 256

void tw_sent_map_init(struct tw_sent_map *map)
{
	*map = (struct tw_sent_map){ 0 };
}

void tw_sent_map_deinit(struct tw_sent_map *map)
{
	free(map->records);
	*map = (struct tw_sent_map){ 0 };
}

int tw_sent_map_reserve(struct tw_sent_map *map, uint64_t count)
{
	uint64_t need = map->next - map->base + count;
	if (need <= map->size)
		return 0;
	if (need > TW_SENT_MAX)
		return TW_E_FULL;
	uint64_t size = map->size ? map->size : SENT_MIN;
	while (size < need)
		size *= 2;
	struct tw_sent *records = malloc((size_t)size * sizeof(*records));
	if (!records)
		return -ENOMEM;
	for (uint64_t number = map->base; number < map->next; number++)
		records[number & (size - 1)] = *tw_sent_map_get(map, number);
	free(map->records);
	map->records = records;
	map->size = size;
	return 0;
}

struct tw_sent *tw_sent_map_push(struct tw_sent_map *map, uint64_t *ret_packet_number)
{
	assert(map->next - map->base < map->size);
	struct tw_sent *sent = tw_sent_map_get(map, map->next);
	*sent = (struct tw_sent){ 0 };
	*ret_packet_number = map->next++;
	return sent;
}

void tw_sent_map_trim(struct tw_sent_map *map, tw_ns forget)
{
	while (map->base < map->next) {
		const struct tw_sent *sent = tw_sent_map_get(map, map->base);
		if (sent->state == TW_SENT_FLIGHT)
			break;
		if (sent->state == TW_SENT_LOST && sent->sent_at >= forget)
			break;
		map->base++;
	}
}
