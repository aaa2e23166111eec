/*
 * links.c - the data workers: opened, heard, looked at, stopped.
 *
 * Events are dealt with as they come. Snapshots are only looked at when somebody wants to see them:
 * once a second for the samples, and when a view is asked for and a worker has said that there is
 * something new. Then each entry is tied to its object by number; a pointer into a snapshot counts
 * as long as its serial is that of the refresh.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/discover.h"
#include "engine/engine_internal.h"
#include "netio/clock.h"
#include "netio/sockaddr.h"

#define PUBLISH_EVERY (100 * TW_MSEC)
#define EVENTS_A_TURN 512

/* Events. */

static struct tw_transfer *transfer_of(struct tw_engine *engine, uint64_t number)
{
	struct tw_index_node *node = tw_index_find_number(&engine->transfer_numbers, number);

	return node ? TW_OWNER(node, struct tw_transfer, by_number) : NULL;
}

static void hear(struct tw_link *link, const struct tw_worker_event *event)
{
	struct tw_engine *engine = link->engine;
	struct tw_transfer *transfer;
	char text[400];

	switch (event->type) {
	case TW_WORKER_PROBLEM:
		transfer = transfer_of(engine, event->id);
		if (!transfer || transfer->doomed || event->harmless)
			return;
		snprintf(text, sizeof(text), "%s: %s", event->text, tw_strerror(event->error));
		tw_transfer_problem(transfer, text);
		return;
	case TW_WORKER_ENDED:
		transfer = transfer_of(engine, event->id);
		if (transfer)
			tw_queue_ended(transfer, &event->sending);
		return;
	case TW_WORKER_DISCOVERED:
		if (engine->discovers)
			tw_discovers_event(engine->discovers, event);
		return;
	default:
		tw_receive_event(engine, event);
	}
}

static void all_stopped(struct tw_engine *engine)
{
	void (*stopped)(void *context) = engine->stopped;

	engine->stopped = NULL;
	tw_engine_commit(engine);
	tw_store_sync(engine->store);
	stopped(engine->stopped_context);
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct tw_link *link = context;
	struct tw_worker_event event;
	unsigned left = EVENTS_A_TURN;

	(void)fd;
	(void)what;
	/* Silenced first: what comes from here on rings again. Snapshots wait until they are
	 * wanted. */
	if (tw_worker_heard(link->worker))
		link->engine->news = true;
	while (left && tw_worker_event(link->worker, &event)) {
		hear(link, &event);
		left--;
	}
	/* The bell has been silenced: what is left is fetched in another turn. */
	if (!left)
		event_active(link->readable, EV_READ, 0);
	if (!TAILQ_EMPTY(&link->engine->kicks) &&
	    !event_pending(link->engine->kick, EV_TIMEOUT, NULL))
		event_add(link->engine->kick, &(struct timeval){ 0 });
	tw_links_check_stopped(link->engine);
}

void tw_links_check_stopped(struct tw_engine *engine)
{
	bool more = false;

	if (!engine->stopping || !engine->stopped)
		return;
	tw_links_refresh(engine, true);
	for (unsigned i = 0; i < engine->link_count; i++) {
		struct tw_link *link = &engine->links[i];

		if (!link->stopped && link->snapshot && link->snapshot->stopped) {
			struct tw_worker_event event;

			link->stopped = true;
			/* What it said last. */
			while (tw_worker_event(link->worker, &event))
				hear(link, &event);
			event_del(link->readable);
		}
		more = more || !link->stopped;
	}
	if (!more)
		all_stopped(engine);
}

/* Opening. */

/* Where the first one listens all do. */
static void join(const struct tw_engine *engine, struct tw_worker_receiving *ret)
{
	const struct tw_udp *udp;

	while ((udp = tw_worker_socket(engine->links[0].worker, ret->bind_count)))
		ret->binds[ret->bind_count++] = udp->local;
}

static void fill_receiving(const struct tw_link *link, struct tw_worker_receiving *ret)
{
	const struct tw_engine *engine = link->engine;

	*ret = (struct tw_worker_receiving){
		.fs = &engine->receive_fs,
		.cipher_min = (enum tw_cipher)engine->options.min_cipher,
		.file_events = engine->file_events,
	};
	if (link->index) {
		join(engine, ret);
		return;
	}
	static_assert(TW_WORKER_BINDS_MAX >= 2 * TW_RECEIVE_PORTS_MAX, "both families of each");
	for (size_t i = 0; i < engine->options.receive_port_count; i++) {
		uint16_t port = engine->options.receive_ports[i];

		ret->binds[ret->bind_count++] = tw_address_any(TW_FAMILY_IPV4, port);
		/* Any free port would be another one here, which nobody could know. */
		if (port)
			ret->binds[ret->bind_count++] = tw_address_any(TW_FAMILY_IPV6, port);
	}
}

/* The one who keeps the rights has that to larger buffers too. */
static int set_buffers(void *context, int fd, size_t receive_bytes, size_t send_bytes)
{
	struct tw_accounts *accounts = context;

	return accounts->ops->buffers(accounts, fd, receive_bytes, send_bytes);
}

