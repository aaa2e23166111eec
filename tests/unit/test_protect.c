#include "hex.h"

#include "base/error.h"
#include "base/random.h"
#include "crypto/protect.h"
#include "death.h"

#define HEADER 13
#define ROOM   256

struct link {
	enum tw_cipher cipher;
	enum tw_aead aead;
	struct tw_seal_chain seal;
	struct tw_open_chain open;
};

/* A packet on its way: header, payload, tag in one piece, as on the wire. */
struct packet {
	uint8_t bytes[HEADER + ROOM];
	size_t length; /* payload and tag */
	uint64_t number;
	bool phase;
};

static const struct {
	const char *name;
	enum tw_cipher cipher;
	enum tw_aead aead;
} levels[] = {
	{ "none", TW_CIPHER_NONE, TW_AEAD_AES_GCM },
	{ "auth, AES", TW_CIPHER_AUTH, TW_AEAD_AES_GCM },
	{ "128, AES", TW_CIPHER_128, TW_AEAD_AES_GCM },
	{ "256, AES", TW_CIPHER_256, TW_AEAD_AES_GCM },
	{ "auth, ChaCha", TW_CIPHER_AUTH, TW_AEAD_CHACHA20_POLY1305 },
	{ "128, ChaCha", TW_CIPHER_128, TW_AEAD_CHACHA20_POLY1305 },
	{ "256, ChaCha", TW_CIPHER_256, TW_AEAD_CHACHA20_POLY1305 },
};

static void set_up(struct link *link, enum tw_cipher cipher, enum tw_aead aead)
{
	struct tw_secret secret;

	for (size_t i = 0; i < sizeof secret.bytes; i++)
		secret.bytes[i] = (uint8_t)i;
	memset(link, 0x5a, sizeof *link);
	assert_int_equal(tw_seal_chain_init(&link->seal, cipher, aead, &secret), 0);
	assert_int_equal(tw_open_chain_init(&link->open, cipher, aead, &secret), 0);
	assert_int_equal(link->seal.key_packets_max, TW_KEY_PACKETS_MAX);
}

static void tear_down(struct link *link)
{
	tw_seal_chain_deinit(&link->seal);
	tw_open_chain_deinit(&link->open);
	for (size_t i = 0; i < sizeof link->seal; i++)
		assert_int_equal(((const uint8_t *)&link->seal)[i], 0);
	for (size_t i = 0; i < sizeof link->open; i++)
		assert_int_equal(((const uint8_t *)&link->open)[i], 0);
}

static void fill(struct packet *packet, uint64_t number, size_t length)
{
	for (size_t i = 0; i < HEADER + length; i++)
		packet->bytes[i] = (uint8_t)(number * 7 + i);
	packet->length = length;
	packet->number = number;
}

static void send_packet(struct tw_seal_chain *seal, uint64_t number, size_t length,
			struct packet *ret)
{
	fill(ret, number, length);
	ret->phase = tw_seal_chain_phase(seal, number);
	ret->bytes[0] = 0x10 | ret->phase;
	tw_seal(seal, number, ret->bytes, HEADER, ret->bytes + HEADER, length);
	ret->length += tw_cipher_tag_size(seal->cipher);
}

/* Opens a copy; checks the payload when it opened. */
static int receive(struct tw_open_chain *open, const struct packet *packet)
{
	struct packet copy = *packet, expected;
	size_t length = packet->length - tw_cipher_tag_size(open->cipher);
	int error = tw_open(open, packet->phase, packet->number, copy.bytes, HEADER,
			    copy.bytes + HEADER, copy.length);

	if (!error) {
		fill(&expected, packet->number, length);
		assert_memory_equal(copy.bytes + HEADER, expected.bytes + HEADER, length);
	}
	return error;
}

/*
 * Secret 00 01 .. 1f; generation 0 with packet 0x1deadbeef, generation 1 with the one after. Made
 * with an independent implementation (Python: hmac, cryptography; the checksum by the library's
 * command).
 */
