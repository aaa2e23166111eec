/*
 * dialer.h - keeps an outgoing connected while it has something to send: dials, notices silence,
 * dials anew beside the silent connection, keeps whichever answers first, backs off while nobody
 * answers. Kill either side at any moment, cut the path for a second or a day: as soon as datagrams
 * pass again the transfers go on, within two round trips and a second. A connection with nothing to
 * do is kept for a while and then closed.
 *
 * Silence: datagrams that ask for an answer have had none for max(1 s, 4 round trips). From then on
 * a second handshake is tried, every 500 ms at first and at most every 1 s later, while the old
 * connection keeps probing.
 *
 * An impatient dialer gives up at a refusal, and when the first answer takes too long. A patient
 * one never does: it says what stands in the way (tw_dialer_failed()) and tries on, once a second,
 * after a refusal every ten.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "core/endpoint.h"
#include "session/outgoing.h"

#define TW_DIALER_ADDRESSES_MAX 8

struct tw_dialer_options {
	struct tw_address remotes[TW_DIALER_ADDRESSES_MAX]; /* tried in turn; may come later */
	unsigned remote_count;
	/* The remotes are a relay's, which carries on to what the ticket beside each says. */
	bool ticketed;
	struct tw_ticket tickets[TW_DIALER_ADDRESSES_MAX];
	/* template: key, cipher, config; remote, app and context are filled in */
	struct tw_connect connect;
	/* Give up, or patient: complain, when the first answer takes longer; 0: 10 s. */
	tw_ns first_timeout;
	/* give up after so long without any answer later on; TW_NEVER: never */
	tw_ns give_up;
	bool patient;
	tw_ns linger; /* how long a connection with nothing to do is kept; 0: 30 s */
};

struct tw_dialer;

/* Borrows both. -EINVAL: too many addresses; -ENOMEM. */
int tw_dialer_new(struct tw_endpoint *endpoint, struct tw_outgoing *outgoing,
		  const struct tw_dialer_options *options, tw_ns now, struct tw_dialer **ret);
void tw_dialer_free(struct tw_dialer *dialer);
/* At its deadline, and after every turn of the loop. */
void tw_dialer_tick(struct tw_dialer *dialer, tw_ns now);
tw_ns tw_dialer_deadline(const struct tw_dialer *dialer);
/*
 * Other addresses (at most TW_DIALER_ADDRESSES_MAX; the rest is left out), from the next attempt
 * on: at once where there is no connection that answers. With tickets they are other ways to the
 * same relay: a connection by one that is no longer among them goes on by the first.
 */
void tw_dialer_set_remotes(struct tw_dialer *dialer, const struct tw_address *remotes,
			   unsigned count, tw_ns now);
/* Before tw_dialer_set_remotes(): tickets to go with them (as many); NULL: none. */
void tw_dialer_set_tickets(struct tw_dialer *dialer, const struct tw_ticket *tickets);
/* A new rate or method, also for connections to come. */
void tw_dialer_set_rate(struct tw_dialer *dialer, enum tw_rate_method method,
			const struct tw_rate_limits *limits, tw_ns now);
/* Tries now, where it waits to try again; anew where it has given up. */
void tw_dialer_redial(struct tw_dialer *dialer, tw_ns now);
/*
 * It has given up, or, patient, complains: why. False while it tries or is connected. Cleared by
 * the next connection that is established.
 */
bool tw_dialer_failed(const struct tw_dialer *dialer, enum tw_conn_end *ret_end,
		      const char **ret_message);
/* Silent or dialling anew at the moment, and since when (for the progress line). */
bool tw_dialer_waiting(const struct tw_dialer *dialer, tw_ns *ret_since);
/* A handshake is under way. */
bool tw_dialer_calling(const struct tw_dialer *dialer);
