/*
 * Every datagram of docs/protocol.md, "Datagrams" and "Packet numbers": vectors, truncations,
 * limits, random round trips.
 */
#include "unit.h"

#include "../support/document.h"
#include "../support/guarded.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/random.h"
#include "wire/datagram.h"

/* clang-format off */
#define BYTES(...) \
	.bytes = (const uint8_t[]){ __VA_ARGS__ }, .length = sizeof(const uint8_t[]){ __VA_ARGS__ }
/* clang-format on */
#define COOKIE \
	0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, \
		0xff

#define TOKEN (const uint8_t[]){ 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8 }

typedef size_t write_fn(const struct tw_datagram *datagram, uint8_t *bytes, size_t room);

/* Sections INIT, ACCEPT, RETRY, VERSIONS. @bytes are followed by zeros up to @padded. */
static const struct vector {
	const char *section;
	const uint8_t *bytes;
	size_t length, padded;
	struct tw_datagram datagram;
	write_fn *write;
} vectors[] = {
	{ "INIT",
	  BYTES(0x01, 0x54, 0x57, 0x00, 0x01, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x00,
		0x00, 0x00, 0x0b, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x02, 0x01, 0x00),
	  1200,
	  { .type = TW_DATAGRAM_INIT,
	    .version = TW_VERSION_1,
	    .scid = 0x0102030405060708,
	    .pattern = TW_PATTERN_PLAIN,
	    .message = (const uint8_t[]){ 1, 2, 3, 4, 5, 6, 7, 8, 2, 1, 0 },
	    .message_length = 11 },
	  tw_datagram_write_init },
	{ "INIT",
	  BYTES(0x01, 0x54, 0x57, 0x00, 0x01, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x01,
		0x10, COOKIE, 0x00, 0x05, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4),
	  1200,
	  { .type = TW_DATAGRAM_INIT,
	    .version = TW_VERSION_1,
	    .scid = 0x0102030405060708,
	    .pattern = TW_PATTERN_IK,
	    .cookie = (const uint8_t[]){ COOKIE },
	    .message = (const uint8_t[]){ 0xa0, 0xa1, 0xa2, 0xa3, 0xa4 },
	    .message_length = 5 },
	  tw_datagram_write_init },
	{ "ACCEPT",
	  BYTES(0x02, 0x54, 0x57, 0x00, 0x01, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x11,
		0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x00, 0x00, 0x0e, 0x11, 0x12, 0x13, 0x14,
		0x15, 0x16, 0x17, 0x18, 0x01, 0x01, 0x00, 0x02, 0x01, 0x00),
	  38,
	  { .type = TW_DATAGRAM_ACCEPT,
	    .version = TW_VERSION_1,
	    .dcid = 0x0102030405060708,
	    .scid = 0x1112131415161718,
	    .pattern = TW_PATTERN_PLAIN,
	    .message = (const uint8_t[]){ 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 1, 1, 0,
					  2, 1, 0 },
	    .message_length = 14 },
	  tw_datagram_write_accept },
	{ "RETRY",
	  BYTES(0x03, 0x54, 0x57, 0x00, 0x01, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
		COOKIE),
	  29,
	  { .type = TW_DATAGRAM_RETRY,
	    .version = TW_VERSION_1,
	    .dcid = 0x0102030405060708,
	    .cookie = (const uint8_t[]){ COOKIE } },
	  tw_datagram_write_retry },
	{ "VERSIONS",
	  BYTES(0x04, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x02, 0x54, 0x57, 0x00, 0x01,
		0x54, 0x57, 0x00, 0x02),
	  18,
	  { .type = TW_DATAGRAM_VERSIONS,
	    .dcid = 0x0102030405060708,
	    .versions = { 0x54570001, 0x54570002 },
	    .version_count = 2 },
	  tw_datagram_write_versions },
	{ "PROBE and ECHO",
	  BYTES(0x05, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5,
		0xa6, 0xa7, 0xa8),
	  24,
	  { .type = TW_DATAGRAM_PROBE, .dcid = 0x0102030405060708, .token = TOKEN },
	  tw_datagram_write_probe },
	{ "PROBE and ECHO",
	  BYTES(0x06, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5,
		0xa6, 0xa7, 0xa8),
	  17,
	  { .type = TW_DATAGRAM_ECHO, .dcid = 0x0102030405060708, .token = TOKEN },
	  tw_datagram_write_probe },
	{ "DISCOVER and DISCOVERED",
	  BYTES(0x07, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8),
	  64,
	  { .type = TW_DATAGRAM_DISCOVER, .token = TOKEN },
	  tw_datagram_write_discover },
	{ "DISCOVER and DISCOVERED",
	  BYTES(0x08, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0x04, 0xcb, 0x00, 0x71, 0x07,
		0x22, 0xb6),
	  16,
	  { .type = TW_DATAGRAM_DISCOVERED,
	    .token = TOKEN,
	    .observed = { .family = TW_FAMILY_IPV4, .ip = { 203, 0, 113, 7 }, .port = 8886 } },
	  tw_datagram_write_discover },
};

