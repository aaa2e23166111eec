/*
 * sessionworld.h - a sender and a receiver of the session over the production core, a wire in
 * virtual time and content in memory. Either side may be killed and started again, the path cut.
 */
#pragma once

#include <cmocka.h>

#include "../support/fake_content.h"
#include "corewire.h"
#include "session/dialer.h"
#include "session/receiver.h"

#define WORLD_TICK (10 * TW_MSEC)

struct world_job {
	struct tw_job *job;
	tw_ns due;
};

/* Disk threads of one side: in order, one after the other, each taking its time. */
struct world_disk {
	struct world_job jobs[4096];
	size_t count;
	tw_ns busy_until, job_time;
	uint64_t rate_bps; /* of bytes written; 0: endless */
	struct tw_job_port port;
	struct world *world;
};

struct world {
	struct wire wire;
	struct tw_prng keys;
	struct tw_random random;
	struct tw_identity identities[2];
	struct tw_source *source;
	struct fake_storage storage;
	struct tw_fs fs;
	struct world_disk disks[2];
	struct tw_sender *sender;
	struct tw_outgoing *outgoing;
	struct tw_dialer *dialer;
	struct tw_receiver_hub *hub;
	struct tw_receiver_options receiver_options;
	struct tw_sender_options sender_options;
	struct tw_dialer_options dialer_options;
	tw_ns tick_at;
	bool cut; /* nothing passes */
	bool closed_shop; /* nobody is let in */
	uint64_t blackout_from, blackout_to;
	unsigned started, resumed, finished, files_done, files_failed;
	enum tw_transfer_error finished_error;
};

static inline struct world *world_of(struct wire *wire)
{
	return (struct world *)(void *)wire;
}

static inline void world_submit(void *context, struct tw_job *job)
{
	struct world_disk *disk = context;
	tw_ns now = disk->world->wire.now, start;

	assert_true(disk->count < 4096);
	start = tw_ns_max(now, disk->busy_until) + disk->job_time;
	if (job->type == TW_JOB_WRITE && disk->rate_bps)
		start += job->piece_bytes * 8 * TW_SECOND / disk->rate_bps;
	disk->busy_until = start;
	disk->jobs[disk->count++] = (struct world_job){ job, start };
}

/* Jobs that are due; all of them with @all. */
static inline void world_disk_run(struct world_disk *disk, bool sender, bool all)
{
	struct world *world = disk->world;

	while (disk->count && (all || disk->jobs[0].due <= world->wire.now)) {
		struct tw_job *job = disk->jobs[0].job;

		memmove(disk->jobs, disk->jobs + 1, --disk->count * sizeof(disk->jobs[0]));
		tw_job_run(job);
		if (sender)
			tw_sender_job_done(world->sender, job, world->wire.now);
		else
			tw_receiver_job_done(world->hub, job, world->wire.now);
	}
}

static inline enum tw_verdict world_admit(void *context, const struct tw_public_key *peer,
					  const struct tw_path *path,
					  struct tw_conn_config *ret_config,
					  const struct tw_conn_app **ret_app, void **ret_context)
{
	struct world *world = context;

	(void)path;
	if (world->closed_shop)
		return TW_ACCEPT_NOT_AUTHORIZED;
	*ret_config =
		(struct tw_conn_config){ .method = TW_RATE_DEFAULT, .limits.max_bps = UINT64_MAX };
	return tw_receiver_admit(world->hub, peer, ret_app, ret_context) ? TW_ACCEPT_BUSY
									 : TW_ACCEPT_YES;
}

static inline void world_on_started(void *context, uint64_t id, const char *destination,
				    bool resumed)
{
	struct world *world = context;

	(void)id;
	(void)destination;
	world->started++;
	world->resumed += resumed;
}

static inline void world_on_file(void *context, uint64_t id, const char *path)
{
	(void)id;
	(void)path;
	((struct world *)context)->files_done++;
}

static inline void world_on_file_failed(void *context, uint64_t id, const char *path, int error)
{
	(void)id;
	(void)path;
	(void)error;
	((struct world *)context)->files_failed++;
}

