/* server_settings.c - the options of `tradewind server`. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/exit.h"
#include "cli/server.h"
#include "cli/team.h"
#include "netio/udp.h"

const struct tw_option tw_server_options[TW_SERVER_OPTIONS] = {
	{ "api-host", "HOST", "address of the control interface; default: see below", false },
	{ "api-port", "N", "its TCP port; default 8886, 0: any free one", false },
	{ "api-allow-remote-control", NULL, "let other machines reach it, by TLS", false },
	{ "api-certificate", "FILE", "its certificate, PEM; default: made at the first start",
	  false },
	{ "api-key", "FILE", "the certificate's private key, PEM, without a password", false },
	{ "api-disable-api-tokens", NULL, "take no API tokens", false },
	{ "api-disable-shared-tokens", NULL, "take no shared tokens", false },
	{ "recv-port", "N", "UDP port to receive on; default 8886, 0: any free one", true },
	{ "recv-dir", "DIR", "where what arrives goes; default: see below", false },
	{ "recv-relay-host", "HOST#KEY",
	  "be reached through this relay, whose line `tradewind relay` prints", false },
	{ "recv-relay-port", "N", "its control port; default 8887", false },
	{ "external-address", "HOST", "address by which others reach this server", false },
	{ "persistent-state-dir", "DIR", "where jobs are remembered; default: see below", false },
	{ "persistent-destinations", NULL, "remember destinations (as is done anyway)", false },
	{ "persistent-transfers", NULL, "remember transfers (as is done anyway)", false },
	{ "no-persistent-destinations", NULL, "forget destinations when it stops", false },
	{ "no-persistent-transfers", NULL, "forget transfers when it stops", false },
	{ "trigger-dir", "DIR", "programs to run at events, named after them", false },
	{ "trigger-log", "FILE", "where their output goes", false },
	{ "superuser", "USER", "an account that may become a superuser", true },
	{ "supergroup", "GROUP", "a group whose accounts may", true },
	{ "engine-user", "USER", "whom all but the monitor runs as, if root starts it", false },
	{ "no-root-files", NULL, "serve everybody's files but root's", false },
	{ "confine", "auto|require|off",
	  "take from the processes all that their work does not need; default auto", false },
	{ "sandbox-dir", "DIR", "confine file operations to this folder", false },
	{ "incoming-rate-limit", "RATE", "what may come in altogether: kbit/s, or 500M", false },
	{ "outgoing-rate-limit", "RATE", "what may go out altogether: kbit/s, or 500M", false },
	{ "borrow-incoming-rate", NULL, "outgoing may use what incoming leaves", false },
	{ "borrow-outgoing-rate", NULL, "incoming may use what outgoing leaves", false },
	{ "encryption", "on|off", "encrypt; default on", false },
	{ "min-cipher", "N",
	  "least protection demanded: 0 none, 1 auth, 2 128 (the default), 3 256", false },
	{ "server-name", "NAME", "name for people; default: the machine's", false },
	{ "identity", "FILE", "where this machine's identity is kept", false },
	{ "workers", "N", "threads for data; 0, default: half the processors, 1 to 8", false },
	{ "lanes", "N|auto",
	  "further connections, by other workers at both ends, for what goes to one destination; "
	  "default auto: as many as help",
	  false },
	{ "active-transfers", "N", "running at a time to one destination; default 1", false },
	{ "log-level", "LEVEL", "error, warning, info (the default) or debug", false },
	{ "config", "FILE", "more options, one a line; default $TRADEWIND_CONFIG", false },
};

static const char *const levels[] = { "error", "warning", "info", "debug" };

static int usage(const char *name, const char *wants)
{
	tw_say("--%s takes %s", name, wants);
	return TW_EXIT_USAGE;
}

static int read_number(const struct tw_arguments *arguments, const char *name, uint64_t min,
		       uint64_t max, uint64_t *ret)
{
	const char *text = tw_argument(arguments, name);
	char wants[80];

	if (!text || tw_text_parse_u64(text, min, max, ret) == 0)
		return 0;
	snprintf(wants, sizeof wants, "a number from %llu to %llu", (unsigned long long)min,
		 (unsigned long long)max);
	return usage(name, wants);
}

/* kbit/s, or a rate with its unit. */
static int read_rate(const struct tw_arguments *arguments, const char *name, uint64_t *ret)
{
	const char *text = tw_argument(arguments, name);
	uint64_t bps;

	*ret = UINT64_MAX;
	if (!text || tw_text_parse_u64(text, 1, 1000000000, ret) == 0)
		return 0;
	if (strspn(text, "0123456789.") == strlen(text) || tw_text_parse_rate(text, &bps) ||
	    bps < 1000)
		return usage(name, "a rate: 100000 is in kbit/s, 100M and 1.5G say it themselves");
	*ret = bps / 1000;
	return 0;
}

