/*
 * client.h - steers a Tradewind server from a program: one function for every method of its API,
 * batches, and the stream of its events.
 *
 * A client is one session with one server. On the server's own machine that is its Unix socket,
 * where the caller is known by the operating-system account and needs no password, or plain HTTP on
 * the loopback addresses. Any other host is spoken to by HTTPS alone. Such a server is known by its
 * public key: the first time the key is written to a file, from then on a server that shows another
 * one is refused (TW_CLIENT_KEY_CHANGED) before anything secret is sent to it.
 *
 * Parameters and results are jansson values, named as in the API's reference. A result is the
 * caller's: json_decref() it.
 *
 * Threads: a client, and a stream of events, is used by one thread at a time; different ones are
 * independent of each other, also a stream and the client that it was opened from. Before a second
 * thread exists, call curl_global_init() if the program has not done so already.
 *
 * Failure: functions return 0 or one of enum tw_client_fault, and tell more in a tw_client_error
 * where the caller gives one (@error may always be NULL). What `ret_` names stays untouched then.
 * Nothing is printed, no signal is raised, no environment is read but what is named here.
 *
 *	struct tw_client_error error;
 *	struct tw_client *client;
 *	json_t *info;
 *
 *	if (tw_client_open(NULL, &client, &error))
 *		errx(1, "%s", error.message);
 *	if (tw_client_call(client, "getServerInfo", NULL, &info, &error))
 *		errx(1, "%s: %s", error.name, error.message);
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TW_CLIENT_API __attribute__((visibility("default")))

#define TW_CLIENT_PORT 8886
#define TW_CLIENT_ANSWER_MAX (64u << 20) /* bytes; a longer answer is TW_CLIENT_INTERNAL */
#define TW_CLIENT_EVENT_MAX (1u << 20)   /* bytes; a longer event likewise */
#define TW_CLIENT_FOREVER UINT32_MAX     /* as a time limit */

/* Ten come from the server by these names; some of them also when it cannot be reached. */
enum tw_client_fault {
	TW_CLIENT_OK = 0,
	TW_CLIENT_INVALID_PARAMETER, /* error.parameter names it: correct the call */
	TW_CLIENT_NOT_FOUND,         /* no such object, or not this user's; no such method */
	TW_CLIENT_NOT_AUTHENTICATED, /* user, password or token are missing or wrong */
	TW_CLIENT_NOT_PERMITTED,     /* this user may not do that */
	TW_CLIENT_CONFLICT,          /* the object's state forbids it now */
	TW_CLIENT_LIMIT_REACHED,     /* too many or too large; try less, or later */
	TW_CLIENT_UNAVAILABLE,       /* nobody answers there, or the server is not ready */
	TW_CLIENT_VERSION_MISMATCH,  /* the server is too old or too new for this call */
	TW_CLIENT_TIMEOUT,           /* no answer in time: it is not known whether it was done */
	TW_CLIENT_INTERNAL,          /* a fault of the server, or an answer that makes no sense */
	TW_CLIENT_KEY_CHANGED,       /* another key than the one this server is known by */
	TW_CLIENT_NO_MEMORY,         /* on this side */
	TW_CLIENT_FAULTS
};

struct tw_client_error {
	enum tw_client_fault fault;
	int code;           /* of JSON-RPC; 0: did not come from the server */
	char name[32];      /* "NotFound"; never "" after a failure */
	char parameter[64]; /* "": none is at fault */
	char message[512];  /* a sentence for people, may hold bytes that a stranger chose */
	char remedy[512];   /* what to do, "" when the server does not say */
};

/* "InvalidParameter", ..., "KeyChanged", "NoMemory"; "" for TW_CLIENT_OK. */
TW_CLIENT_API const char *tw_client_fault_name(enum tw_client_fault fault);

/* All of it may be zero; the text is copied, @context must be there as long as the client. */
struct tw_client_options {
	/* Where. A socket path wins over a host. Neither: the Unix socket of this user's server
	 * (root: /var/lib/tradewind/state/api.sock, others: tradewind/api.sock below XDG_STATE_HOME
	 * or else HOME/.local/state) if there is one, else the loopback address. */
	const char *socket_path;
	const char *host; /* a name, an IPv4 or IPv6 address */
	unsigned port;    /* 0: TW_CLIENT_PORT */

	/* Who. A token of an earlier session, or a user and a password: with them the first call
	 * opens a session, and a session that has expired is opened anew. */
	const char *token;
	const char *user, *password;

