/*
 * engine_internal.h - what the files of the engine share: its objects and who may touch them.
 *
 * Everything here belongs to the control thread. An object (destination, manifest, transfer, token)
 * begins with a struct tw_object: its id, owner, user data, its place on the shelf of its kind, and
 * whether the store has its present state. Whoever changes one calls tw_object_changed(); all
 * changes of a turn are written at its end, or when the API commits before it answers.
 *
 * A destination has a number for its worker, a heap of the transfers that wait for it, and a list
 * of those that its worker has. tw_queue_kick() is the only way to set any of that in motion: the
 * pass over a destination (queue.c) tells the worker what has changed and starts what may start.
 *
 * A transfer's figures are those of its earlier runs plus those of the present one, which lie in
 * the worker's newest snapshot.
 */
#pragma once

#include <event2/event.h>
#include <jansson.h>
#include <sys/queue.h>

#include "base/heap.h"
#include "content/fs.h"
#include "content/listing.h"
#include "content/root.h"
#include "engine/caller.h"
#include "engine/deal.h"
#include "engine/engine.h"
#include "engine/eventlog.h"
#include "engine/index.h"
#include "engine/password.h"
#include "engine/triggers.h"
#include "netio/relay_agent.h"
#include "netio/worker.h"
#include "store/store.h"

#define TW_ENGINE_WORKERS_MAX 64
#define TW_ACTIVE_PER_DESTINATION_MAX 60 /* one connection carries TW_SESSION_TRANSFERS_MAX */
#define TW_MANIFESTS_MAX 1000000
#define TW_TOKENS_MAX 100000
#define TW_LOOKED_AT_MAX 8
#define TW_SHELF_ACCOUNTS 256
#define TW_PROBLEMS_KEPT 32 /* what was left out, newest first, each transfer */
#define TW_RATE_MAX_KBPS UINT64_C(1000000000)
#define TW_UNSET UINT64_MAX /* not given, no limit */

struct tw_object {
	struct tw_engine *engine;
	enum tw_store_kind kind;
	char id[TW_OBJECT_ID];
	struct tw_index_node by_id;
	size_t place;                                    /* on its shelf */
	bool shares; /* counts against its account's half of the shelf: neither loaded nor a
		      * superuser's */
	char *owner, *owner_token, *owner_token_session; /* owner never NULL */
	char *request; /* what by_request finds it by; NULL: none */
	struct tw_index_node by_request;
	json_t *user_data; /* NULL: empty */
	int64_t created_us;
	bool dirty;
	TAILQ_ENTRY(tw_object) dirty_link;
};

/* All objects of a kind, by id and in the order of creation. One account may fill half of it. */
struct tw_shelf {
	struct tw_index by_id;
	struct tw_object **items; /* NULL where one has gone */
	size_t used, room, count; /* used: items in use, holes included */
	size_t count_max;
	uint64_t moves; /* how often items have got other places */
	/* How many are whose, by a hash of the account: two may fall together. */
	uint32_t owned[TW_SHELF_ACCOUNTS];
};

/* A data worker and what was last heard of it. */
struct tw_link {
	struct tw_engine *engine;
	unsigned index;
	struct tw_worker *worker;
	struct event *readable;
	const struct tw_worker_snapshot *snapshot; /* NULL: none yet; lent until the next refresh */
	unsigned destinations;                     /* that are its */
	unsigned running;                          /* their transfers that it has */
	struct tw_deal outgoing, incoming;         /* as last given to it */
	bool admission_unsent;
	bool stopped;
	struct {
		uint64_t sent, received;
		tw_ns at;
	} measured;                          /* counters when limits were last divided */
	uint64_t sending_bps, receiving_bps; /* smoothed over some tenths of a second */
};

struct tw_destination_settings {
	char *address, *sender_ip, *relay_address; /* NULL: not given */
	uint16_t port, sender_port, relay_port;
	char public_key[TW_KEY_TEXT], permitted_key[TW_KEY_TEXT]; /* "": none */
	/* "": the relay, if any, is the destination's and is dialled like it; else it is our own,
	 * relay_port that of its control connections. */
	char relay_key[TW_KEY_TEXT];
	bool encryption_enabled, rate_controller_active;
	uint64_t send_rate, send_rate_min, send_rate_max; /* kbit/s; TW_UNSET */
	uint64_t average_window_ms, send_buffer, recv_buffer;
	char *method; /* NULL: the default */
};

