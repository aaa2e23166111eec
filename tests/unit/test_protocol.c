/*
 * The test vectors of docs/protocol.md that need keys or content. What belongs to one module of
 * src/wire alone is in that module's test.
 */
#include "unit.h"

#include <zstd.h>

#include "../support/document.h"
#include "base/bytes.h"
#include "base/error.h"
#include "content/digest.h"
#include "content/manifest.h"
#include "crypto/cookie.h"
#include "crypto/hash.h"
#include "crypto/noise.h"
#include "crypto/protect.h"
#include "wire/datagram.h"
#include "wire/params.h"

#define INITIATOR_CID 0x0102030405060708
#define RESPONDER_CID 0x1112131415161718

static void assert_document(const char *section, const void *bytes, size_t length)
{
	if (!document_has(section, bytes, length))
		fail_msg("section %s lacks this vector", section);
}

/* The private keys of the page: 32 bytes that count from @first. */
static struct tw_secret counting(uint8_t first)
{
	struct tw_secret secret;

	for (size_t i = 0; i < sizeof secret.bytes; i++)
		secret.bytes[i] = (uint8_t)(first + i);
	return secret;
}

static void notation(void **state)
{
	uint8_t bytes[15];
	struct tw_writer writer;

	(void)state;
	tw_writer_init(&writer, bytes, sizeof bytes);
	tw_write_varint(&writer, 37);
	tw_write_varint(&writer, 15293);
	tw_write_varint(&writer, 494878333);
	tw_write_varint(&writer, 151288809941952652);
	assert_false(writer.failed);
	assert_document("Notation", bytes, sizeof bytes);
}

struct sides {
	struct tw_noise initiator, responder;
	struct tw_datagram init, accept;
	uint8_t message_1[TW_HANDSHAKE_MESSAGE_MAX], message_2[TW_HANDSHAKE_MESSAGE_MAX];
};

static void sides_init(struct sides *sides)
{
	struct tw_secret keys[] = { counting(0x01), counting(0x21), counting(0x41),
				    counting(0x61) };
	struct tw_identity initiator, responder;
	uint8_t prologue[22];
	struct tw_writer writer;

	tw_writer_init(&writer, prologue, sizeof prologue);
	tw_write_bytes(&writer, "tradewind", 9);
	tw_write_u32(&writer, TW_VERSION_1);
	tw_write_u8(&writer, TW_PATTERN_IK);
	tw_write_u64(&writer, INITIATOR_CID);
	assert_int_equal(tw_writer_room(&writer), 0);
	assert_int_equal(tw_identity_from_private(&keys[0], &initiator), 0);
	assert_int_equal(tw_identity_from_private(&keys[1], &responder), 0);
	assert_int_equal(tw_noise_init(&sides->initiator, &initiator, &keys[2],
				       &responder.public_key, prologue, sizeof prologue),
			 0);
	assert_int_equal(tw_noise_init(&sides->responder, &responder, &keys[3], NULL, prologue,
				       sizeof prologue),
			 0);
}

/* One message from @from to @to. Returns its length. */
static size_t pass(struct tw_noise *from, struct tw_noise *to, const uint8_t *payload,
		   size_t length, uint8_t *message)
{
	uint8_t received[TW_HANDSHAKE_MESSAGE_MAX];
	size_t message_length, received_length;

	assert_int_equal(tw_noise_write(from, payload, length, message, TW_HANDSHAKE_MESSAGE_MAX,
					&message_length),
			 0);
	assert_int_equal(tw_noise_read(to, message, message_length, received, &received_length), 0);
	assert_int_equal(received_length, length);
	assert_memory_equal(received, payload, length);
	return message_length;
}

static void handshake(struct sides *sides)
{
	static const uint8_t payload_1[] = { 1, 2, 3, 4, 5, 6, 7, 8, 2, 1, 2, 3, 1, 1, 4, 1, 3 };
	static const uint8_t payload_2[] = { 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 1,
					     1,	   0,	 2,    1,    2,	   4,	 1,    1 };

	sides_init(sides);
	sides->init = (struct tw_datagram){
		.version = TW_VERSION_1,
		.scid = INITIATOR_CID,
		.pattern = TW_PATTERN_IK,
		.message = sides->message_1,
		.message_length = pass(&sides->initiator, &sides->responder, payload_1,
				       sizeof payload_1, sides->message_1),
	};
	sides->accept = (struct tw_datagram){
		.version = TW_VERSION_1,
		.dcid = INITIATOR_CID,
		.scid = RESPONDER_CID,
		.pattern = TW_PATTERN_IK,
		.message = sides->message_2,
		.message_length = pass(&sides->responder, &sides->initiator, payload_2,
				       sizeof payload_2, sides->message_2),
	};
}

static void messages_and_keys(void **state)
{
	struct tw_secret secrets[2], mirrored[2];
	struct sides sides;
	uint8_t bytes[TW_DATAGRAM_INIT_MIN];
	size_t length;

	(void)state;
	handshake(&sides);
	assert_int_equal(tw_datagram_write_init(&sides.init, bytes, sizeof bytes), sizeof bytes);
	/* The page leaves the padding out. */
	assert_document("Messages and keys", bytes, 17 + sides.init.message_length);
	length = tw_datagram_write_accept(&sides.accept, bytes, sizeof bytes);
	assert_document("Messages and keys", bytes, length);
	tw_noise_split(&sides.initiator, &secrets[0], &secrets[1]);
	tw_noise_split(&sides.responder, &mirrored[1], &mirrored[0]);
	assert_memory_equal(secrets, mirrored, sizeof secrets);
	assert_document("Messages and keys", secrets, sizeof secrets);
	assert_int_equal(document_count("Messages and keys"), 3);
}

