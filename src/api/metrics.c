/*
 * metrics.c - figures for Prometheus (text format 0.0.4): of the server, each connection and each
 * transfer that is under way. At most TRANSFERS_MAX of those, so that a scrape has a bound.
 */
#include <math.h>
#include <string.h>

#include "api/private.h"

#define TRANSFERS_MAX 2000
#define CONNECTIONS_MAX 4096

static void say(struct tw_jsontext *text, const char *words)
{
	tw_jsontext_raw(text, words, strlen(words));
}

static void head(struct tw_jsontext *text, const char *name, const char *type, const char *help)
{
	say(text, "# HELP tradewind_");
	say(text, name);
	say(text, " ");
	say(text, help);
	say(text, "\n# TYPE tradewind_");
	say(text, name);
	say(text, " ");
	say(text, type);
	say(text, "\n");
}

static void label(struct tw_jsontext *text, const char *before, const char *name, const char *value)
{
	say(text, before);
	say(text, name);
	say(text, "=\"");
	for (const char *at = value ? value : ""; *at; at++) {
		if (*at == '"' || *at == '\\')
			tw_jsontext_literal(text, "\\");
		if (*at == '\n')
			tw_jsontext_literal(text, "\\n");
		else
			tw_jsontext_raw(text, at, 1);
	}
	say(text, "\"");
}

static void number(struct tw_jsontext *text, double value)
{
	say(text, " ");
	if (value == floor(value) && fabs(value) < 1e18)
		tw_jsontext_integer(text, (int64_t)value);
	else
		tw_jsontext_real(text, value);
	say(text, "\n");
}

static void single(struct tw_jsontext *text, const char *name, const char *type, const char *help,
		   double value)
{
	head(text, name, type, help);
	say(text, "tradewind_");
	say(text, name);
	number(text, value);
}

/* A field of a view that becomes a metric. */
struct metric {
	const char *name, *type, *help;
	size_t offset;
	double factor;
	bool real;
};

#define CONNECTION(field) offsetof(struct tw_connection_view, field)
static const struct metric connection_metrics[] = {
	{ "connection_round_trip_seconds", "gauge", "Smoothed round trip.",
	  CONNECTION(round_trip_time_ms), 1e-3, true },
	{ "connection_queue_delay_seconds", "gauge", "Round trip above its minimum.",
	  CONNECTION(queue_delay_ms), 1e-3, true },
	{ "connection_loss_ratio", "gauge", "Datagrams lost lately.", CONNECTION(loss_percent),
	  1e-2, true },
	{ "connection_send_rate_bits_per_second", "gauge", "Rate in the newest window.",
	  CONNECTION(send_rate_average_window), 1e3, false },
	{ "connection_bandwidth_bits_per_second", "gauge", "What the path can carry.",
	  CONNECTION(bandwidth_estimate), 1e3, false },
	{ "connection_transfers_queued", "gauge", "Transfers that wait.",
	  CONNECTION(num_transfers_queued), 1, false },
};

#define TRANSFER(field) offsetof(struct tw_transfer_view, field)
static const struct metric transfer_metrics[] = {
	{ "transfer_bytes", "gauge", "Content of the transfer.", TRANSFER(total_bytes), 1, false },
	{ "transfer_acked_bytes", "gauge", "Content that has arrived.", TRANSFER(bytes_acked), 1,
	  false },
	{ "transfer_durable_bytes", "gauge", "Content on the receiver's storage.",
	  TRANSFER(bytes_durable), 1, false },
	{ "transfer_sent_bytes", "gauge", "UDP payload sent, repeats included.",
	  TRANSFER(bytes_sent), 1, false },
	{ "transfer_retransmitted_blocks", "gauge", "Blocks sent again.",
	  TRANSFER(blocks_retransmitted), 1, false },
	{ "transfer_throughput_bits_per_second", "gauge", "New content in the newest second.",
	  TRANSFER(throughput), 1e3, false },
	{ "transfer_remaining_seconds", "gauge", "Until it is done at this pace.",
	  TRANSFER(estimated_seconds_remaining), 1, true },
};

/* False: unknown now. */
static bool value_of(const struct metric *metric, const void *view, double *ret)
{
	const char *at = (const char *)view + metric->offset;
	uint64_t count;

	if (metric->real) {
		*ret = *(const double *)(const void *)at * metric->factor;
		return isfinite(*ret) && *ret >= 0;
	}
	count = *(const uint64_t *)(const void *)at;
	*ret = (double)count * metric->factor;
	return count != UINT64_MAX;
}

