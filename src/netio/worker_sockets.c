/* worker_sockets.c - a worker's sockets: those that listen, and one for each address in use. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "netio/clock.h"
#include "netio/sockaddr.h"
#include "netio/worker_private.h"

static int watch(struct tw_worker *worker, struct slot *slot, int operation, bool writable)
{
	struct epoll_event event = {
		.events = EPOLLIN | (writable ? EPOLLOUT : 0),
		.data.u32 = slot->index,
	};

	if (epoll_ctl(worker->epoll_fd, operation, slot->udp.fd, &event))
		return -errno;
	slot->watching_writable = writable;
	return 0;
}

void tw_worker_slot_watch(struct tw_worker *worker, struct slot *slot, bool writable)
{
	if (slot->watching_writable != writable)
		watch(worker, slot, EPOLL_CTL_MOD, writable);
}

static int find_place(struct tw_worker *worker, uint32_t *ret)
{
	uint32_t room = worker->slot_room ? 2 * worker->slot_room : 64;
	struct slot **larger;

	for (uint32_t i = 0; i < worker->slot_room; i++) {
		if (!worker->slots[i]) {
			*ret = i;
			return 0;
		}
	}
	larger = realloc(worker->slots, room * sizeof *larger);
	if (!larger)
		return -ENOMEM;
	memset(larger + worker->slot_room, 0, (room - worker->slot_room) * sizeof *larger);
	*ret = worker->slot_room;
	worker->slots = larger;
	worker->slot_room = room;
	return 0;
}

static int open_slot(struct tw_worker *worker, const struct tw_udp_options *options,
		     struct slot **ret)
{
	struct slot *slot = calloc(1, sizeof *slot);
	struct tw_udp_options all = *options;
	int r;

	if (!slot)
		return -ENOMEM;
	slot->waiting_end = &slot->waiting;
	r = find_place(worker, &slot->index);
	all.helper = worker->helper.set_buffers ? &worker->helper : NULL;
	if (!r)
		r = tw_udp_open(&all, &slot->udp);
	if (r) {
		free(slot);
		return r;
	}
	r = watch(worker, slot, EPOLL_CTL_ADD, false);
	if (r) {
		tw_udp_close(&slot->udp);
		free(slot);
		return r;
	}
	worker->slots[slot->index] = slot;
	*ret = slot;
	return 0;
}

int tw_worker_sockets_open(struct tw_worker *worker, const struct tw_worker_receiving *receiving,
			   struct tw_address *ret_failed)
{
	const struct tw_random random = tw_system_random();

	assert(!receiving || receiving->bind_count <= TW_WORKER_BINDS_MAX);
	for (unsigned i = 0; receiving && i < receiving->bind_count; i++) {
		struct tw_udp_options options = {
			.local = receiving->binds[i],
			.receive_bytes = receiving->socket_receive_bytes,
			.send_bytes = receiving->socket_send_bytes,
			.group = !worker->crew   ? TW_UDP_ALONE
				 : worker->place ? TW_UDP_JOINS
						 : TW_UDP_FOUNDS,
		};
		struct slot *slot;
		int r = open_slot(worker, &options, &slot);

		if (r) {
			*ret_failed = receiving->binds[i];
			return r;
		}
		assert(slot->index == i);
		if (options.group == TW_UDP_JOINS)
			(void)tw_crew_steer(worker->crew, slot->udp.fd);
		tw_valve_init(&slot->valve, slot->udp.fd, slot->udp.local.family == TW_FAMILY_IPV6,
			      tw_endpoint_cid_salt(worker->endpoint), &random, tw_clock_now());
		worker->listening = i + 1;
	}
	return 0;
}

void tw_worker_parcel_drop(struct tw_worker *worker, struct slot *slot)
{
	struct parcel *parcel = slot->waiting;

	slot->waiting = parcel->next;
	if (!slot->waiting)
		slot->waiting_end = &slot->waiting;
	worker->parcels--;
	if (worker->endpoint)
		tw_endpoint_release(worker->endpoint, parcel->held);
	free(parcel);
}

static void count_past(struct tw_udp_counters *past, const struct tw_udp_counters *counters)
{
	past->packets_sent += counters->packets_sent;
	past->bytes_sent += counters->bytes_sent;
	past->packets_received += counters->packets_received;
	past->bytes_received += counters->bytes_received;
	past->sends += counters->sends;
	past->receives += counters->receives;
	past->refused += counters->refused;
	past->too_long += counters->too_long;
	past->dropped += counters->dropped;
}

static void close_slot(struct tw_worker *worker, struct slot *slot)
{
	struct destination *destination = slot->destination;
	const struct tw_udp_counters *counters = &slot->udp.counters;

	while (slot->waiting)
		tw_worker_parcel_drop(worker, slot);
	if (destination) {
		destination->past.packets_sent += counters->packets_sent;
		destination->past.packets_received += counters->packets_received;
		destination->past.bytes_sent += counters->bytes_sent;
		destination->past.bytes_received += counters->bytes_received;
	}
	count_past(&worker->past_udp, counters);
	/* epoll forgets it with its last descriptor. */
	tw_udp_close(&slot->udp);
	worker->slots[slot->index] = NULL;
	free(slot);
}

void tw_worker_sockets_close(struct tw_worker *worker)
{
	for (uint32_t i = 0; i < worker->slot_room; i++)
		if (worker->slots[i])
			close_slot(worker, worker->slots[i]);
	free(worker->slots);
	worker->slots = NULL;
	worker->slot_room = 0;
}

