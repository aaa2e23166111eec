/*
 * lane_private.h - letters, and the parts of lanes and berths. lane.c: what all halves have in
 * common. lane_sending.c, lane_receiving.c: lanes. outgoing_lanes.c, receiver_lanes.c: berths.
 *
 * A letter lies in the half that writes it, or in a list of its own there, and is written again
 * when it is back. END is the last that a half writes; the other's may still come and go back
 * behind it.
 */
#pragma once

#include "session/lane.h"

enum tw_letter_type {
	TW_LETTER_END = 1,
	/* lanes */
	TW_LETTER_FIGURES,
	/* sending lanes */
	TW_LETTER_WANT,
	TW_LETTER_REPORT,
	/* receiving lanes */
	TW_LETTER_JOIN,
	TW_LETTER_PIECES,
	/* sending berths */
	TW_LETTER_WORK,
	TW_LETTER_RECALL,
	TW_LETTER_RATE,
	/* receiving berths */
	TW_LETTER_ROOM,
};

struct tw_half;

/* Every letter begins with it. */
struct tw_letter_head {
	struct tw_letter carried; /* first */
	enum tw_letter_type type;
	const struct tw_half *writer;
	bool away; /* the writer's: it is not back yet */
};

/* What is known of the lane's connection. */
struct tw_letter_figures {
	struct tw_letter_head head;
	bool running, conn_known, conn_ended;
	enum tw_conn_end end;
	uint64_t code;
	struct tw_conn_info conn;
};

/* The lane would take @count stretches more, of @stretch bytes at most. */
struct tw_letter_want {
	struct tw_letter_head head;
	unsigned count;
	uint64_t stretch;
};

/* Pieces next to each other that had the same fate. */
struct tw_letter_record {
	uint64_t number; /* of the transfer */
	uint64_t start, end;
	uint32_t pieces;
	bool lost;
};

#define TW_LETTER_RECORDS 256

struct tw_letter_report {
	struct tw_letter_head head;
	size_t count;
	struct tw_letter_record at[TW_LETTER_RECORDS];
};

struct tw_letter_join {
	struct tw_letter_head head;
	uint8_t token[TW_LANE_TOKEN_SIZE];
};

/* Of one receive buffer; it goes back when all has been written or thrown away. */
struct tw_letter_pieces {
	struct tw_letter_head head;
	struct tw_letter_pieces *next, *all_next; /* the lane's lists; @next while it is at home */
	void *buffer;  /* the carrier's, held; NULL: the bytes are in @copy */
	uint8_t *copy; /* owned; made at first use */
	size_t copy_length;
	uint64_t bytes;
	size_t count;
	struct {
		struct tw_data_ref ref;
		const uint8_t *bytes;
	} at[TW_JOB_PIECES_MAX];

	/* The berth's. */
	struct tw_berth *berth;
	unsigned jobs;
};

struct tw_sender_block;

/* [start, end) of a transfer's tape shall be sent; it goes back when it has been, up to @at. */
struct tw_letter_work {
	struct tw_letter_head head;
	struct tw_letter_work *next; /* the lane's, while it has it */
	uint64_t number;
	uint64_t start, end, at;
	const uint8_t *bytes; /* of @start, lent */
	uint32_t pieces;      /* made of it */

	/* The berth's. */
	struct tw_sender *sender;
	struct tw_sender_block *block;
	tw_ns given_at;
	struct tw_letter_work *out_next, *all_next;
};

struct tw_letter_rate {
	struct tw_letter_head head;
	enum tw_rate_method method;
	struct tw_rate_limits limits;
};

/* What the lane may have away: bytes of pieces, and letters of them. */
struct tw_letter_room {
	struct tw_letter_head head;
	uint64_t bytes;
	unsigned letters;
};

/* What lanes and berths have in common. */
struct tw_half {
	struct tw_letter_port port;
	unsigned away; /* letters of its own that are not back */
	unsigned held; /* of the other half's that are here */
	bool closing;  /* it ends: nothing new is begun */
	bool end_said; /* nothing of its own is written any more */
	bool other_ended;
	struct tw_letter_head end;
};

void tw_half_init(struct tw_half *half, const struct tw_letter_port *port);
/* A letter of its own that is at home leaves. */
void tw_half_write(struct tw_half *half, struct tw_letter_head *letter);
/* One of the other half's goes back. */
void tw_half_return(struct tw_half *half, struct tw_letter_head *letter);
/* One has come; true: of its own, back. */
bool tw_half_take(struct tw_half *half, struct tw_letter_head *letter);
/* Once: nothing but returns follows. */
void tw_half_say_end(struct tw_half *half);
bool tw_half_is_over(const struct tw_half *half);

