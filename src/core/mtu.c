#include "core/mtu.h"

/*
 * UDP payloads of the links that exist: 1280-byte IPv6 minimum, tunnels and PPPoE, Ethernet under
 * IPv6 and IPv4, FDDI, 4 KiB clouds, jumbo frames under IPv6 and IPv4.
 */
static const uint32_t sizes[] = {
	1200, 1232, 1300, 1352, 1392, 1412, 1432, 1444, 1452, 1464, 1472,
	2276, 4048, 4324, 6000, 7000, 8152, 8424, 8872, 8932, 8952, 8972
};
#define SIZE_COUNT ((int)(sizeof(sizes) / sizeof(sizes[0])))
/* Ethernet: what most paths end at, so it is tried first. */
#define USUAL_IPV4 10

static int choose(const struct tw_mtu *mtu)
{
	if (mtu->good + 1 >= mtu->bad)
		return -1;
	if (!mtu->tried_usual && mtu->good < USUAL_IPV4 && USUAL_IPV4 < mtu->bad)
		return USUAL_IPV4;
	/* Networks come in few kinds: the largest first, then halve. */
	if (mtu->bad == SIZE_COUNT && mtu->good >= USUAL_IPV4)
		return SIZE_COUNT - 1;
	return (mtu->good + mtu->bad) / 2;
}

void tw_mtu_restart(struct tw_mtu *mtu, tw_ns now)
{
	mtu->current = TW_MTU_BASE;
	mtu->probing = 0;
	mtu->tries = 0;
	mtu->good = 0;
	mtu->bad = SIZE_COUNT;
	while (mtu->bad > 1 && sizes[mtu->bad - 1] > mtu->max)
		mtu->bad--;
	mtu->tried_usual = false;
	mtu->next_at = now;
	mtu->lost_in_row = 0;
}

void tw_mtu_init(struct tw_mtu *mtu, uint32_t max, tw_ns now)
{
	*mtu = (struct tw_mtu){ .max = max < TW_MTU_BASE ? TW_MTU_BASE : max };
	tw_mtu_restart(mtu, now);
}

uint32_t tw_mtu_wants(const struct tw_mtu *mtu, tw_ns now)
{
	if (mtu->probing || now < mtu->next_at)
		return 0;
	int place = choose(mtu);
	return place < 0 ? 0 : sizes[place];
}

tw_ns tw_mtu_deadline(const struct tw_mtu *mtu)
{
	if (mtu->probing || choose(mtu) < 0)
		return TW_NEVER;
	return mtu->next_at;
}

void tw_mtu_sent(struct tw_mtu *mtu, uint32_t size)
{
	mtu->probing = size;
	mtu->tries++;
}

static int place_of(uint32_t size)
{
	int place = 0;
	while (place + 1 < SIZE_COUNT && sizes[place + 1] <= size)
		place++;
	return place;
}

/* When the search has ended, look upward again later: routes get better too. */
static void search_over(struct tw_mtu *mtu, tw_ns now)
{
	if (choose(mtu) >= 0)
		return;
	mtu->next_at = now + TW_MTU_RAISE;
	mtu->bad = SIZE_COUNT;
	while (mtu->bad > 1 && sizes[mtu->bad - 1] > mtu->max)
		mtu->bad--;
}

bool tw_mtu_probe_acked(struct tw_mtu *mtu, uint32_t size, tw_ns now)
{
	if (size == mtu->probing)
		mtu->probing = 0;
	mtu->tries = 0;
	if (size <= mtu->current)
		return false;
	mtu->good = place_of(size);
	mtu->tried_usual = mtu->tried_usual || mtu->good >= USUAL_IPV4;
	mtu->current = size;
	mtu->lost_in_row = 0;
	mtu->next_at = now;
	search_over(mtu, now);
	return true;
}

static void probe_failed(struct tw_mtu *mtu, uint32_t size, tw_ns now)
{
	int place = place_of(size);
	mtu->probing = 0;
	mtu->tries = 0;
	if (place == USUAL_IPV4)
		mtu->tried_usual = true;
	if (place < mtu->bad && place > mtu->good)
		mtu->bad = place;
	mtu->next_at = now;
	search_over(mtu, now);
}

void tw_mtu_probe_lost(struct tw_mtu *mtu, uint32_t size, tw_ns now)
{
	if (size != mtu->probing)
		return;
	mtu->probing = 0;
	if (mtu->tries >= TW_MTU_TRIES)
		probe_failed(mtu, size, now);
	else
		mtu->next_at = now;
}

bool tw_mtu_too_long(struct tw_mtu *mtu, uint32_t size, tw_ns now)
{
	if (size > mtu->current) {
		probe_failed(mtu, size, now);
		return false;
	}
	if (size <= TW_MTU_BASE)
		return false;
	tw_mtu_restart(mtu, now);
	int place = place_of(size);
	if (place > 0 && place < mtu->bad)
		mtu->bad = place;
	return true;
}

void tw_mtu_packet_acked(struct tw_mtu *mtu, uint32_t size)
{
	if (size > TW_MTU_BASE)
		mtu->lost_in_row = 0;
}

bool tw_mtu_packet_lost(struct tw_mtu *mtu, uint32_t size, tw_ns now)
{
	if (size <= TW_MTU_BASE || size > mtu->current)
		return false;
	if (++mtu->lost_in_row < TW_MTU_BLACK_HOLE)
		return false;
	tw_mtu_restart(mtu, now);
	return true;
}
