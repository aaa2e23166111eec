/*
 * docs/protocol.md, "Parameters": the vector, what is passed over, what is refused, bounds, random
 * round trips.
 */
#include "unit.h"

#include "../support/document.h"
#include "../support/guarded.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/random.h"
#include "wire/params.h"

/* clang-format off */
#define BYTES(...) \
	.bytes = (const uint8_t[]){ __VA_ARGS__ }, .length = sizeof(const uint8_t[]){ __VA_ARGS__ }
/* clang-format on */

/* clang-format off */
static const uint8_t vector[] = {
	0x01, 0x01, 0x00,                                           /* status ok */
	0x02, 0x01, 0x02,                                           /* cipher 128 */
	0x03, 0x01, 0x01,                                           /* at least authenticated */
	0x04, 0x01, 0x03,                                           /* AES-GCM, ChaCha20-Poly1305 */
	0x05, 0x04, 0x84, 0x00, 0x00, 0x00,                         /* DATA window 64 MiB */
	0x06, 0x04, 0x80, 0x10, 0x00, 0x00,                         /* stream windows 1 MiB */
	0x07, 0x02, 0x63, 0x0c,                                     /* datagrams up to 8972 */
	0x08, 0x10, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, /* server id */
		    0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
	0x09, 0x10, 0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, /* server uid */
		    0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x00,
	0x0a, 0x04, 0x80, 0x00, 0x61, 0xa8,                         /* acknowledges in 25 ms */
	0x0b, 0x04, 0x80, 0x00, 0xcf, 0x08,                         /* seen as port 53000 */
	0x0c, 0x08, 0xc0, 0x06, 0x19, 0x77, 0xde, 0x4a, 0x40, 0x00, /* the time */
	0x0d, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* seen at 203.0.113.7 */
		    0x00, 0x00, 0xff, 0xff, 0xcb, 0x00, 0x71, 0x07,
	0x0e, 0x40, 0x48, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* also 192.0.2.1:8886 */
	0x00, 0x00, 0xff, 0xff, 0xc0, 0x00, 0x02, 0x01, 0x22, 0xb6,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0x0f, 0x01, 0x02,                                           /* the second lane */
};
/* clang-format on */

static const struct tw_params vector_params = {
	.status = TW_HANDSHAKE_OK,
	.cipher = 2,
	.cipher_min = 1,
	.aead = 3,
	.data_window = 64 << 20,
	.stream_window = 1 << 20,
	.datagram_max = 8972,
	.ack_delay_us = 25000,
	.observed_port = 53000,
	.time_us = 0x00061977de4a4000,
	.server_id = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc,
		       0xdd, 0xee, 0xff },
	.server_uid = { 0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, 0x07, 0x06, 0x05, 0x04,
			0x03, 0x02, 0x01, 0x00 },
	.observed_ip = { [10] = 0xff, [11] = 0xff, [12] = 203, [13] = 0, [14] = 113, [15] = 7 },
	.offers = { [10] = 0xff,
		    [11] = 0xff,
		    [12] = 192,
		    [14] = 2,
		    [15] = 1,
		    [16] = 0x22,
		    [17] = 0xb6 },
	.lane = 2,
};

static struct guarded guarded;

static int guard_up(void **state)
{
	(void)state;
	guarded_init(&guarded, 4096);
	return 0;
}

static int guard_down(void **state)
{
	(void)state;
	guarded_deinit(&guarded);
	return 0;
}

static int read_guarded(const uint8_t *bytes, size_t length, struct tw_params *ret)
{
	return tw_params_read(guarded_copy(&guarded, bytes, length), length, ret);
}

