/*
 * overview.h - what a server is doing, in one look: its connections, what it sends, what arrives.
 * Asked for through the API, as any other program could.
 *
 * Waiting and failed transfers can be tens of thousands: no more than TW_OVERVIEW_SOME of each are
 * asked for; how many wait in all is known from the connections. What arrives may be seen by
 * superusers alone; for others that part is left out, and `refused` says why.
 */
#pragma once

#include "tradewind/client.h"

#define TW_OVERVIEW_SOME 100
#define TW_OVERVIEW_NAME 256

struct tw_overview {
	/* As the API gives them, owned; lists are never NULL after a fetch. */
	json_t *server, *destinations, *transfers, *receiving, *sources;
	struct tw_client_error refused; /* of `receiving`; fault TW_CLIENT_OK: it is complete */
	double fetched_at;              /* monotonic seconds */
};

/* Fills @ret, which was all zero or filled before; it stays as it was when this fails. */
int tw_overview_fetch(struct tw_client *client, struct tw_overview *ret,
		      struct tw_client_error *error);
void tw_overview_free(struct tw_overview *overview);
/* {"server", "connections", "transfers", "receiving", "sources"}: a new reference. NULL: no memory.
 */
json_t *tw_overview_json(const struct tw_overview *overview);

/* Rows for people. Text is clean. Unknown figures are negative. */
struct tw_peer_row {
	char name[TW_OVERVIEW_NAME]; /* address as it was given, and the port */
	char state[16];
	char error[2 * TW_OVERVIEW_NAME]; /* a sentence; "": nothing is wrong */
	char method[16];
	double rate_bps, limit_bps, loss_percent, round_trip_ms, queued;
};

struct tw_job_row {
	char id[33], status[16];
	char name[2 * TW_OVERVIEW_NAME + 32]; /* where it goes, or comes from, and the path there */
	char error[2 * TW_OVERVIEW_NAME];
	bool arriving;
	double share; /* 0 to 1 */
	double bytes, total_bytes, rate_bps, seconds_left, again_percent, round_trip_ms;
	double files, total_files;
};

/* An owned array each, in the server's order. NULL: none, or no memory. @before: an older look, for
 * the rates of what arrives; NULL: they are not known. */
struct tw_peer_row *tw_overview_peers(const struct tw_overview *overview, size_t *ret_count);
struct tw_job_row *tw_overview_jobs(const struct tw_overview *overview,
				    const struct tw_overview *before, size_t *ret_count);

enum tw_overview_key {
	TW_BY_ORDER,
	TW_BY_RATE,
	TW_BY_LOSS,
	TW_BY_ROUND_TRIP,
	TW_BY_LEFT,
	TW_BY_NAME
};
/* The most interesting first: the fastest, the most lossy, the farthest, the soonest done. */
void tw_overview_sort_peers(struct tw_peer_row *rows, size_t count, enum tw_overview_key key);
void tw_overview_sort_jobs(struct tw_job_row *rows, size_t count, enum tw_overview_key key);
