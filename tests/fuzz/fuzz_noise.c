/*
 * A handshake with an attacker in the middle who also knows the responder's public key. The input
 * is a row of deeds, each an opcode byte, a length byte and so many bytes:
 *
 *   0  raw bytes to the responder
 *   1  raw bytes to the initiator
 *   2  to the responder the true first message, bytes exclusive-ored, cut or made longer
 *   3  to the initiator the true second message, likewise
 *   4  a handshake of the attacker's own, the bytes as payload
 *   5  the same, with the bytes as its public key
 *
 * Whatever happens, only true messages are accepted, and refused ones leave no trace: at the end
 * the two still come to the same secrets.
 */
#include "fuzz.h"

#include "base/error.h"
#include "crypto/noise.h"

#define DEEDS_MAX 16

struct scene {
	struct tw_noise initiator, responder;
	uint8_t first[TW_NOISE_OVERHEAD_1 + 5], second[TW_NOISE_OVERHEAD_2 + 3];
	struct tw_identity responder_identity, attacker;
};

static struct tw_identity identity(uint8_t seed)
{
	struct tw_identity ret;
	struct tw_secret key;
	int error;

	memset(key.bytes, seed, sizeof key.bytes);
	error = tw_identity_from_private(&key, &ret);
	CHECK(!error);
	return ret;
}

static void new_responder(struct scene *scene, struct tw_noise *ret)
{
	struct tw_identity ephemeral = identity(4);
	int error = tw_noise_init(ret, &scene->responder_identity, &ephemeral.private_key, NULL,
				  "p", 1);

	CHECK(!error);
}

static void set_up(struct scene *scene)
{
	struct tw_identity self = identity(1), ephemeral = identity(3);
	struct tw_noise responder;
	uint8_t payload[256];
	size_t length;
	int error;

	scene->responder_identity = identity(2);
	scene->attacker = identity(5);
	error = tw_noise_init(&scene->initiator, &self, &ephemeral.private_key,
			      &scene->responder_identity.public_key, "p", 1);
	error |= tw_noise_write(&scene->initiator, "hello", 5, scene->first, sizeof scene->first,
				&length);
	CHECK(!error && length == sizeof scene->first);
	/* The second message is known in advance: all keys are fixed. */
	new_responder(scene, &responder);
	error = tw_noise_read(&responder, scene->first, sizeof scene->first, payload, &length);
	error |= tw_noise_write(&responder, "yes", 3, scene->second, sizeof scene->second, &length);
	CHECK(!error && length == sizeof scene->second);
	tw_noise_wipe(&responder);
	new_responder(scene, &scene->responder);
}

/* @noise must refuse these bytes, unless they are its true message, which is kept for the end. */
static void offer(struct tw_noise *noise, const uint8_t *bytes, size_t length,
		  const uint8_t *true_bytes, size_t true_length)
{
	struct tw_noise copy = *noise, before = *noise;
	const void *now = &copy, *then = &before; /* its very bytes are meant */
	uint8_t payload[512];
	size_t payload_length;
	int error = tw_noise_read(&copy, bytes, length, payload, &payload_length);

	if (length == true_length && memcmp(bytes, true_bytes, length) == 0) {
		CHECK(error == 0);
	} else {
		CHECK(error == TW_E_AUTH);
		CHECK(memcmp(now, then, sizeof copy) == 0);
	}
	tw_noise_wipe(&copy);
}

/* The first byte says how much to cut off or to add. */
static void offer_damaged(struct tw_noise *noise, const uint8_t *bytes, size_t length,
			  const uint8_t *true_bytes, size_t true_length)
{
	uint8_t damaged[512] = { 0 };
	size_t new_length = true_length;

	memcpy(damaged, true_bytes, true_length);
	if (length > 0 && bytes[0] & 0x80)
		new_length -= (size_t)(bytes[0] & 0x3f) % true_length;
	else if (length > 0)
		new_length += bytes[0] & 0x3f;
	for (size_t i = 1; i < length && i <= true_length; i++)
		damaged[i - 1] ^= bytes[i];
	offer(noise, damaged, new_length, true_bytes, true_length);
}

