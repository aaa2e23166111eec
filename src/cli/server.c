/* server.c - `tradewind server`: the service in the foreground. */
#include "cli/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/agent.h"
#include "auth/monitor.h"
#include "auth/pam.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/server_confine.h"
#include "cli/server_place.h"
#include "netio/clock.h"
#include "revision.h"

#define MONTH_US (INT64_C(30) * 86400 * 1000000)

struct server {
	struct tw_server_settings settings;
	struct tw_identity identity;
	struct event_base *base;
	struct tw_accounts *accounts;
	struct tw_engine *engine;
	struct tw_certificate *certificate;
	struct tw_api *api;
	struct tw_server_journal *journal;
	struct tw_server_place place;
	struct tw_server_confinement confinement;
	struct event *order, *last_words;
	bool stopping, over;
	int exit;
};

static void stopped(void *context)
{
	struct server *server = context;

	server->over = true;
	event_base_loopbreak(server->base);
}

/* First no more orders, then what runs is paused and kept. */
static void stop(struct server *server)
{
	if (server->stopping)
		return;
	server->stopping = true;
	tw_accounts_monitor_stopping(server->accounts);
	tw_server_log(TW_LOG_INFO, server->settings.log_level,
		      "stopping: what runs is paused and goes on at the next start");
	if (server->api)
		tw_api_free(server->api);
	server->api = NULL;
	unlink(server->settings.reached_socket);
	tw_engine_stop(server->engine, stopped, server);
}

/* The monitor passes on what it is told; a second time it does not ask. */
static void on_order(evutil_socket_t number, short what, void *context)
{
	(void)number;
	(void)what;
	stop(context);
}

static void on_last_words(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	stop(context);
}

/* By terminate(): after its answer has left. */
static void on_terminate(void *context)
{
	const struct timeval moment = { 0, 50000 };
	struct server *server = context;

	event_add(server->last_words, &moment);
}

static bool watch_orders(struct server *server)
{
	sigset_t order;

	server->order = evsignal_new(server->base, TW_MONITOR_STOP, on_order, server);
	server->last_words = event_new(server->base, -1, 0, on_last_words, server);
	if (!server->order || !server->last_words || event_add(server->order, NULL))
		return false;
	/* One that has come already was waiting for this. */
	sigemptyset(&order);
	sigaddset(&order, TW_MONITOR_STOP);
	return sigprocmask(SIG_UNBLOCK, &order, NULL) == 0;
}

/* Many destinations, clients and files at a time need descriptors. */
static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int start_engine(struct server *server)
{
	struct tw_engine_options *options = &server->settings.engine;
	char message[512] = "";
	int r;

	options->base = server->base;
	options->identity = &server->identity;
	options->accounts = server->accounts;
	options->version = TW_PROGRAM_VERSION;
	options->revision = TW_PROGRAM_REVISION[0] ? TW_PROGRAM_REVISION : NULL;
	r = tw_engine_new(options, &server->engine, message);
	if (!r)
		return TW_EXIT_DONE;
	tw_say("%s", message[0] ? message : tw_strerror(r));
	return TW_EXIT_FAILED;
}

static int start_api(struct server *server)
{
	const struct tw_server_settings *settings = &server->settings;
	const struct tw_api_options options = {
		.base = server->base,
		.engine = server->engine,
		.accounts = server->accounts,
		.host = settings->api_host,
		.port = settings->api_port,
		.allow_remote = settings->engine.allow_remote_control,
		.certificate = server->certificate,
		.socket_path = settings->reached_socket,
		.auth_required = settings->engine.auth_required,
		.api_tokens = settings->engine.api_tokens,
		.shared_tokens = settings->engine.shared_tokens,
		.terminate = on_terminate,
		.context = server,
	};
	char message[TW_API_MESSAGE] = "";
	int r = tw_api_new(&options, &server->api, message);

	if (r) {
		tw_say("%s", message[0] ? message : tw_strerror(r));
		return TW_EXIT_NETWORK;
	}
	tw_engine_launched(server->engine, tw_api_port(server->api));
	return TW_EXIT_DONE;
}

static void say_ports(const struct tw_list *ports, char *ret, size_t room)
{
	size_t at = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < ports->count && at < room; i++)
		at += (size_t)snprintf(ret + at, room - at, "%s%llu", i ? ", " : "",
				       (unsigned long long)((const uint64_t *)ports->items)[i]);
}

static void say_account(const struct server *server)
{
	const struct tw_server_place *place = &server->place;
	int level = server->settings.log_level;

	if (place->spare)
		tw_server_log(TW_LOG_INFO, level,
			      "runs as the user id %u, as there is no account %s: make it with "
			      "useradd --system --user-group --no-create-home --shell "
			      "/usr/sbin/nologin %s, and start again",
			      (unsigned)place->uid, TW_SERVER_ACCOUNT, TW_SERVER_ACCOUNT);
	else if (place->other)
		tw_server_log(TW_LOG_INFO, level, "runs as %s", place->name);
	else if (place->uid == 0)
		tw_server_log(TW_LOG_WARNING, level,
			      "runs as root, %s: whoever finds a fault in it has root's files",
			      place->alone ? "as there is no other user id here"
					   : "as it was told");
}

