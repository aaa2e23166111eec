/*
 * endpoint_internal.h - what endpoint.c and the files of the connection share.
 */
#pragma once

#include "base/heap.h"
#include "core/cid.h"
#include "core/door.h"
#include "core/endpoint.h"
#include "core/table.h"
#include "crypto/cookie.h"
#include "wire/datagram.h"

#define TW_REPLIES_MAX 16

/* An answer to a stranger waiting to leave: no state, only bytes. The oldest is dropped when there
 * are too many. */
struct tw_reply {
	struct tw_path path;
	uint8_t bytes[128];
	size_t length;
	uint64_t cid; /* of the connection that it is about; 0: none */
};

struct tw_endpoint {
	struct tw_endpoint_config config;
	struct tw_table by_cid;
	struct tw_table by_init; /* accepting side: hash of (client's id, address) -> connection */
	struct tw_heap timers;
	struct tw_conn **conns; /* owned array of owned connections */
	size_t count, room, half_open;
	struct tw_cid_salt cid_salt;
	struct tw_cookie_jar cookies;
	struct tw_door door;
	struct tw_reply replies[TW_REPLIES_MAX];
	size_t reply_first, reply_count;
	bool replied; /* the last train was one: a connection has its turn first */
	tw_ns now;
	/* Until then somebody is in a hurry, or is not for @patience. */
	tw_ns hurried_until, patient_until, patience;
};

/* An id that no connection here has, and that leads here. */
uint64_t tw_endpoint_new_cid(struct tw_endpoint *endpoint);
/* The key of an INIT in by_init. */
uint64_t tw_endpoint_init_key(uint64_t scid, const struct tw_address *remote);
/* @conn has sent or received something: for how long it may be left alone now. */
void tw_endpoint_active(struct tw_conn *conn, tw_ns now);
/* Counts @conn as half-open, or no longer. */
void tw_endpoint_half_open(struct tw_conn *conn, bool half_open);