static int read_ports(const struct tw_arguments *arguments, struct tw_engine_options *options)
{
	const char *texts[TW_RECEIVE_PORTS_MAX + 1];
	size_t count = tw_argument_all(arguments, "recv-port", texts, TW_RECEIVE_PORTS_MAX + 1);

	if (count > TW_RECEIVE_PORTS_MAX)
		return usage("recv-port", "at most 16 ports");
	for (size_t i = 0; i < count; i++) {
		uint64_t port;

		if (tw_text_parse_u64(texts[i], 0, 65535, &port))
			return usage("recv-port", "a number from 0 to 65535");
		options->receive_ports[i] = (uint16_t)port;
	}
	if (count == 0)
		options->receive_ports[count++] = TW_RECEIVE_PORT_DEFAULT;
	options->receive_port_count = count;
	options->receive = true;
	return 0;
}

static const char *home_folder(const char *variable)
{
	const char *folder = getenv(variable);

	return folder && folder[0] == '/' ? folder : NULL;
}

/* @option, or what systemd gives the service, or the system's place for root, or @below @variable,
 * or @otherwise below the home. */
static int find_folder(const char *option, const char *system, const char *variable,
		       const char *below, char ret[PATH_MAX])
{
	const char *folder = home_folder(variable), *home = home_folder("HOME");
	const char *service = home_folder("STATE_DIRECTORY");
	const char *otherwise =
		strcmp(variable, "XDG_STATE_HOME") == 0 ? ".local/state" : ".local/share";
	int length = 0;

	if (option)
		length = snprintf(ret, PATH_MAX, "%s", option);
	else if (service)
		length = snprintf(ret, PATH_MAX, "%s%s", service, strrchr(system, '/'));
	else if (geteuid() == 0)
		length = snprintf(ret, PATH_MAX, "%s", system);
	else if (folder)
		length = snprintf(ret, PATH_MAX, "%s/%s", folder, below);
	else if (home)
		length = snprintf(ret, PATH_MAX, "%s/%s/%s", home, otherwise, below);
	if (length == 0)
		tw_say("there is no home folder to put things into: give --persistent-state-dir "
		       "and --recv-dir");
	else if (length + 16 >= PATH_MAX)
		tw_say("a folder's path is too long");
	return length == 0 || length + 16 >= PATH_MAX ? TW_EXIT_USAGE : 0;
}

/* Programs run in the folder /: a path that is not absolute would lead nowhere there. NULL: none.
 */
static const char *find_triggers(const struct tw_arguments *arguments,
				 struct tw_server_settings *settings)
{
	const char *folder = tw_argument(arguments, "trigger-dir");
	char here[PATH_MAX];

	if (!folder || folder[0] == '/')
		return folder;
	if (!getcwd(here, sizeof here) ||
	    snprintf(settings->trigger_dir, sizeof settings->trigger_dir, "%s/%s", here, folder) >=
		    PATH_MAX)
		return folder;
	return settings->trigger_dir;
}

static int read_folders(const struct tw_arguments *arguments, struct tw_server_settings *settings)
{
	const char *receive = tw_argument(arguments, "recv-dir");
	struct tw_engine_options *options = &settings->engine;
	int r = find_folder(tw_argument(arguments, "persistent-state-dir"),
			    TW_SERVER_STATE_ROOT "/state", "XDG_STATE_HOME", "tradewind",
			    settings->state_dir);

	if (r)
		return r;
	options->sandbox_dir = tw_argument(arguments, "sandbox-dir");
	/* Where it is one folder for all. */
	if (!receive && options->sandbox_dir && !strchr(options->sandbox_dir, '{'))
		receive = options->sandbox_dir;
	r = find_folder(receive, TW_SERVER_STATE_ROOT "/incoming", "XDG_DATA_HOME",
			"tradewind/incoming", settings->receive_dir);
	if (r)
		return r;
	snprintf(settings->socket_path, sizeof settings->socket_path, "%.*s/api.sock",
		 PATH_MAX - 16, settings->state_dir);
	options->state_dir = settings->state_dir;
	options->receive_dir = settings->receive_dir;
	options->trigger_dir = find_triggers(arguments, settings);
	options->trigger_log = tw_argument(arguments, "trigger-log");
	return 0;
}