static struct tw_secret initiator_secret(void)
{
	struct tw_secret send, receive;
	struct sides sides;

	handshake(&sides);
	tw_noise_split(&sides.initiator, &send, &receive);
	return send;
}

static void cookie(void **state)
{
	const struct tw_address from = { .family = TW_FAMILY_IPV4,
					 .ip = { 192, 0, 2, 1 },
					 .port = 8886 };
	struct tw_cookie_jar jar = { .current = counting(0x81) };
	uint8_t bytes[TW_COOKIE_SIZE];

	(void)state;
	tw_cookie_make(&jar, NULL, 0, &from, INITIATOR_CID, bytes);
	assert_document("RETRY and cookies", bytes, sizeof bytes);
}

static void keys_of_a_generation(void **state)
{
	struct tw_secret secret = initiator_secret();
	uint8_t bytes[16 + 12 + 32];

	(void)state;
	tw_hkdf_expand(secret.bytes, "tw key", 6, bytes, 16);
	tw_hkdf_expand(secret.bytes, "tw iv", 5, bytes + 16, 12);
	tw_hkdf_expand(secret.bytes, "tw next", 7, bytes + 28, 32);
	assert_document("Keys of a generation", bytes, sizeof bytes);
}

/* A PING to the responder's cid. Returns the datagram's length. */
static size_t seal_ping(struct tw_seal_chain *chain, uint64_t number, uint8_t bytes[64])
{
	bool phase = tw_seal_chain_phase(chain, number);
	size_t header = tw_datagram_write_packet_header(RESPONDER_CID, phase, number, bytes);

	bytes[header] = 0x01;
	tw_seal(chain, number, bytes, header, bytes + header, 1);
	return header + 1 + tw_cipher_tag_size(chain->cipher);
}

static void sealing_a_packet(void **state)
{
	static const struct {
		enum tw_cipher cipher;
		enum tw_aead aead;
		uint64_t number;
		const char *section;
	} cases[] = {
		{ TW_CIPHER_128, TW_AEAD_AES_GCM, 0, "Sealing a packet" },
		{ TW_CIPHER_256, TW_AEAD_AES_GCM, 0, "Sealing a packet" },
		{ TW_CIPHER_128, TW_AEAD_CHACHA20_POLY1305, 0, "Sealing a packet" },
		{ TW_CIPHER_256, TW_AEAD_CHACHA20_POLY1305, 0, "Sealing a packet" },
		{ TW_CIPHER_AUTH, TW_AEAD_AES_GCM, 0, "Sealing a packet" },
		{ TW_CIPHER_NONE, TW_AEAD_AES_GCM, 0x700012345, "PACKET" },
	};
	struct tw_secret secret = initiator_secret();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tw_seal_chain chain;
		uint8_t bytes[64];

		assert_int_equal(
			tw_seal_chain_init(&chain, cases[i].cipher, cases[i].aead, &secret), 0);
		assert_document(cases[i].section, bytes, seal_ping(&chain, cases[i].number, bytes));
		tw_seal_chain_deinit(&chain);
	}
	assert_int_equal(document_count("Sealing a packet"), 4);
}

static void key_update(void **state)
{
	struct tw_secret secret = initiator_secret();
	struct tw_seal_chain chain;
	uint8_t bytes[64];

	(void)state;
	assert_int_equal(tw_seal_chain_init(&chain, TW_CIPHER_128, TW_AEAD_AES_GCM, &secret), 0);
	seal_ping(&chain, 0, bytes);
	tw_seal_chain_acked(&chain, 0);
	assert_document("Key update", bytes, seal_ping(&chain, TW_KEY_PACKETS_MAX, bytes));
	tw_seal_chain_deinit(&chain);
}

static void manifest(void **state)
{
	const int64_t mtime_ns = INT64_C(1700000000) * 1000000000;
	const struct tw_entry folder = { .kind = TW_KIND_DIRECTORY,
					 .mode = 0755,
					 .mtime_ns = mtime_ns };
	const struct tw_entry file = { .kind = TW_KIND_FILE,
				       .mode = 0644,
				       .mtime_ns = mtime_ns,
				       .size = 5 };
	const struct tw_entry removal = { .kind = TW_KIND_REMOVAL };
	struct tw_manifest *list = tw_manifest_new();
	struct tw_manifest_encoder *encoder;
	uint8_t wire[512], records[512];
	size_t length;

	(void)state;
	assert_non_null(list);
	assert_int_equal(tw_manifest_append(list, "doc", &folder), 0);
	assert_int_equal(tw_manifest_append(list, "doc/readme", &file), 0);
	assert_int_equal(tw_manifest_append(list, "doc/old", &removal), 0);
	encoder = tw_manifest_encoder_new(list);
	assert_non_null(encoder);
	assert_int_equal(tw_manifest_encode(encoder, true, wire, sizeof wire, &length), TW_E_END);
	length = ZSTD_decompress(records, sizeof records, wire, length);
	assert_false(ZSTD_isError(length));
	assert_document("Manifest", records, length);
	tw_manifest_encoder_free(encoder);
	tw_manifest_free(list);
}

static void digests(void **state)
{
	const struct tw_digest both[] = { tw_digest_of("hello", 5), tw_digest_of("", 0) };

	(void)state;
	assert_document("Digests", both, sizeof both);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notation),	    cmocka_unit_test(messages_and_keys),
		cmocka_unit_test(cookie),	    cmocka_unit_test(keys_of_a_generation),
		cmocka_unit_test(sealing_a_packet), cmocka_unit_test(key_update),
		cmocka_unit_test(manifest),	    cmocka_unit_test(digests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
