/* snapshot.c - what happens once a second: a sample of each transfer that the workers have. */
#include <stdio.h>

#include "engine/engine_internal.h"
#include "engine/reach.h"
#include "netio/clock.h"

#define RESOLVE_AWAY (10 * TW_SECOND)

/* The name of a destination that does not answer may have got another address. */
static void hurry_resolve(struct tw_engine *engine, const struct tw_worker_snapshot *snapshot,
			  tw_ns now)
{
	for (size_t i = 0; i < snapshot->destination_count; i++) {
		const struct tw_worker_destination_status *live = &snapshot->destinations[i];
		struct tw_index_node *node =
			live->failed ? tw_index_find_number(&engine->destination_numbers, live->id)
				     : NULL;
		struct tw_destination *destination =
			node ? TW_OWNER(node, struct tw_destination, by_number) : NULL;

		if (destination && destination->resolve_timer.place &&
		    destination->resolve_timer.at > now + RESOLVE_AWAY)
			tw_heap_set(&engine->resolves, &destination->resolve_timer,
				    now + RESOLVE_AWAY);
	}
}

/* Not before somebody listens. A name that ends with Error is a warning in the journal. */
static void tell_of_buffers(struct tw_engine *engine, const struct tw_worker_snapshot *snapshot)
{
	char words[256];

	if (engine->buffers_told || !snapshot->buffer_advice[0])
		return;
	engine->buffers_told = true;
	snprintf(words, sizeof(words),
		 "The system grants %u KiB of socket buffer, less than fast paths need. Give it more "
		 "with: %s",
		 snapshot->buffer_bytes / 1024, snapshot->buffer_advice);
	tw_engine_event(engine, "socketBufferError", "",
			json_pack("{ssss}", "errorMessage", words, "command",
				  snapshot->buffer_advice));
}

void tw_snapshot_second(struct tw_engine *engine)
{
	tw_ns now = tw_clock_now();

	tw_links_refresh(engine, true);
	for (unsigned i = 0; i < engine->link_count; i++) {
		const struct tw_worker_snapshot *snapshot = engine->links[i].snapshot;

		if (!snapshot)
			continue;
		tell_of_buffers(engine, snapshot);
		hurry_resolve(engine, snapshot, now);
		for (size_t j = 0; j < snapshot->sending_count; j++) {
			struct tw_index_node *node = tw_index_find_number(&engine->transfer_numbers,
									  snapshot->sending[j].id);
			struct tw_transfer *transfer =
				node ? TW_OWNER(node, struct tw_transfer, by_number) : NULL;

			if (transfer && transfer->state == TW_STATE_ACTIVE)
				tw_samples_add(transfer, snapshot->at);
		}
	}
	tw_manifests_trim(engine, now);
	tw_receive_expire(engine, now);
	tw_reach_rest(engine, now);
}
