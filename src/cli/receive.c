#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/resolver.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/relay_link.h"
#include "cli/report.h"
#include "cli/watch.h"
#include "netio/clock.h"
#include "netio/sockaddr.h"

#define SAY_EVERY (5 * TW_SECOND)
#define FAILURES_SHOWN 100
#define ADDRESSES_SHOWN 8
#define SEEN_LOOKS 20               /* at the relay's status, 50 ms apart */
#define ONCE_LINGER (2 * TW_SECOND) /* for the last acknowledgements, after the only transfer */

struct receive {
	const struct tw_arguments *arguments;
	struct tw_identity identity;
	char folder[PATH_MAX];
	uint16_t port;
	struct tw_address bind; /* family NONE: all addresses */
	enum tw_cipher cipher_min;
	bool once, json;
	struct tw_fs fs;

	struct tw_relay_link_cli relay;
	bool relayed;
	struct tw_address seen; /* by the relay, as offered */

	struct tw_watch watch;
	struct tw_team team;
	unsigned workers;
	uint64_t wall_us;
	tw_ns begun;
	const struct tw_worker_snapshot *snapshots[TW_CREW_MAX]; /* NULL: none yet */
	unsigned failures;             /* files that failed, of all transfers */
	tw_ns say_at, json_at, end_at; /* end_at: --once is served */
	unsigned interrupts;
	bool advised; /* on socket buffers: once */
	int exit;
};

static int usage(const char *text)
{
	tw_say("%s", text);
	return TW_EXIT_USAGE;
}

static int parse_options(struct receive *receive)
{
	const struct tw_arguments *arguments = receive->arguments;
	const char *port = tw_argument(arguments, "port"), *bind = tw_argument(arguments, "bind");
	const char *cipher = tw_argument(arguments, "min-cipher");
	uint64_t number = TW_PORT_DEFAULT, level = TW_CIPHER_128;
	char literal[TW_HOST_MAX];
	size_t length = bind ? strlen(bind) : 0;

	if (port && tw_text_parse_u64(port, 1, 65535, &number))
		return usage("--port takes a number from 1 to 65535");
	if (cipher && tw_text_parse_u64(cipher, 0, 3, &level))
		return usage("--min-cipher is 0 (none), 1 (auth), 2 (128) or 3 (256)");
	if (bind) {
		bool brackets = length > 2 && bind[0] == '[' && bind[length - 1] == ']';

		snprintf(literal, sizeof literal, "%.*s", (int)(brackets ? length - 2 : length),
			 bind + brackets);
		if (!tw_address_parse_ip(literal, &receive->bind))
			return usage("--bind takes an IPv4 or IPv6 address of this machine");
		receive->bind.port = (uint16_t)number;
	}
	receive->relayed = tw_argument(arguments, "relay") != NULL;
	if (receive->relayed &&
	    tw_relay_link_parse(&receive->relay, tw_argument(arguments, "relay")))
		return TW_EXIT_USAGE;
	if (tw_team_parse(arguments, &receive->workers, NULL))
		return TW_EXIT_USAGE;
	receive->port = (uint16_t)number;
	receive->cipher_min = (enum tw_cipher)level;
	receive->once = tw_argument(arguments, "once") != NULL;
	receive->json = tw_argument(arguments, "json") != NULL;
	return TW_EXIT_DONE;
}

/* The folder exists, or is made when the one above it does; and it can be written to. */
static int open_folder(struct receive *receive)
{
	const char *folder = receive->arguments->words[0];
	char clean[512];
	struct stat stat_now;
	int r = 0;

	tw_text_clean(folder, strlen(folder), clean, sizeof clean);
	if (strlen(folder) >= sizeof receive->folder)
		return usage("the folder's path is too long");
	snprintf(receive->folder, sizeof receive->folder, "%s", folder);
	if (mkdir(folder, 0777) && errno != EEXIST) {
		tw_say("cannot make the folder %s: %s; make the folder above it first, or name "
		       "another",
		       clean, strerror(errno));
		return TW_EXIT_STORAGE;
	}
	if (stat(folder, &stat_now))
		r = errno;
	else if (!S_ISDIR(stat_now.st_mode))
		r = ENOTDIR;
	else if (faccessat(AT_FDCWD, folder, R_OK | W_OK | X_OK, AT_EACCESS))
		r = errno;
	if (!r)
		r = -tw_fs_posix_open(folder, true, &receive->fs);
	if (r) {
		tw_say("cannot receive into %s: %s; name a folder that this user may write to",
		       clean, strerror(r));
		return TW_EXIT_STORAGE;
	}
	return TW_EXIT_DONE;
}

