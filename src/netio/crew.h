/*
 * crew.h - what several workers have in common that take connections at the same addresses.
 *
 * Each has sockets of its own there (SO_REUSEPORT), in the order of their places, and a filter in
 * the kernel picks one for every datagram by what steers it (wire/steer.h): a connection's packets
 * come to the worker that drew its id, from whichever address they are sent. Two things come to a
 * worker that are another's all the same, and are handed on by *post*:
 *   - strays. Where the kernel has merged datagrams of several connections (those that come by one
 *     relay have one address), or takes no filter, the worker looks for itself;
 *   - an INIT, opened by the worker that its id leads to, of a peer who is at home with another one
 *     (netio/homes.h). That one opens it again, vouched for: no cookie is asked for twice.
 * Post is a bounded buffer for each worker, filled under a lock and taken as a whole; what finds it
 * full is lost like a datagram in a full socket.
 *
 * Beside it each has a *mailbox* (netio/mail.h), open while its thread runs, for letters between a
 * transfer's home and its lanes, which are with other workers.
 *
 * The workers are told of it as they are made, and live shorter than it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "core/cid.h"
#include "netio/homes.h"
#include "netio/mail.h"

#define TW_CREW_MAX 64
#define TW_POST_BYTES ((size_t)1 << 20) /* waiting for one worker */

struct tw_crew;

struct tw_post {
	struct tw_path path;
	uint8_t *bytes; /* lent, may be written to */
	size_t length;
	bool vouched; /* an INIT that another worker has let in */
};

/*
 * How many workers there shall be: @wanted, or by itself (0) half as many as there are processors,
 * one below four, at most 8: a worker at full speed keeps one busy and its disk threads most of a
 * second one, and small machines have nothing to spare.
 */
unsigned tw_crew_size(unsigned wanted);
/* For @count workers. -ENOMEM, -errno of eventfd(). */
int tw_crew_new(unsigned count, struct tw_crew **ret);
/* NULL: nothing. */
void tw_crew_free(struct tw_crew *crew);
unsigned tw_crew_count(const struct tw_crew *crew);
struct tw_homes *tw_crew_homes(struct tw_crew *crew);
struct tw_mailbox *tw_crew_mailbox(struct tw_crew *crew, unsigned place);
/* How much of a processor the worker at @place uses, per mille, as it has told last. */
void tw_crew_set_load(struct tw_crew *crew, unsigned place, unsigned load);
unsigned tw_crew_load(const struct tw_crew *crew, unsigned place);
/* What all their connection ids are made with: strays pass each socket's valve. */
const struct tw_cid_salt *tw_crew_salt(const struct tw_crew *crew);

/*
 * Puts the filter in front of the group of sockets that @fd has joined; the sockets have joined in
 * the order of their workers' places. -errno: datagrams come to any of them then, and go by post.
 */
int tw_crew_steer(struct tw_crew *crew, int fd);
/* Before the workers are started: every group has its filter. */
bool tw_crew_steered(const struct tw_crew *crew);

/* Any thread. False: lost. */
bool tw_crew_post(struct tw_crew *crew, unsigned to, const struct tw_post *post);
/* Readable when there is post for the worker at @place. */
int tw_crew_fd(const struct tw_crew *crew, unsigned place);
/*
 * That worker's thread only: what waited at the first call, in order, one by one until false; what
 * has come since makes the fd readable again. What was given is lent until the next call.
 */
bool tw_crew_take(struct tw_crew *crew, unsigned place, struct tw_post *ret);
