/*
 * conn_path.c - the connection id names the connection, the address is only where it is at the
 * moment (RFC 9000, 9).
 *
 * A packet with the highest number so far that comes from another address moves the connection
 * there at once, but until the peer has answered a challenge from there at most three times as many
 * bytes go out as came in: a forged source address must not become a flood. If no answer comes, the
 * connection goes back to the last proved path.
 */
#include <string.h>

#include "core/conn_internal.h"

#define CHALLENGE_TRIES_SPAN 3 /* probe timeouts until a path is given up */
#define AMPLIFICATION 3

static bool path_equal(const struct tw_path *a, const struct tw_path *b)
{
	return tw_address_equal(&a->remote, &b->remote) &&
	       (a->local.family == TW_FAMILY_NONE || b->local.family == TW_FAMILY_NONE ||
		tw_address_equal(&a->local, &b->local));
}

void tw_conn_path_init(struct tw_conn *conn, const struct tw_path *path, bool validated)
{
	conn->path = (struct tw_path_state){
		.path = *path,
		.previous = *path,
		.validated = validated,
		.challenge_at = TW_NEVER,
		.give_up_at = TW_NEVER,
	};
}

static void challenge(struct tw_conn *conn, tw_ns now)
{
	tw_random_fill(&conn->endpoint->config.random, conn->path.challenge, TW_PATH_TOKEN_SIZE);
	conn->path.challenge_owed = true;
	conn->path.challenge_at = TW_NEVER;
	conn->path.give_up_at =
		now +
		tw_ns_max(CHALLENGE_TRIES_SPAN * 2 * tw_path_model_pto(&conn->model), TW_SECOND);
}

static void moved(struct tw_conn *conn, const struct tw_path *from, tw_ns now)
{
	/* Another port behind the same address is the same road; another address may be a quite
	 * different one. */
	if (memcmp(from->remote.ip, conn->path.path.remote.ip, sizeof(from->remote.ip)) == 0)
		return;
	tw_path_model_reset(&conn->model, now);
	tw_rate_controller_path_changed(&conn->rate, &conn->model, now);
	tw_mtu_restart(&conn->mtu, now);
	tw_rate_controller_datagram_size(&conn->rate, conn->mtu.current);
	tw_pacer_set_datagram(&conn->pacer, conn->mtu.current);
}

void tw_conn_path_seen(struct tw_conn *conn, const struct tw_path *path, size_t length, tw_ns now)
{
	struct tw_path_state *state = &conn->path;
	if (path_equal(&state->path, path)) {
		if (!state->validated)
			state->received_bytes += length;
		else
			state->path.local = path->local;
		return;
	}
	struct tw_path from = state->path;
	if (state->validated)
		state->previous = state->path;
	state->path = *path;
	state->received_bytes = length;
	state->sent_bytes = 0;
	state->validated = false;
	challenge(conn, now);
	moved(conn, &from, now);
}

void tw_conn_path_challenged(struct tw_conn *conn, const uint8_t *token, const struct tw_path *path)
{
	memcpy(conn->path.response, token, TW_PATH_TOKEN_SIZE);
	conn->path.response_path = *path;
	conn->path.response_owed = true;
}

void tw_conn_path_answered(struct tw_conn *conn, const uint8_t *token, tw_ns now)
{
	struct tw_path_state *state = &conn->path;
	(void)now;
	if (state->validated || !tw_equal_secret(token, state->challenge, TW_PATH_TOKEN_SIZE))
		return;
	state->validated = true;
	state->challenge_owed = false;
	state->previous = state->path;
}

tw_ns tw_conn_path_deadline(const struct tw_conn *conn)
{
	if (conn->path.validated)
		return TW_NEVER;
	return tw_ns_min(conn->path.challenge_at, conn->path.give_up_at);
}

void tw_conn_path_timeout(struct tw_conn *conn, tw_ns now)
{
	struct tw_path_state *state = &conn->path;
	if (state->validated)
		return;
	if (now >= state->give_up_at) {
		struct tw_path from = state->path;
		state->path = state->previous;
		state->validated = true;
		state->challenge_owed = false;
		moved(conn, &from, now);
	} else if (now >= state->challenge_at) {
		state->challenge_owed = true;
		state->challenge_at = TW_NEVER;
	}
}

size_t tw_conn_path_allowance(const struct tw_conn *conn)
{
	if (conn->path.validated)
		return SIZE_MAX;
	uint64_t limit = conn->path.received_bytes * AMPLIFICATION;
	return limit > conn->path.sent_bytes ? (size_t)(limit - conn->path.sent_bytes) : 0;
}