static void set_binds(const struct receive *receive, struct tw_worker_receiving *receiving)
{
	if (receive->bind.family != TW_FAMILY_NONE) {
		receiving->binds[0] = receive->bind;
		receiving->bind_count = 1;
		return;
	}
	receiving->binds[0] = tw_address_any(TW_FAMILY_IPV4, receive->port);
	receiving->binds[1] = tw_address_any(TW_FAMILY_IPV6, receive->port);
	receiving->bind_count = 2;
}

static int start_worker(struct receive *receive)
{
	struct tw_worker_receiving receiving = { .fs = &receive->fs,
						 .cipher_min = receive->cipher_min };
	struct tw_worker_options options = { .identity = &receive->identity,
					     .receiving = &receiving };
	struct tw_random random = tw_system_random();
	struct tw_address failed = { .family = TW_FAMILY_NONE };
	struct tw_failure failure;
	int r;

	tw_random_fill(&random, options.server_id, sizeof options.server_id);
	tw_server_uid(&receive->identity, options.server_uid);
	set_binds(receive, &receiving);
	r = tw_team_new(&receive->team, receive->workers, &options, &failed);
	/* A machine without IPv6 still has IPv4. */
	if ((r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) && receiving.bind_count == 2 &&
	    failed.family == TW_FAMILY_IPV6) {
		receiving.bind_count = 1;
		r = tw_team_new(&receive->team, receive->workers, &options, &failed);
	}
	if (r && failed.family != TW_FAMILY_NONE) {
		tw_failure_listen(&failure, &failed, r);
		tw_say("%s", failure.text);
		return failure.exit;
	}
	if (r) {
		tw_say("cannot begin: %s", tw_strerror(r));
		return TW_EXIT_FAILED;
	}
	return TW_EXIT_DONE;
}

/* Whoever can reach us without the relay shall: at our own addresses, or at the one that the relay
 * sees, if a NAT there lets our port through. */
static void offer_direct_ways(struct receive *receive)
{
	struct tw_address own[TW_OFFERS_MAX], offers[TW_OFFERS_MAX];
	unsigned count = 1;

	if (receive->bind.family != TW_FAMILY_NONE && !tw_address_is_any(&receive->bind))
		own[0] = receive->bind;
	else
		count = tw_local_addresses(own, TW_OFFERS_MAX - 1);
	for (unsigned i = 0; i < count; i++)
		own[i].port = receive->port;
	count = tw_relay_agent_offers(&receive->relay.status, own, count, offers);
	/* A full ring: with the next look it is told. */
	for (unsigned i = 0; i < receive->team.count; i++)
		if (tw_worker_set_offers(receive->team.workers[i], offers, count))
			return;
	receive->seen = receive->relay.status.client.seen_leg;
}

/* Before anybody hears of us. UDP takes a round trip to be seen; without it there is no other way
 * either. */
static void await_seen(struct receive *receive)
{
	for (unsigned i = 0; i < SEEN_LOOKS; i++) {
		if (receive->relay.status.client.seen_leg.family != TW_FAMILY_NONE)
			break;
		tw_relay_link_wait(&receive->relay, TW_SECOND / 20);
	}
	offer_direct_ways(receive);
}

/* Registers with the relay, on behalf of the sockets that are open by now. */
static int join_relay(struct receive *receive)
{
	struct tw_relay_agent_options options = { .identity = &receive->identity };
	int r;

	for (unsigned i = 0; i < TW_RELAY_AGENT_SOCKETS_MAX; i++) {
		const struct tw_udp *udp = tw_worker_socket(receive->team.workers[0], i);

		if (udp)
			options.sockets[options.socket_count++] = udp;
	}
	r = tw_relay_link_open(&receive->relay, &options, &receive->watch);
	if (!r)
		await_seen(receive);
	return r;
}

