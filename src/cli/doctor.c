/* doctor.c - `tradewind doctor`: what works from here, and what mends what does not. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/json.h"
#include "cli/relay_link.h"
#include "cli/url.h"
#include "cli/watch.h"
#include "netio/clock.h"
#include "netio/discover.h"
#include "netio/probe.h"
#include "netio/sockaddr.h"

#define FINDINGS_MAX 32
#define TEXT_MAX 512
#define ADDRESSES_MAX 8
#define ETHERNET 1472 /* UDP payload of a 1500-byte IPv4 packet */
#define LOSS_WORTH_A_WORD 0.02
#define DISK_SLOW UINT64_C(1000000000) /* bit/s */
#define RELAY_UDP_LIMIT (4 * TW_SECOND)
#define DISCOVER_LIMIT (3 * TW_SECOND)

enum verdict { FINE, NOTE, BAD };

static const char *const verdicts[] = { [FINE] = "ok", [NOTE] = "warning", [BAD] = "error" };

struct finding {
	const char *what;
	enum verdict verdict;
	char text[TEXT_MAX], command[TEXT_MAX];
};

struct doctor {
	const struct tw_arguments *arguments;
	struct tw_identity identity;
	struct tw_url url;
	bool json;
	const char *folder;
	struct tw_relay_link_cli relay;
	struct finding findings[FINDINGS_MAX];
	unsigned count;
	int exit;
};

/* A finding; @command may be NULL: there is nothing to mend. Returns it. */
static struct finding *find(struct doctor *doctor, const char *what, enum verdict verdict,
			    const char *format, ...) __attribute__((format(printf, 4, 5)));

static struct finding *find(struct doctor *doctor, const char *what, enum verdict verdict,
			    const char *format, ...)
{
	struct finding *finding =
		&doctor->findings[doctor->count < FINDINGS_MAX - 1 ? doctor->count++
								   : FINDINGS_MAX - 1];
	va_list arguments;

	*finding = (struct finding){ .what = what, .verdict = verdict };
	va_start(arguments, format);
	vsnprintf(finding->text, sizeof finding->text, format, arguments);
	va_end(arguments);
	if (verdict == BAD && doctor->exit == TW_EXIT_DONE)
		doctor->exit = TW_EXIT_NETWORK;
	return finding;
}

