/*
 * engine.h - the service behind the API: destinations and their queues, manifests, transfers,
 * tokens, watch folders, limits, the receiving side, snapshots, events.
 *
 * Lives on the control thread, on its libevent base; owns the truth of all objects and writes it to
 * the store. Data workers run apart (netio/worker.h): the engine gives them transfers, reads their
 * snapshots once a second and after each change, and never makes them wait. Nothing here blocks:
 * walks of folders, file operations and name look-ups run on pools of threads and come back as
 * events.
 *
 * Every call that names objects takes the caller; what he may not see does not exist for him. Views
 * are lent until the next call. A function that can refuse returns TW_FAULT_NONE or a code and
 * fills in @fault.
 *
 * What a call has changed is on storage (against a kill) once tw_engine_commit() returns, which the
 * API calls before it lets the answers of a turn go.
 */
#pragma once

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/accounts.h"
#include "content/sink.h"
#include "crypto/identity.h"
#include "engine/fault.h"
#include "engine/views.h"
#include "rate/controller.h"

#define TW_API_VERSION 1
#define TW_API_PORT_DEFAULT 8886
#define TW_RECEIVE_PORT_DEFAULT 8886
#define TW_RECEIVE_PORTS_MAX 16
#define TW_DESTINATIONS_MAX 4096
#define TW_TRANSFERS_MAX 1000000
#define TW_USER_DATA_MAX 65536 /* bytes of JSON */

struct tw_engine;

/* Who asks. */
struct tw_caller {
	const char *user; /* account; "": nobody yet (authRequired false: "anonymous") */
	bool authenticated;
	bool superuser, wrangler; /* as elevated in this session */
	bool superuser_allowed, wrangler_allowed;
	const char *token; /* the API or shared token he came with; NULL: none */
	const char *token_session;
	unsigned permissions;   /* enum tw_permission; all bits without a token */
	const char *token_path; /* file operations of a token stay below it; NULL: "/" */
	bool local;             /* by the Unix socket: uid is proven */
	unsigned uid, gid;
};

enum tw_permission {
	TW_MAY_UPLOAD = 1,
	TW_MAY_DOWNLOAD = 2,
	TW_MAY_MODIFY = 4,
	TW_MAY_SHARE = 8,
	TW_MAY_ALL = 15,
};

/* Server options as they came from the command line and the configuration file. */
struct tw_engine_options {
	struct event_base *base;            /* borrowed */
	const struct tw_identity *identity; /* borrowed */
	struct tw_accounts *accounts;       /* borrowed; outlives the engine */
	const char *version, *revision;
	const char *server_name; /* NULL: the host's name */
	const char *state_dir;   /* made when missing, 0700 */
	const char *receive_dir; /* root of all that arrives; made when missing */
	const char *sandbox_dir; /* NULL: none */
	uint16_t receive_ports[TW_RECEIVE_PORTS_MAX];
	size_t receive_port_count;
	bool receive; /* false: no receive ports at all */
	bool encryption;
	int min_cipher; /* TW_CIPHER_* by the contract's numbers */
	const char *external_address;
	const char *trigger_dir, *trigger_log;
	bool persistent_destinations, persistent_transfers;
	/* kbit/s; UINT64_MAX: not given on the command line */
	uint64_t incoming_rate_limit, outgoing_rate_limit;
	bool borrow_incoming_rate, borrow_outgoing_rate;
	unsigned workers;                /* 0: half as many as processors, 1 to 8 */
	uint32_t lanes; /* at most so many a destination; TW_WORKER_LANES_AUTO: as many as help */
	unsigned active_per_destination; /* transfers running at a time to one destination; 0: 1 */
	const char *relay_host;          /* NULL: none */
	uint16_t relay_port;             /* its control port */
	struct tw_public_key relay_key;
	uint16_t api_port; /* shown until tw_engine_launched() */
	const char *certificate_pin; /* of the API's; NULL: it has none */
	int64_t certificate_end_us;  /* wall */
	bool api_tokens, shared_tokens, auth_required, allow_remote_control;
	json_t *configuration; /* every effective option; taken */
};