TAILQ_HEAD(tw_transfer_list, tw_transfer);

struct tw_destination {
	struct tw_object object; /* first */
	struct tw_destination_settings settings;
	char connection_id[TW_OBJECT_ID];
	struct tw_index_node by_connection;

	/* At the worker. */
	uint64_t number;
	struct tw_index_node by_number;
	struct tw_link *link;
	bool added, changed; /* changed: the worker does not know yet */
	bool kicked;
	TAILQ_ENTRY(tw_destination) kick_link;
	const struct tw_worker_destination_status *live; /* valid while live_at is the snapshot's */
	uint64_t live_serial;

	/* Where it is (resolve.c). */
	struct tw_address remotes[TW_DIALER_ADDRESSES_MAX];
	unsigned remote_count;
	struct tw_address shown; /* its own address when a relay is dialled instead */
	/* By a relay of our own (own_relay.c): what its name means, and the tickets for @remotes.
	 */
	struct tw_own_relay *relay; /* NULL: none, or none to be had */
	TAILQ_ENTRY(tw_destination) relay_link;
	struct tw_address found[TW_DIALER_ADDRESSES_MAX];
	unsigned found_count;
	struct tw_ticket tickets[TW_DIALER_ADDRESSES_MAX];
	bool relay_denied;
	bool resolving;
	struct tw_timer resolve_timer;
	char resolve_error[160]; /* "": none */

	/* Transfers that have not ended. */
	struct tw_heap waiting;          /* by rank */
	struct tw_transfer_list running; /* the worker has them: those leaving too */
	struct tw_transfer_list jobs;    /* all */
	unsigned running_count, leaving_count;
	uint64_t pending_count;

	/* What its last transfer to end was refused for; NULL: nothing. */
	const char *refused;
	char refused_message[256];

	/* The slice of time that sendRateAverage is about. */
	uint64_t slice_of; /* the run that it began with; 0: closed */
	bool slice_measured;
	tw_ns slice_start;
	uint64_t slice_bytes;
	uint64_t slice_kbps; /* TW_UNSET: none yet */
};

enum tw_manifest_status { TW_MANIFEST_PENDING, TW_MANIFEST_COMPLETE, TW_MANIFEST_ERROR };

struct tw_manifest_object {
	struct tw_object object; /* first */
	enum tw_manifest_status status;
	json_t *recipe; /* what it was asked to hold, for building it again */
	char *fence;    /* path of the token it was made with; NULL: none */
	char *error_message;
	uint64_t total_files, total_size, total_entries; /* once complete */
	uint64_t files_so_far, size_so_far;
	struct tw_listing *listing; /* NULL: in the store */
	tw_ns listing_used_at;
	bool loading;           /* a thread decodes it */
	int damaged;            /* what came of that; 0: nothing bad */
	struct tw_build *build; /* NULL: not being built */
	unsigned uses;          /* transfers that have not ended, and shared tokens */
};

enum tw_transfer_state {
	TW_STATE_PENDING,
	TW_STATE_ACTIVE,
	TW_STATE_SUSPENDED,
	TW_STATE_COMPLETE,
	TW_STATE_CANCELLED,
	TW_STATE_ERROR,
	TW_STATE_COUNT,
};

/* Sums over all runs; the last four are of the transfer as a whole. */
struct tw_transfer_figures {
	uint64_t pieces_sent, pieces_retransmitted;
	uint64_t content_sent, bytes_retransmitted, bytes_read; /* bytes of the files */
	uint64_t bytes_sent, bytes_recv;                        /* UDP payload */
	uint64_t packets_sent, packets_recv;
	uint64_t bytes_acked, bytes_durable, files_complete, block_bytes;
};

struct tw_samples;

struct tw_transfer {
	struct tw_object object; /* first */
	/* Borrowed while it has not ended; NULL after. */
	struct tw_destination *destination;
	struct tw_manifest_object *manifest;
	char destination_id[TW_OBJECT_ID], manifest_id[TW_OBJECT_ID];
	char *destination_path;
	int64_t priority, overwrite_mode, flags;
	uint64_t checkpoint_seconds, send_rate_max; /* 0: null; kbit/s, TW_UNSET */
	bool verify;
	enum tw_transfer_state state;
	char *error_message, *digest;

