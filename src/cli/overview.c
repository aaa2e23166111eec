#include "cli/overview.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

enum {
	ELEVATE,
	SERVER,
	DESTINATIONS,
	ACTIVE,
	SUSPENDED,
	PENDING,
	FAILED,
	RECEIVING,
	SOURCES,
	QUESTIONS
};

static const struct {
	const char *method, *status;
} questions[QUESTIONS] = {
	/* Whoever may see everything wants to see it; the others are refused, and see their own. */
	[ELEVATE] = { "superuser", NULL },
	[SERVER] = { "getServerInfo", NULL },
	[DESTINATIONS] = { "send.getDestinations", NULL },
	[ACTIVE] = { "send.getTransfers", "active" },
	[SUSPENDED] = { "send.getTransfers", "suspended" },
	[PENDING] = { "send.getTransfers", "pending" },
	[FAILED] = { "send.getTransfers", "error" },
	[RECEIVING] = { "recv.getTransfersAsync", NULL },
	[SOURCES] = { "recv.getSourcesAsync", NULL },
};

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void free_requests(struct tw_client_request *requests, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		json_decref((json_t *)(uintptr_t)requests[i].parameters);
		json_decref(requests[i].result);
	}
}

/* What comes of the asynchronous ones, in a second round trip; refusals stay as they are. */
static int fetch_results(struct tw_client *client, struct tw_client_request *asked,
			 struct tw_client_error *error)
{
	struct tw_client_request results[2];
	size_t places[2], count = 0;
	int r;

	for (size_t i = RECEIVING; i <= SOURCES; i++) {
		json_t *id = json_object_get(asked[i].result, "requestId");

		if (!id)
			continue;
		results[count] =
			(struct tw_client_request){ .method = "getRequestResult",
						    .parameters =
							    json_pack("{s:O}", "requestId", id) };
		places[count++] = i;
	}
	r = tw_client_batch(client, results, count, error);
	for (size_t i = 0; !r && i < count; i++) {
		struct tw_client_request *to = &asked[places[i]];

		json_decref(to->result);
		to->result = json_incref(results[i].result);
		to->error = results[i].error;
	}
	free_requests(results, count);
	return r;
}

static json_t *list_or_empty(const struct tw_client_request *request)
{
	return json_is_array(request->result) ? json_incref(request->result) : json_array();
}

static void take(struct tw_overview *ret, const struct tw_client_request *asked)
{
	tw_overview_free(ret);
	ret->server = json_incref(asked[SERVER].result);
	ret->destinations = list_or_empty(&asked[DESTINATIONS]);
	ret->transfers = json_array();
	for (size_t i = ACTIVE; i <= FAILED; i++)
		if (json_is_array(asked[i].result))
			json_array_extend(ret->transfers, asked[i].result);
	ret->receiving = list_or_empty(&asked[RECEIVING]);
	ret->sources = list_or_empty(&asked[SOURCES]);
	ret->refused = asked[RECEIVING].error;
	ret->fetched_at = now_seconds();
}

int tw_overview_fetch(struct tw_client *client, struct tw_overview *ret,
		      struct tw_client_error *error)
{
	struct tw_client_request asked[QUESTIONS] = { 0 };
	int r;

	for (size_t i = 0; i < QUESTIONS; i++) {
		asked[i].method = questions[i].method;
		if (!questions[i].status)
			continue;
		asked[i].parameters = json_pack("{s:s}", "status", questions[i].status);
		if (i != ACTIVE)
			json_object_set_new((json_t *)(uintptr_t)asked[i].parameters, "limit",
					    json_integer(TW_OVERVIEW_SOME));
	}
	r = tw_client_batch(client, asked, QUESTIONS, error);
	if (!r)
		r = fetch_results(client, asked, error);
	/* Without these there is nothing to show. */
	for (size_t i = SERVER; !r && i <= FAILED; i++) {
		if (asked[i].error.fault) {
			*error = asked[i].error;
			r = (int)asked[i].error.fault;
		}
	}
	if (!r)
		take(ret, asked);
	free_requests(asked, QUESTIONS);
	return r;
}

void tw_overview_free(struct tw_overview *overview)
{
	json_decref(overview->server);
	json_decref(overview->destinations);
	json_decref(overview->transfers);
	json_decref(overview->receiving);
	json_decref(overview->sources);
	*overview = (struct tw_overview){ 0 };
}

json_t *tw_overview_json(const struct tw_overview *overview)
{
	return json_pack("{s:O, s:O, s:O, s:O, s:O}", "server", overview->server, "connections",
			 overview->destinations, "transfers", overview->transfers, "receiving",
			 overview->receiving, "sources", overview->sources);
}

/* A string member, clean; "" for anything else. */
static const char *text_of(const json_t *object, const char *name, char *ret, size_t room)
{
	const json_t *value = json_object_get(object, name);

	return tw_text_clean(json_is_string(value) ? json_string_value(value) : "",
			     json_string_length(value), ret, room);
}