/* @ret_message: a sentence for the operator when it fails. -errno or TW_E_*. */
int tw_engine_new(const struct tw_engine_options *options, struct tw_engine **ret,
		  char ret_message[512]);
/* The API answers at @api_port: that is shown from now on, and the launch event tells it. */
void tw_engine_launched(struct tw_engine *engine, uint16_t api_port);
/* Opens nothing new, pauses transfers in order, checkpoints, persists; @done when over. */
void tw_engine_stop(struct tw_engine *engine, void (*done)(void *context), void *context);
void tw_engine_free(struct tw_engine *engine);
/* Makes durable what the calls of this turn changed. */
int tw_engine_commit(struct tw_engine *engine);

/* Server. */
/* How many data workers there are; @ret_steered: the kernel brings each what is its, or there is
 * only one. */
unsigned tw_engine_workers(const struct tw_engine *engine, bool *ret_steered);
void tw_engine_server(struct tw_engine *engine, const struct tw_caller *caller,
		      struct tw_server_view *ret);
struct tw_bandwidth_change {
	const uint64_t *incoming_rate_limit, *outgoing_rate_limit; /* NULL: as it is */
	const bool *borrow_incoming_rate, *borrow_outgoing_rate;
};
int tw_engine_set_bandwidth(struct tw_engine *engine, const struct tw_bandwidth_change *change,
			    struct tw_fault *fault);
struct tw_garbage_settings {
	uint64_t interval_seconds, transfer_expiry_seconds, manifest_expiry_seconds;
};
void tw_engine_garbage_settings(const struct tw_engine *engine, struct tw_garbage_settings *ret);
int tw_engine_set_garbage(struct tw_engine *engine, const struct tw_garbage_settings *settings,
			  struct tw_fault *fault);
/* Removes what has expired now; how many objects went. */
uint64_t tw_engine_collect_garbage(struct tw_engine *engine);

/* Destinations. NULL pointers and UINT64_MAX: not given. */
struct tw_destination_options {
	const char *address;
	uint16_t port;
	const char *public_key, *permitted_public_key;
	bool encryption_enabled;
	const char *sender_ip;
	uint16_t sender_port;
	uint64_t send_rate, send_rate_min, send_rate_max; /* kbit/s */
	bool rate_controller_active;
	const char *rate_control_method; /* NULL: the default */
	uint64_t average_window_ms;      /* 1000 */
	uint64_t socket_send_buffer_size, socket_recv_buffer_size;
	const char *relay_address;
	uint16_t relay_port;
	const char *relay_public_key; /* the relay is our own, for what goes out */
	json_t *user_data; /* borrowed */
	const char *client_request_id;
};
void tw_destination_options_init(struct tw_destination_options *options);
int tw_engine_create_destination(struct tw_engine *engine, const struct tw_caller *caller,
				 const struct tw_destination_options *options, const char **ret_id,
				 struct tw_fault *fault);
int tw_engine_delete_destination(struct tw_engine *engine, const struct tw_caller *caller,
				 const char *id, bool force, struct tw_fault *fault);
/* Any of the others below; NULL: not there for this caller. @id may be that of the destination or
 * of its connection. */
const struct tw_destination_view *tw_engine_destination(struct tw_engine *engine,
							const struct tw_caller *caller,
							const char *id);
/* The @index-th that @caller sees, in the order of creation; NULL: no more. Iterate without other
 * calls between. */
const struct tw_destination_view *tw_engine_destination_next(struct tw_engine *engine,
							     const struct tw_caller *caller,
							     size_t *cursor);
struct tw_rate_change {
	const char *destination_id, *transfer_id;         /* one of them */
	uint64_t send_rate, send_rate_min, send_rate_max; /* UINT64_MAX: as it is */
	const bool *rate_controller_active;
	const char *rate_control_method;
};
/* @ret: what the values are now (clamped to the server's limits). In effect within 100 ms. */
int tw_engine_set_rate(struct tw_engine *engine, const struct tw_caller *caller,
		       const struct tw_rate_change *change, json_t **ret, struct tw_fault *fault);

