#include "relay/pipe.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define ROOM_FIRST ((size_t)4096)

void tw_relay_pipe_init(struct tw_relay_pipe *pipe, size_t room_max)
{
	*pipe = (struct tw_relay_pipe){ .room_max = room_max };
}

void tw_relay_pipe_deinit(struct tw_relay_pipe *pipe)
{
	free(pipe->bytes);
	*pipe = (struct tw_relay_pipe){ 0 };
}

size_t tw_relay_pipe_length(const struct tw_relay_pipe *pipe)
{
	return pipe->end - pipe->start;
}

const uint8_t *tw_relay_pipe_front(const struct tw_relay_pipe *pipe)
{
	return tw_relay_pipe_length(pipe) ? pipe->bytes + pipe->start : NULL;
}

static int make_room(struct tw_relay_pipe *pipe, size_t length)
{
	size_t held = tw_relay_pipe_length(pipe), room = pipe->room ? pipe->room : ROOM_FIRST;
	uint8_t *bytes;

	if (length > pipe->room_max - held)
		return TW_E_FULL;
	if (held + length <= pipe->room) {
		memmove(pipe->bytes, pipe->bytes + pipe->start, held);
	} else {
		while (room < held + length)
			room *= 2;
		bytes = malloc(room);
		if (!bytes)
			return -ENOMEM;
		if (held)
			memcpy(bytes, pipe->bytes + pipe->start, held);
		free(pipe->bytes);
		pipe->bytes = bytes;
		pipe->room = room;
	}
	pipe->start = 0;
	pipe->end = held;
	return 0;
}

int tw_relay_pipe_put(struct tw_relay_pipe *pipe, const void *bytes, size_t length)
{
	int r = 0;

	if (!length)
		return 0;
	if (length > pipe->room - pipe->end || length > pipe->room_max - tw_relay_pipe_length(pipe))
		r = make_room(pipe, length);
	if (r)
		return r;
	memcpy(pipe->bytes + pipe->end, bytes, length);
	pipe->end += length;
	return 0;
}

void tw_relay_pipe_take(struct tw_relay_pipe *pipe, size_t length)
{
	assert(length <= tw_relay_pipe_length(pipe));
	pipe->start += length;
	if (pipe->start == pipe->end)
		pipe->start = pipe->end = 0;
}

int tw_relay_pipe_say(struct tw_relay_pipe *pipe, const struct tw_relay_message *message)
{
	uint8_t bytes[TW_RELAY_MESSAGE_ROOM];
	size_t length = tw_relay_message_write(message, bytes, sizeof bytes);

	assert(length > 0);
	return tw_relay_pipe_put(pipe, bytes, length);
}
