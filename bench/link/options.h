/*
 * options.h - what the command line asks for: one table gives parsing, help, and which options may
 * change while the link runs. An option of the line itself applies to both directions; the same
 * name with -forth (left to right) or -back (right to left) applies to one, whatever their order.
 */
#pragma once

#include <stdbool.h>

#include "device.h"
#include "shaper.h"

enum link_direction { LINK_FORTH, LINK_BACK, LINK_DIRECTIONS };

struct link_options {
	struct link_device_plan devices[2];     /* left, right */
	struct link_shape shapes[LINK_DIRECTIONS];
	double seed;
	double tick_ns;                 /* 0 until parsed: the default */
	double mtu;
	double statistics_every_ns;             /* 0: only on SIGUSR1 and at the end */
	const char *statistics_path;            /* NULL: standard output */
	bool control;                           /* changes are read from standard input */
	bool help;
	char **command;                         /* NULL-terminated; NULL when there is none */
};

/*
 * Fills @ret_options, which borrows from @arguments. -EINVAL after saying on standard error what is
 * wrong.
 */
int link_options_parse(int count, char **arguments, struct link_options *ret_options);

/*
 * Changes shapes by a line such as "loss 5%" or "rate-back 2M". -EINVAL and the shapes as they
 * were, after saying on standard error what is wrong.
 */
int link_options_change(char *line, struct link_shape shapes[LINK_DIRECTIONS]);

void link_options_help(void);
