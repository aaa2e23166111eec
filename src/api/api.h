/*
 * api.h - the interface of the service: JSON-RPC 2.0 at POST /rpc, the event log as it grows at GET
 * /events, and GET /openrpc.json, /metrics, /healthz, over TCP and a Unix socket.
 *
 * TCP is loopback's unless the operator allows other machines, and those must speak TLS. A request
 * over TCP must name this server in its Host field, so that no page of a stranger can reach it by a
 * name that leads here: an address, localhost, the machine's name, the external address, a name in
 * the certificate.
 *
 * All of it runs on the control thread and none of it waits. Answers of one turn of the loop leave
 * together, after what they promise is stored (tw_engine_commit()). What a client can cost is
 * limited (http.h); one that is slow costs nothing but itself.
 */
#pragma once

#include "api/certificate.h"
#include "api/session.h"
#include "base/address.h"

#define TW_API_MESSAGE 512

struct tw_api_options {
	struct event_base *base;  /* borrowed */
	struct tw_engine *engine; /* borrowed */
	struct tw_accounts *accounts; /* borrowed; the engine's. NULL: nobody has an account */
	/* An address of this machine, "localhost", or "*", which is all addresses; NULL: no TCP */
	const char *host;
	uint16_t port;                            /* 0: any free one */
	bool allow_remote;                        /* listen beyond loopback; needs a certificate */
	const struct tw_certificate *certificate; /* borrowed; NULL: no TLS */
	const char *socket_path;  /* NULL: no Unix socket */
	bool auth_required;
	bool api_tokens, shared_tokens;                   /* accepted by authToken() */
	void (*terminate)(void *context);                 /* a superuser wants an orderly stop */
	void *context;
};

struct tw_api;

/* Listens from now on; serves nothing before the loop turns. -errno, and a sentence in
 * @ret_message. */
int tw_api_new(const struct tw_api_options *options, struct tw_api **ret,
	       char ret_message[TW_API_MESSAGE]);
void tw_api_free(struct tw_api *api);
/* TCP; 0: none. */
uint16_t tw_api_port(const struct tw_api *api);
/* The Unix socket that it listens on, lent; -1: none. */
int tw_api_unix_socket(const struct tw_api *api);