	int64_t request_time, queue_time, start_time, end_time;
	tw_ns requested_at; /* monotonic: what request_time is of */
	uint64_t total_bytes, total_files;

	/* The queue. */
	uint32_t sequence;     /* order of creation */
	struct tw_timer turn;  /* in destination->waiting: at = rank */
	struct tw_timer retry; /* in engine->retries */
	unsigned attempts;     /* failed runs in a row */
	TAILQ_ENTRY(tw_transfer) job_link, running_link;

	/* At the worker. */
	uint64_t number; /* of the present run; 0: none */
	struct tw_index_node by_number;
	enum tw_worker_ending ending; /* asked for; 0: none */
	bool ending_sent, changed;
	bool doomed; /* off its shelf; freed when its run is over */
	const struct tw_worker_transfer_status *live;
	uint64_t live_serial;
	struct tw_transfer_figures earlier;

	struct tw_samples *samples; /* NULL: has not run */
	char **problems;            /* TW_PROBLEMS_KEPT, newest first; NULL: none */
	size_t problem_count;
	uint64_t problems_total;
};

struct tw_token {
	struct tw_object object; /* first; id: the token */
	bool shared;
	int64_t expiry_time;
	char *description, *path;
	char *password; /* how to check it; NULL: none */
	unsigned permissions;
	char manifest_id[TW_OBJECT_ID];
	struct tw_manifest_object *manifest; /* shared */
	uint64_t download_count, download_limit;
};

struct tw_reception;
struct tw_source_group;

struct tw_engine {
	struct tw_engine_options options; /* texts owned */
	struct event_base *base;
	struct tw_store *store;
	struct tw_eventlog *log;
	bool buffers_told; /* that the system grants too little for sockets: once */
	struct tw_triggers *triggers;
	struct tw_requests *requests;
	struct tw_watches *watches;
	struct tw_discovers *discovers;
	struct tw_pool *pool, *resolver;
	struct tw_fs receive_fs;
	bool receive_fs_open;
	TAILQ_HEAD(tw_reach_list, tw_reach) reaches;
	char *server_name, *host_name;
	char server_id[TW_SERVER_ID], server_uid[TW_SERVER_ID], public_key[TW_KEY_TEXT];
	uint8_t server_id_bytes[TW_ID_SIZE], server_uid_bytes[TW_ID_SIZE];
	char boot_id[TW_OBJECT_ID];
	json_t *license;
	int64_t started_at_us;
	bool stopping, stop_unsent;
	void (*stopped)(void *context);
	void *stopped_context;

	struct tw_crew *crew; /* of the workers, where several receive; NULL */
	struct tw_link links[TW_ENGINE_WORKERS_MAX];
	unsigned link_count;
	struct tw_relay_agent *relay; /* NULL: nobody comes by one */
	struct event *relay_readable;
	struct tw_address relay_seen; /* as whom it sees us */
	/* Addresses of this machine at the start: later its interfaces cannot be asked. */
	struct tw_address own_addresses[TW_OFFERS_MAX];
	unsigned own_address_count;
	char relay_ip[TW_ADDRESS_TEXT];
	TAILQ_HEAD(, tw_own_relay) own_relays; /* for what goes out */
	unsigned own_relay_count;
	uint64_t next_number;
	uint32_t next_sequence;

	struct tw_shelf destinations, manifests, transfers, tokens;
	struct tw_index connections, by_request, destination_numbers, transfer_numbers;
	TAILQ_HEAD(, tw_object) dirty;
	TAILQ_HEAD(, tw_destination) kicks;
	unsigned starts_left;            /* in this turn */
	uint64_t states[TW_STATE_COUNT]; /* transfers in each */
	uint64_t files_sent_total;
	uint64_t commits;
	bool commit_failed;

	struct event *second, *tenth, *commit, *kick, *garbage;
	struct tw_heap resolves, retries;

	/* The newest snapshot. */
	tw_ns refreshed_at, snapshot_at;
	bool news; /* a worker has some since */
	uint64_t refresh_serial;
	int64_t wall_us; /* ... and its wall time */

	/* Limits. */
	uint64_t incoming_limit, outgoing_limit; /* kbit/s; TW_UNSET: none */
	bool borrow_incoming, borrow_outgoing;
	bool limits_from_command_line;
	struct tw_garbage_settings garbage_settings;