/* A number member; negative: null or none. */
static double number_of(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return json_is_number(value) ? json_number_value(value) : -1;
}

/* "host:port" of a destination or a source; without @port the host alone. */
static void name_of(const json_t *object, const char *address, const char *port, char *ret,
		    size_t room)
{
	char host[TW_OVERVIEW_NAME];
	double number = port ? number_of(object, port) : -1;

	text_of(object, address, host, sizeof host);
	if (number < 0)
		snprintf(ret, room, "%s", host);
	else
		snprintf(ret, room, strchr(host, ':') ? "[%s]:%.0f" : "%s:%.0f", host, number);
}

static double kbit(const json_t *object, const char *name)
{
	double value = number_of(object, name);

	return value < 0 ? -1 : value * 1000;
}

static void fill_peer(struct tw_peer_row *row, const json_t *object)
{
	char cipher[16];

	name_of(object, "destinationAddress", "destinationPort", row->name, sizeof row->name);
	text_of(object, "encryptedConnectionState", row->state, sizeof row->state);
	if (strcmp(text_of(object, "cipher", cipher, sizeof cipher), "none") == 0)
		snprintf(row->state, sizeof row->state, "unprotected");
	text_of(object, "lastErrorMessage", row->error, sizeof row->error);
	text_of(object, "rateControlMethod", row->method, sizeof row->method);
	row->rate_bps = kbit(object, "sendRateAverageWindow");
	row->limit_bps = kbit(object, "sendRateMax");
	row->loss_percent = number_of(object, "lossPercent");
	row->round_trip_ms = number_of(object, "roundTripTimeMs");
	row->queued = number_of(object, "numTransfersQueued");
}

struct tw_peer_row *tw_overview_peers(const struct tw_overview *overview, size_t *ret_count)
{
	size_t count = json_array_size(overview->destinations), at;
	struct tw_peer_row *rows = calloc(count ? count : 1, sizeof *rows);
	const json_t *object;

	*ret_count = rows ? count : 0;
	json_array_foreach (overview->destinations, at, object)
		if (rows)
			fill_peer(&rows[at], object);
	return rows;
}

/* The element of @list whose member @name is @value's; NULL: none. */
static const json_t *find(const json_t *list, const char *name, const json_t *value)
{
	const json_t *object;
	size_t at;

	if (!json_is_string(value))
		return NULL;
	json_array_foreach (list, at, object)
		if (json_equal(json_object_get(object, name), value))
			return object;
	return NULL;
}

/* "host:port" and the path behind it. */
static void name_job(struct tw_job_row *row, const char *host, const json_t *object)
{
	char path[TW_OVERVIEW_NAME];

	text_of(object, "destinationPath", path, sizeof path);
	snprintf(row->name, sizeof row->name, "%s%s%s", host, path[0] == '/' ? "" : "/", path);
}

static double share_of(double part, double whole)
{
	if (part < 0 || whole < 0)
		return -1;
	return whole > 0 ? part / whole : 1;
}

static void fill_sending(struct tw_job_row *row, const json_t *object, const json_t *destination)
{
	double sent = number_of(object, "blocksSent"),
	       again = number_of(object, "blocksRetransmitted");
	char host[TW_OVERVIEW_NAME + 16] = "?";

	if (destination)
		name_of(destination, "destinationAddress", NULL, host, sizeof host);
	text_of(object, "transferId", row->id, sizeof row->id);
	text_of(object, "status", row->status, sizeof row->status);
	text_of(object, "errorMessage", row->error, sizeof row->error);
	name_job(row, host, object);
	row->bytes = number_of(object, "bytesAcked");
	row->total_bytes = number_of(object, "totalBytes");
	row->files = number_of(object, "filesComplete");
	row->total_files = number_of(object, "totalFiles");
	row->share = share_of(row->bytes, row->total_bytes);
	row->rate_bps = kbit(object, "throughput");
	row->seconds_left = number_of(object, "estimatedSecondsRemaining");
	row->again_percent = sent > 0 ? again * 100 / sent : -1;
	row->round_trip_ms = number_of(destination, "roundTripTimeMs");
	if (strcmp(row->status, "active") != 0) {
		row->rate_bps = row->seconds_left = -1;
		row->round_trip_ms = -1;
	}
}

static void fill_arriving(struct tw_job_row *row, const json_t *object, const json_t *earlier,
			  double seconds)
{
	double before = number_of(earlier, "bytesReceived");
	char host[TW_OVERVIEW_NAME + 16];

	name_of(object, "sourceIP", NULL, host, sizeof host);
	text_of(object, "transferId", row->id, sizeof row->id);
	text_of(object, "status", row->status, sizeof row->status);
	name_job(row, host, object);
	row->arriving = true;
	row->bytes = number_of(object, "bytesReceived");
	row->total_bytes = number_of(object, "totalSize");
	row->share = share_of(row->bytes, row->total_bytes);
	row->rate_bps = row->seconds_left = row->again_percent = row->round_trip_ms = -1;
	row->files = row->total_files = -1;
	if (before < 0 || seconds <= 0 || row->bytes < before)
		return;
	row->rate_bps = (row->bytes - before) * 8 / seconds;
	if (row->rate_bps > 0 && row->total_bytes >= row->bytes)
		row->seconds_left = (row->total_bytes - row->bytes) * 8 / row->rate_bps;
}

