/*
 * outbox.h - the message that is on its way into the control stream: what the stream does not take
 * at once is kept here, and no other is begun before, so that memory stays at one message.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/conn.h"
#include "session/message.h"

struct tw_outbox {
	uint8_t *bytes; /* owned, TW_MESSAGE_ROOM */
	size_t at, length;
};

/* -ENOMEM. */
int tw_outbox_init(struct tw_outbox *outbox);
void tw_outbox_deinit(struct tw_outbox *outbox);
/* A new stream begins. */
void tw_outbox_reset(struct tw_outbox *outbox);
/* False: the stream has no room now, stream_writable() follows. */
bool tw_outbox_flush(struct tw_outbox *outbox, struct tw_conn *conn);
/* Where in the stream the last byte of what it has taken will be. */
uint64_t tw_outbox_mark(const struct tw_outbox *outbox, struct tw_conn *conn);
/* False: as above, and nothing was taken of @message. */
bool tw_outbox_send(struct tw_outbox *outbox, struct tw_conn *conn,
		    const struct tw_message *message);