static void say_workers(const struct server *server)
{
	int level = server->settings.log_level;
	bool steered;
	unsigned count = tw_engine_workers(server->engine, &steered);

	if (count > 1)
		tw_server_log(TW_LOG_INFO, level, "%u workers receive on each port", count);
	if (!steered)
		tw_server_log(TW_LOG_WARNING, level,
			      "this kernel does not steer connections to their workers "
			      "(SO_ATTACH_REUSEPORT_CBPF): they hand them on to each other, which "
			      "costs more than --workers 1");
}

static void announce(const struct server *server)
{
	const struct tw_server_settings *settings = &server->settings;
	const struct tw_caller all = { .user = "", .authenticated = true, .superuser = true };
	bool six = strchr(settings->api_host, ':') != NULL;
	bool remote = settings->engine.allow_remote_control;
	struct tw_server_view view = { 0 };
	char ports[160];

	tw_engine_server(server->engine, &all, &view);
	say_ports(&view.receiver.ports, ports, sizeof ports);
	tw_server_log(TW_LOG_INFO, settings->log_level, "server %s, version %s, public key %s",
		      view.server_name, TW_PROGRAM_VERSION, view.public_key);
	tw_server_log(TW_LOG_INFO, settings->log_level, "receives on UDP port %s into %s", ports,
		      settings->receive_dir);
	say_workers(server);
	tw_server_log(TW_LOG_INFO, settings->log_level,
		      "controlled by %s://%s%s%s:%u/ and %s; state in %s",
		      remote ? "https" : "http", six ? "[" : "", settings->api_host, six ? "]" : "",
		      tw_api_port(server->api), settings->socket_path, settings->state_dir);
	say_account(server);
	tw_server_log(TW_LOG_INFO, settings->log_level, "%s: known to clients by the key %s",
		      remote ? "open to other machines" : "TLS",
		      tw_certificate_pin(server->certificate));
	if (tw_certificate_end_us(server->certificate) < (int64_t)tw_clock_wall_us() + MONTH_US)
		tw_server_log(TW_LOG_WARNING, settings->log_level,
			      "the certificate of the API ends in less than a month, or has "
			      "ended: put a new one in its place and start again");
}

static int serve(struct server *server)
{
	int r = TW_EXIT_FAILED;

	server->base = event_base_new();
	if (!server->base || !watch_orders(server)) {
		tw_say("cannot begin: out of memory");
		return r;
	}
	r = start_engine(server);
	if (r)
		return r;
	server->journal =
		tw_server_journal_new(server->base, server->engine, server->settings.log_level);
	r = server->journal ? start_api(server) : TW_EXIT_FAILED;
	if (!r)
		r = tw_server_confine_calls(&server->settings, &server->confinement);
	if (!r) {
		announce(server);
		tw_accounts_monitor_ready(server->accounts, tw_api_unix_socket(server->api));
	} else {
		server->stopping = true;
		tw_engine_stop(server->engine, stopped, server);
	}
	if (!server->over)
		event_base_dispatch(server->base);
	return r;
}

static void clean_up(struct server *server)
{
	if (server->api)
		tw_api_free(server->api);
	if (server->journal)
		tw_server_journal_free(server->journal);
	if (server->engine)
		tw_engine_free(server->engine);
	else
		json_decref(server->settings.engine.configuration);
	if (server->order)
		event_free(server->order);
	if (server->last_words)
		event_free(server->last_words);
	if (server->base)
		event_base_free(server->base);
	tw_accounts_monitor_free(server->accounts);
	tw_certificate_free(server->certificate);
	tw_identity_wipe(&server->identity);
}

/* The engine's process: first it becomes nobody in particular, then it listens to the world. */
static int run_engine(void *context, int socket)
{
	struct server *server = context;
	int r = tw_server_become_engine(&server->place, &server->settings);

	if (!r)
		r = tw_server_confine_rights(&server->settings, &server->place,
					     &server->confinement);
	if (!r && tw_accounts_monitor_new(socket, &server->accounts)) {
		tw_say("cannot begin: out of memory");
		r = TW_EXIT_FAILED;
	}
	if (!r)
		r = serve(server);
	clean_up(server);
	free(server);
	return r;
}

/* The monitor's part. */

/* What only the engine needs does not stay with the rights. */
static void on_forked(void *context)
{
	struct server *server = context;

	tw_identity_wipe(&server->identity);
	tw_certificate_free(server->certificate);
	server->certificate = NULL;
}

static void on_state(void *context, enum tw_monitor_state state)
{
	(void)context;
	tw_server_notify(state == TW_MONITOR_READY ? "READY=1" : "STOPPING=1");
}

static void on_tell(void *context, const char *sentence)
{
	const struct server *server = context;

	tw_server_log(TW_LOG_WARNING, server->settings.log_level, "%s", sentence);
}

