/*
 * conn_path.c - the connection id names the connection, the address is only where it is at the
 * moment (RFC 9000, 9).
 *
 * A packet with the highest number so far that comes from another address moves the connection
 * there at once, but until the peer has answered a challenge from there fewer bytes go out than
 * came in: a forged source address is of no use to anybody. If no answer comes, the connection
 * goes back to the last proved path.
 *
 * An initiator also tries the addresses that the responder has offered, on the side, and moves only
 * when one has answered; it goes home when that one falls silent. A PROBE from another address is
 * one more way to try: the responder opens its NAT so, which may show another port to us than to
 * the relay. While it is away it asks at home now and then, so that the relay and the NATs on that
 * way remember it.
 */
#include <string.h>

#include "core/conn_internal.h"

#define CHALLENGE_TRIES_SPAN 3 /* probe timeouts until a path is given up */
#define TRIAL_FIRST (50 * TW_MSEC) /* after the handshake */
#define TRIAL_LATER (30 * TW_SECOND)
#define TRIAL_LATEST (600 * TW_SECOND)
#define TRIAL_SILENCE (500 * TW_MSEC)
#define TRIAL_HOME_EVERY (15 * TW_SECOND)
/* A challenge without padding. */
#define TRIAL_BARE (TW_PACKET_HEADER_SIZE + 1 + TW_PATH_TOKEN_SIZE + TW_TAG_SIZE)
#define LEARNED (TW_TRIAL_WAYS - 1)

static bool path_equal(const struct tw_path *a, const struct tw_path *b)
{
	return tw_address_equal(&a->remote, &b->remote) &&
	       (a->local.family == TW_FAMILY_NONE || b->local.family == TW_FAMILY_NONE ||
		tw_address_equal(&a->local, &b->local));
}

