#include "api/guess.h"

#include <errno.h>
#include <string.h>

#include "netio/clock.h"

static void arm(struct tw_guess *guess, tw_ns wait)
{
	const struct timeval then = { (time_t)(wait / TW_SECOND),
				      (suseconds_t)(wait % TW_SECOND / 1000) };

	/* It was added before: there is memory for it. */
	event_add(guess->timer, &then);
}

static void step(evutil_socket_t fd, short what, void *context)
{
	struct tw_guess *guess = context;
	tw_ns now = tw_clock_now(), wait;

	(void)fd;
	(void)what;
	if (guess->paid) {
		guess->due(guess->context, 0);
		return;
	}
	wait = tw_penalty_begin(guess->penalties, &guess->source, now);
	if (wait > 0 && wait <= TW_GUESS_PATIENCE && !guess->held) {
		guess->held = true;
		arm(guess, wait + 2 * TW_MSEC); /* timers may be early by a little */
	} else if (wait > 0) {
		guess->due(guess->context, wait);
	} else {
		guess->paid = true;
		arm(guess, tw_penalty_delay(guess->penalties, guess->name, now));
	}
}

static unsigned count_of(const struct tw_guesses *all, const struct tw_penalty_source *source)
{
	const struct tw_guess *guess;
	unsigned count = 0;

	LIST_FOREACH (guess, all, links)
		count += memcmp(&guess->source, source, sizeof *source) == 0;
	return count;
}

int tw_guess_begin(struct tw_guess *guess, struct event_base *base, struct tw_guesses *all,
		   struct tw_penalties *penalties)
{
	static const struct timeval now = { 0 };

	if (count_of(all, &guess->source) >= TW_GUESS_SOURCE_MAX)
		return -EBUSY;
	guess->penalties = penalties;
	guess->held = guess->paid = false;
	guess->timer = event_new(base, -1, 0, step, guess);
	if (!guess->timer)
		return -ENOMEM;
	LIST_INSERT_HEAD(all, guess, links);
	if (event_add(guess->timer, &now) == 0)
		return 0;
	tw_guess_end(guess);
	return -ENOMEM;
}

void tw_guess_end(struct tw_guess *guess)
{
	if (!guess->timer)
		return;
	LIST_REMOVE(guess, links);
	event_free(guess->timer);
	guess->timer = NULL;
}

int tw_guess_not_begun(int r, struct tw_fault *fault)
{
	if (r == -ENOMEM)
		return tw_fault_set(fault, TW_FAULT_INTERNAL, NULL, "out of memory");
	return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, NULL,
			    "%d passwords that came from where you are wait already; try again in "
			    "a moment",
			    TW_GUESS_SOURCE_MAX);
}

void tw_guess_outcome(struct tw_guess *guess, bool right)
{
	tw_ns now = tw_clock_now();

	if (right)
		tw_penalty_right(guess->penalties, &guess->source, now);
	else
		tw_penalty_wrong(guess->penalties, &guess->source, guess->name, now);
}

int tw_guess_refuse(tw_ns closed, struct tw_fault *fault)
{
	return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, NULL,
			    "too many wrong passwords came from where you are: the next one is "
			    "looked at in %llu s",
			    (unsigned long long)((closed + TW_SECOND - 1) / TW_SECOND));
}
