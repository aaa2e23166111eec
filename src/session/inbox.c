#include "session/inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define ROOM_FIRST 4096

void tw_inbox_init(struct tw_inbox *inbox, size_t room_max)
{
	*inbox = (struct tw_inbox){ .room_max = room_max };
}

void tw_inbox_deinit(struct tw_inbox *inbox)
{
	free(inbox->bytes);
	*inbox = (struct tw_inbox){ .room_max = inbox->room_max };
}

void tw_inbox_reset(struct tw_inbox *inbox)
{
	inbox->at = inbox->have = 0;
	inbox->ended = false;
}

static int make_room(struct tw_inbox *inbox)
{
	size_t room;
	uint8_t *bytes;

	if (inbox->at) {
		memmove(inbox->bytes, inbox->bytes + inbox->at, inbox->have - inbox->at);
		inbox->have -= inbox->at;
		inbox->at = 0;
	}
	if (inbox->have < inbox->room)
		return 0;
	if (inbox->room == inbox->room_max)
		return TW_E_AGAIN;
	room = inbox->room ? inbox->room * 2 : ROOM_FIRST;
	if (room > inbox->room_max)
		room = inbox->room_max;
	bytes = realloc(inbox->bytes, room);
	if (!bytes)
		return -ENOMEM;
	inbox->bytes = bytes;
	inbox->room = room;
	return 0;
}

int tw_inbox_fill(struct tw_inbox *inbox, struct tw_conn *conn, uint64_t stream)
{
	size_t length;
	int error;

	if (inbox->ended)
		return TW_E_AGAIN;
	error = make_room(inbox);
	if (error)
		return error;
	length = tw_conn_stream_read(conn, stream, inbox->bytes + inbox->have,
				     inbox->room - inbox->have, &inbox->ended);
	inbox->have += length;
	return length ? 0 : TW_E_AGAIN;
}
