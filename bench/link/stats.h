/*
 * stats.h - the counters as one line of JSON, to standard output or to a file that is always whole.
 */
#pragma once

#include "device.h"
#include "options.h"

struct link_report {
	const char *event;              /* "ready", "statistics", "end" */
	int64_t elapsed_ns;
	const struct link_shaper *shapers;      /* LINK_DIRECTIONS of them */
	const struct link_device *devices;      /* the one each direction reads from */
	int64_t now;
};

/* Negative errno when @path cannot be written. */
int link_stats_print(const struct link_report *report, const char *path);
