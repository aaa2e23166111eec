#include "transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transfer_content.h"

#define RESTART_DEFAULT (300 * TW_MSEC)
/* For the receiver to tidy up, and for what is still under way to arrive. */
#define AFTERMATH (5 * TW_SECOND)

static const struct tw_source_mapping mapping = { .source = "data", .destination = "data" };

struct planned {
	struct transfer_world *world;
	struct sim_change change;
};

static void later(struct transfer_world *world, tw_ns delay, void (*fire)(void *),
		  struct sim_change change)
{
	struct planned *planned = sim_alloc(sizeof(*planned));

	*planned = (struct planned){ world, change };
	sim_call(&world->sim, world->sim.now + delay, fire, free, planned);
}

static void restart(void *context)
{
	struct planned planned = *(struct planned *)context;
	struct sim_peer *peer = &planned.world->peers[planned.change.value];

	free(context);
	if (!peer->up && !peer->finished)
		sim_peer_start(peer);
}

/* After a cut nothing that was promised may be missing. */
static void check_promises(struct transfer_world *world)
{
	uint64_t whole;

	world->receiver_cut = true;
	world->durable_promised = world->touched ? 0 : world->peers[0].last.bytes_durable;
	world->promise_life = world->peers[0].finished ? 0 : world->peers[1].lives + 1;
	world->files_promised = world->peers[0].last.files_done;
	whole = transfer_count_whole(world);
	/* All of it stands under its names, and the journal went with the last of them: a sender
	 * that never heard of it begins anew, as one would that sends twice. */
	if (whole == world->content_files)
		world->durable_promised = 0;
	if (whole < world->files_promised)
		sim_fail(&world->sim, "%" PRIu64 " files were done, %" PRIu64 " are there",
			 world->files_promised, whole);
}

static void end_life(struct transfer_world *world, unsigned side, bool cut, tw_ns pause)
{
	struct sim_peer *peer = &world->peers[side];

	if (!peer->up || (peer->finished && !side))
		return;
	sim_peer_look(&world->peers[0]);
	if (cut)
		sim_peer_cut(peer);
	else
		sim_peer_kill(peer);
	if (cut && side)
		check_promises(world);
	later(world, pause ? pause : RESTART_DEFAULT, restart,
	      (struct sim_change){ .value = side });
}

static void fuse_blown(void *context)
{
	struct planned planned = *(struct planned *)context;

	free(context);
	end_life(planned.world, (unsigned)planned.change.value,
		 sim_chance(&planned.world->sim, 0.5), 0);
}

static void sender_died(void *context)
{
	later(context, 0, fuse_blown, (struct sim_change){ .value = 0 });
}

static void receiver_died(void *context)
{
	later(context, 0, fuse_blown, (struct sim_change){ .value = 1 });
}

static void disk_has_room(void *context)
{
	struct planned planned = *(struct planned *)context;

	free(context);
	planned.world->peers[1].disk.write_error = 0;
	sim_note(&planned.world->sim, "room again");
}

static void calm(struct transfer_world *world)
{
	struct sim_link_config config = world->link.config;

	for (unsigned to = 0; to < 2; to++) {
		const struct sim_road_config *road = &config.to[to];

		config.to[to] = (struct sim_road_config){
			.rate_bps = road->rate_bps > MBIT ? road->rate_bps : MBIT,
			.delay = road->delay,
			.queue_bytes = road->queue_bytes,
			.mtu = road->mtu,
			.loss = road->loss < 0.05 ? road->loss : 0.05,
		};
	}
	config.rebind_every = 0;
	sim_link_silence(&world->link, false);
	sim_link_set(&world->link, &config);
	world->peers[0].disk.fuse = world->peers[1].disk.fuse = 0;
}

static void act_on_link(struct sim_link *link, const struct sim_change *change)
{
	struct sim_link_config config = link->config;

	for (unsigned to = 0; to < 2; to++) {
		struct sim_road_config *road = &config.to[to];

		if (change->act == SIM_RATE)
			road->rate_bps = change->value;
		else if (change->act == SIM_DELAY)
			road->delay = change->value;
		else if (change->act == SIM_MTU)
			road->mtu = (uint32_t)change->value;
		else if (change->act == SIM_CLEAN)
			road->loss = road->corrupt = 0;
	}
	sim_link_set(link, &config);
}