static int make_worker(struct tw_link *link, struct tw_worker_receiving *receiving,
		       struct tw_address *ret_failed)
{
	struct tw_engine *engine = link->engine;
	struct tw_worker_options options = {
		.identity = engine->options.identity,
		.receiving = receiving,
		.publish_every = PUBLISH_EVERY,
		.helper = { set_buffers, engine->options.accounts },
		.crew = engine->crew,
		.place = link->index,
	};
	int r = receiving ? tw_receive_admission(engine, &receiving->admission) : 0;

	if (r)
		return r;
	memcpy(options.server_id, engine->server_id_bytes, sizeof(options.server_id));
	memcpy(options.server_uid, engine->server_uid_bytes, sizeof(options.server_uid));
	return tw_worker_new(&options, &link->worker, ret_failed);
}

/* A machine without IPv6 still receives over IPv4. */
static int open_receiving(struct tw_link *link, struct tw_address *ret_failed)
{
	struct tw_worker_receiving receiving;
	unsigned kept = 0;
	int r;

	fill_receiving(link, &receiving);
	r = make_worker(link, &receiving, ret_failed);
	if ((r != -EAFNOSUPPORT && r != -EADDRNOTAVAIL) || ret_failed->family != TW_FAMILY_IPV6)
		return r;
	fill_receiving(link, &receiving);
	for (unsigned i = 0; i < receiving.bind_count; i++)
		if (receiving.binds[i].family == TW_FAMILY_IPV4)
			receiving.binds[kept++] = receiving.binds[i];
	receiving.bind_count = kept;
	return make_worker(link, &receiving, ret_failed);
}

/* Port 0 has become a real one. */
static void note_ports(const struct tw_link *link)
{
	struct tw_engine_options *options = &link->engine->options;
	const struct tw_udp *udp;
	size_t count = 0;

	for (unsigned i = 0; (udp = tw_worker_socket(link->worker, i)); i++)
		if (udp->local.family == TW_FAMILY_IPV4 && count < options->receive_port_count)
			options->receive_ports[count++] = udp->local.port;
}

static bool receives(const struct tw_engine *engine)
{
	return engine->options.receive && engine->receive_fs_open;
}

static int open_link(struct tw_engine *engine, unsigned index, char ret_message[512])
{
	struct tw_link *link = &engine->links[index];
	struct tw_address failed = { 0 };
	char text[TW_ADDRESS_TEXT];
	int r;

	*link = (struct tw_link){ .engine = engine,
				  .index = index,
				  .outgoing.part_bps = UINT64_MAX,
				  .incoming.part_bps = UINT64_MAX };
	r = receives(engine) ? open_receiving(link, &failed) : make_worker(link, NULL, &failed);
	if (r) {
		snprintf(ret_message, 512,
			 "%s: %s. Free the port, or choose another with "
			 "--recv-port.",
			 failed.family ? tw_address_format(&failed, text) : "The data worker",
			 tw_strerror(r));
		return r;
	}
	engine->link_count = index + 1;
	if (receives(engine) && !index)
		note_ports(link);
	link->readable = event_new(engine->base, tw_worker_fd(link->worker), EV_READ | EV_PERSIST,
				   on_readable, link);
	if (!link->readable || event_add(link->readable, NULL))
		return -ENOMEM;
	return 0;
}

static int start_links(struct tw_engine *engine, char ret_message[512])
{
	int r = 0;

	for (unsigned i = 0; i < engine->link_count && !r; i++)
		r = tw_worker_start(engine->links[i].worker);
	if (r)
		snprintf(ret_message, 512, "A data worker could not be started: %s.",
			 tw_strerror(r));
	return r;
}

static unsigned worker_count(const struct tw_engine *engine)
{
	unsigned count = tw_crew_size(engine->options.workers);

	return count < TW_ENGINE_WORKERS_MAX ? count : TW_ENGINE_WORKERS_MAX;
}

int tw_links_open(struct tw_engine *engine, char ret_message[512])
{
	unsigned count = worker_count(engine);
	int r = 0;

	if (count > 1) {
		r = tw_crew_new(count, &engine->crew);
		if (r)
			return r;
	}
	for (unsigned i = 0; i < count && !r; i++)
		r = open_link(engine, i, ret_message);
	if (!r && receives(engine))
		r = tw_engine_relay_open(engine, engine->links[0].worker, ret_message);
	return r ? r : start_links(engine, ret_message);
}

unsigned tw_engine_workers(const struct tw_engine *engine, bool *ret_steered)
{
	*ret_steered = !engine->crew || tw_crew_steered(engine->crew);
	return engine->link_count;
}

int tw_links_stop(struct tw_engine *engine)
{
	int r = 0;

	for (unsigned i = 0; i < engine->link_count && !r; i++)
		r = tw_worker_stop(engine->links[i].worker);
	return r;
}

