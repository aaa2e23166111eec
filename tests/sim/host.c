#include "host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAKE (10 * TW_USEC)
#define IDLE_TURNS_MAX 5000
#define IDLE_SPAN (100 * TW_MSEC)

static uint8_t train_bytes[65536];

static void inbox_drop(void *context)
{
	struct sim_host *host = context;

	while (host->inbox_first) {
		struct sim_packet *packet = host->inbox_first;

		host->inbox_first = packet->next;
		free(packet);
	}
	host->inbox_last = NULL;
	host->inbox_bytes = 0;
}

void sim_host_arrive(struct sim_host *host, struct sim_packet *packet)
{
	if (!host->endpoint) {
		free(packet);
		return;
	}
	if (host->inbox_last)
		host->inbox_last->next = packet;
	else
		host->inbox_first = packet;
	host->inbox_last = packet;
	host->inbox_bytes += packet->length;
	if (!host->wake.place)
		sim_set(host->sim, &host->wake, host->sim->now + WAKE);
}

static bool hand_in(struct sim_host *host)
{
	uint8_t *buffer = NULL;
	bool any = host->inbox_first != NULL;

	if (any && host->program->buffer)
		buffer = host->program->buffer(host->context, host->inbox_bytes);
	while (host->inbox_first) {
		struct sim_packet *packet = host->inbox_first;
		const struct tw_path path = { .local = packet->at, .remote = packet->from };
		uint8_t *bytes = packet->bytes;

		host->inbox_first = packet->next;
		if (buffer) {
			memcpy(buffer, packet->bytes, packet->length);
			bytes = buffer;
			buffer += packet->length;
		}
		tw_endpoint_receive(host->endpoint, &path, bytes, packet->length, host->sim->now);
		free(packet);
	}
	host->inbox_last = NULL;
	host->inbox_bytes = 0;
	return any;
}

static void send_train(struct sim_host *host, const struct tw_train *train)
{
	for (size_t at = 0; at < train->length; at += train->segment) {
		size_t left = train->length - at;
		size_t length = left < train->segment ? left : train->segment;
		int error = sim_link_send(host->link, !host->side, &train->path, train->bytes + at,
					  length);

		if (error != -EMSGSIZE)
			continue;
		tw_endpoint_too_long(host->endpoint, train->conn, train->segment, host->sim->now);
		return;
	}
}

static bool send_all(struct sim_host *host)
{
	struct tw_train train = { .bytes = train_bytes, .room = sizeof(train_bytes) };
	unsigned trains = 0;

	while (tw_endpoint_send(host->endpoint, &train, host->sim->now)) {
		if (!train.length || !train.segment || train.length > sizeof(train_bytes)) {
			sim_fail(host->sim, "host %u: a train of %zu bytes in pieces of %u",
				 host->side, train.length, train.segment);
			break;
		}
		send_train(host, &train);
		if (++trains > 100000) {
			sim_fail(host->sim, "host %u sends without end", host->side);
			break;
		}
	}
	return trains > 0;
}

/* A loop that spins is noticed: many turns, little time, and not one datagram. */
static void note_idle(struct sim_host *host, bool busy)
{
	host->turns++;
	if (busy || host->sim->now - host->idle_since > IDLE_SPAN) {
		host->idle_turns = 0;
		host->idle_since = host->sim->now;
	} else if (++host->idle_turns > IDLE_TURNS_MAX) {
		sim_fail(host->sim, "host %u spins: %u turns in %.3f ms, deadline %.3f ms ahead",
			 host->side, host->idle_turns,
			 (double)(host->sim->now - host->idle_since) / 1e6,
			 ((double)tw_endpoint_deadline(host->endpoint) - (double)host->sim->now) /
				 1e6);
	}
}

static void turn(void *context)
{
	struct sim_host *host = context;
	tw_ns now = host->sim->now;
	tw_ns next;
	bool busy;

	if (!host->endpoint)
		return;
	busy = hand_in(host);
	tw_endpoint_timeout(host->endpoint, now);
	host->program->turn(host->context, now);
	if (!host->endpoint)
		return;
	busy |= send_all(host);
	note_idle(host, busy);
	next = tw_ns_min(tw_endpoint_deadline(host->endpoint),
			 host->program->deadline(host->context));
	sim_set(host->sim, &host->timer, next == TW_NEVER ? next : tw_ns_max(next, now + TW_USEC));
}

void sim_host_wake(struct sim_host *host)
{
	if (host->endpoint && (!host->timer.place || host->timer.at > host->sim->now))
		sim_set(host->sim, &host->timer, host->sim->now);
}

static void observe(void *context)
{
	struct sim_host *host = context;
	struct tw_conn_info info;

	sim_set(host->sim, &host->observe, host->sim->now + host->observe_every);
	if (!host->endpoint || !tw_endpoint_count(host->endpoint))
		return;
	tw_conn_info(tw_endpoint_conn(host->endpoint, 0), &info);
	sim_note(host->sim,
		 "%.3f MB acked, pacing %.2f Mbit/s, bandwidth %.2f, window %.1f KB, in flight "
		 "%.1f, rtt %.1f ms (least %.1f), queue %.1f, loss %.3f, lost %llu, spurious %llu",
		 (double)info.data_bytes_acked / 1e6, (double)info.pacing_bps / 1e6,
		 (double)info.bandwidth_bps / 1e6, (double)info.window_bytes / 1e3,
		 (double)info.in_flight_bytes / 1e3, (double)info.rtt_smoothed / 1e6,
		 (double)info.rtt_min / 1e6, (double)info.queue_delay / 1e6, info.loss,
		 (unsigned long long)info.packets_lost, (unsigned long long)info.packets_spurious);
}

void sim_host_observe(struct sim_host *host, tw_ns every)
{
	host->observe_every = every;
	sim_set(host->sim, &host->observe, host->sim->now + every);
}

void sim_host_init(struct sim_host *host, struct sim *sim, struct sim_link *link, unsigned side)
{
	*host = (struct sim_host){
		.sim = sim,
		.link = link,
		.side = side,
		.address = sim_address(side, link->config.ipv6),
		.wake = { .fire = turn, .drop = inbox_drop, .context = host },
		.timer = { .fire = turn, .context = host },
		.observe = { .fire = observe, .context = host },
	};
	link->hosts[side] = host;
}

void sim_host_start(struct sim_host *host, struct tw_endpoint *endpoint,
		    const struct sim_program *program, void *context)
{
	host->endpoint = endpoint;
	host->program = program;
	host->context = context;
	host->idle_since = host->sim->now;
	host->idle_turns = 0;
	sim_host_wake(host);
}

void sim_host_stop(struct sim_host *host)
{
	if (!host->endpoint)
		return;
	inbox_drop(host);
	sim_set(host->sim, &host->wake, TW_NEVER);
	sim_set(host->sim, &host->timer, TW_NEVER);
	tw_endpoint_free(host->endpoint);
	host->endpoint = NULL;
}

void sim_host_deinit(struct sim_host *host)
{
	sim_set(host->sim, &host->observe, TW_NEVER);
	sim_host_stop(host);
	host->link->hosts[host->side] = NULL;
}
