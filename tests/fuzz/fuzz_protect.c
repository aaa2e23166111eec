/*
 * Two chains with an attacker between them. The first byte picks level and algorithm, the rest are
 * deeds, an opcode byte with bytes of its own:
 *
 *   0  seal a packet (length)
 *   1  open one of the last packets (which)
 *   2  acknowledge one of the last packets (which)
 *   3  open a damaged packet (which, where, what)
 *   4  open one of the attacker's own (number, length, bytes)
 *   5  leave out packet numbers (how many)
 *
 * What was sealed opens to the same bytes unless it is two phases old; nothing else opens; the
 * receiving chain is never ahead of the sending one.
 */
#include "fuzz.h"

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/protect.h"

#define HEADER	    13
#define PAYLOAD_MAX 255
#define KEPT	    16
#define DEEDS_MAX   512

struct packet {
	uint8_t bytes[HEADER + PAYLOAD_MAX + TW_TAG_SIZE];
	size_t length; /* payload and tag */
	uint64_t number;
	unsigned generation;
	bool opened; /* by the receiver */
};

struct scene {
	struct tw_reader input;
	struct tw_seal_chain seal;
	struct tw_open_chain open;
	struct packet packets[KEPT]; /* the last ones, a ring */
	unsigned count;
	unsigned generation, generation_open; /* of the sender, of the receiver */
};

static void fill(uint64_t number, uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(number + i);
}

static void seal(struct scene *scene)
{
	struct packet *packet = &scene->packets[scene->count++ % KEPT];
	size_t length = tw_read_u8(&scene->input);
	bool before = scene->seal.phase;

	packet->number = scene->seal.next_min;
	scene->generation += tw_seal_chain_phase(&scene->seal, packet->number) != before;
	packet->generation = scene->generation;
	packet->opened = false;
	fill(packet->number, packet->bytes, HEADER + length);
	tw_seal(&scene->seal, packet->number, packet->bytes, HEADER, packet->bytes + HEADER,
		length);
	packet->length = length + tw_cipher_tag_size(scene->seal.cipher);
}

/* One of the last packets, or NULL. */
static struct packet *choose(struct scene *scene)
{
	unsigned kept = scene->count < KEPT ? scene->count : KEPT;
	uint8_t which = tw_read_u8(&scene->input);

	return kept > 0 ? &scene->packets[(scene->count - 1 - which % kept) % KEPT] : NULL;
}

static void open_true(struct scene *scene)
{
	struct packet *packet = choose(scene), copy;
	size_t length;
	int error;

	if (!packet)
		return;
	copy = *packet;
	length = copy.length - tw_cipher_tag_size(scene->open.cipher);
	error = tw_open(&scene->open, packet->generation % 2, copy.number, copy.bytes, HEADER,
			copy.bytes + HEADER, copy.length);
	if (packet->generation + 1 < scene->generation_open) {
		CHECK(error == TW_E_AUTH);
		return;
	}
	CHECK(error == 0);
	packet->opened = true;
	if (packet->generation > scene->generation_open)
		scene->generation_open = packet->generation;
	for (size_t i = 0; i < length; i++)
		CHECK(copy.bytes[HEADER + i] == (uint8_t)(copy.number + HEADER + i));
}

static void acknowledge(struct scene *scene)
{
	struct packet *packet = choose(scene);

	if (packet && packet->opened)
		tw_seal_chain_acked(&scene->seal, packet->number);
}

static void open_damaged(struct scene *scene)
{
	struct packet *packet = choose(scene), copy;
	size_t where = tw_read_u16(&scene->input);
	uint8_t what = tw_read_u8(&scene->input);
	bool phase;

	if (!packet)
		return;
	copy = *packet;
	phase = packet->generation % 2;
	where %= HEADER + copy.length + 2;
	if (where == HEADER + copy.length)
		copy.length -= what % copy.length + 1;
	else if (where == HEADER + copy.length + 1)
		copy.number ^= UINT64_C(1) << what % 64;
	else
		copy.bytes[where] ^= what | (what == 0);
	CHECK(tw_open(&scene->open, phase, copy.number, copy.bytes, HEADER, copy.bytes + HEADER,
		      copy.length) == TW_E_AUTH);
}

/* Made up by the attacker, who at level `none` may well find a checksum that fits. */
static void open_made_up(struct scene *scene)
{
	struct packet packet = { .number = tw_read_u64(&scene->input) };
	int error;

	packet.length = tw_read_u8(&scene->input);
	tw_read_copy(&scene->input, packet.bytes, HEADER);
	tw_read_copy(&scene->input, packet.bytes + HEADER, packet.length);
	error = tw_open(&scene->open, packet.bytes[0] & 1, packet.number, packet.bytes, HEADER,
			packet.bytes + HEADER, packet.length);
	CHECK(error == TW_E_AUTH || (error == 0 && scene->open.cipher == TW_CIPHER_NONE));
}

static void leave_out(struct scene *scene)
{
	scene->seal.next_min += tw_read_u8(&scene->input);
}

static void (*const deeds[])(struct scene *scene) = {
	seal, open_true, acknowledge, open_damaged, open_made_up, leave_out,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	const struct tw_secret secret = { { 1, 2, 3 } };
	struct scene scene = { 0 };
	enum tw_cipher cipher;
	enum tw_aead aead;
	uint8_t first;
	int error;

	tw_reader_init(&scene.input, data, length);
	first = tw_read_u8(&scene.input);
	cipher = (enum tw_cipher)(first % TW_CIPHER_COUNT);
	aead = first & 0x80 ? TW_AEAD_CHACHA20_POLY1305 : TW_AEAD_AES_GCM;
	error = tw_seal_chain_init(&scene.seal, cipher, aead, &secret);
	error |= tw_open_chain_init(&scene.open, cipher, aead, &secret);
	CHECK(!error);
	scene.seal.key_packets_max = 4;
	for (int i = 0; i < DEEDS_MAX && tw_reader_left(&scene.input) > 0; i++) {
		deeds[tw_read_u8(&scene.input) % (sizeof deeds / sizeof deeds[0])](&scene);
		CHECK(scene.open.phase == scene.generation_open % 2);
		CHECK(scene.generation_open <= scene.generation);
	}
	tw_seal_chain_deinit(&scene.seal);
	tw_open_chain_deinit(&scene.open);
	return 0;
}