enum tw_lane_conn_state {
	TW_LANE_COMING = 0, /* established() or closed() will be called */
	TW_LANE_CONNECTED,
	TW_LANE_GONE,
};

struct tw_lane {
	struct tw_half half; /* first */
	bool receiving;
	tw_ns now, made_at;
	enum tw_lane_conn_state state;
	struct tw_conn *conn;    /* CONNECTED */
	struct tw_conn *dialled; /* COMING, if it is known */
	bool running;
	enum tw_conn_end end;
	uint64_t code;
	bool info_known;
	struct tw_conn_info info; /* as it was last; of a connection that is gone, at its end */
	struct tw_letter_figures figures;
	tw_ns figures_at;
	bool figures_last; /* those of the connection's end have been written */
};

/* lane.c, for both kinds. */
void tw_lane_init(struct tw_lane *lane, bool receiving, const struct tw_letter_port *port,
		  tw_ns now);
void tw_lane_established(struct tw_lane *lane, struct tw_conn *conn);
/* The connection is gone, or never was. */
void tw_lane_gone(struct tw_lane *lane, enum tw_conn_end end, uint64_t code);
/* Begins its end, with what the peer is told. */
void tw_lane_end(struct tw_lane *lane, uint64_t code, const char *reason);
/* Writes figures that are due, and END when the last ones have left and nothing else is owed. */
void tw_lane_figures(struct tw_lane *lane, bool owes_more);

/* lane_sending.c */
extern const struct tw_conn_app tw_lane_sending_app;
/* -ENOMEM. */
int tw_lane_sending_new(const uint8_t token[TW_LANE_TOKEN_SIZE], const struct tw_letter_port *port,
			tw_ns now, struct tw_lane **ret);
void tw_lane_sending_free(struct tw_lane *lane);
/* Its own is back, or one of the berth's has come. */
void tw_lane_sending_back(struct tw_lane *lane, struct tw_letter_head *letter);
void tw_lane_sending_letter(struct tw_lane *lane, struct tw_letter_head *letter);
void tw_lane_sending_flush(struct tw_lane *lane);
void tw_lane_sending_tick(struct tw_lane *lane);
/* It has begun to end. */
void tw_lane_sending_closing(struct tw_lane *lane);

/* lane_receiving.c */
extern const struct tw_conn_app tw_lane_receiving_app;
int tw_lane_receiving_new(const struct tw_lane_receiving *options, tw_ns now, struct tw_lane **ret);
void tw_lane_receiving_free(struct tw_lane *lane);
void tw_lane_receiving_back(struct tw_lane *lane, struct tw_letter_head *letter);
void tw_lane_receiving_letter(struct tw_lane *lane, struct tw_letter_head *letter);
void tw_lane_receiving_flush(struct tw_lane *lane);
void tw_lane_receiving_tick(struct tw_lane *lane);
void tw_lane_receiving_closing(struct tw_lane *lane);

struct tw_berth {
	struct tw_half half; /* first */
	bool receiving;
	tw_ns now;
	struct tw_berth_info info;
};

/* Of its main connection. */
const struct tw_conn *tw_berth_sending_main(const struct tw_berth *berth);
const struct tw_conn *tw_berth_receiving_main(const struct tw_berth *berth);

void tw_berth_init(struct tw_berth *berth, bool receiving, const struct tw_letter_port *port,
		   tw_ns now);
void tw_berth_end(struct tw_berth *berth);

/* outgoing_lanes.c */
int tw_berth_sending_new(struct tw_outgoing *outgoing, const struct tw_letter_port *port, tw_ns now,
			 struct tw_berth **ret);
void tw_berth_sending_free(struct tw_berth *berth);
void tw_berth_sending_back(struct tw_berth *berth, struct tw_letter_head *letter);
void tw_berth_sending_letter(struct tw_berth *berth, struct tw_letter_head *letter);
void tw_berth_sending_tick(struct tw_berth *berth);
/* The lane has said its last. */
void tw_berth_sending_other_ended(struct tw_berth *berth);
void tw_berth_sending_set_rate(struct tw_berth *berth, enum tw_rate_method method,
			       const struct tw_rate_limits *limits);

/* receiver_lanes.c */
int tw_berth_receiving_new(const struct tw_lane_receiving *options, tw_ns now,
			   struct tw_berth **ret);
void tw_berth_receiving_free(struct tw_berth *berth);
void tw_berth_receiving_back(struct tw_berth *berth, struct tw_letter_head *letter);
void tw_berth_receiving_letter(struct tw_berth *berth, struct tw_letter_head *letter);
void tw_berth_receiving_closing(struct tw_berth *berth);
