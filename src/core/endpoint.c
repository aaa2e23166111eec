#include "core/endpoint.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/conn_internal.h"
#include "core/endpoint_internal.h"
#include "wire/steer.h"

#define ACTIVE_SPAN (20 * TW_MSEC) /* what a connection wants holds so long after it was active */

static struct tw_conn *conn_of(struct tw_timer *timer)
{
	/* The timer is the connection's first member. */
	return (struct tw_conn *)timer;
}

int tw_endpoint_new(const struct tw_endpoint_config *config, tw_ns now, struct tw_endpoint **ret)
{
	struct tw_endpoint *endpoint = calloc(1, sizeof(*endpoint));
	if (!endpoint)
		return -ENOMEM;
	endpoint->config = *config;
	if (!config->aeads)
		endpoint->config.aeads = tw_aead_supported();
	endpoint->now = now;
	tw_table_init(&endpoint->by_cid, 0);
	tw_table_init(&endpoint->by_init, tw_random_u64(&config->random));
	tw_heap_init(&endpoint->timers);
	if (config->places)
		endpoint->cid_salt = config->salt;
	else
		tw_cid_salt_init(&endpoint->cid_salt, &config->random);
	tw_cookie_jar_init(&endpoint->cookies, &config->random, now);
	tw_door_init(&endpoint->door, &config->random);
	*ret = endpoint;
	return 0;
}

void tw_endpoint_free(struct tw_endpoint *endpoint)
{
	if (!endpoint)
		return;
	/* First, while its timers are still there. */
	tw_heap_deinit(&endpoint->timers);
	for (size_t i = 0; i < endpoint->count; i++) {
		struct tw_conn *conn = endpoint->conns[i];
		if (conn->app && conn->app->closed && !conn->closed_told)
			conn->app->closed(conn->app_context, conn, TW_CONN_CLOSED_LOCAL, 0,
					  "the endpoint ends");
		tw_conn_free(conn);
	}
	free(endpoint->conns);
	tw_table_deinit(&endpoint->by_cid);
	tw_table_deinit(&endpoint->by_init);
	tw_cookie_jar_wipe(&endpoint->cookies);
	free(endpoint);
}

const struct tw_cid_salt *tw_endpoint_cid_salt(const struct tw_endpoint *endpoint)
{
	return &endpoint->cid_salt;
}

void tw_endpoint_set_offers(struct tw_endpoint *endpoint, const struct tw_address *offers,
			    unsigned count)
{
	if (count > TW_OFFERS_MAX)
		count = TW_OFFERS_MAX;
	memcpy(endpoint->config.offers, offers, count * sizeof(*offers));
	endpoint->config.offer_count = count;
}

uint64_t tw_endpoint_new_cid(struct tw_endpoint *endpoint)
{
	const struct tw_endpoint_config *config = &endpoint->config;
	uint64_t cid;

	do {
		cid = tw_cid_make(&endpoint->cid_salt, &config->random);
	} while (tw_table_get(&endpoint->by_cid, cid) ||
		 (config->places && !tw_steer_leads(cid, config->place, config->places)));
	return cid;
}

/* Takes a connection into the tables; on failure it is freed. */
static int adopt(struct tw_endpoint *endpoint, struct tw_conn *conn)
{
	int error = 0;
	if (endpoint->count == endpoint->room) {
		size_t room = endpoint->room ? endpoint->room * 2 : 16;
		struct tw_conn **conns = realloc(endpoint->conns, room * sizeof(struct tw_conn *));
		if (!conns)
			error = -ENOMEM;
		else {
			endpoint->conns = conns;
			endpoint->room = room;
		}
	}
	if (!error)
		error = tw_heap_set(&endpoint->timers, &conn->timer, 0);
	if (!error) {
		error = tw_table_put(&endpoint->by_cid, conn->cid, conn);
		if (error)
			tw_heap_remove(&endpoint->timers, &conn->timer);
	}
	if (error) {
		tw_conn_free(conn);
		return error;
	}
	conn->index = endpoint->count;
	endpoint->conns[endpoint->count++] = conn;
	return 0;
}