static inline void world_on_finished(void *context, uint64_t id, enum tw_transfer_error error,
				     const char *message)
{
	struct world *world = context;

	(void)id;
	(void)message;
	world->finished++;
	world->finished_error = error;
}

static inline bool world_hook(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	struct world *world = world_of(wire);

	(void)to;
	(void)bytes;
	(void)length;
	return !world->cut &&
	       !(wire->now >= world->blackout_from && wire->now < world->blackout_to);
}

static inline void world_endpoint(struct world *world, int side)
{
	struct tw_endpoint_config config = {
		.identity = &world->identities[side],
		.cipher_min = TW_CIPHER_AUTH,
		.random = world->random,
		.accept = side == 1,
		.admit = world_admit,
		.context = world,
	};

	assert_int_equal(tw_endpoint_new(&config, world->wire.now, &world->wire.ends[side]), 0);
}

static inline void world_start_receiver(struct world *world)
{
	assert_int_equal(
		tw_receiver_hub_new(&world->receiver_options, world->wire.now, &world->hub), 0);
	world_endpoint(world, 1);
}

static inline void world_start_sender(struct world *world)
{
	world_endpoint(world, 0);
	world->source->walked = 0;
	assert_int_equal(tw_sender_new(&world->sender_options, &world->disks[0].port,
				       world->wire.now, &world->sender),
			 0);
	assert_int_equal(tw_outgoing_new(world->wire.now, &world->outgoing), 0);
	assert_int_equal(tw_outgoing_add(world->outgoing, world->sender, 0, UINT64_MAX), 0);
	assert_int_equal(tw_dialer_new(world->wire.ends[0], world->outgoing, &world->dialer_options,
				       world->wire.now, &world->dialer),
			 0);
}

static inline void world_init(struct world *world, uint64_t seed, struct tw_source *source)
{
	int i;

	memset(world, 0, sizeof(*world));
	wire_init(&world->wire, seed);
	world->wire.hook = world_hook;
	world->wire.rate_bps = 400000000;
	tw_prng_init(&world->keys, seed ^ 0x5eed);
	world->random = tw_prng_random(&world->keys);
	for (i = 0; i < 2; i++) {
		assert_int_equal(tw_identity_generate(&world->random, &world->identities[i]), 0);
		world->disks[i].world = world;
		world->disks[i].job_time = 50 * TW_USEC;
		world->disks[i].port = (struct tw_job_port){ world_submit, &world->disks[i] };
	}
	world->source = source;
	fake_storage_init(&world->storage, source->count ? fake_source_size(source) : 0);
	world->fs.context = &world->storage;
	world->receiver_options = (struct tw_receiver_options){
		.fs = &world->fs,
		.port = world->disks[1].port,
		.events = { world_on_started, world_on_file, world_on_file_failed,
			    world_on_finished },
		.events_context = world,
	};
	world->sender_options = (struct tw_sender_options){
		.source = source,
		.transfer_key = { 1, 2, 3 },
		.destination = "in",
		.overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
		.flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE,
		.checkpoint_seconds = 1,
	};
	world->dialer_options = (struct tw_dialer_options){
		.remotes = { world->wire.addresses[1] },
		.remote_count = 1,
		.connect = {
			.peer_key = world->identities[1].public_key,
			.cipher = TW_CIPHER_128,
			.config = { .method = TW_RATE_DEFAULT, .limits.max_bps = UINT64_MAX },
		},
		.give_up = TW_NEVER,
	};
}

static inline void world_start(struct world *world)
{
	world_start_receiver(world);
	world_start_sender(world);
}

/* As kill -9: nothing more is said, nothing more is written. */
static inline void world_kill_sender(struct world *world)
{
	world_disk_run(&world->disks[0], true, true);
	tw_dialer_free(world->dialer);
	tw_endpoint_free(world->wire.ends[0]);
	tw_outgoing_remove(world->outgoing, world->sender);
	tw_outgoing_free(world->outgoing);
	world->outgoing = NULL;
	world_disk_run(&world->disks[0], true, true);
	tw_sender_free(world->sender);
	world->wire.ends[0] = NULL;
	world->sender = NULL;
	world->dialer = NULL;
}

