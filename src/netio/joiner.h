/*
 * joiner.h - trains that came apart leave together, without being copied.
 *
 * Who forwards gets trains as the network has cut them: behind a loss, or from a sender that is
 * paced, in parts of a few datagrams. What goes to the same address in datagrams of the same length
 * is put behind each other by reference, as long as one system call takes it; a longer train than
 * that is cut. The order of datagrams to one address stays, between addresses it is free: several
 * are gathered beside each other, since the two directions of a connection come by turns.
 */
#pragma once

#include "netio/udp.h"

#define TW_JOINER_TRAINS 4

struct tw_joiner {
	struct tw_joined {
		struct tw_udp *udp; /* borrowed; where it leaves */
		struct tw_path path;
		uint32_t segment;
		size_t length; /* 0: nothing is held here */
		struct iovec pieces[TW_UDP_PIECES_MAX];
		unsigned count;
	} trains[TW_JOINER_TRAINS];
	unsigned oldest; /* the one that makes room */
};

void tw_joiner_init(struct tw_joiner *joiner);
/* The bytes are borrowed until tw_joiner_flush(). What the system has no room for is lost, as on
 * any path. */
void tw_joiner_add(struct tw_joiner *joiner, struct tw_udp *udp, const struct tw_train *train);
/* All that is held leaves: before the bytes are used again, and before waiting for anything. */
void tw_joiner_flush(struct tw_joiner *joiner);