	/* Receiving. */
	json_t *clients; /* array of keys, in the order of addition */
	bool only_clients;
	/* Oldest first; those that have not ended. */
	TAILQ_HEAD(tw_reception_list, tw_reception) receptions, receptions_live;
	size_t reception_count;
	struct tw_reception *reception_at; /* where a walk over them is */
	struct tw_source_group *source_at;
	struct tw_index reception_numbers, reception_names, source_keys;
	tw_ns receive_measured_at;
	TAILQ_HEAD(tw_source_list, tw_source_group) sources;
	size_t source_count;
	uint64_t files_received, bytes_durable_ended; /* of receptions that have ended */
	bool file_events;

	json_t *mappings, *wranglers;
	TAILQ_HEAD(, tw_file_work) file_works;
	struct tw_index waits;

	/* Lent to callers until the next call. */
	struct tw_destination_view destination_view;
	struct tw_manifest_view manifest_view;
	struct tw_transfer_view transfer_view;
	struct tw_token_view token_view;
	struct tw_source_view source_view;
	struct tw_receive_transfer_view reception_view;
	const char *permission_words[4];
	char digest_text[TW_OBJECT_ID];
	const char **client_texts;
	struct tw_transfer_sample_view *sample_views;
	uint64_t port_numbers[TW_RECEIVE_PORTS_MAX];
	/* Manifests whose listings were read to be looked at: the newest stay in memory. */
	char looked_at[TW_LOOKED_AT_MAX][TW_OBJECT_ID];
	unsigned looked_at_next;
	char path_text[2][TW_SOURCE_PATH_MAX + TW_ROOT_PATH_ROOM + 2];
	char token_session[TW_OBJECT_ID];
};

/* object.c */
void tw_shelf_init(struct tw_shelf *shelf, size_t count_max);
void tw_shelf_deinit(struct tw_shelf *shelf);
struct tw_object *tw_shelf_find(const struct tw_shelf *shelf, const char *id);
/* The next one that @caller sees from *@cursor on, which moves behind it. */
struct tw_object *tw_shelf_next(const struct tw_shelf *shelf, const struct tw_caller *caller,
				size_t *cursor);
struct tw_shelf *tw_engine_shelf(struct tw_engine *engine, enum tw_store_kind kind);
void tw_random_id(char ret[TW_OBJECT_ID]);
/* Fills in id, owner and time of a new object. -ENOMEM. */
int tw_object_init(struct tw_engine *engine, struct tw_object *object, enum tw_store_kind kind,
		   const struct tw_caller *caller, json_t *user_data);
/* Frees what the object part holds. */
void tw_object_deinit(struct tw_object *object);
/* On its shelf, and found by @client_request_id (NULL: none) from now on. -ENOMEM; TW_E_FULL: see
 * tw_object_full(). */
int tw_object_place(struct tw_object *object, const char *client_request_id);
/* LimitReached: the shelf is full of @what, or half of it is this account's. @advice: what to
 * do. */
int tw_object_full(const struct tw_object *object, const char *what, const char *advice,
		   struct tw_fault *fault);
/* Off its shelf and out of the store. */
void tw_object_remove(struct tw_object *object);
/* What the same caller made with the same clientRequestId before; NULL: nothing. */
struct tw_object *tw_object_requested(struct tw_engine *engine, enum tw_store_kind kind,
				      const struct tw_caller *caller,
				      const char *client_request_id);
/* To be written at the end of the turn. */
void tw_object_changed(struct tw_object *object);
void tw_object_ownership(const struct tw_object *object, struct tw_ownership *ret);
/* strdup() of a text that may be NULL or "" (both give NULL). False: no memory. */
bool tw_copy_text(const char *text, char **ret);
int tw_no_memory(struct tw_fault *fault);

/* caller.c */
bool tw_caller_sees(const struct tw_caller *caller, const struct tw_object *object);
/* The object, or NULL and NotFound in @fault naming @parameter. */
struct tw_object *tw_caller_object(struct tw_shelf *shelf, const struct tw_caller *caller,
				   const char *id, const char *parameter, struct tw_fault *fault);
int tw_caller_has(const struct tw_caller *caller, enum tw_permission permission,
		  struct tw_fault *fault);
