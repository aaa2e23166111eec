#include "link.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

#define FULL_PACKET 1500

struct tw_address sim_address(unsigned side, bool ipv6)
{
	if (ipv6)
		return (struct tw_address){
			.family = TW_FAMILY_IPV6,
			.ip = { 0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)(side + 1) },
			.port = side ? 8886 : 1111,
		};
	return (struct tw_address){
		.family = TW_FAMILY_IPV4,
		.ip = { 192, 0, 2, (uint8_t)(side + 1) },
		.port = side ? 8886 : 1111,
	};
}

static tw_ns time_on_road(uint64_t bytes, uint64_t rate_bps)
{
	return rate_bps ? (tw_ns)((__uint128_t)bytes * 8 * TW_SECOND / rate_bps) : 0;
}

static void note_delay(struct sim_road *road, tw_ns delay)
{
	double octaves = delay > TW_USEC ? log2((double)delay / 1e3) : 0;
	size_t step = (size_t)(octaves * 2);

	if (step >= SIM_DELAYS)
		step = SIM_DELAYS - 1;
	road->stats.delays[step]++;
	road->stats.delay_count++;
}

tw_ns sim_road_delay(const struct sim_road *road, double share)
{
	uint64_t below = 0;

	for (size_t step = 0; step < SIM_DELAYS; step++) {
		below += road->stats.delays[step];
		if ((double)below >= share * (double)road->stats.delay_count)
			return step ? (tw_ns)(1e3 * exp2((double)(step + 1) / 2)) : 0;
	}
	return TW_NEVER;
}

/* One step of a Gilbert-Elliott chain: the bad state hits everything, @burst long on average. */
static bool strikes(struct sim *sim, double share, double burst, bool *bad)
{
	if (share <= 0) {
		*bad = false;
		return false;
	}
	if (burst <= 1 || share >= 1)
		return sim_chance(sim, share);
	double leave = 1 / burst;
	*bad = sim_chance(sim, *bad ? 1 - leave : leave * share / (1 - share));
	return *bad;
}

static void packet_free(void *context)
{
	free(context);
}

static void arrive(void *context)
{
	struct sim_packet *packet = context;
	struct sim_link *link = packet->link;
	struct sim_host *host = link->hosts[packet->to];

	if (!host) {
		free(packet);
		return;
	}
	link->roads[packet->to].stats.delivered++;
	sim_host_arrive(host, packet);
}

static struct sim_packet *packet_new(struct sim_link *link, unsigned to, const uint8_t *bytes,
				     size_t length)
{
	struct sim_packet *packet = malloc(sizeof(*packet) + length);

	assert(packet);
	*packet = (struct sim_packet){
		.event = { .fire = arrive, .drop = packet_free, .context = packet },
		.link = link,
		.to = to,
		.length = length,
		.queued_at = link->sim->now,
	};
	if (length && bytes)
		memcpy(packet->bytes, bytes, length);
	return packet;
}

static bool is_silent(const struct sim_link *link, const struct sim_road *road)
{
	const struct sim_road_config *config = &road->config;

	if (road->silent)
		return true;
	if (!config->on || !config->off)
		return false;
	return (link->sim->now - link->started_at) % (config->on + config->off) >= config->on;
}

static void corrupt(struct sim *sim, struct sim_packet *packet)
{
	unsigned flips = 1 + (unsigned)tw_prng_below(&sim->prng, 4);

	while (flips--)
		packet->bytes[tw_prng_below(&sim->prng, packet->length)] ^=
			(uint8_t)(1 << tw_prng_below(&sim->prng, 8));
}

static void launch(struct sim_link *link, struct sim_packet *packet)
{
	struct sim_road *road = &link->roads[packet->to];
	const struct sim_road_config *config = &road->config;
	struct sim *sim = link->sim;
	tw_ns at = sim->now + config->delay;

	if (config->jitter) {
		at += tw_prng_below(&sim->prng, config->jitter);
		at = tw_ns_max(at, road->last_arrival);
	}
	road->last_arrival = at;
	if (sim_chance(sim, config->reorder))
		at += tw_prng_below(&sim->prng,
				    1 + time_on_road((uint64_t)config->reorder_depth *
							     (FULL_PACKET + SIM_FRAME_OVERHEAD),
						     config->rate_bps ? config->rate_bps
								      : 1000000000));
	sim_set(sim, &packet->event, at);
}

