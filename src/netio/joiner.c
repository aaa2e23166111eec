#include "netio/joiner.h"

#include "base/error.h"

void tw_joiner_init(struct tw_joiner *joiner)
{
	for (unsigned i = 0; i < TW_JOINER_TRAINS; i++)
		joiner->trains[i].length = joiner->trains[i].count = 0;
	joiner->oldest = 0;
}

static void leave(struct tw_joined *joined)
{
	if (joined->length)
		tw_udp_send_pieces(joined->udp, &joined->path, joined->segment, joined->pieces,
				   joined->count);
	joined->length = joined->count = 0;
}

void tw_joiner_flush(struct tw_joiner *joiner)
{
	for (unsigned i = 0; i < TW_JOINER_TRAINS; i++)
		leave(&joiner->trains[i]);
}

/* Bytes that one more piece may have, in whole datagrams. */
static size_t room_of(const struct tw_joined *joined)
{
	size_t most = (size_t)joined->segment * joined->udp->segments_max;

	if (most > TW_UDP_TRAIN_MAX)
		most = TW_UDP_TRAIN_MAX / joined->segment * joined->segment;
	/* A shorter datagram is the last one. */
	if (joined->length % joined->segment || joined->count == TW_UDP_PIECES_MAX)
		return 0;
	return joined->length < most ? most - joined->length : 0;
}

static bool fits(const struct tw_joined *joined, const struct tw_train *train)
{
	/* A lone datagram that is shorter ends what is held. */
	return room_of(joined) && (train->segment == joined->segment ||
				   (train->length < joined->segment &&
				    train->length <= train->segment));
}

/* Where what goes by this path is held; else an empty place. */
static struct tw_joined *place_of(struct tw_joiner *joiner, const struct tw_udp *udp,
				  const struct tw_path *path)
{
	struct tw_joined *empty = NULL;

	for (unsigned i = 0; i < TW_JOINER_TRAINS; i++) {
		struct tw_joined *joined = &joiner->trains[i];

		if (!joined->length)
			empty = joined;
		else if (joined->udp == udp &&
			 tw_address_equal(&joined->path.remote, &path->remote) &&
			 tw_address_equal(&joined->path.local, &path->local))
			return joined;
	}
	if (!empty) {
		empty = &joiner->trains[joiner->oldest];
		joiner->oldest = (joiner->oldest + 1) % TW_JOINER_TRAINS;
		leave(empty);
	}
	return empty;
}

void tw_joiner_add(struct tw_joiner *joiner, struct tw_udp *udp, const struct tw_train *train)
{
	struct tw_joined *joined = place_of(joiner, udp, &train->path);

	if (joined->length && !fits(joined, train))
		leave(joined);
	for (size_t at = 0, part; at < train->length; at += part) {
		if (!joined->length) {
			joined->udp = udp;
			joined->path = train->path;
			joined->segment = train->segment;
		}
		part = room_of(joined);
		if (part > train->length - at)
			part = train->length - at;
		joined->pieces[joined->count++] = (struct iovec){ train->bytes + at, part };
		joined->length += part;
		if (!room_of(joined))
			leave(joined);
	}
}