	/* The server's key, for hosts that are not this one: "sha256//BASE64" of its public key
	 * accepts that one alone. NULL: as the file says. */
	const char *server_key;
	/* NULL: tradewind/known_servers below XDG_CONFIG_HOME or else HOME/.config. */
	const char *known_servers;
	/* Asked before a key is written to the file. NULL: the first key is believed. */
	bool (*trust)(void *context, const char *server, const char *key);
	void *context;

	uint32_t connect_timeout_ms; /* 0: 10 s */
	/* For an answer. 0: 60 s. It does not count for methods that wait on purpose: waitFor...,
	 * getRequestResult, sleep. */
	uint32_t timeout_ms;
};

struct tw_client;

/*
 * Makes a client; connects at the first call. @options NULL: all zero. Owned by the caller.
 * TW_CLIENT_INVALID_PARAMETER: a host, path or port that cannot be; error.parameter names it.
 * TW_CLIENT_NO_MEMORY.
 */
TW_CLIENT_API int tw_client_open(const struct tw_client_options *options, struct tw_client **ret,
				 struct tw_client_error *error);
/* NULL is allowed. A token stays valid until the server ends its session. */
TW_CLIENT_API void tw_client_close(struct tw_client *client);
/* Where calls go, for messages: "unix:/run/x.sock", "https://host:8886". Lent. */
TW_CLIENT_API const char *tw_client_server(const struct tw_client *client);
/* The session's token, or NULL: for another program to go on with. Lent until the next call. */
TW_CLIENT_API const char *tw_client_token(const struct tw_client *client);

/*
 * Calls @method. @parameters: an object, borrowed; NULL: none. @ret_result may be NULL. Every fault
 * of the server, and TW_CLIENT_UNAVAILABLE, _TIMEOUT, _INTERNAL, _KEY_CHANGED, _NO_MEMORY from this
 * side. A request is sent once more only when the session has expired, or when the connection that
 * was kept from an earlier call turns out to be closed and not one byte of an answer has come; a
 * create method with a clientRequestId is safe to repeat.
 */
TW_CLIENT_API int tw_client_call(struct tw_client *client, const char *method,
				 const json_t *parameters, json_t **ret_result,
				 struct tw_client_error *error);
/*
 * Calls a method that ends in "Async" and waits for what comes of it, for @timeout_ms at most
 * (TW_CLIENT_TIMEOUT, the work goes on). Any other method: the same as tw_client_call().
 */
TW_CLIENT_API int tw_client_call_wait(struct tw_client *client, const char *method,
				      const json_t *parameters, uint32_t timeout_ms,
				      json_t **ret_result, struct tw_client_error *error);

struct tw_client_request {
	const char *method;           /* borrowed */
	const json_t *parameters;     /* borrowed, may be NULL */
	json_t *result;               /* set to a value the caller owns, NULL after a fault */
	struct tw_client_error error; /* set; fault TW_CLIENT_OK: it went well */
};

/*
 * All of them in one round trip, done in this order; each has its own outcome. A failure of the
 * whole is returned; then nothing is set.
 */
TW_CLIENT_API int tw_client_batch(struct tw_client *client, struct tw_client_request *requests,
				  size_t count, struct tw_client_error *error);

/* What GET answers for "/openrpc.json", "/metrics", "/healthz": NUL-terminated, to be free()d. */
TW_CLIENT_API int tw_client_get(struct tw_client *client, const char *path, char **ret_text,
				size_t *ret_length, struct tw_client_error *error);

struct tw_client_events;

struct tw_client_event {
	uint64_t id;      /* of the event log */
	const char *name; /* "send.transferComplete"; "gap": entries are lost, data tells which */
	json_t *data;     /* the entry */
};

#define TW_CLIENT_EVENTS_NEW UINT64_MAX /* only what happens from now on */

/*
 * Opens the stream of events after number @after_id (0: all that the log still holds) on a
 * connection of its own, and returns once the server has answered. It may outlive @client. Faults
 * as for a call.
 */
TW_CLIENT_API int tw_client_events_open(struct tw_client *client, uint64_t after_id,
					struct tw_client_events **ret,
					struct tw_client_error *error);
/*
 * Waits for the next event. What @ret points at is lent until the next call. A connection that
 * breaks is made again, and goes on after the last event that was returned.
 * TW_CLIENT_TIMEOUT: nothing happened within @timeout_ms. TW_CLIENT_UNAVAILABLE: the server was
 * away for that long; call again to go on trying. Others: as for a call; the stream is of no more
 * use.
 */
TW_CLIENT_API int tw_client_events_next(struct tw_client_events *events, uint32_t timeout_ms,
					struct tw_client_event *ret, struct tw_client_error *error);
/* NULL is allowed. */
TW_CLIENT_API void tw_client_events_close(struct tw_client_events *events);

#ifdef __cplusplus
}
#endif