static int read_level(const struct tw_arguments *arguments, int *ret)
{
	const char *text = tw_argument(arguments, "log-level");

	*ret = TW_LOG_INFO;
	for (int i = 0; text && i <= TW_LOG_DEBUG; i++)
		if (strcmp(text, levels[i]) == 0) {
			*ret = i;
			return 0;
		}
	return text ? usage("log-level", "error, warning, info or debug") : 0;
}

static int read_security(const struct tw_arguments *arguments, struct tw_server_settings *settings)
{
	const char *encryption = tw_argument(arguments, "encryption");
	uint64_t cipher = 2;
	int r = read_number(arguments, "min-cipher", 0, 3, &cipher);

	if (r)
		return r;
	if (encryption && strcmp(encryption, "on") != 0 && strcmp(encryption, "off") != 0)
		return usage("encryption", "on or off");
	settings->engine.encryption = !encryption || strcmp(encryption, "on") == 0;
	/* Without encryption nobody could come in above "authenticated". */
	if (!settings->engine.encryption && !tw_argument(arguments, "min-cipher"))
		cipher = 1;
	settings->engine.min_cipher = (int)cipher;
	settings->superusers.user_count =
		tw_argument_all(arguments, "superuser", settings->users, TW_SERVER_SUPERS_MAX);
	settings->superusers.group_count =
		tw_argument_all(arguments, "supergroup", settings->groups, TW_SERVER_SUPERS_MAX);
	settings->superusers.users = settings->users;
	settings->no_root_files = tw_argument(arguments, "no-root-files") != NULL;
	settings->superusers.groups = settings->groups;
	return 0;
}

static int read_api(const struct tw_arguments *arguments, struct tw_server_settings *settings)
{
	struct tw_engine_options *options = &settings->engine;
	uint64_t port = TW_API_PORT_DEFAULT;
	int r = read_number(arguments, "api-port", 0, 65535, &port);

	if (r)
		return r;
	settings->api_port = options->api_port = (uint16_t)port;
	settings->api_host = tw_argument(arguments, "api-host");
	options->allow_remote_control = tw_argument(arguments, "api-allow-remote-control") != NULL;
	if (!settings->api_host)
		settings->api_host = options->allow_remote_control ? "*" : "127.0.0.1";
	settings->api_certificate = tw_argument(arguments, "api-certificate");
	settings->api_key = tw_argument(arguments, "api-key");
	if (!settings->api_certificate != !settings->api_key) {
		tw_say("--api-certificate and --api-key go together: a file each");
		return TW_EXIT_USAGE;
	}
	options->api_tokens = !tw_argument(arguments, "api-disable-api-tokens");
	options->shared_tokens = !tw_argument(arguments, "api-disable-shared-tokens");
	options->auth_required = true;
	return 0;
}

static int read_confine(const struct tw_arguments *arguments, struct tw_server_settings *settings)
{
	const char *text = tw_argument(arguments, "confine");

	if (text && !tw_confine_mode_parse(text, &settings->confine))
		return usage("confine", "auto, require or off");
	return 0;
}

static int read_numbers(const struct tw_arguments *arguments, struct tw_engine_options *options)
{
	const char *lanes = tw_argument(arguments, "lanes");
	uint64_t workers = 0, active = 0, relay_port = 8887;
	int r = read_rate(arguments, "incoming-rate-limit", &options->incoming_rate_limit);

	if (!r)
		r = read_rate(arguments, "outgoing-rate-limit", &options->outgoing_rate_limit);
	if (!r)
		r = read_number(arguments, "workers", 0, 64, &workers);
	if (!r)
		r = read_number(arguments, "active-transfers", 1, 1000, &active);
	if (!r)
		r = read_number(arguments, "recv-relay-port", 1, 65535, &relay_port);
	options->workers = (unsigned)workers;
	options->lanes = TW_WORKER_LANES_AUTO;
	if (!r && lanes && !tw_team_parse_lanes(lanes, &options->lanes))
		r = usage("lanes", "auto or a number from 0 to 7");
	options->active_per_destination = (unsigned)active;
	options->relay_port = (uint16_t)relay_port;
	return r;
}

/* As given, or null; a switch as a boolean, a list for what repeats. */
static json_t *given(const struct tw_arguments *arguments, const struct tw_option *option)
{
	const char *values[TW_SERVER_SUPERS_MAX], *value;
	json_t *list;
	size_t count;

	if (option->repeats) {
		list = json_array();
		count = tw_argument_all(arguments, option->name, values, TW_SERVER_SUPERS_MAX);
		for (size_t i = 0; i < count; i++)
			json_array_append_new(list, json_string(values[i]));
		return list;
	}
	value = tw_argument(arguments, option->name);
	if (!option->argument)
		return json_boolean(value != NULL);
	return value ? json_string(value) : json_null();
}