static inline void world_kill_receiver(struct world *world)
{
	tw_endpoint_free(world->wire.ends[1]);
	tw_receiver_hub_stop(world->hub);
	while (!tw_receiver_hub_idle(world->hub))
		world_disk_run(&world->disks[1], false, true);
	tw_receiver_hub_free(world->hub);
	world->wire.ends[1] = NULL;
	world->hub = NULL;
}

static inline void world_deinit(struct world *world)
{
	if (world->sender)
		world_kill_sender(world);
	if (world->hub)
		world_kill_receiver(world);
	assert_int_equal(world->storage.sinks_open, 0);
	wire_deinit(&world->wire);
	fake_storage_deinit(&world->storage);
	free(world->source);
}

static inline tw_ns world_next(const struct world *world, tw_ns until)
{
	tw_ns next = tw_ns_min(until, world->tick_at);
	int end;

	for (end = 0; end < 2; end++) {
		if (world->wire.ends[end])
			next = tw_ns_min(next, tw_endpoint_deadline(world->wire.ends[end]));
		if (world->wire.to[end].count)
			next = tw_ns_min(next, world->wire.to[end].queue[0]->arrives);
		if (world->disks[end].count)
			next = tw_ns_min(next, world->disks[end].jobs[0].due);
	}
	if (world->dialer)
		next = tw_ns_min(next, tw_dialer_deadline(world->dialer));
	return next;
}

static inline void world_deliver(struct world *world)
{
	int end;

	for (end = 0; end < 2; end++) {
		if (world->wire.ends[end]) {
			wire_deliver(&world->wire, end);
			continue;
		}
		while (world->wire.to[end].count)
			free(world->wire.to[end].queue[--world->wire.to[end].count]);
	}
	if (world->hub)
		tw_receiver_flush(world->hub, world->wire.now);
}

static inline void world_turn(struct world *world)
{
	int end;

	world_deliver(world);
	world_disk_run(&world->disks[0], true, false);
	world_disk_run(&world->disks[1], false, false);
	if (world->wire.now >= world->tick_at) {
		world->tick_at = world->wire.now + WORLD_TICK;
		if (world->outgoing)
			tw_outgoing_tick(world->outgoing, world->wire.now);
		if (world->hub)
			tw_receiver_tick(world->hub, world->wire.now);
	}
	if (world->dialer)
		tw_dialer_tick(world->dialer, world->wire.now);
	for (end = 0; end < 2; end++) {
		if (world->wire.ends[end])
			wire_pump(&world->wire, end);
	}
}

/* Runs for @span, or until @done (may be NULL) says so. */
static inline bool world_run(struct world *world, tw_ns span, bool (*done)(struct world *))
{
	tw_ns until = world->wire.now + span;

	while (world->wire.now < until) {
		world_turn(world);
		if (done && done(world))
			return true;
		world->wire.now = tw_ns_max(world_next(world, until), world->wire.now + TW_USEC);
	}
	return false;
}

static inline bool world_sender_finished(struct world *world)
{
	struct tw_sender_status status;

	tw_sender_status(world->sender, &status);
	return status.finished;
}

static inline bool world_both_finished(struct world *world)
{
	return world->finished && world_sender_finished(world);
}

static inline void world_check_content(const struct world *world)
{
	const struct tw_source *source = world->source;
	size_t i;
	uint64_t at;

	for (i = 0; i < source->count; i++) {
		const struct fake_entry *entry = &source->entries[i];

		if (entry->bad)
			continue;
		for (at = entry->start; at < entry->start + entry->size; at++) {
			uint8_t wanted = entry->hole ? 0 : fake_byte(at);

			if (world->storage.tape[at] != wanted)
				fail_msg("entry %zu differs at %llu", i, (unsigned long long)at);
		}
	}
}