static void let_go(struct tw_endpoint *endpoint, struct tw_conn *conn)
{
	tw_endpoint_half_open(conn, false);
	tw_heap_remove(&endpoint->timers, &conn->timer);
	tw_table_remove(&endpoint->by_cid, conn->cid);
	if (conn->init_key && tw_table_get(&endpoint->by_init, conn->init_key) == conn)
		tw_table_remove(&endpoint->by_init, conn->init_key);
	struct tw_conn *last = endpoint->conns[--endpoint->count];
	endpoint->conns[conn->index] = last;
	last->index = conn->index;
	tw_conn_free(conn);
}

int tw_endpoint_connect(struct tw_endpoint *endpoint, const struct tw_connect *connect, tw_ns now,
			struct tw_conn **ret)
{
	struct tw_conn *conn;
	endpoint->now = now;
	int error = tw_conn_new(endpoint, true, now, &conn);
	if (error)
		return error;
	conn->config = connect->config;
	tw_conn_settle(&conn->config);
	conn->app = connect->app;
	conn->app_context = connect->app_context;
	const struct tw_path path = { connect->local, connect->remote };
	tw_conn_path_init(conn, &path, true);
	error = tw_handshake_start(conn, connect, now);
	if (error) {
		tw_conn_free(conn);
		return error;
	}
	error = adopt(endpoint, conn);
	if (!error)
		*ret = conn;
	return error;
}

/* Strangers. */

static struct tw_reply *new_reply(struct tw_endpoint *endpoint, const struct tw_path *path)
{
	if (endpoint->reply_count == TW_REPLIES_MAX) {
		endpoint->reply_first = (endpoint->reply_first + 1) % TW_REPLIES_MAX;
		endpoint->reply_count--;
	}
	size_t place = (endpoint->reply_first + endpoint->reply_count++) % TW_REPLIES_MAX;
	endpoint->replies[place].path = *path;
	endpoint->replies[place].length = 0;
	endpoint->replies[place].cid = 0;
	return &endpoint->replies[place];
}

static void reply_versions(struct tw_endpoint *endpoint, const struct tw_datagram *init,
			   const struct tw_path *path)
{
	const struct tw_datagram versions = {
		.type = TW_DATAGRAM_VERSIONS,
		.dcid = init->scid,
		.versions = { TW_VERSION_1 },
		.version_count = 1,
	};
	struct tw_reply *reply = new_reply(endpoint, path);
	reply->length = tw_datagram_write_versions(&versions, reply->bytes, sizeof(reply->bytes));
}

static void reply_retry(struct tw_endpoint *endpoint, const struct tw_datagram *init,
			const struct tw_path *path, tw_ns now)
{
	uint8_t cookie[TW_COOKIE_SIZE];
	tw_cookie_make(&endpoint->cookies, &endpoint->config.random, now, &path->remote, init->scid,
		       cookie);
	const struct tw_datagram retry = {
		.type = TW_DATAGRAM_RETRY,
		.version = TW_VERSION_1,
		.dcid = init->scid,
		.cookie = cookie,
	};
	struct tw_reply *reply = new_reply(endpoint, path);
	reply->length = tw_datagram_write_retry(&retry, reply->bytes, sizeof(reply->bytes));
}

/* Shorter than the question, and only to whoever knows the id. */
static void reply_echo(struct tw_endpoint *endpoint, const struct tw_datagram *probe,
		       const struct tw_path *path)
{
	const struct tw_datagram echo = { .type = TW_DATAGRAM_ECHO,
					  .dcid = probe->dcid,
					  .token = probe->token };
	struct tw_reply *reply = new_reply(endpoint, path);
	reply->length = tw_datagram_write_probe(&echo, reply->bytes, sizeof(reply->bytes));
	reply->cid = probe->dcid;
}

/* Shorter than the question. */
static void reply_discovered(struct tw_endpoint *endpoint, const struct tw_datagram *discover,
			     const struct tw_path *path)
{
	const struct tw_datagram discovered = { .type = TW_DATAGRAM_DISCOVERED,
						.token = discover->token,
						.observed = path->remote };
	struct tw_reply *reply = new_reply(endpoint, path);
	reply->length = tw_datagram_write_discover(&discovered, reply->bytes, sizeof(reply->bytes));
}

void tw_endpoint_discover(struct tw_endpoint *endpoint, const struct tw_path *path,
			  const uint8_t token[TW_PROBE_TOKEN_SIZE])
{
	const struct tw_datagram discover = { .type = TW_DATAGRAM_DISCOVER, .token = token };
	struct tw_reply *reply = new_reply(endpoint, path);
	reply->length = tw_datagram_write_discover(&discover, reply->bytes, sizeof(reply->bytes));
}

