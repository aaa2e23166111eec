/*
 * worker_private.h - the worker's state, shared by the files that make it up:
 *   worker.c               life and loop
 *   worker_commands.c      the control thread's wishes: in through a ring, carried out
 *   worker_destinations.c  dialling, timers, rates of one destination
 *   worker_transfers.c     a sending transfer from its addition to its end
 *   worker_limits.c        totals shared out, admission
 *   worker_sockets.c       opening, finding, closing
 *   worker_io.c            datagrams
 *   worker_crew.c          one of several workers at the same addresses: whose a datagram is
 *   worker_lanes.c         lanes between workers: their halves, letters, ends, figures
 *   worker_lanes_open.c    when a destination gets lanes, and what each may use of its rate
 *   worker_discover.c      as whom others see our sockets
 *   worker_events.c        what happened, told once
 *   worker_publish.c       snapshots: how things stand
 *   worker_buffers.c       socket buffers as large as the paths
 *
 * No turn of the loop looks at all destinations: each has a timer in a heap, and those that a
 * datagram or a job concerned are put into a list that is worked through once a turn.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/heap.h"
#include "base/ring.h"
#include "core/table.h"
#include "netio/buffers.h"
#include "netio/disk.h"
#include "netio/valve.h"
#include "netio/worker.h"
#include "rate/meter.h"
#include "rate/share.h"
#include "session/lane.h"
#include "session/message.h"
#include "session/outgoing.h"

#define TRAIN_ROOM ((size_t)65536)
/* Sockets of one destination: to all its addresses, and to as many that it had before. */
#define DESTINATION_SLOTS (2 * TW_DIALER_ADDRESSES_MAX)
#define WORKER_BLOCKS 160 /* of 1 MiB, read ahead by all senders together */
#define TW_WORKER_ASKED 16
#define TICK_EVERY (20 * TW_MSEC)
/* Marks of connections that are lanes: those that we dialled are numbers of lines too. */
#define TW_LANE_OUT (UINT64_C(1) << 63)
#define TW_LANE_IN (UINT64_C(1) << 62)
/* How long a finished sender waits for its last words to be acknowledged, and what is enough when
 * the program ends and CLOSE says the same. */
#define LAST_WORDS (800 * TW_MSEC)
#define LAST_WORDS_ENDING (5 * TW_MSEC)

enum command_type {
	COMMAND_ADD_DESTINATION = 1,
	COMMAND_CHANGE_DESTINATION,
	COMMAND_REMOVE_DESTINATION,
	COMMAND_ADD_TRANSFER,
	COMMAND_CHANGE_TRANSFER,
	COMMAND_END_TRANSFER,
	COMMAND_LIMITS,
	COMMAND_ADMISSION,
	COMMAND_DISCOVER,
	COMMAND_OFFERS,
	COMMAND_STOP,
	COMMAND_COUNT,
};

struct offers {
	struct tw_address addresses[TW_OFFERS_MAX];
	unsigned count;
};

struct command {
	enum command_type type;
	uint64_t id;
	union {
		struct destination *destination; /* owned */
		struct tw_worker_destination *change;
		struct transfer *transfer;
		struct {
			uint64_t rank, max_bps;
		};
		struct {
			uint64_t outgoing_bps, incoming_bps;
		};
		enum tw_worker_ending ending;
		struct tw_worker_admission admission;
		struct tw_address address;
		struct offers *offers; /* owned */
	};
};

/* A train that found its socket full. */
struct parcel {
	struct parcel *next;
	struct tw_train train; /* its bytes follow, owned */
	size_t sent;
	uint64_t held; /* by tw_endpoint_hold() */
};

struct slot {
	struct tw_udp udp;
	uint32_t index;                  /* in worker->slots, and what epoll reports */
	struct destination *destination; /* NULL: it listens */
	bool watching_writable;          /* epoll also waits for room */
	struct tw_valve valve;           /* of one that listens */
	tw_ns renewed_at;                /* when its own address was last chosen anew */
	tw_ns used_at;
	struct parcel *waiting, **waiting_end; /* owned, first come first served */
};

/* Where finished jobs go. */
struct client {
	void (*done)(struct client *client, struct tw_worker *worker, struct tw_job *job,
		     tw_ns now);
};