static void act(void *context)
{
	struct planned planned = *(struct planned *)context;
	struct transfer_world *world = planned.world;
	const struct sim_change *change = &planned.change;

	free(context);
	sim_note(&world->sim, "change %d: %" PRIu64, change->act, change->value);
	switch (change->act) {
	case SIM_SILENCE:
	case SIM_SOUND:
		sim_link_silence(&world->link, change->act == SIM_SILENCE);
		break;
	case SIM_CALM:
		calm(world);
		break;
	case SIM_REBIND:
		sim_link_rebind(&world->link);
		break;
	case SIM_KILL_SENDER:
	case SIM_KILL_RECEIVER:
		end_life(world, change->act == SIM_KILL_RECEIVER, false, change->value);
		break;
	case SIM_CUT_SENDER:
	case SIM_CUT_RECEIVER:
		end_life(world, change->act == SIM_CUT_RECEIVER, true, change->value);
		break;
	case SIM_FUSE_SENDER:
	case SIM_FUSE_RECEIVER:
		world->peers[change->act == SIM_FUSE_RECEIVER].disk.fuse = change->value;
		break;
	case SIM_TOUCH_SOURCE:
		transfer_touch(world, change->value);
		break;
	case SIM_DISK_FULL:
		world->peers[1].disk.write_error = -ENOSPC;
		world->storage_failed = true;
		later(world, change->value, disk_has_room, *change);
		break;
	case SIM_DISK_HANGS:
		world->peers[1].disk.hangs_until = world->sim.now + change->value;
		break;
	case SIM_CLOSE_LANE:
		sim_lanes_close_one(&world->peers[change->value].lanes);
		break;
	default:
		act_on_link(&world->link, change);
	}
}

static void make_peers(struct transfer_world *world)
{
	const struct sim_case *test = world->test;

	for (unsigned side = 0; side < 2; side++) {
		struct sim_peer *peer = &world->peers[side];

		sim_peer_init(peer, &world->sim, &world->link, side, &test->disks[side]);
		peer->cipher = test->plain    ? TW_CIPHER_NONE
			       : test->cipher ? test->cipher
					      : TW_CIPHER_128;
		peer->config = (struct tw_conn_config){
			.method = test->fixed ? TW_RATE_FIXED : TW_RATE_DEFAULT,
			.limits = { .rate_bps = test->fixed ? test->rate_bps / 10 * 9 : 0,
				    .max_bps = test->rate_max ? test->rate_max : UINT64_MAX },
			.idle_timeout = test->idle_timeout,
			.datagram_max = test->datagram_max,
		};
		peer->lends_buffers = test->lends_buffers;
		peer->lane_count = test->lanes;
		peer->key_packets = test->key_packets;
		peer->disk.context = world;
	}
	world->peers[0].disk.died = sender_died;
	world->peers[1].disk.died = receiver_died;
	world->peers[1].disk.named = transfer_named;
	world->peers[1].disk.written = transfer_written;
	world->peers[0].peer_key = world->peers[1].identity.public_key;
	world->peers[0].source_options = (struct tw_source_options){ .mappings = &mapping,
								     .mapping_count = 1,
								     .read_content = true };
	world->peers[0].options = (struct tw_sender_options){
		.transfer_key = { 1, 2, 3 },
		.destination = "in",
		.overwrite = test->overwrite,
		.flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE,
		.checkpoint_seconds = test->checkpoint,
		.sha256 = test->sha256,
	};
}

static struct transfer_world *transfer_new(const struct sim_case *test, uint64_t seed, bool verbose)
{
	struct transfer_world *world = sim_alloc(sizeof(*world));
	struct sim_link_config config;

	sim_init(&world->sim, seed);
	world->sim.verbose = verbose;
	world->test = test;
	sim_case_link(test, &config);
	sim_link_init(&world->link, &world->sim, &config);
	sim_disk_init(&world->archive, &world->sim, &(struct sim_disk_config){ 0 });
	make_peers(world);
	transfer_fill(world);
	world->started_at = world->sim.now;
	for (const struct sim_change *change = test->changes;
	     change < test->changes + SIM_CHANGES_MAX && change->at; change++)
		later(world, change->at, act, *change);
	return world;
}

static void transfer_free(struct transfer_world *world)
{
	for (unsigned side = 0; side < 2; side++)
		sim_peer_deinit(&world->peers[side]);
	sim_disk_deinit(&world->archive);
	sim_deinit(&world->sim);
	free(world);
}

/* A transfer that failed because its storage did may be started again, as people would. */
static bool try_again(struct transfer_world *world)
{
	struct sim_peer *sender = &world->peers[0];

	if (!world->storage_failed || sender->last.error != TW_TRANSFER_STORAGE)
		return false;
	sender->finished = false;
	end_life(world, 0, false, TW_SECOND);
	return true;
}

static bool is_over(void *context)
{
	struct transfer_world *world = context;

	return world->peers[0].finished && !try_again(world);
}

/* Content that arrived more than once; of one life and one connection only. */
static uint64_t arrived_again(const struct transfer_world *world)
{
	const struct sim_peer *receiver = &world->peers[1];
	uint64_t fresh = receiver->last_status.bytes_received - receiver->last_status.bytes_held;

	if (receiver->lives > 1 || world->peers[0].lives > 1 || receiver->data_received < fresh)
		return 0;
	return receiver->data_received - fresh;
}

