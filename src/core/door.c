#include "core/door.h"

#include <string.h>

void tw_door_init(struct tw_door *door, const struct tw_random *random)
{
	memset(door, 0, sizeof(*door));
	tw_random_fill(random, door->key, sizeof(door->key));
}

static bool grant(tw_ns *paid_until, unsigned burst, tw_ns every, tw_ns now)
{
	tw_ns paid = tw_ns_max(*paid_until, now);
	if (paid - now > (burst - 1) * every)
		return false;
	*paid_until = paid + every;
	return true;
}

bool tw_door_unproved(struct tw_door *door, tw_ns now)
{
	return grant(&door->unproved, TW_DOOR_UNPROVED_BURST, TW_DOOR_UNPROVED_EVERY, now);
}

bool tw_door_proved(struct tw_door *door, const struct tw_address *from, tw_ns now)
{
	uint8_t hash[TW_SIPHASH_SIZE];
	/* A /64 is what one customer gets; all of an IPv4 address. */
	tw_siphash(door->key, from->ip, 8, hash);
	size_t place = (size_t)(hash[0] | hash[1] << 8) % TW_DOOR_PLACES;
	return grant(&door->proved[place], TW_DOOR_PROVED_BURST, TW_DOOR_PROVED_EVERY, now);
}