enum transfer_state {
	TRANSFER_WAITING = 0, /* its destination is full, or gone */
	TRANSFER_RUNNING,
	TRANSFER_LEAVING,  /* finished: says its last words */
	TRANSFER_EMPTYING, /* of the jobs it has with the disk */
	TRANSFER_ENDED,    /* the control thread has to be told */
};

struct transfer {
	struct client client; /* first */
	struct tw_worker *worker;
	struct destination *destination; /* NULL in ENDED */
	enum transfer_state state;
	uint64_t id, rank, max_bps;
	uint64_t order;                   /* of equal ranks the first goes first */
	struct tw_sender_options options; /* WAITING: owns source and destination path */
	char *path;
	struct tw_sender *sender;                /* owned; NULL in WAITING and ENDED */
	tw_ns leave_at;                          /* LEAVING: no longer than this */
	uint64_t pieces_counted;                 /* as of the last tw_worker_account() */
	struct tw_worker_transfer_status status; /* counts as they are; all of it in ENDED */
	struct transfer *next, **link;           /* in its destination's list, or worker->ended */
};

/* Counts of a destination's sockets, or of a lane. */
struct traffic {
	uint64_t packets_sent, packets_received, bytes_sent, bytes_received;
};

/*
 * One half of a lane (worker_lanes.c): the lane, whose connection this worker carries, or its berth
 * with the worker whose transfers it is for.
 */
struct half {
	struct half *next;    /* in worker->halves */
	struct tw_lane *lane; /* owned; one of both */
	struct tw_berth *berth;
	bool sending;
	struct tw_crew *crew;
	struct half *other; /* with the worker at @with, which may have freed it */
	unsigned with;
	struct tw_letter introduction; /* by which the other worker gets it */
	struct traffic carried;        /* as known last */
	uint64_t pacing_bps, bandwidth_bps;
	/* The berth of a lane that sends. */
	struct destination *destination; /* NULL: gone */
	unsigned number;                 /* of the lane */
	bool dismissed;                  /* by us */
	uint64_t beside;                 /* the connection that it was opened beside */
	/* A lane. */
	uint64_t tag;             /* of its connection */
	struct tw_public_key peer; /* of one that came in */
	struct destination *line; /* owned: the sockets of one that is dialled */
	struct tw_connect connect;
};

struct destination {
	struct tw_timer timer; /* first */
	struct tw_worker_destination settings;
	size_t index;                 /* in worker->destinations */
	struct tw_outgoing *outgoing; /* owned, as below */
	struct tw_dialer *dialer;
	struct transfer *transfers;
	unsigned transfer_count, seated; /* @seated: in @outgoing */
	struct slot *slots[DESTINATION_SLOTS]; /* at most one of them not connected */
	unsigned slot_count;

	bool touched; /* in worker->touched */
	bool heard;   /* something came in, or back from the disk, since it was looked at */
	struct destination *next_touched;
	tw_ns looked_at, tick_at, idle_since;
	bool removed;
	tw_ns gone_at; /* TW_NEVER; else its sockets stay for the last words until then */

	enum tw_rate_method method; /* in force */
	struct tw_rate_limits limits;
	uint64_t part_bps;  /* of the total of all destinations */
	uint64_t part_sent; /* bytes_sent when that was measured last */
	uint64_t used_bps;

	/* Not a destination, but what sockets of a lane need of one. */
	bool is_line;
	struct half *line_of; /* NULL: over */
	/* Berths of its lanes, by number - 1 (worker_lanes_open.c). */
	struct half *lanes[TW_LANES_MAX];
	unsigned lane_count; /* with one that is being made */
	unsigned lane_failures;
	uint64_t lanes_conn; /* the connection that new ones are beside */
	tw_ns lanes_at, lanes_idle_since;
	struct traffic lanes_past;   /* of lanes that are over */
	uint64_t load_seen;          /* worker->load_serial, and what had been sent then: */
	uint64_t load_own, load_all; /* over its own connection, with its lanes */

	struct traffic past; /* of sockets that are closed */
	struct traffic accounted;
	struct tw_meter meter;
	uint64_t signature; /* of what is more than figures; looked at again at: */
	tw_ns sign_at;
	struct tw_worker_destination_status status; /* what cannot be asked for at any time */
};