static void vector_there_and_back(void **state)
{
	struct tw_params params;
	uint8_t *bytes = guarded_tail(&guarded, sizeof vector);

	(void)state;
	assert_true(document_has("Parameters", vector, sizeof vector));
	assert_int_equal(document_count("Parameters"), 1);
	assert_int_equal(tw_params_write(&vector_params, bytes, sizeof vector), sizeof vector);
	assert_memory_equal(bytes, vector, sizeof vector);
	assert_int_equal(read_guarded(vector, sizeof vector, &params), 0);
	assert_memory_equal(&params, &vector_params, sizeof params);
	for (size_t room = 0; room < sizeof vector; room++)
		assert_int_equal(
			tw_params_write(&vector_params, guarded_tail(&guarded, room), room), 0);
}

/*
 * A cut between two parameters leaves a shorter, valid row; any other is an error and leaves the
 * result alone.
 */
static void vector_cut_short(void **state)
{
	size_t border = 0;

	(void)state;
	for (size_t cut = 0; cut < sizeof vector; cut++) {
		struct tw_params params = { .observed_port = 77 };
		int error = read_guarded(vector, cut, &params);

		if (cut == border) {
			assert_int_equal(error, 0);
			/* One length, of 72, takes two bytes. */
			border += vector[border + 1] & 0x40
					  ? 3 + (size_t)vector[border + 2]
					  : 2 + (size_t)vector[border + 1];
		} else {
			assert_int_equal(error, TW_E_FORMAT);
			assert_int_equal(params.observed_port, 77);
		}
	}
	assert_int_equal(border, sizeof vector);
}

static void silence_means_the_defaults(void **state)
{
	struct tw_params params, defaults;

	(void)state;
	memset(&params, 0xaa, sizeof params);
	memset(&defaults, 0x55, sizeof defaults);
	tw_params_init(&defaults);
	assert_int_equal(read_guarded(NULL, 0, &params), 0);
	assert_memory_equal(&params, &defaults, sizeof params);
	assert_int_equal(params.cipher, TW_PARAM_CIPHER_DEFAULT);
	assert_int_equal(params.datagram_max, 1200);
	assert_int_equal(params.data_window, 0);
}

static const struct {
	const char *why;
	const uint8_t *bytes;
	size_t length;
	int error;
} cases[] = {
	{ "unknown, empty", BYTES(0x10, 0x00), 0 },
	{ "unknown, twice", BYTES(0x3f, 0x01, 0x07, 0x3f, 0x02, 0x07, 0x07), 0 },
	{ "unknown, id of eight bytes",
	  BYTES(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00), 0 },
	{ "unknown, id 0", BYTES(0x00, 0x01, 0x07), 0 },
	{ "id in a longer form", BYTES(0x40, 0x02, 0x01, 0x01), 0 },
	{ "value in a longer form", BYTES(0x02, 0x02, 0x40, 0x01), 0 },
	{ "any order", BYTES(0x03, 0x01, 0x01, 0x02, 0x01, 0x01), 0 },
	{ "largest status", BYTES(0x01, 0x01, 0x3f), 0 },
	{ "largest port", BYTES(0x0b, 0x04, 0x80, 0x00, 0xff, 0xff), 0 },
	{ "longest delay", BYTES(0x0a, 0x04, 0x80, 0x0f, 0x42, 0x40), 0 },
	{ "last lane", BYTES(0x0f, 0x01, 0x07), 0 },
	{ "shortest datagram", BYTES(0x07, 0x02, 0x44, 0xb0), 0 },
	{ "longest datagram", BYTES(0x07, 0x04, 0x80, 0x00, 0xff, 0xf7), 0 },
	{ "twice", BYTES(0x02, 0x01, 0x01, 0x02, 0x01, 0x01), TW_E_FORMAT },
	{ "twice, second in a longer form", BYTES(0x02, 0x01, 0x01, 0x40, 0x02, 0x01, 0x01),
	  TW_E_FORMAT },
	{ "value shorter than its length", BYTES(0x02, 0x02, 0x01, 0x01), TW_E_FORMAT },
	{ "value longer than its length", BYTES(0x02, 0x01, 0x40, 0x01), TW_E_FORMAT },
	{ "no value", BYTES(0x02, 0x00), TW_E_FORMAT },
	{ "observed address of 4 bytes", BYTES(0x0d, 0x04, 1, 2, 3, 4), TW_E_FORMAT },
	{ "identifier of 15 bytes", BYTES(0x08, 0x0f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
	  TW_E_FORMAT },
	{ "identifier of 17 bytes",
	  BYTES(0x08, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), TW_E_FORMAT },
	{ "length beyond the end", BYTES(0x3f, 0x02, 0x00), TW_E_FORMAT },
	{ "length beyond everything", BYTES(0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
	  TW_E_FORMAT },
	{ "status too large", BYTES(0x01, 0x02, 0x40, 0x40), TW_E_FORMAT },
	{ "cipher too large", BYTES(0x02, 0x01, 0x04), TW_E_FORMAT },
	{ "least cipher too large", BYTES(0x03, 0x01, 0x04), TW_E_FORMAT },
	{ "datagram too short", BYTES(0x07, 0x02, 0x44, 0xaf), TW_E_FORMAT },
	{ "datagram too long", BYTES(0x07, 0x04, 0x80, 0x00, 0xff, 0xf8), TW_E_FORMAT },
	{ "delay too long", BYTES(0x0a, 0x04, 0x80, 0x0f, 0x42, 0x41), TW_E_FORMAT },
	{ "port too large", BYTES(0x0b, 0x04, 0x80, 0x01, 0x00, 0x00), TW_E_FORMAT },
	{ "lane too far", BYTES(0x0f, 0x01, 0x08), TW_E_FORMAT },
};

static void single_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tw_params params;
		int error = read_guarded(cases[i].bytes, cases[i].length, &params);

		if (error != cases[i].error)
			fail_msg("%s: %d", cases[i].why, error);
	}
}

