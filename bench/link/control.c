#include "control.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool apply_lines(struct link_control *control, struct link_shape shapes[LINK_DIRECTIONS])
{
	bool changed = false;
	char *end;

	while ((end = memchr(control->line, '\n', control->held))) {
		size_t used = (size_t)(end - control->line) + 1;

		*end = '\0';
		if (link_options_change(control->line, shapes) == 0)
			changed = true;
		control->held -= used;
		memmove(control->line, control->line + used, control->held);
	}
	return changed;
}

bool link_control_read(struct link_control *control, struct link_shape shapes[LINK_DIRECTIONS])
{
	bool changed = false;

	while (control->fd >= 0) {
		ssize_t n;

		/* No line is that long: forget it. */
		if (control->held == sizeof(control->line))
			control->held = 0;
		n = read(control->fd, control->line + control->held,
			 sizeof(control->line) - control->held);
		if (n < 0 && errno != EINTR)
			return changed;
		if (n == 0) {
			/*
			 * Closed, it also leaves the caller's epoll set, which would report its end
			 * for ever.
			 */
			close(control->fd);
			control->fd = -1;
		}
		if (n > 0) {
			control->held += (size_t)n;
			if (apply_lines(control, shapes))
				changed = true;
		}
	}
	return changed;
}
