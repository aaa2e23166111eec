/* relay.c - `tradewind relay`. */
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/confine.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/json.h"
#include "cli/relay_name.h"
#include "cli/watch.h"
#include "netio/clock.h"
#include "netio/relay_host.h"
#include "netio/sockaddr.h"

#define KEYS_MAX 4096
#define LINE_MAX_LENGTH 512

struct networks {
	struct network {
		struct tw_address base;
		unsigned bits;
	} at[64];
	size_t count;
};

struct relay {
	const struct tw_arguments *arguments;
	struct tw_identity identity;
	struct tw_relay_host_options options;
	uint16_t control_port;
	bool json;
	/* who may use it: from the command line, and from the file, read anew when it changes */
	struct tw_public_key keys[KEYS_MAX], file_keys[KEYS_MAX];
	size_t key_count, file_key_count;
	const char *file;
	struct timespec file_time;
	struct networks to;
	enum tw_confine_mode confine;
};

static int usage(const char *text)
{
	tw_say("%s", text);
	return TW_EXIT_USAGE;
}

/* A line: a key, then anything; # begins a comment. Returns 0, or the number of the bad line. */
static unsigned read_keys(FILE *file, struct tw_public_key *keys, size_t *ret_count)
{
	char line[LINE_MAX_LENGTH];
	unsigned number = 0;
	size_t count = 0;

	while (fgets(line, sizeof line, file)) {
		number++;
		line[strcspn(line, "#\r\n")] = '\0';
		char *word = line + strspn(line, " \t");

		word[strcspn(word, " \t")] = '\0';
		if (!*word)
			continue;
		if (count == KEYS_MAX || tw_public_key_parse(word, &keys[count]))
			return number;
		count++;
	}
	*ret_count = count;
	return 0;
}

/* A list that cannot be read, or has a bad line, leaves what was read before in force. */
static int load_file(struct relay *relay)
{
	static struct tw_public_key keys[KEYS_MAX];
	struct stat now;
	size_t count = 0;
	unsigned bad;
	FILE *file;

	if (stat(relay->file, &now) == 0 && now.st_mtim.tv_sec == relay->file_time.tv_sec &&
	    now.st_mtim.tv_nsec == relay->file_time.tv_nsec)
		return TW_EXIT_DONE;
	file = fopen(relay->file, "re");
	if (!file) {
		tw_say("cannot read the list of keys %s: %s", relay->file, strerror(errno));
		return TW_EXIT_STORAGE;
	}
	bad = read_keys(file, keys, &count);
	fclose(file);
	relay->file_time = now.st_mtim;
	if (bad) {
		tw_say("line %u of %s is no public key; `tradewind keygen` prints one", bad,
		       relay->file);
		return TW_EXIT_USAGE;
	}
	memcpy(relay->file_keys, keys, count * sizeof *keys);
	relay->file_key_count = count;
	return TW_EXIT_DONE;
}

static bool has_key(const struct tw_public_key *keys, size_t count, const struct tw_public_key *key)
{
	for (size_t i = 0; i < count; i++)
		if (tw_equal_secret(keys[i].bytes, key->bytes, TW_KEY_SIZE))
			return true;
	return false;
}

static bool allowed(void *context, const struct tw_public_key *key)
{
	struct relay *relay = context;

	if (relay->file)
		(void)load_file(relay);
	return has_key(relay->keys, relay->key_count, key) ||
	       has_key(relay->file_keys, relay->file_key_count, key);
}

static bool in_network(const struct network *network, const struct tw_address *address)
{
	unsigned whole = network->bits / 8, rest = network->bits % 8;
	uint8_t mask = (uint8_t)(0xff00 >> rest);

	return address->family == network->base.family &&
	       memcmp(address->ip, network->base.ip, whole) == 0 &&
	       (!rest || ((address->ip[whole] ^ network->base.ip[whole]) & mask) == 0);
}

static bool target(void *context, const struct tw_address *to)
{
	const struct relay *relay = context;

	if (!relay->to.count)
		return tw_relay_target_public(to);
	for (size_t i = 0; i < relay->to.count; i++)
		if (in_network(&relay->to.at[i], to))
			return to->port != 0;
	return false;
}