static const struct {
	enum tw_cipher cipher;
	enum tw_aead aead;
	const char *sealed[2];
} vectors[] = {
	{ TW_CIPHER_NONE,
	  TW_AEAD_AES_GCM,
	  { "404142434445464748494a4b4c4d4e4f50515253545556579e63104318936d52", NULL } },
	{ TW_CIPHER_AUTH,
	  TW_AEAD_AES_GCM,
	  { "404142434445464748494a4b4c4d4e4f5051525354555657665db3a135502a7bdaf9ee3bf0728500",
	    "404142434445464748494a4b4c4d4e4f5051525354555657c3361f599ee31b4a5a5f95567aad4e58" } },
	{ TW_CIPHER_128,
	  TW_AEAD_AES_GCM,
	  { "9981c6b980d7d5b96853e33fe1214bc29826dcf51cc308de26f0fe1680d15578491c067d9030a9e8",
	    "17a2c324106c6d4b49f95d2b9984c924414bd067d8fa1d4bbeadd5a761516f672a404bfe58c7ca69" } },
	{ TW_CIPHER_256,
	  TW_AEAD_AES_GCM,
	  { "7dde60e7453a8a6737bbff5be0b342f5a9f0f2db7a2f5b3d4a52a2dbc498cc23076c093425ed6f50",
	    "a236b5f4b2e56f41d6c876315925dfdcd50e6da7789c9af047cf7eee45688cd2a2bb29da2f4a3c6b" } },
	{ TW_CIPHER_AUTH,
	  TW_AEAD_CHACHA20_POLY1305,
	  { "404142434445464748494a4b4c4d4e4f5051525354555657190a870635cd180ecd9ea3698e691fe1",
	    "404142434445464748494a4b4c4d4e4f5051525354555657290b072b3bc495a33cced207c69566a4" } },
	{ TW_CIPHER_128,
	  TW_AEAD_CHACHA20_POLY1305,
	  { "1ddaa55eec44f7acf947e11de934d02731c639f84a5a5672c23a07bc059c83d9eddad0d3cc6e66a0",
	    "5c080b7d5a46de0910409cfbb82a133a9b666016e7578170fb7d9c2bd7636faedcaf6b27bb862bfb" } },
};

/* A packet whose last bytes are fetched from elsewhere is the same packet, wherever it is cut. */
static void test_gather(void **state)
{
	static const size_t lengths[] = { 1, 15, 16, 17, 100, 200 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct link one, two;
		uint64_t number = 1;

		set_up(&one, vectors[i].cipher, vectors[i].aead);
		set_up(&two, vectors[i].cipher, vectors[i].aead);
		for (size_t k = 0; k < ARRAY_SIZE(lengths); k++) {
			size_t length = lengths[k], step = length > 100 ? 7 : 1;

			for (size_t cut = 0; cut <= length; cut += step, number++) {
				struct packet whole, apart, gathered;
				struct tw_payload payload = {
					.bytes = gathered.bytes + HEADER,
					.length = length,
					.body = apart.bytes + HEADER + cut,
					.body_length = length - cut,
				};

				send_packet(&one.seal, number, length, &whole);
				fill(&apart, number, length);
				apart.bytes[0] = whole.bytes[0];
				(void)tw_seal_chain_phase(&two.seal, number);
				memset(&gathered, 0xee, sizeof gathered);
				memcpy(gathered.bytes, apart.bytes, HEADER + cut);
				tw_seal_gather(&two.seal, number, gathered.bytes, HEADER, &payload);
				assert_memory_equal(gathered.bytes, whole.bytes,
						    HEADER + whole.length);
			}
		}
		tear_down(&one);
		tear_down(&two);
	}
}

static void test_vectors(void **state)
{
	static const uint64_t first = UINT64_C(0x1deadbeef);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		uint8_t bytes[HEADER + 24 + TW_TAG_SIZE], plain[24];
		struct link link;

		set_up(&link, vectors[i].cipher, vectors[i].aead);
		link.seal.key_packets_max = 1;
		unhex("404142434445464748494a4b4c4d4e4f5051525354555657", plain, sizeof plain);
		for (unsigned generation = 0; generation < 2; generation++) {
			size_t tag = tw_cipher_tag_size(vectors[i].cipher);

			if (!vectors[i].sealed[generation])
				continue;
			assert_int_equal(tw_seal_chain_phase(&link.seal, first + generation),
					 generation);
			unhex(generation ? "110123456789abcdefdeadbef0"
					 : "100123456789abcdefdeadbeef",
			      bytes, HEADER);
			memcpy(bytes + HEADER, plain, sizeof plain);
			tw_seal(&link.seal, first + generation, bytes, HEADER, bytes + HEADER,
				sizeof plain);
			assert_hex(bytes + HEADER, vectors[i].sealed[generation]);
			tw_seal_chain_acked(&link.seal, first + generation);
			assert_int_equal(tw_open(&link.open, generation, first + generation, bytes,
						 HEADER, bytes + HEADER, sizeof plain + tag),
					 0);
			assert_memory_equal(bytes + HEADER, plain, sizeof plain);
		}
		tear_down(&link);
	}
}

