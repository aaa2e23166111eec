/*
 * resolve.c - host names to addresses, on a thread of their own: when a destination is made, every
 * few minutes, and every few seconds while it cannot be reached. Old addresses stay in use until
 * there are new ones: a name server that is away for an hour stops nobody.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/pool.h"
#include "netio/clock.h"
#include "netio/sockaddr.h"

#define RESOLVE_EVERY (300 * TW_SECOND)
#define RESOLVE_WHILE_AWAY (10 * TW_SECOND)

struct look_up {
	struct tw_pool_job job;
	struct tw_engine *engine;
	char destination_id[TW_OBJECT_ID];
	char *host;
	uint16_t port;
	int error;
	unsigned count;
	struct tw_address found[TW_DIALER_ADDRESSES_MAX];
};

/* Not here: libraries that parse what name servers say have no place beside our keys. */
int tw_engine_look_up(void *engine, const char *host, uint16_t port, struct tw_address *ret,
		      unsigned room, unsigned *ret_count)
{
	struct tw_accounts *accounts = ((struct tw_engine *)engine)->options.accounts;

	return accounts->ops->resolve(accounts, host, port, ret, room, ret_count);
}

static void look_up_free(struct look_up *look_up)
{
	free(look_up->host);
	free(look_up);
}

static void look_up_run(struct tw_pool_job *job)
{
	struct look_up *look_up = TW_OWNER(job, struct look_up, job);

	look_up->error = tw_engine_look_up(look_up->engine, look_up->host, look_up->port,
					   look_up->found, TW_DIALER_ADDRESSES_MAX,
					   &look_up->count);
}

static bool same_addresses(const struct tw_destination *destination, const struct tw_address *found,
			   unsigned count)
{
	if (destination->remote_count != count)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (!tw_address_equal(&destination->remotes[i], &found[i]))
			return false;
	return true;
}

static void take_addresses(struct tw_destination *destination, const struct tw_address *found,
			   unsigned count)
{
	destination->resolve_error[0] = '\0';
	if (*destination->settings.relay_key) {
		memcpy(destination->found, found, count * sizeof(*found));
		destination->found_count = count;
		tw_own_relay_ways(destination);
		return;
	}
	if (same_addresses(destination, found, count))
		return;
	memset(destination->remotes, 0, sizeof(destination->remotes));
	memcpy(destination->remotes, found, count * sizeof(*found));
	destination->remote_count = count;
	destination->changed = true;
	tw_queue_kick(destination);
}

static void again_later(struct tw_destination *destination)
{
	const struct tw_worker_destination_status *live = tw_destination_live(destination);
	bool away = *destination->resolve_error || (live && live->failed);

	tw_heap_set(&destination->object.engine->resolves, &destination->resolve_timer,
		    tw_clock_now() + (away ? RESOLVE_WHILE_AWAY : RESOLVE_EVERY));
}

static void look_up_done(struct tw_pool_job *job)
{
	struct look_up *look_up = TW_OWNER(job, struct look_up, job);
	struct tw_destination *destination = (struct tw_destination *)tw_shelf_find(
		&look_up->engine->destinations, look_up->destination_id);

	if (destination && tw_pool_ran(job)) {
		destination->resolving = false;
		if (look_up->error)
			snprintf(destination->resolve_error, sizeof(destination->resolve_error),
				 "The name cannot be looked up (%s): check its spelling and the "
				 "name server. It is tried again.",
				 tw_resolve_error(look_up->error));
		else
			take_addresses(destination, look_up->found, look_up->count);
		again_later(destination);
	}
	look_up_free(look_up);
}

/* The address to dial: that of the destination's relay when there is one; a relay of our own looks
 * after itself. */
void tw_resolve_start(struct tw_destination *destination)
{
	const struct tw_destination_settings *settings = &destination->settings;
	bool by_its_relay = settings->relay_address && !*settings->relay_key;
	const char *host = by_its_relay ? settings->relay_address : settings->address;
	uint16_t port = by_its_relay ? settings->relay_port : settings->port;
	struct tw_address address;
	struct look_up *look_up;

	if (by_its_relay && !destination->shown.family)
		tw_address_parse_ip(settings->address, &destination->shown);
	if (tw_address_parse_ip(host, &address)) {
		address.port = port;
		take_addresses(destination, &address, 1);
		return;
	}
	if (destination->resolving)
		return;
	look_up = calloc(1, sizeof(*look_up));
	if (!look_up || !tw_copy_text(host, &look_up->host)) {
		free(look_up);
		again_later(destination);
		return;
	}
	look_up->job.run = look_up_run;
	look_up->job.done = look_up_done;
	look_up->job.owner = tw_pool_owner(destination->object.owner);
	look_up->engine = destination->object.engine;
	look_up->port = port;
	memcpy(look_up->destination_id, destination->object.id, sizeof(look_up->destination_id));
	destination->resolving = true;
	tw_pool_submit(destination->object.engine->resolver, &look_up->job);
}

void tw_resolve_forget(struct tw_destination *destination)
{
	tw_heap_remove(&destination->object.engine->resolves, &destination->resolve_timer);
}

void tw_resolve_due(struct tw_engine *engine, tw_ns now)
{
	struct tw_timer *timer;

	while ((timer = tw_heap_top(&engine->resolves)) && timer->at <= now) {
		tw_heap_remove(&engine->resolves, timer);
		tw_resolve_start(TW_OWNER(timer, struct tw_destination, resolve_timer));
	}
}