static bool parse_network(const char *text, struct network *ret)
{
	const char *slash = strchr(text, '/');
	char ip[TW_ADDRESS_TEXT];
	uint64_t bits;

	snprintf(ip, sizeof ip, "%.*s", (int)(slash ? slash - text : (ptrdiff_t)strlen(text)),
		 text);
	if (!tw_address_parse_ip(ip, &ret->base))
		return false;
	bits = ret->base.family == TW_FAMILY_IPV4 ? 32 : 128;
	if (slash && tw_text_parse_u64(slash + 1, 0, bits, &bits))
		return false;
	ret->bits = (unsigned)bits;
	return true;
}

static int parse_keys(struct relay *relay)
{
	const char *keys[KEYS_MAX], *to[64];
	size_t count = tw_argument_all(relay->arguments, "allow", keys, KEYS_MAX);

	for (size_t i = 0; i < count; i++)
		if (tw_public_key_parse(keys[i], &relay->keys[i]))
			return usage("--allow takes a server's public key; on that server "
				     "`tradewind keygen` prints it");
	relay->key_count = count;
	relay->file = tw_argument(relay->arguments, "allow-file");
	if (!count && !relay->file)
		return usage("nobody could use this relay: name the servers that may with --allow "
			     "KEY or --allow-file FILE");
	relay->to.count = tw_argument_all(relay->arguments, "to", to, 64);
	for (size_t i = 0; i < relay->to.count; i++)
		if (!parse_network(to[i], &relay->to.at[i]))
			return usage("--to takes a network such as 10.0.0.0/8 or 2001:db8::/32");
	return relay->file ? load_file(relay) : TW_EXIT_DONE;
}

static int parse_rates(struct relay *relay)
{
	const char *rate = tw_argument(relay->arguments, "rate");
	const char *server = tw_argument(relay->arguments, "server-rate");

	if ((rate && tw_text_parse_rate(rate, &relay->options.relay.rate_bps)) ||
	    (server && tw_text_parse_rate(server, &relay->options.relay.server_rate_bps)))
		return usage("--rate and --server-rate take a rate such as 200M, 1.5G or 800k");
	return TW_EXIT_DONE;
}

static int parse_ports(struct relay *relay)
{
	struct tw_relay_config *config = &relay->options.relay;
	const char *control = tw_argument(relay->arguments, "control-port");
	const char *port = tw_argument(relay->arguments, "port");
	const char *range = tw_argument(relay->arguments, "ports");
	uint64_t number = TW_RELAY_PORT_CONTROL, public = TW_RELAY_PORT_PUBLIC;
	uint64_t first = TW_RELAY_PORT_FIRST, last = TW_RELAY_PORT_LAST;
	char low[16];

	if (control && tw_text_parse_u64(control, 1, 65535, &number))
		return usage("--control-port takes a number from 1 to 65535");
	if (port && tw_text_parse_u64(port, 1, 65535, &public))
		return usage("--port takes a number from 1 to 65535");
	if (range) {
		const char *dash = strchr(range, '-');

		snprintf(low, sizeof low, "%.*s", dash ? (int)(dash - range) : 0, range);
		if (!dash || tw_text_parse_u64(low, 1, 65535, &first) ||
		    tw_text_parse_u64(dash + 1, first, 65535, &last))
			return usage("--ports takes a range such as 8890-8989");
	}
	relay->control_port = (uint16_t)number;
	config->port_wanted = (uint16_t) public;
	config->port_first = (uint16_t)first;
	config->port_last = (uint16_t)last;
	return TW_EXIT_DONE;
}

static int parse_confine(struct relay *relay)
{
	const char *text = tw_argument(relay->arguments, "confine");

	if (text && !tw_confine_mode_parse(text, &relay->confine))
		return usage("--confine takes auto, require or off");
	return TW_EXIT_DONE;
}

static int parse_addresses(struct relay *relay)
{
	const char *bind = tw_argument(relay->arguments, "bind");
	const char *external = tw_argument(relay->arguments, "external-address");
	struct tw_relay_host_options *options = &relay->options;

	if (external && !tw_address_parse_ip(external, &options->relay.public_address))
		return usage("--external-address takes the address that servers and senders "
			     "reach this relay by");
	options->bind_count = bind ? 1 : 2;
	options->binds[0] = tw_address_any(TW_FAMILY_IPV4, relay->control_port);
	options->binds[1] = tw_address_any(TW_FAMILY_IPV6, relay->control_port);
	if (bind && !tw_address_parse_ip(bind, &options->binds[0]))
		return usage("--bind takes an IPv4 or IPv6 address of this machine");
	options->binds[0].port = relay->control_port;
	return TW_EXIT_DONE;
}

