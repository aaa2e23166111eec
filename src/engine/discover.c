#include "engine/discover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "netio/clock.h"
#include "netio/discover.h"
#include "netio/sockaddr.h"

#define ADDRESSES_MAX 8

struct discover {
	struct tw_pool_job job; /* first: looks up the name; asks, when not from the receive port */
	struct tw_discovers *discovers;
	struct discover *next;
	struct tw_request *request;
	char host[256];
	uint16_t port;
	bool from_receive_port;
	tw_ns timeout, end;

	/* Results. */
	int lookup; /* EAI_* */
	int result; /* 0, TW_E_* or -errno */
	struct tw_address addresses[ADDRESSES_MAX];
	unsigned address_count;
	struct tw_discovery discovery;

	/* From the receive port. */
	uint64_t id;
	struct event *timer;
};

struct tw_discovers {
	struct event_base *base;
	struct tw_pool *pool;
	struct tw_worker *listening;
	struct tw_accounts *accounts;
	struct discover *all;
	unsigned count;
	uint64_t id_next;
};

int tw_discovers_new(struct event_base *base, struct tw_pool *pool, struct tw_worker *listening,
		     struct tw_accounts *accounts, struct tw_discovers **ret)
{
	struct tw_discovers *discovers = calloc(1, sizeof *discovers);

	if (!discovers)
		return -ENOMEM;
	discovers->base = base;
	discovers->pool = pool;
	discovers->listening = listening;
	discovers->accounts = accounts;
	discovers->id_next = 1;
	*ret = discovers;
	return 0;
}

static void discover_free(struct discover *discover)
{
	struct discover **place = &discover->discovers->all;

	while (*place != discover)
		place = &(*place)->next;
	*place = discover->next;
	discover->discovers->count--;
	if (discover->timer)
		event_free(discover->timer);
	free(discover);
}

void tw_discovers_free(struct tw_discovers *discovers)
{
	if (!discovers)
		return;
	while (discovers->all)
		discover_free(discovers->all);
	free(discovers);
}

/* Endings. */

static void answer(struct discover *discover)
{
	char ip[TW_ADDRESS_TEXT];
	json_t *result;

	if (discover->result)
		result = json_pack("{s:b, s:n, s:n, s:n}", "reachable", 0, "observedIP",
				   "observedPort", "roundTripTimeMs");
	else
		result = json_pack("{s:b, s:s, s:i, s:f}", "reachable", 1, "observedIP",
				   tw_address_format_ip(&discover->discovery.observed, ip),
				   "observedPort", discover->discovery.observed.port,
				   "roundTripTimeMs",
				   (double)discover->discovery.rtt / (double)TW_MSEC);
	tw_request_done(discover->request, result);
	discover_free(discover);
}

static void fail(struct discover *discover, enum tw_fault_code code, const char *what)
{
	struct tw_fault fault;

	tw_fault_set(&fault, code, "address", "%s: %s.", discover->host, what);
	tw_request_fail(discover->request, &fault);
	discover_free(discover);
}

/* From a socket of its own. */

static bool cancelled(void *context)
{
	return tw_pool_cancelled(context);
}

static void run(struct tw_pool_job *job)
{
	struct discover *discover = (struct discover *)job;
	struct tw_accounts *accounts = discover->discovers->accounts;

	discover->lookup = accounts->ops->resolve(accounts, discover->host, discover->port,
						  discover->addresses, ADDRESSES_MAX,
						  &discover->address_count);
	discover->result = TW_E_TIMEOUT;
	if (discover->lookup || discover->from_receive_port)
		return;
	/* Each address gets its part of the time. */
	for (unsigned i = 0; i < discover->address_count && discover->result; i++)
		discover->result = tw_discover(&discover->addresses[i],
					       discover->timeout / discover->address_count,
					       cancelled, job, &discover->discovery);
}

/* From the receive port. */

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	static const struct timeval again = { 0, (suseconds_t)(TW_DISCOVER_EVERY / TW_USEC) };
	struct discover *discover = context;

	(void)fd;
	(void)what;
	if (tw_clock_now() >= discover->end) {
		answer(discover);
		return;
	}
	for (unsigned i = 0; i < discover->address_count; i++)
		(void)tw_worker_discover(discover->discovers->listening, discover->id,
					 &discover->addresses[i]);
	(void)event_add(discover->timer, &again);
}

