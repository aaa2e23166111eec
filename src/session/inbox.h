/*
 * inbox.h - puts the records of a stream together: bytes are taken from the connection only when
 * the reader needs more, so that a reader that stops reading holds its peer back by the stream's
 * window. Grows up to the longest record.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/conn.h"

struct tw_inbox {
	uint8_t *bytes;  /* owned */
	size_t at, have; /* unread: [at, have) */
	size_t room, room_max;
	bool ended; /* the peer has finished the stream and all of it was taken */
};

void tw_inbox_init(struct tw_inbox *inbox, size_t room_max);
void tw_inbox_deinit(struct tw_inbox *inbox);
/* Forgets what it holds: a new stream begins. */
void tw_inbox_reset(struct tw_inbox *inbox);
/* Takes more from @stream. 0: some came; TW_E_AGAIN: nothing there, or it is full; -ENOMEM. */
int tw_inbox_fill(struct tw_inbox *inbox, struct tw_conn *conn, uint64_t stream);
static inline const uint8_t *tw_inbox_bytes(const struct tw_inbox *inbox)
{
	/* Nothing has come yet: somewhere that may be read for a length of 0. */
	return inbox->bytes ? inbox->bytes + inbox->at : (const uint8_t *)"";
}
static inline size_t tw_inbox_length(const struct tw_inbox *inbox)
{
	return inbox->have - inbox->at;
}
/* @length bytes have been dealt with. */
static inline void tw_inbox_drop(struct tw_inbox *inbox, size_t length)
{
	inbox->at += length;
}
