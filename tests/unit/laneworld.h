/*
 * laneworld.h - the world of sessionworld.h with lanes: each a wire of its own between endpoints of
 * its own, its halves at each end connected by queues of letters that take a moment, as between two
 * threads. Either side may be killed, any wire cut.
 */
#pragma once

#include "session/lane.h"
#include "sessionworld.h"

#define LANES_ROOM 8
#define LETTERS_ROOM 2048

struct lane_letters {
	struct {
		struct tw_letter *letter;
		tw_ns due;
	} at[LETTERS_ROOM];
	size_t count;
};

/* Both halves of a lane at one end. */
struct lane_end {
	struct lane_world *world;
	struct lane_link *link;
	struct tw_lane *lane;
	struct tw_berth *berth;
	struct lane_letters to_lane, to_berth;
	struct tw_berth_info last; /* as long as there is a berth */
};

/* A datagram that a letter may hold. */
struct lane_buffer {
	struct wire_datagram *datagram;
	unsigned references;
};

struct lane_link {
	struct wire wire; /* first */
	struct lane_world *world;
	struct lane_end ends[2];
	bool used, cut;
	struct lane_buffer *current;
};

struct lane_world {
	struct world world; /* first */
	struct lane_link links[LANES_ROOM];
	unsigned wanted;     /* lanes to be opened, as far as the peer takes them */
	unsigned opened;     /* ever */
	unsigned reopen_max; /* beyond: none any more; 0: no bound */
	tw_ns lag;           /* of letters */
	bool lends;
	unsigned buffers; /* held now */
	uint64_t rate_bps;
	uint64_t sent_over_lanes; /* content, by lanes that are over */
};

static inline void letters_put(struct lane_letters *letters, struct tw_letter *letter, tw_ns due)
{
	assert_true(letters->count < LETTERS_ROOM);
	letters->at[letters->count].letter = letter;
	letters->at[letters->count++].due = due;
}

static inline struct tw_letter *letters_take(struct lane_letters *letters, tw_ns now)
{
	struct tw_letter *letter = letters->at[0].letter;

	if (!letters->count || letters->at[0].due > now)
		return NULL;
	memmove(letters->at, letters->at + 1, --letters->count * sizeof(letters->at[0]));
	return letter;
}

static inline void post_to_lane(void *context, struct tw_letter *letter)
{
	struct lane_end *end = context;

	letters_put(&end->to_lane, letter, end->world->world.wire.now + end->world->lag);
}

static inline void post_to_berth(void *context, struct tw_letter *letter)
{
	struct lane_end *end = context;

	letters_put(&end->to_berth, letter, end->world->world.wire.now + end->world->lag);
}

static inline void *lane_hold_buffer(void *context)
{
	struct lane_end *end = context;
	struct lane_link *link = end->link;

	if (!end->world->lends)
		return NULL;
	assert_non_null(link->current);
	link->current->references++;
	end->world->buffers++;
	return link->current;
}

static inline void lane_buffer_drop(struct lane_buffer *buffer)
{
	if (--buffer->references)
		return;
	/* Whoever still reads it reads this. */
	memset(buffer->datagram->bytes, 0xdb, sizeof(buffer->datagram->bytes));
	free(buffer->datagram);
	free(buffer);
}

static inline void lane_drop_buffer(void *context, void *buffer)
{
	struct lane_end *end = context;

	end->world->buffers--;
	lane_buffer_drop(buffer);
}

static inline enum tw_verdict lane_admit(void *context, const struct tw_public_key *peer,
					 const struct tw_path *path,
					 struct tw_conn_config *ret_config,
					 const struct tw_conn_app **ret_app, void **ret_context)
{
	struct lane_end *end = context;
	struct tw_lane_receiving options = {
		.peer = *peer,
		.lane_port = { post_to_berth, end },
		.berth_port = { post_to_lane, end },
		.hold_buffer = lane_hold_buffer,
		.drop_buffer = lane_drop_buffer,
		.buffer_context = end,
	};
	struct lane_world *world = end->world;

	(void)path;
	if (!world->world.hub || end->lane)
		return TW_ACCEPT_BUSY;
	*ret_config =
		(struct tw_conn_config){ .method = TW_RATE_DEFAULT, .limits.max_bps = UINT64_MAX };
	ret_config->data_window = tw_receiver_lane_room(world->world.hub);
	assert_int_equal(
		tw_lane_new_receiving(&options, world->world.wire.now, &end->lane, &end->berth), 0);
	tw_receiver_moor(world->world.hub, end->berth, world->world.wire.now);
	*ret_app = tw_lane_app(end->lane);
	*ret_context = end->lane;
	return TW_ACCEPT_YES;
}