static void ask_from_receive_port(struct discover *discover)
{
	if (!discover->discovers->listening) {
		fail(discover, TW_FAULT_UNAVAILABLE, "the server is stopping");
		return;
	}
	discover->id = discover->discovers->id_next++;
	discover->end = tw_clock_now() + discover->timeout;
	discover->timer = event_new(discover->discovers->base, -1, 0, on_timer, discover);
	if (discover->timer)
		on_timer(-1, 0, discover);
	else
		fail(discover, TW_FAULT_INTERNAL, "there is no memory left");
}

void tw_discovers_close(struct tw_discovers *discovers)
{
	discovers->listening = NULL;
}

void tw_discovers_event(struct tw_discovers *discovers, const struct tw_worker_event *event)
{
	for (struct discover *discover = discovers->all; discover; discover = discover->next) {
		if (!discover->id || discover->id != event->id)
			continue;
		discover->result = 0;
		discover->discovery.observed = event->discovered.observed;
		discover->discovery.rtt = event->discovered.rtt;
		answer(discover);
		return;
	}
}

static void done(struct tw_pool_job *job)
{
	struct discover *discover = (struct discover *)job;

	if (!tw_pool_ran(job) || discover->result == TW_E_CLOSED)
		fail(discover, TW_FAULT_UNAVAILABLE, "the server is stopping");
	else if (discover->lookup)
		fail(discover, TW_FAULT_UNAVAILABLE, tw_resolve_error(discover->lookup));
	else if (discover->from_receive_port)
		ask_from_receive_port(discover);
	else if (discover->result < 0)
		fail(discover, TW_FAULT_UNAVAILABLE, tw_strerror(discover->result));
	else
		answer(discover);
}

static int read_parameters(const json_t *parameters, struct discover *discover,
			   struct tw_fault *fault)
{
	const char *address = json_string_value(json_object_get(parameters, "address"));
	const json_t *port = json_object_get(parameters, "port");
	const json_t *timeout = json_object_get(parameters, "timeoutMs");
	json_int_t ms = timeout && json_is_integer(timeout) ? json_integer_value(timeout)
							    : TW_DISCOVER_TIMEOUT_MS;

	if (!address || !address[0] || strlen(address) >= sizeof discover->host)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "address",
				    "address must be a host name or an IP address.");
	if (!json_is_integer(port) || json_integer_value(port) < 1 ||
	    json_integer_value(port) > 65535)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "port",
				    "port must be from 1 to 65535.");
	if (ms < 1 || ms > TW_DISCOVER_TIMEOUT_MS_MAX)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "timeoutMs",
				    "timeoutMs must be from 1 to %d.", TW_DISCOVER_TIMEOUT_MS_MAX);
	strcpy(discover->host, address);
	discover->port = (uint16_t)json_integer_value(port);
	discover->timeout = (tw_ns)ms * TW_MSEC;
	return TW_FAULT_NONE;
}

static unsigned count_of(const struct tw_discovers *discovers, uint64_t owner)
{
	unsigned count = 0;

	for (const struct discover *at = discovers->all; at; at = at->next)
		count += at->job.owner == owner;
	return count;
}

int tw_discovers_start(struct tw_discovers *discovers, bool from_receive_port,
		       const json_t *parameters, uint64_t owner, struct tw_request *request,
		       struct tw_fault *fault)
{
	unsigned own = count_of(discovers, owner);
	struct discover *discover;
	int r;

	if (from_receive_port && !discovers->listening)
		return tw_fault_set(fault, TW_FAULT_UNAVAILABLE, NULL,
				    "This server has no receive port to ask from.");
	if (own >= TW_DISCOVER_ACCOUNT_MAX || discovers->count == TW_DISCOVER_MAX)
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, NULL,
				    "%u are under way already; wait for some to end.",
				    own >= TW_DISCOVER_ACCOUNT_MAX ? own : discovers->count);
	discover = calloc(1, sizeof *discover);
	if (!discover)
		return tw_fault_set(fault, TW_FAULT_INTERNAL, NULL, "There is no memory left.");
	r = read_parameters(parameters, discover, fault);
	if (r) {
		free(discover);
		return r;
	}
	discover->discovers = discovers;
	discover->request = request;
	discover->from_receive_port = from_receive_port;
	discover->job.run = run;
	discover->job.done = done;
	discover->job.owner = owner;
	discover->next = discovers->all;
	discovers->all = discover;
	discovers->count++;
	tw_pool_submit(discovers->pool, &discover->job);
	return TW_FAULT_NONE;
}