/* Standard output: one line to paste. Standard error: what else may be worth knowing. */
static void announce(struct receive *receive)
{
	struct tw_address addresses[ADDRESSES_SHOWN];
	bool one = receive->bind.family != TW_FAMILY_NONE && !tw_address_is_any(&receive->bind);
	unsigned count = one ? 1 : tw_local_addresses(addresses, ADDRESSES_SHOWN);
	const struct tw_udp *udp = tw_worker_socket(receive->team.workers[0], 0);
	char url[TW_URL_TEXT], ip[TW_ADDRESS_TEXT] = "localhost", advice[TW_UDP_ADVICE], clean[512];

	if (one)
		addresses[0] = receive->bind;
	if (count > 0)
		tw_address_format_ip(&addresses[0], ip);
	if (receive->relayed)
		tw_url_format(receive->relay.name.host, receive->relay.status.client.port,
			      &receive->identity.public_key, url);
	else
		tw_url_format(ip, receive->port, &receive->identity.public_key, url);
	tw_text_clean(receive->folder, strlen(receive->folder), clean, sizeof clean);
	if (receive->json) {
		struct tw_json json;

		tw_json_init(&json);
		tw_json_begin_object(&json, NULL);
		tw_json_string(&json, "url", url);
		tw_json_number(&json, "port", receive->port);
		tw_json_number(&json, "minCipher", receive->cipher_min);
		tw_json_end_object(&json);
		if (tw_json_text(&json))
			puts(tw_json_text(&json));
		tw_json_deinit(&json);
	} else {
		puts(url);
	}
	fflush(stdout);
	for (unsigned i = receive->relayed ? 0 : 1; i < count; i++)
		fprintf(stderr, "also: %s\n",
			tw_url_format(tw_address_format_ip(&addresses[i], ip), receive->port,
				      &receive->identity.public_key, url));
	if (receive->cipher_min == TW_CIPHER_NONE)
		fprintf(stderr,
			"takes files from anybody, even unencrypted, as --min-cipher 0 says\n");
	fprintf(stderr,
		"receiving into %s; the line above goes to `tradewind send` on the other side\n",
		clean);
	if (udp && tw_udp_advice(udp, advice)[0]) {
		tw_say("the system grants %u KiB of socket buffer only; above 1 Gbit/s give it "
		       "more with: %s",
		       udp->receive_granted / 2048, advice);
		receive->advised = true;
	}
}

static const struct tw_conn_info *find_conn(const struct receive *receive,
					    const struct tw_receiver_status *transfer)
{
	for (unsigned k = 0; k < receive->team.count; k++) {
		const struct tw_worker_snapshot *snapshot = receive->snapshots[k];

		for (size_t i = 0; snapshot && i < snapshot->conn_count; i++)
			if (tw_address_equal(&snapshot->conns[i].path.remote,
					     &transfer->path.remote))
				return &snapshot->conns[i];
	}
	return NULL;
}

static uint64_t to_wall(const struct receive *receive, tw_ns at)
{
	return at < receive->begun ? receive->wall_us - (receive->begun - at) / 1000
				   : receive->wall_us + (at - receive->begun) / 1000;
}

static void time_or_null(struct tw_json *json, const struct receive *receive, const char *name,
			 tw_ns at)
{
	if (at)
		tw_json_number(json, name, to_wall(receive, at));
	else
		tw_json_null(json, name);
}

static void transfer_fields(struct tw_json *json, const struct receive *receive,
			    const struct tw_receiver_status *transfer)
{
	const struct tw_conn_info *conn = find_conn(receive, transfer);
	bool failed = transfer->finished && transfer->error != TW_TRANSFER_OK;
	char ip[TW_ADDRESS_TEXT], id[33], digest[2 * TW_DIGEST_SIZE + 1];

	snprintf(id, sizeof id, "%032" PRIx64, transfer->id);
	tw_json_begin_object(json, "transfer");
	tw_json_string(json, "transferId", id);
	tw_json_string(json, "destinationPath", transfer->destination);
	tw_json_string(json, "status",
		       failed               ? "error"
		       : transfer->finished ? "complete"
					    : "receiving");
	if (transfer->total_known)
		tw_json_number(json, "totalSize", transfer->total_bytes);
	else
		tw_json_null(json, "totalSize");
	tw_json_number(json, "bytesReceived", transfer->bytes_received);
	tw_json_number(json, "bytesDurable", transfer->bytes_durable);
	tw_json_number(json, "filesComplete", transfer->files_done + transfer->files_skipped);
	tw_json_number(json, "filesFailed", transfer->files_failed);
	tw_json_string(json, "sourceIP", tw_address_format_ip(&transfer->path.remote, ip));
	tw_json_number(json, "sourcePort", transfer->path.remote.port);
	time_or_null(json, receive, "startTime", transfer->started_at);
	time_or_null(json, receive, "endTime", transfer->finished_at);
	time_or_null(json, receive, "snapshotTime", tw_clock_now());
	/* The connection of a finished transfer may be gone; its end was the last exchange. */
	time_or_null(json, receive, "lastRecvTime",
		     conn ? conn->last_received_at : transfer->finished_at);
	time_or_null(json, receive, "lastSendTime",
		     conn ? conn->last_sent_at : transfer->finished_at);
	time_or_null(json, receive, "lastErrorTime", failed ? transfer->finished_at : 0);
	if (failed)
		tw_json_string(json, "errorMessage", transfer->message);
	else
		tw_json_null(json, "errorMessage");
	if (transfer->finished)
		tw_json_string(json, "digest",
			       tw_text_hex(transfer->digest.bytes, TW_DIGEST_SIZE, digest));
	else
		tw_json_null(json, "digest");
	tw_json_end_object(json);
}