/* A connection that came in, as far as the incoming limit needs it. */
struct incoming {
	uint64_t conn_id, bytes;
	uint64_t told_bps;   /* UINT64_MAX: nothing */
	uint64_t before_bps; /* what the peer may still keep to until @settled_at */
	tw_ns settled_at;
	uint64_t round;       /* of the newest look at it, and what it showed: */
	struct tw_conn *conn; /* valid within the look */
	uint64_t used_bps;
	tw_ns rtt;
};

/* A DISCOVER under way. */
struct asked {
	uint64_t token;
	tw_ns at; /* 0: none */
};

/* A must-be-told event that found no room. */
struct late_event {
	struct late_event *next;
	struct tw_worker_event event;
};

struct tw_worker {
	/* Set up before the thread starts. */
	struct tw_endpoint *endpoint;
	struct tw_receiver_hub *hub;
	bool file_events;
	struct tw_disk *disk;
	struct client hub_client;
	int epoll_fd, control_fd, command_fd, timer_fd;
	tw_ns publish_every;
	struct tw_udp_helper helper;
	struct tw_random random;
	struct tw_crew *crew; /* NULL: alone */
	unsigned place, places;
	pthread_t thread;
	bool started;

	/* The thread's own. */
	struct slot **slots; /* owned; NULL: free */
	uint32_t slot_room;
	bool content_came;  /* since the worker last slept */
	unsigned listening; /* slots [0, listening) are bound, the others connected */
	struct tw_buffers buffers;
	struct tw_buffer *armed[TW_UDP_BATCH];
	struct tw_buffer *current; /* its datagrams are being handed in; NULL: to be copied */
	struct tw_post at_hand;    /* with a crew: the datagram that is being handed in */
	unsigned busy_told;
	struct tw_train train;
	size_t parcels; /* trains that wait for room in their sockets */

	struct tw_table by_destination, by_transfer;
	struct destination **destinations; /* owned array of owned ones */
	size_t destination_count, destination_room;
	struct tw_heap timers;
	struct destination *touched;
	struct transfer *ended, **ended_end;
	uint64_t transfers_ever;
	size_t transfers_there; /* in any state */
	size_t transfers_live;  /* not yet EMPTYING */
	struct tw_sender_budget budget;

	struct tw_worker_admission admission;
	uint64_t outgoing_bps, incoming_bps;
	tw_ns limits_at; /* shares are dealt anew */
	tw_ns limits_dealt_at;
	tw_ns arrivals_until;    /* somebody has just come, or will */
	struct tw_share *shares; /* owned scratch */
	size_t share_room;
	struct tw_table by_incoming;
	struct incoming **incoming; /* owned array of owned ones */
	size_t incoming_count, incoming_room;
	uint64_t incoming_round;

	/* With a crew: lanes. */
	struct half *halves;            /* owned */
	struct destination *lines_gone; /* owned: of lanes that are over, for their last words */
	uint64_t lanes_ever;
	unsigned lanes_in;                            /* lanes that came in */
	int64_t lanes_past_sent, lanes_past_received; /* of halves that are over */
	uint64_t load_serial, load_cpu, load_bytes;   /* of the last look at our own load */
	unsigned load;                                /* per mille of a processor */
	uint64_t load_moved;                          /* bytes, both ways, within its span: */
	tw_ns load_span;
	tw_ns load_at;

	struct asked asked[TW_WORKER_ASKED];
	unsigned asked_next;

	struct tw_udp_counters past_udp; /* of sockets that are closed */
	struct tw_meter received;
	tw_ns tick_at, publish_at;
	bool publish_soon; /* something other than a figure has changed */
	tw_ns published_at;
	uint64_t serial;
	uint64_t signature;  /* of the receiving side */
	tw_ns flush_at;      /* copied pieces leave for the disk; TW_NEVER: there are none */
	bool stopping, closed, done; /* closed: good-byes are said; done: the loop is over */
	bool interrupted;            /* a transfer was under way when it stopped */
	bool no_pwait2;      /* the kernel has no epoll_pwait2 */
	tw_ns stop_limit;
	struct late_event *late, **late_end;

	/* Between the threads. */
	struct tw_ring commands, events;
	uint64_t events_lost; /* the worker's; shown in snapshots */
	_Alignas(64) atomic_bool command_asleep;
	atomic_bool quit; /* end at once */
	struct tw_worker_snapshot snapshots[3];
	unsigned writing, reading;        /* the worker's, the control thread's */
	_Alignas(64) atomic_uint offered; /* index of the third, | FRESH */
};

/* worker.c */
void tw_worker_begin_stop(struct tw_worker *worker, tw_ns now);

