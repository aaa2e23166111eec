/*
 * ledbat.h - state of the `ledbat` controller: background transfer that gives way to everything
 * else (RFC 6817, draft-irtf-iccrg-ledbat-plus-plus).
 *
 * A window that grows while the path's one-way queueing delay is below a target and shrinks in
 * proportion to what lies above it. Slow start ends before the target is reached. Now and then the
 * window is closed for two round trips, so that the path's delay without us can be seen, and with
 * it whoever else is there; then slow start leads back to where it was. Loss halves the window, as
 * TCP's. Where neither a queue nor a loss was seen for long, slow start looks for more.
 *
 * A buffer may be shorter than the target, or so short that TCP leaves it empty most of the time.
 * What is lost there shows how high the queue stands when the buffer is full, its room: for a
 * minute the target is a half of that, and a quarter once something was lost that no slow start of
 * ours had filled it with; slow start goes half as fast. A loss without a queue, or far below the
 * room that is known, says nothing about a buffer: it only halves the window.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

enum tw_ledbat_mode {
	TW_LEDBAT_SLOW_START,
	TW_LEDBAT_STEADY,
	TW_LEDBAT_SLOWDOWN, /* two datagrams, for two round trips */
	TW_LEDBAT_MODE_COUNT,
};

struct tw_ledbat {
	uint8_t mode;          /* enum tw_ledbat_mode; only enter() writes it */
	bool crowded;          /* a queue was seen since the last slowdown: somebody is there */
	bool shared;           /* others fill the buffer, too; only where its room is known */
	bool silent;           /* a probe timeout, and nothing has come back since */
	double window;         /* bytes */
	double slow_start_max; /* where slow start ends although there is no queue */
	double reached;        /* where it ended, until the delay may be judged; then 0 */
	tw_ns mode_since, slowdown_at; /* when the next one begins; TW_NEVER: not set yet */
	tw_ns slowdown_began;
	tw_ns crowded_at;              /* when a queue was last seen */
	tw_ns hold_until;              /* no judgement: the queue is that of slow start */
	tw_ns recovery_until;          /* losses until then are those of one event */
	tw_ns highest, highest_before; /* queue in this span of a round trip, and in the last */
	tw_ns highest_since;           /* when this span began */
	tw_ns room;                    /* the queue of a buffer that is full; 0: not known */
	tw_ns room_at;                 /* when it was last seen full */
};

struct tw_rate_ops;
extern const struct tw_rate_ops tw_rate_ledbat_ops;
