/*
 * homes.h - which worker a peer is at home with, where several take connections at one address.
 *
 * All connections of a peer, known by his key, are served by one worker at a time: so a sender that
 * comes back over another connection, from another address, finds his transfer, its open files and
 * what it holds where he left it, whatever became of the old connection. A peer gets a home when he
 * knocks, the worker that has the fewest peers and busy destinations; he keeps it as long as that
 * worker has a connection or a transfer of his. Behind that nothing of him is left in memory, the
 * journal is on disk, and any worker is as good. Peers without a key are all one.
 *
 * A lane, a further connection for what another one of the same peer carries, is served so many
 * places behind that home, on a worker of its own.
 *
 * Shared by the workers, under a lock that is taken when somebody knocks, when a connection goes
 * and when a transfer begins or ends; no packet waits for it. At most TW_HOMES_MAX peers are
 * remembered; who is beyond that is at home wherever he knocks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/random.h"
#include "base/time.h"
#include "crypto/identity.h"
#include "session/receiver.h"

#define TW_HOMES_MAX 65536
#define TW_HOMES_LANES_MAX 256 /* of one peer */
/* Who has knocked has so long to become a connection. */
#define TW_HOMES_RESERVED (10 * TW_SECOND)

struct tw_homes;

/* For @places workers. -ENOMEM. */
int tw_homes_new(unsigned places, const struct tw_random *random, struct tw_homes **ret);
void tw_homes_free(struct tw_homes *homes);
/*
 * Where @peer, who has proved his key, is at home; @asks is the place of who asks, which it shall
 * be if another one would do as well.
 */
unsigned tw_homes_find(struct tw_homes *homes, const struct tw_public_key *peer, unsigned asks,
		       tw_ns now);
/*
 * Where lane number @lane of @peer, who has proved his key, is served; false: he has no connection
 * that it could belong to, there are not so many workers, or TW_HOMES_LANES_MAX of his are there.
 */
bool tw_homes_lane(struct tw_homes *homes, const struct tw_public_key *peer, unsigned lane,
		   unsigned *ret_place);
/* A worker has one more (@change 1) or less (-1) lane of this peer, known to be one or not yet. */
void tw_homes_hold_lane(struct tw_homes *homes, const struct tw_public_key *peer, int change);
/* The worker at @place has one more (@change 1) or less (-1) of @what of this peer. */
void tw_homes_hold(struct tw_homes *homes, const struct tw_public_key *peer, unsigned place,
		   enum tw_receiver_held what, int change);
/* The worker at @place sends to so many destinations at the moment. */
void tw_homes_busy(struct tw_homes *homes, unsigned place, unsigned destinations);
