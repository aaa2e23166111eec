#include "netio/gather.h"

#include <string.h>

#include "base/error.h"

#define SEGMENTS_MAX 64 /* what every kernel with segmentation takes */

void tw_gather_init(struct tw_gather *gather)
{
	gather->udp = NULL;
	gather->train = (struct tw_train){ .bytes = gather->bytes, .room = sizeof gather->bytes };
}

void tw_gather_flush(struct tw_gather *gather)
{
	size_t sent = 0;

	if (!gather->train.length)
		return;
	/* A refusal that belongs to an earlier datagram took the call: once more. */
	if (tw_udp_send(gather->udp, &gather->train, &sent) == TW_E_UNREACHABLE)
		(void)tw_udp_send(gather->udp, &gather->train, &sent);
	gather->train.length = 0;
}

static bool fits(const struct tw_gather *gather, const struct tw_udp *udp,
		 const struct tw_path *path, size_t length)
{
	const struct tw_train *train = &gather->train;

	return train->length && gather->udp == udp && length <= train->segment &&
	       train->length + length <= sizeof gather->bytes &&
	       train->length / train->segment < SEGMENTS_MAX &&
	       tw_address_equal(&train->path.remote, &path->remote) &&
	       tw_address_equal(&train->path.local, &path->local);
}

void tw_gather_add(struct tw_gather *gather, struct tw_udp *udp, const struct tw_path *path,
		   const uint8_t *bytes, size_t length)
{
	struct tw_train *train = &gather->train;

	if (!length || length > sizeof gather->bytes)
		return;
	if (!fits(gather, udp, path, length)) {
		tw_gather_flush(gather);
		gather->udp = udp;
		train->path = *path;
		train->segment = (uint32_t)length;
	}
	memcpy(gather->bytes + train->length, bytes, length);
	train->length += length;
	/* A shorter one ends the train. */
	if (length < train->segment)
		tw_gather_flush(gather);
}