/* Manifests. */
struct tw_manifest_options {
	struct tw_manifest_mapping {
		const char *src_path, *dest_path;
	} * mappings;
	size_t mapping_count;
	bool recursive, follow_symlinks;
	struct tw_strings include, exclude;
	json_t *user_data;
	const char *client_request_id;
};
int tw_engine_create_manifest(struct tw_engine *engine, const struct tw_caller *caller,
			      const struct tw_manifest_options *options, const char **ret_id,
			      struct tw_fault *fault);
int tw_engine_delete_manifest(struct tw_engine *engine, const struct tw_caller *caller,
			      const char *id, struct tw_fault *fault);
const struct tw_manifest_view *tw_engine_manifest(struct tw_engine *engine,
						  const struct tw_caller *caller, const char *id);
const struct tw_manifest_view *tw_engine_manifest_next(struct tw_engine *engine,
						       const struct tw_caller *caller,
						       size_t *cursor);
/* Calls @each for entries [offset, offset + limit) of the manifest; stops at its first nonzero. */
struct tw_manifest_slice {
	const char *id;
	uint64_t offset, limit;
	int (*each)(void *context, const struct tw_manifest_file_view *file);
	void *context;
};
int tw_engine_manifest_files(struct tw_engine *engine, const struct tw_caller *caller,
			     const struct tw_manifest_slice *slice, struct tw_fault *fault);

/* Transfers. */
struct tw_transfer_options {
	const char *manifest_id, *token; /* one of them; a shared token */
	bool token_password_right;       /* it was checked: see tw_engine_token_password() */
	const char *destination_id, *destination_path;
	int64_t priority;            /* 100 */
	int64_t overwrite_mode;      /* 4 */
	uint64_t checkpoint_seconds; /* 10; 0: null */
	int64_t transfer_flags;      /* 3 */
	uint64_t send_rate_max;      /* kbit/s; UINT64_MAX: none */
	bool verify;                 /* SHA-256 of each file as well */
	json_t *user_data;
	const char *client_request_id;
};
void tw_transfer_options_init(struct tw_transfer_options *options);
int tw_engine_create_transfer(struct tw_engine *engine, const struct tw_caller *caller,
			      const struct tw_transfer_options *options, const char **ret_id,
			      struct tw_fault *fault);
enum tw_transfer_action {
	TW_TRANSFER_SUSPEND = 1,
	TW_TRANSFER_RESUME,
	TW_TRANSFER_CANCEL,
	TW_TRANSFER_FAIL,   /* @text: errorMessage */
	TW_TRANSFER_DELETE, /* an active one is a Conflict */
	TW_TRANSFER_DELETE_FORCE,
};
int tw_engine_transfer_act(struct tw_engine *engine, const struct tw_caller *caller, const char *id,
			   enum tw_transfer_action action, const char *text,
			   struct tw_fault *fault);
/* NULL: as it is. */
int tw_engine_update_transfer(struct tw_engine *engine, const struct tw_caller *caller,
			      const char *id, const int64_t *priority,
			      const uint64_t *send_rate_max, struct tw_fault *fault);
const struct tw_transfer_view *tw_engine_transfer(struct tw_engine *engine,
						  const struct tw_caller *caller, const char *id);
struct tw_transfer_filter {
	const char *status, *destination_id; /* NULL: any */
};
const struct tw_transfer_view *tw_engine_transfer_next(struct tw_engine *engine,
						       const struct tw_caller *caller,
						       const struct tw_transfer_filter *filter,
						       size_t *cursor);
/* The same in parts, over turns of the loop in which transfers come and go: each that is there all
 * the time is shown once. Starts as zeros but for the filter and @skip. */
struct tw_transfer_walk {
	struct tw_transfer_filter filter;
	uint64_t skip; /* so many that match are left out first */
	size_t cursor;
	uint64_t moves; /* of the engine's table when @cursor was good */
	uint32_t last;
};
const struct tw_transfer_view *tw_engine_transfer_walk(struct tw_engine *engine,
						       const struct tw_caller *caller,
						       struct tw_transfer_walk *walk);
/* Samples later than @since_us, of struct tw_transfer_sample_view; lent. */
int tw_engine_transfer_samples(struct tw_engine *engine, const struct tw_caller *caller,
			       const char *id, int64_t since_us, struct tw_list *ret,
			       struct tw_fault *fault);