/* User data must be an object of at most TW_USER_DATA_MAX bytes. */
int tw_user_data_check(json_t *user_data, struct tw_fault *fault);

/* persist.c */
enum tw_saved_type {
	TW_SAVED_STRING, /* char *, owned */
	TW_SAVED_TEXT,   /* char [@size] */
	TW_SAVED_BOOL,
	TW_SAVED_U64,
	TW_SAVED_I64,
	TW_SAVED_U32,
	TW_SAVED_U16,
};
struct tw_saved {
	const char *name;
	enum tw_saved_type type;
	size_t offset, size;
};
#define TW_SAVED(type, kind, member, name) \
	{ \
		name, TW_SAVED_##kind, offsetof(type, member), sizeof(((type *)0)->member) \
	}
/* Adds the rows to @body. -ENOMEM. */
int tw_saved_encode(const struct tw_saved *rows, size_t count, const void *object, json_t *body);
/* What is missing stays as it is. TW_E_FORMAT, -ENOMEM. */
int tw_saved_decode(const struct tw_saved *rows, size_t count, const json_t *body, void *object);
/* Loads everything; @ret_message when it fails. */
int tw_persist_load(struct tw_engine *engine, char ret_message[512]);
/* Writes what has changed into the store (not committed yet). */
int tw_persist_flush(struct tw_engine *engine);
int tw_persist_blob(struct tw_object *object, const void *blob, size_t length);
int tw_persist_setting(struct tw_engine *engine, const char *name, json_t *value);
/* @ret new reference; NULL when it was never set. */
json_t *tw_persist_get(struct tw_engine *engine, const char *name);
/* A commit at the end of this turn of the loop. */
void tw_persist_soon(struct tw_engine *engine);
/* Is @kind written at all? */
bool tw_persist_kept(const struct tw_engine *engine, enum tw_store_kind kind);

/* Each kind: how to write its body, and to make it from one (@object part already filled in). */
struct tw_kind {
	size_t size; /* of the object */
	json_t *(*encode)(const struct tw_object *object);
	const char *(*state)(const struct tw_object *object); /* NULL: "" */
	/* After this the object can be placed; TW_E_FORMAT: what it refers to is not there. */
	int (*decode)(struct tw_object *object, const json_t *body);
	/* It is on its shelf. */
	void (*loaded)(struct tw_object *object);
	void (*free)(struct tw_object *object);
};
extern const struct tw_kind tw_destination_kind, tw_manifest_kind, tw_transfer_kind, tw_token_kind;
const struct tw_kind *tw_kind_of(enum tw_store_kind kind);

/* destinations.c */
struct tw_rate_limits tw_destination_limits(const struct tw_destination *destination);
enum tw_rate_method tw_destination_method(const struct tw_destination *destination);
enum tw_cipher tw_destination_cipher(const struct tw_destination *destination);
/* What keeps it from being dialled at all; NULL: nothing. */
const char *tw_destination_obstacle(const struct tw_destination *destination);
/* TW_E_FULL: no length that a host name has; TW_E_FORMAT. */
int tw_destination_check_host(const char *host);
void tw_destination_describe(const struct tw_destination *destination,
			     struct tw_worker_destination *ret);
void tw_destination_event(struct tw_destination *destination, const char *name);
/* Chooses its worker, the one with the least to do; only before it is added there. */
void tw_destination_place(struct tw_destination *destination);
/* Gives it a worker and its number. -ENOMEM. */
int tw_destination_attach(struct tw_destination *destination);

/* rates.c */
struct tw_rate_set {
	uint64_t rate, min, max; /* kbit/s; TW_UNSET */
};
void tw_rates_clamp(const struct tw_engine *engine, struct tw_rate_set *set);
int tw_rates_method(const char *name, bool active, uint64_t rate, struct tw_fault *fault);

/* connections.c */
void tw_connection_fill(struct tw_destination *destination, struct tw_connection_view *ret);
const struct tw_destination_view *tw_destination_view(struct tw_destination *destination);

/* resolve.c */
/* Looks its name up now, unless that is under way. */
/* As tw_resolve(), by whoever keeps the rights; @engine: struct tw_engine. From any thread. */
int tw_engine_look_up(void *engine, const char *host, uint16_t port, struct tw_address *ret,
		      unsigned room, unsigned *ret_count);