/* Section PACKET: level `none`, packet number 0x700012345, a PING and its checksum. */
static const uint8_t packet[] = {
	0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x00, 0x01,
	0x23, 0x45, 0x01, 0x4f, 0xeb, 0x92, 0xb4, 0xb3, 0xba, 0x09, 0x77,
};

static struct guarded guarded;

static int guard_up(void **state)
{
	(void)state;
	guarded_init(&guarded, 16384);
	return 0;
}

static int guard_down(void **state)
{
	(void)state;
	guarded_deinit(&guarded);
	return 0;
}

/* The vector with its padding, its end at the guard. */
static uint8_t *whole(const struct vector *vector)
{
	uint8_t *bytes = guarded_tail(&guarded, vector->padded);

	memset(bytes, 0, vector->padded);
	memcpy(bytes, vector->bytes, vector->length);
	return bytes;
}

static bool lent_same(const uint8_t *a, const uint8_t *b, size_t length)
{
	return (!a && !b) || (a && b && memcmp(a, b, length) == 0);
}

static bool same(const struct tw_datagram *a, const struct tw_datagram *b)
{
	return a->type == b->type && a->version == b->version && a->dcid == b->dcid &&
	       a->scid == b->scid && a->pattern == b->pattern &&
	       lent_same(a->cookie, b->cookie, TW_COOKIE_SIZE) &&
	       lent_same(a->token, b->token, TW_PROBE_TOKEN_SIZE) &&
	       tw_address_equal(&a->observed, &b->observed) &&
	       a->message_length == b->message_length &&
	       lent_same(a->message, b->message, a->message_length) &&
	       a->version_count == b->version_count &&
	       memcmp(a->versions, b->versions, sizeof a->versions) == 0;
}

/* The page has these vectors and no others. */
static void vectors_are_the_documents(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *vector = &vectors[i];
		size_t count = 0;

		if (!document_has(vector->section, vector->bytes, vector->length))
			fail_msg("section %s lacks vector %zu", vector->section, i);
		for (size_t j = 0; j < ARRAY_SIZE(vectors); j++)
			count += strcmp(vectors[j].section, vector->section) == 0;
		assert_int_equal(document_count(vector->section), count);
	}
	assert_true(document_has("PACKET", packet, sizeof packet));
	assert_int_equal(document_count("PACKET"), 1);
}

static void vectors_are_parsed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct tw_datagram datagram;

		memset(&datagram, 0xaa, sizeof datagram);
		assert_int_equal(
			tw_datagram_parse(whole(&vectors[i]), vectors[i].padded, &datagram), 0);
		if (!same(&datagram, &vectors[i].datagram))
			fail_msg("vector %zu, section %s: read as something else", i,
				 vectors[i].section);
	}
}

static void vectors_are_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *vector = &vectors[i];
		uint8_t *bytes = guarded_tail(&guarded, vector->padded);
		static const uint8_t zeros[1200];

		memset(bytes, 0xaa, vector->padded);
		assert_int_equal(vector->write(&vector->datagram, bytes, vector->padded),
				 vector->padded);
		assert_memory_equal(bytes, vector->bytes, vector->length);
		assert_memory_equal(bytes + vector->length, zeros, vector->padded - vector->length);
		for (size_t room = 0; room < vector->padded; room++)
			assert_int_equal(vector->write(&vector->datagram,
						       guarded_tail(&guarded, room), room),
					 0);
	}
}

static void vectors_cut_short(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		uint8_t bytes[1200];

		memcpy(bytes, whole(&vectors[i]), vectors[i].padded);
		for (size_t cut = 0; cut < vectors[i].padded; cut++) {
			struct tw_datagram datagram = { .scid = 77 };

			assert_int_equal(tw_datagram_parse(guarded_copy(&guarded, bytes, cut), cut,
							   &datagram),
					 TW_E_FORMAT);
			assert_int_equal(datagram.scid, 77);
		}
	}
}