static void on_event(void *context, enum tw_relay_host_event event,
		     const struct tw_relay_server_info *server, const struct tw_address *from)
{
	const struct relay *relay = context;
	char key[TW_KEY_TEXT], address[TW_ADDRESS_TEXT];

	(void)relay;
	tw_address_format(from, address);
	if (event == TW_RELAY_HOST_REFUSED) {
		tw_say("refused %s: no key that may use this relay", address);
		return;
	}
	tw_public_key_format(&server->key, key);
	if (event == TW_RELAY_HOST_JOINED)
		tw_say("server %s from %s has UDP port %u%s", key, address, server->port,
		       server->accepts ? "" : ", for what it sends");
	else
		tw_say("server %s from %s is gone: %" PRIu64 " bytes in %" PRIu64
		       " datagrams so far",
		       key, address, server->counters.bytes, server->counters.datagrams);
}

static void announce(const struct relay *relay)
{
	const struct tw_relay_config *config = &relay->options.relay;
	struct tw_address addresses[1];
	char text[TW_URL_TEXT], ip[TW_ADDRESS_TEXT] = "localhost";

	if (config->public_address.family != TW_FAMILY_NONE)
		tw_address_format_ip(&config->public_address, ip);
	else if (relay->options.bind_count == 1 && !tw_address_is_any(&relay->options.binds[0]))
		tw_address_format_ip(&relay->options.binds[0], ip);
	else if (tw_local_addresses(addresses, 1))
		tw_address_format_ip(&addresses[0], ip);
	tw_relay_name_format(ip, relay->control_port, &relay->identity.public_key, text);
	if (relay->json) {
		struct tw_json json;

		tw_json_init(&json);
		tw_json_begin_object(&json, NULL);
		tw_json_string(&json, "relay", text);
		tw_json_number(&json, "controlPort", relay->control_port);
		tw_json_end_object(&json);
		if (tw_json_text(&json))
			puts(tw_json_text(&json));
		tw_json_deinit(&json);
	} else {
		puts(text);
	}
	fflush(stdout);
	fprintf(stderr,
		"relaying: TCP port %u for servers, UDP ports %u and %u to %u for their peers; "
		"the line above goes to `tradewind receive --relay` on the servers\n",
		relay->control_port, config->port_wanted, config->port_first, config->port_last);
}

/* Once all is read and open: what strangers send is parsed behind this. The list of keys may be
 * replaced by another file of its name, so its folder stays in sight. */
static int confine(const struct relay *relay)
{
	char named[PATH_MAX] = "", real[PATH_MAX] = "", text[TW_CONFINE_TEXT];
	struct tw_confine_place places[] = {
		{ named, TW_PLACE_READ },
		{ real, TW_PLACE_READ },
	};
	struct tw_confine_options options = {
		.role = TW_CONFINE_RELAY,
		.mode = relay->confine,
		.places = places,
		.place_count = relay->file ? 2 : 0,
	};
	struct tw_confine_report report;
	int r = 0;

	if (relay->file && !realpath(relay->file, real))
		r = -errno;
	snprintf(named, sizeof named, "%s", relay->file ? relay->file : "");
	places[0].path = dirname(named);
	places[1].path = dirname(real);
	if (!r)
		r = tw_confine_rights(&options, &report);
	if (!r)
		r = tw_confine_calls(&options, &report);
	if (r) {
		tw_say("cannot be confined: %s%s", tw_strerror(r),
		       r == -EOPNOTSUPP ? "; --confine auto goes on without what is missing" : "");
		return TW_EXIT_FAILED;
	}
	if (tw_confine_incomplete(&report))
		tw_say("warning: %s", tw_confine_describe(&report, text));
	return TW_EXIT_DONE;
}

