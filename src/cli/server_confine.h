/*
 * server_confine.h - how the engine of `tradewind server` gives up what its work does not need
 * (auth/confine.h), and what it says of that.
 *
 * The first step comes when it has become its account and has one thread; from then on it opens
 * its two folders, the triggers' log and a few facts of the kernel. The second comes when all is
 * up, before it listens to anybody.
 */
#pragma once

#include "auth/confine.h"
#include "cli/server.h"
#include "cli/server_place.h"

#define TW_SERVER_PLACES 5

struct tw_server_confinement {
	struct tw_confine_place places[TW_SERVER_PLACES];
	struct tw_confine_options options;
	struct tw_confine_report report;
};

/* @settings, as reached (server_place.h), must outlive @ret. Says what is wrong. An exit code. */
int tw_server_confine_rights(const struct tw_server_settings *settings,
			     const struct tw_server_place *place,
			     struct tw_server_confinement *ret);
/* Says what is in force. The same. */
int tw_server_confine_calls(const struct tw_server_settings *settings,
			    struct tw_server_confinement *confinement);