void tw_worker_slots_close(struct tw_worker *worker, struct destination *destination)
{
	while (destination->slot_count)
		close_slot(worker, destination->slots[--destination->slot_count]);
}

struct slot *tw_worker_slot_listening(struct tw_worker *worker, const struct tw_path *path)
{
	struct slot *any = NULL;

	for (unsigned i = 0; i < worker->listening; i++) {
		struct slot *slot = worker->slots[i];
		const struct tw_address *local = &slot->udp.local;

		if (local->family != path->remote.family ||
		    (path->local.family != TW_FAMILY_NONE && local->port != path->local.port))
			continue;
		if (path->local.family != TW_FAMILY_NONE &&
		    memcmp(local->ip, path->local.ip, sizeof local->ip) == 0)
			return slot;
		if (path->local.family == TW_FAMILY_NONE || tw_address_is_any(local))
			any = any ? any : slot;
	}
	return any;
}

bool tw_worker_is_current(const struct destination *destination, const struct tw_address *remote)
{
	for (unsigned i = 0; i < destination->settings.remote_count; i++)
		if (tw_address_equal(&destination->settings.remotes[i], remote))
			return true;
	return false;
}

/*
 * A remote address that only the peer has named is a way past its relay. NATs let its answer in if
 * they show the port there that they show to the relay: the port of the socket in use. 0: none is.
 */
static uint16_t port_in_use(const struct destination *destination, const struct tw_address *remote)
{
	const struct slot *newest = NULL;

	for (unsigned i = 0; i < destination->slot_count; i++) {
		const struct slot *slot = destination->slots[i];

		if (slot->udp.connected && slot->udp.local.family == remote->family &&
		    tw_worker_is_current(destination, &slot->udp.remote) &&
		    (!newest || slot->used_at > newest->used_at))
			newest = slot;
	}
	return newest ? newest->udp.local.port : 0;
}

static struct tw_udp_options connected_options(const struct destination *destination,
					       const struct tw_address *remote)
{
	const struct tw_address *local = &destination->settings.local;
	struct tw_udp_options options = {
		.remote = *remote,
		.receive_bytes = destination->settings.socket_receive_bytes,
		.send_bytes = destination->settings.socket_send_bytes,
		.shared_port = local->port != 0,
	};

	/* An own address of the other family says nothing about this remote one; its port does. */
	if (local->family == remote->family)
		options.local = *local;
	else if (local->port)
		options.local = tw_address_any((enum tw_family)remote->family, local->port);
	else if (!tw_worker_is_current(destination, remote) && port_in_use(destination, remote)) {
		options.local = tw_address_any((enum tw_family)remote->family,
					       port_in_use(destination, remote));
		options.shared_port = true;
	}
	return options;
}

/* Of the sockets to addresses that it no longer has, the one that was not used for longest. */
static void close_oldest(struct tw_worker *worker, struct destination *destination)
{
	unsigned oldest = destination->slot_count;

	for (unsigned i = 0; i < destination->slot_count; i++) {
		const struct slot *slot = destination->slots[i];

		if (!tw_worker_is_current(destination, &slot->udp.remote) &&
		    (oldest == destination->slot_count ||
		     slot->used_at < destination->slots[oldest]->used_at))
			oldest = i;
	}
	assert(oldest < destination->slot_count);
	close_slot(worker, destination->slots[oldest]);
	destination->slots[oldest] = destination->slots[--destination->slot_count];
}

static struct slot *add_slot(struct tw_worker *worker, struct destination *destination,
			     const struct tw_udp_options *options, tw_ns now)
{
	struct slot *slot;
	int r;

	if (destination->slot_count == DESTINATION_SLOTS)
		close_oldest(worker, destination);
	r = open_slot(worker, options, &slot);
	if (r) {
		if (tw_worker_is_current(destination, &options->remote))
			destination->status.socket_error = -r;
		return NULL;
	}
	slot->destination = destination;
	slot->used_at = now;
	destination->slots[destination->slot_count++] = slot;
	return slot;
}

/* What comes to the port of the ways past a relay from yet another address: the peer's NAT may show
 * it to us as nobody could know. Without it those ways are only fewer. */
static void hear_everybody(struct tw_worker *worker, struct destination *destination,
			   const struct tw_udp_options *way, tw_ns now)
{
	struct tw_udp_options options = *way;

	for (unsigned i = 0; i < destination->slot_count; i++)
		if (!destination->slots[i]->udp.connected)
			return;
	options.remote = (struct tw_address){ .family = TW_FAMILY_NONE };
	(void)add_slot(worker, destination, &options, now);
}

struct slot *tw_worker_slot_connected(struct tw_worker *worker, struct destination *destination,
				      const struct tw_address *remote, tw_ns now)
{
	struct tw_udp_options options;
	struct slot *slot;

	for (unsigned i = 0; i < destination->slot_count; i++) {
		slot = destination->slots[i];
		if (tw_address_equal(&slot->udp.remote, remote)) {
			slot->used_at = now;
			return slot;
		}
	}
	options = connected_options(destination, remote);
	slot = add_slot(worker, destination, &options, now);
	if (slot && options.shared_port && !destination->settings.local.port)
		hear_everybody(worker, destination, &options, now);
	return slot;
}
