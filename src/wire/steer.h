/*
 * steer.h - which of several workers behind one address a datagram is for.
 *
 * Every connection id that a worker draws leads back to it: the first four bytes of the id, modulo
 * the number of workers, are the worker's place. So whatever names a connection of ours comes to
 * the worker that has it, from whichever address it is sent, and to whoever does not know the
 * number of workers an id looks like any other. An INIT names no connection of ours yet: it goes by
 * the initiator's id, which neither a RETRY nor repeating it changes, so that a cookie comes back
 * to whoever gave it. What names nothing belongs to place 0.
 *
 * Pure functions over bytes. The kernel does the same with a filter (netio/crew.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_STEER_PLACES_MAX 64
/* Where a datagram has the word that steers it. */
#define TW_STEER_LONG_AT 5 /* INIT, ACCEPT, RETRY: behind the version */
#define TW_STEER_AT 1      /* VERSIONS, PROBE, ECHO, PACKET */

/* The place of a datagram of @length bytes, of any content; @places at least 1. */
unsigned tw_steer(const uint8_t *bytes, size_t length, unsigned places);
/* Whether datagrams for the connection @cid are steered to @place. */
bool tw_steer_leads(uint64_t cid, unsigned place, unsigned places);