static void receive_discover(struct tw_endpoint *endpoint, const struct tw_datagram *datagram,
			     const struct tw_path *path)
{
	if (datagram->type == TW_DATAGRAM_DISCOVER) {
		if (endpoint->config.accept)
			reply_discovered(endpoint, datagram, path);
	} else if (endpoint->config.discovered) {
		endpoint->config.discovered(endpoint->config.context, datagram->token, path,
					    &datagram->observed);
	}
}

/* Looked for only when there are too many of them. */
static struct tw_conn *oldest_half_open(const struct tw_endpoint *endpoint)
{
	struct tw_conn *oldest = NULL;
	for (size_t i = 0; i < endpoint->count; i++) {
		struct tw_conn *conn = endpoint->conns[i];
		if (!conn->half_open || conn->state != TW_CONN_CONNECTING)
			continue;
		if (!oldest || conn->handshake->give_up_at < oldest->handshake->give_up_at)
			oldest = conn;
	}
	return oldest;
}

void tw_endpoint_half_open(struct tw_conn *conn, bool half_open)
{
	if (half_open && !conn->half_open)
		conn->endpoint->half_open++;
	else if (!half_open && conn->half_open)
		conn->endpoint->half_open--;
	conn->half_open = half_open;
}

uint64_t tw_endpoint_init_key(uint64_t scid, const struct tw_address *remote)
{
	uint64_t key = scid ^ ((uint64_t)remote->port << 48);
	for (unsigned i = 0; i < sizeof(remote->ip); i++)
		key = (key ^ remote->ip[i]) * UINT64_C(0x100000001b3);
	return key ? key : 1;
}

/*
 * May this INIT cost more than a look? Under load only with a good cookie (a RETRY is on its way
 * then), and from one address only so often.
 */
static bool proved(struct tw_endpoint *endpoint, const struct tw_datagram *init,
		   const struct tw_path *path, tw_ns now)
{
	if (!init->cookie || !tw_cookie_check(&endpoint->cookies, &endpoint->config.random, now,
					      &path->remote, init->scid, init->cookie)) {
		if (endpoint->half_open < TW_HALF_OPEN_COOKIE &&
		    tw_door_unproved(&endpoint->door, now))
			return true;
		reply_retry(endpoint, init, path, now);
		return false;
	}
	return tw_door_proved(&endpoint->door, &path->remote, now);
}

static bool let_in(struct tw_endpoint *endpoint, const struct tw_datagram *init,
		   const struct tw_path *path, tw_ns now, bool vouched)
{
	if (!vouched && !proved(endpoint, init, path, now))
		return false;
	if (endpoint->half_open >= TW_HALF_OPEN_MAX) {
		struct tw_conn *oldest = oldest_half_open(endpoint);
		if (oldest)
			tw_conn_finish(oldest, TW_CONN_TIMEOUT, 0, "pushed out by newer ones",
				       false);
	}
	return true;
}

static void receive_init(struct tw_endpoint *endpoint, const struct tw_datagram *init,
			 const struct tw_path *path, tw_ns now, bool vouched)
{
	if (!endpoint->config.accept)
		return;
	if (init->version != TW_VERSION_1) {
		reply_versions(endpoint, init, path);
		return;
	}
	uint64_t key = tw_endpoint_init_key(init->scid, &path->remote);
	struct tw_conn *conn = tw_table_get(&endpoint->by_init, key);
	if (conn) {
		/* Our ACCEPT was lost, or this is an echo: the same answer, while the handshake
		 * lasts. */
		if (conn->handshake && conn->handshake->message_hash == tw_handshake_hash(init)) {
			conn->handshake->send_now = true;
			tw_conn_touch(conn);
		}
		return;
	}
	if (init->pattern == TW_PATTERN_PLAIN && endpoint->config.cipher_min != TW_CIPHER_NONE)
		return;
	if (!let_in(endpoint, init, path, now, vouched) || tw_conn_new(endpoint, false, now, &conn))
		return;
	tw_conn_path_init(conn, path, false);
	if (tw_handshake_answer(conn, init, path, now)) {
		if (conn->app && conn->app->closed)
			conn->app->closed(conn->app_context, conn, TW_CONN_RESOURCES, 0,
					  "out of memory");
		tw_conn_free(conn);
		return;
	}
	if (adopt(endpoint, conn))
		return;
	tw_endpoint_half_open(conn, true);
	if (!tw_table_put(&endpoint->by_init, key, conn))
		conn->init_key = key;
}

