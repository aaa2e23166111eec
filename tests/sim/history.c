#include <inttypes.h>
#include <stdio.h>

#include "cases.h"

#define FAULTS_END (20 * TW_SECOND)

static bool chance(struct tw_prng *prng, double share)
{
	return tw_prng_unit(prng) < share;
}

/* Every order of magnitude is as likely as any other. */
static uint64_t spread(struct tw_prng *prng, uint64_t low, uint64_t high)
{
	unsigned octaves = 0;
	uint64_t value;

	while (octaves < 62 && low << octaves < high)
		octaves++;
	value = low << tw_prng_below(prng, octaves + 1);
	value += tw_prng_below(prng, value);
	return value < high ? value : high;
}

static double share_of(struct tw_prng *prng, double likely, double most)
{
	return chance(prng, likely) ? tw_prng_unit(prng) * most : 0;
}

static void make_road(struct tw_prng *prng, struct sim_road_config *road)
{
	static const uint32_t sizes[] = { 1252, SIM_ETHERNET, SIM_ETHERNET, 1400, SIM_JUMBO };

	road->loss = share_of(prng, 0.5, chance(prng, 0.3) ? 0.4 : 0.05);
	road->loss_burst = chance(prng, 0.3) ? 1 + (double)tw_prng_below(prng, 8) : 0;
	road->corrupt = share_of(prng, 0.2, 0.2);
	road->duplicate = share_of(prng, 0.2, 1);
	road->reorder = share_of(prng, 0.25, 1);
	road->reorder_depth = (unsigned)spread(prng, 2, 1000);
	road->jitter = chance(prng, 0.2) ? spread(prng, TW_USEC, 30 * TW_MSEC) : 0;
	road->mtu = sizes[tw_prng_below(prng, 5)];
	road->mtu_told = chance(prng, 0.2);
	if (chance(prng, 0.1)) {
		road->on = TW_SECOND + tw_prng_below(prng, 4 * TW_SECOND);
		road->off = spread(prng, 10 * TW_MSEC, TW_SECOND);
	}
}

static void make_link(struct tw_prng *prng, struct sim_case *test)
{
	test->rate_bps = spread(prng, 2 * MBIT, 2 * GBIT);
	test->rtt = spread(prng, 100 * TW_USEC, 400 * TW_MSEC);
	test->queue = 0.2 + tw_prng_unit(prng) * 4;
	make_road(prng, &test->link.to[0]);
	make_road(prng, &test->link.to[1]);
	if (chance(prng, 0.2))
		test->link.to[0].rate_bps = test->rate_bps / (1 + tw_prng_below(prng, 200));
	if (chance(prng, 0.15)) {
		test->link.to[1].cross_bps = test->rate_bps / 2;
		test->link.to[1].cross_on = test->link.to[1].cross_off = 500 * TW_MSEC;
	}
	if (chance(prng, 0.15)) {
		test->link.rebind_every = 300 * TW_MSEC + tw_prng_below(prng, 5 * TW_SECOND);
		test->link.rebind_forgets = chance(prng, 0.5);
		test->link.rebind_moves = chance(prng, 0.3);
	}
}

/* As much as the path carries in some seconds. */
static void make_content(struct tw_prng *prng, struct sim_case *test)
{
	uint64_t most = test->rate_bps / 8 * 4;

	if (most > 6 * MIB)
		most = 6 * MIB;
	if (chance(prng, 0.7))
		test->content.large_bytes = 1 + tw_prng_below(prng, most);
	if (chance(prng, 0.7)) {
		test->content.files = (unsigned)spread(prng, 1, 150);
		test->content.file_bytes = spread(prng, 1, 1 + most / 2 / test->content.files);
	}
	if (chance(prng, 0.15))
		test->content.sparse_bytes = spread(prng, MIB, UINT64_C(1) << 36);
	if (!test->content.large_bytes && !test->content.files)
		test->content.large_bytes = MIB + 1;
}