void tw_conn_path_init(struct tw_conn *conn, const struct tw_path *path, bool validated)
{
	conn->path = (struct tw_path_state){
		.left = conn->path.left,
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

/* Which of the ways leads to @remote; TW_TRIAL_WAYS: none. */
static unsigned find_way(const struct tw_path_trial *trial, const struct tw_address *remote)
{
	unsigned i = 0;

	while (i < TW_TRIAL_WAYS && (trial->ways[i].family == TW_FAMILY_NONE ||
				     !tw_address_equal(&trial->ways[i], remote)))
		i++;
	return i;
}

static bool is_way(const struct tw_path_trial *trial, const struct tw_address *remote)
{
	return find_way(trial, remote) < TW_TRIAL_WAYS;
}

void tw_conn_trial_init(struct tw_conn *conn, const struct tw_address *offers, tw_ns now)
{
	struct tw_path_trial *trial = &conn->trial;
	*trial = (struct tw_path_trial){ .next_at = TW_NEVER };
	memcpy(trial->ways, offers, TW_OFFERS_MAX * sizeof(*offers));
	for (unsigned i = 0; i < TW_OFFERS_MAX; i++)
		trial->offered = trial->offered || offers[i].family != TW_FAMILY_NONE;
	/* Already there: nothing to try. */
	if (tw_conn_relayed(conn))
		trial->next_at = now + TRIAL_FIRST;
}

bool tw_conn_relayed(const struct tw_conn *conn)
{
	return conn->trial.offered && !is_way(&conn->trial, &conn->path.path.remote);
}

static tw_ns trial_pause(const struct tw_path_trial *trial)
{
	static const tw_ns pauses[] = { TW_SECOND, 5 * TW_SECOND };
	return trial->rounds <= sizeof(pauses) / sizeof(*pauses) ? pauses[trial->rounds - 1]
								 : TRIAL_LATER;
}

bool tw_conn_trial_next(struct tw_conn *conn, struct tw_path *ret_path, uint8_t *ret_token,
			tw_ns now)
{
	struct tw_path_trial *trial = &conn->trial;
	if (trial->moved) {
		if (now < trial->next_at)
			return false;
		trial->next_at = now + TRIAL_HOME_EVERY;
		*ret_path = trial->home;
		trial->bare = true;
		/* Nobody looks at the answer. */
		tw_random_fill(&conn->endpoint->config.random, ret_token, TW_PATH_TOKEN_SIZE);
		return true;
	}
	if (!trial->owed) {
		if (!conn->initiator || now < trial->next_at)
			return false;
		for (unsigned i = 0; i < LEARNED; i++)
			if (trial->ways[i].family != TW_FAMILY_NONE)
				trial->owed |= 1u << i;
		tw_random_fill(&conn->endpoint->config.random, trial->token, TW_PATH_TOKEN_SIZE);
		trial->rounds++;
		trial->next_at = now + trial_pause(trial);
	}
	for (unsigned i = 0; i < TW_TRIAL_WAYS; i++) {
		if (!(trial->owed & 1u << i))
			continue;
		trial->owed &= ~(1u << i);
		trial->bare = i == LEARNED;
		*ret_path = (struct tw_path){ .remote = trial->ways[i] };
		memcpy(ret_token, trial->token, TW_PATH_TOKEN_SIZE);
		return true;
	}
	return false;
}

size_t tw_conn_trial_size(const struct tw_conn *conn)
{
	return conn->trial.bare ? TRIAL_BARE : TW_MTU_BASE;
}

/* Anybody on the way can send one, from wherever he says he is: a challenge goes there when more
 * has come than it has. */
bool tw_conn_path_probed(struct tw_conn *conn, const struct tw_path *path)
{
	struct tw_path_trial *trial = &conn->trial;

	if (!conn->initiator || conn->state != TW_CONN_ESTABLISHED || trial->moved ||
	    !tw_conn_relayed(conn))
		return false;
	if (!tw_address_equal(&trial->ways[LEARNED], &path->remote)) {
		trial->ways[LEARNED] = path->remote;
		trial->learned_bytes = 0;
		trial->owed &= ~(1u << LEARNED);
	}
	trial->learned_bytes += TW_PROBE_SIZE;
	if (trial->learned_bytes <= TRIAL_BARE)
		return true;
	trial->learned_bytes -= TRIAL_BARE + 1;
	if (!trial->rounds) {
		tw_random_fill(&conn->endpoint->config.random, trial->token, TW_PATH_TOKEN_SIZE);
		trial->rounds++;
	}
	trial->owed |= 1u << LEARNED;
	return true;
}

/* An offered address has answered. */
static void trial_move(struct tw_conn *conn, const struct tw_path *to, tw_ns now)
{
	struct tw_path_state *state = &conn->path;
	struct tw_path from = state->path;
	conn->trial.moved = true;
	conn->trial.owed = 0;
	conn->trial.next_at = now + TRIAL_HOME_EVERY;
	conn->trial.home = state->validated ? state->path : state->previous;
	tw_conn_path_init(conn, to, true);
	moved(conn, &from, now);
}

void tw_conn_go_to(struct tw_conn *conn, const struct tw_address *remote, tw_ns now)
{
	const struct tw_path to = { .remote = *remote };
	struct tw_path from = conn->path.path;

	if (!conn->initiator || conn->state != TW_CONN_ESTABLISHED)
		return;
	if (conn->trial.moved) {
		conn->trial.home = to;
		return;
	}
	tw_conn_path_init(conn, &to, true);
	conn->path.left = from.remote;
	moved(conn, &from, now);
	tw_recovery_nudge(conn, now);
	tw_conn_touch(conn);
}

/* The offered address has fallen silent. */
static void trial_home(struct tw_conn *conn, tw_ns now)
{
	struct tw_path_trial *trial = &conn->trial;
	struct tw_path from = conn->path.path;
	tw_ns pause = TRIAL_LATER << (trial->failures < 5 ? trial->failures : 5);
	trial->moved = false;
	trial->failures++;
	trial->next_at = now + tw_ns_min(pause, TRIAL_LATEST);
	tw_conn_path_init(conn, &trial->home, true);
	moved(conn, &from, now);
}

static tw_ns trial_limit(const struct tw_conn *conn)
{
	return tw_ns_max(TRIAL_SILENCE, 3 * tw_path_model_pto(&conn->model));
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
	/* Those are moved to by their answer alone; and what was still on its way by the old road
	 * does not lead back. */
	if (conn->initiator && (is_way(&conn->trial, &path->remote) ||
				(conn->trial.moved && path_equal(&conn->trial.home, path))))
		return;
	if (tw_address_equal(&state->left, &path->remote) && state->left.family != TW_FAMILY_NONE)
		return;
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

void tw_conn_path_answered(struct tw_conn *conn, const uint8_t *token, const struct tw_path *path,
			   tw_ns now)
{
	struct tw_path_state *state = &conn->path;
	if (conn->initiator && !conn->trial.moved && conn->trial.rounds &&
	    is_way(&conn->trial, &path->remote) &&
	    tw_equal_secret(token, conn->trial.token, TW_PATH_TOKEN_SIZE)) {
		trial_move(conn, path, now);
		return;
	}
	if (state->validated || !tw_equal_secret(token, state->challenge, TW_PATH_TOKEN_SIZE))
		return;
	state->validated = true;
	state->challenge_owed = false;
	state->previous = state->path;
}

tw_ns tw_conn_path_deadline(const struct tw_conn *conn)
{
	tw_ns at = conn->trial.owed ? 0 : conn->trial.next_at;
	if (conn->trial.moved)
		at = tw_ns_min(at, tw_ns_add(conn->silent_since, trial_limit(conn)));
	if (!conn->path.validated)
		at = tw_ns_min(at, tw_ns_min(conn->path.challenge_at, conn->path.give_up_at));
	return at;
}

void tw_conn_path_timeout(struct tw_conn *conn, tw_ns now)
{
	struct tw_path_state *state = &conn->path;
	if (conn->trial.moved && now >= tw_ns_add(conn->silent_since, trial_limit(conn)))
		trial_home(conn, now);
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
	uint64_t used = conn->path.sent_bytes + 1;
	return conn->path.received_bytes > used ? (size_t)(conn->path.received_bytes - used) : 0;
}