void tw_links_close(struct tw_engine *engine)
{
	tw_engine_relay_close(engine);
	tw_own_relays_close(engine);
	for (unsigned i = 0; i < TW_ENGINE_WORKERS_MAX; i++) {
		struct tw_link *link = &engine->links[i];

		if (link->readable)
			event_free(link->readable);
		link->readable = NULL;
		link->snapshot = NULL;
		if (link->worker)
			tw_worker_free(link->worker);
		link->worker = NULL;
	}
	engine->link_count = 0;
	tw_crew_free(engine->crew);
	engine->crew = NULL;
}

static void send_admission(struct tw_link *link)
{
	struct tw_worker_admission admission;

	link->admission_unsent = false;
	if (tw_receive_admission(link->engine, &admission)) {
		link->admission_unsent = true;
	} else if (tw_worker_set_admission(link->worker, &admission)) {
		free(admission.keys);
		link->admission_unsent = true; /* again with the next tick */
	}
}

void tw_links_admission(struct tw_engine *engine)
{
	for (unsigned i = 0; i < engine->link_count && engine->options.receive; i++)
		send_admission(&engine->links[i]);
}

void tw_links_admission_again(struct tw_engine *engine)
{
	for (unsigned i = 0; i < engine->link_count; i++)
		if (engine->links[i].admission_unsent)
			send_admission(&engine->links[i]);
}

/* Looking. */

const struct tw_worker_destination_status *tw_destination_live(
	const struct tw_destination *destination)
{
	return destination->added && destination->live_serial &&
			       destination->live_serial ==
				       destination->object.engine->refresh_serial
		       ? destination->live
		       : NULL;
}

const struct tw_worker_transfer_status *tw_transfer_live(const struct tw_transfer *transfer)
{
	return transfer->number && transfer->live_serial &&
			       transfer->live_serial == transfer->object.engine->refresh_serial
		       ? transfer->live
		       : NULL;
}

int64_t tw_engine_wall(const struct tw_engine *engine, tw_ns at)
{
	if (!at || at == TW_NEVER)
		return 0;
	return engine->wall_us + ((int64_t)(at / 1000) - (int64_t)(engine->refreshed_at / 1000));
}

static void tie_sending(struct tw_engine *engine, const struct tw_worker_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->sending_count; i++) {
		struct tw_transfer *transfer = transfer_of(engine, snapshot->sending[i].id);

		if (!transfer)
			continue;
		transfer->live = &snapshot->sending[i];
		transfer->live_serial = engine->refresh_serial;
	}
}

/*
 * sendRateAverage: what the connection has sent since bytes may flow for one of its transfers, as
 * long as that one runs.
 */
static void measure_slice(struct tw_destination *destination,
			  const struct tw_worker_destination_status *live, tw_ns at)
{
	const struct tw_transfer *transfer, *running = NULL;

	TAILQ_FOREACH(transfer, &destination->running, running_link)
	{
		const struct tw_worker_transfer_status *status = tw_transfer_live(transfer);

		if (!status || !status->running)
			continue;
		if (transfer->number == destination->slice_of) {
			running = transfer;
			break;
		}
		if (!running)
			running = transfer;
	}
	if (!running) {
		destination->slice_of = 0;
		return;
	}
	if (running->number != destination->slice_of) {
		destination->slice_of = running->number;
		destination->slice_start = at;
		destination->slice_bytes = live->bytes_sent;
		destination->slice_measured = false;
	} else if (at > destination->slice_start) {
		destination->slice_measured = true;
		destination->slice_kbps =
			(uint64_t)((double)(live->bytes_sent - destination->slice_bytes) * 8e6 /
				   (double)(at - destination->slice_start));
	}
}

static void tie_destinations(struct tw_engine *engine, const struct tw_worker_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->destination_count; i++) {
		const struct tw_worker_destination_status *live = &snapshot->destinations[i];
		struct tw_index_node *node =
			tw_index_find_number(&engine->destination_numbers, live->id);
		struct tw_destination *destination;

		if (!node)
			continue;
		destination = TW_OWNER(node, struct tw_destination, by_number);
		destination->live = live;
		destination->live_serial = engine->refresh_serial;
		measure_slice(destination, live, snapshot->at);
	}
}

void tw_links_refresh(struct tw_engine *engine, bool now_please)
{
	tw_ns now = tw_clock_now();

	if (!now_please && !engine->news)
		return;
	engine->news = false;
	engine->refreshed_at = now;
	engine->wall_us = (int64_t)tw_clock_wall_us();
	engine->refresh_serial++;
	engine->snapshot_at = 0;
	for (unsigned i = 0; i < engine->link_count; i++) {
		struct tw_link *link = &engine->links[i];

		link->snapshot = tw_worker_snapshot(link->worker);
		/* This silences the bell for events too. */
		if (!engine->stopping)
			event_active(link->readable, EV_READ, 0);
		if (!link->snapshot)
			continue;
		tie_sending(engine, link->snapshot);
		tie_destinations(engine, link->snapshot);
		if (link->snapshot->at > engine->snapshot_at)
			engine->snapshot_at = link->snapshot->at;
	}
	if (!engine->snapshot_at)
		engine->snapshot_at = now;
	tw_receive_refresh(engine);
}