struct tw_job_row *tw_overview_jobs(const struct tw_overview *overview,
				    const struct tw_overview *before, size_t *ret_count)
{
	size_t sending = json_array_size(overview->transfers), at, count = sending;
	struct tw_job_row *rows =
		calloc(sending + json_array_size(overview->receiving) + 1, sizeof *rows);
	const json_t *earlier = before ? before->receiving : NULL;
	double seconds = earlier ? overview->fetched_at - before->fetched_at : 0;
	const json_t *object;

	*ret_count = 0;
	if (!rows)
		return NULL;
	json_array_foreach (overview->transfers, at, object)
		fill_sending(&rows[at], object,
			     find(overview->destinations, "destinationId",
				  json_object_get(object, "destinationId")));
	json_array_foreach (overview->receiving, at, object) {
		const char *status = json_string_value(json_object_get(object, "status"));

		/* What has arrived is no news for ever. */
		if (status && strcmp(status, "complete") == 0)
			continue;
		fill_arriving(&rows[count++], object,
			      find(earlier, "transferId", json_object_get(object, "transferId")),
			      seconds);
	}
	*ret_count = count;
	return rows;
}

/* Larger first; unknown last. */
static int descending(double a, double b)
{
	return a > b ? -1 : a < b;
}

/* Smaller first; unknown last. */
static int ascending(double a, double b)
{
	if (a < 0 || b < 0)
		return descending(a, b);
	return a < b ? -1 : a > b;
}

/* qsort_r() is not stable by itself: rows are told apart by their places before. */
struct place {
	const void *row;
	size_t at;
};

static int compare_peers(const struct tw_peer_row *a, const struct tw_peer_row *b,
			 enum tw_overview_key key)
{
	switch (key) {
	case TW_BY_RATE:
		return descending(a->rate_bps, b->rate_bps);
	case TW_BY_LOSS:
		return descending(a->loss_percent, b->loss_percent);
	case TW_BY_ROUND_TRIP:
		return descending(a->round_trip_ms, b->round_trip_ms);
	case TW_BY_NAME:
		return strcmp(a->name, b->name);
	default:
		return 0;
	}
}

static int compare_jobs(const struct tw_job_row *a, const struct tw_job_row *b,
			enum tw_overview_key key)
{
	switch (key) {
	case TW_BY_RATE:
		return descending(a->rate_bps, b->rate_bps);
	case TW_BY_LOSS:
		return descending(a->again_percent, b->again_percent);
	case TW_BY_ROUND_TRIP:
		return descending(a->round_trip_ms, b->round_trip_ms);
	case TW_BY_LEFT:
		return ascending(a->seconds_left, b->seconds_left);
	case TW_BY_NAME:
		return strcmp(a->name, b->name);
	default:
		return 0;
	}
}

static int peers_by(const void *a, const void *b, void *key)
{
	const struct place *left = a, *right = b;
	int r = compare_peers(left->row, right->row, *(const enum tw_overview_key *)key);

	return r ? r : left->at < right->at ? -1 : left->at > right->at;
}

static int jobs_by(const void *a, const void *b, void *key)
{
	const struct place *left = a, *right = b;
	int r = compare_jobs(left->row, right->row, *(const enum tw_overview_key *)key);

	return r ? r : left->at < right->at ? -1 : left->at > right->at;
}

/* Sorts @count rows of @size bytes by way of their places. Without memory they stay as they are. */
static void sort(void *rows, size_t count, size_t size, enum tw_overview_key key,
		 int (*compare)(const void *, const void *, void *))
{
	struct place *places = calloc(count + 1, sizeof *places);
	char *sorted = malloc(count * size + 1);

	for (size_t i = 0; places && i < count; i++)
		places[i] = (struct place){ (const char *)rows + i * size, i };
	if (places && sorted) {
		qsort_r(places, count, sizeof *places, compare, &key);
		for (size_t i = 0; i < count; i++)
			memcpy(sorted + i * size, places[i].row, size);
		memcpy(rows, sorted, count * size);
	}
	free(sorted);
	free(places);
}

void tw_overview_sort_peers(struct tw_peer_row *rows, size_t count, enum tw_overview_key key)
{
	if (rows && key != TW_BY_ORDER)
		sort(rows, count, sizeof *rows, key, peers_by);
}

void tw_overview_sort_jobs(struct tw_job_row *rows, size_t count, enum tw_overview_key key)
{
	if (rows && key != TW_BY_ORDER)
		sort(rows, count, sizeof *rows, key, jobs_by);
}
