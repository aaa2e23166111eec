/*
 * worker_discover.c - asking another machine as whom it sees our listening sockets. One datagram a
 * command: whoever asks repeats it.
 */
#include <string.h>

#include "netio/clock.h"
#include "netio/worker_private.h"

void tw_worker_discover_send(struct tw_worker *worker, uint64_t token,
			     const struct tw_address *remote, tw_ns now)
{
	struct asked *asked = &worker->asked[worker->asked_next++ % TW_WORKER_ASKED];
	struct tw_path path = { .remote = *remote };
	uint8_t bytes[TW_PROBE_TOKEN_SIZE];

	memcpy(bytes, &token, sizeof bytes);
	for (unsigned i = 0; i < worker->listening; i++) {
		if (worker->slots[i]->udp.local.family != remote->family)
			continue;
		path.local = worker->slots[i]->udp.local;
		*asked = (struct asked){ token, now };
		tw_endpoint_discover(worker->endpoint, &path, bytes);
		return;
	}
}

/* Only the first answer to what was asked counts. */
void tw_worker_discovered(void *context, const uint8_t token[TW_PROBE_TOKEN_SIZE],
			  const struct tw_path *path, const struct tw_address *observed)
{
	struct tw_worker *worker = context;
	struct tw_worker_event event = { .type = TW_WORKER_DISCOVERED };

	(void)path;
	memcpy(&event.id, token, sizeof event.id);
	for (unsigned i = 0; i < TW_WORKER_ASKED; i++) {
		struct asked *asked = &worker->asked[i];

		if (!asked->at || asked->token != event.id)
			continue;
		event.discovered.observed = *observed;
		event.discovered.rtt = tw_ns_since(tw_clock_now(), asked->at);
		asked->at = 0;
		tw_worker_tell_discovered(worker, &event);
		return;
	}
}