/* The attacker speaks for itself; it may lie about its public key. */
static void speak(struct scene *scene, const uint8_t *bytes, size_t length, bool lie)
{
	struct tw_identity self = scene->attacker, ephemeral = identity(6);
	uint8_t message[512], payload[512];
	struct tw_noise attacker, responder;
	size_t message_length, payload_length;
	int error;

	if (lie)
		memcpy(self.public_key.bytes, bytes, length < TW_KEY_SIZE ? length : TW_KEY_SIZE);
	error = tw_noise_init(&attacker, &self, &ephemeral.private_key,
			      &scene->responder_identity.public_key, "p", 1);
	error |= tw_noise_write(&attacker, bytes, length, message, sizeof message, &message_length);
	CHECK(!error);
	new_responder(scene, &responder);
	error = tw_noise_read(&responder, message, message_length, payload, &payload_length);
	if (memcmp(&self, &scene->attacker, sizeof self) == 0) {
		CHECK(!error && payload_length == length && memcmp(payload, bytes, length) == 0);
		CHECK(memcmp(&responder.peer, &self.public_key, sizeof self.public_key) == 0);
	} else if (!error) {
		/* X25519 does not see the top bit; the key then is the liar's own. */
		self.public_key.bytes[31] ^= 0x80;
		CHECK(memcmp(&self, &scene->attacker, sizeof self) == 0);
	} else {
		CHECK(error == TW_E_AUTH);
	}
	tw_noise_wipe(&attacker);
	tw_noise_wipe(&responder);
}

static void finish(struct scene *scene)
{
	struct tw_secret here[2], there[2];
	uint8_t payload[256];
	size_t length;
	int error;

	error = tw_noise_read(&scene->responder, scene->first, sizeof scene->first, payload,
			      &length);
	CHECK(!error && length == 5 && memcmp(payload, "hello", 5) == 0);
	error = tw_noise_write(&scene->responder, "yes", 3, payload, sizeof payload, &length);
	CHECK(!error && length == sizeof scene->second &&
	      memcmp(payload, scene->second, length) == 0);
	error = tw_noise_read(&scene->initiator, scene->second, sizeof scene->second, payload,
			      &length);
	CHECK(!error && length == 3 && memcmp(payload, "yes", 3) == 0);
	tw_noise_split(&scene->initiator, &here[0], &here[1]);
	tw_noise_split(&scene->responder, &there[1], &there[0]);
	CHECK(memcmp(here, there, sizeof here) == 0);
	tw_noise_wipe(&scene->initiator);
	tw_noise_wipe(&scene->responder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
	static struct scene fresh;
	struct scene scene;

	if (fresh.initiator.step == 0)
		set_up(&fresh);
	scene = fresh;
	for (int deeds = 0; length >= 2 && deeds < DEEDS_MAX; deeds++) {
		const uint8_t *bytes = data + 2;
		size_t size = data[1] <= length - 2 ? data[1] : length - 2;

		switch (data[0] % 6) {
		case 0:
			offer(&scene.responder, bytes, size, scene.first, sizeof scene.first);
			break;
		case 1:
			offer(&scene.initiator, bytes, size, scene.second, sizeof scene.second);
			break;
		case 2:
			offer_damaged(&scene.responder, bytes, size, scene.first,
				      sizeof scene.first);
			break;
		case 3:
			offer_damaged(&scene.initiator, bytes, size, scene.second,
				      sizeof scene.second);
			break;
		default:
			speak(&scene, bytes, size, data[0] % 6 == 5);
			break;
		}
		data = bytes + size;
		length -= 2 + size;
	}
	finish(&scene);
	return 0;
}
