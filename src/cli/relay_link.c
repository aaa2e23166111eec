#include "cli/relay_link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/options.h"
#include "cli/watch.h"
#include "netio/clock.h"

#define PATIENCE (15 * TW_SECOND) /* for the first registration */
#define HANG_UPS 5
#define LOOK_EVERY (100 * TW_MSEC)

int tw_relay_link_parse(struct tw_relay_link_cli *link, const char *text)
{
	char complaint[TW_COMPLAINT];

	if (!tw_relay_name_parse(text, &link->name, complaint, sizeof complaint))
		return TW_EXIT_DONE;
	tw_say("--relay: %s", complaint);
	return TW_EXIT_USAGE;
}

/* Why the relay does not serve us, and what to do. */
static void say_refusal(const struct tw_relay_link_cli *link, const struct tw_identity *identity)
{
	const struct tw_relay_agent_status *status = &link->status;
	char key[TW_KEY_TEXT], text[TW_RELAY_TEXT_MAX * 4 + 1];

	switch (status->client.refusal) {
	case TW_RELAY_NOT_ALLOWED:
		tw_say("the relay %s does not serve this machine; there, allow its key: tradewind "
		       "relay --allow %s",
		       link->name.host, tw_public_key_format(&identity->public_key, key));
		return;
	case TW_RELAY_OK:
		break;
	default:
		tw_text_clean(status->client.text, strlen(status->client.text), text, sizeof text);
		tw_say("the relay %s sent us away: %s", link->name.host, text);
		return;
	}
	if (status->resolver[0])
		tw_say("cannot find the relay %s: %s; check its name", link->name.host,
		       status->resolver);
	else if (status->error && status->error != ECONNRESET)
		tw_say("cannot reach the relay %s, TCP port %u: %s; check that it runs and that "
		       "firewalls let TCP out to it",
		       link->name.host, link->name.port, strerror(status->error));
	else
		tw_say("the relay %s, TCP port %u, hangs up: it has another key than given, "
		       "or is no relay; check the text after #",
		       link->name.host, link->name.port);
}

/* It answers, and ends each connection without a word: that will not change by waiting. */
static bool hangs_up(const struct tw_relay_agent_status *status)
{
	return status->error == ECONNRESET && status->client.failures >= HANG_UPS;
}

int tw_relay_link_open(struct tw_relay_link_cli *link, struct tw_relay_agent_options *options,
		       struct tw_watch *watch)
{
	tw_ns limit = tw_clock_now() + PATIENCE;
	int r;

	snprintf(options->host, sizeof options->host, "%s", link->name.host);
	options->port = link->name.port;
	options->key = link->name.key;
	r = tw_relay_agent_new(options, &link->agent);
	if (r) {
		tw_say("cannot begin with the relay: %s", tw_strerror(r));
		return TW_EXIT_FAILED;
	}
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = watch->signal_fd, .events = POLLIN },
			{ .fd = tw_relay_agent_fd(link->agent), .events = POLLIN },
		};

		poll(fds, 2, (int)(LOOK_EVERY / TW_MSEC));
		tw_relay_agent_status(link->agent, &link->status);
		if (link->status.client.state == TW_RELAY_CLIENT_SERVED)
			return TW_EXIT_DONE;
		if (fds[0].revents)
			return TW_EXIT_FAILED;
		if (link->status.client.refusal != TW_RELAY_OK || tw_clock_now() >= limit ||
		    hangs_up(&link->status))
			break;
	}
	say_refusal(link, options->identity);
	return link->status.client.refusal == TW_RELAY_NOT_ALLOWED ? TW_EXIT_NOT_AUTHORIZED
								   : TW_EXIT_NETWORK;
}

void tw_relay_link_close(struct tw_relay_link_cli *link)
{
	tw_relay_agent_free(link->agent);
	link->agent = NULL;
}

void tw_relay_link_wait(struct tw_relay_link_cli *link, tw_ns limit)
{
	struct pollfd fd = { .fd = tw_relay_agent_fd(link->agent), .events = POLLIN };

	poll(&fd, 1, (int)(limit / TW_MSEC));
	tw_relay_agent_status(link->agent, &link->status);
}

void tw_relay_link_follow(struct tw_relay_link_cli *link)
{
	const struct tw_relay_client_status *client = &link->status.client;
	uint16_t port = client->port;
	bool apart;

	if (!link->agent)
		return;
	tw_relay_agent_status(link->agent, &link->status);
	apart = client->state != TW_RELAY_CLIENT_SERVED;
	/* A single lost connection is mended before anybody could read of it. */
	if (apart && client->failures > 3 && !link->said_apart) {
		tw_say("the relay %s does not answer; trying on", link->name.host);
		link->said_apart = true;
	} else if (!apart && link->said_apart) {
		tw_say("the relay %s is back", link->name.host);
		link->said_apart = false;
	}
	if (!apart && port != client->port)
		tw_say("the relay has given us another UDP port: %u instead of %u; senders need "
		       "the new one",
		       client->port, port);
	if (client->tunnelled != link->said_tunnelled) {
		tw_say(client->tunnelled
			       ? "UDP does not pass between here and the relay: data goes over "
				 "its control connection, which is slower; let UDP out to port %u "
				 "of it"
			       : "UDP passes to the relay's port %u again",
		       client->port);
		link->said_tunnelled = client->tunnelled;
	}
}