/* The datagram has left the queue: what befalls it now. */
static void travel(struct sim_link *link, struct sim_packet *packet)
{
	struct sim_road *road = &link->roads[packet->to];
	const struct sim_road_config *config = &road->config;
	struct sim *sim = link->sim;

	if (packet->cross) {
		free(packet);
		return;
	}
	if (is_silent(link, road)) {
		road->stats.silenced++;
		free(packet);
		return;
	}
	if (strikes(sim, config->loss, config->loss_burst, &road->in_loss)) {
		road->stats.lost++;
		free(packet);
		return;
	}
	if (sim_chance(sim, config->duplicate)) {
		struct sim_packet *twin =
			packet_new(link, packet->to, packet->bytes, packet->length);

		twin->from = packet->from;
		twin->at = packet->at;
		road->stats.duplicated++;
		launch(link, twin);
	}
	if (strikes(sim, config->corrupt, config->corrupt_burst, &road->in_corrupt)) {
		road->stats.corrupted++;
		corrupt(sim, packet);
	}
	launch(link, packet);
}

static void start_next(struct sim_link *link, struct sim_road *road)
{
	road->busy = road->first != NULL;
	if (road->busy)
		sim_set(link->sim, &road->exit,
			link->sim->now + time_on_road(road->first->length + SIM_FRAME_OVERHEAD,
						      road->config.rate_bps));
}

static void leave_queue(struct sim_link *link, struct sim_road *road)
{
	struct sim_packet *packet = road->first;

	road->first = packet->next;
	if (!road->first)
		road->last = NULL;
	packet->next = NULL;
	road->queued_bytes -= packet->length + SIM_FRAME_OVERHEAD;
	start_next(link, road);
	if (!packet->cross)
		note_delay(road, link->sim->now - packet->queued_at -
					 time_on_road(packet->length + SIM_FRAME_OVERHEAD,
						      road->config.rate_bps));
	travel(link, packet);
}

static void exit_to_0(void *context)
{
	struct sim_link *link = context;

	leave_queue(link, &link->roads[0]);
}

static void exit_to_1(void *context)
{
	struct sim_link *link = context;

	leave_queue(link, &link->roads[1]);
}

static void enqueue(struct sim_link *link, struct sim_packet *packet)
{
	struct sim_road *road = &link->roads[packet->to];
	uint64_t size = packet->length + SIM_FRAME_OVERHEAD;

	if (!road->config.rate_bps && !road->first) {
		travel(link, packet);
		return;
	}
	/* An idle road takes any packet: the queue is what waits behind the first one. */
	if (road->config.queue_bytes && road->first &&
	    road->queued_bytes + size > road->config.queue_bytes) {
		road->stats.tail_dropped += !packet->cross;
		free(packet);
		return;
	}
	if (road->last)
		road->last->next = packet;
	else
		road->first = packet;
	road->last = packet;
	road->queued_bytes += size;
	if (!road->busy)
		start_next(link, road);
}

/* Host 0's datagrams leave with the NAT's address, and only what is for that comes in. */
static bool translate(const struct sim_link *link, struct sim_packet *packet,
		      const struct tw_path *path)
{
	if (packet->to == 1) {
		packet->from = link->outside;
		packet->at = path->remote;
		return tw_address_equal(&path->remote, &link->hosts[1]->address);
	}
	packet->from = link->hosts[1]->address;
	packet->at = link->hosts[0]->address;
	return tw_address_equal(&path->remote, &link->outside) ||
	       (!link->config.rebind_forgets &&
		tw_address_equal(&path->remote, &link->outside_before));
}

int sim_link_send(struct sim_link *link, unsigned to, const struct tw_path *path,
		  const uint8_t *bytes, size_t length)
{
	struct sim_road *road = &link->roads[to];
	struct sim_packet *packet;

	assert(length > 0);
	if (road->config.mtu && length > road->config.mtu && road->config.mtu_told)
		return -EMSGSIZE;
	sim_digest(link->sim, to, bytes, length);
	road->stats.datagrams++;
	road->stats.bytes += length;
	if (road->config.mtu && length > road->config.mtu) {
		road->stats.too_long++;
		return 0;
	}
	packet = packet_new(link, to, bytes, length);
	if (!translate(link, packet, path) ||
	    (link->watch &&
	     !link->watch(link->watch_context, to, packet->bytes, &packet->length))) {
		free(packet);
		return 0;
	}
	enqueue(link, packet);
	return 0;
}