/* What is in effect, defaults included, by the options' names. */
static json_t *configuration(const struct tw_arguments *arguments,
			     const struct tw_server_settings *settings)
{
	const struct tw_engine_options *options = &settings->engine;
	json_t *ports = json_array(), *all;

	for (size_t i = 0; i < options->receive_port_count; i++)
		json_array_append_new(ports, json_integer(options->receive_ports[i]));
	all = json_pack("{s:s, s:i, s:s, s:s, s:b, s:b, s:i, s:s, s:s, s:i, s:o}", "api-host",
			settings->api_host, "api-port", settings->api_port, "persistent-state-dir",
			settings->state_dir, "recv-dir", settings->receive_dir,
			"persistent-destinations", options->persistent_destinations,
			"persistent-transfers", options->persistent_transfers, "min-cipher",
			options->min_cipher, "encryption", options->encryption ? "on" : "off",
			"log-level", levels[settings->log_level], "active-transfers",
			options->active_per_destination ? (int)options->active_per_destination : 1,
			"recv-port", ports);
	json_object_set_new(all, "confine", json_string(tw_confine_mode_name(settings->confine)));
	for (size_t i = 0; i < TW_SERVER_OPTIONS; i++) {
		const struct tw_option *option = &tw_server_options[i];

		if (!json_object_get(all, option->name) && strcmp(option->name, "config") != 0)
			json_object_set_new(all, option->name, given(arguments, option));
	}
	return all;
}

/* HOST#KEY, HOST:PORT#KEY; --recv-relay-port counts where both are given. */
static int read_relay(const struct tw_arguments *arguments, struct tw_server_settings *settings)
{
	const char *text = tw_argument(arguments, "recv-relay-host");
	char complaint[TW_COMPLAINT];

	if (!text)
		return 0;
	if (tw_relay_name_parse(text, &settings->relay, complaint, sizeof complaint)) {
		tw_say("--recv-relay-host: %s", complaint);
		return TW_EXIT_USAGE;
	}
	settings->engine.relay_host = settings->relay.host;
	settings->engine.relay_key = settings->relay.key;
	if (!tw_argument(arguments, "recv-relay-port"))
		settings->engine.relay_port = settings->relay.port;
	return 0;
}

int tw_server_certificate(struct tw_server_settings *settings, struct tw_certificate **ret)
{
	const struct tw_certificate_options options = {
		.folder = settings->state_dir,
		.certificate = settings->api_certificate,
		.key = settings->api_key,
		.external_address = settings->engine.external_address,
	};
	char message[TW_CERTIFICATE_MESSAGE] = "";

	mkdir(settings->state_dir, 0700);
	if (tw_certificate_open(&options, ret, message)) {
		tw_say("%s", message);
		return TW_EXIT_FAILED;
	}
	settings->engine.certificate_pin = tw_certificate_pin(*ret);
	settings->engine.certificate_end_us = tw_certificate_end_us(*ret);
	return TW_EXIT_DONE;
}

int tw_server_read(const struct tw_arguments *arguments, struct tw_server_settings *ret)
{
	struct tw_engine_options *options = &ret->engine;
	int r;

	memset(ret, 0, sizeof *ret);
	options->server_name = tw_argument(arguments, "server-name");
	options->external_address = tw_argument(arguments, "external-address");
	options->persistent_destinations = !tw_argument(arguments, "no-persistent-destinations");
	options->persistent_transfers = !tw_argument(arguments, "no-persistent-transfers");
	options->borrow_incoming_rate = tw_argument(arguments, "borrow-incoming-rate") != NULL;
	options->borrow_outgoing_rate = tw_argument(arguments, "borrow-outgoing-rate") != NULL;
	r = read_level(arguments, &ret->log_level);
	if (!r)
		r = read_api(arguments, ret);
	if (!r)
		r = read_ports(arguments, options);
	if (!r)
		r = read_security(arguments, ret);
	if (!r)
		r = read_confine(arguments, ret);
	if (!r)
		r = read_numbers(arguments, options);
	if (!r)
		r = read_relay(arguments, ret);
	if (!r)
		r = read_folders(arguments, ret);
	if (!r)
		options->configuration = configuration(arguments, ret);
	return r;
}