static void make_change(struct tw_prng *prng, const struct sim_case *test,
			struct sim_change *change)
{
	static const enum sim_act acts[] = {
		SIM_SILENCE,      SIM_SILENCE,      SIM_RATE,        SIM_DELAY,
		SIM_MTU,          SIM_REBIND,       SIM_KILL_SENDER, SIM_KILL_RECEIVER,
		SIM_CUT_SENDER,   SIM_CUT_RECEIVER, SIM_FUSE_SENDER, SIM_FUSE_RECEIVER,
		SIM_TOUCH_SOURCE, SIM_DISK_FULL,    SIM_DISK_HANGS,  SIM_FUSE_RECEIVER,
	};

	change->at = spread(prng, TW_MSEC, FAULTS_END / 2);
	change->act = acts[tw_prng_below(prng, sizeof(acts) / sizeof(acts[0]))];
	switch (change->act) {
	case SIM_RATE:
		change->value = test->rate_bps / 10 + tw_prng_below(prng, 2 * test->rate_bps);
		break;
	case SIM_DELAY:
		change->value = tw_prng_below(prng, 2 * test->rtt);
		break;
	case SIM_MTU:
		change->value = 1200 + tw_prng_below(prng, 800);
		break;
	case SIM_FUSE_SENDER:
	case SIM_FUSE_RECEIVER:
		change->value = spread(prng, 1, 3000);
		break;
	case SIM_TOUCH_SOURCE:
		change->value = tw_prng_below(prng, 1000);
		break;
	default:
		change->value = spread(prng, TW_MSEC, 3 * TW_SECOND);
	}
}

/* Nothing but deaths, on a road that is fast and clean: work is cut off at every possible point. */
static void make_storm(struct tw_prng *prng, struct sim_case *test)
{
	static const enum sim_act acts[] = {
		SIM_KILL_SENDER,   SIM_KILL_RECEIVER, SIM_CUT_RECEIVER,  SIM_CUT_RECEIVER,
		SIM_FUSE_RECEIVER, SIM_FUSE_RECEIVER, SIM_FUSE_RECEIVER, SIM_FUSE_SENDER,
	};
	tw_ns at = 0;

	test->link = (struct sim_link_config){ 0 };
	for (unsigned i = 0; i < SIM_CHANGES_MAX - 1; i++) {
		struct sim_change *change = &test->changes[i];

		at += spread(prng, TW_MSEC, TW_SECOND);
		change->at = at;
		change->act = acts[tw_prng_below(prng, sizeof(acts) / sizeof(acts[0]))];
		change->value = spread(prng, 1, 1000);
		if (change->act < SIM_FUSE_SENDER)
			change->value *= TW_MSEC;
	}
	test->changes[SIM_CHANGES_MAX - 1] = (struct sim_change){ FAULTS_END, SIM_CALM, 0 };
	/* So that it lasts long enough to be hit. */
	test->disks[1].rate = 500000 + (test->content.large_bytes +
					test->content.files * test->content.file_bytes) / 5;
}

static void make_changes(struct tw_prng *prng, struct sim_case *test)
{
	unsigned count = (unsigned)tw_prng_below(prng, 6), at = 0;

	while (count--) {
		struct sim_change *change = &test->changes[at++];

		make_change(prng, test, change);
		if (change->act != SIM_SILENCE)
			continue;
		test->changes[at++] =
			(struct sim_change){ change->at + change->value, SIM_SOUND, 0 };
	}
	/* From here on only the path itself stands in the way, and no longer at its worst. */
	test->changes[at] = (struct sim_change){ FAULTS_END, SIM_CALM, 0 };
}

/* Where the address would change, a lane ends. */
static void make_lanes(struct tw_prng *prng, struct sim_case *test)
{
	test->lanes = 1 + (unsigned)tw_prng_below(prng, 4);
	for (unsigned i = 0; i < SIM_CHANGES_MAX; i++) {
		struct sim_change *change = &test->changes[i];

		if (change->at && change->act == SIM_REBIND) {
			change->act = SIM_CLOSE_LANE;
			change->value = tw_prng_below(prng, 2);
		}
	}
}