static int exit_code(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	if (WTERMSIG(status) == SIGSYS)
		tw_say("the engine made a system call that is not on its list, and the kernel "
		       "ended it: a fault of this program, or the doing of somebody who got in. "
		       "The kernel's log names the call (journalctl -k, type=1326)");
	/* A second order to stop ends it so. */
	else if (WTERMSIG(status) != SIGKILL)
		tw_say("the engine was ended by signal %d", WTERMSIG(status));
	return TW_EXIT_FAILED;
}

static int monitor(struct server *server)
{
	const struct tw_server_settings *settings = &server->settings;
	struct tw_monitor_options options = {
		.rules = &settings->superusers,
		.state_folder = server->place.state,
		.engine_uid = server->place.uid,
		.engine_gid = server->place.gid,
		.engine_name = server->place.name,
		.pam_service = TW_PAM_SERVICE,
		.no_root_files = settings->no_root_files,
		.trigger_folder = settings->engine.trigger_dir,
		.confine = settings->confine,
		.engine = run_engine,
		.keep = { server->place.state, server->place.receive, server->place.log },
		.keep_count = 3,
		.agent_run = tw_agent_run,
		.forked = on_forked,
		.state = on_state,
		.tell = on_tell,
		.context = server,
	};
	int status = 0, r = tw_monitor_run(&options, &status);

	if (r) {
		tw_say("cannot begin: %s", tw_strerror(r));
		return TW_EXIT_FAILED;
	}
	return exit_code(status);
}

static int run_with(const struct tw_arguments *arguments)
{
	struct server *server = calloc(1, sizeof *server);
	int r;

	if (!server) {
		tw_say("out of memory");
		return TW_EXIT_FAILED;
	}
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	r = tw_server_read(arguments, &server->settings);
	if (!r)
		r = tw_server_choose_account(arguments, &server->place);
	if (!r)
		r = tw_server_make_folders(&server->settings, &server->place);
	if (!r)
		r = tw_load_identity(tw_argument(arguments, "identity"), &server->identity);
	if (!r)
		r = tw_server_certificate(&server->settings, &server->certificate);
	if (!r)
		r = tw_server_give_state(&server->settings, &server->place);
	if (!r)
		r = monitor(server);
	clean_up(server);
	free(server);
	return r;
}

static int run(const struct tw_arguments *arguments)
{
	const char *path = tw_argument(arguments, "config"), *named = getenv("TRADEWIND_CONFIG");
	struct tw_arguments all = *arguments;
	struct tw_config config = { 0 };
	char complaint[TW_COMPLAINT] = "";
	int r;

	/* The one of the environment may be missing: it is what packages name. */
	if (!path && named && access(named, F_OK) == 0)
		path = named;
	if (path && path[0]) {
		r = tw_config_load(arguments->command, path, &config, complaint);
		if (r) {
			tw_say("%s", complaint[0] ? complaint : tw_strerror(r));
			return TW_EXIT_USAGE;
		}
	}
	/* A copy of the list: it may move, and the caller frees its own. */
	all.given = calloc(arguments->given_count + 1, sizeof *all.given);
	r = all.given ? 0 : TW_EXIT_FAILED;
	if (!r) {
		for (size_t i = 0; i < arguments->given_count; i++)
			all.given[i] = arguments->given[i];
		r = tw_config_apply(&config, &all) ? TW_EXIT_FAILED : 0;
	}
	if (!r)
		r = run_with(&all);
	else
		tw_say("out of memory");
	free(all.given);
	tw_config_free(&config);
	return r;
}

static const struct tw_example examples[] = {
	{ "tradewind server", "sends and receives until it is stopped; control it from here" },
	{ "tradewind server --recv-dir /srv/in --superuser alice", "alice may set its limits" },
	{ "tradewind server --config /etc/tradewind/server.conf", "options from a file" },
};

const struct tw_command tw_command_server = {
	.name = "server",
	.words = "",
	.summary = "send and receive as a service, controlled through its API",
	.description =
		"Runs in the foreground. Says on standard error who it is, where it receives and\n"
		"how it is controlled: JSON-RPC on a loopback TCP port and on a Unix socket in its\n"
		"state folder, where callers are known by their account (`tradewind api`,\n"
		"`tradewind status`, `tradewind top`). With --api-allow-remote-control it listens at\n"
		"all addresses, or at --api-host: other machines must speak TLS, and know it by the\n"
		"key that it says at its start.\n\n"
		"State: /var/lib/tradewind/state as root, else $XDG_STATE_HOME/tradewind or\n"
		"~/.local/state/tradewind. What arrives: --sandbox-dir if given, else\n"
		"/var/lib/tradewind/incoming as root, else $XDG_DATA_HOME/tradewind/incoming or\n"
		"~/.local/share/tradewind/incoming. Every job survives a stop, a kill and a crash.\n\n"
		"Started by root, all that listens to the network runs as the account tradewind\n"
		"(--engine-user), and files are read as whoever asked for it.\n\n"
		"A file for --config has the same names without dashes, one a line; what is on the\n"
		"command line counts instead. SIGTERM and SIGINT stop it in order.",
	.examples = examples,
	.example_count = sizeof examples / sizeof *examples,
	.options = tw_server_options,
	.option_count = TW_SERVER_OPTIONS,
	.run = run,
};