void sim_link_forge(struct sim_link *link, unsigned to, const struct tw_path *seen,
		    const uint8_t *bytes, size_t length)
{
	struct sim_packet *packet = packet_new(link, to, bytes, length);

	packet->from = seen->remote;
	packet->at = seen->local;
	enqueue(link, packet);
}

static void cross_load(struct sim_link *link, unsigned to)
{
	struct sim_road *road = &link->roads[to];
	const struct sim_road_config *config = &road->config;
	tw_ns turn = config->cross_on + config->cross_off;
	tw_ns step = time_on_road(FULL_PACKET, config->cross_bps);
	tw_ns into = turn ? (link->sim->now - link->started_at) % turn : 0;

	if (!config->cross_bps)
		return;
	if (turn && into >= config->cross_on) {
		sim_set(link->sim, &road->cross, link->sim->now + turn - into);
		return;
	}
	struct sim_packet *packet = packet_new(link, to, NULL, FULL_PACKET - SIM_FRAME_OVERHEAD);

	packet->cross = true;
	enqueue(link, packet);
	/* Not in step with anything. */
	sim_set(link->sim, &road->cross,
		link->sim->now + step / 2 + tw_prng_below(&link->sim->prng, step + 1));
}

static void cross_to_0(void *context)
{
	cross_load(context, 0);
}

static void cross_to_1(void *context)
{
	cross_load(context, 1);
}

void sim_link_rebind(struct sim_link *link)
{
	link->outside_before = link->outside;
	link->rebindings++;
	link->outside.port = (uint16_t)(20000 + link->rebindings % 40000);
	if (link->config.rebind_moves)
		link->outside.ip[link->config.ipv6 ? 15 : 3] =
			(uint8_t)(1 + link->rebindings % 250);
	sim_note(link->sim, "rebinding %u", link->rebindings);
}

static void rebind_due(void *context)
{
	struct sim_link *link = context;

	if (!link->config.rebind_every)
		return;
	sim_link_rebind(link);
	sim_set(link->sim, &link->rebind, link->sim->now + link->config.rebind_every);
}

void sim_link_set(struct sim_link *link, const struct sim_link_config *config)
{
	struct sim *sim = link->sim;

	link->config = *config;
	for (unsigned to = 0; to < 2; to++) {
		link->roads[to].config = config->to[to];
		sim_set(sim, &link->roads[to].cross,
			config->to[to].cross_bps ? sim->now : TW_NEVER);
	}
	sim_set(sim, &link->rebind,
		config->rebind_every ? sim->now + config->rebind_every : TW_NEVER);
}

void sim_link_silence(struct sim_link *link, bool silent)
{
	sim_note(link->sim, silent ? "silence" : "silence over");
	for (unsigned to = 0; to < 2; to++)
		link->roads[to].silent = silent;
}

static void drop_queue(void *context)
{
	struct sim_road *road = context;

	while (road->first) {
		struct sim_packet *packet = road->first;

		road->first = packet->next;
		free(packet);
	}
}

static void drop_queue_0(void *context)
{
	drop_queue(&((struct sim_link *)context)->roads[0]);
}

static void drop_queue_1(void *context)
{
	drop_queue(&((struct sim_link *)context)->roads[1]);
}

void sim_link_init(struct sim_link *link, struct sim *sim, const struct sim_link_config *config)
{
	*link = (struct sim_link){ .sim = sim, .started_at = sim->now };
	link->roads[0].exit =
		(struct sim_event){ .fire = exit_to_0, .drop = drop_queue_0, .context = link };
	link->roads[1].exit =
		(struct sim_event){ .fire = exit_to_1, .drop = drop_queue_1, .context = link };
	link->roads[0].cross = (struct sim_event){ .fire = cross_to_0, .context = link };
	link->roads[1].cross = (struct sim_event){ .fire = cross_to_1, .context = link };
	link->rebind = (struct sim_event){ .fire = rebind_due, .context = link };
	link->outside = (struct tw_address){ .family = TW_FAMILY_IPV4,
					     .ip = { 198, 51, 100, 1 },
					     .port = 20000 };
	if (config->ipv6)
		link->outside = (struct tw_address){
			.family = TW_FAMILY_IPV6,
			.ip = { 0x20, 0x01, 0x0d, 0xb8, 1, [15] = 1 },
			.port = 20000,
		};
	link->outside_before = link->outside;
	sim_link_set(link, config);
}
