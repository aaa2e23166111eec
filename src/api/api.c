#include "api/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/private.h"
#include "base/error.h"
#include "base/text.h"
#include "netio/sockaddr.h"

void tw_api_answer_text(struct tw_http_conn *conn, unsigned status, const char *text)
{
	const struct tw_http_reply reply = {
		.status = status,
		.type = "text/plain; charset=utf-8",
		.text = text,
		.length = strlen(text),
	};

	tw_http_reply(conn, &reply);
}

/* Answers of a turn: first what they promise is stored, then they leave. */
static void turn(evutil_socket_t fd, short what, void *context)
{
	struct tw_api *api = context;
	struct tw_api_ready ready;
	struct tw_api_exchange *exchange;
	bool changed = api->streams_behind, stored = true;

	(void)fd;
	(void)what;
	STAILQ_INIT(&ready);
	STAILQ_CONCAT(&ready, &api->ready);
	for (exchange = STAILQ_FIRST(&ready); exchange; exchange = STAILQ_NEXT(exchange, links)) {
		changed = changed || exchange->changed;
	}
	if (changed && tw_engine_commit(api->options.engine)) {
		stored = false;
		api->figures.commits_failed++;
	}
	while ((exchange = STAILQ_FIRST(&ready))) {
		STAILQ_REMOVE_HEAD(&ready, links);
		tw_api_exchange_answer(exchange, stored);
	}
	if (api->streams_behind)
		tw_api_events_push(api);
}

/* Names by which this server is meant. */
static bool is_called(const struct tw_api *api, const char *name)
{
	const struct tw_caller nobody = { .user = "" };
	struct tw_server_view server;
	size_t length = strlen(name);
	const char *dot;

	tw_engine_server(api->options.engine, &nobody, &server);
	if (server.server_external_address && strcasecmp(server.server_external_address, name) == 0)
		return true;
	dot = server.host_name ? strchr(server.host_name, '.') : NULL;
	return server.host_name && length &&
	       (strcasecmp(server.host_name, name) == 0 ||
		(dot && (size_t)(dot - server.host_name) == length &&
		 strncasecmp(server.host_name, name, length) == 0));
}

/* Pages of other sites must not speak to us through a visitor's browser by a name of theirs that
 * leads here. */
static bool is_our_name(const struct tw_api *api, struct tw_slice host)
{
	struct tw_address address;
	char name[256];
	char *end;

	if (!host.at || host.length >= sizeof name)
		return false;
	memcpy(name, host.at, host.length);
	name[host.length] = '\0';
	if (name[0] == '[') {
		end = strchr(name, ']');
		if (!end)
			return false;
		*end = '\0';
		memmove(name, name + 1, strlen(name));
	} else if ((end = strchr(name, ':'))) {
		*end = '\0';
	}
	return strcasecmp(name, "localhost") == 0 || tw_address_parse_ip(name, &address) ||
	       is_called(api, name) ||
	       (api->options.certificate && name[0] &&
		tw_certificate_names(api->options.certificate, name));
}

static bool is_json(struct tw_slice type)
{
	const char *parameters = type.at ? memchr(type.at, ';', type.length) : NULL;

	if (parameters)
		type.length = (size_t)(parameters - type.at);
	while (type.at && type.length && type.at[type.length - 1] == ' ')
		type.length--;
	return tw_slice_is(type, "application/json");
}

static void answer_front(struct tw_api *api, struct tw_http_conn *conn)
{
	char text[400];

	(void)api;
	snprintf(text, sizeof text,
		 "Tradewind: the control interface of a server.\n\n"
		 "POST /rpc          JSON-RPC 2.0\n"
		 "GET  /openrpc.json what there is to call\n"
		 "GET  /events       what happens, as it happens (Server-Sent Events)\n"
		 "GET  /metrics      figures for Prometheus\n"
		 "GET  /healthz      ok\n");
	tw_api_answer_text(conn, 200, text);
}

static void answer_metrics(struct tw_api *api, struct tw_http_conn *conn,
			   const struct tw_api_session *session)
{
	struct tw_jsontext text;
	struct tw_caller caller;
	struct tw_http_reply reply = { .status = 503 };

	tw_api_session_caller(session, api->wranglers, &caller);
	/* Figures of all, names of none: who may read them may not steer. */
	caller.superuser = caller.superuser || session->superuser_allowed;
	tw_jsontext_init(&text);
	tw_api_metrics(api, &caller, &text);
	if (text.failed) {
		tw_jsontext_deinit(&text);
	} else {
		reply.status = 200;
		reply.type = "text/plain; version=0.0.4; charset=utf-8";
		reply.body = text.bytes;
		reply.length = text.length;
	}
	tw_http_reply(conn, &reply);
}