void history_describe(const struct sim_case *test)
{
	printf("# %.3f Mbit/s, %.1f ms, queue %.1f; %u files of %" PRIu64 ", large %" PRIu64
	       ", sparse %" PRIu64 "\n",
	       (double)test->rate_bps / 1e6, (double)test->rtt / 1e6, test->queue,
	       test->content.files, test->content.file_bytes, test->content.large_bytes,
	       test->content.sparse_bytes);
	printf("# %u lanes, cipher %d, %s, overwrite %d%s%s, checkpoint %u s\n", test->lanes,
	       test->plain ? 0 : test->cipher,
	       tw_rate_method_name(test->fixed ? TW_RATE_FIXED : TW_RATE_DEFAULT), test->overwrite,
	       test->sha256 ? ", sha256" : "", test->lends_buffers ? ", lends buffers" : "",
	       test->checkpoint);
	for (unsigned to = 0; to < 2; to++) {
		const struct sim_road_config *road = &test->link.to[to];

		printf("# to %u: loss %.3f in %.0f, corrupt %.3f, twice %.2f, late %.2f by %u"
		       ", jitter %.1f ms, mtu %u%s, on %.2f off %.2f\n",
		       to, road->loss, road->loss_burst, road->corrupt, road->duplicate,
		       road->reorder, road->reorder_depth, (double)road->jitter / 1e6, road->mtu,
		       road->mtu_told ? " told" : "", (double)road->on / 1e9,
		       (double)road->off / 1e9);
	}
	for (unsigned side = 0; side < 2; side++)
		printf("# disk %u: latency %.3f ms, %.1f MB/s\n", side,
		       (double)test->disks[side].latency / 1e6,
		       (double)test->disks[side].rate / 1e6);
}

void history_make(uint64_t seed, struct sim_case *ret)
{
	static const enum tw_cipher ciphers[] = { TW_CIPHER_AUTH, TW_CIPHER_128, TW_CIPHER_256 };
	static const enum tw_overwrite modes[] = {
		TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
		TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
		TW_OVERWRITE_WITH_PARTFILE_NEVER,
		TW_OVERWRITE_IN_PLACE_ALWAYS,
	};
	struct tw_prng prng;

	tw_prng_init(&prng, seed ^ UINT64_C(0x7472616465777264));
	*ret = (struct sim_case){ .name = "history" };
	make_link(&prng, ret);
	make_content(&prng, ret);
	make_changes(&prng, ret);
	ret->plain = chance(&prng, 0.1);
	ret->cipher = ciphers[tw_prng_below(&prng, 3)];
	ret->overwrite = modes[tw_prng_below(&prng, 4)];
	ret->fixed = chance(&prng, 0.2);
	ret->sha256 = chance(&prng, 0.1);
	ret->lends_buffers = chance(&prng, 0.7);
	ret->checkpoint = (unsigned)tw_prng_below(&prng, 3);
	for (unsigned side = 0; side < 2; side++) {
		ret->disks[side].latency = spread(&prng, TW_USEC, 5 * TW_MSEC);
		ret->disks[side].rate = spread(&prng, 5000000, 2000000000);
		ret->disks[side].in_memory = seed % 4 == 3;
	}
	/* Hashing every zero takes too long here. */
	if (ret->sha256 && ret->content.sparse_bytes > 32 * MIB)
		ret->content.sparse_bytes = 32 * MIB;
	if (chance(&prng, 0.25))
		make_storm(&prng, ret);
	ret->link.ipv6 = chance(&prng, 0.3);
	if (chance(&prng, 0.3))
		ret->key_packets = spread(&prng, 10, 5000);
	if (!ret->fixed && chance(&prng, 0.3))
		make_lanes(&prng, ret);
	ret->limit = 120 * TW_SECOND;
}
