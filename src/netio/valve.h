/*
 * valve.h - a socket that listens takes only so much from strangers: what is beyond, the kernel
 * drops before it takes room in the socket's buffer.
 *
 * Strangers and peers come to the same socket. A flood, which the endpoint turns away for next to
 * nothing, would still fill the buffer and push out what peers send. So a filter in the kernel lets
 * through
 *
 * - of what names a connection: what names one that can be (core/cid.h), where the ids are this
 *   program's own;
 * - of the rest, in two classes, everything until there is more a second than any true crowd would
 *   send, and from then on only what comes from sources whose address and port fall into a window
 *   of a keyed hash. A window is as wide as the flood allows, and moves on every TW_VALVE_WINDOW:
 *   whoever is in earnest, and so keeps his address and repeats his INIT, has his turn within a few
 *   seconds, and in it both his INIT and the one with the cookie come through. Invented addresses
 *   fall everywhere.
 *
 * The classes are apart so that a flood of questions does not keep answers out. Where ids are
 * others' (a relay), what names a connection is a third class, of which only what belonged to none
 * is counted, and the sources of the connections that there are always come through.
 *
 * Datagrams of no known type never come through. A kernel that takes no filter has none: nothing
 * depends on it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/random.h"
#include "base/time.h"
#include "core/cid.h"

#define TW_VALVE_MOST 8000              /* a second of each class, that come through */
#define TW_VALVE_PERIOD (20 * TW_MSEC)  /* at least so long is counted */
#define TW_VALVE_WINDOW (600 * TW_MSEC) /* longer than between two INITs of one who asks */
#define TW_VALVE_OPEN 1024              /* the width that is all */
#define TW_VALVE_SOURCES 512            /* known ones; with more the third class has no limit */

enum tw_valve_class {
	TW_VALVE_QUESTIONS, /* INIT, DISCOVER */
	TW_VALVE_ANSWERS,   /* DISCOVERED, and those between a server and its relay */
	TW_VALVE_CONNECTED, /* what names a connection */
	TW_VALVE_CLASSES,
};

struct tw_valve_window {
	unsigned width, place;
	uint64_t came; /* through, since: */
	tw_ns since, moved_at;
};

struct tw_valve {
	int fd; /* borrowed; -1: no filter to be had */
	bool ipv6, marked;
	bool late; /* what is in force is not what was to be: it is tried again */
	tw_ns tried_at;
	struct tw_cid_salt ids; /* if @marked */
	uint32_t salt[2];
	struct tw_valve_window windows[TW_VALVE_CLASSES];
	/*
	 * Unless @marked, may be set after tw_valve_init(): where connections come from. Fills in
	 * up to @room addresses and returns how many; more than @room: not all. NULL: nobody is
	 * known.
	 */
	size_t (*known)(void *context, struct tw_address *ret, size_t room);
	void *context;
};

/*
 * For a socket that listens, whose filter is in force from here on. @ids: all connections that come
 * to it have ids made with this salt; NULL: they have any.
 */
void tw_valve_init(struct tw_valve *valve, int fd, bool ipv6, const struct tw_cid_salt *ids,
		   const struct tw_random *random, tw_ns now);
/* @type: the first byte of a datagram. */
enum tw_valve_class tw_valve_class(uint8_t type);
/* @count datagrams have come that begin with @type. */
static inline void tw_valve_count(struct tw_valve *valve, uint8_t type, uint64_t count)
{
	enum tw_valve_class class = tw_valve_class(type);

	if (class != TW_VALVE_CONNECTED)
		valve->windows[class].came += count;
}
/* @count that name a connection have come for which there is none. */
static inline void tw_valve_count_strays(struct tw_valve *valve, uint64_t count)
{
	valve->windows[TW_VALVE_CONNECTED].came += count;
}
/* Looks at what has been counted, if it is time to, and turns the valve. */
void tw_valve_turn(struct tw_valve *valve, tw_ns now);
/* The width that @a_second in a window of @width call for; a pure function. */
unsigned tw_valve_width(unsigned width, double a_second);
