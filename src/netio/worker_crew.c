/* worker_crew.c - a worker that shares its addresses with others (netio/crew.h). */
#include "netio/clock.h"
#include "netio/worker_private.h"
#include "wire/steer.h"

void tw_worker_crew_receive(struct tw_worker *worker, const struct tw_path *path, uint8_t *bytes,
			    size_t length, tw_ns now)
{
	unsigned to = tw_steer(bytes, length, worker->places);

	worker->at_hand = (struct tw_post){ *path, bytes, length, false };
	if (to != worker->place)
		(void)tw_crew_post(worker->crew, to, &worker->at_hand);
	else
		tw_endpoint_receive(worker->endpoint, path, bytes, length, now);
	worker->at_hand.length = 0;
}

static void deliver(struct tw_worker *worker, struct tw_post *post, tw_ns now)
{
	worker->at_hand = *post;
	if (post->vouched)
		tw_endpoint_receive_vouched(worker->endpoint, &post->path, post->bytes,
					    post->length, now);
	else
		tw_endpoint_receive(worker->endpoint, &post->path, post->bytes, post->length, now);
	worker->at_hand.length = 0;
}

/* What it brings lies in no buffer of ours: it is copied. */
void tw_worker_crew_post(struct tw_worker *worker, tw_ns now)
{
	struct tw_post post;
	bool any = false;

	worker->current = NULL;
	while (tw_crew_take(worker->crew, worker->place, &post)) {
		deliver(worker, &post, now);
		any = true;
	}
	if (any && worker->hub)
		tw_worker_io_flush(worker, now);
}

bool tw_worker_crew_elsewhere(struct tw_worker *worker, const struct tw_public_key *peer)
{
	struct tw_homes *homes = tw_crew_homes(worker->crew);
	unsigned home;

	/* Nobody calls at a socket that we dialled with. Whoever vouches has asked already, and two
	 * would only send it to and fro. */
	if (!worker->at_hand.length || worker->at_hand.vouched)
		return false;
	home = tw_homes_find(homes, peer, worker->place, tw_clock_now());
	if (home == worker->place)
		return false;
	worker->at_hand.vouched = true;
	(void)tw_crew_post(worker->crew, home, &worker->at_hand);
	return true;
}

enum tw_verdict tw_worker_crew_lane(struct tw_worker *worker, const struct tw_public_key *peer,
				    unsigned number)
{
	unsigned place;

	if (!worker->at_hand.length ||
	    !tw_homes_lane(tw_crew_homes(worker->crew), peer, number, &place))
		return TW_ACCEPT_BUSY;
	if (place == worker->place)
		return TW_ACCEPT_YES;
	/* His home has changed on the way. */
	if (worker->at_hand.vouched)
		return TW_ACCEPT_BUSY;
	worker->at_hand.vouched = true;
	(void)tw_crew_post(worker->crew, place, &worker->at_hand);
	return TW_ACCEPT_ELSEWHERE;
}

void tw_worker_crew_held(void *context, const struct tw_public_key *peer,
			 enum tw_receiver_held what, int change)
{
	struct tw_worker *worker = context;

	tw_homes_hold(tw_crew_homes(worker->crew), peer, worker->place, what, change);
}

void tw_worker_crew_busy(struct tw_worker *worker, unsigned destinations)
{
	if (destinations == worker->busy_told)
		return;
	worker->busy_told = destinations;
	tw_homes_busy(tw_crew_homes(worker->crew), worker->place, destinations);
}
