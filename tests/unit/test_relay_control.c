/*
 * What servers and relays say to each other, byte by byte: docs/protocol.md, "Relays".
 */
#include "unit.h"

#include "../support/document.h"
#include "../support/guarded.h"
#include "base/error.h"
#include "base/random.h"
#include "base/text.h"
#include "crypto/cookie.h"
#include "relay/control.h"
#include "relay/leg.h"
#include "relay/pipe.h"

static const struct tw_address v4 = { TW_FAMILY_IPV4, { 192, 0, 2, 1 }, 8886, 0 };
static const struct tw_address v6 = {
	TW_FAMILY_IPV6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 }, 40000, 0
};

/* A key pair of counting bytes, as in the rest of the page. */
static struct tw_identity counting(uint8_t first)
{
	struct tw_identity identity;
	struct tw_secret secret;

	for (size_t i = 0; i < sizeof secret.bytes; i++)
		secret.bytes[i] = (uint8_t)(first + i);
	assert_int_equal(tw_identity_from_private(&secret, &identity), 0);
	return identity;
}

static struct tw_relay_keys keys_of_the_page(void)
{
	struct tw_identity server = counting(0x01), relay = counting(0x21);
	struct tw_relay_keys ours, theirs;

	assert_int_equal(tw_relay_keys_make(&server, &relay.public_key, &relay.public_key, &ours),
			 0);
	assert_int_equal(tw_relay_keys_make(&relay, &server.public_key, &relay.public_key, &theirs),
			 0);
	assert_memory_equal(&ours, &theirs, sizeof ours);
	return ours;
}

static void show(const char *section, const void *bytes, size_t length)
{
	char text[4096];

	if (document_has(section, bytes, length))
		return;
	fail_msg("section %s lacks: %s", section, tw_text_hex(bytes, length, text));
}

static void test_keys_and_ticket(void **state)
{
	struct tw_relay_keys keys = keys_of_the_page();
	const struct tw_ticket ticket = { .key = keys.ticket, .index = 7 };
	uint8_t cookie[16];

	(void)state;
	show("Relay keys and tickets", keys.leg.bytes, TW_KEY_SIZE);
	show("Relay keys and tickets", keys.ticket.bytes, TW_KEY_SIZE);
	tw_ticket_cookie(&ticket, 0x0102030405060708, cookie);
	show("Relay keys and tickets", cookie, sizeof cookie);
	assert_int_equal(document_count("Relay keys and tickets"), 3);
}

static const struct tw_relay_leg legs[] = {
	{ .type = TW_RELAY_LEG, .handle = 0x1112131415161718, .counter = 1 },
	{ .type = TW_RELAY_LEG_SEEN,
	  .handle = 0x1112131415161718,
	  .counter = 1,
	  .seen = { TW_FAMILY_IPV4, { 192, 0, 2, 1 }, 8886, 0 } },
};