static inline void lane_endpoint(struct lane_link *link, int side)
{
	struct world *world = &link->world->world;
	struct tw_endpoint_config config = {
		.identity = &world->identities[side],
		.cipher_min = TW_CIPHER_AUTH,
		.random = world->random,
		.accept = side == 1,
		.admit = lane_admit,
		.context = &link->ends[1],
	};

	assert_int_equal(tw_endpoint_new(&config, world->wire.now, &link->wire.ends[side]), 0);
}

static inline bool lane_hook(struct wire *wire, int to, uint8_t *bytes, size_t *length)
{
	struct lane_link *link = (struct lane_link *)(void *)wire;

	(void)to;
	(void)bytes;
	(void)length;
	return !link->cut;
}

static inline void lane_world_init(struct lane_world *world, uint64_t seed,
				   struct tw_source *source, unsigned lanes)
{
	unsigned i;

	memset(world, 0, sizeof(*world));
	world_init(&world->world, seed, source);
	world->world.receiver_options.lanes = lanes;
	world->world.receiver_options.random = &world->world.random;
	world->wanted = lanes;
	world->lag = 20 * TW_USEC;
	world->rate_bps = 400000000;
	for (i = 0; i < LANES_ROOM; i++) {
		struct lane_link *link = &world->links[i];

		wire_init(&link->wire, seed + 1000 + i);
		link->world = world;
		link->ends[0].world = link->ends[1].world = world;
		link->ends[0].link = link->ends[1].link = link;
		link->wire.hook = lane_hook;
	}
}

/* A lane that is dialled with the token of the connection in use; errors of the session as such. */
static inline int lane_open(struct lane_world *world, struct lane_link *link)
{
	struct world *base = &world->world;
	struct tw_letter_port lane_port = { post_to_berth, &link->ends[0] },
			      berth_port = { post_to_lane, &link->ends[0] };
	struct tw_connect connect = base->dialer_options.connect;
	struct tw_conn *conn;
	int error;

	error = tw_lane_new_sending(base->outgoing, &lane_port, &berth_port, base->wire.now,
				    &link->ends[0].lane, &link->ends[0].berth);
	if (error)
		return error;
	link->used = true;
	link->cut = false;
	link->wire.now = base->wire.now;
	link->wire.rate_bps = world->rate_bps;
	lane_endpoint(link, 0);
	lane_endpoint(link, 1);
	connect.remote = link->wire.addresses[1];
	connect.app = tw_lane_app(link->ends[0].lane);
	connect.app_context = link->ends[0].lane;
	assert_int_equal(tw_endpoint_connect(link->wire.ends[0], &connect, base->wire.now, &conn),
			 0);
	tw_lane_dialled(link->ends[0].lane, conn);
	world->opened++;
	return 0;
}

static inline void lanes_open(struct lane_world *world)
{
	struct tw_outgoing *outgoing = world->world.outgoing;
	unsigned i;

	if (!outgoing)
		return;
	for (i = 0; i < LANES_ROOM; i++) {
		if (tw_outgoing_lanes_used(outgoing) >= world->wanted ||
		    tw_outgoing_lanes_used(outgoing) >= tw_outgoing_lanes(outgoing) ||
		    (world->reopen_max && world->opened >= world->reopen_max))
			return;
		if (!world->links[i].used)
			assert_int_equal(lane_open(world, &world->links[i]), 0);
	}
}

/* As wire_deliver(), with datagrams that can be held. */
static inline void lane_deliver(struct lane_link *link, int to)
{
	struct wire_direction *direction = &link->wire.to[to];
	struct lane_end *end = &link->ends[to];
	tw_ns now = link->wire.now;
	size_t done = 0;

	while (done < direction->count && direction->queue[done]->arrives <= now) {
		struct lane_buffer *buffer = malloc(sizeof(*buffer));

		*buffer = (struct lane_buffer){ direction->queue[done++], 1 };
		link->current = buffer;
		if (link->wire.ends[to])
			tw_endpoint_receive(link->wire.ends[to], &buffer->datagram->path,
					    buffer->datagram->bytes, buffer->datagram->length, now);
		if (end->lane && link->world->lends)
			tw_lane_flush(end->lane, now);
		link->current = NULL;
		lane_buffer_drop(buffer);
	}
	if (end->lane && done)
		tw_lane_flush(end->lane, now);
	direction->count -= done;
	if (done)
		memmove(direction->queue, direction->queue + done,
			direction->count * sizeof(*direction->queue));
}

static inline void lane_end_free(struct lane_end *end)
{
	struct tw_berth_info info;

	if (end->berth) {
		tw_berth_info(end->berth, &info);
		end->last = info;
	}
	if (end->berth && tw_berth_is_over(end->berth)) {
		if (end == &end->link->ends[0])
			end->world->sent_over_lanes += info.conn.data_bytes_sent;
		tw_berth_free(end->berth);
		end->berth = NULL;
	}
	if (end->lane && tw_lane_is_over(end->lane)) {
		tw_lane_free(end->lane);
		end->lane = NULL;
	}
}