/* worker_commands.c */
void tw_worker_commands_take(struct tw_worker *worker, tw_ns now);
/* Frees what nobody will carry out any more. */
void tw_worker_commands_drop(struct tw_worker *worker);

/* worker_discover.c */
void tw_worker_discover_send(struct tw_worker *worker, uint64_t token,
			     const struct tw_address *remote, tw_ns now);
void tw_worker_discovered(void *context, const uint8_t token[TW_PROBE_TOKEN_SIZE],
			  const struct tw_path *path, const struct tw_address *observed);
/* worker_events.c */
void tw_worker_tell_discovered(struct tw_worker *worker, struct tw_worker_event *event);

/* worker_destinations.c */
struct destination *tw_worker_destination_new(const struct tw_worker_destination *settings,
					      tw_ns now);
/* Takes @destination. */
void tw_worker_destination_add(struct tw_worker *worker, struct destination *destination,
			       tw_ns now);
void tw_worker_destination_change(struct tw_worker *worker, struct destination *destination,
				  const struct tw_worker_destination *settings, tw_ns now);
void tw_worker_destination_remove(struct tw_worker *worker, struct destination *destination,
				  tw_ns now);
struct destination *tw_worker_destination(const struct tw_worker *worker, uint64_t id);
/* Its transfers have left. */
void tw_worker_destination_free(struct tw_worker *worker, struct destination *destination);
/* Something happened to it: it is looked at again at the end of this turn or soon. */
void tw_worker_touch(struct tw_worker *worker, struct destination *destination);
/* A train of it left, which asks for no look by itself. */
void tw_worker_touch_sent(struct tw_worker *worker, struct destination *destination);
/* It is looked at in the next turn. */
void tw_worker_hurry(struct tw_worker *worker, struct destination *destination, tw_ns now);
/* Timers that are due. */
void tw_worker_destinations_run(struct tw_worker *worker, tw_ns now);
/* Those that were touched get their timers. */
void tw_worker_destinations_settle(struct tw_worker *worker, tw_ns now);
/* Rates as settings, transfers, totals and the peer have them. */
void tw_worker_destination_rate(struct tw_worker *worker, struct destination *destination,
				tw_ns now);
/* As it stands. */
void tw_worker_destination_status(const struct tw_worker *worker, struct destination *destination,
				  tw_ns now, struct tw_worker_destination_status *ret);
/* Of its own sockets; with lanes also what went by those. */
struct traffic tw_worker_traffic_own(const struct destination *destination);
struct traffic tw_worker_traffic(const struct destination *destination);
/* What all its connections together may use. */
struct tw_rate_limits tw_worker_destination_limits(const struct destination *destination);
/* Deals the datagrams since the last time out to the transfers that took part. */
void tw_worker_account(struct destination *destination);
/* Keeps the figures of the connection, which may go soon. */
void tw_worker_note_conn(struct destination *destination);

/* worker_transfers.c */
struct transfer *tw_worker_transfer_new(const struct tw_worker_transfer *options);
/* Takes @transfer. */
void tw_worker_transfer_add(struct tw_worker *worker, struct transfer *transfer,
			    uint64_t destination, tw_ns now);
void tw_worker_transfer_change(struct transfer *transfer, uint64_t rank, uint64_t max_bps,
			       tw_ns now);
void tw_worker_transfer_end(struct transfer *transfer, enum tw_worker_ending ending, tw_ns now);
/* All of @destination move on as far as they can. */
void tw_worker_transfers_look(struct tw_worker *worker, struct destination *destination, tw_ns now);
tw_ns tw_worker_transfers_deadline(const struct destination *destination);
/* Frees @transfer and its source; its sender, if any, is idle and belongs to nobody. */
void tw_worker_transfer_free(struct transfer *transfer);
/* Frees all of @destination, whatever they do; nothing of them is with the disk. */
void tw_worker_transfers_free(struct tw_worker *worker, struct destination *destination);
/* Those that have ended are told, as far as there is room. */
void tw_worker_transfers_tell(struct tw_worker *worker);

/* worker_limits.c */
void tw_worker_limits_set(struct tw_worker *worker, uint64_t outgoing_bps, uint64_t incoming_bps,
			  tw_ns now);