/* Every length up to some blocks of each algorithm; the other direction's bytes stay clear of it.
 */
static void test_lengths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		struct packet packet;
		struct link link;

		print_message("# %s\n", levels[i].name);
		set_up(&link, levels[i].cipher, levels[i].aead);
		for (size_t length = 0; length <= ROOM - TW_TAG_SIZE; length++) {
			bool clear = levels[i].cipher <= TW_CIPHER_AUTH;
			struct packet plain;

			fill(&plain, length, length);
			send_packet(&link.seal, length, length, &packet);
			assert_int_equal(packet.length,
					 length + tw_cipher_tag_size(levels[i].cipher));
			if (clear || length >= 8)
				assert_int_equal(memcmp(packet.bytes + HEADER, plain.bytes + HEADER,
							length) == 0,
						 clear);
			assert_int_equal(receive(&link.open, &packet), 0);
		}
		assert_int_equal(link.open.failures, 0);
		tear_down(&link);
	}
}

/* The header need not lie before the payload. */
static void test_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		uint8_t header[HEADER];
		struct packet packet;
		struct link link;

		set_up(&link, levels[i].cipher, levels[i].aead);
		send_packet(&link.seal, 1, 200, &packet);
		memcpy(header, packet.bytes, HEADER);
		assert_int_equal(tw_open(&link.open, false, 1, header, HEADER,
					 packet.bytes + HEADER, packet.length),
				 0);
		fill(&packet, 2, 200);
		header[0] = 0x10;
		tw_seal(&link.seal, 2, header, HEADER, packet.bytes + HEADER, 200);
		memcpy(packet.bytes, header, HEADER);
		packet.length += tw_cipher_tag_size(levels[i].cipher);
		packet.phase = false;
		assert_int_equal(receive(&link.open, &packet), 0);
		tear_down(&link);
	}
}

static void test_every_bit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		struct packet packet;
		struct link link;
		uint64_t refused = 0;

		set_up(&link, levels[i].cipher, levels[i].aead);
		send_packet(&link.seal, 77, 100, &packet);
		for (size_t bit = 0; bit < 8 * (HEADER + packet.length); bit++, refused++) {
			packet.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(receive(&link.open, &packet), TW_E_AUTH);
			packet.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (unsigned bit = 0; bit < 64; bit++, refused++) {
			packet.number ^= UINT64_C(1) << bit;
			assert_int_equal(receive(&link.open, &packet), TW_E_AUTH);
			packet.number ^= UINT64_C(1) << bit;
		}
		packet.phase = true;
		assert_int_equal(receive(&link.open, &packet), TW_E_AUTH);
		refused++;
		packet.phase = false;
		assert_int_equal(link.open.failures, refused);
		assert_false(link.open.phase);
		assert_int_equal(receive(&link.open, &packet), 0);
		tear_down(&link);
	}
}

static void test_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		struct packet packet;
		struct link link;

		set_up(&link, levels[i].cipher, levels[i].aead);
		send_packet(&link.seal, 5, 40, &packet);
		for (size_t length = 0; length <= packet.length + 1; length++) {
			struct packet copy = packet;
			int error = tw_open(&link.open, false, 5, copy.bytes, HEADER,
					    copy.bytes + HEADER, length);

			assert_int_equal(error, length == packet.length ? 0 : TW_E_AUTH);
		}
		tear_down(&link);
	}
}

/* Levels, algorithms and directions have keys of their own wherever one secret meets another use.
 */
