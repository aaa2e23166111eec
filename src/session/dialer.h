/*
 * dialer.h - keeps a sender connected: dials, notices silence, dials anew beside the silent
 * connection, keeps whichever answers first, backs off while nobody answers. Kill either side at
 * any moment, cut the path for a second or a day: as soon as datagrams pass again the transfer goes
 * on, within two round trips and a second.
 *
 * Silence: datagrams that ask for an answer have had none for max(1 s, 4 round trips). From then on
 * a second handshake is tried, every 500 ms at first and at most every 1 s later, while the old
 * connection keeps probing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "core/endpoint.h"
#include "session/sender.h"

#define TW_DIALER_ADDRESSES_MAX 8

struct tw_dialer_options {
	struct tw_address remotes[TW_DIALER_ADDRESSES_MAX]; /* tried in turn */
	unsigned remote_count;
	/* template: key, cipher, config; remote, app and context are filled in */
	struct tw_connect connect;
	tw_ns first_timeout;            /* give up when the first answer takes longer; 0: 10 s */
	/* give up after so long without any answer later on; TW_NEVER: never */
	tw_ns give_up;
};

struct tw_dialer;

int tw_dialer_new(struct tw_endpoint *endpoint, struct tw_sender *sender,
		  const struct tw_dialer_options *options, tw_ns now, struct tw_dialer **ret);
void tw_dialer_free(struct tw_dialer *dialer);
/* At its deadline, and after every turn of the loop. */
void tw_dialer_tick(struct tw_dialer *dialer, tw_ns now);
tw_ns tw_dialer_deadline(const struct tw_dialer *dialer);
/* A new rate or method, also for connections to come. */
void tw_dialer_set_rate(struct tw_dialer *dialer, enum tw_rate_method method,
			const struct tw_rate_limits *limits, tw_ns now);
/* It has given up: why. False while it tries or is connected. */
bool tw_dialer_failed(const struct tw_dialer *dialer, enum tw_conn_end *ret_end,
		      const char **ret_message);
/* Silent or dialling anew at the moment, and since when (for the progress line). */
bool tw_dialer_waiting(const struct tw_dialer *dialer, tw_ns *ret_since);