static inline void lane_turn(struct lane_world *world, struct lane_link *link, bool tick)
{
	tw_ns now = world->world.wire.now;
	struct tw_letter *letter;
	int i;

	link->wire.now = now;
	for (i = 0; i < 2; i++)
		lane_deliver(link, i);
	for (i = 0; i < 2; i++) {
		struct lane_end *end = &link->ends[i];

		while ((letter = letters_take(&end->to_lane, now)))
			tw_lane_letter(end->lane, letter, now);
		while ((letter = letters_take(&end->to_berth, now)))
			tw_berth_letter(end->berth, letter, now);
		if (tick && end->lane)
			tw_lane_tick(end->lane, now);
		if (tick && end->berth)
			tw_berth_tick(end->berth, now);
	}
	for (i = 0; i < 2; i++) {
		if (link->wire.ends[i])
			wire_pump(&link->wire, i);
		lane_end_free(&link->ends[i]);
	}
	for (i = 0; i < 2; i++) {
		if (link->ends[i].lane || link->ends[i].berth)
			return;
	}
	for (i = 0; i < 2; i++) {
		tw_endpoint_free(link->wire.ends[i]);
		link->wire.ends[i] = NULL;
	}
	link->used = false;
}

static inline tw_ns lane_next(const struct lane_link *link, tw_ns next)
{
	int i;

	for (i = 0; i < 2; i++) {
		const struct lane_end *end = &link->ends[i];

		if (link->wire.ends[i])
			next = tw_ns_min(next, tw_endpoint_deadline(link->wire.ends[i]));
		if (link->wire.to[i].count)
			next = tw_ns_min(next, link->wire.to[i].queue[0]->arrives);
		if (end->to_lane.count)
			next = tw_ns_min(next, end->to_lane.at[0].due);
		if (end->to_berth.count)
			next = tw_ns_min(next, end->to_berth.at[0].due);
	}
	return next;
}

static inline bool lane_world_run(struct lane_world *world, tw_ns span,
				  bool (*done)(struct world *))
{
	struct world *base = &world->world;
	tw_ns until = base->wire.now + span;
	unsigned i;

	while (base->wire.now < until) {
		bool tick = base->wire.now >= base->tick_at;
		tw_ns next;

		world_turn(base);
		lanes_open(world);
		for (i = 0; i < LANES_ROOM; i++) {
			if (world->links[i].used)
				lane_turn(world, &world->links[i], tick);
		}
		if (done && done(base))
			return true;
		next = world_next(base, until);
		for (i = 0; i < LANES_ROOM; i++) {
			if (world->links[i].used)
				next = lane_next(&world->links[i], next);
		}
		base->wire.now = tw_ns_max(next, base->wire.now + TW_USEC);
	}
	return false;
}

/* Content that went over lanes, so far. */
static inline uint64_t lane_bytes(const struct lane_world *world)
{
	uint64_t bytes = world->sent_over_lanes;
	unsigned i;

	for (i = 0; i < LANES_ROOM; i++) {
		if (world->links[i].ends[0].berth)
			bytes += world->links[i].ends[0].last.conn.data_bytes_sent;
	}
	return bytes;
}

/* The end of a program at once: letters are forgotten. */
static inline void lanes_kill(struct lane_world *world, int side)
{
	unsigned i;

	for (i = 0; i < LANES_ROOM; i++) {
		struct lane_link *link = &world->links[i];
		struct lane_end *end = &link->ends[side];

		tw_endpoint_free(link->wire.ends[side]);
		link->wire.ends[side] = NULL;
		end->to_lane.count = end->to_berth.count = 0;
		tw_berth_free(end->berth);
		tw_lane_free(end->lane);
		end->berth = NULL;
		end->lane = NULL;
	}
}

static inline void lane_world_kill_sender(struct lane_world *world)
{
	lanes_kill(world, 0);
	world_kill_sender(&world->world);
}

static inline void lane_world_kill_receiver(struct lane_world *world)
{
	struct world *base = &world->world;

	tw_endpoint_free(base->wire.ends[1]);
	tw_receiver_hub_stop(base->hub);
	while (!tw_receiver_hub_idle(base->hub))
		world_disk_run(&base->disks[1], false, true);
	lanes_kill(world, 1);
	tw_receiver_hub_free(base->hub);
	base->wire.ends[1] = NULL;
	base->hub = NULL;
}

static inline void lane_world_deinit(struct lane_world *world)
{
	unsigned i;

	if (world->world.sender)
		lane_world_kill_sender(world);
	if (world->world.hub)
		lane_world_kill_receiver(world);
	assert_int_equal(world->buffers, 0);
	for (i = 0; i < LANES_ROOM; i++)
		wire_deinit(&world->links[i].wire);
	world_deinit(&world->world);
}