/* @destination has something to do: it gets its share at once. */
void tw_worker_limits_join(struct tw_worker *worker, struct destination *destination, tw_ns now);
/* Somebody connects to us. */
void tw_worker_limits_arrival(struct tw_worker *worker, tw_ns now);
/* Shares are dealt when they are due. */
void tw_worker_limits_run(struct tw_worker *worker, tw_ns now);
void tw_worker_limits_free(struct tw_worker *worker);
/* Takes the keys. */
void tw_worker_admission_set(struct tw_worker *worker, const struct tw_worker_admission *admission);
bool tw_worker_admits(const struct tw_worker *worker, const struct tw_public_key *peer);

/* worker_sockets.c */
int tw_worker_sockets_open(struct tw_worker *worker, const struct tw_worker_receiving *receiving,
			   struct tw_address *ret_failed);
void tw_worker_sockets_close(struct tw_worker *worker);
/* epoll also waits for room in it, or no longer. */
void tw_worker_slot_watch(struct tw_worker *worker, struct slot *slot, bool writable);
/* The listening socket that @path belongs to; NULL: none. */
struct slot *tw_worker_slot_listening(struct tw_worker *worker, const struct tw_path *path);
/* Whether it is one of those that were named for it; others are ways that its peer has shown. */
bool tw_worker_is_current(const struct destination *destination, const struct tw_address *remote);
/* The socket of @destination to @remote, opened when first needed. NULL: the system refuses. */
struct slot *tw_worker_slot_connected(struct tw_worker *worker, struct destination *destination,
				      const struct tw_address *remote, tw_ns now);
void tw_worker_slots_close(struct tw_worker *worker, struct destination *destination);
/* The first train that waits has left, or never will. */
void tw_worker_parcel_drop(struct tw_worker *worker, struct slot *slot);

/* worker_io.c */
/* A socket is readable: takes a bounded number of batches. */
void tw_worker_io_receive(struct tw_worker *worker, struct slot *slot);
/* Gathered pieces leave for the disk. */
void tw_worker_io_flush(struct tw_worker *worker, tw_ns now);
/* Sends what may leave. True: there may be more, the budget of a turn is used up. */
bool tw_worker_io_send(struct tw_worker *worker, tw_ns now);
/* A socket has room again. */
void tw_worker_io_writable(struct tw_worker *worker, struct slot *slot);

/* worker_crew.c; only with a crew */
/* Whose it is: handed in, or handed on. */
void tw_worker_crew_receive(struct tw_worker *worker, const struct tw_path *path, uint8_t *bytes,
			    size_t length, tw_ns now);
/* There is post. */
void tw_worker_crew_post(struct tw_worker *worker, tw_ns now);
/* @peer, who has proved his key, is at home with another worker, which has the INIT at hand now. */
bool tw_worker_crew_elsewhere(struct tw_worker *worker, const struct tw_public_key *peer);
/* For tw_receiver_options. */
void tw_worker_crew_held(void *context, const struct tw_public_key *peer,
			 enum tw_receiver_held what, int change);
/* Whether a lane of @peer, who has proved his key, is served here; ELSEWHERE: as above. */
enum tw_verdict tw_worker_crew_lane(struct tw_worker *worker, const struct tw_public_key *peer,
				    unsigned number);
/* It sends to so many. */
void tw_worker_crew_busy(struct tw_worker *worker, unsigned destinations);

/* worker_lanes.c; only with a crew, but for what nobody has: free() and figures() */
/* Two halves of which the other one is for the worker at @with; they still need their insides. */
bool tw_worker_halves_new(struct tw_worker *worker, unsigned with, bool sending,
			  struct half **ret_own, struct half **ret_other);