static void measure(const struct transfer_world *world, struct sim_measures *ret)
{
	const struct sim_case *test = world->test;
	const struct sim_road *there = &world->link.roads[1], *back = &world->link.roads[0];
	double size = (double)world->content_bytes;
	struct tw_digest digest = tw_digest_final(world->sim.digest);
	uint64_t sent = world->peers[0].sent_before + world->peers[0].last.bytes_sent;

	*ret = (struct sim_measures){
		.took = world->finished_at - world->started_at,
		.ideal = test->rtt,
		.wire = (double)there->stats.bytes / size,
		.return_share = (double)back->stats.bytes / size,
		.written = (double)world->peers[1].disk.bytes_written / size,
		.needless = (double)arrived_again(world) / size,
		.delay_95 = sim_road_delay(there, 0.95),
		.content_bytes = world->content_bytes,
		.again = sent > world->content_bytes ? sent - world->content_bytes : 0,
		.packets_lost = there->stats.lost + there->stats.tail_dropped,
	};
	if (there->config.rate_bps)
		ret->ideal += (tw_ns)(size * 8e9 / (double)there->config.rate_bps);
	memcpy(&ret->digest, digest.bytes, sizeof(ret->digest));
}

static void judge_measures(struct transfer_world *world, const struct sim_measures *got)
{
	const struct sim_case *test = world->test;
	struct sim *sim = &world->sim;

	if (test->limit && got->took > test->limit)
		sim_fail(sim, "took %.3f s, must finish within %.3f s", (double)got->took / 1e9,
			 (double)test->limit / 1e9);
	if (test->wire_max > 0 && got->wire > test->wire_max)
		sim_fail(sim, "%.4f bytes on the wire for each of content, at most %.4f", got->wire,
			 test->wire_max);
	if (test->written_max > 0 && got->written > test->written_max)
		sim_fail(sim, "%.4f bytes written for each of content, at most %.4f", got->written,
			 test->written_max);
	if (got->needless > sim_needless_max(test, got->content_bytes))
		sim_fail(sim, "%.2f %% of the content came again for nothing, at most %.2f",
			 100 * got->needless, 100 * sim_needless_max(test, got->content_bytes));
	if (test->return_max > 0 && got->return_share > test->return_max)
		sim_fail(sim, "return path %.3f %% of the content, at most %.3f",
			 100 * got->return_share, 100 * test->return_max);
	if (test->again_max && got->again > test->again_max)
		sim_fail(sim, "%" PRIu64 " bytes sent again, at most %" PRIu64, got->again,
			 test->again_max);
}

static void judge(struct transfer_world *world)
{
	struct sim *sim = &world->sim;
	const struct sim_peer *sender = &world->peers[0];
	enum tw_transfer_error error = sender->last.error;

	if (!sender->finished) {
		sim_fail(sim,
			 "not done: %" PRIu64 " of %" PRIu64 " bytes there, %" PRIu64
			 " durable, %" PRIu64 " of %" PRIu64 " files",
			 sender->last.bytes_acked, world->content_bytes, sender->last.bytes_durable,
			 sender->last.files_done, world->content_files);
		return;
	}
	if (error != TW_TRANSFER_OK && (error != TW_TRANSFER_ENTRIES || !world->touched))
		sim_fail(sim, "ended with error %d: %s", error, sender->last.message);
	if (sender->problems_bad && !world->touched)
		sim_fail(sim, "a problem out of nothing: %s", sender->last_problem);
	/*
	 * Resumed right behind the cut, it must have known all that was promised before, but for
	 * the last bytes of chunks whose digests never came: those are asked for again.
	 */
	if (world->promise_life == world->peers[1].lives && !world->touched &&
	    world->peers[1].last_status.bytes_held + world->content_bytes / 128 <
		    world->durable_promised)
		sim_fail(sim, "%" PRIu64 " bytes were durable, %" PRIu64 " were still held",
			 world->durable_promised, world->peers[1].last_status.bytes_held);
	transfer_verify(world);
}

bool transfer_run(const struct sim_case *test, uint64_t seed, bool verbose,
		  struct sim_measures *ret, char *ret_failure)
{
	struct transfer_world *world = transfer_new(test, seed, verbose);
	tw_ns patience = test->limit ? test->limit * 4 : 600 * TW_SECOND;
	bool good;

	sim_peer_start(&world->peers[1]);
	sim_peer_start(&world->peers[0]);
	if (verbose)
		sim_host_observe(&world->peers[0].host, 500 * TW_MSEC);
	sim_run(&world->sim, world->started_at + patience, is_over, world);
	sim_peer_look(&world->peers[0]);
	world->finished_at = world->sim.now;
	if (world->peers[0].finished && !world->sim.failed)
		sim_run(&world->sim, world->sim.now + AFTERMATH, NULL, NULL);
	measure(world, ret);
	judge(world);
	judge_measures(world, ret);
	good = !world->sim.failed;
	if (!good)
		memcpy(ret_failure, world->sim.failure, sizeof(world->sim.failure));
	transfer_free(world);
	return good;
}