void tw_resolve_start(struct tw_destination *destination);
void tw_resolve_forget(struct tw_destination *destination);
void tw_resolve_due(struct tw_engine *engine, tw_ns now);

/* queue.c */
void tw_queue_init(struct tw_destination *destination);
void tw_queue_deinit(struct tw_destination *destination);
/* Something about @destination or its transfers has changed: a pass over it, this turn. */
void tw_queue_kick(struct tw_destination *destination);
/* All passes that are wanted. True: some could not be done now (a worker's ring is full). */
bool tw_queue_run(struct tw_engine *engine);
/* Pending and waiting for its turn. */
int tw_queue_put(struct tw_transfer *transfer);
void tw_queue_take(struct tw_transfer *transfer);
/* The run of @transfer is to end. */
void tw_queue_end(struct tw_transfer *transfer, enum tw_worker_ending ending);
/* Its run is over: @sending as it was then. */
void tw_queue_ended(struct tw_transfer *transfer, const struct tw_worker_transfer_status *sending);
void tw_queue_retry_due(struct tw_engine *engine, tw_ns now);
uint64_t tw_queue_rank(const struct tw_transfer *transfer);

/* manifests.c */
/*
 * Its listing, read from the store when it is not in memory; NULL: cannot (message in @ret), or it
 * is a long one that a thread is at (@loading): waiting destinations are kicked when it is there.
 */
struct tw_listing *tw_manifest_listing(struct tw_manifest_object *manifest, char ret[256]);
/* The same at once, however long it takes: for one who asked to see it. */
struct tw_listing *tw_manifest_listing_now(struct tw_manifest_object *manifest, char ret[256]);
void tw_manifest_use(struct tw_manifest_object *manifest);
void tw_manifest_drop(struct tw_manifest_object *manifest);
/* Lets go of listings that nobody has used for a while. */
void tw_manifests_trim(struct tw_engine *engine, tw_ns now);
void tw_manifest_remove(struct tw_manifest_object *manifest);
const struct tw_manifest_view *tw_manifest_fill(struct tw_manifest_object *manifest);

/* transfers.c */
/* The one place where the state of a transfer changes. @message: why (ERROR); may be NULL. */
void tw_transfer_enter(struct tw_transfer *transfer, enum tw_transfer_state state,
		       const char *message);
bool tw_transfer_over(const struct tw_transfer *transfer);
const char *tw_transfer_state_name(enum tw_transfer_state state);
int64_t tw_transfer_time(const struct tw_transfer *transfer, tw_ns at);
void tw_transfer_event(struct tw_transfer *transfer, const char *name);
void tw_transfer_remove(struct tw_transfer *transfer);
void tw_transfer_free(struct tw_transfer *transfer);
void tw_transfer_problem(struct tw_transfer *transfer, const char *text);
/* transfer_view.c */
void tw_transfer_figures(const struct tw_transfer *transfer, struct tw_transfer_figures *ret);
const struct tw_transfer_view *tw_transfer_view(struct tw_transfer *transfer);

/* samples.c */
/* It begins to run: what comes from now on is measured. */
void tw_samples_begin(struct tw_transfer *transfer);
/* The second that ends at @at. */
void tw_samples_add(struct tw_transfer *transfer, tw_ns at);
/* It has ended: fewer will do. */
void tw_samples_settle(struct tw_transfer *transfer);
void tw_samples_free(struct tw_samples *samples);
/* kbit/s of new content in the newest second, and smoothed; 0: none. */
uint64_t tw_samples_throughput(const struct tw_samples *samples);
double tw_samples_smooth_bps(const struct tw_samples *samples);

/* links.c: the workers */
int tw_links_open(struct tw_engine *engine, char ret_message[512]);
void tw_links_close(struct tw_engine *engine);
int tw_links_stop(struct tw_engine *engine);
/* Says so to whoever asked to stop, once all workers have. */
void tw_links_check_stopped(struct tw_engine *engine);
/* Takes the newest snapshots, where a worker has told of something new, or @now_please. */
void tw_links_refresh(struct tw_engine *engine, bool now_please);
/* Wall time of a monotonic one, by the clock as it was at the newest refresh; 0 for 0. */
int64_t tw_engine_wall(const struct tw_engine *engine, tw_ns at);
void tw_links_admission(struct tw_engine *engine);
/* Those that had no room for it are told again. */
void tw_links_admission_again(struct tw_engine *engine);
const struct tw_worker_destination_status *tw_destination_live(
	const struct tw_destination *destination);