/* Tokens. */
struct tw_token_options {
	bool shared;
	const char *manifest_id, *path, *description;
	const char *password; /* made by tw_password_make(), which takes its time; NULL: none */
	struct tw_strings permissions;
	int64_t expiry_time;     /* 0: never */
	uint64_t download_limit; /* UINT64_MAX: none */
	json_t *user_data;
};
int tw_engine_create_token(struct tw_engine *engine, const struct tw_caller *caller,
			   const struct tw_token_options *options, const char **ret_token,
			   struct tw_fault *fault);
const struct tw_token_view *tw_engine_token(struct tw_engine *engine,
					    const struct tw_caller *caller, bool shared,
					    const char *token);
const struct tw_token_view *tw_engine_token_next(struct tw_engine *engine,
						 const struct tw_caller *caller, bool shared,
						 size_t *cursor);
int tw_engine_delete_token(struct tw_engine *engine, const struct tw_caller *caller, bool shared,
			   const char *token, struct tw_fault *fault);
/* What tw_password_check() knows the token's password by; lent. NULL: it needs none. One that is
 * unknown or has expired has one that nothing is right for. */
const char *tw_engine_token_password(struct tw_engine *engine, const char *token);
/* For authToken(): fills @ret (strings lent until the token goes). @right: its password was checked
 * and is right. NotAuthenticated for a wrong one, an expired token and an unknown one alike. */
int tw_engine_token_login(struct tw_engine *engine, const char *token, bool right,
			  struct tw_caller *ret, struct tw_fault *fault);

/* User data: of a "destinationId", "manifestId", "transferId" or "token". */
int tw_engine_update_user_data(struct tw_engine *engine, const struct tw_caller *caller,
			       const char *kind, const char *id, json_t *user_data,
			       struct tw_fault *fault);
int tw_engine_delete_user_data(struct tw_engine *engine, const struct tw_caller *caller,
			       const char *kind, const char *id, const struct tw_strings *keys,
			       struct tw_fault *fault);

/* Watch folders (engine/watches.c). */
struct tw_watch_options {
	const char *src_path, *destination_id, *destination_path;
	uint64_t interval_seconds, settle_seconds;
	struct tw_strings include, exclude;
	bool mirror_deletes, enabled;
	int64_t expiry_time;
	json_t *user_data;
	const char *client_request_id;
};
void tw_watch_options_init(struct tw_watch_options *options);
int tw_engine_create_watch(struct tw_engine *engine, const struct tw_caller *caller,
			   const struct tw_watch_options *options, const char **ret_id,
			   struct tw_fault *fault);
/* @given: which members of @options count, by the parameter's name. */
int tw_engine_update_watch(struct tw_engine *engine, const struct tw_caller *caller, const char *id,
			   const struct tw_watch_options *options, const struct tw_strings *given,
			   struct tw_fault *fault);
int tw_engine_delete_watch(struct tw_engine *engine, const struct tw_caller *caller, const char *id,
			   struct tw_fault *fault);
const struct tw_watch_view *tw_engine_watch(struct tw_engine *engine,
					    const struct tw_caller *caller, const char *id);
const struct tw_watch_view *tw_engine_watch_next(struct tw_engine *engine,
						 const struct tw_caller *caller, size_t *cursor);

/* Receiving. */
int tw_engine_authorize_client(struct tw_engine *engine, const char *key, bool authorized,
			       struct tw_fault *fault);
int tw_engine_only_authorized(struct tw_engine *engine, bool only, struct tw_fault *fault);
/* Lent, in the order of addition. */
void tw_engine_authorized_clients(struct tw_engine *engine, struct tw_strings *ret);
const struct tw_source_view *tw_engine_source_next(struct tw_engine *engine, size_t *cursor);
const struct tw_receive_transfer_view *tw_engine_receive_transfer_next(struct tw_engine *engine,
								       size_t *cursor);

/* Policy that is kept here and enforced elsewhere: sandbox mappings {user: {mount: target}} and
 * wranglers. @ret new references. */
json_t *tw_engine_mappings(struct tw_engine *engine);
int tw_engine_set_mapping(struct tw_engine *engine, const char *user, json_t *mapping,
			  struct tw_fault *fault);