static void connections(struct tw_api *api, const struct tw_caller *caller,
			const struct metric *metric, struct tw_jsontext *text)
{
	const struct tw_destination_view *view;
	size_t cursor = 0, count = 0;
	double value;

	head(text, metric->name, metric->type, metric->help);
	while (count++ < CONNECTIONS_MAX &&
	       (view = tw_engine_destination_next(api->options.engine, caller, &cursor))) {
		if (!value_of(metric, &view->connection, &value))
			continue;
		say(text, "tradewind_");
		say(text, metric->name);
		label(text, "{", "connection", view->connection.connection_id);
		label(text, ",", "destination", view->destination_address);
		say(text, "}");
		number(text, value);
	}
}

static void transfers(struct tw_api *api, const struct tw_caller *caller,
		      const struct metric *metric, struct tw_jsontext *text)
{
	const struct tw_transfer_filter filter = { .status = "active" };
	const struct tw_transfer_view *view;
	size_t cursor = 0, count = 0;
	double value;

	head(text, metric->name, metric->type, metric->help);
	while (count++ < TRANSFERS_MAX &&
	       (view = tw_engine_transfer_next(api->options.engine, caller, &filter, &cursor))) {
		if (!value_of(metric, view, &value))
			continue;
		say(text, "tradewind_");
		say(text, metric->name);
		label(text, "{", "transfer", view->transfer_id);
		label(text, ",", "destination", view->destination_id);
		say(text, "}");
		number(text, value);
	}
}

static void engine_figures(struct tw_api *api, struct tw_jsontext *text)
{
	struct tw_engine_figures now;

	tw_engine_figures(api->options.engine, &now);
	single(text, "start_time_seconds", "gauge", "When the server began.",
	       (double)now.started_at_us / 1e6);
	single(text, "snapshot_time_seconds", "gauge", "When these figures were recorded.",
	       (double)now.snapshot_time / 1e6);
	single(text, "transfers", "gauge", "Transfers known.", (double)now.transfers_total);
	single(text, "transfers_pending", "gauge", "Transfers that wait.",
	       (double)now.transfers_pending);
	single(text, "transfers_active", "gauge", "Transfers that run.",
	       (double)now.transfers_active);
	single(text, "transfers_suspended", "gauge", "Transfers that are suspended.",
	       (double)now.transfers_suspended);
	single(text, "sent_bytes_total", "counter", "UDP payload sent.", (double)now.bytes_sent);
	single(text, "received_bytes_total", "counter", "UDP payload received.",
	       (double)now.bytes_received);
	single(text, "sent_packets_total", "counter", "Datagrams sent.", (double)now.packets_sent);
	single(text, "received_packets_total", "counter", "Datagrams received.",
	       (double)now.packets_received);
	single(text, "received_durable_bytes_total", "counter", "Content flushed to storage.",
	       (double)now.bytes_durable_received);
	single(text, "received_files_total", "counter", "Files received whole.",
	       (double)now.files_received);
	single(text, "sent_files_total", "counter", "Files sent whole.", (double)now.files_sent);
	single(text, "events_total", "counter", "Entries of the event log.", (double)now.events);
	single(text, "store_commits_total", "counter", "Commits of the state database.",
	       (double)now.store_commits);
}

static void api_figures(struct tw_api *api, struct tw_jsontext *text)
{
	struct tw_http_figures http;

	tw_http_figures(api->http, &http);
	single(text, "api_connections", "gauge", "Connections to this interface.",
	       (double)http.open);
	single(text, "api_connections_total", "counter", "Connections accepted.",
	       (double)http.connections);
	single(text, "api_connections_dropped_total", "counter", "Connections dropped as too slow.",
	       (double)http.dropped);
	single(text, "api_connections_refused_total", "counter", "Connections refused.",
	       (double)http.refused);
	single(text, "api_requests_total", "counter", "HTTP requests.", (double)http.requests);
	single(text, "api_calls_total", "counter", "Calls of methods.", (double)api->figures.calls);
	single(text, "api_faults_total", "counter", "Calls answered by an error.",
	       (double)api->figures.faults);
}

void tw_api_metrics(struct tw_api *api, const struct tw_caller *caller, struct tw_jsontext *text)
{
	engine_figures(api, text);
	api_figures(api, text);
	for (size_t i = 0; i < sizeof connection_metrics / sizeof *connection_metrics; i++)
		connections(api, caller, &connection_metrics[i], text);
	for (size_t i = 0; i < sizeof transfer_metrics / sizeof *transfer_metrics; i++)
		transfers(api, caller, &transfer_metrics[i], text);
}