static void print_json(const struct receive *receive, const struct tw_receiver_status *transfer)
{
	struct tw_json json;

	tw_json_init(&json);
	tw_json_begin_object(&json, NULL);
	transfer_fields(&json, receive, transfer);
	tw_json_end_object(&json);
	if (tw_json_text(&json))
		puts(tw_json_text(&json));
	fflush(stdout);
	tw_json_deinit(&json);
}

static void say_finished(struct receive *receive, const struct tw_worker_event *event)
{
	const struct tw_receiver_status *transfer = &event->transfer;
	char size[TW_TEXT_SHORT], rate[TW_TEXT_SHORT], digest[2 * TW_DIGEST_SIZE + 1];
	struct tw_failure failure;
	tw_ns span;

	tw_failure_transfer(&failure, (enum tw_transfer_error)event->error, event->text);
	if (event->error != TW_TRANSFER_OK)
		tw_say("transfer %" PRIu64 " failed: %s", event->id, failure.text);
	receive->exit = failure.exit;
	if (receive->once && !receive->end_at)
		receive->end_at = tw_clock_now() + ONCE_LINGER;
	span = tw_ns_since(transfer->finished_at, transfer->started_at);
	if (receive->json)
		print_json(receive, transfer);
	if (event->error > TW_TRANSFER_ENTRIES)
		return;
	tw_say("transfer %" PRIu64 " finished: %" PRIu64
	       " files, %s in %.2f s, %s, digest xxh3-128:%s",
	       event->id, transfer->files_done + transfer->files_skipped,
	       tw_text_size(transfer->bytes_received, size), (double)span / (double)TW_SECOND,
	       tw_text_rate(
		       span ? (uint64_t)((double)(transfer->bytes_received - transfer->bytes_held) *
					 8e9 / (double)span)
			    : 0,
		       rate),
	       tw_text_hex(transfer->digest.bytes, TW_DIGEST_SIZE, digest));
}

static void say_started(const struct tw_worker_event *event)
{
	char from[TW_ADDRESS_TEXT];

	tw_say("transfer %" PRIu64 " %s from %s%s%s", event->id,
	       event->type == TW_WORKER_RESUMED ? "goes on" : "started",
	       tw_address_format(&event->transfer.path.remote, from),
	       event->text[0] ? " into " : "", event->text);
}

static void take_events(struct receive *receive, struct tw_worker *worker)
{
	struct tw_worker_event event;

	while (tw_worker_event(worker, &event)) {
		switch (event.type) {
		case TW_WORKER_STARTED:
		case TW_WORKER_RESUMED:
			say_started(&event);
			break;
		case TW_WORKER_FILE_FAILED:
			receive->failures++;
			if (receive->failures <= FAILURES_SHOWN)
				tw_say("transfer %" PRIu64 ": %s: %s", event.id, event.text,
				       tw_strerror(event.error));
			else if (receive->failures == FAILURES_SHOWN + 1)
				tw_say("more files failed; only the first %d are named",
				       FAILURES_SHOWN);
			break;
		case TW_WORKER_FINISHED:
			say_finished(receive, &event);
			break;
		default:
			break;
		}
	}
}