/* Only an INIT may be longer than it must be, and nothing but zeros stands behind its message. */
static void vectors_with_more_behind(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		uint8_t bytes[1204] = { 0 };
		struct tw_datagram datagram;

		memcpy(bytes, vectors[i].bytes, vectors[i].length);
		for (size_t more = 1; more <= 4; more++)
			assert_int_equal(
				tw_datagram_parse(bytes, vectors[i].padded + more, &datagram),
				vectors[i].datagram.type == TW_DATAGRAM_INIT ? 0 : TW_E_FORMAT);
		for (size_t at = vectors[i].length; at < vectors[i].padded; at++) {
			bytes[at] = 1;
			assert_int_equal(tw_datagram_parse(bytes, vectors[i].padded, &datagram),
					 TW_E_FORMAT);
			bytes[at] = 0;
		}
	}
}

static void packet_header(void **state)
{
	uint8_t bytes[sizeof packet];
	struct tw_datagram datagram = { .message_length = 99 };

	(void)state;
	memcpy(bytes, packet, sizeof packet);
	for (unsigned phase = 0; phase < 2; phase++) {
		bytes[0] = (uint8_t)(0x10 + phase);
		assert_int_equal(tw_datagram_parse(guarded_copy(&guarded, bytes, sizeof bytes),
						   sizeof bytes, &datagram),
				 0);
		assert_int_equal(datagram.type, TW_DATAGRAM_PACKET);
		assert_int_equal(datagram.key_phase, phase);
		assert_int_equal(datagram.dcid, 0x1112131415161718);
		assert_int_equal(datagram.packet_number_low, 0x12345);
		assert_int_equal(datagram.header_length, TW_PACKET_HEADER_SIZE);
		assert_int_equal(datagram.message_length, 99);
		memset(bytes, 0xaa, TW_PACKET_HEADER_SIZE);
		assert_int_equal(
			tw_datagram_write_packet_header(datagram.dcid, phase, 0x700012345, bytes),
			TW_PACKET_HEADER_SIZE);
		assert_int_equal(bytes[0], 0x10 + phase);
		assert_memory_equal(bytes + 1, packet + 1, sizeof packet - 1);
	}
	for (size_t cut = 0; cut < sizeof packet; cut++)
		assert_int_equal(tw_datagram_parse(guarded_copy(&guarded, packet, cut), cut,
						   &datagram),
				 TW_E_FORMAT);
}

static void length_limits(void **state)
{
	uint8_t bytes[TW_DATAGRAM_MAX + 1] = { 0x10 };
	struct tw_datagram datagram;

	(void)state;
	assert_int_equal(tw_datagram_parse(bytes, TW_DATAGRAM_MAX, &datagram), 0);
	assert_int_equal(tw_datagram_parse(bytes, TW_DATAGRAM_MAX + 1, &datagram), TW_E_FORMAT);
	memcpy(bytes, vectors[0].bytes, vectors[0].length);
	assert_int_equal(tw_datagram_parse(bytes, TW_DATAGRAM_MAX, &datagram), 0);
	assert_int_equal(tw_datagram_parse(bytes, TW_DATAGRAM_MAX + 1, &datagram), TW_E_FORMAT);
}

/*
 * The longest message and a cookie still make an INIT of 1200 bytes, and no answer is longer than
 * that.
 */
static void message_limits(void **state)
{
	static const uint8_t message[TW_HANDSHAKE_MESSAGE_MAX] = { 1, 2, 3 };
	static const uint8_t cookie[TW_COOKIE_SIZE] = { 9 };
	struct tw_datagram datagram = {
		.version = TW_VERSION_1,
		.pattern = TW_PATTERN_IK,
		.cookie = cookie,
		.message = message,
		.message_length = sizeof message,
	};
	uint8_t bytes[2048] = { 0 };
	size_t length;

	(void)state;
	assert_int_equal(tw_datagram_write_init(&datagram, bytes, sizeof bytes),
			 TW_DATAGRAM_INIT_MIN);
	assert_int_equal(tw_datagram_parse(bytes, TW_DATAGRAM_INIT_MIN, &datagram), 0);
	assert_int_equal(datagram.message_length, sizeof message);
	/*
	 * One byte more is refused, though the datagram has it: type, version, scid, pattern,
	 * cookie, then the length.
	 */
	bytes[1 + 4 + 8 + 1 + 1 + 16 + 1]++;
	assert_int_equal(tw_datagram_parse(bytes, 2048, &datagram), TW_E_FORMAT);
	datagram.message = message;
	datagram.message_length = sizeof message;
	length = tw_datagram_write_accept(&datagram, bytes, sizeof bytes);
	assert_in_range(length, 1, TW_DATAGRAM_INIT_MIN);
	assert_int_equal(tw_datagram_parse(bytes, length, &datagram), 0);
	bytes[1 + 4 + 8 + 8 + 1 + 1]++;
	assert_int_equal(tw_datagram_parse(bytes, length + 1, &datagram), TW_E_FORMAT);
}