static void test_legs(void **state)
{
	struct tw_relay_keys keys = keys_of_the_page();
	struct guarded guarded;

	(void)state;
	guarded_init(&guarded, 4096);
	for (size_t i = 0; i < ARRAY_SIZE(legs); i++) {
		uint8_t bytes[TW_RELAY_LEG_SIZE];
		size_t length = tw_relay_leg_write(&legs[i], &keys.leg, bytes);
		struct tw_relay_leg back;

		show("LEG and LEG_SEEN", bytes, length);
		assert_int_equal(tw_relay_leg_read(bytes, length, &keys.leg, &back), 0);
		assert_int_equal(back.type, legs[i].type);
		assert_int_equal(back.handle, legs[i].handle);
		assert_int_equal(back.counter, legs[i].counter);
		assert_true(tw_address_equal(&back.seen, &legs[i].seen));
		for (size_t cut = 0; cut < length; cut++)
			assert_int_not_equal(tw_relay_leg_read(guarded_copy(&guarded, bytes, cut),
							       cut, &keys.leg, &back),
					     0);
		/* Whatever is changed, up to the tag and in it. */
		for (size_t bit = 0; bit < (legs[i].type == TW_RELAY_LEG ? 34 : length) * 8;
		     bit++) {
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_not_equal(tw_relay_leg_read(bytes, length, &keys.leg, &back), 0);
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		assert_int_equal(tw_relay_leg_read(bytes, length, &keys.ticket, &back), TW_E_AUTH);
	}
	assert_int_equal(document_count("LEG and LEG_SEEN"), ARRAY_SIZE(legs));
	/* No answer is longer than its question, with the longest address. */
	struct tw_relay_leg longest = legs[1];
	uint8_t bytes[TW_RELAY_LEG_SIZE];

	longest.seen = v6;
	assert_in_range(tw_relay_leg_write(&longest, &keys.leg, bytes), 1, TW_RELAY_LEG_SIZE);
	guarded_deinit(&guarded);
}

static const uint8_t noise[] = { 0xa0, 0xa1, 0xa2 };

static struct tw_relay_message example(enum tw_relay_message_type type)
{
	struct tw_relay_message message = { .type = type };

	switch (type) {
	case TW_RELAY_HELLO:
		message.number = TW_RELAY_VERSION;
		/* fallthrough */
	case TW_RELAY_WELCOME:
	case TW_RELAY_DATAGRAM:
		message.bytes = noise;
		message.length = sizeof noise;
		break;
	case TW_RELAY_REGISTER:
		message.number = 0x0102030405060708;
		message.flags = TW_RELAY_ACCEPTS;
		message.port = 8886;
		break;
	case TW_RELAY_REGISTERED:
		message.number = 0x1112131415161718;
		message.port = 8886;
		message.seen = v4;
		break;
	case TW_RELAY_REFUSED:
		message.refusal = TW_RELAY_FULL;
		message.bytes = (const uint8_t *)"full";
		message.length = 4;
		break;
	case TW_RELAY_MODE:
		message.flags = 1;
		break;
	case TW_RELAY_DESTINATION:
		message.number = 7;
		message.address = v6;
		break;
	case TW_RELAY_DESTINATION_ANSWER:
		message.number = 7;
		message.refusal = TW_RELAY_NOT_ALLOWED;
		break;
	case TW_RELAY_ROUTE:
		message.flags = TW_RELAY_OUTGOING;
		message.peer_cid = 0x2122232425262728;
		message.address = v4;
		/* fallthrough */
	case TW_RELAY_ROUTE_GONE:
		message.server_cid = 0x0102030405060708;
		break;
	case TW_RELAY_SEEN:
		message.server_cid = 0x0102030405060708;
		message.address = v4;
		break;
	default:
		message.number = 99;
	}
	return message;
}

static bool same(const struct tw_relay_message *a, const struct tw_relay_message *b)
{
	return a->type == b->type && a->number == b->number && a->length == b->length &&
	       (!a->length || memcmp(a->bytes, b->bytes, a->length) == 0) && a->flags == b->flags &&
	       a->refusal == b->refusal && a->port == b->port && a->server_cid == b->server_cid &&
	       a->peer_cid == b->peer_cid && tw_address_equal(&a->address, &b->address) &&
	       tw_address_equal(&a->seen, &b->seen);
}

static void test_messages(void **state)
{
	struct guarded guarded;

	(void)state;
	guarded_init(&guarded, 4096);
	for (int type = 1; type < TW_RELAY_MESSAGE_TYPES; type++) {
		struct tw_relay_message message = example((enum tw_relay_message_type)type), back;
		uint8_t bytes[256];
		size_t length = tw_relay_message_write(&message, bytes, sizeof bytes), taken;

		assert_true(length > 0);
		show("Control messages", bytes, length);
		assert_int_equal(tw_relay_message_read(bytes, length, &back, &taken), 0);
		assert_int_equal(taken, length);
		assert_true(same(&message, &back));
		for (size_t cut = 0; cut < length; cut++)
			assert_int_equal(tw_relay_message_read(guarded_copy(&guarded, bytes, cut),
							       cut, &back, &taken),
					 TW_E_AGAIN);
		for (size_t room = 0; room < length; room++)
			assert_int_equal(tw_relay_message_write(&message,
								guarded_tail(&guarded, room), room),
					 0);
	}
	assert_int_equal(document_count("Control messages"), TW_RELAY_MESSAGE_TYPES - 1);
	guarded_deinit(&guarded);
}

static void test_bad_messages(void **state)
{
	static const struct {
		const char *what;
		uint8_t bytes[12];
		size_t length;
		int result;
	} cases[] = {
		{ "no length", { 0 }, 1, TW_E_FORMAT },
		{ "too long", { 0x80, 0, 0x40, 1 }, 4, TW_E_FORMAT },
		{ "type unknown", { 2, 63, 1 }, 3, TW_E_END },
		{ "type 0", { 1, 0 }, 2, TW_E_END },
		{ "cut inside", { 2, TW_RELAY_PING, 1 }, 3, TW_E_FORMAT },
		{ "empty datagram", { 1, TW_RELAY_DATAGRAM }, 2, TW_E_FORMAT },
		{ "address family", { 5, TW_RELAY_DESTINATION, 1, 5, 1, 1 }, 6, TW_E_FORMAT },
		{ "index",
		  { 10, TW_RELAY_DESTINATION, 0xc0, 0, 0, 1, 0, 0, 0, 0, 0 },
		  11,
		  TW_E_FORMAT },
		{ "more behind", { 4, TW_RELAY_MODE, 1, 2, 3 }, 5, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tw_relay_message message;
		size_t taken = 0;

		if (tw_relay_message_read(cases[i].bytes, cases[i].length, &message, &taken) !=
		    cases[i].result)
			fail_msg("%s: another result", cases[i].what);
		if (cases[i].result == TW_E_END || !cases[i].result)
			assert_int_equal(taken, cases[i].length);
	}
}

static void test_long_datagram(void **state)
{
	static uint8_t content[TW_DATAGRAM_MAX + 1], bytes[TW_RELAY_MESSAGE_ROOM];
	struct tw_relay_message message = { .type = TW_RELAY_DATAGRAM,
					    .bytes = content,
					    .length = TW_DATAGRAM_MAX },
				back;
	size_t length = tw_relay_message_write(&message, bytes, sizeof bytes), taken;

	(void)state;
	assert_true(length > TW_DATAGRAM_MAX);
	assert_int_equal(tw_relay_message_read(bytes, length, &back, &taken), 0);
	assert_int_equal(back.length, TW_DATAGRAM_MAX);
	message.length++;
	length = tw_relay_message_write(&message, bytes, sizeof bytes);
	assert_int_equal(tw_relay_message_read(bytes, length, &back, &taken), TW_E_FORMAT);
}

/* Bytes come out as they went in, in whatever portions, and never more wait than the cap. */
static void test_pipe(void **state)
{
	struct tw_relay_pipe pipe;
	struct tw_prng prng;
	uint64_t in = 0, out = 0;

	(void)state;
	tw_prng_init(&prng, 1);
	tw_relay_pipe_init(&pipe, 10000);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t bytes[3000];
		size_t length = tw_prng_below(&prng, sizeof bytes);

		for (size_t at = 0; at < length; at++)
			bytes[at] = (uint8_t)((in + at) * 7);
		if (length + (in - out) > 10000)
			assert_int_equal(tw_relay_pipe_put(&pipe, bytes, length), TW_E_FULL);
		else if (!tw_relay_pipe_put(&pipe, bytes, length))
			in += length;
		assert_int_equal(tw_relay_pipe_length(&pipe), in - out);
		length = tw_prng_below(&prng, in - out + 1);
		for (size_t at = 0; at < length; at++)
			assert_int_equal(pipe.bytes[pipe.start + at], (uint8_t)((out + at) * 7));
		tw_relay_pipe_take(&pipe, length);
		out += length;
	}
	assert_true(pipe.room <= 16384);
	tw_relay_pipe_deinit(&pipe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_and_ticket), cmocka_unit_test(test_legs),
		cmocka_unit_test(test_messages),        cmocka_unit_test(test_bad_messages),
		cmocka_unit_test(test_long_datagram),   cmocka_unit_test(test_pipe),
	};

	return cmocka_run_group_tests_name("relay_control", tests, NULL, NULL);
}