struct tw_letter_port tw_worker_half_port(struct half *half);
/* It is ours from now on. */
void tw_worker_half_link(struct tw_worker *worker, struct half *half);
/* Gives the other worker @half, which is complete. False: it has ended. */
bool tw_worker_half_introduce(struct half *half);
/* One that is nobody's: not linked, not given away. */
void tw_worker_half_free(struct half *half);
/* Its figures as they are. */
void tw_worker_half_note(struct half *half);
/* Of all the lanes of @destination. */
void tw_worker_lanes_note(struct destination *destination);
/* To what is known of the connection of @destination, the same of its lanes. */
void tw_worker_lanes_add_rates(const struct destination *destination, struct tw_conn_info *conn);
/* Letters have come. */
void tw_worker_lanes_mail(struct tw_worker *worker, tw_ns now);
/* Lanes that came in let go of the buffer at hand. */
void tw_worker_lanes_flush(struct tw_worker *worker, tw_ns now);
/* What came in for the lane that @line is of has been handed in. */
void tw_worker_line_flush(struct destination *line, tw_ns now);
/* At least every 20 ms. */
void tw_worker_lanes_tick(struct tw_worker *worker, tw_ns now);
/* All shall end. */
void tw_worker_lanes_close(struct tw_worker *worker, tw_ns now);
/* None is left, and no more can come: the thread may end. */
bool tw_worker_lanes_over(struct tw_worker *worker);
void tw_worker_lanes_free(struct tw_worker *worker);
/* For admit(): a connection that says it is a lane, as @ret_config does. */
enum tw_verdict tw_worker_lanes_admit(struct tw_worker *worker, const struct tw_public_key *peer,
				      struct tw_conn_config *ret_config,
				      const struct tw_conn_app **ret_app, void **ret_context);
/* Fills in @ret->lanes and what they carried. */
void tw_worker_lanes_figures(struct tw_worker *worker, struct tw_worker_snapshot *ret, tw_ns now);
/* What the lanes beside @conn, which came in, have brought. */
uint64_t tw_worker_lanes_received(struct tw_worker *worker, const struct tw_conn *conn);
static inline bool tw_worker_is_lane(const struct tw_conn *conn)
{
	return tw_conn_tag(conn) & (TW_LANE_OUT | TW_LANE_IN);
}
/* A connection that came in. */
static inline bool tw_worker_came_in(const struct tw_conn *conn)
{
	uint64_t tag = tw_conn_tag(conn);

	return !tag || (tag & (TW_LANE_OUT | TW_LANE_IN)) == TW_LANE_IN;
}

/* worker_lanes_open.c; only with a crew */
/* Opens and closes lanes of @destination, as is useful now. */
void tw_worker_lanes_look(struct tw_worker *worker, struct destination *destination, tw_ns now);
/* The lane of this berth is over. */
void tw_worker_lane_ended(struct tw_worker *worker, struct half *berth, tw_ns now);
/* @destination goes: its lanes are nobody's. */
void tw_worker_lanes_forget(struct destination *destination);
/* Once a tick: how much of a processor this thread uses. */
void tw_worker_lanes_load(struct tw_worker *worker, tw_ns now);
/* What each of the connections, lanes among them, may use of @limits. */
struct tw_rate_limits tw_worker_lanes_part(const struct destination *destination,
					   const struct tw_rate_limits *limits);
/* The same for those lanes that are there. */
void tw_worker_lanes_set_rate(struct destination *destination, enum tw_rate_method method,
			      const struct tw_rate_limits *part);

/* worker_events.c */
void tw_worker_ring_bell(struct tw_worker *worker);
struct tw_receiver_events tw_worker_receiver_events(void);
/* False: there is no room now. */
bool tw_worker_tell_ended(struct tw_worker *worker, const struct transfer *transfer);
/* Problems wait with the sender while there is no room. True: none is left. */
bool tw_worker_tell_problems(struct tw_worker *worker, struct transfer *transfer);
/* What found no room before; false: there is still some of it. */
bool tw_worker_events_flush(struct tw_worker *worker);
void tw_worker_events_free(struct tw_worker *worker);

/* worker_buffers.c */
/* As the figures of a destination, or of all that comes in, ask for it. */
void tw_worker_buffers_fit_sending(struct tw_worker *worker, struct destination *destination,
				   const struct tw_worker_destination_status *status);
void tw_worker_buffers_fit_receiving(struct tw_worker *worker,
				     const struct tw_worker_snapshot *snapshot);
/* Fills in @ret->buffer_advice and @ret->buffer_bytes. */
void tw_worker_buffers_advice(const struct tw_worker *worker, struct tw_worker_snapshot *ret);

/* worker_publish.c */
void tw_worker_publish(struct tw_worker *worker, tw_ns now);
/* Publishes when the interval is over or something other than a figure has changed. */
void tw_worker_publish_due(struct tw_worker *worker, tw_ns now);
/* When tw_worker_publish_due() has something to do. */
tw_ns tw_worker_publish_at(const struct tw_worker *worker);
/* A transfer as it stands, counts included. */
void tw_worker_transfer_status(const struct transfer *transfer,
			       struct tw_worker_transfer_status *ret);