static void bad_fields_are_refused(void **state)
{
	static const struct {
		const char *field;
		size_t vector, place;
		uint8_t value;
	} bad[] = {
		{ "INIT: pattern", 0, 13, 2 },
		{ "INIT: cookie length", 1, 14, 15 },
		{ "INIT: cookie length", 1, 14, 17 },
		{ "INIT: message length", 1, 31, 0x80 },
		{ "ACCEPT: version", 2, 4, 2 },
		{ "ACCEPT: pattern", 2, 21, 2 },
		{ "ACCEPT: message length", 2, 23, 13 },
		{ "ACCEPT: message length", 2, 23, 15 },
		{ "RETRY: version", 3, 4, 2 },
		{ "VERSIONS: count", 4, 9, 0 },
		{ "VERSIONS: count", 4, 9, 1 },
		{ "VERSIONS: count", 4, 9, 3 },
	};
	struct tw_datagram datagram;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct vector *vector = &vectors[bad[i].vector];
		uint8_t *bytes = whole(vector);

		bytes[bad[i].place] = bad[i].value;
		if (tw_datagram_parse(bytes, vector->padded, &datagram) != TW_E_FORMAT)
			fail_msg("%s %u taken", bad[i].field, bad[i].value);
	}
}

static void version_count_limit(void **state)
{
	uint8_t bytes[64] = { 0x04 };
	struct tw_datagram datagram;

	(void)state;
	bytes[9] = 0;
	assert_int_equal(tw_datagram_parse(bytes, 10, &datagram), TW_E_FORMAT);
	bytes[9] = TW_VERSIONS_MAX;
	assert_int_equal(tw_datagram_parse(bytes, 10 + 4 * TW_VERSIONS_MAX, &datagram), 0);
	bytes[9] = TW_VERSIONS_MAX + 1;
	assert_int_equal(tw_datagram_parse(bytes, 10 + 4 * (TW_VERSIONS_MAX + 1), &datagram),
			 TW_E_FORMAT);
}

/* Section "Versions": of an INIT of another version only three fields are known. */
static void init_of_another_version(void **state)
{
	struct tw_datagram datagram;
	uint8_t bytes[1200];

	(void)state;
	memset(bytes, 0xff, sizeof bytes);
	memcpy(bytes, vectors[0].bytes, 13);
	bytes[4] = 0x02;
	memset(&datagram, 0xaa, sizeof datagram);
	assert_int_equal(tw_datagram_parse(bytes, sizeof bytes, &datagram), 0);
	assert_true(same(&datagram, &(struct tw_datagram){ .type = TW_DATAGRAM_INIT,
							   .version = 0x54570002,
							   .scid = 0x0102030405060708 }));
	assert_int_equal(tw_datagram_parse(bytes, sizeof bytes - 1, &datagram), TW_E_FORMAT);
}

static void other_first_bytes(void **state)
{
	uint8_t bytes[1200] = { 0 };
	struct tw_datagram datagram;

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		if (type >= TW_DATAGRAM_INIT && type <= TW_DATAGRAM_ECHO)
			continue;
		bytes[0] = (uint8_t)type;
		assert_int_equal(tw_datagram_parse(bytes, sizeof bytes, &datagram),
				 type == 0x10 || type == 0x11 ? 0 : TW_E_FORMAT);
	}
}

