/*
 * guess.h - the way of a guess at a password before it is looked at: paid for by its source, held
 * back a little where that is closed, and as long as its name's answers are slow (penalty.h).
 */
#pragma once

#include <event2/event.h>
#include <sys/queue.h>

#include "api/penalty.h"
#include "api/session.h"
#include "engine/fault.h"

#define TW_GUESS_PATIENCE (4 * TW_SECOND) /* a source that is closed for longer is told so */
#define TW_GUESS_SOURCE_MAX 16            /* of one source, under way at a time */

LIST_HEAD(tw_guesses, tw_guess);

struct tw_guess {
	struct tw_penalties *penalties;
	LIST_ENTRY(tw_guess) links; /* of all under way */
	struct tw_penalty_source source;
	char name[TW_API_USER_MAX];
	struct event *timer;
	bool held, paid;
	/* From the loop, once; @closed: 0, or for how long the source has to wait. */
	void (*due)(void *context, tw_ns closed);
	void *context;
};

/* @guess: in the caller's memory, which stays where it is until tw_guess_end(). @base borrowed, and
 * @all, the list of those under way, and @penalties. -EBUSY: too many of its source are; or
 * -ENOMEM. */
int tw_guess_begin(struct tw_guess *guess, struct event_base *base, struct tw_guesses *all,
		   struct tw_penalties *penalties);
/* Also after it has not begun. */
void tw_guess_end(struct tw_guess *guess);
/* What came of it, after due() with 0. */
void tw_guess_outcome(struct tw_guess *guess, bool right);
/* What tw_guess_begin() said: LimitReached, Internal. */
int tw_guess_not_begun(int r, struct tw_fault *fault);
/* LimitReached, and when to come again. */
int tw_guess_refuse(tw_ns closed, struct tw_fault *fault);
