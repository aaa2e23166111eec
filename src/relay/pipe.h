/*
 * pipe.h - bytes on their way in or out of a control connection: one array with a cap, taken from
 * the front. What is put in whole is there whole, or not at all.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "relay/control.h"

struct tw_relay_pipe {
	uint8_t *bytes; /* owned */
	size_t start, end, room, room_max;
};

void tw_relay_pipe_init(struct tw_relay_pipe *pipe, size_t room_max);
void tw_relay_pipe_deinit(struct tw_relay_pipe *pipe);
size_t tw_relay_pipe_length(const struct tw_relay_pipe *pipe);
/* The first byte; NULL when there is none. */
const uint8_t *tw_relay_pipe_front(const struct tw_relay_pipe *pipe);
/* TW_E_FULL: beyond the cap, nothing was put in. -ENOMEM. */
int tw_relay_pipe_put(struct tw_relay_pipe *pipe, const void *bytes, size_t length);
void tw_relay_pipe_take(struct tw_relay_pipe *pipe, size_t length);
/* As tw_relay_pipe_put(). */
int tw_relay_pipe_say(struct tw_relay_pipe *pipe, const struct tw_relay_message *message);