static uint64_t random_number(struct tw_prng *prng)
{
	return tw_prng_u64(prng) >> 2 >> tw_prng_below(prng, 62);
}

static void random_there_and_back(void **state)
{
	const uint64_t seed = 815;
	struct tw_prng prng;

	(void)state;
	tw_prng_init(&prng, seed);
	for (unsigned round = 0; round < 5000; round++) {
		struct tw_random random = tw_prng_random(&prng);
		struct tw_params sent, received;
		uint8_t bytes[TW_PARAMS_SIZE_MAX];
		size_t length;

		tw_params_init(&sent);
		sent.status = tw_prng_below(&prng, TW_PARAM_STATUS_MAX + 1);
		sent.cipher = tw_prng_below(&prng, TW_PARAM_CIPHER_MAX + 1);
		sent.cipher_min = tw_prng_below(&prng, TW_PARAM_CIPHER_MAX + 1);
		sent.aead = random_number(&prng);
		sent.data_window = random_number(&prng);
		sent.stream_window = random_number(&prng);
		sent.datagram_max =
			TW_PARAM_DATAGRAM_LEAST +
			tw_prng_below(&prng, TW_PARAM_DATAGRAM_MOST - TW_PARAM_DATAGRAM_LEAST + 1);
		sent.ack_delay_us = tw_prng_below(&prng, TW_PARAM_ACK_DELAY_MAX_US + 1);
		sent.observed_port = tw_prng_below(&prng, 65536);
		sent.time_us = random_number(&prng);
		sent.lane = tw_prng_below(&prng, TW_PARAM_LANE_MAX + 1);
		tw_random_fill(&random, sent.server_id, sizeof sent.server_id);
		tw_random_fill(&random, sent.server_uid, sizeof sent.server_uid);
		length = tw_params_write(&sent, bytes, sizeof bytes);
		if (length == 0 || read_guarded(bytes, length, &received) != 0 ||
		    memcmp(&sent, &received, sizeof sent) != 0)
			fail_msg("seed %llu, round %u", (unsigned long long)seed, round);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vector_there_and_back),      cmocka_unit_test(vector_cut_short),
		cmocka_unit_test(silence_means_the_defaults), cmocka_unit_test(single_cases),
		cmocka_unit_test(random_there_and_back),
	};

	return cmocka_run_group_tests(tests, guard_up, guard_down);
}