static void answer_openrpc(struct tw_api *api, struct tw_http_conn *conn)
{
	const struct tw_http_reply reply = {
		.status = 200,
		.type = "application/json",
		.text = api->openrpc,
		.length = api->openrpc_length,
	};

	tw_http_reply(conn, &reply);
}

enum page { PAGE_NONE, PAGE_RPC, PAGE_EVENTS, PAGE_OPENRPC, PAGE_METRICS, PAGE_HEALTH, PAGE_FRONT };

static enum page find_page(struct tw_slice path)
{
	static const struct {
		const char *path;
		enum page page;
	} pages[] = {
		{ "/rpc", PAGE_RPC },
		{ "/events", PAGE_EVENTS },
		{ "/openrpc.json", PAGE_OPENRPC },
		{ "/metrics", PAGE_METRICS },
		{ "/healthz", PAGE_HEALTH },
		{ "/", PAGE_FRONT },
	};

	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
		if (path.length == strlen(pages[i].path) &&
		    memcmp(path.at, pages[i].path, path.length) == 0)
			return pages[i].page;
	return PAGE_NONE;
}

static void refuse_verb(struct tw_http_conn *conn, const char *allowed)
{
	const struct tw_http_reply reply = { .status = 405, .fields = allowed };

	tw_http_reply(conn, &reply);
}

void tw_api_serve(struct tw_api *api, struct tw_http_conn *conn,
		  const struct tw_http_request *request, struct tw_api_session *session)
{
	enum page page = find_page(request->head->path);

	if (page == PAGE_RPC)
		tw_api_rpc(api, conn, request, session);
	else if (api->options.auth_required && !session->authenticated)
		tw_api_answer_text(conn, 401, "log in first: see auth and authToken\n");
	else if (page == PAGE_EVENTS)
		tw_api_events_open(api, conn, request, session);
	else
		answer_metrics(api, conn, session);
}

static void on_request(void *context, struct tw_http_conn *conn,
		       const struct tw_http_request *request)
{
	struct tw_api *api = context;
	enum tw_http_verb verb = request->head->verb;
	enum page page = find_page(request->head->path);

	if (!request->peer->local && !is_our_name(api, request->head->host))
		tw_api_answer_text(conn, 403,
				   "this Host is not a name of this server: use its address, or "
				   "tell it the name by --external-address\n");
	else if (page == PAGE_NONE)
		tw_api_answer_text(conn, 404, "there is no such page; / lists them\n");
	else if (page == PAGE_RPC && verb != TW_HTTP_POST)
		refuse_verb(conn, "Allow: POST\r\n");
	else if (page != PAGE_RPC && verb != TW_HTTP_GET && verb != TW_HTTP_HEAD)
		refuse_verb(conn, "Allow: GET, HEAD\r\n");
	else if (page == PAGE_RPC && !is_json(request->head->content_type))
		tw_api_answer_text(conn, 415, "the Content-Type must be application/json\n");
	else if (page == PAGE_HEALTH)
		tw_api_answer_text(conn, 200, "ok\n");
	else if (page == PAGE_FRONT)
		answer_front(api, conn);
	else if (page == PAGE_OPENRPC)
		answer_openrpc(api, conn);
	else
		tw_api_enter(api, conn, request);
}

static void on_drained(void *context, struct tw_http_conn *conn)
{
	struct tw_api_client *client = tw_http_user(conn);

	(void)context;
	if (client && client->stream)
		tw_api_events_drained(client->stream);
}

static void on_gone(void *context, struct tw_http_conn *conn)
{
	struct tw_api_client *client = tw_http_user(conn);

	(void)context;
	if (!client)
		return;
	if (client->stream)
		tw_api_events_close(client->stream);
	if (client->exchange)
		tw_api_exchange_abandon(client->exchange);
	if (client->entry)
		tw_api_entry_abandon(client->entry);
	if (client->basic)
		tw_api_session_end(client->basic);
	tw_api_session_end(client->local);
	free(client);
}

static int complain(char message[TW_API_MESSAGE], int r, const char *what)
{
	snprintf(message, TW_API_MESSAGE, "cannot serve the API at %s: %s", what, tw_strerror(r));
	return r;
}

/* Host names that stand for an address of each family. */
static const struct {
	const char *host, *four, *six;
} both_families[] = {
	{ "localhost", "127.0.0.1", "::1" },
	{ "*", "0.0.0.0", "::" },
};

