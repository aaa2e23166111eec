#include "session/outbox.h"

#include <errno.h>
#include <stdlib.h>

int tw_outbox_init(struct tw_outbox *outbox)
{
	*outbox = (struct tw_outbox){ .bytes = malloc(TW_MESSAGE_ROOM) };
	return outbox->bytes ? 0 : -ENOMEM;
}

void tw_outbox_deinit(struct tw_outbox *outbox)
{
	free(outbox->bytes);
	*outbox = (struct tw_outbox){ .bytes = NULL };
}

void tw_outbox_reset(struct tw_outbox *outbox)
{
	outbox->at = outbox->length = 0;
}

bool tw_outbox_flush(struct tw_outbox *outbox, struct tw_conn *conn)
{
	if (outbox->at < outbox->length)
		outbox->at +=
			tw_conn_stream_write(conn, TW_STREAM_CONTROL, outbox->bytes + outbox->at,
					     outbox->length - outbox->at);
	return outbox->at == outbox->length;
}

bool tw_outbox_send(struct tw_outbox *outbox, struct tw_conn *conn,
		    const struct tw_message *message)
{
	if (!tw_outbox_flush(outbox, conn))
		return false;
	outbox->at = 0;
	outbox->length = tw_message_write(message, outbox->bytes, TW_MESSAGE_ROOM);
	tw_outbox_flush(outbox, conn);
	return true;
}

uint64_t tw_outbox_mark(const struct tw_outbox *outbox, struct tw_conn *conn)
{
	return tw_conn_stream_written(conn, TW_STREAM_CONTROL) + (outbox->length - outbox->at);
}