static void say_progress(const struct tw_worker_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->transfer_count; i++) {
		const struct tw_receiver_status *transfer = &snapshot->transfers[i];
		char done[TW_TEXT_SHORT], total[TW_TEXT_SHORT], from[TW_ADDRESS_TEXT];

		if (transfer->finished)
			continue;
		if (!transfer->connected) {
			tw_say("transfer %" PRIu64 ": waiting for %s to come back", transfer->id,
			       tw_address_format(&transfer->path.remote, from));
			continue;
		}
		tw_say("transfer %" PRIu64 ": %s of %s%s", transfer->id,
		       tw_text_size(transfer->bytes_received, done),
		       tw_text_size(transfer->total_bytes, total),
		       transfer->total_known ? "" : " so far");
	}
}

static void report_one(struct receive *receive, const struct tw_worker_snapshot *snapshot,
		       tw_ns now)
{
	if (!receive->advised && snapshot->buffer_advice[0]) {
		tw_say(TW_BUFFER_WORDS, snapshot->buffer_bytes / 1024, snapshot->buffer_advice);
		receive->advised = true;
	}
	if (receive->json && now >= receive->json_at)
		for (size_t i = 0; i < snapshot->transfer_count; i++)
			if (!snapshot->transfers[i].finished)
				print_json(receive, &snapshot->transfers[i]);
	if (!receive->json && now >= receive->say_at)
		say_progress(snapshot);
}

static void report(struct receive *receive, tw_ns now)
{
	for (unsigned i = 0; i < receive->team.count; i++)
		if (receive->snapshots[i])
			report_one(receive, receive->snapshots[i], now);
	if (now >= receive->json_at)
		receive->json_at = now + TW_SECOND;
	if (now >= receive->say_at)
		receive->say_at = now + SAY_EVERY;
}

static bool all_gone(const struct receive *receive)
{
	for (unsigned k = 0; k < receive->team.count; k++) {
		const struct tw_worker_snapshot *snapshot = receive->snapshots[k];

		for (size_t i = 0; snapshot && i < snapshot->conn_count; i++)
			if (snapshot->conns[i].state <= TW_CONN_ESTABLISHED)
				return false;
	}
	return true;
}

/* What all workers have to tell. False: they have all ended. */
static bool look(struct receive *receive)
{
	bool more = false;

	for (unsigned i = 0; i < receive->team.count; i++) {
		receive->snapshots[i] = tw_worker_snapshot(receive->team.workers[i]);
		take_events(receive, receive->team.workers[i]);
		more |= !receive->snapshots[i] || !receive->snapshots[i]->stopped;
	}
	return more;
}

static void follow(struct receive *receive)
{
	bool more = true;

	receive->say_at = receive->json_at = tw_clock_now();
	while (more) {
		tw_ns now = tw_clock_now();
		tw_ns next = tw_ns_min(receive->json ? receive->json_at : receive->say_at,
				       now + TW_SECOND);

		if (receive->end_at)
			next = tw_ns_min(next, receive->end_at);
		tw_watch_wait(&receive->watch, &receive->team, tw_ns_max(next, now));
		now = tw_clock_now();
		more = look(receive);
		tw_relay_link_follow(&receive->relay);
		if (receive->relayed &&
		    !tw_address_equal(&receive->seen, &receive->relay.status.client.seen_leg))
			offer_direct_ways(receive);
		if (receive->watch.interrupts > receive->interrupts) {
			if (receive->interrupts > 0)
				_exit(TW_EXIT_FAILED);
			receive->interrupts = receive->watch.interrupts;
			tw_say("stopping: flushing what has arrived");
			tw_team_stop(&receive->team);
		}
		report(receive, now);
		if (receive->end_at && (now >= receive->end_at || all_gone(receive)))
			tw_team_stop(&receive->team);
	}
}

#define PLACES_MAX 32

/*
 * Strangers are parsed here too, with this person's rights: of his files only the folder stays in
 * reach. System calls are not filtered: terminals and name services need too many. A kernel that
 * cannot is no reason to say anything.
 */