static int check_host(const struct tw_api_options *options, const struct tw_address *address,
		      char message[TW_API_MESSAGE])
{
	if (tw_address_is_loopback(address))
		return 0;
	if (!options->allow_remote) {
		snprintf(message, TW_API_MESSAGE,
			 "the API listens at %s only with --api-allow-remote-control; without it "
			 "use 127.0.0.1, ::1 or localhost",
			 options->host);
		return -EACCES;
	}
	if (!options->certificate) {
		snprintf(message, TW_API_MESSAGE, "the API has no certificate for other machines");
		return -EACCES;
	}
	return 0;
}

static int listen_tcp(struct tw_api *api, char message[TW_API_MESSAGE])
{
	const char *host = api->options.host, *four = host, *six = NULL;
	struct tw_address address;
	char where[128];
	int r;

	for (size_t i = 0; i < sizeof both_families / sizeof *both_families; i++) {
		if (strcasecmp(host, both_families[i].host) == 0) {
			four = both_families[i].four;
			six = both_families[i].six;
		}
	}
	if (!tw_address_parse_ip(four, &address)) {
		snprintf(message, TW_API_MESSAGE,
			 "the API's host is an address of this machine, localhost, or * for all of "
			 "them");
		return -EINVAL;
	}
	r = check_host(&api->options, &address, message);
	if (r)
		return r;
	address.port = api->options.port;
	r = tw_http_listen_tcp(api->http, &address, &api->port);
	snprintf(where, sizeof where, "%s port %u", host, api->options.port);
	if (!r && six && tw_address_parse_ip(six, &address)) {
		address.port = api->port;
		/* A machine without IPv6 still has IPv4. */
		tw_http_listen_tcp(api->http, &address, &api->port);
	}
	return r ? complain(message, r, where) : 0;
}

static int start(struct tw_api *api, char message[TW_API_MESSAGE])
{
	const struct tw_http_handler handler = { api, on_request, on_drained, on_gone };
	int r = tw_http_new(api->options.base, &handler, &api->http);

	if (!r)
		r = tw_api_sessions_new(&api->sessions);
	if (!r)
		r = tw_penalties_new(&api->penalties);
	if (!r)
		r = tw_asker_new(api->options.base, api->options.accounts, &api->asker);
	if (!r)
		r = tw_api_events_init(api);
	api->turn = event_new(api->options.base, -1, 0, turn, api);
	api->openrpc = tw_api_openrpc(&api->openrpc_length);
	if (r || !api->turn || !api->openrpc)
		return complain(message, r ? r : -ENOMEM, "all");
	if (api->options.certificate)
		tw_http_use_tls(api->http, tw_certificate_tls(api->options.certificate));
	if (api->options.host)
		r = listen_tcp(api, message);
	if (!r && api->options.socket_path) {
		r = tw_http_listen_unix(api->http, api->options.socket_path);
		if (r)
			complain(message, r, api->options.socket_path);
	}
	return r;
}

int tw_api_new(const struct tw_api_options *options, struct tw_api **ret,
	       char ret_message[TW_API_MESSAGE])
{
	struct tw_api *api = calloc(1, sizeof *api);
	int r;

	if (!api)
		return complain(ret_message, -ENOMEM, "all");
	api->options = *options;
	STAILQ_INIT(&api->ready);
	LIST_INIT(&api->streams);
	LIST_INIT(&api->logins);
	LIST_INIT(&api->guesses);
	LIST_INIT(&api->entries);
	r = start(api, ret_message);
	if (r) {
		tw_api_free(api);
		return r;
	}
	*ret = api;
	return 0;
}

void tw_api_free(struct tw_api *api)
{
	struct tw_api_exchange *exchange;

	if (api->http)
		tw_http_free(api->http);
	while ((exchange = STAILQ_FIRST(&api->ready))) {
		STAILQ_REMOVE_HEAD(&api->ready, links);
		tw_api_exchange_answer(exchange, true);
	}
	tw_api_logins_drop(api);
	tw_asker_free(api->asker);
	tw_penalties_free(api->penalties);
	tw_api_events_deinit(api);
	if (api->sessions)
		tw_api_sessions_free(api->sessions);
	if (api->turn)
		event_free(api->turn);
	free(api->openrpc);
	free(api);
}

uint16_t tw_api_port(const struct tw_api *api)
{
	return api->port;
}

int tw_api_unix_socket(const struct tw_api *api)
{
	return tw_http_unix_socket(api->http);
}