static void mend(struct finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void mend(struct finding *finding, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(finding->command, sizeof finding->command, format, arguments);
	va_end(arguments);
}

/* UDP to one address of the host. Returns whether something answered. */
static bool look_at_udp(struct doctor *doctor, const struct tw_address *remote,
			struct tw_probe_udp *udp)
{
	char address[TW_ADDRESS_TEXT];
	struct finding *finding;

	tw_address_format(remote, address);
	if (tw_probe_udp(remote, udp)) {
		finding = find(doctor, "udp", NOTE, "this machine knows no way to %s: %s", address,
			       strerror(udp->error));
		mend(finding, "ip route get %s", tw_address_format_ip(remote, address));
		return false;
	}
	if (udp->answered) {
		find(doctor, "udp", FINE, "UDP passes both ways to and from %s", address);
		return true;
	}
	if (udp->error == ECONNREFUSED) {
		finding = find(doctor, "udp", BAD, "%s is there, but nothing listens on this port",
			       address);
		mend(finding, "tradewind receive --port %u /srv/in", remote->port);
	} else {
		finding = find(doctor, "udp", BAD,
			       "no answer from %s: nothing listens there, or a firewall on the "
			       "way drops UDP; on the machine there, let it in",
			       address);
		mend(finding, "nft add rule inet filter input udp dport %u accept", remote->port);
	}
	return false;
}

static void look_at_path(struct doctor *doctor, const struct tw_probe_udp *udp)
{
	double loss = 1 - (double)udp->answered / udp->sent;
	char least[TW_TEXT_SHORT], mean[TW_TEXT_SHORT];
	struct finding *finding;

	find(doctor, "roundTrip", FINE, "round trip %s at best, %s on average",
	     tw_text_duration(udp->rtt_min, least), tw_text_duration(udp->rtt_mean, mean));
	finding = find(doctor, "loss", loss < LOSS_WORTH_A_WORD ? FINE : NOTE,
		       "%u of %u datagrams got no answer (%.1f %%)%s", udp->sent - udp->answered,
		       udp->sent, 100 * loss,
		       loss < LOSS_WORTH_A_WORD ? "" : "; transfers repair that by themselves");
	if (loss >= LOSS_WORTH_A_WORD)
		mend(finding, "mtr --udp --port %u --report %s", doctor->url.port,
		     doctor->url.host);
	finding = find(doctor, "pathMtu", udp->datagram_bytes >= 1412 ? FINE : NOTE,
		       "datagrams of %u bytes pass whole%s", udp->datagram_bytes,
		       udp->datagram_bytes > ETHERNET ? " (jumbo frames)"
		       : udp->datagram_bytes >= 1412  ? ""
						      : ", less than Ethernet carries");
	if (udp->datagram_bytes < 1412)
		mend(finding, "tracepath %s", doctor->url.host);
}

static void look_at_buffers(struct doctor *doctor, const struct tw_probe_udp *udp)
{
	struct finding *finding = find(doctor, "socketBuffers", udp->advice[0] ? NOTE : FINE,
				       "the system grants %u KiB to receive and %u KiB to send%s",
				       udp->receive_granted / 2048, udp->send_granted / 2048,
				       udp->advice[0] ? "; above 1 Gbit/s that is little" : "");

	if (udp->advice[0])
		mend(finding, "%s", udp->advice);
	if (tw_udp_segments_probe() > 1)
		find(doctor, "segmentation", FINE, "the kernel takes %u datagrams in one call",
		     tw_udp_segments_probe());
	else
		mend(find(doctor, "segmentation", NOTE,
			  "this kernel takes one datagram a call (no UDP_SEGMENT): fast paths "
			  "cost more processor time; a kernel from 4.18 on can"),
		     "uname -r");
}

static void say_observed(struct doctor *doctor, const struct tw_address *observed,
			 const struct tw_address *local)
{
	char seen[TW_ADDRESS_TEXT], own[TW_ADDRESS_TEXT];
	bool nat;

	if (observed->family == TW_FAMILY_NONE)
		return;
	nat = memcmp(observed->ip, local->ip, sizeof local->ip) != 0;
	find(doctor, "address", FINE, "seen from there, this machine is %s%s%s%s",
	     tw_address_format(observed, seen), nat ? " (here it is " : "",
	     nat ? tw_address_format_ip(local, own) : "",
	     nat ? ", so there is a NAT or a relay between)" : "");
}

/* Without the key too. */
static void look_at_address(struct doctor *doctor, const struct tw_address *remote)
{
	struct tw_discovery discovery;

	if (!tw_discover(remote, DISCOVER_LIMIT, NULL, NULL, &discovery))
		say_observed(doctor, &discovery.observed, &discovery.local);
}

static void look_at_handshake(struct doctor *doctor, const struct tw_address *remote)
{
	struct tw_probe_handshake handshake;
	char key[TW_KEY_TEXT];
	int r = tw_probe_handshake(remote, &doctor->identity, &doctor->url.key, &handshake);

	if (r) {
		find(doctor, "handshake", BAD, "cannot try a handshake: %s", tw_strerror(r));
		return;
	}
	tw_public_key_format(&doctor->identity.public_key, key);
	if (handshake.established) {
		find(doctor, "handshake", FINE, "the key is right, and this machine is let in");
	} else if (handshake.end == TW_CONN_NOT_AUTHORIZED) {
		mend(find(doctor, "handshake", BAD,
			  "the key is right, but this machine's key is not let in; there, allow "
			  "it"),
		     "tradewind api recv.addAuthorizedClientAsync --clientPublicKey=%s", key);
	} else if (handshake.end == TW_CONN_CIPHER_TOO_WEAK) {
		mend(find(doctor, "handshake", NOTE, "the receiver demands a stronger cipher"),
		     "tradewind send --cipher 256 ...");
	} else if (handshake.end == TW_CONN_BUSY) {
		find(doctor, "handshake", NOTE, "the receiver has too many connections now");
	} else {
		mend(find(doctor, "handshake", BAD,
			  "something answers there, but not to this key: it is not the receiver's; "
			  "on the receiver, print it"),
		     "tradewind keygen");
	}
}

static void look_at_host(struct doctor *doctor)
{
	struct tw_address remotes[ADDRESSES_MAX], *answers = NULL;
	struct tw_probe_udp udp = { 0 }, good = { 0 };
	unsigned count = 0;
	char clean[300];
	int r = tw_resolve(doctor->url.host, doctor->url.port, remotes, ADDRESSES_MAX, &count);

	tw_text_clean(doctor->url.host, strlen(doctor->url.host), clean, sizeof clean);
	if (r) {
		mend(find(doctor, "name", BAD, "cannot find the address of %s: %s", clean,
			  tw_resolve_error(r)),
		     "getent ahosts %s", clean);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		if (!look_at_udp(doctor, &remotes[i], &udp) || answers)
			continue;
		answers = &remotes[i];
		good = udp;
	}
	if (answers) {
		look_at_path(doctor, &good);
		look_at_address(doctor, answers);
	}
	if (answers && doctor->url.has_key)
		look_at_handshake(doctor, answers);
	look_at_buffers(doctor, answers ? &good : &udp);
}

static void look_at_disk(struct doctor *doctor)
{
	char write_rate[TW_TEXT_SHORT], read_rate[TW_TEXT_SHORT], room[TW_TEXT_SHORT];
	struct tw_probe_disk disk;
	struct finding *finding;
	char clean[512];
	int r = tw_probe_disk(doctor->folder, &disk);

	tw_text_clean(doctor->folder, strlen(doctor->folder), clean, sizeof clean);
	if (r) {
		mend(find(doctor, "disk", NOTE, "cannot try the disk under %s: %s", clean,
			  strerror(-r)),
		     "tradewind doctor --folder DIR ...");
		return;
	}
	finding = find(doctor, "disk", disk.write_bps < DISK_SLOW ? NOTE : FINE,
		       "the disk under %s writes %s%s%s%s, %s free", clean,
		       tw_text_rate(disk.write_bps, write_rate), disk.read_bps ? ", reads " : "",
		       disk.read_bps ? tw_text_rate(disk.read_bps, read_rate) : "",
		       disk.write_bps < DISK_SLOW
			       ? ": transfers will not be faster than that; name another folder"
			       : "",
		       tw_text_size(disk.free_bytes, room));
	if (disk.write_bps < DISK_SLOW)
		mend(finding, "tradewind doctor --folder DIR ...");
}

/* Why has been said; what mends it, where. */
static void relay_refuses(struct doctor *doctor)
{
	const struct tw_relay_agent_status *status = &doctor->relay.status;
	const char *host = doctor->relay.name.host;
	char key[TW_KEY_TEXT], address[TW_ADDRESS_TEXT];

	if (status->client.refusal == TW_RELAY_NOT_ALLOWED)
		mend(find(doctor, "relay", BAD,
			  "the relay %s does not serve this machine; there, allow it", host),
		     "tradewind relay --allow %s",
		     tw_public_key_format(&doctor->identity.public_key, key));
	else if (status->client.refusal != TW_RELAY_OK)
		mend(find(doctor, "relay", BAD,
			  "the relay %s has no place for this machine; give it more ports", host),
		     "tradewind relay --ports 8890-9089");
	else if (status->resolver[0])
		mend(find(doctor, "relay", BAD, "the relay %s cannot be found", host),
		     "getent ahosts %s", host);
	else if (status->error == ECONNRESET)
		mend(find(doctor, "relay", BAD,
			  "the relay %s has another key than given; there, print it", host),
		     "tradewind keygen");
	else if (status->error == ECONNREFUSED)
		mend(find(doctor, "relay", BAD, "no relay runs on %s, TCP port %u; there, start it",
			  host, doctor->relay.name.port),
		     "tradewind relay --allow %s",
		     tw_public_key_format(&doctor->identity.public_key, key));
	else
		mend(find(doctor, "relay", BAD,
			  "TCP does not pass to the relay %s; on the firewall between, let it out",
			  host),
		     "nft add rule inet filter forward %s daddr %s tcp dport %u accept",
		     status->control.family == TW_FAMILY_IPV6 ? "ip6" : "ip",
		     tw_address_format_ip(&status->control, address), doctor->relay.name.port);
}

/* The relay: TCP, keys, UDP both ways, the address seen from there. */
static void look_at_relay(struct doctor *doctor, struct tw_watch *watch)
{
	struct tw_relay_agent_options options = { .identity = &doctor->identity };
	const struct tw_relay_client_status *client = &doctor->relay.status.client;
	char rtt[TW_TEXT_SHORT], seen[TW_ADDRESS_TEXT];
	tw_ns limit;
	int r = tw_relay_link_open(&doctor->relay, &options, watch);

	if (r) {
		relay_refuses(doctor);
		return;
	}
	find(doctor, "relay", FINE, "the relay serves this machine; its UDP port for it is %u",
	     client->port);
	limit = tw_clock_now() + RELAY_UDP_LIMIT;
	while (client->seen_udp.family == TW_FAMILY_NONE && tw_clock_now() < limit)
		tw_relay_link_wait(&doctor->relay, TW_SECOND / 10);
	if (client->seen_udp.family != TW_FAMILY_NONE)
		find(doctor, "relayUdp", FINE,
		     "UDP passes both ways to the relay, round trip %s; seen from there, this "
		     "machine is %s",
		     tw_text_duration(client->udp_rtt, rtt),
		     tw_address_format(&client->seen_udp, seen));
	else
		mend(find(doctor, "relayUdp", NOTE,
			  "UDP does not pass to the relay: data would go over its control "
			  "connection, slowly; on the firewall between, let it out"),
		     "nft add rule inet filter forward %s daddr %s udp dport { 8886, 8890-8989 } "
		     "accept",
		     doctor->relay.status.control.family == TW_FAMILY_IPV6 ? "ip6" : "ip",
		     tw_address_format_ip(&doctor->relay.status.control, seen));
}

/* Telling. */

static void print_json(const struct doctor *doctor)
{
	struct tw_json json;

	tw_json_init(&json);
	tw_json_begin_object(&json, NULL);
	tw_json_string(&json, "host", doctor->url.host);
	tw_json_number(&json, "port", doctor->url.port);
	tw_json_bool(&json, "ok", doctor->exit == TW_EXIT_DONE);
	tw_json_begin_array(&json, "findings");
	for (unsigned i = 0; i < doctor->count; i++) {
		const struct finding *finding = &doctor->findings[i];

		tw_json_begin_object(&json, NULL);
		tw_json_string(&json, "what", finding->what);
		tw_json_string(&json, "verdict", verdicts[finding->verdict]);
		tw_json_string(&json, "text", finding->text);
		if (finding->command[0])
			tw_json_string(&json, "command", finding->command);
		else
			tw_json_null(&json, "command");
		tw_json_end_object(&json);
	}
	tw_json_end_array(&json);
	tw_json_end_object(&json);
	if (tw_json_text(&json))
		puts(tw_json_text(&json));
	tw_json_deinit(&json);
}

static void print_text(const struct doctor *doctor)
{
	for (unsigned i = 0; i < doctor->count; i++) {
		const struct finding *finding = &doctor->findings[i];
		char clean[2 * sizeof finding->text];

		printf("%-8s %s\n", verdicts[finding->verdict],
		       tw_text_clean(finding->text, strlen(finding->text), clean, sizeof clean));
		if (finding->command[0])
			printf("         $ %s\n",
			       tw_text_clean(finding->command, strlen(finding->command), clean,
					     sizeof clean));
	}
}

/* HOST[:PORT][#KEY], or a whole tw:// address. */
static int parse_host(struct doctor *doctor)
{
	const char *word = doctor->arguments->words[0], *hash = strchr(word, '#');
	char address[TW_URL_TEXT], complaint[TW_COMPLAINT];
	int length;

	if (tw_url_like(word))
		length = snprintf(address, sizeof address, "%s", word);
	else
		length = snprintf(address, sizeof address, "tw://%.*s/%s",
				  hash ? (int)(hash - word) : (int)strlen(word), word,
				  hash ? hash : "");
	if (length < (int)sizeof address &&
	    !tw_url_parse(address, &doctor->url, complaint, sizeof complaint))
		return TW_EXIT_DONE;
	tw_say("name the other machine as HOST, HOST:PORT or HOST:PORT#KEY%s%s",
	       length < (int)sizeof address ? ": " : "",
	       length < (int)sizeof address ? complaint : "");
	return TW_EXIT_USAGE;
}

static int examine(struct doctor *doctor)
{
	struct tw_watch watch;
	int r = tw_watch_open(&watch);

	if (r) {
		tw_say("cannot begin: %s", tw_strerror(r));
		return TW_EXIT_FAILED;
	}
	look_at_host(doctor);
	if (tw_argument(doctor->arguments, "relay"))
		look_at_relay(doctor, &watch);
	tw_relay_link_close(&doctor->relay);
	look_at_disk(doctor);
	tw_watch_close(&watch);
	if (doctor->json)
		print_json(doctor);
	else
		print_text(doctor);
	return fflush(stdout) ? TW_EXIT_STORAGE : doctor->exit;
}

static int run(const struct tw_arguments *arguments)
{
	struct doctor *doctor = calloc(1, sizeof *doctor);
	const char *relay = tw_argument(arguments, "relay");
	int r;

	if (!doctor) {
		tw_say("out of memory");
		return TW_EXIT_FAILED;
	}
	doctor->arguments = arguments;
	doctor->json = tw_argument(arguments, "json") != NULL;
	doctor->folder = tw_argument(arguments, "folder");
	if (!doctor->folder)
		doctor->folder = ".";
	r = parse_host(doctor);
	if (!r && relay)
		r = tw_relay_link_parse(&doctor->relay, relay);
	if (!r)
		r = tw_load_identity(tw_argument(arguments, "identity"), &doctor->identity);
	if (!r)
		r = examine(doctor);
	tw_identity_wipe(&doctor->identity);
	free(doctor);
	return r;
}

static const struct tw_example examples[] = {
	{ "tradewind doctor nas.example", "can UDP port 8886 there be reached, and how well" },
	{ "tradewind doctor 203.0.113.5:8886#KEY",
	  "also whether the key is right, this machine is let in, and how it is seen from there" },
};

static const struct tw_option options[] = {
	{ "folder", "DIR", "whose disk to try; default: this folder", false },
	{ "relay", "HOST[:PORT]#KEY", "also try this relay, as a server that uses it would",
	  false },
	{ "identity", "FILE", "where this machine's identity is kept", false },
	{ "json", NULL, "a JSON object on standard output", false },
};

const struct tw_command tw_command_doctor = {
	.name = "doctor",
	.words = "HOST[:PORT][#KEY]",
	.summary = "say what works from here to another machine, and what mends the rest",
	.description =
		"Tries UDP both ways, round trip, loss, the largest datagram that passes whole,\n"
		"the address that is seen from there, the handshake (with the key), socket\n"
		"buffers and the disk, for some seconds in all. Each finding that can be mended\n"
		"comes with the command that does it.\n\n"
		"Exit codes: 0 nothing stands in the way, 1 failed, 2 usage, 5 something does.",
	.examples = examples,
	.example_count = sizeof examples / sizeof *examples,
	.options = options,
	.option_count = sizeof options / sizeof *options,
	.words_min = 1,
	.words_max = 1,
	.run = run,
};
