/*
 * guess.h - the way of a guess at a password before it is looked at: paid for by its source, held
 * back a little where that is closed, and as long as its name's answers are slow (penalty.h).
 */
#pragma once

#include <event2/event.h>

#include "api/penalty.h"
#include "api/session.h"
#include "engine/fault.h"

#define TW_GUESS_PATIENCE (4 * TW_SECOND) /* a source that is closed for longer is told so */

struct tw_guess {
	struct tw_penalties *penalties;
	struct tw_penalty_source source;
	char name[TW_API_USER_MAX];
	struct event *timer;
	bool held, paid;
	/* From the loop, once; @closed: 0, or for how long the source has to wait. */
	void (*due)(void *context, tw_ns closed);
	void *context;
};

/* @guess: in the caller's memory, which stays where it is until tw_guess_end(). @base borrowed, and
 * @penalties. -ENOMEM. */
int tw_guess_begin(struct tw_guess *guess, struct event_base *base, struct tw_penalties *penalties);
void tw_guess_end(struct tw_guess *guess);
/* What came of it, after due() with 0. */
void tw_guess_outcome(struct tw_guess *guess, bool right);
/* LimitReached, and when to come again. */
int tw_guess_refuse(tw_ns closed, struct tw_fault *fault);
