#include "netio/discover.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/error.h"
#include "netio/clock.h"
#include "netio/udp.h"
#include "wire/datagram.h"

#define WAIT_MS 50 /* between two looks whether it was cancelled */

struct question {
	struct tw_udp udp;
	uint8_t token[TW_PROBE_TOKEN_SIZE];
	tw_ns asked_at;
	bool refused;
};

static void ask(struct question *question, tw_ns now)
{
	const struct tw_datagram discover = { .type = TW_DATAGRAM_DISCOVER,
					      .token = question->token };
	uint8_t bytes[TW_DISCOVER_SIZE];
	struct tw_train train = { .bytes = bytes };
	size_t sent = 0;

	train.length = tw_datagram_write_discover(&discover, bytes, sizeof bytes);
	train.segment = (uint32_t)train.length;
	train.path = (struct tw_path){ question->udp.local, question->udp.remote };
	/* A refusal of the one before is told instead of sending: once more. */
	if (tw_udp_send(&question->udp, &train, &sent) == TW_E_UNREACHABLE) {
		question->refused = true;
		(void)tw_udp_send(&question->udp, &train, &sent);
	}
	/* The round trip is counted from the first: a later answer may be to it. */
	if (!question->asked_at)
		question->asked_at = now;
}

static bool answered(struct question *question, struct tw_discovery *ret)
{
	uint8_t bytes[65536];
	struct tw_udp_message message = { .bytes = bytes, .room = sizeof bytes };
	struct tw_datagram answer;
	unsigned count;
	int r = tw_udp_receive(&question->udp, &message, 1, &count);

	question->refused = question->refused || r == TW_E_UNREACHABLE;
	if (r || !count || tw_datagram_parse(bytes, message.segment, &answer) ||
	    answer.type != TW_DATAGRAM_DISCOVERED ||
	    memcmp(answer.token, question->token, sizeof question->token) != 0)
		return false;
	ret->local = question->udp.local;
	ret->observed = answer.observed;
	ret->rtt = tw_ns_since(tw_clock_now(), question->asked_at);
	return true;
}

int tw_discover(const struct tw_address *remote, tw_ns timeout, bool (*cancelled)(void *context),
		void *context, struct tw_discovery *ret)
{
	struct tw_udp_options options = { .remote = *remote };
	struct tw_random random = tw_system_random();
	tw_ns now = tw_clock_now(), end = tw_ns_add(now, timeout), ask_at = now;
	struct question question = { .asked_at = 0 };
	int r = tw_udp_open(&options, &question.udp);

	if (r)
		return r;
	tw_random_fill(&random, question.token, sizeof question.token);
	r = TW_E_TIMEOUT;
	while (now < end && r == TW_E_TIMEOUT) {
		struct pollfd fd = { .fd = question.udp.fd, .events = POLLIN };

		if (now >= ask_at) {
			ask(&question, now);
			ask_at = now + TW_DISCOVER_EVERY;
		}
		if (poll(&fd, 1, WAIT_MS) > 0 && answered(&question, ret))
			r = 0;
		else if (cancelled && cancelled(context))
			r = TW_E_CLOSED;
		now = tw_clock_now();
	}
	tw_udp_close(&question.udp);
	return r == TW_E_TIMEOUT && question.refused ? TW_E_UNREACHABLE : r;
}