void tw_endpoint_receive(struct tw_endpoint *endpoint, const struct tw_path *path, uint8_t *bytes,
			 size_t length, tw_ns now)
{
	struct tw_datagram datagram;
	endpoint->now = now;
	if (tw_datagram_parse(bytes, length, &datagram))
		return;
	if (datagram.type == TW_DATAGRAM_INIT) {
		receive_init(endpoint, &datagram, path, now, false);
		return;
	}
	if (datagram.type == TW_DATAGRAM_DISCOVER || datagram.type == TW_DATAGRAM_DISCOVERED) {
		receive_discover(endpoint, &datagram, path);
		return;
	}
	struct tw_conn *conn = tw_table_get(&endpoint->by_cid, datagram.dcid);
	if (!conn || conn->state == TW_CONN_GONE)
		return;
	conn->now = now;
	switch (datagram.type) {
	case TW_DATAGRAM_PACKET:
		tw_conn_receive(conn, &datagram, path, bytes, length, now);
		break;
	case TW_DATAGRAM_PROBE:
		if (!tw_address_equal(&path->remote, &conn->path.path.remote) &&
		    tw_conn_path_probed(conn, path))
			break;
		reply_echo(endpoint, &datagram, path);
		tw_recovery_nudge(conn, now);
		break;
	case TW_DATAGRAM_ACCEPT:
		tw_handshake_accepted(conn, &datagram, now);
		break;
	case TW_DATAGRAM_RETRY:
		tw_handshake_retry(conn, &datagram, now);
		break;
	case TW_DATAGRAM_VERSIONS:
		/* Only when ours is truly not among them. */
		for (size_t i = 0; i < datagram.version_count; i++) {
			if (datagram.versions[i] == TW_VERSION_1)
				return;
		}
		tw_handshake_other_version(conn, now);
		break;
	default:
		break;
	}
	tw_conn_touch(conn);
}

void tw_endpoint_receive_vouched(struct tw_endpoint *endpoint, const struct tw_path *path,
				 uint8_t *bytes, size_t length, tw_ns now)
{
	struct tw_datagram datagram;
	endpoint->now = now;
	if (!tw_datagram_parse(bytes, length, &datagram) && datagram.type == TW_DATAGRAM_INIT)
		receive_init(endpoint, &datagram, path, now, true);
}

void tw_endpoint_unreachable(struct tw_endpoint *endpoint, const struct tw_address *remote,
			     tw_ns now)
{
	for (size_t i = 0; i < endpoint->count; i++) {
		struct tw_conn *conn = endpoint->conns[i];
		conn->now = now;
		/* Once established, silence decides: anybody can forge an ICMP message. */
		if (conn->state == TW_CONN_CONNECTING && conn->initiator &&
		    conn->handshake->sends && tw_address_equal(&conn->path.path.remote, remote))
			tw_conn_finish(conn, TW_CONN_UNREACHABLE, 0, "nobody listens there", false);
	}
}

void tw_endpoint_too_long(struct tw_endpoint *endpoint, struct tw_conn *conn,
			  uint32_t datagram_bytes, tw_ns now)
{
	(void)endpoint;
	if (!conn || conn->state != TW_CONN_ESTABLISHED)
		return;
	conn->now = now;
	if (tw_mtu_too_long(&conn->mtu, datagram_bytes, now)) {
		tw_rate_controller_datagram_size(&conn->rate, conn->mtu.current);
		tw_pacer_set_datagram(&conn->pacer, conn->mtu.current);
	}
	tw_conn_touch(conn);
}

static bool send_reply(struct tw_endpoint *endpoint, struct tw_train *train)
{
	if (!endpoint->reply_count)
		return false;
	const struct tw_reply *reply = &endpoint->replies[endpoint->reply_first];
	endpoint->reply_first = (endpoint->reply_first + 1) % TW_REPLIES_MAX;
	endpoint->reply_count--;
	memcpy(train->bytes, reply->bytes, reply->length);
	train->length = reply->length;
	train->segment = (uint32_t)reply->length;
	train->path = reply->path;
	train->mtu_probe = train->aside = false;
	/* One that has dialled answers by its own socket. */
	train->conn = reply->cid ? tw_table_get(&endpoint->by_cid, reply->cid) : NULL;
	return reply->length > 0;
}