static void test_levels_apart(void **state)
{
	(void)state;
	for (size_t i = 1; i < ARRAY_SIZE(levels); i++) {
		struct packet packet;
		struct link here;

		set_up(&here, levels[i].cipher, levels[i].aead);
		send_packet(&here.seal, 3, 60, &packet);
		for (size_t k = 1; k < ARRAY_SIZE(levels); k++) {
			/* ChaCha20 has one key size: its two encrypting levels are the same. */
			bool same = i == k || (i == 5 && k == 6) || (i == 6 && k == 5);
			struct link there;

			set_up(&there, levels[k].cipher, levels[k].aead);
			assert_int_equal(tw_open(&there.open, false, 3, packet.bytes, HEADER,
						 (uint8_t[HEADER + ROOM]){ 0 }, packet.length),
					 TW_E_AUTH);
			if (same)
				assert_int_equal(receive(&there.open, &packet), 0);
			else
				assert_int_equal(receive(&there.open, &packet), TW_E_AUTH);
			tear_down(&there);
		}
		tear_down(&here);
	}
}

/* The phase flips after so many packets, never before one of them is acknowledged. */
static void test_flip(void **state)
{
	struct packet packet;
	struct link link;

	(void)state;
	set_up(&link, TW_CIPHER_128, TW_AEAD_AES_GCM);
	link.seal.key_packets_max = 10;
	for (uint64_t number = 0; number < 30; number++) {
		send_packet(&link.seal, number, 20, &packet);
		assert_false(packet.phase);
		assert_int_equal(receive(&link.open, &packet), 0);
	}
	/* An acknowledgement of what was never sent does not count. */
	tw_seal_chain_acked(&link.seal, 30);
	tw_seal_chain_acked(&link.seal, UINT64_MAX);
	assert_false(tw_seal_chain_phase(&link.seal, 30));
	tw_seal_chain_acked(&link.seal, 29);
	for (uint64_t number = 30; number < 50; number++) {
		send_packet(&link.seal, number, 20, &packet);
		assert_true(packet.phase);
		assert_int_equal(receive(&link.open, &packet), 0);
		assert_true(link.open.phase);
	}
	assert_int_equal(link.seal.phase_first, 30);
	assert_int_equal(link.open.phase_first, 30);
	/* A late acknowledgement of the old phase lets nothing flip. */
	tw_seal_chain_acked(&link.seal, 29);
	assert_true(tw_seal_chain_phase(&link.seal, 50));
	tw_seal_chain_acked(&link.seal, 30);
	assert_false(tw_seal_chain_phase(&link.seal, 50));
	send_packet(&link.seal, 50, 20, &packet);
	assert_int_equal(receive(&link.open, &packet), 0);
	assert_false(link.open.phase);
	assert_int_equal(link.open.failures, 0);
	tear_down(&link);
}

/* The limit holds to the packet, also where numbers are skipped. */
static void test_flip_point(void **state)
{
	struct packet packet;
	struct link link;

	(void)state;
	set_up(&link, TW_CIPHER_256, TW_AEAD_CHACHA20_POLY1305);
	link.seal.key_packets_max = 10;
	send_packet(&link.seal, 0, 20, &packet);
	tw_seal_chain_acked(&link.seal, 0);
	send_packet(&link.seal, 9, 20, &packet);
	assert_false(packet.phase);
	send_packet(&link.seal, 10, 20, &packet);
	assert_true(packet.phase);
	tw_seal_chain_acked(&link.seal, 10);
	send_packet(&link.seal, 19, 20, &packet);
	assert_true(packet.phase);
	send_packet(&link.seal, 25, 20, &packet);
	assert_false(packet.phase);
	tear_down(&link);
}

/* With encryption off there is no key to change. */
static void test_none_never_flips(void **state)
{
	struct packet packet;
	struct link link;

	(void)state;
	assert_int_equal(tw_seal_chain_init(&link.seal, TW_CIPHER_NONE, TW_AEAD_AES_GCM, NULL), 0);
	assert_int_equal(tw_open_chain_init(&link.open, TW_CIPHER_NONE, 0, NULL), 0);
	link.seal.key_packets_max = 1;
	for (uint64_t number = 0; number < 10; number++) {
		send_packet(&link.seal, number, 50, &packet);
		assert_false(packet.phase);
		assert_int_equal(receive(&link.open, &packet), 0);
		tw_seal_chain_acked(&link.seal, number);
	}
	packet.phase = true;
	assert_int_equal(receive(&link.open, &packet), TW_E_AUTH);
	tear_down(&link);
}