/* Section "Packet numbers". */
static void packet_numbers_expand(void **state)
{
	static const struct {
		uint64_t expected;
		uint32_t low;
		uint64_t full;
	} cases[] = {
		{ 0, 0, 0 },
		{ 0, 5, 5 },
		{ 0, 0xffffffff, 0xffffffff }, /* nothing lies below zero */
		{ 0x700012340, 0x00012345, 0x700012345 },
		{ 0x7fffffff0, 0x00000005, 0x800000005 }, /* up across the border */
		{ 0x800000003, 0xfffffff0, 0x7fffffff0 }, /* down across it: an old packet */
		{ 0x700000000, 0x80000000, 0x780000000 }, /* the farthest ahead */
		{ 0x700000000, 0x80000001, 0x680000001 }, /* one more lies behind */
		{ 0x780000000, 0x00000000, 0x800000000 }, /* as far behind counts as ahead */
		{ TW_VARINT_MAX, 0xffffffff, TW_VARINT_MAX },
		/* nothing lies above the largest */
		{ TW_VARINT_MAX, 0x00000000, TW_VARINT_MAX - 0xffffffff },
		/* nor when the largest is here already */
		{ TW_VARINT_MAX + 1, 0x00000000, TW_VARINT_MAX - 0xffffffff },
		{ TW_VARINT_MAX + 1, 0x00000005, TW_VARINT_MAX - 0xfffffffa },
		{ TW_VARINT_MAX + 1, 0xffffffff, TW_VARINT_MAX },
	};
	struct tw_prng prng;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(tw_packet_number_expand(cases[i].expected, cases[i].low),
				 cases[i].full);
	tw_prng_init(&prng, 32);
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t expected = tw_prng_u64(&prng) >> 2 >> tw_prng_below(&prng, 60);
		uint64_t distance = tw_prng_below(&prng, UINT64_C(1) << 31);
		uint64_t ahead = expected + distance,
			 behind = expected > distance ? expected - distance : 0;

		if (ahead <= TW_VARINT_MAX)
			assert_int_equal(tw_packet_number_expand(expected, (uint32_t)ahead), ahead);
		assert_int_equal(tw_packet_number_expand(expected, (uint32_t)behind), behind);
	}
}

static void random_datagrams_there_and_back(void **state)
{
	static write_fn *const write[] = {
		[TW_DATAGRAM_INIT] = tw_datagram_write_init,
		[TW_DATAGRAM_ACCEPT] = tw_datagram_write_accept,
		[TW_DATAGRAM_RETRY] = tw_datagram_write_retry,
		[TW_DATAGRAM_VERSIONS] = tw_datagram_write_versions,
	};
	const uint64_t seed = 4711;
	struct tw_prng prng;

	(void)state;
	tw_prng_init(&prng, seed);
	for (unsigned round = 0; round < 5000; round++) {
		uint8_t message[TW_HANDSHAKE_MESSAGE_MAX], cookie[TW_COOKIE_SIZE], bytes[1500];
		struct tw_random random = tw_prng_random(&prng);
		struct tw_datagram sent = { 0 }, received;
		size_t length;

		tw_random_fill(&random, message, sizeof message);
		tw_random_fill(&random, cookie, sizeof cookie);
		sent.type = (enum tw_datagram_type)(1 + tw_prng_below(&prng, 4));
		if (sent.type != TW_DATAGRAM_VERSIONS)
			sent.version = TW_VERSION_1;
		if (sent.type != TW_DATAGRAM_INIT)
			sent.dcid = tw_prng_u64(&prng);
		if (sent.type == TW_DATAGRAM_INIT || sent.type == TW_DATAGRAM_ACCEPT) {
			sent.scid = tw_prng_u64(&prng);
			sent.pattern = (uint8_t)tw_prng_below(&prng, 2);
			sent.message = message;
			sent.message_length = tw_prng_below(&prng, sizeof message + 1);
		}
		if (sent.type == TW_DATAGRAM_RETRY ||
		    (sent.type == TW_DATAGRAM_INIT && tw_prng_below(&prng, 2)))
			sent.cookie = cookie;
		if (sent.type == TW_DATAGRAM_VERSIONS)
			sent.version_count = 1 + tw_prng_below(&prng, TW_VERSIONS_MAX);
		for (size_t i = 0; i < sent.version_count; i++)
			sent.versions[i] = (uint32_t)tw_prng_u64(&prng);
		length = write[sent.type](&sent, bytes, sizeof bytes);
		if (tw_datagram_parse(guarded_copy(&guarded, bytes, length), length, &received) !=
			    0 ||
		    !same(&sent, &received))
			fail_msg("seed %llu, round %u", (unsigned long long)seed, round);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_are_the_documents),
		cmocka_unit_test(vectors_are_parsed),
		cmocka_unit_test(vectors_are_written),
		cmocka_unit_test(vectors_cut_short),
		cmocka_unit_test(vectors_with_more_behind),
		cmocka_unit_test(packet_header),
		cmocka_unit_test(length_limits),
		cmocka_unit_test(message_limits),
		cmocka_unit_test(bad_fields_are_refused),
		cmocka_unit_test(version_count_limit),
		cmocka_unit_test(init_of_another_version),
		cmocka_unit_test(other_first_bytes),
		cmocka_unit_test(packet_numbers_expand),
		cmocka_unit_test(random_datagrams_there_and_back),
	};

	return cmocka_run_group_tests(tests, guard_up, guard_down);
}
