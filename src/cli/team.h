/*
 * team.h - the data workers of a foreground command: one, or several that share an address and
 * help each other (netio/crew.h).
 */
#pragma once

#include "cli/options.h"
#include "netio/crew.h"
#include "netio/worker.h"

struct tw_team {
	struct tw_crew *crew; /* owned, as below; NULL: one worker */
	struct tw_worker *workers[TW_CREW_MAX];
	unsigned count;
};

/* --workers and, if @ret_lanes, --lanes; says what is wrong with them and returns TW_EXIT_USAGE. */
int tw_team_parse(const struct tw_arguments *arguments, unsigned *ret_workers, uint32_t *ret_lanes);
/* "auto" or a number of lanes. False: neither. */
bool tw_team_parse_lanes(const char *text, uint32_t *ret);
/*
 * So many workers (tw_crew_size()), alike, all with @options and with the first one's sockets'
 * ports. As tw_worker_new(); what was made before is taken back.
 */
int tw_team_new(struct tw_team *team, unsigned wanted, const struct tw_worker_options *options,
		struct tw_address *ret_failed);
/* Starts them. -EAGAIN. */
int tw_team_start(struct tw_team *team);
/* As tw_worker_stop(), all of them. */
void tw_team_stop(struct tw_team *team);
void tw_team_free(struct tw_team *team);