static int serve(struct relay *relay)
{
	struct tw_address failed = { .family = TW_FAMILY_NONE };
	struct tw_failure failure = { .exit = TW_EXIT_DONE };
	struct tw_relay_host *host;
	struct tw_watch watch;
	int r = tw_watch_open(&watch);

	if (r) {
		tw_say("cannot begin: %s", tw_strerror(r));
		return TW_EXIT_FAILED;
	}
	r = tw_relay_host_new(&relay->options, &host, &failed);
	/* A machine without IPv6 still has IPv4. */
	if ((r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) && relay->options.bind_count == 2 &&
	    failed.family == TW_FAMILY_IPV6) {
		relay->options.bind_count = 1;
		r = tw_relay_host_new(&relay->options, &host, &failed);
	}
	if (r && failed.family != TW_FAMILY_NONE) {
		tw_failure_listen(&failure, &failed, r);
		tw_say("%s", failure.text);
		tw_watch_close(&watch);
		return failure.exit;
	}
	if (!r) {
		announce(relay);
		failure.exit = confine(relay);
		if (!failure.exit)
			r = tw_relay_host_run(host, watch.signal_fd);
		tw_relay_host_free(host);
	}
	tw_watch_close(&watch);
	if (r)
		tw_say("the relay ends: %s", tw_strerror(r));
	return r ? TW_EXIT_FAILED : failure.exit;
}

static int run(const struct tw_arguments *arguments)
{
	struct relay *relay = calloc(1, sizeof *relay);
	int r;

	if (!relay) {
		tw_say("out of memory");
		return TW_EXIT_FAILED;
	}
	relay->arguments = arguments;
	relay->json = tw_argument(arguments, "json") != NULL;
	relay->options.relay.identity = &relay->identity;
	relay->options.relay.random = tw_system_random();
	relay->options.relay.servers_max = TW_RELAY_SERVERS_MAX;
	relay->options.relay.allowed = allowed;
	relay->options.relay.target = target;
	relay->options.context = relay;
	relay->options.event = on_event;
	r = parse_ports(relay);
	if (!r)
		r = parse_rates(relay);
	if (!r)
		r = parse_addresses(relay);
	if (!r)
		r = parse_confine(relay);
	if (!r)
		r = parse_keys(relay);
	if (!r)
		r = tw_load_identity(tw_argument(arguments, "identity"), &relay->identity);
	if (!r)
		r = serve(relay);
	tw_identity_wipe(&relay->identity);
	free(relay);
	return r;
}

static const struct tw_example examples[] = {
	{ "tradewind relay --allow-file /etc/tradewind/relay-keys",
	  "serves every server whose key stands in the file, one a line" },
	{ "tradewind relay --allow KEY --external-address 203.0.113.7 --server-rate 500M",
	  "serves one server, from behind an address of its own, with at most 500 Mbit/s" },
};

static const struct tw_option options[] = {
	{ "allow", "KEY", "a server that may use this relay (tradewind keygen prints its key)",
	  true },
	{ "allow-file", "FILE", "keys, one a line; read again when the file changes", false },
	{ "control-port", "N", "TCP port for servers; default 8887", false },
	{ "port", "N", "UDP port for the first server that can be called; default 8886", false },
	{ "ports", "N-N", "UDP ports for the others; default 8890-8989", false },
	{ "bind", "ADDR", "use this address only", false },
	{ "external-address", "ADDR", "tell servers and senders this address", false },
	{ "rate", "R", "highest rate of all servers together: 200M, 1.5G", false },
	{ "server-rate", "R", "highest rate of each server", false },
	{ "to", "NETWORK",
	  "servers may send only there; default: everywhere but loopback, link-local, multicast",
	  true },
	{ "identity", "FILE", "where this machine's identity is kept", false },
	{ "confine", "auto|require|off",
	  "take from itself all that its work does not need; default auto", false },
	{ "json", NULL, "JSON on standard output: how servers name this relay", false },
};

const struct tw_command tw_command_relay = {
	.name = "relay",
	.words = "",
	.summary = "forward datagrams for servers in private networks",
	.description =
		"A server that cannot be reached from outside dials out to the control port and\n"
		"gets a public UDP port here. What comes to it is forwarded if it belongs to a\n"
		"connection of that server; everything stays encrypted from end to end.\n"
		"Prints one line, HOST:PORT#KEY, for `tradewind receive --relay` and\n"
		"`tradewind send --relay` on the servers. Nothing is kept on disk.\n\n"
		"Exit codes: 0 stopped, 1 failed, 2 usage, 5 network, 6 storage.",
	.examples = examples,
	.example_count = sizeof examples / sizeof *examples,
	.options = options,
	.option_count = sizeof options / sizeof *options,
	.run = run,
};