static int confine(const struct receive *receive)
{
	struct tw_confine_place places[PLACES_MAX] = {
		{ receive->folder, TW_PLACE_WRITE },
		{ "/proc/sys/kernel/random/boot_id", TW_PLACE_READ | TW_PLACE_OPTIONAL },
		{ "/sys/devices/system/cpu/online", TW_PLACE_READ | TW_PLACE_OPTIONAL },
	};
	struct tw_confine_options options = {
		.role = TW_CONFINE_ENGINE,
		.keep_capabilities = true,
		.places = places,
		.place_count = 3,
		.tcp_connect_all = receive->relayed,
	};
	struct tw_confine_report report;
	size_t count;
	const struct tw_confine_place *names = tw_resolver_places(&count);
	int r;

	for (size_t i = 0; receive->relayed && i < count && options.place_count < PLACES_MAX; i++)
		places[options.place_count++] = names[i];
	r = tw_confine_rights(&options, &report);
	if (!r)
		return TW_EXIT_DONE;
	tw_say("cannot be confined to its folder: %s", tw_strerror(r));
	return TW_EXIT_FAILED;
}

static int serve(struct receive *receive)
{
	int r = tw_watch_open(&receive->watch);

	if (r) {
		tw_say("cannot begin: %s", tw_strerror(r));
		return TW_EXIT_FAILED;
	}
	receive->wall_us = tw_clock_wall_us();
	receive->begun = tw_clock_now();
	r = start_worker(receive);
	if (r == TW_EXIT_DONE && receive->relayed)
		r = join_relay(receive);
	/* The sockets are the workers' from their start on, and hear everybody already. */
	if (r == TW_EXIT_DONE)
		announce(receive);
	if (r == TW_EXIT_DONE && tw_team_start(&receive->team)) {
		tw_say("cannot begin: the system allows no more threads");
		r = TW_EXIT_FAILED;
	}
	if (r == TW_EXIT_DONE) {
		follow(receive);
		r = receive->once ? receive->exit : TW_EXIT_DONE;
		if (receive->once && !receive->end_at)
			r = TW_EXIT_FAILED;
	}
	tw_team_free(&receive->team);
	tw_relay_link_close(&receive->relay);
	tw_watch_close(&receive->watch);
	return r;
}

static int run(const struct tw_arguments *arguments)
{
	struct receive *receive = calloc(1, sizeof *receive);
	int r;

	if (!receive) {
		tw_say("out of memory");
		return TW_EXIT_FAILED;
	}
	receive->arguments = arguments;
	r = parse_options(receive);
	if (!r)
		r = tw_load_identity(tw_argument(arguments, "identity"), &receive->identity);
	if (!r)
		r = open_folder(receive);
	if (!r)
		r = confine(receive);
	if (!r)
		r = serve(receive);
	if (receive->fs.ops)
		tw_fs_posix_close(&receive->fs);
	tw_identity_wipe(&receive->identity);
	free(receive);
	return r;
}

static const struct tw_example examples[] = {
	{ "tradewind receive /srv/in",
	  "takes files into /srv/in until it is stopped, and prints the address to send to" },
	{ "tradewind receive --once --port 9000 .",
	  "takes one transfer into this folder on UDP port 9000, then ends" },
};

static const struct tw_option options[] = {
	{ "port", "N", "UDP port; default 8886", false },
	{ "bind", "ADDR", "listen on this address only", false },
	{ "min-cipher", "N",
	  "least protection demanded: 0 none, 1 auth, 2 128 (the default), 3 256", false },
	{ "once", NULL, "end after one transfer, with its exit code", false },
	{ "relay", "HOST[:PORT]#KEY",
	  "be reached through a relay, whose line `tradewind relay` prints", false },
	{ "workers", "N", "threads for data; 0, default: half the processors, 1 to 8", false },
	{ "identity", "FILE", "where this machine's identity is kept", false },
	{ "json", NULL, "JSON on standard output: the address, then an object a second a transfer",
	  false },
};

const struct tw_command tw_command_receive = {
	.name = "receive",
	.words = "DIR",
	.summary = "take files into a folder",
	.description =
		"Prints one line, tw://HOST:PORT/#KEY, for `tradewind send` on the other machine.\n"
		"DIR is made if the folder above it exists. Nothing is ever written outside of\n"
		"DIR. What was cut off goes on when its sender comes back, even if this command\n"
		"was stopped or killed in between: unfinished files are called .tradewind-*.part.\n\n"
		"Exit codes: 0 done, 1 failed, 2 usage, 4 not authorised, 5 network, 6 storage.",
	.examples = examples,
	.example_count = sizeof examples / sizeof *examples,
	.options = options,
	.option_count = sizeof options / sizeof *options,
	.words_min = 1,
	.words_max = 1,
	.run = run,
};
