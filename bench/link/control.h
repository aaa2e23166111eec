/*
 * control.h - changes to a running link, a line each on a file descriptor that does not block.
 */
#pragma once

#include "options.h"

struct link_control {
	int fd;                         /* -1: none, or at its end */
	size_t held;                    /* bytes of an unfinished line */
	char line[256];
};

/* Takes what can be read and applies whole lines. True when a shape changed. */
bool link_control_read(struct link_control *control, struct link_shape shapes[LINK_DIRECTIONS]);
