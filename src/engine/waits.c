/*
 * waits.c - callers that want to be told when an object is no longer processing. A wait is called
 * back from the loop, never from inside the call that ended it, so that it may do anything.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/requests.h"

#define WAITS_MAX 100000

/* All waits for one id. */
struct waited {
	struct tw_index_node by_id;
	char id[TW_OBJECT_ID];
	LIST_HEAD(, tw_wait) waits;
};

struct tw_wait {
	LIST_ENTRY(tw_wait) link;
	struct tw_engine *engine;
	struct waited *waited; /* NULL: it is over, the call is on its way */
	struct event *timer;
	void (*changed)(void *context, bool timed_out);
	void *context;
};

void tw_waits_init(struct tw_engine *engine)
{
	tw_index_init(&engine->waits);
}

static void detach(struct tw_wait *wait)
{
	struct waited *waited = wait->waited;

	if (!waited)
		return;
	LIST_REMOVE(wait, link);
	wait->waited = NULL;
	if (!LIST_EMPTY(&waited->waits))
		return;
	tw_index_remove(&wait->engine->waits, &waited->by_id);
	free(waited);
}

static void wait_free(struct tw_wait *wait)
{
	detach(wait);
	event_free(wait->timer);
	free(wait);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct tw_wait *wait = context;
	void (*changed)(void *context, bool timed_out) = wait->changed;
	void *changed_context = wait->context;
	bool timed_out = wait->waited != NULL;

	(void)fd;
	(void)what;
	wait_free(wait);
	changed(changed_context, timed_out);
}

void tw_waits_wake(struct tw_engine *engine, const char *id)
{
	struct tw_index_node *node = engine->waits.count ? tw_index_find(&engine->waits, id) : NULL;
	struct waited *waited = node ? TW_OWNER(node, struct waited, by_id) : NULL;

	while (waited) {
		struct tw_wait *wait = LIST_FIRST(&waited->waits);
		bool last = !LIST_NEXT(wait, link);

		detach(wait);
		event_add(wait->timer, &(struct timeval){ 0 });
		if (last)
			return;
	}
}

void tw_waits_deinit(struct tw_engine *engine)
{
	for (size_t i = 0; i < engine->waits.room; i++)
		while (engine->waits.slots[i]) {
			struct waited *waited =
				TW_OWNER(engine->waits.slots[i], struct waited, by_id);

			tw_index_remove(&engine->waits, &waited->by_id);
			while (!LIST_EMPTY(&waited->waits)) {
				struct tw_wait *wait = LIST_FIRST(&waited->waits);

				LIST_REMOVE(wait, link);
				event_free(wait->timer);
				free(wait);
			}
			free(waited);
		}
	tw_index_deinit(&engine->waits);
}

/* Is there something to wait for? */
static bool processing(struct tw_engine *engine, const char *id)
{
	const struct tw_transfer *transfer =
		(struct tw_transfer *)tw_shelf_find(&engine->transfers, id);
	const struct tw_manifest_object *manifest =
		(struct tw_manifest_object *)tw_shelf_find(&engine->manifests, id);
	/* Whoever waits has been shown the object by another call. */
	const struct tw_caller all = { .superuser = true };
	struct tw_request_status request;
	struct tw_fault fault;

	if (transfer)
		return !tw_transfer_over(transfer);
	if (manifest)
		return manifest->status == TW_MANIFEST_PENDING;
	return engine->requests &&
	       !tw_requests_look(engine->requests, &all, id, &request, &fault) &&
	       request.state == TW_REQUEST_PENDING;
}

static struct waited *find_waited(struct tw_engine *engine, const char *id)
{
	struct tw_index_node *node = tw_index_find(&engine->waits, id);
	struct waited *waited;

	if (node)
		return TW_OWNER(node, struct waited, by_id);
	if (engine->waits.count >= WAITS_MAX || strlen(id) >= sizeof(waited->id))
		return NULL;
	waited = calloc(1, sizeof(*waited));
	if (!waited)
		return NULL;
	strcpy(waited->id, id);
	LIST_INIT(&waited->waits);
	if (tw_index_add(&engine->waits, &waited->by_id, waited->id)) {
		free(waited);
		return NULL;
	}
	return waited;
}

struct tw_wait *tw_engine_wait(struct tw_engine *engine, const char *id, uint64_t timeout_ms,
			       void (*changed)(void *context, bool timed_out), void *context)
{
	struct timeval timeout = { (time_t)(timeout_ms / 1000),
				   (suseconds_t)(timeout_ms % 1000) * 1000 };
	struct tw_wait *wait;

	if (!processing(engine, id))
		return NULL;
	wait = calloc(1, sizeof(*wait));
	if (!wait)
		return NULL;
	wait->engine = engine;
	wait->changed = changed;
	wait->context = context;
	wait->timer = evtimer_new(engine->base, on_timer, wait);
	wait->waited = wait->timer ? find_waited(engine, id) : NULL;
	if (!wait->waited) {
		if (wait->timer)
			event_free(wait->timer);
		free(wait);
		return NULL;
	}
	LIST_INSERT_HEAD(&wait->waited->waits, wait, link);
	if (timeout_ms != UINT64_MAX)
		event_add(wait->timer, &timeout);
	return wait;
}

void tw_engine_wait_cancel(struct tw_wait *wait)
{
	wait_free(wait);
}
