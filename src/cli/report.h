/*
 * report.h - what a sending command tells about its transfer: a progress line on a terminal, plain
 * lines elsewhere, JSON for programs, a summary at the end. All figures come from the worker's
 * snapshots; the wall clock is read once, when the report is made, and every other time is that
 * plus a monotonic duration.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/failure.h"
#include "cli/url.h"
#include "netio/worker.h"

#define TW_REPORT_SAMPLES 64
#define TW_REPORT_WINDOW TW_SECOND /* "right now" */
#define TW_REPORT_BLOCK 1024       /* bytes of a block in the API's counts */
#define TW_REPORT_LINE 256

/* One destination and one transfer to it as they stand. What a snapshot no longer shows stays as it
 * was. */
struct tw_report_view {
	tw_ns at;
	bool stopped;
	struct tw_worker_destination_status destination;
	struct tw_worker_transfer_status transfer;
	bool ended; /* the transfer has left the worker: set by whoever was told */
};

struct tw_report_sample {
	tw_ns at;
	uint64_t acked, sent, packets_lost, packets_sent;
};

struct tw_report {
	/* The caller's, before the first snapshot. */
	const struct tw_url *url; /* borrowed */
	enum tw_cipher cipher;
	enum tw_rate_method method;
	struct tw_rate_limits limits;
	enum tw_overwrite overwrite;
	unsigned flags;
	unsigned checkpoint_seconds;
	char transfer_id[33], destination_id[33], manifest_id[33];
	char owner[64];
	/* While all goes by a relay of the sender's: that relay, and the destination. */
	struct tw_address relay, relayed_to;

	/* Private. */
	uint64_t wall_us; /* at @begun */
	tw_ns begun;
	struct tw_report_sample samples[TW_REPORT_SAMPLES]; /* a ring, newest at sample_count - 1 */
	size_t sample_count;
};

void tw_report_init(struct tw_report *report, uint64_t wall_us, tw_ns now);
/* Brings @view up to date: the first destination and transfer of @snapshot. */
void tw_report_look(struct tw_report_view *view, const struct tw_worker_snapshot *snapshot);
/* Takes a new view into account. */
void tw_report_sample(struct tw_report *report, const struct tw_report_view *view);
/* Bits per second of content confirmed in the newest window; 0 before there are two samples. */
uint64_t tw_report_rate(const struct tw_report *report);
/* Bits per second put on the wire in the newest window. */
uint64_t tw_report_send_rate(const struct tw_report *report);
/* TW_NEVER: unknown. */
tw_ns tw_report_time_left(const struct tw_report *report, const struct tw_report_view *view);
/* The whole state in one line, at most @columns wide. Returns @ret. */
const char *tw_report_line(const struct tw_report *report, const struct tw_report_view *view,
			   size_t columns, char ret[TW_REPORT_LINE]);
/* A few lines for people at the end. */
void tw_report_summary(const struct tw_report *report, const struct tw_report_view *view, char *ret,
		       size_t room);
/* {"transfer": {...}, "connection": {...}} without a newline; owned by the caller. NULL: no memory.
 */
char *tw_report_json(const struct tw_report *report, const struct tw_report_view *view,
		     const struct tw_failure *failure);
/* A time as the API gives it: microseconds since 1970. */
uint64_t tw_report_time(const struct tw_report *report, tw_ns at);
/* "0.42 ms", "180 ms". */
const char *tw_report_milliseconds(tw_ns duration, char ret[32]);
