/*
 * penalty.h - what wrong guesses cost those who make them, and how it is forgotten again. Pure: the
 * time goes in.
 *
 * A source is one IPv4 address, one IPv6 network of 64 bits, or an account on the Unix socket. It
 * pays for each guess before the guess is looked at, and gets that back when it was right; what it
 * owes is worked off at TW_PENALTY_COST a guess. Promise: of one source at most
 * TW_PENALTY_GUESSES_AN_HOUR are looked at in any hour, over however many connections and however
 * right others of its guesses are. Below that each wrong one but the first closes the source for a
 * time that doubles with what it owes, from a second to TW_PENALTY_CLOSED_MAX.
 *
 * Many sources that guess at one name make its answers slower for all, up to TW_PENALTY_DELAY_MAX;
 * that never closes anything, so nobody can be locked out by others' guesses.
 *
 * At most TW_PENALTY_ROWS of each are remembered; beyond, the one that owes least is forgotten.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/time.h"

#define TW_PENALTY_ROWS 4096
#define TW_PENALTY_BURST 10
#define TW_PENALTY_COST (72 * TW_SECOND)
#define TW_PENALTY_GUESSES_AN_HOUR 60 /* the burst, and an hour's worth of @COST */
#define TW_PENALTY_CLOSED_MAX (600 * TW_SECOND)
#define TW_PENALTY_DELAY_MAX (8 * TW_SECOND)

#define TW_PENALTY_KEY 16

struct tw_penalty_source {
	uint8_t key[TW_PENALTY_KEY];
};

struct tw_penalty_source tw_penalty_source_of(const struct tw_address *address);
struct tw_penalty_source tw_penalty_source_account(unsigned uid);

struct tw_penalties;

/* -ENOMEM. */
int tw_penalties_new(struct tw_penalties **ret);
void tw_penalties_free(struct tw_penalties *penalties);

/* 0: the guess may be looked at, and is paid for. Else how long to wait before the next. */
tw_ns tw_penalty_begin(struct tw_penalties *penalties, const struct tw_penalty_source *source,
		       tw_ns now);
/* How long the answer to a guess at @name is held back. */
tw_ns tw_penalty_delay(struct tw_penalties *penalties, const char *name, tw_ns now);
/* What came of a guess that was begun. One that nobody waits for any more stays paid for. */
void tw_penalty_right(struct tw_penalties *penalties, const struct tw_penalty_source *source,
		      tw_ns now);
void tw_penalty_wrong(struct tw_penalties *penalties, const struct tw_penalty_source *source,
		      const char *name, tw_ns now);
