/*
 * discover.h - sendDiscoverPacketAsync and recvDiscoverPacketAsync: does UDP pass to a server and
 * back, how long does that take, as whom are we seen there? The sending one asks from a socket of
 * its own, on the pool; the receiving one from the receive port itself, through the data worker
 * that listens, so that the answer shows how that port looks from outside. Silence is an answer
 * too: reachable false.
 */
#pragma once

#include <event2/event.h>
#include <jansson.h>

#include "auth/accounts.h"
#include "engine/pool.h"
#include "engine/requests.h"
#include "netio/worker.h"

#define TW_DISCOVER_MAX 64         /* under way at a time */
#define TW_DISCOVER_ACCOUNT_MAX 16 /* of one owner, of those */
#define TW_DISCOVER_TIMEOUT_MS 5000
#define TW_DISCOVER_TIMEOUT_MS_MAX 60000

struct tw_discovers;

/* All borrowed; @accounts looks up names. @listening: the worker that has the receive ports; NULL:
 * none has. */
int tw_discovers_new(struct event_base *base, struct tw_pool *pool, struct tw_worker *listening,
		     struct tw_accounts *accounts, struct tw_discovers **ret);
/* When the pool has ended. */
void tw_discovers_free(struct tw_discovers *discovers);
/*
 * @parameters: {address, port, timeoutMs?}, borrowed. @owner: tw_pool_owner() of who asks. @request
 * ends with {reachable, observedIP, observedPort, roundTripTimeMs} or a fault. LimitReached,
 * InvalidParameter; Unavailable: nothing listens here. On failure @request stays the caller's.
 */
int tw_discovers_start(struct tw_discovers *discovers, bool from_receive_port,
		       const json_t *parameters, uint64_t owner, struct tw_request *request,
		       struct tw_fault *fault);
/* The listening worker goes: what would ask from its port fails. */
void tw_discovers_close(struct tw_discovers *discovers);
/* A TW_WORKER_DISCOVERED of the listening worker. */
void tw_discovers_event(struct tw_discovers *discovers, const struct tw_worker_event *event);