const struct tw_worker_transfer_status *tw_transfer_live(const struct tw_transfer *transfer);

/* snapshot.c: what happens once a second */
void tw_snapshot_second(struct tw_engine *engine);

/* limits.c */
void tw_limits_init(struct tw_engine *engine);
void tw_limits_load(struct tw_engine *engine);
void tw_limits_divide(struct tw_engine *engine);
/* All in bit/s; UINT64_MAX: no limit. What one direction may take now: its own limit and, when it
 * may borrow, what the other one does not need. */
uint64_t tw_limits_borrowed(uint64_t own, uint64_t other, uint64_t other_used, bool borrow);
void tw_limits_view(const struct tw_engine *engine, struct tw_bandwidth_view *ret);

/* receive.c */
void tw_receive_init(struct tw_engine *engine);
int tw_receive_load(struct tw_engine *engine);
void tw_receive_deinit(struct tw_engine *engine);
void tw_receive_event(struct tw_engine *engine, const struct tw_worker_event *event);
void tw_receive_refresh(struct tw_engine *engine);
void tw_receive_expire(struct tw_engine *engine, tw_ns now);
/* Adds what live receptions have brought. */
void tw_receive_figures(const struct tw_engine *engine, struct tw_engine_figures *ret);
int tw_receive_admission(struct tw_engine *engine, struct tw_worker_admission *ret);

/* file_requests.c */
void tw_file_requests_stop(struct tw_engine *engine);

/* gc.c, policy.c, waits.c */
void tw_garbage_load(struct tw_engine *engine);
void tw_garbage_arm(struct tw_engine *engine);
int tw_policy_load(struct tw_engine *engine);
void tw_waits_init(struct tw_engine *engine);
void tw_waits_deinit(struct tw_engine *engine);
/* The object of that id is no longer processing, or is gone. */
void tw_waits_wake(struct tw_engine *engine, const char *id);
/* tokens.c */
/* For a transfer; @right: its password is. NULL and a fault. */
struct tw_token *tw_token_redeem(struct tw_engine *engine, const char *token, bool right,
				 struct tw_fault *fault);
bool tw_token_expired(const struct tw_token *token, int64_t now_us);
void tw_token_remove(struct tw_token *token);

/* own_relay.c */
#define TW_OWN_RELAYS_MAX 32
/*
 * The relay in @options into @ret, when it is one of our own: where a key is given, behind the # of
 * relayAddress or as relayPublicKey. Otherwise leaves @ret alone.
 */
int tw_own_relay_options(const struct tw_destination_options *options,
			 struct tw_destination_settings *ret, struct tw_fault *fault);
/* Begins with the relay that @destination names, if it is one of our own. TW_E_FULL: there are
 * TW_OWN_RELAYS_MAX others; -errno. */
int tw_own_relay_join(struct tw_destination *destination);
/* The last to leave ends it. */
void tw_own_relay_leave(struct tw_destination *destination);
void tw_own_relays_close(struct tw_engine *engine);
/* @found has changed: the ways there by the relay, as far as it has said. */
void tw_own_relay_ways(struct tw_destination *destination);
/* Where datagrams go at the moment; false: nowhere yet, or by no relay of ours. */
bool tw_own_relay_now(const struct tw_destination *destination, struct tw_address *ret);
/* What stands between us and the relay, and what to do; false: nothing. */
bool tw_own_relay_trouble(const struct tw_destination *destination, char *ret, size_t room);

/* relay.c */
/* For the receiving worker, before it starts. -errno and a sentence. */
int tw_engine_relay_open(struct tw_engine *engine, struct tw_worker *worker, char ret_message[512]);
void tw_engine_relay_close(struct tw_engine *engine);
/* Whether @remote is our relay; then where that is reached: at its public port, or at its control
 * port while UDP does not pass. */
bool tw_engine_by_relay(struct tw_engine *engine, const struct tw_address *remote,
			struct tw_address *ret);
/* The address and port that senders dial, once known; until then the relay as it was named. */
void tw_engine_relay_view(struct tw_engine *engine, struct tw_receiver_view *ret);