int tw_engine_delete_mapping(struct tw_engine *engine, const char *user, struct tw_fault *fault);
json_t *tw_engine_wranglers(struct tw_engine *engine);
int tw_engine_add_wrangler(struct tw_engine *engine, const char *name, bool group,
			   struct tw_fault *fault);
int tw_engine_delete_wrangler(struct tw_engine *engine, const char *name, bool group,
			      struct tw_fault *fault);

/*
 * Waiting without asking again: @changed is called once, from the loop, when the object of that id
 * (manifest, transfer, request) is no longer processing or is gone, or after @timeout_ms. Returns a
 * handle for cancelling, NULL: it is over already.
 */
struct tw_wait;
struct tw_wait *tw_engine_wait(struct tw_engine *engine, const char *id, uint64_t timeout_ms,
			       void (*changed)(void *context, bool timed_out), void *context);
void tw_engine_wait_cancel(struct tw_wait *wait);

/* Asynchronous requests (engine/requests.c): work that ends later with a JSON result or a fault,
 * kept for ten minutes. */
struct tw_request;
/* @ret_id lent. LimitReached: too many. */
int tw_engine_request_new(struct tw_engine *engine, const struct tw_caller *caller,
			  const char **ret_id, struct tw_request **ret, struct tw_fault *fault);
/* @result: taken. */
void tw_engine_request_done(struct tw_request *request, json_t *result);
void tw_engine_request_fail(struct tw_request *request, const struct tw_fault *fault);
enum tw_request_state { TW_REQUEST_PENDING, TW_REQUEST_COMPLETE, TW_REQUEST_ERROR };
struct tw_request_status {
	enum tw_request_state state;
	json_t *result;                 /* COMPLETE: borrowed */
	const struct tw_fault *failure; /* ERROR: lent */
};
/* NotFound. */
int tw_engine_request(struct tw_engine *engine, const struct tw_caller *caller, const char *id,
		      struct tw_request_status *ret, struct tw_fault *fault);

/* File operations and discovery as requests: @operation "ls", "lsList", "lsRoots", "du", "mkdir",
 * "mkFile", "mv", "rm", "sendDiscover", "recvDiscover", with the method's parameters as JSON. */
int tw_engine_file_request(struct tw_engine *engine, const struct tw_caller *caller,
			   const char *operation, json_t *parameters, const char **ret_id,
			   struct tw_fault *fault);

/* Event log (engine/eventlog.c). Entries are JSON: _event, _timestamp, _id, the object's fields. */
/* Adds; wakes listeners; runs triggers. @object: taken. */
void tw_engine_event(struct tw_engine *engine, const char *name, const char *owner, json_t *object);
struct tw_events_query {
	uint64_t after;   /* 0: from the oldest */
	int64_t since_us; /* 0: whenever */
	uint64_t limit;
};
/* @ret: new reference to an array, oldest first; *@ret_last: the number of the last entry looked
 * at, whether this caller may see it or not: where to go on, unless it is the newest or has not
 * moved. */
int tw_engine_events(struct tw_engine *engine, const struct tw_caller *caller,
		     const struct tw_events_query *query, json_t **ret, uint64_t *ret_last,
		     struct tw_fault *fault);
void tw_engine_event_range(struct tw_engine *engine, uint64_t *ret_oldest, uint64_t *ret_newest);
struct tw_listener;
/* @grown is called from the loop when there is a new event. */
struct tw_listener *tw_engine_listen(struct tw_engine *engine, void (*grown)(void *context),
				     void *context);
void tw_engine_unlisten(struct tw_listener *listener);

/* Figures for /metrics beside those of the views. */
struct tw_engine_figures {
	uint64_t transfers_total, transfers_pending, transfers_active, transfers_suspended;
	uint64_t bytes_sent, bytes_received, packets_sent, packets_received; /* since the start */
	uint64_t bytes_durable_received, files_received, files_sent;
	uint64_t events, store_commits;
	int64_t started_at_us, snapshot_time;
};
void tw_engine_figures(struct tw_engine *engine, struct tw_engine_figures *ret);
