/*
 * relay_private.h - what the files of the relay share: relay.c (servers, limits, timers), route.c
 * (routes and what belongs to them), link.c (control connections).
 */
#pragma once

#include "base/heap.h"
#include "core/door.h"
#include "core/table.h"
#include "crypto/cookie.h"
#include "crypto/noise.h"
#include "relay/leg.h"
#include "relay/pipe.h"
#include "relay/relay.h"
#include "wire/datagram.h"

enum { SERVER_SIDE, PEER_SIDE, SIDES };

struct side {
	bool named; /* cid is known */
	uint64_t cid;
	struct tw_relay_end end;    /* from where the newest packets come */
	struct tw_relay_end before; /* the last one that showed itself */
	bool proved;
	uint64_t in_bytes, out_bytes; /* while not proved */
	uint32_t newest;              /* low half of the highest packet number from there */
	bool heard;
	uint8_t token[TW_PROBE_TOKEN_SIZE];
	unsigned probes;
	tw_ns probed_at; /* earliest time of the next */
};

struct route {
	struct tw_timer timer; /* first: the relay's heap points here */
	struct tw_relay_server *server;
	struct side sides[SIDES];
	bool open, outgoing;
	tw_ns last, until, probe_at;
	struct route *older, *newer; /* half-open ones, or open ones, of the server by age */
};

struct route_list {
	struct route *oldest, *newest;
	size_t count;
};

/*
 * Whoever has a key. One that only sends is a server of its own each time it runs; all that is
 * limited or shared out is so by key, or it would only take more programs to have more of it.
 */
struct account {
	struct tw_public_key key;
	size_t servers;         /* the account lives as long as one of them */
	size_t open, half_open; /* their routes */
	tw_ns paid_until;       /* of what one key may move */
	tw_ns share_until;      /* of its part of what all may move */
	tw_ns moved_at;
	bool active; /* is counted among those who share */
};

struct tw_relay_server {
	struct tw_timer timer; /* first: the relay's heap points here */
	struct tw_relay *relay;
	size_t index;
	struct account *account; /* shared with the others of its key */
	struct tw_relay_keys keys;
	uint64_t instance, handle, leg_counter;
	bool accepts, tunnelled;
	uint16_t port;
	void *io;
	struct tw_relay_link *link; /* NULL: cut */
	tw_ns gone_at;
	struct tw_relay_end leg;
	struct tw_address told; /* as whom it was last told that it is seen */
	struct tw_table by_cid[SIDES];
	struct route_list open, half_open;
	struct tw_address *destinations; /* owned, sparse; family NONE: not named */
	uint32_t destination_room;
	struct tw_relay_counters counters;
};

struct tw_relay {
	struct tw_relay_config config;
	struct tw_relay_server **servers; /* owned array of owned */
	size_t server_count;
	size_t active; /* accounts that moved something lately */
	tw_ns active_at;
	const struct account *spare_taker; /* had some of what others leave, last; borrowed */
	tw_ns spare_pause;                 /* so long it lets others come first */
	struct tw_heap route_timers, server_timers;
	size_t route_count;
	struct tw_cookie_jar cookies;
	struct tw_door door; /* for those who have returned one */
	struct tw_relay_reply replies[TW_RELAY_REPLIES_MAX];
	size_t reply_first, reply_count;
	struct tw_relay_link *links; /* list */
	tw_ns links_at;
	tw_ns paid_until;
};

enum link_state {
	LINK_HELLO,    /* waits for the server's key */
	LINK_REGISTER, /* knows it, waits for its wish */
	LINK_REGISTERED,
	LINK_OVER,
};

struct tw_relay_link {
	struct tw_relay *relay;
	struct tw_relay_link *next, *previous;
	enum link_state state;
	uint8_t binding[TW_RELAY_BINDING];
	struct tw_address from;
	struct tw_public_key key;
	struct tw_relay_server *server; /* NULL before it has registered, or replaced */
	struct tw_relay_pipe in, out;
	size_t datagram_taken; /* bytes of @in that the waiting datagram takes; 0: none waits */
	struct tw_relay_message datagram;
	tw_ns born, heard;
};

/* relay.c */
struct tw_relay_server *relay_server_find(struct tw_relay *relay, const struct tw_public_key *key,
					  bool accepts, uint64_t instance);
/* NULL: no place, no port, no memory. */
struct tw_relay_server *relay_server_new(struct tw_relay_link *link,
					 const struct tw_relay_message *wish);
void relay_server_timer(struct tw_relay_server *server, tw_ns at);
/* A place for a reply; when there are too many the oldest of the same key goes, or the oldest. */
struct tw_relay_reply *relay_new_reply(struct tw_relay_server *server, const struct tw_path *path);
void relay_bill(struct tw_relay_server *server, size_t bytes, tw_ns now);

/* route.c */
void route_timeout(struct route *route, tw_ns now);
void route_free(struct route *route);
void server_free_routes(struct tw_relay_server *server);
/* The server's datagrams come and go by @leg from now on. */
void server_set_leg(struct tw_relay_server *server, const struct tw_relay_end *leg);
/* The server tells a route that it had. False: no room, or it makes no sense. */
bool server_restore(struct tw_relay_server *server, const struct tw_relay_message *message,
		    tw_ns now);
/* The server closes it. */
void server_drop_route(struct tw_relay_server *server, uint64_t server_cid);

/* link.c */
void link_say(struct tw_relay_link *link, const struct tw_relay_message *message);
/* Queues a datagram; drops it when too much waits. */
void link_queue_datagram(struct tw_relay_link *link, const uint8_t *bytes, size_t length);
void link_refuse(struct tw_relay_link *link, enum tw_relay_refusal refusal, const char *text);
void link_timeout(struct tw_relay_link *link, tw_ns now);