/* Puts a connection back at its deadline; one that is gone goes for good. */
static void resettle(struct tw_endpoint *endpoint, struct tw_conn *conn)
{
	if (conn->state == TW_CONN_GONE)
		let_go(endpoint, conn);
	else
		(void)tw_heap_set(&endpoint->timers, &conn->timer, tw_conn_deadline(conn));
}

static bool send_connection(struct tw_endpoint *endpoint, struct tw_train *train, tw_ns now)
{
	/*
	 * The connection that has waited longest goes first. One that was served comes back with a
	 * later deadline. One that had nothing to send although it was due waits for a tick: its
	 * deadline may lie in the past for a while.
	 */
	for (;;) {
		struct tw_timer *timer = tw_heap_top(&endpoint->timers);
		if (!timer || timer->at > now)
			return false;
		struct tw_conn *conn = conn_of(timer);
		tw_conn_timeout(conn, now);
		bool sent = conn->state != TW_CONN_GONE && !conn->held &&
			    tw_conn_send(conn, train, now);
		if (sent) {
			tw_endpoint_active(conn, now);
			tw_ns next = tw_conn_deadline(conn);
			(void)tw_heap_set(&endpoint->timers, &conn->timer, next > now ? next : now);
			return true;
		}
		resettle(endpoint, conn);
		if (tw_heap_top(&endpoint->timers) == timer && timer->at <= now)
			(void)tw_heap_set(&endpoint->timers, timer, now + TW_MSEC);
	}
}

bool tw_endpoint_send(struct tw_endpoint *endpoint, struct tw_train *train, tw_ns now)
{
	endpoint->now = now;
	/* By turns: however many strangers there are to answer, connections do not wait for them.
	 */
	if (!endpoint->replied && send_reply(endpoint, train)) {
		endpoint->replied = true;
		return true;
	}
	endpoint->replied = false;
	return send_connection(endpoint, train, now) || send_reply(endpoint, train);
}

uint64_t tw_endpoint_hold(struct tw_endpoint *endpoint, struct tw_conn *conn)
{
	assert(conn->endpoint == endpoint);
	conn->held = true;
	return conn->cid;
}

void tw_endpoint_release(struct tw_endpoint *endpoint, uint64_t held)
{
	struct tw_conn *conn = tw_table_get(&endpoint->by_cid, held);
	if (!conn || !conn->held)
		return;
	conn->held = false;
	tw_conn_touch(conn);
}

void tw_endpoint_timeout(struct tw_endpoint *endpoint, tw_ns now)
{
	/* Timers are dealt with where trains are built: a connection that is due gets both. Nothing
	 * else runs on time. */
	endpoint->now = now;
}

tw_ns tw_endpoint_deadline(const struct tw_endpoint *endpoint)
{
	if (endpoint->reply_count)
		return 0;
	const struct tw_timer *timer = tw_heap_top(&endpoint->timers);
	return timer ? timer->at : TW_NEVER;
}

void tw_endpoint_active(struct tw_conn *conn, tw_ns now)
{
	struct tw_endpoint *endpoint = conn->endpoint;
	tw_ns patience = tw_conn_patience(conn, now);

	if (!patience) {
		endpoint->hurried_until = now + ACTIVE_SPAN;
	} else if (patience <= endpoint->patience || now >= endpoint->patient_until) {
		endpoint->patience = patience;
		endpoint->patient_until = now + ACTIVE_SPAN;
	}
}

tw_ns tw_endpoint_patience(const struct tw_endpoint *endpoint, tw_ns now)
{
	if (now < endpoint->hurried_until || now >= endpoint->patient_until)
		return 0;
	return endpoint->patience;
}

size_t tw_endpoint_count(const struct tw_endpoint *endpoint)
{
	return endpoint->count;
}

struct tw_conn *tw_endpoint_conn(const struct tw_endpoint *endpoint, size_t index)
{
	assert(index < endpoint->count);
	return endpoint->conns[index];
}
