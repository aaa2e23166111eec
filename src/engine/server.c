/* server.c - the server as a whole, as the API shows it; requests and watches passed on. */
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/requests.h"
#include "engine/watches.h"
#include "netio/clock.h"

#define DAY_US (INT64_C(86400) * 1000000)

static void fill_receiver(struct tw_engine *engine, struct tw_receiver_view *ret)
{
	const struct tw_engine_options *options = &engine->options;
	size_t count = options->receive ? options->receive_port_count : 0;

	for (size_t i = 0; i < count; i++)
		engine->port_numbers[i] = options->receive_ports[i];
	*ret = (struct tw_receiver_view){
		.ports = { engine->port_numbers, count, sizeof(*engine->port_numbers) },
		.only_authorized_clients_allowed = engine->only_clients,
	};
	tw_engine_relay_view(engine, ret);
}

void tw_engine_server(struct tw_engine *engine, const struct tw_caller *caller,
		      struct tw_server_view *ret)
{
	const struct tw_engine_options *options = &engine->options;

	int64_t left_us = options->certificate_end_us - (int64_t)tw_clock_wall_us();

	*ret = (struct tw_server_view){
		.server_name = engine->server_name,
		.server_id = engine->server_id,
		.server_uid = engine->server_uid,
		.version = options->version,
		.revision = options->revision,
		.api_version = TW_API_VERSION,
		.host_name = engine->host_name,
		.public_key = engine->public_key,
		.min_cipher = options->min_cipher,
		.encryption_available = options->encryption,
		/* Several transfers share the connection to a destination. */
		.multiplex_available = true,
		.auth_required = options->auth_required,
		.allow_remote_control = options->allow_remote_control,
		.api_control_port = options->api_port,
		.api_tokens_available = options->api_tokens,
		.event_log_available = true,
		.server_external_address = options->external_address,
		.certificate_validation =
			options->certificate_pin ? left_us / DAY_US - (left_us < 0) : INT64_MIN,
		.certificate_fingerprint = options->certificate_pin,
		.license = engine->license,
		.configuration = caller->superuser ? options->configuration : NULL,
	};
	tw_limits_view(engine, &ret->bandwidth_limits);
	fill_receiver(engine, &ret->receiver);
}

void tw_engine_figures(struct tw_engine *engine, struct tw_engine_figures *ret)
{
	uint64_t oldest;

	tw_links_refresh(engine, false);
	*ret = (struct tw_engine_figures){
		.transfers_total = engine->transfers.count,
		.transfers_pending = engine->states[TW_STATE_PENDING],
		.transfers_active = engine->states[TW_STATE_ACTIVE],
		.transfers_suspended = engine->states[TW_STATE_SUSPENDED],
		.files_received = engine->files_received,
		.bytes_durable_received = engine->bytes_durable_ended,
		.files_sent = engine->files_sent_total,
		.store_commits = engine->commits,
		.started_at_us = engine->started_at_us,
		.snapshot_time = tw_engine_wall(engine, engine->snapshot_at),
	};
	tw_eventlog_range(engine->log, &oldest, &ret->events);
	tw_receive_figures(engine, ret);
	for (unsigned i = 0; i < engine->link_count; i++) {
		const struct tw_worker_snapshot *snapshot = engine->links[i].snapshot;

		if (!snapshot)
			continue;
		ret->bytes_sent += snapshot->udp.bytes_sent;
		ret->bytes_received += snapshot->udp.bytes_received;
		ret->packets_sent += snapshot->udp.packets_sent;
		ret->packets_received += snapshot->udp.packets_received;
	}
}

/* Requests. */

int tw_engine_request_new(struct tw_engine *engine, const struct tw_caller *caller,
			  const char **ret_id, struct tw_request **ret, struct tw_fault *fault)
{
	return tw_requests_add(engine->requests, caller, ret_id, ret, fault);
}

void tw_engine_request_done(struct tw_request *request, json_t *result)
{
	tw_request_done(request, result);
}

void tw_engine_request_fail(struct tw_request *request, const struct tw_fault *fault)
{
	tw_request_fail(request, fault);
}

int tw_engine_request(struct tw_engine *engine, const struct tw_caller *caller, const char *id,
		      struct tw_request_status *ret, struct tw_fault *fault)
{
	return tw_requests_look(engine->requests, caller, id, ret, fault);
}

/* Watch folders. */

int tw_engine_create_watch(struct tw_engine *engine, const struct tw_caller *caller,
			   const struct tw_watch_options *options, const char **ret_id,
			   struct tw_fault *fault)
{
	return tw_watches_create(engine->watches, caller, options, ret_id, fault);
}

int tw_engine_update_watch(struct tw_engine *engine, const struct tw_caller *caller, const char *id,
			   const struct tw_watch_options *options, const struct tw_strings *given,
			   struct tw_fault *fault)
{
	return tw_watches_update(engine->watches, caller, id, options, given, fault);
}

int tw_engine_delete_watch(struct tw_engine *engine, const struct tw_caller *caller, const char *id,
			   struct tw_fault *fault)
{
	return tw_watches_delete(engine->watches, caller, id, fault);
}

const struct tw_watch_view *tw_engine_watch(struct tw_engine *engine,
					    const struct tw_caller *caller, const char *id)
{
	return tw_watches_get(engine->watches, caller, id);
}

const struct tw_watch_view *tw_engine_watch_next(struct tw_engine *engine,
						 const struct tw_caller *caller, size_t *cursor)
{
	return tw_watches_next(engine->watches, caller, cursor);
}