/* Ten packets of each of two phases, the flip between, opened in every one of many orders. */
static void test_reordered(void **state)
{
	const uint64_t seed = 20260601;
	struct packet packets[20];
	struct tw_prng prng;

	(void)state;
	print_message("# seed %llu\n", (unsigned long long)seed);
	tw_prng_init(&prng, seed);
	for (int round = 0; round < 500; round++) {
		unsigned order[20];
		struct link link;

		set_up(&link, TW_CIPHER_128, TW_AEAD_AES_GCM);
		link.seal.key_packets_max = 10;
		for (unsigned i = 0; i < 20; i++) {
			order[i] = i;
			send_packet(&link.seal, i, 30, &packets[i]);
			assert_int_equal(packets[i].phase, i >= 10);
			/* The sender flips only once a packet of the phase has arrived. */
			if (i == 4) {
				assert_int_equal(receive(&link.open, &packets[4]), 0);
				tw_seal_chain_acked(&link.seal, 4);
			}
		}
		for (size_t i = 20; i > 1; i--) {
			size_t k = tw_prng_below(&prng, i);
			unsigned swap = order[i - 1];

			order[i - 1] = order[k];
			order[k] = swap;
		}
		for (size_t i = 0; i < 20; i++)
			assert_int_equal(receive(&link.open, &packets[order[i]]), 0);
		assert_true(link.open.phase);
		assert_int_equal(link.open.phase_first, 10);
		assert_int_equal(link.open.failures, 0);
		tear_down(&link);
	}
}

/* Forgeries of the next phase move nothing, however many; the true packets still open. */
static void test_forged_phase(void **state)
{
	struct tw_open_chain before;
	struct packet packet, forged;
	struct link link;

	(void)state;
	set_up(&link, TW_CIPHER_128, TW_AEAD_AES_GCM);
	link.seal.key_packets_max = 2;
	send_packet(&link.seal, 0, 30, &packet);
	assert_int_equal(receive(&link.open, &packet), 0);
	before = link.open;
	for (uint64_t number = 1; number < 1000; number++) {
		fill(&forged, number, 60);
		forged.phase = true;
		assert_int_equal(receive(&link.open, &forged), TW_E_AUTH);
	}
	/* A true packet with its phase bit turned over. */
	send_packet(&link.seal, 1, 30, &packet);
	forged = packet;
	forged.phase = true;
	assert_int_equal(receive(&link.open, &forged), TW_E_AUTH);
	assert_int_equal(link.open.failures, 1000);
	before.failures = 1000;
	assert_memory_equal(&link.open, &before, sizeof before);
	assert_int_equal(receive(&link.open, &packet), 0);
	tw_seal_chain_acked(&link.seal, 1);
	send_packet(&link.seal, 2, 30, &packet);
	assert_true(packet.phase);
	assert_int_equal(receive(&link.open, &packet), 0);
	assert_true(link.open.phase);
	tear_down(&link);
}

/* A key is kept for one phase after its own, then it is gone: its packets are refused. */
static void test_old_phase(void **state)
{
	struct packet old[3], packet;
	struct link link;

	(void)state;
	set_up(&link, TW_CIPHER_128, TW_AEAD_AES_GCM);
	link.seal.key_packets_max = 4;
	send_packet(&link.seal, 0, 30, &packet);
	assert_int_equal(receive(&link.open, &packet), 0);
	for (uint64_t i = 0; i < 3; i++)
		send_packet(&link.seal, 1 + i, 30, &old[i]);
	tw_seal_chain_acked(&link.seal, 0);

	send_packet(&link.seal, 4, 30, &packet);
	assert_true(packet.phase);
	assert_int_equal(receive(&link.open, &packet), 0);
	assert_int_equal(receive(&link.open, &old[0]), 0);
	tw_seal_chain_acked(&link.seal, 4);

	send_packet(&link.seal, 8, 30, &packet);
	assert_false(packet.phase);
	assert_int_equal(receive(&link.open, &packet), 0);
	/* The phase bit is the same again, the key is not. */
	assert_int_equal(receive(&link.open, &old[1]), TW_E_AUTH);
	old[1].phase = true;
	assert_int_equal(receive(&link.open, &old[1]), TW_E_AUTH);
	tw_seal_chain_acked(&link.seal, 8);

	send_packet(&link.seal, 12, 30, &packet);
	assert_int_equal(receive(&link.open, &packet), 0);
	assert_int_equal(receive(&link.open, &old[2]), TW_E_AUTH);
	assert_true(link.open.phase);
	tear_down(&link);
}

