#include "cli/server_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/exit.h"

static int refused(int error)
{
	tw_say("the engine cannot be confined: %s%s", tw_strerror(error),
	       error == -EOPNOTSUPP ? "; --confine auto goes on without what is missing" : "");
	return TW_EXIT_FAILED;
}

/* A file can be allowed only when it is there. */
static void make_log(const char *path)
{
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0640)
		      : -1;

	/* Whoever opens it next says what is wrong with it. */
	if (fd >= 0)
		close(fd);
}

int tw_server_confine_rights(const struct tw_server_settings *settings,
			     const struct tw_server_place *place, struct tw_server_confinement *ret)
{
	const struct tw_engine_options *engine = &settings->engine;
	const struct tw_confine_place places[TW_SERVER_PLACES] = {
		{ engine->state_dir, TW_PLACE_WRITE | TW_PLACE_SOCKETS },
		{ engine->receive_dir, TW_PLACE_WRITE },
		{ "/proc/sys/kernel/random/boot_id", TW_PLACE_READ | TW_PLACE_OPTIONAL },
		{ "/sys/devices/system/cpu/online", TW_PLACE_READ | TW_PLACE_OPTIONAL },
		{ engine->trigger_log, TW_PLACE_WRITE | TW_PLACE_OPTIONAL },
	};
	int r;

	memcpy(ret->places, places, sizeof places);
	ret->options = (struct tw_confine_options){
		.role = TW_CONFINE_ENGINE,
		.mode = settings->confine,
		/* Root that stays root needs some to write to its own folders. */
		.keep_capabilities = place->uid == 0,
		.places = ret->places,
		.place_count = engine->trigger_log ? TW_SERVER_PLACES : TW_SERVER_PLACES - 1,
		.tcp_ports = { settings->api_port },
		.tcp_port_count = 1,
		.tcp_connect_all = true, /* relays */
	};
	make_log(engine->trigger_log);
	r = tw_confine_rights(&ret->options, &ret->report);
	return r ? refused(r) : TW_EXIT_DONE;
}

int tw_server_confine_calls(const struct tw_server_settings *settings,
			    struct tw_server_confinement *confinement)
{
	char text[TW_CONFINE_TEXT];
	int r = tw_confine_calls(&confinement->options, &confinement->report);
	bool whole = !tw_confine_incomplete(&confinement->report);

	if (r)
		return refused(r);
	tw_server_log(whole ? TW_LOG_INFO : TW_LOG_WARNING, settings->log_level, "%s",
		      tw_confine_describe(&confinement->report, text));
	return TW_EXIT_DONE;
}
