/*
 * handshake.c - from two keys to a protected connection in one round trip (docs/protocol.md,
 * "Handshake").
 *
 *   INIT    ->   e, es, s, ss, {initiator's id, parameters}
 *           <-   RETRY with a cookie (only under load)
 *           <-   ACCEPT  e, ee, se, {responder's id, parameters}
 *   PACKET  ->   the first protected packet shows that the initiator holds the keys
 *
 * The prologue binds version, pattern and the initiator's connection id; the responder's id travels
 * inside the encrypted payload. The level of the cipher is agreed inside too, so nobody in the
 * middle can lower it. With the pattern `plain` (encryption off, key unknown) the same payloads
 * travel bare.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "core/conn_internal.h"

#define PROLOGUE_SIZE 32
#define PAYLOAD_MAX 512

static size_t write_prologue(uint8_t prologue[PROLOGUE_SIZE], uint8_t pattern,
			     uint64_t initiator_cid)
{
	struct tw_writer writer;
	tw_writer_init(&writer, prologue, PROLOGUE_SIZE);
	tw_write_bytes(&writer, "tradewind", 9);
	tw_write_u32(&writer, TW_VERSION_1);
	tw_write_u8(&writer, pattern);
	tw_write_u64(&writer, initiator_cid);
	return tw_writer_length(&writer);
}

uint64_t tw_handshake_hash(const struct tw_datagram *init)
{
	/* FNV-1a: tells a repeated INIT from another one with the same id; nothing depends on it
	 * being hard to forge. */
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	for (size_t i = 0; i < init->message_length; i++)
		hash = (hash ^ init->message[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* The first bytes of an IPv4-mapped IPv6 address. */
static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static void write_ip(const struct tw_address *address, uint8_t ret[16])
{
	if (address->family == TW_FAMILY_IPV4) {
		memcpy(ret, mapped, sizeof(mapped));
		memcpy(ret + sizeof(mapped), address->ip, 4);
	} else {
		memcpy(ret, address->ip, 16);
	}
}

/* Zeros are no address. */
static struct tw_address read_ip(const uint8_t bytes[16], uint16_t port)
{
	struct tw_address address = { .family = TW_FAMILY_IPV6, .port = port };
	static const uint8_t zeros[16];

	if (memcmp(bytes, zeros, sizeof(zeros)) == 0)
		return (struct tw_address){ .family = TW_FAMILY_NONE };
	memcpy(address.ip, bytes, sizeof(address.ip));
	if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
		address.family = TW_FAMILY_IPV4;
		memset(address.ip, 0, sizeof(address.ip));
		memcpy(address.ip, bytes + sizeof(mapped), 4);
	}
	return address;
}

/* What an ACCEPT tells its initiator of addresses. */
static void write_addresses(const struct tw_endpoint_config *config, const struct tw_path *path,
			    struct tw_params *params)
{
	params->observed_port = path->remote.port;
	write_ip(&path->remote, params->observed_ip);
	for (unsigned i = 0; i < config->offer_count; i++) {
		uint8_t *offer = params->offers + i * TW_OFFER_SIZE;

		write_ip(&config->offers[i], offer);
		offer[16] = (uint8_t)(config->offers[i].port >> 8);
		offer[17] = (uint8_t)config->offers[i].port;
	}
}

static void read_addresses(struct tw_conn *conn, const struct tw_params *params, tw_ns now)
{
	struct tw_address offers[TW_OFFERS_MAX];

	conn->observed = read_ip(params->observed_ip, (uint16_t)params->observed_port);
	for (unsigned i = 0; i < TW_OFFERS_MAX; i++) {
		const uint8_t *offer = params->offers + i * TW_OFFER_SIZE;

		offers[i] = read_ip(offer, (uint16_t)(offer[16] << 8 | offer[17]));
		if (!offers[i].port)
			offers[i].family = TW_FAMILY_NONE;
	}
	tw_conn_trial_init(conn, offers, now);
}

static void own_params(const struct tw_conn *conn, struct tw_params *params)
{
	const struct tw_endpoint_config *config = &conn->endpoint->config;
	tw_params_init(params);
	params->cipher_min = config->cipher_min;
	params->data_window = conn->data_window;
	params->stream_window = TW_STREAM_BUFFER;
	params->datagram_max = conn->config.datagram_max;
	params->ack_delay_us = TW_ACK_DELAY_MAX / TW_USEC;
	memcpy(params->server_id, config->server_id, TW_ID_SIZE);
	memcpy(params->server_uid, config->server_uid, TW_ID_SIZE);
}

/* Who is not let in learns that, and nothing of this server: which it is, how it is set up, where
 * else it is. */
static void hide_params(struct tw_params *params)
{
	const struct tw_params told = *params;
	tw_params_init(params);
	params->status = told.status;
	params->cipher = told.cipher;
	params->aead = told.aead;
	params->datagram_max = TW_PARAM_DATAGRAM_LEAST;
}

/* The payload of either message: the writer's connection id and its parameters. */
static size_t write_payload(const struct tw_conn *conn, const struct tw_params *params,
			    uint8_t payload[PAYLOAD_MAX])
{
	struct tw_writer writer;
	tw_writer_init(&writer, payload, PAYLOAD_MAX);
	tw_write_u64(&writer, conn->cid);
	size_t length = tw_params_write(params, writer.at, tw_writer_room(&writer));
	return length ? tw_writer_length(&writer) + length : 0;
}

static int read_payload(const uint8_t *payload, size_t length, uint64_t scid, struct tw_params *ret)
{
	struct tw_reader reader;
	tw_reader_init(&reader, payload, length);
	if (tw_read_u64(&reader) != scid || reader.failed)
		return TW_E_FORMAT;
	return tw_params_read(reader.at, tw_reader_left(&reader), ret);
}

static int write_message(struct tw_handshake *handshake, const uint8_t *payload, size_t length,
			 uint8_t *ret_message, size_t *ret_length)
{
	if (!length)
		return -ENOBUFS;
	if (handshake->pattern == TW_PATTERN_IK)
		return tw_noise_write(&handshake->noise, payload, length, ret_message,
				      TW_HANDSHAKE_MESSAGE_MAX, ret_length);
	memcpy(ret_message, payload, length);
	*ret_length = length;
	return 0;
}

static int read_message(struct tw_handshake *handshake, const struct tw_datagram *datagram,
			uint8_t payload[TW_HANDSHAKE_MESSAGE_MAX], size_t *ret_length)
{
	if (datagram->message_length > TW_HANDSHAKE_MESSAGE_MAX)
		return TW_E_FORMAT;
	if (handshake->pattern == TW_PATTERN_IK)
		return tw_noise_read(&handshake->noise, datagram->message, datagram->message_length,
				     payload, ret_length);
	memcpy(payload, datagram->message, datagram->message_length);
	*ret_length = datagram->message_length;
	return 0;
}

static int handshake_new(struct tw_conn *conn, uint8_t pattern, const struct tw_public_key *peer,
			 uint64_t initiator_cid)
{
	struct tw_handshake *handshake = calloc(1, sizeof(*handshake));
	if (!handshake)
		return -ENOMEM;
	conn->handshake = handshake;
	handshake->pattern = pattern;
	handshake->initiator = conn->initiator;
	if (pattern != TW_PATTERN_IK)
		return 0;
	struct tw_secret ephemeral;
	uint8_t prologue[PROLOGUE_SIZE];
	tw_random_fill(&conn->endpoint->config.random, ephemeral.bytes, sizeof(ephemeral.bytes));
	int error = tw_noise_init(&handshake->noise, conn->endpoint->config.identity, &ephemeral,
				  peer, prologue, write_prologue(prologue, pattern, initiator_cid));
	tw_wipe(&ephemeral, sizeof(ephemeral));
	return error;
}

void tw_handshake_free(struct tw_conn *conn)
{
	if (!conn->handshake)
		return;
	tw_noise_wipe(&conn->handshake->noise);
	tw_wipe(conn->handshake, sizeof(*conn->handshake));
	free(conn->handshake);
	conn->handshake = NULL;
}

/* Once both messages are through: one chain a direction. */
static int make_keys(struct tw_conn *conn)
{
	struct tw_secret send = { { 0 } }, receive = { { 0 } };
	if (conn->handshake->pattern == TW_PATTERN_IK)
		tw_noise_split(&conn->handshake->noise, &send, &receive);
	int error = tw_seal_chain_init(&conn->seal, conn->cipher, conn->aead, &send);
	if (!error)
		error = tw_open_chain_init(&conn->open, conn->cipher, conn->aead, &receive);
	tw_wipe(&send, sizeof(send));
	tw_wipe(&receive, sizeof(receive));
	return error;
}

static bool write_init_datagram(struct tw_conn *conn, const uint8_t *cookie)
{
	struct tw_handshake *handshake = conn->handshake;
	const struct tw_datagram init = {
		.type = TW_DATAGRAM_INIT,
		.version = TW_VERSION_1,
		.scid = conn->cid,
		.pattern = handshake->pattern,
		.cookie = cookie,
		.message = handshake->message,
		.message_length = handshake->message_length,
	};
	handshake->length =
		tw_datagram_write_init(&init, handshake->datagram, sizeof(handshake->datagram));
	return handshake->length > 0;
}

int tw_handshake_start(struct tw_conn *conn, const struct tw_connect *connect, tw_ns now)
{
	uint8_t pattern =
		tw_public_key_known(&connect->peer_key) ? TW_PATTERN_IK : TW_PATTERN_PLAIN;
	if (pattern == TW_PATTERN_PLAIN && connect->cipher != TW_CIPHER_NONE)
		return TW_E_WEAK;
	conn->peer_key = connect->peer_key;
	int error = handshake_new(conn, pattern, &conn->peer_key, conn->cid);
	if (error)
		return error;
	struct tw_handshake *handshake = conn->handshake;
	handshake->wish = connect->cipher;
	handshake->give_up_at =
		tw_ns_add(now, connect->handshake_timeout ? connect->handshake_timeout
							  : TW_HANDSHAKE_TIMEOUT);

	struct tw_params params;
	uint8_t payload[PAYLOAD_MAX];
	own_params(conn, &params);
	params.cipher = connect->cipher;
	params.aead = conn->endpoint->config.aeads;
	params.lane = conn->config.lane;
	error = write_message(handshake, payload, write_payload(conn, &params, payload),
			      handshake->message, &handshake->message_length);
	if (error)
		return error;
	uint8_t cookie[TW_COOKIE_SIZE];
	if (connect->ticket)
		tw_ticket_cookie(connect->ticket, conn->cid, cookie);
	if (!write_init_datagram(conn, connect->ticket ? cookie : NULL))
		return -ENOBUFS;
	handshake->send_now = true;
	return 0;
}

/* Level and algorithm for what the initiator asks; anything but OK goes back to him as the reason.
 */
static uint64_t agree(struct tw_conn *conn, const struct tw_params *theirs)
{
	if (theirs->cipher >= TW_CIPHER_COUNT ||
	    theirs->cipher < conn->endpoint->config.cipher_min ||
	    theirs->cipher < theirs->cipher_min)
		return TW_HANDSHAKE_CIPHER_TOO_WEAK;
	conn->cipher = (enum tw_cipher)theirs->cipher;
	if (conn->handshake->pattern == TW_PATTERN_PLAIN && conn->cipher != TW_CIPHER_NONE)
		return TW_HANDSHAKE_CIPHER_TOO_WEAK;
	uint64_t aead = tw_aead_choose(conn->endpoint->config.aeads, theirs->aead);
	if (!aead && conn->cipher != TW_CIPHER_NONE)
		return TW_HANDSHAKE_CIPHER_TOO_WEAK;
	conn->aead = aead ? (enum tw_aead)aead : TW_AEAD_AES_GCM;
	return TW_HANDSHAKE_OK;
}

/* No status of the wire's: nothing is answered. */
#define ELSEWHERE UINT64_MAX

static uint64_t admit(struct tw_conn *conn, const struct tw_path *path)
{
	const struct tw_endpoint_config *config = &conn->endpoint->config;
	const unsigned lane = (unsigned)conn->peer.lane;
	struct tw_conn_config settings = { .lane = lane };
	const struct tw_conn_app *app = NULL;
	void *context = NULL;
	switch (config->admit(config->context, &conn->peer_key, path, &settings, &app, &context)) {
	case TW_ACCEPT_YES:
		settings.lane = lane;
		tw_conn_settle(&settings);
		conn->config = settings;
		if (settings.data_window)
			conn->data_window = settings.data_window;
		conn->app = app;
		conn->app_context = context;
		return TW_HANDSHAKE_OK;
	case TW_ACCEPT_BUSY:
		return TW_HANDSHAKE_BUSY;
	case TW_ACCEPT_ELSEWHERE:
		return ELSEWHERE;
	default:
		return TW_HANDSHAKE_NOT_AUTHORIZED;
	}
}

int tw_handshake_answer(struct tw_conn *conn, const struct tw_datagram *init,
			const struct tw_path *path, tw_ns now)
{
	uint8_t payload[TW_HANDSHAKE_MESSAGE_MAX];
	size_t length;
	int error = handshake_new(conn, init->pattern, NULL, init->scid);
	if (error)
		return error;
	struct tw_handshake *handshake = conn->handshake;
	error = read_message(handshake, init, payload, &length);
	if (error)
		return error;
	error = read_payload(payload, length, init->scid, &conn->peer);
	if (error)
		return error;
	if (handshake->pattern == TW_PATTERN_IK)
		conn->peer_key = handshake->noise.peer;
	conn->peer_cid = init->scid;
	handshake->peer_scid = init->scid;
	handshake->message_hash = tw_handshake_hash(init);
	handshake->give_up_at = now + TW_HANDSHAKE_TIMEOUT;

	uint64_t status = agree(conn, &conn->peer);
	if (status == TW_HANDSHAKE_OK)
		status = admit(conn, path);
	if (status == ELSEWHERE)
		return TW_E_CLOSED;
	struct tw_params params;
	own_params(conn, &params);
	params.status = status;
	params.cipher = conn->cipher;
	params.aead = conn->aead;
	if (status == TW_HANDSHAKE_NOT_AUTHORIZED)
		hide_params(&params);
	else
		write_addresses(&conn->endpoint->config, path, &params);
	uint8_t answer[PAYLOAD_MAX];
	error = write_message(handshake, answer, write_payload(conn, &params, answer),
			      handshake->message, &handshake->message_length);
	if (error)
		return error;
	const struct tw_datagram accept = {
		.type = TW_DATAGRAM_ACCEPT,
		.version = TW_VERSION_1,
		.dcid = conn->peer_cid,
		.scid = conn->cid,
		.pattern = handshake->pattern,
		.message = handshake->message,
		.message_length = handshake->message_length,
	};
	handshake->length =
		tw_datagram_write_accept(&accept, handshake->datagram, sizeof(handshake->datagram));
	if (!handshake->length)
		return -ENOBUFS;
	handshake->send_now = true;
	if (status == TW_HANDSHAKE_OK)
		return make_keys(conn);
	/* Refused: it learns only why, and this side forgets it soon. */
	handshake->refused = true;
	handshake->give_up_at = now + TW_CLOSE_LINGER;
	return 0;
}

static enum tw_conn_end refusal(uint64_t status)
{
	switch (status) {
	case TW_HANDSHAKE_CIPHER_TOO_WEAK:
		return TW_CONN_CIPHER_TOO_WEAK;
	case TW_HANDSHAKE_BUSY:
		return TW_CONN_BUSY;
	default:
		return TW_CONN_NOT_AUTHORIZED;
	}
}

void tw_handshake_accepted(struct tw_conn *conn, const struct tw_datagram *accept, tw_ns now)
{
	struct tw_handshake *handshake = conn->handshake;
	uint8_t payload[TW_HANDSHAKE_MESSAGE_MAX];
	size_t length;
	if (conn->state != TW_CONN_CONNECTING || !handshake || !conn->initiator ||
	    accept->pattern != handshake->pattern)
		return;
	/*
	 * A forged ACCEPT must not end the attempt. One that does not open leaves the handshake as
	 * it was; one that opens but whose header was changed on the way must leave no trace
	 * either.
	 */
	struct tw_noise before = handshake->noise;
	struct tw_params theirs;
	bool good = !read_message(handshake, accept, payload, &length) &&
		    !read_payload(payload, length, accept->scid, &theirs);
	if (!good)
		handshake->noise = before;
	tw_wipe(&before, sizeof(before));
	if (!good)
		return;
	conn->peer = theirs;
	read_addresses(conn, &theirs, now);
	conn->peer_cid = accept->scid;
	conn->last_received_at = now;
	conn->packets_received++;
	if (theirs.status != TW_HANDSHAKE_OK) {
		tw_conn_finish(conn, refusal(theirs.status), 0, "", false);
		return;
	}
	if (theirs.cipher != (uint64_t)handshake->wish ||
	    theirs.cipher < conn->endpoint->config.cipher_min) {
		tw_conn_finish(conn, TW_CONN_CIPHER_TOO_WEAK, 0, "", false);
		return;
	}
	conn->cipher = (enum tw_cipher)theirs.cipher;
	if (conn->cipher != TW_CIPHER_NONE &&
	    tw_aead_choose(conn->endpoint->config.aeads, theirs.aead) != theirs.aead) {
		tw_conn_finish(conn, TW_CONN_PROTOCOL, 0, "an algorithm that was not offered",
			       false);
		return;
	}
	conn->aead = theirs.aead == TW_AEAD_CHACHA20_POLY1305 ? TW_AEAD_CHACHA20_POLY1305
							      : TW_AEAD_AES_GCM;
	if (make_keys(conn)) {
		tw_conn_finish(conn, TW_CONN_RESOURCES, 0, "out of memory", false);
		return;
	}
	tw_ns rtt = handshake->sends == 1 ? tw_ns_since(now, handshake->last_sent_at) : 0;
	tw_handshake_free(conn);
	/* The responder waits for a first packet. */
	conn->ping_owed = true;
	tw_conn_start(conn, rtt);
}

void tw_handshake_other_version(struct tw_conn *conn, tw_ns now)
{
	struct tw_handshake *handshake = conn->handshake;
	if (conn->state != TW_CONN_CONNECTING || !handshake || !conn->initiator ||
	    handshake->other_version)
		return;
	handshake->other_version = true;
	handshake->give_up_at = tw_ns_min(handshake->give_up_at, tw_ns_add(now, TW_VERSION_DOUBT));
}

void tw_handshake_retry(struct tw_conn *conn, const struct tw_datagram *retry, tw_ns now)
{
	struct tw_handshake *handshake = conn->handshake;
	(void)now;
	if (conn->state != TW_CONN_CONNECTING || !handshake || !conn->initiator)
		return;
	/* The answer to a repeated INIT: the one with this cookie is on its way already. */
	if (handshake->retried &&
	    memcmp(handshake->cookie, retry->cookie, sizeof(handshake->cookie)) == 0)
		return;
	if (!write_init_datagram(conn, retry->cookie))
		return;
	memcpy(handshake->cookie, retry->cookie, sizeof(handshake->cookie));
	handshake->retried = true;
	handshake->repeats = 0;
	handshake->send_now = true;
}