/* Before the first flip a low packet of the other phase has no key at all. */
static void test_no_previous(void **state)
{
	struct packet packet;
	struct link link;

	(void)state;
	set_up(&link, TW_CIPHER_128, TW_AEAD_AES_GCM);
	send_packet(&link.seal, 100, 30, &packet);
	assert_int_equal(receive(&link.open, &packet), 0);
	packet.phase = true;
	packet.number = 99;
	assert_int_equal(receive(&link.open, &packet), TW_E_AUTH);
	assert_false(link.open.phase);
	tear_down(&link);
}

/* Many generations: both ends stay together, and no generation seals as another. */
static void test_generations(void **state)
{
	uint8_t tags[200][TW_TAG_SIZE];
	struct link link;

	(void)state;
	set_up(&link, TW_CIPHER_AUTH, TW_AEAD_AES_GCM);
	link.seal.key_packets_max = 1;
	for (unsigned number = 0; number < 200; number++) {
		struct packet packet;

		send_packet(&link.seal, number, 0, &packet);
		assert_int_equal(packet.phase, number % 2);
		memcpy(tags[number], packet.bytes + HEADER, TW_TAG_SIZE);
		for (unsigned i = 0; i < number; i++)
			assert_memory_not_equal(tags[i], tags[number], TW_TAG_SIZE);
		assert_int_equal(receive(&link.open, &packet), 0);
		tw_seal_chain_acked(&link.seal, number);
	}
	tear_down(&link);
}

static void seal_again(void *context)
{
	struct packet packet;

	fill(&packet, 7, 30);
	tw_seal(context, 7, packet.bytes, HEADER, packet.bytes + HEADER, 30);
}

static void seal_lower(void *context)
{
	struct packet packet;

	fill(&packet, 6, 30);
	tw_seal(context, 6, packet.bytes, HEADER, packet.bytes + HEADER, 30);
}

static void ask_lower(void *context)
{
	tw_seal_chain_phase(context, 7);
}

static void test_nonce_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		struct packet packet;
		struct link link;

		set_up(&link, levels[i].cipher, levels[i].aead);
		send_packet(&link.seal, 7, 30, &packet);
		assert_true(aborts(seal_again, &link.seal));
		assert_true(aborts(seal_lower, &link.seal));
		assert_true(aborts(ask_lower, &link.seal));
		send_packet(&link.seal, 8, 30, &packet);
		assert_int_equal(receive(&link.open, &packet), 0);
		tear_down(&link);
	}
}

static void test_bad_parameters(void **state)
{
	const struct tw_secret secret = { { 1 } };
	struct tw_seal_chain seal;
	struct tw_open_chain open;

	(void)state;
	assert_int_equal(tw_seal_chain_init(&seal, TW_CIPHER_COUNT, TW_AEAD_AES_GCM, &secret),
			 -EINVAL);
	assert_int_equal(tw_open_chain_init(&open, TW_CIPHER_COUNT, TW_AEAD_AES_GCM, &secret),
			 -EINVAL);
	assert_int_equal(tw_seal_chain_init(&seal, TW_CIPHER_128, 0, &secret), -EINVAL);
	assert_int_equal(tw_open_chain_init(&open, TW_CIPHER_128, 3, &secret), -EINVAL);
	assert_int_equal(tw_seal_chain_init(&seal, TW_CIPHER_128, TW_AEAD_AES_GCM, NULL), -EINVAL);
	assert_int_equal(tw_open_chain_init(&open, TW_CIPHER_128, TW_AEAD_AES_GCM, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_gather),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_apart),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_levels_apart),
		cmocka_unit_test(test_flip),
		cmocka_unit_test(test_flip_point),
		cmocka_unit_test(test_none_never_flips),
		cmocka_unit_test(test_reordered),
		cmocka_unit_test(test_forged_phase),
		cmocka_unit_test(test_old_phase),
		cmocka_unit_test(test_no_previous),
		cmocka_unit_test(test_generations),
		cmocka_unit_test(test_nonce_once),
		cmocka_unit_test(test_bad_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
